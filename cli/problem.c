#include "problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXIT_FAILED 1
#define EXIT_USAGE  2

static const int exit_statuses[] = {
    [KW_OK] = 0,
    [KW_BUFFER_TOO_SMALL] = EXIT_FAILED,
    [KW_INVALID_ARGUMENT] = EXIT_USAGE,
    [KW_UNSUPPORTED] = 5,
    [KW_NOT_FOUND] = 4,
    [KW_EXISTS] = 5,
    [KW_REFUSED] = 5,
    [KW_CONFLICT] = EXIT_FAILED,
    [KW_UNAVAILABLE] = 6,
    [KW_TIMEOUT] = 6,
    [KW_CONFIGURATION] = 3,
    [KW_SECRET_REFUSED] = 7,
    [KW_PERMISSION] = EXIT_FAILED,
    [KW_CORRUPT] = 8,
    [KW_SIGNATURE_INVALID] = EXIT_FAILED,
    [KW_CIPHERTEXT_INVALID] = EXIT_FAILED,
    [KW_OUT_OF_MEMORY] = EXIT_FAILED,
    [KW_FAILED] = EXIT_FAILED,
};

int problem_exit_status(kw_status status)
{
    size_t index = (size_t)status;

    return index < sizeof(exit_statuses) / sizeof(exit_statuses[0]) ? exit_statuses[index] : EXIT_FAILED;
}

kw_status problem_set(kw_error *error, kw_status status, const char *format, ...)
{
    va_list arguments;

    memset(error, 0, sizeof(*error));
    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return status;
}

void problem_remedy(kw_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->remedy, sizeof(error->remedy), format, arguments);
    va_end(arguments);
}

kw_status problem_memory(kw_error *error)
{
    return problem_set(error, KW_OUT_OF_MEMORY, "out of memory");
}

#define NAME_MAXIMUM 40

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, remove, replace, swap neighbours) between two names of at most NAME_MAXIMUM bytes. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][NAME_MAXIMUM + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b_length; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u);
            now[j] = smaller(now[j], smaller(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_length];
}

const char *problem_nearest(const char *text, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t length = strlen(text), best = SIZE_MAX;

    if (length == 0 || length > NAME_MAXIMUM)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t name_length = strlen(names[i]);
        if (name_length > NAME_MAXIMUM)
            continue;
        size_t edits = distance(text, length, names[i], name_length);
        if (edits < best && edits <= 1 + smaller(length, name_length) / 4) {
            best = edits;
            nearest = names[i];
        }
    }
    return nearest;
}
