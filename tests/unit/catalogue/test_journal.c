#include "fixture.h"

#include <stdlib.h>

static void journal_clear(struct journal_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        journal_row_clear(&rows[i]);
    free(rows);
}

static void journal_insert_then_read_gives_the_same(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct journal_row first = fixture_journal(fixture, "database/sales"),
                       second = fixture_journal(fixture, "database/hr");
    struct journal_row *rows = NULL;
    size_t count = 99;
    second.operation = JOURNAL_DELETE_KEY;
    second.locator_length = 0;
    second.created = first.created + 1;
    assert_ok(catalogue_journal_read(fixture->catalogue, NULL, NULL, &rows, &count, &error));
    assert_int_equal(count, 0);
    free(rows);
    assert_ok(catalogue_journal_insert(fixture->catalogue, &second, &error));
    assert_ok(catalogue_journal_insert(fixture->catalogue, &first, &error));
    assert_int_equal(first.generation, 1);
    assert_ok(catalogue_journal_read(fixture->catalogue, NULL, NULL, &rows, &count, &error));
    assert_int_equal(count, 2);
    assert_true(id_equal(&rows[0].id, &first.id)); /* the oldest first */
    assert_true(id_equal(&rows[0].owner, &first.owner));
    assert_true(id_equal(&rows[0].key_id, &first.key_id));
    assert_int_equal(rows[0].operation, JOURNAL_CREATE_KEY);
    assert_string_equal(rows[0].address, "database/sales");
    assert_string_equal(rows[0].store_id, first.store_id);
    assert_int_equal(rows[0].locator_length, 5);
    assert_memory_equal(rows[0].locator, "place", 5);
    assert_int_equal(rows[0].created, first.created);
    assert_int_equal(rows[0].generation, 1);
    assert_true(id_equal(&rows[1].id, &second.id));
    assert_int_equal(rows[1].operation, JOURNAL_DELETE_KEY);
    assert_int_equal(rows[1].locator_length, 0);
    journal_clear(rows, count);
    journal_row_clear(&second);
    journal_row_clear(&first);
}

static void journal_insert_taken_id_exists(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct journal_row row = fixture_journal(fixture, "database/sales");
    assert_ok(catalogue_journal_insert(fixture->catalogue, &row, &error));
    assert_status(KW_EXISTS, catalogue_journal_insert(fixture->catalogue, &row, &error));
    journal_row_clear(&row);
}

static void journal_insert_invalid_row_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct journal_row row = fixture_journal(fixture, "database/sales");
    memset(&row.operation, 0x55, sizeof(row.operation));
    assert_status(KW_INVALID_ARGUMENT, catalogue_journal_insert(fixture->catalogue, &row, &error));
    row.operation = JOURNAL_CREATE_KEY;
    row.locator_length = sizeof(row.locator) + 1;
    assert_status(KW_INVALID_ARGUMENT, catalogue_journal_insert(fixture->catalogue, &row, &error));
    row.locator_length = 0;
    row.id = (struct id){0};
    assert_status(KW_INVALID_ARGUMENT, catalogue_journal_insert(fixture->catalogue, &row, &error));
    journal_row_clear(&row);
}

static void journal_delete_removes_once(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct journal_row row = fixture_journal(fixture, "database/sales");
    assert_ok(catalogue_journal_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_journal_delete(fixture->catalogue, &row.id, &error));
    assert_status(KW_NOT_FOUND, catalogue_journal_delete(fixture->catalogue, &row.id, &error));
    journal_row_clear(&row);
}

/* A store is registered for good with one plugin. */
static void store_register_another_plugin_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_ok(catalogue_store_register(fixture->catalogue, "7c9e6679", "softstore", &error));
    assert_ok(catalogue_store_register(fixture->catalogue, "7c9e6679", "softstore", &error));
    assert_ok(catalogue_store_register(fixture->catalogue, "0b1d02aa", "pkcs11", &error));
    assert_status(KW_REFUSED, catalogue_store_register(fixture->catalogue, "7c9e6679", "pkcs11", &error));
    assert_contains(error.message, "softstore");
    assert_contains(error.message, "pkcs11");
    assert_contains(error.message, "7c9e6679");
    assert_status(KW_REFUSED, catalogue_store_register(fixture->catalogue, "7c9e6679", "softstor", &error));
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM store"), 2);
}

static void store_register_without_id_or_plugin_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_status(KW_INVALID_ARGUMENT, catalogue_store_register(fixture->catalogue, "", "softstore", &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_store_register(fixture->catalogue, "7c9e6679", "", &error));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(journal_insert_then_read_gives_the_same),  TEST(journal_insert_taken_id_exists),
        TEST(journal_insert_invalid_row_is_refused),    TEST(journal_delete_removes_once),
        TEST(store_register_another_plugin_is_refused), TEST(store_register_without_id_or_plugin_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
