/* Keys that move between stores: nothing is lost, whatever fails, and work under way goes on. */
#include "server.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char two_stores[] = "  second:\n"
                                 "    id: 0b1d02aa\n"
                                 "    plugin: softstore\n"
                                 "    options: {passphrase: file:passphrase, scrypt_log2_n: 14}\n"
                                 "certificates:\n"
                                 "  ssl-connection: {key: ec-p256}\n"
                                 "  server-encryption: {key: ec-p256}\n";

static int start(void **state)
{
    static struct server server;
    server_start(&server, two_stores);
    assert_ok(&server, server_create(&server, "database/sales", NULL));
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

/* What the events told. */
struct told {
    char text[2048];
    size_t warnings;
};

static void note(void *user, const kw_event *event)
{
    struct told *told = user;
    const size_t length = strlen(told->text);
    told->warnings += event->warning;
    snprintf(told->text + length, sizeof(told->text) - length, "%s: %s\n", event->certificate, event->what);
}

static kw_status transfer(struct server *server, const char *address, const char *store, struct told *told)
{
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = store, .wait_ms = 2000};
    return kw_transfer(server->context, &options, told != NULL ? note : NULL, told, &server->error);
}

static void assert_told(const struct told *told, const char *part)
{
    if (strstr(told->text, part) == NULL)
        print_error("'%s' is not in: %s\n", part, told->text);
    assert_non_null(strstr(told->text, part));
}

/* The store of a certificate's key. */
static void assert_store(struct server *server, const char *address, const char *store)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    assert_int_equal(list->count, 1);
    assert_string_equal(list->certificates[0].store, store);
    kw_certificate_list_free(list);
}

/* How many records of keys a store has in the catalogue. */
static long records(struct server *server, const char *store_id)
{
    char command[400], line[32] = "";
    snprintf(command, sizeof(command),
             "sqlite3 %s/state/catalogue.db \"SELECT count(*) FROM record WHERE store_id = '%s' AND name <> CAST('kek' "
             "AS BLOB)\"",
             server->directory, store_id);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof(line), pipe));
    assert_int_equal(pclose(pipe), 0);
    return strtol(line, NULL, 10);
}

static kw_status sign(kw_key *key, kw_error *error)
{
    unsigned char bytes[1024];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    static const unsigned char message[] = "an order";
    const kw_input input = {message, sizeof(message)};
    kw_status status = kw_key_sign(key, NULL, input, &signature, error);
    return status == KW_OK ? kw_key_verify(key, NULL, input, (kw_input){bytes, signature.length}, error) : status;
}

static void transfer_moves_the_key_and_old_ciphertext_is_decrypted(void **state)
{
    struct server *server = *state;
    struct told told = {0};
    kw_bytes cms = {0}, plain = {0};
    kw_key *key = NULL;
    static const unsigned char secret[] = "a password";
    assert_ok(server, kw_cms_encrypt(server->context, "database/sales", (kw_input){secret, sizeof(secret)}, &cms,
                                     &server->error));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, sign(key, &server->error));
    const long before = records(server, "7c9e6679");
    assert_ok(server, transfer(server, "database/sales", "second", &told));
    assert_told(&told, "database/sales: moved from store local to store second");
    assert_int_equal(told.warnings, 0);
    assert_store(server, "database/sales", "second");
    assert_int_equal(records(server, "7c9e6679"), before - 1);
    assert_int_equal(records(server, "0b1d02aa"), 1);
    assert_ok(server, sign(key, &server->error)); /* the handle that was open finds it */
    assert_ok(server, kw_cms_decrypt(server->context, "database/sales", (kw_input){cms.data, cms.length}, &plain,
                                     &server->error));
    assert_int_equal(plain.length, sizeof(secret));
    assert_memory_equal(plain.data, secret, sizeof(secret));
    kw_key_free(key);
    kw_bytes_free(&cms);
    kw_bytes_free(&plain);
}

static void transfer_to_where_it_is_does_nothing(void **state)
{
    struct server *server = *state;
    struct told told = {0};
    assert_ok(server, transfer(server, "database/sales", "local", &told));
    assert_told(&told, "database/sales: is in store local already");
    assert_store(server, "database/sales", "local");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(transfer_moves_the_key_and_old_ciphertext_is_decrypted, start, stop),
        cmocka_unit_test_setup_teardown(transfer_to_where_it_is_does_nothing, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
