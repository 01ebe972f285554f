/* Files that Keywright writes, judged by OpenSSL, GnuTLS, NSS and Java, and by pfx_read. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "geheim-1234"

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

static char *copied(const char *text)
{
    char *copy = text_copy(text);
    assert_non_null(copy);
    return copy;
}

static struct pfx_item item_of(const char *kind, const char *address, const char *database)
{
    EVP_PKEY *key = scene_key(&scene, kind);
    struct pfx_item item = {.address = copied(address), .number = 1, .friendly_name = copied(address)};
    item.pkcs8 = scene_pkcs8(key);
    item.certificate = scene_certificate(&scene, key, address, NULL, NULL, false);
    assert_int_equal(id_make(scene.crypto, &item.entry, NULL), KW_OK);
    item.databases = calloc(2, sizeof(*item.databases));
    assert_non_null(item.databases);
    if (database != NULL)
        item.databases[item.database_count++] = copied(database);
    EVP_PKEY_free(key);
    return item;
}

static void write_file(const char *name, const struct pfx_item *items, size_t count)
{
    kw_bytes pfx = {0};
    assert_ok(&scene, pfx_write(scene.crypto, items, count, input_text(PASSWORD), &pfx, &scene.error));
    scene_write(&scene, name, (kw_input){pfx.data, pfx.length});
    kw_bytes_free(&pfx);
}

static void read_back(const char *name, struct pfx_item **items, size_t *count)
{
    kw_bytes pfx = scene_read(&scene, name);
    assert_ok(&scene, pfx_read(scene.crypto, (kw_input){pfx.data, pfx.length}, input_text(PASSWORD), false, items,
                               count, &scene.error));
    kw_bytes_free(&pfx);
}

static void assert_same(const struct pfx_item *left, const struct pfx_item *right)
{
    assert_string_equal(left->address, right->address);
    assert_true(id_equal(&left->entry, &right->entry));
    assert_int_equal(left->number, right->number);
    assert_int_equal(left->former, right->former);
    assert_int_equal(left->retired, right->retired);
    assert_int_equal(left->database_count, right->database_count);
    for (size_t i = 0; i < left->database_count; i++)
        assert_string_equal(left->databases[i], right->databases[i]);
    assert_true(input_equal(secret_view(&left->pkcs8), secret_view(&right->pkcs8)));
    assert_int_equal(X509_cmp(left->certificate, right->certificate), 0);
    assert_true((left->reference.store_id == NULL) == (right->reference.store_id == NULL));
    assert_int_equal(left->reference.locator_length, right->reference.locator_length);
    assert_memory_equal(left->reference.locator, right->reference.locator, sizeof(left->reference.locator));
}

/* What the file says about itself: RFC 7292 with today's algorithms, and our attributes on both bags. */
static void pfx_write_is_read_by_openssl(void **state)
{
    struct pfx_item item = item_of("rsa-2048", "database/sales", "sales");
    const char *info = "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -info -noout";
    (void)state;
    write_file("f.pfx", &item, 1);
    scene_says(&scene, info, "MAC: sha256, Iteration 600000\nMAC length: 32, salt length: 16");
    scene_says(&scene, info, "PKCS7 Encrypted data: PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256");
    scene_says(&scene, info, "Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256");
    scene_says(&scene, "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -nodes", "friendlyName: database/sales");
    scene_says(&scene, "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -nodes",
               "1.2.840.113556.1.8000.2554.47546.27695.38508.17775.40940.16747558.10968356.1: ");
    scene_do(&scene, "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -nocerts -nodes -out k.pem");
    scene_do(&scene, "openssl pkcs8 -topk8 -in k.pem -nocrypt -outform DER -out k.der");
    kw_bytes key = scene_read(&scene, "k.der");
    assert_true(input_equal((kw_input){key.data, key.length}, secret_view(&item.pkcs8)));
    kw_bytes_free(&key);
    assert_int_not_equal(scene_run(&scene, "openssl pkcs12 -in f.pfx -passin pass:falsch -nodes", NULL, NULL), 0);
    pfx_item_clear(&item);
}

/* Keys of every kind, several in one file, chains: each program finds all keys. */
static void pfx_write_is_read_by_gnutls_nss_and_java(void **state)
{
    struct pfx_item items[3] = {item_of("rsa-2048", "database/sales", "sales"),
                                item_of("ec-p256", "password-reset/sales/web", "sales"),
                                item_of("ec-p384", "general/site", NULL)};
    char expected[64];
    kw_bytes output = {0};
    (void)state;
    write_file("f.pfx", items, 3);
    assert_int_equal(
        scene_run(&scene, "certtool --p12-info --inder --infile f.pfx --password " PASSWORD, NULL, &output), 0);
    size_t keys = 0, certificates = 0;
    for (const char *at = (char *)output.data; (at = strstr(at, "BEGIN ENCRYPTED PRIVATE KEY")) != NULL; at++)
        keys++;
    for (const char *at = (char *)output.data; (at = strstr(at, "BEGIN CERTIFICATE")) != NULL; at++)
        certificates++;
    assert_int_equal(certificates, 3);
    assert_int_equal(keys, 3);
    kw_bytes_free(&output);
    scene_do(&scene, "mkdir nss");
    scene_do(&scene, "certutil -N -d sql:nss --empty-password");
    scene_says(&scene, "pk12util -i f.pfx -d sql:nss -W " PASSWORD, "IMPORT SUCCESSFUL");
    for (size_t i = 0; i < 3; i++) {
        snprintf(expected, sizeof(expected), "%s", items[i].address);
        scene_says(&scene, "certutil -L -d sql:nss", expected);
        scene_says(&scene, "certutil -K -d sql:nss", expected);
        snprintf(expected, sizeof(expected), "%s, ", items[i].address);
        scene_says(&scene, "keytool -list -keystore f.pfx -storepass " PASSWORD, expected);
    }
    scene_says(&scene, "keytool -list -keystore f.pfx -storepass " PASSWORD, "contains 3 entries");
    scene_denies(&scene, "keytool -list -keystore f.pfx -storepass " PASSWORD, "trustedCertEntry");
    for (size_t i = 0; i < 3; i++)
        pfx_item_clear(&items[i]);
}

static void pfx_write_everything_comes_back(void **state)
{
    struct pfx_item items[4] = {item_of("rsa-2048", "master-key/corp.example", "sales"),
                                item_of("ec-p256", "general/straße", NULL), item_of("ed25519", "general/site", NULL),
                                item_of("ec-p256", "general/site", NULL)};
    EVP_PKEY *root_key = scene_key(&scene, "ec-p256"), *key = scene_key(&scene, "ec-p256");
    X509 *root = scene_certificate(&scene, root_key, "root", NULL, NULL, true);
    struct pfx_item *read = NULL;
    size_t count = 0;
    (void)state;
    items[0].databases[items[0].database_count++] = copied("hr");
    items[2].former = items[2].retired = true;
    items[3].number = 2;
    items[3].retired = true;
    secret_clear(&items[3].pkcs8);
    X509_free(items[3].certificate);
    items[3].pkcs8 = scene_pkcs8(key);
    items[3].certificate = scene_certificate(&scene, key, "leaf", root, root_key, false);
    items[3].chain = sk_X509_new_null();
    assert_true(sk_X509_push(items[3].chain, root) > 0);
    write_file("f.pfx", items, 4);
    read_back("f.pfx", &read, &count);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_same(&read[i], &items[i]);
        assert_int_equal(read[i].chain != NULL ? sk_X509_num(read[i].chain) : 0, i == 3 ? 1 : 0);
    }
    assert_int_equal(X509_cmp(sk_X509_value(read[3].chain, 0), root), 0);
    assert_string_equal(read[1].friendly_name, "general/straße");
    assert_string_equal(read[2].friendly_name, "general/site@1"); /* another alias than that of the current one */
    assert_string_equal(read[3].friendly_name, "general/site");
    pfx_items_free(read, count);
    for (size_t i = 0; i < 4; i++)
        pfx_item_clear(&items[i]);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
}

/* Two certificates of one key, as after a reply to a request. */
static void pfx_write_two_certificates_of_one_key_stay_apart(void **state)
{
    struct pfx_item items[2] = {item_of("ec-p256", "general/a", NULL), item_of("ec-p256", "general/b", NULL)};
    struct pfx_item *read = NULL;
    size_t count = 0;
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        secret_clear(&items[i].pkcs8);
        X509_free(items[i].certificate);
        items[i].pkcs8 = scene_pkcs8(key);
        items[i].certificate = scene_certificate(&scene, key, items[i].address, NULL, NULL, false);
    }
    write_file("f.pfx", items, 2);
    read_back("f.pfx", &read, &count);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_same(&read[i], &items[i]);
    pfx_items_free(read, count);
    pfx_item_clear(&items[0]);
    pfx_item_clear(&items[1]);
    EVP_PKEY_free(key);
}

/* An authority that issued several of them is in the file once. */
static void pfx_write_common_issuer_is_written_once(void **state)
{
    struct pfx_item items[2] = {item_of("ec-p256", "general/a", NULL), item_of("ec-p256", "general/b", NULL)},
                    *read = NULL;
    EVP_PKEY *root_key = scene_key(&scene, "ec-p256");
    X509 *root = scene_certificate(&scene, root_key, "root", NULL, NULL, true);
    kw_bytes output = {0};
    size_t count = 0, issuers = 0;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = scene_key(&scene, "ec-p256");
        secret_clear(&items[i].pkcs8);
        X509_free(items[i].certificate);
        items[i].pkcs8 = scene_pkcs8(key);
        items[i].certificate = scene_certificate(&scene, key, items[i].address, root, root_key, false);
        items[i].chain = sk_X509_new_null();
        assert_true(X509_up_ref(root) && sk_X509_push(items[i].chain, root) > 0);
        EVP_PKEY_free(key);
    }
    write_file("f.pfx", items, 2);
    assert_int_equal(
        scene_run(&scene, "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -nokeys -cacerts", NULL, &output), 0);
    for (const char *at = (char *)output.data; (at = strstr(at, "BEGIN CERTIFICATE")) != NULL; at++)
        issuers++;
    assert_int_equal(issuers, 1);
    read_back("f.pfx", &read, &count);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(sk_X509_num(read[i].chain), 1);
    pfx_items_free(read, count);
    kw_bytes_free(&output);
    pfx_item_clear(&items[0]);
    pfx_item_clear(&items[1]);
    X509_free(root);
    EVP_PKEY_free(root_key);
}

/* A key that its store does not give out: the certificate with a reference, and no key in the file. */
static void pfx_write_reference_takes_the_key_s_place(void **state)
{
    struct pfx_item items[2] = {item_of("ec-p256", "database/sales", "sales"), item_of("ec-p256", "database/hr", "hr")};
    struct pfx_item *read = NULL;
    size_t count = 0;
    (void)state;
    secret_clear(&items[0].pkcs8);
    items[0].reference.store_id = copied("7c9e6679");
    items[0].reference.token = copied("f81db109620f8937");
    memcpy(items[0].reference.locator, "\x00\x01locator", 9);
    items[0].reference.locator_length = 9;
    write_file("f.pfx", items, 2);
    read_back("f.pfx", &read, &count);
    assert_int_equal(count, 2);
    assert_same(&read[0], &items[1]);
    assert_same(&read[1], &items[0]);
    assert_string_equal(read[1].reference.store_id, "7c9e6679");
    assert_string_equal(read[1].reference.token, "f81db109620f8937");
    pfx_items_free(read, count);
    scene_denies(&scene, "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -nocerts -nodes", "database/sales");
    scene_says(&scene, "keytool -list -keystore f.pfx -storepass " PASSWORD, "database/hr");
    scene_do(&scene, "certtool --p12-info --inder --infile f.pfx --password " PASSWORD);
    scene_do(&scene, "mkdir nss2");
    scene_do(&scene, "certutil -N -d sql:nss2 --empty-password");
    scene_says(&scene, "pk12util -i f.pfx -d sql:nss2 -W " PASSWORD, "IMPORT SUCCESSFUL");
    pfx_item_clear(&items[0]);
    pfx_item_clear(&items[1]);
}

static void pfx_write_utf8_password_opens_elsewhere(void **state)
{
    static const char *const password = "Schlüßel-日本";
    struct pfx_item item = item_of("ec-p256", "database/sales", "sales");
    kw_bytes pfx = {0};
    char command[128];
    (void)state;
    assert_ok(&scene, pfx_write(scene.crypto, &item, 1, input_text(password), &pfx, &scene.error));
    scene_write(&scene, "f.pfx", (kw_input){pfx.data, pfx.length});
    kw_bytes_free(&pfx);
    snprintf(command, sizeof(command), "openssl pkcs12 -in f.pfx -passin pass:%s -nodes", password);
    scene_says(&scene, command, "BEGIN PRIVATE KEY");
    snprintf(command, sizeof(command), "certtool --p12-info --inder --infile f.pfx --password %s", password);
    scene_says(&scene, command, "database/sales");
    pfx_item_clear(&item);
}

static void pfx_write_iterations_fall_with_the_number_of_keys(void **state)
{
    struct pfx_item items[13] = {0};
    (void)state;
    for (size_t i = 0; i < 13; i++)
        items[i] = item_of("ed25519", "database/sales", "sales");
    write_file("f.pfx", items, 13);
    scene_says(&scene, "openssl pkcs12 -in f.pfx -passin pass:" PASSWORD " -info -noout",
               "MAC: sha256, Iteration 100000");
    for (size_t i = 0; i < 13; i++)
        pfx_item_clear(&items[i]);
}

static void pfx_write_unusable_arguments_are_refused(void **state)
{
    struct pfx_item item = item_of("ec-p256", "database/sales", "sales"), empty = {0};
    kw_bytes pfx = {0};
    unsigned char nul[] = {'a', 0, 'b'}, *const data = item.pkcs8.data;
    (void)state;
    assert_status(&scene, KW_INVALID_ARGUMENT, pfx_write(scene.crypto, &item, 1, input_text(""), &pfx, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT,
                  pfx_write(scene.crypto, &item, 1, (kw_input){nul, 3}, &pfx, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT, pfx_write(scene.crypto, &item, 0, input_text("x"), &pfx, &scene.error));
    assert_status(&scene, KW_INVALID_ARGUMENT, pfx_write(scene.crypto, &empty, 1, input_text("x"), &pfx, &scene.error));
    data[0] ^= 1;
    assert_status(&scene, KW_INVALID_ARGUMENT, pfx_write(scene.crypto, &item, 1, input_text("x"), &pfx, &scene.error));
    assert_message(&scene, "PKCS#8");
    assert_null(pfx.data);
    assert_int_equal(ERR_peek_error(), 0);
    pfx_item_clear(&item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pfx_write_is_read_by_openssl),
        cmocka_unit_test(pfx_write_is_read_by_gnutls_nss_and_java),
        cmocka_unit_test(pfx_write_everything_comes_back),
        cmocka_unit_test(pfx_write_two_certificates_of_one_key_stay_apart),
        cmocka_unit_test(pfx_write_common_issuer_is_written_once),
        cmocka_unit_test(pfx_write_reference_takes_the_key_s_place),
        cmocka_unit_test(pfx_write_utf8_password_opens_elsewhere),
        cmocka_unit_test(pfx_write_iterations_fall_with_the_number_of_keys),
        cmocka_unit_test(pfx_write_unusable_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
