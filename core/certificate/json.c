#include "certificate/json.h"

#include "base/buffer.h"

#include <stdlib.h>

/* jansson recurses: depth is looked at before it does. Brackets within strings do not count. */
static bool too_deep(kw_input text)
{
    bool quoted = false;
    size_t depth = 0;
    for (size_t i = 0; i < text.length; i++) {
        const unsigned char letter = text.data[i];
        if (quoted && letter == '\\')
            i++;
        else if (letter == '"')
            quoted = !quoted;
        else if (!quoted && (letter == '{' || letter == '[') && ++depth > JSON_DEPTH_MAXIMUM)
            return true;
        else if (!quoted && (letter == '}' || letter == ']') && depth > 0)
            depth--;
    }
    return false;
}

kw_status json_read(kw_input text, json_t **object, kw_error *error)
{
    json_error_t why;
    if (text.length > JSON_LENGTH_MAXIMUM)
        return error_set(error, KW_CORRUPT, "it is longer than %zu KiB", JSON_LENGTH_MAXIMUM >> 10);
    if (too_deep(text))
        return error_set(error, KW_CORRUPT, "its JSON is nested deeper than %d", JSON_DEPTH_MAXIMUM);
    json_t *read = json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES, &why);
    if (read == NULL && json_error_code(&why) == json_error_out_of_memory)
        return error_memory(error);
    if (read == NULL)
        return error_set(error, KW_CORRUPT, "its JSON is not well-formed: %s, in line %d", why.text, why.line);
    if (!json_is_object(read)) {
        json_decref(read);
        return error_set(error, KW_CORRUPT, "it is no JSON object");
    }
    *object = read;
    return KW_OK;
}

kw_status json_member_text(const json_t *object, const char *name, const char **text, kw_error *error)
{
    const json_t *member = json_object_get(object, name);
    if (member != NULL && !json_is_string(member))
        return error_set(error, KW_CORRUPT, "its member '%s' is no string", name);
    *text = member != NULL ? json_string_value(member) : NULL;
    return KW_OK;
}

kw_status json_write(const json_t *document, bool compact, kw_bytes *text, kw_error *error)
{
    struct buffer buffer = {0};
    char *dumped = document != NULL ? json_dumps(document, compact ? JSON_COMPACT : JSON_INDENT(2)) : NULL;
    if (dumped == NULL)
        return error_memory(error);
    buffer_append_text(&buffer, dumped);
    if (!compact)
        buffer_append_text(&buffer, "\n");
    const kw_status status = buffer_take(&buffer, text);
    buffer_free(&buffer);
    free(dumped);
    return status == KW_OK ? KW_OK : error_memory(error);
}
