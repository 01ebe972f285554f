/* Certificates in a PKCS#7 envelope without content, as CAs send them: .p7b, .p7c; RFC 2315 section 9.1. */
#ifndef KEYWRIGHT_CERTIFICATE_PKCS7_H
#define KEYWRIGHT_CERTIFICATE_PKCS7_H

#include "base/crypto.h"
#include <openssl/x509.h>

/*
 * Adds the certificates, in the order that the file has them, to `into`. Errors: KW_INVALID_ARGUMENT (it is not PKCS#7), KW_CORRUPT (malformed,
 * or bytes follow it), KW_UNSUPPORTED (not signed data), KW_REFUSED (it has no certificates).
 */
KW_MUST_USE kw_status pkcs7_read(struct crypto *crypto, kw_input der, STACK_OF(X509) *into, kw_error *error);

#endif
