/* Before an old copy goes: proof that the key is where the catalogue has it now. */
#include "certificate/ability.h"

#include "base/buffer.h"

#include <stdlib.h>

/* By a fresh handle: the store may be another one than when the key came there. */
static kw_status prove(kw_context *context, const struct found *found, const kw_key *old, X509 *certificate,
                       kw_error *error)
{
    const kw_key_capabilities *could = kw_key_get_capabilities(old);
    kw_key *key = NULL;
    kw_status status = manager_open_key(context, found, &key, error);
    if (status == KW_OK)
        status = abilities_prove(
            context, key, certificate,
            abilities_of_key(could) & abilities_of_pss(key_pss(key)) &
                (abilities_needed(found->kind) | abilities_of_store(store_capabilities(key_store(key)), could->type)),
            error);
    kw_key_free(key);
    return status;
}

/* Of a certificate with another key there is nothing to prove, nor of a number that none has. */
static kw_status prove_number(kw_context *context, const char *address, unsigned number, const kw_key *old,
                              kw_error *error)
{
    struct found found = {0};
    X509 *certificate = NULL;
    char *name = text_format("%s@%u", address, number);
    kw_status status = name != NULL ? manager_find(context, name, &found, error) : error_memory(error);
    free(name);
    if (status != KW_OK)
        return error_tolerate(status, KW_NOT_FOUND, error);
    kw_input chain = {found.certificate.chain.data, found.certificate.chain.length};
    status = x509_read(context->crypto, &chain, &certificate, error);
    if (status == KW_OK && crypto_pkey_is(key_public_pkey(old), X509_get0_pubkey(certificate)))
        status = prove(context, &found, old, certificate, error);
    crypto_x509_free(certificate);
    found_clear(&found);
    return status;
}

kw_status successor_prove(kw_context *context, struct store *source, kw_input locator, const char *address,
                          kw_error *error)
{
    struct entry_row entry = {0};
    struct certificate_row last = {0};
    kw_key *old = NULL;
    kw_status status = key_open(source, locator, &old, error);
    if (status == KW_OK)
        status = catalogue_entry_get(context->catalogue, address, &entry, error);
    if (status == KW_OK)
        status = catalogue_certificate_get_last(context->catalogue, &entry.id, &last, error);
    if (status != KW_OK) {
        status = error_tolerate(status, KW_NOT_FOUND, error);
        goto out;
    }
    for (unsigned number = last.number; status == KW_OK && number > 0; number--)
        status = prove_number(context, address, number, old, error);
    if (status != KW_OK)
        error_remedy(error, "the key of %s is in store %s still; bring back where it was moved to", address,
                     store_name(source));
out:
    kw_key_free(old);
    certificate_row_clear(&last);
    entry_row_clear(&entry);
    return status;
}
