/* .p7b as the openssl command writes it, whole and damaged. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/pkcs7.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <string.h>

static struct scene scene;
static X509 *first, *second;
static kw_bytes whole;

static kw_status read(kw_input der, STACK_OF(X509) *into)
{
    const kw_status status = pkcs7_read(scene.crypto, der, into, &scene.error);
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

static void read_gives_the_certificates_in_order(void **state)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    (void)state;
    assert_ok(&scene, read((kw_input){whole.data, whole.length}, all));
    assert_int_equal(sk_X509_num(all), 2);
    assert_int_equal(X509_cmp(sk_X509_value(all, 0), first), 0);
    assert_int_equal(X509_cmp(sk_X509_value(all, 1), second), 0);
    sk_X509_pop_free(all, X509_free);
}

static void read_damaged_is_refused_or_gives_certificates(void **state)
{
    (void)state;
    for (size_t length = 0; length < whole.length; length++) {
        STACK_OF(X509) *all = sk_X509_new_null();
        assert_true(read((kw_input){whole.data, length}, all) != KW_OK);
        sk_X509_pop_free(all, X509_free);
    }
    for (size_t i = 0; i < whole.length; i++) {
        STACK_OF(X509) *all = sk_X509_new_null();
        whole.data[i] ^= 0x55;
        (void)!read((kw_input){whole.data, whole.length}, all);
        whole.data[i] ^= 0x55;
        sk_X509_pop_free(all, X509_free);
    }
}

static void read_what_is_something_else_is_told(void **state)
{
    static const unsigned char data[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                         0xf7, 0x0d, 0x01, 0x07, 0x01, 0xa0, 0x00};
    STACK_OF(X509) *all = sk_X509_new_null();
    kw_bytes der = {0};
    (void)state;
    assert_ok(&scene, x509_to_der(first, &der, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT, read((kw_input){der.data, der.length}, all));
    assert_status(&scene, KW_INVALID_ARGUMENT, read(input_text("text"), all));
    const kw_status status = read((kw_input){data, sizeof(data)}, all); /* type `data` */
    assert_true(status == KW_UNSUPPORTED || status == KW_CORRUPT);
    assert_int_equal(sk_X509_num(all), 0);
    kw_bytes_free(&der);
    sk_X509_pop_free(all, X509_free);
}

static void write_der(const char *name, X509 *certificate)
{
    kw_bytes der = {0};
    assert_ok(&scene, x509_to_der(certificate, &der, &scene.error));
    scene_write(&scene, name, (kw_input){der.data, der.length});
    kw_bytes_free(&der);
}

static int open_all(void **state)
{
    (void)state;
    scene_open(&scene);
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    first = scene_certificate(&scene, key, "first", NULL, NULL, false);
    second = scene_certificate(&scene, key, "second", NULL, NULL, true);
    EVP_PKEY_free(key);
    write_der("first.der", first);
    write_der("second.der", second);
    scene_do(&scene, "openssl x509 -inform DER -in first.der -out first.pem");
    scene_do(&scene, "openssl x509 -inform DER -in second.der -out second.pem");
    scene_do(&scene, "openssl crl2pkcs7 -nocrl -certfile first.pem -certfile second.pem -outform DER -out all.p7b");
    whole = scene_read(&scene, "all.p7b");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    kw_bytes_free(&whole);
    X509_free(first);
    X509_free(second);
    scene_close(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_gives_the_certificates_in_order),
        cmocka_unit_test(read_damaged_is_refused_or_gives_certificates),
        cmocka_unit_test(read_what_is_something_else_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
