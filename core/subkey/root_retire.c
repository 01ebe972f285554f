#include "subkey/root_retire.h"

#include "base/buffer.h"
#include "subkey/root_private.h"

#include <stdio.h>
#include <string.h>

/* How long retiring waits for others. */
#define SETTLE_MILLISECONDS 30000u

/* "one, two and 3 more", of those pinned to this version (0: to any that is not retired). */
#define NAMES_SIZE    400
#define NAMES_MAXIMUM 3
static size_t pin_names(const struct root_pin *pins, size_t count, uint32_t version, char names[NAMES_SIZE])
{
    size_t met = 0, length = 0;
    names[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (version != 0 && pins[i].version != 0 && pins[i].version != version)
            continue;
        if (met++ < NAMES_MAXIMUM && length < NAMES_SIZE)
            length += (size_t)snprintf(names + length, NAMES_SIZE - length, "%s%s", met > 1 ? ", " : "", pins[i].what);
    }
    if (met > NAMES_MAXIMUM && length < NAMES_SIZE)
        snprintf(names + length, NAMES_SIZE - length, " and %zu more", met - NAMES_MAXIMUM);
    return met;
}

/* ---- Retiring ------------------------------------------------------------------------------------------------ */

/* What would go on needing it is behind the entry's state: in use, data comes; out of use, it stays. */
static kw_status refuse_active(const struct entry_row *entry, uint32_t version, kw_error *error)
{
    kw_status status;
    if (entry->state == ENTRY_IN_USE) {
        status = error_set(error, KW_REFUSED, "root %u of %s is the active one: new data is sealed under it",
                           (unsigned)version, entry->address);
        error_remedy(error, "`keywright rotate %s` makes a new one; then seal anew what is under this one",
                     entry->address);
        return status;
    }
    status =
        error_set(error, KW_REFUSED, "root %u of %s is the active one: what is sealed under it could not be opened",
                  (unsigned)version, entry->address);
    error_remedy(error, "once nothing that is sealed under it is needed, --force retires it");
    return status;
}

static kw_status refuse_unsealed(const struct entry_row *entry, uint32_t version, kw_error *error)
{
    const kw_status status =
        error_set(error, KW_REFUSED,
                  "data may still be sealed under root %u of %s: no re-seal of everything was reported completed",
                  (unsigned)version, entry->address);
    error_remedy(error, "let the server seal everything anew (kw_reseal, with `everything`), and then retire it%s",
                 entry->state == ENTRY_IN_USE ? "" : "; or --force, and what is sealed under it is lost");
    return status;
}

static kw_status check_pins(const struct root_place *place, const struct entry_row *entry, uint32_t version,
                            kw_error *error)
{
    struct root_pin *pins = NULL;
    size_t count = 0;
    char names[NAMES_SIZE];
    kw_status status = root_pins_read(place, &entry->id, &pins, &count, error);
    if (status == KW_OK && pin_names(pins, count, version, names) > 0) {
        status =
            error_set(error, KW_REFUSED, "root %u of %s is needed by %s", (unsigned)version, entry->address, names);
        error_remedy(error, "give each of them a new key (`keywright rotate CERT --new-key`, then delete the former "
                            "certificate) or secret (`keywright passphrase STORE`); a store that the configuration "
                            "does not have any more comes back into it first, with this id");
    }
    root_pins_free(pins, count);
    return status;
}

/* Of an entry that is out of use, who insists may give up what is sealed. */
static kw_status check_may_retire(const struct root_place *place, const struct entry_row *entry,
                                  const struct root_rows *rows, uint32_t version, bool force, kw_error *error)
{
    const struct root_row *row;
    if (version == 0 || version > rows->count) {
        const kw_status status = error_set(error, KW_NOT_FOUND, "%s has no root %u", entry->address, (unsigned)version);
        error_remedy(error, "`keywright show %s` lists those that it has", entry->address);
        return status;
    }
    row = &rows->rows[version - 1];
    if (row->state == ROOT_RETIRED)
        return error_set(error, KW_REFUSED, "root %u of %s is retired already", (unsigned)version, entry->address);
    if (entry->state == ENTRY_IN_USE || !force) {
        if (row->state == ROOT_ACTIVE)
            return refuse_active(entry, version, error);
        if (row->resealed <= version)
            return refuse_unsealed(entry, version, error);
    }
    return check_pins(place, entry, version, error);
}

/* The rows of a master key one of whose versions may be retired. */
static kw_status read_retirable(const struct root_place *place, const struct id *master, uint32_t version, bool force,
                                struct root_rows *rows, kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get_by_id(place->catalogue, master, &entry, error);
    if (status == KW_OK)
        status = root_rows_look(place, master, rows, error);
    if (status == KW_OK)
        status = check_may_retire(place, &entry, rows, version, force, error);
    entry_row_clear(&entry);
    return status;
}

/* Within the caller's transaction. */
static kw_status retire_row(const struct root_place *place, const struct id *master, uint32_t version, bool force,
                            kw_error *error)
{
    struct root_rows rows = {0};
    kw_status status = read_retirable(place, master, version, force, &rows, error);
    if (status == KW_OK) {
        rows.rows[version - 1].state = ROOT_RETIRED;
        status = catalogue_root_update(place->catalogue, &rows.rows[version - 1], error);
    }
    root_rows_clear(&rows);
    return status;
}

/* Whether seals may be under it that nobody has sealed anew; no answer where it may not be retired at all. */
static kw_status check_unsealed(const struct root_place *place, const struct id *master, uint32_t version, bool force,
                                bool *unsealed, kw_error *error)
{
    struct root_rows rows = {0};
    const kw_status status = read_retirable(place, master, version, force, &rows, error);
    if (status == KW_OK)
        *unsealed = rows.rows[version - 1].resealed <= version;
    root_rows_clear(&rows);
    return status;
}

/*
 * The master key is out of use, so that nobody begins a seal any more; but a seal may be under way that began before, or a forked child may seal on that cannot read the
 * catalogue. A walk that sealed everything anew has waited for those already.
 */
static kw_status settle(const struct root_place *place, uint32_t version, kw_error *error)
{
    char who[CONTROL_WHO_SIZE];
    uint64_t generation = 0;
    kw_status status = control_raise(place->control, &generation, error);
    if (status == KW_OK)
        status = control_wait(place->control, generation, SETTLE_MILLISECONDS, who, error);
    if (status == KW_TIMEOUT) {
        status = error_set(error, KW_TIMEOUT, "%s may still seal under root %u", who, (unsigned)version);
        error_remedy(error, "end it, or let it read the state directory, then try again");
    }
    return status;
}

kw_status root_retire(const struct root_place *place, const struct id *master, uint32_t version, bool force,
                      kw_error *error)
{
    uint64_t generation = 0;
    bool unsealed = false;
    kw_error why = {0};
    kw_status status = check_unsealed(place, master, version, force, &unsealed, error);
    if (status == KW_OK && unsealed)
        status = settle(place, version, error);
    if (status == KW_OK)
        status = catalogue_begin(place->catalogue, error);
    if (status != KW_OK)
        return status;
    status = retire_row(place, master, version, force, error);
    if (status == KW_OK)
        status = catalogue_commit(place->catalogue, error);
    catalogue_rollback(place->catalogue);
    if (status != KW_OK)
        return status;
    root_rows_note(place, master);
    if (control_raise(place->control, &generation, &why) != KW_OK)
        log_write(place->log, KW_LOG_WARNING, "the other processes could not be told of a retired root: %s",
                  why.message);
    return KW_OK;
}

/* ---- Going with the key --------------------------------------------------------------------------------------- */

kw_status root_any_unretired(const struct root_place *place, const struct id *master, bool *any, kw_error *error)
{
    struct root_rows rows = {0};
    const kw_status status = root_rows_look(place, master, &rows, error);
    *any = false;
    for (size_t i = 0; i < rows.count; i++)
        *any = *any || rows.rows[i].state != ROOT_RETIRED;
    root_rows_clear(&rows);
    return status;
}

/* "1, 2" of those that are wrapped to this key and not retired. */
static size_t version_names(const struct root_rows *rows, const unsigned char spki[SHA256_LENGTH],
                            char names[NAMES_SIZE])
{
    size_t met = 0, length = 0;
    names[0] = '\0';
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].state != ROOT_RETIRED && memcmp(rows->rows[i].spki, spki, SHA256_LENGTH) == 0 &&
            length < NAMES_SIZE)
            length += (size_t)snprintf(names + length, NAMES_SIZE - length, "%s%u", met++ > 0 ? ", " : "",
                                       (unsigned)rows->rows[i].version);
    return met;
}

static kw_status refuse_needed(const struct root_place *place, const struct entry_row *entry, const char *versions,
                               kw_error *error)
{
    struct root_pin *pins = NULL;
    size_t count = 0;
    char names[NAMES_SIZE] = "";
    kw_status status = root_pins_read(place, &entry->id, &pins, &count, error);
    if (status != KW_OK)
        return status;
    status = pin_names(pins, count, 0, names) > 0
                 ? error_set(error, KW_REFUSED, "the key of %s opens its root secrets (%s), on which %s depend",
                             entry->address, versions, names)
                 : error_set(error, KW_REFUSED,
                             "the key of %s opens its root secrets (%s): what is sealed under them would be lost",
                             entry->address, versions);
    error_remedy(
        error,
        "`keywright rotate %s --new-key` gives them another key. Where nothing is sealed under them any "
        "more: `keywright retire %s`, `keywright rotate %s --retire VERSION --force` for each, and then delete",
        entry->address, entry->address, entry->address);
    root_pins_free(pins, count);
    return status;
}

kw_status root_check_unneeded(const struct root_place *place, const struct id *master, kw_input chain, kw_error *error)
{
    struct entry_row entry = {0};
    struct root_rows rows = {0};
    X509 *certificate = NULL;
    unsigned char spki[SHA256_LENGTH];
    char versions[NAMES_SIZE];
    kw_status status = catalogue_entry_get_by_id(place->catalogue, master, &entry, error);
    if (status == KW_OK)
        status = root_rows_look(place, master, &rows, error);
    if (status == KW_OK && rows.count > 0)
        status = root_certificate_read(place->crypto, chain, &certificate, spki, error);
    if (status == KW_OK && rows.count > 0 && version_names(&rows, spki, versions) > 0)
        status = refuse_needed(place, &entry, versions, error);
    crypto_x509_free(certificate);
    root_rows_clear(&rows);
    entry_row_clear(&entry);
    return status;
}
