#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "catalogue/address.h"

static void address_parse_good_text_is_taken_apart(void **state)
{
    static const struct {
        const char *text, *plain;
        size_t count;
        const char *parts[3];
        unsigned number;
    } cases[] = {
        {"ssl-connection", "ssl-connection", 1, {"ssl-connection"}, 0},
        {"database/sales", "database/sales", 2, {"database", "sales"}, 0},
        {"database/sales@1", "database/sales", 2, {"database", "sales"}, 1},
        {"discovery-service/sales/scan", "discovery-service/sales/scan", 3, {"discovery-service", "sales", "scan"}, 0},
        {"password-reset/sales/web@4294967295",
         "password-reset/sales/web",
         3,
         {"password-reset", "sales", "web"},
         4294967295u},
        {"master-key/corp.example", "master-key/corp.example", 2, {"master-key", "corp.example"}, 0},
        {"general/two words", "general/two words", 2, {"general", "two words"}, 0},
        {"database/M\xc3\xbcller, $1 (x)",
         "database/M\xc3\xbcller, $1 (x)",
         2,
         {"database", "M\xc3\xbcller, $1 (x)"},
         0},
        {"a/b.", "a/b.", 2, {"a", "b."}, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_error error = {0};
        struct address address = {0};
        assert_ok(address_parse(cases[i].text, &address, &error));
        assert_string_equal(address.text, cases[i].plain);
        assert_int_equal(address.part_count, cases[i].count);
        for (size_t j = 0; j < cases[i].count; j++)
            assert_string_equal(address.parts[j], cases[i].parts[j]);
        assert_int_equal(address.number, cases[i].number);
    }
}

static void address_parse_bad_text_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "empty"},
        {"/", "empty"},
        {"database/", "empty"},
        {"/sales", "empty"},
        {"database//x", "empty"},
        {"a/b/c/d", "three parts"},
        {"a/b/c/", "three parts"},
        {"database/.", "begin with"},
        {"database/..", "begin with"},
        {"database/.hidden", "begin with"},
        {"database/-x", "begin with"},
        {"-c", "begin with"},
        {"database/ x", "begin with"},
        {"database/x ", "end with"},
        {"database/a\\b", "may not contain"},
        {"database/a*", "may not contain"},
        {"database/a:b", "may not contain"},
        {"database/a'b", "may not contain"},
        {"database/a\"b", "may not contain"},
        {"database/a`b", "may not contain"},
        {"database/a\nb", "control"},
        {"database/a\tb", "control"},
        {"database/a\x7f", "control"},
        {"database/\xff", "UTF-8"},
        {"database/\xc3", "UTF-8"},
        {"database/\xc0\xaf", "UTF-8"},
        {"database/\xed\xa0\x80", "UTF-8"},
        {"@1", "empty"},
        {"database/sales@", "number"},
        {"database/sales@0", "number"},
        {"database/sales@01", "number"},
        {"database/sales@-1", "number"},
        {"database/sales@+1", "number"},
        {"database/sales@1 ", "number"},
        {"database/sales@1x", "number"},
        {"database/sales@1@2", "number"},
        {"database@1/sales", "number"},
        {"database/sales@4294967296", "number"},
        {"database/sales@99999999999999999999999999", "number"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_error error = {0};
        struct address address = {.part_count = 77};
        assert_status(KW_INVALID_ARGUMENT, address_parse(cases[i].text, &address, &error));
        assert_contains(error.message, cases[i].reason);
        assert_contains(error.remedy, "database/sales");
        assert_int_equal(address.part_count, 77);
    }
}

static void address_parse_longest_name_is_taken_and_a_longer_one_refused(void **state)
{
    kw_error error = {0};
    struct address address;
    char name[ADDRESS_NAME_MAXIMUM + 2], text[4 * ADDRESS_NAME_MAXIMUM];
    (void)state;
    memset(name, 'n', sizeof(name));
    name[ADDRESS_NAME_MAXIMUM] = '\0';
    snprintf(text, sizeof(text), "%s/%s/%s@7", name, name, name);
    assert_ok(address_parse(text, &address, &error));
    assert_string_equal(address.parts[2], name);
    assert_int_equal(strlen(address.text), 3 * ADDRESS_NAME_MAXIMUM + 2);
    assert_int_equal(address.number, 7);
    name[ADDRESS_NAME_MAXIMUM] = 'n';
    name[ADDRESS_NAME_MAXIMUM + 1] = '\0';
    snprintf(text, sizeof(text), "database/%s", name);
    assert_status(KW_INVALID_ARGUMENT, address_parse(text, &address, &error));
    assert_contains(error.message, "longer than 200");
}

static void address_parse_text_without_end_is_refused(void **state)
{
    kw_error error = {0};
    struct address address;
    static char text[1024 * 1024];
    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    assert_status(KW_INVALID_ARGUMENT, address_parse(text, &address, &error));
    memset(text, '/', sizeof(text) - 1);
    assert_status(KW_INVALID_ARGUMENT, address_parse(text, &address, &error));
    memset(text, '9', sizeof(text) - 1);
    text[0] = 'a';
    text[1] = '@';
    assert_status(KW_INVALID_ARGUMENT, address_parse(text, &address, &error));
}

/* Whatever is taken must come out of its own text again, alike. */
static void address_parse_random_text_is_refused_or_stable(void **state)
{
    static const char alphabet[] = "ab/@.- *:'1\\\x01\xc3\xbc\"09";
    uint32_t random = 12345;
    size_t taken = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[12] = "";
        struct address first = {0}, second = {0};
        random = random * 1664525u + 1013904223u;
        size_t length = (random >> 16) % (sizeof(text) - 1);
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525u + 1013904223u;
            text[i] = alphabet[(random >> 16) % (sizeof(alphabet) - 1)];
        }
        if (address_parse(text, &first, NULL) != KW_OK)
            continue;
        taken++;
        assert_true(address_parse(first.text, &second, NULL) == KW_OK);
        assert_string_equal(first.text, second.text);
        assert_int_equal(first.part_count, second.part_count);
        assert_null(strpbrk(first.text, "@*:'\"\\"));
        for (size_t i = 0; i < first.part_count; i++)
            assert_int_equal(address_check_name(first.parts[i], NULL), KW_OK);
    }
    assert_true(taken > 100);
}

static void address_check_name_good_and_bad_are_told_apart(void **state)
{
    kw_error error = {0};
    (void)state;
    assert_ok(address_check_name("sales", &error));
    assert_ok(address_check_name("corp.example", &error));
    assert_status(KW_INVALID_ARGUMENT, address_check_name("", &error));
    assert_status(KW_INVALID_ARGUMENT, address_check_name("a/b", &error));
    assert_contains(error.message, "'a/b'");
    assert_status(KW_INVALID_ARGUMENT, address_check_name("a@1", &error));
    assert_status(KW_INVALID_ARGUMENT, address_check_name("*", &error));
}

static void address_of_uri_escapes_are_bytes_and_others_are_none(void **state)
{
    static const struct {
        const char *uri, *text;
    } cases[] = {
        {"keywright:database/sales", "database/sales"},
        {"KeyWright:database/sales", "database/sales"},
        {"keywright:database/a%20b@3", "database/a b@3"},
        {"keywright:%64atabase%2Fn%c3%a4me", "database/n\xc3\xa4me"},
        {"keywright:", ""},
        {"keywright:a%", NULL},
        {"keywright:a%4", NULL},
        {"keywright:a%zz", NULL},
        {"keywright:a%00b", NULL},
        {"keywright", NULL},
        {"file:database/sales", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = address_of_uri(cases[i].uri);
        if (cases[i].text == NULL)
            assert_null(text);
        else
            assert_string_equal(text, cases[i].text);
        free(text);
    }
}

static void address_uri_names_the_same_address(void **state)
{
    static const struct {
        const char *address, *uri;
    } rows[] = {
        {"ssl-connection", "keywright:ssl-connection"},
        {"database/sales@12", "keywright:database/sales@12"},
        {"general/a.b_c~d-1", "keywright:general/a.b_c~d-1"},
        {"general/50% of M\xc3\xbcller & #1?", "keywright:general/50%25%20of%20M%C3%BCller%20%26%20%231%3F"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        kw_error error = {0};
        struct address address;
        assert_ok(address_parse(rows[i].address, &address, &error));
        char *uri = address_uri(&address), *again = address_of_uri(rows[i].uri);
        assert_string_equal(uri, rows[i].uri);
        assert_string_equal(again, rows[i].address);
        free(again);
        free(uri);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_parse_good_text_is_taken_apart),
        cmocka_unit_test(address_parse_bad_text_is_refused_with_the_reason),
        cmocka_unit_test(address_parse_longest_name_is_taken_and_a_longer_one_refused),
        cmocka_unit_test(address_parse_text_without_end_is_refused),
        cmocka_unit_test(address_parse_random_text_is_refused_or_stable),
        cmocka_unit_test(address_check_name_good_and_bad_are_told_apart),
        cmocka_unit_test(address_of_uri_escapes_are_bytes_and_others_are_none),
        cmocka_unit_test(address_uri_names_the_same_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
