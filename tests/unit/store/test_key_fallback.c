/* Stores that do raw RSA alone, or less than they claim: paddings are made and removed here. */
#include "base/buffer.h"
#include "store/key.h"
#include "unit/store/fixture.h"
#include "unit/store/judge.h"

static const unsigned char text[] = "what a backend with raw RSA alone can do";
static const kw_input message = {text, sizeof(text)};

static kw_key *key_of_bits(struct fixture *fixture, uint32_t bits)
{
    struct store *const store = fixture_store(fixture);
    kw_key_template wanted = fixture_template(fixture, "rsa-2048");
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = locator, .capacity = sizeof(locator)};
    kw_key *key = NULL;
    kw_error error = {0};

    wanted.bits = bits;
    expect_status(KW_OK, store_key_generate(store, &wanted, &output, &error), &error);
    expect_status(KW_OK, key_open(store, (kw_input){locator, output.length}, &key, &error), &error);
    return key;
}

static void sign_and_judge(kw_key *key, const kw_algorithm *algorithm)
{
    unsigned char signature[512];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_error error = {0};

    expect_status(KW_OK, kw_key_sign(key, algorithm, message, &output, &error), &error);
    assert_int_equal(error.status, KW_OK);
    assert_string_equal(error.message, "");
    assert_true(judge_verify(kw_key_get_public(key), algorithm, message, (kw_input){signature, output.length}));
}

/* 1025 bits: PSS encodes into one byte less than the modulus has. 1030: the highest bits of the first byte are cleared. */
static void kw_key_sign_raw_rsa_is_valid_for_libcrypto(void **state)
{
    static const uint32_t bits[] = {1024, 1025, 1030};
    static const uint32_t salts[] = {0, 20, 32};
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "{raw: true}");
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        kw_key *const key = key_of_bits(&fixture, bits[i]);
        assert_int_equal(kw_key_get_capabilities(key)->schemes, KW_BIT(KW_SCHEME_RSA_RAW));
        for (int hash = KW_HASH_SHA224; hash <= KW_HASH_SHA512; hash++) {
            kw_algorithm algorithm = {
                .size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_PKCS1, .hash = (kw_hash)hash, .is_message = 1};

            sign_and_judge(key, &algorithm);
            algorithm.scheme = KW_SCHEME_RSA_PSS;
            for (size_t j = 0; j < sizeof(salts) / sizeof(salts[0]); j++) {
                algorithm.salt_length = salts[j];
                sign_and_judge(key, &algorithm);
            }
            algorithm.mgf_hash = hash == KW_HASH_SHA256 ? KW_HASH_SHA384 : KW_HASH_SHA256;
            sign_and_judge(key, &algorithm);
        }
        kw_key_free(key);
    }
    fixture_end(&fixture);
}

static void kw_key_sign_raw_pss_salt_is_random_and_as_long_as_fits(void **state)
{
    kw_algorithm algorithm = {.size = sizeof(algorithm),
                              .scheme = KW_SCHEME_RSA_PSS,
                              .hash = KW_HASH_SHA512,
                              .salt_length = 62, /* 128 - 64 - 2 */
                              .is_message = 1};
    struct fixture fixture;
    unsigned char first[128], second[128];
    kw_output output = {.data = first, .capacity = sizeof(first)};
    kw_key *key;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{raw: true}");
    key = key_of_bits(&fixture, 1024);
    sign_and_judge(key, &algorithm);
    expect_status(KW_OK, kw_key_sign(key, &algorithm, message, &output, &error), &error);
    output = (kw_output){.data = second, .capacity = sizeof(second)};
    expect_status(KW_OK, kw_key_sign(key, &algorithm, message, &output, &error), &error);
    assert_memory_not_equal(first, second, sizeof(first));
    algorithm.salt_length = 63;
    expect_status(KW_INVALID_ARGUMENT, kw_key_sign(key, &algorithm, message, &output, &error), &error);
    expect_text(error.message, "at most 62");
    kw_key_free(key);
    fixture_end(&fixture);
}

/* The store says that it has the scheme, and then that it does not have this form of it. */
static void kw_key_sign_claimed_scheme_unsupported_falls_back(void **state)
{
    const kw_algorithm algorithm = {.size = sizeof(algorithm),
                                    .scheme = KW_SCHEME_RSA_PSS,
                                    .hash = KW_HASH_SHA256,
                                    .salt_length = 32,
                                    .is_message = 1};
    struct fixture fixture;
    kw_key *key;

    (void)state;
    fixture_open(&fixture, "{fault: pss-unsupported}");
    key = fixture_key(&fixture, "rsa-2048");
    sign_and_judge(key, &algorithm);
    assert_int_equal(fixture_calls(&fixture, "sign"), 2);
    kw_key_free(key);
    fixture_end(&fixture);
}

static void kw_key_decrypt_raw_rsa_opens_what_libcrypto_encrypted(void **state)
{
    static const unsigned char label[] = "label";
    static const char *const stores[] = {"{raw: true}", "{oaep: sha1}", "{fault: oaep-unsupported}"};
    const kw_algorithm cases[] = {
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA1},
        {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256, .mgf_hash = KW_HASH_SHA1},
        {.size = sizeof(kw_algorithm),
         .scheme = KW_SCHEME_RSA_OAEP,
         .hash = KW_HASH_SHA512,
         .label = {label, sizeof(label)}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
        struct fixture fixture;
        kw_key *key;

        fixture_open(&fixture, stores[i]);
        key = fixture_key(&fixture, "rsa-2048");
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            unsigned char ciphertext[256], plaintext[256];
            kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
            const kw_input given = {
                ciphertext, judge_encrypt(kw_key_get_public(key), &cases[j], message, ciphertext, sizeof(ciphertext))};
            kw_error error = {0};

            expect_status(KW_OK, kw_key_decrypt(key, &cases[j], given, &output, &error), &error);
            assert_int_equal(error.status, KW_OK);
            assert_int_equal(output.length, sizeof(text));
            assert_memory_equal(plaintext, text, sizeof(text));
            /* the label is part of it */
            if (cases[j].label.length > 0) {
                kw_algorithm other = cases[j];
                other.label.length--;
                expect_status(KW_CIPHERTEXT_INVALID, kw_key_decrypt(key, &other, given, &output, &error), &error);
            }
        }
        kw_key_free(key);
        fixture_end(&fixture);
    }
}

/* ---- PKCS#1 v1.5 ------------------------------------------------------------------------------------------ */

static kw_input decrypt_pkcs1(kw_key *key, kw_input ciphertext, unsigned char *plaintext)
{
    kw_output output = {.capacity = 256};
    kw_error error = {0};

    output.data = plaintext;
    expect_status(KW_OK, key_decrypt_pkcs1(key, ciphertext, &output, &error), &error);
    assert_int_equal(error.status, KW_OK);
    return (kw_input){plaintext, output.length};
}

static void key_decrypt_pkcs1_opens_what_libcrypto_encrypted(void **state)
{
    static const char *const stores[] = {"{raw: true}", "{}"};

    (void)state;
    for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
        struct fixture fixture;
        unsigned char ciphertext[256], plaintext[256];
        kw_key *key;

        fixture_open(&fixture, stores[i]);
        key = fixture_key(&fixture, "rsa-2048");
        for (size_t length = 0; length <= sizeof(text); length += 8) {
            const kw_input given = {text, length};
            (void)judge_encrypt(kw_key_get_public(key), NULL, given, ciphertext, sizeof(ciphertext));
            assert_true(input_equal(decrypt_pkcs1(key, (kw_input){ciphertext, 256}, plaintext), given));
        }
        kw_key_free(key);
        fixture_end(&fixture);
    }
}

/* W2: never an error that tells, always the same message for the same ciphertext, another one for another. */
static void key_decrypt_pkcs1_invalid_ciphertext_gives_a_message(void **state)
{
    struct fixture fixture;
    unsigned char ciphertext[300], first[256], second[256];
    kw_input given = {ciphertext, 256}, once, again;
    size_t distinct = 0, previous = 0;
    kw_key *key, *other;

    (void)state;
    fixture_open(&fixture, "{raw: true}");
    key = fixture_key(&fixture, "rsa-2048");
    other = key_of_bits(&fixture, 2048);
    for (unsigned char i = 1; i <= 8; i++) {
        memset(ciphertext, i, sizeof(ciphertext));
        ciphertext[0] = 0; /* below any modulus */
        once = decrypt_pkcs1(key, given, first);
        again = decrypt_pkcs1(key, given, second);
        assert_true(input_equal(once, again));
        assert_true(once.length <= 256 - 11);
        assert_false(input_equal(once, decrypt_pkcs1(other, given, second))); /* another key, another seed */
        distinct += once.length != previous;
        previous = once.length;
    }
    assert_true(distinct > 1);
    /* what is out of range has no block, and is answered in the same way */
    memset(ciphertext, 0xff, sizeof(ciphertext));
    for (given.length = 0; given.length <= 300; given.length += 50) {
        once = decrypt_pkcs1(key, given, first);
        assert_true(input_equal(once, decrypt_pkcs1(key, given, second)));
    }
    given.length = 256;
    once = decrypt_pkcs1(key, given, first);
    assert_true(input_equal(once, decrypt_pkcs1(key, given, second)));
    kw_key_free(other);
    kw_key_free(key);
    fixture_end(&fixture);
}

static void key_decrypt_pkcs1_cannot_is_unsupported(void **state)
{
    struct fixture fixture;
    unsigned char ciphertext[256] = {0}, plaintext[256];
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    kw_key *rsa, *ec;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    rsa = fixture_key(&fixture, "rsa-2048");
    ec = fixture_key(&fixture, "ec-p256");
    expect_status(KW_UNSUPPORTED, key_decrypt_pkcs1(ec, (kw_input){ciphertext, 256}, &output, &error), &error);
    output.capacity = 255;
    expect_status(KW_BUFFER_TOO_SMALL, key_decrypt_pkcs1(rsa, (kw_input){ciphertext, 256}, &output, &error), &error);
    assert_int_equal(output.length, 256);
    assert_int_equal(fixture_calls(&fixture, "decrypt"), 0);
    kw_key_free(ec);
    kw_key_free(rsa);
    fixture_end(&fixture);
}

static void key_decrypt_pkcs1_backend_away_is_an_error(void **state)
{
    struct fixture fixture;
    unsigned char ciphertext[256] = {0}, plaintext[256];
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    kw_key *key;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{fault: away}");
    key = fixture_key(&fixture, "rsa-2048");
    ciphertext[255] = 2;
    expect_status(KW_UNAVAILABLE, key_decrypt_pkcs1(key, (kw_input){ciphertext, 256}, &output, &error), &error);
    kw_key_free(key);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kw_key_sign_raw_rsa_is_valid_for_libcrypto),
        cmocka_unit_test(kw_key_sign_raw_pss_salt_is_random_and_as_long_as_fits),
        cmocka_unit_test(kw_key_sign_claimed_scheme_unsupported_falls_back),
        cmocka_unit_test(kw_key_decrypt_raw_rsa_opens_what_libcrypto_encrypted),
        cmocka_unit_test(key_decrypt_pkcs1_opens_what_libcrypto_encrypted),
        cmocka_unit_test(key_decrypt_pkcs1_invalid_ciphertext_gives_a_message),
        cmocka_unit_test(key_decrypt_pkcs1_cannot_is_unsupported),
        cmocka_unit_test(key_decrypt_pkcs1_backend_away_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
