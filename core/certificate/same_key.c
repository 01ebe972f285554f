/* Keys that a certificate has by way of another store: two stores of a configuration may lead to one token. */
#include "certificate/manager.h"

#include <stdlib.h>

static bool has_key(kw_context *context, const struct certificate_row *row, const kw_key *key)
{
    kw_input chain = {row->chain.data, row->chain.length};
    X509 *certificate = NULL;
    const bool has = x509_read(context->crypto, &chain, &certificate, NULL) == KW_OK &&
                     EVP_PKEY_eq(key_public_pkey(key), X509_get0_pubkey(certificate)) == 1;
    X509_free(certificate);
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
