/*
 * A key on its way from a softstore to a real token while the token is pulled out, its sessions end, or the process dies, at each of its calls:
 * it stays usable, nothing is left over, and the same once more ends it. Of the calls every so many by default, by KW_TEST_SEED; each
 * with KW_TEST_FULL=yes.
 */
#include "moving_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers that it needs */
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAXIMUM 1000

static struct server server;
static struct moving_key rsa, ec, p521;

static void open_server(void)
{
    kw_error error = {0};
    if (server_open(&server, &error) != KW_OK)
        server_stop("open", &error);
}

static int set_up(void **state)
{
    char options[500];
    (void)state;
    /* And a second store that leads to the same token. */
    snprintf(options, sizeof(options),
             ", timeout: 3s}\n  again:\n    id: \"0b1d02ac\"\n    plugin: pkcs11\n"
             "    options: {library: %s, token_label: %s, pin: \"file:pin\", timeout: 3s",
             SHIM, test_wanted("KW_TOKEN_LABEL"));
    server_make(&server, options);
    open_server();
    moving_make(&rsa, &server, "rsa", "RSA -pkeyopt rsa_keygen_bits:2048");
    moving_make(&ec, &server, "ec", "EC -pkeyopt ec_paramgen_curve:P-256");
    moving_make(&p521, &server, "p521", "EC -pkeyopt ec_paramgen_curve:P-521");
    server_close(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    moving_clear(&rsa);
    moving_clear(&ec);
    moving_clear(&p521);
    server_remove(&server);
    return 0;
}

static void assert_good(kw_status status, const kw_error *error, const char *what, unsigned at)
{
    if (status != KW_OK)
        fail_msg("call %u: %s: %s: %s", at, what, kw_status_text(status), error->message);
}

/* At rest: one copy, where the catalogue says, and nothing under way. */
static void assert_one_copy(struct moving_key *moving, unsigned at)
{
    const enum moving_where where = moving_where(moving);
    const struct holding held = server_held(&server);
    const long on_token = where == MOVING_ON_TOKEN, in_softstore = where == MOVING_IN_SOFTSTORE;
    if (where == MOVING_NOWHERE || held.private_keys != on_token || held.public_keys > on_token ||
        held.certificates > on_token || moving_in_softstore(moving) != in_softstore || moving_journal(moving) != 0)
        fail_msg("call %u: the key is %s, but on the token are %ld private keys, %ld public keys, %ld certificates, in "
                 "the softstore %ld keys, in the journal %ld rows",
                 at, where == MOVING_ON_TOKEN ? "on the token" : "in the softstore", held.private_keys,
                 held.public_keys, held.certificates, moving_in_softstore(moving), moving_journal(moving));
}

/* It decrypts at once, by a process that goes on; the same transfer ends; and a start leaves one copy. */
static void check_and_end(struct moving_key *moving, unsigned at)
{
    kw_error error = {0};
    assert_good(moving_decrypt(moving, &error), &error, "what was encrypted to the key stays closed", at);
    assert_good(moving_transfer(moving, &error), &error, "the same once more does not work", at);
    assert_int_equal(moving_where(moving), MOVING_ON_TOKEN);
    assert_good(moving_decrypt(moving, &error), &error, "what was encrypted to the key stays closed then", at);
    if (moving_journal(moving) != 0) {
        server_close(&server);
        open_server();
    }
    assert_one_copy(moving, at);
}

static unsigned step_of(unsigned step)
{
    return test_is_full() ? 1 : step;
}

/* In this process, which lives on; returns whether the action has met a call. */
static bool transfer_with(struct moving_key *moving, enum shim_action action, unsigned at)
{
    kw_error error = {0};
    open_server();
    moving_place(moving);
    shim_arm(server.control, SHIM_ANY, action, CKR_OK, at, 1);
    const kw_status status = moving_transfer(moving, &error);
    const bool met = shim_met(server.control, SHIM_ANY);
    if (status != KW_OK && status != KW_UNAVAILABLE && status != KW_TIMEOUT)
        fail_msg("call %u: this is not what a token that is away is called: %s: %s", at, kw_status_text(status),
                 error.message);
    if (status != KW_OK && (error.message[0] == '\0' || moving_where(moving) != MOVING_IN_SOFTSTORE))
        fail_msg("call %u: it failed, and the key is not where it was: %s", at, error.message);
    /* The token is away still: what is in the softstore works. */
    if (moving_where(moving) == MOVING_IN_SOFTSTORE)
        assert_good(moving_decrypt(moving, &error), &error, "the key does not work without the token", at);
    shim_disarm(server.control); /* it is back */
    check_and_end(moving, at);
    moving_remove(moving);
    server_close(&server);
    return met;
}

static void at_each_call(struct moving_key *moving, enum shim_action action, unsigned step)
{
    unsigned done = 0, at = 1 + test_seed() % step_of(step);
    for (; at < CALLS_MAXIMUM && transfer_with(moving, action, at); at += step_of(step))
        done++;
    printf("%u of some %u calls\n", done, at);
    assert_true(done >= 2);
}

static void token_pulled_out_before_a_call_loses_nothing(void **state)
{
    (void)state;
    at_each_call(&rsa, SHIM_DROP, 31);
    at_each_call(&ec, SHIM_DROP, 19);
}

static void token_pulled_out_after_a_call_loses_nothing(void **state)
{
    (void)state;
    at_each_call(&rsa, SHIM_DROP_AFTER, 31);
    at_each_call(&ec, SHIM_DROP_AFTER, 19);
}

static void sessions_that_end_at_a_call_lose_nothing(void **state)
{
    (void)state;
    at_each_call(&rsa, SHIM_RENEW, 31);
    at_each_call(&ec, SHIM_RENEW, 19);
}

/* A process of its own dies at the call; with `pulled`, the token goes away at the same moment, and the next start is without it. */
static bool die_at(struct moving_key *moving, enum shim_action action, unsigned at, bool pulled)
{
    kw_error error = {0};
    int status = 0;
    open_server();
    moving_place(moving);
    server_close(&server);
    const pid_t child = fork();
    if (child == 0) {
        open_server();
        shim_arm(server.control, SHIM_ANY, action, CKR_OK, at, 1);
        _exit(moving_transfer(moving, &error) == KW_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    shim_disarm(server.control);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    if (pulled) {
        shim_drop(server.control);
        open_server();
        if (moving_where(moving) == MOVING_IN_SOFTSTORE)
            assert_good(moving_decrypt(moving, &error), &error, "the key does not work without the token", at);
        server_close(&server);
        shim_restore(server.control);
    }
    open_server();
    assert_one_copy(moving, at);
    check_and_end(moving, at);
    moving_remove(moving);
    server_close(&server);
    return WIFSIGNALED(status);
}

static void kill_at_each_call(struct moving_key *moving, unsigned step)
{
    unsigned killed = 0, at = 1 + test_seed() % step_of(step);
    for (; at < CALLS_MAXIMUM; at += step_of(step), killed++)
        if (!die_at(moving, at % 2 == 0 ? SHIM_CRASH : SHIM_CRASH_AFTER, at, at % 4 < 2))
            break;
    printf("killed at %u of some %u calls\n", killed, at);
    assert_true(killed >= 2);
}

static void process_killed_at_a_call_loses_nothing(void **state)
{
    (void)state;
    kill_at_each_call(&rsa, 31);
    kill_at_each_call(&ec, 19);
}

/* A token that takes private keys wrapped alone, as C_UnwrapKey's result; SoftHSM does not do so by AES-CBC, and is asked a second time. */
static void key_that_cannot_be_created_is_unwrapped(void **state)
{
    static const CK_RV signs[] = {CKR_TEMPLATE_INCONSISTENT, CKR_FUNCTION_NOT_SUPPORTED};
    struct moving_key *const keys[] = {&rsa, &ec};
    kw_error error = {0};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        open_server();
        moving_place(keys[i]);
        shim_forget_calls(server.control);
        shim_arm(server.control, SHIM_PRIVATE, SHIM_FAIL, signs[i], 1, SHIM_ALWAYS);
        assert_good(moving_transfer(keys[i], &error), &error, "the key is not unwrapped", i);
        shim_disarm(server.control);
        assert_true(shim_calls(server.control, SHIM_PRIVATE) > 0);
        assert_in_range(shim_calls(server.control, SHIM_C_UnwrapKey), 1, 2);
        check_and_end(keys[i], i);
        moving_remove(keys[i]);
        server_close(&server);
    }
}

/* The proof has no more room for an answer than those who use the key: one that cannot sign for them there stays. */
static void key_of_an_uncommon_size_works_wherever_it_is(void **state)
{
    kw_error error = {0};
    kw_key *key = NULL;
    (void)state;
    open_server();
    moving_place(&p521);
    const kw_status status = moving_transfer(&p521, &error);
    assert_true(status == KW_OK || status == KW_REFUSED || status == KW_FAILED);
    assert_int_equal(moving_where(&p521), status == KW_OK ? MOVING_ON_TOKEN : MOVING_IN_SOFTSTORE);
    assert_good(moving_decrypt(&p521, &error), &error, "decrypt", 0);
    assert_good(kw_key_open(server.context, MOVING_ADDRESS, &key, &error), &error, "open", 0);
    for (unsigned char i = 0; i < 20; i++)
        assert_good(server_sign(key, i, &error), &error, "sign", i);
    kw_key_free(key);
    moving_remove(&p521);
    server_close(&server);
}

/* Whoever deleted the one certificate would delete the other's key. */
static void key_is_not_adopted_by_way_of_another_store(void **state)
{
    kw_error error = {0};
    kw_store_key_list *list = NULL;
    kw_adopt_options options = {.size = sizeof(options), .store = "again", .address = "general/again"};
    (void)state;
    open_server();
    moving_place(&ec);
    assert_good(moving_transfer(&ec, &error), &error, "transfer", 0);
    assert_good(kw_store_keys(server.context, "again", &list, &error), &error, "list", 0);
    assert_int_equal(list->count, 1);
    assert_non_null(list->keys[0].problem);
    assert_non_null(strstr(list->keys[0].problem, "store 'hsm'"));
    options.locator = list->keys[0].locator;
    assert_int_equal(kw_adopt(server.context, &options, NULL, NULL, &error), KW_EXISTS);
    assert_non_null(strstr(error.message, "store 'hsm'"));
    kw_store_key_list_free(list);
    moving_remove(&ec);
    server_close(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_that_cannot_be_created_is_unwrapped),
        cmocka_unit_test(key_of_an_uncommon_size_works_wherever_it_is),
        cmocka_unit_test(key_is_not_adopted_by_way_of_another_store),
        cmocka_unit_test(token_pulled_out_before_a_call_loses_nothing),
        cmocka_unit_test(token_pulled_out_after_a_call_loses_nothing),
        cmocka_unit_test(sessions_that_end_at_a_call_lose_nothing),
        cmocka_unit_test(process_killed_at_a_call_loses_nothing),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests_name("a key on its way to a token", tests, set_up, tear_down);
}
