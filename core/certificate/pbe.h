/*
 * Password-based encryption and MACs in files that others made: whether libcrypto can undo them, and what that may cost. Everything that
 * pfx_read and pem_read derive from a password is held against this first, so that a hostile file cannot keep the process busy.
 */
#ifndef KEYWRIGHT_CERTIFICATE_PBE_H
#define KEYWRIGHT_CERTIFICATE_PBE_H

#include "base/crypto.h"
#include <openssl/x509.h>

#ifndef KW_FUZZ
#define PBE_ITERATIONS_MAXIMUM 5000000u             /* of one derivation: seconds */
#define PBE_TOTAL_MAXIMUM      UINT64_C(1000000000) /* of a file: minutes; ten thousand keys as pfx_write writes them */
#define PBE_SCRYPT_MAXIMUM     (UINT64_C(1) << 24)  /* N * r * p */
#else                                               /* thousands of files a second, whatever they ask for */
#define PBE_ITERATIONS_MAXIMUM 16u
#define PBE_TOTAL_MAXIMUM      UINT64_C(64)
#define PBE_SCRYPT_MAXIMUM     UINT64_C(64)
#endif

/* Of one file. Zero-initialise but for `crypto`, and close. */
struct pbe_limits {
    struct crypto *crypto;
    OSSL_PROVIDER *legacy; /* loaded for as long as the file is read when it needs RC2, RC4 or DES */
    uint64_t iterations;   /* so far */
};

void pbe_close(struct pbe_limits *limits);

/* A cipher by its NID, with the legacy provider when it takes that. Free it before pbe_close. KW_UNSUPPORTED. */
KW_MUST_USE kw_status pbe_cipher(struct pbe_limits *limits, int nid, EVP_CIPHER **cipher, kw_error *error);

/*
 * Errors: KW_UNSUPPORTED (an algorithm that libcrypto lacks: named), KW_REFUSED (more iterations than the limits above; the message
 * has both numbers), KW_CORRUPT (malformed parameters).
 */
KW_MUST_USE kw_status pbe_check(struct pbe_limits *limits, const X509_ALGOR *algorithm, kw_error *error);
/* Likewise for the MAC of a PKCS#12 file: a hash with `iterations` from the file (RFC 7292), or PBMAC1 (RFC 9579). */
KW_MUST_USE kw_status pbe_check_mac(struct pbe_limits *limits, const X509_ALGOR *algorithm,
                                    const ASN1_INTEGER *iterations, kw_error *error);

#endif
