/* Files that somebody damaged, and the rules by which keys and certificates are paired. See test_pfx_foreign.c for other programs' files. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>
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

static kw_status read_bytes(kw_input pfx, kw_input password, struct pfx_item **items, size_t *count)
{
    kw_status status = pfx_read(scene.crypto, pfx, password, false, items, count, &scene.error);
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

static void pfx_read_chain_is_ordered_and_strangers_left_out(void **state)
{
    EVP_PKEY *keys[3] = {scene_key(&scene, "ec-p256"), scene_key(&scene, "ec-p256"), scene_key(&scene, "ec-p256")};
    X509 *root = scene_certificate(&scene, keys[0], "root", NULL, NULL, true);
    X509 *middle = scene_certificate(&scene, keys[1], "middle", root, keys[0], true);
    X509 *leaf = scene_certificate(&scene, keys[2], "leaf", middle, keys[1], false);
    X509 *stranger = scene_certificate(&scene, keys[0], "stranger", NULL, NULL, true);
    STACK_OF(X509) *others = sk_X509_new_null();
    unsigned char *der = NULL;
    struct pfx_item *items = NULL;
    size_t count = 0;
    (void)state;
    sk_X509_push(others, stranger);
    sk_X509_push(others, root);
    sk_X509_push(others, middle);
    PKCS12 *file =
        PKCS12_create_ex(PASSWORD, "leaf", keys[2], leaf, others, 0, 0, 1000, 1000, 0, scene.crypto->library, NULL);
    assert_non_null(file);
    const int length = i2d_PKCS12(file, &der);
    assert_ok(&scene, read_bytes((kw_input){der, (size_t)length}, input_text(PASSWORD), &items, &count));
    assert_int_equal(count, 1);
    assert_int_equal(X509_cmp(items[0].certificate, leaf), 0);
    assert_int_equal(sk_X509_num(items[0].chain), 2);
    assert_int_equal(X509_cmp(sk_X509_value(items[0].chain, 0), middle), 0);
    assert_int_equal(X509_cmp(sk_X509_value(items[0].chain, 1), root), 0);
    pfx_items_free(items, count);
    PKCS12_free(file);
    OPENSSL_free(der);
    sk_X509_pop_free(others, X509_free);
    X509_free(leaf);
    for (size_t i = 0; i < 3; i++)
        EVP_PKEY_free(keys[i]);
}

/* An absent password and an empty one hash differently in PKCS#12; people type nothing for both. */
static void pfx_read_empty_and_absent_passwords_open_both_forms(void **state)
{
    static const char *const forms[] = {NULL, ""};
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    (void)state;
    for (size_t made = 0; made < 2; made++) {
        unsigned char *der = NULL;
        PKCS12 *file =
            PKCS12_create_ex(forms[made], "x", key, certificate, NULL, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                             NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 1000, -1, 0, scene.crypto->library, NULL);
        assert_non_null(file);
        assert_true(PKCS12_set_mac(file, forms[made], forms[made] != NULL ? 0 : -1, NULL, 0, 1000, EVP_sha256()));
        const int length = i2d_PKCS12(file, &der);
        for (size_t given = 0; given < 2; given++) {
            struct pfx_item *items = NULL;
            size_t count = 0;
            const kw_input password = {(const unsigned char *)forms[given], 0};
            assert_ok(&scene, read_bytes((kw_input){der, (size_t)length}, password, &items, &count));
            assert_int_equal(count, 1);
            pfx_items_free(items, count);
        }
        struct pfx_item *items = NULL;
        size_t count = 0;
        assert_status(&scene, KW_SECRET_REFUSED,
                      read_bytes((kw_input){der, (size_t)length}, input_text("x"), &items, &count));
        OPENSSL_free(der);
        PKCS12_free(file);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* OpenSSL 1.0 made a character of each byte; since 1.1 the bytes are UTF-8. Both are read with what the user types. */
static void pfx_read_passwords_beyond_ascii_open_files_of_old_and_new(void **state)
{
    static const char typed[] = "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x94\x91";
    static const char *const forms[] = {
        typed, "M\xc3\x83\xc2\xbcller \xc3\xa2\xc2\x82\xc2\xac \xc3\xb0\xc2\x9f\xc2\x94\xc2\x91"};
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    (void)state;
    for (size_t made = 0; made < 2; made++) {
        unsigned char *der = NULL;
        PKCS12 *file =
            PKCS12_create_ex(forms[made], "x", key, certificate, NULL, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                             NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 10, 10, 0, scene.crypto->library, NULL);
        assert_non_null(file);
        const kw_input pfx = {der, (size_t)i2d_PKCS12(file, &der)};
        struct pfx_item *items = NULL;
        size_t count = 0;
        assert_ok(&scene, read_bytes((kw_input){der, pfx.length}, input_text(typed), &items, &count));
        assert_int_equal(count, 1);
        pfx_items_free(items, count);
        items = NULL;
        assert_status(&scene, KW_SECRET_REFUSED,
                      read_bytes((kw_input){der, pfx.length}, input_text("M\xc3\xbcller"), &items, &count));
        assert_null(items);
        OPENSSL_free(der);
        PKCS12_free(file);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* What this libcrypto cannot do is said by name, never as a wrong password. */
static void pfx_read_unknown_algorithms_are_named(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    unsigned char *der = NULL;
    struct pfx_item *items = NULL;
    size_t count = 0;
    static const unsigned char sha256[] = {0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
    (void)state;
    PKCS12 *file =
        PKCS12_create_ex(PASSWORD, "x", key, certificate, NULL, 0, 0, 1000, 1000, 0, scene.crypto->library, NULL);
    assert_non_null(file);
    const int length = i2d_PKCS12(file, &der);
    /* the MAC's hash is the last occurrence of SHA-256's OID */
    unsigned char *oid = der + length - sizeof(sha256);
    while (oid > der && memcmp(oid, sha256, sizeof(sha256)) != 0)
        oid--;
    assert_true(oid > der);
    oid[10] = 0x7f;
    assert_status(&scene, KW_UNSUPPORTED,
                  read_bytes((kw_input){der, (size_t)length}, input_text(PASSWORD), &items, &count));
    assert_message(&scene, "2.16.840.1.101.3.4.2.127");
    assert_null(items);
    OPENSSL_free(der);
    PKCS12_free(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* A file with our attributes, small enough to be damaged at every byte. */
static kw_bytes make_small(struct pfx_item *item)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    kw_bytes pfx = {0};
    *item = (struct pfx_item){.address = text_copy("database/d"), .number = 1};
    item->pkcs8 = scene_pkcs8(key);
    item->certificate = scene_certificate(&scene, key, "d", NULL, NULL, false);
    item->databases = calloc(2, sizeof(*item->databases));
    item->databases[item->database_count++] = text_copy("d");
    assert_ok(&scene, pfx_write_iterated(scene.crypto, item, 1, input_text(PASSWORD), 1, &pfx, &scene.error));
    EVP_PKEY_free(key);
    return pfx;
}

static bool same(const struct pfx_item *items, size_t count, const struct pfx_item *item)
{
    return count == 1 && items[0].address != NULL && strcmp(items[0].address, item->address) == 0 &&
           input_equal(secret_view(&items[0].pkcs8), secret_view(&item->pkcs8)) &&
           X509_cmp(items[0].certificate, item->certificate) == 0 && items[0].database_count == 1 &&
           strcmp(items[0].databases[0], "d") == 0;
}

static void pfx_read_every_flipped_byte_is_noticed(void **state)
{
    struct pfx_item item = {0};
    kw_bytes pfx = make_small(&item);
    size_t ignored = 0;
    (void)state;
    for (size_t i = 0; i < pfx.length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct pfx_item *items = NULL;
            size_t count = 0;
            pfx.data[i] ^= (unsigned char)(1u << bit);
            const kw_status status = read_bytes((kw_input){pfx.data, pfx.length}, input_text(PASSWORD), &items, &count);
            pfx.data[i] ^= (unsigned char)(1u << bit);
            if (status == KW_OK) {
                ignored++;
                assert_true(same(items, count, &item));
                pfx_items_free(items, count);
                continue;
            }
            if (status != KW_CORRUPT && status != KW_SECRET_REFUSED && status != KW_UNSUPPORTED && status != KW_REFUSED)
                fail_msg("byte %zu, bit %u: %s: %s", i, bit, kw_status_text(status), scene.error.message);
            assert_null(items);
        }
    }
    print_message("%zu of %zu flips change nothing\n", ignored, pfx.length * 8);
    assert_true(ignored < 16); /* the form of the MAC algorithm's absent parameters */
    kw_bytes_free(&pfx);
    pfx_item_clear(&item);
}

static void pfx_read_every_truncation_and_addition_is_corrupt(void **state)
{
    struct pfx_item item = {0};
    kw_bytes pfx = make_small(&item);
    struct buffer longer = {0};
    struct pfx_item *items = NULL;
    size_t count = 0;
    (void)state;
    for (size_t length = 0; length < pfx.length; length++)
        assert_status(&scene, KW_CORRUPT,
                      read_bytes((kw_input){pfx.data, length}, input_text(PASSWORD), &items, &count));
    buffer_append(&longer, pfx.data, pfx.length);
    buffer_append_u8(&longer, 0);
    assert_status(&scene, KW_CORRUPT, read_bytes(buffer_view(&longer), input_text(PASSWORD), &items, &count));
    assert_null(items);
    buffer_free(&longer);
    kw_bytes_free(&pfx);
    pfx_item_clear(&item);
}

static void pfx_read_wrong_passwords_are_never_accepted(void **state)
{
    struct pfx_item item = {0};
    kw_bytes pfx = make_small(&item);
    char password[32];
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        struct pfx_item *items = NULL;
        size_t count = 0;
        snprintf(password, sizeof(password), "geheim-%u", i + 2000);
        assert_status(&scene, KW_SECRET_REFUSED,
                      read_bytes((kw_input){pfx.data, pfx.length}, input_text(password), &items, &count));
        assert_null(items);
    }
    kw_bytes_free(&pfx);
    pfx_item_clear(&item);
}

/* A key and another key's certificate under one localKeyID: key_check gets to see both. */
static void pfx_read_pairs_by_id_even_when_the_keys_differ(void **state)
{
    struct pfx_item item = {0}, *items = NULL;
    size_t count = 0;
    kw_bytes pfx = make_small(&item);
    EVP_PKEY *other = scene_key(&scene, "ec-p256");
    (void)state;
    kw_bytes_free(&pfx);
    X509_free(item.certificate);
    item.certificate = scene_certificate(&scene, other, "d", NULL, NULL, false);
    assert_ok(&scene, pfx_write_iterated(scene.crypto, &item, 1, input_text(PASSWORD), 1, &pfx, &scene.error));
    assert_ok(&scene, read_bytes((kw_input){pfx.data, pfx.length}, input_text(PASSWORD), &items, &count));
    assert_true(same(items, count, &item));
    pfx_items_free(items, count);
    kw_bytes_free(&pfx);
    pfx_item_clear(&item);
    EVP_PKEY_free(other);
}

static void pfx_is_knows_pkcs12_from_the_rest(void **state)
{
    struct pfx_item item = {0};
    kw_bytes pfx = make_small(&item), der = {0};
    (void)state;
    assert_true(pfx_is((kw_input){pfx.data, pfx.length}));
    assert_true(pfx_is((kw_input){pfx.data, pfx.length / 2}));
    assert_ok(&scene, x509_to_der(item.certificate, &der, &scene.error));
    assert_false(pfx_is((kw_input){der.data, der.length}));
    assert_false(pfx_is(secret_view(&item.pkcs8)));
    assert_false(pfx_is(input_text("-----BEGIN CERTIFICATE-----")));
    assert_false(pfx_is((kw_input){0}));
    kw_bytes_free(&der);
    kw_bytes_free(&pfx);
    pfx_item_clear(&item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pfx_read_chain_is_ordered_and_strangers_left_out),
        cmocka_unit_test(pfx_read_empty_and_absent_passwords_open_both_forms),
        cmocka_unit_test(pfx_read_passwords_beyond_ascii_open_files_of_old_and_new),
        cmocka_unit_test(pfx_read_unknown_algorithms_are_named),
        cmocka_unit_test(pfx_read_every_flipped_byte_is_noticed),
        cmocka_unit_test(pfx_read_every_truncation_and_addition_is_corrupt),
        cmocka_unit_test(pfx_read_wrong_passwords_are_never_accepted),
        cmocka_unit_test(pfx_read_pairs_by_id_even_when_the_keys_differ),
        cmocka_unit_test(pfx_is_knows_pkcs12_from_the_rest),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
