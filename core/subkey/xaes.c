/*
 * A message needs a context of AES-256-GCM, one of AES-256 that has the key, and a nonce. None of them can be used by two threads at once, so they lie
 * in *lanes*: a thread takes one for the time of a message, nearly always the one that it had before, and nobody waits. Nothing belongs to a thread, so
 * nothing is left when one ends.
 */
#include "subkey/xaes.h"

#include "base/secret.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LANES = 32, BLOCK = 16, HALF = 12, NONCES_LENGTH = 16384, CACHE_LINE = 64, JOINED_MAXIMUM = 512 };

/* Random bytes for nonces, used once each. The kernel fills the pages with zeros in the child of a fork, so that none of them is left there. */
struct nonces {
    size_t left; /* bytes, at the end of what follows */
    unsigned char bytes[(NONCES_LENGTH - sizeof(size_t)) / XAES_NONCE_LENGTH * XAES_NONCE_LENGTH];
};
_Static_assert(sizeof(struct nonces) <= NONCES_LENGTH, "a lane has so much for its nonces");

struct lane {
    alignas(CACHE_LINE) atomic_uint holder; /* 0: free; else the generation of the process that took it */
    unsigned index;
    unsigned generation;   /* that all below is of */
    EVP_CIPHER_CTX *gcm;   /* has the key of the last message */
    EVP_CIPHER_CTX *guest; /* AES-256 for the first message of a key, wiped right after it */
    struct nonces *nonces; /* NULL: the lane is for one message alone */
};

struct xaes {
    struct lane lanes[LANES];
    struct crypto *crypto;
    EVP_CIPHER *ecb, *gcm;
    unsigned char *nonces; /* NONCES_LENGTH for each lane */
};

/* AES-256 with one key, for each lane that it was used in. */
struct xaes_contexts {
    struct {
        EVP_CIPHER_CTX *ecb;
        unsigned generation;
    } lanes[LANES];
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
        void *part = made->nonces + (size_t)i * NONCES_LENGTH;
        made->lanes[i].index = i;
        made->lanes[i].nonces = part;
    }
    crypto_enter();
    made->ecb = EVP_CIPHER_fetch(crypto->library, "AES-256-ECB", NULL);
    made->gcm = EVP_CIPHER_fetch(crypto->library, "AES-256-GCM", NULL);
    crypto_leave();
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
    for (unsigned i = 0; i < LANES; i++) {
        EVP_CIPHER_CTX_free(xaes->lanes[i].gcm);
        EVP_CIPHER_CTX_free(xaes->lanes[i].guest);
    }
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

/* `alone` where all are taken: without anything in it, for one message. */
static struct lane *lane_take(struct xaes *xaes, struct lane *alone)
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
                EVP_CIPHER_CTX_free(lane->guest);
                lane->gcm = lane->guest = NULL;
                lane->nonces->left = 0;
                lane->generation = now;
            }
            return lane;
        }
    }
    *alone = (struct lane){0};
    return alone;
}

static void lane_give_back(struct lane *lane)
{
    if (lane->nonces == NULL) {
        EVP_CIPHER_CTX_free(lane->gcm);
        EVP_CIPHER_CTX_free(lane->guest);
    } else {
        atomic_store_explicit(&lane->holder, 0, memory_order_release);
    }
}

/* Of the public generator: nonces are for all to read. */
static kw_status random_bytes(struct xaes *xaes, unsigned char *bytes, size_t length, kw_error *error)
{
    crypto_enter();
    const bool done = RAND_bytes_ex(xaes->crypto->library, bytes, length, 0) == 1;
    crypto_leave();
    return done ? KW_OK : crypto_error(error, KW_FAILED, "libcrypto gives no random bytes");
}

static kw_status lane_nonce(struct xaes *xaes, struct lane *lane, unsigned char nonce[XAES_NONCE_LENGTH],
                            kw_error *error)
{
    struct nonces *nonces = lane->nonces;
    if (nonces == NULL)
        return random_bytes(xaes, nonce, XAES_NONCE_LENGTH, error);
    if (nonces->left == 0) {
        const kw_status status = random_bytes(xaes, nonces->bytes, sizeof(nonces->bytes), error);
        if (status != KW_OK)
            return status;
        nonces->left = sizeof(nonces->bytes);
    }
    memcpy(nonce, nonces->bytes + sizeof(nonces->bytes) - nonces->left, XAES_NONCE_LENGTH);
    nonces->left -= XAES_NONCE_LENGTH;
    return KW_OK;
}

/* ---- A key ---- */

static bool blocks(EVP_CIPHER_CTX *ecb, const unsigned char *in, unsigned char *out, int length)
{
    int made = 0;
    return EVP_EncryptUpdate(ecb, out, &made, in, length) == 1 && made == length;
}

/* AES-256 with these bytes, into *ecb, which may be one that is there. */
static bool rekey(const struct xaes *xaes, EVP_CIPHER_CTX **ecb, const unsigned char bytes[XAES_KEY_LENGTH])
{
    const bool first = *ecb == NULL;
    if (first)
        *ecb = EVP_CIPHER_CTX_new();
    return *ecb != NULL && EVP_EncryptInit_ex(*ecb, first ? xaes->ecb : NULL, NULL, bytes, NULL) == 1;
}

/* A few blocks under a key that leaves nothing behind. */
static bool guest_blocks(const struct xaes *xaes, struct lane *lane, const unsigned char key[XAES_KEY_LENGTH],
                         const unsigned char *in, unsigned char *out, int length)
{
    static const unsigned char zero[XAES_KEY_LENGTH];
    const bool good = rekey(xaes, &lane->guest, key) && blocks(lane->guest, in, out, length);
    if (!rekey(xaes, &lane->guest, zero)) {
        EVP_CIPHER_CTX_free(lane->guest);
        lane->guest = NULL;
    }
    return good;
}

/* What SP 800-38B calls K1: AES-256 of zeros, doubled in GF(2^128) in constant time. */
kw_status xaes_prepare(struct xaes *xaes, const unsigned char key[XAES_KEY_LENGTH], struct xaes_secret *secret,
                       kw_error *error)
{
    static const unsigned char zero[BLOCK];
    unsigned char block[BLOCK];
    unsigned carry = 0;
    struct lane alone, *lane = lane_take(xaes, &alone);
    const bool good = guest_blocks(xaes, lane, key, zero, block, sizeof(block));
    lane_give_back(lane);
    if (!good)
        return crypto_error(error, KW_FAILED, "a key cannot be prepared");
    for (size_t i = BLOCK; i-- > 0;) {
        const unsigned doubled = (unsigned)block[i] << 1 | carry;
        block[i] = (unsigned char)doubled;
        carry = doubled >> 8;
    }
    block[BLOCK - 1] ^= (unsigned char)(0x87 & (0u - carry));
    memcpy(secret->mask, block, sizeof(secret->mask));
    memcpy(secret->key, key, sizeof(secret->key));
    secret_wipe(block, sizeof(block));
    return KW_OK;
}

void xaes_key_init(struct xaes_key *key, struct xaes *xaes, const struct xaes_secret *secret)
{
    key->xaes = xaes;
    key->secret = secret;
    atomic_init(&key->contexts, NULL);
    atomic_init(&key->used, false);
}

void xaes_key_clear(struct xaes_key *key)
{
    struct xaes_contexts *contexts = atomic_load_explicit(&key->contexts, memory_order_acquire);
    for (unsigned i = 0; contexts != NULL && i < LANES; i++)
        EVP_CIPHER_CTX_free(contexts->lanes[i].ecb);
    free(contexts);
    atomic_store_explicit(&key->contexts, NULL, memory_order_relaxed);
}

bool xaes_key_rest(struct xaes_key *key)
{
    atomic_store_explicit(&key->used, false, memory_order_relaxed);
    return atomic_load_explicit(&key->contexts, memory_order_relaxed) == NULL;
}

/* NULL: this is the key's first message, or memory ran out; there is another way. */
static struct xaes_contexts *key_contexts(struct xaes_key *key)
{
    struct xaes_contexts *there = atomic_load_explicit(&key->contexts, memory_order_acquire);
    if (there != NULL)
        return there;
    if (!atomic_load_explicit(&key->used, memory_order_relaxed)) {
        atomic_store_explicit(&key->used, true, memory_order_relaxed);
        return NULL;
    }
    struct xaes_contexts *made = calloc(1, sizeof(*made));
    if (made != NULL && !atomic_compare_exchange_strong_explicit(&key->contexts, &there, made, memory_order_acq_rel,
                                                                 memory_order_acquire)) {
        free(made);
        made = there;
    }
    return made;
}

/* Blocks under the key. */
static bool key_blocks(struct xaes_key *key, struct lane *lane, const unsigned char *in, unsigned char *out, int length)
{
    struct xaes_contexts *contexts = lane->nonces != NULL ? key_contexts(key) : NULL;
    if (contexts == NULL)
        return guest_blocks(key->xaes, lane, key->secret->key, in, out, length);
    EVP_CIPHER_CTX **ecb = &contexts->lanes[lane->index].ecb;
    if (*ecb == NULL || contexts->lanes[lane->index].generation != lane->generation) {
        if (!rekey(key->xaes, ecb, key->secret->key)) {
            EVP_CIPHER_CTX_free(*ecb);
            *ecb = NULL;
            return false;
        }
        contexts->lanes[lane->index].generation = lane->generation;
    }
    return blocks(*ecb, in, out, length);
}

/* What a message's key is made of and what it is, to be wiped together. */
struct derived {
    uint32_t in
        [2]
        [XAES_WORDS]; /* words, since a processor waits for bytes that were written one by one and are read as a block */
    unsigned char key[XAES_KEY_LENGTH];
};

/* The key of one message: two blocks, which are CMAC's in SP 800-108's counter mode. */
static bool derive(struct xaes_key *key, struct lane *lane, const unsigned char *nonce, struct derived *derived)
{
    static const unsigned char prefixes[2][BLOCK - HALF] = {{0, 1, 'X', 0}, {0, 2, 'X', 0}};
    const uint32_t *mask = key->secret->mask;
    uint32_t words[XAES_WORDS];
    memcpy(words + 1, nonce, HALF);
    for (unsigned half = 0; half < 2; half++) {
        memcpy(words, prefixes[half], sizeof(prefixes[half]));
        for (unsigned i = 0; i < XAES_WORDS; i++)
            derived->in[half][i] = words[i] ^ mask[i];
    }
    return key_blocks(key, lane, (const unsigned char *)derived->in, derived->key, sizeof(derived->in));
}

/* ---- A message ---- */

/* In one piece where that is short: each call of libcrypto, and each piece that is no whole block, costs. */
static bool authenticate(EVP_CIPHER_CTX *gcm, const kw_input parts[2])
{
    unsigned char joined[JOINED_MAXIMUM];
    kw_input one = {joined, parts[0].length + parts[1].length};
    int made = 0;
    if (parts[0].length > sizeof(joined) || parts[1].length > sizeof(joined) - parts[0].length)
        return EVP_CipherUpdate(gcm, NULL, &made, parts[0].data, (int)parts[0].length) == 1 &&
               EVP_CipherUpdate(gcm, NULL, &made, parts[1].data, (int)parts[1].length) == 1;
    if (parts[0].length > 0)
        memcpy(joined, parts[0].data, parts[0].length);
    if (parts[1].length > 0)
        memcpy(joined + parts[0].length, parts[1].data, parts[1].length);
    return one.length == 0 || EVP_CipherUpdate(gcm, NULL, &made, one.data, (int)one.length) == 1;
}

/* The lane's context of AES-256-GCM with the message's key, after the associated data. `parameters` NULL: to encrypt. */
static bool begin(struct xaes_key *key, struct lane *lane, const unsigned char *nonce, const OSSL_PARAM *parameters,
                  const struct xaes_message *message)
{
    struct derived derived;
    const bool first = lane->gcm == NULL;
    if (first)
        lane->gcm = EVP_CIPHER_CTX_new();
    const bool good = lane->gcm != NULL && derive(key, lane, nonce, &derived) &&
                      EVP_CipherInit_ex2(lane->gcm, first ? key->xaes->gcm : NULL, derived.key, nonce + HALF,
                                         parameters == NULL, parameters) == 1 &&
                      authenticate(lane->gcm, message->associated);
    secret_wipe(&derived, sizeof(derived));
    return good;
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
    unsigned char none[BLOCK];
    int made = 0;
    kw_status status = check(message, error);
    if (status != KW_OK)
        return status;
    struct lane alone, *lane = lane_take(key->xaes, &alone);
    OSSL_PARAM parameters[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, XAES_TAG_LENGTH),
                               OSSL_PARAM_END};
    if (nonce != NULL)
        memmove(out_nonce, nonce, XAES_NONCE_LENGTH);
    else
        status = lane_nonce(key->xaes, lane, out_nonce, error);
    if (status != KW_OK)
        goto out;
    if (!begin(key, lane, out_nonce, NULL, message) || !update(lane->gcm, message->text, ciphertext) ||
        EVP_EncryptFinal_ex(lane->gcm, none, &made) != 1 || EVP_CIPHER_CTX_get_params(lane->gcm, parameters) != 1)
        status = crypto_error(error, KW_FAILED, "AES-256-GCM failed");
out:
    lane_give_back(lane);
    return status;
}

kw_status xaes_decrypt(struct xaes_key *key, const unsigned char nonce[XAES_NONCE_LENGTH],
                       const struct xaes_message *message, const unsigned char tag[XAES_TAG_LENGTH],
                       unsigned char *plaintext, kw_error *error)
{
    unsigned char expected[XAES_TAG_LENGTH], none[BLOCK]; /* libcrypto's tag is not const */
    int made = 0;
    kw_status status = check(message, error);
    if (status != KW_OK)
        return status;
    struct lane alone, *lane = lane_take(key->xaes, &alone);
    memcpy(expected, tag, sizeof(expected));
    const OSSL_PARAM parameters[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, expected, sizeof(expected)),
                                     OSSL_PARAM_END};
    if (!begin(key, lane, nonce, parameters, message) || !update(lane->gcm, message->text, plaintext))
        status = crypto_error(error, KW_FAILED, "AES-256-GCM failed");
    else if (EVP_DecryptFinal_ex(lane->gcm, none, &made) != 1)
        status = crypto_error(error, KW_CIPHERTEXT_INVALID,
                              "this seal was changed, or made by another key or for other associated data");
    if (status != KW_OK)
        secret_wipe(plaintext, message->text.length);
    lane_give_back(lane);
    return status;
}
