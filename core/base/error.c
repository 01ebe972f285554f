#include "base/error.h"

#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Here are the functions themselves, not what error.h shows the analyser. */
#undef error_set
#undef error_at
#undef error_memory

static const char *const status_texts[] = {
    [KW_OK] = "ok",
    [KW_BUFFER_TOO_SMALL] = "buffer too small",
    [KW_INVALID_ARGUMENT] = "invalid argument",
    [KW_UNSUPPORTED] = "not supported",
    [KW_NOT_FOUND] = "not found",
    [KW_EXISTS] = "exists already",
    [KW_REFUSED] = "refused",
    [KW_CONFLICT] = "conflict",
    [KW_UNAVAILABLE] = "not available",
    [KW_TIMEOUT] = "timed out",
    [KW_CONFIGURATION] = "configuration",
    [KW_SECRET_REFUSED] = "secret refused",
    [KW_PERMISSION] = "permission denied",
    [KW_CORRUPT] = "corrupt",
    [KW_SIGNATURE_INVALID] = "signature invalid",
    [KW_CIPHERTEXT_INVALID] = "ciphertext invalid",
    [KW_OUT_OF_MEMORY] = "out of memory",
    [KW_FAILED] = "failed",
};

const char *kw_status_text(kw_status status)
{
    size_t index = (size_t)status;
    return index < sizeof(status_texts) / sizeof(status_texts[0]) ? status_texts[index] : "unknown status";
}

const char *kw_version(void)
{
    return KW_VERSION;
}

/*
 * Formats into `text`. The arguments may point into the error that `text` belongs to. What does not fit is cut off between
 * characters.
 */
static void fill(char *text, size_t size, const char *format, va_list arguments) KW_PRINTF(3, 0);

static void fill(char *text, size_t size, const char *format, va_list arguments)
{
    char formatted[sizeof(((kw_error *)0)->message)];
    int length = vsnprintf(formatted, size, format, arguments);
    if (length < 0) {
        text[0] = '\0';
        return;
    }
    if ((size_t)length >= size) {
        size_t end = size - 1, start = end;
        while (start > 0 && end - start < 3 && ((unsigned char)formatted[start - 1] & 0xc0) == 0x80)
            start--;
        /* At the end there is a lead byte and some of its character: whole or not at all. */
        if (start > 0 && (unsigned char)formatted[start - 1] >= 0xc0) {
            unsigned char lead = (unsigned char)formatted[start - 1];
            size_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
            if (end - start + 1 < whole)
                end = start - 1;
        }
        formatted[end] = '\0';
    }
    text_mask(formatted);
    memcpy(text, formatted, strlen(formatted) + 1);
}

kw_status error_set(kw_error *error, kw_status status, const char *format, ...)
{
    if (status == KW_OK)
        status = KW_FAILED;
    if (error == NULL)
        return status;
    char message[sizeof(error->message)];
    va_list arguments;
    va_start(arguments, format);
    fill(message, sizeof(message), format, arguments);
    va_end(arguments);
    memset(error, 0, sizeof(*error));
    error->status = status;
    memcpy(error->message, message, strlen(message) + 1);
    return status;
}

/* For what has no format of its own. */
static void fill_text(char *text, size_t size, const char *format, ...) KW_PRINTF(3, 4);

static void fill_text(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fill(text, size, format, arguments);
    va_end(arguments);
}

kw_status error_at(kw_error *error, kw_status status, const char *where, unsigned line, unsigned column,
                   const char *format, ...)
{
    if (status == KW_OK)
        status = KW_FAILED;
    if (error == NULL)
        return status;
    char message[sizeof(error->message)];
    va_list arguments;
    va_start(arguments, format);
    fill(message, sizeof(message), format, arguments);
    va_end(arguments);
    char place[sizeof(error->where)];
    fill_text(place, sizeof(place), "%s", where == NULL ? "" : where);
    memset(error, 0, sizeof(*error));
    error->status = status;
    error->line = line;
    error->column = column;
    memcpy(error->where, place, strlen(place) + 1);
    memcpy(error->message, message, strlen(message) + 1);
    return status;
}

void error_where(kw_error *error, const char *format, ...)
{
    if (error == NULL || error->where[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    fill(error->where, sizeof(error->where), format, arguments);
    va_end(arguments);
}

void error_place(kw_error *error, const char *where, unsigned line, unsigned column)
{
    if (error == NULL || error->where[0] != '\0')
        return;
    error_where(error, "%s", where);
    error->line = line;
    error->column = column;
}

void error_remedy(kw_error *error, const char *format, ...)
{
    if (error == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    fill(error->remedy, sizeof(error->remedy), format, arguments);
    va_end(arguments);
}

void error_prefix(kw_error *error, const char *format, ...)
{
    if (error == NULL)
        return;
    char prefix[sizeof(error->message)];
    va_list arguments;
    va_start(arguments, format);
    fill(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    fill_text(error->message, sizeof(error->message), "%s: %s", prefix, error->message);
}

kw_status error_memory(kw_error *error)
{
    return error_set(error, KW_OUT_OF_MEMORY, "memory ran out");
}

kw_status error_tolerate(kw_status status, kw_status tolerated, kw_error *error)
{
    if (status != tolerated)
        return status;
    if (error != NULL)
        *error = (kw_error){0};
    return KW_OK;
}
