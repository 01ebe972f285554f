/* Keys that the token makes. */
#include "key.h"

static CK_RV make_pair(struct p11_use *use, struct p11_making *making, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM pair = {.mechanism = type};
    return p11_did(use, "C_GenerateKeyPair",
                   use->functions->C_GenerateKeyPair(use->session, &pair, making->public_template, making->public_count,
                                                     making->private_template, making->private_count,
                                                     &making->public_key, &making->private_key));
}

static CK_RV make_rsa(struct p11_use *use, struct p11_making *making)
{
    static const unsigned char exponent[] = {0x01, 0x00, 0x01};
    CK_ULONG bits = making->wanted.bits;
    p11_making_public(making, CKA_MODULUS_BITS, &bits, sizeof(bits));
    p11_making_public(making, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent));
    return make_pair(use, making, CKM_RSA_PKCS_KEY_PAIR_GEN);
}

/* A curve by its name, in the forms that tokens know. */
static CK_RV make_ec(struct p11_use *use, struct p11_making *making)
{
    const kw_key_template *wanted = &making->wanted;
    CK_MECHANISM_TYPE type = wanted->type == KW_KEY_EC ? CKM_EC_KEY_PAIR_GEN : CKM_EC_EDWARDS_KEY_PAIR_GEN;
    const size_t before = making->public_count;
    CK_RV result = CKR_MECHANISM_INVALID;
    for (unsigned form = 0; form < 2; form++) {
        kw_input parameters = p11_curve_parameters(wanted->type, wanted->curve, form);
        if (parameters.length == 0)
            break;
        making->public_count = before;
        p11_making_public(making, CKA_EC_PARAMS, parameters.data, parameters.length);
        result = make_pair(use, making, type);
        if (!p11_failure_is_inability(result))
            break;
    }
    return result;
}

/* tpm2-pkcs11 answers CKR_GENERAL_ERROR when an EC key is told that it cannot decrypt. */
static CK_RV make_narrow_ec(struct p11_use *use, struct p11_making *making)
{
    CK_RV result = make_ec(use, making);
    if (result != CKR_GENERAL_ERROR)
        return result;
    CK_RV still_new = p11_making_is_new(use, making);
    if (still_new != CKR_OK)
        return still_new;
    making->apt = true;
    p11_making_fill(making, true);
    return make_ec(use, making);
}

static CK_RV generate(struct p11_use *use, void *argument)
{
    struct p11_making *making = argument;
    char room[24];
    CK_RV result = p11_making_is_new(use, making);
    if (result != CKR_OK)
        return result;
    use->begun = true;
    for (int narrow = 1; narrow >= 0; narrow--) {
        p11_making_fill(making, narrow != 0);
        if (making->type == CKK_RSA)
            result = make_rsa(use, making);
        else
            result = narrow != 0 ? make_narrow_ec(use, making) : make_ec(use, making);
        if (!p11_failure_is_inability(result))
            break;
    }
    use->begun = !p11_failure_is_before(result);
    if (p11_failure_is_inability(result)) {
        use->dirty = true;
        return p11_tell(use, KW_UNSUPPORTED, "the token '%s' does not make such a key: C_GenerateKeyPair answers %s",
                        use->instance->token->label, p11_failure_name(result, room));
    }
    return result == CKR_OK ? p11_making_check(use, making, NULL) : result;
}

kw_status p11_key_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                           kw_output *locator)
{
    struct p11_making making;
    kw_status status = p11_making_begin(instance, call, wanted, &making, locator);
    if (status != KW_OK)
        return status;
    status = p11_change(instance, call, "make a key", generate, &making);
    if (status == KW_OK)
        return p11_locator_put(&making.locator, locator);
    p11_making_undo(instance, &making);
    return status;
}
