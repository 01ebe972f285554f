#include "config/settings_table.h"
#include "config/connections.h"

#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const key_names[] = {"rsa-2048", "rsa-3072", "rsa-4096", "ec-p256",
                                        "ec-p384",  "ec-p521",  "ed25519",  NULL};

static const struct setting store_rows[] = {
    {
        .name = "id",
        .type = SETTING_STORE_ID,
        .required = true,
        .offset = offsetof(struct store_settings, id),
        .place_offset = NO_OFFSET,
        .help = "What the catalogue knows the store by: 8 to 32 hex digits, made once, never changed",
    },
    {
        .name = "plugin",
        .type = SETTING_PLUGIN,
        .required = true,
        .offset = offsetof(struct store_settings, plugin),
        .place_offset = offsetof(struct store_settings, plugin_place),
        .help = "The plugin's name, such as softstore, or the absolute path of its module",
    },
    {
        .name = "options",
        .type = SETTING_OPTIONS,
        .offset = offsetof(struct store_settings, options),
        .count_offset = offsetof(struct store_settings, option_count),
        .place_offset = NO_OFFSET,
        .help = "The plugin's options; `keywright plugins NAME` lists them",
    },
};
static const struct setting_table store_table = {store_rows, COUNT(store_rows)};
static const struct setting_entries store_entries = {
    .size = sizeof(struct store_settings),
    .name_offset = offsetof(struct store_settings, name),
    .place_offset = offsetof(struct store_settings, place),
    .name_is_valid = store_name_is_valid,
    .reserved = SETTINGS_RESERVED_STORE,
    .reserved_for = "the store of the library's own, whose keys are derived from master keys",
    .name_pattern = STORE_NAME_PATTERN,
    .name_rule = "up to 63 letters, digits, '_', '.' and '-', the first a letter or a digit",
    .minimum = 1,
    .maximum = 1000,
};

static const struct setting database_rows[] = {
    {
        .name = "store",
        .type = SETTING_STORE,
        .required = true,
        .offset = offsetof(struct database_settings, store),
        .place_offset = NO_OFFSET,
        .help = "Where the keys of the database, and of the master keys that serve it, are made",
    },
};
static const struct setting_table database_table = {database_rows, COUNT(database_rows)};
static const struct setting_entries database_entries = {
    .size = sizeof(struct database_settings),
    .name_offset = offsetof(struct database_settings, name),
    .place_offset = offsetof(struct database_settings, place),
};

static const struct setting certificate_rows[] = {
    {
        .name = "hosts",
        .type = SETTING_HOSTS,
        .offset = offsetof(struct certificate_settings, hosts),
        .count_offset = offsetof(struct certificate_settings, host_count),
        .place_offset = offsetof(struct certificate_settings, hosts_place),
        .help = "Names and IP addresses that the certificate is valid for; by default those of this machine",
    },
    {
        .name = "key",
        .type = SETTING_CHOICE,
        .offset = offsetof(struct certificate_settings, key),
        .place_offset = offsetof(struct certificate_settings, key_place),
        .choices = key_names,
        .help = "The type of new keys",
    },
    {
        .name = "store",
        .type = SETTING_STORE,
        .offset = offsetof(struct certificate_settings, store),
        .place_offset = NO_OFFSET,
        .help = "Where new keys are made, whatever the database says",
    },
    {
        .name = "common_name",
        .type = SETTING_TEXT,
        .offset = offsetof(struct certificate_settings, common_name),
        .place_offset = offsetof(struct certificate_settings, common_name_place),
        .maximum = 64, /* X.520's ub-common-name */
        .help = "The subject's common name, for the kinds that let it be chosen",
    },
    {
        .name = "subject",
        .type = SETTING_TEXT,
        .offset = offsetof(struct certificate_settings, subject),
        .place_offset = offsetof(struct certificate_settings, subject_place),
        .maximum = 1024,
        .help = "The whole subject of a general certificate, such as CN=www.example,O=Example",
    },
    {
        .name = "extended_key_usage",
        .type = SETTING_USAGES,
        .offset = offsetof(struct certificate_settings, usages),
        .count_offset = offsetof(struct certificate_settings, usage_count),
        .place_offset = offsetof(struct certificate_settings, usages_place),
        .help = "What a general certificate may be used for: serverAuth, clientAuth, codeSigning, emailProtection, "
                "timeStamping, OCSPSigning, or object identifiers; without it, for anything",
    },
    {
        .name = "local_addresses",
        .type = SETTING_FLAG,
        .offset = offsetof(struct certificate_settings, local_addresses),
        .place_offset = NO_OFFSET,
        .help = "Whether this machine's loopback and link-local addresses count as hosts too",
    },
    {
        .name = "pkcs1_decrypt",
        .type = SETTING_FLAG,
        .offset = offsetof(struct certificate_settings, pkcs1_decrypt),
        .place_offset = NO_OFFSET,
        .help = "Whether programs may decrypt RSA PKCS#1 v1.5 directly, and not inside of CMS alone",
    },
};
static const struct setting_table certificate_table = {certificate_rows, COUNT(certificate_rows)};
static const struct setting_entries certificate_entries = {
    .size = sizeof(struct certificate_settings),
    .name_offset = offsetof(struct certificate_settings, address),
    .place_offset = offsetof(struct certificate_settings, place),
};

static const struct setting export_rows[] = {
    {
        .name = "directory",
        .type = SETTING_PATH,
        .offset = offsetof(struct settings, export_directory),
        .place_offset = NO_OFFSET,
        .help = "Where exports go that name no place",
    },
    {
        .name = "one_file_each",
        .type = SETTING_BOOLEAN,
        .offset = offsetof(struct settings, export_one_file_each),
        .place_offset = NO_OFFSET,
        .help = "Whether an export is one file for each certificate instead of one for all",
    },
};
static const struct setting_table export_table = {export_rows, COUNT(export_rows)};

static const struct setting licence_rows[] = {
    {
        .name = "issuer",
        .type = SETTING_PATH,
        .offset = offsetof(struct settings, licence_issuer),
        .place_offset = offsetof(struct settings, licence_issuer_place),
        .help = "The certificate (PEM or DER) of whoever issues licences for this server",
    },
    {
        .name = "machine_id_file",
        .type = SETTING_PATH,
        .offset = offsetof(struct settings, machine_id_file),
        .place_offset = NO_OFFSET,
        .help = "Where the machine's id is, instead of /etc/machine-id: 32 hex digits, for containers",
    },
};
static const struct setting_table licence_table = {licence_rows, COUNT(licence_rows)};

static const struct setting trust_rows[] = {
    {
        .name = "authorities",
        .type = SETTING_PATHS,
        .offset = offsetof(struct trust_settings, authorities),
        .count_offset = offsetof(struct trust_settings, authority_count),
        .place_offset = offsetof(struct trust_settings, authorities_place),
        .help = "Files with root certificates of CAs that are trusted: PEM or DER, also several in one",
    },
    {
        .name = "intermediates",
        .type = SETTING_PATHS,
        .offset = offsetof(struct trust_settings, intermediates),
        .count_offset = offsetof(struct trust_settings, intermediate_count),
        .place_offset = offsetof(struct trust_settings, intermediates_place),
        .help = "Files with certificates of intermediate CAs, which complete a path but are not trusted by themselves",
    },
    {
        .name = "system_roots",
        .type = SETTING_FLAG,
        .offset = offsetof(struct trust_settings, system_roots),
        .place_offset = NO_OFFSET,
        .help = "Whether the roots that the system trusts are trusted too; by default they are",
    },
    {
        .name = "crl_timeout",
        .type = SETTING_DURATION,
        .offset = offsetof(struct trust_settings, crl_timeout),
        .place_offset = NO_OFFSET,
        .maximum = 600000,
        .help = "How long fetching one certificate revocation list may take, such as 10s, the default",
    },
    {
        .name = "crl_maximum_bytes",
        .type = SETTING_SIZE,
        .offset = offsetof(struct trust_settings, crl_maximum_bytes),
        .place_offset = NO_OFFSET,
        .maximum = 268435456,
        .help = "How large a certificate revocation list may be; by default 16777216",
    },
};
static const struct setting_table trust_table = {trust_rows, COUNT(trust_rows)};

static const struct setting subkeys_rows[] = {
    {
        .name = "max_entries",
        .type = SETTING_COUNT,
        .offset = offsetof(struct subkey_settings, max_entries),
        .place_offset = NO_OFFSET,
        .maximum = 10000000,
        .help = "How many subkeys a process keeps in memory beside those in use; by default 10000",
    },
    {
        .name = "outage_limit",
        .type = SETTING_DURATION,
        .offset = offsetof(struct subkey_settings, outage_limit),
        .place_offset = NO_OFFSET,
        .maximum = 31536000000,
        .help = "How long subkeys serve on while the store of their master key cannot be reached, such as 15m, the "
                "default",
    },
    {
        .name = "max_age",
        .type = SETTING_DURATION,
        .offset = offsetof(struct subkey_settings, max_age),
        .place_offset = NO_OFFSET,
        .maximum = 31536000000,
        .help = "After which time a root in memory is read from its store anew, such as 24h; by default never",
    },
    {
        .name = "recovery_certificate",
        .type = SETTING_PATH,
        .offset = offsetof(struct subkey_settings, recovery_certificate),
        .place_offset = offsetof(struct subkey_settings, recovery_certificate_place),
        .help = "A certificate whose private key is kept elsewhere: with it roots are had back when the HSM is lost",
    },
};
static const struct setting_table subkeys_table = {subkeys_rows, COUNT(subkeys_rows)};

static const struct setting rows[] = {
    {
        .name = "version",
        .type = SETTING_VERSION,
        .required = true,
        .offset = NO_OFFSET,
        .place_offset = NO_OFFSET,
        .help = "The version of the configuration's format",
    },
    {
        .name = "state",
        .type = SETTING_PATH,
        .required = true,
        .offset = offsetof(struct settings, state),
        .place_offset = NO_OFFSET,
        .help = "The directory of the catalogue",
    },
    {
        .name = "catalogue_key",
        .type = SETTING_SOURCE,
        .required = true,
        .offset = offsetof(struct settings, catalogue_key),
        .place_offset = NO_OFFSET,
        .help = "The secret under which the catalogue's rows are protected against changes",
    },
    {
        .name = "store",
        .type = SETTING_STORE,
        .required = true,
        .offset = offsetof(struct settings, default_store),
        .place_offset = NO_OFFSET,
        .help = "Where new keys are made, unless `databases` or `certificates` says otherwise",
    },
    {
        .name = "stores",
        .type = SETTING_ENTRIES,
        .required = true,
        .offset = offsetof(struct settings, stores),
        .count_offset = offsetof(struct settings, store_count),
        .place_offset = NO_OFFSET,
        .table = &store_table,
        .entries = &store_entries,
        .help = "The stores by name",
    },
    {
        .name = "databases",
        .type = SETTING_ENTRIES,
        .offset = offsetof(struct settings, databases),
        .count_offset = offsetof(struct settings, database_count),
        .place_offset = NO_OFFSET,
        .table = &database_table,
        .entries = &database_entries,
        .help = "Settings of databases by name; '*' stands for those that are not named",
    },
    {
        .name = "certificates",
        .type = SETTING_ENTRIES,
        .offset = offsetof(struct settings, certificates),
        .count_offset = offsetof(struct settings, certificate_count),
        .place_offset = NO_OFFSET,
        .table = &certificate_table,
        .entries = &certificate_entries,
        .help = "Settings by kind (ssl-connection) or, for one certificate, by address (general/www)",
    },
    {
        .name = "plugin_directories",
        .type = SETTING_PATHS,
        .offset = offsetof(struct settings, plugin_directories),
        .count_offset = offsetof(struct settings, plugin_directory_count),
        .place_offset = NO_OFFSET,
        .help = "Where plugins are looked for, in this order; by default the directory that they are installed to",
    },
    {
        .name = "allow_inline_secrets",
        .type = SETTING_BOOLEAN,
        .offset = offsetof(struct settings, allow_inline_secrets),
        .place_offset = NO_OFFSET,
        .help = "Whether a secret may stand in this file itself, as inline:TEXT",
    },
    {
        .name = "export",
        .type = SETTING_TABLE,
        .offset = 0,
        .place_offset = NO_OFFSET,
        .table = &export_table,
        .help = "Defaults of exports",
    },
    {
        .name = "licence",
        .type = SETTING_TABLE,
        .offset = 0,
        .place_offset = NO_OFFSET,
        .table = &licence_table,
        .help = "Offline licences",
    },
    {
        .name = "trust",
        .type = SETTING_TABLE,
        .offset = offsetof(struct settings, trust),
        .place_offset = NO_OFFSET,
        .table = &trust_table,
        .help = "The CAs whose certificates are accepted, and how it is checked that they are not revoked",
    },
    {
        .name = "subkeys",
        .type = SETTING_TABLE,
        .offset = offsetof(struct settings, subkeys),
        .place_offset = NO_OFFSET,
        .table = &subkeys_table,
        .help = "What is kept in memory of master keys' roots and subkeys",
    },
    {
        .name = "connections",
        .type = SETTING_ENTRIES,
        .offset = offsetof(struct settings, connections),
        .count_offset = offsetof(struct settings, connection_count),
        .place_offset = NO_OFFSET,
        .table = &connection_table,
        .entries = &connection_entries,
        .help = "Connections to servers over TLS, as a client, by name; `keywright connection check NAME` tries one",
    },
};
const struct setting_table settings_table = {rows, COUNT(rows)};
