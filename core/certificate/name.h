/* Distinguished names as text: RFC 4514. */
#ifndef KEYWRIGHT_CERTIFICATE_NAME_H
#define KEYWRIGHT_CERTIFICATE_NAME_H

#include "base/error.h"
#include <openssl/x509.h>

/*
 * Adds one RDN behind those that `name` has. `type` is a short name such as CN. KW_INVALID_ARGUMENT: empty, not UTF-8, with
 * control characters, or longer than RFC 5280 allows (the message says how long it may be).
 */
KW_MUST_USE kw_status name_add(X509_NAME *name, const char *type, const char *value, kw_error *error);

/*
 * Parses a string such as "CN=www,O=Example\, Inc.,C=DE", whose last RDN is the first of the certificate's. Attribute types are
 * names in either case or dotted OIDs; values that are written in hex (#04...) are not taken. KW_INVALID_ARGUMENT: says what and where.
 */
KW_MUST_USE kw_status name_parse(const char *text, X509_NAME **name, kw_error *error);

/* The same the other way: UTF-8, control characters escaped. NULL when memory ran out. Free it. */
char *name_text(const X509_NAME *name);

#endif
