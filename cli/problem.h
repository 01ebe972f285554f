/* Filling a kw_error, as the library does it. */
#ifndef KEYWRIGHT_CLI_PROBLEM_H
#define KEYWRIGHT_CLI_PROBLEM_H

#include <keywright/keywright.h>

#if defined(__GNUC__)
#define CLI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define CLI_PRINTF(text, first)
#endif

/* Sets status and message, clears the rest, and returns the status. */
kw_status problem_set(kw_error *error, kw_status status, const char *format, ...) CLI_PRINTF(3, 4);
/* Adds what to do about it. */
void problem_remedy(kw_error *error, const char *format, ...) CLI_PRINTF(2, 3);
kw_status problem_memory(kw_error *error);

/* What the command exits with after this status. */
int problem_exit_status(kw_status status);

/* The name among `names` that is nearest to `text`, near enough to be meant, or NULL. */
const char *problem_nearest(const char *text, const char *const *names, size_t count);

#endif
