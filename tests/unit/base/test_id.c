#include "base/id.h"

#include "folder.h"

static void id_make_twice_differs(void **state)
{
    (void)state;
    struct crypto *crypto = NULL;
    struct id one = {0}, other = {0};
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    assert_int_equal(id_make(crypto, &one, NULL), KW_OK);
    assert_int_equal(id_make(crypto, &other, NULL), KW_OK);
    assert_false(id_is_zero(&one));
    assert_false(id_equal(&one, &other));
    crypto_close(crypto);
}

static void id_text_parses_back(void **state)
{
    (void)state;
    const struct id id = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}};
    struct id parsed = {0};
    char text[ID_TEXT_SIZE];
    id_text(&id, text);
    assert_string_equal(text, "000102030405060708090a0b0c0d0eff");
    assert_true(id_parse(text, &parsed));
    assert_true(id_equal(&id, &parsed));
}

static void id_parse_malformed_is_refused(void **state)
{
    (void)state;
    struct id id;
    assert_false(id_parse("", &id));
    assert_false(id_parse("000102030405060708090a0b0c0d0ef", &id));
    assert_false(id_parse("000102030405060708090a0b0c0d0eff0", &id));
    assert_false(id_parse("000102030405060708090a0b0c0d0efg", &id));
}

static void id_is_zero_only_for_zeros(void **state)
{
    (void)state;
    struct id id = {0};
    assert_true(id_is_zero(&id));
    id.bytes[15] = 1;
    assert_false(id_is_zero(&id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_make_twice_differs),
        cmocka_unit_test(id_text_parses_back),
        cmocka_unit_test(id_parse_malformed_is_refused),
        cmocka_unit_test(id_is_zero_only_for_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
