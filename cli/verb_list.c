#include "certificate.h"
#include "pager.h"
#include "verb.h"

static kw_status print_json(const kw_certificate_list *list, kw_error *error)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++) {
        if (json_array_append_new(array, certificate_json(&list->certificates[i])) != 0) {
            json_decref(array);
            return problem_memory(error);
        }
    }
    return json_print(array, error);
}

static kw_status list_run(struct session *session, kw_error *error)
{
    kw_certificate_filter filter = {
        .size = sizeof(filter),
        .all = argument_given(&session->arguments, OPTION_ALL),
        .database = argument_text(&session->arguments, OPTION_DATABASE),
        .store = argument_text(&session->arguments, OPTION_STORE),
    };
    kw_certificate_list *list = NULL;
    kw_status status = session_open(session, error);

    if (status != KW_OK)
        return status;
    status = kw_certificates(session->context, &filter, &list, error);
    if (status != KW_OK)
        return status;
    pager_begin(session);
    status = session->json ? print_json(list, error) : certificate_print_list(list, filter.all, error);
    status = pager_end(status, error);
    for (size_t i = 0; status == KW_OK && i < list->count; i++)
        if (list->certificates[i].export_due)
            session_note(
                session,
                "%s: export it separately and keep the file apart from this server: `keywright export %s -o FILE`",
                list->certificates[i].address, list->certificates[i].address);
    /* What is damaged is left out and told; the rest is shown. The first of them is the verb's error. */
    for (size_t i = list->problem_count; status == KW_OK && i-- > 0;) {
        if (i > 0)
            message_error(&list->problems[i], session->json);
        else
            *error = list->problems[0];
    }
    if (status == KW_OK && list->problem_count > 0)
        status = error->status;
    kw_certificate_list_free(list);
    return status;
}

static const struct verb_option list_options[] = {
    {OPTION_ALL, NULL, "also those that are no longer required", false, false},
    {OPTION_NO_PAGER, NULL, "print to the terminal directly", false, false},
    {OPTION_DATABASE, "DB", "only those of a database", false, false},
    {OPTION_STORE, "S", "only those whose key is in a store", false, false},
};

const struct verb verb_list = {
    .name = "list",
    .synopsis = "[--all] [--database DB] [--store S] [--no-pager]",
    .summary = "lists certificates, one line each",
    .description =
        "Lists the certificates that are required: their entry is in use and they are its current one.\n"
        "With --all also those that were replaced or retired and are kept for old data. Opens no store.\n"
        "NOTE says in a word what is wrong: expired, not yet valid, expires soon, host missing, misplaced,\n"
        "store unknown; `keywright show CERT` explains it. What is to be exported separately and was not\n"
        "yet, is said below. Rows are cut to a terminal's width, and whole elsewhere; what is longer than a\n"
        "terminal goes through $KEYWRIGHT_PAGER, $PAGER or less.",
    VERB_OPTIONS(list_options),
    .looks = true,
    .examples = {"keywright list", "keywright list --all --database sales", "keywright list --json"},
    .run = list_run,
};
