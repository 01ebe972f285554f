/* What a module says about itself: its name, and the description that kw_plugin_query returns. */
#ifndef KEYWRIGHT_STORE_DESCRIPTION_H
#define KEYWRIGHT_STORE_DESCRIPTION_H

#include "store/loader.h"

#define MODULE_PREFIX       "keywright-"
#define MODULE_SUFFIX       ".so"
#define MODULE_NAME_MAXIMUM 64u

/* Letters, digits, - and _. */
bool module_name_is_clean(const char *name, size_t length);
/* NAME of "keywright-NAME.so" as a view of `file`; false when it is not one. */
bool module_file_name(const char *file, const char **name, size_t *length);

/*
 * Checks what the module at `path` gave, and copies as much of it into `module` as both sides know. KW_UNSUPPORTED (another major), KW_FAILED.
 */
KW_MUST_USE kw_status description_read(const char *path, const kw_plugin *given, struct module *module,
                                       kw_error *error);
/* KW_FAILED, with the reason. */
KW_MUST_USE kw_status description_malformed(kw_error *error, const char *path, const char *why);

#endif
