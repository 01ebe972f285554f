#include "certificate/pfx_attributes.h"
#include "base/buffer.h"
#include "catalogue/address.h"
#include <limits.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1

typedef struct ENTRY_ATTRIBUTE {
    ASN1_INTEGER *version;
    ASN1_UTF8STRING *address;
    ASN1_OCTET_STRING *entry;
    ASN1_INTEGER *number;
    STACK_OF(ASN1_UTF8STRING) *databases;
    ASN1_BOOLEAN former;
    ASN1_BOOLEAN retired;
} ENTRY_ATTRIBUTE;
ASN1_SEQUENCE(ENTRY_ATTRIBUTE) = {
    ASN1_SIMPLE(ENTRY_ATTRIBUTE, version, ASN1_INTEGER),
    ASN1_SIMPLE(ENTRY_ATTRIBUTE, address, ASN1_UTF8STRING),
    ASN1_SIMPLE(ENTRY_ATTRIBUTE, entry, ASN1_OCTET_STRING),
    ASN1_SIMPLE(ENTRY_ATTRIBUTE, number, ASN1_INTEGER),
    ASN1_SEQUENCE_OF(ENTRY_ATTRIBUTE, databases, ASN1_UTF8STRING),
    ASN1_IMP_OPT(ENTRY_ATTRIBUTE, former, ASN1_FBOOLEAN, 0),
    ASN1_IMP_OPT(ENTRY_ATTRIBUTE, retired, ASN1_FBOOLEAN, 1),
} static_ASN1_SEQUENCE_END(ENTRY_ATTRIBUTE)

typedef struct REFERENCE_ATTRIBUTE {
    ASN1_INTEGER *version;
    ASN1_UTF8STRING *store;
    ASN1_OCTET_STRING *locator;
    ASN1_UTF8STRING *token;
} REFERENCE_ATTRIBUTE;
ASN1_SEQUENCE(REFERENCE_ATTRIBUTE) = {
    ASN1_SIMPLE(REFERENCE_ATTRIBUTE, version, ASN1_INTEGER),
    ASN1_SIMPLE(REFERENCE_ATTRIBUTE, store, ASN1_UTF8STRING),
    ASN1_SIMPLE(REFERENCE_ATTRIBUTE, locator, ASN1_OCTET_STRING),
    ASN1_IMP_OPT(REFERENCE_ATTRIBUTE, token, ASN1_UTF8STRING, 0),
} static_ASN1_SEQUENCE_END(REFERENCE_ATTRIBUTE)

typedef struct ROOTS_ATTRIBUTE {
    ASN1_INTEGER *version;
    ASN1_OCTET_STRING *records;
} ROOTS_ATTRIBUTE;
ASN1_SEQUENCE(ROOTS_ATTRIBUTE) = {
    ASN1_SIMPLE(ROOTS_ATTRIBUTE, version, ASN1_INTEGER),
    ASN1_SIMPLE(ROOTS_ATTRIBUTE, records, ASN1_OCTET_STRING),
} static_ASN1_SEQUENCE_END(ROOTS_ATTRIBUTE)

/* ---- Writing ---------------------------------------------------------------------------------------------- */

static kw_status add_attribute(PKCS12_SAFEBAG *bag, const char *oid, const void *value, const ASN1_ITEM *form,
                               kw_error *error)
{
    unsigned char *der = NULL;
    const int length = ASN1_item_i2d(value, &der, form);
    kw_status status = KW_OK;
    if (length <= 0 || !PKCS12_add1_attr_by_txt(bag, oid, V_ASN1_SEQUENCE, der, length))
        status = crypto_error(error, KW_FAILED, "an attribute cannot be added to the PKCS#12 file");
    OPENSSL_free(der);
    return status;
}

static kw_status add_databases(ENTRY_ATTRIBUTE *attribute, const struct pfx_item *item, kw_error *error)
{
    for (size_t i = 0; i < item->database_count; i++) {
        ASN1_UTF8STRING *name = ASN1_UTF8STRING_new();
        if (name == NULL || !ASN1_STRING_set(name, item->databases[i], -1) ||
            sk_ASN1_UTF8STRING_push(attribute->databases, name) <= 0) {
            ASN1_UTF8STRING_free(name);
            return error_memory(error);
        }
    }
    return KW_OK;
}

static kw_status add_entry(PKCS12_SAFEBAG *bag, const struct pfx_item *item, kw_error *error)
{
    ENTRY_ATTRIBUTE *attribute = (ENTRY_ATTRIBUTE *)ASN1_item_new(ASN1_ITEM_rptr(ENTRY_ATTRIBUTE));
    kw_status status = KW_OK;
    if (attribute == NULL || !ASN1_INTEGER_set(attribute->version, VERSION) ||
        !ASN1_STRING_set(attribute->address, item->address, -1) ||
        !ASN1_OCTET_STRING_set(attribute->entry, item->entry.bytes, sizeof(item->entry.bytes)) ||
        !ASN1_INTEGER_set_uint64(attribute->number, item->number)) {
        status = error_memory(error);
        goto out;
    }
    attribute->former = item->former ? 0xff : 0;
    attribute->retired = item->retired ? 0xff : 0;
    status = add_databases(attribute, item, error);
    if (status == KW_OK)
        status = add_attribute(bag, PFX_OID_ENTRY, attribute, ASN1_ITEM_rptr(ENTRY_ATTRIBUTE), error);
out:
    ASN1_item_free((ASN1_VALUE *)attribute, ASN1_ITEM_rptr(ENTRY_ATTRIBUTE));
    return status;
}

static kw_status add_reference(PKCS12_SAFEBAG *bag, const struct pfx_item *item, kw_error *error)
{
    REFERENCE_ATTRIBUTE *attribute = (REFERENCE_ATTRIBUTE *)ASN1_item_new(ASN1_ITEM_rptr(REFERENCE_ATTRIBUTE));
    kw_status status = KW_OK;
    if (attribute == NULL || !ASN1_INTEGER_set(attribute->version, VERSION) ||
        !ASN1_STRING_set(attribute->store, item->reference.store_id, -1) ||
        !ASN1_OCTET_STRING_set(attribute->locator, item->reference.locator, (int)item->reference.locator_length)) {
        status = error_memory(error);
        goto out;
    }
    if (item->reference.token != NULL) {
        attribute->token = ASN1_UTF8STRING_new();
        if (attribute->token == NULL || !ASN1_STRING_set(attribute->token, item->reference.token, -1)) {
            status = error_memory(error);
            goto out;
        }
    }
    status = add_attribute(bag, PFX_OID_REFERENCE, attribute, ASN1_ITEM_rptr(REFERENCE_ATTRIBUTE), error);
out:
    ASN1_item_free((ASN1_VALUE *)attribute, ASN1_ITEM_rptr(REFERENCE_ATTRIBUTE));
    return status;
}

static kw_status add_roots(PKCS12_SAFEBAG *bag, const struct pfx_item *item, kw_error *error)
{
    ROOTS_ATTRIBUTE *attribute = (ROOTS_ATTRIBUTE *)ASN1_item_new(ASN1_ITEM_rptr(ROOTS_ATTRIBUTE));
    kw_status status = KW_OK;
    if (attribute == NULL || item->roots.length > INT_MAX || !ASN1_INTEGER_set(attribute->version, VERSION) ||
        !ASN1_OCTET_STRING_set(attribute->records, item->roots.data, (int)item->roots.length))
        status = error_memory(error);
    else
        status = add_attribute(bag, PFX_OID_ROOTS, attribute, ASN1_ITEM_rptr(ROOTS_ATTRIBUTE), error);
    ASN1_item_free((ASN1_VALUE *)attribute, ASN1_ITEM_rptr(ROOTS_ATTRIBUTE));
    return status;
}

kw_status pfx_attributes_add(PKCS12_SAFEBAG *bag, const struct pfx_item *item, bool reference, kw_error *error)
{
    kw_status status = item->address != NULL ? add_entry(bag, item, error) : KW_OK;
    if (status == KW_OK && reference)
        status = add_reference(bag, item, error);
    if (status == KW_OK && item->roots.length > 0 && PKCS12_SAFEBAG_get_nid(bag) == NID_certBag)
        status = add_roots(bag, item, error);
    return status;
}

/* ---- Reading ---------------------------------------------------------------------------------------------- */

static kw_status malformed(const char *what, kw_error *error)
{
    ERR_clear_error();
    return error_set(error, KW_CORRUPT, "the file's Keywright attribute is malformed: %s", what);
}

/* The one value of the attribute, or NULL when the bag has none. */
static kw_status find_attribute(const PKCS12_SAFEBAG *bag, const char *oid, const ASN1_STRING **value, kw_error *error)
{
    const STACK_OF(X509_ATTRIBUTE) *attributes = PKCS12_SAFEBAG_get0_attrs(bag);
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    if (object == NULL)
        return error_memory(error);
    const int index = attributes != NULL ? X509at_get_attr_by_OBJ(attributes, object, -1) : -1;
    const bool twice = index >= 0 && X509at_get_attr_by_OBJ(attributes, object, index) >= 0;
    ASN1_OBJECT_free(object);
    *value = NULL;
    if (index < 0)
        return KW_OK;
    X509_ATTRIBUTE *attribute = X509at_get_attr(attributes, index);
    if (twice || X509_ATTRIBUTE_count(attribute) != 1)
        return malformed("it occurs twice", error);
    const ASN1_TYPE *only = X509_ATTRIBUTE_get0_type(attribute, 0);
    if (only == NULL || ASN1_TYPE_get(only) != V_ASN1_SEQUENCE)
        return malformed("it is no sequence", error);
    *value = only->value.sequence;
    return KW_OK;
}

/* The version comes first, so that of a newer attribute is found although the rest is not understood. */
static kw_status check_version(const ASN1_STRING *value, kw_error *error)
{
    const unsigned char *at = ASN1_STRING_get0_data(value);
    const unsigned char *end = at + ASN1_STRING_length(value);
    long length = 0;
    int tag = 0, class = 0;
    uint64_t version = 0;
    ERR_set_mark();
    ASN1_INTEGER *number = (ASN1_get_object(&at, &length, &tag, &class, end - at) & 0x80) == 0
                               ? d2i_ASN1_INTEGER(NULL, &at, end - at)
                               : NULL;
    const bool read = number != NULL && ASN1_INTEGER_get_uint64(&version, number) == 1;
    ASN1_INTEGER_free(number);
    ERR_pop_to_mark();
    if (!read || version == 0)
        return malformed("it has no version", error);
    if (version > VERSION)
        return error_set(error, KW_UNSUPPORTED,
                         "the file was written by a newer Keywright (attribute version %llu, known is %d)",
                         (unsigned long long)version, VERSION);
    return KW_OK;
}

/* NULL in `attribute`: the bag has none. */
static kw_status read_attribute(const PKCS12_SAFEBAG *bag, const char *oid, const ASN1_ITEM *form, void **attribute,
                                kw_error *error)
{
    const ASN1_STRING *value = NULL;
    *attribute = NULL;
    kw_status status = find_attribute(bag, oid, &value, error);
    if (status == KW_OK && value != NULL)
        status = check_version(value, error);
    if (status != KW_OK || value == NULL)
        return status;
    const unsigned char *at = ASN1_STRING_get0_data(value);
    const unsigned char *end = at + ASN1_STRING_length(value);
    *attribute = ASN1_item_d2i(NULL, &at, end - at, form);
    if (*attribute == NULL || at != end) {
        ASN1_item_free(*attribute, form);
        *attribute = NULL;
        return malformed("it does not have the fields it should have", error);
    }
    return KW_OK;
}

static kw_status take_text(const ASN1_UTF8STRING *value, char **text, kw_error *error)
{
    const char *data = (const char *)ASN1_STRING_get0_data(value);
    const int length = ASN1_STRING_length(value);
    if (length == 0 || !text_is_clean(data, (size_t)length))
        return malformed("a text in it is empty, not UTF-8, or has control characters", error);
    *text = text_format("%.*s", length, data);
    return *text == NULL ? error_memory(error) : KW_OK;
}

static kw_status take_entry(const ENTRY_ATTRIBUTE *attribute, struct pfx_item *item, kw_error *error)
{
    uint64_t number = 0;
    const int databases = sk_ASN1_UTF8STRING_num(attribute->databases);
    if (ASN1_STRING_length(attribute->entry) != (int)sizeof(item->entry.bytes))
        return malformed("the entry's id is not 16 bytes long", error);
    if (ASN1_INTEGER_get_uint64(&number, attribute->number) != 1 || number > CERTIFICATE_NUMBER_MAXIMUM)
        return malformed("the certificate's number is out of range", error);
    memcpy(item->entry.bytes, ASN1_STRING_get0_data(attribute->entry), sizeof(item->entry.bytes));
    item->number = (unsigned)number;
    item->former = attribute->former != 0;
    item->retired = attribute->retired != 0;
    kw_status status = take_text(attribute->address, &item->address, error);
    if (status != KW_OK)
        return status;
    item->databases = calloc((size_t)databases + 1, sizeof(*item->databases));
    if (item->databases == NULL)
        return error_memory(error);
    for (int i = 0; i < databases; i++) {
        status = take_text(sk_ASN1_UTF8STRING_value(attribute->databases, i), &item->databases[i], error);
        if (status != KW_OK)
            return status;
        item->database_count++;
    }
    return KW_OK;
}

static kw_status take_reference(const REFERENCE_ATTRIBUTE *attribute, struct pfx_item *item, kw_error *error)
{
    const size_t length = (size_t)ASN1_STRING_length(attribute->locator);
    if (length == 0 || length > sizeof(item->reference.locator))
        return malformed("the locator's length is out of range", error);
    memcpy(item->reference.locator, ASN1_STRING_get0_data(attribute->locator), length);
    item->reference.locator_length = length;
    kw_status status = take_text(attribute->store, &item->reference.store_id, error);
    if (status == KW_OK && attribute->token != NULL)
        status = take_text(attribute->token, &item->reference.token, error);
    return status;
}

/* What they are is the floor below's to read. */
static kw_status take_roots(const ROOTS_ATTRIBUTE *attribute, struct pfx_item *item, kw_error *error)
{
    struct buffer copy = {0};
    const int length = ASN1_STRING_length(attribute->records);
    if (length <= 0)
        return malformed("the root secrets are empty", error);
    buffer_append(&copy, ASN1_STRING_get0_data(attribute->records), (size_t)length);
    return buffer_take(&copy, &item->roots) == KW_OK ? KW_OK : error_memory(error);
}

kw_status pfx_attributes_read(const PKCS12_SAFEBAG *bag, struct pfx_item *item, kw_error *error)
{
    void *entry = NULL, *reference = NULL, *roots = NULL;
    kw_status status = read_attribute(bag, PFX_OID_ENTRY, ASN1_ITEM_rptr(ENTRY_ATTRIBUTE), &entry, error);
    if (status == KW_OK && entry != NULL)
        status = take_entry(entry, item, error);
    if (status == KW_OK)
        status = read_attribute(bag, PFX_OID_REFERENCE, ASN1_ITEM_rptr(REFERENCE_ATTRIBUTE), &reference, error);
    if (status == KW_OK && reference != NULL)
        status = take_reference(reference, item, error);
    if (status == KW_OK)
        status = read_attribute(bag, PFX_OID_ROOTS, ASN1_ITEM_rptr(ROOTS_ATTRIBUTE), &roots, error);
    if (status == KW_OK && roots != NULL)
        status = take_roots(roots, item, error);
    ASN1_item_free(roots, ASN1_ITEM_rptr(ROOTS_ATTRIBUTE));
    ASN1_item_free(entry, ASN1_ITEM_rptr(ENTRY_ATTRIBUTE));
    ASN1_item_free(reference, ASN1_ITEM_rptr(REFERENCE_ATTRIBUTE));
    return status;
}
