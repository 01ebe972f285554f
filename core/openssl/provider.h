/*
 * Inside the provider "keywright": what its algorithms share. libcrypto calls them; the rest of the core sees pkey.h alone.
 *
 * A key of the provider is a kw_key, or a public key alone, which libcrypto imports to compare with one of ours or to agree with it. All
 * that needs no private key is done by the default provider with `public`. Functions that libcrypto calls return 1, or 0 with the
 * reason in libcrypto's queue and, where a store gave it, in pkey_take_error.
 */
#ifndef KEYWRIGHT_OPENSSL_PROVIDER_H
#define KEYWRIGHT_OPENSSL_PROVIDER_H

#include "openssl/pkey.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#define PROVIDER_NAME     "keywright"
#define PROVIDER_PROPERTY "provider=keywright"
/* Asked for wherever work is delegated, so that it never comes back. */
#define DELEGATE_PROPERTY "provider=default"

/* The parameter by which pkey_from_key hands over a kw_key, as a pointer. */
#define PROVIDER_PARAM_KEY "keywright-key"

struct provider {
    OSSL_LIB_CTX *library; /* has the default provider */
};

struct keydata {
    const struct provider *provider;
    const char *type; /* libcrypto's name */
    kw_key *key;      /* NULL: a public key, or parameters alone */
    EVP_PKEY *public; /* in the default provider; NULL while there is nothing */
    bool has_public;  /* false: parameters alone */
    char *uri;        /* of the private key, for whoever writes it down; NULL: none is known */
    bool pkcs1;       /* decrypts by PKCS#1 v1.5 whatever the certificate's settings say, which CMS needs (W2) */
};

/* The provider as it is built into the library's own context. */
OSSL_provider_init_fn provider_start;
/* Its parts, for the loadable module, which adds keys by URI. NULL: no algorithms for this operation. */
const OSSL_ALGORITHM *provider_algorithms(int operation);
OSSL_FUNC_provider_gettable_params_fn provider_gettable_params;
OSSL_FUNC_provider_get_params_fn provider_get_params;

/* With a reference on `key`; NULL when memory ran out. What is handed over to libcrypto is a pointer to such a pointer, which becomes NULL when
 * libcrypto takes the key. */
struct keydata *keydata_of_key(const struct provider *provider, kw_key *key);
void keydata_free(struct keydata *data);
/* libcrypto's name for the type of key, or NULL: not one for certificates. */
const char *keydata_type(const kw_key *key);

extern const OSSL_DISPATCH rsa_keymgmt[], ec_keymgmt[], ed25519_keymgmt[];
extern const OSSL_DISPATCH rsa_signature[], ecdsa_signature[], eddsa_signature[];
extern const OSSL_DISPATCH rsa_asymmetric_cipher[];
extern const OSSL_DISPATCH ecdh_key_exchange[];

/* What a context of an operation holds of its key. Zero-initialise; `held_take` lets go of what was held before. */
struct held {
    const struct provider *provider;
    kw_key *key;
    EVP_PKEY *public;
    bool pkcs1;
};
/* With `private`, a public key alone is refused. */
int held_take(struct held *held, const struct keydata *data, bool private);
/* The same once more; `copy` is overwritten. */
int held_copy(struct held *copy, const struct held *held);
void held_clear(struct held *held);
/* An EVP_PKEY_CTX of the default provider on the public key; NULL and the reason in the queue. */
EVP_PKEY_CTX *held_delegate(const struct held *held);

/* Forgets the thread's last error: an operation begins. */
void failure_forget(void);
/* Keeps why an operation failed for pkey_take_error, and puts it into libcrypto's queue. Returns 0. */
int failure_keep(const kw_error *error);
/* The same for what the provider itself finds. Returns 0. */
int failure_set(kw_status status, const char *format, ...) KW_PRINTF(2, 3);

/* Which of ours a digest is. KW_HASH_NONE: none. */
kw_hash digest_hash(const EVP_MD *digest);
/* Fetches a digest by any of its names and says which it is; KW_HASH_NONE and `failure_set` when it is none of ours. */
kw_hash digest_named(const struct provider *provider, const char *name);

/* A parameter that is a name, or the number that stands for it. False: neither, or no such name. */
struct numbered_name {
    const char *name;
    int number;
};
bool parameter_number(const OSSL_PARAM *parameter, const struct numbered_name *names, size_t count, int *number);
/* Answers with the name, or the number, whichever the parameter's type asks for. */
int parameter_answer(OSSL_PARAM *parameter, const struct numbered_name *names, size_t count, int number);

/* What pkey_expect_length of this thread said; 0: any. */
size_t pkey_expected_length(void);

#endif
