/* Renewing: sessions, login and handles together, once for all threads. */
#include "pkcs11.h"

#include <stdio.h>
#include <string.h>

/* A module is not restarted more often than this, in milliseconds; and where that disturbs other tokens of it, which work. */
#define RESTART_PAUSE       1000
#define RESTART_PAUSE_OTHER 60000

/* With the gate shut. KW_OK: connected, or `result` says why not. */
static kw_status find_and_connect(struct p11_use *use, struct p11_offer *offer, bool inherited, CK_RV *result)
{
    kw_status status = p11_token_choose(use->instance, use, false, offer);
    if (status == KW_OK)
        *result = p11_token_connect(use, offer, inherited);
    return status;
}

/* Whether other tokens of the module are in use, and there. */
static bool others_work(struct p11_use *use, const struct p11_token *token)
{
    struct p11_module *module = use->instance->module;
    for (const struct p11_token *other = module->tokens; other != NULL; other = other->next) {
        struct p11_offer offer;
        if (other != token && other->ready && p11_module_offer(module, use, other->slot, &offer) &&
            strcmp(other->serial, offer.serial) == 0)
            return true;
    }
    return false;
}

bool p11_restart_is_due(struct p11_use *use, const struct p11_token *token)
{
    const struct p11_module *module = use->instance->module;
    const uint64_t last = token != NULL ? token->restarted : module->restarted, since = p11_now() - last;
    return module->is_ours && since >= RESTART_PAUSE &&
           (last == 0 || since >= RESTART_PAUSE_OTHER || !others_work(use, token));
}

kw_status p11_restart(struct p11_use *use, struct p11_token *token)
{
    struct p11_module *module = use->instance->module;
    if (token != NULL)
        token->restarted = p11_now();
    else
        module->restarted = p11_now();
    kw_status status = p11_module_restart(module, use);
    if (status == KW_OK)
        p11_token_connect_others(use, token);
    return status;
}

/* Some modules see a token that came back only when they are started anew. */
static bool restart_may_help(struct p11_use *use, const struct p11_token *token, kw_status status, CK_RV result)
{
    bool failed =
        status == KW_OK && result != CKR_OK && result != P11_NEEDS_PIN && !p11_failure_is_refusal_of_pin(result);
    return (status == KW_UNAVAILABLE || failed) && p11_restart_is_due(use, token);
}

/* The same, alone. */
static kw_status try_once(struct p11_use *use, struct p11_offer *offer, CK_RV *result)
{
    kw_plugin_instance *instance = use->instance;
    struct p11_token *token = instance->token;
    struct p11_alone alone;
    kw_status status = p11_alone_begin(instance, use->call, &alone);
    if (status != KW_OK) {
        p11_tell(use, status, "calls of the module did not come back");
        return status;
    }
    *result = CKR_OK;
    status = find_and_connect(use, offer, instance->module->forked, result);
    if (restart_may_help(use, token, status, *result)) {
        *result = CKR_OK;
        status = p11_restart(use, token);
        if (status == KW_OK)
            status = find_and_connect(use, offer, false, result);
    }
    p11_alone_end(instance, use, &alone);
    return status;
}

static kw_status renew(kw_plugin_instance *instance, const kw_call *call, char sentence[P11_SENTENCE])
{
    struct p11_use use = {.instance = instance, .call = call, .functions = instance->module->functions};
    struct p11_offer offer = {.slot = 0};
    char room[24];
    CK_RV result = CKR_OK;
    kw_status status = try_once(&use, &offer, &result);
    if (status == KW_OK && result == P11_NEEDS_PIN) {
        status = p11_token_pin(instance, call); /* may take a person's time: nothing is locked */
        if (status != KW_OK) {
            snprintf(sentence, P11_SENTENCE, "the token '%s' wants its PIN again, which the host did not give",
                     instance->token->label);
            return status;
        }
        status = try_once(&use, &offer, &result);
        /* At once: another thread's operation may wait for it, and this one's may wait for another's renewal later. */
        p11_token_settle(instance, status == KW_OK ? result : CKR_CANCEL);
    }
    if (status != KW_OK) {
        snprintf(sentence, P11_SENTENCE, "%s", use.sentence);
        return p11_report(&instance->host, status, "%s", use.sentence);
    }
    if (result == CKR_OK)
        return KW_OK;
    snprintf(sentence, P11_SENTENCE, "the token '%s' cannot be opened again: %s answers %s", offer.label,
             use.function != NULL ? use.function : "the module", p11_failure_name(result, room));
    return p11_token_refused(&use, &offer, result);
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
    bool done = token->ready && !token->distrusted && token->generation != generation;
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
