#include "base/log.h"

#include "folder.h"

#include <string.h>

struct seen {
    unsigned lines;
    kw_log_level level;
    char line[4096];
};

static void remember(void *user, kw_log_level level, const char *line)
{
    struct seen *seen = user;
    seen->lines++;
    seen->level = level;
    assert_true(strlen(line) < sizeof(seen->line));
    memcpy(seen->line, line, strlen(line) + 1);
}

static void log_write_with_a_callback_reaches_it(void **state)
{
    (void)state;
    struct seen seen = {0};
    const struct log log = {remember, &seen};
    log_write(&log, KW_LOG_WARNING, "store '%s'", "local");
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, KW_LOG_WARNING);
    assert_string_equal(seen.line, "store 'local'");
}

static void log_write_without_a_callback_does_nothing(void **state)
{
    (void)state;
    const struct log log = {0};
    log_write(NULL, KW_LOG_ERROR, "text");
    log_write(&log, KW_LOG_ERROR, "text");
}

static void log_write_line_break_stays_one_line(void **state)
{
    (void)state;
    struct seen seen = {0};
    const struct log log = {remember, &seen};
    log_write(&log, KW_LOG_INFO, "%s", "one\nforged\r\x1b[2J");
    assert_int_equal(seen.lines, 1);
    assert_string_equal(seen.line, "one?forged??[2J");
}

static void log_write_very_long_is_cut(void **state)
{
    (void)state;
    struct seen seen = {0};
    const struct log log = {remember, &seen};
    log_write(&log, KW_LOG_INFO, "%9000d", 1);
    assert_int_equal(seen.lines, 1);
    assert_true(strlen(seen.line) > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_write_with_a_callback_reaches_it),
        cmocka_unit_test(log_write_without_a_callback_does_nothing),
        cmocka_unit_test(log_write_line_break_stays_one_line),
        cmocka_unit_test(log_write_very_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
