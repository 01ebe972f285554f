/* What the memory plugin does with its keys. */
#include "memory.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static const char *hash_text(kw_hash hash)
{
    static const char *const names[] = {
        [KW_HASH_NONE] = NULL,       [KW_HASH_SHA1] = "SHA1",     [KW_HASH_SHA224] = "SHA224",
        [KW_HASH_SHA256] = "SHA256", [KW_HASH_SHA384] = "SHA384", [KW_HASH_SHA512] = "SHA512"};
    return names[hash];
}

static bool set_signing(EVP_PKEY_CTX *context, const kw_algorithm *algorithm)
{
    if (algorithm->scheme == KW_SCHEME_RSA_RAW)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) > 0;
    if (EVP_PKEY_CTX_set_signature_md(context, EVP_get_digestbyname(hash_text(algorithm->hash))) <= 0)
        return false;
    if (algorithm->scheme == KW_SCHEME_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0;
    if (algorithm->scheme == KW_SCHEME_RSA_PSS)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, hash_text(algorithm->mgf_hash), NULL) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context, (int)algorithm->salt_length) > 0;
    return true;
}

static kw_status sign_digest(kw_plugin_key *key, const kw_algorithm *algorithm, kw_input input, kw_output *signature)
{
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(key->pkey, NULL);
    size_t length = signature->capacity;
    kw_status status = KW_OK;

    if (context == NULL || EVP_PKEY_sign_init(context) <= 0 || !set_signing(context, algorithm) ||
        EVP_PKEY_sign(context, signature->data, &length, input.data, input.length) <= 0)
        status = memory_fail(key->instance, KW_FAILED, "libcrypto made no signature");
    else
        signature->length = length;
    EVP_PKEY_CTX_free(context);
    return status;
}

static kw_status sign_message(kw_plugin_key *key, kw_input input, kw_output *signature)
{
    EVP_MD_CTX *const context = EVP_MD_CTX_new();
    size_t length = signature->capacity;
    kw_status status = KW_OK;

    if (context == NULL || EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key->pkey, NULL) != 1 ||
        EVP_DigestSign(context, signature->data, &length, input.data, input.length) != 1)
        status = memory_fail(key->instance, KW_FAILED, "libcrypto made no signature");
    else
        signature->length = length;
    EVP_MD_CTX_free(context);
    return status;
}

kw_status memory_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input input,
                      kw_output *signature)
{
    const kw_plugin_instance *const instance = key->instance;
    const size_t longest = (size_t)EVP_PKEY_get_size(key->pkey);
    kw_status status = KW_OK;

    (void)call;
    if (memory_has_fault(instance, "away"))
        return memory_fail(instance, KW_UNAVAILABLE, "the device is not plugged in");
    if (memory_has_fault(instance, "sign-status") || memory_has_fault(instance, "sign-negative")) {
        memset(&status, memory_has_fault(instance, "sign-status") ? 0x33 : 0xff, sizeof(status));
        return status;
    }
    if (memory_has_fault(instance, "too-small-absurd"))
        signature->length = SIZE_MAX;
    if (memory_has_fault(instance, "too-small-lie"))
        signature->length = signature->capacity;
    if (strncmp(instance->fault, "too-small-", strlen("too-small-")) == 0)
        return KW_BUFFER_TOO_SMALL;
    if (signature->data == NULL || signature->capacity < longest) {
        signature->length = longest;
        return KW_BUFFER_TOO_SMALL;
    }
    if (algorithm->scheme == KW_SCHEME_EDDSA)
        status = sign_message(key, input, signature);
    else if (algorithm->is_message != 0)
        status = memory_fail(instance, KW_INVALID_ARGUMENT, "this plugin hashes nothing");
    else if (algorithm->scheme == KW_SCHEME_RSA_PSS && memory_has_fault(instance, "pss-unsupported"))
        status = memory_fail(instance, KW_UNSUPPORTED, "this backend has no such PSS");
    else if (instance->raw && (algorithm->scheme == KW_SCHEME_RSA_PSS || algorithm->scheme == KW_SCHEME_RSA_PKCS1))
        status = memory_fail(instance, KW_UNSUPPORTED, "this backend does raw RSA alone");
    else
        status = sign_digest(key, algorithm, input, signature);
    if (status == KW_OK && memory_has_fault(instance, "sign-long"))
        signature->length = signature->capacity + 1;
    if (status == KW_OK && memory_has_fault(instance, "sign-short"))
        signature->length = 0;
    return status;
}

static kw_status decrypt_block(kw_plugin_key *key, const kw_algorithm *algorithm, kw_input ciphertext,
                               kw_output *plaintext)
{
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(key->pkey, NULL);
    const bool raw = algorithm->scheme == KW_SCHEME_RSA_RAW;
    size_t length = plaintext->capacity;
    kw_status status = KW_OK;
    void *label = NULL;

    if (context == NULL || EVP_PKEY_decrypt_init(context) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(context, raw ? RSA_NO_PADDING : RSA_PKCS1_OAEP_PADDING) <= 0 ||
        (!raw && (EVP_PKEY_CTX_set_rsa_oaep_md_name(context, hash_text(algorithm->hash), NULL) <= 0 ||
                  EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, hash_text(algorithm->mgf_hash), NULL) <= 0))) {
        status = memory_fail(key->instance, KW_FAILED, "libcrypto decrypts nothing");
        goto out;
    }
    if (!raw && algorithm->label.length > 0) {
        label = OPENSSL_memdup(algorithm->label.data, algorithm->label.length);
        if (label == NULL || EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)algorithm->label.length) <= 0) {
            OPENSSL_free(label);
            status = KW_OUT_OF_MEMORY;
            goto out;
        }
    }
    if (EVP_PKEY_decrypt(context, plaintext->data, &length, ciphertext.data, ciphertext.length) <= 0)
        status = memory_fail(key->instance, KW_CIPHERTEXT_INVALID, "the ciphertext does not decrypt");
    else
        plaintext->length = length;
out:
    EVP_PKEY_CTX_free(context);
    return status;
}

kw_status memory_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input ciphertext,
                         kw_output *plaintext)
{
    const kw_plugin_instance *const instance = key->instance;
    const size_t longest = (size_t)EVP_PKEY_get_size(key->pkey);
    kw_status status;

    (void)call;
    if (plaintext->data == NULL || plaintext->capacity < longest) {
        plaintext->length = longest;
        return KW_BUFFER_TOO_SMALL;
    }
    if (memory_has_fault(instance, "away"))
        return memory_fail(instance, KW_UNAVAILABLE, "the device is not plugged in");
    if (algorithm->scheme == KW_SCHEME_RSA_OAEP && (instance->raw || memory_has_fault(instance, "oaep-unsupported")))
        return memory_fail(instance, KW_UNSUPPORTED, "this backend has no such OAEP");
    if (algorithm->scheme != KW_SCHEME_RSA_OAEP && algorithm->scheme != KW_SCHEME_RSA_RAW)
        return memory_fail(instance, KW_UNSUPPORTED, "this is no scheme for decryption");
    status = decrypt_block(key, algorithm, ciphertext, plaintext);
    if (status == KW_OK && memory_has_fault(instance, "decrypt-long"))
        plaintext->length = SIZE_MAX / 2;
    if (status == KW_OK && memory_has_fault(instance, "raw-short"))
        plaintext->length--;
    return status;
}

kw_status memory_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input peer,
                        kw_output *shared)
{
    const unsigned char *at = peer.data;
    EVP_PKEY *const other = d2i_PUBKEY(NULL, &at, (long)peer.length);
    EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(key->pkey, NULL);
    size_t length = shared->capacity;
    kw_status status = KW_OK;

    (void)call;
    (void)algorithm;
    if (memory_has_fault(key->instance, "away"))
        status = memory_fail(key->instance, KW_UNAVAILABLE, "the device is not plugged in");
    else if (other == NULL || context == NULL || EVP_PKEY_derive_init(context) <= 0 ||
             EVP_PKEY_derive_set_peer(context, other) <= 0 || EVP_PKEY_derive(context, shared->data, &length) <= 0)
        status = memory_fail(key->instance, KW_INVALID_ARGUMENT, "the peer's key does not fit");
    else
        shared->length = length;
    if (status == KW_OK && memory_has_fault(key->instance, "derive-zero"))
        memset(shared->data, 0, shared->length);
    if (status == KW_OK && memory_has_fault(key->instance, "derive-short"))
        shared->length--;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    return status;
}
