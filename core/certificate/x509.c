#include "certificate/x509.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "certificate/der.h"
#include "certificate/hosts.h"
#include "certificate/name.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#define SERIAL_LENGTH 20                /* RFC 5280 section 4.1.2.2: at most */
#define NEVER         "99991231235959Z" /* RFC 5280 section 4.1.2.5: no well-defined end */
#define KEY_ID_LENGTH 20

/* ---- Parts of a certificate ------------------------------------------------------------------------- */

static kw_status make_subject(const struct x509_subject *subject, X509_NAME **name, kw_error *error)
{
    if (subject->subject != NULL)
        return name_parse(subject->subject, name, error);
    X509_NAME *made = X509_NAME_new();
    kw_status status = made == NULL ? error_memory(error) : KW_OK;
    if (status == KW_OK && subject->unit != NULL)
        status = name_add(made, "OU", subject->unit, error);
    if (status == KW_OK)
        status = name_add(made, "CN", subject->common_name, error);
    if (status != KW_OK) {
        X509_NAME_free(made);
        return status;
    }
    *name = made;
    return KW_OK;
}

static kw_status set_serial(struct crypto *crypto, X509 *certificate, kw_error *error)
{
    unsigned char serial[SERIAL_LENGTH];
    kw_status status = crypto_random(crypto, serial, sizeof(serial), error);
    if (status != KW_OK)
        return status;
    serial[0] = (unsigned char)((serial[0] & 0x7fu) | 0x40u); /* positive, and always of this length */
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    if (number == NULL || BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) == NULL)
        status = error_memory(error);
    BN_free(number);
    return status;
}

static kw_status add_extension(X509 *certificate, int nid, void *value, bool critical, kw_error *error)
{
    if (X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) != 1)
        return crypto_error(error, KW_FAILED, "the extension %s cannot be written", OBJ_nid2sn(nid));
    return KW_OK;
}

static kw_status add_basic_constraints(X509 *certificate, kw_error *error)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    if (constraints == NULL)
        return error_memory(error);
    constraints->ca = 0;
    kw_status status = add_extension(certificate, NID_basic_constraints, constraints, true, error);
    BASIC_CONSTRAINTS_free(constraints);
    return status;
}

/* Bits of KeyUsage, RFC 5280 section 4.2.1.3. */
enum { DIGITAL_SIGNATURE = 0, KEY_ENCIPHERMENT = 2, DATA_ENCIPHERMENT = 3, KEY_AGREEMENT = 4 };

/* Which extended usages have keys enciphered to the certificate, or agreed on with it; the others sign alone (RFC 5280 section 4.2.1.12). */
static const struct {
    const char *name;
    bool enciphers, agrees;
} usage_effects[] = {
    {"serverAuth", true, false},   {"emailProtection", true, true}, {"clientAuth", false, false},
    {"codeSigning", false, false}, {"timeStamping", false, false},  {"OCSPSigning", false, false},
};

/* What is not known may need anything. */
static void usage_needs(const struct x509_wanted *wanted, bool *enciphers, bool *agrees)
{
    *enciphers = *agrees = wanted->usage_count == 0;
    for (size_t i = 0; i < wanted->usage_count; i++) {
        bool known = false;
        for (size_t j = 0; j < sizeof(usage_effects) / sizeof(usage_effects[0]); j++) {
            if (strcmp(usage_effects[j].name, wanted->usages[i]) != 0)
                continue;
            known = true;
            *enciphers = *enciphers || usage_effects[j].enciphers;
            *agrees = *agrees || usage_effects[j].agrees;
        }
        *enciphers = *enciphers || !known;
        *agrees = *agrees || !known;
    }
}

static kw_status add_key_usage(X509 *certificate, const struct x509_wanted *wanted, const kw_key *key, kw_error *error)
{
    const kw_key_type type = kw_key_get_capabilities(key)->type;
    const enum kind_usage usage = wanted->kind->usage;
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    bool encrypts = false, agrees = false;
    usage_needs(wanted, &encrypts, &agrees);
    encrypts = encrypts && type == KW_KEY_RSA && !key_pss(key)->only;
    agrees = agrees && type == KW_KEY_EC && usage != USAGE_TLS_SERVER;
    if (bits == NULL || ASN1_BIT_STRING_set_bit(bits, DIGITAL_SIGNATURE, 1) != 1 ||
        (encrypts && ASN1_BIT_STRING_set_bit(bits, KEY_ENCIPHERMENT, 1) != 1) ||
        (encrypts && usage == USAGE_SECRETS && ASN1_BIT_STRING_set_bit(bits, DATA_ENCIPHERMENT, 1) != 1) ||
        (agrees && ASN1_BIT_STRING_set_bit(bits, KEY_AGREEMENT, 1) != 1)) {
        ASN1_BIT_STRING_free(bits);
        return error_memory(error);
    }
    kw_status status = add_extension(certificate, NID_key_usage, bits, true, error);
    ASN1_BIT_STRING_free(bits);
    return status;
}

static kw_status no_such_usage(const char *name, kw_error *error)
{
    char hint[HINT_SIZE];
    size_t count = 0;
    while (usage_names[count] != NULL)
        count++;
    kw_status status = error_set(error, KW_INVALID_ARGUMENT, "there is no extended key usage '%s'%s", name,
                                 nearest_hint(hint, name, usage_names, count));
    error_remedy(error, "name one such as serverAuth or clientAuth, or its OID in dotted form");
    return status;
}

static kw_status make_usages(const struct x509_wanted *wanted, EXTENDED_KEY_USAGE **usages, kw_error *error)
{
    static const char *const server[] = {"serverAuth"};
    const bool tls = wanted->kind->usage == USAGE_TLS_SERVER;
    const char *const *names = tls ? server : wanted->usages;
    const size_t count = tls ? 1 : wanted->usage_count;
    EXTENDED_KEY_USAGE *made = sk_ASN1_OBJECT_new_null();
    kw_status status = made == NULL ? error_memory(error) : KW_OK;
    for (size_t i = 0; status == KW_OK && i < count; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again = again || strcmp(names[j], names[i]) == 0;
        if (again)
            continue;
        ERR_set_mark();
        /* libcrypto knows names that are no usages at all. */
        ASN1_OBJECT *object = usage_is_valid(names[i]) ? OBJ_txt2obj(names[i], 0) : NULL;
        ERR_pop_to_mark();
        if (object == NULL)
            status = no_such_usage(names[i], error);
        else if (strcmp(names[i], "timeStamping") == 0 && count > 1)
            status = error_set(error, KW_INVALID_ARGUMENT,
                               "timeStamping is an extended key usage that stands alone (RFC 3161 section 2.3)");
        else if (sk_ASN1_OBJECT_push(made, object) > 0)
            object = NULL;
        else
            status = error_memory(error);
        ASN1_OBJECT_free(object);
    }
    if (status != KW_OK) {
        sk_ASN1_OBJECT_pop_free(made, ASN1_OBJECT_free);
        return status;
    }
    *usages = made;
    return KW_OK;
}

static kw_status add_extended_usages(X509 *certificate, const struct x509_wanted *wanted, kw_error *error)
{
    EXTENDED_KEY_USAGE *usages = NULL;
    kw_status status = make_usages(wanted, &usages, error);
    if (status == KW_OK && sk_ASN1_OBJECT_num(usages) > 0) {
        /* RFC 3161 section 2.3 asks for a critical one. */
        const bool critical = OBJ_obj2nid(sk_ASN1_OBJECT_value(usages, 0)) == NID_time_stamp;
        status = add_extension(certificate, NID_ext_key_usage, usages, critical, error);
    }
    sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
    return status;
}

/* Both identifiers are the first 160 bits of the SHA-256 of the public key: RFC 7093 method 1. */
static kw_status add_key_identifiers(struct crypto *crypto, X509 *certificate, kw_error *error)
{
    const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(certificate);
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    unsigned char digest[SHA256_LENGTH];
    kw_status status =
        crypto_sha256(crypto, (kw_input){ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits)}, digest, error);
    if (status != KW_OK)
        goto out;
    if (id == NULL || authority == NULL || !ASN1_OCTET_STRING_set(id, digest, KEY_ID_LENGTH)) {
        status = error_memory(error);
        goto out;
    }
    status = add_extension(certificate, NID_subject_key_identifier, id, false, error);
    if (status != KW_OK)
        goto out;
    authority->keyid = id;
    id = NULL;
    status = add_extension(certificate, NID_authority_key_identifier, authority, false, error);
out:
    AUTHORITY_KEYID_free(authority);
    ASN1_OCTET_STRING_free(id);
    return status;
}

/* ---- Subject alternative names ----------------------------------------------------------------------- */

/* Takes `value` over, also when it fails. */
static kw_status push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value, kw_error *error)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (name == NULL) {
        ASN1_STRING_free(value);
        return error_memory(error);
    }
    GENERAL_NAME_set0_value(name, type, value);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), name) == 0) {
            GENERAL_NAME_free(name);
            return KW_OK;
        }
    }
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return error_memory(error);
    }
    return KW_OK;
}

static kw_status add_host(GENERAL_NAMES *names, const char *host, kw_error *error)
{
    ERR_set_mark();
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
    ERR_pop_to_mark();
    kw_status status = address != NULL ? KW_OK : host_check_name(host, error);
    ASN1_IA5STRING *text = NULL;
    if (status != KW_OK)
        return status;
    text = ASN1_IA5STRING_new();
    if (text == NULL || !ASN1_STRING_set(text, host, -1)) {
        ASN1_IA5STRING_free(text);
        ASN1_OCTET_STRING_free(address);
        return error_memory(error);
    }
    status = push_name(names, GEN_DNS, text, error);
    if (address == NULL)
        return status;
    if (status == KW_OK)
        return push_name(names, GEN_IPADD, address, error);
    ASN1_OCTET_STRING_free(address);
    return status;
}

static kw_status make_hosts(const struct x509_wanted *wanted, GENERAL_NAMES **names, kw_error *error)
{
    GENERAL_NAMES *made = GENERAL_NAMES_new();
    kw_status status = made == NULL ? error_memory(error) : KW_OK;
    for (size_t i = 0; status == KW_OK && i < wanted->host_count; i++)
        status = add_host(made, wanted->hosts[i], error);
    if (status != KW_OK) {
        GENERAL_NAMES_free(made);
        return status;
    }
    *names = made;
    return KW_OK;
}

static kw_status add_hosts(X509 *certificate, const struct x509_wanted *wanted, kw_error *error)
{
    GENERAL_NAMES *names = NULL;
    kw_status status = make_hosts(wanted, &names, error);
    if (status == KW_OK)
        status = add_extension(certificate, NID_subject_alt_name, names, false, error);
    GENERAL_NAMES_free(names);
    return status;
}

/* ---- Certificates ------------------------------------------------------------------------------------- */

/* NULL for Ed25519, which hashes by itself. Only a name: libcrypto fetches it in the certificate's library context. */
static const EVP_MD *signature_hash(struct crypto *crypto, const kw_key *key)
{
    const kw_key_capabilities *about = kw_key_get_capabilities(key);
    if (about->type == KW_KEY_ED25519)
        return NULL;
    if (key_pss(key)->hash != KW_HASH_NONE)
        return crypto->digests[key_pss(key)->hash];
    if (about->type == KW_KEY_EC && about->curve == KW_CURVE_P384)
        return EVP_sha384();
    if (about->type == KW_KEY_EC && about->curve == KW_CURVE_P521)
        return EVP_sha512();
    return EVP_sha256();
}

static kw_status fill(struct crypto *crypto, kw_key *key, const struct x509_wanted *wanted, X509 *certificate,
                      kw_error *error)
{
    X509_NAME *subject = NULL;
    kw_status status = make_subject(&wanted->subject, &subject, error);
    if (status != KW_OK)
        return status;
    if (!X509_set_version(certificate, X509_VERSION_3) || !X509_set_subject_name(certificate, subject) ||
        !X509_set_issuer_name(certificate, subject) || !X509_set_pubkey(certificate, key_public_pkey(key)) ||
        ASN1_TIME_adj(X509_getm_notBefore(certificate), (time_t)clock_wall(), 0, 0) == NULL ||
        !ASN1_TIME_set_string(X509_getm_notAfter(certificate), NEVER))
        status = crypto_error(error, KW_FAILED, "the certificate cannot be put together");
    X509_NAME_free(subject);
    if (status == KW_OK)
        status = set_serial(crypto, certificate, error);
    if (status == KW_OK)
        status = add_basic_constraints(certificate, error);
    if (status == KW_OK)
        status = add_key_usage(certificate, wanted, key, error);
    if (status == KW_OK)
        status = add_extended_usages(certificate, wanted, error);
    if (status == KW_OK)
        status = add_key_identifiers(crypto, certificate, error);
    if (status == KW_OK && wanted->host_count > 0)
        status = add_hosts(certificate, wanted, error);
    return status;
}

kw_status x509_check_wanted(const struct x509_wanted *wanted, kw_error *error)
{
    X509_NAME *subject = NULL;
    GENERAL_NAMES *hosts = NULL;
    EXTENDED_KEY_USAGE *usages = NULL;
    kw_status status = make_subject(&wanted->subject, &subject, error);
    if (status == KW_OK)
        status = make_hosts(wanted, &hosts, error);
    if (status == KW_OK)
        status = make_usages(wanted, &usages, error);
    sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
    X509_NAME_free(subject);
    GENERAL_NAMES_free(hosts);
    return status;
}

static kw_status x509_make_within(struct crypto *crypto, kw_key *key, const struct x509_wanted *wanted, kw_bytes *der,
                                  kw_error *error)
{
    X509 *certificate = X509_new_ex(crypto->library, NULL);
    EVP_PKEY *signer = NULL;
    kw_status status = certificate == NULL ? error_memory(error) : fill(crypto, key, wanted, certificate, error);
    if (status == KW_OK)
        status = pkey_from_key(crypto, key, &signer, error);
    if (status != KW_OK)
        goto out;
    if (X509_sign(certificate, signer, signature_hash(crypto, key)) <= 0) {
        status = pkey_error(error, KW_FAILED, "the certificate cannot be signed");
        goto out;
    }
    status = x509_to_der(certificate, der, error);
out:
    crypto_pkey_free(signer);
    crypto_x509_free(certificate);
    return status;
}

kw_status x509_make(struct crypto *crypto, kw_key *key, const struct x509_wanted *wanted, kw_bytes *der,
                    kw_error *error)
{
    crypto_enter();
    const kw_status status = x509_make_within(crypto, key, wanted, der, error);
    crypto_leave();
    return status;
}

/* What a CA is asked to put into the certificate. */
static const int requested_extensions[] = {NID_subject_alt_name, NID_key_usage, NID_ext_key_usage};

static kw_status copy_extensions(X509 *certificate, X509_REQ *request, kw_error *error)
{
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    kw_status status = extensions == NULL ? error_memory(error) : KW_OK;
    for (size_t i = 0; status == KW_OK && i < sizeof(requested_extensions) / sizeof(requested_extensions[0]); i++) {
        const int index = X509_get_ext_by_NID(certificate, requested_extensions[i], -1);
        if (index >= 0 && sk_X509_EXTENSION_push(extensions, X509_get_ext(certificate, index)) <= 0)
            status = error_memory(error);
    }
    if (status == KW_OK && sk_X509_EXTENSION_num(extensions) > 0 && !X509_REQ_add_extensions(request, extensions))
        status = error_memory(error);
    sk_X509_EXTENSION_free(extensions); /* its items are the certificate's */
    return status;
}

static kw_status x509_request_within(struct crypto *crypto, kw_key *key, X509 *certificate, kw_bytes *der,
                                     kw_error *error)
{
    X509_REQ *request = X509_REQ_new_ex(crypto->library, NULL);
    EVP_PKEY *signer = NULL;
    unsigned char *encoded = NULL;
    int length = 0;
    kw_status status = KW_OK;
    if (request == NULL || !X509_REQ_set_version(request, X509_REQ_VERSION_1) ||
        !X509_REQ_set_subject_name(request, X509_get_subject_name(certificate)) ||
        !X509_REQ_set_pubkey(request, key_public_pkey(key))) {
        status = crypto_error(error, KW_FAILED, "the request cannot be put together");
        goto out;
    }
    status = copy_extensions(certificate, request, error);
    if (status == KW_OK)
        status = pkey_from_key(crypto, key, &signer, error);
    if (status != KW_OK)
        goto out;
    if (X509_REQ_sign(request, signer, signature_hash(crypto, key)) <= 0) {
        status = pkey_error(error, KW_FAILED, "the request cannot be signed");
        goto out;
    }
    length = i2d_X509_REQ(request, &encoded);
    status = der_take(encoded, length, der, error);
out:
    crypto_pkey_free(signer);
    X509_REQ_free(request);
    return status;
}

kw_status x509_request(struct crypto *crypto, kw_key *key, X509 *certificate, kw_bytes *der, kw_error *error)
{
    crypto_enter();
    const kw_status status = x509_request_within(crypto, key, certificate, der, error);
    crypto_leave();
    return status;
}

static kw_status read_in_within(OSSL_LIB_CTX *library, kw_input *der, X509 **certificate, kw_error *error)
{
    const unsigned char *at = der->data;
    X509 *made = X509_new_ex(library, NULL);
    if (made == NULL)
        return error_memory(error);
    if (der->length == 0 || d2i_X509(&made, &at, (long)der->length) == NULL) {
        crypto_x509_free(made); /* NULL when d2i_X509 has freed it */
        return crypto_error(error, KW_CORRUPT, "this is not a certificate");
    }
    der->length -= (size_t)(at - der->data);
    der->data = at;
    *certificate = made;
    return KW_OK;
}

static kw_status read_in(OSSL_LIB_CTX *library, kw_input *der, X509 **certificate, kw_error *error)
{
    crypto_enter();
    const kw_status status = read_in_within(library, der, certificate, error);
    crypto_leave();
    return status;
}

kw_status x509_read(struct crypto *crypto, kw_input *der, X509 **certificate, kw_error *error)
{
    return read_in(crypto->library, der, certificate, error);
}

kw_status x509_read_bare(struct crypto *crypto, kw_input *der, X509 **certificate, kw_error *error)
{
    return read_in(crypto->bare, der, certificate, error);
}

bool x509_is_self_signed(X509 *certificate, bool verify)
{
    crypto_enter();
    const bool is = X509_self_signed(certificate, verify ? 1 : 0) == 1;
    crypto_leave();
    return is;
}

kw_status x509_to_der(X509 *certificate, kw_bytes *der, kw_error *error)
{
    unsigned char *encoded = NULL;
    const int length = i2d_X509(certificate, &encoded);
    return der_take(encoded, length, der, error);
}
