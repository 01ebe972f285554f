/*
 * For tokens that take a private key only as the result of C_UnwrapKey: PKCS#8 under an AES key that lives as long as the call. The token makes
 * that key and encrypts with it (CBC with padding), where it unwraps so; else it is made here and given to the token, and the wrapping is
 * RFC 5649's, since few tokens encrypt by that.
 */
#include "key.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#define AES_LENGTH 32u

struct wrapping {
    CK_MECHANISM mechanism;
    CK_OBJECT_HANDLE key;
    unsigned char vector[16];
    unsigned char wrapped[P11_PKCS8_MAXIMUM + 16];
    CK_ULONG length;
};

static const CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
static const CK_KEY_TYPE aes = CKK_AES;
static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static CK_RV encrypt_there(struct p11_use *use, kw_input pkcs8, struct wrapping *wrapping)
{
    static const CK_ULONG length = AES_LENGTH;
    const CK_FUNCTION_LIST *functions = use->functions;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_CLASS, &secret_key, sizeof(secret_key)),
        p11_attribute(CKA_KEY_TYPE, &aes, sizeof(aes)),
        p11_attribute(CKA_TOKEN, &no, sizeof(no)),
        p11_attribute(CKA_ENCRYPT, &yes, sizeof(yes)),
        p11_attribute(CKA_UNWRAP, &yes, sizeof(yes)),
        p11_attribute(CKA_VALUE_LEN, &length, sizeof(length)),
    };
    CK_MECHANISM generation = {CKM_AES_KEY_GEN, NULL, 0};
    wrapping->mechanism = (CK_MECHANISM){CKM_AES_CBC_PAD, wrapping->vector, sizeof(wrapping->vector)};
    CK_RV result = p11_did(use, "C_GenerateRandom",
                           functions->C_GenerateRandom(use->session, wrapping->vector, sizeof(wrapping->vector)));
    if (result == CKR_OK)
        result = p11_did(use, "C_GenerateKey",
                         functions->C_GenerateKey(use->session, &generation, template,
                                                  sizeof(template) / sizeof(template[0]), &wrapping->key));
    if (result == CKR_OK)
        result =
            p11_did(use, "C_EncryptInit", functions->C_EncryptInit(use->session, &wrapping->mechanism, wrapping->key));
    if (result == CKR_OK)
        result = p11_did(use, "C_Encrypt",
                         functions->C_Encrypt(use->session, (unsigned char *)(uintptr_t)pkcs8.data, pkcs8.length,
                                              wrapping->wrapped, &wrapping->length));
    return result == CKR_OK && wrapping->length > sizeof(wrapping->wrapped) ? CKR_GENERAL_ERROR : result;
}

static bool wrap(kw_input pkcs8, unsigned char key[AES_LENGTH], struct wrapping *wrapping)
{
    OSSL_LIB_CTX *library = p11_library_context();
    EVP_CIPHER *cipher = library != NULL ? EVP_CIPHER_fetch(library, "AES-256-WRAP-PAD", NULL) : NULL;
    EVP_CIPHER_CTX *context = cipher != NULL ? EVP_CIPHER_CTX_new() : NULL;
    int length = 0;
    bool done = false;
    if (context != NULL) {
        EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        done = RAND_priv_bytes_ex(library, key, AES_LENGTH, 0) == 1 &&
               EVP_EncryptInit_ex2(context, cipher, key, NULL, NULL) == 1 &&
               EVP_EncryptUpdate(context, wrapping->wrapped, &length, pkcs8.data, (int)pkcs8.length) == 1;
    }
    wrapping->length = (CK_ULONG)length;
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
    return done;
}

static CK_RV encrypt_here(struct p11_use *use, kw_input pkcs8, struct wrapping *wrapping)
{
    const kw_host *host = &use->instance->host;
    unsigned char *key = host->secret_allocate(host->context, AES_LENGTH);
    if (key == NULL)
        return CKR_HOST_MEMORY;
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_CLASS, &secret_key, sizeof(secret_key)),
        p11_attribute(CKA_KEY_TYPE, &aes, sizeof(aes)),
        p11_attribute(CKA_TOKEN, &no, sizeof(no)),
        p11_attribute(CKA_UNWRAP, &yes, sizeof(yes)),
        p11_attribute(CKA_VALUE, key, AES_LENGTH),
    };
    wrapping->mechanism = (CK_MECHANISM){CKM_AES_KEY_WRAP_PAD, NULL, 0};
    CK_RV result = wrap(pkcs8, key, wrapping) ? CKR_OK : CKR_HOST_MEMORY;
    if (result == CKR_OK)
        result = p11_did(use, "C_CreateObject",
                         use->functions->C_CreateObject(use->session, template, sizeof(template) / sizeof(template[0]),
                                                        &wrapping->key));
    host->secret_free(host->context, key, AES_LENGTH);
    return result;
}

CK_RV p11_unwrap_private(struct p11_use *use, struct p11_making *making, kw_input pkcs8)
{
    CK_RV (*const ways[])(struct p11_use *, kw_input, struct wrapping *) = {encrypt_there, encrypt_here};
    const size_t before = making->private_count;
    CK_RV result = CKR_FUNCTION_NOT_SUPPORTED;
    p11_making_private(making, CKA_CLASS, &making->private_class, sizeof(making->private_class));
    p11_making_private(making, CKA_KEY_TYPE, &making->type, sizeof(making->type));
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]) && p11_failure_is_inability(result); i++) {
        struct wrapping wrapping = {.length = sizeof(wrapping.wrapped)};
        result = ways[i](use, pkcs8, &wrapping);
        if (result == CKR_OK)
            result = p11_did(use, "C_UnwrapKey",
                             use->functions->C_UnwrapKey(use->session, &wrapping.mechanism, wrapping.key,
                                                         wrapping.wrapped, wrapping.length, making->private_template,
                                                         making->private_count, &making->private_key));
        if (wrapping.key != CK_INVALID_HANDLE)
            (void)p11_did(use, NULL, use->functions->C_DestroyObject(use->session, wrapping.key));
    }
    making->private_count = before;
    return result;
}
