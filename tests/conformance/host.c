/* A complete host: records in memory with the exact semantics of plugin.h, secrets, secret memory that is accounted for, and failures on
 * demand. */
#include "kit.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Records ------------------------------------------------------------------------------------------------------ */

struct record {
    unsigned char *name, *value;
    size_t name_length, value_length;
};

struct records {
    struct record *rows; /* sorted by name */
    size_t count;
    pthread_mutex_t mutex;
};

static void *duplicate(const void *data, size_t length)
{
    void *copy = malloc(length + 1);
    if (copy == NULL)
        abort();
    if (length != 0)
        memcpy(copy, data, length);
    return copy;
}

struct records *records_new(void)
{
    struct records *records = calloc(1, sizeof(*records));
    if (records == NULL)
        abort();
    pthread_mutex_init(&records->mutex, NULL);
    return records;
}

void records_free(struct records *records)
{
    if (records == NULL)
        return;
    for (size_t i = 0; i < records->count; i++) {
        free(records->rows[i].name);
        free(records->rows[i].value);
    }
    free(records->rows);
    pthread_mutex_destroy(&records->mutex);
    free(records);
}

static int compare(kw_input left, kw_input right)
{
    size_t common = left.length < right.length ? left.length : right.length;
    int order = common == 0 ? 0 : memcmp(left.data, right.data, common);
    if (order != 0)
        return order;
    return left.length < right.length ? -1 : left.length > right.length;
}

kw_input records_name(const struct records *records, size_t position)
{
    return (kw_input){records->rows[position].name, records->rows[position].name_length};
}

kw_input records_value(const struct records *records, size_t position)
{
    return (kw_input){records->rows[position].value, records->rows[position].value_length};
}

size_t records_count(const struct records *records)
{
    return records->count;
}

/* Where `name` is, or would be. */
static size_t position_of(const struct records *records, kw_input name, bool *found)
{
    size_t i = 0;
    while (i < records->count && compare(records_name(records, i), name) < 0)
        i++;
    *found = i < records->count && compare(records_name(records, i), name) == 0;
    return i;
}

static void remove_at(struct records *records, size_t position)
{
    free(records->rows[position].name);
    free(records->rows[position].value);
    records->count--;
    memmove(&records->rows[position], &records->rows[position + 1],
            (records->count - position) * sizeof(records->rows[0]));
}

void records_set(struct records *records, kw_input name, kw_input value)
{
    bool found;
    size_t position = position_of(records, name, &found);
    if (found)
        remove_at(records, position);
    struct record *rows = calloc(records->count + 1, sizeof(*rows));
    if (rows == NULL)
        abort();
    for (size_t i = 0; i < records->count; i++)
        rows[i < position ? i : i + 1] = records->rows[i];
    rows[position] = (struct record){duplicate(name.data, name.length), duplicate(value.data, value.length),
                                     name.length, value.length};
    free(records->rows);
    records->rows = rows;
    records->count++;
}

struct records *records_copy(const struct records *records)
{
    struct records *copy = records_new();
    for (size_t i = 0; i < records->count; i++)
        records_set(copy, records_name(records, i), records_value(records, i));
    return copy;
}

bool records_has(const struct records *records, kw_input name)
{
    bool found;
    position_of(records, name, &found);
    return found;
}

/* Counts the call; true when it is the one that fails. */
static bool record_call(struct kit_host *host, bool *takes_effect)
{
    atomic_fetch_add(&host->record_calls, 1);
    *takes_effect = host->failure != FAILURE_UNAVAILABLE;
    return (host->failure == FAILURE_UNAVAILABLE || host->failure == FAILURE_UNAVAILABLE_AFTER) &&
           atomic_load(&host->failure_countdown) != 0 && atomic_fetch_sub(&host->failure_countdown, 1) == 1;
}

static kw_status put_out(kw_input from, kw_output *output)
{
    output->length = from.length;
    if (output->data == NULL || output->capacity < from.length)
        return KW_BUFFER_TOO_SMALL;
    if (from.length != 0)
        memcpy(output->data, from.data, from.length);
    return KW_OK;
}

static bool name_is_valid(kw_input name)
{
    return name.length != 0 && name.length <= KW_RECORD_NAME_MAXIMUM;
}

static kw_status host_record_get(kw_host_context *context, kw_input name, kw_output *value)
{
    struct kit_host *host = context->host;
    bool effect, found;
    if (record_call(host, &effect))
        return KW_UNAVAILABLE;
    if (!name_is_valid(name))
        return KW_INVALID_ARGUMENT;
    pthread_mutex_lock(&host->records->mutex);
    size_t position = position_of(host->records, name, &found);
    kw_status status = found ? put_out(records_value(host->records, position), value) : KW_NOT_FOUND;
    pthread_mutex_unlock(&host->records->mutex);
    return status;
}

/* `expected` NULL: whatever is there. */
static kw_status write_record(struct kit_host *host, kw_input name, const kw_input *expected, kw_input value)
{
    bool effect, found;
    bool fails = record_call(host, &effect);
    atomic_fetch_add(&host->record_writes, 1);
    if (fails && !effect)
        return KW_UNAVAILABLE;
    if (!name_is_valid(name) || value.length > KW_RECORD_VALUE_MAXIMUM)
        return KW_INVALID_ARGUMENT;
    kw_status status = KW_OK;
    pthread_mutex_lock(&host->records->mutex);
    size_t position = position_of(host->records, name, &found);
    if (expected != NULL && (found != (expected->data != NULL) ||
                             (found && compare(records_value(host->records, position), *expected) != 0)))
        status = KW_CONFLICT;
    else
        records_set(host->records, name, value);
    pthread_mutex_unlock(&host->records->mutex);
    return fails ? KW_UNAVAILABLE : status;
}

static kw_status host_record_put(kw_host_context *context, kw_input name, kw_input value)
{
    return write_record(context->host, name, NULL, value);
}

static kw_status host_record_swap(kw_host_context *context, kw_input name, kw_input expected, kw_input value)
{
    return write_record(context->host, name, &expected, value);
}

static kw_status host_record_delete(kw_host_context *context, kw_input name)
{
    struct kit_host *host = context->host;
    bool effect, found;
    bool fails = record_call(host, &effect);
    atomic_fetch_add(&host->record_writes, 1);
    if (fails && !effect)
        return KW_UNAVAILABLE;
    pthread_mutex_lock(&host->records->mutex);
    size_t position = position_of(host->records, name, &found);
    if (found)
        remove_at(host->records, position);
    pthread_mutex_unlock(&host->records->mutex);
    if (fails)
        return KW_UNAVAILABLE;
    return found ? KW_OK : KW_NOT_FOUND;
}

static kw_status host_record_next(kw_host_context *context, kw_input prefix, kw_input after, kw_output *name)
{
    struct kit_host *host = context->host;
    bool effect;
    kw_status status = KW_NOT_FOUND;
    if (record_call(host, &effect))
        return KW_UNAVAILABLE;
    pthread_mutex_lock(&host->records->mutex);
    for (size_t i = 0; i < host->records->count && status == KW_NOT_FOUND; i++) {
        kw_input row = records_name(host->records, i);
        if (row.length >= prefix.length && (prefix.length == 0 || memcmp(row.data, prefix.data, prefix.length) == 0) &&
            (after.length == 0 || compare(row, after) > 0))
            status = put_out(row, name);
    }
    pthread_mutex_unlock(&host->records->mutex);
    return status;
}

/* ---- Secrets -------------------------------------------------------------------------------------------------------- */

/* Before and behind the memory lie canaries. Blocks are in a list, which leak checkers see. */
#define CANARY 32u
static const unsigned char canary = 0xC5;

struct secret_block {
    struct secret_block *before, *behind;
    size_t length;
    unsigned char front[CANARY];
    unsigned char memory[];
};

static void *host_secret_allocate(kw_host_context *context, size_t length)
{
    struct kit_host *host = context->host;
    if (host->failure == FAILURE_MEMORY && atomic_load(&host->failure_countdown) != 0 &&
        atomic_fetch_sub(&host->failure_countdown, 1) == 1)
        return NULL;
    struct secret_block *block = malloc(sizeof(*block) + length + CANARY);
    if (block == NULL)
        return NULL;
    block->length = length;
    memset(block->front, canary, CANARY);
    memset(block->memory, 0, length);
    memset(block->memory + length, canary, CANARY);
    pthread_mutex_lock(&host->mutex);
    block->before = NULL;
    block->behind = host->secret_blocks;
    if (block->behind != NULL)
        block->behind->before = block;
    host->secret_blocks = block;
    host->blocks_now++;
    pthread_mutex_unlock(&host->mutex);
    return block->memory;
}

static void host_secret_free(kw_host_context *context, void *memory, size_t length)
{
    struct kit_host *host = context->host;
    if (memory == NULL)
        return;
    void *start = (unsigned char *)memory - offsetof(struct secret_block, memory);
    struct secret_block *block = start;
    bool whole = block->length == length;
    for (size_t i = 0; i < CANARY && whole; i++)
        whole = block->front[i] == canary && block->memory[length + i] == canary;
    if (!whole)
        atomic_store(&host->misused, true);
    pthread_mutex_lock(&host->mutex);
    if (block->before != NULL)
        block->before->behind = block->behind;
    else
        host->secret_blocks = block->behind;
    if (block->behind != NULL)
        block->behind->before = block->before;
    host->blocks_now--;
    pthread_mutex_unlock(&host->mutex);
    OPENSSL_cleanse(block->memory, block->length);
    free(block);
}

long kit_host_blocks(struct kit_host *host)
{
    pthread_mutex_lock(&host->mutex);
    long count = host->blocks_now;
    pthread_mutex_unlock(&host->mutex);
    return count;
}

const char *kit_host_get_secret(const struct kit_host *host, const char *option)
{
    for (size_t i = 0; i < host->secret_count; i++)
        if (strcmp(host->secrets[i].option, option) == 0)
            return host->secrets[i].value;
    return NULL;
}

void kit_host_set_secret(struct kit_host *host, const char *option, const char *value)
{
    for (size_t i = 0; i < host->secret_count; i++)
        if (strcmp(host->secrets[i].option, option) == 0)
            host->secrets[i].value = value;
}

static kw_status host_secret_request(kw_host_context *context, const kw_call *call, const char *option,
                                     kw_output *secret)
{
    struct kit_host *host = context->host;
    (void)call;
    atomic_fetch_add(&host->secret_requests, 1);
    if (host->during_secret_request != NULL)
        host->during_secret_request(host->user);
    if (host->secret_status != KW_OK)
        return host->secret_status;
    const char *value = kit_host_get_secret(host, option);
    if (value == NULL)
        return KW_CONFIGURATION;
    return put_out((kw_input){(const unsigned char *)value, strlen(value)}, secret);
}

static void host_secret_refused(kw_host_context *context, const char *option)
{
    (void)option;
    atomic_fetch_add(&context->host->secret_refusals, 1);
}

/* ---- Sentences --------------------------------------------------------------------------------------------------------- */

static void look_for_secrets(struct kit_host *host, const char *sentence)
{
    bool bad = strchr(sentence, '\n') != NULL || strlen(sentence) == 0;
    for (size_t i = 0; i < host->secret_count; i++)
        bad = bad || (strlen(host->secrets[i].value) > 3 && strstr(sentence, host->secrets[i].value) != NULL);
    if (bad)
        atomic_store(&host->leaked_text, true);
}

static void host_log(kw_host_context *context, kw_log_level level, const char *sentence)
{
    (void)level;
    look_for_secrets(context->host, sentence);
}

static void host_report(kw_host_context *context, const char *sentence)
{
    struct kit_host *host = context->host;
    look_for_secrets(host, sentence);
    atomic_fetch_add(&host->reports, 1);
    pthread_mutex_lock(&host->mutex);
    snprintf(host->sentence, sizeof(host->sentence), "%s", sentence);
    pthread_mutex_unlock(&host->mutex);
}

/* ---- The rest ------------------------------------------------------------------------------------------------------------ */

static uint64_t host_clock(kw_host_context *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void host_count(kw_host_context *context, uint32_t calls)
{
    atomic_fetch_add(&context->host->backend_calls, calls);
}

static void host_secret_settled(kw_host_context *context, const char *option, kw_status answer)
{
    if (answer == KW_SECRET_REFUSED)
        host_secret_refused(context, option);
}

static kw_status host_random(kw_host_context *context, kw_output *output)
{
    (void)context;
    output->length = output->capacity;
    return RAND_bytes(output->data, (int)output->capacity) == 1 ? KW_OK : KW_FAILED;
}

void kit_host_init(struct kit_host *host, struct records *records)
{
    memset(host, 0, sizeof(*host));
    host->context.host = host;
    host->records = records;
    pthread_mutex_init(&host->mutex, NULL);
    host->table = (kw_host){
        .size = sizeof(kw_host),
        .context = &host->context,
        .log = host_log,
        .report = host_report,
        .secret_allocate = host_secret_allocate,
        .secret_free = host_secret_free,
        .secret_request = host_secret_request,
        .secret_refused = host_secret_refused,
        .record_get = host_record_get,
        .record_put = host_record_put,
        .record_swap = host_record_swap,
        .record_delete = host_record_delete,
        .record_next = host_record_next,
        .clock = host_clock,
        .random = host_random,
        .count = host_count,
        .secret_settled = host_secret_settled,
    };
}

void kit_host_fail(struct kit_host *host, enum failure failure, unsigned call)
{
    host->failure = failure;
    atomic_store(&host->failure_countdown, call);
}

bool kit_host_failed(struct kit_host *host)
{
    bool failed = host->failure != FAILURE_NONE && atomic_load(&host->failure_countdown) == 0;
    host->failure = FAILURE_NONE;
    atomic_store(&host->failure_countdown, 0);
    return failed;
}

void kit_host_lock(struct kit_host *host)
{
    pthread_mutex_lock(&host->records->mutex);
    pthread_mutex_lock(&host->mutex);
}

void kit_host_unlock(struct kit_host *host)
{
    pthread_mutex_unlock(&host->mutex);
    pthread_mutex_unlock(&host->records->mutex);
}
