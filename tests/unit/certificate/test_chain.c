/* Paths to a CA that is made here: what is found, what is kept of it, and that nothing that was tampered with gets through. */
#include "authority.h"
#include "scene.h"

#include "base/buffer.h"
#include "certificate/chain.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static struct scene scene;
static EVP_PKEY *root_key, *issuing_key, *leaf_key;
static X509 *root, *issuing;
static struct trust trust;
static char warned[2048]; /* all sentences, one behind the other */

static void warn(void *user, const char *sentence)
{
    (void)user;
    const size_t length = strlen(warned);
    snprintf(warned + length, sizeof(warned) - length, "%s\n", sentence);
}

static X509 *leaf(const struct extension *more)
{
    return authority_issue(scene.crypto->library, &(struct issue){.subject = "www",
                                                                  .key = leaf_key,
                                                                  .issuer = issuing,
                                                                  .issuer_key = issuing_key,
                                                                  .extensions = server_extensions,
                                                                  .more = more});
}

static kw_status find(X509 *certificate, X509 *other, STACK_OF(X509) **path)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    const struct chain_wanted wanted = {.trust = &trust, .tls_server = true, .warning = warn};
    STACK_OF(X509) *found = NULL;
    assert_non_null(others);
    if (other != NULL)
        assert_true(sk_X509_push(others, other) > 0);
    warned[0] = '\0';
    const kw_status status = chain_find(scene.crypto, &wanted, certificate, others, &found, &scene.error);
    assert_true((status == KW_OK) == (found != NULL));
    assert_int_equal(sk_X509_num(others), other != NULL ? 1 : 0); /* the caller's stay the caller's */
    assert_int_equal(ERR_peek_error(), 0);
    sk_X509_free(others);
    if (path != NULL)
        *path = found;
    else
        sk_X509_pop_free(found, X509_free);
    return status;
}

static void find_path_is_certificate_and_intermediates_without_root(void **state)
{
    X509 *certificate = leaf(NULL);
    STACK_OF(X509) *path = NULL;
    (void)state;
    assert_ok(&scene, find(certificate, issuing, &path));
    assert_int_equal(sk_X509_num(path), 2);
    assert_int_equal(X509_cmp(sk_X509_value(path, 0), certificate), 0);
    assert_int_equal(X509_cmp(sk_X509_value(path, 1), issuing), 0);
    assert_string_equal(warned, "");
    sk_X509_pop_free(path, X509_free);
    /* The same with the intermediate from the configuration. */
    assert_status(&scene, KW_REFUSED, find(certificate, NULL, NULL));
    assert_message(&scene, "of the certificate 'CN=www' the issuer 'CN=Issuing' is not known");
    assert_true(sk_X509_push(trust.intermediates, issuing) > 0);
    assert_ok(&scene, find(certificate, NULL, &path));
    assert_int_equal(sk_X509_num(path), 2);
    sk_X509_pop_free(path, X509_free);
    (void)sk_X509_pop(trust.intermediates);
    X509_free(certificate);
}

static void find_without_error_to_fill_is_refused_all_the_same(void **state)
{
    X509 *certificate = leaf(NULL);
    STACK_OF(X509) *path = NULL;
    const struct chain_wanted wanted = {.trust = &trust, .tls_server = true, .warning = warn};
    (void)state;
    assert_int_equal(chain_find(scene.crypto, &wanted, certificate, NULL, &path, NULL), KW_REFUSED);
    assert_null(path);
    X509_free(certificate);
}

/* A trusted certificate that is its own issuer is no path: S5 wants a CA. */
static void find_self_signed_is_refused_even_when_trusted(void **state)
{
    X509 *own = authority_issue(scene.crypto->library,
                                &(struct issue){.subject = "own", .key = leaf_key, .extensions = server_extensions});
    (void)state;
    assert_true(sk_X509_push(trust.authorities, own) > 0);
    assert_status(&scene, KW_REFUSED, find(own, NULL, NULL));
    assert_message(&scene, "'CN=own' is self-signed");
    (void)sk_X509_pop(trust.authorities);
    X509_free(own);
}

/* Each byte of the certificate: changed, it is either unreadable or refused. */
static void find_tampered_certificate_never_has_a_path(void **state)
{
    X509 *certificate = leaf(NULL);
    kw_bytes der = {0};
    size_t readable = 0;
    (void)state;
    assert_ok(&scene, x509_to_der(certificate, &der, &scene.error));
    for (size_t i = 0; i < der.length; i++) {
        X509 *tampered = NULL;
        kw_input rest = {der.data, der.length};
        der.data[i] ^= 0x01;
        if (x509_read(scene.crypto, &rest, &tampered, NULL) == KW_OK) {
            assert_true(find(tampered, issuing, NULL) != KW_OK);
            readable++;
        }
        X509_free(tampered);
        der.data[i] ^= 0x01;
    }
    assert_true(readable > der.length / 4);
    kw_bytes_free(&der);
    X509_free(certificate);
}

static void find_names_of_hostile_certificates_stay_on_one_line(void **state)
{
    X509 *certificate = authority_issue(scene.crypto->library, &(struct issue){.subject = "a\nkeywright: all is well",
                                                                               .key = leaf_key,
                                                                               .issuer = issuing,
                                                                               .issuer_key = issuing_key,
                                                                               .extensions = server_extensions});
    (void)state;
    assert_status(&scene, KW_REFUSED, find(certificate, NULL, NULL));
    assert_null(strchr(scene.error.message, '\n'));
    X509_free(certificate);
}

static void find_place_of_lists_that_is_no_url_is_refused(void **state)
{
    static const struct extension elsewhere[] = {{NID_crl_distribution_points, "email:x@example"}, {0, NULL}};
    X509 *certificate = leaf(elsewhere);
    X509_EXTENSION *broken = NULL;
    ASN1_OCTET_STRING *rubbish = ASN1_OCTET_STRING_new();
    (void)state;
    assert_status(&scene, KW_UNSUPPORTED, find(certificate, issuing, NULL));
    assert_message(&scene, "does not say by a URL where its revocation list is");
    /* Malformed, and signed like that. */
    assert_int_equal(ASN1_OCTET_STRING_set(rubbish, (const unsigned char *)"\x30\x03\x02", 3), 1);
    broken = X509_EXTENSION_create_by_NID(NULL, NID_crl_distribution_points, 0, rubbish);
    X509_EXTENSION_free(
        X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, NID_crl_distribution_points, -1)));
    assert_int_equal(X509_add_ext(certificate, broken, -1), 1);
    assert_true(X509_sign(certificate, issuing_key, EVP_sha256()) > 0);
    assert_status(&scene, KW_REFUSED, find(certificate, issuing, NULL));
    X509_EXTENSION_free(broken);
    ASN1_OCTET_STRING_free(rubbish);
    X509_free(certificate);
}

static void write_crl(const char *name, X509_CRL *crl)
{
    unsigned char *der = NULL;
    const int length = i2d_X509_CRL(crl, &der);
    assert_true(length > 0);
    scene_write(&scene, name, (kw_input){der, (size_t)length});
    OPENSSL_free(der);
    X509_CRL_free(crl);
}

/* A certificate cannot keep a server busy: of twenty places eight are tried, so a good one counts up to there. */
static void find_many_places_of_lists_are_tried_up_to_a_limit(void **state)
{
    (void)state;
    write_crl("list", authority_crl(scene.crypto->library, issuing, issuing_key, NULL, -DAY, DAY, NULL));
    for (int good = 7; good <= 8; good++) {
        char text[4096] = "";
        for (int i = 0; i < 20; i++) {
            const size_t length = strlen(text);
            snprintf(text + length, sizeof(text) - length, "%sURI:file://%s/%s", i > 0 ? "," : "", scene.directory,
                     i == good ? "list" : "absent");
        }
        const struct extension many[] = {{NID_crl_distribution_points, text}, {0, NULL}};
        X509 *certificate = leaf(many);
        assert_status(&scene, good < 8 ? KW_OK : KW_UNAVAILABLE, find(certificate, issuing, NULL));
        assert_true((strstr(warned, "a place of revocation lists failed, and another one was used") != NULL) ==
                    (good < 8));
        X509_free(certificate);
    }
}

static void find_revocation_lists_decide(void **state)
{
    OSSL_LIB_CTX *library = scene.crypto->library;
    char text[512];
    (void)state;
    snprintf(text, sizeof(text), "URI:file://%s/list", scene.directory);
    const struct extension one[] = {{NID_crl_distribution_points, text}, {0, NULL}};
    X509 *certificate = leaf(one), *other = leaf(one);
    write_crl("list", authority_crl(library, issuing, issuing_key, other, -DAY, DAY, NULL));
    assert_ok(&scene, find(certificate, issuing, NULL));
    assert_status(&scene, KW_REFUSED, find(other, issuing, NULL));
    assert_message(&scene, "the certificate 'CN=www' is revoked since 20");
    write_crl("list", authority_crl(library, root, root_key, NULL, -DAY, DAY, NULL));
    assert_status(&scene, KW_REFUSED, find(certificate, issuing, NULL));
    assert_message(&scene, "another CA's");
    write_crl("list", authority_crl(library, issuing, root_key, NULL, -DAY, DAY, NULL));
    assert_status(&scene, KW_REFUSED, find(certificate, issuing, NULL));
    assert_message(&scene, "signature of the revocation list");
    write_crl("list", authority_crl(library, issuing, issuing_key, NULL, -DAY, 0, NULL));
    assert_status(&scene, KW_REFUSED, find(certificate, issuing, NULL));
    assert_message(&scene, "does not say until when it holds");
    X509_free(certificate);
    X509_free(other);
}

static void find_expiry_near_is_warned_of_for_the_whole_path(void **state)
{
    const struct issue soon = {.subject = "Soon",
                               .key = issuing_key,
                               .issuer = root,
                               .issuer_key = root_key,
                               .extensions = authority_extensions,
                               .from = -DAY,
                               .to = 5 * DAY};
    X509 *between = authority_issue(scene.crypto->library, &soon);
    X509 *certificate = authority_issue(scene.crypto->library, &(struct issue){.subject = "www",
                                                                               .key = leaf_key,
                                                                               .issuer = between,
                                                                               .issuer_key = issuing_key,
                                                                               .extensions = server_extensions,
                                                                               .from = -DAY,
                                                                               .to = 29 * DAY});
    (void)state;
    assert_ok(&scene, find(certificate, between, NULL));
    assert_non_null(strstr(warned, "it expires soon: it is valid until 20"));
    assert_non_null(strstr(warned, "the certificate 'CN=Soon' of its CA expires soon"));
    X509_free(between);
    X509_free(certificate);
}

static int open_all(void **state)
{
    (void)state;
    scene_open(&scene);
    root_key = scene_key(&scene, "ec-p256");
    issuing_key = scene_key(&scene, "ec-p256");
    leaf_key = scene_key(&scene, "ec-p256");
    root = authority_issue(scene.crypto->library,
                           &(struct issue){.subject = "Root", .key = root_key, .extensions = authority_extensions});
    issuing = authority_issue(scene.crypto->library, &(struct issue){.subject = "Issuing",
                                                                     .key = issuing_key,
                                                                     .issuer = root,
                                                                     .issuer_key = root_key,
                                                                     .extensions = authority_extensions});
    trust = (struct trust){.authorities = sk_X509_new_null(),
                           .intermediates = sk_X509_new_null(),
                           .crl = {.timeout = 2000, .maximum = 100000}};
    assert_true(sk_X509_push(trust.authorities, root) > 0);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    trust_clear(&trust); /* with the root */
    X509_free(issuing);
    EVP_PKEY_free(leaf_key);
    EVP_PKEY_free(issuing_key);
    EVP_PKEY_free(root_key);
    scene_close(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find_path_is_certificate_and_intermediates_without_root),
        cmocka_unit_test(find_without_error_to_fill_is_refused_all_the_same),
        cmocka_unit_test(find_self_signed_is_refused_even_when_trusted),
        cmocka_unit_test(find_tampered_certificate_never_has_a_path),
        cmocka_unit_test(find_names_of_hostile_certificates_stay_on_one_line),
        cmocka_unit_test(find_place_of_lists_that_is_no_url_is_refused),
        cmocka_unit_test(find_many_places_of_lists_are_tried_up_to_a_limit),
        cmocka_unit_test(find_revocation_lists_decide),
        cmocka_unit_test(find_expiry_near_is_warned_of_for_the_whole_path),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
