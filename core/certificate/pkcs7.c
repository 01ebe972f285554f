#include "certificate/pkcs7.h"

#include "base/buffer.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>

/* Encoded and read anew, so that it belongs to the library's own context. */
static kw_status take(struct crypto *crypto, X509 *foreign, STACK_OF(X509) *into, kw_error *error)
{
    kw_bytes der = {0};
    X509 *own = NULL;
    kw_status status = x509_to_der(foreign, &der, error);
    kw_input rest = {der.data, der.length};
    if (status == KW_OK)
        status = x509_read(crypto, &rest, &own, error);
    if (status == KW_OK && sk_X509_push(into, own) <= 0) {
        crypto_x509_free(own);
        status = error_memory(error);
    }
    kw_bytes_free(&der);
    return status;
}

/* A sequence that begins with one of PKCS#7's types: nothing else that is imported does. */
static bool is_pkcs7(kw_input der)
{
    static const unsigned char pkcs7[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07};
    uint8_t tag = 0, length = 0;
    kw_input found = {0};
    if (!input_u8(&der, &tag) || tag != 0x30 || !input_u8(&der, &length))
        return false;
    if (length > 0x80 && !input_bytes(&der, length & 0x7fu, &found))
        return false;
    return input_bytes(&der, sizeof(pkcs7), &found) && input_equal(found, (kw_input){pkcs7, sizeof(pkcs7)});
}

kw_status pkcs7_read(struct crypto *crypto, kw_input der, STACK_OF(X509) *into, kw_error *error)
{
    const unsigned char *at = der.data;
    PKCS7 *parsed = NULL;
    kw_status status = KW_OK;
    if (!is_pkcs7(der))
        return error_set(error, KW_INVALID_ARGUMENT, "it is not PKCS#7");
    parsed = d2i_PKCS7(NULL, &at, (long)der.length);
    if (parsed == NULL) {
        status = crypto_error(error, KW_CORRUPT, "the PKCS#7 file is malformed");
        goto out;
    }
    if (at != der.data + der.length) {
        status = error_set(error, KW_CORRUPT, "%zu bytes follow the PKCS#7 file", (size_t)(der.data + der.length - at));
        goto out;
    }
    if (!PKCS7_type_is_signed(parsed)) {
        status = error_set(error, KW_UNSUPPORTED, "the PKCS#7 file does not hold certificates, but %s",
                           OBJ_nid2ln(OBJ_obj2nid(parsed->type)));
        goto out;
    }
    const STACK_OF(X509) *certificates = parsed->d.sign != NULL ? parsed->d.sign->cert : NULL;
    if (sk_X509_num(certificates) <= 0)
        status = error_set(error, KW_REFUSED, "the PKCS#7 file has no certificates in it");
    for (int i = 0; status == KW_OK && i < sk_X509_num(certificates); i++)
        status = take(crypto, sk_X509_value(certificates, i), into, error);
out:
    PKCS7_free(parsed);
    ERR_clear_error();
    return status;
}
