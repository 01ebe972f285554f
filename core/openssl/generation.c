/*
 * Generating keys. With the parameter keywright-address a key is made in a store; without it in memory, by the default provider, for
 * programs that make keys of their own and find this provider first.
 */
#include "openssl/provider.h"

#include "base/buffer.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generator {
    const struct provider *provider;
    const char *type;
    EVP_PKEY_CTX *delegate; /* the default provider's, begun; takes all parameters that are not ours */
    bool makes_key;         /* else parameters alone */
    char *address, *store;  /* NULL: none was given */
    size_t bits;            /* RSA; 0: none were given */
    bool other_exponent;    /* RSA: one that no store is asked for */
    char group[64];         /* EC; empty: none was given */
    char hash[64], mgf[64]; /* RSA for PSS alone: its limits; empty: none was given */
    int salt;               /* negative: none was given */
};

static void generator_free(struct generator *generator)
{
    if (generator == NULL)
        return;
    crypto_enter();
    EVP_PKEY_CTX_free(generator->delegate);
    crypto_leave();
    free(generator->address);
    free(generator->store);
    free(generator);
}

static void *generator_new(const struct provider *provider, const char *type, int selection,
                           const OSSL_PARAM parameters[])
{
    struct generator *made = calloc(1, sizeof(*made));
    failure_forget();
    if (made == NULL)
        return NULL;
    made->provider = provider;
    made->type = type;
    made->salt = -1;
    made->makes_key = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
    crypto_enter();
    made->delegate = EVP_PKEY_CTX_new_from_name(provider->library, type, DELEGATE_PROPERTY);
    const bool begun = made->delegate != NULL && (made->makes_key ? EVP_PKEY_keygen_init(made->delegate)
                                                                  : EVP_PKEY_paramgen_init(made->delegate)) > 0;
    crypto_leave();
    if (!begun || !generation_set_params(made, parameters)) {
        generator_free(made);
        made = NULL;
    }
    return made;
}

void *rsa_gen_init(void *provider, int selection, const OSSL_PARAM parameters[])
{
    return generator_new(provider, "RSA", selection, parameters);
}

void *rsa_pss_gen_init(void *provider, int selection, const OSSL_PARAM parameters[])
{
    return generator_new(provider, "RSA-PSS", selection, parameters);
}

void *ec_gen_init(void *provider, int selection, const OSSL_PARAM parameters[])
{
    return generator_new(provider, "EC", selection, parameters);
}

void *ed25519_gen_init(void *provider, int selection, const OSSL_PARAM parameters[])
{
    return generator_new(provider, "ED25519", selection, parameters);
}

void *x25519_gen_init(void *provider, int selection, const OSSL_PARAM parameters[])
{
    return generator_new(provider, "X25519", selection, parameters);
}

void generation_cleanup(void *context)
{
    generator_free(context);
}

/* ---- What is wanted ---- */

static int set_text(const OSSL_PARAM parameters[], const char *name, char **text)
{
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, name);
    const char *given = NULL;
    if (parameter == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &given) || given == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "%s is a text", name);
    char *copy = text_copy(given);
    if (copy == NULL)
        return 0;
    free(*text);
    *text = copy;
    return 1;
}

static int read_name(const OSSL_PARAM parameters[], const char *name, char *to, size_t size)
{
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, name);
    const char *text = NULL;
    if (parameter == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &text) || text == NULL)
        return 0;
    return OPENSSL_strlcpy(to, text, size) < size;
}

/* What decides which key a store makes. The default provider has found it valid before. */
static int read_kind(struct generator *generator, const OSSL_PARAM parameters[])
{
    const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_BITS);
    size_t primes = 2;
    BIGNUM *exponent = NULL;
    if (parameter != NULL && !OSSL_PARAM_get_size_t(parameter, &generator->bits))
        return 0;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_PRIMES);
    if (parameter != NULL && !OSSL_PARAM_get_size_t(parameter, &primes))
        return 0;
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_E);
    if (parameter != NULL && !OSSL_PARAM_get_BN(parameter, &exponent))
        return 0;
    if (primes != 2 || (exponent != NULL && !BN_is_word(exponent, 65537)))
        generator->other_exponent = true;
    BN_free(exponent);
    parameter = OSSL_PARAM_locate_const(parameters, OSSL_PKEY_PARAM_RSA_PSS_SALTLEN);
    if (parameter != NULL && !OSSL_PARAM_get_int(parameter, &generator->salt))
        return 0;
    return read_name(parameters, OSSL_PKEY_PARAM_RSA_DIGEST, generator->hash, sizeof(generator->hash)) &&
           read_name(parameters, OSSL_PKEY_PARAM_MGF1_DIGEST, generator->mgf, sizeof(generator->mgf)) &&
           read_name(parameters, OSSL_PKEY_PARAM_GROUP_NAME, generator->group, sizeof(generator->group));
}

int generation_set_params(void *context, const OSSL_PARAM parameters[])
{
    struct generator *generator = context;
    if (parameters == NULL || parameters->key == NULL)
        return 1;
    if (!set_text(parameters, PROVIDER_PARAM_ADDRESS, &generator->address) ||
        !set_text(parameters, PROVIDER_PARAM_STORE, &generator->store))
        return 0;
    crypto_enter();
    const bool taken = EVP_PKEY_CTX_set_params(generator->delegate, parameters) > 0;
    crypto_leave();
    return taken && read_kind(generator, parameters);
}

/* A key like another one: on its curve. */
int generation_set_template(void *context, void *key)
{
    struct generator *generator = context;
    const struct keydata *like = key;
    char group[64] = "";
    crypto_enter();
    const bool named =
        like != NULL && like->public != NULL && EVP_PKEY_get_group_name(like->public, group, sizeof(group), NULL) == 1;
    crypto_leave();
    if (!named)
        return failure_set(KW_INVALID_ARGUMENT, "a key that names no curve is no template of another");
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                                     OSSL_PARAM_construct_end()};
    return generation_set_params(generator, parameters);
}

#define OWN_PARAMETERS                                                                                                 \
    OSSL_PARAM_utf8_string(PROVIDER_PARAM_ADDRESS, NULL, 0), OSSL_PARAM_utf8_string(PROVIDER_PARAM_STORE, NULL, 0)

static const OSSL_PARAM rsa_settable[] = {
    OWN_PARAMETERS,
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, NULL),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM rsa_pss_settable[] = {
    OWN_PARAMETERS,
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, NULL),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST_PROPS, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MASKGENFUNC, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_settable[] = {
    OWN_PARAMETERS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
    OSSL_PARAM_END,
};

/* TLS names the group of X25519 too. */
static const OSSL_PARAM other_settable[] = {
    OWN_PARAMETERS,
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_END,
};

const OSSL_PARAM *rsa_gen_settable_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return rsa_settable;
}

const OSSL_PARAM *rsa_pss_gen_settable_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return rsa_pss_settable;
}

const OSSL_PARAM *ec_gen_settable_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return ec_settable;
}

const OSSL_PARAM *other_gen_settable_params(void *context, void *provider)
{
    (void)context;
    (void)provider;
    return other_settable;
}

/* ---- Making it ---- */

static void *refuse(kw_status status, const char *reason)
{
    failure_set(status, "%s", reason);
    return NULL;
}

static void *generate_in_memory(const struct generator *generator)
{
    EVP_PKEY *made = NULL;
    if (generator->store != NULL)
        return refuse(KW_INVALID_ARGUMENT, "a key in a store needs " PROVIDER_PARAM_ADDRESS " too");
    crypto_enter();
    const bool generated = EVP_PKEY_generate(generator->delegate, &made) > 0;
    crypto_leave();
    if (!generated)
        return NULL;
    struct keydata *data = keydata_new(generator->provider, generator->type);
    if (data == NULL) {
        crypto_pkey_free(made);
        return NULL;
    }
    data->public = made;
    data->has_public = data->in_memory = generator->makes_key;
    crypto_enter();
    data->pss = pss_of_pkey(made);
    crypto_leave();
    return data;
}

/* As on the command line of keywright. 0: there is none such. */
static int key_wanted(const struct generator *generator, char *name, size_t size)
{
    static const char *const curves[][3] = {
        {"P-256", "prime256v1", "ec-p256"}, {"P-384", "secp384r1", "ec-p384"}, {"P-521", "secp521r1", "ec-p521"}};
    if (strcmp(generator->type, "RSA") == 0 || strcmp(generator->type, "RSA-PSS") == 0) {
        snprintf(name, size, "rsa-%zu", generator->bits != 0 ? generator->bits : 3072);
        return generator->other_exponent
                   ? failure_set(KW_UNSUPPORTED, "stores make RSA keys of two primes and the exponent 65537")
                   : 1;
    }
    if (strcmp(generator->type, "ED25519") == 0) {
        snprintf(name, size, "ed25519");
        return 1;
    }
    if (strcmp(generator->type, "EC") != 0)
        return failure_set(KW_UNSUPPORTED, "no kind of certificate has a key of type %s, which cannot sign it",
                           generator->type);
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (OPENSSL_strcasecmp(generator->group, curves[i][0]) == 0 ||
            OPENSSL_strcasecmp(generator->group, curves[i][1]) == 0) {
            snprintf(name, size, "%s", curves[i][2]);
            return 1;
        }
    }
    return failure_set(KW_INVALID_ARGUMENT, "an EC key in a store needs the group P-256, P-384 or P-521%s%s",
                       generator->group[0] != '\0' ? ", and not " : "", generator->group);
}

/*
 * How a key for PSS alone is to be certified: the SubjectPublicKeyInfo of a number that is no key, with the limits as the default provider writes
 * them, defaults and all. OPENSSL_free it; NULL: failed.
 */
static unsigned char *like_of(struct generator *generator, size_t *length)
{
    unsigned char exponent[] = {1, 0, 1}, modulus[256] = {[0] = 0x81, [255] = 0x81}; /* the same in any byte order */
    unsigned char *der = NULL;
    OSSL_PARAM parameters[6], *next = parameters;
    EVP_PKEY *key = NULL;
    *next++ = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, modulus, sizeof(modulus));
    *next++ = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, exponent, sizeof(exponent));
    if (generator->hash[0] != '\0')
        *next++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, generator->hash, 0);
    if (generator->mgf[0] != '\0')
        *next++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, generator->mgf, 0);
    if (generator->salt >= 0)
        *next++ = OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &generator->salt);
    *next = OSSL_PARAM_construct_end();
    crypto_enter();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(generator->provider->library, "RSA-PSS", DELEGATE_PROPERTY);
    const bool made = context != NULL && EVP_PKEY_fromdata_init(context) > 0 &&
                      EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) > 0;
    const int written = made ? i2d_PUBKEY(key, &der) : 0;
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(context);
    crypto_leave();
    *length = written > 0 ? (size_t)written : 0;
    return der;
}

static void *generate_in_store(struct generator *generator)
{
    const struct provider *provider = generator->provider;
    struct keydata *made = NULL;
    char key[32];
    kw_error error = {0};
    if (provider->generate == NULL)
        return refuse(KW_UNSUPPORTED, "this provider makes no keys in stores");
    if (!generator->makes_key)
        return refuse(KW_UNSUPPORTED, "parameters are in no store: leave " PROVIDER_PARAM_ADDRESS " out");
    if (!key_wanted(generator, key, sizeof(key)))
        return NULL;
    struct generation wanted = {.address = generator->address, .store = generator->store, .key = key};
    unsigned char *like = NULL;
    if (strcmp(generator->type, "RSA-PSS") == 0) {
        like = like_of(generator, &wanted.like.length);
        wanted.like.data = like;
        if (like == NULL)
            return NULL;
    }
    if (provider->generate(provider->user, &wanted, &made, &error) != KW_OK)
        failure_keep(&error);
    OPENSSL_free(like);
    return made;
}

void *generation_generate(void *context, OSSL_CALLBACK *progress, void *argument)
{
    struct generator *generator = context;
    (void)progress;
    (void)argument;
    failure_forget();
    return generator->address != NULL ? generate_in_store(generator) : generate_in_memory(generator);
}
