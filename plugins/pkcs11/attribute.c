/* Attributes of objects, and finding objects. What a module says of lengths and counts is not believed. */
#include "pkcs11.h"

CK_ATTRIBUTE p11_attribute(CK_ATTRIBUTE_TYPE type, const void *value, size_t length)
{
    return (CK_ATTRIBUTE){.type = type, .pValue = (void *)(uintptr_t)value, .ulValueLen = length};
}

#define ATTRIBUTES_MAXIMUM 16u

CK_RV p11_attributes_get(struct p11_use *use, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, size_t count)
{
    CK_ULONG room[ATTRIBUTES_MAXIMUM];
    if (count > ATTRIBUTES_MAXIMUM)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < count; i++)
        room[i] = attributes[i].ulValueLen;
    CK_RV result = p11_did(use, "C_GetAttributeValue",
                           use->functions->C_GetAttributeValue(use->session, object, attributes, count));
    for (size_t i = 0; i < count; i++)
        if (attributes[i].ulValueLen > room[i])
            attributes[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
    /* Of these the others are filled. */
    if (result == CKR_ATTRIBUTE_SENSITIVE || result == CKR_ATTRIBUTE_TYPE_INVALID || result == CKR_BUFFER_TOO_SMALL)
        return CKR_OK;
    return result;
}

bool p11_attribute_has(const CK_ATTRIBUTE *attribute)
{
    return attribute->ulValueLen != CK_UNAVAILABLE_INFORMATION && attribute->ulValueLen != 0;
}

bool p11_attribute_is_true(const CK_ATTRIBUTE *attribute)
{
    return attribute->ulValueLen == sizeof(CK_BBOOL) && *(const CK_BBOOL *)attribute->pValue != CK_FALSE;
}

CK_RV p11_objects_find(struct p11_use *use, CK_ATTRIBUTE *template, size_t attributes,
                       CK_OBJECT_HANDLE found[P11_MATCHES], size_t *count)
{
    CK_ULONG got = 0;
    *count = 0;
    CK_RV result =
        p11_did(use, "C_FindObjectsInit", use->functions->C_FindObjectsInit(use->session, template, attributes));
    if (result != CKR_OK)
        return result;
    use->dirty = true;
    result = p11_did(use, "C_FindObjects", use->functions->C_FindObjects(use->session, found, P11_MATCHES, &got));
    if (result != CKR_OK)
        return result;
    if (got > P11_MATCHES)
        return p11_tell(use, KW_FAILED, "the module is broken: C_FindObjects gave more objects than were asked for");
    result = p11_did(use, "C_FindObjectsFinal", use->functions->C_FindObjectsFinal(use->session));
    if (result != CKR_OK)
        return result;
    use->dirty = false;
    *count = got;
    return CKR_OK;
}

CK_RV p11_objects_absent(struct p11_use *use)
{
    CK_SESSION_INFO session = {.state = 0};
    CK_TOKEN_INFO token = {.flags = 0};
    CK_RV result = p11_did(use, "C_GetSessionInfo", use->functions->C_GetSessionInfo(use->session, &session));
    if (result != CKR_OK)
        return result;
    result = p11_did(use, "C_GetTokenInfo", use->functions->C_GetTokenInfo(use->instance->token->slot, &token));
    if (result != CKR_OK) /* whatever it says: a token that does not even tell its name is not there */
        return p11_failure_is_loss(result) ? result : CKR_TOKEN_NOT_PRESENT;
    if ((token.flags & CKF_LOGIN_REQUIRED) != 0 && session.state != CKS_RO_USER_FUNCTIONS &&
        session.state != CKS_RW_USER_FUNCTIONS)
        return CKR_USER_NOT_LOGGED_IN;
    return CKR_OK;
}

CK_RV p11_token_look(struct p11_use *use, void *argument)
{
    (void)argument;
    return p11_objects_absent(use);
}
