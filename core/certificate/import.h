/* What the files of an import share: what came in, and what becomes of it. */
#ifndef KEYWRIGHT_CERTIFICATE_IMPORT_H
#define KEYWRIGHT_CERTIFICATE_IMPORT_H

#include "certificate/manager.h"
#include "certificate/pkcs12.h"

/* One item of the file and what becomes of it. */
struct arrival {
    struct pfx_item *item;
    struct address address;
    const struct kind *kind;
    const char *key; /* rsa-3072, ... */
    bool
        fresh; /* comes in under another address than the file's, or the file has none: nothing of its old place holds */
    bool here;     /* the catalogue has this certificate already */
    bool current;  /* and it is its entry's current one */
    size_t added;  /* databases that the entry did not name yet */
    bool revived;  /* the entry was out of use */
    bool left_out; /* this server keeps its own */
    bool exists;   /* the entry */
    struct key_arrival arrival;
};

struct importing {
    kw_context *context;
    const kw_import_options *options;
    kw_event_callback event;
    void *user;
    struct pfx_item *items;
    size_t count;
    struct arrival *arrivals;
};

/*
 * Decides what becomes of `arrival->item`: its address, kind and key, and whether the catalogue has it already. Changes nothing. Errors:
 * KW_INVALID_ARGUMENT (no or a bad address), KW_REFUSED (a rule of the kind, or a key that is no good), KW_EXISTS.
 */
KW_MUST_USE kw_status import_check(struct importing *importing, struct arrival *arrival, kw_error *error);

#endif
