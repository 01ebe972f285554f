#include "terminal.h"
#include "verb.h"

#include <string.h>

static kw_status passphrase_run(struct session *session, kw_error *error)
{
    const char *store = argument_word(&session->arguments, 0);
    const char *source = argument_text(&session->arguments, OPTION_NEW);
    kw_bytes configured = {0};
    const char *place = "the configuration";
    size_t length = strlen(place);
    kw_status status;

    if (source_is_prompt(source) && !terminal_can_ask()) {
        status = problem_set(error, KW_REFUSED, "the new secret is to be typed, and there is no terminal to ask at");
        problem_remedy(error, "give --new SOURCE, such as file:PATH or env:NAME");
        return status;
    }
    status = session_open(session, error);
    if (status == KW_OK)
        status = kw_store_set_secret(session->context, store, source, &configured, error);
    if (status != KW_OK)
        return status;
    if (configured.length > 0) {
        place = (const char *)configured.data;
        length = configured.length;
    }
    if (strncmp(source, "subkey:", strlen("subkey:")) == 0)
        session_note(session, "The new secret of store '%s' is in force: from now on %.*s must be %s.", store,
                     (int)length, place, source);
    else
        session_note(session, "The new secret of store '%s' is in force: from now on %.*s must give it.", store,
                     (int)length, place);
    status = session_done(session, json_pack("{s:s,s:s%}", "store", store, "configured", place, length), error);
    kw_bytes_free(&configured);
    return status;
}

static const struct verb_option passphrase_options[] = {
    {OPTION_NEW, "SOURCE", "where the new one comes from", true, false},
};

const struct verb verb_passphrase = {
    .name = "passphrase",
    .synopsis = "STORE --new SOURCE",
    .summary = "changes the passphrase or PIN of a store",
    .description =
        "Changes the passphrase or PIN of a store, at once for all servers. The present one is what the\n"
        "configuration gives. The configuration is not edited: afterwards it must give the new one. Where\n"
        "it names a file, replace that: 'mv new-passphrase passphrase'; until then the store does not open.\n"
        "subkey:master-key/DOMAIN derives it from a master key in another store, such as an HSM; once more\n"
        "moves it to the present version of that master key's root.",
    VERB_OPTIONS(passphrase_options),
    .words = "STORE",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright passphrase local --new file:new-passphrase",
                 "keywright passphrase local --new subkey:master-key/corp.example"},
    .run = passphrase_run,
};
