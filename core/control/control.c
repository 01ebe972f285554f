/* Opening and closing; slots, and what a fork does with them. */
#include "control/layout.h"

#include "base/clock.h"
#include "base/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long a slot waits for the child of a fork that is under way; a child that comes later finds another. */
#define RESERVED_MILLISECONDS 10000u
#define ADOPTION_ATTEMPTS     1000

/* All that this process has open; a leaf, held across a fork. */
pthread_mutex_t control_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct control *controls;
static struct region *regions;

/* ---- Slots; the mutex is held ---- */

static size_t slot_index(const struct region *region, const struct control_slot *slot)
{
    return (size_t)(slot - region->file->slots);
}

static off_t slot_byte(const struct region *region, const struct control_slot *slot)
{
    return CONTROL_SLOT_BYTE + (off_t)slot_index(region, slot);
}

/* Waits for a child. The clock may have begun anew since, with the machine. */
static bool slot_is_reserved(const struct control_slot *slot)
{
    const uint64_t until = number_get(&slot->reserved), now = clock_milliseconds();
    return until > now && until - now <= RESERVED_MILLISECONDS;
}

bool slot_is_alive(const struct region *region, const struct control_slot *slot)
{
    pid_t holder;
    if (number_get(&slot->token) == 0)
        return false;
    return region->mine[slot_index(region, slot)] || slot_is_reserved(slot) ||
           region_locked(region, slot_byte(region, slot), &holder);
}

static void slot_set_program(struct control_slot *slot)
{
    uint64_t words[2] = {0};
    char name[sizeof(words)] = {0};
    snprintf(name, sizeof(name), "%s", program_invocation_short_name);
    memcpy(words, name, sizeof(words));
    number_set(&slot->program[0], words[0]);
    number_set(&slot->program[1], words[1]);
}

static void slot_clear(struct control_slot *slot)
{
    number_set(&slot->configuration, 0);
    number_set(&slot->refused, 0);
    for (unsigned i = 0; i < CONTROL_STORES; i++)
        number_set(&slot->stores[i], 0);
    for (unsigned stripe = 0; stripe < CONTROL_STRIPES; stripe++)
        for (unsigned phase = 0; phase < CONTROL_PHASES; phase++)
            number_set(&slot->active[stripe].phases[phase], 0);
}

/* Its lock is ours: whoever had it is gone. */
static void slot_claim(struct control_slot *slot, uint64_t token, bool for_child, uint64_t seen)
{
    slot_clear(slot);
    number_set(&slot->process, for_child ? 0 : (uint64_t)getpid());
    number_set(&slot->inherited, for_child);
    number_set(&slot->seen, seen);
    number_set(&slot->reserved, for_child ? clock_milliseconds() + RESERVED_MILLISECONDS : 0);
    slot_set_program(slot);
    number_set(&slot->token, token);
}

/* First those that look free, since each attempt asks the system; then those whose process has died. */
static struct control_slot *slot_find(struct region *region, bool for_child, uint64_t seen)
{
    struct control_file *const file = region->file;
    const uint64_t token = atomic_fetch_add(&file->tokens, 1) + 1;
    for (int look = 0; look < 2; look++) {
        for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
            const size_t index = (size_t)((token + i) % CONTROL_SLOTS);
            struct control_slot *const slot = &file->slots[index];
            if (region->mine[index] || (look == 0 && number_get(&slot->token) != 0) ||
                (number_get(&slot->token) != 0 && slot_is_reserved(slot)) ||
                !region_lock(region, F_WRLCK, slot_byte(region, slot)))
                continue;
            if ((look == 0 && number_get(&slot->token) != 0) ||
                (number_get(&slot->token) != 0 && slot_is_reserved(slot))) {
                region_lock(region, F_UNLCK, slot_byte(region, slot));
                continue;
            }
            slot_claim(slot, token, for_child, seen);
            if (for_child)
                region_lock(region, F_UNLCK, slot_byte(region, slot));
            else
                region->mine[index] = true;
            return slot;
        }
    }
    return NULL;
}

/* A process without a slot holds the crowd's lock together with others: until it ends, nobody may be sure what it uses. */
static void join_crowd(struct control *control)
{
    control->region->crowded++;
    region_lock(control->region, F_RDLCK, CONTROL_CROWD_BYTE);
}

static void control_place(struct control *control, struct control_slot *slot)
{
    atomic_store(&control->slot, slot);
    if (slot == NULL)
        join_crowd(control);
}

/* The program may have closed our descriptor, and the locks with it. A slot that somebody else has taken since is lost. */
void control_take_again(struct region *region)
{
    if (!region_descriptor_is_lost(region) || !region_reopen(region))
        return;
    for (struct control *each = controls; each != NULL; each = each->next) {
        struct control_slot *const slot = atomic_load(&each->slot);
        if (each->region == region && slot != NULL &&
            (!region_lock(region, F_WRLCK, slot_byte(region, slot)) ||
             number_get(&slot->process) != (uint64_t)getpid())) {
            region->mine[slot_index(region, slot)] = false;
            region_lock(region, F_UNLCK, slot_byte(region, slot));
            control_place(each, NULL);
        }
    }
    if (region->crowded > 0)
        region_lock(region, F_RDLCK, CONTROL_CROWD_BYTE);
}

/* ---- Forks ---- */

static void fork_prepare(void)
{
    pthread_mutex_lock(&control_mutex);
    for (struct control *control = controls; control != NULL; control = control->next) {
        const struct control_slot *const own = atomic_load(&control->slot);
        control->reserved = slot_find(control->region, true, control->seen);
        if (own == NULL || control->reserved == NULL)
            continue;
        number_set(&control->reserved->configuration, number_get(&own->configuration));
        number_set(&control->reserved->refused, number_get(&own->refused));
        for (unsigned i = 0; i < CONTROL_STORES; i++)
            number_set(&control->reserved->stores[i], number_get(&own->stores[i]));
    }
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&control_mutex);
}

/* The slot that was reserved becomes the child's. Somebody who looks for a slot may hold its lock for an instant. */
static struct control_slot *adopt(struct control *control)
{
    struct region *const region = control->region;
    struct control_slot *const slot = control->reserved;
    if (slot == NULL)
        return NULL;
    for (int attempt = 0; attempt < ADOPTION_ATTEMPTS; attempt++) {
        if (region_lock(region, F_WRLCK, slot_byte(region, slot))) {
            if (!slot_is_reserved(slot) || number_get(&slot->process) != 0) {
                region_lock(region, F_UNLCK, slot_byte(region, slot));
                return NULL;
            }
            number_set(&slot->process, (uint64_t)getpid());
            number_set(&slot->reserved, 0);
            region->mine[slot_index(region, slot)] = true;
            return slot;
        }
        sched_yield();
    }
    return NULL;
}

static void fork_child(void)
{
    for (struct region *region = regions; region != NULL; region = region->next) {
        memset(region->mine, 0, sizeof(region->mine));
        region->crowded = 0;
    }
    for (struct control *control = controls; control != NULL; control = control->next) {
        control->forks++;
        control_place(control, adopt(control));
        control->reserved = NULL;
    }
    pthread_mutex_unlock(&control_mutex);
}

static void watch(void)
{
    run_lock_watch_forks(); /* which is below: replacing a damaged file takes one of its locks */
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void control_watch_forks(void)
{
    pthread_once(&once, watch);
}

/* ---- Opening and closing ---- */

kw_status control_open(const char *state_directory, const struct log *log, struct control **control, kw_error *error)
{
    kw_status status;
    struct control *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    control_watch_forks();
    pthread_mutex_lock(&control_mutex);
    status = region_open(state_directory, regions, log, &made->region, error);
    if (status != KW_OK) {
        free(made);
        goto out;
    }
    control_take_again(made->region);
    if (made->region->references++ == 0) {
        made->region->next = regions;
        regions = made->region;
    }
    made->seen = number_get(&made->region->file->generation);
    control_place(made, slot_find(made->region, false, made->seen));
    made->next = controls;
    controls = made;
    *control = made;
out:
    pthread_mutex_unlock(&control_mutex);
    return status;
}

static void region_release(struct region *region)
{
    if (--region->references > 0)
        return;
    for (struct region **link = &regions; *link != NULL; link = &(*link)->next) {
        if (*link == region) {
            *link = region->next;
            break;
        }
    }
    region_close(region);
}

void control_close(struct control *control)
{
    if (control == NULL)
        return;
    pthread_mutex_lock(&control_mutex);
    for (struct control **link = &controls; *link != NULL; link = &(*link)->next) {
        if (*link == control) {
            *link = control->next;
            break;
        }
    }
    struct region *const region = control->region;
    struct control_slot *const slot = atomic_load(&control->slot);
    if (slot != NULL) {
        count_release(region, slot);
        slot_clear(slot);
        number_set(&slot->token, 0);
        region->mine[slot_index(region, slot)] = false;
        if (!region_descriptor_is_lost(region))
            region_lock(region, F_UNLCK, slot_byte(region, slot));
    }
    region_release(region);
    pthread_mutex_unlock(&control_mutex);
    free(control);
}
