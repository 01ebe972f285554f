/*
 * What programs write when they are told to write a private key: its reference, or text for people. The key itself never is, unless it is one
 * in memory, which the default provider writes, as it does public keys.
 */
#include "openssl_module.h"

#include "certificate/reference.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_encoder_newctx_fn encoder_new;
static OSSL_FUNC_encoder_freectx_fn encoder_free;
static OSSL_FUNC_encoder_does_selection_fn encoder_does_selection;
static OSSL_FUNC_encoder_set_ctx_params_fn encoder_set_ctx_params;
static OSSL_FUNC_encoder_settable_ctx_params_fn encoder_settable_ctx_params;
static OSSL_FUNC_encoder_encode_fn encode_reference, encode_text;

struct encoder {
    const struct module_provider *module;
    char cipher[64]; /* for a key in memory; empty: none */
};

static void *encoder_new(void *context)
{
    struct encoder *made = calloc(1, sizeof(*made));
    if (made != NULL)
        made->module = context;
    return made;
}

static void encoder_free(void *context)
{
    free(context);
}

static int encoder_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    struct encoder *encoder = context;
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, OSSL_ENCODER_PARAM_CIPHER);
    const char *name = NULL;
    if (parameter == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &name))
        return 0;
    return OPENSSL_strlcpy(encoder->cipher, name != NULL ? name : "", sizeof(encoder->cipher)) <
           sizeof(encoder->cipher);
}

static const OSSL_PARAM *encoder_settable_ctx_params(void *context)
{
    static const OSSL_PARAM settable[] = {OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0), OSSL_PARAM_END};
    (void)context;
    return settable;
}

static int encoder_does_selection(void *context, int selection)
{
    (void)context;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* As the default provider writes it, encrypted where the program wants it so. */
static int encode_in_memory(const struct encoder *encoder, OSSL_CORE_BIO *to, const struct keydata *data,
                            const char *output, const char *structure, int selection,
                            OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    BIO *bio = module_bio(encoder->module, to);
    crypto_enter();
    OSSL_ENCODER_CTX *context =
        OSSL_ENCODER_CTX_new_for_pkey(data->public, selection, output, structure, DELEGATE_PROPERTY);
    const bool ready = context != NULL && (encoder->cipher[0] == '\0' ||
                                           OSSL_ENCODER_CTX_set_cipher(context, encoder->cipher, DELEGATE_PROPERTY));
    crypto_leave(); /* a person may be asked now */
    const int written =
        bio != NULL && ready &&
        (passphrase == NULL || OSSL_ENCODER_CTX_set_passphrase_cb(context, passphrase, passphrase_argument)) &&
        OSSL_ENCODER_to_bio(context, bio);
    OSSL_ENCODER_CTX_free(context);
    crypto_bio_free(bio);
    return written;
}

/* A pass phrase that a program wants it encrypted under is not used: the reference holds no secret. */
static int encode_reference(void *context, OSSL_CORE_BIO *to, const void *key, const OSSL_PARAM *abstract,
                            int selection, OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    const struct keydata *data = key;
    kw_bytes pem = {0};
    kw_error error = {0};
    size_t written = 0;
    const struct encoder *encoder = context;
    (void)abstract;
    failure_forget();
    if (data != NULL && data->in_memory)
        return encode_in_memory(encoder, to, data, "PEM", "PrivateKeyInfo", selection, passphrase, passphrase_argument);
    if (data == NULL || data->uri == NULL)
        return failure_set(KW_UNSUPPORTED, "there is no private key in a store to write a reference to");
    BIO *bio = module_bio(encoder->module, to);
    kw_status status = bio != NULL ? reference_write(data->uri, &pem, &error) : error_memory(&error);
    const bool done =
        status == KW_OK && BIO_write_ex(bio, pem.data, pem.length, &written) == 1 && written == pem.length;
    kw_bytes_free(&pem);
    crypto_bio_free(bio);
    return status == KW_OK ? done : failure_keep(&error);
}

static int encode_text(void *context, OSSL_CORE_BIO *to, const void *key, const OSSL_PARAM *abstract, int selection,
                       OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    const struct keydata *data = key;
    const struct encoder *encoder = context;
    (void)abstract;
    failure_forget();
    if (data != NULL && data->in_memory)
        return encode_in_memory(encoder, to, data, "TEXT", NULL, selection, passphrase, passphrase_argument);
    if (data == NULL || data->uri == NULL)
        return failure_set(KW_UNSUPPORTED, "there is no private key in a store to show");
    BIO *bio = module_bio(encoder->module, to);
    const bool done = bio != NULL && BIO_printf(bio, "Private key in a store: %s\n", data->uri) > 0 &&
                      EVP_PKEY_print_public(bio, data->public, 0, NULL) == 1;
    crypto_bio_free(bio);
    return done;
}

#define ENCODER_FUNCTIONS(what)                                                                                        \
    {                                                                                                                  \
        {OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))encoder_new},                                                       \
            {OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))encoder_free},                                                 \
            {OSSL_FUNC_ENCODER_SET_CTX_PARAMS, (void (*)(void))encoder_set_ctx_params},                                \
            {OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS, (void (*)(void))encoder_settable_ctx_params},                      \
            {OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))encoder_does_selection},                                \
            {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encode_##what},                                                 \
        {                                                                                                              \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }

static const OSSL_DISPATCH reference_functions[] = ENCODER_FUNCTIONS(reference);
static const OSSL_DISPATCH text_functions[] = ENCODER_FUNCTIONS(text);

/* Under the names of the structures that programs ask for when they write a private key. */
#define TO_PEM     PROVIDER_PROPERTY ",output=pem,structure=PrivateKeyInfo"
#define TO_OLD_PEM PROVIDER_PROPERTY ",output=pem,structure=type-specific"
#define TO_TEXT    PROVIDER_PROPERTY ",output=text"

const OSSL_ALGORITHM module_encoders[] = {
    {"RSA", TO_PEM, reference_functions, "references to RSA keys"},
    {"RSA", TO_OLD_PEM, reference_functions, "references to RSA keys"},
    {"RSA", TO_TEXT, text_functions, "RSA keys in stores for people"},
    {"RSA-PSS", TO_PEM, reference_functions, "references to RSA keys for PSS alone"},
    {"RSA-PSS", TO_TEXT, text_functions, "RSA keys in stores, for PSS alone, for people"},
    {"EC", TO_PEM, reference_functions, "references to EC keys"},
    {"EC", TO_OLD_PEM, reference_functions, "references to EC keys"},
    {"EC", TO_TEXT, text_functions, "EC keys in stores for people"},
    {"ED25519", TO_PEM, reference_functions, "references to Ed25519 keys"},
    {"ED25519", TO_TEXT, text_functions, "Ed25519 keys in stores for people"},
    {NULL, NULL, NULL, NULL},
};
