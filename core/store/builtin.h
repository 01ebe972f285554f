/*
 * Stores that the library brings along: their plugin is of the library, and what they work on comes from whoever makes the stores. And what else
 * the floors above give to stores.
 */
#ifndef KEYWRIGHT_STORE_BUILTIN_H
#define KEYWRIGHT_STORE_BUILTIN_H

#include "base/id.h"
#include "base/secret.h"
#include "config/settings.h"
#include "store/loader.h"

/* One row of what stores_options hands in. The name, which is the id too, is reserved in the configuration (SETTINGS_RESERVED_STORE). */
struct builtin_store {
    char *name;
    const struct module *module; /* no file; takes no options; constant */
    const void *service;         /* handed to its `open`; must outlive the stores */
};

/* What the plugin of a built-in store is given as its host. Another host is shorter, as its size tells. */
struct builtin_host {
    kw_host host;
    const void *service;
};

/* ---- Secrets of stores that are subkeys (subkey:ADDRESS), which the floor above derives ---- */

/* Which secret it is. */
struct secret_place {
    const struct settings *settings;
    const char *store_id, *store_name, *option;
    const char *address; /* of the master key */
};
struct secret_service {
    /* `master` is the entry of the master key. */
    KW_MUST_USE kw_status (*get)(void *user, const struct secret_place *place, struct secret *value, struct id *master,
                                 kw_error *error);
    /* KW_UNAVAILABLE: what hangs on the master key serves no longer, since its store has been away for too long. */
    KW_MUST_USE kw_status (*serves)(void *user, const struct id *master, kw_error *error);
    /* What became of the store that was given one. True: it was refused, and `get` would now give another. */
    bool (*settled)(void *user, const struct secret_place *place, bool accepted);
    void *user;
};

#endif
