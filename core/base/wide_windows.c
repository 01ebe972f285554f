#include "base/wide.h"

#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

wchar_t *wide_from(const char *text)
{
    const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = length <= 0 ? NULL : malloc((size_t)length * sizeof(*wide));
    if (wide != NULL && MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, length) != length) {
        free(wide);
        return NULL;
    }
    return wide;
}

char *wide_to(const wchar_t *wide)
{
    const int length = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, NULL, 0, NULL, NULL);
    char *text = length <= 0 ? NULL : malloc((size_t)length);
    if (text != NULL &&
        WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, text, length, NULL, NULL) != length) {
        free(text);
        return NULL;
    }
    return text;
}

/*
 * "\\?\" before a path lifts the limit of 260 characters, but takes it literally: so it is made absolute and of one kind of separator
 * first, which GetFullPathName does. Shares and devices are left as they are: their prefixes are others.
 */
wchar_t *wide_path(const char *path)
{
    static const wchar_t prefix[] = L"\\\\?\\";
    enum { PREFIX = 4, SHORT = 240 };
    wchar_t *given = wide_from(path), *full = NULL;
    DWORD room = 0, length = 0;
    if (given == NULL)
        return NULL;
    room = GetFullPathNameW(given, 0, NULL, NULL);
    full = room == 0 ? NULL : malloc((PREFIX + (size_t)room) * sizeof(*full));
    if (full == NULL)
        goto out;
    length = GetFullPathNameW(given, room, full + PREFIX, NULL);
    if (length == 0 || length >= room) {
        free(full);
        full = NULL;
        goto out;
    }
    if (length < SHORT || full[PREFIX] == L'\\')
        memmove(full, full + PREFIX, ((size_t)length + 1) * sizeof(*full));
    else
        memcpy(full, prefix, PREFIX * sizeof(*full));
out:
    free(given);
    return full;
}

kw_status wide_environment(const char *name, char **value, kw_error *error)
{
    kw_status status = KW_OK;
    wchar_t *wide = wide_from(name), *content = NULL;
    DWORD room = 0, length = 0;
    if (wide == NULL)
        return error_memory(error);
    /* Another thread may set it meanwhile. */
    do {
        free(content);
        room = length;
        content = malloc(((size_t)room + 1) * sizeof(*content));
        if (content == NULL) {
            status = error_memory(error);
            goto out;
        }
        content[0] = L'\0';
        SetLastError(ERROR_SUCCESS);
        length = GetEnvironmentVariableW(wide, content, room + 1);
    } while (length > room);
    if (length == 0 && GetLastError() == ERROR_ENVVAR_NOT_FOUND) {
        status = error_set(error, KW_NOT_FOUND, "the environment has no variable %s", name);
        goto out;
    }
    char *text = wide_to(content);
    if (text == NULL)
        status = error_set(error, KW_INVALID_ARGUMENT, "the environment's variable %s is no text", name);
    else
        *value = text;
out:
    if (content != NULL)
        SecureZeroMemory(content, ((size_t)room + 1) * sizeof(*content)); /* which may be a secret */
    free(content);
    free(wide);
    return status;
}

kw_status wide_status(uint32_t number)
{
    static const struct {
        uint32_t number;
        kw_status status;
    } statuses[] = {
        {ERROR_FILE_NOT_FOUND, KW_NOT_FOUND},
        {ERROR_PATH_NOT_FOUND, KW_NOT_FOUND},
        {ERROR_INVALID_DRIVE, KW_NOT_FOUND},
        {ERROR_BAD_NETPATH, KW_NOT_FOUND},
        {ERROR_BAD_NET_NAME, KW_NOT_FOUND},
        {ERROR_MOD_NOT_FOUND, KW_NOT_FOUND},
        {ERROR_ACCESS_DENIED, KW_PERMISSION},
        {ERROR_WRITE_PROTECT, KW_PERMISSION},
        {ERROR_PRIVILEGE_NOT_HELD, KW_PERMISSION},
        {ERROR_FILE_EXISTS, KW_EXISTS},
        {ERROR_ALREADY_EXISTS, KW_EXISTS},
        {ERROR_SHARING_VIOLATION, KW_CONFLICT},
        {ERROR_LOCK_VIOLATION, KW_CONFLICT},
        {ERROR_NOT_ENOUGH_MEMORY, KW_OUT_OF_MEMORY},
        {ERROR_OUTOFMEMORY, KW_OUT_OF_MEMORY},
        {ERROR_INVALID_NAME, KW_INVALID_ARGUMENT},
        {ERROR_BAD_PATHNAME, KW_INVALID_ARGUMENT},
        {ERROR_DIRECTORY, KW_INVALID_ARGUMENT},
        {ERROR_FILENAME_EXCED_RANGE, KW_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].number == number)
            return statuses[i].status;
    }
    return KW_FAILED;
}

void wide_reason(uint32_t number, char text[WIDE_REASON_SIZE])
{
    wchar_t wide[WIDE_REASON_SIZE / 3] = L"";
    DWORD length =
        FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK, NULL,
                       number, 0, wide, sizeof(wide) / sizeof(wide[0]), NULL);
    while (length > 0 && (wide[length - 1] == L' ' || wide[length - 1] == L'.'))
        wide[--length] = L'\0';
    char *sentence = length == 0 ? NULL : wide_to(wide);
    snprintf(text, WIDE_REASON_SIZE, "%.220s%s%lu%s", sentence == NULL ? "error " : sentence,
             sentence == NULL ? "" : " (", (unsigned long)number, sentence == NULL ? "" : ")");
    free(sentence);
}
