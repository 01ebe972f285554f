/* The attributes of docs/pfx.md, byte for byte, and what is wrong with others. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/pfx_attributes.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static struct scene scene;

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    scene_close(&scene);
    return 0;
}

/* A bag with one attribute of the bytes given. */
static PKCS12_SAFEBAG *bag_with(const char *oid, const void *der, size_t length)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    PKCS12_SAFEBAG *bag = PKCS12_SAFEBAG_create_cert(certificate);
    assert_non_null(bag);
    if (der != NULL)
        assert_true(PKCS12_add1_attr_by_txt(bag, oid, V_ASN1_SEQUENCE, der, (int)length));
    X509_free(certificate);
    EVP_PKEY_free(key);
    return bag;
}

static const unsigned char *attribute_of(const PKCS12_SAFEBAG *bag, const char *oid, size_t *length)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    const STACK_OF(X509_ATTRIBUTE) *attributes = PKCS12_SAFEBAG_get0_attrs(bag);
    const int index = X509at_get_attr_by_OBJ(attributes, object, -1);
    assert_true(index >= 0);
    const ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(X509at_get_attr(attributes, index), 0);
    ASN1_OBJECT_free(object);
    *length = (size_t)ASN1_STRING_length(value->value.sequence);
    return ASN1_STRING_get0_data(value->value.sequence);
}

/* KeywrightEntry of general/a@2, retired, entry 0001..0f, databases x and y. */
static const unsigned char entry_der[] =
    "\x30\x2e\x02\x01\x01\x0c\x09general/a\x04\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"
    "\x0c\x0d\x0e\x0f\x02\x01\x02\x30\x06\x0c\x01x\x0c\x01y\x81\x01\xff";
/* KeywrightReference of store 7c9e, locator "loc", token "t1". */
static const unsigned char reference_der[] = "\x30\x12\x02\x01\x01\x0c\x04"
                                             "7c9e\x04\x03loc\x80\x02t1";

static void pfx_attributes_add_writes_what_the_document_says(void **state)
{
    char *databases[] = {(char[]){"x"}, (char[]){"y"}};
    struct pfx_item item = {
        .address = (char[]){"general/a"},
        .number = 2,
        .retired = true,
        .databases = databases,
        .database_count = 2,
        .reference = {.store_id = (char[]){"7c9e"}, .token = (char[]){"t1"}, .locator = "loc", .locator_length = 3}};
    size_t length = 0;
    PKCS12_SAFEBAG *bag = bag_with(NULL, NULL, 0);
    (void)state;
    for (unsigned char i = 0; i < 16; i++)
        item.entry.bytes[i] = i;
    assert_ok(&scene, pfx_attributes_add(bag, &item, true, &scene.error));
    const unsigned char *der =
        attribute_of(bag, "1.2.840.113556.1.8000.2554.47546.27695.38508.17775.40940.16747558.10968356.1", &length);
    assert_int_equal(length, sizeof(entry_der) - 1);
    assert_memory_equal(der, entry_der, length);
    der = attribute_of(bag, "1.2.840.113556.1.8000.2554.47546.27695.38508.17775.40940.16747558.10968356.2", &length);
    assert_int_equal(length, sizeof(reference_der) - 1);
    assert_memory_equal(der, reference_der, length);
    PKCS12_SAFEBAG_free(bag);
}

static void pfx_attributes_read_takes_every_field(void **state)
{
    PKCS12_SAFEBAG *bag = bag_with(PFX_OID_ENTRY, entry_der, sizeof(entry_der) - 1);
    struct pfx_item item = {0};
    (void)state;
    assert_true(
        PKCS12_add1_attr_by_txt(bag, PFX_OID_REFERENCE, V_ASN1_SEQUENCE, reference_der, sizeof(reference_der) - 1));
    assert_ok(&scene, pfx_attributes_read(bag, &item, &scene.error));
    assert_string_equal(item.address, "general/a");
    assert_int_equal(item.entry.bytes[15], 15);
    assert_int_equal(item.number, 2);
    assert_false(item.former);
    assert_true(item.retired);
    assert_int_equal(item.database_count, 2);
    assert_string_equal(item.databases[1], "y");
    assert_string_equal(item.reference.store_id, "7c9e");
    assert_string_equal(item.reference.token, "t1");
    assert_int_equal(item.reference.locator_length, 3);
    assert_memory_equal(item.reference.locator, "loc", 3);
    pfx_item_clear(&item);
    PKCS12_SAFEBAG_free(bag);
}

static void pfx_attributes_read_none_leaves_the_item(void **state)
{
    PKCS12_SAFEBAG *bag = bag_with(NULL, NULL, 0);
    struct pfx_item item = {0};
    (void)state;
    assert_ok(&scene, pfx_attributes_read(bag, &item, &scene.error));
    assert_null(item.address);
    assert_null(item.reference.store_id);
    PKCS12_SAFEBAG_free(bag);
}

static void read_changed(size_t at, unsigned char value, kw_status expected, const char *said)
{
    unsigned char der[sizeof(entry_der) - 1];
    struct pfx_item item = {0};
    memcpy(der, entry_der, sizeof(der));
    der[at] = value;
    PKCS12_SAFEBAG *bag = bag_with(PFX_OID_ENTRY, der, sizeof(der));
    assert_status(&scene, expected, pfx_attributes_read(bag, &item, &scene.error));
    assert_message(&scene, said);
    assert_int_equal(ERR_peek_error(), 0);
    pfx_item_clear(&item);
    PKCS12_SAFEBAG_free(bag);
}

static void pfx_attributes_read_malformed_is_corrupt_and_newer_is_said(void **state)
{
    (void)state;
    read_changed(4, 2, KW_UNSUPPORTED, "newer Keywright (attribute version 2, known is 1)");
    read_changed(4, 0, KW_CORRUPT, "no version");
    read_changed(2, 0x0c, KW_CORRUPT, "no version");
    read_changed(7, '\n', KW_CORRUPT, "control characters");
    read_changed(17, 0x0f, KW_CORRUPT, "the fields it should have");
    read_changed(36, 0xff, KW_CORRUPT, "number is out of range");
    read_changed(41, 0xff, KW_CORRUPT, "control characters");
}

static void pfx_attributes_read_twice_is_corrupt(void **state)
{
    PKCS12_SAFEBAG *bag = bag_with(PFX_OID_ENTRY, entry_der, sizeof(entry_der) - 1);
    STACK_OF(X509_ATTRIBUTE) *attributes = (STACK_OF(X509_ATTRIBUTE) *)PKCS12_SAFEBAG_get0_attrs(bag);
    struct pfx_item item = {0};
    (void)state;
    assert_true(sk_X509_ATTRIBUTE_push(attributes, X509_ATTRIBUTE_dup(sk_X509_ATTRIBUTE_value(attributes, 0))) > 0);
    assert_status(&scene, KW_CORRUPT, pfx_attributes_read(bag, &item, &scene.error));
    assert_message(&scene, "twice");
    PKCS12_SAFEBAG_free(bag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pfx_attributes_add_writes_what_the_document_says),
        cmocka_unit_test(pfx_attributes_read_takes_every_field),
        cmocka_unit_test(pfx_attributes_read_none_leaves_the_item),
        cmocka_unit_test(pfx_attributes_read_malformed_is_corrupt_and_newer_is_said),
        cmocka_unit_test(pfx_attributes_read_twice_is_corrupt),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
