#include "config/settings_reader.h"

#include "base/file.h"
#include "config/settings_value.h"
#include "config/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What keys consist of, and what a slip of the finger makes of them. */
#define KEY_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. "

/* ---- Mappings ---- */

static kw_status read_table(struct settings_reader *reader, const struct setting_table *table, const char *name,
                            const struct yaml_node *node, struct place place, void *target);

static kw_status read_inner_table(struct settings_reader *reader, const struct setting *setting,
                                  const struct yaml_node *node, void *target)
{
    return read_table(reader, setting->table, setting->name, node, reader_place(node),
                      reader_member(target, setting->offset));
}

static kw_status read_entries(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    const struct setting_entries *entries = setting->entries;
    if (node->kind != YAML_MAPPING)
        return reader_type_error(reader, setting->name, "a mapping from names to settings", node);
    if (node->count < entries->minimum)
        return reader_error(reader, node, "'%s' is empty", setting->name);
    if (entries->maximum > 0 && node->count > entries->maximum)
        return reader_error(reader, node->keys[entries->maximum], "'%s' has more than %zu entries", setting->name,
                            entries->maximum);
    unsigned char *array = arena_allocate(&reader->settings->memory, node->count * entries->size);
    if (array == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *key = node->keys[i];
        void *entry = array + i * entries->size;
        if (key->text[0] == '\0')
            return reader_error(reader, key, "an empty name in '%s'", setting->name);
        if (entries->name_is_valid != NULL && !entries->name_is_valid(key->text)) {
            reader_error(reader, key, "'%s' cannot be a name in '%s'", key->text, setting->name);
            error_remedy(reader->error, "a name is %s", entries->name_rule);
            return KW_CONFIGURATION;
        }
        if (entries->reserved != NULL && strcmp(key->text, entries->reserved) == 0) {
            reader_error(reader, key, "the name '%s' in '%s' is reserved for %s", key->text, setting->name,
                         entries->reserved_for);
            error_remedy(reader->error, "give it another name; its keys are known by its id");
            return KW_CONFIGURATION;
        }
        const char *name = arena_text(&reader->settings->memory, key->text);
        if (name == NULL)
            return error_memory(reader->error);
        reader_set_text(entry, entries->name_offset, name);
        reader_set_place(entry, entries->place_offset, reader_place(key));
        kw_status status = read_table(reader, setting->table, key->text, node->items[i], reader_place(key), entry);
        if (status != KW_OK)
            return status;
    }
    reader_set_array(target, setting, array, node->count);
    return KW_OK;
}

static kw_status read_options(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    struct arena *memory = &reader->settings->memory;
    if (node->kind != YAML_MAPPING)
        return reader_type_error(reader, setting->name, "a mapping from options to values", node);
    struct option_setting *options = arena_allocate(memory, node->count * sizeof(*options));
    if (options == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *key = node->keys[i], *value = node->items[i];
        if (value->kind != YAML_SCALAR)
            return reader_type_error(reader, key->text, "a single value", value);
        if (!value->quoted && word_kind(value->text) == WORD_NULL)
            return reader_error(reader, value, "'%s' is empty", key->text);
        options[i] = (struct option_setting){
            .name = arena_text(memory, key->text),
            .text = arena_text(memory, value->text),
            .name_place = reader_place(key),
            .text_place = reader_place(value),
        };
        if (memory->failed)
            return error_memory(reader->error);
        kw_status status = reader_warn_source(reader, value->text);
        if (status != KW_OK)
            return status;
    }
    reader_set_array(target, setting, options, node->count);
    return KW_OK;
}

static kw_status (*const readers[SETTING_TYPE_COUNT])(struct settings_reader *reader, const struct setting *setting,
                                                      const struct yaml_node *node, void *target) = {
    [SETTING_TABLE] = read_inner_table,
    [SETTING_ENTRIES] = read_entries,
    [SETTING_OPTIONS] = read_options,
};

static kw_status read_setting(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    return readers[setting->type] != NULL ? readers[setting->type](reader, setting, node, target)
                                          : settings_value_read(reader, setting, node, target);
}

enum { TABLE_MAXIMUM = 32 };

static kw_status unknown_key(struct settings_reader *reader, const struct setting_table *table,
                             const struct yaml_node *key)
{
    const char *names[TABLE_MAXIMUM];
    char list[sizeof(((kw_error *)0)->remedy)] = "", hint[HINT_SIZE];
    for (size_t i = 0; i < table->count; i++) {
        names[i] = table->settings[i].name;
        size_t length = strlen(list);
        snprintf(list + length, sizeof(list) - length, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    /* What does not look like a key may be anything, in a file that is no configuration: it is not repeated. */
    if (strlen(key->text) > 64 || key->text[strspn(key->text, KEY_LETTERS)] != '\0')
        reader_error(reader, key, "here is no key of the configuration");
    else
        reader_error(reader, key, "unknown key '%s'%s", key->text, nearest_hint(hint, key->text, names, table->count));
    error_remedy(reader->error, "known here: %s", list);
    return KW_CONFIGURATION;
}

/* Also those of tables inside of it, which the file may leave out. */
static void unset_flags(const struct setting_table *table, void *target)
{
    const int unset = -1;
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->settings[i];
        if (setting->type == SETTING_FLAG)
            memcpy(reader_member(target, setting->offset), &unset, sizeof(unset));
        else if (setting->type == SETTING_TABLE)
            unset_flags(setting->table, reader_member(target, setting->offset));
    }
}

/* `name` and `place`: what the table is of (NULL: the file), and where a missing key is missing. */
static kw_status read_table(struct settings_reader *reader, const struct setting_table *table, const char *name,
                            const struct yaml_node *node, struct place place, void *target)
{
    if (node->kind != YAML_MAPPING)
        return reader_type_error(reader, name, "a mapping of settings", node);
    unset_flags(table, target);
    for (size_t i = 0; i < node->count; i++) {
        const struct setting *setting = NULL;
        for (size_t j = 0; j < table->count && setting == NULL; j++) {
            if (strcmp(node->keys[i]->text, table->settings[j].name) == 0)
                setting = &table->settings[j];
        }
        if (setting == NULL)
            return unknown_key(reader, table, node->keys[i]);
        kw_status status = read_setting(reader, setting, node->items[i], target);
        if (status != KW_OK)
            return status;
        reader_set_place(target, setting->place_offset, reader_place(node->items[i]));
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->settings[i];
        if (!setting->required || yaml_get(node, setting->name) != NULL)
            continue;
        settings_error(reader->settings, place, reader->error, "%s%s%s lacks '%s'", name == NULL ? "" : "'",
                       name == NULL ? "the file" : name, name == NULL ? "" : "'", setting->name);
        error_remedy(reader->error, "add %s: %s", setting->name, setting->help);
        return KW_CONFIGURATION;
    }
    return KW_OK;
}

/* ---- The file ---- */

/* The version comes first: of another one nothing else is known, not even what a key means. */
kw_status settings_reader_run(struct settings_reader *reader)
{
    const struct yaml_node *root = reader->root;
    if (root->kind != YAML_MAPPING)
        return reader_error(reader, root, "the file must be a mapping of settings, but here is %s",
                            reader_node_text(root));
    const struct yaml_node *version = yaml_get(root, "version"), *allow = yaml_get(root, "allow_inline_secrets");
    if (version != NULL) {
        kw_status status = settings_value_read(reader, &settings_table.settings[0], version, NULL);
        if (status != KW_OK)
            return status;
    }
    if (allow != NULL && (allow->kind != YAML_SCALAR || !parse_boolean(allow->text, &reader->allow_inline)))
        reader->allow_inline = false; /* said when the key's turn comes */
    return read_table(reader, &settings_table, NULL, root, reader_place(root), reader->settings);
}
