/* Windows alone: its texts in UTF-16, the library's in UTF-8, and what its error numbers mean. */
#ifndef KEYWRIGHT_BASE_WIDE_H
#define KEYWRIGHT_BASE_WIDE_H

#include "base/error.h"

#include <stdint.h>
#include <wchar.h>

/* A new string each. NULL: memory ran out, or the text is not well-formed. */
wchar_t *wide_from(const char *text);
char *wide_to(const wchar_t *wide);
/* The same for a path that is going to be opened: absolute, with \ alone, and of any length. */
wchar_t *wide_path(const char *path);

/* A variable of the environment; KW_NOT_FOUND when it is not set. */
KW_MUST_USE kw_status wide_environment(const char *name, char **value, kw_error *error);

/* What GetLastError's number says of a call on a file or directory: KW_FAILED for most. */
KW_MUST_USE kw_status wide_status(uint32_t number);
/* Windows' sentence about it, and the number: "Access is denied (5)". */
#define WIDE_REASON_SIZE 256
void wide_reason(uint32_t number, char text[WIDE_REASON_SIZE]);

#endif
