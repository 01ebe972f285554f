/* Signatures through the store, judged by libcrypto with the plain key. */
#include "keyring.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static const unsigned char text[] = "a message that is signed";
static const char *const hashes[] = {"SHA224", "SHA256", "SHA384", "SHA512", "SHA2-256"};
enum { HASHES = sizeof(hashes) / sizeof(hashes[0]) };

static struct ring ring;
static struct pair rsa, p256, p521, ed25519;

static int open_all(void **state)
{
    (void)state;
    ring_open(&ring);
    rsa = ring_add(&ring, "rsa-2048");
    p256 = ring_add(&ring, "ec-p256");
    p521 = ring_add(&ring, "ec-p521");
    ed25519 = ring_add(&ring, "ed25519");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    pair_clear(&rsa);
    pair_clear(&p256);
    pair_clear(&p521);
    pair_clear(&ed25519);
    ring_close(&ring);
    return 0;
}

struct form {
    const char *hash;
    int padding; /* 0: none is set */
    const char *salt;
    const char *mgf;
};

static void set_form(EVP_PKEY_CTX *context, const struct form *form)
{
    if (form->padding != 0)
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, form->padding));
    if (form->salt != NULL)
        assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, "rsa_pss_saltlen", form->salt));
    if (form->mgf != NULL)
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, form->mgf, NULL));
}

static size_t digest_sign(EVP_PKEY *key, const struct form *form, unsigned char *signature, size_t room)
{
    EVP_PKEY_CTX *parameters = NULL;
    size_t length = room;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, &parameters, form->hash, ring.crypto->library, NULL, key, NULL));
    set_form(parameters, form);
    assert_libcrypto(EVP_DigestSign(context, signature, &length, text, sizeof(text)));
    EVP_MD_CTX_free(context);
    return length;
}

static int digest_verify(EVP_PKEY *key, const struct form *form, const unsigned char *signature, size_t length)
{
    EVP_PKEY_CTX *parameters = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestVerifyInit_ex(context, &parameters, form->hash, ring.crypto->library, NULL, key, NULL));
    set_form(parameters, form);
    const int valid = EVP_DigestVerify(context, signature, length, text, sizeof(text));
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return valid;
}

/* Ours signs and both verify; the plain key signs and ours verifies; a changed signature is refused by both. */
static void check_form(const struct pair *pair, const struct form *form)
{
    unsigned char signature[600];
    size_t length = digest_sign(pair->ours, form, signature, sizeof(signature));
    assert_int_equal(digest_verify(pair->plain, form, signature, length), 1);
    assert_int_equal(digest_verify(pair->ours, form, signature, length), 1);
    signature[length - 1] ^= 1;
    assert_int_not_equal(digest_verify(pair->plain, form, signature, length), 1);
    assert_int_not_equal(digest_verify(pair->ours, form, signature, length), 1);
    length = digest_sign(pair->plain, form, signature, sizeof(signature));
    assert_int_equal(digest_verify(pair->ours, form, signature, length), 1);
}

static void digest_sign_by_every_hash_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < HASHES; i++) {
        check_form(&rsa, &(struct form){.hash = hashes[i]});
        check_form(&rsa, &(struct form){.hash = hashes[i], .padding = RSA_PKCS1_PADDING});
        check_form(&rsa, &(struct form){.hash = hashes[i], .padding = RSA_PKCS1_PSS_PADDING});
        check_form(&p256, &(struct form){.hash = hashes[i]});
        check_form(&p521, &(struct form){.hash = hashes[i]});
    }
    check_form(&ed25519, &(struct form){.hash = NULL});
}

static void digest_sign_with_pss_parameters_verifies(void **state)
{
    (void)state;
    static const char *const salts[] = {"digest", "max", "auto", "0", "20"};
    for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        check_form(&rsa, &(struct form){"SHA256", RSA_PKCS1_PSS_PADDING, salts[i], NULL});
        check_form(&rsa, &(struct form){"SHA256", RSA_PKCS1_PSS_PADDING, salts[i], "SHA512"});
    }
}

/* A verifier that wants a certain length sees which one was used. */
static void pss_salt_is_as_long_as_asked(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *expected;
    } salts[] = {{"digest", "32"}, {"max", "222"}, {"auto", "32"}, {"7", "7"}};
    unsigned char signature[256];
    for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        const struct form form = {"SHA256", RSA_PKCS1_PSS_PADDING, salts[i].asked, NULL};
        const struct form exact = {"SHA256", RSA_PKCS1_PSS_PADDING, salts[i].expected, NULL};
        const struct form other = {"SHA256", RSA_PKCS1_PSS_PADDING, "33", NULL};
        const size_t length = digest_sign(rsa.ours, &form, signature, sizeof(signature));
        assert_int_equal(digest_verify(rsa.plain, &exact, signature, length), 1);
        assert_int_not_equal(digest_verify(rsa.plain, &other, signature, length), 1);
    }
}

static void pss_salt_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    EVP_PKEY_CTX *parameters = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    kw_error error = {0};
    assert_libcrypto(EVP_DigestSignInit_ex(context, &parameters, "SHA256", ring.crypto->library, NULL, rsa.ours, NULL));
    set_form(parameters, &(struct form){"SHA256", RSA_PKCS1_PSS_PADDING, "223", NULL});
    const uint64_t before = ring_calls(&ring);
    assert_true(EVP_DigestSign(context, signature, &length, text, sizeof(text)) <= 0);
    assert_int_equal(ring_calls(&ring), before);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_INVALID_ARGUMENT);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
}

static void digest_sign_in_parts_equals_one_shot(void **state)
{
    (void)state;
    unsigned char whole[256], parts[256];
    size_t length = sizeof(parts);
    const struct form form = {.hash = "SHA256"};
    assert_int_equal(digest_sign(rsa.ours, &form, whole, sizeof(whole)), sizeof(whole));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, rsa.ours, NULL));
    for (size_t i = 0; i < sizeof(text); i++)
        assert_libcrypto(EVP_DigestSignUpdate(context, text + i, 1));
    assert_libcrypto(EVP_DigestSignFinal(context, parts, &length));
    assert_int_equal(length, sizeof(whole));
    assert_memory_equal(parts, whole, sizeof(whole)); /* PKCS#1 v1.5 is deterministic */
    EVP_MD_CTX_free(context);
}

/* libcrypto finalises a copy, so that more may follow. */
static void digest_sign_goes_on_after_a_final(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, rsa.ours, NULL));
    assert_libcrypto(EVP_DigestSignUpdate(context, text, 5));
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    assert_libcrypto(EVP_MD_CTX_copy_ex(copy, context));
    assert_libcrypto(EVP_DigestSignFinal(context, signature, &length));
    length = sizeof(signature);
    assert_libcrypto(EVP_DigestSignUpdate(copy, text + 5, sizeof(text) - 5));
    assert_libcrypto(EVP_DigestSignFinal(copy, signature, &length));
    assert_int_equal(digest_verify(rsa.plain, &(struct form){.hash = "SHA256"}, signature, length), 1);
    EVP_MD_CTX_free(context);
    EVP_MD_CTX_free(copy);
}

static void sign_of_a_digest_verifies(void **state)
{
    (void)state;
    const struct pair *pairs[] = {&rsa, &p256, &p521};
    unsigned char digest[32], signature[600];
    assert_libcrypto(EVP_Q_digest(ring.crypto->library, "SHA256", NULL, text, sizeof(text), digest, NULL));
    for (size_t i = 0; i < 3; i++) {
        size_t length = sizeof(signature);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pairs[i]->ours, NULL);
        assert_libcrypto(EVP_PKEY_sign_init(context));
        assert_libcrypto(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()));
        assert_libcrypto(EVP_PKEY_sign(context, signature, &length, digest, sizeof(digest)));
        EVP_PKEY_CTX_free(context);
        assert_int_equal(digest_verify(pairs[i]->plain, &(struct form){.hash = "SHA256"}, signature, length), 1);

        context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pairs[i]->ours, NULL);
        assert_libcrypto(EVP_PKEY_verify_init(context));
        assert_libcrypto(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()));
        assert_libcrypto(EVP_PKEY_verify(context, signature, length, digest, sizeof(digest)));
        EVP_PKEY_CTX_free(context);
    }
}

static void sign_of_a_digest_of_wrong_length_is_refused(void **state)
{
    (void)state;
    unsigned char digest[31] = {0}, signature[256];
    size_t length = sizeof(signature);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    const uint64_t before = ring_calls(&ring);
    kw_error error = {0};
    assert_libcrypto(EVP_PKEY_sign_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()));
    assert_true(EVP_PKEY_sign(context, signature, &length, digest, sizeof(digest)) <= 0);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_INVALID_ARGUMENT);
    assert_int_equal(ring_calls(&ring), before);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
}

static void null_buffer_asks_for_the_length_without_a_call(void **state)
{
    (void)state;
    const struct pair *pairs[] = {&rsa, &p256, &p521, &ed25519};
    const uint64_t before = ring_calls(&ring);
    for (size_t i = 0; i < 4; i++) {
        size_t length = 0;
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        const char *hash = pairs[i]->kind->type == KW_KEY_ED25519 ? NULL : "SHA256";
        assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, hash, ring.crypto->library, NULL, pairs[i]->ours, NULL));
        assert_libcrypto(EVP_DigestSign(context, NULL, &length, text, sizeof(text)));
        assert_int_equal(length, EVP_PKEY_get_size(pairs[i]->plain));
        EVP_MD_CTX_free(context);
    }
    assert_int_equal(ring_calls(&ring), before);
}

static void length_question_leaves_the_message_as_it_is(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, rsa.ours, NULL));
    assert_libcrypto(EVP_DigestSignUpdate(context, text, sizeof(text)));
    assert_libcrypto(EVP_DigestSignFinal(context, NULL, &length));
    assert_int_equal(length, sizeof(signature));
    assert_libcrypto(EVP_DigestSignFinal(context, signature, &length));
    assert_int_equal(digest_verify(rsa.plain, &(struct form){.hash = "SHA256"}, signature, length), 1);
    EVP_MD_CTX_free(context);
}

/* TLS does this at each handshake. */
static void digest_sign_init_calls_no_backend(void **state)
{
    (void)state;
    const uint64_t before = ring_calls(&ring);
    for (int i = 0; i < 10; i++) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, p256.ours, NULL));
        EVP_MD_CTX_free(context);
    }
    assert_int_equal(ring_calls(&ring), before);
}

static void sign_is_one_call_of_the_backend(void **state)
{
    (void)state;
    unsigned char signature[600];
    const struct pair *pairs[] = {&rsa, &p256, &ed25519};
    for (size_t i = 0; i < 3; i++) {
        const uint64_t before = ring_calls(&ring);
        const struct form form = {.hash = pairs[i]->kind->type == KW_KEY_ED25519 ? NULL : "SHA256"};
        digest_sign(pairs[i]->ours, &form, signature, sizeof(signature));
        assert_int_equal(ring_calls(&ring), before + 1);
    }
}

static void short_buffer_is_refused_without_a_call(void **state)
{
    (void)state;
    unsigned char signature[255];
    size_t length = sizeof(signature);
    const uint64_t before = ring_calls(&ring);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, rsa.ours, NULL));
    assert_true(EVP_DigestSign(context, signature, &length, text, sizeof(text)) <= 0);
    assert_int_equal(ring_calls(&ring), before);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
}

static void algorithm_id_equals_the_plain_keys(void **state)
{
    (void)state;
    static const struct form forms[] = {
        {"SHA256", 0, NULL, NULL},
        {"SHA512", RSA_PKCS1_PADDING, NULL, NULL},
        {"SHA256", RSA_PKCS1_PSS_PADDING, "digest", NULL},
        {"SHA384", RSA_PKCS1_PSS_PADDING, "20", "SHA256"},
        {"SHA256", RSA_PKCS1_PSS_PADDING, "max", NULL},
    };
    const struct pair *pairs[] = {&rsa, &p256, &p521, &ed25519};
    const uint64_t before = ring_calls(&ring);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < (pairs[i] == &rsa ? 5u : 2u); j++) {
            unsigned char ids[2][128];
            size_t lengths[2] = {0, 0};
            EVP_PKEY *keys[2] = {pairs[i]->ours, pairs[i]->plain};
            struct form form = forms[j];
            if (pairs[i] != &rsa)
                form.padding = 0;
            if (pairs[i] == &ed25519)
                form.hash = NULL;
            for (size_t k = 0; k < 2; k++) {
                EVP_PKEY_CTX *parameters = NULL;
                EVP_MD_CTX *context = EVP_MD_CTX_new();
                OSSL_PARAM asked[] = {
                    OSSL_PARAM_construct_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, ids[k], sizeof(ids[k])),
                    OSSL_PARAM_construct_end()};
                assert_libcrypto(
                    EVP_DigestSignInit_ex(context, &parameters, form.hash, ring.crypto->library, NULL, keys[k], NULL));
                set_form(parameters, &form);
                assert_libcrypto(EVP_PKEY_CTX_get_params(parameters, asked));
                lengths[k] = asked[0].return_size;
                EVP_MD_CTX_free(context);
            }
            assert_true(lengths[0] > 0);
            assert_int_equal(lengths[0], lengths[1]);
            assert_memory_equal(ids[0], ids[1], lengths[0]);
        }
    }
    assert_int_equal(ring_calls(&ring), before);
}

static void settings_are_told_back(void **state)
{
    (void)state;
    int padding = 0, salt = 0;
    const EVP_MD *digest = NULL, *mgf = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_sign_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_signature_md(context, EVP_sha384()));
    set_form(context, &(struct form){NULL, RSA_PKCS1_PSS_PADDING, "17", "SHA256"});
    assert_libcrypto(EVP_PKEY_CTX_get_rsa_padding(context, &padding));
    assert_libcrypto(EVP_PKEY_CTX_get_rsa_pss_saltlen(context, &salt));
    assert_libcrypto(EVP_PKEY_CTX_get_signature_md(context, &digest));
    assert_libcrypto(EVP_PKEY_CTX_get_rsa_mgf1_md(context, &mgf));
    assert_int_equal(padding, RSA_PKCS1_PSS_PADDING);
    assert_int_equal(salt, 17);
    assert_int_equal(EVP_MD_get_type(digest), NID_sha384);
    assert_int_equal(EVP_MD_get_type(mgf), NID_sha256);
    EVP_PKEY_CTX_free(context);
}

static void unknown_parameters_are_refused(void **state)
{
    (void)state;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_sign_init(context));
    assert_true(EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) <= 0);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(context, RSA_X931_PADDING) <= 0);
    assert_true(EVP_PKEY_CTX_set_signature_md(context, EVP_md5()) <= 0);
    assert_true(EVP_PKEY_CTX_set_signature_md(context, EVP_sha3_256()) <= 0);
    EVP_PKEY_CTX_free(context);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    assert_true(EVP_DigestSignInit_ex(digest, NULL, "MD5", ring.crypto->library, NULL, rsa.ours, NULL) <= 0);
    EVP_MD_CTX_free(digest);
    ERR_clear_error();
    pkey_take_error(NULL);
}

static void sha1_signs_nothing_and_still_verifies(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    kw_error error = {0};
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA1", ring.crypto->library, NULL, rsa.ours, NULL));
    assert_true(EVP_DigestSign(context, signature, &length, text, sizeof(text)) <= 0);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_REFUSED);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    const struct form form = {.hash = "SHA1"};
    length = digest_sign(rsa.plain, &form, signature, sizeof(signature));
    assert_int_equal(digest_verify(rsa.ours, &form, signature, length), 1);
}

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
/* OpenSSL 3.4: algorithms with the hash in their name sign and verify whole messages, at once and in parts; of our keys by our provider. */
static void sign_message_verifies(void **state)
{
    (void)state;
    const struct {
        const struct pair *pair;
        const char *name, *hash;
    } cases[] = {{&rsa, "RSA-SHA256", "SHA256"},
                 {&rsa, "RSA-SHA2-512", "SHA512"},
                 {&rsa, "sha384WithRSAEncryption", "SHA384"},
                 {&p256, "ECDSA-SHA224", "SHA224"},
                 {&p256, "ECDSA-SHA2-256", "SHA256"},
                 {&p521, "ecdsa-with-SHA512", "SHA512"},
                 {&ed25519, "ED25519", NULL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EVP_PKEY *key = cases[i].pair->ours;
        EVP_SIGNATURE *algorithm = EVP_SIGNATURE_fetch(ring.crypto->library, cases[i].name, "provider=keywright");
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, key, "provider=keywright");
        unsigned char signature[600];
        size_t length = 0;
        uint64_t before = ring_calls(&ring);
        assert_non_null(algorithm);
        assert_libcrypto(EVP_PKEY_sign_message_init(context, algorithm, NULL));
        assert_libcrypto(EVP_PKEY_sign(context, NULL, &length, text, sizeof(text)));
        assert_int_equal(ring_calls(&ring), before);
        length = sizeof(signature);
        assert_libcrypto(EVP_PKEY_sign(context, signature, &length, text, sizeof(text)));
        assert_int_equal(ring_calls(&ring), before + 1);
        assert_int_equal(digest_verify(cases[i].pair->plain, &(struct form){.hash = cases[i].hash}, signature, length),
                         1);
        assert_libcrypto(EVP_PKEY_verify_message_init(context, algorithm, NULL));
        assert_libcrypto(EVP_PKEY_verify(context, signature, length, text, sizeof(text)));
        assert_libcrypto(EVP_PKEY_verify_message_init(context, algorithm, NULL));
        assert_int_not_equal(EVP_PKEY_verify(context, signature, length, text, sizeof(text) - 1), 1);
        if (cases[i].hash != NULL) {
            assert_libcrypto(EVP_PKEY_verify_message_init(context, algorithm, NULL));
            assert_libcrypto(EVP_PKEY_CTX_set_signature(context, signature, length));
            assert_libcrypto(EVP_PKEY_verify_message_update(context, text, 3));
            assert_libcrypto(EVP_PKEY_verify_message_update(context, text + 3, sizeof(text) - 3));
            assert_libcrypto(EVP_PKEY_verify_message_final(context));
            length = sizeof(signature);
            assert_libcrypto(EVP_PKEY_sign_message_init(context, algorithm, NULL));
            assert_libcrypto(EVP_PKEY_sign_message_update(context, text, 7));
            assert_libcrypto(EVP_PKEY_sign_message_update(context, text + 7, sizeof(text) - 7));
            assert_libcrypto(EVP_PKEY_sign_message_final(context, signature, &length));
            assert_int_equal(
                digest_verify(cases[i].pair->plain, &(struct form){.hash = cases[i].hash}, signature, length), 1);
            assert_true(EVP_PKEY_CTX_set_signature_md(context, EVP_sha1()) <= 0);
            ERR_clear_error();
        }
        EVP_PKEY_CTX_free(context);
        EVP_SIGNATURE_free(algorithm);
    }
}
#endif

static X509 *make_certificate(const struct pair *pair, const struct form *form)
{
    EVP_PKEY_CTX *parameters = NULL;
    X509 *certificate = X509_new_ex(ring.crypto->library, NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    assert_libcrypto(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0));
    assert_libcrypto(X509_set_version(certificate, X509_VERSION_3));
    assert_libcrypto(X509_set_issuer_name(certificate, name));
    assert_libcrypto(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    assert_libcrypto(X509_set_pubkey(certificate, pair->ours));
    assert_libcrypto(
        EVP_DigestSignInit_ex(context, &parameters, form->hash, ring.crypto->library, NULL, pair->ours, NULL));
    set_form(parameters, form);
    assert_libcrypto(X509_sign_ctx(certificate, context));
    EVP_MD_CTX_free(context);
    return certificate;
}

static void x509_sign_verifies_with_both_keys(void **state)
{
    (void)state;
    static const struct form forms[] = {{"SHA256", 0, NULL, NULL},
                                        {"SHA512", RSA_PKCS1_PSS_PADDING, "digest", NULL},
                                        {"SHA256", RSA_PKCS1_PSS_PADDING, "auto", NULL}};
    const struct pair *pairs[] = {&rsa, &p256, &p521, &ed25519};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < (pairs[i] == &rsa ? 3u : 1u); j++) {
            struct form form = forms[j];
            if (pairs[i] == &ed25519)
                form.hash = NULL;
            X509 *certificate = make_certificate(pairs[i], &form);
            assert_libcrypto(X509_verify(certificate, pairs[i]->plain));
            assert_libcrypto(X509_verify(certificate, pairs[i]->ours));
            assert_libcrypto(X509_verify(certificate, X509_get0_pubkey(certificate)));
            X509_free(certificate);
        }
    }
}

/* The call without a context, as most programs make it. */
static void x509_sign_with_a_digest_verifies(void **state)
{
    (void)state;
    const struct pair *pairs[] = {&rsa, &p256, &ed25519};
    for (size_t i = 0; i < 3; i++) {
        X509 *certificate = make_certificate(pairs[i], &(struct form){.hash = i < 2 ? "SHA384" : NULL});
        assert_libcrypto(X509_sign(certificate, pairs[i]->ours, i < 2 ? EVP_sha256() : NULL));
        assert_libcrypto(X509_verify(certificate, pairs[i]->plain));
        X509_free(certificate);
    }
}

static void x509_req_sign_verifies(void **state)
{
    (void)state;
    const struct pair *pairs[] = {&rsa, &p256, &ed25519};
    for (size_t i = 0; i < 3; i++) {
        X509_REQ *request = X509_REQ_new_ex(ring.crypto->library, NULL);
        assert_libcrypto(X509_REQ_set_version(request, X509_REQ_VERSION_1));
        assert_libcrypto(X509_REQ_set_pubkey(request, pairs[i]->ours));
        assert_libcrypto(X509_REQ_sign(request, pairs[i]->ours, i < 2 ? EVP_sha256() : NULL));
        assert_libcrypto(X509_REQ_verify_ex(request, pairs[i]->plain, ring.crypto->library, NULL));
        assert_libcrypto(X509_REQ_verify_ex(request, X509_REQ_get0_pubkey(request), ring.crypto->library, NULL));
        X509_REQ_free(request);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_sign_by_every_hash_verifies),
        cmocka_unit_test(digest_sign_with_pss_parameters_verifies),
        cmocka_unit_test(pss_salt_is_as_long_as_asked),
        cmocka_unit_test(pss_salt_that_does_not_fit_is_refused),
        cmocka_unit_test(digest_sign_in_parts_equals_one_shot),
        cmocka_unit_test(digest_sign_goes_on_after_a_final),
        cmocka_unit_test(sign_of_a_digest_verifies),
        cmocka_unit_test(sign_of_a_digest_of_wrong_length_is_refused),
        cmocka_unit_test(null_buffer_asks_for_the_length_without_a_call),
        cmocka_unit_test(length_question_leaves_the_message_as_it_is),
        cmocka_unit_test(digest_sign_init_calls_no_backend),
        cmocka_unit_test(sign_is_one_call_of_the_backend),
        cmocka_unit_test(short_buffer_is_refused_without_a_call),
        cmocka_unit_test(algorithm_id_equals_the_plain_keys),
        cmocka_unit_test(settings_are_told_back),
        cmocka_unit_test(unknown_parameters_are_refused),
        cmocka_unit_test(sha1_signs_nothing_and_still_verifies),
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
        cmocka_unit_test(sign_message_verifies),
#endif
        cmocka_unit_test(x509_sign_verifies_with_both_keys),
        cmocka_unit_test(x509_sign_with_a_digest_verifies),
        cmocka_unit_test(x509_req_sign_verifies),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
