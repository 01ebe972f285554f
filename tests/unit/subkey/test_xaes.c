#include "subkey/xaes.h"

#include "base/buffer.h"
#include "data/xaes_256_gcm.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scene {
    struct crypto *crypto;
    struct xaes *xaes;
};

static int setup(void **state)
{
    static struct scene scene;
    *state = &scene;
    return crypto_open(&scene.crypto, NULL) == KW_OK && xaes_new(scene.crypto, &scene.xaes, NULL) == KW_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    xaes_free(scene->xaes);
    crypto_close(scene->crypto);
    return 0;
}

static void xaes_vectors_of_the_standard_come_out(void **state)
{
    const struct scene *scene = *state;
    for (size_t i = 0; i < sizeof(xaes_vectors) / sizeof(xaes_vectors[0]); i++) {
        unsigned char bytes[XAES_KEY_LENGTH], out[64], expected[64], nonce[XAES_NONCE_LENGTH], opened[64];
        const kw_input text = input_text(xaes_vectors[i].plaintext),
                       associated = input_text(xaes_vectors[i].associated);
        const size_t length = text.length;
        struct xaes_secret secret;
        struct xaes_key key;
        assert_true(hex_decode(xaes_vectors[i].key, bytes, sizeof(bytes)));
        assert_true(hex_decode(xaes_vectors[i].ciphertext, expected, length + XAES_TAG_LENGTH));
        assert_int_equal(xaes_prepare(scene->xaes, bytes, &secret, NULL), KW_OK);
        xaes_key_init(&key, scene->xaes, &secret);
        const unsigned char *given = (const unsigned char *)xaes_vectors[i].nonce;
        struct xaes_message message = {text, {associated, {0}}};
        assert_int_equal(xaes_encrypt(&key, given, &message, nonce, out, out + length, NULL), KW_OK);
        assert_memory_equal(nonce, given, sizeof(nonce));
        assert_memory_equal(out, expected, length + XAES_TAG_LENGTH);
        message.text.data = out;
        assert_int_equal(xaes_decrypt(&key, given, &message, out + length, opened, NULL), KW_OK);
        assert_memory_equal(opened, text.data, length);
        xaes_key_clear(&key);
    }
}

/* SHAKE-128 of nothing, so many bytes; to be freed. */
static unsigned char *shake(size_t length)
{
    unsigned char *bytes = malloc(length);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_non_null(bytes);
    assert_non_null(context);
    assert_int_equal(EVP_DigestInit_ex(context, EVP_shake128(), NULL), 1);
    assert_int_equal(EVP_DigestFinalXOF(context, bytes, length), 1);
    EVP_MD_CTX_free(context);
    return bytes;
}

static void accumulate(const struct scene *scene, unsigned iterations, const char *expected)
{
    const size_t most = (size_t)iterations * 330; /* at most 568 each, 313 in the mean */
    unsigned char *stream = shake(most), out[256 + XAES_TAG_LENGTH], nonce[XAES_NONCE_LENGTH], opened[256];
    kw_input rest = {stream, most};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    assert_non_null(hash);
    assert_int_equal(EVP_DigestInit_ex(hash, EVP_shake128(), NULL), 1);
    for (unsigned i = 0; i < iterations; i++) {
        kw_input bytes, given;
        struct xaes_message message = {0};
        struct xaes_secret secret;
        struct xaes_key key;
        uint8_t length;
        assert_true(input_bytes(&rest, XAES_KEY_LENGTH, &bytes) && input_bytes(&rest, XAES_NONCE_LENGTH, &given));
        assert_true(input_u8(&rest, &length) && input_bytes(&rest, length, &message.text));
        assert_true(input_u8(&rest, &length) && input_bytes(&rest, length, &message.associated[i % 2]));
        const kw_input text = message.text;
        assert_int_equal(xaes_prepare(scene->xaes, bytes.data, &secret, NULL), KW_OK);
        xaes_key_init(&key, scene->xaes, &secret);
        assert_int_equal(xaes_encrypt(&key, given.data, &message, nonce, out, out + text.length, NULL), KW_OK);
        assert_int_equal(EVP_DigestUpdate(hash, out, text.length + XAES_TAG_LENGTH), 1);
        message.text.data = out;
        assert_int_equal(xaes_decrypt(&key, nonce, &message, out + text.length, opened, NULL), KW_OK);
        assert_memory_equal(opened, text.data, text.length);
        xaes_key_clear(&key);
    }
    unsigned char digest[32];
    char digits[2 * sizeof(digest) + 1];
    assert_int_equal(EVP_DigestFinalXOF(hash, digest, sizeof(digest)), 1);
    hex_encode((kw_input){digest, sizeof(digest)}, digits);
    assert_string_equal(digits, expected);
    EVP_MD_CTX_free(hash);
    free(stream);
}

static void xaes_accumulated_vectors_of_the_standard_come_out(void **state)
{
    const char *full = getenv("KW_TEST_FULL");
    accumulate(*state, xaes_accumulated[0].iterations, xaes_accumulated[0].hash);
    if (full != NULL && strcmp(full, "yes") == 0)
        accumulate(*state, xaes_accumulated[1].iterations, xaes_accumulated[1].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xaes_vectors_of_the_standard_come_out),
        cmocka_unit_test(xaes_accumulated_vectors_of_the_standard_come_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
