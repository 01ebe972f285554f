#include "certificate/name.h"
#include "base/buffer.h"
#include "base/crypto.h"
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4514 section 3, and what else people write; libcrypto knows them in one case only. */
static const struct {
    const char *name;
    int nid;
} attribute_types[] = {
    {"CN", NID_commonName},
    {"L", NID_localityName},
    {"ST", NID_stateOrProvinceName},
    {"S", NID_stateOrProvinceName},
    {"O", NID_organizationName},
    {"OU", NID_organizationalUnitName},
    {"C", NID_countryName},
    {"STREET", NID_streetAddress},
    {"DC", NID_domainComponent},
    {"UID", NID_userId},
    {"E", NID_pkcs9_emailAddress},
    {"emailAddress", NID_pkcs9_emailAddress},
    {"serialNumber", NID_serialNumber},
    {"title", NID_title},
    {"SN", NID_surname},
    {"GN", NID_givenName},
};

static bool same_letters(const char *left, const char *right)
{
    for (; *left != '\0' && *right != '\0'; left++, right++) {
        const unsigned char l = (unsigned char)*left, r = (unsigned char)*right;
        if ((l >= 'A' && l <= 'Z' ? l + 32 : l) != (r >= 'A' && r <= 'Z' ? r + 32 : r))
            return false;
    }
    return *left == *right;
}

static ASN1_OBJECT *type_find(const char *type)
{
    for (size_t i = 0; i < sizeof(attribute_types) / sizeof(attribute_types[0]); i++) {
        if (same_letters(attribute_types[i].name, type))
            return OBJ_nid2obj(attribute_types[i].nid);
    }
    ERR_set_mark();
    ASN1_OBJECT *object = OBJ_txt2obj(type, 0);
    ERR_pop_to_mark();
    return object;
}

/* How many characters the type allows; 0: libcrypto has no limit for it. */
static long type_limit(const ASN1_OBJECT *type)
{
    const ASN1_STRING_TABLE *table = ASN1_STRING_TABLE_get(OBJ_obj2nid(type));
    return table != NULL && table->maxsize > 0 ? table->maxsize : 0;
}

static size_t characters_of(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static kw_status add(X509_NAME *name, const ASN1_OBJECT *type, const char *shown, const char *value, size_t length,
                     bool same_rdn, kw_error *error)
{
    if (length == 0)
        return error_set(error, KW_INVALID_ARGUMENT, "%s has no value", shown);
    if (!text_is_clean(value, length))
        return error_set(error, KW_INVALID_ARGUMENT, "%s is not UTF-8 or holds control characters", shown);
    const size_t characters = characters_of(value, length);
    const long limit = type_limit(type);
    if (limit > 0 && characters > (size_t)limit)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "%s may have %ld characters at most (RFC 5280), and '%.*s' has %zu", shown, limit, (int)length,
                         value, characters);
    if (!X509_NAME_add_entry_by_OBJ(name, type, MBSTRING_UTF8, (const unsigned char *)value, (int)length, -1,
                                    same_rdn ? -1 : 0))
        return crypto_error(error, KW_INVALID_ARGUMENT, "%s cannot be '%.*s'", shown, (int)length, value);
    return KW_OK;
}

kw_status name_add(X509_NAME *name, const char *type, const char *value, kw_error *error)
{
    ASN1_OBJECT *object = type_find(type);
    if (object == NULL)
        return error_set(error, KW_INVALID_ARGUMENT, "there is no attribute type '%s'", type);
    kw_status status = add(name, object, type, value, strlen(value), false, error);
    ASN1_OBJECT_free(object);
    return status;
}

/* ---- Parsing --------------------------------------------------------------------------------------- */

/* One attribute as it was written. `joined`: a '+' stands before it, so it shares the RDN of the one before. */
struct attribute {
    char *type;
    struct buffer value;
    bool joined;
};

static void attributes_free(struct attribute *attributes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(attributes[i].type);
        buffer_free(&attributes[i].value);
    }
    free(attributes);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static kw_status parse_type(const char **at, struct attribute *attribute, kw_error *error)
{
    const char *begin = *at + strspn(*at, " ");
    const char *end = begin + strcspn(begin, "=,+");
    if (*end != '=' || end == begin)
        return error_set(error, KW_INVALID_ARGUMENT, "'%s' does not begin with an attribute such as CN=name", begin);
    *at = end + 1;
    while (end > begin && end[-1] == ' ')
        end--;
    attribute->type = text_format("%.*s", (int)(end - begin), begin);
    return attribute->type == NULL ? error_memory(error) : KW_OK;
}

/* Up to an unescaped ',' or '+'. Spaces around the value do not belong to it unless they are escaped. */
static kw_status parse_value(const char **at, struct attribute *attribute, kw_error *error)
{
    const char *text = *at + strspn(*at, " ");
    size_t kept = 0; /* the length up to the last character that is no bare space */
    if (*text == '#')
        return error_set(error, KW_INVALID_ARGUMENT, "the value of %s is written in hex, which is not supported",
                         attribute->type);
    for (; *text != '\0' && *text != ',' && *text != '+'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (strchr("\"<>;", *text) != NULL)
            return error_set(error, KW_INVALID_ARGUMENT,
                             "'%c' in the value of %s needs a backslash before it (RFC 4514)", *text, attribute->type);
        if (*text == '\\') {
            const int high = hex_digit(text[1]), low = high >= 0 ? hex_digit(text[2]) : -1;
            if (low >= 0) {
                byte = (unsigned char)(high * 16 + low);
                text += 2;
            } else if (text[1] != '\0' && strchr(" \"#+,;<=>\\", text[1]) != NULL) {
                byte = (unsigned char)*++text;
            } else {
                return error_set(error, KW_INVALID_ARGUMENT,
                                 "the value of %s has a backslash that escapes nothing (RFC 4514)", attribute->type);
            }
            buffer_append_u8(&attribute->value, byte);
            kept = attribute->value.length;
            continue;
        }
        buffer_append_u8(&attribute->value, byte);
        if (byte != ' ')
            kept = attribute->value.length;
    }
    if (attribute->value.failed)
        return error_memory(error);
    attribute->value.length = kept;
    *at = text;
    return KW_OK;
}

static kw_status parse_attributes(const char *text, struct attribute **attributes, size_t *count, kw_error *error)
{
    const size_t most = strlen(text) / 2 + 1; /* each has at least a type of one character and '=' */
    struct attribute *made = calloc(most, sizeof(*made));
    size_t parsed = 0;
    kw_status status = made == NULL ? error_memory(error) : KW_OK;
    for (char before = ','; status == KW_OK; text++) {
        struct attribute *attribute = &made[parsed++];
        attribute->joined = before == '+';
        status = parse_type(&text, attribute, error);
        if (status == KW_OK)
            status = parse_value(&text, attribute, error);
        before = *text;
        if (before == '\0')
            break;
    }
    if (status != KW_OK) {
        attributes_free(made, parsed);
        return status;
    }
    *attributes = made;
    *count = parsed;
    return KW_OK;
}

kw_status name_parse(const char *text, X509_NAME **name, kw_error *error)
{
    struct attribute *attributes = NULL;
    size_t count = 0;
    X509_NAME *made = X509_NAME_new();
    kw_status status = made == NULL ? error_memory(error) : parse_attributes(text, &attributes, &count, error);
    if (status != KW_OK)
        goto out;

    for (size_t end = count; end > 0;) {
        size_t begin = end - 1;
        while (attributes[begin].joined)
            begin--;
        for (size_t i = begin; i < end; i++) {
            ASN1_OBJECT *type = type_find(attributes[i].type);
            if (type == NULL) {
                status = error_set(error, KW_INVALID_ARGUMENT, "there is no attribute type '%s'", attributes[i].type);
                goto out;
            }
            status = add(made, type, attributes[i].type, (const char *)attributes[i].value.data,
                         attributes[i].value.length, i > begin, error);
            ASN1_OBJECT_free(type);
            if (status != KW_OK)
                goto out;
        }
        end = begin;
    }
    *name = made;
    made = NULL;
out:
    attributes_free(attributes, count);
    X509_NAME_free(made);
    return status;
}

/* ---- Printing -------------------------------------------------------------------------------------- */

static char *print(const X509_NAME *name, unsigned long flags)
{
    BIO *out = crypto_bio_new();
    char *data = NULL, *text = NULL;
    if (out != NULL && X509_NAME_print_ex(out, name, 0, flags) >= 0) {
        const long length = BIO_get_mem_data(out, &data);
        if (length == 0 || text_is_clean(data, (size_t)length))
            text = text_format("%.*s", (int)length, length > 0 ? data : "");
    }
    crypto_bio_free(out);
    return text;
}

char *name_text(const X509_NAME *name)
{
    ERR_set_mark();
    char *text = print(name, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
    /* A value that is not well-formed, or with control characters beyond ASCII, is shown in escapes. */
    if (text == NULL)
        text = print(name, XN_FLAG_RFC2253);
    ERR_pop_to_mark();
    return text;
}
