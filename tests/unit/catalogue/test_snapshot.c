#include "fixture.h"

static void snapshot_empty_catalogue_gives_nothing(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct catalogue_snapshot snapshot = {.entry_count = 9, .certificate_count = 9};
    assert_ok(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error));
    assert_int_equal(snapshot.entry_count, 0);
    assert_int_equal(snapshot.certificate_count, 0);
    catalogue_snapshot_clear(&snapshot);
}

static void snapshot_entries_by_address_certificates_by_number(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct id sales, hr;
    struct catalogue_snapshot snapshot = {0};
    fixture_put(fixture, "database/sales", &sales, NULL);
    fixture_put(fixture, "database/hr", &hr, NULL);
    for (unsigned number = 3; number >= 2; number--) {
        struct certificate_row row = fixture_certificate(fixture, &sales, number);
        assert_ok(catalogue_certificate_insert(fixture->catalogue, &row, &error));
        certificate_row_clear(&row);
    }
    assert_ok(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error));
    assert_int_equal(snapshot.entry_count, 2);
    assert_string_equal(snapshot.entries[0].address, "database/hr");
    assert_string_equal(snapshot.entries[1].address, "database/sales");
    assert_int_equal(snapshot.entries[1].database_count, 2);
    assert_int_equal(snapshot.certificate_count, 4);
    unsigned last = 0;
    for (size_t i = 0; i < snapshot.certificate_count; i++) {
        bool same = i > 0 && id_equal(&snapshot.certificates[i].entry, &snapshot.certificates[i - 1].entry);
        assert_int_equal(snapshot.certificates[i].number, same ? last + 1 : 1);
        last = snapshot.certificates[i].number;
    }
    catalogue_snapshot_clear(&snapshot);
    assert_int_equal(snapshot.entry_count, 0);
}

/* Inside a transaction its own writes are seen; a rollback takes them back. */
static void snapshot_in_a_transaction_sees_its_writes(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct catalogue_snapshot snapshot = {0};
    struct entry_row row = fixture_entry(fixture, "database/sales");
    assert_ok(catalogue_begin(fixture->catalogue, &error));
    assert_ok(catalogue_entry_insert(fixture->catalogue, &row, &error));
    assert_ok(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error));
    assert_int_equal(snapshot.entry_count, 1);
    catalogue_snapshot_clear(&snapshot);
    catalogue_rollback(fixture->catalogue);
    assert_ok(catalogue_snapshot_read(fixture->catalogue, NULL, NULL, &snapshot, &error));
    assert_int_equal(snapshot.entry_count, 0);
    catalogue_snapshot_clear(&snapshot);
    entry_row_clear(&row);
}

struct listener {
    struct fixture *fixture;
    int calls;
    kw_status inner;
};

static void listen_and_call(void *user, const kw_error *error)
{
    struct listener *listener = user;
    struct entry_row row = {0};
    assert_int_equal(error->status, KW_CORRUPT);
    listener->calls++;
    listener->inner = catalogue_entry_get(listener->fixture->catalogue, "database/hr", &row, NULL);
    entry_row_clear(&row);
}

/* No lock is held while it is told: the listener may call the catalogue. */
static void snapshot_listener_may_use_the_catalogue(void **state)
{
    struct fixture *fixture = *state;
    kw_error error = {0};
    struct listener listener = {.fixture = fixture, .inner = KW_FAILED};
    struct catalogue_snapshot snapshot = {0};
    fixture_put(fixture, "database/sales", NULL, NULL);
    fixture_put(fixture, "database/hr", NULL, NULL);
    fixture_execute(fixture, "UPDATE entry SET created = 0 WHERE address = 'database/sales'");
    assert_ok(catalogue_snapshot_read(fixture->catalogue, listen_and_call, &listener, &snapshot, &error));
    assert_int_equal(listener.calls, 1);
    assert_int_equal(listener.inner, KW_OK);
    catalogue_snapshot_clear(&snapshot);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(snapshot_empty_catalogue_gives_nothing),
        TEST(snapshot_entries_by_address_certificates_by_number),
        TEST(snapshot_in_a_transaction_sees_its_writes),
        TEST(snapshot_listener_may_use_the_catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
