/* The pool of sessions, and operations on them. */
#include "pkcs11.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOSSES_MAXIMUM 32
#define LOSSES_AT_ONCE 4

CK_RV p11_did(struct p11_use *use, const char *function, CK_RV result)
{
    use->calls++;
    if (result != CKR_OK && function != NULL)
        use->function = function;
    return result;
}

CK_RV p11_tell(struct p11_use *use, kw_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(use->sentence, sizeof(use->sentence), format, arguments);
    va_end(arguments);
    use->status = status;
    return P11_TOLD;
}

void p11_count(struct p11_use *use)
{
    const kw_host *host = &use->instance->host;
    if (use->calls > 0 && host->count != NULL)
        host->count(host->context, use->calls);
    use->calls = 0;
}

/* ---- The pool --------------------------------------------------------------------------------------------------- */

enum taken { TAKEN, OPEN_ONE, NONE_FREE };

/* With the gate entered and the state locked. */
static enum taken pool_take(kw_plugin_instance *instance, struct p11_use *use)
{
    if (instance->pool.generation != use->generation) { /* what there was is gone with its generation */
        instance->pool.generation = use->generation;
        instance->pool.open = instance->pool.free = 0;
    }
    if (instance->pool.free > 0) {
        const struct p11_session *session = &instance->pool.sessions[--instance->pool.free];
        use->session = session->handle;
        memcpy(use->copies, session->copies, sizeof(use->copies));
        return TAKEN;
    }
    memset(use->copies, 0, sizeof(use->copies));
    if (instance->pool.open >= instance->pool.limit)
        return NONE_FREE;
    instance->pool.open++;
    return OPEN_ONE;
}

static CK_RV open_one(struct p11_use *use, CK_SESSION_HANDLE *session)
{
    kw_plugin_instance *instance = use->instance;
    CK_FLAGS flags = CKF_SERIAL_SESSION | (instance->read_only ? 0 : CKF_RW_SESSION);
    return p11_did(use, "C_OpenSession",
                   use->functions->C_OpenSession(instance->token->slot, flags, NULL, NULL, session));
}

/*
 * Inside of the gate. A session that may be in the middle of something is closed; but not before there is another, because a token logs out
 * when its last session goes.
 */
static void pool_return(struct p11_use *use, bool usable)
{
    kw_plugin_instance *instance = use->instance;
    CK_SESSION_HANDLE other;
    if (!usable) {
        memset(use->copies, 0, sizeof(use->copies)); /* they go with their session */
        usable = open_one(use, &other) == CKR_OK;
        (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
        if (usable)
            use->session = other;
    }
    p11_state_lock();
    if (instance->pool.generation == use->generation) {
        if (usable) {
            struct p11_session *session = &instance->pool.sessions[instance->pool.free++];
            session->handle = use->session;
            memcpy(session->copies, use->copies, sizeof(session->copies));
        } else {
            instance->pool.open--;
        }
    }
    p11_state_changed();
    p11_state_unlock();
}

/* Inside of the gate: its place in the pool was taken already. OPEN_ONE: that failed, see *result. */
static enum taken session_open(struct p11_use *use, CK_RV *result)
{
    kw_plugin_instance *instance = use->instance;
    enum taken taken = OPEN_ONE;
    *result = open_one(use, &use->session);
    if (*result == CKR_OK)
        return TAKEN;
    p11_state_lock();
    if (instance->pool.generation == use->generation) {
        instance->pool.open--;
        if (*result == CKR_SESSION_COUNT && instance->pool.open > 0) {
            instance->pool.limit = instance->pool.open; /* the token has no more for us */
            taken = NONE_FREE;
        }
    }
    p11_state_changed();
    p11_state_unlock();
    return taken;
}

/* ---- Turns ------------------------------------------------------------------------------------------------------ */

/*
 * Who makes, changes or deletes objects is alone in that, among the threads of this process and the processes with this module. SoftHSM
 * 2.6.1 answers CKR_GENERAL_ERROR to threads that make keys at once, and lists what another process has just deleted; in NSS they wait
 * for one another until SQLite gives up. Nobody waits for a turn inside of the gate: whoever shuts it would wait too. Signing takes none.
 * After a turn this process takes none for longer than others pause between their tries, or who makes many keys would shut them out.
 */
#define TURN_PAUSE 2u
#define TURN_REST  4u

static void turn_free(struct p11_module *module, uint64_t changed)
{
    p11_state_lock();
    module->changing = false;
    module->changed = changed;
    p11_state_changed();
    p11_state_unlock();
}

static void turn_give(struct p11_use *use)
{
    if (!use->changes)
        return;
    atomic_fetch_add(&use->instance->module->turns, 1);
    p11_processes_unlock(use->turn);
    use->turn = -1;
    turn_free(use->instance->module, p11_now());
}

/* Inside of the gate; false: not now. A process that hangs in its turn is not waited for forever. */
static bool turn_take(struct p11_use *use)
{
    struct p11_module *module = use->instance->module;
    p11_state_lock();
    const uint64_t changed = module->changed;
    const bool mine = !module->changing && p11_now() - changed > TURN_REST;
    if (mine)
        module->changing = true;
    p11_state_unlock();
    if (!mine)
        return false;
    use->turn = p11_processes_try(module);
    if (use->turn >= 0 || use->waited >= use->instance->timeout)
        return true;
    turn_free(module, changed);
    use->waited += TURN_PAUSE;
    return false;
}

/* Outside of the gate. */
static kw_status turn_wait(struct p11_use *use)
{
    const struct timespec pause = {.tv_nsec = TURN_PAUSE * 1000000L};
    unsigned patience = p11_patience(use->instance, use->call);
    if (patience == 0)
        return p11_report(&use->instance->host, KW_TIMEOUT, "others are making or deleting keys of the token '%s'",
                          use->instance->token->label);
    p11_state_lock();
    bool here = use->instance->module->changing;
    if (here)
        p11_state_wait(patience);
    p11_state_unlock();
    if (!here)
        (void)nanosleep(&pause, NULL);
    return KW_OK;
}

/*
 * Enters the gate with a session, and the turn where one is needed. KW_OK and *result CKR_OK: it is entered. KW_OK and another: no session can be opened. Otherwise the
 * reason was reported.
 */
static kw_status session_take(struct p11_use *use, CK_RV *result)
{
    kw_plugin_instance *instance = use->instance;
    struct p11_gate *gate = &instance->module->gate;
    for (;;) {
        if (!p11_gate_enter(gate, p11_patience(instance, use->call)))
            return p11_shut_out(instance);
        use->generation = instance->token->generation;
        if (!instance->token->ready || instance->token->distrusted) {
            p11_gate_leave(gate);
            kw_status status = p11_token_renew(instance, use->call, use->generation);
            if (status != KW_OK)
                return status;
            continue;
        }
        if (use->changes && !turn_take(use)) {
            p11_gate_leave(gate);
            kw_status status = turn_wait(use);
            if (status != KW_OK)
                return status;
            continue;
        }
        p11_state_lock();
        enum taken taken = pool_take(instance, use);
        p11_state_unlock();
        *result = CKR_OK;
        if (taken == OPEN_ONE)
            taken = session_open(use, result);
        if (taken == TAKEN)
            return KW_OK;
        turn_give(use);
        p11_gate_leave(gate);
        if (taken == OPEN_ONE)
            return KW_OK;
        unsigned patience = p11_patience(instance, use->call);
        if (patience == 0)
            return p11_report(&instance->host, KW_TIMEOUT, "all %u sessions with the token are in use",
                              instance->pool.limit);
        p11_state_lock();
        if (instance->pool.generation == use->generation && instance->pool.free == 0)
            p11_state_wait(patience);
        p11_state_unlock();
    }
}

/* ---- Operations --------------------------------------------------------------------------------------------------- */

static kw_status explain(struct p11_use *use, CK_RV result, const char *what)
{
    const kw_host *host = &use->instance->host;
    char room[24];
    if (result == P11_TOLD)
        return p11_report(host, use->status, "%s", use->sentence);
    kw_status status = p11_failure_status(result);
    if (status == KW_CIPHERTEXT_INVALID)
        return p11_report(host, status, "the ciphertext was not made for this key, or was changed");
    if (p11_failure_is_refusal_of_pin(result)) {
        host->secret_refused(host->context, "pin");
        p11_token_distrust(use->instance, use->call);
    }
    return p11_report(host, status, "the token '%s' cannot %s: %s answers %s", use->instance->token->label, what,
                      use->function != NULL ? use->function : "the module", p11_failure_name(result, room));
}

/*
 * How often an operation is repeated that may be. A session that goes may go again while others lose theirs too; a handle that is not known
 * although it was just looked up will not be known later.
 */
static int repetitions(CK_RV result)
{
    return result == CKR_KEY_HANDLE_INVALID || result == CKR_OBJECT_HANDLE_INVALID ? 1 : LOSSES_MAXIMUM;
}

/* A token that several threads find lost again and again settles sooner when they do not all press on. */
static void pause_after(int losses)
{
    if (losses < LOSSES_AT_ONCE)
        return;
    const struct timespec while_it_settles = {.tv_nsec = 2000000L * (losses - LOSSES_AT_ONCE + 1)};
    (void)nanosleep(&while_it_settles, NULL);
}

/*
 * Whether it may be the copy of the key alone that does not do. Who finds out has its session closed, and a new one has no copies. When sessions
 * or the login are gone, so are all copies.
 */
static bool is_of_copy(struct p11_use *use, CK_RV result)
{
    use->copy_failed = use->by_copy && result != P11_TOLD && (!p11_failure_is_loss(result) || repetitions(result) == 1);
    return use->copy_failed;
}

static kw_status perform(struct p11_use *use, const char *what, p11_body body, void *argument)
{
    kw_plugin_instance *instance = use->instance;
    const kw_call *call = use->call;
    kw_status status = p11_deadline(instance, call);
    for (int losses = 0; status == KW_OK; losses++) {
        CK_RV result = CKR_OK;
        use->begun = use->dirty = use->by_copy = false;
        status = session_take(use, &result);
        if (status != KW_OK)
            break;
        if (result == CKR_OK) {
            result = body(use, argument);
            pool_return(use, result == CKR_OK || (result == P11_TOLD && !use->dirty));
            turn_give(use);
            p11_gate_leave(&instance->module->gate);
        }
        p11_count(use);
        if (result == CKR_OK)
            return KW_OK;
        if (is_of_copy(use, result))
            continue;
        if (!p11_failure_is_loss(result) || losses >= repetitions(result) || p11_patience(instance, call) == 0)
            return explain(use, result, what);
        pause_after(losses);
        status = p11_token_renew(instance, call, use->generation);
        if (status == KW_OK && use->begun)
            return explain(use, result, what);
    }
    p11_count(use);
    return status;
}

kw_status p11_perform(kw_plugin_instance *instance, const kw_call *call, const char *what, p11_body body,
                      void *argument)
{
    struct p11_use use = {.instance = instance, .call = call, .functions = instance->module->functions};
    return perform(&use, what, body, argument);
}

kw_status p11_change(kw_plugin_instance *instance, const kw_call *call, const char *what, p11_body body, void *argument)
{
    struct p11_use use = {
        .instance = instance, .call = call, .functions = instance->module->functions, .changes = true, .turn = -1};
    return perform(&use, what, body, argument);
}
