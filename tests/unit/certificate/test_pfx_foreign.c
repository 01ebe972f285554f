/* Files that OpenSSL, GnuTLS, Java and NSS wrote, read by us and compared with what these programs say is in them. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdio.h>
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

static kw_status read_file(const char *name, const char *password, struct pfx_item **items, size_t *count)
{
    kw_bytes pfx = scene_read(&scene, name);
    kw_status status = read_bytes((kw_input){pfx.data, pfx.length},
                                  password != NULL ? input_text(password) : (kw_input){0}, items, count);
    kw_bytes_free(&pfx);
    return status;
}

static void refuse_file(const char *name, const char *password, kw_status expected, const char *said)
{
    struct pfx_item *items = NULL;
    size_t count = 0;
    assert_status(&scene, expected, read_file(name, password, &items, &count));
    assert_message(&scene, said);
    assert_null(items);
}

/* The key and the certificate that `openssl` sees in PEM files, against what was read. */
static void assert_holds(const struct pfx_item *item, const char *key_file, const char *certificate_file)
{
    char command[128];
    kw_bytes der = {0};
    scene_write(&scene, "read.key", secret_view(&item->pkcs8));
    assert_ok(&scene, x509_to_der(item->certificate, &der, &scene.error));
    scene_write(&scene, "read.crt", (kw_input){der.data, der.length});
    kw_bytes_free(&der);
    snprintf(command, sizeof(command), "openssl pkey -in %s -outform DER -traditional -out want.key", key_file);
    scene_do(&scene, command);
    scene_do(&scene, "openssl pkey -inform DER -in read.key -outform DER -traditional -out have.key");
    scene_do(&scene, "cmp want.key have.key");
    snprintf(command, sizeof(command), "openssl x509 -in %s -outform DER -out want.crt", certificate_file);
    scene_do(&scene, command);
    scene_do(&scene, "cmp want.crt read.crt");
}

static void make_pem(const char *algorithm)
{
    char command[256];
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey %s -nodes -keyout k.pem -out c.pem -days 30 -subj /CN=other", algorithm);
    scene_do(&scene, command);
}

static void assert_one(const char *file, const char *password, const char *friendly_name)
{
    struct pfx_item *items = NULL;
    size_t count = 0;
    assert_ok(&scene, read_file(file, password, &items, &count));
    assert_int_equal(count, 1);
    assert_null(items[0].address);
    assert_holds(&items[0], "k.pem", "c.pem");
    if (friendly_name != NULL)
        assert_string_equal(items[0].friendly_name, friendly_name);
    pfx_items_free(items, count);
    refuse_file(file, "falsch", KW_SECRET_REFUSED, "the password is wrong");
    refuse_file(file, *password != '\0' ? "" : "x", KW_SECRET_REFUSED, "the password is wrong");
}

/* Every algorithm that OpenSSL wrote by default in the last twenty years, and the forms in which Windows wants them. */
static void pfx_read_files_of_openssl(void **state)
{
    static const char *const options[] = {
        "",
        "-macalg sha1 -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES",
        "-legacy",
        "-certpbe AES-128-CBC -keypbe AES-256-CBC -macalg sha512",
        "-certpbe NONE -keypbe NONE",
        "-iter 1 -maciter",
        "-nomaciter -noiter",
        "-CSP Microsoft -keyex",
    };
    static const char *const algorithms[] = {"rsa:2048", "ec -pkeyopt ec_paramgen_curve:prime256v1", "ed25519"};
    char command[256];
    (void)state;
    for (size_t a = 0; a < 3; a++) {
        make_pem(algorithms[a]);
        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
            snprintf(command, sizeof(command),
                     "openssl pkcs12 -export -in c.pem -inkey k.pem -name other -passout pass:" PASSWORD
                     " -out f.p12 %s",
                     options[i]);
            scene_do(&scene, command);
            assert_one("f.p12", PASSWORD, "other");
        }
    }
}

static void pfx_read_files_of_gnutls(void **state)
{
    static const char *const options[] = {"", "--pkcs-cipher 3des-pkcs12 --hash sha1", "--pkcs-cipher aes-128",
                                          "--pkcs-cipher rc2-40 --hash sha1"};
    char command[256];
    (void)state;
    make_pem("rsa:2048");
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        snprintf(command, sizeof(command),
                 "certtool --to-p12 --load-certificate c.pem --load-privkey k.pem --p12-name other --password " PASSWORD
                 " --outder --outfile f.p12 %s",
                 options[i]);
        scene_do(&scene, command);
        assert_one("f.p12", PASSWORD, "other");
    }
}

static void pfx_read_files_of_java(void **state)
{
    struct pfx_item *items = NULL;
    size_t count = 0;
    (void)state;
    scene_do(&scene, "keytool -genkeypair -alias one -keyalg RSA -keysize 2048 -dname CN=one -storetype PKCS12 "
                     "-keystore j.p12 -storepass " PASSWORD);
    scene_do(&scene, "keytool -genkeypair -alias two -keyalg EC -groupname secp384r1 -dname CN=two -storetype PKCS12 "
                     "-keystore j.p12 -storepass " PASSWORD);
    assert_ok(&scene, read_file("j.p12", PASSWORD, &items, &count));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++) {
        char command[128];
        const char *alias = items[i].friendly_name;
        assert_true(strcmp(alias, "one") == 0 || strcmp(alias, "two") == 0);
        snprintf(command, sizeof(command),
                 "keytool -exportcert -alias %s -keystore j.p12 -storepass " PASSWORD " -rfc -file c.pem", alias);
        scene_do(&scene, command);
        scene_do(&scene, "openssl pkcs12 -in j.p12 -passin pass:" PASSWORD " -nocerts -nodes -out all.pem");
        scene_write(&scene, "read.key", secret_view(&items[i].pkcs8));
        scene_do(&scene, "openssl pkey -inform DER -in read.key -pubout -out a.pub");
        scene_do(&scene, "openssl x509 -in c.pem -noout -pubkey -out b.pub");
        scene_do(&scene, "cmp a.pub b.pub");
        kw_bytes der = {0};
        assert_ok(&scene, x509_to_der(items[i].certificate, &der, &scene.error));
        scene_write(&scene, "read.crt", (kw_input){der.data, der.length});
        kw_bytes_free(&der);
        scene_do(&scene, "openssl x509 -in c.pem -outform DER -out want.crt");
        scene_do(&scene, "cmp want.crt read.crt");
    }
    pfx_items_free(items, count);
    refuse_file("j.p12", "falsch", KW_SECRET_REFUSED, "the password is wrong");
}

static void pfx_read_files_of_nss(void **state)
{
    (void)state;
    make_pem("rsa:2048");
    scene_do(&scene,
             "openssl pkcs12 -export -in c.pem -inkey k.pem -name other -passout pass:" PASSWORD " -out in.p12");
    scene_do(&scene, "mkdir nss");
    scene_do(&scene, "certutil -N -d sql:nss --empty-password");
    scene_do(&scene, "pk12util -i in.p12 -d sql:nss -W " PASSWORD);
    scene_do(&scene, "pk12util -o f.p12 -n other -d sql:nss -W " PASSWORD);
    assert_one("f.p12", PASSWORD, "other");
    scene_do(&scene, "pk12util -o f.p12 -n other -d sql:nss -W " PASSWORD " -c AES-256-CBC -C AES-128-CBC -M SHA-256");
    assert_one("f.p12", PASSWORD, "other");
}

static void pfx_read_certificates_alone_are_items(void **state)
{
    struct pfx_item *items = NULL;
    size_t count = 0;
    (void)state;
    make_pem("rsa:2048");
    scene_do(&scene, "openssl pkcs12 -export -nokeys -in c.pem -passout pass:" PASSWORD " -out f.p12");
    assert_ok(&scene, read_file("f.p12", PASSWORD, &items, &count));
    assert_int_equal(count, 1);
    assert_non_null(items[0].certificate);
    assert_int_equal(items[0].pkcs8.length, 0);
    pfx_items_free(items, count);
}

static void pfx_read_without_mac_only_when_allowed(void **state)
{
    struct pfx_item *items = NULL;
    size_t count = 0;
    (void)state;
    make_pem("ec -pkeyopt ec_paramgen_curve:prime256v1");
    scene_do(&scene, "openssl pkcs12 -export -nomac -in c.pem -inkey k.pem -passout pass:" PASSWORD " -out f.p12");
    refuse_file("f.p12", PASSWORD, KW_REFUSED, "no MAC");
    assert_non_null(strstr(scene.error.remedy, "--allow-no-mac"));
    kw_bytes pfx = scene_read(&scene, "f.p12");
    const kw_input whole = {pfx.data, pfx.length};
    assert_ok(&scene, pfx_read(scene.crypto, whole, input_text(PASSWORD), true, &items, &count, &scene.error));
    assert_int_equal(count, 1);
    assert_holds(&items[0], "k.pem", "c.pem");
    pfx_items_free(items, count);
    items = NULL;
    assert_status(&scene, KW_SECRET_REFUSED,
                  pfx_read(scene.crypto, whole, input_text("falsch"), true, &items, &count, &scene.error));
    assert_null(items);
    kw_bytes_free(&pfx);
}

/* RC2 lies in the legacy provider, which is loaded for the file alone. */
static void pfx_read_legacy_file_leaves_no_provider_behind(void **state)
{
    (void)state;
    make_pem("rsa:2048");
    scene_do(&scene,
             "openssl pkcs12 -export -legacy -in c.pem -inkey k.pem -name other -passout pass:" PASSWORD " -out f.p12");
    assert_one("f.p12", PASSWORD, "other");
    assert_false(OSSL_PROVIDER_available(scene.crypto->library, "legacy"));
}

static void pfx_read_costly_derivations_are_refused(void **state)
{
    (void)state;
    make_pem("ec -pkeyopt ec_paramgen_curve:prime256v1");
    scene_do(&scene,
             "openssl pkcs12 -export -in c.pem -inkey k.pem -passout pass:" PASSWORD " -out f.p12 -iter 5000001");
    refuse_file("f.p12", PASSWORD, KW_REFUSED, "asks for 5000001 iterations");
    assert_message(&scene, "at most 5000000 are done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pfx_read_files_of_openssl),
        cmocka_unit_test(pfx_read_files_of_gnutls),
        cmocka_unit_test(pfx_read_files_of_java),
        cmocka_unit_test(pfx_read_files_of_nss),
        cmocka_unit_test(pfx_read_certificates_alone_are_items),
        cmocka_unit_test(pfx_read_without_mac_only_when_allowed),
        cmocka_unit_test(pfx_read_legacy_file_leaves_no_provider_behind),
        cmocka_unit_test(pfx_read_costly_derivations_are_refused),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
