/*
 * subkeys.h: subkeys of master keys, and seals under them. Part of keywright.h, whose conventions hold here.
 *
 * A master key (master-key/DOMAIN) has a *root*: random bytes that only its private key unwraps, which costs one call to its store. From the root
 * come all *subkeys*, without any further call: of a purpose and a context, each independent of all others. A *seal* is data encrypted and
 * authenticated under a subkey. Roots have versions: kw_rotate makes a new one for new work, old ones still open what was sealed under
 * them, until they are retired. docs/crypto.md has every construction.
 */
#ifndef KEYWRIGHT_SUBKEYS_H
#define KEYWRIGHT_SUBKEYS_H

#include <keywright/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A subkey made ready for many seals. Any thread; a forked child goes on with it, without a call to a store. Free it before kw_close. */
typedef struct kw_subkey kw_subkey;

/*
 * `purpose` (1 to 255 bytes, in each seal for all to read) and `context` (at most 1024 bytes, in no seal) tell subkeys apart: such as "password" and the database's
 * name. Where the master key has no root yet, the first kw_seal makes it. What is sealed by the handle is under the newest version of the root, also when that is newer than the handle.
 * All who ask for the same one share it; what is in memory already needs no call and no catalogue. Errors: KW_NOT_FOUND, KW_REFUSED (not a master key), KW_INVALID_ARGUMENT,
 * KW_UNSUPPORTED (the key cannot unwrap and sign), KW_UNAVAILABLE (the root is not in memory and its store is away, or the outage limit has passed), KW_CORRUPT (somebody changed
 * the root), and whatever its store answers.
 */
KW_MUST_USE KW_API kw_status kw_subkey_get(kw_context *context, const char *address, const char *purpose,
                                           kw_input subkey_context, kw_subkey **subkey, kw_error *error);
KW_API void kw_subkey_free(kw_subkey *subkey);

/*
 * XAES-256-GCM; `associated` (such as the record's id) is authenticated and not in the seal. `sealed` and `plaintext` follow the rule of plugin.h for outputs; they must not overlap
 * the inputs. A seal is KW_SEAL_OVERHEAD + strlen(purpose) bytes longer than what is in it. Errors: KW_INVALID_ARGUMENT (more than 1 GiB), KW_NOT_FOUND (the
 * master key was deleted), kw_seal: KW_REFUSED (it is out of use), and what making a first root fails with; KW_UNAVAILABLE and KW_CORRUPT as for kw_subkey_get. Where the rule answers KW_BUFFER_TOO_SMALL, `error` stays as it was.
 */
#define KW_SEAL_OVERHEAD 65u
KW_MUST_USE KW_API kw_status kw_seal(kw_subkey *subkey, kw_input plaintext, kw_input associated, kw_output *sealed,
                                     kw_error *error);
/*
 * Also what was sealed under an older version. KW_CIPHERTEXT_INVALID: changed, cut, of another master key, purpose, context or associated data; `plaintext`
 * then holds nothing. KW_NOT_FOUND: sealed under a version that is retired, or that this catalogue does not have.
 */
KW_MUST_USE KW_API kw_status kw_unseal(kw_subkey *subkey, kw_input sealed, kw_input associated, kw_output *plaintext,
                                       kw_error *error);

typedef struct kw_derivation {
    size_t size;
    const char *address; /* master-key/DOMAIN */
    const char *purpose;
    kw_input context;
    unsigned version; /* of the root; 0: the active one */
} kw_derivation;

/*
 * Fills `bytes` up to its capacity (1 to 64): for the server's own use, and never equal to what the library uses itself. `version_used` (NULL is allowed) tells the version; keep it with what you make of them. Fewer
 * bytes are the first ones of more. Errors as kw_subkey_get; KW_NOT_FOUND: the version is retired, or there is none.
 */
KW_MUST_USE KW_API kw_status kw_subkey_derive(kw_context *context, const kw_derivation *derivation,
                                              unsigned *version_used, kw_output *bytes, kw_error *error);

/*
 * For a directory synchronisation or a timer: asks the stores of the master keys whose roots are in memory whether they are there, and reads and unwraps those roots anew.
 * A store that does not answer begins an outage (`outage_limit` of the configuration counts from there); one that answers ends it. Roots of versions that are retired leave the memory, and no others: a token that answers without the key is one that is away. All are tried; the first failure is
 * answered. KW_UNAVAILABLE, KW_TIMEOUT, KW_NOT_FOUND (the key is not there), ...: what the store answered: an outage began or goes on, and what is in memory serves on until the limit. KW_CORRUPT: a root is not what it was; what is in memory
 * stays in use.
 */
KW_MUST_USE KW_API kw_status kw_subkeys_refresh(kw_context *context, kw_error *error);

/*
 * One record of the server's for kw_reseal. `next` hands out the record behind `after` (empty: the first) in an order of its choice that stays the same: its name and its
 * sealed bytes, valid until the next call. KW_NOT_FOUND: there is none behind it. `replace` puts the new seal in place of the one that `next` showed; KW_CONFLICT: the record was changed or removed meanwhile, which is
 * looked at again. Names have at most 1024 bytes.
 */
typedef struct kw_reseal_record {
    kw_input name, sealed, context, associated;
} kw_reseal_record;

typedef struct kw_reseal_options {
    size_t size;
    const char *address;
    kw_status (*next)(void *user, kw_input after, kw_reseal_record *record);
    kw_status (*replace)(void *user, const kw_reseal_record *record, kw_input sealed);
    void (*progress)(void *user, kw_input name, uint64_t done, uint64_t resealed); /* NULL is allowed */
    void *user;
    kw_input after; /* to go on where an earlier walk was cut: the name that `progress` told last */
    bool
        everything; /* the callbacks walk all that was ever sealed under this master key: completion is noted, and older versions may be retired */
    uint32_t wait_ms; /* with `everything`, for seals that other processes are at under an older version; 0: 30 s */
} kw_reseal_options;

typedef struct kw_reseal_result {
    uint64_t records, resealed; /* seen, and sealed anew */
    unsigned version;           /* that all are under now */
} kw_reseal_result;

/*
 * Seals anew what is under an older version than the active one. Where it is cut off, what was done stays. With `everything`, a walk from the beginning to the end without a failure is noted in the catalogue, and is what `rotate --retire` asks for; it first waits until no
 * process seals under an older version any more. A walk that goes on `after` a record is not noted. `result` (NULL is allowed) is filled after a failure too. Errors: what a callback answers; KW_CIPHERTEXT_INVALID, KW_NOT_FOUND (a record's version is retired, or no version of this master key): both name the record; KW_TIMEOUT (another process does not come to the new version); as kw_seal.
 */
KW_MUST_USE KW_API kw_status kw_reseal(kw_context *context, const kw_reseal_options *options, kw_reseal_result *result,
                                       kw_error *error);

#ifdef __cplusplus
}
#endif
#endif
