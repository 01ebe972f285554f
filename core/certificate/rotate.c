/* Rotation: a new key pair and certificate for an entry, beside which the old ones stay; or a master key's new root. */
#include "certificate/calls.h"
#include "certificate/derivation.h"
#include "certificate/roots.h"

#include "base/options.h"
#include "certificate/der.h"

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

/*
 * Whether the new key would silently leave a store that gives out no keys for one that does: the configuration says where it goes, and may never
 * have been told of the store that the key was made in by --store.
 */
static kw_status check_keeps_guarded(kw_context *context, const struct found *found, const kw_certificate_info *info,
                                     const kw_rotate_options *options, kw_error *error)
{
    const char *name = NULL;
    struct store *former = NULL, *chosen = NULL;
    if (options->store != NULL || info->derived_from != NULL)
        return KW_OK;
    const bool serves = found->kind->serves_databases;
    kw_status status =
        manager_choose_store(context, found->kind, &found->address, NULL, serves ? info->databases : NULL,
                             serves ? info->database_count : 0, &name, error);
    if (status != KW_OK)
        return status;
    /* Of a store that cannot be opened it is not known; the move is told then. */
    if (stores_get_by_id(context->stores, found->certificate.store_id, &former, NULL) != KW_OK ||
        stores_get(context->stores, name, &chosen, NULL) != KW_OK || former == chosen ||
        (store_capabilities(former)->operations & KW_CAN_EXPORT) != 0 ||
        (store_capabilities(chosen)->operations & KW_CAN_EXPORT) == 0)
        return KW_OK;
    status =
        error_set(error, KW_REFUSED,
                  "the key of %s is in store %s, which gives out none, and the configuration has the next one made "
                  "in store %s, which does",
                  found->address.text, store_name(former), store_name(chosen));
    error_remedy(error, "write 'store: %s' for %s under 'certificates:', or name a store with --store",
                 store_name(former), found->address.text);
    return status;
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

/* An RSA key for PSS alone has a successor that is so too, unless another kind of key is wanted. `like` is to be freed. */
static kw_status read_like(kw_context *context, const struct found *found, kw_bytes *like, kw_error *error)
{
    kw_input chain = {found->certificate.chain.data, found->certificate.chain.length};
    X509 *certificate = NULL;
    unsigned char *der = NULL;
    kw_status status = x509_read(context->crypto, &chain, &certificate, error);
    if (status != KW_OK)
        return status;
    crypto_enter();
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    crypto_leave();
    status = der_take(der, length, like, error);
    crypto_x509_free(certificate);
    return status;
}

/* As the present certificate, but where the configuration says otherwise. */
static kw_status make_successor(kw_context *context, const struct found *found, const kw_certificate_info *info,
                                const kw_rotate_options *options, kw_error *error)
{
    const struct certificate_settings settings = settings_certificate(context->settings, found->address.text);
    const bool general = found->kind->usage == USAGE_GENERAL;
    const bool derived = options->store == NULL && info->derived_from != NULL;
    size_t host_count = 0;
    const char **hosts = hosts_of(info, &host_count);
    const char *asked = options->key != NULL ? options->key : settings.key;
    const char *plain = asked == NULL ? key_kind_name_pss(info->key, false) : NULL; /* of RSA alone */
    const struct key_kind *present = key_kind_find(info->key);
    const bool pss = plain != NULL && present->pss;
    kw_bytes like = {0};
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = found->address.text,
        .databases = found->kind->serves_databases ? info->databases : NULL,
        .database_count = found->kind->serves_databases ? info->database_count : 0,
        .key = asked != NULL ? asked
               : pss         ? plain
                             : info->key,
        .store = options->store,
        .derived = derived, /* again, from the present version of the same root */
        .master_key = derived ? info->derived_from : NULL,
        .hosts = found->kind->has_san && settings.host_count == 0 ? hosts : NULL,
        .host_count = found->kind->has_san && settings.host_count == 0 ? host_count : 0,
        .subject = general ? info->subject : NULL,
        .extended_key_usages = general ? info->extended_key_usage : NULL,
        .extended_key_usage_count = general ? info->extended_key_usage_count : 0,
    };
    struct making making = {.wanted = &wanted,
                            .replaces = &found->certificate.id,
                            .recovery_key = options->recovery_key_path,
                            .recovery_password = options->recovery_password_source};
    kw_status status = hosts == NULL ? error_memory(error) : pss ? read_like(context, found, &like, error) : KW_OK;
    making.like = (kw_input){like.data, like.length};
    if (status == KW_OK)
        status = certificate_make(context, &making, error);
    kw_bytes_free(&like);
    free(hosts);
    return status;
}

static const char *store_of(const kw_context *context, const struct found *found)
{
    const struct store_settings *store = settings_store_by_id(context->settings, found->certificate.store_id);
    return store != NULL ? store->name : found->certificate.store_id;
}

/* Where the configuration put it is not where the key before is: that is told, since nobody asked for it. */
static void tell_rotated(kw_context *context, const struct found *found, bool store_was_named, kw_event_callback event,
                         void *user)
{
    struct found now = {0};
    const bool read = manager_find(context, found->address.text, &now, NULL) == KW_OK;
    event_tell(event, user, false, found->address.text,
               "has a new key and certificate%s%s; those before stay as %s@%u, for old data", read ? " in store " : "",
               read ? store_of(context, &now) : "", found->address.text, found->certificate.number);
    if (read && !store_was_named && strcmp(now.certificate.store_id, found->certificate.store_id) != 0)
        event_tell(
            event, user, true, found->address.text,
            "the key before is in store %s, and the configuration has new ones made in %s; --store says otherwise",
            store_of(context, found), store_of(context, &now));
    found_clear(&now);
}

static kw_status rotate_key(kw_context *context, const kw_rotate_options *options, const struct found *found,
                            kw_event_callback event, void *user, kw_error *error)
{
    kw_certificate_list *list = NULL;
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = options->address};
    kw_status status = manager_certificates(context, &filter, &list, error);
    if (status == KW_OK && list->count == 0)
        status = error_set(error, KW_CORRUPT, "the certificate of %s cannot be read", options->address);
    if (status == KW_OK)
        status = check_may_rotate(found, &list->certificates[0], error);
    if (status == KW_OK)
        status = check_keeps_guarded(context, found, &list->certificates[0], options, error);
    if (status == KW_OK)
        status = make_successor(context, found, &list->certificates[0], options, error);
    if (status == KW_OK)
        tell_rotated(context, found, options->store != NULL, event, user);
    kw_certificate_list_free(list);
    return status;
}

static kw_status rotate_root(kw_context *context, const kw_rotate_options *options, const struct found *found,
                             kw_event_callback event, void *user, kw_error *error)
{
    kw_status status = KW_OK;
    if (!kind_has_roots(found->kind)) {
        status =
            error_set(error, KW_REFUSED, "%s is no master key, and has no root secret to rotate", found->address.text);
        error_remedy(error, "`keywright rotate %s --new-key` makes a new key pair and certificate", options->address);
        return status;
    }
    if (found->address.number != 0)
        return error_set(error, KW_INVALID_ARGUMENT, "roots are of a master key as a whole: leave out @%u",
                         found->address.number);
    if (options->retire != 0)
        return roots_retire(context, found, options->retire, options->force, event, user, error);
    if (found->entry.state != ENTRY_IN_USE)
        return error_set(error, KW_REFUSED, "%s is retired: nothing new is sealed under it", found->address.text);
    return roots_rotate(context, found, event, user, error);
}

static kw_status check_options(const kw_rotate_options *options, kw_error *error)
{
    if (options->address == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "no certificate is named");
    if (options->new_key && options->retire != 0)
        return error_set(error, KW_INVALID_ARGUMENT, "a new key and the retirement of a root are two commands");
    if (!options->new_key && (options->store != NULL || options->key != NULL || options->recovery_key_path != NULL))
        return error_set(error, KW_INVALID_ARGUMENT, "a store, a key type and a recovery key go with a new key alone");
    if (options->force && options->retire == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "there is nothing to insist on but the retirement of a root");
    if (options->recovery_key_path == NULL && options->recovery_password_source != NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "a password goes with a recovery key alone");
    return KW_OK;
}

kw_status manager_rotate(kw_context *context, const kw_rotate_options *given, kw_event_callback event, void *user,
                         kw_error *error)
{
    kw_rotate_options options;
    struct found found = {0};
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK)
        status = check_options(&options, error);
    if (status == KW_OK)
        status = manager_find(context, options.address, &found, error);
    if (status == KW_OK && options.recovery_key_path != NULL && !kind_has_roots(found.kind))
        status =
            error_set(error, KW_REFUSED, "%s is no master key, and has no roots to be had back", found.address.text);
    if (status == KW_OK)
        status = options.new_key ? rotate_key(context, &options, &found, event, user, error)
                                 : rotate_root(context, &options, &found, event, user, error);
    found_clear(&found);
    return status;
}
