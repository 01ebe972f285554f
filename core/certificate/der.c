#include "certificate/der.h"
#include "base/buffer.h"
#include "base/crypto.h"
#include <openssl/crypto.h>

kw_status der_take(unsigned char *encoded, int length, kw_bytes *der, kw_error *error)
{
    struct buffer copy = {0};
    if (length <= 0)
        return crypto_error(error, KW_FAILED, "libcrypto cannot encode it");
    buffer_append(&copy, encoded, (size_t)length);
    OPENSSL_free(encoded);
    if (buffer_take(&copy, der) != KW_OK)
        return error_memory(error);
    return KW_OK;
}

kw_status der_take_pkcs8(const PKCS8_PRIV_KEY_INFO *key, struct secret *pkcs8, kw_error *error)
{
    struct secret made = {0};
    const int length = i2d_PKCS8_PRIV_KEY_INFO(key, NULL);
    if (length <= 0)
        return crypto_error(error, KW_FAILED, "libcrypto cannot encode the private key");
    kw_status status = secret_new(&made, (size_t)length, error);
    if (status != KW_OK)
        return status;
    unsigned char *at = made.data;
    if (i2d_PKCS8_PRIV_KEY_INFO(key, &at) != length) {
        secret_clear(&made);
        return crypto_error(error, KW_FAILED, "libcrypto cannot encode the private key");
    }
    made.length = (size_t)length;
    *pkcs8 = made;
    return KW_OK;
}
