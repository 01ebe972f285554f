/* Subkeys from a root: HKDF-Expand (RFC 5869, SHA-256). docs/crypto.md has every field. */
#ifndef KEYWRIGHT_SUBKEY_DERIVE_H
#define KEYWRIGHT_SUBKEY_DERIVE_H

#include "base/crypto.h"
#include "base/id.h"

#define ROOT_LENGTH 32

/* What a subkey is for. It stands in what is derived, so one of a class never equals one of another. The numbers are for ever. */
enum subkey_class {
    SUBKEY_SEAL = 1,        /* kw_seal */
    SUBKEY_RAW = 2,         /* kw_subkey_derive: bytes that leave the library */
    SUBKEY_CERTIFICATE = 3, /* private keys of certificates that are stored nowhere */
    SUBKEY_SECRET = 4,      /* the passphrase of a store */
    SUBKEY_CHECK = 5        /* tells whether a root is the one that it was */
};

#define SUBKEY_PURPOSE_MAXIMUM 255
#define SUBKEY_CONTEXT_MAXIMUM 1024

struct subkey_name {
    enum subkey_class class;
    struct id master; /* entry of the master key */
    uint32_t version; /* of its root, from 1 */
    kw_input purpose; /* 1 to SUBKEY_PURPOSE_MAXIMUM bytes */
    kw_input context; /* at most SUBKEY_CONTEXT_MAXIMUM bytes; may be empty */
};

/* `length` is at most 8160. KW_INVALID_ARGUMENT: the name is out of its limits. */
KW_MUST_USE kw_status subkey_derive(struct crypto *crypto, kw_input root, const struct subkey_name *name,
                                    unsigned char *out, size_t length, kw_error *error);

#endif
