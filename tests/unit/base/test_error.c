#include "base/error.h"

#include "folder.h"

#include <string.h>

static void error_set_fills_anew(void **state)
{
    (void)state;
    kw_error error;
    memset(&error, 'x', sizeof(error));
    assert_int_equal(error_set(&error, KW_NOT_FOUND, "there is no store '%s'", "hsm"), KW_NOT_FOUND);
    assert_int_equal(error.status, KW_NOT_FOUND);
    assert_string_equal(error.message, "there is no store 'hsm'");
    assert_string_equal(error.where, "");
    assert_string_equal(error.remedy, "");
    assert_int_equal(error.line, 0);
    assert_int_equal(error.column, 0);
}

static void error_set_null_returns_the_status(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, KW_REFUSED, "text"), KW_REFUSED);
    assert_int_equal(error_at(NULL, KW_CORRUPT, "file", 1, 2, "text"), KW_CORRUPT);
    assert_int_equal(error_memory(NULL), KW_OUT_OF_MEMORY);
    error_where(NULL, "where");
    error_remedy(NULL, "remedy");
    error_prefix(NULL, "prefix");
}

static void error_set_ok_becomes_failed(void **state)
{
    (void)state;
    kw_error error;
    assert_int_equal(error_set(&error, KW_OK, "text"), KW_FAILED);
    assert_int_equal(error.status, KW_FAILED);
    assert_int_equal(error_at(&error, KW_OK, "file", 1, 1, "text"), KW_FAILED);
}

static void error_set_control_characters_are_masked(void **state)
{
    (void)state;
    kw_error error;
    error_set(&error, KW_FAILED, "%s", "name\nforged: line\x1b[2J\xff");
    assert_string_equal(error.message, "name?forged: line?[2J?");
}

static void error_set_own_message_as_argument_is_whole(void **state)
{
    (void)state;
    kw_error error;
    error_set(&error, KW_FAILED, "reason");
    error_set(&error, KW_CORRUPT, "record 7: %s", error.message);
    assert_string_equal(error.message, "record 7: reason");
}

static void error_set_too_long_is_cut_between_characters(void **state)
{
    (void)state;
    kw_error error;
    char text[1200];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', sizeof(text));
        /* four bytes a character from the end of the room on */
        for (size_t at = 740 + shift; at + 4 < sizeof(text); at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        text[sizeof(text) - 1] = '\0';
        error_set(&error, KW_FAILED, "%s", text);
        size_t length = strlen(error.message);
        assert_true(length >= sizeof(error.message) - 4 && length < sizeof(error.message));
        assert_memory_equal(error.message, text, length);
        assert_int_equal((length - 740 - shift) % 4, 0);
    }
}

static void error_at_keeps_the_place(void **state)
{
    (void)state;
    kw_error error;
    assert_int_equal(error_at(&error, KW_CONFIGURATION, "a.yaml", 3, 7, "unknown key '%s'", "x"), KW_CONFIGURATION);
    assert_string_equal(error.where, "a.yaml");
    assert_int_equal(error.line, 3);
    assert_int_equal(error.column, 7);
    assert_string_equal(error.message, "unknown key 'x'");
    error_at(&error, KW_CONFIGURATION, NULL, 0, 0, "text");
    assert_string_equal(error.where, "");
}

static void error_where_said_already_stays(void **state)
{
    (void)state;
    kw_error error;
    error_set(&error, KW_FAILED, "text");
    error_where(&error, "store '%s'", "one");
    error_where(&error, "store 'other'");
    assert_string_equal(error.where, "store 'one'");
}

static void error_prefix_and_remedy_add(void **state)
{
    (void)state;
    kw_error error;
    error_set(&error, KW_FAILED, "it is empty");
    error_prefix(&error, "the passphrase of %s", "local");
    error_remedy(&error, "write %d bytes", 8);
    assert_string_equal(error.message, "the passphrase of local: it is empty");
    assert_string_equal(error.remedy, "write 8 bytes");
}

static void kw_status_text_every_status_has_its_own(void **state)
{
    (void)state;
    for (int i = KW_OK; i <= KW_FAILED; i++) {
        assert_true(strlen(kw_status_text((kw_status)i)) > 1);
        for (int j = KW_OK; j < i; j++)
            assert_string_not_equal(kw_status_text((kw_status)i), kw_status_text((kw_status)j));
    }
    assert_string_equal(kw_status_text((kw_status)999), "unknown status");
}

static void kw_version_is_three_numbers(void **state)
{
    (void)state;
    const char *version = kw_version();
    size_t dots = 0;
    for (const char *at = version; *at != '\0'; at++)
        dots += *at == '.';
    assert_int_equal(dots, 2);
    assert_int_equal(strspn(version, "0123456789."), strlen(version));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_set_fills_anew),
        cmocka_unit_test(error_set_null_returns_the_status),
        cmocka_unit_test(error_set_ok_becomes_failed),
        cmocka_unit_test(error_set_control_characters_are_masked),
        cmocka_unit_test(error_set_own_message_as_argument_is_whole),
        cmocka_unit_test(error_set_too_long_is_cut_between_characters),
        cmocka_unit_test(error_at_keeps_the_place),
        cmocka_unit_test(error_where_said_already_stays),
        cmocka_unit_test(error_prefix_and_remedy_add),
        cmocka_unit_test(kw_status_text_every_status_has_its_own),
        cmocka_unit_test(kw_version_is_three_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
