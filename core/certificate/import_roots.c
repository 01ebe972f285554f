/* Roots that come with a master key: as its own server wrapped and signed them. */
#include "certificate/import.h"
#include "certificate/roots.h"

#include "subkey/high_water.h"

/* The key that has arrived, or the one that is here. */
static kw_status open_key(struct importing *importing, const struct arrival *arrival, kw_key **key, kw_error *error)
{
    struct found found = {0};
    kw_status status;
    if (!arrival->here)
        return key_open(arrival->arrival.store, (kw_input){arrival->arrival.locator, arrival->arrival.locator_length},
                        key, error);
    status = manager_find(importing->context, arrival->address.text, &found, error);
    if (status == KW_OK)
        status = manager_open_key_plain(importing->context, &found, key, error);
    found_clear(&found);
    return status;
}

/* The master key is here: what its server has made since then is added. */
static kw_status join(const struct root_place *place, struct arrival *arrival, kw_error *error)
{
    struct root_set *here = NULL;
    kw_status status = root_set_load(place, &arrival->item->entry, &here, error);
    if (status == KW_OK && root_set_versions(arrival->roots) > root_set_versions(here)) {
        arrival->first_added = root_set_versions(here) + 1;
        arrival->last_added = root_set_versions(arrival->roots);
    }
    if (status == KW_OK)
        status = root_set_join(arrival->roots, here, error);
    root_set_free(here);
    return status;
}

static kw_status read_roots(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct root_place place = roots_place(importing->context);
    const struct pfx_item *item = arrival->item;
    kw_key *key = NULL;
    kw_bytes der = {0};
    kw_status status = x509_to_der(item->certificate, &der, error);
    if (status == KW_OK)
        status = open_key(importing, arrival, &key, error);
    if (status == KW_OK)
        status =
            root_set_read(&place, &item->entry, arrival->address.text, (kw_input){item->roots.data, item->roots.length},
                          key, (kw_input){der.data, der.length}, &arrival->roots, error);
    if (status == KW_OK && arrival->here)
        status = join(&place, arrival, error);
    else if (status == KW_OK)
        status = high_water_forget(&place, &item->entry, error); /* of a former life of it on this server */
    kw_key_free(key);
    kw_bytes_free(&der);
    return status;
}

kw_status import_bring_roots(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    kw_status status = KW_OK;
    if (arrival->item->roots.length == 0 || arrival->left_out || arrival->item->former)
        return KW_OK;
    if (!kind_has_roots(arrival->kind) || arrival->fresh) {
        event_tell(importing->event, importing->user, true, arrival->address.text,
                   "the root secrets in the file are left out, since they belong to %s: what was sealed under them "
                   "cannot be opened here",
                   arrival->item->address);
        return KW_OK;
    }
    if (arrival->exists && !(arrival->here && arrival->current)) {
        status = error_set(error, KW_EXISTS, "%s is here with another key: the root secrets in the file have no place",
                           arrival->address.text);
        error_remedy(error, "where nothing here needs it any more, `keywright delete %s` and import again",
                     arrival->address.text);
        return status;
    }
    return read_roots(importing, arrival, error);
}

static void tell_added(const struct importing *importing, const struct arrival *arrival)
{
    if (arrival->first_added == 0)
        return;
    if (arrival->first_added == arrival->last_added)
        event_tell(importing->event, importing->user, false, arrival->address.text,
                   "root %u of the file is added: what was sealed under it opens here too",
                   (unsigned)arrival->last_added);
    else
        event_tell(importing->event, importing->user, false, arrival->address.text,
                   "roots %u to %u of the file are added: what was sealed under them opens here too",
                   (unsigned)arrival->first_added, (unsigned)arrival->last_added);
}

void import_tell_processes(const struct importing *importing)
{
    const struct root_place place = roots_place(importing->context);
    bool any = false;
    for (size_t i = 0; i < importing->count; i++) {
        const struct arrival *arrival = &importing->arrivals[i];
        if (arrival->roots != NULL) {
            root_set_note(&place, arrival->roots);
            tell_added(importing, arrival);
        }
        any = any || arrival->roots != NULL || arrival->arrival.supersedes || arrival->again || arrival->revived;
    }
    if (any)
        manager_tell_changed(importing->context);
}
