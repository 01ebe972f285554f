#include "certificate/ability.h"

#include "base/buffer.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#define CHALLENGE_LENGTH 32
#define ANSWER_MAXIMUM   1024

struct ability {
    const char *name;
    kw_key_type type;
    uint32_t operation;
    kw_scheme scheme;
    kw_hash hash;
};

/* RSA decryption by PKCS#1 v1.5 is raw RSA in the store. */
static const struct ability rows[] = {
    {"sign by PSS with SHA-256", KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PSS, KW_HASH_SHA256},
    {"sign by PSS with SHA-384", KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PSS, KW_HASH_SHA384},
    {"sign by PSS with SHA-512", KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PSS, KW_HASH_SHA512},
    {"sign by PKCS#1 v1.5 with SHA-256", KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PKCS1, KW_HASH_SHA256},
    {"sign by PKCS#1 v1.5 with SHA-384", KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PKCS1, KW_HASH_SHA384},
    {"sign by PKCS#1 v1.5 with SHA-512", KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PKCS1, KW_HASH_SHA512},
    {"decrypt OAEP with SHA-1", KW_KEY_RSA, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP, KW_HASH_SHA1},
    {"decrypt OAEP with SHA-256", KW_KEY_RSA, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP, KW_HASH_SHA256},
    {"decrypt OAEP with SHA-384", KW_KEY_RSA, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP, KW_HASH_SHA384},
    {"decrypt OAEP with SHA-512", KW_KEY_RSA, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP, KW_HASH_SHA512},
    {"decrypt PKCS#1 v1.5 (CMS)", KW_KEY_RSA, KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW, KW_HASH_NONE},
    {"sign by ECDSA", KW_KEY_EC, KW_CAN_SIGN, KW_SCHEME_ECDSA, KW_HASH_SHA256},
    {"agree on secrets by ECDH", KW_KEY_EC, KW_CAN_DERIVE, KW_SCHEME_ECDH, KW_HASH_NONE},
    {"sign by EdDSA", KW_KEY_ED25519, KW_CAN_SIGN, KW_SCHEME_EDDSA, KW_HASH_NONE},
};
enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

/* ---- Sets -------------------------------------------------------------------------------------------- */

static bool has(const struct ability *row, const kw_key_capabilities *key)
{
    const uint32_t hashes = row->operation == KW_CAN_SIGN ? key->sign_hashes : key->oaep_hashes;
    const bool hashed = row->type != KW_KEY_RSA || row->hash == KW_HASH_NONE || (hashes & KW_BIT(row->hash)) != 0;
    const bool raw = row->type == KW_KEY_RSA && (key->schemes & KW_BIT(KW_SCHEME_RSA_RAW)) != 0;
    return row->type == key->type && (key->operations & row->operation) != 0 &&
           (raw || (hashed && (key->schemes & KW_BIT(row->scheme)) != 0));
}

abilities abilities_of_key(const kw_key_capabilities *key)
{
    abilities set = 0;
    for (unsigned i = 0; i < ROW_COUNT; i++)
        if (has(&rows[i], key))
            set |= KW_BIT(i);
    return set;
}

abilities abilities_of_pss(const struct pss_limits *limits)
{
    abilities set = 0;
    for (unsigned i = 0; i < ROW_COUNT; i++)
        if (!limits->only ||
            (rows[i].scheme == KW_SCHEME_RSA_PSS && (limits->hash == KW_HASH_NONE || limits->hash == rows[i].hash)))
            set |= KW_BIT(i);
    return set;
}

abilities abilities_of_store(const kw_capabilities *store, kw_key_type type)
{
    const kw_key_capabilities key = {
        .size = sizeof(key),
        .type = type,
        .operations = store->operations,
        .schemes = store->schemes,
        .sign_hashes = store->sign_hashes,
        .oaep_hashes = store->oaep_hashes,
    };
    return abilities_of_key(&key);
}

abilities abilities_needed(const struct kind *kind)
{
    abilities set = 0;
    for (unsigned i = 0; i < ROW_COUNT; i++)
        if (rows[i].operation == KW_CAN_SIGN || kind->usage != USAGE_TLS_SERVER)
            set |= KW_BIT(i);
    return set;
}

void abilities_text(abilities set, char text[ABILITIES_TEXT_SIZE])
{
    size_t length = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < ROW_COUNT && length < ABILITIES_TEXT_SIZE; i++)
        if ((set & KW_BIT(i)) != 0)
            length += (size_t)snprintf(text + length, ABILITIES_TEXT_SIZE - length, "%s%s", length > 0 ? ", " : "",
                                       rows[i].name);
}

/* ---- Proof ------------------------------------------------------------------------------------------- */

struct proof {
    struct crypto *crypto;
    kw_key *key;
    kw_key *public;
    EVP_PKEY *pkey; /* of the certificate */
    unsigned char challenge[CHALLENGE_LENGTH];
};

static kw_algorithm algorithm_of(const struct proof *proof, const struct ability *row)
{
    const struct pss_limits *const limits = key_pss(proof->public);
    return (kw_algorithm){
        .size = sizeof(kw_algorithm),
        .scheme = row->scheme,
        .hash = row->hash,
        .mgf_hash = row->scheme == KW_SCHEME_RSA_PSS ? limits->mgf_hash : KW_HASH_NONE,
        .salt_length = row->scheme == KW_SCHEME_RSA_PSS ? pss_salt_default(limits, row->hash) : 0,
        .is_message = row->operation == KW_CAN_SIGN,
    };
}

static kw_status differs(kw_error *error)
{
    return error_set(error, KW_CIPHERTEXT_INVALID, "what comes out is not what went in");
}

/*
 * What the question for the length answered is all the room that callers give: a store that needs more fails them. `output` has the capacity of
 * its buffer before.
 */
static kw_status take_room(kw_status answered, const kw_output *question, kw_output *output, kw_error *error)
{
    const size_t length = question->length;
    if (answered == KW_BUFFER_TOO_SMALL && length > 0 && length <= output->capacity) {
        output->capacity = length;
        return KW_OK;
    }
    return answered == KW_BUFFER_TOO_SMALL || answered == KW_OK
               ? error_set(error, KW_FAILED, "it is said to answer with %zu bytes", length)
               : error_set(error, answered, "it is not said how long the answer is: %s", kw_status_text(answered));
}

static kw_status prove_signature(const struct proof *proof, const struct ability *row, kw_error *error)
{
    unsigned char bytes[ANSWER_MAXIMUM];
    const kw_algorithm algorithm = algorithm_of(proof, row);
    const kw_input challenge = {proof->challenge, sizeof(proof->challenge)};
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)}, question = {0};
    kw_status status =
        take_room(kw_key_sign(proof->key, &algorithm, challenge, &question, NULL), &question, &signature, error);
    if (status == KW_OK)
        status = kw_key_sign(proof->key, &algorithm, challenge, &signature, error);
    if (status == KW_OK)
        status = kw_key_verify(proof->public, &algorithm, challenge, (kw_input){bytes, signature.length}, error);
    return status;
}

/* To the certificate's public key, by PKCS#1 v1.5. */
static kw_status seal_pkcs1_within(const struct proof *proof, kw_output *ciphertext, kw_error *error)
{
    size_t length = ciphertext->capacity;
    kw_status status = KW_OK;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(proof->crypto->library, proof->pkey, "provider=default");
    if (context == NULL || EVP_PKEY_encrypt_init(context) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_encrypt(context, ciphertext->data, &length, proof->challenge, sizeof(proof->challenge)) <= 0)
        status = crypto_error(error, KW_FAILED, "nothing can be encrypted to the certificate");
    else
        ciphertext->length = length;
    EVP_PKEY_CTX_free(context);
    return status;
}

static kw_status seal_pkcs1(const struct proof *proof, kw_output *ciphertext, kw_error *error)
{
    crypto_enter();
    const kw_status status = seal_pkcs1_within(proof, ciphertext, error);
    crypto_leave();
    return status;
}

static kw_status prove_decryption(const struct proof *proof, const struct ability *row, kw_error *error)
{
    unsigned char sealed[ANSWER_MAXIMUM], opened[ANSWER_MAXIMUM] = {0};
    const bool pkcs1 = row->scheme == KW_SCHEME_RSA_RAW;
    const kw_algorithm algorithm = algorithm_of(proof, row);
    const kw_input challenge = {proof->challenge, sizeof(proof->challenge)};
    kw_output ciphertext = {.data = sealed, .capacity = sizeof(sealed)};
    kw_output plaintext = {.data = opened, .capacity = sizeof(opened)};
    kw_status status = pkcs1 ? seal_pkcs1(proof, &ciphertext, error)
                             : kw_key_encrypt(proof->public, &algorithm, challenge, &ciphertext, error);
    const kw_input input = {sealed, ciphertext.length};
    if (status == KW_OK && pkcs1) {
        plaintext.capacity = ciphertext.length;
        status = key_decrypt_pkcs1(proof->key, input, &plaintext, error);
    } else if (status == KW_OK) {
        status = kw_key_decrypt(proof->key, &algorithm, input, &plaintext, error);
    }
    if (status == KW_OK && !input_equal((kw_input){opened, plaintext.length}, challenge))
        status = differs(error);
    return status;
}

/* The same secret, computed with the ephemeral private key and the certificate's public one. */
static kw_status derive_here_within(const struct proof *proof, EVP_PKEY *ephemeral, kw_output *shared, kw_error *error)
{
    size_t length = shared->capacity;
    kw_status status = KW_OK;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(proof->crypto->library, ephemeral, "provider=default");
    if (context == NULL || EVP_PKEY_derive_init(context) <= 0 || EVP_PKEY_derive_set_peer(context, proof->pkey) <= 0 ||
        EVP_PKEY_derive(context, shared->data, &length) <= 0)
        status = crypto_error(error, KW_FAILED, "no secret can be agreed on with the certificate");
    else
        shared->length = length;
    EVP_PKEY_CTX_free(context);
    return status;
}

static kw_status derive_here(const struct proof *proof, EVP_PKEY *ephemeral, kw_output *shared, kw_error *error)
{
    crypto_enter();
    const kw_status status = derive_here_within(proof, ephemeral, shared, error);
    crypto_leave();
    return status;
}

static kw_status prove_agreement(const struct proof *proof, const struct ability *row, kw_error *error)
{
    unsigned char theirs[ANSWER_MAXIMUM], ours[ANSWER_MAXIMUM], *peer = NULL;
    char group[64] = "";
    kw_output there = {.data = theirs, .capacity = sizeof(theirs)}, here = {.data = ours, .capacity = sizeof(ours)};
    kw_output question = {0};
    EVP_PKEY *ephemeral = NULL;
    int length = 0;
    kw_status status = KW_OK;
    (void)row;
    crypto_enter();
    if (EVP_PKEY_get_group_name(proof->pkey, group, sizeof(group), NULL) == 1)
        ephemeral = EVP_PKEY_Q_keygen(proof->crypto->library, "provider=default", "EC", group);
    if (ephemeral != NULL)
        length = i2d_PUBKEY(ephemeral, &peer);
    crypto_leave();
    if (length <= 0) {
        status = crypto_error(error, KW_FAILED, "no key can be made to agree on a secret with");
        goto out;
    }
    status =
        take_room(key_agree(proof->key, (kw_input){peer, (size_t)length}, &question, NULL), &question, &there, error);
    if (status == KW_OK)
        status = key_agree(proof->key, (kw_input){peer, (size_t)length}, &there, error);
    if (status == KW_OK)
        status = derive_here(proof, ephemeral, &here, error);
    if (status == KW_OK && !input_equal((kw_input){theirs, there.length}, (kw_input){ours, here.length}))
        status = differs(error);
out:
    OPENSSL_free(peer);
    crypto_pkey_free(ephemeral);
    return status;
}

static kw_status prove_one(const struct proof *proof, const struct ability *row, kw_error *error)
{
    kw_status status = row->operation == KW_CAN_SIGN      ? prove_signature(proof, row, error)
                       : row->operation == KW_CAN_DECRYPT ? prove_decryption(proof, row, error)
                                                          : prove_agreement(proof, row, error);
    /* What may pass is no refusal. */
    static const bool cannot[KW_FAILED + 1] = {
        [KW_SIGNATURE_INVALID] = true, [KW_CIPHERTEXT_INVALID] = true,
        [KW_UNSUPPORTED] = true,       [KW_INVALID_ARGUMENT] = true,
        [KW_CORRUPT] = true,
    };
    const bool failed = status == KW_FAILED;
    char why[sizeof(error->message)] = "";
    if (!failed && !cannot[status])
        return status;
    if (error != NULL)
        snprintf(why, sizeof(why), "%s", error->message);
    return failed ? error_set(error, KW_FAILED, "whether the key in store '%s' can %s could not be proved: %s",
                              store_name(key_store(proof->key)), row->name, why)
                  : error_set(error, KW_REFUSED, "the key in store '%s' does not %s as the certificate's key must: %s",
                              store_name(key_store(proof->key)), row->name, why);
}

kw_status abilities_prove(kw_context *context, kw_key *key, X509 *certificate, abilities set, kw_error *error)
{
    unsigned char *spki = NULL;
    struct proof proof = {.crypto = context->crypto, .key = key, .pkey = X509_get0_pubkey(certificate)};
    kw_status status = crypto_random(context->crypto, proof.challenge, sizeof(proof.challenge), error);
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    if (status == KW_OK && (length <= 0 || proof.pkey == NULL))
        status = crypto_error(error, KW_CORRUPT, "the certificate has no readable public key");
    if (status == KW_OK && !crypto_pkey_is(key_public_pkey(key), proof.pkey))
        status =
            error_set(error, KW_REFUSED, "the key in store '%s' is not the certificate's", store_name(key_store(key)));
    if (status == KW_OK)
        status = key_open_public(context->crypto, (kw_input){spki, (size_t)length}, &proof.public, error);
    if (status == KW_OK)
        status = key_limit(key, (kw_input){spki, (size_t)length}, error);
    for (unsigned i = 0; status == KW_OK && i < ROW_COUNT; i++)
        if ((set & KW_BIT(i)) != 0)
            status = prove_one(&proof, &rows[i], error);
    kw_key_free(proof.public);
    OPENSSL_free(spki);
    return status;
}
