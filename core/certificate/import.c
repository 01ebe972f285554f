/* Import: keys and certificates from files, all of a file or nothing. */
#include "certificate/import.h"
#include "certificate/calls.h"
#include "certificate/der.h"
#include "certificate/derivation.h"
#include "certificate/roots.h"

#include "base/buffer.h"
#include "base/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Arriving ----------------------------------------------------------------------------------- */

static bool is_in_file(const struct importing *importing, const struct id *master)
{
    for (size_t i = 0; i < importing->count; i++) {
        const struct arrival *arrival = &importing->arrivals[i];
        if (arrival->kind->serves_databases && !arrival->fresh && !arrival->left_out &&
            id_equal(&arrival->item->entry, master))
            return true;
    }
    return false;
}

/* Whether a key that is derived can be so here, as far as the file and the catalogue tell. */
static kw_status check_derived(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    const kw_input text = {item->reference.locator, item->reference.locator_length};
    struct catalogue_snapshot snapshot = {0};
    struct derived_locator locator;
    kw_status status = KW_OK;
    if (!arrival->kind->derivable)
        return error_set(error, KW_REFUSED, "the file has %s with a derived key, which this kind cannot have",
                         arrival->address.text);
    if (derived_locator_read(text, &locator, NULL) != KW_OK)
        return error_set(error, KW_CORRUPT, "the file does not say how the key of %s is derived",
                         arrival->address.text);
    arrival->unproven = is_in_file(importing, &locator.master);
    if (arrival->unproven)
        return KW_OK;
    status = catalogue_snapshot_read(importing->context->catalogue, NULL, NULL, &snapshot, error);
    if (status == KW_OK && derivation_master(&snapshot, &locator.master) == NULL) {
        status = error_set(error, KW_NOT_FOUND,
                           "the key of %s is derived from a master key that is neither here nor in the file",
                           arrival->address.text);
        error_remedy(error, "import that master key first, or a file that has it too: `keywright export --database` "
                            "takes all of a database");
    }
    catalogue_snapshot_clear(&snapshot);
    return status;
}

/* What came with the master key of its file can be used from now on; until it is, its certificate and how it is derived are kept. */
static void prove_derived(const struct importing *importing, const struct arrival *arrival)
{
    kw_key *key = NULL;
    kw_error why = {0};
    kw_status status = key_open(arrival->arrival.store,
                                (kw_input){arrival->arrival.locator, arrival->arrival.locator_length}, &key, &why);
    if (status == KW_OK)
        status = key_prove(importing->context, key, arrival->item->certificate, &why);
    if (status != KW_OK)
        event_tell(importing->event, importing->user, true, arrival->address.text,
                   "its key cannot be derived here now: %s", why.message);
    kw_key_free(key);
}

/* A key that stayed in its store counts only when that store, here, proves that it has it. */
static kw_status adopt_reference(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    kw_context *context = importing->context;
    const struct pfx_item *item = arrival->item;
    const kw_input locator = {item->reference.locator, item->reference.locator_length};
    bool proven = false;
    kw_status status = stores_get_by_id(context->stores, item->reference.store_id, &arrival->arrival.store, error);
    if (status == KW_NOT_FOUND && settings_store_by_id(context->settings, item->reference.store_id) == NULL) {
        status = reference_find(context, item, arrival->address.text, &arrival->arrival.store, error);
        proven = status == KW_OK;
    }
    if (status == KW_OK && strcmp(item->reference.store_id, DERIVED_STORE) == 0)
        status = check_derived(importing, arrival, error);
    if (status == KW_OK && !arrival->unproven && !proven)
        status = reference_prove(context, item, arrival->arrival.store, error);
    if (status == KW_OK)
        status = id_make(context->crypto, &arrival->arrival.key_id, error);
    if (status == KW_OK) {
        memcpy(arrival->arrival.locator, locator.data, locator.length);
        arrival->arrival.locator_length = locator.length;
    }
    return status;
}

/* Stores hold an RSA key as one for anything; that it is for PSS alone, its certificate says. */
static kw_status begin_arrival(kw_context *context, struct arrival *arrival, struct store *store, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    const struct key_kind *kind = key_kind_find(arrival->key);
    struct secret plain = {0};
    kw_status status = KW_OK;
    if (kind == NULL || !kind->pss)
        return key_arrival_begin(context, arrival->address.text, store, arrival->key, secret_view(&item->pkcs8),
                                 &arrival->arrival, error);
    status = der_retype_rsa(secret_view(&item->pkcs8), NULL, &plain, error);
    if (status == KW_OK)
        status = key_arrival_begin(context, arrival->address.text, store, arrival->key, secret_view(&plain),
                                   &arrival->arrival, error);
    secret_clear(&plain);
    return status;
}

static kw_status bring_key(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    kw_context *context = importing->context;
    const struct pfx_item *item = arrival->item;
    const char *chosen = NULL;
    struct store *store = NULL;
    if (importing->reply.number > 0)
        return reply_bring_key(importing, arrival, error);
    if (item->pkcs8.length == 0)
        return adopt_reference(importing, arrival, error);
    kw_status status = manager_choose_store(context, arrival->kind, &arrival->address, importing->options->store,
                                            (const char *const *)item->databases, item->database_count, &chosen, error);
    if (status == KW_OK)
        status = stores_get(context->stores, chosen, &store, error);
    if (status == KW_OK)
        status = begin_arrival(context, arrival, store, error);
    return status;
}

static kw_status append_der(X509 *certificate, struct buffer *chain, kw_error *error)
{
    kw_bytes der = {0};
    kw_status status = x509_to_der(certificate, &der, error);
    buffer_append(chain, der.data, der.length);
    kw_bytes_free(&der);
    return status == KW_OK && chain->failed ? error_memory(error) : status;
}

static kw_status place(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    const char *own = kind_database(arrival->kind, &arrival->address);
    const bool by_file = item->database_count > 0 && (!arrival->fresh || arrival->kind->serves_databases);
    const struct id unplaced = {{0}};
    struct buffer chain = {0};
    kw_status status = append_der(item->certificate, &chain, error);
    for (int i = 0; status == KW_OK && item->chain != NULL && i < sk_X509_num(item->chain); i++)
        status = append_der(sk_X509_value(item->chain, i), &chain, error);
    if (status == KW_OK) {
        const struct placement placement = {
            .address = &arrival->address,
            .kind = arrival->kind,
            .entry = arrival->fresh ? unplaced : item->entry,
            .databases = by_file ? (const char *const *)item->databases : &own,
            .database_count = by_file       ? item->database_count
                              : own != NULL ? 1
                                            : 0,
            .key = arrival->key,
            .chain = buffer_view(&chain),
            .number = arrival->exists || arrival->fresh ? 0 : item->number,
            .former = item->former && !arrival->fresh,
            .retired = item->retired && !arrival->fresh,
            .replaces = arrival->replaces,
            .roots = arrival->roots,
        };
        if (importing->reply.number > 0)
            status = reply_check_key(importing, error);
        if (status == KW_OK)
            status = manager_place(importing->context, &placement, &arrival->arrival, error);
    }
    buffer_free(&chain);
    return status;
}

/* A certificate that is here already: its entry learns what the file knows besides, and is in use again when it is in use there. */
static kw_status refresh(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    struct catalogue *catalogue = importing->context->catalogue;
    const struct root_place roots = roots_place(importing->context);
    const struct pfx_item *item = arrival->item;
    struct entry_row entry = {0};
    kw_status status = KW_OK;
    if (arrival->fresh && !arrival->again)
        return KW_OK;
    status = catalogue_entry_get(catalogue, arrival->address.text, &entry, error);
    if (status == KW_OK && arrival->again) {
        struct certificate_row row = {0};
        status = catalogue_certificate_get(catalogue, &arrival->certificate, &row, error);
        certificate_row_clear(&row);
        if (status == KW_NOT_FOUND) {
            status = error_set(error, KW_CONFLICT, "the certificate, which was here, has been deleted meanwhile");
            error_remedy(error, "import it again");
        }
    }
    if (status == KW_OK && arrival->again) {
        entry.certificate = arrival->certificate;
        entry.state = ENTRY_IN_USE;
    }
    if (status == KW_OK && arrival->kind->serves_databases)
        status = entry_add_databases(&entry, (const char *const *)item->databases, item->database_count,
                                     &arrival->added, error);
    arrival->revived = arrival->current && !item->former && !item->retired && entry.state == ENTRY_RETIRED;
    if (arrival->revived)
        entry.state = ENTRY_IN_USE;
    if (status == KW_OK && (arrival->added > 0 || arrival->revived || arrival->again))
        status = catalogue_entry_update(catalogue, &entry, error);
    if (status == KW_OK && arrival->roots != NULL)
        status = root_set_write(&roots, arrival->roots, error);
    entry_row_clear(&entry);
    return status;
}

static kw_status check_kinds(struct importing *importing, kw_error *error)
{
    struct key_claim *claims = calloc(importing->count + 1, sizeof(*claims));
    size_t count = 0;
    kw_status status;
    if (claims == NULL)
        return error_memory(error);
    for (size_t i = 0; i < importing->count; i++) {
        const struct arrival *arrival = &importing->arrivals[i];
        if (!arrival->here && !arrival->left_out)
            claims[count++] = (struct key_claim){&arrival->address, arrival->kind, arrival->item->certificate};
    }
    status = key_check_kind(importing->context, claims, count, error);
    free(claims);
    return status;
}

static kw_status place_all(struct importing *importing, kw_error *error)
{
    struct catalogue *catalogue = importing->context->catalogue;
    kw_status status = catalogue_begin(catalogue, error);
    if (status != KW_OK)
        return status;
    status = check_kinds(importing, error);
    for (size_t i = 0; status == KW_OK && i < importing->count; i++) {
        struct arrival *arrival = &importing->arrivals[i];
        /* Another import may have come first: what is replaced is what is there now. */
        if (arrival->replaces)
            status = import_find_replaced(importing->context, arrival, error);
        if (status != KW_OK)
            break;
        if (arrival->here)
            status = refresh(importing, arrival, error);
        else if (!arrival->left_out)
            status = place(importing, arrival, error);
    }
    if (status == KW_OK)
        status = catalogue_commit(catalogue, error);
    catalogue_rollback(catalogue);
    return status;
}

/* Databases before what is in them, current certificates before former ones. */
static int by_dependence(const void *left_pointer, const void *right_pointer)
{
    const struct arrival *left = left_pointer;
    const struct arrival *right = right_pointer;
    if (left->kind->in_database != right->kind->in_database)
        return left->kind->in_database ? 1 : -1;
    if (left->item->former != right->item->former)
        return left->item->former ? 1 : -1;
    return strcmp(left->address.text, right->address.text);
}

/* A master key names all databases that it served where it comes from; of them this server may have one. */
static void tell_missing_databases(const struct importing *importing, const struct arrival *arrival)
{
    for (size_t i = 0; arrival->kind->serves_databases && i < arrival->item->database_count; i++) {
        const char *database = arrival->item->databases[i];
        struct entry_row row = {0};
        char *address = text_format("database/%s", database);
        if (address != NULL && catalogue_entry_get(importing->context->catalogue, address, &row, NULL) == KW_NOT_FOUND)
            event_tell(importing->event, importing->user, true, arrival->address.text,
                       "serves the database %s too, which this server does not have", database);
        entry_row_clear(&row);
        free(address);
    }
}

/* A certificate that is here keeps its key where it is, whatever store was asked for. */
static void tell_where_it_stays(const struct importing *importing, const char *address)
{
    struct found found = {0};
    const struct store_settings *asked = settings_store(importing->context->settings, importing->options->store);
    if (manager_find(importing->context, address, &found, NULL) == KW_OK && asked != NULL &&
        strcmp(asked->id, found.certificate.store_id) != 0) {
        const struct store_settings *now =
            settings_store_by_id(importing->context->settings, found.certificate.store_id);
        event_tell(importing->event, importing->user, true, address,
                   "its key stays in store %s; the file's was not taken",
                   now != NULL ? now->name : found.certificate.store_id);
    }
    found_clear(&found);
}

static void tell_all(const struct importing *importing)
{
    for (size_t i = 0; i < importing->count; i++) {
        const struct arrival *arrival = &importing->arrivals[i];
        char address[ADDRESS_TEXT_MAXIMUM + 16];
        if (arrival->item->former && !arrival->fresh)
            snprintf(address, sizeof(address), "%s@%u", arrival->address.text, arrival->item->number);
        else
            snprintf(address, sizeof(address), "%s", arrival->address.text);
        if (arrival->left_out)
            event_tell(importing->event, importing->user, true, address,
                       "left out: this server has its own, and keeps it; to take the other's place, "
                       "`keywright delete %s --force` and import again",
                       arrival->address.text);
        else if (arrival->again)
            event_tell(importing->event, importing->user, false, address,
                       "is here already, and is the current certificate again");
        else if (arrival->replaces)
            event_tell(importing->event, importing->user, false, address,
                       "imported in place of its former certificate, which stays as %s@%u", address, arrival->replaced);
        else if (arrival->revived)
            event_tell(importing->event, importing->user, false, address, "is here already, and in use again");
        else if (arrival->added > 0)
            event_tell(importing->event, importing->user, false, address,
                       "is here already, and serves %zu more database%s", arrival->added,
                       arrival->added == 1 ? "" : "s");
        else
            event_tell(importing->event, importing->user, false, address,
                       arrival->here ? "is here already" : "imported");
        if (arrival->here && importing->options->store != NULL)
            tell_where_it_stays(importing, address);
        tell_missing_databases(importing, arrival);
    }
}

kw_status manager_import(kw_context *context, const kw_import_options *given, kw_event_callback event, void *user,
                         kw_error *error)
{
    kw_import_options options;
    struct importing importing = {.context = context, .options = &options, .event = event, .user = user};
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK)
        status = import_read(&importing, error);
    if (status != KW_OK)
        goto out;
    importing.arrivals = calloc(importing.count, sizeof(*importing.arrivals));
    if (importing.arrivals == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; status == KW_OK && i < importing.count; i++) {
        importing.arrivals[i].item = &importing.items[i];
        status = import_check(&importing, &importing.arrivals[i], error);
    }
    if (status != KW_OK)
        goto out;
    qsort(importing.arrivals, importing.count, sizeof(*importing.arrivals), by_dependence);
    for (size_t i = 0; status == KW_OK && i < importing.count; i++)
        if (!importing.arrivals[i].here && !importing.arrivals[i].left_out)
            status = bring_key(&importing, &importing.arrivals[i], error);
    for (size_t i = 0; status == KW_OK && i < importing.count; i++)
        status = import_bring_roots(&importing, &importing.arrivals[i], error);
    if (status == KW_OK)
        status = place_all(&importing, error);
    if (status == KW_OK && importing.reply.number > 0 && !importing.arrivals[0].here)
        reply_put_certificate(&importing, &importing.arrivals[0]);
    if (status == KW_OK)
        import_tell_processes(&importing);
    for (size_t i = 0; status == KW_OK && i < importing.count; i++)
        if (importing.arrivals[i].unproven)
            prove_derived(&importing, &importing.arrivals[i]);
    if (status == KW_OK)
        tell_all(&importing);
out:
    for (size_t i = 0; importing.arrivals != NULL && i < importing.count; i++) {
        if (status == KW_OK)
            key_arrival_clear(&importing.arrivals[i].arrival);
        else
            key_arrival_abandon(context, &importing.arrivals[i].arrival);
        root_set_free(importing.arrivals[i].roots);
    }
    free(importing.arrivals);
    for (size_t i = 0; importing.items != NULL && i < importing.count; i++)
        pfx_item_clear(&importing.items[i]);
    free(importing.items);
    certificate_row_clear(&importing.reply);
    return status;
}
