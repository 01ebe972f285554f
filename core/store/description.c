#include "store/description.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define OPTIONS_MAXIMUM 256u

bool module_name_is_clean(const char *name, size_t length)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    return length > 0 && length <= MODULE_NAME_MAXIMUM && strspn(name, allowed) >= length;
}

bool module_file_name(const char *file, const char **name, size_t *length)
{
    const size_t prefix = strlen(MODULE_PREFIX), suffix = strlen(MODULE_SUFFIX), whole = strlen(file);

    if (whole <= prefix + suffix || strncmp(file, MODULE_PREFIX, prefix) != 0 ||
        strcmp(file + whole - suffix, MODULE_SUFFIX) != 0)
        return false;
    *name = file + prefix;
    *length = whole - prefix - suffix;
    return module_name_is_clean(*name, *length);
}

kw_status description_malformed(kw_error *error, const char *path, const char *why)
{
    const kw_status status = error_set(error, KW_FAILED, "the plugin '%s' is malformed: %s", path, why);
    error_remedy(error, "ask its maker for a module that follows keywright/plugin.h");
    return status;
}

static kw_status option_check_row(const char *path, const kw_option *options, size_t at, kw_error *error)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    const kw_option *row = &options[at];
    const bool number = row->type == KW_OPTION_INTEGER || row->type == KW_OPTION_DURATION;
    const char *why = NULL;
    char text[160];

    if (row->name == NULL || row->name[0] == '\0' || strspn(row->name, allowed) != strlen(row->name)) {
        snprintf(text, sizeof(text), "row %zu of its option table has no name of lower-case letters, digits and _",
                 at + 1);
        return description_malformed(error, path, text);
    }
    if (row->type < KW_OPTION_STRING || row->type > KW_OPTION_SECRET)
        why = "is of an unknown type";
    else if (row->help == NULL)
        why = "has no help";
    else if (row->choices != NULL && row->type != KW_OPTION_STRING)
        why = "has choices and is not a string";
    else if (row->minimum > row->maximum)
        why = "has a minimum above its maximum";
    else if (!number && (row->minimum != 0 || row->maximum != 0))
        why = "has bounds and is not a number";
    else if (row->fallback != NULL && row->type == KW_OPTION_SECRET)
        why = "is a secret with a default";
    else if (row->fallback != NULL && row->required != 0)
        why = "is required and has a default";
    for (size_t i = 0; i < at && why == NULL; i++)
        if (strcmp(options[i].name, row->name) == 0)
            why = "is there twice";
    if (why == NULL)
        return KW_OK;
    snprintf(text, sizeof(text), "its option '%.64s' %s", row->name, why);
    return description_malformed(error, path, text);
}

static kw_status operations_check(const char *path, const kw_plugin_operations *operations, kw_error *error)
{
    const struct {
        const char *name;
        bool present;
    } mandatory[] = {
        {"open", operations->open != NULL},
        {"close", operations->close != NULL},
        {"health", operations->health != NULL},
        {"key_find", operations->key_find != NULL},
        {"key_open", operations->key_open != NULL},
        {"key_close", operations->key_close != NULL},
        {"key_public", operations->key_public != NULL},
        {"sign", operations->sign != NULL},
    };
    char text[96];

    for (size_t i = 0; i < sizeof(mandatory) / sizeof(mandatory[0]); i++)
        if (!mandatory[i].present) {
            snprintf(text, sizeof(text), "the mandatory operation '%s' is missing", mandatory[i].name);
            return description_malformed(error, path, text);
        }
    return KW_OK;
}

static bool text_equals(const char *text, const char *view, size_t length)
{
    return strlen(text) == length && memcmp(text, view, length) == 0;
}

/* The major comes first: all else depends on it. */
kw_status description_read(const char *path, const kw_plugin *given, struct module *module, kw_error *error)
{
    const char *name;
    size_t length, size;
    kw_status status;

    if (given == NULL)
        return description_malformed(error, path, "kw_plugin_query returned no description");
    if (given->abi_major != KW_ABI_MAJOR) {
        status = error_set(error, KW_UNSUPPORTED,
                           "the plugin '%s' is for version %u of the plugin interface, this is version %u", path,
                           (unsigned)given->abi_major, KW_ABI_MAJOR);
        error_remedy(error, "install the plugin that belongs to this version of Keywright");
        return status;
    }
    if (!KW_HAS(given, operations)) /* NOLINT(bugprone-sizeof-expression): the size of the pointer is meant */
        return description_malformed(error, path, "its description is too short");
    size = given->size < sizeof(module->plugin) ? given->size : sizeof(module->plugin);
    memcpy(&module->plugin, given, size);
    if (!module_file_name(path_name(path), &name, &length) || given->name == NULL ||
        !text_equals(given->name, name, length))
        return description_malformed(error, path, "the name in its description is not the one of its file");
    if (given->version == NULL || given->summary == NULL)
        return description_malformed(error, path, "it has no version or no summary");
    if (given->option_count > OPTIONS_MAXIMUM || (given->option_count > 0 && given->options == NULL))
        return description_malformed(error, path, "its option table is missing or too long");
    for (size_t i = 0; i < given->option_count; i++) {
        status = option_check_row(path, given->options, i, error);
        if (status != KW_OK)
            return status;
    }
    if (given->operations == NULL)
        return description_malformed(error, path, "it has no operations");
    if (given->operations->size < sizeof(given->operations->size))
        return description_malformed(error, path, "its table of operations is too short");
    size = given->operations->size < sizeof(module->operations) ? given->operations->size : sizeof(module->operations);
    memcpy(&module->operations, given->operations, size);
    module->plugin.operations = &module->operations;
    return operations_check(path, &module->operations, error);
}
