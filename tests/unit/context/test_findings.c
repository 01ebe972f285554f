/* What the details of a certificate say is wrong: by its dates, its names, the store of its key. */
#include "certificate/manager.h"
#include "server.h"

#include "base/clock.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define DAY 86400L

static struct server server;

static const char settings[] = "  other:\n"
                               "    id: 7c9e6680\n"
                               "    plugin: softstore\n"
                               "    options: {passphrase: file:passphrase, scrypt_log2_n: 14}\n"
                               "databases:\n"
                               "  moved: {store: other}\n"
                               "certificates:\n"
                               "  ssl-connection: {key: ec-p256, hosts: [www.shop.example]}\n"
                               "  server-encryption: {key: ec-p256}\n"
                               "  general: {key: ec-p256}\n"
                               "  general/www: {hosts: [www.example, '*.wild.example', 192.0.2.1, '2001:db8::1']}\n";

static int start(void **state)
{
    (void)state;
    server_start(&server, settings);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static void create(const char *address, const char *store, const char *const *hosts, size_t host_count)
{
    const kw_certificate_template wanted = {.size = sizeof(wanted),
                                            .address = address,
                                            .key = "ec-p256",
                                            .store = store,
                                            .hosts = hosts,
                                            .host_count = host_count};
    assert_ok(&server, kw_certificate_create(server.context, &wanted, NULL, NULL, &server.error));
}

/* Gives the catalogue's certificate other dates, in seconds from now, and a signature to go with them. */
static void set_dates(const char *address, long from, long until)
{
    struct found found = {0};
    X509 *certificate = NULL;
    unsigned char *der = NULL;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    assert_ok(&server, manager_find(server.context, address, &found, &server.error));
    kw_input chain = {found.certificate.chain.data, found.certificate.chain.length};
    assert_ok(&server, x509_read(server.context->crypto, &chain, &certificate, &server.error));
    assert_non_null(X509_time_adj_ex(X509_getm_notBefore(certificate), 0, from, NULL));
    assert_non_null(X509_time_adj_ex(X509_getm_notAfter(certificate), 0, until, NULL));
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    const int length = i2d_X509(certificate, &der);
    assert_true(length > 0);
    free(found.certificate.chain.data);
    found.certificate.chain = (kw_bytes){malloc((size_t)length), (size_t)length};
    assert_non_null(found.certificate.chain.data);
    memcpy(found.certificate.chain.data, der, (size_t)length);
    assert_ok(&server, catalogue_begin(server.context->catalogue, &server.error));
    assert_ok(&server, catalogue_certificate_update(server.context->catalogue, &found.certificate, &server.error));
    assert_ok(&server, catalogue_commit(server.context->catalogue, &server.error));
    OPENSSL_free(der);
    X509_free(certificate);
    EVP_PKEY_free(key);
    found_clear(&found);
}

static kw_certificate_list *find(const char *address)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = true, .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(&server, kw_certificates(server.context, &filter, &list, &server.error));
    assert_int_equal(list->count, 1);
    return list;
}

/* `word` NULL: nothing is wrong. Otherwise this alone is, and the sentence has `part` in it. */
static void assert_finding(const char *address, const char *word, bool severe, const char *part)
{
    kw_certificate_list *list = find(address);
    const kw_certificate_info *info = &list->certificates[0];
    if (word == NULL && info->finding_count > 0)
        fail_msg("%s: %s", info->findings[0].word, info->findings[0].sentence);
    if (word != NULL) {
        assert_int_equal(info->finding_count, 1);
        assert_string_equal(info->findings[0].word, word);
        assert_int_equal(info->findings[0].severe, severe);
        assert_true(info->findings[0].remedy[0] != '\0');
        if (strstr(info->findings[0].sentence, part) == NULL)
            fail_msg("'%s' lacks '%s'", info->findings[0].sentence, part);
    }
    kw_certificate_list_free(list);
}

static void dates_are_told_for_kinds_whose_expiry_is_checked(void **state)
{
    static const struct {
        long from, until;
        const char *word, *part;
        bool severe;
    } rows[] = {
        {-9 * DAY, 300 * DAY, NULL, NULL, false},
        {-9 * DAY, 31 * DAY, NULL, NULL, false},
        {-9 * DAY, 29 * DAY + 60, "expires soon", "in 29 days", false},
        {-9 * DAY, DAY + 60, "expires soon", "in 1 day,", false},
        {-9 * DAY, 60, "expires soon", "in 0 days", false},
        {-9 * DAY, -60, "expired", "expired on", true},
        {DAY, 300 * DAY, "not yet valid", "not valid before", true},
    };
    (void)state;
    create("general/dates", NULL, NULL, 0);
    create("database/dates", NULL, NULL, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_dates("general/dates", rows[i].from, rows[i].until);
        assert_finding("general/dates", rows[i].word, rows[i].severe, rows[i].part);
        /* S14: of these nothing is checked, and nothing warns. */
        set_dates("database/dates", rows[i].from, rows[i].until);
        assert_finding("database/dates", NULL, false, NULL);
    }
    /* What is no longer required may be as old as it is. */
    set_dates("general/dates", -9 * DAY, -60);
    assert_ok(&server, kw_certificate_retire(server.context, "general/dates", NULL, NULL, &server.error));
    assert_finding("general/dates", NULL, false, NULL);
}

static void hosts_that_the_san_lacks_are_named(void **state)
{
    static const char *const some[] = {"WWW.example", "other.wild.example", "192.0.2.2"};
    static const char *const all[] = {"www.example", "*.wild.example", "192.0.2.1", "2001:DB8:0::1"};
    static const char *const wildcard[] = {"*.shop.example"};
    (void)state;
    create("general/www", NULL, some, sizeof(some) / sizeof(some[0]));
    assert_finding("general/www", "host missing", true, "lacks *.wild.example, 192.0.2.1, 2001:db8::1, ");
    assert_ok(&server, kw_certificate_delete(server.context, "general/www", true, &server.error));
    create("general/www", NULL, all, sizeof(all) / sizeof(all[0]));
    assert_finding("general/www", NULL, false, NULL);
    assert_finding("ssl-connection", NULL, false, NULL);
    assert_ok(&server, kw_certificate_delete(server.context, "ssl-connection", true, &server.error));
    create("ssl-connection", NULL, wildcard, 1);
    assert_finding("ssl-connection", NULL, false, NULL);
}

static void key_that_is_elsewhere_than_configured_is_told(void **state)
{
    (void)state;
    create("database/moved", NULL, NULL, 0);
    assert_finding("database/moved", NULL, false, NULL);
    create("database/stays", "other", NULL, 0);
    assert_finding("database/stays", "misplaced", false, "wants it in local");
    kw_state *facts = NULL;
    assert_ok(&server, kw_state_get(server.context, &facts, &server.error));
    assert_int_equal(facts->misplaced_count, 1);
    assert_non_null(strstr(facts->misplaced[0], "database/stays"));
    kw_state_free(facts);
}

static void assert_misplaced(size_t count, const char *part)
{
    kw_state *facts = NULL;
    assert_ok(&server, kw_state_get(server.context, &facts, &server.error));
    assert_int_equal(facts->misplaced_count, count);
    for (size_t i = 0; i < count; i++)
        if (strstr(facts->misplaced[i], part) == NULL)
            fail_msg("'%s' lacks '%s'", facts->misplaced[i], part);
    kw_state_free(facts);
}

static void transfer(const char *address, const char *store)
{
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = store};
    assert_ok(&server, kw_transfer(server.context, &options, NULL, NULL, &server.error));
}

/* Old data needs them, and who has bought a token wants nothing left outside. */
static void keys_of_former_and_retired_certificates_are_told_too(void **state)
{
    const kw_rotate_options rotate = {
        .size = sizeof(rotate), .address = "database/moved", .new_key = true, .store = "other"};
    (void)state;
    create("database/moved", "local", NULL, 0);
    assert_misplaced(1, "`keywright transfer database/moved --to other` moves it");
    assert_ok(&server, kw_rotate(server.context, &rotate, NULL, NULL, &server.error));
    assert_finding("database/moved", NULL, false, NULL);
    assert_finding("database/moved@1", "misplaced", false, "database/moved@1 is in store local");
    assert_misplaced(1, "`keywright transfer database/moved@1 --to other` moves it");
    transfer("database/moved@1", "other");
    assert_finding("database/moved@1", NULL, false, NULL);
    assert_misplaced(0, NULL);
    create("database/stays", "other", NULL, 0);
    assert_ok(&server, kw_certificate_retire(server.context, "database/stays", NULL, NULL, &server.error));
    assert_finding("database/stays", "misplaced", false, "wants it in local");
    assert_misplaced(1, "`keywright transfer database/stays --to local` moves it");
    transfer("database/stays", "local");
    assert_misplaced(0, NULL);
}

static void key_in_a_store_that_is_gone_is_told_for_former_ones_too(void **state)
{
    static const char without[] = "certificates:\n  ssl-connection: {key: ec-p256}\n";
    char text[4096];
    (void)state;
    create("database/gone", "other", NULL, 0);
    const size_t length = server_read_file(&server, "keywright.yaml", (unsigned char *)text, sizeof(text) - 1);
    text[length] = '\0';
    char *cut = strstr(text, "  other:");
    assert_non_null(cut);
    memcpy(cut, without, sizeof(without));
    server_write_file(&server, "keywright.yaml", text, strlen(text), 0600);
    server_reopen(&server);
    assert_finding("database/gone", "store unknown", true, "7c9e6680");
    assert_ok(&server, kw_certificate_retire(server.context, "database/gone", NULL, NULL, &server.error));
    assert_finding("database/gone", "store unknown", true, "7c9e6680");
}

static void chain_subjects_are_those_of_the_chain(void **state)
{
    (void)state;
    create("database/chain", NULL, NULL, 0);
    kw_certificate_list *list = find("database/chain");
    assert_int_equal(list->certificates[0].chain_count, 1);
    assert_string_equal(list->certificates[0].chain_subjects[0], list->certificates[0].subject);
    assert_true(list->certificates[0].self_signed);
    kw_certificate_list_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dates_are_told_for_kinds_whose_expiry_is_checked, start, stop),
        cmocka_unit_test_setup_teardown(hosts_that_the_san_lacks_are_named, start, stop),
        cmocka_unit_test_setup_teardown(keys_of_former_and_retired_certificates_are_told_too, start, stop),
        cmocka_unit_test_setup_teardown(key_that_is_elsewhere_than_configured_is_told, start, stop),
        cmocka_unit_test_setup_teardown(key_in_a_store_that_is_gone_is_told_for_former_ones_too, start, stop),
        cmocka_unit_test_setup_teardown(chain_subjects_are_those_of_the_chain, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
