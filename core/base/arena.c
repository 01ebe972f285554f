#include "base/arena.h"

#include "base/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_CAPACITY = 4096 };

struct arena_block {
    struct arena_block *next;
    size_t used, capacity;
    _Alignas(max_align_t) unsigned char data[];
};

static size_t aligned(size_t length)
{
    const size_t alignment = _Alignof(max_align_t);
    return (length + alignment - 1) / alignment * alignment;
}

void *arena_allocate(struct arena *arena, size_t length)
{
    void *memory = NULL;
    if (arena->failed || length > SIZE_MAX / 2) {
        arena->failed = true;
        return NULL;
    }
    /* Also an empty allocation is a pointer of its own. */
    size_t wanted = aligned(length == 0 ? 1 : length);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->capacity - block->used < wanted) {
        size_t capacity = wanted > BLOCK_CAPACITY ? wanted : BLOCK_CAPACITY;
        block = calloc(1, sizeof(*block) + capacity);
        if (block == NULL) {
            arena->failed = true;
            return NULL;
        }
        block->capacity = capacity;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    memory = block->data + block->used;
    block->used += wanted;
    return memory;
}

char *arena_text(struct arena *arena, const char *text)
{
    return text == NULL ? NULL : arena_copy(arena, text, strlen(text) + 1);
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        arena->failed = true;
        return NULL;
    }
    char *text = arena_allocate(arena, (size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

void *arena_copy(struct arena *arena, const void *data, size_t length)
{
    void *memory = arena_allocate(arena, length);
    if (memory != NULL && length > 0)
        memcpy(memory, data, length);
    return memory;
}

void arena_free(struct arena *arena)
{
    struct arena_block *next;
    for (struct arena_block *block = arena->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    *arena = (struct arena){0};
}

void arena_wipe(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks; block != NULL; block = block->next)
        secret_wipe(block->data, block->used);
    arena_free(arena);
}
