/*
 * The conformance kit: exercises every operation of plugin.h against any plugin. It sees plugin.h, and libcrypto as the judge.
 *
 *   kit.c            loads a plugin, runs the checks, prints
 *   requirements.c   what is checked: the table of requirements and their results
 *   host.c           a complete host: records in memory, secrets, secret memory, counters, failures on demand
 *   judge.c          libcrypto: makes keys, verifies signatures, encrypts, agrees
 *   fixture.c        instances, keys, outputs with canaries
 *   check_*.c        the checks, by subject
 */
#ifndef KIT_H
#define KIT_H

#include <keywright/plugin.h>

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

/* ---- requirements.c -------------------------------------------------------------------------------------------- */

enum requirement {
    ABI_DESCRIPTION,
    ABI_OPTIONS,
    ABI_MANDATORY,
    ABI_SHORT_STRUCTS,
    ABI_SLOTS,
    RULE_1_SPKI,
    RULE_1_PKCS8,
    RULE_1_SIGNATURE,
    RULE_2_SIZE,
    RULE_2_NO_BACKEND,
    RULE_2_NO_OVERFLOW,
    RULE_2_SECRETS_FREED,
    RULE_3_THREADS,
    RULE_4_DEADLINE,
    RULE_5_REPORT,
    RULE_5_NO_SECRET,
    RULE_5_NOTHING_LEFT,
    RULE_5_HOST_FAILS,
    RULE_5_MEMORY_ENDS,
    RULE_6_RECOVERY,
    RULE_7_FORK,
    RULE_7_FORK_THREADS,
    RULE_7_FORK_RANDOM,
    RULE_8_SILENT,
    RULE_8_NO_LOCK,
    OPEN_OK,
    OPEN_CAPABILITIES,
    OPEN_WRONG_SECRET,
    OPEN_NO_SECRET,
    OPEN_AGAIN,
    OPEN_TWICE,
    HEALTH_OK,
    RANDOM_FILLS,
    SET_SECRET_CHANGES,
    SET_SECRET_OTHERS,
    SET_SECRET_ALL_OR_NOTHING,
    GENERATE_EACH,
    GENERATE_EXISTS,
    GENERATE_UNSUPPORTED,
    GENERATE_LOCATOR,
    IMPORT_EACH,
    IMPORT_MALFORMED,
    IMPORT_MISMATCH,
    EXPORT_SAME,
    EXPORT_REFUSED,
    DELETE_GONE,
    DELETE_UNKNOWN,
    LIST_COMPLETE,
    FIND_ID,
    KEY_CAPABILITIES,
    KEY_OPEN_MALFORMED,
    KEY_DAMAGED,
    STORE_DAMAGED,
    SIGN_PKCS1,
    SIGN_PSS,
    SIGN_ECDSA,
    SIGN_EDDSA,
    SIGN_MESSAGE,
    SIGN_RAW,
    SIGN_UNSUPPORTED,
    SIGN_DIGEST_LENGTH,
    DECRYPT_OAEP,
    DECRYPT_LABEL,
    DECRYPT_INVALID,
    DECRYPT_RAW,
    DECRYPT_NOT_PKCS1,
    DERIVE_AGREES,
    DERIVE_INVALID,
    CERTIFICATE_KEPT,
    REQUIREMENTS
};

struct requirement_row {
    const char *id;   /* "rule-2.no-overflow" */
    const char *text; /* what a plugin must do */
};
extern const struct requirement_row requirement_table[REQUIREMENTS];

/* Not checked: the plugin says that it cannot, or it rests on a requirement that failed. */
enum verdict { VERDICT_NOT_CHECKED, VERDICT_PASSED, VERDICT_FAILED, VERDICT_SKIPPED };

/* Records one check of a requirement; false is a failure, and `format` says what was seen. Returns `holds`. Any thread. */
bool require(enum requirement requirement, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* By the caller's wish. False: no such requirement. */
bool requirement_skip(const char *id);
bool requirement_skipped(enum requirement requirement);
enum verdict requirement_verdict(enum requirement requirement);
/* The first thing that was wrong, or NULL; and how many checks were made. */
const char *requirement_failure(enum requirement requirement, unsigned *checks);
const char *status_name(kw_status status);
/* Whether single signatures were right; what signs in threads and children rests on it. */
bool signatures_hold(void);

/* ---- host.c ------------------------------------------------------------------------------------------------------- */

/* A key-value space; several hosts (servers) may share one. */
struct records;
struct records *records_new(void);
void records_free(struct records *records);
struct records *records_copy(const struct records *records);
size_t records_count(const struct records *records);
/* By position in byte order; lives until the record changes. */
kw_input records_name(const struct records *records, size_t position);
kw_input records_value(const struct records *records, size_t position);
bool records_has(const struct records *records, kw_input name);
void records_set(struct records *records, kw_input name, kw_input value);

/* A secret option and its value. */
struct secret_value {
    const char *option;
    const char *value;
};

enum failure {
    FAILURE_NONE,
    FAILURE_UNAVAILABLE,       /* the nth record call answers KW_UNAVAILABLE and does nothing */
    FAILURE_UNAVAILABLE_AFTER, /* the same, but a write takes effect */
    FAILURE_MEMORY             /* the nth secret_allocate answers NULL */
};

/* What plugin.h leaves to the host. */
struct kw_host_context {
    struct kit_host *host;
};

struct kit_host {
    kw_host table;
    kw_host_context context;
    struct records *records;
    struct secret_value secrets[8];
    size_t secret_count;
    kw_status secret_status; /* not KW_OK: what secret_request answers */
    atomic_uint record_calls, record_writes, secret_requests, secret_refusals, reports, backend_calls;
    struct secret_block *secret_blocks; /* allocated and not freed */
    long blocks_now;                    /* how many */
    atomic_bool misused;                /* freed with a wrong length, or written beyond */
    atomic_bool leaked_text;            /* a report or log line held a secret, or a line break */
    enum failure failure;
    atomic_uint failure_countdown; /* the call that fails; 0: none, or it has failed */
    void (*during_secret_request)(void *user);
    void *user;
    char sentence[512]; /* reported last */
    pthread_mutex_t mutex;
};

void kit_host_init(struct kit_host *host, struct records *records);
void kit_host_set_secret(struct kit_host *host, const char *option, const char *value);
const char *kit_host_get_secret(const struct kit_host *host, const char *option);
void kit_host_fail(struct kit_host *host, enum failure failure, unsigned call);
/* Whether the failure happened; ends it. */
bool kit_host_failed(struct kit_host *host);
/* How many blocks of secret memory are allocated and not freed. */
long kit_host_blocks(struct kit_host *host);
/* Around a fork. */
void kit_host_lock(struct kit_host *host);
void kit_host_unlock(struct kit_host *host);

/* ---- fixture.c ------------------------------------------------------------------------------------------------------- */

struct kit {
    const kw_plugin *plugin;
    kw_plugin_operations operations; /* what the plugin does not know is NULL */
    kw_option_value *options;
    size_t option_count;
    struct secret_value secrets[8];
    size_t secret_count;
    bool quick;
    kw_capabilities capabilities;
    struct records *records; /* of the common instance */
    struct kit_host host;
    kw_plugin_instance *instance;
    kw_call call; /* no deadline */
};

/* Another host with the kit's secrets, on `records`. */
void kit_host_like(const struct kit *kit, struct kit_host *host, struct records *records);
kw_status kit_open(const struct kit *kit, struct kit_host *host, kw_plugin_instance **instance,
                   kw_capabilities *capabilities);
/* Closes, and requires that nothing of the host's secret memory is left. */
void kit_close(const struct kit *kit, struct kit_host *host, kw_plugin_instance *instance);
bool kit_can(const struct kit *kit, uint32_t operation);

/* Requires KW_OK. */
bool expect_ok(struct kit_host *host, enum requirement requirement, kw_status status, const char *what);
/* Requires a failure, and that it was reported. */
bool expect_failure(struct kit_host *host, enum requirement requirement, kw_status status, kw_status wanted,
                    const char *what);

/* Something a plugin can make or import; the checks go through all that it claims. */
struct key_variant {
    const char *name;
    kw_key_type type;
    uint32_t bits;
    kw_curve curve;
};
/* The next that the instance claims, from *position on; NULL: no more. */
const struct key_variant *variant_next(const struct kit *kit, size_t *position);
/* The cheapest of the type that is claimed, or NULL. */
const struct key_variant *variant_of(const struct kit *kit, kw_key_type type);
/* The cheapest that can sign; NULL: none. */
const struct key_variant *variant_signing(const struct kit *kit);
/* Values that no version of plugin.h has. */
kw_key_type unknown_key_type(void);
kw_curve unknown_curve(void);
kw_scheme unknown_scheme(void);
kw_hash unknown_hash(void);
/* A template with a new id, and every use that the type allows. */
kw_key_template template_new(const struct kit *kit, const struct key_variant *variant);

#define LOCATOR_ROOM (KW_LOCATOR_MAXIMUM + 16)
struct locator {
    unsigned char data[LOCATOR_ROOM];
    size_t length;
};
kw_input locator_view(const struct locator *locator);

/* A key in the instance. */
struct test_key {
    kw_key_template wanted;
    struct locator locator;
    kw_plugin_key *key;
    kw_key_capabilities capabilities;
    EVP_PKEY *pkey; /* the public key as libcrypto reads it */
};
kw_status generate(struct kit *kit, kw_plugin_instance *instance, const kw_key_template *wanted,
                   struct locator *locator);
kw_status import(struct kit *kit, kw_plugin_instance *instance, const kw_key_template *wanted, kw_input pkcs8,
                 struct locator *locator);
/* Makes (by generation, else by import) and opens a key; false when it failed, which `requirement` has been told. */
bool test_key_new(struct kit *kit, enum requirement requirement, const struct key_variant *variant,
                  struct test_key *key);
bool test_key_open(struct kit *kit, kw_plugin_instance *instance, struct kit_host *host, enum requirement requirement,
                   struct test_key *key);
/* Closes and deletes. */
void test_key_free(struct kit *kit, struct test_key *key);

/* An operation with an output. */
typedef kw_status (*producer)(void *argument, kw_output *output);
struct bytes {
    unsigned char *data;
    size_t length;
};
void bytes_free(struct bytes *bytes);
kw_input bytes_view(const struct bytes *bytes);
/* Calls with the room it asks for. */
kw_status produce(producer operation, void *argument, struct bytes *result);
/* The same, after the questions of rule 2: no data, and too small a buffer. */
kw_status produce_asking(struct kit *kit, producer operation, void *argument, const char *what, struct bytes *result);

struct use {
    struct kit *kit;
    kw_plugin_instance *instance;
    kw_plugin_key *key;
    const kw_algorithm *algorithm;
    kw_input input;
    const unsigned char *id;
    uint64_t *cursor;
};
kw_status produce_signature(void *use, kw_output *output);
kw_status produce_plaintext(void *use, kw_output *output);
kw_status produce_shared(void *use, kw_output *output);
kw_status produce_public(void *use, kw_output *output);
kw_status produce_export(void *use, kw_output *output);
kw_status produce_found(void *use, kw_output *output);
kw_status produce_listed(void *use, kw_output *output);

/* ---- judge.c ------------------------------------------------------------------------------------------------------------ */

const char *judge_hash_name(kw_hash hash);
size_t judge_digest(kw_hash hash, kw_input message, unsigned char digest[64]);
EVP_PKEY *judge_key(const struct key_variant *variant);
bool judge_private(EVP_PKEY *pkey, struct bytes *pkcs8);
bool judge_public(EVP_PKEY *pkey, struct bytes *spki);
EVP_PKEY *judge_read_public(kw_input spki);
EVP_PKEY *judge_read_private(kw_input pkcs8);
/* `input` is the digest, or the message for EdDSA. */
bool judge_verify(EVP_PKEY *pkey, const kw_algorithm *algorithm, kw_input input, kw_input signature);
bool judge_encrypt(EVP_PKEY *pkey, const kw_algorithm *algorithm, kw_input plaintext, struct bytes *ciphertext);
/* RSAEP: to the public exponent, without padding. */
bool judge_raw(EVP_PKEY *pkey, kw_input block, struct bytes *result);
bool judge_agree(EVP_PKEY *own, EVP_PKEY *peer, struct bytes *shared);

/* ---- check_*.c: one function for each subject ----------------------------------------------------------------------------- */

void check_description(struct kit *kit);
void check_instance(struct kit *kit);
void check_secrets(struct kit *kit);
void check_keys(struct kit *kit);
void check_import(struct kit *kit);
void check_sign(struct kit *kit);
void check_decrypt(struct kit *kit);
void check_derive(struct kit *kit);
void check_certificates(struct kit *kit);
void check_damage(struct kit *kit);
void check_failures(struct kit *kit);
void check_threads(struct kit *kit);
void check_fork(struct kit *kit);
void check_manners(struct kit *kit);

#endif
