/*
 * Secrets lie in regions: locked pages between two guard pages, divided into units. What is where is written down outside of
 * them, so that an overrun meets no bookkeeping. One empty region is kept, so that short-lived secrets cost no system call.
 */
#include "base/secret.h"

#include "base/error.h"
#include "base/forks.h"
#include "base/pages.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* No secret is as long as the last: whoever asks for that has a length wrong. */
enum { UNIT = 64, REGION_UNITS = 512, LENGTH_MAXIMUM = 1 << 28 };

struct region {
    struct region *next;
    struct pages pages;
    size_t units, used;
    /* For each unit: 0 when it is free, else how many units the allocation has that begins here; SIZE_MAX inside one. */
    size_t runs[];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct region *regions;
static atomic_bool unlocked, unlocked_told;

static void region_lock(const struct region *region)
{
    if (!pages_lock(&region->pages))
        atomic_store(&unlocked, true);
}

static void fork_prepare(void)
{
    pthread_mutex_lock(&mutex);
}

static void fork_done(void)
{
    pthread_mutex_unlock(&mutex);
}

static void initialise(void)
{
    forks_watch(fork_prepare, fork_done, fork_done);
}

void secret_watch_forks(void)
{
    pthread_once(&once, initialise);
}

/* ---- Regions; the mutex is held ---- */

static struct region *region_new(size_t units)
{
    struct region *region = calloc(1, sizeof(*region) + units * sizeof(region->runs[0]));
    if (region == NULL)
        return NULL;
    region->units = units;
    if (!pages_map(&region->pages, units * UNIT)) {
        free(region);
        return NULL;
    }
    region_lock(region);
    region->next = regions;
    regions = region;
    return region;
}

/* The first of `units` free units in a row, or NULL. */
static void *region_take(struct region *region, size_t units)
{
    if (region->units - region->used < units)
        return NULL;
    size_t at = 0, free_units = 0;
    while (at < region->units && free_units < units) {
        if (region->runs[at] == 0) {
            free_units++;
            at++;
        } else {
            free_units = 0;
            at += region->runs[at];
        }
    }
    if (free_units < units)
        return NULL;
    size_t first = at - units;
    region->runs[first] = units;
    for (size_t i = 1; i < units; i++)
        region->runs[first + i] = SIZE_MAX;
    region->used += units;
    return region->pages.start + first * UNIT;
}

static void region_give_back(struct region *region, size_t first)
{
    size_t units = region->runs[first];
    secret_wipe(region->pages.start + first * UNIT, units * UNIT);
    for (size_t i = 0; i < units; i++)
        region->runs[first + i] = 0;
    region->used -= units;
}

/* Unmaps a region that is empty, unless it is the only small one that is. */
static void region_retire(struct region *retired)
{
    bool keep = retired->units == REGION_UNITS;
    for (struct region *region = regions; region != NULL; region = region->next) {
        if (region != retired && region->used == 0)
            keep = false;
    }
    if (keep)
        return;
    for (struct region **link = &regions; *link != NULL; link = &(*link)->next) {
        if (*link == retired) {
            *link = retired->next;
            break;
        }
    }
    pages_unmap(&retired->pages);
    free(retired);
}

/* ---- The interface ---- */

void *secret_allocate(size_t length)
{
    if (length > LENGTH_MAXIMUM)
        return NULL;
    pthread_once(&once, initialise);
    size_t units = (length + UNIT - 1) / UNIT;
    if (units == 0)
        units = 1;
    void *memory = NULL;
    pthread_mutex_lock(&mutex);
    for (struct region *region = regions; region != NULL && memory == NULL; region = region->next)
        memory = region_take(region, units);
    if (memory == NULL) {
        struct region *region = region_new(units > REGION_UNITS ? units : REGION_UNITS);
        if (region != NULL)
            memory = region_take(region, units);
    }
    pthread_mutex_unlock(&mutex);
    return memory;
}

void secret_free(void *memory, size_t length)
{
    (void)length; /* known here, and better */
    if (memory == NULL)
        return;
    const uintptr_t address = (uintptr_t)memory;
    pthread_mutex_lock(&mutex);
    for (struct region *region = regions; region != NULL; region = region->next) {
        uintptr_t start = (uintptr_t)region->pages.start;
        if (address < start || address >= start + region->pages.length)
            continue;
        size_t first = (address - start) / UNIT;
        if ((address - start) % UNIT != 0 || first >= region->units || region->runs[first] == 0 ||
            region->runs[first] == SIZE_MAX)
            abort(); /* not what was allocated, or freed twice: going on would hand out memory in use */
        region_give_back(region, first);
        if (region->used == 0)
            region_retire(region);
        pthread_mutex_unlock(&mutex);
        return;
    }
    abort();
}

kw_status secret_new(struct secret *secret, size_t capacity, kw_error *error)
{
    if (capacity == SIZE_MAX)
        return error_memory(error);
    unsigned char *data = secret_allocate(capacity + 1);
    if (data == NULL)
        return error_memory(error);
    *secret = (struct secret){data, 0, capacity};
    return KW_OK;
}

kw_status secret_copy(struct secret *secret, kw_input from, kw_error *error)
{
    struct secret made = {0};
    kw_status status = secret_new(&made, from.length, error);
    if (status != KW_OK)
        return status;
    if (from.length > 0)
        memcpy(made.data, from.data, from.length);
    made.length = from.length;
    *secret = made;
    return KW_OK;
}

void secret_clear(struct secret *secret)
{
    if (secret->data != NULL)
        secret_free(secret->data, secret->capacity + 1);
    *secret = (struct secret){0};
}

kw_input secret_view(const struct secret *secret)
{
    return (kw_input){secret->data, secret->length};
}

bool secret_tell_unlocked(void)
{
    return atomic_load_explicit(&unlocked, memory_order_relaxed) && !atomic_exchange(&unlocked_told, true);
}

void secret_forked(void)
{
    pthread_mutex_lock(&mutex);
    atomic_store(&unlocked, false);
    atomic_store(&unlocked_told, false);
    for (const struct region *region = regions; region != NULL; region = region->next)
        region_lock(region);
    pthread_mutex_unlock(&mutex);
}

void secret_wipe(void *memory, size_t length)
{
    if (length > 0)
        pages_wipe(memory, length);
}
