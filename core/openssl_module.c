/*
 * What the loadable OpenSSL module consists of: the provider of core/openssl in any program's library context, and a loader that opens
 * keywright:ADDRESS with the configuration of the environment. Nothing is opened before a key is asked for.
 */
#include "context.h"

#include "base/buffer.h"
#include "openssl/provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME ADDRESS_SCHEME

struct module_provider {
    struct provider provider; /* first: what the algorithms are given */
    struct crypto *crypto;    /* with a default provider of its own, whatever the program has loaded */
    pthread_mutex_t mutex;
    kw_context *context; /* NULL: not opened yet */
};

static OSSL_FUNC_provider_teardown_fn module_teardown;
static OSSL_FUNC_provider_query_operation_fn module_query_operation;
static OSSL_FUNC_store_open_fn loader_open_uri;
static OSSL_FUNC_store_settable_ctx_params_fn loader_settable_ctx_params;
static OSSL_FUNC_store_set_ctx_params_fn loader_set_ctx_params;
static OSSL_FUNC_store_load_fn loader_load;
static OSSL_FUNC_store_eof_fn loader_eof;
static OSSL_FUNC_store_close_fn loader_close;

/* ---- The loader -------------------------------------------------------------------------------------- */

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

static kw_status module_open(struct module_provider *module, kw_error *error)
{
    kw_status status = KW_OK;
    pthread_mutex_lock(&module->mutex);
    if (module->context == NULL)
        status = context_open(NULL, false, &module->context, error); /* a program that uses a key adds no others */
    pthread_mutex_unlock(&module->mutex);
    return status;
}

static kw_status load_key(const struct loader *loader, struct keydata **data, kw_error *error)
{
    kw_key *key = NULL;
    kw_status status = module_open(loader->module, error);
    if (status == KW_OK)
        status = kw_key_open(loader->module->context, loader->address, &key, error);
    if (status == KW_OK && keydata_type(key) == NULL)
        status = error_set(error, KW_UNSUPPORTED, "OpenSSL can do nothing with this type of key");
    if (status == KW_OK) {
        *data = keydata_of_key(&loader->module->provider, key);
        if (*data == NULL)
            status = error_memory(error);
    }
    kw_key_free(key);
    return status;
}

static int loader_load(void *context, OSSL_CALLBACK *object, void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase,
                       void *passphrase_argument)
{
    struct loader *loader = context;
    struct keydata *data = NULL;
    kw_error error = {0};
    int type = OSSL_OBJECT_PKEY;
    char name[16];
    (void)passphrase;
    (void)passphrase_argument;
    failure_forget();
    if (loader->done)
        return 0;
    loader->done = true; /* also when it fails: libcrypto asks until there is no more */
    if (load_key(loader, &data, &error) != KW_OK)
        return failure_keep(&error);
    OPENSSL_strlcpy(name, data->type, sizeof(name));
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &data, sizeof(data)),
        OSSL_PARAM_construct_end(),
    };
    const int taken = object(parameters, argument);
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

/* ---- The provider -------------------------------------------------------------------------------------- */

static const OSSL_ALGORITHM loaders[] = {
    {SCHEME, PROVIDER_PROPERTY, loader_functions, "keys by " SCHEME ":ADDRESS"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *module_query_operation(void *context, int operation, int *no_cache)
{
    (void)context;
    *no_cache = 0;
    return operation == OSSL_OP_STORE ? loaders : provider_algorithms(operation);
}

static void module_teardown(void *context)
{
    struct module_provider *module = context;
    kw_close(module->context);
    crypto_close(module->crypto);
    pthread_mutex_destroy(&module->mutex);
    free(module);
}

static const OSSL_DISPATCH module_dispatch[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))module_teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))provider_gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))provider_get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))module_query_operation},
    {0, NULL},
};

int kw_openssl_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                             void **context)
{
    (void)handle;
    (void)in;
    struct module_provider *made = calloc(1, sizeof(*made));
    if (made == NULL || crypto_open(&made->crypto, NULL) != KW_OK) {
        free(made);
        return 0;
    }
    pthread_mutex_init(&made->mutex, NULL);
    made->provider.library = made->crypto->library;
    *context = made;
    *out = module_dispatch;
    return 1;
}
