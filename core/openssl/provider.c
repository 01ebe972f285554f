#include "openssl/provider.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_provider_teardown_fn provider_teardown;
static OSSL_FUNC_provider_query_operation_fn provider_query_operation;

/* Filled once and for all: programs ask for algorithms before there is any key. */
#define NAMES_RSA     "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define NAMES_RSA_PSS "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10"
#define NAMES_EC      "EC:id-ecPublicKey:1.2.840.10045.2.1"
#define NAMES_ED25519 "ED25519:1.3.101.112"
#define NAMES_X25519  "X25519:1.3.101.110"

static const OSSL_ALGORITHM keymgmt_algorithms[] = {
    {NAMES_RSA, PROVIDER_PROPERTY, rsa_keymgmt, "RSA key in a store"},
    {NAMES_RSA_PSS, PROVIDER_PROPERTY, rsa_pss_keymgmt, "RSA key in a store, for PSS alone"},
    {NAMES_EC, PROVIDER_PROPERTY, ec_keymgmt, "EC key in a store"},
    {NAMES_ED25519, PROVIDER_PROPERTY, ed25519_keymgmt, "Ed25519 key in a store"},
    {NAMES_X25519, PROVIDER_PROPERTY, x25519_keymgmt, "X25519 key in a store"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM signature_algorithms[] = {
    {NAMES_RSA, PROVIDER_PROPERTY, rsa_signature, "RSASSA-PKCS1-v1_5 and RSASSA-PSS by a store"},
    {"ECDSA", PROVIDER_PROPERTY, ecdsa_signature, "ECDSA by a store"},
    {NAMES_ED25519, PROVIDER_PROPERTY, eddsa_signature, "EdDSA by a store"},
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
    {"RSA-SHA2-224:RSA-SHA224:sha224WithRSAEncryption:1.2.840.113549.1.1.14", PROVIDER_PROPERTY, rsa_sha224_signature,
     "RSASSA-PKCS1-v1_5 with SHA-224 by a store"},
    {"RSA-SHA2-256:RSA-SHA256:sha256WithRSAEncryption:1.2.840.113549.1.1.11", PROVIDER_PROPERTY, rsa_sha256_signature,
     "RSASSA-PKCS1-v1_5 with SHA-256 by a store"},
    {"RSA-SHA2-384:RSA-SHA384:sha384WithRSAEncryption:1.2.840.113549.1.1.12", PROVIDER_PROPERTY, rsa_sha384_signature,
     "RSASSA-PKCS1-v1_5 with SHA-384 by a store"},
    {"RSA-SHA2-512:RSA-SHA512:sha512WithRSAEncryption:1.2.840.113549.1.1.13", PROVIDER_PROPERTY, rsa_sha512_signature,
     "RSASSA-PKCS1-v1_5 with SHA-512 by a store"},
    {"ECDSA-SHA2-224:ECDSA-SHA224:ecdsa-with-SHA224:1.2.840.10045.4.3.1", PROVIDER_PROPERTY, ecdsa_sha224_signature,
     "ECDSA with SHA-224 by a store"},
    {"ECDSA-SHA2-256:ECDSA-SHA256:ecdsa-with-SHA256:1.2.840.10045.4.3.2", PROVIDER_PROPERTY, ecdsa_sha256_signature,
     "ECDSA with SHA-256 by a store"},
    {"ECDSA-SHA2-384:ECDSA-SHA384:ecdsa-with-SHA384:1.2.840.10045.4.3.3", PROVIDER_PROPERTY, ecdsa_sha384_signature,
     "ECDSA with SHA-384 by a store"},
    {"ECDSA-SHA2-512:ECDSA-SHA512:ecdsa-with-SHA512:1.2.840.10045.4.3.4", PROVIDER_PROPERTY, ecdsa_sha512_signature,
     "ECDSA with SHA-512 by a store"},
#endif
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM asymmetric_cipher_algorithms[] = {
    {NAMES_RSA, PROVIDER_PROPERTY, rsa_asymmetric_cipher, "RSAES by a store"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM key_exchange_algorithms[] = {
    {"ECDH", PROVIDER_PROPERTY, ecdh_key_exchange, "ECDH by a store"},
    {NAMES_X25519, PROVIDER_PROPERTY, ecdh_key_exchange, "X25519 by a store"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *const operations[] = {
    [OSSL_OP_KEYMGMT] = keymgmt_algorithms,
    [OSSL_OP_KEYEXCH] = key_exchange_algorithms,
    [OSSL_OP_SIGNATURE] = signature_algorithms,
    [OSSL_OP_ASYM_CIPHER] = asymmetric_cipher_algorithms,
};

const OSSL_ALGORITHM *provider_algorithms(int operation)
{
    if (operation < 0 || (size_t)operation >= sizeof(operations) / sizeof(operations[0]))
        return NULL;
    return operations[operation];
}

static const OSSL_ALGORITHM *provider_query_operation(void *context, int operation, int *no_cache)
{
    (void)context;
    *no_cache = 0;
    return provider_algorithms(operation);
}

static const OSSL_PARAM gettable[] = {
    OSSL_PARAM_DEFN(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR, NULL, 0),
    OSSL_PARAM_DEFN(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR, NULL, 0),
    OSSL_PARAM_DEFN(OSSL_PROV_PARAM_BUILDINFO, OSSL_PARAM_UTF8_PTR, NULL, 0),
    OSSL_PARAM_DEFN(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER, NULL, 0),
    OSSL_PARAM_END,
};

const OSSL_PARAM *provider_gettable_params(void *context)
{
    (void)context;
    return gettable;
}

int provider_get_params(void *context, OSSL_PARAM parameters[])
{
    (void)context;
    OSSL_PARAM *parameter = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_NAME);
    if (parameter != NULL && !OSSL_PARAM_set_utf8_ptr(parameter, "Keywright"))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_VERSION);
    if (parameter != NULL && !OSSL_PARAM_set_utf8_ptr(parameter, KW_VERSION))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_BUILDINFO);
    if (parameter != NULL && !OSSL_PARAM_set_utf8_ptr(parameter, KW_VERSION))
        return 0;
    parameter = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_STATUS);
    return parameter == NULL || OSSL_PARAM_set_int(parameter, 1);
}

/* ---- What TLS is told ---- */

struct groups {
    OSSL_CALLBACK *callback;
    void *argument;
};

/* Those of the default provider's whose keys libcrypto may take from here. */
static int tell_group(const OSSL_PARAM parameters[], void *user)
{
    const struct groups *groups = user;
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, OSSL_CAPABILITY_TLS_GROUP_ALG);
    const char *algorithm = NULL;
    if (parameter == NULL || !OSSL_PARAM_get_utf8_string_ptr(parameter, &algorithm) || algorithm == NULL ||
        (OPENSSL_strcasecmp(algorithm, "EC") != 0 && OPENSSL_strcasecmp(algorithm, "X25519") != 0))
        return 1;
    return groups->callback(parameters, groups->argument);
}

static int find_default(OSSL_PROVIDER *provider, void *user)
{
    OSSL_PROVIDER **found = user;
    if (strcmp(OSSL_PROVIDER_get0_name(provider), "default") == 0)
        *found = provider;
    return 1;
}

int provider_get_capabilities(void *context, const char *capability, OSSL_CALLBACK *callback, void *argument)
{
    const struct provider *provider = context;
    struct groups groups = {callback, argument};
    OSSL_PROVIDER *found = NULL;
    if (OPENSSL_strcasecmp(capability, "TLS-GROUP") != 0)
        return 1;
    crypto_enter();
    OSSL_PROVIDER_do_all(provider->library, find_default, &found);
    crypto_leave();
    return found != NULL && OSSL_PROVIDER_get_capabilities(found, capability, tell_group, &groups);
}

static void provider_teardown(void *context)
{
    free(context);
}

static const OSSL_DISPATCH provider_dispatch[] = {
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))provider_teardown},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))provider_gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))provider_get_params},
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))provider_query_operation},
    {0, NULL},
};

int provider_start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context)
{
    OSSL_FUNC_core_get_libctx_fn *get_library = NULL;
    for (; in->function_id != 0; in++)
        if (in->function_id == OSSL_FUNC_CORE_GET_LIBCTX)
            get_library = OSSL_FUNC_core_get_libctx(in);
    if (get_library == NULL)
        return 0;
    reason_start();
    struct provider *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return 0;
    /* A provider that is built in shares the library's libcrypto, where this type is the library context itself. */
    made->library = (OSSL_LIB_CTX *)get_library(handle);
    *context = made;
    *out = provider_dispatch;
    return 1;
}

/* ---- What the algorithms share ---- */

void held_clear(struct held *held)
{
    const unsigned depth = crypto_step_out();
    kw_key_free(held->key);
    crypto_step_in(depth);
    crypto_pkey_free(held->public);
    *held = (struct held){0};
}

static int held_set(struct held *held, const struct held *from)
{
    struct held taken = *from;
    if (!EVP_PKEY_up_ref(taken.public))
        return 0;
    if (taken.key != NULL)
        key_reference(taken.key);
    held_clear(held);
    *held = taken;
    return 1;
}

int held_take(struct held *held, const struct keydata *data, bool private)
{
    if (data == NULL || !data->has_public)
        return failure_set(KW_INVALID_ARGUMENT, "the operation needs a key and was given none");
    if (private && data->key == NULL && !data->in_memory)
        return failure_set(KW_INVALID_ARGUMENT, "the operation needs a private key and was given a public key");
    return held_set(held,
                    &(struct held){data->provider, data->key, data->public, data->in_memory, data->pkcs1, data->pss});
}

int held_copy(struct held *copy, const struct held *held)
{
    *copy = (struct held){0};
    return held->public == NULL || held_set(copy, held);
}

EVP_PKEY_CTX *held_delegate(const struct held *held)
{
    return EVP_PKEY_CTX_new_from_pkey(held->provider->library, held->public, DELEGATE_PROPERTY);
}

static kw_hash digest_hash(const EVP_MD *digest)
{
    for (kw_hash hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++)
        if (EVP_MD_is_a(digest, hash_name(hash)))
            return hash;
    return KW_HASH_NONE;
}

/* By the names that libcrypto and most programs use; others are for libcrypto to know. */
static kw_hash usual_hash(const char *name)
{
    static const struct numbered_name names[] = {
        {"SHA256", KW_HASH_SHA256},   {"SHA2-256", KW_HASH_SHA256}, {"SHA384", KW_HASH_SHA384},
        {"SHA2-384", KW_HASH_SHA384}, {"SHA512", KW_HASH_SHA512},   {"SHA2-512", KW_HASH_SHA512},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (OPENSSL_strcasecmp(name, names[i].name) == 0)
            return (kw_hash)names[i].number;
    return KW_HASH_NONE;
}

EVP_MD *digest_fetch(const struct provider *provider, const char *name, kw_hash *hash)
{
    const kw_hash usual = provider->digests != NULL ? usual_hash(name) : KW_HASH_NONE;
    if (usual != KW_HASH_NONE && EVP_MD_up_ref(provider->digests[usual])) {
        *hash = usual;
        return provider->digests[usual];
    }
    crypto_enter();
    EVP_MD *digest = EVP_MD_fetch(provider->library, name, DELEGATE_PROPERTY);
    const kw_hash found = digest != NULL ? digest_hash(digest) : KW_HASH_NONE;
    if (found == KW_HASH_NONE)
        EVP_MD_free(digest);
    crypto_leave();
    if (found == KW_HASH_NONE) {
        failure_set(KW_UNSUPPORTED, "the hash %s is not supported; SHA-224, SHA-256, SHA-384 and SHA-512 are", name);
        return NULL;
    }
    *hash = found;
    return digest;
}

kw_hash digest_named(const struct provider *provider, const char *name)
{
    kw_hash hash = KW_HASH_NONE;
    EVP_MD_free(digest_fetch(provider, name, &hash));
    return hash;
}

bool parameter_number(const OSSL_PARAM *parameter, const struct numbered_name *names, size_t count, int *number)
{
    if (parameter->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(parameter, number);
    const char *text = NULL;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &text) || text == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (OPENSSL_strcasecmp(text, names[i].name) == 0) {
            *number = names[i].number;
            return true;
        }
    }
    return false;
}

int parameter_answer(OSSL_PARAM *parameter, const struct numbered_name *names, size_t count, int number)
{
    if (parameter->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_int(parameter, number);
    for (size_t i = 0; i < count; i++)
        if (names[i].number == number)
            return OSSL_PARAM_set_utf8_string(parameter, names[i].name);
    return 0;
}
