/* What making a key takes, whether the token generates it or is given it. */
#include "key.h"

#include <string.h>

#define USES ((uint32_t)(KW_CAN_SIGN | KW_CAN_DECRYPT | KW_CAN_DERIVE))

static bool is_claimed(const kw_plugin_instance *instance, const kw_key_template *wanted)
{
    const kw_capabilities *can = &instance->capabilities;
    if ((unsigned)wanted->type > KW_KEY_ED25519 || (can->key_types & KW_BIT(wanted->type)) == 0)
        return false;
    if (wanted->type == KW_KEY_RSA)
        return wanted->bits >= can->rsa_bits_minimum && wanted->bits <= can->rsa_bits_maximum && wanted->bits % 8 == 0;
    if (wanted->type == KW_KEY_EC)
        return (unsigned)wanted->curve <= KW_CURVE_P521 && (can->curves & KW_BIT(wanted->curve)) != 0;
    return true;
}

void p11_making_private(struct p11_making *making, CK_ATTRIBUTE_TYPE type, const void *value, size_t length)
{
    making->private_template[making->private_count++] = p11_attribute(type, value, length);
}

void p11_making_public(struct p11_making *making, CK_ATTRIBUTE_TYPE type, const void *value, size_t length)
{
    making->public_template[making->public_count++] = p11_attribute(type, value, length);
}

void p11_making_fill(struct p11_making *making, bool narrow)
{
    const struct p11_locator *at = &making->locator;
    bool rsa = making->type == CKK_RSA;
    narrow = narrow && !making->plain;
    making->private_count = making->public_count = 0;
    p11_making_private(making, CKA_TOKEN, &making->yes, sizeof(CK_BBOOL));
    p11_making_private(making, CKA_PRIVATE, &making->yes, sizeof(CK_BBOOL));
    p11_making_private(making, CKA_SENSITIVE, &making->yes, sizeof(CK_BBOOL));
    p11_making_private(making, CKA_EXTRACTABLE, &making->no, sizeof(CK_BBOOL));
    p11_making_private(making, CKA_SIGN, &making->sign, sizeof(CK_BBOOL));
    if (rsa)
        p11_making_private(making, CKA_DECRYPT, &making->decrypt, sizeof(CK_BBOOL));
    if (making->derive || (narrow && !rsa))
        p11_making_private(making, CKA_DERIVE, &making->derive, sizeof(CK_BBOOL));
    p11_making_private(making, CKA_ID, at->id, at->id_length);
    p11_making_private(making, CKA_LABEL, at->label, at->label_length);
    if (making->authenticate)
        p11_making_private(making, CKA_ALWAYS_AUTHENTICATE, &making->yes, sizeof(CK_BBOOL));

    p11_making_public(making, CKA_TOKEN, &making->yes, sizeof(CK_BBOOL));
    p11_making_public(making, CKA_PRIVATE, &making->no, sizeof(CK_BBOOL));
    p11_making_public(making, CKA_VERIFY, &making->sign, sizeof(CK_BBOOL));
    if (rsa)
        p11_making_public(making, CKA_ENCRYPT, &making->decrypt, sizeof(CK_BBOOL));
    p11_making_public(making, CKA_ID, at->id, at->id_length);
    p11_making_public(making, CKA_LABEL, at->label, at->label_length);

    /* Uses that nobody asked for, and that tokens give a key when nothing is said. */
    if (narrow && !making->apt)
        p11_making_private(making, rsa ? CKA_DERIVE : CKA_DECRYPT, &making->no, sizeof(CK_BBOOL));
    if (narrow) {
        p11_making_private(making, CKA_UNWRAP, &making->no, sizeof(CK_BBOOL));
        p11_making_private(making, CKA_SIGN_RECOVER, &making->no, sizeof(CK_BBOOL));
        p11_making_public(making, CKA_WRAP, &making->no, sizeof(CK_BBOOL));
        p11_making_public(making, CKA_VERIFY_RECOVER, &making->no, sizeof(CK_BBOOL));
    }
    if (narrow && !rsa && !making->apt)
        p11_making_public(making, CKA_ENCRYPT, &making->no, sizeof(CK_BBOOL));
}

kw_status p11_making_begin(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *sent,
                           struct p11_making *making, kw_output *locator)
{
    const kw_host *host = &instance->host;
    const kw_capabilities *can = &instance->capabilities;
    if (locator->data == NULL || locator->capacity < KW_LOCATOR_MAXIMUM) {
        locator->length = KW_LOCATOR_MAXIMUM;
        return KW_BUFFER_TOO_SMALL;
    }
    *making = (struct p11_making){
        .private_class = CKO_PRIVATE_KEY, .public_class = CKO_PUBLIC_KEY, .yes = CK_TRUE, .no = CK_FALSE};
    kw_key_template *wanted = &making->wanted;
    p11_take(wanted, sizeof(*wanted), sent);
    if (!is_claimed(instance, wanted))
        return p11_report(host, KW_UNSUPPORTED,
                          "the token '%s' holds no keys of this type or size (RSA keys from %u to %u bits)",
                          instance->token->label, can->rsa_bits_minimum, can->rsa_bits_maximum);
    uint32_t able = instance->abilities[wanted->type].operations, uses = wanted->operations & USES;
    if (uses != 0 && (uses & able) == 0)
        return p11_report(host, KW_UNSUPPORTED,
                          "with the token '%s' a key of this type can do nothing of what it shall be used for",
                          instance->token->label);
    uses = uses == 0 ? able : uses & able;
    making->type = p11_type_of(wanted->type);
    making->sign = (uses & KW_CAN_SIGN) != 0;
    making->decrypt = (uses & KW_CAN_DECRYPT) != 0;
    making->derive = (uses & KW_CAN_DERIVE) != 0;
    making->locator.type = making->type;
    making->locator.id_length = KW_KEY_ID_LENGTH;
    memcpy(making->locator.id, wanted->id, KW_KEY_ID_LENGTH);
    if (wanted->label != NULL) {
        making->locator.label_length = strnlen(wanted->label, P11_LABEL_MAXIMUM);
        memcpy(making->locator.label, wanted->label, making->locator.label_length);
    }
    making->plain = instance->module->manners.plain_templates;
    making->authenticate = instance->always_authenticate;
    p11_making_fill(making, true);
    return p11_deadline(instance, call);
}

CK_RV p11_making_is_new(struct p11_use *use, struct p11_making *making)
{
    CK_ATTRIBUTE template[] = {
        p11_attribute(CKA_TOKEN, &making->yes, sizeof(CK_BBOOL)),
        p11_attribute(CKA_ID, making->locator.id, making->locator.id_length),
    };
    CK_OBJECT_HANDLE found[P11_MATCHES];
    size_t count = 0;
    CK_RV result = p11_objects_find(use, template, 2, found, &count);
    if (result == CKR_OK && count > 0 && making->is_ours)
        return p11_tell(use, KW_FAILED, "the token '%s' made the key and said that it did not; it was deleted again",
                        use->instance->token->label);
    if (result == CKR_OK && count > 0)
        return p11_tell(use, KW_EXISTS, "the token '%s' has something with this id already",
                        use->instance->token->label);
    making->is_ours = result == CKR_OK;
    return result;
}

/* The key can be read back, is the one that was made, and has no more freedom than was asked for. */
CK_RV p11_making_check(struct p11_use *use, struct p11_making *making, const struct p11_public *expected)
{
    struct p11_public public;
    struct p11_traits traits;
    CK_BBOOL sensitive = CK_FALSE, extractable = CK_TRUE;
    CK_ATTRIBUTE freedom[] = {
        p11_attribute(CKA_SENSITIVE, &sensitive, sizeof(sensitive)),
        p11_attribute(CKA_EXTRACTABLE, &extractable, sizeof(extractable)),
    };
    const char *label = use->instance->token->label;
    CK_RV result = p11_attributes_get(use, making->private_key, freedom, 2);
    if (result != CKR_OK)
        return result;
    if (!p11_attribute_is_true(&freedom[0]) || freedom[1].ulValueLen != sizeof(extractable) || extractable != CK_FALSE)
        return p11_tell(use, KW_REFUSED,
                        "the token '%s' made a key that it would give out, although it was told not to; the key was "
                        "deleted again",
                        label);
    result = p11_key_read_public(use, making->private_key, &making->locator, &public, &traits);
    if (result != CKR_OK)
        return result;
    if (public.type != making->wanted.type || public.curve != making->wanted.curve ||
        (public.type == KW_KEY_RSA && public.bits != making->wanted.bits) ||
        (expected != NULL &&
         (public.spki_length != expected->spki_length || memcmp(public.spki, expected->spki, public.spki_length) != 0)))
        return p11_tell(use, KW_FAILED, "the token '%s' made another key than was asked for; it was deleted again",
                        label);
    if (use->instance->always_authenticate && !traits.always_authenticate)
        return p11_tell(use, KW_REFUSED,
                        "option always_authenticate: the token '%s' does not keep to it; the key was deleted again",
                        label);
    /* So that who opens the key later needs no second object; a token that keeps no such attribute does without. */
    if (public.type != KW_KEY_RSA) {
        CK_ATTRIBUTE info = p11_attribute(CKA_PUBLIC_KEY_INFO, public.spki, public.spki_length);
        (void)p11_did(use, NULL, use->functions->C_SetAttributeValue(use->session, making->private_key, &info, 1));
    }
    return CKR_OK;
}

static CK_RV undo(struct p11_use *use, void *argument)
{
    const struct p11_making *making = argument;
    return p11_key_destroy(use, &making->locator);
}

/* Nothing had this id before, so what has it now is ours; handles may be gone with the session. */
void p11_making_undo(kw_plugin_instance *instance, struct p11_making *making)
{
    if (!making->is_ours)
        return;
    p11_be_quiet(true);
    kw_status status = p11_change(instance, NULL, "delete the key", undo, making);
    p11_be_quiet(false);
    if (status != KW_OK && instance->host.log != NULL)
        instance->host.log(instance->host.context, KW_LOG_WARNING,
                           "a key that was not finished could not be deleted from the token; it is found by its id");
}
