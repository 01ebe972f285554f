/* One side of TLS, server or client: the SSL_CTX that both begin with, and what hangs on it. */
#ifndef KEYWRIGHT_TLS_SIDE_H
#define KEYWRIGHT_TLS_SIDE_H

#include "tls/bearer.h"

/* Freed with the SSL_CTX, but for crypto. */
struct side {
    struct crypto *crypto; /* lives longer than the SSL_CTX */
    bool is_client;
    struct bearer *bearer; /* NULL: shows no certificate */
};

/* TLS 1.2 at least, and so on: as tls.h says. SSL_CTX_free frees it; within the library side_free_context, where NULL is allowed. */
KW_MUST_USE kw_status side_new(struct crypto *crypto, const SSL_METHOD *method, SSL_CTX **context, struct side **side,
                               kw_error *error);
void side_free_context(SSL_CTX *context);
/* Shows this certificate from now on. */
KW_MUST_USE kw_status side_bear(SSL_CTX *context, struct side *side, kw_context *view, const char *address,
                                identity_reader read, kw_error *error);
/* NULL: the SSL_CTX is none of ours. */
struct side *side_of(const SSL_CTX *context);

/* kw_tls_server and kw_tls_client, as they run under one configuration; `view` of a client may be NULL. */
KW_MUST_USE kw_status tls_server(kw_context *view, const kw_tls_server_options *given, identity_reader read,
                                 SSL_CTX **tls, kw_error *error);
KW_MUST_USE kw_status tls_client(kw_context *view, const kw_tls_client_options *given, identity_reader read,
                                 SSL_CTX **tls, kw_error *error);

#endif
