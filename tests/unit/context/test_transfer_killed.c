/* A process that dies while it moves a key, at each step and at any moment: the next start finishes or goes back. */
#include "moving.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Moves database/sales to where it is not, with a context of its own. */
static int move_once(const struct server *server, const char *store)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .as_is = true};
    struct server own = *server;
    own.context = NULL;
    if (kw_open(&options, &own.context, &own.error) != KW_OK)
        return 2;
    const kw_status status = moving_transfer(&own, "database/sales", store, NULL);
    kw_close(own.context);
    return status == KW_OK ? 0 : 1;
}

/* No context of ours is inherited: the child would have to wait for itself. */
static void close_own(struct server *server)
{
    kw_close(server->context);
    server->context = NULL;
}

static pid_t begin(struct server *server, const char *store)
{
    close_own(server);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(move_once(server, store));
    return child;
}

/* Whether it was killed; else it must have succeeded. */
static bool end(pid_t child)
{
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (WIFSIGNALED(result))
        return true;
    assert_int_equal(WEXITSTATUS(result), 0);
    return false;
}

static const char *other_store(struct server *server)
{
    return strcmp(moving_store(server, "database/sales"), "first") == 0 ? "second" : "first";
}

/* Both stores are told to kill; by default one call of each sort is chosen by chance. */
static void kill_at_each_call(struct moving *moving, const char *store, const char *action)
{
    struct server *server = &moving->server;
    const unsigned calls = 14; /* more than a store gets in one transfer of an EC key */
    const unsigned only = moving_full() ? 0 : 1 + moving_random(9);
    unsigned killed = 0;
    for (unsigned number = 1; number <= calls; number++) {
        char order[64];
        if (only != 0 && number != only)
            continue;
        snprintf(order, sizeof(order), "%s any %u\n", action, number);
        const char *target = other_store(server);
        close_own(server);
        moving_order(server, store, order);
        killed += end(begin(server, target));
        moving_order(server, store, NULL);
        server_reopen(server);
        assert_whole(moving);
    }
    if (only == 0)
        assert_true(killed >= 5);
}

static void killed_before_a_call_of_the_target_nothing_is_lost(void **state)
{
    kill_at_each_call(*state, "second", "kill");
}

static void killed_after_a_call_of_the_target_nothing_is_lost(void **state)
{
    kill_at_each_call(*state, "second", "kill-after");
}

static void killed_before_a_call_of_the_source_nothing_is_lost(void **state)
{
    kill_at_each_call(*state, "first", "kill");
}

static void killed_after_a_call_of_the_source_nothing_is_lost(void **state)
{
    kill_at_each_call(*state, "first", "kill-after");
}

/* Before the proof the copy in the source is all that there is; so it is there. */
static void killed_in_the_proof_the_key_is_where_it_was(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    moving_order(server, "second", "kill-after sign 1\n");
    assert_true(end(begin(server, "second")));
    moving_order(server, "second", NULL);
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    assert_int_equal(moving_keys(server, SECOND_ID), 1);
    assert_int_equal(moving_journal(server), 1);
    server_reopen(server);
    assert_string_equal(moving_store(server, "database/sales"), "first");
    assert_whole(moving);
}

/* After the switch the key is in the target; the next start removes what is left. */
static void killed_before_the_deletion_the_key_is_in_the_target(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    moving_order(server, "first", "kill delete 1\n");
    assert_true(end(begin(server, "second")));
    moving_order(server, "first", NULL);
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    assert_int_equal(moving_keys(server, SECOND_ID), 1);
    server_reopen(server);
    assert_string_equal(moving_store(server, "database/sales"), "second");
    assert_whole(moving);
}

static void killed_at_any_moment_nothing_is_lost(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    const unsigned rounds = moving_full() ? 200 : 4;
    for (unsigned round = 0; round < rounds; round++) {
        const struct timespec moment = {.tv_nsec = 1000L * (long)moving_random(150000)};
        const pid_t child = begin(server, other_store(server));
        (void)nanosleep(&moment, NULL);
        (void)kill(child, SIGKILL);
        (void)end(child);
        server_reopen(server);
        assert_whole(moving);
    }
}

/* The disk is full somewhere on the way: files cannot grow beyond what they are and a little. */
static int move_with_little_room(const struct server *server, const char *store, rlim_t room)
{
    char path[200];
    struct stat facts = {0};
    snprintf(path, sizeof(path), "%s/state/catalogue.db-wal", server->directory);
    const rlim_t length = stat(path, &facts) == 0 ? (rlim_t)facts.st_size : 0;
    const struct rlimit limit = {.rlim_cur = length + room, .rlim_max = RLIM_INFINITY};
    const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .as_is = true};
    struct server own = *server;
    own.context = NULL;
    signal(SIGXFSZ, SIG_IGN);
    if (kw_open(&options, &own.context, &own.error) != KW_OK)
        return 0; /* what it could do before it began */
    setrlimit(RLIMIT_FSIZE, &limit);
    (void)!moving_transfer(&own, "database/sales", store, NULL);
    setrlimit(RLIMIT_FSIZE, &none);
    kw_close(own.context);
    return 0;
}

static void without_room_on_the_disk_nothing_is_lost(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    const unsigned rounds = moving_full() ? 30 : 4;
    for (unsigned round = 0; round < rounds; round++) {
        const rlim_t room = moving_full() ? (rlim_t)round * 4096 : (rlim_t)moving_random(30) * 4096;
        const char *target = other_store(server);
        close_own(server);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(move_with_little_room(server, target, room));
        (void)end(child);
        server_reopen(server);
        assert_whole(moving);
    }
}

/* One of them gets it; the other says so, or finds the key there already. */
static void two_transfers_of_a_key_at_once_leave_one_copy(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    for (unsigned round = 0; round < (moving_full() ? 20u : 3u); round++) {
        const char *target = other_store(server);
        pid_t children[3];
        int good = 0;
        for (size_t i = 0; i < 3; i++)
            children[i] = begin(server, target);
        for (size_t i = 0; i < 3; i++) {
            int result = 0;
            assert_int_equal(waitpid(children[i], &result, 0), children[i]);
            assert_true(WIFEXITED(result) && WEXITSTATUS(result) != 2);
            good += WEXITSTATUS(result) == 0;
        }
        assert_true(good >= 1);
        server_reopen(server);
        assert_whole(moving);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, moving_start, moving_stop)
    const struct CMUnitTest tests[] = {
        TEST(killed_before_a_call_of_the_target_nothing_is_lost),
        TEST(killed_after_a_call_of_the_target_nothing_is_lost),
        TEST(killed_before_a_call_of_the_source_nothing_is_lost),
        TEST(killed_after_a_call_of_the_source_nothing_is_lost),
        TEST(killed_in_the_proof_the_key_is_where_it_was),
        TEST(killed_before_the_deletion_the_key_is_in_the_target),
        TEST(killed_at_any_moment_nothing_is_lost),
        TEST(without_room_on_the_disk_nothing_is_lost),
        TEST(two_transfers_of_a_key_at_once_leave_one_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
