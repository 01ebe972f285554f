#include "config/yaml.h"

#include "base/buffer.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    const char *name;
    yaml_parser_t parser;
    kw_error *error;
};

/* ---- What the text must be before libyaml sees it ---- */

static kw_status refuse_byte(const char *name, unsigned char byte, unsigned line, unsigned column, kw_error *error)
{
    if (byte == '\0')
        return error_at(error, KW_CONFIGURATION, name, line, column, "a NUL byte; a configuration is text");
    if (byte < 0x20 || byte == 0x7f)
        return error_at(error, KW_CONFIGURATION, name, line, column, "a control character (0x%02x)", byte);
    error_at(error, KW_CONFIGURATION, name, line, column,
             "a byte (0x%02x) that is not UTF-8, or begins a control character", byte);
    error_remedy(error, "save the file in UTF-8");
    return KW_CONFIGURATION;
}

/* Refuses what is no plain text, tabs that indent, and directives. */
static kw_status check_text(const char *name, kw_input text, kw_error *error)
{
    const char *bytes = (const char *)text.data;
    unsigned line = 1, column = 1;
    bool indentation = true;
    for (size_t at = 0, size; at < text.length; at += size) {
        char byte = bytes[at];
        size = 1;
        if (byte == '\n' || (byte == '\r' && at + 1 < text.length && bytes[at + 1] == '\n')) {
            size = byte == '\n' ? 1 : 2;
            line++;
            column = 1;
            indentation = true;
            continue;
        }
        if (byte == '\t' && indentation) {
            error_at(error, KW_CONFIGURATION, name, line, column, "a tab in the indentation");
            error_remedy(error, "indent with spaces");
            return KW_CONFIGURATION;
        }
        if (byte == '%' && column == 1)
            return error_at(error, KW_CONFIGURATION, name, line, column, "directives (%%) are not allowed");
        if (byte != '\t') {
            size = text_character(bytes + at, text.length - at);
            if (size == 0)
                return refuse_byte(name, (unsigned char)byte, line, column, error);
        }
        if (byte != ' ')
            indentation = false;
        column++;
    }
    return KW_OK;
}

/* ---- Events ---- */

static kw_status place_error(struct reader *reader, yaml_mark_t mark, const char *sentence)
{
    return error_at(reader->error, KW_CONFIGURATION, reader->name, (unsigned)mark.line + 1, (unsigned)mark.column + 1,
                    "%s", sentence);
}

static kw_status parser_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return error_memory(reader->error);
    const char *problem = parser->problem == NULL ? "this is no YAML" : parser->problem;
    place_error(reader, parser->problem_mark, problem);
    if (parser->context != NULL)
        error_prefix(reader->error, "%s", parser->context);
    error_remedy(reader->error, "compare the indentation and punctuation of this line with the lines above");
    return KW_CONFIGURATION;
}

static kw_status next(struct reader *reader, yaml_event_t *event)
{
    return yaml_parser_parse(&reader->parser, event) == 1 ? KW_OK : parser_error(reader);
}

/* The anchor and the tag of whatever the event begins. */
static kw_status refuse_properties(struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        anchor = event->data.alias.anchor;
        break;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL)
        return place_error(reader, event->start_mark, "anchors (&) and aliases (*) are not allowed");
    if (tag != NULL)
        return place_error(reader, event->start_mark, "tags (!) are not allowed");
    return KW_OK;
}

/* ---- Nodes ---- */

/* Pointers to nodes, while it is not known how many there will be. */
static void append_node(struct buffer *list, struct yaml_node *node)
{
    buffer_append(list, &node, sizeof(node));
}

static void free_list(struct buffer *list)
{
    struct yaml_node *node;
    for (size_t at = 0; at < list->length; at += sizeof(node)) {
        memcpy(&node, list->data + at, sizeof(node));
        yaml_node_free(node);
    }
    buffer_free(list);
}

/* Moves the pointers out. */
static struct yaml_node **take_list(struct buffer *list)
{
    void *nodes = list->data;
    *list = (struct buffer){0};
    return nodes;
}

static kw_status read_scalar(struct reader *reader, const yaml_event_t *event, struct yaml_node *node)
{
    const char *text = (const char *)event->data.scalar.value;
    if (!text_is_clean(text, event->data.scalar.length))
        return place_error(reader, event->start_mark, "a value with a line break or another control character in it");
    node->kind = YAML_SCALAR;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = text_copy(text);
    return node->text == NULL ? error_memory(reader->error) : KW_OK;
}

static int compare_keys(const void *left, const void *right)
{
    const struct yaml_node *const *one = left, *const *other = right;
    int order = strcmp((*one)->text, (*other)->text);
    if (order != 0)
        return order;
    if ((*one)->line != (*other)->line)
        return (*one)->line < (*other)->line ? -1 : 1;
    return (*one)->column<(*other)->column ? -1 : (*one)->column>(*other)->column;
}

/* Sorted, since a file may have very many keys. Of several, the one that comes first in the file is told. */
static kw_status refuse_duplicates(struct reader *reader, const struct yaml_node *mapping)
{
    if (mapping->count < 2)
        return KW_OK;
    const struct yaml_node *duplicate = NULL, *original = NULL;
    const struct yaml_node **sorted = calloc(mapping->count, sizeof(*sorted));
    if (sorted == NULL)
        return error_memory(reader->error);
    for (size_t i = 0; i < mapping->count; i++)
        sorted[i] = mapping->keys[i];
    qsort(sorted, mapping->count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < mapping->count; i++) {
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) != 0)
            continue;
        if (duplicate == NULL || sorted[i]->line < duplicate->line ||
            (sorted[i]->line == duplicate->line && sorted[i]->column < duplicate->column)) {
            original = sorted[i - 1];
            duplicate = sorted[i];
        }
    }
    free(sorted);
    if (duplicate == NULL)
        return KW_OK;
    return error_at(reader->error, KW_CONFIGURATION, reader->name, duplicate->line, duplicate->column,
                    "the key '%s' is here a second time; it is in line %u already", duplicate->text, original->line);
}

static kw_status read_node(struct reader *reader, yaml_event_t *event, unsigned depth, struct yaml_node **node);

static kw_status read_items(struct reader *reader, yaml_event_type_t end, unsigned depth, struct yaml_node *node)
{
    const bool mapping = node->kind == YAML_MAPPING;
    struct buffer keys = {0}, items = {0};
    yaml_event_t event = {0};
    kw_status status = next(reader, &event);
    while (status == KW_OK && event.type != end) {
        struct yaml_node *key = NULL, *item = NULL;
        if (mapping) {
            if (event.type != YAML_SCALAR_EVENT && event.type != YAML_ALIAS_EVENT) {
                status = place_error(reader, event.start_mark, "a key must be a single word, not a list or a mapping");
                break;
            }
            status = read_node(reader, &event, depth, &key);
            if (status != KW_OK)
                break;
            append_node(&keys, key);
            yaml_event_delete(&event);
            status = next(reader, &event);
            if (status != KW_OK)
                break;
        }
        status = read_node(reader, &event, depth, &item);
        if (status != KW_OK)
            break;
        append_node(&items, item);
        if (keys.failed || items.failed) {
            /* The list did not take it. */
            if (items.failed)
                yaml_node_free(item);
            if (keys.failed)
                yaml_node_free(key);
            status = error_memory(reader->error);
            break;
        }
        yaml_event_delete(&event);
        status = next(reader, &event);
    }
    yaml_event_delete(&event);
    if (status == KW_OK) {
        node->count = items.length / sizeof(struct yaml_node *);
        node->items = take_list(&items);
        if (mapping)
            node->keys = take_list(&keys);
        if (mapping)
            status = refuse_duplicates(reader, node);
    }
    free_list(&keys);
    free_list(&items);
    return status;
}

/* The event that begins the node is the caller's to delete. */
static kw_status read_node(struct reader *reader, yaml_event_t *event, unsigned depth, struct yaml_node **node)
{
    struct yaml_node *made = NULL;
    kw_status status = refuse_properties(reader, event);
    if (status != KW_OK)
        goto out;
    if (event->type != YAML_SCALAR_EVENT && depth >= YAML_DEPTH_MAXIMUM) {
        status =
            error_at(reader->error, KW_CONFIGURATION, reader->name, (unsigned)event->start_mark.line + 1,
                     (unsigned)event->start_mark.column + 1, "nested more than %u levels deep", YAML_DEPTH_MAXIMUM);
        goto out;
    }
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        status = error_memory(reader->error);
        goto out;
    }
    made->line = (unsigned)event->start_mark.line + 1;
    made->column = (unsigned)event->start_mark.column + 1;
    if (event->type == YAML_SCALAR_EVENT) {
        status = read_scalar(reader, event, made);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        made->kind = YAML_MAPPING;
        status = read_items(reader, YAML_MAPPING_END_EVENT, depth + 1, made);
    } else {
        made->kind = YAML_SEQUENCE;
        status = read_items(reader, YAML_SEQUENCE_END_EVENT, depth + 1, made);
    }
    if (status != KW_OK)
        goto out;
    *node = made;
    made = NULL;
out:
    yaml_node_free(made);
    return status;
}

void yaml_node_free(struct yaml_node *root)
{
    if (root == NULL)
        return;
    for (size_t i = 0; i < root->count; i++) {
        if (root->keys != NULL)
            yaml_node_free(root->keys[i]);
        yaml_node_free(root->items[i]);
    }
    if (root->text != NULL)
        secret_wipe(root->text, strlen(root->text));
    free(root->text);
    free(root->keys);
    free(root->items);
    free(root);
}

/* ---- Documents ---- */

static kw_status read_document(struct reader *reader, struct yaml_node **root)
{
    struct yaml_node *made = NULL;
    yaml_event_t event = {0};
    kw_status status = KW_OK;
    for (bool ended = false; !ended;) {
        status = next(reader, &event);
        if (status != KW_OK)
            break;
        ended = event.type == YAML_STREAM_END_EVENT;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        default:
            if (made != NULL)
                status =
                    place_error(reader, event.start_mark, "a second document begins here; one file is one document");
            else if (event.type != YAML_DOCUMENT_START_EVENT)
                status = read_node(reader, &event, 0, &made);
            break;
        }
        yaml_event_delete(&event);
        if (status != KW_OK)
            break;
    }
    if (status == KW_OK && made == NULL)
        status = error_at(reader->error, KW_CONFIGURATION, reader->name, 1, 1, "there is nothing in the file");
    if (status == KW_OK) {
        *root = made;
        made = NULL;
    }
    yaml_node_free(made);
    return status;
}

kw_status yaml_parse(const char *name, kw_input text, struct yaml_node **root, kw_error *error)
{
    static const unsigned char byte_order_mark[] = {0xef, 0xbb, 0xbf};
    struct reader reader = {.name = name, .error = error};
    if (text.length > YAML_SIZE_MAXIMUM)
        return error_at(error, KW_CONFIGURATION, name, 1, 1, "larger than %u bytes", YAML_SIZE_MAXIMUM);
    if (text.length >= sizeof(byte_order_mark) && memcmp(text.data, byte_order_mark, sizeof(byte_order_mark)) == 0) {
        text.data += sizeof(byte_order_mark);
        text.length -= sizeof(byte_order_mark);
    }
    kw_status status = check_text(name, text, error);
    if (status != KW_OK)
        return status;
    if (text.length == 0)
        return error_at(error, KW_CONFIGURATION, name, 1, 1, "there is nothing in the file");
    if (yaml_parser_initialize(&reader.parser) != 1)
        return error_memory(error);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, text.data, text.length);
    status = read_document(&reader, root);
    yaml_parser_delete(&reader.parser);
    return status;
}

kw_status yaml_read(const char *path, struct yaml_node **root, kw_error *error)
{
    kw_bytes content = {0};
    kw_status status = file_read(path, YAML_SIZE_MAXIMUM, &content, error);
    if (status == KW_INVALID_ARGUMENT) {
        /* The reason is from the file: it stays, and the path that it begins with becomes its place. */
        char message[sizeof(((kw_error *)0)->message)] = "";
        const size_t length = strlen(path);
        if (error != NULL)
            memcpy(message, error->message, sizeof(message));
        const bool named = strncmp(message, path, length) == 0;
        status = error_at(error, KW_CONFIGURATION, path, 1, 1, "%s%s", named ? "it" : "",
                          named ? message + length : message);
    }
    if (status != KW_OK)
        goto out;
    status = yaml_parse(path, (kw_input){content.data, content.length}, root, error);
out:
    kw_bytes_free(&content);
    return status;
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *key)
{
    if (mapping == NULL || mapping->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->count; i++) {
        if (strcmp(mapping->keys[i]->text, key) == 0)
            return mapping->items[i];
    }
    return NULL;
}
