/* The control file: found, judged, made where there is none, and mapped. */
#include "control/layout.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/right.h"
#include "base/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static kw_status system_error(kw_error *error, int number, enum right right, const char *verb, const char *path)
{
    if (number == EACCES || number == EPERM || number == EROFS)
        return right_error(error, number, right, path, "cannot %s %s", verb, path);
    if (number == ELOOP)
        return error_set(error, KW_REFUSED, "%s is a symbolic link", path);
    const kw_status status = error_set(error, number == ENOENT ? KW_NOT_FOUND : KW_UNAVAILABLE, "cannot %s %s: %s",
                                       verb, path, strerror(number));
    if (number == ENOSPC || number == EDQUOT)
        error_remedy(error, "free %zu bytes there", sizeof(struct control_file));
    return status;
}

#ifdef __clang_analyzer__
#define system_error(...) error_failure(system_error(__VA_ARGS__)) /* as in base/error.h */
#endif

/* ---- Locks ---- */

static bool lock_range(int descriptor, short type, off_t start, off_t length)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    int answer;
    do
        answer = fcntl(descriptor, F_SETLK, &range);
    while (answer != 0 && errno == EINTR);
    return answer == 0;
}

bool region_lock(const struct region *region, short type, off_t byte)
{
    return !region_descriptor_is_lost(region) && lock_range(region->descriptor, type, byte, 1);
}

static bool locked_range(int descriptor, off_t start, off_t length, pid_t *holder)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    if (fcntl(descriptor, F_GETLK, &range) != 0 || range.l_type == F_UNLCK)
        return false;
    *holder = range.l_pid;
    return true;
}

bool region_locked(const struct region *region, off_t byte, pid_t *holder)
{
    return !region_descriptor_is_lost(region) && locked_range(region->descriptor, byte, 1, holder);
}

/* ---- Making ---- */

static const struct control_identity identity = {
    .magic = CONTROL_MAGIC,
    .layout = CONTROL_LAYOUT,
    .slot_count = CONTROL_SLOTS,
    .block_count = CONTROL_BLOCKS,
    .operation_count = CONTROL_OPERATIONS,
    .size = sizeof(struct control_file),
};

static kw_status fill(int descriptor, const char *path, kw_error *error)
{
    /* Greater than any of a file that was here before. */
    const uint64_t generation = (uint64_t)clock_wall() << 16;
    const int number = posix_fallocate(descriptor, 0, (off_t)sizeof(struct control_file));
    if (number != 0)
        return system_error(error, number, RIGHT_WRITE, "allocate", path);
    if (pwrite(descriptor, &identity, sizeof(identity), 0) < 0 ||
        pwrite(descriptor, &generation, sizeof(generation), offsetof(struct control_file, generation)) < 0 ||
        fsync(descriptor) != 0)
        return system_error(error, errno, RIGHT_WRITE, "write", path);
    return KW_OK;
}

/* A complete file under a name of its own, which is handed out. */
static kw_status make_unnamed(const char *state_directory, const char *path, char **unnamed, kw_error *error)
{
    int descriptor = -1;
    kw_status status = KW_OK;
    char *name = text_format("%s.XXXXXX", path);
    if (name == NULL)
        return error_memory(error);
    descriptor = mkostemp(name, O_CLOEXEC);
    if (descriptor < 0) {
        status = system_error(error, errno, RIGHT_CREATE, "create", path);
        goto out;
    }
    status = file_give_to_owner(name, state_directory, error);
    if (status == KW_OK)
        status = fill(descriptor, path, error);
    if (status != KW_OK) {
        unlink(name);
        goto out;
    }
    *unnamed = name;
    name = NULL;
out:
    if (descriptor >= 0)
        close(descriptor);
    free(name);
    return status;
}

/* state/run, where somebody removed it. */
static kw_status make_directory(const char *state_directory, const char *path, kw_error *error)
{
    bool made = false;
    char *run = path_directory(path);
    kw_status status = run != NULL ? file_claim_directory(run, 0700, &made, error) : error_memory(error);
    if (status == KW_OK && made)
        status = file_give_to_owner(run, state_directory, error);
    free(run);
    return status;
}

/* KW_EXISTS: somebody else was faster. */
static kw_status make(const char *state_directory, const char *path, kw_error *error)
{
    char *unnamed = NULL;
    kw_status status = make_directory(state_directory, path, error);
    if (status == KW_OK)
        status = make_unnamed(state_directory, path, &unnamed, error);
    if (status == KW_OK)
        status = file_publish(unnamed, path, error);
    if (status != KW_OK && unnamed != NULL)
        unlink(unnamed);
    free(unnamed);
    return status;
}

/* ---- Judging ---- */

/* Whose it is and who may write it: nobody else's, or nothing in it could be relied on. */
static kw_status judge_rights(const struct stat *facts, const char *state_directory, const char *path, kw_error *error)
{
    struct stat state;
    kw_status status = KW_OK;
    if (stat(state_directory, &state) != 0)
        return system_error(error, errno, RIGHT_READ, "examine", state_directory);
    if (facts->st_uid != geteuid() && facts->st_uid != 0 && facts->st_uid != state.st_uid)
        status = error_set(error, KW_REFUSED, "%s belongs to somebody else than the state", path);
    else if ((facts->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        status = error_set(error, KW_REFUSED, "others may write %s", path);
    else if (!S_ISREG(facts->st_mode))
        status = error_set(error, KW_REFUSED, "%s is not a regular file", path);
    if (status != KW_OK)
        error_remedy(
            error,
            "stop the programs that use this state, see how it came to that, and remove the file; it is made anew");
    return status;
}

enum judgement { SOUND, DAMAGED, OTHER_LAYOUT };

static enum judgement judge_content(int descriptor, const struct stat *facts)
{
    struct control_identity read;
    if (pread(descriptor, &read, sizeof(read), 0) != (ssize_t)sizeof(read) ||
        memcmp(read.magic, identity.magic, sizeof(read.magic)) != 0)
        return DAMAGED;
    if (read.layout != CONTROL_LAYOUT)
        return OTHER_LAYOUT;
    return read.slot_count == identity.slot_count && read.block_count == identity.block_count &&
                   read.operation_count == identity.operation_count && read.size == identity.size &&
                   facts->st_size == (off_t)identity.size
               ? SOUND
               : DAMAGED;
}

/* ---- Opening ---- */

struct opened {
    int descriptor;
    struct stat facts;
    enum judgement judgement;
};

static kw_status open_and_judge(const char *state_directory, const char *path, struct opened *opened, kw_error *error)
{
    kw_status status = KW_OK;
    const int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return system_error(error, errno, RIGHT_WRITE, "open", path);
    if (fstat(descriptor, &opened->facts) != 0)
        status = system_error(error, errno, RIGHT_READ, "examine", path);
    else
        status = judge_rights(&opened->facts, state_directory, path, error);
    if (status != KW_OK) {
        close(descriptor);
        return status;
    }
    opened->descriptor = descriptor;
    opened->judgement = judge_content(descriptor, &opened->facts);
    return KW_OK;
}

/* A file that cannot be used gives way to a new one, if nobody uses it. One at a time. */
static kw_status replace(const char *state_directory, const char *path, const struct log *log, kw_error *error)
{
    struct opened opened = {.descriptor = -1};
    struct run_lock *lock = NULL;
    pid_t holder = 0;
    char *unnamed = NULL, *lock_path = text_format("%s.lock", path);
    kw_status status = lock_path != NULL ? run_lock_take(lock_path, true, &lock, error) : error_memory(error);
    if (status != KW_OK)
        goto out;
    status = open_and_judge(state_directory, path, &opened, error);
    if (status != KW_OK || opened.judgement == SOUND)
        goto out;
    if (locked_range(opened.descriptor, 0, 0, &holder)) {
        status = opened.judgement == OTHER_LAYOUT
                     ? error_set(error, KW_CORRUPT, "%s has another version's layout, and process %ld uses it", path,
                                 (long)holder)
                     : error_set(error, KW_CORRUPT, "%s is damaged, and process %ld uses it", path, (long)holder);
        error_remedy(error, "stop the programs that use this state, and start them again");
        goto out;
    }
    status = make_unnamed(state_directory, path, &unnamed, error);
    if (status != KW_OK)
        goto out;
    if (rename(unnamed, path) != 0) {
        status = system_error(error, errno, RIGHT_CREATE, "replace", path);
        unlink(unnamed);
        goto out;
    }
    log_write(log, KW_LOG_WARNING, "%s %s and was made anew: the counters begin at zero", path,
              opened.judgement == OTHER_LAYOUT ? "had another version's layout" : "was damaged");
out:
    if (opened.descriptor >= 0)
        close(opened.descriptor);
    run_lock_release(lock, true);
    free(lock_path);
    free(unnamed);
    return status;
}

static struct region *known_region(struct region *known, const struct stat *facts)
{
    for (; known != NULL; known = known->next)
        if (known->device == facts->st_dev && known->inode == facts->st_ino)
            return known;
    return NULL;
}

static kw_status region_map(struct opened *opened, char *path, struct region **region, kw_error *error)
{
    struct region *made = calloc(1, sizeof(*made));
    void *file;
    if (made == NULL)
        return error_memory(error);
    file = mmap(NULL, sizeof(*made->file), PROT_READ | PROT_WRITE, MAP_SHARED, opened->descriptor, 0);
    if (file == MAP_FAILED) {
        const kw_status status = system_error(error, errno, RIGHT_WRITE, "map", path);
        free(made);
        return status;
    }
    made->path = path;
    made->descriptor = opened->descriptor;
    made->device = opened->facts.st_dev;
    made->inode = opened->facts.st_ino;
    made->file = file;
    opened->descriptor = -1;
    *region = made;
    return KW_OK;
}

#define ATTEMPTS 100

kw_status region_open(const char *state_directory, struct region *known, const struct log *log, struct region **region,
                      kw_error *error)
{
    struct stat facts;
    struct opened opened = {.descriptor = -1};
    char *path = text_format("%s/run/control", state_directory);
    kw_status status = KW_CONFLICT;
    if (path == NULL)
        return error_memory(error);
    for (int attempt = 0; attempt < ATTEMPTS && status == KW_CONFLICT; attempt++) {
        struct region *const found = lstat(path, &facts) == 0 ? known_region(known, &facts) : NULL;
        if (found != NULL) {
            *region = found;
            status = KW_OK;
            goto out;
        }
        status = open_and_judge(state_directory, path, &opened, error);
        if (status == KW_NOT_FOUND) {
            status = make(state_directory, path, error);
            status = status == KW_OK || status == KW_EXISTS ? KW_CONFLICT : status;
        } else if (status == KW_OK && opened.judgement != SOUND) {
            close(opened.descriptor);
            opened.descriptor = -1;
            status = replace(state_directory, path, log, error);
            status = status == KW_OK ? KW_CONFLICT : status;
        }
    }
    if (status == KW_CONFLICT)
        status = error_set(error, KW_CONFLICT, "somebody keeps replacing %s", path);
    if (status == KW_OK)
        status = region_map(&opened, path, region, error);
    if (status == KW_OK)
        path = NULL;
out:
    if (opened.descriptor >= 0)
        close(opened.descriptor);
    free(path);
    return status;
}

void region_close(struct region *region)
{
    munmap(region->file, sizeof(*region->file));
    if (!region_descriptor_is_lost(region))
        close(region->descriptor);
    free(region->path);
    free(region);
}

/* ---- A descriptor that a program closed for us ---- */

bool region_descriptor_is_lost(const struct region *region)
{
    struct stat facts;
    return region->descriptor < 0 || fstat(region->descriptor, &facts) != 0 || facts.st_dev != region->device ||
           facts.st_ino != region->inode;
}

bool region_reopen(struct region *region)
{
    struct stat facts;
    const int descriptor = open(region->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    region->descriptor = -1;
    if (descriptor < 0)
        return false;
    if (fstat(descriptor, &facts) != 0 || facts.st_dev != region->device || facts.st_ino != region->inode) {
        close(descriptor);
        return false;
    }
    region->descriptor = descriptor;
    return true;
}
