#include "certificate/der.h"
#include "base/buffer.h"
#include "base/crypto.h"
#include <openssl/asn1t.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>

kw_status der_take(unsigned char *encoded, int length, kw_bytes *der, kw_error *error)
{
    struct buffer copy = {0};
    if (length <= 0)
        return crypto_error(error, KW_FAILED, "libcrypto cannot encode it");
    buffer_append(&copy, encoded, (size_t)length);
    OPENSSL_free(encoded);
    if (buffer_take(&copy, der) != KW_OK)
        return error_memory(error);
    return KW_OK;
}

kw_status der_take_pkcs8(const PKCS8_PRIV_KEY_INFO *key, struct secret *pkcs8, kw_error *error)
{
    struct secret made = {0};
    const int length = i2d_PKCS8_PRIV_KEY_INFO(key, NULL);
    if (length <= 0)
        return crypto_error(error, KW_FAILED, "libcrypto cannot encode the private key");
    kw_status status = secret_new(&made, (size_t)length, error);
    if (status != KW_OK)
        return status;
    unsigned char *at = made.data;
    if (i2d_PKCS8_PRIV_KEY_INFO(key, &at) != length) {
        secret_clear(&made);
        return crypto_error(error, KW_FAILED, "libcrypto cannot encode the private key");
    }
    made.length = (size_t)length;
    *pkcs8 = made;
    return KW_OK;
}

/* ---- OneAsymmetricKey, RFC 5958 ------------------------------------------------------------------------------ */

typedef struct ONE_KEY {
    ASN1_INTEGER *version;
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *private_key;
    STACK_OF(X509_ATTRIBUTE) *attributes;
    ASN1_BIT_STRING *public_key;
} ONE_KEY;
ASN1_SEQUENCE(ONE_KEY) = {
    ASN1_SIMPLE(ONE_KEY, version, ASN1_INTEGER),           ASN1_SIMPLE(ONE_KEY, algorithm, X509_ALGOR),
    ASN1_SIMPLE(ONE_KEY, private_key, ASN1_OCTET_STRING),  ASN1_IMP_SET_OF_OPT(ONE_KEY, attributes, X509_ATTRIBUTE, 0),
    ASN1_IMP_OPT(ONE_KEY, public_key, ASN1_BIT_STRING, 1),
} static_ASN1_SEQUENCE_END(ONE_KEY)

#define ONE_KEY_VERSION    1
#define PUBLIC_KEY_MAXIMUM 64

static bool is_public_key_of(struct crypto *crypto, const PKCS8_PRIV_KEY_INFO *info, const ASN1_BIT_STRING *expected)
{
    unsigned char found[PUBLIC_KEY_MAXIMUM];
    size_t length = sizeof(found);
    EVP_PKEY *key = EVP_PKCS82PKEY_ex(info, crypto->library, NULL);
    const bool same =
        key != NULL && (!EVP_PKEY_get_raw_public_key(key, found, &length) ||
                        input_equal((kw_input){found, length},
                                    (kw_input){ASN1_STRING_get0_data(expected), (size_t)ASN1_STRING_length(expected)}));
    crypto_pkey_free(key);
    return same;
}

/* The first version of the same key. */
static PKCS8_PRIV_KEY_INFO *first_version(struct crypto *crypto, const ONE_KEY *one)
{
    const ASN1_OBJECT *type = NULL;
    const void *value = NULL;
    int parameter_type = 0;
    const int length = ASN1_STRING_length(one->private_key);
    X509_ALGOR_get0(&type, &parameter_type, &value, one->algorithm);
    if (ASN1_INTEGER_get(one->version) != ONE_KEY_VERSION || one->public_key == NULL ||
        (parameter_type != V_ASN1_UNDEF && parameter_type != V_ASN1_NULL && parameter_type != V_ASN1_OBJECT))
        return NULL;
    PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
    unsigned char *copy = OPENSSL_memdup(ASN1_STRING_get0_data(one->private_key), (size_t)length);
    ASN1_OBJECT *parameter = parameter_type == V_ASN1_OBJECT ? OBJ_dup(value) : NULL;
    if (info == NULL || copy == NULL ||
        !PKCS8_pkey_set0(info, OBJ_dup(type), 0, parameter_type, parameter, copy, length)) {
        OPENSSL_clear_free(copy, (size_t)length);
        ASN1_OBJECT_free(parameter);
        PKCS8_PRIV_KEY_INFO_free(info);
        return NULL;
    }
    if (is_public_key_of(crypto, info, one->public_key))
        return info;
    PKCS8_PRIV_KEY_INFO_free(info); /* which wipes the copy */
    return NULL;
}

/* libcrypto of 3.5 reads both versions and keeps the second, which nothing older reads: so it never gets to see one. */
PKCS8_PRIV_KEY_INFO *der_read_pkcs8(struct crypto *crypto, kw_input der)
{
    const unsigned char *at = der.data, *end = der.data + der.length;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    if (der.length == 0)
        return NULL;
    ERR_set_mark();
    ONE_KEY *one = (ONE_KEY *)ASN1_item_d2i(NULL, &at, (long)der.length, ASN1_ITEM_rptr(ONE_KEY));
    if (one != NULL && one->public_key != NULL) {
        info = at == end ? first_version(crypto, one) : NULL;
    } else {
        at = der.data;
        info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.length);
        if (info != NULL && at != end) {
            PKCS8_PRIV_KEY_INFO_free(info);
            info = NULL;
        }
    }
    if (one != NULL)
        OPENSSL_cleanse((unsigned char *)ASN1_STRING_get0_data(one->private_key),
                        (size_t)ASN1_STRING_length(one->private_key));
    ASN1_item_free((ASN1_VALUE *)one, ASN1_ITEM_rptr(ONE_KEY));
    ERR_pop_to_mark();
    return info;
}

PKCS8_PRIV_KEY_INFO *der_decrypt_pkcs8(struct crypto *crypto, const X509_SIG *sealed, kw_input password)
{
    const X509_ALGOR *algorithm = NULL;
    const ASN1_OCTET_STRING *content = NULL;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    unsigned char *plain = NULL;
    int length = 0;
    X509_SIG_get0(sealed, &algorithm, &content);
    ERR_set_mark();
    if (PKCS12_pbe_crypt_ex(algorithm, (const char *)password.data, (int)password.length,
                            ASN1_STRING_get0_data(content), ASN1_STRING_length(content), &plain, &length, 0,
                            crypto->library, NULL) != NULL &&
        length > 0)
        info = der_read_pkcs8(crypto, (kw_input){plain, (size_t)length});
    ERR_pop_to_mark();
    OPENSSL_clear_free(plain, length > 0 ? (size_t)length : 0);
    return info;
}

static kw_status retype_within(kw_input der, const X509_ALGOR *algorithm, struct secret *pkcs8, kw_error *error)
{
    const ASN1_OBJECT *type = NULL;
    const void *value = NULL;
    int parameter_type = V_ASN1_NULL;
    ASN1_STRING *parameters = NULL;
    const unsigned char *at = der.data;
    kw_status status = KW_OK;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.length);
    if (info == NULL)
        return crypto_error(error, KW_CORRUPT, "the private key is not PKCS#8");
    if (algorithm != NULL)
        X509_ALGOR_get0(&type, &parameter_type, &value, algorithm);
    else
        type = OBJ_nid2obj(NID_rsaEncryption);
    if (parameter_type == V_ASN1_SEQUENCE)
        parameters = ASN1_STRING_dup(value);
    /* Without a key that replaces the one that is in it. */
    if ((parameter_type == V_ASN1_SEQUENCE && parameters == NULL) ||
        PKCS8_pkey_set0(info, OBJ_dup(type), -1, parameter_type, parameters, NULL, 0) != 1) {
        ASN1_STRING_free(parameters);
        status = error_memory(error);
    }
    if (status == KW_OK)
        status = der_take_pkcs8(info, pkcs8, error);
    PKCS8_PRIV_KEY_INFO_free(info);
    return status;
}

kw_status der_retype_rsa(kw_input der, const X509_ALGOR *algorithm, struct secret *pkcs8, kw_error *error)
{
    crypto_enter();
    const kw_status status = retype_within(der, algorithm, pkcs8, error);
    crypto_leave();
    return status;
}
