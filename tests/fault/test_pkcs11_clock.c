/*
 * Somebody sets the clock while the token is away: that neither ends nor prolongs the outage (B4). The clock is libfaketime's, which is loaded before
 * everything else and reads an offset from a file; what counts from the start of the machine it leaves alone.
 */
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers that it needs */
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 2 /* seconds */
#define YEAR  (366 * 24 * 3600)

static struct server server;
static kw_error error;

#define assert_good(call)                                                                                              \
    do {                                                                                                               \
        error = (kw_error){0};                                                                                         \
        if ((call) != KW_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, error.where, error.message);                                                 \
    } while (0)

/* ---- The clock ---- */

/* By so many seconds from what it is really. The file is replaced: half an offset is never read. */
static void set_clock(long offset)
{
    const char *const path = test_wanted("FAKETIME_TIMESTAMP_FILE");
    char beside[300];
    snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *file = fopen(beside, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "%+ld\n", offset) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(beside, path), 0);
}

static double since_boot(void)
{
    struct timespec now = {0};
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pause_until(double boot)
{
    const struct timespec step = {.tv_nsec = 20000000};
    while (since_boot() < boot)
        nanosleep(&step, NULL);
}

/* ---- The server ---- */

static int set_up(void **state)
{
    const char *database = "sales";
    const kw_certificate_template master = {.size = sizeof(master),
                                            .address = "master-key/corp",
                                            .key = "ec-p256",
                                            .store = "hsm",
                                            .databases = &database,
                                            .database_count = 1};
    (void)state;
    set_clock(0);
    server_make(&server, "");
    FILE *file = fopen(server.configuration, "ae");
    if (file == NULL || fprintf(file, "subkeys: {outage_limit: %ds}\n", LIMIT) < 0 || fclose(file) != 0)
        server_stop("configuration", NULL);
    if (server_open(&server, &error) != KW_OK || server_create(&server, "database/sales", "ec-p256", &error) != KW_OK ||
        kw_certificate_create(server.context, &master, NULL, NULL, &error) != KW_OK)
        server_stop("set-up", &error);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shim_restore(server.control);
    server_remove(&server);
    return 0;
}

static kw_status seal(kw_subkey *subkey, kw_error *why)
{
    unsigned char sealed[256];
    kw_output output = {.data = sealed, .capacity = sizeof(sealed)};
    return kw_seal(subkey, (kw_input){(const unsigned char *)"x", 1}, (kw_input){0}, &output, why);
}

/* With the clock moved by this much in the middle of an outage, which lasts as long as it lasts. */
static void outage_with_the_clock_moved_by(long offset)
{
    kw_subkey *subkey = NULL;
    set_clock(0);
    assert_good(kw_subkey_get(server.context, "master-key/corp", "password", (kw_input){0}, &subkey, &error));
    assert_good(seal(subkey, &error));
    shim_drop(server.control);
    const double begin = since_boot();
    const int64_t before = (int64_t)time(NULL);
    assert_int_equal(kw_subkeys_refresh(server.context, &error), KW_UNAVAILABLE);
    set_clock(offset);
    const int64_t moved = (int64_t)time(NULL) - before;
    assert_true(moved > offset - 60 && moved < offset + 60); /* the clock is the one that was set */
    /* What is shown goes by the clock of now. */
    const int64_t since = server_outage(&server);
    assert_true(since > before + offset - 60 && since < before + offset + 60);
    assert_good(seal(subkey, &error));
    pause_until(begin + LIMIT * 0.6);
    if (since_boot() < begin + LIMIT * 0.9)
        assert_good(seal(subkey, &error));
    pause_until(begin + LIMIT + 1);
    assert_int_equal(seal(subkey, &error), KW_UNAVAILABLE);
    assert_non_null(strstr(error.message, "outage_limit"));
    set_clock(0);
    assert_int_equal(seal(subkey, &error), KW_UNAVAILABLE);
    shim_restore(server.control);
    kw_status status = KW_UNAVAILABLE;
    for (unsigned i = 1; i <= 100 && status == KW_UNAVAILABLE; i++) {
        pause_until(since_boot() + 0.1);
        status = seal(subkey, &error);
    }
    assert_int_equal(status, KW_OK);
    assert_int_equal(server_outage(&server), 0);
    kw_subkey_free(subkey);
}

static void outage_the_clock_is_moved_forward_it_does_not_end_earlier(void **state)
{
    (void)state;
    outage_with_the_clock_moved_by(10L * YEAR);
}

static void outage_the_clock_is_moved_back_it_does_not_last_longer(void **state)
{
    (void)state;
    outage_with_the_clock_moved_by(-10L * YEAR);
}

/* Once more, with libfaketime. */
static void start_again(char **arguments)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/clock.XXXXXX", test_wanted("TMPDIR"));
    const int file = mkstemp(path);
    if (file < 0 || write(file, "+0\n", 3) != 3 || close(file) != 0)
        server_stop("no file for the clock", NULL);
    setenv("FAKETIME_TIMESTAMP_FILE", path, 1);
    setenv("FAKETIME_NO_CACHE", "1", 1);
    setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
    setenv("LD_PRELOAD", FAKETIME, 1);
    execv("/proc/self/exe", arguments);
    server_stop("cannot be started again", NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outage_the_clock_is_moved_forward_it_does_not_end_earlier),
        cmocka_unit_test(outage_the_clock_is_moved_back_it_does_not_last_longer),
    };
    (void)argc;
    if (getenv("FAKETIME_TIMESTAMP_FILE") == NULL)
        start_again(argv);
    const int failures = cmocka_run_group_tests(tests, set_up, tear_down);
    unlink(test_wanted("FAKETIME_TIMESTAMP_FILE"));
    return failures;
}
