#include "certificate.h"
#include "terminal.h"
#include "verb.h"

/* So that nobody is asked about what is refused anyway. */
static kw_status check_required(const kw_certificate_info *certificate, bool force, kw_error *error)
{
    kw_status status;

    if (!certificate->required || force)
        return KW_OK;
    status = problem_set(error, KW_REFUSED, "%s is required", certificate->address);
    problem_remedy(error, "retire it first ('keywright retire %s'), or give --force", certificate->address);
    return status;
}

static kw_status delete_run(struct session *session, kw_error *error)
{
    const char *address = session_certificate(session);
    bool force = argument_given(&session->arguments, OPTION_FORCE);
    kw_certificate_list *list = NULL;
    char question[1024];
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = certificate_find(session->context, address, &list, error);
    if (status == KW_OK)
        status = check_required(&list->certificates[0], force, error);
    else if (status == KW_CORRUPT && force) /* then the library drops what is left of it */
        status = KW_OK;
    if (status != KW_OK)
        goto out;
    if (!session->yes) {
        snprintf(question, sizeof(question), "Delete %s and its key for good? What only this key opens is lost.",
                 address);
        status = terminal_confirm(question, error);
        if (status != KW_OK)
            goto out;
    }
    status = kw_certificate_delete(session->context, address, force, error);
    if (status != KW_OK)
        goto out;
    session_event(session, &(kw_event){.certificate = address, .what = "deleted"});
    status = session_done(session, NULL, error);
out:
    kw_certificate_list_free(list);
    return status;
}

static const struct verb_option delete_options[] = {
    {OPTION_FORCE, NULL, "also one that is required, or whose rows are damaged, or whose store is lost", false, false},
};

const struct verb verb_delete = {
    .name = "delete",
    .synopsis = "CERT [--force]",
    .summary = "removes a certificate and its key for good",
    .description = "Removes a certificate and its key for good. Asks first, at a terminal; elsewhere it needs --yes.\n"
                   "One that is required is refused without --force: 'keywright retire' takes it out of use. A\n"
                   "database that others depend on is refused always. Where there are several certificates, say\n"
                   "which by its number (general/shop@2). Of one whose rows in the catalogue are damaged, --force\n"
                   "drops the rows and leaves the key in its store. The same of one that is not required, and whose\n"
                   "store is lost or in the configuration no more.",
    VERB_OPTIONS(delete_options),
    .words = "CERT",
    .words_minimum = 1,
    .words_maximum = 1,
    .opens_as_is = true,
    .examples = {"keywright delete password-reset/sales/web --yes"},
    .run = delete_run,
};
