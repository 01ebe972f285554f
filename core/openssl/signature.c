/*
 * Signatures. The message is hashed here and the digest signed by the store; for EdDSA the store gets the message. Beginning an operation
 * calls no backend (TLS begins one as a probe at each handshake), nor does asking how long a signature is. Verification and
 * AlgorithmIdentifiers are the default provider's, with the public key.
 */
#include "openssl/signature.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_signature_newctx_fn rsa_newctx, ecdsa_newctx, eddsa_newctx;
static OSSL_FUNC_signature_digest_sign_init_fn signature_digest_sign_init;
static OSSL_FUNC_signature_digest_verify_init_fn signature_digest_verify_init;
static OSSL_FUNC_signature_digest_sign_fn eddsa_digest_sign;
static OSSL_FUNC_signature_verify_recover_fn rsa_verify_recover;
static OSSL_FUNC_signature_digest_verify_fn eddsa_digest_verify;

/* ---- Life ---- */

void *signature_new(const struct provider *provider, kw_key_type type)
{
    struct signature *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->provider = provider;
    made->type = type;
    made->padding = RSA_PKCS1_PADDING;
    made->salt_length = RSA_PSS_SALTLEN_AUTO;
    return made;
}

static void *rsa_newctx(void *provider, const char *properties)
{
    (void)properties;
    return signature_new(provider, KW_KEY_RSA);
}

static void *ecdsa_newctx(void *provider, const char *properties)
{
    (void)properties;
    return signature_new(provider, KW_KEY_EC);
}

static void *eddsa_newctx(void *provider, const char *properties)
{
    (void)properties;
    return signature_new(provider, KW_KEY_ED25519);
}

void signature_freectx(void *context)
{
    struct signature *signature = context;
    if (signature == NULL)
        return;
    EVP_MD_CTX_free(signature->content);
    held_clear(&signature->held);
    free(signature->expected);
    free(signature);
}

bool signature_expect(struct signature *signature, const void *bytes, size_t length)
{
    unsigned char *copy = malloc(length > 0 ? length : 1);
    if (copy == NULL)
        return false;
    if (length > 0)
        memcpy(copy, bytes, length);
    free(signature->expected);
    signature->expected = copy;
    signature->expected_length = length;
    return true;
}

void *signature_dupctx(void *context)
{
    const struct signature *from = context;
    struct signature *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    *made = *from;
    made->content = from->content != NULL ? EVP_MD_CTX_new() : NULL;
    made->expected = NULL;
    bool copied = held_copy(&made->held, &from->held) &&
                  (from->expected == NULL || signature_expect(made, from->expected, from->expected_length));
    if (from->content != NULL)
        copied = copied && made->content != NULL && EVP_MD_CTX_copy_ex(made->content, from->content);
    if (!copied) {
        signature_freectx(made);
        made = NULL;
    }
    return made;
}

/* ---- Beginning ---- */

/* A key for PSS alone begins with what its certificate says; what a program sets then is held against it. */
static int begin_limited(struct signature *signature)
{
    const struct pss_limits *const limits = &signature->held.pss;
    if (!limits->only)
        return 1;
    if (signature->fixed)
        return failure_set(KW_UNSUPPORTED, "the key is for PSS alone, as its certificate says");
    signature->padding = RSA_PKCS1_PSS_PADDING;
    if (signature->hash == KW_HASH_NONE)
        signature->hash = limits->hash;
    if (signature->mgf_hash == KW_HASH_NONE)
        signature->mgf_hash = limits->mgf_hash;
    /* As the default provider does: who verifies and says nothing of the salt, either, expects this length. */
    if (limits->hash != KW_HASH_NONE && signature->salt_length == RSA_PSS_SALTLEN_AUTO)
        signature->salt_length = (int)limits->salt_minimum;
    return signature_check_limits(signature);
}

/* libcrypto gives no key when the one of an earlier init stays. */
static int begin(struct signature *signature, const struct keydata *key, bool verifying, const OSSL_PARAM parameters[])
{
    failure_forget();
    EVP_MD_CTX_free(signature->content);
    signature->content = NULL;
    signature->content_state = CONTENT_EMPTY;
    signature->verifying = verifying;
    if (key != NULL ? !held_take(&signature->held, key, !verifying) : signature->held.public == NULL)
        return key == NULL ? failure_set(KW_INVALID_ARGUMENT, "a signature was begun without a key") : 0;
    return begin_limited(signature) && signature_set_ctx_params(signature, parameters);
}

int signature_sign_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    return begin(context, key, false, parameters);
}

int signature_verify_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    return begin(context, key, true, parameters);
}

int signature_begin_message(struct signature *signature, const char *name, const struct keydata *key, bool verifying,
                            const OSSL_PARAM parameters[])
{
    if (signature->type == KW_KEY_ED25519) {
        if (name != NULL && name[0] != '\0')
            return failure_set(KW_INVALID_ARGUMENT, "EdDSA signs the message itself; it takes no digest such as %s",
                               name);
        return begin(signature, key, verifying, parameters);
    }
    const kw_hash own = key != NULL ? key->pss.hash : signature->held.pss.hash;
    if (name == NULL || name[0] == '\0')
        name = hash_name(signature->hash != KW_HASH_NONE ? signature->hash
                         : own != KW_HASH_NONE           ? own
                                                         : KW_HASH_SHA256);
    kw_hash hash = KW_HASH_NONE;
    EVP_MD *digest = digest_fetch(signature->provider, name, &hash);
    if (digest == NULL)
        return 0;
    signature->hash = hash;
    int begun = begin(signature, key, verifying, parameters);
    if (begun) {
        signature->content = EVP_MD_CTX_new();
        begun = signature->content != NULL && EVP_DigestInit_ex2(signature->content, digest, NULL);
    }
    EVP_MD_free(digest);
    return begun;
}

static int signature_digest_sign_init(void *context, const char *name, void *key, const OSSL_PARAM parameters[])
{
    return signature_begin_message(context, name, key, false, parameters);
}

static int signature_digest_verify_init(void *context, const char *name, void *key, const OSSL_PARAM parameters[])
{
    return signature_begin_message(context, name, key, true, parameters);
}

int signature_digest_update(void *context, const unsigned char *data, size_t length)
{
    struct signature *signature = context;
    if (signature->content == NULL || signature->content_state == CONTENT_SPENT)
        return failure_set(KW_INVALID_ARGUMENT, "there is more of a message whose signature was not begun, or is made");
    if (signature->content_state == CONTENT_WHOLE && !EVP_DigestInit_ex2(signature->content, NULL, NULL))
        return 0;
    signature->content_state = CONTENT_BEGUN;
    return EVP_DigestUpdate(signature->content, data, length);
}

/* The digest of the message, once. */
static bool finish(struct signature *signature, unsigned char digest[EVP_MAX_MD_SIZE], unsigned *length)
{
    if (signature->content == NULL || signature->content_state >= CONTENT_WHOLE)
        return false;
    signature->content_state = CONTENT_SPENT;
    return EVP_DigestFinal_ex(signature->content, digest, length) == 1;
}

/* ---- Signing ---- */

/* The longest salt that fits: RFC 8017, section 9.1.1 step 3. */
static int pss_longest_salt(const struct signature *signature)
{
    const int encoded = (EVP_PKEY_get_bits(signature->held.public) - 1 + 7) / 8;
    return encoded - (int)hash_length(signature->hash) - 2;
}

/* What PSS_SALTLEN says in bytes; negative: no salt of this length fits. */
static int pss_salt(const struct signature *signature)
{
    const int longest = pss_longest_salt(signature);
    int digest = (int)hash_length(signature->hash);
    switch (signature->salt_length) {
    case RSA_PSS_SALTLEN_DIGEST:
        return digest <= longest ? digest : -1;
    case RSA_PSS_SALTLEN_MAX:
        return longest;
    default:
        if (signature->salt_length >= 0)
            return signature->salt_length <= longest ? signature->salt_length : -1;
        /* FIPS 186-5: at most the digest's length, unless the key's certificate asks for more. */
        digest = (int)pss_salt_default(&signature->held.pss, signature->hash);
        return digest < longest ? digest : longest;
    }
}

/* Which of ours a digest without a name is, by its length. */
static kw_hash hash_of_length(size_t length)
{
    for (kw_hash hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++)
        if (hash_length(hash) == length)
            return hash;
    return KW_HASH_NONE;
}

static int algorithm_of(const struct signature *signature, size_t digest_length, kw_algorithm *algorithm)
{
    *algorithm = (kw_algorithm){.size = sizeof(*algorithm), .hash = signature->hash};
    if (signature->type == KW_KEY_ED25519) {
        algorithm->scheme = KW_SCHEME_EDDSA;
        algorithm->hash = KW_HASH_NONE;
        algorithm->is_message = 1;
        return 1;
    }
    if (signature->type == KW_KEY_EC && algorithm->hash == KW_HASH_NONE)
        algorithm->hash = hash_of_length(digest_length);
    if (algorithm->hash == KW_HASH_NONE)
        return failure_set(KW_UNSUPPORTED,
                           "a signature needs the digest's name: set one of SHA-224, SHA-256, SHA-384 and SHA-512");
    if (algorithm->hash == KW_HASH_SHA1)
        return failure_set(KW_REFUSED, "no new signatures are made with SHA-1");
    if (digest_length != hash_length(algorithm->hash))
        return failure_set(KW_INVALID_ARGUMENT, "a digest of %zu bytes cannot be one of %s", digest_length,
                           hash_name(algorithm->hash));
    if (signature->type == KW_KEY_EC) {
        algorithm->scheme = KW_SCHEME_ECDSA;
    } else if (signature->padding == RSA_PKCS1_PADDING) {
        algorithm->scheme = KW_SCHEME_RSA_PKCS1;
    } else {
        const int salt = pss_salt(signature);
        if (salt < 0)
            return failure_set(KW_INVALID_ARGUMENT, "the key is too short for PSS with %s and this salt",
                               hash_name(algorithm->hash));
        algorithm->scheme = KW_SCHEME_RSA_PSS;
        algorithm->mgf_hash = signature->mgf_hash;
        algorithm->salt_length = (uint32_t)salt;
    }
    return 1;
}

/* The default provider signs with a key in memory. */
static int sign_in_memory(const struct signature *signature, unsigned char *out, size_t *length, size_t capacity,
                          kw_input input)
{
    int made = 0;
    *length = capacity;
    crypto_enter();
    if (signature->type == KW_KEY_ED25519) {
        EVP_MD_CTX *signer = EVP_MD_CTX_new();
        made = signer != NULL &&
               EVP_DigestSignInit_ex(signer, NULL, NULL, signature->provider->library, DELEGATE_PROPERTY,
                                     signature->held.public, NULL) == 1 &&
               EVP_DigestSign(signer, out, length, input.data, input.length) == 1;
        EVP_MD_CTX_free(signer);
    } else {
        EVP_PKEY_CTX *signer = signature_delegate(signature, EVP_PKEY_sign_init);
        made = signer != NULL && EVP_PKEY_sign(signer, out, length, input.data, input.length) == 1;
        EVP_PKEY_CTX_free(signer);
    }
    crypto_leave();
    return made;
}

/* No signature is longer. 0: none was begun. */
static size_t longest(const struct signature *signature)
{
    const int size =
        signature->held.public != NULL && !signature->verifying ? EVP_PKEY_get_size(signature->held.public) : 0;
    return size > 0 ? (size_t)size : 0;
}

/* Before anything is done, so that a caller can come again with more room. */
static int check(const struct signature *signature, const unsigned char *out, size_t capacity)
{
    failure_forget();
    if (longest(signature) == 0)
        return failure_set(KW_INVALID_ARGUMENT, "a signature was asked for that was not begun");
    if (out != NULL && capacity < longest(signature))
        return failure_set(KW_BUFFER_TOO_SMALL, "a signature of this key needs room for %zu bytes, and has %zu",
                           longest(signature), capacity);
    return 1;
}

/* What check() has seen. */
static int sign(struct signature *signature, unsigned char *out, size_t *length, size_t capacity,
                const unsigned char *input, size_t input_length)
{
    kw_algorithm algorithm;
    kw_error error = {0};
    if (out == NULL) {
        *length = longest(signature);
        return 1;
    }
    if (signature->held.key == NULL)
        return sign_in_memory(signature, out, length, capacity, (kw_input){input, input_length});
    if (!algorithm_of(signature, input_length, &algorithm))
        return 0;
    kw_output output = {out, capacity, 0};
    const unsigned depth = crypto_step_out();
    const kw_status status =
        kw_key_sign(signature->held.key, &algorithm, (kw_input){input, input_length}, &output, &error);
    crypto_step_in(depth);
    if (status != KW_OK)
        return failure_keep(&error);
    *length = output.length;
    return 1;
}

int signature_sign(void *context, unsigned char *out, size_t *length, size_t capacity, const unsigned char *digest,
                   size_t digest_length)
{
    return check(context, out, capacity) && sign(context, out, length, capacity, digest, digest_length);
}

int signature_digest_sign_final(void *context, unsigned char *out, size_t *length, size_t capacity)
{
    struct signature *signature = context;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_length = 0;
    if (!check(signature, out, capacity))
        return 0;
    if (out != NULL && !finish(signature, digest, &digest_length))
        return failure_set(KW_INVALID_ARGUMENT, "the signature of a message was not begun, or is made");
    return sign(signature, out, length, capacity, digest, digest_length);
}

/* All at once: libcrypto would else copy the context to finish it. It may be done again, with the same message or another. */
int signature_digest_sign(void *context, unsigned char *out, size_t *length, size_t capacity,
                          const unsigned char *message, size_t message_length)
{
    struct signature *signature = context;
    const enum content_state before = signature->content_state;
    if (!check(signature, out, capacity) ||
        (out != NULL && !signature_digest_update(signature, message, message_length)))
        return 0;
    const int made = signature_digest_sign_final(signature, out, length, capacity);
    if (signature->content_state == CONTENT_SPENT && (before == CONTENT_EMPTY || before == CONTENT_WHOLE))
        signature->content_state = CONTENT_WHOLE;
    return made;
}

static int eddsa_digest_sign(void *context, unsigned char *out, size_t *length, size_t capacity,
                             const unsigned char *message, size_t message_length)
{
    return check(context, out, capacity) && sign(context, out, length, capacity, message, message_length);
}

/* ---- What the default provider does with the public key ---- */

EVP_PKEY_CTX *signature_delegate(const struct signature *signature, int (*init)(EVP_PKEY_CTX *context))
{
    OSSL_PARAM parameters[5], *next = parameters;
    char digest[16] = "", mgf[16] = "";
    int padding = signature->padding, salt = signature->salt_length;
    if (signature->hash != KW_HASH_NONE) {
        OPENSSL_strlcpy(digest, hash_name(signature->hash), sizeof(digest));
        *next++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, digest, 0);
    }
    if (signature->type == KW_KEY_RSA)
        *next++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &padding);
    if (signature->type == KW_KEY_RSA && padding == RSA_PKCS1_PSS_PADDING) {
        if (!signature->verifying)
            salt = pss_salt(signature);
        /* Any is what the default provider takes by itself; of a key that is limited it does not want to hear so. */
        if (salt != RSA_PSS_SALTLEN_AUTO)
            *next++ = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt);
        if (signature->mgf_hash != KW_HASH_NONE) {
            OPENSSL_strlcpy(mgf, hash_name(signature->mgf_hash), sizeof(mgf));
            *next++ = OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, mgf, 0);
        }
    }
    *next = OSSL_PARAM_construct_end();
    EVP_PKEY_CTX *context = held_delegate(&signature->held);
    if (context == NULL || init(context) <= 0 || EVP_PKEY_CTX_set_params(context, parameters) <= 0) {
        EVP_PKEY_CTX_free(context);
        context = NULL;
    }
    return context;
}

int signature_verify(void *context, const unsigned char *bytes, size_t length, const unsigned char *digest,
                     size_t digest_length)
{
    crypto_enter();
    EVP_PKEY_CTX *verifier = signature_delegate(context, EVP_PKEY_verify_init);
    const int valid = verifier != NULL && EVP_PKEY_verify(verifier, bytes, length, digest, digest_length) == 1;
    EVP_PKEY_CTX_free(verifier);
    crypto_leave();
    return valid;
}

static int rsa_verify_recover(void *context, unsigned char *out, size_t *length, size_t capacity,
                              const unsigned char *bytes, size_t bytes_length)
{
    *length = capacity;
    crypto_enter();
    EVP_PKEY_CTX *verifier = signature_delegate(context, EVP_PKEY_verify_recover_init);
    const int recovered = verifier != NULL && EVP_PKEY_verify_recover(verifier, out, length, bytes, bytes_length) == 1;
    EVP_PKEY_CTX_free(verifier);
    crypto_leave();
    return recovered;
}

int signature_digest_verify_final(void *context, const unsigned char *bytes, size_t length)
{
    struct signature *signature = context;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_length = 0;
    return finish(signature, digest, &digest_length) &&
           signature_verify(signature, bytes, length, digest, digest_length);
}

static int eddsa_digest_verify(void *context, const unsigned char *bytes, size_t length, const unsigned char *message,
                               size_t message_length)
{
    const struct signature *signature = context;
    crypto_enter();
    EVP_MD_CTX *verifier = EVP_MD_CTX_new();
    const int valid = verifier != NULL &&
                      EVP_DigestVerifyInit_ex(verifier, NULL, NULL, signature->provider->library, DELEGATE_PROPERTY,
                                              signature->held.public, NULL) == 1 &&
                      EVP_DigestVerify(verifier, bytes, length, message, message_length) == 1;
    EVP_MD_CTX_free(verifier);
    crypto_leave();
    return valid;
}

#define COMMON_FUNCTIONS                                                                                               \
    {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_freectx},                                                  \
        {OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signature_dupctx},                                                \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))signature_digest_sign_init},                            \
        {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, (void (*)(void))signature_digest_verify_init},                        \
    {                                                                                                                  \
        OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))signature_get_ctx_params                                   \
    }

#define DIGEST_FUNCTIONS                                                                                               \
    {OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))signature_sign_init},                                              \
        {OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))signature_sign},                                                    \
        {OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))signature_verify_init},                                      \
        {OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))signature_verify},                                                \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))signature_digest_update},                             \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))signature_digest_sign_final},                          \
        {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))signature_digest_sign},                                      \
        {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, (void (*)(void))signature_digest_update},                           \
        {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, (void (*)(void))signature_digest_verify_final},                      \
    {                                                                                                                  \
        OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))signature_set_ctx_params                                   \
    }

const OSSL_DISPATCH rsa_signature[] = {
    COMMON_FUNCTIONS,
    DIGEST_FUNCTIONS,
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))rsa_newctx},
    {OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, (void (*)(void))signature_verify_init},
    {OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, (void (*)(void))rsa_verify_recover},
    {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))rsa_gettable_ctx_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))rsa_settable_ctx_params},
    {0, NULL},
};

const OSSL_DISPATCH ecdsa_signature[] = {
    COMMON_FUNCTIONS,
    DIGEST_FUNCTIONS,
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))ecdsa_newctx},
    {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))ecdsa_gettable_ctx_params},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))ecdsa_settable_ctx_params},
    {0, NULL},
};

const OSSL_DISPATCH eddsa_signature[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))eddsa_newctx},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))eddsa_digest_sign},
    {OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, (void (*)(void))eddsa_digest_verify},
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
    {OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT, (void (*)(void))signature_sign_init},
    {OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))eddsa_digest_sign},
    {OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT, (void (*)(void))signature_verify_init},
    {OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))eddsa_digest_verify},
#endif
    {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))eddsa_gettable_ctx_params},
    {0, NULL},
};
