/*
 * What can be done with a private key: one row for each scheme and hash. Tells what a key does where it is, what a store could do with
 * it, what its kind of certificate cannot do without, and whether a copy of it really does it.
 */
#ifndef KEYWRIGHT_CERTIFICATE_ABILITY_H
#define KEYWRIGHT_CERTIFICATE_ABILITY_H

#include "certificate/manager.h"

/* A set of rows, as bits. */
typedef uint32_t abilities;

/* Of a key, where it is. */
abilities abilities_of_key(const kw_key_capabilities *key);
/* That a key keeps whose certificate limits it so. */
abilities abilities_of_pss(const struct pss_limits *limits);
/* Of a key of this type, were it in the store. */
abilities abilities_of_store(const kw_capabilities *store, kw_key_type type);
/* What was done with a certificate's key so far may have to be undone with it later: a server's TLS key has nothing to undo. */
abilities abilities_needed(const struct kind *kind);

/* "sign by PSS with SHA-256, ..." */
#define ABILITIES_TEXT_SIZE 400
void abilities_text(abilities set, char text[ABILITIES_TEXT_SIZE]);

/*
 * KW_OK when the key is the certificate's, and does each of the set: what it signs the certificate verifies, what was encrypted to the
 * certificate just now it decrypts, and what it derives the other side derives too. KW_REFUSED: it does not; names what.
 */
KW_MUST_USE kw_status abilities_prove(kw_context *context, kw_key *key, X509 *certificate, abilities set,
                                      kw_error *error);

#endif
