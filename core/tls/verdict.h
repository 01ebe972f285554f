/* Whether a server's certificate is trusted, and every reason why it is not. */
#ifndef KEYWRIGHT_TLS_VERDICT_H
#define KEYWRIGHT_TLS_VERDICT_H

#include "base/arena.h"
#include "base/crypto.h"
#include <openssl/x509.h>

#define VERDICT_PROBLEMS_MAXIMUM 12

/* Where a problem is. */
struct verdict_place {
    int error;                            /* X509_V_ERR_... */
    int depth;                            /* which certificate of the path is concerned; 0: the server's */
    const kw_certificate_info *concerned; /* what stands in it, in the arena; NULL: it is of none */
};

/* The worst first. Sentences belong to the arena that was given. */
struct verdict {
    kw_trust_problem problems[VERDICT_PROBLEMS_MAXIMUM];
    struct verdict_place places[VERDICT_PROBLEMS_MAXIMUM];
    size_t count; /* 0: trusted */
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

/* No path is followed further: what a stranger sends could go on for long. Handshakes have the same limit, so that they find what reports say. */
#define VERDICT_DEPTH_MAXIMUM 10 /* certificates between the server's and the trusted one */

/* What is judged. */
struct verdict_wanted {
    X509 *certificate;
    STACK_OF(X509) *others; /* what the server sent; may be NULL */
    const char *host;       /* the name or address that it must be for; NULL: any */
    bool is_address;
    uint64_t deadline; /* clock_milliseconds: it is looked at before each certificate of the path. 0: none */
};

/* As a TLS client judges a server: path to the store, purpose, dates, strength, name. KW_TIMEOUT; KW_INVALID_ARGUMENT (the host). */
KW_MUST_USE kw_status verdict_find(struct crypto *crypto, X509_STORE *store, const struct verdict_wanted *wanted,
                                   struct arena *arena, struct verdict *verdict, kw_error *error);
/* The same verdict for who does not ask for the name. */
void verdict_forget_name(struct verdict *verdict);

#endif
