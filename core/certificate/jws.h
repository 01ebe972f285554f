/*
 * JSON Web Signature (RFC 7515), flattened JSON serialisation, with the algorithms of RFC 7518 and RFC 8037: RS256, RS384, RS512, PS256,
 * PS384, PS512, ES256, ES384, ES512, EdDSA (Ed25519). The signer's certificate is named by x5t#S256.
 */
#ifndef KEYWRIGHT_CERTIFICATE_JWS_H
#define KEYWRIGHT_CERTIFICATE_JWS_H

#include "base/crypto.h"
#include "store/key.h"
#include <openssl/x509.h>

/* Signs by kw_key_sign. The header holds alg, typ, x5t#S256 and the certificate itself (x5c). JSON text with a newline at its end. */
KW_MUST_USE kw_status jws_sign(struct crypto *crypto, kw_key *key, X509 *certificate, const char *type,
                               kw_input payload, kw_bytes *jws, kw_error *error);

/*
 * Verifies with the certificate's public key, and only then gives out the payload, with a NUL behind it. KW_CORRUPT: malformed.
 * KW_REFUSED: signed by another certificate (by its x5t#S256), or with `alg` none, one that is unknown or does not fit the key. KW_UNSUPPORTED:
 * the header calls for an extension (crit). KW_SIGNATURE_INVALID.
 */
KW_MUST_USE kw_status jws_verify(struct crypto *crypto, X509 *certificate, kw_input jws, kw_bytes *payload,
                                 kw_error *error);

/* SHA-256 of the certificate's DER. */
KW_MUST_USE kw_status jws_thumbprint(struct crypto *crypto, X509 *certificate, unsigned char digest[SHA256_LENGTH],
                                     kw_error *error);

#endif
