/* kw_seal and kw_unseal: the road that is taken a million times. No lock, no allocation, no call, unless something has changed. */
#include "subkey/keyring_private.h"

#include "base/buffer.h"

/* What belongs to one seal: from begin to end, no version that it uses is retired. */
struct use {
    struct control_use control;
    uint64_t generation;
};

static kw_status use_begin(kw_subkey *subkey, struct use *use, kw_error *error)
{
    struct master *const master = subkey->master;
    const struct keyring *const keyring = master->keyring;
    /* Before the operation counts as begun: it may take as long as opening a store does. */
    if (keyring->renew != NULL &&
        atomic_load_explicit(&master->seen, memory_order_relaxed) < control_generation(keyring->control))
        keyring->renew(keyring->user);
    use->generation = control_enter(master->keyring->control, &use->control);
    kw_status status = KW_OK;
    if (atomic_load_explicit(&master->seen, memory_order_acquire) < use->generation)
        status = master_follow(master, use->generation, error);
    if (status == KW_OK)
        status = master_check(master, error);
    if (status != KW_OK)
        control_leave(master->keyring->control, &use->control);
    return status;
}

/* The use for which its root was loaded is counted as a miss. */
static void count_use(kw_subkey *subkey, const struct use *use, struct handle_key *key)
{
    if (!atomic_load_explicit(&key->is_counted, memory_order_relaxed) || !atomic_exchange(&key->is_counted, false))
        keyring_count(subkey->master->keyring, use->control.stripe, COUNT_HIT);
}

static void use_end(kw_subkey *subkey, const struct use *use)
{
    control_leave(subkey->master->keyring->control, &use->control);
}

/* Nothing new under a master key that is out of use; it may be in use again since this process looked. */
static kw_status check_open(kw_subkey *subkey, const struct use *use, kw_error *error)
{
    struct master *const master = subkey->master;
    if (!atomic_load_explicit(&master->is_closed, memory_order_relaxed))
        return KW_OK;
    const kw_status status = master_look(master, use->generation, error);
    if (status != KW_OK || !atomic_load(&master->is_closed))
        return status;
    error_set(error, KW_REFUSED, "%s is out of use: nothing new is sealed under it", subkey->address);
    error_remedy(error, "`keywright create %s` takes it into use again", subkey->address);
    return KW_REFUSED;
}

/* The version for new seals. A newer one may come at any time: whoever needs one and the same twice reads it once. */
static uint32_t active_version(const kw_subkey *subkey)
{
    return atomic_load_explicit(&subkey->master->active, memory_order_acquire);
}

/* The key of the version that is the active one, or was in that instant. */
static kw_status use_active(kw_subkey *subkey, uint32_t active, struct handle_key **key, kw_error *error)
{
    struct handle_key *current = atomic_load_explicit(&subkey->current, memory_order_acquire);
    kw_status status = KW_OK;
    if (current == NULL || current->version != active) {
        status = handle_key_of(subkey, active, &current, error);
        if (status == KW_OK)
            atomic_store_explicit(&subkey->current, current, memory_order_release);
    }
    if (status == KW_OK)
        *key = current;
    return status;
}

static kw_input purpose_of(const kw_subkey *subkey)
{
    return (kw_input){(const unsigned char *)subkey->purpose, subkey->purpose_length};
}

kw_status kw_seal(kw_subkey *subkey, kw_input plaintext, kw_input associated, kw_output *sealed, kw_error *error)
{
    const size_t length = KW_SEAL_OVERHEAD + subkey->purpose_length + plaintext.length;
    struct seal_header header;
    struct handle_key *key = NULL;
    struct use use;
    if (plaintext.length > XAES_PLAINTEXT_MAXIMUM || associated.length > XAES_PLAINTEXT_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "more than %u bytes are not sealed in one piece",
                         XAES_PLAINTEXT_MAXIMUM);
    sealed->length = length;
    if (sealed->data == NULL || sealed->capacity < length)
        return KW_BUFFER_TOO_SMALL;
    kw_status status = use_begin(subkey, &use, error);
    if (status != KW_OK)
        return status;
    uint32_t active = 0;
    status = check_open(subkey, &use, error);
    if (status == KW_OK)
        status = master_active(subkey->master, &active, error);
    if (status == KW_OK)
        status = use_active(subkey, active, &key, error);
    if (status == KW_OK)
        status = seal_make_header(&subkey->master->id, key->version, purpose_of(subkey), &header, error);
    if (status == KW_OK) {
        count_use(subkey, &use, key);
        status = seal_close(&key->key, &header, plaintext, associated, sealed->data, error);
    }
    use_end(subkey, &use);
    return status;
}

/* Whether the seal is one of this handle's at all. */
static kw_status check_header(const kw_subkey *subkey, const struct seal_header *header, kw_error *error)
{
    if (!id_equal(&header->master, &subkey->master->id))
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal is of another master key than %s", subkey->address);
    if (!input_equal(header->purpose, purpose_of(subkey)))
        return error_set(error, KW_CIPHERTEXT_INVALID, "this seal is of another purpose than '%s'", subkey->purpose);
    return KW_OK;
}

/* The key of an older version, while it is not retired. */
static kw_status use_version(kw_subkey *subkey, uint64_t generation, uint32_t version, struct handle_key **key,
                             kw_error *error)
{
    struct handle_key *found = NULL;
    kw_status status = KW_OK;
    if (version != 0 && version == active_version(subkey))
        return use_active(subkey, version, key, error);
    found = handle_key_find(atomic_load_explicit(&subkey->keys, memory_order_acquire), version);
    if (found == NULL || atomic_load_explicit(&found->seen, memory_order_acquire) < generation)
        status = master_version(subkey->master, version, error);
    if (status == KW_OK)
        status = handle_key_of(subkey, version, &found, error);
    if (status != KW_OK)
        return status;
    atomic_store_explicit(&found->seen, generation, memory_order_release);
    *key = found;
    return KW_OK;
}

kw_status kw_unseal(kw_subkey *subkey, kw_input sealed, kw_input associated, kw_output *plaintext, kw_error *error)
{
    struct seal_header header;
    struct handle_key *key = NULL;
    struct use use;
    kw_status status = seal_read_header(sealed, &header, error);
    if (status == KW_OK)
        status = check_header(subkey, &header, error);
    if (status != KW_OK) {
        plaintext->length = 0;
        return status;
    }
    plaintext->length = seal_plaintext_length(&header, sealed.length);
    if (plaintext->data == NULL || plaintext->capacity < plaintext->length)
        return KW_BUFFER_TOO_SMALL;
    status = use_begin(subkey, &use, error);
    if (status != KW_OK) {
        plaintext->length = 0;
        return status;
    }
    status = use_version(subkey, use.generation, header.version, &key, error);
    if (status == KW_OK) {
        count_use(subkey, &use, key);
        status = seal_open(&key->key, &header, sealed, associated, plaintext->data, error);
    }
    use_end(subkey, &use);
    if (status != KW_OK)
        plaintext->length = 0;
    return status;
}
