/* What a store is made of: for store.c, which calls its plugin, and stores.c, which opens it. */
#ifndef KEYWRIGHT_STORE_INSTANCE_H
#define KEYWRIGHT_STORE_INSTANCE_H

#include "store/host.h"
#include "store/options.h"

#include <pthread.h>
#include <stdatomic.h>

struct counter {
    atomic_uint_fast64_t calls, errors, nanoseconds, backend_calls;
};

enum store_state { STORE_STATE_CLOSED, STORE_STATE_OPENING, STORE_STATE_OPEN };

struct store {
    const struct store_settings *settings;
    const struct module *module;
    struct crypto *crypto;
    struct catalogue *catalogue;
    struct options options;
    kw_host_context *host;

    /* set before the state becomes open, constant afterwards */
    kw_plugin_instance *instance;
    kw_capabilities capabilities;
    struct counter counters[STORE_OPERATION_COUNT];

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

void store_fork_prepare(struct store *store);
void store_fork_parent(struct store *store);
void store_fork_child(struct store *store);

#endif
