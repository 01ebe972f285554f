/* kw_connections, kw_connection_check and kw_connection_tls, as they run under one configuration: see certificate/calls.h. */
#ifndef KEYWRIGHT_TLS_CONNECTION_H
#define KEYWRIGHT_TLS_CONNECTION_H

#include "certificate/manager.h"

KW_MUST_USE kw_status connection_list(kw_context *context, kw_connection_list **list, kw_error *error);
KW_MUST_USE kw_status connection_check(kw_context *context, const char *name, kw_connection_report **report,
                                       kw_error *error);
KW_MUST_USE kw_status connection_tls(kw_context *context, const char *name, struct ssl_ctx_st **tls, kw_error *error);

#endif
