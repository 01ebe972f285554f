/* The PKCS#11 shim itself, on a SoftHSM token: with_token.sh softhsm test_pkcs11_shim. */
#include "pkcs11_control.h"
#include "token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers that it needs */
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shim_control *control;
static struct token token;
static CK_OBJECT_HANDLE key;
static const unsigned char id[] = {7};

static const char *wanted(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fail_msg("%s is not set: run this by with_token.sh", name);
    return value;
}

static CK_RV sign(CK_ULONG *length)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_BYTE digest[32] = {1}, signature[64];
    CK_ULONG own = sizeof(signature);
    CK_ULONG *room = length != NULL ? length : &own;
    *room = sizeof(signature);
    const CK_RV rv = token.functions->C_SignInit(token.session, &mechanism, key);
    return rv != CKR_OK ? rv : token.functions->C_Sign(token.session, digest, sizeof(digest), signature, room);
}

static int set_up_group(void **state)
{
    char path[256];
    (void)state;
    snprintf(path, sizeof(path), "%s/shim-XXXXXX", wanted("TMPDIR"));
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    control = shim_create(path);
    assert_non_null(control);
    setenv(SHIM_CONTROL_VARIABLE, path, 1);
    setenv(SHIM_MODULE_VARIABLE, wanted("KW_TOKEN_LIBRARY"), 1);
    assert_true(token_open(&token, SHIM, NULL, wanted("KW_TOKEN_LABEL")));
    unlink(path);
    assert_int_equal(token_login(&token, wanted("KW_TOKEN_PIN")), CKR_OK);
    assert_int_equal(token_generate(&token, 0, "shim", id, sizeof(id)), CKR_OK);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    shim_disarm(control);
    token.functions->C_CloseAllSessions(token.slot);
    assert_int_equal(token_login(&token, wanted("KW_TOKEN_PIN")), CKR_OK);
    assert_int_equal(token_find_key(&token, id, sizeof(id), &key), CKR_OK);
    shim_forget_calls(control);
    return 0;
}

static void calls_are_counted_by_function_and_over_all(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sign(NULL), CKR_OK);
    assert_int_equal(shim_calls(control, SHIM_C_SignInit), 3);
    assert_int_equal(shim_calls(control, SHIM_C_Sign), 3);
    assert_int_equal(shim_calls(control, SHIM_ANY), 6);
}

static void calls_of_other_processes_are_counted(void **state)
{
    int status = 0;
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        CK_INFO info;
        token.functions->C_GetInfo(&info);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(shim_calls(control, SHIM_C_GetInfo), 1);
}

static void failure_meets_the_call_it_was_armed_for(void **state)
{
    (void)state;
    shim_arm(control, SHIM_C_Sign, SHIM_FAIL, CKR_DEVICE_MEMORY, 2, 1);
    assert_int_equal(sign(NULL), CKR_OK);
    assert_false(shim_met(control, SHIM_C_Sign));
    assert_int_equal(sign(NULL), CKR_DEVICE_MEMORY);
    assert_true(shim_met(control, SHIM_C_Sign));
    set_up(NULL); /* the signature that was begun ends with its session */
    shim_arm(control, SHIM_ANY, SHIM_FAIL, CKR_GENERAL_ERROR, 1, SHIM_ALWAYS);
    assert_int_equal(sign(NULL), CKR_GENERAL_ERROR);
    assert_int_equal(sign(NULL), CKR_GENERAL_ERROR);
    shim_disarm(control);
    assert_int_equal(sign(NULL), CKR_OK);
}

static void failure_after_the_call_leaves_its_effect(void **state)
{
    (void)state;
    const long before = token_count(&token, CKO_PRIVATE_KEY);
    shim_arm(control, SHIM_C_GenerateKeyPair, SHIM_FAIL, CKR_DEVICE_ERROR, 1, 1);
    assert_int_equal(token_generate(&token, 0, "none", id, 1), CKR_DEVICE_ERROR);
    assert_int_equal(token_count(&token, CKO_PRIVATE_KEY), before);
    shim_arm(control, SHIM_C_GenerateKeyPair, SHIM_FAIL_AFTER, CKR_DEVICE_ERROR, 1, 1);
    assert_int_equal(token_generate(&token, 0, "one", id, 1), CKR_DEVICE_ERROR);
    assert_int_equal(token_count(&token, CKO_PRIVATE_KEY), before + 1);
}

static void dropped_token_comes_back_with_new_handles(void **state)
{
    CK_ULONG count = 9;
    CK_SLOT_INFO info;
    (void)state;
    shim_drop(control);
    assert_int_equal(sign(NULL), CKR_DEVICE_REMOVED);
    assert_int_equal(token.functions->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(token.functions->C_GetSlotInfo(token.slot, &info), CKR_OK);
    assert_false(info.flags & CKF_TOKEN_PRESENT);
    assert_int_equal(token_login(&token, "1"), CKR_TOKEN_NOT_PRESENT);
    shim_restore(control);
    const CK_SESSION_HANDLE old_session = token.session;
    const CK_OBJECT_HANDLE old_key = key;
    assert_int_equal(sign(NULL), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(token.functions->C_OpenSession(token.slot, CKF_SERIAL_SESSION, NULL, NULL, &token.session),
                     CKR_OK);
    assert_int_not_equal(token.session, old_session);
    assert_int_equal(sign(NULL), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(token_find_key(&token, id, sizeof(id), &key), CKR_OBJECT_HANDLE_INVALID); /* not logged in */
    assert_int_equal(token_login(&token, wanted("KW_TOKEN_PIN")), CKR_OK);
    assert_int_equal(token_find_key(&token, id, sizeof(id), &key), CKR_OK);
    assert_int_not_equal(key, old_key);
    assert_int_equal(sign(NULL), CKR_OK);
}

static void lengths_are_misstated(void **state)
{
    CK_ULONG length = 0, count = 0;
    CK_OBJECT_HANDLE found[2];
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE attribute = {CKA_KEY_TYPE, &type, sizeof(type)};
    (void)state;
    shim_arm(control, SHIM_C_Sign, SHIM_LONGER, CKR_OK, 1, 1);
    assert_int_equal(sign(&length), CKR_OK);
    assert_int_equal(length, 65);
    shim_arm(control, SHIM_C_Sign, SHIM_HUGE, CKR_OK, 1, 1);
    assert_int_equal(sign(&length), CKR_OK);
    assert_int_equal(length, UINT64_C(1) << 60);
    shim_arm(control, SHIM_C_Sign, SHIM_SHORTER, CKR_OK, 1, 1);
    assert_int_equal(sign(&length), CKR_OK);
    assert_int_equal(length, 63);
    shim_arm(control, SHIM_C_GetAttributeValue, SHIM_LONGER, CKR_OK, 1, 1);
    assert_int_equal(token.functions->C_GetAttributeValue(token.session, key, &attribute, 1), CKR_OK);
    assert_int_equal(attribute.ulValueLen, sizeof(type) + 1);
    shim_arm(control, SHIM_C_FindObjects, SHIM_LONGER, CKR_OK, 1, 1);
    assert_int_equal(token.functions->C_FindObjectsInit(token.session, NULL, 0), CKR_OK);
    assert_int_equal(token.functions->C_FindObjects(token.session, found, 2, &count), CKR_OK);
    assert_int_equal(count, 3);
    shim_arm(control, SHIM_C_FindObjects, SHIM_EMPTY, CKR_OK, 1, 1);
    assert_int_equal(token.functions->C_FindObjects(token.session, found, 2, &count), CKR_OK);
    assert_int_equal(count, 0);
}

static void *release(void *argument)
{
    (void)argument;
    while (shim_calls(control, SHIM_C_SignInit) == 0)
        usleep(1000);
    usleep(20000);
    shim_disarm(control);
    return NULL;
}

static void hang_ends_when_it_is_told_to(void **state)
{
    pthread_t thread;
    struct timespec begin, end;
    (void)state;
    shim_arm(control, SHIM_C_SignInit, SHIM_HANG, CKR_OK, 1, 1);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(pthread_create(&thread, NULL, release, NULL), 0);
    assert_int_equal(sign(NULL), CKR_OK);
    pthread_join(thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 >= 20);
}

static void delay_is_before_each_call(void **state)
{
    struct timespec begin, end;
    (void)state;
    atomic_store(&control->rows[SHIM_ANY].delay, 10000);
    atomic_store(&control->rows[SHIM_C_Sign].delay, 10000);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(sign(NULL), CKR_OK);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 >= 29);
}

static void crash_kills_the_process(void **state)
{
    int status = 0;
    (void)state;
    shim_arm(control, SHIM_C_GetInfo, SHIM_CRASH, CKR_OK, 1, 1);
    const pid_t child = fork();
    if (child == 0) {
        CK_INFO info;
        token.functions->C_GetInfo(&info);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void absent_functions_are_null(void **state)
{
    CK_FUNCTION_LIST *list = NULL;
    (void)state;
    CK_RV (*const get)(CK_FUNCTION_LIST **) = token.functions->C_GetFunctionList;
    shim_arm(control, SHIM_C_WrapKey, SHIM_ABSENT, CKR_OK, 1, SHIM_ALWAYS);
    assert_int_equal(get(&list), CKR_OK);
    assert_null(list->C_WrapKey);
    assert_non_null(list->C_UnwrapKey);
    shim_arm(control, SHIM_C_GetFunctionList, SHIM_ABSENT, CKR_OK, 1, SHIM_ALWAYS);
    assert_int_equal(get(&list), CKR_OK);
    assert_null(list);
    shim_disarm(control);
    assert_int_equal(get(&list), CKR_OK);
    assert_non_null(list->C_WrapKey);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(calls_are_counted_by_function_and_over_all),
        CASE(calls_of_other_processes_are_counted),
        CASE(failure_meets_the_call_it_was_armed_for),
        CASE(failure_after_the_call_leaves_its_effect),
        CASE(dropped_token_comes_back_with_new_handles),
        CASE(lengths_are_misstated),
        CASE(hang_ends_when_it_is_told_to),
        CASE(delay_is_before_each_call),
        CASE(crash_kills_the_process),
        CASE(absent_functions_are_null),
    };
    return cmocka_run_group_tests_name("the PKCS#11 shim", tests, set_up_group, NULL);
}
