#include "store/options.h"

#include "base/buffer.h"
#include "base/file.h"
#include "config/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct option_setting *options_setting(const struct store_settings *store, const char *name)
{
    for (size_t i = 0; i < store->option_count; i++)
        if (strcmp(store->options[i].name, name) == 0)
            return &store->options[i];
    return NULL;
}

void options_clear(struct options *options)
{
    arena_free(&options->arena);
    *options = (struct options){0};
}

static const kw_option *table_find(const kw_plugin *plugin, const char *name)
{
    for (size_t i = 0; i < plugin->option_count; i++)
        if (strcmp(plugin->options[i].name, name) == 0)
            return &plugin->options[i];
    return NULL;
}

static kw_status unknown_option(const struct settings *settings, const struct option_setting *setting,
                                const kw_plugin *plugin, kw_error *error)
{
    kw_status status = KW_OK;
    struct buffer known = {0};
    const char **names = calloc(plugin->option_count + 1, sizeof(*names));
    const char *nearest;

    for (size_t i = 0; names != NULL && i < plugin->option_count; i++) {
        names[i] = plugin->options[i].name;
        buffer_format(&known, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    buffer_append_u8(&known, 0);
    if (names == NULL || known.failed) {
        status = error_memory(error);
        goto out;
    }
    nearest = nearest_name(setting->name, names, plugin->option_count);
    status = settings_error(settings, setting->name_place, error, "the plugin '%s' has no option '%s'", plugin->name,
                            setting->name);
    if (nearest != NULL)
        error_remedy(error, "did you mean '%s'?", nearest);
    else if (plugin->option_count > 0)
        error_remedy(error, "its options are: %s", (const char *)known.data);
    else
        error_remedy(error, "it has none: leave `options` out");
out:
    buffer_free(&known);
    free(names);
    return status;
}

static bool choices_contain(const char *choices, const char *text)
{
    const size_t length = strlen(text);

    for (const char *at = choices; length > 0;) {
        const size_t span = strcspn(at, "|");
        if (span == length && memcmp(at, text, length) == 0)
            return true;
        if (at[span] == '\0')
            break;
        at += span + 1;
    }
    return false;
}

/* Why `text` is no value of the option, as the end of a sentence; NULL when it is one. Fills `value->integer`. */
static const char *value_problem(const kw_option *option, const char *text, int64_t *integer)
{
    bool flag;

    switch (option->type) {
    case KW_OPTION_STRING:
        if (!text_is_clean(text, strlen(text)))
            return "is not UTF-8 without control characters";
        if (option->choices != NULL && !choices_contain(option->choices, text))
            return "is none of the allowed values";
        return NULL;
    case KW_OPTION_INTEGER:
        if (!parse_integer(text, integer))
            return "is not a whole number";
        break;
    case KW_OPTION_BOOLEAN:
        if (!parse_boolean(text, &flag))
            return "is neither true nor false";
        *integer = flag ? 1 : 0;
        return NULL;
    case KW_OPTION_PATH:
        return text[0] == '\0' ? "is no path" : NULL;
    case KW_OPTION_DURATION:
        if (!parse_duration(text, integer))
            return "is no duration such as 500ms, 5s, 15m, 2h or 1d";
        break;
    case KW_OPTION_SECRET:
        return NULL;
    }
    if ((option->minimum != 0 || option->maximum != 0) && (*integer < option->minimum || *integer > option->maximum))
        return "is out of bounds";
    return NULL;
}

static void value_remedy(const kw_option *option, kw_error *error)
{
    const char *const unit = option->type == KW_OPTION_DURATION ? " ms" : "";

    if (option->choices != NULL)
        error_remedy(error, "write one of %s", option->choices);
    else if (option->minimum != 0 || option->maximum != 0)
        error_remedy(error, "write one from %" PRId64 "%s to %" PRId64 "%s", option->minimum, unit, option->maximum,
                     unit);
}

static kw_status secret_check(const struct settings *settings, const struct option_setting *setting, kw_error *error)
{
    kw_error inner = {0};
    const unsigned allowed = SOURCE_SUBKEY | (settings->allow_inline_secrets ? SOURCE_INLINE : 0);
    const kw_status status = source_check(setting->text, allowed, &inner);

    if (status == KW_OK)
        return KW_OK;
    (void)settings_error(settings, setting->text_place, error, "option '%s': %s", setting->name, inner.message);
    if (inner.remedy[0] != '\0')
        error_remedy(error, "%s", inner.remedy);
    return status;
}

static kw_status row_add(const struct settings *settings, const kw_plugin *plugin, const kw_option *option,
                         const struct option_setting *setting, struct options *options, kw_error *error)
{
    kw_status status = KW_OK;
    const char *text = setting != NULL ? setting->text : option->fallback;
    char *resolved = NULL;
    int64_t integer = 0;
    kw_option_value *row;
    const char *const problem = value_problem(option, text, &integer);

    if (problem != NULL && setting == NULL) {
        status = error_set(error, KW_FAILED, "the plugin '%s' is malformed: the default '%s' of its option '%s' %s",
                           plugin->name, text, option->name, problem);
        goto out;
    }
    if (problem != NULL) {
        status = settings_error(settings, setting->text_place, error, "the value '%s' of option '%s' %s", text,
                                option->name, problem);
        value_remedy(option, error);
        goto out;
    }
    if (option->type == KW_OPTION_PATH) {
        resolved = path_resolve(settings->directory, text);
        text = resolved;
    }
    row = &options->rows[options->count++];
    row->name = option->name;
    row->text = arena_text(&options->arena, text);
    row->integer = integer;
    if (row->text == NULL)
        status = error_memory(error);
out:
    free(resolved);
    return status;
}

kw_status options_read(const struct settings *settings, const struct store_settings *store, const struct module *module,
                       struct options *options, kw_error *error)
{
    const kw_plugin *const plugin = &module->plugin;
    struct options made = {0};
    kw_status status = KW_OK;

    for (size_t i = 0; i < store->option_count; i++)
        if (table_find(plugin, store->options[i].name) == NULL) {
            status = unknown_option(settings, &store->options[i], plugin, error);
            goto out;
        }
    made.rows = arena_allocate(&made.arena, (plugin->option_count + 1) * sizeof(*made.rows));
    if (made.rows == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; i < plugin->option_count && status == KW_OK; i++) {
        const kw_option *const option = &plugin->options[i];
        const struct option_setting *const setting = options_setting(store, option->name);

        if (setting == NULL && option->required != 0) {
            status =
                settings_error(settings, store->place, error, "the store '%s' lacks the option '%s' of its plugin '%s'",
                               store->name, option->name, plugin->name);
            error_remedy(error, "%s: %s", option->name, option->help);
        } else if (setting != NULL && option->type == KW_OPTION_SECRET)
            status = secret_check(settings, setting, error);
        else if (setting != NULL || option->fallback != NULL)
            status = row_add(settings, plugin, option, setting, &made, error);
    }
    if (status != KW_OK)
        goto out;
    *options = made;
    made = (struct options){0};
out:
    options_clear(&made);
    return status;
}
