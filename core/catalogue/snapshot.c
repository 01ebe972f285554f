/* All entries and certificates at once. */
#include <stdlib.h>

#include "catalogue/handle.h"

void catalogue_snapshot_clear(struct catalogue_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    for (size_t i = 0; i < snapshot->entry_count; i++)
        entry_row_clear(&snapshot->entries[i]);
    for (size_t i = 0; i < snapshot->certificate_count; i++)
        certificate_row_clear(&snapshot->certificates[i]);
    free(snapshot->entries);
    free(snapshot->certificates);
    *snapshot = (struct catalogue_snapshot){0};
}

/* What the reading of one table needs; `read` takes the next row into the snapshot. */
struct part {
    const struct table *table;
    enum statement all, count;
    kw_status (*prepare)(struct catalogue_snapshot *snapshot, size_t count, kw_error *error);
    kw_status (*read)(struct sqlite *sqlite, const struct row *row, struct catalogue_snapshot *snapshot,
                      kw_error *error);
};

static kw_status prepare_entries(struct catalogue_snapshot *snapshot, size_t count, kw_error *error)
{
    snapshot->entries = calloc(count, sizeof(*snapshot->entries));
    return snapshot->entries == NULL ? error_memory(error) : KW_OK;
}

static kw_status read_entry(struct sqlite *sqlite, const struct row *row, struct catalogue_snapshot *snapshot,
                            kw_error *error)
{
    kw_status status = entry_row_read(sqlite, row, &snapshot->entries[snapshot->entry_count], error);
    if (status == KW_OK)
        snapshot->entry_count++;
    return status;
}

static kw_status prepare_certificates(struct catalogue_snapshot *snapshot, size_t count, kw_error *error)
{
    snapshot->certificates = calloc(count, sizeof(*snapshot->certificates));
    return snapshot->certificates == NULL ? error_memory(error) : KW_OK;
}

static kw_status read_certificate(struct sqlite *sqlite, const struct row *row, struct catalogue_snapshot *snapshot,
                                  kw_error *error)
{
    kw_status status = certificate_row_read(sqlite, row, &snapshot->certificates[snapshot->certificate_count], error);
    if (status == KW_OK)
        snapshot->certificate_count++;
    return status;
}

static const struct part parts[] = {
    {&table_entry, STATEMENT_ENTRY_ALL, STATEMENT_ENTRY_COUNT, prepare_entries, read_entry},
    {&table_certificate, STATEMENT_CERTIFICATE_ALL, STATEMENT_CERTIFICATE_COUNT, prepare_certificates,
     read_certificate},
};

static kw_status part_read(struct catalogue *catalogue, struct sqlite *sqlite, const struct part *part,
                           catalogue_corrupt corrupt, struct corruption *corruption,
                           struct catalogue_snapshot *snapshot, kw_error *error)
{
    struct row row = {.table = part->table};
    struct sqlite3_stmt *query = NULL;
    int64_t count = 0;
    kw_status status = sqlite_number(sqlite, part->count, &count, error);
    if (status == KW_OK && count > 0)
        status = part->prepare(snapshot, (size_t)count, error);
    if (status == KW_OK)
        status = sqlite_query(sqlite, part->all, NULL, 0, &query, error);
    for (int64_t i = 0; status == KW_OK && i < count; i++) {
        kw_error noted = {0};
        bool found = false;
        status = sqlite_next(sqlite, query, row.values, row_width(row.table), &found, error);
        if (status != KW_OK || !found)
            break;
        kw_status read = catalogue_row_verify(catalogue, sqlite, &row, &noted);
        if (read == KW_OK)
            read = part->read(sqlite, &row, snapshot, &noted);
        if (read != KW_OK)
            status = corruption_note(corruption, corrupt, read, &noted, error);
    }
    sqlite_done(query);
    return status;
}

kw_status catalogue_snapshot_read(struct catalogue *catalogue, catalogue_corrupt corrupt, void *user,
                                  struct catalogue_snapshot *snapshot, kw_error *error)
{
    struct sqlite *sqlite;
    struct catalogue_snapshot read = {0};
    struct corruption corruption = {0};
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    for (size_t i = 0; status == KW_OK && i < sizeof(parts) / sizeof(parts[0]); i++)
        status = part_read(catalogue, sqlite, &parts[i], corrupt, &corruption, &read, error);
    status = catalogue_leave(catalogue, ACCESS_READ, status, error);
    if (status != KW_OK)
        goto out;
    corruption_tell(&corruption, corrupt, user);
    *snapshot = read;
    read = (struct catalogue_snapshot){0};
out:
    catalogue_snapshot_clear(&read);
    corruption_free(&corruption);
    return status;
}
