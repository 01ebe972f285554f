/* The one place that calls a plugin's operations. */
#include "store/call.h"
#include "store/key.h"

#include "base/buffer.h"

#include <stdio.h>
#include <string.h>

const char *store_name(const struct store *store)
{
    return store->settings->name;
}

const char *store_id(const struct store *store)
{
    return store->settings->id;
}

const char *store_plugin(const struct store *store)
{
    return store->module->plugin.name;
}

const kw_capabilities *store_capabilities(const struct store *store)
{
    return &store->capabilities;
}

struct crypto *store_crypto(const struct store *store)
{
    return store->crypto;
}

struct catalogue *store_catalogue(const struct store *store)
{
    return store->catalogue;
}

static kw_status unsupported(const struct store *store, kw_error *error, const char *what)
{
    const kw_status status = error_set(error, KW_UNSUPPORTED, "the store cannot %s", what);
    error_where(error, "store %s", store_name(store));
    return status;
}

static bool can(const struct store *store, uint32_t operation)
{
    return (store->capabilities.operations & operation) != 0;
}

/* ---- The instance ----------------------------------------------------------------------------------- */

static kw_status store_open_once(struct store *store, kw_plugin_instance **instance, kw_capabilities *capabilities,
                                 kw_error *error)
{
    const struct call call = call_begin(store, STORE_OPEN);
    const kw_status status =
        call_end(&call,
                 store->module->operations.open(&call.context, host_table(store->host), store->options.rows,
                                                store->options.count, instance, capabilities),
                 error);

    if (status == KW_SECRET_REFUSED) {
        host_secrets_refused(store->host);
        host_explain_refusal(store->host, error);
    }
    if (status != KW_OK)
        host_place_option(store->host, error);
    if (status == KW_BUFFER_TOO_SMALL)
        return call_broken(&call, error, "has no buffer that could be too small");
    if (status == KW_OK && *instance == NULL)
        return call_broken(&call, error, "answered success and gave no instance");
    return status;
}

/* A second time where a secret that is a subkey was refused, and another may be the right one. */
static kw_status store_open_instance(struct store *store, kw_plugin_instance **instance, kw_capabilities *capabilities,
                                     kw_error *error)
{
    kw_error inner = {0};
    kw_status status = store_open_once(store, instance, capabilities, &inner);

    if (status == KW_SECRET_REFUSED && host_secrets_opened(store->host, false)) {
        inner = (kw_error){0};
        status = store_open_once(store, instance, capabilities, &inner);
        if (status == KW_SECRET_REFUSED)
            (void)host_secrets_opened(store->host, false);
    }
    if (status == KW_OK)
        (void)host_secrets_opened(store->host, true);
    else if (error != NULL)
        *error = inner;
    return status;
}

void store_take_counters(struct store *store)
{
    struct control_count *const counters =
        store->control == NULL ? NULL : control_counts(store->control, store_id(store));

    store->counters = counters == NULL ? store->own_counters : counters;
}

/* It goes into files and sentences: what is no text there is none. */
static void check_token(kw_capabilities *capabilities)
{
    char *const token = capabilities->token;
    const char *const end = memchr(token, '\0', sizeof(capabilities->token));

    if (end == NULL || !text_is_clean(token, (size_t)(end - token)))
        token[0] = '\0';
}

kw_status store_open(struct store *store, kw_error *error)
{
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities = {.size = sizeof(capabilities)};
    kw_status status = catalogue_store_register(store->catalogue, store_id(store), store_plugin(store), error);

    store_take_counters(store);
    if (status == KW_OK)
        status = store_open_instance(store, &instance, &capabilities, error);
    if (status != KW_OK)
        return status;
    store->instance = instance;
    store->capabilities = capabilities;
    check_token(&store->capabilities);
    return KW_OK;
}

void store_close(struct store *store)
{
    if (store->instance == NULL)
        return;
    const struct call call = call_begin(store, STORE_CLOSE);
    store->module->operations.close(store->instance);
    if (call_end(&call, KW_OK, NULL) == KW_OK) /* it cannot fail, and is counted */
        store->instance = NULL;
}

void store_fork_prepare(struct store *store)
{
    if (store->module->operations.fork_prepare != NULL)
        store->module->operations.fork_prepare(store->instance);
}

void store_fork_parent(struct store *store)
{
    if (store->module->operations.fork_parent != NULL)
        store->module->operations.fork_parent(store->instance);
}

void store_fork_child(struct store *store)
{
    if (store->module->operations.fork_child != NULL)
        store->module->operations.fork_child(store->instance);
}

kw_status store_health(struct store *store, kw_error *error)
{
    const struct call call = call_begin(store, STORE_HEALTH);

    return call_end(&call, store->module->operations.health(store->instance, &call.context), error);
}

kw_status store_random(struct store *store, kw_output *output, kw_error *error)
{
    struct call call;
    kw_output given = output_copy_of(output);
    kw_status status;

    if (store->module->operations.random == NULL || !can(store, KW_CAN_RANDOM))
        return unsupported(store, error, "give random bytes");
    call = call_begin(store, STORE_RANDOM);
    status = call_end_output(&call, store->module->operations.random(store->instance, &call.context, &given), &given,
                             output, error);
    if (status == KW_OK && output->length != output->capacity)
        return call_broken(&call, error, "did not fill the buffer");
    return status;
}

kw_status store_set_secret(struct store *store, const char *option, kw_input secret, kw_error *error)
{
    struct call call;
    kw_status status;

    if (store->module->operations.set_secret == NULL || !can(store, KW_CAN_SET_SECRET))
        return unsupported(store, error, "change its secret");
    call = call_begin(store, STORE_SET_SECRET);
    status =
        call_end(&call, store->module->operations.set_secret(store->instance, &call.context, option, secret), error);
    if (status == KW_OK)
        host_secret_changed(store->host, option);
    return status;
}

/* ---- Keys of the instance --------------------------------------------------------------------------- */

static bool holds(const struct store *store, kw_key_type type, uint32_t bits, kw_curve curve)
{
    const kw_capabilities *const has = &store->capabilities;

    return (has->key_types & KW_BIT(type)) != 0 && (type != KW_KEY_EC || (has->curves & KW_BIT(curve)) != 0) &&
           (type != KW_KEY_RSA || (bits >= has->rsa_bits_minimum && bits <= has->rsa_bits_maximum));
}

/* "rsa-2048, rsa-3072, ec-p256": what --key takes and the store holds. */
static void tell_what_it_holds(const struct store *store, kw_error *error)
{
    char text[128] = "";
    size_t length = 0;

    for (const struct key_kind *kind = key_kinds; kind->name != NULL; kind++)
        if (!kind->pss && holds(store, kind->type, kind->bits, kind->curve) &&
            length + strlen(kind->name) + 3 < sizeof(text))
            length +=
                (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", length > 0 ? ", " : "", kind->name);
    if (length > 0)
        error_remedy(error, "choose one that it holds, by --key: %s", text);
}

/* Whether the store can hold such a key at all. */
static kw_status template_check(const struct store *store, const kw_key_template *wanted, kw_error *error)
{
    const kw_capabilities *const has = &store->capabilities;
    kw_status status;

    if (holds(store, wanted->type, wanted->bits, wanted->curve))
        return KW_OK;
    if ((has->key_types & KW_BIT(wanted->type)) == 0)
        status = unsupported(store, error, "hold keys of this type");
    else if (wanted->type == KW_KEY_EC)
        status = unsupported(store, error, "hold keys on this curve");
    else {
        status = error_set(error, KW_UNSUPPORTED, "the store cannot hold RSA keys of %u bits; it takes from %u to %u",
                           (unsigned)wanted->bits, (unsigned)has->rsa_bits_minimum, (unsigned)has->rsa_bits_maximum);
        error_where(error, "store %s", store_name(store));
    }
    tell_what_it_holds(store, error);
    return status;
}

kw_status store_check_generate(const struct store *store, const kw_key_template *wanted, kw_error *error)
{
    if (store->module->operations.key_generate == NULL || !can(store, KW_CAN_GENERATE))
        return unsupported(store, error, "make keys");
    return template_check(store, wanted, error);
}

kw_status store_key_generate(struct store *store, const kw_key_template *wanted, kw_output *locator, kw_error *error)
{
    struct call call;
    kw_output given = output_copy_of(locator);
    kw_status status;

    status = store_check_generate(store, wanted, error);
    if (status == KW_OK)
        status = host_secrets_serve(store->host, error);
    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_KEY_GENERATE);
    return call_end_locator(&call,
                            store->module->operations.key_generate(store->instance, &call.context, wanted, &given),
                            &given, locator, error);
}

kw_status store_check_import(const struct store *store, const kw_key_template *wanted, kw_error *error)
{
    if (store->module->operations.key_import == NULL || !can(store, KW_CAN_IMPORT))
        return unsupported(store, error, "import keys");
    return template_check(store, wanted, error);
}

kw_status store_key_import(struct store *store, const kw_key_template *wanted, kw_input pkcs8, kw_output *locator,
                           kw_error *error)
{
    struct call call;
    kw_output given = output_copy_of(locator);
    kw_status status;

    status = store_check_import(store, wanted, error);
    if (status == KW_OK)
        status = host_secrets_serve(store->host, error);
    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_KEY_IMPORT);
    return call_end_locator(&call,
                            store->module->operations.key_import(store->instance, &call.context, wanted, pkcs8, &given),
                            &given, locator, error);
}

kw_status store_key_delete(struct store *store, kw_input locator, kw_error *error)
{
    struct call call;

    if (store->module->operations.key_delete == NULL || !can(store, KW_CAN_DELETE))
        return unsupported(store, error, "delete keys");
    call = call_begin(store, STORE_KEY_DELETE);
    return call_end(&call, store->module->operations.key_delete(store->instance, &call.context, locator), error);
}

kw_status store_key_list(struct store *store, uint64_t *cursor, kw_output *locator, kw_error *error)
{
    struct call call;
    kw_output given = output_copy_of(locator);

    if (store->module->operations.key_list == NULL || !can(store, KW_CAN_LIST))
        return unsupported(store, error, "list its keys");
    call = call_begin(store, STORE_KEY_LIST);
    return call_end_locator(&call, store->module->operations.key_list(store->instance, &call.context, cursor, &given),
                            &given, locator, error);
}

kw_status store_key_find(struct store *store, const struct id *id, kw_output *locator, kw_error *error)
{
    const struct call call = call_begin(store, STORE_KEY_FIND);
    kw_output given = output_copy_of(locator);

    return call_end_locator(&call,
                            store->module->operations.key_find(store->instance, &call.context, id->bytes, &given),
                            &given, locator, error);
}

kw_status store_certificate_put(struct store *store, kw_input locator, kw_input certificate, kw_error *error)
{
    struct call call;

    if (store->module->operations.certificate_put == NULL || !can(store, KW_CAN_STORE_CERTIFICATES))
        return unsupported(store, error, "keep certificates");
    call = call_begin(store, STORE_CERTIFICATE_PUT);
    return call_end(
        &call, store->module->operations.certificate_put(store->instance, &call.context, locator, certificate), error);
}

kw_status store_certificate_get(struct store *store, kw_input locator, kw_output *certificate, kw_error *error)
{
    struct call call;
    kw_output given = output_copy_of(certificate);

    if (store->module->operations.certificate_get == NULL || !can(store, KW_CAN_STORE_CERTIFICATES))
        return unsupported(store, error, "keep certificates");
    call = call_begin(store, STORE_CERTIFICATE_GET);
    return call_end_output(&call,
                           store->module->operations.certificate_get(store->instance, &call.context, locator, &given),
                           &given, certificate, error);
}

kw_status store_certificate_delete(struct store *store, kw_input locator, kw_error *error)
{
    struct call call;

    if (store->module->operations.certificate_delete == NULL || !can(store, KW_CAN_STORE_CERTIFICATES))
        return unsupported(store, error, "keep certificates");
    call = call_begin(store, STORE_CERTIFICATE_DELETE);
    return call_end(&call, store->module->operations.certificate_delete(store->instance, &call.context, locator),
                    error);
}

/* ---- Handles on keys -------------------------------------------------------------------------------- */

kw_status store_key_open(struct store *store, kw_input locator, kw_plugin_key **key, kw_key_capabilities *capabilities,
                         kw_error *error)
{
    kw_plugin_key *made = NULL;
    kw_key_capabilities filled = {.size = sizeof(filled)};
    struct call call;
    kw_status status = host_secrets_serve(store->host, error);

    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_KEY_OPEN);
    status = call_end(
        &call, store->module->operations.key_open(store->instance, &call.context, locator, &made, &filled), error);

    if (status == KW_BUFFER_TOO_SMALL)
        return call_broken(&call, error, "has no buffer that could be too small");
    if (status != KW_OK)
        return status;
    if (made == NULL)
        return call_broken(&call, error, "answered success and gave no key");
    filled.size = sizeof(filled);
    filled.label[KW_KEY_LABEL_MAXIMUM] = '\0';
    *key = made;
    *capabilities = filled;
    return KW_OK;
}

void store_key_close(struct store *store, kw_plugin_key *key)
{
    host_call_begin(store->host);
    store->module->operations.key_close(key);
}

kw_status store_key_public(struct store *store, kw_plugin_key *key, kw_output *spki, kw_error *error)
{
    const struct call call = call_begin(store, STORE_KEY_PUBLIC);
    kw_output given = output_copy_of(spki);

    return call_end_output(&call, store->module->operations.key_public(key, &call.context, &given), &given, spki,
                           error);
}

kw_status store_key_export(struct store *store, kw_plugin_key *key, kw_output *pkcs8, kw_error *error)
{
    struct call call;
    kw_status status;
    kw_output given = output_copy_of(pkcs8);

    if (store->module->operations.key_export == NULL || !can(store, KW_CAN_EXPORT))
        return unsupported(store, error, "give keys out");
    status = host_secrets_serve(store->host, error);
    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_KEY_EXPORT);
    return call_end_output(&call, store->module->operations.key_export(key, &call.context, &given), &given, pkcs8,
                           error);
}

kw_status store_key_attest(struct store *store, kw_plugin_key *key, kw_input challenge, kw_output *statement,
                           kw_error *error)
{
    struct call call;
    kw_output given = output_copy_of(statement);

    if (store->module->operations.key_attest == NULL || !can(store, KW_CAN_ATTEST))
        return unsupported(store, error, "attest keys");
    call = call_begin(store, STORE_KEY_ATTEST);
    return call_end_output(&call, store->module->operations.key_attest(key, &call.context, challenge, &given), &given,
                           statement, error);
}

kw_status store_sign(struct store *store, kw_plugin_key *key, const kw_algorithm *algorithm, kw_input input,
                     kw_output *signature, kw_error *error)
{
    struct call call;
    kw_status status;
    kw_output given = output_copy_of(signature);

    if (!can(store, KW_CAN_SIGN))
        return unsupported(store, error, "sign");
    status = host_secrets_serve(store->host, error);
    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_SIGN);
    return call_end_output(&call, store->module->operations.sign(key, &call.context, algorithm, input, &given), &given,
                           signature, error);
}

kw_status store_decrypt(struct store *store, kw_plugin_key *key, const kw_algorithm *algorithm, kw_input ciphertext,
                        kw_output *plaintext, kw_error *error)
{
    struct call call;
    kw_status status;
    kw_output given = output_copy_of(plaintext);

    if (store->module->operations.decrypt == NULL || !can(store, KW_CAN_DECRYPT))
        return unsupported(store, error, "decrypt");
    status = host_secrets_serve(store->host, error);
    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_DECRYPT);
    return call_end_output(&call, store->module->operations.decrypt(key, &call.context, algorithm, ciphertext, &given),
                           &given, plaintext, error);
}

kw_status store_derive(struct store *store, kw_plugin_key *key, const kw_algorithm *algorithm, kw_input peer,
                       kw_output *shared, kw_error *error)
{
    struct call call;
    kw_status status;
    kw_output given = output_copy_of(shared);

    if (store->module->operations.derive == NULL || !can(store, KW_CAN_DERIVE))
        return unsupported(store, error, "derive secrets");
    status = host_secrets_serve(store->host, error);
    if (status != KW_OK)
        return status;
    call = call_begin(store, STORE_DERIVE);
    return call_end_output(&call, store->module->operations.derive(key, &call.context, algorithm, peer, &given), &given,
                           shared, error);
}
