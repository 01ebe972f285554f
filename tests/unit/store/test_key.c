#include "store/key.h"

#include "base/buffer.h"
#include "unit/store/fixture.h"
#include "unit/store/judge.h"

static void key_kind_find_knows_the_names_of_the_command_line(void **state)
{
    size_t count = 0;

    (void)state;
    for (; key_kinds[count].name != NULL; count++)
        assert_ptr_equal(key_kind_find(key_kinds[count].name), &key_kinds[count]);
    assert_int_equal(count, 10);
    assert_string_equal(key_kind_name_pss("rsa-3072", true), "rsa-pss-3072");
    assert_string_equal(key_kind_name_pss("rsa-pss-3072", false), "rsa-3072");
    assert_null(key_kind_name_pss("ec-p256", true));
    assert_int_equal(key_kind_find("rsa-3072")->bits, 3072);
    assert_int_equal(key_kind_find("ec-p521")->curve, KW_CURVE_P521);
    assert_null(key_kind_find("rsa-1024"));
    assert_null(key_kind_find(""));
}

static void key_open_every_kind_is_described_by_its_public_key(void **state)
{
    static const struct {
        const char *kind;
        kw_key_type type;
        kw_curve curve;
        uint32_t bits;
    } cases[] = {
        {"rsa-2048", KW_KEY_RSA, KW_CURVE_NONE, 2048}, {"ec-p256", KW_KEY_EC, KW_CURVE_P256, 256},
        {"ec-p384", KW_KEY_EC, KW_CURVE_P384, 384},    {"ec-p521", KW_KEY_EC, KW_CURVE_P521, 521},
        {"ed25519", KW_KEY_ED25519, KW_CURVE_NONE, 0}, {"x25519", KW_KEY_X25519, KW_CURVE_NONE, 0},
    };
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "{}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_key *const key = fixture_key(&fixture, cases[i].kind);
        const kw_key_capabilities *const can = kw_key_get_capabilities(key);
        EVP_PKEY *const judge = judge_public(kw_key_get_public(key));

        assert_int_equal(can->type, cases[i].type);
        assert_int_equal(can->curve, cases[i].curve);
        assert_int_equal(can->bits, cases[i].bits);
        assert_int_equal(EVP_PKEY_eq(judge, key_public_pkey(key)), 1);
        if (cases[i].type == KW_KEY_X25519)
            assert_null(key_name(key));
        else
            assert_string_equal(key_name(key), cases[i].kind);
        assert_ptr_equal(key_store(key), fixture_store(&fixture));
        EVP_PKEY_free(judge);
        kw_key_free(key);
    }
    fixture_end(&fixture);
}

static void key_open_wrong_locator_gives_the_stores_reason(void **state)
{
    struct fixture fixture;
    kw_key *key = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    expect_status(KW_INVALID_ARGUMENT, key_open(fixture_store(&fixture), input_text("elsewhere"), &key, &error),
                  &error);
    assert_string_equal(error.where, "store test");
    expect_status(KW_NOT_FOUND, key_open(fixture_store(&fixture), input_text("memory:0123456789abcdef"), &key, &error),
                  &error);
    assert_null(key);
    fixture_end(&fixture);
}

static void key_reference_keeps_the_key_open(void **state)
{
    static const unsigned char text[] = "text";
    struct fixture fixture;
    unsigned char signature[128];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_key *key, *other;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    key = fixture_key(&fixture, "ec-p256");
    other = key_reference(key);
    kw_key_free(key);
    expect_status(KW_OK, kw_key_sign(other, NULL, (kw_input){text, sizeof(text)}, &output, &error), &error);
    kw_key_free(other);
    kw_key_free(NULL);
    fixture_end(&fixture);
}

static void key_open_public_verifies_and_encrypts_and_nothing_else(void **state)
{
    static const unsigned char text[] = "text";
    const kw_input input = {text, sizeof(text)};
    struct fixture fixture;
    unsigned char signature[256], ciphertext[256], plaintext[256];
    kw_output signed_output = {.data = signature, .capacity = sizeof(signature)};
    kw_output encrypted = {.data = ciphertext, .capacity = sizeof(ciphertext)};
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    struct secret secret = {0};
    kw_key *key, *half = NULL, *none = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    key = fixture_key(&fixture, "rsa-2048");
    expect_status(KW_OK, key_open_public(fixture.crypto, kw_key_get_public(key), &half, &error), &error);
    assert_null(key_store(half));
    assert_string_equal(key_name(half), "rsa-2048");
    assert_int_equal(kw_key_get_capabilities(half)->operations, 0);
    expect_status(KW_OK, kw_key_sign(key, NULL, input, &signed_output, &error), &error);
    expect_status(KW_OK, kw_key_verify(half, NULL, input, (kw_input){signature, signed_output.length}, &error), &error);
    expect_status(KW_OK, kw_key_encrypt(half, NULL, input, &encrypted, &error), &error);
    expect_status(KW_OK, kw_key_decrypt(key, NULL, (kw_input){ciphertext, encrypted.length}, &output, &error), &error);
    assert_int_equal(output.length, sizeof(text));
    assert_memory_equal(plaintext, text, sizeof(text));
    expect_status(KW_UNSUPPORTED, kw_key_sign(half, NULL, input, &signed_output, &error), &error);
    expect_text(error.message, "only the public key is known here");
    expect_status(KW_UNSUPPORTED, kw_key_decrypt(half, NULL, (kw_input){ciphertext, encrypted.length}, &output, &error),
                  &error);
    expect_status(KW_UNSUPPORTED, key_decrypt_pkcs1(half, (kw_input){ciphertext, encrypted.length}, &output, &error),
                  &error);
    expect_status(KW_UNSUPPORTED, kw_key_derive(half, kw_key_get_public(key), &output, &error), &error);
    expect_status(KW_UNSUPPORTED, key_export(half, &secret, &error), &error);
    expect_status(KW_CORRUPT, key_open_public(fixture.crypto, input, &none, &error), &error);
    expect_status(KW_CORRUPT, key_open_public(fixture.crypto, (kw_input){0}, &none, &error), &error);
    assert_null(none);
    kw_key_free(half);
    kw_key_free(key);
    fixture_end(&fixture);
}

static void key_open_public_with_bytes_behind_is_corrupt(void **state)
{
    struct fixture fixture;
    unsigned char longer[512];
    kw_input spki;
    kw_key *key, *other = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    key = fixture_key(&fixture, "ec-p256");
    spki = kw_key_get_public(key);
    memcpy(longer, spki.data, spki.length);
    longer[spki.length] = 0;
    expect_status(KW_OK, key_open_public(fixture.crypto, (kw_input){longer, spki.length}, &other, &error), &error);
    kw_key_free(other);
    other = NULL;
    expect_status(KW_CORRUPT, key_open_public(fixture.crypto, (kw_input){longer, spki.length + 1}, &other, &error),
                  &error);
    kw_key_free(key);
    fixture_end(&fixture);
}

static void key_export_gives_the_private_key_or_its_refusal(void **state)
{
    static const char *const kinds[] = {"rsa-2048", "ec-p256", "ed25519"};
    struct fixture fixture;
    struct store *store;
    kw_key_template wanted;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = locator, .capacity = sizeof(locator)};
    struct secret pkcs8 = {0};
    kw_key *key = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        EVP_PKEY *private_key;
        key = fixture_key(&fixture, kinds[i]);
        expect_status(KW_OK, key_export(key, &pkcs8, &error), &error);
        private_key = judge_private(secret_view(&pkcs8));
        assert_int_equal(EVP_PKEY_eq(private_key, key_public_pkey(key)), 1);
        EVP_PKEY_free(private_key);
        kw_key_free(key);
        secret_clear(&pkcs8);
    }
    wanted = fixture_template(&fixture, "ec-p256");
    wanted.exportable = 0;
    expect_status(KW_OK, store_key_generate(store, &wanted, &output, &error), &error);
    expect_status(KW_OK, key_open(store, (kw_input){locator, output.length}, &key, &error), &error);
    expect_status(KW_REFUSED, key_export(key, &pkcs8, &error), &error);
    expect_text(error.message, "not exportable");
    assert_string_equal(error.where, "store test");
    assert_int_equal(fixture_calls(&fixture, "key_export"), 6);
    assert_null(pkcs8.data);
    kw_key_free(key);
    fixture_end(&fixture);
}

static void key_import_brings_the_same_key_back(void **state)
{
    struct fixture fixture;
    struct store *store;
    struct secret pkcs8 = {0};
    kw_key_template wanted;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = locator, .capacity = sizeof(locator)};
    kw_key *key, *copy = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    key = fixture_key(&fixture, "ec-p256");
    expect_status(KW_OK, key_export(key, &pkcs8, &error), &error);
    wanted = fixture_template(&fixture, "ec-p256");
    expect_status(KW_OK, store_key_import(store, &wanted, secret_view(&pkcs8), &output, &error), &error);
    expect_status(KW_OK, key_open(store, (kw_input){locator, output.length}, &copy, &error), &error);
    assert_true(input_equal(kw_key_get_public(key), kw_key_get_public(copy)));
    secret_clear(&pkcs8);
    kw_key_free(copy);
    kw_key_free(key);
    fixture_end(&fixture);
}

struct signer {
    pthread_t thread;
    kw_key *key;
    unsigned number;
    unsigned failures;
};

static void *sign_much(void *argument)
{
    struct signer *const signer = argument;

    for (unsigned i = 0; i < 15; i++) {
        unsigned char text[8] = {(unsigned char)signer->number, (unsigned char)i};
        const kw_input input = {text, sizeof(text)};
        unsigned char signature[128];
        kw_output output = {.data = signature, .capacity = sizeof(signature)};
        const kw_algorithm longer = {
            .size = sizeof(longer), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA512, .is_message = 1};
        const kw_algorithm *const algorithm = i % 2 == 0 ? NULL : &longer;

        if (kw_key_sign(signer->key, algorithm, input, &output, NULL) != KW_OK ||
            kw_key_verify(signer->key, algorithm, input, (kw_input){signature, output.length}, NULL) != KW_OK)
            signer->failures++;
    }
    return NULL;
}

static void kw_key_sign_from_many_threads_each_signature_is_right(void **state)
{
    struct fixture fixture;
    struct signer signers[12]; /* more than hashers lie ready */
    kw_key *key;

    (void)state;
    fixture_open(&fixture, "{}");
    key = fixture_key(&fixture, "ec-p256");
    for (unsigned i = 0; i < 12; i++) {
        signers[i] = (struct signer){.key = key, .number = i};
        assert_int_equal(pthread_create(&signers[i].thread, NULL, sign_much, &signers[i]), 0);
    }
    for (unsigned i = 0; i < 12; i++) {
        pthread_join(signers[i].thread, NULL);
        assert_int_equal(signers[i].failures, 0);
    }
    assert_int_equal(fixture_calls(&fixture, "sign"), 12 * 15);
    kw_key_free(key);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_kind_find_knows_the_names_of_the_command_line),
        cmocka_unit_test(key_open_every_kind_is_described_by_its_public_key),
        cmocka_unit_test(key_open_wrong_locator_gives_the_stores_reason),
        cmocka_unit_test(key_reference_keeps_the_key_open),
        cmocka_unit_test(key_open_public_verifies_and_encrypts_and_nothing_else),
        cmocka_unit_test(key_open_public_with_bytes_behind_is_corrupt),
        cmocka_unit_test(key_export_gives_the_private_key_or_its_refusal),
        cmocka_unit_test(key_import_brings_the_same_key_back),
        cmocka_unit_test(kw_key_sign_from_many_threads_each_signature_is_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
