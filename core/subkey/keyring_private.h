/* What keyring.c, which has the roots, refresh.c, which asks whether their stores are there, and handle.c, which has the handles, and sealing.c, which uses them, share. */
#ifndef KEYWRIGHT_SUBKEY_KEYRING_PRIVATE_H
#define KEYWRIGHT_SUBKEY_KEYRING_PRIVATE_H

#include "control/count.h"
#include "control/outage.h"
#include "subkey/keyring.h"
#include "subkey/seal.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- Roots ---- */

/* An attempt of one thread, whose outcome others wait for. The keyring's mutex guards it, and is not held meanwhile. */
struct flight {
    bool is_under_way;
    uint64_t ended; /* how many have */
    kw_error failure;
};

/* One that is in memory, or on its way there. */
struct root {
    struct root *next;
    uint32_t version; /* 0: the first one, which is being made */
    unsigned users;   /* threads that hold a pointer; without any, and without a secret, it goes */
    struct secret secret;
    uint64_t loaded; /* when; clock_milliseconds */
    struct flight flight;
};

#define MASTER_STORE_SIZE 64 /* longer names are cut: it stands in messages */

/* A master key that was asked for. Stays until the keyring goes. */
struct master {
    struct master *next;
    struct keyring *keyring;
    struct id id;
    char *address;                           /* where it was found last; the mutex guards it. NULL: not known */
    char store[MASTER_STORE_SIZE];           /* the name of the one that it was in last; likewise. Empty: not known */
    struct root *roots;                      /* the mutex guards it */
    struct flight probe;                     /* likewise */
    atomic_uint_least64_t seen;              /* the generation for which the next holds, or a later one; 0: none */
    atomic_bool is_closed;                   /* it is out of use: old seals open, and no new ones are made */
    atomic_uint active;                      /* version for new work; 0: none known, or none there */
    atomic_uint_least64_t tolerated;         /* until then a child that cannot read the catalogue goes on */
    atomic_uint_least64_t fresh;             /* until then no root is older than max_age; UINT64_MAX: no matter */
    _Atomic(struct control_outage *) outage; /* of the store that it was in last; NULL: not known yet */
    struct control_outage *own; /* of its key alone, which a store that is there may lack; NULL: no place */
};

struct keyring {
    struct crypto *crypto;
    struct xaes *xaes;
    struct catalogue *catalogue;
    struct control *control;
    const struct log *log;
    void (*renew)(void *user);
    void *user;
    struct control_count *_Atomic counts; /* this process's */
    struct control_count own_counts[CONTROL_OPERATIONS];

    pthread_mutex_t
        mutex; /* guards what follows; held across a fork, and never while a store or the catalogue is asked */
    pthread_cond_t settled; /* a flight has ended */
    struct settings *settings;
    struct stores *stores;
    struct master *_Atomic masters;
    atomic_uint_least64_t outage_limit, maximum_age; /* milliseconds; age 0: none */

    /* handle.c */
    struct kw_subkey **buckets;
    size_t bucket_count, maximum;
    struct kw_subkey *newest, *oldest; /* by use */
    size_t handle_count;
};

/* What is in force now, with references. */
struct held {
    struct root_place place;
    struct settings *settings;
};
void keyring_hold(struct keyring *keyring, struct held *held);
void keyring_release(struct held *held);

/* Finds it, or begins with it. NULL: out of memory. */
struct master *keyring_master(struct keyring *keyring, const struct id *id);
/* In a forked child: whether it can read the catalogue, which it tells the others then, so that nobody waits for it. */
bool keyring_prove(struct keyring *keyring);
/* Whether nothing new is sealed under it, by the catalogue. */
KW_MUST_USE kw_status master_entry(struct master *master, bool *is_closed, kw_error *error);
/* Whether what is known of it holds for the generation, or is all that can be had here. */
bool master_is_current(struct master *master, uint64_t generation);
/* Sees to it that `active` holds for the generation: reads the catalogue where it was raised. */
KW_MUST_USE kw_status master_follow(struct master *master, uint64_t generation, kw_error *error);
/* The same where it was not raised. */
KW_MUST_USE kw_status master_look(struct master *master, uint64_t generation, kw_error *error);
/* The version for new work, after one of those: a first root is made where there is none. */
KW_MUST_USE kw_status master_active(struct master *master, uint32_t *version, kw_error *error);
/* Whether a version may still open data, by the catalogue. */
KW_MUST_USE kw_status master_version(struct master *master, uint32_t version, kw_error *error);
/* keyring_subkey for handles. `was_there`: its root was in memory, which is not counted yet; that it was not, is. */
KW_MUST_USE kw_status master_subkey(struct master *master, const struct subkey_name *name, unsigned char *out,
                                    size_t length, bool *was_there, kw_error *error);

/* True: the caller begins it, and ends it. False: it has ended, and its failure is in `error`. The mutex is held. */
bool flight_begin(struct keyring *keyring, struct flight *flight, kw_status *status, kw_error *error);
void flight_end(struct keyring *keyring, struct flight *flight, kw_status status, const kw_error *error);

/* Rows of the counters; a thread takes those of its stripe, so that threads do not wait for each other's cache lines. */
enum keyring_number { COUNT_HIT, COUNT_MISS, COUNT_UNWRAP };
void keyring_count(struct keyring *keyring, unsigned stripe, enum keyring_number number);

/* ---- refresh.c ---- */

/* Whether what is in memory of the master key may be used now. Two atomic loads, unless its store is away or a root has aged. */
KW_MUST_USE kw_status master_check(struct master *master, kw_error *error);
/* A root has been loaded: the store is there, and is the one to look at from now on. */
void master_loaded(struct master *master, const struct root_place *place);
/* Counts the age of its roots anew. The mutex is held. */
void master_age(struct master *master);

/* ---- handle.c ---- */

/* The subkey under one version of the root. */
struct handle_key {
    _Atomic(struct handle_key *) next;
    uint32_t version;
    struct xaes_secret *secret; /* in locked memory */
    struct xaes_key key;        /* of it */
    atomic_uint_least64_t seen; /* the generation in which the version was known to be good for old seals */
    atomic_bool is_counted;     /* its first use is: its root was not in memory */
};

struct kw_subkey {
    struct master *master;
    uint64_t hash;
    char *address, *purpose;
    unsigned char *context;
    size_t address_length, purpose_length, context_length;

    _Atomic(struct handle_key *) keys;    /* the newest first; only grows while somebody has the handle */
    _Atomic(struct handle_key *) current; /* for new seals */

    /*
     * In the lower half how many have it, of which the table is one; in the upper half how often it was handed out. It grows under
     * the keyring's mutex alone.
     */
    atomic_uint_least64_t holders;

    /* the keyring's mutex guards these */
    bool is_listed;
    struct kw_subkey *next;          /* of the bucket */
    struct kw_subkey *newer, *older; /* by use */
};

/* The key of a version that is there, or NULL; and one that is made where there is none. Somebody has the handle, so nothing of it goes away. */
struct handle_key *handle_key_find(struct handle_key *key, uint32_t version);
KW_MUST_USE kw_status handle_key_of(kw_subkey *handle, uint32_t version, struct handle_key **key, kw_error *error);

KW_MUST_USE kw_status handles_new(struct keyring *keyring, kw_error *error);
void handles_free(struct keyring *keyring);
/* The bound has changed. The mutex is held. */
void handles_bound(struct keyring *keyring, size_t maximum);

#endif
