/* Taking certificates out of use, and removing them. */
#include "certificate/calls.h"
#include "certificate/manager.h"
#include "certificate/roots.h"

#include <stdlib.h>
#include <string.h>

static bool database_in_use(const struct catalogue_snapshot *snapshot, const char *database)
{
    for (size_t i = 0; i < snapshot->entry_count; i++) {
        const struct entry_row *entry = &snapshot->entries[i];
        if (strncmp(entry->address, "database/", 9) == 0 && strcmp(entry->address + 9, database) == 0)
            return entry->state == ENTRY_IN_USE;
    }
    return false;
}

/* Whether retiring `database` takes this entry with it: it is the database's own, and no other's that is in use. */
static bool is_own_of(const struct catalogue_snapshot *snapshot, const struct entry_row *entry, const char *database)
{
    struct address address;
    const struct kind *kind = NULL;
    bool serves = false;
    if (address_parse(entry->address, &address, NULL) != KW_OK || kind_of(&address, &kind, NULL) != KW_OK)
        return false;
    if (kind->in_database)
        return strcmp(address.parts[1], database) == 0;
    for (size_t i = 0; kind->serves_databases && i < entry->database_count; i++) {
        if (strcmp(entry->databases[i], database) == 0)
            serves = true;
        else if (database_in_use(snapshot, entry->databases[i]))
            return false;
    }
    return serves;
}

static kw_status retire_entry(kw_context *context, const char *address, kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get(context->catalogue, address, &entry, error);
    if (status == KW_OK && entry.state == ENTRY_IN_USE) {
        entry.state = ENTRY_RETIRED;
        status = catalogue_entry_update(context->catalogue, &entry, error);
    }
    entry_row_clear(&entry);
    return status;
}

/* The addresses that go out of use: the one that was named, and, with a database, all that is its own. */
static size_t choose_retired(const struct catalogue_snapshot *snapshot, const struct found *found, const char **chosen)
{
    const bool is_database = strcmp(found->kind->name, "database") == 0;
    size_t count = 0;
    chosen[count++] = found->address.text;
    for (size_t i = 0; is_database && i < snapshot->entry_count; i++) {
        const struct entry_row *entry = &snapshot->entries[i];
        if (entry->state == ENTRY_IN_USE && is_own_of(snapshot, entry, found->address.parts[1]))
            chosen[count++] = entry->address;
    }
    return count;
}

kw_status manager_retire(kw_context *context, const char *address, kw_event_callback event, void *user, kw_error *error)
{
    struct found found = {0};
    struct catalogue_snapshot snapshot = {0};
    const char **chosen = NULL;
    size_t count = 0;
    kw_status status = manager_find(context, address, &found, error);
    if (status == KW_OK && found.address.number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "an entry is retired as a whole: leave out @%u",
                           found.address.number);
    else if (status == KW_OK && found.entry.state == ENTRY_RETIRED)
        status = error_set(error, KW_REFUSED, "%s is retired already", found.address.text);
    if (status == KW_OK)
        status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        goto out;
    status = catalogue_snapshot_read(context->catalogue, NULL, NULL, &snapshot, error);
    if (status == KW_OK) {
        chosen = calloc(snapshot.entry_count + 1, sizeof(*chosen));
        if (chosen == NULL)
            status = error_memory(error);
        else
            count = choose_retired(&snapshot, &found, chosen);
    }
    for (size_t i = 0; status == KW_OK && i < count; i++)
        status = retire_entry(context, chosen[i], error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    if (status == KW_OK)
        manager_tell_changed(context);
    for (size_t i = 0; status == KW_OK && i < count; i++)
        event_tell(event, user, false, chosen[i], "retired");
out:
    free(chosen);
    catalogue_snapshot_clear(&snapshot);
    found_clear(&found);
    return status;
}

/* A database that others still hang on is not taken from under them. */
static kw_status check_nothing_depends(const struct catalogue_snapshot *snapshot, const struct kind *kind,
                                       const struct address *address, kw_error *error)
{
    if (strcmp(kind->name, "database") != 0)
        return KW_OK;
    for (size_t i = 0; i < snapshot->entry_count; i++) {
        const struct entry_row *entry = &snapshot->entries[i];
        if (entry->state != ENTRY_IN_USE || strcmp(entry->address, address->text) == 0 ||
            !is_own_of(snapshot, entry, address->parts[1]))
            continue;
        kw_status status =
            error_set(error, KW_REFUSED, "%s depends on %s and is in use", entry->address, address->text);
        error_remedy(error, "`keywright retire %s` retires both; or retire %s first", address->text, entry->address);
        return status;
    }
    return KW_OK;
}

/* Which one would go must be said where there are several: after the current one, the next would be the one before it. */
static kw_status check_is_meant(kw_context *context, const struct found *found, kw_error *error)
{
    struct certificate_row other = {0};
    kw_status status = KW_NOT_FOUND;
    if (found->address.number != 0)
        return KW_OK;
    for (unsigned number = found->certificate.number; status == KW_NOT_FOUND && number-- > 1;)
        status = catalogue_certificate_get_number(context->catalogue, &found->entry.id, number, &other, NULL);
    if (status == KW_NOT_FOUND) { /* the current one need not be the last that was made */
        status = catalogue_certificate_get_last(context->catalogue, &found->entry.id, &other, error);
        if (status != KW_OK || other.number == found->certificate.number) {
            certificate_row_clear(&other);
            return status;
        }
    }
    certificate_row_clear(&other);
    status = error_set(error, KW_REFUSED, "%s has more than one certificate", found->address.text);
    error_remedy(error, "say which by its number: %s@%u is the current one, and `keywright list --all` shows them",
                 found->address.text, found->certificate.number);
    return status;
}

static kw_status check_may_delete(kw_context *context, const struct found *found, bool force, kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    const bool current = id_equal(&found->entry.certificate, &found->certificate.id);
    kw_status status = check_is_meant(context, found, error);
    if (status == KW_OK)
        status = roots_check_unneeded(context, found, error);
    if (status != KW_OK || !current || found->entry.state != ENTRY_IN_USE)
        return status;
    if (!force) {
        status = error_set(error, KW_REFUSED, "%s is required", found->address.text);
        error_remedy(error, "run `keywright retire %s` first; or --force, and what was encrypted to it is lost",
                     found->address.text);
        return status;
    }
    status = catalogue_snapshot_read(context->catalogue, NULL, NULL, &snapshot, error);
    if (status == KW_OK)
        status = check_nothing_depends(&snapshot, found->kind, &found->address, error);
    catalogue_snapshot_clear(&snapshot);
    return status;
}

/* Takes the certificate's row away, or what is left of it; its entry goes with the last one, and is out of use without its current one. */
static kw_status forget(kw_context *context, struct entry_row *entry, const struct id *certificate, kw_error *error)
{
    struct certificate_row rest = {0};
    kw_status status = catalogue_certificate_delete(context->catalogue, certificate, error);
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status != KW_OK || !id_equal(&entry->certificate, certificate))
        return status;
    status = catalogue_certificate_get_last(context->catalogue, &entry->id, &rest, error);
    if (status == KW_NOT_FOUND) {
        status = error_tolerate(status, KW_NOT_FOUND, error);
        if (status == KW_OK)
            status = roots_drop(context, entry, error);
        if (status == KW_OK)
            status = catalogue_entry_delete(context->catalogue, &entry->id, error);
    } else if (status == KW_OK) {
        entry->certificate = rest.id;
        entry->state = ENTRY_RETIRED;
        status = catalogue_entry_update(context->catalogue, entry, error);
    }
    certificate_row_clear(&rest);
    return status;
}

static void pass_over(void *user, const kw_error *damage)
{
    (void)user;
    (void)damage;
}

/* Only the current certificate when the entry verifies, which is `entry` then; else the entry with all that is said to be its. */
static kw_status drop_rows(kw_context *context, const struct kind *kind, const struct address *address,
                           struct entry_row *entry, kw_error *error)
{
    kw_status status = catalogue_entry_get(context->catalogue, address->text, entry, error);
    if (status == KW_OK && kind_has_roots(kind))
        status = roots_check_retired(context, entry, error);
    if (status == KW_OK) {
        const struct id certificate = entry->certificate;
        status = forget(context, entry, &certificate, error);
    }
    if (status == KW_CORRUPT)
        status = catalogue_entry_drop(context->catalogue, address->text, error);
    return status;
}

/*
 * What the catalogue has of a certificate is damaged or gone: it goes, so that another can take its place. Its key stays in its store: a
 * row that does not verify must not say which key is deleted.
 */
static kw_status drop_damaged(kw_context *context, const char *text, kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    struct address address = {0};
    struct entry_row entry = {0};
    const struct kind *kind = NULL;
    kw_status status = address_parse(text, &address, error);
    if (status == KW_OK)
        status = kind_of(&address, &kind, error);
    if (status == KW_OK && address.number != 0) {
        status = error_set(error, KW_CORRUPT, "a damaged certificate can be dropped as its entry's current one alone");
        error_where(error, "%s", text);
    }
    if (status == KW_OK)
        status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    status = catalogue_snapshot_read(context->catalogue, pass_over, NULL, &snapshot, error);
    if (status == KW_OK)
        status = check_nothing_depends(&snapshot, kind, &address, error);
    if (status == KW_OK)
        status = drop_rows(context, kind, &address, &entry, error);
    if (status == KW_OK) {
        status = catalogue_commit(context->catalogue, error);
        if (status == KW_CONFLICT && kind_has_roots(kind)) {
            status = error_set(error, KW_REFUSED, "%s has root secrets, which would be lost with it", text);
            error_remedy(error, "restore the catalogue from a backup");
        }
    }
    catalogue_rollback(context->catalogue);
    if (status == KW_OK) {
        roots_forget(context, &entry);
        if (kind_has_roots(kind))
            manager_tell_changed(context);
        log_write(
            &context->log, KW_LOG_WARNING,
            "%s: what the catalogue had of it was damaged and is gone; its key, if there is one, stays in its store",
            text);
    }
    entry_row_clear(&entry);
    catalogue_snapshot_clear(&snapshot);
    return status;
}

/*
 * Of a store that is lost for good, or is in the configuration no more: the certificate goes, what there may be of its key does not. One that
 * is required stays: its store may yet come back.
 */
static kw_status drop_unreachable(kw_context *context, const char *address, const kw_error *why, kw_error *error)
{
    struct found found = {0};
    kw_status status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    status = manager_find(context, address, &found, error);
    if (status == KW_OK && id_equal(&found.entry.certificate, &found.certificate.id) &&
        found.entry.state == ENTRY_IN_USE) {
        status =
            error_set(error, KW_REFUSED, "%s is required, and its store cannot be opened: %s", address, why->message);
        error_remedy(error, "bring the store back; or `keywright retire %s`, and --force then drops it without its key",
                     found.address.text);
    }
    if (status == KW_OK)
        status = check_may_delete(context, &found, false, error);
    if (status == KW_OK)
        status = forget(context, &found.entry, &found.certificate.id, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    if (status == KW_OK) {
        roots_forget(context, &found.entry);
        manager_tell_changed(context);
        log_write(&context->log, KW_LOG_WARNING,
                  "%s is gone; its key, if it still exists, stays in its store with the id %s: %s", address,
                  found.certificate.store_id, why->message);
    }
    found_clear(&found);
    return status;
}

kw_status manager_delete(kw_context *context, const char *address, bool force, kw_error *error)
{
    kw_error why = {0};
    struct found found = {0};
    struct store *store = NULL;
    struct key_arrival departure = {0};
    kw_status status = manager_find(context, address, &found, error);
    if (status == KW_CORRUPT && force)
        return drop_damaged(context, address, error);
    if (status != KW_OK)
        return status;
    status = stores_get_by_id(context->stores, found.certificate.store_id, &store, force ? &why : error);
    found_clear(&found);
    if (force && (status == KW_NOT_FOUND || status == KW_UNAVAILABLE || status == KW_CONFIGURATION))
        return drop_unreachable(context, address, &why, error);
    if (force && status != KW_OK && error != NULL)
        *error = why; /* damage, or a refused secret, is no reason to give up a key */
    if (status != KW_OK)
        return status;
    status = journal_own(context, error);
    if (status == KW_OK)
        status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    /* Read again: what was true before the transaction may not be now. */
    status = manager_find(context, address, &found, error);
    if (status == KW_OK && strcmp(found.certificate.store_id, store_id(store)) != 0)
        status = error_set(error, KW_CONFLICT, "%s was moved to another store meanwhile", address);
    if (status == KW_OK)
        status = check_may_delete(context, &found, force, error);
    const bool current = status == KW_OK && id_equal(&found.entry.certificate, &found.certificate.id);
    if (status == KW_OK)
        status = key_departure_begin(context, &found, store, &departure, error);
    if (status == KW_OK)
        status = forget(context, &found.entry, &found.certificate.id, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    if (status == KW_OK && current)
        manager_tell_changed(context);
    if (status == KW_OK && kind_has_roots(found.kind))
        roots_forget(context, &found.entry);
    if (status == KW_OK)
        status = key_departure_finish(context, &departure, error);
    else
        key_arrival_clear(&departure);
    found_clear(&found);
    return status;
}
