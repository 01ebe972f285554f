/* Pins: what stands on one version of a root. */
#include "subkey/root_retire.h"

#include "base/buffer.h"
#include "config/source.h"
#include "subkey/derived.h"
#include "subkey/secret.h"

#include <stdlib.h>
#include <string.h>

void root_pins_free(struct root_pin *pins, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(pins[i].what);
    free(pins);
}

static const char *address_of(const struct catalogue_snapshot *snapshot, const struct id *entry)
{
    for (size_t i = 0; i < snapshot->entry_count; i++)
        if (id_equal(&snapshot->entries[i].id, entry))
            return snapshot->entries[i].address;
    return "?";
}

/* Keys of certificates in the store `derived`: their locators say whence. */
static kw_status add_certificates(const struct catalogue_snapshot *snapshot, const struct id *master,
                                  struct root_pin *pins, size_t *count, kw_error *error)
{
    for (size_t i = 0; i < snapshot->certificate_count; i++) {
        const struct certificate_row *row = &snapshot->certificates[i];
        struct derived_locator locator;
        if (strcmp(row->store_id, DERIVED_STORE) != 0 ||
            derived_locator_read((kw_input){row->locator, row->locator_length}, &locator, NULL) != KW_OK ||
            !id_equal(&locator.master, master))
            continue;
        pins[*count].version = locator.version;
        pins[*count].what = text_format("%s@%u", address_of(snapshot, &row->entry), row->number);
        if (pins[(*count)++].what == NULL)
            return error_memory(error);
    }
    return KW_OK;
}

/* How many there are is not known before: room is made for each. `what` is taken. */
static kw_status add_pin(struct root_pin **pins, size_t *count, uint32_t version, char *what, kw_error *error)
{
    struct root_pin *grown = what != NULL ? calloc(*count + 1, sizeof(*grown)) : NULL;
    if (grown == NULL) {
        free(what);
        return error_memory(error);
    }
    if (*count > 0)
        memcpy(grown, *pins, *count * sizeof(*grown));
    free(*pins);
    *pins = grown;
    grown[(*count)++] = (struct root_pin){.what = what, .version = version};
    return KW_OK;
}

/*
 * A row that somebody has deleted pins nothing, and what it was about is lost with the version: a store that has its secret from this master key by the
 * configuration, that exists, and of which no row says whence, holds every version.
 */
static kw_status add_unknown(const struct root_place *place, const char *master, struct root_pin **pins, size_t *count,
                             kw_error *error)
{
    const struct settings *const settings = place->settings;
    kw_status status = KW_OK;
    for (size_t i = 0; i < settings->store_count; i++) {
        const struct store_settings *const store = &settings->stores[i];
        for (size_t j = 0; status == KW_OK && j < store->option_count; j++) {
            const struct option_setting *const option = &store->options[j];
            const char *const source = source_subkey(option->text);
            bool unknown = false;
            if (source == NULL || strcmp(source, master) != 0)
                continue;
            status = secret_is_unknown(place->catalogue, store->id, option->name, &unknown, error);
            if (status == KW_OK && unknown)
                status = add_pin(
                    pins, count, 0,
                    text_format("the %s of store '%s' (which of them is not known)", option->name, store->name), error);
        }
    }
    return status;
}

/* Secrets of stores. */
static kw_status add_secrets(const struct root_place *place, const struct id *master, struct root_pin **pins,
                             size_t *count, kw_error *error)
{
    char name[SECRET_PIN_NAME_SIZE] = "";
    struct secret_pin pin;
    kw_status status = KW_OK;
    while ((status = secret_pins_next(place->catalogue, name, &pin, error)) == KW_OK) {
        const struct store_settings *store = settings_store_by_id(place->settings, pin.store_id);
        if (!id_equal(&pin.master, master))
            continue;
        status =
            add_pin(pins, count, pin.version,
                    text_format("the %s of store '%s'", pin.option, store != NULL ? store->name : pin.store_id), error);
        if (status != KW_OK)
            return status;
    }
    return error_tolerate(status, KW_NOT_FOUND, error);
}

kw_status root_pins_read(const struct root_place *place, const struct id *master, struct root_pin **pins, size_t *count,
                         kw_error *error)
{
    struct catalogue_snapshot snapshot = {0};
    struct root_pin *found = NULL;
    size_t found_count = 0;
    kw_status status = catalogue_snapshot_read(place->catalogue, NULL, NULL, &snapshot, error);
    if (status == KW_OK) {
        found = calloc(snapshot.certificate_count + 1, sizeof(*found));
        status = found != NULL ? add_certificates(&snapshot, master, found, &found_count, error) : error_memory(error);
    }
    if (status == KW_OK)
        status = add_secrets(place, master, &found, &found_count, error);
    if (status == KW_OK)
        status = add_unknown(place, address_of(&snapshot, master), &found, &found_count, error);
    if (status == KW_OK) {
        *pins = found;
        *count = found_count;
        found = NULL;
        found_count = 0;
    }
    root_pins_free(found, found_count);
    catalogue_snapshot_clear(&snapshot);
    return status;
}
