/* Signing, verifying, encrypting, decrypting and agreeing, with libcrypto as the judge. */
#include "base/buffer.h"
#include "store/key.h"
#include "unit/store/fixture.h"
#include "unit/store/judge.h"

#include <openssl/x509.h>

static const unsigned char text[] = "what is signed, encrypted and compared";
static const kw_input message = {text, sizeof(text)};

enum { RSA2048, P256, P521, ED25519, X25519, KEY_COUNT };
static const char *const kinds[KEY_COUNT] = {"rsa-2048", "ec-p256", "ec-p521", "ed25519", "x25519"};

static struct fixture fixture;
static kw_key *keys[KEY_COUNT];

static int begin(void **state)
{
    (void)state;
    fixture_open(&fixture, "{}");
    for (size_t i = 0; i < KEY_COUNT; i++)
        keys[i] = fixture_key(&fixture, kinds[i]);
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEY_COUNT; i++)
        kw_key_free(keys[i]);
    fixture_end(&fixture);
    return 0;
}

static kw_algorithm algorithm_of(kw_scheme scheme, kw_hash hash, uint32_t salt_length, uint32_t is_message)
{
    return (kw_algorithm){.size = sizeof(kw_algorithm),
                          .scheme = scheme,
                          .hash = hash,
                          .salt_length = salt_length,
                          .is_message = is_message};
}

static void kw_key_sign_default_is_sha256_with_pss_ecdsa_or_eddsa(void **state)
{
    const kw_algorithm defaults[KEY_COUNT] = {
        [RSA2048] = algorithm_of(KW_SCHEME_RSA_PSS, KW_HASH_SHA256, 32, 1),
        [P256] = algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA256, 0, 1),
        [P521] = algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA256, 0, 1),
        [ED25519] = algorithm_of(KW_SCHEME_EDDSA, KW_HASH_NONE, 0, 1),
    };
    unsigned char signature[512];

    (void)state;
    for (size_t i = RSA2048; i <= ED25519; i++) {
        kw_output output = {.data = signature, .capacity = sizeof(signature)};
        kw_error error = {0};

        expect_status(KW_OK, kw_key_sign(keys[i], NULL, message, &output, &error), &error);
        assert_true(
            judge_verify(kw_key_get_public(keys[i]), &defaults[i], message, (kw_input){signature, output.length}));
        expect_status(KW_OK, kw_key_verify(keys[i], NULL, message, (kw_input){signature, output.length}, &error),
                      &error);
        assert_int_equal(error.status, KW_OK);
    }
}

static void kw_key_sign_every_scheme_and_hash_is_valid_for_libcrypto(void **state)
{
    static const struct {
        int key;
        kw_scheme scheme;
        uint32_t salt_length;
    } cases[] = {{RSA2048, KW_SCHEME_RSA_PKCS1, 0},
                 {RSA2048, KW_SCHEME_RSA_PSS, 0},
                 {RSA2048, KW_SCHEME_RSA_PSS, 20},
                 {P256, KW_SCHEME_ECDSA, 0},
                 {P521, KW_SCHEME_ECDSA, 0}};
    unsigned char signature[512], digest[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int hash = KW_HASH_SHA224; hash <= KW_HASH_SHA512; hash++) {
            kw_key *const key = keys[cases[i].key];
            kw_algorithm algorithm = algorithm_of(cases[i].scheme, (kw_hash)hash, cases[i].salt_length, 1);
            kw_output output = {.data = signature, .capacity = sizeof(signature)};
            kw_input given;
            kw_error error = {0};

            expect_status(KW_OK, kw_key_sign(key, &algorithm, message, &output, &error), &error);
            given = (kw_input){signature, output.length};
            assert_true(judge_verify(kw_key_get_public(key), &algorithm, message, given));
            expect_status(KW_OK, kw_key_verify(key, &algorithm, message, given, &error), &error);
            /* the same of a digest made elsewhere */
            algorithm.is_message = 0;
            output = (kw_output){.data = signature, .capacity = sizeof(signature)};
            expect_status(KW_OK,
                          kw_key_sign(key, &algorithm, (kw_input){digest, judge_digest((kw_hash)hash, message, digest)},
                                      &output, &error),
                          &error);
            given.length = output.length;
            assert_true(judge_verify(kw_key_get_public(key), &algorithm, message, given));
        }
}

static void kw_key_sign_ecdsa_digest_without_hash_is_known_by_length(void **state)
{
    const kw_algorithm judged = algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA384, 0, 1);
    const kw_algorithm bare = algorithm_of(KW_SCHEME_ECDSA, KW_HASH_NONE, 0, 0);
    unsigned char signature[128], digest[64];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_input given = {digest, judge_digest(KW_HASH_SHA384, message, digest)};
    kw_error error = {0};

    (void)state;
    expect_status(KW_OK, kw_key_sign(keys[P256], &bare, given, &output, &error), &error);
    assert_true(judge_verify(kw_key_get_public(keys[P256]), &judged, message, (kw_input){signature, output.length}));
    given.length = 31;
    expect_status(KW_INVALID_ARGUMENT, kw_key_sign(keys[P256], &bare, given, &output, &error), &error);
}

static void kw_key_sign_question_for_the_size_calls_no_store(void **state)
{
    static const size_t lengths[KEY_COUNT] = {[RSA2048] = 256, [P256] = 72, [P521] = 139, [ED25519] = 64};
    unsigned char signature[512];
    const uint64_t before = fixture_calls(&fixture, "sign");

    (void)state;
    for (size_t i = RSA2048; i <= ED25519; i++) {
        kw_output output = {.capacity = sizeof(signature)};
        kw_error error = {0};

        expect_status(KW_BUFFER_TOO_SMALL, kw_key_sign(keys[i], NULL, message, &output, &error), &error);
        assert_int_equal(output.length, lengths[i]);
        output = (kw_output){.data = signature, .capacity = lengths[i] - 1};
        expect_status(KW_BUFFER_TOO_SMALL, kw_key_sign(keys[i], NULL, message, &output, &error), &error);
        assert_int_equal(output.length, lengths[i]);
    }
    assert_int_equal(fixture_calls(&fixture, "sign"), before);
}

static void kw_key_sign_what_makes_no_sense_is_refused_without_a_call(void **state)
{
    const struct {
        int key;
        kw_status status;
        kw_algorithm algorithm;
        const char *reason;
    } cases[] = {
        {RSA2048, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_RSA_RAW, KW_HASH_NONE, 0, 0), "raw RSA is not offered"},
        {RSA2048, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_RSA_OAEP, KW_HASH_SHA256, 0, 1),
         "RSA keys do not sign with this"},
        {RSA2048, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA256, 0, 1),
         "RSA keys do not sign with this"},
        {RSA2048, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_RSA_PSS, KW_HASH_SHA1, 20, 1),
         "SHA-1 is not for new signatures"},
        {RSA2048, KW_INVALID_ARGUMENT, algorithm_of(KW_SCHEME_RSA_PKCS1, KW_HASH_NONE, 0, 1), "no known hash"},
        {RSA2048, KW_INVALID_ARGUMENT, algorithm_of(KW_SCHEME_RSA_PKCS1, (kw_hash)77, 0, 1), "no known hash"},
        {RSA2048, KW_INVALID_ARGUMENT, algorithm_of(KW_SCHEME_RSA_PSS, KW_HASH_SHA256, 223, 1), "at most 222"},
        {RSA2048, KW_INVALID_ARGUMENT, algorithm_of(KW_SCHEME_RSA_PSS, KW_HASH_SHA256, 32, 0),
         "a SHA256 digest has 32 bytes"},
        {P256, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_NONE, KW_HASH_SHA256, 0, 1), "EC keys do not sign with this"},
        {P256, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_ECDH, KW_HASH_SHA256, 0, 1), "EC keys do not sign with this"},
        {P256, KW_INVALID_ARGUMENT, algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA384, 0, 0),
         "a SHA384 digest has 48 bytes"},
        {ED25519, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA256, 0, 1), "Ed25519 keys do not"},
        {X25519, KW_UNSUPPORTED, algorithm_of(KW_SCHEME_EDDSA, KW_HASH_NONE, 0, 1), "X25519 keys do not"},
        {P256, KW_INVALID_ARGUMENT, (kw_algorithm){.scheme = KW_SCHEME_ECDSA}, "size is not set"},
    };
    unsigned char signature[512];
    const uint64_t before = fixture_calls(&fixture, "sign");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_output output = {.data = signature, .capacity = sizeof(signature), .length = 4711};
        kw_error error = {0};

        expect_status(cases[i].status, kw_key_sign(keys[cases[i].key], &cases[i].algorithm, message, &output, &error),
                      &error);
        expect_text(error.message, cases[i].reason);
        assert_int_equal(output.length, 4711);
    }
    expect_status(KW_UNSUPPORTED, kw_key_sign(keys[X25519], NULL, message, &(kw_output){0}, NULL), &(kw_error){0});
    expect_status(KW_INVALID_ARGUMENT, kw_key_sign(keys[P256], NULL, (kw_input){NULL, 5}, &(kw_output){0}, NULL),
                  &(kw_error){0});
    assert_int_equal(fixture_calls(&fixture, "sign"), before);
}

/* A caller that was built when the struct was shorter: what it did not know counts as zero. */
static void kw_key_sign_shorter_algorithm_counts_the_rest_as_zero(void **state)
{
    struct {
        size_t size;
        kw_scheme scheme;
        kw_hash hash;
    } old = {.size = sizeof(old), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    kw_algorithm seen = {0};
    unsigned char digest[64], signature[128];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    const kw_algorithm judged = algorithm_of(KW_SCHEME_ECDSA, KW_HASH_SHA256, 0, 1);
    kw_error error = {0};

    (void)state;
    memset(&seen, 0xff, sizeof(seen));
    memcpy(&seen, &old, sizeof(old));
    expect_status(KW_OK,
                  kw_key_sign(keys[P256], &seen, (kw_input){digest, judge_digest(KW_HASH_SHA256, message, digest)},
                              &output, &error),
                  &error);
    assert_true(judge_verify(kw_key_get_public(keys[P256]), &judged, message, (kw_input){signature, output.length}));
}

static void kw_key_sign_empty_message_is_signed(void **state)
{
    static const unsigned char nothing[1];
    const kw_algorithm judged = algorithm_of(KW_SCHEME_EDDSA, KW_HASH_NONE, 0, 1);
    unsigned char signature[64];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_error error = {0};

    (void)state;
    expect_status(KW_OK, kw_key_sign(keys[ED25519], NULL, (kw_input){nothing, 0}, &output, &error), &error);
    assert_true(
        judge_verify(kw_key_get_public(keys[ED25519]), &judged, (kw_input){nothing, 0}, (kw_input){signature, 64}));
    expect_status(KW_OK, kw_key_verify(keys[ED25519], NULL, (kw_input){0}, (kw_input){signature, 64}, &error), &error);
}

static void kw_key_verify_anything_else_is_invalid_without_a_call(void **state)
{
    const uint64_t before = fixture_calls(&fixture, "sign");
    unsigned char signature[512];

    (void)state;
    for (size_t i = RSA2048; i <= ED25519; i++) {
        kw_output output = {.data = signature, .capacity = sizeof(signature)};
        kw_input given;
        kw_error error = {0};

        expect_status(KW_OK, kw_key_sign(keys[i], NULL, message, &output, &error), &error);
        given = (kw_input){signature, output.length};
        expect_status(KW_OK, kw_key_verify(keys[i], NULL, message, given, &error), &error);
        expect_status(KW_SIGNATURE_INVALID, kw_key_verify(keys[i], NULL, (kw_input){text, 3}, given, &error), &error);
        given.length--;
        expect_status(KW_SIGNATURE_INVALID, kw_key_verify(keys[i], NULL, message, given, &error), &error);
        expect_status(KW_SIGNATURE_INVALID, kw_key_verify(keys[i], NULL, message, (kw_input){0}, &error), &error);
        given.length++;
        signature[given.length - 1] ^= 1;
        expect_status(KW_SIGNATURE_INVALID, kw_key_verify(keys[i], NULL, message, given, &error), &error);
        expect_text(error.message, "the signature is not of this key over this input");
    }
    assert_int_equal(fixture_calls(&fixture, "sign"), before + 4);
}

/* ---- Encryption ------------------------------------------------------------------------------------- */

static void kw_key_decrypt_what_libcrypto_encrypted(void **state)
{
    static const unsigned char label[] = "label";
    const kw_algorithm cases[] = {
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA1},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA512},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256, .mgf_hash = KW_HASH_SHA1},
        {.size = sizeof(kw_algorithm),
         .scheme = KW_SCHEME_RSA_OAEP,
         .hash = KW_HASH_SHA384,
         .label = {label, sizeof(label)}},
    };
    unsigned char ciphertext[256], plaintext[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
        const kw_input given = {ciphertext, judge_encrypt(kw_key_get_public(keys[RSA2048]), &cases[i], message,
                                                          ciphertext, sizeof(ciphertext))};
        kw_error error = {0};

        expect_status(KW_OK, kw_key_decrypt(keys[RSA2048], i == 0 ? NULL : &cases[i], given, &output, &error), &error);
        assert_int_equal(output.length, sizeof(text));
        assert_memory_equal(plaintext, text, sizeof(text));
    }
}

static void kw_key_encrypt_is_decrypted_by_libcrypto(void **state)
{
    static const unsigned char label[] = "label";
    const kw_algorithm standard = {.size = sizeof(standard), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256};
    const kw_algorithm other = {.size = sizeof(other),
                                .scheme = KW_SCHEME_RSA_OAEP,
                                .hash = KW_HASH_SHA384,
                                .mgf_hash = KW_HASH_SHA1,
                                .label = {label, sizeof(label)}};
    struct secret pkcs8 = {0};
    unsigned char ciphertext[256], plaintext[256];
    kw_output output = {.data = ciphertext, .capacity = sizeof(ciphertext)};
    kw_error error = {0};

    (void)state;
    expect_status(KW_OK, key_export(keys[RSA2048], &pkcs8, &error), &error);
    expect_status(KW_OK, kw_key_encrypt(keys[RSA2048], NULL, message, &output, &error), &error);
    assert_int_equal(output.length, 256);
    assert_int_equal(judge_decrypt(secret_view(&pkcs8), &standard, (kw_input){ciphertext, 256}, plaintext, 256),
                     sizeof(text));
    assert_memory_equal(plaintext, text, sizeof(text));
    expect_status(KW_OK, kw_key_encrypt(keys[RSA2048], &other, message, &output, &error), &error);
    assert_int_equal(judge_decrypt(secret_view(&pkcs8), &other, (kw_input){ciphertext, 256}, plaintext, 256),
                     sizeof(text));
    expect_status(KW_OK, kw_key_encrypt(keys[RSA2048], NULL, (kw_input){0}, &output, &error), &error);
    assert_int_equal(judge_decrypt(secret_view(&pkcs8), &standard, (kw_input){ciphertext, 256}, plaintext, 256), 0);
    secret_clear(&pkcs8);
}

static void kw_key_encrypt_too_long_says_how_long_it_may_be(void **state)
{
    static const unsigned char long_text[191];
    unsigned char ciphertext[256];
    kw_output output = {.data = ciphertext, .capacity = sizeof(ciphertext)};
    kw_error error = {0};

    (void)state;
    expect_status(KW_INVALID_ARGUMENT, kw_key_encrypt(keys[RSA2048], NULL, (kw_input){long_text, 191}, &output, &error),
                  &error);
    expect_text(error.message, "at most 190");
    expect_status(KW_OK, kw_key_encrypt(keys[RSA2048], NULL, (kw_input){long_text, 190}, &output, &error), &error);
    output = (kw_output){.data = ciphertext, .capacity = 255};
    expect_status(KW_BUFFER_TOO_SMALL, kw_key_encrypt(keys[RSA2048], NULL, message, &output, &error), &error);
    assert_int_equal(output.length, 256);
    expect_status(KW_UNSUPPORTED, kw_key_encrypt(keys[P256], NULL, message, &output, &error), &error);
    expect_text(error.message, "EC keys do not encrypt");
}

static void kw_key_decrypt_invalid_ciphertext_has_one_answer(void **state)
{
    unsigned char ciphertext[257] = {0}, plaintext[256];
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    kw_error error = {0};
    uint64_t before;

    (void)state;
    (void)judge_encrypt(kw_key_get_public(keys[RSA2048]),
                        &(kw_algorithm){.size = sizeof(kw_algorithm), .hash = KW_HASH_SHA512}, message, ciphertext,
                        256);
    expect_status(KW_CIPHERTEXT_INVALID,
                  kw_key_decrypt(keys[RSA2048], NULL, (kw_input){ciphertext, 256}, &output, &error), &error);
    /* what anybody can see is not sent to the store */
    before = fixture_calls(&fixture, "decrypt");
    expect_status(KW_CIPHERTEXT_INVALID,
                  kw_key_decrypt(keys[RSA2048], NULL, (kw_input){ciphertext, 255}, &output, &error), &error);
    expect_status(KW_CIPHERTEXT_INVALID,
                  kw_key_decrypt(keys[RSA2048], NULL, (kw_input){ciphertext, 257}, &output, &error), &error);
    expect_status(KW_CIPHERTEXT_INVALID, kw_key_decrypt(keys[RSA2048], NULL, (kw_input){0}, &output, &error), &error);
    memset(ciphertext, 0xff, sizeof(ciphertext));
    expect_status(KW_CIPHERTEXT_INVALID,
                  kw_key_decrypt(keys[RSA2048], NULL, (kw_input){ciphertext, 256}, &output, &error), &error);
    output = (kw_output){.data = plaintext, .capacity = 255};
    expect_status(KW_BUFFER_TOO_SMALL,
                  kw_key_decrypt(keys[RSA2048], NULL, (kw_input){ciphertext, 256}, &output, &error), &error);
    assert_int_equal(output.length, 256);
    assert_int_equal(fixture_calls(&fixture, "decrypt"), before);
}

static void kw_key_decrypt_other_schemes_are_unsupported(void **state)
{
    static const kw_scheme schemes[] = {KW_SCHEME_NONE, KW_SCHEME_RSA_RAW, KW_SCHEME_RSA_PSS};
    unsigned char ciphertext[256] = {0}, plaintext[256];
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    const uint64_t before = fixture_calls(&fixture, "decrypt");
    kw_error error = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const kw_algorithm algorithm = algorithm_of(schemes[i], KW_HASH_SHA256, 0, 0);
        expect_status(KW_UNSUPPORTED,
                      kw_key_decrypt(keys[RSA2048], &algorithm, (kw_input){ciphertext, 256}, &output, &error), &error);
    }
    expect_status(KW_UNSUPPORTED, kw_key_decrypt(keys[ED25519], NULL, (kw_input){ciphertext, 256}, &output, &error),
                  &error);
    assert_int_equal(fixture_calls(&fixture, "decrypt"), before);
}

/* W2: only where the certificate's settings allow it, which the one who opens the key says. */
static void kw_key_decrypt_pkcs1_is_refused_until_allowed(void **state)
{
    const kw_algorithm pkcs1 = algorithm_of(KW_SCHEME_RSA_PKCS1, KW_HASH_NONE, 0, 0);
    unsigned char ciphertext[256], plaintext[256];
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    const uint64_t before = fixture_calls(&fixture, "decrypt");
    kw_key *const key = fixture_key(&fixture, "rsa-2048");
    kw_error error = {0};

    (void)state;
    (void)judge_encrypt(kw_key_get_public(key), NULL, message, ciphertext, sizeof(ciphertext));
    expect_status(KW_REFUSED, kw_key_decrypt(key, &pkcs1, (kw_input){ciphertext, 256}, &output, &error), &error);
    expect_text(error.remedy, "pkcs1_decrypt: true");
    assert_int_equal(fixture_calls(&fixture, "decrypt"), before);
    key_allow_pkcs1_decrypt(key);
    expect_status(KW_OK, kw_key_decrypt(key, &pkcs1, (kw_input){ciphertext, 256}, &output, &error), &error);
    assert_int_equal(output.length, sizeof(text));
    assert_memory_equal(plaintext, text, sizeof(text));
    ciphertext[200] ^= 1;
    expect_status(KW_OK, kw_key_decrypt(key, &pkcs1, (kw_input){ciphertext, 256}, &output, &error), &error);
    kw_key_free(key);
}

/* ---- Agreement ---------------------------------------------------------------------------------------- */

static void kw_key_derive_agrees_with_libcrypto(void **state)
{
    static const struct {
        int key;
        const char *group;
        size_t length;
    } cases[] = {{P256, "P-256", 32}, {P521, "P-521", 66}, {X25519, NULL, 32}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EVP_PKEY *const peer = cases[i].group == NULL ? EVP_PKEY_Q_keygen(NULL, NULL, "X25519")
                                                      : EVP_PKEY_Q_keygen(NULL, NULL, "EC", cases[i].group);
        EVP_PKEY *const ours = judge_public(kw_key_get_public(keys[cases[i].key]));
        EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(peer, NULL);
        unsigned char *spki = NULL;
        const int length = i2d_PUBKEY(peer, &spki);
        unsigned char shared[66], theirs[66];
        size_t their_length = sizeof(theirs);
        kw_output output = {0};
        kw_error error = {0};

        assert_true(length > 0);
        expect_status(KW_BUFFER_TOO_SMALL,
                      kw_key_derive(keys[cases[i].key], (kw_input){spki, (size_t)length}, &output, &error), &error);
        assert_int_equal(output.length, cases[i].length);
        output = (kw_output){.data = shared, .capacity = sizeof(shared)};
        expect_status(KW_OK, kw_key_derive(keys[cases[i].key], (kw_input){spki, (size_t)length}, &output, &error),
                      &error);
        assert_true(EVP_PKEY_derive_init(context) > 0);
        assert_true(EVP_PKEY_derive_set_peer(context, ours) > 0);
        assert_true(EVP_PKEY_derive(context, theirs, &their_length) > 0);
        assert_int_equal(output.length, their_length);
        assert_memory_equal(shared, theirs, their_length);
        OPENSSL_free(spki);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(ours);
        EVP_PKEY_free(peer);
    }
}

static void kw_key_derive_peer_that_does_not_fit_is_refused_without_a_call(void **state)
{
    unsigned char shared[66], changed[512];
    kw_output output = {.data = shared, .capacity = sizeof(shared)};
    const uint64_t before = fixture_calls(&fixture, "derive");
    kw_input peer = kw_key_get_public(keys[P256]);
    kw_error error = {0};

    (void)state;
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (i != P256)
            expect_status(KW_INVALID_ARGUMENT, kw_key_derive(keys[P256], kw_key_get_public(keys[i]), &output, &error),
                          &error);
    expect_status(KW_INVALID_ARGUMENT, kw_key_derive(keys[P256], message, &output, &error), &error);
    expect_status(KW_INVALID_ARGUMENT, kw_key_derive(keys[P256], (kw_input){0}, &output, &error), &error);
    memcpy(changed, peer.data, peer.length);
    changed[peer.length - 1] ^= 1; /* a point that is not on the curve */
    expect_status(KW_INVALID_ARGUMENT, kw_key_derive(keys[P256], (kw_input){changed, peer.length}, &output, &error),
                  &error);
    expect_status(KW_UNSUPPORTED, kw_key_derive(keys[RSA2048], peer, &output, &error), &error);
    expect_status(KW_UNSUPPORTED, kw_key_derive(keys[ED25519], peer, &output, &error), &error);
    assert_int_equal(fixture_calls(&fixture, "derive"), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kw_key_sign_default_is_sha256_with_pss_ecdsa_or_eddsa),
        cmocka_unit_test(kw_key_sign_every_scheme_and_hash_is_valid_for_libcrypto),
        cmocka_unit_test(kw_key_sign_ecdsa_digest_without_hash_is_known_by_length),
        cmocka_unit_test(kw_key_sign_question_for_the_size_calls_no_store),
        cmocka_unit_test(kw_key_sign_what_makes_no_sense_is_refused_without_a_call),
        cmocka_unit_test(kw_key_sign_shorter_algorithm_counts_the_rest_as_zero),
        cmocka_unit_test(kw_key_sign_empty_message_is_signed),
        cmocka_unit_test(kw_key_verify_anything_else_is_invalid_without_a_call),
        cmocka_unit_test(kw_key_decrypt_what_libcrypto_encrypted),
        cmocka_unit_test(kw_key_encrypt_is_decrypted_by_libcrypto),
        cmocka_unit_test(kw_key_encrypt_too_long_says_how_long_it_may_be),
        cmocka_unit_test(kw_key_decrypt_invalid_ciphertext_has_one_answer),
        cmocka_unit_test(kw_key_decrypt_other_schemes_are_unsupported),
        cmocka_unit_test(kw_key_decrypt_pkcs1_is_refused_until_allowed),
        cmocka_unit_test(kw_key_derive_agrees_with_libcrypto),
        cmocka_unit_test(kw_key_derive_peer_that_does_not_fit_is_refused_without_a_call),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
