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

static kw_status set_secret(kw_context *context, const char *name, const char *source, kw_bytes *configured,
                            kw_error *error)
{
    const struct option_setting *setting = NULL;
    struct store *store = NULL;
    struct secret secret = {0};
    kw_bytes place = {0};
    kw_status status = stores_secret_option(context->stores, name, &setting, error);
    if (status == KW_OK)
        status = stores_get(context->stores, name, &store, error);
    if (status == KW_OK)
        status = tell_where(context, setting, &place, error);
    if (status == KW_OK)
        status = read_new(context, name, source, &secret, error);
    if (status == KW_OK)
        status = store_set_secret(store, setting->name, secret_view(&secret), error);
    secret_clear(&secret);
    if (status == KW_OK && configured != NULL) {
        *configured = place;
        place = (kw_bytes){0};
    }
    kw_bytes_free(&place);
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
