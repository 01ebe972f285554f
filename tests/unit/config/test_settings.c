#include "config/settings.h"

#include "base/buffer.h"
#include "base/file.h"
#include "cases.h"
#include "unit/base/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct warnings {
    unsigned count;
    char sentences[10][1000];
};

static void warn(void *user, const char *sentence)
{
    struct warnings *warnings = user;
    assert_true(warnings->count < 10);
    snprintf(warnings->sentences[warnings->count++], sizeof(warnings->sentences[0]), "%s", sentence);
}

static kw_status read_text(void **state, const char *text, struct warnings *warnings, struct settings **settings,
                           kw_error *error)
{
    char *path = folder_write(state, "keywright.yaml", text, strlen(text), 0600);
    kw_status status = settings_read(path, warnings == NULL ? NULL : warn, warnings, settings, error);
    free(path);
    return status;
}

static struct settings *assert_read(void **state, const char *text)
{
    struct settings *settings = NULL;
    kw_error error = {0};
    if (read_text(state, text, NULL, &settings, &error) != KW_OK)
        fail_msg("%u:%u: %s\n%s", error.line, error.column, error.message, text);
    return settings;
}

/* ---- What is right ---- */

static void settings_read_everything_is_typed_and_absolute(void **state)
{
    struct settings *settings =
        assert_read(state, HEAD "stores:\n"
                                "  local: {id: 7c9e6679, plugin: softstore}\n"
                                "  hsm:\n"
                                "    id: 0b1d02aa\n"
                                "    plugin: /opt/keywright-p11.so\n"
                                "    options: {pin: file:pin, token: \"12\", retries: 5}\n"
                                "databases:\n"
                                "  sales: {store: hsm}\n"
                                "certificates:\n"
                                "  ssl-connection: {hosts: [pw.example, 192.0.2.1], key: ec-p256}\n"
                                "plugin_directories: [plugins, /usr/lib/keywright]\n"
                                "export: {directory: out, one_file_each: true}\n"
                                "trust: {authorities: [root.pem], system_roots: false, crl_timeout: 2s,\n"
                                "  crl_maximum_bytes: 1000}\n"
                                "subkeys: {max_entries: 7, outage_limit: 20m, max_age: 1d}\n");
    char *expected = folder_path(state, "keywright.yaml");
    assert_string_equal(settings->path, expected);
    free(expected);
    assert_string_equal(settings->directory, *state);
    expected = folder_path(state, "state");
    assert_string_equal(settings->state, expected);
    free(expected);
    expected = text_format("file:%s/key", (const char *)*state);
    assert_string_equal(settings->catalogue_key, expected);
    free(expected);
    assert_string_equal(settings->default_store, "local");
    assert_int_equal(settings->plugin_directory_count, 2);
    expected = folder_path(state, "plugins");
    assert_string_equal(settings->plugin_directories[0], expected);
    free(expected);
    assert_string_equal(settings->plugin_directories[1], "/usr/lib/keywright");
    assert_false(settings->allow_inline_secrets);
    expected = folder_path(state, "out");
    assert_string_equal(settings->export_directory, expected);
    free(expected);
    assert_int_equal(settings->trust.authority_count, 1);
    expected = folder_path(state, "root.pem");
    assert_string_equal(settings->trust.authorities[0], expected);
    free(expected);
    assert_int_equal(settings->trust.authorities_place.line, 17);
    assert_int_equal(settings->trust.intermediate_count, 0);
    assert_int_equal(settings->trust.system_roots, 0);
    assert_int_equal(settings->trust.crl_timeout, 2000);
    assert_int_equal(settings->trust.crl_maximum_bytes, 1000);
    assert_int_equal(settings->subkeys.max_entries, 7);
    assert_int_equal(settings->subkeys.outage_limit, 1200000);
    assert_int_equal(settings->subkeys.max_age, 86400000);
    assert_true(settings->export_one_file_each);

    assert_int_equal(settings->store_count, 2);
    const struct store_settings *hsm = settings_store(settings, "hsm");
    assert_ptr_equal(hsm, settings_store_by_id(settings, "0b1d02aa"));
    assert_string_equal(hsm->plugin, "/opt/keywright-p11.so");
    assert_int_equal(hsm->place.line, 7);
    assert_int_equal(hsm->place.column, 3);
    assert_int_equal(hsm->plugin_place.line, 9);
    assert_int_equal(hsm->plugin_place.column, 13);
    assert_int_equal(hsm->option_count, 3);
    assert_string_equal(hsm->options[0].name, "pin");
    assert_string_equal(hsm->options[0].text, "file:pin");
    assert_int_equal(hsm->options[1].name_place.line, 10);
    assert_int_equal(hsm->options[1].name_place.column, 30);
    assert_int_equal(hsm->options[1].text_place.column, 37);
    assert_string_equal(hsm->options[1].text, "12");
    assert_string_equal(hsm->options[2].text, "5");
    assert_int_equal(settings_store(settings, "local")->option_count, 0);
    assert_null(settings_store(settings, "absent"));
    assert_null(settings_store_by_id(settings, "absent"));

    assert_int_equal(settings->certificate_count, 1);
    const struct certificate_settings *certificate = &settings->certificates[0];
    assert_string_equal(certificate->address, "ssl-connection");
    assert_int_equal(certificate->host_count, 2);
    assert_string_equal(certificate->hosts[1], "192.0.2.1");
    assert_string_equal(certificate->key, "ec-p256");
    assert_int_equal(certificate->place.line, 14);
    assert_int_equal(certificate->key_place.column, 57);
    assert_int_equal(certificate->subject_place.line, 0);
    settings_free(settings);
    settings_free(NULL);
}

static void settings_read_connections_are_settled(void **state)
{
    struct settings *settings = assert_read(
        state, GOOD "connections:\n"
                    "  warehouse: {protocol: sqlserver, host: db.example, port: 1434, mode: verify-ca,\n"
                    "    ca: [ca.pem, /etc/b.pem], client_certificate: client.crt, client_key: client.key,\n"
                    "    client_key_password: 'file:client-pw', timeout: 2s}\n"
                    "  plain: {protocol: mariadb, host: 192.0.2.1, mode: disable}\n"
                    "  store: {protocol: mongodb, host: db, client_key: keywright:general/db-client}\n");
    assert_int_equal(settings->connection_count, 3);
    const struct connection_settings *warehouse = settings_connection(settings, "warehouse");
    assert_ptr_equal(warehouse, &settings->connections[0]);
    assert_string_equal(warehouse->protocol, "sqlserver");
    assert_string_equal(warehouse->host, "db.example");
    assert_int_equal(warehouse->port, 1434);
    assert_string_equal(warehouse->mode, "verify-ca");
    assert_int_equal(warehouse->authority_count, 2);
    char *expected = folder_path(state, "ca.pem");
    assert_string_equal(warehouse->authorities[0], expected);
    free(expected);
    assert_string_equal(warehouse->authorities[1], "/etc/b.pem");
    expected = folder_path(state, "client.crt");
    assert_string_equal(warehouse->client_certificate, expected);
    free(expected);
    expected = folder_path(state, "client.key");
    assert_string_equal(warehouse->client_key, expected);
    free(expected);
    expected = text_format("file:%s/client-pw", (const char *)*state);
    assert_string_equal(warehouse->client_key_password, expected);
    free(expected);
    assert_int_equal(warehouse->timeout, 2000);
    assert_int_equal(warehouse->place.line, 8);
    assert_int_equal(warehouse->mode_place.line, 8);
    const struct connection_settings *plain = settings_connection(settings, "plain");
    assert_int_equal(plain->port, 3306);
    assert_int_equal(plain->timeout, 10000);
    assert_string_equal(plain->mode, "disable");
    assert_int_equal(plain->authority_count, 0);
    const struct connection_settings *store = settings_connection(settings, "store");
    assert_int_equal(store->port, 27017);
    assert_string_equal(store->mode, "verify-full"); /* never less because nobody said */
    assert_string_equal(store->client_key, "keywright:general/db-client");
    assert_null(settings_connection(settings, "absent"));
    settings_free(settings);
}

static void settings_read_defaults_are_those_of_the_header(void **state)
{
    struct settings *settings = assert_read(state, GOOD "certificates: {ssl-connection: {}}\n");
    assert_int_equal(settings->plugin_directory_count, 0);
    assert_null(settings->export_directory);
    assert_false(settings->export_one_file_each);
    assert_false(settings->allow_inline_secrets);
    assert_int_equal(settings->database_count, 0);
    assert_int_equal(settings->certificates[0].local_addresses, -1);
    assert_int_equal(settings->certificates[0].pkcs1_decrypt, -1);
    assert_null(settings->certificates[0].key);
    settings_free(settings);
}

static void settings_read_right_ones_are_ok(void **state)
{
    for (unsigned i = 0; i < right_case_count; i++)
        settings_free(assert_read(state, right_cases[i]));
}

static void settings_read_example_is_ok(void **state)
{
    (void)state;
    struct settings *settings = NULL;
    kw_error error = {0};
    if (settings_read(KW_EXAMPLE, NULL, NULL, &settings, &error) != KW_OK)
        fail_msg("%s:%u:%u: %s", error.where, error.line, error.column, error.message);
    assert_string_equal(settings->default_store, "local");
    settings_free(settings);
}

static void settings_read_relative_path_is_made_absolute(void **state)
{
    struct settings *settings = NULL;
    char here[4096];
    free(folder_write(state, "keywright.yaml", GOOD, strlen(GOOD), 0600));
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(*state), 0);
    assert_int_equal(settings_read("keywright.yaml", NULL, NULL, &settings, NULL), KW_OK);
    assert_int_equal(chdir(here), 0);
    assert_string_equal(settings->directory, *state);
    settings_free(settings);
}

/* ---- What is wrong ---- */

static void settings_read_wrong_ones_tell_the_place(void **state)
{
    char *path = folder_path(state, "keywright.yaml");
    unsigned failures = 0;
    for (unsigned i = 0; i < wrong_case_count; i++) {
        const struct wrong_case *wrong = &wrong_cases[i];
        struct settings *settings = NULL;
        kw_error error = {0};
        kw_status status = read_text(state, wrong->text, NULL, &settings, &error);
        if (status == KW_CONFIGURATION && error.line == wrong->line && error.column == wrong->column &&
            strstr(error.message, wrong->message) != NULL && strcmp(error.where, path) == 0 && settings == NULL)
            continue;
        print_error("%s:%u:%u: %s\nexpected %u:%u ...%s... of\n%s\n", error.where, error.line, error.column,
                    error.message, wrong->line, wrong->column, wrong->message, wrong->text);
        failures++;
        settings_free(settings);
    }
    assert_int_equal(failures, 0);
    free(path);
}

static void settings_read_wrong_ones_never_tell_a_secret(void **state)
{
    static const char *const texts[] = {
        "version: 1\ncatalogue_key: hunter2\n",
        "root:hunter2:20228:0:99999:7::: \n", /* another program's file */
        "root:$y$hunter2: x\n",
        "version: 1\ncatalogue_key: inline:hunter2\n",
        HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore, options: {pin: [hunter2]}}\n",
        HEAD
        "stores:\n  local: {id: 7c9e6679, plugin: softstore, options: {pin: inline:hunter2, pin: inline:hunter2}}\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct settings *settings = NULL;
        kw_error error = {0};
        assert_int_equal(read_text(state, texts[i], NULL, &settings, &error), KW_CONFIGURATION);
        assert_null(strstr(error.message, "hunter2"));
        assert_null(strstr(error.remedy, "hunter2"));
    }
}

static void settings_read_unknown_key_lists_the_known(void **state)
{
    struct settings *settings = NULL;
    kw_error error = {0};
    assert_int_equal(read_text(state, GOOD "zzzzzz: 1\n", NULL, &settings, &error), KW_CONFIGURATION);
    assert_string_equal(error.message, "unknown key 'zzzzzz'");
    assert_non_null(strstr(error.remedy, "version, state, catalogue_key"));
}

static void settings_read_nul_is_told_where_it_is(void **state)
{
    static const char text[] = GOOD "export: {directory: \0}\n";
    struct settings *settings = NULL;
    kw_error error = {0};
    char *path = folder_write(state, "keywright.yaml", text, sizeof(text) - 1, 0600);
    assert_int_equal(settings_read(path, NULL, NULL, &settings, &error), KW_CONFIGURATION);
    assert_int_equal(error.line, 7);
    assert_int_equal(error.column, 21);
    free(path);
}

static void settings_read_100_megabytes_is_refused_unread(void **state)
{
    struct settings *settings = NULL;
    kw_error error = {0};
    char *path = folder_write(state, "keywright.yaml", GOOD, strlen(GOOD), 0600);
    assert_int_equal(truncate(path, 100000000), 0);
    assert_int_equal(settings_read(path, NULL, NULL, &settings, &error), KW_CONFIGURATION);
    assert_int_equal(error.line, 1);
    assert_int_equal(error.column, 1);
    assert_string_equal(error.where, path);
    free(path);
}

static void settings_read_absent_is_not_found(void **state)
{
    struct settings *settings = NULL;
    kw_error error = {0};
    char *path = folder_path(state, "absent.yaml");
    assert_int_equal(settings_read(path, NULL, NULL, &settings, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    free(path);
}

static void settings_read_too_many_stores_is_refused_at_the_first_too_many(void **state)
{
    struct buffer text = {0};
    struct settings *settings = NULL;
    kw_error error = {0};
    kw_bytes bytes = {0};
    buffer_append_text(&text, HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore}\n");
    for (unsigned i = 1; i < 1000; i++)
        buffer_format(&text, "  s%u: {id: '%08u', plugin: softstore}\n", i, i);
    assert_int_equal(buffer_take(&text, &bytes), KW_OK);
    settings = assert_read(state, (const char *)bytes.data);
    assert_int_equal(settings->store_count, 1000);
    settings_free(settings);
    settings = NULL;
    buffer_append(&text, bytes.data, bytes.length);
    buffer_append_text(&text, "  more: {id: '99999999', plugin: softstore}\n");
    kw_bytes_free(&bytes);
    assert_int_equal(buffer_take(&text, &bytes), KW_OK);
    assert_int_equal(read_text(state, (const char *)bytes.data, NULL, &settings, &error), KW_CONFIGURATION);
    assert_int_equal(error.line, 1006);
    assert_int_equal(error.column, 3);
    kw_bytes_free(&bytes);
}

/* ---- Warnings ---- */

static void settings_read_secrets_that_others_read_are_warned_about(void **state)
{
    struct warnings warnings = {0};
    struct settings *settings = NULL;
    const char *text =
        HEAD "stores:\n  local: {id: 7c9e6679, plugin: softstore, options: {passphrase: file:passphrase, x: y}}\n";
    char *key = folder_write(state, "key", "k", 1, 0600), *passphrase = folder_write(state, "passphrase", "p", 1, 0600);
    assert_int_equal(read_text(state, text, &warnings, &settings, NULL), KW_OK);
    assert_int_equal(warnings.count, 0);
    settings_free(settings);
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(chmod(passphrase, 0640), 0);
    assert_int_equal(read_text(state, text, &warnings, &settings, NULL), KW_OK);
    assert_int_equal(warnings.count, 2);
    assert_non_null(strstr(warnings.sentences[0], key));
    assert_non_null(strstr(warnings.sentences[0], "chmod 600"));
    assert_non_null(strstr(warnings.sentences[1], passphrase));
    settings_free(settings);
    free(key);
    free(passphrase);
}

static void settings_read_file_that_others_change_is_warned_about(void **state)
{
    struct warnings warnings = {0};
    struct settings *settings = NULL;
    char *path = folder_write(state, "keywright.yaml", GOOD, strlen(GOOD), 0660);
    assert_int_equal(settings_read(path, warn, &warnings, &settings, NULL), KW_OK);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.sentences[0], "chmod go-w"));
    settings_free(settings);
    free(path);
}

static void settings_read_inline_secrets_that_others_read_are_warned_about(void **state)
{
    struct warnings warnings = {0};
    struct settings *settings = NULL;
    const char *text = GOOD "allow_inline_secrets: true\n";
    char *path = folder_write(state, "keywright.yaml", text, strlen(text), 0644);
    assert_int_equal(settings_read(path, warn, &warnings, &settings, NULL), KW_OK);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.sentences[0], path));
    settings_free(settings);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(settings_read(path, warn, &warnings, &settings, NULL), KW_OK);
    assert_int_equal(warnings.count, 1);
    settings_free(settings);
    free(path);
}

/* ---- Questions ---- */

static void settings_database_store_own_before_all(void **state)
{
    static const char stores[] = HEAD "stores:\n  local: {id: 7c9e6679, plugin: p}\n  hsm: {id: 8c9e6679, plugin: p}\n"
                                      "  other: {id: 9c9e6679, plugin: p}\n";
    char text[1000];
    snprintf(text, sizeof(text), "%sdatabases:\n  sales: {store: hsm}\n", stores);
    struct settings *settings = assert_read(state, text);
    assert_string_equal(settings_database_store(settings, "sales"), "hsm");
    assert_null(settings_database_store(settings, "stock"));
    settings_free(settings);
    snprintf(text, sizeof(text), "%sdatabases:\n  sales: {store: hsm}\n  '*': {store: other}\n", stores);
    settings = assert_read(state, text);
    assert_string_equal(settings_database_store(settings, "sales"), "hsm");
    assert_string_equal(settings_database_store(settings, "stock"), "other");
    settings_free(settings);
}

static void settings_certificate_own_wins_over_its_kind(void **state)
{
    struct settings *settings = assert_read(
        state,
        GOOD "certificates:\n"
             "  general: {hosts: [kind.example], key: rsa-4096, store: local, common_name: Kind, subject: CN=kind,"
             " local_addresses: true, pkcs1_decrypt: true}\n"
             "  general/www: {hosts: [a.example, b.example], key: ec-p256, pkcs1_decrypt: false}\n"
             "  general/ftp: {}\n"
             "  database/sales: {key: ec-p384}\n"
             "  genera: {key: ed25519}\n");
    struct certificate_settings found = settings_certificate(settings, "general/www");
    assert_int_equal(found.host_count, 2);
    assert_string_equal(found.hosts[0], "a.example");
    assert_string_equal(found.key, "ec-p256");
    assert_int_equal(found.key_place.line, 9);
    assert_string_equal(found.store, "local");
    assert_string_equal(found.common_name, "Kind");
    assert_int_equal(found.common_name_place.line, 8);
    assert_string_equal(found.subject, "CN=kind");
    assert_int_equal(found.local_addresses, 1);
    assert_int_equal(found.pkcs1_decrypt, 0);
    assert_string_equal(found.address, "general/www");
    assert_int_equal(found.place.line, 9);

    found = settings_certificate(settings, "general/ftp");
    assert_int_equal(found.host_count, 1);
    assert_string_equal(found.key, "rsa-4096");
    assert_int_equal(found.pkcs1_decrypt, 1);
    found = settings_certificate(settings, "general/unnamed");
    assert_string_equal(found.key, "rsa-4096");
    assert_string_equal(found.address, "general");
    found = settings_certificate(settings, "general");
    assert_string_equal(found.key, "rsa-4096");
    found = settings_certificate(settings, "database/sales");
    assert_string_equal(found.key, "ec-p384");
    assert_int_equal(found.local_addresses, -1);
    found = settings_certificate(settings, "database/stock");
    assert_null(found.key);
    assert_null(found.address);
    assert_int_equal(found.pkcs1_decrypt, -1);
    settings_free(settings);
}

static void settings_error_has_file_and_place(void **state)
{
    struct settings *settings = assert_read(state, GOOD);
    kw_error error = {0};
    const struct place place = settings->stores[0].place;
    assert_int_equal(settings_error(settings, place, &error, "no plugin '%s'", "x"), KW_CONFIGURATION);
    assert_string_equal(error.where, settings->path);
    assert_int_equal(error.line, 6);
    assert_int_equal(error.column, 3);
    assert_string_equal(error.message, "no plugin 'x'");
    settings_free(settings);
}

/* Whether the file says nothing of trust, or something else of it: what it leaves out is told from what it sets. */
static void settings_read_trust_left_out_is_not_set(void **state)
{
    static const char *const texts[] = {GOOD, GOOD "trust: {crl_timeout: 1s}\n"};
    for (size_t i = 0; i < 2; i++) {
        struct settings *settings = assert_read(state, texts[i]);
        assert_int_equal(settings->trust.system_roots, -1);
        assert_int_equal(settings->trust.crl_timeout, i * 1000);
        assert_int_equal(settings->trust.crl_maximum_bytes, 0);
        settings_free(settings);
    }
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(settings_read_trust_left_out_is_not_set),
        FOLDER_TEST(settings_read_everything_is_typed_and_absolute),
        FOLDER_TEST(settings_read_connections_are_settled),
        FOLDER_TEST(settings_read_defaults_are_those_of_the_header),
        FOLDER_TEST(settings_read_right_ones_are_ok),
        cmocka_unit_test(settings_read_example_is_ok),
        FOLDER_TEST(settings_read_relative_path_is_made_absolute),
        FOLDER_TEST(settings_read_wrong_ones_tell_the_place),
        FOLDER_TEST(settings_read_wrong_ones_never_tell_a_secret),
        FOLDER_TEST(settings_read_unknown_key_lists_the_known),
        FOLDER_TEST(settings_read_nul_is_told_where_it_is),
        FOLDER_TEST(settings_read_100_megabytes_is_refused_unread),
        FOLDER_TEST(settings_read_absent_is_not_found),
        FOLDER_TEST(settings_read_too_many_stores_is_refused_at_the_first_too_many),
        FOLDER_TEST(settings_read_secrets_that_others_read_are_warned_about),
        FOLDER_TEST(settings_read_file_that_others_change_is_warned_about),
        FOLDER_TEST(settings_read_inline_secrets_that_others_read_are_warned_about),
        FOLDER_TEST(settings_database_store_own_before_all),
        FOLDER_TEST(settings_certificate_own_wins_over_its_kind),
        FOLDER_TEST(settings_error_has_file_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
