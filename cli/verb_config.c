#include "verb.h"

#include <string.h>

static kw_status config_check_run(struct session *session, kw_error *error)
{
    kw_open_options options = session_options(session);
    const char *file = argument_word(&session->arguments, 0);
    bool connect = argument_given(&session->arguments, OPTION_CONNECT);
    kw_status status;

    if (file != NULL && options.configuration != NULL)
        return problem_set(error, KW_INVALID_ARGUMENT, "the configuration is named twice: by -c and by '%s'", file);
    if (file != NULL)
        options.configuration = file;
    status = kw_configuration_check(&options, connect, session_event, session, error);
    if (status != KW_OK)
        return status;
    session_note(session, connect ? "The configuration is in order, and every store and secret can be reached."
                                  : "The configuration is in order.");
    return session_done(session, NULL, error);
}

static kw_status config_schema_run(struct session *session, kw_error *error)
{
    kw_bytes schema = {0};
    kw_status status = kw_configuration_schema(&schema, error);

    (void)session;
    if (status != KW_OK)
        return status;
    fwrite(schema.data, 1, schema.length, stdout);
    if (schema.length == 0 || schema.data[schema.length - 1] != '\n')
        fputc('\n', stdout);
    kw_bytes_free(&schema);
    return KW_OK;
}

static const struct verb_option check_options[] = {
    {OPTION_CONNECT, NULL, "also open every store, the catalogue and every secret", false, false},
};

const struct verb verb_config_check = {
    .name = "config check",
    .synopsis = "[FILE] [--connect]",
    .summary = "checks the configuration and says file, line and column",
    .description = "Checks FILE, or the configuration that would be used, and changes nothing. What is wrong is\n"
                   "said with file, line, column and remedy; what is doubtful, such as a secret that others may\n"
                   "read, is a warning. --connect opens every store too (a new one is set up) and tells of keys\n"
                   "that are not where the configuration wants them.",
    VERB_OPTIONS(check_options),
    .words = "FILE",
    .words_maximum = 1,
    .examples = {"keywright config check", "keywright config check --connect"},
    .run = config_check_run,
};

const struct verb verb_config_schema = {
    .name = "config schema",
    .synopsis = "",
    .summary = "prints the JSON schema of the configuration",
    .description = "Prints the JSON schema (draft 2020-12) of the configuration file, for editors that check YAML.",
    .examples = {"keywright config schema > keywright.schema.json"},
    .run = config_schema_run,
};
