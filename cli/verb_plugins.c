#include "verb.h"

#include <string.h>

static const char *const option_types[] = {
    [KW_OPTION_STRING] = "text", [KW_OPTION_INTEGER] = "integer",   [KW_OPTION_BOOLEAN] = "true or false",
    [KW_OPTION_PATH] = "path",   [KW_OPTION_DURATION] = "duration", [KW_OPTION_SECRET] = "secret source",
};

static const char *option_type(const kw_option *option)
{
    size_t index = (size_t)option->type;
    const char *name = index < sizeof(option_types) / sizeof(option_types[0]) ? option_types[index] : NULL;

    return name != NULL ? name : "unknown";
}

static json_t *option_json(const kw_option *option)
{
    json_t *bounds = option->minimum == 0 && option->maximum == 0
                         ? json_null()
                         : json_pack("[I,I]", (json_int_t)option->minimum, (json_int_t)option->maximum);

    return json_pack("{s:s,s:s,s:b,s:b,s:o,s:o,s:o,s:s}", "name", option->name, "type", option_type(option), "required",
                     option->required != 0 ? 1 : 0, "secret", option->type == KW_OPTION_SECRET ? 1 : 0, "default",
                     json_text(option->fallback), "choices", json_text(option->choices), "bounds", bounds, "help",
                     option->help != NULL ? option->help : "");
}

static json_t *plugin_json(const kw_plugin_info *plugin)
{
    json_t *options = json_array(), *document;

    if (plugin->problem != NULL) {
        json_decref(options);
        return json_pack("{s:s,s:s,s:s}", "name", plugin->name, "path", plugin->path, "problem", plugin->problem);
    }
    for (size_t i = 0; i < plugin->option_count; i++) {
        if (json_array_append_new(options, option_json(&plugin->options[i])) != 0) {
            json_decref(options);
            return NULL;
        }
    }
    document = json_pack("{s:s,s:s,s:s,s:s,s:[i,i],s:o,s:n}", "name", plugin->name, "version", plugin->version,
                         "summary", plugin->summary, "path", plugin->path, "abi", (int)plugin->abi_major,
                         (int)plugin->abi_minor, "options", options, "problem");
    return document;
}

static kw_status print_all_json(const kw_plugin_list *list, kw_error *error)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++) {
        if (json_array_append_new(array, plugin_json(&list->plugins[i])) != 0) {
            json_decref(array);
            return problem_memory(error);
        }
    }
    return json_print(array, error);
}

static kw_status print_all(const kw_plugin_list *list, kw_error *error)
{
    static const struct column columns[] = {{.title = "PLUGIN"},
                                            {.title = "VERSION", .optional = 1},
                                            {.title = "ABI", .optional = 2},
                                            {.title = "SUMMARY", .gives_way = true}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    kw_status status = table != NULL ? KW_OK : problem_memory(error);

    for (size_t i = 0; status == KW_OK && i < list->count; i++) {
        const kw_plugin_info *plugin = &list->plugins[i];
        char abi[32];
        snprintf(abi, sizeof(abi), "%u.%u", plugin->abi_major, plugin->abi_minor);
        if (plugin->problem != NULL) {
            const char *const cells[] = {plugin->name, "-", "-", plugin->problem};
            status = table_add(table, cells, sizeof(cells) / sizeof(cells[0]), TINT_BAD, error);
        } else {
            const char *const cells[] = {plugin->name, plugin->version, abi, plugin->summary};
            status = table_add(table, cells, sizeof(cells) / sizeof(cells[0]), TINT_NONE, error);
        }
    }
    if (status == KW_OK && list->count > 0)
        status = table_print(table, error);
    table_free(table);
    return status;
}

/* "text, one of a|b", "integer, 1 to 9, default 4". */
static void describe(char *text, size_t size, const kw_option *option)
{
    int length = snprintf(text, size, "%s%s", option_type(option), option->required != 0 ? ", required" : "");

    if (option->choices != NULL)
        length += snprintf(text + length, size - (size_t)length, ", one of %.100s", option->choices);
    if (option->minimum != 0 || option->maximum != 0)
        length += snprintf(text + length, size - (size_t)length, ", %lld to %lld%s", (long long)option->minimum,
                           (long long)option->maximum, option->type == KW_OPTION_DURATION ? " ms" : "");
    if (option->fallback != NULL)
        snprintf(text + length, size - (size_t)length, ", default %.60s", option->fallback);
}

static kw_status print_one(const kw_plugin_info *plugin, kw_error *error)
{
    static const struct column columns[] = {
        {.title = "OPTION"}, {.title = "VALUE", .wraps = true}, {.title = "MEANING", .wraps = true}};
    struct table *details = details_new(), *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    kw_status status = details != NULL && table != NULL ? KW_OK : problem_memory(error);

    if (status == KW_OK)
        status = details_add(details, "Plugin", plugin->name, error);
    if (status == KW_OK)
        status = details_add(details, "Summary", plugin->summary, error);
    if (status == KW_OK)
        status = details_add(details, "Version", plugin->version, error);
    if (status == KW_OK)
        status = details_format(details, error, "ABI", "%u.%u", plugin->abi_major, plugin->abi_minor);
    if (status == KW_OK)
        status = details_add(details, "Module", plugin->path, error);
    for (size_t i = 0; status == KW_OK && i < plugin->option_count; i++) {
        char value[320];
        describe(value, sizeof(value), &plugin->options[i]);
        const char *const cells[] = {plugin->options[i].name, value, plugin->options[i].help};
        status = table_add(table, cells, sizeof(cells) / sizeof(cells[0]), TINT_NONE, error);
    }
    if (status == KW_OK)
        status = table_print(details, error);
    if (status == KW_OK && plugin->option_count > 0) {
        fputc('\n', stdout);
        status = table_print(table, error);
    }
    table_free(details);
    table_free(table);
    return status;
}

static kw_status find_and_print(const struct session *session, const kw_plugin_list *list, const char *name,
                                kw_error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        const kw_plugin_info *plugin = &list->plugins[i];
        if (strcmp(plugin->name, name) != 0)
            continue;
        if (session->json)
            return json_print(plugin_json(plugin), error);
        if (plugin->problem != NULL) {
            problem_set(error, KW_UNSUPPORTED, "plugin '%s' cannot be loaded: %s", plugin->name, plugin->problem);
            snprintf(error->where, sizeof(error->where), "%s", plugin->path);
            return KW_UNSUPPORTED;
        }
        return print_one(plugin, error);
    }
    problem_set(error, KW_NOT_FOUND, "there is no plugin '%s'", name);
    problem_remedy(error, "'keywright plugins' lists those that are installed");
    return KW_NOT_FOUND;
}

static kw_status plugins_run(struct session *session, kw_error *error)
{
    const char *name = argument_word(&session->arguments, 0);
    kw_open_options options = session_options(session);
    kw_plugin_list *list = NULL;
    kw_status status = kw_plugins(&options, &list, error);

    if (status != KW_OK)
        return status;
    if (name != NULL)
        status = find_and_print(session, list, name, error);
    else
        status = session->json ? print_all_json(list, error) : print_all(list, error);
    kw_plugin_list_free(list);
    return status;
}

const struct verb verb_plugins = {
    .name = "plugins",
    .synopsis = "[NAME]",
    .summary = "lists the installed plugins; with NAME, one plugin's options",
    .description = "Lists the key-storage plugins in the configured directories. With NAME, tells what one is\n"
                   "and which options a store of it takes in the configuration.",
    .words = "NAME",
    .words_maximum = 1,
    .examples = {"keywright plugins", "keywright plugins softstore"},
    .run = plugins_run,
};
