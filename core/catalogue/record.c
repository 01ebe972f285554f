/* Records of stores: the key-value space that plugins see. */
#include <string.h>

#include "catalogue/handle.h"

static const kw_input empty = {(const unsigned char *)"", 0};

static kw_status check_name(const char *store_id, kw_input name, kw_error *error)
{
    if (store_id == NULL || store_id[0] == '\0')
        return error_set(error, KW_INVALID_ARGUMENT, "a record belongs to a store");
    if (name.length == 0 || name.length > KW_RECORD_NAME_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a record's name has from 1 to %u bytes, not %zu",
                         KW_RECORD_NAME_MAXIMUM, name.length);
    return KW_OK;
}

static kw_status check_value(kw_input value, kw_error *error)
{
    if (value.length > KW_RECORD_VALUE_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a record has at most %u bytes, not %zu", KW_RECORD_VALUE_MAXIMUM,
                         value.length);
    return KW_OK;
}

static kw_status not_found(kw_error *error)
{
    return error_set(error, KW_NOT_FOUND, "there is no such record");
}

/* ---- Reading ---- */

static kw_status get_verified(struct catalogue *catalogue, struct sqlite *sqlite, const char *store_id, kw_input name,
                              struct row *row, struct sqlite3_stmt **query, bool *found, kw_error *error)
{
    const struct value keys[] = {value_text(store_id), value_bytes(name)};
    kw_status status = catalogue_row_get(sqlite, STATEMENT_RECORD_GET, keys, 2, row, query, found, error);
    if (status == KW_OK && *found)
        status = catalogue_row_verify(catalogue, sqlite, row, error);
    return status;
}

static kw_input row_value(const struct row *row)
{
    return row->values[2].bytes;
}

/* By the rule of plugin.h. */
static kw_status copy_out(kw_input from, kw_output *output, kw_error *error)
{
    kw_status status = output_copy(output, from);
    return status == KW_OK ? KW_OK : error_set(error, status, "the buffer is smaller than %zu bytes", from.length);
}

kw_status catalogue_record_get(struct catalogue *catalogue, const char *store_id, kw_input name, kw_output *value,
                               kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_record};
    struct sqlite3_stmt *query = NULL;
    bool found = false;
    kw_status status = check_name(store_id, name, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = get_verified(catalogue, sqlite, store_id, name, &row, &query, &found, error);
    if (status == KW_OK)
        status = found ? copy_out(row_value(&row), value, error) : not_found(error);
    sqlite_done(query);
    return catalogue_leave(catalogue, ACCESS_READ, status, error);
}

/* Names in byte order from `prefix` on: the first that does not begin with it is behind the last that does. */
kw_status catalogue_record_next(struct catalogue *catalogue, const char *store_id, kw_input prefix, kw_input after,
                                kw_output *name, kw_error *error)
{
    struct sqlite *sqlite;
    struct sqlite3_stmt *query = NULL;
    struct value next = {0};
    bool found = false;
    size_t shorter = prefix.length < after.length ? prefix.length : after.length;
    int order = shorter == 0 ? 0 : memcmp(after.data, prefix.data, shorter);
    bool from_prefix = order < 0 || (order == 0 && after.length < prefix.length) || after.length == 0;
    kw_input from = from_prefix ? prefix : after;
    const struct value keys[] = {value_text(store_id), value_bytes(from.length == 0 ? empty : from)};
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = sqlite_query(sqlite, from_prefix ? STATEMENT_RECORD_FROM : STATEMENT_RECORD_AFTER, keys, 2, &query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, query, &next, 1, &found, error);
    if (status == KW_OK && found)
        found = next.bytes.length >= prefix.length &&
                (prefix.length == 0 || memcmp(next.bytes.data, prefix.data, prefix.length) == 0);
    if (status == KW_OK)
        status = found ? copy_out(next.bytes, name, error) : not_found(error);
    sqlite_done(query);
    return catalogue_leave(catalogue, ACCESS_READ, status, error);
}

/* ---- Writing ---- */

static kw_status write_row(struct catalogue *catalogue, struct sqlite *sqlite, const char *store_id, kw_input name,
                           kw_input value, uint64_t generation, kw_error *error)
{
    struct row row = {.table = &table_record};
    row_add_text(&row, store_id);
    row_add_bytes(&row, name);
    row_add_bytes(&row, value);
    kw_status status = row_seal(&row, catalogue->crypto, secret_view(&catalogue->row_key), generation, error);
    if (status == KW_OK)
        status = sqlite_run(sqlite, STATEMENT_RECORD_PUT, row.values, row.count, NULL, error);
    return status;
}

/* 0: there is none. Not verified: a put replaces the whole row, and so mends one that is damaged. */
static kw_status stored_generation(struct sqlite *sqlite, const char *store_id, kw_input name, uint64_t *generation,
                                   kw_error *error)
{
    struct sqlite3_stmt *query = NULL;
    struct value value = {0};
    bool found = false;
    const struct value keys[] = {value_text(store_id), value_bytes(name)};
    kw_status status = sqlite_query(sqlite, STATEMENT_RECORD_GENERATION, keys, 2, &query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, query, &value, 1, &found, error);
    if (status == KW_OK)
        *generation = found && value.integer > 0 ? (uint64_t)value.integer : 0;
    sqlite_done(query);
    return status;
}

kw_status catalogue_record_put(struct catalogue *catalogue, const char *store_id, kw_input name, kw_input value,
                               kw_error *error)
{
    struct sqlite *sqlite;
    uint64_t generation = 0;
    kw_status status = check_name(store_id, name, error);
    if (status == KW_OK)
        status = check_value(value, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = stored_generation(sqlite, store_id, name, &generation, error);
    if (status == KW_OK)
        status = write_row(catalogue, sqlite, store_id, name, value, catalogue_next_generation(generation), error);
    return catalogue_leave(catalogue, ACCESS_WRITE, status, error);
}

kw_status catalogue_record_swap(struct catalogue *catalogue, const char *store_id, kw_input name, kw_input expected,
                                kw_input value, kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_record};
    struct sqlite3_stmt *query = NULL;
    bool found = false;
    uint64_t generation = 0;
    kw_status status = check_name(store_id, name, error);
    if (status == KW_OK)
        status = check_value(value, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = get_verified(catalogue, sqlite, store_id, name, &row, &query, &found, error);
    if (status == KW_OK) {
        bool equal = expected.data == NULL ? !found : found && input_equal(row_value(&row), expected);
        if (!equal)
            status = error_set(error, KW_CONFLICT, "the record is not what was expected: somebody else changed it");
    }
    if (status == KW_OK && found)
        generation = row_generation(&row);
    sqlite_done(query);
    if (status == KW_OK)
        status = write_row(catalogue, sqlite, store_id, name, value, catalogue_next_generation(generation), error);
    return catalogue_leave(catalogue, ACCESS_WRITE, status, error);
}

kw_status catalogue_record_delete(struct catalogue *catalogue, const char *store_id, kw_input name, kw_error *error)
{
    struct sqlite *sqlite;
    int64_t changed = 0;
    const struct value keys[] = {value_text(store_id == NULL ? "" : store_id), value_bytes(name)};
    kw_status status = check_name(store_id, name, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = sqlite_run(sqlite, STATEMENT_RECORD_DELETE, keys, 2, &changed, error);
    if (status == KW_OK && changed == 0)
        status = not_found(error);
    return catalogue_leave(catalogue, ACCESS_WRITE, status, error);
}
