/* A token as a plain PKCS#11 program sees it: for tests of the shim, and to judge what a plugin left on a token. */
#ifndef TOKEN_H
#define TOKEN_H

#include <p11-kit/pkcs11.h>

#include <stdbool.h>
#include <stddef.h>

struct token {
    CK_FUNCTION_LIST *functions;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
};

/*
 * Loads the module, initialises it (init_args may be NULL) and finds the token of this label. False, with a word on standard error, when
 * that fails. The module stays loaded.
 */
bool token_open(struct token *token, const char *library, char *init_args, const char *label);
/* A session, logged in; already logged in is good too. */
CK_RV token_login(struct token *token, const char *pin);
/* How many objects of the class the token has (CK_UNAVAILABLE_INFORMATION: of all), or -1. Needs a session. */
long token_count(struct token *token, CK_OBJECT_CLASS class);
/* The first private key with this id. */
CK_RV token_find_key(struct token *token, const unsigned char *id, size_t length, CK_OBJECT_HANDLE *key);
/* A new key on the token: EC P-256, or RSA of so many bits. */
CK_RV token_generate(struct token *token, CK_ULONG rsa_bits, const char *label, const unsigned char *id, size_t length);

#endif
