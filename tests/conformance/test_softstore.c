/* What softstore alone promises, beyond plugin.h: its records, its key-encryption key, its passphrase. The kit checks the rest. */
#include "kit.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PASSPHRASE "a passphrase of the tests"

/* Where things lie in the record `kek`, and how long it is. */
enum { KEK_VERSION = 4, KEK_COST = 5, KEK_CHECKSUM = 118, KEK_LENGTH = 150 };

static const kw_input kek_name = {(const unsigned char *)"kek", 3};

struct scene {
    struct kit kit;
    kw_option_value cost;
};

static void scene_cost(struct scene *scene, int64_t log2_n)
{
    scene->cost = (kw_option_value){.name = "scrypt_log2_n", .text = "", .integer = log2_n};
    scene->kit.options = &scene->cost;
    scene->kit.option_count = 1;
}

/* A store with nothing in it; the kit's instance is not open. */
static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    struct kit *kit = &scene->kit;
    kit->plugin = kw_plugin_query();
    kit->operations = *kit->plugin->operations;
    kit->secrets[0] = (struct secret_value){"passphrase", PASSPHRASE};
    kit->secret_count = 1;
    kit->call = (kw_call){.size = sizeof(kit->call)};
    kit->records = records_new();
    scene_cost(scene, 14);
    kit_host_like(kit, &kit->host, kit->records);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    if (scene->kit.instance != NULL)
        scene->kit.operations.close(scene->kit.instance);
    assert_int_equal(kit_host_blocks(&scene->kit.host), 0);
    records_free(scene->kit.records);
    free(scene);
    return 0;
}

static kw_status open_kit(struct kit *kit)
{
    kw_status status = kit_open(kit, &kit->host, &kit->instance, &kit->capabilities);
    if (status != KW_OK)
        kit->instance = NULL;
    return status;
}

static void close_kit(struct kit *kit)
{
    kit->operations.close(kit->instance);
    kit->instance = NULL;
}

static kw_input record(const struct kit *kit, kw_input name)
{
    for (size_t i = 0; i < records_count(kit->records); i++) {
        kw_input row = records_name(kit->records, i);
        if (row.length == name.length && memcmp(row.data, name.data, name.length) == 0)
            return records_value(kit->records, i);
    }
    fail_msg("there is no such record");
    return (kw_input){NULL, 0};
}

/* Changes a byte of the record kek and makes its checksum right again. */
static void patch_kek(struct kit *kit, size_t at, unsigned char value)
{
    unsigned char changed[KEK_LENGTH], digest[64];
    kw_input kek = record(kit, kek_name);
    assert_int_equal(kek.length, KEK_LENGTH);
    memcpy(changed, kek.data, KEK_LENGTH);
    changed[at] = value;
    size_t length = judge_digest(KW_HASH_SHA256, (kw_input){changed, KEK_CHECKSUM}, digest);
    memcpy(changed + KEK_CHECKSUM, digest, length);
    records_set(kit->records, kek_name, (kw_input){changed, KEK_LENGTH});
}

static const struct key_variant p256 = {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256};

static struct locator make_key(struct kit *kit)
{
    struct locator locator;
    kw_key_template wanted = template_new(kit, &p256);
    assert_int_equal(generate(kit, kit->instance, &wanted, &locator), KW_OK);
    return locator;
}

static kw_status try_key(const struct kit *kit, kw_plugin_instance *instance, const struct locator *locator)
{
    kw_plugin_key *key = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    kw_status status = kit->operations.key_open(instance, &kit->call, locator_view(locator), &key, &capabilities);
    if (status == KW_OK)
        kit->operations.key_close(key);
    return status;
}

/* ---- Opening -------------------------------------------------------------------------------------------------------- */

static void open_empty_store_makes_one_record(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(records_count(kit->records), 1);
    assert_int_equal(record(kit, kek_name).length, KEK_LENGTH);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1);
}

static void open_known_store_asks_once_and_writes_nothing(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    close_kit(kit);
    unsigned writes = atomic_load(&kit->host.record_writes);
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(atomic_load(&kit->host.record_writes), writes);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 2);
    struct locator locator = make_key(kit);
    for (int i = 0; i < 5; i++)
        assert_int_equal(try_key(kit, kit->instance, &locator), KW_OK);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 2);
}

static void open_kek_missing_beside_keys_returns_corrupt(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit);
    assert_int_equal(kit->host.table.record_delete(kit->host.table.context, kek_name), KW_OK);
    assert_int_equal(kit->operations.health(kit->instance, &kit->call), KW_CORRUPT);
    close_kit(kit);
    assert_int_equal(open_kit(kit), KW_CORRUPT);
    assert_string_equal(kit->host.sentence, "record kek is missing, without which the keys cannot be opened");
    assert_false(records_has(kit->records, kek_name));
}

static void open_damaged_kek_names_the_record(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    unsigned char changed[KEK_LENGTH];
    assert_int_equal(open_kit(kit), KW_OK);
    close_kit(kit);
    memcpy(changed, record(kit, kek_name).data, KEK_LENGTH);
    changed[80] ^= 1;
    records_set(kit->records, kek_name, (kw_input){changed, KEK_LENGTH});
    unsigned requests = atomic_load(&kit->host.secret_requests);
    assert_int_equal(open_kit(kit), KW_CORRUPT);
    assert_string_equal(kit->host.sentence, "record kek is damaged");
    assert_int_equal(atomic_load(&kit->host.secret_requests), requests); /* nobody is asked in vain */
}

static void open_unknown_version_returns_unsupported(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    close_kit(kit);
    patch_kek(kit, KEK_VERSION, 2);
    assert_int_equal(open_kit(kit), KW_UNSUPPORTED);
}

static void open_cost_beyond_bounds_is_not_computed(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    close_kit(kit);
    patch_kek(kit, KEK_COST, 40);
    assert_int_equal(open_kit(kit), KW_CORRUPT);
    scene_cost(*state, 13);
    assert_int_equal(open_kit(kit), KW_CONFIGURATION);
    scene_cost(*state, 21);
    assert_int_equal(open_kit(kit), KW_CONFIGURATION);
}

static void open_cost_is_the_records(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    close_kit(kit);
    scene_cost(*state, 15);
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(record(kit, kek_name).data[KEK_COST], 14);
    kw_input same = {(const unsigned char *)PASSPHRASE, strlen(PASSPHRASE)};
    assert_int_equal(kit->operations.set_secret(kit->instance, &kit->call, "passphrase", same), KW_OK);
    assert_int_equal(record(kit, kek_name).data[KEK_COST], 15);
}

static void open_empty_passphrase_returns_configuration(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    kit_host_set_secret(&kit->host, "passphrase", "");
    assert_int_equal(open_kit(kit), KW_CONFIGURATION);
    assert_int_equal(records_count(kit->records), 0);
}

/* Another process makes the store while this one is being asked for its passphrase. */
struct rival {
    struct kit *kit;
    struct kit_host host;
    kw_plugin_instance *instance;
    kw_capabilities capabilities;
};

static void open_rival(void *user)
{
    struct rival *rival = user;
    kit_host_like(rival->kit, &rival->host, rival->kit->records);
    assert_int_equal(kit_open(rival->kit, &rival->host, &rival->instance, &rival->capabilities), KW_OK);
}

static void open_race_agrees_on_one_kek(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct rival rival = {.kit = kit};
    kit->host.during_secret_request = open_rival;
    kit->host.user = &rival;
    assert_int_equal(open_kit(kit), KW_OK);
    struct locator locator = make_key(kit);
    assert_int_equal(try_key(kit, rival.instance, &locator), KW_OK);
    kit->operations.close(rival.instance);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1);
}

static void fork_child_opens_keys_without_the_passphrase(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    int status = 0;
    assert_int_equal(open_kit(kit), KW_OK);
    struct locator locator = make_key(kit);
    kit->operations.fork_prepare(kit->instance);
    pid_t child = fork();
    if (child == 0) {
        kit->operations.fork_child(kit->instance);
        bool works = try_key(kit, kit->instance, &locator) == KW_OK;
        _exit(works && atomic_load(&kit->host.secret_requests) == 1 ? 0 : 1);
    }
    kit->operations.fork_parent(kit->instance);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- The passphrase ----------------------------------------------------------------------------------------------------- */

static kw_status (*true_swap)(kw_host_context *, kw_input, kw_input, kw_input);

/* Between the reading and the writing of the record somebody else writes it. */
static kw_status swap_late(kw_host_context *context, kw_input name, kw_input expected, kw_input value)
{
    records_set(context->host->records, name, value);
    return true_swap(context, name, expected, value);
}

static void set_secret_race_returns_conflict(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    kw_input new_secret = {(const unsigned char *)"new", 3};
    assert_int_equal(open_kit(kit), KW_OK);
    close_kit(kit);
    true_swap = kit->host.table.record_swap;
    kit->host.table.record_swap = swap_late;
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(kit->operations.set_secret(kit->instance, &kit->call, "passphrase", new_secret), KW_CONFLICT);
}

static void set_secret_of_another_store_returns_corrupt(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct kit_host host;
    kw_plugin_instance *other = NULL;
    kw_capabilities capabilities;
    kw_input new_secret = {(const unsigned char *)"new", 3};
    struct records *records = records_new();
    assert_int_equal(open_kit(kit), KW_OK);
    kit_host_like(kit, &host, records);
    assert_int_equal(kit_open(kit, &host, &other, &capabilities), KW_OK);
    records_set(kit->records, kek_name, records_value(records, 0));
    assert_int_equal(kit->operations.set_secret(kit->instance, &kit->call, "passphrase", new_secret), KW_CORRUPT);
    kit->operations.close(other);
    records_free(records);
}

/* ---- Keys ------------------------------------------------------------------------------------------------------------------ */

static bool contains(kw_input haystack, const unsigned char *needle, size_t length)
{
    for (size_t i = 0; i + length <= haystack.length; i++)
        if (memcmp(haystack.data + i, needle, length) == 0)
            return true;
    return false;
}

static void key_import_leaves_no_private_key_in_clear(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    static const struct key_variant ed25519 = {"ed25519", KW_KEY_ED25519, 256, KW_CURVE_NONE};
    EVP_PKEY *pkey = judge_key(&ed25519);
    unsigned char raw[32], spki[32];
    size_t length = sizeof(raw), public_length = sizeof(spki);
    struct bytes pkcs8 = {NULL, 0};
    struct locator locator;
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(EVP_PKEY_get_raw_private_key(pkey, raw, &length), 1);
    assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, spki, &public_length), 1);
    assert_true(judge_private(pkey, &pkcs8));
    kw_key_template wanted = template_new(kit, &ed25519);
    assert_int_equal(import(kit, kit->instance, &wanted, bytes_view(&pkcs8), &locator), KW_OK);
    kw_input value = record(kit, locator_view(&locator));
    assert_true(contains(value, spki, sizeof(spki)));
    assert_false(contains(value, raw, 8));
    bytes_free(&pkcs8);
    EVP_PKEY_free(pkey);
}

static void key_import_explicit_curve_returns_invalid_argument(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    EVP_PKEY *pkey = judge_key(&p256);
    struct bytes pkcs8 = {NULL, 0};
    struct locator locator;
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_EXPLICIT),
                     1);
    assert_true(judge_private(pkey, &pkcs8));
    assert_true(pkcs8.length > 200);
    kw_key_template wanted = template_new(kit, &p256);
    assert_int_equal(import(kit, kit->instance, &wanted, bytes_view(&pkcs8), &locator), KW_INVALID_ARGUMENT);
    bytes_free(&pkcs8);
    EVP_PKEY_free(pkey);
}

static void key_import_failure_leaves_the_error_queue_alone(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    unsigned char garbage[40] = {0x30, 0x26, 0x02, 0x01};
    struct locator locator;
    assert_int_equal(open_kit(kit), KW_OK);
    ERR_clear_error();
    ERR_raise(ERR_LIB_USER, 42);
    unsigned long before = ERR_peek_last_error();
    kw_key_template wanted = template_new(kit, &p256);
    assert_int_equal(import(kit, kit->instance, &wanted, (kw_input){garbage, sizeof(garbage)}, &locator),
                     KW_INVALID_ARGUMENT);
    assert_int_equal(ERR_peek_last_error(), before);
    ERR_clear_error();
}

static void key_generate_is_for_what_the_template_says(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    kw_plugin_key *key = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    unsigned char digest[32] = {0}, room[256];
    struct locator locator;
    kw_output output = {.data = room, .capacity = sizeof(room)};
    kw_algorithm ecdsa = {.size = sizeof(ecdsa), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    assert_int_equal(open_kit(kit), KW_OK);
    kw_key_template wanted = template_new(kit, &p256);
    wanted.operations = KW_CAN_DERIVE;
    assert_int_equal(generate(kit, kit->instance, &wanted, &locator), KW_OK);
    assert_int_equal(kit->operations.key_open(kit->instance, &kit->call, locator_view(&locator), &key, &capabilities),
                     KW_OK);
    assert_int_equal(capabilities.operations, KW_CAN_DERIVE | KW_CAN_EXPORT | KW_CAN_DELETE);
    assert_int_equal(capabilities.schemes, KW_BIT(KW_SCHEME_ECDH));
    assert_int_equal(kit->operations.sign(key, &kit->call, &ecdsa, (kw_input){digest, 32}, &output), KW_UNSUPPORTED);
    kit->operations.key_close(key);
    wanted = template_new(kit, &p256);
    wanted.operations = KW_CAN_DECRYPT; /* EC keys cannot */
    assert_int_equal(generate(kit, kit->instance, &wanted, &locator), KW_UNSUPPORTED);
}

static atomic_uint_fast64_t ticks;

static uint64_t tick(kw_host_context *context)
{
    (void)context;
    return atomic_fetch_add(&ticks, 1) + 1;
}

static void key_generate_deadline_on_the_way_returns_timeout(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    static const struct key_variant rsa = {"rsa-4096", KW_KEY_RSA, 4096, KW_CURVE_NONE};
    struct locator locator;
    kit->host.table.clock = tick;
    assert_int_equal(open_kit(kit), KW_OK);
    size_t records = records_count(kit->records);
    atomic_store(&ticks, 0);
    kit->call.deadline = 3; /* not at the first look at the clock, but soon */
    kw_key_template wanted = template_new(kit, &rsa);
    assert_int_equal(generate(kit, kit->instance, &wanted, &locator), KW_TIMEOUT);
    assert_int_equal(records_count(kit->records), records);
}

/* ---- The list ------------------------------------------------------------------------------------------------------------------ */

static kw_status list_step(struct kit *kit, uint64_t *cursor)
{
    unsigned char room[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = room, .capacity = sizeof(room)};
    return kit->operations.key_list(kit->instance, &kit->call, cursor, &output);
}

static void key_list_abandoned_lists_do_not_end_others(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit);
    make_key(kit);
    make_key(kit);
    uint64_t first = 0, cursor = 0;
    assert_int_equal(list_step(kit, &first), KW_OK);
    for (int i = 0; i < 200; i++) {
        cursor = 0;
        assert_int_equal(list_step(kit, &cursor), KW_OK);
    }
    assert_int_equal(list_step(kit, &first), KW_OK); /* which makes it the youngest */
    for (int i = 0; i < 200; i++) {
        cursor = 0;
        assert_int_equal(list_step(kit, &cursor), KW_OK);
    }
    assert_int_equal(list_step(kit, &first), KW_OK);
    assert_int_equal(list_step(kit, &first), KW_NOT_FOUND);
    first = 0;
    assert_int_equal(list_step(kit, &first), KW_OK);
    for (int i = 0; i < 300; i++) {
        cursor = 0;
        assert_int_equal(list_step(kit, &cursor), KW_OK);
    }
    assert_int_equal(list_step(kit, &first), KW_CONFLICT); /* forgotten, and it says so */
}

static void key_list_passes_over_foreign_records(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit);
    records_set(kit->records, (kw_input){(const unsigned char *)"key/x", 5}, (kw_input){NULL, 0});
    records_set(kit->records, (kw_input){(const unsigned char *)"key/", 4}, (kw_input){NULL, 0});
    uint64_t cursor = 0;
    assert_int_equal(list_step(kit, &cursor), KW_OK);
    assert_int_equal(list_step(kit, &cursor), KW_NOT_FOUND);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(open_empty_store_makes_one_record),
        CASE(open_known_store_asks_once_and_writes_nothing),
        CASE(open_kek_missing_beside_keys_returns_corrupt),
        CASE(open_damaged_kek_names_the_record),
        CASE(open_unknown_version_returns_unsupported),
        CASE(open_cost_beyond_bounds_is_not_computed),
        CASE(open_cost_is_the_records),
        CASE(open_empty_passphrase_returns_configuration),
        CASE(open_race_agrees_on_one_kek),
        CASE(fork_child_opens_keys_without_the_passphrase),
        CASE(set_secret_race_returns_conflict),
        CASE(set_secret_of_another_store_returns_corrupt),
        CASE(key_import_leaves_no_private_key_in_clear),
        CASE(key_import_explicit_curve_returns_invalid_argument),
        CASE(key_import_failure_leaves_the_error_queue_alone),
        CASE(key_generate_is_for_what_the_template_says),
        CASE(key_generate_deadline_on_the_way_returns_timeout),
        CASE(key_list_abandoned_lists_do_not_end_others),
        CASE(key_list_passes_over_foreign_records),
    };
    return cmocka_run_group_tests_name("softstore", tests, NULL, NULL);
}
