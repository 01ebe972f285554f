/* Who decrypts, agrees on secrets and signs for clients is no oracle for roots. */
#include "masters.h"

#include "subkey/root_private.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct masters *masters;
static kw_error *error;

static int setup(void **state)
{
    (void)state;
    masters = masters_new();
    error = &masters->error;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    masters_free(masters);
    return 0;
}

/* The ciphertext that is wrapped to the master key. */
static struct buffer wrapped(const struct id *master)
{
    struct root_rows rows = {0};
    struct root_wraps wraps;
    struct buffer ciphertext = {0};
    uint32_t version = 0;
    assert_fine(masters, root_make(&masters->place, master, 0, &version, error));
    assert_fine(masters, root_rows_read(&masters->place, master, &rows, error));
    assert_true(root_wraps_read((kw_input){rows.rows[0].wraps.data, rows.rows[0].wraps.length}, &wraps));
    buffer_append(&ciphertext, wraps.wraps[0].ciphertext.data, wraps.wraps[0].ciphertext.length);
    assert_false(ciphertext.failed);
    root_rows_clear(&rows);
    return ciphertext;
}

static const kw_algorithm oaep = {
    .size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256, .mgf_hash = KW_HASH_SHA256};

static void kw_key_decrypt_wrapped_root_is_invalid(void **state)
{
    struct id master;
    struct pair pair = masters_add(masters, "master-key/example", "rsa-2048", &master);
    struct buffer root = wrapped(&master);
    unsigned char out[256], other[256];
    kw_output plaintext = {.data = out, .capacity = sizeof(out), .length = 77};
    kw_error first;
    size_t length = sizeof(out);
    (void)state;
    memset(out, 0xaa, sizeof(out));
    assert_answers(masters, KW_CIPHERTEXT_INVALID,
                   kw_key_decrypt(pair.key, &oaep, buffer_view(&root), &plaintext, error));
    first = *error;
    assert_int_equal(plaintext.length, 77);
    for (size_t i = 0; i < sizeof(out); i++)
        assert_int_equal(out[i], 0);
    /* As any other. */
    root.data[100] ^= 1;
    assert_answers(masters, KW_CIPHERTEXT_INVALID,
                   kw_key_decrypt(pair.key, &oaep, buffer_view(&root), &plaintext, error));
    assert_memory_equal(&first, error, sizeof(first));
    memset(other, 0xff, sizeof(other));
    assert_answers(masters, KW_CIPHERTEXT_INVALID,
                   kw_key_decrypt(pair.key, &oaep, (kw_input){other, sizeof(other)}, &plaintext, error));
    assert_memory_equal(&first, error, sizeof(first));
    root.data[100] ^= 1;

    /* Through the provider. */
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(masters->ring.crypto->library, pair.ours, NULL);
    assert_non_null(context);
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_oaep_md_name(context, "SHA256", NULL));
    assert_true(EVP_PKEY_decrypt(context, out, &length, root.data, root.length) <= 0);
    EVP_PKEY_CTX_free(context);
    /* Its own way does open it. */
    struct secret opened = {0};
    assert_fine(masters, root_load(&masters->place, &master, 1, &opened, error));
    secret_clear(&opened);
    buffer_free(&root);
    pair_clear(&pair);
}

static size_t encrypt_pkcs1(const struct pair *pair, const char *text, unsigned char *out, size_t capacity)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(masters->ring.crypto->library, pair->plain, "provider=default");
    size_t length = capacity;
    assert_non_null(context);
    assert_libcrypto(EVP_PKEY_encrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING));
    assert_libcrypto(EVP_PKEY_encrypt(context, out, &length, (const unsigned char *)text, strlen(text)));
    EVP_PKEY_CTX_free(context);
    return length;
}

/* A pseudo-random message, the same each time. */
static void key_decrypt_pkcs1_of_a_root_is_rejected(void **state)
{
    static const char root[] = "keywright root/1 and what follows", near[] = "keywright root/2 and what follows";
    struct id master;
    struct pair pair = masters_add(masters, "master-key/example", "rsa-2048", &master);
    unsigned char ciphertext[256], first[256], second[256];
    kw_output one = {.data = first, .capacity = sizeof(first)}, two = {.data = second, .capacity = sizeof(second)};
    size_t length = encrypt_pkcs1(&pair, root, ciphertext, sizeof(ciphertext));
    (void)state;
    assert_fine(masters, key_decrypt_pkcs1(pair.key, (kw_input){ciphertext, length}, &one, error));
    assert_fine(masters, key_decrypt_pkcs1(pair.key, (kw_input){ciphertext, length}, &two, error));
    assert_false(input_equal((kw_input){first, one.length}, input_text(root)));
    assert_true(one.length < 16 || memcmp(first, root, 16) != 0);
    assert_true(input_equal((kw_input){first, one.length}, (kw_input){second, two.length}));
    assert_fine(masters,
                key_decrypt_pkcs1_exactly(pair.key, (kw_input){ciphertext, length}, strlen(root), &one, error));
    assert_false(input_equal((kw_input){first, one.length}, input_text(root)));
    length = encrypt_pkcs1(&pair, near, ciphertext, sizeof(ciphertext));
    assert_fine(masters, key_decrypt_pkcs1(pair.key, (kw_input){ciphertext, length}, &one, error));
    assert_true(input_equal((kw_input){first, one.length}, input_text(near)));
    pair_clear(&pair);
}

static bool provider_derives(const struct pair *pair, EVP_PKEY *peer, bool with_kdf)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(masters->ring.crypto->library, pair->ours, NULL);
    unsigned char out[32];
    size_t length = sizeof(out);
    bool derives;
    assert_non_null(context);
    assert_libcrypto(EVP_PKEY_derive_init(context));
    if (with_kdf) {
        char kdf[] = OSSL_KDF_NAME_X963KDF, digest[] = "SHA256";
        size_t wanted = sizeof(out);
        const OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, kdf, 0),
            OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, digest, 0),
            OSSL_PARAM_construct_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, &wanted),
            OSSL_PARAM_construct_end(),
        };
        assert_libcrypto(EVP_PKEY_CTX_set_params(context, parameters));
    }
    assert_libcrypto(EVP_PKEY_derive_set_peer(context, peer));
    derives = EVP_PKEY_derive(context, out, &length) > 0;
    EVP_PKEY_CTX_free(context);
    return derives;
}

static void kw_key_derive_of_a_master_key_refused(void **state)
{
    struct id master;
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    EVP_PKEY *made = EVP_PKEY_Q_keygen(masters->ring.crypto->library, NULL, "EC", "P-256"), *peer;
    unsigned char *spki = NULL, out[66];
    const unsigned char *at;
    kw_output shared = {.data = out, .capacity = sizeof(out)};
    const int length = i2d_PUBKEY(made, &spki);
    const kw_input bytes = {spki, (size_t)length};
    (void)state;
    assert_true(length > 0);
    at = spki;
    peer = d2i_PUBKEY_ex(NULL, &at, length, masters->ring.crypto->library, NULL);
    assert_non_null(peer);
    assert_fine(masters, kw_key_derive(pair.key, bytes, &shared, error));
    assert_true(provider_derives(&pair, peer, false));
    key_guard_roots(pair.key);
    const uint64_t calls = ring_calls(&masters->ring);
    assert_answers(masters, KW_REFUSED, kw_key_derive(pair.key, bytes, &shared, error));
    assert_says(masters, "they would open its root secrets");
    assert_false(provider_derives(&pair, peer, false));
    assert_int_equal(ring_calls(&masters->ring), calls);
    assert_true(provider_derives(&pair, peer, true)); /* CMS */
    OPENSSL_free(spki);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(made);
    pair_clear(&pair);
}

static void kw_key_sign_of_a_root_by_a_master_key_refused(void **state)
{
    static const char root[] = "keywright root/1 of the attacker's", near[] = "keywright root/2";
    struct id master;
    struct pair pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    const kw_algorithm ecdsa = {
        .size = sizeof(ecdsa), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA512, .is_message = 1};
    unsigned char out[256];
    kw_output signature = {.data = out, .capacity = sizeof(out)};
    (void)state;
    key_guard_roots(pair.key);
    assert_answers(masters, KW_REFUSED, kw_key_sign(pair.key, NULL, input_text(root), &signature, error));
    assert_answers(masters, KW_REFUSED, kw_key_sign(pair.key, &ecdsa, input_text(root), &signature, error));
    assert_fine(masters, kw_key_sign(pair.key, NULL, input_text(near), &signature, error));
    assert_fine(masters, kw_key_sign(pair.key, NULL, (kw_input){(const unsigned char *)root, 15}, &signature, error));
    pair_clear(&pair);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(kw_key_decrypt_wrapped_root_is_invalid),
        test(key_decrypt_pkcs1_of_a_root_is_rejected),
        test(kw_key_derive_of_a_master_key_refused),
        test(kw_key_sign_of_a_root_by_a_master_key_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
