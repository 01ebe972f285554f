#include "verb.h"

#define PATIENCE                                                                                                       \
    2000 /* milliseconds: programs that are at work take it at once, and one that is idle may be so for hours */

static json_t *change_json(const kw_change *change)
{
    return json_pack("{s:s,s:o,s:o}", "setting", change->setting, "before", json_text(change->before), "after",
                     json_text(change->after));
}

/* `report` is NULL where nobody was told. This command's own context is not counted. */
static kw_status print_json(const kw_changes *changes, const kw_reload_report *report, kw_error *error)
{
    json_t *array = json_array(), *document;

    for (size_t i = 0; i < changes->count; i++) {
        if (json_array_append_new(array, change_json(&changes->changes[i])) != 0) {
            json_decref(array);
            return problem_memory(error);
        }
    }
    document =
        json_pack("{s:b,s:o,s:o,s:I}", "dry_run", report == NULL ? 1 : 0, "changes", array, "warnings",
                  json_texts(changes->warnings, changes->warning_count), "contexts", (json_int_t)changes->contexts - 1);
    if (document != NULL && report != NULL)
        json_object_update_new(document,
                               json_pack("{s:I,s:I,s:o,s:o}", "taken", (json_int_t)report->taken - 1, "refused",
                                         (json_int_t)report->refused, "waiting", json_text(report->waiting), "refusing",
                                         json_text(report->refusing)));
    return json_print(document, error);
}

static kw_status print_text(const kw_changes *changes, kw_error *error)
{
    static const struct column columns[] = {{.title = NULL}, {.title = NULL, .wraps = true}};
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    kw_status status = table != NULL ? KW_OK : problem_memory(error);

    for (size_t i = 0; status == KW_OK && i < changes->count; i++) {
        const kw_change *const change = &changes->changes[i];
        char text[2048];
        const char *const cells[] = {change->before == NULL  ? "added"
                                     : change->after == NULL ? "removed"
                                                             : "changed",
                                     text};
        if (change->before != NULL && change->after != NULL)
            snprintf(text, sizeof(text), "%s: %s -> %s", change->setting, change->before, change->after);
        else
            snprintf(text, sizeof(text), "%s: %s", change->setting,
                     change->before != NULL ? change->before : change->after);
        status = table_add(table, cells, 2, TINT_NONE, error);
    }
    if (status == KW_OK && changes->count > 0)
        status = table_print(table, error);
    table_free(table);
    return status;
}

/* Who has taken it, and who not. */
static void tell_report(struct session *session, const kw_changes *changes, const kw_reload_report *report)
{
    char sentence[1000];

    session_note(session, "%zu contexts of running programs were told, and %zu of them have it", changes->contexts - 1,
                 report->taken - 1);
    if (report->waiting != NULL)
        session_note(session, "%s: not yet; at its next call or use of a key", report->waiting);
    snprintf(sentence, sizeof(sentence),
             "%s: cannot take it, and goes on with the configuration it has; its log says why",
             report->refusing != NULL ? report->refusing : "");
    if (report->refusing != NULL)
        session_event(session, &(kw_event){.warning = true, .what = sentence});
}

static kw_status print(struct session *session, const kw_changes *changes, const kw_reload_report *report,
                       kw_error *error)
{
    kw_status status;

    if (session->json)
        return print_json(changes, report, error);
    status = print_text(changes, error);
    if (status != KW_OK)
        return status;
    if (changes->count == 0)
        session_note(session, "nothing differs from the configuration in force");
    for (size_t i = 0; i < changes->warning_count; i++)
        session_event(session, &(kw_event){.warning = true, .what = changes->warnings[i]});
    if (report != NULL)
        tell_report(session, changes, report);
    else
        session_note(session, "nothing was changed; %zu contexts of running programs would be told",
                     changes->contexts - 1);
    return KW_OK;
}

static kw_status reload_run(struct session *session, kw_error *error)
{
    const bool dry_run = argument_given(&session->arguments, OPTION_DRY_RUN);
    kw_changes *changes = NULL;
    kw_reload_report *report = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_reload(session->context, dry_run, &changes, error);
    if (status != KW_OK) {
        session_note(session, "nothing was changed: programs that run go on with the configuration that they have");
        return status;
    }
    if (!dry_run)
        status = kw_reload_wait(session->context, PATIENCE, &report, error);
    if (status == KW_OK)
        status = print(session, changes, report, error);
    kw_reload_report_free(report);
    kw_changes_free(changes);
    return status;
}

static const struct verb_option options[] = {
    {.option = OPTION_DRY_RUN, .help = "only checks, opens what is new, and shows the differences"},
};

const struct verb verb_reload = {
    .name = "reload",
    .synopsis = "[--dry-run]",
    .summary = "tells running programs of a new configuration",
    .description =
        "Checks the configuration file, opens the stores that are new in it or set up otherwise, shows what\n"
        "differs from the configuration in force, and tells the programs that use this state. Each takes it\n"
        "at its next call or use of a key, or tells its log why it cannot, and does not cut off what is\n"
        "under way; the command says which have taken it. State and catalogue key cannot change while\n"
        "programs run.",
    VERB_OPTIONS(options),
    .examples = {"keywright reload --dry-run", "keywright reload"},
    .opens_as_is = true,
    .run = reload_run,
};
