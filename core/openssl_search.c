#include "openssl_search.h"

#include "base/buffer.h"
#include "openssl/provider.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define FINGERPRINT_MAXIMUM EVP_MAX_MD_SIZE

/* ---- What is searched ---- */

static int take_name(const OSSL_PARAM *parameter, X509_NAME **name)
{
    const void *der = NULL;
    size_t length = 0;
    if (parameter == NULL)
        return 1;
    if (!OSSL_PARAM_get_octet_string_ptr(parameter, &der, &length) || length > LONG_MAX)
        return failure_set(KW_INVALID_ARGUMENT, "the name to search for is no string of bytes");
    const unsigned char *at = der;
    X509_NAME *read = d2i_X509_NAME(NULL, &at, (long)length);
    if (read == NULL || at != (const unsigned char *)der + length) {
        X509_NAME_free(read);
        return failure_set(KW_INVALID_ARGUMENT, "the name to search for is malformed");
    }
    X509_NAME_free(*name);
    *name = read;
    return 1;
}

static int take_serial(const OSSL_PARAM *parameter, BIGNUM **serial)
{
    return parameter == NULL || OSSL_PARAM_get_BN(parameter, serial) ||
           failure_set(KW_INVALID_ARGUMENT, "the serial number to search for is no number");
}

static int take_digest(const OSSL_PARAM *parameter, struct crypto *crypto, EVP_MD **digest)
{
    const char *name = NULL;
    if (parameter == NULL || !OSSL_PARAM_get_utf8_string_ptr(parameter, &name) || name == NULL)
        return 1;
    crypto_enter();
    EVP_MD *fetched = EVP_MD_fetch(crypto->library, name, DELEGATE_PROPERTY);
    crypto_leave();
    if (fetched == NULL)
        return failure_set(KW_UNSUPPORTED, "there is no digest %s to search by", name);
    EVP_MD_free(*digest);
    *digest = fetched;
    return 1;
}

static int take_fingerprint(const OSSL_PARAM *parameter, struct search *search)
{
    const void *bytes = NULL;
    size_t length = 0;
    if (parameter == NULL)
        return 1;
    if (!OSSL_PARAM_get_octet_string_ptr(parameter, &bytes, &length) || length == 0 || length > FINGERPRINT_MAXIMUM)
        return failure_set(KW_INVALID_ARGUMENT, "the fingerprint to search for is as long as no digest");
    free(search->fingerprint);
    search->fingerprint = malloc(length);
    search->fingerprint_length = length;
    if (search->fingerprint == NULL)
        return 0;
    memcpy(search->fingerprint, bytes, length);
    return 1;
}

static int take_alias(const OSSL_PARAM *parameter, char **alias)
{
    const char *text = NULL;
    if (parameter == NULL)
        return 1;
    if (!OSSL_PARAM_get_utf8_string_ptr(parameter, &text) || text == NULL)
        return failure_set(KW_INVALID_ARGUMENT, "the alias to search for is no text");
    free(*alias);
    *alias = text_copy(text);
    return *alias != NULL;
}

int search_take(struct search *search, struct crypto *crypto, const OSSL_PARAM parameters[])
{
    return take_name(OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_SUBJECT), &search->subject) &&
           take_name(OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_ISSUER), &search->issuer) &&
           take_serial(OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_SERIAL), &search->serial) &&
           take_digest(OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_DIGEST), crypto, &search->digest) &&
           take_fingerprint(OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_FINGERPRINT), search) &&
           take_alias(OSSL_PARAM_locate_const(parameters, OSSL_STORE_PARAM_ALIAS), &search->alias);
}

bool search_is_set(const struct search *search)
{
    return search->subject != NULL || search->issuer != NULL || search->serial != NULL || search->fingerprint != NULL ||
           search->alias != NULL;
}

bool search_is_exact(const struct search *search)
{
    return search->serial != NULL || search->fingerprint != NULL;
}

void search_clear(struct search *search)
{
    X509_NAME_free(search->subject);
    X509_NAME_free(search->issuer);
    BN_free(search->serial);
    EVP_MD_free(search->digest);
    free(search->fingerprint);
    free(search->alias);
    *search = (struct search){0};
}

/* ---- What is found ---- */

static bool serial_is(const X509 *certificate, const BIGNUM *serial)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    const bool same = number != NULL && BN_cmp(number, serial) == 0;
    BN_free(number);
    return same;
}

static bool digest_is(const struct search *search, const EVP_MD *digest, kw_input of)
{
    unsigned char made[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    return (size_t)EVP_MD_get_size(digest) == search->fingerprint_length &&
           EVP_Digest(of.data, of.length, made, &length, digest, NULL) == 1 && length == search->fingerprint_length &&
           memcmp(made, search->fingerprint, length) == 0;
}

static bool fingerprint_is(const struct search *search, struct crypto *crypto, X509 *certificate, kw_input der)
{
    bool found = false;
    unsigned char *spki = NULL;
    const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);
    const kw_input key = {spki, length > 0 ? (size_t)length : 0};
    if (search->digest != NULL) {
        found = digest_is(search, search->digest, der) || digest_is(search, search->digest, key);
    } else {
        for (kw_hash hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512 && !found; hash++)
            found = digest_is(search, crypto->digests[hash], der) || digest_is(search, crypto->digests[hash], key);
    }
    OPENSSL_free(spki);
    return found;
}

bool search_matches(const struct search *search, struct crypto *crypto, const struct searched *of)
{
    X509 *certificate = NULL;
    if (search->alias != NULL && strcmp(search->alias, of->address) != 0 && strcmp(search->alias, of->name) != 0)
        return false;
    kw_input der = of->certificate;
    if (x509_read_bare(crypto, &der, &certificate, NULL) != KW_OK)
        return false;
    const bool matches =
        (search->subject == NULL || X509_NAME_cmp(X509_get_subject_name(certificate), search->subject) == 0) &&
        (search->issuer == NULL || X509_NAME_cmp(X509_get_issuer_name(certificate), search->issuer) == 0) &&
        (search->serial == NULL || serial_is(certificate, search->serial)) &&
        (search->fingerprint == NULL || fingerprint_is(search, crypto, certificate, of->certificate));
    crypto_x509_free(certificate);
    return matches;
}
