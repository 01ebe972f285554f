/* What was seen of a server's certificate, as a kw_trust_report: judged, described, and put in words (S7). */
#ifndef KEYWRIGHT_TLS_REPORT_H
#define KEYWRIGHT_TLS_REPORT_H

#include "base/crypto.h"
#include <openssl/x509.h>

/* All borrowed. Texts are never NULL. */
struct seen {
    const char *host; /* that was meant; empty: the certificate may be for any */
    bool is_address;
    const char *port, *address, *protocol, *cipher;
    X509 *certificate;
    STACK_OF(X509) *chain; /* as it was sent; may be NULL */
    const char *refused;   /* why the handshake refused it, should no other reason be found; NULL: it did not */
    uint64_t deadline;     /* of judging: clock_milliseconds; 0: none */
};

/* kw_trust_report_free frees. KW_TIMEOUT. */
KW_MUST_USE kw_status report_make(struct crypto *crypto, X509_STORE *store, const struct seen *seen,
                                  kw_trust_report **report, kw_error *error);

#endif
