#include "base/secret.h"

#include "folder.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* Larger than a region, so that it gets pages of its own. */
enum { LARGE = 100000 };

/* Whether the kernel has this flag ("lo": locked, "dd": not dumped) on the pages of an address. */
static bool has_flag(const void *memory, const char *flag)
{
    bool inside = false, found = false;
    char line[512], wanted[8];
    FILE *file = fopen("/proc/self/smaps", "r");
    if (file == NULL)
        return false;
    snprintf(wanted, sizeof(wanted), " %s", flag);
    while (fgets(line, sizeof(line), file) != NULL) {
        /* a mapping begins with START-END, and what is told of it follows */
        char *dash;
        uintmax_t start = strtoumax(line, &dash, 16);
        if (dash > line && *dash == '-')
            inside = (uintptr_t)memory >= start && (uintptr_t)memory < strtoumax(dash + 1, NULL, 16);
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, wanted) != NULL;
    }
    fclose(file);
    return found;
}

static bool all_zero(const unsigned char *memory, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (memory[i] != 0)
            return false;
    }
    return true;
}

static int wait_for(pid_t child)
{
    int code = 0;
    assert_int_equal(waitpid(child, &code, 0), child);
    return code;
}

static void secret_allocate_pages_are_locked_and_not_dumped(void **state)
{
    (void)state;
    unsigned char *memory = secret_allocate(20);
    assert_non_null(memory);
    assert_true(has_flag(memory, "dd"));
#if !defined(SANITIZED) /* sanitizers leave mlock out */
    assert_true(has_flag(memory, "lo"));
#endif
    assert_false(secret_tell_unlocked());
    secret_free(memory, 20);
}

static void secret_allocate_is_zeroed_also_when_used_before(void **state)
{
    (void)state;
    unsigned char *first = secret_allocate(300), *other = secret_allocate(1);
    assert_true(all_zero(first, 300));
    memset(first, 0xaa, 300);
    secret_free(first, 300);
    unsigned char *second = secret_allocate(300);
    assert_ptr_equal(second, first);
    assert_true(all_zero(second, 300));
    secret_free(second, 300);
    secret_free(other, 1);
    secret_free(NULL, 5);
}

static void secret_free_wipes(void **state)
{
    (void)state;
    unsigned char *kept = secret_allocate(1), *memory = secret_allocate(100);
    memset(memory, 0xaa, 100);
    secret_free(memory, 100);
    /* `kept` keeps the pages, so that one can look */
    assert_true(all_zero(memory, 100));
    secret_free(kept, 1);
}

static void secret_allocate_many_sizes_do_not_overlap(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    static unsigned char *memory[COUNT];
    static size_t lengths[COUNT];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            if (memory[i] != NULL && (i + round) % 2 == 0)
                continue;
            if (memory[i] != NULL)
                secret_free(memory[i], lengths[i]);
            lengths[i] = i % 50 == 49 ? 40000 + i : (i * 7919 + round * 31) % 3000;
            memory[i] = secret_allocate(lengths[i]);
            assert_non_null(memory[i]);
            assert_true(all_zero(memory[i], lengths[i]));
            memset(memory[i], (int)(i % 255 + 1), lengths[i]);
        }
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t j = 0; j < lengths[i]; j++)
                assert_int_equal(memory[i][j], i % 255 + 1);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        secret_free(memory[i], lengths[i]);
}

static void secret_allocate_absurd_length_fails(void **state)
{
    (void)state;
    struct secret secret = {0};
    kw_error error;
    assert_null(secret_allocate(SIZE_MAX));
    assert_null(secret_allocate(SIZE_MAX / 8));
    assert_int_equal(secret_new(&secret, SIZE_MAX, &error), KW_OUT_OF_MEMORY);
    assert_int_equal(secret_new(&secret, SIZE_MAX / 8, &error), KW_OUT_OF_MEMORY);
    assert_null(secret.data);
}

/* The signal that a child dies of. */
static int signal_of(void (*run)(void))
{
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        run();
        _exit(0);
    }
    int code = wait_for(child);
    return WIFSIGNALED(code) ? WTERMSIG(code) : 0;
}

static void overrun(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile unsigned char *memory = secret_allocate(LARGE);
    const size_t end = (LARGE + page - 1) / page * page;
    memory[end - 1] = 1;
    memory[end] = 1;
}

static void underrun(void)
{
    volatile unsigned char *memory = secret_allocate(LARGE);
    memory[0] = 1;
    memory[-1] = 1;
}

static void free_twice(void)
{
    unsigned char *kept = secret_allocate(1), *memory = secret_allocate(1);
    secret_free(memory, 1);
    secret_free(memory, 1);
    secret_free(kept, 1);
}

static void free_inside(void)
{
    unsigned char *memory = secret_allocate(200);
    secret_free(memory + 64, 136);
}

static void free_foreign(void)
{
    unsigned char *kept = secret_allocate(1);
    unsigned char memory[64];
    secret_free(memory, sizeof(memory));
    secret_free(kept, 1);
}

/* Whether the page of an address is mapped so that nobody may touch it. */
static bool is_guard(const void *memory)
{
    bool found = false;
    char line[512];
    FILE *file = fopen("/proc/self/maps", "r");
    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        char *at;
        const uintmax_t start = strtoumax(line, &at, 16), end = *at == '-' ? strtoumax(at + 1, &at, 16) : 0;
        if ((uintptr_t)memory >= start && (uintptr_t)memory < end)
            found = strncmp(at, " ---p", 5) == 0;
    }
    fclose(file);
    return found;
}

/* The first of all tests: later, one region's guard might stand for another's. */
static void secret_memory_is_between_guards(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *memory = secret_allocate(LARGE);
    assert_true(is_guard(memory - 1));
    assert_false(is_guard(memory));
    assert_true(is_guard(memory + (LARGE + page - 1) / page * page));
    secret_free(memory, LARGE);
}

static void secret_memory_beyond_its_pages_is_guarded(void **state)
{
    (void)state;
    assert_int_equal(signal_of(overrun), SIGSEGV);
    assert_int_equal(signal_of(underrun), SIGSEGV);
}

static void secret_free_of_what_was_not_allocated_stops_the_process(void **state)
{
    (void)state;
    assert_int_equal(signal_of(free_twice), SIGABRT);
    assert_int_equal(signal_of(free_inside), SIGABRT);
    assert_int_equal(signal_of(free_foreign), SIGABRT);
}

static void secret_allocate_without_leave_to_lock_works_and_says_so(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && seteuid(65534) != 0))
            _exit(99);
        unsigned char *memory = secret_allocate(LARGE);
        if (memory == NULL)
            _exit(1);
        memory[LARGE - 1] = 1;
#if !defined(SANITIZED)
        if (!secret_tell_unlocked())
            _exit(2);
        if (secret_tell_unlocked()) /* once */
            _exit(3);
#endif
        secret_free(memory, LARGE);
        _exit(0);
    }
    assert_int_equal(wait_for(child), 0);
    assert_false(secret_tell_unlocked());
}

static void secret_forked_locks_again_in_the_child(void **state)
{
    (void)state;
    unsigned char *small = secret_allocate(10), *large = secret_allocate(LARGE);
    memcpy(small, "inherited", 10);
    pid_t child = fork();
    if (child == 0) {
        if (memcmp(small, "inherited", 10) != 0 || !has_flag(small, "dd") || has_flag(small, "lo"))
            _exit(1);
        secret_forked();
#if !defined(SANITIZED)
        if (!has_flag(small, "lo") || !has_flag(large, "lo"))
            _exit(2);
#endif
        secret_free(small, 10);
        secret_free(large, LARGE);
        _exit(0);
    }
    assert_int_equal(wait_for(child), 0);
    secret_free(small, 10);
    secret_free(large, LARGE);
}

static atomic_bool stop;

static void *allocate_and_free(void *argument)
{
    const unsigned char mark = (unsigned char)(uintptr_t)argument;
    for (size_t round = 0; !atomic_load(&stop); round++) {
        /* of every other length the pages are new, which takes long and holds the mutex */
        const size_t length = round % 2 == 0 ? 1 + round * 37 % 2000 : LARGE;
        unsigned char *memory = secret_allocate(length);
        if (memory == NULL || !all_zero(memory, length))
            return argument;
        memset(memory, mark, length);
        for (size_t i = 0; i < length; i++) {
            if (memory[i] != mark)
                return argument;
        }
        secret_free(memory, length);
    }
    return NULL;
}

static void secret_allocate_from_threads_that_fork_works_in_all(void **state)
{
    (void)state;
    enum { THREADS = 3, FORKS = 40 };
    pthread_t threads[THREADS];
    atomic_store(&stop, false);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, (void *)(uintptr_t)(i + 1)), 0);
    for (size_t i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (child == 0) {
            /* the mutex is free here, whoever held it at the fork */
            alarm(60);
            unsigned char *memory = secret_allocate(500);
            secret_forked();
            secret_free(memory, 500);
            _exit(memory == NULL);
        }
        assert_int_equal(wait_for(child), 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++) {
        void *result = &stop;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

static void secret_copy_and_clear_round_trip(void **state)
{
    (void)state;
    struct secret secret = {0};
    assert_int_equal(secret_copy(&secret, (kw_input){(const unsigned char *)"secret", 6}, NULL), KW_OK);
    assert_int_equal(secret.length, 6);
    assert_int_equal(secret.capacity, 6);
    assert_string_equal((char *)secret.data, "secret");
    kw_input view = secret_view(&secret);
    assert_ptr_equal(view.data, secret.data);
    assert_int_equal(view.length, 6);
    secret_clear(&secret);
    assert_null(secret.data);
    assert_int_equal(secret.length + secret.capacity, 0);
    secret_clear(&secret);
    assert_int_equal(secret_copy(&secret, (kw_input){NULL, 0}, NULL), KW_OK);
    assert_non_null(secret.data);
    secret_clear(&secret);
}

static void secret_wipe_overwrites(void **state)
{
    (void)state;
    unsigned char memory[] = "text";
    secret_wipe(memory, 2);
    assert_memory_equal(memory, "\0\0xt", 4);
    secret_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_memory_is_between_guards),
        cmocka_unit_test(secret_allocate_pages_are_locked_and_not_dumped),
        cmocka_unit_test(secret_allocate_is_zeroed_also_when_used_before),
        cmocka_unit_test(secret_free_wipes),
        cmocka_unit_test(secret_allocate_many_sizes_do_not_overlap),
        cmocka_unit_test(secret_allocate_absurd_length_fails),
        cmocka_unit_test(secret_memory_beyond_its_pages_is_guarded),
        cmocka_unit_test(secret_free_of_what_was_not_allocated_stops_the_process),
        cmocka_unit_test(secret_allocate_without_leave_to_lock_works_and_says_so),
        cmocka_unit_test(secret_forked_locks_again_in_the_child),
        cmocka_unit_test(secret_allocate_from_threads_that_fork_works_in_all),
        cmocka_unit_test(secret_copy_and_clear_round_trip),
        cmocka_unit_test(secret_wipe_overwrites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
