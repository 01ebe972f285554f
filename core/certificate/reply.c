/* The reply to a request: a CA's certificate for a key that is here already. */
#include "certificate/import.h"

#include <openssl/err.h>
#include <string.h>

static kw_status parse_address(const struct importing *importing, struct address *address, const struct kind **kind,
                               kw_error *error)
{
    kw_status status = address_parse(importing->options->address, address, error);
    if (status == KW_OK)
        status = kind_of(address, kind, error);
    if (status == KW_OK && address->number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "a certificate gets its number by itself: leave out @%u",
                           address->number);
    return status;
}

/* All certificates of all items, which have nothing else; each once, in order. */
static kw_status collect(struct importing *importing, STACK_OF(X509) *all, kw_error *error)
{
    for (size_t i = 0; i < importing->count; i++) {
        struct pfx_item *item = &importing->items[i];
        if (item->certificate != NULL && sk_X509_push(all, item->certificate) <= 0)
            return error_memory(error);
        item->certificate = NULL;
        while (sk_X509_num(item->chain) > 0) {
            X509 *next = sk_X509_shift(item->chain);
            if (sk_X509_push(all, next) <= 0) {
                crypto_x509_free(next);
                return error_memory(error);
            }
        }
    }
    return KW_OK;
}

/* The CA certifies what the request asked for: whether it is for PSS alone, and how, does not change on the way. */
static bool is_of_key(const EVP_PKEY *own, const EVP_PKEY *other)
{
    crypto_enter();
    const struct pss_limits wanted = pss_of_pkey(own), found = pss_of_pkey(other);
    crypto_leave();
    return pss_equal(&wanted, &found) && crypto_pkey_is(own, other);
}

/* The certificate in `all` that is of the row's key: its place, or -1. */
static int find_match(kw_context *context, const struct certificate_row *row, const STACK_OF(X509) *all)
{
    X509 *here = NULL;
    kw_input chain = {row->chain.data, row->chain.length};
    int found = -1;
    if (x509_read(context->crypto, &chain, &here, NULL) != KW_OK)
        return -1;
    ERR_set_mark();
    const EVP_PKEY *own = X509_get0_pubkey(here);
    for (int i = 0; own != NULL && found < 0 && i < sk_X509_num(all); i++) {
        const EVP_PKEY *other = X509_get0_pubkey(sk_X509_value(all, i));
        if (other != NULL && is_of_key(own, other))
            found = i;
    }
    ERR_pop_to_mark();
    crypto_x509_free(here);
    return found;
}

/* Newest first: of two certificates with one key either would do, and the newest is likeliest to be whole. */
static kw_status search_entry(kw_context *context, const struct entry_row *entry, const STACK_OF(X509) *all,
                              struct certificate_row *reply, int *match, kw_error *error)
{
    struct certificate_row row = {0};
    kw_status status = catalogue_certificate_get_last(context->catalogue, &entry->id, &row, error);
    if (status != KW_OK)
        return status;
    for (unsigned number = row.number; status == KW_OK && number > 0; number--) {
        certificate_row_clear(&row);
        status = catalogue_certificate_get_number(context->catalogue, &entry->id, number, &row, error);
        if (status == KW_OK)
            *match = find_match(context, &row, all);
        if (*match >= 0) {
            *reply = row;
            return KW_OK;
        }
        status = error_tolerate(status, KW_NOT_FOUND, error);
        status = error_tolerate(status, KW_CORRUPT, error); /* not this one */
    }
    certificate_row_clear(&row);
    return status;
}

static kw_status no_match(const struct importing *importing, int count, const char *address, kw_error *error)
{
    kw_status status = error_set(error, KW_REFUSED, "it has no private key, and %s of a key that %s has or had",
                                 count == 1 ? "its certificate is not" : "none of its certificates is", address);
    error_where(error, "%s", importing->options->path);
    error_remedy(error,
                 "the reply must be to the request of this key: make it with `keywright request %s`; or give the "
                 "private key's file with --key",
                 address);
    return status;
}

kw_status reply_find(struct importing *importing, kw_error *error)
{
    kw_context *context = importing->context;
    struct address address = {0};
    const struct kind *kind = NULL;
    struct entry_row entry = {0};
    STACK_OF(X509) *all = NULL;
    int match = -1;
    kw_status status = parse_address(importing, &address, &kind, error);
    if (status == KW_OK && !kind->replaceable)
        status = import_refuse_error(context, kind, &address, error);
    if (status != KW_OK)
        return status;
    status = catalogue_entry_get(context->catalogue, address.text, &entry, error);
    if (status == KW_NOT_FOUND) {
        status =
            error_set(error, KW_NOT_FOUND,
                      "it has no private key, and there is no %s whose request it could be the reply to", address.text);
        error_where(error, "%s", importing->options->path);
        error_remedy(error, "give the private key's file with --key");
    }
    if (status != KW_OK)
        goto out;
    all = sk_X509_new_null();
    status = all == NULL ? error_memory(error) : collect(importing, all, error);
    if (status == KW_OK)
        status = search_entry(context, &entry, all, &importing->reply, &match, error);
    if (status != KW_OK)
        goto out;
    if (match < 0) {
        status = no_match(importing, sk_X509_num(all), address.text, error);
        goto out;
    }
    if (importing->options->store != NULL) {
        status = error_set(error, KW_INVALID_ARGUMENT,
                           "--store goes with a private key in the file, and that of %s stays in the store where it is",
                           address.text);
        goto out;
    }
    for (size_t i = 0; i < importing->count; i++)
        pfx_item_clear(&importing->items[i]);
    importing->count = 1;
    importing->items[0].certificate = sk_X509_delete(all, match);
    importing->items[0].chain = all;
    all = NULL;
out:
    sk_X509_pop_free(all, crypto_x509_free);
    entry_row_clear(&entry);
    return status;
}

kw_status reply_bring_key(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    kw_context *context = importing->context;
    const struct certificate_row *row = &importing->reply;
    struct key_arrival *key_arrival = &arrival->arrival;
    kw_key *key = NULL;
    kw_status status = stores_get_by_id(context->stores, row->store_id, &key_arrival->store, error);
    if (status == KW_OK)
        status = key_open(key_arrival->store, (kw_input){row->locator, row->locator_length}, &key, error);
    if (status == KW_OK)
        status = key_prove(context, key, arrival->item->certificate, error);
    if (status == KW_OK) {
        key_arrival->key_id = row->key_id;
        memcpy(key_arrival->locator, row->locator, row->locator_length);
        key_arrival->locator_length = row->locator_length;
    }
    kw_key_free(key);
    return status;
}

kw_status reply_check_key(struct importing *importing, kw_error *error)
{
    const struct certificate_row *row = &importing->reply;
    bool in_use = false;
    kw_status status = catalogue_key_in_use(importing->context->catalogue, row->store_id,
                                            (kw_input){row->locator, row->locator_length}, &in_use, error);
    if (status == KW_OK && !in_use)
        status = error_set(error, KW_CONFLICT, "the certificate whose key this one has was deleted meanwhile");
    return status;
}

void reply_put_certificate(struct importing *importing, struct arrival *arrival)
{
    kw_error error = {0};
    kw_bytes der = {0};
    const struct key_arrival *key = &arrival->arrival;
    kw_status status = x509_to_der(arrival->item->certificate, &der, &error);
    if (status == KW_OK)
        status = store_certificate_put(key->store, (kw_input){key->locator, key->locator_length},
                                       (kw_input){der.data, der.length}, &error);
    if (status != KW_OK && status != KW_UNSUPPORTED)
        event_tell(importing->event, importing->user, true, arrival->address.text,
                   "its store did not take the certificate beside its key: %s", error.message);
    kw_bytes_free(&der);
}
