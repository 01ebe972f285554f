/*
 * Roots: for each master key and version 32 random bytes, wrapped to the master key and signed by it, in the catalogue's table `root`. root.c makes,
 * verifies and unwraps one; what keeps them in memory is keyring.h.
 */
#ifndef KEYWRIGHT_SUBKEY_ROOT_H
#define KEYWRIGHT_SUBKEY_ROOT_H

#include "base/secret.h"
#include "catalogue/catalogue.h"
#include "store/key.h"
#include "subkey/derive.h"

/* What the functions here work on; all borrowed. `stores` are those in force. */
struct root_place {
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct control *control;
    struct stores *stores;
    const struct settings *settings;
    const struct log *log;
};

/*
 * The version for new work, from the catalogue alone: no call to a store. KW_NOT_FOUND: the master key has no root yet. KW_CORRUPT: a row does not verify, or
 * is older than what this server has seen.
 */
KW_MUST_USE kw_status root_active(const struct root_place *place, const struct id *master, uint32_t *version,
                                  kw_error *error);
/*
 * Makes version 1 where there is none, else the next one, which becomes the active one: makes, wraps (to the recovery certificate too, where there is one),
 * signs and writes it. `version` is the active one afterwards, which another process may have made (`after`: the active version that the caller
 * knows, 0 for none; where there is a newer one already nothing is made). Calls the store.
 */
KW_MUST_USE kw_status root_make(const struct root_place *place, const struct id *master, uint32_t after,
                                uint32_t *version, kw_error *error);
/*
 * Verifies (row, signature against the public key that the store tells, high-water mark) and unwraps: one private operation of the store. Errors: KW_NOT_FOUND (no such version, or it is
 * retired, which the sentence tells), KW_CORRUPT, KW_UNSUPPORTED, and whatever the store answers.
 */
KW_MUST_USE kw_status root_load(const struct root_place *place, const struct id *master, uint32_t version,
                                struct secret *root, kw_error *error);
/*
 * Whether the version may open data, from the catalogue alone: KW_OK when it is active or decrypt-only, KW_NOT_FOUND as root_load says it. KW_CORRUPT as root_active.
 */
KW_MUST_USE kw_status root_check(const struct root_place *place, const struct id *master, uint32_t version,
                                 kw_error *error);
/*
 * Whether the catalogue says that the version opens nothing any more: it is retired, or the master key was deleted. What that cannot be read from, or is older than
 * what this server has seen, is an error: an empty catalogue, or none, says nothing.
 */
KW_MUST_USE kw_status root_is_over(const struct root_place *place, const struct id *master, uint32_t version,
                                   bool *is_over, kw_error *error);
/* Notes in every version before this one that all that was sealed under it was sealed anew. */
KW_MUST_USE kw_status root_note_resealed(const struct root_place *place, const struct id *master, uint32_t version,
                                         kw_error *error);
/* Whether the configured recovery certificate, where there is one, can be read and encrypted to. KW_CONFIGURATION, with the setting's place. */
KW_MUST_USE kw_status root_check_recovery(struct crypto *crypto, const struct settings *settings, kw_error *error);
/* Whether a root that is not retired is not wrapped to the configured recovery certificate. KW_CONFIGURATION: that cannot be read. */
KW_MUST_USE kw_status root_lacks_recovery(const struct root_place *place, const struct id *master, bool *lacks,
                                          kw_error *error);
/* Whether there are roots that are not retired, and each is wrapped to a recovery certificate, be it the configured one or not. */
KW_MUST_USE kw_status root_all_recoverable(const struct root_place *place, const struct id *master, bool *all,
                                           kw_error *error);
/* What the catalogue says of each version, for people; `facts` is the caller's to free. No call to a store. */
struct root_fact {
    uint32_t version;
    enum root_state state;
    bool resealed, recoverable;
    int64_t created;
};
KW_MUST_USE kw_status root_facts(const struct root_place *place, const struct id *master, struct root_fact **facts,
                                 size_t *count, kw_error *error);
/* The store that its key is in: for probes. */
KW_MUST_USE kw_status root_store(const struct root_place *place, const struct id *master, struct store **store,
                                 kw_error *error);

#endif
