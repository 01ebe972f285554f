/* `passphrase`: another passphrase or PIN for a store. */
#include "context.h"

#include "base/buffer.h"
#include "certificate/password.h"
#include "config/source.h"

static kw_status read_new(kw_context *context, const char *store, const char *source, struct secret *secret,
                          kw_error *error)
{
    struct buffer what = {0};
    buffer_format(&what, "the new secret of store '%s'", store);
    buffer_append_u8(&what, 0);
    kw_status status = what.failed ? error_memory(error)
                                   : password_read(context, source, (const char *)what.data, true, secret, error);
    buffer_free(&what);
    return status;
}

/* Nothing is wrong with the configuration: the caller's argument is no source. */
static kw_status check_subkey(const char *source, kw_error *error)
{
    kw_status status = source_check(source, SOURCE_SUBKEY, error);
    if (status == KW_CONFIGURATION) {
        status = KW_INVALID_ARGUMENT;
        if (error != NULL)
            error->status = status;
    }
    return status;
}

static kw_status tell_where(const kw_context *context, const struct option_setting *setting, kw_bytes *configured,
                            kw_error *error)
{
    struct buffer text = {0};
    buffer_format(&text, "%s:%u: options.%s", context->settings->path, setting->text_place.line, setting->name);
    if (source_path(setting->text) != NULL)
        buffer_format(&text, " (%s)", setting->text);
    kw_status status = buffer_take(&text, configured);
    buffer_free(&text);
    return status == KW_OK ? KW_OK : error_memory(error);
}

/* A subkey of a master key in place of the present secret, or the other way round: what the catalogue says of it changes with it. */
static kw_status change_to_subkey(kw_context *context, const struct secret_place *place, struct store *store,
                                  kw_error *error)
{
    struct secret secret = {0};
    kw_status status = secret_prepare(context->secrets, place, &secret, error);
    if (status != KW_OK)
        return status;
    status = store_set_secret(store, place->option, secret_view(&secret), error);
    if (status == KW_OK)
        status = secret_commit(context->secrets, place, error);
    if (status == KW_OK && context->settings->subkeys.recovery_certificate == NULL)
        log_write(
            &context->log, KW_LOG_WARNING,
            "the key of %s alone opens store '%s' now, and there is no recovery_certificate under 'subkeys:': with "
            "that key, all that is in the store would be lost",
            place->address, place->store_name);
    else if (status != KW_TIMEOUT) /* then nobody knows, and both are tried */
        secret_abandon(context->secrets, place);
    secret_clear(&secret);
    return status;
}

static kw_status change_to_other(kw_context *context, const struct secret_place *place, struct store *store,
                                 const char *source, kw_error *error)
{
    struct secret secret = {0};
    kw_status status = read_new(context, place->store_name, source, &secret, error);
    if (status == KW_OK)
        status = store_set_secret(store, place->option, secret_view(&secret), error);
    if (status == KW_OK)
        status = secret_forget(context->secrets, place, error);
    secret_clear(&secret);
    return status;
}

static kw_status set_secret(kw_context *context, const char *name, const char *source, kw_bytes *configured,
                            kw_error *error)
{
    const struct option_setting *setting = NULL;
    struct store *store = NULL;
    kw_bytes text = {0};
    kw_status status = stores_secret_option(context->stores, name, &setting, error);
    if (status == KW_OK)
        status = stores_get(context->stores, name, &store, error);
    if (status == KW_OK)
        status = tell_where(context, setting, &text, error);
    if (status == KW_OK && source_subkey(source) != NULL)
        status = check_subkey(source, error);
    if (status == KW_OK) {
        const struct secret_place place = {
            .settings = context->settings,
            .store_id = store_id(store),
            .store_name = name,
            .option = setting->name,
            .address = source_subkey(source),
        };
        status = place.address != NULL ? change_to_subkey(context, &place, store, error)
                                       : change_to_other(context, &place, store, source, error);
    }
    if (status == KW_OK && configured != NULL) {
        *configured = text;
        text = (kw_bytes){0};
    }
    kw_bytes_free(&text);
    return status;
}

kw_status kw_store_set_secret(kw_context *context, const char *name, const char *source, kw_bytes *configured,
                              kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = set_secret(&view, name, source, configured, error);
    context_give(&view);
    return status;
}
