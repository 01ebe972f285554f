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

/* What a row is wrapped to, under way. */
struct wrapping {
    struct root_wraps wraps;
    struct buffer ciphertexts[ROOT_WRAPS_COUNT];
};

static void wrapping_clear(struct wrapping *wrapping)
{
    for (size_t i = 0; i < ROOT_WRAPS_COUNT; i++)
        buffer_free(&wrapping->ciphertexts[i]);
}

static kw_status wrapping_add(const struct root_place *place, struct wrapping *wrapping, enum root_recipient recipient,
                              const struct wrap_algorithm *algorithm, const struct wrap_key *to, kw_input content,
                              kw_error *error)
{
    const size_t index = wrapping->wraps.count;
    struct root_wrap *wrap = &wrapping->wraps.wraps[index];
    kw_status status;
    if (index == ROOT_WRAPS_COUNT)
        return error_set(error, KW_FAILED, "a root is wrapped in at most %u ways", ROOT_WRAPS_COUNT);
    status = wrap_make(place->crypto, algorithm, to, content, &wrapping->ciphertexts[index], error);
    if (status != KW_OK)
        return status;
    *wrap = (struct root_wrap){.recipient = recipient,
                               .algorithm = input_text(algorithm->name),
                               .ciphertext = buffer_view(&wrapping->ciphertexts[index])};
    memcpy(wrap->spki, to->spki, sizeof(wrap->spki));
    wrapping->wraps.count++;
    return KW_OK;
}

/* Borrows from the row. */
static void wrapping_keep(struct wrapping *wrapping, const struct root_row *row, const struct wrap_key *key)
{
    const struct wrap_algorithm *made = wrap_choose(kw_key_get_capabilities(key->key));
    struct root_wraps present;
    if (!root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &present))
        return;
    for (size_t i = 0; i < present.count && wrapping->wraps.count + 1 < ROOT_WRAPS_COUNT; i++) {
        const struct root_wrap *wrap = &present.wraps[i];
        if (wrap->recipient == ROOT_TO_MASTER && memcmp(wrap->spki, key->spki, sizeof(wrap->spki)) == 0 &&
            !input_equal(wrap->algorithm, input_text(made->name)))
            wrapping->wraps.wraps[wrapping->wraps.count++] = *wrap;
    }
}

static kw_status wrap_for_recovery(const struct root_place *place, struct wrapping *wrapping, kw_input content,
                                   kw_error *error)
{
    struct wrap_key recovery = {0};
    kw_status status = recovery_open(place, &recovery, error);
    if (status == KW_OK && recovery.key != NULL)
        status = wrapping_add(place, wrapping, ROOT_TO_RECOVERY,
                              wrap_of_type(kw_key_get_capabilities(recovery.key)->type), &recovery, content, error);
    kw_key_free(recovery.key);
    return status;
}

/* One call to the store. */
static kw_status row_sign(const struct wrap_key *key, struct root_row *row, kw_error *error)
{
    const char *scheme = root_scheme_choose(kw_key_get_capabilities(key->key));
    unsigned char bytes[ROOT_SIGNATURE_MAXIMUM];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    kw_algorithm algorithm;
    struct buffer message = {0}, signature = {0};
    kw_status status = KW_OK;
    memcpy(row->spki, key->spki, sizeof(row->spki));
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
    status = kw_key_sign(key->key, &algorithm, buffer_view(&message), &output, error);
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

kw_status root_row_make(const struct root_place *place, const struct wrap_key *key, kw_input root, bool keep,
                        struct root_row *row, kw_error *error)
{
    const struct wrap_algorithm *algorithm = wrap_choose(kw_key_get_capabilities(key->key));
    struct secret content = {0};
    struct wrapping wrapping = {0};
    struct buffer encoded = {0};
    kw_bytes wraps = {0};
    kw_status status = root_key_check(key, "the master key", error);
    if (status == KW_OK)
        status = root_content_write(&row->master, row->version, root, &content, error);
    if (status == KW_OK)
        status = wrapping_add(place, &wrapping, ROOT_TO_MASTER, algorithm, key, secret_view(&content), error);
    if (status == KW_OK && keep)
        wrapping_keep(&wrapping, row, key);
    if (status == KW_OK)
        status = wrap_for_recovery(place, &wrapping, secret_view(&content), error);
    if (status != KW_OK)
        goto out;
    root_wraps_write(&wrapping.wraps, &encoded);
    if (encoded.failed || buffer_take(&encoded, &wraps) != KW_OK) {
        status = error_memory(error);
        goto out;
    }
    kw_bytes_free(&row->wraps);
    row->wraps = wraps;
    status = row_sign(key, row, error);
out:
    buffer_free(&encoded);
    wrapping_clear(&wrapping);
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

kw_status root_row_check(const struct wrap_key *key, const struct root_row *row, kw_error *error)
{
    kw_algorithm algorithm;
    struct buffer message = {0};
    kw_status status = KW_OK;
    if (!crypto_equal(row->spki, key->spki, sizeof(row->spki)))
        return is_forged(error);
    if (!root_scheme_find(row->scheme, &algorithm))
        return error_set(error, KW_UNSUPPORTED, "this version does not know the signature scheme '%s'", row->scheme);
    root_signed_bytes(row, &message);
    status = message.failed ? error_memory(error)
                            : kw_key_verify(key->key, &algorithm, buffer_view(&message),
                                            (kw_input){row->signature.data, row->signature.length}, error);
    buffer_free(&message);
    return status == KW_SIGNATURE_INVALID || status == KW_UNSUPPORTED ? is_forged(error) : status;
}

static bool is_for(const struct root_wrap *wrap, enum root_recipient recipient, const unsigned char spki[SHA256_LENGTH])
{
    return wrap->recipient == recipient && memcmp(wrap->spki, spki, sizeof(wrap->spki)) == 0;
}

/* The first of those to the key that it can undo; NULL. `met`: whether there are any to it. */
static const struct root_wrap *find_wrap(const struct wrap_key *key, const struct root_wraps *wraps, bool *met)
{
    const kw_key_capabilities *capabilities = kw_key_get_capabilities(key->key);
    *met = false;
    for (size_t i = 0; i < wraps->count; i++) {
        const struct wrap_algorithm *algorithm = wrap_find(wraps->wraps[i].algorithm);
        if (!is_for(&wraps->wraps[i], ROOT_TO_MASTER, key->spki))
            continue;
        *met = true;
        if (algorithm != NULL && wrap_can_undo(algorithm, capabilities))
            return &wraps->wraps[i];
    }
    return NULL;
}

static kw_status cannot_undo(const struct wrap_key *key, bool met, kw_error *error)
{
    kw_status status;
    if (!met)
        return error_set(error, KW_CORRUPT, "it is not wrapped to the master key");
    status = error_set(error, KW_UNSUPPORTED, "store '%s' cannot undo the way in which it is wrapped",
                       store_name(key_store(key->key)));
    error_remedy(error, "move the key back to the store that it came from with `keywright transfer`");
    return status;
}

static kw_status malformed(kw_error *error)
{
    return error_set(error, KW_CORRUPT, "its wraps are malformed");
}

bool root_row_can_unwrap(const struct wrap_key *key, const struct root_row *row)
{
    struct root_wraps wraps;
    bool met = false;
    return root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &wraps) &&
           find_wrap(key, &wraps, &met) != NULL;
}

kw_status root_row_unwrap(const struct root_place *place, const struct wrap_key *key, const struct root_row *row,
                          struct secret *root, kw_error *error)
{
    struct root_wraps wraps;
    struct secret content = {0};
    const struct root_wrap *wrap = NULL;
    bool met = false;
    kw_status status = KW_OK;
    if (!root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &wraps))
        return malformed(error);
    wrap = find_wrap(key, &wraps, &met);
    if (wrap == NULL)
        return cannot_undo(key, met, error);
    status = wrap_undo(place->crypto, wrap_find(wrap->algorithm), key, wrap->ciphertext, &content, error);
    if (status == KW_CIPHERTEXT_INVALID)
        status = error_set(error, KW_CORRUPT, "what is wrapped cannot be opened by the master key");
    if (status == KW_OK)
        status = root_content_read(&row->master, row->version, secret_view(&content), root, error);
    secret_clear(&content);
    return status;
}

/* To which one it is wrapped instead, so that whoever has several keys finds it. */
static kw_status refuse_recovery(const struct root_wraps *wraps, kw_error *error)
{
    char text[2 * SHA256_LENGTH + 1] = "";
    kw_status status = KW_REFUSED;
    for (size_t i = 0; text[0] == '\0' && i < wraps->count; i++)
        if (wraps->wraps[i].recipient == ROOT_TO_RECOVERY)
            hex_encode((kw_input){wraps->wraps[i].spki, SHA256_LENGTH}, text);
    if (text[0] == '\0')
        return error_set(error, status, "it is not wrapped to the certificate of this recovery key, nor to any other");
    status = error_set(error, status,
                       "it is not wrapped to the certificate of this recovery key, but to the one whose public key has "
                       "the SHA-256 %s",
                       text);
    error_remedy(error, "`openssl pkey -in FILE -pubout -outform DER | openssl sha256` tells it of a private key: take "
                        "the one that has it");
    return status;
}

kw_status root_row_recover(const struct root_place *place, const struct recovery_key *recovery,
                           const struct root_row *row, struct secret *root, kw_error *error)
{
    struct root_wraps wraps;
    struct secret content = {0};
    const struct root_wrap *wrap = NULL;
    const struct wrap_algorithm *algorithm = NULL;
    kw_status status = KW_OK;
    if (!root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &wraps))
        return malformed(error);
    for (size_t i = 0; wrap == NULL && i < wraps.count; i++) {
        algorithm = wrap_find(wraps.wraps[i].algorithm);
        if (algorithm != NULL && is_for(&wraps.wraps[i], ROOT_TO_RECOVERY, recovery->spki))
            wrap = &wraps.wraps[i];
    }
    if (wrap == NULL)
        return refuse_recovery(&wraps, error);
    status = wrap_undo_private(place->crypto, algorithm, recovery->private, recovery->spki, wrap->ciphertext, &content,
                               error);
    if (status == KW_CIPHERTEXT_INVALID)
        status = error_set(error, KW_CORRUPT, "what is wrapped cannot be opened by the recovery key");
    if (status == KW_OK)
        status = root_content_read(&row->master, row->version, secret_view(&content), root, error);
    secret_clear(&content);
    return status;
}

bool root_row_is_recoverable(const struct root_row *row, const unsigned char spki[SHA256_LENGTH])
{
    struct root_wraps wraps;
    bool met = false;
    if (root_wraps_read((kw_input){row->wraps.data, row->wraps.length}, &wraps))
        for (size_t i = 0; i < wraps.count; i++)
            met = met || is_for(&wraps.wraps[i], ROOT_TO_RECOVERY, spki);
    return met;
}
