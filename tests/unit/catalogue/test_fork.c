/* Forks: beside and inside of transactions, with and without notice. */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

/* fork() as a program with a catalogue does it. */
static int fork_prepared(struct fixture *fixture, int (*body)(struct fixture *fixture, int number), int number)
{
    fflush(NULL);
    catalogue_fork_prepare(fixture->catalogue);
    pid_t child = fork();
    if (child == 0) {
        catalogue_fork_child(fixture->catalogue);
        _exit(body(fixture, number));
    }
    catalogue_fork_parent(fixture->catalogue);
    assert_true(child > 0);
    return child;
}

enum { CHILDREN = 4, ROUNDS = 10 };

static int write_and_read(struct fixture *fixture, int number)
{
    for (int round = 0; round < ROUNDS; round++) {
        kw_error error = {0};
        char name[32];
        snprintf(name, sizeof(name), "%d-%d", number, round);
        EXPECT(fixture_record_put(fixture->catalogue, name, "x", &error) == KW_OK);
        EXPECT(fixture_record_get(fixture->catalogue, name, &error) == KW_OK);
    }
    return 0;
}

static int use_inherited(struct fixture *fixture, int number)
{
    kw_error error = {0};
    EXPECT(fixture_record_get(fixture->catalogue, "parent", &error) == KW_OK);
    EXPECT(write_and_read(fixture, number) == 0);
    fixture_close(fixture);
    return 0;
}

static void fork_both_sides_go_on(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    int children[CHILDREN];
    assert_ok(fixture_record_put(fixture->catalogue, "parent", "x", &error));
    assert_ok(fixture_record_get(fixture->catalogue, "parent", &error));
    for (int i = 0; i < CHILDREN; i++)
        children[i] = fork_prepared(fixture, use_inherited, i + 1);
    assert_int_equal(write_and_read(fixture, 0), 0);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(fixture_wait(children[i]), 0);
    assert_int_equal(fixture_number(fixture, "SELECT count(*) FROM record"), 1 + (CHILDREN + 1) * ROUNDS);
}

static int pipes[2][2];

static void tell(int pipe)
{
    assert_int_equal(write(pipes[pipe][1], "x", 1), 1);
}

static void await(int pipe)
{
    char byte;
    assert_int_equal(read(pipes[pipe][0], &byte, 1), 1);
}

/* Writes when every connection of the parent is closed. */
static int write_after_the_parent(struct fixture *fixture, int number)
{
    kw_error error = {0};
    (void)number;
    EXPECT(fixture_record_get(fixture->catalogue, "parent", &error) == KW_OK);
    EXPECT(fixture_record_put(fixture->catalogue, "early", "x", &error) == KW_OK);
    tell(0);
    await(1);
    EXPECT(fixture_record_put(fixture->catalogue, "child", "x", &error) == KW_OK);
    raise(SIGKILL); /* nobody tidies up after it */
    return 0;
}

/* The child holds locks of its own: else the parent, which thinks that it is the last, would take the log away under it. */
static void fork_child_outlives_the_parents_connections(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_int_equal(pipe(pipes[0]), 0);
    assert_int_equal(pipe(pipes[1]), 0);
    assert_ok(fixture_record_put(fixture->catalogue, "parent", "x", &error));
    int child = fork_prepared(fixture, write_after_the_parent, 0);
    await(0);
    fixture_close(fixture);
    tell(1);
    assert_int_equal(fixture_wait(child), -1);
    fixture_open(fixture);
    assert_ok(fixture_record_get(fixture->catalogue, "child", &error));
    assert_ok(fixture_record_get(fixture->catalogue, "parent", &error));
    for (int i = 0; i < 2; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

struct transaction {
    struct fixture *fixture;
    pthread_barrier_t begun;
    bool fine;
};

static void *transact(void *user)
{
    struct transaction *transaction = user;
    struct catalogue *catalogue = transaction->fixture->catalogue;
    kw_error error = {0};
    bool begun = catalogue_begin(catalogue, &error) == KW_OK;
    pthread_barrier_wait(&transaction->begun);
    transaction->fine = begun && fixture_record_put(catalogue, "first", "x", &error) == KW_OK;
    for (int i = 0; i < 100; i++)
        sched_yield(); /* the other thread is about to fork, or waits for that already */
    transaction->fine = transaction->fine && fixture_record_put(catalogue, "second", "x", &error) == KW_OK &&
                        catalogue_commit(catalogue, &error) == KW_OK;
    return NULL;
}

/* Ends a child that cannot free all its memory, since that is an abandoned connection's or another thread's: nobody looks for leaks in
 * another program. */
static int leave(void)
{
    execlp("true", "true", (char *)NULL);
    return 1;
}

static int see_the_whole_transaction(struct fixture *fixture, int number)
{
    kw_error error = {0};
    (void)number;
    EXPECT(fixture_record_get(fixture->catalogue, "first", &error) == KW_OK);
    EXPECT(fixture_record_get(fixture->catalogue, "second", &error) == KW_OK);
    EXPECT(fixture_record_put(fixture->catalogue, "child", "x", &error) == KW_OK);
    fixture_close(fixture);
    return leave();
}

/* The fork waits for the transaction that another thread has open. */
static void fork_beside_a_transaction_waits_for_it(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    pthread_t thread;
    struct transaction transaction = {.fixture = fixture};
    assert_int_equal(pthread_barrier_init(&transaction.begun, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, transact, &transaction), 0);
    pthread_barrier_wait(&transaction.begun);
    int child = fork_prepared(fixture, see_the_whole_transaction, 0);
    assert_int_equal(fixture_wait(child), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(transaction.fine);
    assert_ok(fixture_record_get(fixture->catalogue, "child", &error));
    pthread_barrier_destroy(&transaction.begun);
}

static int be_refused(struct fixture *fixture, int number)
{
    kw_error error = {0};
    struct catalogue_snapshot snapshot = {0};
    (void)number;
    EXPECT(fixture_record_get(fixture->catalogue, "parent", &error) == KW_UNAVAILABLE);
    EXPECT(strstr(error.message, "forked") != NULL);
    EXPECT(fixture_record_put(fixture->catalogue, "child", "x", &error) == KW_UNAVAILABLE);
    EXPECT(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error) == KW_UNAVAILABLE);
    EXPECT(catalogue_begin(fixture->catalogue, &error) == KW_UNAVAILABLE);
    EXPECT(catalogue_commit(fixture->catalogue, &error) == KW_UNAVAILABLE);
    catalogue_rollback(fixture->catalogue);
    fixture_close(fixture);
    return leave();
}

static void fork_without_notice_is_refused_in_the_child(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_ok(fixture_record_put(fixture->catalogue, "parent", "x", &error));
    assert_int_equal(fixture_wait(fixture_child(be_refused, fixture, 0)), 0);
    assert_ok(fixture_record_get(fixture->catalogue, "parent", &error));
    assert_ok(fixture_record_put(fixture->catalogue, "parent", "y", &error));
}

static void fork_in_its_own_transaction_is_refused_in_the_child(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(fixture_record_put(fixture->catalogue, "parent", "x", &error));
    int child = fork_prepared(fixture, be_refused, 0);
    assert_int_equal(fixture_wait(child), 0);
    assert_ok(fixture_record_put(fixture->catalogue, "more", "x", &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    assert_ok(fixture_record_get(fixture->catalogue, "parent", &error));
    assert_ok(fixture_record_get(fixture->catalogue, "more", &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "child", &error));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(fork_both_sides_go_on),
        TEST(fork_child_outlives_the_parents_connections),
        TEST(fork_beside_a_transaction_waits_for_it),
        TEST(fork_without_notice_is_refused_in_the_child),
        TEST(fork_in_its_own_transaction_is_refused_in_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
