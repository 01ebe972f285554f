/*
 * The catalogue: what exists. Entries (what a server uses: `database/sales`), their certificates (each with the place of its key), records
 * of stores, roots of master keys, and a journal of what is under way. Every row carries an HMAC-SHA256 under a key derived from the catalogue key, over
 * the table's name, the row's id, its generation and its content: a row that does not verify is KW_CORRUPT, names itself,
 * and leaves all others usable.
 *
 * Any thread, any number of processes. Nothing here calls up. A transaction belongs to the thread that began it; other writers wait
 * for it, readers do not, and see what was there before it. No plugin is called while one is open: a plugin's records would wait for it
 * for ever. Nothing else may open and close catalogue.db in the same process: that would drop SQLite's locks.
 *
 * Errors of every function: KW_CORRUPT, KW_UNAVAILABLE (locked for longer than the time-out, disk full or unreadable), KW_PERMISSION
 * (naming the file and the right that is missing), KW_OUT_OF_MEMORY. Of those that write also KW_CONFLICT: a row that is referred to
 * (a certificate's entry, an entry's current certificate) is not there at the end of the transaction; and KW_INVALID_ARGUMENT.
 */
#ifndef KEYWRIGHT_CATALOGUE_CATALOGUE_H
#define KEYWRIGHT_CATALOGUE_CATALOGUE_H

#include "base/id.h"
#include "base/log.h"

struct catalogue;

#define CATALOGUE_SCHEMA_VERSION 3u
#define CATALOGUE_FILE           "catalogue.db"

/*
 * Opens the catalogue in the state directory. With `create`, makes what is missing, the directory too (safe from several processes at
 * once); else KW_NOT_FOUND when there is none. Rights are looked at now, not at the first write: KW_PERMISSION, and nothing is left
 * behind. `key` is the catalogue key (KW_CONFIGURATION under 16 bytes), of which a copy is kept in locked memory. A wrong one is
 * KW_SECRET_REFUSED, told from damage by a check value. Another schema is KW_UNSUPPORTED, naming both versions. Borrows crypto and
 * log.
 */
KW_MUST_USE kw_status catalogue_open(struct crypto *crypto, const char *state_directory, kw_input key, bool create,
                                     const struct log *log, struct catalogue **catalogue, kw_error *error);
void catalogue_close(struct catalogue *catalogue);
/* "sqlite PATH". */
const char *catalogue_description(const struct catalogue *catalogue);
unsigned catalogue_schema_version(const struct catalogue *catalogue);

/* 32 bytes, HKDF-Expand(catalogue key, label || context): for what else hangs on the catalogue key. `label` is never one of the rows'. */
KW_MUST_USE kw_status catalogue_derive(const struct catalogue *catalogue, const char *label, kw_input context,
                                       unsigned char out[SHA256_LENGTH], kw_error *error);

/*
 * Before a fork: waits for the transaction under way and closes the connections, since SQLite's account of its locks must not be
 * inherited. After: lets go; either side opens new ones at its next use. In a child of a fork without this, or in the middle of
 * the forking thread's own transaction, every call is KW_UNAVAILABLE and catalogue_close only frees memory.
 */
void catalogue_fork_prepare(struct catalogue *catalogue);
void catalogue_fork_parent(struct catalogue *catalogue);
void catalogue_fork_child(struct catalogue *catalogue);

/*
 * Writes from begin to commit are one. begin waits for other writers (up to 30 s). A commit that fails has rolled back. rollback does
 * nothing when this thread has begun none. Generations that calls of a transaction have set are void when it is rolled back.
 */
KW_MUST_USE kw_status catalogue_begin(struct catalogue *catalogue, kw_error *error);
KW_MUST_USE kw_status catalogue_commit(struct catalogue *catalogue, kw_error *error);
void catalogue_rollback(struct catalogue *catalogue);

/* ---- Entries and certificates ------------------------------------------------------------------ */

enum entry_state { ENTRY_IN_USE = 1, ENTRY_RETIRED = 2 };

struct entry_row {
    struct id id;        /* the master id or certificate id: survives transfer, export and import */
    uint64_t generation; /* set by the catalogue: 1 on insert, one more on each update */
    char *address;       /* unique */
    enum entry_state state;
    char **databases; /* that it belongs to or serves: names, each once; sorted when written */
    size_t database_count;
    struct id certificate; /* the current one; zero: none */
    int64_t created;
};

struct certificate_row {
    struct id id;
    uint64_t generation;
    struct id entry;
    unsigned number; /* within the entry, from 1 */
    struct id key_id;
    char *store_id;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    size_t locator_length;
    kw_bytes chain; /* DER certificates one behind the other: its own first */
    char *key;      /* rsa-3072, ... */
    int64_t created;
};

void entry_row_clear(struct entry_row *row);
void certificate_row_clear(struct certificate_row *row);

KW_MUST_USE kw_status catalogue_entry_insert(struct catalogue *catalogue, struct entry_row *row,
                                             kw_error *error); /* KW_EXISTS */
/* Only while the stored generation is row->generation, else KW_CONFLICT; increments it. */
KW_MUST_USE kw_status catalogue_entry_update(struct catalogue *catalogue, struct entry_row *row, kw_error *error);
/* Deletions: KW_NOT_FOUND. They do not verify the row, since this is how one that does not is removed. */
KW_MUST_USE kw_status catalogue_entry_delete(struct catalogue *catalogue, const struct id *id, kw_error *error);
/* Likewise the entry with this address, and all certificates that say they are its. */
KW_MUST_USE kw_status catalogue_entry_drop(struct catalogue *catalogue, const char *address, kw_error *error);
KW_MUST_USE kw_status catalogue_entry_get(struct catalogue *catalogue, const char *address, struct entry_row *row,
                                          kw_error *error); /* KW_NOT_FOUND */
KW_MUST_USE kw_status catalogue_entry_get_by_id(struct catalogue *catalogue, const struct id *id, struct entry_row *row,
                                                kw_error *error); /* KW_NOT_FOUND */

KW_MUST_USE kw_status catalogue_certificate_insert(struct catalogue *catalogue, struct certificate_row *row,
                                                   kw_error *error);
KW_MUST_USE kw_status catalogue_certificate_update(struct catalogue *catalogue, struct certificate_row *row,
                                                   kw_error *error);
KW_MUST_USE kw_status catalogue_certificate_delete(struct catalogue *catalogue, const struct id *id, kw_error *error);
KW_MUST_USE kw_status catalogue_certificate_get(struct catalogue *catalogue, const struct id *id,
                                                struct certificate_row *row, kw_error *error);
/* The one with this number in an entry. */
KW_MUST_USE kw_status catalogue_certificate_get_number(struct catalogue *catalogue, const struct id *entry,
                                                       unsigned number, struct certificate_row *row, kw_error *error);
/* The one with the highest number in an entry; KW_NOT_FOUND when it has none. */
KW_MUST_USE kw_status catalogue_certificate_get_last(struct catalogue *catalogue, const struct id *entry,
                                                     struct certificate_row *row, kw_error *error);
/* Whether some certificate's key is this one; one that does not verify counts. */
KW_MUST_USE kw_status catalogue_key_in_use(struct catalogue *catalogue, const char *store_id, kw_input locator,
                                           bool *in_use, kw_error *error);

/* All certificates of one key, by entry, then number; free each, then the array. One that does not verify is KW_CORRUPT. */
KW_MUST_USE kw_status catalogue_certificates_of_key(struct catalogue *catalogue, const char *store_id, kw_input locator,
                                                    struct certificate_row **rows, size_t *count, kw_error *error);

/*
 * All at once, as one consistent picture; rows that do not verify are left out and reported to `corrupt` (NULL: the call fails instead).
 * It is called before the function returns, without locks. Certificates of an entry that is left out are there.
 */
struct catalogue_snapshot {
    struct entry_row *entries; /* by address */
    size_t entry_count;
    struct certificate_row *certificates; /* by entry, then number */
    size_t certificate_count;
};
typedef void (*catalogue_corrupt)(void *user, const kw_error *error);
KW_MUST_USE kw_status catalogue_snapshot_read(struct catalogue *catalogue, catalogue_corrupt corrupt, void *user,
                                              struct catalogue_snapshot *snapshot, kw_error *error);
void catalogue_snapshot_clear(struct catalogue_snapshot *snapshot);

/* ---- Roots of master keys ----------------------------------------------------------------------- */

/* A state only moves forward. */
enum root_state { ROOT_ACTIVE = 1, ROOT_DECRYPT_ONLY = 2, ROOT_RETIRED = 3 };

#define ROOT_WRAPS_MAXIMUM     65536u
#define ROOT_SIGNATURE_MAXIMUM 4096u
#define ROOT_VERSION_MAXIMUM   1000000u

struct root_row {
    struct id id;
    uint64_t generation;
    struct id master; /* entry */
    uint32_t version; /* from 1, without gaps */
    enum root_state state;
    unsigned char spki[SHA256_LENGTH]; /* of the key that it is signed with */
    kw_bytes wraps;                    /* subkey/root_record.h */
    char *scheme;                      /* of the signature */
    kw_bytes signature;
    uint32_t resealed; /* what was sealed under it was sealed anew under this version; 0: not yet */
    int64_t created;
};

void root_row_clear(struct root_row *row);
KW_MUST_USE kw_status catalogue_root_insert(struct catalogue *catalogue, struct root_row *row,
                                            kw_error *error); /* KW_EXISTS */
/*
 * Only while the stored generation is row->generation, else KW_CONFLICT; increments it. KW_REFUSED: another master or version, or a state
 * or re-seal that goes back.
 */
KW_MUST_USE kw_status catalogue_root_update(struct catalogue *catalogue, struct root_row *row, kw_error *error);
/* All of a master key, by version; free each, then the array. One that does not verify, or a gap in the versions, is KW_CORRUPT. */
KW_MUST_USE kw_status catalogue_roots_read(struct catalogue *catalogue, const struct id *master, struct root_row **rows,
                                           size_t *count, kw_error *error);
void catalogue_roots_free(struct root_row *rows, size_t count);
/* All of a master key, verified or not; none is fine. Before its entry goes. */
KW_MUST_USE kw_status catalogue_roots_drop(struct catalogue *catalogue, const struct id *master, kw_error *error);

/* ---- Stores known to the catalogue -------------------------------------------------------------- */

/* Notes that a store with this id exists, and its plugin. KW_REFUSED when the id is known with another plugin. */
KW_MUST_USE kw_status catalogue_store_register(struct catalogue *catalogue, const char *store_id, const char *plugin,
                                               kw_error *error);

/* ---- Records of stores: the services of plugin.h ------------------------------------------------ */

/*
 * As plugin.h says; for any store id. Names have 1 to KW_RECORD_NAME_MAXIMUM bytes. put and delete work on a record that does not verify,
 * and so mend or remove it; get and swap are KW_CORRUPT. next gives names as they stand, verified by nobody, so that one bad record
 * does not end the list: get tells.
 */
KW_MUST_USE kw_status catalogue_record_get(struct catalogue *catalogue, const char *store_id, kw_input name,
                                           kw_output *value, kw_error *error);
KW_MUST_USE kw_status catalogue_record_put(struct catalogue *catalogue, const char *store_id, kw_input name,
                                           kw_input value, kw_error *error);
KW_MUST_USE kw_status catalogue_record_swap(struct catalogue *catalogue, const char *store_id, kw_input name,
                                            kw_input expected, kw_input value, kw_error *error);
KW_MUST_USE kw_status catalogue_record_delete(struct catalogue *catalogue, const char *store_id, kw_input name,
                                              kw_error *error);
KW_MUST_USE kw_status catalogue_record_next(struct catalogue *catalogue, const char *store_id, kw_input prefix,
                                            kw_input after, kw_output *name, kw_error *error);

/* ---- Journal: what is under way, so that what a crash leaves is found --------------------------- */

enum journal_operation {
    JOURNAL_CREATE_KEY = 1, /* a key on its way into `store_id` */
    JOURNAL_DELETE_KEY = 2, /* out of it */
    JOURNAL_MOVE_KEY = 3,   /* the same as the first, of a transfer: `locator` is where the key still is */
    JOURNAL_LEAVE_KEY = 4   /* the same as the second, once nobody uses what a transfer left behind */
};

struct journal_row {
    struct id id;
    uint64_t generation;
    struct id owner; /* of the context whose lock says that it is still at work */
    enum journal_operation operation;
    char *address; /* for people */
    char *store_id;
    struct id key_id;
    unsigned char locator[KW_LOCATOR_MAXIMUM]; /* where it is known */
    size_t locator_length;
    int64_t created;
};

void journal_row_clear(struct journal_row *row);
KW_MUST_USE kw_status catalogue_journal_insert(struct catalogue *catalogue, struct journal_row *row, kw_error *error);
KW_MUST_USE kw_status catalogue_journal_delete(struct catalogue *catalogue, const struct id *id, kw_error *error);
/* All rows; free each, then the array. Rows that do not verify as in the snapshot. */
KW_MUST_USE kw_status catalogue_journal_read(struct catalogue *catalogue, catalogue_corrupt corrupt, void *user,
                                             struct journal_row **rows, size_t *count, kw_error *error);

#endif
