/* A key that stayed in its store: which of the stores here has it. Ids of stores are each server's own; the token's serial is the token's. */
#include "certificate/import.h"

#include <string.h>

kw_status reference_prove(kw_context *context, const struct pfx_item *item, struct store *store, kw_error *error)
{
    const kw_input locator = {item->reference.locator, item->reference.locator_length};
    kw_key *key = NULL;
    kw_status status = key_open(store, locator, &key, error);
    if (status == KW_OK)
        status = key_prove(context, key, item->certificate, error);
    kw_key_free(key);
    return status;
}

/* `away`: a store that did not open, whose token might be the one. */
static kw_status refuse(const struct pfx_item *item, const char *address, const char *away, const kw_error *why,
                        kw_error *error)
{
    const char *const token = item->reference.token;
    const kw_status status = error_set(
        error, KW_NOT_FOUND,
        "the key of %s is not in the file: it stayed in the store with id %s, which is not configured here%s%s%s%s%s%s",
        address, item->reference.store_id, token != NULL ? ", and no store here has its token, serial " : "",
        token != NULL ? token : "", away != NULL ? "; store " : "", away != NULL ? away : "",
        away != NULL ? " does not open: " : "", away != NULL ? why->message : "");
    error_remedy(error, "configure that store under 'stores:' %s, and import again",
                 token != NULL ? "with this id, or any id and this token" : "with this id");
    return status;
}

kw_status reference_find(kw_context *context, const struct pfx_item *item, const char *address, struct store **store,
                         kw_error *error)
{
    const char *const token = item->reference.token;
    const struct settings *const settings = context->settings;
    const char *away = NULL;
    kw_error why = {0}, refusal = {0};
    bool met = false;
    for (size_t i = 0; token != NULL && i < settings->store_count; i++) {
        struct store *found = NULL;
        kw_error inner = {0};
        if (stores_get(context->stores, settings->stores[i].name, &found, &inner) != KW_OK) {
            if (away == NULL)
                why = inner;
            away = away == NULL ? settings->stores[i].name : away;
            continue;
        }
        if (strcmp(store_capabilities(found)->token, token) != 0)
            continue;
        if (reference_prove(context, item, found, &inner) == KW_OK) {
            *store = found;
            return KW_OK;
        }
        if (!met)
            refusal = inner;
        met = true;
    }
    if (!met)
        return refuse(item, address, away, &why, error);
    if (error != NULL)
        *error = refusal;
    return refusal.status;
}
