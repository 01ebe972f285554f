/* Opening, closing, forking, threads, and facts about the whole. */
#include "server.h"

#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static int start(void **state)
{
    static struct server server;
    server_start(&server, NULL);
    assert_ok(&server, server_create(&server, "database/sales", NULL));
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

static kw_status sign_and_verify(kw_key *key)
{
    unsigned char bytes[512];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_input message = {(const unsigned char *)"message", 7};
    kw_status status = kw_key_sign(key, NULL, message, &signature, NULL);
    if (status == KW_OK)
        status = kw_key_verify(key, NULL, message, (kw_input){bytes, signature.length}, NULL);
    return status;
}

static void open_without_configuration_says_where_it_looked(void **state)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = "/nonexistent/keywright.yaml"};
    kw_context *context = NULL;
    kw_error error = {0};
    (void)state;
    assert_int_equal(kw_open(&options, &context, &error), KW_CONFIGURATION);
    assert_string_equal(error.where, "/nonexistent/keywright.yaml");
    assert_non_null(strstr(error.remedy, "keywright init"));
}

/* A caller of an older header, whose struct ends before the configuration's path, has not given one. */
static void open_takes_no_more_of_its_options_than_their_size(void **state)
{
    struct server *server = *state;
    kw_open_options options = {.size = sizeof(size_t), .configuration = server->configuration};
    kw_context *context = NULL;
    setenv("KEYWRIGHT_CONFIG", "/nowhere/keywright.yaml", 1);
    assert_status(server, KW_CONFIGURATION, kw_open(&options, &context, &server->error));
    assert_string_equal(server->error.where, "/nowhere/keywright.yaml");
    unsetenv("KEYWRIGHT_CONFIG");
    options.size = 0;
    assert_status(server, KW_INVALID_ARGUMENT, kw_open(&options, &context, &server->error));
}

static void open_before_apply_is_not_found_and_names_apply(void **state)
{
    struct server server;
    (void)state;
    server_write(&server, NULL);
    const kw_open_options options = {.size = sizeof(options), .configuration = server.configuration};
    assert_status(&server, KW_NOT_FOUND, kw_open(&options, &server.context, &server.error));
    assert_non_null(strstr(server.error.remedy, "keywright apply"));
    server_stop(&server);
}

static void open_with_wrong_catalogue_key_is_refused(void **state)
{
    struct server *server = *state;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    kw_context *context = NULL;
    server_write_file(server, "catalogue-key", "another key that is long enough\n", 32, 0600);
    assert_status(server, KW_SECRET_REFUSED, kw_open(&options, &context, &server->error));
    server_write_file(server, "catalogue-key", "short\n", 6, 0600);
    assert_status(server, KW_CONFIGURATION, kw_open(&options, &context, &server->error));
}

static void settings_of_certificates_are_checked_with_their_place(void **state)
{
    static const struct {
        const char *yaml, *word;
    } rows[] = {
        {"certificates:\n  databse: {key: rsa-3072}\n", "databse"},
        {"certificates:\n  database: {key: rsa-1024}\n", "rsa-1024"},
        {"certificates:\n  database: {common_name: x}\n", "common_name"},
        {"certificates:\n  database/sales: {hosts: [a.example]}\n", "hosts"},
        {"certificates:\n  database/sales@1: {key: rsa-3072}\n", "sales@1"},
        {"certificates:\n  general/x: {subject: garbage}\n", "garbage"},
        {"databases:\n  a/b: {store: local}\n", "a/b"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct server server;
        server_write(&server, rows[i].yaml);
        const kw_open_options options = {.size = sizeof(options), .configuration = server.configuration};
        assert_status(&server, KW_CONFIGURATION, kw_configuration_check(&options, false, NULL, NULL, &server.error));
        assert_int_equal(server.error.line, 12);
        assert_true(server.error.column > 0);
        assert_non_null(strstr(server.error.message, rows[i].word));
        server_stop(&server);
    }
}

static void check_connect_opens_stores(void **state)
{
    struct server *server = *state;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    assert_ok(server, kw_configuration_check(&options, true, NULL, NULL, &server->error));
    server_write_file(server, "passphrase", "wrong\n", 6, 0600);
    assert_ok(server, kw_configuration_check(&options, false, NULL, NULL, &server->error));
    assert_status(server, KW_SECRET_REFUSED, kw_configuration_check(&options, true, NULL, NULL, &server->error));
}

static void initialise_writes_what_opens_and_refuses_to_repeat(void **state)
{
    char directory[] = "/tmp/keywright-init-XXXXXX";
    char inner[64];
    struct stat about;
    struct server server = {0};
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(inner, sizeof(inner), "%s/new", directory);
    assert_ok(&server, kw_initialise(inner, NULL, NULL, NULL, &server.error));
    static const char *const secrets[] = {"catalogue-key", "passphrase"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(server.configuration, sizeof(server.configuration), "%s/%s", inner, secrets[i]);
        assert_int_equal(stat(server.configuration, &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
    }
    snprintf(server.configuration, sizeof(server.configuration), "%s/keywright.yaml", inner);
    server_reopen(&server);
    assert_int_equal(server_count(&server, true, NULL, "ssl-connection"), 2);
    assert_status(&server, KW_EXISTS, kw_initialise(inner, NULL, NULL, NULL, &server.error));
    server_reopen(&server);
    assert_int_equal(server_count(&server, true, NULL, "ssl-connection"), 2);
    snprintf(server.directory, sizeof(server.directory), "%s", directory);
    server_stop(&server);
}

static void initialise_that_fails_leaves_nothing(void **state)
{
    char directory[] = "/tmp/keywright-init-XXXXXX";
    char path[64];
    struct server server = {0};
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(server.directory, sizeof(server.directory), "%s", directory);
    server_write_file(&server, "passphrase", "mine\n", 5, 0600);
    assert_status(&server, KW_EXISTS, kw_initialise(directory, NULL, NULL, NULL, &server.error));
    static const char *const absent[] = {"keywright.yaml", "catalogue-key", "state"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, absent[i]);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    server_stop(&server);
}

static void state_tells_of_stores_and_what_is_misplaced(void **state)
{
    static const char extra[] = "  other:\n"
                                "    id: 0b1d02aa\n"
                                "    plugin: softstore\n"
                                "    options: {passphrase: file:absent, scrypt_log2_n: 14}\n"
                                "databases:\n"
                                "  sales: {store: other}\n"
                                "certificates: {ssl-connection: {key: ec-p256}, server-encryption: {key: ec-p256}}\n";
    struct server server;
    kw_state *facts = NULL;
    (void)state;
    server_start(&server, extra);
    const kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = "database/sales", .key = "ec-p256", .store = "local"};
    assert_ok(&server, kw_certificate_create(server.context, &wanted, NULL, NULL, &server.error));
    assert_ok(&server, kw_state_get(server.context, &facts, &server.error));
    assert_int_equal(facts->store_count, 2);
    assert_true(facts->stores[0].available);
    assert_string_equal(facts->stores[0].plugin, "softstore");
    assert_true(facts->stores[0].calls > 0);
    assert_int_equal(facts->stores[0].certificates, 3);
    assert_false(facts->stores[1].available);
    assert_non_null(strstr(facts->stores[1].problem, "absent"));
    assert_int_equal(facts->certificates, 3);
    assert_int_equal(facts->misplaced_count, 1);
    assert_non_null(strstr(facts->misplaced[0], "database/sales"));
    assert_non_null(strstr(facts->misplaced[0], "keywright transfer database/sales --to other"));
    kw_state_free(facts);
    server_stop(&server);
}

static void plugins_lists_softstore_with_its_options(void **state)
{
    struct server *server = *state;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    kw_plugin_list *list = NULL;
    bool found = false;
    assert_ok(server, kw_plugins(&options, &list, &server->error));
    for (size_t i = 0; i < list->count; i++) {
        const kw_plugin_info *plugin = &list->plugins[i];
        if (strcmp(plugin->name, "softstore") != 0)
            continue;
        assert_null(plugin->problem);
        for (size_t j = 0; j < plugin->option_count; j++)
            found = found || strcmp(plugin->options[j].name, "passphrase") == 0;
    }
    assert_true(found);
    kw_plugin_list_free(list);
}

static void set_secret_changes_the_passphrase(void **state)
{
    struct server *server = *state;
    char source[300];
    kw_bytes configured = {0};
    server_write_file(server, "new-passphrase", "battery staple\n", 15, 0600);
    snprintf(source, sizeof(source), "file:%s", server_path(server, "new-passphrase"));
    assert_ok(server, kw_store_set_secret(server->context, "local", source, &configured, &server->error));
    assert_non_null(strstr((const char *)configured.data, "keywright.yaml:10"));
    kw_bytes_free(&configured);
    server_reopen(server);
    assert_status(server, KW_SECRET_REFUSED, server_create(server, "database/hr", NULL));
    server_write_file(server, "passphrase", "battery staple\n", 15, 0600);
    assert_ok(server, server_create(server, "database/hr", NULL));
    assert_status(server, KW_NOT_FOUND, kw_store_set_secret(server->context, "vault", source, NULL, &server->error));
}

/* ---- Threads and forks ------------------------------------------------------------------------------ */

static void *work(void *context)
{
    for (int i = 0; i < 20; i++) {
        kw_key *key = NULL;
        if (kw_key_open(context, "database/sales", &key, NULL) != KW_OK || sign_and_verify(key) != KW_OK)
            return context;
        kw_key_free(key);
    }
    return NULL;
}

static void threads_open_and_use_keys_at_once(void **state)
{
    struct server *server = *state;
    pthread_t threads[8];
    server_reopen(server);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, server->context), 0);
    for (size_t i = 0; i < 8; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

static void fork_child_goes_on_with_what_is_open(void **state)
{
    struct server *server = *state;
    kw_key *key = NULL;
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_int_equal(sign_and_verify(key), KW_OK);
    /* What is loaded is enough: the child needs neither the passphrase nor its file. */
    server_write_file(server, "passphrase", "gone\n", 5, 0600);
    pid_t children[4];
    for (size_t i = 0; i < 4; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char address[32];
            snprintf(address, sizeof(address), "database/child%zu", i);
            const bool good = sign_and_verify(key) == KW_OK && server_create(server, address, NULL) == KW_OK;
            _exit(good ? 0 : 1);
        }
    }
    assert_int_equal(sign_and_verify(key), KW_OK);
    for (size_t i = 0; i < 4; i++) {
        int result = 0;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    }
    assert_int_equal(server_count(server, false, NULL, "database/child3"), 7);
    kw_key_free(key);
}

#if !defined(SANITIZED) /* their allocators' locks do not survive the fork of a process with threads */
static void *open_one(void *context)
{
    kw_key *key = NULL;
    const kw_status status = kw_key_open(context, "database/sales", &key, NULL);
    kw_key_free(key);
    return status == KW_OK ? NULL : context;
}

/* The memory of the parent's other threads is lost in a child, which is no leak: nothing may look for leaks at its end. */
static void end_child(bool good)
{
    if (good)
        (void)kill(getpid(), SIGKILL);
    _exit(1);
}

/* In the child of a fork: uses the context, and forks once more. */
static bool child_goes_on(kw_context *context)
{
    kw_key *key = NULL;
    int result = 0;
    if (kw_key_open(context, "database/sales", &key, NULL) != KW_OK || sign_and_verify(key) != KW_OK)
        return false;
    const pid_t grandchild = fork();
    if (grandchild == 0)
        end_child(sign_and_verify(key) == KW_OK);
    return grandchild > 0 && waitpid(grandchild, &result, 0) == grandchild && WIFSIGNALED(result) &&
           WTERMSIG(result) == SIGKILL;
}

/* The store's key derivation takes longer than the longest pause here. */
static void fork_while_a_thread_opens_a_store_leaves_no_lock_behind(void **state)
{
    struct server *server = *state;
    for (unsigned milliseconds = 0; milliseconds <= 24; milliseconds += 8) {
        pthread_t opener;
        void *failed = NULL;
        int result = 0;
        const struct timespec pause = {.tv_nsec = (long)milliseconds * 1000000};
        server_reopen(server);
        assert_int_equal(pthread_create(&opener, NULL, open_one, server->context), 0);
        nanosleep(&pause, NULL);
        const pid_t child = fork();
        if (child == 0) {
            alarm(30);
            end_child(child_goes_on(server->context));
        }
        assert_int_equal(pthread_join(opener, &failed), 0);
        assert_null(failed);
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result));
        assert_int_equal(WTERMSIG(result), SIGKILL);
    }
}
#endif

#if !defined(SANITIZED) /* sanitizers leave mlock out */
/* Who is root may lock memory in spite of the limit. */
static bool give_up_right_to_lock(void)
{
    const struct rlimit none = {0, 0};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct capabilities[2] = {0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || syscall(SYS_capget, &header, capabilities) != 0)
        return false;
    capabilities[0].effective &= ~(UINT32_C(1) << CAP_IPC_LOCK);
    return syscall(SYS_capset, &header, capabilities) == 0;
}

static void keep_warning(void *user, kw_log_level level, const char *line)
{
    unsigned *warnings = user;
    if (level == KW_LOG_WARNING && strstr(line, "locked into memory") != NULL)
        (*warnings)++;
}

/* How many warnings come of memory that may be swapped out, where nothing may be locked; negative: something else failed. */
static int warnings_without_leave_to_lock(const struct server *server)
{
    unsigned warnings = 0;
    kw_context *context = NULL;
    kw_key *key = NULL;
    const kw_open_options options = {
        .size = sizeof(options), .configuration = server->configuration, .log = keep_warning, .user = &warnings};
    if (!give_up_right_to_lock())
        return -1;
    /* Memory that this process has locked already stays so; that of a child must be locked again. */
    const pid_t child = fork();
    if (child != 0) {
        int result = 0;
        return waitpid(child, &result, 0) == child && WIFEXITED(result) ? WEXITSTATUS(result) : -3;
    }
    if (kw_open(&options, &context, NULL) != KW_OK || kw_key_open(context, "database/sales", &key, NULL) != KW_OK)
        _exit(100);
    _exit((int)warnings);
}

static void open_without_leave_to_lock_memory_warns_once(void **state)
{
    struct server *server = *state;
    int result = 0;
    kw_close(server->context); /* so that the child has no memory that is locked already */
    server->context = NULL;
    const pid_t child = fork();
    if (child == 0)
        _exit(warnings_without_leave_to_lock(server) == 1 ? 0 : 1);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_without_configuration_says_where_it_looked),
        cmocka_unit_test_setup_teardown(open_takes_no_more_of_its_options_than_their_size, start, stop),
        cmocka_unit_test(open_before_apply_is_not_found_and_names_apply),
        cmocka_unit_test_setup_teardown(open_with_wrong_catalogue_key_is_refused, start, stop),
        cmocka_unit_test(settings_of_certificates_are_checked_with_their_place),
        cmocka_unit_test_setup_teardown(check_connect_opens_stores, start, stop),
        cmocka_unit_test(initialise_writes_what_opens_and_refuses_to_repeat),
        cmocka_unit_test(initialise_that_fails_leaves_nothing),
        cmocka_unit_test(state_tells_of_stores_and_what_is_misplaced),
        cmocka_unit_test_setup_teardown(plugins_lists_softstore_with_its_options, start, stop),
        cmocka_unit_test_setup_teardown(set_secret_changes_the_passphrase, start, stop),
        cmocka_unit_test_setup_teardown(threads_open_and_use_keys_at_once, start, stop),
        cmocka_unit_test_setup_teardown(fork_child_goes_on_with_what_is_open, start, stop),
#if !defined(SANITIZED)
        cmocka_unit_test_setup_teardown(fork_while_a_thread_opens_a_store_leaves_no_lock_behind, start, stop),
        cmocka_unit_test_setup_teardown(open_without_leave_to_lock_memory_warns_once, start, stop),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
