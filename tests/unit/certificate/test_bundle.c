/* Files of certificates: what openssl writes is read, what is written openssl reads, and what is damaged is refused whole. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/bundle.h"
#include "certificate/x509.h"

#include <string.h>

static struct scene scene;
static X509 *first, *second;

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene);
    EVP_PKEY *key = scene_key(&scene, "ec-p256"), *issuer = scene_key(&scene, "ec-p256");
    second = scene_certificate(&scene, issuer, "issuer", NULL, NULL, true);
    first = scene_certificate(&scene, key, "server", second, issuer, false);
    EVP_PKEY_free(issuer);
    EVP_PKEY_free(key);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    X509_free(first);
    X509_free(second);
    scene_close(&scene);
    return 0;
}

static STACK_OF(X509) *both(void)
{
    STACK_OF(X509) *certificates = sk_X509_new_null();
    assert_true(certificates != NULL && X509_up_ref(first) && X509_up_ref(second));
    assert_true(sk_X509_push(certificates, first) > 0 && sk_X509_push(certificates, second) > 0);
    return certificates;
}

static void expect_both(kw_input content)
{
    STACK_OF(X509) *read = NULL;
    assert_ok(&scene, bundle_read(scene.crypto, content, &read, &scene.error));
    assert_int_equal(sk_X509_num(read), 2);
    assert_int_equal(X509_cmp(sk_X509_value(read, 0), first), 0);
    assert_int_equal(X509_cmp(sk_X509_value(read, 1), second), 0);
    bundle_free(read);
}

static void read_each_form_gives_the_certificates_in_order(void **state)
{
    STACK_OF(X509) *certificates = both();
    kw_bytes pem = {0}, der = {0}, p7b = {0}, file = {0};
    STACK_OF(X509) *read = NULL;
    struct buffer text = {0};
    (void)state;
    assert_ok(&scene, bundle_to_pem(certificates, &pem, &scene.error));
    assert_ok(&scene, bundle_to_pkcs7(certificates, &p7b, &scene.error));
    assert_ok(&scene, x509_to_der(first, &der, &scene.error));
    expect_both((kw_input){pem.data, pem.length});
    expect_both((kw_input){p7b.data, p7b.length});
    scene_write(&scene, "all.pem", (kw_input){pem.data, pem.length});
    scene_write(&scene, "own.p7b", (kw_input){p7b.data, p7b.length});
    scene_says(&scene, "openssl pkcs7 -inform DER -in own.p7b -print_certs -noout", "issuer");
    scene_says(&scene, "certtool --p7-info --inder --infile own.p7b", "Number of certificates: 2");
    scene_do(&scene, "openssl crl2pkcs7 -nocrl -certfile all.pem -out other.p7b");
    file = scene_read(&scene, "other.p7b");
    expect_both((kw_input){file.data, file.length});
    kw_bytes_free(&file);
    /* Text around it, and a key in between, are passed over. */
    scene_do(&scene, "openssl genpkey -algorithm ED25519 -out key.pem");
    file = scene_read(&scene, "key.pem");
    buffer_append_text(&text, "subject: somebody\r\n");
    buffer_append(&text, file.data, file.length);
    buffer_append(&text, pem.data, pem.length);
    expect_both(buffer_view(&text));
    kw_bytes_free(&file);
    assert_ok(&scene, bundle_read(scene.crypto, (kw_input){der.data, der.length}, &read, &scene.error));
    assert_int_equal(sk_X509_num(read), 1);
    bundle_free(read);
    buffer_free(&text);
    kw_bytes_free(&p7b);
    kw_bytes_free(&der);
    kw_bytes_free(&pem);
    bundle_free(certificates);
}

static void refuse(kw_input content)
{
    STACK_OF(X509) *read = NULL;
    assert_status(&scene, KW_CORRUPT, bundle_read(scene.crypto, content, &read, &scene.error));
    assert_null(read);
}

static void read_cut_or_without_certificates_is_corrupt(void **state)
{
    STACK_OF(X509) *certificates = both();
    kw_bytes pem = {0}, der = {0}, p7b = {0}, key = {0};
    struct buffer more = {0};
    (void)state;
    assert_ok(&scene, bundle_to_pem(certificates, &pem, &scene.error));
    assert_ok(&scene, bundle_to_pkcs7(certificates, &p7b, &scene.error));
    assert_ok(&scene, x509_to_der(first, &der, &scene.error));
    for (size_t i = 0; i < der.length; i++)
        refuse((kw_input){der.data, i});
    for (size_t i = 0; i < p7b.length; i++)
        refuse((kw_input){p7b.data, i});
    /* All of the first certificate, and a part of the second: not the half of it. */
    refuse((kw_input){pem.data, pem.length - 40});
    buffer_append(&more, der.data, der.length);
    buffer_append(&more, der.data, der.length);
    refuse(buffer_view(&more));
    refuse(input_text("no certificate"));
    scene_do(&scene, "openssl genpkey -algorithm ED25519 -out key.pem");
    key = scene_read(&scene, "key.pem");
    refuse((kw_input){key.data, key.length});
    assert_message(&scene, "no certificate in it");
    refuse((kw_input){pem.data, BUNDLE_LENGTH_MAXIMUM + 1}); /* not looked at */
    STACK_OF(X509) *read = NULL;
    assert_status(&scene, KW_NOT_FOUND, bundle_read_file(scene.crypto, "/nonexistent/file.pem", &read, &scene.error));
    assert_string_equal(scene.error.where, "/nonexistent/file.pem");
    buffer_free(&more);
    kw_bytes_free(&key);
    kw_bytes_free(&p7b);
    kw_bytes_free(&der);
    kw_bytes_free(&pem);
    bundle_free(certificates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_each_form_gives_the_certificates_in_order),
        cmocka_unit_test(read_cut_or_without_certificates_is_corrupt),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
