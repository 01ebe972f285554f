/* Settings that are one value, or a list of them. */
#include "config/settings_value.h"

#include "base/file.h"
#include "config/connections.h"
#include "config/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Errors ---- */

struct place reader_place(const struct yaml_node *node)
{
    return (struct place){node->line, node->column};
}

kw_status reader_error(struct settings_reader *reader, const struct yaml_node *node, const char *format, ...)
{
    char message[sizeof(((kw_error *)0)->message)] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return settings_error(reader->settings, reader_place(node), reader->error, "%s", message);
}

const char *reader_node_text(const struct yaml_node *node)
{
    static const char *const words[] = {
        [WORD_STRING] = "a string",  [WORD_NULL] = "nothing",   [WORD_BOOLEAN] = "true or false",
        [WORD_INTEGER] = "a number", [WORD_FLOAT] = "a number",
    };
    if (node->kind != YAML_SCALAR)
        return node->kind == YAML_MAPPING ? "a mapping" : "a list";
    return words[node->quoted ? WORD_STRING : word_kind(node->text)];
}

kw_status reader_type_error(struct settings_reader *reader, const char *name, const char *wanted,
                            const struct yaml_node *node)
{
    return reader_error(reader, node, "'%s' must be %s, but here is %s", name, wanted, reader_node_text(node));
}

/* ---- Members ---- */

void *reader_member(void *target, size_t offset)
{
    return (unsigned char *)target + offset;
}

void reader_set_text(void *target, size_t offset, const char *text)
{
    memcpy(reader_member(target, offset), &text, sizeof(text));
}

void reader_set_array(void *target, const struct setting *setting, const void *array, size_t count)
{
    memcpy(reader_member(target, setting->offset), &array, sizeof(array));
    memcpy(reader_member(target, setting->count_offset), &count, sizeof(count));
}

void reader_set_place(void *target, size_t offset, struct place place)
{
    if (offset != NO_OFFSET)
        memcpy(reader_member(target, offset), &place, sizeof(place));
}

/* ---- Scalars ---- */

/* A string that is not empty. One that YAML takes for something else must be quoted, so that all readers read the same. */
static kw_status check_string(struct settings_reader *reader, const char *name, const struct yaml_node *node)
{
    if (node->kind != YAML_SCALAR)
        return reader_type_error(reader, name, "a string", node);
    enum word_kind kind = node->quoted ? WORD_STRING : word_kind(node->text);
    if (kind == WORD_NULL || node->text[0] == '\0')
        return reader_error(reader, node, "'%s' is empty", name);
    if (kind != WORD_STRING) {
        reader_type_error(reader, name, "a string", node);
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
    reader_set_text(target, setting->offset, copy);
    return KW_OK;
}

static kw_status read_version(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    (void)target;
    int64_t version;
    if (node->kind != YAML_SCALAR || node->quoted || !parse_integer(node->text, &version)) {
        reader_type_error(reader, setting->name, "a whole number", node);
        error_remedy(reader->error, "write %s: %d", setting->name, SETTINGS_VERSION);
        return KW_CONFIGURATION;
    }
    if (version == SETTINGS_VERSION)
        return KW_OK;
    reader_error(reader, node, "the configuration is of version %lld; Keywright %s reads version %d",
                 (long long)version, kw_version(), SETTINGS_VERSION);
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
        return reader_error(reader, node, "'%s' is longer than %zu bytes", setting->name, setting->maximum);
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
    reader_error(reader, node, "'%s' cannot be '%s'%s", setting->name, node->text,
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
        return reader_error(reader, node, "'%s' begins with ~, which only shells replace by a home directory", name);
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
        reader_set_text(target, setting->offset, path);
    return status;
}

/* Whether the address is one, a floor above knows. */
static kw_status read_key(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                          void *target)
{
    if (node->kind == YAML_SCALAR && strncmp(node->text, CONNECTION_STORE_KEY, strlen(CONNECTION_STORE_KEY)) == 0)
        return store_text(reader, setting, node->text, target);
    return read_path(reader, setting, node, target);
}

kw_status reader_warn_source(struct settings_reader *reader, const char *source)
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
    if (source_check(node->text, reader->allow_inline ? SOURCE_INLINE : 0, &reason) != KW_OK) {
        reader_error(reader, node, "'%s': %s", setting->name, reason.message);
        error_remedy(reader->error, "%s", reason.remedy);
        return KW_CONFIGURATION;
    }
    char *resolved = source_resolve(node->text, reader->settings->directory);
    if (resolved == NULL)
        return error_memory(reader->error);
    status = store_text(reader, setting, resolved, target);
    free(resolved);
    return status == KW_OK ? reader_warn_source(reader, node->text) : status;
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
    const char *names[64] = {0};
    char hint[HINT_SIZE];
    size_t count = 0;
    for (size_t i = 0; stores != NULL && stores->kind == YAML_MAPPING && i < stores->count && count < 64; i++)
        names[count++] = stores->keys[i]->text;
    reader_error(reader, node, "there is no store '%s'%s", node->text, nearest_hint(hint, node->text, names, count));
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
        return reader_error(reader, node, "'%s' must be 8 to 32 hex digits (0-9, a-f)", setting->name);
    const struct yaml_node *stores = yaml_get(reader->root, "stores");
    for (size_t i = 0; i < stores->count; i++) {
        const struct yaml_node *other = yaml_get(stores->items[i], setting->name);
        if (other == node)
            break;
        if (other != NULL && other->kind == YAML_SCALAR && strcmp(other->text, node->text) == 0)
            return reader_error(reader, node, "the store '%s' in line %u has this id already", stores->keys[i]->text,
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
        reader_error(reader, node, "'%s' is no plugin", node->text);
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
        return reader_type_error(reader, setting->name, "true or false", node);
    return KW_OK;
}

static kw_status read_boolean(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    bool value;
    kw_status status = parse_yes(reader, setting, node, &value);
    if (status == KW_OK)
        memcpy(reader_member(target, setting->offset), &value, sizeof(value));
    return status;
}

static kw_status read_flag(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    bool value = false;
    kw_status status = parse_yes(reader, setting, node, &value);
    const int flag = status == KW_OK && value;
    if (status == KW_OK)
        memcpy(reader_member(target, setting->offset), &flag, sizeof(flag));
    return status;
}

static kw_status store_number(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, int64_t value, const char *unit, void *target)
{
    if (value < 1 || (uint64_t)value > setting->maximum)
        return reader_error(reader, node, "'%s' must be from 1 to %zu%s", setting->name, setting->maximum, unit);
    memcpy(reader_member(target, setting->offset), &value, sizeof(value));
    return KW_OK;
}

static kw_status read_duration(struct settings_reader *reader, const struct setting *setting,
                               const struct yaml_node *node, void *target)
{
    int64_t milliseconds = 0;
    if (node->kind != YAML_SCALAR || !parse_duration(node->text, &milliseconds))
        return reader_type_error(reader, setting->name, "a duration such as 500ms, 10s or 2m", node);
    return store_number(reader, setting, node, milliseconds, " ms", target);
}

static kw_status read_size(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    int64_t bytes = 0;
    if (node->kind != YAML_SCALAR || node->quoted || !parse_integer(node->text, &bytes))
        return reader_type_error(reader, setting->name, "a whole number of bytes in plain decimal digits", node);
    return store_number(reader, setting, node, bytes, " bytes", target);
}

static kw_status read_count(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                            void *target)
{
    int64_t count = 0;
    if (node->kind != YAML_SCALAR || node->quoted || !parse_integer(node->text, &count))
        return reader_type_error(reader, setting->name, "a whole number", node);
    return store_number(reader, setting, node, count, " of them", target);
}

static kw_status read_port(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    int64_t port = 0;
    if (node->kind != YAML_SCALAR || node->quoted || !parse_integer(node->text, &port))
        return reader_type_error(reader, setting->name, "a whole number", node);
    return store_number(reader, setting, node, port, "", target);
}

/* ---- Lists, and what is in them ---- */

static kw_status check_host(struct settings_reader *reader, const char *name, const struct yaml_node *node,
                            const char **host)
{
    kw_status status = check_string(reader, name, node);
    if (status != KW_OK)
        return status;
    if (host_kind(node->text) == HOST_INVALID) {
        reader_error(reader, node, "'%s' is neither a host's name nor an IP address", node->text);
        error_remedy(reader->error, "write it without a port, brackets and zone, and names beyond ASCII as xn--...");
        return KW_CONFIGURATION;
    }
    *host = arena_text(&reader->settings->memory, node->text);
    return *host == NULL ? error_memory(reader->error) : KW_OK;
}

static kw_status read_host(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target)
{
    const char *host = NULL;
    kw_status status = check_host(reader, setting->name, node, &host);
    if (status == KW_OK)
        reader_set_text(target, setting->offset, host);
    return status;
}

static kw_status read_list(struct settings_reader *reader, const struct setting *setting, const struct yaml_node *node,
                           void *target,
                           kw_status (*read_item)(struct settings_reader *reader, const char *name,
                                                  const struct yaml_node *node, const char **text))
{
    if (node->kind != YAML_SEQUENCE) {
        reader_type_error(reader, setting->name, "a list", node);
        error_remedy(reader->error, "write it as %s: [ONE, OTHER]", setting->name);
        return KW_CONFIGURATION;
    }
    if (node->count == 0)
        return reader_error(reader, node, "'%s' is an empty list", setting->name);
    const char **list = arena_allocate(&reader->settings->memory, node->count * sizeof(*list));
    if (list == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < node->count; i++) {
        kw_status status = read_item(reader, setting->name, node->items[i], &list[i]);
        if (status != KW_OK)
            return status;
    }
    reader_set_array(target, setting, list, node->count);
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

static kw_status check_usage(struct settings_reader *reader, const char *name, const struct yaml_node *node,
                             const char **usage)
{
    char hint[HINT_SIZE];
    size_t count = 0;
    kw_status status = check_string(reader, name, node);
    if (status != KW_OK)
        return status;
    while (usage_names[count] != NULL)
        count++;
    if (!usage_is_valid(node->text)) {
        reader_error(reader, node, "'%s' is no extended key usage%s", node->text,
                     nearest_hint(hint, node->text, usage_names, count));
        error_remedy(reader->error, "one of serverAuth, clientAuth, codeSigning, emailProtection, timeStamping, "
                                    "OCSPSigning, or an object identifier such as 1.3.6.1.4.1.311.20.2.2");
        return KW_CONFIGURATION;
    }
    *usage = arena_text(&reader->settings->memory, node->text);
    return *usage == NULL ? error_memory(reader->error) : KW_OK;
}

static kw_status read_usages(struct settings_reader *reader, const struct setting *setting,
                             const struct yaml_node *node, void *target)
{
    return read_list(reader, setting, node, target, check_usage);
}

/* ---- Which it is ---- */

static kw_status (*const readers[SETTING_TYPE_COUNT])(struct settings_reader *reader, const struct setting *setting,
                                                      const struct yaml_node *node, void *target) = {
    [SETTING_VERSION] = read_version,   [SETTING_TEXT] = read_text,         [SETTING_CHOICE] = read_choice,
    [SETTING_PATH] = read_path,         [SETTING_SOURCE] = read_source,     [SETTING_STORE] = read_store,
    [SETTING_STORE_ID] = read_store_id, [SETTING_PLUGIN] = read_plugin,     [SETTING_BOOLEAN] = read_boolean,
    [SETTING_FLAG] = read_flag,         [SETTING_PATHS] = read_paths,       [SETTING_HOSTS] = read_hosts,
    [SETTING_USAGES] = read_usages,     [SETTING_DURATION] = read_duration, [SETTING_SIZE] = read_size,
    [SETTING_COUNT] = read_count,       [SETTING_HOST] = read_host,         [SETTING_PORT] = read_port,
    [SETTING_KEY] = read_key,
};

kw_status settings_value_read(struct settings_reader *reader, const struct setting *setting,
                              const struct yaml_node *node, void *target)
{
    return readers[setting->type](reader, setting, node, target);
}
