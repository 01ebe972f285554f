#include "fixture.h"

#include <stdlib.h>

/* An entry to hang certificates on. */
static struct id put_entry(struct fixture *fixture, const char *address)
{
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, address);
    struct id id = row.id;
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    entry_row_clear(&row);
    return id;
}

static void assert_same(const struct certificate_row *left, const struct certificate_row *right)
{
    assert_true(id_equal(&left->id, &right->id));
    assert_true(id_equal(&left->entry, &right->entry));
    assert_true(id_equal(&left->key_id, &right->key_id));
    assert_int_equal(left->generation, right->generation);
    assert_int_equal(left->number, right->number);
    assert_string_equal(left->store_id, right->store_id);
    assert_string_equal(left->key, right->key);
    assert_int_equal(left->locator_length, right->locator_length);
    assert_memory_equal(left->locator, right->locator, left->locator_length);
    assert_int_equal(left->chain.length, right->chain.length);
    assert_memory_equal(left->chain.data, right->chain.data, left->chain.length);
    assert_int_equal(left->created, right->created);
}

static void certificate_insert_then_get_gives_the_same(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales");
    struct certificate_row row = fixture_certificate(fixture, &entry, 4294967295u), read = {0};
    memset(row.locator, 0xa5, sizeof(row.locator));
    row.locator_length = sizeof(row.locator);
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_int_equal(row.generation, 1);
    assert_ok(catalogue_certificate_get(fixture->catalogue, &row.id, &read, &error));
    assert_same(&row, &read);
    certificate_row_clear(&read);
    assert_ok(catalogue_certificate_get_number(fixture->catalogue, &entry, row.number, &read, &error));
    assert_same(&row, &read);
    certificate_row_clear(&read);
    certificate_row_clear(&row);
}

static void certificate_insert_empty_locator_and_chain_are_kept(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales");
    struct certificate_row row = fixture_certificate(fixture, &entry, 1), read = {0};
    row.locator_length = 0;
    kw_bytes_free(&row.chain);
    row.chain = (kw_bytes){0};
    row.key_id = (struct id){0};
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_certificate_get(fixture->catalogue, &row.id, &read, &error));
    assert_int_equal(read.locator_length, 0);
    assert_int_equal(read.chain.length, 0);
    assert_true(id_is_zero(&read.key_id));
    certificate_row_clear(&read);
    certificate_row_clear(&row);
}

static void certificate_insert_taken_number_or_id_exists(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales"), second = put_entry(fixture, "database/hr");
    struct certificate_row row = fixture_certificate(fixture, &entry, 1),
                           other = fixture_certificate(fixture, &entry, 1);
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_status(KW_EXISTS, catalogue_certificate_insert(fixture->catalogue, &other, &error));
    other.entry = second;
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &other, &error));
    other.number = 2;
    assert_status(KW_EXISTS, catalogue_certificate_insert(fixture->catalogue, &other, &error));
    certificate_row_clear(&other);
    certificate_row_clear(&row);
}

static void certificate_insert_entry_that_is_not_there_conflicts(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id nowhere = fixture_id(fixture);
    struct certificate_row row = fixture_certificate(fixture, &nowhere, 1);
    assert_status(KW_CONFLICT, catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_status(KW_CONFLICT, catalogue_commit(fixture->catalogue, &error));
    assert_status(KW_NOT_FOUND, catalogue_certificate_get(fixture->catalogue, &row.id, &row, &error));
    certificate_row_clear(&row);
}

static void certificate_insert_invalid_row_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales");
    struct certificate_row row = fixture_certificate(fixture, &entry, 0);
    assert_status(KW_INVALID_ARGUMENT, catalogue_certificate_insert(fixture->catalogue, &row, &error));
    row.number = 1;
    row.locator_length = sizeof(row.locator) + 1;
    assert_status(KW_INVALID_ARGUMENT, catalogue_certificate_insert(fixture->catalogue, &row, &error));
    row.locator_length = 1;
    free(row.chain.data);
    row.chain.length = 1024 * 1024 + 1;
    row.chain.data = calloc(1, row.chain.length);
    assert_non_null(row.chain.data);
    assert_status(KW_INVALID_ARGUMENT, catalogue_certificate_insert(fixture->catalogue, &row, &error));
    row.chain.length--;
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    free(row.store_id);
    row.store_id = NULL;
    assert_status(KW_INVALID_ARGUMENT, catalogue_certificate_update(fixture->catalogue, &row, &error));
    certificate_row_clear(&row);
}

static void certificate_update_only_over_its_generation(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales");
    struct certificate_row row = fixture_certificate(fixture, &entry, 1), stale = {0}, read = {0};
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_certificate_get(fixture->catalogue, &row.id, &stale, &error));
    row.locator_length = 3;
    free(row.store_id);
    row.store_id = text_copy("0b1d02aa");
    assert_ok(catalogue_certificate_update(fixture->catalogue, &row, &error));
    assert_int_equal(row.generation, 2);
    assert_status(KW_CONFLICT, catalogue_certificate_update(fixture->catalogue, &stale, &error));
    assert_ok(catalogue_certificate_get(fixture->catalogue, &row.id, &read, &error));
    assert_same(&row, &read);
    certificate_row_clear(&read);
    certificate_row_clear(&stale);
    row.id = fixture_id(fixture);
    assert_status(KW_NOT_FOUND, catalogue_certificate_update(fixture->catalogue, &row, &error));
    certificate_row_clear(&row);
}

static void certificate_delete_removes_once(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales");
    struct certificate_row row = fixture_certificate(fixture, &entry, 1);
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_certificate_delete(fixture->catalogue, &row.id, &error));
    assert_status(KW_NOT_FOUND, catalogue_certificate_delete(fixture->catalogue, &row.id, &error));
    assert_status(KW_NOT_FOUND, catalogue_certificate_get(fixture->catalogue, &row.id, &row, &error));
    assert_status(KW_NOT_FOUND, catalogue_certificate_get_number(fixture->catalogue, &entry, 1, &row, &error));
    certificate_row_clear(&row);
}

static void certificate_get_last_gives_the_highest_number_of_the_entry(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales"), other = put_entry(fixture, "database/hr");
    static const unsigned numbers[] = {2, 10, 9};
    struct certificate_row read = {0};
    assert_status(KW_NOT_FOUND, catalogue_certificate_get_last(fixture->catalogue, &entry, &read, &error));
    for (size_t i = 0; i < 3; i++) {
        struct certificate_row row = fixture_certificate(fixture, &entry, numbers[i]);
        assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
        certificate_row_clear(&row);
    }
    struct certificate_row row = fixture_certificate(fixture, &other, 77);
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_certificate_get_last(fixture->catalogue, &entry, &read, &error));
    assert_int_equal(read.number, 10);
    certificate_row_clear(&read);
    certificate_row_clear(&row);
}

static void key_in_use_matches_store_and_locator(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id entry = put_entry(fixture, "database/sales");
    struct certificate_row row = fixture_certificate(fixture, &entry, 1);
    kw_input locator = {row.locator, row.locator_length};
    bool in_use = true;
    assert_ok(catalogue_key_in_use(fixture->catalogue, row.store_id, locator, &in_use, &error));
    assert_false(in_use);
    assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_key_in_use(fixture->catalogue, row.store_id, locator, &in_use, &error));
    assert_true(in_use);
    assert_ok(catalogue_key_in_use(fixture->catalogue, "0b1d02aa", locator, &in_use, &error));
    assert_false(in_use);
    locator.length--;
    assert_ok(catalogue_key_in_use(fixture->catalogue, row.store_id, locator, &in_use, &error));
    assert_false(in_use);
    locator.length++;
    fixture_execute(fixture, "UPDATE certificate SET mac = x'00'");
    assert_ok(catalogue_key_in_use(fixture->catalogue, row.store_id, locator, &in_use, &error));
    assert_true(in_use);
    certificate_row_clear(&row);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(certificate_insert_then_get_gives_the_same),
        TEST(certificate_insert_empty_locator_and_chain_are_kept),
        TEST(certificate_insert_taken_number_or_id_exists),
        TEST(certificate_insert_entry_that_is_not_there_conflicts),
        TEST(certificate_insert_invalid_row_is_refused),
        TEST(certificate_update_only_over_its_generation),
        TEST(certificate_delete_removes_once),
        TEST(certificate_get_last_gives_the_highest_number_of_the_entry),
        TEST(key_in_use_matches_store_and_locator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
