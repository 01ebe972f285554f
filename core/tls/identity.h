/* What a side of a TLS connection shows of itself: a certificate with its chain, and its key in a store. Never changed once it is made. */
#ifndef KEYWRIGHT_TLS_IDENTITY_H
#define KEYWRIGHT_TLS_IDENTITY_H

#include "certificate/manager.h"

enum identity_use { IDENTITY_OF_SERVER, IDENTITY_OF_CLIENT };

struct identity {
    struct id certificate; /* of the catalogue's row */
    X509 *leaf;
    STACK_OF(X509) *chain; /* its issuers, without the leaf */
    EVP_PKEY *key;
    struct identity *next; /* bearer.h's */
};
void identity_free(struct identity *identity);

struct identity_wanted {
    const char *address;
    enum identity_use use;
    const struct id
        *known; /* when the entry's certificate is still this one, it is not read: `*identity` becomes NULL */
};

/*
 * Under one configuration. KW_REFUSED: not of this use; KW_UNSUPPORTED: the key cannot sign; and as manager_find and
 * manager_open_key.
 */
KW_MUST_USE kw_status identity_read(kw_context *context, const struct identity_wanted *wanted,
                                    struct identity **identity, kw_error *error);
/* The same with the configuration that is in force when it is called; `whole` is no view. The floor above has it. */
typedef kw_status (*identity_reader)(kw_context *whole, const struct identity_wanted *wanted,
                                     struct identity **identity, kw_error *error);

#endif
