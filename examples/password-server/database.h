/*
 * The key certificates of the databases: what clients encrypt passwords to, and the keys that undo it where they are. A client says by its fingerprint
 * which certificate it had, so one that was replaced (`keywright rotate --new-key`) still serves those that have it. Any thread.
 */
#ifndef PASSWORD_DATABASE_H
#define PASSWORD_DATABASE_H

#include <keywright/keywright.h>

struct databases;

/* Makes the certificates that are missing, and opens the present keys. Names are borrowed. */
KW_MUST_USE kw_status databases_open(kw_context *context, const char *const *names, size_t count,
                                     struct databases **databases, kw_error *error);
/* NULL is allowed. Before kw_close. */
void databases_close(struct databases *databases);

bool databases_has(const struct databases *databases, const char *name);
/* The present one, for clients. */
KW_MUST_USE kw_status databases_certificate(struct databases *databases, const char *name, kw_bytes *pem,
                                            kw_error *error);
/*
 * The key of the certificate with this SHA-256 (hex). It lives as long as the databases. KW_NOT_FOUND: the database has no such certificate. Where
 * the key is open already no store is asked.
 */
KW_MUST_USE kw_status databases_key(struct databases *databases, const char *name, const char *sha256, kw_key **key,
                                    kw_error *error);

#endif
