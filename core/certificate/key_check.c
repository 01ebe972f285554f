#include "certificate/key_check.h"

#include "store/key.h"
#include "store/rsa_encode.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecerr.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#define RSA_MINIMUM 2048

/* What libcrypto calls the curves. */
static const struct {
    const char *name;
    kw_curve curve;
} curves[] = {
    {"prime256v1", KW_CURVE_P256}, {"P-256", KW_CURVE_P256},     {"secp384r1", KW_CURVE_P384},
    {"P-384", KW_CURVE_P384},      {"secp521r1", KW_CURVE_P521}, {"P-521", KW_CURVE_P521},
};

/* The newest reason is that a decoder failed; the true one lies deeper. */
bool key_is_off_curve(void)
{
    bool found = false;
    for (unsigned long reason = ERR_get_error(); reason != 0; reason = ERR_get_error())
        found = found || (ERR_GET_LIB(reason) == ERR_LIB_EC && ERR_GET_REASON(reason) == EC_R_POINT_IS_NOT_ON_CURVE);
    return found;
}

static kw_status private_key_read_within(struct crypto *crypto, kw_input pkcs8, EVP_PKEY **key, kw_error *error)
{
    const unsigned char *at = pkcs8.data;
    PKCS8_PRIV_KEY_INFO *info = pkcs8.length > 0 ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length) : NULL;
    const ASN1_OBJECT *type = NULL;
    char dotted[128] = "";
    if (info == NULL || at != pkcs8.data + pkcs8.length) {
        PKCS8_PRIV_KEY_INFO_free(info);
        return crypto_error(error, KW_CORRUPT, "the private key is not PKCS#8");
    }
    EVP_PKEY *made = EVP_PKCS82PKEY_ex(info, crypto->library, NULL);
    if (made != NULL) {
        PKCS8_PRIV_KEY_INFO_free(info);
        *key = made;
        return KW_OK;
    }
    kw_status status = KW_OK;
    PKCS8_pkey_get0(&type, NULL, NULL, NULL, info);
    OBJ_obj2txt(dotted, sizeof(dotted), type, 1);
    switch (OBJ_obj2nid(type)) {
    case NID_rsaEncryption:
    case NID_rsassaPss:
    case NID_X9_62_id_ecPublicKey:
    case NID_ED25519:
    case NID_X25519:
        status = error_set(error, KW_CORRUPT, "the private key is malformed%s",
                           key_is_off_curve() ? ": its point is not on the curve" : "");
        break;
    default:
        ERR_clear_error();
        status = error_set(error, KW_UNSUPPORTED, "a private key of the type %s is not supported", dotted);
        break;
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return status;
}

kw_status private_key_read(struct crypto *crypto, kw_input pkcs8, EVP_PKEY **key, kw_error *error)
{
    crypto_enter();
    const kw_status status = private_key_read_within(crypto, pkcs8, key, error);
    crypto_leave();
    return status;
}

/*
 * Moduli of the defective library are powers of 65537 modulo every small prime. A random one passes for all of these primes with a
 * probability below 2^-27 (Nemec et al., "The Return of Coppersmith's Attack", section 2).
 */
bool key_check_is_roca(const BIGNUM *modulus)
{
    static const unsigned char primes[] = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
                                           47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
                                           107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    for (size_t i = 0; i < sizeof(primes); i++) {
        const unsigned prime = primes[i], generator = 65537u % prime;
        const BN_ULONG wanted = BN_mod_word(modulus, prime);
        unsigned power = 1;
        bool reached = wanted == 1;
        do {
            power = power * generator % prime;
            reached = reached || power == wanted;
        } while (power != 1 && !reached);
        if (!reached)
            return false;
    }
    return true;
}

static const char *name_of(kw_key_type type, uint32_t bits, kw_curve curve, bool pss)
{
    for (const struct key_kind *row = key_kinds; row->name != NULL; row++)
        if (row->type == type && row->pss == pss && (type != KW_KEY_RSA || row->bits == bits) &&
            (type != KW_KEY_EC || row->curve == curve))
            return row->name;
    return NULL;
}

/* What libcrypto's own check passes, or does not give as the reason. A certificate's key has no primes to look at. */
static kw_status check_rsa_numbers(const EVP_PKEY *key, kw_error *error)
{
    BIGNUM *modulus = NULL, *exponent = NULL, *p = NULL, *q = NULL;
    kw_status status = KW_OK;
    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) ||
        !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent)) {
        status = crypto_error(error, KW_CORRUPT, "the RSA key has no modulus or no public exponent");
        goto out;
    }
    if (BN_is_one(exponent) || !BN_is_odd(exponent) || !BN_is_odd(modulus)) {
        status = error_set(error, KW_CORRUPT, "the RSA key is broken: its %s",
                           BN_is_one(exponent)    ? "public exponent is 1, so that it encrypts nothing"
                           : !BN_is_odd(exponent) ? "public exponent is even"
                                                  : "modulus is even");
        goto out;
    }
    ERR_set_mark();
    const bool same = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR1, &p) &&
                      EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR2, &q) && BN_cmp(p, q) == 0;
    ERR_pop_to_mark();
    if (same)
        status = error_set(error, KW_CORRUPT,
                           "the RSA key is broken: its two primes are the same, so that its modulus is a square");
    else if (key_check_is_roca(modulus))
        status = error_set(
            error, KW_REFUSED,
            "the RSA key was made by a chip with the ROCA defect (CVE-2017-15361): it can be computed from its "
            "certificate");
out:
    BN_free(modulus);
    BN_free(exponent);
    BN_clear_free(p);
    BN_clear_free(q);
    return status;
}

/* One that can sign nothing here would fail at its first use. */
static kw_status check_pss(const EVP_PKEY *key, const struct pss_limits *limits, kw_error *error)
{
    const kw_hash hash = limits->hash != KW_HASH_NONE ? limits->hash : KW_HASH_SHA256;
    uint32_t longest = 0;
    if (limits->only && limits->hash == KW_HASH_SHA1)
        return error_set(error, KW_REFUSED,
                         "the key is for RSASSA-PSS signatures with SHA-1 alone, with which none are made any more");
    if (limits->only &&
        (!rsa_pss_salt_maximum(hash, (uint32_t)EVP_PKEY_get_bits(key), &longest) || limits->salt_minimum > longest))
        return error_set(error, KW_CORRUPT,
                         "the key is for RSASSA-PSS signatures with a salt that it is too short for");
    return KW_OK;
}

static kw_status check_rsa(const EVP_PKEY *key, bool pss, const char **name, kw_error *error)
{
    const int bits = EVP_PKEY_get_bits(key);
    const char *found = name_of(KW_KEY_RSA, (uint32_t)bits, KW_CURVE_NONE, pss);
    if (bits < RSA_MINIMUM)
        return error_set(error, KW_REFUSED, "an RSA key of %d bits is too weak; it needs at least %d", bits,
                         RSA_MINIMUM);
    if (found == NULL)
        return error_set(error, KW_UNSUPPORTED, "an RSA key of %d bits is not supported; 2048, 3072 and 4096 are",
                         bits);
    kw_status status = check_rsa_numbers(key, error);
    if (status != KW_OK)
        return status;
    *name = found;
    return KW_OK;
}

static kw_status check_ec(const EVP_PKEY *key, const char **name, kw_error *error)
{
    char group[64] = "";
    size_t length = 0;
    if (!EVP_PKEY_get_group_name(key, group, sizeof(group), &length))
        return crypto_error(error, KW_UNSUPPORTED, "the EC key is on a curve without a name");
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curves[i].name, group) != 0)
            continue;
        *name = name_of(KW_KEY_EC, 0, curves[i].curve, false);
        return KW_OK;
    }
    return error_set(error, KW_UNSUPPORTED, "an EC key on the curve %s is not supported; P-256, P-384 and P-521 are",
                     group);
}

static kw_status check_kind(const EVP_PKEY *key, const char **name, kw_error *error)
{
    if (EVP_PKEY_is_a(key, "RSA"))
        return check_rsa(key, false, name, error);
    if (EVP_PKEY_is_a(key, "RSA-PSS"))
        return check_rsa(key, true, name, error);
    if (EVP_PKEY_is_a(key, "EC"))
        return check_ec(key, name, error);
    if (!EVP_PKEY_is_a(key, "ED25519"))
        return error_set(error, KW_UNSUPPORTED,
                         "a key of the type %s is not supported; RSA, RSA-PSS, EC and Ed25519 are",
                         EVP_PKEY_get0_type_name(key));
    *name = name_of(KW_KEY_ED25519, 0, KW_CURVE_NONE, false);
    return KW_OK;
}

/* The parts of the key against each other. */
static kw_status check_parts(struct crypto *crypto, EVP_PKEY *key, kw_error *error)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(crypto->library, key, NULL);
    kw_status status = KW_OK;
    if (context == NULL)
        status = crypto_error(error, KW_FAILED, "the private key cannot be checked");
    else if (EVP_PKEY_check(context) != 1)
        status = crypto_error(error, KW_CORRUPT, "the private key is damaged: its parts do not fit together");
    EVP_PKEY_CTX_free(context);
    return status;
}

/* Not X509_self_signed: that says no when the name of the signature's algorithm is damaged. */
static bool signed_by_itself(const X509 *certificate)
{
    if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) != 0)
        return false;
    AUTHORITY_KEYID *issuer = X509_get_ext_d2i(certificate, NID_authority_key_identifier, NULL, NULL);
    const bool itself = X509_check_akid(certificate, issuer) == X509_V_OK;
    AUTHORITY_KEYID_free(issuer);
    return itself;
}

/* What a key that is for PSS alone is limited to, its certificate must say: it is what counts from now on. */
static kw_status check_limits(kw_input pkcs8, const struct pss_limits *wanted, kw_error *error)
{
    const unsigned char *at = pkcs8.data;
    const X509_ALGOR *algorithm = NULL;
    struct pss_limits own = {0};
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length);
    if (info == NULL || PKCS8_pkey_get0(NULL, NULL, NULL, &algorithm, info) != 1) {
        PKCS8_PRIV_KEY_INFO_free(info);
        return crypto_error(error, KW_CORRUPT, "the private key is not PKCS#8");
    }
    kw_status status = pss_read(algorithm, &own, error);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (status == KW_OK && own.only && !wanted->only)
        return error_set(error, KW_REFUSED,
                         "the private key is for RSASSA-PSS alone (id-RSASSA-PSS), which its certificate does not say");
    if (status == KW_OK && own.only && own.hash != KW_HASH_NONE && !pss_equal(&own, wanted))
        return error_set(error, KW_REFUSED,
                         "the private key is for RSASSA-PSS with another hash, mask or salt than its certificate says");
    return status;
}

/* Of the key, or of a certificate that says more of it. */
static kw_status limits_of(EVP_PKEY *key, X509 *certificate, struct pss_limits *limits, kw_error *error)
{
    X509_ALGOR *algorithm = NULL;
    if (certificate == NULL) {
        *limits = pss_of_pkey(key);
        return KW_OK;
    }
    if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1)
        return crypto_error(error, KW_CORRUPT, "the certificate's public key is malformed");
    return pss_read(algorithm, limits, error);
}

/* Only the signature of its own key can be checked with the file alone; one that is wrong tells of damage. */
static kw_status check_belongs(EVP_PKEY *key, X509 *certificate, kw_error *error)
{
    kw_status status = KW_OK;
    EVP_PKEY *public_key = X509_get0_pubkey(certificate);
    if (public_key == NULL)
        return crypto_error(error, KW_CORRUPT, "the certificate's public key is malformed, or of no known kind");
    if (!crypto_pkey_is(public_key, key))
        status = error_set(error, KW_REFUSED, "the certificate does not belong to the private key");
    else if (signed_by_itself(certificate) && X509_verify(certificate, public_key) != 1)
        status = error_set(error, KW_CORRUPT, "the certificate is damaged: its signature, by its own key, is wrong");
    ERR_clear_error();
    return status;
}

static kw_status key_check_within(struct crypto *crypto, kw_input pkcs8, X509 *certificate, const char **name,
                                  kw_error *error)
{
    EVP_PKEY *key = NULL;
    struct pss_limits limits = {0};
    const char *found = NULL;
    kw_status status = private_key_read(crypto, pkcs8, &key, error);
    if (status == KW_OK)
        status = check_kind(key, &found, error);
    if (status == KW_OK)
        status = check_parts(crypto, key, error);
    if (status == KW_OK && certificate != NULL)
        status = check_belongs(key, certificate, error);
    if (status == KW_OK)
        status = limits_of(key, certificate, &limits, error);
    if (status == KW_OK)
        status = check_limits(pkcs8, &limits, error);
    if (status == KW_OK)
        status = check_pss(key, &limits, error);
    if (status == KW_OK && limits.only && EVP_PKEY_is_a(key, "RSA"))
        found = key_kind_name_pss(found, true);
    if (status == KW_OK)
        *name = found;
    crypto_pkey_free(key);
    return status;
}

kw_status key_check(struct crypto *crypto, kw_input pkcs8, X509 *certificate, const char **name, kw_error *error)
{
    crypto_enter();
    const kw_status status = key_check_within(crypto, pkcs8, certificate, name, error);
    crypto_leave();
    return status;
}

static kw_status key_check_certificate_within(X509 *certificate, const char **name, kw_error *error)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    struct pss_limits limits = {0};
    if (key == NULL)
        return crypto_error(error, KW_UNSUPPORTED, "the certificate's public key is of a kind that is not supported");
    kw_status status = limits_of(key, certificate, &limits, error);
    if (status == KW_OK)
        status = check_pss(key, &limits, error);
    return status == KW_OK ? check_kind(key, name, error) : status;
}

kw_status key_check_certificate(X509 *certificate, const char **name, kw_error *error)
{
    crypto_enter();
    const kw_status status = key_check_certificate_within(certificate, name, error);
    crypto_leave();
    return status;
}
