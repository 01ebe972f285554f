/*
 * Secrets of stores that are subkeys of a master key (`subkey:master-key/DOMAIN`, class SUBKEY_SECRET). Which root such a secret is of is
 * *pinned* in the catalogue, as a record of the store `derived`: a new version of the root changes no passphrase. A pin moves when the secret is changed
 * (`keywright passphrase`).
 */
#ifndef KEYWRIGHT_SUBKEY_SECRET_H
#define KEYWRIGHT_SUBKEY_SECRET_H

#include "catalogue/catalogue.h"
#include "store/builtin.h"
#include "subkey/derived.h"

/* What the functions here work on; outlives the stores. */
struct secret_keeper {
    struct catalogue *catalogue;
    const struct derived_service *roots;
    const struct log *log;
};

/*
 * For struct secret_service; `user` is a struct secret_keeper. A secret without a pin is one of the active root, and becomes pinned; the pin goes again when the
 * store refuses the secret. Errors: KW_CONFIGURATION (no such master key; pinned to another), KW_REFUSED (a circle), and as keyring_subkey.
 */
KW_MUST_USE kw_status secret_get(void *user, const struct secret_place *place, struct secret *value, struct id *master,
                                 kw_error *error);
KW_MUST_USE kw_status secret_serves(void *user, const struct id *master, kw_error *error);
bool secret_settled(void *user, const struct secret_place *place, bool accepted);

/*
 * A change of the secret to a subkey of the active root: `secret_prepare` pins it beside the present one, then the store takes it, then
 * `secret_commit` or, when the store surely did not take it, `secret_abandon`. What is left in between is tried by whoever opens the store next.
 */
KW_MUST_USE kw_status secret_prepare(struct secret_keeper *keeper, const struct secret_place *place,
                                     struct secret *value, kw_error *error);
KW_MUST_USE kw_status secret_commit(struct secret_keeper *keeper, const struct secret_place *place, kw_error *error);
void secret_abandon(struct secret_keeper *keeper, const struct secret_place *place);
/* The secret is no subkey any more. */
KW_MUST_USE kw_status secret_forget(struct secret_keeper *keeper, const struct secret_place *place, kw_error *error);

/* What a root is needed by: one pin after another. `name` is empty at first and moves. KW_NOT_FOUND: there are no more. */
struct secret_pin {
    struct id master;
    uint32_t version;
    char store_id[64], option[64];
};
#define SECRET_PIN_NAME_SIZE 160
KW_MUST_USE kw_status secret_pins_next(struct catalogue *catalogue, char name[SECRET_PIN_NAME_SIZE],
                                       struct secret_pin *pin, kw_error *error);
/* Whether the store exists, by its records, and no pin tells of which root its secret is. */
KW_MUST_USE kw_status secret_is_unknown(struct catalogue *catalogue, const char *store_id, const char *option,
                                        bool *unknown, kw_error *error);

/* ---- circle.c ---- */

/* The graph store -> its secret's master key -> that key's store, as it is or would be. */
struct circle {
    const struct settings *settings;
    struct catalogue *catalogue;
    const char *moved_address, *moved_store_id;                   /* a key that comes into a store; NULL: none */
    const char *secret_store_id, *secret_option, *secret_address; /* a secret that becomes a subkey; NULL: none */
};
/* KW_REFUSED: the store could only be opened by a key that lies behind itself; names the whole circle. */
KW_MUST_USE kw_status circle_check(const struct circle *circle, const char *store_id, kw_error *error);

#endif
