/* A byte buffer that grows, and big-endian fields in it. For what is not secret; see secret.h. */
#ifndef KEYWRIGHT_BASE_BUFFER_H
#define KEYWRIGHT_BASE_BUFFER_H

#include "base/format.h"

#include <keywright/keywright.h>

/* Zero-initialise. A failed append sets `failed` and makes all later ones do nothing: look once, at the end. */
struct buffer {
    unsigned char *data;
    size_t length, capacity;
    bool failed;
};

void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_u8(struct buffer *buffer, uint8_t value);
void buffer_append_u32(struct buffer *buffer, uint32_t value);
void buffer_append_u64(struct buffer *buffer, uint64_t value);
/* u32 length, then the bytes. */
void buffer_append_field(struct buffer *buffer, kw_input field);
void buffer_format(struct buffer *buffer, const char *format, ...) KW_PRINTF(2, 3);
void buffer_free(struct buffer *buffer);
kw_input buffer_view(const struct buffer *buffer);
/* Moves the content out, with a NUL behind it; the buffer is empty afterwards. */
KW_MUST_USE kw_status buffer_take(struct buffer *buffer, kw_bytes *bytes);

/* Reads fields off the front of `input`; false when it is too short, and then nothing is read. */
KW_MUST_USE bool input_u8(kw_input *input, uint8_t *value);
KW_MUST_USE bool input_u32(kw_input *input, uint32_t *value);
KW_MUST_USE bool input_u64(kw_input *input, uint64_t *value);
KW_MUST_USE bool input_bytes(kw_input *input, size_t length, kw_input *bytes);
KW_MUST_USE bool input_field(kw_input *input, kw_input *field);

kw_input input_text(const char *text);
bool input_equal(kw_input left, kw_input right);

/* Copies `from` to a caller's buffer by the rule of plugin.h: sets length; KW_BUFFER_TOO_SMALL when it does not fit. */
KW_MUST_USE kw_status output_copy(kw_output *output, kw_input from);

/* Lower-case hex with a NUL: 2 * length + 1 bytes at `text`. */
void hex_encode(kw_input bytes, char *text);
/* Exactly `length` bytes from exactly 2 * length digits of either case. */
KW_MUST_USE bool hex_decode(const char *text, unsigned char *bytes, size_t length);

/* strdup, and printf into a new string; NULL when memory ran out. */
char *text_copy(const char *text);
char *text_format(const char *format, ...) KW_PRINTF(1, 2);
/* How many of the (at least one) bytes are a well-formed UTF-8 character that is no control character; 0: there is none. */
size_t text_character(const char *text, size_t length);
/* Whether it is well-formed UTF-8 without control characters. */
bool text_is_clean(const char *text, size_t length);
/* Shows as '?' what keeps it from being that. */
void text_mask(char *text);

#endif
