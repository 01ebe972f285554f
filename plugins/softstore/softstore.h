/*
 * softstore: keys in the host's records, sealed. What its files share.
 *
 *   softstore.c   the description, the options, instances, reports
 *   library.c     libcrypto in a context of its own, the gate that a fork closes, seals
 *   kek.c         the key-encryption key and the record `kek` that wraps it under the passphrase
 *   record.c      the records `key/ID`
 *   pkey.c        EVP_PKEYs: generate, parse and check, encode, describe
 *   key.c         the operations on keys: generate, import, export, delete, find, open, public
 *   list.c        the list of keys and its cursors
 *   use.c         sign, decrypt, derive
 *   pool.c        the EVP_PKEY_CTXs that they reuse
 */
#ifndef SOFTSTORE_H
#define SOFTSTORE_H

#include <keywright/plugin.h>

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* ---- library.c -------------------------------------------------------------------------------------------- */

/* libcrypto as this module uses it: made once, never freed, because threads that outlive an instance still refer to the context (their
 * random generators lie in it). */
struct softstore_library {
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *provider;
    EVP_CIPHER *aes_256_gcm;
    EVP_KDF *scrypt;
    EVP_MD *hashes[KW_HASH_SHA512 + 1]; /* by kw_hash */
};

/* NULL: out of memory, or libcrypto lacks what is needed. */
const struct softstore_library *softstore_library_get(void);

/* What the parameters of libcrypto call a hash; NULL: KW_HASH_NONE, or none that is known. */
const char *softstore_hash_name(kw_hash hash);
size_t softstore_hash_length(kw_hash hash);

/*
 * The gate. Every use of libcrypto lies between enter and leave, which do not nest and hold no call to the host between them. A fork
 * closes it and waits until all have left, so that no lock of libcrypto is held then. Errors that libcrypto queued in
 * between are dropped, those that were there before are kept.
 */
void softstore_enter(void);
void softstore_leave(void);
/* Changes in each child of a fork: what was made in another generation shares its blinding with the parent. */
unsigned softstore_generation(void);

#define SOFTSTORE_SEAL_KEY   32u
#define SOFTSTORE_SEAL_NONCE 12u
#define SOFTSTORE_SEAL_TAG   16u

/* The functions below enter and leave by themselves, and return false when libcrypto fails. */
bool softstore_random_bytes(const struct softstore_library *library, unsigned char *data, size_t length);
bool softstore_digest(const struct softstore_library *library, kw_hash hash, kw_input input, unsigned char *digest);
/* AES-256-GCM. `sealed` takes SOFTSTORE_SEAL_TAG bytes more than the plaintext. */
bool softstore_seal(const struct softstore_library *library, const unsigned char *key, const unsigned char *nonce,
                    kw_input associated, kw_input plaintext, unsigned char *sealed);
/* False also when the seal is not of this key over this; `plaintext` is wiped then. */
bool softstore_unseal(const struct softstore_library *library, const unsigned char *key, const unsigned char *nonce,
                      kw_input associated, kw_input sealed, unsigned char *plaintext);

/* ---- softstore.c ------------------------------------------------------------------------------------------- */

struct softstore_cursors;

struct kw_plugin_instance {
    kw_host host; /* a copy; what the host did not know is NULL */
    const struct softstore_library *library;
    unsigned char *kek; /* the host's secret memory */
    unsigned char kek_id[16];
    unsigned scrypt_log2_n;
    struct softstore_cursors *cursors;
};

/* Tells the host why, and returns `status`. */
kw_status softstore_report(const kw_host *host, kw_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__
/* What clang's analyser cannot see from here: it is never told that all is well. */
static inline kw_status softstore_failure(kw_status status)
{
    return status == KW_OK ? KW_FAILED : status;
}
#define softstore_report(...) softstore_failure(softstore_report(__VA_ARGS__))
#endif
/* Copies what the sender of a struct knew of it; the rest is zero. Both begin with their size. */
void softstore_take(void *own, size_t own_size, const void *sent);
/* The other way: fills what the receiver, who has set its size, knows. */
void softstore_give(void *receiver, const void *own, size_t own_size);
/* KW_OK, or KW_TIMEOUT when the deadline has passed. */
kw_status softstore_deadline(const kw_host *host, const kw_call *call);
/* Whether `length` bytes fit; sets output->length to it. */
bool softstore_fits(kw_output *output, size_t length);

/* What this store can do with a type of key. */
extern const struct softstore_ability {
    uint32_t operations, schemes, sign_hashes, oaep_hashes;
} softstore_abilities[KW_KEY_X25519 + 1];

#define SOFTSTORE_RSA_MINIMUM 2048u
#define SOFTSTORE_RSA_MAXIMUM 4096u

/* ---- kek.c -------------------------------------------------------------------------------------------------- */

#define SOFTSTORE_LOG2_N_MINIMUM 14u
#define SOFTSTORE_LOG2_N_MAXIMUM 20u

/* Fills instance->kek and kek_id from the record, which the first open of a store makes. One derivation. */
KW_MUST_USE kw_status softstore_kek_open(kw_plugin_instance *instance, const kw_call *call);
KW_MUST_USE kw_status softstore_kek_wrap_again(kw_plugin_instance *instance, kw_input passphrase);
/* KW_OK when the record is there. */
KW_MUST_USE kw_status softstore_kek_present(kw_plugin_instance *instance);

/* ---- record.c ------------------------------------------------------------------------------------------------ */

#define SOFTSTORE_PREFIX        "key/"
#define SOFTSTORE_PREFIX_LENGTH 4u
#define SOFTSTORE_NAME_LENGTH   (SOFTSTORE_PREFIX_LENGTH + 2u * KW_KEY_ID_LENGTH)

/* A record's name, which is also the key's locator. */
struct softstore_name {
    char text[SOFTSTORE_NAME_LENGTH + 1];
};

void softstore_name_make(const unsigned char id[KW_KEY_ID_LENGTH], struct softstore_name *name);
/* False when it is not a name that softstore_name_make makes. */
bool softstore_name_read(kw_input locator, struct softstore_name *name);
kw_input softstore_name_view(const struct softstore_name *name);

/* What a record says of its key. The memory is the record's; freed by softstore_record_clear. */
struct softstore_record {
    uint32_t operations; /* KW_CAN_SIGN, DECRYPT, DERIVE, EXPORT */
    kw_input spki;
    unsigned char *pkcs8; /* the host's secret memory */
    size_t pkcs8_length;
    unsigned char *value;
};

/* Seals `record` (its value is not used) and writes it. KW_EXISTS. */
KW_MUST_USE kw_status softstore_record_create(kw_plugin_instance *instance, const struct softstore_name *name,
                                              const struct softstore_record *record);
/* KW_NOT_FOUND, KW_CORRUPT. */
KW_MUST_USE kw_status softstore_record_read(kw_plugin_instance *instance, const struct softstore_name *name,
                                            struct softstore_record *record);
void softstore_record_clear(kw_plugin_instance *instance, struct softstore_record *record);

/* ---- pkey.c: all of them enter and leave by themselves ---------------------------------------------------------- */

struct softstore_kind {
    kw_key_type type;
    kw_curve curve;
    uint32_t bits; /* RSA: of the modulus; EC: of the field */
};

/* KW_OK, or KW_UNSUPPORTED for what this store does not make or take; `bits` of EC and EdDSA are not looked at. */
kw_status softstore_kind_check(const struct softstore_kind *kind);
/* KW_UNSUPPORTED, KW_TIMEOUT, KW_FAILED. */
KW_MUST_USE kw_status softstore_pkey_generate(kw_plugin_instance *instance, const kw_call *call,
                                              const struct softstore_kind *kind, EVP_PKEY **pkey);
/* NULL: malformed. */
EVP_PKEY *softstore_pkey_parse(const struct softstore_library *library, kw_input pkcs8);
/* Whether the parts fit one another: primes, point on the curve, public of private. */
bool softstore_pkey_sound(const struct softstore_library *library, EVP_PKEY *pkey);
/* False: nothing that this store knows. */
bool softstore_pkey_describe(EVP_PKEY *pkey, struct softstore_kind *kind);
/* As rule 2 of plugin.h; KW_FAILED. */
KW_MUST_USE kw_status softstore_pkey_private(EVP_PKEY *pkey, kw_output *pkcs8);
KW_MUST_USE kw_status softstore_pkey_public(EVP_PKEY *pkey, kw_output *spki);
void softstore_pkey_free(EVP_PKEY *pkey);

/* ---- key.c ------------------------------------------------------------------------------------------------------- */

struct softstore_pool;

struct kw_plugin_key {
    kw_plugin_instance *instance;
    struct softstore_name name;
    struct softstore_kind kind;
    uint32_t operations; /* KW_CAN_SIGN, DECRYPT, DERIVE, EXPORT */
    size_t size;         /* RSA: of the modulus; else of the longest signature or secret */
    unsigned char *spki;
    size_t spki_length;
    size_t pkcs8_length;
    struct softstore_pool *pool; /* owns the EVP_PKEY */
};

kw_status softstore_key_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                                 kw_output *locator);
kw_status softstore_key_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                               kw_input pkcs8, kw_output *locator);
kw_status softstore_key_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8);
kw_status softstore_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator);
kw_status softstore_key_find(kw_plugin_instance *instance, const kw_call *call,
                             const unsigned char id[KW_KEY_ID_LENGTH], kw_output *locator);
kw_status softstore_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                             kw_key_capabilities *capabilities);
void softstore_key_close(kw_plugin_key *key);
kw_status softstore_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki);

/* ---- list.c --------------------------------------------------------------------------------------------------------- */

struct softstore_cursors *softstore_cursors_new(void);
void softstore_cursors_free(struct softstore_cursors *cursors);
/* Around a fork: locked before, unlocked on both sides. */
void softstore_cursors_lock(struct softstore_cursors *cursors);
void softstore_cursors_unlock(struct softstore_cursors *cursors);
kw_status softstore_key_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator);

/* ---- pool.c: to be called between enter and leave ---------------------------------------------------------------------- */

/* A context that is initialised for one algorithm of one key. */
struct softstore_context {
    kw_scheme scheme;
    kw_hash hash, mgf_hash;
    uint32_t salt_length;
    unsigned generation;
    bool labelled; /* has a label of its own, so it is not kept */
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *context;
};

/* Takes over `pkey`, unless it returns NULL. */
struct softstore_pool *softstore_pool_new(const struct softstore_library *library, EVP_PKEY *pkey);
void softstore_pool_free(struct softstore_pool *pool);
/* The key; a new reference, to be freed by EVP_PKEY_free. NULL: out of memory. */
EVP_PKEY *softstore_pool_pkey(struct softstore_pool *pool);
/* NULL: libcrypto does not take this algorithm for this key. */
struct softstore_context *softstore_pool_take(struct softstore_pool *pool, const kw_algorithm *algorithm);
void softstore_pool_return(struct softstore_pool *pool, struct softstore_context *context);

/* ---- use.c ------------------------------------------------------------------------------------------------------------- */

kw_status softstore_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input input,
                         kw_output *signature);
kw_status softstore_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input ciphertext,
                            kw_output *plaintext);
kw_status softstore_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input peer,
                           kw_output *shared);

#endif
