#include "base/buffer.h"

#include "base/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MINIMUM = 64 };

/* Room for `length` more bytes and a NUL behind them. */
static bool buffer_reserve(struct buffer *buffer, size_t length)
{
    if (buffer->failed)
        return false;
    if (length >= SIZE_MAX / 2 - buffer->length) {
        buffer->failed = true;
        return false;
    }
    size_t needed = buffer->length + length + 1;
    if (needed <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity < CAPACITY_MINIMUM ? CAPACITY_MINIMUM : buffer->capacity;
    while (capacity < needed)
        capacity *= 2;
    unsigned char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    if (length == 0 || !buffer_reserve(buffer, length))
        return;
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

static void append_big_endian(struct buffer *buffer, uint64_t value, size_t length)
{
    unsigned char bytes[8] = {0};
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(value >> (8 * (length - 1 - i)));
    buffer_append(buffer, bytes, length);
}

void buffer_append_u8(struct buffer *buffer, uint8_t value)
{
    append_big_endian(buffer, value, 1);
}

void buffer_append_u32(struct buffer *buffer, uint32_t value)
{
    append_big_endian(buffer, value, 4);
}

void buffer_append_u64(struct buffer *buffer, uint64_t value)
{
    append_big_endian(buffer, value, 8);
}

void buffer_append_field(struct buffer *buffer, kw_input field)
{
    if (field.length > UINT32_MAX) {
        buffer->failed = true;
        return;
    }
    buffer_append_u32(buffer, (uint32_t)field.length);
    buffer_append(buffer, field.data, field.length);
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
        return;
    }
    if (!buffer_reserve(buffer, (size_t)length))
        return;
    va_start(arguments, format);
    vsnprintf((char *)buffer->data + buffer->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->length += (size_t)length;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

kw_input buffer_view(const struct buffer *buffer)
{
    return (kw_input){buffer->data, buffer->length};
}

kw_status buffer_take(struct buffer *buffer, kw_bytes *bytes)
{
    if (!buffer_reserve(buffer, 0)) {
        buffer_free(buffer);
        return KW_OUT_OF_MEMORY;
    }
    buffer->data[buffer->length] = '\0';
    *bytes = (kw_bytes){buffer->data, buffer->length};
    *buffer = (struct buffer){0};
    return KW_OK;
}

void kw_bytes_free(kw_bytes *bytes)
{
    if (bytes == NULL)
        return;
    if (bytes->data != NULL)
        secret_wipe(bytes->data, bytes->length);
    free(bytes->data);
    *bytes = (kw_bytes){0};
}

static bool input_big_endian(kw_input *input, uint64_t *value, size_t length)
{
    kw_input bytes;
    if (!input_bytes(input, length, &bytes))
        return false;
    *value = 0;
    for (size_t i = 0; i < length; i++)
        *value = *value << 8 | bytes.data[i];
    return true;
}

bool input_u8(kw_input *input, uint8_t *value)
{
    uint64_t wide;
    if (!input_big_endian(input, &wide, 1))
        return false;
    *value = (uint8_t)wide;
    return true;
}

bool input_u32(kw_input *input, uint32_t *value)
{
    uint64_t wide;
    if (!input_big_endian(input, &wide, 4))
        return false;
    *value = (uint32_t)wide;
    return true;
}

bool input_u64(kw_input *input, uint64_t *value)
{
    return input_big_endian(input, value, 8);
}

bool input_bytes(kw_input *input, size_t length, kw_input *bytes)
{
    if (length > input->length)
        return false;
    *bytes = (kw_input){input->data, length};
    if (length > 0)
        input->data += length;
    input->length -= length;
    return true;
}

bool input_field(kw_input *input, kw_input *field)
{
    kw_input rest = *input;
    uint32_t length;
    if (!input_u32(&rest, &length) || !input_bytes(&rest, length, field))
        return false;
    *input = rest;
    return true;
}

kw_input input_text(const char *text)
{
    return (kw_input){(const unsigned char *)text, text == NULL ? 0 : strlen(text)};
}

bool input_equal(kw_input left, kw_input right)
{
    return left.length == right.length && (left.length == 0 || memcmp(left.data, right.data, left.length) == 0);
}

kw_status output_copy(kw_output *output, kw_input from)
{
    output->length = from.length;
    if (output->data == NULL || output->capacity < from.length)
        return KW_BUFFER_TOO_SMALL;
    if (from.length > 0)
        memmove(output->data, from.data, from.length);
    return KW_OK;
}

void hex_encode(kw_input bytes, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.length; i++) {
        text[2 * i] = digits[bytes.data[i] >> 4];
        text[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    text[2 * bytes.length] = '\0';
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, unsigned char *bytes, size_t length)
{
    if (strlen(text) != 2 * length)
        return false;
    for (size_t i = 0; i < 2 * length; i++) {
        if (hex_digit(text[i]) < 0)
            return false;
    }
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return true;
}

char *text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

char *text_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    char *text = malloc((size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

size_t text_character(const char *text, size_t length)
{
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f ? 1 : 0;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size > length)
        return 0;
    uint32_t character = first & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (byte & 0x3fu);
    }
    static const uint32_t smallest[] = {[2] = 0x80, [3] = 0x800, [4] = 0x10000};
    if (character < smallest[size] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff))
        return 0;
    /* C1 controls, and the line and paragraph separators */
    if (character < 0xa0 || character == 0x2028 || character == 0x2029)
        return 0;
    return size;
}

bool text_is_clean(const char *text, size_t length)
{
    for (size_t at = 0, size; at < length; at += size) {
        size = text_character(text + at, length - at);
        if (size == 0)
            return false;
    }
    return true;
}

void text_mask(char *text)
{
    size_t length = strlen(text);
    for (size_t at = 0; at < length;) {
        size_t size = text_character(text + at, length - at);
        if (size == 0) {
            text[at] = '?';
            size = 1;
        }
        at += size;
    }
}
