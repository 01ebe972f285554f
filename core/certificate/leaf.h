/* What a server's certificate must be by itself, before anybody looks at who issued it: S5, S6. */
#ifndef KEYWRIGHT_CERTIFICATE_LEAF_H
#define KEYWRIGHT_CERTIFICATE_LEAF_H

#include "base/error.h"
#include <openssl/x509.h>

/* KW_REFUSED unless it may serve TLS: extended key usage serverAuth, and a key usage, where it has one, with digitalSignature. */
KW_MUST_USE kw_status leaf_check_server(X509 *certificate, kw_error *error);
/* KW_REFUSED when it has expired, is not valid yet, or has a malformed extension. */
KW_MUST_USE kw_status leaf_check_validity(X509 *certificate, kw_error *error);

/*
 * Whether its SAN names a host as clients match it: an address as iPAddress alone, a name never by the subject, a wildcard for one whole
 * label. A host that is a wildcard itself has to be there as it is.
 */
bool leaf_covers(X509 *certificate, const char *host);

/* Told in sentences, none of which keeps a certificate out. */
typedef void (*leaf_warning)(void *user, const char *sentence);
/* A wildcard in its SAN; which of `hosts` the SAN lacks, all in one sentence. */
void leaf_tell_names(X509 *certificate, const char *const *hosts, size_t host_count, leaf_warning warning, void *user);
/* Fewer than LEAF_DAYS days are left to it; `name` is what the sentence calls it. */
#define LEAF_DAYS 30
void leaf_tell_expiry(const X509 *certificate, const char *name, leaf_warning warning, void *user);

#endif
