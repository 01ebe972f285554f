/* What a caller asks a key for: defaults, and whether it makes sense for the key. */
#include "store/key_private.h"

#include <string.h>

static const struct {
    const char *name;
    kw_scheme sign; /* the default */
} types[] = {
    [KW_KEY_NONE] = {"unknown", KW_SCHEME_NONE},  [KW_KEY_RSA] = {"RSA", KW_SCHEME_RSA_PSS},
    [KW_KEY_EC] = {"EC", KW_SCHEME_ECDSA},        [KW_KEY_ED25519] = {"Ed25519", KW_SCHEME_EDDSA},
    [KW_KEY_X25519] = {"X25519", KW_SCHEME_NONE},
};

kw_status key_check_room(kw_output *output, size_t needed, kw_error *error)
{
    if (output->data != NULL && output->capacity >= needed)
        return KW_OK;
    output->length = needed;
    return error_set(error, KW_BUFFER_TOO_SMALL, "the answer needs a buffer of %zu bytes", needed);
}

/* As much as the caller knew of the struct. */
static kw_status algorithm_read(const kw_algorithm *given, kw_algorithm *algorithm, kw_error *error)
{
    const size_t size = given->size < sizeof(*algorithm) ? given->size : sizeof(*algorithm);

    if (!KW_HAS(given, hash))
        return error_set(error, KW_INVALID_ARGUMENT, "the algorithm's size is not set");
    memcpy(algorithm, given, size);
    algorithm->size = sizeof(*algorithm);
    return KW_OK;
}

static kw_hash hash_of_length(size_t length)
{
    for (int hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++)
        if (hash_length((kw_hash)hash) == length)
            return (kw_hash)hash;
    return KW_HASH_NONE;
}

static kw_status pss_check(const kw_key *key, kw_algorithm *algorithm, kw_error *error)
{
    uint32_t maximum;

    if (algorithm->mgf_hash == KW_HASH_NONE)
        algorithm->mgf_hash = algorithm->hash;
    if (hash_length(algorithm->mgf_hash) == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "there is no hash with the number %d", (int)algorithm->mgf_hash);
    if (!rsa_pss_salt_maximum(algorithm->hash, key->capabilities.bits, &maximum))
        return error_set(error, KW_INVALID_ARGUMENT, "the key is too short for PSS with %s",
                         hash_name(algorithm->hash));
    if (algorithm->salt_length > maximum)
        return error_set(error, KW_INVALID_ARGUMENT, "a salt of %u bytes is too long for this key and %s: at most %u",
                         (unsigned)algorithm->salt_length, hash_name(algorithm->hash), (unsigned)maximum);
    return KW_OK;
}

/* What the certificate says of an RSA key's signatures: RFC 4055, section 3.1. */
static kw_status limits_check(const struct pss_limits *limits, const kw_algorithm *algorithm, kw_error *error)
{
    if (!limits->only)
        return KW_OK;
    if (algorithm->scheme != KW_SCHEME_RSA_PSS)
        return error_set(error, KW_UNSUPPORTED,
                         "the key signs by PSS alone: its certificate says id-RSASSA-PSS, and not rsaEncryption");
    if (limits->hash != KW_HASH_NONE && algorithm->hash != limits->hash)
        return error_set(error, KW_UNSUPPORTED, "the key's certificate has it sign with %s alone, not with %s",
                         hash_name(limits->hash), hash_name(algorithm->hash));
    if (limits->mgf_hash != KW_HASH_NONE && algorithm->mgf_hash != limits->mgf_hash)
        return error_set(error, KW_UNSUPPORTED, "the key's certificate has it sign with MGF1 of %s alone, not of %s",
                         hash_name(limits->mgf_hash), hash_name(algorithm->mgf_hash));
    if (algorithm->salt_length < limits->salt_minimum)
        return error_set(error, KW_UNSUPPORTED,
                         "the key's certificate has it sign with salts of %u bytes and more, not of %u",
                         (unsigned)limits->salt_minimum, (unsigned)algorithm->salt_length);
    return KW_OK;
}

/* What a key signs with when nobody says: of one that its certificate limits, what it may. */
static kw_algorithm signing_default(const kw_key *key)
{
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = types[key->capabilities.type].sign, .is_message = 1};

    algorithm.hash = key->pss.hash != KW_HASH_NONE ? key->pss.hash : KW_HASH_SHA256;
    algorithm.mgf_hash = key->pss.mgf_hash;
    if (algorithm.scheme == KW_SCHEME_RSA_PSS)
        algorithm.salt_length = pss_salt_default(&key->pss, algorithm.hash);
    return algorithm;
}

static bool scheme_fits(kw_key_type type, kw_scheme scheme)
{
    if (type == KW_KEY_RSA)
        return scheme == KW_SCHEME_RSA_PSS || scheme == KW_SCHEME_RSA_PKCS1;
    return scheme != KW_SCHEME_NONE && scheme == types[type].sign;
}

kw_status signing_algorithm(const kw_key *key, const kw_algorithm *given, kw_input input, struct signing *signing,
                            kw_error *error)
{
    const kw_key_type type = key->capabilities.type;
    kw_algorithm algorithm = {.size = sizeof(algorithm)};

    if (input.data == NULL && input.length > 0)
        return error_set(error, KW_INVALID_ARGUMENT, "there is no input");
    if (given == NULL) {
        algorithm = signing_default(key);
    } else {
        const kw_status status = algorithm_read(given, &algorithm, error);
        if (status != KW_OK)
            return status;
    }
    if (algorithm.scheme == KW_SCHEME_RSA_RAW)
        return error_set(error, KW_UNSUPPORTED, "raw RSA is not offered: it would undo what paddings protect");
    if (!scheme_fits(type, algorithm.scheme))
        return error_set(error, KW_UNSUPPORTED, "%s keys do not sign with this scheme", types[type].name);
    if (algorithm.scheme == KW_SCHEME_EDDSA) {
        signing->algorithm = (kw_algorithm){.size = sizeof(algorithm), .scheme = KW_SCHEME_EDDSA, .is_message = 1};
        return KW_OK;
    }
    if (algorithm.scheme == KW_SCHEME_ECDSA && algorithm.hash == KW_HASH_NONE && algorithm.is_message == 0)
        algorithm.hash = hash_of_length(input.length);
    if (hash_length(algorithm.hash) == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "the algorithm names no known hash");
    if (algorithm.scheme == KW_SCHEME_RSA_PSS) {
        const kw_status status = pss_check(key, &algorithm, error);
        if (status != KW_OK)
            return status;
    } else {
        algorithm.mgf_hash = KW_HASH_NONE;
        algorithm.salt_length = 0;
    }
    algorithm.label = (kw_input){0};
    signing->algorithm = algorithm;
    return limits_check(&key->pss, &algorithm, error);
}

/* A hasher at rest, or a new one; NULL when memory ran out. */
static EVP_MD_CTX *hasher_take(kw_key *key)
{
    for (size_t i = 0; i < KEY_HASHERS; i++) {
        EVP_MD_CTX *const found = atomic_exchange_explicit(&key->hashers[i], NULL, memory_order_acquire);
        if (found != NULL)
            return found;
    }
    return EVP_MD_CTX_new();
}

static void hasher_give_back(kw_key *key, EVP_MD_CTX *hasher)
{
    for (size_t i = 0; i < KEY_HASHERS; i++) {
        EVP_MD_CTX *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&key->hashers[i], &none, hasher, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    EVP_MD_CTX_free(hasher);
}

kw_status signing_input(kw_key *key, kw_input input, struct signing *signing, kw_error *error)
{
    const kw_hash hash = signing->algorithm.hash;
    unsigned length = 0;
    EVP_MD_CTX *hasher;
    kw_status status = KW_OK;

    signing->input = input;
    if (signing->algorithm.scheme == KW_SCHEME_EDDSA)
        return KW_OK;
    if (signing->algorithm.is_message == 0) {
        if (input.length != hash_length(hash))
            return error_set(error, KW_INVALID_ARGUMENT, "a %s digest has %zu bytes, not %zu", hash_name(hash),
                             hash_length(hash), input.length);
        return KW_OK;
    }
    hasher = hasher_take(key);
    if (hasher == NULL)
        return error_memory(error);
    if (EVP_DigestInit_ex2(hasher, key->crypto->digests[hash], NULL) != 1 ||
        EVP_DigestUpdate(hasher, input.data, input.length) != 1 ||
        EVP_DigestFinal_ex(hasher, signing->digest, &length) != 1)
        status = crypto_error(error, KW_FAILED, "a %s digest failed", hash_name(hash));
    hasher_give_back(key, hasher);
    signing->algorithm.is_message = 0;
    signing->input = (kw_input){signing->digest, length};
    return status;
}

kw_status key_check_decrypts(const kw_key *key, kw_error *error)
{
    return !key->pss.only ? KW_OK
                          : error_set(error, KW_UNSUPPORTED,
                                      "the key signs by PSS alone, and does not encrypt and decrypt: its certificate "
                                      "says id-RSASSA-PSS, and not rsaEncryption");
}

kw_status oaep_algorithm(const kw_key *key, const kw_algorithm *given, kw_algorithm *algorithm, kw_error *error)
{
    kw_algorithm made = {.size = sizeof(made), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256};
    kw_status status;

    if (key->capabilities.type != KW_KEY_RSA)
        return error_set(error, KW_UNSUPPORTED, "%s keys do not encrypt and decrypt: use CMS",
                         types[key->capabilities.type].name);
    status = key_check_decrypts(key, error);
    if (status != KW_OK)
        return status;
    if (given != NULL) {
        status = algorithm_read(given, &made, error);
        if (status != KW_OK)
            return status;
    }
    if (made.scheme == KW_SCHEME_RSA_RAW)
        return error_set(error, KW_UNSUPPORTED, "raw RSA is not offered: it would undo what paddings protect");
    if (made.scheme != KW_SCHEME_RSA_OAEP)
        return error_set(error, KW_UNSUPPORTED, "RSA keys encrypt and decrypt with OAEP alone");
    if (made.mgf_hash == KW_HASH_NONE)
        made.mgf_hash = made.hash;
    if (hash_length(made.hash) == 0 || hash_length(made.mgf_hash) == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "the algorithm names no known hash");
    if (made.label.data == NULL && made.label.length > 0)
        return error_set(error, KW_INVALID_ARGUMENT, "the label has a length and no bytes");
    made.salt_length = 0;
    made.is_message = 0;
    *algorithm = made;
    return KW_OK;
}
