#include "certificate/jws.h"

#include "base/base64.h"
#include "certificate/json.h"
#include "certificate/x509.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <string.h>

#define SIGNATURE_MAXIMUM 1024
#define RSA_BITS_MINIMUM  2048

/* What a header's `alg` stands for. Of each type of key the first is the one that signs. */
static const struct jws_algorithm {
    const char *name;
    kw_key_type type;
    kw_curve curve; /* EC */
    kw_scheme scheme;
    kw_hash hash;
    size_t number; /* EC: bytes of each of the two numbers of a signature */
} algorithms[] = {
    {.name = "PS256", .type = KW_KEY_RSA, .scheme = KW_SCHEME_RSA_PSS, .hash = KW_HASH_SHA256},
    {.name = "PS384", .type = KW_KEY_RSA, .scheme = KW_SCHEME_RSA_PSS, .hash = KW_HASH_SHA384},
    {.name = "PS512", .type = KW_KEY_RSA, .scheme = KW_SCHEME_RSA_PSS, .hash = KW_HASH_SHA512},
    {.name = "RS256", .type = KW_KEY_RSA, .scheme = KW_SCHEME_RSA_PKCS1, .hash = KW_HASH_SHA256},
    {.name = "RS384", .type = KW_KEY_RSA, .scheme = KW_SCHEME_RSA_PKCS1, .hash = KW_HASH_SHA384},
    {.name = "RS512", .type = KW_KEY_RSA, .scheme = KW_SCHEME_RSA_PKCS1, .hash = KW_HASH_SHA512},
    {.name = "ES256",
     .type = KW_KEY_EC,
     .curve = KW_CURVE_P256,
     .scheme = KW_SCHEME_ECDSA,
     .hash = KW_HASH_SHA256,
     .number = 32},
    {.name = "ES384",
     .type = KW_KEY_EC,
     .curve = KW_CURVE_P384,
     .scheme = KW_SCHEME_ECDSA,
     .hash = KW_HASH_SHA384,
     .number = 48},
    {.name = "ES512",
     .type = KW_KEY_EC,
     .curve = KW_CURVE_P521,
     .scheme = KW_SCHEME_ECDSA,
     .hash = KW_HASH_SHA512,
     .number = 66},
    {.name = "EdDSA", .type = KW_KEY_ED25519, .scheme = KW_SCHEME_EDDSA},
};
#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

static bool fits(const struct jws_algorithm *algorithm, const kw_key_capabilities *key)
{
    return algorithm->type == key->type && (key->type != KW_KEY_EC || algorithm->curve == key->curve);
}

static kw_algorithm as_scheme(const struct jws_algorithm *algorithm)
{
    return (kw_algorithm){
        .size = sizeof(kw_algorithm),
        .scheme = algorithm->scheme,
        .hash = algorithm->hash,
        .salt_length = algorithm->scheme == KW_SCHEME_RSA_PSS ? (uint32_t)hash_length(algorithm->hash) : 0,
        .is_message = 1,
    };
}

kw_status jws_thumbprint(struct crypto *crypto, X509 *certificate, unsigned char digest[SHA256_LENGTH], kw_error *error)
{
    kw_bytes der = {0};
    kw_status status = x509_to_der(certificate, &der, error);
    if (status == KW_OK)
        status = crypto_sha256(crypto, (kw_input){der.data, der.length}, digest, error);
    kw_bytes_free(&der);
    return status;
}

/* ---- ECDSA: JOSE has the two numbers side by side, all others a SEQUENCE of them ---- */

static kw_status numbers_of(kw_input sequence, size_t number, struct buffer *out, kw_error *error)
{
    unsigned char numbers[2 * 66];
    const unsigned char *at = sequence.data;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)sequence.length);
    kw_status status = KW_OK;
    if (signature == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(signature), numbers, (int)number) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), numbers + number, (int)number) < 0)
        status = crypto_error(error, KW_FAILED, "the signature cannot be written");
    else
        buffer_append(out, numbers, 2 * number);
    ECDSA_SIG_free(signature);
    return status;
}

static kw_status sequence_of(kw_input numbers, size_t number, kw_output *sequence, kw_error *error)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(numbers.data, (int)number, NULL), *s = BN_bin2bn(numbers.data + number, (int)number, NULL);
    unsigned char *at = sequence->data;
    kw_status status = KW_OK;
    if (signature == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        status = error_memory(error);
        goto out;
    }
    if (i2d_ECDSA_SIG(signature, NULL) > (int)sequence->capacity) {
        status = error_set(error, KW_SIGNATURE_INVALID, "the signature is too long");
        goto out;
    }
    const int length = i2d_ECDSA_SIG(signature, &at);
    sequence->length = length > 0 ? (size_t)length : 0;
out:
    ECDSA_SIG_free(signature);
    return status;
}

/* ---- Signing ---- */

static const struct jws_algorithm *choose(const kw_key *key)
{
    const kw_key_capabilities *can = kw_key_get_capabilities(key);
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (fits(&algorithms[i], can) && (can->schemes & KW_BIT(algorithms[i].scheme)) != 0)
            return &algorithms[i];
    return NULL;
}

static json_t *json_of(const struct buffer *buffer)
{
    return json_stringn((const char *)buffer->data, buffer->length);
}

static kw_status make_header(struct crypto *crypto, X509 *certificate, const char *algorithm, const char *type,
                             struct buffer *header, kw_error *error)
{
    unsigned char digest[SHA256_LENGTH];
    struct buffer thumbprint = {0}, chain = {0};
    kw_bytes der = {0}, text = {0};
    json_t *object = NULL;
    kw_status status = jws_thumbprint(crypto, certificate, digest, error);
    if (status == KW_OK)
        status = x509_to_der(certificate, &der, error);
    if (status != KW_OK)
        goto out;
    base64url_append(&thumbprint, (kw_input){digest, sizeof(digest)});
    base64_append(&chain, (kw_input){der.data, der.length});
    if (thumbprint.failed || chain.failed) {
        status = error_memory(error);
        goto out;
    }
    object = json_pack("{s:s,s:s,s:o,s:[o]}", "alg", algorithm, "typ", type, "x5t#S256", json_of(&thumbprint), "x5c",
                       json_of(&chain));
    status = json_write(object, true, &text, error);
    if (status == KW_OK)
        base64url_append(header, (kw_input){text.data, text.length});
out:
    json_decref(object);
    kw_bytes_free(&text);
    kw_bytes_free(&der);
    buffer_free(&chain);
    buffer_free(&thumbprint);
    return status;
}

static kw_status sign(kw_key *key, const struct jws_algorithm *algorithm, kw_input input, struct buffer *encoded,
                      kw_error *error)
{
    unsigned char made[SIGNATURE_MAXIMUM];
    kw_output signature = {.data = made, .capacity = sizeof(made)};
    const kw_algorithm scheme = as_scheme(algorithm);
    struct buffer numbers = {0};
    kw_status status = kw_key_sign(key, &scheme, input, &signature, error);
    kw_input bytes = {made, signature.length};
    if (status == KW_OK && algorithm->number > 0) {
        status = numbers_of(bytes, algorithm->number, &numbers, error);
        bytes = buffer_view(&numbers);
    }
    if (status == KW_OK)
        base64url_append(encoded, bytes);
    buffer_free(&numbers);
    return status;
}

kw_status jws_sign(struct crypto *crypto, kw_key *key, X509 *certificate, const char *type, kw_input payload,
                   kw_bytes *jws, kw_error *error)
{
    const struct jws_algorithm *algorithm = choose(key);
    struct buffer header = {0}, body = {0}, input = {0}, signature = {0};
    json_t *document = NULL;
    kw_status status = KW_OK;
    if (algorithm == NULL)
        return error_set(error, KW_UNSUPPORTED, "the key has no signature that JOSE knows");
    status = make_header(crypto, certificate, algorithm->name, type, &header, error);
    if (status != KW_OK)
        goto out;
    base64url_append(&body, payload);
    buffer_append(&input, header.data, header.length);
    buffer_append_u8(&input, '.');
    buffer_append(&input, body.data, body.length);
    if (header.failed || body.failed || input.failed) {
        status = error_memory(error);
        goto out;
    }
    status = sign(key, algorithm, buffer_view(&input), &signature, error);
    if (status == KW_OK && signature.failed)
        status = error_memory(error);
    if (status != KW_OK)
        goto out;
    document = json_pack("{s:o,s:o,s:o}", "payload", json_of(&body), "protected", json_of(&header), "signature",
                         json_of(&signature));
    status = json_write(document, false, jws, error);
out:
    json_decref(document);
    buffer_free(&signature);
    buffer_free(&input);
    buffer_free(&body);
    buffer_free(&header);
    return status;
}

/* ---- Verifying ---- */

/* The three members, and no other: what is not signed is not there. */
static kw_status take_members(const json_t *object, const char *texts[3], kw_error *error)
{
    static const char *const names[3] = {"protected", "payload", "signature"};
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < 3; i++) {
        status = json_member_text(object, names[i], &texts[i], error);
        if (status == KW_OK && texts[i] == NULL)
            status = error_set(error, KW_CORRUPT, "its member '%s' is missing", names[i]);
    }
    if (status == KW_OK && json_object_size(object) != 3)
        status = error_set(error, KW_CORRUPT, "it has members besides protected, payload and signature");
    return status;
}

static kw_status check_signer(struct crypto *crypto, X509 *certificate, const json_t *header, kw_error *error)
{
    unsigned char digest[SHA256_LENGTH];
    const char *named = NULL;
    kw_bytes bytes = {0};
    kw_status status = json_member_text(header, "x5t#S256", &named, error);
    if (status == KW_OK && named == NULL)
        status = error_set(error, KW_CORRUPT, "its header does not name the signer's certificate (x5t#S256)");
    if (status == KW_OK)
        status = base64url_decode(input_text(named), &bytes, error);
    if (status == KW_OK)
        status = jws_thumbprint(crypto, certificate, digest, error);
    if (status == KW_OK && !input_equal((kw_input){bytes.data, bytes.length}, (kw_input){digest, sizeof(digest)})) {
        char wanted[2 * SHA256_LENGTH + 1];
        hex_encode((kw_input){digest, sizeof(digest)}, wanted);
        status = error_set(error, KW_REFUSED, "it was signed by another certificate than the one with the SHA-256 %s",
                           wanted);
    }
    kw_bytes_free(&bytes);
    return status;
}

static kw_status choose_algorithm(const json_t *header, const kw_key *key, const struct jws_algorithm **algorithm,
                                  kw_error *error)
{
    const kw_key_capabilities *facts = kw_key_get_capabilities(key);
    const char *name = NULL;
    kw_status status = json_member_text(header, "alg", &name, error);
    if (status != KW_OK)
        return status;
    if (name == NULL)
        return error_set(error, KW_CORRUPT, "its header names no algorithm (alg)");
    if (strcmp(name, "none") == 0)
        return error_set(error, KW_REFUSED, "it is not signed (alg none)");
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        if (strcmp(algorithms[i].name, name) != 0)
            continue;
        if (!fits(&algorithms[i], facts))
            return error_set(error, KW_REFUSED, "its algorithm %s does not fit the signer's key, %s", name,
                             key_name(key) != NULL ? key_name(key) : "of another kind");
        *algorithm = &algorithms[i];
        return KW_OK;
    }
    return error_set(error, KW_REFUSED, "its algorithm '%s' is none of those that sign licences", name);
}

static kw_status check_header(struct crypto *crypto, X509 *certificate, const kw_key *key, const char *encoded,
                              const struct jws_algorithm **algorithm, kw_error *error)
{
    kw_bytes text = {0};
    json_t *header = NULL;
    kw_status status = base64url_decode(input_text(encoded), &text, error);
    if (status == KW_OK)
        status = json_read((kw_input){text.data, text.length}, &header, error);
    if (status != KW_OK) {
        error_prefix(error, "its header");
        goto out;
    }
    /* RFC 7515, 4.1.11: what is not understood and critical is refused. No extension is understood; b64 (RFC 7797) is one. */
    if (json_object_get(header, "crit") != NULL)
        status = error_set(error, KW_UNSUPPORTED, "its header calls for an extension that is not known here (crit)");
    if (status == KW_OK)
        status = check_signer(crypto, certificate, header, error);
    if (status == KW_OK)
        status = choose_algorithm(header, key, algorithm, error);
out:
    json_decref(header);
    kw_bytes_free(&text);
    return status;
}

static kw_status check_signature(kw_key *key, const struct jws_algorithm *algorithm, const char *const texts[3],
                                 kw_error *error)
{
    unsigned char sequence[2 * 66 + 16];
    kw_output output = {.data = sequence, .capacity = sizeof(sequence)};
    const kw_algorithm scheme = as_scheme(algorithm);
    struct buffer input = {0};
    kw_bytes signature = {0};
    kw_status status = base64url_decode(input_text(texts[2]), &signature, error);
    if (status != KW_OK) {
        error_prefix(error, "its signature");
        return status;
    }
    buffer_format(&input, "%s.%s", texts[0], texts[1]);
    kw_input bytes = {signature.data, signature.length};
    if (input.failed)
        status = error_memory(error);
    else if (algorithm->number > 0 && bytes.length != 2 * algorithm->number)
        status = error_set(error, KW_SIGNATURE_INVALID, "the signature has %zu bytes instead of %zu", bytes.length,
                           2 * algorithm->number);
    else if (algorithm->number > 0) {
        status = sequence_of(bytes, algorithm->number, &output, error);
        bytes = (kw_input){output.data, output.length};
    }
    if (status == KW_OK)
        status = kw_key_verify(key, &scheme, buffer_view(&input), bytes, error);
    kw_bytes_free(&signature);
    buffer_free(&input);
    return status;
}

/* The key of a certificate that is trusted to sign. */
static kw_status open_signer(struct crypto *crypto, X509 *certificate, kw_key **key, kw_error *error)
{
    unsigned char *spki = NULL;
    kw_key *opened = NULL;
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    kw_status status = length > 0 ? key_open_public(crypto, (kw_input){spki, (size_t)length}, &opened, error)
                                  : crypto_error(error, KW_CORRUPT, "the signer's public key cannot be read");
    if (status == KW_OK && kw_key_get_capabilities(opened)->type == KW_KEY_RSA &&
        kw_key_get_capabilities(opened)->bits < RSA_BITS_MINIMUM)
        status = error_set(error, KW_REFUSED, "the signer's RSA key has fewer than %d bits", RSA_BITS_MINIMUM);
    if (status == KW_OK) {
        *key = opened;
        opened = NULL;
    }
    kw_key_free(opened);
    OPENSSL_free(spki);
    return status;
}

kw_status jws_verify(struct crypto *crypto, X509 *certificate, kw_input jws, kw_bytes *payload, kw_error *error)
{
    const char *texts[3] = {NULL, NULL, NULL};
    const struct jws_algorithm *algorithm = NULL;
    json_t *document = NULL;
    kw_key *key = NULL;
    kw_status status = json_read(jws, &document, error);
    if (status == KW_OK)
        status = take_members(document, texts, error);
    if (status == KW_OK)
        status = open_signer(crypto, certificate, &key, error);
    if (status == KW_OK)
        status = check_header(crypto, certificate, key, texts[0], &algorithm, error);
    if (status == KW_OK)
        status = check_signature(key, algorithm, texts, error);
    if (status == KW_OK) {
        status = base64url_decode(input_text(texts[1]), payload, error);
        if (status != KW_OK)
            error_prefix(error, "its payload");
    }
    kw_key_free(key);
    json_decref(document);
    return status;
}
