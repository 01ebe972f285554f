/* What a process that dies leaves behind is found and cleared up, and nothing else is touched. */
#include "certificate/manager.h"
#include "server.h"

#include "base/buffer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int start(void **state)
{
    static struct server server;
    server_start(&server, NULL);
    assert_ok(&server, server_create(&server, "database/sales", NULL));
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

static size_t journal_rows(struct server *server, struct journal_row *first)
{
    struct journal_row *rows = NULL;
    size_t count = 0;
    assert_ok(server, catalogue_journal_read(server->context->catalogue, NULL, NULL, &rows, &count, &server->error));
    for (size_t i = 0; i < count; i++) {
        if (i == 0 && first != NULL)
            *first = rows[0];
        else
            journal_row_clear(&rows[i]);
    }
    free(rows);
    return count;
}

static struct store *local(struct server *server)
{
    struct store *store = NULL;
    assert_ok(server, stores_get(server->context->stores, "local", &store, &server->error));
    return store;
}

static kw_status find(struct server *server, const struct id *key_id)
{
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    kw_output locator = {.data = bytes, .capacity = sizeof(bytes)};
    return store_key_find(local(server), key_id, &locator, &server->error);
}

/* Runs `step` in a child that then dies by kill -9: no handler and no tool that watches it gets a word in. */
static void in_a_process_that_dies(struct server *server, void (*step)(struct server *))
{
    int result = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        step(server);
        (void)kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
    assert_int_equal(WTERMSIG(result), SIGKILL);
}

static void make_a_key(struct server *server)
{
    struct key_arrival arrival = {0};
    if (key_arrival_begin(server->context, "database/new", local(server), "ec-p256", (kw_input){0}, &arrival, NULL) !=
        KW_OK)
        _exit(1);
}

static void recover_creation_of_a_dead_process_removes_the_key(void **state)
{
    struct server *server = *state;
    struct journal_row row = {0};
    in_a_process_that_dies(server, make_a_key);
    assert_int_equal(journal_rows(server, &row), 1);
    assert_ok(server, find(server, &row.key_id));
    server_reopen(server);
    assert_status(server, KW_NOT_FOUND, find(server, &row.key_id));
    assert_int_equal(journal_rows(server, NULL), 0);
    journal_row_clear(&row);
}

/* Statements on the catalogue's file itself; in `kept.journal` are the rows that there were. */
static void change(struct server *server, const char *statements)
{
    char command[2048];
    kw_close(server->context);
    server->context = NULL;
    snprintf(command, sizeof(command), "sqlite3 -bail '%s/state/" CATALOGUE_FILE "' \"ATTACH '%s/kept' AS kept; %s\"",
             server->directory, server->directory, statements);
    server_run(command);
    server_reopen(server);
}

/* Nothing is done because of a row that somebody changed: no key goes, neither the row's nor another, and who asks is refused. */
static void recover_does_nothing_because_of_changed_rows(void **state)
{
    static const struct {
        const char *change;
        unsigned corrupt; /* of two rows */
    } cases[] = {
        {"UPDATE main.journal SET id = hex(randomblob(16)) WHERE rowid = 1", 1},
        {"UPDATE main.journal SET owner = lower(hex(randomblob(16))) WHERE rowid = 1", 1},
        {"UPDATE main.journal SET operation = 'delete key' WHERE rowid = 1", 1},
        {"UPDATE main.journal SET operation = 'leave key' WHERE rowid = 1", 1},
        {"UPDATE main.journal SET address = 'database/sales' WHERE rowid = 1", 1},
        {"UPDATE main.journal SET store_id = '7c9e667a' WHERE rowid = 1", 1},
        {"UPDATE main.journal SET key_id = lower(hex(randomblob(16))) WHERE rowid = 1", 1},
        {"UPDATE main.journal SET locator = (SELECT locator FROM main.certificate LIMIT 1) WHERE rowid = 1", 1},
        {"UPDATE main.journal SET created = created - 1 WHERE rowid = 1", 1},
        {"UPDATE main.journal SET generation = generation + 1 WHERE rowid = 1", 1},
        {"UPDATE main.journal SET mac = randomblob(32) WHERE rowid = 1", 1},
        /* whole contents, with their macs, under each other's ids; and two fields alone */
        {"UPDATE main.journal SET (owner, operation, address, store_id, key_id, locator, created, generation, mac) = "
         "(SELECT "
         "owner, operation, address, store_id, key_id, locator, created, generation, mac FROM kept.journal AS other "
         "WHERE "
         "other.id <> main.journal.id)",
         2},
        {"UPDATE main.journal SET (key_id, locator) = (SELECT key_id, locator FROM kept.journal AS other WHERE "
         "other.id <> "
         "main.journal.id)",
         2},
    };
    struct server *server = *state;
    struct journal_row *rows = NULL;
    size_t count = 0;
    struct id keys[2] = {{{0}}};
    in_a_process_that_dies(server, make_a_key);
    in_a_process_that_dies(server, make_a_key);
    assert_ok(server, catalogue_journal_read(server->context->catalogue, NULL, NULL, &rows, &count, &server->error));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        keys[i] = rows[i].key_id;
        journal_row_clear(&rows[i]);
    }
    free(rows);
    kw_close(server->context);
    server->context = NULL;
    /* Both rows as they were, before any start has seen them. */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char statements[900];
        if (i == 0) {
            char command[512];
            snprintf(command, sizeof(command),
                     "sqlite3 -bail '%s/state/" CATALOGUE_FILE
                     "' \"ATTACH '%s/kept' AS kept; CREATE TABLE kept.journal AS SELECT * FROM main.journal\"",
                     server->directory, server->directory);
            server_run(command);
        }
        snprintf(statements, sizeof(statements),
                 "DELETE FROM main.journal; INSERT INTO main.journal SELECT * FROM kept.journal%s; %s",
                 cases[i].corrupt == 1 ? " LIMIT 1" : "", cases[i].change);
        change(server, statements);
        for (size_t key = 0; key < 2; key++)
            if (find(server, &keys[key]) != KW_OK)
                fail_msg("a key is gone: %s", cases[i].change);
        assert_status(server, KW_CORRUPT,
                      key_check_not_leaving(server->context, local(server), (kw_input){(const unsigned char *)"x", 1},
                                            &server->error));
    }
    /* Unchanged, they do their work: what was looked at above can go. */
    change(server, "DELETE FROM main.journal; INSERT INTO main.journal SELECT * FROM kept.journal");
    for (size_t key = 0; key < 2; key++)
        assert_status(server, KW_NOT_FOUND, find(server, &keys[key]));
    assert_int_equal(journal_rows(server, NULL), 0);
}

static void recover_leaves_the_living_alone(void **state)
{
    struct server *server = *state;
    struct server other = *server;
    struct key_arrival arrival = {0};
    other.context = NULL;
    assert_ok(server, key_arrival_begin(server->context, "database/new", local(server), "ec-p256", (kw_input){0},
                                        &arrival, &server->error));
    server_reopen(&other);
    assert_int_equal(journal_rows(server, NULL), 1);
    assert_ok(server, find(server, &arrival.key_id));
    const struct id key_id = arrival.key_id;
    key_arrival_abandon(server->context, &arrival);
    assert_status(server, KW_NOT_FOUND, find(server, &key_id));
    assert_int_equal(journal_rows(server, NULL), 0);
    kw_close(other.context);
}

/* A row whose owner is nobody, about the key of database/sales. */
static void write_row(struct server *server, enum journal_operation operation, const char *store_id)
{
    struct found found = {0};
    struct journal_row row = {.operation = operation};
    assert_ok(server, manager_find(server->context, "database/sales", &found, &server->error));
    assert_ok(server, id_make(server->context->crypto, &row.id, &server->error));
    assert_ok(server, id_make(server->context->crypto, &row.owner, &server->error));
    row.key_id = found.certificate.key_id;
    row.address = strdup("database/sales");
    row.store_id = strdup(store_id);
    memcpy(row.locator, found.certificate.locator, found.certificate.locator_length);
    row.locator_length = operation == JOURNAL_DELETE_KEY ? found.certificate.locator_length : 0;
    assert_ok(server, catalogue_journal_insert(server->context->catalogue, &row, &server->error));
    journal_row_clear(&row);
    found_clear(&found);
}

static void recover_never_deletes_a_key_that_a_certificate_names(void **state)
{
    struct server *server = *state;
    kw_key *key = NULL;
    write_row(server, JOURNAL_CREATE_KEY, "7c9e6679");
    write_row(server, JOURNAL_DELETE_KEY, "7c9e6679");
    server_reopen(server);
    assert_int_equal(journal_rows(server, NULL), 0);
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    kw_key_free(key);
}

static void recover_without_the_store_keeps_the_row(void **state)
{
    struct server *server = *state;
    write_row(server, JOURNAL_CREATE_KEY, "ffffffff");
    server_reopen(server);
    assert_int_equal(journal_rows(server, NULL), 1);
}

static void take_out_of_the_catalogue(struct server *server)
{
    struct found found = {0};
    struct key_arrival departure = {0};
    kw_context *context = server->context;
    if (manager_find(context, "database/sales", &found, NULL) != KW_OK ||
        catalogue_begin(context->catalogue, NULL) != KW_OK ||
        key_departure_begin(context, &found, local(server), &departure, NULL) != KW_OK ||
        catalogue_certificate_delete(context->catalogue, &found.certificate.id, NULL) != KW_OK ||
        catalogue_entry_delete(context->catalogue, &found.entry.id, NULL) != KW_OK ||
        catalogue_commit(context->catalogue, NULL) != KW_OK)
        _exit(1);
}

static void recover_deletion_of_a_dead_process_finishes_it(void **state)
{
    struct server *server = *state;
    struct journal_row row = {0};
    in_a_process_that_dies(server, take_out_of_the_catalogue);
    assert_int_equal(journal_rows(server, &row), 1);
    assert_ok(server, find(server, &row.key_id));
    server_reopen(server);
    assert_status(server, KW_NOT_FOUND, find(server, &row.key_id));
    assert_int_equal(journal_rows(server, NULL), 0);
    journal_row_clear(&row);
}

/* The row goes behind the catalogue's back; the entry's HMAC still names it. */
static void list_without_the_current_certificates_row_tells_and_delete_forced_drops_it(void **state)
{
    struct server *server = *state;
    struct found found = {0};
    kw_certificate_list *list = NULL;
    kw_bytes content = {0};
    const kw_certificate_filter filter = {.size = sizeof(filter)};
    const kw_export_options everything = {
        .size = sizeof(everything), .everything = true, .password_source = "env:HOME", .content = &content};
    assert_ok(server, manager_find(server->context, "database/sales", &found, &server->error));
    char *command =
        text_format("sqlite3 %s/state/catalogue.db \"PRAGMA foreign_keys=OFF; DELETE FROM certificate WHERE entry="
                    "(SELECT id FROM entry WHERE address='database/sales')\"",
                    server->directory);
    server_run(command);
    free(command);
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    assert_int_equal(list->problem_count, 1);
    assert_non_null(strstr(list->problems[0].where, "database/sales"));
    kw_certificate_list_free(list);
    assert_status(server, KW_CORRUPT, kw_export(server->context, &everything, NULL, NULL, &server->error));
    assert_status(server, KW_CORRUPT, kw_certificate_delete(server->context, "database/sales", false, &server->error));
    assert_ok(server, kw_certificate_delete(server->context, "database/sales", true, &server->error));
    assert_ok(server, find(server, &found.certificate.key_id)); /* the key stays */
    assert_ok(server, server_create(server, "database/sales", NULL));
    found_clear(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(list_without_the_current_certificates_row_tells_and_delete_forced_drops_it,
                                        start, stop),
        cmocka_unit_test_setup_teardown(recover_creation_of_a_dead_process_removes_the_key, start, stop),
        cmocka_unit_test_setup_teardown(recover_does_nothing_because_of_changed_rows, start, stop),
        cmocka_unit_test_setup_teardown(recover_leaves_the_living_alone, start, stop),
        cmocka_unit_test_setup_teardown(recover_never_deletes_a_key_that_a_certificate_names, start, stop),
        cmocka_unit_test_setup_teardown(recover_without_the_store_keeps_the_row, start, stop),
        cmocka_unit_test_setup_teardown(recover_deletion_of_a_dead_process_finishes_it, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
