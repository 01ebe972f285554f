/* The description: what kw_plugin_query returns. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

static bool is_name(const char *name, const char *others)
{
    if (name == NULL || *name == '\0')
        return false;
    for (; *name != '\0'; name++)
        if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') && strchr(others, *name) == NULL)
            return false;
    return true;
}

static void check_option(const kw_option *option)
{
    const char *name = option->name != NULL ? option->name : "(no name)";
    require(ABI_OPTIONS, is_name(option->name, "_"), "option '%s': the name is not of lower-case letters, digits and _",
            name);
    require(ABI_OPTIONS, option->type >= KW_OPTION_STRING && option->type <= KW_OPTION_SECRET,
            "option '%s': type %d is unknown", name, (int)option->type);
    require(ABI_OPTIONS, option->help != NULL && *option->help != '\0', "option '%s' has no help", name);
    require(ABI_OPTIONS, option->required == 0 || option->fallback == NULL, "option '%s' is required and has a default",
            name);
    require(ABI_OPTIONS, option->type != KW_OPTION_SECRET || option->fallback == NULL,
            "option '%s': a secret has a default", name);
    require(ABI_OPTIONS, option->minimum <= option->maximum, "option '%s': the minimum exceeds the maximum", name);
    require(ABI_OPTIONS, option->choices == NULL || option->type == KW_OPTION_STRING,
            "option '%s' has choices and is no string", name);
    if (option->type == KW_OPTION_INTEGER && option->fallback != NULL) {
        char *end = NULL;
        long long value = strtoll(option->fallback, &end, 10);
        require(ABI_OPTIONS,
                *end == '\0' && ((option->minimum == 0 && option->maximum == 0) ||
                                 (value >= option->minimum && value <= option->maximum)),
                "option '%s': the default '%s' is no integer within the bounds", name, option->fallback);
    }
    if (option->type == KW_OPTION_BOOLEAN && option->fallback != NULL)
        require(ABI_OPTIONS, strcmp(option->fallback, "true") == 0 || strcmp(option->fallback, "false") == 0,
                "option '%s': the default '%s' is neither true nor false", name, option->fallback);
}

void check_description(struct kit *kit)
{
    const kw_plugin *plugin = kit->plugin;
    const kw_plugin_operations *operations = &kit->operations;
    require(ABI_DESCRIPTION, plugin->abi_major == KW_ABI_MAJOR, "ABI major %u", plugin->abi_major);
    require(ABI_DESCRIPTION, plugin->size >= sizeof(size_t) && KW_HAS(plugin, operations), "size %zu", plugin->size);
    require(ABI_DESCRIPTION, is_name(plugin->name, "-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            "the name is not of letters, digits, - and _");
    require(ABI_DESCRIPTION, plugin->version != NULL && *plugin->version != '\0', "there is no version");
    require(ABI_DESCRIPTION, plugin->summary != NULL && strchr(plugin->summary, '\n') == NULL,
            "the summary is not one line");
    require(ABI_OPTIONS, plugin->option_count == 0 || plugin->options != NULL, "options are NULL");
    for (size_t i = 0; plugin->options != NULL && i < plugin->option_count; i++) {
        check_option(&plugin->options[i]);
        for (size_t j = 0; j < i; j++)
            require(ABI_OPTIONS, strcmp(plugin->options[i].name, plugin->options[j].name) != 0,
                    "option '%s' is there twice", plugin->options[i].name);
    }
    const struct {
        const char *name;
        bool there;
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
    for (size_t i = 0; i < sizeof(mandatory) / sizeof(mandatory[0]); i++)
        require(ABI_MANDATORY, mandatory[i].there, "%s is missing", mandatory[i].name);
    bool prepare = operations->fork_prepare != NULL, parent = operations->fork_parent != NULL;
    require(ABI_MANDATORY, prepare == parent, "of fork_prepare and fork_parent there is only one");
}
