/* What a kw_key is made of: for key.c, which opens keys and uses private ones, and key_public.c. */
#ifndef KEYWRIGHT_STORE_KEY_PRIVATE_H
#define KEYWRIGHT_STORE_KEY_PRIVATE_H

#include "store/key.h"
#include "store/rsa_encode.h"

#include <openssl/evp.h>
#include <stdatomic.h>

#define KEY_SPKI_MAXIMUM 8192u
#define KEY_HASHERS      8u

/* Property query for the default provider, whatever else is loaded into the library's context. */
#define KEY_PROVIDER "provider=default"

struct kw_key {
    atomic_uint references;
    struct crypto *crypto;
    struct store *store;   /* NULL: only the public key is known */
    kw_plugin_key *handle; /* NULL likewise */
    kw_key_capabilities capabilities;
    bool pkcs1_decrypt; /* raw PKCS#1 v1.5 decryption is allowed */
    EVP_PKEY *pkey;
    size_t signature_length; /* RSA: also of the modulus; ECDSA: the longest */
    size_t shared_length;    /* 0: nothing can be derived */
    unsigned char spki[KEY_SPKI_MAXIMUM];
    size_t spki_length;
    unsigned char modulus[RSA_BYTES_MAXIMUM];   /* RSA, signature_length bytes */
    _Atomic(EVP_MD_CTX *) hashers[KEY_HASHERS]; /* at rest: so that signing allocates nothing */
};

/* Parses and describes the public key. KW_CORRUPT, KW_UNSUPPORTED. */
KW_MUST_USE kw_status key_describe(kw_key *key, kw_input spki, kw_error *error);
/* Whether `peer` is a public key on the same curve. KW_INVALID_ARGUMENT. */
KW_MUST_USE kw_status key_check_peer(const kw_key *key, kw_input peer, kw_error *error);

/*
 * What a caller asks for, complete: defaults filled in, held against the key's type, hashes known. `input` is the digest for all but EdDSA.
 */
struct signing {
    kw_algorithm algorithm;
    kw_input input;
    unsigned char digest[EVP_MAX_MD_SIZE];
};
/* Only the algorithm. Errors: KW_INVALID_ARGUMENT, KW_UNSUPPORTED. */
KW_MUST_USE kw_status signing_algorithm(const kw_key *key, const kw_algorithm *given, kw_input input,
                                        struct signing *signing, kw_error *error);
/* Then the input: hashes a message, checks the length of a digest. */
KW_MUST_USE kw_status signing_input(kw_key *key, kw_input input, struct signing *signing, kw_error *error);

/* For encrypt and decrypt: OAEP with all hashes set. */
KW_MUST_USE kw_status oaep_algorithm(const kw_key *key, const kw_algorithm *given, kw_algorithm *algorithm,
                                     kw_error *error);

/* KW_BUFFER_TOO_SMALL with the length when `output` has less than `needed`. */
KW_MUST_USE kw_status key_check_room(kw_output *output, size_t needed, kw_error *error);

#endif
