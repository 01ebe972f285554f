/* Reasons why a certificate is not trusted, all at once and in order. */
#include "scene.h"

#include "certificate/x509.h"
#include "tls/verdict.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static struct scene scene;
static EVP_PKEY *key, *root_key;
static X509 *root, *leaf, *self;

/* For this name as clients look for it. */
static X509 *named(const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *made = scene_certificate(&scene, key, name, issuer, issuer_key, false);
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *entry = a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_DNS, name, 0);
    assert_true(names != NULL && entry != NULL && sk_GENERAL_NAME_push(names, entry) > 0);
    assert_int_equal(X509_add1_ext_i2d(made, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
    assert_true(X509_sign(made, issuer_key != NULL ? issuer_key : key, EVP_sha256()) > 0);
    GENERAL_NAMES_free(names);
    return made;
}

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene);
    key = scene_key(&scene, "ec-p256");
    root_key = scene_key(&scene, "ec-p256");
    root = scene_certificate(&scene, root_key, "root", NULL, NULL, true);
    leaf = named("leaf.example", root, root_key);
    self = named("self.example", NULL, NULL);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    X509_free(self);
    X509_free(leaf);
    X509_free(root);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
    scene_close(&scene);
    return 0;
}

/* The codes with spaces between them, and the first sentence. */
static void judge(X509 *certificate, X509 *trusted, X509 *sent, const char *host, const char *codes,
                  const char *sentence)
{
    struct arena arena = {0};
    struct verdict verdict = {0};
    char told[256] = "";
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    assert_true(store != NULL && others != NULL);
    if (trusted != NULL)
        assert_int_equal(X509_STORE_add_cert(store, trusted), 1);
    if (sent != NULL)
        assert_true(sk_X509_push(others, sent) > 0);
    assert_ok(&scene, verdict_find(scene.crypto, store, certificate, others, host, host != NULL && host[0] == '1',
                                   &arena, &verdict, &scene.error));
    for (size_t i = 0; i < verdict.count; i++) {
        const size_t length = strlen(told);
        snprintf(told + length, sizeof(told) - length, "%s%s", i > 0 ? " " : "", verdict.problems[i].code);
    }
    assert_string_equal(told, codes);
    if (sentence != NULL && strstr(verdict.problems[0].sentence, sentence) == NULL)
        fail_msg("%s", verdict.problems[0].sentence);
    sk_X509_free(others);
    X509_STORE_free(store);
    arena_free(&arena);
}

static void find_trusted_tells_nothing(void **state)
{
    (void)state;
    judge(leaf, root, NULL, "leaf.example", "", NULL);
    judge(leaf, root, root, NULL, "", NULL);
    judge(self, self, NULL, "self.example", "", NULL);
}

static void find_untrusted_tells_why(void **state)
{
    (void)state;
    judge(self, NULL, NULL, "self.example", "self-signed", "not among those that this system trusts");
    judge(leaf, NULL, NULL, "leaf.example", "unknown-issuer", "CN=root");
    judge(leaf, NULL, root, "leaf.example", "unknown-root", "CN=root");
    judge(leaf, self, NULL, "leaf.example", "unknown-issuer", NULL);
    judge(self, NULL, NULL, "other.example", "self-signed name-mismatch", NULL);
    judge(self, self, NULL, "192.0.2.1", "name-mismatch", "not for this address, but for self.example");
}

/* Clients look at no common name (RFC 9525), and take a wildcard for one whole label. */
static void find_name_that_clients_do_not_take_is_a_mismatch(void **state)
{
    X509 *bare = scene_certificate(&scene, key, "bare.example", NULL, NULL, false);
    X509 *partial = named("w*.some.example", NULL, NULL), *whole = named("*.some.example", NULL, NULL);
    (void)state;
    judge(bare, bare, NULL, "bare.example", "name-mismatch", "no subject alternative names");
    judge(partial, partial, NULL, "www.some.example", "name-mismatch", NULL);
    judge(whole, whole, NULL, "www.some.example", "", NULL);
    X509_free(whole);
    X509_free(partial);
    X509_free(bare);
}

static void find_dates_and_names_are_told_together(void **state)
{
    X509 *past = named("past.example", NULL, NULL);
    X509 *future = named("future.example", NULL, NULL);
    (void)state;
    assert_true(ASN1_TIME_set_string(X509_getm_notBefore(past), "20200101000000Z"));
    assert_true(ASN1_TIME_set_string(X509_getm_notAfter(past), "20210101000000Z"));
    assert_true(X509_sign(past, key, EVP_sha256()) > 0);
    assert_true(ASN1_TIME_set_string(X509_getm_notBefore(future), "20990101000000Z"));
    assert_true(ASN1_TIME_set_string(X509_getm_notAfter(future), "20990102000000Z"));
    assert_true(X509_sign(future, key, EVP_sha256()) > 0);
    judge(past, past, NULL, "past.example", "expired", "valid until 2021-01-01T00:00:00Z");
    judge(past, NULL, NULL, "192.0.2.1", "self-signed name-mismatch expired", NULL);
    judge(future, future, NULL, "future.example", "not-yet-valid", "not valid before 2099-01-01T00:00:00Z");
    X509_free(future);
    X509_free(past);
}

static void find_wrong_signature_comes_first(void **state)
{
    EVP_PKEY *stranger = scene_key(&scene, "ec-p256");
    X509 *forged = named("forged.example", root, stranger);
    (void)state;
    judge(forged, root, NULL, "forged.example", "signature", "signature on the certificate CN=forged.example is wrong");
    X509_free(forged);
    EVP_PKEY_free(stranger);
}

static void store_takes_more_from_a_file(void **state)
{
    X509_STORE *store = NULL;
    kw_bytes der = {0};
    char path[256];
    const char *const files[] = {path};
    (void)state;
    assert_ok(&scene, x509_to_der(root, &der, &scene.error));
    scene_write(&scene, "root.der", (kw_input){der.data, der.length});
    snprintf(path, sizeof(path), "%s/root.der", scene.directory);
    assert_ok(&scene, verdict_store(scene.crypto, files, 1, true, &store, &scene.error));
    assert_int_equal(sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) >= 1, 1);
    X509_STORE_free(store);
    store = NULL;
    snprintf(path, sizeof(path), "%s/none.der", scene.directory);
    assert_status(&scene, KW_NOT_FOUND, verdict_store(scene.crypto, files, 1, true, &store, &scene.error));
    assert_null(store);
    kw_bytes_free(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find_trusted_tells_nothing),
        cmocka_unit_test(find_untrusted_tells_why),
        cmocka_unit_test(find_name_that_clients_do_not_take_is_a_mismatch),
        cmocka_unit_test(find_dates_and_names_are_told_together),
        cmocka_unit_test(find_wrong_signature_comes_first),
        cmocka_unit_test(store_takes_more_from_a_file),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
