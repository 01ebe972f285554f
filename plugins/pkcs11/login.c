/* The login: one for all threads and stores of a process on a token. */
#include "key.h"

#include <string.h>
#include <sys/random.h>

/* ---- Logging in --------------------------------------------------------------------------------------------------- */

CK_RV p11_token_session(struct p11_use *use, CK_SLOT_ID slot)
{
    const CK_FLAGS flags = CKF_SERIAL_SESSION;
    CK_RV result = p11_did(use, "C_OpenSession",
                           use->functions->C_OpenSession(slot, flags | CKF_RW_SESSION, NULL, NULL, &use->session));
    if (result == CKR_TOKEN_WRITE_PROTECTED || result == CKR_SESSION_READ_ONLY)
        result = p11_did(use, "C_OpenSession", use->functions->C_OpenSession(slot, flags, NULL, NULL, &use->session));
    return result;
}

static CK_RV login(struct p11_use *use, const struct p11_offer *offer)
{
    kw_plugin_instance *instance = use->instance;
    CK_SESSION_INFO info = {.state = 0};
    CK_RV result = CKR_OK;
    if (!offer->login_required)
        return CKR_OK;
    if (!offer->own_keypad && instance->offered_length == 0) {
        /* A child of a fork may have inherited the login, and somebody else in the process may have logged in. */
        result = p11_did(use, "C_GetSessionInfo", use->functions->C_GetSessionInfo(use->session, &info));
        bool logged_in = info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
        return result != CKR_OK || logged_in ? result : P11_NEEDS_PIN;
    }
    if (!offer->own_keypad && p11_pin_was_refused(instance)) {
        use->function = "C_Login";
        return CKR_PIN_INCORRECT;
    }
    result = p11_did(use, "C_Login",
                     use->functions->C_Login(use->session, CKU_USER, offer->own_keypad ? NULL : instance->offered_pin,
                                             offer->own_keypad ? 0 : instance->offered_length));
    if (result == CKR_USER_ALREADY_LOGGED_IN)
        result = CKR_OK;
    if (result == CKR_OK)
        instance->token->refused_at = 0;
    if (result == CKR_OK && !offer->own_keypad)
        p11_pin_keep(instance);
    else if (p11_failure_is_refusal_of_pin(result) && !offer->own_keypad)
        p11_pin_note_refusal(instance);
    return result;
}

/* Another store's wrong PIN has logged the process out: in again with the one that was in force until now, unless that were the last try. */
static CK_RV login_as_before(struct p11_use *use)
{
    CK_RV result = CKR_USER_NOT_LOGGED_IN;
    struct p11_offer now = {.slot = 0};
    if (!p11_module_offer(use->instance->module, use, use->instance->token->slot, &now) || now.final_try || now.locked)
        return result;
    p11_state_lock();
    kw_plugin_instance *other = use->instance->token->instances; /* stays: who closes shuts the gate first */
    p11_state_unlock();
    if (other != NULL && other != use->instance && other->pin_length > 0)
        result = p11_did(use, NULL, use->functions->C_Login(use->session, CKU_USER, other->pin, other->pin_length));
    return result;
}

void p11_token_take_session(struct p11_use *use)
{
    kw_plugin_instance *instance = use->instance;
    instance->pool.generation = instance->token->generation;
    instance->pool.sessions[0] = (struct p11_session){.handle = use->session};
    instance->pool.open = instance->pool.free = 1;
}

/* Another store of this process is logged in, with the same PIN: a session is all that it takes. */
static bool join_login(struct p11_use *use, const struct p11_offer *offer)
{
    kw_plugin_instance *instance = use->instance;
    struct p11_token *token = instance->token;
    bool pinless = !offer->login_required || offer->own_keypad;
    if (!token->ready || instance->is_listed || token->slot != offer->slot ||
        !(pinless || p11_pin_is_known(instance)) || p11_token_session(use, offer->slot) != CKR_OK)
        return false;
    if (!pinless)
        p11_pin_keep(instance);
    p11_token_take_session(use);
    return true;
}

/*
 * A generator of random numbers that lies in the process was copied by the fork, and NSS's would go on in the child as in its parent: the
 * same keys, and signatures with the same nonces, which give the key away. So it gets bytes that only this process has.
 */
static CK_RV seed(struct p11_use *use)
{
    unsigned char bytes[32];
    if (use->functions->C_SeedRandom == NULL)
        return CKR_OK;
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        return CKR_FUNCTION_FAILED;
    CK_RV result =
        p11_did(use, "C_SeedRandom", use->functions->C_SeedRandom(use->session, bytes, (CK_ULONG)sizeof(bytes)));
    explicit_bzero(bytes, sizeof(bytes));
    return p11_failure_is_inability(result) ? CKR_OK : result; /* one that lies in the device */
}

CK_RV p11_token_connect(struct p11_use *use, const struct p11_offer *offer, bool inherited)
{
    struct p11_token *token = use->instance->token;
    bool was_ready = token->ready && !inherited;
    CK_RV result = CKR_OK;
    if (was_ready && join_login(use, offer))
        goto out;
    /* Handles may be given out again, so none of the old may be in use; and a PIN is only checked by a login that is one. */
    if (was_ready)
        (void)p11_did(use, NULL, use->functions->C_CloseAllSessions(token->slot));
    token->ready = token->distrusted = false;
    token->generation++;
    token->slot = offer->slot;
    result = p11_token_session(use, offer->slot);
    if (result != CKR_OK)
        goto out;
    result = login(use, offer);
    if (result == CKR_OK && use->instance->module->descends)
        result = seed(use);
    if (result == CKR_OK) {
        token->ready = true;
        p11_token_take_session(use);
    } else if (p11_failure_is_refusal_of_pin(result) && was_ready && login_as_before(use) == CKR_OK) {
        token->ready = true;
        token->anchor = use->session;
        token->anchor_generation = token->generation;
    } else {
        (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
    }
out:
    p11_pin_forget_offered(use->instance);
    return result;
}

/*
 * After a restart of the module for the sake of one token: the others, which had nothing to do with it, are logged in again with what they
 * accepted. Whose login fails finds out at its next operation.
 */
void p11_token_connect_others(struct p11_use *use, const struct p11_token *except)
{
    struct p11_module *module = use->instance->module;
    for (struct p11_token *token = module->tokens; token != NULL; token = token->next) {
        struct p11_offer offer = {.slot = 0};
        p11_state_lock();
        kw_plugin_instance *instance = token->instances; /* stays: who closes shuts the gate first */
        const bool renewing = token->renewing; /* that thread has the PIN for it, or asks for it, and logs in itself */
        p11_state_unlock();
        if (token == except || instance == NULL || renewing || token->distrusted ||
            (instance->wants_pin && instance->pin_length == 0))
            continue;
        struct p11_use own = {.instance = instance, .call = use->call, .functions = use->functions};
        if (p11_token_choose(instance, &own, false, &offer) != KW_OK)
            continue;
        memcpy(instance->offered_pin, instance->pin, KW_SECRET_MAXIMUM);
        instance->offered_length = instance->pin_length;
        if (p11_failure_is_refusal_of_pin(p11_token_connect(&own, &offer, false))) {
            token->distrusted = true;
            token->refused_by = NULL; /* it is not sent again by anybody, although the host does not know yet */
        }
        use->calls += own.calls;
    }
}

/* After the gate was opened: what the host must know of a login that failed. */
kw_status p11_token_refused(struct p11_use *use, const struct p11_offer *offer, CK_RV result)
{
    const kw_host *host = &use->instance->host;
    char room[24];
    if (p11_failure_is_refusal_of_pin(result))
        return p11_report(
            host, KW_SECRET_REFUSED,
            "the token '%s' (serial '%s') refuses the PIN: %s. It is not sent again before it has changed",
            offer->label, offer->serial, p11_failure_name(result, room));
    return p11_report(host, result == CKR_USER_PIN_NOT_INITIALIZED ? KW_CONFIGURATION : KW_UNAVAILABLE,
                      "the token '%s' (serial '%s') cannot be opened: %s answers %s", offer->label, offer->serial,
                      use->function, p11_failure_name(result, room));
}

/* ---- Opening and closing ------------------------------------------------------------------------------------------- */

static void join_token(kw_plugin_instance *instance)
{
    p11_state_lock();
    instance->next = instance->token->instances;
    instance->token->instances = instance;
    instance->is_listed = true;
    p11_state_unlock();
}

/* Whether it was the last. */
static bool leave_token(kw_plugin_instance *instance)
{
    kw_plugin_instance **place = &instance->token->instances;
    p11_state_lock();
    while (*place != instance)
        place = &(*place)->next;
    *place = instance->next;
    bool last = instance->token->instances == NULL;
    p11_state_unlock();
    return last;
}

/* A token that came after the module was initialized: the store has failed to open before, or other stores have the module. */
static kw_status choose_for_open(kw_plugin_instance *instance, struct p11_use *use, struct p11_offer *offer)
{
    kw_status status = p11_token_choose(instance, use, true, offer);
    if ((status != KW_UNAVAILABLE && status != KW_CONFIGURATION) || !p11_restart_is_due(use, NULL))
        return status;
    status = p11_restart(use, NULL);
    return status == KW_OK ? p11_token_choose(instance, use, true, offer) : status;
}

static kw_status find_for_open(kw_plugin_instance *instance, struct p11_use *use, struct p11_offer *offer)
{
    struct p11_module *module = instance->module;
    kw_status status = module->functions == NULL ? p11_module_load(module, use) : KW_OK;
    use->functions = module->functions;
    if (status == KW_OK)
        status = choose_for_open(instance, use, offer);
    if (status != KW_OK)
        return status;
    instance->token = p11_token_get(module, offer);
    if (instance->token != NULL)
        return KW_OK;
    p11_tell(use, KW_OUT_OF_MEMORY, "out of memory");
    return use->status;
}

/*
 * The PIN is asked for before the token is looked at, so that nothing lies between its flags and the login: whoever else tries a PIN does so
 * before or after. Not every token wants one, and then it does not matter whether there is one.
 */
kw_status p11_token_open(kw_plugin_instance *instance, const kw_call *call)
{
    struct p11_use use = {.instance = instance, .call = call};
    struct p11_offer offer = {.slot = 0};
    struct p11_alone alone;
    CK_RV result = CKR_CANCEL;
    const kw_status given = p11_token_pin(instance, call); /* may take a person's time: nothing is locked */
    if (given != KW_OK && given != KW_NOT_FOUND)
        return given;
    kw_status status = p11_alone_begin(instance, call, &alone);
    if (status == KW_OK) {
        status = find_for_open(instance, &use, &offer);
        instance->wants_pin = offer.login_required && !offer.own_keypad;
        if (status == KW_OK && instance->wants_pin && given != KW_OK) {
            p11_tell(&use, KW_CONFIGURATION, "the token '%s' wants a PIN: the store needs the option pin", offer.label);
            status = use.status;
        }
        if (status == KW_OK) {
            instance->has_random = offer.has_random;
            instance->read_only = offer.read_only;
            result = p11_token_connect(&use, &offer, false);
            if (result == CKR_OK)
                join_token(instance);
        }
        p11_alone_end(instance, &use, &alone);
    } else
        p11_tell(&use, status, "calls of the module did not come back");
    if (given == KW_OK)
        p11_token_settle(instance, status == KW_OK && instance->wants_pin ? result : CKR_CANCEL);
    if (status != KW_OK)
        return p11_report(&instance->host, status, "%s", use.sentence);
    return result == CKR_OK ? KW_OK : p11_token_refused(&use, &offer, result);
}

void p11_token_close(kw_plugin_instance *instance)
{
    struct p11_use use = {.instance = instance};
    struct p11_token *token = instance->token;
    if (!instance->is_listed)
        return;
    use.functions = instance->module->functions;
    /* Alone if that can be had; a module that hangs must not keep a program from ending. */
    bool alone = p11_gate_shut(&instance->module->gate, 1000);
    bool last = leave_token(instance);
    unsigned open = alone && token->ready && instance->pool.generation == token->generation ? instance->pool.free : 0;
    bool anchored = token->anchor_generation == token->generation;
    if (open > 0 && !last && !anchored) {
        struct p11_session *kept = &instance->pool.sessions[--open];
        p11_copies_end(&use, kept, 0);
        token->anchor = kept->handle;
        token->anchor_generation = token->generation;
    }
    while (open > 0)
        (void)p11_did(&use, NULL, use.functions->C_CloseSession(instance->pool.sessions[--open].handle));
    if (alone && last) {
        if (token->ready && anchored)
            (void)p11_did(&use, NULL, use.functions->C_CloseSession(token->anchor));
        token->anchor_generation = 0;
        token->ready = false;
    }
    if (alone)
        p11_gate_open(&instance->module->gate);
    p11_count(&use);
}
