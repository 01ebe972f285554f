/* What libcrypto encodes, in the forms that the rest of the library works with. */
#ifndef KEYWRIGHT_CERTIFICATE_DER_H
#define KEYWRIGHT_CERTIFICATE_DER_H

#include "base/crypto.h"
#include "base/secret.h"
#include <openssl/x509.h>

/* What an i2d function returned: copied to `der`, and `encoded` freed. A `length` that is not positive is libcrypto's failure. */
KW_MUST_USE kw_status der_take(unsigned char *encoded, int length, kw_bytes *der, kw_error *error);
/* A private key as PKCS#8, encoded straight into locked memory. */
KW_MUST_USE kw_status der_take_pkcs8(const PKCS8_PRIV_KEY_INFO *key, struct secret *pkcs8, kw_error *error);

/*
 * A private key in PKCS#8, and in the second version of it (RFC 5958) that carries the public key too, which libcrypto does not read before 3.5. The public
 * key is dropped when it is the private one's, as it is for Ed25519 and X25519; of other types it is dropped unseen. NULL: it is none.
 */
PKCS8_PRIV_KEY_INFO *der_read_pkcs8(struct crypto *crypto, kw_input der);
/*
 * A private RSA key with another algorithm, in locked memory: NULL is rsaEncryption, as stores hold it; else that of a certificate, id-RSASSA-PSS with its
 * parameters. KW_CORRUPT: `der` is no PKCS#8.
 */
KW_MUST_USE kw_status der_retype_rsa(kw_input der, const X509_ALGOR *algorithm, struct secret *pkcs8, kw_error *error);
/* A private key in EncryptedPrivateKeyInfo; `password.data` NULL: absent. NULL: another password, or damaged. */
PKCS8_PRIV_KEY_INFO *der_decrypt_pkcs8(struct crypto *crypto, const X509_SIG *sealed, kw_input password);

#endif
