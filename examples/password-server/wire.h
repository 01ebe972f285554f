/*
 * What requests are made of. A request is {"do": WORD, "database": NAME, ...}, an answer {"ok": true, ...} or {"ok": false, "error": SENTENCE}.
 *
 * A password travels within TLS, and within that encrypted to the database's certificate: RSA-OAEP (RFC 8017) with SHA-256 and a label of
 * the request's word, database and name. So only this server's key opens it, wherever TLS may end, and it does so for that very request alone.
 */
#ifndef PASSWORD_WIRE_H
#define PASSWORD_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#define WIRE_NAME_MAXIMUM       64 /* of databases, tasks, profiles, users */
#define WIRE_ACCOUNT_MAXIMUM    256
#define WIRE_PASSWORD_MAXIMUM   128
#define WIRE_CIPHERTEXT_MAXIMUM 512 /* RSA with 4096 bits */
#define WIRE_BASE64_MAXIMUM     (4 * ((WIRE_CIPHERTEXT_MAXIMUM + 2) / 3) + 1)
#define WIRE_LABEL_MAXIMUM      256
#define WIRE_SHA256_LENGTH      64 /* hex digits, of a certificate */

/* Letters, digits and "-_.@", one to WIRE_NAME_MAXIMUM of them. */
bool wire_is_name(const char *text);
/* Of names. The label's length. */
size_t wire_label(const char *word, const char *database, const char *name, char label[WIRE_LABEL_MAXIMUM]);
/* With a NUL. */
void wire_encode(const unsigned char *bytes, size_t length, char text[WIRE_BASE64_MAXIMUM]);
/* False: it is no base64, or too long. */
bool wire_decode(const char *text, unsigned char bytes[WIRE_CIPHERTEXT_MAXIMUM], size_t *length);

#endif
