/* A certificate as rows, details and JSON. */
#ifndef KEYWRIGHT_CLI_CERTIFICATE_H
#define KEYWRIGHT_CLI_CERTIFICATE_H

#include "session.h"

/* What `list --json` tells of each. NULL: out of memory. */
json_t *certificate_json(const kw_certificate_info *certificate);
/* The same and all the rest, for `show --json`. */
json_t *certificate_json_whole(const kw_certificate_info *certificate);
KW_MUST_USE kw_status certificate_print_list(const kw_certificate_list *list, bool all, kw_error *error);
KW_MUST_USE kw_status certificate_print_details(const kw_certificate_info *certificate, kw_error *error);

/* The one certificate at `address`; kw_certificate_list_free frees it. */
KW_MUST_USE kw_status certificate_find(kw_context *context, const char *address, kw_certificate_list **list,
                                       kw_error *error);

#endif
