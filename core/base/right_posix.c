#include "base/right.h"
#include "base/right_user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#undef right_error

/* What is wanted of the path in the end, and of each directory above it: to be searched. */
struct need {
    int mode;
    const char *verb, *letter; /* for chmod */
};
static const struct need search = {X_OK, "search", "x"};

void right_user(uid_t user, char text[RIGHT_USER_SIZE])
{
    struct passwd entry, *found = NULL;
    char space[4096];
    if (getpwuid_r(user, &entry, space, sizeof(space), &found) == 0 && found != NULL)
        snprintf(text, RIGHT_USER_SIZE, "%s", found->pw_name);
    else
        snprintf(text, RIGHT_USER_SIZE, "%lu", (unsigned long)user);
}

static bool withheld(const char *path, const struct need *need)
{
    return faccessat(AT_FDCWD, path, need->mode, AT_EACCESS) != 0 && (errno == EACCES || errno == EPERM);
}

/* The directory that `path` is in. False: too long. */
static bool parent_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (length >= PATH_MAX)
        return false;
    snprintf(directory, PATH_MAX, "%.*s", length == 0 ? 1 : (int)length, length == 0 ? "." : path);
    return true;
}

/* The first directory on the way that may not be searched, then what is wanted of the end. False: none withholds anything. */
static bool find(const char *path, enum right right, char obstacle[PATH_MAX], struct need *need)
{
    static const struct need ends[] = {
        [RIGHT_READ] = {R_OK, "read", "r"},
        [RIGHT_WRITE] = {W_OK, "write to", "w"},
        [RIGHT_CREATE] = {W_OK, "write to", "w"},
    };
    char directory[PATH_MAX];
    *need = search;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        const size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= PATH_MAX)
            return false;
        snprintf(obstacle, PATH_MAX, "%.*s", (int)length, path);
        if (withheld(obstacle, need))
            return true;
    }
    *need = ends[right];
    snprintf(obstacle, PATH_MAX, "%s", path);
    if (right != RIGHT_CREATE && withheld(obstacle, need))
        return true;
    if (!parent_of(path, directory))
        return false;
    snprintf(obstacle, PATH_MAX, "%s", directory);
    return right != RIGHT_READ && withheld(obstacle, need);
}

kw_status right_error(kw_error *error, int number, enum right right, const char *path, const char *what, ...)
{
    char sentence[sizeof(((kw_error *)0)->message)] = "", obstacle[PATH_MAX], user[RIGHT_USER_SIZE],
                                    owner[RIGHT_USER_SIZE];
    struct need need;
    struct stat facts;
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(sentence, sizeof(sentence), what, arguments);
    va_end(arguments);
    right_user(geteuid(), user);
    if (number == EROFS) {
        error_set(error, KW_PERMISSION, "%s: it is on a read-only file system", sentence);
        error_remedy(error, "mount it writable, or name a place that is");
    } else if (find(path, right, obstacle, &need) && stat(obstacle, &facts) == 0) {
        right_user(facts.st_uid, owner);
        error_set(error, KW_PERMISSION,
                  "%s: user %s needs the right to %s the %s %s, which belongs to user %s and has mode %04o", sentence,
                  user, need.verb, S_ISDIR(facts.st_mode) ? "directory" : "file", obstacle, owner,
                  (unsigned)facts.st_mode & 07777u);
        if (facts.st_uid == geteuid())
            error_remedy(error, "chmod u+%s %s", need.letter, obstacle);
        else
            error_remedy(error, "run it as user %s, or give user %s that right", owner, user);
    } else {
        error_set(error, KW_PERMISSION, "%s: user %s has no right to it: %s", sentence, user, strerror(number));
        error_remedy(error, "give user %s the right to it", user);
    }
    return KW_PERMISSION;
}
