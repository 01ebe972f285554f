/* What file.c asks the system's file for. */
#ifndef KEYWRIGHT_BASE_FILE_PRIVATE_H
#define KEYWRIGHT_BASE_FILE_PRIVATE_H

#include "base/file.h"

#include <stdint.h>

/* A descriptor, or a HANDLE of Windows. */
#define FILE_NONE ((intptr_t)-1)

/* Opens without waiting for anybody, and only regular files of at most `limit` bytes. */
KW_MUST_USE kw_status file_open(const char *path, size_t limit, intptr_t *handle, size_t *size, kw_error *error);
/* Up to `capacity` bytes, until the end of the file. */
KW_MUST_USE kw_status file_read_open(intptr_t handle, const char *path, unsigned char *data, size_t capacity,
                                     size_t *length, kw_error *error);
void file_close(intptr_t handle);
/* A synced file beside `path`, whose name is handed out. */
KW_MUST_USE kw_status file_write_beside(const char *path, kw_input content, unsigned mode, char **temporary,
                                        kw_error *error);
/* Whether there is something of this name, also a link that leads nowhere. */
bool file_is_named(const char *path);
/* Removes it; a failure is of no interest. */
void file_unlink(const char *path);

#endif
