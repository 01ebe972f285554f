/* The gate of each module, the state that threads share, and forks. */
#include "pkcs11.h"

#include <errno.h>
#include <time.h>

unsigned p11_gate_patience = 10000;

static pthread_mutex_t state = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void condition_make(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static struct timespec moment_in(unsigned milliseconds)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    moment.tv_sec += milliseconds / 1000;
    moment.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (moment.tv_nsec >= 1000000000) {
        moment.tv_sec++;
        moment.tv_nsec -= 1000000000;
    }
    return moment;
}

/* ---- Forks -------------------------------------------------------------------------------------------------- */

/*
 * Not by the fork operations of an instance: the host calls them for instances that are open, and a process may fork while one opens. The
 * plugin stays loaded, so the handlers do.
 */
static void fork_prepare(void)
{
    for (struct p11_module *module = p11_module_first(); module != NULL; module = module->next) {
        module->gate.by_fork = p11_gate_shut(&module->gate, p11_gate_patience);
        if (module->gate.by_fork) /* else what hangs there does so in the parent alone */
            p11_module_before_fork(module);
    }
    p11_state_lock();
}

static void fork_parent(void)
{
    p11_state_unlock();
    for (struct p11_module *module = p11_module_first(); module != NULL; module = module->next)
        if (module->gate.by_fork) /* the gate that another thread has shut is its to open */
            p11_gate_open(&module->gate);
}

static void fork_child(void)
{
    /* Threads of the parent are not here, but may have left their marks. The mutex is this thread's, since fork_prepare. */
    condition_make();
    for (struct p11_module *module = p11_module_first(); module != NULL; module = module->next) {
        atomic_store(&module->gate.inside, 0);
        atomic_store(&module->gate.shut, false);
        module->forked = module->descends = true;
        module->changing = false;
        for (struct p11_token *token = module->tokens; token != NULL; token = token->next)
            p11_token_forked(token);
    }
    pthread_mutex_unlock(&state);
}

static void prepare_once(void)
{
    condition_make();
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void p11_watch_forks(void)
{
    pthread_once(&once, prepare_once);
}

/* ---- The state ------------------------------------------------------------------------------------------------ */

void p11_state_lock(void)
{
    pthread_once(&once, prepare_once);
    pthread_mutex_lock(&state);
}

void p11_state_unlock(void)
{
    pthread_mutex_unlock(&state);
}

void p11_state_wait(unsigned milliseconds)
{
    struct timespec until = moment_in(milliseconds);
    (void)pthread_cond_timedwait(&changed, &state, &until);
}

void p11_state_changed(void)
{
    pthread_cond_broadcast(&changed);
}

/* ---- Gates ------------------------------------------------------------------------------------------------------ */

/*
 * Who enters adds itself to `inside` and then looks at `shut`; who shuts sets `shut` and then looks at `inside`: one of the two sees the
 * other, because the atomics are sequentially consistent.
 */
void p11_gate_leave(struct p11_gate *gate)
{
    if (atomic_fetch_sub(&gate->inside, 1) == 1 && atomic_load(&gate->shut)) {
        p11_state_lock();
        p11_state_changed();
        p11_state_unlock();
    }
}

/* With the state locked; false: it did not come in time. */
static bool wait_while(bool (*holds)(struct p11_gate *gate), struct p11_gate *gate, const struct timespec *until)
{
    while (holds(gate))
        if (pthread_cond_timedwait(&changed, &state, until) == ETIMEDOUT)
            return !holds(gate);
    return true;
}

static bool is_shut(struct p11_gate *gate)
{
    return atomic_load(&gate->shut);
}

static bool is_used(struct p11_gate *gate)
{
    return atomic_load(&gate->inside) != 0;
}

bool p11_gate_enter(struct p11_gate *gate, unsigned milliseconds)
{
    atomic_fetch_add(&gate->inside, 1);
    if (!atomic_load(&gate->shut))
        return true;
    p11_gate_leave(gate);
    const struct timespec until = moment_in(milliseconds);
    for (;;) {
        p11_state_lock();
        const bool open = wait_while(is_shut, gate, &until);
        p11_state_unlock();
        if (!open)
            return false;
        atomic_fetch_add(&gate->inside, 1);
        if (!atomic_load(&gate->shut))
            return true;
        p11_gate_leave(gate);
    }
}

bool p11_gate_shut(struct p11_gate *gate, unsigned milliseconds)
{
    struct timespec until = moment_in(milliseconds);
    p11_state_lock();
    bool mine = wait_while(is_shut, gate, &until);
    if (mine) {
        atomic_store(&gate->shut, true);
        mine = wait_while(is_used, gate, &until);
        if (!mine) {
            atomic_store(&gate->shut, false);
            p11_state_changed();
        }
    }
    p11_state_unlock();
    return mine;
}

void p11_gate_open(struct p11_gate *gate)
{
    p11_state_lock();
    atomic_store(&gate->shut, false);
    p11_state_changed();
    p11_state_unlock();
}
