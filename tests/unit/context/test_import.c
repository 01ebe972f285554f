/* What an import lets in by what the file says of itself: attributes of ours in another's file, several keys, what cannot be shown. */
#include "certificate/import.h"
#include "server.h"
#include "unit/certificate/authority.h"

#include "base/buffer.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "correct horse"

static struct server server;
static EVP_PKEY *root_key, *key, *other_key;
static X509 *root;
static char source[160];

static int start(void **state)
{
    (void)state;
    server_write(&server, "certificates:\n"
                          "  ssl-connection: {key: ec-p256}\n"
                          "  server-encryption: {key: ec-p256}\n"
                          "trust: {system_roots: false}\n");
    const kw_open_options options = {.size = sizeof(options), .configuration = server.configuration};
    assert_ok(&server, kw_apply(&options, NULL, NULL, &server.error));
    server_reopen(&server);
    server_write_file(&server, "password", PASSWORD, strlen(PASSWORD), 0600);
    snprintf(source, sizeof(source), "file:%s", server_path(&server, "password"));
    root_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    other_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    root =
        authority_issue(NULL, &(struct issue){.subject = "Root", .key = root_key, .extensions = authority_extensions});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    X509_free(root);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    server_stop(&server);
    return 0;
}

static X509 *issue(const char *name, EVP_PKEY *of, bool self_signed)
{
    return authority_issue(NULL, &(struct issue){.subject = name,
                                                 .key = of,
                                                 .issuer = self_signed ? NULL : root,
                                                 .issuer_key = self_signed ? NULL : root_key,
                                                 .extensions = server_extensions});
}

/* `certificate` is the item's from now on. */
static struct pfx_item item_of(EVP_PKEY *of, X509 *certificate, const char *address)
{
    struct pfx_item item = {.certificate = certificate, .number = 1};
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(of);
    unsigned char *der = NULL;
    const int length = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    assert_true(length > 0);
    assert_ok(&server, secret_copy(&item.pkcs8, (kw_input){der, (size_t)length}, &server.error));
    assert_ok(&server, id_make(server.context->crypto, &item.entry, &server.error));
    item.address = address != NULL ? text_copy(address) : NULL;
    OPENSSL_clear_free(der, (size_t)length);
    PKCS8_PRIV_KEY_INFO_free(info);
    return item;
}

static unsigned warnings;

static void take_event(void *user, const kw_event *event)
{
    if (event->warning && strstr(event->what, user) != NULL)
        warnings++;
}

static kw_status import(kw_input content, const char *address, const char *warning)
{
    const kw_import_options options = {
        .size = sizeof(options), .path = "the file", .address = address, .content = content, .password_source = source};
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "%s", warning != NULL ? warning : "");
    warnings = 0;
    return kw_import(server.context, &options, take_event, wanted, &server.error);
}

/* Clears the items. */
static kw_status import_items(struct pfx_item *items, size_t count, const char *address, const char *warning)
{
    kw_bytes pfx = {0};
    assert_ok(&server, pfx_write_iterated(server.context->crypto, items, count, input_text(PASSWORD), 1000, &pfx,
                                          &server.error));
    server.error = (kw_error){0};
    const kw_status status = import((kw_input){pfx.data, pfx.length}, address, warning);
    for (size_t i = 0; i < count; i++)
        pfx_item_clear(&items[i]);
    kw_bytes_free(&pfx);
    return status;
}

static void assert_said(const char *text)
{
    if (strstr(server.error.message, text) == NULL && strstr(server.error.remedy, text) == NULL)
        fail_msg("'%s' is not in: %s (%s)", text, server.error.message, server.error.remedy);
}

/* S21: ssl-connection is in no export, so a file that says so was made by somebody else; S5 holds for it. */
static void file_that_names_ssl_connection_is_judged_like_any(void **state)
{
    (void)state;
    const size_t before = server_count(&server, true, NULL, "ssl-connection");
    assert_ok(&server, kw_certificate_delete(server.context, "ssl-connection", true, &server.error));
    struct pfx_item item = item_of(key, issue("pw.example", key, false), "ssl-connection");
    assert_int_equal(import_items(&item, 1, NULL, NULL), KW_REFUSED);
    assert_said("no complete path to a trusted CA");
    assert_int_equal(server_count(&server, true, NULL, NULL), before - 1);
    /* What exports do hold comes back even where its CA is away. */
    item = item_of(key, issue("www.example", key, false), "general/www");
    assert_ok(&server, import_items(&item, 1, NULL, NULL));
    server_count(&server, false, NULL, "general/www");
}

/* Rightly signed, with a date that no calendar has: it would spoil each list that it is in. */
static void certificate_that_cannot_be_shown_is_refused(void **state)
{
    (void)state;
    const size_t before = server_count(&server, true, NULL, NULL);
    X509 *certificate = issue("dated", key, true);
    ASN1_STRING_set(X509_getm_notAfter(certificate), "279999999999Z", -1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    struct pfx_item item = item_of(key, certificate, NULL);
    assert_int_not_equal(import_items(&item, 1, "general/dated", NULL), KW_OK);
    assert_non_null(strstr(server.error.where, "the file"));
    assert_int_equal(server_count(&server, true, NULL, NULL), before);
    item = item_of(key, issue("dated", key, true), NULL);
    assert_ok(&server, import_items(&item, 1, "general/dated", NULL));
}

static void keys_without_friendly_names_go_by_their_common_names(void **state)
{
    (void)state;
    struct pfx_item items[2] = {item_of(key, issue("one", key, true), NULL),
                                item_of(other_key, issue("two", other_key, true), NULL)};
    assert_int_equal(import_items(items, 2, "general/three", NULL), KW_INVALID_ARGUMENT);
    assert_said("here they are 'one', 'two'");
    struct pfx_item again[2] = {item_of(key, issue("one", key, true), NULL),
                                item_of(other_key, issue("two", other_key, true), NULL)};
    assert_ok(&server, import_items(again, 2, "general/two", NULL));
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = "general/two"};
    kw_certificate_list *list = NULL;
    assert_ok(&server, kw_certificates(server.context, &filter, &list, &server.error));
    assert_int_equal(list->count, 1);
    assert_string_equal(list->certificates[0].subject, "CN=two");
    kw_certificate_list_free(list);
}

/* What was let in unjudged, out of an export, is judged when somebody makes it the current one. */
static void former_certificate_that_comes_back_is_judged(void **state)
{
    (void)state;
    X509 *issued = issue("back.example", key, false);
    struct pfx_item item = item_of(key, X509_dup(issued), "general/back");
    assert_ok(&server, import_items(&item, 1, NULL, NULL));
    item = item_of(other_key, issue("other", other_key, true), NULL);
    assert_ok(&server, import_items(&item, 1, "general/back", NULL));
    item = item_of(key, issued, NULL);
    assert_int_equal(import_items(&item, 1, "general/back", NULL), KW_REFUSED);
    assert_said("no complete path to a trusted CA");
    item = item_of(other_key, issue("other again", other_key, true), NULL);
    assert_ok(&server, import_items(&item, 1, "general/back", NULL));
    server_count(&server, true, NULL, "general/back@1");
}

/* S12: one reminder, for the certificate that is in use. */
static void former_server_encryption_is_not_reminded_of(void **state)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = true};
    struct found found = {0};
    kw_certificate_list *list = NULL;
    size_t due = 0, seen = 0;
    (void)state;
    assert_ok(&server, manager_find(server.context, "server-encryption", &found, &server.error));
    struct pfx_item item = item_of(key, issue("Keywright Server Encryption", key, true), "server-encryption");
    item.entry = found.entry.id;
    item.former = true;
    item.number = 7;
    assert_ok(&server, import_items(&item, 1, NULL, NULL));
    assert_ok(&server, kw_certificates(server.context, &filter, &list, &server.error));
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->certificates[i].kind, "server-encryption") != 0)
            continue;
        seen++;
        due += list->certificates[i].export_due ? 1 : 0;
    }
    assert_int_equal(seen, 2);
    assert_int_equal(due, 1);
    kw_certificate_list_free(list);
    found_clear(&found);
}

/* A database that is out of use is here all the same. */
static void master_key_warns_of_databases_that_are_missing_alone(void **state)
{
    (void)state;
    assert_ok(&server, server_create(&server, "database/old", NULL));
    assert_ok(&server, kw_certificate_retire(server.context, "database/old", NULL, NULL, &server.error));
    EVP_PKEY *own = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    struct pfx_item item = item_of(own, issue("Active Directory: corp", own, true), "master-key/corp");
    item.databases = calloc(2, sizeof(*item.databases));
    item.databases[0] = text_copy("old");
    item.databases[1] = text_copy("gone");
    item.database_count = 2;
    assert_ok(&server, import_items(&item, 1, NULL, "this server does not have"));
    assert_int_equal(warnings, 1);
    EVP_PKEY_free(own);
}

static void key_without_a_certificate_is_told_of(void **state)
{
    (void)state;
    struct pfx_item items[2] = {item_of(key, issue("alone", key, true), NULL), item_of(other_key, NULL, NULL)};
    assert_ok(&server, import_items(items, 2, "general/alone", "has no certificate in it, and is left out"));
    assert_int_equal(warnings, 1);
}

static void pem_with_two_keys_is_refused(void **state)
{
    (void)state;
    X509 *certificate = issue("pem", key, true);
    BIO *text = BIO_new(BIO_s_mem());
    char *data = NULL;
    assert_int_equal(PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_bio_X509(text, certificate), 1);
    const size_t whole = (size_t)BIO_get_mem_data(text, &data);
    assert_ok(&server, import((kw_input){(unsigned char *)data, whole}, "general/pem", NULL));
    assert_int_equal(PEM_write_bio_PrivateKey(text, other_key, NULL, NULL, 0, NULL, NULL), 1);
    const size_t more = (size_t)BIO_get_mem_data(text, &data);
    assert_true(more > whole);
    assert_status(&server, KW_INVALID_ARGUMENT, import((kw_input){(unsigned char *)data, more}, "general/pem", NULL));
    assert_said("more than one private key");
    BIO_free(text);
    X509_free(certificate);
}

/* Each look through an entry's certificates goes from the highest number down. */
static void number_beyond_all_reason_is_refused(void **state)
{
    (void)state;
    struct pfx_item item = item_of(key, issue("counted", key, true), "general/counted");
    item.number = CERTIFICATE_NUMBER_MAXIMUM + 1;
    assert_int_equal(import_items(&item, 1, NULL, NULL), KW_CORRUPT);
    assert_said("number is out of range");
    item = item_of(key, issue("counted", key, true), "general/counted");
    item.number = CERTIFICATE_NUMBER_MAXIMUM;
    assert_ok(&server, import_items(&item, 1, NULL, NULL));
    item = item_of(key, issue("more", key, true), NULL);
    assert_int_equal(import_items(&item, 1, "general/counted", NULL), KW_REFUSED);
    assert_said("can have no more");
}

/* What keeps a master key from being an oracle for its roots hangs on the kind: its key has no other. */
static void key_of_a_master_key_is_no_other_kinds(void **state)
{
    (void)state;
    EVP_PKEY *shared = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *taken = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    const char *const master = "Active Directory: shared";
    const size_t before = server_count(&server, true, NULL, NULL);
    /* Both in one file. */
    struct pfx_item both[] = {item_of(shared, issue(master, shared, true), "master-key/shared"),
                              item_of(shared, issue("leak", shared, true), "general/leak")};
    assert_int_equal(import_items(both, 2, NULL, NULL), KW_REFUSED);
    assert_said("the key of general/leak is the key of master-key/shared too");
    assert_int_equal(server_count(&server, true, NULL, NULL), before);
    /* The master key first: under its own certificate and under another. */
    struct pfx_item item = item_of(shared, issue(master, shared, true), "master-key/shared");
    assert_ok(&server, import_items(&item, 1, NULL, NULL));
    for (unsigned i = 0; i < 2; i++) {
        item = item_of(shared, issue(i == 0 ? master : "leak", shared, true), NULL);
        assert_int_equal(import_items(&item, 1, "general/leak", NULL), KW_REFUSED);
        assert_said("the key of general/leak is the key of master-key/shared too");
    }
    /* The other one first. */
    item = item_of(taken, issue("taken", taken, true), NULL);
    assert_ok(&server, import_items(&item, 1, "general/taken", NULL));
    item = item_of(taken, issue("Active Directory: taken", taken, true), "master-key/taken");
    assert_int_equal(import_items(&item, 1, NULL, NULL), KW_REFUSED);
    assert_said("the key of master-key/taken is the key of general/taken too");
    /* Two of other kinds may share one. */
    item = item_of(taken, issue("again", taken, true), NULL);
    assert_ok(&server, import_items(&item, 1, "general/again", NULL));
    assert_int_equal(server_count(&server, true, NULL, NULL), before + 3);
    EVP_PKEY_free(shared);
    EVP_PKEY_free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_that_names_ssl_connection_is_judged_like_any),
        cmocka_unit_test(certificate_that_cannot_be_shown_is_refused),
        cmocka_unit_test(keys_without_friendly_names_go_by_their_common_names),
        cmocka_unit_test(former_certificate_that_comes_back_is_judged),
        cmocka_unit_test(former_server_encryption_is_not_reminded_of),
        cmocka_unit_test(master_key_warns_of_databases_that_are_missing_alone),
        cmocka_unit_test(key_without_a_certificate_is_told_of),
        cmocka_unit_test(pem_with_two_keys_is_refused),
        cmocka_unit_test(number_beyond_all_reason_is_refused),
        cmocka_unit_test(key_of_a_master_key_is_no_other_kinds),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
