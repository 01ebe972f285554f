/* OSSL_STORE on keywright: URIs. */
#include "openssl_module.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME ADDRESS_SCHEME

static OSSL_FUNC_store_open_fn loader_open_uri;
static OSSL_FUNC_store_settable_ctx_params_fn loader_settable_ctx_params;
static OSSL_FUNC_store_set_ctx_params_fn loader_set_ctx_params;
static OSSL_FUNC_store_load_fn loader_load;
static OSSL_FUNC_store_eof_fn loader_eof;
static OSSL_FUNC_store_close_fn loader_close;

struct loader {
    struct module_provider *module;
    char *address;
    bool done;
};

static int loader_close(void *context)
{
    struct loader *loader = context;
    if (loader != NULL)
        free(loader->address);
    free(loader);
    return 1;
}

static void *loader_open_uri(void *context, const char *uri)
{
    struct loader *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->module = context;
    made->address = address_of_uri(uri);
    if (made->address == NULL) {
        failure_set(KW_INVALID_ARGUMENT, "%s is no URI of a key; one is " SCHEME ":database/NAME", uri);
        loader_close(made);
        made = NULL;
    }
    return made;
}

static const OSSL_PARAM *loader_settable_ctx_params(void *context)
{
    static const OSSL_PARAM settable[] = {OSSL_PARAM_END};
    (void)context;
    return settable;
}

/* What is expected of the URI is libcrypto's to look at: there is one object behind it. */
static int loader_set_ctx_params(void *context, const OSSL_PARAM parameters[])
{
    (void)context;
    (void)parameters;
    return 1;
}

static int loader_eof(void *context)
{
    const struct loader *loader = context;
    return loader->done;
}

static int loader_load(void *context, OSSL_CALLBACK *object, void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase,
                       void *passphrase_argument)
{
    struct loader *loader = context;
    struct keydata *data = NULL;
    kw_error error = {0};
    (void)passphrase;
    (void)passphrase_argument;
    failure_forget();
    if (loader->done)
        return 0;
    loader->done = true; /* also when it fails: libcrypto asks until there is no more */
    if (module_key(loader->module, loader->address, &data, &error) != KW_OK)
        return failure_keep(&error);
    const int taken = module_give_key(&data, object, argument);
    keydata_free(data);
    return taken;
}

static const OSSL_DISPATCH loader_functions[] = {
    {OSSL_FUNC_STORE_OPEN, (void (*)(void))loader_open_uri},
    {OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))loader_settable_ctx_params},
    {OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))loader_set_ctx_params},
    {OSSL_FUNC_STORE_LOAD, (void (*)(void))loader_load},
    {OSSL_FUNC_STORE_EOF, (void (*)(void))loader_eof},
    {OSSL_FUNC_STORE_CLOSE, (void (*)(void))loader_close},
    {0, NULL},
};

const OSSL_ALGORITHM module_loaders[] = {
    {SCHEME, PROVIDER_PROPERTY, loader_functions, "keys and certificates by " SCHEME ":ADDRESS"},
    {NULL, NULL, NULL, NULL},
};
