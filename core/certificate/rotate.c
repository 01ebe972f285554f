/* Rotation: a new key pair and certificate for an entry, beside which the old ones stay. */
#include "certificate/calls.h"
#include "certificate/derivation.h"

#include "base/options.h"

#include <stdlib.h>
#include <string.h>

/* A CA's certificate is for one key; only the CA makes one for another. */
static kw_status refuse_authority(const kw_certificate_info *info, kw_error *error)
{
    kw_status status =
        error_set(error, KW_REFUSED, "the certificate of %s is of a CA, and a new key needs a new one of the CA's",
                  info->address);
    error_remedy(error, "have the CA issue one for a new key, and `keywright import FILE --as %s`", info->address);
    return status;
}

static kw_status check_may_rotate(const struct found *found, const kw_certificate_info *info, kw_error *error)
{
    kw_status status = KW_OK;
    if (found->address.number != 0)
        return error_set(error, KW_INVALID_ARGUMENT, "an entry gets a new key as a whole: leave out @%u",
                         found->address.number);
    if (found->entry.state != ENTRY_IN_USE) {
        status = error_set(error, KW_REFUSED, "%s is retired", found->address.text);
        error_remedy(error, "`keywright create %s` takes it into use again, with a new key", found->address.text);
        return status;
    }
    return info->self_signed ? KW_OK : refuse_authority(info, error);
}

/* The hosts that the certificate names, each once: an address stands in it as a name too. NULL: out of memory. */
static const char **hosts_of(const kw_certificate_info *info, size_t *count)
{
    const char **hosts = calloc(info->san_count + 1, sizeof(*hosts));
    *count = 0;
    for (size_t i = 0; hosts != NULL && i < info->san_count; i++) {
        const char *colon = strchr(info->san[i], ':');
        bool known = colon == NULL;
        for (size_t j = 0; !known && j < *count; j++)
            known = strcmp(hosts[j], colon + 1) == 0;
        if (!known)
            hosts[(*count)++] = colon + 1;
    }
    return hosts;
}

/* As the present certificate, but where the configuration says otherwise. */
static kw_status make_successor(kw_context *context, const struct found *found, const kw_certificate_info *info,
                                const char *store, kw_error *error)
{
    const struct certificate_settings settings = settings_certificate(context->settings, found->address.text);
    const bool general = found->kind->usage == USAGE_GENERAL;
    const bool derived = store == NULL && info->derived_from != NULL;
    size_t host_count = 0;
    const char **hosts = hosts_of(info, &host_count);
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = found->address.text,
        .databases = found->kind->serves_databases ? info->databases : NULL,
        .database_count = found->kind->serves_databases ? info->database_count : 0,
        .key = settings.key != NULL ? settings.key : info->key,
        .store = store,
        .derived = derived, /* again, from the present version of the same root */
        .master_key = derived ? info->derived_from : NULL,
        .hosts = found->kind->has_san && settings.host_count == 0 ? hosts : NULL,
        .host_count = found->kind->has_san && settings.host_count == 0 ? host_count : 0,
        .subject = general ? info->subject : NULL,
        .extended_key_usages = general ? info->extended_key_usage : NULL,
        .extended_key_usage_count = general ? info->extended_key_usage_count : 0,
    };
    const struct making making = {.wanted = &wanted, .replaces = &found->certificate.id};
    kw_status status = hosts != NULL ? certificate_make(context, &making, error) : error_memory(error);
    free(hosts);
    return status;
}

kw_status manager_rotate(kw_context *context, const kw_rotate_options *given, kw_event_callback event, void *user,
                         kw_error *error)
{
    kw_rotate_options options;
    struct found found = {0};
    kw_certificate_list *list = NULL;
    kw_certificate_filter filter = {.size = sizeof(filter)};
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status != KW_OK)
        return status;
    if (options.address == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "no certificate is named");
    if (!options.new_key) {
        status = error_set(error, KW_UNSUPPORTED, "this version has no root secrets that could be rotated");
        error_remedy(error, "`keywright rotate %s --new-key` makes a new key pair and certificate", options.address);
        return status;
    }
    status = manager_find(context, options.address, &found, error);
    if (status != KW_OK)
        return status;
    filter.address = options.address;
    status = manager_certificates(context, &filter, &list, error);
    if (status == KW_OK && list->count == 0)
        status = error_set(error, KW_CORRUPT, "the certificate of %s cannot be read", options.address);
    if (status == KW_OK)
        status = check_may_rotate(&found, &list->certificates[0], error);
    if (status == KW_OK)
        status = make_successor(context, &found, &list->certificates[0], options.store, error);
    if (status == KW_OK)
        event_tell(event, user, false, found.address.text,
                   "has a new key and certificate; those before stay as %s@%u, for old data", found.address.text,
                   found.certificate.number);
    kw_certificate_list_free(list);
    found_clear(&found);
    return status;
}
