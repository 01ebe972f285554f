/*
 * A server in small, whose secrets lie sealed in a SQLite table: it fills the table, opens all that is in it, and seals it anew after a rotation. docs/subkeys.md
 * shows the middle part.
 */
#include <keywright/keywright.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASTER "master-key/example.org"

/* ---- docs/subkeys.md from here ---- */

/* CREATE TABLE password (id INTEGER PRIMARY KEY, database TEXT, seal BLOB); ids are positive */
struct table {
    sqlite3 *database;
    sqlite3_stmt *next;    /* SELECT CAST(id AS TEXT), database, seal FROM password WHERE id > ?1 ORDER BY id LIMIT 1 */
    sqlite3_stmt *replace; /* UPDATE password SET seal = ?1 WHERE id = ?2 AND seal = ?3 */
};

static kw_input column(sqlite3_stmt *row, int number)
{
    const unsigned char *data = sqlite3_column_blob(row, number);
    return (kw_input){data, (size_t)sqlite3_column_bytes(row, number)};
}

static long long id_of(kw_input name)
{
    char text[32];
    snprintf(text, sizeof(text), "%.*s", (int)name.length, name.length > 0 ? (const char *)name.data : "");
    return strtoll(text, NULL, 10);
}

/* What it hands out stays valid until the next call, which ends this row. */
static kw_status next_record(void *user, kw_input after, kw_reseal_record *record)
{
    struct table *table = user;
    sqlite3_reset(table->next);
    sqlite3_bind_int64(table->next, 1, id_of(after)); /* nothing at first: 0 */
    switch (sqlite3_step(table->next)) {
    case SQLITE_ROW:
        record->name = record->associated = column(table->next, 0); /* the record's id is what it was bound to */
        record->context = column(table->next, 1);
        record->sealed = column(table->next, 2);
        return KW_OK;
    case SQLITE_DONE:
        return KW_NOT_FOUND; /* there is none behind it */
    default:
        return KW_UNAVAILABLE;
    }
}

/* Only in place of the seal that was handed out: who wrote the record meanwhile has the last word. */
static kw_status replace_record(void *user, const kw_reseal_record *record, kw_input sealed)
{
    struct table *table = user;
    sqlite3_bind_blob64(table->replace, 1, sealed.data, sealed.length, SQLITE_STATIC);
    sqlite3_bind_int64(table->replace, 2, id_of(record->name));
    sqlite3_bind_blob64(table->replace, 3, record->sealed.data, record->sealed.length, SQLITE_STATIC);
    const int result = sqlite3_step(table->replace);
    sqlite3_reset(table->replace);
    if (result == SQLITE_BUSY)
        return KW_CONFLICT; /* another writer: the record is asked for again */
    if (result != SQLITE_DONE)
        return KW_UNAVAILABLE;
    return sqlite3_changes(table->database) == 1 ? KW_OK : KW_CONFLICT;
}

static kw_status reseal_all(kw_context *context, struct table *table, kw_reseal_result *result, kw_error *error)
{
    const kw_reseal_options options = {
        .size = sizeof(options),
        .address = MASTER,
        .next = next_record,
        .replace = replace_record,
        .user = table,
        .everything = true, /* no other table has seals of this master key */
    };
    const kw_status status = kw_reseal(context, &options, result, error);
    sqlite3_reset(table->next);
    return status;
}

/* ---- to here ---- */

static kw_input text_input(const char *text)
{
    return (kw_input){(const unsigned char *)text, strlen(text)};
}

static kw_status failed(sqlite3 *database, kw_error *error)
{
    error->status = KW_FAILED;
    snprintf(error->message, sizeof(error->message), "SQLite: %s", sqlite3_errmsg(database));
    return KW_FAILED;
}

/* Record N is "secret N" of one of two databases, each of which has a subkey of its own. */
static const char *database_of(int id)
{
    return id % 2 == 0 ? "sales" : "hr";
}

static kw_status fill(kw_context *context, sqlite3 *database, int count, kw_error *error)
{
    unsigned char seal[200];
    char id[16], secret[32];
    sqlite3_stmt *insert = NULL;
    kw_status status = KW_OK;
    if (sqlite3_exec(database, "CREATE TABLE password (id INTEGER PRIMARY KEY, database TEXT, seal BLOB)", NULL, NULL,
                     NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "INSERT INTO password VALUES (?1, ?2, ?3)", -1, &insert, NULL) != SQLITE_OK)
        return failed(database, error);
    for (int i = 1; status == KW_OK && i <= count; i++) {
        kw_subkey *subkey = NULL;
        kw_output sealed = {.data = seal, .capacity = sizeof(seal)};
        snprintf(id, sizeof(id), "%d", i);
        snprintf(secret, sizeof(secret), "secret %d", i);
        status = kw_subkey_get(context, MASTER, "password", text_input(database_of(i)), &subkey, error);
        if (status == KW_OK)
            status = kw_seal(subkey, text_input(secret), text_input(id), &sealed, error);
        kw_subkey_free(subkey);
        if (status != KW_OK)
            break;
        sqlite3_bind_int(insert, 1, i);
        sqlite3_bind_text(insert, 2, database_of(i), -1, SQLITE_STATIC);
        sqlite3_bind_blob64(insert, 3, seal, sealed.length, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            status = failed(database, error);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(insert);
    return status;
}

static kw_status read_all(kw_context *context, struct table *table, int *count, kw_error *error)
{
    char secret[32], last[32] = "";
    unsigned char bytes[200];
    kw_reseal_record record;
    kw_status status = KW_OK;
    *count = 0;
    while (status == KW_OK && next_record(table, text_input(last), &record) == KW_OK) {
        snprintf(last, sizeof(last), "%lld", id_of(record.name));
        const char *const database = database_of((int)id_of(record.name));
        kw_subkey *subkey = NULL;
        kw_output plaintext = {.data = bytes, .capacity = sizeof(bytes)};
        status = kw_subkey_get(context, MASTER, "password", text_input(database), &subkey, error);
        if (status == KW_OK)
            status = kw_unseal(subkey, record.sealed, record.associated, &plaintext, error);
        kw_subkey_free(subkey);
        snprintf(secret, sizeof(secret), "secret %lld", id_of(record.name));
        if (status == KW_OK &&
            (plaintext.length != strlen(secret) || memcmp(plaintext.data, secret, plaintext.length) != 0)) {
            error->status = status = KW_FAILED;
            snprintf(error->message, sizeof(error->message), "record %lld holds something else", id_of(record.name));
        }
        *count += status == KW_OK;
    }
    sqlite3_reset(table->next);
    return status;
}

static kw_status work(kw_context *context, struct table *table, const char *verb, int count, kw_error *error)
{
    kw_reseal_result result = {0};
    kw_status status = KW_OK;
    if (strcmp(verb, "fill") == 0)
        return fill(context, table->database, count, error);
    if (sqlite3_prepare_v2(table->database,
                           "SELECT CAST(id AS TEXT), database, seal FROM password WHERE id > ?1 ORDER BY id LIMIT 1",
                           -1, &table->next, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(table->database, "UPDATE password SET seal = ?1 WHERE id = ?2 AND seal = ?3", -1,
                           &table->replace, NULL) != SQLITE_OK)
        return failed(table->database, error);
    if (strcmp(verb, "read") == 0) {
        status = read_all(context, table, &count, error);
        printf("%d records opened\n", count);
    } else {
        status = reseal_all(context, table, &result, error);
        printf("%llu of %llu records sealed anew, under version %u\n", (unsigned long long)result.resealed,
               (unsigned long long)result.records, result.version);
    }
    return status;
}

/* reseal KEYWRIGHT.YAML TABLE.DB fill N | read | reseal */
int main(int argument_count, char **arguments)
{
    struct table table = {.database = NULL};
    kw_context *context = NULL;
    kw_error error = {.status = KW_OK};
    kw_status status = KW_OK;
    if (argument_count < 4)
        return 2;
    const kw_open_options options = {.size = sizeof(options), .configuration = arguments[1]};
    const int count = argument_count > 4 ? (int)strtol(arguments[4], NULL, 10) : 0;
    status = kw_open(&options, &context, &error);
    if (status == KW_OK && sqlite3_open(arguments[2], &table.database) != SQLITE_OK)
        status = failed(table.database, &error);
    if (status == KW_OK) {
        sqlite3_busy_timeout(table.database, 5000);
        status = work(context, &table, arguments[3], count, &error);
    }
    if (status != KW_OK)
        fprintf(stderr, "%s: %s\n", kw_status_text(status), error.message);
    sqlite3_finalize(table.next);
    sqlite3_finalize(table.replace);
    sqlite3_close(table.database);
    kw_close(context);
    return status == KW_OK ? 0 : 1;
}
