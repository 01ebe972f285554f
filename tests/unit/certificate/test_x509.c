/* Certificates and requests through a real store; OpenSSL's and GnuTLS's commands are the judges. */
#include "scene.h"
#include "unit/openssl/keyring.h"

#include "certificate/x509.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct ring ring;
static struct scene scene;

static int open_ring(void **state)
{
    (void)state;
    ring_open(&ring);
    scene_open(&scene);
    return 0;
}

static int close_ring(void **state)
{
    (void)state;
    scene_close(&scene);
    ring_close(&ring);
    return 0;
}

static const struct kind *kind_named(const char *name)
{
    for (size_t i = 0; i < kind_count; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    fail_msg("no kind %s", name);
    return NULL;
}

static void make(const char *key_name, const struct x509_wanted *wanted, const char *file)
{
    struct pair pair = ring_add(&ring, key_name);
    kw_bytes der = {0};
    assert_ok(&scene, x509_make(ring.crypto, pair.key, wanted, &der, &scene.error));
    scene_write(&scene, file, (kw_input){der.data, der.length});
    kw_bytes_free(&der);
    pair_clear(&pair);
}

/* S1, S2: the server's own certificate. */
static void x509_make_ssl_connection_is_what_clients_expect(void **state)
{
    static const char *const hosts[] = {"pw.example", "192.0.2.10", "2001:db8::10", "pw.example"};
    const struct x509_wanted wanted = {.kind = kind_named("ssl-connection"),
                                       .subject = {.common_name = "PSR8Server"},
                                       .hosts = hosts,
                                       .host_count = 4};
    (void)state;
    make("rsa-3072", &wanted, "ssl.der");
    const char *text = "openssl x509 -inform DER -in ssl.der -noout -text -nameopt RFC2253";
    scene_says(&scene, text, "Version: 3");
    scene_says(&scene, text, "Subject: CN=PSR8Server");
    scene_says(&scene, text, "Issuer: CN=PSR8Server");
    scene_says(&scene, text, "Not After : Dec 31 23:59:59 9999 GMT");
    scene_says(&scene, text, "X509v3 Basic Constraints: critical\n                CA:FALSE");
    scene_says(&scene, text, "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n");
    scene_says(&scene, text, "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n");
    scene_says(&scene, text,
               "DNS:pw.example, DNS:192.0.2.10, IP Address:192.0.2.10, DNS:2001:db8::10, "
               "IP Address:2001:DB8:0:0:0:0:0:10\n");
    scene_says(&scene, text, "X509v3 Subject Key Identifier");
    scene_says(&scene, text, "X509v3 Authority Key Identifier");
    scene_says(&scene, text, "Signature Algorithm: sha256WithRSAEncryption");
    scene_do(&scene, "openssl x509 -inform DER -in ssl.der -out ssl.pem");
    scene_says(&scene, "openssl verify -x509_strict -purpose sslserver -CAfile ssl.pem ssl.pem", "ssl.pem: OK");
    scene_says(&scene,
               "openssl verify -x509_strict -purpose sslserver -verify_hostname pw.example -CAfile ssl.pem ssl.pem",
               "OK");
    scene_says(&scene, "openssl verify -x509_strict -purpose sslserver -verify_ip 2001:db8::10 -CAfile ssl.pem ssl.pem",
               "OK");
    scene_says(&scene, "certtool --certificate-info --infile ssl.pem", "Not After: Fri Dec 31 23:59:59 UTC 9999");
    scene_says(&scene, "certtool --certificate-info --infile ssl.pem", "IPAddress: 2001:db8::10");
    scene_says(&scene, "keytool -printcert -file ssl.pem", "CN=PSR8Server");
}

/* S1: valid from its creation. */
static void x509_make_begins_now(void **state)
{
    const struct x509_wanted wanted = {.kind = kind_named("general"), .subject = {.common_name = "x"}};
    const time_t before = time(NULL);
    struct pair pair = ring_add(&ring, "ec-p256");
    kw_bytes der = {0};
    X509 *certificate = NULL;
    (void)state;
    assert_ok(&scene, x509_make(ring.crypto, pair.key, &wanted, &der, &scene.error));
    kw_input rest = {der.data, der.length};
    assert_ok(&scene, x509_read(ring.crypto, &rest, &certificate, &scene.error));
    assert_int_equal(rest.length, 0);
    assert_true(X509_cmp_timeframe(NULL, X509_get0_notBefore(certificate), X509_get0_notAfter(certificate)) == 0);
    time_t earlier = before - 1;
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(certificate), &earlier), 1);
    X509_free(certificate);
    kw_bytes_free(&der);
    pair_clear(&pair);
}

/* What may be done with a key follows from the kind and from what the key can. */
static void x509_make_every_key_has_its_usage_and_verifies(void **state)
{
    static const struct {
        const char *kind, *key, *usage, *algorithm;
    } rows[] = {
        {"database", "rsa-2048", "Digital Signature, Key Encipherment, Data Encipherment\n", "sha256WithRSAEncryption"},
        {"database", "ec-p256", "Digital Signature, Key Agreement\n", "ecdsa-with-SHA256"},
        {"master-key", "ec-p384", "Digital Signature, Key Agreement\n", "ecdsa-with-SHA384"},
        {"server-encryption", "ec-p521", "Digital Signature, Key Agreement\n", "ecdsa-with-SHA512"},
        {"ssl-connection", "ec-p256", "Digital Signature\n", "ecdsa-with-SHA256"},
        {"ssl-connection", "ed25519", "Digital Signature\n", "ED25519"},
        {"general", "ed25519", "Digital Signature\n", "ED25519"},
        {"general", "rsa-2048", "Digital Signature, Key Encipherment\n", "sha256WithRSAEncryption"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[128];
        const struct x509_wanted wanted = {.kind = kind_named(rows[i].kind),
                                           .subject = {.common_name = "psrDatabaseKey", .unit = "Sales & Söhne"}};
        make(rows[i].key, &wanted, "c.der");
        const char *text = "openssl x509 -inform DER -in c.der -noout -text -nameopt RFC2253,utf8,-esc_msb";
        snprintf(expected, sizeof(expected), "X509v3 Key Usage: critical\n                %s", rows[i].usage);
        scene_says(&scene, text, expected);
        snprintf(expected, sizeof(expected), "Signature Algorithm: %s\n", rows[i].algorithm);
        scene_says(&scene, text, expected);
        scene_says(&scene, text, "Subject: CN=psrDatabaseKey,OU=Sales & Söhne\n");
        scene_says(&scene, text, "CA:FALSE");
        scene_do(&scene, "openssl x509 -inform DER -in c.der -out c.pem");
        scene_says(&scene, "openssl verify -x509_strict -CAfile c.pem c.pem", "c.pem: OK");
    }
}

/* RFC 5280 section 4.2.1.12: the key usage fits the extended one. */
static void x509_make_general_has_the_extended_usages_asked_for(void **state)
{
    static const struct {
        const char *key, *usages[3], *extended, *usage;
    } rows[] = {
        {"rsa-2048",
         {"serverAuth", "clientAuth"},
         "Extended Key Usage: \n                TLS Web Server Authentication, TLS Web Client Authentication\n",
         "Digital Signature, Key Encipherment\n"},
        {"rsa-2048", {"clientAuth"}, "TLS Web Client Authentication\n", "Digital Signature\n"},
        {"rsa-2048", {"codeSigning", "codeSigning"}, " Code Signing\n", "Digital Signature\n"},
        {"rsa-2048", {"emailProtection"}, "E-mail Protection\n", "Digital Signature, Key Encipherment\n"},
        {"ec-p256", {"emailProtection"}, "E-mail Protection\n", "Digital Signature, Key Agreement\n"},
        {"ec-p256", {"serverAuth"}, "TLS Web Server Authentication\n", "Digital Signature\n"},
        {"ec-p256",
         {"timeStamping"},
         "Extended Key Usage: critical\n                Time Stamping\n",
         "Digital Signature\n"},
        {"ed25519", {"OCSPSigning"}, "OCSP Signing\n", "Digital Signature\n"},
        {"rsa-2048",
         {"1.3.6.1.4.1.311.20.2.2"},
         "Microsoft Smartcard Login\n",
         "Digital Signature, Key Encipherment\n"},
        {"ec-p256", {"2.999.1.2"}, "2.999.1.2\n", "Digital Signature, Key Agreement\n"},
    };
    const char *text = "openssl x509 -inform DER -in c.der -noout -text";
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[128];
        struct x509_wanted wanted = {
            .kind = kind_named("general"), .subject = {.common_name = "x"}, .usages = rows[i].usages};
        while (wanted.usage_count < 3 && rows[i].usages[wanted.usage_count] != NULL)
            wanted.usage_count++;
        assert_ok(&scene, x509_check_wanted(&wanted, &scene.error));
        make(rows[i].key, &wanted, "c.der");
        snprintf(expected, sizeof(expected), "X509v3 Key Usage: critical\n                %s", rows[i].usage);
        scene_says(&scene, text, expected);
        scene_says(&scene, text, rows[i].extended);
    }
}

static void x509_check_wanted_refuses_usages_that_cannot_be(void **state)
{
    static const char *const two[] = {"serverAuth", "timeStamping"}, *const none[] = {"nonsense"};
    struct x509_wanted wanted = {
        .kind = kind_named("general"), .subject = {.common_name = "x"}, .usages = two, .usage_count = 2};
    (void)state;
    assert_status(&scene, KW_INVALID_ARGUMENT, x509_check_wanted(&wanted, &scene.error));
    assert_message(&scene, "stands alone");
    wanted.usages = none;
    wanted.usage_count = 1;
    assert_status(&scene, KW_INVALID_ARGUMENT, x509_check_wanted(&wanted, &scene.error));
    assert_message(&scene, "'nonsense'");
}

static void x509_make_serials_are_long_positive_and_new(void **state)
{
    const struct x509_wanted wanted = {.kind = kind_named("general"), .subject = {.common_name = "x"}};
    struct pair pair = ring_add(&ring, "ec-p256");
    unsigned char serials[8][20];
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        kw_bytes der = {0};
        X509 *certificate = NULL;
        assert_ok(&scene, x509_make(ring.crypto, pair.key, &wanted, &der, &scene.error));
        kw_input rest = {der.data, der.length};
        assert_ok(&scene, x509_read(ring.crypto, &rest, &certificate, &scene.error));
        const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
        assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER);
        assert_int_equal(ASN1_STRING_length(serial), 20);
        memcpy(serials[i], ASN1_STRING_get0_data(serial), 20);
        assert_true(serials[i][0] < 0x80);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(serials[i], serials[j], 20);
        X509_free(certificate);
        kw_bytes_free(&der);
    }
    pair_clear(&pair);
}

static void x509_make_general_takes_an_rfc4514_subject(void **state)
{
    const struct x509_wanted wanted = {.kind = kind_named("general"),
                                       .subject = {.subject = "CN=www,OU=a\\, b,O=Example,C=DE"}};
    (void)state;
    make("ec-p256", &wanted, "g.der");
    scene_says(&scene, "openssl x509 -inform DER -in g.der -noout -subject -nameopt RFC2253",
               "subject=CN=www,OU=a\\, b,O=Example,C=DE");
    scene_denies(&scene, "openssl x509 -inform DER -in g.der -noout -text", "Subject Alternative Name");
}

static void x509_make_invalid_is_refused(void **state)
{
    static const struct {
        const char *common_name, *unit, *subject, *host, *said;
    } rows[] = {
        {"Active Directory: a.domain.with.a.name.that.is.much.too.long.for.a.certificate.example", NULL, NULL, NULL,
         "CN may have 64 characters at most (RFC 5280)"},
        {"x", "a database with a name of more than the sixty-four characters that an OU may have", NULL, NULL,
         "OU may have 64"},
        {"x", NULL, "CN=", NULL, "has no value"},
        {"x", NULL, NULL, "", "empty"},
        {"x", NULL, NULL, "a..b", "empty part"},
        {"x", NULL, NULL, "-a.example", "neither a host name nor an IP address"},
        {"x", NULL, NULL, "a b", "neither a host name nor an IP address"},
        {"x", NULL, NULL, "192.0.2.300", "ends like an IP address but is none"},
        {"x", NULL, NULL, "2001:db8::zz", "neither a host name nor an IP address"},
        {"x", NULL, NULL, "büro.example", "neither a host name nor an IP address"},
        {"x", NULL, NULL, "a.an-extremely-long-label-of-a-host-name-with-more-than-sixty-three-bytes.example",
         "it may have 63"},
    };
    struct pair pair = ring_add(&ring, "ec-p256");
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct x509_wanted wanted = {.kind = kind_named("general"),
                                           .subject = {rows[i].common_name, rows[i].unit, rows[i].subject},
                                           .hosts = &rows[i].host,
                                           .host_count = rows[i].host != NULL ? 1 : 0};
        kw_bytes der = {0};
        assert_status(&scene, KW_INVALID_ARGUMENT, x509_make(ring.crypto, pair.key, &wanted, &der, &scene.error));
        assert_message(&scene, rows[i].said);
        assert_null(der.data);
    }
    pair_clear(&pair);
}

static void x509_request_has_subject_and_names(void **state)
{
    static const char *const hosts[] = {"www.example", "198.51.100.1"};
    static const char *const keys[] = {"rsa-2048", "ec-p384", "ed25519"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct x509_wanted wanted = {
            .kind = kind_named("general"), .subject = {.subject = "CN=www,O=Example"}, .hosts = hosts, .host_count = 2};
        struct pair pair = ring_add(&ring, keys[i]);
        kw_bytes der = {0}, request = {0};
        X509 *certificate = NULL;
        assert_ok(&scene, x509_make(ring.crypto, pair.key, &wanted, &der, &scene.error));
        kw_input rest = {der.data, der.length};
        assert_ok(&scene, x509_read(ring.crypto, &rest, &certificate, &scene.error));
        assert_ok(&scene, x509_request(ring.crypto, pair.key, certificate, &request, &scene.error));
        scene_write(&scene, "r.der", (kw_input){request.data, request.length});
        scene_says(&scene, "openssl req -inform DER -in r.der -verify -noout", "verify OK");
        const char *text = "openssl req -inform DER -in r.der -noout -text -nameopt RFC2253";
        scene_says(&scene, text, "Subject: CN=www,O=Example");
        scene_says(&scene, text, "DNS:www.example, DNS:198.51.100.1, IP Address:198.51.100.1");
        scene_says(&scene, "certtool --crq-info --inder --infile r.der", "Self signature: verified");
        X509_free(certificate);
        kw_bytes_free(&request);
        kw_bytes_free(&der);
        pair_clear(&pair);
    }
}

static void x509_read_takes_one_off_the_front(void **state)
{
    const struct x509_wanted wanted = {.kind = kind_named("general"), .subject = {.common_name = "x"}};
    (void)state;
    make("ec-p256", &wanted, "c.der");
    kw_bytes der = scene_read(&scene, "c.der");
    unsigned char two[4096];
    X509 *first = NULL, *second = NULL, *third = NULL;
    memcpy(two, der.data, der.length);
    memcpy(two + der.length, der.data, der.length);
    kw_input rest = {two, 2 * der.length};
    assert_ok(&scene, x509_read(scene.crypto, &rest, &first, &scene.error));
    assert_int_equal(rest.length, der.length);
    assert_ok(&scene, x509_read(scene.crypto, &rest, &second, &scene.error));
    assert_int_equal(X509_cmp(first, second), 0);
    assert_status(&scene, KW_CORRUPT, x509_read(scene.crypto, &rest, &third, &scene.error));
    for (size_t length = 1; length < der.length; length++) {
        rest = (kw_input){der.data, length};
        assert_status(&scene, KW_CORRUPT, x509_read(scene.crypto, &rest, &third, &scene.error));
        assert_int_equal(rest.length, length);
    }
    assert_int_equal(ERR_peek_error(), 0);
    X509_free(first);
    X509_free(second);
    kw_bytes_free(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x509_make_ssl_connection_is_what_clients_expect),
        cmocka_unit_test(x509_make_begins_now),
        cmocka_unit_test(x509_make_every_key_has_its_usage_and_verifies),
        cmocka_unit_test(x509_make_general_has_the_extended_usages_asked_for),
        cmocka_unit_test(x509_check_wanted_refuses_usages_that_cannot_be),
        cmocka_unit_test(x509_make_serials_are_long_positive_and_new),
        cmocka_unit_test(x509_make_general_takes_an_rfc4514_subject),
        cmocka_unit_test(x509_make_invalid_is_refused),
        cmocka_unit_test(x509_request_has_subject_and_names),
        cmocka_unit_test(x509_read_takes_one_off_the_front),
    };
    return cmocka_run_group_tests(tests, open_ring, close_ring);
}
