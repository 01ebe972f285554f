#include "catalogue/sqlite.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

enum { BUSY_MILLISECONDS = 30000 };

struct sqlite {
    sqlite3 *connection;
    char *path;
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* prepared at first use */
};

/* ---- Errors ---- */

static const char locked_remedy[] =
    "another program holds the catalogue's lock: end it when it hangs (fuser shows who has the file open)";
static const char damaged_remedy[] = "stop every program that uses the catalogue and restore it from a backup; sqlite3 "
                                     "with PRAGMA integrity_check says more";
static const char right_remedy[] =
    "give the user that Keywright runs as the right to read and write the file and its directory";
static const char space_remedy[] = "free space on the file system of the catalogue";

struct meaning {
    int code;
    kw_status status;
    const char *what;
    const char *remedy;
};

/* Of extended codes and of primary ones. */
static const struct meaning meanings[] = {
    {SQLITE_CONSTRAINT_UNIQUE, KW_EXISTS, "such a row exists already", NULL},
    {SQLITE_CONSTRAINT_PRIMARYKEY, KW_EXISTS, "such a row exists already", NULL},
    {SQLITE_CONSTRAINT_FOREIGNKEY, KW_CONFLICT,
     "a row that is referred to is missing, or one that goes is still referred to",
     "read again what there is, and repeat"},
    {SQLITE_CONSTRAINT, KW_INVALID_ARGUMENT, "a value is not allowed in the catalogue", NULL},
    {SQLITE_TOOBIG, KW_INVALID_ARGUMENT, "a value is too long for the catalogue", NULL},
    {SQLITE_BUSY, KW_UNAVAILABLE, "the catalogue was in use by another program for too long", locked_remedy},
    {SQLITE_LOCKED, KW_UNAVAILABLE, "the catalogue was in use for too long", locked_remedy},
    {SQLITE_PROTOCOL, KW_UNAVAILABLE, "the catalogue was in use by other programs for too long", locked_remedy},
    {SQLITE_FULL, KW_UNAVAILABLE, "there is no space for the catalogue", space_remedy},
    {SQLITE_READONLY_DBMOVED, KW_UNAVAILABLE, "the catalogue's file was replaced or removed", "repeat it"},
    {SQLITE_READONLY, KW_PERMISSION, "the catalogue cannot be written", right_remedy},
    {SQLITE_PERM, KW_PERMISSION, "the catalogue may not be used", right_remedy},
    {SQLITE_CORRUPT, KW_CORRUPT, "the catalogue's file is damaged", damaged_remedy},
    {SQLITE_NOTADB, KW_CORRUPT, "the catalogue's file is not a SQLite database", damaged_remedy},
    {SQLITE_ERROR, KW_CORRUPT, "the catalogue's tables are not those of Keywright", damaged_remedy},
    {SQLITE_NOMEM, KW_OUT_OF_MEMORY, "out of memory", NULL},
    {SQLITE_CANTOPEN, KW_UNAVAILABLE, "the catalogue's file cannot be opened",
     "see that the file and its directory exist and can be written"},
    {SQLITE_IOERR, KW_UNAVAILABLE, "the catalogue's file cannot be read or written",
     "see what the system's log says about the disk"},
};

static bool is_right_missing(int number)
{
    return number == EACCES || number == EPERM || number == EROFS;
}

/* Of the extended code, else of the primary one in its lowest byte. */
static struct meaning meaning_of(int code)
{
    const struct meaning unknown = {code, KW_FAILED, "SQLite failed", NULL};
    const struct meaning *found = &unknown;
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (meanings[i].code == code)
            return meanings[i];
        if (meanings[i].code == (code & 0xff))
            found = &meanings[i];
    }
    return *found;
}

static kw_status sqlite_error(struct sqlite *sqlite, int code, kw_error *error)
{
    struct meaning meaning = meaning_of(code);
    bool known = sqlite->connection != NULL && sqlite3_extended_errcode(sqlite->connection) == code;
    const char *reason = known ? sqlite3_errmsg(sqlite->connection) : sqlite3_errstr(code);
    int number = 0;
    if (known && ((code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_IOERR))
        number = sqlite3_system_errno(sqlite->connection);
    if (is_right_missing(number)) {
        meaning.status = KW_PERMISSION;
        meaning.remedy = right_remedy;
    } else if (number == ENOSPC || number == EDQUOT) {
        meaning.remedy = space_remedy;
    }
    error_set(error, meaning.status, "%s (%s%s%s)", meaning.what, reason, number == 0 ? "" : ": ",
              number == 0 ? "" : strerror(number));
    error_where(error, "%s", sqlite->path);
    if (meaning.remedy != NULL)
        error_remedy(error, "%s", meaning.remedy);
    return meaning.status;
}

/* ---- Opening and closing ---- */

static kw_status execute(struct sqlite *sqlite, const char *text, kw_error *error)
{
    int code = sqlite3_exec(sqlite->connection, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? KW_OK : sqlite_error(sqlite, code, error);
}

/* What is written must survive a power cut, be gone when deleted, and not run code that somebody put into the file. */
static kw_status configure(struct sqlite *sqlite, kw_error *error)
{
    static const struct {
        int option, value;
    } options[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_ENABLE_FKEY, 1}, {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        int code = sqlite3_db_config(sqlite->connection, options[i].option, options[i].value, NULL);
        if (code != SQLITE_OK)
            return sqlite_error(sqlite, code, error);
    }
    return execute(sqlite,
                   "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cell_size_check = ON; "
                   "PRAGMA journal_size_limit = 4194304",
                   error);
}

kw_status sqlite_open(const char *path, struct sqlite **sqlite, kw_error *error)
{
    kw_status status = KW_OK;
    struct sqlite *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    made->path = text_copy(path);
    if (made->path == NULL) {
        status = error_memory(error);
        goto out;
    }
    int code = sqlite3_open_v2(path, &made->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_extended_result_codes(made->connection, 1);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(made->connection, BUSY_MILLISECONDS);
    if (code != SQLITE_OK) {
        status = sqlite_error(made, code, error);
        goto out;
    }
    /* SQLite falls back to reading alone. */
    if (sqlite3_db_readonly(made->connection, "main") != 0) {
        status = sqlite_error(made, SQLITE_READONLY, error);
        goto out;
    }
    status = configure(made, error);
    if (status != KW_OK)
        goto out;
    *sqlite = made;
    made = NULL;
out:
    sqlite_close(made, true);
    return status;
}

void sqlite_close(struct sqlite *sqlite, bool checkpoint)
{
    if (sqlite == NULL)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(sqlite->statements[i]);
    if (sqlite->connection != NULL && !checkpoint)
        (void)sqlite3_db_config(sqlite->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(sqlite->connection);
    free(sqlite->path);
    free(sqlite);
}

bool sqlite_moved(struct sqlite *sqlite)
{
    int moved = 0;
    return sqlite3_file_control(sqlite->connection, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

/* The first value of the first row, as a number. */
static kw_status read_number(struct sqlite *sqlite, const char *text, int64_t *number, kw_error *error)
{
    sqlite3_stmt *statement = NULL;
    kw_status status = KW_OK;
    int code = sqlite3_prepare_v2(sqlite->connection, text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW)
        status = sqlite_error(sqlite, code, error);
    else
        *number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return status;
}

kw_status sqlite_version(struct sqlite *sqlite, unsigned known, unsigned *version, kw_error *error)
{
    int64_t stored = 0, application = 0, objects = 0;
    kw_status status = read_number(sqlite, "PRAGMA user_version", &stored, error);
    if (status == KW_OK)
        status = read_number(sqlite, "PRAGMA application_id", &application, error);
    if (status == KW_OK)
        status = read_number(sqlite, "SELECT count(*) FROM sqlite_schema", &objects, error);
    if (status != KW_OK)
        return status;
    bool ours = application == SCHEMA_APPLICATION_ID && stored > 0;
    bool empty = application == 0 && stored == 0 && objects == 0;
    if (!ours && !empty) {
        error_set(error, KW_CORRUPT, "the file is a database, but not a catalogue of Keywright");
        error_where(error, "%s", sqlite->path);
        error_remedy(error, "%s", damaged_remedy);
        return KW_CORRUPT;
    }
    if (stored > (int64_t)known) {
        error_set(error, KW_UNSUPPORTED,
                  "the catalogue has schema version %lld, and this Keywright knows versions up to %u",
                  (long long)stored, known);
        error_where(error, "%s", sqlite->path);
        error_remedy(error, "install the Keywright that wrote it, or a newer one");
        return KW_UNSUPPORTED;
    }
    if (ours && stored < (int64_t)known) {
        error_set(error, KW_UNSUPPORTED, "the catalogue has schema version %lld, and this Keywright needs version %u",
                  (long long)stored, known);
        error_where(error, "%s", sqlite->path);
        error_remedy(error, "open it with the Keywright that wrote it, export everything, and import that here");
        return KW_UNSUPPORTED;
    }
    *version = (unsigned)stored;
    return KW_OK;
}

kw_status sqlite_use_wal(struct sqlite *sqlite, kw_error *error)
{
    sqlite3_stmt *statement = NULL;
    kw_status status = KW_OK;
    int code = sqlite3_prepare_v2(sqlite->connection, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        status = sqlite_error(sqlite, code, error);
    } else if (sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0) {
        status = error_set(error, KW_UNSUPPORTED, "the file system cannot hold a write-ahead log");
        error_where(error, "%s", sqlite->path);
        error_remedy(error, "put the state directory on a local file system");
    }
    sqlite3_finalize(statement);
    return status;
}

kw_status sqlite_define(struct sqlite *sqlite, unsigned version, kw_error *error)
{
    kw_status status = execute(sqlite, schema_definition, error);
    if (status != KW_OK)
        return status;
    char *marks = text_format("PRAGMA application_id = %d; PRAGMA user_version = %u", SCHEMA_APPLICATION_ID, version);
    if (marks == NULL)
        return error_memory(error);
    status = execute(sqlite, marks, error);
    free(marks);
    return status;
}

/* ---- Transactions ---- */

kw_status sqlite_begin(struct sqlite *sqlite, bool write, kw_error *error)
{
    return execute(sqlite, write ? "BEGIN IMMEDIATE" : "BEGIN", error);
}

kw_status sqlite_commit(struct sqlite *sqlite, kw_error *error)
{
    kw_status status = execute(sqlite, "COMMIT", error);
    if (status != KW_OK)
        sqlite_rollback(sqlite);
    return status;
}

void sqlite_rollback(struct sqlite *sqlite)
{
    if (sqlite_in_transaction(sqlite))
        (void)sqlite3_exec(sqlite->connection, "ROLLBACK", NULL, NULL, NULL);
}

bool sqlite_in_transaction(const struct sqlite *sqlite)
{
    return sqlite3_get_autocommit(sqlite->connection) == 0;
}

/* ---- Statements ---- */

static int bind(sqlite3_stmt *statement, int at, const struct value *value)
{
    /* A NULL pointer would bind NULL. */
    const unsigned char *bytes = value->bytes.data == NULL ? (const unsigned char *)"" : value->bytes.data;
    switch (value->type) {
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, at, value->integer);
    case VALUE_TEXT:
        return sqlite3_bind_text64(statement, at, (const char *)bytes, value->bytes.length, SQLITE_STATIC, SQLITE_UTF8);
    case VALUE_BYTES:
        return sqlite3_bind_blob64(statement, at, bytes, value->bytes.length, SQLITE_STATIC);
    case VALUE_NULL:
        break;
    }
    return sqlite3_bind_null(statement, at);
}

kw_status sqlite_query(struct sqlite *sqlite, enum statement statement, const struct value *values, size_t count,
                       struct sqlite3_stmt **query, kw_error *error)
{
    sqlite3_stmt **prepared = &sqlite->statements[statement];
    int code = SQLITE_OK;
    if (*prepared == NULL)
        code = sqlite3_prepare_v3(sqlite->connection, schema_statements[statement], -1, SQLITE_PREPARE_PERSISTENT,
                                  prepared, NULL);
    for (size_t i = 0; code == SQLITE_OK && i < count; i++)
        code = bind(*prepared, (int)i + 1, &values[i]);
    if (code != SQLITE_OK) {
        kw_status status = sqlite_error(sqlite, code, error);
        sqlite_done(*prepared);
        return status;
    }
    *query = *prepared;
    return KW_OK;
}

static bool read_value(sqlite3_stmt *query, int column, struct value *value)
{
    static const enum value_type types[] = {
        [SQLITE_INTEGER] = VALUE_INTEGER,
        [SQLITE_TEXT] = VALUE_TEXT,
        [SQLITE_BLOB] = VALUE_BYTES,
        [SQLITE_NULL] = VALUE_NULL,
    };
    int type = sqlite3_column_type(query, column);
    *value = (struct value){.type = types[type]};
    if (type == SQLITE_INTEGER) {
        value->integer = sqlite3_column_int64(query, column);
    } else if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
        value->bytes.data = sqlite3_column_blob(query, column);
        value->bytes.length = (size_t)sqlite3_column_bytes(query, column);
        return value->bytes.data != NULL || value->bytes.length == 0;
    }
    return true;
}

kw_status sqlite_next(struct sqlite *sqlite, struct sqlite3_stmt *query, struct value *values, size_t count,
                      bool *found, kw_error *error)
{
    int code = sqlite3_step(query);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return sqlite_error(sqlite, code, error);
    for (size_t i = 0; code == SQLITE_ROW && i < count; i++) {
        if (!read_value(query, (int)i, &values[i]))
            return error_memory(error);
    }
    *found = code == SQLITE_ROW;
    return KW_OK;
}

void sqlite_done(struct sqlite3_stmt *query)
{
    if (query == NULL)
        return;
    (void)sqlite3_reset(query); /* repeats the error of the last step */
    (void)sqlite3_clear_bindings(query);
}

kw_status sqlite_run(struct sqlite *sqlite, enum statement statement, const struct value *values, size_t count,
                     int64_t *changed, kw_error *error)
{
    struct sqlite3_stmt *query = NULL;
    bool found = false;
    kw_status status = sqlite_query(sqlite, statement, values, count, &query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, query, NULL, 0, &found, error);
    if (status == KW_OK && changed != NULL)
        *changed = sqlite3_changes(sqlite->connection);
    sqlite_done(query);
    return status;
}

kw_status sqlite_number(struct sqlite *sqlite, enum statement statement, int64_t *number, kw_error *error)
{
    struct sqlite3_stmt *query = NULL;
    struct value value = {0};
    bool found = false;
    kw_status status = sqlite_query(sqlite, statement, NULL, 0, &query, error);
    if (status == KW_OK)
        status = sqlite_next(sqlite, query, &value, 1, &found, error);
    if (status == KW_OK)
        *number = value.integer;
    sqlite_done(query);
    return status;
}
