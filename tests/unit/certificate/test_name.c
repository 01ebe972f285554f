#include "scene.h"

#include "certificate/name.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_text(const X509_NAME *name, const char *expected)
{
    char *text = name_text(name);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void name_parse_valid_prints_the_same(void **state)
{
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"CN=www.example", "CN=www.example"},
        {"CN=www,O=Example,C=DE", "CN=www,O=Example,C=DE"},
        {"cn=www, o=Example , c=DE", "CN=www,O=Example,C=DE"},
        {"CN=Doe\\, John,OU=a\\+b\\\\c", "CN=Doe\\, John,OU=a\\+b\\\\c"},
        {"CN=M\\C3\\BCller", "CN=Müller"},
        {"CN=Müller 日本", "CN=Müller 日本"},
        {"CN=\\ padded\\ ", "CN=\\ padded\\ "},
        {"CN=x+OU=y,O=z", "OU=y+CN=x,O=z"}, /* DER sorts a set */
        {"2.5.4.3=dotted", "CN=dotted"},
        {"DC=corp,DC=example", "DC=corp,DC=example"},
        {"UID=jd,emailAddress=a@b.example", "UID=jd,emailAddress=a@b.example"},
        {"CN=\\#5", "CN=\\#5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene scene = {0};
        X509_NAME *name = NULL;
        assert_ok(&scene, name_parse(rows[i].text, &name, &scene.error));
        assert_text(name, rows[i].printed);
        X509_NAME_free(name);
    }
}

static void name_parse_invalid_is_refused(void **state)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"", "does not begin with an attribute"},
        {"www", "does not begin with an attribute"},
        {"CN=x,", "does not begin with an attribute"},
        {"=x", "does not begin with an attribute"},
        {"CN=", "has no value"},
        {"CN=a;O=b", "needs a backslash"},
        {"CN=\"a\"", "needs a backslash"},
        {"CN=a\\", "escapes nothing"},
        {"CN=a\\zz", "escapes nothing"},
        {"CN=#0c0161", "hex"},
        {"XY=a", "no attribute type 'XY'"},
        {"CN=\\0a", "control characters"},
        {"CN=\\ff", "not UTF-8"},
        {"C=Germany", "C may have 2 characters at most"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene scene = {0};
        X509_NAME *name = NULL;
        assert_status(&scene, KW_INVALID_ARGUMENT, name_parse(rows[i].text, &name, &scene.error));
        assert_message(&scene, rows[i].said);
        assert_null(name);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

/* RFC 5280's limit is of characters, not of bytes. */
static void name_add_long_value_says_the_limit(void **state)
{
    struct scene scene = {0};
    char fits[2 * 64 + 1] = "", long_one[2 * 65 + 1] = "";
    X509_NAME *name = X509_NAME_new();
    (void)state;
    for (size_t i = 0; i < 64; i++)
        memcpy(fits + 2 * i, "ü", 3);
    snprintf(long_one, sizeof(long_one), "%sü", fits);
    assert_ok(&scene, name_add(name, "CN", fits, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT, name_add(name, "CN", long_one, &scene.error));
    assert_message(&scene, "CN may have 64 characters at most (RFC 5280)");
    assert_message(&scene, "has 65");
    X509_NAME_free(name);
}

static void name_text_of_hostile_names_is_escaped(void **state)
{
    static const struct {
        int type;
        const char *value, *printed;
    } rows[] = {
        {V_ASN1_UTF8STRING, "a\nb", "CN=a\\0Ab"},
        {V_ASN1_UTF8STRING, "a,O=forged", "CN=a\\,O=forged"},
        {V_ASN1_UTF8STRING,
         "a\xc2\x9b"
         "b",
         "CN=a\\C2\\9Bb"}, /* a control character beyond ASCII */
        {V_ASN1_UTF8STRING, "bad\xff", "CN=bad\\FF"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        X509_NAME *name = X509_NAME_new();
        assert_true(X509_NAME_add_entry_by_NID(name, NID_commonName, rows[i].type, (const unsigned char *)rows[i].value,
                                               -1, -1, 0));
        assert_text(name, rows[i].printed);
        X509_NAME_free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_parse_valid_prints_the_same),
        cmocka_unit_test(name_parse_invalid_is_refused),
        cmocka_unit_test(name_add_long_value_says_the_limit),
        cmocka_unit_test(name_text_of_hostile_names_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
