/*
 * The configuration file as checked, typed settings. One const table says which keys there are, of what type, and what they are for;
 * checking, the nearest-name hint and the JSON schema all come from it. Settings never change after they are read.
 */
#ifndef KEYWRIGHT_CONFIG_SETTINGS_H
#define KEYWRIGHT_CONFIG_SETTINGS_H

#include "base/arena.h"
#include "config/value.h"
#include "config/yaml.h"

#include <stdatomic.h>

struct place {
    unsigned line, column;
};

/* One option of a store, not yet held against the plugin's table. Scalars alone. */
struct option_setting {
    char *name;
    char *text;
    struct place name_place, text_place;
};

#define SETTINGS_RESERVED_STORE "derived" /* the library's own store, of keys that are stored nowhere */

struct store_settings {
    char *name;
    char *id;     /* 8 to 32 lower-case hex digits, unique in the file */
    char *plugin; /* a plugin's name, or the absolute path of a module */
    struct option_setting *options;
    size_t option_count;
    struct place place, plugin_place;
};

struct database_settings {
    char *name; /* "*": all */
    char *store;
    struct place place;
};

/* Of `certificates:`, whose keys are kinds (for all of a kind) or addresses (for one, winning over its kind). */
struct certificate_settings {
    char *address; /* kind or address */
    char **hosts;  /* names and IP addresses */
    size_t host_count;
    char *key;           /* NULL: the kind's */
    char *store;         /* NULL */
    char *common_name;   /* NULL: the kind's */
    char *subject;       /* NULL; general alone */
    int local_addresses; /* -1 not set, else 0 or 1: also loopback and link-local addresses in the SAN */
    int pkcs1_decrypt;   /* -1 not set, else 0 or 1: raw PKCS#1 v1.5 decryption is allowed */
    char **usages;       /* extended key usages: names or dotted identifiers; general alone */
    size_t usage_count;
    struct place place, usages_place;
    struct place hosts_place, key_place, common_name_place, subject_place; /* line 0 where it is not set */
};

/* Of `trust:`: which CAs are believed, and how their revocation lists are fetched. */
struct trust_settings {
    char **authorities; /* files with roots; absolute */
    size_t authority_count;
    char **intermediates; /* files with what lies between them and certificates; absolute */
    size_t intermediate_count;
    int system_roots;          /* -1 not set (which means yes), else 0 or 1: the system's roots are believed too */
    int64_t crl_timeout;       /* ms for one list; 0: not set */
    int64_t crl_maximum_bytes; /* of one list; 0: not set */
    struct place authorities_place, intermediates_place;
};

/* Of `subkeys:`: what is kept in memory, and for how long. */
struct subkey_settings {
    int64_t max_entries;        /* 0: not set */
    int64_t outage_limit;       /* ms; 0: not set */
    int64_t max_age;            /* ms; 0: not set, which means for ever */
    char *recovery_certificate; /* absolute, or NULL: each root is wrapped to it too */
    struct place recovery_certificate_place;
};

/* Of `connections:`: how to reach a server over TLS, as a client. */
struct connection_settings {
    char *name;
    char *protocol; /* of connections.h */
    char *host;     /* name or address */
    int64_t port;
    const char *mode;   /* of connections.h */
    char **authorities; /* files; absolute. None: what the system trusts */
    size_t authority_count;
    char *client_certificate;  /* absolute, or NULL */
    char *client_key;          /* absolute, or keywright:ADDRESS, or NULL */
    char *client_key_password; /* a secret source, or NULL */
    char *user, *database;     /* NULL */
    int64_t timeout;           /* ms */
    struct place place;
    struct place mode_place, authorities_place, client_certificate_place, client_key_place, client_key_password_place,
        user_place, database_place; /* line 0 where it is not set */
};

/* One scalar of the file, for telling what has changed. */
struct setting_line {
    const char *name; /* stores.local.options.passphrase; items of a list are numbered from 0 */
    const char *text; /* as written */
};

struct settings {
    atomic_uint references;
    struct setting_line *lines; /* all that is set, by name */
    size_t line_count;
    struct arena memory;       /* of all that follows */
    char *path;                /* absolute, of the file */
    char *directory;           /* absolute, of the file */
    char *state;               /* absolute */
    char *catalogue_key;       /* a secret source; its paths made absolute */
    char *default_store;       /* name */
    char **plugin_directories; /* absolute; none: the one beside the library */
    size_t plugin_directory_count;
    bool allow_inline_secrets;
    char *export_directory; /* absolute, or NULL */
    bool export_one_file_each;
    char *licence_issuer;  /* absolute, or NULL */
    char *machine_id_file; /* absolute, or NULL: the system's */
    struct place licence_issuer_place;
    struct trust_settings trust;
    struct subkey_settings subkeys;
    struct store_settings *stores;
    size_t store_count;
    struct database_settings *databases;
    size_t database_count;
    struct certificate_settings *certificates;
    size_t certificate_count;
    struct connection_settings *connections;
    size_t connection_count;
};

/* Told for each finding that is no error, such as a secret file that others may read. */
typedef void (*settings_warning)(void *user, const char *sentence);

/*
 * Reads and checks. KW_CONFIGURATION with file:line:column for everything that is wrong; KW_NOT_FOUND when there is no file at `path`.
 */
KW_MUST_USE kw_status settings_read(const char *path, settings_warning warning, void *user, struct settings **settings,
                                    kw_error *error);
/* Gives a reference back; with the last one it is freed. */
void settings_free(struct settings *settings);
/* Another reference. */
struct settings *settings_reference(struct settings *settings);

const struct store_settings *settings_store(const struct settings *settings, const char *name);
const struct store_settings *settings_store_by_id(const struct settings *settings, const char *id);
/* The store that `databases:` names for a database ("*" as the fallback), or NULL. */
const char *settings_database_store(const struct settings *settings, const char *database);
const struct connection_settings *settings_connection(const struct settings *settings, const char *name);
/* What holds for an address: its own entry's settings, and its kind's where that one sets nothing. Borrowed strings. */
struct certificate_settings settings_certificate(const struct settings *settings, const char *address);

/* error_at for a place in the settings' file. */
kw_status settings_error(const struct settings *settings, struct place place, kw_error *error, const char *format, ...)
    KW_PRINTF(4, 5);

/* The JSON schema (draft 2020-12) made from the table. */
KW_MUST_USE kw_status settings_schema(kw_bytes *json, kw_error *error);

#endif
