#include "base/run_lock.h"

#include "base/right.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"

/* In `locks` from before the system is asked until it is released. */
struct run_lock {
    struct run_lock *next;
    char *path;
    int descriptor; /* -1 in a child that only inherited it */
    dev_t device;
    ino_t inode;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct run_lock *locks;

static void fork_prepare(void)
{
    pthread_mutex_lock(&mutex);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

/* The child holds none of them. Its descriptors go now: closed later, they would take a lock along that it has taken itself. */
static void fork_child(void)
{
    for (struct run_lock *lock = locks; lock != NULL; lock = lock->next) {
        close(lock->descriptor);
        lock->descriptor = -1;
    }
    locks = NULL;
    pthread_cond_init(&released, NULL);
    pthread_mutex_unlock(&mutex);
}

static void initialise(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void run_lock_watch_forks(void)
{
    pthread_once(&once, initialise);
}

/* ---- The table; the mutex is held ---- */

static bool held(dev_t device, ino_t inode)
{
    for (const struct run_lock *lock = locks; lock != NULL; lock = lock->next) {
        if (lock->device == device && lock->inode == inode)
            return true;
    }
    return false;
}

static void forget(struct run_lock *forgotten)
{
    for (struct run_lock **link = &locks; *link != NULL; link = &(*link)->next) {
        if (*link == forgotten) {
            *link = forgotten->next;
            break;
        }
    }
    close(forgotten->descriptor);
    forgotten->descriptor = -1;
    pthread_cond_broadcast(&released);
}

/* ---- Taking ---- */

static kw_status lock_error(kw_error *error, int number, const char *path)
{
    if (number == EACCES || number == EPERM || number == EROFS) {
        const enum right right = faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0 ? RIGHT_WRITE : RIGHT_CREATE;
        return right_error(error, number, right, path, "cannot open the lock file %s", path);
    }
    return error_set(error, number == ENOENT ? KW_NOT_FOUND : KW_FAILED, "cannot lock %s: %s", path, strerror(number));
}

static kw_status conflict(kw_error *error, const char *path)
{
    return error_set(error, KW_CONFLICT, "somebody else holds the lock %s", path);
}

/*
 * Opens the file and enters it into the table, where it is not yet. The file must not be opened while it is in the table, since closing
 * it again would release the lock.
 */
static kw_status enter(struct run_lock *lock, bool wait, kw_error *error)
{
    struct stat facts;
    kw_status status = KW_OK;
    pthread_mutex_lock(&mutex);
    while (stat(lock->path, &facts) == 0 && held(facts.st_dev, facts.st_ino)) {
        if (!wait) {
            status = conflict(error, lock->path);
            goto out;
        }
        pthread_cond_wait(&released, &mutex);
    }
    lock->descriptor = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->descriptor < 0 || fstat(lock->descriptor, &facts) != 0) {
        status = lock_error(error, errno, lock->path);
        if (lock->descriptor >= 0)
            close(lock->descriptor);
        goto out;
    }
    lock->device = facts.st_dev;
    lock->inode = facts.st_ino;
    lock->next = locks;
    locks = lock;
out:
    pthread_mutex_unlock(&mutex);
    return status;
}

static kw_status ask_system(const struct run_lock *lock, bool wait, kw_error *error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fcntl(lock->descriptor, wait ? F_SETLKW : F_SETLK, &whole) != 0) {
        if (errno == EINTR)
            continue;
        if (errno == EACCES || errno == EAGAIN || errno == EDEADLK)
            return conflict(error, lock->path);
        return lock_error(error, errno, lock->path);
    }
    return KW_OK;
}

/* Whether the locked file is still the one of this name: who released it may have removed it. */
static bool current(const struct run_lock *lock)
{
    struct stat facts;
    return stat(lock->path, &facts) == 0 && facts.st_dev == lock->device && facts.st_ino == lock->inode;
}

kw_status run_lock_take(const char *path, bool wait, struct run_lock **lock, kw_error *error)
{
    kw_status status = KW_OK;
    struct run_lock *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    run_lock_watch_forks();
    made->path = text_copy(path);
    if (made->path == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (bool taken = false; !taken;) {
        status = enter(made, wait, error);
        if (status != KW_OK)
            goto out;
        status = ask_system(made, wait, error);
        taken = status == KW_OK && current(made);
        if (taken)
            break;
        pthread_mutex_lock(&mutex);
        forget(made);
        pthread_mutex_unlock(&mutex);
        if (status != KW_OK)
            goto out;
    }
    *lock = made;
    made = NULL;
out:
    if (made != NULL)
        free(made->path);
    free(made);
    return status;
}

void run_lock_release(struct run_lock *lock, bool remove)
{
    if (lock == NULL)
        return;
    pthread_mutex_lock(&mutex);
    if (lock->descriptor >= 0) {
        if (remove)
            unlink(lock->path);
        forget(lock);
    }
    pthread_mutex_unlock(&mutex);
    free(lock->path);
    free(lock);
}
