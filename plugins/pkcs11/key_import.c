/* Keys that the token is given: as an object, else wrapped (key_wrap.c). */
#include "key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#define PKCS8_MAXIMUM P11_PKCS8_MAXIMUM
#define PARTS         8u

/* What a token is told of a private key. The numbers lie in the host's secret memory. */
struct material {
    unsigned char *secret;
    size_t used;
    struct {
        CK_ATTRIBUTE_TYPE type;
        size_t at, length;
    } parts[PARTS];
    size_t count;
    struct p11_public public;
};

struct import {
    struct p11_making making;
    struct material material;
    kw_input pkcs8;
};

/* ---- Reading --------------------------------------------------------------------------------------------------- */

static bool add_number(struct material *material, EVP_PKEY *pkey, const char *name, CK_ATTRIBUTE_TYPE type,
                       size_t length)
{
    BIGNUM *number = NULL;
    bool done = EVP_PKEY_get_bn_param(pkey, name, &number) == 1;
    if (done) {
        size_t least = (size_t)BN_num_bytes(number);
        length = length > 0 ? length : least;
        done = material->count < PARTS && material->used + length <= PKCS8_MAXIMUM &&
               BN_bn2binpad(number, material->secret + material->used, (int)length) == (int)length;
    }
    if (done) {
        material->parts[material->count].type = type;
        material->parts[material->count].at = material->used;
        material->parts[material->count++].length = length;
        material->used += length;
    }
    BN_clear_free(number);
    return done;
}

static bool add_rsa(struct material *material, EVP_PKEY *pkey)
{
    static const struct {
        const char *name;
        CK_ATTRIBUTE_TYPE type;
    } numbers[] = {
        {OSSL_PKEY_PARAM_RSA_N, CKA_MODULUS},
        {OSSL_PKEY_PARAM_RSA_E, CKA_PUBLIC_EXPONENT},
        {OSSL_PKEY_PARAM_RSA_D, CKA_PRIVATE_EXPONENT},
        {OSSL_PKEY_PARAM_RSA_FACTOR1, CKA_PRIME_1},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, CKA_PRIME_2},
        {OSSL_PKEY_PARAM_RSA_EXPONENT1, CKA_EXPONENT_1},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, CKA_EXPONENT_2},
        {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, CKA_COEFFICIENT},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (!add_number(material, pkey, numbers[i].name, numbers[i].type, 0))
            return false;
    return true;
}

static bool add_seed(struct material *material, EVP_PKEY *pkey)
{
    size_t length = 32;
    if (EVP_PKEY_get_raw_private_key(pkey, material->secret, &length) != 1)
        return false;
    material->parts[0].type = CKA_VALUE;
    material->parts[0].at = 0;
    material->parts[0].length = material->used = length;
    material->count = 1;
    return true;
}

/* Points uncompressed, as tokens want them. */
static bool read_public(EVP_PKEY *pkey, struct p11_public *public)
{
    unsigned char *spki = NULL;
    if (EVP_PKEY_is_a(pkey, "EC") &&
        EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                       OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1)
        return false;
    int length = i2d_PUBKEY(pkey, &spki);
    bool known = length > 0 && p11_public_spki((kw_input){spki, (size_t)length}, public);
    OPENSSL_free(spki);
    return known;
}

enum reading { READ, MALFORMED, ANOTHER, UNSOUND };

/* Inside of the gate. */
static enum reading read_key(const struct p11_making *making, kw_input pkcs8, struct material *material)
{
    const kw_key_template *wanted = &making->wanted;
    const struct p11_public *public = &material->public;
    enum reading reading = MALFORMED;
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *context = NULL;
    OSSL_LIB_CTX *library = p11_library_context();
    const unsigned char *at = pkcs8.data;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    if (library == NULL || pkcs8.data == NULL || pkcs8.length == 0 || pkcs8.length > PKCS8_MAXIMUM)
        goto out;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length);
    if (info == NULL || at != pkcs8.data + pkcs8.length)
        goto out;
    pkey = EVP_PKCS82PKEY_ex(info, library, NULL);
    if (pkey == NULL || !read_public(pkey, &material->public))
        goto out;
    reading = ANOTHER;
    if (public->type != wanted->type || public->curve != wanted->curve ||
        (public->type == KW_KEY_RSA && public->bits != wanted->bits))
        goto out;
    reading = UNSOUND;
    context = EVP_PKEY_CTX_new_from_pkey(library, pkey, NULL);
    if (context == NULL || EVP_PKEY_check(context) != 1)
        goto out;
    bool added = public->type == KW_KEY_RSA ? add_rsa(material, pkey)
                 : public->type == KW_KEY_EC
                     ? add_number(material, pkey, OSSL_PKEY_PARAM_PRIV_KEY, CKA_VALUE, (public->bits + 7) / 8)
                     : add_seed(material, pkey);
    reading = added ? READ : MALFORMED;
out:
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(pkey);
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    return reading;
}

/* ---- Giving ------------------------------------------------------------------------------------------------------- */

static CK_RV create(struct p11_use *use, const CK_ATTRIBUTE *attributes, size_t count, CK_OBJECT_HANDLE *made)
{
    return p11_did(use, "C_CreateObject",
                   use->functions->C_CreateObject(use->session, (CK_ATTRIBUTE *)(uintptr_t)attributes, count, made));
}

/* As an object: the numbers pass to the module as they are. */
static CK_RV create_private(struct p11_use *use, struct import *import, kw_input parameters)
{
    struct p11_making *making = &import->making;
    const struct material *material = &import->material;
    const size_t before = making->private_count;
    p11_making_private(making, CKA_CLASS, &making->private_class, sizeof(making->private_class));
    p11_making_private(making, CKA_KEY_TYPE, &making->type, sizeof(making->type));
    if (parameters.length > 0)
        p11_making_private(making, CKA_EC_PARAMS, parameters.data, parameters.length);
    for (size_t i = 0; i < material->count; i++)
        p11_making_private(making, material->parts[i].type, material->secret + material->parts[i].at,
                           material->parts[i].length);
    CK_RV result = create(use, making->private_template, making->private_count, &making->private_key);
    making->private_count = before;
    return result;
}

static CK_RV give_private(struct p11_use *use, struct import *import)
{
    const kw_key_template *wanted = &import->making.wanted;
    CK_RV result = CKR_GENERAL_ERROR;
    for (unsigned form = 0; form < 2; form++) {
        kw_input parameters = p11_curve_parameters(wanted->type, wanted->curve, form);
        if (form > 0 && parameters.length == 0)
            break;
        result = create_private(use, import, parameters);
        if (!p11_failure_is_inability(result))
            break;
    }
    return p11_failure_is_inability(result) ? p11_unwrap_private(use, &import->making, import->pkcs8) : result;
}

/* So that other programs see the public key too. */
static CK_RV give_public(struct p11_use *use, struct import *import)
{
    struct p11_making *making = &import->making;
    const struct material *material = &import->material;
    const struct p11_public *public = &material->public;
    const size_t before = making->public_count;
    unsigned char point[P11_POINT_MAXIMUM];
    CK_RV result = CKR_GENERAL_ERROR;
    /* Of Edwards' curves PKCS#11 3.0 has the point in an OCTET STRING, 3.1 (and NSS) as it is. */
    const unsigned forms = public->type == KW_KEY_ED25519 ? 4 : 2;
    for (unsigned form = 0; form < forms; form++) {
        kw_input parameters = p11_curve_parameters(public->type, public->curve, form % 2);
        if (form > 0 && parameters.length == 0)
            break;
        p11_making_public(making, CKA_CLASS, &making->public_class, sizeof(making->public_class));
        p11_making_public(making, CKA_KEY_TYPE, &making->type, sizeof(making->type));
        if (public->type == KW_KEY_RSA) {
            for (size_t i = 0; i < 2; i++) /* modulus and exponent */
                p11_making_public(making, material->parts[i].type, material->secret + material->parts[i].at,
                                  material->parts[i].length);
        } else {
            size_t length = p11_public_point(public, point);
            p11_making_public(making, CKA_EC_PARAMS, parameters.data, parameters.length);
            size_t head = form < 2 ? 0 : 2;
            p11_making_public(making, CKA_EC_POINT, point + head, length - head);
        }
        result = create(use, making->public_template, making->public_count, &making->public_key);
        making->public_count = before;
        if (!p11_failure_is_inability(result))
            break;
    }
    return result;
}

static CK_RV import_key(struct p11_use *use, void *argument)
{
    struct import *import = argument;
    char room[24];
    CK_RV result = p11_making_is_new(use, &import->making);
    if (result != CKR_OK)
        return result;
    result = give_private(use, import);
    if (p11_failure_is_inability(result)) {
        p11_making_fill(&import->making, false);
        result = give_private(use, import);
    }
    use->begun = !p11_failure_is_before(result);
    if (p11_failure_is_inability(result)) {
        use->dirty = true;
        return p11_tell(use, KW_UNSUPPORTED,
                        "the token '%s' does not take keys that were made elsewhere: %s answers %s",
                        use->instance->token->label, use->function, p11_failure_name(result, room));
    }
    if (result == CKR_OK)
        result = give_public(use, import);
    if (p11_failure_is_inability(result)) {
        p11_making_fill(&import->making, false);
        result = give_public(use, import);
    }
    return result == CKR_OK ? p11_making_check(use, &import->making, &import->material.public) : result;
}

kw_status p11_key_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                         kw_input pkcs8, kw_output *locator)
{
    static const char *const complaints[] = {
        [READ] = "",
        [MALFORMED] = "the key is no PKCS#8 that pkcs11 can read",
        [ANOTHER] = "the key is not of the type and size that was said",
        [UNSOUND] = "the parts of the key do not fit one another",
    };
    const kw_host *host = &instance->host;
    struct import import = {.pkcs8 = pkcs8};
    kw_status status = p11_making_begin(instance, call, wanted, &import.making, locator);
    if (status != KW_OK)
        return status;
    import.material.secret = host->secret_allocate(host->context, PKCS8_MAXIMUM);
    if (import.material.secret == NULL)
        return p11_report(host, KW_OUT_OF_MEMORY, "out of memory");
    if (!p11_gate_enter(&instance->module->gate, p11_patience(instance, call))) {
        status = p11_shut_out(instance);
        goto out;
    }
    enum reading reading = read_key(&import.making, pkcs8, &import.material);
    p11_gate_leave(&instance->module->gate);
    if (reading != READ)
        status = p11_report(host, KW_INVALID_ARGUMENT, "%s", complaints[reading]);
    else
        status = p11_change(instance, call, "take a key", import_key, &import);
    if (status == KW_OK)
        status = p11_locator_put(&import.making.locator, locator);
    else
        p11_making_undo(instance, &import.making);
out:
    host->secret_free(host->context, import.material.secret, PKCS8_MAXIMUM);
    return status;
}
