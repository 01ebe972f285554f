/* Certificate revocation lists: RFC 5280 section 5, fetched from where a certificate says that they are. */
#ifndef KEYWRIGHT_CERTIFICATE_CRL_H
#define KEYWRIGHT_CERTIFICATE_CRL_H

#include "base/crypto.h"
#include <openssl/x509.h>

#define CRL_TIMEOUT 10000                 /* ms */
#define CRL_MAXIMUM (16u * 1024u * 1024u) /* bytes */

/* Of one list. */
struct crl_limits {
    int64_t timeout; /* ms, with name resolution and redirects */
    size_t maximum;  /* bytes */
};

/*
 * Fetches and parses one list, in DER or PEM, by http, https or file. A file must be a regular one of this machine; http and https follow three
 * redirects at most, and to http and https alone. Nothing in it is verified. Errors, which name the URL: KW_UNSUPPORTED (another
 * scheme), KW_UNAVAILABLE (it cannot be reached in time, or answers with an error), KW_REFUSED (too large, not a regular file, a redirect that
 * is not followed), KW_INVALID_ARGUMENT (no URL), KW_CORRUPT (it is not a revocation list).
 */
KW_MUST_USE kw_status crl_fetch(struct crypto *crypto, kw_input url, const struct crl_limits *limits, X509_CRL **crl,
                                kw_error *error);

/* Whether it can be believed now: KW_REFUSED when it has expired, does not say when it will, is from the future, or is signed by
 * means of MD5 or SHA-1. Who signed it is not looked at. `url` is for the message. */
KW_MUST_USE kw_status crl_check_fresh(const X509_CRL *crl, kw_input url, kw_error *error);

/* "2026-01-31 12:00:00 UTC"; "an unreadable time" when it is none. */
#define TIME_TEXT_SIZE 40
void time_text(const ASN1_TIME *time, char text[TIME_TEXT_SIZE]);

#endif
