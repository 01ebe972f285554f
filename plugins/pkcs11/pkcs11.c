/* The description, the options, and instances. */
#include "key.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef p11_report

/* ---- What crosses the border ------------------------------------------------------------------------------------ */

static _Thread_local bool quiet;

void p11_be_quiet(bool wanted)
{
    quiet = wanted;
}

kw_status p11_report(const kw_host *host, kw_status status, const char *format, ...)
{
    char sentence[P11_SENTENCE + 32];
    va_list arguments;
    if (host->report == NULL || quiet)
        return status;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    host->report(host->context, sentence);
    return status;
}

/* The size that a struct begins with, which may be shorter than ours. */
static size_t known_size(const void *sent, size_t own_size)
{
    size_t size;
    memcpy(&size, sent, sizeof(size));
    return size < own_size ? size : own_size;
}

void p11_take(void *own, size_t own_size, const void *sent)
{
    memset(own, 0, own_size);
    if (sent != NULL)
        memcpy(own, sent, known_size(sent, own_size));
}

void p11_give(void *receiver, const void *own, size_t own_size)
{
    size_t known = known_size(receiver, own_size);
    if (known > sizeof(size_t))
        memcpy((unsigned char *)receiver + sizeof(size_t), (const unsigned char *)own + sizeof(size_t),
               known - sizeof(size_t));
}

unsigned p11_patience(const kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *host = &instance->host;
    uint64_t patience = instance->timeout;
    if (call != NULL && KW_HAS(call, deadline) && call->deadline != 0 && host->clock != NULL) {
        uint64_t now = host->clock(host->context);
        uint64_t left = now < call->deadline ? call->deadline - now : 0;
        patience = left < patience ? left : patience;
    }
    return (unsigned)patience;
}

kw_status p11_deadline(const kw_plugin_instance *instance, const kw_call *call)
{
    if (p11_patience(instance, call) > 0)
        return KW_OK;
    return p11_report(&instance->host, KW_TIMEOUT, "the deadline has passed");
}

kw_status p11_shut_out(const kw_plugin_instance *instance)
{
    return p11_report(&instance->host, KW_TIMEOUT,
                      "a call of the module '%s' in another thread, which opens a token, does not come back",
                      instance->module->path);
}

uint64_t p11_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

bool p11_fits(kw_output *output, size_t length)
{
    output->length = length;
    return output->data != NULL && output->capacity >= length;
}

/* ---- Options ------------------------------------------------------------------------------------------------------ */

#define TIMEOUT_MAXIMUM    3600000
#define KEY_COPIES_MAXIMUM 1000

static const kw_option option_table[] = {
    {.name = "library",
     .type = KW_OPTION_STRING, /* not a path, which the host would make absolute: what code runs is said in full */
     .required = 1,
     .help =
         "the absolute path of the maker's PKCS#11 module, a file that only root or the user of the service may write"},
    {.name = "library_sha256",
     .type = KW_OPTION_STRING,
     .help = "its SHA-256 in hex digits; another file is then not loaded"},
    {.name = "token_serial", .type = KW_OPTION_STRING, .help = "the token's serial number, in quotes"},
    {.name = "token_label",
     .type = KW_OPTION_STRING,
     .help = "the token's label; serial or label is needed, and both must match when both are given"},
    {.name = "pin", .type = KW_OPTION_SECRET, .help = "the user PIN; not for a token with a keypad of its own"},
    {.name = "sessions",
     .type = KW_OPTION_INTEGER,
     .fallback = "16",
     .minimum = 1,
     .maximum = P11_SESSIONS_MAXIMUM,
     .help = "how many sessions a process opens with the token at most, which is how many operations run at once"},
    {.name = "timeout",
     .type = KW_OPTION_DURATION,
     .fallback = "30s",
     .minimum = 100,
     .maximum = TIMEOUT_MAXIMUM,
     .help = "how long an operation waits for a free session, or for calls of other threads and processes"},
    {.name = "init_args",
     .type = KW_OPTION_STRING,
     .help =
         "what C_Initialize is given, for modules that want it, such as NSS: configdir='sql:/etc/nss' flags=readWrite"},
    {.name = "key_copies",
     .type = KW_OPTION_DURATION,
     .fallback = "10ms",
     .minimum = 0,
     .maximum = KEY_COPIES_MAXIMUM,
     .help =
         "for how long, after the token has shown a key, a copy in the session may sign for it; with SoftHSM alone; "
         "0s: not at all"},
    {.name = "always_authenticate",
     .type = KW_OPTION_BOOLEAN,
     .fallback = "false",
     .help = "whether keys that are made here ask for the PIN at each use (CKA_ALWAYS_AUTHENTICATE)"},
};

struct options {
    const char *library, *library_sha256, *token_serial, *token_label, *init_args;
    int64_t sessions, timeout, key_copies, always_authenticate;
};

static void read_options(const kw_option_value *values, size_t count, struct options *options)
{
    *options = (struct options){.sessions = 16, .timeout = 30000, .key_copies = 10};
    const struct {
        const char *name;
        const char **text;
        int64_t *integer;
    } places[] = {
        {"library", &options->library, NULL},
        {"library_sha256", &options->library_sha256, NULL},
        {"token_serial", &options->token_serial, NULL},
        {"token_label", &options->token_label, NULL},
        {"init_args", &options->init_args, NULL},
        {"sessions", NULL, &options->sessions},
        {"timeout", NULL, &options->timeout},
        {"key_copies", NULL, &options->key_copies},
        {"always_authenticate", NULL, &options->always_authenticate},
    };
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
            if (strcmp(values[i].name, places[j].name) != 0)
                continue;
            if (places[j].text != NULL)
                *places[j].text = values[i].text;
            else
                *places[j].integer = values[i].integer;
        }
}

static kw_status check_options(const kw_host *host, const struct options *options)
{
    if (options->library == NULL)
        return p11_report(host, KW_CONFIGURATION, "option library is missing: the path of the maker's PKCS#11 module");
    if ((options->token_serial == NULL || options->token_serial[0] == '\0') &&
        (options->token_label == NULL || options->token_label[0] == '\0'))
        return p11_report(host, KW_CONFIGURATION,
                          "one of the options token_serial and token_label is needed; pkcs11-tool --module %s "
                          "--list-slots shows both",
                          options->library);
    if (options->library_sha256 != NULL &&
        (strlen(options->library_sha256) != 64 || strspn(options->library_sha256, "0123456789abcdefABCDEF") != 64))
        return p11_report(host, KW_CONFIGURATION, "option library_sha256: a SHA-256 has 64 hex digits");
    if (options->sessions < 1 || options->sessions > P11_SESSIONS_MAXIMUM)
        return p11_report(host, KW_CONFIGURATION, "option sessions: it must be from 1 to %u", P11_SESSIONS_MAXIMUM);
    if (options->timeout < 100 || options->timeout > TIMEOUT_MAXIMUM)
        return p11_report(host, KW_CONFIGURATION, "option timeout: it must be from 100ms to 1h");
    if (options->key_copies < 0 || options->key_copies > KEY_COPIES_MAXIMUM)
        return p11_report(host, KW_CONFIGURATION, "option key_copies: it must be from 0s to 1s");
    return KW_OK;
}

/* ---- Instances ---------------------------------------------------------------------------------------------------- */

/* What pkcs11 cannot do without; the log, the clock and the count it can. */
static bool host_is_complete(const kw_host *host)
{
    return host->secret_allocate != NULL && host->secret_free != NULL && host->secret_request != NULL &&
           host->secret_refused != NULL;
}

static void instance_free(kw_plugin_instance *instance)
{
    if (instance == NULL)
        return;
    const kw_host *host = &instance->host;
    p11_token_close(instance);
    if (instance->pin != NULL)
        host->secret_free(host->context, instance->pin, KW_SECRET_MAXIMUM);
    if (instance->offered_pin != NULL)
        host->secret_free(host->context, instance->offered_pin, KW_SECRET_MAXIMUM);
    p11_cursors_free(instance->cursors);
    free(instance->token_label);
    free(instance->token_serial);
    free(instance);
}

static char *copy_of(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

static kw_status open_library(kw_plugin_instance *instance, const struct options *options)
{
    const kw_host *host = &instance->host;
    char sentence[P11_SENTENCE] = "";
    bool pinned = true;
    char *path = p11_library_check(options->library, sentence);
    if (path == NULL)
        return p11_report(host, KW_CONFIGURATION, "%s", sentence);
    instance->module = p11_module_get(path, options->init_args);
    free(path);
    if (instance->module == NULL)
        return p11_report(host, KW_OUT_OF_MEMORY, "out of memory");
    if (!p11_module_takes(instance->module, options->init_args))
        return p11_report(host, KW_CONFIGURATION,
                          "option init_args: another store of this process has initialized '%s' otherwise; a module is "
                          "initialized once",
                          instance->module->path);
    if (options->library_sha256 != NULL) {
        if (!p11_gate_enter(&instance->module->gate, (unsigned)instance->timeout))
            return p11_shut_out(instance);
        pinned = p11_library_pinned(instance->module->path, options->library_sha256, sentence);
        p11_gate_leave(&instance->module->gate);
    }
    return pinned ? KW_OK : p11_report(host, KW_CONFIGURATION, "%s", sentence);
}

static kw_status instance_open(const kw_call *call, const kw_host *host, const kw_option_value *values, size_t count,
                               kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    struct options options;
    kw_status status = KW_OK;
    kw_plugin_instance *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    p11_take(&made->host, sizeof(made->host), host);
    if (!host_is_complete(&made->host)) {
        status = p11_report(&made->host, KW_UNSUPPORTED, "the host lacks secrets");
        goto out;
    }
    read_options(values, count, &options);
    status = check_options(&made->host, &options);
    if (status != KW_OK)
        goto out;
    made->token_label = copy_of(options.token_label);
    made->token_serial = copy_of(options.token_serial);
    made->timeout = (uint64_t)options.timeout;
    made->key_copies = (uint64_t)options.key_copies;
    made->pool.limit = (unsigned)options.sessions;
    made->always_authenticate = options.always_authenticate != 0;
    made->cursors = p11_cursors_new();
    made->pin = made->host.secret_allocate(made->host.context, KW_SECRET_MAXIMUM);
    made->offered_pin = made->host.secret_allocate(made->host.context, KW_SECRET_MAXIMUM);
    if (made->cursors == NULL || made->pin == NULL || made->offered_pin == NULL ||
        (made->token_label == NULL && made->token_serial == NULL)) {
        status = p11_report(&made->host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    status = open_library(made, &options);
    if (status == KW_OK)
        status = p11_token_open(made, call);
    if (status == KW_OK)
        status = p11_perform(made, call, "say what it can do", p11_capability_read, NULL);
    if (status != KW_OK)
        goto out;
    p11_give(capabilities, &made->capabilities, sizeof(made->capabilities));
    *instance = made;
    made = NULL;
out:
    instance_free(made);
    return status;
}

static kw_status instance_health(kw_plugin_instance *instance, const kw_call *call)
{
    return p11_perform(instance, call, "say how it is", p11_token_look, NULL);
}

static CK_RV fill(struct p11_use *use, void *argument)
{
    kw_output *output = argument;
    return p11_did(use, "C_GenerateRandom",
                   use->functions->C_GenerateRandom(use->session, output->data, output->capacity));
}

static kw_status instance_random(kw_plugin_instance *instance, const kw_call *call, kw_output *output)
{
    if (!p11_fits(output, output->capacity))
        return KW_BUFFER_TOO_SMALL;
    return p11_perform(instance, call, "give random bytes", fill, output);
}

static kw_status instance_set_secret(kw_plugin_instance *instance, const kw_call *call, const char *option,
                                     kw_input secret)
{
    if (strcmp(option, "pin") != 0)
        return p11_report(&instance->host, KW_INVALID_ARGUMENT, "'%s' is no secret option", option);
    if (secret.length == 0 || secret.length > KW_SECRET_MAXIMUM)
        return p11_report(&instance->host, KW_INVALID_ARGUMENT, "a PIN has 1 to %u bytes", KW_SECRET_MAXIMUM);
    if (!instance->wants_pin)
        return p11_report(&instance->host, KW_UNSUPPORTED, "this token asks for no PIN");
    return p11_token_change_pin(instance, call, secret);
}

/* ---- Description ----------------------------------------------------------------------------------------------------- */

/* Without operations for forks: gate.c watches them, since a process may fork while an instance opens. */
static const kw_plugin_operations operation_table = {
    .size = sizeof(kw_plugin_operations),
    .open = instance_open,
    .close = instance_free,
    .health = instance_health,
    .random = instance_random,
    .set_secret = instance_set_secret,
    .key_generate = p11_key_generate,
    .key_import = p11_key_import,
    .key_delete = p11_key_delete,
    .key_list = p11_key_list,
    .key_find = p11_key_find,
    .key_open = p11_key_open,
    .key_close = p11_key_close,
    .key_public = p11_key_public,
    .sign = p11_sign,
    .decrypt = p11_decrypt,
    .derive = p11_derive,
    .certificate_put = p11_certificate_put,
    .certificate_get = p11_certificate_get,
    .certificate_delete = p11_certificate_delete,
};

static const kw_plugin description = {
    .abi_major = KW_ABI_MAJOR,
    .abi_minor = KW_ABI_MINOR,
    .size = sizeof(kw_plugin),
    .name = "pkcs11",
    .version = P11_VERSION,
    .summary = "keys in a token (HSM, smart card, TPM) behind its maker's PKCS#11 module",
    .options = option_table,
    .option_count = sizeof(option_table) / sizeof(option_table[0]),
    .operations = &operation_table,
    .traits = KW_TRAIT_COUNTS | KW_TRAIT_LOCKS,
};

const kw_plugin *kw_plugin_query(void)
{
    p11_watch_forks();
    return &description;
}
