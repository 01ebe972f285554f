/* What keys are for: sign, decrypt, derive. */
#include "softstore.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

#define MAXIMUM_DIGEST 64u

static const kw_host *host_of(const kw_plugin_key *key)
{
    return &key->instance->host;
}

/* The algorithm as the caller knew it, held against the key. */
static kw_status begin(const kw_plugin_key *key, uint32_t operation, uint32_t schemes, const kw_algorithm *sent,
                       kw_algorithm *algorithm)
{
    softstore_take(algorithm, sizeof(*algorithm), sent);
    uint32_t able = softstore_abilities[key->kind.type].schemes & schemes;
    if ((key->operations & operation) == 0)
        return softstore_report(host_of(key), KW_UNSUPPORTED, "key %s is not for this operation", key->name.text);
    if ((unsigned)algorithm->scheme > KW_SCHEME_ECDH || (able & KW_BIT(algorithm->scheme)) == 0)
        return softstore_report(host_of(key), KW_UNSUPPORTED, "key %s does not do this scheme", key->name.text);
    return KW_OK;
}

/* Members that the scheme does not look at are zero from here on, so that contexts in the pool are shared. */
static void normalise(kw_algorithm *algorithm)
{
    bool has_label = algorithm->scheme == KW_SCHEME_RSA_OAEP;
    bool has_mgf = has_label || algorithm->scheme == KW_SCHEME_RSA_PSS;
    if (!has_label)
        algorithm->label = (kw_input){NULL, 0};
    if (!has_mgf)
        algorithm->mgf_hash = KW_HASH_NONE;
    if (algorithm->scheme != KW_SCHEME_RSA_PSS)
        algorithm->salt_length = 0;
    if (!has_mgf && algorithm->scheme != KW_SCHEME_RSA_PKCS1)
        algorithm->hash = KW_HASH_NONE;
}

/* For schemes with a hash: it must be one of `hashes`; MGF1's is made explicit. */
static kw_status check_hashes(const kw_plugin_key *key, uint32_t hashes, kw_algorithm *algorithm)
{
    if (algorithm->mgf_hash == KW_HASH_NONE)
        algorithm->mgf_hash = algorithm->hash;
    if ((unsigned)algorithm->hash > KW_HASH_SHA512 || (hashes & KW_BIT(algorithm->hash)) == 0 ||
        (unsigned)algorithm->mgf_hash > KW_HASH_SHA512 || (hashes & KW_BIT(algorithm->mgf_hash)) == 0)
        return softstore_report(host_of(key), KW_UNSUPPORTED, "softstore does not do this hash with this scheme");
    return KW_OK;
}

/* ---- Sign -------------------------------------------------------------------------------------------------------- */

static kw_status sign_eddsa(kw_plugin_key *key, kw_input message, kw_output *signature)
{
    size_t length = signature->capacity;
    softstore_enter();
    EVP_PKEY *pkey = softstore_pool_pkey(key->pool);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = pkey != NULL && context != NULL &&
                EVP_DigestSignInit_ex(context, NULL, NULL, key->instance->library->context, NULL, pkey, NULL) == 1 &&
                EVP_DigestSign(context, signature->data, &length, message.data, message.length) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    softstore_leave();
    if (!done)
        return softstore_report(host_of(key), KW_FAILED, "libcrypto failed to sign with key %s", key->name.text);
    signature->length = length;
    return KW_OK;
}

/* RSADP on a block; the plain answer for every reason. */
static bool raw(kw_plugin_key *key, const kw_algorithm *algorithm, kw_input block, kw_output *output)
{
    size_t length = output->capacity;
    softstore_enter();
    struct softstore_context *context = softstore_pool_take(key->pool, algorithm);
    bool done =
        context != NULL && EVP_PKEY_decrypt(context->context, output->data, &length, block.data, block.length) == 1;
    if (context != NULL)
        softstore_pool_return(key->pool, context);
    softstore_leave();
    if (done)
        output->length = length;
    return done;
}

/* What a signature scheme demands of its hash, salt and digest. */
static kw_status check_sign(const kw_plugin_key *key, kw_algorithm *algorithm, kw_input input)
{
    /* An ECDSA signature does not name its hash, so a digest may come without one. */
    if (algorithm->scheme == KW_SCHEME_ECDSA && algorithm->hash == KW_HASH_NONE && algorithm->is_message == 0) {
        if (input.length == 0 || input.length > MAXIMUM_DIGEST)
            return softstore_report(host_of(key), KW_INVALID_ARGUMENT, "a digest has 1 to %u bytes", MAXIMUM_DIGEST);
        return KW_OK;
    }
    kw_status status = check_hashes(key, softstore_abilities[key->kind.type].sign_hashes, algorithm);
    if (status != KW_OK)
        return status;
    size_t length = softstore_hash_length(algorithm->hash);
    if (algorithm->is_message == 0 && input.length != length)
        return softstore_report(host_of(key), KW_INVALID_ARGUMENT, "the digest has %zu bytes instead of %zu",
                                input.length, length);
    /* RFC 8017 section 9.1.1 step 3, with emBits = modulus bits - 1 */
    if (algorithm->scheme == KW_SCHEME_RSA_PSS && algorithm->salt_length > (key->kind.bits + 6) / 8 - length - 2)
        return softstore_report(host_of(key), KW_INVALID_ARGUMENT, "a salt of %u bytes is too long for this key",
                                algorithm->salt_length);
    return KW_OK;
}

kw_status softstore_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input input,
                         kw_output *signature)
{
    unsigned char digest[MAXIMUM_DIGEST];
    kw_algorithm algorithm;
    (void)call; /* never waits */
    kw_status status = begin(key, KW_CAN_SIGN,
                             KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_RSA_RAW) |
                                 KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_EDDSA),
                             sent, &algorithm);
    if (status != KW_OK)
        return status;
    if (algorithm.scheme == KW_SCHEME_RSA_RAW) {
        if (input.length != key->size)
            return softstore_report(host_of(key), KW_INVALID_ARGUMENT, "the block has %zu bytes instead of %zu",
                                    input.length, key->size);
        if (!softstore_fits(signature, key->size))
            return KW_BUFFER_TOO_SMALL;
        normalise(&algorithm);
        if (!raw(key, &algorithm, input, signature))
            return softstore_report(host_of(key), KW_INVALID_ARGUMENT, "the block is not below the modulus");
        return KW_OK;
    }
    if (algorithm.scheme == KW_SCHEME_EDDSA)
        return softstore_fits(signature, key->size) ? sign_eddsa(key, input, signature) : KW_BUFFER_TOO_SMALL;

    status = check_sign(key, &algorithm, input);
    if (status != KW_OK)
        return status;
    if (!softstore_fits(signature, key->size))
        return KW_BUFFER_TOO_SMALL;
    if (algorithm.is_message != 0) {
        if (!softstore_digest(key->instance->library, algorithm.hash, input, digest))
            return softstore_report(host_of(key), KW_FAILED, "libcrypto failed to compute a digest");
        input = (kw_input){digest, softstore_hash_length(algorithm.hash)};
    }
    normalise(&algorithm);
    size_t length = signature->capacity;
    softstore_enter();
    struct softstore_context *context = softstore_pool_take(key->pool, &algorithm);
    bool done =
        context != NULL && EVP_PKEY_sign(context->context, signature->data, &length, input.data, input.length) == 1;
    if (context != NULL)
        softstore_pool_return(key->pool, context);
    softstore_leave();
    if (!done)
        return softstore_report(host_of(key), KW_FAILED, "libcrypto failed to sign with key %s", key->name.text);
    signature->length = length;
    return KW_OK;
}

/* ---- Decrypt ---------------------------------------------------------------------------------------------------------- */

kw_status softstore_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input ciphertext,
                            kw_output *plaintext)
{
    kw_algorithm algorithm;
    (void)call; /* never waits */
    kw_status status =
        begin(key, KW_CAN_DECRYPT, KW_BIT(KW_SCHEME_RSA_OAEP) | KW_BIT(KW_SCHEME_RSA_RAW), sent, &algorithm);
    if (status != KW_OK)
        return status;
    if (algorithm.scheme == KW_SCHEME_RSA_OAEP) {
        status = check_hashes(key, softstore_abilities[key->kind.type].oaep_hashes, &algorithm);
        if (status != KW_OK)
            return status;
    }
    normalise(&algorithm);
    /* libcrypto unpads in constant time into a buffer as long as the modulus */
    if (!softstore_fits(plaintext, key->size))
        return KW_BUFFER_TOO_SMALL;
    if (ciphertext.length != key->size || !raw(key, &algorithm, ciphertext, plaintext)) {
        plaintext->length = 0;
        return softstore_report(host_of(key), KW_CIPHERTEXT_INVALID,
                                "the ciphertext was not made for this key, or was changed");
    }
    return KW_OK;
}

/* ---- Derive ------------------------------------------------------------------------------------------------------------ */

/* The peer's key, when it is of the same kind. */
static EVP_PKEY *read_peer(const struct softstore_library *library, kw_input spki)
{
    EVP_PKEY *pkey = NULL;
    const unsigned char *at = spki.data;
    if (spki.length == 0 || spki.length > UINT16_MAX)
        return NULL;
    pkey = d2i_PUBKEY_ex(NULL, &at, (long)spki.length, library->context, NULL);
    if (pkey != NULL && at != spki.data + spki.length) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

kw_status softstore_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input peer,
                           kw_output *shared)
{
    kw_algorithm algorithm;
    EVP_PKEY *other = NULL;
    (void)call; /* never waits */
    kw_status status = begin(key, KW_CAN_DERIVE, KW_BIT(KW_SCHEME_ECDH), sent, &algorithm);
    if (status != KW_OK)
        return status;
    algorithm = (kw_algorithm){.scheme = KW_SCHEME_ECDH};
    size_t length = key->kind.type == KW_KEY_EC ? (key->kind.bits + 7) / 8 : 32;
    if (!softstore_fits(shared, length))
        return KW_BUFFER_TOO_SMALL;
    softstore_enter();
    other = read_peer(key->instance->library, peer);
    struct softstore_context *context = other != NULL ? softstore_pool_take(key->pool, &algorithm) : NULL;
    bool done = context != NULL && EVP_PKEY_derive_set_peer(context->context, other) == 1 &&
                EVP_PKEY_derive(context->context, shared->data, &length) == 1;
    if (context != NULL)
        softstore_pool_return(key->pool, context);
    EVP_PKEY_free(other);
    softstore_leave();
    if (!done)
        return softstore_report(host_of(key), KW_INVALID_ARGUMENT,
                                "the peer's key is not on the curve of key %s, or the result is zero", key->name.text);
    shared->length = length;
    return KW_OK;
}
