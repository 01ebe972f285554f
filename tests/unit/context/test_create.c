/* Creating certificates: kinds, rules, stores (S1, S2, S9-S11, S13, S25, W5). */
#include "server.h"

#include <stdio.h>
#include <string.h>

static int start(void **state)
{
    static struct server server;
    server_start(&server, NULL);
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

static const kw_certificate_info *only(kw_certificate_list *list)
{
    assert_int_equal(list->count, 1);
    return &list->certificates[0];
}

static kw_certificate_list *look(struct server *server, const char *address)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    return list;
}

static void apply_empty_makes_ssl_connection_and_server_encryption(void **state)
{
    struct server *server = *state;
    assert_int_equal(server_count(server, true, NULL, "ssl-connection"), 2);
    assert_int_equal(server_count(server, true, NULL, "server-encryption"), 2);
    kw_certificate_list *list = look(server, "ssl-connection");
    assert_string_equal(only(list)->subject, "CN=PSR8Server");
    assert_string_equal(only(list)->not_after_text, "9999-12-31T23:59:59Z");
    assert_true(only(list)->san_count > 0);
    assert_false(only(list)->exported);
    kw_certificate_list_free(list);
}

static void apply_twice_changes_nothing(void **state)
{
    struct server *server = *state;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    kw_certificate_list *before = look(server, "ssl-connection");
    assert_ok(server, kw_apply(&options, NULL, NULL, &server->error));
    kw_certificate_list *after = look(server, "ssl-connection");
    assert_string_equal(only(before)->sha256, only(after)->sha256);
    assert_int_equal(server_count(server, true, NULL, NULL), 2);
    kw_certificate_list_free(before);
    kw_certificate_list_free(after);
}

/* ---- server-encryption at later starts, and its reminder (S12) ---- */

static bool is_due(struct server *server)
{
    kw_certificate_list *list = look(server, "server-encryption");
    const bool due = only(list)->export_due;
    kw_certificate_list_free(list);
    return due;
}

static void open_without_server_encryption_adds_it(void **state)
{
    struct server *server = *state;
    assert_ok(server, kw_certificate_delete(server->context, "server-encryption", true, &server->error));
    assert_int_equal(server_count(server, true, NULL, NULL), 1);
    server_reopen(server);
    assert_int_equal(server_count(server, true, NULL, "server-encryption"), 2);
}

static void open_as_is_adds_nothing(void **state)
{
    struct server *server = *state;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .as_is = true};
    assert_ok(server, kw_certificate_delete(server->context, "server-encryption", true, &server->error));
    assert_ok(server, kw_configuration_check(&options, true, NULL, NULL, &server->error));
    kw_close(server->context);
    assert_ok(server, kw_open(&options, &server->context, &server->error));
    assert_int_equal(server_count(server, true, NULL, NULL), 1);
}

static void open_with_server_encryption_retired_leaves_it_so(void **state)
{
    struct server *server = *state;
    assert_ok(server, kw_certificate_retire(server->context, "server-encryption", NULL, NULL, &server->error));
    server_reopen(server);
    assert_int_equal(server_count(server, false, NULL, NULL), 1);
    assert_int_equal(server_count(server, true, NULL, NULL), 2);
}

static void note_warning(void *user, kw_log_level level, const char *line)
{
    if (level == KW_LOG_WARNING && strstr(line, "server-encryption is missing, and cannot be added: ") != NULL)
        ++*(int *)user;
}

static void open_that_cannot_add_goes_on(void **state)
{
    struct server *server = *state;
    int warnings = 0;
    const kw_open_options options = {
        .size = sizeof(options), .configuration = server->configuration, .log = note_warning, .user = &warnings};
    assert_ok(server, kw_certificate_delete(server->context, "server-encryption", true, &server->error));
    kw_close(server->context);
    server->context = NULL;
    server_write_file(server, "passphrase", "wrong horse\n", 12, 0600);
    assert_ok(server, kw_open(&options, &server->context, &server->error));
    assert_int_equal(warnings, 1);
    assert_int_equal(server_count(server, true, NULL, NULL), 1);
}

static void export_of_it_alone_ends_the_reminder(void **state)
{
    struct server *server = *state;
    const char *const one[] = {"server-encryption"};
    const char *const two[] = {"server-encryption", "database/sales"};
    char password[96];
    kw_bytes content = {0};
    kw_state *facts = NULL;
    kw_export_options options = {.size = sizeof(options), .password_source = password, .content = &content};
    snprintf(password, sizeof(password), "file:%s", server_path(server, "passphrase"));
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_true(is_due(server));

    /* Neither with everything nor with others in one file. */
    options.everything = true;
    assert_ok(server, kw_export(server->context, &options, NULL, NULL, &server->error));
    kw_bytes_free(&content);
    options.everything = false;
    options.addresses = two;
    options.address_count = 2;
    assert_ok(server, kw_export(server->context, &options, NULL, NULL, &server->error));
    kw_bytes_free(&content);
    assert_true(is_due(server));
    assert_ok(server, kw_state_get(server->context, &facts, &server->error));
    assert_int_equal(facts->reminder_count, 1);
    assert_non_null(strstr(facts->reminders[0], "keywright export server-encryption -o FILE"));
    kw_state_free(facts);

    options.addresses = one;
    options.address_count = 1;
    assert_ok(server, kw_export(server->context, &options, NULL, NULL, &server->error));
    kw_bytes_free(&content);
    assert_false(is_due(server));
    server_reopen(server);
    assert_false(is_due(server));
    assert_ok(server, kw_state_get(server->context, &facts, &server->error));
    assert_int_equal(facts->reminder_count, 0);
    kw_state_free(facts);

    /* A new one asks anew. */
    assert_ok(server, kw_certificate_delete(server->context, "server-encryption", true, &server->error));
    server_reopen(server);
    assert_true(is_due(server));
}

static void export_of_two_in_files_of_their_own_ends_the_reminder(void **state)
{
    struct server *server = *state;
    const char *const two[] = {"server-encryption", "database/sales"};
    char password[96], directory[96];
    const kw_export_options options = {.size = sizeof(options),
                                       .password_source = password,
                                       .addresses = two,
                                       .address_count = 2,
                                       .separate = true,
                                       .path = directory};
    snprintf(password, sizeof(password), "file:%s", server_path(server, "passphrase"));
    snprintf(directory, sizeof(directory), "%s", server_path(server, "exports"));
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_ok(server, kw_export(server->context, &options, NULL, NULL, &server->error));
    assert_false(is_due(server));
}

static void create_each_kind_has_its_subject(void **state)
{
    static const struct {
        const char *address, *database, *subject;
    } rows[] = {
        {"database/sales", NULL, "OU=sales,CN=psrDatabaseKey"},
        {"master-key/corp.example", "sales", "CN=Active Directory: corp.example"},
        {"discovery-service/sales/scan", NULL, "OU=sales,CN=Discovery Service: scan"},
        {"password-reset/sales/web", NULL, "OU=sales,CN=Password Reset: web"},
        {"general/shop", NULL, "CN=shop"},
    };
    struct server *server = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_ok(server, server_create(server, rows[i].address, rows[i].database));
        kw_certificate_list *list = look(server, rows[i].address);
        const char *comma = strchr(rows[i].subject, ',');
        const char *name = comma != NULL ? comma + 1 : rows[i].subject;
        /* RFC 4514 writes the last RDN first; which of OU and CN that is is not the point here. */
        assert_non_null(strstr(only(list)->subject, name));
        if (comma != NULL)
            assert_non_null(strstr(only(list)->subject, "OU=sales"));
        assert_true(only(list)->required);
        kw_certificate_list_free(list);
    }
}

static void create_twice_exists(void **state)
{
    struct server *server = *state;
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_status(server, KW_EXISTS, server_create(server, "database/sales", NULL));
    assert_int_equal(server_count(server, true, "sales", NULL), 1);
}

static void create_without_its_database_is_not_found_and_names_the_remedy(void **state)
{
    struct server *server = *state;
    assert_status(server, KW_NOT_FOUND, server_create(server, "discovery-service/sales/scan", NULL));
    assert_non_null(strstr(server->error.remedy, "keywright create database/sales"));
    assert_status(server, KW_NOT_FOUND, server_create(server, "master-key/corp.example", "sales"));
}

static void create_master_key_without_database_is_invalid(void **state)
{
    struct server *server = *state;
    assert_status(server, KW_INVALID_ARGUMENT, server_create(server, "master-key/corp.example", NULL));
    assert_non_null(strstr(server->error.remedy, "--database"));
}

static void create_master_key_again_adds_databases(void **state)
{
    struct server *server = *state;
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_ok(server, server_create(server, "database/hr", NULL));
    assert_ok(server, server_create(server, "master-key/corp.example", "sales"));
    kw_certificate_list *before = look(server, "master-key/corp.example");
    assert_ok(server, server_create(server, "master-key/corp.example", "hr"));
    kw_certificate_list *after = look(server, "master-key/corp.example");
    assert_string_equal(only(before)->sha256, only(after)->sha256);
    assert_int_equal(only(after)->database_count, 2);
    assert_string_equal(only(after)->databases[0], "hr");
    assert_string_equal(only(after)->databases[1], "sales");
    assert_status(server, KW_EXISTS, server_create(server, "master-key/corp.example", "hr"));
    kw_certificate_list_free(before);
    kw_certificate_list_free(after);
}

static void create_wrong_words_are_invalid(void **state)
{
    struct server *server = *state;
    const char *bad[] = {
        "", "databse/sales", "database", "database/a/b", "database/../x", "ssl-connection/x", "database/sales@2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_status(server, KW_INVALID_ARGUMENT, server_create(server, bad[i], NULL));
    assert_status(server, KW_INVALID_ARGUMENT, server_create(server, "database/sales", "other"));
    const char *host = "web.example";
    kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = "database/sales", .hosts = &host, .host_count = 1};
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    wanted = (kw_certificate_template){.size = sizeof(wanted), .address = "database/sales", .subject = "CN=x"};
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    wanted = (kw_certificate_template){.size = sizeof(wanted), .address = "database/sales", .store = "vault"};
    assert_status(server, KW_NOT_FOUND, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    assert_int_equal(server_count(server, true, NULL, NULL), 2);
}

static void create_goes_to_the_store_of_its_database(void **state)
{
    static const char extra[] = "  other:\n"
                                "    id: 0b1d02aa\n"
                                "    plugin: softstore\n"
                                "    options: {passphrase: file:passphrase, scrypt_log2_n: 14}\n"
                                "databases:\n"
                                "  sales: {store: other}\n"
                                "certificates:\n"
                                "  ssl-connection: {key: ec-p256}\n"
                                "  server-encryption: {key: ec-p256}\n"
                                "  general/shop: {store: other}\n";
    struct server two;
    (void)state;
    server_start(&two, extra);
    assert_ok(&two, server_create(&two, "database/sales", NULL));
    assert_ok(&two, server_create(&two, "database/hr", NULL));
    assert_ok(&two, server_create(&two, "master-key/corp.example", "sales"));
    assert_ok(&two, server_create(&two, "password-reset/sales/web", NULL));
    assert_ok(&two, server_create(&two, "general/shop", NULL));
    static const char *const expected[][2] = {
        {"database/sales", "other"},           {"database/hr", "local"},  {"master-key/corp.example", "other"},
        {"password-reset/sales/web", "local"}, {"general/shop", "other"}, {"ssl-connection", "local"}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        kw_certificate_list *list = look(&two, expected[i][0]);
        assert_string_equal(only(list)->store, expected[i][1]);
        kw_certificate_list_free(list);
    }
    const char *both[] = {"hr", "sales"};
    const kw_certificate_template wanted = {.size = sizeof(wanted),
                                            .address = "master-key/two.example",
                                            .databases = both,
                                            .database_count = 2,
                                            .key = "ec-p256"};
    assert_status(&two, KW_REFUSED, kw_certificate_create(two.context, &wanted, NULL, NULL, &two.error));
    assert_non_null(strstr(two.error.remedy, "--store"));
    server_stop(&two);
}

/* How often the store `local` was asked to make a key. */
static uint64_t keys_generated(struct server *server)
{
    kw_state *state = NULL;
    uint64_t calls = UINT64_MAX;
    assert_ok(server, kw_state_get(server->context, &state, &server->error));
    for (size_t i = 0; i < state->stores[0].operation_count; i++)
        if (strcmp(state->stores[0].operations[i].operation, "key_generate") == 0)
            calls = state->stores[0].operations[i].calls;
    kw_state_free(state);
    return calls;
}

/* RFC 5280, ub-common-name and ub-organizational-unit-name: 64; and a host that is none. */
static void create_names_that_no_certificate_can_hold_are_refused_before_a_key_is_made(void **state)
{
    struct server *server = *state;
    char database[128] = "database/", general[128] = "general/";
    const char *const bad_host[] = {"no host"};
    memset(database + strlen(database), 'd', 65);
    memset(general + strlen(general), 'g', 65);
    assert_ok(server, server_create(server, "database/sales", NULL));
    const uint64_t before = keys_generated(server);
    assert_int_not_equal(before, UINT64_MAX);
    assert_status(server, KW_INVALID_ARGUMENT, server_create(server, database, NULL));
    assert_status(server, KW_INVALID_ARGUMENT, server_create(server, general, NULL));
    const kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = "general/web", .hosts = bad_host, .host_count = 1};
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    assert_int_equal(keys_generated(server), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(apply_empty_makes_ssl_connection_and_server_encryption, start, stop),
        cmocka_unit_test_setup_teardown(apply_twice_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(open_without_server_encryption_adds_it, start, stop),
        cmocka_unit_test_setup_teardown(open_as_is_adds_nothing, start, stop),
        cmocka_unit_test_setup_teardown(open_with_server_encryption_retired_leaves_it_so, start, stop),
        cmocka_unit_test_setup_teardown(open_that_cannot_add_goes_on, start, stop),
        cmocka_unit_test_setup_teardown(export_of_it_alone_ends_the_reminder, start, stop),
        cmocka_unit_test_setup_teardown(export_of_two_in_files_of_their_own_ends_the_reminder, start, stop),
        cmocka_unit_test_setup_teardown(create_each_kind_has_its_subject, start, stop),
        cmocka_unit_test_setup_teardown(create_twice_exists, start, stop),
        cmocka_unit_test_setup_teardown(create_without_its_database_is_not_found_and_names_the_remedy, start, stop),
        cmocka_unit_test_setup_teardown(create_master_key_without_database_is_invalid, start, stop),
        cmocka_unit_test_setup_teardown(create_master_key_again_adds_databases, start, stop),
        cmocka_unit_test_setup_teardown(create_wrong_words_are_invalid, start, stop),
        cmocka_unit_test_setup_teardown(create_names_that_no_certificate_can_hold_are_refused_before_a_key_is_made,
                                        start, stop),
        cmocka_unit_test(create_goes_to_the_store_of_its_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
