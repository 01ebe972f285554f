/* A folder for one test's files, removed afterwards. */
#ifndef KEYWRIGHT_TESTS_FOLDER_H
#define KEYWRIGHT_TESTS_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* For cmocka_unit_test_setup_teardown: `*state` is the folder's path. */
int folder_setup(void **state);
int folder_teardown(void **state);
/* The path of a file in the folder; to be freed. */
char *folder_path(void **state, const char *name);
/* Writes a file there with this mode and hands out its path, to be freed. */
char *folder_write(void **state, const char *name, const void *data, size_t length, unsigned mode);

#endif
