/* What a token can do, by the mechanisms that it lists. */
#include "key.h"

#include <string.h>

#define MECHANISMS_MAXIMUM 1024u

#define SIGN_HASHES (KW_BIT(KW_HASH_SHA224) | KW_BIT(KW_HASH_SHA256) | KW_BIT(KW_HASH_SHA384) | KW_BIT(KW_HASH_SHA512))

static const struct {
    CK_MECHANISM_TYPE mechanism;
    kw_key_type type;
    uint32_t operations;
    kw_scheme scheme;
    uint32_t sign_hashes, oaep_hashes;
} uses[] = {
    {CKM_RSA_PKCS, KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PKCS1, SIGN_HASHES, 0},
    {CKM_RSA_PKCS_PSS, KW_KEY_RSA, KW_CAN_SIGN, KW_SCHEME_RSA_PSS, SIGN_HASHES, 0},
    {CKM_RSA_X_509, KW_KEY_RSA, KW_CAN_SIGN | KW_CAN_DECRYPT, KW_SCHEME_RSA_RAW, 0, 0},
    {CKM_RSA_PKCS_OAEP, KW_KEY_RSA, KW_CAN_DECRYPT, KW_SCHEME_RSA_OAEP, 0, KW_BIT(KW_HASH_SHA1)},
    {CKM_ECDSA, KW_KEY_EC, KW_CAN_SIGN, KW_SCHEME_ECDSA, SIGN_HASHES, 0},
    {CKM_ECDH1_DERIVE, KW_KEY_EC, KW_CAN_DERIVE, KW_SCHEME_ECDH, 0, 0},
    {CKM_EDDSA, KW_KEY_ED25519, KW_CAN_SIGN, KW_SCHEME_EDDSA, 0, 0},
};

static const struct {
    CK_MECHANISM_TYPE mechanism;
    kw_key_type type;
} generators[] = {
    {CKM_RSA_PKCS_KEY_PAIR_GEN, KW_KEY_RSA},
    {CKM_EC_KEY_PAIR_GEN, KW_KEY_EC},
    {CKM_EC_EDWARDS_KEY_PAIR_GEN, KW_KEY_ED25519},
};

/* What modules advertise and then refuse or do wrong, where trying it out would leave something on the token. By how they describe themselves. */
static const struct {
    const char *maker; /* NULL: the description says enough */
    const char *description;
    uint32_t operations, schemes, curves; /* that it cannot do */
    struct p11_manners manners;
} known[] = {
    /*
     * tpm2-pkcs11 1.9: no import; keys on P-521 without a public key that can be read. CKA_ENCRYPT = false takes back CKA_SIGN, because the
     * TPM has one bit for both. ECDSA takes digests of the lengths of SHA-1, SHA-256, SHA-384 and SHA-512 alone. A failed
     * C_Decrypt leaves its key in use until C_DecryptFinal. A child of a fork goes on with its parent's connection and HMAC session; the
     * TPM then refuses both, and counts that like wrong PINs.
     */
    {.description = "TPM2.0 Cryptoki",
     .operations = KW_CAN_IMPORT,
     .curves = KW_BIT(KW_CURVE_P521),
     .manners = {.plain_templates = true, .whole_digests = true, .ends_at_fork = true, .failures_stay = true}},
    /* openCryptoki 3.8, software token: CKR_MECHANISM_INVALID for CKM_RSA_PKCS_PSS, which it lists */
    {.description = "Meta PKCS11 LIBRARY", .schemes = KW_BIT(KW_SCHEME_RSA_PSS)},
    /* SoftHSM 2.6.1: see copy.c */
    {.maker = "SoftHSM", .description = "Implementation of PKCS11", .manners = {.checks_objects = true}},
};

/* Modules say by their description who they are. */
static bool is_by(size_t i, const char *maker, const char *description)
{
    return (known[i].maker == NULL || strcmp(known[i].maker, maker) == 0) &&
           strncmp(description, known[i].description, strlen(known[i].description)) == 0;
}

struct p11_manners p11_manners_of(const char *maker, const char *description)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (is_by(i, maker, description))
            return known[i].manners;
    return (struct p11_manners){.plain_templates = false};
}

struct list {
    CK_MECHANISM_TYPE mechanisms[MECHANISMS_MAXIMUM];
    CK_ULONG count;
};

static bool has(const struct list *list, CK_MECHANISM_TYPE mechanism)
{
    for (CK_ULONG i = 0; i < list->count; i++)
        if (list->mechanisms[i] == mechanism)
            return true;
    return false;
}

static CK_RV get_info(struct p11_use *use, CK_MECHANISM_TYPE mechanism, CK_MECHANISM_INFO *info)
{
    CK_RV result = p11_did(use, "C_GetMechanismInfo",
                           use->functions->C_GetMechanismInfo(use->instance->token->slot, mechanism, info));
    return result == CKR_MECHANISM_INVALID || result == CKR_FUNCTION_NOT_SUPPORTED ? CKR_OK : result;
}

/* What the sizes that a token says leave of those that we use. Tokens give bits, and some of them bytes. */
static CK_RV limit_rsa(struct p11_use *use, kw_capabilities *can)
{
    CK_MECHANISM_INFO info = {.flags = 0};
    CK_RV result = get_info(use, CKM_RSA_PKCS_KEY_PAIR_GEN, &info);
    CK_ULONG unit = info.ulMaxKeySize <= 1024 ? 8 : 1;
    can->rsa_bits_minimum = P11_RSA_MINIMUM;
    can->rsa_bits_maximum = P11_RSA_MAXIMUM;
    if (info.ulMinKeySize * unit > P11_RSA_MINIMUM && info.ulMinKeySize * unit <= P11_RSA_MAXIMUM)
        can->rsa_bits_minimum = (uint32_t)(info.ulMinKeySize * unit);
    if (info.ulMaxKeySize * unit >= can->rsa_bits_minimum && info.ulMaxKeySize * unit < P11_RSA_MAXIMUM)
        can->rsa_bits_maximum = (uint32_t)(info.ulMaxKeySize * unit);
    if ((info.flags & CKF_HW) != 0)
        can->features |= KW_FEATURE_HARDWARE;
    return result;
}

static void limit_curves(const CK_MECHANISM_INFO *info, kw_capabilities *can)
{
    bool said = info->ulMaxKeySize >= 256;
    for (int curve = KW_CURVE_P256; curve <= KW_CURVE_P521; curve++) {
        uint32_t bits = p11_curve_bits((kw_curve)curve);
        if (!said || (bits >= info->ulMinKeySize && bits <= info->ulMaxKeySize))
            can->curves |= KW_BIT(curve);
    }
    if ((info->flags & CKF_HW) != 0)
        can->features |= KW_FEATURE_HARDWARE;
}

CK_RV p11_capability_read(struct p11_use *use, void *argument)
{
    kw_plugin_instance *instance = use->instance;
    kw_capabilities can = {.operations = KW_CAN_DELETE | KW_CAN_LIST | KW_CAN_STORE_CERTIFICATES | KW_CAN_SET_SECRET |
                                         KW_CAN_IMPORT,
                           .features = KW_FEATURE_SHARED};
    struct p11_ability abilities[KW_KEY_X25519 + 1] = {{0}};
    struct list list = {.count = MECHANISMS_MAXIMUM};
    uint32_t usable = 0, made = 0;
    (void)argument;
    CK_RV result = p11_did(use, "C_GetMechanismList",
                           use->functions->C_GetMechanismList(instance->token->slot, list.mechanisms, &list.count));
    if (result != CKR_OK)
        return result;
    if (list.count > MECHANISMS_MAXIMUM)
        return p11_tell(use, KW_FAILED,
                        "the module is broken: C_GetMechanismList says more than it was given room for");
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        struct p11_ability *ability = &abilities[uses[i].type];
        if (!has(&list, uses[i].mechanism))
            continue;
        usable |= KW_BIT(uses[i].type);
        ability->operations |= uses[i].operations;
        ability->schemes |= KW_BIT(uses[i].scheme);
        ability->sign_hashes |= uses[i].sign_hashes;
        ability->oaep_hashes |= uses[i].oaep_hashes;
    }
    /* OAEP with SHA-1 is what all can that have it at all. Where raw RSA is there, the host undoes the rest; elsewhere the token must. */
    if ((abilities[KW_KEY_RSA].schemes & KW_BIT(KW_SCHEME_RSA_OAEP)) != 0 &&
        (abilities[KW_KEY_RSA].schemes & KW_BIT(KW_SCHEME_RSA_RAW)) == 0)
        abilities[KW_KEY_RSA].oaep_hashes |= SIGN_HASHES;
    for (size_t i = 0; i < sizeof(generators) / sizeof(generators[0]); i++)
        if (has(&list, generators[i].mechanism))
            made |= KW_BIT(generators[i].type) & usable;
    if (made != 0)
        can.operations |= KW_CAN_GENERATE;
    can.key_types = made != 0 ? made : usable;
    if ((can.key_types & KW_BIT(KW_KEY_RSA)) != 0)
        result = limit_rsa(use, &can);
    if ((can.key_types & KW_BIT(KW_KEY_EC)) != 0) {
        CK_MECHANISM_INFO info = {.flags = 0};
        if (result == CKR_OK && has(&list, CKM_EC_KEY_PAIR_GEN) && (can.key_types & KW_BIT(KW_KEY_RSA)) == 0)
            result = get_info(use, CKM_EC_KEY_PAIR_GEN, &info);
        limit_curves(&info, &can);
    }
    if (result != CKR_OK)
        return result;
    for (size_t type = 0; type <= KW_KEY_X25519; type++) {
        can.operations |= abilities[type].operations;
        can.schemes |= abilities[type].schemes;
        can.sign_hashes |= abilities[type].sign_hashes;
        can.oaep_hashes |= abilities[type].oaep_hashes;
    }
    if (instance->has_random)
        can.operations |= KW_CAN_RANDOM;
    if (instance->read_only)
        can.operations &= ~(uint32_t)(KW_CAN_GENERATE | KW_CAN_IMPORT | KW_CAN_DELETE | KW_CAN_STORE_CERTIFICATES |
                                      KW_CAN_SET_SECRET);
    if (!instance->wants_pin)
        can.operations &= ~(uint32_t)KW_CAN_SET_SECRET;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!is_by(i, instance->module->maker, instance->module->description))
            continue;
        can.operations &= ~known[i].operations;
        can.schemes &= ~known[i].schemes;
        can.curves &= ~known[i].curves;
        for (unsigned type = 0; type <= KW_KEY_X25519; type++) {
            abilities[type].schemes &= ~known[i].schemes;
            if (abilities[type].schemes == 0)
                can.key_types &= ~KW_BIT(type);
        }
    }
    if (instance->always_authenticate)
        can.features |= KW_FEATURE_ALWAYS_AUTHENTICATE;
    memcpy(can.token, instance->token->serial, sizeof(instance->token->serial));
    instance->capabilities = can;
    memcpy(instance->abilities, abilities, sizeof(abilities));
    return CKR_OK;
}
