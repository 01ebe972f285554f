/* The plugin of the store `derived`: keys are derived when they are opened. Nothing is stored, so that nothing is made or imported here. */
#include "subkey/derived.h"

#include "base/buffer.h"
#include "base/secret.h"
#include "store/host.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PROVIDER       "provider=default"
#define SUBKEY_MAXIMUM 64u
#define DIGEST_MAXIMUM 64u
#define HASHES         (KW_BIT(KW_HASH_SHA224) | KW_BIT(KW_HASH_SHA256) | KW_BIT(KW_HASH_SHA384) | KW_BIT(KW_HASH_SHA512))

struct kw_plugin_instance {
    kw_host host;
    const struct derived_service *service;
};

struct kw_plugin_key {
    kw_plugin_instance *instance;
    EVP_PKEY *pkey;
    const char *name;
    struct id master;
    const struct ability *ability;
    unsigned char *spki;
    size_t spki_length;
};

/* What is known of a key by its name. */
static const struct ability {
    const char *name;
    kw_key_type type;
    kw_curve curve;
    uint32_t bits;
    size_t signature; /* at most so long */
    size_t shared;
    uint32_t operations, schemes, sign_hashes;
} abilities[] = {
    {.name = "ec-p256",
     .type = KW_KEY_EC,
     .curve = KW_CURVE_P256,
     .bits = 256,
     .signature = 72,
     .shared = 32,
     .operations = KW_CAN_SIGN | KW_CAN_DERIVE,
     .schemes = KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_ECDH),
     .sign_hashes = HASHES},
    {.name = "ec-p384",
     .type = KW_KEY_EC,
     .curve = KW_CURVE_P384,
     .bits = 384,
     .signature = 104,
     .shared = 48,
     .operations = KW_CAN_SIGN | KW_CAN_DERIVE,
     .schemes = KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_ECDH),
     .sign_hashes = HASHES},
    {.name = "ed25519",
     .type = KW_KEY_ED25519,
     .bits = 256,
     .signature = 64,
     .operations = KW_CAN_SIGN,
     .schemes = KW_BIT(KW_SCHEME_EDDSA)},
};

/* ---- Reports ---- */

static kw_status report(const kw_plugin_instance *instance, kw_status status, const char *sentence)
{
    instance->host.report(instance->host.context, sentence);
    return status;
}

/* With place and remedy, which a sentence has not. */
static kw_status fail(const kw_error *error)
{
    host_call_explain(error);
    return error->status;
}

/* ---- The instance ---- */

static kw_status derived_open(const kw_call *call, const kw_host *host, const kw_option_value *options,
                              size_t option_count, kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    struct builtin_host builtin = {.service = NULL};
    kw_plugin_instance *made = NULL;

    (void)call;
    (void)options;
    (void)option_count;
    if (host->size >= sizeof(builtin))
        memcpy(&builtin, host, sizeof(builtin));
    if (builtin.service == NULL) {
        host->report(host->context, "this store belongs to the library itself");
        return KW_CONFIGURATION;
    }
    made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    made->host = builtin.host;
    made->service = builtin.service;
    *capabilities = (kw_capabilities){
        .size = sizeof(*capabilities),
        .operations = KW_CAN_SIGN | KW_CAN_DERIVE | KW_CAN_EXPORT | KW_CAN_DELETE,
        .features = KW_FEATURE_SHARED,
        .key_types = KW_BIT(KW_KEY_EC) | KW_BIT(KW_KEY_ED25519),
        .curves = KW_BIT(KW_CURVE_P256) | KW_BIT(KW_CURVE_P384),
        .schemes = KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_ECDH) | KW_BIT(KW_SCHEME_EDDSA),
        .sign_hashes = HASHES,
    };
    *instance = made;
    return KW_OK;
}

static void derived_close(kw_plugin_instance *instance)
{
    free(instance);
}

/* What a key needs is looked at when it is opened: a store of its own there is none. */
static kw_status derived_health(kw_plugin_instance *instance, const kw_call *call)
{
    (void)instance;
    (void)call;
    return KW_OK;
}

/* ---- Keys ---- */

static void derived_key_close(kw_plugin_key *key)
{
    if (key == NULL)
        return;
    crypto_enter();
    crypto_pkey_free(key->pkey);
    OPENSSL_free(key->spki);
    crypto_leave();
    free(key);
}

/* The subkey may take a call to the store of the master key: no lock is held. */
static kw_status derive_bytes(const struct derived_service *service, const struct derived_locator *locator,
                              struct secret *bytes, kw_error *error)
{
    const struct subkey_name name = {
        .class = SUBKEY_CERTIFICATE,
        .master = locator->master,
        .version = locator->version,
        .purpose = input_text(locator->key),
        .context = {locator->key_id.bytes, sizeof(locator->key_id.bytes)},
    };
    struct host_nesting nesting;
    kw_status status = secret_new(bytes, SUBKEY_MAXIMUM, error);

    if (status != KW_OK)
        return status;
    bytes->length = derived_key_bytes(locator->key);
    host_nest_begin(&nesting);
    status = service->subkey(service->user, &name, bytes->data, bytes->length, error);
    host_nest_end(&nesting);
    return status;
}

static kw_status make_pkey(kw_plugin_key *key, const struct secret *bytes, kw_error *error)
{
    const struct derived_service *const service = key->instance->service;
    int length;
    kw_status status;

    crypto_enter();
    status = derived_key_make(service->crypto, key->name, secret_view(bytes), &key->pkey, error);
    if (status == KW_OK) {
        length = i2d_PUBKEY(key->pkey, &key->spki);
        key->spki_length = length > 0 ? (size_t)length : 0;
        if (length <= 0)
            status = crypto_error(error, KW_FAILED, "libcrypto failed to encode the public key");
    }
    crypto_leave();
    return status;
}

static kw_status derived_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input text, kw_plugin_key **key,
                                  kw_key_capabilities *capabilities)
{
    struct derived_locator locator = {0};
    struct secret bytes = {0};
    kw_error error = {0};
    kw_plugin_key *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? derived_locator_read(text, &locator, &error) : error_memory(&error);

    (void)call;
    if (status != KW_OK)
        goto out;
    made->instance = instance;
    made->name = locator.key;
    made->master = locator.master;
    for (size_t i = 0; i < sizeof(abilities) / sizeof(abilities[0]); i++)
        if (strcmp(abilities[i].name, locator.key) == 0)
            made->ability = &abilities[i];
    status = derive_bytes(instance->service, &locator, &bytes, &error);
    if (status == KW_OK)
        status = make_pkey(made, &bytes, &error);
    if (status != KW_OK)
        goto out;
    *capabilities = (kw_key_capabilities){
        .size = sizeof(*capabilities),
        .type = made->ability->type,
        .bits = made->ability->bits,
        .curve = made->ability->curve,
        .operations = made->ability->operations | KW_CAN_EXPORT | KW_CAN_DELETE,
        .features = KW_FEATURE_SHARED,
        .schemes = made->ability->schemes,
        .sign_hashes = made->ability->sign_hashes,
    };
    *key = made;
    made = NULL;
out:
    secret_clear(&bytes);
    if (made != NULL && made->instance == NULL)
        free(made);
    else
        derived_key_close(made);
    return status == KW_OK ? KW_OK : fail(&error);
}

/* They are in the catalogue, and nowhere else. */
static kw_status derived_key_find(kw_plugin_instance *instance, const kw_call *call,
                                  const unsigned char id[KW_KEY_ID_LENGTH], kw_output *locator)
{
    (void)call;
    (void)id;
    (void)locator;
    return report(instance, KW_NOT_FOUND, "derived keys are stored nowhere, and found by their locators alone");
}

static kw_status derived_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input text)
{
    struct derived_locator locator;
    kw_error error = {0};

    (void)instance;
    (void)call;
    return derived_locator_read(text, &locator, &error) == KW_OK ? KW_OK : fail(&error);
}

static kw_status derived_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    (void)call;
    return output_copy(spki, (kw_input){key->spki, key->spki_length});
}

/* Whether so many bytes fit; sets the length. */
static bool fits(kw_output *output, size_t length)
{
    output->length = length;
    return output->data != NULL && output->capacity >= length;
}

/* The key is in memory, and serves as long as what its master key's root seals. Another store may be asked: no lock is held. */
static kw_status check_serves(const kw_plugin_key *key)
{
    const struct derived_service *const service = key->instance->service;
    struct host_nesting nesting;
    kw_error error = {0};
    kw_status status;

    host_nest_begin(&nesting);
    status = service->serves(service->user, &key->master, &error);
    host_nest_end(&nesting);
    return status == KW_OK ? KW_OK : fail(&error);
}

static kw_status derived_key_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8)
{
    PKCS8_PRIV_KEY_INFO *info = NULL;
    unsigned char *at = pkcs8->data;
    kw_status status = check_serves(key);
    int length = 0;

    (void)call;
    if (status != KW_OK)
        return status;
    status = KW_FAILED;
    crypto_enter();
    info = EVP_PKEY2PKCS8(key->pkey);
    length = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
    if (length > 0)
        status = fits(pkcs8, (size_t)length) ? KW_OK : KW_BUFFER_TOO_SMALL;
    if (status == KW_OK && i2d_PKCS8_PRIV_KEY_INFO(info, &at) != length)
        status = KW_FAILED;
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    crypto_leave();
    return status == KW_FAILED ? report(key->instance, KW_FAILED, "libcrypto failed to encode the key") : status;
}

/* ---- What keys are for ---- */

/* What the caller knew of the struct. KW_UNSUPPORTED: another scheme than `wanted`, or one that this key does not have. */
static kw_status take_algorithm(const kw_plugin_key *key, const kw_algorithm *sent, uint32_t wanted,
                                kw_algorithm *algorithm)
{
    *algorithm = (kw_algorithm){0};
    memcpy(algorithm, sent, sent->size < sizeof(*algorithm) ? sent->size : sizeof(*algorithm));
    if ((unsigned)algorithm->scheme > KW_SCHEME_ECDH ||
        (key->ability->schemes & wanted & KW_BIT(algorithm->scheme)) == 0)
        return report(key->instance, KW_UNSUPPORTED, "a derived key of this type does not do this scheme");
    return check_serves(key);
}

/* ECDSA: `input` becomes the digest. One without a hash's name has 1 to DIGEST_MAXIMUM bytes. */
static kw_status take_digest(const kw_plugin_key *key, const kw_algorithm *algorithm,
                             unsigned char digest[EVP_MAX_MD_SIZE], kw_input *input)
{
    kw_error error = {0};
    size_t length = 0;
    kw_status status = KW_OK;

    if (algorithm->hash == KW_HASH_NONE && algorithm->is_message == 0)
        return input->length >= 1 && input->length <= DIGEST_MAXIMUM
                   ? KW_OK
                   : report(key->instance, KW_INVALID_ARGUMENT, "a digest has 1 to 64 bytes");
    if ((unsigned)algorithm->hash > KW_HASH_SHA512 || (key->ability->sign_hashes & KW_BIT(algorithm->hash)) == 0)
        return report(key->instance, KW_UNSUPPORTED, "derived keys do not sign with this hash");
    if (algorithm->is_message == 0)
        return input->length == hash_length(algorithm->hash)
                   ? KW_OK
                   : report(key->instance, KW_INVALID_ARGUMENT, "the digest does not have the length of its hash");
    status = crypto_digest(key->instance->service->crypto, algorithm->hash, *input, digest, &length, &error);
    *input = (kw_input){digest, length};
    return status == KW_OK ? KW_OK : fail(&error);
}

/* Between crypto_enter and crypto_leave. */
static bool sign_digest(kw_plugin_key *key, kw_input input, unsigned char *out, size_t *length)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(key->instance->service->crypto->library, key->pkey, PROVIDER);
    const bool done = context != NULL && EVP_PKEY_sign_init(context) == 1 &&
                      EVP_PKEY_sign(context, out, length, input.data, input.length) == 1;

    EVP_PKEY_CTX_free(context);
    return done;
}

static bool sign_message(kw_plugin_key *key, kw_input input, unsigned char *out, size_t *length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool done = context != NULL &&
                      EVP_DigestSignInit_ex(context, NULL, NULL, key->instance->service->crypto->library, PROVIDER,
                                            key->pkey, NULL) == 1 &&
                      EVP_DigestSign(context, out, length, input.data, input.length) == 1;

    EVP_MD_CTX_free(context);
    return done;
}

static kw_status derived_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input input,
                              kw_output *signature)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    kw_algorithm algorithm;
    kw_error error = {0};
    size_t length = key->ability->signature;
    bool done;
    kw_status status = take_algorithm(key, sent, KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_EDDSA), &algorithm);

    (void)call; /* never waits */
    if (status == KW_OK && algorithm.scheme == KW_SCHEME_ECDSA)
        status = take_digest(key, &algorithm, digest, &input);
    if (status != KW_OK)
        return status;
    if (!fits(signature, length))
        return KW_BUFFER_TOO_SMALL;
    crypto_enter();
    done = algorithm.scheme == KW_SCHEME_ECDSA ? sign_digest(key, input, signature->data, &length)
                                               : sign_message(key, input, signature->data, &length);
    if (!done)
        (void)crypto_error(&error, KW_FAILED, "libcrypto failed to sign");
    crypto_leave();
    if (!done)
        return fail(&error);
    signature->length = length;
    return KW_OK;
}

/* Between crypto_enter and crypto_leave. NULL: no public key. */
static EVP_PKEY *read_peer(const struct crypto *crypto, kw_input spki)
{
    const unsigned char *at = spki.data;
    EVP_PKEY *peer = NULL;

    if (spki.length == 0 || spki.length > UINT16_MAX)
        return NULL;
    peer = d2i_PUBKEY_ex(NULL, &at, (long)spki.length, crypto->library, PROVIDER);
    if (peer != NULL && at != spki.data + spki.length) {
        crypto_pkey_free(peer);
        peer = NULL;
    }
    return peer;
}

/* libcrypto checks that the peer's point is on this key's curve. */
static kw_status derived_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *sent, kw_input peer,
                                kw_output *shared)
{
    const struct crypto *const crypto = key->instance->service->crypto;
    kw_algorithm algorithm;
    kw_error error = {0};
    EVP_PKEY *other = NULL;
    EVP_PKEY_CTX *context = NULL;
    size_t length = key->ability->shared;
    bool done;
    kw_status status = take_algorithm(key, sent, KW_BIT(KW_SCHEME_ECDH), &algorithm);

    (void)call; /* never waits */
    if (status != KW_OK)
        return status;
    if (!fits(shared, length))
        return KW_BUFFER_TOO_SMALL;
    crypto_enter();
    other = read_peer(crypto, peer);
    context = EVP_PKEY_CTX_new_from_pkey(crypto->library, key->pkey, PROVIDER);
    done = other != NULL && context != NULL && EVP_PKEY_derive_init(context) == 1 &&
           EVP_PKEY_derive_set_peer(context, other) == 1 && EVP_PKEY_derive(context, shared->data, &length) == 1;
    if (!done)
        (void)crypto_error(&error, KW_INVALID_ARGUMENT, "the peer's key is none on the curve of this one");
    EVP_PKEY_CTX_free(context);
    crypto_pkey_free(other);
    crypto_leave();
    if (!done)
        return fail(&error);
    shared->length = length;
    return KW_OK;
}

const struct module derived_module = {
    .plugin = {.abi_major = KW_ABI_MAJOR,
               .abi_minor = KW_ABI_MINOR,
               .size = sizeof(kw_plugin),
               .name = DERIVED_STORE,
               .version = KW_VERSION,
               .summary = "keys that are stored nowhere: derived from a master key when they are used",
               .operations = &derived_module.operations,
               .traits = KW_TRAIT_COUNTS}, /* no calls: there is no backend */
    .operations = {.size = sizeof(kw_plugin_operations),
                   .open = derived_open,
                   .close = derived_close,
                   .health = derived_health,
                   .key_export = derived_key_export,
                   .key_delete = derived_key_delete,
                   .key_find = derived_key_find,
                   .key_open = derived_key_open,
                   .key_close = derived_key_close,
                   .key_public = derived_key_public,
                   .sign = derived_sign,
                   .derive = derived_derive},
};
