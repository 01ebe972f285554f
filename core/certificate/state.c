/* Facts about stores and catalogue. */
#include "certificate/calls.h"
#include "certificate/findings.h"
#include "certificate/roots.h"

#include "base/arena.h"
#include "base/clock.h"
#include "control/outage.h"

#include <stdlib.h>
#include <string.h>

struct report {
    kw_state state;
    struct arena arena;
};

static size_t count_in_store(const struct catalogue_snapshot *snapshot, const char *store_id)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->certificate_count; i++)
        count += strcmp(snapshot->certificates[i].store_id, store_id) == 0;
    return count;
}

static size_t count_required(const struct catalogue_snapshot *snapshot)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->entry_count; i++)
        count += snapshot->entries[i].state == ENTRY_IN_USE;
    return count;
}

static int64_t outage_since(kw_context *context, const char *store_id)
{
    uint64_t lasts = 0;
    int64_t began = 0;
    return control_store_away(context->control, store_id, &lasts, &began) ? began : 0;
}

/* As the command tells errors: with their place. */
static const char *problem_text(struct arena *arena, const kw_error *error)
{
    if (error->where[0] == '\0')
        return arena_text(arena, error->message);
    if (error->line == 0)
        return arena_format(arena, "%s: %s", error->where, error->message);
    return arena_format(arena, "%s:%u:%u: %s", error->where, error->line, error->column, error->message);
}

static void describe_store(kw_context *context, const struct store_settings *settings,
                           const struct catalogue_snapshot *snapshot, struct arena *arena, kw_store_info *info)
{
    struct store *store = NULL;
    kw_error error = {0};
    kw_operation_count counts[STORE_OPERATION_COUNT];
    kw_status status = stores_get(context->stores, settings->name, &store, &error);
    if (status == KW_OK)
        status = store_health(store, &error);
    *info = (kw_store_info){
        .name = arena_text(arena, settings->name),
        .id = arena_text(arena, settings->id),
        .plugin = arena_text(arena, settings->plugin),
        .available = status == KW_OK,
        .problem = status != KW_OK ? problem_text(arena, &error) : NULL,
        .remedy = status != KW_OK && error.remedy[0] != '\0' ? arena_text(arena, error.remedy) : NULL,
        .certificates = count_in_store(snapshot, settings->id),
        .outage_since = outage_since(context, settings->id),
    };
    if (info->outage_since != 0) {
        char text[32];
        clock_text(info->outage_since, text);
        info->outage_since_text = arena_text(arena, text);
    }
    if (store != NULL)
        info->capabilities = *store_capabilities(store);
    info->operation_count = stores_counts(context->stores, settings->name, counts, &info->calls);
    info->operations = arena_copy(arena, counts, info->operation_count * sizeof(*counts));
}

static char derived_name[] = DERIVED_STORE;
static const struct store_settings derived_store = {.name = derived_name, .id = derived_name, .plugin = derived_name};

/* By entry; in it the latest comes first. */
static int compare_certificates(const void *left, const void *right)
{
    const struct certificate_row *const *a = left, *const *b = right;
    const int order = memcmp((*a)->entry.bytes, (*b)->entry.bytes, sizeof((*a)->entry.bytes));
    return order != 0 ? order : ((*a)->number < (*b)->number) - ((*a)->number > (*b)->number);
}

/* NULL: out of memory. */
static const struct certificate_row **index_certificates(const struct catalogue_snapshot *snapshot)
{
    const struct certificate_row **rows =
        calloc(snapshot->certificate_count + 1, sizeof(const struct certificate_row *));
    for (size_t i = 0; rows != NULL && i < snapshot->certificate_count; i++)
        rows[i] = &snapshot->certificates[i];
    if (rows != NULL)
        qsort(rows, snapshot->certificate_count, sizeof(const struct certificate_row *), compare_certificates);
    return rows;
}

/* The first of an entry's certificates, or where it would be. */
static size_t first_of_entry(const struct certificate_row *const *rows, size_t count, const struct id *entry)
{
    size_t low = 0;
    for (size_t high = count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (memcmp(rows[middle]->entry.bytes, entry->bytes, sizeof(entry->bytes)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_key_of(const struct certificate_row *left, const struct certificate_row *right)
{
    return strcmp(left->store_id, right->store_id) == 0 &&
           input_equal((kw_input){left->locator, left->locator_length},
                       (kw_input){right->locator, right->locator_length});
}

/* Two certificates of an entry may have one key: it is told of once, as the current one's, else the latest one's. */
static bool speaks_for_its_key(const struct entry_row *entry, const struct certificate_row *const *rows, size_t count,
                               size_t index)
{
    if (id_equal(&rows[index]->id, &entry->certificate))
        return true;
    for (size_t i = 0; i < count; i++)
        if (i != index && has_key_of(rows[i], rows[index]) &&
            (i < index || id_equal(&rows[i]->id, &entry->certificate)))
            return false;
    return true;
}

static kw_status find_misplaced(kw_context *context, const struct catalogue_snapshot *snapshot, struct report *report,
                                kw_error *error)
{
    const struct certificate_row **rows = index_certificates(snapshot);
    const char **sentences = arena_allocate(&report->arena, (snapshot->certificate_count + 1) * sizeof(*sentences));
    if (sentences == NULL || rows == NULL) {
        free(rows);
        return error_memory(error);
    }
    for (size_t i = 0; i < snapshot->entry_count; i++) {
        const struct entry_row *entry = &snapshot->entries[i];
        const struct certificate_row **own = rows + first_of_entry(rows, snapshot->certificate_count, &entry->id);
        size_t count = 0;
        while (own + count < rows + snapshot->certificate_count && id_equal(&own[count]->entry, &entry->id))
            count++;
        for (size_t k = 0; k < count; k++) {
            const char *sentence = speaks_for_its_key(entry, own, count, k)
                                       ? certificate_misplacement(context, entry, own[k], &report->arena)
                                       : NULL;
            if (sentence != NULL)
                sentences[report->state.misplaced_count++] = sentence;
        }
    }
    free(rows);
    report->state.misplaced = sentences;
    return KW_OK;
}

static kw_status find_reminders(kw_context *context, const struct catalogue_snapshot *snapshot, struct report *report,
                                kw_error *error)
{
    const char **sentences = arena_allocate(&report->arena, (2 * snapshot->entry_count + 1) * sizeof(*sentences));
    kw_error why = {0};
    if (sentences == NULL)
        return error_memory(error);
    if (root_check_recovery(context->crypto, context->settings, &why) != KW_OK)
        sentences[report->state.reminder_count++] =
            arena_format(&report->arena, "no root secret can be made for master keys: %s:%u: %s; %s", why.where,
                         why.line, why.message, why.remedy);
    for (size_t i = 0; i < snapshot->entry_count; i++) {
        const struct entry_row *entry = &snapshot->entries[i];
        struct address address;
        const struct kind *kind = NULL;
        if (address_parse(entry->address, &address, NULL) != KW_OK || kind_of(&address, &kind, NULL) != KW_OK)
            continue;
        if (reminder_is_due(context, kind, entry, &entry->certificate))
            sentences[report->state.reminder_count++] =
                arena_format(&report->arena, "%s: " REMINDER_SENTENCE, entry->address, entry->address);
        if (entry->state == ENTRY_IN_USE && roots_lack_recovery(context, kind, entry))
            sentences[report->state.reminder_count++] =
                arena_format(&report->arena,
                             "%s: the recovery certificate cannot open all of its root secrets: "
                             "`keywright rotate %s` makes a new one, and wraps all to it",
                             entry->address, entry->address);
    }
    report->state.reminders = sentences;
    return KW_OK;
}

static void report_corrupt(void *user, const kw_error *error)
{
    kw_context *context = user;
    log_write(&context->log, KW_LOG_ERROR, "%s: %s", error->where, error->message);
}

kw_status manager_state(kw_context *context, kw_state **state, kw_error *error)
{
    const struct settings *settings = context->settings;
    struct catalogue_snapshot snapshot = {0};
    struct keyring_counts counts;
    kw_store_info *stores = NULL;
    struct report *report = calloc(1, sizeof(*report));
    kw_status status = KW_OK;
    if (report == NULL)
        return error_memory(error);
    status = catalogue_snapshot_read(context->catalogue, report_corrupt, context, &snapshot, error);
    if (status != KW_OK)
        goto out;
    report->state.configuration = arena_text(&report->arena, settings->path);
    report->state.directory = arena_text(&report->arena, settings->state);
    report->state.catalogue = arena_text(&report->arena, catalogue_description(context->catalogue));
    report->state.schema_version = catalogue_schema_version(context->catalogue);
    report->state.certificates = snapshot.certificate_count;
    report->state.certificates_required = count_required(&snapshot);
    keyring_counts(context->control, &counts);
    report->state.subkey_hits = counts.hits;
    report->state.subkey_misses = counts.misses;
    report->state.subkey_calls_saved = counts.saved;
    stores = arena_allocate(&report->arena, (settings->store_count + 1) * sizeof(*stores));
    for (size_t i = 0; stores != NULL && i < settings->store_count; i++)
        describe_store(context, &settings->stores[i], &snapshot, &report->arena, &stores[i]);
    report->state.stores = stores;
    report->state.store_count = settings->store_count;
    /* The library's own is told of where it is used. */
    if (stores != NULL && count_in_store(&snapshot, DERIVED_STORE) > 0)
        describe_store(context, &derived_store, &snapshot, &report->arena, &stores[report->state.store_count++]);
    status = find_misplaced(context, &snapshot, report, error);
    if (status == KW_OK)
        status = find_reminders(context, &snapshot, report, error);
    if (status == KW_OK && report->arena.failed)
        status = error_memory(error);
    if (status == KW_OK) {
        *state = &report->state;
        report = NULL;
    }
out:
    catalogue_snapshot_clear(&snapshot);
    if (report != NULL)
        kw_state_free(&report->state);
    return status;
}

void kw_state_free(kw_state *state)
{
    struct report *report = (struct report *)state;
    if (report == NULL)
        return;
    arena_free(&report->arena);
    free(report);
}
