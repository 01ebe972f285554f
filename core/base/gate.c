#include "base/gate.h"

/*
 * Who enters adds itself to `inside` and then looks at `shut`; who forks sets `shut` and then looks at `inside`: one of the two sees the
 * other, because the atomics are sequentially consistent.
 */
void gate_enter(struct gate *gate)
{
    for (;;) {
        atomic_fetch_add(&gate->inside, 1);
        if (!atomic_load(&gate->shut))
            return;
        gate_leave(gate);
        pthread_mutex_lock(&gate->mutex);
        while (atomic_load(&gate->shut))
            pthread_cond_wait(&gate->changed, &gate->mutex);
        pthread_mutex_unlock(&gate->mutex);
    }
}

void gate_leave(struct gate *gate)
{
    if (atomic_fetch_sub(&gate->inside, 1) == 1 && atomic_load(&gate->shut)) {
        pthread_mutex_lock(&gate->mutex);
        pthread_cond_broadcast(&gate->changed);
        pthread_mutex_unlock(&gate->mutex);
    }
}

/* The mutex stays locked across the fork, so that the child finds it whole. */
void gate_fork_prepare(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    atomic_store(&gate->shut, true);
    while (atomic_load(&gate->inside) > 0)
        pthread_cond_wait(&gate->changed, &gate->mutex);
}

void gate_fork_parent(struct gate *gate)
{
    atomic_store(&gate->shut, false);
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

/* Those who waited, or were about to, are not in this process. */
void gate_fork_child(struct gate *gate)
{
    gate->changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    atomic_store(&gate->inside, 0);
    atomic_store(&gate->shut, false);
    pthread_mutex_unlock(&gate->mutex);
}
