/*
 * A message needs a context of AES-256-GCM, one of AES-256 that has the key, and a nonce. None of them can be used by two threads at once, so they lie
 * in *lanes*: a thread takes one for the time of a message, nearly always the one that it had before, and nobody waits. Nothing belongs to a thread, so
 * nothing is left when one ends.
 */
#include "subkey/xaes.h"

#include "base/secret.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LANES = 32, BLOCK = 16, HALF = 12, NONCES_LENGTH = 4096, CACHE_LINE = 64 };

/* Random bytes for nonces, used once each. The kernel fills the page with zeros in the child of a fork, so that none of them is left there. */
struct nonces {
    size_t left; /* bytes, at the end of what follows */
    unsigned char bytes[(NONCES_LENGTH - sizeof(size_t)) / XAES_NONCE_LENGTH * XAES_NONCE_LENGTH];
};
_Static_assert(sizeof(struct nonces) <= NONCES_LENGTH, "a lane's nonces have a page");

struct lane {
    alignas(CACHE_LINE) atomic_uint holder; /* 0: free; else the generation of the process that took it */
    unsigned index;
    unsigned generation; /* that gcm and nonces are of */
    EVP_CIPHER_CTX *gcm;
    struct nonces *nonces; /* NULL: the lane is for one message alone */
};

struct xaes {
    struct lane lanes[LANES];
    struct crypto *crypto;
    EVP_CIPHER *ecb, *gcm;
    unsigned char *nonces; /* LANES pages */
};

/* In locked memory. */
struct xaes_key {
    struct xaes *xaes;
    struct {
        EVP_CIPHER_CTX *ecb; /* NULL: not used in this lane yet */
        unsigned generation;
    } lanes[LANES];
    unsigned char key[XAES_KEY_LENGTH];
    unsigned char mask[BLOCK]; /* K1 of the standard */
};

/* ---- Forks ---- */

/* A fork raises it in the child, where lanes that other threads of the parent had taken are then nobody's. */
static atomic_uint generation = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fork_child(void)
{
    atomic_fetch_add(&generation, 1);
}

static void initialise(void)
{
    pthread_atfork(NULL, NULL, fork_child);
}

/* ---- What all keys share ---- */

kw_status xaes_new(struct crypto *crypto, struct xaes **xaes, kw_error *error)
{
    kw_status status = KW_OK;
    pthread_once(&once, initialise);
    struct xaes *made = aligned_alloc(CACHE_LINE, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    memset(made, 0, sizeof(*made));
    made->crypto = crypto;
    void *pages = mmap(NULL, (size_t)LANES * NONCES_LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        status = error_memory(error);
        goto out;
    }
    /* Where the kernel does not have it, the generation does it alone, for forks that run handlers. */
    (void)madvise(pages, (size_t)LANES * NONCES_LENGTH, MADV_WIPEONFORK);
    made->nonces = pages;
    for (unsigned i = 0; i < LANES; i++) {
        void *page = made->nonces + (size_t)i * NONCES_LENGTH;
        made->lanes[i].index = i;
        made->lanes[i].nonces = page;
    }
    made->ecb = EVP_CIPHER_fetch(crypto->library, "AES-256-ECB", NULL);
    made->gcm = EVP_CIPHER_fetch(crypto->library, "AES-256-GCM", NULL);
    if (made->ecb == NULL || made->gcm == NULL) {
        status = crypto_error(error, KW_FAILED, "libcrypto has no AES-256");
        goto out;
    }
    *xaes = made;
    made = NULL;
out:
    xaes_free(made);
    return status;
}

void xaes_free(struct xaes *xaes)
{
    if (xaes == NULL)
        return;
    for (unsigned i = 0; i < LANES; i++)
        EVP_CIPHER_CTX_free(xaes->lanes[i].gcm);
    if (xaes->nonces != NULL)
        munmap(xaes->nonces, (size_t)LANES * NONCES_LENGTH);
    EVP_CIPHER_free(xaes->gcm);
    EVP_CIPHER_free(xaes->ecb);
    free(xaes);
}

/* ---- Lanes ---- */

/* Where a thread looks first: threads that come one after the other begin at different lanes. */
static unsigned first_lane(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned number;
    if (number == 0)
        number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % LANES + 1;
    return number - 1;
}

/* NULL: all are taken. */
static struct lane *lane_take(struct xaes *xaes)
{
    const unsigned now = atomic_load_explicit(&generation, memory_order_relaxed), first = first_lane();
    for (unsigned i = 0; i < LANES; i++) {
        struct lane *lane = &xaes->lanes[(first + i) % LANES];
        unsigned holder = atomic_load_explicit(&lane->holder, memory_order_relaxed);
        if (holder != now && atomic_compare_exchange_strong_explicit(&lane->holder, &holder, now, memory_order_acquire,
                                                                     memory_order_relaxed)) {
            if (lane->generation != now) {
                /* In a child: what another thread of the parent may have been in the middle of. */
                EVP_CIPHER_CTX_free(lane->gcm);
                lane->gcm = NULL;
                lane->nonces->left = 0;
                lane->generation = now;
            }
            return lane;
        }
    }
    return NULL;
}

static void lane_give_back(struct lane *lane)
{
    atomic_store_explicit(&lane->holder, 0, memory_order_release);
}

static kw_status lane_nonce(struct xaes *xaes, struct lane *lane, unsigned char nonce[XAES_NONCE_LENGTH],
                            kw_error *error)
{
    struct nonces *nonces = lane->nonces;
    unsigned char *bytes = nonces != NULL ? nonces->bytes : nonce;
    if (nonces == NULL || nonces->left == 0) {
        const size_t length = nonces != NULL ? sizeof(nonces->bytes) : XAES_NONCE_LENGTH;
        if (RAND_bytes_ex(xaes->crypto->library, bytes, length, 0) != 1)
            return crypto_error(error, KW_FAILED, "libcrypto gives no random bytes");
        if (nonces == NULL)
            return KW_OK;
        nonces->left = length;
    }
    memcpy(nonce, bytes + sizeof(nonces->bytes) - nonces->left, XAES_NONCE_LENGTH);
    nonces->left -= XAES_NONCE_LENGTH;
    return KW_OK;
}

/* ---- A key ---- */

static bool blocks(EVP_CIPHER_CTX *ecb, const unsigned char *in, unsigned char *out, int length)
{
    int made = 0;
    return EVP_EncryptUpdate(ecb, out, &made, in, length) == 1 && made == length;
}

/* AES-256 with the key, into *ecb, which may be one that is there. */
static kw_status prepare(const struct xaes_key *key, EVP_CIPHER_CTX **ecb, kw_error *error)
{
    if (*ecb == NULL)
        *ecb = EVP_CIPHER_CTX_new();
    if (*ecb == NULL || EVP_EncryptInit_ex(*ecb, key->xaes->ecb, NULL, key->key, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(*ecb, 0) != 1)
        return crypto_error(error, KW_FAILED, "a key cannot be prepared");
    return KW_OK;
}

kw_status xaes_key_new(struct xaes *xaes, const unsigned char key[XAES_KEY_LENGTH], struct xaes_key **made,
                       kw_error *error)
{
    static const unsigned char zero[BLOCK];
    EVP_CIPHER_CTX *ecb = NULL;
    unsigned carry = 0;
    struct xaes_key *new_key = secret_allocate(sizeof(*new_key));
    if (new_key == NULL)
        return error_memory(error);
    new_key->xaes = xaes;
    memcpy(new_key->key, key, XAES_KEY_LENGTH);
    kw_status status = prepare(new_key, &ecb, error);
    if (status != KW_OK)
        goto out;
    if (!blocks(ecb, zero, new_key->mask, BLOCK)) {
        status = crypto_error(error, KW_FAILED, "a key cannot be prepared");
        goto out;
    }
    /* Doubled in GF(2^128), as CMAC does, in constant time. */
    for (size_t i = BLOCK; i-- > 0;) {
        const unsigned doubled = (unsigned)new_key->mask[i] << 1 | carry;
        new_key->mask[i] = (unsigned char)doubled;
        carry = doubled >> 8;
    }
    new_key->mask[BLOCK - 1] ^= (unsigned char)(0x87 & (0u - carry));
    const unsigned lane = first_lane();
    new_key->lanes[lane].ecb = ecb;
    new_key->lanes[lane].generation = atomic_load_explicit(&generation, memory_order_relaxed);
    ecb = NULL;
    *made = new_key;
    new_key = NULL;
out:
    EVP_CIPHER_CTX_free(ecb);
    xaes_key_free(new_key);
    return status;
}

void xaes_key_free(struct xaes_key *key)
{
    if (key == NULL)
        return;
    for (unsigned i = 0; i < LANES; i++)
        EVP_CIPHER_CTX_free(key->lanes[i].ecb);
    secret_free(key, sizeof(*key));
}

/* The key of one message: two blocks, which CMAC would make of the two halves of SP 800-108's counter mode. */
static kw_status derive(struct xaes_key *key, struct lane *lane, const unsigned char *nonce,
                        unsigned char out[XAES_KEY_LENGTH], kw_error *error)
{
    unsigned char in[2 * BLOCK];
    EVP_CIPHER_CTX *own = NULL, **ecb = lane->nonces != NULL ? &key->lanes[lane->index].ecb : &own;
    kw_status status = KW_OK;
    if (lane->nonces == NULL || *ecb == NULL || key->lanes[lane->index].generation != lane->generation) {
        status = prepare(key, ecb, error);
        if (status != KW_OK)
            goto out;
        if (lane->nonces != NULL)
            key->lanes[lane->index].generation = lane->generation;
    }
    for (unsigned half = 0; half < 2; half++) {
        unsigned char *block = in + half * BLOCK;
        const unsigned char prefix[BLOCK - HALF] = {0, (unsigned char)(half + 1), 'X', 0};
        memcpy(block, prefix, sizeof(prefix));
        memcpy(block + sizeof(prefix), nonce, HALF);
        for (unsigned i = 0; i < BLOCK; i++)
            block[i] ^= key->mask[i];
    }
    if (!blocks(*ecb, in, out, sizeof(in)))
        status = crypto_error(error, KW_FAILED, "a message's key cannot be derived");
out:
    secret_wipe(in, sizeof(in));
    EVP_CIPHER_CTX_free(own);
    return status;
}

/* ---- A message ---- */

/* The lane's context of AES-256-GCM with the message's key, after the associated data. */
static kw_status begin(struct xaes_key *key, struct lane *lane, const unsigned char *nonce, bool encrypt,
                       const struct xaes_message *message, kw_error *error)
{
    unsigned char message_key[XAES_KEY_LENGTH];
    int made = 0;
    kw_status status = derive(key, lane, nonce, message_key, error);
    if (status != KW_OK)
        goto out;
    const bool first = lane->gcm == NULL;
    if (first)
        lane->gcm = EVP_CIPHER_CTX_new();
    bool good = lane->gcm != NULL && EVP_CipherInit_ex(lane->gcm, first ? key->xaes->gcm : NULL, NULL, message_key,
                                                       nonce + HALF, encrypt) == 1;
    for (unsigned i = 0; i < 2 && good; i++)
        good =
            message->associated[i].length == 0 || EVP_CipherUpdate(lane->gcm, NULL, &made, message->associated[i].data,
                                                                   (int)message->associated[i].length) == 1;
    if (!good)
        status = crypto_error(error, KW_FAILED, "AES-256-GCM failed");
out:
    secret_wipe(message_key, sizeof(message_key));
    return status;
}

static kw_status check(const struct xaes_message *message, kw_error *error)
{
    if (message->text.length > XAES_PLAINTEXT_MAXIMUM || message->associated[0].length > XAES_PLAINTEXT_MAXIMUM ||
        message->associated[1].length > XAES_PLAINTEXT_MAXIMUM)
        return error_set(error, KW_INVALID_ARGUMENT, "a message of more than %u bytes is not sealed or opened",
                         XAES_PLAINTEXT_MAXIMUM);
    return KW_OK;
}

/* The text through the context. libcrypto takes no NULL for an empty one. */
static bool update(EVP_CIPHER_CTX *gcm, kw_input text, unsigned char *out)
{
    int made = 0;
    return text.length == 0 ||
           (EVP_CipherUpdate(gcm, out, &made, text.data, (int)text.length) == 1 && (size_t)made == text.length);
}

kw_status xaes_encrypt(struct xaes_key *key, const unsigned char *nonce, const struct xaes_message *message,
                       unsigned char out_nonce[XAES_NONCE_LENGTH], unsigned char *ciphertext,
                       unsigned char tag[XAES_TAG_LENGTH], kw_error *error)
{
    struct lane alone = {0};
    int made = 0;
    kw_status status = check(message, error);
    if (status != KW_OK)
        return status;
    struct lane *taken = lane_take(key->xaes), *lane = taken != NULL ? taken : &alone;
    if (nonce != NULL)
        memmove(out_nonce, nonce, XAES_NONCE_LENGTH);
    else
        status = lane_nonce(key->xaes, lane, out_nonce, error);
    if (status != KW_OK)
        goto out;
    status = begin(key, lane, out_nonce, true, message, error);
    if (status != KW_OK)
        goto out;
    unsigned char none[BLOCK];
    if (!update(lane->gcm, message->text, ciphertext) || EVP_EncryptFinal_ex(lane->gcm, none, &made) != 1 ||
        EVP_CIPHER_CTX_ctrl(lane->gcm, EVP_CTRL_AEAD_GET_TAG, XAES_TAG_LENGTH, tag) != 1)
        status = crypto_error(error, KW_FAILED, "AES-256-GCM failed");
out:
    EVP_CIPHER_CTX_free(alone.gcm);
    if (taken != NULL)
        lane_give_back(taken);
    return status;
}

kw_status xaes_decrypt(struct xaes_key *key, const unsigned char nonce[XAES_NONCE_LENGTH],
                       const struct xaes_message *message, const unsigned char tag[XAES_TAG_LENGTH],
                       unsigned char *plaintext, kw_error *error)
{
    struct lane alone = {0};
    unsigned char expected[XAES_TAG_LENGTH], none[BLOCK];
    int made = 0;
    kw_status status = check(message, error);
    if (status != KW_OK)
        return status;
    struct lane *taken = lane_take(key->xaes), *lane = taken != NULL ? taken : &alone;
    status = begin(key, lane, nonce, false, message, error);
    if (status != KW_OK)
        goto out;
    memcpy(expected, tag, sizeof(expected)); /* libcrypto's is not const */
    if (!update(lane->gcm, message->text, plaintext) ||
        EVP_CIPHER_CTX_ctrl(lane->gcm, EVP_CTRL_AEAD_SET_TAG, XAES_TAG_LENGTH, expected) != 1) {
        status = crypto_error(error, KW_FAILED, "AES-256-GCM failed");
        goto out;
    }
    if (EVP_DecryptFinal_ex(lane->gcm, none, &made) != 1)
        status = crypto_error(error, KW_CIPHERTEXT_INVALID,
                              "this seal was changed, or made by another key or for other associated data");
out:
    if (status != KW_OK)
        secret_wipe(plaintext, message->text.length);
    EVP_CIPHER_CTX_free(alone.gcm);
    if (taken != NULL)
        lane_give_back(taken);
    return status;
}
