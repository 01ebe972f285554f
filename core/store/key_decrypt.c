/* Decryption with private RSA keys: OAEP and PKCS#1 v1.5, by the store's own or by its raw RSA, with one answer for what is invalid. */
#include "base/rsa_padding.h"
#include "store/key_private.h"

#include <string.h>

/* The number must be as long as the modulus and below it. */
static bool ciphertext_in_range(const kw_key *key, kw_input ciphertext)
{
    return ciphertext.data != NULL && ciphertext.length == key->signature_length &&
           memcmp(ciphertext.data, key->modulus, ciphertext.length) < 0;
}

/* RSADP into `block`, which gets the modulus' length. */
static kw_status decrypt_block(kw_key *key, const struct key_place *place, kw_input ciphertext, struct secret *block,
                               kw_error *error)
{
    kw_output output;
    kw_status status = secret_new(block, key->signature_length, error);

    if (status != KW_OK)
        return status;
    output = (kw_output){.data = block->data, .capacity = block->capacity};
    status = store_decrypt(place->store, place->handle, &key_raw_rsa, ciphertext, &output, error);
    if (status == KW_BUFFER_TOO_SMALL || (status == KW_OK && output.length != key->signature_length))
        return key_place_broken(place, error, "its raw RSA does not answer with as many bytes as the modulus has");
    block->length = key->signature_length;
    return status;
}

static kw_status decrypt_raw_oaep(kw_key *key, const struct key_place *place, const kw_algorithm *algorithm,
                                  kw_input ciphertext, kw_output *plaintext, kw_error *error)
{
    struct secret block = {0};
    kw_status status = decrypt_block(key, place, ciphertext, &block, error);

    if (status == KW_OK)
        status = rsa_oaep_unpad(key->crypto, algorithm->hash, algorithm->mgf_hash, algorithm->label,
                                secret_view(&block), plaintext, error);
    secret_clear(&block);
    return status;
}

static bool decrypt_is_native(const struct key_place *place, const kw_algorithm *algorithm)
{
    const uint32_t needed = KW_BIT(algorithm->hash) | KW_BIT(algorithm->mgf_hash);

    return key_place_has(place, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP) &&
           (place->capabilities.oaep_hashes & needed) == needed;
}

static kw_status decrypt_oaep_at(kw_key *key, const struct key_place *place, const kw_algorithm *oaep,
                                 kw_input ciphertext, kw_output *plaintext, kw_error *error)
{
    const bool native = decrypt_is_native(place, oaep);
    const bool raw = key_place_has(place, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW);
    kw_output made;
    kw_status status = KW_UNSUPPORTED;

    if (!native && !raw)
        return key_place_cannot(place, error, "decrypt OAEP with this hash");
    status = key_check_room(plaintext, key->signature_length, error);
    if (status != KW_OK)
        return status;
    if (!ciphertext_in_range(key, ciphertext))
        return error_set(error, KW_CIPHERTEXT_INVALID, "the ciphertext was not made for this key");
    made = (kw_output){.data = plaintext->data, .capacity = plaintext->capacity};
    status = native ? store_decrypt(place->store, place->handle, oaep, ciphertext, &made, error) : KW_UNSUPPORTED;
    if (status == KW_BUFFER_TOO_SMALL)
        return key_place_broken(place, error, "its plaintext needs more room than any");
    if (status == KW_UNSUPPORTED && raw)
        status = decrypt_raw_oaep(key, place, oaep, ciphertext, &made, error);
    if (status == KW_OK)
        plaintext->length = made.length;
    return status;
}

static kw_status decrypt_oaep(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext, kw_output *plaintext,
                              kw_error *error)
{
    kw_algorithm oaep;
    struct key_use use = {.attempts = 0};
    kw_error inner; /* as in kw_key_sign */
    kw_status status = oaep_algorithm(key, algorithm, &oaep, error);

    if (status != KW_OK)
        return status;
    do {
        status = key_use_begin(key, &use, "decrypt", &inner);
        if (status == KW_OK)
            status = decrypt_oaep_at(key, use.place, &oaep, ciphertext, plaintext, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return key_use_end(status, &inner, error);
}

/* One answer for every invalid ciphertext, whatever the store says of it, and for a wrapped root. */
static kw_status decrypt_for_client(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext,
                                    kw_output *plaintext, kw_error *error)
{
    kw_output made = {.data = plaintext->data, .capacity = plaintext->capacity};
    kw_status status = decrypt_oaep(key, algorithm, ciphertext, &made, error);

    if (status == KW_OK && key_is_of_root((kw_input){made.data, made.length}))
        status = KW_CIPHERTEXT_INVALID;
    if (status == KW_CIPHERTEXT_INVALID) {
        secret_wipe(made.data, key->signature_length);
        return error_set(error, KW_CIPHERTEXT_INVALID, "the ciphertext was not made for this key, or was changed");
    }
    if (status == KW_OK || status == KW_BUFFER_TOO_SMALL)
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
    return decrypt_for_client(key, algorithm, ciphertext, plaintext, error);
}

kw_status key_unwrap(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext, kw_output *plaintext,
                     kw_error *error)
{
    return decrypt_oaep(key, algorithm, ciphertext, plaintext, error);
}

/* What the right plaintexts are. */
struct pkcs1_form {
    size_t length;           /* 0: any */
    const uint32_t *version; /* of a TLS client, and another or 0; NULL: no secret of TLS */
};

static kw_status unpad_pkcs1(struct crypto *crypto, kw_input seed, kw_input ciphertext, kw_input block,
                             const struct pkcs1_form *form, kw_output *plaintext, kw_error *error)
{
    if (form->version != NULL)
        return rsa_tls_unpad(crypto, seed, ciphertext, block, form->version[0], form->version[1], plaintext, error);
    return form->length > 0 ? rsa_pkcs1_unpad_exactly(crypto, seed, ciphertext, block, form->length, plaintext, error)
                            : rsa_pkcs1_unpad(crypto, seed, ciphertext, block, plaintext, error);
}

static kw_status decrypt_pkcs1_at(kw_key *key, const struct key_place *place, kw_input ciphertext,
                                  const struct pkcs1_form *form, kw_output *plaintext, kw_error *error)
{
    /* A block that is not well formed, in place of one that a ciphertext out of range does not have. */
    static const unsigned char malformed[RSA_BYTES_MAXIMUM];
    unsigned char digest[SHA256_LENGTH], seed[SHA256_LENGTH] = {0}, padded[RSA_BYTES_MAXIMUM] = {0};
    const size_t length = key->signature_length;
    struct secret block = {0};
    kw_input content = {malformed, length}, bound = ciphertext;
    kw_output made;
    kw_status status;

    if (key->capabilities.type != KW_KEY_RSA || !key_place_has(place, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW))
        return key_place_cannot(place, error, "decrypt PKCS#1 v1.5: that takes raw RSA");
    status = key_check_room(plaintext, length, error);
    if (status != KW_OK)
        return status;
    if (ciphertext_in_range(key, ciphertext)) {
        status = decrypt_block(key, place, ciphertext, &block, error);
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
    status = catalogue_derive(store_catalogue(place->store), "reject", (kw_input){digest, sizeof(digest)}, seed, error);
    if (status != KW_OK)
        goto out;
    made = (kw_output){.data = plaintext->data, .capacity = plaintext->capacity};
    status = unpad_pkcs1(key->crypto, (kw_input){seed, sizeof(seed)}, bound, content, form, &made, error);
    if (status == KW_OK)
        plaintext->length = made.length;
out:
    secret_wipe(seed, sizeof(seed));
    secret_clear(&block);
    return status;
}

static kw_status decrypt_pkcs1(kw_key *key, kw_input ciphertext, const struct pkcs1_form *form, kw_output *plaintext,
                               kw_error *error)
{
    struct key_use use = {.attempts = 0};
    kw_error inner; /* as in kw_key_sign */
    kw_status status = key_check_decrypts(key, error);

    if (status != KW_OK)
        return status;
    do {
        status = key_use_begin(key, &use, "decrypt", &inner);
        if (status == KW_OK)
            status = decrypt_pkcs1_at(key, use.place, ciphertext, form, plaintext, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return key_use_end(status, &inner, error);
}

kw_status key_decrypt_pkcs1(kw_key *key, kw_input ciphertext, kw_output *plaintext, kw_error *error)
{
    return decrypt_pkcs1(key, ciphertext, &(struct pkcs1_form){0}, plaintext, error);
}

kw_status key_decrypt_pkcs1_exactly(kw_key *key, kw_input ciphertext, size_t wanted, kw_output *plaintext,
                                    kw_error *error)
{
    return decrypt_pkcs1(key, ciphertext, &(struct pkcs1_form){.length = wanted}, plaintext, error);
}

kw_status key_decrypt_tls(kw_key *key, kw_input ciphertext, uint32_t client_version, uint32_t other_version,
                          kw_output *secret, kw_error *error)
{
    const uint32_t versions[] = {client_version, other_version};
    struct secret room = {0};
    kw_status status = key_check_room(secret, RSA_TLS_SECRET, error);
    if (status == KW_OK)
        status = secret_new(&room, RSA_BYTES_MAXIMUM, error);
    if (status != KW_OK)
        return status;
    kw_output whole = {.data = room.data, .capacity = room.capacity};
    status = decrypt_pkcs1(key, ciphertext, &(struct pkcs1_form){.version = versions}, &whole, error);
    if (status == KW_OK) {
        memcpy(secret->data, room.data, RSA_TLS_SECRET);
        secret->length = RSA_TLS_SECRET;
    }
    secret_clear(&room);
    return status;
}
