#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const struct option_name option_names[OPTION_COUNT] = {
    [OPTION_CONFIGURATION] = {"config", 'c'},
    [OPTION_JSON] = {"json", 0},
    [OPTION_QUIET] = {"quiet", 'q'},
    [OPTION_VERBOSE] = {"verbose", 'v'},
    [OPTION_YES] = {"yes", 0},
    [OPTION_HELP] = {"help", 'h'},
    [OPTION_VERSION] = {"version", 'V'},
    [OPTION_ALL] = {"all", 0},
    [OPTION_ALLOW_NO_MAC] = {"allow-no-mac", 0},
    [OPTION_AS] = {"as", 0},
    [OPTION_CONNECT] = {"connect", 0},
    [OPTION_DATABASE] = {"database", 0},
    [OPTION_EXTENDED_KEY_USAGE] = {"eku", 0},
    [OPTION_EVERYTHING] = {"everything", 0},
    [OPTION_FORCE] = {"force", 0},
    [OPTION_FORMAT] = {"format", 0},
    [OPTION_HASH] = {"hash", 0},
    [OPTION_HOST] = {"host", 0},
    [OPTION_INPUT] = {"input", 'i'},
    [OPTION_KEY] = {"key", 0},
    [OPTION_NEW] = {"new", 0},
    [OPTION_NO_PAGER] = {"no-pager", 0},
    [OPTION_OUTPUT] = {"output", 'o'},
    [OPTION_PADDING] = {"padding", 0},
    [OPTION_PASSWORD_FROM] = {"password-from", 0},
    [OPTION_PEM] = {"pem", 0},
    [OPTION_REFERENCE] = {"reference", 0},
    [OPTION_SEPARATE] = {"separate", 0},
    [OPTION_SIGNATURE] = {"signature", 's'},
    [OPTION_STORE] = {"store", 0},
    [OPTION_SUBJECT] = {"subject", 0},
    [OPTION_TEXT] = {"text", 0},
    [OPTION_TOGETHER] = {"together", 0},
    [OPTION_CA] = {"ca", 0},
    [OPTION_LOCAL_DIRECTORY] = {"local-directory", 0},
    [OPTION_SYSTEM_DIRECTORY] = {"system-directory", 0},
    [OPTION_TO] = {"to", 0},
    [OPTION_NEW_KEY] = {"new-key", 0},
    [OPTION_RECOVERY_KEY] = {"recovery-key", 0},
    [OPTION_RETIRE] = {"retire", 0},
    [OPTION_DRY_RUN] = {"dry-run", 0},
    [OPTION_DERIVED] = {"derived", 0},
    [OPTION_MASTER_KEY] = {"master-key", 0},
    [OPTION_WITH_DERIVED_KEYS] = {"with-derived-keys", 0},
    [OPTION_PURPOSE] = {"purpose", 0},
    [OPTION_CONTEXT] = {"context", 0},
    [OPTION_AAD] = {"aad", 0},
};

const struct verb_option global_options[] = {
    {OPTION_CONFIGURATION, "FILE", "the configuration file", false, false},
    {OPTION_JSON, NULL, "print one JSON document", false, false},
    {OPTION_QUIET, NULL, "say nothing but results and errors", false, false},
    {OPTION_VERBOSE, NULL, "tell more; twice: everything", false, false},
    {OPTION_YES, NULL, "answer every question with yes", false, false},
    {OPTION_HELP, NULL, "explain, with examples", false, false},
    {OPTION_VERSION, NULL, "print the version", false, false},
};
const size_t global_option_count = sizeof(global_options) / sizeof(global_options[0]);

#define LONG_BASE 256 /* getopt_long's value of an option without a letter: this and its number */

/* What getopt_long is told, made from the tables. */
struct parser {
    char letters[3 + 2 * OPTION_COUNT];
    struct option rows[OPTION_COUNT + 1];
    const struct verb_option *options[OPTION_COUNT]; /* by id; NULL: not taken here */
    size_t count;
};

static int option_value(enum option_id id)
{
    return option_names[id].letter != 0 ? option_names[id].letter : LONG_BASE + (int)id;
}

static void parser_add(struct parser *parser, const struct verb_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct option_name *name = &option_names[options[i].option];
        struct option *row = &parser->rows[parser->count++];

        parser->options[options[i].option] = &options[i];
        row->name = name->name;
        row->has_arg = options[i].argument != NULL ? required_argument : no_argument;
        row->flag = NULL;
        row->val = option_value(options[i].option);
        if (name->letter != 0) {
            size_t length = strlen(parser->letters);
            parser->letters[length] = name->letter;
            parser->letters[length + 1] = options[i].argument != NULL ? ':' : '\0';
        }
    }
}

static bool parser_find(const struct parser *parser, int value, enum option_id *id)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (parser->options[i] != NULL && option_value((enum option_id)i) == value) {
            *id = (enum option_id)i;
            return true;
        }
    }
    return false;
}

/* What getopt_long stumbled over, in words. */
static kw_status refuse(const struct parser *parser, int result, char **argv, kw_error *error)
{
    const char *written = argv[optind - 1];
    bool is_long = written != NULL && strncmp(written, "--", 2) == 0;
    const char *names[OPTION_COUNT];
    enum option_id id = OPTION_COUNT;
    size_t similar = 0;
    int length = is_long ? (int)strcspn(written, "=") : 0;

    if (result == ':' && parser_find(parser, optopt, &id))
        return problem_set(error, KW_INVALID_ARGUMENT, "option --%s needs its %s", option_names[id].name,
                           parser->options[id]->argument);
    if (is_long && written[length] == '=' && parser_find(parser, optopt, &id))
        return problem_set(error, KW_INVALID_ARGUMENT, "option --%s takes no argument", option_names[id].name);
    if (!is_long)
        return problem_set(error, KW_INVALID_ARGUMENT, "unknown option -%c", optopt);

    for (size_t i = 0; i < parser->count; i++) {
        names[i] = parser->rows[i].name;
        if (length > 2 && strncmp(names[i], written + 2, (size_t)length - 2) == 0)
            similar++;
    }
    if (similar > 1)
        return problem_set(error, KW_INVALID_ARGUMENT, "option %.*s is ambiguous: write it out", length, written);

    char name[64];
    size_t name_length = (size_t)length - 2 < sizeof(name) - 1 ? (size_t)length - 2 : sizeof(name) - 1;
    memcpy(name, written + 2, name_length);
    name[name_length] = '\0';
    const char *nearest = problem_nearest(name, names, parser->count);
    problem_set(error, KW_INVALID_ARGUMENT, "unknown option --%s", name);
    if (nearest != NULL)
        problem_remedy(error, "did you mean --%s?", nearest);
    return KW_INVALID_ARGUMENT;
}

static kw_status reserve(struct arguments *arguments, size_t more, kw_error *error)
{
    size_t capacity = arguments->capacity + more;
    const char **texts = calloc(capacity, sizeof(*texts));
    const char **words = calloc(capacity, sizeof(*words));
    enum option_id *options = calloc(capacity, sizeof(*options));

    if (texts == NULL || words == NULL || options == NULL) {
        free(texts);
        free(words);
        free(options);
        return problem_memory(error);
    }
    for (size_t i = 0; i < arguments->text_count; i++) {
        texts[i] = arguments->texts[i];
        options[i] = arguments->options[i];
    }
    for (size_t i = 0; i < arguments->word_count; i++)
        words[i] = arguments->words[i];
    arguments_free(arguments);
    *arguments = (struct arguments){.texts = texts,
                                    .words = words,
                                    .options = options,
                                    .text_count = arguments->text_count,
                                    .word_count = arguments->word_count,
                                    .capacity = capacity};
    return KW_OK;
}

/* Sorts the texts by option, keeping the order within each. */
static void group(struct arguments *arguments)
{
    for (size_t i = 1; i < arguments->text_count; i++) {
        const char *text = arguments->texts[i];
        enum option_id option = arguments->options[i];
        size_t j = i;
        for (; j > 0 && arguments->options[j - 1] > option; j--) {
            arguments->texts[j] = arguments->texts[j - 1];
            arguments->options[j] = arguments->options[j - 1];
        }
        arguments->texts[j] = text;
        arguments->options[j] = option;
    }
    memset(arguments->first, 0, sizeof(arguments->first));
    memset(arguments->count, 0, sizeof(arguments->count));
    for (size_t i = 0; i < arguments->text_count; i++) {
        enum option_id option = arguments->options[i];
        if (arguments->count[option]++ == 0)
            arguments->first[option] = i;
    }
}

static kw_status check_repeats(const struct arguments *arguments, const struct parser *parser, kw_error *error)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct verb_option *option = parser->options[i];
        if (option != NULL && option->argument != NULL && !option->repeatable && arguments->count[i] > 1)
            return problem_set(error, KW_INVALID_ARGUMENT, "option --%s is given twice", option_names[i].name);
    }
    return KW_OK;
}

kw_status arguments_parse(struct arguments *arguments, int argc, char **argv, const struct verb_option *options,
                          size_t option_count, bool until_word, int *index, kw_error *error)
{
    /* "+": stop at the first word. ":": tell a missing argument from an unknown option. */
    struct parser parser = {.letters = {until_word ? '+' : ':', until_word ? ':' : '\0'}};
    int result;
    kw_status status = reserve(arguments, (size_t)argc + 1, error);

    if (status != KW_OK)
        return status;
    parser_add(&parser, global_options, global_option_count);
    parser_add(&parser, options, option_count);

    opterr = 0;
    optind = 0; /* starts getopt_long anew */
    while ((result = getopt_long(argc, argv, parser.letters, parser.rows, NULL)) != -1) {
        enum option_id id = OPTION_COUNT;
        const char *text = optarg;

        if (!parser_find(&parser, result, &id)) {
            status = refuse(&parser, result, argv, error);
            break;
        }
        /* Taken as openssl spells them: -in FILE, -out FILE, and not -i with the argument "n". */
        if (text != NULL && text == argv[optind - 1] + 2 &&
            ((id == OPTION_INPUT && strcmp(text, "n") == 0) || (id == OPTION_OUTPUT && strcmp(text, "ut") == 0))) {
            if (optind >= argc) {
                status = problem_set(error, KW_INVALID_ARGUMENT, "option %s needs its %s", argv[optind - 1],
                                     parser.options[id]->argument);
                break;
            }
            text = argv[optind++];
        }
        arguments->texts[arguments->text_count] = text;
        arguments->options[arguments->text_count++] = id;
    }
    *index = optind;
    if (!until_word) {
        for (int i = optind; i < argc; i++)
            arguments->words[arguments->word_count++] = argv[i];
    }
    group(arguments);
    return status == KW_OK ? check_repeats(arguments, &parser, error) : status;
}

void arguments_free(struct arguments *arguments)
{
    free(arguments->texts);
    free(arguments->words);
    free(arguments->options);
    arguments->texts = NULL;
    arguments->words = NULL;
    arguments->options = NULL;
}

bool argument_given(const struct arguments *arguments, enum option_id option)
{
    return arguments->count[option] > 0;
}

const char *argument_text(const struct arguments *arguments, enum option_id option)
{
    return argument_given(arguments, option) ? arguments->texts[arguments->first[option]] : NULL;
}

const char *const *argument_list(const struct arguments *arguments, enum option_id option, size_t *count)
{
    *count = arguments->count[option];
    return *count > 0 ? &arguments->texts[arguments->first[option]] : NULL;
}

const char *argument_word(const struct arguments *arguments, size_t index)
{
    return index < arguments->word_count ? arguments->words[index] : NULL;
}
