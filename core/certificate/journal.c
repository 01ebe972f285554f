/* Keys on their way in and out, and what a crash left of them. */
#include "certificate/manager.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *owner_path(const kw_context *context, const struct id *owner)
{
    char name[ID_TEXT_SIZE];
    id_text(owner, name);
    return text_format("%s/run/%s.lock", context->settings->state, name);
}

/* Makes this process an owner of journal rows. A forked child must not stand behind its parent's lock. */
kw_status journal_own(kw_context *context, kw_error *error)
{
    char *path = NULL;
    kw_status status = KW_OK;
    pthread_mutex_lock(&context->owner->mutex);
    if (context->owner->lock != NULL && context->owner->process == getpid())
        goto out;
    run_lock_release(context->owner->lock, false);
    context->owner->lock = NULL;
    status = id_make(context->crypto, &context->owner->id, error);
    if (status != KW_OK)
        goto out;
    path = owner_path(context, &context->owner->id);
    if (path == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = run_lock_take(path, false, &context->owner->lock, error);
    if (status == KW_OK)
        context->owner->process = getpid();
out:
    pthread_mutex_unlock(&context->owner->mutex);
    free(path);
    return status;
}

static kw_status write_intent(kw_context *context, const char *address, enum journal_operation operation,
                              struct key_arrival *arrival, kw_error *error)
{
    struct journal_row *row = &arrival->journal;
    row->owner = context->owner->id;
    row->operation = operation;
    row->key_id = arrival->key_id;
    row->created = clock_wall();
    row->address = text_copy(address);
    row->store_id = text_copy(store_id(arrival->store));
    if (row->address == NULL || row->store_id == NULL)
        return error_memory(error);
    kw_status status = id_make(context->crypto, &row->id, error);
    if (status == KW_OK)
        status = catalogue_journal_insert(context->catalogue, row, error);
    return status;
}

/*
 * Gives the row to an owner that nobody is: whoever opens the state next, or transfers, clears it up, also while this process lives. Where that fails it stays
 * until this process ends.
 */
static kw_status pass_on(kw_context *context, struct journal_row *row, kw_error *error)
{
    kw_status status = catalogue_begin(context->catalogue, error);
    if (status == KW_OK)
        status = catalogue_journal_delete(context->catalogue, &row->id, error);
    if (status == KW_OK)
        status = id_make(context->crypto, &row->owner, error);
    if (status == KW_OK)
        status = catalogue_journal_insert(context->catalogue, row, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    return status;
}

/* Whether somebody is at work on the owner's rows. What cannot be told is taken for yes. */
static bool owner_is_alive(const kw_context *context, const struct id *owner)
{
    struct run_lock *lock = NULL;
    char *path = owner_path(context, owner);
    const bool dead = path != NULL && run_lock_take(path, false, &lock, NULL) == KW_OK;
    run_lock_release(lock, true);
    free(path);
    return !dead;
}

/* Whether a transfer of the key at `from` is under way. What one has left that is over, is in nobody's way. */
static kw_status check_not_moving(kw_context *context, const char *address, kw_input from, kw_error *error)
{
    struct journal_row *rows = NULL;
    size_t count = 0;
    bool moving = false;
    kw_status status = catalogue_journal_read(context->catalogue, NULL, NULL, &rows, &count, error);
    for (size_t i = 0; status == KW_OK && i < count; i++)
        moving = moving || (rows[i].operation == JOURNAL_MOVE_KEY && strcmp(rows[i].address, address) == 0 &&
                            input_equal((kw_input){rows[i].locator, rows[i].locator_length}, from) &&
                            owner_is_alive(context, &rows[i].owner));
    if (moving) {
        status = error_set(error, KW_CONFLICT, "the key of %s is being transferred by another process", address);
        error_remedy(error, "wait until that is done; `keywright show %s` tells where the key is", address);
    }
    for (size_t i = 0; i < count; i++)
        journal_row_clear(&rows[i]);
    free(rows);
    return status;
}

/* Of several who want to move a key at the same time, one gets the row. */
static kw_status write_move(kw_context *context, const char *address, kw_input from, struct key_arrival *arrival,
                            kw_error *error)
{
    kw_status status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    memcpy(arrival->journal.locator, from.data, from.length);
    arrival->journal.locator_length = from.length;
    status = check_not_moving(context, address, from, error);
    if (status == KW_OK)
        status = write_intent(context, address, JOURNAL_MOVE_KEY, arrival, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    return status;
}

void key_arrival_clear(struct key_arrival *arrival)
{
    journal_row_clear(&arrival->journal);
    *arrival = (struct key_arrival){0};
}

kw_status key_arrival_template(const char *address, const struct store *store, const char *key, kw_key_template *wanted,
                               kw_error *error)
{
    static const uint32_t uses[] = {
        [KW_KEY_RSA] = KW_CAN_SIGN | KW_CAN_DECRYPT,
        [KW_KEY_EC] = KW_CAN_SIGN | KW_CAN_DERIVE,
        [KW_KEY_ED25519] = KW_CAN_SIGN,
        [KW_KEY_X25519] = KW_CAN_DERIVE,
    };
    const struct key_kind *kind = key_kind_find(key);
    if (kind == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "there is no key type '%s'", key);
    *wanted = (kw_key_template){
        .size = sizeof(*wanted),
        .type = kind->type,
        .bits = kind->type == KW_KEY_RSA ? kind->bits : 0,
        .curve = kind->curve,
        .operations = kind->pss ? KW_CAN_SIGN : uses[kind->type],
        .exportable = (store_capabilities(store)->operations & KW_CAN_EXPORT) != 0,
        .label = address,
    };
    return KW_OK;
}

/* `from` is empty but for a transfer. */
static kw_status bring(kw_context *context, const char *address, struct store *store, const char *key, kw_input pkcs8,
                       kw_input from, struct key_arrival *arrival, kw_error *error)
{
    struct key_arrival made = {.store = store};
    kw_key_template wanted = {0};
    kw_output locator = {.data = made.locator, .capacity = sizeof(made.locator)};
    kw_status status = key_arrival_template(address, store, key, &wanted, error);
    if (status == KW_OK)
        status = manager_check_circle(context, address, store_id(store), error);
    if (status == KW_OK)
        status = id_make(context->crypto, &made.key_id, error);
    if (status == KW_OK)
        status = journal_own(context, error);
    if (status == KW_OK)
        status = from.length > 0 ? write_move(context, address, from, &made, error)
                                 : write_intent(context, address, JOURNAL_CREATE_KEY, &made, error);
    if (status != KW_OK)
        goto out;
    made.journalled = true;
    memcpy(wanted.id, made.key_id.bytes, sizeof(wanted.id));
    if (pkcs8.length > 0)
        status = store_key_import(store, &wanted, pkcs8, &locator, error);
    else
        status = store_key_generate(store, &wanted, &locator, error);
    made.locator_length = status == KW_OK ? locator.length : 0;
out:
    if (status == KW_OK)
        *arrival = made;
    else if (made.journalled)
        key_arrival_abandon(context, &made);
    else
        key_arrival_clear(&made);
    return status;
}

kw_status key_arrival_begin(kw_context *context, const char *address, struct store *store, const char *key,
                            kw_input pkcs8, struct key_arrival *arrival, kw_error *error)
{
    return bring(context, address, store, key, pkcs8, (kw_input){0}, arrival, error);
}

kw_status key_arrival_move(kw_context *context, const char *address, struct store *store, const char *key,
                           kw_input pkcs8, kw_input from, struct key_arrival *arrival, kw_error *error)
{
    return bring(context, address, store, key, pkcs8, from, arrival, error);
}

kw_status key_arrival_settle(kw_context *context, struct key_arrival *arrival, kw_error *error)
{
    if (!arrival->journalled)
        return KW_OK;
    return catalogue_journal_delete(context->catalogue, &arrival->journal.id, error);
}

/* Removes a key that no certificate names, and what lies beside it. KW_OK when there is none (`absent`, which may be NULL), or one that is in use. */
static kw_status remove_orphan(kw_context *context, struct store *store, const struct journal_row *row, bool *absent,
                               kw_error *error)
{
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    kw_output locator = {.data = bytes, .capacity = sizeof(bytes)};
    const bool leaving = row->operation == JOURNAL_DELETE_KEY || row->operation == JOURNAL_LEAVE_KEY;
    bool in_use = false;
    kw_status status = KW_OK;
    if (leaving && row->locator_length > 0)
        status = output_copy(&locator, (kw_input){row->locator, row->locator_length});
    else
        status = store_key_find(store, &row->key_id, &locator, error);
    if (status != KW_OK)
        return error_tolerate(status, KW_NOT_FOUND, error);
    const kw_input found = {bytes, locator.length};
    status = catalogue_key_in_use(context->catalogue, store_id(store), found, &in_use, error);
    if (status != KW_OK || in_use)
        return status;
    if (row->operation == JOURNAL_LEAVE_KEY)
        status = successor_prove(context, store, found, row->address, error);
    if (status != KW_OK)
        return status;
    status = store_certificate_delete(store, found, error);
    status = error_tolerate(status, KW_NOT_FOUND, error);
    status = error_tolerate(status, KW_UNSUPPORTED, error);
    if (status != KW_OK)
        return status;
    status = store_key_delete(store, found, error);
    if (absent != NULL)
        *absent = status == KW_NOT_FOUND;
    return error_tolerate(status, KW_NOT_FOUND, error);
}

void key_arrival_abandon(kw_context *context, struct key_arrival *arrival)
{
    kw_error error = {0};
    kw_status status = KW_OK;
    if (arrival->journalled) {
        status = remove_orphan(context, arrival->store, &arrival->journal, NULL, &error);
        if (status == KW_OK)
            status = catalogue_journal_delete(context->catalogue, &arrival->journal.id, &error);
        if (status != KW_OK) {
            log_write(&context->log, KW_LOG_WARNING, "a key of %s that came to nothing is left for a later start: %s",
                      arrival->journal.address, error.message);
            (void)!pass_on(context, &arrival->journal, NULL);
        }
    }
    key_arrival_clear(arrival);
}

static kw_status depart(kw_context *context, const char *address, enum journal_operation operation,
                        const struct certificate_row *row, struct store *store, struct key_arrival *departure,
                        kw_error *error)
{
    struct key_arrival made = {.store = store, .key_id = row->key_id};
    memcpy(made.journal.locator, row->locator, row->locator_length);
    made.journal.locator_length = row->locator_length;
    kw_status status = write_intent(context, address, operation, &made, error);
    if (status == KW_OK) {
        made.journalled = true;
        *departure = made;
    } else {
        key_arrival_clear(&made);
    }
    return status;
}

kw_status key_departure_begin(kw_context *context, const struct found *found, struct store *store,
                              struct key_arrival *departure, kw_error *error)
{
    return depart(context, found->address.text, JOURNAL_DELETE_KEY, &found->certificate, store, departure, error);
}

kw_status key_departure_leave(kw_context *context, const char *address, const struct certificate_row *row,
                              struct store *store, struct key_arrival *departure, kw_error *error)
{
    return depart(context, address, JOURNAL_LEAVE_KEY, row, store, departure, error);
}

kw_status key_departure_pass_on(kw_context *context, struct key_arrival *departure, kw_error *error)
{
    const kw_status status = pass_on(context, &departure->journal, error);
    key_arrival_clear(departure);
    return status;
}

kw_status key_departure_finish(kw_context *context, struct key_arrival *departure, kw_error *error)
{
    struct journal_row *row = &departure->journal;
    bool absent = false;
    kw_status status = remove_orphan(context, departure->store, row, &absent, error);
    /* A token that was exchanged for another of its name, for one: whoever deletes a key wants it gone. */
    if (status == KW_OK && absent)
        log_write(
            &context->log, KW_LOG_WARNING,
            "%s: store %s had no such key any more; if it is another token or disk than before, the key is still in "
            "that one",
            row->address, store_name(departure->store));
    if (status == KW_OK)
        status = catalogue_journal_delete(context->catalogue, &row->id, error);
    if (status != KW_OK)
        (void)!pass_on(context, row, NULL);
    key_arrival_clear(departure);
    return status;
}

kw_status key_check_not_leaving(kw_context *context, const struct store *store, kw_input locator, kw_error *error)
{
    struct journal_row *rows = NULL;
    size_t count = 0;
    bool leaving = false;
    kw_status status = catalogue_journal_read(context->catalogue, NULL, NULL, &rows, &count, error);
    for (size_t i = 0; i < count; i++) {
        leaving = leaving || ((rows[i].operation == JOURNAL_DELETE_KEY || rows[i].operation == JOURNAL_LEAVE_KEY) &&
                              strcmp(rows[i].store_id, store_id(store)) == 0 &&
                              input_equal((kw_input){rows[i].locator, rows[i].locator_length}, locator));
        journal_row_clear(&rows[i]);
    }
    free(rows);
    return status == KW_OK && leaving ? error_set(error, KW_EXISTS, "the key is being deleted by another process")
                                      : status;
}

/* Whether nobody uses any more what a transfer left. It may have died before it told the others. */
static kw_status check_left(kw_context *context, const struct journal_row *row, kw_error *error)
{
    uint64_t generation = 0;
    if (row->operation != JOURNAL_LEAVE_KEY)
        return KW_OK;
    char who[CONTROL_WHO_SIZE];
    kw_status status = control_raise(context->control, &generation, error);
    return status == KW_OK ? control_wait(context->control, generation, 0, who, error) : status;
}

/* One row of an owner whose lock we hold. What cannot be done now is left for a later start. */
static void recover_row(kw_context *context, const struct journal_row *row)
{
    static const char *const done[] = {
        [JOURNAL_CREATE_KEY] = "removed what an interrupted creation left",
        [JOURNAL_DELETE_KEY] = "finished an interrupted deletion",
        [JOURNAL_MOVE_KEY] = "removed the copy that an interrupted transfer left",
        [JOURNAL_LEAVE_KEY] = "removed what a transfer left in the store where the key was before",
    };
    struct store *store = NULL;
    kw_error error = {0};
    kw_status status = stores_get_by_id(context->stores, row->store_id, &store, &error);
    if (status == KW_NOT_FOUND)
        status = error_set(&error, KW_UNAVAILABLE, "its store with id %s is not configured", row->store_id);
    if (status == KW_OK)
        status = check_left(context, row, &error);
    if (status == KW_OK)
        status = remove_orphan(context, store, row, NULL, &error);
    if (status == KW_OK)
        status = catalogue_journal_delete(context->catalogue, &row->id, &error);
    if (status == KW_OK)
        log_write(&context->log, KW_LOG_WARNING, "%s: %s", row->address, done[row->operation]);
    else if (status != KW_NOT_FOUND) /* its owner cleared it just before it let go of its lock */
        log_write(&context->log, KW_LOG_WARNING, "%s: what an interrupted process left cannot be cleared up now: %s",
                  row->address, error.message);
}

static void report_corrupt(void *user, const kw_error *error)
{
    const kw_context *context = user;
    log_write(&context->log, KW_LOG_ERROR, "%s: %s", error->where, error->message);
}

kw_status journal_recover(kw_context *context, kw_error *error)
{
    struct journal_row *rows = NULL;
    size_t count = 0;
    kw_status status = catalogue_journal_read(context->catalogue, report_corrupt, context, &rows, &count, error);
    for (size_t i = 0; status == KW_OK && i < count; i++) {
        struct run_lock *lock = NULL;
        char *path = owner_path(context, &rows[i].owner);
        /* Held: its owner is alive and at work, or another start is recovering it. */
        if (path != NULL && run_lock_take(path, false, &lock, NULL) == KW_OK) {
            bool last = true;
            recover_row(context, &rows[i]);
            for (size_t later = i + 1; later < count; later++)
                last = last && !id_equal(&rows[later].owner, &rows[i].owner);
            run_lock_release(lock, last);
        }
        free(path);
    }
    for (size_t i = 0; i < count; i++)
        journal_row_clear(&rows[i]);
    free(rows);
    return status;
}
