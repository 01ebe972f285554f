#include "catalogue/place.h"

#include "base/right.h"
#include "base/right_user.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wanted {
    int mode;
    const char *verb;
    const char *letter; /* for chmod */
};

/* The first that is missing comes first: without search, nothing else can be told. */
static const struct wanted directory_rights[] = {{X_OK, "search", "x"}, {W_OK, "write to", "w"}, {R_OK, "list", "r"}};
static const struct wanted file_rights[] = {{W_OK, "write", "w"}, {R_OK, "read", "r"}};

static kw_status check(const char *path, const char *kind, const struct stat *facts, const struct wanted *rights,
                       size_t count, kw_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (faccessat(AT_FDCWD, path, rights[i].mode, AT_EACCESS) == 0)
            continue;
        int number = errno;
        if (number == EROFS) {
            error_set(error, KW_PERMISSION, "the %s %s is on a read-only file system", kind, path);
            error_remedy(error,
                         "mount it writable, or set `state` in the configuration to a directory that can be written");
        } else if (number == EACCES || number == EPERM) {
            char user[RIGHT_USER_SIZE], owner[RIGHT_USER_SIZE];
            right_user(geteuid(), user);
            right_user(facts->st_uid, owner);
            error_set(error, KW_PERMISSION,
                      "user %s needs the right to %s the %s %s, which belongs to user %s and has mode %04o", user,
                      rights[i].verb, kind, path, owner, (unsigned)facts->st_mode & 07777u);
            if (facts->st_uid == geteuid())
                error_remedy(error, "chmod u+%s %s", rights[i].letter, path);
            else
                error_remedy(error, "run it as user %s, or give the state directory and all in it to user %s: chown -R",
                             owner, user);
        } else {
            return error_set(error, number == ENOENT ? KW_NOT_FOUND : KW_UNAVAILABLE, "the %s %s cannot be used: %s",
                             kind, path, strerror(number));
        }
        error_where(error, "%s", path);
        return KW_PERMISSION;
    }
    return KW_OK;
}

static kw_status examine(const char *path, const char *kind, struct stat *facts, kw_error *error)
{
    if (stat(path, facts) == 0)
        return KW_OK;
    int number = errno;
    if (number == EACCES) {
        right_error(error, number, RIGHT_READ, path, "the %s %s cannot be reached", kind, path);
        error_where(error, "%s", path);
        return KW_PERMISSION;
    }
    const kw_status status = number == ENOENT || number == ENOTDIR ? KW_NOT_FOUND : KW_UNAVAILABLE;
    error_set(error, status, "the %s %s cannot be reached: %s", kind, path, strerror(number));
    error_where(error, "%s", path);
    return status;
}

kw_status place_check_directory(const char *path, kw_error *error)
{
    static const char kind[] = "state directory";
    struct stat facts;
    kw_status status = examine(path, kind, &facts, error);
    if (status != KW_OK)
        return status;
    if (!S_ISDIR(facts.st_mode)) {
        error_set(error, KW_CONFIGURATION, "the %s %s is not a directory", kind, path);
        error_where(error, "%s", path);
        error_remedy(error, "set `state` in the configuration to a directory");
        return KW_CONFIGURATION;
    }
    return check(path, kind, &facts, directory_rights, sizeof(directory_rights) / sizeof(directory_rights[0]), error);
}

kw_status place_check_file(const char *path, kw_error *error)
{
    static const char kind[] = "file";
    struct stat facts;
    kw_status status = examine(path, kind, &facts, error);
    if (status != KW_OK)
        return error_tolerate(status, KW_NOT_FOUND, error);
    if (!S_ISREG(facts.st_mode)) {
        error_set(error, KW_CONFIGURATION, "%s is not a regular file", path);
        error_where(error, "%s", path);
        return KW_CONFIGURATION;
    }
    /* What other processes keep beside the catalogue may go at any time. */
    status = check(path, kind, &facts, file_rights, sizeof(file_rights) / sizeof(file_rights[0]), error);
    return error_tolerate(status, KW_NOT_FOUND, error);
}

long place_process(void)
{
    return (long)getpid();
}

void place_remove_file(const char *path)
{
    (void)unlink(path);
}

void place_remove_directory(const char *path)
{
    (void)rmdir(path);
}
