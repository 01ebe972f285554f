/* Locators: "rsa:id=00ff", "ec:label=old%20key". In words, because people type those of keys that other programs made. */
#include "key.h"

#include <stdio.h>
#include <string.h>

static const struct {
    CK_KEY_TYPE type;
    const char *name;
} types[] = {{CKK_RSA, "rsa"}, {CKK_EC, "ec"}, {CKK_EC_EDWARDS, "ed25519"}};
#define TYPES (sizeof(types) / sizeof(types[0]))

static const char digits[] = "0123456789abcdef";

static bool is_plain(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '_' || byte == '.';
}

size_t p11_locator_write(const struct p11_locator *locator, char text[P11_LOCATOR_MAXIMUM])
{
    const char *type = "?";
    bool by_id = locator->id_length > 0;
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == locator->type)
            type = types[i].name;
    int head = snprintf(text, P11_LOCATOR_MAXIMUM, "%s:%s=", type, by_id ? "id" : "label");
    size_t at = head > 0 ? (size_t)head : 0;
    for (size_t i = 0; i < locator->id_length; i++) {
        text[at++] = digits[locator->id[i] >> 4];
        text[at++] = digits[locator->id[i] & 15];
    }
    for (size_t i = 0; !by_id && i < locator->label_length; i++) {
        if (is_plain(locator->label[i])) {
            text[at++] = (char)locator->label[i];
            continue;
        }
        text[at++] = '%';
        text[at++] = digits[locator->label[i] >> 4];
        text[at++] = digits[locator->label[i] & 15];
    }
    text[at] = '\0';
    return at;
}

static int hex_value(unsigned char digit)
{
    const char *found = digit != '\0' ? strchr(digits, digit) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

static bool read_byte(kw_input text, size_t at, unsigned char *byte)
{
    if (at + 2 > text.length)
        return false;
    int high = hex_value(text.data[at]), low = hex_value(text.data[at + 1]);
    if (high < 0 || low < 0)
        return false;
    *byte = (unsigned char)(high << 4 | low);
    return true;
}

static bool read_id(kw_input text, struct p11_locator *locator)
{
    if (text.length == 0 || text.length % 2 != 0 || text.length > 2 * P11_ID_MAXIMUM)
        return false;
    for (size_t at = 0; at < text.length; at += 2)
        if (!read_byte(text, at, &locator->id[locator->id_length++]))
            return false;
    return true;
}

static bool read_label(kw_input text, struct p11_locator *locator)
{
    if (text.length == 0)
        return false;
    for (size_t at = 0; at < text.length;) {
        if (locator->label_length == P11_LABEL_MAXIMUM)
            return false;
        unsigned char *byte = &locator->label[locator->label_length++];
        bool escaped = text.data[at] == '%';
        if (escaped ? !read_byte(text, at + 1, byte) || is_plain(*byte) : !is_plain(text.data[at]))
            return false;
        if (!escaped)
            *byte = text.data[at];
        at += escaped ? 3 : 1;
    }
    return true;
}

/* Whether `text` begins with `word`, which is then cut off. */
static bool skip(kw_input *text, const char *word)
{
    size_t length = strlen(word);
    if (text->length < length || memcmp(text->data, word, length) != 0)
        return false;
    text->data += length;
    text->length -= length;
    return true;
}

bool p11_locator_read(kw_input text, struct p11_locator *locator)
{
    struct p11_locator read = {.type = CK_UNAVAILABLE_INFORMATION};
    bool well_formed = false;
    if (text.data == NULL || text.length >= P11_LOCATOR_MAXIMUM)
        return false;
    for (size_t i = 0; i < TYPES && read.type == CK_UNAVAILABLE_INFORMATION; i++)
        if (skip(&text, types[i].name))
            read.type = types[i].type;
    if (read.type == CK_UNAVAILABLE_INFORMATION)
        return false;
    if (skip(&text, ":id="))
        well_formed = read_id(text, &read);
    else if (skip(&text, ":label="))
        well_formed = read_label(text, &read);
    if (well_formed)
        *locator = read;
    return well_formed;
}

kw_status p11_locator_put(const struct p11_locator *locator, kw_output *output)
{
    char text[P11_LOCATOR_MAXIMUM];
    size_t length = p11_locator_write(locator, text);
    if (!p11_fits(output, length))
        return KW_BUFFER_TOO_SMALL;
    memcpy(output->data, text, length);
    return KW_OK;
}
