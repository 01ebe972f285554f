#include "certificate.h"
#include "pager.h"
#include "verb.h"

/* What --pem, --text and --reference print. */
static const struct form {
    enum option_id option;
    const char *member;
    kw_status (*get)(kw_context *context, const char *address, kw_bytes *text, kw_error *error);
} forms[] = {
    {OPTION_PEM, "pem", kw_certificate_pem},
    {OPTION_TEXT, "text", kw_certificate_text},
    {OPTION_REFERENCE, "reference", kw_certificate_reference},
};
#define FORM_COUNT (sizeof(forms) / sizeof(forms[0]))

static kw_status print_form(struct session *session, const struct form *form, kw_error *error)
{
    const char *address = session_certificate(session);
    kw_bytes text = {0};
    kw_status status = form->get(session->context, address, &text, error);

    if (status != KW_OK)
        return status;
    if (session->json)
        status = json_print(
            json_pack("{s:s,s:s%}", "certificate", address, form->member, (const char *)text.data, text.length), error);
    else
        fwrite(text.data, 1, text.length, stdout);
    kw_bytes_free(&text);
    return status;
}

static kw_status print_whole(struct session *session, kw_error *error)
{
    kw_certificate_list *list = NULL;
    kw_status status = certificate_find(session->context, session_certificate(session), &list, error);

    if (status != KW_OK)
        return status;
    status = session->json ? json_print(certificate_json_whole(&list->certificates[0]), error)
                           : certificate_print_details(&list->certificates[0], error);
    kw_certificate_list_free(list);
    return status;
}

static kw_status show_run(struct session *session, kw_error *error)
{
    const struct form *form = NULL;
    kw_status status;

    for (size_t i = 0; i < FORM_COUNT; i++) {
        if (!argument_given(&session->arguments, forms[i].option))
            continue;
        if (form != NULL)
            return problem_set(error, KW_INVALID_ARGUMENT, "--%s and --%s contradict each other",
                               option_names[form->option].name, option_names[forms[i].option].name);
        form = &forms[i];
    }
    status = session_open(session, error);
    if (status != KW_OK)
        return status;
    pager_begin(session);
    status = form != NULL ? print_form(session, form, error) : print_whole(session, error);
    return pager_end(status, error);
}

static const struct verb_option show_options[] = {
    {OPTION_PEM, NULL, "the certificate and its chain as PEM", false, false},
    {OPTION_TEXT, NULL, "the certificate as text, as openssl shows it", false, false},
    {OPTION_REFERENCE, NULL, "the PEM file that stands for the key, for other programs", false, false},
    {OPTION_NO_PAGER, NULL, "print to the terminal directly", false, false},
};

const struct verb verb_show = {
    .name = "show",
    .synopsis = "CERT [--pem | --text | --reference] [--no-pager]",
    .summary = "shows everything about one certificate",
    .description = "Shows everything about one certificate: subject, names, validity, fingerprints, key, store,\n"
                   "uses and chain. CERT@N shows certificate number N of an entry, also one that was replaced.\n"
                   "What is wrong with it stands first. Times are in the local zone; with --json in UTC.",
    VERB_OPTIONS(show_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .looks = true,
    .examples = {"keywright show database/sales", "keywright show database/sales --pem > sales.pem"},
    .run = show_run,
};
