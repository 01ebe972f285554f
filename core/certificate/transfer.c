/* Transfer: chosen keys to another store. */
#include "certificate/transfer.h"
#include "certificate/calls.h"
#include "certificate/derivation.h"
#include "certificate/roots.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/options.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_DEFAULT 60000 /* ms */

/* ---- Which keys -------------------------------------------------------------------------------------- */

static bool same_key(const struct certificate_row *left, const struct certificate_row *right)
{
    return strcmp(left->store_id, right->store_id) == 0 &&
           input_equal((kw_input){left->locator, left->locator_length},
                       (kw_input){right->locator, right->locator_length});
}

static kw_status grow(struct transfer *transfer, kw_error *error)
{
    const size_t room = transfer->room * 2 + 8;
    struct moving *grown = NULL;
    if (transfer->count < transfer->room)
        return KW_OK;
    grown = calloc(room, sizeof(*grown));
    if (grown == NULL)
        return error_memory(error);
    if (transfer->count > 0)
        memcpy(grown, transfer->keys, transfer->count * sizeof(*grown));
    free(transfer->keys);
    transfer->keys = grown;
    transfer->room = room;
    return KW_OK;
}

/* The key of one certificate, unless it is chosen already. Takes `found`. */
static kw_status choose(struct transfer *transfer, struct found *found, kw_error *error)
{
    const bool current = id_equal(&found->entry.certificate, &found->certificate.id);
    struct moving *moving = NULL;
    kw_status status = KW_OK;
    for (size_t i = 0; i < transfer->count; i++)
        if (same_key(&transfer->keys[i].found.certificate, &found->certificate))
            goto out;
    status = grow(transfer, error);
    if (status != KW_OK)
        goto out;
    moving = &transfer->keys[transfer->count];
    moving->name =
        current ? text_copy(found->address.text) : text_format("%s@%u", found->address.text, found->certificate.number);
    if (moving->name == NULL) {
        status = error_memory(error);
        goto out;
    }
    moving->found = *found;
    *found = (struct found){0};
    transfer->count++;
out:
    found_clear(found);
    return status;
}

static kw_status choose_number(struct transfer *transfer, const char *address, unsigned number, kw_error *error)
{
    struct found found = {0};
    char *text = number != 0 ? text_format("%s@%u", address, number) : text_copy(address);
    kw_status status = text != NULL ? manager_find(transfer->context, text, &found, error) : error_memory(error);
    if (status == KW_OK)
        status = choose(transfer, &found, error);
    free(text);
    return status;
}

/* The current certificate's key first, so that it is named by the entry; then those that old data needs. */
static kw_status choose_address(struct transfer *transfer, const char *address, kw_error *error)
{
    struct found found = {0};
    struct certificate_row last = {0};
    kw_status status = manager_find(transfer->context, address, &found, error);
    const bool whole = status == KW_OK && found.address.number == 0;
    char *text = status == KW_OK ? text_copy(found.address.text) : NULL;
    if (whole)
        status = catalogue_certificate_get_last(transfer->context->catalogue, &found.entry.id, &last, error);
    if (status == KW_OK && text == NULL)
        status = error_memory(error);
    if (status == KW_OK)
        status = choose(transfer, &found, error);
    for (unsigned number = last.number; status == KW_OK && number > 0; number--) {
        status = choose_number(transfer, text, number, error);
        status = error_tolerate(status, KW_NOT_FOUND, error);
    }
    free(text);
    certificate_row_clear(&last);
    found_clear(&found);
    return status;
}

static bool serves(const struct entry_row *entry, const char *database)
{
    for (size_t i = 0; i < entry->database_count; i++)
        if (strcmp(entry->databases[i], database) == 0)
            return true;
    return false;
}

/* The server keys (S26) of a database, or all of them. A transfer that leaves out what it cannot read would look complete: it fails. */
static kw_status choose_server_keys(struct transfer *transfer, const char *database, kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    kw_status status = catalogue_snapshot_read(transfer->context->catalogue, NULL, NULL, &snapshot, error);
    for (size_t i = 0; status == KW_OK && i < snapshot.entry_count; i++) {
        const struct entry_row *entry = &snapshot.entries[i];
        struct address address = {0};
        const struct kind *kind = NULL;
        status = address_parse(entry->address, &address, error);
        if (status == KW_OK)
            status = kind_of(&address, &kind, error);
        if (status == KW_OK && kind->server_key && (database == NULL || serves(entry, database)))
            status = choose_address(transfer, entry->address, error);
    }
    catalogue_snapshot_clear(&snapshot);
    return status;
}

static kw_status choose_all(struct transfer *transfer, const kw_transfer_options *options, kw_error *error)
{
    struct found found = {0};
    kw_status status = KW_OK;
    const int ways = (options->address_count > 0) + (options->database != NULL) + options->everything;
    if (ways != 1) {
        status = error_set(error, KW_INVALID_ARGUMENT,
                           ways == 0 ? "no key is named to transfer"
                                     : "certificates, a database and everything exclude each other");
        error_remedy(error, "name certificates, or --database DB, or --everything");
        return status;
    }
    for (size_t i = 0; status == KW_OK && i < options->address_count; i++)
        status = choose_address(transfer, options->addresses[i], error);
    if (status != KW_OK || options->address_count > 0)
        return status;
    if (options->database != NULL) {
        char *address = text_format("database/%s", options->database);
        status = address != NULL ? manager_find(transfer->context, address, &found, error) : error_memory(error);
        found_clear(&found);
        free(address);
    }
    if (status == KW_OK)
        status = choose_server_keys(transfer, options->database, error);
    if (status == KW_OK && transfer->count == 0)
        status =
            error_set(error, KW_NOT_FOUND, "there are no server keys: no database and no master key has been created");
    return status;
}

/* ---- All of them ------------------------------------------------------------------------------------- */

static kw_status open_target(struct transfer *transfer, const char *name, kw_error *error)
{
    char who[CONTROL_WHO_SIZE];
    bool known = false;
    kw_status status = KW_OK;
    if (name == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "say which store the keys go to");
    status = derivation_refuse_store(name, error);
    if (status == KW_OK)
        status = stores_get(transfer->context->stores, name, &transfer->target, error);
    if (status == KW_OK)
        status = store_health(transfer->target, error);
    if (status == KW_OK)
        status = control_knows(transfer->context->control, store_id(transfer->target), &known, who, error);
    if (status == KW_OK && !known) {
        status = error_set(error, KW_REFUSED,
                           "%s runs with a configuration without store '%s', and would lose the keys", who, name);
        error_remedy(error, "`keywright reload` tells it, and who has taken it; else restart it, and then transfer");
    }
    return status;
}

static kw_status look_ahead(struct transfer *transfer, kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < transfer->count; i++) {
        struct moving *moving = &transfer->keys[i];
        moving->here = strcmp(moving->found.certificate.store_id, store_id(transfer->target)) == 0;
        if (!moving->here)
            status = moving_check(transfer, moving, error);
    }
    return status;
}

static void tell(const struct transfer *transfer, size_t index, const char *from)
{
    const char *target = store_name(transfer->target);
    char *what = from != NULL ? text_format("moved from store %s to store %s", from, target)
                              : text_format("is in store %s already", target);
    const kw_event told = {
        .certificate = transfer->keys[index].name,
        .what = what,
        .done = index + 1,
        .total = transfer->count,
    };
    if (what != NULL && transfer->event != NULL)
        transfer->event(transfer->user, &told);
    free(what);
}

static kw_status move_all(struct transfer *transfer, kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < transfer->count; i++) {
        struct moving *moving = &transfer->keys[i];
        if (moving->here) {
            tell(transfer, i, NULL);
            continue;
        }
        status = moving_run(transfer, moving, error);
        if (status != KW_OK)
            break;
        moving_finish(transfer, moving, false);
        tell(transfer, i, moving->here ? NULL : moving->from);
    }
    for (size_t i = 0; i < transfer->count; i++)
        moving_finish(transfer, &transfer->keys[i], true);
    return status;
}

static void transfer_clear(struct transfer *transfer)
{
    for (size_t i = 0; i < transfer->count; i++) {
        struct moving *moving = &transfer->keys[i];
        key_arrival_clear(&moving->departure);
        root_set_free(moving->roots);
        found_clear(&moving->found);
        free(moving->name);
        free(moving->from);
    }
    free(transfer->keys);
}

kw_status manager_transfer(kw_context *context, const kw_transfer_options *given, kw_event_callback event, void *user,
                           kw_error *error)
{
    kw_transfer_options options;
    struct transfer transfer = {.context = context, .event = event, .user = user};
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status != KW_OK)
        return status;
    transfer.deadline = clock_milliseconds() + (options.wait_ms != 0 ? options.wait_ms : WAIT_DEFAULT);
    status = open_target(&transfer, options.store, error);
    /* What a process left that died since this one opened the state would be in the way. */
    if (status == KW_OK)
        status = journal_recover(context, error);
    if (status == KW_OK)
        status = choose_all(&transfer, &options, error);
    if (status == KW_OK)
        status = look_ahead(&transfer, error);
    if (status == KW_OK)
        status = move_all(&transfer, error);
    transfer_clear(&transfer);
    return status;
}
