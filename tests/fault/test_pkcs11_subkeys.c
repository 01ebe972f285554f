/*
 * Why the library is there: a server seals and unseals without a call to its token, also while that is away, and in the children that it forks. Every
 * C_ function that is called is counted by the shim.
 */
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers that it needs */
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MASTERS 3
#define THREADS 16

static struct server server;
static kw_error error;

#define assert_good(call)                                                                                              \
    do {                                                                                                               \
        error = (kw_error){0};                                                                                         \
        if ((call) != KW_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, error.where, error.message);                                                 \
    } while (0)

static const char *master_name(unsigned index)
{
    static _Thread_local char name[MASTERS][32];
    snprintf(name[index], sizeof(name[index]), "master-key/m%u", index);
    return name[index];
}

static unsigned database_count(void)
{
    return test_is_full() ? 100 : 10;
}

/* Databases, and three master keys that serve them, on the token: EC, EC and RSA. */
static void create_all(void)
{
    static char names[100][16];
    const char *databases[100];
    const unsigned count = database_count();
    for (unsigned i = 0; i < count; i++) {
        char address[32];
        snprintf(names[i], sizeof(names[i]), "db%u", i);
        databases[i] = names[i];
        snprintf(address, sizeof(address), "database/db%u", i);
        assert_good(server_create(&server, address, "ec-p256", &error));
    }
    for (unsigned i = 0; i < MASTERS; i++) {
        const kw_certificate_template wanted = {
            .size = sizeof(wanted),
            .address = master_name(i),
            .key = i == 2 ? "rsa-2048" : "ec-p256",
            .store = "hsm",
            .databases = databases,
            .database_count = count,
        };
        assert_good(kw_certificate_create(server.context, &wanted, NULL, NULL, &error));
    }
}

static int set_up(void **state)
{
    (void)state;
    server_make(&server, "");
    FILE *file = fopen(server.configuration, "a");
    if (file == NULL || fputs("subkeys: {outage_limit: 1s}\n", file) < 0 || fclose(file) != 0)
        server_stop("configuration", NULL);
    if (server_open(&server, &error) != KW_OK)
        server_stop("set-up", &error);
    create_all();
    server_close(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_remove(&server);
    return 0;
}

static int open_server(void **state)
{
    (void)state;
    shim_disarm(server.control);
    return server_open(&server, &error) == KW_OK ? 0 : -1;
}

static int close_server(void **state)
{
    (void)state;
    shim_restore(server.control);
    shim_disarm(server.control);
    server_close(&server);
    return 0;
}

static kw_subkey *get(unsigned master, const char *purpose)
{
    kw_subkey *subkey = NULL;
    assert_good(kw_subkey_get(server.context, master_name(master), purpose, (kw_input){0}, &subkey, &error));
    return subkey;
}

/* A record there and back. */
static kw_status there_and_back(kw_subkey *subkey, unsigned number, kw_error *why)
{
    unsigned char plaintext[64] = {0}, sealed[256], opened[64];
    kw_output seal = {.data = sealed, .capacity = sizeof(sealed)}, open = {.data = opened, .capacity = sizeof(opened)};
    memcpy(plaintext, &number, sizeof(number));
    kw_status status = kw_seal(subkey, (kw_input){plaintext, sizeof(plaintext)}, (kw_input){0}, &seal, why);
    if (status == KW_OK)
        status = kw_unseal(subkey, (kw_input){sealed, seal.length}, (kw_input){0}, &open, why);
    if (status == KW_OK && (open.length != sizeof(plaintext) || memcmp(plaintext, opened, sizeof(plaintext)) != 0))
        status = KW_FAILED;
    return status;
}

static uint64_t unwraps(void)
{
    return shim_calls(server.control, SHIM_C_DeriveKey) + shim_calls(server.control, SHIM_C_Decrypt);
}

/* ---- Calls ---- */

static void seals_after_the_start_need_no_call(void **state)
{
    const unsigned count = test_is_full() ? 1000000 : 30000;
    (void)state;
    kw_subkey *subkey = get(0, "password");
    assert_good(there_and_back(subkey, 0, &error));
    const uint64_t before = shim_calls(server.control, SHIM_ANY);
    assert_true(before > 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(there_and_back(subkey, i, &error), KW_OK);
    for (unsigned i = 0; i < count / 100; i++) {
        char purpose[16];
        snprintf(purpose, sizeof(purpose), "p%u", i);
        kw_subkey *other = get(0, purpose);
        assert_int_equal(there_and_back(other, i, &error), KW_OK);
        kw_subkey_free(other);
    }
    assert_int_equal(shim_calls(server.control, SHIM_ANY), before);
    kw_subkey_free(subkey);
}

/* The first time, roots are made; after that a start costs one unwrapping for each master key that is used, and nothing for the others. */
static void start_each_master_key_that_is_used_is_unwrapped_once(void **state)
{
    for (unsigned i = 0; i < MASTERS; i++) {
        kw_subkey *subkey = get(i, "password");
        assert_good(there_and_back(subkey, i, &error));
        kw_subkey_free(subkey);
    }
    close_server(state);
    shim_forget_calls(server.control);
    assert_int_equal(open_server(state), 0);
    assert_int_equal(unwraps(), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < database_count(); i++) {
            char purpose[16];
            snprintf(purpose, sizeof(purpose), "db%u", i);
            kw_subkey *subkey = get(i % 2 == 0 ? 0 : 2, purpose);
            assert_good(there_and_back(subkey, i, &error));
            kw_subkey_free(subkey);
        }
        assert_int_equal(shim_calls(server.control, SHIM_C_DeriveKey), 1);
        assert_int_equal(shim_calls(server.control, SHIM_C_Decrypt), 1);
    }
    kw_subkey_free(get(1, "password"));
    assert_int_equal(unwraps(), 3);
}

static void *get_and_seal(void *good)
{
    kw_error why = {0};
    kw_subkey *subkey = NULL;
    if (kw_subkey_get(server.context, master_name(0), "password", (kw_input){0}, &subkey, &why) == KW_OK &&
        there_and_back(subkey, 1, &why) == KW_OK)
        atomic_fetch_add((atomic_uint *)good, 1);
    kw_subkey_free(subkey);
    return NULL;
}

static void stampede_all_wait_for_one_call(void **state)
{
    pthread_t threads[THREADS];
    atomic_uint good = 0;
    (void)state;
    shim_forget_calls(server.control);
    atomic_store(&server.control->rows[SHIM_C_DeriveKey].delay, 100000);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_and_seal, &good), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(good, THREADS);
    assert_int_equal(unwraps(), 1);
}

static void fork_the_child_seals_without_a_call(void **state)
{
    int code = -1;
    (void)state;
    kw_subkey *subkey = get(0, "password");
    assert_good(there_and_back(subkey, 0, &error));
    const uint64_t before = shim_calls(server.control, SHIM_ANY);
    const pid_t child = fork();
    if (child == 0) {
        bool good = true;
        for (unsigned i = 0; i < 1000 && good; i++)
            good = there_and_back(subkey, i, &error) == KW_OK;
        kw_subkey *own = NULL;
        good = good && kw_subkey_get(server.context, master_name(0), "own", (kw_input){0}, &own, &error) == KW_OK &&
               there_and_back(own, 1, &error) == KW_OK;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    assert_int_equal(shim_calls(server.control, SHIM_ANY), before);
    kw_subkey_free(subkey);
}

/* ---- Outage ---- */

static void wait_milliseconds(long milliseconds)
{
    const struct timespec pause = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static void outage_what_is_in_memory_serves_until_the_limit_and_goes_on_when_the_token_is_back(void **state)
{
    (void)state;
    kw_subkey *subkey = get(0, "password"), *other = NULL;
    assert_good(kw_subkeys_refresh(server.context, &error));
    assert_int_equal(server_outage(&server), 0);
    shim_drop(server.control);
    assert_good(there_and_back(subkey, 0, &error));
    assert_int_equal(kw_subkeys_refresh(server.context, &error), KW_UNAVAILABLE);
    const int64_t since = server_outage(&server), now = (int64_t)time(NULL);
    assert_true(since >= now - 2 && since <= now);
    for (unsigned i = 0; i < 100; i++)
        assert_good(there_and_back(subkey, i, &error));
    /* a root that is not in memory */
    assert_int_equal(kw_subkey_get(server.context, master_name(1), "password", (kw_input){0}, &other, &error),
                     KW_UNAVAILABLE);
    assert_true(error.message[0] != '\0');
    wait_milliseconds(1100);
    assert_int_equal(there_and_back(subkey, 0, &error), KW_UNAVAILABLE);
    assert_non_null(strstr(error.message, "has not been available since 20"));
    assert_non_null(strstr(error.message, "outage_limit"));
    assert_true(error.remedy[0] != '\0');
    const uint64_t before = shim_calls(server.control, SHIM_ANY);
    assert_int_equal(there_and_back(subkey, 0, &error), KW_UNAVAILABLE);
    assert_int_equal(shim_calls(server.control, SHIM_ANY), before);
    /* by itself, after the pause between two attempts */
    shim_restore(server.control);
    kw_status status = KW_UNAVAILABLE;
    for (unsigned i = 0; i < 100 && status == KW_UNAVAILABLE; i++) {
        wait_milliseconds(100);
        status = there_and_back(subkey, i, &error);
    }
    assert_int_equal(status, KW_OK);
    assert_int_equal(server_outage(&server), 0);
    assert_good(kw_subkey_get(server.context, master_name(1), "password", (kw_input){0}, &other, &error));
    kw_subkey_free(other);
    kw_subkey_free(subkey);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)
    const struct CMUnitTest tests[] = {
        CASE(start_each_master_key_that_is_used_is_unwrapped_once),
        CASE(seals_after_the_start_need_no_call),
        CASE(stampede_all_wait_for_one_call),
        CASE(fork_the_child_seals_without_a_call),
        CASE(outage_what_is_in_memory_serves_until_the_limit_and_goes_on_when_the_token_is_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
