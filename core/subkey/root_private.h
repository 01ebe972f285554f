/* What the files of roots share: root.c, root_key.c, root_rows.c. */
#ifndef KEYWRIGHT_SUBKEY_ROOT_PRIVATE_H
#define KEYWRIGHT_SUBKEY_ROOT_PRIVATE_H

#include "subkey/root.h"
#include "subkey/root_set.h"
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
/* KW_UNSUPPORTED: such a key of `address` cannot have roots. */
KW_MUST_USE kw_status root_key_check(const struct wrap_key *key, const char *address, kw_error *error);

/* ---- root_recovery.c: a certificate whose private key is kept elsewhere ---- */

/* Of the configured certificate; `key` NULL: none is configured. KW_CONFIGURATION. Free the key. */
KW_MUST_USE kw_status recovery_open(const struct root_place *place, struct wrap_key *recovery, kw_error *error);
/* Its private key, had back. */
struct recovery_key {
    EVP_PKEY *private;
    unsigned char spki[SHA256_LENGTH];
};

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

/*
 * Wraps `root` to `key` (and to the recovery certificate, where one is configured) and signs by it: fills spki, wraps, scheme and signature of a row that has its
 * master id and version. With `keep`, what is wrapped to the same key in other ways stays beside it.
 */
KW_MUST_USE kw_status root_row_make(const struct root_place *place, const struct wrap_key *key, kw_input root,
                                    bool keep, struct root_row *row, kw_error *error);
/* KW_CORRUPT unless it is signed by `key`, which is the one that the store has. */
KW_MUST_USE kw_status root_row_check(const struct wrap_key *key, const struct root_row *row, kw_error *error);
/* Verified before; one call to the store. */
KW_MUST_USE kw_status root_row_unwrap(const struct root_place *place, const struct wrap_key *key,
                                      const struct root_row *row, struct secret *root, kw_error *error);
/* Whether it is wrapped in a way that the key can undo where it is; no call. */
bool root_row_can_unwrap(const struct wrap_key *key, const struct root_row *row);
/* Verified before. KW_REFUSED: it is not wrapped to this key. */
KW_MUST_USE kw_status root_row_recover(const struct root_place *place, const struct recovery_key *recovery,
                                       const struct root_row *row, struct secret *root, kw_error *error);
/* Whether it is wrapped to this certificate's key for recovery. */
bool root_row_is_recoverable(const struct root_row *row, const unsigned char spki[SHA256_LENGTH]);
/* Puts the master key's address and the version before what happened. */
void root_blame(const struct entry_row *entry, uint32_t version, kw_error *error);

/* ---- root_set.c, for root_travel.c ---- */

struct root_set {
    struct entry_row entry;
    unsigned char spki[SHA256_LENGTH]; /* of the certificate that they were signed with */
    struct root_rows rows;
    struct secret *roots; /* one for each row; empty: it is retired */
    bool *changed;        /* the row is to be written */
};

/* Verifies and unwraps all that are not retired: `recovery` NULL: by the key itself. */
KW_MUST_USE kw_status root_set_unwrap(const struct root_place *place, struct root_set *set, const struct wrap_key *key,
                                      const struct recovery_key *recovery, kw_error *error);
/* Borrows `key`, which must be the certificate's. */
KW_MUST_USE kw_status root_set_key(const struct root_place *place, kw_key *key, kw_input chain, struct wrap_key *wrap,
                                   kw_error *error);

#endif
