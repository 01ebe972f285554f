#include "base/gate.h"

void gate_init(struct gate *gate)
{
    *gate = (struct gate)GATE_INITIALIZER;
}

void gate_destroy(struct gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->mutex);
}

void gate_enter(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->shut)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    gate->inside++;
    pthread_mutex_unlock(&gate->mutex);
}

void gate_leave(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    if (--gate->inside == 0 && gate->shut)
        pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

/* The mutex stays locked across the fork, so that the child finds it whole. */
void gate_fork_prepare(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->shut = true;
    while (gate->inside > 0)
        pthread_cond_wait(&gate->changed, &gate->mutex);
}

void gate_fork_parent(struct gate *gate)
{
    gate->shut = false;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

/* Those who waited are not in this process. */
void gate_fork_child(struct gate *gate)
{
    gate->changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    gate->shut = false;
    pthread_mutex_unlock(&gate->mutex);
}
