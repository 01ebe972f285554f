#include "base/buffer.h"
#include "certificate/der.h"
#include "certificate/key_check.h"
#include "certificate/pbe.h"
#include "certificate/pfx_attributes.h"
#include "certificate/pfx_bags.h"
#include "certificate/x509.h"
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MAXIMUM 8

struct reading {
    struct crypto *crypto;
    struct pbe_limits limits;
    kw_input forms[2]; /* of the password: an empty one is absent or ""; one beyond ASCII as OpenSSL 1.0 took it */
    size_t form_count;
    bool mac_verified;
    struct pfx_bags keys, certificates;
};

/* ---- Does it look like PKCS#12 ------------------------------------------------------------------------------ */

/* Steps over a tag and its length, whatever that says. */
static bool skip_header(kw_input *at, unsigned char tag)
{
    uint8_t found = 0, length = 0;
    kw_input rest = {0};
    if (!input_u8(at, &found) || found != tag || !input_u8(at, &length))
        return false;
    return length <= 0x80 || (length <= 0x84 && input_bytes(at, length - 0x80u, &rest));
}

bool pfx_is(kw_input data)
{
    static const unsigned char version[] = {0x02, 0x01, 0x03};
    static const unsigned char pkcs7[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07};
    kw_input found = {0};
    return skip_header(&data, 0x30) && input_bytes(&data, sizeof(version), &found) &&
           memcmp(found.data, version, sizeof(version)) == 0 && skip_header(&data, 0x30) &&
           input_bytes(&data, sizeof(pkcs7), &found) && memcmp(found.data, pkcs7, sizeof(pkcs7)) == 0;
}

/* ---- Bags ---------------------------------------------------------------------------------------------------- */

/* What is wrong with the file when its password has been proved right, and with the password otherwise. */
static kw_status decryption_failed(const struct reading *reading, const char *what, kw_error *error)
{
    ERR_clear_error();
    if (reading->mac_verified)
        return error_set(error, KW_CORRUPT, "%s does not decrypt with the password that its MAC was made with", what);
    return error_set(error, KW_SECRET_REFUSED, "the password is wrong, or the file is damaged: %s does not decrypt",
                     what);
}

static kw_status read_common(const PKCS12_SAFEBAG *from, struct pfx_bag *bag, kw_error *error)
{
    const ASN1_TYPE *id = PKCS12_SAFEBAG_get0_attr(from, NID_localKeyID);
    if (id != NULL && ASN1_TYPE_get(id) == V_ASN1_OCTET_STRING) {
        bag->local_id_length = (size_t)ASN1_STRING_length(id->value.octet_string);
        bag->local_id = malloc(bag->local_id_length + 1);
        if (bag->local_id == NULL)
            return error_memory(error);
        memcpy(bag->local_id, ASN1_STRING_get0_data(id->value.octet_string), bag->local_id_length);
    }
    char *name = PKCS12_get_friendlyname((PKCS12_SAFEBAG *)from);
    if (name != NULL && *name != '\0') {
        bag->item.friendly_name = text_copy(name);
        if (bag->item.friendly_name != NULL)
            text_mask(bag->item.friendly_name);
    }
    const bool failed = name != NULL && *name != '\0' && bag->item.friendly_name == NULL;
    OPENSSL_free(name);
    if (failed)
        return error_memory(error);
    return pfx_attributes_read(from, &bag->item, error);
}

static kw_status read_certificate(struct reading *reading, const PKCS12_SAFEBAG *from, kw_error *error)
{
    unsigned char *der = NULL;
    X509 *foreign = NULL; /* libcrypto decodes it outside of our library context */
    struct pfx_bag *bag = NULL;
    kw_status status = KW_OK;
    if (PKCS12_SAFEBAG_get_bag_nid(from) != NID_x509Certificate)
        return error_set(error, KW_UNSUPPORTED, "the file holds a certificate that is not X.509");
    bag = calloc(1, sizeof(*bag));
    if (bag == NULL)
        return error_memory(error);
    foreign = PKCS12_SAFEBAG_get1_cert(from);
    const int length = foreign != NULL ? i2d_X509(foreign, &der) : 0;
    if (length <= 0) {
        status = crypto_error(error, KW_CORRUPT, "a certificate in the file is malformed");
        goto out;
    }
    kw_input rest = {der, (size_t)length};
    status = x509_read(reading->crypto, &rest, &bag->item.certificate, error);
    if (status == KW_OK)
        status = read_common(from, bag, error);
    if (status != KW_OK)
        goto out;
    pfx_bags_add(&reading->certificates, bag);
    bag = NULL;
out:
    crypto_x509_free(foreign);
    OPENSSL_free(der);
    pfx_bag_free(bag);
    return status;
}

static PKCS8_PRIV_KEY_INFO *decrypt_key(const struct reading *reading, const PKCS12_SAFEBAG *from)
{
    PKCS8_PRIV_KEY_INFO *key = NULL;
    for (size_t i = 0; key == NULL && i < reading->form_count; i++)
        key = der_decrypt_pkcs8(reading->crypto, PKCS12_SAFEBAG_get0_pkcs8(from), reading->forms[i]);
    return key;
}

/* Takes the bag's key as it is, and as an EVP_PKEY. */
static kw_status read_key(struct reading *reading, const PKCS12_SAFEBAG *from, const PKCS8_PRIV_KEY_INFO *key,
                          kw_error *error)
{
    struct pfx_bag *bag = calloc(1, sizeof(*bag));
    kw_status status = bag == NULL ? error_memory(error) : der_take_pkcs8(key, &bag->item.pkcs8, error);
    if (status == KW_OK)
        status = private_key_read(reading->crypto, secret_view(&bag->item.pkcs8), &bag->pkey, error);
    if (status == KW_OK)
        status = read_common(from, bag, error);
    if (status != KW_OK) {
        pfx_bag_free(bag);
        return status;
    }
    pfx_bags_add(&reading->keys, bag);
    return KW_OK;
}

static kw_status read_plain_key(struct reading *reading, const PKCS12_SAFEBAG *from, kw_error *error)
{
    struct secret encoded = {0};
    PKCS8_PRIV_KEY_INFO *key = NULL;
    kw_status status = der_take_pkcs8(PKCS12_SAFEBAG_get0_p8inf(from), &encoded, error);
    if (status == KW_OK) {
        key = der_read_pkcs8(reading->crypto, secret_view(&encoded));
        status = key != NULL ? read_key(reading, from, key, error)
                             : error_set(error, KW_CORRUPT, "a key in the file is malformed");
    }
    PKCS8_PRIV_KEY_INFO_free(key);
    secret_clear(&encoded);
    return status;
}

static kw_status read_shrouded_key(struct reading *reading, const PKCS12_SAFEBAG *from, kw_error *error)
{
    const X509_ALGOR *algorithm = NULL;
    X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(from), &algorithm, NULL);
    kw_status status = pbe_check(&reading->limits, algorithm, error);
    if (status != KW_OK)
        return status;
    PKCS8_PRIV_KEY_INFO *key = decrypt_key(reading, from);
    if (key == NULL)
        return decryption_failed(reading, "a key in the file", error);
    status = read_key(reading, from, key, error);
    PKCS8_PRIV_KEY_INFO_free(key);
    return status;
}

/* Called for a bag within bags too: PKCS#12 nests them. Revocation lists and secrets of other kinds are nothing to us. */
static kw_status read_bags(struct reading *reading, const STACK_OF(PKCS12_SAFEBAG) *bags, unsigned depth,
                           kw_error *error)
{
    kw_status status = KW_OK;
    if (depth > NESTING_MAXIMUM)
        return error_set(error, KW_CORRUPT, "the file's bags are nested more than %d deep", NESTING_MAXIMUM);
    for (int i = 0; status == KW_OK && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        crypto_pause();
        switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_keyBag:
            status = read_plain_key(reading, bag, error);
            break;
        case NID_pkcs8ShroudedKeyBag:
            status = read_shrouded_key(reading, bag, error);
            break;
        case NID_certBag:
            status = read_certificate(reading, bag, error);
            break;
        case NID_safeContentsBag:
            status = read_bags(reading, PKCS12_SAFEBAG_get0_safes(bag), depth + 1, error);
            break;
        default:
            break;
        }
    }
    return status;
}

/* ---- The parts of the file ------------------------------------------------------------------------------------- */

static kw_status decrypt_part(struct reading *reading, const PKCS7 *part, STACK_OF(PKCS12_SAFEBAG) **bags,
                              kw_error *error)
{
    const PKCS7_ENC_CONTENT *content = part->d.encrypted != NULL ? part->d.encrypted->enc_data : NULL;
    if (content == NULL || content->algorithm == NULL || content->enc_data == NULL)
        return error_set(error, KW_CORRUPT, "an encrypted part of the file is empty");
    kw_status status = pbe_check(&reading->limits, content->algorithm, error);
    if (status != KW_OK)
        return status;
    for (size_t i = 0; *bags == NULL && i < reading->form_count; i++)
        *bags = PKCS12_item_decrypt_d2i_ex(content->algorithm, ASN1_ITEM_rptr(PKCS12_SAFEBAGS),
                                           (const char *)reading->forms[i].data, (int)reading->forms[i].length,
                                           content->enc_data, 1, reading->crypto->library, NULL);
    return *bags == NULL ? decryption_failed(reading, "a part of the file", error) : KW_OK;
}

static kw_status read_part(struct reading *reading, PKCS7 *part, kw_error *error)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    kw_status status = KW_OK;
    switch (OBJ_obj2nid(part->type)) {
    case NID_pkcs7_data:
        bags = part->d.data != NULL ? PKCS12_unpack_p7data(part) : NULL;
        if (bags == NULL)
            status = crypto_error(error, KW_CORRUPT, "a part of the file is malformed");
        break;
    case NID_pkcs7_encrypted:
        status = decrypt_part(reading, part, &bags, error);
        break;
    default:
        status = error_set(error, KW_UNSUPPORTED,
                           "a part of the file is encrypted to a certificate and not with a password");
        break;
    }
    if (status == KW_OK)
        status = read_bags(reading, bags, 0, error);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return status;
}

/* Decides which form of an empty password the file was made with. */
static kw_status verify_mac(struct reading *reading, PKCS12 *file, kw_error *error)
{
    const X509_ALGOR *algorithm = NULL;
    const ASN1_INTEGER *iterations = NULL;
    PKCS12_get0_mac(NULL, &algorithm, NULL, &iterations, file);
    kw_status status = pbe_check_mac(&reading->limits, algorithm, iterations, error);
    for (size_t i = 0; status == KW_OK && i < reading->form_count; i++) {
        ERR_clear_error();
        if (PKCS12_verify_mac(file, (const char *)reading->forms[i].data, (int)reading->forms[i].length) == 1) {
            const kw_input right = reading->forms[i];
            reading->forms[i] = reading->forms[0];
            reading->forms[0] = right;
            reading->mac_verified = true;
            return KW_OK;
        }
        if (ERR_peek_error() != 0) /* it could not be computed; a mismatch leaves no error */
            return crypto_error(error, KW_CORRUPT, "the file's MAC is malformed");
    }
    if (status != KW_OK)
        return status;
    return error_set(error, KW_SECRET_REFUSED, "the password is wrong, or the file has been changed since it was made");
}

static kw_status read_file(struct reading *reading, kw_input pfx, bool allow_no_mac, kw_error *error)
{
    PKCS12 *file = PKCS12_init_ex(NID_pkcs7_data, reading->crypto->library, NULL);
    STACK_OF(PKCS7) *parts = NULL;
    const unsigned char *at = pfx.data;
    kw_status status = KW_OK;
    if (file == NULL) {
        status = error_memory(error);
        goto out;
    }
    if (d2i_PKCS12(&file, &at, (long)pfx.length) == NULL || at != pfx.data + pfx.length) {
        status = crypto_error(error, KW_CORRUPT, "the PKCS#12 file is malformed or cut off");
        goto out;
    }
    if (PKCS12_mac_present(file)) {
        status = verify_mac(reading, file, error);
    } else if (!allow_no_mac) {
        status = error_set(error, KW_REFUSED, "the file has no MAC, so nobody can tell who wrote what is in it");
        error_remedy(error, "--allow-no-mac takes it all the same");
    }
    if (status != KW_OK)
        goto out;
    parts = PKCS12_unpack_authsafes(file);
    if (parts == NULL) {
        status = crypto_error(error, KW_CORRUPT, "the PKCS#12 file is malformed");
        goto out;
    }
    for (int i = 0; status == KW_OK && i < sk_PKCS7_num(parts); i++)
        status = read_part(reading, sk_PKCS7_value(parts, i), error);
out:
    sk_PKCS7_pop_free(parts, PKCS7_free);
    PKCS12_free(file);
    return status;
}

/* OpenSSL 1.0 took each byte of a password for a character, so that UTF-8 was encoded a second time. */
static kw_status encode_twice(kw_input password, struct secret *twice, kw_error *error)
{
    size_t length = 0;
    kw_status status = secret_new(twice, 2 * password.length + 1, error);
    if (status != KW_OK)
        return status;
    for (size_t i = 0; i < password.length; i++) {
        const unsigned char byte = password.data[i];
        if (byte >= 0x80)
            twice->data[length++] = (unsigned char)(0xc0 | (byte >> 6));
        twice->data[length++] = byte >= 0x80 ? (unsigned char)(0x80 | (byte & 0x3f)) : byte;
    }
    twice->data[length] = '\0';
    twice->length = length;
    return KW_OK;
}

static bool is_ascii(kw_input text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] >= 0x80)
            return false;
    return true;
}

static kw_status pfx_read_within(struct crypto *crypto, kw_input pfx, kw_input password, bool allow_no_mac,
                                 struct pfx_item **items, size_t *count, kw_error *error)
{
    struct reading reading = {
        .crypto = crypto,
        .limits = {.crypto = crypto},
        .forms = {password},
        .form_count = 1,
    };
    struct secret twice = {0};
    kw_status status = KW_OK;
    if (!pfx_is(pfx) || pfx.length > INT32_MAX)
        return error_set(error, KW_CORRUPT, "this is not a PKCS#12 file");
    if (password.length > KW_SECRET_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a password may have %u bytes at most", KW_SECRET_MAXIMUM);
    if (password.length == 0)
        reading.forms[reading.form_count++] = password.data == NULL ? input_text("") : (kw_input){0};
    ERR_clear_error();
    if (!is_ascii(password)) {
        status = encode_twice(password, &twice, error);
        reading.forms[reading.form_count++] = secret_view(&twice);
    }
    if (status == KW_OK)
        status = read_file(&reading, pfx, allow_no_mac, error);
    if (status == KW_OK)
        status = pfx_pair(&reading.keys, &reading.certificates, items, count, error);
    pfx_bags_free(&reading.keys);
    pfx_bags_free(&reading.certificates);
    pbe_close(&reading.limits);
    secret_clear(&twice);
    ERR_clear_error();
    return status;
}

kw_status pfx_read(struct crypto *crypto, kw_input pfx, kw_input password, bool allow_no_mac, struct pfx_item **items,
                   size_t *count, kw_error *error)
{
    crypto_enter();
    const kw_status status = pfx_read_within(crypto, pfx, password, allow_no_mac, items, count, error);
    crypto_leave();
    return status;
}
