#include "store/host.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "unit/store/fixture.h"

#define PIN_OPTIONS "{expected_pin: '1234', pin: file:pin}"

static kw_status try_open(struct fixture *fixture, kw_error *error)
{
    struct store *store = NULL;

    return stores_get(fixture->stores, "test", &store, error);
}

static size_t given(struct fixture *fixture)
{
    return fixture_logged(fixture, "the backend was given a PIN");
}

static void secret_request_right_pin_opens(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, PIN_OPTIONS);
    fixture_write(&fixture, "pin", "1234\n", 0600);
    expect_status(KW_OK, try_open(&fixture, &error), &error);
    assert_int_equal(given(&fixture), 1);
    fixture_end(&fixture);
}

/* W4: a value that was refused is not sent again, until the source gives another. */
static void secret_request_refused_pin_is_not_handed_out_until_it_changes(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, PIN_OPTIONS);
    fixture_write(&fixture, "pin", "1111\n", 0600);
    expect_status(KW_SECRET_REFUSED, try_open(&fixture, &error), &error);
    expect_text(error.message, "the backend refused the PIN");
    for (int i = 0; i < 3; i++) {
        expect_status(KW_SECRET_REFUSED, try_open(&fixture, &error), &error);
        expect_text(error.message, "was refused before and has not changed");
        assert_string_equal(error.where, fixture_path(&fixture, "keywright.yaml"));
        assert_true(error.line > 0);
    }
    assert_int_equal(given(&fixture), 1);
    fixture_write(&fixture, "pin", "2222\n", 0600);
    expect_status(KW_SECRET_REFUSED, try_open(&fixture, &error), &error);
    expect_status(KW_SECRET_REFUSED, try_open(&fixture, &error), &error);
    assert_int_equal(given(&fixture), 2);
    fixture_write(&fixture, "pin", "1234\n", 0600);
    expect_status(KW_OK, try_open(&fixture, &error), &error);
    assert_int_equal(given(&fixture), 3);
    fixture_end(&fixture);
}

/* A plugin that answers KW_SECRET_REFUSED and does not say which secret it was. */
static void open_answering_refused_counts_as_refusal(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{expected_pin: '1234', pin: file:pin, fault: open-secret}");
    fixture_write(&fixture, "pin", "1234\n", 0600);
    expect_status(KW_SECRET_REFUSED, try_open(&fixture, &error), &error);
    expect_status(KW_SECRET_REFUSED, try_open(&fixture, &error), &error);
    expect_text(error.message, "was refused before");
    assert_int_equal(given(&fixture), 1);
    fixture_end(&fixture);
}

static void secret_request_without_source_says_what_is_missing(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{expected_pin: '1234'}");
    expect_status(KW_NOT_FOUND, try_open(&fixture, &error), &error);
    expect_text(error.message, "the store 'test' does not set the option 'pin'");
    assert_string_equal(error.where, fixture_path(&fixture, "keywright.yaml"));
    assert_int_equal(error.line, 6);
    fixture_end(&fixture);
}

static void secret_request_unreadable_source_says_why(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, PIN_OPTIONS);
    expect_status(KW_CONFIGURATION, try_open(&fixture, &error), &error);
    expect_text(error.message, fixture_path(&fixture, "pin"));
    assert_int_equal(given(&fixture), 0);
    fixture_end(&fixture);
}

/* ---- The table itself ------------------------------------------------------------------------------- */

struct bare {
    struct fixture fixture;
    struct stores_options options;
    const struct module *module;
    kw_host_context *context;
    const kw_host *host;
};

static void bare_begin(struct bare *bare, const char *options)
{
    kw_error error = {0};

    fixture_open(&bare->fixture, options);
    bare->options = (struct stores_options){.crypto = bare->fixture.crypto,
                                            .settings = bare->fixture.settings,
                                            .catalogue = bare->fixture.catalogue,
                                            .log = &bare->fixture.log};
    expect_status(KW_OK, loader_open(bare->fixture.module, NULL, 0, &bare->module, &error), &error);
    expect_status(
        KW_OK, host_new(&bare->options, &bare->fixture.settings->stores[0], bare->module, NULL, &bare->context, &error),
        &error);
    bare->host = host_table(bare->context);
    host_call_begin(bare->context);
}

static void bare_end(struct bare *bare)
{
    host_free(bare->context);
    fixture_end(&bare->fixture);
}

static kw_status request(struct bare *bare, const char *option, size_t capacity, char *value)
{
    kw_output output = {.data = bare->host->secret_allocate(bare->host->context, capacity), .capacity = capacity};
    const kw_status status = bare->host->secret_request(bare->host->context, NULL, option, &output);

    if (status == KW_OK) {
        memcpy(value, output.data, output.length);
        value[output.length] = '\0';
    } else if (status == KW_BUFFER_TOO_SMALL)
        assert_int_equal(output.length, KW_SECRET_MAXIMUM);
    bare->host->secret_free(bare->host->context, output.data, capacity);
    return status;
}

static void secret_request_wrong_use_is_refused(void **state)
{
    struct bare bare;
    char value[KW_SECRET_MAXIMUM + 1];

    (void)state;
    bare_begin(&bare, PIN_OPTIONS);
    fixture_write(&bare.fixture, "pin", "1234\n", 0600);
    assert_int_equal(request(&bare, "pin", KW_SECRET_MAXIMUM - 1, value), KW_BUFFER_TOO_SMALL);
    assert_int_equal(request(&bare, "expected_pin", KW_SECRET_MAXIMUM, value), KW_CONFIGURATION);
    assert_non_null(host_call_error());
    expect_text(host_call_error()->message, "none of its secret options");
    assert_int_equal(request(&bare, NULL, KW_SECRET_MAXIMUM, value), KW_CONFIGURATION);
    assert_int_equal(bare.host->secret_request(bare.host->context, NULL, "pin", NULL), KW_INVALID_ARGUMENT);
    assert_int_equal(request(&bare, "pin", KW_SECRET_MAXIMUM, value), KW_OK);
    assert_string_equal(value, "1234");
    bare_end(&bare);
}

static void secret_changed_forgets_the_refusal(void **state)
{
    struct bare bare;
    char value[KW_SECRET_MAXIMUM + 1];

    (void)state;
    bare_begin(&bare, PIN_OPTIONS);
    fixture_write(&bare.fixture, "pin", "9999\n", 0600);
    bare.host->secret_refused(bare.host->context, "pin"); /* nothing was handed out yet */
    assert_int_equal(request(&bare, "pin", KW_SECRET_MAXIMUM, value), KW_OK);
    bare.host->secret_refused(bare.host->context, "pin");
    bare.host->secret_refused(bare.host->context, "none");
    assert_int_equal(request(&bare, "pin", KW_SECRET_MAXIMUM, value), KW_SECRET_REFUSED);
    host_secret_changed(bare.context, "pin");
    assert_int_equal(request(&bare, "pin", KW_SECRET_MAXIMUM, value), KW_OK);
    bare_end(&bare);
}

/* Another store's operation within this one: what that counts and says is its own. */
static void nested_calls_count_for_themselves(void **state)
{
    struct bare bare;
    struct host_nesting nesting;
    const kw_error why = {.status = KW_UNAVAILABLE, .message = "the other's"};

    (void)state;
    bare_begin(&bare, "{}");
    bare.host->count(bare.host->context, 3);
    host_nest_begin(&nesting);
    host_call_begin(bare.context);
    bare.host->count(bare.host->context, 5);
    bare.host->report(bare.host->context, "the other's");
    host_call_explain(&why);
    host_nest_end(&nesting);
    assert_int_equal(host_call_count(), 3);
    assert_string_equal(host_call_sentence(), "");
    assert_null(host_call_error());
    bare_end(&bare);
}

static void report_is_of_this_thread_and_call(void **state)
{
    struct bare bare;

    (void)state;
    bare_begin(&bare, "{}");
    bare.host->report(bare.host->context, "the token is gone");
    assert_string_equal(host_call_sentence(), "the token is gone");
    bare.host->report(bare.host->context, NULL);
    assert_string_equal(host_call_sentence(), "");
    bare.host->report(bare.host->context, "again");
    host_call_begin(bare.context);
    assert_string_equal(host_call_sentence(), "");
    assert_null(host_call_error());
    bare_end(&bare);
}

static void log_names_the_store(void **state)
{
    struct bare bare;

    (void)state;
    bare_begin(&bare, "{}");
    bare.host->log(bare.host->context, KW_LOG_WARNING, "the battery\nis low");
    assert_int_equal(fixture_logged(&bare.fixture, "store test: the battery?is low"), 1);
    bare.host->log(bare.host->context, KW_LOG_WARNING, NULL);
    bare_end(&bare);
}

static void clock_and_random_are_those_of_the_host(void **state)
{
    struct bare bare;
    unsigned char first[48] = {0}, second[48] = {0};
    kw_output output = {.data = first, .capacity = sizeof(first)};
    const uint64_t before = clock_milliseconds();
    uint64_t now;

    (void)state;
    bare_begin(&bare, "{}");
    now = bare.host->clock(bare.host->context);
    assert_true(now >= before && now <= clock_milliseconds());
    assert_int_equal(bare.host->random(bare.host->context, &output), KW_OK);
    assert_int_equal(output.length, sizeof(first));
    output = (kw_output){.data = second, .capacity = sizeof(second)};
    assert_int_equal(bare.host->random(bare.host->context, &output), KW_OK);
    assert_memory_not_equal(first, second, sizeof(first));
    bare_end(&bare);
}

static void records_are_put_read_swapped_listed_and_deleted(void **state)
{
    struct bare bare;
    const kw_host *host;
    const kw_input name = input_text("a"), other = input_text("ab"), one = input_text("one"), two = input_text("two");
    unsigned char bytes[16];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};

    (void)state;
    bare_begin(&bare, "{}");
    host = bare.host;
    assert_int_equal(host->record_get(host->context, name, &output), KW_NOT_FOUND);
    assert_int_equal(host->record_put(host->context, name, one), KW_OK);
    assert_int_equal(host->record_swap(host->context, name, two, one), KW_CONFLICT);
    assert_int_equal(host->record_swap(host->context, name, one, two), KW_OK);
    assert_int_equal(host->record_swap(host->context, other, (kw_input){0}, one), KW_OK);
    assert_int_equal(host->record_get(host->context, name, &output), KW_OK);
    assert_int_equal(output.length, 3);
    assert_memory_equal(bytes, "two", 3);
    assert_int_equal(host->record_next(host->context, name, name, &output), KW_OK);
    assert_int_equal(output.length, 2);
    assert_int_equal(host->record_next(host->context, name, other, &output), KW_NOT_FOUND);
    assert_int_equal(host->record_delete(host->context, name), KW_OK);
    assert_int_equal(host->record_delete(host->context, name), KW_NOT_FOUND);
    bare_end(&bare);
}

static void records_out_of_bounds_are_invalid(void **state)
{
    static const unsigned char bytes[KW_RECORD_VALUE_MAXIMUM + 1];
    const kw_input long_name = {bytes, KW_RECORD_NAME_MAXIMUM + 1}, longest_name = {bytes, KW_RECORD_NAME_MAXIMUM};
    const kw_input name = input_text("a"), one = input_text("one"), nothing = {0};
    struct bare bare;
    const kw_host *host;
    unsigned char read[16];
    kw_output output = {.data = read, .capacity = sizeof(read)};

    (void)state;
    bare_begin(&bare, "{}");
    host = bare.host;
    assert_int_equal(host->record_put(host->context, longest_name, one), KW_OK);
    assert_int_equal(host->record_put(host->context, long_name, one), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_put(host->context, nothing, one), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_put(host->context, name, (kw_input){bytes, sizeof(bytes)}), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_put(host->context, name, (kw_input){NULL, 3}), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_swap(host->context, long_name, nothing, one), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_swap(host->context, name, nothing, (kw_input){NULL, 3}), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_next(host->context, (kw_input){NULL, 3}, nothing, &output), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_next(host->context, nothing, (kw_input){NULL, 3}, &output), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_get(host->context, nothing, &output), KW_INVALID_ARGUMENT);
    assert_int_equal(host->record_delete(host->context, long_name), KW_INVALID_ARGUMENT);
    expect_text(host_call_error()->message, "from 1 to 255 bytes, not 256");
    bare_end(&bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_request_right_pin_opens),
        cmocka_unit_test(secret_request_refused_pin_is_not_handed_out_until_it_changes),
        cmocka_unit_test(open_answering_refused_counts_as_refusal),
        cmocka_unit_test(secret_request_without_source_says_what_is_missing),
        cmocka_unit_test(secret_request_unreadable_source_says_why),
        cmocka_unit_test(secret_request_wrong_use_is_refused),
        cmocka_unit_test(secret_changed_forgets_the_refusal),
        cmocka_unit_test(nested_calls_count_for_themselves),
        cmocka_unit_test(report_is_of_this_thread_and_call),
        cmocka_unit_test(log_names_the_store),
        cmocka_unit_test(clock_and_random_are_those_of_the_host),
        cmocka_unit_test(records_are_put_read_swapped_listed_and_deleted),
        cmocka_unit_test(records_out_of_bounds_are_invalid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
