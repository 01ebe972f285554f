/*
 * The library's own OSSL_LIB_CTX, with the default provider loaded explicitly (activating any other would switch the implicit
 * one off), and the few primitives that the lower floors use. Nothing here touches the application's default context.
 */
#ifndef KEYWRIGHT_BASE_CRYPTO_H
#define KEYWRIGHT_BASE_CRYPTO_H

#include "base/error.h"
#include <openssl/core.h>
#include <openssl/types.h>

#define SHA256_LENGTH 32

struct crypto {
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *default_provider;
    OSSL_LIB_CTX *
        bare; /* without algorithms: what is read in it decodes no public key, which is most of reading a certificate */
    OSSL_PROVIDER *null_provider;
    OSSL_PROVIDER *key_provider;         /* of openssl/pkey.h, which loads it; NULL: not attached */
    EVP_MD *digests[KW_HASH_SHA512 + 1]; /* by kw_hash; fetched once, since a fetch costs more than a short digest */
    EVP_MAC *hmac;
    EVP_KDF *hkdf;
};

/*
 * Between the two a thread may hold locks of libcrypto, and no fork takes place. Whatever fetches, decodes, draws random bytes, or uses a
 * key that others use, has to be in between: all but digests and ciphers that are there already. They may be nested. A thread that is in between waits for
 * nothing of the library's: takes no lock of it but base/secret.h's, calls no store and nobody's callback. Where libcrypto calls the library, as it does
 * for keys in a store, the library steps out for the time: crypto_step_in takes what crypto_step_out gave.
 */
void crypto_enter(void);
void crypto_leave(void);
unsigned crypto_step_out(void);
void crypto_step_in(unsigned left);
/* A fork that waits takes place: between parts of what takes long. */
void crypto_pause(void);
bool crypto_is_entered(void); /* by this thread */

/* BIO_new of memory, BIO_free, X509_free, EVP_PKEY_free and EVP_PKEY_eq, which lock too. */
BIO *crypto_bio_new(void);
void crypto_bio_free(BIO *bio);
void crypto_x509_free(X509 *certificate);
void crypto_pkey_free(EVP_PKEY *key);
/* The same key: also where one of them says that it is an RSA key for PSS alone, and the other does not. */
bool crypto_pkey_is(const EVP_PKEY *one, const EVP_PKEY *another);

KW_MUST_USE kw_status crypto_open(struct crypto **crypto, kw_error *error);
/* The same within a provider module, with what its OSSL_provider_init was given: it can then use the program's BIOs. */
KW_MUST_USE kw_status crypto_open_module(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                                         struct crypto **crypto, kw_error *error);
void crypto_close(struct crypto *crypto);

/* error_set with libcrypto's newest reason behind the text; empties libcrypto's queue. */
kw_status crypto_error(kw_error *error, kw_status status, const char *format, ...) KW_PRINTF(3, 4);

#ifdef __clang_analyzer__
#define crypto_error(...) error_failure(crypto_error(__VA_ARGS__)) /* as in error.h */
#endif

KW_MUST_USE kw_status crypto_random(struct crypto *crypto, void *data, size_t length, kw_error *error);
KW_MUST_USE kw_status crypto_sha256(struct crypto *crypto, kw_input input, unsigned char digest[SHA256_LENGTH],
                                    kw_error *error);
/* Any hash; `digest` has room for EVP_MAX_MD_SIZE bytes. */
KW_MUST_USE kw_status crypto_digest(struct crypto *crypto, kw_hash hash, kw_input input, unsigned char *digest,
                                    size_t *length, kw_error *error);
KW_MUST_USE kw_status crypto_hmac_sha256(struct crypto *crypto, kw_input key, kw_input input,
                                         unsigned char mac[SHA256_LENGTH], kw_error *error);
/* RFC 5869, SHA-256. */
KW_MUST_USE kw_status crypto_hkdf_expand(struct crypto *crypto, kw_input key, kw_input info, unsigned char *out,
                                         size_t length, kw_error *error);
/* Constant time in the length. */
bool crypto_equal(const void *left, const void *right, size_t length);

/* "SHA256" and so on for libcrypto, and lengths of digests in bytes; NULL and 0 for KW_HASH_NONE. */
const char *hash_name(kw_hash hash);
size_t hash_length(kw_hash hash);

#endif
