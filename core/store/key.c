/* Handles on keys, and what is done with private ones but for decryption, which is key_decrypt.c's. */
#include "base/buffer.h"
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

    return place != NULL ? &place->told : &key->capabilities;
}

const struct pss_limits *key_pss(const kw_key *key)
{
    return &key->pss;
}

kw_status key_limit(kw_key *key, kw_input like, kw_error *error)
{
    struct key_place *const place = place_of(key);
    kw_bytes spki = {0};
    kw_key *limited = NULL;
    kw_status status;

    if (key->capabilities.type != KW_KEY_RSA)
        return KW_OK;
    crypto_enter();
    status = pss_spki_like(kw_key_get_public(key), like, &spki, error);
    crypto_leave();
    if (status != KW_OK || spki.length == 0)
        return status;
    status = key_open_public(key->crypto, (kw_input){spki.data, spki.length}, &limited, error);
    kw_bytes_free(&spki);
    if (status != KW_OK)
        return status;
    crypto_pkey_free(key->pkey);
    key->pkey = limited->pkey;
    limited->pkey = NULL;
    memcpy(key->spki, limited->spki, limited->spki_length);
    key->spki_length = limited->spki_length;
    key->pss = limited->pss;
    if (place != NULL)
        key_place_tell(place, &key->pss);
    kw_key_free(limited);
    return KW_OK;
}

kw_input kw_key_get_public(const kw_key *key)
{
    return (kw_input){key->spki, key->spki_length};
}

/* ---- Private operations ------------------------------------------------------------------------------- */

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
               : store_sign(place->store, place->handle, &key_raw_rsa, (kw_input){block, length}, signature, error);
}

static bool sign_is_native(const struct key_place *place, const kw_algorithm *algorithm)
{
    return key_place_has(place, KW_CAN_SIGN, algorithm->scheme) &&
           (place->capabilities.type != KW_KEY_RSA || (place->capabilities.sign_hashes & KW_BIT(algorithm->hash)) != 0);
}

/* By the store's own scheme, else by raw RSA; also where the store claims a scheme and then does not have this form of it. */
static kw_status sign_in_store(kw_key *key, const struct key_place *place, const struct signing *signing,
                               kw_output *signature, kw_error *error)
{
    const bool native = sign_is_native(place, &signing->algorithm);
    const bool raw = place->capabilities.type == KW_KEY_RSA && key_place_has(place, KW_CAN_SIGN, KW_SCHEME_RSA_RAW);
    kw_status status;

    if (!native)
        return raw ? sign_raw(key, place, signing, signature, error)
                   : key_place_cannot(place, error, "sign with this scheme and hash");
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
        return key_place_broken(place, error, "its signature needs more room than any of this key");
    if (status != KW_OK)
        return status;
    if (key->capabilities.type == KW_KEY_EC ? made.length == 0 || made.length > key->signature_length
                                            : made.length != key->signature_length)
        return key_place_broken(place, error, "its signature has a length that none of this key has");
    signature->length = made.length;
    return KW_OK;
}

bool key_is_of_root(kw_input input)
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
    if (key->guards_roots && signing.algorithm.is_message != 0 && key_is_of_root(input))
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
    return key_use_end(status, &inner, error);
}

static kw_status derive_at(const kw_key *key, const struct key_place *place, kw_input peer, kw_output *shared,
                           kw_error *error)
{
    static const kw_algorithm ecdh = {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDH};
    unsigned char any = 0;
    kw_output made = {.data = shared->data, .capacity = shared->capacity};
    kw_status status;

    if (!key_place_has(place, KW_CAN_DERIVE, KW_SCHEME_ECDH))
        return key_place_cannot(place, error, "agree on secrets (ECDH)");
    status = key_check_room(shared, key->shared_length, error);
    if (status == KW_OK)
        status = key_check_peer(key, peer, error);
    if (status != KW_OK)
        return status;
    status = store_derive(place->store, place->handle, &ecdh, peer, &made, error);
    if (status == KW_BUFFER_TOO_SMALL || (status == KW_OK && made.length != key->shared_length))
        return key_place_broken(place, error, "its shared secret is not as long as the curve's field");
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
            status = key_place_cannot(use.place, &inner, "agree on secrets (ECDH)");
        else if (status == KW_OK)
            status = derive_at(key, use.place, peer, shared, &inner);
    } while (key_use_again(key, &use, status, &inner));
    return key_use_end(status, &inner, error);
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
        return key_place_cannot(place, error, "be given out: its store does not give out any");
    if ((place->capabilities.operations & KW_CAN_EXPORT) == 0) {
        status = error_set(error, KW_REFUSED, "the key is not exportable: its store does not give it out");
        error_where(error, "store %s", store_name(place->store));
        return status;
    }
    status = store_key_export(place->store, place->handle, &output, error);
    if (status == KW_OK)
        status = key_place_broken(place, error, "it gave out a key without a buffer");
    if (status != KW_BUFFER_TOO_SMALL)
        goto out;
    status = secret_new(&made, output.length, error);
    if (status != KW_OK)
        goto out;
    output = (kw_output){.data = made.data, .capacity = made.capacity};
    status = store_key_export(place->store, place->handle, &output, error);
    if (status == KW_BUFFER_TOO_SMALL)
        status = key_place_broken(place, error, "a key needs more room than its plugin asked for");
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
    return key_use_end(status, &inner, error);
}
