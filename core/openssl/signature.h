/* One signature under way: shared by what signs and verifies (signature.c) and by its parameters (signature_parameters.c). */
#ifndef KEYWRIGHT_OPENSSL_SIGNATURE_H
#define KEYWRIGHT_OPENSSL_SIGNATURE_H

#include "openssl/provider.h"

#include <openssl/core_dispatch.h>

/* What is in the hash of a message. One that is spent gives no second signature: it would be of nothing that anybody has given. */
enum content_state {
    CONTENT_EMPTY,
    CONTENT_BEGUN, /* parts of a message */
    CONTENT_WHOLE, /* was a message that came in one piece: the next one begins anew */
    CONTENT_SPENT,
};

struct signature {
    const struct provider *provider;
    kw_key_type type;
    struct held held;
    bool verifying;
    kw_hash hash;        /* KW_HASH_NONE: none was given */
    EVP_MD_CTX *content; /* the message so far, between digest_*_init and final; NULL: plain digests */
    enum content_state content_state;
    int padding;      /* RSA */
    kw_hash mgf_hash; /* PSS; KW_HASH_NONE: as hash */
    int salt_length;  /* PSS: bytes, or RSA_PSS_SALTLEN_... */
    bool fixed;       /* hash and padding are the algorithm's, as of RSA-SHA256 */
    /* What a message is verified against that comes before it; NULL: none. Of OpenSSL 3.4 and later. */
    unsigned char *expected;
    size_t expected_length;
};

void *signature_new(const struct provider *provider, kw_key_type type);
/* Sets `expected`, copied. False: memory ran out. */
bool signature_expect(struct signature *signature, const void *bytes, size_t length);
/* Begins with a message, whose hash is `name` (NULL: the one set, else SHA-256). */
int signature_begin_message(struct signature *signature, const char *name, const struct keydata *key, bool verifying,
                            const OSSL_PARAM parameters[]);

/*
 * A context of the default provider with the public key (or a key in memory) and the same parameters, begun by EVP_PKEY_verify_init or its
 * like; NULL and the reason in the queue.
 */
EVP_PKEY_CTX *signature_delegate(const struct signature *signature, int (*init)(EVP_PKEY_CTX *context));

/* Of a key for PSS alone: whether padding, hashes and salt are what its certificate lets it sign with. */
int signature_check_limits(const struct signature *signature);

OSSL_FUNC_signature_freectx_fn signature_freectx;
OSSL_FUNC_signature_dupctx_fn signature_dupctx;
OSSL_FUNC_signature_sign_init_fn signature_sign_init;
OSSL_FUNC_signature_sign_fn signature_sign;
OSSL_FUNC_signature_verify_init_fn signature_verify_init;
OSSL_FUNC_signature_verify_fn signature_verify;
OSSL_FUNC_signature_digest_sign_update_fn signature_digest_update;
OSSL_FUNC_signature_digest_sign_final_fn signature_digest_sign_final;
OSSL_FUNC_signature_digest_sign_fn signature_digest_sign;
OSSL_FUNC_signature_digest_verify_final_fn signature_digest_verify_final;
OSSL_FUNC_signature_get_ctx_params_fn signature_get_ctx_params;
OSSL_FUNC_signature_set_ctx_params_fn signature_set_ctx_params;
OSSL_FUNC_signature_gettable_ctx_params_fn rsa_gettable_ctx_params, ecdsa_gettable_ctx_params,
    eddsa_gettable_ctx_params;
OSSL_FUNC_signature_settable_ctx_params_fn rsa_settable_ctx_params, ecdsa_settable_ctx_params;

#endif
