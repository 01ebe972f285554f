/* The types of keys: what of each can be asked and set, what comes in and goes out, and which algorithms take it. */
#include "openssl/keymgmt.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

static OSSL_FUNC_keymgmt_new_fn rsa_new, rsa_pss_new, ec_new, ed25519_new, x25519_new;
static OSSL_FUNC_keymgmt_import_types_fn rsa_import_types, rsa_pss_import_types, ec_import_types, ed25519_import_types;
static OSSL_FUNC_keymgmt_export_types_fn rsa_export_types, rsa_pss_export_types, ec_export_types, ed25519_export_types;
static OSSL_FUNC_keymgmt_gettable_params_fn rsa_gettable_params, rsa_pss_gettable_params, ec_gettable_params,
    ed25519_gettable_params, x25519_gettable_params;
static OSSL_FUNC_keymgmt_settable_params_fn ec_settable_params;
static OSSL_FUNC_keymgmt_query_operation_name_fn rsa_query_operation_name, rsa_pss_query_operation_name,
    ec_query_operation_name, ed25519_query_operation_name, x25519_query_operation_name;

static void *rsa_new(void *provider)
{
    return keydata_new(provider, "RSA");
}

static void *rsa_pss_new(void *provider)
{
    return keydata_new(provider, "RSA-PSS");
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
/* ---- What can be asked and set ---- */

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

/* Of a key that is limited to one hash libcrypto asks for the mandatory one. */
static const OSSL_PARAM rsa_pss_gettable[] = {
    COMMON_PARAMETERS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
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

static const OSSL_PARAM *rsa_pss_gettable_params(void *provider)
{
    (void)provider;
    return rsa_pss_gettable;
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
static const OSSL_PARAM ec_settable[] = {
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *ec_settable_params(void *provider)
{
    (void)provider;
    return ec_settable;
}
/* ---- What comes in and goes out ---- */

static const OSSL_PARAM rsa_types[] = {
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};

#define PSS_PARAMETERS                                                                                                 \
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),                                                       \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MASKGENFUNC, NULL, 0),                                              \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),                                              \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL)

static const OSSL_PARAM rsa_pss_types[] = {
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    PSS_PARAMETERS,
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

static const OSSL_PARAM *rsa_pss_export_types(int selection)
{
    return export_types(rsa_pss_types, selection);
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

static const OSSL_PARAM rsa_pss_taken[] = {
    OSSL_PARAM_octet_ptr(PROVIDER_PARAM_KEY, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    PSS_PARAMETERS,
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

static const OSSL_PARAM *rsa_pss_import_types(int selection)
{
    (void)selection;
    return rsa_pss_taken;
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

static const char *rsa_pss_query_operation_name(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
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

const OSSL_DISPATCH rsa_pss_keymgmt[] = {
    COMMON_FUNCTIONS,
    {OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))rsa_pss_new},
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))rsa_pss_gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))rsa_pss_gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))rsa_pss_gettable_params},
    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))rsa_pss_import_types},
    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))rsa_pss_export_types},
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))rsa_pss_query_operation_name},
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
