/* The command line, parsed by const tables: which options there are, which of them a verb takes, and what was given. */
#ifndef KEYWRIGHT_CLI_OPTIONS_H
#define KEYWRIGHT_CLI_OPTIONS_H

#include "problem.h"

enum option_id {
    OPTION_CONFIGURATION,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_VERBOSE,
    OPTION_YES,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_ALL,
    OPTION_ALLOW_NO_MAC,
    OPTION_AS,
    OPTION_CONNECT,
    OPTION_DATABASE,
    OPTION_EXTENDED_KEY_USAGE,
    OPTION_EVERYTHING,
    OPTION_FORCE,
    OPTION_FORMAT,
    OPTION_HASH,
    OPTION_HOST,
    OPTION_INPUT,
    OPTION_KEY,
    OPTION_NEW,
    OPTION_NO_PAGER,
    OPTION_OUTPUT,
    OPTION_PADDING,
    OPTION_PASSWORD_FROM,
    OPTION_PEM,
    OPTION_REFERENCE,
    OPTION_SEPARATE,
    OPTION_SIGNATURE,
    OPTION_STORE,
    OPTION_SUBJECT,
    OPTION_TEXT,
    OPTION_TOGETHER,
    OPTION_CA,
    OPTION_LOCAL_DIRECTORY,
    OPTION_SYSTEM_DIRECTORY,
    OPTION_TO,
    OPTION_NEW_KEY,
    OPTION_RECOVERY_KEY,
    OPTION_RETIRE,
    OPTION_DRY_RUN,
    OPTION_DERIVED,
    OPTION_MASTER_KEY,
    OPTION_WITH_DERIVED_KEYS,
    OPTION_PURPOSE,
    OPTION_CONTEXT,
    OPTION_AAD,
    OPTION_COUNT
};

/* How an option is spelt, the same for every verb. */
struct option_name {
    const char *name; /* behind -- */
    char letter;      /* 0: none */
};
extern const struct option_name option_names[OPTION_COUNT];

/* One option of a verb. */
struct verb_option {
    enum option_id option;
    const char *argument; /* what its argument is called; NULL: it takes none */
    const char *help;
    bool required;
    bool repeatable; /* may be given with several arguments */
};

/* Those that stand before or behind any verb. */
extern const struct verb_option global_options[];
extern const size_t global_option_count;

/* What was given. Zero-initialise. */
struct arguments {
    const char **texts; /* of the options, grouped by option */
    size_t first[OPTION_COUNT], count[OPTION_COUNT];
    const char **words; /* what is no option */
    size_t word_count;
    size_t text_count, capacity;
    enum option_id *options; /* beside texts while parsing */
};

/*
 * Parses argv[1] and on, and adds to `arguments`. `until_word`: stops at the first word and tells its index; otherwise words and
 * options may come in any order. Errors: KW_INVALID_ARGUMENT.
 */
KW_MUST_USE kw_status arguments_parse(struct arguments *arguments, int argc, char **argv,
                                      const struct verb_option *options, size_t option_count, bool until_word,
                                      int *index, kw_error *error);
void arguments_free(struct arguments *arguments);

bool argument_given(const struct arguments *arguments, enum option_id option);
/* Its text, or NULL when it was not given. */
const char *argument_text(const struct arguments *arguments, enum option_id option);
/* All texts of a repeatable option, and how many. */
const char *const *argument_list(const struct arguments *arguments, enum option_id option, size_t *count);
/* Word number `index`, or NULL. */
const char *argument_word(const struct arguments *arguments, size_t index);

#endif
