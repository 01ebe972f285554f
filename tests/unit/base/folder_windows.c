/* The folder's name has a space, and letters that no code page of one byte has together: every test that uses it is about such paths too. */
#include "folder.h"

#include "base/wide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

int folder_setup(void **state)
{
    static const char name[] = "keywright test \xc3\xa4\xce\xb4\xd0\xb6 ";
    wchar_t temporary[MAX_PATH + 1] = L"";
    char path[4096];
    if (GetTempPathW(MAX_PATH + 1, temporary) == 0)
        return -1;
    char *narrow = wide_to(temporary);
    for (char *at = narrow; at != NULL && *at != '\0'; at++) {
        if (*at == '\\')
            *at = '/';
    }
    snprintf(path, sizeof(path), "%s%s%lu-%lu", narrow == NULL ? "" : narrow, name,
             (unsigned long)GetCurrentProcessId(), (unsigned long)GetTickCount());
    free(narrow);
    wchar_t *wide = wide_from(path);
    const bool made = wide != NULL && CreateDirectoryW(wide, NULL);
    free(wide);
    *state = made ? strdup(path) : NULL;
    return *state == NULL ? -1 : 0;
}

static bool remove_all(const wchar_t *path)
{
    wchar_t inner[1024];
    WIN32_FIND_DATAW found;
    bool removed = true;
    swprintf(inner, sizeof(inner) / sizeof(inner[0]), L"%ls\\*", path);
    const HANDLE search = FindFirstFileW(inner, &found);
    for (BOOL more = search != INVALID_HANDLE_VALUE; more; more = FindNextFileW(search, &found)) {
        if (wcscmp(found.cFileName, L".") == 0 || wcscmp(found.cFileName, L"..") == 0)
            continue;
        swprintf(inner, sizeof(inner) / sizeof(inner[0]), L"%ls\\%ls", path, found.cFileName);
        if ((found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
            removed = remove_all(inner) && removed;
        else
            removed = DeleteFileW(inner) && removed;
    }
    if (search != INVALID_HANDLE_VALUE)
        FindClose(search);
    return RemoveDirectoryW(path) && removed;
}

int folder_teardown(void **state)
{
    wchar_t *wide = wide_from(*state);
    const bool removed = wide != NULL && remove_all(wide);
    free(wide);
    free(*state);
    return removed ? 0 : -1;
}

char *folder_path(void **state, const char *name)
{
    size_t size = strlen(*state) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    snprintf(path, size, "%s/%s", (const char *)*state, name);
    return path;
}

/* The mode is POSIX's; what may be done with the file is inherited. */
char *folder_write(void **state, const char *name, const void *data, size_t length, unsigned mode)
{
    DWORD put = 0;
    char *path = folder_path(state, name);
    wchar_t *wide = wide_from(path);
    (void)mode;
    assert_non_null(wide);
    HANDLE file = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    assert_true(file != INVALID_HANDLE_VALUE);
    assert_true(WriteFile(file, data, (DWORD)length, &put, NULL) && put == length);
    assert_true(CloseHandle(file));
    free(wide);
    return path;
}
