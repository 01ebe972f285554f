/* As much of what strangers wrote as people are shown: a stranger chooses how long it is, and nobody reads pages of it. */
#ifndef KEYWRIGHT_TLS_SHOWN_H
#define KEYWRIGHT_TLS_SHOWN_H

#include "base/arena.h"
#include "base/crypto.h"
#include <openssl/x509.h>

#define SHOWN_TEXT_MAXIMUM  400 /* bytes; more than any name has that follows RFC 5280 and RFC 1035 */
#define SHOWN_NAMES_MAXIMUM 20

/* The text itself, or the beginning of a longer one and how much of it is left out. NULL: memory ran out, and the arena has failed. */
const char *shown_text(struct arena *arena, const char *text);
/* "a, b, c and 7 more" of the subject alternative names, without their kinds; NULL: there are none. */
const char *shown_names(struct arena *arena, const kw_certificate_info *certificate);

/* What stands in a certificate, as far as it can be read; no text is NULL. NULL: memory ran out, or there is no certificate. */
const kw_certificate_info *shown_certificate(struct crypto *crypto, X509 *certificate, struct arena *arena);

#endif
