#include "reload_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The log ---- */

static void keep_line(void *user, kw_log_level level, const char *line)
{
    struct lines *lines = user;
    (void)level;
    pthread_mutex_lock(&lines->mutex);
    if (lines->count < sizeof(lines->text) / sizeof(lines->text[0]))
        snprintf(lines->text[lines->count++], sizeof(lines->text[0]), "%s", line);
    pthread_mutex_unlock(&lines->mutex);
}

size_t lines_told(struct lines *lines, const char *part)
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
void reload_configure(struct server *server, const char *local, const char *stores, const char *more)
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

char memory_store[512];

void reload_open(struct scene *scene, kw_context **context)
{
    const kw_open_options options = {
        .size = sizeof(options), .configuration = scene->server.configuration, .log = keep_line, .user = &scene->lines};
    assert_ok(&scene->server, kw_open(&options, context, &scene->server.error));
}

int reload_begin(void **state)
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
    reload_configure(&scene->server, LOCAL, OTHER, QUICK);
    const kw_open_options options = {.size = sizeof(options), .configuration = scene->server.configuration};
    assert_ok(&scene->server, kw_apply(&options, NULL, NULL, &scene->server.error));
    reload_open(scene, &scene->server.context);
    *state = scene;
    return 0;
}

int reload_end(void **state)
{
    struct scene *scene = *state;
    server_stop(&scene->server);
    pthread_mutex_destroy(&scene->lines.mutex);
    free(scene);
    return 0;
}

kw_status reload_now(struct server *server, kw_changes **changes)
{
    return kw_reload(server->context, false, changes, &server->error);
}

void assert_change(const kw_changes *changes, const char *setting, const char *before, const char *after)
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

kw_status reload_sign(kw_key *key, kw_error *error)
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

kw_status reload_create(struct server *server, const char *address, const char *store)
{
    const kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = address, .key = "ec-p256", .store = store};
    return kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error);
}
