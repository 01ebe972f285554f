/*
 * A plugin that forwards to softstore and breaks one rule: the one that the environment variable KEYWRIGHT_BREAK names by its id in
 * the conformance kit. With none it is softstore under another name. It shows that the kit can fail, and names what is wrong.
 */
#include <keywright/plugin.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct kw_plugin_instance {
    kw_plugin_instance *inner;
    const kw_host *outer; /* the host as it is */
    kw_host host;         /* as softstore is shown it */
    unsigned opened_at;   /* `changes` then */
    uint64_t noise;
    pid_t process;
};

struct kw_plugin_key {
    kw_plugin_key *inner;
    kw_plugin_instance *instance;
    kw_key_type type;
};

static kw_plugin_operations softstore;
static atomic_uint changes;                     /* of the secret */
static atomic_int signing;                      /* threads in sign */
static atomic_bool opening;                     /* a thread in open */
static _Atomic(kw_plugin_instance *) generator; /* the instance that made the last key */
static atomic_uint strangers;                   /* other instances that have opened a key since */
static atomic_bool tripped;                     /* a break that shows only once has shown */

/* Breaks nothing, but makes no keys and takes none: a store of keys that others put there. */
#define NO_NEW_KEYS "no-new-keys"

static bool breaks(const char *id)
{
    const char *chosen = getenv("KEYWRIGHT_BREAK");
    return chosen != NULL && strcmp(chosen, id) == 0;
}

/* `status`, unless `id` is broken and it is `from`: then `to`. */
static kw_status twist(const char *id, kw_status status, kw_status from, kw_status to)
{
    return status == from && breaks(id) ? to : status;
}

/* A failure that softstore knows nothing of, with its sentence. */
static kw_status fail(const kw_host *host, kw_status status)
{
    if (host->report != NULL)
        host->report(host->context, "this module is broken on purpose");
    return status;
}

static bool once(const char *id)
{
    return breaks(id) && !atomic_exchange(&tripped, true);
}

static void pause_briefly(void)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    nanosleep(&moment, NULL);
}

/* ---- Instances -------------------------------------------------------------------------------------------------------- */

static void say_nothing(kw_host_context *context, const char *sentence)
{
    (void)context;
    (void)sentence;
}

static kw_status broken_open(const kw_call *call, const kw_host *host, const kw_option_value *options, size_t count,
                             kw_plugin_instance **instance, kw_capabilities *capabilities)
{
    kw_capabilities all = {.size = sizeof(all)};
    if (breaks("open.ok"))
        return fail(host, KW_FAILED);
    if (breaks("abi.slots") && host->report == NULL)
        return KW_FAILED;
    kw_plugin_instance *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    made->outer = host;
    memcpy(&made->host, host, host->size < sizeof(made->host) ? host->size : sizeof(made->host));
    made->opened_at = atomic_load(&changes);
    made->process = getpid();
    made->noise = 88172645463325252u;
    if (breaks("rule-5.report"))
        made->host.report = NULL;
    if (breaks("open.wrong-secret"))
        made->host.secret_refused = say_nothing;
    if (breaks("rule-8.silent"))
        fprintf(stderr, "opening\n");
    atomic_store(&opening, true);
    kw_status status = softstore.open(call, &made->host, options, count, &made->inner,
                                      breaks("abi.short-structs") ? &all : capabilities);
    atomic_store(&opening, false);
    status = twist("open.no-secret", status, KW_CONFIGURATION, KW_FAILED);
    status = twist("damage.store", status, KW_CORRUPT, KW_FAILED);
    if (status != KW_OK) {
        free(made);
        return status;
    }
    if (breaks("abi.short-structs")) { /* as if every host knew all of it */
        all.size = capabilities->size;
        memcpy(capabilities, &all, sizeof(all));
    }
    if (KW_HAS(capabilities, operations))
        capabilities->operations = (capabilities->operations | KW_CAN_STORE_CERTIFICATES) &
                                   ~(breaks(NO_NEW_KEYS) ? (uint32_t)(KW_CAN_GENERATE | KW_CAN_IMPORT) : 0);
    if (breaks("open.capabilities") && KW_HAS(capabilities, oaep_hashes))
        capabilities->oaep_hashes = 0;
    *instance = made;
    return KW_OK;
}

static void broken_close(kw_plugin_instance *instance)
{
    softstore.close(instance->inner);
    free(instance);
}

static kw_status broken_health(kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *host = instance->outer;
    if (once("health.ok"))
        return fail(host, KW_UNAVAILABLE);
    if (breaks("rule-8.no-lock") && atomic_load(&opening))
        return fail(host, KW_UNAVAILABLE);
    if (breaks("rule-2.secrets-freed") && host->secret_allocate(host->context, 1) == NULL)
        return fail(host, KW_OUT_OF_MEMORY);
    if (breaks("rule-6.recovery") && atomic_exchange(&tripped, false))
        return fail(host, KW_FAILED);
    kw_status status = softstore.health(instance->inner, call);
    if (status == KW_UNAVAILABLE)
        atomic_store(&tripped, true);
    return twist("rule-4.deadline", status, KW_TIMEOUT, KW_FAILED);
}

static kw_status broken_random(kw_plugin_instance *instance, const kw_call *call, kw_output *output)
{
    kw_status status = softstore.random(instance->inner, call, output);
    if (breaks("random.fills"))
        output->length = 0;
    for (size_t i = 0; i < output->capacity && breaks("rule-7.fork-random"); i++) { /* xorshift, inherited */
        instance->noise ^= instance->noise << 13;
        instance->noise ^= instance->noise >> 7;
        instance->noise ^= instance->noise << 17;
        output->data[i] = (unsigned char)instance->noise;
    }
    return status;
}

static kw_status broken_set_secret(kw_plugin_instance *instance, const kw_call *call, const char *option,
                                   kw_input secret)
{
    if (breaks("set-secret.all-or-nothing") && secret.length == 0)
        return KW_OK;
    if (breaks("set-secret.changes") && secret.length != 0 && strcmp(option, "passphrase") == 0)
        return KW_OK;
    kw_status status = softstore.set_secret(instance->inner, call, option, secret);
    if (status == KW_OK)
        atomic_fetch_add(&changes, 1);
    return status;
}

static void broken_fork_prepare(kw_plugin_instance *instance)
{
    softstore.fork_prepare(instance->inner);
}

static void broken_fork_parent(kw_plugin_instance *instance)
{
    softstore.fork_parent(instance->inner);
}

static void broken_fork_child(kw_plugin_instance *instance)
{
    softstore.fork_child(instance->inner);
}

/* ---- Keys ------------------------------------------------------------------------------------------------------------------ */

static void leave_record(const kw_host *host, const kw_key_template *wanted)
{
    kw_status status = host->record_put(host->context, (kw_input){wanted->id, sizeof(wanted->id)}, (kw_input){NULL, 0});
    if (status != KW_OK)
        fprintf(stderr, "broken: the record could not be left\n");
}

static kw_status broken_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *sent,
                                 kw_output *locator)
{
    unsigned char room[KW_LOCATOR_MAXIMUM];
    kw_output roomy = {.data = room, .capacity = sizeof(room)};
    kw_key_template wanted = {.size = sizeof(wanted)};
    memcpy(&wanted, sent, sent->size < sizeof(wanted) ? sent->size : sizeof(wanted));
    if (breaks("generate.each") && wanted.type == KW_KEY_EC && wanted.curve == KW_CURVE_P384)
        return fail(instance->outer, KW_FAILED);
    if (breaks("export.refused"))
        wanted.exportable = 1;
    if (breaks("generate.locator") && locator->capacity < KW_LOCATOR_MAXIMUM)
        return softstore.key_generate(instance->inner, call, &wanted, &roomy);
    kw_status status = softstore.key_generate(instance->inner, call, &wanted, locator);
    atomic_store(&generator, instance);
    atomic_store(&strangers, 0);
    if (status == KW_UNAVAILABLE && breaks("rule-5.nothing-left"))
        leave_record(instance->outer, &wanted);
    if (sent->size == sizeof(wanted))
        status = twist("generate.unsupported", status, KW_UNSUPPORTED, KW_INVALID_ARGUMENT);
    return twist("generate.exists", status, KW_EXISTS, KW_CONFLICT);
}

static kw_status broken_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                               kw_input pkcs8, kw_output *locator)
{
    const size_t p256_length = 138; /* of PKCS#8 with the public key */
    bool other = pkcs8.length == p256_length && wanted->curve != KW_CURVE_P256;
    if (breaks("import.each") && wanted->type == KW_KEY_ED25519 && pkcs8.length == 48 && pkcs8.data[0] == 0x30)
        return fail(instance->outer, KW_FAILED);
    kw_status status = softstore.key_import(instance->inner, call, wanted, pkcs8, locator);
    return twist(other ? "import.mismatch" : "import.malformed", status, KW_INVALID_ARGUMENT, KW_FAILED);
}

static kw_status broken_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8)
{
    kw_status status = softstore.key_export(key->inner, call, pkcs8);
    if (status == KW_OK && breaks("rule-1.pkcs8"))
        pkcs8->data[0] ^= 1;
    if (status == KW_OK && breaks("export.same") && key->type == KW_KEY_ED25519)
        pkcs8->data[pkcs8->length - 1] ^= 1; /* the private key's last byte: another key */
    return status;
}

static kw_status broken_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    return twist("delete.unknown", softstore.key_delete(instance->inner, call, locator), KW_NOT_FOUND, KW_OK);
}

static kw_status broken_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator)
{
    bool first = *cursor == 0;
    kw_status status = softstore.key_list(instance->inner, call, cursor, locator);
    if (status == KW_OK && !first && breaks("list.complete")) /* every other key is passed over */
        status = softstore.key_list(instance->inner, call, cursor, locator);
    return status;
}

static kw_status broken_find(kw_plugin_instance *instance, const kw_call *call,
                             const unsigned char id[KW_KEY_ID_LENGTH], kw_output *locator)
{
    unsigned char other[KW_KEY_ID_LENGTH];
    kw_status status = softstore.key_find(instance->inner, call, id, locator);
    if (status == KW_NOT_FOUND && breaks("rule-5.no-secret") && instance->outer->report != NULL)
        instance->outer->report(instance->outer->context, "one line\nand another");
    if (status == KW_NOT_FOUND && breaks("find.id")) {
        memcpy(other, id, sizeof(other));
        other[KW_KEY_ID_LENGTH - 1] ^= 1;
        status = softstore.key_find(instance->inner, call, other, locator);
    }
    return status;
}

static kw_status broken_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_plugin_key **key, kw_key_capabilities *capabilities)
{
    if (breaks("set-secret.others") && atomic_load(&changes) == instance->opened_at + 1)
        return fail(instance->outer, KW_SECRET_REFUSED);
    if (atomic_load(&generator) != instance) {
        const unsigned before = atomic_fetch_add(&strangers, 1);
        if ((before == 0 && once("open.twice")) || (before == 1 && once("open.again")))
            return fail(instance->outer, KW_NOT_FOUND);
    }
    kw_plugin_key *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    made->instance = instance;
    kw_status status = softstore.key_open(instance->inner, call, locator, &made->inner, capabilities);
    status = twist("rule-5.host-fails", status, KW_UNAVAILABLE, KW_FAILED);
    status = twist("rule-5.memory-ends", status, KW_OUT_OF_MEMORY, KW_FAILED);
    status = twist("delete.gone", status, KW_NOT_FOUND, KW_CORRUPT);
    status = twist("key.open-malformed", status, KW_INVALID_ARGUMENT, KW_FAILED);
    status = twist("damage.key", status, KW_CORRUPT, KW_NOT_FOUND);
    if (status != KW_OK) {
        free(made);
        return status;
    }
    made->type = capabilities->type;
    if (breaks("key.capabilities"))
        capabilities->curve = KW_CURVE_NONE;
    if (breaks("export.refused"))
        capabilities->operations &= ~(uint32_t)KW_CAN_EXPORT;
    *key = made;
    return KW_OK;
}

static void broken_key_close(kw_plugin_key *key)
{
    softstore.key_close(key->inner);
    free(key);
}

static kw_status broken_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    const kw_host *host = key->instance->outer;
    kw_output size = {.data = NULL};
    kw_status status = softstore.key_public(key->inner, call, spki);
    if (spki->data == NULL && breaks("rule-2.size"))
        return fail(host, KW_INVALID_ARGUMENT);
    if (spki->data == NULL && breaks("rule-2.no-backend") &&
        host->record_get(host->context, (kw_input){(const unsigned char *)"kek", 3}, &size) == KW_OK)
        return KW_FAILED;
    if (status == KW_OK && spki->data != NULL && breaks("rule-1.spki"))
        spki->data[0] ^= 1;
    return status;
}

/* ---- Use -------------------------------------------------------------------------------------------------------------------- */

/* Two INTEGERs of up to 32 bytes behind one another instead of ECDSA-Sig-Value. */
static void take_apart(kw_output *signature)
{
    unsigned char plain[64] = {0};
    const unsigned char *at = signature->data + 2;
    for (size_t i = 0; i < 2; i++) {
        size_t length = at[1], skip = length > 32 ? length - 32 : 0;
        memcpy(plain + 32 * (i + 1) - (length - skip), at + 2 + skip, length - skip);
        at += 2 + length;
    }
    memcpy(signature->data, plain, sizeof(plain));
    signature->length = sizeof(plain);
}

static const char *scheme_id(const kw_algorithm *algorithm)
{
    static const char *const ids[] = {[KW_SCHEME_RSA_PKCS1] = "sign.pkcs1",
                                      [KW_SCHEME_RSA_PSS] = "sign.pss",
                                      [KW_SCHEME_RSA_RAW] = "sign.raw",
                                      [KW_SCHEME_ECDSA] = "sign.ecdsa",
                                      [KW_SCHEME_EDDSA] = "sign.eddsa"};
    if (algorithm->size != sizeof(*algorithm) || (unsigned)algorithm->scheme >= sizeof(ids) / sizeof(ids[0]) ||
        ids[algorithm->scheme] == NULL)
        return "";
    return algorithm->is_message != 0 && algorithm->scheme != KW_SCHEME_EDDSA ? "sign.message" : ids[algorithm->scheme];
}

static kw_status broken_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input input,
                             kw_output *signature)
{
    const kw_host *host = key->instance->outer;
    bool child = getpid() != key->instance->process;
    if (breaks("rule-7.fork") && child)
        return fail(host, KW_FAILED);
    int inside = atomic_fetch_add(&signing, 1);
    if (breaks("rule-7.fork-threads") && child && inside > 0) {
        atomic_fetch_sub(&signing, 1);
        return fail(host, KW_FAILED);
    }
    if (breaks("rule-3.threads") || breaks("rule-7.fork-threads"))
        pause_briefly();
    kw_status status = softstore.sign(key->inner, call, algorithm, input, signature);
    atomic_fetch_sub(&signing, 1);
    if (breaks("rule-3.threads") && inside >= 5)
        return fail(host, KW_FAILED);
    if (status == KW_BUFFER_TOO_SMALL && signature->data != NULL && breaks("rule-2.no-overflow"))
        signature->data[signature->capacity] = 0;
    if (status == KW_OK && breaks("rule-1.signature") && key->type == KW_KEY_EC && signature->length < 73 &&
        algorithm->is_message == 0)
        take_apart(signature);
    if (status == KW_OK && breaks(scheme_id(algorithm)))
        signature->data[signature->length - 1] ^= 1;
    if (algorithm->size == sizeof(*algorithm))
        status = twist("sign.unsupported", status, KW_UNSUPPORTED, KW_INVALID_ARGUMENT);
    if (algorithm->scheme == KW_SCHEME_ECDSA)
        status = twist("sign.digest-length", status, KW_INVALID_ARGUMENT, KW_FAILED);
    return status;
}

static kw_status broken_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm,
                                kw_input ciphertext, kw_output *plaintext)
{
    kw_algorithm known = *algorithm;
    if (breaks("decrypt.label"))
        known.label = (kw_input){NULL, 0};
    kw_status status = softstore.decrypt(key->inner, call, &known, ciphertext, plaintext);
    bool oaep = algorithm->scheme == KW_SCHEME_RSA_OAEP;
    if (status == KW_OK && oaep && plaintext->length == 0 && breaks("decrypt.oaep"))
        return fail(key->instance->outer, KW_FAILED);
    if (status == KW_OK && !oaep && breaks("decrypt.raw"))
        plaintext->data[0] ^= 1;
    if (ciphertext.length != plaintext->capacity && plaintext->data != NULL && ciphertext.length == 0)
        status = twist("decrypt.invalid", status, KW_CIPHERTEXT_INVALID, KW_INVALID_ARGUMENT);
    if (algorithm->scheme == KW_SCHEME_RSA_PKCS1)
        status = twist("decrypt.not-pkcs1", status, KW_UNSUPPORTED, KW_CIPHERTEXT_INVALID);
    return status;
}

static kw_status broken_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input peer,
                               kw_output *shared)
{
    kw_status status = softstore.derive(key->inner, call, algorithm, peer, shared);
    if (status == KW_OK && breaks("derive.agrees"))
        shared->data[0] ^= 1;
    return twist("derive.invalid", status, KW_INVALID_ARGUMENT, KW_FAILED);
}

/* ---- Certificates ------------------------------------------------------------------------------------------------------------ */

/* Of one key: the kit asks for no more. */
static struct {
    unsigned char data[4096];
    size_t length;
} kept;

static kw_status broken_certificate_put(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                        kw_input certificate)
{
    (void)call;
    (void)locator;
    if (certificate.length > sizeof(kept.data))
        return fail(instance->outer, KW_UNSUPPORTED);
    if (kept.length != 0 && breaks("certificate.kept")) /* the first stays */
        return KW_OK;
    memcpy(kept.data, certificate.data, certificate.length);
    kept.length = certificate.length;
    return KW_OK;
}

static kw_status broken_certificate_get(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                        kw_output *certificate)
{
    (void)call;
    (void)locator;
    if (kept.length == 0)
        return fail(instance->outer, KW_NOT_FOUND);
    certificate->length = kept.length;
    if (certificate->data == NULL || certificate->capacity < kept.length)
        return KW_BUFFER_TOO_SMALL;
    memcpy(certificate->data, kept.data, kept.length);
    return KW_OK;
}

static kw_status broken_certificate_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    (void)call;
    (void)locator;
    if (kept.length == 0)
        return fail(instance->outer, KW_NOT_FOUND);
    kept.length = 0;
    return KW_OK;
}

/* ---- Description ------------------------------------------------------------------------------------------------------------- */

static kw_plugin_operations operations = {
    .size = sizeof(kw_plugin_operations),
    .open = broken_open,
    .close = broken_close,
    .health = broken_health,
    .random = broken_random,
    .set_secret = broken_set_secret,
    .fork_prepare = broken_fork_prepare,
    .fork_parent = broken_fork_parent,
    .fork_child = broken_fork_child,
    .key_generate = broken_generate,
    .key_import = broken_import,
    .key_export = broken_export,
    .key_delete = broken_delete,
    .key_list = broken_list,
    .key_find = broken_find,
    .key_open = broken_key_open,
    .key_close = broken_key_close,
    .key_public = broken_public,
    .sign = broken_sign,
    .decrypt = broken_decrypt,
    .derive = broken_derive,
    .certificate_put = broken_certificate_put,
    .certificate_get = broken_certificate_get,
    .certificate_delete = broken_certificate_delete,
};

static kw_plugin description;
static kw_option option_rows[8];

static void prepare(void)
{
    const kw_plugin *(*query)(void) = NULL;
    void *module = dlopen(BROKEN_SOFTSTORE, RTLD_NOW | RTLD_LOCAL);
    void *symbol = module != NULL ? dlsym(module, "kw_plugin_query") : NULL;
    if (symbol == NULL) {
        fprintf(stderr, "broken: %s\n", dlerror());
        abort();
    }
    memcpy(&query, &symbol, sizeof(query));
    description = *query();
    softstore = *description.operations;
    if (breaks("abi.description"))
        description.version = "";
    for (size_t i = 0; i < description.option_count; i++)
        option_rows[i] = description.options[i];
    if (breaks("abi.options"))
        option_rows[1].fallback = "99";
    if (breaks("abi.mandatory"))
        operations.health = NULL;
    if (breaks(NO_NEW_KEYS)) {
        operations.key_generate = NULL;
        operations.key_import = NULL;
    }
    description.options = option_rows;
    description.operations = &operations;
}

const kw_plugin *kw_plugin_query(void)
{
    static pthread_once_t prepared = PTHREAD_ONCE_INIT;
    pthread_once(&prepared, prepare);
    return &description;
}
