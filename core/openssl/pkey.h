/*
 * The built-in OpenSSL provider "keywright": an EVP_PKEY whose private operations go through kw_key, for X.509, PKCS#10 and CMS code
 * that never sees a plugin. Public operations are the default provider's.
 */
#ifndef KEYWRIGHT_OPENSSL_PKEY_H
#define KEYWRIGHT_OPENSSL_PKEY_H

#include "store/key.h"

/* Registers and loads the provider in the library's own context. Once per crypto. */
KW_MUST_USE kw_status pkey_provider_attach(struct crypto *crypto, kw_error *error);

/* A private EVP_PKEY that holds a reference on `key`. The reason why an operation through it failed is in pkey_take_error. */
KW_MUST_USE kw_status pkey_from_key(struct crypto *crypto, kw_key *key, EVP_PKEY **pkey, kw_error *error);

/*
 * Until it is called with 0: what this thread decrypts by PKCS#1 v1.5 through pkey_from_key has this length, as the content key of a CMS
 * message has. For an invalid block libcrypto would take a random content key, a new one each time, and a message that is sent again
 * and again would tell by that; so the key is made here, the same each time.
 */
void pkey_expect_length(size_t length);

/* libcrypto's functions return no kw_error: the one of the last failed operation of this thread, taken once. False: there is none. */
bool pkey_take_error(kw_error *error);
/* The failure of a libcrypto call that may have gone through the provider: the store's error where there is one, else
 * crypto_error. Returns its status. */
kw_status pkey_error(kw_error *error, kw_status status, const char *what);

#endif
