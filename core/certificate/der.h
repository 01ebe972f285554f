/* What libcrypto encodes, in the forms that the rest of the library works with. */
#ifndef KEYWRIGHT_CERTIFICATE_DER_H
#define KEYWRIGHT_CERTIFICATE_DER_H

#include "base/secret.h"
#include <openssl/x509.h>

/* What an i2d function returned: copied to `der`, and `encoded` freed. A `length` that is not positive is libcrypto's failure. */
KW_MUST_USE kw_status der_take(unsigned char *encoded, int length, kw_bytes *der, kw_error *error);
/* A private key as PKCS#8, encoded straight into locked memory. */
KW_MUST_USE kw_status der_take_pkcs8(const PKCS8_PRIV_KEY_INFO *key, struct secret *pkcs8, kw_error *error);

#endif
