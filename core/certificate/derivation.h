/* Keys of certificates that are derived from a master key (B2): which are, from which, and how one comes to be. */
#ifndef KEYWRIGHT_CERTIFICATE_DERIVATION_H
#define KEYWRIGHT_CERTIFICATE_DERIVATION_H

#include "certificate/manager.h"
#include "subkey/derived.h"

/* Of a new key. `key` NULL: it is not derived. */
struct derivation {
    const char *key; /* ec-p256, ...: lives for ever */
    struct id master;
    char address[ADDRESS_TEXT_MAXIMUM + 1]; /* of the master key */
};

/*
 * Whether the key of a new certificate is derived: asked for by `wanted`, or by rule, for kinds that are served by their database's master key, where that
 * is in an HSM and nothing asks for a store or for another key. `asked` is the key that command or settings want, NULL: none; `store` likewise. Errors:
 * KW_REFUSED (the kind is none of those; several master keys; one that does not serve the database, or is retired; `asked` cannot be derived),
 * KW_NOT_FOUND (no master key), KW_INVALID_ARGUMENT.
 */
KW_MUST_USE kw_status derivation_choose(kw_context *context, const kw_certificate_template *wanted,
                                        const struct kind *kind, const struct address *address, const char *asked,
                                        const char *store, struct derivation *derivation, kw_error *error);

/* The key from the present version of the master key's root, of which the first is made here. Nothing is journalled: nothing is stored. */
KW_MUST_USE kw_status derivation_begin(kw_context *context, const struct derivation *derivation,
                                       struct key_arrival *arrival, kw_error *error);

/* Within the transaction that places it: that its root was not retired meanwhile, which nothing held it from until now. KW_OK for other keys. */
KW_MUST_USE kw_status derivation_check(kw_context *context, const struct key_arrival *arrival, kw_error *error);

/* Whether a certificate's key is derived, and if so, whence. A locator that cannot be read: a zero id. */
bool derivation_of(const struct certificate_row *row, struct derived_locator *locator);
/* The address of the entry with this id, NULL: there is none. */
const char *derivation_master(const struct catalogue_snapshot *snapshot, const struct id *master);

/* Refuses to put a key into the store `derived`, by name or id: KW_REFUSED. KW_OK for any other store, and NULL. */
KW_MUST_USE kw_status derivation_refuse_store(const char *store, kw_error *error);

#endif
