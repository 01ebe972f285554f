/*
 * A module that is wrong on purpose, in the one way that a macro names: BAD_NO_SYMBOL, BAD_NULL, BAD_MAJOR, BAD_SHORT,
 * BAD_NO_OPERATIONS, BAD_SHORT_OPERATIONS, BAD_DESCRIBED_NAME, BAD_NO_VERSION, BAD_OPTIONS, BAD_WITHOUT_... . With none of them it is right.
 */
#include <keywright/plugin.h>

#if defined(BAD_NO_SYMBOL)
KW_PLUGIN_EXPORT const kw_plugin *kw_plugin_ask(void);
#define QUERY kw_plugin_ask
#else
#define QUERY kw_plugin_query
#endif

#if !defined(BAD_DESCRIBED_NAME)
#define BAD_DESCRIBED_NAME BAD_NAME
#endif

static kw_status bad_open(const kw_call *call, const kw_host *host, const kw_option_value *options, size_t option_count,
                          kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    (void)call;
    (void)host;
    (void)options;
    (void)option_count;
    (void)instance;
    (void)capabilities;
    return KW_FAILED;
}

static void bad_close(kw_plugin_instance *instance)
{
    (void)instance;
}

static kw_status bad_health(kw_plugin_instance *instance, const kw_call *call)
{
    (void)instance;
    (void)call;
    return KW_FAILED;
}

static kw_status bad_key_find(kw_plugin_instance *instance, const kw_call *call,
                              const unsigned char id[KW_KEY_ID_LENGTH], kw_output *locator)
{
    (void)instance;
    (void)call;
    (void)id;
    (void)locator;
    return KW_FAILED;
}

static kw_status bad_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                              kw_key_capabilities *capabilities)
{
    (void)instance;
    (void)call;
    (void)locator;
    (void)key;
    (void)capabilities;
    return KW_FAILED;
}

static void bad_key_close(kw_plugin_key *key)
{
    (void)key;
}

static kw_status bad_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    (void)key;
    (void)call;
    (void)spki;
    return KW_FAILED;
}

static kw_status bad_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input input,
                          kw_output *signature)
{
    (void)key;
    (void)call;
    (void)algorithm;
    (void)input;
    (void)signature;
    return KW_FAILED;
}

#if defined(BAD_SHORT_OPERATIONS)
#define OPERATIONS_SIZE offsetof(kw_plugin_operations, open)
#else
#define OPERATIONS_SIZE sizeof(kw_plugin_operations)
#endif

/* Built in full, and then the one that is to be missing is taken out. */
static kw_plugin_operations operations = {
    .size = OPERATIONS_SIZE,
    .open = bad_open,
    .close = bad_close,
    .health = bad_health,
    .key_find = bad_key_find,
    .key_open = bad_key_open,
    .key_close = bad_key_close,
    .key_public = bad_key_public,
    .sign = bad_sign,
};

#if !defined(BAD_OPTIONS)
#define BAD_OPTIONS 0
#endif

#if !defined(BAD_OPTIONS_NULL)
#define BAD_OPTIONS_NULL 0
#endif

#if !defined(BAD_NO_OPERATIONS)
#define BAD_NO_OPERATIONS 0
#endif

#if !defined(BAD_NULL)
#define BAD_NULL 0
#endif

/* One defect each; the number is BAD_OPTIONS. */
static const kw_option tables[][2] = {
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "too", .type = KW_OPTION_PATH, .help = "Fine."}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."}, {.name = NULL, .type = KW_OPTION_PATH, .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "No-Name", .type = KW_OPTION_PATH, .help = "?"}},
    {{.name = "same", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "same", .type = KW_OPTION_PATH, .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."}, {.name = "odd", .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."}, {.name = "mute", .type = KW_OPTION_PATH}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "turned", .type = KW_OPTION_INTEGER, .minimum = 9, .maximum = 3, .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "bounded", .type = KW_OPTION_STRING, .maximum = 3, .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "choosy", .type = KW_OPTION_INTEGER, .choices = "1|2", .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "known", .type = KW_OPTION_SECRET, .fallback = "0000", .help = "?"}},
    {{.name = "fine", .type = KW_OPTION_STRING, .help = "Fine."},
     {.name = "both", .type = KW_OPTION_STRING, .required = 1, .fallback = "x", .help = "?"}},
};

static const kw_plugin description = {
#if defined(BAD_MAJOR)
    .abi_major = BAD_MAJOR,
#else
    .abi_major = KW_ABI_MAJOR,
#endif
    .abi_minor = KW_ABI_MINOR,
#if defined(BAD_SHORT)
    .size = offsetof(kw_plugin, operations),
#else
    .size = sizeof(kw_plugin),
#endif
    .name = BAD_DESCRIBED_NAME,
#if !defined(BAD_NO_VERSION)
    .version = "1.0",
#endif
    .summary = "Wrong on purpose",
    .options = BAD_OPTIONS_NULL ? NULL : tables[BAD_OPTIONS],
    .option_count = 2,
    .operations = BAD_NO_OPERATIONS ? NULL : &operations,
};

KW_PLUGIN_EXPORT const kw_plugin *QUERY(void)
{
#if defined(BAD_WITHOUT)
    operations.BAD_WITHOUT = NULL;
#endif
    return BAD_NULL ? NULL : &description;
}
