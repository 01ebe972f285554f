/*
 * The records `key/ID`: the public key in clear, the private key sealed under the KEK. The seal binds the format, what the key may be used
 * for, the record's name and the public key, so that no record stands in for another. Every version has this outer form: the seal tells
 * damage from a version that is not known.
 */
#include "softstore.h"

#include <stdlib.h>
#include <string.h>

/* The record, byte by byte; numbers are big-endian. Then SPKI, and the seal to the end. */
enum { AT_MAGIC = 0, AT_VERSION = 4, AT_OPERATIONS = 5, AT_SPKI_LENGTH = 6, AT_NONCE = 8, AT_SPKI = 20 };

static const unsigned char magic[4] = {'K', 'W', 'S', 'R'};
#define VERSION 1u

/* What the byte at AT_OPERATIONS means; the numbers of plugin.h are not this format's. */
static const struct {
    unsigned char bit;
    uint32_t operation;
} operation_bits[] = {{1, KW_CAN_SIGN}, {2, KW_CAN_DECRYPT}, {4, KW_CAN_DERIVE}, {8, KW_CAN_EXPORT}};
#define OPERATION_BITS (sizeof(operation_bits) / sizeof(operation_bits[0]))

static unsigned get_16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static const char digits[] = "0123456789abcdef";

void softstore_name_make(const unsigned char id[KW_KEY_ID_LENGTH], struct softstore_name *name)
{
    memcpy(name->text, SOFTSTORE_PREFIX, SOFTSTORE_PREFIX_LENGTH);
    char *at = name->text + SOFTSTORE_PREFIX_LENGTH;
    for (size_t i = 0; i < KW_KEY_ID_LENGTH; i++) {
        *at++ = digits[id[i] >> 4];
        *at++ = digits[id[i] & 15];
    }
    *at = '\0';
}

bool softstore_name_read(kw_input locator, struct softstore_name *name)
{
    if (locator.length != SOFTSTORE_NAME_LENGTH || memcmp(locator.data, SOFTSTORE_PREFIX, SOFTSTORE_PREFIX_LENGTH) != 0)
        return false;
    for (size_t i = SOFTSTORE_PREFIX_LENGTH; i < SOFTSTORE_NAME_LENGTH; i++)
        if (memchr(digits, locator.data[i], sizeof(digits) - 1) == NULL)
            return false;
    memcpy(name->text, locator.data, SOFTSTORE_NAME_LENGTH);
    name->text[SOFTSTORE_NAME_LENGTH] = '\0';
    return true;
}

kw_input softstore_name_view(const struct softstore_name *name)
{
    return (kw_input){(const unsigned char *)name->text, SOFTSTORE_NAME_LENGTH};
}

/* ---- Records ------------------------------------------------------------------------------------------------------ */

/* What the seal binds: the record up to the seal, and its name. NULL: out of memory. */
static unsigned char *associate(const unsigned char *value, size_t length, const struct softstore_name *name)
{
    unsigned char *associated = malloc(length + SOFTSTORE_NAME_LENGTH);
    if (associated == NULL)
        return NULL;
    memcpy(associated, value, length);
    memcpy(associated + length, name->text, SOFTSTORE_NAME_LENGTH);
    return associated;
}

kw_status softstore_record_create(kw_plugin_instance *instance, const struct softstore_name *name,
                                  const struct softstore_record *record)
{
    const kw_host *host = &instance->host;
    kw_status status = KW_OK;
    size_t head = AT_SPKI + record->spki.length;
    size_t length = head + record->pkcs8_length + SOFTSTORE_SEAL_TAG;
    unsigned char *associated = NULL;
    unsigned char *value = NULL;
    if (record->spki.length > UINT16_MAX || length > KW_RECORD_VALUE_MAXIMUM) {
        status = softstore_report(host, KW_UNSUPPORTED, "the key is too large for a record");
        goto out;
    }
    value = calloc(1, length);
    if (value == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    memcpy(value + AT_MAGIC, magic, sizeof(magic));
    value[AT_VERSION] = VERSION;
    for (size_t i = 0; i < OPERATION_BITS; i++)
        if ((record->operations & operation_bits[i].operation) != 0)
            value[AT_OPERATIONS] |= operation_bits[i].bit;
    value[AT_SPKI_LENGTH] = (unsigned char)(record->spki.length >> 8);
    value[AT_SPKI_LENGTH + 1] = (unsigned char)record->spki.length;
    memcpy(value + AT_SPKI, record->spki.data, record->spki.length);
    if (!softstore_random_bytes(instance->library, value + AT_NONCE, SOFTSTORE_SEAL_NONCE)) {
        status = softstore_report(host, KW_FAILED, "libcrypto gave no random bytes");
        goto out;
    }
    associated = associate(value, head, name);
    if (associated == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    if (!softstore_seal(instance->library, instance->kek, value + AT_NONCE,
                        (kw_input){associated, head + SOFTSTORE_NAME_LENGTH},
                        (kw_input){record->pkcs8, record->pkcs8_length}, value + head)) {
        status = softstore_report(host, KW_FAILED, "libcrypto failed to seal record %s", name->text);
        goto out;
    }
    status =
        host->record_swap(host->context, softstore_name_view(name), (kw_input){NULL, 0}, (kw_input){value, length});
    if (status == KW_CONFLICT)
        status = softstore_report(host, KW_EXISTS, "there is a key %s already", name->text);
    else if (status != KW_OK)
        softstore_report(host, status, "record %s cannot be written", name->text);
out:
    free(associated);
    free(value);
    return status;
}

/* The record's bytes. It may grow between the question for its size and its reading, if only because somebody tampers. */
static kw_status fetch(kw_plugin_instance *instance, const struct softstore_name *name, kw_output *value)
{
    const kw_host *host = &instance->host;
    kw_status status = KW_BUFFER_TOO_SMALL;
    value->capacity = 4096; /* holds an RSA-4096 key */
    for (int attempt = 0; status == KW_BUFFER_TOO_SMALL && attempt < 3; attempt++) {
        free(value->data);
        value->data = value->capacity <= KW_RECORD_VALUE_MAXIMUM ? malloc(value->capacity) : NULL;
        if (value->data == NULL)
            return softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        status = host->record_get(host->context, softstore_name_view(name), value);
        if (status == KW_BUFFER_TOO_SMALL)
            value->capacity = value->length;
    }
    if (status == KW_NOT_FOUND)
        return softstore_report(host, status, "there is no key %s", name->text);
    if (status == KW_CORRUPT)
        return softstore_report(host, status, "record %s is damaged", name->text);
    if (status != KW_OK)
        return softstore_report(host, status, "record %s cannot be read", name->text);
    return KW_OK;
}

kw_status softstore_record_read(kw_plugin_instance *instance, const struct softstore_name *name,
                                struct softstore_record *record)
{
    const kw_host *host = &instance->host;
    struct softstore_record found = {.operations = 0};
    unsigned char *associated = NULL;
    kw_output value = {.data = NULL};
    kw_status status = fetch(instance, name, &value);
    found.value = value.data;
    if (status != KW_OK)
        goto out;
    if (value.length < AT_SPKI || memcmp(value.data, magic, sizeof(magic)) != 0) {
        status = softstore_report(host, KW_CORRUPT, "record %s is damaged", name->text);
        goto out;
    }
    size_t spki_length = get_16(value.data + AT_SPKI_LENGTH);
    size_t head = AT_SPKI + spki_length;
    if (value.length <= head + SOFTSTORE_SEAL_TAG) {
        status = softstore_report(host, KW_CORRUPT, "record %s is damaged", name->text);
        goto out;
    }
    found.pkcs8_length = value.length - head - SOFTSTORE_SEAL_TAG;
    found.pkcs8 = host->secret_allocate(host->context, found.pkcs8_length);
    associated = associate(value.data, head, name);
    if (found.pkcs8 == NULL || associated == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    if (!softstore_unseal(instance->library, instance->kek, value.data + AT_NONCE,
                          (kw_input){associated, head + SOFTSTORE_NAME_LENGTH},
                          (kw_input){value.data + head, value.length - head}, found.pkcs8)) {
        status = softstore_report(host, KW_CORRUPT, "record %s is damaged", name->text);
        goto out;
    }
    if (value.data[AT_VERSION] != VERSION) {
        status = softstore_report(host, KW_UNSUPPORTED, "record %s has format %u; this version of softstore reads %u",
                                  name->text, value.data[AT_VERSION], VERSION);
        goto out;
    }
    found.spki = (kw_input){value.data + AT_SPKI, spki_length};
    for (size_t i = 0; i < OPERATION_BITS; i++)
        if ((value.data[AT_OPERATIONS] & operation_bits[i].bit) != 0)
            found.operations |= operation_bits[i].operation;
    *record = found;
    found = (struct softstore_record){.operations = 0};
out:
    free(associated);
    softstore_record_clear(instance, &found);
    return status;
}

void softstore_record_clear(kw_plugin_instance *instance, struct softstore_record *record)
{
    if (record->pkcs8 != NULL)
        instance->host.secret_free(instance->host.context, record->pkcs8, record->pkcs8_length);
    free(record->value);
    *record = (struct softstore_record){.operations = 0};
}
