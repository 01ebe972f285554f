#include "base/crypto.h"

#include "base/buffer.h"
#include "folder.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static int setup(void **state)
{
    struct crypto *crypto = NULL;
    if (crypto_open(&crypto, NULL) != KW_OK)
        return -1;
    *state = crypto;
    return 0;
}

static int teardown(void **state)
{
    crypto_close(*state);
    return 0;
}

/* Bytes from hex; to be freed. */
static kw_input unhex(const char *text)
{
    size_t length = strlen(text) / 2;
    unsigned char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    assert_true(hex_decode(text, bytes, length));
    return (kw_input){bytes, length};
}

static void release(kw_input input)
{
    free((void *)(uintptr_t)input.data);
}

static void crypto_open_leaves_the_default_context_alone(void **state)
{
    struct crypto *crypto = *state;
    assert_non_null(crypto->library);
    assert_ptr_not_equal(crypto->library, OSSL_LIB_CTX_get0_global_default());
    /* Had anything been loaded into it, its implicit default provider would be off and this would fail. */
    EVP_MD *digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    assert_non_null(digest);
    EVP_MD_free(digest);
    assert_int_equal(ERR_peek_error(), 0);
}

static void crypto_digest_every_hash_gives_its_known_answer(void **state)
{
    static const struct {
        kw_hash hash;
        const char *digest; /* of "abc": FIPS 180-4 examples */
    } cases[] = {
        {KW_HASH_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {KW_HASH_SHA224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
        {KW_HASH_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {KW_HASH_SHA384,
         "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
        {KW_HASH_SHA512,
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
         "454d4423643ce80e2a9ac94fa54ca49f"},
    };
    unsigned char digest[EVP_MAX_MD_SIZE];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = 0;
        char text[2 * EVP_MAX_MD_SIZE + 1];
        assert_int_equal(crypto_digest(*state, cases[i].hash, input_text("abc"), digest, &length, NULL), KW_OK);
        assert_int_equal(length, hash_length(cases[i].hash));
        hex_encode((kw_input){digest, length}, text);
        assert_string_equal(text, cases[i].digest);
    }
}

static void crypto_digest_no_hash_is_unsupported(void **state)
{
    const int number = 99;
    kw_hash unknown;
    memcpy(&unknown, &number, sizeof(unknown));
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t length;
    kw_error error;
    assert_int_equal(crypto_digest(*state, KW_HASH_NONE, input_text("abc"), digest, &length, &error), KW_UNSUPPORTED);
    assert_int_equal(crypto_digest(*state, unknown, input_text("abc"), digest, &length, &error), KW_UNSUPPORTED);
    assert_null(hash_name(unknown));
    assert_null(hash_name(KW_HASH_NONE));
    assert_int_equal(hash_length(unknown), 0);
    assert_string_equal(hash_name(KW_HASH_SHA384), "SHA384");
}

static void crypto_sha256_empty_input_gives_its_known_answer(void **state)
{
    unsigned char digest[SHA256_LENGTH];
    char text[2 * SHA256_LENGTH + 1];
    assert_int_equal(crypto_sha256(*state, (kw_input){NULL, 0}, digest, NULL), KW_OK);
    hex_encode((kw_input){digest, sizeof(digest)}, text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231 */
static void crypto_hmac_sha256_known_answers(void **state)
{
    static const struct {
        const char *key, *input, *mac;
    } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char mac[SHA256_LENGTH];
        char text[2 * SHA256_LENGTH + 1];
        kw_input key = unhex(cases[i].key), input = unhex(cases[i].input);
        assert_int_equal(crypto_hmac_sha256(*state, key, input, mac, NULL), KW_OK);
        hex_encode((kw_input){mac, sizeof(mac)}, text);
        assert_string_equal(text, cases[i].mac);
        release(key);
        release(input);
    }
}

static void crypto_hmac_sha256_key_of_no_bytes_and_no_address_works(void **state)
{
    unsigned char one[SHA256_LENGTH], other[SHA256_LENGTH];
    assert_int_equal(crypto_hmac_sha256(*state, (kw_input){NULL, 0}, input_text("x"), one, NULL), KW_OK);
    assert_int_equal(crypto_hmac_sha256(*state, input_text(""), input_text("x"), other, NULL), KW_OK);
    assert_memory_equal(one, other, sizeof(one));
}

/* The second steps of RFC 5869, A.1 to A.3 */
static void crypto_hkdf_expand_known_answers(void **state)
{
    static const struct {
        const char *key, *info, *out;
    } cases[] = {
        {"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", "f0f1f2f3f4f5f6f7f8f9",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
         "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e"
         "6e7e8e9"
         "eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f0"
         "9b83677"
         "93a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
        {"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", "",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char out[100];
        kw_input key = unhex(cases[i].key), info = unhex(cases[i].info), expected = unhex(cases[i].out);
        assert_int_equal(crypto_hkdf_expand(*state, key, info, out, expected.length, NULL), KW_OK);
        assert_memory_equal(out, expected.data, expected.length);
        release(key);
        release(info);
        release(expected);
    }
}

static void crypto_hkdf_expand_too_long_fails_with_a_reason(void **state)
{
    static unsigned char out[255 * 32 + 1];
    kw_error error = {0};
    const kw_input key = input_text("0123456789abcdef0123456789abcdef");
    assert_int_equal(crypto_hkdf_expand(*state, key, input_text("x"), out, sizeof(out) - 1, &error), KW_OK);
    assert_int_equal(crypto_hkdf_expand(*state, key, input_text("x"), out, sizeof(out), &error), KW_FAILED);
    assert_string_not_equal(error.message, "");
    assert_int_equal(ERR_peek_error(), 0);
}

static void crypto_random_twice_differs(void **state)
{
    unsigned char one[32] = {0}, other[32] = {0};
    assert_int_equal(crypto_random(*state, one, sizeof(one), NULL), KW_OK);
    assert_int_equal(crypto_random(*state, other, sizeof(other), NULL), KW_OK);
    assert_memory_not_equal(one, other, sizeof(one));
}

static void crypto_error_tells_the_newest_reason_and_empties_the_queue(void **state)
{
    (void)state;
    kw_error error = {0};
    ERR_raise(ERR_LIB_EVP, EVP_R_INVALID_KEY_LENGTH);
    ERR_raise(ERR_LIB_EVP, EVP_R_UNSUPPORTED_ALGORITHM);
    assert_int_equal(crypto_error(&error, KW_UNSUPPORTED, "cannot %s", "do it"), KW_UNSUPPORTED);
    assert_string_equal(error.message, "cannot do it: unsupported algorithm");
    assert_int_equal(ERR_peek_error(), 0);
    crypto_error(&error, KW_FAILED, "cannot");
    assert_string_equal(error.message, "cannot");
}

static void crypto_equal_compares_all_bytes(void **state)
{
    (void)state;
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_false(crypto_equal("abc", "Abc", 3));
    assert_true(crypto_equal("abc", "abd", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crypto_open_leaves_the_default_context_alone),
        cmocka_unit_test(crypto_digest_every_hash_gives_its_known_answer),
        cmocka_unit_test(crypto_digest_no_hash_is_unsupported),
        cmocka_unit_test(crypto_sha256_empty_input_gives_its_known_answer),
        cmocka_unit_test(crypto_hmac_sha256_known_answers),
        cmocka_unit_test(crypto_hmac_sha256_key_of_no_bytes_and_no_address_works),
        cmocka_unit_test(crypto_hkdf_expand_known_answers),
        cmocka_unit_test(crypto_hkdf_expand_too_long_fails_with_a_reason),
        cmocka_unit_test(crypto_random_twice_differs),
        cmocka_unit_test(crypto_error_tells_the_newest_reason_and_empties_the_queue),
        cmocka_unit_test(crypto_equal_compares_all_bytes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
