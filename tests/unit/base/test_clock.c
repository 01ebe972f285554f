#include "base/clock.h"

#include "folder.h"

#include <time.h>

static void clock_text_known_times_are_rfc3339(void **state)
{
    (void)state;
    static const struct {
        int64_t wall;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {INT64_C(253402300799), "9999-12-31T23:59:59Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {INT64_MIN, "0001-01-01T00:00:00Z"},
        {INT64_MAX, "9999-12-31T23:59:59Z"},
    };
    char text[32];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        clock_text(cases[i].wall, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void clock_readings_agree_and_never_go_back(void **state)
{
    (void)state;
    uint64_t before = clock_nanoseconds(), milliseconds = clock_milliseconds(), after = clock_nanoseconds();
    assert_true(before > 0 && before <= after);
    assert_true(milliseconds >= before / 1000000 && milliseconds <= after / 1000000);
}

#if defined(CLOCK_BOOTTIME)
/* How long the machine was suspended, as the kernel tells it: one of its clocks counts that, the others stand still. */
static time_t suspended;

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    const int result = __real_clock_gettime(id, now);
    if (id == CLOCK_BOOTTIME)
        now->tv_sec += suspended;
    return result;
}

static void clock_readings_count_what_the_machine_was_suspended(void **state)
{
    enum { HOUR = 3600 };
    const uint64_t before = clock_milliseconds(), before_fine = clock_nanoseconds();
    (void)state;
    suspended = HOUR;
    assert_true(clock_milliseconds() >= before + HOUR * UINT64_C(1000));
    assert_true(clock_nanoseconds() >= before_fine + HOUR * UINT64_C(1000000000));
    suspended = 0;
}

#endif

static void clock_wall_is_the_time_of_the_system(void **state)
{
    (void)state;
    int64_t before = (int64_t)time(NULL), wall = clock_wall(), after = (int64_t)time(NULL);
    assert_true(before <= wall && wall <= after);
}

static void clock_parse_takes_back_what_clock_text_writes(void **state)
{
    static const int64_t walls[] = {0, 951782400, INT64_C(253402300799), -1, INT64_C(-62135596800), 1719791999};
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof(walls) / sizeof(walls[0]); i++) {
        int64_t wall = 7;
        clock_text(walls[i], text);
        assert_true(clock_parse(text, &wall));
        assert_true(wall == walls[i]);
    }
}

static void clock_parse_anything_else_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "2027",
                                        "2027-12-31",
                                        "2027-12-31T23:59:59",
                                        "2027-12-31T23:59:59z",
                                        "2027-12-31T23:59:59+00:00",
                                        "2027-12-31T23:59:59.0Z",
                                        "2027-12-31 23:59:59Z",
                                        "2027-12-31T23:59:59Z ",
                                        " 027-12-31T23:59:59Z",
                                        "2027-02-29T00:00:00Z",
                                        "2027-13-01T00:00:00Z",
                                        "2027-00-01T00:00:00Z",
                                        "2027-01-00T00:00:00Z",
                                        "2027-01-01T24:00:00Z",
                                        "2027-01-01T00:60:00Z",
                                        "2027-01-01T23:59:60Z",
                                        "0000-01-01T00:00:00Z"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t wall = 7;
        if (clock_parse(texts[i], &wall) || wall != 7)
            fail_msg("taken: %s", texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_text_known_times_are_rfc3339),
        cmocka_unit_test(clock_parse_takes_back_what_clock_text_writes),
        cmocka_unit_test(clock_parse_anything_else_is_refused),
        cmocka_unit_test(clock_readings_agree_and_never_go_back),
#if defined(CLOCK_BOOTTIME)
        cmocka_unit_test(clock_readings_count_what_the_machine_was_suspended),
#endif
        cmocka_unit_test(clock_wall_is_the_time_of_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
