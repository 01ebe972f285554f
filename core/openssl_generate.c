/*
 * A program generates a key in a store: `create` makes the entry with its self-signed certificate, as on the command line, since a key without a
 * certificate has no place in the catalogue.
 */
#include "openssl_module.h"

#include "certificate/calls.h"

kw_status module_generate(void *user, const struct generation *wanted, struct keydata **made, kw_error *error)
{
    struct module_provider *module = user;
    const kw_certificate_template template = {
        .size = sizeof(template), .address = wanted->address, .store = wanted->store, .key = wanted->key};
    kw_context *context = NULL;
    struct kw_context view;
    kw_status status = module_context(module, &context, error);
    if (status != KW_OK)
        return status;
    context_take(context, &view);
    status = manager_create_like(&view, &template, wanted->like, NULL, NULL, error);
    context_give(&view);
    if (status == KW_OK)
        status = module_key(module, wanted->address, made, error);
    return status;
}
