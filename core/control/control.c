/* Slots, and the generation that they are held against. */
#include "control/layout.h"

#include "base/clock.h"

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
#define PAUSE_MAXIMUM         20u /* milliseconds between two looks of control_wait */
#define ADOPTION_ATTEMPTS     1000

/* All that this process has open; a leaf, held across a fork. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct control *controls;
static struct region *regions;

void region_mutex_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void region_mutex_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static uint64_t get(const control_number *number)
{
    return atomic_load_explicit(number, memory_order_seq_cst);
}

static void set(control_number *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_seq_cst);
}

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
    const uint64_t until = get(&slot->reserved), now = clock_milliseconds();
    return until > now && until - now <= RESERVED_MILLISECONDS;
}

bool slot_is_alive(const struct region *region, const struct control_slot *slot)
{
    pid_t holder;
    if (get(&slot->token) == 0)
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
    set(&slot->program[0], words[0]);
    set(&slot->program[1], words[1]);
}

static void slot_clear(struct control_slot *slot)
{
    for (unsigned i = 0; i < CONTROL_STORES; i++)
        set(&slot->stores[i], 0);
    for (unsigned stripe = 0; stripe < CONTROL_STRIPES; stripe++)
        for (unsigned phase = 0; phase < CONTROL_PHASES; phase++)
            set(&slot->active[stripe].phases[phase], 0);
}

/* Its lock is ours: whoever had it is gone. */
static void slot_claim(struct control_slot *slot, uint64_t token, bool for_child, uint64_t seen)
{
    slot_clear(slot);
    set(&slot->process, for_child ? 0 : (uint64_t)getpid());
    set(&slot->inherited, for_child);
    set(&slot->seen, seen);
    set(&slot->reserved, for_child ? clock_milliseconds() + RESERVED_MILLISECONDS : 0);
    slot_set_program(slot);
    set(&slot->token, token);
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
            if (region->mine[index] || (look == 0 && get(&slot->token) != 0) ||
                (get(&slot->token) != 0 && slot_is_reserved(slot)) ||
                !region_lock(region, F_WRLCK, slot_byte(region, slot)))
                continue;
            if ((look == 0 && get(&slot->token) != 0) || (get(&slot->token) != 0 && slot_is_reserved(slot))) {
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
static void take_again(struct region *region)
{
    if (!region_descriptor_is_lost(region) || !region_reopen(region))
        return;
    for (struct control *each = controls; each != NULL; each = each->next) {
        struct control_slot *const slot = atomic_load(&each->slot);
        if (each->region == region && slot != NULL &&
            (!region_lock(region, F_WRLCK, slot_byte(region, slot)) || get(&slot->process) != (uint64_t)getpid())) {
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
    pthread_mutex_lock(&mutex);
    for (struct control *control = controls; control != NULL; control = control->next) {
        const struct control_slot *const own = atomic_load(&control->slot);
        control->reserved = slot_find(control->region, true, control->seen);
        for (unsigned i = 0; i < CONTROL_STORES && own != NULL && control->reserved != NULL; i++)
            set(&control->reserved->stores[i], get(&own->stores[i]));
    }
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&mutex);
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
            if (!slot_is_reserved(slot) || get(&slot->process) != 0) {
                region_lock(region, F_UNLCK, slot_byte(region, slot));
                return NULL;
            }
            set(&slot->process, (uint64_t)getpid());
            set(&slot->reserved, 0);
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
    pthread_mutex_unlock(&mutex);
}

static void watch(void)
{
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
    pthread_mutex_lock(&mutex);
    status = region_open(state_directory, regions, log, &made->region, error);
    if (status != KW_OK) {
        free(made);
        goto out;
    }
    take_again(made->region);
    if (made->region->references++ == 0) {
        made->region->next = regions;
        regions = made->region;
    }
    made->seen = get(&made->region->file->generation);
    control_place(made, slot_find(made->region, false, made->seen));
    made->next = controls;
    controls = made;
    *control = made;
out:
    pthread_mutex_unlock(&mutex);
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
    pthread_mutex_lock(&mutex);
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
        set(&slot->token, 0);
        region->mine[slot_index(region, slot)] = false;
        if (!region_descriptor_is_lost(region))
            region_lock(region, F_UNLCK, slot_byte(region, slot));
    }
    region_release(region);
    pthread_mutex_unlock(&mutex);
    free(control);
}

/* ---- The generation ---- */

uint64_t control_generation(const struct control *control)
{
    return get(&control->region->file->generation);
}

uint64_t control_configuration(const struct control *control)
{
    return get(&control->region->file->configuration);
}

static unsigned phase_of(uint64_t generation)
{
    return (unsigned)(generation % CONTROL_PHASES);
}

static uint64_t active_in(const struct control_slot *slot, unsigned phase)
{
    uint64_t sum = 0;
    for (unsigned stripe = 0; stripe < CONTROL_STRIPES; stripe++)
        sum += get(&slot->active[stripe].phases[phase]);
    return sum;
}

struct who {
    char *text; /* of CONTROL_WHO_SIZE */
    size_t length, more;
};

static void who_add(struct who *who, uint64_t process, const char *program)
{
    char name[80];
    int length;
    snprintf(name, sizeof(name), "%sprocess %llu%s%s%s", who->length == 0 ? "" : ", ", (unsigned long long)process,
             *program == '\0' ? "" : " (", program, *program == '\0' ? "" : ")");
    length = (int)strlen(name);
    /* room for " and N more" */
    if (who->more > 0 || who->length + (size_t)length + 40 > CONTROL_WHO_SIZE) {
        who->more++;
        return;
    }
    memcpy(who->text + who->length, name, (size_t)length + 1);
    who->length += (size_t)length;
}

static void who_add_slot(struct who *who, const struct control_slot *slot)
{
    const uint64_t words[2] = {get(&slot->program[0]), get(&slot->program[1])};
    char program[sizeof(words) + 1] = {0};
    memcpy(program, words, sizeof(words));
    /* it stands in messages */
    for (char *at = program; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    who_add(who, get(&slot->process), program);
}

static void who_end(struct who *who)
{
    if (who->more > 0)
        snprintf(who->text + who->length, CONTROL_WHO_SIZE - who->length, " and %zu more", who->more);
}

/* Whether the phase of a generation to come is still that of operations under way, which began long ago. */
static bool phase_is_used(const struct region *region, unsigned phase, struct who *who)
{
    bool used = false;
    for (size_t i = 0; i < CONTROL_SLOTS; i++) {
        const struct control_slot *const slot = &region->file->slots[i];
        if (get(&slot->token) == 0 || active_in(slot, phase) == 0 || !slot_is_alive(region, slot))
            continue;
        used = true;
        who_add_slot(who, slot);
    }
    return used;
}

/* Takes the next number whose phase nobody uses. */
static kw_status raise(struct control *control, bool configuration, uint64_t *generation, kw_error *error)
{
    char text[CONTROL_WHO_SIZE] = "";
    struct control_file *const file = control->region->file;
    struct who who = {.text = text};
    kw_status status = KW_CONFLICT;
    pthread_mutex_lock(&mutex);
    uint64_t present = get(&file->generation);
    for (unsigned step = 1; status == KW_CONFLICT && step < CONTROL_PHASES;) {
        const uint64_t next = present + step;
        uint64_t expected = present;
        if (phase_is_used(control->region, phase_of(next), &who)) {
            step++;
            continue;
        }
        if (configuration)
            atomic_fetch_add(&file->configuration, 1);
        configuration = false;
        if (atomic_compare_exchange_strong(&file->generation, &expected, next)) {
            set(&file->phases[phase_of(next)], next);
            *generation = next;
            status = KW_OK;
        } else {
            present = expected; /* another process was faster */
            step = 1;
        }
    }
    pthread_mutex_unlock(&mutex);
    if (status == KW_OK)
        return KW_OK;
    who_end(&who);
    status = error_set(error, KW_UNAVAILABLE, "operations that began long ago are still under way in %s", text);
    error_remedy(error, "end them, then try again");
    return status;
}

kw_status control_raise(struct control *control, uint64_t *generation, kw_error *error)
{
    return raise(control, false, generation, error);
}

kw_status control_raise_configuration(struct control *control, uint64_t *generation, kw_error *error)
{
    return raise(control, true, generation, error);
}

/* ---- Operations ---- */

static unsigned thread_stripe(void)
{
    static atomic_uint last;
    static _Thread_local unsigned stripe; /* from 1 */
    if (stripe == 0)
        stripe = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) % CONTROL_STRIPES + 1;
    return stripe - 1;
}

/*
 * First counted, then looked again: either this sees a generation that was raised meanwhile, or whoever raised it sees the operation.
 */
uint64_t control_enter(struct control *control, struct control_use *use)
{
    const struct control_file *const file = control->region->file;
    uint64_t generation = get(&file->generation);
    *use = (struct control_use){.slot = atomic_load_explicit(&control->slot, memory_order_relaxed),
                                .stripe = thread_stripe(),
                                .forks = control->forks};
    if (use->slot == NULL)
        return generation;
    for (;;) {
        control_number *const active = &use->slot->active[use->stripe].phases[phase_of(generation)];
        atomic_fetch_add_explicit(active, 1, memory_order_seq_cst);
        const uint64_t again = get(&file->generation);
        if (again == generation)
            break;
        atomic_fetch_sub_explicit(active, 1, memory_order_seq_cst);
        generation = again;
    }
    use->phase = phase_of(generation);
    return generation;
}

void control_leave(struct control *control, const struct control_use *use)
{
    if (use->slot != NULL && use->forks == control->forks)
        atomic_fetch_sub_explicit(&use->slot->active[use->stripe].phases[use->phase], 1, memory_order_release);
}

bool control_inherited(const struct control *control)
{
    const struct control_slot *const slot = atomic_load_explicit(&control->slot, memory_order_relaxed);
    return slot != NULL && get(&slot->inherited) != 0;
}

void control_prove(struct control *control)
{
    pthread_mutex_lock(&mutex);
    take_again(control->region);
    struct control_slot *const slot = atomic_load(&control->slot);
    if (slot != NULL)
        set(&slot->inherited, 0);
    pthread_mutex_unlock(&mutex);
}

void control_acknowledge(struct control *control, uint64_t generation)
{
    pthread_mutex_lock(&mutex);
    take_again(control->region);
    struct control_slot *const slot = atomic_load(&control->slot);
    if (generation > control->seen) {
        control->seen = generation;
        if (slot != NULL)
            set(&slot->seen, generation);
    }
    pthread_mutex_unlock(&mutex);
}

/* ---- Stores ---- */

/* FNV-1a, never 0: told apart are ids of one configuration, not an attacker's. */
static uint64_t store_hash(const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
    return hash == 0 ? 1 : hash;
}

void control_know(struct control *control, const char *const *store_ids, size_t count)
{
    pthread_mutex_lock(&mutex);
    struct control_slot *const slot = atomic_load(&control->slot);
    for (unsigned i = 0; i < CONTROL_STORES && slot != NULL; i++)
        set(&slot->stores[i], count <= CONTROL_STORES && i < count ? store_hash(store_ids[i]) : 0);
    pthread_mutex_unlock(&mutex);
}

static bool slot_knows(const struct control_slot *slot, uint64_t hash)
{
    bool knows = false;
    for (unsigned i = 0; i < CONTROL_STORES && !knows; i++)
        knows = get(&slot->stores[i]) == hash;
    return knows;
}

/* Those without a slot have not said what they know. */
static bool add_crowd(struct region *region, struct who *who)
{
    pid_t holder = 0;
    if (region->crowded == 0 && !region_locked(region, CONTROL_CROWD_BYTE, &holder))
        return false;
    who_add(who, region->crowded > 0 ? (uint64_t)getpid() : (uint64_t)holder, "one too many");
    return true;
}

static kw_status check_descriptor(struct region *region, kw_error *error)
{
    take_again(region);
    return region_descriptor_is_lost(region)
               ? error_set(error, KW_UNAVAILABLE,
                           "the descriptor of %s was closed by the program, and it cannot be opened again",
                           region->path)
               : KW_OK;
}

kw_status control_knows(struct control *control, const char *store_id, bool *knows, char who[CONTROL_WHO_SIZE],
                        kw_error *error)
{
    struct region *const region = control->region;
    struct who ignorant = {.text = who};
    const uint64_t hash = store_hash(store_id);
    who[0] = '\0';
    pthread_mutex_lock(&mutex);
    const kw_status status = check_descriptor(region, error);
    if (status == KW_OK) {
        bool all = true;
        for (size_t i = 0; i < CONTROL_SLOTS; i++) {
            const struct control_slot *const slot = &region->file->slots[i];
            if (get(&slot->token) == 0 || slot_knows(slot, hash) || !slot_is_alive(region, slot))
                continue;
            all = false;
            who_add_slot(&ignorant, slot);
        }
        *knows = !add_crowd(region, &ignorant) && all;
        who_end(&ignorant);
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

/* ---- Waiting ---- */

/* Whether a process that lives may still use what came before. */
static bool slot_delays(const struct region *region, const struct control_slot *slot, uint64_t generation)
{
    bool busy = false;
    if (get(&slot->token) == 0)
        return false;
    for (unsigned phase = 0; phase < CONTROL_PHASES && !busy; phase++)
        busy = get(&region->file->phases[phase]) < generation && active_in(slot, phase) > 0;
    return (busy || (get(&slot->inherited) != 0 && get(&slot->seen) < generation)) && slot_is_alive(region, slot);
}

static bool settled_now(struct region *region, uint64_t generation, char text[CONTROL_WHO_SIZE])
{
    struct who who = {.text = text};
    bool settled = true;
    text[0] = '\0';
    for (size_t i = 0; i < CONTROL_SLOTS; i++) {
        const struct control_slot *const slot = &region->file->slots[i];
        if (!slot_delays(region, slot, generation))
            continue;
        settled = false;
        who_add_slot(&who, slot);
    }
    settled = !add_crowd(region, &who) && settled;
    who_end(&who);
    return settled;
}

kw_status control_settled(struct control *control, uint64_t generation, bool *settled, char who[CONTROL_WHO_SIZE],
                          kw_error *error)
{
    struct region *const region = control->region;
    kw_status status = KW_OK;
    if (generation > control_generation(control))
        return error_set(error, KW_INVALID_ARGUMENT, "there is no generation %llu yet", (unsigned long long)generation);
    pthread_mutex_lock(&mutex);
    status = check_descriptor(region, error);
    if (status == KW_OK)
        *settled = settled_now(region, generation, who);
    pthread_mutex_unlock(&mutex);
    return status;
}

kw_status control_wait(struct control *control, uint64_t generation, uint64_t milliseconds, char who[CONTROL_WHO_SIZE],
                       kw_error *error)
{
    const uint64_t until = clock_milliseconds() + milliseconds;
    for (unsigned pause = 1;; pause = pause * 2 < PAUSE_MAXIMUM ? pause * 2 : PAUSE_MAXIMUM) {
        const struct timespec wait = {.tv_nsec = (long)pause * 1000000};
        bool settled = false;
        const kw_status status = control_settled(control, generation, &settled, who, error);
        if (status != KW_OK || settled)
            return status;
        if (clock_milliseconds() >= until)
            return error_set(error, KW_TIMEOUT, "%s may still use what was there before", who);
        nanosleep(&wait, NULL);
    }
}

size_t control_contexts(struct control *control)
{
    size_t count = 0;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < CONTROL_SLOTS; i++)
        count += slot_is_alive(control->region, &control->region->file->slots[i]) ? 1 : 0;
    pthread_mutex_unlock(&mutex);
    return count;
}
