/*
 * Algorithms with a hash in their name, such as RSA-SHA256, which OpenSSL 3.4 and later sign messages with. Their padding is PKCS#1 v1.5. Before
 * 3.4 there is nothing of it.
 */
#include "openssl/signature.h"

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT

#include <openssl/core_names.h>
#include <openssl/params.h>

static OSSL_FUNC_signature_newctx_fn rsa_sha224_newctx, rsa_sha256_newctx, rsa_sha384_newctx, rsa_sha512_newctx,
    ecdsa_sha224_newctx, ecdsa_sha256_newctx, ecdsa_sha384_newctx, ecdsa_sha512_newctx;
static OSSL_FUNC_signature_sign_message_init_fn message_sign_init;
static OSSL_FUNC_signature_verify_message_init_fn message_verify_init;
static OSSL_FUNC_signature_verify_message_final_fn message_verify_final;
static OSSL_FUNC_signature_sign_fn message_sign;
static OSSL_FUNC_signature_verify_fn message_verify;
static OSSL_FUNC_signature_set_ctx_params_fn message_set_ctx_params;
static OSSL_FUNC_signature_settable_ctx_params_fn message_settable_ctx_params;
static OSSL_FUNC_signature_query_key_types_fn rsa_key_types, ecdsa_key_types;

static void *new_of(void *provider, kw_key_type type, kw_hash hash)
{
    struct signature *made = signature_new(provider, type);
    if (made != NULL) {
        made->hash = hash;
        made->fixed = true;
    }
    return made;
}

#define NEW(name, type, hash)                                                                                          \
    static void *name##_newctx(void *provider, const char *properties)                                                 \
    {                                                                                                                  \
        (void)properties;                                                                                              \
        return new_of(provider, type, hash);                                                                           \
    }

NEW(rsa_sha224, KW_KEY_RSA, KW_HASH_SHA224)
NEW(rsa_sha256, KW_KEY_RSA, KW_HASH_SHA256)
NEW(rsa_sha384, KW_KEY_RSA, KW_HASH_SHA384)
NEW(rsa_sha512, KW_KEY_RSA, KW_HASH_SHA512)
NEW(ecdsa_sha224, KW_KEY_EC, KW_HASH_SHA224)
NEW(ecdsa_sha256, KW_KEY_EC, KW_HASH_SHA256)
NEW(ecdsa_sha384, KW_KEY_EC, KW_HASH_SHA384)
NEW(ecdsa_sha512, KW_KEY_EC, KW_HASH_SHA512)

static int message_sign_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    return signature_begin_message(context, NULL, key, false, NULL) && message_set_ctx_params(context, parameters);
}

static int message_verify_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    return signature_begin_message(context, NULL, key, true, NULL) && message_set_ctx_params(context, parameters);
}

/* Of a whole message, unless sign_init has said that it is a digest. */
static int message_sign(void *context, unsigned char *out, size_t *length, size_t capacity, const unsigned char *input,
                        size_t input_length)
{
    const struct signature *signature = context;
    return signature->content != NULL ? signature_digest_sign(context, out, length, capacity, input, input_length)
                                      : signature_sign(context, out, length, capacity, input, input_length);
}

static int message_verify(void *context, const unsigned char *bytes, size_t length, const unsigned char *input,
                          size_t input_length)
{
    const struct signature *signature = context;
    if (signature->content == NULL)
        return signature_verify(context, bytes, length, input, input_length);
    return signature_digest_update(context, input, input_length) &&
           signature_digest_verify_final(context, bytes, length);
}

static int message_verify_final(void *context)
{
    struct signature *signature = context;
    if (signature->expected == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "there is no signature to verify");
    return signature_digest_verify_final(signature, signature->expected, signature->expected_length);
}

static int message_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    struct signature *signature = context;
    const void *bytes = NULL;
    size_t length = 0;
    const OSSL_PARAM *parameter =
        parameters != NULL ? OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_SIGNATURE) : NULL;
    if (parameter != NULL &&
        (!OSSL_PARAM_get_octet_string_ptr(parameter, &bytes, &length) || !signature_expect(signature, bytes, length)))
        return failure_set(KW_INVALID_ARGUMENT, "the signature to verify cannot be read");
    return signature_set_ctx_params(signature, parameters);
}

static const OSSL_PARAM *message_settable_ctx_params(void *context, void *provider)
{
    static const OSSL_PARAM settable[] = {OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_SIGNATURE, NULL, 0),
                                          OSSL_PARAM_END};
    (void)context;
    (void)provider;
    return settable;
}

static const char **rsa_key_types(void)
{
    static const char *types[] = {"RSA", NULL};
    return types;
}

static const char **ecdsa_key_types(void)
{
    static const char *types[] = {"EC", NULL};
    return types;
}

#define FUNCTIONS(name, family)                                                                                        \
    {                                                                                                                  \
        {OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))name##_newctx},                                                   \
            {OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_freectx},                                          \
            {OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signature_dupctx},                                            \
            {OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES, (void (*)(void))family##_key_types},                                 \
            {OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))signature_sign_init},                                      \
            {OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))message_sign},                                                  \
            {OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT, (void (*)(void))message_sign_init},                                \
            {OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE, (void (*)(void))signature_digest_update},                        \
            {OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL, (void (*)(void))signature_digest_sign_final},                     \
            {OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))signature_verify_init},                                  \
            {OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))message_verify},                                              \
            {OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT, (void (*)(void))message_verify_init},                            \
            {OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE, (void (*)(void))signature_digest_update},                      \
            {OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL, (void (*)(void))message_verify_final},                          \
            {OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))signature_get_ctx_params},                            \
            {OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))family##_gettable_ctx_params},                   \
            {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))message_set_ctx_params},                              \
            {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))message_settable_ctx_params},                    \
        {                                                                                                              \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }

const OSSL_DISPATCH rsa_sha224_signature[] = FUNCTIONS(rsa_sha224, rsa);
const OSSL_DISPATCH rsa_sha256_signature[] = FUNCTIONS(rsa_sha256, rsa);
const OSSL_DISPATCH rsa_sha384_signature[] = FUNCTIONS(rsa_sha384, rsa);
const OSSL_DISPATCH rsa_sha512_signature[] = FUNCTIONS(rsa_sha512, rsa);
const OSSL_DISPATCH ecdsa_sha224_signature[] = FUNCTIONS(ecdsa_sha224, ecdsa);
const OSSL_DISPATCH ecdsa_sha256_signature[] = FUNCTIONS(ecdsa_sha256, ecdsa);
const OSSL_DISPATCH ecdsa_sha384_signature[] = FUNCTIONS(ecdsa_sha384, ecdsa);
const OSSL_DISPATCH ecdsa_sha512_signature[] = FUNCTIONS(ecdsa_sha512, ecdsa);

#endif
