/* One key from one store to another: looked at, copied, proved, switched, and removed where it was. */
#include "certificate/derivation.h"
#include "certificate/transfer.h"

#include "certificate/roots.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static bool target_makes_such(const struct transfer *transfer, const struct moving *moving)
{
    kw_key_template wanted = {0};
    return key_arrival_template(moving->found.address.text, transfer->target, moving->found.certificate.key, &wanted,
                                NULL) == KW_OK &&
           store_check_generate(transfer->target, &wanted, NULL) == KW_OK;
}

/* What to do where a key cannot move. A CA's certificate is for its key alone: only the CA makes one for another. */
static void advise_rotation(const struct transfer *transfer, const struct moving *moving, kw_error *error)
{
    const char *address = moving->found.address.text, *target = store_name(transfer->target);
    kw_input chain = {moving->found.certificate.chain.data, moving->found.certificate.chain.length};
    X509 *certificate = NULL;
    const bool own = x509_read(transfer->context->crypto, &chain, &certificate, NULL) == KW_OK &&
                     x509_is_self_signed(certificate, false);
    crypto_x509_free(certificate);
    const bool such = target_makes_such(transfer, moving);
    if (!such && own)
        error_remedy(
            error,
            "store '%s' makes no such key either: `keywright rotate %s --new-key --key ALG --store %s` makes one "
            "of another type there, and keeps this one for old data",
            target, address, target);
    else if (!such)
        error_remedy(error,
                     "store '%s' makes no such key either: `keywright retire %s` and `keywright create %s --key ALG "
                     "--store %s` make one of another type there and keep this one for old data",
                     target, address, address, target);
    else if (own)
        error_remedy(
            error, "`keywright rotate %s --new-key --store %s` makes a new key there, and keeps this one for old data",
            address, target);
    else
        error_remedy(
            error,
            "`keywright retire %s` and `keywright create %s --store %s` make a new key there and keep this one "
            "for old data; `keywright request %s` asks the CA for a certificate of it",
            address, address, target, address);
}

static kw_status check_target(const struct transfer *transfer, const struct moving *moving,
                              const kw_key_capabilities *key, kw_error *error)
{
    char missing[ABILITIES_TEXT_SIZE];
    kw_key_template wanted = {0};
    kw_status status = key_arrival_template(moving->found.address.text, transfer->target, moving->found.certificate.key,
                                            &wanted, error);
    if (status == KW_OK)
        status = store_check_import(transfer->target, &wanted, error);
    if (status != KW_OK)
        return status;
    const abilities lost = abilities_of_key(key) & abilities_needed(moving->found.kind) &
                           ~abilities_of_store(store_capabilities(transfer->target), key->type);
    if (lost == 0)
        return KW_OK;
    abilities_text(lost, missing);
    return error_set(error, KW_UNSUPPORTED, "the key of %s could no longer do in store '%s' what it was made for: %s",
                     moving->name, store_name(transfer->target), missing);
}

static kw_status check_source(const struct moving *moving, kw_key *key, kw_error *error)
{
    const uint32_t can = kw_key_get_capabilities(key)->operations & store_capabilities(key_store(key))->operations;
    return (can & KW_CAN_EXPORT) != 0 ? KW_OK
                                      : error_set(error, KW_UNSUPPORTED, "store '%s' does not give out the key of %s",
                                                  store_name(key_store(key)), moving->name);
}

static kw_status refuse_derived(const struct transfer *transfer, const struct moving *moving, kw_error *error)
{
    const kw_status status = error_set(
        error, KW_REFUSED, "the key of %s is derived from a master key: there is nothing to move", moving->name);
    error_remedy(error,
                 "it goes where its master key goes; `keywright rotate %s --new-key --store %s` makes a new key in "
                 "that store",
                 moving->found.address.text, store_name(transfer->target));
    return status;
}

/* Somebody else was faster: the handle has followed the key. KW_OK where that is the target. */
static kw_status notice_move(const struct transfer *transfer, struct moving *moving, const kw_key *key, kw_error *error)
{
    moving->here = strcmp(store_id(key_store(key)), store_id(transfer->target)) == 0;
    if (moving->here || strcmp(store_id(key_store(key)), moving->found.certificate.store_id) == 0)
        return KW_OK;
    kw_status status = error_set(error, KW_CONFLICT, "the key of %s was transferred to store '%s' meanwhile",
                                 moving->name, store_name(key_store(key)));
    error_remedy(error, "transfer it from there, if it shall be in store %s", store_name(transfer->target));
    return status;
}

/* Roots are wrapped to the current certificate's key alone. */
static bool has_roots(const struct moving *moving)
{
    return kind_has_roots(moving->found.kind) &&
           id_equal(&moving->found.entry.certificate, &moving->found.certificate.id);
}

kw_status moving_check(const struct transfer *transfer, struct moving *moving, kw_error *error)
{
    struct derived_locator derived;
    kw_key *key = NULL;
    if (derivation_of(&moving->found.certificate, &derived))
        return refuse_derived(transfer, moving, error);
    kw_status status = manager_open_key(transfer->context, &moving->found, &key, error);
    if (status == KW_OK)
        status = notice_move(transfer, moving, key, error);
    if (status != KW_OK || moving->here) {
        kw_key_free(key);
        return status;
    }
    const kw_key_capabilities *capabilities = kw_key_get_capabilities(key);
    moving->from = text_copy(store_name(key_store(key)));
    if (moving->from == NULL)
        status = error_memory(error);
    if (status == KW_OK)
        status = check_source(moving, key, error);
    if (status == KW_OK)
        status = check_target(transfer, moving, capabilities, error);
    if (status == KW_OK && has_roots(moving))
        status = roots_check_store(transfer->context, &moving->found, transfer->target, capabilities->type, error);
    if (status == KW_UNSUPPORTED)
        advise_rotation(transfer, moving, error);
    moving->proven =
        abilities_of_key(capabilities) & (abilities_needed(moving->found.kind) |
                                          abilities_of_store(store_capabilities(transfer->target), capabilities->type));
    kw_key_free(key);
    return status;
}

/* ---- Copy and proof ---------------------------------------------------------------------------------- */

/* Unless somebody else has brought it there meanwhile. */
static kw_status copy(const struct transfer *transfer, struct moving *moving, struct key_arrival *arrival,
                      kw_error *error)
{
    const struct certificate_row *row = &moving->found.certificate;
    const kw_input from = {row->locator, row->locator_length};
    struct secret pkcs8 = {0};
    kw_key *key = NULL;
    kw_status status = manager_open_key(transfer->context, &moving->found, &key, error);
    if (status == KW_OK) {
        status = key_export(key, &pkcs8, error);
        /* What the target says of giving it out is not what was asked. */
        if (strcmp(store_id(key_store(key)), row->store_id) != 0) {
            (void)!error_tolerate(status, status, error);
            status = notice_move(transfer, moving, key, error);
        }
    }
    if (status == KW_OK && !moving->here)
        status = key_arrival_move(transfer->context, moving->found.address.text, transfer->target, row->key,
                                  secret_view(&pkcs8), from, arrival, error);
    secret_clear(&pkcs8);
    kw_key_free(key);
    return status;
}

/* By a fresh handle, as any other process would open it. */
static kw_status prove(const struct transfer *transfer, const struct moving *moving, const struct key_arrival *arrival,
                       kw_error *error)
{
    kw_context *context = transfer->context;
    const kw_input locator = {arrival->locator, arrival->locator_length};
    kw_input chain = {moving->found.certificate.chain.data, moving->found.certificate.chain.length};
    kw_key *key = NULL;
    X509 *certificate = NULL;
    kw_bytes der = {0};
    kw_error why = {0};
    kw_status status = x509_read(context->crypto, &chain, &certificate, error);
    if (status == KW_OK)
        status = key_open(transfer->target, locator, &key, error);
    if (status == KW_OK)
        status = abilities_prove(context, key, certificate, moving->proven, error);
    if (status != KW_OK)
        goto out;
    /* What other programs see beside the key; none of Keywright's own work needs it. */
    kw_status kept = x509_to_der(certificate, &der, &why);
    if (kept == KW_OK)
        kept = store_certificate_put(transfer->target, locator, (kw_input){der.data, der.length}, &why);
    if (kept != KW_OK && kept != KW_UNSUPPORTED)
        event_tell(transfer->event, transfer->user, true, moving->name,
                   "its store did not take the certificate beside its key: %s", why.message);
out:
    kw_bytes_free(&der);
    crypto_x509_free(certificate);
    kw_key_free(key);
    return status;
}

/* Every root that is not retired, unwrapped by the copy, is what the key itself makes of it. */
static kw_status prove_roots(const struct transfer *transfer, struct moving *moving, const struct key_arrival *arrival,
                             kw_error *error)
{
    const struct root_place place = roots_place(transfer->context);
    const kw_input chain = {moving->found.certificate.chain.data, moving->found.certificate.chain.length};
    kw_key *key = NULL;
    kw_status status = KW_OK;
    if (!has_roots(moving))
        return KW_OK;
    status = root_set_load(&place, &moving->found.entry.id, &moving->roots, error);
    if (status == KW_OK)
        status = key_open(transfer->target, (kw_input){arrival->locator, arrival->locator_length}, &key, error);
    if (status == KW_OK)
        status = root_set_prove(&place, moving->roots, key, chain, error);
    kw_key_free(key);
    return status;
}

/* ---- The switch -------------------------------------------------------------------------------------- */

static kw_status rename_place(kw_context *context, struct certificate_row *row, const struct key_arrival *arrival,
                              kw_error *error)
{
    char *store = text_copy(store_id(arrival->store));
    if (store == NULL)
        return error_memory(error);
    free(row->store_id);
    row->store_id = store;
    row->key_id = arrival->key_id;
    memcpy(row->locator, arrival->locator, arrival->locator_length);
    row->locator_length = arrival->locator_length;
    return catalogue_certificate_update(context->catalogue, row, error);
}

/* All certificates of the key, also one that has come meanwhile, within the caller's transaction. */
static kw_status rename_all(kw_context *context, const struct moving *moving, const struct key_arrival *arrival,
                            kw_error *error)
{
    const struct certificate_row *old = &moving->found.certificate;
    struct certificate_row *rows = NULL;
    size_t count = 0;
    bool met = false;
    kw_status status = catalogue_certificates_of_key(
        context->catalogue, old->store_id, (kw_input){old->locator, old->locator_length}, &rows, &count, error);
    for (size_t i = 0; status == KW_OK && i < count; i++) {
        met = met || id_equal(&rows[i].id, &old->id);
        status = rename_place(context, &rows[i], arrival, error);
    }
    if (status == KW_OK && !met)
        status = error_set(error, KW_CONFLICT, "%s was deleted, or its key was moved, meanwhile", moving->name);
    for (size_t i = 0; i < count; i++)
        certificate_row_clear(&rows[i]);
    free(rows);
    return status;
}

static kw_status switch_over(const struct transfer *transfer, struct moving *moving, struct store *source,
                             struct key_arrival *arrival, kw_error *error)
{
    kw_context *context = transfer->context;
    const struct root_place place = roots_place(context);
    kw_status status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    status = rename_all(context, moving, arrival, error);
    if (status == KW_OK && moving->roots != NULL)
        status = root_set_write(&place, moving->roots, error);
    if (status == KW_OK)
        status = key_departure_leave(context, moving->found.address.text, &moving->found.certificate, source,
                                     &moving->departure, error);
    if (status == KW_OK)
        status = key_arrival_settle(context, arrival, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    if (status != KW_OK)
        key_arrival_clear(&moving->departure);
    else if (moving->roots != NULL)
        root_set_note(&place, moving->roots);
    return status;
}

kw_status moving_run(const struct transfer *transfer, struct moving *moving, kw_error *error)
{
    kw_context *context = transfer->context;
    struct key_arrival arrival = {0};
    struct store *source = NULL;
    kw_error why = {0};
    kw_status status = stores_get_by_id(context->stores, moving->found.certificate.store_id, &source, error);
    if (status == KW_OK)
        status = copy(transfer, moving, &arrival, error);
    if (status == KW_OK && moving->here)
        return KW_OK;
    if (status == KW_OK)
        status = prove(transfer, moving, &arrival, error);
    if (status == KW_OK)
        status = prove_roots(transfer, moving, &arrival, error);
    if (status == KW_OK)
        status = switch_over(transfer, moving, source, &arrival, error);
    if (status != KW_OK) {
        key_arrival_abandon(context, &arrival);
        error_remedy(error, "the key of %s is in store %s, as before", moving->name, moving->from);
        return status;
    }
    key_arrival_clear(&arrival);
    /* From here on the key is in the target, whatever else happens. */
    if (control_raise(context->control, &moving->generation, &why) != KW_OK)
        event_tell(transfer->event, transfer->user, true, moving->name, "the other processes could not be told: %s",
                   why.message);
    return KW_OK;
}

void moving_finish(const struct transfer *transfer, struct moving *moving, bool last)
{
    kw_context *context = transfer->context;
    kw_error why = {0};
    char who[CONTROL_WHO_SIZE];
    const uint64_t now = clock_milliseconds();
    const uint64_t rest = transfer->deadline > now ? transfer->deadline - now : 0;
    kw_status status = KW_OK;
    if (!moving->departure.journalled)
        return;
    if (moving->generation == 0)
        status = control_raise(context->control, &moving->generation, &why);
    if (status == KW_OK)
        status = control_wait(context->control, moving->generation, rest, who, &why);
    if (status == KW_OK) {
        status = key_departure_finish(context, &moving->departure, &why);
        if (status == KW_OK)
            return;
        event_tell(transfer->event, transfer->user, true, moving->name,
                   "its old copy in store %s could not be deleted, which a later start tries again: %s", moving->from,
                   why.message);
    } else if (last) {
        event_tell(transfer->event, transfer->user, true, moving->name,
                   "its old copy in store %s stays until a later start, since it may still be in use: %s", moving->from,
                   why.message);
        if (key_departure_pass_on(context, &moving->departure, &why) != KW_OK)
            log_write(&context->log, KW_LOG_WARNING, "%s: %s", moving->name, why.message);
    }
}
