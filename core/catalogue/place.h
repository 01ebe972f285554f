/* The place of the catalogue in the file system, and this process' rights to it. */
#ifndef KEYWRIGHT_CATALOGUE_PLACE_H
#define KEYWRIGHT_CATALOGUE_PLACE_H

#include "base/error.h"

/*
 * Whether this process may use the directory as a state directory: read, write and search it. KW_NOT_FOUND; KW_PERMISSION naming the
 * directory and the right that is missing; KW_CONFIGURATION when it is none.
 */
KW_MUST_USE kw_status place_check_directory(const char *path, kw_error *error);
/* Whether it may read and write the file, where there is one. */
KW_MUST_USE kw_status place_check_file(const char *path, kw_error *error);
/* The number of this process; a forked child has another. */
long place_process(void);
/* Removes what was made in vain; failures are of no interest. */
void place_remove_file(const char *path);
void place_remove_directory(const char *path);

#endif
