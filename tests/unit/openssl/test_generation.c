/* Keys in memory, which programs make that find this provider before the default one: they are used and written as the default's are. */
#include "keyring.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define OURS "provider=keywright"

static const unsigned char text[] = "a message that is signed";

static struct ring ring;

static int open_all(void **state)
{
    (void)state;
    ring_open(&ring);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    ring_close(&ring);
    return 0;
}

static EVP_PKEY *generate(const char *type, const char *parameter, const char *value)
{
    EVP_PKEY *made = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, type, OURS);
    assert_libcrypto(EVP_PKEY_keygen_init(context));
    if (parameter != NULL)
        assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, parameter, value));
    assert_libcrypto(EVP_PKEY_keygen(context, &made));
    EVP_PKEY_CTX_free(context);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(made)), "keywright");
    return made;
}

/* The same key in the default provider, by way of what every program can write. */
static EVP_PKEY *copied(EVP_PKEY *key)
{
    OSSL_PARAM *parameters = NULL;
    EVP_PKEY *made = NULL;
    const char *type = EVP_PKEY_get0_type_name(key);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, type, "provider=default");
    assert_libcrypto(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &parameters));
    assert_libcrypto(EVP_PKEY_fromdata_init(context));
    assert_libcrypto(EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, parameters));
    OSSL_PARAM_free(parameters);
    EVP_PKEY_CTX_free(context);
    assert_int_equal(EVP_PKEY_eq(key, made), 1);
    return made;
}

/* By our own operations where the key is ours, as in a program whose context prefers no provider. */
static const char *of(EVP_PKEY *key)
{
    return strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "keywright") == 0 ? OURS : NULL;
}

static void check_signature(EVP_PKEY *signer, EVP_PKEY *verifier, const char *hash, int padding)
{
    unsigned char signature[600];
    size_t length = sizeof(signature);
    EVP_PKEY_CTX *parameters = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, &parameters, hash, ring.crypto->library, of(signer), signer, NULL));
    if (padding != 0)
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(parameters, padding));
    assert_libcrypto(EVP_DigestSign(context, signature, &length, text, sizeof(text)));
    EVP_MD_CTX_free(context);
    context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestVerifyInit_ex(context, &parameters, hash, ring.crypto->library, NULL, verifier, NULL));
    if (padding != 0)
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(parameters, padding));
    assert_libcrypto(EVP_DigestVerify(context, signature, length, text, sizeof(text)));
    EVP_MD_CTX_free(context);
}

static void generated_key_signs(void **state)
{
    (void)state;
    static const struct {
        const char *type, *parameter, *value, *hash;
        int padding;
    } cases[] = {{"EC", "group", "P-256", "SHA256", 0},
                 {"EC", "ec_paramgen_curve", "P-521", "SHA512", 0},
                 {"ED25519", NULL, NULL, NULL, 0},
                 {"RSA", "bits", "1024", "SHA256", RSA_PKCS1_PADDING},
                 {"RSA", "rsa_keygen_bits", "1024", "SHA256", RSA_PKCS1_PSS_PADDING}};
    const uint64_t before = ring_calls(&ring);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EVP_PKEY *ours = generate(cases[i].type, cases[i].parameter, cases[i].value), *plain = copied(ours);
        EVP_PKEY *copy = EVP_PKEY_dup(ours);
        check_signature(ours, plain, cases[i].hash, cases[i].padding);
        check_signature(plain, ours, cases[i].hash, cases[i].padding);
        check_signature(copy, plain, cases[i].hash, cases[i].padding);
        EVP_PKEY_free(copy);
        EVP_PKEY_free(plain);
        EVP_PKEY_free(ours);
    }
    assert_int_equal(ring_calls(&ring), before);
}

static void derive(EVP_PKEY *key, EVP_PKEY *peer, unsigned char shared[32])
{
    size_t length = 32;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, key, of(key));
    assert_libcrypto(EVP_PKEY_derive_init(context));
    assert_libcrypto(EVP_PKEY_derive_set_peer(context, peer));
    assert_libcrypto(EVP_PKEY_derive(context, shared, &length));
    assert_int_equal(length, 32);
    EVP_PKEY_CTX_free(context);
}

/* As TLS does it: a key each, of the other side the parameters and the encoded point. */
static void generated_keys_agree_with_the_defaults(void **state)
{
    (void)state;
    static const char *const types[][2] = {{"EC", "P-256"}, {"X25519", "x25519"}};
    for (size_t i = 0; i < 2; i++) {
        unsigned char first[32], second[32], *point = NULL;
        EVP_PKEY *ours = generate(types[i][0], "group", types[i][1]), *peer = EVP_PKEY_new();
        EVP_PKEY *plain = i == 0 ? EVP_PKEY_Q_keygen(ring.crypto->library, NULL, "EC", "P-256")
                                 : EVP_PKEY_Q_keygen(ring.crypto->library, NULL, "X25519");
        const size_t length = EVP_PKEY_get1_encoded_public_key(plain, &point);
        assert_libcrypto(EVP_PKEY_copy_parameters(peer, ours));
        assert_libcrypto(EVP_PKEY_set1_encoded_public_key(peer, point, length));
        OPENSSL_free(point);
        derive(ours, peer, first);
        derive(plain, ours, second);
        assert_memory_equal(first, second, sizeof(first));
        EVP_PKEY_free(peer);
        EVP_PKEY_free(plain);
        EVP_PKEY_free(ours);
    }
}

/* OpenSSL 3.5's hybrid groups import a peer's public key so. */
static void public_key_is_taken_whichever_half_is_asked_for(void **state)
{
    (void)state;
    static const int selections[] = {OSSL_KEYMGMT_SELECT_PRIVATE_KEY | OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS,
                                     OSSL_KEYMGMT_SELECT_PUBLIC_KEY, EVP_PKEY_KEYPAIR};
    EVP_PKEY *plain = EVP_PKEY_Q_keygen(ring.crypto->library, NULL, "X25519");
    for (size_t i = 0; i < sizeof(selections) / sizeof(selections[0]); i++) {
        OSSL_PARAM *parameters = NULL;
        EVP_PKEY *made = NULL;
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "X25519", OURS);
        assert_libcrypto(EVP_PKEY_todata(plain, EVP_PKEY_PUBLIC_KEY, &parameters));
        assert_libcrypto(EVP_PKEY_fromdata_init(context));
        assert_libcrypto(EVP_PKEY_fromdata(context, &made, selections[i], parameters));
        assert_int_equal(EVP_PKEY_eq(made, plain), 1);
        OSSL_PARAM_free(parameters);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(made);
    }
    EVP_PKEY_free(plain);
}

static void generated_key_decrypts(void **state)
{
    (void)state;
    static const int paddings[] = {RSA_PKCS1_PADDING, RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_WITH_TLS_PADDING};
    EVP_PKEY *ours = generate("RSA", "bits", "1024"), *plain = copied(ours);
    for (size_t i = 0; i < 3; i++) {
        unsigned char secret[48] = {3, 3, 5}, ciphertext[128], opened[128];
        size_t length = sizeof(ciphertext), opened_length = sizeof(opened);
        unsigned version = 0x0303;
        const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
                                         OSSL_PARAM_construct_end()};
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, plain, NULL);
        assert_libcrypto(EVP_PKEY_encrypt_init(context));
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, i == 1 ? paddings[1] : RSA_PKCS1_PADDING));
        assert_libcrypto(EVP_PKEY_encrypt(context, ciphertext, &length, secret, sizeof(secret)));
        EVP_PKEY_CTX_free(context);
        context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, ours, OURS);
        assert_libcrypto(EVP_PKEY_decrypt_init(context));
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, paddings[i]));
        assert_libcrypto(EVP_PKEY_CTX_set_params(context, parameters));
        assert_libcrypto(EVP_PKEY_decrypt(context, opened, &opened_length, ciphertext, length));
        assert_int_equal(opened_length, sizeof(secret));
        assert_memory_equal(opened, secret, sizeof(secret));
        EVP_PKEY_CTX_free(context);
    }
    EVP_PKEY_free(plain);
    EVP_PKEY_free(ours);
}

static void generated_key_is_written_as_any(void **state)
{
    (void)state;
    EVP_PKEY *ours = generate("EC", "group", "P-256");
    BIO *file = BIO_new(BIO_s_mem());
    assert_libcrypto(PEM_write_bio_PrivateKey(file, ours, NULL, NULL, 0, NULL, NULL));
    EVP_PKEY *read = PEM_read_bio_PrivateKey_ex(file, NULL, NULL, NULL, ring.crypto->library, NULL);
    assert_non_null(read);
    assert_int_equal(EVP_PKEY_eq(ours, read), 1);
    EVP_PKEY_free(read);
    BIO_free(file);
    /* A copy of the public half has no private one. */
    EVP_PKEY *public = NULL;
    OSSL_PARAM *parameters = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "EC", OURS);
    assert_libcrypto(EVP_PKEY_todata(ours, EVP_PKEY_PUBLIC_KEY, &parameters));
    assert_libcrypto(EVP_PKEY_fromdata_init(context));
    assert_libcrypto(EVP_PKEY_fromdata(context, &public, EVP_PKEY_PUBLIC_KEY, parameters));
    OSSL_PARAM_free(parameters);
    assert_libcrypto(EVP_PKEY_todata(public, EVP_PKEY_KEYPAIR, &parameters));
    assert_null(OSSL_PARAM_locate(parameters, OSSL_PKEY_PARAM_PRIV_KEY));
    OSSL_PARAM_free(parameters);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(public);
    EVP_PKEY_free(ours);
    ERR_clear_error();
}

static void parameters_and_keys_of_them_are_generated(void **state)
{
    (void)state;
    EVP_PKEY *parameters = NULL, *made = NULL;
    char group[32];
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "EC", OURS);
    assert_libcrypto(EVP_PKEY_paramgen_init(context));
    assert_libcrypto(EVP_PKEY_CTX_set_group_name(context, "secp384r1"));
    assert_libcrypto(EVP_PKEY_paramgen(context, &parameters));
    EVP_PKEY_CTX_free(context);
    context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, parameters, OURS);
    assert_libcrypto(EVP_PKEY_keygen_init(context));
    assert_libcrypto(EVP_PKEY_keygen(context, &made));
    assert_libcrypto(EVP_PKEY_get_group_name(made, group, sizeof(group), NULL));
    assert_string_equal(group, "secp384r1");
    check_signature(made, made, "SHA384", 0);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(made);
    EVP_PKEY_free(parameters);
}

/* The library's own provider makes none in stores; what the loadable module makes is tested with programs. */
static void key_that_cannot_be_made_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *type, *name, *value;
        kw_status status;
    } cases[] = {{"EC", "keywright-address", "general/x", KW_UNSUPPORTED},
                 {"RSA", "keywright-address", "general/x", KW_UNSUPPORTED},
                 {"ED25519", "keywright-store", "local", KW_INVALID_ARGUMENT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        EVP_PKEY *made = NULL;
        kw_error error = {0};
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, cases[i].type, OURS);
        assert_libcrypto(EVP_PKEY_keygen_init(context));
        if (strcmp(cases[i].type, "EC") == 0)
            assert_libcrypto(EVP_PKEY_CTX_set_group_name(context, "P-256"));
        assert_libcrypto(EVP_PKEY_CTX_ctrl_str(context, cases[i].name, cases[i].value));
        assert_true(EVP_PKEY_keygen(context, &made) <= 0);
        assert_null(made);
        assert_true(pkey_take_error(&error));
        assert_int_equal(error.status, cases[i].status);
        EVP_PKEY_CTX_free(context);
    }
    EVP_PKEY *none = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "EC", OURS);
    assert_libcrypto(EVP_PKEY_keygen_init(context));
    assert_true(EVP_PKEY_CTX_set_group_name(context, "no curve") <= 0 || EVP_PKEY_keygen(context, &none) <= 0);
    EVP_PKEY_CTX_free(context);
    context = EVP_PKEY_CTX_new_from_name(ring.crypto->library, "RSA", OURS);
    assert_libcrypto(EVP_PKEY_keygen_init(context));
    assert_true(EVP_PKEY_CTX_ctrl_str(context, "no-parameter", "1") <= 0);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_key_signs),
        cmocka_unit_test(generated_keys_agree_with_the_defaults),
        cmocka_unit_test(public_key_is_taken_whichever_half_is_asked_for),
        cmocka_unit_test(generated_key_decrypts),
        cmocka_unit_test(generated_key_is_written_as_any),
        cmocka_unit_test(parameters_and_keys_of_them_are_generated),
        cmocka_unit_test(key_that_cannot_be_made_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
