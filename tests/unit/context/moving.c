#include "moving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char frail_stores[] =
    "  first:\n"
    "    id: " FIRST_ID "\n"
    "    plugin: " MODULES "/keywright-frail.so\n"
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, control: first.order}\n"
    "  second:\n"
    "    id: " SECOND_ID "\n"
    "    plugin: " MODULES "/keywright-frail.so\n"
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, control: second.order}\n"
    "  no-import:\n"
    "    id: a3333333\n"
    "    plugin: " MODULES "/keywright-frail.so\n"
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, cannot: import}\n"
    "  no-raw:\n"
    "    id: a4444444\n"
    "    plugin: " MODULES "/keywright-frail.so\n"
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, cannot: raw}\n"
    "  no-export:\n"
    "    id: a5555555\n"
    "    plugin: " MODULES "/keywright-frail.so\n"
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, cannot: export}\n"
    "  no-ec:\n"
    "    id: a6666666\n"
    "    plugin: " MODULES "/keywright-frail.so\n"
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, cannot: ec}\n"
    "certificates:\n"
    "  ssl-connection: {key: ec-p256}\n"
    "  server-encryption: {key: ec-p256}\n"
    "  database: {key: ec-p256, store: first}\n";

static const unsigned char secret[] = "a password";

int moving_start(void **state)
{
    static struct moving moving;
    moving = (struct moving){0};
    server_start(&moving.server, frail_stores);
    assert_ok(&moving.server, server_create(&moving.server, "database/sales", NULL));
    assert_ok(&moving.server, kw_cms_encrypt(moving.server.context, "database/sales",
                                             (kw_input){secret, sizeof(secret)}, &moving.cms, &moving.server.error));
    *state = &moving;
    return 0;
}

int moving_stop(void **state)
{
    struct moving *moving = *state;
    kw_bytes_free(&moving->cms);
    server_stop(&moving->server);
    return 0;
}

void told_note(void *user, const kw_event *event)
{
    struct told *told = user;
    const size_t length = strlen(told->text);
    told->warnings += event->warning;
    snprintf(told->text + length, sizeof(told->text) - length, "%s: %s\n", event->certificate, event->what);
}

void assert_told(const struct told *told, const char *part)
{
    if (strstr(told->text, part) == NULL)
        print_error("'%s' is not in: %s\n", part, told->text);
    assert_non_null(strstr(told->text, part));
}

kw_status moving_transfer(struct server *server, const char *address, const char *store, struct told *told)
{
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = store, .wait_ms = 60000};
    return kw_transfer(server->context, &options, told != NULL ? told_note : NULL, told, &server->error);
}

void moving_order(struct server *server, const char *store, const char *order)
{
    char name[64];
    snprintf(name, sizeof(name), "%s.order", store);
    if (order == NULL)
        (void)unlink(server_path(server, name));
    else
        server_write_file(server, name, order, strlen(order), 0600);
}

/* Through another process: closing the catalogue's file here would drop SQLite's locks. */
static long ask(struct server *server, const char *question)
{
    char command[512], line[32] = "";
    snprintf(command, sizeof(command), "sqlite3 -cmd '.timeout 5000' %s/state/catalogue.db \"%s\" >%s/answer",
             server->directory, question, server->directory);
    server_run(command);
    line[server_read_file(server, "answer", (unsigned char *)line, sizeof(line) - 1)] = '\0';
    return strtol(line, NULL, 10);
}

long moving_keys(struct server *server, const char *store_id)
{
    char question[200];
    snprintf(question, sizeof(question),
             "SELECT count(*) FROM record WHERE store_id = '%s' AND name <> CAST('kek' AS BLOB)", store_id);
    return ask(server, question);
}

long moving_journal(struct server *server)
{
    return ask(server, "SELECT count(*) FROM journal");
}

const char *moving_store(struct server *server, const char *address)
{
    static char name[64];
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    assert_int_equal(list->count, 1);
    snprintf(name, sizeof(name), "%s", list->certificates[0].store);
    kw_certificate_list_free(list);
    return name;
}

kw_status moving_sign(kw_key *key, kw_error *error)
{
    static const unsigned char message[] = "an order";
    unsigned char bytes[1024];
    const kw_input input = {message, sizeof(message)};
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = kw_key_sign(key, NULL, input, &signature, error);
    return status == KW_OK ? kw_key_verify(key, NULL, input, (kw_input){bytes, signature.length}, error) : status;
}

void assert_whole(struct moving *moving)
{
    struct server *server = &moving->server;
    kw_key *key = NULL;
    kw_bytes plain = {0};
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, moving_sign(key, &server->error));
    kw_key_free(key);
    assert_ok(server, kw_cms_decrypt(server->context, "database/sales",
                                     (kw_input){moving->cms.data, moving->cms.length}, &plain, &server->error));
    assert_int_equal(plain.length, sizeof(secret));
    assert_memory_equal(plain.data, secret, sizeof(secret));
    kw_bytes_free(&plain);
    const bool in_first = strcmp(moving_store(server, "database/sales"), "first") == 0;
    assert_int_equal(moving_keys(server, FIRST_ID), in_first ? 1 : 0);
    assert_int_equal(moving_keys(server, SECOND_ID), in_first ? 0 : 1);
    assert_int_equal(moving_journal(server), 0);
}

bool moving_full(void)
{
    const char *full = getenv("KW_TEST_FULL");
    return full != NULL && strcmp(full, "yes") == 0;
}

unsigned moving_random(unsigned limit)
{
    static unsigned seed;
    const char *given = getenv("KW_TEST_SEED");
    if (seed == 0) {
        seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL) ^ (unsigned)getpid();
        seed = seed != 0 ? seed : 1;
        print_message("KW_TEST_SEED=%u\n", seed);
    }
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % limit;
}
