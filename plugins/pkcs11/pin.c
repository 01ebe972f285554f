/*
 * The PIN of a token: asked for, what was refused, what is in force, and changing it.
 *
 * It comes from the host at each login, with nothing locked, because the host remembers which ones were refused. A copy of what was
 * accepted is kept for keys that want it at each use, and to tell whether another store's PIN is the same without logging out.
 */
#include "pkcs11.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* ---- Of the host's ---------------------------------------------------------------------------------------------- */

void p11_pin_forget_offered(kw_plugin_instance *instance)
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
    p11_pin_forget_offered(instance);
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

void p11_pin_note_refusal(const kw_plugin_instance *instance)
{
    struct p11_token *token = instance->token;
    token->refused_at = pin_mark(instance, token->refused) ? p11_now() : 0;
    token->refused_by = instance->host.context;
}

bool p11_pin_was_refused(const kw_plugin_instance *instance)
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
bool p11_pin_is_known(const kw_plugin_instance *instance)
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
void p11_pin_keep(kw_plugin_instance *instance)
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

/* ---- Changing it -------------------------------------------------------------------------------------------------- */

/* What became of a change. */
struct pin_change {
    CK_RV result;               /* of C_SetPIN, or of the session that it takes */
    const char *function;       /* which of the two */
    bool done, unknown;         /* unknown: nobody can tell whether it was done */
    CK_ULONG shortest, longest; /* that it may be; 0: the token did not say */
};

/* Whether it is the old PIN that was not accepted. */
static bool is_refused(CK_RV result)
{
    return result == CKR_PIN_INCORRECT || result == CKR_PIN_LOCKED;
}

/* Whether an answer of C_SetPIN other than CKR_OK leaves it open whether it was done. */
static bool is_uncertain(CK_RV result)
{
    static const CK_RV plain[] = {CKR_OK,
                                  CKR_PIN_TOO_WEAK,
                                  CKR_SESSION_READ_ONLY,
                                  CKR_TOKEN_WRITE_PROTECTED,
                                  CKR_FUNCTION_REJECTED,
                                  CKR_USER_PIN_NOT_INITIALIZED};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (result == plain[i])
            return false;
    return !p11_failure_is_refusal_of_pin(result) && !p11_failure_is_before(result) &&
           !p11_failure_is_inability(result);
}

/*
 * Which PIN the token has, by one login with the new one, unless it were the last try. Where that is refused the old one is in force, and
 * the next operation logs in with it, as ever. KW_OK: the new one; KW_SECRET_REFUSED: the old one; else it is not known.
 */
static kw_status find_out(struct p11_use *use, kw_input pin)
{
    kw_plugin_instance *instance = use->instance;
    struct p11_token *token = instance->token;
    struct p11_offer offer;
    if (!p11_module_offer(instance->module, use, token->slot, &offer) || strcmp(offer.serial, token->serial) != 0 ||
        offer.locked || offer.final_try)
        return KW_UNAVAILABLE;
    /* A PIN is only checked by a login that is one. */
    (void)p11_did(use, NULL, use->functions->C_CloseAllSessions(token->slot));
    token->ready = false;
    token->generation++;
    if (p11_token_session(use, token->slot) != CKR_OK)
        return KW_UNAVAILABLE;
    CK_RV result =
        p11_did(use, "C_Login",
                use->functions->C_Login(use->session, CKU_USER, (unsigned char *)(uintptr_t)pin.data, pin.length));
    if (result == CKR_OK) {
        token->ready = true;
        p11_token_take_session(use);
        return KW_OK;
    }
    (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
    return p11_failure_is_refusal_of_pin(result) ? KW_SECRET_REFUSED : KW_UNAVAILABLE;
}

static void read_lengths(struct p11_use *use, struct pin_change *change)
{
    CK_TOKEN_INFO info = {.flags = 0};
    if (p11_did(use, NULL, use->functions->C_GetTokenInfo(use->instance->token->slot, &info)) != CKR_OK ||
        info.ulMaxPinLen < info.ulMinPinLen)
        return;
    change->shortest = info.ulMinPinLen;
    change->longest = info.ulMaxPinLen;
}

/* With the gate shut. */
static void set_pin(struct p11_use *use, kw_input pin, struct pin_change *change)
{
    kw_plugin_instance *instance = use->instance;
    unsigned char *new_pin = (unsigned char *)(uintptr_t)pin.data;
    bool kept = instance->pin_length > 0;
    unsigned char *old_pin = kept ? instance->pin : instance->offered_pin;
    size_t old_length = kept ? instance->pin_length : instance->offered_length;
    kw_status found = KW_OK;
    change->function = "C_OpenSession";
    change->result = instance->token->ready ? p11_token_session(use, instance->token->slot) : CKR_USER_NOT_LOGGED_IN;
    if (change->result == CKR_OK) {
        change->result =
            p11_did(use, "C_SetPIN", use->functions->C_SetPIN(use->session, old_pin, old_length, new_pin, pin.length));
        (void)p11_did(use, NULL, use->functions->C_CloseSession(use->session));
        change->function = "C_SetPIN";
        if (is_uncertain(change->result))
            found = find_out(use, pin);
        else if (change->result != CKR_OK)
            found = KW_SECRET_REFUSED;
        if (change->result == CKR_PIN_LEN_RANGE)
            read_lengths(use, change);
    } else
        found = KW_SECRET_REFUSED;
    change->unknown = found == KW_UNAVAILABLE;
    change->done = found == KW_OK;
    if (change->done) {
        memcpy(instance->pin, pin.data, pin.length);
        instance->pin_length = pin.length;
        share_pin(instance);
    }
}

/* Tells what became of it. */
static kw_status explain_change(const kw_plugin_instance *instance, const struct pin_change *change)
{
    const kw_host *host = &instance->host;
    const char *label = instance->token->label;
    char room[24];
    const char *name = p11_failure_name(change->result, room);
    if (change->unknown)
        return p11_report(
            host, KW_TIMEOUT,
            "whether the token '%s' has the new PIN or the old one is not known: %s answers %s. Try the new "
            "one, once, with another program, such as pkcs11-tool --login --test, and put the one that it "
            "has where the configuration says",
            label, change->function, name);
    if (change->done) {
        if (change->result != CKR_OK && host->log != NULL)
            host->log(host->context, KW_LOG_WARNING,
                      "the token has the new PIN, although it said that it did not take it");
        return KW_OK;
    }
    const kw_status status = is_refused(change->result)                      ? KW_SECRET_REFUSED
                             : p11_failure_is_refusal_of_pin(change->result) ? KW_INVALID_ARGUMENT
                                                                             : p11_failure_status(change->result);
    char lengths[80] = "";
    if (change->longest > 0)
        snprintf(lengths, sizeof(lengths), "; it takes PINs of %lu to %lu bytes", change->shortest, change->longest);
    return p11_report(host, status, "the token '%s' does not take the new PIN, and has the old one: %s answers %s%s",
                      label, change->function, name, lengths);
}

/* Alone: an operation that needs the PIN must not send the old one meanwhile. */
kw_status p11_token_change_pin(kw_plugin_instance *instance, const kw_call *call, kw_input pin)
{
    struct p11_use use = {.instance = instance, .call = call, .functions = instance->module->functions};
    struct pin_change change = {.result = CKR_CANCEL};
    struct p11_alone alone;
    kw_status status = p11_perform(instance, call, "say how it is", p11_token_look, NULL);
    bool asks = status == KW_OK && instance->pin_length == 0;
    if (asks)
        status = p11_token_pin(instance, call);
    if (status != KW_OK)
        return status;
    status = p11_alone_begin(instance, call, &alone);
    if (status == KW_OK)
        set_pin(&use, pin, &change);
    p11_pin_forget_offered(instance);
    if (status == KW_OK)
        p11_alone_end(instance, &use, &alone);
    const bool refused = is_refused(change.result);
    if (asks || refused) /* what else is wrong with a PIN is wrong with the new one */
        p11_token_settle(instance, change.done ? CKR_OK : refused ? change.result : CKR_CANCEL);
    if (status != KW_OK)
        return status;
    if (refused)
        p11_token_distrust(instance, call);
    return explain_change(instance, &change);
}
