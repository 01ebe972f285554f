/*
 * A server whose store `hsm` is a token behind the shim, for tests that with_token.sh runs; and a judge, a process of its own that looks at the
 * token without Keywright.
 */
#ifndef SERVER_H
#define SERVER_H

#include "pkcs11_control.h"

#include <keywright/keywright.h>

#include <sys/types.h>

/* The other store, a softstore. */
#define SERVER_SOFTSTORE    "soft"
#define SERVER_SOFTSTORE_ID "0b1d02ab"

struct server {
    char directory[256], configuration[288];
    kw_context *context;
    struct shim_control *control;
    int question, answer; /* pipes to the judge */
    pid_t judge;
};

/* Objects on the token. */
struct holding {
    long private_keys, public_keys, certificates;
};

/* Says it on standard error and ends the program. */
_Noreturn void server_stop(const char *what, const kw_error *error);
/* Makes the server, with a shim that obeys; not open. `options`: more of the store's, such as ", sessions: 4". */
void server_make(struct server *server, const char *options);
kw_status server_open(struct server *server, kw_error *error);
void server_close(struct server *server);
/* Closes, and removes all but what is on the token. */
void server_remove(struct server *server);
/* A new key on the token: "ec-p256", ... */
kw_status server_create(struct server *server, const char *address, const char *key, kw_error *error);
/* A signature over a digest, with the default scheme; and whether it verifies. */
kw_status server_sign(kw_key *key, unsigned char number, kw_error *error);
/* How many certificates of the catalogue have their key on the token, or -1. */
long server_listed(struct server *server);
struct holding server_held(struct server *server);
/* Since when the token has been away, as `status` shows it: seconds since 1970, 0 for none, -1 when that is not told. */
int64_t server_outage(struct server *server);

/* The variable's value; ends the program where it is not set. */
const char *test_wanted(const char *name);
/* KW_TEST_SEED, and whether KW_TEST_FULL is yes. */
unsigned test_seed(void);
bool test_is_full(void);
double test_seconds(void);

#endif
