#include "subkey/secret.h"

#include "base/buffer.h"
#include "catalogue/address.h"

#include <stdio.h>
#include <string.h>

#define SECRET_BYTES     32
#define FORMAT           1
#define PIN_LENGTH       22u
#define ATTEMPTS_MAXIMUM 3
#define PREFIX           "secret/"
#define NEXT             "/next"

/* ---- Pins ---- */

/* `confirmed`: a store opened with it. One that is not goes, when the store refuses it. */
struct pin {
    struct id master;
    uint32_t version;
    bool confirmed;
};

/* "secret/STORE/OPTION", and the same with "/next" while the secret is being changed. */
static kw_input pin_name(const struct secret_place *place, bool next, char name[SECRET_PIN_NAME_SIZE])
{
    snprintf(name, SECRET_PIN_NAME_SIZE, PREFIX "%s/%s%s", place->store_id, place->option, next ? NEXT : "");
    return input_text(name);
}

static void pin_encode(const struct pin *pin, struct buffer *value)
{
    buffer_append_u8(value, FORMAT);
    buffer_append_u8(value, pin->confirmed ? 1 : 0);
    buffer_append(value, pin->master.bytes, sizeof(pin->master.bytes));
    buffer_append_u32(value, pin->version);
}

static kw_status pin_decode(kw_input value, struct pin *pin, kw_error *error)
{
    uint8_t format = 0, confirmed = 0;
    kw_input master = {0};
    struct pin read = {0};

    if (!input_u8(&value, &format) || format != FORMAT || !input_u8(&value, &confirmed) ||
        !input_bytes(&value, sizeof(read.master.bytes), &master) || !input_u32(&value, &read.version) ||
        value.length > 0 || confirmed > 1)
        return error_set(error, KW_CORRUPT, "the catalogue does not tell of which root a store's secret is");
    memcpy(read.master.bytes, master.data, master.length);
    read.confirmed = confirmed == 1;
    *pin = read;
    return KW_OK;
}

static kw_status pin_read_named(struct catalogue *catalogue, kw_input name, struct pin *pin, kw_error *error)
{
    unsigned char bytes[PIN_LENGTH + 1];
    kw_output value = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = catalogue_record_get(catalogue, DERIVED_STORE, name, &value, error);

    if (status == KW_BUFFER_TOO_SMALL)
        return pin_decode((kw_input){0}, pin, error);
    return status == KW_OK ? pin_decode((kw_input){bytes, value.length}, pin, error) : status;
}

static kw_status pin_read(const struct secret_keeper *keeper, const struct secret_place *place, bool next,
                          struct pin *pin, kw_error *error)
{
    char name[SECRET_PIN_NAME_SIZE];

    return pin_read_named(keeper->catalogue, pin_name(place, next, name), pin, error);
}

/* `fresh`: only where there is none yet, else KW_CONFLICT. */
static kw_status pin_write(const struct secret_keeper *keeper, const struct secret_place *place, bool next, bool fresh,
                           const struct pin *pin, kw_error *error)
{
    char name[SECRET_PIN_NAME_SIZE];
    struct buffer value = {0};
    kw_status status = catalogue_store_register(keeper->catalogue, DERIVED_STORE, DERIVED_STORE, error);

    pin_encode(pin, &value);
    if (status == KW_OK && value.failed)
        status = error_memory(error);
    if (status == KW_OK && fresh)
        status = catalogue_record_swap(keeper->catalogue, DERIVED_STORE, pin_name(place, next, name), (kw_input){0},
                                       buffer_view(&value), error);
    else if (status == KW_OK)
        status = catalogue_record_put(keeper->catalogue, DERIVED_STORE, pin_name(place, next, name),
                                      buffer_view(&value), error);
    buffer_free(&value);
    return status;
}

/* As pin_write, of a version that is not retired in that instant: it is not retired any more once the pin is there. KW_NOT_FOUND: it is. */
static kw_status pin_write_checked(const struct secret_keeper *keeper, const struct secret_place *place, bool next,
                                   bool fresh, const struct pin *pin, kw_error *error)
{
    kw_status status = catalogue_begin(keeper->catalogue, error);

    if (status != KW_OK)
        return status;
    status = keeper->roots->check(keeper->roots->user, &pin->master, pin->version, error);
    if (status == KW_OK)
        status = pin_write(keeper, place, next, fresh, pin, error);
    if (status == KW_OK)
        status = catalogue_commit(keeper->catalogue, error);
    catalogue_rollback(keeper->catalogue);
    return status;
}

static kw_status pin_delete(const struct secret_keeper *keeper, const struct secret_place *place, bool next,
                            kw_error *error)
{
    char name[SECRET_PIN_NAME_SIZE];
    const kw_status status =
        catalogue_record_delete(keeper->catalogue, DERIVED_STORE, pin_name(place, next, name), error);

    return error_tolerate(status, KW_NOT_FOUND, error);
}

kw_status secret_pins_next(struct catalogue *catalogue, char name[SECRET_PIN_NAME_SIZE], struct secret_pin *pin,
                           kw_error *error)
{
    char next[SECRET_PIN_NAME_SIZE];
    kw_output output = {.data = (unsigned char *)next, .capacity = sizeof(next) - 1};
    struct secret_pin read = {0};
    struct pin found = {0};
    kw_status status =
        catalogue_record_next(catalogue, DERIVED_STORE, input_text(PREFIX), input_text(name), &output, error);

    if (status == KW_BUFFER_TOO_SMALL)
        return pin_decode((kw_input){0}, &found, error);
    if (status != KW_OK)
        return status;
    next[output.length] = '\0';
    status = pin_read_named(catalogue, input_text(next), &found, error);
    if (status == KW_OK && sscanf(next, PREFIX "%63[^/]/%63[^/]", read.store_id, read.option) != 2)
        status = pin_decode((kw_input){0}, &found, error);
    if (status != KW_OK)
        return status;
    read.master = found.master;
    read.version = found.version;
    memcpy(name, next, sizeof(next));
    *pin = read;
    return KW_OK;
}

kw_status secret_is_unknown(struct catalogue *catalogue, const char *store_id, const char *option, bool *unknown,
                            kw_error *error)
{
    const struct secret_place place = {.store_id = store_id, .option = option};
    char name[SECRET_PIN_NAME_SIZE];
    unsigned char record[KW_RECORD_NAME_MAXIMUM];
    kw_output first = {.data = record, .capacity = sizeof(record)};
    struct pin pin = {0};
    kw_status status = pin_read_named(catalogue, pin_name(&place, false, name), &pin, error);

    if (status == KW_NOT_FOUND)
        status = pin_read_named(catalogue, pin_name(&place, true, name), &pin, error);
    *unknown = status == KW_NOT_FOUND;
    if (!*unknown)
        return status;
    status = catalogue_record_next(catalogue, store_id, (kw_input){0}, (kw_input){0}, &first, error);
    *unknown = status == KW_OK;
    return error_tolerate(status, KW_NOT_FOUND, error);
}

/* ---- The master key ---- */

static kw_status fail_configuration(const struct secret_place *place, kw_error *error, const char *what)
{
    return error_set(error, KW_CONFIGURATION, "the %s of store '%s' comes from %s, %s", place->option,
                     place->store_name, place->address, what);
}

static kw_status find_master(const struct secret_keeper *keeper, const struct secret_place *place, struct id *master,
                             kw_error *error)
{
    struct address address = {0};
    struct entry_row entry = {0};
    kw_status status = address_parse(place->address, &address, error);

    if (status == KW_OK && (address.number != 0 || address.part_count != 2))
        return error_set(error, KW_CONFIGURATION, "'%s' names no master key as a whole: write subkey:master-key/DOMAIN",
                         place->address);
    if (status == KW_OK)
        status = catalogue_entry_get(keeper->catalogue, address.text, &entry, error);
    if (status == KW_OK)
        *master = entry.id;
    else if (status == KW_NOT_FOUND) {
        status = fail_configuration(place, error, "which does not exist");
        error_remedy(error, "`keywright create %s --database DB --store STORE` makes it, in another store",
                     place->address);
    }
    entry_row_clear(&entry);
    return status;
}

static kw_status derive(const struct secret_keeper *keeper, const struct secret_place *place, const struct pin *pin,
                        struct secret *value, kw_error *error)
{
    char purpose[SECRET_PIN_NAME_SIZE];
    struct secret bytes = {0}, made = {0};
    struct subkey_name name = {.class = SUBKEY_SECRET, .master = pin->master, .version = pin->version};
    kw_status status = secret_new(&bytes, SECRET_BYTES, error);

    snprintf(purpose, sizeof(purpose), "%s:%s", place->store_id, place->option);
    name.purpose = input_text(purpose);
    bytes.length = SECRET_BYTES;
    if (status == KW_OK)
        status = secret_new(&made, (size_t)2 * SECRET_BYTES + 1, error);
    if (status == KW_OK)
        status = keeper->roots->subkey(keeper->roots->user, &name, bytes.data, SECRET_BYTES, error);
    if (status == KW_OK) {
        hex_encode(secret_view(&bytes), (char *)made.data);
        made.length = (size_t)2 * SECRET_BYTES;
        *value = made;
        made = (struct secret){0};
    }
    secret_clear(&made);
    secret_clear(&bytes);
    return status;
}

/* ---- What stores ask for ---- */

static kw_status refuse_unknown(const struct secret_place *place, kw_error *error)
{
    const kw_status status =
        fail_configuration(place, error, "but the store exists and nothing tells that it was changed to that");

    error_remedy(error,
                 "write what it was before, then `keywright passphrase %s --new subkey:%s`; where that was done, the "
                 "catalogue has lost its record of it: restore it from a backup",
                 place->store_name, place->address);
    return status;
}

/*
 * The present pin; else that of a change which was cut off; else a new one, which others may have made meanwhile. None for a store that is there
 * already: it has another secret, or what was known of it is lost.
 */
static kw_status pin_find(const struct secret_keeper *keeper, const struct secret_place *place, const struct id *master,
                          struct pin *pin, kw_error *error)
{
    bool unknown = false;
    kw_status status = secret_is_unknown(keeper->catalogue, place->store_id, place->option, &unknown, error);

    if (status == KW_OK && unknown)
        return refuse_unknown(place, error);
    if (status == KW_OK)
        status = pin_read(keeper, place, false, pin, error);

    if (status == KW_NOT_FOUND)
        status = pin_read(keeper, place, true, pin, error);
    if (status != KW_NOT_FOUND)
        return status;
    status = error_tolerate(status, KW_NOT_FOUND, error);
    *pin = (struct pin){.master = *master};
    if (status != KW_OK)
        return status;
    status = KW_NOT_FOUND;
    for (unsigned attempt = 0; status == KW_NOT_FOUND && attempt < ATTEMPTS_MAXIMUM; attempt++) {
        status = keeper->roots->active(keeper->roots->user, master, &pin->version, error);
        if (status != KW_OK)
            return status;
        status = pin_write_checked(keeper, place, false, true, pin, error);
    }
    if (status == KW_CONFLICT)
        status = pin_read(keeper, place, false, pin, error);
    return status;
}

kw_status secret_serves(void *user, const struct id *master, kw_error *error)
{
    const struct secret_keeper *const keeper = user;

    return keeper->roots->serves(keeper->roots->user, master, error);
}

kw_status secret_get(void *user, const struct secret_place *place, struct secret *value, struct id *master_used,
                     kw_error *error)
{
    const struct secret_keeper *const keeper = user;
    const struct circle circle = {.settings = place->settings, .catalogue = keeper->catalogue};
    struct id master = {{0}};
    struct pin pin = {0};
    kw_status status = find_master(keeper, place, &master, error);

    if (status == KW_OK)
        status = circle_check(&circle, place->store_id, error);
    if (status == KW_OK)
        status = pin_find(keeper, place, &master, &pin, error);
    if (status == KW_OK && !id_equal(&pin.master, &master)) {
        status = fail_configuration(place, error, "and its present one is of another master key");
        error_remedy(error,
                     "write the master key that it was changed to last; `keywright passphrase %s --new "
                     "subkey:%s` then moves it to this one",
                     place->store_name, place->address);
    }
    if (status == KW_OK)
        status = derive(keeper, place, &pin, value, error);
    if (status == KW_OK)
        *master_used = master;
    return status;
}

static bool tell_failure(const struct secret_keeper *keeper, const struct secret_place *place, kw_status status,
                         const kw_error *error)
{
    if (status != KW_OK)
        log_write(keeper->log, KW_LOG_WARNING, "store %s: of which root its %s is could not be written down: %s",
                  place->store_name, place->option, error->message);
    return status == KW_OK;
}

/* The other one of a change that was cut off takes the place of the one that was refused. */
static kw_status exchange(const struct secret_keeper *keeper, const struct secret_place *place, const struct pin *next,
                          kw_error *error)
{
    struct pin pin = {0}, other = *next;
    kw_status status = pin_read(keeper, place, false, &pin, error);
    const bool present = status == KW_OK;

    other.confirmed = false;
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK && present)
        status = pin_write(keeper, place, true, false, &pin, error);
    else if (status == KW_OK)
        status = pin_delete(keeper, place, true, error);
    if (status == KW_OK)
        status = pin_write(keeper, place, false, false, &other, error);
    return status;
}

bool secret_settled(void *user, const struct secret_place *place, bool accepted)
{
    const struct secret_keeper *const keeper = user;
    struct pin pin = {0}, next = {0};
    kw_error error = {0};
    kw_status status = pin_read(keeper, place, false, &pin, &error);
    bool again = false;

    if (accepted) {
        if (status != KW_OK || pin.confirmed)
            return false;
        pin.confirmed = true;
        status = pin_write(keeper, place, false, false, &pin, &error);
        if (status == KW_OK)
            status = pin_delete(keeper, place, true, &error);
        (void)tell_failure(keeper, place, status, &error);
        return false;
    }
    if (pin_read(keeper, place, true, &next, NULL) == KW_OK) {
        again = status == KW_OK; /* else it was this one that was refused */
        status = exchange(keeper, place, &next, &error);
    } else if (status == KW_OK && !pin.confirmed) {
        status = pin_delete(keeper, place, false, &error);
    } else {
        return false;
    }
    return tell_failure(keeper, place, status, &error) && again;
}

/* ---- Changes ---- */

kw_status secret_prepare(struct secret_keeper *keeper, const struct secret_place *place, struct secret *value,
                         kw_error *error)
{
    const struct circle circle = {.settings = place->settings,
                                  .catalogue = keeper->catalogue,
                                  .secret_store_id = place->store_id,
                                  .secret_option = place->option,
                                  .secret_address = place->address};
    struct pin pin = {0};
    kw_status status = find_master(keeper, place, &pin.master, error);

    if (status == KW_OK)
        status = circle_check(&circle, place->store_id, error);
    if (status == KW_OK)
        status = keeper->roots->active(keeper->roots->user, &pin.master, &pin.version, error);
    if (status == KW_OK)
        status = derive(keeper, place, &pin, value, error);
    if (status != KW_OK)
        return status;
    status = pin_write_checked(keeper, place, true, false, &pin, error);
    if (status != KW_OK)
        secret_clear(value);
    return status;
}

kw_status secret_commit(struct secret_keeper *keeper, const struct secret_place *place, kw_error *error)
{
    struct pin pin = {0};
    kw_status status = pin_read(keeper, place, true, &pin, error);

    pin.confirmed = true;
    if (status == KW_OK)
        status = pin_write(keeper, place, false, false, &pin, error);
    if (status == KW_OK)
        status = pin_delete(keeper, place, true, error);
    return status;
}

void secret_abandon(struct secret_keeper *keeper, const struct secret_place *place)
{
    kw_error error = {0};

    (void)tell_failure(keeper, place, pin_delete(keeper, place, true, &error), &error);
}

kw_status secret_forget(struct secret_keeper *keeper, const struct secret_place *place, kw_error *error)
{
    const kw_status status = pin_delete(keeper, place, true, error);

    return status == KW_OK ? pin_delete(keeper, place, false, error) : status;
}
