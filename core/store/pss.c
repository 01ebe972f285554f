#include "store/pss.h"

#include "base/buffer.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

/* ---- Reading ----------------------------------------------------------------------------------------- */

static kw_hash hash_of(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object = NULL;

    if (algorithm == NULL)
        return KW_HASH_SHA1; /* RFC 4055, section 3.1: the default */
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    for (kw_hash hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++)
        if (OBJ_obj2nid(object) == OBJ_sn2nid(hash_name(hash)))
            return hash;
    return KW_HASH_NONE;
}

/* MGF1 is the only one that there is. */
static kw_hash mgf_hash_of(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object = NULL;
    const void *value = NULL;
    int type = V_ASN1_UNDEF;

    if (algorithm == NULL)
        return KW_HASH_SHA1;
    X509_ALGOR_get0(&object, &type, &value, algorithm);
    if (OBJ_obj2nid(object) != NID_mgf1 || type != V_ASN1_SEQUENCE)
        return KW_HASH_NONE;
    X509_ALGOR *inner = ASN1_item_unpack(value, ASN1_ITEM_rptr(X509_ALGOR));
    const kw_hash hash = inner != NULL ? hash_of(inner) : KW_HASH_NONE;
    X509_ALGOR_free(inner);
    return hash;
}

/* Bytes; -1: none that a salt has. */
static long salt_of(const ASN1_INTEGER *length)
{
    long read = 20; /* the default */

    if (length != NULL && (ASN1_STRING_length(length) > 2 || (read = ASN1_INTEGER_get(length)) < 0))
        return -1;
    return read;
}

static kw_status pss_read_parameters(const ASN1_STRING *encoded, struct pss_limits *limits, kw_error *error)
{
    RSA_PSS_PARAMS *parameters = ASN1_item_unpack(encoded, ASN1_ITEM_rptr(RSA_PSS_PARAMS));
    struct pss_limits read = {.only = true};
    kw_status status = KW_OK;

    if (parameters == NULL) {
        status = crypto_error(error, KW_CORRUPT, "what the key says of its RSASSA-PSS signatures is malformed");
        goto out;
    }
    const long salt = salt_of(parameters->saltLength);
    read.hash = hash_of(parameters->hashAlgorithm);
    read.mgf_hash = mgf_hash_of(parameters->maskGenAlgorithm);
    if (read.hash == KW_HASH_NONE || read.mgf_hash == KW_HASH_NONE || salt < 0 ||
        (parameters->trailerField != NULL && ASN1_INTEGER_get(parameters->trailerField) != 1)) {
        ERR_clear_error();
        status =
            error_set(error, KW_UNSUPPORTED,
                      "the key is for RSASSA-PSS signatures with a hash, a mask or a trailer that is not supported");
        goto out;
    }
    read.salt_minimum = (uint32_t)salt;
    *limits = read;
out:
    RSA_PSS_PARAMS_free(parameters);
    return status;
}

kw_status pss_read(const X509_ALGOR *algorithm, struct pss_limits *limits, kw_error *error)
{
    const ASN1_OBJECT *object = NULL;
    const void *value = NULL;
    int type = V_ASN1_UNDEF;

    X509_ALGOR_get0(&object, &type, &value, algorithm);
    if (OBJ_obj2nid(object) != NID_rsassaPss)
        *limits = (struct pss_limits){.only = false};
    else if (type == V_ASN1_UNDEF)
        *limits = (struct pss_limits){.only = true};
    else if (type == V_ASN1_SEQUENCE)
        return pss_read_parameters(value, limits, error);
    else
        return error_set(error, KW_CORRUPT, "what the key says of its RSASSA-PSS signatures is malformed");
    return KW_OK;
}

bool pss_equal(const struct pss_limits *one, const struct pss_limits *other)
{
    return one->only == other->only && (!one->only || (one->hash == other->hash && one->mgf_hash == other->mgf_hash &&
                                                       one->salt_minimum == other->salt_minimum));
}

uint32_t pss_salt_default(const struct pss_limits *limits, kw_hash hash)
{
    const uint32_t length = (uint32_t)hash_length(hash);

    return limits->only && limits->salt_minimum > length ? limits->salt_minimum : length;
}

/* ---- SubjectPublicKeyInfo, RFC 5280 section 4.1 ------------------------------------------------------- */

/* Of libcrypto's own, X509_PUBKEY makes a key of what it reads, in a library context that it chooses itself. */
typedef struct KEY_INFO {
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *key;
} KEY_INFO;
ASN1_SEQUENCE(KEY_INFO) = {
    ASN1_SIMPLE(KEY_INFO, algorithm, X509_ALGOR),
    ASN1_SIMPLE(KEY_INFO, key, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(KEY_INFO)

static KEY_INFO *key_info_read(kw_input spki)
{
    const unsigned char *at = spki.data;

    if (spki.data == NULL || spki.length == 0 || spki.length > INT16_MAX)
        return NULL;
    return (KEY_INFO *)ASN1_item_d2i(NULL, &at, (long)spki.length, ASN1_ITEM_rptr(KEY_INFO));
}

static void key_info_free(KEY_INFO *info)
{
    ASN1_item_free((ASN1_VALUE *)info, ASN1_ITEM_rptr(KEY_INFO));
}

struct pss_limits pss_of_pkey(const EVP_PKEY *key)
{
    struct pss_limits limits = {.only = EVP_PKEY_is_a(key, "RSA-PSS") == 1};
    unsigned char *der = NULL;
    KEY_INFO *info = NULL;

    if (!limits.only)
        return limits;
    ERR_set_mark();
    const int length = i2d_PUBKEY(key, &der);
    if (length > 0)
        info = key_info_read((kw_input){der, (size_t)length});
    if (info != NULL)
        (void)!pss_read(info->algorithm, &limits, NULL);
    key_info_free(info);
    OPENSSL_free(der);
    ERR_pop_to_mark();
    return limits;
}

kw_status pss_spki_like(kw_input own, kw_input like, kw_bytes *spki, kw_error *error)
{
    KEY_INFO *made = key_info_read(own), *from = key_info_read(like);
    struct pss_limits limits;
    struct buffer copy = {0};
    unsigned char *der = NULL;
    kw_status status = KW_OK;

    if (made == NULL || from == NULL) {
        status = crypto_error(error, KW_CORRUPT, "the public key is not a SubjectPublicKeyInfo");
        goto out;
    }
    status = pss_read(from->algorithm, &limits, error);
    if (status != KW_OK || !limits.only)
        goto out;
    X509_ALGOR *const plain = made->algorithm;
    made->algorithm = from->algorithm;
    from->algorithm = plain;
    const int length = ASN1_item_i2d((ASN1_VALUE *)made, &der, ASN1_ITEM_rptr(KEY_INFO));
    if (length > 0)
        buffer_append(&copy, der, (size_t)length);
    if (length <= 0 || buffer_take(&copy, spki) != KW_OK)
        status = error_memory(error);
out:
    OPENSSL_free(der);
    key_info_free(from);
    key_info_free(made);
    buffer_free(&copy);
    return status;
}
