/*
 * What the loadable OpenSSL module consists of: its start and end, and its context, which is opened when a key is asked for and not before.
 */
#include "openssl_module.h"

#include "base/buffer.h"
#include "base/path.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_provider_teardown_fn module_teardown;
static OSSL_FUNC_provider_query_operation_fn module_query_operation;

/* In the provider's section of openssl.cnf. */
#define SETTING_CONFIGURATION "config"

/* ---- Asking ---- */

static _Thread_local OSSL_PASSPHRASE_CALLBACK *ask_by;
static _Thread_local void *ask_argument;

void module_ask_by(OSSL_PASSPHRASE_CALLBACK *ask, void *argument)
{
    ask_by = ask;
    ask_argument = argument;
}

/* The kw_prompt_callback of the module's context. */
static kw_status ask_program(void *user, const char *what, bool confirm, kw_output *answer)
{
    char *about = text_copy(what);
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PASSPHRASE_PARAM_INFO, about, 0),
        OSSL_PARAM_construct_end(),
    };
    size_t length = 0;
    (void)user;
    /* A program that uses a key sets no secret. */
    const bool answered = about != NULL && ask_by != NULL && !confirm &&
                          ask_by((char *)answer->data, answer->capacity, &length, parameters, ask_argument) == 1 &&
                          length <= answer->capacity;
    free(about);
    if (!answered)
        return KW_CONFIGURATION;
    answer->length = length;
    return KW_OK;
}

/* ---- The context and its keys ---- */

/* No lock: opening may ask a person, and the process may fork meanwhile. Two threads that come first both find or make one; one is given back. */
kw_status module_context(struct module_provider *module, kw_context **context, kw_error *error)
{
    const kw_open_options options = {
        .size = sizeof(options), .configuration = module->configuration, .prompt = ask_program};
    kw_context *present = atomic_load(&module->context), *made = NULL;
    kw_status status = KW_OK;
    if (present == NULL) {
        status = context_join(&options, &made, error);
        if (status == KW_OK && atomic_compare_exchange_strong(&module->context, &present, made))
            present = made;
        else if (status == KW_OK)
            context_leave(made, false);
    }
    if (status == KW_OK)
        *context = present;
    return status;
}

kw_status module_key(struct module_provider *module, const char *address, struct keydata **data, kw_error *error)
{
    kw_context *context = NULL;
    kw_key *key = NULL;
    struct keydata *made = NULL;
    struct address parsed;
    kw_status status = module_context(module, &context, error);
    if (status == KW_OK)
        status = address_parse(address, &parsed, error);
    if (status == KW_OK)
        status = kw_key_open(context, address, &key, error);
    if (status == KW_OK && keydata_type(key) == NULL)
        status = error_set(error, KW_UNSUPPORTED, "OpenSSL can do nothing with this type of key");
    if (status != KW_OK)
        goto out;
    made = keydata_of_key(&module->provider, key);
    if (made != NULL)
        made->uri = address_uri(&parsed);
    if (made == NULL || made->uri == NULL) {
        status = error_memory(error);
        goto out;
    }
    *data = made;
    made = NULL;
out:
    keydata_free(made);
    kw_key_free(key);
    return status;
}

int module_give_key(struct keydata **data, OSSL_CALLBACK *object, void *argument)
{
    int type = OSSL_OBJECT_PKEY;
    char name[16];
    OPENSSL_strlcpy(name, (*data)->type, sizeof(name));
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, data, sizeof(struct keydata *)),
        OSSL_PARAM_construct_end(),
    };
    return object(parameters, argument);
}

BIO *module_bio(const struct module_provider *module, OSSL_CORE_BIO *bio)
{
    crypto_enter();
    BIO *const made = BIO_new_from_core_bio(module->crypto->library, bio);
    crypto_leave();
    return made;
}

/* ---- The provider ---- */

static const OSSL_ALGORITHM *module_query_operation(void *context, int operation, int *no_cache)
{
    static const OSSL_ALGORITHM *const own[] = {
        [OSSL_OP_STORE] = module_loaders,
        [OSSL_OP_DECODER] = module_decoders,
        [OSSL_OP_ENCODER] = module_encoders,
    };
    (void)context;
    *no_cache = 0;
    if (operation >= 0 && (size_t)operation < sizeof(own) / sizeof(own[0]) && own[operation] != NULL)
        return own[operation];
    return provider_algorithms(operation);
}

/*
 * libcrypto tears its providers down from atexit too. Tokens' modules have then ended before it, since they were loaded later, and a call of any of them
 * crashes; so the context is left to the end of the process, which closes everything. libcrypto says that it is ending by not starting any more.
 */
static bool process_is_ending(void)
{
    return OPENSSL_init_crypto(0, NULL) == 0;
}

static void module_free(struct module_provider *module)
{
    if (module == NULL)
        return;
    if (!process_is_ending())
        context_leave(atomic_load(&module->context), false);
    crypto_close(module->crypto);
    free(module->configuration);
    free(module);
}

static void module_teardown(void *context)
{
    module_free(context);
}

static const OSSL_DISPATCH module_dispatch[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))module_teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))provider_gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))provider_get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))module_query_operation},
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))provider_get_capabilities},
    {0, NULL},
};

/* What the program's openssl.cnf sets for the module. */
static bool read_settings(struct module_provider *module, const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in)
{
    OSSL_FUNC_core_get_params_fn *get = NULL;
    char *path = NULL;
    OSSL_PARAM wanted[] = {OSSL_PARAM_construct_utf8_ptr(SETTING_CONFIGURATION, &path, 0), OSSL_PARAM_construct_end()};
    for (; in->function_id != 0; in++)
        if (in->function_id == OSSL_FUNC_CORE_GET_PARAMS)
            get = OSSL_FUNC_core_get_params(in);
    if (get == NULL || !get(handle, wanted) || path == NULL || *path == '\0')
        return true;
    module->configuration = path_absolute(path);
    return module->configuration != NULL;
}

int kw_openssl_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                             void **context)
{
    struct module_provider *made = calloc(1, sizeof(*made));
    reason_start();
    if (made == NULL || !read_settings(made, handle, in) ||
        crypto_open_module(handle, in, &made->crypto, NULL) != KW_OK) {
        module_free(made);
        return 0;
    }
    made->provider = (struct provider){
        .library = made->crypto->library, .digests = made->crypto->digests, .generate = module_generate, .user = made};
    *context = made;
    *out = module_dispatch;
    return 1;
}
