/*
 * A YAML file as a tree whose nodes know their line and column. The only user of libyaml. Anchors, aliases, tags and a second
 * document are refused, and so are directives, which libyaml reads in quadratic time; the size is capped before libyaml sees the text,
 * and the depth before it goes deeper.
 */
#ifndef KEYWRIGHT_CONFIG_YAML_H
#define KEYWRIGHT_CONFIG_YAML_H

#include "base/error.h"

#define YAML_SIZE_MAXIMUM  (1024u * 1024u)
#define YAML_DEPTH_MAXIMUM 16u

enum yaml_kind { YAML_SCALAR, YAML_MAPPING, YAML_SEQUENCE };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column;    /* from 1 */
    char *text;               /* scalar */
    bool quoted;              /* scalar: written in quotes or as a block, so always a string */
    struct yaml_node **items; /* mapping: values; sequence: items */
    struct yaml_node **keys;  /* mapping: scalars, no two the same */
    size_t count;
};

/*
 * KW_CONFIGURATION with file, line and column; KW_NOT_FOUND and KW_PERMISSION when there is no file, or none that may be read. `name` is
 * the file's name for messages.
 */
KW_MUST_USE kw_status yaml_read(const char *path, struct yaml_node **root, kw_error *error);
KW_MUST_USE kw_status yaml_parse(const char *name, kw_input text, struct yaml_node **root, kw_error *error);
/* Wipes the scalars too. (libyaml exports a yaml_free.) */
void yaml_node_free(struct yaml_node *root);
/* The value of `key` in a mapping, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key);

#endif
