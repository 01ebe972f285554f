#include "file.h"
#include "terminal.h"
#include "verb.h"

/* Exactly one way to say what is exported. */
static kw_status check_what(const struct arguments *arguments, kw_error *error)
{
    int ways = (arguments->word_count > 0 ? 1 : 0) + (argument_given(arguments, OPTION_DATABASE) ? 1 : 0) +
               (argument_given(arguments, OPTION_EVERYTHING) ? 1 : 0);

    if (ways == 0)
        return problem_set(error, KW_INVALID_ARGUMENT, "say what to export: CERT..., --database DB or --everything");
    if (ways > 1)
        return problem_set(error, KW_INVALID_ARGUMENT, "CERT, --database and --everything contradict each other");
    if (argument_given(arguments, OPTION_SEPARATE) && argument_given(arguments, OPTION_TOGETHER))
        return problem_set(error, KW_INVALID_ARGUMENT, "--separate and --together contradict each other");
    return KW_OK;
}

static kw_status export_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    kw_export_options options = {
        .size = sizeof(options),
        .addresses = arguments->words,
        .address_count = arguments->word_count,
        .database = argument_text(arguments, OPTION_DATABASE),
        .everything = argument_given(arguments, OPTION_EVERYTHING),
        .path = argument_text(arguments, OPTION_OUTPUT),
        .separate = argument_given(arguments, OPTION_SEPARATE),
        .together = argument_given(arguments, OPTION_TOGETHER),
        .password_source = argument_text(arguments, OPTION_PASSWORD_FROM),
        .with_derived_keys = argument_given(arguments, OPTION_WITH_DERIVED_KEYS),
    };
    bool standard = options.path != NULL && file_is_standard(options.path);
    kw_bytes content = {0};
    kw_status status = check_what(arguments, error);

    if (status == KW_OK && standard)
        status = session_check_output(session, options.path, error);
    if (status != KW_OK)
        goto out;
    if (source_is_prompt(options.password_source) && !terminal_can_ask()) {
        status = problem_set(error, KW_REFUSED, "an export needs a password, and there is no terminal to ask at");
        problem_remedy(error, "give --password-from SOURCE, such as file:PATH or env:NAME");
        goto out;
    }
    if (standard) {
        options.path = NULL;
        options.content = &content;
        session->quiet = true; /* the file's bytes alone */
    }
    status = session_open(session, error);
    if (status == KW_OK)
        status = kw_export(session->context, &options, session_event, session, error);
    if (status == KW_OK && standard)
        status = file_write("-", (kw_input){content.data, content.length}, true, error);
    if (status == KW_OK)
        status = session_done(session, NULL, error);
out:
    kw_bytes_free(&content);
    return status;
}

static const struct verb_option export_options[] = {
    {OPTION_DATABASE, "DB", "all that belongs to a database", false, false},
    {OPTION_EVERYTHING, NULL, "all that may be exported", false, false},
    {OPTION_OUTPUT, "PATH", "the file; with --separate, the directory", false, false},
    {OPTION_SEPARATE, NULL, "one file for each certificate", false, false},
    {OPTION_TOGETHER, NULL, "one file for all, whatever is configured", false, false},
    {OPTION_WITH_DERIVED_KEYS, NULL, "also copies of derived keys, which otherwise exist nowhere", false, false},
    {OPTION_PASSWORD_FROM, "SOURCE", "where the password comes from; else it is asked for", false, false},
};

const struct verb verb_export = {
    .name = "export",
    .synopsis = "[CERT... | --database DB | --everything] -o PATH [--separate | --together]\n"
                "                        [--with-derived-keys] [--password-from SOURCE]",
    .summary = "exports certificates and keys as .pfx",
    .description = "Exports certificates and keys as .pfx (PKCS#12), which any tool opens, under a password. The\n"
                   "file holds what 'keywright import' needs on another server. ssl-connection is never exported.\n"
                   "PATH may be left out where the configuration sets a directory.",
    VERB_OPTIONS(export_options),
    .words = "CERT",
    .words_maximum = 10000,
    .examples = {"keywright export --database sales -o sales.pfx --password-from file:export-password",
                 "keywright export --everything --separate -o exports --password-from file:export-password"},
    .run = export_run,
};
