/* A TLS connection that is made to look at: what the server shows, before anybody judges it. */
#ifndef KEYWRIGHT_TLS_PROBE_H
#define KEYWRIGHT_TLS_PROBE_H

#include "base/crypto.h"
#include "tls/wire.h"
#include <openssl/x509.h>

#define PROBE_HOST_MAXIMUM    253
#define PROBE_ADDRESS_MAXIMUM WIRE_ADDRESS_MAXIMUM

/* HOST:PORT; an IPv6 address in brackets. */
struct probe_target {
    char host[PROBE_HOST_MAXIMUM + 1]; /* a name without a dot at its end, or an address without brackets */
    char port[6];
    bool is_address;
};
/* KW_INVALID_ARGUMENT, with the form. */
KW_MUST_USE kw_status probe_parse(const char *text, struct probe_target *target, kw_error *error);
/* A host alone, an address without brackets; `port` becomes empty. KW_INVALID_ARGUMENT. */
KW_MUST_USE kw_status probe_parse_host(const char *text, struct probe_target *target, kw_error *error);

/* What the server showed. The handshake proved that it has the certificate's key. Free with probe_clear. */
struct probe {
    char address[PROBE_ADDRESS_MAXIMUM]; /* that answered */
    char protocol[16];                   /* TLSv1.3 */
    char cipher[64];
    X509 *certificate;
    STACK_OF(X509) *chain; /* as it was sent */
};

/*
 * Connects to the first of the host's addresses that answers, and shakes hands: TLS 1.2 at least, with SNI where the host is a name.
 * Certificates are not judged. The time-out is over all of it. No signal is raised.
 *
 * KW_UNAVAILABLE: the name is unknown, or no address answers. KW_TIMEOUT. KW_REFUSED: the server has no TLS 1.2. KW_FAILED: what answers
 * is no TLS, or the handshake failed; it says why.
 */
KW_MUST_USE kw_status probe_run(struct crypto *crypto, const struct probe_target *target, unsigned timeout_ms,
                                struct probe *probe, kw_error *error);
void probe_clear(struct probe *probe);

#endif
