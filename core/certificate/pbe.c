#include "certificate/pbe.h"
#include <openssl/asn1t.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>

#define PBMAC1             "1.2.840.113549.1.5.14"
#define PBMAC1_OPENSSL     0x30400000ul /* 3.4, the first that verifies it */
#define PBMAC1_KEY_MINIMUM 20
#define SCRYPT_WEIGHT      8 /* so that a file is a minute of scrypt at most */
#define OID_TEXT_LENGTH    128

void pbe_close(struct pbe_limits *limits)
{
    if (limits->legacy != NULL)
        OSSL_PROVIDER_unload(limits->legacy);
    limits->legacy = NULL;
}

/* "PBE-SHA1-RC2-40 (1.2.840.113549.1.12.1.6)", or the number alone. */
static void describe(const ASN1_OBJECT *object, char *text, size_t size)
{
    char dotted[OID_TEXT_LENGTH] = "";
    const int nid = OBJ_obj2nid(object);
    OBJ_obj2txt(dotted, sizeof(dotted), object, 1);
    if (nid != NID_undef)
        snprintf(text, size, "%s (%s)", OBJ_nid2sn(nid), dotted);
    else
        snprintf(text, size, "%s", dotted);
}

static kw_status unsupported(const ASN1_OBJECT *object, const char *what, kw_error *error)
{
    char text[2 * OID_TEXT_LENGTH];
    describe(object, text, sizeof(text));
    return error_set(error, KW_UNSUPPORTED, "%s %s is not supported", what, text);
}

static kw_status malformed(const X509_ALGOR *algorithm, kw_error *error)
{
    const ASN1_OBJECT *object = NULL;
    char text[2 * OID_TEXT_LENGTH];
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    describe(object, text, sizeof(text));
    ERR_clear_error();
    return error_set(error, KW_CORRUPT, "the parameters of %s are malformed", text);
}

/* Of the file's budget. */
static kw_status charge(struct pbe_limits *limits, uint64_t iterations, kw_error *error)
{
    if (limits->iterations + iterations > PBE_TOTAL_MAXIMUM)
        return error_set(error, KW_REFUSED,
                         "the file asks for more than %llu iterations altogether to derive keys from the password; "
                         "more are not done",
                         (unsigned long long)PBE_TOTAL_MAXIMUM);
    limits->iterations += iterations;
    return KW_OK;
}

static kw_status spend(struct pbe_limits *limits, const ASN1_INTEGER *count, kw_error *error)
{
    uint64_t iterations = 0;
    ERR_set_mark();
    const bool read = ASN1_INTEGER_get_uint64(&iterations, count) == 1;
    ERR_pop_to_mark();
    if (ASN1_STRING_type(count) == V_ASN1_NEG_INTEGER || (read && iterations == 0))
        return error_set(error, KW_CORRUPT, "an iteration count in the file is not positive");
    if (!read || iterations > PBE_ITERATIONS_MAXIMUM)
        return error_set(error, KW_REFUSED,
                         "the file asks for %s%llu iterations to derive a key from the password; at most %u are done",
                         read ? "" : "more than ",
                         read ? (unsigned long long)iterations : (unsigned long long)UINT64_MAX,
                         PBE_ITERATIONS_MAXIMUM);
    return charge(limits, iterations, error);
}

static bool has_cipher(struct pbe_limits *limits, int nid)
{
    EVP_CIPHER *cipher = nid == NID_undef ? NULL : EVP_CIPHER_fetch(limits->crypto->library, OBJ_nid2sn(nid), NULL);
    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

static bool has_hash(struct pbe_limits *limits, int nid)
{
    EVP_MD *hash = nid == NID_undef ? NULL : EVP_MD_fetch(limits->crypto->library, OBJ_nid2sn(nid), NULL);
    EVP_MD_free(hash);
    return hash != NULL;
}

/* RC2, RC4 and DES are in libcrypto's legacy provider alone, which is loaded for the file that needs it. */
static kw_status require_cipher(struct pbe_limits *limits, const ASN1_OBJECT *named, int nid, kw_error *error)
{
    ERR_set_mark();
    bool found = has_cipher(limits, nid);
    if (!found && nid != NID_undef && limits->legacy == NULL) {
        limits->legacy = OSSL_PROVIDER_load(limits->crypto->library, "legacy");
        found = limits->legacy != NULL && has_cipher(limits, nid);
    }
    ERR_pop_to_mark();
    if (found)
        return KW_OK;
    kw_status status = unsupported(named, "the encryption", error);
    if (limits->legacy == NULL)
        error_remedy(error, "install OpenSSL's legacy provider, or have the file written anew with AES-256");
    return status;
}

kw_status pbe_cipher(struct pbe_limits *limits, int nid, EVP_CIPHER **cipher, kw_error *error)
{
    kw_status status = require_cipher(limits, OBJ_nid2obj(nid), nid, error);
    if (status != KW_OK)
        return status;
    *cipher = EVP_CIPHER_fetch(limits->crypto->library, OBJ_nid2sn(nid), NULL);
    return *cipher != NULL ? KW_OK : error_memory(error);
}

static kw_status require_hash(struct pbe_limits *limits, const ASN1_OBJECT *named, int nid, const char *what,
                              kw_error *error)
{
    ERR_set_mark();
    const bool found = has_hash(limits, nid);
    ERR_pop_to_mark();
    return found ? KW_OK : unsupported(named, what, error);
}

/* ---- PBES2, RFC 8018 section 6.2 -------------------------------------------------------------------------- */

static kw_status check_pbkdf2(struct pbe_limits *limits, const X509_ALGOR *function, kw_error *error)
{
    const void *value = NULL;
    int type = 0, hash = NID_undef;
    X509_ALGOR_get0(NULL, &type, &value, function);
    PBKDF2PARAM *parameters = type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(PBKDF2PARAM)) : NULL;
    if (parameters == NULL)
        return malformed(function, error);
    kw_status status = spend(limits, parameters->iter, error);
    if (status == KW_OK && parameters->prf != NULL) {
        const ASN1_OBJECT *prf = NULL;
        X509_ALGOR_get0(&prf, NULL, NULL, parameters->prf);
        if (!EVP_PBE_find(EVP_PBE_TYPE_PRF, OBJ_obj2nid(prf), NULL, &hash, NULL))
            hash = NID_undef;
        status = require_hash(limits, prf, hash, "the pseudo-random function", error);
    }
    PBKDF2PARAM_free(parameters);
    return status;
}

static kw_status check_scrypt(struct pbe_limits *limits, const X509_ALGOR *function, kw_error *error)
{
    const void *value = NULL;
    int type = 0;
    uint64_t n = 0, r = 0, p = 0;
    X509_ALGOR_get0(NULL, &type, &value, function);
    SCRYPT_PARAMS *parameters = type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(SCRYPT_PARAMS)) : NULL;
    if (parameters == NULL)
        return malformed(function, error);
    const bool read = ASN1_INTEGER_get_uint64(&n, parameters->costParameter) == 1 &&
                      ASN1_INTEGER_get_uint64(&r, parameters->blockSize) == 1 &&
                      ASN1_INTEGER_get_uint64(&p, parameters->parallelizationParameter) == 1;
    SCRYPT_PARAMS_free(parameters);
    if (!read || n == 0 || r == 0 || p == 0)
        return malformed(function, error);
    if (n > PBE_SCRYPT_MAXIMUM || r > PBE_SCRYPT_MAXIMUM / n || p > PBE_SCRYPT_MAXIMUM / n / r)
        return error_set(error, KW_REFUSED,
                         "the file asks for scrypt with N * r * p above %llu to derive a key from the password",
                         (unsigned long long)PBE_SCRYPT_MAXIMUM);
    return charge(limits, SCRYPT_WEIGHT * n * r * p, error);
}

static kw_status check_function(struct pbe_limits *limits, const X509_ALGOR *function, kw_error *error)
{
    const ASN1_OBJECT *object = NULL;
    X509_ALGOR_get0(&object, NULL, NULL, function);
    switch (OBJ_obj2nid(object)) {
    case NID_id_pbkdf2:
        return check_pbkdf2(limits, function, error);
    case NID_id_scrypt:
        return check_scrypt(limits, function, error);
    default:
        return unsupported(object, "the key derivation", error);
    }
}

static kw_status check_pbes2(struct pbe_limits *limits, const X509_ALGOR *algorithm, kw_error *error)
{
    const void *value = NULL;
    const ASN1_OBJECT *cipher = NULL;
    int type = 0;
    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    PBE2PARAM *parameters = type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(PBE2PARAM)) : NULL;
    if (parameters == NULL)
        return malformed(algorithm, error);
    X509_ALGOR_get0(&cipher, NULL, NULL, parameters->encryption);
    kw_status status = require_cipher(limits, cipher, OBJ_obj2nid(cipher), error);
    if (status == KW_OK)
        status = check_function(limits, parameters->keyfunc, error);
    PBE2PARAM_free(parameters);
    return status;
}

/* ---- PBES1 (RFC 8018 section 6.1) and PKCS#12's own (RFC 7292 appendix C) ------------------------------------- */

static kw_status check_pbes1(struct pbe_limits *limits, const X509_ALGOR *algorithm, int cipher, int hash,
                             kw_error *error)
{
    const void *value = NULL;
    const ASN1_OBJECT *object = NULL;
    int type = 0;
    X509_ALGOR_get0(&object, &type, &value, algorithm);
    PBEPARAM *parameters = type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(PBEPARAM)) : NULL;
    if (parameters == NULL)
        return malformed(algorithm, error);
    kw_status status = spend(limits, parameters->iter, error);
    if (status == KW_OK)
        status = require_cipher(limits, object, cipher, error);
    if (status == KW_OK)
        status = require_hash(limits, object, hash, "the encryption", error);
    PBEPARAM_free(parameters);
    return status;
}

kw_status pbe_check(struct pbe_limits *limits, const X509_ALGOR *algorithm, kw_error *error)
{
    const ASN1_OBJECT *object = NULL;
    int cipher = NID_undef, hash = NID_undef;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (OBJ_obj2nid(object) == NID_pbes2)
        return check_pbes2(limits, algorithm, error);
    if (!EVP_PBE_find(EVP_PBE_TYPE_OUTER, OBJ_obj2nid(object), &cipher, &hash, NULL))
        return unsupported(object, "the encryption", error);
    return check_pbes1(limits, algorithm, cipher, hash, error);
}

/* ---- MACs ------------------------------------------------------------------------------------------------------ */

/* PBMAC1-params, RFC 8018 appendix A.5. */
typedef struct PBMAC1_PARAMETERS {
    X509_ALGOR *function;
    X509_ALGOR *mac;
} PBMAC1_PARAMETERS;
ASN1_SEQUENCE(PBMAC1_PARAMETERS) = {
    ASN1_SIMPLE(PBMAC1_PARAMETERS, function, X509_ALGOR),
    ASN1_SIMPLE(PBMAC1_PARAMETERS, mac, X509_ALGOR),
} static_ASN1_SEQUENCE_END(PBMAC1_PARAMETERS)

/* RFC 9579 wants PBKDF2 with the key's length. One beyond any hash's has overrun libcrypto's buffer (CVE-2025-11187). */
static kw_status check_mac_function(struct pbe_limits *limits, const X509_ALGOR *function, kw_error *error)
{
    const void *value = NULL;
    const ASN1_OBJECT *object = NULL;
    int type = 0;
    X509_ALGOR_get0(&object, &type, &value, function);
    if (OBJ_obj2nid(object) != NID_id_pbkdf2)
        return unsupported(object, "the key derivation", error);
    PBKDF2PARAM *parameters = type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(PBKDF2PARAM)) : NULL;
    const int64_t length =
        parameters != NULL && parameters->keylength != NULL ? ASN1_INTEGER_get(parameters->keylength) : 0;
    PBKDF2PARAM_free(parameters);
    if (length < PBMAC1_KEY_MINIMUM || length > EVP_MAX_MD_SIZE)
        return malformed(function, error);
    return check_pbkdf2(limits, function, error);
}

static kw_status check_pbmac1(struct pbe_limits *limits, const X509_ALGOR *algorithm, kw_error *error)
{
    const void *value = NULL;
    const ASN1_OBJECT *object = NULL;
    int type = 0;
    X509_ALGOR_get0(&object, &type, &value, algorithm);
    PBMAC1_PARAMETERS *parameters =
        type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(PBMAC1_PARAMETERS)) : NULL;
    if (parameters == NULL)
        return malformed(algorithm, error);
    kw_status status = check_mac_function(limits, parameters->function, error);
    ASN1_item_free((ASN1_VALUE *)parameters, ASN1_ITEM_rptr(PBMAC1_PARAMETERS));
    if (status == KW_OK && OpenSSL_version_num() < PBMAC1_OPENSSL)
        return error_set(error, KW_UNSUPPORTED,
                         "unsupported MAC: PBMAC1 (" PBMAC1
                         ", RFC 9579) is verified by OpenSSL from 3.4 on; this is %s",
                         OpenSSL_version(OPENSSL_VERSION_STRING));
    return status;
}

kw_status pbe_check_mac(struct pbe_limits *limits, const X509_ALGOR *algorithm, const ASN1_INTEGER *iterations,
                        kw_error *error)
{
    const ASN1_OBJECT *object = NULL;
    char dotted[OID_TEXT_LENGTH] = "";
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    OBJ_obj2txt(dotted, sizeof(dotted), object, 1);
    if (strcmp(dotted, PBMAC1) == 0)
        return check_pbmac1(limits, algorithm, error);
    kw_status status = require_hash(limits, object, OBJ_obj2nid(object), "the file's MAC algorithm", error);
    if (status == KW_OK && iterations != NULL) /* absent: 1 */
        status = spend(limits, iterations, error);
    return status;
}
