/* The keys of the memory plugin, and the certificates beside them. */
#include "memory.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static struct entry *find_locked(kw_plugin_instance *instance, const unsigned char *id)
{
    struct entry *entry = instance->entries;

    while (entry != NULL && memcmp(entry->id, id, KW_KEY_ID_LENGTH) != 0)
        entry = entry->next;
    return entry;
}

static const unsigned char *locator_id(kw_input locator)
{
    if (locator.length != LOCATOR_LENGTH || memcmp(locator.data, LOCATOR_PREFIX, strlen(LOCATOR_PREFIX)) != 0)
        return NULL;
    return locator.data + strlen(LOCATOR_PREFIX);
}

static kw_status answer_locator(const kw_plugin_instance *instance, const unsigned char *id, kw_output *locator)
{
    unsigned char text[LOCATOR_LENGTH];
    kw_status status;

    memcpy(text, LOCATOR_PREFIX, strlen(LOCATOR_PREFIX));
    memcpy(text + strlen(LOCATOR_PREFIX), id, KW_KEY_ID_LENGTH);
    status = memory_answer(locator, text, sizeof(text));
    if (status == KW_OK && memory_has_fault(instance, "locator-empty"))
        locator->length = 0;
    if (status == KW_OK && memory_has_fault(instance, "locator-long"))
        locator->length = KW_LOCATOR_MAXIMUM + 1;
    return status;
}

static kw_status entry_add(kw_plugin_instance *instance, const kw_key_template *wanted, EVP_PKEY *pkey,
                           kw_output *locator)
{
    struct entry *const entry = calloc(1, sizeof(*entry));
    bool exists;

    if (entry == NULL || pkey == NULL) {
        free(entry);
        EVP_PKEY_free(pkey);
        return memory_fail(instance, KW_FAILED, "libcrypto made no key");
    }
    memcpy(entry->id, wanted->id, sizeof(entry->id));
    entry->pkey = pkey;
    entry->exportable = wanted->exportable != 0;
    pthread_mutex_lock(&instance->lock);
    exists = find_locked(instance, wanted->id) != NULL;
    if (!exists) {
        entry->next = instance->entries;
        instance->entries = entry;
    }
    pthread_mutex_unlock(&instance->lock);
    if (exists) {
        EVP_PKEY_free(pkey);
        free(entry);
        return memory_fail(instance, KW_EXISTS, "there is a key with this id");
    }
    return answer_locator(instance, wanted->id, locator);
}

kw_status memory_key_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                              kw_output *locator)
{
    static const char *const groups[] = {
        [KW_CURVE_NONE] = "", [KW_CURVE_P256] = "P-256", [KW_CURVE_P384] = "P-384", [KW_CURVE_P521] = "P-521"};
    EVP_PKEY *pkey = NULL;

    (void)call;
    if (locator->data == NULL || locator->capacity < KW_LOCATOR_MAXIMUM) {
        locator->length = KW_LOCATOR_MAXIMUM;
        return KW_BUFFER_TOO_SMALL;
    }
    if (wanted->type == KW_KEY_RSA)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)wanted->bits);
    else if (wanted->type == KW_KEY_EC)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[wanted->curve]);
    else if (wanted->type == KW_KEY_ED25519)
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        pkey = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    return entry_add(instance, wanted, pkey, locator);
}

kw_status memory_key_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                            kw_input pkcs8, kw_output *locator)
{
    const unsigned char *at = pkcs8.data;
    PKCS8_PRIV_KEY_INFO *const info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.length);
    EVP_PKEY *const pkey = info == NULL ? NULL : EVP_PKCS82PKEY(info);

    (void)call;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (pkey == NULL)
        return memory_fail(instance, KW_INVALID_ARGUMENT, "the key is malformed");
    return entry_add(instance, wanted, pkey, locator);
}

kw_status memory_key_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8)
{
    PKCS8_PRIV_KEY_INFO *const info = EVP_PKEY2PKCS8(key->pkey);
    unsigned char *encoded = NULL;
    const int length = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, &encoded);
    kw_status status;

    (void)call;
    if (!key->exportable)
        status = memory_fail(key->instance, KW_REFUSED, "the key is not exportable");
    else if (length < 0 || (pkcs8->data != NULL && memory_has_fault(key->instance, "export-fails")))
        status = memory_fail(key->instance, KW_FAILED, "the key cannot be encoded");
    else
        status = memory_answer(pkcs8, encoded, (size_t)length);
    OPENSSL_clear_free(encoded, length < 0 ? 0 : (size_t)length);
    PKCS8_PRIV_KEY_INFO_free(info);
    return status;
}

kw_status memory_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    const unsigned char *const id = locator_id(locator);
    struct entry *found = NULL;

    (void)call;
    pthread_mutex_lock(&instance->lock);
    for (struct entry **link = &instance->entries; id != NULL && *link != NULL; link = &(*link)->next)
        if (memcmp((*link)->id, id, KW_KEY_ID_LENGTH) == 0) {
            found = *link;
            *link = found->next;
            break;
        }
    pthread_mutex_unlock(&instance->lock);
    if (found == NULL)
        return memory_fail(instance, KW_NOT_FOUND, "there is no such key");
    EVP_PKEY_free(found->pkey);
    free(found->certificate);
    free(found);
    return KW_OK;
}

kw_status memory_key_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator)
{
    uint64_t at = 0;
    kw_status status = KW_NOT_FOUND;

    (void)call;
    pthread_mutex_lock(&instance->lock);
    for (const struct entry *entry = instance->entries; entry != NULL; entry = entry->next, at++)
        if (at == *cursor) {
            status = answer_locator(instance, entry->id, locator);
            break;
        }
    pthread_mutex_unlock(&instance->lock);
    if (status == KW_OK)
        (*cursor)++;
    if (status == KW_OK && memory_has_fault(instance, "list-long"))
        locator->length = SIZE_MAX;
    return status;
}

kw_status memory_key_find(kw_plugin_instance *instance, const kw_call *call, const unsigned char id[KW_KEY_ID_LENGTH],
                          kw_output *locator)
{
    bool found;

    (void)call;
    pthread_mutex_lock(&instance->lock);
    found = find_locked(instance, id) != NULL;
    pthread_mutex_unlock(&instance->lock);
    return found ? answer_locator(instance, id, locator) : memory_fail(instance, KW_NOT_FOUND, "no key has this id");
}

static void describe(const kw_plugin_instance *instance, const EVP_PKEY *pkey, kw_key_capabilities *capabilities)
{
    const uint32_t all =
        KW_BIT(KW_HASH_SHA224) | KW_BIT(KW_HASH_SHA256) | KW_BIT(KW_HASH_SHA384) | KW_BIT(KW_HASH_SHA512);
    const int bits = EVP_PKEY_get_bits(pkey);

    if (EVP_PKEY_is_a(pkey, "RSA")) {
        capabilities->type = KW_KEY_RSA;
        capabilities->bits = (uint32_t)bits;
        capabilities->operations = KW_CAN_SIGN | KW_CAN_DECRYPT;
        capabilities->schemes = KW_BIT(KW_SCHEME_RSA_RAW);
        if (!instance->raw) {
            capabilities->schemes |=
                KW_BIT(KW_SCHEME_RSA_PSS) | KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_OAEP);
            capabilities->sign_hashes = all;
            capabilities->oaep_hashes = instance->old_oaep ? KW_BIT(KW_HASH_SHA1) : all | KW_BIT(KW_HASH_SHA1);
        }
    } else if (EVP_PKEY_is_a(pkey, "EC")) {
        capabilities->type = KW_KEY_EC;
        capabilities->bits = (uint32_t)bits;
        capabilities->curve = bits == 256 ? KW_CURVE_P256 : bits == 384 ? KW_CURVE_P384 : KW_CURVE_P521;
        capabilities->operations = KW_CAN_SIGN | KW_CAN_DERIVE;
        capabilities->schemes = KW_BIT(KW_SCHEME_ECDSA) | KW_BIT(KW_SCHEME_ECDH);
    } else if (EVP_PKEY_is_a(pkey, "ED25519")) {
        capabilities->type = KW_KEY_ED25519;
        capabilities->operations = KW_CAN_SIGN;
        capabilities->schemes = KW_BIT(KW_SCHEME_EDDSA);
    } else {
        capabilities->type = KW_KEY_X25519;
        capabilities->operations = KW_CAN_DERIVE;
        capabilities->schemes = KW_BIT(KW_SCHEME_ECDH);
    }
}

kw_status memory_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                          kw_key_capabilities *capabilities)
{
    const unsigned char *const id = locator_id(locator);
    struct entry *entry;
    kw_plugin_key *made;

    (void)call;
    if (id == NULL)
        return memory_fail(instance, KW_INVALID_ARGUMENT, "this is not a locator of this plugin");
    if (memory_has_fault(instance, "key-open-null"))
        return KW_OK;
    made = calloc(1, sizeof(*made));
    if (made == NULL)
        return KW_OUT_OF_MEMORY;
    pthread_mutex_lock(&instance->lock);
    entry = find_locked(instance, id);
    if (entry != NULL && EVP_PKEY_up_ref(entry->pkey) == 1) {
        made->pkey = entry->pkey;
        made->exportable = entry->exportable;
    }
    pthread_mutex_unlock(&instance->lock);
    if (made->pkey == NULL) {
        free(made);
        return memory_fail(instance, KW_NOT_FOUND, "there is no such key");
    }
    made->instance = instance;
    describe(instance, made->pkey, capabilities);
    if (made->exportable)
        capabilities->operations |= KW_CAN_EXPORT;
    if (memory_has_fault(instance, "key-open-type"))
        capabilities->type = KW_KEY_ED25519;
    *key = made;
    return KW_OK;
}

void memory_key_close(kw_plugin_key *key)
{
    EVP_PKEY_free(key->pkey);
    free(key);
}

kw_status memory_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki)
{
    unsigned char *encoded = NULL;
    const int length = i2d_PUBKEY(key->pkey, &encoded);
    kw_status status = length < 0 ? KW_FAILED : memory_answer(spki, encoded, (size_t)length);

    (void)call;
    OPENSSL_free(encoded);
    if (status == KW_OK && memory_has_fault(key->instance, "public-long"))
        spki->length = spki->capacity + 1;
    if (status == KW_OK && memory_has_fault(key->instance, "public-garbage"))
        spki->data[0] ^= 0xff;
    return status;
}

kw_status memory_key_attest(kw_plugin_key *key, const kw_call *call, kw_input challenge, kw_output *statement)
{
    (void)key;
    (void)call;
    return memory_answer(statement, challenge.data, challenge.length);
}

/* ---- Certificates ------------------------------------------------------------------------------------------- */

kw_status memory_certificate_put(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_input certificate)
{
    const unsigned char *const id = locator_id(locator);
    unsigned char *const copy = malloc(certificate.length + 1);
    struct entry *entry = NULL;

    (void)call;
    if (copy == NULL)
        return KW_OUT_OF_MEMORY;
    memcpy(copy, certificate.data, certificate.length);
    pthread_mutex_lock(&instance->lock);
    if (id != NULL)
        entry = find_locked(instance, id);
    if (entry != NULL) {
        free(entry->certificate);
        entry->certificate = copy;
        entry->certificate_length = certificate.length;
    }
    pthread_mutex_unlock(&instance->lock);
    if (entry == NULL) {
        free(copy);
        return memory_fail(instance, KW_NOT_FOUND, "there is no such key");
    }
    return KW_OK;
}

kw_status memory_certificate_get(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_output *certificate)
{
    const unsigned char *const id = locator_id(locator);
    const struct entry *entry = NULL;
    kw_status status = KW_NOT_FOUND;

    (void)call;
    pthread_mutex_lock(&instance->lock);
    if (id != NULL)
        entry = find_locked(instance, id);
    if (entry != NULL && entry->certificate != NULL)
        status = memory_answer(certificate, entry->certificate, entry->certificate_length);
    pthread_mutex_unlock(&instance->lock);
    return status;
}

kw_status memory_certificate_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator)
{
    const unsigned char *const id = locator_id(locator);
    struct entry *entry = NULL;
    kw_status status = KW_NOT_FOUND;

    (void)call;
    pthread_mutex_lock(&instance->lock);
    if (id != NULL)
        entry = find_locked(instance, id);
    if (entry != NULL && entry->certificate != NULL) {
        free(entry->certificate);
        entry->certificate = NULL;
        status = KW_OK;
    }
    pthread_mutex_unlock(&instance->lock);
    return status;
}
