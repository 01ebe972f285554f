/* What a server's certificate must be by itself, and what of it is warned of. */
#include "authority.h"
#include "scene.h"

#include "certificate/leaf.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static struct scene scene;
static EVP_PKEY *key;
static char warned[8192];

static void warn(void *user, const char *sentence)
{
    (void)user;
    const size_t length = strlen(warned);
    snprintf(warned + length, sizeof(warned) - length, "%s\n", sentence);
}

static X509 *with(const struct extension *extensions, long from, long to)
{
    return authority_issue(
        scene.crypto->library,
        &(struct issue){.subject = "www.example", .key = key, .extensions = extensions, .from = from, .to = to});
}

static void check_server_wants_its_uses(void **state)
{
    static const struct {
        const char *extended, *usage;
        const char *message; /* NULL: it is all right */
    } cases[] = {
        {"serverAuth", NULL, NULL},
        {"serverAuth", "critical,digitalSignature,keyEncipherment", NULL},
        {"clientAuth,serverAuth", "digitalSignature", NULL},
        {"critical,serverAuth,anyExtendedKeyUsage", NULL, NULL},
        {"anyExtendedKeyUsage", NULL, "allows 'any' but does not name serverAuth"},
        {"clientAuth", NULL, "does not name serverAuth"},
        {NULL, "digitalSignature", "is missing"},
        {"serverAuth", "keyEncipherment", "lacks digitalSignature"},
        {"serverAuth", "critical,keyAgreement", "lacks digitalSignature"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct extension extensions[3] = {{0, NULL}};
        size_t count = 0;
        if (cases[i].extended != NULL)
            extensions[count++] = (struct extension){NID_ext_key_usage, cases[i].extended};
        if (cases[i].usage != NULL)
            extensions[count++] = (struct extension){NID_key_usage, cases[i].usage};
        X509 *certificate = with(extensions, 0, 0);
        const kw_status status = leaf_check_server(certificate, &scene.error);
        assert_int_equal(status, cases[i].message == NULL ? KW_OK : KW_REFUSED);
        if (cases[i].message != NULL) {
            assert_message(&scene, cases[i].message);
            assert_string_not_equal(scene.error.remedy, "");
        }
        X509_free(certificate);
    }
}

static void check_validity_knows_before_and_after(void **state)
{
    static const struct {
        long from, to;
        const char *message;
    } cases[] = {
        {-DAY, DAY, NULL},
        {-2 * DAY, -10, "has expired: it was valid until 20"},
        {100, DAY, "not valid yet: it is valid from 20"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        X509 *certificate = with(server_extensions, cases[i].from, cases[i].to);
        assert_status(&scene, cases[i].message == NULL ? KW_OK : KW_REFUSED,
                      leaf_check_validity(certificate, &scene.error));
        if (cases[i].message != NULL)
            assert_message(&scene, cases[i].message);
        X509_free(certificate);
    }
    /* An extension that is there twice makes it malformed. */
    static const struct extension twice[] = {
        {NID_basic_constraints, "CA:FALSE"}, {NID_basic_constraints, "CA:FALSE"}, {0, NULL}};
    X509 *certificate = with(twice, 0, 0);
    assert_status(&scene, KW_REFUSED, leaf_check_validity(certificate, &scene.error));
    assert_message(&scene, "malformed");
    X509_free(certificate);
}

static void tell_names_of_many_hosts_names_them_all(void **state)
{
    enum { HOSTS = 100 };
    const struct extension extensions[] = {{NID_subject_alt_name, "DNS:pw.example"}, {0, NULL}};
    X509 *certificate = with(extensions, 0, 0);
    char texts[HOSTS][32];
    const char *hosts[HOSTS];
    (void)state;
    for (size_t i = 0; i < HOSTS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "host-%zu.lengthy.example", i);
        hosts[i] = texts[i];
    }
    warned[0] = '\0';
    leaf_tell_names(certificate, hosts, HOSTS, warn, NULL);
    assert_non_null(strstr(warned, "host-99.lengthy.example; clients that use them"));
    X509_free(certificate);
}

static void tell_names_lists_what_is_missing_and_wildcards(void **state)
{
    static const struct {
        const char *san, *hosts[4];
        const char *missing; /* NULL: none */
        bool wildcard;
    } cases[] = {
        {"DNS:pw.example", {"pw.example"}, NULL, false},
        {"DNS:PW.example", {"pw.EXAMPLE"}, NULL, false},
        {"DNS:pw.example", {"pw", "192.0.2.1", "pw.example"}, ": pw, 192.0.2.1;", false},
        {"DNS:192.0.2.1", {"192.0.2.1"}, ": 192.0.2.1;", false}, /* clients look at iPAddress alone */
        {"IP:192.0.2.1,IP:2001:db8::1", {"192.0.2.1", "2001:db8:0::1"}, NULL, false},
        {"DNS:*.pw.example", {"a.pw.example"}, NULL, true},
        {"DNS:*.pw.example", {"a.b.pw.example", "pw.example"}, ": a.b.pw.example, pw.example;", true},
        {"DNS:*.pw.example", {"*.pw.example"}, NULL, true},
        {"DNS:p*.pw.example", {"pa.pw.example"}, ": pa.pw.example;", true}, /* RFC 9525: one whole label or nothing */
        {"DNS:a.pw.example", {"*.pw.example"}, ": *.pw.example;", false},
        {"email:x@example", {"www.example"}, ": www.example;", false}, /* the common name counts for nothing */
        {NULL, {"www.example"}, ": www.example;", false},
        {"DNS:pw.example", {NULL}, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct extension extensions[] = {{NID_subject_alt_name, cases[i].san}, {0, NULL}};
        X509 *certificate = with(extensions, 0, 0);
        size_t count = 0;
        while (count < 4 && cases[i].hosts[count] != NULL)
            count++;
        warned[0] = '\0';
        leaf_tell_names(certificate, cases[i].hosts, count, warn, NULL);
        const bool lacks = strstr(warned, "lack names and addresses of this server") != NULL;
        if (lacks != (cases[i].missing != NULL) || (lacks && strstr(warned, cases[i].missing) == NULL) ||
            (strstr(warned, "wildcard") != NULL) != cases[i].wildcard)
            fail_msg("case %zu: %s", i, warned);
        assert_int_equal(ERR_peek_error(), 0);
        X509_free(certificate);
    }
}

static void tell_expiry_begins_thirty_days_before(void **state)
{
    (void)state;
    X509 *early = with(NULL, -DAY, 31 * DAY), *late = with(NULL, -DAY, 29 * DAY);
    warned[0] = '\0';
    leaf_tell_expiry(early, "it", warn, NULL);
    assert_string_equal(warned, "");
    leaf_tell_expiry(late, "it", warn, NULL);
    assert_non_null(strstr(warned, "it expires soon: it is valid until 20"));
    X509_free(early);
    X509_free(late);
}

static int open_all(void **state)
{
    (void)state;
    scene_open(&scene);
    key = scene_key(&scene, "ec-p256");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    scene_close(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_server_wants_its_uses),
        cmocka_unit_test(check_validity_knows_before_and_after),
        cmocka_unit_test(tell_names_lists_what_is_missing_and_wildcards),
        cmocka_unit_test(tell_names_of_many_hosts_names_them_all),
        cmocka_unit_test(tell_expiry_begins_thirty_days_before),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
