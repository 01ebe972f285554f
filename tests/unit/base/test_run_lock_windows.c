#include "base/run_lock.h"

#include "base/file.h"
#include "base/wide.h"
#include "folder.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <shellapi.h>

/* Starts this program anew, to take the lock in another process: at once, and then to hold it until it is ended. */
static HANDLE start(const char *what, const char *path)
{
    wchar_t program[MAX_PATH], line[2048];
    STARTUPINFOW with = {.cb = sizeof(with)};
    PROCESS_INFORMATION made;
    wchar_t *wide = wide_from(path), *verb = wide_from(what);
    assert_true(GetModuleFileNameW(NULL, program, MAX_PATH) > 0);
    swprintf(line, sizeof(line) / sizeof(line[0]), L"\"%ls\" %ls \"%ls\"", program, verb, wide);
    assert_true(CreateProcessW(NULL, line, NULL, NULL, FALSE, 0, NULL, NULL, &with, &made));
    CloseHandle(made.hThread);
    free(wide);
    free(verb);
    return made.hProcess;
}

static kw_status elsewhere(const char *path)
{
    DWORD code = 0;
    const HANDLE process = start("take", path);
    assert_int_equal(WaitForSingleObject(process, 120000), WAIT_OBJECT_0);
    assert_true(GetExitCodeProcess(process, &code));
    CloseHandle(process);
    return (kw_status)code;
}

static void run_lock_take_held_here_is_a_conflict_here_and_elsewhere(void **state)
{
    char *path = folder_path(state, "lock");
    struct run_lock *lock = NULL, *again = NULL;
    kw_error error = {0};
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    assert_int_equal(run_lock_take(path, false, &again, &error), KW_CONFLICT);
    assert_null(again);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(elsewhere(path), KW_CONFLICT);
    run_lock_release(lock, false);
    assert_int_equal(elsewhere(path), KW_OK);
    assert_true(file_exists(path));
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    run_lock_release(lock, true);
    assert_false(file_exists(path));
    run_lock_release(NULL, true);
    free(path);
}

static void run_lock_take_nowhere_fails(void **state)
{
    char *nowhere = folder_path(state, "absent/lock");
    struct run_lock *lock = NULL;
    kw_error error = {0};
    assert_int_equal(run_lock_take(nowhere, false, &lock, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, nowhere));
    assert_int_not_equal(run_lock_take(*state, false, &lock, &error), KW_OK);
    assert_null(lock);
    free(nowhere);
}

static void run_lock_take_after_its_holder_died_works(void **state)
{
    char *path = folder_path(state, "lock");
    struct run_lock *lock = NULL;
    kw_status status = KW_OK;
    const HANDLE process = start("hold", path);
    /* Until the other has it. */
    for (int times = 0; times < 1200; times++) {
        status = file_exists(path) ? run_lock_take(path, false, &lock, NULL) : KW_OK;
        if (status == KW_CONFLICT)
            break;
        run_lock_release(lock, false);
        lock = NULL;
        Sleep(50);
    }
    assert_int_equal(status, KW_CONFLICT);
    assert_true(TerminateProcess(process, 0));
    assert_int_equal(WaitForSingleObject(process, 120000), WAIT_OBJECT_0);
    CloseHandle(process);
    assert_int_equal(run_lock_take(path, true, &lock, NULL), KW_OK);
    run_lock_release(lock, true);
    free(path);
}

/* ---- Threads ---- */

struct crowd {
    const char *path;
    atomic_int inside, most, taken;
};

static void *take_often(void *argument)
{
    struct crowd *crowd = argument;
    for (int i = 0; i < 20; i++) {
        struct run_lock *lock = NULL;
        if (run_lock_take(crowd->path, true, &lock, NULL) != KW_OK)
            continue;
        const int inside = atomic_fetch_add(&crowd->inside, 1) + 1;
        if (inside > atomic_load(&crowd->most))
            atomic_store(&crowd->most, inside);
        atomic_fetch_add(&crowd->taken, 1);
        atomic_fetch_sub(&crowd->inside, 1);
        run_lock_release(lock, i % 2 == 0); /* removed under the eyes of those who wait */
    }
    return NULL;
}

static void run_lock_take_waiting_gets_it_one_at_a_time(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    char *path = folder_path(state, "lock");
    struct crowd crowd = {.path = path};
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_often, &crowd), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(crowd.most, 1);
    assert_int_equal(crowd.taken, THREADS * 20);
    free(path);
}

/* The arguments in UTF-8; the C library's would be in a code page. */
static int other_process(int count, wchar_t **arguments)
{
    struct run_lock *lock = NULL;
    char *path = wide_to(arguments[count - 1]);
    if (path == NULL)
        return 99;
    const kw_status status = run_lock_take(path, false, &lock, NULL);
    if (wcscmp(arguments[count - 2], L"hold") == 0)
        Sleep(120000); /* until it is ended */
    run_lock_release(lock, false);
    free(path);
    return (int)status;
}

int main(void)
{
    int count = 0;
    wchar_t **arguments = CommandLineToArgvW(GetCommandLineW(), &count);
    if (arguments != NULL && count == 3)
        return other_process(count, arguments);
    LocalFree(arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(run_lock_take_held_here_is_a_conflict_here_and_elsewhere, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(run_lock_take_nowhere_fails, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(run_lock_take_after_its_holder_died_works, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(run_lock_take_waiting_gets_it_one_at_a_time, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
