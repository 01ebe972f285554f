/* Handles on keys: what a certificate's settings allow (W2). */
#include "server.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static const char message[] = "a client's password";

/* PKCS#1 v1.5 by libcrypto, to the key's public half. */
static size_t encrypt_pkcs1(const kw_key *key, unsigned char *ciphertext, size_t room)
{
    const kw_input spki = kw_key_get_public(key);
    const unsigned char *at = spki.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.length);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_encrypt(context, ciphertext, &room, (const unsigned char *)message, sizeof(message)), 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    return room;
}

static kw_status decrypt(struct server *server, kw_key *key, kw_input ciphertext, kw_output *plaintext)
{
    const kw_algorithm pkcs1 = {.size = sizeof(pkcs1), .scheme = KW_SCHEME_RSA_PKCS1};
    return kw_key_decrypt(key, &pkcs1, ciphertext, plaintext, &server->error);
}

static void open_key(struct server *server, const char *extra, kw_key **key)
{
    const kw_certificate_template wanted = {.size = sizeof(wanted), .address = "database/sales", .key = "rsa-2048"};
    server_start(server, extra);
    assert_ok(server, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    assert_ok(server, kw_key_open(server->context, "database/sales", key, &server->error));
}

static void decrypt_pkcs1_without_the_setting_is_refused(void **state)
{
    struct server server;
    unsigned char ciphertext[256], plaintext[256];
    kw_output output = {.data = plaintext, .capacity = sizeof(plaintext)};
    kw_key *key = NULL;
    (void)state;
    open_key(&server, NULL, &key);
    const size_t length = encrypt_pkcs1(key, ciphertext, sizeof(ciphertext));
    assert_status(&server, KW_REFUSED, decrypt(&server, key, (kw_input){ciphertext, length}, &output));
    assert_non_null(strstr(server.error.remedy, "pkcs1_decrypt"));
    kw_key_free(key);
    server_stop(&server);
}

static void decrypt_pkcs1_with_the_setting_opens_and_rejects_implicitly(void **state)
{
    static const char extra[] = "certificates:\n"
                                "  ssl-connection: {key: ec-p256}\n"
                                "  server-encryption: {key: ec-p256}\n"
                                "  database: {pkcs1_decrypt: true}\n";
    struct server server;
    unsigned char ciphertext[256], first[256], second[256];
    kw_output output = {.data = first, .capacity = sizeof(first)};
    kw_output again = {.data = second, .capacity = sizeof(second)};
    kw_key *key = NULL;
    (void)state;
    open_key(&server, extra, &key);
    const size_t length = encrypt_pkcs1(key, ciphertext, sizeof(ciphertext));
    assert_ok(&server, decrypt(&server, key, (kw_input){ciphertext, length}, &output));
    assert_int_equal(output.length, sizeof(message));
    assert_memory_equal(first, message, sizeof(message));
    /* Changed: no error that tells, and the same answer each time. */
    ciphertext[length - 1] ^= 1;
    output.capacity = sizeof(first);
    assert_ok(&server, decrypt(&server, key, (kw_input){ciphertext, length}, &output));
    assert_ok(&server, decrypt(&server, key, (kw_input){ciphertext, length}, &again));
    assert_int_equal(output.length, again.length);
    assert_memory_equal(first, second, output.length);
    assert_false(output.length == sizeof(message) && memcmp(first, message, sizeof(message)) == 0);
    kw_key_free(key);
    server_stop(&server);
}

static void open_public_verifies_and_opens_no_store(void **state)
{
    struct server server;
    unsigned char bytes[256];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_input input = {(const unsigned char *)message, sizeof(message)};
    kw_key *key = NULL, *public = NULL;
    (void)state;
    open_key(&server, NULL, &key);
    assert_ok(&server, kw_key_sign(key, NULL, input, &signature, &server.error));
    kw_key_free(key);
    server_write_file(&server, "passphrase", "wrong\n", 6, 0600);
    server_reopen(&server);
    assert_ok(&server, kw_key_open_public(server.context, "database/sales", &public, &server.error));
    assert_ok(&server, kw_key_verify(public, NULL, input, (kw_input){bytes, signature.length}, &server.error));
    bytes[0] ^= 1;
    assert_status(&server, KW_SIGNATURE_INVALID,
                  kw_key_verify(public, NULL, input, (kw_input){bytes, signature.length}, &server.error));
    assert_status(&server, KW_UNSUPPORTED, kw_key_sign(public, NULL, input, &signature, &server.error));
    kw_key_free(public);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decrypt_pkcs1_without_the_setting_is_refused),
        cmocka_unit_test(decrypt_pkcs1_with_the_setting_opens_and_rejects_implicitly),
        cmocka_unit_test(open_public_verifies_and_opens_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
