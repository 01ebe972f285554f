#include "pkcs11_scene.h"

#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

const char *scene_environment(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fail_msg("%s is not set: run by with_token.sh softhsm", name);
    return value;
}

void scene_set(struct scene *scene, const char *name, const char *text, int64_t integer)
{
    size_t at = 0;
    while (at < scene->kit.option_count && strcmp(scene->options[at].name, name) != 0)
        at++;
    if (at == scene->kit.option_count)
        scene->kit.option_count++;
    scene->options[at] = (kw_option_value){.name = name, .text = text, .integer = integer};
}

void scene_drop(struct scene *scene, const char *name)
{
    for (size_t i = 0; i < scene->kit.option_count; i++)
        if (strcmp(scene->options[i].name, name) == 0)
            scene->options[i] = scene->options[--scene->kit.option_count];
}

int scene_new(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    struct kit *kit = &scene->kit;
    kit->plugin = kw_plugin_query();
    kit->operations = *kit->plugin->operations;
    kit->secrets[0] = (struct secret_value){"pin", scene_environment("KW_TOKEN_PIN")};
    kit->secret_count = 1;
    kit->call = (kw_call){.size = sizeof(kit->call)};
    kit->records = records_new();
    kit->options = scene->options;
    scene_set(scene, "library", scene_environment("KW_TOKEN_LIBRARY"), 0);
    scene_set(scene, "token_label", scene_environment("KW_TOKEN_LABEL"), 0);
    scene_set(scene, "sessions", "4", 4);
    scene_set(scene, "timeout", "5s", 5000);
    kit_host_like(kit, &kit->host, kit->records);
    *state = scene;
    return 0;
}

int scene_free(void **state)
{
    struct scene *scene = *state;
    if (scene->kit.instance != NULL)
        scene->kit.operations.close(scene->kit.instance);
    assert_int_equal(kit_host_blocks(&scene->kit.host), 0);
    records_free(scene->kit.records);
    free(scene);
    return 0;
}

kw_status scene_open(struct kit *kit)
{
    kw_status status = kit_open(kit, &kit->host, &kit->instance, &kit->capabilities);
    if (status != KW_OK)
        kit->instance = NULL;
    return status;
}

/* Runs a program to its end; what it prints is not looked at. */
void scene_run(const char *const *arguments)
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
void scene_tool(const char *what, const char *type, const char *label, const char *id)
{
    const char *const arguments[] = {"pkcs11-tool",
                                     "--module",
                                     scene_environment("KW_TOKEN_LIBRARY"),
                                     "--token-label",
                                     scene_environment("KW_TOKEN_LABEL"),
                                     "--login",
                                     "--pin",
                                     scene_environment("KW_TOKEN_PIN"),
                                     what,
                                     "--key-type",
                                     type,
                                     "--label",
                                     label,
                                     id != NULL ? "--id" : NULL,
                                     id,
                                     NULL};
    scene_run(arguments);
}

static const struct key_variant p256 = {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256};

void scene_make_key(struct kit *kit, struct test_key *key)
{
    if (!test_key_new(kit, GENERATE_EACH, &p256, key))
        fail_msg("no key: %s", kit->host.sentence);
}

kw_status scene_sign(const struct kit *kit, const struct test_key *key)
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
