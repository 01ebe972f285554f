/* New keys for entries; the old ones stay for old data. */
#include "moving.h"

#include <stdio.h>
#include <string.h>

static kw_status rotate(struct server *server, const char *address, const char *store, struct told *told)
{
    const kw_rotate_options options = {.size = sizeof(options), .address = address, .new_key = true, .store = store};
    return kw_rotate(server->context, &options, told != NULL ? told_note : NULL, told, &server->error);
}

/* One certificate, described; the list is the caller's. */
static const kw_certificate_info *find(struct server *server, const char *address, kw_certificate_list **list)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    assert_ok(server, kw_certificates(server->context, &filter, list, &server->error));
    assert_int_equal((*list)->count, 1);
    return (*list)->certificates;
}

static void rotate_makes_another_key_and_the_old_one_opens_what_is_old(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct told told = {0};
    kw_certificate_list *before = NULL, *after = NULL, *former = NULL;
    kw_bytes plain = {0};
    const kw_certificate_info *old = find(server, "database/sales", &before);
    assert_ok(server, rotate(server, "database/sales", "no-import", &told));
    assert_told(
        &told,
        "database/sales: has a new key and certificate in store no-import; those before stay as database/sales@1");
    const kw_certificate_info *new = find(server, "database/sales", &after);
    const kw_certificate_info *kept = find(server, "database/sales@1", &former);
    assert_string_not_equal(new->spki_sha256, old->spki_sha256);
    assert_string_equal(new->subject, old->subject);
    assert_string_equal(new->key, old->key);
    assert_string_equal(new->store, "no-import");
    assert_true(new->required);
    assert_string_equal(kept->sha256, old->sha256);
    assert_string_equal(kept->store, "first");
    assert_false(kept->required);
    assert_ok(server, kw_cms_decrypt(server->context, "database/sales@1",
                                     (kw_input){moving->cms.data, moving->cms.length}, &plain, &server->error));
    kw_bytes_free(&plain);
    assert_int_equal(moving_journal(server), 0);
    kw_certificate_list_free(before);
    kw_certificate_list_free(after);
    kw_certificate_list_free(former);
}

static void rotate_keeps_names_uses_and_databases(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    static const char *const hosts[] = {"shop.example", "192.0.2.7"}, *const usages[] = {"clientAuth"};
    const kw_certificate_template wanted = {.size = sizeof(wanted),
                                            .address = "general/shop",
                                            .key = "ec-p384",
                                            .hosts = hosts,
                                            .host_count = 2,
                                            .subject = "CN=shop,O=Example\\, Inc",
                                            .extended_key_usages = usages,
                                            .extended_key_usage_count = 1};
    kw_certificate_list *before = NULL, *after = NULL;
    assert_ok(server, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    assert_ok(server, server_create(server, "master-key/corp.example", "sales"));
    const kw_certificate_info *old = find(server, "general/shop", &before);
    assert_ok(server, rotate(server, "general/shop", NULL, NULL));
    const kw_certificate_info *new = find(server, "general/shop", &after);
    assert_string_not_equal(new->spki_sha256, old->spki_sha256);
    assert_string_equal(new->subject, old->subject);
    assert_string_equal(new->key, "ec-p384");
    assert_int_equal(new->san_count, old->san_count);
    for (size_t i = 0; i < new->san_count; i++)
        assert_string_equal(new->san[i], old->san[i]);
    assert_int_equal(new->extended_key_usage_count, 1);
    assert_string_equal(new->extended_key_usage[0], "clientAuth");
    kw_certificate_list_free(before);
    kw_certificate_list_free(after);
    assert_ok(server, rotate(server, "master-key/corp.example", NULL, NULL));
    const kw_certificate_info *master = find(server, "master-key/corp.example", &after);
    assert_int_equal(master->database_count, 1);
    assert_string_equal(master->databases[0], "sales");
    kw_certificate_list_free(after);
    assert_ok(server, rotate(server, "ssl-connection", NULL, NULL));
    assert_ok(server, rotate(server, "server-encryption", NULL, NULL));
}

static void rotate_is_refused_where_it_makes_no_sense(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    const kw_rotate_options roots = {.size = sizeof(roots), .address = "database/sales"};
    const kw_rotate_options nothing = {.size = sizeof(nothing), .new_key = true};
    assert_status(server, KW_REFUSED, kw_rotate(server->context, &roots, NULL, NULL, &server->error));
    assert_non_null(strstr(server->error.remedy, "--new-key"));
    assert_status(server, KW_INVALID_ARGUMENT, kw_rotate(server->context, &nothing, NULL, NULL, &server->error));
    assert_status(server, KW_INVALID_ARGUMENT, rotate(server, "database/sales@1", NULL, NULL));
    assert_status(server, KW_NOT_FOUND, rotate(server, "database/nobody", NULL, NULL));
    assert_status(server, KW_NOT_FOUND, rotate(server, "database/sales", "third", NULL));
    assert_ok(server, kw_certificate_retire(server->context, "database/sales", NULL, NULL, &server->error));
    assert_status(server, KW_REFUSED, rotate(server, "database/sales", NULL, NULL));
    assert_non_null(strstr(server->error.remedy, "keywright create database/sales"));
}

/* A store that cannot make such a key says which it can, and that is then asked for. */
static void rotate_to_another_type_of_key_is_asked_for(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    kw_rotate_options options = {
        .size = sizeof(options), .address = "database/sales", .new_key = true, .store = "no-ec"};
    kw_certificate_list *list = NULL;
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = "database/sales"};
    assert_status(server, KW_UNSUPPORTED, kw_rotate(server->context, &options, NULL, NULL, &server->error));
    assert_non_null(strstr(server->error.remedy, "--key: rsa-2048, rsa-3072"));
    assert_null(strstr(server->error.remedy, "ec-"));
    assert_string_equal(moving_store(server, "database/sales"), "first");
    options.key = "rsa-1024";
    assert_status(server, KW_INVALID_ARGUMENT, kw_rotate(server->context, &options, NULL, NULL, &server->error));
    options.key = "rsa-2048";
    assert_ok(server, kw_rotate(server->context, &options, NULL, NULL, &server->error));
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    assert_string_equal(list->certificates[0].key, "rsa-2048");
    assert_string_equal(list->certificates[0].store, "no-ec");
    kw_certificate_list_free(list);
    options = (kw_rotate_options){.size = sizeof(options), .address = "database/sales", .key = "rsa-2048"};
    assert_status(server, KW_INVALID_ARGUMENT, kw_rotate(server->context, &options, NULL, NULL, &server->error));
}

/* The store fails at each of its calls once: the old key stays the current one, and nothing is left over. */
static void rotate_into_a_store_that_fails_changes_nothing(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    bool failed = true;
    for (unsigned number = 1; failed && number < 50; number += moving_full() ? 1 : 1 + moving_random(3)) {
        char order[64];
        snprintf(order, sizeof(order), "fail any %u\n", number);
        moving_order(server, "second", order);
        failed = rotate(server, "database/sales", "second", NULL) != KW_OK;
        moving_order(server, "second", NULL);
        if (failed) {
            server_reopen(server);
            assert_whole(moving);
        }
    }
    assert_false(failed);
    assert_string_equal(moving_store(server, "database/sales"), "second");
    assert_string_equal(moving_store(server, "database/sales@1"), "first");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, moving_start, moving_stop)
    const struct CMUnitTest tests[] = {
        TEST(rotate_makes_another_key_and_the_old_one_opens_what_is_old),
        TEST(rotate_keeps_names_uses_and_databases),
        TEST(rotate_to_another_type_of_key_is_asked_for),
        TEST(rotate_is_refused_where_it_makes_no_sense),
        TEST(rotate_into_a_store_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
