/* What pkcs11 alone promises, beyond plugin.h, on a SoftHSM token: which module, token and key it takes, and how many calls it makes. The kit
 * checks the rest. */
#include "pkcs11_scene.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Of a key that make_first_key makes. */
#define FIRST_LOCATOR "ec:id=f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1"

static const struct key_variant p256 = {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256};

/* That open fails so, and says all of these. */
static void assert_refused(struct scene *scene, kw_status wanted, const char *first, const char *second)
{
    struct kit *kit = &scene->kit;
    kw_status status = scene_open(kit);
    if (status != wanted)
        fail_msg("%s instead of %s: %s", status_name(status), status_name(wanted), kit->host.sentence);
    if (strstr(kit->host.sentence, first) == NULL || strstr(kit->host.sentence, second) == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", kit->host.sentence, first, second);
}

static kw_status try_locator(const struct kit *kit, const char *text, struct test_key *key)
{
    key->locator.length = strlen(text);
    memcpy(key->locator.data, text, key->locator.length);
    key->capabilities = (kw_key_capabilities){.size = sizeof(key->capabilities)};
    return kit->operations.key_open(kit->instance, &kit->call, locator_view(&key->locator), &key->key,
                                    &key->capabilities);
}

/* ---- Which token ------------------------------------------------------------------------------------------------------ */

/* The first of all: the module is not loaded yet. */
static void open_and_first_signature_take_twenty_calls(void **state)
{
    static const unsigned char digest[32] = {1};
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key = {.key = NULL};
    unsigned char room[100];
    kw_output output = {.data = room, .capacity = sizeof(room)};
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    assert_int_equal(scene_open(kit), KW_OK);
    assert_int_equal(try_locator(kit, FIRST_LOCATOR, &key), KW_OK);
    unsigned before = atomic_load(&kit->host.backend_calls);
    assert_int_equal(kit->operations.sign(key.key, &kit->call, &algorithm, (kw_input){digest, 32}, &output), KW_OK);
    assert_int_equal(atomic_load(&kit->host.backend_calls) - before, 2);
    kit->operations.key_close(key.key);
    /* Two for each of the two other tokens, besides. */
    assert_int_equal(before + 2, 20 + 4);
    assert_int_equal(kit->operations.key_delete(kit->instance, &kit->call, locator_view(&key.locator)), KW_OK);
}

static void open_unknown_serial_says_what_there_is(void **state)
{
    struct scene *scene = *state;
    scene_set(scene, "token_serial", "0000000000000000", 0);
    assert_refused(scene, KW_CONFIGURATION, "serial '0000000000000000' and label '", "label 'twin', serial '");
    assert_non_null(strstr(scene->kit.host.sentence, "maker 'SoftHSM project', model 'SoftHSM v2'"));
    /* The PIN was asked for, so that nothing comes between a token's flags and the login; there was no login. */
    assert_int_equal(atomic_load(&scene->kit.host.secret_refusals), 0);
}

static void open_unknown_label_says_what_there_is(void **state)
{
    struct scene *scene = *state;
    scene_set(scene, "token_label", "no such token", 0);
    assert_refused(scene, KW_CONFIGURATION, "no token has label 'no such token'", scene_environment("KW_TOKEN_LABEL"));
}

static void open_label_of_two_tokens_is_ambiguous(void **state)
{
    struct scene *scene = *state;
    scene_set(scene, "token_label", "twin", 0);
    assert_refused(scene, KW_CONFIGURATION, "more than one token has label 'twin'", "token_serial");
}

/* The serial of the token with this label, out of what is said of a wrong one. */
static void read_serial(struct scene *scene, const char *label, char serial[17])
{
    char before[64];
    scene_set(scene, "token_serial", "0", 0);
    assert_int_equal(scene_open(&scene->kit), KW_CONFIGURATION);
    snprintf(before, sizeof(before), "label '%s', serial '", label);
    const char *at = strstr(scene->kit.host.sentence, before);
    assert_non_null(at);
    snprintf(serial, 17, "%s", at + strlen(before));
    scene_drop(scene, "token_serial");
}

static void open_serial_without_label_takes_its_token(void **state)
{
    struct scene *scene = *state;
    char serial[17];
    read_serial(scene, scene_environment("KW_TOKEN_LABEL"), serial);
    scene_drop(scene, "token_label");
    scene_set(scene, "token_serial", serial, 0);
    assert_int_equal(scene_open(&scene->kit), KW_OK);
}

static void open_serial_of_another_label_is_refused(void **state)
{
    struct scene *scene = *state;
    char serial[17];
    read_serial(scene, "twin", serial);
    scene_set(scene, "token_serial", serial, 0);
    assert_refused(scene, KW_CONFIGURATION, serial, "no token has");
}

static void open_without_serial_and_label_is_refused(void **state)
{
    struct scene *scene = *state;
    scene_drop(scene, "token_label");
    assert_refused(scene, KW_CONFIGURATION, "token_serial and token_label", "--list-slots");
}

static void open_other_init_args_is_refused(void **state)
{
    struct scene *scene = *state;
    scene_set(scene, "init_args", "configdir=elsewhere", 0);
    assert_refused(scene, KW_CONFIGURATION, "init_args", "initialized once");
}

/* ---- Which module ------------------------------------------------------------------------------------------------------- */

/* A copy of the module in a directory of its own; to be removed by forget_copy. */
static void copy_module(char directory[64], char path[80], mode_t directory_mode, mode_t mode)
{
    snprintf(directory, 64, "/tmp/keywright-module.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, 80, "%s/module.so", directory);
    const char *const arguments[] = {"cp", scene_environment("KW_TOKEN_LIBRARY"), path, NULL};
    scene_run(arguments);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chmod(directory, directory_mode), 0);
}

static void forget_copy(const char *directory, const char *path)
{
    unlink(path);
    rmdir(directory);
}

static void open_library_that_others_may_write_is_refused(void **state)
{
    static const struct {
        mode_t directory, file;
    } modes[] = {{0700, 0666}, {0777, 0644}};
    struct scene *scene = *state;
    char directory[64], path[80];
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        copy_module(directory, path, modes[i].directory, modes[i].file);
        scene_set(scene, "library", path, 0);
        assert_refused(scene, KW_CONFIGURATION, "may be written by others", directory);
        forget_copy(directory, path);
    }
}

static void open_library_that_is_no_module_is_refused(void **state)
{
    struct scene *scene = *state;
    char directory[64], path[80];
    scene_set(scene, "library", "libsofthsm2.so", 0);
    assert_refused(scene, KW_CONFIGURATION, "not an absolute path", "libsofthsm2.so");
    scene_set(scene, "library", "/usr/lib/no-such-module.so", 0);
    assert_refused(scene, KW_CONFIGURATION, "/usr/lib/no-such-module.so", "No such file");
    scene_set(scene, "library", "/usr/lib", 0);
    assert_refused(scene, KW_CONFIGURATION, "/usr/lib", "not a file");
    scene_set(scene, "library", "/etc/hostname", 0);
    assert_refused(scene, KW_CONFIGURATION, "/etc/hostname", "cannot be loaded");
    copy_module(directory, path, 0700, 0600);
    const char *const arguments[] = {"cp", "--", TEST_LIBRARY, path, NULL};
    scene_run(arguments);
    assert_int_equal(chmod(path, 0600), 0);
    scene_set(scene, "library", path, 0);
    assert_refused(scene, KW_CONFIGURATION, "no PKCS#11 module", "C_GetFunctionList");
    forget_copy(directory, path);
}

static void open_library_of_another_sha256_is_refused(void **state)
{
    struct scene *scene = *state;
    char right[65] = "";
    scene_set(scene, "library_sha256", "0123", 0);
    assert_refused(scene, KW_CONFIGURATION, "library_sha256", "64 hex digits");
    scene_set(scene, "library_sha256", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", 0);
    assert_refused(scene, KW_CONFIGURATION, "another SHA-256, ", "library_sha256");
    const char *said = strstr(scene->kit.host.sentence, "another SHA-256, ") + strlen("another SHA-256, ");
    snprintf(right, sizeof(right), "%s", said);
    scene_set(scene, "library_sha256", right, 0);
    assert_int_equal(scene_open(&scene->kit), KW_OK);
}

/* ---- The PIN --------------------------------------------------------------------------------------------------------------- */

/* The store that was open goes on: its own PIN is the right one. */
static void open_wrong_pin_leaves_other_stores_working(void **state)
{
    struct scene *scene = *state;
    struct kit *kit = &scene->kit;
    struct kit_host other;
    struct test_key key;
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    for (int round = 0; round < 2; round++) {
        kit_host_like(kit, &other, kit->records);
        kit_host_set_secret(&other, "pin", "wrong-one");
        assert_int_equal(kit_open(kit, &other, &instance, &capabilities), KW_SECRET_REFUSED);
        assert_non_null(strstr(other.sentence, "CKR_PIN_INCORRECT"));
        assert_int_equal(atomic_load(&other.secret_refusals), 1);
        assert_int_equal(scene_sign(kit, &key), KW_OK);
    }
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1);
    test_key_free(kit, &key);
}

static void close_of_another_store_keeps_the_login(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct kit_host other;
    struct test_key key;
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;
    assert_int_equal(scene_open(kit), KW_OK);
    scene_make_key(kit, &key);
    kit_host_like(kit, &other, kit->records);
    assert_int_equal(kit_open(kit, &other, &instance, &capabilities), KW_OK);
    kit_close(kit, &other, instance);
    unsigned before = atomic_load(&kit->host.backend_calls);
    assert_int_equal(scene_sign(kit, &key), KW_OK);
    assert_int_equal(atomic_load(&kit->host.backend_calls) - before, 2);
    test_key_free(kit, &key);
}

static void sign_always_authenticate_logs_in_each_time(void **state)
{
    struct scene *scene = *state;
    struct kit *kit = &scene->kit;
    struct test_key key;
    scene_set(scene, "always_authenticate", "true", 1);
    assert_int_equal(scene_open(kit), KW_OK);
    assert_true((kit->capabilities.features & KW_FEATURE_ALWAYS_AUTHENTICATE) != 0);
    scene_make_key(kit, &key);
    assert_true((key.capabilities.features & KW_FEATURE_ALWAYS_AUTHENTICATE) != 0);
    for (int round = 0; round < 2; round++) {
        unsigned before = atomic_load(&kit->host.backend_calls);
        assert_int_equal(scene_sign(kit, &key), KW_OK);
        assert_int_equal(atomic_load(&kit->host.backend_calls) - before, 3);
    }
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1);
    test_key_free(kit, &key);
}

/* ---- Keys of other programs ---------------------------------------------------------------------------------------------------- */

static bool is_listed(const struct kit *kit, const char *wanted)
{
    char text[KW_LOCATOR_MAXIMUM + 1];
    uint64_t cursor = 0;
    bool seen = false;
    for (;;) {
        kw_output output = {.data = (unsigned char *)text, .capacity = KW_LOCATOR_MAXIMUM};
        if (kit->operations.key_list(kit->instance, &kit->call, &cursor, &output) != KW_OK)
            return seen;
        text[output.length] = '\0';
        seen = seen || strcmp(text, wanted) == 0;
    }
}

static void open_key_of_another_program_signs(void **state)
{
    static const struct {
        const char *label, *id, *locator;
    } keys[] = {{"made elsewhere", "0102030405", "ec:id=0102030405"},
                {"no id, 100%", NULL, "ec:label=no%20id%2c%20100%25"}};
    struct kit *kit = &((struct scene *)*state)->kit;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        scene_tool("--keypairgen", "EC:prime256v1", keys[i].label, keys[i].id);
    assert_int_equal(scene_open(kit), KW_OK);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct test_key key = {.key = NULL};
        if (!is_listed(kit, keys[i].locator))
            fail_msg("%s is not in the list", keys[i].locator);
        key.locator.length = strlen(keys[i].locator);
        memcpy(key.locator.data, keys[i].locator, key.locator.length);
        assert_true(test_key_open(kit, kit->instance, &kit->host, OPEN_OK, &key));
        assert_int_equal(scene_sign(kit, &key), KW_OK);
        test_key_free(kit, &key);
        assert_false(is_listed(kit, keys[i].locator));
    }
}

static void open_key_whose_id_is_not_unique_is_refused(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key = {.key = NULL};
    unsigned char id[KW_KEY_ID_LENGTH], room[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = room, .capacity = sizeof(room)};
    memset(id, 0xAB, sizeof(id));
    for (int i = 0; i < 2; i++)
        scene_tool("--keypairgen", "EC:prime256v1", "one of two", "abababababababababababababababab");
    assert_int_equal(scene_open(kit), KW_OK);
    assert_int_equal(try_locator(kit, "ec:id=abababababababababababababababab", &key), KW_REFUSED);
    assert_non_null(strstr(kit->host.sentence, "more than one private key ec:id=abab"));
    assert_int_equal(kit->operations.key_find(kit->instance, &kit->call, id, &output), KW_REFUSED);
    assert_int_equal(kit->operations.key_delete(kit->instance, &kit->call, locator_view(&key.locator)), KW_REFUSED);
    for (int i = 0; i < 2; i++) {
        const char *const arguments[] = {"pkcs11-tool",
                                         "--module",
                                         scene_environment("KW_TOKEN_LIBRARY"),
                                         "--token-label",
                                         scene_environment("KW_TOKEN_LABEL"),
                                         "--login",
                                         "--pin",
                                         scene_environment("KW_TOKEN_PIN"),
                                         "--delete-object",
                                         "--type",
                                         "privkey",
                                         "--id",
                                         "abababababababababababababababab",
                                         NULL};
        scene_run(arguments);
    }
}

static void find_among_many_keys_does_not_enumerate(void **state)
{
    const unsigned many = 60; /* thousands: test_pkcs11_crowd */
    struct kit *kit = &((struct scene *)*state)->kit;
    struct locator *locators = calloc(many, sizeof(*locators));
    assert_non_null(locators);
    assert_int_equal(scene_open(kit), KW_OK);
    for (unsigned i = 0; i < many; i++) {
        kw_key_template wanted = template_new(kit, &p256);
        assert_int_equal(generate(kit, kit->instance, &wanted, &locators[i]), KW_OK);
    }
    struct test_key key = {.locator = locators[many / 2]};
    unsigned before = atomic_load(&kit->host.backend_calls);
    assert_true(test_key_open(kit, kit->instance, &kit->host, OPEN_OK, &key));
    assert_int_equal(scene_sign(kit, &key), KW_OK);
    assert_int_equal(atomic_load(&kit->host.backend_calls) - before, 4 + 2);
    kit->operations.key_close(key.key);
    EVP_PKEY_free(key.pkey);
    for (unsigned i = 0; i < many; i++)
        assert_int_equal(kit->operations.key_delete(kit->instance, &kit->call, locator_view(&locators[i])), KW_OK);
    free(locators);
}

/* Makes and deletes keys until it is told to end. The exit status: how many, or 255. */
static _Noreturn void make_keys_and_end(int end)
{
    void *state = NULL;
    struct pollfd ended = {.fd = end, .events = POLLIN};
    int made = 0;
    scene_new(&state);
    struct kit *kit = &((struct scene *)state)->kit;
    if (scene_open(kit) != KW_OK)
        _exit(255);
    for (; made < 200 && poll(&ended, 1, 0) == 0; made++) {
        kw_key_template wanted = template_new(kit, &p256);
        struct locator locator;
        if (generate(kit, kit->instance, &wanted, &locator) != KW_OK ||
            kit->operations.key_delete(kit->instance, &kit->call, locator_view(&locator)) != KW_OK)
            _exit(255);
    }
    _exit(made);
}

static void process_that_makes_many_keys_lets_others_have_their_turn(void **state)
{
    int status = 0, end[2];
    assert_int_equal(pipe(end), 0);
    const pid_t busy = fork();
    if (busy == 0)
        make_keys_and_end(end[0]);
    struct kit *kit = &((struct scene *)*state)->kit;
    assert_int_equal(scene_open(kit), KW_OK);
    for (int i = 0; i < 10; i++) {
        kw_key_template wanted = template_new(kit, &p256);
        struct locator locator;
        assert_int_equal(generate(kit, kit->instance, &wanted, &locator), KW_OK);
        assert_int_equal(kit->operations.key_delete(kit->instance, &kit->call, locator_view(&locator)), KW_OK);
    }
    assert_int_equal(write(end[1], "", 1), 1);
    assert_int_equal(waitpid(busy, &status, 0), busy);
    assert_true(WIFEXITED(status));
    print_message("beside 10 keys %d\n", WEXITSTATUS(status));
    assert_in_range(WEXITSTATUS(status), 1, 60);
    close(end[0]);
    close(end[1]);
}

static int make_other_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *const arguments[] = {"softhsm2-util", "--init-token", "--free",   "--label",      "twin",
                                         "--pin",         "135790",       "--so-pin", "135790135790", NULL};
        scene_run(arguments);
    }
    return 0;
}

/* In another process, so that this one has not loaded the module yet. */
static void make_first_key(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        void *state = NULL;
        struct locator locator;
        scene_new(&state);
        struct kit *kit = &((struct scene *)state)->kit;
        kw_key_template wanted = {.size = sizeof(wanted), .type = KW_KEY_EC, .curve = KW_CURVE_P256, .label = "first"};
        memset(wanted.id, 0xF1, sizeof(wanted.id));
        bool made = scene_open(kit) == KW_OK && generate(kit, kit->instance, &wanted, &locator) == KW_OK;
        scene_free(&state);
        _exit(made ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int prepare(void **state)
{
    make_first_key();
    return make_other_tokens(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(open_and_first_signature_take_twenty_calls, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_unknown_serial_says_what_there_is, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_unknown_label_says_what_there_is, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_label_of_two_tokens_is_ambiguous, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_serial_without_label_takes_its_token, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_serial_of_another_label_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_without_serial_and_label_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_other_init_args_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_library_that_others_may_write_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_library_that_is_no_module_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_library_of_another_sha256_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_wrong_pin_leaves_other_stores_working, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(close_of_another_store_keeps_the_login, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(sign_always_authenticate_logs_in_each_time, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_key_of_another_program_signs, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(open_key_whose_id_is_not_unique_is_refused, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(find_among_many_keys_does_not_enumerate, scene_new, scene_free),
        cmocka_unit_test_setup_teardown(process_that_makes_many_keys_lets_others_have_their_turn, scene_new,
                                        scene_free),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
