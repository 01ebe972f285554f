#include "processes.h"

#include "base/clock.h"
#include "control/outage.h"

static void outage_is_one_for_all_processes_and_stays(void **state)
{
    struct control *control = control_new(state);
    struct control_outage *outage = control_outage(control, "0b1d02aa"), *other = control_outage(control, "7c9e6679");
    uint64_t milliseconds = 0;
    assert_non_null(outage);
    assert_ptr_not_equal(outage, other);
    assert_ptr_equal(control_outage(control, "0b1d02aa"), outage);
    assert_false(outage_lasts(outage, &milliseconds));
    assert_int_equal(outage_tried(outage), UINT64_MAX);
    assert_false(outage_end(outage));
    assert_true(outage_fail(outage));
    assert_false(outage_fail(outage));
    assert_true(outage_lasts(outage, &milliseconds));
    assert_true(milliseconds < 60000);
    /* Told the same wherever in the second it is asked, until somebody moves the wall clock. */
    const int64_t began = outage_began(outage, milliseconds);
    assert_in_range(clock_wall() - began, 0, 60);
    assert_int_equal(outage_began(outage, milliseconds + 1000), began);
    assert_int_equal(outage_began(outage, milliseconds > 1000 ? milliseconds - 1000 : 0), began);
    assert_in_range(began - outage_began(outage, milliseconds + 3600000), 3599, 3601);
    assert_true(outage_tried(outage) < 60000);
    assert_false(outage_lasts(other, &milliseconds));
    control_close(control);
    control = control_new(state);
    outage = control_outage(control, "0b1d02aa");
    assert_true(outage_lasts(outage, &milliseconds));
    const pid_t child = fork();
    if (child == 0)
        _exit(outage_end(control_outage(control, "0b1d02aa")) ? 0 : 1);
    int code = -1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    assert_false(outage_lasts(outage, &milliseconds));
    control_close(control);
}

static void outage_places_come_to_an_end_without_harm(void **state)
{
    struct control *control = control_new(state);
    struct control_outage *places[CONTROL_OUTAGES];
    char id[16];
    for (unsigned i = 0; i < CONTROL_OUTAGES; i++) {
        snprintf(id, sizeof(id), "%08x", i);
        places[i] = control_outage(control, id);
        assert_non_null(places[i]);
        assert_true(i == 0 || places[i] != places[i - 1]);
    }
    assert_null(control_outage(control, "ffffffff"));
    assert_ptr_equal(control_outage(control, "00000000"), places[0]);
    assert_ptr_equal(control_outage(control, id), places[CONTROL_OUTAGES - 1]);
    control_close(control);
}

/* Times of before a start of the machine, or of a clock that began anew, tell nothing. */
static void outage_times_that_cannot_be_do_not_count(void **state)
{
    struct control *control = control_new(state);
    struct control_outage *outage = control_outage(control, "0b1d02aa");
    uint64_t milliseconds = 0;
    assert_true(outage_fail(outage));
    atomic_store(&outage->since, UINT64_MAX / 2);
    assert_false(outage_lasts(outage, &milliseconds));
    assert_true(outage_fail(outage));
    assert_true(outage_lasts(outage, &milliseconds));
    atomic_fetch_add(&outage->boot, 1);
    assert_false(outage_lasts(outage, &milliseconds));
    assert_int_equal(outage_tried(outage), UINT64_MAX);
    assert_false(outage_end(outage));
    assert_true(outage_fail(outage));
    assert_true(outage_end(outage));
    control_close(control);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        CASE(outage_is_one_for_all_processes_and_stays),
        CASE(outage_places_come_to_an_end_without_harm),
        CASE(outage_times_that_cannot_be_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
