/* The parameters of a signature: digest, padding, salt; and its AlgorithmIdentifier, which certificates need. */
#include "openssl/signature.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct numbered_name paddings[] = {
    {OSSL_PKEY_RSA_PAD_MODE_PKCSV15, RSA_PKCS1_PADDING},
    {OSSL_PKEY_RSA_PAD_MODE_PSS, RSA_PKCS1_PSS_PADDING},
};
static const size_t padding_count = sizeof(paddings) / sizeof(paddings[0]);

static const struct numbered_name salt_lengths[] = {
    {OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST, RSA_PSS_SALTLEN_DIGEST},
    {OSSL_PKEY_RSA_PSS_SALT_LEN_MAX, RSA_PSS_SALTLEN_MAX},
    {OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO, RSA_PSS_SALTLEN_AUTO},
};
static const size_t salt_length_count = sizeof(salt_lengths) / sizeof(salt_lengths[0]);

/* A salt length may be a word, a number, or a number in digits. */
static bool salt_length_read(const OSSL_PARAM *parameter, int *length)
{
    if (parameter_number(parameter, salt_lengths, salt_length_count, length))
        return *length >= RSA_PSS_SALTLEN_MAX;
    const char *text = NULL;
    char *end = NULL;
    if (parameter->data_type != OSSL_PARAM_UTF8_STRING || !OSSL_PARAM_get_utf8_string_ptr(parameter, &text))
        return false;
    if (strcmp(text, "auto-digestmax") == 0) {
        *length = RSA_PSS_SALTLEN_AUTO; /* which is what it means here */
        return true;
    }
    const long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > 4096)
        return false;
    *length = (int)number;
    return true;
}

static int salt_length_answer(OSSL_PARAM *parameter, int length)
{
    char text[16];
    if (parameter->data_type != OSSL_PARAM_UTF8_STRING || length < 0)
        return parameter_answer(parameter, salt_lengths, salt_length_count, length);
    snprintf(text, sizeof(text), "%d", length);
    return OSSL_PARAM_set_utf8_string(parameter, text);
}

static int hash_read(const struct signature *signature, const OSSL_PARAM *parameter, kw_hash *hash)
{
    const char *name = NULL;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &name))
        return 0;
    const kw_hash found = digest_named(signature->provider, name);
    if (found == KW_HASH_NONE)
        return 0;
    *hash = found;
    return 1;
}

/* At once, and not when it signs: TLS asks by beginning a signature whether the key could make it. */
int signature_check_limits(const struct signature *signature)
{
    const struct pss_limits *const limits = &signature->held.pss;
    if (!limits->only)
        return 1;
    if (signature->padding != RSA_PKCS1_PSS_PADDING)
        return failure_set(KW_UNSUPPORTED, "the key is for PSS alone, as its certificate says");
    if (limits->hash == KW_HASH_NONE)
        return 1;
    if (signature->hash != limits->hash)
        return failure_set(KW_UNSUPPORTED, "the key's certificate has it sign with %s alone, not with %s",
                           hash_name(limits->hash), hash_name(signature->hash));
    if (signature->mgf_hash != limits->mgf_hash)
        return failure_set(KW_UNSUPPORTED, "the key's certificate has it sign with MGF1 of %s alone, not of %s",
                           hash_name(limits->mgf_hash), hash_name(signature->mgf_hash));
    const int salt =
        signature->salt_length == RSA_PSS_SALTLEN_DIGEST ? (int)hash_length(signature->hash) : signature->salt_length;
    if (!signature->verifying && salt >= 0 && (uint32_t)salt < limits->salt_minimum)
        return failure_set(KW_UNSUPPORTED, "the key's certificate has it sign with salts of %u bytes and more, not %d",
                           (unsigned)limits->salt_minimum, salt);
    return 1;
}

int signature_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    struct signature *signature = context;
    if (parameters == NULL || signature->type == KW_KEY_ED25519)
        return 1;
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_DIGEST);
    if (signature->fixed)
        return parameter == NULL || failure_set(KW_INVALID_ARGUMENT, "the algorithm's name says the digest already");
    if (parameter != NULL) {
        kw_hash hash = KW_HASH_NONE;
        if (!hash_read(signature, parameter, &hash))
            return 0;
        if (signature->content != NULL && hash != signature->hash)
            return failure_set(KW_INVALID_ARGUMENT, "the digest cannot change while a message is being hashed");
        signature->hash = hash;
    }
    if (signature->type != KW_KEY_RSA)
        return 1;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PAD_MODE);
    if (parameter != NULL) {
        int padding = 0;
        if (!parameter_number(parameter, paddings, padding_count, &padding) ||
            (padding != RSA_PKCS1_PADDING && padding != RSA_PKCS1_PSS_PADDING))
            return failure_set(KW_UNSUPPORTED, "RSA signs with PKCS#1 v1.5 or PSS padding and no other");
        signature->padding = padding;
    }
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (parameter != NULL) {
        int length = 0;
        if (signature->padding != RSA_PKCS1_PSS_PADDING || !salt_length_read(parameter, &length))
            return failure_set(KW_INVALID_ARGUMENT,
                               "the salt's length is for PSS padding: a number, digest, max or auto");
        signature->salt_length = length;
    }
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    return (parameter == NULL || hash_read(signature, parameter, &signature->mgf_hash)) &&
           signature_check_limits(signature);
}

static int answer_algorithm_id(const struct signature *signature, OSSL_PARAM *parameter)
{
    /* RFC 8410, section 3: the OID 1.3.101.112 alone. libcrypto 3.0 tells it only to who may sign. */
    static const unsigned char ed25519[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};
    if (signature->type == KW_KEY_ED25519)
        return OSSL_PARAM_set_octet_string(parameter, ed25519, sizeof(ed25519));
    OSSL_PARAM asked[] = {*parameter, OSSL_PARAM_construct_end()};
    crypto_enter();
    EVP_PKEY_CTX *context = signature_delegate(signature, EVP_PKEY_verify_init);
    const int answered = context != NULL && EVP_PKEY_CTX_get_params(context, asked) > 0;
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    parameter->return_size = asked[0].return_size;
    return answered;
}

int signature_get_ctx_params(void *context, OSSL_PARAM parameters[])
{
    const struct signature *signature = context;
    OSSL_PARAM *parameter = OSSL_PARAM_locate(parameters, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    if (parameter != NULL && !answer_algorithm_id(signature, parameter))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_SIGNATURE_PARAM_DIGEST);
    if (parameter != NULL &&
        !OSSL_PARAM_set_utf8_string(parameter, signature->hash != KW_HASH_NONE ? hash_name(signature->hash) : ""))
        return 0;
    if (signature->type != KW_KEY_RSA)
        return 1;
    parameter = OSSL_PARAM_locate(parameters, OSSL_SIGNATURE_PARAM_PAD_MODE);
    if (parameter != NULL && !parameter_answer(parameter, paddings, padding_count, signature->padding))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (parameter != NULL && !salt_length_answer(parameter, signature->salt_length))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    const kw_hash mgf_hash = signature->mgf_hash != KW_HASH_NONE ? signature->mgf_hash : signature->hash;
    return parameter == NULL ||
           OSSL_PARAM_set_utf8_string(parameter, mgf_hash != KW_HASH_NONE ? hash_name(mgf_hash) : "");
}

static const OSSL_PARAM rsa_gettable[] = {
    OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ecdsa_gettable[] = {
    OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM eddsa_gettable[] = {
    OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM rsa_settable[] = {
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ecdsa_settable[] = {
    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
    OSSL_PARAM_END,
};

const OSSL_PARAM *rsa_gettable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return rsa_gettable;
}

const OSSL_PARAM *ecdsa_gettable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return ecdsa_gettable;
}

const OSSL_PARAM *eddsa_gettable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return eddsa_gettable;
}

const OSSL_PARAM *rsa_settable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return rsa_settable;
}

const OSSL_PARAM *ecdsa_settable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return ecdsa_settable;
}
