/* Memory that is freed all at once: what lists of the public API are made of. */
#ifndef KEYWRIGHT_BASE_ARENA_H
#define KEYWRIGHT_BASE_ARENA_H

#include "base/error.h"

/* Zero-initialise. A failed allocation returns NULL and sets `failed`: look once, at the end. */
struct arena {
    struct arena_block *blocks;
    bool failed;
};

void *arena_allocate(struct arena *arena, size_t length); /* zeroed, aligned for any type */
char *arena_text(struct arena *arena, const char *text);  /* NULL stays NULL */
char *arena_format(struct arena *arena, const char *format, ...) KW_PRINTF(2, 3);
void *arena_copy(struct arena *arena, const void *data, size_t length);
void arena_free(struct arena *arena);
/* Overwrites everything before it is freed. */
void arena_wipe(struct arena *arena);

#endif
