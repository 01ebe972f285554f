/*
 * softstore, which can be told to fail: its keys outlive the process, so tests see what a process leaves that dies at a call. Options:
 *
 *   cannot    import, export, raw (RSA), ec: what the store says it does not have
 *   control   a file with "ACTION OPERATION NUMBER"; read before each call. NUMBER counts the calls of OPERATION (any: all) since the file
 *             was read for the first time as it is:
 *               kill, kill-after   the process dies before, or after, that call
 *               fail               that call is KW_UNAVAILABLE
 *               gone               that call and all that follow are
 *               lie                an import stores another key
 *               greedy             that signature and all that follow want more room than any of such a key needs
 */
#include <keywright/plugin.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREED 1000u

/* softstore's kw_plugin_query. */
const kw_plugin *softstore_query(void);

struct kw_plugin_instance {
    kw_plugin_instance *inner;
    const kw_host *host;
    char control[512], cannot[32];
    pthread_mutex_t lock;
    char order[128]; /* the file's content when it was read last */
    unsigned calls;  /* that count since then */
};

struct kw_plugin_key {
    kw_plugin_key *inner;
    kw_plugin_instance *instance;
};

static const kw_plugin_operations *soft(void)
{
    return softstore_query()->operations;
}

/* What the order says about this call: an action, or an empty text. */
static void look_up(kw_plugin_instance *instance, const char *operation, char action[32])
{
    char order[128] = "", wanted[32] = "", verb[32] = "", digits[32] = "";
    FILE *file = instance->control[0] != '\0' ? fopen(instance->control, "re") : NULL;
    action[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(order, sizeof(order), file) == NULL)
        order[0] = '\0';
    fclose(file);
    pthread_mutex_lock(&instance->lock);
    if (strcmp(order, instance->order) != 0) {
        memcpy(instance->order, order, sizeof(order));
        instance->calls = 0;
    }
    const int words = sscanf(order, "%31s %31s %31s", verb, wanted, digits);
    const unsigned number = (unsigned)strtoul(digits, NULL, 10);
    if (words == 3 && number > 0 && (strcmp(wanted, "any") == 0 || strcmp(wanted, operation) == 0)) {
        instance->calls++;
        if (instance->calls == number ||
            (instance->calls > number && (strcmp(verb, "gone") == 0 || strcmp(verb, "greedy") == 0)))
            memcpy(action, verb, sizeof(verb));
    }
    pthread_mutex_unlock(&instance->lock);
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    _exit(1);
}

static bool is(const char *action, const char *name)
{
    return strcmp(action, name) == 0;
}

/* Before a call: KW_OK when it is to be made. */
static kw_status enter(kw_plugin_instance *instance, const char *operation, char action[32])
{
    look_up(instance, operation, action);
    if (is(action, "kill"))
        die();
    if (!is(action, "fail") && !is(action, "gone"))
        return KW_OK;
    instance->host->report(instance->host->context, "the store has gone away");
    return KW_UNAVAILABLE;
}

static kw_status leave(const char *action, kw_status status)
{
    if (is(action, "kill-after"))
        die();
    return status;
}

#define FORWARD(instance, operation, call)                                                                             \
    char action[32];                                                                                                   \
    const kw_status entered = enter((instance), (operation), action);                                                  \
    return entered == KW_OK ? leave(action, (call)) : entered

/* ---- The instance ---- */

static void take_option(kw_plugin_instance *instance, const kw_option_value *option)
{
    if (strcmp(option->name, "control") == 0)
        snprintf(instance->control, sizeof(instance->control), "%s", option->text);
    if (strcmp(option->name, "cannot") == 0)
        snprintf(instance->cannot, sizeof(instance->cannot), "%s", option->text);
}

static void weaken(const kw_plugin_instance *instance, kw_capabilities *capabilities)
{
    const char *cannot = instance->cannot;
    if (is(cannot, "import"))
        capabilities->operations &= ~(uint32_t)KW_CAN_IMPORT;
    if (is(cannot, "export"))
        capabilities->operations &= ~(uint32_t)KW_CAN_EXPORT;
    if (is(cannot, "raw"))
        capabilities->schemes &= ~KW_BIT(KW_SCHEME_RSA_RAW);
    if (is(cannot, "ec"))
        capabilities->key_types &= ~KW_BIT(KW_KEY_EC);
}

static kw_status frail_open(const kw_call *call, const kw_host *host, const kw_option_value *options, size_t count,
                            kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    kw_option_value kept[8];
    size_t kept_count = 0;
    kw_plugin_instance *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    made->host = host;
    pthread_mutex_init(&made->lock, NULL);
    for (size_t i = 0; i < count; i++) {
        take_option(made, &options[i]);
        if (strcmp(options[i].name, "scrypt_log2_n") == 0)
            kept[kept_count++] = options[i];
    }
    const kw_status status = soft()->open(call, host, kept, kept_count, &made->inner, capabilities);
    if (status != KW_OK) {
        pthread_mutex_destroy(&made->lock);
        free(made);
        return status;
    }
    weaken(made, capabilities);
    *instance = made;
    return KW_OK;
}

static void frail_close(kw_plugin_instance *instance)
{
    soft()->close(instance->inner);
    pthread_mutex_destroy(&instance->lock);
    free(instance);
}

static kw_status frail_health(kw_plugin_instance *instance, const kw_call *call)
{
    FORWARD(instance, "health", soft()->health(instance->inner, call));
}

static void frail_fork_prepare(kw_plugin_instance *instance)
{
    soft()->fork_prepare(instance->inner);
}

static void frail_fork_parent(kw_plugin_instance *instance)
{
    soft()->fork_parent(instance->inner);
}

static void frail_fork_child(kw_plugin_instance *instance)
{
    soft()->fork_child(instance->inner);
}

/* ---- Keys ---- */

static kw_status frail_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                                kw_output *locator)
{
    FORWARD(instance, "generate", soft()->key_generate(instance->inner, call, wanted, locator));
}

static kw_status frail_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                              kw_input pkcs8, kw_output *locator)
{
    char action[32];
    kw_status status = enter(instance, "import", action);
    if (status == KW_OK && is(action, "lie"))
        return soft()->key_generate(instance->inner, call, wanted, locator);
    if (status == KW_OK)
        status = leave(action, soft()->key_import(instance->inner, call, wanted, pkcs8, locator));
    return status;
}

static kw_status frail_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8)
{
    FORWARD(key->instance, "export", soft()->key_export(key->inner, call, pkcs8));
}

static kw_status frail_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    FORWARD(instance, "delete", soft()->key_delete(instance->inner, call, locator));
}

static kw_status frail_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator)
{
    FORWARD(instance, "list", soft()->key_list(instance->inner, call, cursor, locator));
}

static kw_status frail_find(kw_plugin_instance *instance, const kw_call *call, const unsigned char id[KW_KEY_ID_LENGTH],
                            kw_output *locator)
{
    FORWARD(instance, "find", soft()->key_find(instance->inner, call, id, locator));
}

static kw_status frail_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                kw_plugin_key **key, kw_key_capabilities *capabilities)
{
    char action[32];
    kw_plugin_key *made = calloc(1, sizeof(*made));
    kw_status status = made != NULL ? enter(instance, "open", action) : KW_OUT_OF_MEMORY;
    if (status == KW_OK)
        status = leave(action, soft()->key_open(instance->inner, call, locator, &made->inner, capabilities));
    if (status != KW_OK) {
        free(made);
        return status;
    }
    made->instance = instance;
    if (is(instance->cannot, "raw"))
        capabilities->schemes &= ~KW_BIT(KW_SCHEME_RSA_RAW);
    *key = made;
    return KW_OK;
}

static void frail_key_close(kw_plugin_key *key)
{
    soft()->key_close(key->inner);
    free(key);
}

static kw_status frail_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    FORWARD(key->instance, "public", soft()->key_public(key->inner, call, spki));
}

static kw_status frail_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input input,
                            kw_output *signature)
{
    char action[32];
    const kw_status entered = enter(key->instance, "sign", action);
    if (entered != KW_OK)
        return entered;
    if (is(action, "greedy") && signature->capacity < GREED) {
        signature->length = GREED;
        return KW_BUFFER_TOO_SMALL;
    }
    return leave(action, soft()->sign(key->inner, call, algorithm, input, signature));
}

static kw_status frail_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm,
                               kw_input ciphertext, kw_output *plaintext)
{
    FORWARD(key->instance, "decrypt", soft()->decrypt(key->inner, call, algorithm, ciphertext, plaintext));
}

static kw_status frail_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input peer,
                              kw_output *shared)
{
    FORWARD(key->instance, "derive", soft()->derive(key->inner, call, algorithm, peer, shared));
}

/* ---- Description ---- */

static const kw_option option_table[] = {
    {.name = "passphrase", .type = KW_OPTION_SECRET, .required = 1, .help = "as softstore's"},
    {.name = "scrypt_log2_n", .type = KW_OPTION_INTEGER, .minimum = 14, .maximum = 20, .help = "as softstore's"},
    {.name = "control", .type = KW_OPTION_PATH, .help = "what fails when"},
    {.name = "cannot", .type = KW_OPTION_STRING, .help = "what it has not"},
};

static const kw_plugin_operations operation_table = {
    .size = sizeof(kw_plugin_operations),
    .open = frail_open,
    .close = frail_close,
    .health = frail_health,
    .fork_prepare = frail_fork_prepare,
    .fork_parent = frail_fork_parent,
    .fork_child = frail_fork_child,
    .key_generate = frail_generate,
    .key_import = frail_import,
    .key_export = frail_export,
    .key_delete = frail_delete,
    .key_list = frail_list,
    .key_find = frail_find,
    .key_open = frail_key_open,
    .key_close = frail_key_close,
    .key_public = frail_public,
    .sign = frail_sign,
    .decrypt = frail_decrypt,
    .derive = frail_derive,
};

static const kw_plugin description = {
    .abi_major = KW_ABI_MAJOR,
    .abi_minor = KW_ABI_MINOR,
    .size = sizeof(kw_plugin),
    .name = "frail",
    .version = "1",
    .summary = "softstore that fails when it is told to",
    .options = option_table,
    .option_count = sizeof(option_table) / sizeof(option_table[0]),
    .operations = &operation_table,
};

const kw_plugin *kw_plugin_query(void)
{
    return &description;
}
