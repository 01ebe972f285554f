/* What a program searches certificates by: OSSL_STORE_SEARCH(3). */
#ifndef KEYWRIGHT_OPENSSL_SEARCH_H
#define KEYWRIGHT_OPENSSL_SEARCH_H

#include "context.h"

#include <openssl/core.h>

/* What is looked at. */
struct searched {
    const char *address, *name; /* the latter is the last part of the former */
    kw_input certificate;       /* DER */
};

/* Zero-initialise. All that is set must match; nothing is set: everything matches. */
struct search {
    X509_NAME *subject, *issuer;
    BIGNUM *serial;
    EVP_MD *digest; /* of the fingerprint; NULL: whichever is as long */
    unsigned char *fingerprint;
    size_t fingerprint_length;
    char *alias;
};

/* Adds what is in the parameters of a store loader's context. Returns 0, with the reason in libcrypto's queue, when it is malformed. */
int search_take(struct search *search, struct crypto *crypto, const OSSL_PARAM parameters[]);
bool search_is_set(const struct search *search);
/* Whether it names one certificate, so that former ones are meant too. */
bool search_is_exact(const struct search *search);
/*
 * A fingerprint is the certificate's, or its SubjectPublicKeyInfo's; an alias the address, or its last part. A certificate that cannot be
 * read does not match.
 */
bool search_matches(const struct search *search, struct crypto *crypto, const struct searched *of);
void search_clear(struct search *search);

#endif
