/* What pkcs11 alone promises, beyond plugin.h, on a SoftHSM token: which token and key it takes, how many calls it makes, what it does when the
 * token or the login goes. The kit checks the rest. */
#include "kit.h"
#include "pkcs11.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

#define OPTIONS 12
/* Of a key that make_first_key makes. */
#define FIRST_LOCATOR "ec:id=f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1"

struct scene {
    struct kit kit;
    kw_option_value options[OPTIONS];
};

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fail_msg("%s is not set: run by with_token.sh softhsm", name);
    return value;
}

/* ---- The scene -------------------------------------------------------------------------------------------------- */

static void set_option(struct scene *scene, const char *name, const char *text, int64_t integer)
{
    size_t at = 0;
    while (at < scene->kit.option_count && strcmp(scene->options[at].name, name) != 0)
        at++;
    if (at == scene->kit.option_count)
        scene->kit.option_count++;
    scene->options[at] = (kw_option_value){.name = name, .text = text, .integer = integer};
}

static void drop_option(struct scene *scene, const char *name)
{
    for (size_t i = 0; i < scene->kit.option_count; i++)
        if (strcmp(scene->options[i].name, name) == 0)
            scene->options[i] = scene->options[--scene->kit.option_count];
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    struct kit *kit = &scene->kit;
    kit->plugin = kw_plugin_query();
    kit->operations = *kit->plugin->operations;
    kit->secrets[0] = (struct secret_value){"pin", from_environment("KW_TOKEN_PIN")};
    kit->secret_count = 1;
    kit->call = (kw_call){.size = sizeof(kit->call)};
    kit->records = records_new();
    kit->options = scene->options;
    set_option(scene, "library", from_environment("KW_TOKEN_LIBRARY"), 0);
    set_option(scene, "token_label", from_environment("KW_TOKEN_LABEL"), 0);
    set_option(scene, "sessions", "4", 4);
    set_option(scene, "timeout", "5s", 5000);
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

/* That open fails so, and says all of these. */
static void assert_refused(struct scene *scene, kw_status wanted, const char *first, const char *second)
{
    struct kit *kit = &scene->kit;
    kw_status status = open_kit(kit);
    if (status != wanted)
        fail_msg("%s instead of %s: %s", status_name(status), status_name(wanted), kit->host.sentence);
    if (strstr(kit->host.sentence, first) == NULL || strstr(kit->host.sentence, second) == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", kit->host.sentence, first, second);
}

/* Runs a program to its end; what it prints is not looked at. */
static void run(const char *const *arguments)
{
    pid_t child;
    int status = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
    int error = posix_spawnp(&child, arguments[0], &actions, NULL, (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0 || waitpid(child, &status, 0) != child || status != 0)
        fail_msg("%s ends with %d", arguments[0], status);
}

/* pkcs11-tool, logged in. */
static void tool(const char *what, const char *type, const char *label, const char *id)
{
    const char *const arguments[] = {"pkcs11-tool",
                                     "--module",
                                     from_environment("KW_TOKEN_LIBRARY"),
                                     "--token-label",
                                     from_environment("KW_TOKEN_LABEL"),
                                     "--login",
                                     "--pin",
                                     from_environment("KW_TOKEN_PIN"),
                                     what,
                                     "--key-type",
                                     type,
                                     "--label",
                                     label,
                                     id != NULL ? "--id" : NULL,
                                     id,
                                     NULL};
    run(arguments);
}

static const struct key_variant p256 = {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256};

static void make_key(struct kit *kit, struct test_key *key)
{
    if (!test_key_new(kit, GENERATE_EACH, &p256, key))
        fail_msg("no key: %s", kit->host.sentence);
}

static kw_status sign(const struct kit *kit, const struct test_key *key)
{
    static const unsigned char digest[32] = {1, 2, 3};
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
    struct bytes signature = {NULL, 0};
    struct kit *own = (struct kit *)(uintptr_t)kit;
    struct use use = {.kit = own, .key = key->key, .algorithm = &algorithm, .input = {digest, sizeof(digest)}};
    kw_status status = produce(produce_signature, &use, &signature);
    if (status == KW_OK && !judge_verify(key->pkey, &algorithm, use.input, bytes_view(&signature)))
        status = KW_SIGNATURE_INVALID;
    bytes_free(&signature);
    return status;
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
    assert_int_equal(open_kit(kit), KW_OK);
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
    set_option(scene, "token_serial", "0000000000000000", 0);
    assert_refused(scene, KW_CONFIGURATION, "serial '0000000000000000' and label '", "label 'twin', serial '");
    assert_non_null(strstr(scene->kit.host.sentence, "maker 'SoftHSM project', model 'SoftHSM v2'"));
    assert_int_equal(atomic_load(&scene->kit.host.secret_requests), 0);
}

static void open_unknown_label_says_what_there_is(void **state)
{
    struct scene *scene = *state;
    set_option(scene, "token_label", "no such token", 0);
    assert_refused(scene, KW_CONFIGURATION, "no token has label 'no such token'", from_environment("KW_TOKEN_LABEL"));
}

static void open_label_of_two_tokens_is_ambiguous(void **state)
{
    struct scene *scene = *state;
    set_option(scene, "token_label", "twin", 0);
    assert_refused(scene, KW_CONFIGURATION, "more than one token has label 'twin'", "token_serial");
}

/* The serial of the token with this label, out of what is said of a wrong one. */
static void read_serial(struct scene *scene, const char *label, char serial[17])
{
    char before[64];
    set_option(scene, "token_serial", "0", 0);
    assert_int_equal(open_kit(&scene->kit), KW_CONFIGURATION);
    snprintf(before, sizeof(before), "label '%s', serial '", label);
    const char *at = strstr(scene->kit.host.sentence, before);
    assert_non_null(at);
    snprintf(serial, 17, "%s", at + strlen(before));
    drop_option(scene, "token_serial");
}

static void open_serial_without_label_takes_its_token(void **state)
{
    struct scene *scene = *state;
    char serial[17];
    read_serial(scene, from_environment("KW_TOKEN_LABEL"), serial);
    drop_option(scene, "token_label");
    set_option(scene, "token_serial", serial, 0);
    assert_int_equal(open_kit(&scene->kit), KW_OK);
}

static void open_serial_of_another_label_is_refused(void **state)
{
    struct scene *scene = *state;
    char serial[17];
    read_serial(scene, "twin", serial);
    set_option(scene, "token_serial", serial, 0);
    assert_refused(scene, KW_CONFIGURATION, serial, "no token has");
}

static void open_without_serial_and_label_is_refused(void **state)
{
    struct scene *scene = *state;
    drop_option(scene, "token_label");
    assert_refused(scene, KW_CONFIGURATION, "token_serial and token_label", "--list-slots");
}

static void open_other_init_args_is_refused(void **state)
{
    struct scene *scene = *state;
    set_option(scene, "init_args", "configdir=elsewhere", 0);
    assert_refused(scene, KW_CONFIGURATION, "init_args", "initialized once");
}

/* ---- Which module ------------------------------------------------------------------------------------------------------- */

/* A copy of the module in a directory of its own; to be removed by forget_copy. */
static void copy_module(char directory[64], char path[80], mode_t directory_mode, mode_t mode)
{
    snprintf(directory, 64, "/tmp/keywright-module.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, 80, "%s/module.so", directory);
    const char *const arguments[] = {"cp", from_environment("KW_TOKEN_LIBRARY"), path, NULL};
    run(arguments);
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
        set_option(scene, "library", path, 0);
        assert_refused(scene, KW_CONFIGURATION, "may be written by others", directory);
        forget_copy(directory, path);
    }
}

static void open_library_that_is_no_module_is_refused(void **state)
{
    struct scene *scene = *state;
    char directory[64], path[80];
    set_option(scene, "library", "libsofthsm2.so", 0);
    assert_refused(scene, KW_CONFIGURATION, "not an absolute path", "libsofthsm2.so");
    set_option(scene, "library", "/usr/lib/no-such-module.so", 0);
    assert_refused(scene, KW_CONFIGURATION, "/usr/lib/no-such-module.so", "No such file");
    set_option(scene, "library", "/usr/lib", 0);
    assert_refused(scene, KW_CONFIGURATION, "/usr/lib", "not a file");
    set_option(scene, "library", "/etc/hostname", 0);
    assert_refused(scene, KW_CONFIGURATION, "/etc/hostname", "cannot be loaded");
    copy_module(directory, path, 0700, 0600);
    const char *const arguments[] = {"cp", "--", TEST_LIBRARY, path, NULL};
    run(arguments);
    assert_int_equal(chmod(path, 0600), 0);
    set_option(scene, "library", path, 0);
    assert_refused(scene, KW_CONFIGURATION, "no PKCS#11 module", "C_GetFunctionList");
    forget_copy(directory, path);
}

static void open_library_of_another_sha256_is_refused(void **state)
{
    struct scene *scene = *state;
    char right[65] = "";
    set_option(scene, "library_sha256", "0123", 0);
    assert_refused(scene, KW_CONFIGURATION, "library_sha256", "64 hex digits");
    set_option(scene, "library_sha256", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", 0);
    assert_refused(scene, KW_CONFIGURATION, "another SHA-256, ", "library_sha256");
    const char *said = strstr(scene->kit.host.sentence, "another SHA-256, ") + strlen("another SHA-256, ");
    snprintf(right, sizeof(right), "%s", said);
    set_option(scene, "library_sha256", right, 0);
    assert_int_equal(open_kit(&scene->kit), KW_OK);
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
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit, &key);
    for (int round = 0; round < 2; round++) {
        kit_host_like(kit, &other, kit->records);
        kit_host_set_secret(&other, "pin", "wrong-one");
        assert_int_equal(kit_open(kit, &other, &instance, &capabilities), KW_SECRET_REFUSED);
        assert_non_null(strstr(other.sentence, "CKR_PIN_INCORRECT"));
        assert_int_equal(atomic_load(&other.secret_refusals), 1);
        assert_int_equal(sign(kit, &key), KW_OK);
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
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit, &key);
    kit_host_like(kit, &other, kit->records);
    assert_int_equal(kit_open(kit, &other, &instance, &capabilities), KW_OK);
    kit_close(kit, &other, instance);
    unsigned before = atomic_load(&kit->host.backend_calls);
    assert_int_equal(sign(kit, &key), KW_OK);
    /* a session, a search for the key, and the signature: no login */
    assert_int_equal(atomic_load(&kit->host.backend_calls) - before, 1 + 3 + 2);
    test_key_free(kit, &key);
}

static void sign_always_authenticate_logs_in_each_time(void **state)
{
    struct scene *scene = *state;
    struct kit *kit = &scene->kit;
    struct test_key key;
    set_option(scene, "always_authenticate", "true", 1);
    assert_int_equal(open_kit(kit), KW_OK);
    assert_true((kit->capabilities.features & KW_FEATURE_ALWAYS_AUTHENTICATE) != 0);
    make_key(kit, &key);
    assert_true((key.capabilities.features & KW_FEATURE_ALWAYS_AUTHENTICATE) != 0);
    for (int round = 0; round < 2; round++) {
        unsigned before = atomic_load(&kit->host.backend_calls);
        assert_int_equal(sign(kit, &key), KW_OK);
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
        tool("--keypairgen", "EC:prime256v1", keys[i].label, keys[i].id);
    assert_int_equal(open_kit(kit), KW_OK);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct test_key key = {.key = NULL};
        if (!is_listed(kit, keys[i].locator))
            fail_msg("%s is not in the list", keys[i].locator);
        key.locator.length = strlen(keys[i].locator);
        memcpy(key.locator.data, keys[i].locator, key.locator.length);
        assert_true(test_key_open(kit, kit->instance, &kit->host, OPEN_OK, &key));
        assert_int_equal(sign(kit, &key), KW_OK);
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
        tool("--keypairgen", "EC:prime256v1", "one of two", "abababababababababababababababab");
    assert_int_equal(open_kit(kit), KW_OK);
    assert_int_equal(try_locator(kit, "ec:id=abababababababababababababababab", &key), KW_REFUSED);
    assert_non_null(strstr(kit->host.sentence, "more than one private key ec:id=abab"));
    assert_int_equal(kit->operations.key_find(kit->instance, &kit->call, id, &output), KW_REFUSED);
    assert_int_equal(kit->operations.key_delete(kit->instance, &kit->call, locator_view(&key.locator)), KW_REFUSED);
    for (int i = 0; i < 2; i++) {
        const char *const arguments[] = {"pkcs11-tool",
                                         "--module",
                                         from_environment("KW_TOKEN_LIBRARY"),
                                         "--token-label",
                                         from_environment("KW_TOKEN_LABEL"),
                                         "--login",
                                         "--pin",
                                         from_environment("KW_TOKEN_PIN"),
                                         "--delete-object",
                                         "--type",
                                         "privkey",
                                         "--id",
                                         "abababababababababababababababab",
                                         NULL};
        run(arguments);
    }
}

static void find_among_many_keys_does_not_enumerate(void **state)
{
    const char *full = getenv("KW_TEST_FULL");
    const unsigned many = full != NULL && strcmp(full, "yes") == 0 ? 5000 : 60;
    struct kit *kit = &((struct scene *)*state)->kit;
    struct locator *locators = calloc(many, sizeof(*locators));
    assert_non_null(locators);
    assert_int_equal(open_kit(kit), KW_OK);
    for (unsigned i = 0; i < many; i++) {
        kw_key_template wanted = template_new(kit, &p256);
        assert_int_equal(generate(kit, kit->instance, &wanted, &locators[i]), KW_OK);
    }
    struct test_key key = {.locator = locators[many / 2]};
    unsigned before = atomic_load(&kit->host.backend_calls);
    assert_true(test_key_open(kit, kit->instance, &kit->host, OPEN_OK, &key));
    assert_int_equal(sign(kit, &key), KW_OK);
    assert_int_equal(atomic_load(&kit->host.backend_calls) - before, 4 + 2);
    kit->operations.key_close(key.key);
    EVP_PKEY_free(key.pkey);
    for (unsigned i = 0; i < many; i++)
        assert_int_equal(kit->operations.key_delete(kit->instance, &kit->call, locator_view(&locators[i])), KW_OK);
    free(locators);
}

/* ---- Losing the token --------------------------------------------------------------------------------------------------------------- */

/* The module's own list, as another part of the process may use it. */
static const CK_FUNCTION_LIST *module_functions(void)
{
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    CK_FUNCTION_LIST *list = NULL;
    void *module = dlopen(from_environment("KW_TOKEN_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    void *symbol = dlsym(module, "C_GetFunctionList");
    assert_non_null(symbol);
    memcpy(&get, &symbol, sizeof(get));
    assert_int_equal(get(&list), CKR_OK);
    return list;
}

static CK_SLOT_ID find_slot(const CK_FUNCTION_LIST *list)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    const char *label = from_environment("KW_TOKEN_LABEL");
    assert_int_equal(list->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        assert_int_equal(list->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (strncmp((const char *)info.label, label, strlen(label)) == 0)
            return slots[i];
    }
    fail_msg("there is no slot");
    return 0;
}

static void sign_after_sessions_were_closed_renews_them(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit, &key);
    const CK_FUNCTION_LIST *list = module_functions();
    CK_SLOT_ID slot = find_slot(list);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
        assert_int_equal(sign(kit, &key), KW_OK);
    }
    assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
    struct test_key another;
    make_key(kit, &another);
    test_key_free(kit, &another);
    assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
    test_key_free(kit, &key);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1);
}

struct crowd {
    struct kit *kit;
    const struct test_key *key;
    atomic_uint wrong;
    unsigned rounds;
};

static void *sign_on(void *argument)
{
    struct crowd *crowd = argument;
    for (unsigned round = 0; round < crowd->rounds; round++)
        if (sign(crowd->kit, crowd->key) != KW_OK)
            atomic_fetch_add(&crowd->wrong, 1);
    return NULL;
}

static void sign_in_threads_while_sessions_are_closed_loses_none(void **state)
{
    enum { THREADS = 6 };
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    pthread_t threads[THREADS];
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit, &key);
    struct crowd crowd = {.kit = kit, .key = &key, .rounds = 60};
    const CK_FUNCTION_LIST *list = module_functions();
    CK_SLOT_ID slot = find_slot(list);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_on, &crowd), 0);
    for (int i = 0; i < 5; i++) {
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        /* Between operations: SoftHSM itself crashes when a session is closed in the middle of one. */
        assert_true(p11_gate_shut(&kit->instance->module->gate, 5000));
        assert_int_equal(list->C_CloseAllSessions(slot), CKR_OK);
        p11_gate_open(&kit->instance->module->gate);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (atomic_load(&crowd.wrong) != 0)
        fail_msg("%u signatures failed: %s", atomic_load(&crowd.wrong), kit->host.sentence);
    test_key_free(kit, &key);
}

/* Takes the tokens' directory away, and brings it back. */
static void move_tokens(bool away)
{
    char line[512] = "", from[300] = "", to[320];
    FILE *file = fopen(from_environment("SOFTHSM2_CONF"), "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "directories.tokendir = %290s", from) == 1)
            break;
    fclose(file);
    snprintf(to, sizeof(to), "%s.away", from);
    assert_int_equal(away ? rename(from, to) : rename(to, from), 0);
    if (away)
        assert_int_equal(mkdir(from, 0700), 0);
}

static void remove_empty(void)
{
    char line[512] = "", path[300] = "";
    FILE *file = fopen(from_environment("SOFTHSM2_CONF"), "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "directories.tokendir = %290s", path) == 1)
            break;
    fclose(file);
    /* SoftHSM may have put its lock files there */
    const char *const arguments[] = {"rm", "-rf", "--", path, NULL};
    run(arguments);
}

static void token_that_comes_back_is_used_again(void **state)
{
    struct kit *kit = &((struct scene *)*state)->kit;
    struct test_key key;
    kw_status status = KW_UNAVAILABLE;
    assert_int_equal(open_kit(kit), KW_OK);
    make_key(kit, &key);
    move_tokens(true);
    status = sign(kit, &key);
    char sentence[sizeof(kit->host.sentence)];
    memcpy(sentence, kit->host.sentence, sizeof(sentence));
    kw_status health = kit->operations.health(kit->instance, &kit->call);
    remove_empty();
    move_tokens(false);
    if (status != KW_UNAVAILABLE)
        fail_msg("without the token: %s, %s", status_name(status), sentence);
    assert_non_null(strstr(sentence, from_environment("KW_TOKEN_LABEL")));
    assert_int_equal(health, KW_UNAVAILABLE);
    for (int attempt = 0; attempt < 40 && status == KW_UNAVAILABLE; attempt++) {
        struct timespec pause = {.tv_nsec = 100000000};
        nanosleep(&pause, NULL);
        status = sign(kit, &key);
    }
    if (status != KW_OK)
        fail_msg("with the token again: %s, %s", status_name(status), kit->host.sentence);
    assert_int_equal(atomic_load(&kit->host.secret_requests), 1);
    test_key_free(kit, &key);
}

static int make_other_tokens(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *const arguments[] = {"softhsm2-util", "--init-token", "--free",   "--label",      "twin",
                                         "--pin",         "135790",       "--so-pin", "135790135790", NULL};
        run(arguments);
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
        set_up(&state);
        struct kit *kit = &((struct scene *)state)->kit;
        kw_key_template wanted = {.size = sizeof(wanted), .type = KW_KEY_EC, .curve = KW_CURVE_P256, .label = "first"};
        memset(wanted.id, 0xF1, sizeof(wanted.id));
        bool made = open_kit(kit) == KW_OK && generate(kit, kit->instance, &wanted, &locator) == KW_OK;
        tear_down(&state);
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
        cmocka_unit_test_setup_teardown(open_and_first_signature_take_twenty_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_unknown_serial_says_what_there_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_unknown_label_says_what_there_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_label_of_two_tokens_is_ambiguous, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_serial_without_label_takes_its_token, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_serial_of_another_label_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_without_serial_and_label_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_other_init_args_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_library_that_others_may_write_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_library_that_is_no_module_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_library_of_another_sha256_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_wrong_pin_leaves_other_stores_working, set_up, tear_down),
        cmocka_unit_test_setup_teardown(close_of_another_store_keeps_the_login, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sign_always_authenticate_logs_in_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_key_of_another_program_signs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_key_whose_id_is_not_unique_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(find_among_many_keys_does_not_enumerate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sign_after_sessions_were_closed_renews_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sign_in_threads_while_sessions_are_closed_loses_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(token_that_comes_back_is_used_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
