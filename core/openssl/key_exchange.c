/* ECDH by a store, and the X9.63 derivation behind it, which CMS (RFC 5753) asks for. */
#include "openssl/provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_keyexch_newctx_fn ecdh_newctx;
static OSSL_FUNC_keyexch_freectx_fn ecdh_freectx;
static OSSL_FUNC_keyexch_dupctx_fn ecdh_dupctx;
static OSSL_FUNC_keyexch_init_fn ecdh_init;
static OSSL_FUNC_keyexch_set_peer_fn ecdh_set_peer;
static OSSL_FUNC_keyexch_derive_fn ecdh_derive;
static OSSL_FUNC_keyexch_set_ctx_params_fn ecdh_set_ctx_params;
static OSSL_FUNC_keyexch_settable_ctx_params_fn ecdh_settable_ctx_params;
static OSSL_FUNC_keyexch_get_ctx_params_fn ecdh_get_ctx_params;
static OSSL_FUNC_keyexch_gettable_ctx_params_fn ecdh_gettable_ctx_params;

struct key_exchange {
    const struct provider *provider;
    struct held held;
    EVP_PKEY *peer;
    bool derives;       /* by X9.63 KDF; else the shared secret is the result */
    kw_hash hash;       /* of the KDF; KW_HASH_NONE: not set */
    size_t length;      /* that the KDF gives */
    unsigned char *ukm; /* the KDF's SharedInfo; NULL: empty */
    size_t ukm_length;
    int cofactor_mode; /* the curves here have the cofactor 1, so that each is the same */
};

/* ---- Life ---- */

static void *ecdh_newctx(void *provider)
{
    struct key_exchange *made = calloc(1, sizeof(*made));
    if (made != NULL)
        made->provider = provider;
    return made;
}

static void ecdh_freectx(void *context)
{
    struct key_exchange *exchange = context;
    if (exchange == NULL)
        return;
    held_clear(&exchange->held);
    crypto_pkey_free(exchange->peer);
    OPENSSL_clear_free(exchange->ukm, exchange->ukm_length);
    free(exchange);
}

static bool ukm_set(struct key_exchange *exchange, const void *ukm, size_t length)
{
    unsigned char *copy = NULL;
    if (length != 0) {
        copy = OPENSSL_memdup(ukm, length);
        if (copy == NULL)
            return false;
    }
    OPENSSL_clear_free(exchange->ukm, exchange->ukm_length);
    exchange->ukm = copy;
    exchange->ukm_length = length;
    return true;
}

static void *ecdh_dupctx(void *context)
{
    const struct key_exchange *from = context;
    struct key_exchange *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    *made = *from;
    made->ukm = NULL;
    made->ukm_length = 0;
    made->peer = from->peer != NULL && EVP_PKEY_up_ref(from->peer) ? from->peer : NULL;
    if (!held_copy(&made->held, &from->held) || made->peer != from->peer ||
        !ukm_set(made, from->ukm, from->ukm_length)) {
        ecdh_freectx(made);
        made = NULL;
    }
    return made;
}

/* ---- The exchange ---- */

static int ecdh_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    struct key_exchange *exchange = context;
    failure_forget();
    crypto_pkey_free(exchange->peer);
    exchange->peer = NULL;
    return held_take(&exchange->held, key, true) && ecdh_set_ctx_params(exchange, parameters);
}

static int ecdh_set_peer(void *context, void *key)
{
    struct key_exchange *exchange = context;
    const struct keydata *peer = key;
    if (peer == NULL || !peer->has_public || exchange->held.public == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "ECDH needs the peer's public key");
    crypto_enter();
    const bool same = EVP_PKEY_parameters_eq(exchange->held.public, peer->public) == 1;
    crypto_leave();
    if (!same)
        return failure_set(KW_INVALID_ARGUMENT, "the peer's key is on another curve");
    if (!EVP_PKEY_up_ref(peer->public))
        return 0;
    crypto_pkey_free(exchange->peer);
    exchange->peer = peer->public;
    return 1;
}

/* The default provider agrees with a key in memory. */
static int shared_in_memory(const struct key_exchange *exchange, kw_output *shared)
{
    size_t length = shared->capacity;
    crypto_enter();
    EVP_PKEY_CTX *context = held_delegate(&exchange->held);
    const int derived = context != NULL && EVP_PKEY_derive_init(context) > 0 &&
                        EVP_PKEY_derive_set_peer(context, exchange->peer) > 0 &&
                        EVP_PKEY_derive(context, shared->data, &length) > 0;
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    shared->length = length;
    return derived;
}

/* The X coordinate of the shared point: the field's length, into `shared`. */
static int shared_secret(const struct key_exchange *exchange, kw_output *shared)
{
    unsigned char *spki = NULL;
    kw_error error = {0};
    if (exchange->held.key == NULL)
        return shared_in_memory(exchange, shared);
    crypto_enter();
    const int length = i2d_PUBKEY(exchange->peer, &spki);
    crypto_leave();
    if (length <= 0)
        return 0;
    const kw_input peer = {spki, (size_t)length};
    const unsigned depth = crypto_step_out();
    const kw_status status = exchange->derives ? key_agree(exchange->held.key, peer, shared, &error)
                                               : kw_key_derive(exchange->held.key, peer, shared, &error);
    crypto_step_in(depth);
    OPENSSL_free(spki);
    return status == KW_OK ? 1 : failure_keep(&error);
}

static int x963(const struct key_exchange *exchange, kw_input shared, unsigned char *out)
{
    char digest[16];
    OPENSSL_strlcpy(digest, hash_name(exchange->hash), sizeof(digest));
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)shared.data, shared.length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, exchange->ukm, exchange->ukm_length),
        OSSL_PARAM_construct_end(),
    };
    crypto_enter();
    EVP_KDF *kdf = EVP_KDF_fetch(exchange->provider->library, OSSL_KDF_NAME_X963KDF, DELEGATE_PROPERTY);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    const int derived = context != NULL && EVP_KDF_derive(context, out, exchange->length, parameters) > 0;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    crypto_leave();
    return derived;
}

static int ecdh_derive(void *context, unsigned char *out, size_t *length, size_t capacity)
{
    const struct key_exchange *exchange = context;
    struct secret secret = {0};
    kw_error error = {0};
    int derived = 0;
    failure_forget();
    if ((exchange->held.key == NULL && !exchange->held.in_memory) || exchange->peer == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "ECDH needs a private key and the peer's public key");
    if (exchange->derives && (exchange->hash == KW_HASH_NONE || exchange->length == 0))
        return failure_set(KW_INVALID_ARGUMENT, "the X9.63 KDF needs a hash and the length of its result");
    const size_t field = ((size_t)EVP_PKEY_get_bits(exchange->held.public) + 7) / 8;
    const size_t result = exchange->derives ? exchange->length : field;
    if (out == NULL) {
        *length = result;
        return 1;
    }
    if (capacity < result)
        return failure_set(KW_BUFFER_TOO_SMALL, "ECDH gives %zu bytes and there is room for %zu", result, capacity);
    if (secret_new(&secret, field, &error) != KW_OK)
        return failure_keep(&error);
    kw_output shared = {secret.data, field, 0};
    if (!shared_secret(exchange, &shared))
        goto out;
    secret.length = shared.length;
    if (shared.length != field) {
        failure_set(KW_FAILED, "the store's shared secret has %zu bytes in place of %zu", shared.length, field);
        goto out;
    }
    if (exchange->derives && !x963(exchange, secret_view(&secret), out))
        goto out;
    if (!exchange->derives)
        memcpy(out, secret.data, field);
    *length = result;
    derived = 1;
out:
    secret_clear(&secret);
    return derived;
}

/* ---- Parameters ---- */

static int kdf_type_read(struct key_exchange *exchange, const OSSL_PARAM *parameter)
{
    const char *name = NULL;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &name))
        return 0;
    if (name[0] != '\0' && OPENSSL_strcasecmp(name, OSSL_KDF_NAME_X963KDF) != 0)
        return failure_set(KW_UNSUPPORTED, "ECDH derives by the X9.63 KDF or not at all, not by %s", name);
    exchange->derives = name[0] != '\0';
    return 1;
}

static int ecdh_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    struct key_exchange *exchange = context;
    if (parameters == NULL)
        return 1;
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
    if (parameter != NULL) {
        int mode = 0;
        if (!OSSL_PARAM_get_int(parameter, &mode) || mode < -1 || mode > 1)
            return failure_set(KW_INVALID_ARGUMENT, "the cofactor mode is -1, 0 or 1");
        exchange->cofactor_mode = mode == 1 ? 1 : 0; /* -1: the key's own, which is 0 */
    }
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_EXCHANGE_PARAM_KDF_TYPE);
    if (parameter != NULL && !kdf_type_read(exchange, parameter))
        return 0;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_EXCHANGE_PARAM_KDF_DIGEST);
    if (parameter != NULL) {
        const char *name = NULL;
        if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &name))
            return 0;
        const kw_hash hash = digest_named(exchange->provider, name);
        if (hash == KW_HASH_NONE)
            return 0;
        exchange->hash = hash;
    }
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
    if (parameter != NULL && !OSSL_PARAM_get_size_t(parameter, &exchange->length))
        return failure_set(KW_INVALID_ARGUMENT, "the length of the KDF's result cannot be read");
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_EXCHANGE_PARAM_KDF_UKM);
    if (parameter != NULL) {
        const void *ukm = NULL;
        size_t length = 0;
        if (!OSSL_PARAM_get_octet_string_ptr(parameter, &ukm, &length) || !ukm_set(exchange, ukm, length))
            return failure_set(KW_INVALID_ARGUMENT, "the KDF's shared information cannot be read");
    }
    return 1;
}

static int ecdh_get_ctx_params(void *context, OSSL_PARAM parameters[])
{
    const struct key_exchange *exchange = context;
    OSSL_PARAM *parameter = OSSL_PARAM_locate(parameters, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
    if (parameter != NULL && !OSSL_PARAM_set_int(parameter, exchange->cofactor_mode))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_EXCHANGE_PARAM_KDF_TYPE);
    if (parameter != NULL && !OSSL_PARAM_set_utf8_string(parameter, exchange->derives ? OSSL_KDF_NAME_X963KDF : ""))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_EXCHANGE_PARAM_KDF_DIGEST);
    if (parameter != NULL &&
        !OSSL_PARAM_set_utf8_string(parameter, exchange->hash != KW_HASH_NONE ? hash_name(exchange->hash) : ""))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
    if (parameter != NULL && !OSSL_PARAM_set_size_t(parameter, exchange->length))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_EXCHANGE_PARAM_KDF_UKM);
    return parameter == NULL || OSSL_PARAM_set_octet_ptr(parameter, exchange->ukm, exchange->ukm_length);
}

static const OSSL_PARAM settable[] = {
    OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
    OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
    OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM gettable[] = {
    OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
    OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
    OSSL_PARAM_octet_ptr(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *ecdh_settable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return settable;
}

static const OSSL_PARAM *ecdh_gettable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return gettable;
}

const OSSL_DISPATCH ecdh_key_exchange[] = {
    {OSSL_FUNC_KEYEXCH_NEWCTX, (void (*)(void))ecdh_newctx},
    {OSSL_FUNC_KEYEXCH_FREECTX, (void (*)(void))ecdh_freectx},
    {OSSL_FUNC_KEYEXCH_DUPCTX, (void (*)(void))ecdh_dupctx},
    {OSSL_FUNC_KEYEXCH_INIT, (void (*)(void))ecdh_init},
    {OSSL_FUNC_KEYEXCH_SET_PEER, (void (*)(void))ecdh_set_peer},
    {OSSL_FUNC_KEYEXCH_DERIVE, (void (*)(void))ecdh_derive},
    {OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, (void (*)(void))ecdh_set_ctx_params},
    {OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS, (void (*)(void))ecdh_settable_ctx_params},
    {OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, (void (*)(void))ecdh_get_ctx_params},
    {OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS, (void (*)(void))ecdh_gettable_ctx_params},
    {0, NULL},
};
