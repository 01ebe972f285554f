/*
 * The reference file, which stands for a key in programs that take only key files: RFC 7468 text around a DER structure that names the key by
 * its URI. It holds no secret; docs/openssl.md has the format.
 */
#ifndef KEYWRIGHT_CERTIFICATE_REFERENCE_H
#define KEYWRIGHT_CERTIFICATE_REFERENCE_H

#include "base/error.h"

#define REFERENCE_LABEL     "KEYWRIGHT KEY REFERENCE"
#define REFERENCE_STRUCTURE "keywright-reference" /* libcrypto's word for the structure, between the two decoders */
#define REFERENCE_VERSION   1
#define REFERENCE_MAXIMUM   8192u /* bytes of DER: more than any URI of an address can have */

KW_MUST_USE kw_status reference_encode(const char *uri, kw_bytes *der, kw_error *error);
/* The whole file. NUL behind `length`. */
KW_MUST_USE kw_status reference_write(const char *uri, kw_bytes *pem, kw_error *error);
/* free() the URI. Errors: KW_NOT_FOUND (it is none, but something else), KW_UNSUPPORTED (of a later version), KW_CORRUPT. */
KW_MUST_USE kw_status reference_decode(kw_input der, char **uri, kw_error *error);

#endif
