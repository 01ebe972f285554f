/* A master key's current key, opened where it is now. */
#include "subkey/root_private.h"

#include "base/buffer.h"
#include "catalogue/address.h"

#include <string.h>

#define ATTEMPTS_MAXIMUM 3

void root_key_clear(struct root_key *key)
{
    kw_key_free(key->wrap.key);
    entry_row_clear(&key->entry);
    certificate_row_clear(&key->certificate);
    *key = (struct root_key){0};
}

static kw_status root_certificate_read_within(struct crypto *crypto, kw_input chain, X509 **certificate,
                                              unsigned char spki[SHA256_LENGTH], kw_error *error)
{
    const unsigned char *at = chain.data;
    unsigned char *der = NULL;
    int length = 0;
    X509 *made = X509_new_ex(crypto->library, NULL);
    kw_status status = KW_OK;
    if (made == NULL || d2i_X509(&made, &at, (long)chain.length) == NULL) {
        made = NULL; /* d2i_X509 frees what it fails to fill */
        status = crypto_error(error, KW_CORRUPT, "the certificate cannot be read");
        goto out;
    }
    length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(made), &der);
    if (length <= 0 || X509_get0_pubkey(made) == NULL) {
        status = crypto_error(error, KW_CORRUPT, "the certificate has no readable public key");
        goto out;
    }
    status = crypto_sha256(crypto, (kw_input){der, (size_t)length}, spki, error);
    if (status == KW_OK) {
        *certificate = made;
        made = NULL;
    }
out:
    OPENSSL_free(der);
    crypto_x509_free(made);
    return status;
}

kw_status root_certificate_read(struct crypto *crypto, kw_input chain, X509 **certificate,
                                unsigned char spki[SHA256_LENGTH], kw_error *error)
{
    crypto_enter();
    const kw_status status = root_certificate_read_within(crypto, chain, certificate, spki, error);
    crypto_leave();
    return status;
}

static kw_status find_rows(const struct root_place *place, const struct id *master, struct root_key *key,
                           kw_error *error)
{
    struct address address = {0};
    kw_status status = catalogue_entry_get_by_id(place->catalogue, master, &key->entry, error);
    if (status == KW_OK)
        status = address_parse(key->entry.address, &address, error);
    if (status == KW_OK && strcmp(address.parts[0], "master-key") != 0)
        status = error_set(error, KW_REFUSED, "%s is no master key: only those have roots", key->entry.address);
    if (status != KW_OK)
        return status;
    status = catalogue_certificate_get(place->catalogue, &key->entry.certificate, &key->certificate, error);
    if (status == KW_NOT_FOUND)
        status = error_set(error, KW_CORRUPT, "the catalogue has no row for the current certificate of %s",
                           key->entry.address);
    if (status == KW_OK && !id_equal(&key->certificate.entry, master))
        status =
            error_set(error, KW_CORRUPT, "the current certificate of %s belongs to another entry", key->entry.address);
    return status;
}

/* What the store hands out under the locator must be the certificate's key. */
static kw_status check_same(const struct root_place *place, struct root_key *key, kw_error *error)
{
    X509 *certificate = NULL;
    const kw_input chain = {key->certificate.chain.data, key->certificate.chain.length};
    kw_status status = root_certificate_read(place->crypto, chain, &certificate, key->wrap.spki, error);
    if (status == KW_OK && !crypto_pkey_is(key_public_pkey(key->wrap.key), X509_get0_pubkey(certificate)))
        status = error_set(error, KW_CORRUPT, "the key that store '%s' holds for %s is not the certificate's key",
                           store_name(key->store), key->entry.address);
    crypto_x509_free(certificate);
    return status;
}

static kw_status open_once(const struct root_place *place, const struct id *master, struct root_key *key,
                           kw_error *error)
{
    const uint64_t generation = control_generation(place->control);
    struct key_origin origin = {.control = place->control, .stores = place->stores};
    kw_status status = find_rows(place, master, key, error);
    if (status == KW_OK)
        status = stores_get_by_id(place->stores, key->certificate.store_id, &key->store, error);
    if (status == KW_OK)
        status = key_open(key->store, (kw_input){key->certificate.locator, key->certificate.locator_length},
                          &key->wrap.key, error);
    if (status != KW_OK)
        return status;
    origin.certificate = key->certificate.id;
    key_follow(key->wrap.key, &origin, generation);
    return check_same(place, key, error);
}

/* Whether the key was moved while it was opened. */
static bool has_moved(const struct root_place *place, const struct root_key *key)
{
    struct certificate_row now = {0};
    bool moved = false;
    if (id_is_zero(&key->certificate.id))
        return false;
    moved = catalogue_certificate_get(place->catalogue, &key->certificate.id, &now, NULL) == KW_OK &&
            now.generation != key->certificate.generation;
    certificate_row_clear(&now);
    return moved;
}

kw_status root_key_open(const struct root_place *place, const struct id *master, struct root_key *key, kw_error *error)
{
    struct root_key made = {0};
    kw_error inner; /* the caller's stays untouched when another attempt succeeds */
    kw_status status = open_once(place, master, &made, &inner);
    for (unsigned attempt = 1; status != KW_OK && attempt < ATTEMPTS_MAXIMUM && has_moved(place, &made); attempt++) {
        root_key_clear(&made);
        status = open_once(place, master, &made, &inner);
    }
    if (status == KW_OK) {
        *key = made;
        return KW_OK;
    }
    root_key_clear(&made);
    if (error != NULL)
        *error = inner;
    return status;
}

kw_status root_key_check(const struct wrap_key *key, const char *address, kw_error *error)
{
    const kw_key_capabilities *capabilities = kw_key_get_capabilities(key->key);
    kw_status status = KW_OK;
    if (wrap_choose(capabilities) != NULL && root_scheme_choose(capabilities) != NULL)
        return KW_OK;
    status = error_set(error, KW_UNSUPPORTED, "the key of %s cannot have root secrets: its store does not %s", address,
                       wrap_choose(capabilities) == NULL ? "decrypt with it (RSA) or agree on secrets (EC)"
                                                         : "sign with it");
    error_where(error, "store %s", store_name(key_store(key->key)));
    return status;
}
