/* Whole files in and out; "-" is standard input or output. Contents may be secrets: they are wiped when freed. */
#ifndef KEYWRIGHT_CLI_FILE_H
#define KEYWRIGHT_CLI_FILE_H

#include "problem.h"

#define FILE_MAXIMUM ((size_t)1 << 30)

/* Bytes of the command's own; zero-initialise. */
struct content {
    unsigned char *data;
    size_t length, capacity;
};
void content_free(struct content *content);
/* Room for at least `capacity` bytes; what was there is kept, and wiped where it lay before. */
KW_MUST_USE kw_status content_reserve(struct content *content, size_t capacity, kw_error *error);
kw_input content_input(const struct content *content);

bool file_is_standard(const char *path);
/* Errors: KW_NOT_FOUND, KW_PERMISSION, KW_INVALID_ARGUMENT (a directory, or larger than FILE_MAXIMUM), KW_FAILED. */
KW_MUST_USE kw_status file_read(const char *path, struct content *content, kw_error *error);
/*
 * Written beside and renamed, so that a failure leaves what was there before. A device or a pipe is written to directly. `secret`:
 * the owner alone may read it. Errors: KW_NOT_FOUND (the directory), KW_PERMISSION, KW_FAILED.
 */
KW_MUST_USE kw_status file_write(const char *path, kw_input content, bool secret, kw_error *error);

#endif
