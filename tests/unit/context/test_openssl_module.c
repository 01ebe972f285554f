/* The loadable module in a program that embeds the library too, in forked processes, and in threads: as libcrypto loads it. */
#include "server.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE "the message"

struct program {
    struct server server;
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *standard, *module;
};

static void load(struct program *program)
{
    program->library = OSSL_LIB_CTX_new();
    assert_non_null(program->library);
    assert_int_equal(OSSL_PROVIDER_set_default_search_path(program->library, KW_TEST_MODULES), 1);
    program->standard = OSSL_PROVIDER_load(program->library, "default");
    program->module = OSSL_PROVIDER_load(program->library, "keywright");
    assert_non_null(program->standard);
    assert_non_null(program->module);
}

static void unload(struct program *program)
{
    OSSL_PROVIDER_unload(program->module);
    OSSL_PROVIDER_unload(program->standard);
    OSSL_LIB_CTX_free(program->library);
}

static int start(void **state)
{
    static struct program program;
    program = (struct program){0};
    server_start(&program.server, NULL);
    assert_ok(&program.server, server_create(&program.server, "general/key", NULL));
    assert_int_equal(setenv("KEYWRIGHT_CONFIG", program.server.configuration, 1), 0);
    load(&program);
    *state = &program;
    return 0;
}

static int stop(void **state)
{
    struct program *program = *state;
    unload(program);
    server_stop(&program->server);
    ERR_clear_error();
    return 0;
}

/* NULL: there is none, and the reason is in the queue. */
static EVP_PKEY *open_key(const struct program *program, const char *uri)
{
    EVP_PKEY *key = NULL;
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, program->library, NULL, UI_null(), NULL, NULL, NULL, NULL);
    while (store != NULL && key == NULL && OSSL_STORE_eof(store) == 0) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static bool signs(const struct program *program, EVP_PKEY *key)
{
    unsigned char signature[512];
    size_t length = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = EVP_DigestSignInit_ex(context, NULL, "SHA256", program->library, NULL, key, NULL) == 1 &&
                EVP_DigestSign(context, signature, &length, (const unsigned char *)MESSAGE, strlen(MESSAGE)) == 1;
    EVP_MD_CTX_free(context);
    context = EVP_MD_CTX_new();
    good = good && EVP_DigestVerifyInit_ex(context, NULL, "SHA256", program->library, NULL, key, NULL) == 1 &&
           EVP_DigestVerify(context, signature, length, (const unsigned char *)MESSAGE, strlen(MESSAGE)) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* Open ones of the state, in all processes. */
static size_t contexts(struct server *server, kw_context *context)
{
    kw_changes *changes = NULL;
    assert_ok(server, kw_reload(context, true, &changes, &server->error));
    const size_t count = changes->contexts;
    kw_changes_free(changes);
    return count;
}

static bool queue_says(const char *text)
{
    bool said = false;
    const char *data = NULL;
    int flags = 0;
    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0)
        said = said || strstr(data, text) != NULL;
    return said;
}

/* ---- One process, one context ---- */

static void module_uses_the_context_that_the_program_has_open(void **state)
{
    struct program *program = *state;
    struct server *server = &program->server;
    assert_int_equal(contexts(server, server->context), 1);
    EVP_PKEY *key = open_key(program, "keywright:general/key");
    assert_non_null(key);
    assert_true(signs(program, key));
    assert_int_equal(contexts(server, server->context), 1);
    EVP_PKEY_free(key);
}

static void program_takes_part_in_the_context_that_the_module_has_open(void **state)
{
    struct program *program = *state;
    struct server *server = &program->server;
    kw_close(server->context);
    server->context = NULL;
    EVP_PKEY *key = open_key(program, "keywright:general/key");
    assert_non_null(key);
    server_reopen(server);
    assert_int_equal(contexts(server, server->context), 1);
    assert_ok(server, server_create(server, "general/more", NULL));
    EVP_PKEY *more = open_key(program, "keywright:general/more");
    assert_non_null(more);
    assert_true(signs(program, key) && signs(program, more));
    EVP_PKEY_free(more);
    EVP_PKEY_free(key);
}

/* Either may go first. */
static void context_stays_as_long_as_somebody_has_it(void **state)
{
    struct program *program = *state;
    struct server *server = &program->server;
    EVP_PKEY *key = open_key(program, "keywright:general/key");
    assert_non_null(key);
    kw_close(server->context);
    server->context = NULL;
    assert_true(signs(program, key));
    server_reopen(server);
    assert_int_equal(contexts(server, server->context), 1);
    assert_true(signs(program, key));
    EVP_PKEY_free(key);
    unload(program);
    assert_int_equal(contexts(server, server->context), 1);
    assert_ok(server, server_create(server, "general/later", NULL));
    load(program);
    key = open_key(program, "keywright:general/later");
    assert_non_null(key);
    EVP_PKEY_free(key);
}

static void program_that_opens_twice_has_two(void **state)
{
    struct program *program = *state;
    struct server *server = &program->server;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    kw_context *second = NULL;
    assert_ok(server, kw_open(&options, &second, &server->error));
    assert_ptr_not_equal(second, server->context);
    assert_int_equal(contexts(server, second), 2);
    kw_close(second);
    assert_int_equal(contexts(server, server->context), 1);
}

static void two_library_contexts_share_one(void **state)
{
    struct program *program = *state;
    struct server *server = &program->server;
    struct program other = {0};
    load(&other);
    EVP_PKEY *key = open_key(program, "keywright:general/key"), *same = open_key(&other, "keywright:general/key");
    assert_non_null(key);
    assert_non_null(same);
    assert_int_equal(contexts(server, server->context), 1);
    assert_true(signs(program, key) && signs(&other, same));
    EVP_PKEY_free(same);
    unload(&other);
    assert_true(signs(program, key));
    EVP_PKEY_free(key);
}

/* ---- Whose callbacks ---- */

struct asked {
    unsigned prompts;
};

static kw_status answer(void *user, const char *what, bool confirm, kw_output *out)
{
    static const char passphrase[] = "another passphrase";
    struct asked *asked = user;
    (void)what;
    (void)confirm;
    asked->prompts++;
    memcpy(out->data, passphrase, sizeof(passphrase) - 1);
    out->length = sizeof(passphrase) - 1;
    return KW_OK;
}

static void program_is_asked_while_it_has_the_context(void **state)
{
    static const char more[] = "  asking:\n"
                               "    id: 0b1d02aa\n"
                               "    plugin: softstore\n"
                               "    options: {passphrase: prompt, scrypt_log2_n: 14}\n"
                               "certificates:\n  server-encryption: {key: ec-p256}\n  ssl-connection: {key: ec-p256}\n";
    struct program program = {0};
    struct server *server = &program.server;
    struct asked asked = {0}, later = {0};
    (void)state;
    server_start(server, more);
    assert_int_equal(setenv("KEYWRIGHT_CONFIG", server->configuration, 1), 0);
    kw_open_options options = {
        .size = sizeof(options), .configuration = server->configuration, .prompt = answer, .user = &asked};
    kw_close(server->context);
    server->context = NULL;
    assert_ok(server, kw_open(&options, &server->context, &server->error));
    const kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = "general/key", .key = "ec-p256", .store = "asking"};
    assert_ok(server, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    kw_close(server->context);
    server->context = NULL;
    const unsigned before = asked.prompts;
    load(&program);
    /* The module alone: there is nobody to ask. */
    assert_null(open_key(&program, "keywright:general/key"));
    assert_true(queue_says("prompt was not answered"));
    options.user = &later;
    assert_ok(server, kw_open(&options, &server->context, &server->error));
    EVP_PKEY *key = open_key(&program, "keywright:general/key");
    assert_non_null(key);
    assert_int_equal(later.prompts, 1);
    assert_int_equal(asked.prompts, before);
    EVP_PKEY_free(key);
    kw_close(server->context);
    server->context = NULL;
    unload(&program);
    server_stop(server);
}

/* ---- Both at once ---- */

static bool ended_well(pid_t child)
{
    int result = -1;
    return child > 0 && waitpid(child, &result, 0) == child && result == 0;
}

#define CATALOGUE_KEY "0123456789abcdef0123456789abcdef"

/* One opens, and is asked for the catalogue's key; the other comes then. */
struct race {
    struct program program;
    atomic_bool asked, second_done;
    atomic_uint prompts;
    kw_context *opened;
    EVP_PKEY *key;
};

/* The first holds on, as long as the second may need to open a context of its own. */
static void hold(struct race *race)
{
    if (atomic_fetch_add(&race->prompts, 1) > 0)
        return;
    atomic_store(&race->asked, true);
    for (unsigned i = 0; i < 40 && !atomic_load(&race->second_done); i++)
        usleep(25000);
}

static kw_status answer_program(void *user, const char *what, bool confirm, kw_output *out)
{
    (void)what;
    (void)confirm;
    hold(user);
    memcpy(out->data, CATALOGUE_KEY, sizeof(CATALOGUE_KEY) - 1);
    out->length = sizeof(CATALOGUE_KEY) - 1;
    return KW_OK;
}

static int answer_module(char *to, int room, int writing, void *user)
{
    (void)writing;
    hold(user);
    return snprintf(to, (size_t)room, "%s", CATALOGUE_KEY);
}

static void *open_program(void *user)
{
    struct race *race = user;
    kw_error error = {0};
    const kw_open_options options = {.size = sizeof(options),
                                     .configuration = race->program.server.configuration,
                                     .prompt = answer_program,
                                     .user = race};
    if (kw_open(&options, &race->opened, &error) != KW_OK)
        print_error("%s\n", error.message);
    return NULL;
}

static void *open_module(void *user)
{
    struct race *race = user;
    UI_METHOD *ask = UI_UTIL_wrap_read_pem_callback(answer_module, 0);
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex("keywright:general/key", race->program.library, NULL, ask, race, NULL, NULL, NULL);
    while (store != NULL && race->key == NULL && OSSL_STORE_eof(store) == 0) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL)
            race->key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    UI_destroy_method(ask);
    ERR_clear_error();
    return NULL;
}

/* The catalogue's key is asked for; `first` has been. */
static void race_start(struct race *race, void *(*first)(void *), pthread_t *thread)
{
    static const char file[] = "file:catalogue-key", prompt[] = "prompt            ";
    struct server *server = &race->program.server;
    unsigned char text[4096] = "";
    *race = (struct race){0};
    server_start(server, NULL);
    assert_ok(server, server_create(server, "general/key", NULL));
    kw_close(server->context);
    server->context = NULL;
    const size_t length = server_read_file(server, "keywright.yaml", text, sizeof(text));
    char *at = memmem(text, length, file, sizeof(file) - 1);
    assert_non_null(at);
    memcpy(at, prompt, sizeof(prompt) - 1);
    server_write_file(server, "keywright.yaml", text, length, 0600);
    assert_int_equal(setenv("KEYWRIGHT_CONFIG", server->configuration, 1), 0);
    load(&race->program);
    assert_int_equal(pthread_create(thread, NULL, first, race), 0);
    while (!atomic_load(&race->asked))
        usleep(1000);
}

static void race_end(struct race *race, pthread_t thread)
{
    atomic_store(&race->second_done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void race_clear(struct race *race)
{
    EVP_PKEY_free(race->key);
    kw_close(race->opened);
    unload(&race->program);
    server_stop(&race->program.server);
}

static void one_context_of_two_who_open_at_once(void *(*first)(void *), void *(*second)(void *))
{
    static struct race race;
    pthread_t thread;
    race_start(&race, first, &thread);
    second(&race);
    race_end(&race, thread);
    assert_non_null(race.opened);
    assert_non_null(race.key);
    assert_int_equal(atomic_load(&race.prompts), 1);
    assert_int_equal(contexts(&race.program.server, race.opened), 1);
    assert_true(signs(&race.program, race.key));
    race_clear(&race);
}

static void module_waits_for_a_program_that_opens(void **state)
{
    (void)state;
    one_context_of_two_who_open_at_once(open_program, open_module);
}

static void program_waits_for_a_module_that_opens(void **state)
{
    (void)state;
    one_context_of_two_who_open_at_once(open_module, open_program);
}

/* Whose opening it was is not in the child, which would wait for it for ever. */
static void fork_while_another_thread_opens_gives_a_child_that_opens(void **state)
{
    static struct race race;
    pthread_t thread;
    (void)state;
    race_start(&race, open_program, &thread);
    const pid_t child = fork();
    if (child == 0) {
        alarm(120);
        open_module(&race);
        _exit(race.key != NULL && signs(&race.program, race.key) ? 0 : 1);
    }
    assert_true(ended_well(child));
    race_end(&race, thread);
    assert_non_null(race.opened);
    race_clear(&race);
}

/* ---- Forks and threads ---- */

/* A child that signs, as another user when that is possible; it ends without libcrypto's end, as a killed one does. */
static pid_t fork_signer(const struct program *program, EVP_PKEY *key)
{
    const pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        bool good = true;
        for (unsigned i = 0; i < 3; i++)
            good = good && signs(program, key);
        _exit(good ? 0 : 1);
    }
    return child;
}

static void forked_processes_without_rights_sign(void **state)
{
    struct program *program = *state;
    EVP_PKEY *key = open_key(program, "keywright:general/key");
    pid_t children[3];
    assert_non_null(key);
    for (size_t i = 0; i < 3; i++)
        children[i] = fork_signer(program, key); /* the first of them before the key was used at all */
    for (size_t i = 0; i < 3; i++)
        assert_true(ended_well(children[i]));
    assert_true(signs(program, key));
    assert_true(ended_well(fork_signer(program, key)));
    EVP_PKEY_free(key);
}

/* A server that forks before it opens anything, and whose children open for themselves and end by exit. */
static void forked_processes_open_keys_themselves(void **state)
{
    struct program *program = *state;
    for (unsigned i = 0; i < 2; i++) {
        const pid_t child = fork();
        if (child == 0) {
            EVP_PKEY *key = open_key(program, "keywright:general/key");
            const bool good = key != NULL && signs(program, key);
            EVP_PKEY_free(key);
            _exit(good ? 0 : 1);
        }
        assert_true(ended_well(child));
    }
}

struct crowd {
    const struct program *program;
    EVP_PKEY *key;
    atomic_bool done;
    atomic_uint failures, signatures;
};

static void *sign_on(void *user)
{
    struct crowd *crowd = user;
    while (!atomic_load(&crowd->done)) {
        if (!signs(crowd->program, crowd->key))
            atomic_fetch_add(&crowd->failures, 1);
        atomic_fetch_add(&crowd->signatures, 1);
    }
    return NULL;
}

/* One EVP_PKEY, eight threads. */
static void threads_sign_with_one_key(void **state)
{
    struct crowd crowd = {.program = *state, .key = open_key(*state, "keywright:general/key")};
    pthread_t threads[8];
    assert_non_null(crowd.key);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_on, &crowd), 0);
    while (atomic_load(&crowd.signatures) < 100)
        usleep(1000);
    atomic_store(&crowd.done, true);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&crowd.failures), 0);
    EVP_PKEY_free(crowd.key);
}

/* ---- Reference files ---- */

static EVP_PKEY *read_reference(const struct program *program, const kw_bytes *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->length);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, program->library, NULL);
    BIO_free(bio);
    return key;
}

/* How often stores have been asked for keys. */
static uint64_t keys_opened(struct server *server)
{
    kw_state *facts = NULL;
    uint64_t opened = 0;
    assert_ok(server, kw_state_get(server->context, &facts, &server->error));
    for (size_t i = 0; i < facts->store_count; i++)
        for (size_t j = 0; j < facts->stores[i].operation_count; j++)
            if (strcmp(facts->stores[i].operations[j].operation, "key_open") == 0)
                opened += facts->stores[i].operations[j].calls;
    kw_state_free(facts);
    return opened;
}

/* Who wants another type gets nothing, and no store is asked. */
static void assert_is_no_key_of(struct program *program, const kw_bytes *pem, const char *type)
{
    struct server *server = &program->server;
    const uint64_t before = keys_opened(server);
    EVP_PKEY *key = NULL;
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->length);
    OSSL_DECODER_CTX *decoder =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, type, EVP_PKEY_KEYPAIR, program->library, NULL);
    assert_non_null(decoder);
    assert_int_equal(OSSL_DECODER_from_bio(decoder, bio), 0);
    assert_null(key);
    assert_int_equal(keys_opened(server), before);
    OSSL_DECODER_CTX_free(decoder);
    BIO_free(bio);
    ERR_clear_error();
}

static void reference_becomes_the_key_of_its_type(void **state)
{
    static const struct {
        const char *key, *type;
    } rows[] = {{"rsa-2048", "RSA"}, {"ec-p384", "EC"}, {"ed25519", "ED25519"}};
    struct program *program = *state;
    struct server *server = &program->server;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char address[32];
        kw_bytes pem = {0};
        snprintf(address, sizeof(address), "general/%s", rows[i].key);
        const kw_certificate_template wanted = {.size = sizeof(wanted), .address = address, .key = rows[i].key};
        assert_ok(server, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
        assert_ok(server, kw_certificate_reference(server->context, address, &pem, &server->error));
        const uint64_t before = keys_opened(server);
        EVP_PKEY *key = read_reference(program, &pem);
        assert_non_null(key);
        assert_int_equal(keys_opened(server), before + 1);
        assert_int_equal(EVP_PKEY_is_a(key, rows[i].type), 1);
        assert_null(EVP_PKEY2PKCS8(key));
        EVP_PKEY_free(key);
        ERR_clear_error();
        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++)
            if (j != i)
                assert_is_no_key_of(program, &pem, rows[j].type);
        /* what it names has gone */
        assert_ok(server, kw_certificate_delete(server->context, address, true, &server->error));
        assert_null(read_reference(program, &pem));
        assert_true(queue_says(address));
        kw_bytes_free(&pem);
    }
}

static void key_of_an_absent_configuration_says_where_it_looked(void **state)
{
    struct program other = {0};
    (void)state;
    assert_int_equal(setenv("KEYWRIGHT_CONFIG", "/nonexistent/keywright.yaml", 1), 0);
    load(&other);
    assert_null(open_key(&other, "keywright:general/key"));
    assert_true(queue_says("/nonexistent/keywright.yaml: there is no configuration file"));
    unload(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(module_uses_the_context_that_the_program_has_open, start, stop),
        cmocka_unit_test_setup_teardown(program_takes_part_in_the_context_that_the_module_has_open, start, stop),
        cmocka_unit_test_setup_teardown(context_stays_as_long_as_somebody_has_it, start, stop),
        cmocka_unit_test_setup_teardown(program_that_opens_twice_has_two, start, stop),
        cmocka_unit_test_setup_teardown(two_library_contexts_share_one, start, stop),
        cmocka_unit_test(program_is_asked_while_it_has_the_context),
        cmocka_unit_test(module_waits_for_a_program_that_opens),
        cmocka_unit_test(program_waits_for_a_module_that_opens),
        cmocka_unit_test(fork_while_another_thread_opens_gives_a_child_that_opens),
        cmocka_unit_test_setup_teardown(forked_processes_without_rights_sign, start, stop),
        cmocka_unit_test_setup_teardown(forked_processes_open_keys_themselves, start, stop),
        cmocka_unit_test_setup_teardown(threads_sign_with_one_key, start, stop),
        cmocka_unit_test_setup_teardown(reference_becomes_the_key_of_its_type, start, stop),
        cmocka_unit_test(key_of_an_absent_configuration_says_where_it_looked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
