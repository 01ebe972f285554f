#include "control/layout.h"

#include <stdlib.h>
#include <string.h>

/* An owner's number says which use of which slot it is. */
static uint64_t owner_of(const struct region *region, const struct control_slot *slot)
{
    return atomic_load(&slot->token) * CONTROL_SLOTS + (uint64_t)(slot - region->file->slots);
}

static bool owner_is_alive(const struct region *region, uint64_t owner)
{
    const struct control_slot *const slot = &region->file->slots[owner % CONTROL_SLOTS];
    return owner != 0 && owner_of(region, slot) == owner && slot_is_alive(region, slot);
}

void count_release(struct region *region, const struct control_slot *slot)
{
    const uint64_t owner = owner_of(region, slot);
    for (size_t i = 0; i < CONTROL_BLOCKS; i++) {
        uint64_t expected = owner;
        atomic_compare_exchange_strong(&region->file->owners[i], &expected, 0);
    }
}

/* ---- Finding a block ---- */

struct wanted {
    char store_id[CONTROL_STORE_ID_SIZE]; /* filled up with NULs */
    uint64_t owner;                       /* 0: nobody, who can only share */
};

static bool is_named(const struct control_block *block, const struct wanted *wanted)
{
    return atomic_load(&block->named) == 1 && memcmp(block->store_id, wanted->store_id, sizeof(wanted->store_id)) == 0;
}

static bool take(struct region *region, size_t index, const struct wanted *wanted)
{
    uint64_t present = atomic_load(&region->file->owners[index]);
    return wanted->owner != 0 && !owner_is_alive(region, present) &&
           atomic_compare_exchange_strong(&region->file->owners[index], &present, wanted->owner);
}

static bool block_own(struct region *region, size_t index, const struct wanted *wanted)
{
    return wanted->owner != 0 && atomic_load(&region->file->owners[index]) == wanted->owner &&
           is_named(&region->file->blocks[index], wanted);
}

static bool block_left(struct region *region, size_t index, const struct wanted *wanted)
{
    return is_named(&region->file->blocks[index], wanted) && take(region, index, wanted);
}

static bool block_new(struct region *region, size_t index, const struct wanted *wanted)
{
    struct control_block *const block = &region->file->blocks[index];
    if (atomic_load(&block->named) != 0 || !take(region, index, wanted))
        return false;
    memcpy(block->store_id, wanted->store_id, sizeof(block->store_id));
    atomic_store(&block->named, 1);
    return true;
}

static bool block_shared(struct region *region, size_t index, const struct wanted *wanted)
{
    return is_named(&region->file->blocks[index], wanted);
}

struct control_count *control_counts(struct control *control, const char *store_id)
{
    static bool (*const ways[])(struct region *, size_t, const struct wanted *) = {block_own, block_left, block_new,
                                                                                   block_shared};
    struct region *const region = control->region;
    const struct control_slot *const slot = atomic_load(&control->slot);
    struct wanted wanted = {.owner = slot == NULL ? 0 : owner_of(region, slot)};
    struct control_count *found = NULL;
    if (strlen(store_id) >= sizeof(wanted.store_id))
        return NULL;
    memcpy(wanted.store_id, store_id, strlen(store_id));
    pthread_mutex_lock(&control_mutex);
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]) && found == NULL; way++)
        for (size_t i = 0; i < CONTROL_BLOCKS && found == NULL; i++)
            if (ways[way](region, i, &wanted))
                found = region->file->blocks[i].operations;
    pthread_mutex_unlock(&control_mutex);
    return found;
}

/* ---- Adding up ---- */

static struct control_total *total_of(struct control_total *totals, size_t count, const char *store_id)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(totals[i].store_id, store_id, sizeof(totals[i].store_id)) == 0)
            return &totals[i];
    return NULL;
}

static void add(struct control_total *total, const struct control_block *block)
{
    for (size_t i = 0; i < CONTROL_OPERATIONS; i++) {
        const struct control_count *const row = &block->operations[i];
        total->operations[i].calls += atomic_load_explicit(&row->calls, memory_order_relaxed);
        total->operations[i].errors += atomic_load_explicit(&row->errors, memory_order_relaxed);
        total->operations[i].nanoseconds += atomic_load_explicit(&row->nanoseconds, memory_order_relaxed);
        total->operations[i].backend_calls += atomic_load_explicit(&row->backend_calls, memory_order_relaxed);
    }
}

void control_total(struct control *control, const char *store_id, struct control_total *total)
{
    struct wanted wanted = {0};
    *total = (struct control_total){0};
    if (strlen(store_id) >= sizeof(wanted.store_id))
        return;
    memcpy(wanted.store_id, store_id, strlen(store_id));
    memcpy(total->store_id, wanted.store_id, sizeof(total->store_id));
    for (size_t i = 0; i < CONTROL_BLOCKS; i++)
        if (is_named(&control->region->file->blocks[i], &wanted))
            add(total, &control->region->file->blocks[i]);
}

kw_status control_totals(struct control *control, struct control_total **totals, size_t *count, kw_error *error)
{
    struct control_total *made = calloc(1, sizeof(*made));
    size_t filled = 0;
    if (made == NULL)
        return error_memory(error);
    for (size_t i = 0; i < CONTROL_BLOCKS; i++) {
        const struct control_block *const block = &control->region->file->blocks[i];
        if (atomic_load(&block->named) != 1 || block->store_id[sizeof(block->store_id) - 1] != '\0')
            continue;
        struct control_total *total = total_of(made, filled, block->store_id);
        if (total == NULL) {
            struct control_total *const more = calloc(filled + 1, sizeof(*more));
            if (more == NULL) {
                free(made);
                return error_memory(error);
            }
            memcpy(more, made, filled * sizeof(*more));
            free(made);
            made = more;
            total = &made[filled++];
            memcpy(total->store_id, block->store_id, sizeof(total->store_id));
        }
        add(total, block);
    }
    *totals = made;
    *count = filled;
    return KW_OK;
}
