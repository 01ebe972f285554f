#include "certificate.h"
#include "verb.h"

static kw_status rotate_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    const kw_rotate_options options = {
        .size = sizeof(options),
        .address = session_certificate(session),
        .new_key = argument_given(arguments, OPTION_NEW_KEY),
        .store = argument_text(arguments, OPTION_STORE),
    };
    kw_certificate_list *list = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_rotate(session->context, &options, session_event, session, error);
    if (status != KW_OK || !session->json)
        return status;
    status = certificate_find(session->context, options.address, &list, error);
    if (status != KW_OK)
        return status;
    status = session_done(session, certificate_json(&list->certificates[0]), error);
    kw_certificate_list_free(list);
    return status;
}

static const struct verb_option rotate_options[] = {
    {OPTION_NEW_KEY, NULL, "a new key pair, and a certificate for it", false, false},
    {OPTION_STORE, "S", "the store for the new key, not the configured one", false, false},
};

const struct verb verb_rotate = {
    .name = "rotate",
    .synopsis = "CERT --new-key [--store S]",
    .summary = "makes a new key and certificate for an entry",
    .description = "Makes a new key and a certificate for it, as the present one, which stays as CERT@N for what was\n"
                   "encrypted to it. It is the way into a store that takes no keys from outside. The new certificate\n"
                   "has to be given to whoever knows the old one. One that a CA has issued is refused.",
    VERB_OPTIONS(rotate_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright rotate database/sales --new-key", "keywright rotate database/sales --new-key --store hsm"},
    .run = rotate_run,
};
