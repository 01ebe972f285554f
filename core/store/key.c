/* Handles on keys, and all that is done with private ones. */
#include "base/buffer.h"
#include "base/rsa_padding.h"
#include "store/key_private.h"

#include <stdlib.h>
#include <string.h>

const struct key_kind key_kinds[] = {
    {"rsa-2048", KW_KEY_RSA, 2048, KW_CURVE_NONE}, {"rsa-3072", KW_KEY_RSA, 3072, KW_CURVE_NONE},
    {"rsa-4096", KW_KEY_RSA, 4096, KW_CURVE_NONE}, {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256},
    {"ec-p384", KW_KEY_EC, 384, KW_CURVE_P384},    {"ec-p521", KW_KEY_EC, 521, KW_CURVE_P521},
    {"ed25519", KW_KEY_ED25519, 0, KW_CURVE_NONE}, {NULL, KW_KEY_NONE, 0, KW_CURVE_NONE},
};

const struct key_kind *key_kind_find(const char *name)
{
    for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
        if (strcmp(kind->name, name) == 0)
            return kind;
    return NULL;
}

static const char *key_name_find(const kw_key_capabilities *capabilities)
{
    for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
        if (kind->type == capabilities->type && kind->curve == capabilities->curve &&
            (kind->type != KW_KEY_RSA || kind->bits == capabilities->bits))
            return kind->name;
    return NULL;
}

/* ---- Opening ----------------------------------------------------------------------------------------- */

static kw_key *key_new(struct crypto *crypto, struct store *store)
{
    kw_key *const key = calloc(1, sizeof(*key));

    if (key == NULL)
        return NULL;
    atomic_init(&key->references, 1);
    for (size_t i = 0; i < KEY_HASHERS; i++)
        atomic_init(&key->hashers[i], NULL);
    key->crypto = crypto;
    key->store = store;
    return key;
}

/* What the plugin says about the key must agree with the public key itself. */
static kw_status key_check_claims(const kw_key *key, const kw_key_capabilities *claimed, kw_error *error)
{
    const kw_key_capabilities *const real = &key->capabilities;
    kw_status status;

    if (claimed->type == real->type && (real->type != KW_KEY_RSA || claimed->bits == real->bits) &&
        (real->type != KW_KEY_EC || claimed->curve == real->curve))
        return KW_OK;
    status = error_set(error, KW_FAILED,
                       "the plugin '%s' is broken: the type that it claims for a key is not that of its public key",
                       store_plugin(key->store));
    error_where(error, "store %s", store_name(key->store));
    return status;
}

kw_status key_open(struct store *store, kw_input locator, kw_key **key, kw_error *error)
{
    kw_status status;
    unsigned char spki[KEY_SPKI_MAXIMUM];
    kw_output output = {.data = spki, .capacity = sizeof(spki)};
    kw_key_capabilities claimed = {0};
    kw_key *made = key_new(store_crypto(store), store);

    if (made == NULL)
        return error_memory(error);
    status = store_key_open(store, locator, &made->handle, &claimed, error);
    if (status != KW_OK)
        goto out;
    status = store_key_public(store, made->handle, &output, error);
    if (status != KW_OK)
        goto out;
    status = key_describe(made, (kw_input){spki, output.length}, error);
    if (status != KW_OK) {
        error_where(error, "store %s", store_name(store));
        goto out;
    }
    status = key_check_claims(made, &claimed, error);
    if (status != KW_OK)
        goto out;
    claimed.bits = made->capabilities.bits;
    claimed.curve = made->capabilities.curve;
    made->capabilities = claimed;
    *key = made;
    made = NULL;
out:
    kw_key_free(made);
    return status;
}

kw_status key_open_public(struct crypto *crypto, kw_input spki, kw_key **key, kw_error *error)
{
    kw_status status;
    kw_key *made = key_new(crypto, NULL);

    if (made == NULL)
        return error_memory(error);
    status = key_describe(made, spki, error);
    if (status == KW_OK) {
        *key = made;
        made = NULL;
    }
    kw_key_free(made);
    return status;
}

kw_key *key_reference(kw_key *key)
{
    atomic_fetch_add_explicit(&key->references, 1, memory_order_relaxed);
    return key;
}

void kw_key_free(kw_key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->references, 1, memory_order_acq_rel) > 1)
        return;
    if (key->handle != NULL)
        store_key_close(key->store, key->handle);
    for (size_t i = 0; i < KEY_HASHERS; i++)
        EVP_MD_CTX_free(atomic_load_explicit(&key->hashers[i], memory_order_relaxed));
    EVP_PKEY_free(key->pkey);
    free(key);
}

struct store *key_store(const kw_key *key)
{
    return key->store;
}

EVP_PKEY *key_public_pkey(const kw_key *key)
{
    return key->pkey;
}

const char *key_name(const kw_key *key)
{
    return key_name_find(&key->capabilities);
}

const kw_key_capabilities *kw_key_get_capabilities(const kw_key *key)
{
    return &key->capabilities;
}

kw_input kw_key_get_public(const kw_key *key)
{
    return (kw_input){key->spki, key->spki_length};
}

/* ---- Private operations ------------------------------------------------------------------------------- */

static bool key_has(const kw_key *key, uint32_t operation, kw_scheme scheme)
{
    return (key->capabilities.operations & operation) != 0 && (key->capabilities.schemes & KW_BIT(scheme)) != 0;
}

/* KW_UNSUPPORTED, with the store where there is one. */
static kw_status key_cannot(const kw_key *key, kw_error *error, const char *what)
{
    kw_status status;

    if (key->store == NULL)
        return error_set(error, KW_UNSUPPORTED, "only the public key is known here: it cannot %s", what);
    status = error_set(error, KW_UNSUPPORTED, "the key cannot %s", what);
    error_where(error, "store %s", store_name(key->store));
    return status;
}

static kw_status key_broken(const kw_key *key, kw_error *error, const char *what)
{
    const kw_status status =
        error_set(error, KW_FAILED, "the plugin '%s' is broken: %s", store_plugin(key->store), what);
    error_where(error, "store %s", store_name(key->store));
    return status;
}

static const kw_algorithm raw_rsa = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_RAW};

/* The padding made here, for what the store can do raw RSA alone. */
static kw_status sign_raw(kw_key *key, const struct signing *signing, kw_output *signature, kw_error *error)
{
    unsigned char block[RSA_BYTES_MAXIMUM];
    const size_t length = key->signature_length;
    const kw_status status = signing->algorithm.scheme == KW_SCHEME_RSA_PSS
                                 ? rsa_pss_encode(key->crypto, &signing->algorithm, signing->input,
                                                  key->capabilities.bits, block, length, error)
                                 : rsa_pkcs1_encode(signing->algorithm.hash, signing->input, block, length, error);

    return status != KW_OK ? status
                           : store_sign(key->store, key->handle, &raw_rsa, (kw_input){block, length}, signature, error);
}

static bool sign_is_native(const kw_key *key, const kw_algorithm *algorithm)
{
    return key_has(key, KW_CAN_SIGN, algorithm->scheme) &&
           (key->capabilities.type != KW_KEY_RSA || (key->capabilities.sign_hashes & KW_BIT(algorithm->hash)) != 0);
}

/* By the store's own scheme, else by raw RSA; also where the store claims a scheme and then does not have this form of it. */
static kw_status sign_in_store(kw_key *key, const struct signing *signing, kw_output *signature, kw_error *error)
{
    const bool native = sign_is_native(key, &signing->algorithm);
    const bool raw = key->capabilities.type == KW_KEY_RSA && key_has(key, KW_CAN_SIGN, KW_SCHEME_RSA_RAW);
    kw_error inner; /* filled by a failure alone: the caller's must stay untouched when raw RSA then succeeds */
    kw_status status;

    if (!native)
        return raw ? sign_raw(key, signing, signature, error)
                   : key_cannot(key, error, "sign with this scheme and hash");
    status = store_sign(key->store, key->handle, &signing->algorithm, signing->input, signature, &inner);
    if (status == KW_UNSUPPORTED && raw)
        return sign_raw(key, signing, signature, error);
    if (status != KW_OK && error != NULL)
        *error = inner;
    return status;
}

kw_status kw_key_sign(kw_key *key, const kw_algorithm *algorithm, kw_input input, kw_output *signature, kw_error *error)
{
    struct signing signing;
    kw_output made;
    kw_status status = signing_algorithm(key, algorithm, input, &signing, error);

    if (status != KW_OK)
        return status;
    if (signing.algorithm.hash == KW_HASH_SHA1)
        return error_set(error, KW_UNSUPPORTED, "SHA-1 is not for new signatures");
    if (key->handle == NULL)
        return key_cannot(key, error, "sign");
    status = key_check_room(signature, key->signature_length, error);
    if (status != KW_OK)
        return status;
    status = signing_input(key, input, &signing, error);
    if (status != KW_OK)
        return status;
    made = (kw_output){.data = signature->data, .capacity = signature->capacity};
    status = sign_in_store(key, &signing, &made, error);
    if (status == KW_BUFFER_TOO_SMALL)
        return key_broken(key, error, "its signature needs more room than any of this key");
    if (status != KW_OK)
        return status;
    if (key->capabilities.type == KW_KEY_EC ? made.length == 0 || made.length > key->signature_length
                                            : made.length != key->signature_length)
        return key_broken(key, error, "its signature has a length that none of this key has");
    signature->length = made.length;
    return KW_OK;
}

/* The number must be as long as the modulus and below it. */
static bool ciphertext_in_range(const kw_key *key, kw_input ciphertext)
{
    return ciphertext.data != NULL && ciphertext.length == key->signature_length &&
           memcmp(ciphertext.data, key->modulus, ciphertext.length) < 0;
}

/* RSADP into `block`, which gets the modulus' length. */
static kw_status decrypt_block(kw_key *key, kw_input ciphertext, struct secret *block, kw_error *error)
{
    kw_output output;
    kw_status status = secret_new(block, key->signature_length, error);

    if (status != KW_OK)
        return status;
    output = (kw_output){.data = block->data, .capacity = block->capacity};
    status = store_decrypt(key->store, key->handle, &raw_rsa, ciphertext, &output, error);
    if (status == KW_BUFFER_TOO_SMALL || (status == KW_OK && output.length != key->signature_length))
        return key_broken(key, error, "its raw RSA does not answer with as many bytes as the modulus has");
    block->length = key->signature_length;
    return status;
}

static kw_status decrypt_raw_oaep(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext, kw_output *plaintext,
                                  kw_error *error)
{
    struct secret block = {0};
    kw_status status = decrypt_block(key, ciphertext, &block, error);

    if (status == KW_OK)
        status = rsa_oaep_unpad(key->crypto, algorithm->hash, algorithm->mgf_hash, algorithm->label,
                                secret_view(&block), plaintext, error);
    secret_clear(&block);
    return status;
}

static bool decrypt_is_native(const kw_key *key, const kw_algorithm *algorithm)
{
    const uint32_t needed = KW_BIT(algorithm->hash) | KW_BIT(algorithm->mgf_hash);

    return key_has(key, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP) && (key->capabilities.oaep_hashes & needed) == needed;
}

static kw_status decrypt_oaep(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext, kw_output *plaintext,
                              kw_error *error)
{
    kw_algorithm oaep;
    kw_output made;
    kw_error inner; /* as in sign_in_store */
    bool native, raw;
    kw_status status = oaep_algorithm(key, algorithm, &oaep, error);

    if (status != KW_OK)
        return status;
    native = decrypt_is_native(key, &oaep);
    raw = key_has(key, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW);
    if (!native && !raw)
        return key_cannot(key, error, "decrypt OAEP with this hash");
    status = key_check_room(plaintext, key->signature_length, error);
    if (status != KW_OK)
        return status;
    if (!ciphertext_in_range(key, ciphertext))
        return error_set(error, KW_CIPHERTEXT_INVALID, "the ciphertext was not made for this key");
    made = (kw_output){.data = plaintext->data, .capacity = plaintext->capacity};
    if (native) {
        status = store_decrypt(key->store, key->handle, &oaep, ciphertext, &made, &inner);
        if (status != KW_OK && !(status == KW_UNSUPPORTED && raw)) {
            if (error != NULL)
                *error = inner;
            return status == KW_BUFFER_TOO_SMALL ? key_broken(key, error, "its plaintext needs more room than any")
                                                 : status;
        }
    }
    if (!native || status == KW_UNSUPPORTED)
        status = decrypt_raw_oaep(key, &oaep, ciphertext, &made, error);
    if (status == KW_OK)
        plaintext->length = made.length;
    return status;
}

void key_allow_pkcs1_decrypt(kw_key *key)
{
    key->pkcs1_decrypt = true;
}

static kw_status refuse_pkcs1(kw_error *error)
{
    const kw_status status =
        error_set(error, KW_REFUSED, "the settings of this certificate do not allow raw PKCS#1 v1.5 decryption");
    error_remedy(error, "use OAEP or CMS; or, for old clients, set pkcs1_decrypt: true for it under 'certificates:'");
    return status;
}

kw_status kw_key_decrypt(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext, kw_output *plaintext,
                         kw_error *error)
{
    if (algorithm != NULL && KW_HAS(algorithm, scheme) && algorithm->scheme == KW_SCHEME_RSA_PKCS1)
        return key->pkcs1_decrypt ? key_decrypt_pkcs1(key, ciphertext, plaintext, error) : refuse_pkcs1(error);
    return decrypt_oaep(key, algorithm, ciphertext, plaintext, error);
}

kw_status key_decrypt_pkcs1(kw_key *key, kw_input ciphertext, kw_output *plaintext, kw_error *error)
{
    /* A block that is not well formed, in place of one that a ciphertext out of range does not have. */
    static const unsigned char malformed[RSA_BYTES_MAXIMUM];
    unsigned char digest[SHA256_LENGTH], seed[SHA256_LENGTH] = {0}, padded[RSA_BYTES_MAXIMUM] = {0};
    const size_t length = key->signature_length;
    struct secret block = {0};
    kw_input content = {malformed, length}, bound = ciphertext;
    kw_output made;
    kw_status status;

    if (key->capabilities.type != KW_KEY_RSA || !key_has(key, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW))
        return key_cannot(key, error, "decrypt PKCS#1 v1.5: that takes raw RSA");
    status = key_check_room(plaintext, length, error);
    if (status != KW_OK)
        return status;
    if (ciphertext_in_range(key, ciphertext)) {
        status = decrypt_block(key, ciphertext, &block, error);
        if (status != KW_OK)
            goto out;
        content = secret_view(&block);
    } else {
        /* Its length and value are public; the answer is still a function of it and of the seed. */
        status = crypto_sha256(key->crypto, ciphertext, padded, error);
        if (status != KW_OK)
            goto out;
        bound = (kw_input){padded, length};
    }
    status = crypto_sha256(key->crypto, kw_key_get_public(key), digest, error);
    if (status != KW_OK)
        goto out;
    status = catalogue_derive(store_catalogue(key->store), "reject", (kw_input){digest, sizeof(digest)}, seed, error);
    if (status != KW_OK)
        goto out;
    made = (kw_output){.data = plaintext->data, .capacity = plaintext->capacity};
    status = rsa_pkcs1_unpad(key->crypto, (kw_input){seed, sizeof(seed)}, bound, content, &made, error);
    if (status == KW_OK)
        plaintext->length = made.length;
out:
    secret_wipe(seed, sizeof(seed));
    secret_clear(&block);
    return status;
}

kw_status kw_key_derive(kw_key *key, kw_input peer, kw_output *shared, kw_error *error)
{
    static const kw_algorithm ecdh = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDH};
    unsigned char any = 0;
    kw_output made;
    kw_status status;

    if (key->shared_length == 0 || !key_has(key, KW_CAN_DERIVE, KW_SCHEME_ECDH))
        return key_cannot(key, error, "agree on secrets (ECDH)");
    status = key_check_room(shared, key->shared_length, error);
    if (status != KW_OK)
        return status;
    status = key_check_peer(key, peer, error);
    if (status != KW_OK)
        return status;
    made = (kw_output){.data = shared->data, .capacity = shared->capacity};
    status = store_derive(key->store, key->handle, &ecdh, peer, &made, error);
    if (status == KW_BUFFER_TOO_SMALL || (status == KW_OK && made.length != key->shared_length))
        return key_broken(key, error, "its shared secret is not as long as the curve's field");
    if (status != KW_OK)
        return status;
    for (size_t i = 0; i < made.length; i++)
        any = (unsigned char)(any | shared->data[i]);
    if (any == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "the peer's key makes a secret of zeros");
    shared->length = made.length;
    return KW_OK;
}

kw_status key_export(kw_key *key, struct secret *pkcs8, kw_error *error)
{
    struct secret made = {0};
    kw_output output;
    kw_status status;

    if (key->handle == NULL)
        return key_cannot(key, error, "be given out");
    if ((store_capabilities(key->store)->operations & KW_CAN_EXPORT) == 0)
        return key_cannot(key, error, "be given out: its store does not give out any");
    if ((key->capabilities.operations & KW_CAN_EXPORT) == 0) {
        status = error_set(error, KW_REFUSED, "the key is not exportable: its store does not give it out");
        error_where(error, "store %s", store_name(key->store));
        return status;
    }
    output = (kw_output){0};
    status = store_key_export(key->store, key->handle, &output, error);
    if (status == KW_OK)
        status = key_broken(key, error, "it gave out a key without a buffer");
    if (status != KW_BUFFER_TOO_SMALL)
        goto out;
    status = error_tolerate(status, KW_BUFFER_TOO_SMALL, error);
    if (status == KW_OK)
        status = secret_new(&made, output.length, error);
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = made.data, .capacity = made.capacity};
    status = store_key_export(key->store, key->handle, &output, error);
    if (status == KW_BUFFER_TOO_SMALL)
        status = key_broken(key, error, "a key needs more room than its plugin asked for");
    if (status != KW_OK)
        goto out;
    made.length = output.length;
    *pkcs8 = made;
    made = (struct secret){0};
out:
    secret_clear(&made);
    return status;
}
