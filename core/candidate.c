/* A configuration that is read anew, before it is put in force. */
#include "candidate.h"

#include "base/buffer.h"
#include "subkey/root.h"

#include <stdlib.h>
#include <string.h>

#define EXAMPLES 3 /* certificates that a warning names */

void candidate_clear(struct candidate *candidate)
{
    stores_free(candidate->stores);
    settings_free(candidate->settings);
    *candidate = (struct candidate){0};
}

static void log_warning(void *user, const char *sentence)
{
    log_write(user, KW_LOG_WARNING, "%s", sentence);
}

/* ---- Reading ---- */

kw_status candidate_refuse(const char *what, const struct settings *settings, kw_error *error)
{
    const kw_status status = error_set(
        error, KW_REFUSED, "'%s' cannot change while programs use the state: what they have open hangs on it", what);
    error_where(error, "%s", settings->path);
    error_remedy(error, "stop them, and start them again with the new configuration");
    return status;
}

kw_status candidate_read(const kw_context *view, struct candidate *candidate, kw_error *error)
{
    kw_context *const whole = view->whole;
    const kw_open_options options = {.size = sizeof(options), .configuration = view->settings->path};
    struct candidate made = {0};
    kw_status status = configuration_read(&options, log_warning, &whole->log, &made.settings, error);
    if (status == KW_OK && strcmp(made.settings->state, view->settings->state) != 0)
        status = candidate_refuse("state", made.settings, error);
    if (status == KW_OK && strcmp(made.settings->catalogue_key, view->settings->catalogue_key) != 0)
        status = candidate_refuse("catalogue_key", made.settings, error);
    /* A server that takes one that is no good could make no root from then on. */
    if (status == KW_OK)
        status = root_check_recovery(view->crypto, made.settings, error);
    if (status == KW_OK)
        status = context_make_stores(whole, made.settings, view->stores, &made.stores, error);
    context_watch_forks();
    if (status == KW_OK)
        *candidate = made;
    else
        candidate_clear(&made);
    return status;
}

/* ---- Opening ---- */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Whether the setting tells how this store is made; some are of all stores. */
static bool concerns(const char *setting, const char *store)
{
    const size_t length = strlen(store);
    if (begins_with(setting, "plugin_directories") || begins_with(setting, "allow_inline_secrets"))
        return true;
    if (!begins_with(setting, "stores."))
        return false;
    setting += strlen("stores.");
    return strncmp(setting, store, length) == 0 && setting[length] == '.';
}

static bool is_changed(const kw_changes *changes, const char *store)
{
    bool changed = false;
    for (size_t i = 0; changes != NULL && i < changes->count && !changed; i++)
        changed = concerns(changes->changes[i].setting, store);
    return changed;
}

kw_status candidate_open(const kw_context *view, const struct candidate *candidate, const kw_changes *changes,
                         kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < candidate->settings->store_count; i++) {
        const char *const name = candidate->settings->stores[i].name;
        struct store *store = NULL;
        if (!stores_share(candidate->stores, view->stores, name) || is_changed(changes, name))
            status = stores_get(candidate->stores, name, &store, error);
    }
    return status;
}

/* ---- Stores that go away ---- */

/* "stores.NAME.id: ID"; NULL: none had this id. */
static const char *name_before(const struct lines *before, const char *id, size_t *length)
{
    static const char start[] = "stores.", end[] = ".id";
    for (size_t i = 0; i < before->count; i++) {
        const char *const name = before->rows[i].name;
        const size_t whole = strlen(name);
        if (strcmp(before->rows[i].text, id) != 0 || !begins_with(name, start) ||
            whole <= strlen(start) + strlen(end) || strcmp(name + whole - strlen(end), end) != 0)
            continue;
        *length = whole - strlen(start) - strlen(end);
        return name + strlen(start);
    }
    return NULL;
}

static const char *address_of(const struct catalogue_snapshot *snapshot, const struct id *entry)
{
    for (size_t i = 0; i < snapshot->entry_count; i++)
        if (id_equal(&snapshot->entries[i].id, entry))
            return snapshot->entries[i].address;
    return "a certificate whose entry cannot be read";
}

/* "database/sales@1, database/sales@2 and 7 more" */
static void name_certificates(const struct catalogue_snapshot *snapshot, const char *store_id, struct buffer *text)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->certificate_count; i++) {
        const struct certificate_row *const row = &snapshot->certificates[i];
        if (strcmp(row->store_id, store_id) == 0 && count++ < EXAMPLES)
            buffer_format(text, "%s%s@%u", count > 1 ? ", " : "", address_of(snapshot, &row->entry), row->number);
    }
    if (count > EXAMPLES)
        buffer_format(text, " and %zu more", count - EXAMPLES);
}

static kw_status warn_of_store(const struct catalogue_snapshot *snapshot, const struct lines *before,
                               const char *store_id, kw_changes *changes, kw_error *error)
{
    struct buffer text = {0};
    size_t length = 0;
    const char *const name = name_before(before, store_id, &length);
    kw_status status = KW_OK;
    if (name != NULL)
        buffer_format(&text, "store %.*s goes away (id %s), and keys are in it: ", (int)length, name, store_id);
    else
        buffer_format(&text, "the store with id %s is not configured, and keys are in it: ", store_id);
    name_certificates(snapshot, store_id, &text);
    buffer_format(&text, "; keep it until `keywright transfer` has moved them");
    buffer_append_u8(&text, 0);
    status = text.failed ? error_memory(error) : changes_warn(changes, (const char *)text.data, error);
    buffer_free(&text);
    return status;
}

static bool is_first_of_store(const struct catalogue_snapshot *snapshot, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(snapshot->certificates[i].store_id, snapshot->certificates[index].store_id) == 0)
            return false;
    return true;
}

/* `status` and others report it. */
static void ignore_corrupt(void *user, const kw_error *error)
{
    (void)user;
    (void)error;
}

kw_status candidate_warn(const kw_context *view, const struct candidate *candidate, const struct lines *before,
                         kw_changes *changes, kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    kw_status status = catalogue_snapshot_read(view->catalogue, ignore_corrupt, NULL, &snapshot, error);
    for (size_t i = 0; status == KW_OK && i < snapshot.certificate_count; i++) {
        const char *const id = snapshot.certificates[i].store_id;
        if (strcmp(id, SETTINGS_RESERVED_STORE) != 0 && settings_store_by_id(candidate->settings, id) == NULL &&
            is_first_of_store(&snapshot, i))
            status = warn_of_store(&snapshot, before, id, changes, error);
    }
    catalogue_snapshot_clear(&snapshot);
    return status;
}
