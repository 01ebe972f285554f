#include "subkey/root_wrap.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define PROVIDER       "provider=default"
#define SHARED_MAXIMUM 66u /* P-521 */
#define TAG_LENGTH     16u
#define ECDH_NAME      "ecdh-hkdf-sha256-aes-256-gcm"

/* The first that a key's store can undo is taken; what does raw RSA undoes all of OAEP. */
static const struct wrap_algorithm algorithms[] = {
    {"rsa-oaep-sha256", KW_KEY_RSA, KW_HASH_SHA256}, {"rsa-oaep-sha384", KW_KEY_RSA, KW_HASH_SHA384},
    {"rsa-oaep-sha512", KW_KEY_RSA, KW_HASH_SHA512}, {"rsa-oaep-sha1", KW_KEY_RSA, KW_HASH_SHA1},
    {ECDH_NAME, KW_KEY_EC, KW_HASH_SHA256},
};
enum { ALGORITHM_COUNT = sizeof(algorithms) / sizeof(algorithms[0]) };

const struct wrap_algorithm *wrap_find(kw_input name)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (input_equal(name, input_text(algorithms[i].name)))
            return &algorithms[i];
    return NULL;
}

static bool key_has(const kw_key_capabilities *key, uint32_t operation, kw_scheme scheme)
{
    return (key->operations & operation) != 0 && (key->schemes & KW_BIT(scheme)) != 0;
}

bool wrap_can_undo(const struct wrap_algorithm *algorithm, const kw_key_capabilities *key)
{
    if (algorithm->type != key->type)
        return false;
    if (key->type == KW_KEY_EC)
        return key_has(key, KW_CAN_DERIVE, KW_SCHEME_ECDH);
    return key_has(key, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW) ||
           (key_has(key, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP) && (key->oaep_hashes & KW_BIT(algorithm->hash)) != 0);
}

const struct wrap_algorithm *wrap_choose(const kw_key_capabilities *key)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (wrap_can_undo(&algorithms[i], key))
            return &algorithms[i];
    return NULL;
}

const struct wrap_algorithm *wrap_of_type(kw_key_type type)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (algorithms[i].type == type)
            return &algorithms[i];
    return NULL;
}

/* ---- RSA ---------------------------------------------------------------------------------------------- */

static kw_algorithm oaep(const struct wrap_algorithm *algorithm)
{
    return (kw_algorithm){.size = sizeof(kw_algorithm),
                          .scheme = KW_SCHEME_RSA_OAEP,
                          .hash = algorithm->hash,
                          .mgf_hash = algorithm->hash};
}

static kw_status rsa_make(const struct wrap_algorithm *algorithm, kw_key *to, kw_input content,
                          struct buffer *ciphertext, kw_error *error)
{
    const kw_algorithm scheme = oaep(algorithm);
    unsigned char bytes[2048];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_status status = kw_key_encrypt(to, &scheme, content, &output, error);
    if (status == KW_OK)
        buffer_append(ciphertext, bytes, output.length);
    return status;
}

/* As long as the modulus: no plaintext is longer, and unpadding wants the room. */
static kw_status rsa_undo(const struct wrap_algorithm *algorithm, kw_key *key, kw_input ciphertext,
                          struct secret *content, kw_error *error)
{
    const kw_algorithm scheme = oaep(algorithm);
    struct secret made = {0};
    kw_output output;
    kw_status status = secret_new(&made, ((size_t)kw_key_get_capabilities(key)->bits + 7) / 8, error);
    if (status != KW_OK)
        return status;
    output = (kw_output){.data = made.data, .capacity = made.capacity};
    status = key_unwrap(key, &scheme, ciphertext, &output, error);
    if (status == KW_OK) {
        made.length = output.length;
        *content = made;
        made = (struct secret){0};
    }
    secret_clear(&made);
    return status;
}

/* ---- EC: an ephemeral key agrees with the recipient's, HKDF makes a key of that, AES-256-GCM encrypts --------- */

/*
 * The key is used for one message alone, so the nonce is zeros. The info names both public keys: the recipient's by
 * the SHA-256 that the wrap has, the ephemeral one as it is sent.
 */
static kw_status ec_key(struct crypto *crypto, kw_input shared, const unsigned char recipient[SHA256_LENGTH],
                        kw_input ephemeral, unsigned char key[SHA256_LENGTH], kw_error *error)
{
    struct buffer info = {0};
    unsigned char extracted[SHA256_LENGTH] = {0};
    kw_status status = KW_OK;
    buffer_append_field(&info, input_text(ECDH_NAME));
    buffer_append(&info, recipient, SHA256_LENGTH);
    buffer_append_field(&info, ephemeral);
    if (info.failed) {
        status = error_memory(error);
        goto out;
    }
    status = crypto_hmac_sha256(crypto, (kw_input){(const unsigned char *)KEY_ROOT_MAGIC, KEY_ROOT_MAGIC_LENGTH},
                                shared, extracted, error);
    if (status == KW_OK)
        status = crypto_hkdf_expand(crypto, (kw_input){extracted, sizeof(extracted)}, buffer_view(&info), key,
                                    SHA256_LENGTH, error);
out:
    secret_wipe(extracted, sizeof(extracted));
    buffer_free(&info);
    return status;
}

static const unsigned char zeros[12];

/* `out` gets ciphertext and tag. */
static kw_status gcm_encrypt_within(struct crypto *crypto, const unsigned char key[SHA256_LENGTH], kw_input content,
                                    unsigned char *out, kw_error *error)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(crypto->library, "AES-256-GCM", PROVIDER);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int length = 0, rest = 0;
    kw_status status = KW_OK;
    if (cipher == NULL || context == NULL || EVP_EncryptInit_ex2(context, cipher, key, zeros, NULL) != 1 ||
        EVP_EncryptUpdate(context, out, &length, content.data, (int)content.length) != 1 ||
        EVP_EncryptFinal_ex(context, out + length, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, (int)TAG_LENGTH, out + content.length) != 1)
        status = crypto_error(error, KW_FAILED, "the root cannot be encrypted");
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
    return status;
}

static kw_status gcm_encrypt(struct crypto *crypto, const unsigned char key[SHA256_LENGTH], kw_input content,
                             unsigned char *out, kw_error *error)
{
    crypto_enter();
    const kw_status status = gcm_encrypt_within(crypto, key, content, out, error);
    crypto_leave();
    return status;
}

static kw_status gcm_decrypt_within(struct crypto *crypto, const unsigned char key[SHA256_LENGTH], kw_input sealed,
                                    unsigned char *out, kw_error *error)
{
    const size_t content = sealed.length - TAG_LENGTH;
    unsigned char tag[TAG_LENGTH];
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(crypto->library, "AES-256-GCM", PROVIDER);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int length = 0, rest = 0;
    kw_status status = KW_OK;
    memcpy(tag, sealed.data + content, sizeof(tag));
    if (cipher == NULL || context == NULL || EVP_DecryptInit_ex2(context, cipher, key, zeros, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, (int)TAG_LENGTH, tag) != 1 ||
        EVP_DecryptUpdate(context, out, &length, sealed.data, (int)content) != 1)
        status = crypto_error(error, KW_FAILED, "the root cannot be decrypted");
    else if (EVP_DecryptFinal_ex(context, out + length, &rest) != 1)
        status = crypto_error(error, KW_CIPHERTEXT_INVALID, "the ciphertext does not decrypt");
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
    return status;
}

static kw_status gcm_decrypt(struct crypto *crypto, const unsigned char key[SHA256_LENGTH], kw_input sealed,
                             unsigned char *out, kw_error *error)
{
    crypto_enter();
    const kw_status status = gcm_decrypt_within(crypto, key, sealed, out, error);
    crypto_leave();
    return status;
}

/* The same secret as the recipient's store computes, by the ephemeral private key. */
static kw_status ec_agree_within(struct crypto *crypto, EVP_PKEY *ephemeral, EVP_PKEY *to, struct secret *shared,
                                 kw_error *error)
{
    size_t length = SHARED_MAXIMUM;
    EVP_PKEY_CTX *context = NULL;
    kw_status status = secret_new(shared, length, error);
    if (status != KW_OK)
        return status;
    context = EVP_PKEY_CTX_new_from_pkey(crypto->library, ephemeral, PROVIDER);
    if (context == NULL || EVP_PKEY_derive_init(context) <= 0 || EVP_PKEY_derive_set_peer(context, to) <= 0 ||
        EVP_PKEY_derive(context, shared->data, &length) <= 0)
        status = crypto_error(error, KW_FAILED, "no secret can be agreed on with the public key");
    else
        shared->length = length;
    EVP_PKEY_CTX_free(context);
    return status;
}

static kw_status ec_agree(struct crypto *crypto, EVP_PKEY *ephemeral, EVP_PKEY *to, struct secret *shared,
                          kw_error *error)
{
    crypto_enter();
    const kw_status status = ec_agree_within(crypto, ephemeral, to, shared, error);
    crypto_leave();
    return status;
}

static kw_status ec_make(struct crypto *crypto, kw_key *to, const unsigned char spki_digest[SHA256_LENGTH],
                         kw_input content, struct buffer *ciphertext, kw_error *error)
{
    unsigned char key[SHA256_LENGTH] = {0}, sealed[ROOT_CONTENT_LENGTH + TAG_LENGTH];
    char group[64] = "";
    unsigned char *spki = NULL;
    EVP_PKEY *ephemeral = NULL;
    struct secret shared = {0};
    int length = 0;
    kw_status status = KW_OK;
    if (content.length != ROOT_CONTENT_LENGTH)
        return error_set(error, KW_INVALID_ARGUMENT, "a root has %u bytes with its head", ROOT_CONTENT_LENGTH);
    crypto_enter();
    if (EVP_PKEY_get_group_name(key_public_pkey(to), group, sizeof(group), NULL) == 1)
        ephemeral = EVP_PKEY_Q_keygen(crypto->library, PROVIDER, "EC", group);
    if (ephemeral != NULL)
        length = i2d_PUBKEY(ephemeral, &spki);
    crypto_leave();
    if (length <= 0) {
        status = crypto_error(error, KW_FAILED, "no key can be made on the curve of the public key");
        goto out;
    }
    status = ec_agree(crypto, ephemeral, key_public_pkey(to), &shared, error);
    if (status == KW_OK)
        status = ec_key(crypto, secret_view(&shared), spki_digest, (kw_input){spki, (size_t)length}, key, error);
    if (status == KW_OK)
        status = gcm_encrypt(crypto, key, content, sealed, error);
    if (status == KW_OK) {
        buffer_append_field(ciphertext, (kw_input){spki, (size_t)length});
        buffer_append(ciphertext, sealed, sizeof(sealed));
    }
out:
    secret_wipe(key, sizeof(key));
    secret_clear(&shared);
    crypto_pkey_free(ephemeral);
    OPENSSL_free(spki);
    return status;
}

static kw_status ec_open(struct crypto *crypto, const struct secret *shared,
                         const unsigned char recipient[SHA256_LENGTH], kw_input ephemeral, kw_input sealed,
                         struct secret *content, kw_error *error)
{
    unsigned char key[SHA256_LENGTH] = {0};
    struct secret made = {0};
    kw_status status = ec_key(crypto, secret_view(shared), recipient, ephemeral, key, error);
    if (status == KW_OK)
        status = secret_new(&made, ROOT_CONTENT_LENGTH, error);
    if (status == KW_OK)
        status = gcm_decrypt(crypto, key, sealed, made.data, error);
    if (status == KW_OK) {
        made.length = ROOT_CONTENT_LENGTH;
        *content = made;
        made = (struct secret){0};
    }
    secret_wipe(key, sizeof(key));
    secret_clear(&made);
    return status;
}

/* What is left of `ciphertext` is what AES-GCM made. */
static bool ec_split(kw_input *ciphertext, kw_input *ephemeral)
{
    return input_field(ciphertext, ephemeral) && ciphertext->length == ROOT_CONTENT_LENGTH + TAG_LENGTH;
}

static kw_status undo_fails(kw_error *error)
{
    return error_set(error, KW_CIPHERTEXT_INVALID, "the ciphertext does not decrypt");
}

static kw_status ec_undo(struct crypto *crypto, const struct wrap_key *by, kw_input ciphertext, struct secret *content,
                         kw_error *error)
{
    kw_input ephemeral = {0};
    struct secret shared = {0};
    kw_output output;
    kw_status status;
    if (!ec_split(&ciphertext, &ephemeral))
        return undo_fails(error);
    status = secret_new(&shared, SHARED_MAXIMUM, error);
    if (status != KW_OK)
        return status;
    output = (kw_output){.data = shared.data, .capacity = shared.capacity};
    status = key_agree(by->key, ephemeral, &output, error);
    if (status == KW_INVALID_ARGUMENT)
        status = undo_fails(error);
    if (status == KW_OK) {
        shared.length = output.length;
        status = ec_open(crypto, &shared, by->spki, ephemeral, ciphertext, content, error);
    }
    secret_clear(&shared);
    return status;
}

/* ---- By a private key that is in no store ----------------------------------------------------------------- */

static kw_status ec_undo_private(struct crypto *crypto, EVP_PKEY *private, const unsigned char recipient[SHA256_LENGTH],
                                 kw_input ciphertext, struct secret *content, kw_error *error)
{
    kw_input ephemeral = {0};
    struct secret shared = {0};
    EVP_PKEY *peer = NULL;
    const unsigned char *at;
    kw_status status = KW_OK;
    if (!ec_split(&ciphertext, &ephemeral))
        return undo_fails(error);
    at = ephemeral.data;
    crypto_enter();
    peer = d2i_PUBKEY_ex(NULL, &at, (long)ephemeral.length, crypto->library, PROVIDER);
    crypto_leave();
    if (peer == NULL)
        status = crypto_error(error, KW_CIPHERTEXT_INVALID, "the ciphertext does not decrypt");
    if (status == KW_OK)
        status = ec_agree(crypto, private, peer, &shared, error);
    if (status == KW_OK)
        status = ec_open(crypto, &shared, recipient, ephemeral, ciphertext, content, error);
    secret_clear(&shared);
    crypto_pkey_free(peer);
    return status;
}

static kw_status rsa_undo_private_within(struct crypto *crypto, const struct wrap_algorithm *algorithm,
                                         EVP_PKEY *private, kw_input ciphertext, struct secret *content,
                                         kw_error *error)
{
    const EVP_MD *hash = crypto->digests[algorithm->hash];
    struct secret made = {0};
    size_t length = 0;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(crypto->library, private, PROVIDER);
    kw_status status = secret_new(&made, (size_t)EVP_PKEY_get_size(private), error);
    if (status != KW_OK)
        goto out;
    length = made.capacity;
    if (context == NULL || EVP_PKEY_decrypt_init(context) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) <= 0 || EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) <= 0 ||
        EVP_PKEY_decrypt(context, made.data, &length, ciphertext.data, ciphertext.length) <= 0) {
        status = crypto_error(error, KW_CIPHERTEXT_INVALID, "the ciphertext does not decrypt");
        goto out;
    }
    made.length = length;
    *content = made;
    made = (struct secret){0};
out:
    secret_clear(&made);
    EVP_PKEY_CTX_free(context);
    return status;
}

static kw_status rsa_undo_private(struct crypto *crypto, const struct wrap_algorithm *algorithm, EVP_PKEY *private,
                                  kw_input ciphertext, struct secret *content, kw_error *error)
{
    crypto_enter();
    const kw_status status = rsa_undo_private_within(crypto, algorithm, private, ciphertext, content, error);
    crypto_leave();
    return status;
}

kw_status wrap_undo_private(struct crypto *crypto, const struct wrap_algorithm *algorithm, EVP_PKEY *private,
                            const unsigned char spki[SHA256_LENGTH], kw_input ciphertext, struct secret *content,
                            kw_error *error)
{
    return algorithm->type == KW_KEY_EC ? ec_undo_private(crypto, private, spki, ciphertext, content, error)
                                        : rsa_undo_private(crypto, algorithm, private, ciphertext, content, error);
}

/* ---- Either -------------------------------------------------------------------------------------------- */

kw_status wrap_make(struct crypto *crypto, const struct wrap_algorithm *algorithm, const struct wrap_key *to,
                    kw_input content, struct buffer *ciphertext, kw_error *error)
{
    const kw_status status = algorithm->type == KW_KEY_EC
                                 ? ec_make(crypto, to->key, to->spki, content, ciphertext, error)
                                 : rsa_make(algorithm, to->key, content, ciphertext, error);
    return status == KW_OK && ciphertext->failed ? error_memory(error) : status;
}

kw_status wrap_undo(struct crypto *crypto, const struct wrap_algorithm *algorithm, const struct wrap_key *by,
                    kw_input ciphertext, struct secret *content, kw_error *error)
{
    return algorithm->type == KW_KEY_EC ? ec_undo(crypto, by, ciphertext, content, error)
                                        : rsa_undo(algorithm, by->key, ciphertext, content, error);
}

/* ---- Signatures ------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    kw_key_type type;
    kw_scheme scheme;
    uint32_t salt_length;
} schemes[] = {
    {"rsa-pss-sha256", KW_KEY_RSA, KW_SCHEME_RSA_PSS, SHA256_LENGTH},
    {"rsa-pkcs1-sha256", KW_KEY_RSA, KW_SCHEME_RSA_PKCS1, 0},
    {"ecdsa-sha256", KW_KEY_EC, KW_SCHEME_ECDSA, 0},
};
enum { SCHEME_COUNT = sizeof(schemes) / sizeof(schemes[0]) };

const char *root_scheme_choose(const kw_key_capabilities *key)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        const bool hashes = key->type != KW_KEY_RSA || (key->sign_hashes & KW_BIT(KW_HASH_SHA256)) != 0;
        if (schemes[i].type == key->type &&
            ((hashes && key_has(key, KW_CAN_SIGN, schemes[i].scheme)) || key_has(key, KW_CAN_SIGN, KW_SCHEME_RSA_RAW)))
            return schemes[i].name;
    }
    return NULL;
}

bool root_scheme_find(const char *name, kw_algorithm *algorithm)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        if (strcmp(schemes[i].name, name) == 0) {
            *algorithm = (kw_algorithm){.size = sizeof(*algorithm),
                                        .scheme = schemes[i].scheme,
                                        .hash = KW_HASH_SHA256,
                                        .salt_length = schemes[i].salt_length,
                                        .is_message = 1};
            return true;
        }
    return false;
}
