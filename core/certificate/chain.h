/* The path from a certificate to a CA that is trusted, and whether every step of it holds: S5. */
#ifndef KEYWRIGHT_CERTIFICATE_CHAIN_H
#define KEYWRIGHT_CERTIFICATE_CHAIN_H

#include "certificate/leaf.h"
#include "certificate/trust.h"

struct chain_wanted {
    const struct trust *trust;
    bool tls_server; /* the path must allow serverAuth; else any use will do */
    leaf_warning warning;
    void *user;
};

/*
 * Finds the path with what is in `others` (NULL is allowed: not trusted, as it came), in the configuration and among the system's roots, and
 * checks signatures and their strength (MD5, SHA-1 and RSA below 2048 bits are refused), validity, basic constraints, key usage,
 * extended key usage, path length and name constraints. Only then, where a certificate of the path but the root names revocation lists, the
 * first that can be fetched and is fresh decides; those before it that could not are a warning. `*path` becomes the certificate and its
 * intermediates, without the root.
 *
 * Errors name the certificate of the path: KW_REFUSED (what is wrong), KW_UNAVAILABLE (no list of a certificate can be fetched),
 * KW_UNSUPPORTED (a certificate's lists are all in places that are not supported, such as ldap).
 */
KW_MUST_USE kw_status chain_find(struct crypto *crypto, const struct chain_wanted *wanted, X509 *certificate,
                                 STACK_OF(X509) *others, STACK_OF(X509) **path, kw_error *error);

/*
 * Appends the issuers that the end of `chain` still lacks, up to a root: of what the configuration names and of the system's roots, those that
 * signed. Checks no more than signatures. Where one is not known here the chain ends there.
 */
KW_MUST_USE kw_status chain_complete(struct crypto *crypto, const struct trust *trust, STACK_OF(X509) *chain,
                                     kw_error *error);

#endif
