#include "certificate.h"
#include "terminal.h"
#include "verb.h"

#include <stdio.h>
#include <stdlib.h>

static kw_status retire_version(const struct arguments *arguments, unsigned *version, kw_error *error)
{
    const char *text = argument_text(arguments, OPTION_RETIRE);
    char *end = NULL;
    unsigned long number = 0;

    if (text == NULL)
        return KW_OK;
    if (text[0] >= '1' && text[0] <= '9')
        number = strtoul(text, &end, 10);
    if (end == NULL || *end != '\0' || number > 1000000)
        return problem_set(error, KW_INVALID_ARGUMENT, "--retire takes the number of a root's version, not '%s'", text);
    *version = (unsigned)number;
    return KW_OK;
}

static kw_status ask_retire(const kw_rotate_options *options, kw_error *error)
{
    char question[1024];

    snprintf(question, sizeof(question),
             "Retire root %u of %s, though data may be sealed under it? What was not sealed anew is lost.",
             options->retire, options->address);
    return terminal_confirm(question, error);
}

static kw_status rotate_run(struct session *session, kw_error *error)
{
    const struct arguments *arguments = &session->arguments;
    kw_rotate_options options = {
        .size = sizeof(options),
        .address = session_certificate(session),
        .new_key = argument_given(arguments, OPTION_NEW_KEY),
        .store = argument_text(arguments, OPTION_STORE),
        .key = argument_text(arguments, OPTION_KEY),
        .recovery_key_path = argument_text(arguments, OPTION_RECOVERY_KEY),
        .recovery_password_source = argument_text(arguments, OPTION_PASSWORD_FROM),
        .force = argument_given(arguments, OPTION_FORCE),
    };
    kw_certificate_list *list = NULL;
    kw_status status = retire_version(arguments, &options.retire, error);

    if (status == KW_OK && options.force && options.retire != 0 && !session->yes)
        status = ask_retire(&options, error);
    if (status == KW_OK)
        status = session_open(session, error);
    if (status == KW_OK)
        status = kw_rotate(session->context, &options, session_event, session, error);
    if (status != KW_OK || !session->json)
        return status;
    status = certificate_find(session->context, options.address, &list, error);
    if (status != KW_OK)
        return status;
    status = session_done(session, certificate_json_whole(&list->certificates[0]), error);
    kw_certificate_list_free(list);
    return status;
}

static const struct verb_option rotate_options[] = {
    {OPTION_NEW_KEY, NULL, "a new key pair, and a certificate for it", false, false},
    {OPTION_STORE, "S", "the store for the new key, not the configured one", false, false},
    {OPTION_KEY, "ALG", "another type of key than the configured or present one, such as rsa-3072", false, false},
    {OPTION_RECOVERY_KEY, "FILE", "the recovery certificate's private key, when the old key is lost", false, false},
    {OPTION_PASSWORD_FROM, "SOURCE", "where the recovery key's password comes from; else it is asked for", false,
     false},
    {OPTION_RETIRE, "VERSION", "retires a version of the root secret that nothing needs any more", false, false},
    {OPTION_FORCE, NULL, "with --retire, of a master key that is retired: also what was not sealed anew", false, false},
};

const struct verb verb_rotate = {
    .name = "rotate",
    .synopsis = "CERT [--new-key [--store S] [--key ALG] [--recovery-key FILE [--password-from SOURCE]]] [--retire "
                "VERSION [--force]]",
    .summary = "makes a new root secret for a master key, or a new key for an entry",
    .description =
        "Without options: a master key gets a new root secret. What is sealed from now on is under it; those\n"
        "before open what was sealed under them, until it is sealed anew and they are retired.\n"
        "With --new-key: makes a new key and a certificate for it, as the present one, which stays as CERT@N\n"
        "for what was encrypted to it. It is the way into a store that takes no keys from outside. The new\n"
        "certificate has to be given to whoever knows the old one. One that a CA has issued is refused. A\n"
        "master key's root secrets are wrapped to its new key: by the old one, or, where that is lost, by the\n"
        "private key of the recovery certificate (subkeys: recovery_certificate).",
    VERB_OPTIONS(rotate_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .examples = {"keywright rotate master-key/corp.example", "keywright rotate database/sales --new-key --store hsm"},
    .run = rotate_run,
};
