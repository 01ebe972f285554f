#include "base/rsa_padding.h"

#include "base/buffer.h"
#include "data/pkcs1_rejection.h"
#include "folder.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

enum { MODULUS = 256 };

struct fixture {
    struct crypto *crypto;
    EVP_PKEY *key;
};

static struct fixture fixture;

static int setup(void **state)
{
    (void)state;
    if (crypto_open(&fixture.crypto, NULL) != KW_OK)
        return -1;
    fixture.key = EVP_PKEY_Q_keygen(fixture.crypto->library, NULL, "RSA", (size_t)8 * MODULUS);
    return fixture.key == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(fixture.key);
    crypto_close(fixture.crypto);
    return 0;
}

/* ---- libcrypto encrypts, and undoes RSA alone ---- */

static void encrypt_oaep(kw_hash hash, kw_hash mgf_hash, kw_input label, kw_input message,
                         unsigned char ciphertext[MODULUS])
{
    size_t length = MODULUS;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(fixture.crypto->library, fixture.key, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md_name(context, hash_name(hash), NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, hash_name(mgf_hash), NULL), 1);
    if (label.length > 0) {
        void *copy = OPENSSL_memdup(label.data, label.length);
        assert_int_equal(EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, (int)label.length), 1);
    }
    assert_int_equal(EVP_PKEY_encrypt(context, ciphertext, &length, message.data, message.length), 1);
    assert_int_equal(length, MODULUS);
    EVP_PKEY_CTX_free(context);
}

static void decrypt(int padding, const unsigned char ciphertext[MODULUS], unsigned char *block, size_t *length)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(fixture.crypto->library, fixture.key, NULL);
    *length = MODULUS;
    assert_int_equal(EVP_PKEY_decrypt_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
    assert_int_equal(EVP_PKEY_decrypt(context, block, length, ciphertext, MODULUS), 1);
    EVP_PKEY_CTX_free(context);
}

static void oaep_block(kw_hash hash, kw_hash mgf_hash, kw_input label, kw_input message, unsigned char block[MODULUS])
{
    unsigned char ciphertext[MODULUS];
    size_t length;
    encrypt_oaep(hash, mgf_hash, label, message, ciphertext);
    decrypt(RSA_NO_PADDING, ciphertext, block, &length);
    assert_int_equal(length, MODULUS);
}

static kw_status unpad_oaep(kw_hash hash, kw_hash mgf_hash, kw_input label, const unsigned char block[MODULUS],
                            unsigned char message[MODULUS], size_t *length)
{
    kw_output output = {message, MODULUS, 0};
    kw_status status = rsa_oaep_unpad(fixture.crypto, hash, mgf_hash, label, (kw_input){block, MODULUS}, &output, NULL);
    *length = output.length;
    return status;
}

/* ---- OAEP ---- */

static void rsa_oaep_unpad_every_hash_label_and_length_is_what_libcrypto_padded(void **state)
{
    (void)state;
    const kw_input labels[] = {{NULL, 0}, input_text("a label")};
    unsigned char text[MODULUS], block[MODULUS], message[MODULUS];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (unsigned char)(i % 3);
    for (kw_hash hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++) {
        for (kw_hash mgf_hash = KW_HASH_SHA1; mgf_hash <= KW_HASH_SHA512; mgf_hash++) {
            const size_t longest = MODULUS - 2 * hash_length(hash) - 2;
            const size_t lengths[] = {0, 1, 31, longest - 1, longest};
            for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                const kw_input label = labels[i % 2];
                size_t length;
                oaep_block(hash, mgf_hash, label, (kw_input){text, lengths[i]}, block);
                assert_int_equal(unpad_oaep(hash, mgf_hash, label, block, message, &length), KW_OK);
                assert_int_equal(length, lengths[i]);
                assert_memory_equal(message, text, length);
            }
        }
    }
}

static void rsa_oaep_unpad_no_mgf_hash_means_the_same(void **state)
{
    (void)state;
    unsigned char block[MODULUS], message[MODULUS];
    size_t length;
    oaep_block(KW_HASH_SHA384, KW_HASH_SHA384, (kw_input){0}, input_text("text"), block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA384, KW_HASH_NONE, (kw_input){0}, block, message, &length), KW_OK);
    assert_int_equal(length, 4);
    assert_memory_equal(message, "text", 4);
}

static void rsa_oaep_unpad_any_changed_byte_is_invalid(void **state)
{
    (void)state;
    unsigned char block[MODULUS], message[MODULUS];
    size_t length;
    oaep_block(KW_HASH_SHA256, KW_HASH_SHA256, (kw_input){0}, input_text("text"), block);
    for (size_t i = 0; i < MODULUS; i++) {
        block[i] ^= 0x10;
        assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_SHA256, (kw_input){0}, block, message, &length),
                         KW_CIPHERTEXT_INVALID);
        block[i] ^= 0x10;
    }
}

static void rsa_oaep_unpad_other_parameters_are_invalid(void **state)
{
    (void)state;
    unsigned char block[MODULUS], message[MODULUS];
    size_t length;
    oaep_block(KW_HASH_SHA256, KW_HASH_SHA1, input_text("label"), input_text("text"), block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_SHA1, input_text("label"), block, message, &length), KW_OK);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_SHA1, input_text("Label"), block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_SHA1, (kw_input){0}, block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_SHA256, input_text("label"), block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    assert_int_equal(unpad_oaep(KW_HASH_SHA1, KW_HASH_SHA1, input_text("label"), block, message, &length),
                     KW_CIPHERTEXT_INVALID);
}

/* A block whose data is as it is given, masked as RFC 8017 says. */
static void mask_block(unsigned char first, const unsigned char *data, unsigned char block[MODULUS])
{
    unsigned char work[MODULUS + 4];
    unsigned char *seed = block + 1, *masked = seed + SHA256_LENGTH;
    const size_t data_length = MODULUS - SHA256_LENGTH - 1;
    block[0] = first;
    memset(seed, 0x5a, SHA256_LENGTH);
    memcpy(masked, data, data_length);
    assert_int_equal(
        rsa_mgf1_xor(fixture.crypto, KW_HASH_SHA256, (kw_input){seed, SHA256_LENGTH}, masked, data_length, work, NULL),
        KW_OK);
    assert_int_equal(
        rsa_mgf1_xor(fixture.crypto, KW_HASH_SHA256, (kw_input){masked, data_length}, seed, SHA256_LENGTH, work, NULL),
        KW_OK);
}

static void rsa_oaep_unpad_each_malformation_is_one_answer(void **state)
{
    (void)state;
    unsigned char data[MODULUS - SHA256_LENGTH - 1] = {0}, block[MODULUS], message[MODULUS];
    const size_t end = sizeof(data);
    size_t length;
    assert_int_equal(crypto_sha256(fixture.crypto, (kw_input){0}, data, NULL), KW_OK);
    data[end - 3] = 1;
    data[end - 2] = 'o';
    data[end - 1] = 'k';
    mask_block(0, data, block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_NONE, (kw_input){0}, block, message, &length), KW_OK);
    assert_int_equal(length, 2);
    assert_memory_equal(message, "ok", 2);

    mask_block(1, data, block); /* the first byte is not zero */
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_NONE, (kw_input){0}, block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    data[SHA256_LENGTH - 1] ^= 1; /* the label's hash */
    mask_block(0, data, block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_NONE, (kw_input){0}, block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    data[SHA256_LENGTH - 1] ^= 1;
    data[SHA256_LENGTH] = 2; /* the padding */
    mask_block(0, data, block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_NONE, (kw_input){0}, block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    memset(data + SHA256_LENGTH, 0, end - SHA256_LENGTH); /* no separator */
    mask_block(0, data, block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_NONE, (kw_input){0}, block, message, &length),
                     KW_CIPHERTEXT_INVALID);
    data[end - 1] = 1; /* a separator and no message */
    mask_block(0, data, block);
    assert_int_equal(unpad_oaep(KW_HASH_SHA256, KW_HASH_NONE, (kw_input){0}, block, message, &length), KW_OK);
    assert_int_equal(length, 0);
}

static void rsa_oaep_unpad_little_room_or_a_wrong_call_is_told(void **state)
{
    (void)state;
    unsigned char block[MODULUS] = {0}, message[MODULUS];
    kw_output small = {message, MODULUS - 1, 0}, question = {NULL, 0, 0}, enough = {message, MODULUS, 0};
    const kw_input input = {block, MODULUS};
    assert_int_equal(rsa_oaep_unpad(fixture.crypto, KW_HASH_SHA256, 0, (kw_input){0}, input, &small, NULL),
                     KW_BUFFER_TOO_SMALL);
    assert_int_equal(small.length, MODULUS);
    assert_int_equal(rsa_oaep_unpad(fixture.crypto, KW_HASH_SHA256, 0, (kw_input){0}, input, &question, NULL),
                     KW_BUFFER_TOO_SMALL);
    assert_int_equal(question.length, MODULUS);
    assert_int_equal(rsa_oaep_unpad(fixture.crypto, KW_HASH_NONE, 0, (kw_input){0}, input, &enough, NULL),
                     KW_UNSUPPORTED);
    /* too short a modulus for this hash */
    assert_int_equal(
        rsa_oaep_unpad(fixture.crypto, KW_HASH_SHA512, 0, (kw_input){0}, (kw_input){block, 129}, &enough, NULL),
        KW_CIPHERTEXT_INVALID);
}

/* ---- PKCS#1 v1.5 ---- */

static const unsigned char seed_bytes[32] = "a seed that no attacker has seen";
static const kw_input seed = {seed_bytes, sizeof(seed_bytes)};

static size_t unpad_pkcs1(kw_input with, const unsigned char *ciphertext, const unsigned char *block, size_t size,
                          unsigned char *message)
{
    kw_output output = {message, size, 0};
    assert_int_equal(
        rsa_pkcs1_unpad(fixture.crypto, with, (kw_input){ciphertext, size}, (kw_input){block, size}, &output, NULL),
        KW_OK);
    assert_true(output.length <= size - 11);
    return output.length;
}

static void rsa_pkcs1_unpad_messages_of_every_length_are_whole(void **state)
{
    (void)state;
    static const unsigned char ciphertext[MODULUS];
    unsigned char block[MODULUS], message[MODULUS];
    for (size_t length = 0; length <= MODULUS - 11; length++) {
        memset(block, 0xee, sizeof(block));
        block[0] = 0;
        block[1] = 2;
        block[MODULUS - length - 1] = 0;
        for (size_t i = 0; i < length; i++)
            block[MODULUS - length + i] = (unsigned char)(i % 5); /* zeros in the message end nothing */
        assert_int_equal(unpad_pkcs1(seed, ciphertext, block, MODULUS, message), length);
        assert_memory_equal(message, block + MODULUS - length, length);
    }
}

static void rsa_pkcs1_unpad_what_libcrypto_padded_is_the_message(void **state)
{
    (void)state;
    unsigned char ciphertext[MODULUS], block[MODULUS], message[MODULUS];
    size_t length = MODULUS;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(fixture.crypto->library, fixture.key, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(context, ciphertext, &length, (const unsigned char *)"text", 4), 1);
    EVP_PKEY_CTX_free(context);
    decrypt(RSA_NO_PADDING, ciphertext, block, &length);
    assert_int_equal(unpad_pkcs1(seed, ciphertext, block, MODULUS, message), 4);
    assert_memory_equal(message, "text", 4);
}

static void rsa_pkcs1_unpad_malformed_is_rejected_as_openssl_3_2_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rejections) / sizeof(rejections[0]); i++) {
        unsigned char with[32], ciphertext[512], block[512], message[512], expected[512];
        const size_t size = strlen(rejections[i].block) / 2, length = strlen(rejections[i].message) / 2;
        assert_true(size <= sizeof(block));
        assert_true(hex_decode(rejections[i].seed, with, sizeof(with)));
        assert_true(hex_decode(rejections[i].ciphertext, ciphertext, size));
        assert_true(hex_decode(rejections[i].block, block, size));
        assert_true(hex_decode(rejections[i].message, expected, length));
        print_message("%s\n", rejections[i].name);
        assert_int_equal(unpad_pkcs1((kw_input){with, sizeof(with)}, ciphertext, block, size, message), length);
        assert_memory_equal(message, expected, length);
    }
}

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
/* The library's own seed is the hash of the private exponent. */
static void rsa_pkcs1_unpad_malformed_is_rejected_as_this_libcrypto_does(void **state)
{
    (void)state;
    unsigned char exponent[MODULUS], with[SHA256_LENGTH];
    BIGNUM *d = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(fixture.key, "d", &d), 1);
    assert_int_equal(BN_bn2binpad(d, exponent, MODULUS), MODULUS);
    BN_clear_free(d);
    assert_int_equal(crypto_sha256(fixture.crypto, (kw_input){exponent, MODULUS}, with, NULL), KW_OK);
    for (unsigned char i = 0; i < 50; i++) {
        unsigned char ciphertext[MODULUS] = {0, i}, block[MODULUS], message[MODULUS], expected[MODULUS];
        size_t length, expected_length;
        memset(ciphertext + 2, i, MODULUS - 2);
        ciphertext[MODULUS - 1] = 1;
        decrypt(RSA_NO_PADDING, ciphertext, block, &length);
        decrypt(RSA_PKCS1_PADDING, ciphertext, expected, &expected_length);
        assert_int_equal(unpad_pkcs1((kw_input){with, sizeof(with)}, ciphertext, block, MODULUS, message),
                         expected_length);
        assert_memory_equal(message, expected, expected_length);
    }
}
#endif

static void rsa_pkcs1_unpad_exactly_gives_messages_of_this_length_alone(void **state)
{
    (void)state;
    unsigned char ciphertext[MODULUS] = {1}, block[MODULUS], room[MODULUS], again[MODULUS], rejected[MODULUS];
    for (size_t length = 0; length <= MODULUS - 11; length += length < 40 ? 1 : 31) {
        kw_output message = {.data = room, .capacity = sizeof(room)};
        memset(block, 0x77, sizeof(block));
        block[0] = 0;
        block[1] = 2;
        block[MODULUS - length - 1] = 0;
        assert_int_equal(rsa_pkcs1_unpad_exactly(fixture.crypto, seed, (kw_input){ciphertext, MODULUS},
                                                 (kw_input){block, MODULUS}, 32, &message, NULL),
                         KW_OK);
        assert_int_equal(message.length, 32);
        if (length == 32) {
            assert_memory_equal(room, block + MODULUS - 32, 32);
            continue;
        }
        assert_memory_not_equal(room, block + MODULUS - 32, 32);
        if (length == 0)
            memcpy(rejected, room, 32);
        assert_memory_equal(room, rejected, 32); /* whatever the block */
    }
    /* Of the pseudo-random message, the same bytes as OpenSSL's are the last ones. */
    memset(block, 1, sizeof(block));
    const size_t length = unpad_pkcs1(seed, ciphertext, block, MODULUS, again);
    if (length >= 32)
        assert_memory_equal(again + length - 32, rejected, 32);
    static const size_t wrong[] = {0, MODULUS - 10, MODULUS, SIZE_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        kw_output message = {.data = room, .capacity = sizeof(room)};
        assert_int_equal(rsa_pkcs1_unpad_exactly(fixture.crypto, seed, (kw_input){ciphertext, MODULUS},
                                                 (kw_input){block, MODULUS}, wrong[i], &message, NULL),
                         KW_INVALID_ARGUMENT);
    }
}

static void rsa_tls_unpad_gives_secrets_of_these_versions_alone(void **state)
{
    (void)state;
    unsigned char ciphertext[MODULUS] = {1}, block[MODULUS], room[MODULUS], rejected[RSA_TLS_SECRET];
    static const struct {
        unsigned char first, second;
        uint32_t client, other;
        size_t length;
        bool good;
    } cases[] = {
        {3, 3, 0x0303, 0, 48, true},       {3, 3, 0x0304, 0x0303, 48, true}, {3, 3, 0x0303, 0x0303, 48, true},
        {3, 2, 0x0303, 0, 48, false},      {2, 3, 0x0303, 0, 48, false},     {3, 3, 0x0304, 0, 48, false},
        {3, 3, 0x0304, 0x0302, 48, false}, {3, 3, 0x030303, 0, 48, false},   {3, 3, 0x0303, 0, 47, false},
        {3, 3, 0x0303, 0, 49, false},      {0, 0, 0x0303, 0, 48, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_output secret = {.data = room, .capacity = sizeof(room)};
        memset(block, 0x77, sizeof(block));
        block[0] = 0;
        block[1] = 2;
        block[MODULUS - cases[i].length - 1] = 0;
        block[MODULUS - 48] = cases[i].first;
        block[MODULUS - 47] = cases[i].second;
        assert_int_equal(rsa_tls_unpad(fixture.crypto, seed, (kw_input){ciphertext, MODULUS},
                                       (kw_input){block, MODULUS}, cases[i].client, cases[i].other, &secret, NULL),
                         KW_OK);
        assert_int_equal(secret.length, RSA_TLS_SECRET);
        assert_int_equal(memcmp(room, block + MODULUS - RSA_TLS_SECRET, RSA_TLS_SECRET) == 0, cases[i].good);
        if (i == 3)
            memcpy(rejected, room, sizeof(rejected));
        if (!cases[i].good)
            assert_memory_equal(room, rejected, sizeof(rejected)); /* whatever the block */
    }
    kw_output secret = {.data = room, .capacity = sizeof(room)};
    assert_int_equal(rsa_tls_unpad(fixture.crypto, seed, (kw_input){ciphertext, MODULUS}, (kw_input){block, MODULUS}, 0,
                                   0x0303, &secret, NULL),
                     KW_INVALID_ARGUMENT);
    assert_int_equal(rsa_tls_unpad(fixture.crypto, seed, (kw_input){ciphertext, 58}, (kw_input){block, 58}, 0x0303, 0,
                                   &secret, NULL),
                     KW_INVALID_ARGUMENT);
}

static void rsa_pkcs1_unpad_rejection_is_a_function_of_seed_and_ciphertext_alone(void **state)
{
    (void)state;
    unsigned char ciphertext[MODULUS] = {1}, block[MODULUS] = {1}, one[MODULUS], other[MODULUS];
    const size_t length = unpad_pkcs1(seed, ciphertext, block, MODULUS, one);
    /* another malformed block */
    block[7] = 9;
    assert_int_equal(unpad_pkcs1(seed, ciphertext, block, MODULUS, other), length);
    assert_memory_equal(one, other, length);
    /* another ciphertext, another seed: of 20 tries, not all have the same length */
    unsigned same = 0;
    for (unsigned char i = 2; i < 22; i++) {
        ciphertext[0] = i;
        same += unpad_pkcs1(seed, ciphertext, block, MODULUS, other) == length;
    }
    assert_true(same < 20);
    ciphertext[0] = 1;
    same = 0;
    for (unsigned char i = 0; i < 20; i++) {
        const unsigned char seeds[32] = {i};
        same += unpad_pkcs1((kw_input){seeds, sizeof(seeds)}, ciphertext, block, MODULUS, other) == length;
    }
    assert_true(same < 20);
}

static void rsa_pkcs1_unpad_little_room_or_a_wrong_call_is_told(void **state)
{
    (void)state;
    unsigned char block[MODULUS] = {0}, message[MODULUS];
    kw_output small = {message, MODULUS - 1, 0}, enough = {message, MODULUS, 0};
    const kw_input input = {block, MODULUS};
    assert_int_equal(rsa_pkcs1_unpad(fixture.crypto, seed, input, input, &small, NULL), KW_BUFFER_TOO_SMALL);
    assert_int_equal(small.length, MODULUS);
    assert_int_equal(rsa_pkcs1_unpad(fixture.crypto, seed, (kw_input){block, MODULUS - 1}, input, &enough, NULL),
                     KW_INVALID_ARGUMENT);
    assert_int_equal(rsa_pkcs1_unpad(fixture.crypto, seed, (kw_input){block, 10}, (kw_input){block, 10}, &enough, NULL),
                     KW_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_oaep_unpad_every_hash_label_and_length_is_what_libcrypto_padded),
        cmocka_unit_test(rsa_oaep_unpad_no_mgf_hash_means_the_same),
        cmocka_unit_test(rsa_oaep_unpad_any_changed_byte_is_invalid),
        cmocka_unit_test(rsa_oaep_unpad_other_parameters_are_invalid),
        cmocka_unit_test(rsa_oaep_unpad_each_malformation_is_one_answer),
        cmocka_unit_test(rsa_oaep_unpad_little_room_or_a_wrong_call_is_told),
        cmocka_unit_test(rsa_pkcs1_unpad_messages_of_every_length_are_whole),
        cmocka_unit_test(rsa_pkcs1_unpad_what_libcrypto_padded_is_the_message),
        cmocka_unit_test(rsa_pkcs1_unpad_malformed_is_rejected_as_openssl_3_2_does),
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
        cmocka_unit_test(rsa_pkcs1_unpad_malformed_is_rejected_as_this_libcrypto_does),
#endif
        cmocka_unit_test(rsa_pkcs1_unpad_exactly_gives_messages_of_this_length_alone),
        cmocka_unit_test(rsa_tls_unpad_gives_secrets_of_these_versions_alone),
        cmocka_unit_test(rsa_pkcs1_unpad_rejection_is_a_function_of_seed_and_ciphertext_alone),
        cmocka_unit_test(rsa_pkcs1_unpad_little_room_or_a_wrong_call_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
