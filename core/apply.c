/* Making what the configuration calls for: `init` and `apply`. */
#include "context.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/options.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORE_ID_DIGITS 8

/* ---- What is missing ---------------------------------------------------------------------------------- */

/* `retired` tells whether one that was taken out of use counts as missing. */
static kw_status create_missing(kw_context *context, const struct kind *kind, bool retired, kw_event_callback event,
                                void *user, kw_error *error)
{
    struct entry_row entry = {0};
    const kw_certificate_template wanted = {.size = sizeof(wanted), .address = kind->name};
    kw_status status = catalogue_entry_get(context->catalogue, kind->name, &entry, error);
    const bool present = status == KW_OK && (entry.state == ENTRY_IN_USE || !retired);
    entry_row_clear(&entry);
    if (present)
        return KW_OK;
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK)
        status = kw_certificate_create(context, &wanted, event, user, error);
    return status;
}

/* One at a time, or two would both find the same certificate missing. */
static kw_status take_apply_lock(kw_context *context, struct run_lock **lock, kw_error *error)
{
    char *path = text_format("%s/run/apply.lock", context->settings->state);
    kw_status status = path != NULL ? run_lock_take(path, true, lock, error) : error_memory(error);
    free(path);
    return status;
}

static kw_status remind(kw_context *context, const struct kind *kind, kw_event_callback event, void *user,
                        kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get(context->catalogue, kind->name, &entry, error);
    if (status == KW_OK && event != NULL && reminder_is_due(context, kind, &entry, &entry.certificate)) {
        char what[512];
        snprintf(what, sizeof(what), REMINDER_SENTENCE, kind->name);
        const kw_event told = {.certificate = kind->name, .what = what, .reminder = true};
        event(user, &told);
    }
    entry_row_clear(&entry);
    return status;
}

/* ---- What a start adds (S12) ---- */

static void log_addition(void *user, const kw_event *event)
{
    const kw_context *context = user;
    log_write(&context->log, KW_LOG_WARNING, "%s was missing, and was %s; " REMINDER_SENTENCE, event->certificate,
              event->what, event->certificate);
}

static bool is_missing(kw_context *context, const struct kind *kind)
{
    struct entry_row entry = {0};
    const kw_status status = catalogue_entry_get(context->catalogue, kind->name, &entry, NULL);
    entry_row_clear(&entry);
    return status == KW_NOT_FOUND;
}

void context_add_missing(kw_context *context)
{
    for (size_t i = 0; i < kind_count; i++) {
        struct run_lock *lock = NULL;
        kw_error why = {0};
        if (!kinds[i].at_open || !is_missing(context, &kinds[i]))
            continue;
        kw_status status = take_apply_lock(context, &lock, &why);
        if (status == KW_OK)
            status = create_missing(context, &kinds[i], false, log_addition, context, &why);
        run_lock_release(lock, false);
        if (status != KW_OK)
            log_write(&context->log, KW_LOG_WARNING, "%s is missing, and cannot be added: %s%s%s", kinds[i].name,
                      why.message, why.remedy[0] != '\0' ? "; " : "", why.remedy);
    }
}

/* ---- kw_apply ---- */

kw_status kw_apply(const kw_open_options *given, kw_event_callback event, void *user, kw_error *error)
{
    kw_open_options options;
    kw_context *context = NULL;
    struct run_lock *lock = NULL;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK)
        status = context_open(&options, true, &context, error);
    if (status != KW_OK)
        return status;
    status = take_apply_lock(context, &lock, error);
    for (size_t i = 0; status == KW_OK && i < kind_count; i++)
        if (kinds[i].automatic)
            status = create_missing(context, &kinds[i], true, event, user, error);
    run_lock_release(lock, false);
    for (size_t i = 0; status == KW_OK && i < kind_count; i++)
        if (kinds[i].automatic && kinds[i].exported_apart)
            status = remind(context, &kinds[i], event, user, error);
    kw_close(context);
    return status;
}

/* ---- init ------------------------------------------------------------------------------------------- */

static const char configuration_form[] = "# Written by `keywright init`. Relative paths are relative to this file. "
                                         "`keywright config schema` prints what may\n"
                                         "# stand here, and `keywright config check` checks it.\n"
                                         "version: 1\n"
                                         "state: state\n"
                                         "catalogue_key: file:catalogue-key\n"
                                         "store: local\n"
                                         "\n"
                                         "stores:\n"
                                         "  local:\n"
                                         "    id: \"%s\"  # never change it: the catalogue knows the store by it\n"
                                         "    plugin: softstore\n"
                                         "    options: {passphrase: file:passphrase}\n";

enum made_kind {
    MADE_FILE,
    MADE_DIRECTORY, /* removed when it is empty: another process may have put something there */
    MADE_STATE,     /* with all that is in it: who makes it owns it */
};

/* What this call made so far, newest last, to be taken back when it fails. Nothing that was there, or that another process made. */
struct made {
    struct {
        char *path;
        enum made_kind kind;
    } items[8];
    size_t count;
};

static kw_status note_made(struct made *made, const char *path, enum made_kind kind, kw_error *error)
{
    char *copy = text_copy(path);
    if (copy == NULL || made->count == sizeof(made->items) / sizeof(made->items[0])) {
        free(copy);
        return error_memory(error);
    }
    made->items[made->count].path = copy;
    made->items[made->count++].kind = kind;
    return KW_OK;
}

/* Removes a directory, the files in it, and so many floors of directories below. */
static void remove_tree(const char *path, unsigned depth)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (const struct dirent *item = readdir(directory); item != NULL; item = readdir(directory)) {
        char *inner =
            strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 ? path_join(path, item->d_name) : NULL;
        if (inner != NULL && unlink(inner) != 0 && depth > 0)
            remove_tree(inner, depth - 1);
        free(inner);
    }
    closedir(directory);
    rmdir(path);
}

static void made_clear(struct made *made, bool remove)
{
    while (made->count > 0) {
        char *path = made->items[--made->count].path;
        const enum made_kind kind = made->items[made->count].kind;
        if (remove && kind == MADE_FILE)
            unlink(path);
        else if (remove && kind == MADE_DIRECTORY)
            rmdir(path);
        else if (remove)
            remove_tree(path, 1);
        free(path);
    }
}

static kw_status random_hex(struct crypto *crypto, size_t length, char *text, kw_error *error)
{
    unsigned char bytes[64];
    kw_status status = crypto_random(crypto, bytes, length, error);
    if (status == KW_OK)
        hex_encode((kw_input){bytes, length}, text);
    secret_wipe(bytes, sizeof(bytes));
    return status;
}

/* A file that none has the name of yet: of many who try, one succeeds. */
static kw_status write_made(struct made *made, const char *directory, const char *name, const char *text,
                            kw_error *error)
{
    char *path = path_join(directory, name);
    kw_status status = path != NULL ? file_create(path, input_text(text), 0600, error) : error_memory(error);
    if (status == KW_OK) {
        status = note_made(made, path, MADE_FILE, error);
        if (status != KW_OK)
            unlink(path);
    } else if (status == KW_EXISTS)
        error_remedy(error, "init makes a new configuration: name another directory, or move the file away");
    free(path);
    return status;
}

/* Makes a directory that is taken back if this call made it. */
static kw_status make_made(struct made *made, const char *path, enum made_kind kind, bool *is_new, kw_error *error)
{
    kw_status status = file_claim_directory(path, 0700, is_new, error);
    if (status == KW_OK && *is_new) {
        status = note_made(made, path, kind, error);
        if (status != KW_OK)
            rmdir(path);
    }
    return status;
}

/* A configuration is written last, so one that is there can be applied, also when an interrupted init left it. */
static kw_status check_unconfigured(const char *directory, kw_error *error)
{
    kw_status status = KW_OK;
    char *path = path_join(directory, "keywright.yaml");
    if (path == NULL)
        return error_memory(error);
    if (file_exists(path)) {
        status = error_set(error, KW_EXISTS, "there is a configuration %s already", path);
        error_remedy(
            error,
            "`keywright apply -c %s` completes it, if init was interrupted; for a new one name another directory",
            path);
    }
    free(path);
    return status;
}

static kw_status write_secret(struct crypto *crypto, struct made *made, const char *directory, const char *name,
                              kw_error *error)
{
    struct secret text = {0};
    kw_status status = secret_new(&text, 80, error);
    if (status == KW_OK)
        status = random_hex(crypto, 32, (char *)text.data, error);
    if (status == KW_OK) {
        memcpy(text.data + 64, "\n", 2);
        status = write_made(made, directory, name, (const char *)text.data, error);
    }
    secret_clear(&text);
    return status;
}

static kw_status write_configuration(struct crypto *crypto, struct made *made, const char *directory, kw_error *error)
{
    char store_id[2 * STORE_ID_DIGITS + 1];
    struct buffer text = {0};
    kw_status status = random_hex(crypto, STORE_ID_DIGITS / 2, store_id, error);
    if (status != KW_OK)
        return status;
    buffer_format(&text, configuration_form, store_id);
    buffer_append_u8(&text, 0);
    status = text.failed ? error_memory(error)
                         : write_made(made, directory, "keywright.yaml", (const char *)text.data, error);
    buffer_free(&text);
    return status;
}

static kw_status apply_made(struct made *made, const char *directory, const kw_open_options *options,
                            kw_event_callback event, void *user, kw_error *error)
{
    kw_open_options own = options != NULL ? *options : (kw_open_options){.size = sizeof(own)};
    bool is_new = false;
    char *configuration = path_join(directory, "keywright.yaml");
    char *state = path_join(directory, "state");
    kw_status status = configuration != NULL && state != NULL ? KW_OK : error_memory(error);
    if (status == KW_OK)
        status = make_made(made, state, MADE_STATE, &is_new, error);
    if (status == KW_OK && !is_new) {
        status = error_set(error, KW_EXISTS, "it is there already");
        error_where(error, "%s", state);
        error_remedy(error, "init makes a new state directory: name another directory, or remove it");
    }
    if (status == KW_OK) {
        own.configuration = configuration;
        status = kw_apply(&own, event, user, error);
    }
    free(configuration);
    free(state);
    return status;
}

kw_status kw_initialise(const char *directory, const kw_open_options *given, kw_event_callback event, void *user,
                        kw_error *error)
{
    kw_open_options options;
    struct made made = {0};
    struct crypto *crypto = NULL;
    bool is_new = false;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK)
        status = crypto_open(&crypto, error);
    if (status == KW_OK)
        status = make_made(&made, directory, MADE_DIRECTORY, &is_new, error);
    if (status == KW_OK)
        status = check_unconfigured(directory, error);
    if (status == KW_OK)
        status = write_secret(crypto, &made, directory, "catalogue-key", error);
    if (status == KW_OK)
        status = write_secret(crypto, &made, directory, "passphrase", error);
    if (status == KW_OK)
        status = write_configuration(crypto, &made, directory, error);
    if (status == KW_OK)
        status = apply_made(&made, directory, &options, event, user, error);
    made_clear(&made, status != KW_OK);
    crypto_close(crypto);
    return status;
}
