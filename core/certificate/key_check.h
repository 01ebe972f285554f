/* Private keys that come from outside: read, and judged before a store gets them. */
#ifndef KEYWRIGHT_CERTIFICATE_KEY_CHECK_H
#define KEYWRIGHT_CERTIFICATE_KEY_CHECK_H

#include "base/crypto.h"
#include <openssl/x509.h>

/* Whether libcrypto refused the last key for a point that is not on its curve. Empties libcrypto's queue. */
bool key_is_off_curve(void);
/* PKCS#8 as an EVP_PKEY of the default provider. Errors: KW_UNSUPPORTED (a kind of key that libcrypto lacks: named), KW_CORRUPT. */
KW_MUST_USE kw_status private_key_read(struct crypto *crypto, kw_input pkcs8, EVP_PKEY **key, kw_error *error);

/*
 * Whether a store may have it. `certificate` may be NULL. `*name` becomes the key's name, such as rsa-3072, which lives for ever. Errors: KW_REFUSED
 * (RSA below 2048 bits, or made by a chip with the ROCA defect), KW_UNSUPPORTED (none of the kinds of key that there are), KW_CORRUPT (broken:
 * its two primes are the same, its public exponent is 1, its parts do not fit together; or the
 * certificate is, when its own key has signed it), KW_INVALID_ARGUMENT (the certificate is not of this key).
 */
KW_MUST_USE kw_status key_check(struct crypto *crypto, kw_input pkcs8, X509 *certificate, const char **name,
                                kw_error *error);
/* The same for the public key of a certificate whose private key is not at hand. */
KW_MUST_USE kw_status key_check_certificate(X509 *certificate, const char **name, kw_error *error);

/* An RSA modulus with the fingerprint of CVE-2017-15361 (ROCA). */
bool key_check_is_roca(const BIGNUM *modulus);

#endif
