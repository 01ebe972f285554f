#include "memory.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef MEMORY_NAME
#define MEMORY_NAME "memory"
#endif
#ifndef MEMORY_TRAITS
#define MEMORY_TRAITS 0
#endif

static const char faults[] =
    "none|open-fails|open-silent|open-status|open-null|open-secret|health-status|key-open-null|key-open-type|public-"
    "long|"
    "public-garbage|locator-empty|locator-long|list-long|sign-long|sign-short|sign-status|sign-negative|sign-ok-null|"
    "too-small-lie|too-small-absurd|pss-unsupported|oaep-unsupported|decrypt-long|raw-short|"
    "derive-zero|derive-short|record|export-fails|away|login-silent|late-refusal|"
    "token|token-control|token-endless";

bool memory_has_fault(const kw_plugin_instance *instance, const char *name)
{
    return strcmp(instance->fault, name) == 0;
}

kw_status memory_fail(const kw_plugin_instance *instance, kw_status status, const char *sentence)
{
    instance->host->report(instance->host->context, sentence);
    ERR_clear_error();
    return status;
}

void memory_tell(const kw_plugin_instance *instance, const char *sentence)
{
    instance->host->log(instance->host->context, KW_LOG_INFO, sentence);
}

kw_status memory_answer(kw_output *output, const void *data, size_t length)
{
    output->length = length;
    if (output->data == NULL || output->capacity < length)
        return KW_BUFFER_TOO_SMALL;
    memcpy(output->data, data, length);
    return KW_OK;
}

/* ---- The instance ------------------------------------------------------------------------------------ */

/* A byte for each login, in a file that all processes see. */
static void note_login(const kw_plugin_instance *instance)
{
    const int file =
        instance->logins[0] == '\0' ? -1 : open(instance->logins, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (file < 0)
        return;
    if (write(file, "x", 1) != 1)
        memory_tell(instance, "the login could not be noted");
    close(file);
}

/* How this one goes, by the environment: an option would make the secret another one for the host. */
static bool login_is(const char *what)
{
    const char *const wanted = getenv("KEYWRIGHT_TEST_LOGIN");

    return wanted != NULL && strcmp(wanted, what) == 0;
}

/* Another thread, which gets the secret too since this one has settled its own. */
static void *login_again(void *argument)
{
    kw_plugin_instance *const instance = argument;
    const kw_host *const host = instance->host;
    kw_output secret = {.data = host->secret_allocate(host->context, KW_SECRET_MAXIMUM), .capacity = KW_SECRET_MAXIMUM};
    const bool given = secret.data != NULL && host->secret_request(host->context, NULL, "pin", &secret) == KW_OK;

    host->secret_free(host->context, secret.data, KW_SECRET_MAXIMUM);
    if (given)
        note_login(instance);
    host->secret_settled(host->context, "pin", KW_UNAVAILABLE);
    return given ? instance : NULL;
}

static kw_status share_login(kw_plugin_instance *instance)
{
    pthread_t thread;
    void *given = NULL;

    instance->host->secret_settled(instance->host->context, "pin", KW_OK);
    if (pthread_create(&thread, NULL, login_again, instance) == 0)
        pthread_join(thread, &given);
    return given != NULL ? KW_OK : memory_fail(instance, KW_FAILED, "the other thread was not given the PIN");
}

static kw_status check_pin(kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *const host = instance->host;
    kw_output secret = {.data = host->secret_allocate(host->context, KW_SECRET_MAXIMUM), .capacity = KW_SECRET_MAXIMUM};
    kw_status status;
    bool right;

    if (secret.data == NULL)
        return KW_OUT_OF_MEMORY;
    status = host->secret_request(host->context, call, "pin", &secret);
    right = status == KW_OK && secret.length == strlen(instance->pin) &&
            memcmp(secret.data, instance->pin, secret.length) == 0;
    host->secret_free(host->context, secret.data, KW_SECRET_MAXIMUM);
    if (status != KW_OK)
        return status;
    memory_tell(instance, "the backend was given a PIN");
    note_login(instance);
    if (login_is("killed"))
        raise(SIGKILL);
    if (login_is("slow"))
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    if (right && login_is("shared"))
        return share_login(instance);
    if (login_is("away"))
        return memory_fail(instance, KW_UNAVAILABLE, "the backend went away before it looked at the PIN");
    if (right)
        return KW_OK;
    if (!memory_has_fault(instance, "login-silent"))
        host->secret_refused(host->context, "pin");
    return memory_fail(instance, KW_SECRET_REFUSED, "the backend refused the PIN");
}

static void fill_capabilities(const kw_plugin_instance *instance, kw_capabilities *capabilities)
{
    capabilities->operations = KW_CAN_GENERATE | KW_CAN_IMPORT | KW_CAN_EXPORT | KW_CAN_DELETE | KW_CAN_LIST |
                               KW_CAN_ATTEST | KW_CAN_STORE_CERTIFICATES | KW_CAN_SET_SECRET | KW_CAN_RANDOM |
                               KW_CAN_SIGN | KW_CAN_DECRYPT | KW_CAN_DERIVE;
    if (instance->hidden)
        capabilities->operations = 0;
    if (memory_has_fault(instance, "token"))
        memcpy(capabilities->token, "f81db109620f8937", 17);
    else if (memory_has_fault(instance, "token-control"))
        memcpy(capabilities->token, "f81d\033[7m", 9);
    else if (memory_has_fault(instance, "token-endless"))
        memset(capabilities->token, 'x', sizeof(capabilities->token));
    capabilities->key_types = KW_BIT(KW_KEY_RSA) | KW_BIT(KW_KEY_EC) | KW_BIT(KW_KEY_ED25519) | KW_BIT(KW_KEY_X25519);
    capabilities->curves = KW_BIT(KW_CURVE_P256) | KW_BIT(KW_CURVE_P384) | KW_BIT(KW_CURVE_P521);
    capabilities->rsa_bits_minimum = 1024;
    capabilities->rsa_bits_maximum = 4096;
    capabilities->schemes =
        KW_BIT(KW_SCHEME_RSA_RAW) | KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_EDDSA) | KW_BIT(KW_SCHEME_ECDH);
    if (!instance->raw) {
        capabilities->schemes |= KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_OAEP);
        capabilities->sign_hashes =
            KW_BIT(KW_HASH_SHA224) | KW_BIT(KW_HASH_SHA256) | KW_BIT(KW_HASH_SHA384) | KW_BIT(KW_HASH_SHA512);
        capabilities->oaep_hashes =
            instance->old_oaep ? KW_BIT(KW_HASH_SHA1) : capabilities->sign_hashes | KW_BIT(KW_HASH_SHA1);
    }
}

static kw_status memory_open(const kw_call *call, const kw_host *host, const kw_option_value *options,
                             size_t option_count, kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    kw_plugin_instance *made = calloc(1, sizeof(*made));
    kw_status status = KW_OK;
    bool ask = false;

    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    made->host = host;
    for (size_t i = 0; i < option_count; i++) {
        const char *const name = options[i].name, *const text = options[i].text;
        if (strcmp(name, "raw") == 0)
            made->raw = options[i].integer != 0;
        else if (strcmp(name, "hidden") == 0)
            made->hidden = options[i].integer != 0;
        else if (strcmp(name, "oaep") == 0)
            made->old_oaep = strcmp(text, "sha1") == 0;
        else if (strcmp(name, "expected_pin") == 0) {
            ask = true;
            strncpy(made->pin, text, sizeof(made->pin) - 1);
        } else if (strcmp(name, "logins") == 0)
            strncpy(made->logins, text, sizeof(made->logins) - 1);
        else if (strcmp(name, "fault") == 0)
            strncpy(made->fault, text, sizeof(made->fault) - 1);
    }
    pthread_mutex_init(&made->lock, NULL);
    memory_tell(made, "opening");
    if (ask)
        status = check_pin(made, call);
    if (status == KW_OK && memory_has_fault(made, "open-fails"))
        status = memory_fail(made, KW_UNAVAILABLE, "the backend is\nnot there");
    else if (status == KW_OK && memory_has_fault(made, "open-silent"))
        status = KW_PERMISSION;
    else if (status == KW_OK && memory_has_fault(made, "open-status"))
        memset(&status, 0x7e, sizeof(status));
    else if (status == KW_OK && memory_has_fault(made, "open-secret"))
        status = KW_SECRET_REFUSED;
    else if (status == KW_OK && memory_has_fault(made, "record"))
        status = host->record_get(host->context, (kw_input){NULL, 0}, &(kw_output){0});
    else if (status == KW_OK && !memory_has_fault(made, "open-null")) {
        fill_capabilities(made, capabilities);
        *instance = made;
        return KW_OK;
    }
    pthread_mutex_destroy(&made->lock);
    free(made);
    return status;
}

static void memory_close(kw_plugin_instance *instance)
{
    memory_tell(instance, "closing");
    while (instance->entries != NULL) {
        struct entry *const entry = instance->entries;
        instance->entries = entry->next;
        EVP_PKEY_free(entry->pkey);
        free(entry->certificate);
        free(entry);
    }
    pthread_mutex_destroy(&instance->lock);
    free(instance);
}

static kw_status memory_health(kw_plugin_instance *instance, const kw_call *call)
{
    kw_status status = KW_OK;

    if (memory_has_fault(instance, "health-status"))
        memset(&status, 0x11, sizeof(status));
    else if (memory_has_fault(instance, "late-refusal")) {
        instance->host->secret_refused(instance->host->context, "pin");
        status = memory_fail(instance, KW_SECRET_REFUSED, "the backend refuses the PIN that it took before");
    } else if (call->size < sizeof(*call) || call->deadline <= instance->host->clock(instance->host->context))
        status = memory_fail(instance, KW_TIMEOUT, "the deadline has passed");
    return status;
}

static kw_status memory_random(kw_plugin_instance *instance, const kw_call *call, kw_output *output)
{
    (void)call;
    return instance->host->random(instance->host->context, output);
}

static kw_status memory_set_secret(kw_plugin_instance *instance, const kw_call *call, const char *option,
                                   kw_input secret)
{
    (void)call;
    if (strcmp(option, "pin") != 0 || secret.length < 4 || secret.length >= sizeof(instance->pin))
        return memory_fail(instance, KW_INVALID_ARGUMENT, "a PIN has from 4 to 63 characters");
    memset(instance->pin, 0, sizeof(instance->pin));
    memcpy(instance->pin, secret.data, secret.length);
    return KW_OK;
}

static void memory_fork_prepare(kw_plugin_instance *instance)
{
    pthread_mutex_lock(&instance->lock);
}

static void memory_fork_parent(kw_plugin_instance *instance)
{
    pthread_mutex_unlock(&instance->lock);
}

static void memory_fork_child(kw_plugin_instance *instance)
{
    pthread_mutex_unlock(&instance->lock);
    memory_tell(instance, "in the child");
}

/* ---- The description ------------------------------------------------------------------------------------------ */

static const kw_option options[] = {
    {.name = "raw", .type = KW_OPTION_BOOLEAN, .fallback = "false", .help = "RSA keys do raw RSA alone."},
    {.name = "hidden", .type = KW_OPTION_BOOLEAN, .fallback = "false", .help = "Claim no capability."},
    {.name = "oaep", .type = KW_OPTION_STRING, .fallback = "any", .choices = "any|sha1", .help = "Hashes of OAEP."},
    {.name = "pin", .type = KW_OPTION_SECRET, .help = "What the backend asks for."},
    {.name = "expected_pin", .type = KW_OPTION_STRING, .help = "The right PIN; without it none is asked for."},
    {.name = "logins", .type = KW_OPTION_PATH, .help = "A file that gets a byte at each login."},
    {.name = "fault", .type = KW_OPTION_STRING, .fallback = "none", .choices = faults, .help = "The rule to break."},
};

#define OPERATIONS                                                                                                     \
    .open = memory_open, .close = memory_close, .health = memory_health, .random = memory_random,                      \
    .set_secret = memory_set_secret, .fork_prepare = memory_fork_prepare, .fork_parent = memory_fork_parent,           \
    .fork_child = memory_fork_child, .key_generate = memory_key_generate, .key_import = memory_key_import,             \
    .key_export = memory_key_export, .key_delete = memory_key_delete, .key_list = memory_key_list,                     \
    .key_find = memory_key_find, .key_open = memory_key_open, .key_close = memory_key_close,                           \
    .key_public = memory_key_public, .key_attest = memory_key_attest, .sign = memory_sign, .decrypt = memory_decrypt,  \
    .derive = memory_derive, .certificate_put = memory_certificate_put, .certificate_get = memory_certificate_get,     \
    .certificate_delete = memory_certificate_delete

#define DESCRIPTION                                                                                                    \
    .abi_major = KW_ABI_MAJOR, .traits = MEMORY_TRAITS, .name = MEMORY_NAME, .version = "1.0",                         \
    .summary = "Keys in memory, for tests", .options = options, .option_count = sizeof(options) / sizeof(options[0])

#if defined(MEMORY_NEWER)
/* As a later minor version would look: both tables have grown at their end. */
struct newer_operations {
    kw_plugin_operations base;
    kw_status (*invented_later)(kw_plugin_instance *instance);
};

struct newer_plugin {
    kw_plugin base;
    uint64_t invented_later[4];
};

static const struct newer_operations operations = {.base = {.size = sizeof(operations), OPERATIONS}};

static const struct newer_plugin description = {
    .base = {.abi_minor = KW_ABI_MINOR + 7, .size = sizeof(description), .operations = &operations.base, DESCRIPTION},
    .invented_later = {1, 2, 3, 4}};

KW_PLUGIN_EXPORT const kw_plugin *kw_plugin_query(void)
{
    return &description.base;
}
#else
static const kw_plugin_operations operations = {.size = sizeof(operations), OPERATIONS};

static const kw_plugin description = {
    .abi_minor = KW_ABI_MINOR, .size = sizeof(description), .operations = &operations, DESCRIPTION};

KW_PLUGIN_EXPORT const kw_plugin *kw_plugin_query(void)
{
    return &description;
}
#endif
