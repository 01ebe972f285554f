#include "key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static kw_input view(const char *text)
{
    return (kw_input){(const unsigned char *)text, strlen(text)};
}

static void read_of_what_was_written_is_the_same(void **state)
{
    static const char *const texts[] = {
        "rsa:id=00",
        "ec:id=00ff10",
        "ed25519:id=0123456789abcdef0123456789abcdef",
        "rsa:label=plain-Name_1.0",
        "ec:label=no%20id%2c%20100%25",
        "rsa:label=%c3%a4",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct p11_locator locator;
        char text[P11_LOCATOR_MAXIMUM];
        assert_true(p11_locator_read(view(texts[i]), &locator));
        assert_int_equal(p11_locator_write(&locator, text), strlen(texts[i]));
        assert_string_equal(text, texts[i]);
    }
}

static void read_parts_are_those_of_the_text(void **state)
{
    struct p11_locator locator;
    (void)state;
    assert_true(p11_locator_read(view("ec:id=00ff"), &locator));
    assert_int_equal(locator.type, CKK_EC);
    assert_int_equal(locator.id_length, 2);
    assert_memory_equal(locator.id, "\x00\xff", 2);
    assert_int_equal(locator.label_length, 0);
    assert_true(p11_locator_read(view("rsa:label=a%20b"), &locator));
    assert_int_equal(locator.type, CKK_RSA);
    assert_int_equal(locator.id_length, 0);
    assert_int_equal(locator.label_length, 3);
    assert_memory_equal(locator.label, "a b", 3);
}

/* One text for one place: what is written in another way is no locator. */
static void read_malformed_is_refused(void **state)
{
    static const char *const texts[] = {
        "",           "rsa",         "rsa:",       "rsa:id",     "rsa:id=",       "rsa:id=0",     "rsa:id=0g",
        "rsa:id=0A",  "RSA:id=00",   "dsa:id=00",  "rsa:label=", "rsa:label=a b", "rsa:label=%2", "rsa:label=%41",
        "rsa:name=a", "rsa:id=00\n", " rsa:id=00", "ec:id=00;x", "ed25519:",      "key/00",       "rsa:label=\xc3\xa4",
    };
    struct p11_locator locator;
    char longest[2 * P11_ID_MAXIMUM + 16];
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (p11_locator_read(view(texts[i]), &locator))
            fail_msg("'%s' is taken", texts[i]);
    assert_false(p11_locator_read((kw_input){NULL, 0}, &locator));
    memset(longest, '0', sizeof(longest));
    memcpy(longest, "rsa:id=", 7);
    assert_true(p11_locator_read((kw_input){(unsigned char *)longest, 7 + 2 * P11_ID_MAXIMUM}, &locator));
    assert_false(p11_locator_read((kw_input){(unsigned char *)longest, 9 + 2 * P11_ID_MAXIMUM}, &locator));
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "ec:label=", 9);
    assert_true(p11_locator_read((kw_input){(unsigned char *)longest, 9 + P11_LABEL_MAXIMUM}, &locator));
    assert_false(p11_locator_read((kw_input){(unsigned char *)longest, 10 + P11_LABEL_MAXIMUM}, &locator));
}

static void write_longest_fits(void **state)
{
    struct p11_locator locator = {.type = CKK_EC_EDWARDS, .label_length = P11_LABEL_MAXIMUM}, again;
    char text[P11_LOCATOR_MAXIMUM];
    (void)state;
    memset(locator.label, 0xFF, sizeof(locator.label));
    size_t length = p11_locator_write(&locator, text);
    assert_true(length < KW_LOCATOR_MAXIMUM);
    assert_true(p11_locator_read((kw_input){(unsigned char *)text, length}, &again));
    assert_memory_equal(again.label, locator.label, P11_LABEL_MAXIMUM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_of_what_was_written_is_the_same),
        cmocka_unit_test(read_parts_are_those_of_the_text),
        cmocka_unit_test(read_malformed_is_refused),
        cmocka_unit_test(write_longest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
