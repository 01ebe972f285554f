#include "algorithm.h"

#include <string.h>
#include <strings.h>

/* The names that may be given, and how others write them. */
static const struct hash_name {
    const char *name, *alias;
    kw_hash hash;
    uint32_t length;
} hash_names[] = {
    {"sha256", "sha-256", KW_HASH_SHA256, 32},
    {"sha224", "sha-224", KW_HASH_SHA224, 28},
    {"sha384", "sha-384", KW_HASH_SHA384, 48},
    {"sha512", "sha-512", KW_HASH_SHA512, 64},
};
#define HASH_COUNT (sizeof(hash_names) / sizeof(hash_names[0]))

static kw_status find_hash(const char *text, const struct hash_name **hash, kw_error *error)
{
    *hash = &hash_names[0];
    if (text == NULL)
        return KW_OK;
    for (size_t i = 0; i < HASH_COUNT; i++) {
        if (strcasecmp(text, hash_names[i].name) == 0 || strcasecmp(text, hash_names[i].alias) == 0) {
            *hash = &hash_names[i];
            return KW_OK;
        }
    }
    problem_set(error, KW_INVALID_ARGUMENT, "'%s' is no hash for signatures", text);
    problem_remedy(error, "--hash takes sha224, sha256, sha384 or sha512");
    return KW_INVALID_ARGUMENT;
}

static const struct padding_name {
    const char *name;
    kw_scheme scheme;
} padding_names[] = {{"pss", KW_SCHEME_RSA_PSS}, {"pkcs1", KW_SCHEME_RSA_PKCS1}};

static kw_status find_padding(const char *text, kw_scheme *scheme, kw_error *error)
{
    *scheme = padding_names[0].scheme;
    if (text == NULL)
        return KW_OK;
    for (size_t i = 0; i < sizeof(padding_names) / sizeof(padding_names[0]); i++) {
        if (strcmp(text, padding_names[i].name) == 0) {
            *scheme = padding_names[i].scheme;
            return KW_OK;
        }
    }
    problem_set(error, KW_INVALID_ARGUMENT, "'%s' is no padding for signatures", text);
    problem_remedy(error, "--padding takes pss or pkcs1");
    return KW_INVALID_ARGUMENT;
}

kw_status algorithm_signature(const struct session *session, const kw_key *key, kw_algorithm *algorithm,
                              kw_error *error)
{
    const char *hash_text = argument_text(&session->arguments, OPTION_HASH);
    const char *padding_text = argument_text(&session->arguments, OPTION_PADDING);
    kw_key_type type = kw_key_get_capabilities(key)->type;
    const struct hash_name *hash;
    kw_scheme padding;
    kw_status status = find_hash(hash_text, &hash, error);

    if (status == KW_OK)
        status = find_padding(padding_text, &padding, error);
    if (status != KW_OK)
        return status;
    if (type != KW_KEY_RSA && padding_text != NULL)
        return problem_set(error, KW_INVALID_ARGUMENT, "--padding is for RSA keys, and this key is none");
    if (type == KW_KEY_ED25519 && hash_text != NULL)
        return problem_set(error, KW_INVALID_ARGUMENT, "Ed25519 has its own hash: leave out --hash");

    *algorithm = (kw_algorithm){.size = sizeof(*algorithm), .is_message = 1};
    if (type == KW_KEY_ED25519) {
        algorithm->scheme = KW_SCHEME_EDDSA;
        return KW_OK;
    }
    algorithm->scheme = type == KW_KEY_RSA ? padding : KW_SCHEME_ECDSA;
    algorithm->hash = hash->hash;
    if (algorithm->scheme == KW_SCHEME_RSA_PSS) {
        algorithm->mgf_hash = hash->hash;
        algorithm->salt_length = hash->length;
    }
    return KW_OK;
}

kw_algorithm algorithm_oaep(void)
{
    return (kw_algorithm){
        .size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_OAEP, .hash = KW_HASH_SHA256, .mgf_hash = KW_HASH_SHA256};
}

kw_status algorithm_format(const struct session *session, bool *oaep, kw_error *error)
{
    const char *format = argument_text(&session->arguments, OPTION_FORMAT);

    *oaep = format != NULL && strcmp(format, "oaep") == 0;
    if (format == NULL || *oaep || strcmp(format, "cms") == 0)
        return KW_OK;
    problem_set(error, KW_INVALID_ARGUMENT, "'%s' is no format", format);
    problem_remedy(error, "--format takes cms or oaep");
    return KW_INVALID_ARGUMENT;
}
