#include "store/store.h"

#include "unit/store/fixture.h"

struct place_of_key {
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    kw_output output;
    kw_input input;
};

static void place_begin(struct place_of_key *place)
{
    memset(place, 0, sizeof(*place));
    place->output = (kw_output){.data = place->bytes, .capacity = sizeof(place->bytes)};
}

static void store_keys_are_made_found_listed_and_deleted(void **state)
{
    struct fixture fixture;
    struct store *store;
    struct place_of_key made, found;
    struct id id;
    uint64_t cursor = 0;
    kw_key_template wanted;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    wanted = fixture_template(&fixture, "ec-p384");
    place_begin(&made);
    expect_status(KW_OK, store_key_generate(store, &wanted, &made.output, &error), &error);
    made.input = (kw_input){made.bytes, made.output.length};
    place_begin(&found);
    expect_status(KW_EXISTS, store_key_generate(store, &wanted, &found.output, &error), &error);
    memcpy(id.bytes, wanted.id, sizeof(id.bytes));
    expect_status(KW_OK, store_key_find(store, &id, &found.output, &error), &error);
    assert_int_equal(found.output.length, made.output.length);
    assert_memory_equal(found.bytes, made.bytes, made.output.length);
    place_begin(&found);
    expect_status(KW_OK, store_key_list(store, &cursor, &found.output, &error), &error);
    assert_memory_equal(found.bytes, made.bytes, made.output.length);
    expect_status(KW_NOT_FOUND, store_key_list(store, &cursor, &found.output, &error), &error);
    expect_status(KW_OK, store_key_delete(store, made.input, &error), &error);
    expect_status(KW_NOT_FOUND, store_key_delete(store, made.input, &error), &error);
    expect_status(KW_NOT_FOUND, store_key_find(store, &id, &found.output, &error), &error);
    fixture_end(&fixture);
}

static void store_key_generate_small_buffer_tells_length_and_makes_no_key(void **state)
{
    struct fixture fixture;
    struct store *store;
    struct place_of_key place;
    uint64_t cursor = 0;
    kw_key_template wanted;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    wanted = fixture_template(&fixture, "ec-p256");
    place_begin(&place);
    place.output.capacity = 10;
    expect_status(KW_BUFFER_TOO_SMALL, store_key_generate(store, &wanted, &place.output, &error), &error);
    assert_int_equal(place.output.length, KW_LOCATOR_MAXIMUM);
    place.output = (kw_output){.capacity = sizeof(place.bytes)}; /* no buffer, whatever its capacity */
    expect_status(KW_BUFFER_TOO_SMALL, store_key_generate(store, &wanted, &place.output, &error), &error);
    place_begin(&place);
    expect_status(KW_NOT_FOUND, store_key_list(store, &cursor, &place.output, &error), &error);
    fixture_end(&fixture);
}

static void store_key_generate_beyond_capabilities_is_unsupported_without_a_call(void **state)
{
    static const kw_key_template cases[] = {
        {.size = sizeof(kw_key_template), .type = KW_KEY_RSA, .bits = 8192},
        {.size = sizeof(kw_key_template), .type = KW_KEY_RSA, .bits = 512},
        {.size = sizeof(kw_key_template), .type = KW_KEY_EC, .curve = KW_CURVE_NONE},
        {.size = sizeof(kw_key_template), .type = KW_KEY_NONE},
    };
    struct fixture fixture;
    struct store *store;
    struct place_of_key place;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    place_begin(&place);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_status(KW_UNSUPPORTED, store_key_generate(store, &cases[i], &place.output, &error), &error);
        assert_string_equal(error.where, "store test");
        expect_status(KW_UNSUPPORTED, store_key_import(store, &cases[i], (kw_input){0}, &place.output, &error), &error);
    }
    expect_status(KW_UNSUPPORTED, store_key_generate(store, &cases[0], &place.output, &error), &error);
    expect_text(error.message, "RSA keys of 8192 bits; it takes from 1024 to 4096");
    assert_int_equal(fixture_calls(&fixture, "key_generate"), 0);
    assert_int_equal(fixture_calls(&fixture, "key_import"), 0);
    fixture_end(&fixture);
}

/* The slots are there, but the instance does not claim them. */
static void store_operations_not_claimed_are_unsupported_without_a_call(void **state)
{
    struct fixture fixture;
    struct store *store;
    struct place_of_key place;
    kw_key_template wanted;
    kw_input nothing = {0};
    uint64_t cursor = 0;
    uint64_t calls = 0;
    kw_operation_count counts[STORE_OPERATION_COUNT];
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{hidden: true}");
    store = fixture_store(&fixture);
    wanted = fixture_template(&fixture, "ec-p256");
    place_begin(&place);
    expect_status(KW_UNSUPPORTED, store_key_generate(store, &wanted, &place.output, &error), &error);
    expect_text(error.message, "the store cannot make keys");
    expect_status(KW_UNSUPPORTED, store_key_import(store, &wanted, nothing, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_key_delete(store, nothing, &error), &error);
    expect_status(KW_UNSUPPORTED, store_key_list(store, &cursor, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_random(store, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_set_secret(store, "pin", nothing, &error), &error);
    expect_status(KW_UNSUPPORTED, store_certificate_put(store, nothing, nothing, &error), &error);
    expect_status(KW_UNSUPPORTED, store_certificate_get(store, nothing, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_certificate_delete(store, nothing, &error), &error);
    expect_status(KW_UNSUPPORTED, store_key_export(store, NULL, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_key_attest(store, NULL, nothing, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_sign(store, NULL, NULL, nothing, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_decrypt(store, NULL, NULL, nothing, &place.output, &error), &error);
    expect_status(KW_UNSUPPORTED, store_derive(store, NULL, NULL, nothing, &place.output, &error), &error);
    assert_string_equal(error.where, "store test");
    (void)store_counts(store, counts, &calls);
    assert_int_equal(calls, 1); /* open */
    fixture_end(&fixture);
}

static void store_health_has_a_deadline_in_the_future(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    expect_status(KW_OK, store_health(fixture_store(&fixture), &error), &error);
    fixture_end(&fixture);
}

static void store_random_fills_the_buffer(void **state)
{
    struct fixture fixture;
    unsigned char first[32] = {0}, second[32] = {0};
    kw_output output = {.data = first, .capacity = sizeof(first)};
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    expect_status(KW_OK, store_random(fixture_store(&fixture), &output, &error), &error);
    assert_int_equal(output.length, sizeof(first));
    output = (kw_output){.data = second, .capacity = sizeof(second)};
    expect_status(KW_OK, store_random(fixture_store(&fixture), &output, &error), &error);
    assert_memory_not_equal(first, second, sizeof(first));
    fixture_end(&fixture);
}

static void store_certificate_is_kept_beside_its_key(void **state)
{
    static const unsigned char certificate[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    struct fixture fixture;
    struct store *store;
    struct place_of_key place;
    kw_key_template wanted;
    unsigned char read[16];
    kw_output output = {.data = read, .capacity = sizeof(read)};
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    wanted = fixture_template(&fixture, "ec-p256");
    place_begin(&place);
    expect_status(KW_OK, store_key_generate(store, &wanted, &place.output, &error), &error);
    place.input = (kw_input){place.bytes, place.output.length};
    expect_status(KW_NOT_FOUND, store_certificate_get(store, place.input, &output, &error), &error);
    expect_status(
        KW_OK, store_certificate_put(store, place.input, (kw_input){certificate, sizeof(certificate)}, &error), &error);
    expect_status(KW_OK, store_certificate_get(store, place.input, &output, &error), &error);
    assert_int_equal(output.length, sizeof(certificate));
    assert_memory_equal(read, certificate, sizeof(certificate));
    expect_status(KW_OK, store_certificate_delete(store, place.input, &error), &error);
    expect_status(KW_NOT_FOUND, store_certificate_delete(store, place.input, &error), &error);
    fixture_end(&fixture);
}

static void store_key_attest_binds_the_challenge(void **state)
{
    static const unsigned char challenge[] = "nonce";
    struct fixture fixture;
    struct store *store;
    struct place_of_key place;
    kw_key_template wanted;
    kw_plugin_key *key = NULL;
    kw_key_capabilities capabilities = {0};
    unsigned char statement[16];
    kw_output output = {.data = statement, .capacity = sizeof(statement)};
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    store = fixture_store(&fixture);
    wanted = fixture_template(&fixture, "ec-p256");
    place_begin(&place);
    expect_status(KW_OK, store_key_generate(store, &wanted, &place.output, &error), &error);
    place.input = (kw_input){place.bytes, place.output.length};
    expect_status(KW_OK, store_key_open(store, place.input, &key, &capabilities, &error), &error);
    expect_status(KW_OK, store_key_attest(store, key, (kw_input){challenge, sizeof(challenge)}, &output, &error),
                  &error);
    assert_memory_equal(statement, challenge, sizeof(challenge));
    store_key_close(store, key);
    fixture_end(&fixture);
}

static void store_set_secret_not_acceptable_says_why(void **state)
{
    static const unsigned char pin[] = "12345";
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    expect_status(KW_INVALID_ARGUMENT, store_set_secret(fixture_store(&fixture), "pin", (kw_input){pin, 3}, &error),
                  &error);
    expect_text(error.message, "from 4 to 63 characters");
    expect_status(KW_OK, store_set_secret(fixture_store(&fixture), "pin", (kw_input){pin, 5}, &error), &error);
    fixture_end(&fixture);
}

/* It goes into sentences and files. */
static void store_token_that_is_no_text_is_none(void **state)
{
    static const struct {
        const char *options, *token;
    } cases[] = {{"{}", ""},
                 {"{fault: token}", "f81db109620f8937"},
                 {"{fault: token-control}", ""},
                 {"{fault: token-endless}", ""}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        fixture_open(&fixture, cases[i].options);
        assert_string_equal(store_capabilities(fixture_store(&fixture))->token, cases[i].token);
        fixture_end(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_keys_are_made_found_listed_and_deleted),
        cmocka_unit_test(store_key_generate_small_buffer_tells_length_and_makes_no_key),
        cmocka_unit_test(store_key_generate_beyond_capabilities_is_unsupported_without_a_call),
        cmocka_unit_test(store_operations_not_claimed_are_unsupported_without_a_call),
        cmocka_unit_test(store_health_has_a_deadline_in_the_future),
        cmocka_unit_test(store_token_that_is_no_text_is_none),
        cmocka_unit_test(store_random_fills_the_buffer),
        cmocka_unit_test(store_certificate_is_kept_beside_its_key),
        cmocka_unit_test(store_key_attest_binds_the_challenge),
        cmocka_unit_test(store_set_secret_not_acceptable_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
