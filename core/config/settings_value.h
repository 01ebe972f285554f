/* What settings_reader.c and settings_value.c share: reading one node of the tree into one member of a struct. */
#ifndef KEYWRIGHT_CONFIG_SETTINGS_VALUE_H
#define KEYWRIGHT_CONFIG_SETTINGS_VALUE_H

#include "config/settings_reader.h"

/* A setting that is neither a table nor a mapping of names. KW_CONFIGURATION with the place. */
KW_MUST_USE kw_status settings_value_read(struct settings_reader *reader, const struct setting *setting,
                                          const struct yaml_node *node, void *target);

/* KW_CONFIGURATION, with the node's place. */
kw_status reader_error(struct settings_reader *reader, const struct yaml_node *node, const char *format, ...)
    KW_PRINTF(3, 4);
/* "'NAME' must be WANTED, but here is ...". */
kw_status reader_type_error(struct settings_reader *reader, const char *name, const char *wanted,
                            const struct yaml_node *node);
/* What is there, for a message; never its value, which may be a secret. */
const char *reader_node_text(const struct yaml_node *node);
/* Tells about a file that holds a secret and that others may read; `source` is any text. */
KW_MUST_USE kw_status reader_warn_source(struct settings_reader *reader, const char *source);
struct place reader_place(const struct yaml_node *node);

void *reader_member(void *target, size_t offset);
void reader_set_text(void *target, size_t offset, const char *text);
void reader_set_array(void *target, const struct setting *setting, const void *array, size_t count);
/* Nothing where there is no offset. */
void reader_set_place(void *target, size_t offset, struct place place);

#endif
