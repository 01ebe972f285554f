#include "base/options.h"

#include "folder.h"

#include <string.h>

struct known {
    size_t size;
    int first;
    int second;
};

static void options_take_of_a_shorter_struct_leaves_the_rest_zero(void **state)
{
    (void)state;
    const struct known given = {.size = offsetof(struct known, second), .first = 1, .second = 2};
    struct known taken = {.second = 9};
    assert_int_equal(options_take(&taken, sizeof(taken), &given, NULL), KW_OK);
    assert_int_equal(taken.size, sizeof(taken));
    assert_int_equal(taken.first, 1);
    assert_int_equal(taken.second, 0);
}

static void options_take_of_a_longer_struct_takes_what_is_known(void **state)
{
    (void)state;
    const struct {
        struct known known;
        int third;
    } given = {{.size = sizeof(given), .first = 1, .second = 2}, 3};
    struct {
        struct known known;
        int behind;
    } taken = {.behind = 7};
    assert_int_equal(options_take(&taken.known, sizeof(taken.known), &given, NULL), KW_OK);
    assert_int_equal(taken.known.second, 2);
    assert_int_equal(taken.behind, 7);
}

static void options_take_of_none_is_all_zero(void **state)
{
    (void)state;
    struct known taken = {.first = 5};
    assert_int_equal(options_take(&taken, sizeof(taken), NULL, NULL), KW_OK);
    assert_int_equal(taken.first, 0);
}

static void options_take_without_a_size_is_invalid(void **state)
{
    (void)state;
    const struct known given = {.first = 1};
    struct known taken;
    kw_error error = {0};
    assert_int_equal(options_take(&taken, sizeof(taken), &given, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "size"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_take_of_a_shorter_struct_leaves_the_rest_zero),
        cmocka_unit_test(options_take_of_a_longer_struct_takes_what_is_known),
        cmocka_unit_test(options_take_of_none_is_all_zero),
        cmocka_unit_test(options_take_without_a_size_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
