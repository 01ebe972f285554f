/* What the files of roots share: root.c, root_key.c, root_rows.c. */
#ifndef KEYWRIGHT_SUBKEY_ROOT_PRIVATE_H
#define KEYWRIGHT_SUBKEY_ROOT_PRIVATE_H

#include "subkey/root.h"
#include "subkey/root_wrap.h"

#include <openssl/x509.h>

/* ---- root_key.c: a master key's current key ---- */

struct root_key {
    struct entry_row entry;
    struct certificate_row certificate; /* the current one */
    struct store *store;
    struct wrap_key wrap; /* of the certificate's key, where it is now; follows a transfer */
};
/* Zero-initialise `key`. KW_REFUSED: the entry is no master key. */
KW_MUST_USE kw_status root_key_open(const struct root_place *place, const struct id *master, struct root_key *key,
                                    kw_error *error);
void root_key_clear(struct root_key *key);
/* The first certificate of a chain as the catalogue has it, and the SHA-256 of its SubjectPublicKeyInfo. */
KW_MUST_USE kw_status root_certificate_read(struct crypto *crypto, kw_input chain, X509 **certificate,
                                            unsigned char spki[SHA256_LENGTH], kw_error *error);
/* KW_UNSUPPORTED: such a key cannot have roots. */
KW_MUST_USE kw_status root_key_check(const struct root_key *key, kw_error *error);

/* ---- root_rows.c: the rows of one master key ---- */

struct root_rows {
    struct root_row *rows; /* by version: rows[n] is version n + 1 */
    size_t count;
};
/* KW_CORRUPT: a row does not verify, or they are older than what this server has seen. Notes what it has seen: not within a transaction that writes. */
KW_MUST_USE kw_status root_rows_read(const struct root_place *place, const struct id *master, struct root_rows *rows,
                                     kw_error *error);
/* The same and notes nothing: within a transaction. */
KW_MUST_USE kw_status root_rows_look(const struct root_place *place, const struct id *master, struct root_rows *rows,
                                     kw_error *error);
/* After a commit that changed them. */
void root_rows_note(const struct root_place *place, const struct id *master);
void root_rows_clear(struct root_rows *rows);
/* The active one; NULL: there is none. */
struct root_row *root_rows_active(const struct root_rows *rows);

/* Wraps `root` for `key`, and signs: fills spki, wraps, scheme and signature of a row that has its master id and version. */
KW_MUST_USE kw_status root_row_make(const struct root_place *place, const struct root_key *key, kw_input root,
                                    struct root_row *row, kw_error *error);
/* KW_CORRUPT unless it is signed by `key`, which is the one that the store has. */
KW_MUST_USE kw_status root_row_check(const struct root_key *key, const struct root_row *row, kw_error *error);
/* Verified before; one call to the store. */
KW_MUST_USE kw_status root_row_unwrap(const struct root_place *place, const struct root_key *key,
                                      const struct root_row *row, struct secret *root, kw_error *error);
/* Puts the master key's address and the version before what happened. */
void root_blame(const struct entry_row *entry, uint32_t version, kw_error *error);

#endif
