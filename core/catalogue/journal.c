/* The journal: what is under way, so that what a crash leaves is found. */
#include <stdlib.h>
#include <string.h>

#include "catalogue/handle.h"

static const char *const operation_names[] = {
    [JOURNAL_CREATE_KEY] = "create key",
    [JOURNAL_DELETE_KEY] = "delete key",
    [JOURNAL_MOVE_KEY] = "move key",
    [JOURNAL_LEAVE_KEY] = "leave key",
};
enum { OPERATION_COUNT = sizeof(operation_names) / sizeof(operation_names[0]) };

void journal_row_clear(struct journal_row *row)
{
    if (row == NULL)
        return;
    free(row->address);
    free(row->store_id);
    *row = (struct journal_row){0};
}

static kw_status journal_check(const struct journal_row *row, kw_error *error)
{
    if (id_is_zero(&row->id) || row->address == NULL || row->store_id == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "a journal row needs an id, an address and a store");
    if (row->operation < JOURNAL_CREATE_KEY || row->operation > JOURNAL_LEAVE_KEY)
        return error_set(error, KW_INVALID_ARGUMENT, "the journal has no operation with the number %d",
                         (int)row->operation);
    if (row->locator_length > sizeof(row->locator))
        return error_set(error, KW_INVALID_ARGUMENT, "a locator has at most %zu bytes", sizeof(row->locator));
    return KW_OK;
}

kw_status catalogue_journal_insert(struct catalogue *catalogue, struct journal_row *journal, kw_error *error)
{
    struct sqlite *sqlite;
    struct row row = {.table = &table_journal};
    kw_status status = journal_check(journal, error);
    if (status != KW_OK)
        return status;
    row_add_id(&row, &journal->id);
    row_add_id(&row, &journal->owner);
    row_add_text(&row, operation_names[journal->operation]);
    row_add_text(&row, journal->address);
    row_add_text(&row, journal->store_id);
    row_add_id(&row, &journal->key_id);
    row_add_bytes(&row, (kw_input){journal->locator, journal->locator_length});
    row_add_integer(&row, journal->created);
    status = row_seal(&row, catalogue->crypto, secret_view(&catalogue->row_key), 1, error);
    if (status == KW_OK)
        status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = sqlite_run(sqlite, STATEMENT_JOURNAL_INSERT, row.values, row.count, NULL, error);
    status = catalogue_leave(catalogue, ACCESS_WRITE, status, error);
    if (status == KW_OK)
        journal->generation = 1;
    return status;
}

kw_status catalogue_journal_delete(struct catalogue *catalogue, const struct id *id, kw_error *error)
{
    return catalogue_row_delete(catalogue, STATEMENT_JOURNAL_DELETE, "journal row", id, error);
}

static kw_status journal_row_read(struct sqlite *sqlite, const struct row *row, struct journal_row *journal,
                                  kw_error *error)
{
    struct row_reader reader = {.row = row};
    struct journal_row read = {.generation = row_generation(row)};
    read.id = row_take_id(&reader);
    read.owner = row_take_id(&reader);
    read.operation = (enum journal_operation)row_take_name(&reader, operation_names, OPERATION_COUNT);
    read.address = row_take_text(&reader);
    read.store_id = row_take_text(&reader);
    read.key_id = row_take_id(&reader);
    kw_input locator = row_take_bytes(&reader, sizeof(read.locator));
    read.created = row_take_integer(&reader, INT64_MIN, INT64_MAX);
    kw_status status = catalogue_row_end(sqlite, &reader, error);
    if (status != KW_OK) {
        journal_row_clear(&read);
        return status;
    }
    if (locator.length > 0)
        memcpy(read.locator, locator.data, locator.length);
    read.locator_length = locator.length;
    *journal = read;
    return KW_OK;
}

struct journal_list {
    struct journal_row *rows;
    size_t count;
};

static void journal_list_free(struct journal_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        journal_row_clear(&list->rows[i]);
    free(list->rows);
}

static kw_status journal_list_read(struct catalogue *catalogue, struct sqlite *sqlite, catalogue_corrupt corrupt,
                                   struct corruption *corruption, struct journal_list *list, kw_error *error)
{
    struct row row = {.table = &table_journal};
    struct sqlite3_stmt *query = NULL;
    int64_t count = 0;
    kw_status status = sqlite_number(sqlite, STATEMENT_JOURNAL_COUNT, &count, error);
    if (status == KW_OK && count > 0) {
        list->rows = calloc((size_t)count, sizeof(*list->rows));
        if (list->rows == NULL)
            status = error_memory(error);
    }
    if (status == KW_OK)
        status = sqlite_query(sqlite, STATEMENT_JOURNAL_ALL, NULL, 0, &query, error);
    for (int64_t i = 0; status == KW_OK && i < count; i++) {
        kw_error noted = {0};
        bool found = false;
        status = sqlite_next(sqlite, query, row.values, row_width(row.table), &found, error);
        if (status != KW_OK || !found)
            break;
        kw_status read = catalogue_row_verify(catalogue, sqlite, &row, &noted);
        if (read == KW_OK)
            read = journal_row_read(sqlite, &row, &list->rows[list->count], &noted);
        if (read == KW_OK)
            list->count++;
        else
            status = corruption_note(corruption, corrupt, read, &noted, error);
    }
    sqlite_done(query);
    return status;
}

kw_status catalogue_journal_read(struct catalogue *catalogue, catalogue_corrupt corrupt, void *user,
                                 struct journal_row **rows, size_t *count, kw_error *error)
{
    struct sqlite *sqlite;
    struct journal_list list = {0};
    struct corruption corruption = {0};
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = journal_list_read(catalogue, sqlite, corrupt, &corruption, &list, error);
    status = catalogue_leave(catalogue, ACCESS_READ, status, error);
    if (status != KW_OK)
        goto out;
    corruption_tell(&corruption, corrupt, user);
    *rows = list.rows;
    *count = list.count;
    list = (struct journal_list){0};
out:
    journal_list_free(&list);
    corruption_free(&corruption);
    return status;
}
