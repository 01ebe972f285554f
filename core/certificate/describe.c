#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "certificate/name.h"
#include "certificate/x509.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_PER_DAY 86400

static const char *const key_usage_names[] = {
    /* bits of KeyUsage, RFC 5280 section 4.2.1.3 */
    "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
    "keyCertSign",      "cRLSign",        "encipherOnly",    "decipherOnly",
};

static const struct {
    int type;
    const char *prefix;
} name_prefixes[] = {
    {GEN_DNS, "DNS"},
    {GEN_EMAIL, "email"},
    {GEN_URI, "URI"},
};

static const char *name_of(struct arena *arena, const X509_NAME *name)
{
    char *text = name_text(name);
    char *kept = arena_text(arena, text != NULL ? text : "");
    arena->failed = arena->failed || text == NULL;
    free(text);
    return kept;
}

static const char *hex_of(struct arena *arena, kw_input bytes)
{
    char *text = arena_allocate(arena, 2 * bytes.length + 1);
    if (text == NULL)
        return ""; /* the arena has failed, and its owner looks */
    hex_encode(bytes, text);
    return text;
}

static kw_status digest_of(struct crypto *crypto, kw_hash hash, kw_input input, struct arena *arena, const char **text,
                           kw_error *error)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t length = 0;
    kw_status status = crypto_digest(crypto, hash, input, digest, &length, error);
    if (status == KW_OK)
        *text = hex_of(arena, (kw_input){digest, length});
    return status;
}

/*
 * Where both key identifiers are there, they tell whether a certificate names itself as its issuer, and no signature is verified: a list
 * has thousands. Otherwise another of the same name may have issued it, so the signature tells.
 */
static kw_status self_signed_of(struct crypto *crypto, X509 *certificate, kw_input der, bool *self_signed,
                                kw_error *error)
{
    X509 *whole = NULL;
    *self_signed = false;
    if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) != 0)
        return KW_OK;
    ASN1_OCTET_STRING *subject = X509_get_ext_d2i(certificate, NID_subject_key_identifier, NULL, NULL);
    AUTHORITY_KEYID *issuer = X509_get_ext_d2i(certificate, NID_authority_key_identifier, NULL, NULL);
    const bool told = subject != NULL && issuer != NULL && issuer->keyid != NULL;
    if (told)
        *self_signed = ASN1_OCTET_STRING_cmp(subject, issuer->keyid) == 0;
    ASN1_OCTET_STRING_free(subject);
    AUTHORITY_KEYID_free(issuer);
    if (told)
        return KW_OK;
    kw_status status = x509_read(crypto, &der, &whole, error);
    if (status != KW_OK)
        return status;
    ERR_set_mark();
    *self_signed = x509_is_self_signed(whole, true);
    ERR_pop_to_mark();
    crypto_x509_free(whole);
    return KW_OK;
}

static kw_status digests(struct crypto *crypto, X509 *certificate, struct arena *arena, kw_certificate_info *info,
                         kw_error *error)
{
    unsigned char *spki = NULL;
    kw_bytes der = {0};
    kw_status status = x509_to_der(certificate, &der, error);
    if (status != KW_OK)
        return status;
    const kw_input whole = {der.data, der.length};
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    status = length <= 0 ? crypto_error(error, KW_CORRUPT, "the certificate's public key cannot be encoded") : KW_OK;
    if (status == KW_OK)
        status = digest_of(crypto, KW_HASH_SHA256, whole, arena, &info->sha256, error);
    if (status == KW_OK)
        status = digest_of(crypto, KW_HASH_SHA1, whole, arena, &info->sha1, error);
    if (status == KW_OK)
        status = digest_of(crypto, KW_HASH_SHA256, (kw_input){spki, (size_t)length}, arena, &info->spki_sha256, error);
    if (status == KW_OK)
        status = self_signed_of(crypto, certificate, whole, &info->self_signed, error);
    OPENSSL_free(spki);
    kw_bytes_free(&der);
    return status;
}

/* Days and seconds are counted apart, so that no year up to 9999 overflows. */
static kw_status time_of(const ASN1_TIME *time, struct arena *arena, int64_t *wall, const char **text, kw_error *error)
{
    ASN1_TIME *epoch = ASN1_TIME_new();
    int days = 0, seconds = 0;
    char rfc3339[32];
    kw_status status = KW_OK;
    if (epoch == NULL || !ASN1_TIME_set_string(epoch, "19700101000000Z"))
        status = error_memory(error);
    else if (!ASN1_TIME_diff(&days, &seconds, epoch, time))
        status = crypto_error(error, KW_CORRUPT, "the certificate has a malformed time");
    ASN1_TIME_free(epoch);
    if (status != KW_OK)
        return status;
    *wall = (int64_t)days * SECONDS_PER_DAY + seconds;
    clock_text(*wall, rfc3339);
    *text = arena_text(arena, rfc3339);
    return KW_OK;
}

static const char *object_name(struct arena *arena, const ASN1_OBJECT *object, bool short_name)
{
    char dotted[128] = "";
    const int nid = OBJ_obj2nid(object);
    if (nid != NID_undef)
        return arena_text(arena, short_name ? OBJ_nid2sn(nid) : OBJ_nid2ln(nid));
    if (OBJ_obj2txt(dotted, sizeof(dotted), object, 1) <= 0)
        return arena_text(arena, "unknown");
    return arena_text(arena, dotted);
}

static const char *serial_of(struct arena *arena, const X509 *certificate)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    const kw_input bytes = {ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)};
    return arena_format(arena, "%s%s", ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? "-" : "", hex_of(arena, bytes));
}

/* What a certificate says is shown as it is only when it cannot forge a line or another name. */
static const char *shown(struct arena *arena, const char *prefix, const ASN1_STRING *value)
{
    const char *data = (const char *)ASN1_STRING_get0_data(value);
    const int length = ASN1_STRING_length(value);
    if (length > 0 && text_is_clean(data, (size_t)length))
        return arena_format(arena, "%s:%.*s", prefix, length, data);
    return arena_format(arena, "%s:#%s", prefix,
                        hex_of(arena, (kw_input){(const unsigned char *)data, (size_t)length}));
}

static const char *general_name(struct arena *arena, const GENERAL_NAME *name)
{
    char address[HOST_ADDRESS_SIZE];
    int type = 0;
    const void *value = GENERAL_NAME_get0_value(name, &type);
    if (type == GEN_IPADD) {
        const ASN1_OCTET_STRING *bytes = value;
        if (host_address_text((kw_input){ASN1_STRING_get0_data(bytes), (size_t)ASN1_STRING_length(bytes)}, address))
            return arena_format(arena, "IP:%s", address);
        return shown(arena, "IP", bytes);
    }
    if (type == GEN_DIRNAME)
        return arena_format(arena, "DirName:%s", name_of(arena, value));
    if (type == GEN_RID)
        return arena_format(arena, "RID:%s", object_name(arena, value, true));
    for (size_t i = 0; i < sizeof(name_prefixes) / sizeof(name_prefixes[0]); i++) {
        if (name_prefixes[i].type == type)
            return shown(arena, name_prefixes[i].prefix, value);
    }
    return arena_text(arena, "other");
}

/* An extension that is there but malformed. Absent ones, and those that occur twice, give NULL too. */
static kw_status extension(X509 *certificate, int nid, void **value, kw_error *error)
{
    int found = 0;
    *value = X509_get_ext_d2i(certificate, nid, &found, NULL);
    if (*value != NULL || found == -1)
        return KW_OK;
    return crypto_error(error, KW_CORRUPT, "the certificate's extension %s is malformed", OBJ_nid2sn(nid));
}

static kw_status names(X509 *certificate, struct arena *arena, kw_certificate_info *info, kw_error *error)
{
    void *value = NULL;
    kw_status status = extension(certificate, NID_subject_alt_name, &value, error);
    if (value == NULL)
        return status;
    GENERAL_NAMES *san = value;
    const int count = sk_GENERAL_NAME_num(san);
    const char **texts = arena_allocate(arena, ((size_t)count + 1) * sizeof(*texts));
    for (int i = 0; texts != NULL && i < count; i++)
        texts[i] = general_name(arena, sk_GENERAL_NAME_value(san, i));
    info->san = texts;
    info->san_count = texts != NULL ? (size_t)count : 0;
    GENERAL_NAMES_free(san);
    return KW_OK;
}

static kw_status usages(X509 *certificate, struct arena *arena, kw_certificate_info *info, kw_error *error)
{
    const size_t bits = sizeof(key_usage_names) / sizeof(key_usage_names[0]);
    void *value = NULL;
    kw_status status = extension(certificate, NID_key_usage, &value, error);
    if (value == NULL)
        return status;
    ASN1_BIT_STRING *usage = value;
    const char **texts = arena_allocate(arena, bits * sizeof(*texts));
    for (size_t bit = 0; texts != NULL && bit < bits; bit++)
        if (ASN1_BIT_STRING_get_bit(usage, (int)bit))
            texts[info->key_usage_count++] = key_usage_names[bit];
    info->key_usage = texts;
    ASN1_BIT_STRING_free(usage);
    return KW_OK;
}

static kw_status extended_usages(X509 *certificate, struct arena *arena, kw_certificate_info *info, kw_error *error)
{
    void *value = NULL;
    kw_status status = extension(certificate, NID_ext_key_usage, &value, error);
    if (value == NULL)
        return status;
    EXTENDED_KEY_USAGE *usage = value;
    const int count = sk_ASN1_OBJECT_num(usage);
    const char **texts = arena_allocate(arena, ((size_t)count + 1) * sizeof(*texts));
    for (int i = 0; texts != NULL && i < count; i++)
        texts[i] = object_name(arena, sk_ASN1_OBJECT_value(usage, i), true);
    info->extended_key_usage = texts;
    info->extended_key_usage_count = texts != NULL ? (size_t)count : 0;
    sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
    return KW_OK;
}

static kw_status x509_describe_within(struct crypto *crypto, X509 *certificate, struct arena *arena,
                                      kw_certificate_info *info, kw_error *error)
{
    const ASN1_OBJECT *algorithm = NULL;
    ERR_set_mark(); /* what libcrypto says of its odd parts, such as a key that it cannot read, is not the caller's to find */
    info->subject = name_of(arena, X509_get_subject_name(certificate));
    info->issuer = name_of(arena, X509_get_issuer_name(certificate));
    info->serial = serial_of(arena, certificate);
    X509_ALGOR_get0(&algorithm, NULL, NULL, X509_get0_tbs_sigalg(certificate));
    info->signature_algorithm = object_name(arena, algorithm, false);
    info->san_count = info->key_usage_count = info->extended_key_usage_count = 0;
    kw_status status = digests(crypto, certificate, arena, info, error);
    if (status == KW_OK)
        status = time_of(X509_get0_notBefore(certificate), arena, &info->not_before, &info->not_before_text, error);
    if (status == KW_OK)
        status = time_of(X509_get0_notAfter(certificate), arena, &info->not_after, &info->not_after_text, error);
    if (status == KW_OK)
        status = names(certificate, arena, info, error);
    if (status == KW_OK)
        status = usages(certificate, arena, info, error);
    if (status == KW_OK)
        status = extended_usages(certificate, arena, info, error);
    if (status == KW_OK && arena->failed)
        status = error_memory(error);
    ERR_pop_to_mark();
    return status;
}

kw_status x509_describe(struct crypto *crypto, X509 *certificate, struct arena *arena, kw_certificate_info *info,
                        kw_error *error)
{
    crypto_enter();
    const kw_status status = x509_describe_within(crypto, certificate, arena, info, error);
    crypto_leave();
    return status;
}
