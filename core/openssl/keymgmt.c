/* RSA, EC, Ed25519 and X25519 keys: libcrypto sees the public half as the default provider tells it, and never gets the private one. */
#include "openssl/provider.h"

#include "base/buffer.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>

static OSSL_FUNC_keymgmt_new_fn rsa_new, ec_new, ed25519_new, x25519_new;
static OSSL_FUNC_keymgmt_free_fn keymgmt_free;
static OSSL_FUNC_keymgmt_load_fn keymgmt_load;
static OSSL_FUNC_keymgmt_has_fn keymgmt_has;
static OSSL_FUNC_keymgmt_match_fn keymgmt_match;
static OSSL_FUNC_keymgmt_validate_fn keymgmt_validate;
static OSSL_FUNC_keymgmt_dup_fn keymgmt_dup;
static OSSL_FUNC_keymgmt_import_fn keymgmt_import;
static OSSL_FUNC_keymgmt_export_fn keymgmt_export;
static OSSL_FUNC_keymgmt_import_types_fn rsa_import_types, ec_import_types, ed25519_import_types;
static OSSL_FUNC_keymgmt_export_types_fn rsa_export_types, ec_export_types, ed25519_export_types;
static OSSL_FUNC_keymgmt_get_params_fn keymgmt_get_params;
static OSSL_FUNC_keymgmt_gettable_params_fn rsa_gettable_params, ec_gettable_params, ed25519_gettable_params,
    x25519_gettable_params;
static OSSL_FUNC_keymgmt_set_params_fn keymgmt_set_params;
static OSSL_FUNC_keymgmt_settable_params_fn ec_settable_params;
static OSSL_FUNC_keymgmt_query_operation_name_fn rsa_query_operation_name, ec_query_operation_name,
    ed25519_query_operation_name, x25519_query_operation_name;

/* ---- Life ---- */

struct keydata *keydata_new(const struct provider *provider, const char *type)
{
    struct keydata *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return NULL;
    made->provider = provider;
    made->type = type;
    return made;
}

static void *rsa_new(void *provider)
{
    return keydata_new(provider, "RSA");
}

static void *ec_new(void *provider)
{
    return keydata_new(provider, "EC");
}

static void *ed25519_new(void *provider)
{
    return keydata_new(provider, "ED25519");
}

static void *x25519_new(void *provider)
{
    return keydata_new(provider, "X25519");
}

void keydata_free(struct keydata *data)
{
    if (data == NULL)
        return;
    const unsigned depth = crypto_step_out();
    kw_key_free(data->key);
    crypto_step_in(depth);
    crypto_pkey_free(data->public);
    free(data->uri);
    free(data);
}

static void keymgmt_free(void *data)
{
    keydata_free(data);
}

/* libcrypto's names by kw_key_type. */
static const char *const type_names[] = {
    [KW_KEY_RSA] = "RSA", [KW_KEY_EC] = "EC", [KW_KEY_ED25519] = "ED25519", [KW_KEY_X25519] = "X25519"};

static bool keydata_set_key(struct keydata *data, kw_key *key)
{
    EVP_PKEY *public = key_public_pkey(key);
    if (!EVP_PKEY_up_ref(public))
        return false;
    data->key = key_reference(key);
    data->public = public;
    data->has_public = true;
    return true;
}

const char *keydata_type(const kw_key *key)
{
    const kw_key_type type = kw_key_get_capabilities(key)->type;
    return (size_t)type < sizeof(type_names) / sizeof(type_names[0]) ? type_names[type] : NULL;
}

struct keydata *keydata_of_key(const struct provider *provider, kw_key *key)
{
    struct keydata *made = keydata_new(provider, keydata_type(key));
    if (made != NULL && !keydata_set_key(made, key)) {
        keydata_free(made);
        made = NULL;
    }
    return made;
}

static void *keymgmt_load(const void *reference, size_t length)
{
    struct keydata *taken = NULL;
    if (length != sizeof(taken))
        return NULL;
    /* The loader keeps what is not taken, so it must learn of it; the interface has it const. */
    struct keydata **handed = (struct keydata **)(uintptr_t)reference;
    taken = *handed;
    *handed = NULL;
    return taken;
}

/* A copy of the parameters alone takes a public key later, so it is one of its own. */
static EVP_PKEY *copy_parameters(EVP_PKEY *from)
{
    crypto_enter();
    EVP_PKEY *made = EVP_PKEY_new();
    if (made != NULL && !EVP_PKEY_copy_parameters(made, from)) {
        EVP_PKEY_free(made);
        made = NULL;
    }
    crypto_leave();
    return made;
}

static void *keymgmt_dup(const void *data, int selection)
{
    const struct keydata *from = data;
    struct keydata *made = keydata_new(from->provider, from->type);
    if (made == NULL || from->public == NULL)
        return made;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 || !from->has_public) {
        made->public = copy_parameters(from->public);
    } else if (EVP_PKEY_up_ref(from->public)) {
        made->public = from->public;
        made->has_public = true;
        if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && from->key != NULL)
            made->key = key_reference(from->key);
        made->in_memory = from->in_memory && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
        made->pkcs1 = from->pkcs1;
        if (made->key != NULL && from->uri != NULL)
            made->uri = text_copy(from->uri);
    }
    if (made->public == NULL) {
        keymgmt_free(made);
        made = NULL;
    }
    return made;
}

/* ---- Questions ---- */

static int keymgmt_has(const void *data, int selection)
{
    const struct keydata *key = data;
    if (key == NULL || key->public == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && !key->has_public)
        return 0;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || key->key != NULL || key->in_memory;
}

static int keymgmt_match(const void *left, const void *right, int selection)
{
    const struct keydata *one = left, *other = right;
    if (one->public == NULL || other->public == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0) {
        crypto_enter();
        const int same = EVP_PKEY_parameters_eq(one->public, other->public) == 1;
        crypto_leave();
        return same;
    }
    /* The private half belongs to the public one: the store reads both from one key. */
    return one->has_public && other->has_public && crypto_pkey_is(one->public, other->public);
}

/* What can be known of the private half without using it is that the store has opened it. */
static int keymgmt_validate(const void *data, int selection, int type)
{
    const struct keydata *key = data;
    int valid = 0;
    if (!keymgmt_has(key, selection))
        return 0;
    crypto_enter();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(key->provider->library, key->public, DELEGATE_PROPERTY);
    if (context == NULL)
        valid = 0;
    else if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0)
        valid = EVP_PKEY_param_check(context) == 1;
    else if (type == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK)
        valid = EVP_PKEY_public_check_quick(context) == 1;
    else
        valid = EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    return valid;
}

/* The public key's own answers: sizes, group, default digest. A name such as prime256v1 is what TLS 1.3 asks for. */
static int keymgmt_get_params(void *data, OSSL_PARAM parameters[])
{
    const struct keydata *key = data;
    crypto_enter();
    const int answered = key->public != NULL && EVP_PKEY_get_params(key->public, parameters);
    crypto_leave();
    return answered;
}

#define COMMON_PARAMETERS                                                                                              \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),                   \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL)

static const OSSL_PARAM rsa_gettable[] = {
    COMMON_PARAMETERS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_gettable[] = {
    COMMON_PARAMETERS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ed25519_gettable[] = {
    COMMON_PARAMETERS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM x25519_gettable[] = {
    COMMON_PARAMETERS,
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *rsa_gettable_params(void *provider)
{
    (void)provider;
    return rsa_gettable;
}

static const OSSL_PARAM *ec_gettable_params(void *provider)
{
    (void)provider;
    return ec_gettable;
}

static const OSSL_PARAM *ed25519_gettable_params(void *provider)
{
    (void)provider;
    return ed25519_gettable;
}

static const OSSL_PARAM *x25519_gettable_params(void *provider)
{
    (void)provider;
    return x25519_gettable;
}

/*
 * CMS makes the sender's ephemeral key out of a copy of our parameters and the point in the message. A key that has its public half never
 * changes.
 */
static int keymgmt_set_params(void *data, const OSSL_PARAM parameters[])
{
    struct keydata *key = data;
    const OSSL_PARAM *point = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
    const void *bytes = NULL;
    size_t length = 0;
    if (point == NULL)
        return 1;
    if (key->public == NULL || key->has_public)
        return failure_set(KW_REFUSED, "a key that has a public key is never given another");
    if (!OSSL_PARAM_get_octet_string_ptr(point, &bytes, &length))
        return 0;
    crypto_enter();
    key->has_public = EVP_PKEY_set1_encoded_public_key(key->public, bytes, length) > 0;
    crypto_leave();
    return key->has_public;
}

static const OSSL_PARAM ec_settable[] = {
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *ec_settable_params(void *provider)
{
    (void)provider;
    return ec_settable;
}

/* ---- In and out ---- */

static int import_key(struct keydata *key, const OSSL_PARAM *parameter)
{
    const void *pointer = NULL;
    size_t length = 0;
    if (!OSSL_PARAM_get_octet_ptr(parameter, &pointer, &length) || pointer == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "the parameter " PROVIDER_PARAM_KEY " holds no key");
    kw_key *taken = (kw_key *)pointer;
    if (!EVP_PKEY_is_a(key_public_pkey(taken), key->type))
        return failure_set(KW_INVALID_ARGUMENT, "the key is no %s key", key->type);
    key->pkcs1 = true; /* which serves CMS alone within the library */
    return keydata_set_key(key, taken);
}

/* A public key or parameters, of another provider. */
static int import_public(struct keydata *key, int selection, const OSSL_PARAM parameters[])
{
    int imported = 0;
    OSSL_PARAM *copy = OSSL_PARAM_dup(parameters);
    crypto_enter();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(key->provider->library, key->type, DELEGATE_PROPERTY);
    const bool has_public = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_PUB_KEY) != NULL ||
                            OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_N) != NULL;
    /* Some ask for the private half and have the public one alone, which the default provider takes too. */
    const bool wants_public = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 && has_public;
    if (copy == NULL || context == NULL || EVP_PKEY_fromdata_init(context) <= 0 ||
        EVP_PKEY_fromdata(context, &key->public, wants_public ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEY_PARAMETERS, copy) <=
            0)
        goto out;
    key->has_public = wants_public;
    imported = 1;
out:
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    OSSL_PARAM_free(copy);
    return imported;
}

static int keymgmt_import(void *data, int selection, const OSSL_PARAM parameters[])
{
    struct keydata *key = data;
    const OSSL_PARAM *handed = OSSL_PARAM_locate_const(parameters, PROVIDER_PARAM_KEY);
    if (key->public != NULL)
        return failure_set(KW_REFUSED, "a key is never given another key's content");
    if (handed != NULL)
        return import_key(key, handed);
    /* Whoever holds a private key in memory keeps using it there: libcrypto then goes on to the key's own provider. */
    if (OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_D) != NULL ||
        OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_PRIV_KEY) != NULL)
        return failure_set(KW_REFUSED, "private keys come in through a store");
    return import_public(key, selection, parameters);
}

/*
 * Of a key in a store libcrypto falls back to our own operations, and tools say that they cannot write it, only when this fails. Of a public
 * key it asks for all there is before another provider works with it.
 */
static int keymgmt_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument)
{
    const struct keydata *key = data;
    if (key->public == NULL || ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && key->key != NULL))
        return 0;
    if (!key->in_memory)
        selection &= ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
    /* The callback is libcrypto's, and may come back: to be called outside. */
    OSSL_PARAM *content = NULL;
    crypto_enter();
    const int told = EVP_PKEY_todata(key->public, selection, &content);
    crypto_leave();
    const int taken = told && callback(content, argument);
    OSSL_PARAM_free(content);
    return taken;
}

static const OSSL_PARAM rsa_types[] = {
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_types[] = {
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ed25519_types[] = {
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

/* What is exported: never the private part. */
static const OSSL_PARAM *export_types(const OSSL_PARAM *types, int selection)
{
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : types;
}

static const OSSL_PARAM *rsa_export_types(int selection)
{
    return export_types(rsa_types, selection);
}

static const OSSL_PARAM *ec_export_types(int selection)
{
    return export_types(ec_types, selection);
}

static const OSSL_PARAM *ed25519_export_types(int selection)
{
    return export_types(ed25519_types, selection);
}

static const OSSL_PARAM rsa_taken[] = {
    OSSL_PARAM_octet_ptr(PROVIDER_PARAM_KEY, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_taken[] = {
    OSSL_PARAM_octet_ptr(PROVIDER_PARAM_KEY, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ed25519_taken[] = {
    OSSL_PARAM_octet_ptr(PROVIDER_PARAM_KEY, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *rsa_import_types(int selection)
{
    (void)selection;
    return rsa_taken;
}

static const OSSL_PARAM *ec_import_types(int selection)
{
    (void)selection;
    return ec_taken;
}

static const OSSL_PARAM *ed25519_import_types(int selection)
{
    (void)selection;
    return ed25519_taken;
}

/* ---- Names of the algorithms that take these keys ---- */

static const char *rsa_query_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE || operation == OSSL_OP_ASYM_CIPHER ? "RSA" : NULL;
}

static const char *ec_query_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : operation == OSSL_OP_KEYEXCH ? "ECDH" : NULL;
}

static const char *ed25519_query_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ED25519" : NULL;
}

static const char *x25519_query_operation_name(int operation)
{
    return operation == OSSL_OP_KEYEXCH ? "X25519" : NULL;
}

#define COMMON_FUNCTIONS                                                                                               \
    {OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))keymgmt_free}, {OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))keymgmt_load},    \
        {OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))keymgmt_has},                                                          \
        {OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))keymgmt_match},                                                      \
        {OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))keymgmt_validate},                                                \
        {OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))keymgmt_dup},                                                          \
        {OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))keymgmt_import},                                                    \
        {OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))keymgmt_export},                                                    \
        {OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, (void (*)(void))generation_set_params},                                     \
        {OSSL_FUNC_KEYMGMT_GEN, (void (*)(void))generation_generate},                                                  \
        {OSSL_FUNC_KEYMGMT_GEN_CLEANUP, (void (*)(void))generation_cleanup},                                           \
    {                                                                                                                  \
        OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))keymgmt_get_params                                               \
    }

const OSSL_DISPATCH rsa_keymgmt[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))rsa_new},
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))rsa_gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))rsa_gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))rsa_gettable_params},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))rsa_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))rsa_export_types},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))rsa_query_operation_name},
    {0, NULL},
};

const OSSL_DISPATCH ec_keymgmt[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))ec_new},
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))ec_gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, (void (*)(void))generation_set_template},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))ec_gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))ec_gettable_params},
    {OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))keymgmt_set_params},
    {OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))ec_settable_params},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))ec_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))ec_export_types},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))ec_query_operation_name},
    {0, NULL},
};

const OSSL_DISPATCH ed25519_keymgmt[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))ed25519_new},
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))ed25519_gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))other_gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))ed25519_gettable_params},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))ed25519_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))ed25519_export_types},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))ed25519_query_operation_name},
    {0, NULL},
};

/* CMS and TLS make the peer's key out of a copy of ours, as with EC. */
const OSSL_DISPATCH x25519_keymgmt[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))x25519_new},
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))x25519_gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))other_gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))x25519_gettable_params},
    {OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))keymgmt_set_params},
    {OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))ec_settable_params},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))ed25519_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))ed25519_export_types},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))x25519_query_operation_name},
    {0, NULL},
};
