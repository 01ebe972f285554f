/* RSA decryption: OAEP, PKCS#1 v1.5, and the key exchange of TLS 1.2. Encryption is the default provider's, with the public key. */
#include "openssl/provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_asym_cipher_newctx_fn rsa_newctx;
static OSSL_FUNC_asym_cipher_freectx_fn rsa_freectx;
static OSSL_FUNC_asym_cipher_dupctx_fn rsa_dupctx;
static OSSL_FUNC_asym_cipher_encrypt_init_fn rsa_encrypt_init;
static OSSL_FUNC_asym_cipher_encrypt_fn rsa_encrypt;
static OSSL_FUNC_asym_cipher_decrypt_init_fn rsa_decrypt_init;
static OSSL_FUNC_asym_cipher_decrypt_fn rsa_decrypt;
static OSSL_FUNC_asym_cipher_get_ctx_params_fn rsa_get_ctx_params;
static OSSL_FUNC_asym_cipher_gettable_ctx_params_fn rsa_gettable_ctx_params;
static OSSL_FUNC_asym_cipher_set_ctx_params_fn rsa_set_ctx_params;
static OSSL_FUNC_asym_cipher_settable_ctx_params_fn rsa_settable_ctx_params;

/* OpenSSL's since 3.2. */
#define PARAM_IMPLICIT_REJECTION "implicit-rejection"

struct asymmetric_cipher {
    const struct provider *provider;
    struct held held;
    bool decrypting;
    int padding;
    kw_hash hash, mgf_hash; /* OAEP; mgf_hash KW_HASH_NONE: as hash */
    unsigned char *label;   /* NULL: empty */
    size_t label_length;
    unsigned client_version, other_version; /* of TLS; 0: not set */
};

/* ---- Life ---- */

static void *rsa_newctx(void *provider)
{
    struct asymmetric_cipher *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->provider = provider;
    made->padding = RSA_PKCS1_PADDING;
    made->hash = KW_HASH_SHA1; /* RFC 8017's default, and libcrypto's */
    return made;
}

static void rsa_freectx(void *context)
{
    struct asymmetric_cipher *cipher = context;
    if (cipher == NULL)
        return;
    held_clear(&cipher->held);
    free(cipher->label);
    free(cipher);
}

static bool label_set(struct asymmetric_cipher *cipher, const void *label, size_t length)
{
    unsigned char *copy = NULL;
    if (length != 0) {
        copy = malloc(length);
        if (copy == NULL)
            return false;
        memcpy(copy, label, length);
    }
    free(cipher->label);
    cipher->label = copy;
    cipher->label_length = length;
    return true;
}

static void *rsa_dupctx(void *context)
{
    const struct asymmetric_cipher *from = context;
    struct asymmetric_cipher *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    *made = *from;
    made->label = NULL;
    if (!held_copy(&made->held, &from->held) || !label_set(made, from->label, from->label_length)) {
        rsa_freectx(made);
        made = NULL;
    }
    return made;
}

static int begin(struct asymmetric_cipher *cipher, const struct keydata *key, bool private,
                 const OSSL_PARAM parameters[])
{
    failure_forget();
    cipher->decrypting = private;
    return held_take(&cipher->held, key, private) && rsa_set_ctx_params(cipher, parameters);
}

/* ---- What the default provider does: encryption, and all that is done with a key in memory ---- */

static int delegate(const struct asymmetric_cipher *cipher, int (*init)(EVP_PKEY_CTX *context),
                    int (*operate)(EVP_PKEY_CTX *context, unsigned char *out, size_t *length, const unsigned char *in,
                                   size_t in_length),
                    const kw_output *room, size_t *length, kw_input input)
{
    OSSL_PARAM parameters[7], *next = parameters;
    char digest[16] = "", mgf[16] = "";
    int padding = cipher->padding;
    unsigned client = cipher->client_version, other = cipher->other_version;
    *next++ = OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &padding);
    if (padding == RSA_PKCS1_OAEP_PADDING) {
        OPENSSL_strlcpy(digest, hash_name(cipher->hash), sizeof(digest));
        *next++ = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, digest, 0);
        OPENSSL_strlcpy(mgf, hash_name(cipher->mgf_hash != KW_HASH_NONE ? cipher->mgf_hash : cipher->hash),
                        sizeof(mgf));
        *next++ = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, mgf, 0);
        if (cipher->label != NULL)
            *next++ = OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, cipher->label,
                                                        cipher->label_length);
    }
    if (client != 0)
        *next++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &client);
    if (other != 0)
        *next++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &other);
    *next = OSSL_PARAM_construct_end();
    *length = room->capacity;
    crypto_enter();
    EVP_PKEY_CTX *context = held_delegate(&cipher->held);
    const int done = context != NULL && init(context) > 0 && EVP_PKEY_CTX_set_params(context, parameters) > 0 &&
                     operate(context, room->data, length, input.data, input.length) > 0;
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    return done;
}

/* ---- Decryption ---- */

static int rsa_decrypt_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    return begin(context, key, true, parameters);
}

static int rsa_decrypt(void *context, unsigned char *out, size_t *length, size_t capacity, const unsigned char *in,
                       size_t in_length)
{
    const struct asymmetric_cipher *cipher = context;
    const int longest = cipher->held.public != NULL ? EVP_PKEY_get_size(cipher->held.public) : 0;
    const kw_input ciphertext = {in, in_length};
    kw_status status = KW_OK;
    kw_error error = {0};
    failure_forget();
    if (longest <= 0 || (cipher->held.key == NULL && !cipher->held.in_memory))
        return failure_set(KW_INVALID_ARGUMENT, "a decryption was asked for that was not begun");
    if (out == NULL) {
        *length = cipher->padding == RSA_PKCS1_WITH_TLS_PADDING ? RSA_TLS_SECRET : (size_t)longest;
        return 1;
    }
    kw_output plaintext = {out, capacity, 0};
    if (cipher->held.key == NULL)
        return delegate(cipher, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, &plaintext, length, ciphertext);
    if (cipher->padding == RSA_PKCS1_WITH_TLS_PADDING && cipher->client_version == 0)
        return failure_set(KW_INVALID_ARGUMENT,
                           "the RSA key exchange of TLS needs the version that the client offered");
    const unsigned depth = crypto_step_out();
    /* PKCS#1 v1.5 never fails because of the padding: an invalid block gives a message that nobody can tell from another. */
    if (cipher->padding == RSA_PKCS1_WITH_TLS_PADDING) {
        status = key_decrypt_tls(cipher->held.key, ciphertext, cipher->client_version, cipher->other_version,
                                 &plaintext, &error);
    } else if (cipher->padding == RSA_PKCS1_PADDING && cipher->held.pkcs1) {
        const size_t wanted = pkey_expected_length();
        status = wanted > 0 ? key_decrypt_pkcs1_exactly(cipher->held.key, ciphertext, wanted, &plaintext, &error)
                            : key_decrypt_pkcs1(cipher->held.key, ciphertext, &plaintext, &error);
    } else {
        kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_RSA_PKCS1};
        if (cipher->padding == RSA_PKCS1_OAEP_PADDING)
            algorithm = (kw_algorithm){.size = sizeof(algorithm),
                                       .scheme = KW_SCHEME_RSA_OAEP,
                                       .hash = cipher->hash,
                                       .mgf_hash = cipher->mgf_hash,
                                       .label = {cipher->label, cipher->label_length}};
        status = kw_key_decrypt(cipher->held.key, &algorithm, ciphertext, &plaintext, &error);
    }
    crypto_step_in(depth);
    if (status != KW_OK)
        return failure_keep(&error);
    *length = plaintext.length;
    return 1;
}

/* ---- Encryption ---- */

static int rsa_encrypt_init(void *context, void *key, const OSSL_PARAM parameters[])
{
    return begin(context, key, false, parameters);
}

static int rsa_encrypt(void *context, unsigned char *out, size_t *length, size_t capacity, const unsigned char *in,
                       size_t in_length)
{
    const struct asymmetric_cipher *cipher = context;
    if (cipher->held.public == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "an encryption was asked for that was not begun");
    return delegate(cipher, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, &(kw_output){out, capacity, 0}, length,
                    (kw_input){in, in_length});
}

/* ---- Parameters ---- */

static const struct numbered_name paddings[] = {
    {OSSL_PKEY_RSA_PAD_MODE_PKCSV15, RSA_PKCS1_PADDING},
    {OSSL_PKEY_RSA_PAD_MODE_OAEP, RSA_PKCS1_OAEP_PADDING},
    {"oeap", RSA_PKCS1_OAEP_PADDING}, /* as libcrypto spells it too */
    {OSSL_PKEY_RSA_PAD_MODE_NONE, RSA_NO_PADDING},
};
static const size_t padding_count = sizeof(paddings) / sizeof(paddings[0]);

static int hash_read(const struct asymmetric_cipher *cipher, const OSSL_PARAM *parameter, kw_hash *hash)
{
    const char *name = NULL;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &name))
        return 0;
    const kw_hash found = digest_named(cipher->provider, name);
    if (found == KW_HASH_NONE)
        return 0;
    *hash = found;
    return 1;
}

static int padding_read(struct asymmetric_cipher *cipher, const OSSL_PARAM *parameter)
{
    int padding = 0;
    const bool known = parameter_number(parameter, paddings, padding_count, &padding) &&
                       (padding == RSA_PKCS1_PADDING || padding == RSA_PKCS1_OAEP_PADDING ||
                        padding == (cipher->decrypting ? RSA_PKCS1_WITH_TLS_PADDING : RSA_NO_PADDING));
    if (!known)
        return failure_set(KW_UNSUPPORTED, cipher->decrypting
                                               ? "RSA decrypts with PKCS#1 v1.5 or OAEP padding and no other"
                                               : "RSA encrypts with PKCS#1 v1.5, OAEP or no padding");
    cipher->padding = padding;
    return 1;
}

static int rsa_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    struct asymmetric_cipher *cipher = context;
    if (parameters == NULL)
        return 1;
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
    if (parameter != NULL && !padding_read(cipher, parameter))
        return 0;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST);
    if (parameter != NULL && !hash_read(cipher, parameter, &cipher->hash))
        return 0;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST);
    if (parameter != NULL && !hash_read(cipher, parameter, &cipher->mgf_hash))
        return 0;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL);
    if (parameter != NULL) {
        const void *label = NULL;
        size_t length = 0;
        if (!OSSL_PARAM_get_octet_string_ptr(parameter, &label, &length) || !label_set(cipher, label, length))
            return failure_set(KW_INVALID_ARGUMENT, "the OAEP label cannot be read");
    }
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION);
    if (parameter != NULL && !OSSL_PARAM_get_uint(parameter, &cipher->client_version))
        return failure_set(KW_INVALID_ARGUMENT, "the version that a TLS client offered cannot be read");
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION);
    if (parameter != NULL && !OSSL_PARAM_get_uint(parameter, &cipher->other_version))
        return failure_set(KW_INVALID_ARGUMENT, "the version of TLS that was agreed on cannot be read");
    parameter = OSSL_PARAM_locate_const(parameters, PARAM_IMPLICIT_REJECTION);
    if (parameter != NULL) {
        unsigned wanted = 1;
        if (!OSSL_PARAM_get_uint(parameter, &wanted) || wanted == 0)
            return failure_set(KW_REFUSED, "the implicit rejection of PKCS#1 v1.5 cannot be switched off");
    }
    return 1;
}

static int rsa_get_ctx_params(void *context, OSSL_PARAM parameters[])
{
    const struct asymmetric_cipher *cipher = context;
    const kw_hash mgf_hash = cipher->mgf_hash != KW_HASH_NONE ? cipher->mgf_hash : cipher->hash;
    OSSL_PARAM *parameter = OSSL_PARAM_locate(parameters, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
    if (parameter != NULL && !parameter_answer(parameter, paddings, padding_count, cipher->padding))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST);
    if (parameter != NULL && !OSSL_PARAM_set_utf8_string(parameter, hash_name(cipher->hash)))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST);
    if (parameter != NULL && !OSSL_PARAM_set_utf8_string(parameter, hash_name(mgf_hash)))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION);
    if (parameter != NULL && !OSSL_PARAM_set_uint(parameter, cipher->client_version))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION);
    if (parameter != NULL && !OSSL_PARAM_set_uint(parameter, cipher->other_version))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, PARAM_IMPLICIT_REJECTION);
    if (parameter != NULL && !OSSL_PARAM_set_uint(parameter, 1))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL);
    return parameter == NULL || OSSL_PARAM_set_octet_ptr(parameter, cipher->label, cipher->label_length);
}

static const OSSL_PARAM gettable[] = {
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_octet_ptr(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
    OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
    OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
    OSSL_PARAM_uint(PARAM_IMPLICIT_REJECTION, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM settable[] = {
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
    OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
    OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
    OSSL_PARAM_uint(PARAM_IMPLICIT_REJECTION, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *rsa_gettable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return gettable;
}

static const OSSL_PARAM *rsa_settable_ctx_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return settable;
}

const OSSL_DISPATCH rsa_asymmetric_cipher[] = {
    {OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))rsa_newctx},
    {OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))rsa_freectx},
    {OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))rsa_dupctx},
    {OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, (void (*)(void))rsa_encrypt_init},
    {OSSL_FUNC_ASYM_CIPHER_ENCRYPT, (void (*)(void))rsa_encrypt},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))rsa_decrypt_init},
    {OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))rsa_decrypt},
    {OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS, (void (*)(void))rsa_get_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS, (void (*)(void))rsa_gettable_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, (void (*)(void))rsa_set_ctx_params},
    {OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, (void (*)(void))rsa_settable_ctx_params},
    {0, NULL},
};
