/*
 * Seals: XAES-256-GCM under a subkey of class SUBKEY_SEAL, behind a header that says which. docs/crypto.md has the format, field
 * by field.
 */
#ifndef KEYWRIGHT_SUBKEY_SEAL_H
#define KEYWRIGHT_SUBKEY_SEAL_H

#include "subkey/derive.h"
#include "subkey/xaes.h"

/* What a seal says about itself. `purpose` borrows from the seal. */
struct seal_header {
    struct id master;
    uint32_t version;
    kw_input purpose;
    size_t length; /* of the header itself: nonce, ciphertext and tag follow */
};

/* KW_CIPHERTEXT_INVALID: it is none, or cut short; says which. Nothing is verified yet. */
KW_MUST_USE kw_status seal_read_header(kw_input sealed, struct seal_header *header, kw_error *error);
/* For new seals. KW_INVALID_ARGUMENT: the purpose is out of its limits. */
KW_MUST_USE kw_status seal_make_header(const struct id *master, uint32_t version, kw_input purpose,
                                       struct seal_header *header, kw_error *error);

/* How long the seal of so many bytes is, and how many bytes are in one that is so long (0: it is too short to be one). */
size_t seal_length(const struct seal_header *header, size_t plaintext);
size_t seal_plaintext_length(const struct seal_header *header, size_t sealed);

/* `out` has room for seal_length bytes, and does not overlap the inputs. */
KW_MUST_USE kw_status seal_close(struct xaes_key *key, const struct seal_header *header, kw_input plaintext,
                                 kw_input associated, unsigned char *out, kw_error *error);
/*
 * `header` is what seal_read_header read from `sealed`, and `key` that of its master key, version and purpose. `out` has room for seal_plaintext_length
 * bytes, and has zeros in it when KW_CIPHERTEXT_INVALID is answered.
 */
KW_MUST_USE kw_status seal_open(struct xaes_key *key, const struct seal_header *header, kw_input sealed,
                                kw_input associated, unsigned char *out, kw_error *error);

#endif
