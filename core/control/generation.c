/* The generation; operations, by the one under which they began; and waiting until nobody uses what came before. */
#include "control/layout.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MAXIMUM 20u /* milliseconds between two looks of control_wait */

/* ---- The generation ---- */

uint64_t control_generation(const struct control *control)
{
    return number_get(&control->region->file->generation);
}

uint64_t control_configuration(const struct control *control)
{
    return number_get(&control->region->file->configuration);
}

static unsigned phase_of(uint64_t generation)
{
    return (unsigned)(generation % CONTROL_PHASES);
}

static uint64_t active_in(const struct control_slot *slot, unsigned phase)
{
    uint64_t sum = 0;
    for (unsigned stripe = 0; stripe < CONTROL_STRIPES; stripe++)
        sum += number_get(&slot->active[stripe].phases[phase]);
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
    const uint64_t words[2] = {number_get(&slot->program[0]), number_get(&slot->program[1])};
    char program[sizeof(words) + 1] = {0};
    memcpy(program, words, sizeof(words));
    /* it stands in messages */
    for (char *at = program; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?';
    who_add(who, number_get(&slot->process), program);
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
        if (number_get(&slot->token) == 0 || active_in(slot, phase) == 0 || !slot_is_alive(region, slot))
            continue;
        used = true;
        who_add_slot(who, slot);
    }
    return used;
}

/* Takes the next number whose phase nobody uses. */
static kw_status raise_generation(struct control *control, bool configuration, uint64_t *generation, kw_error *error)
{
    char text[CONTROL_WHO_SIZE] = "";
    struct control_file *const file = control->region->file;
    struct who who = {.text = text};
    kw_status status = KW_CONFLICT;
    pthread_mutex_lock(&control_mutex);
    uint64_t present = number_get(&file->generation);
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
            number_set(&file->phases[phase_of(next)], next);
            *generation = next;
            status = KW_OK;
        } else {
            present = expected; /* another process was faster */
            step = 1;
        }
    }
    pthread_mutex_unlock(&control_mutex);
    if (status == KW_OK)
        return KW_OK;
    who_end(&who);
    status = error_set(error, KW_UNAVAILABLE, "operations that began long ago are still under way in %s", text);
    error_remedy(error, "end them, then try again");
    return status;
}

kw_status control_raise(struct control *control, uint64_t *generation, kw_error *error)
{
    return raise_generation(control, false, generation, error);
}

kw_status control_raise_configuration(struct control *control, uint64_t *generation, kw_error *error)
{
    return raise_generation(control, true, generation, error);
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
    uint64_t generation = number_get(&file->generation);
    *use = (struct control_use){.slot = atomic_load_explicit(&control->slot, memory_order_relaxed),
                                .stripe = thread_stripe(),
                                .forks = control->forks};
    if (use->slot == NULL)
        return generation;
    for (;;) {
        control_number *const active = &use->slot->active[use->stripe].phases[phase_of(generation)];
        atomic_fetch_add_explicit(active, 1, memory_order_seq_cst);
        const uint64_t again = number_get(&file->generation);
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
    return slot != NULL && number_get(&slot->inherited) != 0;
}

void control_prove(struct control *control)
{
    pthread_mutex_lock(&control_mutex);
    control_take_again(control->region);
    struct control_slot *const slot = atomic_load(&control->slot);
    if (slot != NULL)
        number_set(&slot->inherited, 0);
    pthread_mutex_unlock(&control_mutex);
}

void control_acknowledge(struct control *control, uint64_t generation)
{
    pthread_mutex_lock(&control_mutex);
    control_take_again(control->region);
    struct control_slot *const slot = atomic_load(&control->slot);
    if (generation > control->seen) {
        control->seen = generation;
        if (slot != NULL)
            number_set(&slot->seen, generation);
    }
    pthread_mutex_unlock(&control_mutex);
}

/* ---- Stores ---- */

/* FNV-1a, never 0: told apart are ids of one configuration, not an attacker's. */
uint64_t store_hash(const char *id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++)
        hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
    return hash == 0 ? 1 : hash;
}

void control_know(struct control *control, const char *const *store_ids, size_t count)
{
    pthread_mutex_lock(&control_mutex);
    struct control_slot *const slot = atomic_load(&control->slot);
    for (unsigned i = 0; i < CONTROL_STORES && slot != NULL; i++)
        number_set(&slot->stores[i], count <= CONTROL_STORES && i < count ? store_hash(store_ids[i]) : 0);
    pthread_mutex_unlock(&control_mutex);
}

static bool slot_knows(const struct control_slot *slot, uint64_t hash)
{
    bool knows = false;
    for (unsigned i = 0; i < CONTROL_STORES && !knows; i++)
        knows = number_get(&slot->stores[i]) == hash;
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
    control_take_again(region);
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
    pthread_mutex_lock(&control_mutex);
    const kw_status status = check_descriptor(region, error);
    if (status == KW_OK) {
        bool all = true;
        for (size_t i = 0; i < CONTROL_SLOTS; i++) {
            const struct control_slot *const slot = &region->file->slots[i];
            if (number_get(&slot->token) == 0 || slot_knows(slot, hash) || !slot_is_alive(region, slot))
                continue;
            all = false;
            who_add_slot(&ignorant, slot);
        }
        *knows = !add_crowd(region, &ignorant) && all;
        who_end(&ignorant);
    }
    pthread_mutex_unlock(&control_mutex);
    return status;
}

/* ---- Answers ---- */

void control_answer(struct control *control, uint64_t configuration, bool taken)
{
    pthread_mutex_lock(&control_mutex);
    struct control_slot *const slot = atomic_load(&control->slot);
    if (slot != NULL)
        number_set(taken ? &slot->configuration : &slot->refused, configuration);
    pthread_mutex_unlock(&control_mutex);
}

kw_status control_answers_get(struct control *control, uint64_t configuration, struct control_answers *answers,
                              kw_error *error)
{
    struct region *const region = control->region;
    struct who waiting = {.text = answers->waiting}, refusing = {.text = answers->refusing};
    *answers = (struct control_answers){0};
    pthread_mutex_lock(&control_mutex);
    const kw_status status = check_descriptor(region, error);
    for (size_t i = 0; i < CONTROL_SLOTS && status == KW_OK; i++) {
        const struct control_slot *const slot = &region->file->slots[i];
        if (!slot_is_alive(region, slot))
            continue;
        answers->contexts++;
        if (number_get(&slot->configuration) >= configuration) {
            answers->taken++;
        } else if (number_get(&slot->refused) >= configuration) {
            answers->refused++;
            who_add_slot(&refusing, slot);
        } else {
            who_add_slot(&waiting, slot);
        }
    }
    if (status == KW_OK && add_crowd(region, &waiting))
        answers->contexts++; /* or more, which nobody can count */
    pthread_mutex_unlock(&control_mutex);
    who_end(&waiting);
    who_end(&refusing);
    return status;
}

/* ---- Waiting ---- */

/* Whether a process that lives may still use what came before. */
static bool slot_delays(const struct region *region, const struct control_slot *slot, uint64_t generation)
{
    bool busy = false;
    if (number_get(&slot->token) == 0)
        return false;
    for (unsigned phase = 0; phase < CONTROL_PHASES && !busy; phase++)
        busy = number_get(&region->file->phases[phase]) < generation && active_in(slot, phase) > 0;
    return (busy || (number_get(&slot->inherited) != 0 && number_get(&slot->seen) < generation)) &&
           slot_is_alive(region, slot);
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
    pthread_mutex_lock(&control_mutex);
    status = check_descriptor(region, error);
    if (status == KW_OK)
        *settled = settled_now(region, generation, who);
    pthread_mutex_unlock(&control_mutex);
    return status;
}

kw_status control_wait(struct control *control, uint64_t generation, uint64_t milliseconds, char who[CONTROL_WHO_SIZE],
                       kw_error *error)
{
    const uint64_t until = clock_milliseconds() + milliseconds;
    if (control_inherited(control))
        control_prove(control);
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
    pthread_mutex_lock(&control_mutex);
    for (size_t i = 0; i < CONTROL_SLOTS; i++)
        count += slot_is_alive(control->region, &control->region->file->slots[i]) ? 1 : 0;
    pthread_mutex_unlock(&control_mutex);
    return count;
}
