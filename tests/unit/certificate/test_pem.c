/* Files that the openssl command and certtool write. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

static struct scene scene;
static int asked;

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

static int forget(void **state)
{
    (void)state;
    asked = 0;
    return 0;
}

static kw_status answer(void *user, struct secret *password, kw_error *error)
{
    asked++;
    return secret_copy(password, input_text(user), error);
}

static kw_status refuse(void *user, struct secret *password, kw_error *error)
{
    (void)user;
    (void)password;
    return error_set(error, KW_CONFIGURATION, "nobody is here");
}

static kw_status read_file(const char *name, const char *password, struct pfx_item *item)
{
    char copy[32] = "";
    kw_bytes content = scene_read(&scene, name);
    snprintf(copy, sizeof(copy), "%s", password != NULL ? password : "");
    kw_status status = pem_read(scene.crypto, (kw_input){content.data, content.length},
                                password != NULL ? answer : refuse, copy, item, &scene.error);
    kw_bytes_free(&content);
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

/* The judge: what the openssl command makes of the same key. */
static void assert_key_is(const char *name, const struct pfx_item *item)
{
    char command[256];
    scene_write(&scene, "read.der", secret_view(&item->pkcs8));
    snprintf(command, sizeof(command), "openssl pkey -in %s -passin pass:geheim -outform DER -out expected.pub -pubout",
             name);
    scene_do(&scene, command);
    scene_do(&scene, "openssl pkey -inform DER -in read.der -pubout -outform DER -out read.pub");
    scene_do(&scene, "openssl pkey -inform DER -in read.der -check -noout");
    scene_do(&scene, "cmp expected.pub read.pub");
}

/* Every form in which the command writes private keys: plain and encrypted, PEM and DER. */
static void pem_read_keys_of_every_form_become_pkcs8(void **state)
{
    static const struct {
        const char *make, *write, *file;
        bool encrypted;
    } rows[] = {
        {"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out k.pem", "cp k.pem o", "o", false},
        {NULL, "openssl rsa -in k.pem -traditional -out o", "o", false},
        {NULL, "openssl rsa -in k.pem -traditional -outform DER -out o", "o", false},
        {NULL, "openssl rsa -in k.pem -traditional -aes128 -passout pass:geheim -out o", "o", true},
        {NULL, "openssl rsa -in k.pem -traditional -des3 -passout pass:geheim -out o", "o", true},
        /* no padding: a wrong password shows only in what comes out */
        {NULL, "openssl rsa -in k.pem -traditional -aes-128-cfb -passout pass:geheim -out o", "o", true},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -nocrypt -outform DER -out o", "o", false},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -passout pass:geheim -out o", "o", true},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -passout pass:geheim -outform DER -out o", "o", true},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -scrypt -passout pass:geheim -out o", "o", true},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -v1 PBE-SHA1-3DES -passout pass:geheim -out o", "o", true},
        {NULL,
         "openssl pkcs8 -topk8 -in k.pem -v1 PBE-SHA1-RC2-40 -provider legacy -provider default -passout pass:geheim "
         "-out o",
         "o", true},
        {"openssl ecparam -name prime256v1 -genkey -noout -out k.pem", "cp k.pem o", "o", false},
        {NULL, "openssl ec -in k.pem -outform DER -out o", "o", false},
        {NULL, "openssl ec -in k.pem -aes256 -passout pass:geheim -out o", "o", true},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -nocrypt -out o", "o", false},
        {"openssl ecparam -name secp384r1 -genkey -out k.pem", "cp k.pem o", "o",
         false}, /* with EC PARAMETERS before it */
        {"openssl genpkey -algorithm ED25519 -out k.pem", "cp k.pem o", "o", false},
        {NULL, "openssl pkcs8 -topk8 -in k.pem -passout pass:geheim -out o", "o", true},
        {"certtool --generate-privkey --key-type rsa --bits 2048 --outfile k.pem", "cp k.pem o", "o", false},
        {"certtool --generate-privkey --key-type ecdsa --curve secp521r1 --pkcs8 --password geheim --outfile k.pem",
         "cp k.pem o", "o", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pfx_item item = {0};
        if (rows[i].make != NULL)
            scene_do(&scene, rows[i].make);
        scene_do(&scene, rows[i].write);
        asked = 0;
        assert_ok(&scene, read_file(rows[i].file, "geheim", &item));
        assert_int_equal(asked, rows[i].encrypted ? 1 : 0);
        assert_null(item.certificate);
        if (strstr(rows[i].write, "RC2") == NULL)
            assert_key_is(rows[i].file, &item);
        else
            assert_key_is("k.pem", &item);
        pfx_item_clear(&item);
        if (!rows[i].encrypted)
            continue;
        assert_status(&scene, KW_SECRET_REFUSED, read_file(rows[i].file, "falsch", &item));
        assert_status(&scene, KW_CONFIGURATION, read_file(rows[i].file, NULL, &item));
        assert_null(item.pkcs8.data);
    }
}

/* RFC 5958: the public key behind the private one. As BouncyCastle, ring and others write Ed25519; libcrypto does not read it. */
static void pem_read_key_with_its_public_key_becomes_pkcs8(void **state)
{
    static const unsigned char head[] = {0x30, 0x51, 0x02, 0x01, 0x01};
    static const unsigned char between[] = {0x81, 0x21, 0x00};
    EVP_PKEY *key = scene_key(&scene, "ed25519");
    struct secret pkcs8 = scene_pkcs8(key);
    struct buffer file = {0};
    unsigned char public_key[32];
    size_t length = sizeof(public_key);
    struct pfx_item item = {0};
    (void)state;
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, public_key, &length), 1);
    buffer_append(&file, head, sizeof(head));
    buffer_append(&file, pkcs8.data + 5, pkcs8.length - 5);
    buffer_append(&file, between, sizeof(between));
    buffer_append(&file, public_key, length);
    assert_ok(&scene, pem_read(scene.crypto, buffer_view(&file), refuse, NULL, &item, &scene.error));
    assert_true(input_equal(secret_view(&item.pkcs8), secret_view(&pkcs8)));
    pfx_item_clear(&item);
    for (size_t at = 0; at < file.length; at++) {
        if (at == file.length - length - 1)
            continue; /* the number of unused bits: nothing when these are 0 */
        file.data[at] ^= 1;
        const kw_status status = pem_read(scene.crypto, buffer_view(&file), refuse, NULL, &item, &scene.error);
        if (status == KW_OK) /* an object that no longer says Ed25519 is left for key_check to refuse */
            assert_false(input_equal(secret_view(&item.pkcs8), secret_view(&pkcs8)));
        pfx_item_clear(&item);
        assert_true(status != KW_OK || at < file.length - length);
        file.data[at] ^= 1;
    }
    for (size_t cut = 0; cut < file.length; cut++)
        assert_int_not_equal(pem_read(scene.crypto, (kw_input){file.data, cut}, refuse, NULL, &item, &scene.error),
                             KW_OK);
    buffer_free(&file);
    secret_clear(&pkcs8);
    EVP_PKEY_free(key);
}

static void make_chain(void)
{
    EVP_PKEY *root_key = scene_key(&scene, "ec-p256"), *key = scene_key(&scene, "ec-p256");
    X509 *root = scene_certificate(&scene, root_key, "root", NULL, NULL, true);
    X509 *leaf = scene_certificate(&scene, key, "leaf", root, root_key, false);
    struct secret pkcs8 = scene_pkcs8(key);
    kw_bytes der = {0};
    assert_ok(&scene, x509_to_der(leaf, &der, &scene.error));
    scene_write(&scene, "leaf.der", (kw_input){der.data, der.length});
    kw_bytes_free(&der);
    assert_ok(&scene, x509_to_der(root, &der, &scene.error));
    scene_write(&scene, "root.der", (kw_input){der.data, der.length});
    kw_bytes_free(&der);
    scene_write(&scene, "key.der", secret_view(&pkcs8));
    scene_do(&scene, "openssl x509 -inform DER -in leaf.der -out leaf.pem");
    scene_do(&scene, "openssl x509 -inform DER -in root.der -out root.pem");
    scene_do(&scene, "openssl pkcs8 -topk8 -inform DER -in key.der -nocrypt -out key.pem");
    secret_clear(&pkcs8);
    X509_free(leaf);
    X509_free(root);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
}

/* All files one after the other, each line ended by `end`. */
static void join(const char *const names[], const char *end, const char *before, const char *to)
{
    struct buffer all = {0};
    buffer_append_text(&all, before);
    for (size_t i = 0; names[i] != NULL; i++) {
        kw_bytes part = scene_read(&scene, names[i]);
        for (size_t j = 0; j < part.length; j++) {
            if (part.data[j] == '\n')
                buffer_append_text(&all, end);
            else
                buffer_append_u8(&all, part.data[j]);
        }
        kw_bytes_free(&part);
    }
    scene_write(&scene, to, buffer_view(&all));
    buffer_free(&all);
}

static void assert_leaf_and_root(const struct pfx_item *item, bool key)
{
    char subject[64] = "";
    assert_non_null(item->certificate);
    X509_NAME_oneline(X509_get_subject_name(item->certificate), subject, sizeof(subject));
    assert_string_equal(subject, "/CN=leaf");
    assert_int_equal(sk_X509_num(item->chain), 1);
    X509_NAME_oneline(X509_get_subject_name(sk_X509_value(item->chain, 0)), subject, sizeof(subject));
    assert_string_equal(subject, "/CN=root");
    assert_int_equal(item->pkcs8.length > 0, key);
}

static void pem_read_several_objects_in_any_order_and_with_text(void **state)
{
    static const char *const orders[][4] = {{"leaf.pem", "root.pem", NULL},
                                            {"key.pem", "leaf.pem", "root.pem"},
                                            {"root.pem", "leaf.pem", "key.pem"},
                                            {"leaf.pem", "key.pem", "root.pem"}};
    static const char *const ends[] = {"\n", "\r\n"};
    static const char *const befores[] = {"", "Bag Attributes\n    friendlyName: leaf\n\n", "\xef\xbb\xbf",
                                          "-----\n# -- comment\n"};
    (void)state;
    make_chain();
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 2; j++)
            for (size_t k = 0; k < 4; k++) {
                struct pfx_item item = {0};
                /* without a key to go by the first certificate counts; a byte order mark hides a line, so text stands before it */
                join(orders[i], ends[j], befores[k], "all.pem");
                if (k == 2)
                    join(orders[i], ends[j], "\xef\xbb\xbf\n", "all.pem");
                assert_ok(&scene, read_file("all.pem", NULL, &item));
                assert_leaf_and_root(&item, i > 0);
                pfx_item_clear(&item);
            }
}

static void pem_read_certificates_in_der_and_trusted_form(void **state)
{
    struct pfx_item item = {0};
    (void)state;
    make_chain();
    assert_ok(&scene, read_file("leaf.der", NULL, &item));
    assert_non_null(item.certificate);
    pfx_item_clear(&item);
    scene_do(&scene, "openssl x509 -in leaf.pem -trustout -addtrust serverAuth -out t.pem");
    assert_ok(&scene, read_file("t.pem", NULL, &item));
    assert_non_null(item.certificate);
    pfx_item_clear(&item);
}

static void pem_read_likely_other_forms_get_a_remedy(void **state)
{
    static const struct {
        const char *content, *remedy;
    } rows[] = {
        {"\xfe\xed\xfe\xed\x02", "keytool -importkeystore"},
        {"\xce\xce\xce\xce\x02", "keytool -importkeystore"},
        {"\xff\xfe-", "UTF-16"},
        {"\xfe\xff-", "UTF-16"},
    };
    struct pfx_item item = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        scene_write(&scene, "strange", input_text(rows[i].content));
        assert_status(&scene, KW_INVALID_ARGUMENT, read_file("strange", NULL, &item));
        assert_non_null(strstr(scene.error.remedy, rows[i].remedy));
    }
}

static void pem_read_what_it_is_not_is_told(void **state)
{
    static const struct {
        const char *content, *said;
        kw_status status;
    } rows[] = {
        {"", "neither a certificate nor a private key", KW_INVALID_ARGUMENT},
        {"hello\n", "neither a certificate nor a private key", KW_INVALID_ARGUMENT},
        {"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "but 'PUBLIC KEY'", KW_INVALID_ARGUMENT},
        {"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "but 'CERTIFICATE REQUEST'",
         KW_INVALID_ARGUMENT},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "not a certificate", KW_CORRUPT},
        {"-----BEGIN CERTIFICATE-----\nM*A=\n-----END CERTIFICATE-----\n", "damaged", KW_CORRUPT},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n", "damaged", KW_CORRUPT},
        {"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "malformed", KW_CORRUPT},
        {"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n", "malformed", KW_CORRUPT},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nMAA=\n-----END OPENSSH PRIVATE KEY-----\n", "OPENSSH PRIVATE KEY",
         KW_UNSUPPORTED},
        {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: ROT-13,00\n\nMAA=\n-----END RSA PRIVATE "
         "KEY-----\n",
         "ROT-13", KW_UNSUPPORTED},
        {"0 no DER", "neither a certificate nor a private key, or it is damaged", KW_CORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pfx_item item = {0};
        scene_write(&scene, "o", input_text(rows[i].content));
        assert_status(&scene, rows[i].status, read_file("o", "geheim", &item));
        assert_message(&scene, rows[i].said);
        assert_null(item.pkcs8.data);
        assert_null(item.certificate);
    }
}

static void pem_read_costly_derivation_is_refused_before_it_asks(void **state)
{
    struct pfx_item item = {0};
    (void)state;
    make_chain();
    scene_do(&scene, "openssl pkcs8 -topk8 -in key.pem -iter 5000001 -passout pass:geheim -out o");
    assert_status(&scene, KW_REFUSED, read_file("o", "geheim", &item));
    assert_message(&scene, "5000001");
    assert_message(&scene, "5000000");
    assert_int_equal(asked, 0);
}

static void pem_read_truncated_or_changed_der_never_crashes(void **state)
{
    static const char *const names[] = {"leaf.der", "key.der"};
    (void)state;
    make_chain();
    for (size_t n = 0; n < 2; n++) {
        kw_bytes der = scene_read(&scene, names[n]);
        for (size_t i = 0; i < der.length; i++) {
            struct pfx_item item = {0};
            assert_int_not_equal(pem_read(scene.crypto, (kw_input){der.data, i}, refuse, NULL, &item, &scene.error),
                                 KW_OK);
            assert_null(item.certificate);
            assert_null(item.pkcs8.data);
            der.data[i] ^= 0x81;
            kw_status status =
                pem_read(scene.crypto, (kw_input){der.data, der.length}, refuse, NULL, &item, &scene.error);
            assert_true(status == KW_OK || status == KW_CORRUPT || status == KW_INVALID_ARGUMENT ||
                        status == KW_UNSUPPORTED);
            der.data[i] ^= 0x81;
            pfx_item_clear(&item);
        }
        kw_bytes_free(&der);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pem_read_keys_of_every_form_become_pkcs8, forget),
        cmocka_unit_test_setup(pem_read_key_with_its_public_key_becomes_pkcs8, forget),
        cmocka_unit_test_setup(pem_read_several_objects_in_any_order_and_with_text, forget),
        cmocka_unit_test_setup(pem_read_certificates_in_der_and_trusted_form, forget),
        cmocka_unit_test_setup(pem_read_what_it_is_not_is_told, forget),
        cmocka_unit_test_setup(pem_read_likely_other_forms_get_a_remedy, forget),
        cmocka_unit_test_setup(pem_read_costly_derivation_is_refused_before_it_asks, forget),
        cmocka_unit_test_setup(pem_read_truncated_or_changed_der_never_crashes, forget),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
