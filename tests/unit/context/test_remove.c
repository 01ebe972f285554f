/* Retiring and deleting (S17): what is required stays, what is retired is kept until it is deleted. */
#include "server.h"

#include <string.h>

static int start(void **state)
{
    static struct server server;
    server_start(&server, NULL);
    assert_ok(&server, server_create(&server, "database/sales", NULL));
    assert_ok(&server, server_create(&server, "master-key/corp.example", "sales"));
    assert_ok(&server, server_create(&server, "password-reset/sales/web", NULL));
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

static kw_status retire(struct server *server, const char *address)
{
    return kw_certificate_retire(server->context, address, NULL, NULL, &server->error);
}

static kw_status erase(struct server *server, const char *address, bool force)
{
    return kw_certificate_delete(server->context, address, force, &server->error);
}

static kw_status use(struct server *server, const char *address)
{
    unsigned char bytes[512];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_key *key = NULL;
    kw_status status = kw_key_open(server->context, address, &key, &server->error);
    if (status == KW_OK)
        status = kw_key_sign(key, NULL, (kw_input){(const unsigned char *)"x", 1}, &signature, &server->error);
    kw_key_free(key);
    return status;
}

static void delete_required_is_refused_and_names_the_remedy(void **state)
{
    struct server *server = *state;
    assert_status(server, KW_REFUSED, erase(server, "password-reset/sales/web", false));
    assert_non_null(strstr(server->error.remedy, "keywright retire password-reset/sales/web"));
    assert_ok(server, use(server, "password-reset/sales/web"));
}

static void retire_hides_from_the_list_and_keeps_the_key(void **state)
{
    struct server *server = *state;
    assert_ok(server, retire(server, "password-reset/sales/web"));
    assert_int_equal(server_count(server, false, "sales", NULL), 2);
    assert_int_equal(server_count(server, true, "sales", "password-reset/sales/web"), 3);
    assert_ok(server, use(server, "password-reset/sales/web"));
    assert_status(server, KW_REFUSED, retire(server, "password-reset/sales/web"));
}

static void delete_retired_removes_key_and_entry(void **state)
{
    struct server *server = *state;
    assert_ok(server, retire(server, "password-reset/sales/web"));
    assert_ok(server, erase(server, "password-reset/sales/web", false));
    assert_status(server, KW_NOT_FOUND, use(server, "password-reset/sales/web"));
    assert_int_equal(server_count(server, true, "sales", NULL), 2);
    assert_ok(server, server_create(server, "password-reset/sales/web", NULL));
    assert_ok(server, use(server, "password-reset/sales/web"));
}

static void delete_forced_removes_what_is_required(void **state)
{
    struct server *server = *state;
    assert_ok(server, erase(server, "password-reset/sales/web", true));
    assert_status(server, KW_NOT_FOUND, use(server, "password-reset/sales/web"));
}

static void retire_database_takes_all_that_is_its_own(void **state)
{
    struct server *server = *state;
    assert_ok(server, server_create(server, "database/hr", NULL));
    assert_ok(server, server_create(server, "master-key/shared.example", "sales"));
    assert_ok(server, server_create(server, "master-key/shared.example", "hr"));
    assert_ok(server, retire(server, "database/sales"));
    assert_int_equal(server_count(server, false, "sales", "master-key/shared.example"), 1);
    assert_int_equal(server_count(server, true, "sales", "master-key/corp.example"), 4);
    assert_status(server, KW_NOT_FOUND, server_create(server, "password-reset/sales/other", NULL));
}

static void delete_database_in_use_by_others_is_refused_even_with_force(void **state)
{
    struct server *server = *state;
    assert_status(server, KW_REFUSED, erase(server, "database/sales", true));
    assert_int_equal(server_count(server, false, "sales", "database/sales"), 3);
}

static void create_after_retire_keeps_the_former_certificate(void **state)
{
    struct server *server = *state;
    assert_ok(server, retire(server, "password-reset/sales/web"));
    assert_ok(server, server_create(server, "password-reset/sales/web", NULL));
    assert_int_equal(server_count(server, false, "sales", "password-reset/sales/web"), 3);
    assert_int_equal(server_count(server, true, "sales", "password-reset/sales/web@1"), 4);
    assert_ok(server, use(server, "password-reset/sales/web@1"));
    assert_ok(server, erase(server, "password-reset/sales/web@1", false));
    assert_status(server, KW_NOT_FOUND, use(server, "password-reset/sales/web@1"));
    assert_ok(server, use(server, "password-reset/sales/web"));
    assert_ok(server, use(server, "password-reset/sales/web@2"));
}

static void delete_forced_current_leaves_the_former_retired(void **state)
{
    struct server *server = *state;
    assert_ok(server, retire(server, "password-reset/sales/web"));
    assert_ok(server, server_create(server, "password-reset/sales/web", NULL));
    /* Which one, must be said: else a second try would take the former one's key. */
    assert_status(server, KW_REFUSED, erase(server, "password-reset/sales/web", true));
    assert_non_null(strstr(server->error.remedy, "password-reset/sales/web@2"));
    assert_ok(server, erase(server, "password-reset/sales/web@2", true));
    assert_int_equal(server_count(server, false, "sales", NULL), 2);
    assert_ok(server, use(server, "password-reset/sales/web"));
    assert_ok(server, erase(server, "password-reset/sales/web", false));
}

static void retire_last_database_takes_a_shared_master_key(void **state)
{
    struct server *server = *state;
    assert_ok(server, server_create(server, "database/hr", NULL));
    assert_ok(server, server_create(server, "master-key/corp.example", "hr"));
    assert_ok(server, retire(server, "database/sales"));
    assert_int_equal(server_count(server, false, "hr", "master-key/corp.example"), 2);
    assert_ok(server, retire(server, "database/hr"));
    assert_int_equal(server_count(server, false, "hr", NULL), 0);
}

static void create_again_serves_the_database_that_was_asked_for(void **state)
{
    struct server *server = *state;
    assert_ok(server, server_create(server, "database/hr", NULL));
    assert_ok(server, retire(server, "master-key/corp.example"));
    assert_ok(server, server_create(server, "master-key/corp.example", "hr"));
    assert_int_equal(server_count(server, false, "hr", "master-key/corp.example"), 2);
}

static void list_unknown_database_or_store_is_not_found(void **state)
{
    struct server *server = *state;
    kw_certificate_list *list = NULL;
    const kw_certificate_filter database = {.size = sizeof(database), .database = "salse"};
    const kw_certificate_filter store = {.size = sizeof(store), .store = "vault"};
    assert_status(server, KW_NOT_FOUND, kw_certificates(server->context, &database, &list, &server->error));
    assert_status(server, KW_NOT_FOUND, kw_certificates(server->context, &store, &list, &server->error));
}

static void remove_unknown_is_not_found(void **state)
{
    struct server *server = *state;
    assert_status(server, KW_NOT_FOUND, retire(server, "database/salse"));
    assert_non_null(strstr(server->error.remedy, "database/sales"));
    assert_status(server, KW_NOT_FOUND, erase(server, "database/sales@7", true));
    assert_status(server, KW_INVALID_ARGUMENT, retire(server, "database/sales@1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(delete_required_is_refused_and_names_the_remedy, start, stop),
        cmocka_unit_test_setup_teardown(retire_hides_from_the_list_and_keeps_the_key, start, stop),
        cmocka_unit_test_setup_teardown(delete_retired_removes_key_and_entry, start, stop),
        cmocka_unit_test_setup_teardown(delete_forced_removes_what_is_required, start, stop),
        cmocka_unit_test_setup_teardown(retire_database_takes_all_that_is_its_own, start, stop),
        cmocka_unit_test_setup_teardown(delete_database_in_use_by_others_is_refused_even_with_force, start, stop),
        cmocka_unit_test_setup_teardown(create_after_retire_keeps_the_former_certificate, start, stop),
        cmocka_unit_test_setup_teardown(delete_forced_current_leaves_the_former_retired, start, stop),
        cmocka_unit_test_setup_teardown(retire_last_database_takes_a_shared_master_key, start, stop),
        cmocka_unit_test_setup_teardown(create_again_serves_the_database_that_was_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(list_unknown_database_or_store_is_not_found, start, stop),
        cmocka_unit_test_setup_teardown(remove_unknown_is_not_found, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
