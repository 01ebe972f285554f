/* What differs between two configurations; and the record of the one in force, STATE/run/configuration, which other processes compare with. */
#ifndef KEYWRIGHT_CHANGES_H
#define KEYWRIGHT_CHANGES_H

#include "context.h"

#include "base/arena.h"

/* What is set, by name; secrets that stand in the file itself only by an HMAC. Zero-initialise. */
struct lines {
    struct setting_line *rows;
    size_t count;
    struct arena memory;
};
void lines_clear(struct lines *lines);
KW_MUST_USE kw_status lines_of(kw_context *context, const struct settings *settings, struct lines *lines,
                               kw_error *error);
/* False: there is no record, or none that can be read. */
KW_MUST_USE bool lines_read(const kw_context *context, struct lines *lines);
/* Replaces the record where it is another. */
KW_MUST_USE kw_status lines_write(const kw_context *context, const struct lines *lines, kw_error *error);

/* By name. */
KW_MUST_USE kw_status changes_list(const struct lines *before, const struct lines *after, kw_changes **changes,
                                   kw_error *error);
void changes_set_contexts(kw_changes *changes, size_t contexts);
/* Copies the sentence. */
KW_MUST_USE kw_status changes_warn(kw_changes *changes, const char *sentence, kw_error *error);

#endif
