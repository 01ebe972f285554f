/*
 * The login: one for all threads and stores of a process on a token.
 *
 * The PIN comes from the host at each login, with nothing locked, because the host remembers which ones were refused. A copy of what was
 * accepted is kept for keys that want it at each use, and to tell whether another store's PIN is the same without logging out.
 */
#include "pkcs11.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

/* ---- The PIN ---------------------------------------------------------------------------------------------------- */

static void forget_offered(kw_plugin_instance *instance)
{
    explicit_bzero(instance->offered_pin, KW_SECRET_MAXIMUM);
    instance->offered_length = 0;
}

kw_status p11_token_pin(kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *host = &instance->host;
    kw_output output = {.data = instance->offered_pin, .capacity = KW_SECRET_MAXIMUM};
    kw_status status = host->secret_request(host->context, call, "pin", &output);
    if (status == KW_NOT_FOUND)
        return status;
    if (status != KW_OK)
        return p11_report(host, status, "the host did not give the PIN");
    if (output.length == 0 || output.length > KW_SECRET_MAXIMUM) {
        p11_token_settle(instance, CKR_CANCEL);
        return p11_report(host, KW_CONFIGURATION, "option pin: a PIN has 1 to %u bytes", KW_SECRET_MAXIMUM);
    }
    instance->offered_length = output.length;
    return KW_OK;
}

void p11_token_settle(kw_plugin_instance *instance, CK_RV result)
{
    const kw_host *host = &instance->host;
    forget_offered(instance);
    if (p11_failure_is_refusal_of_pin(result))
        host->secret_refused(host->context, "pin");
    else if (host->secret_settled != NULL)
        host->secret_settled(host->context, "pin", result == CKR_OK ? KW_OK : KW_UNAVAILABLE);
}

/*
 * What a token has refused a moment ago from one store it is not sent by another: each store has the host's memory of its own, and a token
 * that locks counts all of them. Only for a moment, since the same PIN may have become right. The key is of this process alone.
 */
#define REFUSAL_MILLISECONDS 60000u

static unsigned char mark_key[P11_MARK];
static bool mark_key_is_made;

static void make_mark_key(void)
{
    mark_key_is_made = getrandom(mark_key, sizeof(mark_key), 0) == (ssize_t)sizeof(mark_key);
}

static bool pin_mark(const kw_plugin_instance *instance, unsigned char mark[P11_MARK])
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    size_t length = 0;
    pthread_once(&made, make_mark_key);
    return mark_key_is_made &&
           EVP_Q_mac(p11_library_context(), "HMAC", NULL, "SHA2-256", NULL, mark_key, sizeof(mark_key),
                     instance->offered_pin, instance->offered_length, mark, P11_MARK, &length) != NULL &&
           length == P11_MARK;
}

static void note_refusal(const kw_plugin_instance *instance)
{
    struct p11_token *token = instance->token;
    token->refused_at = pin_mark(instance, token->refused) ? p11_now() : 0;
    token->refused_by = instance->host.context;
}

static bool was_refused(const kw_plugin_instance *instance)
{
    const struct p11_token *token = instance->token;
    unsigned char mark[P11_MARK];
    return token->refused_at != 0 && token->refused_by != instance->host.context &&
           p11_now() - token->refused_at < REFUSAL_MILLISECONDS && pin_mark(instance, mark) &&
           CRYPTO_memcmp(mark, token->refused, sizeof(mark)) == 0;
}

/* What a login, or the change of the PIN, has shown to be right is right for all stores on this token. With the gate shut. */
static void share_pin(const kw_plugin_instance *instance)
{
    p11_state_lock();
    for (kw_plugin_instance *other = instance->token->instances; other != NULL; other = other->next) {
        if (other == instance)
            continue;
        memcpy(other->pin, instance->pin, KW_SECRET_MAXIMUM);
        other->pin_length = instance->pin_length;
    }
    p11_state_unlock();
}

/* Whether a store that is open logged in with the PIN that this one has from the host. With the gate shut. */
static bool pin_is_known(const kw_plugin_instance *instance)
{
    bool known = false;
    p11_state_lock();
    for (const kw_plugin_instance *other = instance->token->instances; other != NULL && !known; other = other->next)
        known = other->pin_length > 0 && other->pin_length == instance->offered_length &&
                memcmp(other->pin, instance->offered_pin, instance->offered_length) == 0;
    p11_state_unlock();
    return known;
}

/* The one of the host's was right. */
static void keep_pin(kw_plugin_instance *instance)
{
    memcpy(instance->pin, instance->offered_pin, KW_SECRET_MAXIMUM);
    instance->pin_length = instance->offered_length;
    share_pin(instance);
}

/* The one in force was refused at a key's use: it is not sent again, and the next operation asks the host. */
void p11_token_distrust(kw_plugin_instance *instance, const kw_call *call)
{
    unsigned patience = p11_patience(instance, call);
    if (!p11_gate_shut(&instance->module->gate, patience > 0 ? patience : 1))
        return;
    explicit_bzero(instance->pin, KW_SECRET_MAXIMUM);
    instance->pin_length = 0;
    share_pin(instance);
    instance->token->distrusted = true;
    p11_gate_open(&instance->module->gate);
}

/* ---- Logging in --------------------------------------------------------------------------------------------------- */

static CK_RV open_session(struct p11_use *use, CK_SLOT_ID slot)
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
    if (!offer->own_keypad && was_refused(instance)) {
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
        keep_pin(instance);
    else if (p11_failure_is_refusal_of_pin(result) && !offer->own_keypad)
        note_refusal(instance);
    return result;
}

/* Another store's wrong PIN has logged the process out: in again with the one that was in force until now. */
static CK_RV login_as_before(struct p11_use *use)
{
    CK_RV result = CKR_USER_NOT_LOGGED_IN;
    p11_state_lock();
    kw_plugin_instance *other = use->instance->token->instances; /* stays: who closes shuts the gate first */
    p11_state_unlock();
    if (other != NULL && other != use->instance && other->pin_length > 0)
        result = p11_did(use, NULL, use->functions->C_Login(use->session, CKU_USER, other->pin, other->pin_length));
    return result;
}

static void take_session(struct p11_use *use)
{
    kw_plugin_instance *instance = use->instance;
    instance->pool.generation = instance->token->generation;
    instance->pool.handles[0] = use->session;
    instance->pool.open = instance->pool.free = 1;
}

/* Another store of this process is logged in, with the same PIN: a session is all that it takes. */
static bool join_login(struct p11_use *use, const struct p11_offer *offer)
{
    kw_plugin_instance *instance = use->instance;
    struct p11_token *token = instance->token;
    bool pinless = !offer->login_required || offer->own_keypad;
    if (!token->ready || instance->is_listed || token->slot != offer->slot || !(pinless || pin_is_known(instance)) ||
        open_session(use, offer->slot) != CKR_OK)
        return false;
    if (!pinless)
        keep_pin(instance);
    take_session(use);
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
    result = open_session(use, offer->slot);
    if (result != CKR_OK)
        goto out;
    result = login(use, offer);
    if (result == CKR_OK && use->instance->module->descends)
        result = seed(use);
    if (result == CKR_OK) {
        token->ready = true;
        take_session(use);
    } else if (p11_failure_is_refusal_of_pin(result) && was_ready && login_as_before(use) == CKR_OK) {
        token->ready = true;
        token->anchor = use->session;
        token->anchor_generation = token->generation;
    } else {
        (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
    }
out:
    forget_offered(use->instance);
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
        p11_state_unlock();
        if (token == except || instance == NULL || token->distrusted ||
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

static kw_status find_for_open(kw_plugin_instance *instance, struct p11_use *use, struct p11_offer *offer)
{
    struct p11_module *module = instance->module;
    kw_status status = module->functions == NULL ? p11_module_load(module, use) : KW_OK;
    use->functions = module->functions;
    if (status == KW_OK)
        status = p11_token_choose(instance, use, true, offer);
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
        token->anchor = instance->pool.handles[--open];
        token->anchor_generation = token->generation;
    }
    while (open > 0)
        (void)p11_did(&use, NULL, use.functions->C_CloseSession(instance->pool.handles[--open]));
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

/* ---- Changing the PIN ----------------------------------------------------------------------------------------------- */

/* With the gate shut. */
static CK_RV set_pin(struct p11_use *use, kw_input pin)
{
    kw_plugin_instance *instance = use->instance;
    unsigned char *new_pin = (unsigned char *)(uintptr_t)pin.data;
    bool kept = instance->pin_length > 0;
    unsigned char *old_pin = kept ? instance->pin : instance->offered_pin;
    size_t old_length = kept ? instance->pin_length : instance->offered_length;
    CK_RV result = instance->token->ready ? open_session(use, instance->token->slot) : CKR_USER_NOT_LOGGED_IN;
    if (result != CKR_OK)
        return result;
    result = p11_did(use, "C_SetPIN", use->functions->C_SetPIN(use->session, old_pin, old_length, new_pin, pin.length));
    (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
    if (result == CKR_OK) {
        memcpy(instance->pin, pin.data, pin.length);
        instance->pin_length = pin.length;
        share_pin(instance);
    }
    return result;
}

/* Alone: an operation that needs the PIN must not send the old one meanwhile. */
kw_status p11_token_change_pin(kw_plugin_instance *instance, const kw_call *call, kw_input pin)
{
    struct p11_use use = {.instance = instance, .call = call, .functions = instance->module->functions};
    struct p11_alone alone;
    char room[24];
    kw_status status = p11_perform(instance, call, "say how it is", p11_token_look, NULL);
    bool asks = status == KW_OK && instance->pin_length == 0;
    if (asks)
        status = p11_token_pin(instance, call);
    if (status != KW_OK)
        return status;
    status = p11_alone_begin(instance, call, &alone);
    CK_RV result = status == KW_OK ? set_pin(&use, pin) : CKR_CANCEL;
    forget_offered(instance);
    if (status == KW_OK)
        p11_alone_end(instance, &use, &alone);
    bool refused = result == CKR_PIN_INCORRECT || result == CKR_PIN_LOCKED;
    if (asks || refused) /* what else is wrong with a PIN is wrong with the new one */
        p11_token_settle(instance, result == CKR_OK || refused ? result : CKR_CANCEL);
    if (status != KW_OK || result == CKR_OK)
        return status;
    if (refused)
        p11_token_distrust(instance, call);
    status = refused                                 ? KW_SECRET_REFUSED
             : p11_failure_is_refusal_of_pin(result) ? KW_INVALID_ARGUMENT
                                                     : p11_failure_status(result);
    return p11_report(&instance->host, status, "the token '%s' does not take the new PIN: %s answers %s",
                      instance->token->label, use.function, p11_failure_name(result, room));
}
