#include "certificate/password.h"

#include "config/source.h"

#include <string.h>

static void log_warning(void *user, const char *sentence)
{
    const struct log *log = user;
    log_write(log, KW_LOG_WARNING, "%s", sentence);
}

kw_status password_read(kw_context *context, const char *source, const char *what, bool confirm, struct secret *secret,
                        kw_error *error)
{
    const struct source_reader reader = {.prompt = context->prompt,
                                         .user = context->prompt_user,
                                         .allow_empty = !confirm,
                                         .warning = log_warning,
                                         .warning_user = &context->log};
    kw_status status = KW_OK;
    if (strncmp(source, "inline:", 7) == 0) {
        status = error_set(error, KW_INVALID_ARGUMENT,
                           "%s: a secret is not taken from an argument (inline:), which other users can read", what);
        error_remedy(error, "put it into a file of mode 0600 and give file:PATH; or env:NAME, or prompt");
        return status;
    }
    status = source_check(source, 0, error);
    if (status == KW_CONFIGURATION) {
        /* Nothing is wrong with the configuration: the caller's argument is no source. */
        status = KW_INVALID_ARGUMENT;
        if (error != NULL)
            error->status = status;
        error_prefix(error, "%s", what);
    }
    return status == KW_OK ? source_read(source, &reader, what, confirm, secret, error) : status;
}
