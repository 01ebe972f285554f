/*
 * Memory for secrets: the one owner of PINs, passphrases, private keys and plaintexts in the core. Zeroed, locked where the
 * system allows it (what cannot be locked is told once, by secret_tell_unlocked), left out of core dumps, wiped when freed. Never reallocated.
 */
#ifndef KEYWRIGHT_BASE_SECRET_H
#define KEYWRIGHT_BASE_SECRET_H

#include <keywright/keywright.h>

struct secret {
    unsigned char *data; /* NULL: none. Has a NUL behind `length`, which does not count */
    size_t length;
    size_t capacity;
};

/* NULL when memory ran out. */
void *secret_allocate(size_t length);
void secret_free(void *memory, size_t length);

/* A secret of `capacity` bytes and length 0. */
KW_MUST_USE kw_status secret_new(struct secret *secret, size_t capacity, kw_error *error);
KW_MUST_USE kw_status secret_copy(struct secret *secret, kw_input from, kw_error *error);
/* Frees and empties; also one that is empty. */
void secret_clear(struct secret *secret);
kw_input secret_view(const struct secret *secret);
/* Whether some secret of this process could not be locked into memory. True once in each process: for a warning. */
bool secret_tell_unlocked(void);
/* In the child of a fork: locks again, since memory locks do not survive it. */
void secret_forked(void);
/* Registers its handlers, which so run after those that are registered later: for who allocates secrets while a fork waits for it. */
void secret_watch_forks(void);
/* Overwrites; the compiler cannot leave it out. */
void secret_wipe(void *memory, size_t length);

#endif
