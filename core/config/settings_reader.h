/* How settings.c gets from the tree of a file to struct settings: by the table. */
#ifndef KEYWRIGHT_CONFIG_SETTINGS_READER_H
#define KEYWRIGHT_CONFIG_SETTINGS_READER_H

#include "config/settings_table.h"

struct settings_reader {
    struct settings *settings; /* path and directory are set, and its memory is where everything goes */
    const struct yaml_node *root;
    bool allow_inline;
    settings_warning warning;
    void *user;
    kw_error *error;
};

/* Fills the settings. KW_CONFIGURATION with the place. */
KW_MUST_USE kw_status settings_reader_run(struct settings_reader *reader);

#endif
