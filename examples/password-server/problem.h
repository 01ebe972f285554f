/* Errors as the library has them, also of what the example itself finds. */
#ifndef PASSWORD_PROBLEM_H
#define PASSWORD_PROBLEM_H

#include <keywright/keywright.h>

/* Fills `error` and returns `status`. */
kw_status problem_set(kw_error *error, kw_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* One line on standard error, with a prefix for systemd's journal ("<3>"); any thread. */
void problem_log(kw_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with what an error says. */
void problem_tell(const char *what, const kw_error *error);

#endif
