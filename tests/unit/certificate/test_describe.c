#include "scene.h"

#include "base/arena.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static struct scene scene;

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    scene_close(&scene);
    return 0;
}

static X509 *read_file(const char *name)
{
    kw_bytes der = scene_read(&scene, name);
    kw_input rest = {der.data, der.length};
    X509 *certificate = NULL;
    assert_ok(&scene, x509_read(scene.crypto, &rest, &certificate, &scene.error));
    kw_bytes_free(&der);
    return certificate;
}

/* A certificate that the openssl command made, described as it describes it. */
static void x509_describe_foreign_certificate_agrees_with_openssl(void **state)
{
    struct arena arena = {0};
    kw_certificate_info info = {0};
    kw_bytes output = {0};
    (void)state;
    scene_do(
        &scene,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -outform DER -out c.der -days 3650 "
        "-subj /C=DE/O=Example/CN=www -set_serial 0x00f1e2d3 -addext keyUsage=critical,digitalSignature,keyAgreement "
        "-addext extendedKeyUsage=serverAuth,clientAuth,1.2.3.4.5 "
        "-addext subjectAltName=DNS:www.example,IP:192.0.2.1,IP:2001:db8::1,email:a@b.example,URI:https://x.example/");
    X509 *certificate = read_file("c.der");
    assert_ok(&scene, x509_describe(scene.crypto, certificate, &arena, &info, &scene.error));
    assert_string_equal(info.subject, "CN=www,O=Example,C=DE");
    assert_string_equal(info.issuer, info.subject);
    assert_string_equal(info.serial, "f1e2d3");
    assert_true(info.self_signed);
    assert_string_equal(info.signature_algorithm, "sha256WithRSAEncryption");
    assert_int_equal(info.san_count, 5);
    assert_string_equal(info.san[0], "DNS:www.example");
    assert_string_equal(info.san[1], "IP:192.0.2.1");
    assert_string_equal(info.san[2], "IP:2001:db8::1");
    assert_string_equal(info.san[3], "email:a@b.example");
    assert_string_equal(info.san[4], "URI:https://x.example/");
    assert_int_equal(info.key_usage_count, 2);
    assert_string_equal(info.key_usage[0], "digitalSignature");
    assert_string_equal(info.key_usage[1], "keyAgreement");
    assert_int_equal(info.extended_key_usage_count, 3);
    assert_string_equal(info.extended_key_usage[0], "serverAuth");
    assert_string_equal(info.extended_key_usage[1], "clientAuth");
    assert_string_equal(info.extended_key_usage[2], "1.2.3.4.5");
    assert_int_equal(info.not_after - info.not_before, INT64_C(3650) * 86400);
    scene_says(&scene, "sha256sum c.der", info.sha256);
    scene_says(&scene, "sha1sum c.der", info.sha1);
    scene_do(&scene, "openssl x509 -inform DER -in c.der -noout -pubkey -out p.pem");
    scene_do(&scene, "openssl pkey -pubin -in p.pem -outform DER -out p.der");
    scene_says(&scene, "sha256sum p.der", info.spki_sha256);
    assert_int_equal(
        scene_run(&scene, "openssl x509 -inform DER -in c.der -noout -startdate -dateopt iso_8601", NULL, &output), 0);
    assert_memory_equal(info.not_before_text, output.data + strlen("notBefore="), 10); /* the day */
    kw_bytes_free(&output);
    X509_free(certificate);
    arena_free(&arena);
}

static void x509_describe_times_of_every_century_are_exact(void **state)
{
    static const struct {
        const char *asn1, *rfc3339;
        int64_t wall;
    } rows[] = {
        {"99991231235959Z", "9999-12-31T23:59:59Z", INT64_C(253402300799)},
        {"20380119031408Z", "2038-01-19T03:14:08Z", INT64_C(2147483648)},
        {"19500101000000Z", "1950-01-01T00:00:00Z", INT64_C(-631152000)},
        {"21060207062816Z", "2106-02-07T06:28:16Z", INT64_C(4294967296)},
        {"20240229120000Z", "2024-02-29T12:00:00Z", INT64_C(1709208000)},
    };
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena = {0};
        kw_certificate_info info = {0};
        X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
        assert_true(ASN1_TIME_set_string(X509_getm_notAfter(certificate), rows[i].asn1));
        assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
        assert_ok(&scene, x509_describe(scene.crypto, certificate, &arena, &info, &scene.error));
        assert_true(info.not_after == rows[i].wall);
        assert_string_equal(info.not_after_text, rows[i].rfc3339);
        X509_free(certificate);
        arena_free(&arena);
    }
    EVP_PKEY_free(key);
}

static void x509_describe_issued_certificate_is_not_self_signed(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256"), *root_key = scene_key(&scene, "ec-p256");
    X509 *root = scene_certificate(&scene, root_key, "root", NULL, NULL, true);
    X509 *certificate = scene_certificate(&scene, key, "leaf", root, root_key, false);
    X509 *namesake =
        scene_certificate(&scene, key, "root", root, root_key, false); /* same names, another's signature */
    struct arena arena = {0};
    kw_certificate_info info = {0};
    (void)state;
    assert_ok(&scene, x509_describe(scene.crypto, certificate, &arena, &info, &scene.error));
    assert_false(info.self_signed);
    assert_string_equal(info.subject, "CN=leaf");
    assert_string_equal(info.issuer, "CN=root");
    assert_int_equal(info.san_count, 0);
    assert_ok(&scene, x509_describe(scene.crypto, namesake, &arena, &info, &scene.error));
    assert_false(info.self_signed);
    assert_ok(&scene, x509_describe(scene.crypto, root, &arena, &info, &scene.error));
    assert_true(info.self_signed);
    /* The same of certificates that are read without their public keys. */
    X509 *const three[] = {certificate, namesake, root};
    for (size_t i = 0; i < sizeof(three) / sizeof(three[0]); i++) {
        kw_bytes der = {0};
        X509 *bare = NULL;
        kw_certificate_info again = {0};
        assert_ok(&scene, x509_to_der(three[i], &der, &scene.error));
        kw_input input = {der.data, der.length};
        assert_ok(&scene, x509_read_bare(scene.crypto, &input, &bare, &scene.error));
        assert_ok(&scene, x509_describe(scene.crypto, three[i], &arena, &info, &scene.error));
        assert_ok(&scene, x509_describe(scene.crypto, bare, &arena, &again, &scene.error));
        assert_int_equal(again.self_signed, i == 2);
        assert_string_equal(again.sha256, info.sha256);
        assert_string_equal(again.spki_sha256, info.spki_sha256);
        assert_string_equal(again.subject, info.subject);
        assert_int_equal(again.key_usage_count, info.key_usage_count);
        X509_free(bare);
        kw_bytes_free(&der);
    }
    X509_free(namesake);
    X509_free(certificate);
    X509_free(root);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
    arena_free(&arena);
}

/* A SAN that would print a second line, or another name. */
static void x509_describe_hostile_san_is_shown_in_hex(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    struct arena arena = {0};
    kw_certificate_info info = {0};
    (void)state;
    ASN1_STRING_set(value, "a\nb", 3);
    GENERAL_NAME_set0_value(name, GEN_DNS, value);
    sk_GENERAL_NAME_push(names, name);
    assert_int_equal(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_ok(&scene, x509_describe(scene.crypto, certificate, &arena, &info, &scene.error));
    assert_int_equal(info.san_count, 1);
    assert_string_equal(info.san[0], "DNS:#610a62");
    GENERAL_NAMES_free(names);
    X509_free(certificate);
    EVP_PKEY_free(key);
    arena_free(&arena);
}

static void x509_describe_malformed_extension_is_corrupt(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    ASN1_OCTET_STRING *rubbish = ASN1_OCTET_STRING_new();
    struct arena arena = {0};
    kw_certificate_info info = {0};
    (void)state;
    ASN1_OCTET_STRING_set(rubbish, (const unsigned char *)"rubbish", 7);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, rubbish);
    assert_true(X509_add_ext(certificate, extension, -1));
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_status(&scene, KW_CORRUPT, x509_describe(scene.crypto, certificate, &arena, &info, &scene.error));
    assert_message(&scene, "subjectAltName");
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(rubbish);
    X509_free(certificate);
    EVP_PKEY_free(key);
    arena_free(&arena);
}

/* Its other parts are shown all the same, and libcrypto's complaint is nobody else's to find. */
static void x509_describe_key_that_cannot_be_read_leaves_no_error(void **state)
{
    static const unsigned char point[] = {0x03, 0x42, 0x00, 0x04}; /* BIT STRING of an uncompressed point */
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    unsigned char *der = NULL;
    struct arena arena = {0};
    kw_certificate_info info = {0};
    (void)state;
    const int length = i2d_X509(certificate, &der);
    assert_true(length > 0);
    unsigned char *const found = memmem(der, (size_t)length, point, sizeof(point));
    assert_non_null(found);
    found[3] = 0x05; /* no form that a point has */
    const unsigned char *at = der;
    X509 *damaged = d2i_X509(NULL, &at, length);
    assert_non_null(damaged);
    ERR_clear_error(); /* reading it has complained already */
    assert_ok(&scene, x509_describe(scene.crypto, damaged, &arena, &info, &scene.error));
    assert_int_equal(ERR_peek_error(), 0);
    assert_string_equal(info.subject, "CN=x");
    assert_null(X509_get0_pubkey(damaged));
    ERR_clear_error();
    OPENSSL_free(der);
    X509_free(damaged);
    X509_free(certificate);
    EVP_PKEY_free(key);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x509_describe_foreign_certificate_agrees_with_openssl),
        cmocka_unit_test(x509_describe_times_of_every_century_are_exact),
        cmocka_unit_test(x509_describe_issued_certificate_is_not_self_signed),
        cmocka_unit_test(x509_describe_hostile_san_is_shown_in_hex),
        cmocka_unit_test(x509_describe_malformed_extension_is_corrupt),
        cmocka_unit_test(x509_describe_key_that_cannot_be_read_leaves_no_error),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
