/*
 * Counters of stores' operations, over all processes that share a state, also those that have ended. Each process adds to a block of its own
 * for each store, with relaxed atomics; when it ends, the next one that uses the store goes on with the block, so that nothing is
 * ever moved or lost. Where all blocks are in use, processes share them, which costs time and no count.
 */
#ifndef KEYWRIGHT_CONTROL_COUNT_H
#define KEYWRIGHT_CONTROL_COUNT_H

#include "control/control.h"

#include <stdatomic.h>

#define CONTROL_OPERATIONS    24u /* the most that a floor above may count; what each is, it knows */
#define CONTROL_STORE_ID_SIZE 40

struct control_count {
    atomic_uint_least64_t calls, errors, nanoseconds, backend_calls;
};

/*
 * CONTROL_OPERATIONS counters of a store for this process; valid until control_close. In a forked child its parent's are good too, but
 * calling this again gives it its own. NULL: there are none left, and none of this store that could be shared. Async-signal-safe enough for
 * the child of a fork: it allocates nothing.
 */
struct control_count *control_counts(struct control *control, const char *store_id);

struct control_total {
    char store_id[CONTROL_STORE_ID_SIZE];
    struct {
        uint64_t calls, errors, nanoseconds, backend_calls;
    } operations[CONTROL_OPERATIONS];
};
/* One store's, all zero where it was never counted. */
void control_total(struct control *control, const char *store_id, struct control_total *total);
/* A row for each store that was ever counted, in no order; to be freed. */
KW_MUST_USE kw_status control_totals(struct control *control, struct control_total **totals, size_t *count,
                                     kw_error *error);

#endif
