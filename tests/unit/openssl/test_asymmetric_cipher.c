/* RSA decryption through the store of what libcrypto encrypted. */
#include "keyring.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static const unsigned char text[] = "a password of a client";

static struct ring ring;
static struct pair rsa;

static int open_all(void **state)
{
    (void)state;
    ring_open(&ring);
    rsa = ring_add(&ring, "rsa-2048");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    pair_clear(&rsa);
    ring_close(&ring);
    return 0;
}

struct form {
    int padding;
    const char *hash, *mgf, *label; /* NULL: not set */
};

static void set_form(EVP_PKEY_CTX *context, const struct form *form)
{
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, form->padding));
    if (form->hash != NULL)
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_oaep_md_name(context, form->hash, NULL));
    if (form->mgf != NULL)
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, form->mgf, NULL));
    if (form->label != NULL) {
        void *label = OPENSSL_strdup(form->label);
        assert_non_null(label);
        assert_libcrypto(EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)strlen(form->label)));
    }
}

static size_t encrypt(EVP_PKEY *key, const struct form *form, unsigned char ciphertext[256])
{
    size_t length = 256;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, key, NULL);
    assert_libcrypto(EVP_PKEY_encrypt_init(context));
    set_form(context, form);
    assert_libcrypto(EVP_PKEY_encrypt(context, ciphertext, &length, text, sizeof(text)));
    EVP_PKEY_CTX_free(context);
    return length;
}

static int decrypt(EVP_PKEY *key, const struct form *form, const unsigned char *ciphertext, size_t ciphertext_length,
                   unsigned char plaintext[256], size_t *length)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, key, NULL);
    *length = 256;
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    set_form(context, form);
    const int decrypted = EVP_PKEY_decrypt(context, plaintext, length, ciphertext, ciphertext_length);
    EVP_PKEY_CTX_free(context);
    return decrypted;
}

static const struct form forms[] = {
    {RSA_PKCS1_PADDING, NULL, NULL, NULL},
    {RSA_PKCS1_OAEP_PADDING, NULL, NULL, NULL},
    {RSA_PKCS1_OAEP_PADDING, "SHA1", NULL, "label"},
    {RSA_PKCS1_OAEP_PADDING, "SHA256", NULL, NULL},
    {RSA_PKCS1_OAEP_PADDING, "SHA256", "SHA1", NULL},
    {RSA_PKCS1_OAEP_PADDING, "SHA384", "SHA512", "a label"},
    {RSA_PKCS1_OAEP_PADDING, "SHA512", NULL, NULL},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

static void decrypt_gives_what_the_plain_key_encrypted(void **state)
{
    (void)state;
    unsigned char ciphertext[256], plaintext[256];
    size_t length = 0;
    for (size_t i = 0; i < FORMS; i++) {
        const size_t ciphertext_length = encrypt(rsa.plain, &forms[i], ciphertext);
        assert_libcrypto(decrypt(rsa.ours, &forms[i], ciphertext, ciphertext_length, plaintext, &length));
        assert_int_equal(length, sizeof(text));
        assert_memory_equal(plaintext, text, sizeof(text));
    }
}

static void encrypt_with_our_key_calls_no_backend(void **state)
{
    (void)state;
    unsigned char ciphertext[256], plaintext[256];
    size_t length = 0;
    const uint64_t before = ring_calls(&ring);
    for (size_t i = 0; i < FORMS; i++) {
        const size_t ciphertext_length = encrypt(rsa.ours, &forms[i], ciphertext);
        assert_libcrypto(decrypt(rsa.plain, &forms[i], ciphertext, ciphertext_length, plaintext, &length));
        assert_int_equal(length, sizeof(text));
        assert_memory_equal(plaintext, text, sizeof(text));
    }
    assert_int_equal(ring_calls(&ring), before);
}

static void decrypt_by_other_parameters_fails(void **state)
{
    (void)state;
    static const struct form right = {RSA_PKCS1_OAEP_PADDING, "SHA256", NULL, "label"};
    static const struct form wrong[] = {{RSA_PKCS1_OAEP_PADDING, "SHA256", NULL, "other"},
                                        {RSA_PKCS1_OAEP_PADDING, "SHA256", NULL, NULL},
                                        {RSA_PKCS1_OAEP_PADDING, "SHA384", NULL, "label"},
                                        {RSA_PKCS1_OAEP_PADDING, "SHA256", "SHA1", "label"}};
    unsigned char ciphertext[256], plaintext[256];
    size_t length = 0;
    const size_t ciphertext_length = encrypt(rsa.plain, &right, ciphertext);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        kw_error error = {0};
        assert_true(decrypt(rsa.ours, &wrong[i], ciphertext, ciphertext_length, plaintext, &length) <= 0);
        assert_true(pkey_take_error(&error));
        assert_int_equal(error.status, KW_CIPHERTEXT_INVALID);
        ERR_clear_error();
    }
}

/* Implicit rejection (W2): a changed ciphertext gives a message, the same one each time, and no error. */
static void decrypt_pkcs1_of_a_changed_ciphertext_tells_nothing(void **state)
{
    (void)state;
    unsigned char ciphertext[256], first[256], second[256];
    size_t first_length = 0, second_length = 0;
    const size_t length = encrypt(rsa.plain, &forms[0], ciphertext);
    for (size_t changed = 1; changed < 200; changed += 40) {
        ciphertext[changed] ^= 1;
        assert_libcrypto(decrypt(rsa.ours, &forms[0], ciphertext, length, first, &first_length));
        assert_libcrypto(decrypt(rsa.ours, &forms[0], ciphertext, length, second, &second_length));
        assert_int_equal(first_length, second_length);
        assert_memory_equal(first, second, first_length);
        assert_false(first_length == sizeof(text) && memcmp(first, text, sizeof(text)) == 0);
        assert_false(pkey_take_error(NULL));
        assert_int_equal(ERR_peek_error(), 0);
        ciphertext[changed] ^= 1;
    }
}

static void null_buffer_asks_for_the_length_without_a_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        unsigned char ciphertext[256], small[255];
        size_t length = 0;
        const size_t ciphertext_length = encrypt(rsa.plain, &forms[i], ciphertext);
        const uint64_t before = ring_calls(&ring);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
        assert_libcrypto(EVP_PKEY_decrypt_init(context));
        set_form(context, &forms[i]);
        assert_libcrypto(EVP_PKEY_decrypt(context, NULL, &length, ciphertext, ciphertext_length));
        assert_int_equal(length, 256);
        length = sizeof(small);
        assert_true(EVP_PKEY_decrypt(context, small, &length, ciphertext, ciphertext_length) <= 0);
        assert_int_equal(ring_calls(&ring), before);
        EVP_PKEY_CTX_free(context);
        ERR_clear_error();
    }
}

static void context_copy_decrypts(void **state)
{
    (void)state;
    static const struct form form = {RSA_PKCS1_OAEP_PADDING, "SHA256", NULL, "label"};
    unsigned char ciphertext[256], plaintext[256];
    size_t length = sizeof(plaintext);
    const size_t ciphertext_length = encrypt(rsa.plain, &form, ciphertext);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    set_form(context, &form);
    EVP_PKEY_CTX *copy = EVP_PKEY_CTX_dup(context);
    EVP_PKEY_CTX_free(context);
    assert_non_null(copy);
    assert_libcrypto(EVP_PKEY_decrypt(copy, plaintext, &length, ciphertext, ciphertext_length));
    assert_int_equal(length, sizeof(text));
    assert_memory_equal(plaintext, text, sizeof(text));
    EVP_PKEY_CTX_free(copy);
}

static void settings_are_told_back(void **state)
{
    (void)state;
    int padding = 0;
    const EVP_MD *digest = NULL, *mgf = NULL;
    unsigned char *label = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    set_form(context, &(struct form){RSA_PKCS1_OAEP_PADDING, "SHA384", "SHA256", "label"});
    assert_libcrypto(EVP_PKEY_CTX_get_rsa_padding(context, &padding));
    assert_libcrypto(EVP_PKEY_CTX_get_rsa_oaep_md(context, &digest));
    assert_libcrypto(EVP_PKEY_CTX_get_rsa_mgf1_md(context, &mgf));
    assert_int_equal(EVP_PKEY_CTX_get0_rsa_oaep_label(context, &label), 5);
    assert_memory_equal(label, "label", 5);
    assert_int_equal(padding, RSA_PKCS1_OAEP_PADDING);
    assert_int_equal(EVP_MD_get_type(digest), NID_sha384);
    assert_int_equal(EVP_MD_get_type(mgf), NID_sha256);
    EVP_PKEY_CTX_free(context);
}

/* Bare RSA with the public key is libcrypto's own work; the plain key takes the padding off. */
static void encryption_without_padding_is_decrypted_by_the_plain_key(void **state)
{
    (void)state;
    unsigned char block[256] = {0, 1, 2}, ciphertext[256], back[256];
    size_t length = sizeof(ciphertext);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_encrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING));
    assert_libcrypto(EVP_PKEY_encrypt(context, ciphertext, &length, block, sizeof(block)));
    EVP_PKEY_CTX_free(context);
    context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.plain, NULL);
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING));
    length = sizeof(back);
    assert_libcrypto(EVP_PKEY_decrypt(context, back, &length, ciphertext, sizeof(ciphertext)));
    EVP_PKEY_CTX_free(context);
    assert_int_equal(length, sizeof(block));
    assert_memory_equal(back, block, sizeof(block));
}

static void other_paddings_are_refused(void **state)
{
    (void)state;
    static const int paddings[] = {RSA_NO_PADDING, RSA_X931_PADDING};
    for (size_t i = 0; i < sizeof(paddings) / sizeof(paddings[0]); i++) {
        kw_error error = {0};
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
        OSSL_PARAM parameters[] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
        int padding = paddings[i];
        parameters[0] = OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &padding);
        assert_libcrypto(EVP_PKEY_decrypt_init(context));
        assert_true(EVP_PKEY_CTX_set_params(context, parameters) <= 0);
        assert_true(pkey_take_error(&error));
        assert_int_equal(error.status, KW_UNSUPPORTED);
        EVP_PKEY_CTX_free(context);
    }
    ERR_clear_error();
}

static void implicit_rejection_cannot_be_switched_off(void **state)
{
    (void)state;
    unsigned off = 0, on = 1;
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_uint("implicit-rejection", &off), OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    assert_true(EVP_PKEY_CTX_set_params(context, parameters) <= 0);
    parameters[0] = OSSL_PARAM_construct_uint("implicit-rejection", &on);
    assert_libcrypto(EVP_PKEY_CTX_set_params(context, parameters));
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    pkey_take_error(NULL);
}

/* As a TLS server opens what a client has encrypted: 48 bytes that begin with the version that the client offered. */
static int decrypt_tls(EVP_PKEY *key, unsigned offered, unsigned agreed, const unsigned char *ciphertext, size_t length,
                       unsigned char secret[48])
{
    OSSL_PARAM parameters[3], *next = parameters;
    size_t room = 48;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, key, NULL);
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_WITH_TLS_PADDING));
    if (offered != 0)
        *next++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &offered);
    if (agreed != 0)
        *next++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &agreed);
    *next = OSSL_PARAM_construct_end();
    assert_libcrypto(EVP_PKEY_CTX_set_params(context, parameters));
    const int decrypted = EVP_PKEY_decrypt(context, secret, &room, ciphertext, length);
    EVP_PKEY_CTX_free(context);
    if (decrypted > 0)
        assert_int_equal(room, 48);
    return decrypted;
}

static void encrypt_secret(const unsigned char *secret, size_t length, unsigned char ciphertext[256])
{
    size_t room = 256;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.plain, NULL);
    assert_libcrypto(EVP_PKEY_encrypt_init(context));
    assert_libcrypto(EVP_PKEY_encrypt(context, ciphertext, &room, secret, length));
    EVP_PKEY_CTX_free(context);
}

static void tls_padding_gives_the_clients_secret(void **state)
{
    (void)state;
    unsigned char secret[48] = {3, 3, 7}, ciphertext[256], opened[48];
    encrypt_secret(secret, sizeof(secret), ciphertext);
    assert_libcrypto(decrypt_tls(rsa.ours, 0x0303, 0, ciphertext, sizeof(ciphertext), opened));
    assert_memory_equal(opened, secret, sizeof(secret));
    assert_libcrypto(decrypt_tls(rsa.ours, 0x0304, 0x0303, ciphertext, sizeof(ciphertext), opened));
    assert_memory_equal(opened, secret, sizeof(secret));
    /* It is no raw use: the key need not be one that decrypts PKCS#1 v1.5 for everybody. */
    assert_int_equal(kw_key_decrypt(rsa.key,
                                    &(kw_algorithm){.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_PKCS1},
                                    (kw_input){ciphertext, sizeof(ciphertext)}, &(kw_output){opened, 48, 0}, NULL),
                     KW_REFUSED);
}

/* Another version, another length, another key's ciphertext: a secret that nobody knows, the same each time, and no error. */
static void tls_padding_tells_nothing_of_what_is_wrong(void **state)
{
    (void)state;
    unsigned char secret[49] = {3, 3, 7}, ciphertext[256], first[48], second[48];
    static const struct {
        size_t length;
        unsigned version, agreed;
        unsigned char change;
    } cases[] = {{48, 0x0302, 0, 0}, {48, 0x0302, 0x0301, 0}, {48, 0x0203, 0, 0}, {47, 0x0303, 0, 0},
                 {49, 0x0303, 0, 0}, {0, 0x0303, 0, 0},       {48, 0x0303, 0, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        encrypt_secret(secret, cases[i].length, ciphertext);
        ciphertext[200] ^= cases[i].change;
        assert_libcrypto(
            decrypt_tls(rsa.ours, cases[i].version, cases[i].agreed, ciphertext, sizeof(ciphertext), first));
        assert_libcrypto(
            decrypt_tls(rsa.ours, cases[i].version, cases[i].agreed, ciphertext, sizeof(ciphertext), second));
        assert_memory_equal(first, second, sizeof(first));
        assert_memory_not_equal(first + 2, secret + 2, 46);
        assert_false(pkey_take_error(NULL));
    }
    /* Of a wrong length, or larger than the modulus. */
    assert_libcrypto(decrypt_tls(rsa.ours, 0x0303, 0, ciphertext, 255, first));
    memset(ciphertext, 0xff, sizeof(ciphertext));
    assert_libcrypto(decrypt_tls(rsa.ours, 0x0303, 0, ciphertext, sizeof(ciphertext), second));
    assert_memory_not_equal(first, second, sizeof(first));
    assert_int_equal(ERR_peek_error(), 0);
}

static void tls_padding_without_a_version_or_room_is_refused(void **state)
{
    (void)state;
    unsigned char secret[48] = {3, 3}, ciphertext[256], opened[48];
    size_t length = 47;
    unsigned version = 0x0303, told = 0;
    kw_error error = {0};
    const uint64_t before = ring_calls(&ring);
    encrypt_secret(secret, sizeof(secret), ciphertext);
    assert_true(decrypt_tls(rsa.ours, 0, 0x0303, ciphertext, sizeof(ciphertext), opened) <= 0);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_INVALID_ARGUMENT);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
                               OSSL_PARAM_construct_end()};
    assert_libcrypto(EVP_PKEY_decrypt_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_WITH_TLS_PADDING));
    assert_libcrypto(EVP_PKEY_CTX_set_params(context, parameters));
    parameters[0] = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &told);
    assert_libcrypto(EVP_PKEY_CTX_get_params(context, parameters));
    assert_int_equal(told, version);
    assert_true(EVP_PKEY_decrypt(context, opened, &length, ciphertext, sizeof(ciphertext)) <= 0);
    assert_libcrypto(EVP_PKEY_decrypt(context, NULL, &length, ciphertext, sizeof(ciphertext)));
    assert_int_equal(length, 48);
    EVP_PKEY_CTX_free(context);
    assert_int_equal(ring_calls(&ring), before);
    ERR_clear_error();
    pkey_take_error(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decrypt_gives_what_the_plain_key_encrypted),
        cmocka_unit_test(encrypt_with_our_key_calls_no_backend),
        cmocka_unit_test(decrypt_by_other_parameters_fails),
        cmocka_unit_test(decrypt_pkcs1_of_a_changed_ciphertext_tells_nothing),
        cmocka_unit_test(null_buffer_asks_for_the_length_without_a_call),
        cmocka_unit_test(context_copy_decrypts),
        cmocka_unit_test(settings_are_told_back),
        cmocka_unit_test(encryption_without_padding_is_decrypted_by_the_plain_key),
        cmocka_unit_test(other_paddings_are_refused),
        cmocka_unit_test(tls_padding_gives_the_clients_secret),
        cmocka_unit_test(tls_padding_tells_nothing_of_what_is_wrong),
        cmocka_unit_test(tls_padding_without_a_version_or_room_is_refused),
        cmocka_unit_test(implicit_rejection_cannot_be_switched_off),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
