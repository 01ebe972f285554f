/*
 * XAES-256-GCM (C2SP): AES-256-GCM under a key that is derived for each message from the first half of a nonce of 24 bytes, so that
 * random nonces never run out. Any thread, without a lock; a fork may come at any time.
 */
#ifndef KEYWRIGHT_SUBKEY_XAES_H
#define KEYWRIGHT_SUBKEY_XAES_H

#include "base/crypto.h"

#include <stdatomic.h>

#define XAES_KEY_LENGTH   32
#define XAES_NONCE_LENGTH 24
#define XAES_TAG_LENGTH   16
#define XAES_WORDS        4 /* in a block of AES */
#define XAES_OVERHEAD     (XAES_NONCE_LENGTH + XAES_TAG_LENGTH)
/* The standard's is 2^36 - 32, libcrypto's 2^31 - 1 in one piece. */
#define XAES_PLAINTEXT_MAXIMUM (1u << 30)

/* What all keys share: libcrypto's contexts and random bytes for nonces. Borrows `crypto`; keys must have been cleared before it is freed. */
struct xaes;
KW_MUST_USE kw_status xaes_new(struct crypto *crypto, struct xaes **xaes, kw_error *error);
void xaes_free(struct xaes *xaes);

/* What a key is made of; to be kept in locked memory. */
struct xaes_secret {
    unsigned char key[XAES_KEY_LENGTH];
    uint32_t mask[XAES_WORDS]; /* K1 of the standard, as its bytes lie in memory */
    uint64_t number;           /* in this process never another key's */
};
KW_MUST_USE kw_status xaes_prepare(struct xaes *xaes, const unsigned char key[XAES_KEY_LENGTH],
                                   struct xaes_secret *secret, kw_error *error);

/*
 * A key in use. It has no secret in it, and making one costs nothing. From its second message on it keeps schedules on libcrypto's heap, which
 * xaes_key_clear wipes: so one that serves one message alone leaves nothing there, and one that is kept is fast. The members are xaes.c's.
 */
struct xaes_contexts;
struct xaes_key {
    struct xaes *xaes;
    const struct xaes_secret *secret;
    _Atomic(struct xaes_contexts *) contexts;
    atomic_bool used;
};
/* Borrows both until xaes_key_clear. */
void xaes_key_init(struct xaes_key *key, struct xaes *xaes, const struct xaes_secret *secret);
/* No other thread uses it any more. */
void xaes_key_clear(struct xaes_key *key);
/* The next message counts as the first one again. True: nothing of it is on the heap. Safe while others use it. */
bool xaes_key_rest(struct xaes_key *key);

/* A message, and what is authenticated with it: both parts of `associated`, one behind the other. */
struct xaes_message {
    kw_input text; /* plaintext or ciphertext, without tag */
    kw_input associated[2];
};

/*
 * `nonce` NULL: a random one, never the same in two threads or processes. `out_nonce`, `ciphertext` (as long as the plaintext) and `tag` are
 * filled. KW_INVALID_ARGUMENT: longer than XAES_PLAINTEXT_MAXIMUM.
 */
KW_MUST_USE kw_status xaes_encrypt(struct xaes_key *key, const unsigned char *nonce, const struct xaes_message *message,
                                   unsigned char out_nonce[XAES_NONCE_LENGTH], unsigned char *ciphertext,
                                   unsigned char tag[XAES_TAG_LENGTH], kw_error *error);
/* `plaintext` is as long as the ciphertext, and zeros where KW_CIPHERTEXT_INVALID is answered. */
KW_MUST_USE kw_status xaes_decrypt(struct xaes_key *key, const unsigned char nonce[XAES_NONCE_LENGTH],
                                   const struct xaes_message *message, const unsigned char tag[XAES_TAG_LENGTH],
                                   unsigned char *plaintext, kw_error *error);

#endif
