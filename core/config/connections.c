#include "config/connections.h"

#include <stddef.h>
#include <string.h>

#define COUNT(array)       (sizeof(array) / sizeof((array)[0]))
#define PORT_MAXIMUM       65535
#define TIMEOUT_DEFAULT_MS 10000
#define TIMEOUT_MAXIMUM_MS 600000
#define NAME_MAXIMUM       255

/* In the order of the names below. */
static const struct connection_protocol protocols[] = {
    {.name = "tls", .tls_from_start = true},
    {.name = "postgresql", .port = 5432, .user = true},
    {.name = "mysql", .port = 3306, .user = true},
    {.name = "mariadb", .port = 3306, .user = true},
    {.name = "mongodb", .port = 27017},
    {.name = "sqlserver", .port = 1433},
    {.name = "sqlserver-strict", .port = 1433, .tls_from_start = true},
};
static const char *const protocol_names[] = {
    "tls", "postgresql", "mysql", "mariadb", "mongodb", "sqlserver", "sqlserver-strict", NULL,
};

static const char *const mode_names[] = {
    [CONNECTION_DISABLE] = "disable", [CONNECTION_ALLOW] = "allow",         [CONNECTION_PREFER] = "prefer",
    [CONNECTION_REQUIRE] = "require", [CONNECTION_VERIFY_CA] = "verify-ca", [CONNECTION_VERIFY_FULL] = "verify-full",
    [CONNECTION_MODE_COUNT] = NULL,
};

const struct connection_protocol *connection_protocol_find(const char *name)
{
    for (size_t i = 0; i < COUNT(protocols); i++) {
        if (strcmp(protocols[i].name, name) == 0)
            return &protocols[i];
    }
    return NULL;
}

enum connection_mode connection_mode_find(const char *name)
{
    enum connection_mode mode = CONNECTION_DISABLE;
    while (mode < CONNECTION_MODE_COUNT && strcmp(mode_names[mode], name) != 0)
        mode++;
    return mode;
}

const char *connection_mode_name(enum connection_mode mode)
{
    return mode_names[mode];
}

/* ---- The table ---- */

static const struct setting connection_rows[] = {
    {
        .name = "protocol",
        .type = SETTING_CHOICE,
        .required = true,
        .offset = offsetof(struct connection_settings, protocol),
        .place_offset = NO_OFFSET,
        .choices = protocol_names,
        .help = "What the server speaks: tls (TLS and nothing else), postgresql, mysql, mariadb, mongodb, sqlserver "
                "(TDS, which begins TLS within itself) or sqlserver-strict (TDS 8.0, within TLS)",
    },
    {
        .name = "host",
        .type = SETTING_HOST,
        .required = true,
        .offset = offsetof(struct connection_settings, host),
        .place_offset = NO_OFFSET,
        .help = "The server's name or IP address, which verify-full looks for in its certificate",
    },
    {
        .name = "port",
        .type = SETTING_PORT,
        .offset = offsetof(struct connection_settings, port),
        .place_offset = NO_OFFSET,
        .maximum = PORT_MAXIMUM,
        .help = "Where the server listens; by default the protocol's: postgresql 5432, mysql and mariadb 3306, "
                "mongodb 27017, sqlserver 1433; tls has none",
    },
    {
        .name = "mode",
        .type = SETTING_CHOICE,
        .offset = offsetof(struct connection_settings, mode),
        .place_offset = offsetof(struct connection_settings, mode_place),
        .choices = mode_names,
        .help = "disable (plaintext), allow (plaintext, else TLS), prefer (TLS, else plaintext), require (TLS), "
                "verify-ca (TLS with a certificate of a trusted authority) or verify-full (that, and for this host), "
                "which is the default",
    },
    {
        .name = "ca",
        .type = SETTING_PATHS,
        .offset = offsetof(struct connection_settings, authorities),
        .count_offset = offsetof(struct connection_settings, authority_count),
        .place_offset = offsetof(struct connection_settings, authorities_place),
        .help = "Files with the certificates of the authorities that are trusted, and no others; without it those that "
                "this system trusts",
    },
    {
        .name = "client_certificate",
        .type = SETTING_PATH,
        .offset = offsetof(struct connection_settings, client_certificate),
        .place_offset = offsetof(struct connection_settings, client_certificate_place),
        .help = "File with the certificate that is shown to the server, and its intermediates",
    },
    {
        .name = "client_key",
        .type = SETTING_KEY,
        .offset = offsetof(struct connection_settings, client_key),
        .place_offset = offsetof(struct connection_settings, client_key_place),
        .help =
            "Its private key: a file, or keywright:ADDRESS, such as keywright:general/db-client, for one in a store, "
            "whose certificate needs no file",
    },
    {
        .name = "client_key_password",
        .type = SETTING_SOURCE,
        .offset = offsetof(struct connection_settings, client_key_password),
        .place_offset = offsetof(struct connection_settings, client_key_password_place),
        .help = "Where the password of the private key's file comes from; not set where it has none",
    },
    {
        .name = "user",
        .type = SETTING_TEXT,
        .offset = offsetof(struct connection_settings, user),
        .place_offset = offsetof(struct connection_settings, user_place),
        .maximum = NAME_MAXIMUM,
        .help = "Who a check says that it is, to postgresql, mysql and mariadb, which may want TLS or a certificate of "
                "some "
                "users alone; it does not log in",
    },
    {
        .name = "database",
        .type = SETTING_TEXT,
        .offset = offsetof(struct connection_settings, database),
        .place_offset = offsetof(struct connection_settings, database_place),
        .maximum = NAME_MAXIMUM,
        .help = "Which database a check asks a postgresql server for; by default postgres",
    },
    {
        .name = "timeout",
        .type = SETTING_DURATION,
        .offset = offsetof(struct connection_settings, timeout),
        .place_offset = NO_OFFSET,
        .maximum = TIMEOUT_MAXIMUM_MS,
        .help = "How long connecting, the TLS handshake and the answer may take together; by default 10s",
    },
};
const struct setting_table connection_table = {connection_rows, COUNT(connection_rows)};
const struct setting_entries connection_entries = {
    .size = sizeof(struct connection_settings),
    .name_offset = offsetof(struct connection_settings, name),
    .place_offset = offsetof(struct connection_settings, place),
    .name_is_valid = store_name_is_valid,
    .name_pattern = STORE_NAME_PATTERN,
    .name_rule = "up to 63 letters, digits, '_', '.' and '-', the first a letter or a digit",
};

/* ---- What concerns several of them ---- */

static kw_status settle_mode(const struct settings *settings, struct connection_settings *connection,
                             const struct connection_protocol *protocol, kw_error *error)
{
    if (connection->mode == NULL)
        connection->mode = mode_names[CONNECTION_VERIFY_FULL];
    if (!protocol->tls_from_start || connection_mode_find(connection->mode) >= CONNECTION_REQUIRE)
        return KW_OK;
    settings_error(settings, connection->mode_place, error, "'mode' cannot be '%s': %s has no plaintext",
                   connection->mode, protocol->name);
    error_remedy(error, "it can be require, verify-ca, verify-full");
    return KW_CONFIGURATION;
}

static bool key_in_store(const struct connection_settings *connection)
{
    return strncmp(connection->client_key, CONNECTION_STORE_KEY, strlen(CONNECTION_STORE_KEY)) == 0;
}

static kw_status settle_key(const struct settings *settings, const struct connection_settings *connection,
                            kw_error *error)
{
    if (connection->client_key == NULL) {
        const bool certificate = connection->client_certificate != NULL;
        if (!certificate && connection->client_key_password == NULL)
            return KW_OK;
        settings_error(settings,
                       certificate ? connection->client_certificate_place : connection->client_key_password_place,
                       error, "'%s' lacks 'client_key', which '%s' belongs to", connection->name,
                       certificate ? "client_certificate" : "client_key_password");
        error_remedy(error, "add client_key: the file with the private key, or keywright:ADDRESS");
        return KW_CONFIGURATION;
    }
    if (key_in_store(connection)) {
        if (connection->client_key_password == NULL)
            return KW_OK;
        settings_error(settings, connection->client_key_password_place, error,
                       "'client_key_password' is of a file, and the key is in a store");
        error_remedy(error, "leave it out");
        return KW_CONFIGURATION;
    }
    if (connection->client_certificate != NULL)
        return KW_OK;
    settings_error(settings, connection->client_key_place, error, "'%s' lacks 'client_certificate'", connection->name);
    error_remedy(error, "add client_certificate: the file with the certificate of this key");
    return KW_CONFIGURATION;
}

static kw_status settle_who(const struct settings *settings, const struct connection_settings *connection,
                            const struct connection_protocol *protocol, kw_error *error)
{
    if (connection->user != NULL && !protocol->user)
        return settings_error(settings, connection->user_place, error, "a check tells no 'user' to a server of %s",
                              protocol->name);
    if (connection->database != NULL && strcmp(protocol->name, "postgresql") != 0)
        return settings_error(settings, connection->database_place, error,
                              "a check tells no 'database' to a server of %s", protocol->name);
    return KW_OK;
}

kw_status connections_settle(struct settings *settings, kw_error *error)
{
    for (size_t i = 0; i < settings->connection_count; i++) {
        struct connection_settings *connection = &settings->connections[i];
        const struct connection_protocol *protocol = connection_protocol_find(connection->protocol);
        if (connection->port == 0 && protocol->port == 0) {
            settings_error(settings, connection->place, error, "'%s' lacks 'port': %s has none of its own",
                           connection->name, protocol->name);
            error_remedy(error, "add port: where the server listens");
            return KW_CONFIGURATION;
        }
        if (connection->port == 0)
            connection->port = protocol->port;
        if (connection->timeout == 0)
            connection->timeout = TIMEOUT_DEFAULT_MS;
        kw_status status = settle_mode(settings, connection, protocol, error);
        if (status == KW_OK)
            status = settle_key(settings, connection, error);
        if (status == KW_OK)
            status = settle_who(settings, connection, protocol, error);
        if (status != KW_OK)
            return status;
    }
    return KW_OK;
}
