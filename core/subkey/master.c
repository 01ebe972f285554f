/* What a process knows of the master keys that it has used, how it follows what others do to them, and goes on where it cannot. */
#include "subkey/keyring_private.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* How long a child that cannot read the catalogue goes on before it tries again. */
#define TOLERANCE 1000u

/* ---- Following ---- */

/* What is known of it holds for the generation, or is all that there is to be had. */
bool master_is_current(struct master *master, uint64_t generation)
{
    return atomic_load_explicit(&master->seen, memory_order_acquire) >= generation ||
           atomic_load(&master->tolerated) > clock_milliseconds();
}

struct master *keyring_master(struct keyring *keyring, const struct id *id)
{
    char text[ID_TEXT_SIZE];
    struct master *found;
    pthread_mutex_lock(&keyring->mutex);
    found = keyring->masters;
    while (found != NULL && !id_equal(&found->id, id))
        found = found->next;
    if (found == NULL) {
        found = calloc(1, sizeof(*found));
        if (found != NULL) {
            found->keyring = keyring;
            found->id = *id;
            id_text(id, text);
            found->own = control_outage(keyring->control, text);
            atomic_store(&found->fresh, UINT64_MAX);
            found->next = keyring->masters;
            keyring->masters = found;
        }
    }
    pthread_mutex_unlock(&keyring->mutex);
    return found;
}

/* Whoever read it for a later generation knows better; within one, versions only grow, whichever thread is the last to tell of them. */
static void master_set(struct master *master, uint64_t generation, uint32_t active, bool is_closed)
{
    pthread_mutex_lock(&master->keyring->mutex);
    const uint64_t seen = atomic_load(&master->seen);
    if (generation > seen || (generation == seen && active > atomic_load(&master->active)))
        atomic_store(&master->active, active);
    if (generation >= seen) {
        atomic_store(&master->is_closed, is_closed);
        atomic_store(&master->seen, generation);
    }
    pthread_mutex_unlock(&master->keyring->mutex);
}

/* Statuses of a catalogue that cannot be read: where the state directory is not to be seen, its file is not found. */
static bool is_out_of_sight(kw_status status)
{
    return status == KW_PERMISSION || status == KW_UNAVAILABLE || status == KW_NOT_FOUND;
}

bool keyring_prove(struct keyring *keyring)
{
    static const struct id any; /* of nobody: that nothing is found is an answer */
    struct root_row *rows = NULL;
    size_t count = 0;
    if (is_out_of_sight(catalogue_roots_read(keyring->catalogue, &any, &rows, &count, NULL)))
        return false;
    catalogue_roots_free(rows, count);
    control_prove(keyring->control);
    return true;
}

/*
 * A forked process that has given up its rights cannot see what others have done since. It goes on with what it knows, and its slot in
 * control tells the others that it may be behind, so that no version is retired under it. What is not found in a catalogue that can be read is gone.
 */
static bool may_be_behind(struct master *master, kw_status status)
{
    if (!control_inherited(master->keyring->control) || atomic_load(&master->active) == 0 || !is_out_of_sight(status) ||
        (status == KW_NOT_FOUND && keyring_prove(master->keyring)))
        return false;
    atomic_store(&master->tolerated, clock_milliseconds() + TOLERANCE);
    return true;
}

static kw_status hand_on(kw_status status, const kw_error *why, kw_error *error)
{
    if (error != NULL)
        *error = *why;
    return status;
}

kw_status master_entry(struct master *master, bool *is_closed, kw_error *error)
{
    struct entry_row entry = {0};
    const kw_status status = catalogue_entry_get_by_id(master->keyring->catalogue, &master->id, &entry, error);
    if (status == KW_OK)
        *is_closed = entry.state != ENTRY_IN_USE;
    entry_row_clear(&entry);
    return status;
}

/* 0: it has no root for new work, which whoever wants to seal makes. */
static kw_status read_active(struct master *master, uint32_t *active, kw_error *error)
{
    struct held held;
    keyring_hold(master->keyring, &held);
    const kw_status status = root_active(&held.place, &master->id, active, error);
    keyring_release(&held);
    if (status != KW_NOT_FOUND)
        return status;
    *active = 0;
    return KW_OK;
}

/* Its row had nothing but its id for people. */
static void say_gone(struct master *master, kw_error *why)
{
    pthread_mutex_lock(&master->keyring->mutex);
    if (master->address != NULL)
        error_set(why, KW_NOT_FOUND, "%s is not there any more: somebody has deleted it", master->address);
    pthread_mutex_unlock(&master->keyring->mutex);
}

kw_status master_look(struct master *master, uint64_t generation, kw_error *error)
{
    kw_error why = {0};
    uint32_t active = 0;
    bool is_closed = false;
    kw_status status = master_entry(master, &is_closed, &why);
    if (status == KW_OK)
        status = read_active(master, &active, &why);
    if (status == KW_OK) {
        master_set(master, generation, active, is_closed);
        if (control_inherited(master->keyring->control))
            control_prove(master->keyring->control);
        return KW_OK;
    }
    if (may_be_behind(master, status))
        return KW_OK;
    if (status == KW_NOT_FOUND)
        say_gone(master, &why);
    return hand_on(status, &why, error);
}

kw_status master_follow(struct master *master, uint64_t generation, kw_error *error)
{
    return master_is_current(master, generation) ? KW_OK : master_look(master, generation, error);
}

kw_status master_version(struct master *master, uint32_t version, kw_error *error)
{
    struct held held;
    kw_error why = {0};
    kw_status status;
    keyring_hold(master->keyring, &held);
    status = root_check(&held.place, &master->id, version, &why);
    keyring_release(&held);
    return status == KW_OK || may_be_behind(master, status) ? KW_OK : hand_on(status, &why, error);
}

/* ---- Addresses ---- */

/* The mutex is held. */
static struct master *find_address(struct keyring *keyring, const char *address)
{
    struct master *master = keyring->masters;
    while (master != NULL && (master->address == NULL || strcmp(master->address, address) != 0))
        master = master->next;
    return master;
}

void keyring_name(struct keyring *keyring, const struct id *id, const char *address)
{
    struct master *const master = keyring_master(keyring, id);
    if (master == NULL)
        return;
    pthread_mutex_lock(&keyring->mutex);
    struct master *const former = find_address(keyring, address);
    if (former != master) {
        char *const copy = former != NULL ? former->address : text_copy(address);
        if (former != NULL)
            former->address = NULL; /* it was deleted, and this one made anew */
        free(master->address);
        master->address = copy;
    }
    pthread_mutex_unlock(&keyring->mutex);
}

static struct master *named(struct keyring *keyring, const char *address)
{
    pthread_mutex_lock(&keyring->mutex);
    struct master *const master = find_address(keyring, address);
    pthread_mutex_unlock(&keyring->mutex);
    return master;
}

bool keyring_knows(struct keyring *keyring, const char *address, struct id *id)
{
    const uint64_t generation = control_generation(keyring->control);
    struct master *const master = named(keyring, address);
    if (master == NULL || atomic_load(&master->active) == 0 || !master_is_current(master, generation))
        return false;
    *id = master->id;
    return true;
}

bool keyring_has_active(struct keyring *keyring, const struct id *id, uint32_t version)
{
    const uint64_t generation = control_generation(keyring->control);
    struct master *const master = keyring_master(keyring, id);
    return master != NULL && version != 0 && atomic_load(&master->active) == version &&
           master_is_current(master, generation);
}

bool keyring_is_behind(struct keyring *keyring, const char *address, kw_status status, struct id *id)
{
    struct master *const master = named(keyring, address);
    if (master == NULL || !may_be_behind(master, status))
        return false;
    *id = master->id;
    return true;
}
