/*
 * plugin.h: what a key-storage plugin implements for Keywright, and all it needs to know.
 *
 * A plugin is a shared object `keywright-NAME.so` (`keywright-NAME.dll`) that exports one function,
 * `kw_plugin_query`. The host (Keywright's core) opens one *instance* of it for every store that the
 * configuration names, and calls it through the table `kw_plugin_operations`.
 *
 * Rules that hold for every operation; the conformance kit tests each of them:
 *
 *  1. Encodings. Private keys are PKCS#8 (RFC 5208/5958 PrivateKeyInfo, DER, not encrypted), public keys
 *     SubjectPublicKeyInfo (RFC 5280, DER), certificates X.509 DER, ECDSA signatures ECDSA-Sig-Value
 *     (RFC 3279, DER), RSA signatures and ciphertexts big-endian and as long as the modulus.
 *     Lengths are in bytes, times in milliseconds.
 *  2. Memory. Neither side frees or keeps what the other allocated. Input is {pointer, length} and is
 *     valid only during the call. Output goes to the caller's buffer (`kw_output`): the plugin writes at
 *     most `capacity` bytes to `data` and sets `length`. When `data` is NULL or `capacity` is too small it
 *     sets `length` to what is needed, or to an upper bound of it, and returns KW_BUFFER_TOO_SMALL without
 *     calling its backend. Private keys, plaintexts and shared secrets that the plugin must hold go into
 *     memory of the host's `secret_allocate` wherever the backend lets it choose.
 *  3. Threads. Every operation may be called from any thread at any time, several at once, also with one
 *     key handle. `open` and `close` are called once per instance, with no other call under way, and
 *     `key_close` once per key handle, with no other call on it under way.
 *  4. Deadlines. A call context carries a deadline on the host's clock. A plugin that would wait past it
 *     returns KW_TIMEOUT instead; the state of what it waited for must stay usable.
 *  5. Failure. An operation returns a `kw_status`, which says what the caller can do, and explains itself
 *     in one sentence through `kw_host.report` (no secret in it). An operation that fails leaves nothing
 *     behind that a later `key_find` does not find.
 *  6. Recovery. The plugin recovers its own backend (reconnects, logs in again, looks handles up again).
 *     The host does not open the instance anew. While the backend is away, operations return KW_UNAVAILABLE.
 *  7. Fork. The process may fork at any time. The instance is inherited. `fork_prepare` is called before,
 *     `fork_parent` and `fork_child` after, in the thread that forks. In the child the plugin must not reuse
 *     random state, nonces, connections or sessions of the parent. A plugin whose backend cannot be inherited
 *     (a PKCS#11 module) starts it again at the first call in the child.
 *  8. Manners. A plugin never prints, exits, installs signal handlers or exit handlers, and never asks for a
 *     PIN or a passphrase except through `kw_host.secret_request`. It holds no lock during that call.
 *
 * Versions. Every struct that crosses the border begins with its size, as its sender knew it. Bytes beyond
 * it count as zero; a function pointer beyond it counts as NULL. Structs grow at their end alone; rows of
 * arrays (kw_option, kw_option_value) never grow. A host loads a plugin with the same major and any minor.
 * An operation that is NULL, or lies beyond the size, answers KW_UNSUPPORTED. KW_HAS tells.
 *
 * This header needs nothing but the C library, and compiles as C11 and as C++17.
 */
#ifndef KEYWRIGHT_PLUGIN_H
#define KEYWRIGHT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KW_ABI_MAJOR 1u
#define KW_ABI_MINOR 0u

/* Whether the sender of a struct knew this member. */
#define KW_HAS(pointer, member)                                                                                        \
    ((pointer)->size >=                                                                                                \
     (size_t)((const char *)&(pointer)->member - (const char *)(pointer)) + sizeof((pointer)->member))

#if defined(__GNUC__)
#define KW_MUST_USE __attribute__((warn_unused_result))
#else
#define KW_MUST_USE
#endif

#if defined(_WIN32)
#define KW_PLUGIN_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define KW_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define KW_PLUGIN_EXPORT
#endif

/* What happened, said as what the caller can do about it. */
typedef enum kw_status {
    KW_OK = 0,
    /* give a buffer of the length that was returned, or ask for something else */
    KW_BUFFER_TOO_SMALL = 1,
    KW_INVALID_ARGUMENT = 2, /* the caller's mistake: do not repeat the call as it was */
    KW_UNSUPPORTED = 3,      /* this backend, key or version cannot: choose another */
    KW_NOT_FOUND = 4,        /* no such thing */
    KW_EXISTS = 5,           /* there is one already */
    KW_REFUSED = 6,          /* a rule forbids it; the sentence names the rule */
    KW_CONFLICT = 7,         /* somebody else changed it meanwhile: read again, then repeat */
    /* wait, then repeat */
    KW_UNAVAILABLE = 8, /* the backend cannot be reached now */
    KW_TIMEOUT = 9,     /* the deadline passed; whether the operation took effect is unknown */
    /* ask an operator */
    KW_CONFIGURATION = 10,  /* an option is wrong or missing */
    KW_SECRET_REFUSED = 11, /* PIN, passphrase or password is wrong or locked: never send it again unasked */
    KW_PERMISSION = 12,     /* the process lacks a right; the sentence says which */
    /* give up */
    KW_CORRUPT = 13,            /* stored data is damaged or was tampered with */
    KW_SIGNATURE_INVALID = 14,  /* the signature is not of this key over this input */
    KW_CIPHERTEXT_INVALID = 15, /* the ciphertext was not made for this key, or was changed */
    KW_OUT_OF_MEMORY = 16,
    KW_FAILED = 17 /* anything else; the sentence says what */
} kw_status;

typedef struct kw_input {
    const unsigned char *data; /* may be NULL when length is 0 */
    size_t length;
} kw_input;

typedef struct kw_output {
    unsigned char *data; /* NULL asks for the length */
    size_t capacity;
    size_t length; /* set by the callee: bytes written, or bytes needed */
} kw_output;

#define KW_KEY_ID_LENGTH        16u   /* bytes of a key's id, made by the host */
#define KW_LOCATOR_MAXIMUM      1024u /* bytes of a locator, made by the plugin */
#define KW_SECRET_MAXIMUM       1024u /* bytes of a PIN or passphrase */
#define KW_RECORD_NAME_MAXIMUM  255u  /* bytes of a record's name */
#define KW_RECORD_VALUE_MAXIMUM (1024u * 1024u)

/* ---- Algorithms ------------------------------------------------------------------------------ */

typedef enum kw_key_type {
    KW_KEY_NONE = 0,
    KW_KEY_RSA = 1,
    KW_KEY_EC = 2,
    KW_KEY_ED25519 = 3,
    KW_KEY_X25519 = 4
} kw_key_type;

typedef enum kw_curve { KW_CURVE_NONE = 0, KW_CURVE_P256 = 1, KW_CURVE_P384 = 2, KW_CURVE_P521 = 3 } kw_curve;

typedef enum kw_hash {
    KW_HASH_NONE = 0,
    KW_HASH_SHA1 = 1, /* only where an old ciphertext (OAEP) or token needs it; never for new signatures */
    KW_HASH_SHA224 = 2,
    KW_HASH_SHA256 = 3,
    KW_HASH_SHA384 = 4,
    KW_HASH_SHA512 = 5
} kw_hash;

typedef enum kw_scheme {
    KW_SCHEME_NONE = 0,
    KW_SCHEME_RSA_PKCS1 = 1, /* sign: RSASSA-PKCS1-v1_5, RFC 8017 section 8.2. Never a decryption scheme */
    KW_SCHEME_RSA_PSS = 2,   /* sign: RSASSA-PSS, RFC 8017 section 8.1 */
    KW_SCHEME_RSA_OAEP = 3,  /* decrypt: RSAES-OAEP, RFC 8017 section 7.1 */
    KW_SCHEME_RSA_RAW = 4,   /* sign and decrypt: RSADP on a block as long as the modulus; padding is the host's */
    KW_SCHEME_ECDSA = 5,     /* sign: FIPS 186-5 section 6 */
    KW_SCHEME_EDDSA = 6,     /* sign: PureEdDSA, RFC 8032; its input is always the message */
    KW_SCHEME_ECDH = 7       /* derive: X coordinate as in SP 800-56A 5.7.1.2, or RFC 7748; no KDF */
} kw_scheme;

/* One struct for sign, decrypt and derive. A member that the scheme does not use is zero. */
typedef struct kw_algorithm {
    size_t size;
    kw_scheme scheme;
    kw_hash hash;         /* of the message; for OAEP of the label */
    kw_hash mgf_hash;     /* MGF1 for PSS and OAEP; KW_HASH_NONE: the same as hash */
    uint32_t salt_length; /* PSS, in bytes */
    uint32_t is_message;  /* 1: the input of sign is the message; 0: it is the digest (ECDSA, PKCS1, PSS) */
    kw_input label;       /* OAEP */
} kw_algorithm;

/* Bits for the sets below: 1 << the enumerator, so that a set of hashes is a mask of KW_BIT(KW_HASH_...). */
#define KW_BIT(enumerator) (UINT32_C(1) << (unsigned)(enumerator))

enum {
    KW_CAN_GENERATE = 1 << 0,
    KW_CAN_IMPORT = 1 << 1,
    KW_CAN_EXPORT = 1 << 2,
    KW_CAN_DELETE = 1 << 3,
    KW_CAN_LIST = 1 << 4,
    KW_CAN_ATTEST = 1 << 5,
    KW_CAN_STORE_CERTIFICATES = 1 << 6,
    KW_CAN_SET_SECRET = 1 << 7,
    KW_CAN_RANDOM = 1 << 8,
    KW_CAN_SIGN = 1 << 9,
    KW_CAN_DECRYPT = 1 << 10,
    KW_CAN_DERIVE = 1 << 11
};

enum {
    KW_FEATURE_HARDWARE = 1 << 0,           /* keys live in a device */
    KW_FEATURE_SHARED = 1 << 1,             /* several processes and servers may use it at once */
    KW_FEATURE_ALWAYS_AUTHENTICATE = 1 << 2 /* a key asks for its PIN at each use */
};

/* What an instance can do, filled by `open`. */
typedef struct kw_capabilities {
    size_t size;
    uint32_t operations; /* KW_CAN_... */
    uint32_t features;   /* KW_FEATURE_... */
    uint32_t key_types;  /* KW_BIT(KW_KEY_...) */
    uint32_t curves;     /* KW_BIT(KW_CURVE_...) */
    uint32_t rsa_bits_minimum, rsa_bits_maximum;
    uint32_t schemes;     /* KW_BIT(KW_SCHEME_...) */
    uint32_t sign_hashes; /* KW_BIT(KW_HASH_...) for PKCS1 and PSS */
    uint32_t oaep_hashes; /* KW_BIT(KW_HASH_...) */
} kw_capabilities;

/* What a key can do, filled by `key_open`. */
#define KW_KEY_LABEL_MAXIMUM 127u

typedef struct kw_key_capabilities {
    size_t size;
    kw_key_type type;
    uint32_t bits; /* RSA: of the modulus; EC: of the field */
    kw_curve curve;
    uint32_t operations; /* KW_CAN_SIGN, DECRYPT, DERIVE, EXPORT, DELETE, ATTEST */
    uint32_t features;
    uint32_t schemes;
    uint32_t sign_hashes;
    uint32_t oaep_hashes;
    char label[KW_KEY_LABEL_MAXIMUM +
               1]; /* what other programs call it (CKA_LABEL), cut off where it is longer; empty: nothing */
} kw_key_capabilities;

/* What a new key shall be. */
typedef struct kw_key_template {
    size_t size;
    unsigned char id[KW_KEY_ID_LENGTH]; /* a hint for the backend's own id (CKA_ID, container or record name) */
    kw_key_type type;
    uint32_t bits;       /* RSA */
    kw_curve curve;      /* EC */
    uint32_t operations; /* KW_CAN_SIGN, DECRYPT, DERIVE: what it will be used for */
    uint32_t exportable; /* 0: the backend shall not give it out where it can enforce that */
    const char *label;   /* UTF-8, for people; never unique */
} kw_key_template;

/* ---- What the host offers an instance --------------------------------------------------------- */

typedef struct kw_host_context kw_host_context;

typedef enum kw_log_level { KW_LOG_ERROR = 1, KW_LOG_WARNING = 2, KW_LOG_INFO = 3, KW_LOG_DEBUG = 4 } kw_log_level;

/* Carried by every call. */
typedef struct kw_call {
    size_t size;
    uint64_t deadline; /* on kw_host.clock; 0: none */
} kw_call;

/*
 * The host's services. `context` is passed back to each of them. All may be called from any thread, in any
 * operation of the instance, but not after its `close`.
 */
typedef struct kw_host {
    size_t size;
    kw_host_context *context;

    /* One line for the log, without a newline and without secrets. */
    void (*log)(kw_host_context *context, kw_log_level level, const char *sentence);

    /*
     * Why the operation under way in this thread is about to fail: what happened and what to do. No secrets. A sentence about one of the
     * plugin's options begins with "option NAME: "; the host then tells where that is set.
     */
    void (*report)(kw_host_context *context, const char *sentence);

    /* Zeroed memory that is locked where the system allows it and left out of core dumps. NULL when there is none.
     * secret_free wipes it; NULL is allowed. */
    void *(*secret_allocate)(kw_host_context *context, size_t length);
    void (*secret_free)(kw_host_context *context, void *memory, size_t length);

    /*
     * The value of a secret option (`option` is its name in the plugin's table). `secret->data` is memory of
     * secret_allocate with a capacity of at least KW_SECRET_MAXIMUM. May ask a person, so it may take long; hold no
     * lock. Errors: KW_NOT_FOUND (the option is not set), KW_CONFIGURATION (it cannot be read), KW_SECRET_REFUSED (this value was refused
     * before and has not changed), KW_PERMISSION; and those of KW_TRAIT_LOCKS.
     */
    kw_status (*secret_request)(kw_host_context *context, const kw_call *call, const char *option, kw_output *secret);
    /* The backend refused the secret that was requested last. The host will not hand it out again. */
    void (*secret_refused)(kw_host_context *context, const char *option);

    /*
     * Records: a durable key-value space of this store, shared by all servers of the catalogue. Names and values are
     * bytes. Each call is atomic, and durable when it returns. Errors: KW_NOT_FOUND, KW_CORRUPT (the
     * record does not verify), KW_UNAVAILABLE, KW_PERMISSION, KW_BUFFER_TOO_SMALL (get, next).
     * record_swap writes `value` only when the present value equals `expected`; `expected.data` NULL means that there
     * must be no such record; KW_CONFLICT otherwise. record_next gives the name that follows `after` in byte order
     * among those that begin with `prefix` (`after` empty: the first), and KW_NOT_FOUND behind the last.
     */
    kw_status (*record_get)(kw_host_context *context, kw_input name, kw_output *value);
    kw_status (*record_put)(kw_host_context *context, kw_input name, kw_input value);
    kw_status (*record_swap)(kw_host_context *context, kw_input name, kw_input expected, kw_input value);
    kw_status (*record_delete)(kw_host_context *context, kw_input name);
    kw_status (*record_next)(kw_host_context *context, kw_input prefix, kw_input after, kw_output *name);

    /* Milliseconds on a clock that only moves forward and counts suspend. Deadlines are on it. */
    uint64_t (*clock)(kw_host_context *context);

    /* Fills output->data up to its capacity with random bytes fit for keys; independent on both sides of a fork. */
    kw_status (*random)(kw_host_context *context, kw_output *output);

    /*
     * The backend was called so many times (a PKCS#11 module: C_ functions) for the operation under way in this thread. For a
     * plugin with KW_TRAIT_COUNTS, and cheap enough for every call.
     */
    void (*count)(kw_host_context *context, uint32_t calls);

    /*
     * What the backend said of the secret that was requested last in this thread: KW_OK: it accepted it; KW_SECRET_REFUSED: as
     * secret_refused; any other: it did not judge it. For a plugin with KW_TRAIT_LOCKS, right after the login: from then on another thread or
     * process may have the secret. Without it the operation's status says so when it ends.
     */
    void (*secret_settled)(kw_host_context *context, const char *option, kw_status answer);
    /* end of 1.0 */
} kw_host;

/* ---- Options ----------------------------------------------------------------------------------- */

typedef enum kw_option_type {
    KW_OPTION_STRING = 1,
    KW_OPTION_INTEGER = 2, /* decimal; bounds in minimum, maximum */
    KW_OPTION_BOOLEAN = 3,
    KW_OPTION_PATH = 4,     /* made absolute by the host, relative to the configuration file */
    KW_OPTION_DURATION = 5, /* milliseconds in `integer`; written 500ms, 5s, 15m, 2h, 1d */
    KW_OPTION_SECRET = 6    /* never handed over: ask with secret_request */
} kw_option_type;

/* One row of the plugin's table of options. Rows never grow. */
typedef struct kw_option {
    const char *name; /* lower-case letters, digits and _ */
    kw_option_type type;
    uint32_t required;
    const char *fallback;     /* the default, written as in the configuration; NULL: none */
    const char *choices;      /* for strings: the allowed values, separated by |; NULL: any */
    int64_t minimum, maximum; /* for integers and durations; both 0: any */
    const char *help;         /* one sentence */
} kw_option;

/* One option as configured, or as its default says. Secrets, and options with neither, are left out. Rows never grow. */
typedef struct kw_option_value {
    const char *name;
    const char *text; /* as written; paths absolute */
    int64_t integer;  /* integers, durations in ms, booleans 0 or 1 */
} kw_option_value;

/* ---- What a plugin implements ------------------------------------------------------------------ */

/* Defined by the plugin. */
typedef struct kw_plugin_instance kw_plugin_instance;
typedef struct kw_plugin_key kw_plugin_key;

/*
 * M marks what is mandatory; the rest may be NULL. Each operation may also return KW_UNAVAILABLE, KW_TIMEOUT,
 * KW_SECRET_REFUSED, KW_OUT_OF_MEMORY and KW_FAILED.
 */
typedef struct kw_plugin_operations {
    size_t size;

    /*
     * M. Opens an instance and fills `capabilities` (its size is set by the host). `host` stays valid until `close`
     * returns; `options` only during the call. Nothing remains when it fails.
     * Errors: KW_CONFIGURATION (name the option and say what would do), KW_CORRUPT, KW_PERMISSION.
     */
    kw_status (*open)(const kw_call *call, const kw_host *host, const kw_option_value *options, size_t option_count,
                      kw_plugin_instance **instance, kw_capabilities *capabilities);
    /* M. Releases everything. All key handles have been closed before. */
    void (*close)(kw_plugin_instance *instance);
    /* M. KW_OK when an operation could succeed now. Cheap. */
    kw_status (*health)(kw_plugin_instance *instance, const kw_call *call);
    /* Fills output->data up to its capacity from the backend's generator. */
    kw_status (*random)(kw_plugin_instance *instance, const kw_call *call, kw_output *output);
    /*
     * Changes the PIN or passphrase that option `option` names from the present to `secret`, at once for all servers.
     * All or nothing: after a failure the old one is in force. Errors: KW_CONFLICT, KW_INVALID_ARGUMENT (not
     * acceptable to the backend; the sentence says why). KW_TIMEOUT alone says less: which of the two is in force is not known.
     */
    kw_status (*set_secret)(kw_plugin_instance *instance, const kw_call *call, const char *option, kw_input secret);
    void (*fork_prepare)(kw_plugin_instance *instance);
    void (*fork_parent)(kw_plugin_instance *instance);
    void (*fork_child)(kw_plugin_instance *instance);

    /*
     * Makes a key and writes its locator, with which `key_open` finds it from any process until it is deleted.
     * `locator->capacity` is at least KW_LOCATOR_MAXIMUM, else KW_BUFFER_TOO_SMALL and no key.
     * Errors: KW_UNSUPPORTED (type or size), KW_EXISTS (a key with this id).
     */
    kw_status (*key_generate)(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                              kw_output *locator);
    /* Likewise from a PKCS#8 key, which must match `wanted`. Errors also: KW_INVALID_ARGUMENT (malformed, or no match). */
    kw_status (*key_import)(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                            kw_input pkcs8, kw_output *locator);
    /* The key as PKCS#8. `pkcs8->data` is memory of secret_allocate. Errors: KW_REFUSED (not exportable). */
    kw_status (*key_export)(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8);
    /* Removes the key for good. Open handles on it may go on or fail with KW_NOT_FOUND. Errors: KW_NOT_FOUND, KW_REFUSED. */
    kw_status (*key_delete)(kw_plugin_instance *instance, const kw_call *call, kw_input locator);
    /*
     * One key of the backend at each call, in any order, each once. `*cursor` is 0 at first; the plugin moves it, but not
     * when it returns KW_BUFFER_TOO_SMALL. KW_NOT_FOUND behind the last one.
     */
    kw_status (*key_list)(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator);
    /* M. The locator of the key that was generated or imported with this id. Errors: KW_NOT_FOUND, KW_REFUSED (ambiguous). */
    kw_status (*key_find)(kw_plugin_instance *instance, const kw_call *call, const unsigned char id[KW_KEY_ID_LENGTH],
                          kw_output *locator);

    /* M. A handle on a key. Fills `capabilities` (its size is set by the host). Errors: KW_NOT_FOUND, KW_CORRUPT,
     * KW_INVALID_ARGUMENT (not a locator of this plugin). */
    kw_status (*key_open)(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                          kw_key_capabilities *capabilities);
    /* M. */
    void (*key_close)(kw_plugin_key *key);
    /* M. SubjectPublicKeyInfo. */
    kw_status (*key_public)(kw_plugin_key *key, const kw_call *call, kw_output *spki);
    /* The maker's statement about the key, in the maker's format; `challenge` is bound into it where the format can. */
    kw_status (*key_attest)(kw_plugin_key *key, const kw_call *call, kw_input challenge, kw_output *statement);

    /* M. Errors: KW_UNSUPPORTED (scheme, hash), KW_INVALID_ARGUMENT (a digest of the wrong length). */
    kw_status (*sign)(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input input,
                      kw_output *signature);
    /* RSA. Errors: KW_UNSUPPORTED (also for OAEP with a label, where there is raw RSA), KW_CIPHERTEXT_INVALID (one answer for every
     * reason, and in one time). */
    kw_status (*decrypt)(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input ciphertext,
                         kw_output *plaintext);
    /* EC, X25519: the shared secret with a peer's SubjectPublicKeyInfo. Errors: KW_INVALID_ARGUMENT (not on this key's
     * curve, or the result is zero). */
    kw_status (*derive)(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input peer,
                        kw_output *shared);

    /*
     * The key's certificate, kept beside it where other programs expect it. put replaces; what the backend holds for other keys stays.
     * Errors: KW_NOT_FOUND, KW_REFUSED (get: there are several).
     */
    kw_status (*certificate_put)(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_input certificate);
    kw_status (*certificate_get)(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_output *certificate);
    kw_status (*certificate_delete)(kw_plugin_instance *instance, const kw_call *call, kw_input locator);
    /* end of 1.0 */
} kw_plugin_operations;

enum {
    /* Tells each call of its backend through kw_host.count; else the host counts the operations. */
    KW_TRAIT_COUNTS = 1 << 0,
    /*
     * The backend counts refused secrets and may lock for good. The host then remembers a refused secret beyond the process: it is not
     * handed out again, by this process or another, before its value, the file it comes from or a setting of the store changes. It writes
     * down each attempt before it hands the secret out, lets one process at a time have one, and hands out none where that cannot be
     * written (KW_REFUSED, KW_PERMISSION, KW_CORRUPT; KW_UNAVAILABLE: another attempt does not end). Such a plugin
     *  - asks in the thread of the operation that needs the secret, sends it to the backend in that operation, once, and keeps no copy
     *    (but for keys that want it at each use);
     *  - says what became of it by secret_settled, at once where other threads wait for the same login; else by the operation's status: KW_OK
     *    means accepted; KW_SECRET_REFUSED, or secret_refused before any other status, means refused; every other status means that the
     *    backend did not judge it.
     * Of a process that dies in between the host does not know: it hands out a secret that was accepted before once more, and no other.
     */
    KW_TRAIT_LOCKS = 1 << 1
};

/* What kw_plugin_query returns. The host reads abi_major, abi_minor and size before anything else. */
typedef struct kw_plugin {
    uint32_t abi_major; /* KW_ABI_MAJOR */
    uint32_t abi_minor; /* KW_ABI_MINOR */
    size_t size;        /* sizeof(kw_plugin) */
    const char *name;   /* the NAME of keywright-NAME.so */
    const char *version;
    const char *summary; /* one line for `keywright plugins` */
    const kw_option *options;
    size_t option_count;
    const kw_plugin_operations *operations;
    uint32_t traits; /* KW_TRAIT_... */
    /* end of 1.0 */
} kw_plugin;

/*
 * The one symbol that a plugin exports. The description is constant and lives as long as the module. Called more than
 * once, from any thread; does no work.
 */
KW_PLUGIN_EXPORT const kw_plugin *kw_plugin_query(void);

#ifdef __cplusplus
}
#endif
#endif
