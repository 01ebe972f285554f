/* The operations on keys that are not their use: generate, import, export, delete, find, open, public. */
#include "softstore.h"

#include <stdlib.h>
#include <string.h>

#define USES ((uint32_t)(KW_CAN_SIGN | KW_CAN_DECRYPT | KW_CAN_DERIVE))

static kw_status put_locator(const struct softstore_name *name, kw_output *locator)
{
    if (!softstore_fits(locator, SOFTSTORE_NAME_LENGTH))
        return KW_BUFFER_TOO_SMALL;
    memcpy(locator->data, name->text, SOFTSTORE_NAME_LENGTH);
    return KW_OK;
}

static kw_status get_locator(const kw_host *host, kw_input locator, struct softstore_name *name)
{
    if (!softstore_name_read(locator, name))
        return softstore_report(host, KW_INVALID_ARGUMENT,
                                "the locator is not one of softstore's, which are key/ and 32 hex digits");
    return KW_OK;
}

/* ---- Generate, import ---------------------------------------------------------------------------------------------- */

/* What generate and import check before they do anything. */
static kw_status begin(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *sent,
                       kw_key_template *wanted, struct softstore_kind *kind, kw_output *locator)
{
    if (locator->data == NULL || locator->capacity < KW_LOCATOR_MAXIMUM) {
        locator->length = KW_LOCATOR_MAXIMUM;
        return KW_BUFFER_TOO_SMALL;
    }
    softstore_take(wanted, sizeof(*wanted), sent);
    *kind = (struct softstore_kind){.type = wanted->type, .curve = wanted->curve, .bits = wanted->bits};
    if (softstore_kind_check(kind) != KW_OK)
        return softstore_report(&instance->host, KW_UNSUPPORTED,
                                "softstore keeps RSA keys of %u to %u bits, EC keys on P-256, P-384 and P-521, Ed25519 "
                                "and X25519 keys, and not this type or size",
                                SOFTSTORE_RSA_MINIMUM, SOFTSTORE_RSA_MAXIMUM);
    uint32_t able = softstore_abilities[wanted->type].operations;
    if ((wanted->operations & USES) != 0 && (wanted->operations & able) == 0)
        return softstore_report(&instance->host, KW_UNSUPPORTED,
                                "a key of this type can do nothing of what it shall be used for");
    return softstore_deadline(&instance->host, call);
}

/* Stores `pkey` under the id of `wanted`. */
static kw_status keep(kw_plugin_instance *instance, const kw_key_template *wanted, EVP_PKEY *pkey, kw_output *locator)
{
    const kw_host *host = &instance->host;
    struct softstore_name name;
    uint32_t able = softstore_abilities[wanted->type].operations;
    uint32_t uses = wanted->operations & USES;
    struct softstore_record record = {.operations = uses == 0 ? able : uses & able};
    unsigned char *spki_data = NULL;
    kw_output spki = {.data = NULL}, pkcs8 = {.data = NULL};
    kw_status status = softstore_pkey_public(pkey, &spki);
    if (status == KW_BUFFER_TOO_SMALL)
        status = softstore_pkey_private(pkey, &pkcs8);
    if (status != KW_BUFFER_TOO_SMALL) {
        status = softstore_report(host, KW_FAILED, "libcrypto failed to encode the key");
        goto out;
    }
    spki_data = malloc(spki.length);
    record.pkcs8 = host->secret_allocate(host->context, pkcs8.length);
    record.pkcs8_length = pkcs8.length;
    if (spki_data == NULL || record.pkcs8 == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    spki = (kw_output){.data = spki_data, .capacity = spki.length};
    pkcs8 = (kw_output){.data = record.pkcs8, .capacity = record.pkcs8_length};
    if (softstore_pkey_public(pkey, &spki) != KW_OK || softstore_pkey_private(pkey, &pkcs8) != KW_OK) {
        status = softstore_report(host, KW_FAILED, "libcrypto failed to encode the key");
        goto out;
    }
    record.spki = (kw_input){spki.data, spki.length};
    if (wanted->exportable != 0)
        record.operations |= KW_CAN_EXPORT;
    softstore_name_make(wanted->id, &name);
    status = softstore_record_create(instance, &name, &record);
    if (status == KW_OK)
        status = put_locator(&name, locator);
out:
    free(spki_data);
    softstore_record_clear(instance, &record);
    return status;
}

kw_status softstore_key_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                                 kw_output *locator)
{
    kw_key_template known;
    struct softstore_kind kind;
    EVP_PKEY *pkey = NULL;
    kw_status status = begin(instance, call, wanted, &known, &kind, locator);
    if (status == KW_OK)
        status = softstore_pkey_generate(instance, call, &kind, &pkey);
    if (status == KW_OK)
        status = keep(instance, &known, pkey, locator);
    softstore_pkey_free(pkey);
    return status;
}

kw_status softstore_key_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                               kw_input pkcs8, kw_output *locator)
{
    const kw_host *host = &instance->host;
    kw_key_template known;
    struct softstore_kind kind, found;
    EVP_PKEY *pkey = NULL;
    kw_status status = begin(instance, call, wanted, &known, &kind, locator);
    if (status != KW_OK)
        goto out;
    pkey = softstore_pkey_parse(instance->library, pkcs8);
    if (pkey == NULL || !softstore_pkey_describe(pkey, &found)) {
        status = softstore_report(host, KW_INVALID_ARGUMENT, "the key is no PKCS#8 that softstore can read");
        goto out;
    }
    if (found.type != kind.type || found.curve != kind.curve || (kind.type == KW_KEY_RSA && found.bits != kind.bits)) {
        status = softstore_report(host, KW_INVALID_ARGUMENT, "the key is not of the type and size that was said");
        goto out;
    }
    if (!softstore_pkey_sound(instance->library, pkey)) {
        status = softstore_report(host, KW_INVALID_ARGUMENT, "the parts of the key do not fit one another");
        goto out;
    }
    status = keep(instance, &known, pkey, locator);
out:
    softstore_pkey_free(pkey);
    return status;
}

/* ---- Export, delete, find --------------------------------------------------------------------------------------------- */

kw_status softstore_key_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8)
{
    const kw_host *host = &key->instance->host;
    (void)call;
    if ((key->operations & KW_CAN_EXPORT) == 0)
        return softstore_report(host, KW_REFUSED, "key %s was made not to be exported", key->name.text);
    if (!softstore_fits(pkcs8, key->pkcs8_length))
        return KW_BUFFER_TOO_SMALL;
    softstore_enter();
    EVP_PKEY *pkey = softstore_pool_pkey(key->pool);
    softstore_leave();
    kw_status status = pkey != NULL ? softstore_pkey_private(pkey, pkcs8) : KW_OUT_OF_MEMORY;
    softstore_pkey_free(pkey);
    if (status != KW_OK && status != KW_BUFFER_TOO_SMALL)
        softstore_report(host, status, "libcrypto failed to encode key %s", key->name.text);
    return status;
}

kw_status softstore_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    const kw_host *host = &instance->host;
    struct softstore_name name;
    kw_status status = get_locator(host, locator, &name);
    if (status == KW_OK)
        status = softstore_deadline(host, call);
    if (status != KW_OK)
        return status;
    status = host->record_delete(host->context, softstore_name_view(&name));
    if (status == KW_NOT_FOUND)
        return softstore_report(host, status, "there is no key %s", name.text);
    if (status != KW_OK)
        return softstore_report(host, status, "record %s cannot be deleted", name.text);
    return KW_OK;
}

kw_status softstore_key_find(kw_plugin_instance *instance, const kw_call *call,
                             const unsigned char id[KW_KEY_ID_LENGTH], kw_output *locator)
{
    const kw_host *host = &instance->host;
    struct softstore_name name;
    unsigned char found[KW_RECORD_NAME_MAXIMUM];
    kw_output output = {.data = found, .capacity = sizeof(found)};
    if (!softstore_fits(locator, SOFTSTORE_NAME_LENGTH))
        return KW_BUFFER_TOO_SMALL;
    kw_status status = softstore_deadline(host, call);
    if (status != KW_OK)
        return status;
    softstore_name_make(id, &name);
    /* The name alone is asked for, so that a damaged record is found too, and can be deleted. */
    status = host->record_next(host->context, softstore_name_view(&name), (kw_input){NULL, 0}, &output);
    if (status == KW_OK && output.length != SOFTSTORE_NAME_LENGTH)
        status = KW_NOT_FOUND;
    if (status == KW_NOT_FOUND)
        return softstore_report(host, status, "there is no key %s", name.text);
    if (status != KW_OK)
        return softstore_report(host, status, "the records cannot be listed");
    return put_locator(&name, locator);
}

/* ---- Handles -------------------------------------------------------------------------------------------------------------- */

/* The longest that the key's operations put out. */
static size_t output_size(EVP_PKEY *pkey)
{
    softstore_enter();
    int size = EVP_PKEY_get_size(pkey);
    softstore_leave();
    return size > 0 ? (size_t)size : 0;
}

static void give_capabilities(const kw_plugin_key *key, kw_key_capabilities *capabilities)
{
    const struct softstore_ability *ability = &softstore_abilities[key->kind.type];
    kw_key_capabilities can = {
        .type = key->kind.type,
        .bits = key->kind.bits,
        .curve = key->kind.curve,
        .operations = key->operations | KW_CAN_DELETE,
        .features = KW_FEATURE_SHARED,
        .schemes = ability->schemes,
    };
    if ((key->operations & KW_CAN_SIGN) == 0)
        can.schemes &= ~(KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_ECDSA) |
                         KW_BIT(KW_SCHEME_EDDSA));
    else
        can.sign_hashes = ability->sign_hashes;
    if ((key->operations & KW_CAN_DECRYPT) == 0)
        can.schemes &= ~KW_BIT(KW_SCHEME_RSA_OAEP);
    else
        can.oaep_hashes = ability->oaep_hashes;
    if ((key->operations & KW_CAN_DERIVE) == 0)
        can.schemes &= ~KW_BIT(KW_SCHEME_ECDH);
    softstore_give(capabilities, &can, sizeof(can));
}

kw_status softstore_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                             kw_key_capabilities *capabilities)
{
    const kw_host *host = &instance->host;
    struct softstore_record record = {.operations = 0};
    EVP_PKEY *pkey = NULL;
    kw_status status = KW_OK;
    kw_plugin_key *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    made->instance = instance;
    status = get_locator(host, locator, &made->name);
    if (status == KW_OK)
        status = softstore_deadline(host, call);
    if (status == KW_OK)
        status = softstore_record_read(instance, &made->name, &record);
    if (status != KW_OK)
        goto out;
    pkey = softstore_pkey_parse(instance->library, (kw_input){record.pkcs8, record.pkcs8_length});
    if (pkey == NULL || !softstore_pkey_describe(pkey, &made->kind)) {
        status = softstore_report(host, KW_CORRUPT, "record %s holds no key that softstore can read", made->name.text);
        goto out;
    }
    made->operations = record.operations;
    made->size = output_size(pkey);
    made->pkcs8_length = record.pkcs8_length;
    made->spki_length = record.spki.length;
    made->spki = malloc(record.spki.length);
    if (made->spki == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    memcpy(made->spki, record.spki.data, record.spki.length);
    made->pool = softstore_pool_new(instance->library, pkey);
    if (made->pool == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    pkey = NULL;
    give_capabilities(made, capabilities);
    *key = made;
    made = NULL;
out:
    softstore_pkey_free(pkey);
    softstore_record_clear(instance, &record);
    softstore_key_close(made);
    return status;
}

void softstore_key_close(kw_plugin_key *key)
{
    if (key == NULL)
        return;
    if (key->pool != NULL) {
        softstore_enter();
        softstore_pool_free(key->pool);
        softstore_leave();
    }
    free(key->spki);
    free(key);
}

kw_status softstore_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    (void)call;
    if (!softstore_fits(spki, key->spki_length))
        return KW_BUFFER_TOO_SMALL;
    memcpy(spki->data, key->spki, key->spki_length);
    return KW_OK;
}
