/* Pins: what stands on one version of a root. */
#include "subkey/root_retire.h"

#include "base/buffer.h"
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

/* Secrets of stores. How many there are is not known before: room is made for each. */
static kw_status add_secrets(const struct root_place *place, const struct id *master, struct root_pin **pins,
                             size_t *count, kw_error *error)
{
    char name[SECRET_PIN_NAME_SIZE] = "";
    struct secret_pin pin;
    kw_status status = KW_OK;
    while ((status = secret_pins_next(place->catalogue, name, &pin, error)) == KW_OK) {
        const struct store_settings *store = settings_store_by_id(place->settings, pin.store_id);
        struct root_pin *grown = NULL;
        if (!id_equal(&pin.master, master))
            continue;
        grown = calloc(*count + 1, sizeof(*grown));
        if (grown == NULL)
            return error_memory(error);
        memcpy(grown, *pins, *count * sizeof(*grown));
        free(*pins);
        *pins = grown;
        grown[*count].version = pin.version;
        grown[*count].what =
            text_format("the %s of store '%s'", pin.option, store != NULL ? store->name : pin.store_id);
        if (grown[(*count)++].what == NULL)
            return error_memory(error);
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
