/* The functions of keywright.h on a kw_context: each runs under the configuration that is in force when it begins. */
#include "context.h"

#include "certificate/calls.h"
#include "tls/connection.h"
#include "tls/side.h"
#include "tls/trust.h"

kw_status kw_state_get(kw_context *context, kw_state **state, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_state(&view, state, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_create(kw_context *context, const kw_certificate_template *wanted, kw_event_callback event,
                                void *user, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_create(&view, wanted, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_request(kw_context *context, const char *address, kw_bytes *request, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_request(&view, address, request, error);
    context_give(&view);
    return status;
}

kw_status kw_certificates(kw_context *context, const kw_certificate_filter *filter, kw_certificate_list **list,
                          kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_certificates(&view, filter, list, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_pem(kw_context *context, const char *address, kw_bytes *pem, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_pem(&view, address, pem, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_text(kw_context *context, const char *address, kw_bytes *text, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_text(&view, address, text, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_reference(kw_context *context, const char *address, kw_bytes *pem, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_reference(&view, address, pem, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_retire(kw_context *context, const char *address, kw_event_callback event, void *user,
                                kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_retire(&view, address, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_certificate_delete(kw_context *context, const char *address, bool force, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_delete(&view, address, force, error);
    context_give(&view);
    return status;
}

kw_status kw_transfer(kw_context *context, const kw_transfer_options *options, kw_event_callback event, void *user,
                      kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_transfer(&view, options, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_rotate(kw_context *context, const kw_rotate_options *options, kw_event_callback event, void *user,
                    kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_rotate(&view, options, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_store_keys(kw_context *context, const char *store, kw_store_key_list **list, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_store_keys(&view, store, list, error);
    context_give(&view);
    return status;
}

kw_status kw_adopt(kw_context *context, const kw_adopt_options *options, kw_event_callback event, void *user,
                   kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_adopt(&view, options, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_export(kw_context *context, const kw_export_options *options, kw_event_callback event, void *user,
                    kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_export(&view, options, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_import(kw_context *context, const kw_import_options *options, kw_event_callback event, void *user,
                    kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_import(&view, options, event, user, error);
    context_give(&view);
    return status;
}

kw_status kw_key_open(kw_context *context, const char *address, kw_key **key, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_key_open(&view, address, key, error);
    context_give(&view);
    return status;
}

kw_status kw_key_open_public(kw_context *context, const char *address, kw_key **key, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_key_open_public(&view, address, key, error);
    context_give(&view);
    return status;
}

kw_status kw_cms_encrypt(kw_context *context, const char *address, kw_input plaintext, kw_bytes *cms, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_cms_encrypt(&view, address, plaintext, cms, error);
    context_give(&view);
    return status;
}

kw_status kw_cms_decrypt(kw_context *context, const char *address, kw_input cms, kw_bytes *plaintext, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_cms_decrypt(&view, address, cms, plaintext, error);
    context_give(&view);
    return status;
}

kw_status kw_licence_request(kw_context *context, kw_bytes *request, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_licence_request(&view, request, error);
    context_give(&view);
    return status;
}

kw_status kw_licence_verify(kw_context *context, kw_input content, kw_licence **licence, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_licence_verify(&view, content, licence, error);
    context_give(&view);
    return status;
}

kw_status kw_trust_export(kw_context *context, kw_trust_format format, kw_bytes *content, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = trust_export(&view, format, content, error);
    context_give(&view);
    return status;
}

/* ---- connections.h ---- */

kw_status kw_connections(kw_context *context, kw_connection_list **list, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = connection_list(&view, list, error);
    context_give(&view);
    return status;
}

kw_status kw_connection_check(kw_context *context, const char *name, kw_connection_report **report, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = connection_check(&view, name, report, error);
    context_give(&view);
    return status;
}

kw_status kw_connection_tls(kw_context *context, const char *name, struct ssl_ctx_st **tls, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = connection_tls(&view, name, tls, error);
    context_give(&view);
    return status;
}

/* ---- subkeys.h ---- */

kw_status kw_subkey_get(kw_context *context, const char *address, const char *purpose, kw_input subkey_context,
                        kw_subkey **subkey, kw_error *error)
{
    const struct handle_name name = {address, purpose, subkey_context};
    struct kw_context view;
    kw_status status;
    if (address == NULL || purpose == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "a subkey has a master key's address and a purpose");
    context_follow(context);
    if (keyring_find(context->keyring, &name, subkey))
        return KW_OK;
    context_take(context, &view);
    status = manager_subkey_get(&view, &name, subkey, error);
    context_give(&view);
    return status;
}

kw_status kw_subkey_derive(kw_context *context, const kw_derivation *derivation, unsigned *version_used,
                           kw_output *bytes, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_subkey_derive(&view, derivation, version_used, bytes, error);
    context_give(&view);
    return status;
}

kw_status kw_reseal(kw_context *context, const kw_reseal_options *options, kw_reseal_result *result, kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = manager_reseal(&view, options, result, error);
    context_give(&view);
    return status;
}

kw_status kw_subkeys_refresh(kw_context *context, kw_error *error)
{
    context_follow(context);
    return keyring_refresh(context->keyring, error);
}

/* ---- tls.h ---- */

/* What a handshake finds, years after kw_tls_server, it finds under the configuration of that moment. */
static kw_status read_identity(kw_context *whole, const struct identity_wanted *wanted, struct identity **identity,
                               kw_error *error)
{
    struct kw_context view;
    context_take(whole, &view);
    const kw_status status = identity_read(&view, wanted, identity, error);
    context_give(&view);
    return status;
}

kw_status kw_tls_server(kw_context *context, const kw_tls_server_options *options, struct ssl_ctx_st **tls,
                        kw_error *error)
{
    struct kw_context view;
    context_take(context, &view);
    const kw_status status = tls_server(&view, options, read_identity, tls, error);
    context_give(&view);
    return status;
}

kw_status kw_tls_client(kw_context *context, const kw_tls_client_options *options, struct ssl_ctx_st **tls,
                        kw_error *error)
{
    struct kw_context view;
    if (context == NULL)
        return tls_client(NULL, options, read_identity, tls, error);
    context_take(context, &view);
    const kw_status status = tls_client(&view, options, read_identity, tls, error);
    context_give(&view);
    return status;
}
