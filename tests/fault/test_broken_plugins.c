/* A plugin that loads and then breaks a rule of plugin.h, or whose backend fails: what the host makes of it. */
#include "unit/store/fixture.h"

#define UNTOUCHED 4711u

static void open_with(struct fixture *fixture, const char *fault, const char *more)
{
    char options[256];

    snprintf(options, sizeof(options), "{fault: %s%s}", fault, more);
    fixture_open(fixture, options);
}

static void expect_error(kw_status expected, kw_status actual, const kw_error *error, const char *message)
{
    expect_status(expected, actual, error);
    assert_int_equal(error->status, expected);
    expect_text(error->message, message);
    assert_string_equal(error->where, "store test");
}

static void stores_get_open_fails_passes_on_status_and_reason(void **state)
{
    static const struct {
        const char *fault;
        kw_status status;
        const char *message;
    } cases[] = {
        {"open-fails", KW_UNAVAILABLE, "the backend is?not there"}, /* a plugin cannot forge lines */
        {"open-silent", KW_PERMISSION, "the plugin answered 'permission denied' to open and gave no reason"},
        {"open-status", KW_FAILED, "the plugin 'memory' is broken: its open answered the unknown status 2122219134"},
        {"open-null", KW_FAILED, "its open answered success and gave no instance"},
        {"open-secret", KW_SECRET_REFUSED, "the plugin answered 'secret refused' to open"},
        {"record", KW_INVALID_ARGUMENT, "a record's name has from 1 to 255 bytes, not 0"}, /* the host's own reason */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct store *store = NULL;
        kw_error error = {0};

        open_with(&fixture, cases[i].fault, "");
        expect_error(cases[i].status, stores_get(fixture.stores, "test", &store, &error), &error, cases[i].message);
        assert_null(store);
        /* and is tried again at the next use */
        expect_status(cases[i].status, stores_get(fixture.stores, "test", &store, &error), &error);
        assert_int_equal(fixture_calls(&fixture, "open"), 2);
        fixture_end(&fixture);
    }
}

static void store_health_unknown_status_is_failed(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    open_with(&fixture, "health-status", "");
    expect_error(KW_FAILED, store_health(fixture_store(&fixture), &error), &error,
                 "its health answered the unknown status");
    fixture_end(&fixture);
}

static void key_open_broken_plugin_is_failed(void **state)
{
    static const struct {
        const char *fault;
        kw_status status;
        const char *message;
    } cases[] = {
        {"key-open-null", KW_FAILED, "its key_open answered success and gave no key"},
        {"key-open-type", KW_FAILED, "the type that it claims for a key is not that of its public key"},
        {"public-long", KW_FAILED, "its key_public claims to have written more than the buffer holds"},
        {"public-garbage", KW_CORRUPT, "the public key is not a SubjectPublicKeyInfo"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        struct store *store;
        kw_key_template wanted;
        unsigned char locator[KW_LOCATOR_MAXIMUM];
        kw_output output = {.data = locator, .capacity = sizeof(locator)};
        kw_key *key = NULL;
        kw_error error = {0};

        open_with(&fixture, cases[i].fault, "");
        store = fixture_store(&fixture);
        wanted = fixture_template(&fixture, "ec-p256");
        expect_status(KW_OK, store_key_generate(store, &wanted, &output, &error), &error);
        expect_error(cases[i].status, key_open(store, (kw_input){locator, output.length}, &key, &error), &error,
                     cases[i].message);
        assert_null(key);
        fixture_end(&fixture);
    }
}

static void store_key_generate_impossible_locator_is_failed(void **state)
{
    static const struct {
        const char *fault;
        size_t room;
        const char *message;
    } cases[] = {
        {"locator-empty", KW_LOCATOR_MAXIMUM, "gave a locator that is empty or too long"},
        {"locator-long", 2 * KW_LOCATOR_MAXIMUM, "gave a locator that is empty or too long"},
        {"locator-long", KW_LOCATOR_MAXIMUM, "claims to have written more than the buffer holds"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        kw_key_template wanted;
        unsigned char locator[2 * KW_LOCATOR_MAXIMUM];
        kw_output output = {.data = locator, .capacity = cases[i].room};
        kw_error error = {0};

        open_with(&fixture, cases[i].fault, "");
        wanted = fixture_template(&fixture, "ec-p256");
        expect_error(KW_FAILED, store_key_generate(fixture_store(&fixture), &wanted, &output, &error), &error,
                     cases[i].message);
        fixture_end(&fixture);
    }
}

static void store_key_list_impossible_length_is_failed(void **state)
{
    struct fixture fixture;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = locator, .capacity = sizeof(locator), .length = UNTOUCHED};
    uint64_t cursor = 0;
    kw_error error = {0};

    (void)state;
    open_with(&fixture, "list-long", "");
    kw_key_free(fixture_key(&fixture, "ed25519"));
    expect_error(KW_FAILED, store_key_list(fixture_store(&fixture), &cursor, &output, &error), &error,
                 "its key_list claims to have written more than the buffer holds");
    assert_int_equal(output.length, UNTOUCHED);
    fixture_end(&fixture);
}

static void kw_key_sign_broken_plugin_is_failed(void **state)
{
    static const struct {
        const char *fault;
        const char *kind;
        const char *message;
    } cases[] = {
        {"sign-long", "ec-p256", "its sign claims to have written more than the buffer holds"},
        {"sign-long", "ed25519", "its sign claims to have written more than the buffer holds"},
        {"sign-short", "ec-p256", "its signature has a length that none of this key has"},
        {"sign-short", "rsa-2048", "its signature has a length that none of this key has"},
        {"sign-status", "ec-p256", "its sign answered the unknown status 858993459"},
        {"sign-negative", "ec-p256", "its sign answered the unknown status -1"},
        {"too-small-lie", "ec-p256", "calls a buffer too small that is as large as it asks for"},
        {"too-small-absurd", "ec-p256", "asks for an absurdly large buffer"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        unsigned char signature[512] = {0};
        kw_output output = {.data = signature, .capacity = sizeof(signature), .length = UNTOUCHED};
        kw_key *key;
        kw_error error = {0};

        open_with(&fixture, cases[i].fault, "");
        key = fixture_key(&fixture, cases[i].kind);
        expect_error(KW_FAILED, kw_key_sign(key, NULL, (kw_input){signature, 3}, &output, &error), &error,
                     cases[i].message);
        assert_int_equal(output.length, UNTOUCHED);
        kw_key_free(key);
        fixture_end(&fixture);
    }
}

static void kw_key_sign_backend_away_keeps_the_status(void **state)
{
    struct fixture fixture;
    unsigned char signature[512] = {0};
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_operation_count counts[STORE_OPERATION_COUNT];
    uint64_t calls = 0;
    size_t count;
    kw_key *key;
    kw_error error = {0};

    (void)state;
    open_with(&fixture, "away", "");
    key = fixture_key(&fixture, "ec-p256");
    expect_error(KW_UNAVAILABLE, kw_key_sign(key, NULL, (kw_input){signature, 3}, &output, &error), &error,
                 "the device is not plugged in");
    count = store_counts(key_store(key), counts, &calls);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(counts[i].errors, strcmp(counts[i].operation, "sign") == 0 ? 1 : 0);
    kw_key_free(key);
    fixture_end(&fixture);
}

static void kw_key_decrypt_broken_plugin_is_failed(void **state)
{
    static const struct {
        const char *fault, *more;
        const char *message;
    } cases[] = {
        {"decrypt-long", "", "its decrypt claims to have written more than the buffer holds"},
        {"raw-short", ", raw: true", "its raw RSA does not answer with as many bytes as the modulus has"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        unsigned char ciphertext[256] = {0}, plaintext[256] = {0};
        kw_output encrypted = {.data = ciphertext, .capacity = sizeof(ciphertext)};
        kw_output output = {.data = plaintext, .capacity = sizeof(plaintext), .length = UNTOUCHED};
        kw_key *key;
        kw_error error = {0};

        open_with(&fixture, cases[i].fault, cases[i].more);
        key = fixture_key(&fixture, "rsa-2048");
        expect_status(KW_OK, kw_key_encrypt(key, NULL, (kw_input){plaintext, 0}, &encrypted, &error), &error);
        expect_error(KW_FAILED, kw_key_decrypt(key, NULL, (kw_input){ciphertext, encrypted.length}, &output, &error),
                     &error, cases[i].message);
        assert_int_equal(output.length, UNTOUCHED);
        kw_key_free(key);
        fixture_end(&fixture);
    }
}

static void kw_key_derive_broken_plugin_is_refused(void **state)
{
    static const struct {
        const char *fault;
        kw_status status;
        const char *message;
    } cases[] = {
        {"derive-zero", KW_INVALID_ARGUMENT, "makes a secret of zeros"},
        {"derive-short", KW_FAILED, "its shared secret is not as long as the curve's field"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        unsigned char shared[66];
        kw_output output = {.data = shared, .capacity = sizeof(shared), .length = UNTOUCHED};
        kw_key *key, *peer;
        kw_error error = {0};

        open_with(&fixture, cases[i].fault, "");
        key = fixture_key(&fixture, "ec-p256");
        peer = fixture_key(&fixture, "ec-p256");
        expect_status(cases[i].status, kw_key_derive(key, kw_key_get_public(peer), &output, &error), &error);
        expect_text(error.message, cases[i].message);
        assert_int_equal(output.length, UNTOUCHED);
        kw_key_free(key);
        kw_key_free(peer);
        fixture_end(&fixture);
    }
}

static void key_export_failing_leaves_nothing(void **state)
{
    struct fixture fixture;
    struct secret pkcs8 = {0};
    kw_key *key;
    kw_error error = {0};

    (void)state;
    open_with(&fixture, "export-fails", "");
    key = fixture_key(&fixture, "ec-p256");
    expect_error(KW_FAILED, key_export(key, &pkcs8, &error), &error, "the key cannot be encoded");
    assert_null(pkcs8.data);
    kw_key_free(key);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_get_open_fails_passes_on_status_and_reason),
        cmocka_unit_test(store_health_unknown_status_is_failed),
        cmocka_unit_test(key_open_broken_plugin_is_failed),
        cmocka_unit_test(store_key_generate_impossible_locator_is_failed),
        cmocka_unit_test(store_key_list_impossible_length_is_failed),
        cmocka_unit_test(kw_key_sign_broken_plugin_is_failed),
        cmocka_unit_test(kw_key_sign_backend_away_keeps_the_status),
        cmocka_unit_test(kw_key_decrypt_broken_plugin_is_failed),
        cmocka_unit_test(kw_key_derive_broken_plugin_is_refused),
        cmocka_unit_test(key_export_failing_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
