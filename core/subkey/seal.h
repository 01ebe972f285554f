/*
 * Seals: XAES-256-GCM (C2SP) under a subkey of class SUBKEY_SEAL, behind a header that says which. Pure functions of their arguments, but for nonces; docs/crypto.md
 * has the format, field by field.
 */
#ifndef KEYWRIGHT_SUBKEY_SEAL_H
#define KEYWRIGHT_SUBKEY_SEAL_H

#include "subkey/derive.h"

/* What a seal says about itself. `purpose` borrows from the seal. */
struct seal_header {
    struct id master;
    uint32_t version;
    kw_input purpose;
    size_t length; /* of the header itself: nonce, ciphertext and tag follow */
};
/* KW_CIPHERTEXT_INVALID: it is none, or cut short; says which. Nothing is verified yet. */
KW_MUST_USE kw_status seal_read_header(kw_input sealed, struct seal_header *header, kw_error *error);
/* How long the seal of so many bytes is, and what is in one of so many bytes. */
size_t seal_length(const struct seal_header *header, size_t plaintext);
size_t seal_plaintext_length(const struct seal_header *header, size_t sealed);

/* A subkey of 32 bytes made ready for many seals; any thread. Its key schedule lies on libcrypto's heap. */
struct seal_key;
KW_MUST_USE kw_status seal_key_new(struct crypto *crypto, kw_input subkey, struct seal_key **key, kw_error *error);
void seal_key_free(struct seal_key *key);

/* `out` has room for seal_length bytes; a random nonce, never the same in two threads or processes. */
KW_MUST_USE kw_status seal_close(struct seal_key *key, const struct seal_header *header, kw_input plaintext,
                                 kw_input associated, unsigned char *out, kw_error *error);
/* `out` has room for seal_plaintext_length bytes, and has zeros in it when KW_CIPHERTEXT_INVALID is answered. */
KW_MUST_USE kw_status seal_open(struct seal_key *key, const struct seal_header *header, kw_input sealed,
                                kw_input associated, unsigned char *out, kw_error *error);

/* In the child of a fork, before anything is sealed: random bytes that it inherited are not used. */
void seal_fork_child(void);

#endif
