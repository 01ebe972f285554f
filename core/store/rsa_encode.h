/* RSA signature paddings, for stores that do raw RSA alone: RFC 8017 section 9. Nothing here is secret. */
#ifndef KEYWRIGHT_STORE_RSA_ENCODE_H
#define KEYWRIGHT_STORE_RSA_ENCODE_H

#include "base/crypto.h"

#define RSA_BYTES_MAXIMUM 2048u /* of a modulus that is supported */

/* EMSA-PKCS1-v1_5 of a digest into a block as long as the modulus. KW_INVALID_ARGUMENT when the modulus is too short. */
KW_MUST_USE kw_status rsa_pkcs1_encode(kw_hash hash, kw_input digest, unsigned char *block, size_t length,
                                       kw_error *error);

/* EMSA-PSS likewise, for a modulus of `bits` bits. */
KW_MUST_USE kw_status rsa_pss_encode(struct crypto *crypto, const kw_algorithm *algorithm, kw_input digest,
                                     uint32_t bits, unsigned char *block, size_t length, kw_error *error);

/* The longest salt that PSS with this hash has room for in a modulus of `bits` bits; false when there is room for none. */
bool rsa_pss_salt_maximum(kw_hash hash, uint32_t bits, uint32_t *salt);

#endif
