/* The end of roots: retired one by one once nothing needs them, and dropped with their master key. */
#ifndef KEYWRIGHT_SUBKEY_ROOT_RETIRE_H
#define KEYWRIGHT_SUBKEY_ROOT_RETIRE_H

#include "subkey/root.h"

/* ---- root_pins.c: what is derived from a version and cannot be derived from another ---- */

struct root_pin {
    char *what;       /* for people: discovery-service/sales/web, ... */
    uint32_t version; /* 0: nobody knows, so it may be any */
};
/* Of one master key. A row that does not verify is KW_CORRUPT: what it pins nobody knows. */
KW_MUST_USE kw_status root_pins_read(const struct root_place *place, const struct id *master, struct root_pin **pins,
                                     size_t *count, kw_error *error);
void root_pins_free(struct root_pin *pins, size_t count);

/*
 * Retires a version: nothing is opened under it any more. KW_NOT_FOUND; KW_REFUSED: it is the active one of a master key in use, or retired already, or what was sealed
 * under it was not sealed anew, or something is pinned to it, which is named. `force`: of an entry that is out of use, the active one and what was not sealed anew
 * may go, as soon as no process may still seal under it: KW_TIMEOUT after 30 seconds, and names those that may.
 */
KW_MUST_USE kw_status root_retire(const struct root_place *place, const struct id *master, uint32_t version, bool force,
                                  kw_error *error);

/*
 * Within a transaction: whether the key with this certificate (chain, DER) may go. KW_REFUSED: roots that are not retired are wrapped to it; names them, and what is
 * pinned to them.
 */
KW_MUST_USE kw_status root_check_unneeded(const struct root_place *place, const struct id *master, kw_input chain,
                                          kw_error *error);
/* Whether the master key has a root that is not retired, whatever key it is wrapped to. */
KW_MUST_USE kw_status root_any_unretired(const struct root_place *place, const struct id *master, bool *any,
                                         kw_error *error);

#endif
