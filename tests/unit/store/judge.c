#include "unit/store/judge.h"

#include "unit/store/fixture.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static const char *const names[] = {
    [KW_HASH_NONE] = NULL,       [KW_HASH_SHA1] = "SHA1",     [KW_HASH_SHA224] = "SHA224",
    [KW_HASH_SHA256] = "SHA256", [KW_HASH_SHA384] = "SHA384", [KW_HASH_SHA512] = "SHA512"};

EVP_PKEY *judge_public(kw_input spki)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *const pkey = d2i_PUBKEY(NULL, &at, (long)spki.length);

    assert_non_null(pkey);
    return pkey;
}

EVP_PKEY *judge_private(kw_input pkcs8)
{
    const unsigned char *at = pkcs8.data;
    PKCS8_PRIV_KEY_INFO *const info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length);
    EVP_PKEY *const pkey = info == NULL ? NULL : EVP_PKCS82PKEY(info);

    assert_non_null(pkey);
    assert_ptr_equal(at, pkcs8.data + pkcs8.length);
    PKCS8_PRIV_KEY_INFO_free(info);
    return pkey;
}

bool judge_verify(kw_input spki, const kw_algorithm *algorithm, kw_input message, kw_input signature)
{
    EVP_PKEY *const pkey = judge_public(spki);
    EVP_MD_CTX *const context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters = NULL;
    bool valid;

    assert_non_null(context);
    assert_int_equal(EVP_DigestVerifyInit_ex(context, &parameters, names[algorithm->hash], NULL, NULL, pkey, NULL), 1);
    if (algorithm->scheme == KW_SCHEME_RSA_PSS) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md_name(
                        parameters, names[algorithm->mgf_hash == KW_HASH_NONE ? algorithm->hash : algorithm->mgf_hash],
                        NULL) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, (int)algorithm->salt_length) > 0);
    }
    valid = EVP_DigestVerify(context, signature.data, signature.length, message.data, message.length) == 1;
    ERR_clear_error();
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    return valid;
}

static void set_padding(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    if (algorithm == NULL) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0);
        return;
    }
    assert_true(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_oaep_md_name(context, names[algorithm->hash], NULL) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md_name(
                    context, names[algorithm->mgf_hash == KW_HASH_NONE ? algorithm->hash : algorithm->mgf_hash], NULL) >
                0);
    if (algorithm->label.length > 0) {
        void *const label = OPENSSL_memdup(algorithm->label.data, algorithm->label.length);
        assert_true(EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)algorithm->label.length) > 0);
    }
}

size_t judge_encrypt(kw_input spki, const kw_algorithm *algorithm, kw_input plaintext, unsigned char *ciphertext,
                     size_t room)
{
    EVP_PKEY *const pkey = judge_public(spki);
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(pkey, NULL);
    size_t length = room;

    assert_non_null(context);
    assert_true(EVP_PKEY_encrypt_init(context) > 0);
    set_padding(context, algorithm);
    assert_true(EVP_PKEY_encrypt(context, ciphertext, &length, plaintext.data, plaintext.length) > 0);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    return length;
}

size_t judge_decrypt(kw_input pkcs8, const kw_algorithm *algorithm, kw_input ciphertext, unsigned char *plaintext,
                     size_t room)
{
    EVP_PKEY *const pkey = judge_private(pkcs8);
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(pkey, NULL);
    size_t length = room;

    assert_non_null(context);
    assert_true(EVP_PKEY_decrypt_init(context) > 0);
    set_padding(context, algorithm);
    assert_true(EVP_PKEY_decrypt(context, plaintext, &length, ciphertext.data, ciphertext.length) > 0);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    return length;
}

size_t judge_digest(kw_hash hash, kw_input message, unsigned char *digest)
{
    unsigned length = 0;

    assert_int_equal(EVP_Digest(message.data, message.length, digest, &length, EVP_get_digestbyname(names[hash]), NULL),
                     1);
    return length;
}
