/* The JSON schema of the configuration, made from the table that reads it. */
#include "config/settings_table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_PATTERN                                                                                                 \
    "^(file:.+|env:[A-Za-z_][A-Za-z0-9_]*|credential:[^./\\\\:][^/\\\\:]*|fd:[0-9]+|prompt|inline:.+)$"

/* jansson's functions take NULL for a failure before and answer with a failure, so one look at the end is enough. */
static int set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value);
}

static json_t *string_schema(const char *pattern)
{
    return pattern == NULL ? json_pack("{s:s, s:i}", "type", "string", "minLength", 1)
                           : json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *list_schema(json_t *items)
{
    return json_pack("{s:s, s:o, s:i}", "type", "array", "items", items, "minItems", 1);
}

static json_t *table_schema(const struct setting_table *table);

static json_t *text_schema(const struct setting *setting)
{
    json_t *schema = string_schema(NULL);
    /* The limit is in bytes and the schema's in characters, of which there are never more. */
    if (setting->maximum > 0 && set(schema, "maxLength", json_integer((json_int_t)setting->maximum)) != 0) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

static json_t *choice_schema(const struct setting *setting)
{
    json_t *choices = json_array();
    for (size_t i = 0; setting->choices[i] != NULL; i++) {
        if (json_array_append_new(choices, json_string(setting->choices[i])) != 0) {
            json_decref(choices);
            return NULL;
        }
    }
    return json_pack("{s:o}", "enum", choices);
}

static json_t *version_schema(const struct setting *setting)
{
    (void)setting;
    return json_pack("{s:i}", "const", SETTINGS_VERSION);
}

static json_t *any_text_schema(const struct setting *setting)
{
    (void)setting;
    return string_schema(NULL);
}

static json_t *source_schema(const struct setting *setting)
{
    (void)setting;
    return string_schema(SOURCE_PATTERN);
}

static json_t *store_schema(const struct setting *setting)
{
    (void)setting;
    return string_schema(STORE_NAME_PATTERN);
}

static json_t *store_id_schema(const struct setting *setting)
{
    (void)setting;
    return string_schema(STORE_ID_PATTERN);
}

static json_t *plugin_schema(const struct setting *setting)
{
    (void)setting;
    return string_schema(PLUGIN_PATTERN);
}

static json_t *boolean_schema(const struct setting *setting)
{
    (void)setting;
    return json_pack("{s:s}", "type", "boolean");
}

static json_t *texts_schema(const struct setting *setting)
{
    (void)setting;
    return list_schema(string_schema(NULL));
}

static json_t *duration_schema(const struct setting *setting)
{
    (void)setting;
    return string_schema("^[0-9]+(ms|s|m|h|d)$");
}

static json_t *size_schema(const struct setting *setting)
{
    return json_pack("{s:s, s:i, s:I}", "type", "integer", "minimum", 1, "maximum", (json_int_t)setting->maximum);
}

static json_t *inner_table_schema(const struct setting *setting)
{
    return table_schema(setting->table);
}

static json_t *entries_schema(const struct setting *setting)
{
    const struct setting_entries *entries = setting->entries;
    json_t *schema =
        json_pack("{s:s, s:o, s:o}", "type", "object", "propertyNames", string_schema(entries->name_pattern),
                  "additionalProperties", table_schema(setting->table));
    if ((entries->reserved != NULL &&
         set(json_object_get(schema, "propertyNames"), "not", json_pack("{s:s}", "const", entries->reserved)) != 0) ||
        (entries->minimum > 0 && set(schema, "minProperties", json_integer((json_int_t)entries->minimum)) != 0) ||
        (entries->maximum > 0 && set(schema, "maxProperties", json_integer((json_int_t)entries->maximum)) != 0)) {
        json_decref(schema);
        return NULL;
    }
    return schema;
}

static json_t *options_schema(const struct setting *setting)
{
    (void)setting;
    return json_pack("{s:s, s:{s:[s, s, s]}}", "type", "object", "additionalProperties", "type", "string", "number",
                     "boolean");
}

static json_t *(*const schemas[SETTING_TYPE_COUNT])(const struct setting *setting) = {
    [SETTING_VERSION] = version_schema,   [SETTING_TEXT] = text_schema,         [SETTING_CHOICE] = choice_schema,
    [SETTING_PATH] = any_text_schema,     [SETTING_SOURCE] = source_schema,     [SETTING_STORE] = store_schema,
    [SETTING_STORE_ID] = store_id_schema, [SETTING_PLUGIN] = plugin_schema,     [SETTING_BOOLEAN] = boolean_schema,
    [SETTING_FLAG] = boolean_schema,      [SETTING_PATHS] = texts_schema,       [SETTING_HOSTS] = texts_schema,
    [SETTING_USAGES] = texts_schema,      [SETTING_TABLE] = inner_table_schema, [SETTING_ENTRIES] = entries_schema,
    [SETTING_OPTIONS] = options_schema,   [SETTING_DURATION] = duration_schema, [SETTING_SIZE] = size_schema,
    [SETTING_COUNT] = size_schema,        [SETTING_HOST] = any_text_schema,     [SETTING_PORT] = size_schema,
    [SETTING_KEY] = any_text_schema,
};

static json_t *table_schema(const struct setting_table *table)
{
    json_t *properties = json_object(), *required = json_array();
    bool failed = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->settings[i];
        json_t *schema = schemas[setting->type](setting);
        failed = failed || set(schema, "description", json_string(setting->help)) != 0;
        failed = set(properties, setting->name, schema) != 0 || failed;
        if (setting->required)
            failed = json_array_append_new(required, json_string(setting->name)) != 0 || failed;
    }
    if (failed) {
        json_decref(properties);
        json_decref(required);
        return NULL;
    }
    return json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0, "required", required,
                     "properties", properties);
}

kw_status settings_schema(kw_bytes *json, kw_error *error)
{
    kw_status status = KW_OK;
    char *text = NULL;
    json_t *root = json_pack("{s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
                             "Keywright's configuration");
    json_t *table = table_schema(&settings_table);
    if (table == NULL || json_object_update(root, table) != 0) {
        status = error_memory(error);
        goto out;
    }
    text = json_dumps(root, JSON_INDENT(2));
    if (text == NULL) {
        status = error_memory(error);
        goto out;
    }
    *json = (kw_bytes){(unsigned char *)text, strlen(text)};
out:
    json_decref(table);
    json_decref(root);
    return status;
}
