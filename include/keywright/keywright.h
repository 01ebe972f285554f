/*
 * keywright.h: the library a server embeds. The `keywright` command uses nothing else.
 *
 * Conventions, stated once:
 *
 *  - Every function that can fail returns a kw_status (plugin.h says what each one means and what a caller can do) and
 *    fills the kw_error that the caller passes; NULL is allowed. Results must be looked at.
 *  - Strings are UTF-8, lengths are bytes, durations are milliseconds, times are seconds since 1970-01-01 UTC.
 *  - What a function hands out is freed by the function named beside it; NULL is allowed there. What goes in is copied or
 *    used only during the call.
 *  - Functions on one kw_context or kw_key may be called from any threads at once. A process may fork at any time: the child
 *    goes on with what is loaded. kw_close is the exception: no other call may be under way.
 *  - An *address* names a certificate: kind[/NAME[/NAME]], such as `database/sales`. An address followed by @N names one of
 *    the entry's certificates by number, also one that has been replaced.
 *  - Secrets are given as *sources*: file:PATH, env:NAME, credential:NAME, fd:N, prompt.
 *  - Structs that a caller fills begin with `size`, set to sizeof; zero in the rest means the default.
 */
#ifndef KEYWRIGHT_KEYWRIGHT_H
#define KEYWRIGHT_KEYWRIGHT_H

#include <keywright/base.h>
#include <keywright/connections.h>
#include <keywright/subkeys.h>
#include <keywright/tls.h>
#include <keywright/trust.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Opening and closing --------------------------------------------------------------------------- */

/* One line for the log: no newline, no secret. May be called from any thread. */
typedef void (*kw_log_callback)(void *user, kw_log_level level, const char *line);

/*
 * Asks a person for a secret. `what` says for which store or file. `confirm`: ask twice and compare. `answer->data` is locked
 * memory of KW_SECRET_MAXIMUM bytes. KW_CONFIGURATION: there is nobody to ask. May be called from any thread.
 */
typedef kw_status (*kw_prompt_callback)(void *user, const char *what, bool confirm, kw_output *answer);

typedef struct kw_open_options {
    size_t size;
    const char *configuration; /* path; NULL: $KEYWRIGHT_CONFIG, else /etc/keywright/keywright.yaml */
    kw_log_callback log;       /* NULL: nothing is logged */
    kw_prompt_callback prompt; /* NULL: `prompt` sources are refused */
    void *user;                /* passed to both */
    bool open_stores;          /* open every store now instead of at its first use; a store that fails fails kw_open */
    bool as_is;                /* add nothing that is missing: for programs that look, remove or bring along */
    bool
        looks; /* leave what a crashed process left to others: for programs that only look, and must not wait for a store */
} kw_open_options;

/*
 * Reads and checks the configuration, opens the catalogue, finishes or removes what a crashed process left, and adds the
 * server-encryption certificate where there is none (not where it was retired). That it cannot be added is a warning of the log.
 * Errors: KW_CONFIGURATION (where: file, line, column), KW_NOT_FOUND (no catalogue yet: kw_apply makes it; see
 * kw_apply_options), KW_UNAVAILABLE, KW_PERMISSION, KW_CORRUPT.
 */
KW_MUST_USE KW_API kw_status kw_open(const kw_open_options *options, kw_context **context, kw_error *error);
/*
 * Closes every store. No other call on the context or on a key of it may be under way; keys must have been freed. Where the OpenSSL module in this process
 * uses the configuration too, the two have one context (whichever opened it): then it stays open for the module until that is unloaded, without the log and the prompt, and only
 * what is the caller's own ends. No operation on a key of the module may be under way either.
 */
KW_API void kw_close(kw_context *context);

/*
 * Writes a working configuration (softstore, SQLite) into `directory`: keywright.yaml, and a passphrase and a catalogue key of
 * mode 0600; makes the directory (0700) where there is none. Then as kw_apply. Errors: KW_EXISTS (there is a
 * keywright.yaml, or a file it would write), KW_PERMISSION. Leaves nothing behind when it fails.
 */
KW_MUST_USE KW_API kw_status kw_initialise(const char *directory, const kw_open_options *options,
                                           kw_event_callback event, void *user, kw_error *error);

/*
 * Creates what the configuration calls for and is missing: the catalogue, ssl-connection, server-encryption. Reminds of
 * exporting server-encryption separately until an export named it and wrote it to a file of its own. Safe to repeat and to run from several processes at once. `options->configuration` as for kw_open.
 */
KW_MUST_USE KW_API kw_status kw_apply(const kw_open_options *options, kw_event_callback event, void *user,
                                      kw_error *error);

/* One setting that is another than before. */
typedef struct kw_change {
    const char *setting;        /* stores.hsm.options.pin; items of a list are numbered from 0 */
    const char *before, *after; /* as written; NULL: not set. Of a secret in the file itself only what tells it apart */
} kw_change;

typedef struct kw_changes {
    const kw_change *changes; /* by name */
    size_t count;
    size_t contexts;             /* that are open now in all processes, this one included, and are told of it */
    const char *const *warnings; /* a sentence for each store that keys are in, and that the new configuration lacks */
    size_t warning_count;
} kw_changes;

/*
 * Reads the configuration file anew, checks it as kw_open does, and opens the stores that are new in it or set up otherwise (which set themselves up
 * then, as at their first use). Unless `dry_run`, this context has it from then on, and every other one of the state, in whatever process, takes
 * it at its next call on the context, or at the next use of a key that was opened by its address. Each opens the stores for itself: one that
 * cannot, or cannot read the file, tells its log, and goes on with the old one. Work under way is not cut: calls go on with what they
 * began with, and so do keys that are open in a store that is removed or set up otherwise, until they are freed. `changes` (NULL is
 * allowed) are the differences from what was in force; freed by kw_changes_free. Errors: KW_CONFIGURATION, and whatever opening a store answers
 * (the old configuration stays in force), KW_REFUSED (state, catalogue_key: they cannot change while programs run), KW_CONFLICT (another thread
 * does the same).
 */
KW_MUST_USE KW_API kw_status kw_reload(kw_context *context, bool dry_run, kw_changes **changes, kw_error *error);
KW_API void kw_changes_free(kw_changes *changes);

/* What has become of the configuration that was told last. */
typedef struct kw_reload_report {
    size_t contexts;       /* that are open now in all processes, this one included */
    size_t taken, refused; /* of them; the rest has not looked at it yet */
    const char *waiting;   /* the processes of the rest, such as "process 4711 (nginx)", or NULL */
    const char *refusing;  /* those that could not take it, and go on with the old one, or NULL */
} kw_reload_report;

/* Waits, at most so long, until every context has taken or refused it. That one has not is no error: it may be idle for hours. */
KW_MUST_USE KW_API kw_status kw_reload_wait(kw_context *context, uint32_t milliseconds, kw_reload_report **report,
                                            kw_error *error);
KW_API void kw_reload_report_free(kw_reload_report *report);

/* ---- Configuration ----------------------------------------------------------------------------------- */

/*
 * Checks a configuration file (`options->configuration`) without changing anything. With `connect`, opens every store,
 * the catalogue, every secret and every certificate's key too; a store that is new sets itself up then, as at its first use. Warnings go to `event`. Errors: KW_CONFIGURATION and, with
 * `connect`, any: KW_NOT_FOUND when keys are not where the catalogue has them, each told by a warning.
 */
KW_MUST_USE KW_API kw_status kw_configuration_check(const kw_open_options *options, bool connect,
                                                    kw_event_callback event, void *user, kw_error *error);
/* The JSON schema of the configuration file, as text that ends with a NUL behind `length`. */
KW_MUST_USE KW_API kw_status kw_configuration_schema(kw_bytes *json, kw_error *error);

/* ---- Plugins and stores ---------------------------------------------------------------------------------- */

typedef struct kw_plugin_info {
    const char *name;
    const char *version;
    const char *summary;
    const char *path;
    unsigned abi_major, abi_minor;
    const kw_option *options; /* the plugin's table */
    size_t option_count;
    const char *problem; /* why it cannot be loaded, or NULL; then only name and path are set */
} kw_plugin_info;

typedef struct kw_plugin_list {
    const kw_plugin_info *plugins;
    size_t count;
} kw_plugin_list;

/*
 * The plugins installed in the configured directories, by name. `options->configuration` as for kw_open; where that file does
 * not exist, and none was named, the built-in directories.
 */
KW_MUST_USE KW_API kw_status kw_plugins(const kw_open_options *options, kw_plugin_list **list, kw_error *error);
KW_API void kw_plugin_list_free(kw_plugin_list *list);

/* The operations that are counted, for kw_store_info.operations. They are counted in a file of the state directory, beyond the process. */
typedef struct kw_operation_count {
    const char *operation; /* "sign", ... */
    uint64_t calls, errors;
    uint64_t nanoseconds; /* spent in all calls together */
    uint64_t
        backend_calls; /* that these calls made to the backend; the same as calls for a plugin that does not tell */
} kw_operation_count;

typedef struct kw_store_info {
    const char *name;
    const char *id;
    const char *plugin;
    bool available;
    const char *problem; /* why it is not, or NULL */
    kw_capabilities capabilities;
    uint64_t calls;                       /* to the backend, by all processes that use or used this state */
    const kw_operation_count *operations; /* likewise */
    size_t operation_count;
    size_t certificates; /* whose keys it holds, former and retired ones too */
    int64_t
        outage_since; /* when a process that has subkeys in memory first found that it is away; seconds since 1970; 0: none has */
    const char *outage_since_text; /* the same as RFC 3339, or NULL */
    const char *remedy;            /* what to do about `problem`, or NULL */
} kw_store_info;

typedef struct kw_state {
    const char *configuration; /* path */
    const char *directory;     /* the state directory */
    const char *catalogue;     /* what holds it, such as "sqlite /var/lib/keywright/catalogue.db" */
    unsigned schema_version;
    const kw_store_info *stores;
    size_t store_count;
    size_t certificates, certificates_required; /* all, and those that are required */
    /* By all processes that use or used this state: how often a subkey was needed whose root was in memory, or was not; unwrappings by a store that did not happen. */
    uint64_t subkey_hits, subkey_misses, subkey_calls_saved;
    const char *const *misplaced; /* a sentence for each key that is not where the configuration wants it, also of
                                     former and retired certificates, unless nothing could move those */
    size_t misplaced_count;
    const char *const *reminders; /* a sentence, with the command to run, for each thing that the user has yet to do */
    size_t reminder_count;
} kw_state;

/* Facts about stores and catalogue; opens every store. A store that is not available is a fact, not an error. */
KW_MUST_USE KW_API kw_status kw_state_get(kw_context *context, kw_state **state, kw_error *error);
KW_API void kw_state_free(kw_state *state);

/* One number, and what tells it from others of its name. */
typedef struct kw_metric {
    const char *name, *help;
    bool counter;                             /* it only grows; else a gauge */
    const char *store, *store_id, *operation; /* NULL: of no store; of all its operations */
    double value;
} kw_metric;

typedef struct kw_metrics {
    const kw_metric *metrics; /* those of one name follow each other */
    size_t count;
    const char *text; /* the same in the text format of Prometheus, such as a server answers a GET of /metrics with */
} kw_metrics;

/* What all processes that use this state have counted, also those that have ended. Opens no store. */
KW_MUST_USE KW_API kw_status kw_metrics_get(kw_context *context, kw_metrics **metrics, kw_error *error);
KW_API void kw_metrics_free(kw_metrics *metrics);

/*
 * Changes the passphrase or PIN of `store` from its configured source to what `source` gives (a prompt is asked twice), which may be
 * "subkey:master-key/DOMAIN": then it is derived from the active root of that master key, and pinned to it. The
 * configuration file is not edited: say so to the user. `configured`, when not NULL, tells where the configuration sets
 * it ("file:line: options.passphrase (file:passphrase)"). Errors: KW_NOT_FOUND, KW_UNSUPPORTED, KW_SECRET_REFUSED, KW_INVALID_ARGUMENT, KW_REFUSED (the
 * master key would lie behind the store itself), KW_TIMEOUT (which of the two is in force is not known). After any other the old one is in force.
 */
KW_MUST_USE KW_API kw_status kw_store_set_secret(kw_context *context, const char *store, const char *source,
                                                 kw_bytes *configured, kw_error *error);

/* ---- Certificates -------------------------------------------------------------------------------------------- */

typedef struct kw_certificate_template {
    size_t size;
    const char *address;
    const char *const *databases; /* master-key: which databases it serves */
    size_t database_count;
    const char *
        key; /* rsa-2048, rsa-3072, rsa-4096, ec-p256, ec-p384, ec-p521, ed25519; NULL: the configured, else the kind's */
    const char *store; /* name; NULL: where the configuration says */
    const char *const
        *hosts; /* SAN of ssl-connection and general: names and addresses; none: the configured, else this host's */
    size_t host_count;
    const char *subject; /* general: an RFC 4514 string, such as "CN=x,O=y"; NULL: CN=NAME */
    const char *const
        *extended_key_usages; /* general: serverAuth, clientAuth, ... or dotted OIDs; none: no extension */
    size_t extended_key_usage_count;
    bool derived; /* discovery-service, password-reset: the key is derived from a master key, and stored nowhere */
    const char *master_key; /* from which; NULL: the only one that serves the database. Goes with `derived` */
} kw_certificate_template;

/*
 * Makes a key in a store and a certificate for it. For a master key that exists, adds the databases that it does not serve yet. The key of a
 * discovery-service or password-reset is derived (`derived`, which costs its master key's store one call at most, then none) also unasked where its
 * database's master key is in an HSM and neither `store`, `key` nor the configuration wants what cannot be derived.
 * Errors: KW_INVALID_ARGUMENT (address, key or host malformed; a database is missing), KW_EXISTS, KW_NOT_FOUND (its
 * database has no entry, no such store), KW_REFUSED (the kind does not allow it), KW_UNSUPPORTED (the store
 * cannot), and whatever the store answers.
 */
KW_MUST_USE KW_API kw_status kw_certificate_create(kw_context *context, const kw_certificate_template *wanted,
                                                   kw_event_callback event, void *user, kw_error *error);

/* What is wrong with a certificate, or soon will be. */
typedef struct kw_certificate_finding {
    bool severe; /* it does not do its work; else a warning */
    const char *
        word; /* for a table: "expired", "not yet valid", "expires soon", "host missing", "misplaced", "store unknown" */
    const char *sentence; /* what is wrong; "it" is the certificate */
    const char *remedy;   /* what to do */
} kw_certificate_finding;

/* Everything about one certificate. Strings are never NULL unless it says so. */
/* One version of a master key's root secret. */
typedef struct kw_root_info {
    unsigned version;
    const char *state; /* "active", "decrypt-only", "retired" */
    bool resealed;     /* all that was sealed under it was sealed anew, as kw_reseal has noted */
    bool recoverable;  /* the configured recovery certificate's private key opens it */
    int64_t created;
    const char *created_text; /* RFC 3339 in UTC */
} kw_root_info;

typedef struct kw_certificate_info {
    const char *address; /* of the entry's current certificate plain, of others with @N */
    const char *kind;
    const char *name; /* last part of the address, or the kind where it has one part */
    const char *const *databases;
    size_t database_count;
    unsigned number;     /* of the certificate within its entry, from 1 */
    bool required;       /* its entry is in use and this is its current certificate */
    bool retired;        /* its entry is out of use */
    bool exported;       /* by kind: in exports and backups */
    bool expiry_checked; /* by kind */
    const char *use;     /* a sentence: what the kind is for */
    const char *store;   /* name, or id where the configuration no longer names it */
    const char *store_id;
    const char *plugin;           /* empty where the store is not configured */
    const char *key;              /* rsa-3072, ec-p256, ...; rsa-pss-3072: for PSS alone, as its certificate says */
    const char *key_id;           /* 32 hex digits */
    const char *certificate_id;   /* 32 hex digits: the entry's, unchanged by export and import */
    const char *locator;          /* printable, or hex */
    const char *subject, *issuer; /* RFC 4514 */
    const char *serial;           /* hex */
    bool self_signed;
    int64_t not_before, not_after;
    const char *not_before_text, *not_after_text; /* RFC 3339, UTC */
    const char *sha256, *sha1;                    /* lower-case hex, of the certificate */
    const char *spki_sha256;
    const char *signature_algorithm;
    const char *const *san; /* "DNS:host", "IP:192.0.2.1" */
    size_t san_count;
    const char *const *key_usage; /* RFC 5280 names: digitalSignature, ... */
    size_t key_usage_count;
    const char *const *extended_key_usage; /* serverAuth, ... or dotted */
    size_t extended_key_usage_count;
    const kw_input *chain; /* DER: the certificate, then its issuers as far as they are kept */
    size_t chain_count;
    bool
        export_due; /* the user should export it separately (`keywright export ADDRESS -o FILE`), and has not yet (S12) */
    const char *const *chain_subjects; /* RFC 4514, as many as the chain has */
    const kw_certificate_finding
        *findings; /* the worst first; by catalogue, configuration and clock: no store is asked */
    size_t finding_count;
    const char *
        derived_from; /* address of the master key that the key is derived from, its id where it is not there; NULL: it is in a store */
    unsigned root_version;     /* of that master key; 0 where nothing is derived */
    const kw_root_info *roots; /* of a master key, with its current certificate */
    size_t root_count;
} kw_certificate_info;

typedef struct kw_certificate_list {
    const kw_certificate_info *certificates;
    size_t count;
    const kw_error *problems; /* rows of the catalogue that do not verify and are left out; each names itself */
    size_t problem_count;
} kw_certificate_list;

typedef struct kw_certificate_filter {
    size_t size;
    bool all;             /* also those that are no longer required */
    const char *address;  /* only this one (also address@N); KW_NOT_FOUND when there is none */
    const char *database; /* only those of this database, a name; KW_NOT_FOUND when there is none */
    const char *store;    /* only those whose key is in this store; likewise */
} kw_certificate_filter;

/* In the order ssl-connection, server-encryption, then by database and name. Opens no store. */
KW_MUST_USE KW_API kw_status kw_certificates(kw_context *context, const kw_certificate_filter *filter,
                                             kw_certificate_list **list, kw_error *error);
KW_API void kw_certificate_list_free(kw_certificate_list *list);

/* A PKCS#10 request (RFC 2986, DER) for the certificate's subject, SAN, key usage and extended key usage, signed by its key. */
KW_MUST_USE KW_API kw_status kw_certificate_request(kw_context *context, const char *address, kw_bytes *request,
                                                    kw_error *error);

/* DER as PEM (RFC 7468) under a label, such as "CERTIFICATE REQUEST". NUL behind `length`. */
KW_MUST_USE KW_API kw_status kw_pem_encode(const char *label, kw_input der, kw_bytes *pem, kw_error *error);

/* Certificate and, where the kind has one, chain as PEM; or as text for people (as openssl x509 -text). NUL behind `length`. */
KW_MUST_USE KW_API kw_status kw_certificate_pem(kw_context *context, const char *address, kw_bytes *pem,
                                                kw_error *error);
KW_MUST_USE KW_API kw_status kw_certificate_text(kw_context *context, const char *address, kw_bytes *text,
                                                 kw_error *error);
/* The PEM reference file that stands for the key in programs that take only key files. NUL behind `length`. */
KW_MUST_USE KW_API kw_status kw_certificate_reference(kw_context *context, const char *address, kw_bytes *pem,
                                                      kw_error *error);

/* Takes the entry out of use: its certificate is kept for old data and no longer required. A database takes all that is its own
 * with it. Errors: KW_NOT_FOUND, KW_REFUSED (retired already). */
KW_MUST_USE KW_API kw_status kw_certificate_retire(kw_context *context, const char *address, kw_event_callback event,
                                                   void *user, kw_error *error);
/* Removes certificate and key for good. With `force` also one that is required; one whose rows are damaged, and one that is not required and whose
 * store cannot be opened, without their keys. Errors: KW_NOT_FOUND, KW_REFUSED (required and no `force`; or something depends on it),
 * whatever the store answers. */
KW_MUST_USE KW_API kw_status kw_certificate_delete(kw_context *context, const char *address, bool force,
                                                   kw_error *error);

/* ---- Keys that move ------------------------------------------------------------------------------------------------ */

typedef struct kw_transfer_options {
    size_t size;
    const char *const *addresses; /* these: of an entry all its certificates, of CERT@N this one; or */
    size_t address_count;
    const char *database; /* the keys of a database: its own, and those of the master keys that serve it; or */
    bool everything;      /* all server keys: of databases and of master keys */
    const char *store;    /* where they go: a name */
    uint32_t wait_ms;     /* for what other processes still do with the keys where they were; 0: 60 s */
} kw_transfer_options;

/*
 * Moves keys to another store, while they are in use. Whatever can be refused is refused before anything is touched: KW_UNSUPPORTED where
 * the target cannot take a key or could not undo what was encrypted to it, or the source does not give it out; the remedy is
 * a new key in the target (kw_rotate). A key is deleted where it was only after its copy has proved that it does all that the key does, the
 * catalogue names it, and no process can use the old one any more. A process that delays that is named by a warning, and the
 * old copy then goes at a later kw_open. Killed anywhere, the key stays usable, and the next kw_open finishes or goes back. Called again, it goes
 * on with what is left; a key that is there already is told by `event`. Two certificates with one key move together. Errors:
 * KW_INVALID_ARGUMENT, KW_NOT_FOUND, KW_UNSUPPORTED, KW_CONFLICT (somebody else transfers the key, or changed its certificate), KW_REFUSED (the
 * copy is not what it must be), and whatever the stores answer; keys that `event` has told of as moved have moved.
 */
KW_MUST_USE KW_API kw_status kw_transfer(kw_context *context, const kw_transfer_options *options,
                                         kw_event_callback event, void *user, kw_error *error);

typedef struct kw_rotate_options {
    size_t size;
    const char *address;
    bool new_key;                  /* a new key pair and certificate; else a master key's new root secret (subkeys.h) */
    const char *store;             /* for the new key; NULL: where the configuration says */
    unsigned retire;               /* not 0: in place of all that, this version of a master key's root is retired */
    const char *recovery_key_path; /* with new_key, once the old key is lost: the recovery certificate's private key */
    const char *recovery_password_source; /* NULL: prompt when one is needed */
    bool force; /* with `retire`, of a master key that is out of use: also what was not sealed anew, which is lost */
    const char *key; /* with new_key: its type, rsa-3072, ...; NULL: as configured, else that of the present one */
} kw_rotate_options;

/*
 * With new_key: makes a new key and a certificate for it, as the entry's present one, which stays as a former one for what was encrypted to
 * it. A master key's root secrets are wrapped to its new key; where the old one is lost, they are had back by the recovery key, if they were wrapped to its certificate
 * (`subkeys.recovery_certificate`).
 *
 * Without: a master key gets a new root for what is sealed from now on; those before open what was sealed under them. Once that was sealed anew (kw_reseal, of
 * everything) and nothing is derived from it, a version may be retired.
 *
 * Errors: KW_NOT_FOUND, KW_REFUSED (the certificate is a CA's; the entry is retired; not a master key; a version that is still needed, and
 * by what; roots that are not wrapped to the recovery key; without `store`, where the configuration would have the new key leave a store that gives out no
 * keys for one that does), KW_UNSUPPORTED (the store, or a new key that could not open roots),
 * KW_CONFLICT (somebody else changed the entry), KW_CORRUPT (a root that the master key did not sign), KW_TIMEOUT (with `retire` and `force`: a process may still
 * seal under the version; names it), and whatever the store answers.
 */
KW_MUST_USE KW_API kw_status kw_rotate(kw_context *context, const kw_rotate_options *options, kw_event_callback event,
                                       void *user, kw_error *error);

typedef struct kw_store_key {
    const char *locator; /* as text, or as hex digits: what kw_adopt takes */
    const char *key;     /* rsa-3072, ...; empty: of another kind, or not readable */
    const char *subject; /* of the certificate beside it, RFC 4514; empty: there is none */
    const char *problem; /* why it cannot be adopted; NULL */
    const char *label;   /* what other programs call it; empty: nothing, or the store does not tell */
} kw_store_key;

typedef struct kw_store_key_list {
    const kw_store_key *keys;
    size_t count;
} kw_store_key_list;

/* The keys in a store that no certificate names, and nobody is making or moving. Errors: KW_NOT_FOUND, KW_UNSUPPORTED (it cannot list). */
KW_MUST_USE KW_API kw_status kw_store_keys(kw_context *context, const char *store, kw_store_key_list **list,
                                           kw_error *error);
KW_API void kw_store_key_list_free(kw_store_key_list *list);

typedef struct kw_adopt_options {
    size_t size;
    const char *store;
    const char *locator;          /* as kw_store_keys tells it */
    const char *address;          /* of an entry that is not in use */
    const char *const *databases; /* master-key: which databases it serves */
    size_t database_count;
} kw_adopt_options;

/*
 * Takes over a key that another program made. The certificate beside it in the store is taken when it is self-signed and what the kind's
 * own would be; else a new one is made, and what is beside the key stays. From then on the key is as any other: kw_certificate_delete
 * deletes it. Errors: KW_NOT_FOUND (store, or no such key in it), KW_EXISTS (the entry is in use, or a certificate has
 * the key), KW_REFUSED, KW_UNSUPPORTED (the key is of no kind that there is, or the kind cannot have it), and whatever the store answers.
 */
KW_MUST_USE KW_API kw_status kw_adopt(kw_context *context, const kw_adopt_options *options, kw_event_callback event,
                                      void *user, kw_error *error);

/* ---- Export and import -------------------------------------------------------------------------------------------- */

typedef struct kw_export_options {
    size_t size;
    const char *const *addresses; /* these, or */
    size_t address_count;
    const char *database;        /* all of a database, or */
    bool everything;             /* all that kinds allow */
    const char *path;            /* file; a directory when each goes into its own. NULL: the configured directory */
    bool separate;               /* one file each; else as configured */
    bool together;               /* one file for all, whatever is configured */
    const char *password_source; /* NULL: prompt, asked twice */
    kw_bytes *content; /* not NULL: the one file's content goes here and no file is written; `separate` is refused */
    bool
        with_derived_keys; /* also the keys that are derived, which the file then has a copy of; else it says how to derive them */
} kw_export_options;

/*
 * Writes PKCS#12 (.pfx) of mode 0600 with keys, certificates and what import needs to put them in place. A key that its store does
 * not give out is represented by a reference. Written beside and renamed: an existing file is replaced whole or not at all. `event`
 * names each file. Errors: KW_NOT_FOUND, KW_REFUSED (a kind that is never exported, named), KW_INVALID_ARGUMENT (empty password).
 */
KW_MUST_USE KW_API kw_status kw_export(kw_context *context, const kw_export_options *options, kw_event_callback event,
                                       void *user, kw_error *error);

typedef struct kw_import_options {
    size_t size;
    const char *path;            /* .pfx/.p12, .pem/.crt/.cer/.der/.p7b; known by content */
    const char *key_path;        /* the private key when `path` holds only a certificate */
    const char *address;         /* --as; NULL: the addresses in the file */
    const char *store;           /* NULL: where the configuration says */
    const char *password_source; /* NULL: prompt when one is needed */
    bool allow_no_mac;
    kw_input content;     /* data not NULL: the file's content; `path` is then its name in messages alone */
    kw_input key_content; /* likewise for key_path */
} kw_import_options;

/*
 * All or nothing. An entry that exists with the same certificate is left as it is (told by `event`).
 *
 * With `address`, of a kind that a certificate of one's own may replace (ssl-connection, general): the certificate becomes the
 * current one, and the one before it stays as a former one. A file without a private key is then the reply to a request: its key is the
 * one that the entry has. A CA's certificate is checked (docs/certificates.md has the list): path to a trusted CA, use, validity,
 * names, revocation lists, which are fetched.
 *
 * Errors: KW_SECRET_REFUSED
 * (password), KW_CORRUPT, KW_EXISTS (another certificate is there), KW_REFUSED (a rule of the kind, named), KW_UNSUPPORTED,
 * KW_INVALID_ARGUMENT (no address).
 */
KW_MUST_USE KW_API kw_status kw_import(kw_context *context, const kw_import_options *options, kw_event_callback event,
                                       void *user, kw_error *error);

/* ---- Using keys ------------------------------------------------------------------------------------------------------ */

/* A handle on the key of a certificate, for hot paths. Any thread; free it before kw_close. */
typedef struct kw_key kw_key;

/* Errors: KW_NOT_FOUND, KW_CORRUPT, and whatever the store answers. */
KW_MUST_USE KW_API kw_status kw_key_open(kw_context *context, const char *address, kw_key **key, kw_error *error);
/* The public key alone, from the certificate: for verify and encrypt; opens no store. Private operations are KW_UNSUPPORTED. */
KW_MUST_USE KW_API kw_status kw_key_open_public(kw_context *context, const char *address, kw_key **key,
                                                kw_error *error);
KW_API void kw_key_free(kw_key *key);
/* What it can do. */
KW_API const kw_key_capabilities *kw_key_get_capabilities(const kw_key *key);
/* SubjectPublicKeyInfo; lives as long as the key. */
KW_API kw_input kw_key_get_public(const kw_key *key);

/*
 * The one road of private-key operations. `algorithm` as in plugin.h; NULL for sign: SHA-256 over the message, PSS for RSA (salt as
 * long as the hash), ECDSA or EdDSA; NULL for decrypt: OAEP with SHA-256. Messages are hashed here, so the store sees digests alone,
 * except for EdDSA. KW_SCHEME_RSA_PKCS1 decrypts only where the certificate's settings say `pkcs1_decrypt: true` (else
 * KW_REFUSED); an invalid ciphertext then gives a pseudo-random message and never an error (implicit rejection). Output as in
 * plugin.h: `data` NULL or too small gives KW_BUFFER_TOO_SMALL and the length, without a call to the store. Errors:
 * KW_UNSUPPORTED, KW_INVALID_ARGUMENT, KW_CIPHERTEXT_INVALID, and whatever the store answers. An RSA key whose certificate says id-RSASSA-PSS (RFC 4055)
 * signs by PSS alone, with the hash, the mask and at least the salt that the certificate names; NULL for sign takes these. Anything else is KW_UNSUPPORTED.
 */
KW_MUST_USE KW_API kw_status kw_key_sign(kw_key *key, const kw_algorithm *algorithm, kw_input input,
                                         kw_output *signature, kw_error *error);
KW_MUST_USE KW_API kw_status kw_key_decrypt(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext,
                                            kw_output *plaintext, kw_error *error);
/* ECDH with a peer's SubjectPublicKeyInfo; no KDF. */
KW_MUST_USE KW_API kw_status kw_key_derive(kw_key *key, kw_input peer, kw_output *shared, kw_error *error);
/* With the public key alone; no call to the store. Errors: KW_SIGNATURE_INVALID. */
KW_MUST_USE KW_API kw_status kw_key_verify(kw_key *key, const kw_algorithm *algorithm, kw_input input,
                                           kw_input signature, kw_error *error);
/* RSA-OAEP to the public key; no call to the store. Errors: KW_INVALID_ARGUMENT (too long; says how long it may be). */
KW_MUST_USE KW_API kw_status kw_key_encrypt(kw_key *key, const kw_algorithm *algorithm, kw_input plaintext,
                                            kw_output *ciphertext, kw_error *error);

/*
 * CMS EnvelopedData (RFC 5652) to one certificate: AES-256-CBC content, RSA-OAEP with SHA-256 or ECDH (RFC 5753) for the key. Decryption
 * takes DER or PEM, RSA with PKCS#1 v1.5 or OAEP and EC recipients. Errors: KW_UNSUPPORTED (the key cannot decrypt),
 * KW_CIPHERTEXT_INVALID (malformed, changed, or not for this certificate).
 */
KW_MUST_USE KW_API kw_status kw_cms_encrypt(kw_context *context, const char *address, kw_input plaintext, kw_bytes *cms,
                                            kw_error *error);
KW_MUST_USE KW_API kw_status kw_cms_decrypt(kw_context *context, const char *address, kw_input cms, kw_bytes *plaintext,
                                            kw_error *error);

/* ---- The OpenSSL module -------------------------------------------------------------------------------------------------- */

/*
 * All that the loadable OpenSSL module (ossl-modules/keywright) consists of, with the arguments and the result of OSSL_provider_init,
 * provider-base(7). OSSL_STORE opens keywright:ADDRESS, lists and searches, and programs that take key files read what
 * kw_certificate_reference writes, with the configuration that `config` in the module's section of openssl.cnf names, else that of kw_open,
 * at the first use; `prompt` sources ask as the program asks for a key's pass phrase. docs/openssl.md has all of it. Other programs than that
 * module have no use for it.
 */
struct ossl_core_handle_st;
struct ossl_dispatch_st;
KW_API int kw_openssl_provider_init(const struct ossl_core_handle_st *handle, const struct ossl_dispatch_st *in,
                                    const struct ossl_dispatch_st **out, void **context);

#ifdef __cplusplus
}
#endif

#endif
