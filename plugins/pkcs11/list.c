/*
 * The list of keys. The first call takes the handles of all private keys, in one search; a cursor names such a list and a place in it. Of
 * lists that were not read to their end, the oldest goes when there are too many.
 */
#include "key.h"

#include <stdlib.h>
#include <string.h>

#define LISTS        16u
#define KEYS_MAXIMUM 1000000u

struct listing {
    uint32_t number; /* 0: free */
    unsigned generation;
    CK_OBJECT_HANDLE *keys;
    size_t count;
};

struct p11_cursors {
    uint32_t last;
    struct listing lists[LISTS]; /* guarded by the state */
};

struct p11_cursors *p11_cursors_new(void)
{
    return calloc(1, sizeof(struct p11_cursors));
}

void p11_cursors_free(struct p11_cursors *cursors)
{
    for (size_t i = 0; cursors != NULL && i < LISTS; i++)
        free(cursors->lists[i].keys);
    free(cursors);
}

/* What one call of key_list does. */
struct step {
    uint64_t cursor;
    struct p11_locator locator;
    bool at_end;
};

/* All private keys of the token. */
static CK_RV take_all(struct p11_use *use, struct listing *listing)
{
    static const CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
    static const CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {p11_attribute(CKA_CLASS, &private_key, sizeof(private_key)),
                               p11_attribute(CKA_TOKEN, &yes, sizeof(yes))};
    CK_OBJECT_HANDLE part[512];
    size_t capacity = 0;
    CK_ULONG got = 1;
    CK_RV result = p11_did(use, "C_FindObjectsInit", use->functions->C_FindObjectsInit(use->session, template, 2));
    if (result != CKR_OK)
        return result;
    use->dirty = true;
    while (got > 0) {
        result = p11_did(use, "C_FindObjects", use->functions->C_FindObjects(use->session, part, 512, &got));
        if (result != CKR_OK)
            return result;
        if (got > 512 || listing->count + got > KEYS_MAXIMUM)
            return p11_tell(use, KW_FAILED, "the module is broken: C_FindObjects gives more keys than there can be");
        if (listing->count + got > capacity) {
            capacity = 2 * (listing->count + got);
            CK_OBJECT_HANDLE *larger = calloc(capacity, sizeof(*larger));
            if (larger == NULL)
                return p11_tell(use, KW_OUT_OF_MEMORY, "out of memory");
            for (size_t i = 0; i < listing->count; i++)
                larger[i] = listing->keys[i];
            free(listing->keys);
            listing->keys = larger;
        }
        for (CK_ULONG i = 0; i < got; i++)
            listing->keys[listing->count++] = part[i];
    }
    result = p11_did(use, "C_FindObjectsFinal", use->functions->C_FindObjectsFinal(use->session));
    if (result != CKR_OK)
        return result;
    use->dirty = false;
    return listing->count == 0 ? p11_objects_absent(use) : CKR_OK;
}

/* False: the key is gone since, or is none that has a locator. */
static CK_RV describe(struct p11_use *use, CK_OBJECT_HANDLE handle, struct p11_locator *locator, bool *known)
{
    CK_ATTRIBUTE parts[] = {
        p11_attribute(CKA_KEY_TYPE, &locator->type, sizeof(locator->type)),
        p11_attribute(CKA_ID, locator->id, sizeof(locator->id)),
        p11_attribute(CKA_LABEL, locator->label, sizeof(locator->label)),
    };
    CK_RV result = p11_attributes_get(use, handle, parts, 3);
    *known = false;
    /* Deleted meanwhile, or one that the module cannot read: the others are listed nevertheless. */
    if (result == CKR_OBJECT_HANDLE_INVALID || result == CKR_KEY_HANDLE_INVALID || result == CKR_GENERAL_ERROR ||
        result == CKR_FUNCTION_FAILED || p11_failure_is_inability(result))
        return CKR_OK;
    if (result != CKR_OK)
        return result;
    locator->id_length = p11_attribute_has(&parts[1]) ? parts[1].ulValueLen : 0;
    locator->label_length = p11_attribute_has(&parts[2]) ? parts[2].ulValueLen : 0;
    *known = parts[0].ulValueLen == sizeof(locator->type) &&
             (locator->type == CKK_RSA || locator->type == CKK_EC || locator->type == CKK_EC_EDWARDS) &&
             locator->id_length + locator->label_length > 0;
    return CKR_OK;
}

static struct listing *find_list(struct p11_cursors *cursors, uint32_t number)
{
    for (size_t i = 0; i < LISTS; i++)
        if (number != 0 && cursors->lists[i].number == number)
            return &cursors->lists[i];
    return NULL;
}

/* Keeps a list in a free place, else in that of the oldest, which is freed. Its number. */
static uint32_t keep_list(struct p11_cursors *cursors, struct listing *listing)
{
    size_t place = 0;
    p11_state_lock();
    for (size_t i = 1; i < LISTS; i++)
        if (cursors->lists[i].number < cursors->lists[place].number)
            place = i;
    CK_OBJECT_HANDLE *old = cursors->lists[place].keys;
    listing->number = ++cursors->last;
    cursors->lists[place] = *listing;
    p11_state_unlock();
    free(old);
    return listing->number;
}

static void drop_list(struct p11_cursors *cursors, uint32_t number)
{
    CK_OBJECT_HANDLE *old = NULL;
    p11_state_lock();
    struct listing *listing = find_list(cursors, number);
    if (listing != NULL) {
        old = listing->keys;
        *listing = (struct listing){.number = 0};
    }
    p11_state_unlock();
    free(old);
}

/* The key at a place. False: the list is no longer there, or of a token that was lost meanwhile. */
static bool look_up(struct p11_cursors *cursors, const struct p11_use *use, uint64_t cursor, CK_OBJECT_HANDLE *handle,
                    bool *at_end)
{
    uint32_t place = (uint32_t)cursor;
    p11_state_lock();
    const struct listing *listing = find_list(cursors, (uint32_t)(cursor >> 32));
    bool good = listing != NULL && listing->generation == use->generation;
    *at_end = good && place >= listing->count;
    if (good && !*at_end)
        *handle = listing->keys[place];
    p11_state_unlock();
    return good;
}

static CK_RV step(struct p11_use *use, void *argument)
{
    struct step *step = argument;
    struct p11_cursors *cursors = use->instance->cursors;
    struct listing listing = {.generation = use->generation};
    CK_OBJECT_HANDLE handle = 0;
    bool known = false, at_end = false;
    CK_RV result = CKR_OK;
    if (step->cursor == 0) {
        result = take_all(use, &listing);
        if (result != CKR_OK) {
            free(listing.keys);
            return result;
        }
        step->cursor = (uint64_t)keep_list(cursors, &listing) << 32;
    }
    while (!known) {
        if (!look_up(cursors, use, step->cursor, &handle, &at_end))
            return p11_tell(use, KW_CONFLICT, "the list is no longer there; begin it again");
        if (at_end) {
            step->at_end = true;
            return CKR_OK;
        }
        result = describe(use, handle, &step->locator, &known);
        if (result != CKR_OK)
            return result;
        step->cursor++;
    }
    return CKR_OK;
}

kw_status p11_key_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator)
{
    struct step next = {.cursor = *cursor};
    if (!p11_fits(locator, P11_LOCATOR_MAXIMUM))
        return KW_BUFFER_TOO_SMALL;
    kw_status status = p11_perform(instance, call, "list its keys", step, &next);
    if (status != KW_OK)
        return status;
    if (next.at_end) {
        drop_list(instance->cursors, (uint32_t)(next.cursor >> 32));
        return p11_report(&instance->host, KW_NOT_FOUND, "there are no more keys");
    }
    *cursor = next.cursor;
    return p11_locator_put(&next.locator, locator);
}
