#include "base/path.h"
#include "base/wide.h"

#include "folder.h"

#include <stdlib.h>
#include <string.h>

static void assert_path(char *path, const char *expected)
{
    assert_string_equal(path, expected);
    free(path);
}

static void paths_are_joined_and_split(void **state)
{
    (void)state;
    assert_path(path_join("C:/a", "b"), "C:/a/b");
    assert_path(path_join("C:\\a\\", "b"), "C:\\a\\b");
    assert_path(path_join("C:/", "b"), "C:/b");
    assert_path(path_join("C:", "b"), "C:b");
    assert_path(path_resolve("C:/a", "b/c"), "C:/a/b/c");
    assert_path(path_resolve("C:/a", "D:\\b"), "D:\\b");
    assert_path(path_directory("C:/a/b"), "C:/a");
    assert_path(path_directory("C:\\a\\b"), "C:\\a");
    assert_path(path_directory("C:/a"), "C:/");
    assert_path(path_directory("C:a"), "C:");
    assert_path(path_directory("a"), ".");
    assert_path(path_directory("a/b"), "a");
    assert_path(path_directory("\\\\server\\share\\a"), "\\\\server\\share");
    assert_string_equal(path_name("C:/a/b"), "b");
    assert_string_equal(path_name("C:\\a\\b"), "b");
    assert_string_equal(path_name("C:b"), "b");
    assert_string_equal(path_name("b"), "b");
}

static void path_is_absolute_with_a_drive_and_its_root_or_a_server_alone(void **state)
{
    (void)state;
    assert_true(path_is_absolute("C:/"));
    assert_true(path_is_absolute("z:\\a"));
    assert_true(path_is_absolute("\\\\server\\share"));
    assert_true(path_is_absolute("//server/share"));
    assert_false(path_is_absolute("C:a"));
    assert_false(path_is_absolute("/a"));
    assert_false(path_is_absolute("\\a"));
    assert_false(path_is_absolute("./a"));
    assert_false(path_is_absolute("1:/a"));
    assert_false(path_is_absolute(""));
}

static void path_absolute_is_that_of_the_working_directory_and_drive(void **state)
{
    (void)state;
    char *absolute = path_absolute("a \xc3\xa4");
    assert_non_null(absolute);
    assert_true(path_is_absolute(absolute));
    assert_string_equal(absolute + strlen(absolute) - 5, "/a \xc3\xa4");
    assert_null(strchr(absolute, '\\'));
    free(absolute);
    absolute = path_absolute("\\a");
    assert_true(path_is_absolute(absolute));
    assert_string_equal(absolute + 1, ":/a");
    free(absolute);
    /* Not below the directory, as C:/directory/ + /a would be. */
    absolute = path_resolve("Q:/directory", "/a");
    assert_string_equal(absolute + 1, ":/a");
    free(absolute);
}

static void wide_texts_round_trip_and_malformed_ones_are_refused(void **state)
{
    static const char text[] = "a \xc3\xa4 \xe2\x82\xac \xf0\x9f\x94\x91";
    (void)state;
    wchar_t *wide = wide_from(text);
    assert_non_null(wide);
    assert_int_equal(wcslen(wide), 8); /* of which the key is two */
    char *narrow = wide_to(wide);
    assert_string_equal(narrow, text);
    free(narrow);
    free(wide);
    assert_null(wide_from("\xc3"));
    assert_null(wide_from("\xed\xa0\x80"));
    assert_null(wide_to(L"\xd800"));
}

static void wide_path_of_any_length_is_taken_literally(void **state)
{
    char text[600] = "C:/";
    (void)state;
    wchar_t *wide = wide_path("C:/a/../b c");
    assert_true(wcscmp(wide, L"C:\\b c") == 0);
    free(wide);
    memset(text + 3, 'x', 500);
    wide = wide_path(text);
    assert_true(wcsncmp(wide, L"\\\\?\\C:\\xxx", 10) == 0);
    assert_int_equal(wcslen(wide), 4 + 3 + 500);
    free(wide);
}

static void wide_environment_gives_what_is_set(void **state)
{
    char *value = NULL;
    kw_error error = {0};
    (void)state;
    assert_int_equal(wide_environment("KEYWRIGHT_TEST_NONE", &value, &error), KW_NOT_FOUND);
    assert_null(value);
    assert_int_equal(_wputenv(L"KEYWRIGHT_TEST_SET=a \x00e4\x20ac"), 0);
    assert_int_equal(wide_environment("KEYWRIGHT_TEST_SET", &value, &error), KW_OK);
    assert_string_equal(value, "a \xc3\xa4\xe2\x82\xac");
    free(value);
}

static void wide_reason_is_a_sentence_and_the_number(void **state)
{
    char text[WIDE_REASON_SIZE];
    (void)state;
    wide_reason(5, text);
    assert_non_null(strstr(text, " (5)"));
    assert_true(strlen(text) > strlen(" (5)"));
    wide_reason(0xdeadbeef, text);
    assert_string_equal(text, "error 3735928559");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_joined_and_split),
        cmocka_unit_test(path_is_absolute_with_a_drive_and_its_root_or_a_server_alone),
        cmocka_unit_test(path_absolute_is_that_of_the_working_directory_and_drive),
        cmocka_unit_test(wide_texts_round_trip_and_malformed_ones_are_refused),
        cmocka_unit_test(wide_path_of_any_length_is_taken_literally),
        cmocka_unit_test(wide_environment_gives_what_is_set),
        cmocka_unit_test(wide_reason_is_a_sentence_and_the_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
