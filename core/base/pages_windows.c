#include "base/pages.h"

#include <windows.h>

/*
 * Crash dumps that hold all of a process's memory hold these pages too: Windows Error Reporting alone can be asked to leave them out, and
 * makes no such dumps unless an administrator wants them.
 */
bool pages_map(struct pages *pages, size_t length)
{
    SYSTEM_INFO system;
    DWORD before;
    GetSystemInfo(&system);
    const size_t page = system.dwPageSize;
    struct pages made = {.length = (length + page - 1) / page * page};
    made.mapping_length = made.length + 2 * page;
    made.mapping = VirtualAlloc(NULL, made.mapping_length, MEM_RESERVE | MEM_COMMIT, PAGE_NOACCESS);
    if (made.mapping == NULL)
        return false;
    made.start = made.mapping + page;
    if (!VirtualProtect(made.start, made.length, PAGE_READWRITE, &before)) {
        VirtualFree(made.mapping, 0, MEM_RELEASE);
        return false;
    }
    *pages = made;
    return true;
}

void pages_unmap(struct pages *pages)
{
    VirtualFree(pages->mapping, 0, MEM_RELEASE);
}

/* What may be locked is a little less than the process's least working set, which may be raised. */
bool pages_lock(const struct pages *pages)
{
    SIZE_T least, most;
    if (VirtualLock(pages->start, pages->length))
        return true;
    if (GetLastError() != ERROR_WORKING_SET_QUOTA || !GetProcessWorkingSetSize(GetCurrentProcess(), &least, &most))
        return false;
    return SetProcessWorkingSetSize(GetCurrentProcess(), least + pages->length, most + pages->length) &&
           VirtualLock(pages->start, pages->length);
}

void pages_wipe(void *memory, size_t length)
{
    SecureZeroMemory(memory, length);
}
