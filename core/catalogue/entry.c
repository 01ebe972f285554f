/* Entries: what a server uses. */
#include <stdlib.h>
#include <string.h>

#include "catalogue/address.h"
#include "catalogue/handle.h"

static const char *const state_names[] = {[ENTRY_IN_USE] = "in use", [ENTRY_RETIRED] = "retired"};
enum { STATE_COUNT = sizeof(state_names) / sizeof(state_names[0]) };

void entry_row_clear(struct entry_row *row)
{
    if (row == NULL)
        return;
    for (size_t i = 0; i < row->database_count; i++)
        free(row->databases[i]);
    free(row->databases);
    free(row->address);
    *row = (struct entry_row){0};
}

/* ---- The list of databases: names with '/', which no name contains, between them ---- */

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static kw_status databases_join(struct entry_row *row, struct buffer *joined, kw_error *error)
{
    if (row->database_count > 1)
        qsort(row->databases, row->database_count, sizeof(*row->databases), compare_names);
    for (size_t i = 0; i < row->database_count; i++) {
        kw_status status = address_check_name(row->databases[i], error);
        if (status != KW_OK)
            return status;
        if (i > 0 && strcmp(row->databases[i - 1], row->databases[i]) == 0)
            return error_set(error, KW_INVALID_ARGUMENT, "the database '%s' is named twice", row->databases[i]);
        if (i > 0)
            buffer_append_text(joined, "/");
        buffer_append_text(joined, row->databases[i]);
    }
    buffer_append(joined, "", 1);
    return joined->failed ? error_memory(error) : KW_OK;
}

static kw_status databases_split(const char *joined, struct entry_row *entry, kw_error *error)
{
    size_t count = 1;
    if (joined[0] == '\0')
        return KW_OK;
    for (const char *at = joined; *at != '\0'; at++)
        count += *at == '/';
    entry->databases = calloc(count, sizeof(*entry->databases));
    if (entry->databases == NULL)
        return error_memory(error);
    for (const char *at = joined; entry->database_count < count; entry->database_count++) {
        size_t length = strcspn(at, "/");
        entry->databases[entry->database_count] = text_format("%.*s", (int)length, at);
        if (entry->databases[entry->database_count] == NULL)
            return error_memory(error);
        at += length + 1;
    }
    return KW_OK;
}

/* ---- Rows ---- */

kw_status entry_row_read(struct sqlite *sqlite, const struct row *row, struct entry_row *entry, kw_error *error)
{
    struct row_reader reader = {.row = row};
    struct entry_row read = {.generation = row_generation(row)};
    char *databases = NULL;
    read.id = row_take_id(&reader);
    read.address = row_take_text(&reader);
    read.state = (enum entry_state)row_take_name(&reader, state_names, STATE_COUNT);
    databases = row_take_text(&reader);
    read.certificate = row_take_id(&reader);
    read.created = row_take_integer(&reader, INT64_MIN, INT64_MAX);
    kw_status status = catalogue_row_end(sqlite, &reader, error);
    if (status == KW_OK)
        status = databases_split(databases, &read, error);
    if (status == KW_OK)
        *entry = read;
    else
        entry_row_clear(&read);
    free(databases);
    return status;
}

/* Borrows from `entry` and `databases`. */
static kw_status entry_row_seal(struct catalogue *catalogue, const struct entry_row *entry,
                                const struct buffer *databases, uint64_t generation, struct row *row, kw_error *error)
{
    row_add_id(row, &entry->id);
    row_add_text(row, entry->address);
    row_add_text(row, state_names[entry->state]);
    row_add_text(row, (const char *)databases->data);
    row_add_id(row, &entry->certificate);
    row_add_integer(row, entry->created);
    return row_seal(row, catalogue->crypto, secret_view(&catalogue->row_key), generation, error);
}

static kw_status entry_check(const struct entry_row *row, kw_error *error)
{
    struct address address;
    if (id_is_zero(&row->id) || row->address == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "an entry needs an id and an address");
    if (row->state != ENTRY_IN_USE && row->state != ENTRY_RETIRED)
        return error_set(error, KW_INVALID_ARGUMENT, "an entry has no state with the number %d", (int)row->state);
    kw_status status = address_parse(row->address, &address, error);
    if (status == KW_OK && address.number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "'%s' is a certificate's address, not an entry's", row->address);
    return status;
}

/* The verified generation of the stored row. */
static kw_status entry_generation(struct catalogue *catalogue, struct sqlite *sqlite, const struct entry_row *entry,
                                  uint64_t *generation, kw_error *error)
{
    struct row row = {.table = &table_entry};
    struct sqlite3_stmt *query = NULL;
    char id[ID_TEXT_SIZE];
    bool found = false;
    id_text(&entry->id, id);
    const struct value key = value_text(id);
    kw_status status = catalogue_row_get(sqlite, STATEMENT_ENTRY_BY_ID, &key, 1, &row, &query, &found, error);
    if (status == KW_OK && !found)
        status = error_set(error, KW_NOT_FOUND, "there is no entry %s any more", entry->address);
    if (status == KW_OK)
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
    if (status == KW_OK)
        *generation = row_generation(&row);
    sqlite_done(query);
    return status;
}

/* With `update`, only over the generation of `entry`. */
static kw_status entry_write(struct catalogue *catalogue, struct entry_row *entry, bool update, kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_entry};
    struct buffer databases = {0};
    uint64_t stored = 0, generation = 1;
    kw_status status = entry_check(entry, error);
    if (status == KW_OK)
        status = databases_join(entry, &databases, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        goto out;
    if (update) {
        status = entry_generation(catalogue, sqlite, entry, &stored, error);
        if (status == KW_OK && stored != entry->generation)
            status = error_set(error, KW_CONFLICT, "somebody else changed the entry %s meanwhile", entry->address);
        generation = catalogue_next_generation(stored);
    }
    if (status == KW_OK)
        status = entry_row_seal(catalogue, entry, &databases, generation, &row, error);
    if (status == KW_OK) {
        status = sqlite_run(sqlite, update ? STATEMENT_ENTRY_UPDATE : STATEMENT_ENTRY_INSERT, row.values, row.count,
                            NULL, error);
        if (status == KW_EXISTS)
            error_set(error, KW_EXISTS, "there is an entry %s already", entry->address);
    }
    status = catalogue_leave(catalogue, ACCESS_WRITE, status, error);
    if (status == KW_OK)
        entry->generation = generation;
out:
    buffer_free(&databases);
    return status;
}

kw_status catalogue_entry_insert(struct catalogue *catalogue, struct entry_row *row, kw_error *error)
{
    return entry_write(catalogue, row, false, error);
}

kw_status catalogue_entry_update(struct catalogue *catalogue, struct entry_row *row, kw_error *error)
{
    return entry_write(catalogue, row, true, error);
}

kw_status catalogue_entry_delete(struct catalogue *catalogue, const struct id *id, kw_error *error)
{
    return catalogue_row_delete(catalogue, STATEMENT_ENTRY_DELETE, "entry", id, error);
}

kw_status catalogue_entry_drop(struct catalogue *catalogue, const char *address, kw_error *error)
{
    struct sqlite *sqlite;
    int64_t changed = 0;
    const struct value key = value_text(address);
    kw_status status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = sqlite_run(sqlite, STATEMENT_ENTRY_DROP_CERTIFICATES, &key, 1, NULL, error);
    if (status == KW_OK)
        status = sqlite_run(sqlite, STATEMENT_ENTRY_DROP, &key, 1, &changed, error);
    if (status == KW_OK && changed == 0)
        status = error_set(error, KW_NOT_FOUND, "there is no entry %s", address);
    return catalogue_leave(catalogue, ACCESS_WRITE, status, error);
}

/* `what`: an address or an id, for who does not find it. */
static kw_status entry_find(struct catalogue *catalogue, enum statement statement, const char *what,
                            struct entry_row *entry, kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_entry};
    struct sqlite3_stmt *query = NULL;
    bool found = false;
    const struct value key = value_text(what);
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = catalogue_row_get(sqlite, statement, &key, 1, &row, &query, &found, error);
    if (status == KW_OK && !found)
        status = error_set(error, KW_NOT_FOUND, "there is no entry %s", what);
    if (status == KW_OK)
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
    if (status == KW_OK)
        status = entry_row_read(sqlite, &row, entry, error);
    sqlite_done(query);
    return catalogue_leave(catalogue, ACCESS_READ, status, error);
}

kw_status catalogue_entry_get(struct catalogue *catalogue, const char *address, struct entry_row *entry,
                              kw_error *error)
{
    return entry_find(catalogue, STATEMENT_ENTRY_BY_ADDRESS, address, entry, error);
}

kw_status catalogue_entry_get_by_id(struct catalogue *catalogue, const struct id *id, struct entry_row *entry,
                                    kw_error *error)
{
    char text[ID_TEXT_SIZE];
    id_text(id, text);
    return entry_find(catalogue, STATEMENT_ENTRY_BY_ID, text, entry, error);
}
