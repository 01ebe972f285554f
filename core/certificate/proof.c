/* Proof that a store really holds the private key of a certificate. */
#include "certificate/manager.h"

#include <string.h>

#define CHALLENGE_LENGTH 32

static kw_status prove_by_signature(kw_key *key, kw_key *public, kw_input challenge, kw_error *error)
{
    unsigned char bytes[1024];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = kw_key_sign(key, NULL, challenge, &signature, error);
    if (status == KW_OK)
        status = kw_key_verify(public, NULL, challenge, (kw_input){bytes, signature.length}, error);
    return status;
}

static kw_status prove_by_decryption(kw_key *key, kw_key *public, kw_input challenge, kw_error *error)
{
    unsigned char sealed[1024];
    unsigned char opened[1024] = {0};
    kw_output ciphertext = {.data = sealed, .capacity = sizeof(sealed)};
    kw_output plaintext = {.data = opened, .capacity = sizeof(opened)};
    kw_status status = kw_key_encrypt(public, NULL, challenge, &ciphertext, error);
    if (status == KW_OK)
        status = kw_key_decrypt(key, NULL, (kw_input){sealed, ciphertext.length}, &plaintext, error);
    if (status == KW_OK &&
        (plaintext.length != challenge.length || memcmp(opened, challenge.data, challenge.length) != 0))
        status = error_set(error, KW_CIPHERTEXT_INVALID, "the key decrypts to something else");
    return status;
}

kw_status key_prove(kw_context *context, kw_key *key, X509 *certificate, kw_error *error)
{
    unsigned char challenge[CHALLENGE_LENGTH];
    unsigned char *spki = NULL;
    kw_key *public = NULL;
    const kw_input input = {challenge, sizeof(challenge)};
    kw_status status = crypto_random(context->crypto, challenge, sizeof(challenge), error);
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    if (status == KW_OK && length <= 0)
        status = crypto_error(error, KW_CORRUPT, "the certificate has no readable public key");
    if (status == KW_OK)
        status = key_open_public(context->crypto, (kw_input){spki, (size_t)length}, &public, error);
    if (status == KW_OK)
        status = key_limit(key, (kw_input){spki, (size_t)length}, error);
    if (status != KW_OK)
        goto out;
    if ((kw_key_get_capabilities(key)->operations & KW_CAN_SIGN) != 0)
        status = prove_by_signature(key, public, input, error);
    else
        status = prove_by_decryption(key, public, input, error);
    if (status == KW_SIGNATURE_INVALID || status == KW_CIPHERTEXT_INVALID)
        status =
            error_set(error, KW_REFUSED, "the key in store '%s' is not the certificate's", store_name(key_store(key)));
out:
    kw_key_free(public);
    OPENSSL_free(spki);
    return status;
}
