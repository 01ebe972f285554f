/*
 * The roots and subkeys that a process has in memory: bounded, single-flight (many threads that miss at once make one call to the
 * store), in locked memory, inherited by forks, counted. Whoever needs a subkey asks here; root.h is asked only on a miss.
 *
 * No lock is held while a store or the catalogue is asked. A *handle* is a kw_subkey of subkeys.h: what was derived for it is kept here
 * after it was freed, as bytes in locked memory, up to `subkeys.max_entries` of them.
 */
#ifndef KEYWRIGHT_SUBKEY_KEYRING_H
#define KEYWRIGHT_SUBKEY_KEYRING_H

#include "subkey/root.h"

#include <keywright/subkeys.h>

struct keyring;

struct keyring_options {
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct control *control;
    const struct log *log;
    /* NULL, or: takes a new configuration that the process was told of (keyring_use), if there is one. Called before a handle is used when the generation was raised. */
    void (*renew)(void *user);
    void *user;
};
/* Borrows all of it. */
KW_MUST_USE kw_status keyring_new(const struct keyring_options *options, struct keyring **keyring, kw_error *error);
/* Wipes all. Handles must have been freed. NULL is allowed. */
void keyring_free(struct keyring *keyring);
/* What is in force, before first use and after each reload; takes references of its own. */
void keyring_use(struct keyring *keyring, struct settings *settings, struct stores *stores);

/* Before the stores and the catalogue are prepared; after they are done. */
void keyring_fork_prepare(struct keyring *keyring);
void keyring_fork_parent(struct keyring *keyring);
void keyring_fork_child(struct keyring *keyring);

/* The version of the master key's root for new work; a first one is made where there is none yet. */
KW_MUST_USE kw_status keyring_active(struct keyring *keyring, const struct id *master, uint32_t *version,
                                     kw_error *error);
/* Whether a version may still open data, by the catalogue. KW_NOT_FOUND: there is none, or it is retired. */
KW_MUST_USE kw_status keyring_check(struct keyring *keyring, const struct id *master, uint32_t version,
                                    kw_error *error);
/* KW_UNAVAILABLE: what is in memory of the master key serves no longer, since its store has been away for longer than outage_limit. */
KW_MUST_USE kw_status keyring_serves(struct keyring *keyring, const struct id *master, kw_error *error);
/* Notes that nothing is sealed under a version before this one any more. */
KW_MUST_USE kw_status keyring_resealed(struct keyring *keyring, const struct id *master, uint32_t version,
                                       kw_error *error);
/*
 * A subkey's bytes (1 to 64) into locked memory of the caller's. From the cache; a root that is not there is loaded by one call to the store. Errors: KW_NOT_FOUND, KW_UNAVAILABLE
 * (the store, or the outage limit has passed), KW_CORRUPT and whatever the store answers.
 */
KW_MUST_USE kw_status keyring_subkey(struct keyring *keyring, const struct subkey_name *name, unsigned char *out,
                                     size_t length, kw_error *error);
/* Forgets what is in memory of the roots of the master key with this id (NULL: of all). Handles that are open go on. */
void keyring_forget(struct keyring *keyring, const struct id *id);
/* kw_subkeys_refresh. */
KW_MUST_USE kw_status keyring_refresh(struct keyring *keyring, kw_error *error);

/* ---- Addresses ---- */

/* The master key with this id was found under this address. */
void keyring_name(struct keyring *keyring, const struct id *id, const char *address);
/* Whether this is the version for new work, and nothing has changed since that was read. No catalogue: not for what a transaction decides. */
KW_MUST_USE bool keyring_has_active(struct keyring *keyring, const struct id *id, uint32_t version);
/* Its id, where it has a root for new work and nothing has changed since that was read. No catalogue. */
KW_MUST_USE bool keyring_knows(struct keyring *keyring, const char *address, struct id *id);
/* The same after the catalogue could not be read (`status`): true in a forked child that has given up its rights, which goes on with what it knows. */
KW_MUST_USE bool keyring_is_behind(struct keyring *keyring, const char *address, kw_status status, struct id *id);

/* ---- Handles ---- */

/* What a handle is of; `address` is the master key's, without a certificate's number. */
struct handle_name {
    const char *address, *purpose;
    kw_input context;
};
/* One that is in memory, under a version of the root that is known to be the active one. False: there is none. No call to anything. */
KW_MUST_USE bool keyring_find(struct keyring *keyring, const struct handle_name *name, kw_subkey **subkey);
/* Of this master key. KW_INVALID_ARGUMENT: purpose or context are out of their limits. */
KW_MUST_USE kw_status keyring_open(struct keyring *keyring, const struct handle_name *name, const struct id *master,
                                   kw_subkey **subkey, kw_error *error);

/* ---- What all processes of the state have counted ---- */

struct keyring_counts {
    uint64_t hits;   /* a subkey was needed, and its root was in memory */
    uint64_t misses; /* it was not */
    uint64_t saved;  /* unwrappings by a store that did not happen */
};
void keyring_counts(struct control *control, struct keyring_counts *counts);
/* What they are counted under, beside the stores' ids. */
#define KEYRING_COUNTS "subkeys"

#endif
