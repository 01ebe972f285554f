/* Configurations that are wrong, and where. test_settings.c reads them, test_schema.c holds an independent validator against them. */
#ifndef KEYWRIGHT_TESTS_CASES_H
#define KEYWRIGHT_TESTS_CASES_H

#include <stdbool.h>

#define HEAD       "version: 1\nstate: state\ncatalogue_key: file:key\nstore: local\n" /* lines 1 to 4 */
#define STORES     "stores:\n  local: {id: 7c9e6679, plugin: softstore}\n"             /* lines 5 and 6 */
#define GOOD       HEAD STORES
#define CONNECTION GOOD "connections:\n  w: {protocol: postgresql, host: db.example, "

struct wrong_case {
    const char *text;
    unsigned line, column;
    const char *message; /* a part of it */
    bool schema;         /* the JSON schema refuses it too: it is neither about YAML nor about a reference */
};

static const struct wrong_case wrong_cases[] = {
    /* keys */
    {GOOD "sotre: local\n", 7, 1, "unknown key 'sotre' (did you mean 'store'?)", true},
    {GOOD "completely_else: 1\n", 7, 1, "unknown key 'completely_else'", true},
    {GOOD "Version: 1\n", 7, 1, "did you mean 'version'?", true},
    {GOOD "certificates:\n  ssl-connection: {host: [a]}\n", 8, 20, "unknown key 'host' (did you mean 'hosts'?)", true},
    {GOOD "databases:\n  sales:\n    store: local\n    stroe: local\n", 10, 5, "did you mean 'store'?", true},
    {GOOD "export: {directroy: x}\n", 7, 10, "did you mean 'directory'?", true},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore, option: {}}\n", 6, 44, "did you mean 'options'?", true},
    {GOOD "state: other\n", 7, 1, "'state' is here a second time; it is in line 2 already", false},
    {GOOD "1: x\n", 7, 1, "unknown key '1'", false},
    {GOOD "'': x\n", 7, 1, "unknown key ''", true},
    /* what is missing */
    {"state: s\ncatalogue_key: file:k\nstore: local\n" STORES, 1, 1, "lacks 'version'", true},
    {"version: 1\ncatalogue_key: file:k\nstore: local\n" STORES, 1, 1, "lacks 'state'", true},
    {"version: 1\nstate: s\nstore: local\n" STORES, 1, 1, "lacks 'catalogue_key'", true},
    {"version: 1\nstate: s\ncatalogue_key: file:k\n" STORES, 1, 1, "lacks 'store'", true},
    {"version: 1\nstate: s\ncatalogue_key: file:k\n", 1, 1, "lacks 'store'", true},
    {HEAD, 4, 8, "there is no store 'local'", true},
    {HEAD "stores:\n  local: {plugin: softstore}\n", 6, 3, "'local' lacks 'id'", true},
    {HEAD "stores:\n  local: {id: 7c9e6679}\n", 6, 3, "'local' lacks 'plugin'", true},
    {GOOD "databases: {sales: {}}\n", 7, 13, "'sales' lacks 'store'", true},
    /* versions */
    {"version: 2\nunheard_of: 1\n", 1, 10, "is of version 2; Keywright", true},
    {"unheard_of: 1\nversion: 2\n", 2, 10, "reads version 1", true},
    {"version: 0\n", 1, 10, "reads version 1", true},
    {"version: -1\n", 1, 10, "reads version 1", true},
    {"version: \"1\"\n", 1, 10, "'version' must be a whole number, but here is a string", true},
    {"version: 1.0\n", 1, 10, "'version' must be a whole number", false}, /* to JSON, 1.0 is 1 */
    {"version: one\n", 1, 10, "'version' must be a whole number", true},
    {"version:\n", 1, 9, "'version' must be a whole number, but here is nothing", true},
    {"version: [1]\n", 1, 10, "but here is a list", true},
    /* types */
    {"[]\n", 1, 1, "the file must be a mapping of settings, but here is a list", true},
    {"text\n", 1, 1, "the file must be a mapping of settings", true},
    {"version: 1\nstate: [a]\n", 2, 8, "'state' must be a string, but here is a list", true},
    {"version: 1\nstate: {a: b}\n", 2, 8, "'state' must be a string, but here is a mapping", true},
    {"version: 1\nstate: 12\n", 2, 8, "'state' must be a string, but here is a number", true},
    {"version: 1\nstate: true\n", 2, 8, "'state' must be a string, but here is true or false", true},
    {"version: 1\nstate:\n", 2, 7, "'state' is empty", true},
    {"version: 1\nstate: ~\n", 2, 8, "'state' is empty", true},
    {"version: 1\nstate: ''\n", 2, 8, "'state' is empty", true},
    {"version: 1\nstate: ~/state\n", 2, 8, "only shells", false},
    {HEAD "stores: [local]\n", 4, 8, "there is no store 'local'", true},
    {"version: 1\nstores: [local]\n", 2, 9, "'stores' must be a mapping from names to settings, but here is a list",
     true},
    {"version: 1\nstores: {}\n", 2, 9, "'stores' is empty", true},
    {"version: 1\nstores: {local: softstore}\n", 2, 17, "'local' must be a mapping", true},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore, options: [a]}\n", 6, 53,
     "'options' must be a mapping from options to values", true},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore, options: {pin: [1]}}\n", 6, 59,
     "'pin' must be a single value, but here is a list", true},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore, options: {pin: }}\n", 6, 59, "'pin' is empty", true},
    {GOOD "allow_inline_secrets: maybe\n", 7, 23, "'allow_inline_secrets' must be true or false, but here is a string",
     true},
    {GOOD "allow_inline_secrets: 1\n", 7, 23, "must be true or false, but here is a number", true},
    {GOOD "allow_inline_secrets: \"true\"\n", 7, 23, "must be true or false, but here is a string", true},
    {GOOD "export: yes\n", 7, 9, "'export' must be a mapping of settings", true},
    {GOOD "export:\n", 7, 8, "'export' must be a mapping of settings, but here is nothing", true},
    {GOOD "licence: {isuer: x}\n", 7, 11, "did you mean 'issuer'?", true},
    {GOOD "licence: {issuer: [x]}\n", 7, 19, "'issuer' must be a string", true},
    {GOOD "licence: {machine_id_file: ''}\n", 7, 28, "'machine_id_file' is empty", true},
    {GOOD "export: {one_file_each: x}\n", 7, 25, "'one_file_each' must be true or false", true},
    {GOOD "plugin_directories: /usr/lib\n", 7, 21, "'plugin_directories' must be a list, but here is a string", true},
    {GOOD "plugin_directories: []\n", 7, 21, "empty list", true},
    {GOOD "plugin_directories: [a, '']\n", 7, 25, "'plugin_directories' is empty", true},
    {GOOD "plugin_directories: [a, [b]]\n", 7, 25, "'plugin_directories' must be a string", true},
    {GOOD "certificates: {ssl-connection: {pkcs1_decrypt: 1}}\n", 7, 48, "'pkcs1_decrypt' must be true or false", true},
    {GOOD "certificates: {ssl-connection: {local_addresses: []}}\n", 7, 50, "'local_addresses' must be true or false",
     true},
    {GOOD "certificates: {ssl-connection: {common_name: {}}}\n", 7, 46, "'common_name' must be a string", true},
    {GOOD "certificates: {ssl-connection: {hosts: pw.example}}\n", 7, 40, "'hosts' must be a list", true},
    {GOOD "certificates: {'': {}}\n", 7, 16, "an empty name", true},
    {GOOD "databases: []\n", 7, 12, "'databases' must be a mapping", true},
    /* values */
    {"version: 1\ncatalogue_key: hunter2\n", 2, 16, "'catalogue_key': this is not where a secret comes from", true},
    {"version: 1\ncatalogue_key: flie:/x\n", 2, 16, "did you mean 'file:'?", true},
    {"version: 1\ncatalogue_key: 'file:'\n", 2, 16, "behind 'file:' comes a path", true},
    {"version: 1\ncatalogue_key: credential:../x\n", 2, 16, "behind 'credential:' comes", true},
    {"version: 1\ncatalogue_key: inline:hunter2\n", 2, 16, "(inline:) are not allowed", false},
    {"version: 1\nallow_inline_secrets: false\ncatalogue_key: inline:hunter2\n", 3, 16, "(inline:) are not allowed",
     false},
    {HEAD "stores:\n  local: {id: 7c9e667, plugin: softstore}\n", 6, 15, "'id' must be 8 to 32 hex digits", true},
    {HEAD "stores:\n  local: {id: 7C9E667A, plugin: softstore}\n", 6, 15, "'id' must be 8 to 32 hex digits", true},
    {HEAD "stores:\n  local: {id: 12345678, plugin: softstore}\n", 6, 15, "'id' must be a string, but here is a number",
     true},
    {HEAD "stores:\n  local: {id: 7e123456, plugin: softstore}\n", 6, 15, "'id' must be a string, but here is a number",
     false},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore}\n  hsm: {plugin: p, id: '7c9e6679'}\n", 7, 24,
     "the store 'local' in line 6 has this id already", false},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: ./mine.so}\n", 6, 33, "'./mine.so' is no plugin", true},
    {HEAD "stores:\n  local: {id: 7c9e6679, plugin: lib/mine}\n", 6, 33, "is no plugin", true},
    {HEAD "stores:\n  a/b: {id: 7c9e6679, plugin: softstore}\n  local: {id: 8c9e6679, plugin: softstore}\n", 6, 3,
     "'a/b' cannot be a name in 'stores'", true},
    {HEAD "stores:\n  derived: {id: 7c9e6679, plugin: softstore}\n  local: {id: 8c9e6679, plugin: softstore}\n", 6, 3,
     "the name 'derived' in 'stores' is reserved", true},
    {HEAD "stores:\n  '': {id: 7c9e6679, plugin: softstore}\n  local: {id: 8c9e6679, plugin: softstore}\n", 6, 3,
     "an empty name", true},
    {"version: 1\nstore: locla\n" STORES, 2, 8, "there is no store 'locla' (did you mean 'local'?)", true},
    {GOOD "databases:\n  '*': {store: hsm}\n", 8, 16, "there is no store 'hsm'", false},
    {GOOD "certificates:\n  master-key: {store: lokal}\n", 8, 23, "did you mean 'local'?", false},
    {GOOD "certificates:\n  ssl-connection: {key: rsa-3027}\n", 8, 25, "'key' cannot be 'rsa-3027' (did you mean",
     true},
    {GOOD "certificates:\n  ssl-connection: {key: [rsa-3072]}\n", 8, 25, "'key' must be a string", true},
    {GOOD "certificates:\n  ssl-connection:\n    hosts: [pw.example, 192.0.2.300]\n", 9, 25,
     "'192.0.2.300' is neither a host's name nor an IP address", false},
    {GOOD "certificates:\n  ssl-connection:\n    hosts:\n      - \"[::1]\"\n", 10, 9, "neither a host's name", false},
    {GOOD "certificates:\n  ssl-connection:\n    hosts: []\n", 9, 12, "empty list", true},
    {GOOD "certificates:\n  ssl-connection:\n    hosts: [\"\"]\n", 9, 13, "'hosts' is empty", true},
    {GOOD "certificates:\n  ssl-connection:\n    common_name: "
          "a123456789b123456789c123456789d123456789e123456789f123456789g1234\n",
     9, 18, "longer than 64 bytes", true},
    {GOOD "certificates:\n  general: {extended_key_usage: serverAuth}\n", 8, 33, "must be a list", true},
    {GOOD "certificates:\n  general: {extended_key_usage: [serverauth]}\n", 8, 34,
     "'serverauth' is no extended key usage (did you mean 'serverAuth'?)", false},
    {GOOD "certificates:\n  general: {extended_key_usage: [1.3.6.1.]}\n", 8, 34, "no extended key usage", false},
    {GOOD "trust: {crl_timeout: 10}\n", 7, 22, "'crl_timeout' must be a duration such as 500ms, 10s or 2m", true},
    {GOOD "trust: {crl_timeout: 0s}\n", 7, 22, "'crl_timeout' must be from 1 to 600000 ms", false},
    {GOOD "trust: {crl_timeout: 11m}\n", 7, 22, "'crl_timeout' must be from 1 to 600000 ms", false},
    {GOOD "trust: {crl_maximum_bytes: 0}\n", 7, 28, "'crl_maximum_bytes' must be from 1 to 268435456 bytes", true},
    {GOOD "trust: {crl_maximum_bytes: 16M}\n", 7, 28, "'crl_maximum_bytes' must be a whole number of bytes", true},
    {GOOD "trust: {authorities: ca.pem}\n", 7, 22, "'authorities' must be a list, but here is a string", true},
    {GOOD "trust: {system_roots: 1}\n", 7, 23, "'system_roots' must be true or false", true},
    {GOOD "trust: {autorities: [a]}\n", 7, 9, "unknown key 'autorities' (did you mean 'authorities'?)", true},
    {GOOD "subkeys: {max_entries: 0}\n", 7, 24, "'max_entries' must be from 1 to 10000000", true},
    {GOOD "subkeys: {max_entries: 10k}\n", 7, 24, "'max_entries' must be a whole number", true},
    {GOOD "subkeys: {max_entries: '10'}\n", 7, 24, "'max_entries' must be a whole number", true},
    {GOOD "subkeys: {outage_limit: 15}\n", 7, 25, "'outage_limit' must be a duration such as", true},
    {GOOD "subkeys: {outage_limit: 0s}\n", 7, 25, "'outage_limit' must be from 1 to 31536000000 ms", false},
    {GOOD "subkeys: {max_age: 366d}\n", 7, 20, "'max_age' must be from 1 to 31536000000 ms", false},
    {GOOD "subkeys: {outage_limits: 1m}\n", 7, 11, "did you mean 'outage_limit'?", true},
    /* YAML; test_yaml.c has the rest */
    {GOOD "export:\n\tdirectory: x\n", 8, 1, "tab", false},
    {GOOD "export: &x {directory: y}\n", 7, 9, "anchors", false},
    {GOOD "export: *x\n", 7, 9, "aliases", false},
    {GOOD "---\nversion: 1\n", 7, 1, "second document", false},
    {GOOD "export: {directory: \xff}\n", 7, 21, "UTF-8", false},
    {GOOD "export: [[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]\n", 7, 24, "levels", false},
    {"", 1, 1, "nothing", false},
    /* connections */
    {CONNECTION "mode: verify_full}\n", 8, 53, "'mode' cannot be 'verify_full' (did you mean 'verify-full'?)", true},
    {CONNECTION "mode: none}\n", 8, 53, "'mode' cannot be 'none'", true},
    {CONNECTION "mode: Disable}\n", 8, 53, "'mode' cannot be 'Disable' (did you mean 'disable'?)", true},
    {CONNECTION "mode: ''}\n", 8, 53, "'mode' is empty", true},
    {CONNECTION "mode: false}\n", 8, 53, "'mode' must be a string", true},
    {CONNECTION "mode: [require]}\n", 8, 53, "'mode' must be a string, but here is a list", true},
    {CONNECTION "sslmode: require}\n", 8, 47, "unknown key 'sslmode'", true},
    {CONNECTION "port: 0}\n", 8, 53, "'port' must be from 1 to 65535", true},
    {CONNECTION "port: 65536}\n", 8, 53, "'port' must be from 1 to 65535", true},
    {CONNECTION "port: '5432'}\n", 8, 53, "'port' must be a whole number", true},
    {CONNECTION "ca: ca.pem}\n", 8, 51, "'ca' must be a list", true},
    {CONNECTION "ca: []}\n", 8, 51, "'ca' is an empty list", true},
    {CONNECTION "timeout: 11m}\n", 8, 56, "'timeout' must be from 1 to 600000 ms", false},
    {CONNECTION "client_certificate: c.pem}\n", 8, 67, "'w' lacks 'client_key'", false},
    {CONNECTION "client_key: c.key}\n", 8, 59, "'w' lacks 'client_certificate'", false},
    {CONNECTION "client_key_password: prompt}\n", 8, 68, "'w' lacks 'client_key'", false},
    {CONNECTION "client_key: keywright:general/x, client_key_password: prompt}\n", 8, 101, "the key is in a store",
     false},
    {CONNECTION "client_key_password: subkey:master-key/x}\n", 8, 68, "'client_key_password'", true},
    {CONNECTION "client_key_password: secret}\n", 8, 68, "'client_key_password'", true},
    {GOOD "connections:\n  w: {protocol: oracle, host: db.example}\n", 8, 17, "'protocol' cannot be 'oracle'", true},
    {GOOD "connections:\n  w: {host: db.example}\n", 8, 3, "'w' lacks 'protocol'", true},
    {GOOD "connections:\n  w: {protocol: mysql}\n", 8, 3, "'w' lacks 'host'", true},
    {GOOD "connections:\n  w: {protocol: mysql, host: 'db.example:3306'}\n", 8, 30, "neither a host's name nor", false},
    {GOOD "connections:\n  w: {protocol: tls, host: db.example}\n", 8, 3, "'w' lacks 'port'", false},
    {GOOD "connections:\n  w: {protocol: tls, port: 1, host: a, mode: prefer}\n", 8, 46, "tls has no plaintext", false},
    {GOOD "connections:\n  w: {protocol: sqlserver-strict, host: a, mode: disable}\n", 8, 50, "has no plaintext",
     false},
    {GOOD "connections:\n  w: {protocol: tls, port: 1, host: a, user: x}\n", 8, 46, "tells no 'user'", false},
    {GOOD "connections:\n  w: {protocol: mysql, host: a, database: x}\n", 8, 43, "tells no 'database'", false},
    {GOOD "connections:\n  a/b: {protocol: mysql, host: a}\n", 8, 3, "'a/b' cannot be a name", true},
};
static const unsigned wrong_case_count = sizeof(wrong_cases) / sizeof(wrong_cases[0]);

static const char *const right_cases[] = {
    GOOD,
    "{version: 1, state: /s, catalogue_key: prompt, store: a, stores: {a: {id: '12345678', plugin: /opt/p.so}}}",
    GOOD "databases: {}\ncertificates: {}\nexport: {}\n",
    GOOD "databases:\n  '*': {store: local}\n  sales: {store: local}\n",
    GOOD "certificates:\n  ssl-connection: {}\n  general/www: {subject: 'CN=x', hosts: ['*.example', '::1'], key: "
         "ed25519}\n",
    GOOD "allow_inline_secrets: true\nplugin_directories: [plugins, /usr/lib/keywright]\nexport: {directory: out, "
         "one_file_each: true}\n",
    GOOD "subkeys: {}\n",
    GOOD "subkeys: {max_entries: 1, outage_limit: 500ms, max_age: 365d}\n",
    GOOD "trust: {}\n",
    GOOD "connections: {}\n",
    GOOD
    "connections:\n  a: {protocol: mysql, host: '::1', mode: disable}\n  b: {protocol: tls, host: b, port: 443}\n"
    "  c: {protocol: sqlserver-strict, host: c, ca: [ca.pem, /b.der], client_key: keywright:general/x}\n"
    "  d: {protocol: postgresql, host: d, client_key: k, client_certificate: c, client_key_password: env:P, user: u,\n"
    "      database: x, timeout: 500ms}\n",
    GOOD "trust: {authorities: [root.pem], intermediates: [a.pem, /b.der], system_roots: false, crl_timeout: 500ms, "
         "crl_maximum_bytes: 1000}\n",
    HEAD "stores:\n  local:\n    id: 0123456789abcdef0123456789abcdef\n    plugin: p11\n    options:\n      number: "
         "5\n      flag: true\n"
         "      text: word\n      quoted: ''\n",
    "version: 1\nstate: s\ncatalogue_key: inline:x\nallow_inline_secrets: true\nstore: local\n" STORES,
    "version: 1\nstate: s\ncatalogue_key: credential:catalogue-key\nstore: local\n" STORES,
};
static const unsigned right_case_count = sizeof(right_cases) / sizeof(right_cases[0]);

#endif
