/* What single values of the configuration look like: numbers, durations, names, hosts. */
#ifndef KEYWRIGHT_CONFIG_VALUE_H
#define KEYWRIGHT_CONFIG_VALUE_H

#include <keywright/keywright.h>

/* Durations ("500ms", "5s", "15m", "2h", "1d") in ms, booleans (true/false), integers: false when it is not one. */
KW_MUST_USE bool parse_duration(const char *text, int64_t *milliseconds);
KW_MUST_USE bool parse_boolean(const char *text, bool *value);
KW_MUST_USE bool parse_integer(const char *text, int64_t *value);

/* The name in `names` that is nearest to `name`, near enough to be meant, or NULL. */
const char *nearest_name(const char *name, const char *const *names, size_t count);
/* The same for the end of a message: " (did you mean 'NAME'?)", or nothing. Returns `hint`. */
#define HINT_SIZE 96
const char *nearest_hint(char hint[HINT_SIZE], const char *name, const char *const *names, size_t count);

enum host_kind {
    HOST_INVALID,
    HOST_NAME, /* RFC 1123, also with _ and with a * as the first label; 253 bytes at most */
    HOST_IPV4,
    HOST_IPV6
};
/* No port, no brackets, no zone. */
enum host_kind host_kind(const char *text);

/* Extended key usages: these names (RFC 5280 section 4.2.1.12), ends with NULL; or an object identifier with dots. */
extern const char *const usage_names[];
bool usage_is_valid(const char *text);

/* The syntax of names of stores, of stores' ids, and of plugins. The patterns are the same rules for the JSON schema. */
#define STORE_NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
bool store_name_is_valid(const char *text);
#define STORE_ID_PATTERN "^[0-9a-f]{8,32}$"
bool store_id_is_valid(const char *text);
#define PLUGIN_PATTERN "^([A-Za-z0-9_-]{1,64}|/.*[^/])$"
bool plugin_is_valid(const char *text);

/* How YAML 1.2 reads a word that is not quoted. */
enum word_kind { WORD_STRING, WORD_NULL, WORD_BOOLEAN, WORD_INTEGER, WORD_FLOAT };
enum word_kind word_kind(const char *text);

#endif
