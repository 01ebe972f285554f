/* The gate: alone means alone, waiting has an end, and a fork finds nobody inside. */
#include "pkcs11.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 400 };

struct crowd {
    struct p11_gate *gate;
    atomic_int inside, wrong;
    atomic_bool stop;
};

static void *pass(void *argument)
{
    struct crowd *crowd = argument;
    while (!atomic_load(&crowd->stop)) {
        assert_true(p11_gate_enter(crowd->gate, 10000));
        atomic_fetch_add(&crowd->inside, 1);
        atomic_fetch_sub(&crowd->inside, 1);
        p11_gate_leave(crowd->gate);
    }
    return NULL;
}

static void shut_is_alone(void **state)
{
    struct p11_gate gate = {.inside = 0};
    struct crowd crowd = {.gate = &gate};
    pthread_t threads[THREADS];
    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pass, &crowd), 0);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(p11_gate_shut(&gate, 10000));
        assert_int_equal(atomic_load(&crowd.inside), 0);
        p11_gate_open(&gate);
    }
    atomic_store(&crowd.stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&gate.inside), 0);
}

static void shut_that_waits_in_vain_leaves_it_open(void **state)
{
    struct p11_gate gate = {.inside = 0};
    (void)state;
    assert_true(p11_gate_enter(&gate, 20));
    assert_false(p11_gate_shut(&gate, 20));
    assert_true(p11_gate_enter(&gate, 20));
    p11_gate_leave(&gate);
    p11_gate_leave(&gate);
    assert_true(p11_gate_shut(&gate, 20));
    assert_false(p11_gate_shut(&gate, 20));  /* somebody else is alone */
    assert_false(p11_gate_enter(&gate, 20)); /* and does not come back */
    p11_gate_open(&gate);
    assert_true(p11_gate_enter(&gate, 20));
    p11_gate_leave(&gate);
}

/* A thread is inside when the process forks: the fork waits for it, and the child begins anew. */
static void *stay_inside(void *argument)
{
    struct crowd *crowd = argument;
    struct timespec while_inside = {.tv_nsec = 50000000};
    assert_true(p11_gate_enter(crowd->gate, 10000));
    atomic_store(&crowd->inside, 1);
    nanosleep(&while_inside, NULL);
    atomic_store(&crowd->inside, 0);
    p11_gate_leave(crowd->gate);
    return NULL;
}

static void fork_waits_and_the_child_begins_anew(void **state)
{
    pthread_t thread;
    int status = 0;
    (void)state;
    struct p11_module *module = p11_module_get("/a/module/of/the/test", NULL);
    assert_non_null(module);
    assert_ptr_equal(p11_module_get("/a/module/of/the/test", NULL), module);
    struct crowd crowd = {.gate = &module->gate};
    assert_int_equal(pthread_create(&thread, NULL, stay_inside, &crowd), 0);
    while (atomic_load(&crowd.inside) == 0)
        sched_yield();
    pid_t child = fork();
    bool nobody = atomic_load(&crowd.inside) == 0;
    if (child == 0) {
        alarm(20);
        bool anew = module->forked && atomic_load(&module->gate.inside) == 0;
        anew = anew && p11_gate_enter(&module->gate, 1000);
        p11_gate_leave(&module->gate);
        anew = anew && p11_gate_shut(&module->gate, 1000);
        p11_gate_open(&module->gate);
        /* Not _exit: checkers would count what the parent's other thread had in its hands. */
        const char *verdict = nobody && anew ? "true" : "false";
        execlp(verdict, verdict, (char *)NULL);
        _exit(1);
    }
    pthread_join(thread, NULL);
    assert_true(nobody);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(module->forked);
    assert_true(p11_gate_enter(&module->gate, 1000));
    p11_gate_leave(&module->gate);
}

/* A thread is alone, and hangs: a fork gives up waiting, and does not open the gate for others. */
static void fork_leaves_a_gate_shut_that_another_has_shut(void **state)
{
    int status = 0;
    (void)state;
    struct p11_module *module = p11_module_get("/another/module/of/the/test", NULL);
    assert_non_null(module);
    p11_gate_patience = 20;
    assert_true(p11_gate_shut(&module->gate, 20));
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        const char *verdict = p11_gate_enter(&module->gate, 1000) ? "true" : "false";
        execlp(verdict, verdict, (char *)NULL);
        _exit(1);
    }
    assert_false(p11_gate_enter(&module->gate, 20));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    p11_gate_open(&module->gate);
    assert_true(p11_gate_enter(&module->gate, 20));
    p11_gate_leave(&module->gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shut_is_alone),
        cmocka_unit_test(shut_that_waits_in_vain_leaves_it_open),
        cmocka_unit_test(fork_waits_and_the_child_begins_anew),
        cmocka_unit_test(fork_leaves_a_gate_shut_that_another_has_shut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
