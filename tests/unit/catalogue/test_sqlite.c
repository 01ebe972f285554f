/* An open file that others hold, that cannot grow, or that is no longer there. */
#include "fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"

/* The linker puts this in the place of SQLite's. */
int __real_sqlite3_busy_timeout(sqlite3 *connection, int milliseconds);
int __wrap_sqlite3_busy_timeout(sqlite3 *connection, int milliseconds);

static bool nobody_waits;

int __wrap_sqlite3_busy_timeout(sqlite3 *connection, int milliseconds)
{
    return __real_sqlite3_busy_timeout(connection, nobody_waits ? 20 : milliseconds);
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

static void write_beside_a_long_writer_is_unavailable_after_the_wait(void **state)
{
    struct fixture *fixture = *state, other = *fixture;
    kw_error error = {0};
    nobody_waits = true;
    fixture_open(fixture);
    fixture_open(&other);
    nobody_waits = false;
    assert_ok(catalogue_begin(other.catalogue, &error));
    assert_status(KW_UNAVAILABLE, fixture_record_put(fixture->catalogue, "name", "x", &error));
    assert_contains(error.where, CATALOGUE_FILE);
    assert_true(error.remedy[0] != '\0');
    assert_status(KW_UNAVAILABLE, catalogue_begin(fixture->catalogue, &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "name", &error));
    catalogue_rollback(other.catalogue);
    assert_ok(fixture_record_put(fixture->catalogue, "name", "x", &error));
    fixture_close(&other);
}

/* Files may not grow: as on a full disk. */
static int fill_the_disk(struct fixture *fixture, int number)
{
    static unsigned char large[KW_RECORD_VALUE_MAXIMUM];
    kw_error error = {0};
    struct rlimit limit = {.rlim_cur = 1024 * 1024, .rlim_max = RLIM_INFINITY};
    kw_status status = KW_OK;
    (void)number;
    signal(SIGXFSZ, SIG_IGN);
    fixture_open(fixture);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || catalogue_begin(fixture->catalogue, &error) != KW_OK)
        return 1;
    for (int i = 0; status == KW_OK && i < 32; i++) {
        char name[16];
        snprintf(name, sizeof(name), "large-%d", i);
        status = catalogue_record_put(fixture->catalogue, fixture_store, input_text(name),
                                      (kw_input){large, sizeof(large)}, &error);
    }
    if (status != KW_UNAVAILABLE || strstr(error.where, CATALOGUE_FILE) == NULL)
        return 2;
    /* What follows is not written as if nothing had happened. */
    if (fixture_record_put(fixture->catalogue, "small", "x", &error) != KW_UNAVAILABLE ||
        fixture_record_get(fixture->catalogue, "before", &error) != KW_UNAVAILABLE)
        return 3;
    if (catalogue_commit(fixture->catalogue, &error) != KW_UNAVAILABLE)
        return 4;
    limit.rlim_cur = RLIM_INFINITY;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 5;
    if (fixture_record_get(fixture->catalogue, "before", &error) != KW_OK ||
        fixture_record_get(fixture->catalogue, "small", &error) != KW_NOT_FOUND ||
        fixture_record_put(fixture->catalogue, "after", "x", &error) != KW_OK)
        return 6;
    fixture_close(fixture);
    return 0;
}

static void write_to_a_full_disk_undoes_the_transaction(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_open(fixture);
    assert_ok(fixture_record_put(fixture->catalogue, "before", "x", &error));
    fixture_close(fixture);
    assert_int_equal(fixture_wait(fixture_child(fill_the_disk, fixture, 0)), 0);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM record"), 2);
}

/* A restored backup takes effect, and nothing is written into a file that nobody will see again. */
static void file_replaced_under_an_open_catalogue_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    char path[400], away[400];
    state_path(fixture, CATALOGUE_FILE, path);
    state_path(fixture, "away", away);
    fixture_open(fixture);
    assert_ok(fixture_record_put(fixture->catalogue, "old", "x", &error));
    fixture_close(fixture);
    fixture_execute(fixture, "VACUUM INTO '%s'", away);
    fixture_open(fixture);
    assert_ok(fixture_record_put(fixture->catalogue, "new", "x", &error));
    assert_ok(fixture_record_get(fixture->catalogue, "new", &error));
    assert_int_equal(rename(away, path), 0);
    unlink(state_path(fixture, CATALOGUE_FILE "-wal", away));
    unlink(state_path(fixture, CATALOGUE_FILE "-shm", away));
    assert_ok(fixture_record_put(fixture->catalogue, "newest", "x", &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "new", &error));
    assert_ok(fixture_record_get(fixture->catalogue, "old", &error));
    fixture_close(fixture);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM record"), 2);
    fixture_open(fixture);
    assert_ok(fixture_record_get(fixture->catalogue, "newest", &error));
    assert_int_equal(rename(path, state_path(fixture, "away", away)), 0);
    assert_status(KW_NOT_FOUND, fixture_record_put(fixture->catalogue, "lost", "x", &error));
}

/* Its log is that of the new file by now, and stays. */
static void close_of_a_replaced_file_leaves_the_new_ones_log(void **state)
{
    struct fixture *fixture = *state, replaced = *fixture, reader = *fixture;
    kw_error error = {0};
    char path[400], away[400];
    state_path(fixture, CATALOGUE_FILE, path);
    state_path(fixture, "away", away);
    fixture_open(&replaced);
    fixture_execute(fixture, "VACUUM INTO '%s'", away);
    assert_ok(fixture_record_put(replaced.catalogue, "lost", "x", &error));
    assert_int_equal(rename(away, path), 0);
    unlink(state_path(fixture, CATALOGUE_FILE "-wal", away));
    unlink(state_path(fixture, CATALOGUE_FILE "-shm", away));
    fixture_open(fixture);
    assert_ok(fixture_record_put(fixture->catalogue, "new", "x", &error));
    fixture_close(&replaced);
    assert_true(exists(fixture, CATALOGUE_FILE "-wal"));
    fixture_open(&reader);
    assert_ok(fixture_record_get(reader.catalogue, "new", &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(reader.catalogue, "lost", &error));
    fixture_close(&reader);
}

/* What is deleted or replaced is gone from the file, not only from the tables. */
static void delete_overwrites_what_was_there(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    kw_bytes content = {0};
    char path[400];
    fixture_open(fixture);
    assert_ok(fixture_record_put(fixture->catalogue, "kept", "KEPT-KEPT-KEPT", &error));
    assert_ok(fixture_record_put(fixture->catalogue, "deleted", "DELETED-DELETED", &error));
    assert_ok(fixture_record_put(fixture->catalogue, "replaced", "REPLACED-REPLACED", &error));
    fixture_close(fixture);
    fixture_open(fixture);
    assert_ok(catalogue_record_delete(fixture->catalogue, fixture_store, input_text("deleted"), &error));
    assert_ok(fixture_record_put(fixture->catalogue, "replaced", "x", &error));
    fixture_close(fixture);
    assert_ok(file_read(state_path(fixture, CATALOGUE_FILE, path), 1024 * 1024, &content, &error));
    assert_non_null(memmem(content.data, content.length, "KEPT-KEPT-KEPT", 14));
    assert_null(memmem(content.data, content.length, "DELETED-DELETED", 15));
    assert_null(memmem(content.data, content.length, "REPLACED-REPLACED", 17));
    kw_bytes_free(&content);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_empty, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(write_beside_a_long_writer_is_unavailable_after_the_wait),
        TEST(write_to_a_full_disk_undoes_the_transaction),
        TEST(file_replaced_under_an_open_catalogue_is_noticed),
        TEST(close_of_a_replaced_file_leaves_the_new_ones_log),
        TEST(delete_overwrites_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
