#include "subkey/root_set.h"

#include "subkey/root_private.h"

#include <stdlib.h>
#include <string.h>

void root_set_free(struct root_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; set->roots != NULL && i < set->rows.count; i++)
        secret_clear(&set->roots[i]);
    free(set->roots);
    free(set->changed);
    root_rows_clear(&set->rows);
    entry_row_clear(&set->entry);
    free(set);
}

uint32_t root_set_versions(const struct root_set *set)
{
    return (uint32_t)set->rows.count;
}

size_t root_set_count(const struct root_set *set)
{
    size_t count = 0;
    for (size_t i = 0; i < set->rows.count; i++)
        count += set->rows.rows[i].state != ROOT_RETIRED;
    return count;
}

/* ---- Reading -------------------------------------------------------------------------------------------- */

/* Rows alone. */
static kw_status set_new(const struct root_place *place, const struct id *master, struct root_set **set,
                         kw_error *error)
{
    struct root_set *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? root_rows_read(place, master, &made->rows, error) : error_memory(error);
    if (status == KW_OK)
        status = catalogue_entry_get_by_id(place->catalogue, master, &made->entry, error);
    if (status == KW_OK) {
        made->roots = calloc(made->rows.count + 1, sizeof(*made->roots));
        made->changed = calloc(made->rows.count + 1, sizeof(*made->changed));
        if (made->roots == NULL || made->changed == NULL)
            status = error_memory(error);
    }
    if (status == KW_OK) {
        *set = made;
        made = NULL;
    }
    root_set_free(made);
    return status;
}

/* `recovery` NULL: by the key itself. */
kw_status root_set_unwrap(const struct root_place *place, struct root_set *set, const struct wrap_key *key,
                          const struct recovery_key *recovery, kw_error *error)
{
    kw_status status = KW_OK;
    memcpy(set->spki, key->spki, sizeof(set->spki));
    for (size_t i = 0; status == KW_OK && i < set->rows.count; i++) {
        const struct root_row *row = &set->rows.rows[i];
        if (row->state == ROOT_RETIRED)
            continue;
        status = root_row_check(key, row, error);
        if (status == KW_OK)
            status = recovery != NULL ? root_row_recover(place, recovery, row, &set->roots[i], error)
                                      : root_row_unwrap(place, key, row, &set->roots[i], error);
        if (status != KW_OK)
            root_blame(&set->entry, row->version, error);
    }
    return status;
}

kw_status root_set_load(const struct root_place *place, const struct id *master, struct root_set **set, kw_error *error)
{
    struct root_key key = {0};
    struct root_set *made = NULL;
    kw_status status = set_new(place, master, &made, error);
    /* No root, no call. */
    if (status == KW_OK && root_set_count(made) > 0) {
        status = root_key_open(place, master, &key, error);
        if (status == KW_OK)
            status = root_set_unwrap(place, made, &key.wrap, NULL, error);
    }
    if (status == KW_OK) {
        *set = made;
        made = NULL;
    }
    root_set_free(made);
    root_key_clear(&key);
    return status;
}

/* The present certificate's public key: its store may be gone for ever. */
static kw_status present_public(const struct root_place *place, const struct root_set *set, struct wrap_key *key,
                                kw_error *error)
{
    struct certificate_row row = {0};
    X509 *certificate = NULL;
    unsigned char *der = NULL;
    int length = 0;
    kw_status status = catalogue_certificate_get(place->catalogue, &set->entry.certificate, &row, error);
    if (status == KW_OK)
        status = root_certificate_read(place->crypto, (kw_input){row.chain.data, row.chain.length}, &certificate,
                                       key->spki, error);
    if (status == KW_OK) {
        length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
        status = length > 0 ? key_open_public(place->crypto, (kw_input){der, (size_t)length}, &key->key, error)
                            : crypto_error(error, KW_CORRUPT, "the certificate has no readable public key");
    }
    OPENSSL_free(der);
    crypto_x509_free(certificate);
    certificate_row_clear(&row);
    return status;
}

static kw_status recovery_spki(const struct root_place *place, EVP_PKEY *private, unsigned char spki[SHA256_LENGTH],
                               kw_error *error)
{
    unsigned char *der = NULL;
    const int length = i2d_PUBKEY(private, &der);
    const kw_status status = length > 0 ? crypto_sha256(place->crypto, (kw_input){der, (size_t)length}, spki, error)
                                        : crypto_error(error, KW_UNSUPPORTED, "the recovery key has no public half");
    OPENSSL_free(der);
    return status;
}

kw_status root_set_recover(const struct root_place *place, const struct id *master, EVP_PKEY *recovery,
                           struct root_set **set, kw_error *error)
{
    struct recovery_key by = {.private = recovery};
    struct wrap_key key = {0};
    struct root_set *made = NULL;
    kw_status status = recovery_spki(place, recovery, by.spki, error);
    if (status == KW_OK)
        status = set_new(place, master, &made, error);
    if (status == KW_OK)
        status = present_public(place, made, &key, error);
    if (status == KW_OK)
        status = root_set_unwrap(place, made, &key, &by, error);
    if (status == KW_OK) {
        *set = made;
        made = NULL;
    }
    kw_key_free(key.key);
    root_set_free(made);
    return status;
}

/* ---- Another key, or another place ------------------------------------------------------------------------ */

kw_status root_set_key(const struct root_place *place, kw_key *key, kw_input chain, struct wrap_key *wrap,
                       kw_error *error)
{
    X509 *certificate = NULL;
    kw_status status = root_certificate_read(place->crypto, chain, &certificate, wrap->spki, error);
    if (status == KW_OK && !crypto_pkey_is(key_public_pkey(key), X509_get0_pubkey(certificate)))
        status = error_set(error, KW_FAILED, "the certificate is not of this key");
    wrap->key = key;
    crypto_x509_free(certificate);
    return status;
}

/* By the key that it is wrapped to now; what comes out must be what went in. */
static kw_status check_unwraps(const struct root_place *place, const struct root_set *set, size_t index,
                               const struct wrap_key *key, kw_error *error)
{
    struct secret again = {0};
    kw_status status = root_row_unwrap(place, key, &set->rows.rows[index], &again, error);
    if (status == KW_OK && !crypto_equal(again.data, set->roots[index].data, ROOT_LENGTH))
        status = error_set(error, KW_CORRUPT, "store '%s' makes another root of it", store_name(key_store(key->key)));
    secret_clear(&again);
    return status;
}

static kw_status set_make(const struct root_place *place, struct root_set *set, const struct wrap_key *key, bool keep,
                          kw_error *error)
{
    kw_status status = root_set_count(set) > 0 ? root_key_check(key, set->entry.address, error) : KW_OK;
    for (size_t i = 0; status == KW_OK && i < set->rows.count; i++) {
        struct root_row *row = &set->rows.rows[i];
        if (row->state == ROOT_RETIRED)
            continue;
        if (!keep || !root_row_can_unwrap(key, row)) {
            status = root_row_make(place, key, secret_view(&set->roots[i]), keep, row, error);
            set->changed[i] = true;
        }
        if (status == KW_OK)
            status = check_unwraps(place, set, i, key, error);
        if (status != KW_OK)
            root_blame(&set->entry, row->version, error);
    }
    return status;
}

kw_status root_set_rewrap(const struct root_place *place, struct root_set *set, kw_key *key, kw_input chain,
                          kw_error *error)
{
    struct wrap_key wrap = {0};
    const kw_status status = root_set_key(place, key, chain, &wrap, error);
    return status == KW_OK ? set_make(place, set, &wrap, false, error) : status;
}

kw_status root_set_prove(const struct root_place *place, struct root_set *set, kw_key *key, kw_input chain,
                         kw_error *error)
{
    struct wrap_key wrap = {0};
    const kw_status status = root_set_key(place, key, chain, &wrap, error);
    return status == KW_OK ? set_make(place, set, &wrap, true, error) : status;
}

/* ---- Writing ---------------------------------------------------------------------------------------------- */

/* Rows that come from a file have no generation yet. */
static kw_status check_unchanged(const struct root_place *place, const struct root_set *set, kw_error *error)
{
    struct root_rows now = {0};
    kw_status status = root_rows_look(place, &set->entry.id, &now, error);
    bool same = status == KW_OK && now.count <= set->rows.count;
    for (size_t i = 0; same && i < set->rows.count; i++)
        same = set->rows.rows[i].generation == (i < now.count ? now.rows[i].generation : 0);
    if (status == KW_OK && !same) {
        status = error_set(error, KW_CONFLICT, "the root secrets of %s were changed meanwhile", set->entry.address);
        error_remedy(error, "try again");
    }
    root_rows_clear(&now);
    return status;
}

kw_status root_set_write(const struct root_place *place, struct root_set *set, kw_error *error)
{
    kw_status status = check_unchanged(place, set, error);
    for (size_t i = 0; status == KW_OK && i < set->rows.count; i++)
        if (set->rows.rows[i].generation == 0)
            status = catalogue_root_insert(place->catalogue, &set->rows.rows[i], error);
        else if (set->changed[i])
            status = catalogue_root_update(place->catalogue, &set->rows.rows[i], error);
    return status;
}

void root_set_note(const struct root_place *place, const struct root_set *set)
{
    root_rows_note(place, &set->entry.id);
}
