/*
 * Tokens: found by serial and label, opened, logged in once for all threads, renewed when they were lost.
 *
 * Several processes that start at once disturb one another in some modules (SoftHSM rewrites the token's flags at each login), so
 * what lies between C_Initialize and C_Login happens under a lock between processes. It is a flock on the module's own file: that is there
 * for every process that uses the module, whatever its user and directories, and needs no right to write. Whoever can read the file could
 * hold the lock, so nobody waits for it longer than the store's timeout.
 */
#include "pkcs11.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* A module is not restarted more often than this, in milliseconds. */
#define RESTART_PAUSE 1000

/* ---- The lock between processes --------------------------------------------------------------------------------- */

/* -1: without it. */
static int lock_processes(kw_plugin_instance *instance)
{
    const kw_host *host = &instance->host;
    int file = open(instance->module->path, O_RDONLY | O_CLOEXEC);
    for (uint64_t waited = 0; file >= 0; waited += 5) {
        struct timespec pause = {.tv_nsec = 5000000};
        if (flock(file, LOCK_EX | LOCK_NB) == 0)
            return file;
        if (waited >= instance->timeout)
            break;
        nanosleep(&pause, NULL);
    }
    if (host->log != NULL)
        host->log(host->context, KW_LOG_WARNING,
                  "another process keeps the module's file locked; the token is opened without waiting longer");
    if (file >= 0)
        close(file);
    return -1;
}

static void unlock_processes(int file)
{
    if (file < 0)
        return;
    flock(file, LOCK_UN); /* a child that was forked meanwhile has the same lock */
    close(file);
}

/* ---- Finding ------------------------------------------------------------------------------------------------------- */

static bool matches(const kw_plugin_instance *instance, const struct p11_offer *offer)
{
    return offer->initialized &&
           (instance->token_serial == NULL || strcmp(instance->token_serial, offer->serial) == 0) &&
           (instance->token_label == NULL || strcmp(instance->token_label, offer->label) == 0);
}

/* "a token with serial 'S' and label 'L'" */
static void describe_wanted(const kw_plugin_instance *instance, char *text, size_t size)
{
    bool serial = instance->token_serial != NULL, label = instance->token_label != NULL;
    snprintf(text, size, "%s%s%s%s%s%s%s", serial ? "serial '" : "", serial ? instance->token_serial : "",
             serial ? "'" : "", serial && label ? " and " : "", label ? "label '" : "",
             label ? instance->token_label : "", label ? "'" : "");
}

static void describe_offers(const struct p11_offer *offers, size_t count, char *text, size_t size)
{
    size_t length = 0, told = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && length < size - 1; i++) {
        if (!offers[i].initialized)
            continue;
        int part =
            snprintf(text + length, size - length, "%slabel '%s', serial '%s', maker '%s', model '%s'",
                     told++ > 0 ? "; " : "", offers[i].label, offers[i].serial, offers[i].maker, offers[i].model);
        length = part < 0 ? size : length + (size_t)part;
    }
    if (told == 0)
        snprintf(text, size, "no token that is initialized");
}

/* The one that is wanted. What is not there may be wrong in the configuration, or away. */
static kw_status choose(const kw_plugin_instance *instance, struct p11_use *use, bool opening, struct p11_offer *chosen)
{
    char wanted[128], offered[P11_SENTENCE - 200];
    struct p11_offer *offers = NULL;
    size_t count = 0, found = 0, initialized = 0;
    kw_status status = p11_module_offers(instance->module, use, &offers, &count);
    if (status != KW_OK)
        goto out;
    for (size_t i = 0; i < count; i++) {
        initialized += offers[i].initialized;
        if (matches(instance, &offers[i]) && found++ == 0)
            *chosen = offers[i];
    }
    if (found == 1)
        goto out;
    describe_wanted(instance, wanted, sizeof(wanted));
    describe_offers(offers, count, offered, sizeof(offered));
    if (found > 1)
        p11_tell(use, KW_CONFIGURATION, "more than one token has %s; give token_serial. The module offers: %s", wanted,
                 offered);
    else
        p11_tell(use, opening && initialized > 0 ? KW_CONFIGURATION : KW_UNAVAILABLE,
                 "no token has %s. The module offers: %s", wanted, offered);
    status = use->status;
out:
    free(offers);
    return status;
}

/* What the token says of its PIN, before one is asked for or sent. */
static kw_status check_pin_state(const struct p11_offer *offer, struct p11_use *use)
{
    if (!offer->login_required)
        return KW_OK;
    if (offer->locked)
        p11_tell(use, KW_SECRET_REFUSED, "the PIN of token '%s' is locked; its security officer can set a new one",
                 offer->label);
    else if (offer->final_try)
        p11_tell(
            use, KW_SECRET_REFUSED,
            "the token '%s' has one try left for its PIN, which is not taken: log in with another program, such as "
            "pkcs11-tool, first",
            offer->label);
    else if (!offer->pin_set)
        p11_tell(use, KW_CONFIGURATION, "the token '%s' has no user PIN yet; set one with the maker's program",
                 offer->label);
    else
        return KW_OK;
    return use->status;
}

/* With the gate shut. */
static struct p11_token *token_get(struct p11_module *module, const struct p11_offer *offer)
{
    struct p11_token *token = module->tokens;
    while (token != NULL && (strcmp(token->serial, offer->serial) != 0 || strcmp(token->label, offer->label) != 0))
        token = token->next;
    if (token == NULL) {
        token = calloc(1, sizeof(*token));
        if (token == NULL)
            return NULL;
        token->module = module;
        memcpy(token->serial, offer->serial, sizeof(token->serial));
        memcpy(token->label, offer->label, sizeof(token->label));
        token->next = module->tokens;
        module->tokens = token;
    }
    return token;
}

void p11_token_forked(struct p11_token *token)
{
    token->generation++;
    token->ready = token->renewing = false;
}

/* ---- The PIN --------------------------------------------------------------------------------------------------------- */

kw_status p11_token_pin(kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *host = &instance->host;
    kw_output output = {.data = instance->offered_pin, .capacity = KW_SECRET_MAXIMUM};
    kw_status status = host->secret_request(host->context, call, "pin", &output);
    if (status != KW_OK)
        return p11_report(host, status, "the host did not give the PIN");
    if (output.length == 0 || output.length > KW_SECRET_MAXIMUM)
        return p11_report(host, KW_CONFIGURATION, "option pin: a PIN has 1 to %u bytes", KW_SECRET_MAXIMUM);
    instance->offered_length = output.length;
    return KW_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------------- */

static CK_RV open_session(struct p11_use *use, CK_SLOT_ID slot)
{
    const CK_FLAGS flags = CKF_SERIAL_SESSION;
    CK_RV result = p11_did(use, "C_OpenSession",
                           use->functions->C_OpenSession(slot, flags | CKF_RW_SESSION, NULL, NULL, &use->session));
    if (result == CKR_TOKEN_WRITE_PROTECTED || result == CKR_SESSION_READ_ONLY)
        result = p11_did(use, "C_OpenSession", use->functions->C_OpenSession(slot, flags, NULL, NULL, &use->session));
    return result;
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

static CK_RV login(struct p11_use *use, const struct p11_offer *offer)
{
    kw_plugin_instance *instance = use->instance;
    CK_RV result = CKR_OK;
    bool offered = instance->offered_length != 0;
    unsigned char *pin = offered ? instance->offered_pin : instance->pin;
    size_t length = offered ? instance->offered_length : instance->pin_length;
    if (!offer->login_required)
        return CKR_OK;
    result = offer->own_keypad ? use->functions->C_Login(use->session, CKU_USER, NULL, 0)
                               : use->functions->C_Login(use->session, CKU_USER, pin, length);
    result = p11_did(use, "C_Login", result);
    if (result == CKR_USER_ALREADY_LOGGED_IN)
        result = CKR_OK;
    if (result == CKR_OK && offered) {
        memcpy(instance->pin, instance->offered_pin, KW_SECRET_MAXIMUM);
        instance->pin_length = instance->offered_length;
        share_pin(instance);
    }
    if (p11_failure_is_refusal_of_pin(result))
        instance->pin_length = 0;
    explicit_bzero(instance->offered_pin, KW_SECRET_MAXIMUM);
    instance->offered_length = 0;
    return result;
}

/* A first session, and the login. With the gate shut. The session goes to the instance's pool. */
static CK_RV connect_token(struct p11_use *use, struct p11_token *token, const struct p11_offer *offer, bool inherited)
{
    kw_plugin_instance *instance = use->instance;
    /* Handles may be given out again, so none of the old may be in use; and a PIN is only checked by a login that is one. */
    if (token->ready && !inherited)
        (void)p11_did(use, "C_CloseAllSessions", use->functions->C_CloseAllSessions(token->slot));
    token->ready = false;
    token->generation++;
    token->slot = offer->slot;
    CK_RV result = open_session(use, offer->slot);
    if (result != CKR_OK)
        return result;
    result = login(use, offer);
    if (result != CKR_OK) {
        (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
        return result;
    }
    token->ready = true;
    instance->pool.generation = token->generation;
    instance->pool.handles[0] = use->session;
    instance->pool.open = instance->pool.free = 1;
    return CKR_OK;
}

/* After the gate was opened: what the host must know of a login that failed. */
static kw_status login_failed(struct p11_use *use, const struct p11_offer *offer, CK_RV result)
{
    const kw_host *host = &use->instance->host;
    char room[24];
    if (p11_failure_is_refusal_of_pin(result)) {
        host->secret_refused(host->context, "pin");
        return p11_report(
            host, KW_SECRET_REFUSED,
            "the token '%s' (serial '%s') refuses the PIN: %s. It is not sent again before it has changed",
            offer->label, offer->serial, p11_failure_name(result, room));
    }
    return p11_report(host, result == CKR_USER_PIN_NOT_INITIALIZED ? KW_CONFIGURATION : KW_UNAVAILABLE,
                      "the token '%s' (serial '%s') cannot be opened: %s answers %s", offer->label, offer->serial,
                      use->function, p11_failure_name(result, room));
}

static kw_status find_for_open(kw_plugin_instance *instance, struct p11_use *use, struct p11_offer *offer)
{
    struct p11_module *module = instance->module;
    kw_status status = module->functions == NULL ? p11_module_load(module, use) : KW_OK;
    use->functions = module->functions;
    if (status == KW_OK)
        status = choose(instance, use, true, offer);
    if (status == KW_OK)
        status = check_pin_state(offer, use);
    if (status != KW_OK)
        return status;
    instance->token = token_get(module, offer);
    if (instance->token != NULL)
        return KW_OK;
    p11_tell(use, KW_OUT_OF_MEMORY, "out of memory");
    return use->status;
}

/* Alone in this process, and among processes. */
struct alone {
    int file;
};

static kw_status alone_begin(kw_plugin_instance *instance, const kw_call *call, struct alone *alone)
{
    unsigned patience = p11_patience(instance, call);
    alone->file = lock_processes(instance);
    if (p11_gate_shut(&instance->module->gate, patience > 0 ? patience : 1))
        return KW_OK;
    unlock_processes(alone->file);
    return p11_report(&instance->host, KW_UNAVAILABLE,
                      "calls of the module '%s' did not come back within the store's timeout", instance->module->path);
}

static void alone_end(kw_plugin_instance *instance, struct p11_use *use, struct alone *alone)
{
    p11_gate_open(&instance->module->gate);
    unlock_processes(alone->file);
    p11_count(use);
}

kw_status p11_token_open(kw_plugin_instance *instance, const kw_call *call)
{
    struct p11_use use = {.instance = instance, .call = call};
    struct p11_offer offer = {.slot = 0};
    struct alone alone;
    kw_status status = alone_begin(instance, call, &alone);
    if (status != KW_OK)
        return status;
    status = find_for_open(instance, &use, &offer);
    alone_end(instance, &use, &alone);
    if (status != KW_OK)
        return p11_report(&instance->host, status, "%s", use.sentence);
    if (offer.login_required && !offer.own_keypad) {
        status = p11_token_pin(instance, call); /* may take a person's time: nothing is locked */
        if (status != KW_OK)
            return status;
    }
    status = alone_begin(instance, call, &alone);
    if (status != KW_OK)
        return status;
    instance->wants_pin = offer.login_required && !offer.own_keypad;
    instance->has_random = offer.has_random;
    instance->read_only = offer.read_only;
    CK_RV result = connect_token(&use, instance->token, &offer, false);
    if (result == CKR_OK)
        join_token(instance);
    alone_end(instance, &use, &alone);
    return result == CKR_OK ? KW_OK : login_failed(&use, &offer, result);
}

/* ---- Closing ------------------------------------------------------------------------------------------------------------------ */

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

/* ---- Changing the PIN -------------------------------------------------------------------------------------------------------- */

/* C_SetPIN, alone: an operation that needs the PIN must not send the old one meanwhile. */
kw_status p11_token_change_pin(kw_plugin_instance *instance, const kw_call *call, kw_input pin)
{
    struct p11_use use = {.instance = instance, .call = call, .functions = instance->module->functions};
    struct p11_token *token = instance->token;
    struct alone alone;
    char room[24];
    CK_RV result = CKR_OK;
    kw_status status = p11_deadline(instance, call);
    if (status == KW_OK && !token->ready)
        status = p11_token_renew(instance, call, token->generation);
    if (status == KW_OK)
        status = alone_begin(instance, call, &alone);
    if (status != KW_OK)
        return status;
    result = token->ready ? open_session(&use, token->slot) : CKR_USER_NOT_LOGGED_IN;
    if (result == CKR_OK) {
        unsigned char *new_pin = (unsigned char *)(uintptr_t)pin.data;
        result =
            p11_did(&use, "C_SetPIN",
                    use.functions->C_SetPIN(use.session, instance->pin, instance->pin_length, new_pin, pin.length));
        (void)p11_did(&use, NULL, use.functions->C_CloseSession(use.session));
    }
    if (result == CKR_OK) {
        memcpy(instance->pin, pin.data, pin.length);
        instance->pin_length = pin.length;
        share_pin(instance);
    }
    alone_end(instance, &use, &alone);
    if (result == CKR_OK)
        return KW_OK;
    if (result == CKR_PIN_INCORRECT || result == CKR_PIN_LOCKED) {
        instance->host.secret_refused(instance->host.context, "pin");
        status = KW_SECRET_REFUSED;
    } else {
        status = p11_failure_is_refusal_of_pin(result) ? KW_INVALID_ARGUMENT : p11_failure_status(result);
    }
    return p11_report(&instance->host, status, "the token '%s' does not take the new PIN: %s answers %s", token->label,
                      use.function, p11_failure_name(result, room));
}

/* ---- Renewing -------------------------------------------------------------------------------------------------------------- */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* With the gate shut. KW_OK: connected, or `result` says why not. */
static kw_status find_and_connect(struct p11_use *use, struct p11_offer *offer, bool inherited, CK_RV *result)
{
    kw_status status = choose(use->instance, use, false, offer);
    if (status == KW_OK)
        status = check_pin_state(offer, use);
    if (status == KW_OK)
        *result = connect_token(use, use->instance->token, offer, inherited);
    return status;
}

/* Some modules see a token that came back only when they are started anew. */
static bool restart_may_help(const struct p11_token *token, kw_status status, CK_RV result)
{
    return token->module->is_ours && now() - token->restarted >= RESTART_PAUSE &&
           (status == KW_UNAVAILABLE ||
            (status == KW_OK && result != CKR_OK && !p11_failure_is_refusal_of_pin(result)));
}

static kw_status renew(kw_plugin_instance *instance, const kw_call *call, char sentence[P11_SENTENCE])
{
    struct p11_token *token = instance->token;
    struct p11_use use = {.instance = instance, .call = call, .functions = instance->module->functions};
    struct p11_offer offer = {.slot = 0};
    struct alone alone;
    char room[24];
    CK_RV result = CKR_OK;
    kw_status status = KW_OK;
    if (instance->wants_pin && instance->pin_length == 0)
        status = p11_token_pin(instance, call);
    if (status == KW_OK)
        status = alone_begin(instance, call, &alone);
    if (status != KW_OK) {
        snprintf(sentence, P11_SENTENCE, "the token '%s' could not be opened again", token->label);
        return status;
    }
    bool inherited = instance->module->forked;
    status = find_and_connect(&use, &offer, inherited, &result);
    if (restart_may_help(token, status, result)) {
        token->restarted = now();
        status = p11_module_restart(instance->module, &use);
        if (status == KW_OK)
            status = find_and_connect(&use, &offer, false, &result);
    }
    alone_end(instance, &use, &alone);
    if (status != KW_OK)
        p11_report(&instance->host, status, "%s", use.sentence);
    else if (result != CKR_OK)
        status = login_failed(&use, &offer, result);
    snprintf(sentence, P11_SENTENCE, "%s",
             status == KW_OK           ? ""
             : use.sentence[0] != '\0' ? use.sentence
                                       : p11_failure_name(result, room));
    return status;
}

kw_status p11_token_renew(kw_plugin_instance *instance, const kw_call *call, unsigned generation)
{
    struct p11_token *token = instance->token;
    char sentence[P11_SENTENCE] = "";
    kw_status status = KW_OK;
    bool waited = false;
    p11_state_lock();
    while (token->renewing) {
        unsigned patience = p11_patience(instance, call);
        waited = true;
        if (patience == 0) {
            p11_state_unlock();
            return p11_report(&instance->host, KW_TIMEOUT, "the token '%s' is being opened again", token->label);
        }
        p11_state_wait(patience);
    }
    bool done = token->ready && token->generation != generation;
    if (!done && waited) { /* who tried meanwhile tried for us */
        status = token->failure;
        memcpy(sentence, token->failure_sentence, sizeof(sentence));
    }
    if (!done && status == KW_OK)
        token->renewing = true;
    p11_state_unlock();
    if (done)
        return KW_OK;
    if (status != KW_OK)
        return p11_report(&instance->host, status, "%s", sentence);
    status = renew(instance, call, sentence);
    p11_state_lock();
    token->renewing = false;
    token->failure = status;
    memcpy(token->failure_sentence, sentence, sizeof(sentence));
    p11_state_changed();
    p11_state_unlock();
    return status;
}
