#include "token.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* NSS reads a member behind those of the standard. */
struct init_args {
    CK_C_INITIALIZE_ARGS standard;
    void *behind;
};

static bool find(struct token *token, const char *label)
{
    CK_SLOT_ID slots[32];
    CK_ULONG count = sizeof(slots) / sizeof(slots[0]);
    CK_TOKEN_INFO info;
    char padded[sizeof(info.label) + 1];
    snprintf(padded, sizeof(padded), "%-*s", (int)sizeof(info.label), label);
    CK_RV rv = token->functions->C_GetSlotList(CK_TRUE, slots, &count);
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
        if (token->functions->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            memcmp(info.label, padded, sizeof(info.label)) == 0) {
            token->slot = slots[i];
            return true;
        }
    fprintf(stderr, "token: there is no token '%s' (%lu tokens, CKR 0x%lx)\n", label, count, rv);
    return false;
}

bool token_open(struct token *token, const char *library, char *init_args, const char *label)
{
    struct init_args arguments = {
        .standard = {.flags = CKF_OS_LOCKING_OK,
                     .pReserved = init_args != NULL && *init_args != '\0' ? init_args : NULL}};
    CK_RV (*get_function_list)(CK_FUNCTION_LIST **) = NULL;
    void *module = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *symbol = module != NULL ? dlsym(module, "C_GetFunctionList") : NULL;
    if (symbol == NULL) {
        fprintf(stderr, "token: %s\n", dlerror());
        return false;
    }
    memcpy(&get_function_list, &symbol, sizeof(get_function_list));
    *token = (struct token){0};
    CK_RV rv = get_function_list(&token->functions);
    if (rv == CKR_OK)
        rv = token->functions->C_Initialize(&arguments);
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        fprintf(stderr, "token: C_Initialize of %s: CKR 0x%lx\n", library, rv);
        return false;
    }
    return find(token, label);
}

CK_RV token_login(struct token *token, const char *pin)
{
    CK_BYTE bytes[64];
    const size_t length = strlen(pin);
    if (length > sizeof(bytes))
        return CKR_PIN_LEN_RANGE;
    memcpy(bytes, pin, length);
    CK_RV rv =
        token->functions->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &token->session);
    if (rv == CKR_OK)
        rv = token->functions->C_Login(token->session, CKU_USER, bytes, length);
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static CK_RV search(struct token *token, CK_ATTRIBUTE *wanted, CK_ULONG wanted_count, CK_OBJECT_HANDLE *first,
                    long *count)
{
    CK_OBJECT_HANDLE found[64];
    CK_ULONG got = 0;
    CK_RV rv = token->functions->C_FindObjectsInit(token->session, wanted, wanted_count);
    if (rv != CKR_OK)
        return rv;
    *count = 0;
    do {
        rv = token->functions->C_FindObjects(token->session, found, sizeof(found) / sizeof(found[0]), &got);
        if (rv == CKR_OK && *count == 0 && got > 0)
            *first = found[0];
        *count += rv == CKR_OK ? (long)got : 0;
    } while (rv == CKR_OK && got > 0);
    const CK_RV end = token->functions->C_FindObjectsFinal(token->session);
    return rv != CKR_OK ? rv : end;
}

long token_count(struct token *token, CK_OBJECT_CLASS class)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {{CKA_TOKEN, &yes, sizeof(yes)}, {CKA_CLASS, &class, sizeof(class)}};
    CK_OBJECT_HANDLE first = CK_INVALID_HANDLE;
    long count = -1;
    const CK_ULONG attributes = class == CK_UNAVAILABLE_INFORMATION ? 1 : 2;
    return search(token, wanted, attributes, &first, &count) == CKR_OK ? count : -1;
}

CK_RV token_find_key(struct token *token, const unsigned char *id, size_t length, CK_OBJECT_HANDLE *key)
{
    CK_BYTE bytes[64];
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    long count = 0;
    if (length > sizeof(bytes))
        return CKR_ARGUMENTS_BAD;
    memcpy(bytes, id, length);
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_ID, bytes, length}};
    const CK_RV rv = search(token, wanted, 2, key, &count);
    return rv != CKR_OK ? rv : count > 0 ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

CK_RV token_generate(struct token *token, CK_ULONG rsa_bits, const char *label, const unsigned char *id, size_t length)
{
    CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, exponent[] = {1, 0, 1};
    CK_BYTE ids[64], text[64];
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_MECHANISM mechanism = {rsa_bits > 0 ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE public_key = CK_INVALID_HANDLE, private_key = CK_INVALID_HANDLE;
    const size_t label_length = strlen(label);
    if (length > sizeof(ids) || label_length > sizeof(text))
        return CKR_ARGUMENTS_BAD;
    memcpy(ids, id, length);
    memcpy(text, label, label_length);
    CK_ATTRIBUTE ec[] = {{CKA_TOKEN, &yes, sizeof(yes)},
                         {CKA_VERIFY, &yes, sizeof(yes)},
                         {CKA_ID, ids, length},
                         {CKA_LABEL, text, label_length},
                         {CKA_EC_PARAMS, p256, 10}};
    CK_ATTRIBUTE rsa[] = {{CKA_TOKEN, &yes, sizeof(yes)},
                          {CKA_VERIFY, &yes, sizeof(yes)},
                          {CKA_ID, ids, length},
                          {CKA_LABEL, text, label_length},
                          {CKA_MODULUS_BITS, &rsa_bits, sizeof(rsa_bits)},
                          {CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)}};
    CK_ATTRIBUTE closed[] = {{CKA_TOKEN, &yes, sizeof(yes)},     {CKA_PRIVATE, &yes, sizeof(yes)},
                             {CKA_SENSITIVE, &yes, sizeof(yes)}, {CKA_EXTRACTABLE, &no, sizeof(no)},
                             {CKA_SIGN, &yes, sizeof(yes)},      {CKA_ID, ids, length},
                             {CKA_LABEL, text, label_length}};
    return token->functions->C_GenerateKeyPair(token->session, &mechanism, rsa_bits > 0 ? rsa : ec,
                                               rsa_bits > 0 ? 6 : 5, closed, 7, &public_key, &private_key);
}
