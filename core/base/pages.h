/* Pages from the system, for base/secret.h. */
#ifndef KEYWRIGHT_BASE_PAGES_H
#define KEYWRIGHT_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed, readable and writable, between two pages that are neither. */
struct pages {
    unsigned char *mapping; /* with the guard pages */
    size_t mapping_length;
    unsigned char *start;
    size_t length; /* a multiple of the system's page */
};

/* At least `length` bytes, left out of core dumps where the system knows how. False: memory ran out. */
bool pages_map(struct pages *pages, size_t length);
void pages_unmap(struct pages *pages);
/* Keeps them in memory, never in swap. False: the system does not allow it. */
bool pages_lock(const struct pages *pages);
/* Overwrites; the compiler cannot leave it out. */
void pages_wipe(void *memory, size_t length);

#endif
