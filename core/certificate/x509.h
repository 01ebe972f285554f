/* Making and reading X.509 certificates and PKCS#10 requests: RFC 5280, RFC 2986. */
#ifndef KEYWRIGHT_CERTIFICATE_X509_H
#define KEYWRIGHT_CERTIFICATE_X509_H

#include "certificate/hosts.h"
#include "certificate/kinds.h"
#include "openssl/pkey.h"
#include <openssl/x509.h>

struct x509_subject {
    const char *common_name;
    const char *unit;    /* NULL: none */
    const char *subject; /* RFC 4514, in place of both; NULL */
};

struct x509_wanted {
    const struct kind *kind;
    struct x509_subject subject;
    const char *const *hosts; /* each a name (dNSName) or an IP address (dNSName and iPAddress, S2) */
    size_t host_count;
    const char *const *usages; /* extended key usages of a general certificate: names or dotted; none: any use */
    size_t usage_count;
};

/* What x509_make would refuse of the subject, the hosts and the usages, before there is a key. KW_INVALID_ARGUMENT. */
KW_MUST_USE kw_status x509_check_wanted(const struct x509_wanted *wanted, kw_error *error);
/* Self-signed by the key, CA:FALSE, from now to 9999-12-31T23:59:59Z. Errors: KW_INVALID_ARGUMENT (a part of the subject or a host cannot be
 * written; says which and why), and what the store answers. */
KW_MUST_USE kw_status x509_make(struct crypto *crypto, kw_key *key, const struct x509_wanted *wanted, kw_bytes *der,
                                kw_error *error);
/* A request with the certificate's subject, SAN, key usage and extended key usage. */
KW_MUST_USE kw_status x509_request(struct crypto *crypto, kw_key *key, X509 *certificate, kw_bytes *der,
                                   kw_error *error);

/* One certificate off the front of `der`. KW_CORRUPT when it is none. */
KW_MUST_USE kw_status x509_read(struct crypto *crypto, kw_input *der, X509 **certificate, kw_error *error);
/* The same for what is described alone: its public key cannot be used, and reading it costs a fraction. */
KW_MUST_USE kw_status x509_read_bare(struct crypto *crypto, kw_input *der, X509 **certificate, kw_error *error);
/* As X509_self_signed. */
bool x509_is_self_signed(X509 *certificate, bool verify);
KW_MUST_USE kw_status x509_to_der(X509 *certificate, kw_bytes *der, kw_error *error);

/* Fills what kw_certificate_info tells of the certificate itself, which may be read bare; strings belong to `arena`. */
struct arena;
KW_MUST_USE kw_status x509_describe(struct crypto *crypto, X509 *certificate, struct arena *arena,
                                    kw_certificate_info *info, kw_error *error);

#endif
