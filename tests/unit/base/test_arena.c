#include "base/arena.h"

#include "folder.h"

#include <string.h>

static void arena_allocate_several_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena = {0};
    unsigned char *previous = NULL;
    for (size_t length = 0; length < 3000; length = length * 2 + 1) {
        unsigned char *memory = arena_allocate(&arena, length);
        assert_non_null(memory);
        assert_ptr_not_equal(memory, previous);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < length; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, length);
        previous = memory;
    }
    assert_false(arena.failed);
    arena_free(&arena);
    assert_null(arena.blocks);
}

static void arena_allocate_more_than_a_block_works(void **state)
{
    (void)state;
    struct arena arena = {0};
    char *small = arena_text(&arena, "before");
    unsigned char *large = arena_allocate(&arena, 100000);
    assert_non_null(large);
    memset(large, 1, 100000);
    assert_string_equal(small, "before");
    assert_string_equal(arena_text(&arena, "after"), "after");
    arena_free(&arena);
}

static void arena_allocate_too_much_fails_and_stays_failed(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_null(arena_allocate(&arena, SIZE_MAX - 4));
    assert_true(arena.failed);
    assert_null(arena_allocate(&arena, 1));
    assert_null(arena_text(&arena, "text"));
    assert_null(arena_format(&arena, "%d", 1));
    arena_free(&arena);
    assert_false(arena.failed);
}

static void arena_text_null_stays_null(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_null(arena_text(&arena, NULL));
    assert_false(arena.failed);
    arena_free(&arena);
}

static void arena_format_long_text_is_whole(void **state)
{
    (void)state;
    struct arena arena = {0};
    char expected[6001];
    memset(expected, ' ', 5999);
    memcpy(expected + 5999, "7", 2);
    assert_string_equal(arena_format(&arena, "%6000d", 7), expected);
    arena_free(&arena);
}

static void arena_copy_changed_original_keeps_the_copy(void **state)
{
    (void)state;
    struct arena arena = {0};
    char original[] = "bytes";
    const char *copy = arena_copy(&arena, original, sizeof(original));
    original[0] = 'X';
    assert_string_equal(copy, "bytes");
    arena_wipe(&arena);
    assert_null(arena.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_allocate_several_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_allocate_more_than_a_block_works),
        cmocka_unit_test(arena_allocate_too_much_fails_and_stays_failed),
        cmocka_unit_test(arena_text_null_stays_null),
        cmocka_unit_test(arena_format_long_text_is_whole),
        cmocka_unit_test(arena_copy_changed_original_keeps_the_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
