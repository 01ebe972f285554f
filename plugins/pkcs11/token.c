/*
 * Tokens: found by serial and label. And the lock between processes.
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

/* ---- The lock between processes --------------------------------------------------------------------------------- */

/* -1: without it. */
static int lock_processes(const kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *host = &instance->host;
    const unsigned patience = p11_patience(instance, call) / 2; /* the rest is for the token itself */
    int file = open(instance->module->path, O_RDONLY | O_CLOEXEC);
    for (unsigned waited = 0; file >= 0; waited += 2) {
        struct timespec pause = {.tv_nsec = 2000000};
        if (flock(file, LOCK_EX | LOCK_NB) == 0)
            return file;
        if (waited >= patience)
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

int p11_processes_try(const struct p11_module *module)
{
    int file = open(module->path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) == 0)
        return file;
    close(file);
    return -1;
}

void p11_processes_unlock(int file)
{
    if (file < 0)
        return;
    flock(file, LOCK_UN); /* a child that was forked meanwhile has the same lock */
    close(file);
}

kw_status p11_alone_begin(kw_plugin_instance *instance, const kw_call *call, struct p11_alone *alone)
{
    alone->file = lock_processes(instance, call);
    const unsigned patience = p11_patience(instance, call);
    if (p11_gate_shut(&instance->module->gate, patience > 0 ? patience : 1))
        return KW_OK;
    p11_processes_unlock(alone->file);
    return p11_report(&instance->host, KW_UNAVAILABLE,
                      "calls of the module '%s' did not come back within the store's timeout", instance->module->path);
}

void p11_alone_end(kw_plugin_instance *instance, struct p11_use *use, struct p11_alone *alone)
{
    p11_gate_open(&instance->module->gate);
    p11_processes_unlock(alone->file);
    p11_count(use);
}

/* ---- Finding ------------------------------------------------------------------------------------------------------- */

static bool matches(const kw_plugin_instance *instance, const struct p11_offer *offer)
{
    return offer->initialized &&
           (instance->token_serial == NULL || strcmp(instance->token_serial, offer->serial) == 0) &&
           (instance->token_label == NULL || strcmp(instance->token_label, offer->label) == 0);
}

/* The option that is at fault, for the host to tell where it is set. */
static const char *wanted_option(const kw_plugin_instance *instance)
{
    return instance->token_serial != NULL ? "token_serial" : "token_label";
}

/* "serial 'S' and label 'L'" */
static void describe_wanted(const kw_plugin_instance *instance, char *text, size_t size)
{
    bool serial = instance->token_serial != NULL, label = instance->token_label != NULL;
    snprintf(text, size, "%s%s%s%s%s%s%s", serial ? "serial '" : "", serial ? instance->token_serial : "",
             serial ? "'" : "", serial && label ? " and " : "", label ? "label '" : "",
             label ? instance->token_label : "", label ? "'" : "");
}

/* Those that fit in part: the ones to choose from, or with a typing error. */
static bool is_near(const kw_plugin_instance *instance, const struct p11_offer *offer)
{
    return (instance->token_serial != NULL && strcmp(instance->token_serial, offer->serial) == 0) ||
           (instance->token_label != NULL && strcmp(instance->token_label, offer->label) == 0);
}

/* As many as there is room for, each whole, the nearest first; the rest are counted. */
static void describe_offers(const kw_plugin_instance *instance, const struct p11_offer *offers, size_t count,
                            char *text, size_t size)
{
    static const char and_more[] = "; and 4294967295 more";
    size_t length = 0, told = 0, left = 0;
    text[0] = '\0';
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            char one[160];
            if (!offers[i].initialized || is_near(instance, &offers[i]) != (pass == 0))
                continue;
            const int part =
                snprintf(one, sizeof(one), "%slabel '%s', serial '%s', maker '%s', model '%s'", told > 0 ? "; " : "",
                         offers[i].label, offers[i].serial, offers[i].maker, offers[i].model);
            if (left > 0 || part < 0 || length + (size_t)part + sizeof(and_more) > size) {
                left++;
                continue;
            }
            memcpy(text + length, one, (size_t)part + 1);
            length += (size_t)part;
            told++;
        }
    }
    if (left > 0)
        snprintf(text + length, size - length, "; and %u more", (unsigned)left);
    if (told == 0)
        snprintf(text, size, "no token that is initialized");
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

void p11_token_rights(char text[P11_RIGHTS])
{
    const uid_t user = geteuid();
    text[0] = '\0';
    if (user != 0)
        snprintf(text, P11_RIGHTS, "; the process runs as user %u, who may lack rights to the token's files or device",
                 (unsigned)user);
}

/* The one that is wanted. What is not there may be wrong in the configuration, or away. */
kw_status p11_token_choose(const kw_plugin_instance *instance, struct p11_use *use, bool opening,
                           struct p11_offer *chosen)
{
    char wanted[128], rights[P11_RIGHTS], offered[P11_SENTENCE - 200 - P11_RIGHTS];
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
    describe_offers(instance, offers, count, offered, sizeof(offered));
    p11_token_rights(rights);
    if (found > 1)
        p11_tell(use, KW_CONFIGURATION,
                 "option %s: more than one token has %s; give token_serial. The module offers: %s",
                 wanted_option(instance), wanted, offered);
    else
        p11_tell(use, opening && initialized > 0 ? KW_CONFIGURATION : KW_UNAVAILABLE,
                 "option %s: no token has %s. The module offers: %s%s", wanted_option(instance), wanted, offered,
                 rights);
    status = use->status;
out:
    free(offers);
    return status == KW_OK ? check_pin_state(chosen, use) : status;
}

struct p11_token *p11_token_get(struct p11_module *module, const struct p11_offer *offer)
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
