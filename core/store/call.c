#include "store/call.h"

#include "base/clock.h"

#include <openssl/err.h>

#define NANOSECONDS UINT64_C(1000000) /* in a millisecond */

/* No honest answer is longer. */
#define ANSWER_MAXIMUM (16u * 1024u * 1024u)

/*
 * Names for people; how long the backend may take, in milliseconds (0: as long as it likes); whether a call is told to the log. What a
 * server does all day is not: it would drown the rest, and cost more than some signatures.
 */
static const struct {
    const char *name;
    uint32_t limit;
    enum { UNTOLD, DETAIL, EVENT } told;
} operations[STORE_OPERATION_COUNT] = {
    [STORE_OPEN] = {"open", 0, EVENT}, /* it may ask a person */
    [STORE_HEALTH] = {"health", 10000, UNTOLD},
    [STORE_RANDOM] = {"random", 30000, UNTOLD},
    [STORE_SET_SECRET] = {"set_secret", 0, EVENT}, /* likewise */
    [STORE_KEY_GENERATE] = {"key_generate", 300000, EVENT},
    [STORE_KEY_IMPORT] = {"key_import", 60000, EVENT},
    [STORE_KEY_EXPORT] = {"key_export", 60000, EVENT},
    [STORE_KEY_DELETE] = {"key_delete", 60000, EVENT},
    [STORE_KEY_LIST] = {"key_list", 60000, UNTOLD},
    [STORE_KEY_FIND] = {"key_find", 60000, DETAIL},
    [STORE_KEY_OPEN] = {"key_open", 60000, DETAIL},
    [STORE_KEY_PUBLIC] = {"key_public", 60000, UNTOLD},
    [STORE_KEY_ATTEST] = {"key_attest", 60000, DETAIL},
    [STORE_SIGN] = {"sign", 30000, UNTOLD},
    [STORE_DECRYPT] = {"decrypt", 30000, UNTOLD},
    [STORE_DERIVE] = {"derive", 30000, UNTOLD},
    [STORE_CERTIFICATE_PUT] = {"certificate_put", 60000, DETAIL},
    [STORE_CERTIFICATE_GET] = {"certificate_get", 60000, UNTOLD},
    [STORE_CERTIFICATE_DELETE] = {"certificate_delete", 60000, DETAIL},
    [STORE_CLOSE] = {"close", 0, UNTOLD},
};

struct call call_begin(struct store *store, enum store_operation operation)
{
    const uint64_t now = clock_nanoseconds();
    struct call call = {.store = store, .operation = operation, .started = now};

    call.context.size = sizeof(call.context);
    if (operations[operation].limit > 0)
        call.context.deadline = now / NANOSECONDS + operations[operation].limit;
    host_call_begin(store->host);
    ERR_set_mark();
    return call;
}

/*
 * A store's failure as an error: why the host could not serve the plugin, when that is what the plugin passes on (it knows the file or the
 * record), else the plugin's sentence, else the status in words.
 */
static kw_status call_failure(const struct call *call, kw_status status, kw_error *error)
{
    const char *const sentence = host_call_sentence();
    const kw_error *const inner = host_call_error();

    if (inner != NULL && inner->status == status) {
        if (error != NULL)
            *error = *inner;
    } else if (sentence[0] != '\0')
        (void)error_set(error, status, "%s", sentence);
    else
        (void)error_set(error, status, "the plugin answered '%s' to %s and gave no reason", kw_status_text(status),
                        operations[call->operation].name);
    error_where(error, "store %s", store_name(call->store));
    return status;
}

kw_status call_broken(const struct call *call, kw_error *error, const char *what)
{
    const kw_status status = error_set(error, KW_FAILED, "the plugin '%s' is broken: its %s %s",
                                       store_plugin(call->store), operations[call->operation].name, what);
    error_where(error, "store %s", store_name(call->store));
    error_remedy(error, "report this to the plugin's maker");
    return status;
}

kw_status call_end(const struct call *call, kw_status answer, kw_error *error)
{
    struct control_count *const counter = &call->store->counters[call->operation];
    const uint64_t spent = clock_nanoseconds() - call->started;
    const int number = (int)answer; /* whatever a broken plugin gave */

    /* What a token's module left in the thread's queue is its own business, and would stand before our error, by which programs go. */
    ERR_pop_to_mark();
    host_secrets_settle(call->store->host, answer);
    atomic_fetch_add_explicit(&counter->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counter->nanoseconds, spent, memory_order_relaxed);
    atomic_fetch_add_explicit(&counter->backend_calls,
                              (call->store->module->plugin.traits & KW_TRAIT_COUNTS) != 0 ? host_call_count() : 1,
                              memory_order_relaxed);
    if (operations[call->operation].told != UNTOLD && number != KW_BUFFER_TOO_SMALL)
        host_tell_call(call->store->host, operations[call->operation].told == EVENT ? KW_LOG_INFO : KW_LOG_DEBUG,
                       operations[call->operation].name, spent / NANOSECONDS, number == KW_OK);
    if (number == KW_OK)
        return KW_OK;
    if (number == KW_BUFFER_TOO_SMALL)
        return error_set(error, KW_BUFFER_TOO_SMALL, "the buffer is too small for the answer of %s",
                         operations[call->operation].name);
    atomic_fetch_add_explicit(&counter->errors, 1, memory_order_relaxed);
    if (number < KW_OK || number > KW_FAILED) {
        const kw_status status =
            error_set(error, KW_FAILED, "the plugin '%s' is broken: its %s answered the unknown status %d",
                      store_plugin(call->store), operations[call->operation].name, number);
        error_where(error, "store %s", store_name(call->store));
        error_remedy(error, "report this to the plugin's maker");
        return status;
    }
    return call_failure(call, answer, error);
}

kw_status call_end_output(const struct call *call, kw_status answer, const kw_output *given, kw_output *output,
                          kw_error *error)
{
    const kw_status status = call_end(call, answer, error);
    const bool no_room = output->data == NULL || output->capacity == 0;

    if (status == KW_OK && (output->data == NULL || given->length > output->capacity))
        return call_broken(call, error, "claims to have written more than the buffer holds");
    if (status == KW_BUFFER_TOO_SMALL && given->length > ANSWER_MAXIMUM)
        return call_broken(call, error, "asks for an absurdly large buffer");
    if (status == KW_BUFFER_TOO_SMALL && !no_room && given->length <= output->capacity)
        return call_broken(call, error, "calls a buffer too small that is as large as it asks for");
    if (status == KW_OK || status == KW_BUFFER_TOO_SMALL)
        output->length = given->length;
    return status;
}

kw_output output_copy_of(const kw_output *output)
{
    return (kw_output){.data = output->data, .capacity = output->data == NULL ? 0 : output->capacity};
}

kw_status call_end_locator(const struct call *call, kw_status answer, const kw_output *given, kw_output *locator,
                           kw_error *error)
{
    const kw_status status = call_end_output(call, answer, given, locator, error);

    if (status == KW_OK && (locator->length == 0 || locator->length > KW_LOCATOR_MAXIMUM))
        return call_broken(call, error, "gave a locator that is empty or too long");
    return status;
}

/* ---- Counts ------------------------------------------------------------------------------------------ */

const char *store_operation_name(enum store_operation operation)
{
    return operations[operation].name;
}

/* Of all processes, else of this one. */
static void store_total(const struct store *store, struct control_total *total)
{
    *total = (struct control_total){0};
    if (store->control != NULL)
        control_total(store->control, store_id(store), total);
    for (size_t i = 0; i < STORE_OPERATION_COUNT; i++) {
        const struct control_count *const own = &store->own_counters[i];
        total->operations[i].calls += atomic_load_explicit(&own->calls, memory_order_relaxed);
        total->operations[i].errors += atomic_load_explicit(&own->errors, memory_order_relaxed);
        total->operations[i].nanoseconds += atomic_load_explicit(&own->nanoseconds, memory_order_relaxed);
        total->operations[i].backend_calls += atomic_load_explicit(&own->backend_calls, memory_order_relaxed);
    }
}

size_t store_counts(const struct store *store, kw_operation_count counts[STORE_OPERATION_COUNT], uint64_t *calls)
{
    struct control_total total;
    size_t filled = 0;

    store_total(store, &total);
    *calls = 0;
    for (size_t i = 0; i < STORE_OPERATION_COUNT; i++) {
        if (total.operations[i].calls == 0)
            continue;
        counts[filled++] = (kw_operation_count){
            .operation = operations[i].name,
            .calls = total.operations[i].calls,
            .errors = total.operations[i].errors,
            .nanoseconds = total.operations[i].nanoseconds,
            .backend_calls = total.operations[i].backend_calls,
        };
        *calls += total.operations[i].backend_calls;
    }
    return filled;
}
