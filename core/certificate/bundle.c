#include "certificate/bundle.h"

#include "base/file.h"
#include "certificate/der.h"
#include "certificate/pkcs7.h"
#include "certificate/x509.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <string.h>

void bundle_free(STACK_OF(X509) *certificates)
{
    sk_X509_pop_free(certificates, crypto_x509_free);
}

/* ---- Reading ---- */

static kw_status take_certificate(struct crypto *crypto, kw_input der, STACK_OF(X509) *certificates, kw_error *error)
{
    X509 *certificate = NULL;
    kw_status status = x509_read(crypto, &der, &certificate, error);
    if (status == KW_OK && der.length > 0)
        status = error_set(error, KW_CORRUPT, "there are %zu bytes behind a certificate", der.length);
    if (status == KW_OK && sk_X509_push(certificates, certificate) <= 0)
        status = error_memory(error);
    if (status != KW_OK)
        crypto_x509_free(certificate);
    return status;
}

static kw_status take_pkcs7(struct crypto *crypto, kw_input der, STACK_OF(X509) *certificates, kw_error *error)
{
    const kw_status status = pkcs7_read(crypto, der, certificates, error);
    if (status == KW_INVALID_ARGUMENT)
        return error_set(error, KW_CORRUPT, "it is neither a certificate nor a PKCS#7 with certificates");
    return status;
}

static kw_status take_pem(struct crypto *crypto, kw_input content, STACK_OF(X509) *certificates, kw_error *error)
{
    BIO *memory = BIO_new_mem_buf(content.data, (int)content.length);
    kw_status status = memory != NULL ? KW_OK : error_memory(error);
    while (status == KW_OK) {
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        long length = 0;
        if (PEM_read_bio(memory, &name, &header, &data, &length) != 1) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                status = crypto_error(error, KW_CORRUPT, "the PEM is malformed");
            ERR_clear_error();
            break;
        }
        const kw_input der = {data, (size_t)length};
        if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
            status = take_certificate(crypto, der, certificates, error);
        else if (strcmp(name, PEM_STRING_PKCS7) == 0)
            status = take_pkcs7(crypto, der, certificates, error);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)length);
    }
    BIO_free(memory);
    return status;
}

static bool is_pem(kw_input content)
{
    return memmem(content.data, content.length, "-----BEGIN ", 11) != NULL;
}

static kw_status bundle_read_within(struct crypto *crypto, kw_input content, STACK_OF(X509) **certificates,
                                    kw_error *error)
{
    STACK_OF(X509) *read = NULL;
    X509 *first = NULL;
    kw_input rest = content;
    kw_status status = KW_OK;
    if (content.length > BUNDLE_LENGTH_MAXIMUM)
        return error_set(error, KW_CORRUPT, "it is larger than %zu KiB", BUNDLE_LENGTH_MAXIMUM >> 10);
    read = sk_X509_new_null();
    if (read == NULL)
        return error_memory(error);
    if (content.length == 0)
        status = error_set(error, KW_CORRUPT, "it is empty");
    else if (is_pem(content))
        status = take_pem(crypto, content, read, error);
    else if (x509_read(crypto, &rest, &first, NULL) == KW_OK)
        status = take_certificate(crypto, content, read, error);
    else
        status = take_pkcs7(crypto, content, read, error);
    if (status == KW_OK && sk_X509_num(read) == 0)
        status = error_set(error, KW_CORRUPT, "there is no certificate in it");
    if (status == KW_OK) {
        *certificates = read;
        read = NULL;
    }
    ERR_clear_error();
    crypto_x509_free(first);
    bundle_free(read);
    return status;
}

kw_status bundle_read(struct crypto *crypto, kw_input content, STACK_OF(X509) **certificates, kw_error *error)
{
    crypto_enter();
    const kw_status status = bundle_read_within(crypto, content, certificates, error);
    crypto_leave();
    return status;
}

kw_status bundle_read_file(struct crypto *crypto, const char *path, STACK_OF(X509) **certificates, kw_error *error)
{
    kw_bytes content = {0};
    kw_status status = file_read(path, BUNDLE_LENGTH_MAXIMUM, &content, error);
    if (status == KW_OK)
        status = bundle_read(crypto, (kw_input){content.data, content.length}, certificates, error);
    if (status != KW_OK)
        error_where(error, "%s", path);
    kw_bytes_free(&content);
    return status;
}

/* ---- Writing ---- */

kw_status bundle_to_pem(const STACK_OF(X509) *certificates, kw_bytes *pem, kw_error *error)
{
    struct buffer text = {0};
    kw_status status = KW_OK;
    for (int i = 0; status == KW_OK && i < sk_X509_num(certificates); i++) {
        kw_bytes der = {0}, block = {0};
        status = x509_to_der(sk_X509_value(certificates, i), &der, error);
        if (status == KW_OK)
            status = kw_pem_encode(PEM_STRING_X509, (kw_input){der.data, der.length}, &block, error);
        buffer_append(&text, block.data, block.length);
        kw_bytes_free(&block);
        kw_bytes_free(&der);
    }
    if (status == KW_OK && buffer_take(&text, pem) != KW_OK)
        status = error_memory(error);
    buffer_free(&text);
    return status;
}

kw_status bundle_to_pkcs7(const STACK_OF(X509) *certificates, kw_bytes *der, kw_error *error)
{
    unsigned char *encoded = NULL;
    PKCS7 *message = PKCS7_new();
    kw_status status = KW_OK;
    bool made = message != NULL && PKCS7_set_type(message, NID_pkcs7_signed) == 1 &&
                PKCS7_content_new(message, NID_pkcs7_data) == 1 && PKCS7_set_detached(message, 1) == 1;
    for (int i = 0; made && i < sk_X509_num(certificates); i++)
        made = PKCS7_add_certificate(message, sk_X509_value(certificates, i)) == 1;
    if (!made)
        status = crypto_error(error, KW_FAILED, "no PKCS#7 can be made");
    else {
        const int length = i2d_PKCS7(message, &encoded);
        status = der_take(encoded, length, der, error);
    }
    PKCS7_free(message);
    return status;
}
