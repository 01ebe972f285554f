/* The options of one store, held against the table that its plugin declares. */
#ifndef KEYWRIGHT_STORE_OPTIONS_H
#define KEYWRIGHT_STORE_OPTIONS_H

#include "base/arena.h"
#include "config/settings.h"
#include "store/loader.h"

/* What the plugin's open is given: everything that is set or has a default, without the secrets. */
struct options {
    kw_option_value *rows; /* of the arena */
    size_t count;
    struct arena arena;
};

/*
 * Types, choices, bounds, what is required, and that secrets are sources. KW_CONFIGURATION with file, line and column, and the nearest name for
 * an unknown one; KW_FAILED when a default of the plugin does not fit its own table.
 */
KW_MUST_USE kw_status options_read(const struct settings *settings, const struct store_settings *store,
                                   const struct module *module, struct options *options, kw_error *error);
void options_clear(struct options *options);

/* The setting of an option, or NULL. */
const struct option_setting *options_setting(const struct store_settings *store, const char *name);

#endif
