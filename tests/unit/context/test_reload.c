#include "server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- The log ---- */

struct lines {
    pthread_mutex_t mutex;
    char text[200][256];
    size_t count;
};

static void keep_line(void *user, kw_log_level level, const char *line)
{
    struct lines *lines = user;
    (void)level;
    pthread_mutex_lock(&lines->mutex);
    if (lines->count < sizeof(lines->text) / sizeof(lines->text[0]))
        snprintf(lines->text[lines->count++], sizeof(lines->text[0]), "%s", line);
    pthread_mutex_unlock(&lines->mutex);
}

static size_t told(struct lines *lines, const char *part)
{
    size_t count = 0;
    pthread_mutex_lock(&lines->mutex);
    for (size_t i = 0; i < lines->count; i++)
        count += strstr(lines->text[i], part) != NULL;
    pthread_mutex_unlock(&lines->mutex);
    return count;
}

/* ---- The configuration ---- */

/* Besides `local`: what stands here under `stores`, and behind it. */
static void configure(struct server *server, const char *local, const char *stores, const char *more)
{
    char text[4096];
    const int length = snprintf(text, sizeof(text),
                                "version: 1\n"
                                "state: state\n"
                                "catalogue_key: file:catalogue-key\n"
                                "store: local\n"
                                "plugin_directories: [" KW_TEST_PLUGIN_DIRECTORY "]\n"
                                "stores:\n"
                                "  local: {id: 7c9e6679, plugin: softstore, options: {%s}}\n"
                                "%s"
                                "%s",
                                local, stores, more);
    server_write_file(server, "keywright.yaml", text, (size_t)length, 0600);
}

#define LOCAL "passphrase: file:passphrase, scrypt_log2_n: 14"
#define OTHER "  other: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, scrypt_log2_n: 14}}\n"
#define QUICK "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"

static char memory_store[512]; /* a store whose plugin tells its log of opening and closing */

struct scene {
    struct server server;
    struct lines lines;
};

static void open_context(struct scene *scene, kw_context **context)
{
    const kw_open_options options = {
        .size = sizeof(options), .configuration = scene->server.configuration, .log = keep_line, .user = &scene->lines};
    assert_ok(&scene->server, kw_open(&options, context, &scene->server.error));
}

static int begin(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    char command[600];
    assert_non_null(scene);
    pthread_mutex_init(&scene->lines.mutex, NULL);
    server_write(&scene->server, NULL);
    snprintf(command, sizeof(command), "cp %s/keywright-memory.so %s/ && chmod 644 %s/keywright-memory.so", MODULES,
             scene->server.directory, scene->server.directory);
    server_run(command);
    snprintf(memory_store, sizeof(memory_store), "  memory: {id: 0e0e0e0e, plugin: %s/keywright-memory.so}\n",
             scene->server.directory);
    configure(&scene->server, LOCAL, OTHER, QUICK);
    const kw_open_options options = {.size = sizeof(options), .configuration = scene->server.configuration};
    assert_ok(&scene->server, kw_apply(&options, NULL, NULL, &scene->server.error));
    open_context(scene, &scene->server.context);
    *state = scene;
    return 0;
}

static int end(void **state)
{
    struct scene *scene = *state;
    server_stop(&scene->server);
    pthread_mutex_destroy(&scene->lines.mutex);
    free(scene);
    return 0;
}

static kw_status reload(struct server *server, kw_changes **changes)
{
    return kw_reload(server->context, false, changes, &server->error);
}

static void assert_change(const kw_changes *changes, const char *setting, const char *before, const char *after)
{
    for (size_t i = 0; i < changes->count; i++) {
        const kw_change *const change = &changes->changes[i];
        if (strcmp(change->setting, setting) != 0)
            continue;
        assert_string_equal(before == NULL ? "" : before, change->before == NULL ? "" : change->before);
        assert_string_equal(after == NULL ? "" : after, change->after == NULL ? "" : change->after);
        return;
    }
    fail_msg("%s has not changed", setting);
}

static kw_status sign(kw_key *key, kw_error *error)
{
    static const kw_algorithm ecdsa = {
        .size = sizeof(ecdsa), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256, .is_message = 1};
    unsigned char bytes[256];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_status status = kw_key_sign(key, &ecdsa, (kw_input){(const unsigned char *)"text", 4}, &signature, error);
    if (status == KW_OK)
        status = kw_key_verify(key, &ecdsa, (kw_input){(const unsigned char *)"text", 4},
                               (kw_input){bytes, signature.length}, error);
    return status;
}

static kw_status create(struct server *server, const char *address, const char *store)
{
    const kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = address, .key = "ec-p256", .store = store};
    return kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error);
}

/* ---- Differences ---- */

static void reload_tells_every_difference(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    kw_changes *changes = NULL;
    assert_ok(server, reload(server, &changes));
    assert_int_equal(changes->count, 0);
    assert_int_equal(changes->contexts, 1);
    kw_changes_free(changes);
    configure(server, "passphrase: 'file:./passphrase', scrypt_log2_n: 14", memory_store,
              QUICK "databases: {sales: {store: memory}}\ntrust: {system_roots: false}\n");
    for (int i = 0; i < 2; i++) {
        assert_ok(server, kw_reload(server->context, i == 0, &changes, &server->error));
        assert_change(changes, "stores.local.options.passphrase", "file:passphrase", "file:./passphrase");
        assert_change(changes, "stores.other.id", "0a0b0c0d", NULL);
        assert_change(changes, "stores.memory.id", NULL, "0e0e0e0e");
        assert_change(changes, "databases.sales.store", NULL, "memory");
        assert_change(changes, "trust.system_roots", NULL, "false");
        assert_int_equal(changes->count, 9);
        kw_changes_free(changes);
    }
    assert_ok(server, reload(server, &changes));
    assert_int_equal(changes->count, 0);
    kw_changes_free(changes);
    kw_changes_free(NULL);
}

static void reload_dry_run_changes_nothing(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    kw_changes *changes = NULL;
    configure(server, LOCAL, "", QUICK);
    assert_ok(server, kw_reload(server->context, true, &changes, &server->error));
    assert_int_equal(changes->count, 4);
    kw_changes_free(changes);
    assert_ok(server, create(server, "database/sales", "other"));
}

/* In the record, and in what is told. */
static void reload_shows_no_secret_of_the_file(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    unsigned char record[65536];
    kw_changes *changes = NULL;
    for (int i = 0; i < 2; i++) {
        configure(server, LOCAL,
                  i == 0 ? OTHER "  new: {id: 0f0f0f0e, plugin: softstore, options: {passphrase: 'inline:a horse'}}\n"
                         : OTHER "  new: {id: 0f0f0f0f, plugin: softstore, options: {passphrase: 'inline:a horses'}}\n",
                  QUICK "allow_inline_secrets: true\n");
        assert_ok(server, reload(server, &changes));
        assert_int_equal(changes->count, i == 0 ? 4 : 2);
        for (size_t k = 0; k < changes->count; k++) {
            assert_null(strstr(changes->changes[k].after == NULL ? "" : changes->changes[k].after, "horse"));
            assert_null(strstr(changes->changes[k].before == NULL ? "" : changes->changes[k].before, "horse"));
        }
        kw_changes_free(changes);
        const size_t length = server_read_file(server, "state/run/configuration", record, sizeof(record));
        assert_null(memmem(record, length, "horse", 5));
    }
}

/* A record that is none is as if there were none. */
static void reload_with_a_damaged_record_compares_with_what_is_in_force(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    unsigned char record[65536];
    kw_changes *changes = NULL;
    const size_t length = server_read_file(server, "state/run/configuration", record, sizeof(record));
    configure(server, LOCAL, OTHER, QUICK "trust: {system_roots: false}\n");
    for (size_t cut = 0; cut < length; cut += 53) {
        server_write_file(server, "state/run/configuration", record, cut, 0600);
        assert_ok(server, kw_reload(server->context, true, &changes, &server->error));
        assert_int_equal(changes->count, 1);
        kw_changes_free(changes);
    }
}

/* ---- What is wrong ---- */

static void reload_of_a_bad_file_leaves_the_old_one_in_force(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_context *other = NULL;
    open_context(scene, &other);
    configure(server, LOCAL ", colour: red", "", QUICK);
    assert_status(server, KW_CONFIGURATION, reload(server, NULL));
    assert_non_null(strstr(server->error.message, "colour"));
    assert_true(server->error.line > 0);
    configure(server, LOCAL, "  third: {id: 0c0c0c0c, plugin: nowhere}\n", QUICK);
    assert_status(server, KW_CONFIGURATION, reload(server, NULL));
    assert_non_null(strstr(server->error.message, "nowhere"));
    configure(server, "passphrase: [", "", QUICK);
    assert_status(server, KW_CONFIGURATION, reload(server, NULL));
    assert_int_equal(unlink(server->configuration), 0);
    assert_status(server, KW_CONFIGURATION, reload(server, NULL));
    assert_ok(server, create(server, "database/sales", "other"));
    assert_int_equal(told(&scene->lines, "not taken"), 0);
    assert_int_equal(told(&scene->lines, "in force"), 0);
    kw_close(other);
}

static void reload_of_what_cannot_change_is_refused(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    char text[4096];
    unsigned char before[4096];
    const size_t length = server_read_file(server, "keywright.yaml", before, sizeof(before) - 1);
    static const char *const changes[][2] = {{"state: state", "state: statt"},
                                             {"file:catalogue-key", "file:catalogue-kez"}};
    before[length] = '\0';
    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "%s", (const char *)before);
        char *at = strstr(text, changes[i][0]);
        assert_non_null(at);
        memcpy(at, changes[i][1], strlen(changes[i][1]));
        server_write_file(server, "keywright.yaml", text, length, 0600);
        assert_status(server, KW_REFUSED, reload(server, NULL));
        assert_non_null(strstr(server->error.message, i == 0 ? "'state'" : "'catalogue_key'"));
        assert_non_null(strstr(server->error.remedy, "start them again"));
    }
    assert_ok(server, create(server, "database/sales", "other"));
}

#define THIRD(source)                                                                                                  \
    "  third: {id: 0c0c0c0c, plugin: softstore, options: {passphrase: " source ", scrypt_log2_n: 14}}\n"

/* What cannot work is found before anybody has it, not at the first use. */
static void reload_of_a_store_that_cannot_be_opened_leaves_the_old_one_in_force(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    static const char *const stores[] = {
        /* a new one; one that is there, and open; one that is there, and was never open */
        OTHER THIRD("file:absent"),
        "  other: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:catalogue-key, scrypt_log2_n: 14}}\n",
        "  other: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:absent, scrypt_log2_n: 14}}\n"};
    kw_key *key = NULL;
    for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
        if (i == 1) {
            assert_ok(server, create(server, "database/sales", "other"));
            assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
        }
        if (i == 2) {
            kw_key_free(key);
            configure(server, LOCAL, OTHER, QUICK);
            server_reopen(server);
        }
        configure(server, LOCAL, stores[i], QUICK);
        for (int dry_run = 0; dry_run < 2; dry_run++) {
            server->error = (kw_error){0};
            const kw_status status = kw_reload(server->context, dry_run == 1, NULL, &server->error);
            assert_int_equal(status, i == 1 ? KW_SECRET_REFUSED : KW_CONFIGURATION);
            assert_non_null(strstr(server->error.message, i == 1 ? "passphrase" : "absent"));
        }
        if (i == 1)
            assert_ok(server, sign(key, &server->error));
    }
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, sign(key, &server->error));
    kw_key_free(key);
}

/* A command has read the new file already when it opens. */
static void reload_by_a_command_opens_what_differs_from_what_was_in_force(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_context *command = NULL;
    kw_changes *changes = NULL;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .as_is = true};
    assert_ok(server, create(server, "database/sales", "other"));
    for (int running = 1; running >= 0; running--) {
        if (!running) {
            kw_close(server->context);
            server->context = NULL;
        }
        configure(server, LOCAL, OTHER THIRD("file:absent"), QUICK);
        assert_ok(server, kw_open(&options, &command, &server->error));
        assert_status(server, KW_CONFIGURATION, kw_reload(command, true, NULL, &server->error));
        assert_status(server, KW_CONFIGURATION, kw_reload(command, false, NULL, &server->error));
        kw_close(command);
        configure(server, LOCAL, "", QUICK);
        assert_status(server, KW_NOT_FOUND, kw_configuration_check(&options, true, NULL, NULL, &server->error));
        assert_ok(server, kw_open(&options, &command, &server->error));
        assert_ok(server, kw_reload(command, true, &changes, &server->error));
        kw_close(command);
        assert_change(changes, "stores.other.id", "0a0b0c0d", NULL);
        assert_int_equal(changes->count, 4);
        assert_int_equal(changes->warning_count, 1);
        assert_non_null(strstr(changes->warnings[0], "store other goes away (id 0a0b0c0d)"));
        assert_non_null(strstr(changes->warnings[0], "database/sales@1"));
        kw_changes_free(changes);
    }
    /* none of these is what was put in force; this one is, and its keys' store is still missed */
    assert_ok(server, kw_open(&options, &command, &server->error));
    for (int i = 0; i < 2; i++) {
        assert_ok(server, kw_reload(command, false, &changes, &server->error));
        assert_int_equal(changes->count, i == 0 ? 4 : 0);
        assert_int_equal(changes->warning_count, 1);
        assert_non_null(strstr(changes->warnings[0], "id 0a0b0c0d"));
        kw_changes_free(changes);
    }
    kw_close(command);
}

/* ---- Stores ---- */

static void key_of_a_removed_store_goes_on_until_it_is_freed(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_key *key = NULL, *again = NULL;
    configure(server, LOCAL, memory_store, QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, create(server, "database/sales", "memory"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, sign(key, &server->error));
    configure(server, LOCAL, "", QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, sign(key, &server->error));
    assert_status(server, KW_NOT_FOUND, kw_key_open(server->context, "database/sales", &again, &server->error));
    assert_status(server, KW_NOT_FOUND, create(server, "database/more", "memory"));
    assert_int_equal(told(&scene->lines, "memory: closing"), 0);
    const pid_t child = fork();
    if (child == 0)
        _exit(sign(key, NULL) == KW_OK ? 0 : 1);
    int code = -1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    kw_key_free(key);
    assert_int_equal(told(&scene->lines, "memory: closing"), 1);
}

static void store_that_stays_the_same_stays_open(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    char stores[1200];
    kw_key *key = NULL;
    configure(server, LOCAL, memory_store, QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, create(server, "database/sales", "memory"));
    assert_int_equal(told(&scene->lines, "memory: opening"), 1);
    snprintf(stores, sizeof(stores), "%s%s", OTHER, memory_store); /* in another place of the file */
    configure(server, LOCAL, stores, QUICK "trust: {system_roots: false}\n");
    assert_ok(server, reload(server, NULL));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, sign(key, &server->error));
    assert_int_equal(told(&scene->lines, "memory: opening"), 1);
    assert_int_equal(told(&scene->lines, "memory: closing"), 0);
    kw_key_free(key);
}

static void store_with_other_options_is_opened_anew(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    char store[600];
    kw_key *key = NULL, *again = NULL;
    configure(server, LOCAL, memory_store, QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, create(server, "database/sales", "memory"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    snprintf(store, sizeof(store), "  memory: {id: 0e0e0e0e, plugin: %s/keywright-memory.so, options: {raw: true}}\n",
             server->directory);
    configure(server, LOCAL, store, QUICK);
    assert_ok(server, reload(server, NULL));
    /* the new instance has nothing in its memory */
    assert_status(server, KW_NOT_FOUND, kw_key_open(server->context, "database/sales", &again, &server->error));
    assert_int_equal(told(&scene->lines, "memory: opening"), 2);
    assert_ok(server, sign(key, &server->error));
    kw_key_free(key);
    assert_int_equal(told(&scene->lines, "memory: closing"), 1);
}

static void renamed_store_keeps_its_keys(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    kw_key *key = NULL, *again = NULL;
    assert_ok(server, create(server, "database/sales", "other"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    configure(server, LOCAL,
              "  renamed: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, "
              "scrypt_log2_n: 14}}\n",
              QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, kw_key_open(server->context, "database/sales", &again, &server->error));
    assert_ok(server, sign(again, &server->error));
    assert_ok(server, sign(key, &server->error));
    assert_status(server, KW_NOT_FOUND, create(server, "database/more", "other"));
    assert_ok(server, create(server, "database/more", "renamed"));
    kw_key_free(key);
    kw_key_free(again);
}

/* A key that moves to a store that was not there when the key was opened. */
static void key_follows_to_a_store_that_came_later(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    const char *addresses[] = {"database/sales"};
    kw_key *key = NULL;
    configure(server, LOCAL, "", QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, create(server, "database/sales", NULL));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    configure(server, LOCAL, OTHER, QUICK);
    assert_ok(server, reload(server, NULL));
    const kw_transfer_options move = {
        .size = sizeof(move), .addresses = addresses, .address_count = 1, .store = "other"};
    assert_ok(server, kw_transfer(server->context, &move, NULL, NULL, &server->error));
    assert_ok(server, sign(key, &server->error));
    kw_key_free(key);
}

/* ---- Others ---- */

static void other_context_takes_it_at_its_next_call(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    kw_context *mine = server->context, *other = NULL;
    kw_changes *changes = NULL;
    open_context(scene, &other);
    configure(server, LOCAL, OTHER, QUICK "databases: {sales: {store: other}}\n");
    assert_ok(server, reload(server, &changes));
    assert_int_equal(changes->contexts, 2);
    kw_changes_free(changes);
    assert_int_equal(told(&scene->lines, "is in force"), 0);
    server->context = other;
    assert_ok(server, create(server, "database/sales", NULL));
    assert_int_equal(told(&scene->lines, "is in force"), 1);
    kw_certificate_list *list = NULL;
    assert_ok(server,
              kw_certificates(other, &(kw_certificate_filter){.size = sizeof(kw_certificate_filter), .store = "other"},
                              &list, &server->error));
    assert_int_equal(list->count, 1);
    kw_certificate_list_free(list);
    /* and by the other way round; the file is bad by the time that it looks */
    configure(server, LOCAL, OTHER, QUICK);
    assert_ok(server, reload(server, NULL));
    configure(server, LOCAL ", colour: red", OTHER, QUICK);
    server->context = mine;
    for (int i = 0; i < 3; i++)
        assert_int_equal(server_count(server, true, NULL, NULL), 3);
    assert_int_equal(told(&scene->lines, "is not taken, and the old one stays in force"), 1);
    kw_close(other);
}

static kw_reload_report *report_of(struct server *server, kw_context *context)
{
    kw_reload_report *report = NULL;
    assert_ok(server, kw_reload_wait(context, 0, &report, &server->error));
    return report;
}

/* A TLS server opens its key once, and then only signs. */
static void context_whose_key_alone_is_used_takes_it(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    const char *addresses[] = {"database/sales"};
    const kw_transfer_options move = {
        .size = sizeof(move), .addresses = addresses, .address_count = 1, .store = "third"};
    kw_context *other = NULL;
    kw_key *key = NULL;
    server_write_file(server, "third-passphrase", "of the third\n", 13, 0600);
    assert_ok(server, create(server, "database/sales", NULL));
    open_context(scene, &other);
    assert_ok(server, kw_key_open(other, "database/sales", &key, &server->error));
    configure(server, LOCAL, OTHER THIRD("file:third-passphrase"), QUICK);
    assert_ok(server, reload(server, NULL));
    kw_reload_report *report = report_of(server, server->context);
    assert_int_equal(report->contexts, 2);
    assert_int_equal(report->taken, 1);
    assert_int_equal(report->refused, 0);
    assert_non_null(strstr(report->waiting, "test_reload"));
    assert_null(report->refusing);
    kw_reload_report_free(report);
    assert_status(server, KW_REFUSED, kw_transfer(server->context, &move, NULL, NULL, &server->error));
    assert_ok(server, sign(key, &server->error));
    assert_int_equal(told(&scene->lines, "is in force"), 1);
    report = report_of(server, server->context);
    assert_int_equal(report->taken, 2);
    assert_null(report->waiting);
    kw_reload_report_free(report);
    assert_ok(server, kw_transfer(server->context, &move, NULL, NULL, &server->error));
    assert_ok(server, sign(key, &server->error));
    assert_int_equal(told(&scene->lines, "is in force"), 1);
    kw_key_free(key);
    kw_close(other);
}

/* What one process can open, another may not. */
static void context_that_cannot_open_a_store_goes_on_with_the_old_one(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    const char *addresses[] = {"database/sales"};
    const kw_transfer_options move = {
        .size = sizeof(move), .addresses = addresses, .address_count = 1, .store = "third"};
    kw_context *other = NULL;
    kw_key *key = NULL;
    server_write_file(server, "third-passphrase", "of the third\n", 13, 0600);
    assert_ok(server, create(server, "database/sales", NULL));
    open_context(scene, &other);
    assert_ok(server, kw_key_open(other, "database/sales", &key, &server->error));
    configure(server, LOCAL, OTHER THIRD("file:third-passphrase"), QUICK);
    assert_ok(server, reload(server, NULL));
    assert_int_equal(unlink(server_path(server, "third-passphrase")), 0);
    for (int i = 0; i < 3; i++)
        assert_ok(server, sign(key, &server->error));
    assert_int_equal(told(&scene->lines, "is not taken, and the old one stays in force"), 1);
    kw_reload_report *report = report_of(server, other);
    assert_int_equal(report->taken, 1);
    assert_int_equal(report->refused, 1);
    assert_null(report->waiting);
    assert_non_null(strstr(report->refusing, "test_reload"));
    kw_reload_report_free(report);
    assert_status(server, KW_REFUSED, kw_transfer(server->context, &move, NULL, NULL, &server->error));
    /* what is told next it takes */
    configure(server, LOCAL, OTHER, QUICK);
    assert_ok(server, reload(server, NULL));
    assert_ok(server, sign(key, &server->error));
    report = report_of(server, other);
    assert_int_equal(report->taken, 2);
    assert_int_equal(report->refused, 0);
    kw_reload_report_free(report);
    kw_key_free(key);
    kw_close(other);
}

static void child_takes_it_too(void **state)
{
    struct scene *scene = *state;
    struct server *server = &scene->server;
    int go[2], code = -1;
    char byte = 'x';
    assert_int_equal(pipe(go), 0);
    const pid_t child = fork();
    if (child == 0) {
        kw_error error = {0};
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(9);
        const kw_certificate_template wanted = {
            .size = sizeof(wanted), .address = "database/sales", .key = "ec-p256", .store = "renamed"};
        _exit((int)kw_certificate_create(server->context, &wanted, NULL, NULL, &error));
    }
    configure(server, LOCAL,
              "  renamed: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, "
              "scrypt_log2_n: 14}}\n",
              QUICK);
    assert_ok(server, reload(server, NULL));
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    close(go[0]);
    close(go[1]);
}

/* ---- Threads ---- */

struct worker {
    kw_context *context;
    kw_key *key;
    atomic_bool *stop;
    kw_error error;
    unsigned rounds;
};

static void *works(void *argument)
{
    struct worker *worker = argument;
    while (worker->rounds == 0 || !atomic_load(worker->stop)) {
        kw_key *key = NULL;
        kw_state *facts = NULL;
        if (sign(worker->key, &worker->error) != KW_OK)
            return worker;
        if (kw_key_open(worker->context, "database/sales", &key, &worker->error) != KW_OK ||
            sign(key, &worker->error) != KW_OK)
            return worker;
        kw_key_free(key);
        if (kw_state_get(worker->context, &facts, &worker->error) != KW_OK)
            return worker;
        kw_state_free(facts);
        worker->rounds++;
    }
    return NULL;
}

static void threads_work_while_it_is_reloaded(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    struct worker workers[4];
    pthread_t threads[4];
    atomic_bool stop = false;
    kw_key *key = NULL;
    assert_ok(server, create(server, "database/sales", "other"));
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.context = server->context, .key = key, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, works, &workers[i]), 0);
    }
    for (int i = 0; i < 12; i++) {
        char store[300];
        snprintf(store, sizeof(store),
                 "  other%d: {id: 0a0b0c0d, plugin: softstore, options: {passphrase: file:passphrase, "
                 "scrypt_log2_n: 14}}\n",
                 i % 3);
        configure(server, LOCAL, store, i % 2 == 0 ? QUICK : "certificates: {database: {key: ec-p384}}\n");
        assert_ok(server, reload(server, NULL));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        if (failed != NULL)
            fail_msg("%s: %s", workers[i].error.where, workers[i].error.message);
    }
    kw_key_free(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reload_tells_every_difference),
        TEST(reload_dry_run_changes_nothing),
        TEST(reload_shows_no_secret_of_the_file),
        TEST(reload_with_a_damaged_record_compares_with_what_is_in_force),
        TEST(reload_of_a_bad_file_leaves_the_old_one_in_force),
        TEST(reload_of_what_cannot_change_is_refused),
        TEST(reload_of_a_store_that_cannot_be_opened_leaves_the_old_one_in_force),
        TEST(reload_by_a_command_opens_what_differs_from_what_was_in_force),
        TEST(key_of_a_removed_store_goes_on_until_it_is_freed),
        TEST(store_that_stays_the_same_stays_open),
        TEST(store_with_other_options_is_opened_anew),
        TEST(renamed_store_keeps_its_keys),
        TEST(key_follows_to_a_store_that_came_later),
        TEST(other_context_takes_it_at_its_next_call),
        TEST(context_whose_key_alone_is_used_takes_it),
        TEST(context_that_cannot_open_a_store_goes_on_with_the_old_one),
        TEST(child_takes_it_too),
        TEST(threads_work_while_it_is_reloaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
