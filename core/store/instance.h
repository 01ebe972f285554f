/* What a store is made of: for store.c, which calls its plugin, and stores.c, which opens it. */
#ifndef KEYWRIGHT_STORE_INSTANCE_H
#define KEYWRIGHT_STORE_INSTANCE_H

#include "control/count.h"
#include "store/host.h"
#include "store/options.h"

#include <pthread.h>
#include <stdatomic.h>

_Static_assert(STORE_OPERATION_COUNT <= CONTROL_OPERATIONS, "every operation has its counter");

enum store_state { STORE_STATE_CLOSED, STORE_STATE_OPENING, STORE_STATE_OPEN };

/* All stores of one context that are still there: of the configuration in force, and of former ones that somebody still uses. */
struct family {
    atomic_uint references;
    pthread_mutex_t lock; /* held across a fork, and while a store is closed */
    struct store *first;
};

struct store {
    atomic_uint references;
    struct family *family;
    struct store *next; /* of the family */
    struct settings *configuration;
    const struct store_settings *settings; /* in it, or the next */
    struct store_settings builtin;         /* of a store of the library itself */
    const struct module *module;
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct options options;
    kw_host_context *host;

    /* set before the state becomes open, constant afterwards */
    kw_plugin_instance *instance;
    kw_capabilities capabilities;
    struct control *control;        /* NULL: counted in this process alone */
    struct control_count *counters; /* this process's, among all processes' where it could be had, else: */
    struct control_count own_counters[CONTROL_OPERATIONS];

    /* stores.c: who opens it */
    atomic_int state;
    pthread_mutex_t lock;
    pthread_cond_t settled; /* an attempt to open has ended */
    bool has_lock, has_settled;
    uint64_t attempts; /* that have ended */
    kw_error failure;  /* of the last one */
};

/* Calls the plugin's open, and close. */
KW_MUST_USE kw_status store_open(struct store *store, kw_error *error);
void store_close(struct store *store);

/* Finds its counters: when it opens, and in a forked child. */
void store_take_counters(struct store *store);

void store_fork_prepare(struct store *store);
void store_fork_parent(struct store *store);
void store_fork_child(struct store *store);

#endif
