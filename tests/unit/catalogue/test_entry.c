#include "fixture.h"

#include <stdlib.h>

static void entry_insert_then_get_gives_the_same(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales"), read = {0};
    row.state = ENTRY_RETIRED;
    row.created = -5;
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_int_equal(row.generation, 1);
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &read, &error));
    assert_true(id_equal(&read.id, &row.id));
    assert_int_equal(read.generation, 1);
    assert_string_equal(read.address, "database/sales");
    assert_int_equal(read.state, ENTRY_RETIRED);
    assert_int_equal(read.database_count, 2);
    assert_string_equal(read.databases[0], "hr"); /* sorted */
    assert_string_equal(read.databases[1], "sales");
    assert_true(id_is_zero(&read.certificate));
    assert_int_equal(read.created, -5);
    entry_row_clear(&read);
    entry_row_clear(&row);
}

static void entry_insert_survives_reopening(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row read = {0};
    struct id entry, certificate;
    fixture_put(fixture, "database/sales", &entry, &certificate);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &read, &error));
    assert_true(id_equal(&read.certificate, &certificate));
    entry_row_clear(&read);
}

static void entry_insert_readable_columns_are_written(void **state)
{
    struct fixture *fixture = *state;
    fixture_put(fixture, "database/sales", NULL, NULL);
    assert_int_equal(fixture_number(fixture,
                                    "SELECT count(*) FROM entry WHERE address = 'database/sales' AND state = 'in use' "
                                    "AND databases = 'hr/sales' AND length(id) = 32 AND length(certificate) = 32"),
                     1);
    assert_int_equal(fixture_number(fixture,
                                    "SELECT count(*) FROM certificate WHERE store_id = '7c9e6679' AND key = 'rsa-3072' "
                                    "AND number = 1 AND hex(chain) = '3003020105'"),
                     1);
}

static void entry_insert_without_databases_gives_none(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = {.id = fixture_id(fixture), .address = text_copy("ssl-connection"), .state = ENTRY_IN_USE},
                     read = {0};
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_entry_get(fixture->catalogue, "ssl-connection", &read, &error));
    assert_int_equal(read.database_count, 0);
    entry_row_clear(&read);
    entry_row_clear(&row);
}

static void entry_insert_taken_address_or_id_exists(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales"), other = fixture_entry(fixture, "database/sales");
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_status(KW_EXISTS, catalogue_entry_insert(fixture->catalogue, &other, &error));
    assert_contains(error.message, "database/sales");
    assert_int_equal(other.generation, 0);
    free(other.address);
    other.address = text_copy("database/other");
    other.id = row.id;
    assert_status(KW_EXISTS, catalogue_entry_insert(fixture->catalogue, &other, &error));
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM entry"), 1);
    entry_row_clear(&other);
    entry_row_clear(&row);
}

static void entry_insert_invalid_row_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales@2");
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    free(row.address);
    row.address = NULL;
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    row.address = text_copy("database/../x");
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    free(row.address);
    row.address = text_copy("database/sales");
    memset(&row.state, 0x55, sizeof(row.state));
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    row.state = ENTRY_IN_USE;
    free(row.databases[0]);
    row.databases[0] = text_copy("a/b");
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    free(row.databases[0]);
    row.databases[0] = text_copy(row.databases[1]);
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_contains(error.message, "twice");
    row.id = (struct id){0};
    assert_status(KW_INVALID_ARGUMENT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM entry"), 0);
    entry_row_clear(&row);
}

static void entry_insert_certificate_that_is_not_there_conflicts(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales");
    row.certificate = fixture_id(fixture);
    assert_status(KW_CONFLICT, catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM entry"), 0);
    row.certificate = (struct id){0};
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error)); /* nothing of the failure is left */
    entry_row_clear(&row);
}

static void entry_update_increments_the_generation(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales"), read = {0};
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    row.state = ENTRY_RETIRED;
    assert_ok(catalogue_entry_update(fixture->catalogue, &row, &error));
    assert_int_equal(row.generation, 2);
    row.created = 5;
    assert_ok(catalogue_entry_update(fixture->catalogue, &row, &error));
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &read, &error));
    assert_int_equal(read.generation, 3);
    assert_int_equal(read.state, ENTRY_RETIRED);
    assert_int_equal(read.created, 5);
    entry_row_clear(&read);
    entry_row_clear(&row);
}

static void entry_update_changed_meanwhile_conflicts(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales"), other = {0}, read = {0};
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &other, &error));
    assert_ok(catalogue_entry_update(fixture->catalogue, &row, &error));
    other.state = ENTRY_RETIRED;
    assert_status(KW_CONFLICT, catalogue_entry_update(fixture->catalogue, &other, &error));
    assert_int_equal(other.generation, 1);
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &read, &error));
    assert_int_equal(read.state, ENTRY_IN_USE);
    entry_row_clear(&read);
    entry_row_clear(&other);
    entry_row_clear(&row);
}

static void entry_update_missing_row_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales");
    row.generation = 1;
    assert_status(KW_NOT_FOUND, catalogue_entry_update(fixture->catalogue, &row, &error));
    entry_row_clear(&row);
}

static void entry_update_to_a_taken_address_exists(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales"), other = fixture_entry(fixture, "database/hr");
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_entry_insert(fixture->catalogue, &other, &error));
    free(other.address);
    other.address = text_copy("database/sales");
    assert_status(KW_EXISTS, catalogue_entry_update(fixture->catalogue, &other, &error));
    entry_row_clear(&other);
    entry_row_clear(&row);
}

static void entry_get_missing_is_not_found_and_leaves_the_row(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = {.created = 42};
    assert_status(KW_NOT_FOUND, catalogue_entry_get(fixture->catalogue, "database/none", &row, &error));
    assert_contains(error.message, "database/none");
    assert_int_equal(row.created, 42);
}

static void entry_delete_removes_once(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales");
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_entry_delete(fixture->catalogue, &row.id, &error));
    assert_status(KW_NOT_FOUND, catalogue_entry_delete(fixture->catalogue, &row.id, &error));
    assert_status(KW_NOT_FOUND, catalogue_entry_get(fixture->catalogue, "database/sales", &row, &error));
    entry_row_clear(&row);
}

static void entry_delete_with_certificates_conflicts(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry, certificate;
    fixture_put(fixture, "database/sales", &entry, &certificate);
    assert_status(KW_CONFLICT, catalogue_entry_delete(fixture->catalogue, &entry, &error));
    assert_status(KW_CONFLICT, catalogue_certificate_delete(fixture->catalogue, &certificate, &error));
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_entry_delete(fixture->catalogue, &entry, &error));
    assert_ok(catalogue_certificate_delete(fixture->catalogue, &certificate, &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    assert_int_equal(
        fixture_number(fixture, "SELECT (SELECT count(*) FROM entry) + (SELECT count(*) FROM certificate)"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(entry_insert_then_get_gives_the_same),
        TEST(entry_insert_survives_reopening),
        TEST(entry_insert_readable_columns_are_written),
        TEST(entry_insert_without_databases_gives_none),
        TEST(entry_insert_taken_address_or_id_exists),
        TEST(entry_insert_invalid_row_is_refused),
        TEST(entry_insert_certificate_that_is_not_there_conflicts),
        TEST(entry_update_increments_the_generation),
        TEST(entry_update_changed_meanwhile_conflicts),
        TEST(entry_update_missing_row_is_not_found),
        TEST(entry_update_to_a_taken_address_exists),
        TEST(entry_get_missing_is_not_found_and_leaves_the_row),
        TEST(entry_delete_removes_once),
        TEST(entry_delete_with_certificates_conflicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
