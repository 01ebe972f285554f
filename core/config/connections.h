/* Of `connections:`: what is known of a protocol before anything is connected, and what the table alone cannot check. */
#ifndef KEYWRIGHT_CONFIG_CONNECTIONS_H
#define KEYWRIGHT_CONFIG_CONNECTIONS_H

#include "config/settings_table.h"

#define CONNECTION_STORE_KEY "keywright:" /* before the address of a key in a store, as in a URI */

/* From plaintext to full verification, as PostgreSQL's libpq names them and says what each does. */
enum connection_mode {
    CONNECTION_DISABLE,
    CONNECTION_ALLOW,
    CONNECTION_PREFER,
    CONNECTION_REQUIRE,
    CONNECTION_VERIFY_CA,
    CONNECTION_VERIFY_FULL,
    CONNECTION_MODE_COUNT
};

struct connection_protocol {
    const char *name;
    unsigned port;       /* where its servers listen; 0: it has no port of its own */
    bool tls_from_start; /* and no other way: a mode that allows plaintext is a mistake */
    bool user;           /* a check goes as far as to say who it is */
};

/* Of a name that the settings took; of any other NULL. */
const struct connection_protocol *connection_protocol_find(const char *name);
/* What the settings took; CONNECTION_MODE_COUNT for any other text: never a mode. */
enum connection_mode connection_mode_find(const char *name);
const char *connection_mode_name(enum connection_mode mode);

/* The rows of one connection. */
extern const struct setting_table connection_table;
extern const struct setting_entries connection_entries;

/*
 * What concerns several settings of one connection: a port where the protocol has none, plaintext where it has none, a certificate without a
 * key, and the like; then fills in what is not set. KW_CONFIGURATION with the place.
 */
KW_MUST_USE kw_status connections_settle(struct settings *settings, kw_error *error);

#endif
