/*
 * Many at one token: processes, children of a fork, threads whose sessions end under them, keys by the thousand; and a process that dies at
 * each call. Short by default; as long as the requirements say with KW_TEST_FULL=yes.
 */
#include "server.h"
#include "token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers that it needs */
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES 8
#define CHILDREN  4
#define THREADS   16
#define KEY       "general/ec"

static struct server server;
static kw_key *key;

static int set_up(void **state)
{
    kw_error error = {0};
    (void)state;
    server_make(&server, "");
    if (server_open(&server, &error) != KW_OK || server_create(&server, KEY, "ec-p256", &error) != KW_OK)
        server_stop("set-up", &error);
    server_close(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_remove(&server);
    return 0;
}

static void open_key(void)
{
    kw_error error = {0};
    if (server_open(&server, &error) != KW_OK || kw_key_open(server.context, KEY, &key, &error) != KW_OK)
        server_stop("open", &error);
}

static void close_key(void)
{
    shim_disarm(server.control);
    kw_key_free(key);
    key = NULL;
    server_close(&server);
}

/* Ends the child with 0 when all of its signatures are right. */
static _Noreturn void sign_and_end(unsigned count)
{
    kw_error error = {0};
    for (unsigned i = 0; i < count; i++)
        if (server_sign(key, (unsigned char)i, &error) != KW_OK) {
            fprintf(stderr, "signature %u of process %ld: %s\n", i, (long)getpid(), error.message);
            _exit(1);
        }
    _exit(0);
}

static unsigned children_that_failed(const pid_t *children, unsigned count)
{
    unsigned failed = 0;
    for (unsigned i = 0; i < count; i++) {
        int status = 0;
        if (waitpid(children[i], &status, 0) != children[i] || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            failed++;
    }
    return failed;
}

/* ---- Processes ------------------------------------------------------------------------------------------------------ */

static void processes_on_one_token_never_fail(void **state)
{
    const unsigned rounds = test_is_full() ? 10 : 2, signatures = test_is_full() ? 100 : 20;
    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        pid_t children[PROCESSES];
        for (unsigned i = 0; i < PROCESSES; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                open_key();
                sign_and_end(signatures);
            }
        }
        assert_int_equal(children_that_failed(children, PROCESSES), 0);
    }
}

static void children_sign_after_the_parent_has_signed(void **state)
{
    kw_error error = {0};
    pid_t children[CHILDREN];
    (void)state;
    open_key();
    assert_int_equal(server_sign(key, 1, &error), KW_OK);
    for (unsigned i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0)
            sign_and_end(10);
        assert_int_equal(server_sign(key, 2, &error), KW_OK);
    }
    assert_int_equal(children_that_failed(children, CHILDREN), 0);
    assert_int_equal(server_sign(key, 3, &error), KW_OK);
    close_key();
}

/* ---- Threads ---------------------------------------------------------------------------------------------------------- */

static atomic_uint wrong, running, longest; /* the longest in milliseconds */
static unsigned signatures_each;

static void *sign_many(void *argument)
{
    kw_error error = {0};
    (void)argument;
    for (unsigned i = 0; i < signatures_each; i++) {
        const double begin = test_seconds();
        const kw_status status = server_sign(key, (unsigned char)i, &error);
        const unsigned took = (unsigned)((test_seconds() - begin) * 1000);
        unsigned most = atomic_load(&longest);
        while (took > most && !atomic_compare_exchange_weak(&longest, &most, took))
            ;
        if (status != KW_OK && atomic_fetch_add(&wrong, 1) < 3)
            fprintf(stderr, "a signature: %s: %s\n", kw_status_text(status), error.message);
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static void sessions_dropped_at_random_lose_no_signature(void **state)
{
    pthread_t threads[THREADS];
    unsigned drops = 0, seed = test_seed();
    (void)state;
    open_key();
    signatures_each = test_is_full() ? 1000 : 60;
    atomic_store(&wrong, 0);
    atomic_store(&running, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_many, NULL), 0);
    /* By what they have done, not by time: a busy machine must not mean that a signature meets one end of sessions after another. */
    for (uint64_t next = 0; atomic_load(&running) > 0;) {
        usleep(500);
        if (shim_calls(server.control, SHIM_C_Sign) < next)
            continue;
        seed = seed * 1103515245U + 12345U;
        next = shim_calls(server.control, SHIM_C_Sign) + 20 + (seed >> 16) % 60;
        shim_renew(server.control);
        drops++;
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%u signatures, sessions dropped %u times, the longest took %u ms\n", THREADS * signatures_each, drops,
           atomic_load(&longest));
    assert_true(drops >= 3);
    assert_int_equal(atomic_load(&wrong), 0);
    close_key();
}

/* ---- A token that goes and comes --------------------------------------------------------------------------------------- */

static void dropped_token_is_unavailable_until_it_is_back(void **state)
{
    kw_error error = {0};
    (void)state;
    open_key();
    assert_int_equal(server_sign(key, 1, &error), KW_OK);
    for (int i = 0; i < 2; i++) {
        shim_drop(server.control);
        const double begin = test_seconds();
        assert_int_equal(server_sign(key, 2, &error), KW_UNAVAILABLE);
        assert_int_equal(server_create(&server, "general/other", "ec-p256", &error), KW_UNAVAILABLE);
        assert_true(test_seconds() - begin < 12);
        assert_non_null(strstr(error.message, test_wanted("KW_TOKEN_LABEL")));
        shim_restore(server.control);
        assert_int_equal(server_sign(key, 3, &error), KW_OK);
    }
    assert_int_equal(server_create(&server, "general/other", "ec-p256", &error), KW_OK);
    assert_int_equal(kw_certificate_delete(server.context, "general/other", true, &error), KW_OK);
    close_key();
}

/* ---- A process that dies ------------------------------------------------------------------------------------------------ */

/* Creates and deletes, dying at call number `at`; false: it did not get so far. */
static bool die_at(unsigned at, enum shim_action action)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        kw_error error = {0};
        open_key();
        shim_arm(server.control, SHIM_ANY, action, CKR_OK, at, 1);
        if (server_create(&server, "general/mortal", "ec-p256", &error) != KW_OK ||
            kw_certificate_delete(server.context, "general/mortal", true, &error) != KW_OK)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    shim_disarm(server.control);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void process_killed_at_a_call_leaves_no_key(void **state)
{
    const unsigned step = test_is_full() ? 1 : 5;
    unsigned killed = 0;
    kw_error error = {0};
    (void)state;
    for (unsigned at = 1 + test_seed() % step; at < 1000; at += step, killed++) {
        if (!die_at(at, at % 2 == 0 ? SHIM_CRASH : SHIM_CRASH_AFTER))
            break;
        open_key();
        const struct holding holding = server_held(&server);
        const long listed = server_listed(&server);
        if (holding.private_keys != listed || holding.public_keys > listed || holding.certificates > listed)
            fail_msg("killed at call %u: %ld certificates, but on the token %ld private keys, %ld public keys, %ld "
                     "certificates",
                     at, listed, holding.private_keys, holding.public_keys, holding.certificates);
        if (listed > 1)
            assert_int_equal(kw_certificate_delete(server.context, "general/mortal", true, &error), KW_OK);
        assert_int_equal(server_sign(key, 1, &error), KW_OK);
        close_key();
    }
    printf("killed at %u of its calls\n", killed);
    assert_true(killed >= 4);
}

/* ---- Keys by the thousand ------------------------------------------------------------------------------------------------ */

/* In a process of its own, so that nothing is open yet. */
static uint64_t calls_to_first_signature(void)
{
    int status = 0;
    shim_forget_calls(server.control);
    const pid_t child = fork();
    if (child == 0) {
        open_key();
        sign_and_end(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return shim_calls(server.control, SHIM_ANY);
}

static _Noreturn void make_one_of_many(void)
{
    static const unsigned char id[] = {0xf1, 0xf1};
    struct token token;
    const bool good = token_open(&token, test_wanted("KW_TOKEN_LIBRARY"), NULL, test_wanted("KW_TOKEN_LABEL")) &&
                      token_login(&token, test_wanted("KW_TOKEN_PIN")) == CKR_OK &&
                      token_generate(&token, 0, "one of many", id, sizeof(id)) == CKR_OK;
    _exit(good ? 0 : 1);
}

/* SoftHSM takes longer for each further key, an hour for thousands; but it keeps each object in a file, so one key is copied. */
static void fill(unsigned count)
{
    static const char script[] =
        "set -e; cd \"$(sed -n 's/^directories.tokendir *= *//p' \"$SOFTHSM2_CONF\")\"; newest=$(ls -t */*.object | "
        "head -n 2); n=0;"
        "for i in $(seq \"$1\"); do for file in $newest; do n=$((n + 1));"
        "cp \"$file\" \"${file%/*}/$(printf '%08x-0000-0000-0000-000000000000.object' $n)\"; done; done";
    char number[16];
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        make_one_of_many();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    snprintf(number, sizeof(number), "%u", count);
    child = fork();
    if (child == 0) {
        execlp("sh", "sh", "-c", script, "sh", number, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Last: the keys stay on the token. */
static void first_signature_does_not_enumerate(void **state)
{
    const unsigned keys = test_is_full() ? 5000 : 100;
    (void)state;
    const uint64_t before = calls_to_first_signature();
    fill(keys);
    const double begin = test_seconds();
    const uint64_t after = calls_to_first_signature();
    printf("%u more keys: %llu calls to the first signature, as before %llu; %.1f s\n", keys, (unsigned long long)after,
           (unsigned long long)before, test_seconds() - begin);
    assert_int_equal(after, before);
    assert_true(server_held(&server).private_keys > keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_on_one_token_never_fail),
        cmocka_unit_test(children_sign_after_the_parent_has_signed),
        cmocka_unit_test(sessions_dropped_at_random_lose_no_signature),
        cmocka_unit_test(dropped_token_is_unavailable_until_it_is_back),
        cmocka_unit_test(process_killed_at_a_call_leaves_no_key),
        cmocka_unit_test(first_signature_does_not_enumerate),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests_name("many at one token", tests, set_up, tear_down);
}
