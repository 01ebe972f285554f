/* One signature under way: shared by what signs and verifies (signature.c) and by its parameters (signature_parameters.c). */
#ifndef KEYWRIGHT_OPENSSL_SIGNATURE_H
#define KEYWRIGHT_OPENSSL_SIGNATURE_H

#include "openssl/provider.h"

#include <openssl/core_dispatch.h>

struct signature {
    const struct provider *provider;
    kw_key_type type;
    struct held held;
    bool verifying;
    kw_hash hash;        /* KW_HASH_NONE: none was given */
    EVP_MD_CTX *content; /* the message so far, between digest_*_init and final; NULL: plain digests */
    int padding;         /* RSA */
    kw_hash mgf_hash;    /* PSS; KW_HASH_NONE: as hash */
    int salt_length;     /* PSS: bytes, or RSA_PSS_SALTLEN_... */
};

/*
 * A context of the default provider with the public key (or a key in memory) and the same parameters, begun by EVP_PKEY_verify_init or its
 * like; NULL and the reason in the queue.
 */
EVP_PKEY_CTX *signature_delegate(const struct signature *signature, int (*init)(EVP_PKEY_CTX *context));

OSSL_FUNC_signature_get_ctx_params_fn signature_get_ctx_params;
OSSL_FUNC_signature_set_ctx_params_fn signature_set_ctx_params;
OSSL_FUNC_signature_gettable_ctx_params_fn rsa_gettable_ctx_params, ecdsa_gettable_ctx_params,
    eddsa_gettable_ctx_params;
OSSL_FUNC_signature_settable_ctx_params_fn rsa_settable_ctx_params, ecdsa_settable_ctx_params;

#endif
