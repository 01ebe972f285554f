/*
 * What programs write when they are told to write a private key: its reference, or text for people. The key itself never is. Public keys are
 * written by the default provider.
 */
#include "openssl_module.h"

#include "certificate/reference.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

static OSSL_FUNC_encoder_newctx_fn encoder_new;
static OSSL_FUNC_encoder_freectx_fn encoder_free;
static OSSL_FUNC_encoder_does_selection_fn encoder_does_selection;
static OSSL_FUNC_encoder_encode_fn encode_reference, encode_text;

static void *encoder_new(void *context)
{
    return context; /* the module: encoding keeps nothing */
}

static void encoder_free(void *context)
{
    (void)context;
}

static int encoder_does_selection(void *context, int selection)
{
    (void)context;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* A pass phrase that a program wants it encrypted under is not used: the reference holds no secret. */
static int encode_reference(void *context, OSSL_CORE_BIO *to, const void *key, const OSSL_PARAM *abstract,
                            int selection, OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    const struct keydata *data = key;
    kw_bytes pem = {0};
    kw_error error = {0};
    size_t written = 0;
    (void)abstract;
    (void)selection;
    (void)passphrase;
    (void)passphrase_argument;
    failure_forget();
    if (data == NULL || data->uri == NULL)
        return failure_set(KW_UNSUPPORTED, "there is no private key in a store to write a reference to");
    BIO *bio = module_bio(context, to);
    kw_status status = bio != NULL ? reference_write(data->uri, &pem, &error) : error_memory(&error);
    const bool done =
        status == KW_OK && BIO_write_ex(bio, pem.data, pem.length, &written) == 1 && written == pem.length;
    kw_bytes_free(&pem);
    BIO_free(bio);
    return status == KW_OK ? done : failure_keep(&error);
}

static int encode_text(void *context, OSSL_CORE_BIO *to, const void *key, const OSSL_PARAM *abstract, int selection,
                       OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    const struct keydata *data = key;
    (void)abstract;
    (void)selection;
    (void)passphrase;
    (void)passphrase_argument;
    failure_forget();
    if (data == NULL || data->uri == NULL)
        return failure_set(KW_UNSUPPORTED, "there is no private key in a store to show");
    BIO *bio = module_bio(context, to);
    const bool done = bio != NULL && BIO_printf(bio, "Private key in a store: %s\n", data->uri) > 0 &&
                      EVP_PKEY_print_public(bio, data->public, 0, NULL) == 1;
    BIO_free(bio);
    return done;
}

#define ENCODER_FUNCTIONS(function)                                                                                    \
    {                                                                                                                  \
        {OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))encoder_new},                                                       \
            {OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))encoder_free},                                                 \
            {OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))encoder_does_selection},                                \
            {OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))(function)},                                                    \
        {                                                                                                              \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }

static const OSSL_DISPATCH reference_functions[] = ENCODER_FUNCTIONS(encode_reference);
static const OSSL_DISPATCH text_functions[] = ENCODER_FUNCTIONS(encode_text);

/* Under the names of the structures that programs ask for when they write a private key. */
#define TO_PEM     PROVIDER_PROPERTY ",output=pem,structure=PrivateKeyInfo"
#define TO_OLD_PEM PROVIDER_PROPERTY ",output=pem,structure=type-specific"
#define TO_TEXT    PROVIDER_PROPERTY ",output=text"

const OSSL_ALGORITHM module_encoders[] = {
    {"RSA", TO_PEM, reference_functions, "references to RSA keys"},
    {"RSA", TO_OLD_PEM, reference_functions, "references to RSA keys"},
    {"RSA", TO_TEXT, text_functions, "RSA keys in stores for people"},
    {"EC", TO_PEM, reference_functions, "references to EC keys"},
    {"EC", TO_OLD_PEM, reference_functions, "references to EC keys"},
    {"EC", TO_TEXT, text_functions, "EC keys in stores for people"},
    {"ED25519", TO_PEM, reference_functions, "references to Ed25519 keys"},
    {"ED25519", TO_TEXT, text_functions, "Ed25519 keys in stores for people"},
    {NULL, NULL, NULL, NULL},
};
