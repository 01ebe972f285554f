/* Whether a server's certificate is trusted, and every reason why it is not. */
#ifndef KEYWRIGHT_TLS_VERDICT_H
#define KEYWRIGHT_TLS_VERDICT_H

#include "base/arena.h"
#include "base/crypto.h"
#include <openssl/x509.h>

#define VERDICT_PROBLEMS_MAXIMUM 12

/* The worst first. Sentences belong to the arena that was given. */
struct verdict {
    kw_trust_problem problems[VERDICT_PROBLEMS_MAXIMUM];
    size_t count; /* 0: trusted */
    /* Of the first: X509_V_ERR_..., and which certificate of the path is concerned. */
    int error;
    int depth;                            /* 0: the server's */
    const kw_certificate_info *concerned; /* what stands in it, in the arena; NULL: it cannot be read */
};

/*
 * A store of the certificates in `files`, and with `system` of what openssl takes for trusted on this system (its default file and directory, or
 * $SSL_CERT_FILE and $SSL_CERT_DIR). verdict_store_free frees it.
 */
KW_MUST_USE kw_status verdict_store(struct crypto *crypto, const char *const *files, size_t count, bool system,
                                    X509_STORE **store, kw_error *error);
void verdict_store_free(X509_STORE *store);

/* What a certificate must be for, as clients match it; NULL: anything. False: it can be in no certificate. */
bool verdict_set_host(X509_VERIFY_PARAM *parameters, const char *host, bool is_address);

/*
 * As a TLS client judges a server: path to the store, purpose, dates, strength, and the name or address `host` (NULL: any). `others` are what the
 * server sent (may be NULL).
 */
KW_MUST_USE kw_status verdict_find(struct crypto *crypto, X509_STORE *store, X509 *certificate, STACK_OF(X509) *others,
                                   const char *host, bool is_address, struct arena *arena, struct verdict *verdict,
                                   kw_error *error);

#endif
