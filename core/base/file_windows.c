/*
 * A mode says here whether others may read: 0600 and 0700 are for this process's user, the system and its administrators; others inherit what
 * their directory gives. Where the directory gives nothing to everybody, what is private inherits too: so an administrator can give a
 * service's user rights to all that is there and all that comes.
 */
#include "base/file_private.h"

#include "base/acl.h"
#include "base/right.h"
#include "base/wide.h"

#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum { OTHERS = 0077, CHUNK = 1 << 20, NAME_LETTERS = 6, NAMES = 100, REPLACE_TIMES = 20, REPLACE_WAIT = 10 /* ms */ };

static const DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

static kw_status path_error(kw_error *error, DWORD number, const char *verb, const char *path)
{
    static const struct {
        const char *verb;
        enum right right;
    } rights[] = {
        {"write", RIGHT_WRITE},
        {"create", RIGHT_CREATE},
        {"replace", RIGHT_CREATE},
        {"make the directory", RIGHT_CREATE},
    };
    const kw_status status = wide_status(number);
    enum right right = RIGHT_READ;
    char reason[WIDE_REASON_SIZE];
    if (status != KW_PERMISSION) {
        wide_reason(number, reason);
        return error_set(error, status, "cannot %s %s: %s", verb, path, reason);
    }
    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        if (strcmp(rights[i].verb, verb) == 0)
            right = rights[i].right;
    }
    return right_error(error, (int)number, right, path, "cannot %s %s", verb, path);
}

static kw_status widen(const char *path, wchar_t **wide, kw_error *error)
{
    *wide = wide_path(path);
    return *wide != NULL ? KW_OK : error_set(error, KW_INVALID_ARGUMENT, "this is no path: %s", path);
}

/* ---- Reading ---- */

kw_status file_open(const char *path, size_t limit, intptr_t *handle, size_t *size, kw_error *error)
{
    LARGE_INTEGER length;
    HANDLE opened = INVALID_HANDLE_VALUE;
    wchar_t *wide = NULL;
    DWORD attributes = 0, number = 0;
    kw_status status = widen(path, &wide, error);
    if (status != KW_OK)
        return status;
    opened = CreateFileW(wide, GENERIC_READ, shared, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    number = GetLastError();
    attributes = GetFileAttributesW(wide);
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        status = error_set(error, KW_INVALID_ARGUMENT, "%s is not a regular file", path);
    } else if (opened == INVALID_HANDLE_VALUE) {
        status = path_error(error, number, "open", path);
    } else if (GetFileType(opened) != FILE_TYPE_DISK) { /* NUL, a pipe */
        status = error_set(error, KW_INVALID_ARGUMENT, "%s is not a regular file", path);
    } else if (!GetFileSizeEx(opened, &length)) {
        status = path_error(error, GetLastError(), "examine", path);
    } else if ((uint64_t)length.QuadPart > limit) {
        status = error_set(error, KW_INVALID_ARGUMENT, "%s is larger than %zu bytes", path, limit);
    } else {
        *size = (size_t)length.QuadPart;
        *handle = (intptr_t)opened;
        opened = INVALID_HANDLE_VALUE;
    }
    if (opened != INVALID_HANDLE_VALUE)
        CloseHandle(opened);
    free(wide);
    return status;
}

kw_status file_read_open(intptr_t handle, const char *path, unsigned char *data, size_t capacity, size_t *length,
                         kw_error *error)
{
    size_t done = 0;
    while (done < capacity) {
        DWORD got = 0;
        const DWORD wanted = capacity - done < CHUNK ? (DWORD)(capacity - done) : CHUNK;
        if (!ReadFile((HANDLE)handle, data + done, wanted, &got, NULL))
            return path_error(error, GetLastError(), "read", path);
        if (got == 0)
            break;
        done += got;
    }
    *length = done;
    return KW_OK;
}

void file_close(intptr_t handle)
{
    CloseHandle((HANDLE)handle);
}

kw_status file_read_descriptor(int descriptor, size_t limit, struct secret *content, kw_error *error)
{
    (void)limit;
    (void)content;
    error_set(error, KW_UNSUPPORTED,
              "descriptor %d cannot be read: programs do not inherit numbered descriptors on Windows", descriptor);
    error_remedy(error, "give the secret as file:PATH or env:NAME");
    return KW_UNSUPPORTED;
}

/* ---- Writing ---- */

static kw_status write_all(HANDLE handle, const char *path, kw_input content, kw_error *error)
{
    while (content.length > 0) {
        DWORD put = 0;
        if (!WriteFile(handle, content.data, content.length < CHUNK ? (DWORD)content.length : CHUNK, &put, NULL))
            return path_error(error, GetLastError(), "write", path);
        content.data += put;
        content.length -= put;
    }
    return KW_OK;
}

/* What a new file or directory of this mode may be used by; NULL in `descriptor`: whoever the directory says. To be freed by acl_free. */
static kw_status choose_rights(const char *path, unsigned mode, bool directory, void **descriptor, kw_error *error)
{
    kw_status status = KW_OK;
    wchar_t *wide = NULL;
    char *parent = NULL;
    *descriptor = NULL;
    if ((mode & OTHERS) != 0)
        return KW_OK;
    parent = path_directory(path);
    if (parent == NULL)
        return error_memory(error);
    status = widen(parent, &wide, error);
    if (status == KW_OK && acl_is_open(wide)) {
        *descriptor = acl_private(directory);
        if (*descriptor == NULL)
            status = error_memory(error);
    }
    free(wide);
    free(parent);
    return status;
}

/* A name beside `path` that nobody else thinks of; to be freed. */
static char *name_beside(const char *path)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    char chosen[NAME_LETTERS + 1] = "";
    unsigned random = 0;
    if (rand_s(&random) != 0)
        return NULL;
    for (size_t i = 0; i < NAME_LETTERS; i++, random >>= 5)
        chosen[i] = letters[random & 31u];
    return text_format("%s.%s", path, chosen);
}

kw_status file_write_beside(const char *path, kw_input content, unsigned mode, char **temporary, kw_error *error)
{
    void *descriptor = NULL;
    char *name = NULL;
    wchar_t *wide = NULL;
    HANDLE handle = INVALID_HANDLE_VALUE;
    kw_status status = choose_rights(path, mode, false, &descriptor, error);
    SECURITY_ATTRIBUTES rights = {.nLength = sizeof(rights), .lpSecurityDescriptor = descriptor};
    for (size_t tries = 0; status == KW_OK && handle == INVALID_HANDLE_VALUE; tries++) {
        free(name);
        free(wide);
        wide = NULL;
        name = name_beside(path);
        status = name == NULL ? error_memory(error) : widen(name, &wide, error);
        if (status != KW_OK)
            goto out;
        handle = CreateFileW(wide, GENERIC_WRITE, 0, descriptor == NULL ? NULL : &rights, CREATE_NEW,
                             FILE_ATTRIBUTE_NORMAL, NULL);
        if (handle == INVALID_HANDLE_VALUE && (GetLastError() != ERROR_FILE_EXISTS || tries == NAMES))
            status = path_error(error, GetLastError(), "create", path);
    }
    if (status != KW_OK)
        goto out;
    status = write_all(handle, path, content, error);
    if (status == KW_OK && !FlushFileBuffers(handle))
        status = path_error(error, GetLastError(), "sync", path);
    if (!CloseHandle(handle) && status == KW_OK)
        status = path_error(error, GetLastError(), "close", path);
    if (status != KW_OK) {
        DeleteFileW(wide);
        goto out;
    }
    *temporary = name;
    name = NULL;
out:
    acl_free(descriptor);
    free(wide);
    free(name);
    return status;
}

/*
 * 0, or GetLastError's number. Whoever has the old file open, as virus scanners do for a moment, is waited for a little; Windows does not tell
 * that from a right that is missing. It writes the new name through to the disk itself.
 */
static DWORD move(const char *from, const char *to, bool replace)
{
    wchar_t *wide_source = wide_path(from), *wide_target = wide_path(to);
    DWORD number = ERROR_NOT_ENOUGH_MEMORY;
    for (int times = 0; wide_source != NULL && wide_target != NULL && times < REPLACE_TIMES; times++) {
        if (MoveFileExW(wide_source, wide_target, MOVEFILE_WRITE_THROUGH | (replace ? MOVEFILE_REPLACE_EXISTING : 0))) {
            number = ERROR_SUCCESS;
            break;
        }
        number = GetLastError();
        if (number != ERROR_SHARING_VIOLATION && (number != ERROR_ACCESS_DENIED || !replace))
            break;
        Sleep(REPLACE_WAIT);
    }
    free(wide_source);
    free(wide_target);
    return number;
}

static kw_status replace_regular(const char *path, kw_input content, unsigned mode, kw_error *error)
{
    char *temporary = NULL;
    kw_status status = file_write_beside(path, content, mode, &temporary, error);
    if (status != KW_OK)
        return status;
    const DWORD number = move(temporary, path, true);
    if (number != ERROR_SUCCESS) {
        status = path_error(error, number, "replace", path);
        file_unlink(temporary);
    }
    free(temporary);
    return status;
}

static kw_status write_through(const wchar_t *wide, const char *path, kw_input content, kw_error *error)
{
    const HANDLE handle = CreateFileW(wide, GENERIC_WRITE, shared, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        return path_error(error, GetLastError(), "open", path);
    kw_status status = KW_OK;
    /* What became a regular file meanwhile would be overwritten in place. */
    if (GetFileType(handle) == FILE_TYPE_DISK)
        status = error_set(error, KW_CONFLICT, "%s was replaced while it was opened", path);
    else
        status = write_all(handle, path, content, error);
    CloseHandle(handle);
    return status;
}

/* Takes the prefix away that "any length" has, of a drive or a share; with / alone, as everywhere. */
static char *plain(const wchar_t *wide)
{
    static const wchar_t any[] = L"\\\\?\\", share[] = L"\\\\?\\UNC\\";
    enum { ANY = 4, SHARE = 8 };
    char *path = NULL, *text = NULL;
    if (wcsncmp(wide, share, SHARE) == 0)
        text = wide_to(wide + SHARE);
    else
        text = wide_to(wcsncmp(wide, any, ANY) == 0 ? wide + ANY : wide);
    for (char *at = text; at != NULL && *at != '\0'; at++) {
        if (*at == '\\')
            *at = '/';
    }
    if (text == NULL || wcsncmp(wide, share, SHARE) != 0)
        return text;
    path = text_format("//%s", text);
    free(text);
    return path;
}

/* Where links lead in the end; to be freed, NULL when memory ran out. */
static char *real_path(HANDLE handle)
{
    char *real = NULL;
    const DWORD room = GetFinalPathNameByHandleW(handle, NULL, 0, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS);
    wchar_t *wide = room == 0 ? NULL : malloc(((size_t)room + 1) * sizeof(*wide));
    if (wide != NULL &&
        GetFinalPathNameByHandleW(handle, wide, room + 1, FILE_NAME_NORMALIZED | VOLUME_NAME_DOS) <= room)
        real = plain(wide);
    free(wide);
    return real;
}

kw_status file_replace(const char *path, kw_input content, unsigned mode, kw_error *error)
{
    wchar_t *wide = NULL;
    char *real = NULL;
    HANDLE handle = INVALID_HANDLE_VALUE;
    BY_HANDLE_FILE_INFORMATION facts;
    kw_status status = widen(path, &wide, error);
    if (status != KW_OK)
        return status;
    handle = CreateFileW(wide, 0, shared, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        const DWORD number = GetLastError();
        if (number != ERROR_FILE_NOT_FOUND)
            status = path_error(error, number, "examine", path);
        else if (GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES) /* a link that leads nowhere */
            status = path_error(error, number, "follow", path);
        else
            status = replace_regular(path, content, mode, error);
        goto out;
    }
    if (GetFileType(handle) != FILE_TYPE_DISK) {
        status = write_through(wide, path, content, error);
        goto out;
    }
    if (!GetFileInformationByHandle(handle, &facts)) {
        status = path_error(error, GetLastError(), "examine", path);
        goto out;
    }
    if ((facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
        status = path_error(error, ERROR_DIRECTORY, "replace", path);
        goto out;
    }
    real = real_path(handle);
    CloseHandle(handle);
    handle = INVALID_HANDLE_VALUE;
    status = real == NULL ? error_memory(error) : replace_regular(real, content, mode, error);
out:
    if (handle != INVALID_HANDLE_VALUE)
        CloseHandle(handle);
    free(real);
    free(wide);
    return status;
}

kw_status file_publish(const char *unnamed, const char *path, kw_error *error)
{
    const DWORD number = move(unnamed, path, false);
    if (number == ERROR_ALREADY_EXISTS || number == ERROR_FILE_EXISTS)
        return error_set(error, KW_EXISTS, "there is a file %s already", path);
    return number != ERROR_SUCCESS ? path_error(error, number, "create", path) : KW_OK;
}

/* Rights are inherited from the directory, so there is nothing to give. */
kw_status file_give_to_owner(const char *path, const char *directory, kw_error *error)
{
    (void)path;
    (void)directory;
    (void)error;
    return KW_OK;
}

kw_status file_claim_directory(const char *path, unsigned mode, bool *made, kw_error *error)
{
    wchar_t *wide = NULL;
    void *descriptor = NULL;
    DWORD number = ERROR_SUCCESS;
    kw_status status = widen(path, &wide, error);
    if (status != KW_OK)
        return status;
    status = choose_rights(path, mode, true, &descriptor, error);
    if (status != KW_OK)
        goto out;
    SECURITY_ATTRIBUTES rights = {.nLength = sizeof(rights), .lpSecurityDescriptor = descriptor};
    if (!CreateDirectoryW(wide, descriptor == NULL ? NULL : &rights))
        number = GetLastError();
    const DWORD attributes = number == ERROR_ALREADY_EXISTS ? GetFileAttributesW(wide) : FILE_ATTRIBUTE_DIRECTORY;
    if (number != ERROR_SUCCESS && (number != ERROR_ALREADY_EXISTS || (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0 ||
                                    attributes == INVALID_FILE_ATTRIBUTES))
        status = path_error(error, number, "make the directory", path);
    else
        *made = number == ERROR_SUCCESS;
out:
    acl_free(descriptor);
    free(wide);
    return status;
}

/* ---- Who may touch it ---- */

bool file_is_named(const char *path)
{
    wchar_t *wide = wide_path(path);
    const bool is = wide != NULL && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
    free(wide);
    return is;
}

void file_unlink(const char *path)
{
    wchar_t *wide = wide_path(path);
    if (wide != NULL)
        DeleteFileW(wide);
    free(wide);
}

bool file_exists(const char *path)
{
    wchar_t *wide = wide_path(path);
    HANDLE handle = INVALID_HANDLE_VALUE;
    if (wide != NULL)
        handle = CreateFileW(wide, 0, shared, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle != INVALID_HANDLE_VALUE)
        CloseHandle(handle);
    free(wide);
    return handle != INVALID_HANDLE_VALUE;
}

bool file_others_read(const char *path)
{
    struct acl_finding finding = {0};
    wchar_t *wide = wide_path(path);
    const bool known = wide != NULL && acl_examine(wide, ACL_READING, &finding) == ERROR_SUCCESS;
    free(wide);
    return known && finding.others;
}

static kw_status check_trusted(const char *path, kw_error *error)
{
    struct acl_finding finding = {0};
    wchar_t *wide = NULL;
    kw_status status = widen(path, &wide, error);
    if (status != KW_OK)
        return status;
    const DWORD number = acl_examine(wide, ACL_CHANGING, &finding);
    free(wide);
    if (number != ERROR_SUCCESS)
        return path_error(error, number, "examine", path);
    if (!finding.owner_trusted) {
        error_set(error, KW_REFUSED, "%s belongs to %s, who could change it", path, finding.owner);
        error_remedy(error, "icacls \"%s\" /setowner Administrators", path);
        return KW_REFUSED;
    }
    if (finding.others) {
        error_set(error, KW_REFUSED, "%s may be changed by %s", path, finding.other);
        error_remedy(error, "take that right away: icacls \"%s\" /inheritance:d /remove:g \"%s\"", path, finding.other);
        return KW_REFUSED;
    }
    return KW_OK;
}

static kw_status check_trusted_pair(const char *path, kw_error *error)
{
    char *directory = path_directory(path);
    if (directory == NULL)
        return error_memory(error);
    kw_status status = check_trusted(path, error);
    if (status == KW_OK)
        status = check_trusted(directory, error);
    free(directory);
    return status;
}

kw_status file_check_trusted(const char *path, kw_error *error)
{
    HANDLE handle = INVALID_HANDLE_VALUE;
    wchar_t *wide = NULL;
    char *real = NULL;
    kw_status status = check_trusted_pair(path, error);
    if (status != KW_OK)
        return status;
    /* Where links lead must be safe as well. */
    status = widen(path, &wide, error);
    if (status != KW_OK)
        return status;
    handle = CreateFileW(wide, 0, shared, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        status = path_error(error, GetLastError(), "resolve", path);
        goto out;
    }
    real = real_path(handle);
    CloseHandle(handle);
    status = real == NULL ? error_memory(error) : check_trusted_pair(real, error);
out:
    free(real);
    free(wide);
    return status;
}
