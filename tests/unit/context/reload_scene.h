/* A server whose configuration changes while it runs, for tests. */
#ifndef RELOAD_SCENE_H
#define RELOAD_SCENE_H

#include "server.h"

#include <pthread.h>

#define LOCAL "passphrase: file:passphrase, scrypt_log2_n: 14"
#define OTHER "  other: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, scrypt_log2_n: 14}}\n"
#define THIRD(source)                                                                                                  \
    "  third: {id: 0c0c0c0c, plugin: softstore, options: {passphrase: " source ", scrypt_log2_n: 14}}\n"
#define QUICK "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"

extern char memory_store[512]; /* a store whose plugin tells its log of opening and closing */

struct lines {
    pthread_mutex_t mutex;
    char text[200][256];
    size_t count;
};

struct scene {
    struct server server;
    struct lines lines;
};

/* How many lines of the log have this in them. */
size_t lines_told(struct lines *lines, const char *part);
/* Besides `local`: what stands here under `stores`, and behind it. */
void reload_configure(struct server *server, const char *local, const char *stores, const char *more);
void reload_open(struct scene *scene, kw_context **context);
int reload_begin(void **state);
int reload_end(void **state);
kw_status reload_now(struct server *server, kw_changes **changes);
void assert_change(const kw_changes *changes, const char *setting, const char *before, const char *after);
/* A signature, verified. */
kw_status reload_sign(kw_key *key, kw_error *error);
kw_status reload_create(struct server *server, const char *address, const char *store);

#define TEST(name) cmocka_unit_test_setup_teardown(name, reload_begin, reload_end)

#endif
