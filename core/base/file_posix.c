#include "base/file_private.h"

#include "base/right.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a failed system call on a path means. */
static kw_status number_status(int number)
{
    static const struct {
        int number;
        kw_status status;
    } statuses[] = {
        {ENOENT, KW_NOT_FOUND},        {ENOTDIR, KW_NOT_FOUND},
        {EACCES, KW_PERMISSION},       {EPERM, KW_PERMISSION},
        {EROFS, KW_PERMISSION},        {EEXIST, KW_EXISTS},
        {ENOMEM, KW_OUT_OF_MEMORY},    {ELOOP, KW_INVALID_ARGUMENT},
        {EISDIR, KW_INVALID_ARGUMENT}, {ENAMETOOLONG, KW_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].number == number)
            return statuses[i].status;
    }
    return KW_FAILED;
}

static kw_status path_error(kw_error *error, int number, const char *verb, const char *path)
{
    /* The others read, or look. */
    static const struct {
        const char *verb;
        enum right right;
    } rights[] = {
        {"write", RIGHT_WRITE},
        {"create", RIGHT_CREATE},
        {"replace", RIGHT_CREATE},
        {"make the directory", RIGHT_CREATE},
    };
    const kw_status status = number_status(number);
    enum right right = RIGHT_READ;
    if (status != KW_PERMISSION)
        return error_set(error, status, "cannot %s %s: %s", verb, path, strerror(number));
    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        if (strcmp(rights[i].verb, verb) == 0)
            right = rights[i].right;
    }
    return right_error(error, number, right, path, "cannot %s %s", verb, path);
}

#ifdef __clang_analyzer__
#define path_error(...) error_failure(path_error(__VA_ARGS__)) /* as in error.h */
#endif

/* ---- Reading ---- */

kw_status file_open(const char *path, size_t limit, intptr_t *handle, size_t *size, kw_error *error)
{
    kw_status status = KW_OK;
    struct stat facts;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (opened < 0)
        return path_error(error, errno, "open", path);
    if (fstat(opened, &facts) != 0) {
        status = path_error(error, errno, "examine", path);
    } else if (!S_ISREG(facts.st_mode)) {
        status = error_set(error, KW_INVALID_ARGUMENT, "%s is not a regular file", path);
    } else if ((uintmax_t)facts.st_size > limit) {
        status = error_set(error, KW_INVALID_ARGUMENT, "%s is larger than %zu bytes", path, limit);
    } else {
        *size = (size_t)facts.st_size;
        *handle = opened;
        opened = -1;
    }
    if (opened >= 0)
        close(opened);
    return status;
}

kw_status file_read_open(intptr_t handle, const char *path, unsigned char *data, size_t capacity, size_t *length,
                         kw_error *error)
{
    size_t done = 0;
    while (done < capacity) {
        ssize_t got = read((int)handle, data + done, capacity - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return path_error(error, errno, "read", path);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *length = done;
    return KW_OK;
}

void file_close(intptr_t handle)
{
    close((int)handle);
}

kw_status file_read_descriptor(int descriptor, size_t limit, struct secret *content, kw_error *error)
{
    struct secret secret = {0};
    kw_status status = secret_new(&secret, limit, error);
    if (status != KW_OK)
        return status;
    /* One byte more shows whether there is too much. */
    while (secret.length <= limit) {
        ssize_t got = read(descriptor, secret.data + secret.length, limit + 1 - secret.length);
        if (got > 0) {
            secret.length += (size_t)got;
        } else if (got == 0) {
            break;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = descriptor, .events = POLLIN};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            status = error_set(error, errno == EBADF ? KW_NOT_FOUND : KW_FAILED, "cannot read descriptor %d: %s",
                               descriptor, strerror(errno));
            goto out;
        }
    }
    if (secret.length > limit) {
        status = error_set(error, KW_INVALID_ARGUMENT, "descriptor %d gives more than %zu bytes", descriptor, limit);
        goto out;
    }
    secret.data[secret.length] = '\0';
    *content = secret;
    secret = (struct secret){0};
out:
    secret_clear(&secret);
    return status;
}

/* ---- Writing ---- */

static kw_status write_all(int descriptor, const char *path, kw_input content, kw_error *error)
{
    while (content.length > 0) {
        ssize_t put = write(descriptor, content.data, content.length);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return path_error(error, errno, "write", path);
        content.data += put;
        content.length -= (size_t)put;
    }
    return KW_OK;
}

/* Makes a rename durable. File systems that cannot sync a directory need no help. */
static kw_status sync_directory(const char *path, kw_error *error)
{
    kw_status status = KW_OK;
    int descriptor = -1;
    char *directory = path_directory(path);
    if (directory == NULL) {
        status = error_memory(error);
        goto out;
    }
    descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        /* A directory that may be written but not read cannot be opened; the file itself is safe. */
        if (errno != EACCES)
            status = path_error(error, errno, "open", directory);
        goto out;
    }
    if (fsync(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = path_error(error, errno, "sync", directory);
out:
    if (descriptor >= 0)
        close(descriptor);
    free(directory);
    return status;
}

kw_status file_write_beside(const char *path, kw_input content, unsigned mode, char **temporary, kw_error *error)
{
    kw_status status = KW_OK;
    int descriptor = -1;
    char *name = text_format("%s.XXXXXX", path);
    if (name == NULL)
        return error_memory(error);
    descriptor = mkostemp(name, O_CLOEXEC);
    if (descriptor < 0) {
        status = path_error(error, errno, "create", path);
        free(name);
        return status;
    }
    status = write_all(descriptor, path, content, error);
    if (status == KW_OK && fchmod(descriptor, (mode_t)mode) != 0)
        status = path_error(error, errno, "set the mode of", path);
    if (status == KW_OK && fsync(descriptor) != 0)
        status = path_error(error, errno, "sync", path);
    if (close(descriptor) != 0 && status == KW_OK)
        status = path_error(error, errno, "close", path);
    if (status != KW_OK) {
        unlink(name);
        free(name);
        return status;
    }
    *temporary = name;
    return KW_OK;
}

static kw_status replace_regular(const char *path, kw_input content, unsigned mode, kw_error *error)
{
    char *temporary = NULL;
    kw_status status = file_write_beside(path, content, mode, &temporary, error);
    if (status != KW_OK)
        goto out;
    if (rename(temporary, path) != 0) {
        status = path_error(error, errno, "replace", path);
        unlink(temporary);
        goto out;
    }
    status = sync_directory(path, error);
out:
    free(temporary);
    return status;
}

static kw_status write_through(const char *path, kw_input content, kw_error *error)
{
    struct stat facts;
    kw_status status = KW_OK;
    int descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0)
        return path_error(error, errno, "open", path);
    /* What became a regular file meanwhile would be overwritten in place. */
    if (fstat(descriptor, &facts) != 0)
        status = path_error(error, errno, "examine", path);
    else if (S_ISREG(facts.st_mode))
        status = error_set(error, KW_CONFLICT, "%s was replaced while it was opened", path);
    else
        status = write_all(descriptor, path, content, error);
    if (close(descriptor) != 0 && status == KW_OK)
        status = path_error(error, errno, "close", path);
    return status;
}

kw_status file_replace(const char *path, kw_input content, unsigned mode, kw_error *error)
{
    struct stat facts;
    char *real = NULL;
    kw_status status = KW_OK;
    if (lstat(path, &facts) != 0)
        return errno == ENOENT ? replace_regular(path, content, mode, error)
                               : path_error(error, errno, "examine", path);
    /* A link that leads nowhere ends here. */
    if (stat(path, &facts) != 0)
        return path_error(error, errno, "follow", path);
    if (S_ISDIR(facts.st_mode))
        return path_error(error, EISDIR, "replace", path);
    if (!S_ISREG(facts.st_mode))
        return write_through(path, content, error);
    real = realpath(path, NULL);
    if (real == NULL)
        return path_error(error, errno, "resolve", path);
    status = replace_regular(real, content, mode, error);
    free(real);
    return status;
}

/* Gives a file its name where nobody has it: 0, or an errno. */
static int rename_new(const char *temporary, const char *path)
{
#if defined(RENAME_NOREPLACE)
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
#endif
    /* A file system that does not know how (NFS) has links. */
    if (link(temporary, path) != 0)
        return errno;
    unlink(temporary);
    return 0;
}

kw_status file_publish(const char *unnamed, const char *path, kw_error *error)
{
    const int number = rename_new(unnamed, path);
    if (number == EEXIST)
        return error_set(error, KW_EXISTS, "there is a file %s already", path);
    return number != 0 ? path_error(error, number, "create", path) : sync_directory(path, error);
}

kw_status file_give_to_owner(const char *path, const char *directory, kw_error *error)
{
    struct stat facts;
    if (geteuid() != 0)
        return KW_OK;
    if (stat(directory, &facts) != 0)
        return path_error(error, errno, "examine", directory);
    return lchown(path, facts.st_uid, facts.st_gid) == 0 ? KW_OK : path_error(error, errno, "give away", path);
}

kw_status file_claim_directory(const char *path, unsigned mode, bool *made, kw_error *error)
{
    struct stat facts;
    const int number = mkdir(path, (mode_t)mode) == 0 ? 0 : errno;
    if (number != 0 && (number != EEXIST || stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)))
        return path_error(error, number, "make the directory", path);
    *made = number == 0;
    return KW_OK;
}

/* ---- Who may touch it ---- */

bool file_is_named(const char *path)
{
    struct stat facts;
    return lstat(path, &facts) == 0;
}

void file_unlink(const char *path)
{
    unlink(path);
}

bool file_exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0;
}

bool file_others_read(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && (facts.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

static kw_status check_trusted(const char *path, kw_error *error)
{
    struct stat facts;
    if (stat(path, &facts) != 0)
        return path_error(error, errno, "examine", path);
    if (facts.st_uid != 0 && facts.st_uid != geteuid()) {
        error_set(error, KW_REFUSED, "%s belongs to the user with the number %lu, who could change it", path,
                  (unsigned long)facts.st_uid);
        error_remedy(error, "chown root %s", path);
        return KW_REFUSED;
    }
    if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        error_set(error, KW_REFUSED, "%s may be changed by others than its owner (mode %04o)", path,
                  (unsigned)facts.st_mode & 07777u);
        error_remedy(error, "chmod go-w %s", path);
        return KW_REFUSED;
    }
    return KW_OK;
}

/* A file and its directory. */
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
    kw_status status = check_trusted_pair(path, error);
    if (status != KW_OK)
        return status;
    /* Where symbolic links lead must be safe as well. */
    char *real = realpath(path, NULL);
    if (real == NULL)
        return path_error(error, errno, "resolve", path);
    if (strcmp(real, path) != 0)
        status = check_trusted_pair(real, error);
    free(real);
    return status;
}
