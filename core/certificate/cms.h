/* CMS EnvelopedData (RFC 5652) to one certificate: the part that knows no catalogue. */
#ifndef KEYWRIGHT_CERTIFICATE_CMS_H
#define KEYWRIGHT_CERTIFICATE_CMS_H

#include "base/crypto.h"
#include "base/secret.h"
#include <openssl/x509.h>

/*
 * Encrypts to the certificate's public key: AES-256-CBC content; RSA-OAEP with SHA-256, or ECDH with the X9.63 KDF over SHA-256 and AES-256 key
 * wrap (RFC 5753). DER. KW_UNSUPPORTED: the key is of a type that cannot decrypt, which is named.
 */
KW_MUST_USE kw_status cms_seal(struct crypto *crypto, X509 *certificate, kw_input plaintext, kw_bytes *cms,
                               kw_error *error);

/*
 * Decrypts EnvelopedData or AuthEnvelopedData, DER or PEM (with text around it), with the certificate's key. The plaintext is in locked memory
 * from the moment that libcrypto gives it out.
 *
 * KW_CIPHERTEXT_INVALID: malformed, not for this certificate, or changed. What depends on the private key has one answer: a bad RSA block cannot be
 * told from a wrong content key. EnvelopedData carries no proof of its content, so that one in 256 wrong keys gives a meaningless
 * plaintext in place of an error. KW_UNSUPPORTED: the key's type, the message's cipher, or the store cannot. Else the store's error.
 */
KW_MUST_USE kw_status cms_open(struct crypto *crypto, X509 *certificate, EVP_PKEY *key, kw_input cms,
                               struct secret *plaintext, kw_error *error);

/* Whether the message names this certificate as a recipient. False: not, or it cannot be read. */
bool cms_is_for(struct crypto *crypto, X509 *certificate, kw_input cms);

#endif
