/* Secrets: where they come from, to whom they are handed out, and what is remembered of refused ones. */
#include "store/host_private.h"

#include "base/buffer.h"
#include "base/secret.h"
#include "store/options.h"
#include "store/refusal.h"

#include <stdlib.h>
#include <string.h>

static struct memory_of_secret *secret_find(kw_host_context *host, const char *option)
{
    for (size_t i = 0; option != NULL && i < host->secret_count; i++)
        if (strcmp(host->secrets[i].option->name, option) == 0)
            return &host->secrets[i];
    return NULL;
}

/* The secret of which option is a subkey. */
struct subkey_request {
    kw_host_context *host;
    const char *option;
};

static struct secret_place place_of_subkey(const kw_host_context *host, const char *option, const char *address)
{
    return (struct secret_place){.settings = host->settings,
                                 .store_id = host->store->id,
                                 .store_name = host->store->name,
                                 .option = option,
                                 .address = address};
}

/* It may take a call to another store, within this store's operation. */
static kw_status derive_secret(void *user, const char *address, struct secret *value, kw_error *error)
{
    const struct subkey_request *const request = user;
    const struct secret_place place = place_of_subkey(request->host, request->option, address);
    struct memory_of_secret *const memory = secret_find(request->host, request->option);
    struct host_nesting nesting;
    struct id master = {{0}};
    kw_status status;

    host_nest_begin(&nesting);
    status = request->host->subkeys->get(request->host->subkeys->user, &place, value, &master, error);
    host_nest_end(&nesting);
    if (status == KW_OK && memory != NULL) {
        pthread_mutex_lock(&request->host->lock);
        memory->master = master;
        memory->has_master = true;
        pthread_mutex_unlock(&request->host->lock);
        atomic_store(&request->host->hangs, true);
    }
    return status;
}

kw_status host_secrets_serve(kw_host_context *host, kw_error *error)
{
    kw_status status = KW_OK;

    if (!atomic_load_explicit(&host->hangs, memory_order_acquire))
        return KW_OK;
    for (size_t i = 0; status == KW_OK && i < host->secret_count; i++) {
        pthread_mutex_lock(&host->lock);
        const struct memory_of_secret memory = host->secrets[i];
        pthread_mutex_unlock(&host->lock);
        if (memory.has_master)
            status = host->subkeys->serves(host->subkeys->user, &memory.master, error);
    }
    return status;
}

bool host_secrets_opened(kw_host_context *host, bool accepted)
{
    bool again = false;

    for (size_t i = 0; host->subkeys != NULL && i < host->secret_count; i++) {
        const char *const option = host->secrets[i].option->name;
        const struct option_setting *const setting = options_setting(host->store, option);
        const char *const address = setting != NULL ? source_subkey(setting->text) : NULL;
        if (address == NULL)
            continue;
        const struct secret_place place = place_of_subkey(host, option, address);
        again = host->subkeys->settled(host->subkeys->user, &place, accepted) || again;
    }
    return again;
}

/* Reads the option's source as it is now; nothing is kept between two requests. */
static kw_status secret_read(kw_host_context *host, const char *option, struct secret *value, kw_error *error)
{
    kw_status status;
    const struct option_setting *const setting = options_setting(host->store, option);
    char *source = NULL, *what = NULL;
    struct subkey_request request = {host, option};
    struct source_reader reader = host->reader;

    if (setting == NULL) {
        status =
            error_set(error, KW_NOT_FOUND, "the store '%s' does not set the option '%s'", host->store->name, option);
        error_place(error, host->settings->path, host->store->place.line, host->store->place.column);
        return status;
    }
    source = source_resolve(setting->text, host->settings->directory);
    what = text_format("%s of store %s", option, host->store->name);
    if (source == NULL || what == NULL) {
        status = error_memory(error);
        goto out;
    }
    if (host->subkeys != NULL) {
        reader.subkey = derive_secret;
        reader.subkey_user = &request;
    }
    status = source_read(source, &reader, what, false, value, error);
    if (status != KW_OK)
        error_place(error, host->settings->path, setting->text_place.line, setting->text_place.column);
out:
    if (source != NULL)
        secret_wipe(source, strlen(source)); /* it may be an inline one */
    free(source);
    free(what);
    return status;
}

/* ---- Where the backend may lock: on record beyond the process ---- */

/* Handed out in an operation that is under way in this thread. */
struct open_attempt {
    struct open_attempt *next;
    kw_host_context *host;
    struct memory_of_secret *memory;
    struct refusal_attempt *attempt;
};
static _Thread_local struct open_attempt *open_attempts;
static _Thread_local bool refusal_was_told;

static struct refusal_place place_of(const kw_host_context *host, const struct memory_of_secret *memory)
{
    return (struct refusal_place){.state_directory = host->settings->state,
                                  .crypto = host->crypto,
                                  .catalogue = host->catalogue,
                                  .store_id = host->store->id,
                                  .option = memory->option->name};
}

/* Of one secret, or of all that this thread has of the host (`memory` NULL). */
static void attempts_end(const kw_host_context *host, const struct memory_of_secret *memory,
                         enum refusal_outcome outcome)
{
    for (struct open_attempt **link = &open_attempts; *link != NULL;) {
        struct open_attempt *const each = *link;
        if (each->host != host || (memory != NULL && each->memory != memory)) {
            link = &each->next;
            continue;
        }
        *link = each->next;
        refusal_end(each->attempt, outcome, host->log);
        free(each);
    }
}

static bool attempt_is_open(const kw_host_context *host, const struct memory_of_secret *memory)
{
    for (const struct open_attempt *each = open_attempts; each != NULL; each = each->next)
        if (each->host == host && each->memory == memory)
            return true;
    return false;
}

void host_secrets_begin(void)
{
    refusal_was_told = false;
}

bool host_secrets_told(void)
{
    return refusal_was_told;
}

void host_secrets_tell(bool told)
{
    refusal_was_told = told;
}

/* A plugin that has not said which secret was refused means all. */
void host_secrets_settle(const kw_host_context *host, kw_status answer)
{
    if (open_attempts == NULL)
        return;
    attempts_end(host, NULL,
                 answer == KW_OK                                    ? REFUSAL_ACCEPTED
                 : answer == KW_SECRET_REFUSED && !refusal_was_told ? REFUSAL_REFUSED
                                                                    : REFUSAL_UNDECIDED);
}

/* What, besides its value, makes it another one: how its store is set up, and its file. */
static kw_status describe_settings(const kw_host_context *host, const struct memory_of_secret *memory,
                                   struct buffer *settings, kw_error *error)
{
    const struct option_setting *const setting = options_setting(host->store, memory->option->name);
    char *const source = source_resolve(setting->text, host->settings->directory);

    buffer_append_field(settings, input_text(host->store->plugin));
    for (size_t i = 0; i < host->store->option_count; i++) {
        buffer_append_field(settings, input_text(host->store->options[i].name));
        buffer_append_field(settings, input_text(host->store->options[i].text));
    }
    if (source != NULL) {
        source_identify(source, settings);
        secret_wipe(source, strlen(source));
    }
    free(source);
    return source == NULL || settings->failed ? error_memory(error) : KW_OK;
}

static void remedy_refusal(const kw_host_context *host, const struct memory_of_secret *memory, kw_error *error)
{
    const struct option_setting *const setting = options_setting(host->store, memory->option->name);

    error_remedy(
        error,
        "see to it that it is right, since the backend may lock for good; it is sent again when its value%s or the "
        "settings of the store change",
        source_path(setting->text) != NULL ? ", its file (touch it)" : "");
}

static kw_status attempt_new(kw_host_context *host, struct memory_of_secret *memory, const struct secret *value,
                             uint64_t deadline, kw_error *error)
{
    unsigned char mac[SHA256_LENGTH];
    struct buffer settings = {0};
    struct refusal_place place = place_of(host, memory);
    struct open_attempt *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? KW_OK : error_memory(error);

    place.deadline = deadline;
    attempts_end(host, memory, REFUSAL_UNDECIDED); /* asked for twice in one operation */
    if (status == KW_OK)
        status = describe_settings(host, memory, &settings, error);
    if (status == KW_OK)
        status = refusal_begin(&place, secret_view(value), buffer_view(&settings), mac, &made->attempt, error);
    pthread_mutex_lock(&host->lock);
    if (status == KW_OK || status == KW_SECRET_REFUSED) {
        memory->has_last = status == KW_OK;
        memory->has_refused = status == KW_SECRET_REFUSED;
        memcpy(status == KW_OK ? memory->last : memory->refused, mac, sizeof(mac));
    }
    pthread_mutex_unlock(&host->lock);
    if (status == KW_OK) {
        made->host = host;
        made->memory = memory;
        made->next = open_attempts;
        open_attempts = made;
        made = NULL;
    } else if (status == KW_SECRET_REFUSED)
        remedy_refusal(host, memory, error);
    if (settings.data != NULL)
        secret_wipe(settings.data, settings.length);
    buffer_free(&settings);
    free(made);
    return status;
}

/* ---- Handing out ---- */

static kw_status secret_hand_out(kw_host_context *host, struct memory_of_secret *memory, const struct secret *value,
                                 kw_output *secret, kw_error *error)
{
    unsigned char mac[SHA256_LENGTH];
    bool refused;
    kw_status status = crypto_hmac_sha256(host->crypto, secret_view(&host->key), secret_view(value), mac, error);

    if (status != KW_OK)
        return status;
    pthread_mutex_lock(&host->lock);
    refused = memory->has_refused && crypto_equal(memory->refused, mac, sizeof(mac));
    if (!refused) {
        memcpy(memory->last, mac, sizeof(mac));
        memory->has_last = true;
        memory->has_refused = false; /* the source has changed since */
    }
    pthread_mutex_unlock(&host->lock);
    if (refused) {
        status = error_set(error, KW_SECRET_REFUSED, "the %s of store %s was refused before and has not changed since",
                           memory->option->name, host->store->name);
        error_remedy(error,
                     "put the right one where the configuration says that it is; it is not tried again before that");
        return status;
    }
    return output_copy(secret, secret_view(value));
}

kw_status service_secret_request(kw_host_context *host, const kw_call *call, const char *option, kw_output *secret)
{
    kw_error error = {0};
    struct secret value = {0};
    struct memory_of_secret *const memory = secret_find(host, option);
    kw_status status;

    if (secret == NULL)
        return service_result(error_set(&error, KW_INVALID_ARGUMENT, "there is no buffer for the secret"), &error);
    if (secret->data == NULL || secret->capacity < KW_SECRET_MAXIMUM) {
        secret->length = KW_SECRET_MAXIMUM;
        return KW_BUFFER_TOO_SMALL;
    }
    if (memory == NULL)
        return service_result(error_set(&error, KW_CONFIGURATION,
                                        "the plugin asks for '%s', which is none of its secret options",
                                        option == NULL ? "" : option),
                              &error);
    status = secret_read(host, option, &value, &error); /* a person may take longer than any deadline */
    if (status == KW_OK && host->locks) {
        status = attempt_new(host, memory, &value, call == NULL ? 0 : call->deadline, &error);
        if (status == KW_OK)
            status = output_copy(secret, secret_view(&value));
    } else if (status == KW_OK)
        status = secret_hand_out(host, memory, &value, secret, &error);
    secret_clear(&value);
    return service_result(status, &error);
}

static void memory_refuse(struct memory_of_secret *memory)
{
    if (!memory->has_last)
        return;
    memcpy(memory->refused, memory->last, sizeof(memory->refused));
    memory->has_refused = true;
    memory->has_last = false;
}

/* It was handed out in an operation before this one. */
static void note_refusal(kw_host_context *host, const struct memory_of_secret *memory)
{
    const struct refusal_place place = place_of(host, memory);
    unsigned char mac[SHA256_LENGTH];
    kw_error error = {0};
    bool known;

    pthread_mutex_lock(&host->lock);
    known = memory->has_last;
    memcpy(mac, memory->last, sizeof(mac));
    pthread_mutex_unlock(&host->lock);
    if (known && refusal_note(&place, mac, &error) != KW_OK)
        log_write(host->log, KW_LOG_WARNING, "store %s: that its %s was refused could not be written down: %s",
                  host->store->name, memory->option->name, error.message);
}

void service_secret_refused(kw_host_context *host, const char *option)
{
    struct memory_of_secret *const memory = secret_find(host, option);

    if (memory == NULL)
        return;
    refusal_was_told = true;
    if (attempt_is_open(host, memory))
        attempts_end(host, memory, REFUSAL_REFUSED);
    else if (host->locks)
        note_refusal(host, memory);
    pthread_mutex_lock(&host->lock);
    memory_refuse(memory);
    pthread_mutex_unlock(&host->lock);
}

void service_secret_settled(kw_host_context *host, const char *option, kw_status answer)
{
    struct memory_of_secret *const memory = secret_find(host, option);

    if (answer == KW_SECRET_REFUSED)
        service_secret_refused(host, option);
    else if (memory != NULL)
        attempts_end(host, memory, answer == KW_OK ? REFUSAL_ACCEPTED : REFUSAL_UNDECIDED);
}

void host_secrets_refused(kw_host_context *host)
{
    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; i < host->secret_count; i++)
        memory_refuse(&host->secrets[i]);
    pthread_mutex_unlock(&host->lock);
}

void host_explain_refusal(kw_host_context *host, kw_error *error)
{
    const struct option_setting *setting = NULL;

    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; i < host->secret_count && setting == NULL; i++)
        if (host->secrets[i].has_refused)
            setting = options_setting(host->store, host->secrets[i].option->name);
    pthread_mutex_unlock(&host->lock);
    if (setting == NULL || error == NULL)
        return;
    error->where[0] = '\0';
    error_prefix(error, "store %s", host->store->name);
    error_place(error, host->settings->path, setting->text_place.line, setting->text_place.column);
    if (host->locks && error->remedy[0] != '\0')
        return; /* by remedy_refusal */
    const char *const path = source_path(setting->text);
    char *const file = path != NULL ? source_resolve(setting->text, host->settings->directory) : NULL;
    if (file != NULL)
        error_remedy(error, "write the right %s into %s; after `keywright passphrase` that is the new one",
                     setting->name, source_path(file));
    else
        error_remedy(error, "see to it that this option gives the right %s; after `keywright passphrase`, the new one",
                     setting->name);
    free(file);
}

void host_secret_changed(kw_host_context *host, const char *option)
{
    struct memory_of_secret *const memory = secret_find(host, option);

    kw_error error = {0};

    if (memory == NULL)
        return;
    const struct refusal_place place = place_of(host, memory);
    pthread_mutex_lock(&host->lock);
    memory->has_last = memory->has_refused = false;
    pthread_mutex_unlock(&host->lock);
    if (host->locks && refusal_forget(&place, &error) != KW_OK)
        log_write(host->log, KW_LOG_WARNING, "store %s: %s", host->store->name, error.message);
}
