/* Certificates without keys in files: PEM, DER and PKCS#7 (RFC 2315; .p7b). */
#ifndef KEYWRIGHT_CERTIFICATE_BUNDLE_H
#define KEYWRIGHT_CERTIFICATE_BUNDLE_H

#include "base/crypto.h"
#include <openssl/x509.h>

#define BUNDLE_LENGTH_MAXIMUM ((size_t)1 << 20)

/*
 * All certificates of a file, in its order; at least one. Known by content: PEM with text around it (CERTIFICATE and PKCS7; private keys and
 * all else are passed over), one certificate in DER, or a PKCS#7 in DER. bundle_free frees. KW_CORRUPT: there is none, or one that is malformed; what pkcs7_read answers.
 */
KW_MUST_USE kw_status bundle_read(struct crypto *crypto, kw_input content, STACK_OF(X509) **certificates,
                                  kw_error *error);
/* The same from a file, which the error names. Also as file_read. */
KW_MUST_USE kw_status bundle_read_file(struct crypto *crypto, const char *path, STACK_OF(X509) **certificates,
                                       kw_error *error);
void bundle_free(STACK_OF(X509) *certificates);

/* PEM blocks one behind the other, with a NUL behind `length`; PKCS#7 without signers, DER. */
KW_MUST_USE kw_status bundle_to_pem(const STACK_OF(X509) *certificates, kw_bytes *pem, kw_error *error);
KW_MUST_USE kw_status bundle_to_pkcs7(const STACK_OF(X509) *certificates, kw_bytes *der, kw_error *error);

#endif
