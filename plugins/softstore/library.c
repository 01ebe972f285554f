/* libcrypto in a context of its own, the gate that a fork closes, random bytes, digests and seals. */
#include "softstore.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdlib.h>

static const struct {
    const char *name;
    size_t length;
} hash_table[] = {
    [KW_HASH_NONE] = {NULL, 0},          [KW_HASH_SHA1] = {"SHA1", 20},       [KW_HASH_SHA224] = {"SHA2-224", 28},
    [KW_HASH_SHA256] = {"SHA2-256", 32}, [KW_HASH_SHA384] = {"SHA2-384", 48}, [KW_HASH_SHA512] = {"SHA2-512", 64},
};

const char *softstore_hash_name(kw_hash hash)
{
    return (unsigned)hash <= KW_HASH_SHA512 ? hash_table[hash].name : NULL;
}

size_t softstore_hash_length(kw_hash hash)
{
    return (unsigned)hash <= KW_HASH_SHA512 ? hash_table[hash].length : 0;
}

/* ---- The gate ------------------------------------------------------------------------------------------------ */

/*
 * One for the module, since all instances share libcrypto's context. A reader adds itself to `inside` and then looks at `closed`; who
 * closes sets `closed` and then looks at `inside`: one of the two sees the other, because the atomics are sequentially consistent.
 */
static struct {
    atomic_uint inside;
    atomic_bool closed; /* for a fork */
    atomic_uint generation;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_step_out(void)
{
    if (atomic_fetch_sub(&gate.inside, 1) == 1 && atomic_load(&gate.closed)) {
        pthread_mutex_lock(&gate.mutex);
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.mutex);
    }
}

void softstore_enter(void)
{
    for (;;) {
        atomic_fetch_add(&gate.inside, 1);
        if (!atomic_load(&gate.closed))
            break;
        gate_step_out();
        pthread_mutex_lock(&gate.mutex);
        while (atomic_load(&gate.closed))
            pthread_cond_wait(&gate.changed, &gate.mutex);
        pthread_mutex_unlock(&gate.mutex);
    }
    ERR_set_mark();
}

void softstore_leave(void)
{
    ERR_pop_to_mark();
    gate_step_out();
}

static void gate_close(void)
{
    pthread_mutex_lock(&gate.mutex);
    atomic_store(&gate.closed, true);
    while (atomic_load(&gate.inside) != 0)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_open(void)
{
    pthread_mutex_lock(&gate.mutex);
    atomic_store(&gate.closed, false);
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_renew(void)
{
    /* Threads of the parent that waited at the gate are not here, but may have left their marks on mutex and counter. */
    pthread_mutex_init(&gate.mutex, NULL);
    pthread_cond_init(&gate.changed, NULL);
    atomic_store(&gate.inside, 0);
    atomic_store(&gate.closed, false);
    atomic_fetch_add(&gate.generation, 1);
}

/*
 * Not by the fork operations of an instance: the host calls them for instances that are open, and a process may fork while one opens. The
 * module stays loaded, so the handlers do.
 */
static bool fork_is_watched;

static void watch_forks(void)
{
    fork_is_watched = pthread_atfork(gate_close, gate_open, gate_renew) == 0;
}

unsigned softstore_generation(void)
{
    return atomic_load_explicit(&gate.generation, memory_order_relaxed);
}

/* ---- libcrypto ------------------------------------------------------------------------------------------------- */

static void library_free(struct softstore_library *library)
{
    if (library == NULL)
        return;
    for (size_t i = 0; i < sizeof(library->hashes) / sizeof(library->hashes[0]); i++)
        EVP_MD_free(library->hashes[i]);
    EVP_KDF_free(library->scrypt);
    EVP_CIPHER_free(library->aes_256_gcm);
    if (library->provider != NULL)
        OSSL_PROVIDER_unload(library->provider);
    OSSL_LIB_CTX_free(library->context);
    free(library);
}

static struct softstore_library *library_new(void)
{
    bool made = false;
    struct softstore_library *library = calloc(1, sizeof(*library));
    if (library == NULL)
        goto out;
    library->context = OSSL_LIB_CTX_new();
    if (library->context == NULL)
        goto out;
    library->provider = OSSL_PROVIDER_load(library->context, "default");
    if (library->provider == NULL)
        goto out;
    library->aes_256_gcm = EVP_CIPHER_fetch(library->context, "AES-256-GCM", NULL);
    library->scrypt = EVP_KDF_fetch(library->context, "SCRYPT", NULL);
    if (library->aes_256_gcm == NULL || library->scrypt == NULL)
        goto out;
    for (int hash = KW_HASH_SHA1; hash <= KW_HASH_SHA512; hash++) {
        library->hashes[hash] = EVP_MD_fetch(library->context, hash_table[hash].name, NULL);
        if (library->hashes[hash] == NULL)
            goto out;
    }
    made = true;
out:
    if (!made) {
        library_free(library);
        library = NULL;
    }
    return library;
}

const struct softstore_library *softstore_library_get(void)
{
    static _Atomic(struct softstore_library *) the_library;
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    struct softstore_library *library = atomic_load(&the_library);
    if (library != NULL)
        return library;
    pthread_once(&watched, watch_forks);
    if (!fork_is_watched)
        return NULL;
    softstore_enter();
    struct softstore_library *made = library_new();
    if (made != NULL && atomic_compare_exchange_strong(&the_library, &library, made))
        library = made;
    else
        library_free(made);
    softstore_leave();
    return library;
}

bool softstore_random_bytes(const struct softstore_library *library, unsigned char *data, size_t length)
{
    softstore_enter();
    bool done = RAND_priv_bytes_ex(library->context, data, length, 0) == 1;
    softstore_leave();
    return done;
}

bool softstore_digest(const struct softstore_library *library, kw_hash hash, kw_input input, unsigned char *digest)
{
    softstore_enter();
    bool done = EVP_Digest(input.data, input.length, digest, NULL, library->hashes[hash], NULL) == 1;
    softstore_leave();
    return done;
}

bool softstore_seal(const struct softstore_library *library, const unsigned char *key, const unsigned char *nonce,
                    kw_input associated, kw_input plaintext, unsigned char *sealed)
{
    int length = 0, last = 0;
    if (plaintext.length > INT_MAX || associated.length > INT_MAX)
        return false;
    softstore_enter();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool done = context != NULL && EVP_EncryptInit_ex2(context, library->aes_256_gcm, key, nonce, NULL) == 1 &&
                EVP_EncryptUpdate(context, NULL, &length, associated.data, (int)associated.length) == 1 &&
                EVP_EncryptUpdate(context, sealed, &length, plaintext.data, (int)plaintext.length) == 1 &&
                EVP_EncryptFinal_ex(context, sealed + length, &last) == 1 &&
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SOFTSTORE_SEAL_TAG, sealed + plaintext.length) == 1;
    EVP_CIPHER_CTX_free(context);
    softstore_leave();
    return done;
}

bool softstore_unseal(const struct softstore_library *library, const unsigned char *key, const unsigned char *nonce,
                      kw_input associated, kw_input sealed, unsigned char *plaintext)
{
    int length = 0, last = 0;
    if (sealed.length < SOFTSTORE_SEAL_TAG || sealed.length > INT_MAX || associated.length > INT_MAX)
        return false;
    size_t content = sealed.length - SOFTSTORE_SEAL_TAG;
    unsigned char tag[SOFTSTORE_SEAL_TAG];
    for (size_t i = 0; i < sizeof(tag); i++)
        tag[i] = sealed.data[content + i];
    softstore_enter();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool done = context != NULL && EVP_DecryptInit_ex2(context, library->aes_256_gcm, key, nonce, NULL) == 1 &&
                EVP_DecryptUpdate(context, NULL, &length, associated.data, (int)associated.length) == 1 &&
                EVP_DecryptUpdate(context, plaintext, &length, sealed.data, (int)content) == 1 &&
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) == 1 &&
                EVP_DecryptFinal_ex(context, plaintext + length, &last) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!done)
        OPENSSL_cleanse(plaintext, content);
    softstore_leave();
    return done;
}
