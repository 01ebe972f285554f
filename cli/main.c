/* keywright: the command. Finds the verb, runs it, and turns what came of it into an exit status. */
#include "help.h"
#include "process.h"

#include <stdio.h>
#include <string.h>

/* A mistake on the command line: says where to read on when there is nothing better to say. */
static kw_status usage(const struct session *session, kw_error *error)
{
    if (error->remedy[0] == '\0') {
        if (session->verb != NULL)
            problem_remedy(error, "'keywright help %s' explains it", session->verb->name);
        else
            problem_remedy(error, "'keywright --help' explains all");
    }
    return KW_INVALID_ARGUMENT;
}

static kw_status check_arguments(const struct session *session, kw_error *error)
{
    const struct verb *verb = session->verb;
    const struct arguments *arguments = &session->arguments;

    if (argument_given(arguments, OPTION_QUIET) && argument_given(arguments, OPTION_VERBOSE))
        return problem_set(error, KW_INVALID_ARGUMENT, "--quiet and --verbose contradict each other");
    if (arguments->word_count < verb->words_minimum)
        return problem_set(error, KW_INVALID_ARGUMENT, "%s is missing", verb->words);
    if (arguments->word_count > verb->words_maximum)
        return problem_set(error, KW_INVALID_ARGUMENT, "'%s' is one word too many",
                           argument_word(arguments, verb->words_maximum));
    for (size_t i = 0; i < verb->option_count; i++) {
        const struct option_name *name = &option_names[verb->options[i].option];
        if (!verb->options[i].required || argument_given(arguments, verb->options[i].option))
            continue;
        if (name->letter != 0)
            return problem_set(error, KW_INVALID_ARGUMENT, "-%c %s is missing", name->letter,
                               verb->options[i].argument);
        return problem_set(error, KW_INVALID_ARGUMENT, "--%s %s is missing", name->name, verb->options[i].argument);
    }
    for (size_t i = 0; i < arguments->word_count; i++) {
        if (arguments->words[i][0] == '\0')
            return problem_set(error, KW_INVALID_ARGUMENT, "%s is empty", verb->words);
    }
    return KW_OK;
}

static void take_globals(struct session *session)
{
    const struct arguments *arguments = &session->arguments;
    size_t verbose = arguments->count[OPTION_VERBOSE];

    session->json = argument_given(arguments, OPTION_JSON);
    session->yes = argument_given(arguments, OPTION_YES);
    session->quiet = argument_given(arguments, OPTION_QUIET);
    session->verbosity = session->quiet ? KW_LOG_ERROR
                         : verbose == 0 ? KW_LOG_WARNING
                         : verbose == 1 ? KW_LOG_INFO
                                        : KW_LOG_DEBUG;
}

/* `keywright help [VERB]`. */
static kw_status help(struct session *session, int argc, char **argv, kw_error *error)
{
    int index = 1;
    size_t used;
    kw_status status = arguments_parse(&session->arguments, argc, argv, NULL, 0, false, &index, error);

    if (status != KW_OK)
        return usage(session, error);
    if (session->arguments.word_count == 0) {
        help_all();
        return KW_OK;
    }
    if (session->arguments.word_count == 1 && help_group(session->arguments.words[0]))
        return KW_OK;
    status = help_find_verb(session->arguments.words, session->arguments.word_count, &session->verb, &used, error);
    if (status != KW_OK)
        return usage(session, error);
    help_verb(session->verb);
    return KW_OK;
}

/* The verb, whose name may have two words, and where in argv its last word is; or help on those that begin with the first. */
static kw_status find_verb(struct session *session, int argc, char **argv, int *position, bool *helped, kw_error *error)
{
    const char *words[2] = {argv[*position], NULL};
    size_t used, count = 1;
    int index, second = *position;
    kw_status status = help_find_verb(words, count, &session->verb, &used, error);

    if (status == KW_OK)
        return KW_OK;
    status = arguments_parse(&session->arguments, argc - second, argv + second, NULL, 0, true, &index, error);
    if (status != KW_OK)
        return status;
    second += index;
    if (second >= argc && argument_given(&session->arguments, OPTION_HELP) && help_group(words[0])) {
        *helped = true;
        return KW_OK;
    }
    if (second < argc) {
        words[count++] = argv[second];
        *position = second;
    }
    return help_find_verb(words, count, &session->verb, &used, error);
}

static kw_status run(struct session *session, int argc, char **argv, kw_error *error)
{
    int position = 0, index;
    bool helped = false;
    kw_status status = arguments_parse(&session->arguments, argc, argv, NULL, 0, true, &position, error);

    take_globals(session);
    if (status != KW_OK)
        return usage(session, error);
    if (argument_given(&session->arguments, OPTION_VERSION)) {
        printf("keywright %s\n", kw_version());
        return KW_OK;
    }
    if (position >= argc) {
        if (argument_given(&session->arguments, OPTION_HELP)) {
            help_all();
            return KW_OK;
        }
        problem_set(error, KW_INVALID_ARGUMENT, "a verb is missing");
        return usage(session, error);
    }
    if (strcmp(argv[position], "help") == 0)
        return help(session, argc - position, argv + position, error);

    status = find_verb(session, argc, argv, &position, &helped, error);
    take_globals(session);
    if (status != KW_OK)
        return usage(session, error);
    if (helped)
        return KW_OK;
    status = arguments_parse(&session->arguments, argc - position, argv + position, session->verb->options,
                             session->verb->option_count, false, &index, error);
    take_globals(session);
    if (status != KW_OK)
        return usage(session, error);
    if (argument_given(&session->arguments, OPTION_HELP)) {
        help_verb(session->verb);
        return KW_OK;
    }
    status = check_arguments(session, error);
    if (status != KW_OK)
        return usage(session, error);
    return session->verb->run(session, error);
}

int main(int argc, char **argv)
{
    struct session session = {0};
    kw_error error = {0};
    bool quietly = false;
    kw_status status, flushed;

    process_prepare();
    status = run(&session, argc, argv, &error);
    if (status != KW_OK)
        message_error(&error, session.json);
    flushed = process_flush(&quietly, &error);
    if (flushed != KW_OK && status == KW_OK) {
        status = flushed;
        if (!quietly)
            message_error(&error, session.json);
    }
    session_close(&session);
    return problem_exit_status(status);
}
