/*
 * A key in a store: the handle behind kw_key of keywright.h. Counted references; the public key is read once, at open. The public
 * functions on kw_key are defined in key.c and key_decrypt.c, and all private-key operations of the library go through them.
 */
#ifndef KEYWRIGHT_STORE_KEY_H
#define KEYWRIGHT_STORE_KEY_H

#include "base/rsa_padding.h"
#include "base/secret.h"
#include "control/control.h"
#include "store/pss.h"
#include "store/store.h"

/* Stays in this store, whatever the catalogue says; see key_follow. */
KW_MUST_USE kw_status key_open(struct store *store, kw_input locator, kw_key **key, kw_error *error);
/* A key of which only the SubjectPublicKeyInfo is known: verifies and encrypts; key_store is NULL, private operations are KW_UNSUPPORTED. */
KW_MUST_USE kw_status key_open_public(struct crypto *crypto, kw_input spki, kw_key **key, kw_error *error);
/* Another reference; kw_key_free gives one back. */
kw_key *key_reference(kw_key *key);
/* Where it is now, as far as it was used. */
struct store *key_store(const kw_key *key);

/*
 * Whose key it is. Such a key is found again in another store after a transfer, by whatever operation comes next, and one that fails
 * because the key has moved under it is done again there. `generation` is that of before the certificate's row was read. Before the
 * handle is shared.
 */
struct key_origin {
    struct control *control; /* NULL: the key stays where it is */
    struct stores *stores;
    struct id certificate;
    /* Called when the generation has been raised, before an operation begins: takes a new configuration. NULL: nobody does. */
    void (*renew)(void *user);
    void *user;
};
void key_follow(kw_key *key, const struct key_origin *origin, uint64_t generation);
/* The public key in the default provider of the library's context; lives as long as the key. */
EVP_PKEY *key_public_pkey(const kw_key *key);
/* rsa-3072, ec-p256, ...: lives for ever, or NULL when it is none of the names. */
const char *key_name(const kw_key *key);

/*
 * Makes of an RSA key what its certificate says: where the SubjectPublicKeyInfo `like` is id-RSASSA-PSS, so is the key's from now on, which then does no more than that
 * allows. Nothing happens where it is another. Before the handle is shared. Errors: KW_UNSUPPORTED, KW_CORRUPT.
 */
KW_MUST_USE kw_status key_limit(kw_key *key, kw_input like, kw_error *error);
const struct pss_limits *key_pss(const kw_key *key);

/* PKCS#8 in locked memory, of an RSA key always as rsaEncryption. Errors: KW_REFUSED, KW_UNSUPPORTED (the store does not give it out). */
KW_MUST_USE kw_status key_export(kw_key *key, struct secret *pkcs8, kw_error *error);

/*
 * RSA PKCS#1 v1.5 decryption with implicit rejection (raw RSA in the store, unpadding here in constant time, seed
 * HKDF-Expand(catalogue key, "reject" || SHA-256(SPKI))): an invalid ciphertext gives a pseudo-random message, never an error.
 * For CMS, and for raw use only where the certificate's settings allow it. KW_UNSUPPORTED: the store has no raw RSA.
 * `plaintext->capacity` must be the modulus' length.
 */
KW_MUST_USE kw_status key_decrypt_pkcs1(kw_key *key, kw_input ciphertext, kw_output *plaintext, kw_error *error);
/* The same where every right plaintext has this length, as a content key's: any other is an invalid one, whose message has it. */
KW_MUST_USE kw_status key_decrypt_pkcs1_exactly(kw_key *key, kw_input ciphertext, size_t wanted, kw_output *plaintext,
                                                kw_error *error);
/*
 * The same for the RSA key exchange of TLS 1.2: a secret of RSA_TLS_SECRET bytes that begins with the client's version, or `other_version` unless
 * that is 0. It is no raw use, and needs no leave of the settings: what comes out is a secret of TLS or pseudo-random, never another plaintext.
 */
KW_MUST_USE kw_status key_decrypt_tls(kw_key *key, kw_input ciphertext, uint32_t client_version, uint32_t other_version,
                                      kw_output *secret, kw_error *error);

/*
 * What a wrapped root and what is signed of one begin with (subkey/root.h). kw_key_decrypt and the others here answer such a plaintext as an invalid ciphertext, so that
 * who decrypts for clients is no oracle for roots.
 */
#define KEY_ROOT_MAGIC        RSA_PKCS1_NEVER
#define KEY_ROOT_MAGIC_LENGTH RSA_PKCS1_NEVER_LENGTH
/* kw_key_decrypt for those who unwrap roots: they get such a plaintext. */
KW_MUST_USE kw_status key_unwrap(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext, kw_output *plaintext,
                                 kw_error *error);
/*
 * Marks the handle of a master key: kw_key_derive is refused, since blinded secrets would open wrapped roots, and kw_key_sign of a message that begins as
 * a root's does. Before the handle is shared.
 */
void key_guard_roots(kw_key *key);
/* kw_key_derive also on such a handle: for those who hand out only what a key derivation function made of the secret. */
KW_MUST_USE kw_status key_agree(kw_key *key, kw_input peer, kw_output *shared, kw_error *error);

/* Lets kw_key_decrypt take KW_SCHEME_RSA_PKCS1 on this handle; otherwise it is refused. Before the handle is shared. */
void key_allow_pkcs1_decrypt(kw_key *key);

/* The names of keys, as on the command line and in lists. */
struct key_kind {
    const char *name;
    kw_key_type type;
    uint32_t bits;
    kw_curve curve;
    bool pss; /* for PSS alone: comes with its certificate, and is no name of the command line */
};
/* NULL: there is no such name. */
const struct key_kind *key_kind_find(const char *name);
/* The name of the same RSA key for PSS alone, or for anything; NULL: there is none. */
const char *key_kind_name_pss(const char *name, bool pss);
/* All, ending with a row whose name is NULL. */
extern const struct key_kind key_kinds[];

#endif
