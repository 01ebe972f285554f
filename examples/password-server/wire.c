#include "wire.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

bool wire_is_name(const char *text)
{
    const size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@");
    return length > 0 && length <= WIRE_NAME_MAXIMUM && text[length] == '\0';
}

size_t wire_label(const char *word, const char *database, const char *name, char label[WIRE_LABEL_MAXIMUM])
{
    /* No name has a space in it, so no two requests have one label. */
    const int length = snprintf(label, WIRE_LABEL_MAXIMUM, "%s %s %s", word, database, name);
    return length > 0 ? (size_t)length : 0;
}

void wire_encode(const unsigned char *bytes, size_t length, char text[WIRE_BASE64_MAXIMUM])
{
    text[EVP_EncodeBlock((unsigned char *)text, bytes, (int)length)] = '\0';
}

bool wire_decode(const char *text, unsigned char bytes[WIRE_CIPHERTEXT_MAXIMUM], size_t *length)
{
    unsigned char decoded[WIRE_BASE64_MAXIMUM];
    const size_t given = strlen(text);
    if (given == 0 || given % 4 != 0 || given >= WIRE_BASE64_MAXIMUM)
        return false;
    const int made = EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)given);
    /* It counts the padding as zeros. */
    const int padding = text[given - 1] != '=' ? 0 : text[given - 2] != '=' ? 1 : 2;
    if (made <= padding || made - padding > WIRE_CIPHERTEXT_MAXIMUM)
        return false;
    *length = (size_t)(made - padding);
    memcpy(bytes, decoded, *length);
    return true;
}
