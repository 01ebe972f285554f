/* Where a key is, and that it is found again after it has moved. No locks: the process may fork at any time. */
#include "store/key_private.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAXIMUM 3

/* ---- Opening ----------------------------------------------------------------------------------------- */

static kw_status place_broken(const struct store *store, kw_error *error)
{
    const kw_status status = error_set(
        error, KW_FAILED, "the plugin '%s' is broken: the type that it claims for a key is not that of its public key",
        store_plugin(store));
    error_where(error, "store %s", store_name(store));
    return status;
}

/* What the plugin says about the key must agree with the public key itself. */
static bool claims_hold(const kw_key_capabilities *real, const kw_key_capabilities *claimed)
{
    return claimed->type == real->type && (real->type != KW_KEY_RSA || claimed->bits == real->bits) &&
           (real->type != KW_KEY_EC || claimed->curve == real->curve);
}

/* Encodings of one public key differ between stores. */
static kw_status check_same(const kw_key *key, const struct store *store, kw_input spki, kw_error *error)
{
    kw_key *other = NULL;
    kw_status status = KW_OK;

    if (spki.length == key->spki_length && memcmp(spki.data, key->spki, spki.length) == 0)
        return KW_OK;
    status = key_open_public(key->crypto, spki, &other, error);
    if (status == KW_OK && !crypto_pkey_is(other->pkey, key->pkey))
        status = error_set(error, KW_CORRUPT, "what the store holds in the key's place is another key");
    if (status != KW_OK)
        error_where(error, "store %s", store_name(store));
    kw_key_free(other);
    return status;
}

kw_status key_place_open(kw_key *key, struct store *store, kw_input locator, struct key_place **place, kw_error *error)
{
    unsigned char spki[KEY_SPKI_MAXIMUM];
    kw_output output = {.data = spki, .capacity = sizeof(spki)};
    struct key_place *made = calloc(1, sizeof(*made));
    kw_status status;

    if (made == NULL)
        return error_memory(error);
    made->store = store;
    status = store_key_open(store, locator, &made->handle, &made->capabilities, error);
    if (status != KW_OK)
        goto out;
    status = store_key_public(store, made->handle, &output, error);
    if (status != KW_OK)
        goto out;
    if (key->pkey == NULL) {
        status = key_describe(key, (kw_input){spki, output.length}, error);
        if (status != KW_OK)
            error_where(error, "store %s", store_name(store));
    } else {
        status = check_same(key, store, (kw_input){spki, output.length}, error);
    }
    if (status == KW_OK && !claims_hold(&key->capabilities, &made->capabilities))
        status = place_broken(store, error);
    if (status != KW_OK)
        goto out;
    made->capabilities.bits = key->capabilities.bits;
    made->capabilities.curve = key->capabilities.curve;
    key_place_tell(made, &key->pss);
    memcpy(made->locator, locator.data, locator.length);
    made->locator_length = locator.length;
    *place = made;
    made = NULL;
out:
    key_places_free(made);
    return status;
}

/* What PSS needs may be raw RSA, which does it with any hash. */
void key_place_tell(struct key_place *place, const struct pss_limits *limits)
{
    static const uint32_t hashes =
        KW_BIT(KW_HASH_SHA224) | KW_BIT(KW_HASH_SHA256) | KW_BIT(KW_HASH_SHA384) | KW_BIT(KW_HASH_SHA512);
    kw_key_capabilities *const told = &place->told;
    const uint32_t signs = place->capabilities.schemes & (KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_RSA_RAW));

    *told = place->capabilities;
    if (!limits->only)
        return;
    told->operations &= ~(uint32_t)KW_CAN_DECRYPT;
    told->schemes = signs != 0 ? KW_BIT(KW_SCHEME_RSA_PSS) : 0;
    told->oaep_hashes = 0;
    if ((signs & KW_BIT(KW_SCHEME_RSA_RAW)) != 0)
        told->sign_hashes |= hashes;
    if (limits->hash != KW_HASH_NONE)
        told->sign_hashes &= KW_BIT(limits->hash);
}

void key_places_free(struct key_place *place)
{
    while (place != NULL) {
        struct key_place *const previous = place->previous;

        if (place->handle != NULL)
            store_key_close(place->store, place->handle);
        free(place);
        place = previous;
    }
}

/* ---- Following --------------------------------------------------------------------------------------- */

void key_follow(kw_key *key, const struct key_origin *origin, uint64_t generation)
{
    key->origin = *origin;
    if (origin->stores != NULL)
        stores_reference(origin->stores);
    atomic_store_explicit(&key->seen, generation, memory_order_release);
}

static bool place_is(const struct key_place *place, const struct certificate_row *row)
{
    return strcmp(store_id(place->store), row->store_id) == 0 && place->locator_length == row->locator_length &&
           memcmp(place->locator, row->locator, row->locator_length) == 0;
}

/*
 * Reads where the key is now. What cannot be read, or not be opened there, leaves the key where it was: a process that has given up its
 * rights goes on with what it has, and keeps the old copy from being deleted. Two threads may both get here; the handle of one of them is
 * the key's.
 */
static kw_status place_renew(kw_key *key, uint64_t generation, kw_error *why)
{
    struct key_place *present = atomic_load_explicit(&key->place, memory_order_acquire);
    struct key_place *made = NULL;
    struct certificate_row row = {0};
    struct store *store = NULL;
    kw_status status = catalogue_certificate_get(store_catalogue(present->store), &key->origin.certificate, &row, why);

    if (status != KW_OK || place_is(present, &row))
        goto out;
    status = stores_get_by_id(stores_newest(key->origin.stores), row.store_id, &store, why);
    if (status == KW_OK)
        status = key_place_open(key, store, (kw_input){row.locator, row.locator_length}, &made, why);
    if (status != KW_OK)
        goto out;
    made->previous = present;
    if (atomic_compare_exchange_strong(&key->place, &present, made))
        made = NULL;
    else
        made->previous = NULL;
out:
    if (status == KW_OK) {
        atomic_store_explicit(&key->seen, generation, memory_order_release);
        if (control_inherited(key->origin.control))
            control_prove(key->origin.control);
    }
    key_places_free(made);
    certificate_row_clear(&row);
    return status;
}

kw_status key_use_begin(kw_key *key, struct key_use *use, const char *what, kw_error *error)
{
    if (atomic_load_explicit(&key->place, memory_order_relaxed) == NULL)
        return error_set(error, KW_UNSUPPORTED, "only the public key is known here: it cannot %s", what);
    use->renewal = KW_OK;
    if (key->origin.control != NULL) {
        /* Before the operation counts as begun: it may take as long as opening a store does. */
        if (key->origin.renew != NULL &&
            control_generation(key->origin.control) != atomic_load_explicit(&key->seen, memory_order_acquire))
            key->origin.renew(key->origin.user);
        const uint64_t generation = control_enter(key->origin.control, &use->control);
        if (generation != atomic_load_explicit(&key->seen, memory_order_acquire))
            use->renewal = place_renew(key, generation, &use->why);
    }
    use->place = atomic_load_explicit(&key->place, memory_order_acquire);
    use->attempts++;
    return KW_OK;
}

/* Failures that a key which has gone elsewhere explains. */
static const bool may_have_moved[KW_FAILED + 1] = {
    [KW_NOT_FOUND] = true,      [KW_UNAVAILABLE] = true, [KW_TIMEOUT] = true, [KW_CONFIGURATION] = true,
    [KW_SECRET_REFUSED] = true, [KW_PERMISSION] = true,  [KW_CORRUPT] = true, [KW_FAILED] = true,
};

bool key_use_again(kw_key *key, struct key_use *use, kw_status status, kw_error *error)
{
    bool moved = false;

    if (key->origin.control == NULL)
        return false;
    if (may_have_moved[status] && use->renewal == KW_OK && use->attempts < ATTEMPTS_MAXIMUM) {
        /* The generation may not have been raised yet. */
        use->renewal = place_renew(key, atomic_load_explicit(&key->seen, memory_order_acquire), &use->why);
        moved = atomic_load_explicit(&key->place, memory_order_acquire) != use->place;
    }
    control_leave(key->origin.control, &use->control);
    /* It is not where it was, and where it is now it cannot be had: that is the reason to tell. */
    if (status == KW_NOT_FOUND && use->renewal != KW_OK && use->renewal != KW_NOT_FOUND)
        *error = use->why;
    return moved;
}

bool key_place_has(const struct key_place *place, uint32_t operation, kw_scheme scheme)
{
    return (place->capabilities.operations & operation) != 0 && (place->capabilities.schemes & KW_BIT(scheme)) != 0;
}

kw_status key_place_cannot(const struct key_place *place, kw_error *error, const char *what)
{
    const kw_status status = error_set(error, KW_UNSUPPORTED, "the key cannot %s", what);
    error_where(error, "store %s", store_name(place->store));
    return status;
}

kw_status key_place_broken(const struct key_place *place, kw_error *error, const char *what)
{
    const kw_status status =
        error_set(error, KW_FAILED, "the plugin '%s' is broken: %s", store_plugin(place->store), what);
    error_where(error, "store %s", store_name(place->store));
    return status;
}

kw_status key_use_end(kw_status status, const kw_error *inner, kw_error *error)
{
    if (status != KW_OK && error != NULL)
        *error = *inner;
    return status;
}
