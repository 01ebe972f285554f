/* Base64 as JOSE writes it: the alphabet for URLs, without padding (RFC 4648, section 5; RFC 7515). */
#ifndef KEYWRIGHT_BASE_BASE64_H
#define KEYWRIGHT_BASE_BASE64_H

#include "base/buffer.h"
#include "base/error.h"

/* Appends; what fails is in the buffer's `failed`. */
void base64url_append(struct buffer *buffer, kw_input bytes);
/* Takes the one way to write the bytes alone: no padding, no space, no bits beyond the last byte. KW_CORRUPT. */
KW_MUST_USE kw_status base64url_decode(kw_input text, kw_bytes *bytes, kw_error *error);

/* The usual alphabet, with padding, in one line: what JOSE's x5c holds. */
void base64_append(struct buffer *buffer, kw_input bytes);

#endif
