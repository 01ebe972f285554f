/* JSON that came from outside, and JSON that goes out. */
#ifndef KEYWRIGHT_CERTIFICATE_JSON_H
#define KEYWRIGHT_CERTIFICATE_JSON_H

#include "base/error.h"
#include <jansson.h>

#define JSON_LENGTH_MAXIMUM ((size_t)1 << 20)
#define JSON_DEPTH_MAXIMUM  16

/*
 * One JSON object (RFC 8259) and nothing behind it. KW_CORRUPT with the line: malformed, a member twice, NUL in a string, deeper than
 * JSON_DEPTH_MAXIMUM, or longer than JSON_LENGTH_MAXIMUM. json_decref frees it.
 */
KW_MUST_USE kw_status json_read(kw_input text, json_t **object, kw_error *error);
/* A member that is a string; NULL where there is none. KW_CORRUPT when it is something else. */
KW_MUST_USE kw_status json_member_text(const json_t *object, const char *name, const char **text, kw_error *error);
/* The document as text, compact or indented. */
KW_MUST_USE kw_status json_write(const json_t *document, bool compact, kw_bytes *text, kw_error *error);

#endif
