/* What a kw_key is made of: for key.c and key_decrypt.c, which use private ones, key_place.c, which opens them, and key_public.c. */
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

/* Where a key is: a handle in a store. Constant once others can see it, and there until the key is freed. */
struct key_place {
    struct key_place *previous; /* where it was before */
    struct store *store;
    kw_plugin_key *handle;
    kw_key_capabilities capabilities; /* that it has there */
    kw_key_capabilities told;         /* of these, what its certificate lets it do */
    size_t locator_length;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
};

struct kw_key {
    atomic_uint references;
    struct crypto *crypto;
    _Atomic(struct key_place *) place; /* NULL: only the public key is known */
    struct key_origin origin;
    atomic_uint_fast64_t seen;        /* the generation for which `place` holds */
    kw_key_capabilities capabilities; /* type, bits and curve, which no place changes */
    bool pkcs1_decrypt;               /* raw PKCS#1 v1.5 decryption is allowed */
    bool guards_roots;                /* a master key's */
    struct pss_limits pss;
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

/* key_place.c: opens the key in a store. The first time it describes the key too; later it must be the same key: KW_CORRUPT. */
KW_MUST_USE kw_status key_place_open(kw_key *key, struct store *store, kw_input locator, struct key_place **place,
                                     kw_error *error);
/* Fills `told`. */
void key_place_tell(struct key_place *place, const struct pss_limits *limits);
/* This one and all before it. */
void key_places_free(struct key_place *place);

/* One private operation, begun; it may be tried again where the key has moved meanwhile. */
struct key_use {
    struct key_place *place;
    unsigned attempts;
    struct control_use control; /* as long as it lasts, what it uses is not taken away */
    kw_status renewal;          /* why the key could not be found in its new place */
    kw_error why;
};
/* Where the key is now. KW_UNSUPPORTED: only the public key is known, so that it cannot do `what`. `use->attempts` is 0 at first. */
KW_MUST_USE kw_status key_use_begin(kw_key *key, struct key_use *use, const char *what, kw_error *error);
/* Whether an operation that ended so must be begun again, since the key has moved. Once after each begin that succeeded. */
KW_MUST_USE bool key_use_again(kw_key *key, struct key_use *use, kw_status status, kw_error *error);

/* The last attempt's failure becomes the caller's error, which is untouched until then. Returns `status`. */
KW_MUST_USE kw_status key_use_end(kw_status status, const kw_error *inner, kw_error *error);

bool key_place_has(const struct key_place *place, uint32_t operation, kw_scheme scheme);
/* KW_UNSUPPORTED, with the store. */
KW_MUST_USE kw_status key_place_cannot(const struct key_place *place, kw_error *error, const char *what);
/* KW_FAILED, with the store and its plugin. */
KW_MUST_USE kw_status key_place_broken(const struct key_place *place, kw_error *error, const char *what);

static const kw_algorithm key_raw_rsa = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_RAW};

/* Whether it begins as what a master key signs and encrypts for itself. */
bool key_is_of_root(kw_input input);

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

/* KW_UNSUPPORTED for a key that signs alone. */
KW_MUST_USE kw_status key_check_decrypts(const kw_key *key, kw_error *error);

/* KW_BUFFER_TOO_SMALL with the length when `output` has less than `needed`. */
KW_MUST_USE kw_status key_check_room(kw_output *output, size_t needed, kw_error *error);

#endif
