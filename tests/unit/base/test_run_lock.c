#include "base/run_lock.h"

#include "base/file.h"
#include "folder.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int exit_code(pid_t child)
{
    int code = 0;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    return WEXITSTATUS(code);
}

/* What another process gets that tries to take it and lets go again. */
static kw_status elsewhere(const char *path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct run_lock *lock = NULL;
        kw_status status = run_lock_take(path, false, &lock, NULL);
        run_lock_release(lock, false);
        _exit((int)status);
    }
    return (kw_status)exit_code(child);
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
    /* the refused attempt has not cost the lock */
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

static void run_lock_take_by_another_name_of_the_file_is_a_conflict(void **state)
{
    char *path = folder_path(state, "lock"), *other = folder_path(state, "other");
    struct run_lock *lock = NULL, *again = NULL;
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    assert_int_equal(link(path, other), 0);
    assert_int_equal(run_lock_take(other, false, &again, NULL), KW_CONFLICT);
    assert_int_equal(elsewhere(path), KW_CONFLICT);
    run_lock_release(lock, false);
    free(path);
    free(other);
}

static void run_lock_take_two_files_are_independent(void **state)
{
    char *path = folder_path(state, "one"), *other = folder_path(state, "other");
    struct run_lock *lock = NULL, *second = NULL;
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    assert_int_equal(run_lock_take(other, false, &second, NULL), KW_OK);
    run_lock_release(lock, false);
    assert_int_equal(elsewhere(path), KW_OK);
    assert_int_equal(elsewhere(other), KW_CONFLICT);
    run_lock_release(second, false);
    free(path);
    free(other);
}

static void run_lock_take_nowhere_or_through_a_link_fails(void **state)
{
    char *nowhere = folder_path(state, "absent/lock"), *link = folder_path(state, "link");
    struct run_lock *lock = NULL;
    kw_error error = {0};
    assert_int_equal(run_lock_take(nowhere, false, &lock, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, nowhere));
    assert_int_equal(symlink("target", link), 0);
    assert_int_equal(run_lock_take(link, false, &lock, &error), KW_FAILED);
    assert_null(lock);
    free(nowhere);
    free(link);
}

static void run_lock_take_without_the_right_says_so(void **state)
{
    char *path = folder_path(state, "lock");
    kw_error error = {0};
    /* Root is asked as another user, since it has every right; another user has none where nobody may write. */
    assert_int_equal(chmod(*state, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct run_lock *lock = NULL;
        if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0))
            _exit(99);
        kw_status status = run_lock_take(path, false, &lock, &error);
        _exit(strstr(error.message, path) != NULL && error.remedy[0] != '\0' ? (int)status : 98);
    }
    assert_int_equal(exit_code(child), KW_PERMISSION);
    assert_int_equal(chmod(*state, 0700), 0);
    free(path);
}

static void run_lock_take_after_its_holder_died_works(void **state)
{
    char *path = folder_path(state, "lock");
    pid_t child = fork();
    if (child == 0) {
        struct run_lock *lock = NULL;
        _exit((int)run_lock_take(path, false, &lock, NULL));
    }
    assert_int_equal(exit_code(child), KW_OK);
    assert_int_equal(elsewhere(path), KW_OK);
    free(path);
}

static void run_lock_release_in_a_forked_child_only_forgets(void **state)
{
    char *path = folder_path(state, "lock");
    struct run_lock *lock = NULL;
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    pid_t child = fork();
    if (child == 0) {
        run_lock_release(lock, true);
        _exit(0);
    }
    assert_int_equal(exit_code(child), 0);
    assert_true(file_exists(path));
    assert_int_equal(elsewhere(path), KW_CONFLICT);
    run_lock_release(lock, true);
    free(path);
}

static void run_lock_release_of_an_inherited_one_keeps_the_childs_own(void **state)
{
    char *path = folder_path(state, "lock");
    struct run_lock *lock = NULL;
    int to_child[2], to_parent[2];
    char byte = 0;
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(to_parent), 0);
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    pid_t child = fork();
    if (child == 0) {
        struct run_lock *own = NULL;
        /* the parent lets go, the child takes it anew, and only then forgets what it inherited */
        if (read(to_child[0], &byte, 1) != 1 || run_lock_take(path, false, &own, NULL) != KW_OK)
            _exit(1);
        run_lock_release(lock, false);
        if (write(to_parent[1], "", 1) != 1 || read(to_child[0], &byte, 1) != 1)
            _exit(2);
        run_lock_release(own, false);
        _exit(0);
    }
    run_lock_release(lock, false);
    assert_int_equal(write(to_child[1], "", 1), 1);
    assert_int_equal(read(to_parent[0], &byte, 1), 1);
    assert_int_equal(elsewhere(path), KW_CONFLICT);
    assert_int_equal(write(to_child[1], "", 1), 1);
    assert_int_equal(exit_code(child), 0);
    for (size_t i = 0; i < 2; i++) {
        close(to_child[i]);
        close(to_parent[i]);
    }
    free(path);
}

static void run_lock_take_waiting_gets_it_after_another_process_let_go(void **state)
{
    char *path = folder_path(state, "lock"), *mark = folder_path(state, "mark");
    struct run_lock *lock = NULL;
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    pid_t child = fork();
    if (child == 0) {
        struct run_lock *own = NULL;
        if (write(ends[1], "", 1) != 1 || run_lock_take(path, true, &own, NULL) != KW_OK)
            _exit(1);
        _exit(file_exists(mark) ? 0 : 2);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(file_create(mark, (kw_input){0}, 0600, NULL), KW_OK);
    run_lock_release(lock, true);
    assert_int_equal(exit_code(child), 0);
    close(ends[0]);
    close(ends[1]);
    free(path);
    free(mark);
}

struct waiter {
    const char *path;
    atomic_bool let_go;
    atomic_bool early;
};

static void *wait_for_it(void *argument)
{
    struct waiter *waiter = argument;
    struct run_lock *lock = NULL;
    if (run_lock_take(waiter->path, true, &lock, NULL) != KW_OK || !atomic_load(&waiter->let_go))
        atomic_store(&waiter->early, true);
    run_lock_release(lock, false);
    return NULL;
}

static void run_lock_take_waiting_gets_it_after_another_thread_let_go(void **state)
{
    char *path = folder_path(state, "lock");
    struct waiter waiter = {.path = path};
    struct run_lock *lock = NULL;
    pthread_t threads[4];
    assert_int_equal(run_lock_take(path, false, &lock, NULL), KW_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, &waiter), 0);
    atomic_store(&waiter.let_go, true);
    run_lock_release(lock, false);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(atomic_load(&waiter.early));
    free(path);
}

/* Reads a number, adds one and writes it back: nothing but the lock keeps two from doing so at once. */
static bool count_up(const char *path)
{
    char text[24] = "";
    int file = open(path, O_RDWR | O_CLOEXEC);
    bool good = file >= 0 && read(file, text, sizeof(text) - 1) > 0;
    if (good) {
        usleep(200); /* so that somebody else would come between */
        int length = snprintf(text, sizeof(text), "%lu", strtoul(text, NULL, 10) + 1);
        good = pwrite(file, text, (size_t)length, 0) == length;
    }
    return file >= 0 && close(file) == 0 && good;
}

static void run_lock_release_with_removal_never_lets_two_in(void **state)
{
    enum { PROCESSES = 6, ROUNDS = 100 };
    char *path = folder_path(state, "lock"), *counter = folder_write(state, "counter", "0", 1, 0600);
    pid_t children[PROCESSES];
    kw_bytes content = {0};
    for (size_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        for (size_t round = 0; round < ROUNDS; round++) {
            struct run_lock *lock = NULL;
            if (run_lock_take(path, true, &lock, NULL) != KW_OK || !count_up(counter))
                _exit(1);
            run_lock_release(lock, true);
        }
        _exit(0);
    }
    for (size_t i = 0; i < PROCESSES; i++)
        assert_int_equal(exit_code(children[i]), 0);
    assert_int_equal(file_read(counter, 20, &content, NULL), KW_OK);
    assert_string_equal((char *)content.data, "600");
    kw_bytes_free(&content);
    free(path);
    free(counter);
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(run_lock_take_held_here_is_a_conflict_here_and_elsewhere),
        FOLDER_TEST(run_lock_take_by_another_name_of_the_file_is_a_conflict),
        FOLDER_TEST(run_lock_take_two_files_are_independent),
        FOLDER_TEST(run_lock_take_nowhere_or_through_a_link_fails),
        FOLDER_TEST(run_lock_take_without_the_right_says_so),
        FOLDER_TEST(run_lock_take_after_its_holder_died_works),
        FOLDER_TEST(run_lock_release_in_a_forked_child_only_forgets),
        FOLDER_TEST(run_lock_release_of_an_inherited_one_keeps_the_childs_own),
        FOLDER_TEST(run_lock_take_waiting_gets_it_after_another_process_let_go),
        FOLDER_TEST(run_lock_take_waiting_gets_it_after_another_thread_let_go),
        FOLDER_TEST(run_lock_release_with_removal_never_lets_two_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
