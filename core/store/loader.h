/*
 * Loads plugin modules. The only user of libltdl. Modules are keywright-NAME.so, found by name in the configured directories (never the
 * working directory) or by absolute path; refused when others may write them; loaded resident and local, under one mutex.
 */
#ifndef KEYWRIGHT_STORE_LOADER_H
#define KEYWRIGHT_STORE_LOADER_H

#include "base/error.h"

/* A loaded module; lives as long as the process. */
struct module {
    char *path;
    kw_plugin plugin;                /* as the module gave it; what it did not know is zero */
    kw_plugin_operations operations; /* likewise */
};

/* The directory NAME/keywright beside the library that this code is in: where plugins are when nothing is configured. */
char *loader_default_directory(void);

/*
 * `name`: letters, digits, - and _; or an absolute path. The same module loaded twice is the same pointer. Errors: KW_CONFIGURATION (name
 * malformed), KW_NOT_FOUND (says where it looked, and what is there), KW_REFUSED (writable by others), KW_UNSUPPORTED (another ABI major),
 * KW_FAILED (no kw_plugin_query, malformed description, a mandatory operation is missing: each named).
 */
KW_MUST_USE kw_status loader_open(const char *name, const char *const *directories, size_t count,
                                  const struct module **module, kw_error *error);

/* How many have been loaded. */
size_t loader_count(void);

/* Names (and paths) of the modules in the directories, sorted, each name once. Free each of both, then the arrays. */
KW_MUST_USE kw_status loader_list(const char *const *directories, size_t count, char ***names, char ***paths,
                                  size_t *found, kw_error *error);

#endif
