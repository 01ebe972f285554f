/*
 * The certificate manager: what kw_context is made of, and the steps that its verbs share. context.c puts a kw_context together;
 * create.c, list.c, transfer of files (import.c, export.c), remove.c and cms.c define the public functions on it.
 */
#ifndef KEYWRIGHT_CERTIFICATE_MANAGER_H
#define KEYWRIGHT_CERTIFICATE_MANAGER_H

#include "base/run_lock.h"
#include "certificate/kinds.h"
#include "certificate/x509.h"
#include "control/control.h"
#include "store/key.h"
#include "subkey/derived.h"
#include "subkey/keyring.h"
#include "subkey/secret.h"

#include <pthread.h>

struct root_set;

/* Who this process is in the journal. */
struct journal_owner {
    pthread_mutex_t mutex; /* guards the rest */
    struct id id;
    struct run_lock *lock;
    long process; /* that took the lock: a forked child makes an owner of its own before it writes the journal */
};

/*
 * A context, or one call's view of it, whose settings and stores stay the same while it lasts. What works on a context below context.h gets a
 * view.
 */
struct kw_context {
    struct log log;
    kw_prompt_callback prompt;
    void *prompt_user;
    struct settings *settings;
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct stores *stores;
    struct control *control; /* what the processes of this state tell each other */
    struct keyring *keyring; /* roots and subkeys in memory */
    struct journal_owner *owner;
    void (*renew)(void *whole);            /* takes a configuration that the process was told of; for keys' origins */
    const struct derived_service *derived; /* what derived keys are made of: of the context */
    struct secret_keeper *secrets;         /* secrets of stores that are subkeys: of the context */
    struct kw_context *whole; /* of a view: the context; NULL in the context itself, which alone has what follows */
    char *file;               /* of the configuration, as it was opened */
    unsigned users;           /* the program, and those of the module; guarded by contexts.c, as what is next */
    bool claimed;             /* by the program */
    _Atomic(struct callbacks *) callbacks; /* of contexts.c */
    struct kw_context *next;               /* in the process's list of open contexts, for forks */
    pthread_mutex_t present;               /* guards settings and stores, which a reload replaces */
    struct derived_service derivation;
    struct secret_keeper keeper;
    struct secret_service subkeys;
    atomic_bool reloading;               /* in some thread */
    atomic_uint_least64_t configuration; /* the number of the one in force, as in control.h */
};

/* A certificate with its entry, found by address. */
struct found {
    struct address address;
    const struct kind *kind;
    struct entry_row entry;
    struct certificate_row certificate;
    uint64_t generation; /* of before it was read */
};
void found_clear(struct found *found);
/* Errors: KW_INVALID_ARGUMENT, KW_NOT_FOUND (with what there is that is near). */
KW_MUST_USE kw_status manager_find(kw_context *context, const char *address, struct found *found, kw_error *error);
/* The same for who wants its roots: KW_REFUSED when it is no master key, KW_INVALID_ARGUMENT with a certificate's number. */
KW_MUST_USE kw_status manager_find_master(kw_context *context, const char *address, struct found *found,
                                          kw_error *error);
/* Its key, opened; it is found again after a transfer. */
KW_MUST_USE kw_status manager_open_key(kw_context *context, const struct found *found, kw_key **key, kw_error *error);

/* The same without the guards that keep a master key's handle from being an oracle: for the library's own use of roots. */
KW_MUST_USE kw_status manager_open_key_plain(kw_context *context, const struct found *found, kw_key **key,
                                             kw_error *error);

/* Makes of a handle what the certificate says of its key: an RSA key for PSS alone. Before the handle is shared. As key_limit. */
KW_MUST_USE kw_status key_limit_as(kw_key *key, X509 *certificate, kw_error *error);

/* Which store a new key goes to: `store`, else the certificate's setting, else its database's, else the default. Name. */
KW_MUST_USE kw_status manager_choose_store(kw_context *context, const struct kind *kind, const struct address *address,
                                           const char *store, const char *const *databases, size_t database_count,
                                           const char **chosen, kw_error *error);

/* KW_REFUSED: the store could not be opened any more if a master key's key were in it, since that opens it. KW_OK for other addresses. */
KW_MUST_USE kw_status manager_check_circle(kw_context *context, const char *address, const char *store_id,
                                           kw_error *error);

/* The subject's common name that a kind's certificate has here. */
#define COMMON_NAME_SIZE 768
void manager_common_name(kw_context *context, const struct kind *kind, const struct address *address,
                         char name[COMMON_NAME_SIZE]);

/* KW_OK when the private key behind the handle really is the certificate's: it signs or decrypts something new. Limits the handle as the certificate says. */
KW_MUST_USE kw_status key_prove(kw_context *context, kw_key *key, X509 *certificate, kw_error *error);

/* KW_NOT_FOUND unless the database's entry is in use; `needing` says whose need it is. */
KW_MUST_USE kw_status manager_require_database(kw_context *context, const char *needing, const char *database,
                                               kw_error *error);

/*
 * A key on its way in: journalled before it exists; after key_arrival_settle it is the catalogue's, after key_arrival_abandon it is gone.
 * Zero-initialise.
 */
struct key_arrival {
    struct journal_row journal;
    bool journalled;
    struct store *store;
    struct id key_id;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    size_t locator_length;
    bool
        supersedes; /* manager_place: an entry that was there has this certificate now; after the commit, manager_tell_changed */
};
/* Generates, or imports when pkcs8 has bytes. */
KW_MUST_USE kw_status key_arrival_begin(kw_context *context, const char *address, struct store *store, const char *key,
                                        kw_input pkcs8, struct key_arrival *arrival, kw_error *error);
/* What it asks the store for; all but the id. KW_INVALID_ARGUMENT: there is no such key. */
KW_MUST_USE kw_status key_arrival_template(const char *address, const struct store *store, const char *key,
                                           kw_key_template *wanted, kw_error *error);
/* Imports the copy of a key that is at `from` in another store. KW_CONFLICT: somebody is moving it already. */
KW_MUST_USE kw_status key_arrival_move(kw_context *context, const char *address, struct store *store, const char *key,
                                       kw_input pkcs8, kw_input from, struct key_arrival *arrival, kw_error *error);
/* Within the caller's transaction: clears the journal row. */
KW_MUST_USE kw_status key_arrival_settle(kw_context *context, struct key_arrival *arrival, kw_error *error);
/* Deletes the key and the row, as far as it goes; what remains is recovery's. Not within a transaction. Nothing when there is nothing to do. */
void key_arrival_abandon(kw_context *context, struct key_arrival *arrival);

/* After the commit, or when a departure came to nothing: forgets it. */
void key_arrival_clear(struct key_arrival *arrival);

/*
 * A key on its way out. journal_own goes before the transaction, since it takes a lock between processes; begin is called within the transaction that takes the certificate from the catalogue; finish, after it, deletes the
 * key. What fails then is left for recovery.
 */
KW_MUST_USE kw_status journal_own(kw_context *context, kw_error *error);
KW_MUST_USE kw_status key_departure_begin(kw_context *context, const struct found *found, struct store *store,
                                          struct key_arrival *departure, kw_error *error);
/* The same for what a transfer leaves behind in `store`: finish then takes that nobody uses it any more. */
KW_MUST_USE kw_status key_departure_leave(kw_context *context, const char *address, const struct certificate_row *row,
                                          struct store *store, struct key_arrival *departure, kw_error *error);
/*
 * Whether the old copy of a key, at `locator` in `source`, may go: KW_OK when each certificate of `address` that has this key has it where the
 * catalogue says, and it does there all that it must, proved just now by a fresh handle; or when no certificate of it has the key any more.
 */
KW_MUST_USE kw_status successor_prove(kw_context *context, struct store *source, kw_input locator, const char *address,
                                      kw_error *error);
/* Leaves it to whoever opens the state next, also while this process lives. */
KW_MUST_USE kw_status key_departure_pass_on(kw_context *context, struct key_arrival *departure, kw_error *error);
KW_MUST_USE kw_status key_departure_finish(kw_context *context, struct key_arrival *departure, kw_error *error);

/* At open: finishes or removes what dead owners left in the journal. Never deletes a key that a certificate names. */
KW_MUST_USE kw_status journal_recover(kw_context *context, kw_error *error);

/* Adds to an entry the databases that it does not name yet; `added` tells how many. The row is not written. */
KW_MUST_USE kw_status entry_add_databases(struct entry_row *entry, const char *const *databases, size_t count,
                                          size_t *added, kw_error *error);

/*
 * Puts a certificate whose key has arrived into the catalogue, within the caller's transaction: makes its entry, or takes one that
 * is out of use into use again. KW_EXISTS when the entry is in use (for a former certificate: when its number is taken),
 * KW_NOT_FOUND when its database is not.
 */
struct placement {
    const struct address *address;
    const struct kind *kind;
    struct id entry; /* zero: a new one */
    const char *const *databases;
    size_t database_count;
    const char *key;
    kw_input chain;
    unsigned number;        /* 0: the next */
    bool former;            /* kept beside the current one, not in its place */
    bool retired;           /* the entry is out of use */
    bool replaces;          /* takes the place of the current certificate of an entry in use */
    struct root_set *roots; /* of a master key that gets another key: wrapped to it; NULL: it has none */
};
KW_MUST_USE kw_status manager_place(kw_context *context, const struct placement *placement, struct key_arrival *arrival,
                                    kw_error *error);

/* After a commit: all processes look again at what the certificates that they use have become. A failure is told to the log. */
void manager_tell_changed(kw_context *context);

/*
 * A certificate by the kind's rules, for a new key or one that is there: what kw_certificate_create, kw_rotate and kw_adopt have in common.
 * KW_CONFLICT: the entry has another certificate meanwhile; KW_EXISTS: the entry is in use, or a certificate has the key.
 */
struct making {
    const kw_certificate_template *wanted;
    const struct id
        *replaces;        /* the current certificate, whose place it takes; NULL: the entry is new, or out of use */
    kw_input adopted;     /* locator of a key in the wanted store; empty: a new key */
    kw_input certificate; /* DER, that the key has already; empty: a new one */
    kw_input like;        /* SubjectPublicKeyInfo of id-RSASSA-PSS, as whose the RSA key is certified; empty: as any */
    bool beside;          /* the store has another program's certificate beside the key, which stays */
    const char *recovery_key,
        *recovery_password; /* a master key's roots are had back by this file's key; NULL: by the present one */
};
KW_MUST_USE kw_status certificate_make(kw_context *context, const struct making *making, kw_error *error);

/* KW_EXISTS: a certificate has this very key, at this place, by way of another store. Whoever deleted one would delete the other. */
KW_MUST_USE kw_status key_check_no_other_way(kw_context *context, const struct store *store, kw_input locator,
                                             const kw_key *key, kw_error *error);
/*
 * Of keys that come from outside, within the caller's transaction. What keeps a master key's handle from being an oracle for its roots hangs on the kind, so a key is either
 * master keys' or others'. KW_REFUSED: a certificate of the other sort has it here, or another of the claims.
 */
struct key_claim {
    const struct address *address;
    const struct kind *kind;
    X509 *certificate;
};
KW_MUST_USE kw_status key_check_kind(kw_context *context, const struct key_claim *claims, size_t count,
                                     kw_error *error);
/* KW_EXISTS: the journal says that the key is being deleted. Within the caller's transaction. */
KW_MUST_USE kw_status key_check_not_leaving(kw_context *context, const struct store *store, kw_input locator,
                                            kw_error *error);

/* A locator for people: as text, or, when it is none, as hex digits. */
struct arena;
const char *locator_text(struct arena *arena, kw_input locator);

/*
 * Whether the user has yet to be asked to export the certificate separately: its kind wants that, it is the current one of an entry in use, and
 * no export of it alone was noted. REMINDER_SENTENCE with the address says so.
 */
bool reminder_is_due(kw_context *context, const struct kind *kind, const struct entry_row *entry,
                     const struct id *certificate);
/* Notes that the certificate was exported separately; nothing where its kind does not want that. */
KW_MUST_USE kw_status reminder_done(kw_context *context, const struct kind *kind, const struct id *certificate,
                                    kw_error *error);
#define REMINDER_SENTENCE                                                                                              \
    "export it separately and keep the file apart from this server, which has not been done yet: "                     \
    "`keywright export %s -o FILE`"

void event_tell(kw_event_callback event, void *user, bool warning, const char *certificate, const char *format, ...)
    KW_PRINTF(5, 6);

#endif
