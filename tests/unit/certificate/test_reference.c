#include "scene.h"

#include "certificate/reference.h"

#include <stdlib.h>
#include <string.h>

static kw_status decode(struct scene *scene, const void *der, size_t length, char **uri)
{
    return reference_decode((kw_input){der, length}, uri, &scene->error);
}

static void reference_write_is_read_again(void **state)
{
    struct scene scene = {0};
    kw_bytes der = {0}, pem = {0};
    char *uri = NULL;
    (void)state;
    assert_ok(&scene, reference_encode("keywright:general/x@3", &der, &scene.error));
    assert_ok(&scene, decode(&scene, der.data, der.length, &uri));
    assert_string_equal(uri, "keywright:general/x@3");
    free(uri);
    assert_ok(&scene, reference_write("keywright:general/x@3", &pem, &scene.error));
    assert_memory_equal(pem.data, "-----BEGIN KEYWRIGHT KEY REFERENCE-----\n", 40);
    kw_bytes_free(&pem);
    kw_bytes_free(&der);
}

/* The bytes that docs/openssl.md describes. */
static void reference_encode_is_the_documented_structure(void **state)
{
    static const char expected[] = "\x30\x10\x02\x01\x01\x0c\x0bkeywright:x";
    struct scene scene = {0};
    kw_bytes der = {0};
    (void)state;
    assert_ok(&scene, reference_encode("keywright:x", &der, &scene.error));
    assert_int_equal(der.length, sizeof(expected) - 1);
    assert_memory_equal(der.data, expected, der.length);
    kw_bytes_free(&der);
}

static void reference_decode_of_what_is_none_is_refused(void **state)
{
#define ROW(status, der) {status, der, sizeof(der) - 1}
    static const struct {
        kw_status status;
        const char *der;
        size_t length;
    } rows[] = {
        ROW(KW_NOT_FOUND, ""),
        ROW(KW_NOT_FOUND, "\x30"),
        ROW(KW_NOT_FOUND, "\x30\x10\x02\x01\x01\x0c\x0bkeywright"),   /* cut off */
        ROW(KW_NOT_FOUND, "\x30\x10\x02\x01\x01\x04\x0bkeywright:x"), /* as an EC private key begins */
        ROW(KW_NOT_FOUND, "\x30\x0d\x02\x01\x01\x0c\x08pkcs11:x"),    /* somebody else's */
        ROW(KW_NOT_FOUND, "\x30\x05\x02\x01\x01\x0c\x00"),
        ROW(KW_UNSUPPORTED, "\x30\x10\x02\x01\x02\x0c\x0bkeywright:x"), /* a later version */
        ROW(KW_UNSUPPORTED, "\x30\x10\x02\x01\x00\x0c\x0bkeywright:x"),
        ROW(KW_CORRUPT, "\x30\x10\x02\x01\x01\x0c\x0bkeywright:\0"),
        ROW(KW_CORRUPT, "\x30\x10\x02\x01\x01\x0c\x0bkeywright:\n"),
        ROW(KW_CORRUPT, "\x30\x10\x02\x01\x01\x0c\x0bkeywright:\xff"),
        ROW(KW_CORRUPT, "\x30\x10\x02\x01\x01\x0c\x0bkeywright:x\x05"),           /* bytes behind it */
        ROW(KW_NOT_FOUND, "\x30\x13\x02\x01\x01\x0c\x0bkeywright:x\x02\x01\x01"), /* a third field */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct scene scene = {0};
        char *uri = NULL;
        assert_int_equal(decode(&scene, rows[i].der, rows[i].length, &uri), rows[i].status);
        assert_null(uri);
    }
}

static void reference_decode_of_something_long_is_refused(void **state)
{
    static unsigned char der[REFERENCE_MAXIMUM + 1] = {0x30, 0x82, 0x1f, 0xfd, 0x02, 0x01,
                                                       0x01, 0x0c, 0x82, 0x1f, 0xf6};
    struct scene scene = {0};
    char *uri = NULL;
    (void)state;
    memset(der + 11, 'a', sizeof(der) - 11);
    memcpy(der + 11, "keywright:", 10);
    assert_int_equal(decode(&scene, der, sizeof(der), &uri), KW_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_write_is_read_again),
        cmocka_unit_test(reference_encode_is_the_documented_structure),
        cmocka_unit_test(reference_decode_of_what_is_none_is_refused),
        cmocka_unit_test(reference_decode_of_something_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
