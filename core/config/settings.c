#include "config/settings.h"

#include "base/file.h"
#include "config/connections.h"
#include "config/settings_reader.h"
#include "config/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kw_status settings_error(const struct settings *settings, struct place place, kw_error *error, const char *format, ...)
{
    char message[sizeof(((kw_error *)0)->message)] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return error_at(error, KW_CONFIGURATION, settings->path, place.line, place.column, "%s", message);
}

/* ---- Lines ---- */

static size_t count_scalars(const struct yaml_node *node)
{
    size_t count = node->kind == YAML_SCALAR ? 1 : 0;
    for (size_t i = 0; i < node->count; i++)
        count += count_scalars(node->items[i]);
    return count;
}

static void add_lines(struct settings *settings, const struct yaml_node *node, const char *name)
{
    if (node->kind == YAML_SCALAR)
        settings->lines[settings->line_count++] =
            (struct setting_line){.name = name, .text = arena_text(&settings->memory, node->text)};
    for (size_t i = 0; i < node->count && !settings->memory.failed; i++) {
        const char *const inner = node->kind == YAML_SEQUENCE ? arena_format(&settings->memory, "%s.%zu", name, i)
                                  : *name == '\0'             ? arena_text(&settings->memory, node->keys[i]->text)
                                                  : arena_format(&settings->memory, "%s.%s", name, node->keys[i]->text);
        if (inner != NULL)
            add_lines(settings, node->items[i], inner);
    }
}

static int compare_lines(const void *left, const void *right)
{
    const struct setting_line *const a = left, *const b = right;
    return strcmp(a->name, b->name);
}

static kw_status settings_list_lines(struct settings *settings, const struct yaml_node *root, kw_error *error)
{
    settings->lines = arena_allocate(&settings->memory, (count_scalars(root) + 1) * sizeof(*settings->lines));
    if (settings->lines != NULL)
        add_lines(settings, root, "");
    if (settings->lines == NULL || settings->memory.failed)
        return error_memory(error);
    qsort(settings->lines, settings->line_count, sizeof(*settings->lines), compare_lines);
    return KW_OK;
}

/* Who can change the file decides which module is loaded. */
static void warn_file(const struct settings_reader *reader)
{
    kw_error finding = {0};
    if (reader->warning == NULL)
        return;
    if (file_check_trusted(reader->settings->path, &finding) == KW_REFUSED) {
        char sentence[sizeof(finding.message) + sizeof(finding.remedy) + 4];
        snprintf(sentence, sizeof(sentence), "%s: %s", finding.message, finding.remedy);
        reader->warning(reader->user, sentence);
    }
    if (reader->settings->allow_inline_secrets)
        source_warn(reader->settings->path, reader->warning, reader->user);
}

kw_status settings_read(const char *path, settings_warning warning, void *user, struct settings **settings,
                        kw_error *error)
{
    char *absolute = NULL, *directory = NULL;
    struct yaml_node *root = NULL;
    struct settings_reader reader = {.warning = warning, .user = user, .error = error};
    kw_status status = KW_OK;
    struct settings *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    atomic_init(&made->references, 1);
    absolute = path_absolute(path);
    directory = absolute == NULL ? NULL : path_directory(absolute);
    made->path = arena_text(&made->memory, absolute);
    made->directory = arena_text(&made->memory, directory);
    if (made->path == NULL || made->directory == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = yaml_read(made->path, &root, error);
    if (status != KW_OK)
        goto out;
    reader.settings = made;
    reader.root = root;
    status = settings_reader_run(&reader);
    if (status != KW_OK)
        goto out;
    status = connections_settle(made, error);
    if (status != KW_OK)
        goto out;
    status = settings_list_lines(made, root, error);
    if (status != KW_OK)
        goto out;
    warn_file(&reader);
    *settings = made;
    made = NULL;
out:
    settings_free(made);
    yaml_node_free(root);
    free(directory);
    free(absolute);
    return status;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL || atomic_fetch_sub(&settings->references, 1) > 1)
        return;
    arena_wipe(&settings->memory); /* where inline secrets are allowed, some are in it */
    free(settings);
}

struct settings *settings_reference(struct settings *settings)
{
    atomic_fetch_add(&settings->references, 1);
    return settings;
}

/* ---- Questions ---- */

const struct store_settings *settings_store(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->store_count; i++) {
        if (strcmp(settings->stores[i].name, name) == 0)
            return &settings->stores[i];
    }
    return NULL;
}

const struct store_settings *settings_store_by_id(const struct settings *settings, const char *id)
{
    for (size_t i = 0; i < settings->store_count; i++) {
        if (strcmp(settings->stores[i].id, id) == 0)
            return &settings->stores[i];
    }
    return NULL;
}

const struct connection_settings *settings_connection(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->connection_count; i++) {
        if (strcmp(settings->connections[i].name, name) == 0)
            return &settings->connections[i];
    }
    return NULL;
}

const char *settings_database_store(const struct settings *settings, const char *database)
{
    const char *fallback = NULL;
    for (size_t i = 0; i < settings->database_count; i++) {
        const struct database_settings *entry = &settings->databases[i];
        if (strcmp(entry->name, "*") == 0)
            fallback = entry->store;
        else if (strcmp(entry->name, database) == 0)
            return entry->store;
    }
    return fallback;
}

/* The entry whose address is the first `length` bytes of `address`, or NULL. */
static const struct certificate_settings *find_certificate(const struct settings *settings, const char *address,
                                                           size_t length)
{
    for (size_t i = 0; i < settings->certificate_count; i++) {
        const struct certificate_settings *entry = &settings->certificates[i];
        if (strlen(entry->address) == length && strncmp(entry->address, address, length) == 0)
            return entry;
    }
    return NULL;
}

struct certificate_settings settings_certificate(const struct settings *settings, const char *address)
{
    struct certificate_settings result = {.local_addresses = -1, .pkcs1_decrypt = -1};
    const size_t kind_length = strcspn(address, "/");
    const struct certificate_settings *kind = find_certificate(settings, address, kind_length);
    const struct certificate_settings *own = find_certificate(settings, address, strlen(address));
    if (own == NULL)
        return kind == NULL ? result : *kind;
    result = *own;
    if (kind == NULL)
        return result;
    if (result.host_count == 0) {
        result.hosts = kind->hosts;
        result.host_count = kind->host_count;
        result.hosts_place = kind->hosts_place;
    }
    if (result.key == NULL) {
        result.key = kind->key;
        result.key_place = kind->key_place;
    }
    if (result.store == NULL)
        result.store = kind->store;
    if (result.common_name == NULL) {
        result.common_name = kind->common_name;
        result.common_name_place = kind->common_name_place;
    }
    if (result.subject == NULL) {
        result.subject = kind->subject;
        result.subject_place = kind->subject_place;
    }
    if (result.usage_count == 0) {
        result.usages = kind->usages;
        result.usage_count = kind->usage_count;
        result.usages_place = kind->usages_place;
    }
    if (result.local_addresses < 0)
        result.local_addresses = kind->local_addresses;
    if (result.pkcs1_decrypt < 0)
        result.pkcs1_decrypt = kind->pkcs1_decrypt;
    return result;
}
