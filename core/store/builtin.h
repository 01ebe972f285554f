/* Stores that the library brings along: their plugin is of the library, and what they work on comes from whoever makes the stores. */
#ifndef KEYWRIGHT_STORE_BUILTIN_H
#define KEYWRIGHT_STORE_BUILTIN_H

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

#endif
