/*
 * Whether unpadding branches on a byte of the block or indexes memory by one: valgrind is told that the block is not initialised, and must
 * find no decision that depends on it. Not under valgrind, the program starts itself again there.
 */
#include "base/rsa_padding.h"

#include "folder.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

enum { MODULUS = 256 };

static struct crypto *crypto;

static int setup(void **state)
{
    (void)state;
    return crypto_open(&crypto, NULL) == KW_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crypto_close(crypto);
    return 0;
}

/* Whether valgrind still knows that a value depends on the block. */
static bool depends(const void *value, size_t length)
{
    unsigned char bits[8] = {0};
    assert_true(length <= sizeof(bits));
    assert_int_equal(VALGRIND_GET_VBITS(value, bits, length), 1);
    for (size_t i = 0; i < length; i++) {
        if (bits[i] != 0)
            return true;
    }
    return false;
}

static void rsa_pkcs1_unpad_decides_nothing_by_the_block(void **state)
{
    (void)state;
    const unsigned char ciphertext[MODULUS] = {1}, seed[32] = {2};
    unsigned char block[MODULUS], message[MODULUS];
    kw_output output = {message, sizeof(message), 0};
    memset(block, 3, sizeof(block));
    block[0] = 0;
    block[1] = 2;
    block[100] = 0;
    VALGRIND_MAKE_MEM_UNDEFINED(block, sizeof(block));
    const unsigned before = VALGRIND_COUNT_ERRORS;
    kw_status status = rsa_pkcs1_unpad(crypto, (kw_input){seed, sizeof(seed)}, (kw_input){ciphertext, MODULUS},
                                       (kw_input){block, MODULUS}, &output, NULL);
    assert_int_equal(VALGRIND_COUNT_ERRORS - before, 0);
    assert_int_equal(status, KW_OK);
    assert_true(depends(&output.length, sizeof(output.length)));
    VALGRIND_MAKE_MEM_DEFINED(&output.length, sizeof(output.length));
    assert_int_equal(output.length, MODULUS - 101);
}

static void rsa_oaep_decode_decides_nothing_by_the_block(void **state)
{
    (void)state;
    unsigned char block[MODULUS] = {0}, message[MODULUS];
    uint32_t good = 1;
    for (kw_hash hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++) {
        kw_output output = {message, sizeof(message), 0};
        VALGRIND_MAKE_MEM_UNDEFINED(block, sizeof(block));
        const unsigned before = VALGRIND_COUNT_ERRORS;
        kw_status status = rsa_oaep_decode(crypto, hash, KW_HASH_SHA1, (kw_input){0}, (kw_input){block, MODULUS},
                                           &output, &good, NULL);
        assert_int_equal(VALGRIND_COUNT_ERRORS - before, 0);
        assert_int_equal(status, KW_OK);
        assert_true(depends(&good, sizeof(good)));
        VALGRIND_MAKE_MEM_DEFINED(&good, sizeof(good));
        assert_int_equal(good, 0);
    }
}

static void rsa_tls_unpad_decides_nothing_by_the_block(void **state)
{
    (void)state;
    const unsigned char ciphertext[MODULUS] = {1}, seed[32] = {2};
    unsigned char block[MODULUS], message[MODULUS];
    memset(block, 3, sizeof(block));
    block[0] = 0;
    block[1] = 2;
    block[MODULUS - RSA_TLS_SECRET - 1] = 0;
    for (uint32_t version = 0x0302; version <= 0x0303; version++) {
        kw_output output = {message, sizeof(message), 0};
        VALGRIND_MAKE_MEM_UNDEFINED(block, sizeof(block));
        const unsigned before = VALGRIND_COUNT_ERRORS;
        kw_status status = rsa_tls_unpad(crypto, (kw_input){seed, sizeof(seed)}, (kw_input){ciphertext, MODULUS},
                                         (kw_input){block, MODULUS}, version, 0x0301, &output, NULL);
        assert_int_equal(VALGRIND_COUNT_ERRORS - before, 0);
        assert_int_equal(status, KW_OK);
        assert_true(depends(message, 8));
        VALGRIND_MAKE_MEM_DEFINED(message, sizeof(message));
        VALGRIND_MAKE_MEM_DEFINED(&output.length, sizeof(output.length));
        assert_int_equal(output.length, RSA_TLS_SECRET);
        assert_int_equal(message[0] == 3 && message[1] == 3 && message[47] == 3, version == 0x0303);
    }
}

int main(int count, char **arguments)
{
    (void)count;
    if (!RUNNING_ON_VALGRIND) {
        execlp("valgrind", "valgrind", "--quiet", "--error-exitcode=1", arguments[0], (char *)NULL);
        perror("valgrind");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_pkcs1_unpad_decides_nothing_by_the_block),
        cmocka_unit_test(rsa_oaep_decode_decides_nothing_by_the_block),
        cmocka_unit_test(rsa_tls_unpad_decides_nothing_by_the_block),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
