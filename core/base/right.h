/* Which right is missing, to whom, and what to do: what "Permission denied" leaves unsaid. */
#ifndef KEYWRIGHT_BASE_RIGHT_H
#define KEYWRIGHT_BASE_RIGHT_H

#include "base/error.h"

enum right {
    RIGHT_READ,  /* the file, or to list the directory */
    RIGHT_WRITE, /* the file */
    RIGHT_CREATE /* something of this name: to write to its directory */
};

/*
 * KW_PERMISSION for a system call on `path` that failed with EACCES, EPERM or EROFS: "WHAT: user U needs the right to ...", where the
 * first file or directory on the way that withholds it is named with its owner and mode. Looks by the process's effective ids.
 * On Windows `number` is GetLastError's, and the file or directory is named with its owner.
 */
kw_status right_error(kw_error *error, int number, enum right right, const char *path, const char *what, ...)
    KW_PRINTF(5, 6);

#ifdef __clang_analyzer__
#define right_error(...) error_failure(right_error(__VA_ARGS__)) /* as in error.h */
#endif

#endif
