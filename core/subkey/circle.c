/* Stores that would have to be open before they can be opened. */
#include "subkey/secret.h"

#include "base/buffer.h"
#include "config/source.h"

#include <stdio.h>
#include <string.h>

/* One store on the way, and whence the way came. */
struct step {
    const struct step *before;
    const struct store_settings *store;
    const char *address; /* of the master key that led here; NULL at the beginning */
};

static void describe(const struct step *step, const struct store_settings *from, struct buffer *text)
{
    if (step->store != from)
        describe(step->before, from, text);
    if (step->address != NULL && step->store != from)
        buffer_format(text, ", opened by %s in store '%s'", step->address, step->store->name);
    else
        buffer_format(text, "store '%s'", step->store->name);
}

static kw_status refuse(const struct step *last, const struct store_settings *store, const char *address,
                        kw_error *error)
{
    struct buffer text = {0};
    kw_status status;

    describe(last, store, &text);
    buffer_append_u8(&text, 0);
    status = text.failed
                 ? error_memory(error)
                 : error_set(error, KW_REFUSED, "a circle: %s, opened by %s, which would be in store '%s' itself",
                             (const char *)text.data, address, store->name);
    error_remedy(
        error,
        "a key that opens stores must lie in one that opens without it: an HSM with a PIN, or a softstore with a "
        "passphrase of its own");
    buffer_free(&text);
    return status;
}

static bool is(const char *left, const char *right)
{
    return left != NULL && right != NULL && strcmp(left, right) == 0;
}

/* Where the key of a master key is; empty where there is none. */
static kw_status place_of(const struct circle *circle, const char *address, char id[64], kw_error *error)
{
    struct entry_row entry = {0};
    struct certificate_row row = {0};
    kw_status status = KW_OK;

    id[0] = '\0';
    if (is(circle->moved_address, address)) {
        snprintf(id, 64, "%s", circle->moved_store_id);
        return KW_OK;
    }
    status = catalogue_entry_get(circle->catalogue, address, &entry, error);
    if (status == KW_OK)
        status = catalogue_certificate_get(circle->catalogue, &entry.certificate, &row, error);
    if (status == KW_OK)
        snprintf(id, 64, "%s", row.store_id);
    certificate_row_clear(&row);
    entry_row_clear(&entry);
    return error_tolerate(status, KW_NOT_FOUND, error);
}

static kw_status walk(const struct circle *circle, const char *store_id, const struct step *before, const char *address,
                      kw_error *error)
{
    struct step step = {
        .before = before, .store = settings_store_by_id(circle->settings, store_id), .address = address};
    kw_status status = KW_OK;

    if (step.store == NULL)
        return KW_OK;
    for (const struct step *at = before; at != NULL; at = at->before)
        if (at->store == step.store)
            return refuse(before, step.store, address, error);
    for (size_t i = 0; status == KW_OK && i < step.store->option_count; i++) {
        const struct option_setting *const option = &step.store->options[i];
        const bool changes = is(circle->secret_store_id, store_id) && is(circle->secret_option, option->name);
        const char *const next = changes ? circle->secret_address : source_subkey(option->text);
        char id[64];
        if (next == NULL)
            continue;
        status = place_of(circle, next, id, error);
        if (status == KW_OK && id[0] != '\0')
            status = walk(circle, id, &step, next, error);
    }
    return status;
}

kw_status circle_check(const struct circle *circle, const char *store_id, kw_error *error)
{
    return walk(circle, store_id, NULL, NULL, error);
}
