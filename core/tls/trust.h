/* kw_trust_export, as it runs under one configuration: see certificate/calls.h. */
#ifndef KEYWRIGHT_TLS_TRUST_H
#define KEYWRIGHT_TLS_TRUST_H

#include "certificate/manager.h"

KW_MUST_USE kw_status trust_export(kw_context *context, kw_trust_format format, kw_bytes *content, kw_error *error);

#endif
