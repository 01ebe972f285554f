/*
 * The built-in store `derived` (B2): private keys of certificates that are stored nowhere. A key is derived from a root of a master key
 * when it is opened, and is gone with the last handle on it. Its locator says all that it takes.
 */
#ifndef KEYWRIGHT_SUBKEY_DERIVED_H
#define KEYWRIGHT_SUBKEY_DERIVED_H

#include "config/settings.h"
#include "store/builtin.h"
#include "subkey/derive.h"

#include <openssl/types.h>

#define DERIVED_STORE SETTINGS_RESERVED_STORE /* its name and id */

/* What the store works on; outlives it. The functions are keyring_active, keyring_check, keyring_subkey and keyring_serves. */
struct derived_service {
    struct crypto *crypto;
    kw_status (*active)(void *user, const struct id *master, uint32_t *version, kw_error *error);
    kw_status (*check)(void *user, const struct id *master, uint32_t version, kw_error *error);
    kw_status (*subkey)(void *user, const struct subkey_name *name, unsigned char *out, size_t length, kw_error *error);
    /* KW_UNAVAILABLE: the store of the master key has been away for too long. */
    kw_status (*serves)(void *user, const struct id *master, kw_error *error);
    void *user;
};
extern const struct module derived_module;

/* ---- Locators: "1:MASTER:VERSION:KEY:ID", all of it for people to read ---- */

struct derived_locator {
    struct id master; /* entry of the master key */
    uint32_t version; /* of its root */
    const char *key;  /* ec-p256, ...: one that can be derived; lives for ever */
    struct id key_id; /* random: no two keys have the same */
};
#define DERIVED_LOCATOR_SIZE 96
void derived_locator_write(const struct derived_locator *locator, char text[DERIVED_LOCATOR_SIZE]);
/* KW_INVALID_ARGUMENT: not one that derived_locator_write writes. */
KW_MUST_USE kw_status derived_locator_read(kw_input text, struct derived_locator *locator, kw_error *error);

/* The name of a key that can be derived, which lives for ever; NULL for all others. */
const char *derived_key_name(const char *key);
/* What keys of certificates can be derived, for people: those of which a kind that may be derived has some. */
extern const char derived_keys[];
#define DERIVED_DEFAULT_KEY "ec-p256"

/* ---- derived_key.c ---- */

/* How many bytes of a subkey make such a key. 0: none do. */
size_t derived_key_bytes(const char *key);
/*
 * The private key that these bytes make (SUBKEY_CERTIFICATE): EC by FIPS 186-5 A.2.1 (extra random bits), Ed25519 with the bytes as its seed
 * (RFC 8032).
 */
KW_MUST_USE kw_status derived_key_make(struct crypto *crypto, const char *key, kw_input bytes, EVP_PKEY **pkey,
                                       kw_error *error);

#endif
