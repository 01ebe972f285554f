#include "masters.h"

#include <openssl/x509.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finish(struct masters *masters)
{
    masters->error = (kw_error){0};
    assert_fine(masters, control_open(masters->ring.directory, NULL, &masters->control, &masters->error));
    masters->place = (struct root_place){.crypto = masters->ring.crypto,
                                         .catalogue = masters->ring.catalogue,
                                         .control = masters->control,
                                         .stores = masters->ring.stores,
                                         .settings = &masters->ring.settings};
}

void masters_open(struct masters *masters)
{
    ring_open(&masters->ring);
    finish(masters);
}

void masters_open_faulty(struct masters *masters, const char *modules, const char *fault)
{
    ring_open_faulty(&masters->ring, modules, fault);
    finish(masters);
}

void masters_close(struct masters *masters)
{
    control_close(masters->control);
    ring_close(&masters->ring);
}

static X509 *self_signed(const struct masters *masters, const struct pair *pair)
{
    X509 *made = X509_new_ex(masters->ring.crypto->library, NULL);
    X509_NAME *name = X509_NAME_new();
    assert_non_null(made);
    assert_non_null(name);
    assert_libcrypto(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"test", -1, -1, 0));
    assert_libcrypto(X509_set_subject_name(made, name));
    assert_libcrypto(X509_set_issuer_name(made, name));
    assert_libcrypto(X509_set_pubkey(made, pair->plain));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(made), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(made), 3600));
    assert_libcrypto(X509_sign(made, pair->plain, NULL) > 0 || X509_sign(made, pair->plain, EVP_sha256()) > 0);
    X509_NAME_free(name);
    return made;
}

struct pair masters_add(struct masters *masters, const char *address, const char *kind, struct id *entry)
{
    struct catalogue *catalogue = masters->ring.catalogue;
    struct entry_row row = {0};
    struct certificate_row certificate = {.created = clock_wall(), .number = 1}, last = {0};
    unsigned char *der = NULL, locator_bytes[KW_LOCATOR_MAXIMUM];
    kw_output locator = {locator_bytes, sizeof(locator_bytes), 0};
    kw_error *error = &masters->error;
    struct id key_id;
    struct pair pair = ring_add_known(&masters->ring, kind, &key_id, &locator);
    X509 *x509 = self_signed(masters, &pair);
    const int length = i2d_X509(x509, &der);
    bool exists;
    assert_true(length > 0);
    exists = catalogue_entry_get(catalogue, address, &row, NULL) == KW_OK;
    if (!exists) {
        row = (struct entry_row){.state = ENTRY_IN_USE, .created = clock_wall(), .address = text_copy(address)};
        assert_fine(masters, id_make(masters->ring.crypto, &row.id, error));
    } else {
        assert_fine(masters, catalogue_certificate_get_last(catalogue, &row.id, &last, error));
        certificate.number = last.number + 1;
        certificate_row_clear(&last);
    }
    assert_fine(masters, id_make(masters->ring.crypto, &certificate.id, error));
    certificate.entry = row.id;
    certificate.key_id = key_id;
    certificate.store_id = text_copy(store_id(masters->ring.store));
    certificate.key = text_copy(kind);
    certificate.chain = (kw_bytes){malloc((size_t)length), (size_t)length};
    assert_non_null(certificate.chain.data);
    memcpy(certificate.chain.data, der, (size_t)length);
    memcpy(certificate.locator, locator_bytes, locator.length);
    certificate.locator_length = locator.length;
    row.certificate = certificate.id;
    assert_fine(masters, catalogue_begin(catalogue, error));
    assert_fine(masters, catalogue_certificate_insert(catalogue, &certificate, error));
    assert_fine(masters, exists ? catalogue_entry_update(catalogue, &row, error)
                                : catalogue_entry_insert(catalogue, &row, error));
    assert_fine(masters, catalogue_commit(catalogue, error));
    *entry = row.id;
    entry_row_clear(&row);
    certificate_row_clear(&certificate);
    X509_free(x509);
    OPENSSL_free(der);
    return pair;
}

void masters_check(kw_status expected, kw_status actual, const kw_error *error, const char *what, const char *file,
                   int line)
{
    if (actual == expected)
        return;
    print_error("%s: '%s', not '%s': %s\n", what, kw_status_text(actual), kw_status_text(expected), error->message);
    _fail(file, line);
}

void masters_says(const struct masters *masters, const char *part, const char *file, int line)
{
    if (strstr(masters->error.message, part) != NULL || strstr(masters->error.remedy, part) != NULL ||
        strstr(masters->error.where, part) != NULL)
        return;
    print_error("'%s' (%s) does not say '%s'\n", masters->error.message, masters->error.remedy, part);
    _fail(file, line);
}

void masters_execute(struct masters *masters, const char *format, ...)
{
    char path[256], *text = NULL, *why = NULL;
    sqlite3 *database = NULL;
    va_list arguments;
    snprintf(path, sizeof(path), "%s/%s", masters->ring.directory, CATALOGUE_FILE);
    va_start(arguments, format);
    text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    assert_non_null(text);
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_exec(database, text, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", text, why != NULL ? why : "cannot be opened");
    sqlite3_close(database);
    sqlite3_free(text);
}

struct masters *masters_new(void)
{
    struct masters *made = calloc(1, sizeof(*made));
    assert_non_null(made);
    masters_open(made);
    return made;
}

void masters_free(struct masters *masters)
{
    masters_close(masters);
    free(masters);
}
