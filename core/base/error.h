/* Errors: a status, and a kw_error filled with what happened, where, why and what to do. */
#ifndef KEYWRIGHT_BASE_ERROR_H
#define KEYWRIGHT_BASE_ERROR_H

#include "base/format.h"

#include <keywright/keywright.h>

/*
 * Fills `error` (NULL is allowed) anew and returns `status`, so that a failure reads
 * `return error_set(error, KW_NOT_FOUND, "...")`. A status that is KW_OK becomes KW_FAILED.
 * Control characters in the text are shown as '?', so that what came from outside cannot forge lines.
 */
kw_status error_set(kw_error *error, kw_status status, const char *format, ...) KW_PRINTF(3, 4);
/* Likewise with a place in a file. */
kw_status error_at(kw_error *error, kw_status status, const char *where, unsigned line, unsigned column,
                   const char *format, ...) KW_PRINTF(6, 7);
/* Adds to an error that is set: where it happened, if that is not said yet; what to do about it. */
void error_where(kw_error *error, const char *format, ...) KW_PRINTF(2, 3);
void error_place(kw_error *error, const char *where, unsigned line, unsigned column);
void error_remedy(kw_error *error, const char *format, ...) KW_PRINTF(2, 3);
/* Puts "PREFIX: " before the message. */
void error_prefix(kw_error *error, const char *format, ...) KW_PRINTF(2, 3);
/* A failure that is no error here: KW_OK, and `error` empty again, when `status` is `tolerated`; else `status`. */
KW_MUST_USE kw_status error_tolerate(kw_status status, kw_status tolerated, kw_error *error);
/* Memory ran out. */
kw_status error_memory(kw_error *error);

#ifdef __clang_analyzer__
/* What clang's analyser cannot see from here: none of these answers KW_OK. The files that define them #undef the names. */
static inline kw_status error_failure(kw_status status)
{
    return status == KW_OK ? KW_FAILED : status;
}
#define error_set(...)    error_failure(error_set(__VA_ARGS__))
#define error_at(...)     error_failure(error_at(__VA_ARGS__))
#define error_memory(...) error_failure(error_memory(__VA_ARGS__))
#endif

#endif
