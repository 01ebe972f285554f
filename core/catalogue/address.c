#include "catalogue/address.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"

static const char forbidden[] = "/\\@*:'\"`";

/* NULL, or what is wrong with one part. */
static const char *name_problem(const char *name, size_t length)
{
    if (length == 0)
        return "a part of it is empty";
    if (length > ADDRESS_NAME_MAXIMUM)
        return "a part of it is longer than 200 bytes";
    if (!text_is_clean(name, length))
        return "it is not UTF-8, or has control characters";
    for (size_t i = 0; i < length; i++) {
        if (strchr(forbidden, name[i]) != NULL)
            return "a name may not contain any of / \\ @ * : ' \" `";
    }
    if (name[0] == '.' || name[0] == '-' || name[0] == ' ')
        return "a name may not begin with '.', '-' or a space";
    if (name[length - 1] == ' ')
        return "a name may not end with a space";
    return NULL;
}

/* N of @N: a decimal number from 1, without leading zeros. */
static bool parse_number(const char *text, unsigned *number)
{
    uint64_t value = 0;
    if (text[0] < '1' || text[0] > '9')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > UINT_MAX)
            return false;
    }
    *number = (unsigned)value;
    return true;
}

/* NULL, or what is wrong. */
static const char *parse(const char *text, struct address *address)
{
    const char *at = strchr(text, '@');
    size_t length = at == NULL ? strlen(text) : (size_t)(at - text);
    if (at != NULL && !parse_number(at + 1, &address->number))
        return "behind '@' comes a certificate's number, from 1";
    if (length > ADDRESS_TEXT_MAXIMUM)
        return "it is too long";
    memcpy(address->text, text, length);
    for (const char *part = address->text;; part++) {
        size_t part_length = strcspn(part, "/");
        if (address->part_count == ADDRESS_PARTS_MAXIMUM)
            return "it has more than three parts";
        const char *problem = name_problem(part, part_length);
        if (problem != NULL)
            return problem;
        memcpy(address->parts[address->part_count++], part, part_length);
        part += part_length;
        if (*part == '\0')
            return NULL;
    }
}

kw_status address_parse(const char *text, struct address *address, kw_error *error)
{
    struct address parsed = {0};
    const char *problem = parse(text, &parsed);
    if (problem != NULL) {
        error_set(error, KW_INVALID_ARGUMENT, "'%.200s' is not an address: %s", text, problem);
        error_remedy(error, "an address is KIND, KIND/NAME or KIND/NAME/NAME, such as database/sales");
        return KW_INVALID_ARGUMENT;
    }
    *address = parsed;
    return KW_OK;
}

kw_status address_check_name(const char *name, kw_error *error)
{
    const char *problem = name_problem(name, strlen(name));
    if (problem != NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "'%.200s' is not a name: %s", name, problem);
    return KW_OK;
}

char *address_of_uri(const char *uri)
{
    static const char prefix[] = ADDRESS_SCHEME ":";
    if (strncasecmp(uri, prefix, sizeof(prefix) - 1) != 0) /* RFC 3986, 3.1: case does not matter in a scheme */
        return NULL;
    char *address = text_copy(uri + sizeof(prefix) - 1);
    char *to = address;
    for (const char *at = address; address != NULL && *at != '\0'; to++) {
        unsigned char byte = (unsigned char)*at++;
        if (byte == '%') {
            const char digits[] = {at[0], at[0] != '\0' ? at[1] : '\0', '\0'};
            if (strlen(digits) != 2 || !hex_decode(digits, &byte, 1) || byte == 0) {
                free(address);
                return NULL;
            }
            at += 2;
        }
        *to = (char)byte;
    }
    if (to != NULL)
        *to = '\0';
    return address;
}

/* What stands for itself: RFC 3986's unreserved characters, and '/' between the parts. */
static bool stands_for_itself(unsigned char byte)
{
    return byte != '\0' && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/", byte) != NULL;
}

char *address_uri(const struct address *address)
{
    char *uri = NULL;
    struct buffer made = {0};
    buffer_append_text(&made, ADDRESS_SCHEME ":");
    for (const char *at = address->text; *at != '\0'; at++)
        buffer_format(&made, stands_for_itself((unsigned char)*at) ? "%c" : "%%%02X", (unsigned char)*at);
    if (address->number != 0)
        buffer_format(&made, "@%u", address->number);
    buffer_append(&made, "", 1);
    if (!made.failed)
        uri = text_copy((const char *)made.data);
    buffer_free(&made);
    return uri;
}
