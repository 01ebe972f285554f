#include "config/value.h"

#include "unit/base/folder.h"

#include <string.h>

static void parse_integer_within_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"42", true, 42},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {"01", false, 0},
        {"-0", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 7;
        assert_int_equal(parse_integer(cases[i].text, &value), cases[i].valid);
        assert_true(value == (cases[i].valid ? cases[i].value : 7));
    }
}

static void parse_boolean_true_and_false_alone(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "True", "yes", "no", "on", "0", "1", "true "};
    bool value = false;
    assert_true(parse_boolean("true", &value));
    assert_true(value);
    assert_true(parse_boolean("false", &value));
    assert_false(value);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(parse_boolean(wrong[i], &value));
}

static void parse_duration_units_and_overflow(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milliseconds; /* -1: refused */
    } cases[] = {
        {"500ms", 500},
        {"5s", 5000},
        {"15m", 900000},
        {"2h", 7200000},
        {"1d", 86400000},
        {"0s", 0},
        {"9223372036854775807ms", INT64_MAX},
        {"9223372036854776s", -1},
        {"106751991168d", -1},
        {"5", -1},
        {"s", -1},
        {"", -1},
        {"-5s", -1},
        {"1.5h", -1},
        {"5 s", -1},
        {"5S", -1},
        {"5sec", -1},
        {"05s", -1},
        {"99999999999999999999s", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = -1;
        assert_int_equal(parse_duration(cases[i].text, &value), cases[i].milliseconds >= 0);
        assert_true(value == cases[i].milliseconds);
    }
}

static void nearest_name_finds_what_was_meant(void **state)
{
    (void)state;
    static const char *const names[] = {"version", "state", "store", "stores", "catalogue_key", "file:"};
    static const struct {
        const char *name, *nearest;
    } cases[] = {
        {"verison", "version"},
        {"Version", "version"},
        {"stat", "state"},
        {"storess", "stores"},
        {"catalog_key", "catalogue_key"},
        {"flie:", "file:"},
        {"sotre", "store"},
        {"password", NULL},
        {"", NULL},
        {"x", NULL},
        {"xy", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *nearest = nearest_name(cases[i].name, names, sizeof(names) / sizeof(names[0]));
        if (cases[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest, cases[i].nearest);
    }
}

static void nearest_name_very_long_is_near_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {
        "state", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    char name[1000];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_null(nearest_name(name, names, 2));
    assert_null(nearest_name("aaaa", names, 2));
    assert_null(nearest_name("aaaa", names, 0));
}

static void host_kind_tells_names_from_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum host_kind kind;
    } cases[] = {
        {"localhost", HOST_NAME},
        {"pw.example", HOST_NAME},
        {"PW.Example", HOST_NAME},
        {"xn--bcher-kva.example", HOST_NAME},
        {"a_b.example", HOST_NAME},
        {"*.example", HOST_NAME},
        {"1and1.example", HOST_NAME},
        {"a123456789012345678901234567890123456789012345678901234567890bc.example", HOST_NAME},
        {"192.0.2.10", HOST_IPV4},
        {"0.0.0.0", HOST_IPV4},
        {"255.255.255.255", HOST_IPV4},
        {"2001:db8::10", HOST_IPV6},
        {"::", HOST_IPV6},
        {"::1", HOST_IPV6},
        {"::ffff:192.0.2.1", HOST_IPV6},
        {"1:2:3:4:5:6:7:8", HOST_IPV6},
        {"", HOST_INVALID},
        {".", HOST_INVALID},
        {"example.", HOST_INVALID},
        {".example", HOST_INVALID},
        {"a..b", HOST_INVALID},
        {"-a.example", HOST_INVALID},
        {"a-.example", HOST_INVALID},
        {"a b", HOST_INVALID},
        {"a.*.example", HOST_INVALID},
        {"*", HOST_INVALID},
        {"pw.example:443", HOST_INVALID},
        {"https://pw.example", HOST_INVALID},
        {"b\xc3\xbc"
         "cher.example",
         HOST_INVALID},
        {"a123456789012345678901234567890123456789012345678901234567890bcd.example", HOST_INVALID},
        {"192.0.2.300", HOST_INVALID},
        {"192.0.2", HOST_INVALID},
        {"192.0.2.1.5", HOST_INVALID},
        {"192.0.2.010", HOST_INVALID},
        {"192.0.2.", HOST_INVALID},
        {"[::1]", HOST_INVALID},
        {"fe80::1%eth0", HOST_INVALID},
        {"1:2:3:4:5:6:7:8:9", HOST_INVALID},
        {"1::2::3", HOST_INVALID},
        {"12345::", HOST_INVALID},
        {"::ffff:192.0.2.256", HOST_INVALID},
        {"::192.0.2.1:5", HOST_INVALID},
        {":::", HOST_INVALID},
        {":", HOST_INVALID},
        {"", HOST_INVALID},
        {"1:", HOST_INVALID},
        {":1", HOST_INVALID},
        {"1::", HOST_IPV6},
        {"1::2:", HOST_INVALID},
        {"::1:2:3:4:5:6:7", HOST_IPV6},
        {"1:2:3:4:5:6:7::", HOST_IPV6},
        {"::1:2:3:4:5:6:7:8", HOST_INVALID},
        {"1:2:3:4:5:6:7", HOST_INVALID},
        {"1:2:3:4:5:6:192.0.2.1", HOST_IPV6},
        {"1:2:3:4:5:6:7:192.0.2.1", HOST_INVALID},
        {"1:2:3:4:5:192.0.2.1", HOST_INVALID},
        {"::1:2:3:4:5:192.0.2.1", HOST_IPV6},
        {"::1:2:3:4:5:6:192.0.2.1", HOST_INVALID},
        {"1::2:g", HOST_INVALID},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (host_kind(cases[i].text) != cases[i].kind)
            fail_msg("'%s' is taken for %d", cases[i].text, (int)host_kind(cases[i].text));
    }
}

static void host_kind_name_of_254_bytes_is_too_long(void **state)
{
    (void)state;
    char text[255];
    for (size_t i = 0; i < 254; i++)
        text[i] = i % 32 == 31 ? '.' : 'a';
    text[254] = '\0';
    assert_int_equal(host_kind(text), HOST_INVALID);
    text[253] = '\0';
    assert_int_equal(host_kind(text), HOST_NAME);
}

static void store_name_and_id_and_plugin_follow_their_rules(void **state)
{
    (void)state;
    static const struct {
        bool (*check)(const char *text);
        const char *text;
        bool valid;
    } cases[] = {
        {store_name_is_valid, "local", true},
        {store_name_is_valid, "HSM-2.b_c", true},
        {store_name_is_valid, "", false},
        {store_name_is_valid, "-a", false},
        {store_name_is_valid, ".a", false},
        {store_name_is_valid, "a/b", false},
        {store_name_is_valid, "a b", false},
        {store_name_is_valid, "\xc3\xbc", false},
        {store_name_is_valid, "a123456789a123456789a123456789a123456789a123456789a123456789abc", true},
        {store_name_is_valid, "a123456789a123456789a123456789a123456789a123456789a123456789abcd", false},
        {store_id_is_valid, "7c9e6679", true},
        {store_id_is_valid, "0123456789abcdef0123456789abcdef", true},
        {store_id_is_valid, "0123456789abcdef0123456789abcdef0", false},
        {store_id_is_valid, "7c9e667", false},
        {store_id_is_valid, "7C9E6679", false},
        {store_id_is_valid, "7c9e667g", false},
        {plugin_is_valid, "softstore", true},
        {plugin_is_valid, "p11_2-X", true},
        {plugin_is_valid, "/opt/lib/keywright-a.so", true},
        {plugin_is_valid, "", false},
        {plugin_is_valid, "./a.so", false},
        {plugin_is_valid, "a/b", false},
        {plugin_is_valid, "a.so", false},
        {plugin_is_valid, "/", false},
        {plugin_is_valid, "/opt/", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cases[i].check(cases[i].text) != cases[i].valid)
            fail_msg("'%s' is judged wrongly", cases[i].text);
    }
}

static void word_kind_is_that_of_yaml_1_2(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum word_kind kind;
    } cases[] = {
        {"", WORD_NULL},        {"~", WORD_NULL},          {"null", WORD_NULL},        {"nil", WORD_STRING},
        {"true", WORD_BOOLEAN}, {"FALSE", WORD_BOOLEAN},   {"yes", WORD_STRING},       {"12345678", WORD_INTEGER},
        {"-5", WORD_INTEGER},   {"+5", WORD_INTEGER},      {"007", WORD_INTEGER},      {"0x1f", WORD_INTEGER},
        {"0o17", WORD_INTEGER}, {"0o18", WORD_STRING},     {"0x", WORD_STRING},        {"7e123456", WORD_FLOAT},
        {"1.5", WORD_FLOAT},    {".5", WORD_FLOAT},        {"5.", WORD_FLOAT},         {"1e+5", WORD_FLOAT},
        {".inf", WORD_FLOAT},   {".nan", WORD_FLOAT},      {".", WORD_STRING},         {"-", WORD_STRING},
        {"1e", WORD_STRING},    {"7c9e6679", WORD_STRING}, {"192.0.2.1", WORD_STRING}, {"1_000", WORD_STRING},
        {"e5", WORD_STRING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (word_kind(cases[i].text) != cases[i].kind)
            fail_msg("'%s' is taken for %d", cases[i].text, (int)word_kind(cases[i].text));
    }
}

static void usage_is_a_name_or_a_dotted_identifier(void **state)
{
    static const char *const good[] = {"serverAuth", "OCSPSigning", "1.3.6.1.4.1.311.20.2.2",
                                       "2.999.1",    "0.39",        "2.25.999999999"};
    static const char *const bad[] = {"",     "serverauth", "server", "1",     "1.",   ".1",   "1..2",
                                      "1.02", "3.1",        "1.40",   "1.3.x", "-1.2", "1.2 ", "1.3.6.1234567890"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!usage_is_valid(good[i]))
            fail_msg("'%s' is refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (usage_is_valid(bad[i]))
            fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_integer_within_64_bits),
        cmocka_unit_test(parse_boolean_true_and_false_alone),
        cmocka_unit_test(parse_duration_units_and_overflow),
        cmocka_unit_test(nearest_name_finds_what_was_meant),
        cmocka_unit_test(nearest_name_very_long_is_near_nothing),
        cmocka_unit_test(host_kind_tells_names_from_addresses),
        cmocka_unit_test(host_kind_name_of_254_bytes_is_too_long),
        cmocka_unit_test(store_name_and_id_and_plugin_follow_their_rules),
        cmocka_unit_test(word_kind_is_that_of_yaml_1_2),
        cmocka_unit_test(usage_is_a_name_or_a_dotted_identifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
