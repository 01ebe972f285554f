/*
 * Reference files as private keys, in the two steps in which libcrypto decodes: PEM to DER, and DER to a key. libcrypto hands every key and
 * certificate that a program reads from a file to these, so what is none of ours is left alone as early as can be seen.
 */
#include "openssl_module.h"

#include "certificate/reference.h"

#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_decoder_newctx_fn decoder_new;
static OSSL_FUNC_decoder_freectx_fn decoder_free;
static OSSL_FUNC_decoder_does_selection_fn decoder_does_selection;
static OSSL_FUNC_decoder_decode_fn decode_pem, decode_rsa, decode_rsa_pss, decode_ec, decode_ed25519;

/* What a decoder returns for what is not its own: libcrypto tries the next. */
#define NOT_OURS 1

/* ---- Life ---- */

static void *decoder_new(void *context)
{
    return context; /* the module: decoding keeps nothing */
}

static void decoder_free(void *context)
{
    (void)context;
}

/* A reference stands for a private key. Who asks for nothing in particular gets it too. */
static int decoder_does_selection(void *context, int selection)
{
    (void)context;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* ---- PEM to DER ---- */

static int decode_pem(void *context, OSSL_CORE_BIO *from, int selection, OSSL_CALLBACK *callback, void *argument,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    BIO *bio = module_bio(context, from);
    char *label = NULL, *header = NULL;
    unsigned char *der = NULL;
    long length = 0;
    int type = OSSL_OBJECT_PKEY, result = NOT_OURS;
    char structure[] = REFERENCE_STRUCTURE;
    (void)selection;
    (void)passphrase;
    (void)passphrase_argument;
    ERR_set_mark();
    const bool read = bio != NULL && PEM_read_bio(bio, &label, &header, &der, &length) == 1;
    ERR_pop_to_mark();
    if (read && strcmp(label, REFERENCE_LABEL) == 0) {
        const OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
            OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, structure, 0),
            OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, (size_t)length),
            OSSL_PARAM_construct_end(),
        };
        result = callback(parameters, argument);
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(der);
    crypto_bio_free(bio);
    return result;
}

/* ---- DER to a key ---- */

static bool read_whole(BIO *bio, unsigned char *to, size_t length)
{
    size_t done = 0, read = 0;
    while (done < length && BIO_read_ex(bio, to + done, length - done, &read) == 1 && read > 0)
        done += read;
    return done == length;
}

/* One SEQUENCE, no more, as far as it may be a reference. False: it is none. */
static bool read_sequence(BIO *bio, unsigned char der[REFERENCE_MAXIMUM], size_t *length)
{
    size_t header = 2, content = 0;
    if (!read_whole(bio, der, header) || der[0] != (V_ASN1_CONSTRUCTED | V_ASN1_SEQUENCE))
        return false;
    content = der[1];
    if (content > 0x80) {
        const size_t digits = content - 0x80;
        if (digits > 2 || !read_whole(bio, der + header, digits))
            return false;
        content = 0;
        for (size_t i = 0; i < digits; i++)
            content = content << 8 | der[header + i];
        header += digits;
    }
    *length = header + content;
    return content != 0x80 && *length <= REFERENCE_MAXIMUM && read_whole(bio, der + header, content);
}

/* The certificate tells the type of key: the store is asked only by the decoder whose type it is. */
static kw_status open_key(struct module_provider *module, const char *uri, const char *type, struct keydata **data,
                          kw_error *error)
{
    kw_context *context = NULL;
    kw_key *public = NULL;
    kw_status status = KW_OK;
    char *address = address_of_uri(uri);
    if (address == NULL)
        return error_set(error, KW_CORRUPT, "%s in the reference to a key is no URI of one", uri);
    status = module_context(module, &context, error);
    if (status == KW_OK)
        status = kw_key_open_public(context, address, &public, error);
    if (status == KW_OK && keydata_type(public) != NULL && strcmp(keydata_type(public), type) == 0)
        status = module_key(module, address, data, error);
    kw_key_free(public);
    free(address);
    return status;
}

static int decode_der(struct module_provider *module, const char *type, OSSL_CORE_BIO *from, OSSL_CALLBACK *callback,
                      void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    unsigned char der[REFERENCE_MAXIMUM];
    size_t length = 0;
    char *uri = NULL;
    struct keydata *data = NULL;
    kw_error error = {0};
    int result = NOT_OURS;
    const int errno_before = errno;
    BIO *bio = module_bio(module, from);
    ERR_set_mark();
    const bool read = bio != NULL && read_sequence(bio, der, &length);
    ERR_pop_to_mark();
    failure_forget();
    kw_status status = read ? reference_decode((kw_input){der, length}, &uri, &error) : KW_NOT_FOUND;
    if (status == KW_NOT_FOUND)
        goto out;
    module_ask_by(passphrase, passphrase_argument);
    if (status == KW_OK)
        status = open_key(module, uri, type, &data, &error);
    module_ask_by(NULL, NULL);
    if (status != KW_OK)
        result = failure_keep(&error);
    else if (data != NULL)
        result = module_give_key(&data, callback, argument);
out:
    keydata_free(data);
    free(uri);
    crypto_bio_free(bio);
    errno =
        errno_before; /* some callers, Python's ssl among them, take one that was set for the reason, not libcrypto's errors */
    return result;
}

static int decode_rsa(void *context, OSSL_CORE_BIO *from, int selection, OSSL_CALLBACK *callback, void *argument,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    (void)selection;
    return decode_der(context, "RSA", from, callback, argument, passphrase, passphrase_argument);
}

static int decode_rsa_pss(void *context, OSSL_CORE_BIO *from, int selection, OSSL_CALLBACK *callback, void *argument,
                          OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    (void)selection;
    return decode_der(context, "RSA-PSS", from, callback, argument, passphrase, passphrase_argument);
}

static int decode_ec(void *context, OSSL_CORE_BIO *from, int selection, OSSL_CALLBACK *callback, void *argument,
                     OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    (void)selection;
    return decode_der(context, "EC", from, callback, argument, passphrase, passphrase_argument);
}

static int decode_ed25519(void *context, OSSL_CORE_BIO *from, int selection, OSSL_CALLBACK *callback, void *argument,
                          OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument)
{
    (void)selection;
    return decode_der(context, "ED25519", from, callback, argument, passphrase, passphrase_argument);
}

/* ---- Tables ---- */

#define DECODER_FUNCTIONS(what)                                                                                        \
    {                                                                                                                  \
        {OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))decoder_new},                                                       \
            {OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_free},                                                 \
            {OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))decoder_does_selection},                                \
            {OSSL_FUNC_DECODER_DECODE, (void (*)(void))decode_##what},                                                 \
        {                                                                                                              \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }

static const OSSL_DISPATCH pem_functions[] = DECODER_FUNCTIONS(pem);
static const OSSL_DISPATCH rsa_functions[] = DECODER_FUNCTIONS(rsa);
static const OSSL_DISPATCH rsa_pss_functions[] = DECODER_FUNCTIONS(rsa_pss);
static const OSSL_DISPATCH ec_functions[] = DECODER_FUNCTIONS(ec);
static const OSSL_DISPATCH ed25519_functions[] = DECODER_FUNCTIONS(ed25519);

#define FROM_PEM PROVIDER_PROPERTY ",input=pem"
#define FROM_DER PROVIDER_PROPERTY ",input=der,structure=" REFERENCE_STRUCTURE

const OSSL_ALGORITHM module_decoders[] = {
    {"DER", FROM_PEM, pem_functions, "PEM references to keys"},
    {"RSA", FROM_DER, rsa_functions, "references to RSA keys"},
    {"RSA-PSS", FROM_DER, rsa_pss_functions, "references to RSA keys for PSS alone"},
    {"EC", FROM_DER, ec_functions, "references to EC keys"},
    {"ED25519", FROM_DER, ed25519_functions, "references to Ed25519 keys"},
    {NULL, NULL, NULL, NULL},
};
