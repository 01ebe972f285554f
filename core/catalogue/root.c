/* Roots of master keys: wrapped and signed by the floor above; here they are rows whose state only moves forward. */
#include <stdlib.h>
#include <string.h>

#include "catalogue/handle.h"

static const char *const state_names[] = {
    [ROOT_ACTIVE] = "active", [ROOT_DECRYPT_ONLY] = "decrypt-only", [ROOT_RETIRED] = "retired"};
enum { STATE_COUNT = sizeof(state_names) / sizeof(state_names[0]) };

void root_row_clear(struct root_row *row)
{
    if (row == NULL)
        return;
    free(row->wraps.data);
    free(row->scheme);
    free(row->signature.data);
    *row = (struct root_row){0};
}

void catalogue_roots_free(struct root_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        root_row_clear(&rows[i]);
    free(rows);
}

/* ---- Reading ---- */

static kw_status bytes_copy(kw_input from, kw_bytes *to, kw_error *error)
{
    struct buffer copy = {0};
    buffer_append(&copy, from.data, from.length);
    const kw_status status = buffer_take(&copy, to);
    return status == KW_OK ? KW_OK : error_memory(error);
}

static kw_status root_row_read(struct sqlite *sqlite, const struct row *row, struct root_row *root, kw_error *error)
{
    struct row_reader reader = {.row = row};
    struct root_row read = {.generation = row_generation(row)};
    kw_input spki, wraps, signature;
    kw_status status;
    read.id = row_take_id(&reader);
    read.master = row_take_id(&reader);
    read.version = (uint32_t)row_take_integer(&reader, 1, ROOT_VERSION_MAXIMUM);
    read.state = (enum root_state)row_take_name(&reader, state_names, STATE_COUNT);
    spki = row_take_bytes(&reader, sizeof(read.spki));
    wraps = row_take_bytes(&reader, ROOT_WRAPS_MAXIMUM);
    read.scheme = row_take_text(&reader);
    signature = row_take_bytes(&reader, ROOT_SIGNATURE_MAXIMUM);
    read.resealed = (uint32_t)row_take_integer(&reader, 0, ROOT_VERSION_MAXIMUM);
    read.created = row_take_integer(&reader, INT64_MIN, INT64_MAX);
    reader.malformed = reader.malformed || spki.length != sizeof(read.spki);
    status = catalogue_row_end(sqlite, &reader, error);
    if (status == KW_OK)
        status = bytes_copy(wraps, &read.wraps, error);
    if (status == KW_OK)
        status = bytes_copy(signature, &read.signature, error);
    if (status == KW_OK) {
        memcpy(read.spki, spki.data, sizeof(read.spki));
        *root = read;
        read = (struct root_row){0};
    }
    root_row_clear(&read);
    return status;
}

struct root_list {
    struct root_row *rows;
    size_t count, room;
};

static kw_status root_list_grow(struct root_list *list, kw_error *error)
{
    const size_t room = 2 * list->room + 4;
    struct root_row *grown;
    if (list->count < list->room)
        return KW_OK;
    grown = calloc(room, sizeof(*grown));
    if (grown == NULL)
        return error_memory(error);
    if (list->count > 0)
        memcpy(grown, list->rows, list->count * sizeof(*grown));
    free(list->rows);
    list->rows = grown;
    list->room = room;
    return KW_OK;
}

/* Versions are never deleted one by one, so a gap is a row that somebody took away. */
static kw_status versions_missing(const struct root_row *row, kw_error *error)
{
    char text[ID_TEXT_SIZE];
    kw_status status;
    id_text(&row->master, text);
    status = error_set(error, KW_CORRUPT, "a version before root %u of the master key with the id %s is gone",
                       (unsigned)row->version, text);
    error_remedy(error, "%s", table_root.remedy);
    return status;
}

static kw_status root_list_read(struct catalogue *catalogue, struct sqlite *sqlite, const struct id *master,
                                struct root_list *list, kw_error *error)
{
    struct row row = {.table = &table_root};
    struct sqlite3_stmt *query = NULL;
    char text[ID_TEXT_SIZE];
    bool found = true;
    id_text(master, text);
    const struct value key = value_text(text);
    kw_status status = sqlite_query(sqlite, STATEMENT_ROOT_OF_MASTER, &key, 1, &query, error);
    while (status == KW_OK) {
        status = sqlite_next(sqlite, query, row.values, row_width(row.table), &found, error);
        if (status != KW_OK || !found)
            break;
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
        if (status == KW_OK)
            status = root_list_grow(list, error);
        if (status == KW_OK)
            status = root_row_read(sqlite, &row, &list->rows[list->count], error);
        if (status == KW_OK)
            list->count++;
        if (status == KW_OK && list->rows[list->count - 1].version != list->count)
            status = versions_missing(&list->rows[list->count - 1], error);
    }
    sqlite_done(query);
    return status;
}

kw_status catalogue_roots_read(struct catalogue *catalogue, const struct id *master, struct root_row **rows,
                               size_t *count, kw_error *error)
{
    struct sqlite *sqlite;
    struct root_list list = {0};
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = root_list_read(catalogue, sqlite, master, &list, error);
    status = catalogue_leave(catalogue, ACCESS_READ, status, error);
    if (status == KW_OK) {
        *rows = list.rows;
        *count = list.count;
        list = (struct root_list){0};
    }
    catalogue_roots_free(list.rows, list.count);
    return status;
}

/* ---- Writing ---- */

static kw_status root_check(const struct root_row *row, kw_error *error)
{
    if (id_is_zero(&row->id) || id_is_zero(&row->master) || row->scheme == NULL || row->wraps.data == NULL ||
        row->signature.data == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "a root needs an id, a master key, wraps and a signature");
    if (row->version < 1 || row->version > ROOT_VERSION_MAXIMUM || row->resealed > ROOT_VERSION_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a root has a version from 1 to %u", ROOT_VERSION_MAXIMUM);
    if (row->state < ROOT_ACTIVE || row->state > ROOT_RETIRED)
        return error_set(error, KW_INVALID_ARGUMENT, "a root has no state with the number %d", (int)row->state);
    if (row->wraps.length > ROOT_WRAPS_MAXIMUM || row->signature.length > ROOT_SIGNATURE_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "the wraps or the signature of a root are too long");
    return KW_OK;
}

/* The stored row, verified; it must be what `root` was read from, and not further than it. */
static kw_status check_stored(struct catalogue *catalogue, struct sqlite *sqlite, const struct root_row *root,
                              uint64_t *generation, kw_error *error)
{
    struct row row = {.table = &table_root};
    struct root_row stored = {0};
    struct sqlite3_stmt *query = NULL;
    char id[ID_TEXT_SIZE];
    bool found = false;
    id_text(&root->id, id);
    const struct value key = value_text(id);
    kw_status status = catalogue_row_get(sqlite, STATEMENT_ROOT_BY_ID, &key, 1, &row, &query, &found, error);
    if (status == KW_OK && !found)
        status = error_set(error, KW_NOT_FOUND, "there is no root %u with this id any more", (unsigned)root->version);
    if (status == KW_OK)
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
    if (status == KW_OK)
        status = root_row_read(sqlite, &row, &stored, error);
    sqlite_done(query);
    if (status == KW_OK && stored.generation != root->generation)
        status = error_set(error, KW_CONFLICT, "somebody else changed root %u meanwhile", (unsigned)root->version);
    if (status == KW_OK && (!id_equal(&stored.master, &root->master) || stored.version != root->version ||
                            root->state < stored.state || root->resealed < stored.resealed))
        status = error_set(error, KW_REFUSED, "root %u stays with its master key, and goes no way back",
                           (unsigned)root->version);
    *generation = stored.generation;
    root_row_clear(&stored);
    return status;
}

static kw_status root_row_seal(struct catalogue *catalogue, const struct root_row *root, uint64_t generation,
                               struct row *row, kw_error *error)
{
    row_add_id(row, &root->id);
    row_add_id(row, &root->master);
    row_add_integer(row, root->version);
    row_add_text(row, state_names[root->state]);
    row_add_bytes(row, (kw_input){root->spki, sizeof(root->spki)});
    row_add_bytes(row, (kw_input){root->wraps.data, root->wraps.length});
    row_add_text(row, root->scheme);
    row_add_bytes(row, (kw_input){root->signature.data, root->signature.length});
    row_add_integer(row, root->resealed);
    row_add_integer(row, root->created);
    return row_seal(row, catalogue->crypto, secret_view(&catalogue->row_key), generation, error);
}

static kw_status root_write(struct catalogue *catalogue, struct root_row *root, bool update, kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_root};
    uint64_t generation = 0;
    kw_status status = root_check(root, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    if (update)
        status = check_stored(catalogue, sqlite, root, &generation, error);
    generation = catalogue_next_generation(generation);
    if (status == KW_OK)
        status = root_row_seal(catalogue, root, generation, &row, error);
    if (status == KW_OK) {
        status = sqlite_run(sqlite, update ? STATEMENT_ROOT_UPDATE : STATEMENT_ROOT_INSERT, row.values, row.count, NULL,
                            error);
        if (status == KW_EXISTS)
            error_set(error, KW_EXISTS, "there is a root %u of this master key already", (unsigned)root->version);
    }
    status = catalogue_leave(catalogue, ACCESS_WRITE, status, error);
    if (status == KW_OK)
        root->generation = generation;
    return status;
}

kw_status catalogue_root_insert(struct catalogue *catalogue, struct root_row *row, kw_error *error)
{
    return root_write(catalogue, row, false, error);
}

kw_status catalogue_root_update(struct catalogue *catalogue, struct root_row *row, kw_error *error)
{
    return root_write(catalogue, row, true, error);
}

kw_status catalogue_roots_drop(struct catalogue *catalogue, const struct id *master, kw_error *error)
{
    struct sqlite *sqlite;
    char text[ID_TEXT_SIZE];
    id_text(master, text);
    const struct value key = value_text(text);
    kw_status status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status == KW_OK)
        status = catalogue_leave(catalogue, ACCESS_WRITE, sqlite_run(sqlite, STATEMENT_ROOT_DROP, &key, 1, NULL, error),
                                 error);
    return status;
}
