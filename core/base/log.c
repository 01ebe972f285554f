#include "base/log.h"

#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>

void log_write(const struct log *log, kw_log_level level, const char *format, ...)
{
    if (log == NULL || log->callback == NULL)
        return;
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    text_mask(line);
    log->callback(log->user, level, line);
}
