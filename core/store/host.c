#include "store/host_private.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/secret.h"
#include "store/options.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is said during a call -------------------------------------------------------------------- */

static _Thread_local char call_sentence[sizeof(((kw_error *)NULL)->message)];
static _Thread_local kw_error call_error;
static _Thread_local uint32_t call_count;

void host_call_begin(const kw_host_context *host)
{
    if (secret_tell_unlocked())
        log_write(host->log, KW_LOG_WARNING,
                  "secrets could not be locked into memory and may be swapped out: raise the limit (ulimit -l, or "
                  "LimitMEMLOCK= of the service)");
    host_secrets_begin();
    call_sentence[0] = '\0';
    call_error.status = KW_OK;
    call_count = 0;
}

uint32_t host_call_count(void)
{
    return call_count;
}

void host_tell_call(const kw_host_context *host, kw_log_level level, const char *operation, uint64_t milliseconds,
                    bool succeeded)
{
    log_write(host->log, level, "store %s: %s %s, %llu ms", host->store->name, operation, succeeded ? "done" : "failed",
              (unsigned long long)milliseconds);
}

const char *host_call_sentence(void)
{
    return call_sentence;
}

const kw_error *host_call_error(void)
{
    return call_error.status == KW_OK ? NULL : &call_error;
}

kw_status service_result(kw_status status, const kw_error *error)
{
    if (status != KW_OK && status != KW_BUFFER_TOO_SMALL)
        call_error = *error;
    return status;
}

void host_call_explain(const kw_error *error)
{
    call_error = *error;
}

void host_nest_begin(struct host_nesting *nesting)
{
    *nesting = (struct host_nesting){.count = call_count, .refusal_was_told = host_secrets_told()};
}

void host_nest_end(const struct host_nesting *nesting)
{
    call_sentence[0] = '\0';
    call_error.status = KW_OK;
    call_count = nesting->count;
    host_secrets_tell(nesting->refusal_was_told);
}

static void service_log(kw_host_context *host, kw_log_level level, const char *sentence)
{
    log_write(host->log, level, "store %s: %s", host->store->name, sentence == NULL ? "" : sentence);
}

static void service_report(kw_host_context *host, const char *sentence)
{
    (void)host;
    snprintf(call_sentence, sizeof(call_sentence), "%s", sentence == NULL ? "" : sentence);
}

static void service_count(kw_host_context *host, uint32_t calls)
{
    (void)host;
    call_count += calls;
}

/* ---- Memory of secrets --------------------------------------------------------------------------- */

static void *service_secret_allocate(kw_host_context *host, size_t length)
{
    (void)host;
    return secret_allocate(length);
}

static void service_secret_free(kw_host_context *host, void *memory, size_t length)
{
    (void)host;
    secret_free(memory, length);
}

/* ---- Records ----------------------------------------------------------------------------------------- */

/* What only a broken plugin gives; the catalogue holds names and values against their bounds. */
static kw_status record_check(kw_input input, kw_error *error)
{
    if (input.data == NULL && input.length > 0)
        return error_set(error, KW_INVALID_ARGUMENT, "a record's name or value has a length and no bytes");
    return KW_OK;
}

static kw_status service_record_get(kw_host_context *host, kw_input name, kw_output *value)
{
    kw_error error = {0};
    kw_status status = record_check(name, &error);

    if (status == KW_OK)
        status = catalogue_record_get(host->catalogue, host->store->id, name, value, &error);
    return service_result(status, &error);
}

static kw_status service_record_put(kw_host_context *host, kw_input name, kw_input value)
{
    kw_error error = {0};
    kw_status status = record_check(name, &error);

    if (status == KW_OK)
        status = record_check(value, &error);
    if (status == KW_OK)
        status = catalogue_record_put(host->catalogue, host->store->id, name, value, &error);
    return service_result(status, &error);
}

static kw_status service_record_swap(kw_host_context *host, kw_input name, kw_input expected, kw_input value)
{
    kw_error error = {0};
    kw_status status = record_check(name, &error);

    if (status == KW_OK)
        status = record_check(value, &error);
    if (status == KW_OK)
        status = catalogue_record_swap(host->catalogue, host->store->id, name, expected, value, &error);
    return service_result(status, &error);
}

static kw_status service_record_delete(kw_host_context *host, kw_input name)
{
    kw_error error = {0};
    kw_status status = record_check(name, &error);

    if (status == KW_OK)
        status = catalogue_record_delete(host->catalogue, host->store->id, name, &error);
    return service_result(status, &error);
}

static kw_status service_record_next(kw_host_context *host, kw_input prefix, kw_input after, kw_output *name)
{
    kw_error error = {0};
    kw_status status = record_check(prefix, &error);

    if (status == KW_OK)
        status = record_check(after, &error);
    if (status == KW_OK)
        status = catalogue_record_next(host->catalogue, host->store->id, prefix, after, name, &error);
    return service_result(status, &error);
}

/* ---- Clock and random --------------------------------------------------------------------------------- */

static uint64_t service_clock(kw_host_context *host)
{
    (void)host;
    return clock_milliseconds();
}

static kw_status service_random(kw_host_context *host, kw_output *output)
{
    kw_error error = {0};
    const kw_status status = crypto_random(host->crypto, output->data, output->capacity, &error);

    if (status == KW_OK)
        output->length = output->capacity;
    return service_result(status, &error);
}

/* ---- The host ------------------------------------------------------------------------------------------ */

static const kw_host services = {
    .size = sizeof(kw_host),
    .log = service_log,
    .report = service_report,
    .secret_allocate = service_secret_allocate,
    .secret_free = service_secret_free,
    .secret_request = service_secret_request,
    .secret_refused = service_secret_refused,
    .record_get = service_record_get,
    .record_put = service_record_put,
    .record_swap = service_record_swap,
    .record_delete = service_record_delete,
    .record_next = service_record_next,
    .clock = service_clock,
    .random = service_random,
    .count = service_count,
    .secret_settled = service_secret_settled,
};

kw_status host_new(const struct stores_options *options, const struct store_settings *settings,
                   const struct module *module, const struct builtin_store *builtin, kw_host_context **host,
                   kw_error *error)
{
    kw_status status;
    kw_host_context *made = calloc(1, sizeof(*made));

    if (made == NULL)
        return error_memory(error);
    made->table.host = services;
    made->table.host.context = made;
    if (builtin != NULL) {
        made->table.host.size = sizeof(made->table);
        made->table.service = builtin->service;
    }
    made->crypto = options->crypto;
    made->catalogue = options->catalogue;
    made->log = options->log;
    made->settings = options->settings;
    made->store = settings;
    made->subkeys = options->secrets;
    made->locks = (module->plugin.traits & KW_TRAIT_LOCKS) != 0;
    /* Files that others may read were warned about with the settings. */
    made->reader = (struct source_reader){
        .prompt = options->prompt, .user = options->user, .allow_inline = options->settings->allow_inline_secrets};
    made->has_lock = pthread_mutex_init(&made->lock, NULL) == 0;
    made->secrets = calloc(module->plugin.option_count + 1, sizeof(*made->secrets));
    if (!made->has_lock || made->secrets == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; i < module->plugin.option_count; i++)
        if (module->plugin.options[i].type == KW_OPTION_SECRET)
            made->secrets[made->secret_count++].option = &module->plugin.options[i];
    status = secret_new(&made->key, SHA256_LENGTH, error);
    if (status != KW_OK)
        goto out;
    made->key.length = SHA256_LENGTH;
    status = crypto_random(options->crypto, made->key.data, made->key.length, error);
    if (status != KW_OK)
        goto out;
    *host = made;
    made = NULL;
out:
    host_free(made);
    return status;
}

void host_free(kw_host_context *host)
{
    if (host == NULL)
        return;
    secret_clear(&host->key);
    free(host->secrets);
    if (host->has_lock)
        pthread_mutex_destroy(&host->lock);
    free(host);
}

const kw_host *host_table(const kw_host_context *host)
{
    return &host->table.host;
}

void host_fork_prepare(kw_host_context *host)
{
    pthread_mutex_lock(&host->lock);
}

void host_fork_done(kw_host_context *host)
{
    pthread_mutex_unlock(&host->lock);
}

void host_place_option(const kw_host_context *host, kw_error *error)
{
    static const char word[] = "option ";
    char name[64];
    const struct option_setting *setting = NULL;

    if (error == NULL || strncmp(error->message, word, sizeof(word) - 1) != 0)
        return;
    const char *const begin = error->message + sizeof(word) - 1;
    const size_t length = strcspn(begin, ": ");
    if (begin[length] != ':' || length >= sizeof(name))
        return;
    memcpy(name, begin, length);
    name[length] = '\0';
    setting = options_setting(host->store, name);
    const struct place place = setting != NULL ? setting->text_place : host->store->place;
    error->where[0] = '\0';
    error_prefix(error, "store %s", host->store->name);
    error_place(error, host->settings->path, place.line, place.column);
}
