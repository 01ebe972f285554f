/*
 * The file STATE/run/control as it is mapped. All of it is allocated when it is made, so that no page of it can be missing later. A process
 * with another layout must not share it: it has another number, and says so.
 */
#ifndef KEYWRIGHT_CONTROL_LAYOUT_H
#define KEYWRIGHT_CONTROL_LAYOUT_H

#include "control/count.h"
#include "control/outage.h"

#include <pthread.h>
#include <stdalign.h>
#include <sys/types.h>

#define CONTROL_MAGIC   "keywright control\n"
#define CONTROL_LAYOUT  2u
#define CONTROL_SLOTS   1024u
#define CONTROL_STRIPES 4u
#define CONTROL_PHASES  8u
#define CONTROL_BLOCKS  1024u
#define CONTROL_OUTAGES 256u
#define CONTROL_LINE    64

/* fcntl locks: of processes that found no slot (shared), and of each slot. */
#define CONTROL_CROWD_BYTE 8
#define CONTROL_SLOT_BYTE  16

typedef atomic_uint_least64_t control_number;

static inline uint64_t number_get(const control_number *number)
{
    return atomic_load_explicit(number, memory_order_seq_cst);
}

static inline void number_set(control_number *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_seq_cst);
}

struct control_slot {
    alignas(CONTROL_LINE) control_number token; /* 0: free; else of this use of the slot */
    control_number reserved; /* until when (clock_milliseconds) it waits for a child about to be forked; 0: taken */
    control_number process;
    control_number inherited; /* 1: has not proved yet that it can read the state */
    control_number seen;      /* all that it has loaded is of this generation or later */
    control_number program[2];
    control_number configuration;          /* the last that it has taken */
    control_number refused;                /* the last that it could not take */
    control_number stores[CONTROL_STORES]; /* hashes of the ids that its configuration has; 0: no more */
    /* operations under way, by the generation (modulo) under which they began; threads spread over the stripes */
    struct {
        alignas(CONTROL_LINE) control_number phases[CONTROL_PHASES];
    } active[CONTROL_STRIPES];
};

/* Counters of one store, which one process at a time adds to; who comes later goes on with those that its store has. */
struct control_block {
    alignas(CONTROL_LINE) control_number named; /* 1: store_id is set, for good */
    char store_id[CONTROL_STORE_ID_SIZE];
    alignas(CONTROL_LINE) struct control_count operations[CONTROL_OPERATIONS];
};

/* Whether a store, or a key in one, is there; of one for good. */
struct control_outage_place {
    alignas(CONTROL_LINE) control_number store; /* store_hash of its id, or of the master key's; 0: of none yet */
    struct control_outage outage;
};

struct control_identity {
    char magic[24];
    uint32_t layout, slot_count, block_count, operation_count;
    uint64_t size;
};

struct control_file {
    struct control_identity identity;
    alignas(CONTROL_LINE) control_number generation; /* read by every operation */
    control_number configuration;
    alignas(CONTROL_LINE) control_number tokens;                 /* the last that was given out */
    control_number phases[CONTROL_PHASES];                       /* the last generation of each phase */
    alignas(CONTROL_LINE) control_number owners[CONTROL_BLOCKS]; /* of blocks: 0, or the token and the slot */
    struct control_slot slots[CONTROL_SLOTS];
    struct control_block blocks[CONTROL_BLOCKS];
    struct control_outage_place outages[CONTROL_OUTAGES];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && sizeof(control_number) == 8, "shared numbers need atomics without locks");

/* The file as this process has mapped it, once for all its contexts: closing a second descriptor would release the locks. */
struct region {
    struct region *next;
    size_t references;
    char *path;
    int descriptor;
    dev_t device;
    ino_t inode;
    struct control_file *file;
    size_t crowded;           /* contexts of this process without a slot */
    bool mine[CONTROL_SLOTS]; /* slots of this process, whose locks it does not see itself */
};

struct control {
    struct control *next; /* of this process */
    struct region *region;
    _Atomic(struct control_slot *) slot; /* NULL: none was free */
    struct control_slot *reserved;       /* for the child about to be forked */
    uint64_t seen;                       /* also of a process without a slot */
    uint64_t forks;                      /* that led here */
};

/* region.c. The caller holds the mutex of control.c. */
KW_MUST_USE kw_status region_open(const char *state_directory, struct region *known, const struct log *log,
                                  struct region **region, kw_error *error);
void region_close(struct region *region);
/* That the descriptor is still the file's, since programs close what they do not know; opened anew otherwise, without the locks. */
bool region_descriptor_is_lost(const struct region *region);
KW_MUST_USE bool region_reopen(struct region *region);
/* False: another process holds it, or the descriptor is lost. */
bool region_lock(const struct region *region, short type, off_t byte);
/* Whether another process holds a lock on the byte; its pid, as far as the system knows. */
bool region_locked(const struct region *region, off_t byte, pid_t *holder);

/* control.c: guards what this process knows of regions and slots; a leaf, held across a fork. */
extern pthread_mutex_t control_mutex;
/* The program may have closed our descriptor, and the locks with it. The mutex is held. */
void control_take_again(struct region *region);

/* generation.c: tells stores of one configuration apart; never 0 */
uint64_t store_hash(const char *id);

/* count.c: gives the blocks of a slot free. */
void count_release(struct region *region, const struct control_slot *slot);
/* Whether the slot's process lives: for the owners of blocks. The caller holds the mutex. */
bool slot_is_alive(const struct region *region, const struct control_slot *slot);

#endif
