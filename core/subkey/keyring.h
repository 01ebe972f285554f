/*
 * The roots and subkeys that a process has in memory: bounded, single-flight (many threads that miss at once make one call to the
 * store), in locked memory, inherited by forks, counted. Whoever needs a subkey asks here; root.h is asked only on a miss.
 */
#ifndef KEYWRIGHT_SUBKEY_KEYRING_H
#define KEYWRIGHT_SUBKEY_KEYRING_H

#include "subkey/root.h"

struct keyring;

struct keyring_options {
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct control *control;
    const struct log *log;
};
/* Borrows all of it. */
KW_MUST_USE kw_status keyring_new(const struct keyring_options *options, struct keyring **keyring, kw_error *error);
/* Wipes all. Handles (kw_subkey) must have been freed. */
void keyring_free(struct keyring *keyring);
/* The stores in force, before first use and after each reload; counts a reference of its own. */
void keyring_use_stores(struct keyring *keyring, struct stores *stores);

void keyring_fork_prepare(struct keyring *keyring);
void keyring_fork_parent(struct keyring *keyring);
void keyring_fork_child(struct keyring *keyring);

/* The version of the master key's root for new work; a first one is made where there is none yet. */
KW_MUST_USE kw_status keyring_active(struct keyring *keyring, const struct id *master, uint32_t *version,
                                     kw_error *error);
/*
 * A subkey's bytes (1 to 64) into locked memory of the caller's. From the cache; a root that is not there is loaded by one call to the store. Errors: KW_NOT_FOUND, KW_UNAVAILABLE
 * (the store, or the outage limit has passed), KW_CORRUPT and whatever the store answers.
 */
KW_MUST_USE kw_status keyring_subkey(struct keyring *keyring, const struct subkey_name *name, unsigned char *out,
                                     size_t length, kw_error *error);
/* Forgets what is in memory of a master key (zero id: of all): after a rotation, a retirement or a deletion. */
void keyring_forget(struct keyring *keyring, const struct id *master);

#endif
