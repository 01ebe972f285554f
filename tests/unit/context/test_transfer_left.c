/* What a transfer leaves that could not end: it is in nobody's way, and the old copy goes only when the other one has proved itself. */
#include "moving.h"

#include <stdio.h>
#include <string.h>

/* What came to nothing, and could not be cleared up since the target was away, is in nobody's way: also not while its process lives. */
static void transfer_that_left_something_is_repeated_by_the_same_process(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    /* From the call on that comes after the import. */
    for (unsigned number = 1; moving_keys(server, SECOND_ID) == 0; number++) {
        char order[64];
        snprintf(order, sizeof(order), "gone any %u\n", number);
        moving_order(server, "second", order);
        assert_status(server, KW_UNAVAILABLE, moving_transfer(server, "database/sales", "second", NULL));
    }
    /* Elsewhere, with what was left still there; and then where it was wanted. */
    assert_ok(server, moving_transfer(server, "database/sales", "no-raw", NULL));
    assert_ok(server, moving_transfer(server, "database/sales", "first", NULL));
    assert_true(moving_journal(server) > 0);
    assert_int_equal(moving_keys(server, SECOND_ID), 1);
    moving_order(server, "second", NULL);
    assert_ok(server, moving_transfer(server, "database/sales", "second", NULL));
    assert_whole(moving);
}

/* Until the old copy may go, and with the journal row of that. */
static void move_and_leave_the_old_copy(struct server *server)
{
    struct told told = {0};
    moving_order(server, "first", "fail delete 1\n");
    assert_ok(server, moving_transfer(server, "database/sales", "second", &told));
    assert_told(&told, "could not be deleted");
    moving_order(server, "first", NULL);
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
}

/* The old copy could not be deleted: whoever comes next does it, also while its process lives. */
static void old_copy_that_stayed_goes_while_the_process_lives(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct server other = *server;
    move_and_leave_the_old_copy(server);
    other.context = NULL;
    server_reopen(&other);
    assert_whole(moving);
    kw_close(other.context);
}

static void old_copy_stays_while_the_target_is_away(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    move_and_leave_the_old_copy(server);
    moving_order(server, "second", "gone any 1\n");
    server_reopen(server);
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    assert_int_equal(moving_journal(server), 1);
    moving_order(server, "second", NULL);
    server_reopen(server);
    assert_whole(moving);
}

/* Who only looks does not wait for a store, and deletes nothing. */
static void old_copy_is_left_alone_by_programs_that_look(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .looks = true};
    move_and_leave_the_old_copy(server);
    kw_close(server->context);
    server->context = NULL;
    assert_ok(server, kw_open(&options, &server->context, &server->error));
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    assert_int_equal(moving_journal(server), 1);
    server_reopen(server);
    assert_whole(moving);
}

/* As where a token was set back to an older state. */
static void old_copy_stays_when_the_target_has_lost_the_key(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    char command[400];
    static const char where[] = "store_id = '" SECOND_ID "' AND name <> CAST('kek' AS BLOB)";
    move_and_leave_the_old_copy(server);
    kw_close(server->context);
    server->context = NULL;
    snprintf(command, sizeof(command),
             "sqlite3 %s/state/catalogue.db \"CREATE TABLE lost AS SELECT * FROM record WHERE %s; DELETE FROM record "
             "WHERE %s\"",
             server->directory, where, where);
    server_run(command);
    server_reopen(server);
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    assert_int_equal(moving_journal(server), 1);
    snprintf(command, sizeof(command),
             "sqlite3 %s/state/catalogue.db \"INSERT INTO record SELECT * FROM lost; DROP TABLE lost\"",
             server->directory);
    kw_close(server->context);
    server->context = NULL;
    server_run(command);
    server_reopen(server);
    assert_whole(moving);
}

/* Just before the deletion the target goes away: it is looked at once more. */
static void old_copy_goes_after_one_more_proof(void **state)
{
    struct moving *moving = *state;
    struct server *server = &moving->server;
    struct told told = {0};
    for (unsigned number = 1; strcmp(moving_store(server, "database/sales"), "first") == 0; number++) {
        char order[64];
        snprintf(order, sizeof(order), "gone any %u\n", number);
        moving_order(server, "second", order);
        told = (struct told){0};
        const kw_status status = moving_transfer(server, "database/sales", "second", &told);
        assert_true(status == KW_OK || status == KW_UNAVAILABLE);
    }
    assert_told(&told, "could not be deleted");
    assert_int_equal(moving_keys(server, FIRST_ID), 1);
    moving_order(server, "second", NULL);
    server_reopen(server);
    assert_string_equal(moving_store(server, "database/sales"), "second");
    assert_whole(moving);
}

/* The certificate was deleted meanwhile: its key goes from both stores. */
static void old_copy_of_a_key_that_was_deleted_goes(void **state)
{
    struct server *server = &((struct moving *)*state)->server;
    move_and_leave_the_old_copy(server);
    assert_ok(server, kw_certificate_delete(server->context, "database/sales", true, &server->error));
    server_reopen(server);
    assert_int_equal(moving_keys(server, FIRST_ID), 0);
    assert_int_equal(moving_keys(server, SECOND_ID), 0);
    assert_int_equal(moving_journal(server), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, moving_start, moving_stop)
    const struct CMUnitTest tests[] = {
        TEST(transfer_that_left_something_is_repeated_by_the_same_process),
        TEST(old_copy_that_stayed_goes_while_the_process_lives),
        TEST(old_copy_stays_while_the_target_is_away),
        TEST(old_copy_is_left_alone_by_programs_that_look),
        TEST(old_copy_stays_when_the_target_has_lost_the_key),
        TEST(old_copy_goes_after_one_more_proof),
        TEST(old_copy_of_a_key_that_was_deleted_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
