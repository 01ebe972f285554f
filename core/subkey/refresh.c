/*
 * Roots in memory serve on while their store is away, within the limit that is set; and whether it is away is found out here. The process has no thread
 * of its own for that: kw_subkeys_refresh asks, a root that has reached its age, and, once the limit has passed, whoever would be refused.
 */
#include "subkey/keyring_private.h"

#include "base/clock.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Between two attempts of those that are refused, and of those whose roots have aged. */
#define PAUSE 2000u

/* ---- Sentences ---- */

/* "90 s", "15 minutes". */
static void say_duration(uint64_t milliseconds, char text[48])
{
    static const struct {
        uint64_t milliseconds;
        const char *name;
    } units[] = {{86400000, "days"}, {3600000, "hours"}, {60000, "minutes"}, {1000, "seconds"}, {1, "milliseconds"}};
    size_t unit = 0;
    while (unit + 1 < sizeof(units) / sizeof(units[0]) && milliseconds < 2 * units[unit].milliseconds)
        unit++;
    snprintf(text, 48, "%" PRIu64 " %s", milliseconds / units[unit].milliseconds, units[unit].name);
}

/* "store 'hsm' of the master key". */
static void say_store(struct master *master, char text[MASTER_STORE_SIZE + 32])
{
    pthread_mutex_lock(&master->keyring->mutex);
    if (master->store[0] != '\0')
        snprintf(text, MASTER_STORE_SIZE + 32, "store '%s' of the master key", master->store);
    else
        snprintf(text, MASTER_STORE_SIZE + 32, "the store of the master key");
    pthread_mutex_unlock(&master->keyring->mutex);
}

static kw_status refuse(struct master *master, struct control_outage *outage, uint64_t lasts, const kw_error *why,
                        kw_error *error)
{
    const uint64_t limit = atomic_load(&master->keyring->outage_limit);
    char store[MASTER_STORE_SIZE + 32], since[32], how_long[48], allowed[48];
    say_store(master, store);
    clock_text(outage_began(outage, lasts), since);
    say_duration(lasts, how_long);
    say_duration(limit, allowed);
    const kw_status status = error_set(
        error, KW_UNAVAILABLE,
        "%s has not been available since %s (for %s), and outage_limit lets what is in memory serve for %s%s%s", store,
        since, how_long, allowed, why->message[0] == '\0' ? "" : ": ", why->message);
    if (why->where[0] != '\0')
        error_where(error, "%s", why->where);
    error_remedy(error, "see what `keywright status` says about the store; once it is back, work goes on by itself. "
                        "`subkeys.outage_limit` says how long it may be away");
    return status;
}

/* ---- What is known of the store ---- */

static struct control_outage *outage_of(struct master *master)
{
    return atomic_load_explicit(&master->outage, memory_order_acquire);
}

/* Of the store, and not of this process, which may lack a right, or of the catalogue. */
static const bool is_of_store[KW_FAILED + 1] = {
    [KW_UNAVAILABLE] = true, [KW_TIMEOUT] = true, [KW_SECRET_REFUSED] = true, [KW_FAILED] = true};

/* Its address, or its id. */
static void say_master(struct master *master, char text[128])
{
    char id[ID_TEXT_SIZE];
    id_text(&master->id, id);
    pthread_mutex_lock(&master->keyring->mutex);
    snprintf(text, 128, "%s", master->address != NULL ? master->address : id);
    pthread_mutex_unlock(&master->keyring->mutex);
}

static void tell_failure(struct master *master, const struct store *store, const kw_error *why)
{
    struct control_outage *const outage = outage_of(master);
    if (outage == NULL || !outage_fail(outage))
        return;
    log_write(master->keyring->log, KW_LOG_WARNING,
              "store %s is not available (%s): subkeys in memory serve on until outage_limit has passed",
              store_name(store), why->message);
}

/*
 * The store answers, and this key does not do its work: it may be the only one there that does not. So this is an outage of its own, which other keys' success does not
 * end.
 */
static void tell_key_failure(struct master *master, const struct store *store, const kw_error *why)
{
    char name[128];
    if (master->own == NULL || !outage_fail(master->own))
        return;
    say_master(master, name);
    log_write(master->keyring->log, KW_LOG_WARNING,
              "the key of %s cannot be used in store %s (%s): subkeys in memory serve on until outage_limit has passed",
              name, store_name(store), why->message);
}

static void tell_success(struct master *master, const struct store *store)
{
    struct control_outage *const outage = outage_of(master);
    char name[128];
    if (outage != NULL && outage_end(outage))
        log_write(master->keyring->log, KW_LOG_INFO, "store %s is available again", store_name(store));
    if (master->own == NULL || !outage_end(master->own))
        return;
    say_master(master, name);
    log_write(master->keyring->log, KW_LOG_INFO, "the key of %s in store %s can be used again", name,
              store_name(store));
}

/* Nobody asks a store any more whose last master key went elsewhere. */
static void leave(struct master *master, struct control_outage *former)
{
    bool is_used = false;
    pthread_mutex_lock(&master->keyring->mutex);
    for (struct master *other = master->keyring->masters; other != NULL; other = other->next)
        is_used = is_used || outage_of(other) == former;
    pthread_mutex_unlock(&master->keyring->mutex);
    if (!is_used)
        (void)outage_end(former);
}

/* Nor when the last root of it is gone. */
static void look_away(struct master *master)
{
    struct control_outage *const former = atomic_exchange(&master->outage, NULL);
    if (master->own != NULL)
        (void)outage_end(master->own);
    if (former != NULL)
        leave(master, former);
}

/* Another store may have the key since it was looked at last. */
static void look_at(struct master *master, const struct store *store)
{
    struct control_outage *const outage = control_outage(master->keyring->control, store_id(store));
    pthread_mutex_lock(&master->keyring->mutex);
    snprintf(master->store, sizeof(master->store), "%s", store_name(store));
    pthread_mutex_unlock(&master->keyring->mutex);
    if (master->own != NULL)
        outage_place(master->own, store_id(store));
    struct control_outage *const former = atomic_exchange(&master->outage, outage);
    if (former != NULL && former != outage)
        leave(master, former);
}

void master_loaded(struct master *master, const struct root_place *place)
{
    struct store *store = NULL;
    if (root_store(place, &master->id, &store, NULL) != KW_OK)
        return;
    look_at(master, store);
    tell_success(master, store);
}

/* Asks the store itself. What it answers says nothing yet of the key. No lock is held. */
static kw_status probe(struct master *master, const struct root_place *place, struct store **store, kw_error *error)
{
    kw_status status = root_store(place, &master->id, store, error);
    if (status != KW_OK)
        return status; /* the catalogue's, or the configuration's */
    look_at(master, *store);
    status = store_health(*store, error);
    if (status != KW_OK && is_of_store[status])
        tell_failure(master, *store, error);
    return status;
}

/* ---- Roots anew ---- */

void master_age(struct master *master)
{
    const uint64_t maximum = atomic_load(&master->keyring->maximum_age);
    uint64_t fresh = UINT64_MAX;
    for (const struct root *root = master->roots; root != NULL && maximum > 0; root = root->next)
        if (root->secret.data != NULL && root->loaded + maximum < fresh)
            fresh = root->loaded + maximum;
    atomic_store(&master->fresh, fresh);
}

/* A version that is in memory and higher than `above`; 0: there is none. */
static uint32_t next_version(struct master *master, uint32_t above)
{
    uint32_t next = 0;
    pthread_mutex_lock(&master->keyring->mutex);
    for (const struct root *root = master->roots; root != NULL; root = root->next)
        if (root->secret.data != NULL && root->version > above && (next == 0 || root->version < next))
            next = root->version;
    pthread_mutex_unlock(&master->keyring->mutex);
    return next;
}

/* What the store has unwrapped, beside what is in memory. */
static kw_status compare(struct master *master, uint32_t version, const struct secret *fresh, kw_error *error)
{
    kw_status status = KW_OK;
    pthread_mutex_lock(&master->keyring->mutex);
    for (struct root *root = master->roots; root != NULL; root = root->next) {
        if (root->version != version || root->secret.data == NULL)
            continue;
        if (crypto_equal(root->secret.data, fresh->data, ROOT_LENGTH))
            root->loaded = clock_milliseconds();
        else
            status = KW_CORRUPT;
    }
    pthread_mutex_unlock(&master->keyring->mutex);
    if (status == KW_OK)
        return KW_OK;
    status = error_set(error, KW_CORRUPT,
                       "version %u of the master key's root is another one than when it was read before", version);
    error_remedy(error, "the catalogue or the store was changed or exchanged: what is in memory stays in use; see "
                        "that seals can be opened before this process ends");
    return status;
}

static void drop(struct master *master, uint32_t version)
{
    pthread_mutex_lock(&master->keyring->mutex);
    for (struct root *root = master->roots; root != NULL; root = root->next)
        if (root->version == version)
            secret_clear(&root->secret);
    pthread_mutex_unlock(&master->keyring->mutex);
}

/*
 * What is in memory may be the last copy there is: it goes when the catalogue says that the version opens nothing any more, and for no other reason.
 * Whether the catalogue could be read.
 */
static bool drop_if_over(struct master *master, const struct root_place *place, uint32_t version, bool *is_over)
{
    *is_over = false;
    if (root_is_over(place, &master->id, version, is_over, NULL) != KW_OK)
        return false;
    if (*is_over)
        drop(master, version);
    return true;
}

static void drop_all_over(struct master *master, const struct root_place *place)
{
    bool is_over;
    for (uint32_t version = next_version(master, 0); version != 0; version = next_version(master, version))
        (void)drop_if_over(master, place, version, &is_over);
}

/* Empty where the version is over. A token that answers and lacks the key is one that is away: it may be another one than before. */
static kw_status load(struct master *master, const struct root_place *place, struct store *store, uint32_t version,
                      struct secret *fresh, kw_error *error)
{
    bool is_over;
    const kw_status status = root_load(place, &master->id, version, fresh, error);
    if (status == KW_OK)
        return KW_OK;
    const bool is_known = drop_if_over(master, place, version, &is_over);
    if (is_over)
        return KW_OK;
    if (is_known && (is_of_store[status] || status == KW_NOT_FOUND))
        tell_key_failure(master, store, error);
    return status;
}

/* `is_other`: the store has unwrapped another root than the one in memory. */
static kw_status reload(struct master *master, const struct root_place *place, struct store *store, uint32_t version,
                        bool *is_other, kw_error *error)
{
    struct secret fresh = {0};
    kw_status status = load(master, place, store, version, &fresh, error);
    if (status == KW_OK && fresh.data != NULL) {
        status = compare(master, version, &fresh, error);
        *is_other = status != KW_OK;
    }
    secret_clear(&fresh);
    return status;
}

static bool has_roots(struct master *master)
{
    return next_version(master, 0) != 0;
}

/*
 * Asks its store, and reads its roots from there: all of them, or (`one`) the first alone, which shows that the key is there. Of one that was deleted nothing is
 * left to ask about.
 */
static kw_status ask(struct master *master, bool one, kw_error *error)
{
    struct held held;
    struct store *store = NULL;
    bool is_other = false;
    kw_status status = KW_OK;
    keyring_hold(master->keyring, &held);
    const bool had_roots = has_roots(master);
    drop_all_over(master, &held.place);
    if (had_roots && !has_roots(master)) {
        look_away(master);
        goto out;
    }
    status = probe(master, &held.place, &store, error);
    for (uint32_t version = next_version(master, 0); status == KW_OK && version != 0;
         version = one ? 0 : next_version(master, version))
        status = reload(master, &held.place, store, version, &is_other, error);
    if (status == KW_OK || is_other)
        tell_success(master, store);
out:
    keyring_release(&held);
    return status;
}

static kw_status master_refresh(struct master *master, kw_error *error)
{
    const kw_status status = ask(master, false, error);
    pthread_mutex_lock(&master->keyring->mutex);
    master_age(master);
    /* For those who are refused before it is asked again. */
    if (status != KW_OK && !master->probe.is_under_way)
        master->probe.failure = *error;
    pthread_mutex_unlock(&master->keyring->mutex);
    return status;
}

kw_status keyring_refresh(struct keyring *keyring, kw_error *error)
{
    kw_status status = KW_OK;
    struct master *master;
    /* A forked child, whatever it has in memory. */
    if (control_inherited(keyring->control))
        (void)keyring_prove(keyring);
    pthread_mutex_lock(&keyring->mutex);
    master = keyring->masters;
    pthread_mutex_unlock(&keyring->mutex);
    /* They stay where they are; new ones are put in front. All are tried, and the first failure is told. */
    for (; master != NULL; master = master->next) {
        kw_error why = {0};
        /* Whether or not this process was told of a change. Of one that was deleted the roots go, as any that are over. */
        kw_status one = master_look(master, control_generation(keyring->control), &why);
        if (one == KW_NOT_FOUND)
            one = KW_OK;
        if (one == KW_OK && has_roots(master))
            one = master_refresh(master, &why);
        if (status == KW_OK && one != KW_OK) {
            status = one;
            if (error != NULL)
                *error = why;
        }
    }
    return status;
}

/* ---- Before use ---- */

/* One thread reads aged roots anew; the others go on with them, and it too when that fails. */
static void renew(struct master *master, uint64_t now)
{
    uint64_t fresh = atomic_load(&master->fresh);
    kw_error why = {0};
    if (fresh > now || !atomic_compare_exchange_strong(&master->fresh, &fresh, now + PAUSE))
        return;
    if (master_refresh(master, &why) == KW_OK)
        return;
    atomic_store(&master->fresh, clock_milliseconds() + PAUSE);
    if (why.status == KW_CORRUPT)
        log_write(master->keyring->log, KW_LOG_ERROR, "%s", why.message);
}

/* Whether it was tried just now, in vain. */
static bool was_tried(struct master *master)
{
    struct control_outage *const outage = outage_of(master);
    return (outage != NULL && outage_tried(outage) < PAUSE) ||
           (master->own != NULL && outage_tried(master->own) < PAUSE);
}

/* The limit has passed: one thread asks the store, now and then, and the others wait for what it finds. */
static kw_status try_again(struct master *master, struct control_outage *outage, uint64_t lasts, kw_error *error)
{
    struct keyring *const keyring = master->keyring;
    kw_error why = {0};
    kw_status status = KW_OK;
    pthread_mutex_lock(&keyring->mutex);
    if (!master->probe.is_under_way && was_tried(master)) {
        why = master->probe.failure;
        status = KW_UNAVAILABLE;
    } else if (flight_begin(keyring, &master->probe, &status, &why)) {
        pthread_mutex_unlock(&keyring->mutex);
        status = ask(master, true, &why);
        if (status == KW_CORRUPT && !outage_lasts(outage, &lasts))
            status = KW_OK; /* the store is there; what is in memory is used on */
        pthread_mutex_lock(&keyring->mutex);
        flight_end(keyring, &master->probe, status, &why);
    }
    pthread_mutex_unlock(&keyring->mutex);
    return status == KW_OK ? KW_OK : refuse(master, outage, lasts, &why, error);
}

/* Whether it lasts longer than the limit. */
static bool is_over_limit(struct master *master, struct control_outage *outage, uint64_t *lasts)
{
    return outage != NULL && atomic_load_explicit(&outage->since, memory_order_relaxed) != 0 &&
           outage_lasts(outage, lasts) && *lasts > atomic_load(&master->keyring->outage_limit);
}

kw_status master_check(struct master *master, kw_error *error)
{
    struct control_outage *const outage = outage_of(master);
    uint64_t lasts = 0;
    if (atomic_load_explicit(&master->fresh, memory_order_relaxed) != UINT64_MAX)
        renew(master, clock_milliseconds());
    if (is_over_limit(master, outage, &lasts))
        return try_again(master, outage, lasts, error);
    if (is_over_limit(master, master->own, &lasts))
        return try_again(master, master->own, lasts, error);
    return KW_OK;
}
