/*
 * Since when a store cannot be reached, as the processes that share a state tell each other: what one of them has found, all of them
 * act upon. Times are of the clock of clock.h, which all processes of a machine share until it starts anew; what was noted before that
 * does not count.
 */
#ifndef KEYWRIGHT_CONTROL_OUTAGE_H
#define KEYWRIGHT_CONTROL_OUTAGE_H

#include "control/control.h"

#include <stdatomic.h>

struct control_outage {
    atomic_uint_least64_t since;  /* milliseconds; 0: there is none. One atomic load tells that all is well */
    atomic_uint_least64_t failed; /* when it was tried last, in vain */
    atomic_uint_least64_t boot;   /* of which start of the machine this is */
    atomic_uint_least64_t wall;   /* the wall clock then, for people */
    atomic_uint_least64_t where;  /* of a key: the hash of its store's id; 0: it is of a store itself */
};

/* Valid until control_close. NULL: there is no place left. Of a store, by its id; or of a master key alone, by its entry's. */
struct control_outage *control_outage(struct control *control, const char *id);
/* A key is in this store now. */
void outage_place(struct control_outage *key, const char *store_id);
/* Whether the store is away, or a key in it: how long the longest of these lasts, and (`began`: NULL is allowed) since when. */
bool control_store_away(struct control *control, const char *store_id, uint64_t *milliseconds, int64_t *began);
/* Notes a failure; true when an outage begins with it. */
bool outage_fail(struct control_outage *outage);
/* Notes that it is there; true when an outage ends with it. */
bool outage_end(struct control_outage *outage);
/* For how many milliseconds; false: there is none. */
bool outage_lasts(struct control_outage *outage, uint64_t *milliseconds);
/*
 * When one that has lasted so long began, by the wall clock now, however that was moved since: seconds since 1970. Each time the same unless it was moved, so that what
 * is told to people and to alerts does not change from one second to the next.
 */
int64_t outage_began(struct control_outage *outage, uint64_t lasts);
/* How many milliseconds ago it was tried last, in vain; UINT64_MAX: never. */
uint64_t outage_tried(struct control_outage *outage);

#endif
