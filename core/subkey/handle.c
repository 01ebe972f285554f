/*
 * Handles: a subkey for seals, found again by address, purpose and context. All who ask for the same one share it. While somebody has it,
 * libcrypto may keep its schedules; what is left when nobody has it is bytes in locked memory, until newer ones need the place.
 */
#include "subkey/keyring_private.h"

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

#define HOLDER  UINT64_C(1)
#define HANDED  (UINT64_C(1) << 32)
#define HOLDERS (HANDED - 1)

/* ---- The table; the mutex is held ---- */

/* Less than 8 bytes as a number: their first and their last ones, which may overlap. */
static uint64_t short_word(const unsigned char *data, size_t length)
{
    uint32_t first, last;
    if (length >= sizeof(first)) {
        memcpy(&first, data, sizeof(first));
        memcpy(&last, data + length - sizeof(last), sizeof(last));
        return (uint64_t)first << 32 | last;
    }
    return length == 0 ? 0 : (uint64_t)data[0] << 16 | (uint64_t)data[length / 2] << 8 | data[length - 1];
}

/* Quick, as it is on the way of each kw_subkey_get. Names are the server's, not an attacker's. */
static uint64_t mix(uint64_t hash, const unsigned char *data, size_t length)
{
    uint64_t word = length;
    for (; length >= sizeof(word); length -= sizeof(word), data += sizeof(word)) {
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
        memcpy(&word, data, sizeof(word));
    }
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 32;
    return (hash ^ short_word(data, length)) * UINT64_C(0x9E3779B97F4A7C15);
}

/* What a name is looked up by. */
struct sought {
    kw_input address, purpose, context;
    uint64_t hash;
};

static struct sought sought_of(const struct handle_name *name)
{
    struct sought sought = {input_text(name->address), input_text(name->purpose), name->context, 0};
    sought.hash = mix(0, sought.address.data, sought.address.length);
    sought.hash = mix(sought.hash, sought.purpose.data, sought.purpose.length);
    sought.hash = mix(sought.hash, sought.context.data, sought.context.length);
    sought.hash ^= sought.hash >> 29;
    return sought;
}

static bool is_sought(const kw_subkey *handle, const struct sought *sought)
{
    return handle->hash == sought->hash && handle->address_length == sought->address.length &&
           handle->purpose_length == sought->purpose.length && handle->context_length == sought->context.length &&
           memcmp(handle->address, sought->address.data, sought->address.length) == 0 &&
           memcmp(handle->purpose, sought->purpose.data, sought->purpose.length) == 0 &&
           (sought->context.length == 0 || memcmp(handle->context, sought->context.data, sought->context.length) == 0);
}

static struct kw_subkey **bucket_of(struct keyring *keyring, uint64_t hash)
{
    return &keyring->buckets[hash % keyring->bucket_count];
}

static kw_subkey *table_find(struct keyring *keyring, const struct sought *sought)
{
    kw_subkey *handle = *bucket_of(keyring, sought->hash);
    while (handle != NULL && !is_sought(handle, sought))
        handle = handle->next;
    return handle;
}

static void use_remove(struct keyring *keyring, kw_subkey *handle)
{
    *(handle->newer != NULL ? &handle->newer->older : &keyring->newest) = handle->older;
    *(handle->older != NULL ? &handle->older->newer : &keyring->oldest) = handle->newer;
}

static void use_add(struct keyring *keyring, kw_subkey *handle)
{
    handle->newer = NULL;
    handle->older = keyring->newest;
    *(keyring->newest != NULL ? &keyring->newest->newer : &keyring->oldest) = handle;
    keyring->newest = handle;
}

/* True: nobody else has it, and the caller frees it. */
static bool table_remove(struct keyring *keyring, kw_subkey *handle)
{
    struct kw_subkey **at = bucket_of(keyring, handle->hash);
    while (*at != handle)
        at = &(*at)->next;
    *at = handle->next;
    use_remove(keyring, handle);
    handle->is_listed = false;
    keyring->handle_count--;
    return (atomic_fetch_sub_explicit(&handle->holders, HOLDER, memory_order_acq_rel) & HOLDERS) == HOLDER;
}

static void table_add(struct keyring *keyring, kw_subkey *handle)
{
    struct kw_subkey **const bucket = bucket_of(keyring, handle->hash);
    handle->next = *bucket;
    *bucket = handle;
    use_add(keyring, handle);
    handle->is_listed = true;
    atomic_fetch_add_explicit(&handle->holders, HOLDER, memory_order_relaxed);
    keyring->handle_count++;
}

/* ---- Keys ---- */

static void key_free(struct handle_key *key)
{
    xaes_key_clear(&key->key);
    secret_free(key->secret, sizeof(*key->secret));
    free(key);
}

static void handle_free(kw_subkey *handle)
{
    if (handle == NULL)
        return;
    for (struct handle_key *key = atomic_load(&handle->keys), *next; key != NULL; key = next) {
        next = key->next;
        key_free(key);
    }
    free(handle->address);
    free(handle->purpose);
    free(handle->context);
    free(handle);
}

/* Nobody has it any more: of its keys stays the newest, and nothing of it outside of locked memory. The mutex is held. */
static void handle_rest(kw_subkey *handle)
{
    struct handle_key *const newest = atomic_load(&handle->keys);
    if (newest == NULL)
        return;
    for (struct handle_key *key = newest->next, *next; key != NULL; key = next) {
        next = key->next;
        key_free(key);
    }
    newest->next = NULL;
    if (atomic_load(&handle->current) != newest)
        atomic_store(&handle->current, NULL);
    xaes_key_clear(&newest->key);
    xaes_key_init(&newest->key, handle->master->keyring->xaes, newest->secret);
}

/* The bytes of a version, by one derivation; a root that is not in memory is loaded. */
static kw_status key_new(kw_subkey *handle, uint32_t version, struct handle_key **key, kw_error *error)
{
    const struct subkey_name name = {
        .class = SUBKEY_SEAL,
        .master = handle->master->id,
        .version = version,
        .purpose = {(const unsigned char *)handle->purpose, handle->purpose_length},
        .context = {handle->context, handle->context_length},
    };
    struct xaes *const xaes = handle->master->keyring->xaes;
    kw_status status = KW_OK;
    struct secret bytes = {0};
    bool was_there = false;
    struct handle_key *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    made->version = version;
    made->secret = secret_allocate(sizeof(*made->secret));
    if (made->secret == NULL) {
        free(made);
        return error_memory(error);
    }
    xaes_key_init(&made->key, xaes, made->secret);
    status = secret_new(&bytes, XAES_KEY_LENGTH, error);
    if (status == KW_OK)
        status = master_subkey(handle->master, &name, bytes.data, XAES_KEY_LENGTH, &was_there, error);
    atomic_init(&made->is_counted, !was_there);
    if (status == KW_OK)
        status = xaes_prepare(xaes, bytes.data, made->secret, error);
    secret_clear(&bytes);
    if (status == KW_OK)
        *key = made;
    else
        key_free(made);
    return status;
}

struct handle_key *handle_key_find(struct handle_key *key, uint32_t version)
{
    while (key != NULL && key->version != version)
        key = atomic_load_explicit(&key->next, memory_order_acquire);
    return key;
}

/* Puts it where it belongs by version, the newest first. Two threads may both have made one: the first stays. */
static struct handle_key *key_keep(kw_subkey *handle, struct handle_key *made)
{
    struct keyring *const keyring = handle->master->keyring;
    pthread_mutex_lock(&keyring->mutex);
    struct handle_key *const newest = atomic_load(&handle->keys), *found = handle_key_find(newest, made->version);
    if (found == NULL && (newest == NULL || newest->version < made->version)) {
        made->next = newest;
        atomic_store_explicit(&handle->keys, made, memory_order_release);
    } else if (found == NULL) {
        /* behind the first one: whoever walks the list meets it now or goes past it */
        made->next = newest->next;
        newest->next = made;
    }
    pthread_mutex_unlock(&keyring->mutex);
    if (found == NULL)
        return made;
    key_free(made);
    return found;
}

/* The key of a version. Somebody has the handle, so nothing of it goes away. */
kw_status handle_key_of(kw_subkey *handle, uint32_t version, struct handle_key **key, kw_error *error)
{
    struct handle_key *found = handle_key_find(atomic_load_explicit(&handle->keys, memory_order_acquire), version);
    kw_status status = KW_OK;
    if (found == NULL) {
        status = key_new(handle, version, &found, error);
        if (status != KW_OK)
            return status;
        found = key_keep(handle, found);
    }
    *key = found;
    return KW_OK;
}

/* ---- Getting and freeing ---- */

static void hand_out(struct keyring *keyring, kw_subkey *handle)
{
    atomic_fetch_add_explicit(&handle->holders, HANDED + HOLDER, memory_order_relaxed);
    if (keyring->newest != handle) {
        use_remove(keyring, handle);
        use_add(keyring, handle);
    }
}

bool keyring_find(struct keyring *keyring, const struct handle_name *name, kw_subkey **subkey)
{
    const struct sought sought = sought_of(name);
    const uint64_t generation = control_generation(keyring->control);
    kw_subkey *found;
    pthread_mutex_lock(&keyring->mutex);
    found = table_find(keyring, &sought);
    if (found != NULL && master_is_current(found->master, generation))
        hand_out(keyring, found);
    else
        found = NULL;
    pthread_mutex_unlock(&keyring->mutex);
    if (found == NULL)
        return false;
    *subkey = found;
    return true;
}

static kw_status handle_new(const struct sought *sought, struct master *master, kw_subkey **handle, kw_error *error)
{
    kw_subkey *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    made->master = master;
    made->hash = sought->hash;
    made->address = text_copy((const char *)sought->address.data);
    made->purpose = text_copy((const char *)sought->purpose.data);
    made->context = malloc(sought->context.length + 1);
    made->address_length = sought->address.length;
    made->purpose_length = sought->purpose.length;
    made->context_length = sought->context.length;
    atomic_store(&made->holders, HANDED + HOLDER);
    if (made->address == NULL || made->purpose == NULL || made->context == NULL) {
        handle_free(made);
        return error_memory(error);
    }
    if (sought->context.length > 0)
        memcpy(made->context, sought->context.data, sought->context.length);
    *handle = made;
    return KW_OK;
}

/* Takes those used least recently out of the table; those that somebody has go when they are freed. The mutex is held. */
static kw_subkey *table_shrink(struct keyring *keyring, size_t maximum)
{
    kw_subkey *gone = NULL;
    while (keyring->handle_count > maximum) {
        kw_subkey *const oldest = keyring->oldest;
        if (!table_remove(keyring, oldest))
            continue;
        oldest->next = gone;
        gone = oldest;
    }
    return gone;
}

static void free_all(kw_subkey *handle)
{
    while (handle != NULL) {
        kw_subkey *const next = handle->next;
        handle_free(handle);
        handle = next;
    }
}

/* Another thread may have been as fast; a master key that was made anew has another id than the one in the table. */
static kw_subkey *table_keep(struct keyring *keyring, kw_subkey *made, const struct sought *sought)
{
    kw_subkey *gone = NULL, *found;
    pthread_mutex_lock(&keyring->mutex);
    found = table_find(keyring, sought);
    if (found != NULL && found->master != made->master) {
        if (table_remove(keyring, found)) {
            found->next = NULL;
            gone = found;
        }
        found = NULL;
    }
    if (found != NULL) {
        hand_out(keyring, found);
    } else {
        kw_subkey *const shrunk = table_shrink(keyring, keyring->maximum - 1);
        if (gone != NULL)
            gone->next = shrunk;
        else
            gone = shrunk;
        table_add(keyring, made);
    }
    pthread_mutex_unlock(&keyring->mutex);
    free_all(gone);
    if (found == NULL)
        return made;
    handle_free(made);
    return found;
}

static kw_status check_name(const struct sought *sought, kw_error *error)
{
    if (sought->purpose.length == 0 || sought->purpose.length > SUBKEY_PURPOSE_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a purpose has 1 to %d bytes, and this one %zu",
                         SUBKEY_PURPOSE_MAXIMUM, sought->purpose.length);
    if (sought->context.length > SUBKEY_CONTEXT_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a context has at most %d bytes, and this one %zu",
                         SUBKEY_CONTEXT_MAXIMUM, sought->context.length);
    return KW_OK;
}

kw_status keyring_open(struct keyring *keyring, const struct handle_name *name, const struct id *master,
                       kw_subkey **subkey, kw_error *error)
{
    const struct sought sought = sought_of(name);
    const uint64_t generation = control_generation(keyring->control);
    struct handle_key *key = NULL;
    kw_subkey *handle = NULL;
    kw_status status = check_name(&sought, error);
    if (status != KW_OK)
        return status;
    struct master *const known = keyring_master(keyring, master);
    status = known == NULL ? error_memory(error) : master_follow(known, generation, error);
    if (status == KW_OK && atomic_load(&known->active) == 0)
        status = master_look(known, generation, error); /* of a first root nobody is told */
    if (status == KW_OK)
        status = master_check(known, error);
    if (status == KW_OK)
        status = handle_new(&sought, known, &handle, error);
    if (status != KW_OK)
        return status;
    handle = table_keep(keyring, handle, &sought);
    /* Without a root there is nothing to get ready: the first seal makes one, and who opens an old seal makes none. */
    const uint32_t version = atomic_load(&known->active);
    if (version != 0)
        status = handle_key_of(handle, version, &key, error);
    if (status == KW_OK)
        *subkey = handle;
    else
        kw_subkey_free(handle);
    return status;
}

/* Whether there is anything to do when nobody has it any more. */
static bool is_at_rest(kw_subkey *handle)
{
    struct handle_key *const newest = atomic_load_explicit(&handle->keys, memory_order_relaxed);
    return newest != NULL && atomic_load_explicit(&newest->next, memory_order_relaxed) == NULL &&
           xaes_key_rest(&newest->key);
}

/* One of two who have it gives it back, without the mutex. Fails when it was handed out meanwhile, to somebody who may leave something behind. */
static bool give_back_quickly(kw_subkey *handle)
{
    uint64_t holders = atomic_load_explicit(&handle->holders, memory_order_acquire);
    return (holders & HOLDERS) == 2 * HOLDER && is_at_rest(handle) &&
           atomic_compare_exchange_strong_explicit(&handle->holders, &holders, holders - HOLDER, memory_order_release,
                                                   memory_order_relaxed);
}

void kw_subkey_free(kw_subkey *subkey)
{
    if (subkey == NULL || give_back_quickly(subkey))
        return;
    struct keyring *const keyring = subkey->master->keyring;
    bool is_gone;
    pthread_mutex_lock(&keyring->mutex);
    const uint64_t left =
        (atomic_fetch_sub_explicit(&subkey->holders, HOLDER, memory_order_acq_rel) & HOLDERS) - HOLDER;
    is_gone = left == 0;
    if (left == HOLDER && subkey->is_listed) {
        if (atomic_load(&subkey->keys) != NULL)
            handle_rest(subkey);
        else
            is_gone = table_remove(keyring, subkey);
    }
    pthread_mutex_unlock(&keyring->mutex);
    if (is_gone)
        handle_free(subkey);
}

kw_status handles_new(struct keyring *keyring, kw_error *error)
{
    keyring->bucket_count = 16384;
    keyring->buckets = calloc(keyring->bucket_count, sizeof(struct kw_subkey *));
    return keyring->buckets != NULL ? KW_OK : error_memory(error);
}

void handles_free(struct keyring *keyring)
{
    while (keyring->oldest != NULL) {
        kw_subkey *const oldest = keyring->oldest;
        (void)table_remove(keyring, oldest);
        handle_free(oldest);
    }
    free(keyring->buckets);
}

void handles_bound(struct keyring *keyring, size_t maximum)
{
    keyring->maximum = maximum;
    free_all(table_shrink(keyring, maximum));
}
