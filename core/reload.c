/* A new configuration for a context that is at work, and for all others of the state. */
#include "candidate.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_MAXIMUM 50u /* milliseconds between two looks of kw_reload_wait */

/* ---- Views ---- */

/* Of the whole, whose settings and stores may be replaced meanwhile; or of another view. */
static void view_make(kw_context *context, struct kw_context *view)
{
    const bool is_whole = context->whole == NULL;
    *view = (struct kw_context){
        .log = context->log,
        .prompt = context->prompt,
        .prompt_user = context->prompt_user,
        .crypto = context->crypto,
        .catalogue = context->catalogue,
        .control = context->control,
        .keyring = context->keyring,
        .owner = context->owner,
        .renew = context->renew,
        .derived = context->derived,
        .secrets = context->secrets,
        .whole = is_whole ? context : context->whole,
    };
    if (is_whole)
        pthread_mutex_lock(&context->present);
    view->settings = settings_reference(context->settings);
    view->stores = stores_reference(context->stores);
    if (is_whole)
        pthread_mutex_unlock(&context->present);
}

static void reload_if_told(kw_context *context);

void context_follow(kw_context *context)
{
    if (context->whole == NULL &&
        atomic_load_explicit(&context->configuration, memory_order_relaxed) != control_configuration(context->control))
        reload_if_told(context);
}

void context_take(kw_context *context, struct kw_context *view)
{
    context_follow(context);
    view_make(context, view);
}

void context_give(struct kw_context *view)
{
    stores_free(view->stores);
    settings_free(view->settings);
}

kw_status context_tell_stores(kw_context *context, kw_error *error)
{
    const struct settings *const settings = context->settings;
    const char **ids = calloc(settings->store_count + 1, sizeof(*ids));
    if (ids == NULL)
        return error_memory(error);
    for (size_t i = 0; i < settings->store_count; i++)
        ids[i] = settings->stores[i].id;
    control_know(context->control, ids, settings->store_count);
    free(ids);
    return KW_OK;
}

/* ---- Taking it ---- */

/* From now on calls begin with it. What began before goes on with what it has. */
static kw_status candidate_install(kw_context *whole, struct candidate *candidate, kw_error *error)
{
    struct candidate former;
    pthread_mutex_lock(&whole->present);
    former = (struct candidate){.settings = whole->settings, .stores = whole->stores};
    stores_replace(former.stores, candidate->stores);
    whole->settings = candidate->settings;
    whole->stores = candidate->stores;
    keyring_use(whole->keyring, whole->settings, whole->stores);
    pthread_mutex_unlock(&whole->present);
    *candidate = (struct candidate){0};
    candidate_clear(&former);
    return context_tell_stores(whole, error);
}

/* One thread at a time; the others go on. No mutex: the process may fork. */
static bool begin_reloading(kw_context *whole)
{
    return !atomic_exchange(&whole->reloading, true);
}

static void end_reloading(kw_context *whole)
{
    atomic_store(&whole->reloading, false);
}

/* Another process has told of a new configuration. One that cannot be taken is told to the log, once. */
static void reload_if_told(kw_context *context)
{
    const uint64_t told = control_configuration(context->control);
    struct candidate candidate = {0};
    struct kw_context view;
    kw_error error = {0};
    if (atomic_load_explicit(&context->configuration, memory_order_relaxed) == told || !begin_reloading(context))
        return;
    view_make(context, &view);
    kw_status status = candidate_read(&view, &candidate, &error);
    if (status == KW_OK)
        status = candidate_open(&view, &candidate, NULL, &error);
    if (status == KW_OK)
        status = candidate_install(context, &candidate, &error);
    atomic_store(&context->configuration, told);
    control_answer(context->control, told, status == KW_OK);
    if (status == KW_OK)
        log_write(&context->log, KW_LOG_INFO, "the new configuration in %s is in force", view.settings->path);
    else
        log_write(&context->log, KW_LOG_ERROR,
                  "the new configuration is not taken, and the old one stays in force: %s%s%s", error.where,
                  error.where[0] == '\0' ? "" : ": ", error.message);
    candidate_clear(&candidate);
    context_give(&view);
    end_reloading(context);
}

void context_renew(void *whole)
{
    reload_if_told(whole);
}

/* ---- Telling ---- */

static kw_status check_changes(const kw_changes *changes, const struct settings *settings, kw_error *error)
{
    static const char *const fixed[] = {"state", "catalogue", "catalogue_key"};
    for (size_t i = 0; i < changes->count; i++)
        for (size_t k = 0; k < sizeof(fixed) / sizeof(fixed[0]); k++)
            if (strcmp(changes->changes[i].setting, fixed[k]) == 0)
                return candidate_refuse(fixed[k], settings, error);
    return KW_OK;
}

/* Differences from what was told last, else from what is in force here. */
static kw_status compare(kw_context *view, const struct candidate *candidate, struct lines *after, kw_changes **changes,
                         kw_error *error)
{
    struct lines before = {0};
    kw_status status = lines_of(view, candidate->settings, after, error);
    if (status == KW_OK && !lines_read(view, &before))
        status = lines_of(view, view->settings, &before, error);
    if (status == KW_OK)
        status = changes_list(&before, after, changes, error);
    if (status == KW_OK)
        status = check_changes(*changes, candidate->settings, error);
    if (status == KW_OK)
        status = candidate_warn(view, candidate, &before, *changes, error);
    lines_clear(&before);
    return status;
}

/*
 * First here, so that it is known to work; then the record, with which later ones compare; then the others. `told` is of before the file
 * was read: where another process tells of one meanwhile, this one is behind, and reads the file again.
 */
static kw_status put_in_force(kw_context *whole, kw_context *view, struct candidate *candidate,
                              const struct lines *lines, uint64_t told, kw_error *error)
{
    uint64_t generation = 0;
    kw_status status = candidate_install(whole, candidate, error);
    if (status == KW_OK)
        status = lines_write(view, lines, error);
    if (status == KW_OK)
        status = control_raise_configuration(whole->control, &generation, error);
    if (status == KW_OK) {
        atomic_store(&whole->configuration, told + 1);
        control_answer(whole->control, told + 1, true);
    }
    return status;
}

kw_status kw_reload(kw_context *context, bool dry_run, kw_changes **changes, kw_error *error)
{
    struct candidate candidate = {0};
    struct lines lines = {0};
    struct kw_context view;
    kw_changes *made = NULL;
    kw_status status = KW_OK;
    if (!begin_reloading(context))
        return error_set(error, KW_CONFLICT, "another thread is taking a new configuration");
    const uint64_t told = control_configuration(context->control);
    view_make(context, &view);
    status = candidate_read(&view, &candidate, error);
    if (status == KW_OK)
        status = compare(&view, &candidate, &lines, &made, error);
    if (status == KW_OK)
        status = candidate_open(&view, &candidate, made, error);
    if (status == KW_OK && !dry_run)
        status = put_in_force(context, &view, &candidate, &lines, told, error);
    if (status == KW_OK && changes != NULL) {
        changes_set_contexts(made, control_contexts(context->control));
        *changes = made;
        made = NULL;
    }
    kw_changes_free(made);
    lines_clear(&lines);
    candidate_clear(&candidate);
    context_give(&view);
    end_reloading(context);
    return status;
}

/* ---- Answers ---- */

/* What a report points to. */
struct answered {
    kw_reload_report report;
    struct control_answers answers;
};

kw_status kw_reload_wait(kw_context *context, uint32_t milliseconds, kw_reload_report **report, kw_error *error)
{
    const uint64_t number = control_configuration(context->control), until = clock_milliseconds() + milliseconds;
    struct answered *const made = calloc(1, sizeof(*made));
    struct control_answers *const answers = made != NULL ? &made->answers : NULL;
    kw_status status = KW_OK;
    if (made == NULL)
        return error_memory(error);
    for (unsigned pause = 1;; pause = pause * 2 < PAUSE_MAXIMUM ? pause * 2 : PAUSE_MAXIMUM) {
        const struct timespec wait = {.tv_nsec = (long)pause * 1000000};
        status = control_answers_get(context->control, number, answers, error);
        if (status != KW_OK || answers->waiting[0] == '\0' || clock_milliseconds() >= until)
            break;
        nanosleep(&wait, NULL);
    }
    if (status != KW_OK) {
        free(made);
        return status;
    }
    made->report = (kw_reload_report){
        .contexts = answers->contexts,
        .taken = answers->taken,
        .refused = answers->refused,
        .waiting = answers->waiting[0] != '\0' ? answers->waiting : NULL,
        .refusing = answers->refusing[0] != '\0' ? answers->refusing : NULL,
    };
    *report = &made->report;
    return KW_OK;
}

void kw_reload_report_free(kw_reload_report *report)
{
    free(report);
}

void context_note_configuration(kw_context *context)
{
    struct lines lines = {0};
    kw_error error = {0};
    kw_status status;
    if (control_contexts(context->control) > 1)
        return;
    status = lines_of(context, context->settings, &lines, &error);
    if (status == KW_OK)
        status = lines_write(context, &lines, &error);
    if (status != KW_OK)
        log_write(&context->log, KW_LOG_WARNING, "the configuration in force could not be noted: %s", error.message);
    lines_clear(&lines);
}
