/* EVP_PKEYs: generate, parse and check, encode, describe. */
#include "softstore.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <string.h>

static const struct {
    const char *name;  /* that libcrypto prints */
    const char *alias; /* another that it prints */
    uint32_t bits;
} curve_table[] = {
    [KW_CURVE_P256] = {"prime256v1", "P-256", 256},
    [KW_CURVE_P384] = {"secp384r1", "P-384", 384},
    [KW_CURVE_P521] = {"secp521r1", "P-521", 521},
};
#define CURVES (sizeof(curve_table) / sizeof(curve_table[0]))

static const char *const type_names[] = {
    [KW_KEY_RSA] = "RSA", [KW_KEY_EC] = "EC", [KW_KEY_ED25519] = "ED25519", [KW_KEY_X25519] = "X25519"};
#define TYPES (sizeof(type_names) / sizeof(type_names[0]))

kw_status softstore_kind_check(const struct softstore_kind *kind)
{
    if ((unsigned)kind->type >= TYPES || type_names[kind->type] == NULL)
        return KW_UNSUPPORTED;
    if (kind->type == KW_KEY_RSA)
        return kind->bits >= SOFTSTORE_RSA_MINIMUM && kind->bits <= SOFTSTORE_RSA_MAXIMUM && kind->bits % 8 == 0
                   ? KW_OK
                   : KW_UNSUPPORTED;
    if (kind->type == KW_KEY_EC)
        return (unsigned)kind->curve < CURVES && curve_table[kind->curve].name != NULL ? KW_OK : KW_UNSUPPORTED;
    return KW_OK;
}

/* ---- Generate ------------------------------------------------------------------------------------------------------ */

struct patience {
    const kw_host *host;
    uint64_t deadline; /* 0: none */
    bool exhausted;
};

/* libcrypto calls this while it looks for primes; 0 stops it. */
static int generation_goes_on(EVP_PKEY_CTX *context)
{
    struct patience *patience = EVP_PKEY_CTX_get_app_data(context);
    if (patience->deadline == 0 || patience->host->clock(patience->host->context) < patience->deadline)
        return 1;
    patience->exhausted = true;
    return 0;
}

static bool generation_prepare(EVP_PKEY_CTX *context, const struct softstore_kind *kind)
{
    size_t bits = kind->bits;
    const char *curve = kind->type == KW_KEY_EC ? curve_table[kind->curve].name : NULL;
    OSSL_PARAM parameters[2] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    if (kind->type == KW_KEY_RSA)
        parameters[0] = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits);
    else if (curve != NULL)
        parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)curve, 0);
    return EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_CTX_set_params(context, parameters) == 1;
}

kw_status softstore_pkey_generate(kw_plugin_instance *instance, const kw_call *call, const struct softstore_kind *kind,
                                  EVP_PKEY **pkey)
{
    struct patience patience = {.host = &instance->host};
    if (softstore_kind_check(kind) != KW_OK)
        return softstore_report(&instance->host, KW_UNSUPPORTED, "softstore does not make keys of this type and size");
    if (call != NULL && KW_HAS(call, deadline) && instance->host.clock != NULL)
        patience.deadline = call->deadline;
    softstore_enter();
    EVP_PKEY *made = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(instance->library->context, type_names[kind->type], NULL);
    bool done = false;
    if (context != NULL && generation_prepare(context, kind)) {
        EVP_PKEY_CTX_set_app_data(context, &patience);
        EVP_PKEY_CTX_set_cb(context, generation_goes_on);
        done = EVP_PKEY_generate(context, &made) == 1;
    }
    EVP_PKEY_CTX_free(context);
    softstore_leave();
    if (patience.exhausted)
        return softstore_report(&instance->host, KW_TIMEOUT, "the deadline passed while the key was being made");
    if (!done)
        return softstore_report(&instance->host, KW_FAILED, "libcrypto failed to generate the key");
    *pkey = made;
    return KW_OK;
}

/* ---- Parse and check -------------------------------------------------------------------------------------------------- */

/* Curves by name alone, points uncompressed: however the key came, it is stored as all programs read it. */
static bool normalise(EVP_PKEY *pkey)
{
    char encoding[32];
    if (!EVP_PKEY_is_a(pkey, "EC"))
        return true;
    return EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding), NULL) == 1 &&
           strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) == 0 &&
           EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                          OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) == 1;
}

EVP_PKEY *softstore_pkey_parse(const struct softstore_library *library, kw_input pkcs8)
{
    EVP_PKEY *pkey = NULL;
    if (pkcs8.length == 0 || pkcs8.length > KW_RECORD_VALUE_MAXIMUM)
        return NULL;
    const unsigned char *at = pkcs8.data;
    softstore_enter();
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length);
    if (info != NULL && at == pkcs8.data + pkcs8.length)
        pkey = EVP_PKCS82PKEY_ex(info, library->context, NULL);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (pkey != NULL && !normalise(pkey)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    softstore_leave();
    return pkey;
}

bool softstore_pkey_sound(const struct softstore_library *library, EVP_PKEY *pkey)
{
    softstore_enter();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(library->context, pkey, NULL);
    bool sound = context != NULL && EVP_PKEY_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    softstore_leave();
    return sound;
}

static bool describe(EVP_PKEY *pkey, struct softstore_kind *kind)
{
    char group[64] = "";
    struct softstore_kind found = {.type = KW_KEY_NONE};
    for (size_t type = 0; type < TYPES; type++)
        if (type_names[type] != NULL && EVP_PKEY_is_a(pkey, type_names[type]))
            found.type = (kw_key_type)type;
    if (found.type == KW_KEY_NONE)
        return false;
    found.bits = (uint32_t)EVP_PKEY_get_bits(pkey);
    if (found.type == KW_KEY_EC) {
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1)
            return false;
        for (size_t curve = 0; curve < CURVES; curve++)
            if (curve_table[curve].name != NULL &&
                (strcmp(group, curve_table[curve].name) == 0 || strcmp(group, curve_table[curve].alias) == 0)) {
                found.curve = (kw_curve)curve;
                found.bits = curve_table[curve].bits;
            }
        if (found.curve == KW_CURVE_NONE)
            return false;
    }
    *kind = found;
    return true;
}

bool softstore_pkey_describe(EVP_PKEY *pkey, struct softstore_kind *kind)
{
    softstore_enter();
    bool known = describe(pkey, kind);
    softstore_leave();
    return known;
}

/* ---- Encode --------------------------------------------------------------------------------------------------------------- */

kw_status softstore_pkey_private(EVP_PKEY *pkey, kw_output *pkcs8)
{
    kw_status status = KW_FAILED;
    softstore_enter();
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int length = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
    if (length > 0) {
        status = KW_BUFFER_TOO_SMALL;
        if (softstore_fits(pkcs8, (size_t)length)) {
            unsigned char *at = pkcs8->data;
            status = i2d_PKCS8_PRIV_KEY_INFO(info, &at) == length ? KW_OK : KW_FAILED;
        }
    }
    PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
    softstore_leave();
    return status;
}

kw_status softstore_pkey_public(EVP_PKEY *pkey, kw_output *spki)
{
    kw_status status = KW_FAILED;
    softstore_enter();
    int length = i2d_PUBKEY(pkey, NULL);
    if (length > 0) {
        status = KW_BUFFER_TOO_SMALL;
        if (softstore_fits(spki, (size_t)length)) {
            unsigned char *at = spki->data;
            status = i2d_PUBKEY(pkey, &at) == length ? KW_OK : KW_FAILED;
        }
    }
    softstore_leave();
    return status;
}

void softstore_pkey_free(EVP_PKEY *pkey)
{
    softstore_enter();
    EVP_PKEY_free(pkey);
    softstore_leave();
}
