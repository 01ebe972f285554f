#include "base/secret.h"

#include "folder.h"

#include <string.h>
#include <windows.h>

/* Larger than a region, so that it gets pages of its own. */
enum { LARGE = 1000000 };

static bool all_zero(const unsigned char *memory, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (memory[i] != 0)
            return false;
    }
    return true;
}

static DWORD protection(const void *memory)
{
    MEMORY_BASIC_INFORMATION facts = {0};
    assert_true(VirtualQuery(memory, &facts, sizeof(facts)) == sizeof(facts));
    return facts.Protect;
}

static void secret_memory_is_between_guards(void **state)
{
    SYSTEM_INFO system;
    MEMORY_BASIC_INFORMATION facts = {0};
    (void)state;
    GetSystemInfo(&system);
    unsigned char *memory = secret_allocate(LARGE);
    assert_non_null(memory);
    assert_true(VirtualQuery(memory, &facts, sizeof(facts)) == sizeof(facts));
    assert_int_equal(facts.Protect, PAGE_READWRITE);
    unsigned char *start = facts.BaseAddress;
    assert_int_equal(protection(start - system.dwPageSize), PAGE_NOACCESS);
    assert_int_equal(protection(start + facts.RegionSize), PAGE_NOACCESS);
    secret_free(memory, LARGE);
}

/* More than a process may lock before it asks for a larger working set. */
static void secret_allocate_large_is_locked_too(void **state)
{
    (void)state;
    unsigned char *memory = secret_allocate(LARGE);
    assert_non_null(memory);
    assert_true(all_zero(memory, LARGE));
    assert_false(secret_tell_unlocked());
    /* Unlocking succeeds for what is locked alone. */
    assert_true(VirtualUnlock(memory, LARGE));
    secret_free(memory, LARGE);
}

static void secret_free_wipes(void **state)
{
    (void)state;
    unsigned char *keep = secret_allocate(100), *memory = secret_allocate(100);
    assert_non_null(keep);
    assert_non_null(memory);
    memset(memory, 0xaa, 100);
    secret_free(memory, 100);
    assert_true(all_zero(memory, 100)); /* which is the region's still */
    secret_free(keep, 100);
}

static void secret_copy_and_clear_round_trip(void **state)
{
    struct secret secret = {0};
    (void)state;
    assert_int_equal(secret_copy(&secret, (kw_input){(const unsigned char *)"12345", 5}, NULL), KW_OK);
    assert_string_equal((char *)secret.data, "12345");
    secret_clear(&secret);
    assert_null(secret.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_memory_is_between_guards),
        cmocka_unit_test(secret_allocate_large_is_locked_too),
        cmocka_unit_test(secret_free_wipes),
        cmocka_unit_test(secret_copy_and_clear_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
