/* libcrypto as the judge of what a plugin does. */
#include "kit.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t length;
} hash_table[] = {
    [KW_HASH_NONE] = {NULL, 0},        [KW_HASH_SHA1] = {"SHA1", 20},     [KW_HASH_SHA224] = {"SHA224", 28},
    [KW_HASH_SHA256] = {"SHA256", 32}, [KW_HASH_SHA384] = {"SHA384", 48}, [KW_HASH_SHA512] = {"SHA512", 64},
};

static const EVP_MD *hash_of(kw_hash hash)
{
    return EVP_get_digestbyname(hash_table[hash].name);
}

const char *judge_hash_name(kw_hash hash)
{
    return hash_table[hash].name;
}

size_t judge_digest(kw_hash hash, kw_input message, unsigned char digest[64])
{
    unsigned length = 0;
    if (EVP_Digest(message.data, message.length, digest, &length, hash_of(hash), NULL) != 1)
        abort();
    return length;
}

EVP_PKEY *judge_key(const struct key_variant *variant)
{
    static const char *const curves[] = {
        [KW_CURVE_P256] = "P-256", [KW_CURVE_P384] = "P-384", [KW_CURVE_P521] = "P-521"};
    if (variant->type == KW_KEY_RSA)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)variant->bits);
    if (variant->type == KW_KEY_EC)
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[variant->curve]);
    return EVP_PKEY_Q_keygen(NULL, NULL, variant->type == KW_KEY_ED25519 ? "ED25519" : "X25519");
}

bool judge_private(EVP_PKEY *pkey, struct bytes *pkcs8)
{
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int length = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (length <= 0)
        return false;
    pkcs8->data = malloc((size_t)length);
    if (pkcs8->data == NULL)
        abort();
    memcpy(pkcs8->data, der, (size_t)length);
    pkcs8->length = (size_t)length;
    OPENSSL_clear_free(der, (size_t)length);
    return true;
}

bool judge_public(EVP_PKEY *pkey, struct bytes *spki)
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(pkey, &der);
    if (length <= 0)
        return false;
    spki->data = malloc((size_t)length);
    if (spki->data == NULL)
        abort();
    memcpy(spki->data, der, (size_t)length);
    spki->length = (size_t)length;
    OPENSSL_free(der);
    return true;
}

EVP_PKEY *judge_read_public(kw_input spki)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)spki.length);
    if (pkey != NULL && at != spki.data + spki.length) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

EVP_PKEY *judge_read_private(kw_input pkcs8)
{
    const unsigned char *at = pkcs8.data;
    EVP_PKEY *pkey = NULL;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length);
    if (info != NULL && at == pkcs8.data + pkcs8.length)
        pkey = EVP_PKCS82PKEY(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return pkey;
}

bool judge_verify(EVP_PKEY *pkey, const kw_algorithm *algorithm, kw_input input, kw_input signature)
{
    bool valid = false;
    EVP_MD_CTX *message = NULL;
    EVP_PKEY_CTX *context = NULL;
    if (algorithm->scheme == KW_SCHEME_EDDSA) {
        message = EVP_MD_CTX_new();
        valid = EVP_DigestVerifyInit(message, NULL, NULL, NULL, pkey) == 1 &&
                EVP_DigestVerify(message, signature.data, signature.length, input.data, input.length) == 1;
        goto out;
    }
    context = EVP_PKEY_CTX_new(pkey, NULL);
    if (EVP_PKEY_verify_init(context) != 1)
        goto out;
    if (algorithm->scheme != KW_SCHEME_ECDSA) {
        bool pss = algorithm->scheme == KW_SCHEME_RSA_PSS;
        kw_hash mgf_hash = algorithm->mgf_hash != KW_HASH_NONE ? algorithm->mgf_hash : algorithm->hash;
        if (EVP_PKEY_CTX_set_rsa_padding(context, pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1 ||
            EVP_PKEY_CTX_set_signature_md(context, hash_of(algorithm->hash)) != 1 ||
            (pss && (EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash_of(mgf_hash)) != 1 ||
                     EVP_PKEY_CTX_set_rsa_pss_saltlen(context, (int)algorithm->salt_length) != 1)))
            goto out;
    }
    valid = EVP_PKEY_verify(context, signature.data, signature.length, input.data, input.length) == 1;
out:
    EVP_MD_CTX_free(message);
    EVP_PKEY_CTX_free(context);
    return valid;
}

static bool encrypt(EVP_PKEY_CTX *context, kw_input input, struct bytes *result)
{
    size_t length = 0;
    if (EVP_PKEY_encrypt(context, NULL, &length, input.data, input.length) != 1)
        return false;
    result->data = malloc(length);
    if (result->data == NULL)
        abort();
    result->length = length;
    return EVP_PKEY_encrypt(context, result->data, &result->length, input.data, input.length) == 1;
}

bool judge_encrypt(EVP_PKEY *pkey, const kw_algorithm *algorithm, kw_input plaintext, struct bytes *ciphertext)
{
    bool done = false;
    kw_hash mgf_hash = algorithm->mgf_hash != KW_HASH_NONE ? algorithm->mgf_hash : algorithm->hash;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    if (EVP_PKEY_encrypt_init(context) != 1 || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash_of(algorithm->hash)) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash_of(mgf_hash)) != 1)
        goto out;
    if (algorithm->label.length != 0) {
        void *label = OPENSSL_memdup(algorithm->label.data, algorithm->label.length);
        if (EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)algorithm->label.length) != 1)
            goto out;
    }
    done = encrypt(context, plaintext, ciphertext);
out:
    EVP_PKEY_CTX_free(context);
    return done;
}

bool judge_raw(EVP_PKEY *pkey, kw_input block, struct bytes *result)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    bool done = EVP_PKEY_encrypt_init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1 &&
                encrypt(context, block, result);
    EVP_PKEY_CTX_free(context);
    return done;
}

bool judge_agree(EVP_PKEY *own, EVP_PKEY *peer, struct bytes *shared)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    bool done = EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, peer) == 1 &&
                EVP_PKEY_derive(context, NULL, &shared->length) == 1;
    if (done) {
        shared->data = malloc(shared->length);
        done = shared->data != NULL && EVP_PKEY_derive(context, shared->data, &shared->length) == 1;
    }
    EVP_PKEY_CTX_free(context);
    return done;
}
