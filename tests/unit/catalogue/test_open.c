/* Finding, making and checking the file. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The linker puts these in the place of the C library's and SQLite's ---- */

int __real_faccessat(int directory, const char *path, int mode, int flags);
int __wrap_faccessat(int directory, const char *path, int mode, int flags);
int __real_sqlite3_busy_timeout(sqlite3 *connection, int milliseconds);
int __wrap_sqlite3_busy_timeout(sqlite3 *connection, int milliseconds);

static bool medium_is_read_only;
static int last_timeout;

int __wrap_faccessat(int directory, const char *path, int mode, int flags)
{
    if (medium_is_read_only && (mode & W_OK) != 0) {
        errno = EROFS;
        return -1;
    }
    return __real_faccessat(directory, path, mode, flags);
}

int __wrap_sqlite3_busy_timeout(sqlite3 *connection, int milliseconds)
{
    last_timeout = milliseconds;
    return __real_sqlite3_busy_timeout(connection, milliseconds);
}

/* ---- Helpers ---- */

static kw_status open_status(struct fixture *fixture, bool create, kw_error *error)
{
    struct catalogue *catalogue = NULL;
    kw_status status = catalogue_open(fixture->crypto, fixture->state, fixture_key, create, NULL, &catalogue, error);
    catalogue_close(catalogue);
    return status;
}

static char *state_path(struct fixture *fixture, const char *name, char path[400])
{
    snprintf(path, 400, "%s/%s", fixture->state, name);
    return path;
}

static bool exists(struct fixture *fixture, const char *name)
{
    char path[400];
    return access(state_path(fixture, name, path), F_OK) == 0;
}

static unsigned mode_of(struct fixture *fixture, const char *name)
{
    char path[400];
    struct stat facts;
    assert_int_equal(stat(state_path(fixture, name, path), &facts), 0);
    return (unsigned)facts.st_mode & 07777u;
}

static void write_file(struct fixture *fixture, const char *name, off_t at, const void *data, size_t length)
{
    char path[400];
    int file = open(state_path(fixture, name, path), O_WRONLY | O_CREAT, 0600);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, data, length, at), (ssize_t)length);
    close(file);
}

/* ---- Making ---- */

static void open_without_create_finds_none_and_makes_none(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_status(KW_NOT_FOUND, open_status(fixture, false, &error));
    assert_contains(error.remedy, "keywright apply");
    assert_int_equal(access(fixture->state, F_OK), -1);
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    assert_status(KW_NOT_FOUND, open_status(fixture, false, &error));
    assert_contains(error.where, CATALOGUE_FILE);
    assert_false(exists(fixture, CATALOGUE_FILE));
    assert_ok(open_status(fixture, true, &error));
    assert_ok(open_status(fixture, false, &error));
}

static void open_created_files_are_the_owners_alone(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    mode_t mask = umask(0);
    fixture_open(fixture);
    assert_ok(fixture_record_put(fixture->catalogue, "name", "x", &error));
    umask(mask);
    assert_int_equal(mode_of(fixture, ""), 0700);
    assert_int_equal(mode_of(fixture, "run"), 0700);
    assert_int_equal(mode_of(fixture, CATALOGUE_FILE), 0600);
    assert_int_equal(mode_of(fixture, CATALOGUE_FILE "-wal"), 0600);
    assert_int_equal(mode_of(fixture, CATALOGUE_FILE "-shm"), 0600);
    fixture_close(fixture);
    assert_false(exists(fixture, CATALOGUE_FILE "-wal"));
}

static void open_settings_are_those_of_the_design(void **state)
{
    struct fixture *fixture = *state;
    fixture_open(fixture);
    assert_int_equal(last_timeout, 30000);
    assert_int_equal(fixture_number(fixture, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(fixture_number(fixture, "PRAGMA user_version"), CATALOGUE_SCHEMA_VERSION);
    assert_int_equal(fixture_number(fixture,
                                    "SELECT min(strict) FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE "
                                    "'sqlite%%'"),
                     1);
}

static void open_state_that_is_a_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    int file = open(fixture->state, O_WRONLY | O_CREAT, 0600);
    assert_true(file >= 0);
    close(file);
    assert_status(KW_CONFIGURATION, open_status(fixture, true, &error));
    assert_contains(error.message, fixture->state);
}

static int start[2];

static int create_and_put(struct fixture *fixture, int number)
{
    kw_error error = {0};
    char name[16], byte;
    close(start[1]);
    if (read(start[0], &byte, 1) != 0)
        return 1;
    snprintf(name, sizeof(name), "child-%d", number);
    kw_status status =
        catalogue_open(fixture->crypto, fixture->state, fixture_key, true, NULL, &fixture->catalogue, &error);
    if (status == KW_OK)
        status = fixture_record_put(fixture->catalogue, name, "x", &error);
    if (status != KW_OK)
        fprintf(stderr, "%s: [%s] %s\n", name, error.where, error.message);
    fixture_close(fixture);
    return (int)status;
}

static void open_created_by_eight_processes_at_once_is_one(void **state)
{
    struct fixture *fixture = *state;
    enum { CHILDREN = 8, ROUNDS = 5 };
    for (int round = 0; round < ROUNDS; round++) {
        int children[CHILDREN];
        snprintf(fixture->state, sizeof(fixture->state), "%.250s/state-%d", fixture->directory, round);
        assert_int_equal(pipe(start), 0);
        for (int i = 0; i < CHILDREN; i++)
            children[i] = fixture_child(create_and_put, fixture, i);
        close(start[0]);
        close(start[1]); /* they all start now */
        for (int i = 0; i < CHILDREN; i++)
            assert_int_equal(fixture_wait(children[i]), 0);
        assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM record"), CHILDREN);
        assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM meta"), 1);
    }
}

/* ---- Keys, versions, damage ---- */

static void open_wrong_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct catalogue *catalogue = NULL;
    const kw_input wrong = input_text("a catalogue key for the tests..!");
    fixture_open(fixture);
    assert_status(KW_SECRET_REFUSED,
                  catalogue_open(fixture->crypto, fixture->state, wrong, true, NULL, &catalogue, &error));
    assert_contains(error.remedy, "catalogue_key");
    assert_null(catalogue);
    assert_null(strstr(error.message, "tests"));
}

static void open_short_key_is_refused_before_anything_is_made(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct catalogue *catalogue = NULL;
    const kw_input key = input_text("fifteen bytes..");
    assert_status(KW_CONFIGURATION,
                  catalogue_open(fixture->crypto, fixture->state, key, true, NULL, &catalogue, &error));
    assert_int_equal(access(fixture->state, F_OK), -1);
}

static void open_newer_schema_names_both_versions(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_open(fixture);
    fixture_close(fixture);
    fixture_execute(fixture, "PRAGMA user_version = 4711");
    assert_status(KW_UNSUPPORTED, open_status(fixture, true, &error));
    assert_contains(error.message, "4711");
    assert_contains(error.message, " 3");
    assert_contains(error.where, CATALOGUE_FILE);
}

static void open_older_schema_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_open(fixture);
    fixture_close(fixture);
    fixture_execute(fixture, "PRAGMA user_version = 1");
    assert_status(KW_UNSUPPORTED, open_status(fixture, true, &error));
    assert_contains(error.message, " 1");
    assert_contains(error.message, " 3");
    assert_contains(error.remedy, "export");
}

/* Not one that is to be made: what was in it may be in a backup. */
static void open_emptied_catalogue_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    char path[400];
    fixture_open(fixture);
    fixture_close(fixture);
    assert_int_equal(truncate(state_path(fixture, CATALOGUE_FILE, path), 0), 0);
    assert_status(KW_CORRUPT, open_status(fixture, true, &error));
    assert_contains(error.remedy, "backup");
    assert_false(exists(fixture, CATALOGUE_FILE "-wal"));
}

static void open_takes_no_notice_of_one_that_was_never_finished(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    write_file(fixture, CATALOGUE_FILE ".new", 0, "half of something", 17);
    fixture_open(fixture);
    fixture_close(fixture);
    assert_false(exists(fixture, CATALOGUE_FILE ".new"));
}

static void open_other_database_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    write_file(fixture, CATALOGUE_FILE, 0, "", 0);
    fixture_execute(fixture, "CREATE TABLE something (x)");
    assert_status(KW_CORRUPT, open_status(fixture, true, &error));
    assert_contains(error.message, "not a catalogue");
    fixture_execute(fixture, "PRAGMA user_version = 1");
    assert_status(KW_CORRUPT, open_status(fixture, true, &error));
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void open_damaged_file_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    char path[400];
    fixture_open(fixture);
    fixture_close(fixture);
    assert_int_equal(truncate(state_path(fixture, CATALOGUE_FILE, path), 5000), 0);
    assert_status(KW_CORRUPT, open_status(fixture, true, &error));
    assert_contains(error.where, CATALOGUE_FILE);
    assert_contains(error.remedy, "backup");
    write_file(fixture, CATALOGUE_FILE, 0, "This is no database at all.", 27);
    assert_status(KW_CORRUPT, open_status(fixture, true, &error));
}

static void open_missing_table_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_open(fixture);
    fixture_execute(fixture, "DROP TABLE record");
    assert_status(KW_CORRUPT, fixture_record_get(fixture->catalogue, "name", &error));
    assert_contains(error.where, CATALOGUE_FILE);
    assert_ok(catalogue_store_register(fixture->catalogue, fixture_store, "softstore", &error));
}

/* A trigger that somebody put into the file does nothing. */
static void open_foreign_triggers_do_not_run(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_open(fixture);
    fixture_execute(fixture, "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END");
    assert_ok(fixture_record_put(fixture->catalogue, "name", "x", &error));
    assert_ok(fixture_record_get(fixture->catalogue, "name", &error));
}

/* ---- Rights ---- */

/* Rights count for those who are not root. */
static void become_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(99);
}

static int expect_permission(struct fixture *fixture, const char *named, const char *right)
{
    kw_error error = {0};
    become_nobody();
    kw_status status = open_status(fixture, true, &error);
    if (status == KW_PERMISSION && strstr(error.message, named) != NULL && strstr(error.message, right) != NULL &&
        error.remedy[0] != '\0')
        return 0;
    fprintf(stderr, "%s: %s: [%s] %s (%s)\n", named, kw_status_text(status), error.where, error.message, error.remedy);
    return 1;
}

static int expect_no_write(struct fixture *fixture, int number)
{
    (void)number;
    return expect_permission(fixture, fixture->state, "right to write to");
}

static int expect_no_search(struct fixture *fixture, int number)
{
    (void)number;
    return expect_permission(fixture, fixture->state, "right to search");
}

static int expect_no_file_write(struct fixture *fixture, int number)
{
    (void)number;
    return expect_permission(fixture, CATALOGUE_FILE, "right to write");
}

static int expect_no_directory_made(struct fixture *fixture, int number)
{
    (void)number;
    return expect_permission(fixture, fixture->state, "right to write to the directory");
}

static void give_to_nobody(const char *path, mode_t mode)
{
    if (geteuid() == 0)
        assert_int_equal(chown(path, 65534, 65534), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void open_missing_rights_are_named_at_once_and_nothing_is_left(void **state)
{
    struct fixture *fixture = *state;
    char path[400];
    /* The place of the state directory. */
    assert_int_equal(chmod(fixture->directory, 0555), 0);
    assert_int_equal(fixture_wait(fixture_child(expect_no_directory_made, fixture, 0)), 0);
    assert_int_equal(access(fixture->state, F_OK), -1);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    /* The directory. */
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    give_to_nobody(fixture->state, 0500);
    assert_int_equal(fixture_wait(fixture_child(expect_no_write, fixture, 0)), 0);
    give_to_nobody(fixture->state, 0600);
    assert_int_equal(fixture_wait(fixture_child(expect_no_search, fixture, 0)), 0);
    give_to_nobody(fixture->state, 0700);
    assert_int_equal(rmdir(fixture->state), 0); /* it is empty */
    /* The file, and the directory again when there is one. */
    fixture_open(fixture);
    fixture_close(fixture);
    give_to_nobody(fixture->state, 0700);
    give_to_nobody(state_path(fixture, CATALOGUE_FILE, path), 0400);
    assert_int_equal(fixture_wait(fixture_child(expect_no_file_write, fixture, 0)), 0);
    give_to_nobody(state_path(fixture, CATALOGUE_FILE, path), 0600);
    give_to_nobody(fixture->state, 0500);
    assert_int_equal(fixture_wait(fixture_child(expect_no_write, fixture, 0)), 0);
    give_to_nobody(fixture->state, 0700);
}

static void open_on_a_read_only_medium_says_so(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_open(fixture);
    fixture_close(fixture);
    medium_is_read_only = true;
    kw_status status = open_status(fixture, true, &error);
    medium_is_read_only = false;
    assert_int_equal(status, KW_PERMISSION);
    assert_contains(error.message, "read-only");
    assert_contains(error.message, fixture->state);
    assert_string_equal(error.where, fixture->state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_empty, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(open_without_create_finds_none_and_makes_none),
        TEST(open_created_files_are_the_owners_alone),
        TEST(open_settings_are_those_of_the_design),
        TEST(open_state_that_is_a_file_is_refused),
        TEST(open_created_by_eight_processes_at_once_is_one),
        TEST(open_wrong_key_is_refused),
        TEST(open_short_key_is_refused_before_anything_is_made),
        TEST(open_newer_schema_names_both_versions),
        TEST(open_older_schema_is_refused),
        TEST(open_emptied_catalogue_is_corrupt),
        TEST(open_takes_no_notice_of_one_that_was_never_finished),
        TEST(open_other_database_is_corrupt),
        TEST(open_damaged_file_is_corrupt),
        TEST(open_missing_table_is_corrupt),
        TEST(open_foreign_triggers_do_not_run),
        TEST(open_missing_rights_are_named_at_once_and_nothing_is_left),
        TEST(open_on_a_read_only_medium_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
