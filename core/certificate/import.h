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
    bool here;              /* the catalogue has this certificate already */
    bool current;           /* and it is its entry's current one */
    size_t added;           /* databases that the entry did not name yet */
    bool revived;           /* the entry was out of use */
    bool again;             /* it is here as a former certificate, and becomes the current one again */
    bool replaces;          /* the current certificate of an entry that is in use, which is kept as a former one */
    unsigned replaced;      /* its number */
    struct id certificate;  /* the row's id, when it is here */
    bool left_out;          /* this server keeps its own */
    bool exists;            /* the entry */
    bool unproven;          /* its key is derived from a master key of the same file: proved when that is in place */
    struct root_set *roots; /* that came with a master key; NULL: none */
    uint32_t first_added, last_added; /* versions of a master key that is here; 0: none */
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
    struct certificate_row reply; /* number 0: no reply. Else of the entry's certificate whose key the file's has */
};

/*
 * Reads the files of the options into `items`, which the caller clears whatever is answered: what has a certificate and its key, or the one
 * item of a reply. Errors: KW_INVALID_ARGUMENT (nothing of use in it, or `--as` names none or several), KW_SECRET_REFUSED, what reply_find answers.
 */
KW_MUST_USE kw_status import_read(struct importing *importing, kw_error *error);

/*
 * A file of certificates alone, imported under an address: the reply to a request. Finds the certificate whose key the entry has, makes it
 * the one item, with the others as its chain, and fills `reply`. Errors: KW_REFUSED (none is of such a key; or the kind takes none
 * from outside), KW_NOT_FOUND (no such entry), KW_INVALID_ARGUMENT (a store was asked for: the key stays where it is).
 */
KW_MUST_USE kw_status reply_find(struct importing *importing, kw_error *error);
/* Its key, where it is: opened and held against the certificate. Nothing is journalled, since no key comes. */
KW_MUST_USE kw_status reply_bring_key(struct importing *importing, struct arrival *arrival, kw_error *error);
/* Within the transaction: KW_CONFLICT when the certificate that the key came with was deleted meanwhile, and the key with it. */
KW_MUST_USE kw_status reply_check_key(struct importing *importing, kw_error *error);
/* After it: gives the certificate to a store that keeps one with each key. Without it all works, so a failure is a warning. */
void reply_put_certificate(struct importing *importing, struct arrival *arrival);

/* Of an item whose key stayed in its store: whether this store has the key of the item's certificate, by using it once. */
KW_MUST_USE kw_status reference_prove(kw_context *context, const struct pfx_item *item, struct store *store,
                                      kw_error *error);
/*
 * Where no store here has the id that the file says: the store, opened, whose token has the serial that it says, and in which the key has proved itself. KW_NOT_FOUND: there is
 * no such token; else what the store with that token answered.
 */
KW_MUST_USE kw_status reference_find(kw_context *context, const struct pfx_item *item, const char *address,
                                     struct store **store, kw_error *error);

/* Of an item with roots, once its key is there: verifies and unwraps them. Those that can be taken are in `arrival->roots`. */
KW_MUST_USE kw_status import_bring_roots(struct importing *importing, struct arrival *arrival, kw_error *error);
/* After the commit. */
void import_tell_processes(const struct importing *importing);

/* S13, in words: the refusal of a certificate of one's own for a kind that takes none. */
kw_status import_refuse_error(kw_context *context, const struct kind *kind, const struct address *address,
                              kw_error *error);

/* Whether the certificate is self-signed under the very name that Keywright gives the kind's; `renamed`: the name may be configured otherwise. */
bool import_is_own(kw_context *context, const struct kind *kind, const struct address *address, X509 *certificate,
                   bool renamed);

/*
 * Decides what becomes of `arrival->item`: its address, kind and key, and whether the catalogue has it already. Changes nothing. Errors:
 * KW_INVALID_ARGUMENT (no or a bad address), KW_REFUSED (a rule of the kind, or a key that is no good), KW_EXISTS.
 */
KW_MUST_USE kw_status import_check(struct importing *importing, struct arrival *arrival, kw_error *error);

/* Fills `replaced`: the number of the entry's current certificate. */
KW_MUST_USE kw_status import_find_replaced(kw_context *context, struct arrival *arrival, kw_error *error);

#endif
