/* Roots in a file beside their master key: as its own server wrapped and signed them, so that nothing but that key opens them. */
#include "subkey/root_private.h"

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAXIMUM 10000u

/* ---- Out ------------------------------------------------------------------------------------------------ */

static void row_write(const struct root_row *row, struct buffer *to)
{
    buffer_append_u32(to, row->version);
    buffer_append_u8(to, (uint8_t)row->state);
    buffer_append(to, row->spki, sizeof(row->spki));
    buffer_append_field(to, (kw_input){row->wraps.data, row->wraps.length});
    buffer_append_field(to, input_text(row->scheme));
    buffer_append_field(to, (kw_input){row->signature.data, row->signature.length});
    buffer_append_u32(to, row->resealed);
    buffer_append_u64(to, (uint64_t)row->created);
}

kw_status root_records_write(const struct root_place *place, const struct id *master, kw_bytes *records,
                             kw_error *error)
{
    struct root_rows rows = {0};
    struct buffer encoded = {0};
    kw_status status = root_rows_read(place, master, &rows, error);
    if (status == KW_OK && rows.count > 0) {
        buffer_append_u32(&encoded, (uint32_t)rows.count);
        for (size_t i = 0; i < rows.count; i++)
            row_write(&rows.rows[i], &encoded);
        if (encoded.failed || buffer_take(&encoded, records) != KW_OK)
            status = error_memory(error);
    }
    buffer_free(&encoded);
    root_rows_clear(&rows);
    return status;
}

/* ---- In -------------------------------------------------------------------------------------------------- */

static bool take_bytes(kw_input from, kw_bytes *to)
{
    struct buffer copy = {0};
    buffer_append(&copy, from.data, from.length);
    return buffer_take(&copy, to) == KW_OK;
}

static bool row_read(kw_input *from, struct root_row *row)
{
    uint8_t state = 0;
    uint64_t created = 0;
    kw_input spki = {0}, wraps = {0}, scheme = {0}, signature = {0};
    if (!input_u32(from, &row->version) || !input_u8(from, &state) || !input_bytes(from, sizeof(row->spki), &spki) ||
        !input_field(from, &wraps) || !input_field(from, &scheme) || !input_field(from, &signature) ||
        !input_u32(from, &row->resealed) || !input_u64(from, &created))
        return false;
    if (state < ROOT_ACTIVE || state > ROOT_RETIRED || wraps.length > ROOT_WRAPS_MAXIMUM ||
        signature.length > ROOT_SIGNATURE_MAXIMUM || row->resealed > ROOT_VERSION_MAXIMUM ||
        !text_is_clean((const char *)scheme.data, scheme.length))
        return false;
    row->state = (enum root_state)state;
    row->created = (int64_t)created;
    memcpy(row->spki, spki.data, sizeof(row->spki));
    row->scheme = text_format("%.*s", (int)scheme.length, (const char *)scheme.data);
    return row->scheme != NULL && take_bytes(wraps, &row->wraps) && take_bytes(signature, &row->signature);
}

/* Versions without gaps, and at most one, the last, that is active. */
static kw_status rows_parse(const struct root_place *place, const struct id *master, kw_input from,
                            struct root_rows *rows, kw_error *error)
{
    uint32_t count = 0;
    bool good = input_u32(&from, &count) && count >= 1 && count <= ROWS_MAXIMUM;
    kw_status status = KW_OK;
    rows->rows = good ? calloc(count, sizeof(*rows->rows)) : NULL;
    if (good && rows->rows == NULL)
        return error_memory(error);
    while (good && rows->count < count) {
        struct root_row *row = &rows->rows[rows->count++];
        good =
            row_read(&from, row) && row->version == rows->count && (row->state != ROOT_ACTIVE || rows->count == count);
        row->master = *master;
        if (good)
            status = id_make(place->crypto, &row->id, error);
        if (status != KW_OK)
            return status;
    }
    return good && from.length == 0 ? KW_OK
                                    : error_set(error, KW_CORRUPT, "the root secrets in the file are malformed");
}

kw_status root_set_read(const struct root_place *place, const struct id *master, const char *address, kw_input records,
                        kw_key *key, kw_input chain, struct root_set **set, kw_error *error)
{
    struct wrap_key wrap = {0};
    struct root_set *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? root_set_key(place, key, chain, &wrap, error) : error_memory(error);
    if (status == KW_OK)
        status = rows_parse(place, master, records, &made->rows, error);
    if (status == KW_OK) {
        made->entry = (struct entry_row){.id = *master, .address = text_copy(address)};
        made->roots = calloc(made->rows.count + 1, sizeof(*made->roots));
        made->changed = calloc(made->rows.count + 1, sizeof(*made->changed));
        if (made->entry.address == NULL || made->roots == NULL || made->changed == NULL)
            status = error_memory(error);
    }
    if (status == KW_OK)
        status = root_set_unwrap(place, made, &wrap, NULL, error);
    if (status == KW_OK) {
        *set = made;
        made = NULL;
    }
    root_set_free(made);
    return status;
}

/* What was retired or sealed anew on another server says nothing of the data here. */
static void row_settle(struct root_row *row, const struct root_row *here, bool newest)
{
    row->id = here->id;
    row->generation = here->generation;
    row->state = here->state == ROOT_ACTIVE && !newest ? ROOT_DECRYPT_ONLY : here->state;
    row->resealed = here->resealed;
    row->created = here->created;
}

/* Rows that are here and not in the file stay out of what is written: the set is made as long as they are. */
static kw_status append_rest(struct root_set *set, const struct root_set *here, kw_error *error)
{
    const size_t count = here->rows.count;
    struct root_row *rows = calloc(count + 1, sizeof(*rows));
    struct secret *roots = calloc(count + 1, sizeof(*roots));
    bool *changed = calloc(count + 1, sizeof(*changed));
    if (rows == NULL || roots == NULL || changed == NULL) {
        free(rows);
        free(roots);
        free(changed);
        return error_memory(error);
    }
    memcpy(rows, set->rows.rows, set->rows.count * sizeof(*rows));
    memcpy(roots, set->roots, set->rows.count * sizeof(*roots));
    memcpy(changed, set->changed, set->rows.count * sizeof(*changed));
    for (size_t i = set->rows.count; i < count; i++)
        rows[i].generation = here->rows.rows[i].generation; /* all that the check in root_set_write looks at */
    free(set->rows.rows);
    free(set->roots);
    free(set->changed);
    set->rows = (struct root_rows){rows, count};
    set->roots = roots;
    set->changed = changed;
    return KW_OK;
}

kw_status root_set_join(struct root_set *set, const struct root_set *here, kw_error *error)
{
    const size_t file = set->rows.count;
    for (size_t i = 0; i < file && i < here->rows.count; i++) {
        struct root_row *row = &set->rows.rows[i];
        const struct root_row *present = &here->rows.rows[i];
        if (row->state != ROOT_RETIRED && present->state != ROOT_RETIRED &&
            !crypto_equal(set->roots[i].data, here->roots[i].data, ROOT_LENGTH)) {
            kw_status status = error_set(error, KW_EXISTS, "%s has another root %u here than in the file",
                                         set->entry.address, (unsigned)row->version);
            error_remedy(error, "what was sealed on one of the two servers since they went apart opens there alone: "
                                "seal it anew there under a root that both have, before the master key is moved");
            return status;
        }
        row_settle(row, present, row->version >= file);
        set->changed[i] = row->state != present->state;
    }
    return here->rows.count > file ? append_rest(set, here, error) : KW_OK;
}
