/* Stores that the catalogue has met. */
#include <string.h>

#include "base/clock.h"
#include "catalogue/handle.h"

enum { COLUMN_PLUGIN = 1 };

/* `known` tells whether the store is there; KW_REFUSED when it is with another plugin. */
static kw_status look(struct catalogue *catalogue, struct sqlite *sqlite, const char *store_id, const char *plugin,
                      bool *known, kw_error *error)
{
    struct row row = {.table = &table_store};
    struct sqlite3_stmt *query = NULL;
    const struct value key = value_text(store_id);
    kw_status status = catalogue_row_get(sqlite, STATEMENT_STORE_GET, &key, 1, &row, &query, known, error);
    if (status == KW_OK && *known)
        status = catalogue_row_verify(catalogue, sqlite, &row, error);
    if (status == KW_OK && *known && !input_equal(row.values[COLUMN_PLUGIN].bytes, input_text(plugin))) {
        kw_input stored = row.values[COLUMN_PLUGIN].bytes;
        status = error_set(error, KW_REFUSED, "the store with the id %s is one of plugin %.*s, not of %s", store_id,
                           (int)stored.length, (const char *)stored.data, plugin);
        error_remedy(error, "give a new store an `id` of its own");
    }
    sqlite_done(query);
    return status;
}

static kw_status insert(struct catalogue *catalogue, struct sqlite *sqlite, const char *store_id, const char *plugin,
                        kw_error *error)
{
    struct row row = {.table = &table_store};
    row_add_text(&row, store_id);
    row_add_text(&row, plugin);
    row_add_integer(&row, clock_wall());
    kw_status status = row_seal(&row, catalogue->crypto, secret_view(&catalogue->row_key), 1, error);
    if (status == KW_OK)
        status = sqlite_run(sqlite, STATEMENT_STORE_INSERT, row.values, row.count, NULL, error);
    return status;
}

/* A store that is known costs no write. */
kw_status catalogue_store_register(struct catalogue *catalogue, const char *store_id, const char *plugin,
                                   kw_error *error)
{
    struct sqlite *sqlite;
    bool known = false;
    if (store_id == NULL || store_id[0] == '\0' || plugin == NULL || plugin[0] == '\0')
        return error_set(error, KW_INVALID_ARGUMENT, "a store needs an id and a plugin");
    kw_status status = catalogue_enter(catalogue, ACCESS_READ, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = look(catalogue, sqlite, store_id, plugin, &known, error);
    status = catalogue_leave(catalogue, ACCESS_READ, status, error);
    if (status != KW_OK || known)
        return status;
    status = catalogue_enter(catalogue, ACCESS_WRITE, &sqlite, error);
    if (status != KW_OK)
        return status;
    status = look(catalogue, sqlite, store_id, plugin, &known, error);
    if (status == KW_OK && !known)
        status = insert(catalogue, sqlite, store_id, plugin, error);
    return catalogue_leave(catalogue, ACCESS_WRITE, status, error);
}
