/*
 * Secrets of the server, in a SQLite database that is of no use without the master key: each is sealed under a subkey of it, bound to the row
 * that it is in. Any thread.
 */
#ifndef PASSWORD_VAULT_H
#define PASSWORD_VAULT_H

#include <keywright/keywright.h>

#define VAULT_SECRET_MAXIMUM 256

struct vault;

/* Makes what is missing. `master` is a master key's address; the first seal under it is made here, and so its root. */
KW_MUST_USE kw_status vault_open(kw_context *context, const char *path, const char *master, struct vault **vault,
                                 kw_error *error);
/* NULL is allowed. Before kw_close. */
void vault_close(struct vault *vault);

/* Where a secret is. What it is for is also its subkey's purpose, and the database its context. */
struct vault_place {
    const char *purpose, *database, *name;
};

/* In place of what is there. `account` is kept beside it, readable. */
KW_MUST_USE kw_status vault_put(struct vault *vault, const struct vault_place *place, const char *account,
                                kw_input secret, kw_error *error);
/* KW_NOT_FOUND; KW_CIPHERTEXT_INVALID: somebody changed the row, or moved it. */
KW_MUST_USE kw_status vault_get(struct vault *vault, const struct vault_place *place, kw_output *secret,
                                kw_error *error);

#endif
