/* The log of one context: lines go to the callback of whoever opened it. */
#ifndef KEYWRIGHT_BASE_LOG_H
#define KEYWRIGHT_BASE_LOG_H

#include "base/error.h"

struct log {
    kw_log_callback callback; /* NULL: nowhere */
    void *user;
};

/* `log` may be NULL. Control characters are shown as '?'. */
void log_write(const struct log *log, kw_log_level level, const char *format, ...) KW_PRINTF(3, 4);

#endif
