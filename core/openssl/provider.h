/*
 * Inside the provider "keywright": what its algorithms share. libcrypto calls them; the rest of the core sees pkey.h alone.
 *
 * A key of the provider is a kw_key; or a public key alone, which libcrypto imports to compare with one of ours or to agree with it; or a
 * key in memory that a program generates for itself, as TLS does for each connection: libcrypto takes the provider that it finds first,
 * which may be this one. All that needs no key of a store is done by the default provider with `public`. Functions that libcrypto calls return 1, or 0 with the
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
/* Of a key that is generated: its certificate's address and, where the configuration shall not choose, the store's name. */
#define PROVIDER_PARAM_ADDRESS "keywright-address"
#define PROVIDER_PARAM_STORE   "keywright-store"

struct keydata;

/* A key that a program wants in a store. */
struct generation {
    const char *address;
    const char *store; /* NULL: where the configuration says */
    const char *key;   /* as on the command line: rsa-2048, ... */
    kw_input like;     /* SubjectPublicKeyInfo of id-RSASSA-PSS, as whose it is certified; empty: as any of its type */
};

struct provider {
    OSSL_LIB_CTX *library; /* has the default provider */
    /* Of that, by kw_hash: libcrypto takes some microseconds to find one, and TLS begins a signature in each handshake. NULL: it finds them. */
    EVP_MD *const *digests;
    /* Makes such a key; NULL: this provider makes keys in memory alone. */
    kw_status (*generate)(void *user, const struct generation *wanted, struct keydata **made, kw_error *error);
    void *user;
};

struct keydata {
    const struct provider *provider;
    const char *type; /* libcrypto's name */
    kw_key *key;      /* NULL: a public key, or parameters alone */
    EVP_PKEY *public; /* in the default provider; NULL while there is nothing */
    bool has_public;  /* false: parameters alone */
    bool in_memory;   /* `public` has the private half too */
    char *uri;        /* of the private key, for whoever writes it down; NULL: none is known */
    bool pkcs1;       /* decrypts by PKCS#1 v1.5 whatever the certificate's settings say, which CMS needs (W2) */
    struct pss_limits pss;
};

/* The provider as it is built into the library's own context. */
OSSL_provider_init_fn provider_start;
/* Its parts, for the loadable module, which adds keys by URI. NULL: no algorithms for this operation. */
const OSSL_ALGORITHM *provider_algorithms(int operation);
OSSL_FUNC_provider_gettable_params_fn provider_gettable_params;
OSSL_FUNC_provider_get_params_fn provider_get_params;
/*
 * TLS takes a group only where the provider that tells of it is also the one whose keys libcrypto finds first. So this one tells of the default
 * provider's groups too, and is ignored where it does not come first.
 */
OSSL_FUNC_provider_get_capabilities_fn provider_get_capabilities;

/* Without any key yet. NULL when memory ran out. */
struct keydata *keydata_new(const struct provider *provider, const char *type);
/* With a reference on `key`; NULL when memory ran out. What is handed over to libcrypto is a pointer to such a pointer, which becomes NULL when
 * libcrypto takes the key. */
struct keydata *keydata_of_key(const struct provider *provider, kw_key *key);
void keydata_free(struct keydata *data);
/* libcrypto's name for the type of key, or NULL: not one for certificates. */
const char *keydata_type(const kw_key *key);

extern const OSSL_DISPATCH rsa_keymgmt[], rsa_pss_keymgmt[], ec_keymgmt[], ed25519_keymgmt[], x25519_keymgmt[];
OSSL_FUNC_keymgmt_gen_init_fn rsa_gen_init, rsa_pss_gen_init, ec_gen_init, ed25519_gen_init, x25519_gen_init;
OSSL_FUNC_keymgmt_gen_settable_params_fn rsa_gen_settable_params, rsa_pss_gen_settable_params, ec_gen_settable_params,
    other_gen_settable_params;
OSSL_FUNC_keymgmt_gen_set_params_fn generation_set_params;
OSSL_FUNC_keymgmt_gen_set_template_fn generation_set_template;
OSSL_FUNC_keymgmt_gen_fn generation_generate;
OSSL_FUNC_keymgmt_gen_cleanup_fn generation_cleanup;
extern const OSSL_DISPATCH rsa_signature[], ecdsa_signature[], eddsa_signature[];
/* Where libcrypto knows such algorithms: 3.4 and later. */
extern const OSSL_DISPATCH rsa_sha224_signature[], rsa_sha256_signature[], rsa_sha384_signature[],
    rsa_sha512_signature[], ecdsa_sha224_signature[], ecdsa_sha256_signature[], ecdsa_sha384_signature[],
    ecdsa_sha512_signature[];
extern const OSSL_DISPATCH rsa_asymmetric_cipher[];
extern const OSSL_DISPATCH ecdh_key_exchange[];

/* What a context of an operation holds of its key. Zero-initialise; `held_take` lets go of what was held before. */
struct held {
    const struct provider *provider;
    kw_key *key;
    EVP_PKEY *public;
    bool in_memory;
    bool pkcs1;
    struct pss_limits pss;
};
/* With `private`, a public key alone is refused. */
int held_take(struct held *held, const struct keydata *data, bool private);
/* The same once more; `copy` is overwritten. */
int held_copy(struct held *copy, const struct held *held);
void held_clear(struct held *held);
/* An EVP_PKEY_CTX of the default provider on the public key; NULL and the reason in the queue. */
EVP_PKEY_CTX *held_delegate(const struct held *held);

/* Names the reasons of failures for libcrypto, once for the process. Called when a provider starts, before anything can fail. */
void reason_start(void);
/* libcrypto's number for us as a library with errors, and the reason for a status: a short text for programs that print no more. */
int reason_library(void);
int reason_of(kw_status status);

/* Forgets the thread's last error: an operation begins. */
void failure_forget(void);
/* Keeps why an operation failed for pkey_take_error, and puts it into libcrypto's queue. Returns 0. */
int failure_keep(const kw_error *error);
/* The same for what the provider itself finds. Returns 0. */
int failure_set(kw_status status, const char *format, ...) KW_PRINTF(2, 3);

/* Fetches a digest by any of its names; NULL and `failure_set` when it is none of ours. */
EVP_MD *digest_fetch(const struct provider *provider, const char *name, kw_hash *hash);
/* Which of ours a digest of any of its names is; KW_HASH_NONE and `failure_set` when it is none. */
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
