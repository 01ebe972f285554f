/* Roots in memory, and the one call to a store that brings each of them. */
#include "subkey/keyring_private.h"

#include "base/clock.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_DEFAULT 10000
#define LIMIT_DEFAULT   (INT64_C(15) * 60 * 1000)

/* ---- Counting ---- */

/* Rows of 32 bytes, two to a cache line: each stripe has a line of its own. */
#define COUNT_STRIPES 4u
static struct control_count *row_of(struct control_count *rows, unsigned stripe)
{
    return &rows[(stripe % COUNT_STRIPES) * 2];
}

void keyring_count(struct keyring *keyring, unsigned stripe, enum keyring_number number)
{
    struct control_count *const row = row_of(atomic_load_explicit(&keyring->counts, memory_order_relaxed), stripe);
    atomic_uint_least64_t *const numbers[] = {
        [COUNT_HIT] = &row->calls, [COUNT_MISS] = &row->errors, [COUNT_UNWRAP] = &row->backend_calls};
    atomic_fetch_add_explicit(numbers[number], 1, memory_order_relaxed);
}

void keyring_counts(struct control *control, struct keyring_counts *counts)
{
    struct control_total total;
    uint64_t unwrapped = 0;
    *counts = (struct keyring_counts){0};
    control_total(control, KEYRING_COUNTS, &total);
    for (unsigned stripe = 0; stripe < COUNT_STRIPES; stripe++) {
        counts->hits += total.operations[stripe * 2].calls;
        counts->misses += total.operations[stripe * 2].errors;
        unwrapped += total.operations[stripe * 2].backend_calls;
    }
    counts->saved = counts->hits + counts->misses - (unwrapped < counts->misses ? unwrapped : counts->misses);
}

static void take_counters(struct keyring *keyring)
{
    struct control_count *const shared = control_counts(keyring->control, KEYRING_COUNTS);
    atomic_store_explicit(&keyring->counts, shared != NULL ? shared : keyring->own_counts, memory_order_relaxed);
}

/* ---- The whole ---- */

kw_status keyring_new(const struct keyring_options *options, struct keyring **keyring, kw_error *error)
{
    kw_status status = KW_OK;
    struct keyring *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    made->crypto = options->crypto;
    made->catalogue = options->catalogue;
    made->control = options->control;
    made->log = options->log;
    made->renew = options->renew;
    made->user = options->user;
    made->maximum = ENTRIES_DEFAULT;
    atomic_store(&made->outage_limit, (uint64_t)LIMIT_DEFAULT);
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->settled, NULL);
    take_counters(made);
    status = xaes_new(made->crypto, &made->xaes, error);
    if (status == KW_OK)
        status = handles_new(made, error);
    if (status == KW_OK)
        *keyring = made;
    else
        keyring_free(made);
    return status;
}

static void root_free(struct root *root)
{
    secret_clear(&root->secret);
    free(root);
}

void keyring_free(struct keyring *keyring)
{
    if (keyring == NULL)
        return;
    handles_free(keyring);
    while (keyring->masters != NULL) {
        struct master *const master = keyring->masters;
        keyring->masters = master->next;
        while (master->roots != NULL) {
            struct root *const root = master->roots;
            master->roots = root->next;
            root_free(root);
        }
        free(master->address);
        free(master);
    }
    xaes_free(keyring->xaes);
    stores_free(keyring->stores);
    settings_free(keyring->settings);
    pthread_cond_destroy(&keyring->settled);
    pthread_mutex_destroy(&keyring->mutex);
    free(keyring);
}

static uint64_t or_default(int64_t set, int64_t otherwise)
{
    return (uint64_t)(set > 0 ? set : otherwise);
}

void keyring_use(struct keyring *keyring, struct settings *settings, struct stores *stores)
{
    const struct subkey_settings *const wanted = &settings->subkeys;
    struct settings *const taken_settings = settings_reference(settings);
    struct stores *const taken_stores = stores_reference(stores);
    struct held former;
    pthread_mutex_lock(&keyring->mutex);
    former = (struct held){.settings = keyring->settings, .place.stores = keyring->stores};
    keyring->settings = taken_settings;
    keyring->stores = taken_stores;
    atomic_store(&keyring->outage_limit, or_default(wanted->outage_limit, LIMIT_DEFAULT));
    atomic_store(&keyring->maximum_age, (uint64_t)wanted->max_age);
    for (struct master *master = keyring->masters; master != NULL; master = master->next)
        master_age(master);
    handles_bound(keyring, (size_t)or_default(wanted->max_entries, ENTRIES_DEFAULT));
    pthread_mutex_unlock(&keyring->mutex);
    keyring_release(&former);
}

void keyring_hold(struct keyring *keyring, struct held *held)
{
    pthread_mutex_lock(&keyring->mutex);
    held->settings = keyring->settings != NULL ? settings_reference(keyring->settings) : NULL;
    held->place = (struct root_place){
        .crypto = keyring->crypto,
        .catalogue = keyring->catalogue,
        .control = keyring->control,
        .stores = keyring->stores != NULL ? stores_reference(keyring->stores) : NULL,
        .settings = held->settings,
        .log = keyring->log,
    };
    pthread_mutex_unlock(&keyring->mutex);
}

void keyring_release(struct held *held)
{
    stores_free(held->place.stores);
    settings_free(held->settings);
}

/* ---- Forks ---- */

void keyring_fork_prepare(struct keyring *keyring)
{
    pthread_mutex_lock(&keyring->mutex);
}

void keyring_fork_parent(struct keyring *keyring)
{
    pthread_mutex_unlock(&keyring->mutex);
}

/* Whoever was on the way to a store, or waited for that, is not in this process. */
void keyring_fork_child(struct keyring *keyring)
{
    keyring->settled = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    for (struct master *master = keyring->masters; master != NULL; master = master->next) {
        master->probe.is_under_way = false;
        for (struct root *root = master->roots; root != NULL; root = root->next)
            root->flight.is_under_way = false;
    }
    take_counters(keyring);
    pthread_mutex_unlock(&keyring->mutex);
}

/* ---- Flights; the mutex is held ---- */

bool flight_begin(struct keyring *keyring, struct flight *flight, kw_status *status, kw_error *error)
{
    const uint64_t seen = flight->ended;
    if (!flight->is_under_way) {
        flight->is_under_way = true;
        return true;
    }
    while (flight->ended == seen)
        pthread_cond_wait(&keyring->settled, &keyring->mutex);
    *status = flight->failure.status;
    if (*status != KW_OK && error != NULL)
        *error = flight->failure;
    return false;
}

void flight_end(struct keyring *keyring, struct flight *flight, kw_status status, const kw_error *error)
{
    memset(&flight->failure, 0, sizeof(flight->failure));
    if (status != KW_OK)
        flight->failure = *error;
    flight->failure.status = status;
    flight->is_under_way = false;
    flight->ended++;
    pthread_cond_broadcast(&keyring->settled);
}

/* ---- Roots; the mutex is held ---- */

static struct root *root_find(struct master *master, uint32_t version)
{
    struct root *root = master->roots;
    while (root != NULL && root->version != version)
        root = root->next;
    if (root == NULL) {
        root = calloc(1, sizeof(*root));
        if (root != NULL) {
            root->version = version;
            root->next = master->roots;
            master->roots = root;
        }
    }
    return root;
}

/* The last who used it takes away what has nothing in it: versions come from seals, of which anybody can make up any. */
static void root_leave(struct master *master, struct root *root)
{
    if (--root->users > 0 || root->secret.data != NULL)
        return;
    for (struct root **at = &master->roots; *at != NULL; at = &(*at)->next) {
        if (*at == root) {
            *at = root->next;
            break;
        }
    }
    root_free(root);
}

/* Loads it in this thread, while others wait for it. */
static kw_status root_fetch(struct master *master, struct root *root, kw_error *error)
{
    struct keyring *const keyring = master->keyring;
    kw_error failure = {0};
    struct held held;
    struct secret secret = {0};
    kw_status status = KW_OK;
    keyring_count(keyring, 0, COUNT_MISS);
    if (!flight_begin(keyring, &root->flight, &status, error))
        return status;
    pthread_mutex_unlock(&keyring->mutex);
    keyring_hold(keyring, &held);
    status = root_load(&held.place, &master->id, root->version, &secret, &failure);
    keyring_count(keyring, 0, COUNT_UNWRAP);
    if (status == KW_OK)
        master_loaded(master, &held.place);
    keyring_release(&held);
    pthread_mutex_lock(&keyring->mutex);
    if (status == KW_OK) {
        secret_clear(&root->secret);
        root->secret = secret;
        root->loaded = clock_milliseconds();
        master_age(master);
    } else if (error != NULL) {
        *error = failure;
    }
    flight_end(keyring, &root->flight, status, &failure);
    return status;
}

kw_status master_subkey(struct master *master, const struct subkey_name *name, unsigned char *out, size_t length,
                        bool *was_there, kw_error *error)
{
    struct keyring *const keyring = master->keyring;
    kw_status status = KW_OK;
    struct root *root;
    pthread_mutex_lock(&keyring->mutex);
    root = root_find(master, name->version);
    if (root == NULL) {
        pthread_mutex_unlock(&keyring->mutex);
        return error_memory(error);
    }
    root->users++;
    *was_there = root->secret.data != NULL;
    while (status == KW_OK && root->secret.data == NULL) /* who waited may find it forgotten again */
        status = root_fetch(master, root, error);
    if (status == KW_OK)
        status = subkey_derive(keyring->crypto, secret_view(&root->secret), name, out, length, error);
    root_leave(master, root);
    pthread_mutex_unlock(&keyring->mutex);
    return status;
}

/* ---- The interface ---- */

/* Makes the first root, in this thread, while others wait for it. */
static kw_status make_first(struct master *master, kw_error *error)
{
    struct keyring *const keyring = master->keyring;
    kw_error failure = {0};
    struct held held;
    kw_status status = KW_OK;
    uint32_t version = 0;
    bool is_closed = false;
    struct root *root;
    pthread_mutex_lock(&keyring->mutex);
    root = root_find(master, 0);
    if (root == NULL) {
        pthread_mutex_unlock(&keyring->mutex);
        return error_memory(error);
    }
    root->users++;
    if (flight_begin(keyring, &root->flight, &status, error)) {
        pthread_mutex_unlock(&keyring->mutex);
        status = master_entry(master, &is_closed, &failure);
        if (status == KW_OK && is_closed)
            status = error_set(&failure, KW_REFUSED, "the master key is out of use: no root is made for it");
        keyring_hold(keyring, &held);
        if (status == KW_OK)
            status = root_make(&held.place, &master->id, 0, &version, &failure);
        keyring_release(&held);
        if (status == KW_OK)
            status = master_look(master, control_generation(keyring->control), &failure);
        pthread_mutex_lock(&keyring->mutex);
        flight_end(keyring, &root->flight, status, &failure);
        if (status != KW_OK && error != NULL)
            *error = failure;
    }
    root_leave(master, root);
    pthread_mutex_unlock(&keyring->mutex);
    return status;
}

kw_status master_active(struct master *master, uint32_t *version, kw_error *error)
{
    kw_status status = KW_OK;
    *version = atomic_load_explicit(&master->active, memory_order_acquire);
    if (*version != 0)
        return KW_OK;
    status = make_first(master, error);
    if (status != KW_OK)
        return status;
    *version = atomic_load(&master->active);
    return *version != 0 ? KW_OK
                         : error_set(error, KW_CONFLICT, "somebody else retired the master key's root meanwhile");
}

kw_status keyring_active(struct keyring *keyring, const struct id *id, uint32_t *version, kw_error *error)
{
    const uint64_t generation = control_generation(keyring->control);
    struct master *const master = keyring_master(keyring, id);
    kw_status status;
    if (master == NULL)
        return error_memory(error);
    status = master_follow(master, generation, error);
    return status == KW_OK ? master_active(master, version, error) : status;
}

kw_status keyring_check(struct keyring *keyring, const struct id *id, uint32_t version, kw_error *error)
{
    struct master *const master = keyring_master(keyring, id);
    return master == NULL ? error_memory(error) : master_version(master, version, error);
}

kw_status keyring_serves(struct keyring *keyring, const struct id *id, kw_error *error)
{
    struct master *const master = keyring_master(keyring, id);
    return master == NULL ? error_memory(error) : master_check(master, error);
}

kw_status keyring_resealed(struct keyring *keyring, const struct id *id, uint32_t version, kw_error *error)
{
    struct held held;
    keyring_hold(keyring, &held);
    const kw_status status = root_note_resealed(&held.place, id, version, error);
    keyring_release(&held);
    return status;
}

kw_status keyring_subkey(struct keyring *keyring, const struct subkey_name *name, unsigned char *out, size_t length,
                         kw_error *error)
{
    struct master *const master = keyring_master(keyring, &name->master);
    bool was_there = false;
    kw_status status;
    if (master == NULL)
        return error_memory(error);
    status = master_check(master, error);
    if (status == KW_OK)
        status = master_subkey(master, name, out, length, &was_there, error);
    if (status == KW_OK && was_there)
        keyring_count(keyring, 0, COUNT_HIT);
    return status;
}

/* Those that threads are about to use go when they are done. */
void keyring_forget(struct keyring *keyring, const struct id *id)
{
    pthread_mutex_lock(&keyring->mutex);
    for (struct master *master = keyring->masters; master != NULL; master = master->next) {
        if (id != NULL && !id_equal(&master->id, id))
            continue;
        for (struct root **at = &master->roots; *at != NULL;) {
            struct root *const root = *at;
            secret_clear(&root->secret);
            if (root->users > 0) {
                at = &root->next;
                continue;
            }
            *at = root->next;
            root_free(root);
        }
    }
    pthread_mutex_unlock(&keyring->mutex);
}
