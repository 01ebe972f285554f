/*
 * What hangs on a master key in a token: a derived key, and a softstore that a subkey opens. After the start neither makes a call, and both
 * go on while the token is away.
 */
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SIGNATURES 200

static struct server server;

static void create(const char *address, const char *key, const char *store, const char *database)
{
    kw_error error = {0};
    const kw_certificate_template wanted = {.size = sizeof(wanted),
                                            .address = address,
                                            .key = key,
                                            .store = store,
                                            .databases = &database,
                                            .database_count = database != NULL ? 1 : 0};
    if (kw_certificate_create(server.context, &wanted, NULL, NULL, &error) != KW_OK)
        server_stop(address, &error);
}

static void append(const char *text)
{
    FILE *file = fopen(server.configuration, "ae");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void start(void)
{
    kw_error error = {0};
    if (server_open(&server, &error) != KW_OK)
        server_stop("the server does not open", &error);
}

static kw_key *open_key(const char *address)
{
    kw_key *key = NULL;
    kw_error error = {0};
    if (kw_key_open(server.context, address, &key, &error) != KW_OK)
        server_stop(address, &error);
    return key;
}

static void sign(kw_key *key)
{
    kw_error error = {0};
    if (server_sign(key, 1, &error) != KW_OK)
        server_stop("sign", &error);
}

static int set_up(void **state)
{
    (void)state;
    server_make(&server, "");
    append(
        "  inner:\n    id: \"77aa02aa\"\n    plugin: softstore\n    options: {passphrase: subkey:master-key/corp}\n");
    start();
    create("database/sales", "ec-p256", "local", NULL);
    create("master-key/corp", "rsa-2048", "hsm", "sales");
    create("password-reset/sales/web", NULL, NULL, NULL); /* derived by rule */
    create("general/www", "ec-p256", "inner", NULL);
    server_close(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shim_disarm(server.control);
    server_remove(&server);
    return 0;
}

static void a_start_unwraps_once_and_then_calls_nothing(void **state)
{
    (void)state;
    shim_forget_calls(server.control);
    start();
    kw_key *derived = open_key("password-reset/sales/web"), *inner = open_key("general/www");
    sign(derived);
    sign(inner);
    assert_int_equal(shim_calls(server.control, SHIM_C_Decrypt), 1);
    assert_int_equal(shim_calls(server.control, SHIM_C_Sign), 0);
    const uint64_t calls = shim_calls(server.control, SHIM_ANY);
    for (unsigned i = 0; i < SIGNATURES; i++) {
        sign(derived);
        sign(inner);
    }
    /* Nor does another handle. */
    kw_key *again = open_key("password-reset/sales/web");
    sign(again);
    assert_int_equal(shim_calls(server.control, SHIM_ANY), calls);
    kw_key_free(again);
    kw_key_free(inner);
    kw_key_free(derived);
    server_close(&server);
}

/* A store that needs no master key makes no call at all. */
static void a_start_that_uses_neither_unwraps_nothing(void **state)
{
    (void)state;
    shim_forget_calls(server.control);
    start();
    kw_key *key = open_key("database/sales");
    sign(key);
    assert_int_equal(shim_calls(server.control, SHIM_C_Decrypt), 0);
    kw_key_free(key);
    server_close(&server);
}

static void a_token_that_is_away_stops_neither(void **state)
{
    kw_error error = {0};
    (void)state;
    start();
    kw_key *derived = open_key("password-reset/sales/web"), *inner = open_key("general/www");
    shim_drop(server.control);
    assert_int_equal(server_create(&server, "general/new", "ec-p256", &error), KW_UNAVAILABLE);
    sign(derived);
    sign(inner);
    kw_key *again = open_key("password-reset/sales/web");
    sign(again);
    create("password-reset/sales/app", NULL, NULL, NULL); /* from the root in memory */
    create("general/more", "ec-p256", "inner", NULL);
    shim_restore(server.control);
    assert_int_equal(server_create(&server, "general/new", "ec-p256", &error), KW_OK);
    kw_key_free(again);
    kw_key_free(inner);
    kw_key_free(derived);
    server_close(&server);
    /* Started without the token, neither is there, and it says why. */
    shim_drop(server.control);
    start();
    assert_int_not_equal(kw_key_open(server.context, "password-reset/sales/web", &derived, &error), KW_OK);
    assert_int_equal(error.status, KW_UNAVAILABLE);
    assert_int_not_equal(kw_key_open(server.context, "general/www", &inner, &error), KW_OK);
    assert_int_equal(error.status, KW_UNAVAILABLE);
    shim_restore(server.control);
    /* And by itself they are there again. */
    inner = open_key("general/www");
    derived = open_key("password-reset/sales/web");
    sign(inner);
    sign(derived);
    kw_key_free(inner);
    kw_key_free(derived);
    server_close(&server);
}

/* The status of a use that is tried for ten seconds, as long as it fails because the token is away. */
static kw_status until_it_serves(kw_key *key, kw_error *error)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    kw_status status = KW_UNAVAILABLE;
    for (unsigned i = 0; i < 100 && status == KW_UNAVAILABLE; i++) {
        nanosleep(&pause, NULL);
        status = server_sign(key, 1, error);
    }
    return status;
}

/* What is in memory serves for as long as outage_limit says, and again when the token is back: with the handles that there were. */
static void an_outage_beyond_the_limit_stops_both(void **state)
{
    const struct timespec limit = {.tv_sec = 1, .tv_nsec = 200000000};
    kw_error error = {0};
    kw_key *other = NULL;
    (void)state;
    append("subkeys: {outage_limit: 1s}\n");
    start();
    kw_key *keys[] = {open_key("password-reset/sales/web"), open_key("general/www")}, *own = open_key("database/sales");
    for (size_t i = 0; i < 2; i++)
        sign(keys[i]);
    shim_drop(server.control);
    assert_int_equal(kw_subkeys_refresh(server.context, &error), KW_UNAVAILABLE);
    for (size_t i = 0; i < 2; i++)
        sign(keys[i]);
    nanosleep(&limit, NULL);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(server_sign(keys[i], 1, &error), KW_UNAVAILABLE);
        assert_non_null(strstr(error.message, "has not been available since 20"));
        assert_non_null(strstr(error.message, "outage_limit"));
        assert_true(error.remedy[0] != '\0');
    }
    assert_int_equal(kw_key_open(server.context, "password-reset/sales/web", &other, &error), KW_UNAVAILABLE);
    assert_int_equal(kw_key_open(server.context, "general/www", &other, &error), KW_UNAVAILABLE);
    sign(own); /* hangs on no master key */
    shim_restore(server.control);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(until_it_serves(keys[i], &error), KW_OK);
        kw_key_free(keys[i]);
    }
    kw_key_free(own);
    server_close(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_unwraps_once_and_then_calls_nothing),
        cmocka_unit_test(a_start_that_uses_neither_unwraps_nothing),
        cmocka_unit_test(a_token_that_is_away_stops_neither),
        cmocka_unit_test(an_outage_beyond_the_limit_stops_both),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
