#include "base/pages.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool pages_map(struct pages *pages, size_t length)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct pages made = {.length = (length + page - 1) / page * page};
    made.mapping_length = made.length + 2 * page;
    void *mapping = mmap(NULL, made.mapping_length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        return false;
    made.mapping = mapping;
    made.start = made.mapping + page;
    if (mprotect(made.start, made.length, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, made.mapping_length);
        return false;
    }
#if defined(MADV_DONTDUMP)
    madvise(made.start, made.length, MADV_DONTDUMP);
#endif
    *pages = made;
    return true;
}

void pages_unmap(struct pages *pages)
{
    munmap(pages->mapping, pages->mapping_length);
}

bool pages_lock(const struct pages *pages)
{
    return mlock(pages->start, pages->length) == 0;
}

void pages_wipe(void *memory, size_t length)
{
    explicit_bzero(memory, length);
}
