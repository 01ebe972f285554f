#include "certificate/reference.h"

#include "base/buffer.h"
#include "base/crypto.h"
#include "catalogue/address.h"
#include "certificate/der.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* SEQUENCE { version INTEGER, uri UTF8String } */
struct key_reference {
    int32_t version;
    ASN1_UTF8STRING *uri;
};

ASN1_SEQUENCE(key_reference_asn1) = {
    ASN1_EMBED(struct key_reference, version, INT32),
    ASN1_SIMPLE(struct key_reference, uri, ASN1_UTF8STRING),
} static_ASN1_SEQUENCE_END_name(struct key_reference, key_reference_asn1)

kw_status reference_encode(const char *uri, kw_bytes *der, kw_error *error)
{
    struct key_reference reference = {.version = REFERENCE_VERSION, .uri = ASN1_UTF8STRING_new()};
    unsigned char *encoded = NULL;
    kw_status status = KW_OK;
    if (reference.uri == NULL || ASN1_STRING_set(reference.uri, uri, -1) != 1) {
        status = error_memory(error);
        goto out;
    }
    const int length = ASN1_item_i2d((const ASN1_VALUE *)&reference, &encoded, ASN1_ITEM_rptr(key_reference_asn1));
    status = der_take(encoded, length, der, error);
out:
    ASN1_UTF8STRING_free(reference.uri);
    return status;
}

kw_status reference_write(const char *uri, kw_bytes *pem, kw_error *error)
{
    kw_bytes der = {0};
    kw_status status = reference_encode(uri, &der, error);
    if (status == KW_OK)
        status = kw_pem_encode(REFERENCE_LABEL, (kw_input){der.data, der.length}, pem, error);
    kw_bytes_free(&der);
    return status;
}

/* No other structure that is read as a key has a string of our scheme behind its version. */
static bool is_reference(const struct key_reference *reference)
{
    static const char scheme[] = ADDRESS_SCHEME ":";
    return ASN1_STRING_length(reference->uri) >= (int)sizeof(scheme) - 1 &&
           memcmp(ASN1_STRING_get0_data(reference->uri), scheme, sizeof(scheme) - 1) == 0;
}

kw_status reference_decode(kw_input der, char **uri, kw_error *error)
{
    const unsigned char *at = der.data;
    kw_status status = KW_OK;
    struct key_reference *reference = NULL;
    crypto_enter();
    ERR_set_mark();
    if (der.length <= REFERENCE_MAXIMUM)
        reference =
            (struct key_reference *)ASN1_item_d2i(NULL, &at, (long)der.length, ASN1_ITEM_rptr(key_reference_asn1));
    ERR_pop_to_mark();
    crypto_leave();
    if (reference == NULL || !is_reference(reference)) {
        status = error_set(error, KW_NOT_FOUND, "it is no reference to a key");
        goto out;
    }
    if (reference->version != REFERENCE_VERSION) {
        status =
            error_set(error, KW_UNSUPPORTED, "the reference to a key is of version %d; this library reads version %d",
                      (int)reference->version, REFERENCE_VERSION);
        error_remedy(error, "write it anew with `keywright show CERT --reference`");
        goto out;
    }
    const size_t length = (size_t)ASN1_STRING_length(reference->uri);
    char *text = strndup((const char *)ASN1_STRING_get0_data(reference->uri), length);
    if (text == NULL) {
        status = error_memory(error);
    } else if (at != der.data + der.length || strlen(text) != length || !text_is_clean(text, length)) {
        status = error_set(error, KW_CORRUPT, "the reference to a key is malformed");
        error_remedy(error, "write it anew with `keywright show CERT --reference`");
    } else {
        *uri = text;
        text = NULL;
    }
    free(text);
out:
    ASN1_item_free((ASN1_VALUE *)reference, ASN1_ITEM_rptr(key_reference_asn1));
    return status;
}
