/*
 * Stores: named instances of plugins. store.c is the only place that calls a plugin's operations: there each call is held against the
 * capabilities, gets its deadline, is counted and timed, and its status and sentence become a kw_error that names the store.
 */
#ifndef KEYWRIGHT_STORE_STORE_H
#define KEYWRIGHT_STORE_STORE_H

#include "catalogue/catalogue.h"
#include "config/settings.h"
#include "config/source.h"
#include "control/control.h"
#include "store/builtin.h"

struct store;

/* All stores of one configuration. They open at their first use, each once; one that failed to open is tried again at the next
 * use, unless a secret was refused. */
struct stores;

struct stores_options {
    struct control *control; /* NULL: none of what processes share */
    struct stores *before;   /* NULL: there are none */
    struct crypto *crypto;
    struct settings *settings;
    struct catalogue *catalogue;
    const struct log *log;
    kw_prompt_callback prompt;
    void *user;
    const struct builtin_store *builtins; /* further stores, behind those of the configuration */
    size_t builtin_count;
    const struct secret_service *secrets; /* outlives the stores; NULL: no store's secret is a subkey */
};

/*
 * Checks plugins and options without opening anything: KW_CONFIGURATION with file:line:column. Takes a reference of the settings, and
 * borrows what else `options` names. Stores that are in `options->before` just the same are taken from there, open or not.
 */
KW_MUST_USE kw_status stores_new(const struct stores_options *options, struct stores **stores, kw_error *error);
/* Only checks: every store's plugin loads and its options fit the plugin's table. No catalogue needed. */
KW_MUST_USE kw_status stores_check(const struct settings *settings, kw_error *error);
/* Gives a reference back. A store is closed when nobody has one of any stores that it is in. */
void stores_free(struct stores *stores);
struct stores *stores_reference(struct stores *stores);
/* The stores that replaced these, by stores_replace, and so on; there as long as these are. */
struct stores *stores_newest(struct stores *stores);
void stores_replace(struct stores *stores, struct stores *successor);
/* What the store of this name can do; NULL: it is not open, or there is none. */
const kw_capabilities *stores_capabilities(const struct stores *stores, const char *name);
/* Whether both have the very same store under this name. */
bool stores_share(const struct stores *left, const struct stores *right, const char *name);

/* By name or by id; opened. Errors: KW_NOT_FOUND (not configured; names what is), and what opening answers. */
KW_MUST_USE kw_status stores_get(struct stores *stores, const char *name, struct store **store, kw_error *error);
KW_MUST_USE kw_status stores_get_by_id(struct stores *stores, const char *id, struct store **store, kw_error *error);

/* What the plugin of a store says of itself (KW_TRAIT_...), whether it opens or not; 0 where there is no such store. */
uint32_t stores_traits(const struct stores *stores, const char *id);

/* For all stores of the context: also those that these replaced. */
void stores_fork_prepare(struct stores *stores);
void stores_fork_parent(struct stores *stores);
void stores_fork_child(struct stores *stores);

const char *store_name(const struct store *store);
const char *store_id(const struct store *store);
const char *store_plugin(const struct store *store);
const kw_capabilities *store_capabilities(const struct store *store);
struct crypto *store_crypto(const struct store *store);
struct catalogue *store_catalogue(const struct store *store);

/* The operations that are counted; also the names of kw_operation_count. */
enum store_operation {
    STORE_OPEN,
    STORE_HEALTH,
    STORE_RANDOM,
    STORE_SET_SECRET,
    STORE_KEY_GENERATE,
    STORE_KEY_IMPORT,
    STORE_KEY_EXPORT,
    STORE_KEY_DELETE,
    STORE_KEY_LIST,
    STORE_KEY_FIND,
    STORE_KEY_OPEN,
    STORE_KEY_PUBLIC,
    STORE_KEY_ATTEST,
    STORE_SIGN,
    STORE_DECRYPT,
    STORE_DERIVE,
    STORE_CERTIFICATE_PUT,
    STORE_CERTIFICATE_GET,
    STORE_CERTIFICATE_DELETE,
    STORE_CLOSE,
    STORE_OPERATION_COUNT
};
const char *store_operation_name(enum store_operation operation);
/* Fills a row for each operation that was called, by all processes that share the state; the sum of calls to the backend. */
size_t store_counts(const struct store *store, kw_operation_count counts[STORE_OPERATION_COUNT], uint64_t *calls);
/* The same for a store by name, also one that is not open. */
size_t stores_counts(const struct stores *stores, const char *name, kw_operation_count counts[STORE_OPERATION_COUNT],
                     uint64_t *calls);

/* The operations of plugin.h; statuses are the plugin's, KW_UNSUPPORTED where a slot is NULL or the capabilities say no. */
KW_MUST_USE kw_status store_health(struct store *store, kw_error *error);
/* Fills output->data up to its capacity from the backend's generator. */
KW_MUST_USE kw_status store_random(struct store *store, kw_output *output, kw_error *error);
KW_MUST_USE kw_status store_set_secret(struct store *store, const char *option, kw_input secret, kw_error *error);
KW_MUST_USE kw_status store_key_generate(struct store *store, const kw_key_template *wanted, kw_output *locator,
                                         kw_error *error);
KW_MUST_USE kw_status store_key_import(struct store *store, const kw_key_template *wanted, kw_input pkcs8,
                                       kw_output *locator, kw_error *error);
/* Whether such a key could be imported, without a call: KW_UNSUPPORTED, saying what the store takes. */
KW_MUST_USE kw_status store_check_import(const struct store *store, const kw_key_template *wanted, kw_error *error);
/* The same of making one. */
KW_MUST_USE kw_status store_check_generate(const struct store *store, const kw_key_template *wanted, kw_error *error);
KW_MUST_USE kw_status store_key_delete(struct store *store, kw_input locator, kw_error *error);
KW_MUST_USE kw_status store_key_list(struct store *store, uint64_t *cursor, kw_output *locator, kw_error *error);
KW_MUST_USE kw_status store_key_find(struct store *store, const struct id *id, kw_output *locator, kw_error *error);
/* KW_UNSUPPORTED where the backend keeps none. */
KW_MUST_USE kw_status store_certificate_put(struct store *store, kw_input locator, kw_input certificate,
                                            kw_error *error);
KW_MUST_USE kw_status store_certificate_get(struct store *store, kw_input locator, kw_output *certificate,
                                            kw_error *error);
KW_MUST_USE kw_status store_certificate_delete(struct store *store, kw_input locator, kw_error *error);

/* The one secret option of a store's plugin (KW_UNSUPPORTED: none) and where it is configured. */
KW_MUST_USE kw_status stores_secret_option(const struct stores *stores, const char *name,
                                           const struct option_setting **setting, kw_error *error);

/* The handle operations, for key.c alone. */
KW_MUST_USE kw_status store_key_open(struct store *store, kw_input locator, kw_plugin_key **key,
                                     kw_key_capabilities *capabilities, kw_error *error);
void store_key_close(struct store *store, kw_plugin_key *key);
KW_MUST_USE kw_status store_key_public(struct store *store, kw_plugin_key *key, kw_output *spki, kw_error *error);
KW_MUST_USE kw_status store_key_export(struct store *store, kw_plugin_key *key, kw_output *pkcs8, kw_error *error);
KW_MUST_USE kw_status store_key_attest(struct store *store, kw_plugin_key *key, kw_input challenge,
                                       kw_output *statement, kw_error *error);
KW_MUST_USE kw_status store_sign(struct store *store, kw_plugin_key *key, const kw_algorithm *algorithm, kw_input input,
                                 kw_output *signature, kw_error *error);
KW_MUST_USE kw_status store_decrypt(struct store *store, kw_plugin_key *key, const kw_algorithm *algorithm,
                                    kw_input ciphertext, kw_output *plaintext, kw_error *error);
KW_MUST_USE kw_status store_derive(struct store *store, kw_plugin_key *key, const kw_algorithm *algorithm,
                                   kw_input peer, kw_output *shared, kw_error *error);

#endif
