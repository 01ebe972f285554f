#include "verb.h"

static json_t *change_json(const kw_change *change)
{
    return json_pack("{s:s,s:o,s:o}", "setting", change->setting, "before", json_text(change->before), "after",
                     json_text(change->after));
}

static kw_status print_json(const kw_changes *changes, bool dry_run, kw_error *error)
{
    json_t *array = json_array();

    for (size_t i = 0; i < changes->count; i++) {
        if (json_array_append_new(array, change_json(&changes->changes[i])) != 0) {
            json_decref(array);
            return problem_memory(error);
        }
    }
    return json_print(json_pack("{s:b,s:o,s:I}", "dry_run", dry_run ? 1 : 0, "changes", array, "contexts",
                                (json_int_t)changes->contexts - 1),
                      error);
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

static kw_status reload_run(struct session *session, kw_error *error)
{
    const bool dry_run = argument_given(&session->arguments, OPTION_DRY_RUN);
    kw_changes *changes = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_reload(session->context, dry_run, &changes, error);
    if (status != KW_OK) {
        session_note(session, "nothing was changed: programs that run go on with the configuration that they have");
        return status;
    }
    status = session->json ? print_json(changes, dry_run, error) : print_text(changes, error);
    if (status == KW_OK && changes->count == 0)
        session_note(session, "nothing differs from the configuration in force");
    if (status == KW_OK && dry_run)
        session_note(session, "nothing was changed; %zu contexts of running programs would be told",
                     changes->contexts - 1);
    else if (status == KW_OK)
        session_note(session, "%zu contexts of running programs were told", changes->contexts - 1);
    kw_changes_free(changes);
    return status;
}

static const struct verb_option options[] = {
    {.option = OPTION_DRY_RUN, .help = "only checks, and shows the differences"},
};

const struct verb verb_reload = {
    .name = "reload",
    .synopsis = "[--dry-run]",
    .summary = "tells running programs of a new configuration",
    .description =
        "Checks the configuration file, shows what differs from the one in force, and tells the programs that\n"
        "use this state. Each takes it at its next call, tells its log when it cannot, and does not cut\n"
        "off what is under way. State and catalogue key cannot change while programs run.",
    VERB_OPTIONS(options),
    .examples = {"keywright reload --dry-run", "keywright reload"},
    .opens_as_is = true,
    .run = reload_run,
};
