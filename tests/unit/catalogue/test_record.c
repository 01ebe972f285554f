#include "fixture.h"

#include <stdlib.h>

static const char store[] = "7c9e6679";

static kw_status put(struct fixture *fixture, const char *name, const char *value, kw_error *error)
{
    return catalogue_record_put(fixture->catalogue, store, input_text(name), input_text(value), error);
}

static void assert_value(struct fixture *fixture, const char *name, const char *value)
{
    kw_error error = {0};
    unsigned char data[64] = "";
    kw_output output = {.data = data, .capacity = sizeof(data)};
    assert_ok(catalogue_record_get(fixture->catalogue, store, input_text(name), &output, &error));
    assert_int_equal(output.length, strlen(value));
    assert_memory_equal(data, value, output.length);
}

static void record_put_then_get_gives_the_same(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_ok(put(fixture, "key/1", "one", &error));
    assert_value(fixture, "key/1", "one");
    assert_ok(put(fixture, "key/1", "two and more", &error));
    assert_value(fixture, "key/1", "two and more");
    assert_ok(put(fixture, "key/1", "", &error));
    assert_value(fixture, "key/1", "");
    assert_int_equal(fixture_number(fixture, "SELECT generation FROM record"), 3);
}

static void record_put_any_bytes_are_a_name(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    static const unsigned char first[] = {0, 1, 0xff}, second[] = {0};
    unsigned char data[8];
    kw_output output = {.data = data, .capacity = sizeof(data)};
    assert_ok(catalogue_record_put(fixture->catalogue, store, (kw_input){first, 3}, input_text("a"), &error));
    assert_ok(catalogue_record_put(fixture->catalogue, store, (kw_input){second, 1}, input_text("b"), &error));
    assert_ok(catalogue_record_get(fixture->catalogue, store, (kw_input){first, 3}, &output, &error));
    assert_memory_equal(data, "a", 1);
    assert_ok(catalogue_record_get(fixture->catalogue, store, (kw_input){second, 1}, &output, &error));
    assert_memory_equal(data, "b", 1);
}

static void record_put_limits_are_kept(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    unsigned char name[KW_RECORD_NAME_MAXIMUM + 1];
    unsigned char *value = malloc(KW_RECORD_VALUE_MAXIMUM + 1), *read = malloc(KW_RECORD_VALUE_MAXIMUM);
    assert_non_null(value);
    assert_non_null(read);
    memset(name, 'n', sizeof(name));
    memset(value, 'v', KW_RECORD_VALUE_MAXIMUM + 1);
    kw_input longest = {name, KW_RECORD_NAME_MAXIMUM}, largest = {value, KW_RECORD_VALUE_MAXIMUM};
    kw_output output = {.data = read, .capacity = KW_RECORD_VALUE_MAXIMUM};
    assert_ok(catalogue_record_put(fixture->catalogue, store, longest, largest, &error));
    assert_ok(catalogue_record_get(fixture->catalogue, store, longest, &output, &error));
    assert_int_equal(output.length, KW_RECORD_VALUE_MAXIMUM);
    assert_memory_equal(read, value, KW_RECORD_VALUE_MAXIMUM);
    largest.length++;
    assert_status(KW_INVALID_ARGUMENT, catalogue_record_put(fixture->catalogue, store, longest, largest, &error));
    assert_status(KW_INVALID_ARGUMENT,
                  catalogue_record_swap(fixture->catalogue, store, input_text("x"), (kw_input){0}, largest, &error));
    longest.length++;
    largest.length = 1;
    assert_status(KW_INVALID_ARGUMENT, catalogue_record_put(fixture->catalogue, store, longest, largest, &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_record_get(fixture->catalogue, store, longest, &output, &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_record_delete(fixture->catalogue, store, longest, &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_record_put(fixture->catalogue, store, (kw_input){0}, largest, &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_record_put(fixture->catalogue, "", input_text("x"), largest, &error));
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM record"), 1);
    free(read);
    free(value);
}

static void record_get_small_buffer_gets_the_length(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    unsigned char data[4] = "zzz";
    kw_output output = {0};
    assert_ok(put(fixture, "name", "value", &error));
    assert_status(KW_BUFFER_TOO_SMALL,
                  catalogue_record_get(fixture->catalogue, store, input_text("name"), &output, &error));
    assert_int_equal(output.length, 5);
    output = (kw_output){.data = data, .capacity = sizeof(data)};
    assert_status(KW_BUFFER_TOO_SMALL,
                  catalogue_record_get(fixture->catalogue, store, input_text("name"), &output, &error));
    assert_int_equal(output.length, 5);
    assert_string_equal((char *)data, "zzz");
}

static void record_get_other_stores_are_not_seen(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    kw_output output = {0};
    assert_ok(put(fixture, "name", "value", &error));
    assert_status(KW_NOT_FOUND,
                  catalogue_record_get(fixture->catalogue, "0b1d02aa", input_text("name"), &output, &error));
    assert_status(KW_NOT_FOUND, catalogue_record_delete(fixture->catalogue, "0b1d02aa", input_text("name"), &error));
    assert_status(KW_NOT_FOUND,
                  catalogue_record_next(fixture->catalogue, "0b1d02aa", (kw_input){0}, (kw_input){0}, &output, &error));
}

static void record_delete_removes_once(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    kw_output output = {0};
    assert_ok(put(fixture, "name", "value", &error));
    assert_ok(catalogue_record_delete(fixture->catalogue, store, input_text("name"), &error));
    assert_status(KW_NOT_FOUND, catalogue_record_delete(fixture->catalogue, store, input_text("name"), &error));
    assert_status(KW_NOT_FOUND, catalogue_record_get(fixture->catalogue, store, input_text("name"), &output, &error));
}

static void record_swap_writes_only_over_what_is_expected(void **state)
{
    struct fixture *fixture = *state;
    struct catalogue *catalogue = fixture->catalogue;
    kw_error error = {0};
    const kw_input name = input_text("name"), none = {0}, nothing = {(const unsigned char *)"", 0};
    /* There must be none. */
    assert_status(KW_CONFLICT, catalogue_record_swap(catalogue, store, name, input_text("x"), input_text("a"), &error));
    assert_status(KW_CONFLICT, catalogue_record_swap(catalogue, store, name, nothing, input_text("a"), &error));
    assert_ok(catalogue_record_swap(catalogue, store, name, none, input_text("a"), &error));
    assert_status(KW_CONFLICT, catalogue_record_swap(catalogue, store, name, none, input_text("b"), &error));
    assert_value(fixture, "name", "a");
    /* There must be this one. */
    assert_status(KW_CONFLICT, catalogue_record_swap(catalogue, store, name, input_text("b"), input_text("c"), &error));
    assert_status(KW_CONFLICT,
                  catalogue_record_swap(catalogue, store, name, input_text("aa"), input_text("c"), &error));
    assert_value(fixture, "name", "a");
    assert_ok(catalogue_record_swap(catalogue, store, name, input_text("a"), nothing, &error));
    /* An empty one is one. */
    assert_value(fixture, "name", "");
    assert_status(KW_CONFLICT, catalogue_record_swap(catalogue, store, name, none, input_text("d"), &error));
    assert_ok(catalogue_record_swap(catalogue, store, name, nothing, input_text("d"), &error));
    assert_value(fixture, "name", "d");
    assert_int_equal(fixture_number(fixture, "SELECT generation FROM record"), 3);
}

/* Names in the order of `next`, with spaces between them. */
static void list(struct fixture *fixture, const char *prefix, char *text)
{
    kw_error error = {0};
    unsigned char data[2][KW_RECORD_NAME_MAXIMUM];
    kw_input after = {0};
    text[0] = '\0';
    for (size_t i = 0;; i = 1 - i) {
        kw_output output = {.data = data[i], .capacity = sizeof(data[i])};
        kw_status status = catalogue_record_next(fixture->catalogue, store, input_text(prefix), after, &output, &error);
        if (status == KW_NOT_FOUND)
            return;
        assert_ok(status);
        strncat(text, (const char *)data[i], output.length);
        strncat(text, " ", 2);
        after = (kw_input){data[i], output.length};
    }
}

static void record_next_lists_by_prefix_in_byte_order(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    char text[256];
    static const char *const names[] = {"key/b", "key/", "kez", "key/aa", "a", "key/a", "key", "key/\xff", "z", "key0"};
    list(fixture, "", text);
    assert_string_equal(text, "");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_ok(put(fixture, names[i], "value", &error));
    assert_ok(catalogue_record_put(fixture->catalogue, "0b1d02aa", input_text("key/other"), input_text("x"), &error));
    list(fixture, "", text);
    assert_string_equal(text, "a key key/ key/a key/aa key/b key/\xff key0 kez z ");
    list(fixture, "key/", text);
    assert_string_equal(text, "key/ key/a key/aa key/b key/\xff ");
    list(fixture, "key/\xff", text);
    assert_string_equal(text, "key/\xff ");
    list(fixture, "zz", text);
    assert_string_equal(text, "");
    list(fixture, "0", text);
    assert_string_equal(text, "");
}

static void record_next_after_outside_the_prefix_is_sound(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    unsigned char data[8];
    kw_output output = {.data = data, .capacity = sizeof(data)};
    assert_ok(put(fixture, "b/1", "value", &error));
    assert_ok(put(fixture, "b/2", "value", &error));
    assert_ok(catalogue_record_next(fixture->catalogue, store, input_text("b/"), input_text("a"), &output, &error));
    assert_memory_equal(data, "b/1", 3);
    assert_ok(catalogue_record_next(fixture->catalogue, store, input_text("b/"), input_text("b"), &output, &error));
    assert_memory_equal(data, "b/1", 3);
    assert_ok(catalogue_record_next(fixture->catalogue, store, input_text("b/"), input_text("b/1"), &output, &error));
    assert_memory_equal(data, "b/2", 3);
    assert_status(KW_NOT_FOUND,
                  catalogue_record_next(fixture->catalogue, store, input_text("b/"), input_text("c"), &output, &error));
    output.capacity = 2;
    assert_status(KW_BUFFER_TOO_SMALL,
                  catalogue_record_next(fixture->catalogue, store, input_text("b/"), (kw_input){0}, &output, &error));
    assert_int_equal(output.length, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(record_put_then_get_gives_the_same),
        TEST(record_put_any_bytes_are_a_name),
        TEST(record_put_limits_are_kept),
        TEST(record_get_small_buffer_gets_the_length),
        TEST(record_get_other_stores_are_not_seen),
        TEST(record_delete_removes_once),
        TEST(record_swap_writes_only_over_what_is_expected),
        TEST(record_next_lists_by_prefix_in_byte_order),
        TEST(record_next_after_outside_the_prefix_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
