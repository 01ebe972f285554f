/* Every file of tests/data/formats.tsv: what others wrote, over many years, and what becomes of it. */
#include "scene.h"

#include "base/buffer.h"
#include "base/file.h"
#include "certificate/key_check.h"
#include "certificate/x509.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS      "/usr/lib/python3/dist-packages/cryptography_vectors"
#define HASH_TEXT    65
#define HASHES       16
#define FILE_MAXIMUM (1u << 20)

enum { COLUMN_FILE, COLUMN_PASSWORD, COLUMN_VERDICT, COLUMN_SAID, COLUMN_CERTIFICATES, COLUMN_KEY, COLUMNS };

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

static const struct {
    const char *name;
    kw_status status;
} verdicts[] = {{"ok", KW_OK},           {"unsupported", KW_UNSUPPORTED}, {"refused", KW_REFUSED},
                {"corrupt", KW_CORRUPT}, {"secret", KW_SECRET_REFUSED},   {"invalid", KW_INVALID_ARGUMENT}};

static kw_status status_of(const char *name)
{
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if (strcmp(verdicts[i].name, name) == 0)
            return verdicts[i].status;
    fail_msg("there is no verdict '%s'", name);
    return KW_FAILED;
}

static kw_status answer(void *user, struct secret *password, kw_error *error)
{
    return secret_copy(password, input_text(user), error);
}

static void hash(kw_input data, char *text)
{
    unsigned char digest[32];
    assert_int_equal(EVP_Digest(data.data, data.length, digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static void hash_certificate(X509 *certificate, char *text)
{
    kw_bytes der = {0};
    assert_ok(&scene, x509_to_der(certificate, &der, &scene.error));
    hash((kw_input){der.data, der.length}, text);
    kw_bytes_free(&der);
}

static void hash_key(const struct secret *pkcs8, char *text)
{
    EVP_PKEY *key = NULL;
    unsigned char *der = NULL;
    assert_ok(&scene, private_key_read(scene.crypto, secret_view(pkcs8), &key, &scene.error));
    const int length = i2d_PUBKEY(key, &der);
    assert_true(length > 0);
    hash((kw_input){der, (size_t)length}, text);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

/* Reads as import does, and judges each key. */
static kw_status read_row(kw_input content, const char *password, struct pfx_item **items, size_t *count)
{
    kw_status status = KW_OK;
    if (pfx_is(content)) {
        status = pfx_read(scene.crypto, content, input_text(password), false, items, count, &scene.error);
    } else {
        *items = calloc(1, sizeof(**items));
        *count = 1;
        assert_non_null(*items);
        status = pem_read(scene.crypto, content, answer, (void *)password, *items, &scene.error);
    }
    for (size_t i = 0; status == KW_OK && i < *count; i++) {
        const char *name = NULL;
        if ((*items)[i].pkcs8.length > 0)
            status =
                key_check(scene.crypto, secret_view(&(*items)[i].pkcs8), (*items)[i].certificate, &name, &scene.error);
    }
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

/* A key's own certificate comes first, and a file with a key may hold others' that are left out. */
static void compare(const char *file, const char *const row[COLUMNS], const struct pfx_item *items, size_t count)
{
    char found[HASHES][HASH_TEXT], key[HASH_TEXT] = "-";
    size_t certificates = 0;
    const size_t expected =
        strcmp(row[COLUMN_CERTIFICATES], "-") == 0 ? 0 : (strlen(row[COLUMN_CERTIFICATES]) + 1) / 65;
    for (size_t i = 0; i < count; i++) {
        if (items[i].certificate != NULL)
            hash_certificate(items[i].certificate, found[certificates++]);
        for (int j = 0; items[i].chain != NULL && j < sk_X509_num(items[i].chain) && certificates < HASHES; j++)
            hash_certificate(sk_X509_value(items[i].chain, j), found[certificates++]);
    }
    if (items[0].pkcs8.length > 0)
        hash_key(&items[0].pkcs8, key);
    if (strcmp(key, row[COLUMN_KEY]) != 0)
        fail_msg("%s: the key is %s instead of %s", file, key, row[COLUMN_KEY]);
    if (strcmp(key, "-") == 0 || expected == 0)
        assert_int_equal(certificates, expected);
    else
        assert_int_equal(certificates, 1);
    for (size_t i = 0; i < certificates; i++)
        if (strncmp(found[i], row[COLUMN_CERTIFICATES] + 65 * i, 64) != 0)
            fail_msg("%s: certificate %zu is %s", file, i, found[i]);
}

static void try_row(const char *const row[COLUMNS])
{
    char path[256];
    kw_bytes content = {0};
    struct pfx_item *items = NULL;
    size_t count = 0;
    const char *password = row[COLUMN_PASSWORD][0] == '-' || row[COLUMN_PASSWORD][0] == '"' ? "" : row[COLUMN_PASSWORD];
    snprintf(path, sizeof(path), "%s/%s", VECTORS, row[COLUMN_FILE]);
    scene_check(KW_OK, file_read(path, FILE_MAXIMUM, &content, &scene.error), &scene.error, path, __FILE__, __LINE__);
    const kw_status expected = status_of(row[COLUMN_VERDICT]);
    const kw_status status = read_row((kw_input){content.data, content.length}, password, &items, &count);
    if (status != expected || (status != KW_OK && strstr(scene.error.message, row[COLUMN_SAID]) == NULL))
        fail_msg("%s: '%s', where '%s' and '%s' were expected", row[COLUMN_FILE],
                 status != KW_OK ? scene.error.message : "read", row[COLUMN_VERDICT], row[COLUMN_SAID]);
    if (status == KW_OK)
        compare(row[COLUMN_FILE], row, items, count);
    pfx_items_free(items, count);
    /* Another password opens none of those that have one. */
    if (status == KW_OK && row[COLUMN_PASSWORD][0] != '-') {
        items = NULL;
        count = 0;
        assert_status(&scene, KW_SECRET_REFUSED,
                      read_row((kw_input){content.data, content.length}, "another", &items, &count));
        pfx_items_free(items, items != NULL ? count : 0);
    }
    kw_bytes_free(&content);
}

static void every_file_of_the_table_has_its_verdict(void **state)
{
    char line[2048];
    size_t rows = 0;
    FILE *table = fopen(KW_TEST_DATA "/formats.tsv", "re");
    (void)state;
    assert_non_null(table);
    while (fgets(line, sizeof(line), table) != NULL) {
        const char *row[COLUMNS] = {0};
        char *rest = line;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#')
            continue;
        for (size_t i = 0; i < COLUMNS; i++)
            row[i] = strsep(&rest, "\t");
        assert_true(row[COLUMNS - 1] != NULL && rest == NULL);
        try_row(row);
        rows++;
    }
    fclose(table);
    print_message("%zu files\n", rows);
    assert_true(rows > 140);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_of_the_table_has_its_verdict),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
