#include "verb.h"

static kw_status transfer_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    const kw_transfer_options options = {
        .size = sizeof(options),
        .addresses = arguments->words,
        .address_count = arguments->word_count,
        .database = argument_text(arguments, OPTION_DATABASE),
        .everything = argument_given(arguments, OPTION_EVERYTHING),
        .store = argument_text(arguments, OPTION_TO),
    };
    const int ways =
        (options.address_count > 0 ? 1 : 0) + (options.database != NULL ? 1 : 0) + (options.everything ? 1 : 0);
    kw_status status = KW_OK;

    if (ways == 0)
        status =
            problem_set(error, KW_INVALID_ARGUMENT, "say what to transfer: CERT..., --database DB or --everything");
    else if (ways > 1)
        status = problem_set(error, KW_INVALID_ARGUMENT, "CERT, --database and --everything contradict each other");
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = kw_transfer(session->context, &options, session_event, session, error);
    if (status == KW_OK)
        status = session_done(session, NULL, error);
    return status;
}

static const struct verb_option transfer_options[] = {
    {OPTION_TO, "STORE", "the store that the keys go to", true, false},
    {OPTION_DATABASE, "DB", "the keys of a database: its own, and of the master keys that serve it", false, false},
    {OPTION_EVERYTHING, NULL, "all server keys: of databases and master keys", false, false},
};

const struct verb verb_transfer = {
    .name = "transfer",
    .synopsis = "[CERT... | --database DB | --everything] --to STORE",
    .summary = "moves keys to another store, while they are in use",
    .description =
        "Moves the keys of certificates to another store, such as an HSM, with those of former certificates,\n"
        "which old data needs (of CERT@N, only that one). What cannot move is said before anything is touched.\n"
        "A key goes from the store where it was only after its copy has done everything that the key does,\n"
        "and when no running process can still use the old one. Killed at any moment, no key is lost: the\n"
        "next command finishes or goes back, and the same transfer again goes on with what is left.\n"
        "Server keys are those of databases and of master keys; name others as CERT.",
    VERB_OPTIONS(transfer_options),
    .words = "CERT",
    .words_maximum = 10000,
    .opens_as_is = true,
    .examples = {"keywright transfer database/sales --to hsm", "keywright transfer --database sales --to hsm",
                 "keywright transfer --everything --to hsm"},
    .run = transfer_run,
};
