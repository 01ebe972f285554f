/* Certificates as text: PEM, for people, and as references to their keys. */
#include "certificate/calls.h"
#include "certificate/manager.h"

#include "base/buffer.h"
#include "certificate/reference.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdlib.h>

static kw_status take_text(BIO *memory, kw_bytes *text, kw_error *error)
{
    struct buffer buffer = {0};
    char *data = NULL;
    const long length = BIO_get_mem_data(memory, &data);
    buffer_append(&buffer, data, length > 0 ? (size_t)length : 0);
    kw_status status = buffer_take(&buffer, text);
    buffer_free(&buffer);
    return status == KW_OK ? KW_OK : error_memory(error);
}

kw_status kw_pem_encode(const char *label, kw_input der, kw_bytes *pem, kw_error *error)
{
    BIO *memory = crypto_bio_new();
    kw_status status = memory != NULL ? KW_OK : error_memory(error);
    if (status == KW_OK && (der.length > INT_MAX || PEM_write_bio(memory, label, "", der.data, (long)der.length) <= 0))
        status = crypto_error(error, KW_FAILED, "it cannot be written as PEM");
    if (status == KW_OK)
        status = take_text(memory, pem, error);
    crypto_bio_free(memory);
    return status;
}

/* Runs `write` over the certificates of an address, as far as `chain` says, into text. */
static kw_status print_certificates(kw_context *context, const char *address, bool chain,
                                    int (*write)(BIO *, const X509 *), kw_bytes *text, kw_error *error)
{
    struct found found = {0};
    BIO *memory = crypto_bio_new();
    kw_status status = memory != NULL ? manager_find(context, address, &found, error) : error_memory(error);
    kw_input rest = {found.certificate.chain.data, found.certificate.chain.length};
    while (status == KW_OK && rest.length > 0) {
        X509 *certificate = NULL;
        status = x509_read(context->crypto, &rest, &certificate, error);
        if (status == KW_OK && write(memory, certificate) != 1)
            status = crypto_error(error, KW_FAILED, "the certificate of %s cannot be written as text", address);
        crypto_x509_free(certificate);
        if (!chain)
            break;
    }
    if (status == KW_OK)
        status = take_text(memory, text, error);
    crypto_bio_free(memory);
    found_clear(&found);
    return status;
}

static int write_pem(BIO *out, const X509 *certificate)
{
    return PEM_write_bio_X509(out, certificate);
}

static int write_text(BIO *out, const X509 *certificate)
{
    crypto_enter();
    X509 *copy = X509_dup(certificate);
    const int written =
        copy != NULL ? X509_print_ex(out, copy, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB, 0) : 0;
    X509_free(copy);
    crypto_leave();
    return written;
}

kw_status manager_pem(kw_context *context, const char *address, kw_bytes *pem, kw_error *error)
{
    return print_certificates(context, address, true, write_pem, pem, error);
}

kw_status manager_text(kw_context *context, const char *address, kw_bytes *text, kw_error *error)
{
    return print_certificates(context, address, false, write_text, text, error);
}

kw_status manager_reference(kw_context *context, const char *address, kw_bytes *pem, kw_error *error)
{
    struct found found = {0};
    kw_status status = manager_find(context, address, &found, error);
    char *uri = status == KW_OK ? address_uri(&found.address) : NULL;
    if (status == KW_OK)
        status = uri != NULL ? reference_write(uri, pem, error) : error_memory(error);
    free(uri);
    found_clear(&found);
    return status;
}
