#include "certificate/derivation.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "certificate/roots.h"
#include "subkey/root_retire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void found_clear(struct found *found)
{
    entry_row_clear(&found->entry);
    certificate_row_clear(&found->certificate);
    *found = (struct found){0};
}

void event_tell(kw_event_callback event, void *user, bool warning, const char *certificate, const char *format, ...)
{
    char *what = NULL;
    va_list arguments;
    if (event == NULL)
        return;
    va_start(arguments, format);
    const int length = vasprintf(&what, format, arguments);
    va_end(arguments);
    const kw_event told = {
        .warning = warning, .certificate = certificate, .what = length >= 0 ? what : "(out of memory)"};
    event(user, &told);
    if (length >= 0)
        free(what);
}

/* Names the address that was probably meant. */
static void suggest_address(kw_context *context, const struct address *address, kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    const char **names = NULL;
    if (catalogue_snapshot_read(context->catalogue, NULL, NULL, &snapshot, NULL) != KW_OK)
        goto out;
    names = calloc(snapshot.entry_count + 1, sizeof(*names));
    if (names == NULL)
        goto out;
    for (size_t i = 0; i < snapshot.entry_count; i++)
        names[i] = snapshot.entries[i].address;
    const char *nearest = nearest_name(address->text, names, snapshot.entry_count);
    if (nearest != NULL)
        error_remedy(error, "did you mean %s? `keywright list --all` shows all", nearest);
    else
        error_remedy(error, "`keywright list --all` shows what there is; `keywright create %s` makes it",
                     address->text);
out:
    free(names);
    catalogue_snapshot_clear(&snapshot);
}

kw_status manager_find(kw_context *context, const char *text, struct found *found, kw_error *error)
{
    struct found made = {.generation = control_generation(context->control)};
    kw_status status = address_parse(text, &made.address, error);
    if (status == KW_OK)
        status = kind_of(&made.address, &made.kind, error);
    if (status != KW_OK)
        goto out;
    status = catalogue_entry_get(context->catalogue, made.address.text, &made.entry, error);
    if (status == KW_NOT_FOUND) {
        status = error_set(error, KW_NOT_FOUND, "there is no certificate %s", made.address.text);
        suggest_address(context, &made.address, error);
    }
    if (status != KW_OK)
        goto out;
    if (made.address.number != 0) {
        status = catalogue_certificate_get_number(context->catalogue, &made.entry.id, made.address.number,
                                                  &made.certificate, error);
        if (status == KW_NOT_FOUND) {
            status = error_set(error, KW_NOT_FOUND, "%s has no certificate number %u", made.address.text,
                               made.address.number);
            error_remedy(error, "`keywright list --all` shows the numbers");
        }
    } else {
        status = catalogue_certificate_get(context->catalogue, &made.entry.certificate, &made.certificate, error);
        if (status == KW_NOT_FOUND)
            status = error_set(error, KW_CORRUPT, "the catalogue has no row for the current certificate of %s",
                               made.address.text);
    }
    if (status == KW_OK && !id_equal(&made.certificate.entry, &made.entry.id))
        status =
            error_set(error, KW_CORRUPT, "the current certificate of %s belongs to another entry", made.address.text);
out:
    if (status == KW_OK)
        *found = made;
    else
        found_clear(&made);
    return status;
}

kw_status key_limit_as(kw_key *key, X509 *certificate, kw_error *error)
{
    unsigned char *spki = NULL;
    crypto_enter();
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    crypto_leave();
    const kw_status status = length > 0 ? key_limit(key, (kw_input){spki, (size_t)length}, error)
                                        : crypto_error(error, KW_CORRUPT, "the certificate has no readable public key");
    OPENSSL_free(spki);
    return status;
}

/* What a store hands out under a locator must be the certificate's key: an exchanged token must not go unnoticed. */
static kw_status check_is_key_of(kw_context *context, const struct found *found, kw_key *key, kw_error *error)
{
    X509 *certificate = NULL;
    kw_input chain = {found->certificate.chain.data, found->certificate.chain.length};
    kw_status status = x509_read(context->crypto, &chain, &certificate, error);
    const bool same = status == KW_OK && crypto_pkey_is(key_public_pkey(key), X509_get0_pubkey(certificate));
    if (same)
        status = key_limit_as(key, certificate, error);
    else if (status == KW_OK)
        status = error_set(error, KW_CORRUPT, "the key that store '%s' holds for %s is not the certificate's key",
                           store_name(key_store(key)), found->address.text);
    crypto_x509_free(certificate);
    return status;
}

static kw_status open_at(kw_context *context, const struct certificate_row *row, uint64_t generation, kw_key **key,
                         kw_error *error)
{
    const struct key_origin origin = {
        .control = context->control,
        .stores = context->stores,
        .certificate = row->id,
        .renew = context->renew,
        .user = context->whole != NULL ? context->whole : context,
    };
    struct store *store = NULL;
    kw_status status = stores_get_by_id(context->stores, row->store_id, &store, error);
    if (status == KW_OK)
        status = key_open(store, (kw_input){row->locator, row->locator_length}, key, error);
    if (status == KW_OK)
        key_follow(*key, &origin, generation);
    return status;
}

/* Where it is now, when that is another place than the row was read with: KW_OK and the key. */
static kw_status open_moved(kw_context *context, const struct certificate_row *row, kw_key **key)
{
    struct certificate_row now = {0};
    const uint64_t generation = control_generation(context->control);
    kw_status status = catalogue_certificate_get(context->catalogue, &row->id, &now, NULL);
    if (status == KW_OK && now.generation == row->generation)
        status = KW_NOT_FOUND;
    if (status == KW_OK)
        status = open_at(context, &now, generation, key, NULL);
    certificate_row_clear(&now);
    return status;
}

kw_status manager_open_key_plain(kw_context *context, const struct found *found, kw_key **key, kw_error *error)
{
    kw_key *opened = NULL;
    kw_status status = open_at(context, &found->certificate, found->generation, &opened, error);
    if (status != KW_OK && open_moved(context, &found->certificate, &opened) == KW_OK)
        status = error_tolerate(status, status, error);
    if (status == KW_NOT_FOUND) {
        error_prefix(error, "the key of %s", found->address.text);
        error_remedy(error, "check that its store is the one it was made in, or import a backup");
    }
    if (status == KW_OK)
        status = check_is_key_of(context, found, opened, error);
    if (status == KW_OK) {
        *key = opened;
        opened = NULL;
    }
    kw_key_free(opened);
    return status;
}

kw_status manager_open_key(kw_context *context, const struct found *found, kw_key **key, kw_error *error)
{
    const kw_status status = manager_open_key_plain(context, found, key, error);
    if (status == KW_OK && kind_has_roots(found->kind))
        key_guard_roots(*key);
    return status;
}

kw_status manager_choose_store(kw_context *context, const struct kind *kind, const struct address *address,
                               const char *store, const char *const *databases, size_t database_count,
                               const char **chosen, kw_error *error)
{
    const struct certificate_settings wanted = settings_certificate(context->settings, address->text);
    const bool by_database = kind->serves_databases || strcmp(kind->name, "database") == 0;
    const char *found = store != NULL ? store : wanted.store;
    for (size_t i = 0; found == NULL && by_database && i < database_count; i++) {
        const char *first = settings_database_store(context->settings, databases[0]);
        const char *this = settings_database_store(context->settings, databases[i]);
        if ((first == NULL) != (this == NULL) || (first != NULL && strcmp(first, this) != 0)) {
            kw_status status =
                error_set(error, KW_REFUSED, "the databases %s and %s want their keys in different stores",
                          databases[0], databases[i]);
            error_remedy(error, "say which store the key of %s goes to with --store", address->text);
            return status;
        }
        if (i + 1 == database_count)
            found = first;
    }
    if (found == NULL)
        found = context->settings->default_store;
    if (derivation_refuse_store(found, error) != KW_OK)
        return KW_REFUSED;
    if (settings_store(context->settings, found) == NULL) {
        kw_status status = error_set(error, KW_NOT_FOUND, "there is no store '%s'", found);
        error_where(error, "%s", context->settings->path);
        error_remedy(error, "name one of those under 'stores:'");
        return status;
    }
    *chosen = found;
    return KW_OK;
}

kw_status manager_check_circle(kw_context *context, const char *address, const char *store_id, kw_error *error)
{
    const struct circle circle = {.settings = context->settings,
                                  .catalogue = context->catalogue,
                                  .moved_address = address,
                                  .moved_store_id = store_id};
    return circle_check(&circle, store_id, error);
}

void manager_common_name(kw_context *context, const struct kind *kind, const struct address *address,
                         char name[COMMON_NAME_SIZE])
{
    const struct certificate_settings settings = settings_certificate(context->settings, address->text);
    const char *last = address->parts[address->part_count - 1];
    const char *form = kind->common_name != NULL ? kind->common_name : "%s";
    const char *hole = strstr(form, "%s");
    if (settings.common_name != NULL && kind->common_name_configurable)
        snprintf(name, COMMON_NAME_SIZE, "%s", settings.common_name);
    else if (hole != NULL)
        snprintf(name, COMMON_NAME_SIZE, "%.*s%s%s", (int)(hole - form), form, last, hole + 2);
    else
        snprintf(name, COMMON_NAME_SIZE, "%s", form);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

kw_status entry_add_databases(struct entry_row *entry, const char *const *databases, size_t count, size_t *added,
                              kw_error *error)
{
    char **merged = calloc(entry->database_count + count + 1, sizeof(*merged));
    const size_t before = entry->database_count;
    if (merged == NULL)
        return error_memory(error);
    for (size_t i = 0; i < before; i++)
        merged[i] = entry->databases[i];
    free(entry->databases);
    entry->databases = merged;
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t j = 0; j < entry->database_count; j++)
            known = known || strcmp(merged[j], databases[i]) == 0;
        if (known)
            continue;
        merged[entry->database_count] = text_copy(databases[i]);
        if (merged[entry->database_count] == NULL)
            return error_memory(error);
        entry->database_count++;
    }
    *added = entry->database_count - before;
    qsort(merged, entry->database_count, sizeof(*merged), compare_names);
    return KW_OK;
}

kw_status manager_require_database(kw_context *context, const char *needing, const char *database, kw_error *error)
{
    char address[ADDRESS_TEXT_MAXIMUM + 1];
    struct entry_row row = {0};
    snprintf(address, sizeof(address), "database/%s", database);
    kw_status status = catalogue_entry_get(context->catalogue, address, &row, error);
    if (status == KW_NOT_FOUND || (status == KW_OK && row.state != ENTRY_IN_USE)) {
        status = error_set(error, KW_NOT_FOUND, "%s needs %s, which %s", needing, address,
                           status == KW_OK ? "is retired" : "does not exist");
        error_remedy(error, "run `keywright create %s` first", address);
    }
    entry_row_clear(&row);
    return status;
}

/* The number behind the highest that the entry has. */
static kw_status next_number(kw_context *context, const struct entry_row *entry, unsigned *number, kw_error *error)
{
    struct certificate_row row = {0};
    kw_status status = catalogue_certificate_get_last(context->catalogue, &entry->id, &row, error);
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK && row.number >= CERTIFICATE_NUMBER_MAXIMUM) {
        status = error_set(error, KW_REFUSED, "%s has had %u certificates, and can have no more", entry->address,
                           row.number);
        error_remedy(error, "delete the entry, or the highest number if a file brought it along");
    } else if (status == KW_OK) {
        *number = row.number + 1;
    }
    certificate_row_clear(&row);
    return status;
}

/* The entry that the certificate goes into: a new one, one taken into use again, or (former ones) the one that is there. */
static kw_status prepare_entry(kw_context *context, const struct placement *placement, struct entry_row *entry,
                               bool *exists, kw_error *error)
{
    kw_status status = catalogue_entry_get(context->catalogue, placement->address->text, entry, error);
    if (status == KW_OK) {
        *exists = true;
        if (placement->former)
            return KW_OK;
        if ((entry->state == ENTRY_IN_USE && !placement->replaces) || placement->retired) {
            status = error_set(error, KW_EXISTS, "%s exists already", placement->address->text);
            error_remedy(error, "`keywright show %s` shows it", placement->address->text);
        }
        return status;
    }
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status != KW_OK)
        return status;
    if (placement->former) {
        status = error_set(error, KW_NOT_FOUND, "there is no %s that a former certificate could belong to",
                           placement->address->text);
        error_remedy(error, "import the file with its current certificate first");
        return status;
    }
    *exists = false;
    *entry = (struct entry_row){.id = placement->entry, .created = clock_wall(), .state = ENTRY_IN_USE};
    entry->address = text_copy(placement->address->text);
    if (entry->address == NULL)
        return error_memory(error);
    if (id_is_zero(&entry->id))
        return id_make(context->crypto, &entry->id, error);
    return KW_OK;
}

static kw_status insert_certificate(kw_context *context, const struct placement *placement,
                                    const struct key_arrival *arrival, const struct entry_row *entry, unsigned number,
                                    struct id *id, kw_error *error)
{
    struct certificate_row row = {
        .entry = entry->id, .number = number, .key_id = arrival->key_id, .created = clock_wall()};
    kw_status status = id_make(context->crypto, &row.id, error);
    if (status != KW_OK)
        return status;
    row.store_id = text_copy(store_id(arrival->store));
    row.key = text_copy(placement->key);
    row.chain.data = malloc(placement->chain.length + 1);
    if (row.store_id == NULL || row.key == NULL || row.chain.data == NULL) {
        status = error_memory(error);
        goto out;
    }
    memcpy(row.chain.data, placement->chain.data, placement->chain.length);
    row.chain.length = placement->chain.length;
    memcpy(row.locator, arrival->locator, arrival->locator_length);
    row.locator_length = arrival->locator_length;
    status = catalogue_certificate_insert(context->catalogue, &row, error);
    *id = row.id;
out:
    certificate_row_clear(&row);
    return status;
}

/* A certificate of another key takes the current one's place: roots that nobody could open any more would be lost. */
static kw_status settle_roots(kw_context *context, const struct placement *placement, const struct entry_row *entry,
                              kw_error *error)
{
    const struct root_place place = roots_place(context);
    bool any = false;
    kw_status status = KW_OK;
    if (!kind_has_roots(placement->kind))
        return KW_OK;
    if (placement->roots != NULL)
        return root_set_write(&place, placement->roots, error);
    status = root_any_unretired(&place, &entry->id, &any, error);
    if (status == KW_OK && any) {
        status = error_set(error, KW_REFUSED, "%s has root secrets, which another key could not open",
                           placement->address->text);
        error_remedy(error, "`keywright rotate %s --new-key` gives them a new key", placement->address->text);
    }
    return status;
}

void manager_tell_changed(kw_context *context)
{
    uint64_t generation = 0;
    kw_error why = {0};
    if (control_raise(context->control, &generation, &why) != KW_OK)
        log_write(&context->log, KW_LOG_WARNING, "the running programs could not be told: %s", why.message);
}

kw_status manager_place(kw_context *context, const struct placement *placement, struct key_arrival *arrival,
                        kw_error *error)
{
    struct entry_row entry = {0};
    struct id certificate = {0};
    size_t added = 0;
    bool exists = false;
    unsigned number = placement->number;
    kw_status status = placement->former
                           ? KW_OK
                           : manager_check_circle(context, placement->address->text, store_id(arrival->store), error);
    if (status == KW_OK && placement->kind->in_database && !placement->retired && !placement->former)
        status = manager_require_database(context, placement->address->text,
                                          kind_database(placement->kind, placement->address), error);
    if (status == KW_OK)
        status = prepare_entry(context, placement, &entry, &exists, error);
    if (status != KW_OK)
        goto out;
    status = entry_add_databases(&entry, placement->databases, placement->database_count, &added, error);
    if (status == KW_OK && !exists)
        status = catalogue_entry_insert(context->catalogue, &entry, error);
    if (status != KW_OK)
        goto out;
    if (number == 0) {
        status = next_number(context, &entry, &number, error);
        if (status != KW_OK)
            goto out;
    }
    if (!placement->former) {
        status = settle_roots(context, placement, &entry, error);
        if (status != KW_OK)
            goto out;
    }
    status = insert_certificate(context, placement, arrival, &entry, number, &certificate, error);
    if (status != KW_OK)
        goto out;
    if (!placement->former) {
        entry.certificate = certificate;
        entry.state = placement->retired ? ENTRY_RETIRED : ENTRY_IN_USE;
    }
    if (!placement->former || added > 0) {
        status = catalogue_entry_update(context->catalogue, &entry, error);
    }
    if (status == KW_OK)
        status = key_arrival_settle(context, arrival, error);
    arrival->supersedes = status == KW_OK && exists && !placement->former;
out:
    entry_row_clear(&entry);
    return status;
}
