/*
 * A plugin that keeps its keys in memory: RSA, EC, Ed25519 and X25519 by libcrypto. It works; with its options it does less (`raw`,
 * `oaep`, `hidden`), or breaks one rule of plugin.h (`fault`), so that the tests see what the host does then.
 */
#ifndef KEYWRIGHT_TESTS_FAULT_MEMORY_H
#define KEYWRIGHT_TESTS_FAULT_MEMORY_H

#include <keywright/plugin.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>

#define LOCATOR_PREFIX "memory:"
#define LOCATOR_LENGTH (sizeof(LOCATOR_PREFIX) - 1 + KW_KEY_ID_LENGTH)

struct entry {
    struct entry *next;
    unsigned char id[KW_KEY_ID_LENGTH];
    EVP_PKEY *pkey;
    bool exportable;
    unsigned char *certificate;
    size_t certificate_length;
};

struct kw_plugin_instance {
    const kw_host *host;
    pthread_mutex_t lock;
    struct entry *entries;
    char fault[32]; /* one of those below */
    bool raw, old_oaep, hidden;
    char pin[96];
    char logins[512];
};

struct kw_plugin_key {
    kw_plugin_instance *instance;
    EVP_PKEY *pkey;
    bool exportable;
};

/* Whether this is the rule that the instance breaks. */
bool memory_has_fault(const kw_plugin_instance *instance, const char *name);
kw_status memory_fail(const kw_plugin_instance *instance, kw_status status, const char *sentence);
void memory_tell(const kw_plugin_instance *instance, const char *sentence);
kw_status memory_answer(kw_output *output, const void *data, size_t length);

/* The operations on keys. */
kw_status memory_key_generate(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                              kw_output *locator);
kw_status memory_key_import(kw_plugin_instance *instance, const kw_call *call, const kw_key_template *wanted,
                            kw_input pkcs8, kw_output *locator);
kw_status memory_key_export(kw_plugin_key *key, const kw_call *call, kw_output *pkcs8);
kw_status memory_key_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator);
kw_status memory_key_list(kw_plugin_instance *instance, const kw_call *call, uint64_t *cursor, kw_output *locator);
kw_status memory_key_find(kw_plugin_instance *instance, const kw_call *call, const unsigned char id[KW_KEY_ID_LENGTH],
                          kw_output *locator);
kw_status memory_key_open(kw_plugin_instance *instance, const kw_call *call, kw_input locator, kw_plugin_key **key,
                          kw_key_capabilities *capabilities);
void memory_key_close(kw_plugin_key *key);
kw_status memory_key_public(kw_plugin_key *key, const kw_call *call, kw_output *spki);
kw_status memory_key_attest(kw_plugin_key *key, const kw_call *call, kw_input challenge, kw_output *statement);
kw_status memory_certificate_put(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_input certificate);
kw_status memory_certificate_get(kw_plugin_instance *instance, const kw_call *call, kw_input locator,
                                 kw_output *certificate);
kw_status memory_certificate_delete(kw_plugin_instance *instance, const kw_call *call, kw_input locator);
kw_status memory_sign(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input input,
                      kw_output *signature);
kw_status memory_decrypt(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input ciphertext,
                         kw_output *plaintext);
kw_status memory_derive(kw_plugin_key *key, const kw_call *call, const kw_algorithm *algorithm, kw_input peer,
                        kw_output *shared);

#endif
