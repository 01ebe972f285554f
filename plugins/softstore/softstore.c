/* The description, the options, and instances. */
#include "softstore.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef softstore_report

#define SIGN_HASHES (KW_BIT(KW_HASH_SHA224) | KW_BIT(KW_HASH_SHA256) | KW_BIT(KW_HASH_SHA384) | KW_BIT(KW_HASH_SHA512))

const struct softstore_ability softstore_abilities[KW_KEY_X25519 + 1] = {
    [KW_KEY_RSA] = {KW_CAN_SIGN | KW_CAN_DECRYPT,
                    KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_RSA_OAEP) |
                        KW_BIT(KW_SCHEME_RSA_RAW),
                    SIGN_HASHES, SIGN_HASHES | KW_BIT(KW_HASH_SHA1)},
    [KW_KEY_EC] = {KW_CAN_SIGN | KW_CAN_DERIVE, KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_ECDH), SIGN_HASHES, 0},
    [KW_KEY_ED25519] = {KW_CAN_SIGN, KW_BIT(KW_SCHEME_EDDSA), 0, 0},
    [KW_KEY_X25519] = {KW_CAN_DERIVE, KW_BIT(KW_SCHEME_ECDH), 0, 0},
};

/* ---- What crosses the border ------------------------------------------------------------------------------------ */

kw_status softstore_report(const kw_host *host, kw_status status, const char *format, ...)
{
    char sentence[512];
    va_list arguments;
    if (host->report == NULL)
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

void softstore_take(void *own, size_t own_size, const void *sent)
{
    memset(own, 0, own_size);
    if (sent != NULL)
        memcpy(own, sent, known_size(sent, own_size));
}

void softstore_give(void *receiver, const void *own, size_t own_size)
{
    size_t known = known_size(receiver, own_size);
    if (known > sizeof(size_t))
        memcpy((unsigned char *)receiver + sizeof(size_t), (const unsigned char *)own + sizeof(size_t),
               known - sizeof(size_t));
}

kw_status softstore_deadline(const kw_host *host, const kw_call *call)
{
    if (call == NULL || !KW_HAS(call, deadline) || call->deadline == 0 || host->clock == NULL ||
        host->clock(host->context) < call->deadline)
        return KW_OK;
    return softstore_report(host, KW_TIMEOUT, "the deadline has passed");
}

bool softstore_fits(kw_output *output, size_t length)
{
    output->length = length;
    return output->data != NULL && output->capacity >= length;
}

/* ---- Instances ---------------------------------------------------------------------------------------------------- */

/* What softstore cannot do without; the log and the clock it can. */
static bool host_is_complete(const kw_host *host)
{
    return host->secret_allocate != NULL && host->secret_free != NULL && host->secret_request != NULL &&
           host->secret_refused != NULL && host->record_get != NULL && host->record_swap != NULL &&
           host->record_delete != NULL && host->record_next != NULL;
}

static void instance_free(kw_plugin_instance *instance)
{
    if (instance == NULL)
        return;
    if (instance->kek != NULL)
        instance->host.secret_free(instance->host.context, instance->kek, SOFTSTORE_SEAL_KEY);
    softstore_cursors_free(instance->cursors);
    free(instance);
}

static kw_status instance_open(const kw_call *call, const kw_host *host, const kw_option_value *options, size_t count,
                               kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    kw_status status = KW_OK;
    kw_plugin_instance *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    softstore_take(&made->host, sizeof(made->host), host);
    if (!host_is_complete(&made->host)) {
        status = softstore_report(&made->host, KW_UNSUPPORTED, "the host lacks records or secrets");
        goto out;
    }
    made->scrypt_log2_n = 15;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(options[i].name, "scrypt_log2_n") != 0)
            continue;
        if (options[i].integer < (int64_t)SOFTSTORE_LOG2_N_MINIMUM ||
            options[i].integer > (int64_t)SOFTSTORE_LOG2_N_MAXIMUM) {
            status = softstore_report(&made->host, KW_CONFIGURATION, "option scrypt_log2_n must be from %u to %u",
                                      SOFTSTORE_LOG2_N_MINIMUM, SOFTSTORE_LOG2_N_MAXIMUM);
            goto out;
        }
        made->scrypt_log2_n = (unsigned)options[i].integer;
    }
    made->cursors = softstore_cursors_new();
    made->kek = made->host.secret_allocate(made->host.context, SOFTSTORE_SEAL_KEY);
    if (made->cursors == NULL || made->kek == NULL) {
        status = softstore_report(&made->host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    made->library = softstore_library_get();
    if (made->library == NULL) {
        status = softstore_report(&made->host, KW_FAILED, "libcrypto's default provider cannot be loaded");
        goto out;
    }
    status = softstore_kek_open(made, call);
    if (status != KW_OK)
        goto out;

    kw_capabilities can = {
        .operations = KW_CAN_GENERATE | KW_CAN_IMPORT | KW_CAN_EXPORT | KW_CAN_DELETE | KW_CAN_LIST |
                      KW_CAN_SET_SECRET | KW_CAN_RANDOM | KW_CAN_SIGN | KW_CAN_DECRYPT | KW_CAN_DERIVE,
        .features = KW_FEATURE_SHARED,
        .key_types = KW_BIT(KW_KEY_RSA) | KW_BIT(KW_KEY_EC) | KW_BIT(KW_KEY_ED25519) | KW_BIT(KW_KEY_X25519),
        .curves = KW_BIT(KW_CURVE_P256) | KW_BIT(KW_CURVE_P384) | KW_BIT(KW_CURVE_P521),
        .rsa_bits_minimum = SOFTSTORE_RSA_MINIMUM,
        .rsa_bits_maximum = SOFTSTORE_RSA_MAXIMUM,
        .sign_hashes = softstore_abilities[KW_KEY_RSA].sign_hashes,
        .oaep_hashes = softstore_abilities[KW_KEY_RSA].oaep_hashes,
    };
    for (size_t type = 0; type < sizeof(softstore_abilities) / sizeof(softstore_abilities[0]); type++)
        can.schemes |= softstore_abilities[type].schemes;
    softstore_give(capabilities, &can, sizeof(can));
    *instance = made;
    made = NULL;
out:
    instance_free(made);
    return status;
}

static kw_status instance_health(kw_plugin_instance *instance, const kw_call *call)
{
    kw_status status = softstore_deadline(&instance->host, call);
    return status == KW_OK ? softstore_kek_present(instance) : status;
}

static kw_status instance_random(kw_plugin_instance *instance, const kw_call *call, kw_output *output)
{
    (void)call;
    if (!softstore_fits(output, output->capacity))
        return KW_BUFFER_TOO_SMALL;
    if (!softstore_random_bytes(instance->library, output->data, output->capacity))
        return softstore_report(&instance->host, KW_FAILED, "libcrypto gave no random bytes");
    return KW_OK;
}

static kw_status instance_set_secret(kw_plugin_instance *instance, const kw_call *call, const char *option,
                                     kw_input secret)
{
    if (strcmp(option, "passphrase") != 0)
        return softstore_report(&instance->host, KW_INVALID_ARGUMENT, "'%s' is no secret option", option);
    if (secret.length == 0 || secret.length > KW_SECRET_MAXIMUM)
        return softstore_report(&instance->host, KW_INVALID_ARGUMENT, "a passphrase has 1 to %u bytes",
                                KW_SECRET_MAXIMUM);
    kw_status status = softstore_deadline(&instance->host, call);
    return status == KW_OK ? softstore_kek_wrap_again(instance, secret) : status;
}

static void instance_fork_prepare(kw_plugin_instance *instance)
{
    softstore_cursors_lock(instance->cursors);
}

static void instance_fork_done(kw_plugin_instance *instance)
{
    softstore_cursors_unlock(instance->cursors);
}

/* ---- Description ----------------------------------------------------------------------------------------------------- */

static const kw_option option_table[] = {
    {.name = "passphrase",
     .type = KW_OPTION_SECRET,
     .required = 1,
     .help = "unlocks the store; the first use of an empty store sets it"},
    {.name = "scrypt_log2_n",
     .type = KW_OPTION_INTEGER,
     .fallback = "15",
     .minimum = SOFTSTORE_LOG2_N_MINIMUM,
     .maximum = SOFTSTORE_LOG2_N_MAXIMUM,
     .help = "cost of trying a passphrase, as a power of two; each step doubles time and memory (15: 32 MiB). Takes "
             "effect when the passphrase is set"},
};

static const kw_plugin_operations operation_table = {
    .size = sizeof(kw_plugin_operations),
    .open = instance_open,
    .close = instance_free,
    .health = instance_health,
    .random = instance_random,
    .set_secret = instance_set_secret,
    .fork_prepare = instance_fork_prepare,
    .fork_parent = instance_fork_done,
    .fork_child = instance_fork_done,
    .key_generate = softstore_key_generate,
    .key_import = softstore_key_import,
    .key_export = softstore_key_export,
    .key_delete = softstore_key_delete,
    .key_list = softstore_key_list,
    .key_find = softstore_key_find,
    .key_open = softstore_key_open,
    .key_close = softstore_key_close,
    .key_public = softstore_key_public,
    .sign = softstore_sign,
    .decrypt = softstore_decrypt,
    .derive = softstore_derive,
};

static const kw_plugin description = {
    .abi_major = KW_ABI_MAJOR,
    .abi_minor = KW_ABI_MINOR,
    .size = sizeof(kw_plugin),
    .name = "softstore",
    .version = SOFTSTORE_VERSION,
    .summary = "keys in the catalogue, sealed under a passphrase",
    .options = option_table,
    .option_count = sizeof(option_table) / sizeof(option_table[0]),
    .operations = &operation_table,
};

const kw_plugin *kw_plugin_query(void)
{
    return &description;
}
