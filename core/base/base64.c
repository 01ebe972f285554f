#include "base/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* libcrypto's coding of whole groups, in a buffer of its own. NULL: no memory. */
static unsigned char *encode(kw_input bytes, size_t *length)
{
    unsigned char *text = NULL;
    if (bytes.length > INT_MAX / 2)
        return NULL;
    text = malloc(bytes.length / 3 * 4 + 5);
    if (text != NULL)
        *length = (size_t)EVP_EncodeBlock(text, bytes.data, (int)bytes.length);
    return text;
}

void base64_append(struct buffer *buffer, kw_input bytes)
{
    size_t length = 0;
    unsigned char *text = encode(bytes, &length);
    if (text == NULL)
        buffer->failed = true;
    else
        buffer_append(buffer, text, length);
    free(text);
}

void base64url_append(struct buffer *buffer, kw_input bytes)
{
    size_t length = 0;
    unsigned char *text = encode(bytes, &length);
    if (text == NULL) {
        buffer->failed = true;
        return;
    }
    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    buffer_append(buffer, text, length);
    free(text);
}

static bool is_letter(unsigned char letter)
{
    return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
           letter == '-' || letter == '_';
}

/* The usual alphabet with padding: a multiple of four. */
static kw_status translate(kw_input text, unsigned char *usual, size_t *length, kw_error *error)
{
    for (size_t i = 0; i < text.length; i++) {
        const unsigned char letter = text.data[i];
        if (!is_letter(letter))
            return error_set(error, KW_CORRUPT, "this is no base64url: byte %zu is none of its letters", i + 1);
        usual[i] = letter == '-' ? '+' : letter == '_' ? '/' : letter;
    }
    for (*length = text.length; *length % 4 != 0; ++*length)
        usual[*length] = '=';
    return KW_OK;
}

kw_status base64url_decode(kw_input text, kw_bytes *bytes, kw_error *error)
{
    const size_t padding = (4 - text.length % 4) % 4;
    struct buffer again = {0};
    unsigned char *usual = NULL, *decoded = NULL;
    size_t length = 0;
    kw_status status = KW_OK;
    if (padding == 3 || text.length > INT_MAX / 2)
        return error_set(error, KW_CORRUPT, "this is no base64url: it cannot have %zu letters", text.length);
    usual = malloc(text.length + 4);
    decoded = malloc(text.length + 4);
    if (usual == NULL || decoded == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = translate(text, usual, &length, error);
    if (status != KW_OK)
        goto out;
    const int got = length > 0 ? EVP_DecodeBlock(decoded, usual, (int)length) : 0;
    if (got < (int)padding) {
        status = error_set(error, KW_CORRUPT, "this is no base64url");
        goto out;
    }
    const kw_input result = {decoded, (size_t)got - padding};
    base64url_append(&again, result);
    if (again.failed) {
        status = error_memory(error);
        goto out;
    }
    if (!input_equal(buffer_view(&again), text)) {
        status = error_set(error, KW_CORRUPT, "this is no base64url: there is something behind its last byte");
        goto out;
    }
    decoded[result.length] = '\0';
    *bytes = (kw_bytes){decoded, result.length};
    decoded = NULL;
out:
    buffer_free(&again);
    free(usual);
    free(decoded);
    return status;
}
