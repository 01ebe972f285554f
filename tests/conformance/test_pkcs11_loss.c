/* What pkcs11 does when sessions, the login or the token go, and come back. On a SoftHSM token. */
#include "pkcs11.h"
#include "pkcs11_scene.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const struct key_variant p256 = {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256};

/* The module's own list, as another part of the process may use it. */
static const CK_FUNCTION_LIST *module_functions(void)
{
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *list = NULL;
    void *module = dlopen(scene_environment("KW_TOKEN_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    void *symbol = dlsym(module, "C_GetFunctionList");
    assert_non_null(symbol);
    memcpy(&get, &symbol, sizeof(get));
    assert_int_equal(get(&list), CKR_OK);
    return list;
}

static CK_SLOT_ID find_slot(const CK_FUNCTION_LIST *list)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    const char *label = scene_environment("KW_TOKEN_LABEL");
    assert_int_equal(list->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        assert_int_equal(list->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (strncmp((const char *)info.label, label, strlen(label)) == 0)
            return slots[i];
    }
    fail_msg("there is no slot");
    return 0;
}

static void sign_after_sessions_were_closed_renews_them(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    const CK_FUNCTION_LIST *list = module_functions();
    CK_SLOT_ID slot = find_slot(list);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
        assert_int_equal(scene_sign(kit, &key), KW_OK);
    }
    assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
    struct test_key another;
    scene_make_key(kit, &another);
    test_key_free(kit, &another);
    assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
    test_key_free(kit, &key);
    /* once for each login, since it is the host that knows whether the PIN may be sent */
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1 + 5);
}

struct crowd {
    struct kit *kit;
    const struct test_key *key;
    atomic_uint wrong;
    unsigned rounds;
};

static void *sign_on(void *argument)
{
    struct crowd *crowd = argument;
    for (unsigned round = 0; round < crowd->rounds; round++)
        if (scene_sign(crowd->kit, crowd->key) != KW_OK)
            atomic_fetch_add(&crowd->wrong, 1);
    return NULL;
}

static void sign_in_threads_while_sessions_are_closed_loses_none(void **state)
{
    enum { THREADS = 6 };
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    pthread_t threads[THREADS];
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    struct crowd crowd = {.kit = kit, .key = &key, .rounds = 60};
    const CK_FUNCTION_LIST *list = module_functions();
    CK_SLOT_ID slot = find_slot(list);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_on, &crowd), 0);
    for (int i = 0; i < 5; i++) {
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        /* Between operations: SoftHSM itself crashes when a session is closed in the middle of one. */
        assert_true(p11_gate_shut(&kit->instance->module->gate, 5000));
        assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
        p11_gate_open(&kit->instance->module->gate);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (atomic_load(&crowd.wrong) != 0)
        fail_msg("%u signatures failed: %s", atomic_load(&crowd.wrong), kit->host.sentence);
    test_key_free(kit, &key);
}

static void token_directory(char path[300])
{
    char line[512] = "";
    FILE *file = fopen(scene_environment("SOFTHSM2_CONF"), "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "directories.tokendir = %290s", path) == 1)
            break;
    fclose(file);
}

/* Takes the tokens' directory away, and brings it back. */
static void move_tokens(bool away)
{
    char from[300] = "", to[320];
    token_directory(from);
    snprintf(to, sizeof(to), "%s.away", from);
    assert_int_equal(away ? rename(from, to) : rename(to, from), 0);
    if (away)
        assert_int_equal(mkdir(from, 0700), 0);
}

static void remove_empty(void)
{
    char path[300] = "";
    token_directory(path);
    /* SoftHSM may have put its lock files there */
    const char *const arguments[] = {"rm", "-rf", "--", path, NULL};
    scene_run(arguments);
}

/* Before the module is loaded, which then knows it. */
static char first_token[300], second_token[300];

static int make_second_token(void **state)
{
    const char *const arguments[] = {"softhsm2-util",
                                     "--init-token",
                                     "--free",
                                     "--label",
                                     "second",
                                     "--so-pin",
                                     "1234",
                                     "--pin",
                                     scene_environment("KW_TOKEN_PIN"),
                                     NULL};
    char path[300] = "";
    glob_t found = {0};
    (void)state;
    token_directory(path);
    strncat(path, "/*-*-*", sizeof(path) - strlen(path) - 1);
    if (glob(path, 0, NULL, &found) != 0 || found.gl_pathc != 1)
        return -1;
    snprintf(first_token, sizeof(first_token), "%s", found.gl_pathv[0]);
    globfree(&found);
    scene_run(arguments);
    if (glob(path, 0, NULL, &found) != 0 || found.gl_pathc != 2)
        return -1;
    snprintf(second_token, sizeof(second_token), "%s",
             found.gl_pathv[strcmp(found.gl_pathv[0], first_token) == 0 ? 1 : 0]);
    globfree(&found);
    return 0;
}

static void token_that_comes_back_is_used_again(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    kw_status status = KW_UNAVAILABLE;
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    move_tokens(true);
    status = scene_sign(kit, &key);
    char sentence[sizeof(kit->host.sentence)];
    memcpy(sentence, kit->host.sentence, sizeof(sentence));
    kw_status health = kit->operations.health(kit->instance, &kit->call);
    remove_empty();
    move_tokens(false);
    if (status != KW_UNAVAILABLE)
        fail_msg("without the token: %s, %s", status_name(status), sentence);
    assert_non_null(strstr(sentence, scene_environment("KW_TOKEN_LABEL")));
    assert_int_equal(health, KW_UNAVAILABLE);
    for (int attempt = 0; attempt < 40 && status == KW_UNAVAILABLE; attempt++) {
        struct timespec pause = {.tv_nsec = 100000000};
        nanosleep(&pause, NULL);
        status = scene_sign(kit, &key);
    }
    if (status != KW_OK)
        fail_msg("with the token again: %s, %s", status_name(status), kit->host.sentence);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 2);
    test_key_free(kit, &key);
}

/*
 * To see a token that came back SoftHSM is started anew. Whoever uses another of its tokens notices nothing, and is asked for no PIN: the first
 * time it is logged in again, and then there is a pause.
 */
static void token_that_goes_leaves_the_others_logged_in(void **state)
{
    struct scene *stays = *state, *goes = NULL;
    struct test_key key, lost_key;
    char directory[300] = "", away[320];
    kw_status status = KW_OK;
    token_directory(directory);
    snprintf(away, sizeof(away), "%s.gone", directory);
    assert_int_equal(scene_new((void **)&goes), 0);
    scene_set(goes, "token_label", "second", 0);
    assert_int_equal(scene_open(&stays->kit), KW_OK);
    assert_int_equal(scene_open(&goes->kit), KW_OK);
    scene_make_key(&stays->kit, &key);
    scene_make_key(&goes->kit, &lost_key);
    assert_int_equal(rename(second_token, away), 0);
    for (int round = 0; round < 5; round++) {
        if (scene_sign(&goes->kit, &lost_key) == KW_OK)
            status = KW_FAILED;
        if (scene_sign(&stays->kit, &key) != KW_OK)
            status = KW_UNAVAILABLE;
    }
    assert_int_equal(rename(away, second_token), 0);
    assert_int_equal(status, KW_OK);
    assert_int_equal(atomic_load(&stays->kit.host.secret_requests), 1);
    /* With nobody else on the module it may be started anew at once. */
    test_key_free(&stays->kit, &key);
    stays->kit.operations.close(stays->kit.instance);
    stays->kit.instance = NULL;
    for (int attempt = 0; attempt < 40; attempt++) {
        const struct timespec pause = {.tv_nsec = 100000000};
        status = scene_sign(&goes->kit, &lost_key);
        if (status == KW_OK)
            break;
        nanosleep(&pause, NULL);
    }
    if (status != KW_OK)
        fail_msg("with the token again: %s, %s", status_name(status), goes->kit.host.sentence);
    test_key_free(&goes->kit, &lost_key);
    assert_int_equal(scene_free((void **)&goes), 0);
}

/*
 * Another process is making a key and hangs: it keeps the lock on the module's file. Signatures go on; making keys waits, up to its deadline
 * or, where it has none, the store's timeout.
 */
static void make_key_while_another_process_does_waits(void **state)
{
    struct scene *scene = *state;
    struct kit *kit = &scene->kit;
    struct test_key key, another;
    scene_set(scene, "timeout", "100ms", 100);
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    kw_key_template wanted = template_new(kit, &p256);
    struct locator locator;
    int lock = open(scene_environment("KW_TOKEN_LIBRARY"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    kit->call.deadline = kit->host.table.clock(kit->host.table.context) + 40;
    kw_status late = generate(kit, kit->instance, &wanted, &locator);
    kit->call.deadline = 0;
    kw_status signature = scene_sign(kit, &key);
    uint64_t before = kit->host.table.clock(kit->host.table.context);
    bool made = test_key_new(kit, GENERATE_EACH, &p256, &another);
    uint64_t waited = kit->host.table.clock(kit->host.table.context) - before;
    close(lock);
    assert_int_equal(late, KW_TIMEOUT);
    assert_int_equal(signature, KW_OK);
    assert_true(made);
    assert_in_range(waited, 100, 5000);
    test_key_free(kit, &another);
    test_key_free(kit, &key);
}

/* As tpm2-pkcs11 needs it, tried on SoftHSM, which does not: parent and child initialize the module anew, and log in. */
static void sign_after_a_fork_that_ended_the_module(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    int ended = -1;
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    p11_module_first()->manners.ends_at_fork = true;
    kit_host_lock(&kit->host);
    pid_t child = fork();
    kit_host_unlock(&kit->host);
    p11_module_first()->manners.ends_at_fork = false;
    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        bool signs = scene_sign(kit, &key) == KW_OK && atomic_load(&kit->host.secret_requests) == 2;
        execlp(signs ? "true" : "false", "child", (char *)NULL); /* not _exit: see check_fork.c */
        _exit(1);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    assert_int_equal(scene_sign(kit, &key), KW_OK);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 2);
    test_key_free(kit, &key);
}

/* A server may start while the token is away; then no token has been used, and the module knows of none, or of others alone. */
static void open_finds_a_token_that_came_after_the_start(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    char directory[300] = "", away[320];
    token_directory(directory);
    snprintf(away, sizeof(away), "%s.gone", directory);
    for (int others = 0; others < 2; others++) {
        int ended = -1;
        const pid_t child = fork(); /* where the module is not loaded yet */
        assert_true(child >= 0);
        if (child == 0) {
            alarm(30);
            if (others != 0 ? rename(first_token, away) != 0 : (move_tokens(true), false))
                _exit(2);
            kw_status status = scene_open(kit);
            const bool missed = status == (others != 0 ? KW_CONFIGURATION : KW_UNAVAILABLE);
            if (others == 0) {
                remove_empty();
                move_tokens(false);
            } else if (rename(away, first_token) != 0)
                _exit(3);
            for (int attempt = 0; attempt < 40 && status != KW_OK; attempt++) {
                const struct timespec pause = {.tv_nsec = 100000000};
                nanosleep(&pause, NULL);
                status = scene_open(kit);
            }
            execlp(missed && status == KW_OK ? "true" : "false", "child", (char *)NULL);
            _exit(1);
        }
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_int_equal(ended, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(open_finds_a_token_that_came_after_the_start, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(sign_after_sessions_were_closed_renews_them, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(sign_in_threads_while_sessions_are_closed_loses_none, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(make_key_while_another_process_does_waits, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(sign_after_a_fork_that_ended_the_module, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(token_that_comes_back_is_used_again, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(token_that_goes_leaves_the_others_logged_in, scene_new, scene_free),
    };
    return cmocka_run_group_tests(tests, make_second_token, NULL);
}
