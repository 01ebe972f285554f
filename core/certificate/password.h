/* Secrets whose source a call names, such as the password of an export: not those of the configuration. */
#ifndef KEYWRIGHT_CERTIFICATE_PASSWORD_H
#define KEYWRIGHT_CERTIFICATE_PASSWORD_H

#include "certificate/manager.h"

/*
 * Reads it as source_read does; a file that others may read is warned about in the log. Errors: KW_INVALID_ARGUMENT (`source` is no
 * source), KW_CONFIGURATION (it does not give a secret; a new one, to be confirmed, is empty), KW_PERMISSION.
 */
KW_MUST_USE kw_status password_read(kw_context *context, const char *source, const char *what, bool confirm,
                                    struct secret *secret, kw_error *error);

#endif
