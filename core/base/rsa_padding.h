/* Removing RSA padding in constant time, for what a backend does raw RSA alone: RFC 8017. And MGF1, of which paddings are made. */
#ifndef KEYWRIGHT_BASE_RSA_PADDING_H
#define KEYWRIGHT_BASE_RSA_PADDING_H

#include "base/crypto.h"

/* RFC 8017 B.2.1: `data` ^= MGF1(seed). `work` has room for the seed and 4 bytes. */
KW_MUST_USE kw_status rsa_mgf1_xor(struct crypto *crypto, kw_hash hash, kw_input seed, unsigned char *data,
                                   size_t length, unsigned char *work, kw_error *error);

/*
 * EME-OAEP decoding (section 7.1.2 step 3) of `block`, which is as long as the modulus. One answer, KW_CIPHERTEXT_INVALID, in one
 * time for every reason. `message->capacity` must be at least the block's length, else KW_BUFFER_TOO_SMALL.
 */
KW_MUST_USE kw_status rsa_oaep_unpad(struct crypto *crypto, kw_hash hash, kw_hash mgf_hash, kw_input label,
                                     kw_input block, kw_output *message, kw_error *error);

/*
 * The same before its answer is told apart: `good` is all ones when the message is one, else zero, and nothing has branched on it. The
 * whole room of `message` is written, whose length means nothing when it is not good.
 */
KW_MUST_USE kw_status rsa_oaep_decode(struct crypto *crypto, kw_hash hash, kw_hash mgf_hash, kw_input label,
                                      kw_input block, kw_output *message, uint32_t *good, kw_error *error);

/* What wrapped roots of master keys begin with (store/key.h). A PKCS#1 v1.5 message that does is rejected as a malformed one is. */
#define RSA_PKCS1_NEVER        "keywright root/1"
#define RSA_PKCS1_NEVER_LENGTH 16u

/*
 * EME-PKCS1-v1_5 decoding with implicit rejection: a block that is not well formed gives a pseudo-random message of
 * pseudo-random length, a function of `seed` (32 bytes, secret, fixed for the key) and the ciphertext, as OpenSSL 3.2 does
 * it. The answer never tells which it was. `message->capacity` must be at least the block's length.
 */
KW_MUST_USE kw_status rsa_pkcs1_unpad(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                                      kw_output *message, kw_error *error);

/*
 * The same where every right message has this length (a content key; at most the block's less 11): one of another length is rejected
 * too, and what is rejected gives a message of this length.
 */
KW_MUST_USE kw_status rsa_pkcs1_unpad_exactly(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                                              size_t wanted, kw_output *message, kw_error *error);

/*
 * The same for the RSA key exchange of TLS 1.2 (RFC 5246, section 7.4.7.1): the secret has 48 bytes, of which the first two are the
 * version that the client offered, or `other_version` unless it is 0. Any other block gives a pseudo-random secret, as above.
 */
#define RSA_TLS_SECRET 48u
KW_MUST_USE kw_status rsa_tls_unpad(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                                    uint32_t client_version, uint32_t other_version, kw_output *secret,
                                    kw_error *error);

#endif
