#include "reload_scene.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Differences ---- */

static void reload_tells_every_difference(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    kw_changes *changes = NULL;
    assert_ok(server, reload_now(server, &changes));
    assert_int_equal(changes->count, 0);
    assert_int_equal(changes->contexts, 1);
    kw_changes_free(changes);
    reload_configure(server, "passphrase: 'file:./passphrase', scrypt_log2_n: 14", memory_store,
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
    assert_ok(server, reload_now(server, &changes));
    assert_int_equal(changes->count, 0);
    kw_changes_free(changes);
    kw_changes_free(NULL);
}

static void reload_dry_run_changes_nothing(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    kw_changes *changes = NULL;
    reload_configure(server, LOCAL, "", QUICK);
    assert_ok(server, kw_reload(server->context, true, &changes, &server->error));
    assert_int_equal(changes->count, 4);
    kw_changes_free(changes);
    assert_ok(server, reload_create(server, "database/sales", "other"));
}

/* In the record, and in what is told. */
static void reload_shows_no_secret_of_the_file(void **state)
{
    struct server *server = &((struct scene *)*state)->server;
    unsigned char record[65536];
    kw_changes *changes = NULL;
    for (int i = 0; i < 2; i++) {
        reload_configure(
            server, LOCAL,
            i == 0 ? OTHER "  new: {id: 0f0f0f0e, plugin: softstore, options: {passphrase: 'inline:a horse'}}\n"
                   : OTHER "  new: {id: 0f0f0f0f, plugin: softstore, options: {passphrase: 'inline:a horses'}}\n",
            QUICK "allow_inline_secrets: true\n");
        assert_ok(server, reload_now(server, &changes));
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
    reload_configure(server, LOCAL, OTHER, QUICK "trust: {system_roots: false}\n");
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
    reload_open(scene, &other);
    reload_configure(server, LOCAL ", colour: red", "", QUICK);
    assert_status(server, KW_CONFIGURATION, reload_now(server, NULL));
    assert_non_null(strstr(server->error.message, "colour"));
    assert_true(server->error.line > 0);
    reload_configure(server, LOCAL, "  third: {id: 0c0c0c0c, plugin: nowhere}\n", QUICK);
    assert_status(server, KW_CONFIGURATION, reload_now(server, NULL));
    assert_non_null(strstr(server->error.message, "nowhere"));
    reload_configure(server, "passphrase: [", "", QUICK);
    assert_status(server, KW_CONFIGURATION, reload_now(server, NULL));
    assert_int_equal(unlink(server->configuration), 0);
    assert_status(server, KW_CONFIGURATION, reload_now(server, NULL));
    assert_ok(server, reload_create(server, "database/sales", "other"));
    assert_int_equal(lines_told(&scene->lines, "not taken"), 0);
    assert_int_equal(lines_told(&scene->lines, "in force"), 0);
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
        assert_status(server, KW_REFUSED, reload_now(server, NULL));
        assert_non_null(strstr(server->error.message, i == 0 ? "'state'" : "'catalogue_key'"));
        assert_non_null(strstr(server->error.remedy, "start them again"));
    }
    assert_ok(server, reload_create(server, "database/sales", "other"));
}

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
            assert_ok(server, reload_create(server, "database/sales", "other"));
            assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
        }
        if (i == 2) {
            kw_key_free(key);
            reload_configure(server, LOCAL, OTHER, QUICK);
            server_reopen(server);
        }
        reload_configure(server, LOCAL, stores[i], QUICK);
        for (int dry_run = 0; dry_run < 2; dry_run++) {
            server->error = (kw_error){0};
            const kw_status status = kw_reload(server->context, dry_run == 1, NULL, &server->error);
            assert_int_equal(status, i == 1 ? KW_SECRET_REFUSED : KW_CONFIGURATION);
            assert_non_null(strstr(server->error.message, i == 1 ? "passphrase" : "absent"));
        }
        if (i == 1)
            assert_ok(server, reload_sign(key, &server->error));
    }
    assert_ok(server, kw_key_open(server->context, "database/sales", &key, &server->error));
    assert_ok(server, reload_sign(key, &server->error));
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
    assert_ok(server, reload_create(server, "database/sales", "other"));
    for (int running = 1; running >= 0; running--) {
        if (!running) {
            kw_close(server->context);
            server->context = NULL;
        }
        reload_configure(server, LOCAL, OTHER THIRD("file:absent"), QUICK);
        assert_ok(server, kw_open(&options, &command, &server->error));
        assert_status(server, KW_CONFIGURATION, kw_reload(command, true, NULL, &server->error));
        assert_status(server, KW_CONFIGURATION, kw_reload(command, false, NULL, &server->error));
        kw_close(command);
        reload_configure(server, LOCAL, "", QUICK);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
