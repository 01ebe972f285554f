/* Certificates of entries, and the places of their keys. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "catalogue/handle.h"

enum { CHAIN_MAXIMUM = 1024 * 1024 };

void certificate_row_clear(struct certificate_row *row)
{
    if (row == NULL)
        return;
    free(row->store_id);
    free(row->key);
    kw_bytes_free(&row->chain);
    *row = (struct certificate_row){0};
}

/* ---- Rows ---- */

static kw_status copy_bytes(kw_input from, kw_bytes *bytes, kw_error *error)
{
    bytes->data = malloc(from.length + 1);
    if (bytes->data == NULL)
        return error_memory(error);
    if (from.length > 0)
        memcpy(bytes->data, from.data, from.length);
    bytes->data[from.length] = '\0';
    bytes->length = from.length;
    return KW_OK;
}

kw_status certificate_row_read(struct sqlite *sqlite, const struct row *row, struct certificate_row *certificate,
                               kw_error *error)
{
    struct row_reader reader = {.row = row};
    struct certificate_row read = {.generation = row_generation(row)};
    read.id = row_take_id(&reader);
    read.entry = row_take_id(&reader);
    read.number = (unsigned)row_take_integer(&reader, 1, UINT_MAX);
    read.key_id = row_take_id(&reader);
    read.store_id = row_take_text(&reader);
    kw_input locator = row_take_bytes(&reader, sizeof(read.locator));
    kw_input chain = row_take_bytes(&reader, CHAIN_MAXIMUM);
    read.key = row_take_text(&reader);
    read.created = row_take_integer(&reader, INT64_MIN, INT64_MAX);
    kw_status status = catalogue_row_end(sqlite, &reader, error);
    if (status == KW_OK)
        status = copy_bytes(chain, &read.chain, error);
    if (status != KW_OK) {
        certificate_row_clear(&read);
        return status;
    }
    if (locator.length > 0)
        memcpy(read.locator, locator.data, locator.length);
    read.locator_length = locator.length;
    *certificate = read;
    return KW_OK;
}

/* Borrows from `certificate`. */
static kw_status certificate_row_seal(struct catalogue *catalogue, const struct certificate_row *certificate,
                                      uint64_t generation, struct row *row, kw_error *error)
{
    row_add_id(row, &certificate->id);
    row_add_id(row, &certificate->entry);
    row_add_integer(row, certificate->number);
    row_add_id(row, &certificate->key_id);
    row_add_text(row, certificate->store_id);
    row_add_bytes(row, (kw_input){certificate->locator, certificate->locator_length});
    row_add_bytes(row, (kw_input){certificate->chain.data, certificate->chain.length});
    row_add_text(row, certificate->key);
    row_add_integer(row, certificate->created);
    return row_seal(row, catalogue->crypto, secret_view(&catalogue->row_key), generation, error);
}

static kw_status certificate_check(const struct certificate_row *row, kw_error *error)
{
    if (id_is_zero(&row->id) || id_is_zero(&row->entry) || row->number == 0 || row->store_id == NULL ||
        row->key == NULL)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "a certificate needs an id, an entry, a number, a store and a kind of key");
    if (row->locator_length > sizeof(row->locator))
        return error_set(error, KW_INVALID_ARGUMENT, "a locator has at most %zu bytes", sizeof(row->locator));
    if (row->chain.length > CHAIN_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a chain of certificates has at most %d bytes", CHAIN_MAXIMUM);
    return KW_OK;
}

/* The one row that the statement finds, verified and read. `missing` says what there is not. */
static kw_status certificate_find(struct catalogue *catalogue, struct sqlite *sqlite, enum statement statement,
                                  const struct value *values, size_t count, const char *missing,
                                  struct certificate_row *certificate, kw_error *error)
{
    struct row row = {.table = &table_certificate};
    struct sqlite3_stmt *query = NULL;
    bool found = false;
    kw_status status = catalogue_row_get(sqlite, statement, values, count, &row, &query, &found, error);
    if (status == KW_OK && !found)
        status = error_set(error, KW_NOT_FOUND, "there is no certificate %s", missing);
    if (status == KW_OK)
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
    if (status == KW_OK)
        status = certificate_row_read(sqlite, &row, certificate, error);
    sqlite_done(query);
    return status;
}

/* With `update`, only over the generation of `certificate`. */
static kw_status certificate_write(struct catalogue *catalogue, struct certificate_row *certificate, bool update,
                                   kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_certificate};
    struct certificate_row stored = {0};
    uint64_t generation = 1;
    char id[ID_TEXT_SIZE];
    kw_status status = certificate_check(certificate, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    id_text(&certificate->id, id);
    if (update) {
        const struct value key = value_text(id);
        status = certificate_find(catalogue, sqlite, STATEMENT_CERTIFICATE_BY_ID, &key, 1, id, &stored, error);
        if (status == KW_OK && stored.generation != certificate->generation)
            status = error_set(error, KW_CONFLICT, "somebody else changed the certificate %s meanwhile", id);
        generation = catalogue_next_generation(stored.generation);
    }
    if (status == KW_OK)
        status = certificate_row_seal(catalogue, certificate, generation, &row, error);
    if (status == KW_OK) {
        status = sqlite_run(sqlite, update ? STATEMENT_CERTIFICATE_UPDATE : STATEMENT_CERTIFICATE_INSERT, row.values,
                            row.count, NULL, error);
        if (status == KW_EXISTS)
            error_set(error, KW_EXISTS, "there is a certificate %s, or one with the number %u, already", id,
                      certificate->number);
    }
    status = catalogue_leave(catalogue, ACCESS_WRITE, status, error);
    if (status == KW_OK)
        certificate->generation = generation;
    certificate_row_clear(&stored);
    return status;
}

/* ---- The catalogue's functions ---- */

kw_status catalogue_certificate_insert(struct catalogue *catalogue, struct certificate_row *row, kw_error *error)
{
    return certificate_write(catalogue, row, false, error);
}

kw_status catalogue_certificate_update(struct catalogue *catalogue, struct certificate_row *row, kw_error *error)
{
    return certificate_write(catalogue, row, true, error);
}

kw_status catalogue_certificate_delete(struct catalogue *catalogue, const struct id *id, kw_error *error)
{
    return catalogue_row_delete(catalogue, STATEMENT_CERTIFICATE_DELETE, "certificate", id, error);
}

static kw_status certificate_get(struct catalogue *catalogue, enum statement statement, const struct value *keys,
                                 size_t count, const char *missing, struct certificate_row *row, kw_error *error)
{
    struct sqlite *sqlite;
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = certificate_find(catalogue, sqlite, statement, keys, count, missing, row, error);
    return catalogue_leave(catalogue, ACCESS_READ, status, error);
}

kw_status catalogue_certificate_get(struct catalogue *catalogue, const struct id *id, struct certificate_row *row,
                                    kw_error *error)
{
    char text[ID_TEXT_SIZE];
    id_text(id, text);
    const struct value key = value_text(text);
    return certificate_get(catalogue, STATEMENT_CERTIFICATE_BY_ID, &key, 1, text, row, error);
}

kw_status catalogue_certificate_get_number(struct catalogue *catalogue, const struct id *entry, unsigned number,
                                           struct certificate_row *row, kw_error *error)
{
    char text[ID_TEXT_SIZE];
    id_text(entry, text);
    const struct value keys[] = {value_text(text), value_integer(number)};
    return certificate_get(catalogue, STATEMENT_CERTIFICATE_BY_NUMBER, keys, 2, "with this number", row, error);
}

kw_status catalogue_certificate_get_last(struct catalogue *catalogue, const struct id *entry,
                                         struct certificate_row *row, kw_error *error)
{
    char text[ID_TEXT_SIZE];
    id_text(entry, text);
    const struct value key = value_text(text);
    return certificate_get(catalogue, STATEMENT_CERTIFICATE_LAST, &key, 1, "of this entry", row, error);
}

/* Rows are read and verified until the last. */
static kw_status certificates_gather(struct catalogue *catalogue, struct sqlite *sqlite, const struct value keys[2],
                                     struct certificate_row **rows, size_t *count, kw_error *error)
{
    struct row row = {.table = &table_certificate};
    struct sqlite3_stmt *query = NULL;
    struct certificate_row *gathered = NULL;
    size_t length = 0, room = 0;
    bool found = false;
    kw_status status = sqlite_query(sqlite, STATEMENT_CERTIFICATE_OF_KEY, keys, 2, &query, error);
    while (status == KW_OK) {
        status = sqlite_next(sqlite, query, row.values, row_width(row.table), &found, error);
        if (status != KW_OK || !found)
            break;
        if (length == room) {
            struct certificate_row *grown = calloc(2 * room + 2, sizeof(*grown));
            if (grown == NULL) {
                status = error_memory(error);
                break;
            }
            if (length > 0)
                memcpy(grown, gathered, length * sizeof(*grown));
            free(gathered);
            gathered = grown;
            room = 2 * room + 2;
        }
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
        if (status == KW_OK)
            status = certificate_row_read(sqlite, &row, &gathered[length], error);
        length += status == KW_OK;
    }
    sqlite_done(query);
    if (status == KW_OK) {
        *rows = gathered;
        *count = length;
        return KW_OK;
    }
    for (size_t i = 0; i < length; i++)
        certificate_row_clear(&gathered[i]);
    free(gathered);
    return status;
}

kw_status catalogue_certificates_of_key(struct catalogue *catalogue, const char *store_id, kw_input locator,
                                        struct certificate_row **rows, size_t *count, kw_error *error)
{
    struct sqlite *sqlite;
    const struct value keys[] = {value_text(store_id), value_bytes(locator)};
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = certificates_gather(catalogue, sqlite, keys, rows, count, error);
    return catalogue_leave(catalogue, ACCESS_READ, status, error);
}

/* Rows are not verified here: one that is damaged must rather keep a key alive than not. */
kw_status catalogue_key_in_use(struct catalogue *catalogue, const char *store_id, kw_input locator, bool *in_use,
                               kw_error *error)
{
    struct sqlite *sqlite;
    struct sqlite3_stmt *query = NULL;
    bool found = false;
    const struct value keys[] = {value_text(store_id), value_bytes(locator)};
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = sqlite_query(sqlite, STATEMENT_CERTIFICATE_BY_KEY, keys, 2, &query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, query, NULL, 0, &found, error);
    sqlite_done(query);
    status = catalogue_leave(catalogue, ACCESS_READ, status, error);
    if (status == KW_OK)
        *in_use = found;
    return status;
}
