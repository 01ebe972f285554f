/* Paths as text: nothing here looks at a file. */
#ifndef KEYWRIGHT_BASE_PATH_H
#define KEYWRIGHT_BASE_PATH_H

#include <stdbool.h>

/* `path` itself when it is absolute, else directory/path; NULL when memory ran out. */
char *path_resolve(const char *directory, const char *path);
char *path_join(const char *directory, const char *name);
/* The directory part ("." for a bare name) and the last part. */
char *path_directory(const char *path);
const char *path_name(const char *path);
/* Makes absolute by the working directory. */
char *path_absolute(const char *path);
bool path_is_absolute(const char *path);

#endif
