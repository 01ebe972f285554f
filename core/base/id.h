/* Identifiers: 16 random bytes, written as 32 hex digits. */
#ifndef KEYWRIGHT_BASE_ID_H
#define KEYWRIGHT_BASE_ID_H

#include "base/crypto.h"

struct id {
    unsigned char bytes[KW_KEY_ID_LENGTH];
};

#define ID_TEXT_SIZE 33

KW_MUST_USE kw_status id_make(struct crypto *crypto, struct id *id, kw_error *error);
void id_text(const struct id *id, char text[ID_TEXT_SIZE]);
KW_MUST_USE bool id_parse(const char *text, struct id *id);
bool id_equal(const struct id *left, const struct id *right);
bool id_is_zero(const struct id *id);

#endif
