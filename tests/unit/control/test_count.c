#include "processes.h"

#include <pthread.h>

static struct control_total total_of(struct control *control, const char *id)
{
    struct control_total *totals = NULL, found = {0};
    size_t count = 0, matches = 0;
    assert_int_equal(control_totals(control, &totals, &count, NULL), KW_OK);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(totals[i].store_id, id) == 0) {
            found = totals[i];
            matches++;
        }
    }
    free(totals);
    assert_true(matches <= 1);
    return found;
}

static struct control_count *counts_of(struct control *control, const char *id)
{
    struct control_count *counts = control_counts(control, id);
    assert_non_null(counts);
    return counts;
}

static void counts_of_stores_are_kept_apart_and_stay(void **state)
{
    struct control *control = control_new(state);
    struct control_count *one = counts_of(control, "00000001"), *two = counts_of(control, "00000002");
    assert_ptr_not_equal(one, two);
    assert_ptr_equal(counts_of(control, "00000001"), one);
    one[3].calls = 5;
    one[3].errors = 1;
    one[3].nanoseconds = 70;
    one[3].backend_calls = 12;
    two[CONTROL_OPERATIONS - 1].calls = 7;
    control_close(control);
    control = control_new(state);
    assert_int_equal(total_of(control, "00000001").operations[3].calls, 5);
    assert_int_equal(total_of(control, "00000001").operations[3].errors, 1);
    assert_int_equal(total_of(control, "00000001").operations[3].nanoseconds, 70);
    assert_int_equal(total_of(control, "00000001").operations[3].backend_calls, 12);
    assert_int_equal(total_of(control, "00000002").operations[3].calls, 0);
    assert_int_equal(total_of(control, "00000002").operations[CONTROL_OPERATIONS - 1].calls, 7);
    /* whoever comes later goes on with what is there */
    one = counts_of(control, "00000001");
    assert_int_equal(one[3].calls, 5);
    one[3].calls++;
    assert_int_equal(total_of(control, "00000001").operations[3].calls, 6);
    assert_null(control_counts(control, "0123456789012345678901234567890123456789"));
    control_close(control);
}

static void counts_and_waits(struct process *self, void *argument)
{
    struct control *control = argument;
    struct control_count *own = control_counts(control, "00000001");
    if (own == NULL)
        _exit(2);
    for (int i = 0; i < 100; i++)
        atomic_fetch_add(&own[0].calls, 1);
    process_pause(self);
}

static void counts_of_processes_are_added_up_also_of_those_that_were_killed(void **state)
{
    struct control *control = control_new(state);
    struct control_count *own = counts_of(control, "00000001");
    struct process children[8];
    own[0].calls = 1;
    for (int i = 0; i < 8; i++)
        children[i] = process_start(counts_and_waits, control);
    assert_int_equal(total_of(control, "00000001").operations[0].calls, 801);
    assert_int_equal(own[0].calls, 1);
    for (int i = 0; i < 8; i++)
        process_kill(&children[i]);
    assert_int_equal(total_of(control, "00000001").operations[0].calls, 801);
    struct process next = process_start(counts_and_waits, control);
    assert_int_equal(total_of(control, "00000001").operations[0].calls, 901);
    process_kill(&next);
    size_t named = 0;
    for (size_t i = 0; i < CONTROL_BLOCKS; i++)
        named += control->region->file->blocks[i].named;
    assert_int_equal(named, 9); /* the next one went on with a block of the dead */
    control_close(control);
}

/* A process that died between taking a block and naming it has not cost it. */
static void block_that_was_never_named_is_used(void **state)
{
    struct control *control = control_new(state);
    atomic_store(&control->region->file->owners[0], 999 * CONTROL_SLOTS + 7);
    assert_ptr_equal(counts_of(control, "00000001"), control->region->file->blocks[0].operations);
    control_close(control);
}

static void counts_without_a_free_block_are_shared(void **state)
{
    struct control *control = control_new(state), *other = control_new(state);
    for (unsigned i = 0; i < CONTROL_BLOCKS; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%08x", i);
        assert_non_null(control_counts(control, id));
    }
    struct control_count *own = counts_of(control, "00000005");
    assert_ptr_equal(counts_of(other, "00000005"), own);
    assert_null(control_counts(other, "ffffffff"));
    own[0].calls = 3;
    assert_int_equal(total_of(other, "00000005").operations[0].calls, 3);
    control_close(other);
    assert_int_equal(total_of(control, "00000005").operations[0].calls, 3);
    control_close(control);
}

/* Whatever stands in the file, reading it harms nobody. */
static void content_of_the_file_is_not_trusted(void **state)
{
    struct control *control = control_new(state);
    struct control_file *file = control->region->file;
    char who[CONTROL_WHO_SIZE];
    bool settled = false;
    memset(file->owners, 0xff, sizeof(file->owners));
    memset(file->blocks, 0xff, sizeof(file->blocks));
    memset(&file->slots[0], 0xff, (size_t)((unsigned char *)control->slot - (unsigned char *)file->slots));
    file->blocks[4].named = 1;
    assert_null(control_counts(control, "00000001"));
    assert_int_equal(total_of(control, "00000001").operations[0].calls, 0);
    assert_int_equal(control_settled(control, control_generation(control), &settled, who, NULL), KW_OK);
    assert_true(settled);
    memset(control->slot, 0xff, sizeof(*control->slot));
    assert_int_equal(control_settled(control, control_generation(control), &settled, who, NULL), KW_OK);
    assert_false(settled);
    assert_non_null(strstr(who, "process "));
    control_close(control);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counts_of_stores_are_kept_apart_and_stay),
        TEST(counts_of_processes_are_added_up_also_of_those_that_were_killed),
        TEST(block_that_was_never_named_is_used),
        TEST(counts_without_a_free_block_are_shared),
        TEST(content_of_the_file_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
