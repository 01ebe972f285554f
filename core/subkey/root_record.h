/* What a row of the table `root` holds, as bytes: the wraps, what is signed, what is wrapped. docs/crypto.md has it, field by field. */
#ifndef KEYWRIGHT_SUBKEY_ROOT_RECORD_H
#define KEYWRIGHT_SUBKEY_ROOT_RECORD_H

#include "base/buffer.h"
#include "base/secret.h"
#include "catalogue/catalogue.h"
#include "subkey/derive.h"

#define ROOT_WRAPS_COUNT 8u

enum root_recipient { ROOT_TO_MASTER = 1, ROOT_TO_RECOVERY = 2 };

/* The root, encrypted to one public key. */
struct root_wrap {
    enum root_recipient recipient;
    unsigned char spki[SHA256_LENGTH]; /* of its SubjectPublicKeyInfo, as in its certificate */
    kw_input algorithm;                /* a name of root_wrap.h's, or of a newer version's */
    kw_input ciphertext;
};
struct root_wraps {
    struct root_wrap wraps[ROOT_WRAPS_COUNT];
    size_t count;
};
/* Appends; the buffer tells by itself when memory ran out. */
void root_wraps_write(const struct root_wraps *wraps, struct buffer *to);
/* Borrows from `from`; false when it is not what root_wraps_write writes. */
KW_MUST_USE bool root_wraps_read(kw_input from, struct root_wraps *wraps);

/* What the master key signs of a root: all of the row but for what changes (state, re-seal) and its own names. */
void root_signed_bytes(const struct root_row *row, struct buffer *to);

/* What is wrapped: KEY_ROOT_MAGIC, master id, version, root. */
#define ROOT_CONTENT_LENGTH (16u + KW_KEY_ID_LENGTH + 4u + ROOT_LENGTH)
KW_MUST_USE kw_status root_content_write(const struct id *master, uint32_t version, kw_input root,
                                         struct secret *content, kw_error *error);
/* KW_CORRUPT: it is not of this master key and version. */
KW_MUST_USE kw_status root_content_read(const struct id *master, uint32_t version, kw_input content,
                                        struct secret *root, kw_error *error);

#endif
