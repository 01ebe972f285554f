/* The roots of one master key as rows: read, made, checked, unwrapped. */
#include "subkey/root_private.h"

#include "base/buffer.h"
#include "subkey/high_water.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void root_rows_clear(struct root_rows *rows)
{
    catalogue_roots_free(rows->rows, rows->count);
    *rows = (struct root_rows){0};
}

struct root_row *root_rows_active(const struct root_rows *rows)
{
    for (size_t i = rows->count; i > 0; i--)
        if (rows->rows[i - 1].state == ROOT_ACTIVE)
            return &rows->rows[i - 1];
    return NULL;
}

static struct high_water rows_water(const struct root_rows *rows)
{
    struct high_water water = {.versions = (uint32_t)rows->count};
    for (size_t i = 0; i < rows->count; i++)
        water.generations += rows->rows[i].generation;
    return water;
}

/* The mark before the rows: others may raise both meanwhile. */
static kw_status read_checked(const struct root_place *place, const struct id *master, struct root_rows *rows,
                              struct high_water *mark, kw_error *error)
{
    struct root_rows read = {0};
    kw_status status = high_water_read(place, master, mark, error);
    if (status == KW_OK)
        status = catalogue_roots_read(place->catalogue, master, &read.rows, &read.count, error);
    if (status == KW_OK) {
        const struct high_water water = rows_water(&read);
        status = high_water_check(place, master, mark, &water, error);
    }
    if (status == KW_OK) {
        *rows = read;
        read = (struct root_rows){0};
    }
    root_rows_clear(&read);
    return status;
}

kw_status root_rows_look(const struct root_place *place, const struct id *master, struct root_rows *rows,
                         kw_error *error)
{
    struct high_water mark = {0};
    return read_checked(place, master, rows, &mark, error);
}

kw_status root_rows_read(const struct root_place *place, const struct id *master, struct root_rows *rows,
                         kw_error *error)
{
    struct high_water mark = {0};
    const kw_status status = read_checked(place, master, rows, &mark, error);
    if (status == KW_OK) {
        const struct high_water water = rows_water(rows);
        kw_error why = {0};
        /* A mark that cannot be written protects later reads only: no reason to refuse this one. */
        if ((mark.versions < water.versions || mark.generations < water.generations) &&
            high_water_raise(place, master, &water, &why) != KW_OK && place->log != NULL)
            log_write(place->log, KW_LOG_WARNING, "what was seen of root secrets cannot be noted: %s", why.message);
    }
    return status;
}

void root_rows_note(const struct root_place *place, const struct id *master)
{
    struct root_rows rows = {0};
    if (root_rows_read(place, master, &rows, NULL) == KW_OK)
        root_rows_clear(&rows);
}

void root_blame(const struct entry_row *entry, uint32_t version, kw_error *error)
{
    error_prefix(error, "root %u of %s", (unsigned)version, entry->address);
}

/* ---- Making ---------------------------------------------------------------------------------------------- */

static kw_status wrap_for_master(const struct root_place *place, const struct root_key *key, kw_input content,
                                 struct root_wraps *wraps, struct buffer *ciphertext, kw_error *error)
{
    const struct wrap_algorithm *algorithm = wrap_choose(kw_key_get_capabilities(key->wrap.key));
    const kw_status status = wrap_make(place->crypto, algorithm, &key->wrap, content, ciphertext, error);
    struct root_wrap *wrap = &wraps->wraps[wraps->count];
    if (status != KW_OK)
        return status;
    *wrap = (struct root_wrap){
        .recipient = ROOT_TO_MASTER, .algorithm = input_text(algorithm->name), .ciphertext = buffer_view(ciphertext)};
    memcpy(wrap->spki, key->wrap.spki, sizeof(wrap->spki));
    wraps->count++;
    return KW_OK;
}

/* One call to the store. */
static kw_status row_sign(const struct root_key *key, struct root_row *row, kw_error *error)
{
    const char *scheme = root_scheme_choose(kw_key_get_capabilities(key->wrap.key));
    unsigned char bytes[ROOT_SIGNATURE_MAXIMUM];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    kw_algorithm algorithm;
    struct buffer message = {0}, signature = {0};
    kw_status status = KW_OK;
    memcpy(row->spki, key->wrap.spki, sizeof(row->spki));
    free(row->scheme);
    row->scheme = text_copy(scheme);
    if (row->scheme == NULL || !root_scheme_find(scheme, &algorithm)) {
        status = error_memory(error);
        goto out;
    }
    root_signed_bytes(row, &message);
    if (message.failed) {
        status = error_memory(error);
        goto out;
    }
    status = kw_key_sign(key->wrap.key, &algorithm, buffer_view(&message), &output, error);
    if (status != KW_OK)
        goto out;
    buffer_append(&signature, bytes, output.length);
    kw_bytes_free(&row->signature);
    if (buffer_take(&signature, &row->signature) != KW_OK)
        status = error_memory(error);
out:
    buffer_free(&message);
    return status;
}

kw_status root_row_make(const struct root_place *place, const struct root_key *key, kw_input root, struct root_row *row,
                        kw_error *error)
{
    struct secret content = {0};
    struct root_wraps wraps = {0};
    struct buffer for_master = {0}, encoded = {0};
    kw_status status = root_key_check(key, error);
    if (status == KW_OK)
        status = root_content_write(&row->master, row->version, root, &content, error);
    if (status == KW_OK)
        status = wrap_for_master(place, key, secret_view(&content), &wraps, &for_master, error);
    if (status != KW_OK)
        goto out;
    root_wraps_write(&wraps, &encoded);
    kw_bytes_free(&row->wraps);
    if (encoded.failed || buffer_take(&encoded, &row->wraps) != KW_OK) {
        status = error_memory(error);
        goto out;
    }
    status = row_sign(key, row, error);
out:
    buffer_free(&encoded);
    buffer_free(&for_master);
    secret_clear(&content);
    return status;
}

/* ---- Checking and unwrapping ------------------------------------------------------------------------------ */

static kw_status is_forged(kw_error *error)
{
    const kw_status status = error_set(
        error, KW_CORRUPT, "it is not signed by the master key: somebody put it there, or changed what is signed");
    error_remedy(error, "restore the catalogue from a backup; nothing was done with this root");
    return status;
}

kw_status root_row_check(const struct root_key *key, const struct root_row *row, kw_error *error)
{
    kw_algorithm algorithm;
    struct buffer message = {0};
    kw_status status = KW_OK;
    if (!crypto_equal(row->spki, key->wrap.spki, sizeof(row->spki)))
        return is_forged(error);
    if (!root_scheme_find(row->scheme, &algorithm))
        return error_set(error, KW_UNSUPPORTED, "this version does not know the signature scheme '%s'", row->scheme);
    root_signed_bytes(row, &message);
    status = message.failed ? error_memory(error)
                            : kw_key_verify(key->wrap.key, &algorithm, buffer_view(&message),
                                            (kw_input){row->signature.data, row->signature.length}, error);
    buffer_free(&message);
    return status == KW_SIGNATURE_INVALID || status == KW_UNSUPPORTED ? is_forged(error) : status;
}

static kw_status find_wrap(const struct root_key *key, const struct root_wraps *wraps, kw_input *ciphertext,
                           const struct wrap_algorithm **algorithm, kw_error *error)
{
    const kw_key_capabilities *capabilities = kw_key_get_capabilities(key->wrap.key);
    bool met = false;
    kw_status status = KW_OK;
    for (size_t i = 0; i < wraps->count; i++) {
        const struct root_wrap *wrap = &wraps->wraps[i];
        const struct wrap_algorithm *found = wrap_find(wrap->algorithm);
        if (wrap->recipient != ROOT_TO_MASTER || memcmp(wrap->spki, key->wrap.spki, sizeof(wrap->spki)) != 0)
            continue;
        met = true;
        if (found != NULL && wrap_can_undo(found, capabilities)) {
            *ciphertext = wrap->ciphertext;
            *algorithm = found;
            return KW_OK;
        }
    }
    if (!met)
        return error_set(error, KW_CORRUPT, "it is not wrapped to the master key");
    status = error_set(error, KW_UNSUPPORTED, "store '%s' cannot undo the way in which it is wrapped",
                       store_name(key->store));
    error_remedy(error, "move the key back to the store that it came from with `keywright transfer`");
    return status;
}

kw_status root_row_unwrap(const struct root_place *place, const struct root_key *key, const struct root_row *row,
                          struct secret *root, kw_error *error)
{
    struct root_wraps wraps;
    struct secret content = {0};
    kw_input ciphertext = {0};
    const struct wrap_algorithm *algorithm = NULL;
    kw_status status = KW_OK;
    if (!root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &wraps))
        return error_set(error, KW_CORRUPT, "its wraps are malformed");
    status = find_wrap(key, &wraps, &ciphertext, &algorithm, error);
    if (status == KW_OK)
        status = wrap_undo(place->crypto, algorithm, &key->wrap, ciphertext, &content, error);
    if (status == KW_CIPHERTEXT_INVALID)
        status = error_set(error, KW_CORRUPT, "what is wrapped cannot be opened by the master key");
    if (status == KW_OK)
        status = root_content_read(&row->master, row->version, secret_view(&content), root, error);
    secret_clear(&content);
    return status;
}
