#include "processes.h"

#include <pthread.h>

static bool is_settled(struct control *control, uint64_t generation)
{
    char who[CONTROL_WHO_SIZE];
    bool settled = false;
    assert_int_equal(control_settled(control, generation, &settled, who, NULL), KW_OK);
    assert_true(settled == (who[0] == '\0'));
    return settled;
}

static uint64_t raised(struct control *control)
{
    uint64_t generation = 0;
    kw_error error = {0};
    if (control_raise(control, &generation, &error) != KW_OK)
        fail_msg("%s", error.message);
    return generation;
}

static void raise_is_seen_by_every_context(void **state)
{
    struct control *one = control_new(state), *two = control_new(state);
    const uint64_t before = control_generation(one);
    assert_true(before > 0);
    assert_int_equal(control_generation(two), before);
    const uint64_t after = raised(one);
    assert_true(after > before);
    assert_int_equal(control_generation(two), after);
    assert_int_equal(control_configuration(two), 0);
    control_close(one);
    control_close(two);
    one = control_new(state);
    assert_int_equal(control_generation(one), after);
    control_close(one);
    control_close(NULL);
}

static void raise_configuration_counts_configurations_too(void **state)
{
    struct control *control = control_new(state);
    const uint64_t before = control_generation(control);
    uint64_t generation = 0;
    assert_int_equal(control_raise_configuration(control, &generation, NULL), KW_OK);
    assert_true(generation > before);
    assert_int_equal(control_configuration(control), 1);
    control_close(control);
}

static void settled_waits_for_operations_that_began_before(void **state)
{
    struct control *control = control_new(state), *other = control_new(state);
    struct control_use before, nested, after;
    char who[CONTROL_WHO_SIZE];
    kw_error error = {0};
    bool settled = true;
    const uint64_t first = control_enter(other, &before);
    assert_int_equal(control_enter(other, &nested), first);
    const uint64_t second = raised(control);
    assert_int_equal(control_settled(control, second, &settled, who, NULL), KW_OK);
    assert_false(settled);
    char own[40];
    snprintf(own, sizeof(own), "process %ld (test_control_co", (long)getpid());
    assert_non_null(strstr(who, own));
    /* one that begins now does not matter */
    assert_int_equal(control_enter(other, &after), second);
    control_leave(other, &before);
    assert_false(is_settled(control, second));
    assert_int_equal(control_wait(control, second, 30, who, &error), KW_TIMEOUT);
    assert_non_null(strstr(error.message, own));
    control_leave(other, &nested);
    assert_true(is_settled(control, second));
    assert_int_equal(control_wait(control, second, 0, who, NULL), KW_OK);
    assert_true(is_settled(control, first));
    control_leave(other, &after);
    assert_int_equal(control_settled(control, second + 1, &settled, who, &error), KW_INVALID_ARGUMENT);
    control_close(other);
    control_close(control);
}

/* One that hangs is still told from those of generations that come later and fall together with it. */
static void settled_sees_one_that_hangs_through_many_generations(void **state)
{
    struct control *control = control_new(state);
    struct control_use hanging, use;
    control_enter(control, &hanging);
    for (unsigned i = 0; i < 5 * CONTROL_PHASES; i++) {
        const uint64_t generation = raised(control);
        assert_int_equal(control_enter(control, &use), generation);
        assert_false(is_settled(control, generation));
        control_leave(control, &use);
        assert_false(is_settled(control, generation));
    }
    control_leave(control, &hanging);
    assert_true(is_settled(control, control_generation(control)));
    control_close(control);
}

static void raise_when_too_many_generations_hang_fails_and_names_them(void **state)
{
    struct control *control = control_new(state);
    struct control_use hanging[CONTROL_PHASES];
    uint64_t generation = 0;
    kw_error error = {0};
    control_enter(control, &hanging[0]);
    for (unsigned i = 1; i < CONTROL_PHASES; i++) {
        raised(control);
        control_enter(control, &hanging[i]);
    }
    const uint64_t before = control_generation(control);
    assert_int_equal(control_raise(control, &generation, &error), KW_UNAVAILABLE);
    assert_non_null(strstr(error.message, "test_control_co"));
    assert_int_equal(generation, 0);
    assert_int_equal(control_generation(control), before);
    control_leave(control, &hanging[3]);
    generation = raised(control);
    assert_true(generation > before);
    assert_false(is_settled(control, generation));
    for (unsigned i = 0; i < CONTROL_PHASES; i++)
        if (i != 3)
            control_leave(control, &hanging[i]);
    assert_true(is_settled(control, generation));
    control_close(control);
}

/* ---- Other processes ---- */

static void opens_and_enters(struct process *self, void *argument)
{
    struct control *control = NULL;
    struct control_use use;
    if (control_open(argument, NULL, &control, NULL) != KW_OK)
        _exit(2);
    control_enter(control, &use);
    process_pause(self);
    control_leave(control, &use);
    process_pause(self);
    control_close(control);
}

static void settled_waits_for_another_process(void **state)
{
    struct process other = process_start(opens_and_enters, *state);
    struct control *control = control_new(state);
    char who[CONTROL_WHO_SIZE], expected[40];
    bool settled = true;
    const uint64_t generation = raised(control);
    assert_int_equal(control_settled(control, generation, &settled, who, NULL), KW_OK);
    assert_false(settled);
    snprintf(expected, sizeof(expected), "process %ld (", (long)other.id);
    assert_int_equal(strncmp(who, expected, strlen(expected)), 0);
    assert_int_equal(control_contexts(control), 2);
    process_step(&other);
    assert_true(is_settled(control, generation));
    process_finish(&other);
    assert_int_equal(control_contexts(control), 1);
    control_close(control);
}

static void killed_process_delays_nobody(void **state)
{
    struct process other = process_start(opens_and_enters, *state);
    struct control *control = control_new(state);
    const uint64_t generation = raised(control);
    assert_false(is_settled(control, generation));
    process_kill(&other);
    assert_true(is_settled(control, generation));
    assert_int_equal(control_contexts(control), 1);
    control_close(control);
}

/* ---- Forked children ---- */

static void child_uses(struct process *self, void *argument)
{
    struct control *control = argument;
    struct control_use use;
    if (!control_inherited(control))
        _exit(2);
    process_pause(self);
    control_enter(control, &use);
    process_pause(self);
    control_leave(control, &use);
    process_pause(self);
    control_prove(control);
    if (control_inherited(control))
        _exit(3);
    process_pause(self);
    control_close(control);
}

/* Whoever waits has read the state just now. */
static void waits_for_others(struct process *self, void *argument)
{
    struct control *control = argument;
    char who[CONTROL_WHO_SIZE];
    uint64_t generation = 0;
    process_pause(self);
    if (!control_inherited(control) || control_raise(control, &generation, NULL) != KW_OK)
        _exit(2);
    if (control_wait(control, generation, 0, who, NULL) != KW_OK)
        _exit(3);
    control_close(control);
}

static void forked_child_that_waits_does_not_wait_for_itself(void **state)
{
    struct control *control = control_new(state);
    struct process child = process_start(waits_for_others, control);
    process_finish(&child);
    control_close(control);
}

static void forked_child_delays_until_it_has_proved_itself(void **state)
{
    struct control *control = control_new(state);
    struct control_use use;
    char who[CONTROL_WHO_SIZE], expected[40];
    bool settled = true;
    assert_false(control_inherited(control));
    control_enter(control, &use);
    struct process child = process_start(child_uses, control);
    assert_int_equal(control_contexts(control), 2);
    uint64_t generation = raised(control);
    control_leave(control, &use);
    assert_int_equal(control_settled(control, generation, &settled, who, NULL), KW_OK);
    assert_false(settled);
    snprintf(expected, sizeof(expected), "process %ld (", (long)child.id);
    assert_int_equal(strncmp(who, expected, strlen(expected)), 0);
    assert_null(strstr(who, ","));
    process_step(&child);
    process_step(&child);
    assert_false(is_settled(control, generation));
    process_step(&child);
    assert_true(is_settled(control, generation));
    generation = raised(control);
    assert_true(is_settled(control, generation));
    process_finish(&child);
    assert_int_equal(control_contexts(control), 1);
    control_close(control);
}

static void child_acknowledges(struct process *self, void *argument)
{
    struct control *control = argument;
    process_pause(self);
    control_acknowledge(control, control_generation(control));
    process_pause(self);
}

static void forked_child_may_acknowledge_instead(void **state)
{
    struct control *control = control_new(state);
    struct process child = process_start(child_acknowledges, control);
    uint64_t generation = raised(control);
    assert_false(is_settled(control, generation));
    process_step(&child);
    assert_true(is_settled(control, generation));
    generation = raised(control);
    assert_false(is_settled(control, generation));
    process_kill(&child);
    assert_true(is_settled(control, generation));
    control_close(control);
}

/* What the parent has loaded may be older than the generation at the fork. */
static void forked_child_has_seen_what_its_parent_had(void **state)
{
    struct control *control = control_new(state);
    const uint64_t generation = raised(control);
    struct process child = process_start(child_acknowledges, control);
    assert_false(is_settled(control, generation));
    process_kill(&child);
    control_acknowledge(control, generation);
    child = process_start(child_acknowledges, control);
    assert_true(is_settled(control, generation));
    process_kill(&child);
    control_close(control);
}

static void child_leaves_its_parents_operation(struct process *self, void *argument)
{
    struct {
        struct control *control;
        struct control_use use;
    } *const shared = argument;
    control_leave(shared->control, &shared->use);
    process_pause(self);
}

static void operation_across_a_fork_is_the_parents_alone(void **state)
{
    struct {
        struct control *control;
        struct control_use use;
    } shared = {.control = control_new(state)};
    control_enter(shared.control, &shared.use);
    struct process child = process_start(child_leaves_its_parents_operation, &shared);
    process_finish(&child);
    const uint64_t generation = raised(shared.control);
    assert_false(is_settled(shared.control, generation));
    control_leave(shared.control, &shared.use);
    assert_true(is_settled(shared.control, generation));
    control_close(shared.control);
}

static void orphans_child(struct process *self, void *argument)
{
    (void)argument;
    if (fork() == 0) {
        process_pause(self);
        _exit(0);
    }
    _exit(0);
}

/* The grandchild has the lock of its own slot, not of one that dies with its parent. */
static void grandchild_outlives_its_parent(void **state)
{
    struct control *control = control_new(state);
    struct process process = process_start(orphans_child, NULL);
    char byte = 'x';
    waitpid(process.id, NULL, 0);
    const uint64_t generation = raised(control);
    assert_false(is_settled(control, generation));
    assert_int_equal(write(process.command, &byte, 1), 1);
    close(process.command);
    while (read(process.answer, &byte, 1) > 0)
        ;
    close(process.answer);
    char who[CONTROL_WHO_SIZE];
    assert_int_equal(control_wait(control, generation, 5000, who, NULL), KW_OK);
    control_close(control);
}

static void executes(struct process *self, void *argument)
{
    (void)argument;
    process_pause(self);
    execl("/bin/sleep", "sleep", "30", (char *)NULL);
    _exit(1);
}

static void program_that_a_child_becomes_delays_nobody(void **state)
{
    struct control *control = control_new(state);
    struct process child = process_start(executes, NULL);
    const uint64_t generation = raised(control);
    char byte = 'x', who[CONTROL_WHO_SIZE];
    assert_false(is_settled(control, generation));
    assert_int_equal(write(child.command, &byte, 1), 1);
    assert_int_equal(control_wait(control, generation, 5000, who, NULL), KW_OK);
    process_kill(&child);
    control_close(control);
}

/* ---- Many ---- */

#define MANY 300

static void many_processes_each_have_a_slot(void **state)
{
    struct control *control = control_new(state);
    int gate[2], ready[2];
    char byte, who[CONTROL_WHO_SIZE];
    bool settled = true;
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(pipe(ready), 0);
    for (int i = 0; i < MANY; i++) {
        if (fork() == 0) {
            struct control_use use;
            close(gate[1]);
            control_enter(control, &use);
            if (write(ready[1], "x", 1) != 1 || read(gate[0], &byte, 1) != 0)
                _exit(1);
            _exit(atomic_load(&control->slot) == NULL);
        }
    }
    close(gate[0]);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(control_contexts(control), MANY + 1);
    const uint64_t generation = raised(control);
    assert_int_equal(control_settled(control, generation, &settled, who, NULL), KW_OK);
    assert_false(settled);
    assert_non_null(strstr(who, " more"));
    close(gate[1]);
    for (int i = 0; i < MANY; i++) {
        int code = -1;
        assert_true(wait(&code) > 0);
        assert_int_equal(code, 0);
    }
    close(ready[0]);
    close(ready[1]);
    assert_true(is_settled(control, generation));
    assert_int_equal(control_contexts(control), 1);
    control_close(control);
}

/* Every slot that its process did not give back is found again. */
static void slots_of_the_dead_are_used_again(void **state)
{
    struct control *control = control_new(state);
    for (unsigned i = 0; i < CONTROL_SLOTS; i++)
        if (&control->region->file->slots[i] != control->slot)
            atomic_store(&control->region->file->slots[i].token, 1000000u + i);
    struct control *other = control_new(state);
    assert_non_null(other->slot);
    assert_ptr_not_equal(other->slot, control->slot);
    control_close(other);
    control_close(control);
}

static void waits(struct process *self, void *argument)
{
    (void)argument;
    process_pause(self);
}

/* Without a slot it works too, and whoever wants to know is told that it may use anything. */
static void process_without_a_slot_delays_until_it_ends(void **state)
{
    static struct control *all[CONTROL_SLOTS];
    char who[CONTROL_WHO_SIZE], expected[40];
    bool settled = true;
    for (unsigned i = 0; i < CONTROL_SLOTS - 1; i++)
        all[i] = control_new(state);
    struct control *last = control_new(state);
    assert_non_null(last->slot);
    struct process child = process_start(waits, NULL);
    const uint64_t generation = raised(last);
    assert_int_equal(control_settled(last, generation, &settled, who, NULL), KW_OK);
    assert_false(settled);
    snprintf(expected, sizeof(expected), "process %ld (one too many)", (long)child.id);
    assert_string_equal(who, expected);
    process_finish(&child);
    assert_true(is_settled(last, generation));
    struct control *more = control_new(state);
    struct control_use use;
    assert_null(more->slot);
    assert_int_equal(control_enter(more, &use), generation);
    control_leave(more, &use);
    assert_false(is_settled(last, generation));
    control_close(more);
    control_close(last);
    for (unsigned i = 0; i < CONTROL_SLOTS - 1; i++)
        control_close(all[i]);
}

/* ---- Stores ---- */

static void knows_only_what_every_process_knows(void **state)
{
    static const char *const ids[] = {"00000001", "00000002"};
    struct control *control = control_new(state);
    char who[CONTROL_WHO_SIZE];
    bool knows = true;
    assert_int_equal(control_knows(control, "00000001", &knows, who, NULL), KW_OK);
    assert_false(knows);
    assert_non_null(strstr(who, "test_control_co"));
    control_know(control, ids, 2);
    assert_int_equal(control_knows(control, "00000001", &knows, who, NULL), KW_OK);
    assert_true(knows);
    assert_string_equal(who, "");
    struct process child = process_start(waits, NULL);
    assert_int_equal(control_knows(control, "00000002", &knows, who, NULL), KW_OK);
    assert_true(knows);
    control_know(control, ids, 1);
    assert_int_equal(control_knows(control, "00000002", &knows, who, NULL), KW_OK);
    assert_false(knows);
    struct control *other = control_new(state);
    assert_int_equal(control_knows(control, "00000001", &knows, who, NULL), KW_OK);
    assert_false(knows);
    control_close(other);
    assert_int_equal(control_knows(control, "00000001", &knows, who, NULL), KW_OK);
    assert_true(knows);
    process_kill(&child);
    control_close(control);
}

/* ---- A new configuration ---- */

static void answers_tell_who_has_taken_a_configuration(void **state)
{
    struct control *control = control_new(state), *other = control_new(state);
    struct control_answers answers;
    uint64_t generation = 0;
    assert_int_equal(control_raise_configuration(control, &generation, NULL), KW_OK);
    const uint64_t number = control_configuration(control);
    assert_int_equal(control_answers_get(control, number, &answers, NULL), KW_OK);
    assert_int_equal(answers.contexts, 2);
    assert_int_equal(answers.taken + answers.refused, 0);
    assert_non_null(strstr(answers.waiting, "test_control_co"));
    assert_string_equal(answers.refusing, "");
    control_answer(control, number, true);
    control_answer(other, number, false);
    /* a child goes on with its parent's, and so with its answer */
    struct process child = process_start(waits, NULL);
    assert_int_equal(control_answers_get(control, number, &answers, NULL), KW_OK);
    assert_int_equal(answers.contexts, 4);
    assert_int_equal(answers.taken, 2);
    assert_int_equal(answers.refused, 2);
    assert_string_equal(answers.waiting, "");
    assert_non_null(strstr(answers.refusing, "test_control_co"));
    process_kill(&child);
    assert_int_equal(control_answers_get(control, number, &answers, NULL), KW_OK);
    assert_int_equal(answers.contexts, 2);
    /* of the next one neither says anything yet; who has taken a later one has taken enough */
    assert_int_equal(control_raise_configuration(control, &generation, NULL), KW_OK);
    control_answer(other, number + 1, true);
    assert_int_equal(control_answers_get(control, number + 1, &answers, NULL), KW_OK);
    assert_int_equal(answers.taken, 1);
    assert_int_equal(answers.refused, 0);
    assert_int_equal(control_answers_get(control, number, &answers, NULL), KW_OK);
    assert_int_equal(answers.taken, 2);
    /* who has refused a later one, and has not taken this one either, has refused it */
    struct control *third = control_new(state);
    control_answer(third, number + 1, false);
    assert_int_equal(control_answers_get(control, number, &answers, NULL), KW_OK);
    assert_int_equal(answers.taken, 2);
    assert_int_equal(answers.refused, 1);
    assert_string_equal(answers.waiting, "");
    control_close(third);
    control_close(other);
    control_close(control);
}

/* A slot that is used again has no answer of before; and who found none has none, and is waited for. */
static void answers_of_full_slots_tell_who_is_asked(void **state)
{
    static struct control *all[CONTROL_SLOTS];
    struct control_answers answers;
    for (int taken = 0; taken < 2; taken++) {
        for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
            all[i] = control_new(state);
            assert_non_null(all[i]->slot);
            control_answer(all[i], 7, taken != 0);
        }
        assert_int_equal(control_answers_get(all[0], 7, &answers, NULL), KW_OK);
        assert_int_equal(answers.contexts, CONTROL_SLOTS);
        assert_int_equal(taken != 0 ? answers.taken : answers.refused, CONTROL_SLOTS);
        assert_string_equal(answers.waiting, "");
        struct control *more = control_new(state);
        assert_null(more->slot);
        control_answer(more, 7, true);
        assert_int_equal(control_answers_get(all[0], 7, &answers, NULL), KW_OK);
        assert_int_equal(answers.contexts, CONTROL_SLOTS + 1);
        assert_non_null(strstr(answers.waiting, "one too many"));
        control_close(more);
        for (unsigned i = 0; i < CONTROL_SLOTS; i++)
            control_close(all[i]);
        struct control *again = control_new(state);
        assert_int_equal(control_answers_get(again, 7, &answers, NULL), KW_OK);
        assert_int_equal(answers.contexts, 1);
        assert_int_equal(answers.taken + answers.refused, 0);
        control_close(again);
    }
}

/* ---- Threads ---- */

struct worker {
    struct control *control;
    atomic_bool *stop;
    atomic_uint_least64_t *retired; /* what is older is gone */
    uint64_t rounds;
    bool wrong;
};

static void *works(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(worker->stop) || worker->rounds == 0) {
        struct control_use use;
        const uint64_t generation = control_enter(worker->control, &use);
        for (int i = 0; i < 3; i++)
            worker->wrong = worker->wrong || atomic_load(worker->retired) > generation;
        control_leave(worker->control, &use);
        worker->rounds++;
    }
    return NULL;
}

/* Whatever the interleaving: once settled, nobody works with what came before. */
static void threads_never_use_what_was_settled(void **state)
{
    struct control *control = control_new(state);
    atomic_bool stop = false;
    atomic_uint_least64_t retired = 0;
    struct worker workers[6] = {0};
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        workers[i] = (struct worker){.control = control, .stop = &stop, .retired = &retired};
        assert_int_equal(pthread_create(&threads[i], NULL, works, &workers[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        char who[CONTROL_WHO_SIZE];
        const uint64_t generation = raised(control);
        assert_int_equal(control_wait(control, generation, 60000, who, NULL), KW_OK);
        atomic_store(&retired, generation);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_false(workers[i].wrong);
    }
    assert_true(is_settled(control, control_generation(control)));
    control_close(control);
}

/* ---- A program that closes what is not its own ---- */

static void closed_descriptor_is_opened_again(void **state)
{
    struct control *control = control_new(state), *other = NULL;
    struct control_slot *const slot = control->slot;
    const int descriptor = control->region->descriptor;
    struct control_use use;
    close(descriptor);
    /* the number is somebody else's now, and is left alone */
    const int taken = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(taken, descriptor);
    const uint64_t generation = raised(control);
    control_enter(control, &use);
    assert_true(is_settled(control, generation));
    assert_int_not_equal(control->region->descriptor, descriptor);
    assert_ptr_equal(control->slot, slot);
    other = control_new(state);
    assert_ptr_not_equal(other->slot, slot);
    control_leave(control, &use);
    control_close(other);
    control_close(control);
    assert_int_equal(close(taken), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(raise_is_seen_by_every_context),
        TEST(raise_configuration_counts_configurations_too),
        TEST(settled_waits_for_operations_that_began_before),
        TEST(settled_sees_one_that_hangs_through_many_generations),
        TEST(raise_when_too_many_generations_hang_fails_and_names_them),
        TEST(settled_waits_for_another_process),
        TEST(killed_process_delays_nobody),
        TEST(forked_child_that_waits_does_not_wait_for_itself),
        TEST(forked_child_delays_until_it_has_proved_itself),
        TEST(forked_child_may_acknowledge_instead),
        TEST(forked_child_has_seen_what_its_parent_had),
        TEST(operation_across_a_fork_is_the_parents_alone),
        TEST(grandchild_outlives_its_parent),
        TEST(program_that_a_child_becomes_delays_nobody),
        TEST(many_processes_each_have_a_slot),
        TEST(slots_of_the_dead_are_used_again),
        TEST(process_without_a_slot_delays_until_it_ends),
        TEST(knows_only_what_every_process_knows),
        TEST(answers_tell_who_has_taken_a_configuration),
        TEST(answers_of_full_slots_tell_who_is_asked),
        TEST(threads_never_use_what_was_settled),
        TEST(closed_descriptor_is_opened_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
