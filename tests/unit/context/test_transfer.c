/* Keys that move between stores: who asks for what, what is refused before, and work that goes on meanwhile. */
#include "moving.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct told overtaken;

static void transfer_moves_the_key_and_handles_follow(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct told told = {0};
    kw_key *key = NULL;
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, moving_sign(key, &server->error));
    assert_ok(server, moving_transfer(server, "database/sales", "second", &told));
    assert_told(&told, "database/sales: moved from store first to store second");
    assert_int_equal(told.warnings, 0);
    assert_string_equal(moving_store(server, "database/sales"), "second");
    assert_ok(server, moving_sign(key, &server->error));
    assert_whole(moving);
    assert_ok(server, moving_transfer(server, "database/sales", "first", NULL));
    assert_ok(server, moving_sign(key, &server->error));
    assert_whole(moving);
    kw_key_free(key);
}

static void transfer_to_where_it_is_does_nothing(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct told told = {0};
    assert_ok(server, moving_transfer(server, "database/sales", "first", &told));
    assert_told(&told, "database/sales: is in store first already");
    assert_whole(moving);
}

/* Those that old data needs go too; of CERT@N only that one. */
static void transfer_takes_former_keys_along(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct told told = {0};
    assert_ok(server, kw_certificate_retire(server->context, "database/sales", NULL, NULL, &server->error));
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_ok(server, moving_transfer(server, "database/sales", "second", &told));
    assert_told(&told, "database/sales: moved");
    assert_told(&told, "database/sales@1: moved");
    assert_int_equal(moving_keys(server, SECOND_ID), 2);
    assert_ok(server, moving_transfer(server, "database/sales@1", "first", NULL));
    assert_string_equal(moving_store(server, "database/sales@1"), "first");
    assert_string_equal(moving_store(server, "database/sales"), "second");
}

/* The proof gives the copy the room that callers give, and no more: a copy that wants more is none that they can use. */
static void transfer_to_where_a_signature_wants_more_room_is_refused(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    moving_order(server, "second", "greedy sign 1\n");
    assert_status(server, KW_FAILED, moving_transfer(server, "database/sales", "second", NULL));
    assert_non_null(strstr(server->error.message, "could not be proved"));
    moving_order(server, "second", NULL);
    assert_whole(moving);
    assert_string_equal(moving_store(server, "database/sales"), "first");
}

static void transfer_of_a_database_and_of_everything_takes_server_keys(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    struct told told = {0};
    kw_transfer_options options = {.size = sizeof(options), .database = "sales", .store = "second"};
    assert_ok(server, server_create(server, "database/hr", NULL));
    assert_ok(server, server_create(server, "master-key/corp.example", "sales"));
    assert_ok(server, server_create(server, "password-reset/sales/web", NULL));
    assert_ok(server, kw_transfer(server->context, &options, told_note, &told, &server->error));
    assert_told(&told, "database/sales: moved");
    assert_told(&told, "master-key/corp.example: moved");
    assert_null(strstr(told.text, "hr"));
    assert_null(strstr(told.text, "web"));
    options.database = NULL;
    options.everything = true;
    assert_ok(server, kw_transfer(server->context, &options, told_note, &told, &server->error));
    assert_told(&told, "database/hr: moved");
    assert_told(&told, "database/sales: is in store second already");
    assert_null(strstr(told.text, "web"));
    assert_null(strstr(told.text, "server-encryption"));
}

static void transfer_of_nothing_unknown_or_too_much_is_refused(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    const char *address = "database/sales";
    kw_transfer_options options = {.size = sizeof(options), .store = "second"};
    assert_status(server, KW_INVALID_ARGUMENT, kw_transfer(server->context, &options, NULL, NULL, &server->error));
    options.everything = true;
    options.addresses = &address;
    options.address_count = 1;
    assert_status(server, KW_INVALID_ARGUMENT, kw_transfer(server->context, &options, NULL, NULL, &server->error));
    options = (kw_transfer_options){.size = sizeof(options), .database = "salse", .store = "second"};
    assert_status(server, KW_NOT_FOUND, kw_transfer(server->context, &options, NULL, NULL, &server->error));
    options = (kw_transfer_options){.size = sizeof(options), .everything = true};
    assert_status(server, KW_INVALID_ARGUMENT, kw_transfer(server->context, &options, NULL, NULL, &server->error));
    assert_status(server, KW_NOT_FOUND, moving_transfer(server, "database/nobody", "second", NULL));
    assert_status(server, KW_NOT_FOUND, moving_transfer(server, "database/sales", "third", NULL));
    assert_non_null(strstr(server->error.remedy, "second"));
}

/* Said before anything is touched, with the way. */
static void transfer_that_cannot_be_is_refused_before(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    const kw_certificate_template rsa = {
        .size = sizeof(rsa), .address = "database/rsa", .key = "rsa-2048", .store = "no-export"};
    const char *both[] = {"database/sales", "database/rsa"};
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = both, .address_count = 2, .store = "second"};
    assert_status(server, KW_UNSUPPORTED, moving_transfer(server, "database/sales", "no-import", NULL));
    assert_non_null(strstr(server->error.remedy, "keywright rotate database/sales --new-key --store no-import"));
    /* Where no such key can be made either, rotate is no way. */
    assert_status(server, KW_UNSUPPORTED, moving_transfer(server, "database/sales", "no-ec", NULL));
    assert_non_null(strstr(server->error.remedy, "keywright rotate database/sales --new-key --key ALG --store no-ec"));
    assert_ok(server, kw_certificate_create(server->context, &rsa, NULL, NULL, &server->error));
    assert_status(server, KW_UNSUPPORTED, moving_transfer(server, "database/rsa", "second", NULL));
    assert_non_null(strstr(server->error.message, "does not give out"));
    /* One of two cannot: the other stays too. */
    assert_status(server, KW_UNSUPPORTED, kw_transfer(server->context, &options, NULL, NULL, &server->error));
    assert_whole(moving);
}

static void transfer_to_where_old_ciphertexts_stay_closed_is_refused(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    const kw_certificate_template rsa = {
        .size = sizeof(rsa), .address = "database/rsa", .key = "rsa-2048", .store = "first"};
    assert_ok(server, kw_certificate_create(server->context, &rsa, NULL, NULL, &server->error));
    assert_status(server, KW_UNSUPPORTED, moving_transfer(server, "database/rsa", "no-raw", NULL));
    assert_non_null(strstr(server->error.message, "decrypt PKCS#1 v1.5 (CMS)"));
    assert_non_null(strstr(server->error.remedy, "rotate"));
    assert_ok(server, moving_transfer(server, "database/rsa", "second", NULL));
    /* An EC key has nothing to do with raw RSA. */
    assert_ok(server, moving_transfer(server, "database/sales", "no-raw", NULL));
}

static void transfer_to_a_store_that_lies_changes_nothing(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    moving_order(server, "second", "lie import 1\n");
    assert_status(server, KW_REFUSED, moving_transfer(server, "database/sales", "second", NULL));
    assert_non_null(strstr(server->error.message, "is not the certificate's"));
    assert_non_null(strstr(server->error.remedy, "as before"));
    assert_string_equal(moving_store(server, "database/sales"), "first");
    assert_whole(moving);
}

/* At each of its calls the target, or the source, is away once. */
static void transfer_from_or_to_a_store_that_fails_loses_nothing(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    static const char *const stores[] = {"first", "second"};
    for (size_t i = 0; i < 2; i++) {
        bool failed = true;
        for (unsigned number = 1; failed && number < 100; number += moving_full() ? 1 : 1 + moving_random(5)) {
            struct told told = {0};
            char order[64];
            snprintf(order, sizeof(order), "fail any %u\n", number);
            moving_order(server, stores[i], order);
            const kw_status status = moving_transfer(server, "database/sales", "second", &told);
            moving_order(server, stores[i], NULL);
            failed = status != KW_OK || told.warnings > 0;
            if (status != KW_OK) /* what could not be cleared up is left to a later start */
                assert_string_equal(moving_store(server, "database/sales"), "first");
            server_reopen(server);
            assert_whole(moving);
            if (status == KW_OK)
                assert_ok(server, moving_transfer(server, "database/sales", "first", NULL));
        }
        assert_false(failed);
    }
}

/* Moves a key of the first one's list while that one is at the key before it. */
static void overtake(void *user, const kw_event *event)
{
    struct server *other = user;
    if (strcmp(event->certificate, "database/sales") == 0)
        assert_ok(other, moving_transfer(other, "database/hr", "no-export", NULL));
    else
        told_note(&overtaken, event);
}

static void transfer_of_a_key_that_somebody_else_has_moved_there_is_content(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct server other = *server;
    const char *both[] = {"database/sales", "database/hr"};
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = both, .address_count = 2, .store = "no-export"};
    overtaken = (struct told){0};
    assert_ok(server, server_create(server, "database/hr", NULL));
    other.context = NULL;
    server_reopen(&other);
    assert_ok(server, kw_transfer(server->context, &options, overtake, &other, &server->error));
    kw_close(other.context);
    assert_told(&overtaken, "database/hr: is in store no-export already");
    assert_int_equal(moving_keys(server, FIRST_ID), 0);
    assert_int_equal(moving_keys(server, "a5555555"), 2);
}

/* ---- Work under way ---- */

struct work {
    kw_key *key;
    atomic_bool stop;
    atomic_uint done, failed;
};

static void *keep_signing(void *argument)
{
    struct work *work = argument;
    while (!atomic_load(&work->stop)) {
        kw_error error = {0};
        if (moving_sign(work->key, &error) != KW_OK) {
            print_error("%s: %s\n", error.where, error.message);
            atomic_fetch_add(&work->failed, 1);
        }
        atomic_fetch_add(&work->done, 1);
    }
    return NULL;
}

/* Another process, with a context of its own and not the inherited one. */
static int sign_until_nobody_reads(struct server *server, int out)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    struct work work = {0};
    kw_context *context = NULL;
    kw_error error = {0};
    kw_close(server->context);
    if (kw_open(&options, &context, &error) != KW_OK ||
        kw_key_open(context, "database/sales", &work.key, &error) != KW_OK)
        return 1;
    for (;;) {
        const kw_status status = moving_sign(work.key, &error);
        const char byte = status == KW_OK ? '.' : 'X';
        if (status != KW_OK)
            fprintf(stderr, "%s: %s\n", error.where, error.message);
        if (write(out, &byte, 1) != 1)
            return 0;
    }
}

/* Whether the other process has signed since, and each time with success. */
static bool all_signed(int from)
{
    char signs[256];
    const ssize_t length = read(from, signs, sizeof(signs));
    for (ssize_t at = 0; at < length; at++)
        if (signs[at] != '.')
            return false;
    return length > 0;
}

static void transfer_does_not_disturb_threads_and_processes_that_sign(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    static const char *const stores[] = {"second", "first"};
    struct work work = {0};
    pthread_t threads[2];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        signal(SIGPIPE, SIG_IGN);
        _exit(sign_until_nobody_reads(server, ends[1]));
    }
    close(ends[1]);
    assert_ok(server, kw_key_open(server->context, "database/sales", &work.key, &server->error));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_signing, &work), 0);
    /* Nothing is asserted while the threads sign: they would sign on with what the test's end takes away. */
    kw_status status = KW_OK;
    struct told told = {0};
    bool others_sign = true;
    for (unsigned i = 0; i < 4 && status == KW_OK && others_sign && told.warnings == 0; i++) {
        /* The other process has signed with the key where it is now. */
        others_sign = all_signed(ends[0]);
        told = (struct told){0};
        status = moving_transfer(server, "database/sales", stores[i % 2], &told);
    }
    atomic_store(&work.stop, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 3; i++)
        others_sign = others_sign && all_signed(ends[0]);
    close(ends[0]);
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_ok(server, status);
    if (told.warnings > 0)
        fail_msg("a warning: %s", told.text);
    assert_true(others_sign);
    assert_int_equal(result, 0);
    assert_int_equal(atomic_load(&work.failed), 0);
    assert_true(atomic_load(&work.done) > 4);
    kw_key_free(work.key);
    assert_whole(moving);
}

/* The store where the key was is away for good once the key has moved: nobody needs it. */
static void handle_of_a_key_that_has_moved_does_not_need_the_old_store(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    kw_key *key = NULL;
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, moving_transfer(server, "database/sales", "second", NULL));
    moving_order(server, "first", "gone any 1\n");
    assert_ok(server, moving_sign(key, &server->error));
    kw_key_free(key);
}

/* A child that has inherited a handle and has not shown yet that it can read the state keeps the old copy. */
static void transfer_waits_for_a_forked_child_and_names_it(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct told told = {0};
    char pid[32], byte = 0;
    int ends[2];
    kw_key *key = NULL;
    const char *address = "database/sales";
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = "second", .wait_ms = 50};
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    close(ends[0]);
    assert_ok(server, kw_transfer(server->context, &options, told_note, &told, &server->error));
    snprintf(pid, sizeof(pid), "process %ld", (long)child);
    assert_told(&told, "stays until a later start");
    assert_told(&told, pid);
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    assert_ok(server, moving_sign(key, &server->error));
    kw_key_free(key);
    server_reopen(server); /* the child is there still */
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    server_reopen(server);
    assert_whole(moving);
}

/* A daemon opens its context before it forks; what it moves waits for others, not for itself. */
static void transfer_in_a_forked_process_does_not_wait_for_itself(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    int code = -1;
    const char *address = "database/sales";
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = "second", .wait_ms = 1000};
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct told told = {0};
        const kw_status status = kw_transfer(server->context, &options, told_note, &told, NULL);
        _exit(status == KW_OK && told.warnings == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    assert_int_equal(moving_keys(server, FIRST_ID), 0);
    assert_whole(moving);
}

/* A process whose configuration is older, without `second`; it lives until `ends` is closed. */
static pid_t start_with_older_configuration(struct server *server, int ends[2])
{
    char path[128], byte = 0;
    char text[4096] = "", line[512];
    int ready[2];
    /* The state is the same; `second` and what comes with it is not there. */
    FILE *present = fopen(server->configuration, "re");
    assert_non_null(present);
    for (bool skip = false; fgets(line, sizeof(line), present) != NULL;) {
        if (strncmp(line, "  ", 2) == 0 && line[2] != ' ')
            skip = strcmp(line, "  second:\n") == 0;
        if (!skip)
            strncat(text, line, sizeof(text) - strlen(text) - 1);
    }
    assert_int_equal(fclose(present), 0);
    assert_null(strstr(text, SECOND_ID));
    server_write_file(server, "older.yaml", text, strlen(text), 0600);
    snprintf(path, sizeof(path), "%s/older.yaml", server->directory);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(ready), 0);
    kw_close(server->context); /* which the child would inherit, with what it knows */
    server->context = NULL;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const kw_open_options options = {.size = sizeof(options), .configuration = path, .as_is = true};
        close(ends[1]);
        if (kw_open(&options, &server->context, &server->error) != KW_OK || write(ready[1], "r", 1) != 1)
            _exit(1);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    close(ends[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    server_reopen(server);
    return child;
}

/* It would lose the key: who it is is said, and nothing is touched. */
static void transfer_to_a_store_that_a_living_process_does_not_know_is_refused(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    char pid[32];
    int ends[2];
    const pid_t child = start_with_older_configuration(server, ends);
    assert_status(server, KW_REFUSED, moving_transfer(server, "database/sales", "second", NULL));
    snprintf(pid, sizeof(pid), "process %ld", (long)child);
    assert_non_null(strstr(server->error.message, pid));
    assert_non_null(strstr(server->error.message, "without store 'second'"));
    assert_non_null(strstr(server->error.remedy, "keywright reload"));
    assert_string_equal(moving_store(server, "database/sales"), "first");
    assert_whole(moving);
    /* What it does know is open to all. */
    assert_ok(server, moving_transfer(server, "database/sales", "no-raw", NULL));
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ok(server, moving_transfer(server, "database/sales", "second", NULL));
    assert_whole(moving);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, moving_start, moving_stop)
    const struct CMUnitTest tests[] = {
        TEST(transfer_moves_the_key_and_handles_follow),
        TEST(transfer_to_where_it_is_does_nothing),
        TEST(transfer_takes_former_keys_along),
        TEST(transfer_to_where_a_signature_wants_more_room_is_refused),
        TEST(transfer_of_a_database_and_of_everything_takes_server_keys),
        TEST(transfer_of_nothing_unknown_or_too_much_is_refused),
        TEST(transfer_that_cannot_be_is_refused_before),
        TEST(transfer_to_where_old_ciphertexts_stay_closed_is_refused),
        TEST(transfer_to_a_store_that_lies_changes_nothing),
        TEST(transfer_from_or_to_a_store_that_fails_loses_nothing),
        TEST(transfer_of_a_key_that_somebody_else_has_moved_there_is_content),
        TEST(transfer_does_not_disturb_threads_and_processes_that_sign),
        TEST(handle_of_a_key_that_has_moved_does_not_need_the_old_store),
        TEST(transfer_waits_for_a_forked_child_and_names_it),
        TEST(transfer_in_a_forked_process_does_not_wait_for_itself),
        TEST(transfer_to_a_store_that_a_living_process_does_not_know_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
