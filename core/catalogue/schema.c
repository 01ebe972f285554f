#include "catalogue/schema.h"

/*
 * For people with sqlite3: ids are hex digits, times are seconds since 1970 (datetime(created, 'unixepoch')), names of states are
 * words. Nothing but Keywright can write a row: `mac` is over all of it.
 *
 * An entry and its current certificate name each other, so the references wait for the end of the transaction.
 */
const char schema_definition[] =
    "CREATE TABLE meta (\n"
    "    id INTEGER PRIMARY KEY CHECK (id = 1),\n"
    "    catalogue_id TEXT NOT NULL,\n"
    "    created INTEGER NOT NULL,\n"
    "    key_check BLOB NOT NULL, -- HMAC of the above: tells a wrong catalogue key\n"
    "    checksum BLOB NOT NULL   -- SHA-256 of the above: tells damage from a wrong key\n"
    ") STRICT;\n"
    "CREATE TABLE store (\n"
    "    id TEXT PRIMARY KEY NOT NULL CHECK (id <> ''),\n"
    "    plugin TEXT NOT NULL,\n"
    "    created INTEGER NOT NULL,\n"
    "    generation INTEGER NOT NULL,\n"
    "    mac BLOB NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE entry (\n"
    "    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 32),\n"
    "    address TEXT NOT NULL UNIQUE,\n"
    "    state TEXT NOT NULL CHECK (state IN ('in use', 'retired')),\n"
    "    databases TEXT NOT NULL, -- names with '/' between them\n"
    "    certificate TEXT REFERENCES certificate (id) DEFERRABLE INITIALLY DEFERRED, -- the current one\n"
    "    created INTEGER NOT NULL,\n"
    "    generation INTEGER NOT NULL,\n"
    "    mac BLOB NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE certificate (\n"
    "    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 32),\n"
    "    entry TEXT NOT NULL REFERENCES entry (id) DEFERRABLE INITIALLY DEFERRED,\n"
    "    number INTEGER NOT NULL CHECK (number > 0),\n"
    "    key_id TEXT,\n"
    "    store_id TEXT NOT NULL,\n"
    "    locator BLOB NOT NULL,\n"
    "    chain BLOB NOT NULL, -- DER, its own certificate first\n"
    "    key TEXT NOT NULL,   -- rsa-3072, ...\n"
    "    created INTEGER NOT NULL,\n"
    "    generation INTEGER NOT NULL,\n"
    "    mac BLOB NOT NULL,\n"
    "    UNIQUE (entry, number)\n"
    ") STRICT;\n"
    "CREATE INDEX certificate_key ON certificate (store_id, locator);\n"
    "CREATE INDEX entry_certificate ON entry (certificate);\n"
    "CREATE TABLE record (\n"
    "    store_id TEXT NOT NULL,\n"
    "    name BLOB NOT NULL,\n"
    "    value BLOB NOT NULL,\n"
    "    generation INTEGER NOT NULL,\n"
    "    mac BLOB NOT NULL,\n"
    "    PRIMARY KEY (store_id, name)\n"
    ") STRICT;\n"
    "CREATE TABLE journal (\n"
    "    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 32),\n"
    "    owner TEXT,\n"
    "    operation TEXT NOT NULL CHECK (operation IN ('create key', 'delete key', 'move key', 'leave key')),\n"
    "    address TEXT NOT NULL,\n"
    "    store_id TEXT NOT NULL,\n"
    "    key_id TEXT,\n"
    "    locator BLOB NOT NULL,\n"
    "    created INTEGER NOT NULL,\n"
    "    generation INTEGER NOT NULL,\n"
    "    mac BLOB NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE root (\n"
    "    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 32),\n"
    "    master TEXT NOT NULL REFERENCES entry (id) DEFERRABLE INITIALLY DEFERRED,\n"
    "    version INTEGER NOT NULL CHECK (version > 0),\n"
    "    state TEXT NOT NULL CHECK (state IN ('active', 'decrypt-only', 'retired')),\n"
    "    spki BLOB NOT NULL,  -- SHA-256 of the public key that it is signed with\n"
    "    wraps BLOB NOT NULL, -- the root, encrypted: to the master key, to the recovery certificate\n"
    "    scheme TEXT NOT NULL,\n"
    "    signature BLOB NOT NULL,\n"
    "    resealed INTEGER NOT NULL, -- everything is under this version or a later one; 0: nobody knows\n"
    "    created INTEGER NOT NULL,\n"
    "    generation INTEGER NOT NULL,\n"
    "    mac BLOB NOT NULL,\n"
    "    UNIQUE (master, version)\n"
    ") STRICT;\n";

#define ENTRY_COLUMNS       "id, address, state, databases, certificate, created, generation, mac"
#define CERTIFICATE_COLUMNS "id, entry, number, key_id, store_id, locator, chain, key, created, generation, mac"
#define RECORD_COLUMNS      "store_id, name, value, generation, mac"
#define STORE_COLUMNS       "id, plugin, created, generation, mac"
#define JOURNAL_COLUMNS     "id, owner, operation, address, store_id, key_id, locator, created, generation, mac"
#define ROOT_COLUMNS        "id, master, version, state, spki, wraps, scheme, signature, resealed, created, generation, mac"

const char *const schema_statements[STATEMENT_COUNT] = {
    [STATEMENT_META_INSERT] =
        "INSERT INTO meta (id, catalogue_id, created, key_check, checksum) VALUES (1, ?, ?, ?, ?)",
    [STATEMENT_META_GET] = "SELECT catalogue_id, created, key_check, checksum FROM meta WHERE id = 1",

    [STATEMENT_ENTRY_INSERT] = "INSERT INTO entry (" ENTRY_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [STATEMENT_ENTRY_UPDATE] =
        "UPDATE entry SET address = ?2, state = ?3, databases = ?4, certificate = ?5, created = ?6, "
        "generation = ?7, mac = ?8 WHERE id = ?1",
    [STATEMENT_ENTRY_DELETE] = "DELETE FROM entry WHERE id = ?",
    [STATEMENT_ENTRY_DROP] = "DELETE FROM entry WHERE address = ?",
    [STATEMENT_ENTRY_DROP_CERTIFICATES] =
        "DELETE FROM certificate WHERE entry IN (SELECT id FROM entry WHERE address = ?)",
    [STATEMENT_ENTRY_BY_ID] = "SELECT " ENTRY_COLUMNS " FROM entry WHERE id = ?",
    [STATEMENT_ENTRY_BY_ADDRESS] = "SELECT " ENTRY_COLUMNS " FROM entry WHERE address = ?",
    [STATEMENT_ENTRY_ALL] = "SELECT " ENTRY_COLUMNS " FROM entry ORDER BY address",
    [STATEMENT_ENTRY_COUNT] = "SELECT count(*) FROM entry",
    [STATEMENT_ENTRY_ADDRESS] = "SELECT address FROM entry WHERE id = ?",

    [STATEMENT_CERTIFICATE_INSERT] =
        "INSERT INTO certificate (" CERTIFICATE_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [STATEMENT_CERTIFICATE_UPDATE] = "UPDATE certificate SET entry = ?2, number = ?3, key_id = ?4, store_id = ?5, "
                                     "locator = ?6, chain = ?7, key = ?8, "
                                     "created = ?9, generation = ?10, mac = ?11 WHERE id = ?1",
    [STATEMENT_CERTIFICATE_DELETE] = "DELETE FROM certificate WHERE id = ?",
    [STATEMENT_CERTIFICATE_BY_ID] = "SELECT " CERTIFICATE_COLUMNS " FROM certificate WHERE id = ?",
    [STATEMENT_CERTIFICATE_BY_NUMBER] =
        "SELECT " CERTIFICATE_COLUMNS " FROM certificate WHERE entry = ? AND number = ?",
    [STATEMENT_CERTIFICATE_LAST] =
        "SELECT " CERTIFICATE_COLUMNS " FROM certificate WHERE entry = ? ORDER BY number DESC LIMIT 1",
    [STATEMENT_CERTIFICATE_BY_KEY] = "SELECT 1 FROM certificate WHERE store_id = ? AND locator = ? LIMIT 1",
    [STATEMENT_CERTIFICATE_OF_KEY] =
        "SELECT " CERTIFICATE_COLUMNS " FROM certificate WHERE store_id = ? AND locator = ? ORDER BY entry, number",
    [STATEMENT_CERTIFICATE_ALL] = "SELECT " CERTIFICATE_COLUMNS " FROM certificate ORDER BY entry, number",
    [STATEMENT_CERTIFICATE_COUNT] = "SELECT count(*) FROM certificate",

    [STATEMENT_RECORD_GET] = "SELECT " RECORD_COLUMNS " FROM record WHERE store_id = ? AND name = ?",
    [STATEMENT_RECORD_GENERATION] = "SELECT generation FROM record WHERE store_id = ? AND name = ?",
    [STATEMENT_RECORD_PUT] =
        "INSERT INTO record (" RECORD_COLUMNS ") VALUES (?, ?, ?, ?, ?) ON CONFLICT (store_id, name) "
        "DO UPDATE SET value = excluded.value, generation = excluded.generation, mac = excluded.mac",
    [STATEMENT_RECORD_DELETE] = "DELETE FROM record WHERE store_id = ? AND name = ?",
    [STATEMENT_RECORD_FROM] = "SELECT name FROM record WHERE store_id = ? AND name >= ? ORDER BY name LIMIT 1",
    [STATEMENT_RECORD_AFTER] = "SELECT name FROM record WHERE store_id = ? AND name > ? ORDER BY name LIMIT 1",

    [STATEMENT_STORE_INSERT] = "INSERT INTO store (" STORE_COLUMNS ") VALUES (?, ?, ?, ?, ?)",
    [STATEMENT_STORE_GET] = "SELECT " STORE_COLUMNS " FROM store WHERE id = ?",

    [STATEMENT_JOURNAL_INSERT] = "INSERT INTO journal (" JOURNAL_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [STATEMENT_JOURNAL_DELETE] = "DELETE FROM journal WHERE id = ?",
    [STATEMENT_JOURNAL_ALL] = "SELECT " JOURNAL_COLUMNS " FROM journal ORDER BY created, id",
    [STATEMENT_JOURNAL_COUNT] = "SELECT count(*) FROM journal",

    [STATEMENT_ROOT_INSERT] = "INSERT INTO root (" ROOT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [STATEMENT_ROOT_UPDATE] = "UPDATE root SET master = ?2, version = ?3, state = ?4, spki = ?5, wraps = ?6, "
                              "scheme = ?7, signature = ?8, resealed = ?9, created = ?10, generation = ?11, "
                              "mac = ?12 WHERE id = ?1",
    [STATEMENT_ROOT_BY_ID] = "SELECT " ROOT_COLUMNS " FROM root WHERE id = ?",
    [STATEMENT_ROOT_OF_MASTER] = "SELECT " ROOT_COLUMNS " FROM root WHERE master = ? ORDER BY version",
    [STATEMENT_ROOT_DROP] = "DELETE FROM root WHERE master = ?",
};
