#include "certificate/derivation.h"

#include "base/buffer.h"

#include <string.h>

/* ---- Which master key ---- */

/* The master keys in use that serve a database. */
struct masters {
    struct catalogue_snapshot snapshot;
    const struct entry_row *first;
    size_t count, in_hsm;
    char names[160]; /* for people */
};

static bool serves(const struct entry_row *entry, const char *database)
{
    for (size_t i = 0; i < entry->database_count; i++)
        if (strcmp(entry->databases[i], database) == 0)
            return true;
    return false;
}

static bool is_master_key(const struct entry_row *entry)
{
    struct address address = {0};
    const struct kind *kind = NULL;

    return address_parse(entry->address, &address, NULL) == KW_OK && kind_of(&address, &kind, NULL) == KW_OK &&
           kind->serves_databases;
}

/* Whether the store with this id costs time or is away at times, by what its plugin says. One that does not open is judged by its traits. */
static bool is_hsm(kw_context *context, const char *store_id)
{
    struct store *store = NULL;

    if ((stores_traits(context->stores, store_id) & (KW_TRAIT_COUNTS | KW_TRAIT_LOCKS)) != 0)
        return true;
    return stores_get_by_id(context->stores, store_id, &store, NULL) == KW_OK &&
           (store_capabilities(store)->features & KW_FEATURE_HARDWARE) != 0;
}

static bool is_in_hsm(kw_context *context, const struct catalogue_snapshot *snapshot, const struct entry_row *entry)
{
    for (size_t i = 0; i < snapshot->certificate_count; i++)
        if (id_equal(&snapshot->certificates[i].id, &entry->certificate))
            return is_hsm(context, snapshot->certificates[i].store_id);
    return false;
}

static kw_status masters_read(kw_context *context, const char *database, struct masters *masters, kw_error *error)
{
    const kw_status status = catalogue_snapshot_read(context->catalogue, NULL, NULL, &masters->snapshot, error);

    for (size_t i = 0; status == KW_OK && i < masters->snapshot.entry_count; i++) {
        const struct entry_row *const entry = &masters->snapshot.entries[i];
        const size_t length = strlen(masters->names);
        if (entry->state != ENTRY_IN_USE || !is_master_key(entry) || !serves(entry, database))
            continue;
        if (masters->count++ == 0)
            masters->first = entry;
        snprintf(masters->names + length, sizeof(masters->names) - length, "%s%s", length > 0 ? ", " : "",
                 entry->address);
        masters->in_hsm += is_in_hsm(context, &masters->snapshot, entry);
    }
    return status;
}

static void take_master(const struct entry_row *entry, struct derivation *derivation)
{
    derivation->master = entry->id;
    snprintf(derivation->address, sizeof(derivation->address), "%s", entry->address);
}

static kw_status refuse_choice(const struct masters *masters, const struct address *address, const char *database,
                               bool asked_for, kw_error *error)
{
    kw_status status;

    if (masters->count == 0) {
        status = error_set(error, KW_NOT_FOUND, "the key of %s cannot be derived: no master key serves the database %s",
                           address->text, database);
        error_remedy(error, "`keywright create master-key/DOMAIN --database %s` makes one", database);
        return status;
    }
    status = error_set(error, KW_REFUSED, "several master keys serve the database %s: %s", database, masters->names);
    if (asked_for)
        error_remedy(error, "say from which the key of %s is derived: --master-key CERT", address->text);
    else /* by rule, also where a key is rotated, which cannot be asked for another master key */
        error_remedy(
            error,
            "name a store for the new key: --store STORE; `keywright create %s --derived --master-key CERT` makes a "
            "derived one, once an entry that is there is out of use (`keywright retire`)",
            address->text);
    return status;
}

/* One that was named. It must serve the database, so that whatever takes the database elsewhere takes it along. */
static kw_status take_named(kw_context *context, const char *name, const struct address *address, const char *database,
                            struct derivation *derivation, kw_error *error)
{
    struct found found = {0};
    kw_status status = manager_find(context, name, &found, error);

    if (status == KW_OK && !found.kind->serves_databases)
        status = error_set(error, KW_REFUSED, "%s is no master key", found.address.text);
    if (status == KW_OK && found.address.number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "a master key is named as a whole: leave out @%u",
                           found.address.number);
    if (status == KW_OK && found.entry.state != ENTRY_IN_USE) {
        status = error_set(error, KW_REFUSED, "%s is retired", found.address.text);
        error_remedy(error, "`keywright create %s` takes it into use again; or take another master key, or a store",
                     found.address.text);
    }
    if (status == KW_OK && !serves(&found.entry, database)) {
        status = error_set(error, KW_REFUSED, "%s does not serve the database %s, to which %s belongs",
                           found.address.text, database, address->text);
        error_remedy(error, "`keywright create %s --database %s` makes it serve it", found.address.text, database);
    }
    if (status == KW_OK)
        take_master(&found.entry, derivation);
    found_clear(&found);
    return status;
}

/* ---- Whether at all ---- */

static kw_status check_asked_for(const kw_certificate_template *wanted, const struct kind *kind,
                                 const struct address *address, const char *asked, kw_error *error)
{
    kw_status status = KW_OK;

    if (wanted->store != NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "a derived key is in no store: leave out --store");
    if (!kind->derivable) {
        status = error_set(error, KW_REFUSED, "the key of %s cannot be derived: its own key is what it is for",
                           address->text);
        error_remedy(error, "discovery services and password resets have derived keys");
    } else if (asked != NULL && derived_key_name(asked) == NULL) {
        status = error_set(error, KW_REFUSED, "a key %s cannot be derived", asked);
        error_remedy(error, "what can be derived is %s; say which with --key", derived_keys);
    }
    return status;
}

static bool may_be_by_rule(const kw_certificate_template *wanted, const struct kind *kind, const char *asked,
                           const char *store)
{
    return kind->derivable && wanted->store == NULL && store == NULL &&
           (asked == NULL || derived_key_name(asked) != NULL);
}

kw_status derivation_choose(kw_context *context, const kw_certificate_template *wanted, const struct kind *kind,
                            const struct address *address, const char *asked, const char *store,
                            struct derivation *derivation, kw_error *error)
{
    const char *const database = kind_database(kind, address);
    struct derivation made = {.key = derived_key_name(asked != NULL ? asked : DERIVED_DEFAULT_KEY)};
    struct masters masters = {0};
    kw_status status = KW_OK;

    if (wanted->master_key != NULL && !wanted->derived)
        return error_set(error, KW_INVALID_ARGUMENT, "--master-key goes with --derived");
    if (!wanted->derived && !may_be_by_rule(wanted, kind, asked, store))
        return KW_OK;
    if (wanted->derived)
        status = check_asked_for(wanted, kind, address, asked, error);
    if (status == KW_OK && wanted->master_key != NULL) {
        status = take_named(context, wanted->master_key, address, database, &made, error);
    } else if (status == KW_OK) {
        status = masters_read(context, database, &masters, error);
        if (status == KW_OK && !wanted->derived && masters.in_hsm == 0)
            made.key = NULL;
        else if (status == KW_OK && masters.count == 1)
            take_master(masters.first, &made);
        else if (status == KW_OK)
            status = refuse_choice(&masters, address, database, wanted->derived, error);
    }
    if (status == KW_OK)
        *derivation = made;
    catalogue_snapshot_clear(&masters.snapshot);
    return status;
}

kw_status derivation_begin(kw_context *context, const struct derivation *derivation, struct key_arrival *arrival,
                           kw_error *error)
{
    struct derived_locator locator = {.master = derivation->master, .key = derivation->key};
    struct key_arrival made = {0};
    char text[DERIVED_LOCATOR_SIZE];
    kw_status status = stores_get_by_id(context->stores, DERIVED_STORE, &made.store, error);

    if (status == KW_OK)
        status = context->derived->active(context->derived->user, &locator.master, &locator.version, error);
    if (status != KW_OK) {
        error_prefix(error, "no key can be derived from %s", derivation->address);
        return status;
    }
    status = id_make(context->crypto, &locator.key_id, error);
    if (status != KW_OK)
        return status;
    derived_locator_write(&locator, text);
    made.key_id = locator.key_id;
    made.locator_length = strlen(text);
    memcpy(made.locator, text, made.locator_length);
    *arrival = made;
    return KW_OK;
}

kw_status derivation_check(kw_context *context, const struct key_arrival *arrival, kw_error *error)
{
    struct derived_locator locator;
    kw_status status;

    if (strcmp(store_id(arrival->store), DERIVED_STORE) != 0)
        return KW_OK;
    status = derived_locator_read((kw_input){arrival->locator, arrival->locator_length}, &locator, error);
    return status == KW_OK ? keyring_check(context->keyring, &locator.master, locator.version, error) : status;
}

/* ---- What is there ---- */

bool derivation_of(const struct certificate_row *row, struct derived_locator *locator)
{
    if (strcmp(row->store_id, DERIVED_STORE) != 0)
        return false;
    if (derived_locator_read((kw_input){row->locator, row->locator_length}, locator, NULL) != KW_OK)
        *locator = (struct derived_locator){0};
    return true;
}

const char *derivation_master(const struct catalogue_snapshot *snapshot, const struct id *master)
{
    for (size_t i = 0; i < snapshot->entry_count; i++)
        if (id_equal(&snapshot->entries[i].id, master))
            return snapshot->entries[i].address;
    return NULL;
}

kw_status derivation_refuse_store(const char *store, kw_error *error)
{
    kw_status status;

    if (store == NULL || strcmp(store, DERIVED_STORE) != 0)
        return KW_OK;
    status = error_set(error, KW_REFUSED, "no key can be put into '%s': what is derived is stored nowhere", store);
    error_remedy(error, "name one of the stores under 'stores:'; `keywright create CERT --derived` derives a new key");
    return status;
}
