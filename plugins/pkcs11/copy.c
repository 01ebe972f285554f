/*
 * Copies of keys in sessions, for signing.
 *
 * A module may look at each use of a token's object whether another program has changed it. SoftHSM opens, locks and reads two files for that,
 * under a lock that all threads share: a quarter of what a signature on P-256 costs. A copy in the session spares it, and would sign on
 * for ever when the key is long deleted. So it is used only for moments after the token has shown the key: when the store's key_copies has
 * passed since, the next signature is made with the key itself again, and where the token does not let that go, so it is. What this
 * process changes on a token ends that time at once.
 *
 * A copy is used in the session alone in which it was made, with which it goes: handles of sessions that are gone may be given to others.
 * It is made by whoever is alone: SoftHSM's C_CopyObject gives the copy all that the key has, CKA_TOKEN too, before it looks at the template, and
 * who searches meanwhile finds two keys. What fails with a copy is done again with the key, which has no more copies then.
 */
#include "key.h"

#include <string.h>

/* How many signatures of a session a copy would have made until there is one: a key that signs now and then needs none. */
#define USES 128u
/* What a copy spares is some microseconds: where a signature takes so many milliseconds it is not worth that all wait while one is made. */
#define SLOW 2u
/* A place whose key has not signed for so long, in milliseconds, is given to another. */
#define PAUSE 1000u
/* A module may keep something of objects that are gone until it is finalized, as SoftHSM does: so many for an instance, and no more. */
#define MADE_MAXIMUM 512u

static struct p11_copy *place_of(struct p11_use *use, CK_OBJECT_HANDLE key)
{
    for (size_t i = 0; i < P11_COPIES; i++)
        if (use->copies[i].key == key)
            return &use->copies[i];
    return NULL;
}

static void forget(struct p11_use *use, struct p11_copy *place)
{
    if (place->copy != 0)
        (void)p11_did(use, NULL, use->functions->C_DestroyObject(use->session, place->copy));
    *place = (struct p11_copy){.key = 0};
}

/* One that is empty, or was of a key that is not used now. NULL: all are in use. */
static struct p11_copy *new_place(struct p11_use *use, CK_OBJECT_HANDLE key)
{
    struct p11_copy *place = place_of(use, 0);
    for (size_t i = 0; place == NULL && i < P11_COPIES; i++)
        if (use->asked - use->copies[i].known >= PAUSE) {
            place = &use->copies[i];
            forget(use, place);
        }
    if (place != NULL)
        place->key = key;
    return place;
}

CK_OBJECT_HANDLE p11_copy_of(struct p11_use *use, CK_OBJECT_HANDLE key)
{
    const kw_plugin_instance *instance = use->instance;
    use->asked = p11_now();
    use->asked_turns = atomic_load(&instance->module->turns);
    const struct p11_copy *place = place_of(use, key);
    const bool fresh = place != NULL && place->copy != 0 && place->turns == use->asked_turns &&
                       use->asked - place->known < instance->key_copies;
    return fresh ? place->copy : key;
}

void p11_copy_drop(struct p11_use *use, CK_OBJECT_HANDLE key)
{
    struct p11_copy *place = place_of(use, key);
    if (place != NULL)
        forget(use, place);
}

/* What a copy must have as the key has it: it is no easier to get out, and not on the token. */
static CK_RV check(struct p11_use *use, CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE copy, bool *right)
{
    enum { TOKEN, PRIVATE, SENSITIVE, EXTRACTABLE, COUNT };
    static const CK_ATTRIBUTE_TYPE types[COUNT] = {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE};
    CK_BBOOL values[2][COUNT];
    CK_ATTRIBUTE attributes[2][COUNT];
    CK_RV result = CKR_OK;
    for (size_t i = 0; result == CKR_OK && i < 2; i++) {
        for (size_t j = 0; j < COUNT; j++)
            attributes[i][j] = p11_attribute(types[j], &values[i][j], sizeof(CK_BBOOL));
        result = p11_attributes_get(use, i == 0 ? key : copy, attributes[i], COUNT);
    }
    *right = result == CKR_OK && p11_attribute_has(&attributes[1][TOKEN]) && values[1][TOKEN] == CK_FALSE;
    for (size_t j = PRIVATE; *right && j < COUNT; j++)
        *right = p11_attribute_has(&attributes[0][j]) && p11_attribute_has(&attributes[1][j]) &&
                 values[0][j] == values[1][j];
    return result;
}

/* Without id and label, so that who looks for keys by them in this process does not find it beside the key. */
static CK_RV make(struct p11_use *use, CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE *copy, bool *right)
{
    static const CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_TOKEN, &no, sizeof(no)),
        p11_attribute(CKA_ID, "", 0),
        p11_attribute(CKA_LABEL, "", 0),
    };
    *right = false;
    CK_RV result = use->functions->C_CopyObject == NULL
                       ? CKR_FUNCTION_NOT_SUPPORTED
                       : p11_did(use, NULL, use->functions->C_CopyObject(use->session, key, template, 3, copy));
    if (result != CKR_OK)
        return result;
    result = check(use, key, *copy, right);
    if (!*right)
        (void)p11_did(use, NULL, use->functions->C_DestroyObject(use->session, *copy));
    return result;
}

bool p11_copy_used(struct p11_use *use, CK_OBJECT_HANDLE key)
{
    struct p11_copy *place = place_of(use, key);
    if (place == NULL)
        place = new_place(use, key);
    if (place == NULL)
        return false;
    const bool counts = place->turns == use->asked_turns && use->asked - place->known < use->instance->key_copies &&
                        place->copy == 0 && p11_now() - use->asked < SLOW;
    place->uses += counts;
    place->known = use->asked;
    place->turns = use->asked_turns;
    return counts && place->uses % USES == 0;
}

/* False: the token makes none. */
static bool make_in(struct p11_use *use, const struct p11_session *session, struct p11_copy *place)
{
    CK_OBJECT_HANDLE copy = 0;
    bool right = false;
    place->uses = 0;
    if (atomic_fetch_add(&use->instance->copies_made, 1) >= MADE_MAXIMUM) {
        atomic_store(&use->instance->copies_made, MADE_MAXIMUM);
        return true;
    }
    use->session = session->handle;
    const CK_RV result = make(use, place->key, &copy, &right);
    if (right)
        place->copy = copy;
    return right || p11_failure_is_loss(result);
}

/* How long who makes a copy waits for the calls under way, milliseconds. */
#define PATIENCE_MAKING 100u

bool p11_copies_make(kw_plugin_instance *instance, CK_OBJECT_HANDLE key)
{
    struct p11_use use = {.instance = instance, .functions = instance->module->functions};
    bool makes = true;
    if (!p11_gate_shut(&instance->module->gate, PATIENCE_MAKING))
        return true;
    const unsigned free =
        instance->token->ready && instance->pool.generation == instance->token->generation ? instance->pool.free : 0;
    for (unsigned i = 0; i < free; i++)
        for (size_t j = 0; j < P11_COPIES; j++) {
            struct p11_copy *place = &instance->pool.sessions[i].copies[j];
            if (place->key == key && place->copy == 0 && place->uses >= USES)
                makes = make_in(&use, &instance->pool.sessions[i], place) && makes;
        }
    p11_gate_open(&instance->module->gate);
    p11_count(&use);
    return makes;
}

/* ---- What others do with sessions ------------------------------------------------------------------------------------------ */

void p11_copies_end(struct p11_use *use, struct p11_session *session, CK_OBJECT_HANDLE key)
{
    for (size_t i = 0; i < P11_COPIES; i++) {
        struct p11_copy *place = &session->copies[i];
        if (place->copy == 0 || (key != 0 && place->key != key))
            continue;
        (void)p11_did(use, NULL, use->functions->C_DestroyObject(session->handle, place->copy));
        *place = (struct p11_copy){.key = 0};
    }
}

/* How long who deletes a key waits for the calls under way, milliseconds. */
#define PATIENCE 1000u

void p11_copies_sweep(kw_plugin_instance *instance, CK_OBJECT_HANDLE key)
{
    struct p11_use use = {.instance = instance, .functions = instance->module->functions};
    const struct p11_token *token = instance->token;
    if (key == 0 || !instance->module->manners.checks_objects || !p11_gate_shut(&instance->module->gate, PATIENCE))
        return;
    p11_state_lock();
    kw_plugin_instance *each = token->instances; /* stays: who closes shuts the gate first */
    p11_state_unlock();
    for (; each != NULL; each = each->next)
        for (unsigned i = 0; token->ready && each->pool.generation == token->generation && i < each->pool.free; i++)
            p11_copies_end(&use, &each->pool.sessions[i], key);
    p11_gate_open(&instance->module->gate);
    p11_count(&use);
}
