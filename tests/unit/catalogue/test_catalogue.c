/* Transactions, threads and processes. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

static void describe_says_what_holds_it(void **state)
{
    struct fixture *fixture = *state;
    char text[400];
    snprintf(text, sizeof(text), "sqlite %s/catalogue.db", fixture->state);
    assert_string_equal(catalogue_description(fixture->catalogue), text);
    assert_int_equal(catalogue_schema_version(fixture->catalogue), CATALOGUE_SCHEMA_VERSION);
}

static void derive_is_hkdf_expand_of_the_catalogue_key(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    unsigned char derived[SHA256_LENGTH], expected[SHA256_LENGTH];
    static const unsigned char context[] = {1, 0, 2};
    assert_ok(catalogue_derive(fixture->catalogue, "reject", (kw_input){context, 3}, derived, &error));
    assert_ok(crypto_hkdf_expand(fixture->crypto, fixture_key,
                                 (kw_input){(const unsigned char *)"reject\x01\x00\x02", 9}, expected, sizeof(expected),
                                 &error));
    assert_memory_equal(derived, expected, sizeof(derived));
    assert_ok(catalogue_derive(fixture->catalogue, "other", (kw_input){context, 3}, derived, &error));
    assert_memory_not_equal(derived, expected, sizeof(derived));
}

static void derive_labels_of_the_catalogue_are_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    unsigned char derived[SHA256_LENGTH];
    assert_status(KW_INVALID_ARGUMENT,
                  catalogue_derive(fixture->catalogue, "keywright catalogue rows/1", (kw_input){0}, derived, &error));
    assert_status(KW_INVALID_ARGUMENT,
                  catalogue_derive(fixture->catalogue, "keywright", input_text(" catalogue rows/1"), derived, &error));
}

/* ---- Transactions ---- */

static void transaction_rolled_back_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales");
    assert_ok(fixture_record_put(fixture->catalogue, "kept", "before", &error));
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(fixture_record_put(fixture->catalogue, "gone", "x", &error));
    assert_ok(catalogue_record_delete(fixture->catalogue, fixture_store, input_text("kept"), &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "kept", &error));
    catalogue_rollback(fixture->catalogue);
    assert_ok(fixture_record_get(fixture->catalogue, "kept", &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "gone", &error));
    assert_status(KW_NOT_FOUND, catalogue_entry_get(fixture->catalogue, "database/sales", &row, &error));
    entry_row_clear(&row);
}

static void transaction_failed_call_does_not_end_it(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales");
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_status(KW_EXISTS, catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "none", &error));
    assert_ok(fixture_record_put(fixture->catalogue, "name", "x", &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    assert_ok(fixture_record_get(fixture->catalogue, "name", &error));
    entry_row_clear(&row);
    assert_ok(catalogue_entry_get(fixture->catalogue, "database/sales", &row, &error));
    entry_row_clear(&row);
}

static void transaction_misuse_is_refused(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_status(KW_INVALID_ARGUMENT, catalogue_commit(fixture->catalogue, &error));
    catalogue_rollback(fixture->catalogue);
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_begin(fixture->catalogue, &error));
    assert_ok(fixture_record_put(fixture->catalogue, "name", "x", &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    assert_status(KW_INVALID_ARGUMENT, catalogue_commit(fixture->catalogue, &error));
    catalogue_rollback(fixture->catalogue);
    assert_ok(fixture_record_get(fixture->catalogue, "name", &error));
}

static void transaction_open_at_close_is_rolled_back(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(fixture_record_put(fixture->catalogue, "name", "x", &error));
    fixture_close(fixture);
    fixture_open(fixture);
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "name", &error));
}

/* ---- Threads ---- */

/* While another thread's transaction is open: reads go on, and its rollback is not ours to make. */
static void *read_beside_a_transaction(void *user)
{
    struct fixture *fixture = user;
    struct catalogue_snapshot snapshot = {0};
    kw_error error = {0};
    bool fine = fixture_record_get(fixture->catalogue, "inside", &error) == KW_NOT_FOUND &&
                fixture_record_get(fixture->catalogue, "kept", &error) == KW_OK &&
                catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error) == KW_OK &&
                catalogue_commit(fixture->catalogue, &error) == KW_INVALID_ARGUMENT;
    catalogue_rollback(fixture->catalogue);
    catalogue_snapshot_clear(&snapshot);
    return fine ? fixture : NULL;
}

static void transaction_of_a_thread_is_its_own(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    pthread_t thread;
    void *fine = NULL;
    assert_ok(fixture_record_put(fixture->catalogue, "kept", "x", &error));
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(fixture_record_put(fixture->catalogue, "inside", "x", &error));
    assert_int_equal(pthread_create(&thread, NULL, read_beside_a_transaction, fixture), 0);
    assert_int_equal(pthread_join(thread, &fine), 0); /* it waits for nothing */
    assert_non_null(fine);
    assert_ok(fixture_record_get(fixture->catalogue, "inside", &error));
    assert_ok(catalogue_commit(fixture->catalogue, &error));
    assert_ok(fixture_record_get(fixture->catalogue, "inside", &error));
}

/* Another process' writer does not hold up readers. */
static void snapshot_beside_another_writer_does_not_wait(void **state)
{
    struct fixture *fixture = *state, other = *fixture;
    struct catalogue_snapshot snapshot = {0};
    kw_error error = {0};
    fixture_put(fixture, "database/sales", NULL, NULL);
    other.catalogue = NULL;
    fixture_open(&other);
    assert_ok(catalogue_begin(other.catalogue, &error));
    assert_ok(fixture_record_put(other.catalogue, "inside", "x", &error));
    assert_ok(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error));
    assert_int_equal(snapshot.entry_count, 1);
    catalogue_snapshot_clear(&snapshot);
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "inside", &error));
    assert_ok(catalogue_commit(other.catalogue, &error));
    assert_ok(fixture_record_get(fixture->catalogue, "inside", &error));
    fixture_close(&other);
}

enum { WRITERS = 8, ROUNDS = 25 };

/* Adds one to a number that all writers share, over compare-and-put. */
static int count_up(struct catalogue *catalogue)
{
    for (;;) {
        kw_error error = {0};
        char text[32] = "", next[32];
        kw_output output = {.data = (unsigned char *)text, .capacity = sizeof(text) - 1};
        kw_status status = catalogue_record_get(catalogue, fixture_store, input_text("counter"), &output, &error);
        EXPECT(status == KW_OK || status == KW_NOT_FOUND);
        snprintf(next, sizeof(next), "%ld", strtol(text, NULL, 10) + 1);
        kw_input expected = status == KW_OK ? input_text(text) : (kw_input){0};
        status =
            catalogue_record_swap(catalogue, fixture_store, input_text("counter"), expected, input_text(next), &error);
        if (status == KW_OK)
            return 0;
        EXPECT(status == KW_CONFLICT);
    }
}

/* An entry and its certificate a round, and readings of what is there. */
static int write_and_read(struct fixture *fixture, int number)
{
    struct catalogue *catalogue = fixture->catalogue;
    for (int round = 0; round < ROUNDS; round++) {
        kw_error error = {0};
        char address[64];
        struct catalogue_snapshot snapshot = {0};
        struct entry_row read = {0}, row = {.state = ENTRY_IN_USE};
        snprintf(address, sizeof(address), "database/db-%d-%d", number, round);
        EXPECT(id_make(fixture->crypto, &row.id, &error) == KW_OK);
        row.address = text_copy(address);
        struct certificate_row certificate = {
            .id = row.id, .entry = row.id, .number = 1, .store_id = text_copy(fixture_store)};
        certificate.key = text_copy("ec-p256");
        row.certificate = certificate.id;
        EXPECT(catalogue_begin(catalogue, &error) == KW_OK);
        EXPECT(catalogue_entry_insert(catalogue, &row, &error) == KW_OK);
        EXPECT(catalogue_certificate_insert(catalogue, &certificate, &error) == KW_OK);
        EXPECT(catalogue_commit(catalogue, &error) == KW_OK);
        EXPECT(catalogue_store_register(catalogue, fixture_store, "softstore", &error) == KW_OK);
        EXPECT(count_up(catalogue) == 0);
        EXPECT(catalogue_entry_get(catalogue, address, &read, &error) == KW_OK);
        EXPECT(id_equal(&read.id, &row.id));
        EXPECT(catalogue_snapshot_read(catalogue, NULL, NULL, &snapshot, &error) == KW_OK);
        EXPECT(snapshot.entry_count == snapshot.certificate_count); /* one picture: never half a transaction */
        EXPECT(snapshot.entry_count > (size_t)round);
        catalogue_snapshot_clear(&snapshot);
        certificate_row_clear(&certificate);
        entry_row_clear(&read);
        entry_row_clear(&row);
    }
    return 0;
}

static void assert_all_written(struct fixture *fixture, int writers)
{
    kw_error error = {0};
    char counter[32] = "";
    kw_output output = {.data = (unsigned char *)counter, .capacity = sizeof(counter) - 1};
    struct catalogue_snapshot snapshot = {0};
    assert_ok(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error));
    assert_int_equal(snapshot.entry_count, writers * ROUNDS);
    assert_int_equal(snapshot.certificate_count, writers * ROUNDS);
    catalogue_snapshot_clear(&snapshot);
    assert_ok(catalogue_record_get(fixture->catalogue, fixture_store, input_text("counter"), &output, &error));
    assert_int_equal(strtol(counter, NULL, 10), writers * ROUNDS);
}

static void *write_in_a_thread(void *user)
{
    static atomic_int number;
    return write_and_read(user, number++) == 0 ? user : NULL;
}

static void threads_that_write_and_read_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_in_a_thread, fixture), 0);
    for (size_t i = 0; i < 2; i++) {
        void *fine = NULL;
        assert_int_equal(pthread_join(threads[i], &fine), 0);
        assert_non_null(fine);
    }
    assert_all_written(fixture, 2);
}

/* ---- Processes ---- */

static int open_write_and_read(struct fixture *fixture, int number)
{
    kw_error error = {0};
    EXPECT(catalogue_open(fixture->crypto, fixture->state, fixture_key, false, NULL, &fixture->catalogue, &error) ==
           KW_OK);
    EXPECT(write_and_read(fixture, number) == 0);
    fixture_close(fixture);
    return 0;
}

static void processes_that_write_and_read_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    int children[WRITERS];
    fixture_close(fixture);
    for (int i = 0; i < WRITERS; i++)
        children[i] = fixture_child(open_write_and_read, fixture, i);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(fixture_wait(children[i]), 0);
    fixture_open(fixture);
    assert_all_written(fixture, WRITERS);
}

static int die_in_a_transaction(struct fixture *fixture, int number)
{
    kw_error error = {0};
    (void)number;
    EXPECT(catalogue_open(fixture->crypto, fixture->state, fixture_key, false, NULL, &fixture->catalogue, &error) ==
           KW_OK);
    EXPECT(fixture_record_put(fixture->catalogue, "committed", "x", &error) == KW_OK);
    EXPECT(catalogue_begin(fixture->catalogue, &error) == KW_OK);
    EXPECT(fixture_record_put(fixture->catalogue, "lost", "x", &error) == KW_OK);
    raise(SIGKILL);
    return 0;
}

static void process_killed_in_a_transaction_leaves_what_it_committed(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    fixture_close(fixture);
    assert_int_equal(fixture_wait(fixture_child(die_in_a_transaction, fixture, 0)), -1);
    fixture_open(fixture);
    assert_ok(fixture_record_get(fixture->catalogue, "committed", &error));
    assert_status(KW_NOT_FOUND, fixture_record_get(fixture->catalogue, "lost", &error));
    assert_ok(fixture_record_put(fixture->catalogue, "next", "x", &error));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(describe_says_what_holds_it),
        TEST(derive_is_hkdf_expand_of_the_catalogue_key),
        TEST(derive_labels_of_the_catalogue_are_refused),
        TEST(transaction_rolled_back_leaves_nothing),
        TEST(transaction_failed_call_does_not_end_it),
        TEST(transaction_misuse_is_refused),
        TEST(transaction_open_at_close_is_rolled_back),
        TEST(transaction_of_a_thread_is_its_own),
        TEST(snapshot_beside_another_writer_does_not_wait),
        TEST(threads_that_write_and_read_lose_nothing),
        TEST(processes_that_write_and_read_lose_nothing),
        TEST(process_killed_in_a_transaction_leaves_what_it_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
