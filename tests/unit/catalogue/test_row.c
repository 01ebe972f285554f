/* Rows that something other than Keywright changed: each column of each table, behind the catalogue's back. */
#include "fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const stores[] = {"7c9e6679", "0b1d02aa"};
static const char *const records[] = {"key/1", "key/2"};
static const char *const addresses[] = {"database/hr", "database/sales"};

/* What a reading of everything comes upon. */
struct findings {
    size_t corrupt, good;
    char where[256]; /* of the last that is corrupt */
};

static void note(void *user, const kw_error *error)
{
    struct findings *findings = user;
    assert_int_equal(error->status, KW_CORRUPT);
    assert_contains(error->remedy, "backup");
    findings->corrupt++;
    snprintf(findings->where, sizeof(findings->where), "%s", error->where);
}

static void note_status(struct findings *findings, kw_status status, const kw_error *error)
{
    if (status == KW_CORRUPT)
        note(findings, error);
    else if (status == KW_OK)
        findings->good++;
    else
        fail_msg("%s: %s", kw_status_text(status), error->message);
}

static void read_entries(struct fixture *fixture, struct findings *findings)
{
    kw_error error = {0};
    struct catalogue_snapshot snapshot = {0};
    assert_ok(catalogue_snapshot_read(fixture->catalogue, note, findings, &snapshot, &error));
    findings->good += snapshot.entry_count + snapshot.certificate_count;
    catalogue_snapshot_clear(&snapshot);
    /* Without a listener it fails. */
    kw_status status = catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error);
    assert_int_equal(status, findings->corrupt == 0 ? KW_OK : KW_CORRUPT);
    catalogue_snapshot_clear(&snapshot);
}

static void read_journal(struct fixture *fixture, struct findings *findings)
{
    kw_error error = {0};
    struct journal_row *rows = NULL;
    size_t count = 0;
    assert_ok(catalogue_journal_read(fixture->catalogue, note, findings, &rows, &count, &error));
    for (size_t i = 0; i < count; i++)
        journal_row_clear(&rows[i]);
    free(rows);
    rows = NULL;
    findings->good += count;
    kw_status status = catalogue_journal_read(fixture->catalogue, NULL, NULL, &rows, &count, &error);
    assert_int_equal(status, findings->corrupt == 0 ? KW_OK : KW_CORRUPT);
    for (size_t i = 0; status == KW_OK && i < count; i++)
        journal_row_clear(&rows[i]);
    free(rows);
}

/* Every record that the list names, in every store of the file. */
static void read_records(struct fixture *fixture, struct findings *findings)
{
    static const char *const ids[] = {"7c9e6679", "7c9e6678"}; /* the second: with its last character changed */
    for (size_t i = 0; i < 2; i++) {
        unsigned char name[2][KW_RECORD_NAME_MAXIMUM], value[64];
        kw_input after = {0};
        for (size_t turn = 0;; turn = 1 - turn) {
            kw_error error = {0};
            kw_output next = {.data = name[turn], .capacity = sizeof(name[turn])};
            kw_output output = {.data = value, .capacity = sizeof(value)};
            kw_status status = catalogue_record_next(fixture->catalogue, ids[i], (kw_input){0}, after, &next, &error);
            if (status == KW_NOT_FOUND)
                break;
            assert_ok(status);
            after = (kw_input){name[turn], next.length};
            note_status(findings, catalogue_record_get(fixture->catalogue, ids[i], after, &output, &error), &error);
        }
    }
}

static void read_stores(struct fixture *fixture, struct findings *findings)
{
    static const char *const ids[] = {"7c9e6679", "7c9e6678", "0b1d02aa"};
    for (size_t i = 0; i < 3; i++) {
        kw_error error = {0};
        if (fixture_number(fixture, "SELECT count(*) FROM store WHERE id = '%s'", ids[i]) == 1)
            note_status(findings, catalogue_store_register(fixture->catalogue, ids[i], "softstore", &error), &error);
    }
}

static const struct table_case {
    const char *table;
    const char *where; /* the corrupt row is named so */
    size_t rows;       /* that `read` sees */
    void (*read)(struct fixture *fixture, struct findings *findings);
} tables[] = {
    {"entry", "entry database/", 4, read_entries}, {"certificate", "certificate ", 4, read_entries},
    {"record", "record 7c9e667", 2, read_records}, {"store", "store 7c9e667", 2, read_stores},
    {"journal", "journal row ", 2, read_journal},
};

static void fill(struct fixture *fixture)
{
    kw_error error = {0};
    for (size_t i = 0; i < 2; i++) {
        struct journal_row journal = fixture_journal(fixture, addresses[i]);
        fixture_put(fixture, addresses[i], NULL, NULL);
        assert_ok(catalogue_journal_insert(fixture->catalogue, &journal, &error));
        assert_ok(
            catalogue_record_put(fixture->catalogue, stores[0], input_text(records[i]), input_text("value"), &error));
        assert_ok(catalogue_store_register(fixture->catalogue, stores[i], "softstore", &error));
        journal_row_clear(&journal);
    }
}

static sqlite3 *raw_open(struct fixture *fixture)
{
    char path[400];
    sqlite3 *raw = NULL;
    snprintf(path, sizeof(path), "%s/%s", fixture->state, CATALOGUE_FILE);
    assert_int_equal(sqlite3_open_v2(path, &raw, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(raw, 30000);
    sqlite3_exec(raw, "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF", NULL, NULL, NULL);
    return raw;
}

/* Binds the value with one bit of it changed (the last of an integer or of the last byte), or something where there was nothing. */
static void bind_flipped(sqlite3_stmt *update, sqlite3_value *value, bool as_blob)
{
    int type = sqlite3_value_type(value);
    if (type == SQLITE_INTEGER) {
        sqlite3_bind_int64(update, 1, sqlite3_value_int64(value) ^ 1);
        return;
    }
    int length = sqlite3_value_bytes(value);
    unsigned char *bytes = calloc(1, (size_t)length + 1);
    assert_non_null(bytes);
    if (length > 0) {
        memcpy(bytes, sqlite3_value_blob(value), (size_t)length);
        bytes[length - 1] ^= 1;
    } else {
        bytes[length++] = '1';
    }
    if (as_blob)
        sqlite3_bind_blob(update, 1, bytes, length, SQLITE_TRANSIENT);
    else
        sqlite3_bind_text(update, 1, (const char *)bytes, length, SQLITE_TRANSIENT);
    free(bytes);
}

/* Flips one column of the first row, runs `check`, and puts it back. */
static void with_flipped(struct fixture *fixture, const char *table, const char *column, bool as_blob,
                         void (*check)(struct fixture *fixture, const char *table, const char *column))
{
    sqlite3 *raw = raw_open(fixture);
    sqlite3_stmt *select = NULL, *update = NULL;
    char *text = sqlite3_mprintf("SELECT %s, rowid FROM %s ORDER BY rowid LIMIT 1", column, table);
    assert_int_equal(sqlite3_prepare_v2(raw, text, -1, &select, NULL), SQLITE_OK);
    sqlite3_free(text);
    assert_int_equal(sqlite3_step(select), SQLITE_ROW);
    sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(select, 0));
    int64_t row = sqlite3_column_int64(select, 1);
    sqlite3_finalize(select);
    /* An id that is the row's number goes with it. */
    bool is_rowid = sqlite3_value_type(value) == SQLITE_INTEGER && strcmp(column, "id") == 0;
    text = sqlite3_mprintf("UPDATE %s SET %s = ?1 WHERE rowid = ?2", table, column);
    assert_int_equal(sqlite3_prepare_v2(raw, text, -1, &update, NULL), SQLITE_OK);
    sqlite3_free(text);
    bind_flipped(update, value, as_blob);
    sqlite3_bind_int64(update, 2, row);
    if (sqlite3_step(update) != SQLITE_DONE)
        fail_msg("%s.%s: %s", table, column, sqlite3_errmsg(raw));
    assert_int_equal(sqlite3_changes(raw), 1);
    sqlite3_reset(update);
    check(fixture, table, column);
    sqlite3_bind_value(update, 1, value);
    sqlite3_bind_int64(update, 2, is_rowid ? row ^ 1 : row);
    assert_int_equal(sqlite3_step(update), SQLITE_DONE);
    assert_int_equal(sqlite3_changes(raw), 1);
    sqlite3_finalize(update);
    sqlite3_value_free(value);
    sqlite3_close(raw);
}

/* Each column that the table has, so that one added later is tested too. */
static size_t for_each_column(struct fixture *fixture, const char *table,
                              void (*check)(struct fixture *fixture, const char *table, const char *column))
{
    sqlite3 *raw = raw_open(fixture);
    sqlite3_stmt *columns = NULL;
    size_t count = 0;
    char *text = sqlite3_mprintf("SELECT name, type FROM pragma_table_info(%Q)", table);
    assert_int_equal(sqlite3_prepare_v2(raw, text, -1, &columns, NULL), SQLITE_OK);
    sqlite3_free(text);
    for (; sqlite3_step(columns) == SQLITE_ROW; count++)
        with_flipped(fixture, table, (const char *)sqlite3_column_text(columns, 0),
                     strcmp((const char *)sqlite3_column_text(columns, 1), "BLOB") == 0, check);
    sqlite3_finalize(columns);
    sqlite3_close(raw);
    return count;
}

static void check_flipped(struct fixture *fixture, const char *table, const char *column)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct findings findings = {0};
        if (strcmp(tables[i].table, table) != 0)
            continue;
        tables[i].read(fixture, &findings);
        if (findings.corrupt != 1 || findings.good != tables[i].rows - 1)
            fail_msg("%s.%s flipped: %zu rows corrupt, %zu good", table, column, findings.corrupt, findings.good);
        assert_contains(findings.where, tables[i].where);
    }
}

static void row_any_column_flipped_is_corrupt_and_named(void **state)
{
    struct fixture *fixture = *state;
    static const size_t columns[] = {8, 11, 5, 5, 10};
    fill(fixture);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct findings findings = {0};
        tables[i].read(fixture, &findings);
        assert_int_equal(findings.corrupt, 0);
        assert_int_equal(findings.good, tables[i].rows);
        assert_int_equal(for_each_column(fixture, tables[i].table, check_flipped), columns[i]);
        tables[i].read(fixture, &findings);
        assert_int_equal(findings.corrupt, 0);
    }
}

static void check_meta_flipped(struct fixture *fixture, const char *table, const char *column)
{
    kw_error error = {0};
    struct catalogue *catalogue = NULL;
    (void)table;
    kw_status status = catalogue_open(fixture->crypto, fixture->state, fixture_key, true, NULL, &catalogue, &error);
    if (status != KW_CORRUPT)
        fail_msg("meta.%s flipped: %s: %s", column, kw_status_text(status), error.message);
    assert_contains(error.where, CATALOGUE_FILE);
}

static void meta_any_column_flipped_is_corrupt_not_a_wrong_key(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    assert_int_equal(for_each_column(fixture, "meta", check_meta_flipped), 5);
    fixture_open(fixture);
}

static void meta_missing_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    fixture_execute(fixture, "DELETE FROM meta");
    check_meta_flipped(fixture, "meta", "all");
}

static void row_exact_names_are_given(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row entry = {0};
    struct certificate_row certificate = {0};
    struct id id;
    kw_output output = {0};
    fixture_put(fixture, "database/sales", &id, NULL);
    assert_ok(catalogue_record_put(fixture->catalogue, stores[0], input_text("key/0123"), input_text("x"), &error));
    fixture_execute(fixture,
                    "UPDATE entry SET mac = x'00'; UPDATE certificate SET mac = x'00'; UPDATE record SET mac = x'00'");
    assert_status(KW_CORRUPT, catalogue_entry_get(fixture->catalogue, "database/sales", &entry, &error));
    assert_string_equal(error.where, "entry database/sales");
    assert_status(KW_CORRUPT, catalogue_certificate_get_number(fixture->catalogue, &id, 1, &certificate, &error));
    assert_string_equal(error.where, "certificate database/sales@1");
    assert_status(KW_CORRUPT, catalogue_certificate_get_last(fixture->catalogue, &id, &certificate, &error));
    assert_status(KW_CORRUPT,
                  catalogue_record_get(fixture->catalogue, stores[0], input_text("key/0123"), &output, &error));
    assert_string_equal(error.where, "record 7c9e6679/key/0123");
    static const unsigned char binary[] = {0, 0xff};
    assert_ok(catalogue_record_put(fixture->catalogue, stores[0], (kw_input){binary, 2}, input_text("x"), &error));
    fixture_execute(fixture, "UPDATE record SET mac = x'00'");
    assert_status(KW_CORRUPT,
                  catalogue_record_get(fixture->catalogue, stores[0], (kw_input){binary, 2}, &output, &error));
    assert_string_equal(error.where, "record 7c9e6679/00ff");
}

/* Whole rows, each with its own mac, under each other's ids. */
static void row_swapped_between_ids_are_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct findings findings = {0};
    fill(fixture);
    fixture_execute(fixture, "CREATE TEMP TABLE copy AS SELECT * FROM entry; UPDATE entry SET id = id || 'x';"
                             "UPDATE entry SET id = (SELECT id FROM copy WHERE copy.address <> entry.address)");
    read_entries(fixture, &findings);
    assert_int_equal(findings.corrupt, 2);
    assert_int_equal(findings.good, 2);
    findings = (struct findings){0};
    fixture_execute(
        fixture, "CREATE TEMP TABLE copy AS SELECT * FROM record; UPDATE record SET name = CAST(name || 'x' AS BLOB);"
                 "UPDATE record SET name = (SELECT name FROM copy WHERE copy.mac <> record.mac)");
    read_records(fixture, &findings);
    assert_int_equal(findings.corrupt, 2);
}

/* A key's record of one store does not pass for one of another; a content does not pass for another's, even with its mac. */
static void row_moved_or_copied_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    kw_output output = {0};
    struct findings findings = {0};
    fill(fixture);
    fixture_execute(fixture, "UPDATE record SET store_id = '0b1d02aa' WHERE CAST(name AS TEXT) = 'key/1'");
    assert_status(KW_CORRUPT,
                  catalogue_record_get(fixture->catalogue, stores[1], input_text("key/1"), &output, &error));
    fixture_execute(
        fixture, "CREATE TEMP TABLE copy AS SELECT * FROM certificate; UPDATE certificate SET (key_id, locator, mac) = "
                 "(SELECT key_id, locator, mac FROM copy WHERE copy.id <> certificate.id)");
    read_entries(fixture, &findings);
    assert_int_equal(findings.corrupt, 2);
    assert_int_equal(findings.good, 2);
}

/* Nothing is done because of a row that does not verify; but it can be removed, and a record replaced. */
static void row_corrupt_cannot_be_changed_but_removed(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row entry = {0};
    struct certificate_row certificate = {0};
    struct id entry_id, certificate_id;
    unsigned char value[8];
    kw_output output = {.data = value, .capacity = sizeof(value)};
    const kw_input name = input_text("key/1");
    fixture_put(fixture, "database/sales", &entry_id, &certificate_id);
    assert_ok(catalogue_record_put(fixture->catalogue, stores[0], name, input_text("old"), &error));
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &entry, &error));
    assert_ok(catalogue_certificate_get(fixture->catalogue, &certificate_id, &certificate, &error));
    fixture_execute(fixture, "UPDATE entry SET created = 0; UPDATE certificate SET created = 0; "
                             "UPDATE record SET value = CAST('new' AS BLOB)");
    assert_status(KW_CORRUPT, catalogue_entry_update(fixture->catalogue, &entry, &error));
    assert_status(KW_CORRUPT, catalogue_certificate_update(fixture->catalogue, &certificate, &error));
    assert_status(KW_CORRUPT, catalogue_record_swap(fixture->catalogue, stores[0], name, input_text("new"),
                                                    input_text("x"), &error));
    assert_status(KW_CORRUPT,
                  catalogue_record_swap(fixture->catalogue, stores[0], name, (kw_input){0}, input_text("x"), &error));
    assert_ok(catalogue_record_put(fixture->catalogue, stores[0], name, input_text("mended"), &error));
    assert_ok(catalogue_record_get(fixture->catalogue, stores[0], name, &output, &error));
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_entry_delete(fixture->catalogue, &entry_id, &error));
    assert_ok(catalogue_certificate_delete(fixture->catalogue, &certificate_id, &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    certificate_row_clear(&certificate);
    entry_row_clear(&entry);
}

/* The largest generation a forger can leave behind does no harm. */
static void row_generation_at_its_end_is_survived(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    unsigned char value[8];
    kw_output output = {.data = value, .capacity = sizeof(value)};
    static const char *const generations[] = {"9223372036854775807", "-1", "0"};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(catalogue_record_put(fixture->catalogue, stores[0], input_text("key/1"), input_text("old"), &error));
        fixture_execute(fixture, "UPDATE record SET generation = %s", generations[i]);
        assert_status(KW_CORRUPT,
                      catalogue_record_get(fixture->catalogue, stores[0], input_text("key/1"), &output, &error));
        assert_ok(catalogue_record_put(fixture->catalogue, stores[0], input_text("key/1"), input_text("new"), &error));
        assert_ok(catalogue_record_get(fixture->catalogue, stores[0], input_text("key/1"), &output, &error));
        assert_int_equal(fixture_number(fixture, "SELECT generation FROM record"), 1);
    }
}

/* A row of the same content written under another catalogue key. */
static void row_of_another_key_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    kw_output output = {0};
    struct catalogue *other = NULL;
    char directory[400];
    const kw_input key = input_text("another catalogue key, 30 bytes");
    snprintf(directory, sizeof(directory), "%s/other", fixture->directory);
    assert_ok(catalogue_open(fixture->crypto, directory, key, true, NULL, &other, &error));
    assert_ok(catalogue_record_put(other, stores[0], input_text("key/1"), input_text("value"), &error));
    fixture_execute(fixture, "ATTACH '%s/" CATALOGUE_FILE "' AS other; INSERT INTO record SELECT * FROM other.record",
                    directory);
    assert_status(KW_CORRUPT,
                  catalogue_record_get(fixture->catalogue, stores[0], input_text("key/1"), &output, &error));
    catalogue_close(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(row_any_column_flipped_is_corrupt_and_named),
        TEST(meta_any_column_flipped_is_corrupt_not_a_wrong_key),
        TEST(meta_missing_is_corrupt),
        TEST(row_exact_names_are_given),
        TEST(row_swapped_between_ids_are_corrupt),
        TEST(row_moved_or_copied_is_corrupt),
        TEST(row_corrupt_cannot_be_changed_but_removed),
        TEST(row_generation_at_its_end_is_survived),
        TEST(row_of_another_key_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
