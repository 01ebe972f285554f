/*
 * Import of files with one bit changed, and cut off: a clean error and a catalogue in which nothing has changed, or the very key and
 * certificate of the whole file. And a thousand wrong passwords. Sampled by KW_TEST_SEED, unless KW_TEST_FULL is yes.
 */
#include "certificate/manager.h"
#include "server.h"

#include "base/buffer.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PASSWORD  "geheim-1234"
#define PASSWORDS 1000
#define SAMPLE    10 /* one in so many, unless all are tried */

static struct server server;
static EVP_PKEY *key;
static X509 *certificate;
static unsigned char certificate_hash[32];
static bool full;
static uint64_t random_state;

/* ---- Chance, which a seed repeats ---- */

static unsigned chance(unsigned below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % below;
}

static bool chosen(unsigned one_in)
{
    return full || chance(one_in) == 0;
}

/* ---- What the files are made of ---- */

static X509 *self_signed(void)
{
    X509 *made = X509_new();
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    assert_true(made != NULL && constraints != NULL);
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 4711);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_set_pubkey(made, key);
    assert_true(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8, (const unsigned char *)"x",
                                           -1, -1, 0));
    X509_set_issuer_name(made, X509_get_subject_name(made));
    assert_int_equal(X509_add1_ext_i2d(made, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT), 1);
    BASIC_CONSTRAINTS_free(constraints);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    return made;
}

static kw_bytes take(unsigned char *der, int length)
{
    struct buffer copy = {0};
    kw_bytes bytes = {0};
    assert_true(length > 0);
    buffer_append(&copy, der, (size_t)length);
    OPENSSL_free(der);
    assert_int_equal(buffer_take(&copy, &bytes), KW_OK);
    return bytes;
}

static kw_bytes make_pfx(bool mac)
{
    unsigned char *der = NULL;
    PKCS12 *file = PKCS12_create(PASSWORD, "x", key, certificate, NULL, 0, 0, 1, mac ? 1 : -1, 0);
    assert_non_null(file);
    const int length = i2d_PKCS12(file, &der);
    kw_bytes bytes = take(der, length);
    PKCS12_free(file);
    return bytes;
}

static kw_bytes make_certificate(void)
{
    unsigned char *der = NULL;
    const int length = i2d_X509(certificate, &der);
    return take(der, length);
}

/* `cipher` NULL: plain. PBES1 where libcrypto's number of it is given. */
static kw_bytes make_pkcs8(const EVP_CIPHER *cipher, int pbe)
{
    unsigned char *der = NULL;
    unsigned char salt[] = "saltsalt";
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    assert_non_null(info);
    kw_bytes bytes = {0};
    if (cipher == NULL && pbe == 0) {
        const int length = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        bytes = take(der, length);
    } else {
        X509_SIG *sealed = PKCS8_encrypt(cipher != NULL ? -1 : pbe, cipher, PASSWORD, -1, salt, 8, 1, info);
        assert_non_null(sealed);
        const int length = i2d_X509_SIG(sealed, &der);
        bytes = take(der, length);
        X509_SIG_free(sealed);
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return bytes;
}

static kw_bytes make_scrypt(void)
{
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_ALGOR *algorithm = PKCS5_pbe2_set_scrypt(EVP_aes_128_cbc(), NULL, 0, NULL, 2, 1, 1);
    assert_true(info != NULL && algorithm != NULL);
    X509_SIG *sealed = PKCS8_set0_pbe(PASSWORD, -1, info, algorithm);
    assert_non_null(sealed);
    const int length = i2d_X509_SIG(sealed, &der);
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info);
    return take(der, length);
}

static kw_bytes make_traditional(const EVP_CIPHER *cipher)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *data = NULL;
    struct buffer copy = {0};
    kw_bytes bytes = {0};
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(text, key, cipher, (const unsigned char *)PASSWORD,
                                                          sizeof(PASSWORD) - 1, NULL, NULL),
                     1);
    const long length = BIO_get_mem_data(text, &data);
    buffer_append(&copy, data, (size_t)length);
    BIO_free(text);
    assert_int_equal(buffer_take(&copy, &bytes), KW_OK);
    return bytes;
}

/* ---- The catalogue ---- */

static void add(EVP_MD_CTX *hash, const void *data, size_t length)
{
    assert_int_equal(EVP_DigestUpdate(hash, &length, sizeof(length)), 1);
    assert_int_equal(EVP_DigestUpdate(hash, data, length), 1);
}

static void add_records(EVP_MD_CTX *hash)
{
    unsigned char names[2][KW_RECORD_NAME_MAXIMUM], bytes[65536];
    kw_input after = {0};
    for (unsigned turn = 0;; turn = 1 - turn) {
        kw_output name = {.data = names[turn], .capacity = sizeof(names[turn])};
        kw_output value = {.data = bytes, .capacity = sizeof(bytes)};
        const kw_status status =
            catalogue_record_next(server.context->catalogue, "7c9e6679", (kw_input){0}, after, &name, &server.error);
        if (status == KW_NOT_FOUND)
            return;
        assert_int_equal(status, KW_OK);
        after = (kw_input){name.data, name.length};
        assert_ok(&server, catalogue_record_get(server.context->catalogue, "7c9e6679", after, &value, &server.error));
        add(hash, after.data, after.length);
        add(hash, value.data, value.length);
    }
}

/* Entries, certificates, records and the journal. */
static void look(unsigned char picture[32])
{
    struct catalogue *catalogue = server.context->catalogue;
    struct catalogue_snapshot snapshot = {0};
    struct journal_row *rows = NULL;
    size_t count = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestInit_ex(hash, EVP_sha256(), NULL), 1);
    assert_ok(&server, catalogue_snapshot_read(catalogue, NULL, NULL, &snapshot, &server.error));
    for (size_t i = 0; i < snapshot.entry_count; i++) {
        add(hash, &snapshot.entries[i].id, sizeof(struct id));
        add(hash, &snapshot.entries[i].generation, sizeof(uint64_t));
        add(hash, snapshot.entries[i].address, strlen(snapshot.entries[i].address));
        add(hash, &snapshot.entries[i].certificate, sizeof(struct id));
    }
    for (size_t i = 0; i < snapshot.certificate_count; i++) {
        add(hash, &snapshot.certificates[i].id, sizeof(struct id));
        add(hash, &snapshot.certificates[i].key_id, sizeof(struct id));
        add(hash, snapshot.certificates[i].chain.data, snapshot.certificates[i].chain.length);
    }
    catalogue_snapshot_clear(&snapshot);
    add_records(hash);
    assert_ok(&server, catalogue_journal_read(catalogue, NULL, NULL, &rows, &count, &server.error));
    assert_int_equal(count, 0);
    free(rows);
    assert_int_equal(EVP_DigestFinal_ex(hash, picture, NULL), 1);
    EVP_MD_CTX_free(hash);
}

/* ---- Importing ---- */

static kw_status import(kw_input content, bool with_key, bool allow_no_mac)
{
    char key_path[128], source[160];
    snprintf(key_path, sizeof(key_path), "%s", server_path(&server, "key"));
    snprintf(source, sizeof(source), "file:%s", server_path(&server, "password"));
    const kw_import_options options = {.size = sizeof(options),
                                       .path = "changed",
                                       .key_path = with_key ? key_path : NULL,
                                       .address = "general/x",
                                       .password_source = source,
                                       .allow_no_mac = allow_no_mac,
                                       .content = content};
    const kw_status status = kw_import(server.context, &options, NULL, NULL, &server.error);
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

/* A certificate whose issuer is another has a signature that the file alone cannot prove wrong. */
static bool names_another_issuer(kw_input content)
{
    const unsigned char *at = content.data;
    X509 *changed = content.data != NULL ? d2i_X509(NULL, &at, (long)content.length) : NULL;
    const bool another =
        changed != NULL && X509_NAME_cmp(X509_get_subject_name(changed), X509_get_issuer_name(changed)) != 0;
    X509_free(changed);
    ERR_clear_error();
    return another;
}

/* What came in is the whole file's, or a certificate that names another issuer; then it goes again. */
static void take_back(const char *what, kw_input content)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = "general/x"};
    kw_certificate_list *list = NULL;
    char expected[65];
    for (size_t i = 0; i < sizeof(certificate_hash); i++)
        snprintf(expected + 2 * i, 3, "%02x", certificate_hash[i]);
    assert_ok(&server, kw_certificates(server.context, &filter, &list, &server.error));
    assert_int_equal(list->count, 1);
    if (strcmp(list->certificates[0].sha256, expected) != 0 && !names_another_issuer(content))
        fail_msg("%s: another certificate came in", what);
    kw_certificate_list_free(list);
    assert_ok(&server, kw_certificate_delete(server.context, "general/x", true, &server.error));
}

static bool is_clean(kw_status status)
{
    return status == KW_CORRUPT || status == KW_SECRET_REFUSED || status == KW_UNSUPPORTED || status == KW_REFUSED ||
           status == KW_INVALID_ARGUMENT ||
           status == KW_NOT_FOUND; /* a bag that is none of a key any more: then it could be the reply to a request */
}

/* True when it was accepted. The catalogue is looked at after each in a full run, else now and then. */
static bool try_import(kw_input content, bool with_key, bool allow_no_mac, const unsigned char before[32],
                       const char *what)
{
    unsigned char after[32];
    server.error.message[0] = '\0';
    const kw_status status = import(content, with_key, allow_no_mac);
    if (status != KW_OK && (!is_clean(status) || server.error.message[0] == '\0'))
        fail_msg("%s: %s: %s", what, kw_status_text(status), server.error.message);
    if (status == KW_OK)
        take_back(what, content);
    look(after);
    if (memcmp(before, after, sizeof(after)) != 0)
        fail_msg("%s: the catalogue has changed", what);
    return status == KW_OK;
}

/* Each bit flipped and each truncation of `file`, which is `content` or the key beside it. */
static void damage(const char *name, kw_bytes *file, kw_input beside, bool allow_no_mac, bool truncation_may_pass,
                   size_t accepted_limit)
{
    unsigned char before[32];
    char what[96];
    size_t accepted = 0, tried = 0;
    const bool is_key = beside.data != NULL;
    const bool with_key = is_key || strcmp(name, "certificate") == 0;
    look(before);
    for (size_t at = 0; at < file->length; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            if (!chosen(SAMPLE))
                continue;
            snprintf(what, sizeof(what), "%s, byte %zu, bit %u", name, at, bit);
            file->data[at] ^= (unsigned char)(1u << bit);
            if (is_key)
                server_write_file(&server, "key", file->data, file->length, 0600);
            accepted += try_import(is_key ? beside : (kw_input){file->data, file->length}, with_key, allow_no_mac,
                                   before, what);
            tried++;
            file->data[at] ^= (unsigned char)(1u << bit);
        }
    for (size_t length = 0; length < file->length; length++) {
        if (!chosen(SAMPLE))
            continue;
        snprintf(what, sizeof(what), "%s, cut off at %zu", name, length);
        if (is_key)
            server_write_file(&server, "key", file->data, length, 0600);
        if (length > 0 || is_key) /* no content at all: then the path counts */
            assert_true(
                !try_import(is_key ? beside : (kw_input){file->data, length}, with_key, allow_no_mac, before, what) ||
                truncation_may_pass);
        tried++;
    }
    print_message("%s: %zu of %zu changes make no difference\n", name, accepted, tried);
    assert_true(accepted <= accepted_limit);
    if (is_key)
        server_write_file(&server, "key", file->data, file->length, 0600);
    assert_true(
        try_import(is_key ? beside : (kw_input){file->data, file->length}, with_key, allow_no_mac, before, name));
}

static void import_of_a_damaged_pfx_changes_nothing(void **state)
{
    kw_bytes file = make_pfx(true);
    (void)state;
    damage("pfx", &file, (kw_input){0}, false, false, 16); /* the forms of absent parameters */
    kw_bytes_free(&file);
}

/* Nothing guards it but the key's own check and the certificate's signature: names may change, key and certificate may not. */
static void import_of_a_damaged_pfx_without_mac_changes_nothing(void **state)
{
    kw_bytes file = make_pfx(false);
    (void)state;
    damage("pfx without MAC", &file, (kw_input){0}, true, false, file.length * 8);
    kw_bytes_free(&file);
}

static void import_of_a_damaged_certificate_changes_nothing(void **state)
{
    kw_bytes file = make_certificate(), plain = make_pkcs8(NULL, 0);
    (void)state;
    server_write_file(&server, "key", plain.data, plain.length, 0600);
    /* each bit of issuer and subject, which are 14 bytes each and mostly structure */
    damage("certificate", &file, (kw_input){0}, false, false, 2 * 14 * 8);
    kw_bytes_free(&plain);
    kw_bytes_free(&file);
}

static void import_of_a_damaged_key_changes_nothing(void **state)
{
    kw_bytes files[] = {make_pkcs8(NULL, 0), make_pkcs8(EVP_aes_128_cbc(), 0),
                        make_pkcs8(NULL, NID_pbe_WithSHA1And3_Key_TripleDES_CBC), make_scrypt(),
                        make_traditional(EVP_aes_128_cbc())};
    static const char *const names[] = {"PKCS#8", "PKCS#8 with PBES2", "PKCS#8 with PBES1", "PKCS#8 with scrypt",
                                        "traditional PEM"};
    kw_bytes beside = make_certificate();
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        /* in PEM much is no part of the key: text, line ends, letters of base64 that are padding */
        damage(names[i], &files[i], (kw_input){beside.data, beside.length}, false, i == 4, i == 4 ? SIZE_MAX : 128);
        kw_bytes_free(&files[i]);
    }
    kw_bytes_free(&beside);
}

/* ---- Wrong passwords ---- */

static void import_with_a_wrong_password_is_never_accepted(void **state)
{
    kw_bytes with_mac = make_pfx(true), without_mac = make_pfx(false), beside = make_certificate();
    kw_bytes keys[] = {make_pkcs8(EVP_aes_128_cbc(), 0),
                       make_pkcs8(NULL, NID_pbe_WithSHA1And3_Key_TripleDES_CBC),
                       make_scrypt(),
                       make_traditional(EVP_aes_128_cbc()),
                       make_traditional(EVP_des_ede3_cbc()),
                       make_traditional(EVP_aes_128_cfb128())};
    unsigned char before[32], after[32];
    (void)state;
    look(before);
    for (unsigned i = 0; i < (full ? PASSWORDS : PASSWORDS / SAMPLE); i++) {
        char password[32];
        const int length = snprintf(password, sizeof(password), "geheim-%u%u", 2000 + i, chance(1000));
        server_write_file(&server, "password", password, (size_t)length, 0600);
        assert_status(&server, KW_SECRET_REFUSED, import((kw_input){with_mac.data, with_mac.length}, false, false));
        assert_status(&server, KW_SECRET_REFUSED,
                      import((kw_input){without_mac.data, without_mac.length}, false, true));
        for (size_t j = 0; j < sizeof(keys) / sizeof(keys[0]); j++) {
            server_write_file(&server, "key", keys[j].data, keys[j].length, 0600);
            assert_status(&server, KW_SECRET_REFUSED, import((kw_input){beside.data, beside.length}, true, false));
        }
    }
    look(after);
    assert_memory_equal(before, after, sizeof(after));
    server_write_file(&server, "password", PASSWORD, sizeof(PASSWORD) - 1, 0600);
    for (size_t j = 0; j < sizeof(keys) / sizeof(keys[0]); j++) {
        server_write_file(&server, "key", keys[j].data, keys[j].length, 0600);
        assert_ok(&server, import((kw_input){beside.data, beside.length}, true, false));
        take_back("the right password", (kw_input){0});
        kw_bytes_free(&keys[j]);
    }
    kw_bytes_free(&with_mac);
    kw_bytes_free(&without_mac);
    kw_bytes_free(&beside);
}

static int start(void **state)
{
    const char *seed = getenv("KW_TEST_SEED"), *whole = getenv("KW_TEST_FULL");
    (void)state;
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    full = whole != NULL && strcmp(whole, "yes") == 0;
    print_message("seed %llu%s\n", (unsigned long long)random_state, full ? ", all of it" : "");
    server_start(&server, NULL);
    server_write_file(&server, "password", PASSWORD, sizeof(PASSWORD) - 1, 0600);
    key = EVP_EC_gen("P-256");
    certificate = self_signed();
    assert_int_equal(X509_digest(certificate, EVP_sha256(), certificate_hash, NULL), 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    X509_free(certificate);
    EVP_PKEY_free(key);
    server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_of_a_damaged_pfx_changes_nothing),
        cmocka_unit_test(import_of_a_damaged_pfx_without_mac_changes_nothing),
        cmocka_unit_test(import_of_a_damaged_certificate_changes_nothing),
        cmocka_unit_test(import_of_a_damaged_key_changes_nothing),
        cmocka_unit_test(import_with_a_wrong_password_is_never_accepted),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
