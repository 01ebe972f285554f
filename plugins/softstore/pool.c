/*
 * Contexts that are initialised for one algorithm of one key, kept for the next operation: initialising one costs as much as a part of a
 * signature. Taking and returning is lock-free, so that threads never wait for one another, and a fork finds nothing locked.
 */
#include "softstore.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

/* An algorithm has its row; a row may serve several. */
#define ROWS 8u
#define KEPT 8u

struct softstore_pool {
    const struct softstore_library *library;
    pthread_mutex_t mutex; /* of the two below; held between enter and leave alone, so never during a fork */
    EVP_PKEY *pkey;
    unsigned generation;
    _Atomic(struct softstore_context *) kept[ROWS][KEPT];
};

static void context_free(struct softstore_context *context)
{
    if (context == NULL)
        return;
    EVP_PKEY_CTX_free(context->context);
    EVP_PKEY_free(context->pkey);
    free(context);
}

struct softstore_pool *softstore_pool_new(const struct softstore_library *library, EVP_PKEY *pkey)
{
    struct softstore_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pool->library = library;
    pool->pkey = pkey;
    pool->generation = softstore_generation();
    pthread_mutex_init(&pool->mutex, NULL);
    return pool;
}

void softstore_pool_free(struct softstore_pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t row = 0; row < ROWS; row++)
        for (size_t i = 0; i < KEPT; i++)
            context_free(atomic_load(&pool->kept[row][i]));
    EVP_PKEY_free(pool->pkey);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

EVP_PKEY *softstore_pool_pkey(struct softstore_pool *pool)
{
    EVP_PKEY *pkey = NULL;
    pthread_mutex_lock(&pool->mutex);
    unsigned generation = softstore_generation();
    if (pool->generation != generation) {
        /* Inherited by a fork: a duplicate has no blinding yet, so parent and child do not share one. */
        EVP_PKEY *own = EVP_PKEY_dup(pool->pkey);
        if (own != NULL) {
            EVP_PKEY_free(pool->pkey);
            pool->pkey = own;
            pool->generation = generation;
        }
    }
    if (pool->generation == generation && EVP_PKEY_up_ref(pool->pkey) == 1)
        pkey = pool->pkey;
    pthread_mutex_unlock(&pool->mutex);
    return pkey;
}

/* ---- Initialising -------------------------------------------------------------------------------------------------- */

static OSSL_PARAM name_parameter(const char *parameter, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(parameter, (char *)(uintptr_t)value, 0);
}

static bool prepare_pkcs1(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    OSSL_PARAM parameters[] = {
        name_parameter(OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_PKCSV15),
        name_parameter(OSSL_SIGNATURE_PARAM_DIGEST, softstore_hash_name(algorithm->hash)),
        OSSL_PARAM_construct_end(),
    };
    return EVP_PKEY_sign_init_ex(context, parameters) == 1;
}

static bool prepare_pss(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    int salt_length = (int)algorithm->salt_length;
    OSSL_PARAM parameters[] = {
        name_parameter(OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_PSS),
        name_parameter(OSSL_SIGNATURE_PARAM_DIGEST, softstore_hash_name(algorithm->hash)),
        name_parameter(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, softstore_hash_name(algorithm->mgf_hash)),
        OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt_length),
        OSSL_PARAM_construct_end(),
    };
    return EVP_PKEY_sign_init_ex(context, parameters) == 1;
}

static bool prepare_oaep(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    OSSL_PARAM parameters[5] = {
        name_parameter(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_OAEP),
        name_parameter(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, softstore_hash_name(algorithm->hash)),
        name_parameter(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, softstore_hash_name(algorithm->mgf_hash)),
        OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };
    if (algorithm->label.length != 0)
        parameters[3] = OSSL_PARAM_construct_octet_string(
            OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, (void *)(uintptr_t)algorithm->label.data, algorithm->label.length);
    return EVP_PKEY_decrypt_init_ex(context, parameters) == 1;
}

static bool prepare_raw(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    OSSL_PARAM parameters[] = {
        name_parameter(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_NONE),
        OSSL_PARAM_construct_end(),
    };
    (void)algorithm;
    return EVP_PKEY_decrypt_init_ex(context, parameters) == 1;
}

static bool prepare_ecdsa(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    (void)algorithm; /* use.c has looked at the digest's length */
    return EVP_PKEY_sign_init_ex(context, NULL) == 1;
}

static bool prepare_ecdh(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    (void)algorithm;
    return EVP_PKEY_derive_init_ex(context, NULL) == 1;
}

static bool (*const prepare[])(EVP_PKEY_CTX *, const kw_algorithm *) = {
    [KW_SCHEME_RSA_PKCS1] = prepare_pkcs1, [KW_SCHEME_RSA_PSS] = prepare_pss, [KW_SCHEME_RSA_OAEP] = prepare_oaep,
    [KW_SCHEME_RSA_RAW] = prepare_raw,     [KW_SCHEME_ECDSA] = prepare_ecdsa, [KW_SCHEME_ECDH] = prepare_ecdh,
};

static struct softstore_context *context_new(struct softstore_pool *pool, const kw_algorithm *algorithm)
{
    bool ready = false;
    struct softstore_context *context = NULL;
    if ((unsigned)algorithm->scheme >= sizeof(prepare) / sizeof(prepare[0]) || prepare[algorithm->scheme] == NULL)
        return NULL;
    context = calloc(1, sizeof(*context));
    if (context == NULL)
        return NULL;
    context->scheme = algorithm->scheme;
    context->hash = algorithm->hash;
    context->mgf_hash = algorithm->mgf_hash;
    context->salt_length = algorithm->salt_length;
    context->labelled = algorithm->label.length != 0;
    context->generation = softstore_generation();
    context->pkey = softstore_pool_pkey(pool);
    if (context->pkey != NULL)
        context->context = EVP_PKEY_CTX_new_from_pkey(pool->library->context, context->pkey, NULL);
    ready = context->context != NULL && prepare[algorithm->scheme](context->context, algorithm);
    if (!ready) {
        context_free(context);
        context = NULL;
    }
    return context;
}

/* ---- Taking and returning ----------------------------------------------------------------------------------------------- */

static size_t row_of(kw_scheme scheme, kw_hash hash)
{
    return ((size_t)scheme * 3 + (size_t)hash) % ROWS;
}

struct softstore_context *softstore_pool_take(struct softstore_pool *pool, const kw_algorithm *algorithm)
{
    unsigned generation = softstore_generation();
    size_t row = row_of(algorithm->scheme, algorithm->hash);
    for (size_t i = 0; i < KEPT && algorithm->label.length == 0; i++) {
        if (atomic_load_explicit(&pool->kept[row][i], memory_order_relaxed) == NULL)
            continue;
        struct softstore_context *context = atomic_exchange(&pool->kept[row][i], NULL);
        if (context == NULL)
            continue;
        if (context->generation != generation) {
            context_free(context);
            continue;
        }
        if (context->scheme == algorithm->scheme && context->hash == algorithm->hash &&
            context->mgf_hash == algorithm->mgf_hash && context->salt_length == algorithm->salt_length)
            return context;
        struct softstore_context *none = NULL;
        if (!atomic_compare_exchange_strong(&pool->kept[row][i], &none, context))
            context_free(context);
    }
    return context_new(pool, algorithm);
}

void softstore_pool_return(struct softstore_pool *pool, struct softstore_context *context)
{
    size_t row = row_of(context->scheme, context->hash);
    for (size_t i = 0; i < KEPT && !context->labelled; i++) {
        struct softstore_context *none = NULL;
        if (atomic_load_explicit(&pool->kept[row][i], memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong(&pool->kept[row][i], &none, context))
            return;
    }
    context_free(context);
}
