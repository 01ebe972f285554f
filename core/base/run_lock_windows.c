#include "base/run_lock.h"

#include "base/buffer.h"
#include "base/right.h"
#include "base/wide.h"

#include <stdlib.h>
#include <windows.h>

/* A lock belongs to the handle, so also another of this process is refused; and there is no fork. */
struct run_lock {
    wchar_t *path;
    HANDLE handle;
};

enum { REMOVED_WAIT = 10 /* ms */, REMOVED_TIMES = 200 };

void run_lock_watch_forks(void)
{
}

static kw_status lock_error(kw_error *error, DWORD number, const char *path)
{
    char reason[WIDE_REASON_SIZE];
    if (wide_status(number) == KW_PERMISSION)
        return right_error(error, (int)number, RIGHT_WRITE, path, "cannot open the lock file %s", path);
    wide_reason(number, reason);
    return error_set(error, number == ERROR_PATH_NOT_FOUND || number == ERROR_FILE_NOT_FOUND ? KW_NOT_FOUND : KW_FAILED,
                     "cannot lock %s: %s", path, reason);
}

/* The name of a removed file is taken until all have closed it: nobody may open it, or even look at it. */
static bool is_going(const wchar_t *path)
{
    return GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES && GetLastError() == ERROR_ACCESS_DENIED;
}

static kw_status open_file(struct run_lock *lock, const char *path, kw_error *error)
{
    BY_HANDLE_FILE_INFORMATION facts;
    for (int times = 0;; times++) {
        lock->handle = CreateFileW(lock->path, GENERIC_READ | GENERIC_WRITE,
                                   FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_ALWAYS,
                                   FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
        if (lock->handle != INVALID_HANDLE_VALUE)
            break;
        const DWORD number = GetLastError();
        if (number != ERROR_ACCESS_DENIED || times == REMOVED_TIMES || !is_going(lock->path))
            return lock_error(error, number, path);
        Sleep(REMOVED_WAIT);
    }
    if (!GetFileInformationByHandle(lock->handle, &facts) ||
        (facts.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0)
        return error_set(error, KW_FAILED, "cannot lock %s: it is a link, or no file", path);
    return KW_OK;
}

static kw_status ask_system(const struct run_lock *lock, const char *path, bool wait, kw_error *error)
{
    OVERLAPPED start = {0};
    if (LockFileEx(lock->handle, LOCKFILE_EXCLUSIVE_LOCK | (wait ? 0 : LOCKFILE_FAIL_IMMEDIATELY), 0, 1, 0, &start))
        return KW_OK;
    const DWORD number = GetLastError();
    if (number == ERROR_LOCK_VIOLATION || number == ERROR_IO_PENDING)
        return error_set(error, KW_CONFLICT, "somebody else holds the lock %s", path);
    return lock_error(error, number, path);
}

/* Whether the locked file is still the one of this name: who released it may have removed it. */
static bool current(const struct run_lock *lock)
{
    BY_HANDLE_FILE_INFORMATION own, named;
    FILE_STANDARD_INFO standard;
    bool same = false;
    if (!GetFileInformationByHandleEx(lock->handle, FileStandardInfo, &standard, sizeof(standard)) ||
        standard.DeletePending || !GetFileInformationByHandle(lock->handle, &own))
        return false;
    const HANDLE other = CreateFileW(lock->path, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                     OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (other == INVALID_HANDLE_VALUE)
        return false;
    same = GetFileInformationByHandle(other, &named) && named.dwVolumeSerialNumber == own.dwVolumeSerialNumber &&
           named.nFileIndexHigh == own.nFileIndexHigh && named.nFileIndexLow == own.nFileIndexLow;
    CloseHandle(other);
    return same;
}

kw_status run_lock_take(const char *path, bool wait, struct run_lock **lock, kw_error *error)
{
    kw_status status = KW_OK;
    struct run_lock *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    made->handle = INVALID_HANDLE_VALUE;
    made->path = wide_path(path);
    if (made->path == NULL) {
        status = error_set(error, KW_INVALID_ARGUMENT, "this is no path: %s", path);
        goto out;
    }
    for (;;) {
        status = open_file(made, path, error);
        if (status == KW_OK)
            status = ask_system(made, path, wait, error);
        if (status != KW_OK)
            goto out;
        if (current(made))
            break;
        CloseHandle(made->handle);
        made->handle = INVALID_HANDLE_VALUE;
    }
    *lock = made;
    made = NULL;
out:
    run_lock_release(made, false);
    return status;
}

void run_lock_release(struct run_lock *lock, bool remove)
{
    if (lock == NULL)
        return;
    if (remove)
        DeleteFileW(lock->path);
    /* Which lets go of the lock at once, where closing alone may take its time. */
    if (lock->handle != INVALID_HANDLE_VALUE) {
        OVERLAPPED start = {0};
        UnlockFileEx(lock->handle, 0, 1, 0, &start);
        CloseHandle(lock->handle);
    }
    free(lock->path);
    free(lock);
}
