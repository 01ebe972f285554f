/* What is done with public keys alone: by libcrypto's default provider, without a call to the store. */
#include "store/key_private.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

const struct key_kind key_kinds[] = {
    {.name = "rsa-2048", .type = KW_KEY_RSA, .bits = 2048},
    {.name = "rsa-3072", .type = KW_KEY_RSA, .bits = 3072},
    {.name = "rsa-4096", .type = KW_KEY_RSA, .bits = 4096},
    {.name = "ec-p256", .type = KW_KEY_EC, .bits = 256, .curve = KW_CURVE_P256},
    {.name = "ec-p384", .type = KW_KEY_EC, .bits = 384, .curve = KW_CURVE_P384},
    {.name = "ec-p521", .type = KW_KEY_EC, .bits = 521, .curve = KW_CURVE_P521},
    {.name = "ed25519", .type = KW_KEY_ED25519},
    {.name = "rsa-pss-2048", .type = KW_KEY_RSA, .bits = 2048, .pss = true},
    {.name = "rsa-pss-3072", .type = KW_KEY_RSA, .bits = 3072, .pss = true},
    {.name = "rsa-pss-4096", .type = KW_KEY_RSA, .bits = 4096, .pss = true},
    {.name = NULL},
};

const struct key_kind *key_kind_find(const char *name)
{
    for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}

const char *key_kind_name_pss(const char *name, bool pss)
{
    const struct key_kind *const like = key_kind_find(name);

    for (const struct key_kind *kind = key_kinds; like != NULL && kind->name != NULL; kind++)
        if (like->type == KW_KEY_RSA && kind->type == KW_KEY_RSA && kind->bits == like->bits && kind->pss == pss)
            return kind->name;
    return NULL;
}

static const char *key_name_find(const kw_key_capabilities *capabilities, bool pss)
{
    for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
        if (kind->type == capabilities->type && kind->curve == capabilities->curve && kind->pss == pss &&
            (kind->type != KW_KEY_RSA || kind->bits == capabilities->bits))
            return kind->name;
    return NULL;
}

const char *key_name(const kw_key *key)
{
    return key_name_find(&key->capabilities, key->pss.only);
}

static const struct {
    const char *group;
    kw_curve curve;
    uint32_t bits;
} curves[] = {
    {"prime256v1", KW_CURVE_P256, 256},
    {"secp384r1", KW_CURVE_P384, 384},
    {"secp521r1", KW_CURVE_P521, 521},
};

static EVP_PKEY *spki_parse(const struct crypto *crypto, kw_input spki)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *pkey = NULL;

    if (spki.data == NULL || spki.length > KEY_SPKI_MAXIMUM)
        return NULL;
    pkey = d2i_PUBKEY_ex(NULL, &at, (long)spki.length, crypto->library, KEY_PROVIDER);
    if (pkey != NULL && at != spki.data + spki.length) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    ERR_clear_error();
    return pkey;
}

/* ---- Describing ------------------------------------------------------------------------------------- */

static kw_status describe_rsa(kw_key *key, kw_error *error)
{
    kw_status status = KW_OK;
    BIGNUM *modulus = NULL;
    const int bits = EVP_PKEY_get_bits(key->pkey);

    key->capabilities.bits = (uint32_t)bits;
    key->signature_length = ((size_t)bits + 7) / 8;
    if (key->signature_length > sizeof(key->modulus)) {
        status = error_set(error, KW_UNSUPPORTED, "RSA keys of %d bits are too long: at most %u", bits,
                           RSA_BYTES_MAXIMUM * 8);
        goto out;
    }
    if (EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_N, &modulus) != 1 ||
        BN_bn2binpad(modulus, key->modulus, (int)key->signature_length) < 0)
        status = crypto_error(error, KW_FAILED, "the modulus cannot be read");
out:
    BN_free(modulus);
    return status;
}

static kw_status describe_ec(kw_key *key, kw_error *error)
{
    char group[64] = "";

    if (EVP_PKEY_get_group_name(key->pkey, group, sizeof(group), NULL) != 1)
        return crypto_error(error, KW_UNSUPPORTED, "the key names no curve");
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (strcmp(curves[i].group, group) == 0) {
            key->capabilities.curve = curves[i].curve;
            key->capabilities.bits = curves[i].bits;
            key->signature_length = (size_t)EVP_PKEY_get_size(key->pkey);
            key->shared_length = (curves[i].bits + 7) / 8;
            return KW_OK;
        }
    return error_set(error, KW_UNSUPPORTED, "keys on the curve '%s' are not supported", group);
}

static kw_status describe(kw_key *key, kw_input spki, kw_error *error)
{
    EVP_PKEY *const pkey = spki_parse(key->crypto, spki);

    if (pkey == NULL)
        return error_set(error, KW_CORRUPT, "the public key is not a SubjectPublicKeyInfo of a known kind");
    key->pkey = pkey;
    memcpy(key->spki, spki.data, spki.length);
    key->spki_length = spki.length;
    key->capabilities.size = sizeof(key->capabilities);
    key->pss = pss_of_pkey(pkey);
    if (EVP_PKEY_is_a(pkey, "RSA") || key->pss.only) {
        key->capabilities.type = KW_KEY_RSA;
        return describe_rsa(key, error);
    }
    if (EVP_PKEY_is_a(pkey, "EC")) {
        key->capabilities.type = KW_KEY_EC;
        return describe_ec(key, error);
    }
    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        key->capabilities.type = KW_KEY_ED25519;
        key->signature_length = 64;
        return KW_OK;
    }
    if (EVP_PKEY_is_a(pkey, "X25519")) {
        key->capabilities.type = KW_KEY_X25519;
        key->shared_length = 32;
        return KW_OK;
    }
    return error_set(error, KW_UNSUPPORTED, "keys of this type are not supported");
}

kw_status key_describe(kw_key *key, kw_input spki, kw_error *error)
{
    crypto_enter();
    const kw_status status = describe(key, spki, error);
    crypto_leave();
    return status;
}

static kw_status check_peer(const kw_key *key, kw_input peer, kw_error *error)
{
    kw_status status = KW_OK;
    EVP_PKEY *const pkey = spki_parse(key->crypto, peer);
    EVP_PKEY_CTX *context = NULL;

    /* The same type and parameters: on the same curve, named in the same way. */
    if (pkey == NULL || EVP_PKEY_parameters_eq(pkey, key->pkey) != 1) {
        status = error_set(error, KW_INVALID_ARGUMENT, "the peer's public key is malformed or not on this key's curve");
        goto out;
    }
    context = EVP_PKEY_CTX_new_from_pkey(key->crypto->library, pkey, KEY_PROVIDER);
    if (context == NULL || EVP_PKEY_public_check(context) != 1)
        status = error_set(error, KW_INVALID_ARGUMENT, "the peer's public key is not a point of order on the curve");
out:
    ERR_clear_error();
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    return status;
}

kw_status key_check_peer(const kw_key *key, kw_input peer, kw_error *error)
{
    crypto_enter();
    const kw_status status = check_peer(key, peer, error);
    crypto_leave();
    return status;
}

/* ---- Verifying ----------------------------------------------------------------------------------------- */

static bool set_rsa_verification(EVP_PKEY_CTX *context, const struct crypto *crypto, const kw_algorithm *algorithm)
{
    if (algorithm->scheme == KW_SCHEME_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0;
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, crypto->digests[algorithm->mgf_hash]) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, (int)algorithm->salt_length) > 0;
}

/* A digest, against RSA and ECDSA signatures. */
static kw_status verify_digest(const kw_key *key, const struct signing *signing, kw_input signature, bool *valid,
                               kw_error *error)
{
    kw_status status = KW_OK;
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new_from_pkey(key->crypto->library, key->pkey, KEY_PROVIDER);

    if (context == NULL || EVP_PKEY_verify_init(context) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(context, key->crypto->digests[signing->algorithm.hash]) <= 0 ||
        (key->capabilities.type == KW_KEY_RSA && !set_rsa_verification(context, key->crypto, &signing->algorithm)))
        status = crypto_error(error, KW_FAILED, "the signature cannot be verified");
    else
        *valid =
            EVP_PKEY_verify(context, signature.data, signature.length, signing->input.data, signing->input.length) == 1;
    EVP_PKEY_CTX_free(context);
    return status;
}

static kw_status verify_message(const kw_key *key, kw_input message, kw_input signature, bool *valid, kw_error *error)
{
    kw_status status = KW_OK;
    EVP_MD_CTX *const context = EVP_MD_CTX_new();

    if (context == NULL ||
        EVP_DigestVerifyInit_ex(context, NULL, NULL, key->crypto->library, KEY_PROVIDER, key->pkey, NULL) != 1)
        status = crypto_error(error, KW_FAILED, "the signature cannot be verified");
    else
        *valid = EVP_DigestVerify(context, signature.data, signature.length, message.data, message.length) == 1;
    EVP_MD_CTX_free(context);
    return status;
}

kw_status kw_key_verify(kw_key *key, const kw_algorithm *algorithm, kw_input input, kw_input signature, kw_error *error)
{
    static const unsigned char nothing[1];
    struct signing signing;
    bool valid = false;
    kw_status status = signing_algorithm(key, algorithm, input, &signing, error);

    if (status == KW_OK)
        status = signing_input(key, input, &signing, error);
    if (status != KW_OK)
        return status;
    if (signature.data == NULL)
        signature = (kw_input){nothing, 0};
    if (signing.input.data == NULL)
        signing.input.data = nothing;
    crypto_enter();
    status = signing.algorithm.scheme == KW_SCHEME_EDDSA ? verify_message(key, signing.input, signature, &valid, error)
                                                         : verify_digest(key, &signing, signature, &valid, error);
    ERR_clear_error(); /* libcrypto's reason for an invalid signature helps nobody */
    crypto_leave();
    if (status == KW_OK && !valid)
        return error_set(error, KW_SIGNATURE_INVALID, "the signature is not of this key over this input");
    return status;
}

/* ---- Encrypting ------------------------------------------------------------------------------------------ */

static bool set_oaep(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    OSSL_PARAM parameters[5];
    size_t count = 0;
    char padding[] = OSSL_PKEY_RSA_PAD_MODE_OAEP, hash[16], mgf_hash[16];

    snprintf(hash, sizeof(hash), "%s", hash_name(algorithm->hash));
    snprintf(mgf_hash, sizeof(mgf_hash), "%s", hash_name(algorithm->mgf_hash));
    parameters[count++] = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, padding, 0);
    parameters[count++] = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, hash, 0);
    parameters[count++] = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, mgf_hash, 0);
    if (algorithm->label.length > 0) /* libcrypto's parameters are not const; it only reads these */
        parameters[count++] = OSSL_PARAM_construct_octet_string(
            OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, (void *)(uintptr_t)algorithm->label.data, algorithm->label.length);
    parameters[count] = OSSL_PARAM_construct_end();
    return EVP_PKEY_CTX_set_params(context, parameters) == 1;
}

static kw_status encrypt(const kw_key *key, const kw_algorithm *oaep, kw_input plaintext, kw_output *ciphertext,
                         kw_error *error)
{
    static const unsigned char nothing[1];
    size_t length = ciphertext->capacity;
    kw_status status = KW_OK;
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new_from_pkey(key->crypto->library, key->pkey, KEY_PROVIDER);

    if (context == NULL || EVP_PKEY_encrypt_init(context) <= 0 || !set_oaep(context, oaep) ||
        EVP_PKEY_encrypt(context, ciphertext->data, &length, plaintext.data == NULL ? nothing : plaintext.data,
                         plaintext.length) <= 0)
        status = crypto_error(error, KW_FAILED, "the plaintext cannot be encrypted");
    else
        ciphertext->length = length;
    EVP_PKEY_CTX_free(context);
    return status;
}

kw_status kw_key_encrypt(kw_key *key, const kw_algorithm *algorithm, kw_input plaintext, kw_output *ciphertext,
                         kw_error *error)
{
    kw_algorithm oaep;
    size_t overhead;
    kw_status status = oaep_algorithm(key, algorithm, &oaep, error);

    if (status != KW_OK)
        return status;
    overhead = 2 * hash_length(oaep.hash) + 2;
    if (key->signature_length < overhead) {
        status = error_set(error, KW_INVALID_ARGUMENT, "the key is too short for OAEP with %s", hash_name(oaep.hash));
        return status;
    }
    if (plaintext.length > key->signature_length - overhead || (plaintext.data == NULL && plaintext.length > 0)) {
        status = error_set(error, KW_INVALID_ARGUMENT,
                           "the plaintext has %zu bytes; this key takes at most %zu with OAEP and %s", plaintext.length,
                           key->signature_length - overhead, hash_name(oaep.hash));
        error_remedy(error, "use CMS for what is longer");
        return status;
    }
    status = key_check_room(ciphertext, key->signature_length, error);
    if (status != KW_OK)
        return status;
    crypto_enter();
    status = encrypt(key, &oaep, plaintext, ciphertext, error);
    crypto_leave();
    return status;
}
