/* Export and import: a database moves to another server with all that old data needs (S13, S15, S20-S22). */
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct pair {
    struct server from, to;
};

static int start(void **state)
{
    static struct pair pair;
    server_start(&pair.from, NULL);
    server_start(&pair.to, NULL);
    server_write_file(&pair.from, "export-password", "Tr0ub4dor\n", 10, 0600);
    server_write_file(&pair.from, "wrong-password", "Tr0ub4d0r\n", 10, 0600);
    assert_ok(&pair.from, server_create(&pair.from, "database/sales", NULL));
    assert_ok(&pair.from, server_create(&pair.from, "database/hr", NULL));
    assert_ok(&pair.from, server_create(&pair.from, "master-key/corp.example", "sales"));
    assert_ok(&pair.from, server_create(&pair.from, "password-reset/sales/web", NULL));
    *state = &pair;
    return 0;
}

static int stop(void **state)
{
    struct pair *pair = *state;
    server_stop(&pair->from);
    server_stop(&pair->to);
    return 0;
}

static const char *password_source(struct server *server, const char *name)
{
    static _Thread_local char source[300];
    snprintf(source, sizeof(source), "file:%s", server_path(server, name));
    return source;
}

static kw_status export_to(struct pair *pair, const char *name, const kw_export_options *what)
{
    char path[256];
    kw_export_options options = *what;
    strncpy(path, server_path(&pair->from, name), sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    options.size = sizeof(options);
    options.path = path;
    options.password_source = password_source(&pair->from, "export-password");
    return kw_export(pair->from.context, &options, NULL, NULL, &pair->from.error);
}

static kw_status import_from(struct pair *pair, struct server *to, const char *name, const char *as,
                             const char *password_name)
{
    char path[256];
    kw_import_options options = {.size = sizeof(options), .address = as};
    strncpy(path, server_path(&pair->from, name), sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    options.path = path;
    options.password_source = password_source(&pair->from, password_name);
    return kw_import(to->context, &options, NULL, NULL, &to->error);
}

static void sha256_of(struct server *server, const char *address, char text[65], char id[33])
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    assert_int_equal(list->count, 1);
    memcpy(text, list->certificates[0].sha256, 65);
    memcpy(id, list->certificates[0].certificate_id, 33);
    kw_certificate_list_free(list);
}

static void assert_same(struct pair *pair, const char *address)
{
    char from[65], to[65], from_id[33], to_id[33];
    sha256_of(&pair->from, address, from, from_id);
    sha256_of(&pair->to, address, to, to_id);
    assert_string_equal(from, to);
    assert_string_equal(from_id, to_id);
}

/* Encrypts on one server, decrypts on the other: the key really moved. */
static void assert_decrypts(struct pair *pair, const char *address)
{
    static const char secret[] = "a client's password";
    kw_bytes sealed = {0};
    kw_bytes opened = {0};
    const kw_input plain = {(const unsigned char *)secret, sizeof(secret)};
    assert_ok(&pair->from, kw_cms_encrypt(pair->from.context, address, plain, &sealed, &pair->from.error));
    assert_ok(&pair->to, kw_cms_decrypt(pair->to.context, address, (kw_input){sealed.data, sealed.length}, &opened,
                                        &pair->to.error));
    assert_int_equal(opened.length, sizeof(secret));
    assert_memory_equal(opened.data, secret, sizeof(secret));
    kw_bytes_free(&sealed);
    kw_bytes_free(&opened);
}

static void export_database_takes_all_that_is_its_own_and_nothing_else(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_ok(&pair->to, import_from(pair, &pair->to, "sales.pfx", NULL, "export-password"));
    assert_int_equal(server_count(&pair->to, true, NULL, NULL), 5);
    assert_same(pair, "database/sales");
    assert_same(pair, "master-key/corp.example");
    assert_same(pair, "password-reset/sales/web");
    assert_decrypts(pair, "database/sales");
    assert_decrypts(pair, "password-reset/sales/web");
}

static void import_again_changes_nothing(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_ok(&pair->to, import_from(pair, &pair->to, "sales.pfx", NULL, "export-password"));
    assert_ok(&pair->to, import_from(pair, &pair->to, "sales.pfx", NULL, "export-password"));
    assert_int_equal(server_count(&pair->to, true, NULL, NULL), 5);
}

static void export_takes_former_and_retired_certificates(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from,
              kw_certificate_retire(pair->from.context, "password-reset/sales/web", NULL, NULL, &pair->from.error));
    assert_ok(&pair->from, server_create(&pair->from, "password-reset/sales/web", NULL));
    assert_ok(&pair->from, server_create(&pair->from, "discovery-service/sales/scan", NULL));
    assert_ok(&pair->from,
              kw_certificate_retire(pair->from.context, "discovery-service/sales/scan", NULL, NULL, &pair->from.error));
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_ok(&pair->to, import_from(pair, &pair->to, "sales.pfx", NULL, "export-password"));
    assert_same(pair, "password-reset/sales/web");
    assert_same(pair, "password-reset/sales/web@1");
    assert_same(pair, "discovery-service/sales/scan");
    assert_decrypts(pair, "password-reset/sales/web@1");
    assert_decrypts(pair, "discovery-service/sales/scan");
    /* Retired stays retired. */
    assert_int_equal(server_count(&pair->to, false, "sales", "password-reset/sales/web"), 3);
    assert_int_equal(server_count(&pair->to, true, "sales", "discovery-service/sales/scan"), 5);
}

static void export_everything_leaves_ssl_connection_out(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, export_to(pair, "all.pfx", &(kw_export_options){.everything = true}));
    assert_ok(&pair->to, import_from(pair, &pair->to, "all.pfx", NULL, "export-password"));
    char from[65], to[65], id[33];
    sha256_of(&pair->from, "ssl-connection", from, id);
    sha256_of(&pair->to, "ssl-connection", to, id);
    assert_string_not_equal(from, to);
    assert_same(pair, "database/hr");
}

static void export_ssl_connection_is_refused(void **state)
{
    struct pair *pair = *state;
    const char *address = "ssl-connection";
    assert_status(&pair->from, KW_REFUSED,
                  export_to(pair, "ssl.pfx", &(kw_export_options){.addresses = &address, .address_count = 1}));
}

static void export_separate_writes_one_file_each(void **state)
{
    struct pair *pair = *state;
    struct stat about;
    assert_ok(&pair->from, export_to(pair, "each", &(kw_export_options){.database = "sales", .separate = true}));
    static const char *const names[] = {"each/database+sales.pfx", "each/master-key+corp.example.pfx",
                                        "each/password-reset+sales+web.pfx"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stat(server_path(&pair->from, names[i]), &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
        assert_ok(&pair->to, import_from(pair, &pair->to, names[i], NULL, "export-password"));
    }
    assert_same(pair, "password-reset/sales/web");
}

static void export_without_location_says_how_to_set_one(void **state)
{
    struct pair *pair = *state;
    const kw_export_options options = {.size = sizeof(options), .database = "sales", .password_source = "env:PATH"};
    assert_status(&pair->from, KW_INVALID_ARGUMENT,
                  kw_export(pair->from.context, &options, NULL, NULL, &pair->from.error));
    assert_non_null(strstr(pair->from.error.remedy, "-o"));
    assert_status(&pair->from, KW_NOT_FOUND, export_to(pair, "x.pfx", &(kw_export_options){.database = "salse"}));
    assert_status(&pair->from, KW_INVALID_ARGUMENT, export_to(pair, "x.pfx", &(kw_export_options){.size = 0}));
}

static void import_wrong_password_is_refused_and_changes_nothing(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_status(&pair->to, KW_SECRET_REFUSED, import_from(pair, &pair->to, "sales.pfx", NULL, "wrong-password"));
    assert_int_equal(server_count(&pair->to, true, NULL, NULL), 2);
}

static void import_into_an_entry_in_use_is_refused_and_changes_nothing(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->to, server_create(&pair->to, "database/sales", NULL));
    assert_ok(&pair->to, server_create(&pair->to, "password-reset/sales/web", NULL));
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_status(&pair->to, KW_EXISTS, import_from(pair, &pair->to, "sales.pfx", NULL, "export-password"));
    assert_int_equal(server_count(&pair->to, true, NULL, NULL), 4);
}

static void import_as_another_kind_is_refused(void **state)
{
    struct pair *pair = *state;
    const char *address = "database/sales";
    assert_ok(&pair->from, export_to(pair, "one.pfx", &(kw_export_options){.addresses = &address, .address_count = 1}));
    /* S13: the name in the certificate is another kind's. */
    assert_status(&pair->to, KW_REFUSED, import_from(pair, &pair->to, "one.pfx", "master-key/x", "export-password"));
    assert_status(&pair->to, KW_REFUSED, import_from(pair, &pair->to, "one.pfx", "ssl-connection", "export-password"));
    assert_int_equal(server_count(&pair->to, true, NULL, NULL), 2);
    assert_ok(&pair->to, import_from(pair, &pair->to, "one.pfx", "general/sales", "export-password"));
}

static size_t databases_of(struct server *server, const char *address)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    const size_t count = list->certificates[0].database_count;
    kw_certificate_list_free(list);
    return count;
}

static void import_merges_the_databases_of_a_master_key(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_ok(&pair->to, import_from(pair, &pair->to, "sales.pfx", NULL, "export-password"));
    assert_ok(&pair->from, server_create(&pair->from, "master-key/corp.example", "hr"));
    assert_ok(&pair->from, export_to(pair, "hr.pfx", &(kw_export_options){.database = "hr"}));
    assert_ok(&pair->to, import_from(pair, &pair->to, "hr.pfx", NULL, "export-password"));
    assert_int_equal(databases_of(&pair->to, "master-key/corp.example"), 2);
    assert_int_equal(server_count(&pair->to, false, "hr", "master-key/corp.example"), 2);
}

static void import_of_a_retired_certificate_takes_it_into_use_again(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, export_to(pair, "sales.pfx", &(kw_export_options){.database = "sales"}));
    assert_ok(&pair->from,
              kw_certificate_retire(pair->from.context, "password-reset/sales/web", NULL, NULL, &pair->from.error));
    assert_int_equal(server_count(&pair->from, false, "sales", NULL), 2);
    assert_ok(&pair->from, import_from(pair, &pair->from, "sales.pfx", NULL, "export-password"));
    assert_int_equal(server_count(&pair->from, false, "sales", "password-reset/sales/web"), 3);
}

static void import_as_another_name_beside_the_original_gets_an_id_of_its_own(void **state)
{
    struct pair *pair = *state;
    const char *address = "general/shop";
    char from[65], to[65], from_id[33], to_id[33];
    assert_ok(&pair->from, server_create(&pair->from, address, NULL));
    assert_ok(&pair->from, export_to(pair, "one.pfx", &(kw_export_options){.addresses = &address, .address_count = 1}));
    assert_ok(&pair->from, import_from(pair, &pair->from, "one.pfx", "general/other", "export-password"));
    sha256_of(&pair->from, "general/shop", from, from_id);
    sha256_of(&pair->from, "general/other", to, to_id);
    assert_string_equal(from, to);
    assert_string_not_equal(from_id, to_id);
}

static void import_former_alone_is_not_found_and_after_the_current_one_is_fine(void **state)
{
    struct pair *pair = *state;
    assert_ok(&pair->from, kw_certificate_retire(pair->from.context, "database/hr", NULL, NULL, &pair->from.error));
    assert_ok(&pair->from, server_create(&pair->from, "database/hr", NULL));
    const char *former = "database/hr@1", *current = "database/hr";
    assert_ok(&pair->from,
              export_to(pair, "former.pfx", &(kw_export_options){.addresses = &former, .address_count = 1}));
    assert_ok(&pair->from,
              export_to(pair, "current.pfx", &(kw_export_options){.addresses = &current, .address_count = 1}));
    assert_status(&pair->to, KW_NOT_FOUND, import_from(pair, &pair->to, "former.pfx", NULL, "export-password"));
    assert_non_null(strstr(pair->to.error.remedy, "current"));
    assert_ok(&pair->to, import_from(pair, &pair->to, "current.pfx", NULL, "export-password"));
    assert_ok(&pair->to, import_from(pair, &pair->to, "former.pfx", NULL, "export-password"));
    /* What is shown by the plain address is what is used by it. */
    assert_same(pair, "database/hr");
    assert_decrypts(pair, "database/hr");
}

static void import_garbage_is_an_error_that_names_the_file(void **state)
{
    struct pair *pair = *state;
    server_write_file(&pair->from, "noise", "not a certificate at all", 24, 0600);
    assert_true(import_from(pair, &pair->to, "noise", "general/x", "export-password") != KW_OK);
    assert_non_null(strstr(pair->to.error.where, "noise"));
    assert_status(&pair->to, KW_NOT_FOUND, import_from(pair, &pair->to, "absent", NULL, "export-password"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(export_database_takes_all_that_is_its_own_and_nothing_else, start, stop),
        cmocka_unit_test_setup_teardown(import_again_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(export_takes_former_and_retired_certificates, start, stop),
        cmocka_unit_test_setup_teardown(export_everything_leaves_ssl_connection_out, start, stop),
        cmocka_unit_test_setup_teardown(export_ssl_connection_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(export_separate_writes_one_file_each, start, stop),
        cmocka_unit_test_setup_teardown(export_without_location_says_how_to_set_one, start, stop),
        cmocka_unit_test_setup_teardown(import_wrong_password_is_refused_and_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(import_into_an_entry_in_use_is_refused_and_changes_nothing, start, stop),
        cmocka_unit_test_setup_teardown(import_as_another_kind_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(import_merges_the_databases_of_a_master_key, start, stop),
        cmocka_unit_test_setup_teardown(import_of_a_retired_certificate_takes_it_into_use_again, start, stop),
        cmocka_unit_test_setup_teardown(import_as_another_name_beside_the_original_gets_an_id_of_its_own, start, stop),
        cmocka_unit_test_setup_teardown(import_former_alone_is_not_found_and_after_the_current_one_is_fine, start,
                                        stop),
        cmocka_unit_test_setup_teardown(import_garbage_is_an_error_that_names_the_file, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
