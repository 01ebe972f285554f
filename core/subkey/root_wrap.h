/* A root encrypted to a public key, and what undoes that; and the scheme by which a master key signs. docs/crypto.md. */
#ifndef KEYWRIGHT_SUBKEY_ROOT_WRAP_H
#define KEYWRIGHT_SUBKEY_ROOT_WRAP_H

#include "store/key.h"
#include "subkey/root_record.h"

#include <openssl/evp.h>

/* One way of wrapping. The names are for ever. */
struct wrap_algorithm {
    const char *name;
    kw_key_type type;
    kw_hash hash; /* of OAEP and of its MGF1 */
};
/* NULL: this version has none of this name. */
const struct wrap_algorithm *wrap_find(kw_input name);
bool wrap_can_undo(const struct wrap_algorithm *algorithm, const kw_key_capabilities *key);
/* The first of them that the key can undo; NULL: none. */
const struct wrap_algorithm *wrap_choose(const kw_key_capabilities *key);

/* For a key of which only the type is known; NULL: nothing can be wrapped to one. */
const struct wrap_algorithm *wrap_of_type(kw_key_type type);

/* A recipient: borrowed. */
struct wrap_key {
    kw_key *key;
    unsigned char spki
        [SHA256_LENGTH]; /* SHA-256 of its SubjectPublicKeyInfo, as its certificate has it: the same in every store */
};
/* Appends the ciphertext. Public-key work: no call to a store. */
KW_MUST_USE kw_status wrap_make(struct crypto *crypto, const struct wrap_algorithm *algorithm,
                                const struct wrap_key *to, kw_input content, struct buffer *ciphertext,
                                kw_error *error);
/* One private operation of the key's store. KW_CIPHERTEXT_INVALID. */
KW_MUST_USE kw_status wrap_undo(struct crypto *crypto, const struct wrap_algorithm *algorithm,
                                const struct wrap_key *by, kw_input ciphertext, struct secret *content,
                                kw_error *error);

/* By a private key that is in no store. `spki` is that of wrap_key. */
KW_MUST_USE kw_status wrap_undo_private(struct crypto *crypto, const struct wrap_algorithm *algorithm,
                                        EVP_PKEY *private, const unsigned char spki[SHA256_LENGTH], kw_input ciphertext,
                                        struct secret *content, kw_error *error);

/* The scheme by which such a key signs roots; NULL: it cannot. */
const char *root_scheme_choose(const kw_key_capabilities *key);
/* false: there is none of this name. */
KW_MUST_USE bool root_scheme_find(const char *name, kw_algorithm *algorithm);

#endif
