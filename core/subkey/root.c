/* Making and loading roots. */
#include "subkey/root_private.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <string.h>

#define ATTEMPTS_MAXIMUM 3

static kw_status no_root(const struct root_place *place, const struct id *master, kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get_by_id(place->catalogue, master, &entry, error);
    if (status == KW_OK)
        status = error_set(error, KW_NOT_FOUND, "%s has no root secret yet", entry.address);
    entry_row_clear(&entry);
    return status;
}

kw_status root_active(const struct root_place *place, const struct id *master, uint32_t *version, kw_error *error)
{
    struct root_rows rows = {0};
    const struct root_row *active = NULL;
    kw_status status = root_rows_read(place, master, &rows, error);
    if (status == KW_OK)
        active = root_rows_active(&rows);
    if (active != NULL)
        *version = active->version;
    else if (status == KW_OK)
        status = no_root(place, master, error);
    root_rows_clear(&rows);
    return status;
}

kw_status root_store(const struct root_place *place, const struct id *master, struct store **store, kw_error *error)
{
    struct entry_row entry = {0};
    struct certificate_row certificate = {0};
    kw_status status = catalogue_entry_get_by_id(place->catalogue, master, &entry, error);
    if (status == KW_OK)
        status = catalogue_certificate_get(place->catalogue, &entry.certificate, &certificate, error);
    if (status == KW_OK)
        status = stores_get_by_id(place->stores, certificate.store_id, store, error);
    entry_row_clear(&entry);
    certificate_row_clear(&certificate);
    return status;
}

/* ---- Making ------------------------------------------------------------------------------------------------ */

/* Random bytes of libcrypto's; the store only wraps them. */
static kw_status make_row(const struct root_place *place, const struct root_key *key, uint32_t version,
                          struct root_row *row, kw_error *error)
{
    struct secret root = {0};
    kw_status status = id_make(place->crypto, &row->id, error);
    row->master = key->entry.id;
    row->version = version;
    row->state = ROOT_ACTIVE;
    row->created = clock_wall();
    if (status == KW_OK)
        status = secret_new(&root, ROOT_LENGTH, error);
    if (status == KW_OK) {
        root.length = ROOT_LENGTH;
        status = crypto_random(place->crypto, root.data, root.length, error);
    }
    if (status == KW_OK)
        status = root_row_make(place, &key->wrap, secret_view(&root), false, row, error);
    secret_clear(&root);
    return status;
}

/* Within a transaction: that the master key still has the key that the row is wrapped to. KW_CONFLICT. */
static kw_status check_unchanged(const struct root_place *place, const struct root_key *key, kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get_by_id(place->catalogue, &key->entry.id, &entry, error);
    if (status == KW_OK && !id_equal(&entry.certificate, &key->entry.certificate))
        status = error_set(error, KW_CONFLICT, "somebody else changed %s meanwhile", key->entry.address);
    entry_row_clear(&entry);
    return status;
}

/* Within a transaction, unless somebody has made one meanwhile: which is then the answer. */
static kw_status place_row(const struct root_place *place, const struct root_key *key, struct root_row *row,
                           uint32_t *version, kw_error *error)
{
    struct root_rows rows = {0};
    struct root_row *active = NULL;
    kw_status status = check_unchanged(place, key, error);
    if (status == KW_OK)
        status = root_rows_look(place, &row->master, &rows, error);
    if (status != KW_OK)
        goto out;
    if (rows.count + 1 > row->version) {
        active = root_rows_active(&rows);
        status = active != NULL ? KW_OK : error_set(error, KW_CONFLICT, "somebody else made a root meanwhile");
        *version = active != NULL ? active->version : 0;
        goto out;
    }
    active = root_rows_active(&rows);
    if (active != NULL) {
        active->state = ROOT_DECRYPT_ONLY;
        status = catalogue_root_update(place->catalogue, active, error);
    }
    if (status == KW_OK)
        status = catalogue_root_insert(place->catalogue, row, error);
    if (status == KW_OK)
        *version = row->version;
out:
    root_rows_clear(&rows);
    return status;
}

static kw_status make_once(const struct root_place *place, const struct id *master, uint32_t version, uint32_t *made,
                           kw_error *error)
{
    struct root_key key = {0};
    struct root_row row = {0};
    uint64_t generation = 0;
    kw_error why = {0};
    kw_status status = root_key_open(place, master, &key, error);
    if (status == KW_OK && key.entry.state != ENTRY_IN_USE)
        status = error_set(error, KW_REFUSED, "%s is retired: nothing new is sealed under it", key.entry.address);
    if (status == KW_OK)
        status = root_key_check(&key.wrap, key.entry.address, error);
    if (status == KW_OK)
        status = make_row(place, &key, version, &row, error);
    if (status == KW_OK)
        status = catalogue_begin(place->catalogue, error);
    if (status != KW_OK)
        goto out;
    status = place_row(place, &key, &row, made, error);
    if (status == KW_OK)
        status = catalogue_commit(place->catalogue, error);
    catalogue_rollback(place->catalogue);
    if (status == KW_OK)
        root_rows_note(place, master);
    /* Those that seal under the former version come to this one. */
    if (status == KW_OK && version > 1 && control_raise(place->control, &generation, &why) != KW_OK)
        log_write(place->log, KW_LOG_WARNING, "%s: the other processes could not be told of its new root: %s",
                  key.entry.address, why.message);
out:
    root_row_clear(&row);
    root_key_clear(&key);
    return status;
}

kw_status root_make(const struct root_place *place, const struct id *master, uint32_t after, uint32_t *version,
                    kw_error *error)
{
    kw_status status = KW_CONFLICT;
    for (unsigned attempt = 0; status == KW_CONFLICT && attempt < ATTEMPTS_MAXIMUM; attempt++) {
        struct root_rows rows = {0};
        const struct root_row *active = NULL;
        status = root_rows_read(place, master, &rows, error);
        if (status == KW_OK)
            active = root_rows_active(&rows);
        const uint32_t next = (uint32_t)rows.count + 1, newest = active != NULL ? active->version : 0;
        root_rows_clear(&rows);
        if (status != KW_OK)
            return status;
        if (newest > after) {
            *version = newest;
            return KW_OK;
        }
        status = make_once(place, master, next, version, error);
    }
    return status;
}

/* ---- Loading ------------------------------------------------------------------------------------------------ */

static kw_status find_version(const struct entry_row *entry, const struct root_rows *rows, uint32_t version,
                              const struct root_row **row, kw_error *error)
{
    if (version == 0 || version > rows->count) {
        const kw_status status =
            error_set(error, KW_NOT_FOUND, "%s has no root %u in this catalogue", entry->address, (unsigned)version);
        error_remedy(
            error,
            "where another server has made it, `keywright export %s` there and `keywright import` here bring it; "
            "where none has, the number is wrong, or somebody changed it",
            entry->address);
        return status;
    }
    *row = &rows->rows[version - 1];
    if ((*row)->state == ROOT_RETIRED)
        return error_set(error, KW_NOT_FOUND, "root %u of %s is retired: what was sealed under it cannot be opened",
                         (unsigned)version, entry->address);
    return KW_OK;
}

kw_status root_check(const struct root_place *place, const struct id *master, uint32_t version, kw_error *error)
{
    struct root_rows rows = {0};
    struct entry_row entry = {0};
    const struct root_row *row = NULL;
    kw_status status = catalogue_entry_get_by_id(place->catalogue, master, &entry, error);
    if (status == KW_OK)
        status = root_rows_read(place, master, &rows, error);
    if (status == KW_OK)
        status = find_version(&entry, &rows, version, &row, error);
    root_rows_clear(&rows);
    entry_row_clear(&entry);
    return status;
}

kw_status root_is_over(const struct root_place *place, const struct id *master, uint32_t version, bool *is_over,
                       kw_error *error)
{
    struct root_rows rows = {0};
    const kw_status status = root_rows_look(place, master, &rows, error);
    if (status == KW_OK)
        *is_over = version == 0 || version > rows.count || rows.rows[version - 1].state == ROOT_RETIRED;
    root_rows_clear(&rows);
    return status;
}

static kw_status load_once(const struct root_place *place, const struct id *master, uint32_t version,
                           struct root_key *key, struct secret *root, kw_error *error)
{
    struct root_rows rows = {0};
    const struct root_row *row = NULL;
    kw_status status = root_key_open(place, master, key, error);
    if (status == KW_OK)
        status = root_rows_read(place, master, &rows, error);
    if (status == KW_OK)
        status = find_version(&key->entry, &rows, version, &row, error);
    if (status != KW_OK)
        goto out;
    status = root_row_check(&key->wrap, row, error);
    if (status == KW_OK)
        status = root_row_unwrap(place, &key->wrap, row, root, error);
    if (status != KW_OK)
        root_blame(&key->entry, version, error);
out:
    root_rows_clear(&rows);
    return status;
}

kw_status root_load(const struct root_place *place, const struct id *master, uint32_t version, struct secret *root,
                    kw_error *error)
{
    kw_error inner; /* the caller's stays untouched when another attempt succeeds */
    kw_status status = KW_CORRUPT;
    bool again = true;
    for (unsigned attempt = 0; again && attempt < ATTEMPTS_MAXIMUM; attempt++) {
        struct root_key key = {0};
        status = load_once(place, master, version, &key, root, &inner);
        /* A key pair that was rotated in between explains a root that its predecessor did not sign. */
        again = status == KW_CORRUPT && key.wrap.key != NULL && check_unchanged(place, &key, NULL) == KW_CONFLICT;
        root_key_clear(&key);
    }
    if (status != KW_OK && error != NULL)
        *error = inner;
    return status;
}
