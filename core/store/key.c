/* Handles on keys, and all that is done with private ones. */
#include "base/buffer.h"
#include "base/rsa_padding.h"
#include "store/key_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening ----------------------------------------------------------------------------------------- */

static kw_key *key_new(struct crypto *crypto)
{
    kw_key *const key = calloc(1, sizeof(*key));

    if (key == NULL)
        return NULL;
    atomic_init(&key->references, 1);
    atomic_init(&key->place, NULL);
    atomic_init(&key->seen, 0);
    for (size_t i = 0; i < KEY_HASHERS; i++)
        atomic_init(&key->hashers[i], NULL);
    key->crypto = crypto;
    return key;
}

kw_status key_open(struct store *store, kw_input locator, kw_key **key, kw_error *error)
{
    kw_status status;
    struct key_place *place = NULL;
    kw_key *made = key_new(store_crypto(store));

    if (made == NULL)
        return error_memory(error);
    status = key_place_open(made, store, locator, &place, error);
    if (status == KW_OK) {
        atomic_store_explicit(&made->place, place, memory_order_release);
        *key = made;
        made = NULL;
    }
    kw_key_free(made);
    return status;
}

kw_status key_open_public(struct crypto *crypto, kw_input spki, kw_key **key, kw_error *error)
{
    kw_status status;
    kw_key *made = key_new(crypto);

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
    key_places_free(atomic_load_explicit(&key->place, memory_order_acquire));
    for (size_t i = 0; i < KEY_HASHERS; i++)
        EVP_MD_CTX_free(atomic_load_explicit(&key->hashers[i], memory_order_relaxed));
    crypto_pkey_free(key->pkey);
    stores_free(key->origin.stores);
    free(key);
}

static struct key_place *place_of(const kw_key *key)
{
    return atomic_load_explicit(&key->place, memory_order_acquire);
}

struct store *key_store(const kw_key *key)
{
    const struct key_place *const place = place_of(key);

    return place != NULL ? place->store : NULL;
}

EVP_PKEY *key_public_pkey(const kw_key *key)
{
    return key->pkey;
}

const kw_key_capabilities *kw_key_get_capabilities(const kw_key *key)
{
    const struct key_place *const place = place_of(key);

    return place != NULL ? &place->capabilities : &key->capabilities;
}

kw_input kw_key_get_public(const kw_key *key)
{
    return (kw_input){key->spki, key->spki_length};
}

/* ---- Private operations ------------------------------------------------------------------------------- */

static bool place_has(const struct key_place *place, uint32_t operation, kw_scheme scheme)
{
    return (place->capabilities.operations & operation) != 0 && (place->capabilities.schemes & KW_BIT(scheme)) != 0;
}

/* KW_UNSUPPORTED, with the store. */
static kw_status place_cannot(const struct key_place *place, kw_error *error, const char *what)
{
    const kw_status status = error_set(error, KW_UNSUPPORTED, "the key cannot %s", what);
    error_where(error, "store %s", store_name(place->store));
    return status;
}

static kw_status place_broken(const struct key_place *place, kw_error *error, const char *what)
{
    const kw_status status =
        error_set(error, KW_FAILED, "the plugin '%s' is broken: %s", store_plugin(place->store), what);
    error_where(error, "store %s", store_name(place->store));
    return status;
}

/* The last attempt's failure becomes the caller's error, which is untouched until then. */
static kw_status use_end(kw_status status, const kw_error *inner, kw_error *error)
{
    if (status != KW_OK && error != NULL)
        *error = *inner;
    return status;
}

static const kw_algorithm raw_rsa = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_RSA_RAW};

/* The padding made here, for what the store can do raw RSA alone. */
static kw_status sign_raw(kw_key *key, const struct key_place *place, const struct signing *signing,
                          kw_output *signature, kw_error *error)
{
    unsigned char block[RSA_BYTES_MAXIMUM];
    const size_t length = key->signature_length;
    const kw_status status = signing->algorithm.scheme == KW_SCHEME_RSA_PSS
                                 ? rsa_pss_encode(key->crypto, &signing->algorithm, signing->input,
                                                  key->capabilities.bits, block, length, error)
                                 : rsa_pkcs1_encode(signing->algorithm.hash, signing->input, block, length, error);

    return status != KW_OK
               ? status
               : store_sign(place->store, place->handle, &raw_rsa, (kw_input){block, length}, signature, error);
}

static bool sign_is_native(const struct key_place *place, const kw_algorithm *algorithm)
{
    return place_has(place, KW_CAN_SIGN, algorithm->scheme) &&
           (place->capabilities.type != KW_KEY_RSA || (place->capabilities.sign_hashes & KW_BIT(algorithm->hash)) != 0);
}

/* By the store's own scheme, else by raw RSA; also where the store claims a scheme and then does not have this form of it. */
static kw_status sign_in_store(kw_key *key, const struct key_place *place, const struct signing *signing,
                               kw_output *signature, kw_error *error)
{
    const bool native = sign_is_native(place, &signing->algorithm);
    const bool raw = place->capabilities.type == KW_KEY_RSA && place_has(place, KW_CAN_SIGN, KW_SCHEME_RSA_RAW);
    kw_status status;

    if (!native)
        return raw ? sign_raw(key, place, signing, signature, error)
                   : place_cannot(place, error, "sign with this scheme and hash");
    status = store_sign(place->store, place->handle, &signing->algorithm, signing->input, signature, error);
    if (status == KW_UNSUPPORTED && raw)
        return sign_raw(key, place, signing, signature, error);
    return status;
}

static kw_status sign_at(kw_key *key, const struct key_place *place, const struct signing *signing,
                         kw_output *signature, kw_error *error)
{
    kw_output made = {.data = signature->data, .capacity = signature->capacity};
    const kw_status status = sign_in_store(key, place, signing, &made, error);

    if (status == KW_BUFFER_TOO_SMALL)
        return place_broken(place, error, "its signature needs more room than any of this key");
    if (status != KW_OK)
        return status;
    if (key->capabilities.type == KW_KEY_EC ? made.length == 0 || made.length > key->signature_length
                                            : made.length != key->signature_length)
        return place_broken(place, error, "its signature has a length that none of this key has");
    signature->length = made.length;
    return KW_OK;
}

static bool is_of_root(kw_input input)
{
    return input.length >= KEY_ROOT_MAGIC_LENGTH && crypto_equal(input.data, KEY_ROOT_MAGIC, KEY_ROOT_MAGIC_LENGTH);
}

void key_guard_roots(kw_key *key)
{
    key->guards_roots = true;
}

kw_status kw_key_sign(kw_key *key, const kw_algorithm *algorithm, kw_input input, kw_output *signature, kw_error *error)
{
    struct signing signing;
    struct key_use use = {.attempts = 0};
    kw_error inner; /* filled by a failure alone: the caller's must stay untouched when another attempt succeeds */
    kw_status status = signing_algorithm(key, algorithm, input, &signing, error);

    if (status != KW_OK)
        return status;
    if (signing.algorithm.hash == KW_HASH_SHA1)
        return error_set(error, KW_UNSUPPORTED, "SHA-1 is not for new signatures");
    if (key->guards_roots && signing.algorithm.is_message != 0 && is_of_root(input))
        return error_set(error, KW_REFUSED, "a master key signs nothing that begins as its root secrets' records do");
    if (place_of(key) == NULL)
        return key_use_begin(key, &use, "sign", error);
    status = key_check_room(signature, key->signature_length, error);
    if (status != KW_OK)
        return status;
    status = signing_input(key, input, &signing, error);
    if (status != KW_OK)
        return status;
    do {
        status = key_use_begin(key, &use, "sign", &inner);
        if (status == KW_OK)
            status = sign_at(key, use.place, &signing, signature, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return use_end(status, &inner, error);
}

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
    status = store_decrypt(place->store, place->handle, &raw_rsa, ciphertext, &output, error);
    if (status == KW_BUFFER_TOO_SMALL || (status == KW_OK && output.length != key->signature_length))
        return place_broken(place, error, "its raw RSA does not answer with as many bytes as the modulus has");
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

    return place_has(place, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP) && (place->capabilities.oaep_hashes & needed) == needed;
}

static kw_status decrypt_oaep_at(kw_key *key, const struct key_place *place, const kw_algorithm *oaep,
                                 kw_input ciphertext, kw_output *plaintext, kw_error *error)
{
    const bool native = decrypt_is_native(place, oaep);
    const bool raw = place_has(place, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW);
    kw_output made;
    kw_status status = KW_UNSUPPORTED;

    if (!native && !raw)
        return place_cannot(place, error, "decrypt OAEP with this hash");
    status = key_check_room(plaintext, key->signature_length, error);
    if (status != KW_OK)
        return status;
    if (!ciphertext_in_range(key, ciphertext))
        return error_set(error, KW_CIPHERTEXT_INVALID, "the ciphertext was not made for this key");
    made = (kw_output){.data = plaintext->data, .capacity = plaintext->capacity};
    status = native ? store_decrypt(place->store, place->handle, oaep, ciphertext, &made, error) : KW_UNSUPPORTED;
    if (status == KW_BUFFER_TOO_SMALL)
        return place_broken(place, error, "its plaintext needs more room than any");
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
    return use_end(status, &inner, error);
}

/* One answer for every invalid ciphertext, whatever the store says of it, and for a wrapped root. */
static kw_status decrypt_for_client(kw_key *key, const kw_algorithm *algorithm, kw_input ciphertext,
                                    kw_output *plaintext, kw_error *error)
{
    kw_output made = {.data = plaintext->data, .capacity = plaintext->capacity};
    kw_status status = decrypt_oaep(key, algorithm, ciphertext, &made, error);

    if (status == KW_OK && is_of_root((kw_input){made.data, made.length}))
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

    if (key->capabilities.type != KW_KEY_RSA || !place_has(place, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW))
        return place_cannot(place, error, "decrypt PKCS#1 v1.5: that takes raw RSA");
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
    kw_status status;

    do {
        status = key_use_begin(key, &use, "decrypt", &inner);
        if (status == KW_OK)
            status = decrypt_pkcs1_at(key, use.place, ciphertext, form, plaintext, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return use_end(status, &inner, error);
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

static kw_status derive_at(const kw_key *key, const struct key_place *place, kw_input peer, kw_output *shared,
                           kw_error *error)
{
    static const kw_algorithm ecdh = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDH};
    unsigned char any = 0;
    kw_output made = {.data = shared->data, .capacity = shared->capacity};
    kw_status status;

    if (!place_has(place, KW_CAN_DERIVE, KW_SCHEME_ECDH))
        return place_cannot(place, error, "agree on secrets (ECDH)");
    status = key_check_room(shared, key->shared_length, error);
    if (status == KW_OK)
        status = key_check_peer(key, peer, error);
    if (status != KW_OK)
        return status;
    status = store_derive(place->store, place->handle, &ecdh, peer, &made, error);
    if (status == KW_BUFFER_TOO_SMALL || (status == KW_OK && made.length != key->shared_length))
        return place_broken(place, error, "its shared secret is not as long as the curve's field");
    if (status != KW_OK)
        return status;
    for (size_t i = 0; i < made.length; i++)
        any = (unsigned char)(any | shared->data[i]);
    if (any == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "the peer's key makes a secret of zeros");
    shared->length = made.length;
    return KW_OK;
}

kw_status key_agree(kw_key *key, kw_input peer, kw_output *shared, kw_error *error)
{
    struct key_use use = {.attempts = 0};
    kw_error inner; /* as in kw_key_sign */
    kw_status status;

    do {
        status = key_use_begin(key, &use, "agree on secrets (ECDH)", &inner);
        if (status == KW_OK && key->shared_length == 0)
            status = place_cannot(use.place, &inner, "agree on secrets (ECDH)");
        else if (status == KW_OK)
            status = derive_at(key, use.place, peer, shared, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return use_end(status, &inner, error);
}

kw_status kw_key_derive(kw_key *key, kw_input peer, kw_output *shared, kw_error *error)
{
    kw_status status;

    if (!key->guards_roots)
        return key_agree(key, peer, shared, error);
    status = error_set(error, KW_REFUSED, "a master key gives out no shared secrets: they would open its root secrets");
    error_remedy(error, "use CMS, or a certificate of another kind");
    return status;
}

static kw_status export_at(const struct key_place *place, struct secret *pkcs8, kw_error *error)
{
    struct secret made = {0};
    kw_output output = {0};
    kw_status status;

    if ((store_capabilities(place->store)->operations & KW_CAN_EXPORT) == 0)
        return place_cannot(place, error, "be given out: its store does not give out any");
    if ((place->capabilities.operations & KW_CAN_EXPORT) == 0) {
        status = error_set(error, KW_REFUSED, "the key is not exportable: its store does not give it out");
        error_where(error, "store %s", store_name(place->store));
        return status;
    }
    status = store_key_export(place->store, place->handle, &output, error);
    if (status == KW_OK)
        status = place_broken(place, error, "it gave out a key without a buffer");
    if (status != KW_BUFFER_TOO_SMALL)
        goto out;
    status = secret_new(&made, output.length, error);
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = made.data, .capacity = made.capacity};
    status = store_key_export(place->store, place->handle, &output, error);
    if (status == KW_BUFFER_TOO_SMALL)
        status = place_broken(place, error, "a key needs more room than its plugin asked for");
    if (status != KW_OK)
        goto out;
    made.length = output.length;
    *pkcs8 = made;
    made = (struct secret){0};
out:
    secret_clear(&made);
    return status;
}

kw_status key_export(kw_key *key, struct secret *pkcs8, kw_error *error)
{
    struct key_use use = {.attempts = 0};
    kw_error inner; /* as in kw_key_sign */
    kw_status status;

    do {
        status = key_use_begin(key, &use, "be given out", &inner);
        if (status == KW_OK)
            status = export_at(use.place, pkcs8, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return use_end(status, &inner, error);
}
