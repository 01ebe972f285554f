/* How a master key's roots end: with a real softstore, a real catalogue, and what goes wrong meanwhile. */
#include "server.h"

#include "certificate/manager.h"
#include "certificate/roots.h"
#include "subkey/high_water.h"

#include <keywright/subkeys.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MASTER "master-key/example.org"
#define QUICK                                                                                                          \
    "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"                           \
    "  master-key: {key: ec-p256}\n"

struct scene {
    struct server server;
    struct id master;
};

/* A master key out of use, which has a root with something under it. */
static int begin(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct found found = {0};
    unsigned char bytes[128];
    const kw_input secret = {(const unsigned char *)"secret", 6};
    kw_output sealed = {.data = bytes, .capacity = sizeof(bytes)};
    kw_subkey *subkey = NULL;
    assert_non_null(scene);
    struct server *const server = &scene->server;
    server_start(server, QUICK);
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_ok(server, server_create(server, MASTER, "sales"));
    assert_ok(server, kw_subkey_get(server->context, MASTER, "password", (kw_input){0}, &subkey, &server->error));
    assert_ok(server, kw_seal(subkey, secret, (kw_input){0}, &sealed, &server->error));
    kw_subkey_free(subkey);
    assert_ok(server, manager_find(server->context, MASTER, &found, &server->error));
    scene->master = found.entry.id;
    found_clear(&found);
    assert_ok(server, kw_certificate_retire(server->context, MASTER, NULL, NULL, &server->error));
    *state = scene;
    return 0;
}

static int end(void **state)
{
    struct scene *scene = *state;
    server_stop(&scene->server);
    free(scene);
    return 0;
}

static kw_status retire_root(struct server *server)
{
    const kw_rotate_options options = {.size = sizeof(options), .address = MASTER, .retire = 1, .force = true};
    return kw_rotate(server->context, &options, NULL, NULL, &server->error);
}

/* ---- Whoever may still seal is waited for ---- */

struct sealer {
    struct control *control;
    struct control_use use;
    atomic_bool has_left;
};

static void *leave_soon(void *argument)
{
    struct sealer *sealer = argument;
    nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
    atomic_store(&sealer->has_left, true);
    control_leave(sealer->control, &sealer->use);
    return NULL;
}

static void retire_by_force_waits_for_seals_that_are_under_way(void **state)
{
    struct scene *scene = *state;
    struct server *const server = &scene->server;
    struct sealer sealer = {.control = server->context->control};
    pthread_t thread;
    (void)control_enter(sealer.control, &sealer.use);
    assert_int_equal(pthread_create(&thread, NULL, leave_soon, &sealer), 0);
    assert_ok(server, retire_root(server));
    assert_true(atomic_load(&sealer.has_left));
    pthread_join(thread, NULL);
    assert_status(server, KW_REFUSED, retire_root(server)); /* it is retired, and that is told without waiting */
}

/* ---- The high-water mark ---- */

static void execute(struct server *server, const char *statement)
{
    char command[600];
    snprintf(command, sizeof(command), "sqlite3 -cmd '.timeout 5000' %s/state/catalogue.db \"%s\"", server->directory,
             statement);
    server_run(command);
}

static unsigned mark(struct scene *scene)
{
    const struct root_place place = roots_place(scene->server.context);
    struct high_water read = {0};
    assert_ok(&scene->server, high_water_read(&place, &scene->master, &read, &scene->server.error));
    return read.versions;
}

/* Somebody's table that refers to the entry makes the commit fail, and nothing before it. */
static void delete_that_is_not_committed_keeps_the_mark(void **state)
{
    struct scene *scene = *state;
    struct server *const server = &scene->server;
    assert_ok(server, retire_root(server));
    assert_int_equal(mark(scene), 1);
    execute(server, "CREATE TABLE guest (entry TEXT REFERENCES entry (id) DEFERRABLE INITIALLY DEFERRED);"
                    "INSERT INTO guest SELECT id FROM entry WHERE address = '" MASTER "'");
    server->error = (kw_error){0};
    assert_int_not_equal(kw_certificate_delete(server->context, MASTER, false, &server->error), KW_OK);
    assert_int_equal(mark(scene), 1);
    execute(server, "DROP TABLE guest");
    assert_ok(server, kw_certificate_delete(server->context, MASTER, false, &server->error));
    assert_int_equal(mark(scene), 0);
}

/* ---- Another one under the same address ---- */

/* In a server that is told of nothing but by the generation. */
static void create_again_is_another_master_key_for_running_servers(void **state)
{
    struct scene *scene = *state;
    struct server *const server = &scene->server;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .as_is = true};
    unsigned char bytes[128];
    kw_output sealed = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_input secret = {(const unsigned char *)"secret", 6};
    kw_context *other = NULL;
    kw_subkey *former = NULL, *again = NULL;
    assert_ok(server, kw_open(&options, &other, &server->error));
    assert_ok(server, kw_subkey_get(other, MASTER, "password", (kw_input){0}, &former, &server->error));
    assert_ok(server, retire_root(server));
    assert_ok(server, kw_certificate_delete(server->context, MASTER, false, &server->error));
    assert_status(server, KW_NOT_FOUND,
                  kw_subkey_get(other, MASTER, "password", (kw_input){0}, &again, &server->error));
    assert_status(server, KW_NOT_FOUND, kw_seal(former, secret, (kw_input){0}, &sealed, &server->error));
    assert_non_null(strstr(server->error.message, MASTER));
    assert_ok(server, server_create(server, MASTER, "sales"));
    assert_ok(server, kw_subkey_get(other, MASTER, "password", (kw_input){0}, &again, &server->error));
    assert_ok(server, kw_seal(again, secret, (kw_input){0}, &sealed, &server->error));
    kw_subkey_free(former);
    kw_subkey_free(again);
    kw_close(other);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(retire_by_force_waits_for_seals_that_are_under_way),
        CASE(delete_that_is_not_committed_keeps_the_mark),
        CASE(create_again_is_another_master_key_for_running_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
