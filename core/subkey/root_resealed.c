/* What a server's re-seal has come to. */
#include "subkey/root_private.h"

/* The highest is noted: a walk that began before another one may end behind it. */
static kw_status note_all(const struct root_place *place, struct root_rows *rows, uint32_t version, kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < rows->count; i++) {
        struct root_row *const row = &rows->rows[i];
        if (row->version >= version || row->resealed >= version)
            continue;
        row->resealed = version;
        status = catalogue_root_update(place->catalogue, row, error);
    }
    return status;
}

kw_status root_note_resealed(const struct root_place *place, const struct id *master, uint32_t version, kw_error *error)
{
    struct root_rows rows = {0};
    kw_status status = catalogue_begin(place->catalogue, error);
    if (status != KW_OK)
        return status;
    status = root_rows_look(place, master, &rows, error);
    if (status == KW_OK)
        status = note_all(place, &rows, version, error);
    root_rows_clear(&rows);
    if (status == KW_OK)
        status = catalogue_commit(place->catalogue, error);
    else
        catalogue_rollback(place->catalogue);
    if (status == KW_OK)
        root_rows_note(place, master);
    return status;
}
