/*
 * Copies of keys in sessions: what is signed with one is right, the calls stay as few as they were, and a key that the token has no longer, or
 * denies, signs no more, whoever took it away. Each test begins with a store that was just opened.
 */
#include "server.h"
#include "token.h"

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

#define KEY  "general/ec"
#define USES 128 /* signatures of a session that a copy would have made until there is one */

static struct server server;
static kw_key *key;

/* ---- Set-up ---- */

#define OPTION       ", key_copies: "
#define OPTION_WIDTH 18

/* One server for all tests, since a module that is loaded stays. */
static int set_up_all(void **state)
{
    (void)state;
    server_make(&server, OPTION "10ms, sessions: 4");
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    server_remove(&server);
    return 0;
}

/* The option is exchanged where it stands, by as many bytes. */
static void write_option(const char *option)
{
    static char text[65536];
    FILE *file = fopen(server.configuration, "r+");
    const size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[length] = '\0';
    static long place;
    const char *found = strstr(text, OPTION);
    if (found != NULL)
        place = found - text;
    if (file == NULL || place == 0 || fseek(file, place, SEEK_SET) != 0 ||
        fprintf(file, "%-*s", OPTION_WIDTH, option) != OPTION_WIDTH || fclose(file) != 0)
        server_stop("the configuration cannot be written", NULL);
}

/* The store with this option, and the key. */
static void open_with(const char *option)
{
    kw_error error = {0};
    write_option(option);
    if (server_open(&server, &error) != KW_OK || server_create(&server, KEY, "ec-p256", &error) != KW_OK ||
        kw_key_open(server.context, KEY, &key, &error) != KW_OK)
        server_stop("set-up", &error);
}

/* The longest time that there is: what ends it in these tests is not that it has passed. */
static int open_for_long(void **state)
{
    (void)state;
    open_with(OPTION "1s");
    return 0;
}

static int open_by_default(void **state)
{
    (void)state;
    open_with("");
    return 0;
}

static int open_for_a_moment(void **state)
{
    (void)state;
    open_with(OPTION "1ms");
    return 0;
}

static int open_without(void **state)
{
    (void)state;
    open_with(OPTION "0s");
    return 0;
}

static int tear_down(void **state)
{
    kw_error error = {0};
    (void)state;
    shim_disarm(server.control);
    kw_key_free(key);
    key = NULL;
    const kw_status status = kw_certificate_delete(server.context, KEY, true, &error);
    if (status != KW_OK && status != KW_NOT_FOUND)
        server_stop("tear-down", &error);
    server_close(&server);
    return 0;
}

/* ---- Signing ---- */

static void sign_right(unsigned count)
{
    kw_error error = {0};
    for (unsigned i = 0; i < count; i++)
        if (server_sign(key, (unsigned char)i, &error) != KW_OK)
            fail_msg("signature %u: %s", i, error.message);
}

static uint64_t calls(enum shim_function function)
{
    return shim_calls(server.control, function);
}

/* The session makes its copy, and uses it. On a machine that has much to do some signatures come too late to count. */
static void warm_up(void)
{
    const uint64_t before = calls(SHIM_C_CopyObject);
    for (unsigned i = 0; i < 10 * USES && calls(SHIM_C_CopyObject) == before; i++)
        sign_right(1);
    assert_int_equal(calls(SHIM_C_CopyObject), before + 1);
    sign_right(2);
}

/* The module itself, without the shim: to the plugin it is another program, but one that sees what is in this process' sessions. */
static struct token beside(void)
{
    struct token token = {.session = 0};
    if (!token_open(&token, test_wanted("KW_TOKEN_LIBRARY"), NULL, test_wanted("KW_TOKEN_LABEL")) ||
        token_login(&token, test_wanted("KW_TOKEN_PIN")) != CKR_OK)
        server_stop("the token cannot be opened", NULL);
    return token;
}

/* On the token, and in this process' sessions; with an attribute, where one is given. The first four are in `found`. */
static long find_keys(struct token *token, const CK_ATTRIBUTE *attribute, CK_OBJECT_HANDLE found[4])
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, NULL, 0}};
    CK_ULONG count = 0;
    if (attribute != NULL)
        template[1] = *attribute;
    assert_int_equal(token->functions->C_FindObjectsInit(token->session, template, attribute != NULL ? 2 : 1), CKR_OK);
    assert_int_equal(token->functions->C_FindObjects(token->session, found, 4, &count), CKR_OK);
    assert_int_equal(token->functions->C_FindObjectsFinal(token->session), CKR_OK);
    return (long)count;
}

static long keys_with(const CK_ATTRIBUTE *attribute)
{
    CK_OBJECT_HANDLE found[4];
    struct token token = beside();
    const long count = find_keys(&token, attribute, found);
    token.functions->C_CloseSession(token.session);
    return count;
}

static long private_keys_here(void)
{
    return keys_with(NULL);
}

static void destroy_the_key(void)
{
    CK_OBJECT_HANDLE found[4];
    CK_BBOOL yes = CK_TRUE;
    struct token token = beside();
    assert_int_equal(find_keys(&token, &(CK_ATTRIBUTE){CKA_TOKEN, &yes, sizeof(yes)}, found), 1);
    assert_int_equal(token.functions->C_DestroyObject(token.session, found[0]), CKR_OK);
    assert_int_equal(token.functions->C_CloseSession(token.session), CKR_OK);
}

static void pause_for(long milliseconds)
{
    const struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* ---- Tests ---- */

static void few_calls(void **state)
{
    (void)state;
    shim_forget_calls(server.control);
    sign_right(USES / 2);
    assert_int_equal(calls(SHIM_C_CopyObject), 0);
    warm_up();
    sign_right(2 * USES);
    assert_int_equal(calls(SHIM_C_CopyObject), 1);
    assert_int_equal(calls(SHIM_C_GetAttributeValue), 2);
    assert_int_equal(calls(SHIM_C_DestroyObject) + calls(SHIM_C_FindObjects) + calls(SHIM_C_OpenSession), 0);
    assert_int_equal(calls(SHIM_C_SignInit), calls(SHIM_C_Sign));
    const uint64_t signatures = calls(SHIM_C_Sign);
    sign_right(10);
    assert_int_equal(calls(SHIM_C_Sign), signatures + 10);
}

static void no_copies_where_none_are_wanted(void **state)
{
    (void)state;
    shim_forget_calls(server.control);
    sign_right(2 * USES);
    assert_int_equal(calls(SHIM_C_CopyObject), 0);
}

static void what_signs_now_and_then_has_no_copy(void **state)
{
    (void)state;
    shim_forget_calls(server.control);
    for (unsigned i = 0; i < 2 * USES; i++) {
        pause_for(2);
        sign_right(1);
    }
    assert_int_equal(calls(SHIM_C_CopyObject), 0);
}

/* Beside the key there is one more in this process while the store is open, and it has neither its id nor its label. */
static void a_copy_is_nobody_elses(void **state)
{
    kw_error error = {0};
    (void)state;
    const long before = private_keys_here();
    warm_up();
    assert_int_equal(private_keys_here(), before + 1);
    assert_int_equal(server_held(&server).private_keys, 1);
    assert_int_equal(keys_with(&(CK_ATTRIBUTE){CKA_ID, NULL, 0}), 1);
    assert_int_equal(keys_with(&(CK_ATTRIBUTE){CKA_LABEL, NULL, 0}), 1);
    kw_key_free(key);
    key = NULL;
    server_close(&server);
    assert_int_equal(private_keys_here(), before);
    assert_int_equal(server_open(&server, &error), KW_OK);
}

static void deleted_here_it_signs_no_more(void **state)
{
    kw_error error = {0};
    (void)state;
    const long before = private_keys_here();
    warm_up();
    assert_int_equal(private_keys_here(), before + 1);
    assert_int_equal(kw_certificate_delete(server.context, KEY, true, &error), KW_OK);
    assert_int_equal(private_keys_here(), before - 1); /* nor is there the copy */
    assert_int_equal(server_sign(key, 1, &error), KW_NOT_FOUND);
    assert_int_equal(server_sign(key, 1, &error), KW_NOT_FOUND);
}

/* Whatever this process changes on the token, the next signature asks it. */
static void a_change_here_ends_its_time(void **state)
{
    kw_error error = {0};
    (void)state;
    warm_up();
    destroy_the_key();
    assert_int_equal(server_create(&server, "general/other", "ec-p256", &error), KW_OK);
    assert_int_equal(server_sign(key, 1, &error), KW_NOT_FOUND);
    assert_int_equal(kw_certificate_delete(server.context, "general/other", true, &error), KW_OK);
}

static void deleted_by_another_program_it_signs_no_more(void **state)
{
    kw_error error = {0};
    (void)state;
    const long before = private_keys_here();
    warm_up();
    destroy_the_key();
    pause_for(20); /* twice as long as a copy is used */
    assert_int_equal(server_sign(key, 1, &error), KW_NOT_FOUND);
    assert_int_equal(server_sign(key, 1, &error), KW_NOT_FOUND);
    assert_int_equal(private_keys_here(), before - 1);
}

/* Signatures without a pause: the time counts from when the token showed the key, not from the last one. */
static void a_busy_copy_is_no_exception(void **state)
{
    kw_error error = {0};
    kw_status status = KW_OK;
    (void)state;
    warm_up();
    destroy_the_key();
    const double begin = test_seconds();
    while (status == KW_OK && test_seconds() - begin < 10)
        status = server_sign(key, 1, &error);
    assert_int_equal(status, KW_NOT_FOUND);
}

static void a_token_that_makes_none_is_asked_once(void **state)
{
    (void)state;
    shim_forget_calls(server.control);
    shim_arm(server.control, SHIM_C_CopyObject, SHIM_FAIL, CKR_FUNCTION_NOT_SUPPORTED, 1, SHIM_ALWAYS);
    warm_up();
    sign_right(2 * USES);
    assert_int_equal(calls(SHIM_C_CopyObject), 1);
}

/* A length that is not true where the copy's traits are read: what cannot be seen to be as safe as the key is not used. */
static void a_doubtful_copy_is_destroyed(void **state)
{
    (void)state;
    const long before = private_keys_here();
    shim_forget_calls(server.control);
    shim_arm(server.control, SHIM_C_GetAttributeValue, SHIM_SHORTER, CKR_OK, 2, 1);
    warm_up();
    sign_right(2 * USES);
    assert_int_equal(calls(SHIM_C_CopyObject), 1);
    assert_int_equal(calls(SHIM_C_DestroyObject), 1);
    assert_int_equal(private_keys_here(), before);
}

/* Whatever a call answers that was made with a copy, the key signs, without a new login, and has no copies from then on. */
static void what_fails_with_a_copy_is_done_with_the_key(void **state)
{
    static const struct {
        enum shim_function function;
        CK_RV answer;
    } cases[] = {
        {SHIM_C_SignInit, CKR_KEY_HANDLE_INVALID}, {SHIM_C_SignInit, CKR_FUNCTION_FAILED},
        {SHIM_C_Sign, CKR_OBJECT_HANDLE_INVALID},  {SHIM_C_Sign, CKR_GENERAL_ERROR},
        {SHIM_C_Sign, CKR_KEY_TYPE_INCONSISTENT},
    };
    kw_error error = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool met = false;
        warm_up();
        /* At once, unless the time of the copy was just over. */
        for (unsigned tries = 0; tries < 10 && !met; tries++) {
            sign_right(1);
            shim_forget_calls(server.control);
            shim_arm(server.control, cases[i].function, SHIM_FAIL, cases[i].answer, 1, 1);
            assert_int_equal(server_sign(key, 1, &error), KW_OK);
            met = calls(SHIM_C_OpenSession) == 1 && calls(SHIM_C_SignInit) == 2;
        }
        assert_true(met);
        assert_int_equal(calls(SHIM_C_Login) + calls(SHIM_C_FindObjects), 0);
        shim_disarm(server.control);
        sign_right(USES + USES / 4);
        assert_int_equal(calls(SHIM_C_CopyObject), 0);
        kw_key_free(key);
        key = NULL;
        server_close(&server);
        assert_int_equal(server_open(&server, &error), KW_OK);
        assert_int_equal(kw_key_open(server.context, KEY, &key, &error), KW_OK);
    }
}

static void sessions_that_end_take_their_copies(void **state)
{
    (void)state;
    warm_up();
    for (unsigned i = 0; i < 3; i++) {
        shim_renew(server.control);
        sign_right(1);
        warm_up();
    }
    shim_drop(server.control);
    kw_error error = {0};
    assert_int_equal(server_sign(key, 1, &error), KW_UNAVAILABLE);
    shim_restore(server.control);
    sign_right(1);
    warm_up();
}

struct signer {
    kw_error error;
    kw_status status;
    atomic_bool *stop;
    unsigned made;
};

static void *sign_on(void *argument)
{
    struct signer *signer = argument;
    while (!atomic_load(signer->stop) && signer->status == KW_OK) {
        signer->status = server_sign(key, (unsigned char)signer->made, &signer->error);
        signer->made++;
    }
    return NULL;
}

/* Threads sign while sessions end at random and certificates come and go, which ends the time of all copies. */
static void threads_and_sessions_that_end(void **state)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    struct signer signers[THREADS];
    atomic_bool stop = false;
    const unsigned rounds = test_is_full() ? 40 : 4;
    kw_error error = {0};
    (void)state;
    srandom(test_seed());
    for (unsigned i = 0; i < THREADS; i++) {
        signers[i] = (struct signer){.stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, sign_on, &signers[i]), 0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        pause_for(random() % 200);
        shim_renew(server.control);
        pause_for(random() % 200);
        const kw_status made = server_create(&server, "general/other", "ec-p256", &error);
        if (made == KW_OK && kw_certificate_delete(server.context, "general/other", true, &error) != KW_OK)
            print_message("the other key stays: %s\n", error.message); /* which may be, with its session ended */
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        if (signers[i].status != KW_OK)
            fail_msg("signature %u: %s", signers[i].made, signers[i].error.message);
}

static void *open_on(void *argument)
{
    struct signer *opener = argument;
    while (!atomic_load(opener->stop) && opener->status == KW_OK) {
        kw_key *again = NULL;
        opener->status = kw_key_open(server.context, KEY, &again, &opener->error);
        kw_key_free(again);
    }
    return NULL;
}

/* SoftHSM shows a copy that is being made as a second key on the token: who searches waits. */
static void nobody_searches_while_one_is_made(void **state)
{
    pthread_t threads[2];
    atomic_bool stop = false;
    struct signer opener = {.stop = &stop}, signer = {.stop = &stop};
    (void)state;
    shim_forget_calls(server.control);
    atomic_store(&server.control->rows[SHIM_C_CopyObject].delay, 300000);
    assert_int_equal(pthread_create(&threads[0], NULL, open_on, &opener), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, sign_on, &signer), 0);
    for (unsigned i = 0; i < 10000 && calls(SHIM_C_CopyObject) == 0; i++)
        pause_for(1);
    const uint64_t searches = calls(SHIM_C_FindObjectsInit);
    pause_for(100);
    const uint64_t later = calls(SHIM_C_FindObjectsInit), made = calls(SHIM_C_CopyObject);
    pause_for(500);
    const uint64_t afterwards = calls(SHIM_C_FindObjectsInit);
    atomic_store(&stop, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_int_equal(made, 1);
    assert_int_equal(later, searches);
    assert_true(afterwards > later);
    assert_int_equal(opener.status, KW_OK);
    assert_int_equal(signer.status, KW_OK);
}

static void a_fork_makes_its_own(void **state)
{
    int status = 0;
    (void)state;
    warm_up();
    shim_forget_calls(server.control);
    const pid_t child = fork();
    if (child == 0) {
        kw_error error = {0};
        bool good = true;
        for (unsigned i = 0; good && i < 10 * USES && calls(SHIM_C_CopyObject) == 0; i++)
            good = server_sign(key, (unsigned char)i, &error) == KW_OK;
        good = good && calls(SHIM_C_CopyObject) == 1 && server_sign(key, 1, &error) == KW_OK;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    sign_right(2 * USES);
    assert_int_equal(calls(SHIM_C_CopyObject), 1);
}

int main(void)
{
#define LONG(test) cmocka_unit_test_setup_teardown(test, open_for_long, tear_down)
    const struct CMUnitTest tests[] = {
        LONG(few_calls),
        cmocka_unit_test_setup_teardown(no_copies_where_none_are_wanted, open_without, tear_down),
        cmocka_unit_test_setup_teardown(what_signs_now_and_then_has_no_copy, open_for_a_moment, tear_down),
        LONG(a_copy_is_nobody_elses),
        LONG(deleted_here_it_signs_no_more),
        LONG(a_change_here_ends_its_time),
        cmocka_unit_test_setup_teardown(deleted_by_another_program_it_signs_no_more, open_by_default, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_copy_is_no_exception, open_by_default, tear_down),
        LONG(a_token_that_makes_none_is_asked_once),
        LONG(a_doubtful_copy_is_destroyed),
        LONG(what_fails_with_a_copy_is_done_with_the_key),
        LONG(sessions_that_end_take_their_copies),
        LONG(threads_and_sessions_that_end),
        LONG(nobody_searches_while_one_is_made),
        LONG(a_fork_makes_its_own),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
