/* Subkeys by the address of their master key. */
#include "certificate/calls.h"

#include "base/buffer.h"
#include "base/options.h"

#define DERIVED_MAXIMUM 64u

/* An entry, not one of its certificates: what is sealed belongs to the master key, whatever certificate it has. */
kw_status manager_find_master(kw_context *context, const char *address, struct found *found, kw_error *error)
{
    struct found made = {0};
    kw_status status = manager_find(context, address, &made, error);
    if (status == KW_OK && !made.kind->serves_databases) {
        status = error_set(error, KW_REFUSED, "%s is no master key, and has no subkeys", made.address.text);
        error_remedy(error, "`keywright list` shows the master keys: master-key/DOMAIN");
    } else if (status == KW_OK && made.address.number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT,
                           "subkeys are of a master key, not of one of its certificates: leave out @%u",
                           made.address.number);
    if (status == KW_OK) {
        *found = made;
        made = (struct found){0};
    }
    found_clear(&made);
    return status;
}

/* What subkeys are of. From memory where that is known and holds, or cannot be read any more; then `address` is as it was given. */
struct subkey_master {
    struct id id;
    const char *address;
    struct found found;
};

static kw_status find_master(kw_context *context, const char *address, struct subkey_master *master, kw_error *error)
{
    kw_error why = {0};
    *master = (struct subkey_master){.address = address};
    if (keyring_knows(context->keyring, address, &master->id))
        return KW_OK;
    const kw_status status = manager_find_master(context, address, &master->found, &why);
    if (status == KW_OK) {
        master->id = master->found.entry.id;
        master->address = master->found.address.text;
        keyring_name(context->keyring, &master->id, master->address);
    } else if (keyring_is_behind(context->keyring, address, status, &master->id)) {
        return KW_OK;
    } else if (error != NULL) {
        *error = why;
    }
    return status;
}

kw_status manager_subkey_get(kw_context *context, const struct handle_name *name, kw_subkey **subkey, kw_error *error)
{
    struct subkey_master master;
    kw_status status = find_master(context, name->address, &master, error);
    if (status == KW_OK) {
        const struct handle_name known = {master.address, name->purpose, name->context};
        status = keyring_open(context->keyring, &known, &master.id, subkey, error);
    }
    found_clear(&master.found);
    return status;
}

/* The version asked for, as long as it is not retired; else the active one. */
static kw_status choose_version(kw_context *context, const struct id *master, unsigned asked, uint32_t *version,
                                kw_error *error)
{
    if (asked == 0)
        return keyring_active(context->keyring, master, version, error);
    *version = asked;
    if (keyring_has_active(context->keyring, master, asked))
        return KW_OK;
    return keyring_check(context->keyring, master, asked, error);
}

kw_status manager_subkey_derive(kw_context *context, const kw_derivation *given, unsigned *version_used,
                                kw_output *bytes, kw_error *error)
{
    kw_derivation wanted;
    struct subkey_master master = {0};
    uint32_t version = 0;
    kw_status status = options_take(&wanted, sizeof(wanted), given, error);
    if (status == KW_OK && (bytes->data == NULL || bytes->capacity == 0 || bytes->capacity > DERIVED_MAXIMUM))
        status = error_set(error, KW_INVALID_ARGUMENT, "1 to %u bytes are derived, not %zu", DERIVED_MAXIMUM,
                           bytes->data == NULL ? 0 : bytes->capacity);
    if (status == KW_OK && (wanted.address == NULL || wanted.purpose == NULL))
        status = error_set(error, KW_INVALID_ARGUMENT, "a derivation has an address and a purpose");
    if (status == KW_OK)
        status = find_master(context, wanted.address, &master, error);
    if (status == KW_OK)
        status = choose_version(context, &master.id, wanted.version, &version, error);
    if (status == KW_OK) {
        const struct subkey_name name = {
            .class = SUBKEY_RAW,
            .master = master.id,
            .version = version,
            .purpose = input_text(wanted.purpose),
            .context = wanted.context,
        };
        status = keyring_subkey(context->keyring, &name, bytes->data, bytes->capacity, error);
    }
    if (status == KW_OK) {
        bytes->length = bytes->capacity;
        if (version_used != NULL)
            *version_used = version;
    }
    found_clear(&master.found);
    return status;
}
