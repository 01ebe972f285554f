#include "changes.h"

#include "base/buffer.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_HEADER  "keywright configuration 1\n"
#define RECORD_MAXIMUM (16u * 1024u * 1024u)
#define INLINE         "inline:"

/* ---- Lines ---- */

void lines_clear(struct lines *lines)
{
    arena_free(&lines->memory);
    *lines = (struct lines){0};
}

/* What tells that it has changed, and not what it is. */
static const char *mask_inline(kw_context *context, struct arena *memory, const char *text, kw_error *error)
{
    unsigned char mac[SHA256_LENGTH];
    char hex[2 * SHA256_LENGTH + 1];
    if (catalogue_derive(context->catalogue, "inline secret of the configuration", input_text(text), mac, error) !=
        KW_OK)
        return NULL;
    hex_encode((kw_input){mac, 8}, hex);
    return arena_format(memory, INLINE "(%s)", hex);
}

kw_status lines_of(kw_context *context, const struct settings *settings, struct lines *lines, kw_error *error)
{
    struct lines made = {.count = settings->line_count};
    kw_status status = KW_OK;
    made.rows = arena_copy(&made.memory, settings->lines, settings->line_count * sizeof(*settings->lines));
    for (size_t i = 0; i < made.count && !made.memory.failed && status == KW_OK; i++) {
        const struct setting_line *const line = &settings->lines[i];
        const bool is_inline = strncmp(line->text, INLINE, strlen(INLINE)) == 0;
        made.rows[i].name = arena_text(&made.memory, line->name);
        made.rows[i].text =
            is_inline ? mask_inline(context, &made.memory, line->text, error) : arena_text(&made.memory, line->text);
        if (made.rows[i].text == NULL && !made.memory.failed)
            status = KW_FAILED; /* by mask_inline, which has said why */
    }
    if (made.memory.failed)
        status = error_memory(error);
    if (status == KW_OK)
        *lines = made;
    else
        lines_clear(&made);
    return status;
}

/* ---- The record ---- */

static char *record_path(const kw_context *context)
{
    return text_format("%s/run/configuration", context->settings->state);
}

static bool take_field(struct arena *memory, kw_input *rest, const char **text)
{
    kw_input field;
    char *copy;
    if (!input_field(rest, &field) || memchr(field.data, '\0', field.length) != NULL)
        return false;
    copy = arena_allocate(memory, field.length + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, field.data, field.length);
    *text = copy;
    return true;
}

static bool parse(kw_input rest, struct lines *lines)
{
    kw_input header;
    uint32_t count = 0;
    if (!input_bytes(&rest, strlen(RECORD_HEADER), &header) || memcmp(header.data, RECORD_HEADER, header.length) != 0 ||
        !input_u32(&rest, &count) || count > rest.length / (2 * sizeof(uint32_t)))
        return false;
    lines->rows = arena_allocate(&lines->memory, (count + 1) * sizeof(*lines->rows));
    if (lines->rows == NULL)
        return false;
    for (; lines->count < count; lines->count++) {
        struct setting_line *const line = &lines->rows[lines->count];
        if (!take_field(&lines->memory, &rest, &line->name) || !take_field(&lines->memory, &rest, &line->text) ||
            (lines->count > 0 && strcmp(line[-1].name, line->name) > 0))
            return false;
    }
    return rest.length == 0;
}

bool lines_read(const kw_context *context, struct lines *lines)
{
    kw_bytes content = {0};
    struct lines made = {0};
    char *path = record_path(context);
    bool read = path != NULL && file_read(path, RECORD_MAXIMUM, &content, NULL) == KW_OK &&
                parse((kw_input){content.data, content.length}, &made);
    if (read)
        *lines = made;
    else
        lines_clear(&made);
    kw_bytes_free(&content);
    free(path);
    return read;
}

kw_status lines_write(const kw_context *context, const struct lines *lines, kw_error *error)
{
    struct buffer text = {0};
    kw_bytes present = {0};
    char *path = record_path(context);
    kw_status status = KW_OK;
    buffer_append_text(&text, RECORD_HEADER);
    buffer_append_u32(&text, (uint32_t)lines->count);
    for (size_t i = 0; i < lines->count; i++) {
        buffer_append_field(&text, input_text(lines->rows[i].name));
        buffer_append_field(&text, input_text(lines->rows[i].text));
    }
    if (path == NULL || text.failed) {
        status = error_memory(error);
        goto out;
    }
    if (file_read(path, RECORD_MAXIMUM, &present, NULL) == KW_OK &&
        input_equal((kw_input){present.data, present.length}, buffer_view(&text)))
        goto out;
    status = file_replace(path, buffer_view(&text), 0600, error);
    if (status == KW_OK)
        status = file_give_to_owner(path, context->settings->state, error);
out:
    kw_bytes_free(&present);
    buffer_free(&text);
    free(path);
    return status;
}

/* ---- Differences ---- */

struct report {
    kw_changes changes;
    struct arena memory;
};

kw_status changes_list(const struct lines *before, const struct lines *after, kw_changes **changes, kw_error *error)
{
    struct report *report = calloc(1, sizeof(*report));
    kw_change *rows;
    size_t count = 0;
    if (report == NULL)
        return error_memory(error);
    rows = arena_allocate(&report->memory, (before->count + after->count + 1) * sizeof(*rows));
    for (size_t i = 0, k = 0; rows != NULL && (i < before->count || k < after->count);) {
        const struct setting_line *const old = i < before->count ? &before->rows[i] : NULL;
        const struct setting_line *const new = k < after->count ? &after->rows[k] : NULL;
        const int order = old == NULL ? 1 : new == NULL ? -1 : strcmp(old->name, new->name);
        const struct setting_line *const gone = order <= 0 ? old : NULL, *const come = order >= 0 ? new : NULL;
        i += gone != NULL ? 1 : 0;
        k += come != NULL ? 1 : 0;
        if (gone != NULL && come != NULL && strcmp(gone->text, come->text) == 0)
            continue;
        rows[count++] = (kw_change){
            .setting = arena_text(&report->memory, gone != NULL   ? gone->name
                                                   : come != NULL ? come->name
                                                                  : NULL),
            .before = gone != NULL ? arena_text(&report->memory, gone->text) : NULL,
            .after = come != NULL ? arena_text(&report->memory, come->text) : NULL,
        };
    }
    report->changes = (kw_changes){.changes = rows, .count = count};
    if (report->memory.failed) {
        kw_changes_free(&report->changes);
        return error_memory(error);
    }
    *changes = &report->changes;
    return KW_OK;
}

void changes_set_contexts(kw_changes *changes, size_t contexts)
{
    changes->contexts = contexts;
}

kw_status changes_warn(kw_changes *changes, const char *sentence, kw_error *error)
{
    struct report *const report = (struct report *)changes;
    const char **const warnings = arena_allocate(&report->memory, (changes->warning_count + 1) * sizeof(*warnings));
    for (size_t i = 0; warnings != NULL && i < changes->warning_count; i++)
        warnings[i] = changes->warnings[i];
    if (warnings != NULL)
        warnings[changes->warning_count] = arena_text(&report->memory, sentence);
    if (report->memory.failed)
        return error_memory(error);
    changes->warnings = warnings;
    changes->warning_count++;
    return KW_OK;
}

void kw_changes_free(kw_changes *changes)
{
    struct report *report = (struct report *)changes;
    if (report == NULL)
        return;
    arena_free(&report->memory);
    free(report);
}
