/*
 * All roots of a master key in memory at once, for those who give it another key or move the one that it has: unwrapped by what it has now, or by the recovery
 * key; proved and wrapped anew for what comes; written in the transaction that makes the change.
 */
#ifndef KEYWRIGHT_SUBKEY_ROOT_SET_H
#define KEYWRIGHT_SUBKEY_ROOT_SET_H

#include "subkey/root.h"

#include <openssl/types.h>

struct root_set;
/* NULL is allowed. */
void root_set_free(struct root_set *set);
/* How many versions there are, retired or not. */
uint32_t root_set_versions(const struct root_set *set);
/* How many are not retired. */
size_t root_set_count(const struct root_set *set);

/*
 * Verifies and unwraps all that are not retired by the present key: one call to the store each. A master key without any gives an empty set, which is held against the
 * catalogue as any other. Errors as root_load.
 */
KW_MUST_USE kw_status root_set_load(const struct root_place *place, const struct id *master, struct root_set **set,
                                    kw_error *error);
/*
 * The same by the private key of the recovery certificate, without the store of the master key: signatures are verified against the present certificate. KW_REFUSED:
 * a root is not wrapped to it, which is named.
 */
KW_MUST_USE kw_status root_set_recover(const struct root_place *place, const struct id *master, EVP_PKEY *recovery,
                                       struct root_set **set, kw_error *error);

/*
 * Wraps all to another key, signs them by it, and has its store unwrap each again. `chain`: its certificate, DER; `key` may be the handle that the certificate was
 * made with. KW_UNSUPPORTED: such a key cannot have roots.
 */
KW_MUST_USE kw_status root_set_rewrap(const struct root_place *place, struct root_set *set, kw_key *key, kw_input chain,
                                      kw_error *error);
/*
 * The same for the present key at another place: what it can undo there is left as it is, and only proved. KW_CORRUPT: another root comes out.
 */
KW_MUST_USE kw_status root_set_prove(const struct root_place *place, struct root_set *set, kw_key *key, kw_input chain,
                                     kw_error *error);
/* ---- Roots that travel in a file beside their master key ---- */

/* The rows of a master key as bytes (docs/pfx.md); length 0: it has none. No call to a store. */
KW_MUST_USE kw_status root_records_write(const struct root_place *place, const struct id *master, kw_bytes *records,
                                         kw_error *error);
/*
 * Back from bytes: verified by the key with this certificate, which has arrived here, and unwrapped by it (one call to its store each). root_set_write inserts them. KW_CORRUPT:
 * malformed, of another master key, or not signed by the key.
 */
KW_MUST_USE kw_status root_set_read(const struct root_place *place, const struct id *master, const char *address,
                                    kw_input records, kw_key *key, kw_input chain, struct root_set **set,
                                    kw_error *error);
/*
 * Where the master key is here already: `set` (of the file) becomes what is to be written beside `here` (of root_set_load), which must stay until then. KW_EXISTS: another root is here under
 * the same version.
 */
KW_MUST_USE kw_status root_set_join(struct root_set *set, const struct root_set *here, kw_error *error);

/* Within the caller's transaction. KW_CONFLICT: a root was made, or changed, since they were read. After the commit: root_set_note. */
KW_MUST_USE kw_status root_set_write(const struct root_place *place, struct root_set *set, kw_error *error);
void root_set_note(const struct root_place *place, const struct root_set *set);

#endif
