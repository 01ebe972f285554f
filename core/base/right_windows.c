#include "base/right.h"

#include "base/acl.h"
#include "base/path.h"
#include "base/wide.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#undef right_error

/* Whether this process may open it so. Asking is surer than reckoning with lists, groups and privileges. */
static bool withheld(const char *path, DWORD access)
{
    wchar_t *wide = wide_path(path);
    HANDLE handle = INVALID_HANDLE_VALUE;
    bool is = false;
    if (wide == NULL)
        return false;
    handle = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
                         FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle != INVALID_HANDLE_VALUE)
        CloseHandle(handle);
    else
        is = GetLastError() == ERROR_ACCESS_DENIED;
    free(wide);
    return is;
}

/* The file, or the directory that it is to be in: what withholds the right. To be freed; NULL: neither does. */
static char *find(const char *path, enum right right, const char **verb)
{
    if (right != RIGHT_CREATE && withheld(path, right == RIGHT_READ ? FILE_READ_DATA : FILE_WRITE_DATA)) {
        *verb = right == RIGHT_READ ? "read" : "write to";
        return path_resolve(".", path);
    }
    char *directory = path_directory(path);
    if (directory != NULL && withheld(directory, right == RIGHT_READ ? FILE_TRAVERSE : FILE_ADD_FILE)) {
        *verb = right == RIGHT_READ ? "search" : "write to";
        return directory;
    }
    free(directory);
    return NULL;
}

kw_status right_error(kw_error *error, int number, enum right right, const char *path, const char *what, ...)
{
    char sentence[sizeof(((kw_error *)0)->message)] = "", user[ACL_NAME_SIZE], reason[WIDE_REASON_SIZE];
    struct acl_finding finding = {.owner = "unknown"};
    const char *verb = "";
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(sentence, sizeof(sentence), what, arguments);
    va_end(arguments);
    acl_user(user);
    wide_reason((uint32_t)number, reason);
    if (number == ERROR_WRITE_PROTECT) {
        error_set(error, KW_PERMISSION, "%s: it is on a write-protected volume", sentence);
        error_remedy(error, "name a place that can be written");
        return KW_PERMISSION;
    }
    char *obstacle = find(path, right, &verb);
    wchar_t *wide = obstacle == NULL ? NULL : wide_path(obstacle);
    if (wide != NULL && acl_examine(wide, ACL_READING, &finding) == ERROR_SUCCESS) {
        error_set(error, KW_PERMISSION, "%s: user %s needs the right to %s %s, which belongs to %s: %s", sentence, user,
                  verb, obstacle, finding.owner, reason);
    } else if (obstacle != NULL) {
        error_set(error, KW_PERMISSION, "%s: user %s needs the right to %s %s: %s", sentence, user, verb, obstacle,
                  reason);
    } else {
        error_set(error, KW_PERMISSION, "%s: user %s has no right to it: %s", sentence, user, reason);
    }
    error_remedy(error, "run it as an administrator, or give the user the right: icacls \"%s\" /grant \"%s:(OI)(CI)M\"",
                 obstacle == NULL ? path : obstacle, user);
    free(wide);
    free(obstacle);
    return KW_PERMISSION;
}
