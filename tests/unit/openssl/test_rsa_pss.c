/* RSA keys whose certificate says id-RSASSA-PSS: they sign by PSS alone, and as the certificate limits them. */
#include "keyring.h"

#include "store/key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

/* What their certificates say. An empty hash: nothing but PSS. */
static const struct form {
    const char *hash, *mgf;
    int salt;
    kw_hash wanted, wanted_mgf;
} forms[] = {
    {"", "", 0, KW_HASH_NONE, KW_HASH_NONE},
    {"SHA384", "SHA384", 50, KW_HASH_SHA384, KW_HASH_SHA384},
    {"SHA256", "SHA1", 20, KW_HASH_SHA256, KW_HASH_SHA1},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };
static const unsigned char text[] = "a message";

static struct ring ring;
static struct pair pairs[FORMS]; /* `ours` and `key` are limited, `plain` is not */
static EVP_PKEY *limited[FORMS]; /* the same as `plain`, limited, in the default provider: the judge */

/* The key in the default provider, as a certificate with these limits has it. */
static EVP_PKEY *limit(EVP_PKEY *key, const struct form *form)
{
    char hash[16], mgf[16];
    int salt = form->salt;
    EVP_PKEY *made = NULL;
    OSSL_PARAM *numbers = NULL;
    snprintf(hash, sizeof(hash), "%s", form->hash);
    snprintf(mgf, sizeof(mgf), "%s", form->mgf);
    OSSL_PARAM limits[] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end(),
                           OSSL_PARAM_construct_end()};
    if (hash[0] != '\0') {
        limits[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, hash, 0);
        limits[1] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, mgf, 0);
        limits[2] = OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &salt);
    }
    assert_libcrypto(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &numbers));
    OSSL_PARAM *all = OSSL_PARAM_merge(numbers, limits);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "RSA-PSS", "provider=default");
    assert_libcrypto(EVP_PKEY_fromdata_init(context));
    assert_libcrypto(EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, all));
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(all);
    OSSL_PARAM_free(numbers);
    return made;
}

static int open_all(void **state)
{
    kw_error error = {0};
    (void)state;
    ring_open(&ring);
    for (size_t i = 0; i < FORMS; i++) {
        unsigned char *spki = NULL;
        pairs[i] = ring_add(&ring, "rsa-2048");
        limited[i] = limit(pairs[i].plain, &forms[i]);
        const int length = i2d_PUBKEY(limited[i], &spki);
        assert_true(length > 0);
        assert_works(key_limit(pairs[i].key, (kw_input){spki, (size_t)length}, &error), &error);
        OPENSSL_free(spki);
        EVP_PKEY_free(pairs[i].ours);
        pairs[i].ours = NULL;
        assert_works(pkey_from_key(ring.crypto, pairs[i].key, &pairs[i].ours, &error), &error);
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        EVP_PKEY_free(limited[i]);
        pair_clear(&pairs[i]);
    }
    ring_close(&ring);
    return 0;
}

/* ---- The key ------------------------------------------------------------------------------------------- */

static void limited_key_is_what_its_certificate_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        unsigned char *spki = NULL;
        const int length = i2d_PUBKEY(limited[i], &spki);
        const kw_input public = kw_key_get_public(pairs[i].key);
        const kw_key_capabilities *can = kw_key_get_capabilities(pairs[i].key);
        const struct pss_limits *limits = key_pss(pairs[i].key);
        assert_int_equal(public.length, length);
        assert_memory_equal(public.data, spki, (size_t)length);
        OPENSSL_free(spki);
        assert_string_equal(key_name(pairs[i].key), "rsa-pss-2048");
        assert_int_equal(can->operations & (KW_CAN_SIGN | KW_CAN_DECRYPT), KW_CAN_SIGN);
        assert_int_equal(can->schemes, KW_BIT(KW_SCHEME_RSA_PSS));
        assert_int_equal((can->sign_hashes & KW_BIT(KW_HASH_SHA512)) != 0, i == 0);
        assert_true(limits->only);
        assert_int_equal(limits->hash, forms[i].wanted);
        assert_int_equal(limits->mgf_hash, forms[i].wanted_mgf);
        assert_int_equal(limits->salt_minimum, forms[i].salt);
        assert_true(EVP_PKEY_is_a(pairs[i].ours, "RSA-PSS"));
        assert_int_equal(EVP_PKEY_get_id(pairs[i].ours), EVP_PKEY_RSA_PSS);
        assert_int_equal(EVP_PKEY_eq(pairs[i].ours, limited[i]), 1);
        assert_true(crypto_pkey_is(pairs[i].ours, pairs[i].plain));
        assert_false(crypto_pkey_is(pairs[i].ours, pairs[(i + 1) % FORMS].plain));
    }
    ERR_clear_error();
}

/* In keywright.h's words: nobody gets by the certificate. */
static void key_does_nothing_else(void **state)
{
    static const kw_algorithm pkcs1 = {
        .size = sizeof(pkcs1), .scheme = KW_SCHEME_RSA_PKCS1, .hash = KW_HASH_SHA384, .is_message = 1};
    static const kw_algorithm oaep = {.size = sizeof(oaep), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256};
    static const struct {
        kw_hash hash, mgf;
        uint32_t salt;
        bool taken[FORMS];
    } cases[] = {
        {KW_HASH_SHA384, KW_HASH_SHA384, 50, {true, true, false}},
        {KW_HASH_SHA384, KW_HASH_NONE, 60, {true, true, false}},
        {KW_HASH_SHA384, KW_HASH_SHA384, 49, {true, false, false}},
        {KW_HASH_SHA384, KW_HASH_SHA256, 50, {true, false, false}},
        {KW_HASH_SHA256, KW_HASH_SHA1, 20, {true, false, true}},
        {KW_HASH_SHA256, KW_HASH_SHA1, 19, {true, false, false}},
        {KW_HASH_SHA256, KW_HASH_NONE, 32, {true, false, false}},
        {KW_HASH_SHA512, KW_HASH_SHA512, 64, {true, false, false}},
    };
    unsigned char bytes[512];
    const kw_input message = {text, sizeof(text)};
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        kw_error error = {0};
        kw_output output = {bytes, sizeof(bytes), 0};
        const uint64_t before = ring_calls(&ring);
        assert_int_equal(kw_key_sign(pairs[i].key, &pkcs1, message, &output, &error), KW_UNSUPPORTED);
        assert_non_null(strstr(error.message, "by PSS alone"));
        assert_int_equal(kw_key_decrypt(pairs[i].key, &oaep, (kw_input){bytes, 256}, &output, &error), KW_UNSUPPORTED);
        assert_int_equal(key_decrypt_pkcs1(pairs[i].key, (kw_input){bytes, 256}, &output, &error), KW_UNSUPPORTED);
        assert_int_equal(key_decrypt_tls(pairs[i].key, (kw_input){bytes, 256}, 0x303, 0, &output, &error),
                         KW_UNSUPPORTED);
        assert_int_equal(kw_key_encrypt(pairs[i].key, &oaep, message, &output, &error), KW_UNSUPPORTED);
        assert_int_equal(ring_calls(&ring), before);
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            const kw_algorithm pss = {.size = sizeof(pss),
                                      .scheme = KW_SCHEME_RSA_PSS,
                                      .hash = cases[j].hash,
                                      .mgf_hash = cases[j].mgf,
                                      .salt_length = cases[j].salt,
                                      .is_message = 1};
            const kw_status status = kw_key_sign(pairs[i].key, &pss, message, &output, &error);
            assert_int_equal(status, cases[j].taken[i] ? KW_OK : KW_UNSUPPORTED);
            if (status == KW_OK)
                assert_works(kw_key_verify(pairs[i].key, &pss, message, (kw_input){bytes, output.length}, &error),
                             &error);
        }
        /* By itself it takes what its certificate says. */
        assert_works(kw_key_sign(pairs[i].key, NULL, message, &output, &error), &error);
        assert_works(kw_key_verify(pairs[i].key, NULL, message, (kw_input){bytes, output.length}, &error), &error);
    }
}

static void odd_limits_are_refused(void **state)
{
    static const struct form odd[] = {{"SHA512-256", "SHA256", 20, 0, 0}, {"SHA256", "SHA512-256", 20, 0, 0}};
    unsigned char *spki = NULL;
    struct pair pair = ring_add(&ring, "rsa-2048"), curve = ring_add(&ring, "ec-p256");
    kw_error error = {0};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = limit(pair.plain, &odd[i]);
        spki = NULL;
        const int length = i2d_PUBKEY(key, &spki);
        assert_int_equal(key_limit(pair.key, (kw_input){spki, (size_t)length}, &error), KW_UNSUPPORTED);
        OPENSSL_free(spki);
        EVP_PKEY_free(key);
    }
    assert_int_equal(key_limit(pair.key, (kw_input){(const unsigned char *)"0", 1}, &error), KW_CORRUPT);
    /* What is no certificate's of that kind limits nothing. */
    assert_works(key_limit(pair.key, (kw_input){pair.spki, (size_t)pair.spki_length}, &error), &error);
    assert_works(key_limit(curve.key, (kw_input){curve.spki, (size_t)curve.spki_length}, &error), &error);
    assert_false(key_pss(pair.key)->only);
    assert_string_equal(key_name(pair.key), "rsa-2048");
    pair_clear(&curve);
    pair_clear(&pair);
    ERR_clear_error();
}

/* ---- libcrypto ------------------------------------------------------------------------------------------- */

/* With what a program sets; NULL: nothing. Whether it could be begun and signed, and then it is verified by the judge. */
static bool signs(EVP_PKEY *ours, EVP_PKEY *judge, const char *hash, const char *settings[][2])
{
    unsigned char signature[512];
    size_t length = sizeof(signature);
    EVP_MD_CTX *signer = EVP_MD_CTX_new(), *verifier = EVP_MD_CTX_new();
    EVP_PKEY_CTX *context = NULL;
    bool made = EVP_DigestSignInit_ex(signer, &context, hash, ring.crypto->library, NULL, ours, NULL) == 1;
    for (size_t i = 0; made && settings != NULL && settings[i][0] != NULL; i++)
        made = EVP_PKEY_CTX_ctrl_str(context, settings[i][0], settings[i][1]) > 0;
    made = made && EVP_DigestSign(signer, signature, &length, text, sizeof(text)) == 1;
    if (made) {
        assert_libcrypto(EVP_DigestVerifyInit_ex(verifier, &context, hash, ring.crypto->library, NULL, judge, NULL));
        for (size_t i = 0; settings != NULL && settings[i][0] != NULL; i++)
            assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, settings[i][0], settings[i][1]));
        assert_libcrypto(EVP_DigestVerify(verifier, signature, length, text, sizeof(text)));
        signature[length / 2] ^= 1;
        assert_libcrypto(EVP_DigestVerifyInit_ex(verifier, NULL, hash, ring.crypto->library, NULL, judge, NULL));
        assert_true(EVP_DigestVerify(verifier, signature, length, text, sizeof(text)) != 1);
    }
    EVP_MD_CTX_free(signer);
    EVP_MD_CTX_free(verifier);
    ERR_clear_error();
    return made;
}

static void programs_sign_by_pss_alone(void **state)
{
    static const char *pkcs1[][2] = {{"rsa_padding_mode", "pkcs1"}, {NULL, NULL}};
    static const char *pss[][2] = {{"rsa_padding_mode", "pss"}, {NULL, NULL}};
    static const char *digest[][2] = {{"rsa_pss_saltlen", "digest"}, {NULL, NULL}};
    static const char *longest[][2] = {{"rsa_pss_saltlen", "max"}, {NULL, NULL}};
    static const char *salt[][2] = {{"rsa_pss_saltlen", "19"}, {NULL, NULL}};
    static const char *mgf[][2] = {{"rsa_mgf1_md", "SHA224"}, {NULL, NULL}};
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        assert_true(signs(pairs[i].ours, limited[i], NULL, NULL));
        assert_true(signs(pairs[i].ours, limited[i], NULL, pss));
        assert_true(signs(pairs[i].ours, limited[i], NULL, longest));
        assert_false(signs(pairs[i].ours, limited[i], NULL, pkcs1));
        assert_int_equal(signs(pairs[i].ours, limited[i], NULL, digest), i != 1); /* 48 is less than 50 */
        assert_int_equal(signs(pairs[i].ours, limited[i], NULL, salt), i == 0);
        if (i != 0)
            assert_false(signs(pairs[i].ours, limited[i], NULL, mgf));
        assert_int_equal(signs(pairs[i].ours, limited[i], "SHA256", NULL), i != 1);
        assert_int_equal(signs(pairs[i].ours, limited[i], "SHA384", NULL), i != 2);
        assert_int_equal(signs(pairs[i].ours, limited[i], "SHA512", NULL), i == 0);
    }
}

/* TLS asks so which of its algorithms a key can do. */
static void beginning_tells_what_the_key_can(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        char name[16] = "";
        const uint64_t before = ring_calls(&ring);
        assert_int_equal(EVP_PKEY_digestsign_supports_digest(pairs[i].ours, ring.crypto->library, "SHA512", NULL) > 0,
                         i == 0);
        assert_true(EVP_PKEY_digestsign_supports_digest(pairs[i].ours, ring.crypto->library,
                                                        i == 0 ? "SHA224" : forms[i].hash, NULL) > 0);
        /* 2: no other. */
        assert_int_equal(EVP_PKEY_get_default_digest_name(pairs[i].ours, name, sizeof(name)), i == 0 ? 1 : 2);
        assert_int_equal(ring_calls(&ring), before);
    }
    ERR_clear_error();
}

static void decryption_and_encryption_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pairs[i].ours, NULL);
        assert_true(EVP_PKEY_decrypt_init(context) <= 0);
        assert_true(EVP_PKEY_encrypt_init(context) <= 0);
        EVP_PKEY_CTX_free(context);
    }
    ERR_clear_error();
}

static void certificates_are_signed_and_verified(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        X509 *certificate = X509_new_ex(ring.crypto->library, NULL);
        const char *hash = i == 0 ? "SHA512" : forms[i].hash;
        EVP_MD *digest = EVP_MD_fetch(ring.crypto->library, hash, NULL);
        assert_libcrypto(X509_set_pubkey(certificate, pairs[i].ours));
        X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
        X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
        assert_libcrypto(X509_sign(certificate, pairs[i].ours, digest));
        assert_int_equal(X509_get_signature_nid(certificate), NID_rsassaPss);
        assert_libcrypto(X509_verify(certificate, limited[i]));
        assert_libcrypto(X509_verify(certificate, pairs[i].ours));
        assert_libcrypto(X509_verify(certificate, X509_get0_pubkey(certificate)));
        EVP_MD_free(digest);
        X509_free(certificate);
    }
}

/* For programs that find this provider first. */
static void keys_of_programs_are_limited_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        OSSL_PARAM *parameters = NULL;
        EVP_PKEY *public = NULL, *made = NULL;
        assert_libcrypto(EVP_PKEY_todata(limited[i], EVP_PKEY_PUBLIC_KEY, &parameters));
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "RSA-PSS", "provider=keywright");
        assert_libcrypto(EVP_PKEY_fromdata_init(context));
        assert_libcrypto(EVP_PKEY_fromdata(context, &public, EVP_PKEY_PUBLIC_KEY, parameters));
        assert_true(signs(pairs[i].ours, public, NULL, NULL));
        assert_int_equal(EVP_PKEY_eq(public, limited[i]), 1);
        EVP_PKEY_CTX_free(context);
        OSSL_PARAM_free(parameters);

        context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "RSA-PSS", "provider=keywright");
        assert_libcrypto(EVP_PKEY_keygen_init(context));
        assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, "rsa_keygen_bits", "1024"));
        if (i != 0) {
            assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, "rsa_pss_keygen_md", forms[i].hash));
            assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, "rsa_pss_keygen_mgf1_md", forms[i].mgf));
            assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, "rsa_pss_keygen_saltlen", "20"));
        }
        assert_libcrypto(EVP_PKEY_generate(context, &made));
        EVP_PKEY_CTX_free(context);
        assert_true(signs(made, made, NULL, NULL));
        assert_int_equal(signs(made, made, "SHA224", NULL), i == 0);
        EVP_PKEY_free(made);
        EVP_PKEY_free(public);
    }
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limited_key_is_what_its_certificate_says),
        cmocka_unit_test(key_does_nothing_else),
        cmocka_unit_test(odd_limits_are_refused),
        cmocka_unit_test(programs_sign_by_pss_alone),
        cmocka_unit_test(beginning_tells_what_the_key_can),
        cmocka_unit_test(decryption_and_encryption_are_refused),
        cmocka_unit_test(certificates_are_signed_and_verified),
        cmocka_unit_test(keys_of_programs_are_limited_too),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
