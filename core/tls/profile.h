/* A connection of the configuration, and the SSL_CTX of a client that goes by it. */
#ifndef KEYWRIGHT_TLS_PROFILE_H
#define KEYWRIGHT_TLS_PROFILE_H

#include "certificate/manager.h"
#include "config/connections.h"
#include "tls/cause.h"
#include "tls/prelude.h"

struct profile {
    const struct connection_settings *settings; /* of the view */
    enum connection_mode mode;
    const struct prelude *prelude;
    bool is_address; /* the host */
    bool verifies; /* the path of the server's certificate; as libpq, `require` does too where authorities are named */
    bool verifies_host;
};

/* KW_NOT_FOUND, with the name that is nearest. */
KW_MUST_USE kw_status profile_find(kw_context *context, const char *name, struct profile *profile, kw_error *error);

/* An address in the settings that is none: KW_CONFIGURATION with its place. Reads no file. */
KW_MUST_USE kw_status profile_check_addresses(const struct settings *settings, kw_error *error);
/* The certificates and authorities that the settings name must be readable: KW_CONFIGURATION with the place. Keys, which may have a password, are not read. */
KW_MUST_USE kw_status profile_check_files(struct crypto *crypto, const struct settings *settings, kw_error *error);

/*
 * Versions, client certificate and key, ALPN; of verification that there is one. `*cause` (NULL is allowed) says what the error is about; it stays
 * what it was where that is no file of the profile, but a store or memory.
 */
KW_MUST_USE kw_status profile_context(kw_context *context, const struct profile *profile, const struct cause **cause,
                                      SSL_CTX **tls, kw_error *error);
/* NULL is allowed. */
void profile_context_free(SSL_CTX *tls);

#endif
