/* Instances, keys, and outputs with canaries. */
#include "kit.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* ---- Instances ------------------------------------------------------------------------------------------------------ */

void kit_host_like(const struct kit *kit, struct kit_host *host, struct records *records)
{
    kit_host_init(host, records);
    memcpy(host->secrets, kit->secrets, sizeof(host->secrets));
    host->secret_count = kit->secret_count;
}

kw_status kit_open(const struct kit *kit, struct kit_host *host, kw_plugin_instance **instance,
                   kw_capabilities *capabilities)
{
    *instance = NULL;
    *capabilities = (kw_capabilities){.size = sizeof(*capabilities)};
    return kit->operations.open(&kit->call, &host->table, kit->options, kit->option_count, instance, capabilities);
}

void kit_close(const struct kit *kit, struct kit_host *host, kw_plugin_instance *instance)
{
    if (instance != NULL)
        kit->operations.close(instance);
    long left = kit_host_blocks(host);
    require(RULE_2_SECRETS_FREED, left == 0, "%ld blocks of secret memory are left after close", left);
    require(RULE_2_SECRETS_FREED, !atomic_load(&host->misused),
            "secret memory was freed with another length, or written to beyond its ends");
    require(RULE_5_NO_SECRET, !atomic_load(&host->leaked_text),
            "a sentence held a secret or a line break, or was empty");
}

bool kit_can(const struct kit *kit, uint32_t operation)
{
    return (kit->capabilities.operations & operation) != 0;
}

bool expect_ok(struct kit_host *host, enum requirement requirement, kw_status status, const char *what)
{
    char sentence[512] = "";
    if (status != KW_OK) {
        pthread_mutex_lock(&host->mutex);
        snprintf(sentence, sizeof(sentence), "%s", host->sentence);
        pthread_mutex_unlock(&host->mutex);
    }
    atomic_store(&host->reports, 0);
    return require(requirement, status == KW_OK, "%s: %s (%s)", what, status_name(status), sentence);
}

bool expect_failure(struct kit_host *host, enum requirement requirement, kw_status status, kw_status wanted,
                    const char *what)
{
    unsigned reports = atomic_exchange(&host->reports, 0);
    if (status != KW_OK && status != KW_BUFFER_TOO_SMALL)
        require(RULE_5_REPORT, reports != 0, "%s: %s without a sentence", what, status_name(status));
    return require(requirement, status == wanted, "%s: %s instead of %s", what, status_name(status),
                   status_name(wanted));
}

/* ---- What a plugin can make --------------------------------------------------------------------------------------------- */

static const struct key_variant variants[] = {
    {"ec-p256", KW_KEY_EC, 256, KW_CURVE_P256},    {"ec-p384", KW_KEY_EC, 384, KW_CURVE_P384},
    {"ec-p521", KW_KEY_EC, 521, KW_CURVE_P521},    {"ed25519", KW_KEY_ED25519, 256, KW_CURVE_NONE},
    {"x25519", KW_KEY_X25519, 256, KW_CURVE_NONE}, {"rsa-2048", KW_KEY_RSA, 2048, KW_CURVE_NONE},
    {"rsa-3072", KW_KEY_RSA, 3072, KW_CURVE_NONE}, {"rsa-4096", KW_KEY_RSA, 4096, KW_CURVE_NONE},
};
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

static bool can_generate(const struct kit *kit)
{
    return kit_can(kit, KW_CAN_GENERATE) && kit->operations.key_generate != NULL;
}

static bool can_import(const struct kit *kit)
{
    return kit_can(kit, KW_CAN_IMPORT) && kit->operations.key_import != NULL;
}

/* A store into which no key comes has none that could be tried: what it does with those of others is not checked. */
static bool is_claimed(const struct kit *kit, const struct key_variant *variant)
{
    if (!can_generate(kit) && !can_import(kit))
        return false;
    if ((kit->capabilities.key_types & KW_BIT(variant->type)) == 0)
        return false;
    if (variant->type == KW_KEY_EC)
        return (kit->capabilities.curves & KW_BIT(variant->curve)) != 0;
    if (variant->type == KW_KEY_RSA)
        return variant->bits >= kit->capabilities.rsa_bits_minimum &&
               variant->bits <= kit->capabilities.rsa_bits_maximum && !(kit->quick && variant->bits > 2048);
    return true;
}

const struct key_variant *variant_next(const struct kit *kit, size_t *position)
{
    while (*position < VARIANTS) {
        const struct key_variant *variant = &variants[(*position)++];
        if (is_claimed(kit, variant))
            return variant;
    }
    return NULL;
}

const struct key_variant *variant_of(const struct kit *kit, kw_key_type type)
{
    for (size_t i = 0; i < VARIANTS; i++)
        if (variants[i].type == type && is_claimed(kit, &variants[i]))
            return &variants[i];
    return NULL;
}

const struct key_variant *variant_signing(const struct kit *kit)
{
    static const kw_key_type types[] = {KW_KEY_EC, KW_KEY_ED25519, KW_KEY_RSA};
    const struct key_variant *variant = NULL;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && variant == NULL && kit_can(kit, KW_CAN_SIGN); i++)
        variant = variant_of(kit, types[i]);
    return variant;
}

kw_key_template template_new(const struct kit *kit, const struct key_variant *variant)
{
    static const uint32_t uses[] = {
        [KW_KEY_RSA] = KW_CAN_SIGN | KW_CAN_DECRYPT,
        [KW_KEY_EC] = KW_CAN_SIGN | KW_CAN_DERIVE,
        [KW_KEY_ED25519] = KW_CAN_SIGN,
        [KW_KEY_X25519] = KW_CAN_DERIVE,
    };
    kw_key_template wanted = {
        .size = sizeof(wanted),
        .type = variant->type,
        .bits = variant->type == KW_KEY_RSA ? variant->bits : 0,
        .curve = variant->curve,
        .operations = uses[variant->type] & kit->capabilities.operations,
        .exportable = 1,
        .label = "conformance kit",
    };
    if (RAND_bytes(wanted.id, sizeof(wanted.id)) != 1)
        abort();
    return wanted;
}

/* By memcpy, since a conversion of what is no enumerator is a mistake to analysers, as it would be elsewhere. */
static const int unknown = 77;

kw_key_type unknown_key_type(void)
{
    kw_key_type value;
    memcpy(&value, &unknown, sizeof(value));
    return value;
}

kw_curve unknown_curve(void)
{
    kw_curve value;
    memcpy(&value, &unknown, sizeof(value));
    return value;
}

kw_scheme unknown_scheme(void)
{
    kw_scheme value;
    memcpy(&value, &unknown, sizeof(value));
    return value;
}

kw_hash unknown_hash(void)
{
    kw_hash value;
    memcpy(&value, &unknown, sizeof(value));
    return value;
}

kw_input locator_view(const struct locator *locator)
{
    return (kw_input){locator->data, locator->length};
}

#define CANARY_BYTE 0xA7

/* The bytes behind what an operation was given. */
static void check_behind(const unsigned char *data, size_t from, size_t to, const char *what)
{
    bool whole = true;
    for (size_t i = from; i < to; i++)
        whole = whole && data[i] == CANARY_BYTE;
    require(RULE_2_NO_OVERFLOW, whole, "%s wrote beyond its output of %zu bytes", what, from);
}

static kw_status finish_locator(kw_status status, const kw_output *output, struct locator *locator)
{
    check_behind(locator->data, KW_LOCATOR_MAXIMUM, LOCATOR_ROOM, "the locator");
    locator->length = 0;
    if (status == KW_OK && require(GENERATE_LOCATOR, output->length > 0 && output->length <= KW_LOCATOR_MAXIMUM,
                                   "a locator of %zu bytes", output->length))
        locator->length = output->length;
    return status;
}

kw_status generate(struct kit *kit, kw_plugin_instance *instance, const kw_key_template *wanted,
                   struct locator *locator)
{
    kw_output output = {.data = locator->data, .capacity = KW_LOCATOR_MAXIMUM};
    memset(locator->data, CANARY_BYTE, LOCATOR_ROOM);
    return finish_locator(kit->operations.key_generate(instance, &kit->call, wanted, &output), &output, locator);
}

kw_status import(struct kit *kit, kw_plugin_instance *instance, const kw_key_template *wanted, kw_input pkcs8,
                 struct locator *locator)
{
    kw_output output = {.data = locator->data, .capacity = KW_LOCATOR_MAXIMUM};
    memset(locator->data, CANARY_BYTE, LOCATOR_ROOM);
    return finish_locator(kit->operations.key_import(instance, &kit->call, wanted, pkcs8, &output), &output, locator);
}

bool test_key_open(struct kit *kit, kw_plugin_instance *instance, struct kit_host *host, enum requirement requirement,
                   struct test_key *key)
{
    struct bytes spki = {NULL, 0};
    key->capabilities = (kw_key_capabilities){.size = sizeof(key->capabilities)};
    kw_status status =
        kit->operations.key_open(instance, &kit->call, locator_view(&key->locator), &key->key, &key->capabilities);
    if (!expect_ok(host, requirement, status, "key_open"))
        return false;
    struct use use = {.kit = kit, .key = key->key};
    bool done = expect_ok(host, requirement, produce(produce_public, &use, &spki), "key_public");
    if (done) {
        key->pkey = judge_read_public(bytes_view(&spki));
        done =
            require(RULE_1_SPKI, key->pkey != NULL, "libcrypto cannot read the public key, or bytes trail behind it");
    }
    bytes_free(&spki);
    return done;
}

bool test_key_new(struct kit *kit, enum requirement requirement, const struct key_variant *variant,
                  struct test_key *key)
{
    *key = (struct test_key){.wanted = template_new(kit, variant)};
    struct bytes pkcs8 = {NULL, 0};
    kw_status status = KW_UNSUPPORTED;
    if (can_generate(kit)) {
        status = generate(kit, kit->instance, &key->wanted, &key->locator);
    } else {
        EVP_PKEY *pkey = judge_key(variant);
        if (judge_private(pkey, &pkcs8))
            status = import(kit, kit->instance, &key->wanted, bytes_view(&pkcs8), &key->locator);
        EVP_PKEY_free(pkey);
        bytes_free(&pkcs8);
    }
    return expect_ok(&kit->host, requirement, status, variant->name) &&
           test_key_open(kit, kit->instance, &kit->host, requirement, key);
}

void test_key_free(struct kit *kit, struct test_key *key)
{
    if (key->key != NULL)
        kit->operations.key_close(key->key);
    if (key->locator.length != 0 && kit->operations.key_delete != NULL)
        require(DELETE_GONE,
                kit->operations.key_delete(kit->instance, &kit->call, locator_view(&key->locator)) == KW_OK,
                "a test's key cannot be deleted");
    EVP_PKEY_free(key->pkey);
    *key = (struct test_key){.key = NULL};
}

/* ---- Outputs ----------------------------------------------------------------------------------------------------------------- */

void bytes_free(struct bytes *bytes)
{
    if (bytes->data != NULL)
        OPENSSL_cleanse(bytes->data, bytes->length);
    free(bytes->data);
    *bytes = (struct bytes){NULL, 0};
}

kw_input bytes_view(const struct bytes *bytes)
{
    return (kw_input){bytes->data, bytes->length};
}

#define BEHIND 64u

/* Calls with `capacity` bytes of room and canaries behind them. `data` has room for both. */
static kw_status call_with(producer operation, void *argument, unsigned char *data, size_t capacity, size_t *length)
{
    kw_output output = {.data = data, .capacity = capacity};
    memset(data, CANARY_BYTE, capacity + BEHIND);
    kw_status status = operation(argument, &output);
    check_behind(data, capacity, capacity + BEHIND, "an operation");
    *length = output.length;
    return status;
}

kw_status produce(producer operation, void *argument, struct bytes *result)
{
    size_t capacity = 4096, length = 0;
    kw_status status = KW_BUFFER_TOO_SMALL;
    for (int attempt = 0; status == KW_BUFFER_TOO_SMALL && attempt < 2; attempt++) {
        free(result->data);
        result->data = malloc(capacity + BEHIND);
        if (result->data == NULL)
            abort();
        status = call_with(operation, argument, result->data, capacity, &length);
        if (status == KW_BUFFER_TOO_SMALL)
            capacity = length;
    }
    result->length = status == KW_OK ? length : 0;
    if (status == KW_OK &&
        !require(RULE_2_NO_OVERFLOW, length <= capacity, "an output of %zu bytes has length %zu", capacity, length))
        result->length = 0;
    return status;
}

kw_status produce_asking(struct kit *kit, producer operation, void *argument, const char *what, struct bytes *result)
{
    unsigned char small[1 + BEHIND];
    size_t small_length = 0, length = 0;
    kw_output question = {.data = NULL, .capacity = 0};
    unsigned records = atomic_load(&kit->host.record_calls), secrets = atomic_load(&kit->host.secret_requests);
    kw_status status = operation(argument, &question);
    if (!require(RULE_2_SIZE, status == KW_BUFFER_TOO_SMALL && question.length > 0, "%s without data: %s, length %zu",
                 what, status_name(status), question.length))
        return produce(operation, argument, result);
    status = call_with(operation, argument, small, 1, &small_length);
    if (question.length > 1)
        require(RULE_2_SIZE, status == KW_BUFFER_TOO_SMALL && small_length > 1,
                "%s with 1 byte of room: %s, length %zu", what, status_name(status), small_length);
    require(RULE_2_NO_BACKEND,
            atomic_load(&kit->host.record_calls) == records && atomic_load(&kit->host.secret_requests) == secrets,
            "%s called the host when only its length was asked for", what);
    free(result->data);
    result->data = malloc(question.length + BEHIND);
    if (result->data == NULL)
        abort();
    status = call_with(operation, argument, result->data, question.length, &length);
    require(RULE_2_SIZE, status != KW_BUFFER_TOO_SMALL, "%s asked for %zu bytes and does not take them", what,
            question.length);
    result->length = status == KW_OK && length <= question.length ? length : 0;
    return status;
}

kw_status produce_signature(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.sign(with->key, &with->kit->call, with->algorithm, with->input, output);
}

kw_status produce_plaintext(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.decrypt(with->key, &with->kit->call, with->algorithm, with->input, output);
}

kw_status produce_shared(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.derive(with->key, &with->kit->call, with->algorithm, with->input, output);
}

kw_status produce_public(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.key_public(with->key, &with->kit->call, output);
}

/* Private keys go to secret memory, so the output is copied from there. */
kw_status produce_export(void *use, kw_output *output)
{
    struct use *with = use;
    const kw_host *host = &with->kit->host.table;
    if (output->data == NULL)
        return with->kit->operations.key_export(with->key, &with->kit->call, output);
    kw_output secret = {.data = host->secret_allocate(host->context, output->capacity), .capacity = output->capacity};
    if (secret.data == NULL)
        abort();
    kw_status status = with->kit->operations.key_export(with->key, &with->kit->call, &secret);
    output->length = secret.length;
    if (status == KW_OK && secret.length <= output->capacity)
        memcpy(output->data, secret.data, secret.length);
    host->secret_free(host->context, secret.data, secret.capacity);
    return status;
}

kw_status produce_found(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.key_find(with->instance, &with->kit->call, with->id, output);
}

kw_status produce_listed(void *use, kw_output *output)
{
    struct use *with = use;
    return with->kit->operations.key_list(with->instance, &with->kit->call, with->cursor, output);
}
