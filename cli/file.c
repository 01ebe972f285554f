#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP ((size_t)64 * 1024)

void content_free(struct content *content)
{
    if (content->data != NULL)
        explicit_bzero(content->data, content->capacity);
    free(content->data);
    memset(content, 0, sizeof(*content));
}

kw_status content_reserve(struct content *content, size_t capacity, kw_error *error)
{
    if (capacity <= content->capacity)
        return KW_OK;
    /* Not realloc, which leaves a copy behind. */
    unsigned char *data = malloc(capacity);
    if (data == NULL)
        return problem_memory(error);
    if (content->length > 0)
        memcpy(data, content->data, content->length);
    struct content old = *content;
    content->data = data;
    content->capacity = capacity;
    content_free(&old);
    return KW_OK;
}

kw_input content_input(const struct content *content)
{
    return (kw_input){.data = content->data, .length = content->length};
}

bool file_is_standard(const char *path)
{
    return strcmp(path, "-") == 0;
}

static void user_name(uid_t user, char *name, size_t size)
{
    const struct passwd *entry = getpwuid(user);

    if (entry != NULL)
        snprintf(name, size, "%s", entry->pw_name);
    else
        snprintf(name, size, "%lu", (unsigned long)user);
}

/* The nearest directory above `path` that can be told about: where the way ends. */
static char *directory_of(const char *path, struct stat *facts)
{
    char *directory = strdup(path);
    char *slash = directory != NULL ? strrchr(directory, '/') : NULL;

    while (slash != NULL && slash != directory) {
        *slash = '\0';
        if (stat(directory, facts) == 0)
            return directory;
        slash = strrchr(directory, '/');
    }
    free(directory);
    directory = strdup(path[0] == '/' ? "/" : ".");
    if (directory != NULL && stat(directory, facts) == 0)
        return directory;
    free(directory);
    return NULL;
}

/* Who lacks which right to what, beside "Permission denied". */
static void explain_right(kw_error *error, const char *path, const char *what)
{
    struct stat facts;
    bool writing = strcmp(what, "cannot be written") == 0;
    bool file = stat(path, &facts) == 0 && (!writing || !S_ISREG(facts.st_mode)); /* others are replaced */
    char *place = file ? strdup(path) : directory_of(path, &facts);
    const char *verb = !file ? "search the directory" : writing ? "write to the file" : "read the file";
    char user[64], owner[64];

    if (place == NULL)
        return;
    user_name(geteuid(), user, sizeof(user));
    user_name(facts.st_uid, owner, sizeof(owner));
    if (!file && faccessat(AT_FDCWD, place, X_OK, AT_EACCESS) == 0)
        verb = "write to the directory";
    problem_set(error, KW_PERMISSION,
                "%s: user %s needs the right to %s %s, which belongs to user %s and has mode %04o", what, user, verb,
                place, owner, (unsigned)facts.st_mode & 07777u);
    problem_remedy(error, "run it as user %s, or give user %s that right", owner, user);
    free(place);
}

/* The system's reason, with the file in `where`. */
static kw_status fail(kw_error *error, const char *path, const char *what, int reason)
{
    kw_status status = reason == ENOENT || reason == ENOTDIR                    ? KW_NOT_FOUND
                       : reason == EACCES || reason == EPERM || reason == EROFS ? KW_PERMISSION
                       : reason == EISDIR                                       ? KW_INVALID_ARGUMENT
                                                                                : KW_FAILED;

    problem_set(error, status, "%s: %s", what, strerror(reason));
    if (reason == EACCES)
        explain_right(error, path, what);
    snprintf(error->where, sizeof(error->where), "%s", path);
    return status;
}

kw_status file_read(const char *path, struct content *content, kw_error *error)
{
    struct content read_so_far = {0};
    bool standard = file_is_standard(path);
    const char *name = standard ? "standard input" : path;
    int file = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    kw_status status = KW_OK;

    if (file < 0)
        return fail(error, name, "cannot be opened", errno);
    for (;;) {
        size_t room = read_so_far.capacity - read_so_far.length;
        if (room == 0) {
            if (read_so_far.length > FILE_MAXIMUM) {
                status = problem_set(error, KW_INVALID_ARGUMENT, "larger than %zu MiB", FILE_MAXIMUM >> 20);
                snprintf(error->where, sizeof(error->where), "%s", name);
                goto out;
            }
            status = content_reserve(&read_so_far, 2 * read_so_far.capacity + READ_STEP, error);
            if (status != KW_OK)
                goto out;
            continue;
        }
        ssize_t got = read(file, read_so_far.data + read_so_far.length, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            status = fail(error, name, "cannot be read", errno);
            goto out;
        }
        if (got == 0)
            break;
        read_so_far.length += (size_t)got;
    }
    *content = read_so_far;
    read_so_far = (struct content){0};
out:
    content_free(&read_so_far);
    if (!standard)
        close(file);
    return status;
}

static int write_all(int file, kw_input content)
{
    for (size_t done = 0; done < content.length;) {
        ssize_t wrote = write(file, content.data + done, content.length - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno;
        done += (size_t)wrote;
    }
    return 0;
}

/* A file that is no regular one (a device, a pipe) cannot be replaced: it is written to. */
static kw_status write_through(const char *path, kw_input content, kw_error *error)
{
    int file = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    kw_status status = KW_OK;

    if (file < 0)
        return fail(error, path, "cannot be written", errno);
    int reason = write_all(file, content);
    if (close(file) != 0 && reason == 0)
        reason = errno;
    if (reason != 0)
        status = fail(error, path, "cannot be written", reason);
    return status;
}

static kw_status write_beside(const char *path, kw_input content, bool secret, kw_error *error)
{
    size_t length = strlen(path) + sizeof(".XXXXXX");
    char *beside = malloc(length);
    sigset_t ending, before;
    kw_status status = KW_OK;
    int file = -1, reason = 0;

    /* So that an interrupted command leaves no half of a file beside the real one. */
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, &before);

    if (beside == NULL) {
        status = problem_memory(error);
        goto out;
    }
    snprintf(beside, length, "%s.XXXXXX", path);
    file = mkstemp(beside); /* mode 0600 */
    if (file < 0) {
        status = fail(error, path, "cannot be written", errno);
        goto out;
    }
    if (!secret) {
        mode_t mask = umask(0);
        umask(mask);
        if (fchmod(file, 0666 & ~mask) != 0)
            reason = errno;
    }
    if (reason == 0)
        reason = write_all(file, content);
    if (reason == 0 && fsync(file) != 0)
        reason = errno;
    if (close(file) != 0 && reason == 0)
        reason = errno;
    if (reason == 0 && rename(beside, path) != 0)
        reason = errno;
    if (reason != 0) {
        unlink(beside);
        status = fail(error, path, "cannot be written", reason);
    }
out:
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(beside);
    return status;
}

kw_status file_write(const char *path, kw_input content, bool secret, kw_error *error)
{
    struct stat existing;
    char *resolved = NULL; /* behind symbolic links: they stay */
    kw_status status;

    if (file_is_standard(path)) {
        /* main sees to it that a failure to write there is told. */
        fwrite(content.data, 1, content.length, stdout);
        return KW_OK;
    }
    if (lstat(path, &existing) != 0)
        return write_beside(path, content, secret, error);
    if (stat(path, &existing) != 0) /* a link that leads nowhere */
        return fail(error, path, "cannot be written", errno);
    if (S_ISDIR(existing.st_mode))
        return fail(error, path, "cannot be written", EISDIR);
    if (!S_ISREG(existing.st_mode))
        return write_through(path, content, error);
    resolved = realpath(path, NULL);
    if (resolved == NULL)
        return fail(error, path, "cannot be written", errno);
    status = write_beside(resolved, content, secret, error);
    free(resolved);
    return status;
}
