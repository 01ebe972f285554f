/* Between the two halves of the shim. */
#ifndef PKCS11_SHIM_H
#define PKCS11_SHIM_H

#include "pkcs11_control.h"

#define ATTRIBUTES_MAXIMUM 64

/* A call under way. `rv` is what has come of it so far: nothing further is done once it is not CKR_OK. */
struct call {
    enum shim_function function;
    enum shim_action action; /* what is left of it to do after the real module's answer */
    CK_RV rv, value;
    bool locked;
    CK_ULONG room; /* what the caller's buffer or list holds */
    CK_ULONG rooms[ATTRIBUTES_MAXIMUM];
};

/* The real module's functions. */
extern const CK_FUNCTION_LIST *shim_real;
/* The shim's own, which call these. */
extern const CK_FUNCTION_LIST shim_functions;

/* Counts, waits, and fails as the control file says. */
void call_begin(struct call *call, enum shim_function function);
CK_RV call_end(struct call *call);
/* What the row for private keys says of C_CreateObject. */
void private_in(struct call *call, const CK_ATTRIBUTE *attributes, CK_ULONG count);

/* Handles: the caller's to the real module's, and back. */
void session_in(struct call *call, CK_SESSION_HANDLE *session);
void object_in(struct call *call, CK_OBJECT_HANDLE *object);
void session_out(const struct call *call, CK_SESSION_HANDLE *session);
void object_out(const struct call *call, CK_OBJECT_HANDLE *object);

/* The room for an output before the call, and its length after it. A buffer that is NULL asks for the length. */
void room_in(struct call *call, const void *buffer, const CK_ULONG *length);
void length_out(const struct call *call, CK_ULONG *length);
void attributes_in(struct call *call, const CK_ATTRIBUTE *attributes, CK_ULONG count);
void attributes_out(const struct call *call, CK_ATTRIBUTE *attributes, CK_ULONG count);

/* What there is without a token. */
void slot_in(struct call *call);
void slots_out(const struct call *call, CK_BBOOL token_present, CK_ULONG *count);
void slot_info_out(const struct call *call, CK_SLOT_INFO *info);

#endif
