/*
 * RSA keys that sign by PSS alone: their SubjectPublicKeyInfo says id-RSASSA-PSS, and may say with which hash and salt (RFC 4055, sections 1.2 and
 * 3.1). Stores hold them as any RSA key; it is the certificate that says so, and the core that keeps to it.
 */
#ifndef KEYWRIGHT_STORE_PSS_H
#define KEYWRIGHT_STORE_PSS_H

#include "base/crypto.h"

#include <openssl/x509.h>

/* What a key is limited to. */
struct pss_limits {
    bool only;              /* false: an RSA key for anything, or another type of key; then nothing below counts */
    kw_hash hash, mgf_hash; /* KW_HASH_NONE: any */
    uint32_t salt_minimum;
};

/* What an AlgorithmIdentifier of a key says. KW_UNSUPPORTED: a hash, or something else, that there is not here; KW_CORRUPT. */
KW_MUST_USE kw_status pss_read(const X509_ALGOR *algorithm, struct pss_limits *limits, kw_error *error);
/* Of a key in the default provider; what cannot be read counts as no limit, since the default provider keeps to its own. */
struct pss_limits pss_of_pkey(const EVP_PKEY *key);
bool pss_equal(const struct pss_limits *one, const struct pss_limits *other);
/* The salt of whoever asks for none in particular: as long as the hash, or as long as it must be. In bytes. */
uint32_t pss_salt_default(const struct pss_limits *limits, kw_hash hash);

/*
 * The SubjectPublicKeyInfo of the key `own` with the algorithm of `like`. Empty, to be freed all the same: that of `like` is not
 * id-RSASSA-PSS. Both are SubjectPublicKeyInfos, `own` of an RSA key.
 */
KW_MUST_USE kw_status pss_spki_like(kw_input own, kw_input like, kw_bytes *spki, kw_error *error);

#endif
