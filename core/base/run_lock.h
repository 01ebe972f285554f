/*
 * Locks between processes: a file that its holder keeps locked as long as it lives (fcntl record locks, or LockFileEx of Windows; the system releases them when
 * the process dies, and a forked child does not hold them). Within a process a table knows what is held, since closing any
 * descriptor of a locked file would release the lock.
 */
#ifndef KEYWRIGHT_BASE_RUN_LOCK_H
#define KEYWRIGHT_BASE_RUN_LOCK_H

#include "base/error.h"

struct run_lock;

/*
 * Takes the lock at once or, with `wait`, when its holder lets go. Errors: KW_CONFLICT (somebody holds it, also another
 * lock object of this process), KW_PERMISSION.
 */
KW_MUST_USE kw_status run_lock_take(const char *path, bool wait, struct run_lock **lock, kw_error *error);
/* Registers what a fork needs of the table. Before a floor above registers its own, so that locks are taken from the top down. */
void run_lock_watch_forks(void);
/* Releases; with `remove`, deletes the file first. In a forked child it only forgets. */
void run_lock_release(struct run_lock *lock, bool remove);

#endif
