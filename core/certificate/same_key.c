/* Keys that a certificate has already: by way of another store, as two of a configuration may lead to one token; or as another kind's. */
#include "certificate/roots.h"

#include <stdlib.h>
#include <string.h>

static bool has_key(kw_context *context, const struct certificate_row *row, const kw_key *key)
{
    kw_input chain = {row->chain.data, row->chain.length};
    X509 *certificate = NULL;
    const bool has = x509_read(context->crypto, &chain, &certificate, NULL) == KW_OK &&
                     crypto_pkey_is(key_public_pkey(key), X509_get0_pubkey(certificate));
    crypto_x509_free(certificate);
    return has;
}

/* At the same place: a copy elsewhere is another thing. */
static kw_status look_in(kw_context *context, const struct store_settings *other, kw_input locator, const kw_key *key,
                         bool *found, kw_error *error)
{
    struct certificate_row *rows = NULL;
    size_t count = 0;
    kw_status status = catalogue_certificates_of_key(context->catalogue, other->id, locator, &rows, &count, error);
    for (size_t i = 0; status == KW_OK && i < count; i++)
        *found = *found || has_key(context, &rows[i], key);
    for (size_t i = 0; i < count; i++)
        certificate_row_clear(&rows[i]);
    free(rows);
    return status;
}

kw_status key_check_no_other_way(kw_context *context, const struct store *store, kw_input locator, const kw_key *key,
                                 kw_error *error)
{
    const struct settings *settings = context->settings;
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < settings->store_count; i++) {
        const struct store_settings *other = &settings->stores[i];
        bool found = false;
        if (strcmp(other->id, store_id(store)) == 0)
            continue;
        status = look_in(context, other, locator, key, &found, error);
        if (status == KW_OK && found) {
            status = error_set(error, KW_EXISTS,
                               "the key is a certificate's already, which has it by way of store '%s'", other->name);
            error_remedy(error,
                         "stores '%s' and '%s' lead to the same keys: leave one of them out of the configuration",
                         store_name(store), other->name);
        }
    }
    return status;
}

/* ---- Another kind's ------------------------------------------------------------------------------------ */

/* In whatever way it is written: a point may be compressed, and an RSA key be one for PSS alone. */
static bool is_same(X509 *left, X509 *right)
{
    const ASN1_BIT_STRING *a = X509_get0_pubkey_bitstr(left), *b = X509_get0_pubkey_bitstr(right);
    if (a != NULL && b != NULL &&
        input_equal((kw_input){a->data, (size_t)a->length}, (kw_input){b->data, (size_t)b->length}))
        return true;
    return crypto_pkey_is(X509_get0_pubkey(left), X509_get0_pubkey(right));
}

static kw_status refuse_kind(const struct key_claim *claim, const char *owner, kw_error *error)
{
    const kw_status status =
        error_set(error, KW_REFUSED, "the key of %s is the key of %s too: a master key's key has no other use",
                  claim->address->text, owner);
    error_remedy(error,
                 "whoever uses a key in another way could open or make the master key's root secrets by it: take a key "
                 "of its own for %s",
                 claim->address->text);
    return status;
}

static const struct entry_row *entry_of(const struct catalogue_snapshot *snapshot, const struct id *id)
{
    for (size_t i = 0; i < snapshot->entry_count; i++)
        if (id_equal(&snapshot->entries[i].id, id))
            return &snapshot->entries[i];
    return NULL;
}

static kw_status hold_against_row(kw_context *context, const struct key_claim *claims, size_t count,
                                  const struct entry_row *entry, const struct certificate_row *row, kw_error *error)
{
    const bool has_roots = strncmp(entry->address, "master-key/", 11) == 0;
    kw_input chain = {row->chain.data, row->chain.length};
    X509 *certificate = NULL;
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < count; i++) {
        if (has_roots == kind_has_roots(claims[i].kind))
            continue;
        if (certificate == NULL)
            status = x509_read(context->crypto, &chain, &certificate, error);
        if (status == KW_OK && is_same(certificate, claims[i].certificate))
            status = refuse_kind(&claims[i], entry->address, error);
    }
    crypto_x509_free(certificate);
    return status;
}

static kw_status hold_against_each_other(const struct key_claim *claims, size_t count, kw_error *error)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; kind_has_roots(claims[i].kind) && k < count; k++)
            if (!kind_has_roots(claims[k].kind) && is_same(claims[i].certificate, claims[k].certificate))
                return refuse_kind(&claims[k], claims[i].address->text, error);
    return KW_OK;
}

static void report_corrupt(void *user, const kw_error *error)
{
    kw_context *context = user;
    log_write(&context->log, KW_LOG_ERROR, "%s: %s", error->where, error->message);
}

kw_status key_check_kind(kw_context *context, const struct key_claim *claims, size_t count, kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    kw_status status = hold_against_each_other(claims, count, error);
    if (status == KW_OK &&
        count > 0) /* a row that does not verify spoils no other's import: its key is of no use either */
        status = catalogue_snapshot_read(context->catalogue, report_corrupt, context, &snapshot, error);
    for (size_t i = 0; status == KW_OK && i < snapshot.certificate_count; i++) {
        const struct entry_row *entry = entry_of(&snapshot, &snapshot.certificates[i].entry);
        if (entry != NULL)
            status = hold_against_row(context, claims, count, entry, &snapshot.certificates[i], error);
    }
    catalogue_snapshot_clear(&snapshot);
    return status;
}
