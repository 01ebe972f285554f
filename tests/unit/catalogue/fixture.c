#include "fixture.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

const char fixture_store[] = "7c9e6679";
const kw_input fixture_key = {(const unsigned char *)"a catalogue key for the tests...", 32};

static int setup(void **state, bool open)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const char *temporary = getenv("TMPDIR");
    assert_non_null(fixture);
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/keywright-catalogue.XXXXXX",
             temporary == NULL ? "/tmp" : temporary);
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->state, sizeof(fixture->state), "%s/state", fixture->directory);
    assert_int_equal(crypto_open(&fixture->crypto, NULL), KW_OK);
    if (open)
        fixture_open(fixture);
    *state = fixture;
    return 0;
}

int fixture_setup(void **state)
{
    return setup(state, true);
}

int fixture_setup_empty(void **state)
{
    return setup(state, false);
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *place)
{
    (void)facts;
    (void)type;
    (void)place;
    return remove(path);
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    crypto_close(fixture->crypto);
    nftw(fixture->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

void fixture_open(struct fixture *fixture)
{
    kw_error error = {0};
    assert_ok(catalogue_open(fixture->crypto, fixture->state, fixture_key, true, NULL, &fixture->catalogue, &error));
}

void fixture_close(struct fixture *fixture)
{
    catalogue_close(fixture->catalogue);
    fixture->catalogue = NULL;
}

struct id fixture_id(struct fixture *fixture)
{
    struct id id;
    assert_int_equal(id_make(fixture->crypto, &id, NULL), KW_OK);
    return id;
}

struct entry_row fixture_entry(struct fixture *fixture, const char *address)
{
    struct entry_row row = {
        .id = fixture_id(fixture), .state = ENTRY_IN_USE, .database_count = 2, .created = 1700000000};
    row.address = text_copy(address);
    row.databases = calloc(2, sizeof(*row.databases));
    assert_non_null(row.databases);
    row.databases[0] = text_copy("sales");
    row.databases[1] = text_copy("hr");
    return row;
}

struct certificate_row fixture_certificate(struct fixture *fixture, const struct id *entry, unsigned number)
{
    static const unsigned char chain[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    struct certificate_row row = {.id = fixture_id(fixture),
                                  .entry = *entry,
                                  .number = number,
                                  .key_id = fixture_id(fixture),
                                  .created = 1700000001};
    row.store_id = text_copy(fixture_store);
    row.key = text_copy("rsa-3072");
    memcpy(row.locator, row.key_id.bytes, sizeof(row.key_id.bytes));
    row.locator_length = sizeof(row.key_id.bytes);
    row.chain.data = malloc(sizeof(chain));
    assert_non_null(row.chain.data);
    memcpy(row.chain.data, chain, sizeof(chain));
    row.chain.length = sizeof(chain);
    return row;
}

struct journal_row fixture_journal(struct fixture *fixture, const char *address)
{
    struct journal_row row = {.id = fixture_id(fixture),
                              .owner = fixture_id(fixture),
                              .operation = JOURNAL_CREATE_KEY,
                              .key_id = fixture_id(fixture),
                              .locator = "place",
                              .locator_length = 5,
                              .created = 1700000002};
    row.address = text_copy(address);
    row.store_id = text_copy(fixture_store);
    return row;
}

void fixture_put(struct fixture *fixture, const char *address, struct id *entry, struct id *certificate)
{
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, address);
    struct certificate_row certificate_row = fixture_certificate(fixture, &row.id, 1);
    row.certificate = certificate_row.id;
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &certificate_row, &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    if (entry != NULL)
        *entry = row.id;
    if (certificate != NULL)
        *certificate = certificate_row.id;
    certificate_row_clear(&certificate_row);
    entry_row_clear(&row);
}

kw_status fixture_record_put(struct catalogue *catalogue, const char *name, const char *value, kw_error *error)
{
    return catalogue_record_put(catalogue, fixture_store, input_text(name), input_text(value), error);
}

kw_status fixture_record_get(struct catalogue *catalogue, const char *name, kw_error *error)
{
    unsigned char value[64];
    kw_output output = {.data = value, .capacity = sizeof(value)};
    return catalogue_record_get(catalogue, fixture_store, input_text(name), &output, error);
}

/* ---- The file itself ---- */

static sqlite3 *raw_open(struct fixture *fixture)
{
    char path[400];
    sqlite3 *raw = NULL;
    snprintf(path, sizeof(path), "%s/%s", fixture->state, CATALOGUE_FILE);
    assert_int_equal(sqlite3_open_v2(path, &raw, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(raw, 30000);
    assert_int_equal(
        sqlite3_exec(raw, "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF", NULL, NULL, NULL),
        SQLITE_OK);
    return raw;
}

void fixture_execute(struct fixture *fixture, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    sqlite3 *raw = raw_open(fixture);
    if (sqlite3_exec(raw, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(raw));
    sqlite3_close(raw);
    sqlite3_free(text);
}

int64_t fixture_number(struct fixture *fixture, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    sqlite3 *raw = raw_open(fixture);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(raw, text, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        fail_msg("%s: %s", text, sqlite3_errmsg(raw));
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(raw);
    sqlite3_free(text);
    return number;
}

/* ---- Assertions ---- */

void fixture_assert_status(kw_status status, kw_status expected, const kw_error *error, const char *what,
                           const char *file, int line)
{
    if (status == expected)
        return;
    print_error("%s: '%s' instead of '%s': [%s] %s\n", what, kw_status_text(status), kw_status_text(expected),
                error->where, error->message);
    _fail(file, line);
}

void fixture_assert_contains(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part) != NULL)
        return;
    print_error("'%s' does not contain '%s'\n", text, part);
    _fail(file, line);
}

/* ---- Children ---- */

int fixture_child(int (*body)(struct fixture *fixture, int number), struct fixture *fixture, int number)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(body(fixture, number));
    return child;
}

int fixture_wait(int child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
