/* Reasons why a certificate is not trusted, all at once and in order. */
#include "scene.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "certificate/x509.h"
#include "tls/verdict.h"

#include <malloc.h>

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
    const struct verdict_wanted wanted = {
        .certificate = certificate, .others = others, .host = host, .is_address = host != NULL && host[0] == '1'};
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
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

/* ---- Of strangers ---- */

/* Self-signed, with so many names of one letter, and so many parts of the subject. */
static X509 *endless(int names, int parts)
{
    X509 *made = scene_certificate(&scene, key, "endless", NULL, NULL, false);
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    X509_NAME *subject = X509_get_subject_name(made);
    for (int i = 0; i < names; i++)
        assert_true(sk_GENERAL_NAME_push(all, a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_DNS, "a", 0)) > 0);
    assert_int_equal(X509_add1_ext_i2d(made, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT), 1);
    for (int i = 0; i < parts; i++)
        assert_int_equal(
            X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"\xc3\xa9", -1, 0, 0), 1);
    assert_int_equal(X509_set_issuer_name(made, subject), 1);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    GENERAL_NAMES_free(all);
    return made;
}

static size_t memory(void)
{
    const struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
}

/* As many as libssl lets pass: memory grows with their number alone, and not with its square; and somebody can read what is said. */
static void find_of_endless_names_is_bounded(void **state)
{
    X509 *bomb = endless(33000, 0);
    struct arena arena = {0};
    struct verdict verdict = {0};
    const struct verdict_wanted wanted = {.certificate = bomb, .host = "other.example"};
    X509_STORE *store = X509_STORE_new();
    const size_t before = memory();
    (void)state;
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    assert_int_equal(verdict.count, 2);
    assert_string_equal(verdict.problems[1].code, "name-mismatch");
    assert_string_equal(verdict.problems[1].sentence, "the certificate is not for this name, but for a, a, a, a, a, a, "
                                                      "a, a, a, a, a, a, a, a, a, a, a, a, a, a and 32980 more");
    /* Of allocators other than glibc's own it counts nothing. */
    assert_true(memory() < before + 12000000);
    assert_int_equal(verdict.places[1].concerned->san_count, 33000);
    arena_free(&arena);
    X509_STORE_free(store);
    X509_free(bomb);
}

static void find_of_an_endless_issuer_is_bounded(void **state)
{
    X509 *bomb = endless(0, 5000), *issued = scene_certificate(&scene, key, "issued", bomb, key, false);
    struct arena arena = {0};
    struct verdict verdict = {0};
    const struct verdict_wanted wanted = {.certificate = issued};
    X509_STORE *store = X509_STORE_new();
    (void)state;
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    assert_string_equal(verdict.problems[0].code, "unknown-issuer");
    const char *sentence = verdict.problems[0].sentence;
    assert_true(strlen(sentence) < 700);
    assert_non_null(strstr(sentence, "bytes more)"));
    /* Cut between characters. */
    assert_true(text_is_clean(sentence, strlen(sentence)));
    arena_free(&arena);
    X509_STORE_free(store);
    X509_free(issued);
    X509_free(bomb);
}

/* What can be read of it is told. */
static void find_of_a_malformed_date_names_the_certificate(void **state)
{
    EVP_PKEY *stranger = scene_key(&scene, "ec-p256");
    X509 *odd = named("odd.example", root, root_key);
    struct arena arena = {0};
    struct verdict verdict = {0};
    const struct verdict_wanted wanted = {.certificate = odd, .host = "odd.example"};
    X509_STORE *store = X509_STORE_new();
    (void)state;
    assert_int_equal(ASN1_STRING_set(X509_getm_notAfter(odd), "tomorrow", -1), 1);
    assert_true(X509_sign(odd, stranger, EVP_sha256()) > 0);
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    assert_string_equal(verdict.problems[0].sentence, "the signature on the certificate CN=odd.example is wrong");
    assert_string_equal(verdict.places[0].concerned->not_after_text, "unreadable");
    arena_free(&arena);
    X509_STORE_free(store);
    X509_free(odd);
    EVP_PKEY_free(stranger);
}

/* A path of so many authorities between the leaf and the root. */
static void judge_path(int length, const char *codes, const char *sentence)
{
    X509 *above = root;
    struct arena arena = {0};
    struct verdict verdict = {0};
    char told[256] = "";
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    for (int i = 0; i < length; i++) {
        char name[32];
        snprintf(name, sizeof(name), "authority %d", i);
        X509 *next = scene_certificate(&scene, root_key, name, above, root_key, true);
        assert_true(sk_X509_push(others, next) > 0);
        above = next;
    }
    X509 *last = named("far.example", above, root_key);
    const struct verdict_wanted wanted = {.certificate = last, .others = others, .host = "far.example"};
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    for (size_t i = 0; i < verdict.count; i++)
        snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s ", verdict.problems[i].code);
    assert_string_equal(told, codes);
    if (sentence != NULL)
        assert_non_null(strstr(verdict.problems[verdict.count - 1].sentence, sentence));
    X509_free(last);
    sk_X509_pop_free(others, X509_free);
    X509_STORE_free(store);
    arena_free(&arena);
}

static void find_follows_no_endless_path(void **state)
{
    (void)state;
    judge_path(VERDICT_DEPTH_MAXIMUM, "", NULL);
    judge_path(VERDICT_DEPTH_MAXIMUM + 1, "verification ", "chain too long");
}

static void find_stops_when_the_time_is_up(void **state)
{
    struct arena arena = {0};
    struct verdict verdict = {.count = 7};
    struct verdict_wanted wanted = {.certificate = leaf, .host = "leaf.example", .deadline = clock_milliseconds()};
    X509_STORE *store = X509_STORE_new();
    (void)state;
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_status(&scene, KW_TIMEOUT, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    assert_int_equal(verdict.count, 7);
    wanted.deadline += 600000;
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    assert_int_equal(verdict.count, 0);
    X509_STORE_free(store);
    arena_free(&arena);
}

/* What the name was refused for is gone, and all else is where it was. */
static void forget_name_leaves_all_else(void **state)
{
    struct arena arena = {0};
    struct verdict verdict = {0};
    X509 *past = named("past.example", root, root_key);
    const struct verdict_wanted wanted = {.certificate = past, .host = "192.0.2.1", .is_address = true};
    X509_STORE *store = X509_STORE_new();
    (void)state;
    assert_true(ASN1_TIME_set_string(X509_getm_notAfter(past), "20210101000000Z"));
    assert_true(X509_sign(past, root_key, EVP_sha256()) > 0);
    assert_int_equal(X509_STORE_add_cert(store, root), 1);
    assert_ok(&scene, verdict_find(scene.crypto, store, &wanted, &arena, &verdict, &scene.error));
    assert_int_equal(verdict.count, 2);
    assert_int_equal(verdict.places[0].error, X509_V_ERR_IP_ADDRESS_MISMATCH);
    verdict_forget_name(&verdict);
    assert_int_equal(verdict.count, 1);
    assert_string_equal(verdict.problems[0].code, "expired");
    assert_int_equal(verdict.places[0].error, X509_V_ERR_CERT_HAS_EXPIRED);
    assert_string_equal(verdict.places[0].concerned->subject, "CN=past.example");
    X509_STORE_free(store);
    X509_free(past);
    arena_free(&arena);
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
        cmocka_unit_test(find_of_endless_names_is_bounded),
        cmocka_unit_test(find_of_an_endless_issuer_is_bounded),
        cmocka_unit_test(find_of_a_malformed_date_names_the_certificate),
        cmocka_unit_test(find_follows_no_endless_path),
        cmocka_unit_test(find_stops_when_the_time_is_up),
        cmocka_unit_test(forget_name_leaves_all_else),
        cmocka_unit_test(store_takes_more_from_a_file),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
