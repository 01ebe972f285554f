#include "verb.h"

#include <stdlib.h>
#include <string.h>

static kw_status init_run(struct session *session, kw_error *error)
{
    const char *directory = argument_word(&session->arguments, 0);
    kw_open_options options = session_options(session);
    size_t length = strlen(directory) + sizeof("/keywright.yaml");
    char *configuration = malloc(length);
    kw_status status;

    if (configuration == NULL)
        return problem_memory(error);
    snprintf(configuration, length, "%s%skeywright.yaml", directory,
             directory[strlen(directory) - 1] == '/' ? "" : "/");
    options.configuration = NULL;
    status = kw_initialise(directory, &options, session_event, session, error);
    if (status != KW_OK)
        goto out;
    session_note(
        session,
        "The configuration is %s: name it with -c, or in $KEYWRIGHT_CONFIG.\n"
        "Keep a copy of this directory's files apart from the server: without its passphrase the keys are lost.",
        configuration);
    status = session_done(session, json_pack("{s:s}", "configuration", configuration), error);
out:
    free(configuration);
    return status;
}

const struct verb verb_init = {
    .name = "init",
    .synopsis = "DIR",
    .summary = "writes a working configuration into DIR and applies it",
    .description = "Writes a working configuration into DIR, which is made where there is none: the file\n"
                   "DIR/keywright.yaml with one store (softstore) and a catalogue in SQLite, and the files\n"
                   "that hold the store's passphrase and the catalogue's key, of mode 0600. Then goes on as\n"
                   "'keywright apply'. Nothing is overwritten, and a failure leaves nothing behind.",
    .words = "DIR",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright init ./server"},
    .run = init_run,
};
