/* A CA of libcrypto's functions: certificates with any extensions, and revocation lists. */
#ifndef KEYWRIGHT_TESTS_CERTIFICATE_AUTHORITY_H
#define KEYWRIGHT_TESTS_CERTIFICATE_AUTHORITY_H

#include <openssl/types.h>
#include <openssl/x509.h>

#define DAY 86400L

struct extension {
    int nid;
    const char *value; /* as in openssl's configuration, also with "critical,"; NULL ends a table */
};
extern const struct extension authority_extensions[]; /* of a CA */
extern const struct extension server_extensions[];    /* of a TLS server */

struct issue {
    const char *subject; /* the common name */
    EVP_PKEY *key;
    X509 *issuer; /* NULL: itself */
    EVP_PKEY *issuer_key;
    const struct extension *extensions, *more; /* either may be NULL */
    long from, to;                             /* seconds from now; both 0: since a day ago, for a year */
    const char *digest;                        /* NULL: SHA256 */
};
/* Fails the test when it cannot be made. */
X509 *authority_issue(OSSL_LIB_CTX *library, const struct issue *issue);
/* `revoked` may be NULL. From `from` to `to`, seconds from now; `to` 0: it does not say. */
X509_CRL *authority_crl(OSSL_LIB_CTX *library, X509 *issuer, EVP_PKEY *key, const X509 *revoked, long from, long to,
                        const char *digest);

#endif
