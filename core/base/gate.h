/*
 * A gate that a fork shuts. Threads are inside of it while they are in code whose locks must not be taken when the process forks, such as
 * libcrypto's: the child would wait for ever for a thread that it does not have. Not to be nested, and nobody waits inside for what a
 * thread may hold that forks.
 */
#ifndef KEYWRIGHT_BASE_GATE_H
#define KEYWRIGHT_BASE_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct gate {
    atomic_uint inside;
    atomic_bool shut;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

#define GATE_INITIALIZER {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

/* Without a lock, but while a fork is under way. */
void gate_enter(struct gate *gate);
void gate_leave(struct gate *gate);

/* Waits until nobody is inside; who comes meanwhile waits. One of the other two follows, on each side. */
void gate_fork_prepare(struct gate *gate);
void gate_fork_parent(struct gate *gate);
void gate_fork_child(struct gate *gate);

#endif
