#include "verb.h"

static json_t *metric_json(const kw_metric *metric)
{
    json_t *labels = metric->store == NULL ? json_object()
                                           : json_pack("{s:s,s:s,s:s*}", "store", metric->store, "store_id",
                                                       metric->store_id, "operation", metric->operation);

    return json_pack("{s:s,s:s,s:s,s:o,s:f}", "name", metric->name, "help", metric->help, "type",
                     metric->counter ? "counter" : "gauge", "labels", labels, "value", metric->value);
}

static kw_status print_json(const kw_metrics *metrics, kw_error *error)
{
    json_t *array = json_array();

    for (size_t i = 0; i < metrics->count; i++) {
        if (json_array_append_new(array, metric_json(&metrics->metrics[i])) != 0) {
            json_decref(array);
            return problem_memory(error);
        }
    }
    return json_print(array, error);
}

static kw_status metrics_run(struct session *session, kw_error *error)
{
    kw_metrics *metrics = NULL;
    kw_status status = session_open(session, error);

    if (status == KW_OK)
        status = kw_metrics_get(session->context, &metrics, error);
    if (status != KW_OK)
        return status;
    if (session->json)
        status = print_json(metrics, error);
    else if (fputs(metrics->text, stdout) == EOF)
        status = problem_set(error, KW_FAILED, "standard output cannot be written");
    kw_metrics_free(metrics);
    return status;
}

const struct verb verb_metrics = {
    .name = "metrics",
    .synopsis = "",
    .summary = "prints counters for Prometheus",
    .description = "Prints in Prometheus' text format what all processes that use this state have counted, also those\n"
                   "that have ended: operations, errors, seconds and calls to the backend, by store and operation.\n"
                   "Opens no store. For a node exporter: keywright metrics >DIR/keywright.prom.tmp && mv ...",
    .examples = {"keywright metrics", "keywright metrics --json"},
    .opens_as_is = true,
    .looks = true,
    .run = metrics_run,
};
