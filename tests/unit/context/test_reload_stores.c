#include "reload_scene.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Stores ---- */

static void key_of_a_removed_store_goes_on_until_it_is_freed(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_key *key = NULL, *again = NULL;
    reload_configure(server, LOCAL, memory_store, QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, reload_create(server, "database/sales", "memory"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, reload_sign(key, &server->error));
    reload_configure(server, LOCAL, "", QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, reload_sign(key, &server->error));
    assert_status(server, KW_NOT_FOUND, kw_key_open(server->context, "database/sales", &again, &server->error));
    assert_status(server, KW_NOT_FOUND, reload_create(server, "database/more", "memory"));
    assert_int_equal(lines_told(&scene->lines, "memory: closing"), 0);
    const pid_t child = fork();
    if (child == 0)
        _exit(reload_sign(key, NULL) == KW_OK ? 0 : 1);
    int code = -1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    kw_key_free(key);
    assert_int_equal(lines_told(&scene->lines, "memory: closing"), 1);
}

static void store_that_stays_the_same_stays_open(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    char stores[1200];
    kw_key *key = NULL;
    reload_configure(server, LOCAL, memory_store, QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, reload_create(server, "database/sales", "memory"));
    assert_int_equal(lines_told(&scene->lines, "memory: opening"), 1);
    snprintf(stores, sizeof(stores), "%s%s", OTHER, memory_store); /* in another place of the file */
    reload_configure(server, LOCAL, stores, QUICK "trust: {system_roots: false}\n");
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, reload_sign(key, &server->error));
    assert_int_equal(lines_told(&scene->lines, "memory: opening"), 1);
    assert_int_equal(lines_told(&scene->lines, "memory: closing"), 0);
    kw_key_free(key);
}

static void store_with_other_options_is_opened_anew(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    char store[600];
    kw_key *key = NULL, *again = NULL;
    reload_configure(server, LOCAL, memory_store, QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, reload_create(server, "database/sales", "memory"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    snprintf(store, sizeof(store), "  memory: {id: 0e0e0e0e, plugin: %s/keywright-memory.so, options: {raw: true}}\n",
             server->directory);
    reload_configure(server, LOCAL, store, QUICK);
    assert_ok(server, reload_now(server, NULL));
    /* the new instance has nothing in its memory */
    assert_status(server, KW_NOT_FOUND, kw_key_open(server->context, "database/sales", &again, &server->error));
    assert_int_equal(lines_told(&scene->lines, "memory: opening"), 2);
    assert_ok(server, reload_sign(key, &server->error));
    kw_key_free(key);
    assert_int_equal(lines_told(&scene->lines, "memory: closing"), 1);
}

static void renamed_store_keeps_its_keys(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    kw_key *key = NULL, *again = NULL;
    assert_ok(server, reload_create(server, "database/sales", "other"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    reload_configure(server, LOCAL,
                     "  renamed: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, "
                     "scrypt_log2_n: 14}}\n",
                     QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, kw_key_open(server->context, "database/sales", &again, &server->error));
    assert_ok(server, reload_sign(again, &server->error));
    assert_ok(server, reload_sign(key, &server->error));
    assert_status(server, KW_NOT_FOUND, reload_create(server, "database/more", "other"));
    assert_ok(server, reload_create(server, "database/more", "renamed"));
    kw_key_free(key);
    kw_key_free(again);
}

/* A key that moves to a store that was not there when the key was opened. */
static void key_follows_to_a_store_that_came_later(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    const char *addresses[] = {"database/sales"};
    kw_key *key = NULL;
    reload_configure(server, LOCAL, "", QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, reload_create(server, "database/sales", NULL));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    reload_configure(server, LOCAL, OTHER, QUICK);
    assert_ok(server, reload_now(server, NULL));
    const kw_transfer_options move = {
        .size = sizeof(move), .addresses = addresses, .address_count = 1, .store = "other"};
    assert_ok(server, kw_transfer(server->context, &move, NULL, NULL, &server->error));
    assert_ok(server, reload_sign(key, &server->error));
    kw_key_free(key);
}

/* ---- Others ---- */

static void other_context_takes_it_at_its_next_call(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_context *mine = server->context, *other = NULL;
    kw_changes *changes = NULL;
    reload_open(scene, &other);
    reload_configure(server, LOCAL, OTHER, QUICK "databases: {sales: {store: other}}\n");
    assert_ok(server, reload_now(server, &changes));
    assert_int_equal(changes->contexts, 2);
    kw_changes_free(changes);
    assert_int_equal(lines_told(&scene->lines, "is in force"), 0);
    server->context = other;
    assert_ok(server, reload_create(server, "database/sales", NULL));
    assert_int_equal(lines_told(&scene->lines, "is in force"), 1);
    kw_certificate_list *list = NULL;
    assert_ok(server,
              kw_certificates(other, &(kw_certificate_filter){.size = sizeof(kw_certificate_filter), .store = "other"},
                              &list, &server->error));
    assert_int_equal(list->count, 1);
    kw_certificate_list_free(list);
    /* and by the other way round; the file is bad by the time that it looks */
    reload_configure(server, LOCAL, OTHER, QUICK);
    assert_ok(server, reload_now(server, NULL));
    reload_configure(server, LOCAL ", colour: red", OTHER, QUICK);
    server->context = mine;
    for (int i = 0; i < 3; i++)
        assert_int_equal(server_count(server, true, NULL, NULL), 3);
    assert_int_equal(lines_told(&scene->lines, "is not taken, and the old one stays in force"), 1);
    kw_close(other);
}

static kw_reload_report *report_of(struct server *server, kw_context *context)
{
    kw_reload_report *report = NULL;
    assert_ok(server, kw_reload_wait(context, 0, &report, &server->error));
    return report;
}

/* Another context has opened a key when a third store is configured. */
static void third_store_comes(struct scene *scene, kw_context **other, kw_key **key)
{
    struct server *server = &scene->server;
    server_write_file(server, "third-passphrase", "of the third\n", 13, 0600);
    assert_ok(server, reload_create(server, "database/sales", NULL));
    reload_open(scene, other);
    assert_ok(server, kw_key_open(*other, "database/sales", key, &server->error));
    reload_configure(server, LOCAL, OTHER THIRD("file:third-passphrase"), QUICK);
    assert_ok(server, reload_now(server, NULL));
}

static kw_status move_to_third(struct server *server)
{
    const char *addresses[] = {"database/sales"};
    const kw_transfer_options move = {
        .size = sizeof(move), .addresses = addresses, .address_count = 1, .store = "third"};
    return kw_transfer(server->context, &move, NULL, NULL, &server->error);
}

/* A TLS server opens its key once, and then only signs. */
static void context_whose_key_alone_is_used_takes_it(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_context *other = NULL;
    kw_key *key = NULL;
    third_store_comes(scene, &other, &key);
    kw_reload_report *report = report_of(server, server->context);
    assert_int_equal(report->contexts, 2);
    assert_int_equal(report->taken, 1);
    assert_int_equal(report->refused, 0);
    assert_non_null(strstr(report->waiting, "test_reload"));
    assert_null(report->refusing);
    kw_reload_report_free(report);
    assert_status(server, KW_REFUSED, move_to_third(server));
    assert_ok(server, reload_sign(key, &server->error));
    assert_int_equal(lines_told(&scene->lines, "is in force"), 1);
    report = report_of(server, server->context);
    assert_int_equal(report->taken, 2);
    assert_null(report->waiting);
    kw_reload_report_free(report);
    assert_ok(server, move_to_third(server));
    assert_ok(server, reload_sign(key, &server->error));
    assert_int_equal(lines_told(&scene->lines, "is in force"), 1);
    /* who opens the state after that has read the new file, and nobody waits for it */
    kw_context *late = NULL;
    reload_open(scene, &late);
    report = report_of(server, server->context);
    assert_int_equal(report->contexts, 3);
    assert_int_equal(report->taken, 3);
    kw_reload_report_free(report);
    kw_close(late);
    kw_key_free(key);
    kw_close(other);
}

/* What one process can open, another may not. */
static void context_that_cannot_open_a_store_goes_on_with_the_old_one(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_context *other = NULL;
    kw_key *key = NULL;
    third_store_comes(scene, &other, &key);
    assert_int_equal(unlink(server_path(server, "third-passphrase")), 0);
    for (int i = 0; i < 3; i++)
        assert_ok(server, reload_sign(key, &server->error));
    assert_int_equal(lines_told(&scene->lines, "is not taken, and the old one stays in force"), 1);
    kw_reload_report *report = report_of(server, other);
    assert_int_equal(report->taken, 1);
    assert_int_equal(report->refused, 1);
    assert_null(report->waiting);
    assert_non_null(strstr(report->refusing, "test_reload"));
    kw_reload_report_free(report);
    assert_status(server, KW_REFUSED, move_to_third(server));
    /* what is told next it takes */
    reload_configure(server, LOCAL, OTHER, QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_ok(server, reload_sign(key, &server->error));
    report = report_of(server, other);
    assert_int_equal(report->taken, 2);
    assert_int_equal(report->refused, 0);
    kw_reload_report_free(report);
    kw_key_free(key);
    kw_close(other);
}

static void child_takes_it_too(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    int go[2], code = -1;
    char byte = 'x';
    assert_int_equal(pipe(go), 0);
    const pid_t child = fork();
    if (child == 0) {
        kw_error error = {0};
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(9);
        const kw_certificate_template wanted = {
            .size = sizeof(wanted), .address = "database/sales", .key = "ec-p256", .store = "renamed"};
        _exit((int)kw_certificate_create(server->context, &wanted, NULL, NULL, &error));
    }
    reload_configure(server, LOCAL,
                     "  renamed: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, "
                     "scrypt_log2_n: 14}}\n",
                     QUICK);
    assert_ok(server, reload_now(server, NULL));
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    close(go[0]);
    close(go[1]);
}

/* ---- Threads ---- */

struct worker {
    kw_context *context;
    kw_key *key;
    atomic_bool *stop;
    kw_error error;
    unsigned rounds;
};

static void *works(void *argument)
{
    struct worker *worker = argument;
    while (worker->rounds == 0 || !atomic_load(worker->stop)) {
        kw_key *key = NULL;
        kw_state *facts = NULL;
        if (reload_sign(worker->key, &worker->error) != KW_OK)
            return worker;
        if (kw_key_open(worker->context, "database/sales", &key, &worker->error) != KW_OK ||
            reload_sign(key, &worker->error) != KW_OK)
            return worker;
        kw_key_free(key);
        if (kw_state_get(worker->context, &facts, &worker->error) != KW_OK)
            return worker;
        kw_state_free(facts);
        worker->rounds++;
    }
    return NULL;
}

static void threads_work_while_it_is_reloaded(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    struct worker workers[4];
    pthread_t threads[4];
    atomic_bool stop = false;
    kw_key *key = NULL;
    assert_ok(server, reload_create(server, "database/sales", "other"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.context = server->context, .key = key, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, works, &workers[i]), 0);
    }
    for (int i = 0; i < 12; i++) {
        char store[300];
        snprintf(store, sizeof(store),
                 "  other%d: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, "
                 "scrypt_log2_n: 14}}\n",
                 i % 3);
        reload_configure(server, LOCAL, store, i % 2 == 0 ? QUICK : "certificates: {database: {key: ec-p384}}\n");
        assert_ok(server, reload_now(server, NULL));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        if (failed != NULL)
            fail_msg("%s: %s", workers[i].error.where, workers[i].error.message);
    }
    kw_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(key_of_a_removed_store_goes_on_until_it_is_freed),
        TEST(store_that_stays_the_same_stays_open),
        TEST(store_with_other_options_is_opened_anew),
        TEST(renamed_store_keeps_its_keys),
        TEST(key_follows_to_a_store_that_came_later),
        TEST(other_context_takes_it_at_its_next_call),
        TEST(context_whose_key_alone_is_used_takes_it),
        TEST(context_that_cannot_open_a_store_goes_on_with_the_old_one),
        TEST(child_takes_it_too),
        TEST(threads_work_while_it_is_reloaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
