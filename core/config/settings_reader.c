#include "config/settings_reader.h"

#include "base/file.h"
#include "config/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What keys consist of, and what a slip of the finger makes of them. */
#define KEY_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. "

/* ---- Errors ---- */

static struct place place_of(const struct yaml_node *node)
{
    return (struct place){node->line, node->column};
}

static kw_status node_error(struct settings_reader *reader, const struct yaml_node *node, const char *format, ...)
    KW_PRINTF(3, 4);

static kw_status node_error(struct settings_reader *reader, const struct yaml_node *node, const char *format, ...)
{
    char message[sizeof(((kw_error *)0)->message)] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return settings_error(reader->settings, place_of(node), reader->error, "%s", message);
}

/* What is there, for a message; never its value, which may be a secret. */
static const char *node_text(const struct yaml_node *node)
{
    static const char *const words[] = {
        [WORD_STRING] = "a string",  [WORD_NULL] = "nothing",   [WORD_BOOLEAN] = "true or false",
        [WORD_INTEGER] = "a number", [WORD_FLOAT] = "a number",
    };
    if (node->kind != YAML_SCALAR)
        return node->kind == YAML_MAPPING ? "a mapping" : "a list";
    return words[node->quoted ? WORD_STRING : word_kind(node->text)];
}

static kw_status type_error(struct settings_reader *reader, const char *name, const char *wanted,
                            const struct yaml_node *node)
{
    return node_error(reader, node, "'%s' must be %s, but here is %s", name, wanted, node_text(node));
}

/* ---- Members ---- */

static void *member(void *target, size_t offset)
{
    return (unsigned char *)target + offset;
}

static void set_text(void *target, size_t offset, const char *text)
{
    memcpy(member(target, offset), &text, sizeof(text));
}

static void set_array(void *target, const struct setting *setting, const void *array, size_t count)
{
    memcpy(member(target, setting->offset), &array, sizeof(array));
    memcpy(member(target, setting->count_offset), &count, sizeof(count));
}

static void set_place(void *target, size_t offset, struct place place)
{
    if (offset != NO_OFFSET)
        memcpy(member(target, offset), &place, sizeof(place));
}

/* ---- Scalars ---- */

/* A string that is not empty. One that YAML takes for something else must be quoted, so that all readers read the same. */
static kw_status check_string(struct settings_reader *reader, const char *name, const struct yaml_node *node)
{
    if (node->kind != YAML_SCALAR)
        return type_error(reader, name, "a string", node);
    enum word_kind kind = node->quoted ? WORD_STRING : word_kind(node->text);
    if (kind == WORD_NULL || node->text[0] == '\0')
        return node_error(reader, node, "'%s' is empty", name);
    if (kind != WORD_STRING) {
        type_error(reader, name, "a string", node);
        error_remedy(reader->error, "put it in quotes");
        return KW_CONFIGURATION;
    }
    return KW_OK;
}

static kw_status store_text(struct settings_reader *reader, const struct setting *setting, const char *text,
                            void *target)
{
    const char *copy = arena_text(&reader->settings->memory, text);
    if (copy == NULL)
        return error_memory(reader->error);
    set_text(target, setting->offset, copy);
    return KW_OK;
}

static kw_status read_version(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    (void)target;
    int64_t version;
    if (node->kind != YAML_SCALAR || node->quoted || !parse_integer(node->text, &version)) {
        type_error(reader, setting->name, "a whole number", node);
        error_remedy(reader->error, "write %s: %d", setting->name, SETTINGS_VERSION);
        return KW_CONFIGURATION;
    }
    if (version == SETTINGS_VERSION)
        return KW_OK;
    node_error(reader, node, "the configuration is of version %lld; Keywright %s reads version %d", (long long)version,
               kw_version(), SETTINGS_VERSION);
    error_remedy(reader->error,
                 version > SETTINGS_VERSION ? "use a newer Keywright, or write the file for version %d"
                                            : "write the file for version %d",
                 SETTINGS_VERSION);
    return KW_CONFIGURATION;
}

static kw_status read_text(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    kw_status status = check_string(reader, setting->name, node);
    if (status != KW_OK)
        return status;
    if (setting->maximum > 0 && strlen(node->text) > setting->maximum)
        return node_error(reader, node, "'%s' is longer than %zu bytes", setting->name, setting->maximum);
    return store_text(reader, setting, node->text, target);
}

static kw_status read_choice(struct settings_reader *reader, const struct setting *setting,
                             const struct yaml_node *node, void *target)
{
    char list[256] = "", hint[HINT_SIZE];
    size_t count = 0;
    kw_status status = check_string(reader, setting->name, node);
    if (status != KW_OK)
        return status;
    for (; setting->choices[count] != NULL; count++) {
        if (strcmp(node->text, setting->choices[count]) == 0)
            return store_text(reader, setting, node->text, target);
        size_t length = strlen(list);
        snprintf(list + length, sizeof(list) - length, "%s%s", count > 0 ? ", " : "", setting->choices[count]);
    }
    node_error(reader, node, "'%s' cannot be '%s'%s", setting->name, node->text,
               nearest_hint(hint, node->text, setting->choices, count));
    error_remedy(reader->error, "it can be %s", list);
    return KW_CONFIGURATION;
}

/* A path, made absolute in the arena. */
static kw_status resolve_path(struct settings_reader *reader, const char *name, const struct yaml_node *node,
                              const char **path)
{
    kw_status status = check_string(reader, name, node);
    if (status != KW_OK)
        return status;
    if (strncmp(node->text, "~/", 2) == 0)
        return node_error(reader, node, "'%s' begins with ~, which only shells replace by a home directory", name);
    char *resolved = path_resolve(reader->settings->directory, node->text);
    *path = arena_text(&reader->settings->memory, resolved);
    free(resolved);
    return *path == NULL ? error_memory(reader->error) : KW_OK;
}

static kw_status read_path(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    const char *path = NULL;
    kw_status status = resolve_path(reader, setting->name, node, &path);
    if (status == KW_OK)
        set_text(target, setting->offset, path);
    return status;
}

/* Tells about a file that holds a secret and that others may read; `source` is any text. */
static kw_status warn_source(struct settings_reader *reader, const char *source)
{
    if (source_path(source) == NULL)
        return KW_OK;
    char *resolved = source_resolve(source, reader->settings->directory);
    if (resolved == NULL)
        return error_memory(reader->error);
    source_warn(source_path(resolved), reader->warning, reader->user);
    free(resolved);
    return KW_OK;
}

static kw_status read_source(struct settings_reader *reader, const struct setting *setting,
                             const struct yaml_node *node, void *target)
{
    kw_error reason = {0};
    kw_status status = check_string(reader, setting->name, node);
    if (status != KW_OK)
        return status;
    if (source_check(node->text, reader->allow_inline, &reason) != KW_OK) {
        node_error(reader, node, "'%s': %s", setting->name, reason.message);
        error_remedy(reader->error, "%s", reason.remedy);
        return KW_CONFIGURATION;
    }
    char *resolved = source_resolve(node->text, reader->settings->directory);
    if (resolved == NULL)
        return error_memory(reader->error);
    status = store_text(reader, setting, resolved, target);
    free(resolved);
    return status == KW_OK ? warn_source(reader, node->text) : status;
}

static kw_status read_store(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                            void *target)
{
    kw_status status = check_string(reader, setting->name, node);
    if (status != KW_OK)
        return status;
    const struct yaml_node *stores = yaml_get(reader->root, "stores");
    if (yaml_get(stores, node->text) != NULL)
        return store_text(reader, setting, node->text, target);
    const char *names[64];
    char hint[HINT_SIZE];
    size_t count = 0;
    for (size_t i = 0; stores != NULL && stores->kind == YAML_MAPPING && i < stores->count && count < 64; i++)
        names[count++] = stores->keys[i]->text;
    node_error(reader, node, "there is no store '%s'%s", node->text, nearest_hint(hint, node->text, names, count));
    error_remedy(reader->error, "name one of the stores in 'stores'");
    return KW_CONFIGURATION;
}

static kw_status read_store_id(struct settings_reader *reader, const struct setting *setting,
                               const struct yaml_node *node, void *target)
{
    kw_status status = check_string(reader, setting->name, node);
    if (status != KW_OK)
        return status;
    if (!store_id_is_valid(node->text))
        return node_error(reader, node, "'%s' must be 8 to 32 hex digits (0-9, a-f)", setting->name);
    const struct yaml_node *stores = yaml_get(reader->root, "stores");
    for (size_t i = 0; i < stores->count; i++) {
        const struct yaml_node *other = yaml_get(stores->items[i], setting->name);
        if (other == node)
            break;
        if (other != NULL && other->kind == YAML_SCALAR && strcmp(other->text, node->text) == 0)
            return node_error(reader, node, "the store '%s' in line %u has this id already", stores->keys[i]->text,
                              stores->keys[i]->line);
    }
    return store_text(reader, setting, node->text, target);
}

static kw_status read_plugin(struct settings_reader *reader, const struct setting *setting,
                             const struct yaml_node *node, void *target)
{
    kw_status status = check_string(reader, setting->name, node);
    if (status != KW_OK)
        return status;
    if (!plugin_is_valid(node->text)) {
        node_error(reader, node, "'%s' is no plugin", node->text);
        error_remedy(reader->error,
                     "write a plugin's name (letters, digits, '-', '_') or the absolute path of its module");
        return KW_CONFIGURATION;
    }
    return store_text(reader, setting, node->text, target);
}

static kw_status parse_yes(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           bool *value)
{
    if (node->kind != YAML_SCALAR || node->quoted || !parse_boolean(node->text, value))
        return type_error(reader, setting->name, "true or false", node);
    return KW_OK;
}

static kw_status read_boolean(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    bool value;
    kw_status status = parse_yes(reader, setting, node, &value);
    if (status == KW_OK)
        memcpy(member(target, setting->offset), &value, sizeof(value));
    return status;
}

static kw_status read_flag(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    bool value = false;
    kw_status status = parse_yes(reader, setting, node, &value);
    const int flag = status == KW_OK && value;
    if (status == KW_OK)
        memcpy(member(target, setting->offset), &flag, sizeof(flag));
    return status;
}

/* ---- Lists ---- */

static kw_status check_host(struct settings_reader *reader, const char *name, const struct yaml_node *node,
                            const char **host)
{
    kw_status status = check_string(reader, name, node);
    if (status != KW_OK)
        return status;
    if (host_kind(node->text) == HOST_INVALID) {
        node_error(reader, node, "'%s' is neither a host's name nor an IP address", node->text);
        error_remedy(reader->error, "write it without a port, brackets and zone, and names beyond ASCII as xn--...");
        return KW_CONFIGURATION;
    }
    *host = arena_text(&reader->settings->memory, node->text);
    return *host == NULL ? error_memory(reader->error) : KW_OK;
}

static kw_status read_list(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target,
                           kw_status (*read_item)(struct settings_reader *reader, const char *name,
                                                  const struct yaml_node *node, const char **text))
{
    if (node->kind != YAML_SEQUENCE) {
        type_error(reader, setting->name, "a list", node);
        error_remedy(reader->error, "write it as %s: [ONE, OTHER]", setting->name);
        return KW_CONFIGURATION;
    }
    if (node->count == 0)
        return node_error(reader, node, "'%s' is an empty list", setting->name);
    const char **list = arena_allocate(&reader->settings->memory, node->count * sizeof(*list));
    if (list == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < node->count; i++) {
        kw_status status = read_item(reader, setting->name, node->items[i], &list[i]);
        if (status != KW_OK)
            return status;
    }
    set_array(target, setting, list, node->count);
    return KW_OK;
}

static kw_status read_paths(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                            void *target)
{
    return read_list(reader, setting, node, target, resolve_path);
}

static kw_status read_hosts(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                            void *target)
{
    return read_list(reader, setting, node, target, check_host);
}

/* ---- Mappings ---- */

static kw_status read_table(struct settings_reader *reader, const struct setting_table *table, const char *name,
                            const struct yaml_node *node, struct place place, void *target);

static kw_status read_inner_table(struct settings_reader *reader, const struct setting *setting,
                                  const struct yaml_node *node, void *target)
{
    return read_table(reader, setting->table, setting->name, node, place_of(node), member(target, setting->offset));
}

static kw_status read_entries(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    const struct setting_entries *entries = setting->entries;
    if (node->kind != YAML_MAPPING)
        return type_error(reader, setting->name, "a mapping from names to settings", node);
    if (node->count < entries->minimum)
        return node_error(reader, node, "'%s' is empty", setting->name);
    if (entries->maximum > 0 && node->count > entries->maximum)
        return node_error(reader, node->keys[entries->maximum], "'%s' has more than %zu entries", setting->name,
                          entries->maximum);
    unsigned char *array = arena_allocate(&reader->settings->memory, node->count * entries->size);
    if (array == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *key = node->keys[i];
        void *entry = array + i * entries->size;
        if (key->text[0] == '\0')
            return node_error(reader, key, "an empty name in '%s'", setting->name);
        if (entries->name_is_valid != NULL && !entries->name_is_valid(key->text)) {
            node_error(reader, key, "'%s' cannot be a name in '%s'", key->text, setting->name);
            error_remedy(reader->error, "a name is %s", entries->name_rule);
            return KW_CONFIGURATION;
        }
        const char *name = arena_text(&reader->settings->memory, key->text);
        if (name == NULL)
            return error_memory(reader->error);
        set_text(entry, entries->name_offset, name);
        set_place(entry, entries->place_offset, place_of(key));
        kw_status status = read_table(reader, setting->table, key->text, node->items[i], place_of(key), entry);
        if (status != KW_OK)
            return status;
    }
    set_array(target, setting, array, node->count);
    return KW_OK;
}

static kw_status read_options(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    struct arena *memory = &reader->settings->memory;
    if (node->kind != YAML_MAPPING)
        return type_error(reader, setting->name, "a mapping from options to values", node);
    struct option_setting *options = arena_allocate(memory, node->count * sizeof(*options));
    if (options == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *key = node->keys[i], *value = node->items[i];
        if (value->kind != YAML_SCALAR)
            return type_error(reader, key->text, "a single value", value);
        if (!value->quoted && word_kind(value->text) == WORD_NULL)
            return node_error(reader, value, "'%s' is empty", key->text);
        options[i] = (struct option_setting){
            .name = arena_text(memory, key->text),
            .text = arena_text(memory, value->text),
            .name_place = place_of(key),
            .text_place = place_of(value),
        };
        if (memory->failed)
            return error_memory(reader->error);
        kw_status status = warn_source(reader, value->text);
        if (status != KW_OK)
            return status;
    }
    set_array(target, setting, options, node->count);
    return KW_OK;
}

static kw_status (*const readers[SETTING_TYPE_COUNT])(struct settings_reader *reader, const struct setting *setting,
                                                      const struct yaml_node *node, void *target) = {
    [SETTING_VERSION] = read_version,   [SETTING_TEXT] = read_text,       [SETTING_CHOICE] = read_choice,
    [SETTING_PATH] = read_path,         [SETTING_SOURCE] = read_source,   [SETTING_STORE] = read_store,
    [SETTING_STORE_ID] = read_store_id, [SETTING_PLUGIN] = read_plugin,   [SETTING_BOOLEAN] = read_boolean,
    [SETTING_FLAG] = read_flag,         [SETTING_PATHS] = read_paths,     [SETTING_HOSTS] = read_hosts,
    [SETTING_TABLE] = read_inner_table, [SETTING_ENTRIES] = read_entries, [SETTING_OPTIONS] = read_options,
};

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
        node_error(reader, key, "here is no key of the configuration");
    else
        node_error(reader, key, "unknown key '%s'%s", key->text, nearest_hint(hint, key->text, names, table->count));
    error_remedy(reader->error, "known here: %s", list);
    return KW_CONFIGURATION;
}

/* `name` and `place`: what the table is of (NULL: the file), and where a missing key is missing. */
static kw_status read_table(struct settings_reader *reader, const struct setting_table *table, const char *name,
                            const struct yaml_node *node, struct place place, void *target)
{
    if (node->kind != YAML_MAPPING)
        return type_error(reader, name, "a mapping of settings", node);
    for (size_t i = 0; i < table->count; i++) {
        const int unset = -1;
        if (table->settings[i].type == SETTING_FLAG)
            memcpy(member(target, table->settings[i].offset), &unset, sizeof(unset));
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct setting *setting = NULL;
        for (size_t j = 0; j < table->count && setting == NULL; j++) {
            if (strcmp(node->keys[i]->text, table->settings[j].name) == 0)
                setting = &table->settings[j];
        }
        if (setting == NULL)
            return unknown_key(reader, table, node->keys[i]);
        kw_status status = readers[setting->type](reader, setting, node->items[i], target);
        if (status != KW_OK)
            return status;
        set_place(target, setting->place_offset, place_of(node->items[i]));
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
        return node_error(reader, root, "the file must be a mapping of settings, but here is %s", node_text(root));
    const struct yaml_node *version = yaml_get(root, "version"), *allow = yaml_get(root, "allow_inline_secrets");
    if (version != NULL) {
        kw_status status = read_version(reader, &settings_table.settings[0], version, NULL);
        if (status != KW_OK)
            return status;
    }
    if (allow != NULL && (allow->kind != YAML_SCALAR || !parse_boolean(allow->text, &reader->allow_inline)))
        reader->allow_inline = false; /* said when the key's turn comes */
    return read_table(reader, &settings_table, NULL, root, place_of(root), reader->settings);
}
