/* The table of the configuration's keys. settings.c reads by it, schema.c makes the JSON schema of it. */
#ifndef KEYWRIGHT_CONFIG_SETTINGS_TABLE_H
#define KEYWRIGHT_CONFIG_SETTINGS_TABLE_H

#include "config/settings.h"

#define SETTINGS_VERSION 1

enum setting_type {
    SETTING_VERSION,  /* SETTINGS_VERSION */
    SETTING_TEXT,     /* char * */
    SETTING_CHOICE,   /* char *, one of `choices` */
    SETTING_PATH,     /* char *, made absolute by the file's directory */
    SETTING_SOURCE,   /* char *, a secret's source; likewise */
    SETTING_STORE,    /* char *, the name of a store of this file */
    SETTING_STORE_ID, /* char * */
    SETTING_PLUGIN,   /* char * */
    SETTING_BOOLEAN,  /* bool */
    SETTING_FLAG,     /* int: -1 where it is not set, else 0 or 1 */
    SETTING_DURATION, /* int64_t, milliseconds, 1 to `maximum` */
    SETTING_SIZE,     /* int64_t, bytes, 1 to `maximum` */
    SETTING_COUNT,    /* int64_t, 1 to `maximum` */
    SETTING_HOST,     /* char *, a name or an IP address */
    SETTING_PORT,     /* int64_t, 1 to `maximum` */
    SETTING_KEY,      /* char *, a path made absolute, or keywright:ADDRESS */
    SETTING_PATHS,    /* char ** and a count */
    SETTING_HOSTS,    /* char ** and a count */
    SETTING_USAGES,   /* char ** and a count: extended key usages */
    SETTING_TABLE,    /* a mapping whose members are in the same struct */
    SETTING_ENTRIES,  /* an array of structs and a count: a mapping from names to tables */
    SETTING_OPTIONS,  /* struct option_setting * and a count: a mapping from names to scalars */
    SETTING_TYPE_COUNT
};

struct setting_table;

/* What the names of an entry's mapping are, and where they go in the entry's struct. */
struct setting_entries {
    size_t size, name_offset, place_offset;
    bool (*name_is_valid)(const char *name); /* NULL: any name */
    const char *reserved;                    /* the one name that is taken, and by what; NULL: none */
    const char *reserved_for;
    const char *name_pattern; /* the same for the JSON schema */
    const char *name_rule;    /* the same for people */
    size_t minimum, maximum;
};

#define NO_OFFSET SIZE_MAX

struct setting {
    const char *name;
    enum setting_type type;
    bool required;
    size_t offset;                         /* of the member; NO_OFFSET: there is none */
    size_t count_offset;                   /* of an array's count */
    size_t place_offset;                   /* of where the value is; NO_OFFSET: not kept */
    size_t maximum;                        /* text: bytes; 0: any. Numbers: the highest */
    const char *const *choices;            /* SETTING_CHOICE; ends with NULL */
    const struct setting_table *table;     /* SETTING_TABLE and SETTING_ENTRIES */
    const struct setting_entries *entries; /* SETTING_ENTRIES */
    const char *help;
};

struct setting_table {
    const struct setting *settings;
    size_t count;
};

/* The whole file: members of struct settings. */
extern const struct setting_table settings_table;

#endif
