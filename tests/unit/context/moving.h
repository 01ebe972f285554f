/*
 * For tests of keys that move: a server whose database/sales has its key in the store `first`, with an old ciphertext; `second` is where it
 * goes. Both are softstores that fail when they are told to (tests/fault/frail_plugin.c).
 */
#ifndef TEST_MOVING_H
#define TEST_MOVING_H

#include "server.h"

#define FIRST_ID  "a1111111"
#define SECOND_ID "a2222222"

struct moving {
    struct server server;
    kw_bytes cms; /* encrypted to database/sales at the start */
};

/* CMocka fixtures. */
int moving_start(void **state);
int moving_stop(void **state);

/* What the events told. */
struct told {
    char text[4096];
    size_t warnings;
};
void told_note(void *user, const kw_event *event);
void assert_told(const struct told *told, const char *part);

/* kw_transfer of one address; `told` may be NULL. */
kw_status moving_transfer(struct server *server, const char *address, const char *store, struct told *told);
/* What the store does from now on, in all processes; NULL: what it should. */
void moving_order(struct server *server, const char *store, const char *order);
/* How many keys a store holds, seen from outside. */
long moving_keys(struct server *server, const char *store_id);
/* How many rows the journal has. */
long moving_journal(struct server *server);
/* The store of a certificate's key, by name; good until the next call. */
const char *moving_store(struct server *server, const char *address);

/* Signs something new and verifies it. */
kw_status moving_sign(kw_key *key, kw_error *error);
/* The key signs, and decrypts the old ciphertext; exactly one of the two stores holds it. */
void assert_whole(struct moving *moving);

/* Whether long series run whole, and a number below `limit` by the run's seed. */
bool moving_full(void);
unsigned moving_random(unsigned limit);

#endif
