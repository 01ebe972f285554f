/* Both separators are taken, and / is written: Windows takes it everywhere but before "\\?\", which base/wide.h sees to. */
#include "base/path.h"

#include "base/buffer.h"
#include "base/wide.h"

#include <stdlib.h>
#include <string.h>
#include <windows.h>

static bool is_separator(char character)
{
    return character == '/' || character == '\\';
}

static bool has_drive(const char *path)
{
    return ((path[0] >= 'A' && path[0] <= 'Z') || (path[0] >= 'a' && path[0] <= 'z')) && path[1] == ':';
}

/* C:/ or \\: "\name" and "C:name" depend on the current drive and its directory. */
bool path_is_absolute(const char *path)
{
    return has_drive(path) ? is_separator(path[2]) : is_separator(path[0]) && is_separator(path[1]);
}

/* How much of it cannot be taken away: "C:/", "C:", "/", "//". */
static size_t root_length(const char *path)
{
    size_t length = has_drive(path) ? 2 : 0;
    while (is_separator(path[length]))
        length++;
    return length;
}

static const char *last_separator(const char *path)
{
    const char *last = NULL;
    for (const char *at = path + root_length(path); *at != '\0'; at++) {
        if (is_separator(*at))
            last = at;
    }
    return last;
}

char *path_join(const char *directory, const char *name)
{
    const size_t length = strlen(directory);
    /* After "C:" too, which is the current directory of that drive. */
    const bool ends = length > 0 && (is_separator(directory[length - 1]) || (length == 2 && has_drive(directory)));
    return text_format("%s%s%s", directory, ends ? "" : "/", name);
}

char *path_resolve(const char *directory, const char *path)
{
    return path_is_absolute(path) || root_length(path) > 0 ? path_absolute(path) : path_join(directory, path);
}

char *path_directory(const char *path)
{
    const char *separator = last_separator(path);
    const size_t root = root_length(path);
    if (separator == NULL && root == 0)
        return text_copy(".");
    return text_format("%.*s", (int)(separator == NULL ? root : (size_t)(separator - path)), path);
}

const char *path_name(const char *path)
{
    const char *separator = last_separator(path);
    return separator == NULL ? path + root_length(path) : separator + 1;
}

char *path_absolute(const char *path)
{
    if (path_is_absolute(path))
        return text_copy(path);
    char *absolute = NULL;
    wchar_t *wide = wide_from(path), *full = NULL;
    const DWORD room = wide == NULL ? 0 : GetFullPathNameW(wide, 0, NULL, NULL);
    full = room == 0 ? NULL : malloc(room * sizeof(*full));
    if (full != NULL && GetFullPathNameW(wide, room, full, NULL) - 1 < room - 1)
        absolute = wide_to(full);
    for (char *at = absolute; at != NULL && *at != '\0'; at++) {
        if (*at == '\\')
            *at = '/';
    }
    free(full);
    free(wide);
    return absolute;
}
