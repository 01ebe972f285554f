#include "base/buffer.h"

#include "folder.h"

#include <stdlib.h>
#include <string.h>

static void buffer_append_fields_read_back_the_same(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    uint8_t small = 0;
    uint32_t middle = 0;
    uint64_t large = 0;
    kw_input field, bytes;
    buffer_append_u8(&buffer, 0xfe);
    buffer_append_u32(&buffer, 0x01020304);
    buffer_append_u64(&buffer, UINT64_C(0xfedcba9876543210));
    buffer_append_field(&buffer, input_text("a field"));
    buffer_append_field(&buffer, (kw_input){0});
    buffer_append_text(&buffer, "rest");
    assert_false(buffer.failed);
    kw_input input = buffer_view(&buffer);
    assert_int_equal(input.length, 1 + 4 + 8 + 4 + 7 + 4 + 4);
    assert_memory_equal(input.data, "\xfe\x01\x02\x03\x04\xfe\xdc\xba", 8);
    assert_true(input_u8(&input, &small));
    assert_int_equal(small, 0xfe);
    assert_true(input_u32(&input, &middle));
    assert_int_equal(middle, 0x01020304);
    assert_true(input_u64(&input, &large));
    assert_true(large == UINT64_C(0xfedcba9876543210));
    assert_true(input_field(&input, &field));
    assert_true(input_equal(field, input_text("a field")));
    assert_true(input_field(&input, &field));
    assert_int_equal(field.length, 0);
    assert_true(input_bytes(&input, 4, &bytes));
    assert_true(input_equal(bytes, input_text("rest")));
    assert_int_equal(input.length, 0);
    buffer_free(&buffer);
}

static void input_too_short_reads_nothing(void **state)
{
    (void)state;
    const unsigned char data[] = {0, 0, 0, 5, 1, 2, 3, 4};
    uint8_t small;
    uint32_t middle;
    uint64_t large;
    kw_input field;
    kw_input input = {data, 3};
    assert_false(input_u32(&input, &middle));
    assert_false(input_u64(&input, &large));
    assert_int_equal(input.length, 3);
    /* the length is there, but not all of the bytes */
    input = (kw_input){data, sizeof(data)};
    assert_false(input_field(&input, &field));
    assert_int_equal(input.length, sizeof(data));
    assert_ptr_equal(input.data, data);
    assert_false(input_bytes(&input, sizeof(data) + 1, &field));
    input = (kw_input){NULL, 0};
    assert_false(input_u8(&input, &small));
    assert_true(input_bytes(&input, 0, &field));
}

static void buffer_append_far_too_much_fails_and_stays_failed(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    kw_bytes bytes = {0};
    buffer_append_text(&buffer, "kept");
    buffer_append(&buffer, "", SIZE_MAX / 2);
    assert_true(buffer.failed);
    buffer_append_text(&buffer, "more");
    assert_int_equal(buffer.length, 4);
    assert_int_equal(buffer_take(&buffer, &bytes), KW_OUT_OF_MEMORY);
    assert_null(bytes.data);
    assert_null(buffer.data);
}

static void buffer_append_field_beyond_32_bits_fails(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_append_field(&buffer, (kw_input){(const unsigned char *)"", (size_t)UINT32_MAX + 1});
    assert_true(buffer.failed);
    buffer_free(&buffer);
}

static void buffer_format_appends(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    kw_bytes bytes = {0};
    buffer_format(&buffer, "%s-%d", "a", 1);
    buffer_format(&buffer, "%200s", "x");
    assert_int_equal(buffer_take(&buffer, &bytes), KW_OK);
    assert_int_equal(bytes.length, 203);
    assert_memory_equal(bytes.data, "a-1 ", 4);
    assert_int_equal(bytes.data[202], 'x');
    assert_int_equal(bytes.data[203], 0);
    assert_null(buffer.data);
    kw_bytes_free(&bytes);
    assert_null(bytes.data);
    kw_bytes_free(&bytes);
    kw_bytes_free(NULL);
}

static void buffer_take_empty_gives_a_nul(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    kw_bytes bytes = {0};
    assert_int_equal(buffer_take(&buffer, &bytes), KW_OK);
    assert_int_equal(bytes.length, 0);
    assert_int_equal(bytes.data[0], 0);
    kw_bytes_free(&bytes);
}

static void output_copy_follows_the_rule_of_sizes(void **state)
{
    (void)state;
    unsigned char memory[4] = {9, 9, 9, 9};
    kw_output question = {NULL, 0, 0}, small = {memory, 2, 0}, enough = {memory, 4, 0};
    assert_int_equal(output_copy(&question, input_text("abc")), KW_BUFFER_TOO_SMALL);
    assert_int_equal(question.length, 3);
    assert_int_equal(output_copy(&small, input_text("abc")), KW_BUFFER_TOO_SMALL);
    assert_int_equal(small.length, 3);
    assert_int_equal(memory[0], 9);
    assert_int_equal(output_copy(&enough, input_text("abc")), KW_OK);
    assert_int_equal(enough.length, 3);
    assert_memory_equal(memory, "abc\x09", 4);
}

static void input_equal_differs_in_length_or_bytes(void **state)
{
    (void)state;
    assert_true(input_equal((kw_input){NULL, 0}, input_text("")));
    assert_false(input_equal(input_text("a"), input_text("ab")));
    assert_false(input_equal(input_text("ab"), input_text("aB")));
    assert_int_equal(input_text(NULL).length, 0);
}

static void hex_round_trip_is_the_same(void **state)
{
    (void)state;
    const unsigned char bytes[] = {0x00, 0x0f, 0xf0, 0xab, 0xff};
    unsigned char decoded[5];
    char text[11];
    hex_encode((kw_input){bytes, sizeof(bytes)}, text);
    assert_string_equal(text, "000ff0abff");
    assert_true(hex_decode("000FF0aBfF", decoded, sizeof(decoded)));
    assert_memory_equal(decoded, bytes, sizeof(bytes));
}

static void hex_decode_wrong_length_or_digit_is_refused(void **state)
{
    (void)state;
    unsigned char decoded[2];
    assert_false(hex_decode("00", decoded, 2));
    assert_false(hex_decode("000", decoded, 2));
    assert_false(hex_decode("00000", decoded, 2));
    assert_false(hex_decode("00g0", decoded, 2));
    assert_false(hex_decode("0x00", decoded, 2));
    assert_false(hex_decode(" 000", decoded, 2));
}

static void text_copy_and_format_give_new_strings(void **state)
{
    (void)state;
    char *copy = text_copy("copy"), *formatted = text_format("%s/%300s", "a", "b");
    assert_string_equal(copy, "copy");
    assert_int_equal(strlen(formatted), 302);
    free(copy);
    free(formatted);
}

static void text_is_clean_tells_utf8_from_the_rest(void **state)
{
    (void)state;
    static const char *const clean[] = {"",        "plain", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                        "\xc2\xa0"};
    static const char *const dirty[] = {
        "line\nbreak",
        "tab\t",
        "\x1b[31m",
        "del\x7f",
        "\xc2\x85",
        "\xc2\x9b",
        "\xe2\x80\xa8",
        "\xff",
        "\x80",
        "\xc3",
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80",
        "\xe0\x82\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf8\x88\x80\x80\x80",
        "\xe2\x82",
        "a\xe2\x28\xa1",
    };
    for (size_t i = 0; i < sizeof(clean) / sizeof(clean[0]); i++)
        assert_true(text_is_clean(clean[i], strlen(clean[i])));
    for (size_t i = 0; i < sizeof(dirty) / sizeof(dirty[0]); i++)
        assert_false(text_is_clean(dirty[i], strlen(dirty[i])));
    assert_false(text_is_clean("a\0b", 3));
}

static void text_mask_shows_what_is_not_clean(void **state)
{
    (void)state;
    char text[] = "a\n\x1b[0m\xc3\xbc\xff\xc2\x85z";
    text_mask(text);
    assert_string_equal(text, "a??[0m\xc3\xbc???z");
    assert_true(text_is_clean(text, strlen(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_append_fields_read_back_the_same),
        cmocka_unit_test(input_too_short_reads_nothing),
        cmocka_unit_test(buffer_append_far_too_much_fails_and_stays_failed),
        cmocka_unit_test(buffer_append_field_beyond_32_bits_fails),
        cmocka_unit_test(buffer_format_appends),
        cmocka_unit_test(buffer_take_empty_gives_a_nul),
        cmocka_unit_test(output_copy_follows_the_rule_of_sizes),
        cmocka_unit_test(input_equal_differs_in_length_or_bytes),
        cmocka_unit_test(hex_round_trip_is_the_same),
        cmocka_unit_test(hex_decode_wrong_length_or_digit_is_refused),
        cmocka_unit_test(text_copy_and_format_give_new_strings),
        cmocka_unit_test(text_is_clean_tells_utf8_from_the_rest),
        cmocka_unit_test(text_mask_shows_what_is_not_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
