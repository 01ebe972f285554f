/* What people call a row that does not verify. Nothing here is trusted: it only names. */
#include <stdio.h>
#include <string.h>

#include "catalogue/handle.h"

/* Text as it is, other bytes as hex digits. */
static void show(const struct value *value, char *text, size_t size)
{
    kw_input bytes = value->bytes;
    if (value->type == VALUE_INTEGER) {
        snprintf(text, size, "%lld", (long long)value->integer);
    } else if (text_is_clean((const char *)bytes.data, bytes.length)) {
        snprintf(text, size, "%.*s", (int)bytes.length, (const char *)bytes.data);
    } else {
        size_t length = bytes.length < (size - 1) / 2 ? bytes.length : (size - 1) / 2;
        hex_encode((kw_input){bytes.data, length}, text);
    }
}

static void describe_entry(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    char address[ROW_NAME_SIZE - 16];
    (void)sqlite;
    show(&row->values[1], address, sizeof(address));
    snprintf(text, ROW_NAME_SIZE, "entry %s", address);
}

/* The address of the entry with this id; the id where that is not there. */
static void show_entry(struct sqlite *sqlite, const struct value *id, char *text, size_t size)
{
    struct sqlite3_stmt *query = NULL;
    struct value address = {0};
    bool found = false;
    show(id, text, size);
    if (sqlite_query(sqlite, STATEMENT_ENTRY_ADDRESS, id, 1, &query, NULL) == KW_OK &&
        sqlite_next(sqlite, query, &address, 1, &found, NULL) == KW_OK && found)
        show(&address, text, size);
    sqlite_done(query);
}

static void describe_certificate(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    char address[ROW_NAME_SIZE - 64], number[32];
    show_entry(sqlite, &row->values[1], address, sizeof(address));
    show(&row->values[2], number, sizeof(number));
    snprintf(text, ROW_NAME_SIZE, "certificate %s@%s", address, number);
}

static void describe_root(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    char master[ROW_NAME_SIZE - 64], version[32];
    show_entry(sqlite, &row->values[1], master, sizeof(master));
    show(&row->values[2], version, sizeof(version));
    snprintf(text, ROW_NAME_SIZE, "root %s of %s", version, master);
}

static void describe_record(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    char store[200], name[ROW_NAME_SIZE - 240];
    (void)sqlite;
    show(&row->values[0], store, sizeof(store));
    show(&row->values[1], name, sizeof(name));
    snprintf(text, ROW_NAME_SIZE, "record %s/%s", store, name);
}

static void describe_store(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    char id[ROW_NAME_SIZE - 16];
    (void)sqlite;
    show(&row->values[0], id, sizeof(id));
    snprintf(text, ROW_NAME_SIZE, "store %s", id);
}

static void describe_journal(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    char id[100], address[ROW_NAME_SIZE - 160];
    (void)sqlite;
    show(&row->values[0], id, sizeof(id));
    show(&row->values[3], address, sizeof(address));
    snprintf(text, ROW_NAME_SIZE, "journal row %s of %s", id, address);
}

static const struct {
    const struct table *table;
    void (*describe)(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE]);
} describers[] = {
    {&table_entry, describe_entry}, {&table_certificate, describe_certificate}, {&table_record, describe_record},
    {&table_store, describe_store}, {&table_journal, describe_journal},         {&table_root, describe_root},
};

void row_describe(struct sqlite *sqlite, const struct row *row, char text[ROW_NAME_SIZE])
{
    text[0] = '\0';
    for (size_t i = 0; i < sizeof(describers) / sizeof(describers[0]); i++) {
        if (describers[i].table == row->table)
            describers[i].describe(sqlite, row, text);
    }
}
