/*
 * The key-encryption key: 32 random bytes that seal every key of the store. They lie in the record `kek`, sealed under a key that scrypt
 * (RFC 7914) derives from the passphrase. A checksum over the whole record tells damage from a wrong passphrase.
 */
#include "softstore.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

/* The record, byte by byte; numbers are big-endian. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_LOG2_N = 5,
    AT_R = 6,
    AT_P = 8,
    AT_SALT = 10,
    AT_KEK_ID = 42, /* tells one KEK from another without the passphrase */
    AT_NONCE = 58,
    AT_SEALED = 70, /* everything before it is authenticated with it */
    AT_CHECKSUM = AT_SEALED + 32 + 16,
    RECORD_LENGTH = AT_CHECKSUM + 32
};
#define SALT_LENGTH   32u
#define KEK_ID_LENGTH 16u

static const unsigned char magic[4] = {'K', 'W', 'S', 'K'};
#define VERSION 1u

/* What RFC 7914 recommends, and what softstore accepts: 128 * N * r bytes are allocated before a passphrase is tried. */
#define SCRYPT_R         8u
#define SCRYPT_P         1u
#define SCRYPT_R_MAXIMUM 8u
#define SCRYPT_P_MAXIMUM 16u

static const kw_input record_name = {(const unsigned char *)"kek", 3};

static unsigned get_16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void put_16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static kw_status derive(kw_plugin_instance *instance, const unsigned char *record, kw_input passphrase,
                        unsigned char *key)
{
    uint64_t n = UINT64_C(1) << record[AT_LOG2_N];
    uint32_t r = get_16(record + AT_R), p = get_16(record + AT_P);
    uint64_t memory = 128 * r * (n + p + 2) + 65536;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)passphrase.data,
                                          passphrase.length),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)(record + AT_SALT), SALT_LENGTH),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
        OSSL_PARAM_construct_end(),
    };
    softstore_enter();
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(instance->library->scrypt);
    bool done = context != NULL && EVP_KDF_derive(context, key, SOFTSTORE_SEAL_KEY, parameters) == 1;
    EVP_KDF_CTX_free(context);
    softstore_leave();
    if (!done)
        return softstore_report(&instance->host, KW_OUT_OF_MEMORY,
                                "scrypt with N=2^%u, r=%u, p=%u needs %u MiB of memory", record[AT_LOG2_N], r, p,
                                (unsigned)(memory >> 20));
    return KW_OK;
}

static kw_status identify(kw_plugin_instance *instance, const unsigned char *kek, unsigned char *kek_id)
{
    static const char text[] = "keywright softstore kek";
    unsigned char mac[32];
    size_t length = 0;
    softstore_enter();
    bool done = EVP_Q_mac(instance->library->context, "HMAC", NULL, "SHA2-256", NULL, kek, SOFTSTORE_SEAL_KEY,
                          (const unsigned char *)text, sizeof(text) - 1, mac, sizeof(mac), &length) != NULL;
    softstore_leave();
    if (!done)
        return softstore_report(&instance->host, KW_FAILED, "libcrypto failed to compute an HMAC");
    memcpy(kek_id, mac, KEK_ID_LENGTH);
    return KW_OK;
}

/* Writes a record that wraps the instance's KEK under `passphrase`. */
static kw_status wrap(kw_plugin_instance *instance, kw_input passphrase, unsigned char *record)
{
    const struct softstore_library *library = instance->library;
    kw_status status = KW_OK;
    unsigned char *key = instance->host.secret_allocate(instance->host.context, SOFTSTORE_SEAL_KEY);
    if (key == NULL) {
        status = softstore_report(&instance->host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    memcpy(record + AT_MAGIC, magic, sizeof(magic));
    record[AT_VERSION] = VERSION;
    record[AT_LOG2_N] = (unsigned char)instance->scrypt_log2_n;
    put_16(record + AT_R, SCRYPT_R);
    put_16(record + AT_P, SCRYPT_P);
    memcpy(record + AT_KEK_ID, instance->kek_id, KEK_ID_LENGTH);
    if (!softstore_random_bytes(library, record + AT_SALT, SALT_LENGTH) ||
        !softstore_random_bytes(library, record + AT_NONCE, SOFTSTORE_SEAL_NONCE)) {
        status = softstore_report(&instance->host, KW_FAILED, "libcrypto gave no random bytes");
        goto out;
    }
    status = derive(instance, record, passphrase, key);
    if (status != KW_OK)
        goto out;
    if (!softstore_seal(library, key, record + AT_NONCE, (kw_input){record, AT_SEALED},
                        (kw_input){instance->kek, SOFTSTORE_SEAL_KEY}, record + AT_SEALED) ||
        !softstore_digest(library, KW_HASH_SHA256, (kw_input){record, AT_CHECKSUM}, record + AT_CHECKSUM))
        status = softstore_report(&instance->host, KW_FAILED, "libcrypto failed to seal record kek");
out:
    instance->host.secret_free(instance->host.context, key, SOFTSTORE_SEAL_KEY);
    return status;
}

/* Reads the record and checks all of it that needs no passphrase. */
static kw_status read_record(kw_plugin_instance *instance, unsigned char *record)
{
    const kw_host *host = &instance->host;
    unsigned char value[RECORD_LENGTH + 1], checksum[32];
    kw_output output = {.data = value, .capacity = sizeof(value)};
    kw_status status = host->record_get(host->context, record_name, &output);
    if (status == KW_NOT_FOUND)
        return status;
    if (status == KW_CORRUPT || status == KW_BUFFER_TOO_SMALL || (status == KW_OK && output.length != RECORD_LENGTH))
        return softstore_report(host, KW_CORRUPT, "record kek is damaged");
    if (status != KW_OK)
        return softstore_report(host, status, "record kek cannot be read");
    if (!softstore_digest(instance->library, KW_HASH_SHA256, (kw_input){value, AT_CHECKSUM}, checksum))
        return softstore_report(host, KW_FAILED, "libcrypto failed to compute a digest");
    if (memcmp(checksum, value + AT_CHECKSUM, sizeof(checksum)) != 0 || memcmp(value, magic, sizeof(magic)) != 0)
        return softstore_report(host, KW_CORRUPT, "record kek is damaged");
    if (value[AT_VERSION] != VERSION)
        return softstore_report(host, KW_UNSUPPORTED, "record kek has format %u; this version of softstore reads %u",
                                value[AT_VERSION], VERSION);
    if (value[AT_LOG2_N] < SOFTSTORE_LOG2_N_MINIMUM || value[AT_LOG2_N] > SOFTSTORE_LOG2_N_MAXIMUM ||
        get_16(value + AT_R) == 0 || get_16(value + AT_R) > SCRYPT_R_MAXIMUM || get_16(value + AT_P) == 0 ||
        get_16(value + AT_P) > SCRYPT_P_MAXIMUM)
        return softstore_report(host, KW_CORRUPT, "record kek asks for a cost that softstore does not accept");
    memcpy(record, value, RECORD_LENGTH);
    return KW_OK;
}

/* Whether there are keys; without a KEK they would be lost, so a new one must not be made. */
static kw_status refuse_orphans(kw_plugin_instance *instance)
{
    const kw_host *host = &instance->host;
    unsigned char name[KW_RECORD_NAME_MAXIMUM];
    kw_output output = {.data = name, .capacity = sizeof(name)};
    kw_input prefix = {(const unsigned char *)SOFTSTORE_PREFIX, SOFTSTORE_PREFIX_LENGTH};
    kw_status status = host->record_next(host->context, prefix, (kw_input){NULL, 0}, &output);
    if (status == KW_NOT_FOUND)
        return KW_OK;
    if (status == KW_OK || status == KW_BUFFER_TOO_SMALL)
        return softstore_report(host, KW_CORRUPT, "record kek is missing, without which the keys cannot be opened");
    return softstore_report(host, status, "the records cannot be listed");
}

/* KW_CONFLICT: another process was first. */
static kw_status create(kw_plugin_instance *instance, kw_input passphrase)
{
    const kw_host *host = &instance->host;
    unsigned char record[RECORD_LENGTH];
    kw_status status = refuse_orphans(instance);
    if (status != KW_OK)
        return status;
    if (!softstore_random_bytes(instance->library, instance->kek, SOFTSTORE_SEAL_KEY))
        return softstore_report(host, KW_FAILED, "libcrypto gave no random bytes");
    status = identify(instance, instance->kek, instance->kek_id);
    if (status == KW_OK)
        status = wrap(instance, passphrase, record);
    if (status != KW_OK)
        return status;
    status = host->record_swap(host->context, record_name, (kw_input){NULL, 0}, (kw_input){record, RECORD_LENGTH});
    if (status != KW_OK && status != KW_CONFLICT)
        return softstore_report(host, status, "record kek cannot be written");
    return status;
}

static kw_status unwrap(kw_plugin_instance *instance, const unsigned char *record, kw_input passphrase)
{
    const kw_host *host = &instance->host;
    unsigned char kek_id[KEK_ID_LENGTH];
    unsigned char *key = host->secret_allocate(host->context, SOFTSTORE_SEAL_KEY);
    kw_status status = KW_OK;
    if (key == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    status = derive(instance, record, passphrase, key);
    if (status != KW_OK)
        goto out;
    if (!softstore_unseal(instance->library, key, record + AT_NONCE, (kw_input){record, AT_SEALED},
                          (kw_input){record + AT_SEALED, AT_CHECKSUM - AT_SEALED}, instance->kek)) {
        host->secret_refused(host->context, "passphrase");
        status = softstore_report(host, KW_SECRET_REFUSED, "this is not the passphrase of the store");
        goto out;
    }
    status = identify(instance, instance->kek, kek_id);
    if (status == KW_OK && memcmp(kek_id, record + AT_KEK_ID, KEK_ID_LENGTH) != 0)
        status = softstore_report(host, KW_CORRUPT, "record kek is damaged");
    if (status == KW_OK)
        memcpy(instance->kek_id, kek_id, KEK_ID_LENGTH);
out:
    host->secret_free(host->context, key, SOFTSTORE_SEAL_KEY);
    return status;
}

kw_status softstore_kek_open(kw_plugin_instance *instance, const kw_call *call)
{
    const kw_host *host = &instance->host;
    unsigned char record[RECORD_LENGTH];
    kw_output passphrase = {.data = NULL};
    kw_status found = read_record(instance, record);
    kw_status status = found;
    if (found != KW_OK && found != KW_NOT_FOUND)
        goto out;
    passphrase.data = host->secret_allocate(host->context, KW_SECRET_MAXIMUM);
    passphrase.capacity = KW_SECRET_MAXIMUM;
    if (passphrase.data == NULL) {
        status = softstore_report(host, KW_OUT_OF_MEMORY, "out of memory");
        goto out;
    }
    status = host->secret_request(host->context, call, "passphrase", &passphrase);
    if (status != KW_OK) {
        softstore_report(host, status, "the host did not give the passphrase");
        goto out;
    }
    kw_input view = {passphrase.data, passphrase.length};
    if (view.length == 0 || view.length > KW_SECRET_MAXIMUM) {
        status = softstore_report(host, KW_CONFIGURATION, "option passphrase: a passphrase has 1 to %u bytes",
                                  KW_SECRET_MAXIMUM);
        goto out;
    }
    if (found == KW_NOT_FOUND) {
        status = create(instance, view);
        if (status != KW_CONFLICT)
            goto out;
        status = read_record(instance, record);
        if (status != KW_OK)
            goto out;
    }
    status = unwrap(instance, record, view);
out:
    host->secret_free(host->context, passphrase.data, KW_SECRET_MAXIMUM);
    return status;
}

kw_status softstore_kek_wrap_again(kw_plugin_instance *instance, kw_input passphrase)
{
    const kw_host *host = &instance->host;
    unsigned char before[RECORD_LENGTH], after[RECORD_LENGTH];
    kw_status status = read_record(instance, before);
    if (status == KW_NOT_FOUND)
        return softstore_report(host, KW_CORRUPT, "record kek is missing");
    if (status != KW_OK)
        return status;
    if (memcmp(before + AT_KEK_ID, instance->kek_id, KEK_ID_LENGTH) != 0)
        return softstore_report(host, KW_CORRUPT,
                                "record kek holds another key than the one this store was opened with");
    status = wrap(instance, passphrase, after);
    if (status != KW_OK)
        return status;
    status = host->record_swap(host->context, record_name, (kw_input){before, RECORD_LENGTH},
                               (kw_input){after, RECORD_LENGTH});
    if (status == KW_CONFLICT)
        return softstore_report(host, status, "somebody else changed the passphrase meanwhile");
    if (status != KW_OK)
        return softstore_report(host, status, "record kek cannot be written");
    return KW_OK;
}

kw_status softstore_kek_present(kw_plugin_instance *instance)
{
    const kw_host *host = &instance->host;
    kw_output size = {.data = NULL};
    kw_status status = host->record_get(host->context, record_name, &size);
    if (status == KW_OK || status == KW_BUFFER_TOO_SMALL)
        return KW_OK;
    if (status == KW_NOT_FOUND)
        return softstore_report(host, KW_CORRUPT, "record kek is missing");
    return softstore_report(host, status, "record kek cannot be read");
}
