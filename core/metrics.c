/* Metrics: what all processes of the state have counted, for people and for Prometheus. No store is opened for it. */
#include "context.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "control/count.h"
#include "control/outage.h"

#include <stdlib.h>
#include <string.h>

struct report {
    kw_metrics metrics;
    struct arena arena;
    struct buffer samples; /* of kw_metric */
    struct control_total *totals;
    size_t total_count;
};

static void add(struct report *report, kw_metric metric)
{
    buffer_append(&report->samples, &metric, sizeof(metric));
}

/* ---- Stores ---- */

enum number { CALLS, ERRORS, SECONDS, BACKEND_CALLS };

static const struct {
    const char *name, *help;
    enum number number;
} of_stores[] = {
    {"keywright_store_operations_total", "Operations that were asked of a store's plugin.", CALLS},
    {"keywright_store_errors_total", "Operations of a store's plugin that failed.", ERRORS},
    {"keywright_store_operation_seconds_total", "Time spent in operations of a store's plugin.", SECONDS},
    {"keywright_store_backend_calls_total",
     "Calls to a store's backend: C_ functions of a PKCS#11 module, or operations where the plugin does not tell.",
     BACKEND_CALLS},
};

static double number_of(const struct control_total *total, size_t operation, enum number number)
{
    switch (number) {
    case CALLS:
        return (double)total->operations[operation].calls;
    case ERRORS:
        return (double)total->operations[operation].errors;
    case SECONDS:
        return (double)total->operations[operation].nanoseconds / 1e9;
    default:
        return (double)total->operations[operation].backend_calls;
    }
}

/* A store that the configuration has no longer goes by its id. */
static void add_store(struct report *report, const struct settings *settings, const struct control_total *total,
                      size_t family)
{
    const struct store_settings *const known = settings_store_by_id(settings, total->store_id);
    const char *const id = arena_text(&report->arena, total->store_id);
    const char *const name = known == NULL ? id : arena_text(&report->arena, known->name);

    if (strcmp(total->store_id, KEYRING_COUNTS) == 0)
        return;
    for (size_t i = 0; i < STORE_OPERATION_COUNT; i++) {
        if (total->operations[i].calls == 0)
            continue;
        add(report, (kw_metric){.name = of_stores[family].name,
                                .help = of_stores[family].help,
                                .counter = true,
                                .store = name,
                                .store_id = id,
                                .operation = store_operation_name((enum store_operation)i),
                                .value = number_of(total, i, of_stores[family].number)});
    }
}

/* How long each store has been away. */
static void add_outages(struct report *report, kw_context *context)
{
    for (size_t i = 0; i < context->settings->store_count; i++) {
        const struct store_settings *const store = &context->settings->stores[i];
        uint64_t lasts = 0;
        const bool is_away = control_store_away(context->control, store->id, &lasts, NULL);
        add(report, (kw_metric){.name = "keywright_store_outage_seconds",
                                .help = "For how long a store, or a master key in it, has been away that subkeys in "
                                        "memory come from; 0: it is there.",
                                .store = arena_text(&report->arena, store->name),
                                .store_id = arena_text(&report->arena, store->id),
                                .value = is_away ? (double)(lasts < 1 ? 1 : lasts) / 1e3 : 0});
    }
}

/* ---- Subkeys ---- */

static void add_subkeys(struct report *report, kw_context *context)
{
    struct keyring_counts counts;
    keyring_counts(context->control, &counts);
    add(report, (kw_metric){.name = "keywright_subkey_hits_total",
                            .help = "How often a subkey was needed whose root was in memory.",
                            .counter = true,
                            .value = (double)counts.hits});
    add(report, (kw_metric){.name = "keywright_subkey_misses_total",
                            .help = "How often a subkey was needed whose root was not in memory.",
                            .counter = true,
                            .value = (double)counts.misses});
    add(report, (kw_metric){.name = "keywright_subkey_calls_saved_total",
                            .help = "Unwrappings of roots by a store that did not happen, as the root was in memory.",
                            .counter = true,
                            .value = (double)counts.saved});
}

static void collect(struct report *report, kw_context *context)
{
    add(report, (kw_metric){.name = "keywright_contexts",
                            .help = "Contexts that are open now, in all processes; who asks has one of them.",
                            .value = (double)control_contexts(context->control)});
    add(report, (kw_metric){.name = "keywright_configurations_total",
                            .help = "How often the running processes were told of a new configuration.",
                            .counter = true,
                            .value = (double)control_configuration(context->control)});
    for (size_t family = 0; family < sizeof(of_stores) / sizeof(of_stores[0]); family++)
        for (size_t i = 0; i < report->total_count; i++)
            add_store(report, context->settings, &report->totals[i], family);
    add_outages(report, context);
    add_subkeys(report, context);
}

/* ---- Text ---- */

static void write_label(struct buffer *text, const char *before, const char *name, const char *value)
{
    buffer_format(text, "%s%s=\"", before, name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            buffer_append_u8(text, '\\');
        buffer_append_u8(text, (uint8_t)*value);
    }
    buffer_append_text(text, "\"");
}

static void write_text(struct buffer *text, const kw_metric *metrics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const kw_metric *const metric = &metrics[i];
        if (i == 0 || strcmp(metric->name, metrics[i - 1].name) != 0)
            buffer_format(text, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                          metric->counter ? "counter" : "gauge");
        buffer_append_text(text, metric->name);
        if (metric->store != NULL) {
            write_label(text, "{", "store", metric->store);
            write_label(text, ",", "store_id", metric->store_id);
            if (metric->operation != NULL)
                write_label(text, ",", "operation", metric->operation);
            buffer_append_text(text, "}");
        }
        buffer_format(text, " %.15g\n", metric->value);
    }
    buffer_append_u8(text, '\0');
}

static kw_status metrics_get(kw_context *context, kw_metrics **metrics, kw_error *error)
{
    struct buffer text = {0};
    struct report *report = calloc(1, sizeof(*report));
    kw_status status = KW_OK;
    if (report == NULL)
        return error_memory(error);
    status = control_totals(context->control, &report->totals, &report->total_count, error);
    if (status != KW_OK)
        goto out;
    collect(report, context);
    report->metrics.count = report->samples.length / sizeof(kw_metric);
    report->metrics.metrics = arena_copy(&report->arena, report->samples.data, report->samples.length);
    if (report->metrics.metrics != NULL)
        write_text(&text, report->metrics.metrics, report->metrics.count);
    report->metrics.text = arena_text(&report->arena, (const char *)text.data);
    if (report->arena.failed || report->samples.failed || text.failed) {
        status = error_memory(error);
        goto out;
    }
    *metrics = &report->metrics;
    report = NULL;
out:
    buffer_free(&text);
    if (report != NULL)
        kw_metrics_free(&report->metrics);
    return status;
}

kw_status kw_metrics_get(kw_context *context, kw_metrics **metrics, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = metrics_get(&view, metrics, error);
    context_give(&view);
    return status;
}

void kw_metrics_free(kw_metrics *metrics)
{
    struct report *report = (struct report *)metrics;
    if (report == NULL)
        return;
    buffer_free(&report->samples);
    free(report->totals);
    arena_free(&report->arena);
    free(report);
}
