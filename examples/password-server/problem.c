#include "problem.h"

#include <stdarg.h>
#include <stdio.h>

kw_status problem_set(kw_error *error, kw_status status, const char *format, ...)
{
    va_list arguments;
    *error = (kw_error){.status = status};
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return status;
}

void problem_log(kw_log_level level, const char *format, ...)
{
    static const char *const priorities[] = {[KW_LOG_ERROR] = "<3>", [KW_LOG_WARNING] = "<4>", [KW_LOG_INFO] = "<6>"};
    const bool known = (size_t)level < sizeof(priorities) / sizeof(priorities[0]) && priorities[level] != NULL;
    char line[1400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s\n", known ? priorities[level] : "<7>", line);
}

void problem_tell(const char *what, const kw_error *error)
{
    problem_log(KW_LOG_ERROR, "%s: %s%s%s%s%s", what, error->where, error->where[0] != '\0' ? ": " : "", error->message,
                error->remedy[0] != '\0' ? "; " : "", error->remedy);
}
