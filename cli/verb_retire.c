#include "verb.h"

static kw_status retire_run(struct session *session, kw_error *error)
{
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_certificate_retire(session->context, session_certificate(session), session_event, session, error);
    if (status == KW_OK)
        status = session_done(session, NULL, error);
    return status;
}

const struct verb verb_retire = {
    .name = "retire",
    .synopsis = "CERT",
    .summary = "takes a certificate out of use, and keeps it for old data",
    .description = "Takes a certificate out of use. It is no longer required and leaves the list, but its key stays\n"
                   "and goes on opening old data, until 'keywright delete'. Retiring database/DB retires all that\n"
                   "is the database's own: its services, and the master keys that serve no other database in use.",
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .opens_as_is = true,
    .examples = {"keywright retire password-reset/sales/web"},
    .run = retire_run,
};
