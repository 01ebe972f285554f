/*
 * Who bears an identity: gives it to each connection of an SSL_CTX, and finds out when there is a newer one. Lives as long as the SSL_CTX. No
 * mutex: the process may fork at any time.
 */
#ifndef KEYWRIGHT_TLS_BEARER_H
#define KEYWRIGHT_TLS_BEARER_H

#include "tls/identity.h"
#include <openssl/ssl.h>

struct bearer;

/* With its first identity, or the reason why it cannot be had. `context` is a view; `read` is given its whole. */
KW_MUST_USE kw_status bearer_new(kw_context *context, const char *address, enum identity_use use, identity_reader read,
                                 struct bearer **bearer, kw_error *error);
/* NULL is allowed. No handshake may be under way. */
void bearer_free(struct bearer *bearer);

/* For SSL_CTX_set_cert_cb, with the bearer as its argument. */
int bearer_present(SSL *connection, void *user);

#endif
