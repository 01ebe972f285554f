/* Keys on their way from one store to another: transfer.c chooses them and looks ahead, move.c moves one. */
#ifndef KEYWRIGHT_CERTIFICATE_TRANSFER_H
#define KEYWRIGHT_CERTIFICATE_TRANSFER_H

#include "certificate/ability.h"

/* One key, by the first certificate of it that was chosen. */
struct moving {
    struct found found;
    char *name;                   /* the address, with @N for a certificate that is not the current one */
    char *from;                   /* the store it was in */
    bool here;                    /* it is in the target already */
    abilities proven;             /* what its copy must do */
    struct root_set *roots;       /* of a master key: proved in the target; NULL: it has none */
    struct key_arrival departure; /* journalled: its old copy is still there */
    uint64_t generation;          /* that it has to settle */
};

struct transfer {
    kw_context *context;
    struct store *target;
    kw_event_callback event;
    void *user;
    uint64_t deadline; /* on clock_milliseconds: for waiting in all */
    struct moving *keys;
    size_t count, room;
};

/* What can be refused, before anything is touched. */
KW_MUST_USE kw_status moving_check(const struct transfer *transfer, struct moving *moving, kw_error *error);
/* Up to the point where the catalogue names the copy. After a failure all is as it was. */
KW_MUST_USE kw_status moving_run(const struct transfer *transfer, struct moving *moving, kw_error *error);
/* Deletes the old copy once nobody uses it; `last`: leaves what cannot be deleted now to a later start, and says so. */
void moving_finish(const struct transfer *transfer, struct moving *moving, bool last);

#endif
