#include "verb.h"

static kw_status apply_run(struct session *session, kw_error *error)
{
    kw_open_options options = session_options(session);
    kw_status status = kw_apply(&options, session_event, session, error);

    if (status != KW_OK)
        return status;
    return session_done(session, NULL, error);
}

const struct verb verb_apply = {
    .name = "apply",
    .synopsis = "",
    .summary = "creates what the configuration calls for and is missing",
    .description = "Creates what the configuration calls for and is missing: the catalogue, ssl-connection and\n"
                   "server-encryption. Tells what it created, and nothing when all was there. Safe to repeat,\n"
                   "and to run at every start of the server. Reminds of exporting server-encryption separately until\n"
                   "'keywright export server-encryption -o FILE' was run.",
    .examples = {"keywright apply", "keywright apply --json"},
    .run = apply_run,
};
