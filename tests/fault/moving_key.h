/*
 * A key that moves from a softstore to the token behind the shim, once and again: general/moving, the same key each time, with something that
 * was encrypted to it at the beginning.
 */
#ifndef MOVING_KEY_H
#define MOVING_KEY_H

#include "server.h"

#define MOVING_ADDRESS "general/moving"

struct moving_key {
    struct server *server; /* open */
    char certificate[300], key[300];
    kw_bytes sealed;
};

/* Keys of `openssl genpkey`: -algorithm and -pkeyopt, as in "RSA -pkeyopt rsa_keygen_bits:2048". */
void moving_make(struct moving_key *moving, struct server *server, const char *name, const char *algorithm);
void moving_clear(struct moving_key *moving);

/* It is in the softstore, and nowhere else. Ends the program where that cannot be. */
void moving_place(struct moving_key *moving);
/* To the token. */
kw_status moving_transfer(struct moving_key *moving, kw_error *error);
/* What was encrypted to it at the beginning, decrypted. */
kw_status moving_decrypt(struct moving_key *moving, kw_error *error);

enum moving_where { MOVING_NOWHERE, MOVING_IN_SOFTSTORE, MOVING_ON_TOKEN };
/* Where the catalogue has it. */
enum moving_where moving_where(struct moving_key *moving);
/* Keys that are in the softstore, and rows of the journal, seen by another program; at rest they are 1 or 0, and 0. */
long moving_in_softstore(struct moving_key *moving);
long moving_journal(struct moving_key *moving);
void moving_remove(struct moving_key *moving);

#endif
