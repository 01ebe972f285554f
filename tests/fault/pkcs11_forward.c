#include "pkcs11_shim.h"

#include <stdlib.h>

static void objects_out(const struct call *call, CK_OBJECT_HANDLE *objects, const CK_ULONG *count)
{
    for (CK_ULONG i = 0; call->rv == CKR_OK && i < *count; i++)
        object_out(call, &objects[i]);
}

/* For callers that cannot hand over what NSS wants, which reads a member behind the standard's. */
static CK_RV forward_C_Initialize(void *arguments)
{
    struct {
        CK_C_INITIALIZE_ARGS standard;
        void *behind;
    } own = {.standard = {.flags = CKF_OS_LOCKING_OK}};
    struct call call;
    char *wanted = getenv(SHIM_INIT_ARGS_VARIABLE);
    if (arguments != NULL)
        own.standard = *(const CK_C_INITIALIZE_ARGS *)arguments;
    if (own.standard.pReserved == NULL && wanted != NULL && *wanted != '\0') {
        own.standard.pReserved = wanted;
        arguments = &own;
    }
    call_begin(&call, SHIM_C_Initialize);
    if (call.rv == CKR_OK)
        call.rv = shim_real->C_Initialize(arguments);
    return call_end(&call);
}

/* A function of the shim: what is done before and after the real module's function of the same name. */
#define FORWARD(name, parameters, before, arguments, after)                                                            \
    static CK_RV forward_##name parameters                                                                             \
    {                                                                                                                  \
        struct call call;                                                                                              \
        call_begin(&call, SHIM_##name);                                                                                \
        before;                                                                                                        \
        if (call.rv == CKR_OK)                                                                                         \
            call.rv = shim_real->name != NULL ? shim_real->name arguments : CKR_FUNCTION_NOT_SUPPORTED;                \
        after;                                                                                                         \
        return call_end(&call);                                                                                        \
    }

/* clang-format off */
/* The shapes that many have. */
#define START(name) \
    FORWARD(name, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key), \
            (session_in(&call, &session), object_in(&call, &key)), (session, mechanism, key), (void)0)
#define ONCE(name) \
    FORWARD(name, (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG length, CK_BYTE *out, CK_ULONG *room), \
            (session_in(&call, &session), room_in(&call, out, room)), (session, in, length, out, room), \
            length_out(&call, room))
#define FEED(name) \
    FORWARD(name, (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG length), session_in(&call, &session), \
            (session, in, length), (void)0)
#define FINISH(name) \
    FORWARD(name, (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG *room), \
            (session_in(&call, &session), room_in(&call, out, room)), (session, out, room), \
            length_out(&call, room))

FORWARD(C_Finalize, (void *reserved), (void)0, (reserved), (void)0)
FORWARD(C_GetInfo, (CK_INFO *info), (void)0, (info), (void)0)
FORWARD(C_GetSlotList, (CK_BBOOL token_present, CK_SLOT_ID *slots, CK_ULONG *count), room_in(&call, slots, count),
        (token_present, slots, count), slots_out(&call, token_present, count))
FORWARD(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (void)0, (slot, info), slot_info_out(&call, info))
FORWARD(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), slot_in(&call), (slot, info), (void)0)
FORWARD(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved), (void)0, (flags, slot, reserved),
        (void)0)
FORWARD(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count),
        (slot_in(&call), room_in(&call, list, count)), (slot, list, count), length_out(&call, count))
FORWARD(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info), slot_in(&call),
        (slot, type, info), (void)0)
FORWARD(C_InitToken, (CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG length, CK_BYTE *label), slot_in(&call),
        (slot, pin, length, label), (void)0)
FORWARD(C_InitPIN, (CK_SESSION_HANDLE session, CK_BYTE *pin, CK_ULONG length), session_in(&call, &session),
        (session, pin, length), (void)0)
FORWARD(C_SetPIN, (CK_SESSION_HANDLE session, CK_BYTE *old, CK_ULONG old_length, CK_BYTE *pin, CK_ULONG length),
        session_in(&call, &session), (session, old, old_length, pin, length), (void)0)
FORWARD(C_OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, void *user, CK_NOTIFY notify, CK_SESSION_HANDLE *session),
        slot_in(&call), (slot, flags, user, notify, session), session_out(&call, session))
FORWARD(C_CloseSession, (CK_SESSION_HANDLE session), session_in(&call, &session), (session), (void)0)
FORWARD(C_CloseAllSessions, (CK_SLOT_ID slot), slot_in(&call), (slot), (void)0)
FORWARD(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), session_in(&call, &session),
        (session, info), (void)0)
FORWARD(C_GetOperationState, (CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG *length),
        (session_in(&call, &session), room_in(&call, state, length)), (session, state, length),
        length_out(&call, length))
FORWARD(C_SetOperationState,
        (CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG length, CK_OBJECT_HANDLE one, CK_OBJECT_HANDLE other),
        (session_in(&call, &session), object_in(&call, &one), object_in(&call, &other)),
        (session, state, length, one, other), (void)0)
FORWARD(C_Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG length),
        session_in(&call, &session), (session, user, pin, length), (void)0)
FORWARD(C_Logout, (CK_SESSION_HANDLE session), session_in(&call, &session), (session), (void)0)
FORWARD(C_CreateObject, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *made),
        (session_in(&call, &session), private_in(&call, attributes, count)), (session, attributes, count, made),
        object_out(&call, made))
FORWARD(C_CopyObject,
        (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE
         *made), (session_in(&call, &session), object_in(&call, &object)), (session, object, attributes, count, made),
        object_out(&call, made))
FORWARD(C_DestroyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object),
        (session_in(&call, &session), object_in(&call, &object)), (session, object), (void)0)
FORWARD(C_GetObjectSize, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG *size),
        (session_in(&call, &session), object_in(&call, &object)), (session, object, size), length_out(&call, size))
FORWARD(C_GetAttributeValue,
        (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count),
        (session_in(&call, &session), object_in(&call, &object), attributes_in(&call, attributes, count)),
        (session, object, attributes, count), attributes_out(&call, attributes, count))
FORWARD(C_SetAttributeValue,
        (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count),
        (session_in(&call, &session), object_in(&call, &object)), (session, object, attributes, count), (void)0)
FORWARD(C_FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *attributes, CK_ULONG count),
        session_in(&call, &session), (session, attributes, count), (void)0)
FORWARD(C_FindObjects, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG maximum, CK_ULONG *count),
        (session_in(&call, &session), room_in(&call, objects, &maximum)), (session, objects, maximum, count),
        (objects_out(&call, objects, count), length_out(&call, count)))
FORWARD(C_FindObjectsFinal, (CK_SESSION_HANDLE session), session_in(&call, &session), (session), (void)0)
START(C_EncryptInit)
ONCE(C_Encrypt)
ONCE(C_EncryptUpdate)
FINISH(C_EncryptFinal)
START(C_DecryptInit)
ONCE(C_Decrypt)
ONCE(C_DecryptUpdate)
FINISH(C_DecryptFinal)
FORWARD(C_DigestInit, (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism), session_in(&call, &session),
        (session, mechanism), (void)0)
ONCE(C_Digest)
FEED(C_DigestUpdate)
FORWARD(C_DigestKey, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key),
        (session_in(&call, &session), object_in(&call, &key)), (session, key), (void)0)
FINISH(C_DigestFinal)
START(C_SignInit)
ONCE(C_Sign)
FEED(C_SignUpdate)
FINISH(C_SignFinal)
START(C_SignRecoverInit)
ONCE(C_SignRecover)
START(C_VerifyInit)
FORWARD(C_Verify, (CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG length, CK_BYTE *signature, CK_ULONG size),
        session_in(&call, &session), (session, in, length, signature, size), (void)0)
FEED(C_VerifyUpdate)
FEED(C_VerifyFinal)
START(C_VerifyRecoverInit)
ONCE(C_VerifyRecover)
ONCE(C_DigestEncryptUpdate)
ONCE(C_DecryptDigestUpdate)
ONCE(C_SignEncryptUpdate)
ONCE(C_DecryptVerifyUpdate)
FORWARD(C_GenerateKey,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE
         *made), session_in(&call, &session), (session, mechanism, attributes, count, made), object_out(&call, made))
FORWARD(C_GenerateKeyPair,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *open, CK_ULONG open_count, CK_ATTRIBUTE
         *closed, CK_ULONG closed_count, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key),
        session_in(&call, &session),
        (session, mechanism, open, open_count, closed, closed_count, public_key, private_key),
        (object_out(&call, public_key), object_out(&call, private_key)))
FORWARD(C_WrapKey,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE by, CK_OBJECT_HANDLE key, CK_BYTE *out,
         CK_ULONG *room),
        (session_in(&call, &session), object_in(&call, &by), object_in(&call, &key), room_in(&call, out, room)),
        (session, mechanism, by, key, out, room), length_out(&call, room))
FORWARD(C_UnwrapKey,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE by, CK_BYTE *in, CK_ULONG length,
         CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *made),
        (session_in(&call, &session), object_in(&call, &by)),
        (session, mechanism, by, in, length, attributes, count, made), object_out(&call, made))
FORWARD(C_DeriveKey,
        (CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key, CK_ATTRIBUTE *attributes, CK_ULONG
         count, CK_OBJECT_HANDLE *made), (session_in(&call, &session), object_in(&call, &key)),
        (session, mechanism, key, attributes, count, made), object_out(&call, made))
FEED(C_SeedRandom)
FORWARD(C_GenerateRandom, (CK_SESSION_HANDLE session, CK_BYTE *out, CK_ULONG length), session_in(&call, &session),
        (session, out, length), (void)0)
FORWARD(C_GetFunctionStatus, (CK_SESSION_HANDLE session), session_in(&call, &session), (session), (void)0)
FORWARD(C_CancelFunction, (CK_SESSION_HANDLE session), session_in(&call, &session), (session), (void)0)
/* clang-format on */

/* C_GetFunctionList is put in where the list is given out. */
const CK_FUNCTION_LIST shim_functions = {
    .C_Initialize = forward_C_Initialize,
    .C_Finalize = forward_C_Finalize,
    .C_GetInfo = forward_C_GetInfo,
    .C_GetSlotList = forward_C_GetSlotList,
    .C_GetSlotInfo = forward_C_GetSlotInfo,
    .C_GetTokenInfo = forward_C_GetTokenInfo,
    .C_WaitForSlotEvent = forward_C_WaitForSlotEvent,
    .C_GetMechanismList = forward_C_GetMechanismList,
    .C_GetMechanismInfo = forward_C_GetMechanismInfo,
    .C_InitToken = forward_C_InitToken,
    .C_InitPIN = forward_C_InitPIN,
    .C_SetPIN = forward_C_SetPIN,
    .C_OpenSession = forward_C_OpenSession,
    .C_CloseSession = forward_C_CloseSession,
    .C_CloseAllSessions = forward_C_CloseAllSessions,
    .C_GetSessionInfo = forward_C_GetSessionInfo,
    .C_GetOperationState = forward_C_GetOperationState,
    .C_SetOperationState = forward_C_SetOperationState,
    .C_Login = forward_C_Login,
    .C_Logout = forward_C_Logout,
    .C_CreateObject = forward_C_CreateObject,
    .C_CopyObject = forward_C_CopyObject,
    .C_DestroyObject = forward_C_DestroyObject,
    .C_GetObjectSize = forward_C_GetObjectSize,
    .C_GetAttributeValue = forward_C_GetAttributeValue,
    .C_SetAttributeValue = forward_C_SetAttributeValue,
    .C_FindObjectsInit = forward_C_FindObjectsInit,
    .C_FindObjects = forward_C_FindObjects,
    .C_FindObjectsFinal = forward_C_FindObjectsFinal,
    .C_EncryptInit = forward_C_EncryptInit,
    .C_Encrypt = forward_C_Encrypt,
    .C_EncryptUpdate = forward_C_EncryptUpdate,
    .C_EncryptFinal = forward_C_EncryptFinal,
    .C_DecryptInit = forward_C_DecryptInit,
    .C_Decrypt = forward_C_Decrypt,
    .C_DecryptUpdate = forward_C_DecryptUpdate,
    .C_DecryptFinal = forward_C_DecryptFinal,
    .C_DigestInit = forward_C_DigestInit,
    .C_Digest = forward_C_Digest,
    .C_DigestUpdate = forward_C_DigestUpdate,
    .C_DigestKey = forward_C_DigestKey,
    .C_DigestFinal = forward_C_DigestFinal,
    .C_SignInit = forward_C_SignInit,
    .C_Sign = forward_C_Sign,
    .C_SignUpdate = forward_C_SignUpdate,
    .C_SignFinal = forward_C_SignFinal,
    .C_SignRecoverInit = forward_C_SignRecoverInit,
    .C_SignRecover = forward_C_SignRecover,
    .C_VerifyInit = forward_C_VerifyInit,
    .C_Verify = forward_C_Verify,
    .C_VerifyUpdate = forward_C_VerifyUpdate,
    .C_VerifyFinal = forward_C_VerifyFinal,
    .C_VerifyRecoverInit = forward_C_VerifyRecoverInit,
    .C_VerifyRecover = forward_C_VerifyRecover,
    .C_DigestEncryptUpdate = forward_C_DigestEncryptUpdate,
    .C_DecryptDigestUpdate = forward_C_DecryptDigestUpdate,
    .C_SignEncryptUpdate = forward_C_SignEncryptUpdate,
    .C_DecryptVerifyUpdate = forward_C_DecryptVerifyUpdate,
    .C_GenerateKey = forward_C_GenerateKey,
    .C_GenerateKeyPair = forward_C_GenerateKeyPair,
    .C_WrapKey = forward_C_WrapKey,
    .C_UnwrapKey = forward_C_UnwrapKey,
    .C_DeriveKey = forward_C_DeriveKey,
    .C_SeedRandom = forward_C_SeedRandom,
    .C_GenerateRandom = forward_C_GenerateRandom,
    .C_GetFunctionStatus = forward_C_GetFunctionStatus,
    .C_CancelFunction = forward_C_CancelFunction,
};
