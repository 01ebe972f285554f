#include "base/crypto.h"

#include "base/buffer.h"
#include "base/forks.h"
#include "base/gate.h"
#include "base/secret.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#undef crypto_error

static const struct {
    const char *name;
    size_t length;
} hashes[] = {
    [KW_HASH_NONE] = {NULL, 0},        [KW_HASH_SHA1] = {"SHA1", 20},     [KW_HASH_SHA224] = {"SHA224", 28},
    [KW_HASH_SHA256] = {"SHA256", 32}, [KW_HASH_SHA384] = {"SHA384", 48}, [KW_HASH_SHA512] = {"SHA512", 64},
};
static const size_t hash_count = sizeof(hashes) / sizeof(hashes[0]);

const char *hash_name(kw_hash hash)
{
    return (size_t)hash < hash_count ? hashes[hash].name : NULL;
}

size_t hash_length(kw_hash hash)
{
    return (size_t)hash < hash_count ? hashes[hash].length : 0;
}

/* ---- Forks ---- */

/* One for the process: libcrypto has locks that all of its library contexts share. */
static struct gate gate = GATE_INITIALIZER;
static _Thread_local unsigned depth;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void crypto_enter(void)
{
    if (depth++ == 0)
        gate_enter(&gate);
}

void crypto_leave(void)
{
    if (--depth == 0)
        gate_leave(&gate);
}

unsigned crypto_step_out(void)
{
    const unsigned left = depth;
    depth = 0;
    if (left > 0)
        gate_leave(&gate);
    return left;
}

void crypto_step_in(unsigned left)
{
    if (left > 0)
        gate_enter(&gate);
    depth = left;
}

void crypto_pause(void)
{
    crypto_step_in(crypto_step_out());
}

bool crypto_is_entered(void)
{
    return depth > 0;
}

BIO *crypto_bio_new(void)
{
    crypto_enter();
    BIO *const made = BIO_new(BIO_s_mem());
    crypto_leave();
    return made;
}

void crypto_bio_free(BIO *bio)
{
    crypto_enter();
    BIO_free(bio);
    crypto_leave();
}

void crypto_x509_free(X509 *certificate)
{
    crypto_enter();
    X509_free(certificate);
    crypto_leave();
}

void crypto_pkey_free(EVP_PKEY *key)
{
    crypto_enter();
    EVP_PKEY_free(key);
    crypto_leave();
}

/* libcrypto takes an RSA key and one for PSS alone for keys of different types. */
static bool same_numbers(const EVP_PKEY *one, const EVP_PKEY *another, const char *name)
{
    BIGNUM *left = NULL, *right = NULL;
    const bool same = EVP_PKEY_get_bn_param(one, name, &left) == 1 &&
                      EVP_PKEY_get_bn_param(another, name, &right) == 1 && BN_cmp(left, right) == 0;
    BN_free(left);
    BN_free(right);
    return same;
}

static bool same_key(const EVP_PKEY *one, const EVP_PKEY *another)
{
    if ((EVP_PKEY_is_a(one, "RSA") && EVP_PKEY_is_a(another, "RSA-PSS")) ||
        (EVP_PKEY_is_a(one, "RSA-PSS") && EVP_PKEY_is_a(another, "RSA")))
        return same_numbers(one, another, OSSL_PKEY_PARAM_RSA_N) && same_numbers(one, another, OSSL_PKEY_PARAM_RSA_E);
    return EVP_PKEY_eq(one, another) == 1;
}

bool crypto_pkey_is(const EVP_PKEY *one, const EVP_PKEY *another)
{
    crypto_enter();
    const bool same = same_key(one, another);
    crypto_leave();
    return same;
}

static void fork_prepare(void)
{
    gate_fork_prepare(&gate);
}

static void fork_parent(void)
{
    gate_fork_parent(&gate);
}

static void fork_child(void)
{
    gate_fork_child(&gate);
}

/* Handlers that are registered earlier run later before a fork: after everything above, and before what threads inside may wait for. */
static void watch_forks(void)
{
    secret_watch_forks();
    forks_watch(fork_prepare, fork_parent, fork_child);
}

/* ---- The library context ---- */

/* Takes `library` over, also when it fails. */
static kw_status open_with(OSSL_LIB_CTX *library, struct crypto **crypto, kw_error *error)
{
    kw_status status = KW_OK;
    struct crypto *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        OSSL_LIB_CTX_free(library);
        return error_memory(error);
    }
    /* The program's configuration of libcrypto is read once, and bears on nothing here. Whoever is the first to ask would fail for a mistake in it. */
    ERR_set_mark();
    (void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    ERR_pop_to_mark();
    made->library = library;
    if (made->library == NULL) {
        status = crypto_error(error, KW_FAILED, "libcrypto gives no library context");
        goto out;
    }
    made->default_provider = OSSL_PROVIDER_load(made->library, "default");
    if (made->default_provider == NULL) {
        status = crypto_error(error, KW_FAILED, "libcrypto's default provider cannot be loaded");
        goto out;
    }
    made->bare = OSSL_LIB_CTX_new();
    made->null_provider = made->bare != NULL ? OSSL_PROVIDER_load(made->bare, "null") : NULL;
    if (made->null_provider == NULL) {
        status = crypto_error(error, KW_FAILED, "libcrypto gives no second library context");
        goto out;
    }
    for (size_t hash = KW_HASH_SHA1; hash < hash_count; hash++) {
        made->digests[hash] = EVP_MD_fetch(made->library, hashes[hash].name, NULL);
        if (made->digests[hash] == NULL) {
            status = crypto_error(error, KW_FAILED, "libcrypto has no %s", hashes[hash].name);
            goto out;
        }
    }
    made->hmac = EVP_MAC_fetch(made->library, OSSL_MAC_NAME_HMAC, NULL);
    made->hkdf = EVP_KDF_fetch(made->library, OSSL_KDF_NAME_HKDF, NULL);
    if (made->hmac == NULL || made->hkdf == NULL) {
        status = crypto_error(error, KW_FAILED, "libcrypto has no HMAC or no HKDF");
        goto out;
    }
    *crypto = made;
    made = NULL;
out:
    crypto_close(made);
    return status;
}

kw_status crypto_open(struct crypto **crypto, kw_error *error)
{
    pthread_once(&once, watch_forks);
    crypto_enter();
    const kw_status status = open_with(OSSL_LIB_CTX_new(), crypto, error);
    crypto_leave();
    return status;
}

/* Not as a child of the program's context, which would hold this very provider. */
kw_status crypto_open_module(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, struct crypto **crypto,
                             kw_error *error)
{
    pthread_once(&once, watch_forks);
    crypto_enter();
    const kw_status status = open_with(OSSL_LIB_CTX_new_from_dispatch(handle, in), crypto, error);
    crypto_leave();
    return status;
}

void crypto_close(struct crypto *crypto)
{
    if (crypto == NULL)
        return;
    crypto_enter();
    EVP_KDF_free(crypto->hkdf);
    EVP_MAC_free(crypto->hmac);
    for (size_t hash = 0; hash < hash_count; hash++)
        EVP_MD_free(crypto->digests[hash]);
    if (crypto->key_provider != NULL)
        OSSL_PROVIDER_unload(crypto->key_provider);
    if (crypto->default_provider != NULL)
        OSSL_PROVIDER_unload(crypto->default_provider);
    if (crypto->null_provider != NULL)
        OSSL_PROVIDER_unload(crypto->null_provider);
    OSSL_LIB_CTX_free(crypto->bare);
    OSSL_LIB_CTX_free(crypto->library);
    crypto_leave();
    free(crypto);
}

kw_status crypto_error(kw_error *error, kw_status status, const char *format, ...)
{
    char text[sizeof(((kw_error *)0)->message)] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    status = error_set(error, status, "%s%s%s", text, reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    ERR_clear_error();
    return status;
}

kw_status crypto_random(struct crypto *crypto, void *data, size_t length, kw_error *error)
{
    crypto_enter();
    const bool done = RAND_priv_bytes_ex(crypto->library, data, length, 256) == 1;
    crypto_leave();
    return done ? KW_OK : crypto_error(error, KW_FAILED, "libcrypto gives no random bytes");
}

kw_status crypto_digest(struct crypto *crypto, kw_hash hash, kw_input input, unsigned char *digest, size_t *length,
                        kw_error *error)
{
    if (hash_length(hash) == 0)
        return error_set(error, KW_UNSUPPORTED, "there is no hash with the number %d", (int)hash);
    unsigned made = 0;
    if (EVP_Digest(input.data, input.length, digest, &made, crypto->digests[hash], NULL) != 1)
        return crypto_error(error, KW_FAILED, "a %s digest failed", hash_name(hash));
    *length = made;
    return KW_OK;
}

kw_status crypto_sha256(struct crypto *crypto, kw_input input, unsigned char digest[SHA256_LENGTH], kw_error *error)
{
    size_t length;
    return crypto_digest(crypto, KW_HASH_SHA256, input, digest, &length, error);
}

kw_status crypto_hmac_sha256(struct crypto *crypto, kw_input key, kw_input input, unsigned char mac[SHA256_LENGTH],
                             kw_error *error)
{
    static const unsigned char none[1];
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    kw_status status = KW_OK;
    size_t length = 0;
    crypto_enter(); /* the digest is fetched anew */
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(crypto->hmac);
    /* An empty key is a key; NULL would mean that there is none. */
    if (context == NULL || EVP_MAC_init(context, key.length == 0 ? none : key.data, key.length, parameters) != 1 ||
        EVP_MAC_update(context, input.data, input.length) != 1 ||
        EVP_MAC_final(context, mac, &length, SHA256_LENGTH) != 1 || length != SHA256_LENGTH)
        status = crypto_error(error, KW_FAILED, "HMAC failed");
    EVP_MAC_CTX_free(context);
    crypto_leave();
    return status;
}

kw_status crypto_hkdf_expand(struct crypto *crypto, kw_input key, kw_input info, unsigned char *out, size_t length,
                             kw_error *error)
{
    char digest[] = "SHA256";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM parameters[5];
    size_t count = 0;
    parameters[count++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    parameters[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    /* libcrypto's parameters are not const; it only reads these. */
    parameters[count++] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.data, key.length);
    if (info.length > 0)
        parameters[count++] =
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.data, info.length);
    parameters[count] = OSSL_PARAM_construct_end();
    kw_status status = KW_OK;
    crypto_enter();
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(crypto->hkdf);
    if (context == NULL || EVP_KDF_derive(context, out, length, parameters) != 1)
        status = crypto_error(error, KW_FAILED, "HKDF failed");
    EVP_KDF_CTX_free(context);
    crypto_leave();
    return status;
}

bool crypto_equal(const void *left, const void *right, size_t length)
{
    return CRYPTO_memcmp(left, right, length) == 0;
}
