/* Subkeys by the address of their master key. */
#include "certificate/calls.h"

#include "base/options.h"

/* An entry, not one of its certificates: what is sealed belongs to the master key, whatever certificate it has. */
static kw_status find_master(kw_context *context, const char *address, struct found *found, kw_error *error)
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

kw_status manager_subkey_get(kw_context *context, const struct handle_name *name, kw_subkey **subkey, kw_error *error)
{
    struct found found = {0};
    kw_status status = find_master(context, name->address, &found, error);
    if (status == KW_OK) {
        const struct handle_name known = {found.address.text, name->purpose, name->context};
        status = keyring_open(context->keyring, &known, &found.entry.id, subkey, error);
    }
    found_clear(&found);
    return status;
}
