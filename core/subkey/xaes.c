/* XAES-256-GCM from libcrypto's AES-256-ECB and AES-256-GCM, whose contexts lie in lanes. */
#include "subkey/xaes.h"

#include "base/secret.h"
#include "subkey/lane.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, HALF = 12, JOINED_MAXIMUM = 512 };

struct xaes {
    struct lanes lanes;
    struct crypto *crypto;
    EVP_CIPHER *ecb, *gcm;
};

/* AES-256 with one key, for each lane that it was used in. */
struct xaes_contexts {
    struct {
        EVP_CIPHER_CTX *ecb;
        unsigned generation;
    } lanes[LANES];
};

/* ---- What all keys share ---- */

kw_status xaes_new(struct crypto *crypto, struct xaes **xaes, kw_error *error)
{
    kw_status status = KW_OK;
    struct xaes *made = aligned_alloc(CACHE_LINE, sizeof(*made));
    if (made == NULL)
        return error_memory(error);
    memset(made, 0, sizeof(*made));
    made->crypto = crypto;
    status = lanes_init(&made->lanes, crypto, error);
    if (status != KW_OK)
        goto out;
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
    lanes_clear(&xaes->lanes);
    EVP_CIPHER_free(xaes->gcm);
    EVP_CIPHER_free(xaes->ecb);
    free(xaes);
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
    static atomic_uint_least64_t last;
    unsigned char block[BLOCK];
    unsigned carry = 0;
    struct lane alone, *lane = lane_take(&xaes->lanes, &alone);
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
    secret->number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
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

/* ---- Message keys ---- */

/* A block as words that are written at once: a processor waits for bytes that were written in pieces and are read as one. */
typedef uint32_t block_words __attribute__((vector_size(BLOCK)));
typedef block_words message_blocks[2];

/* The two blocks that a message's key is made of: CMAC's input in SP 800-108's counter mode. */
static inline void make_blocks(const struct xaes_key *key, const unsigned char *nonce, message_blocks in)
{
    static const unsigned char prefixes[2][BLOCK - HALF] = {{0, 1, 'X', 0}, {0, 2, 'X', 0}};
    uint32_t prefix, first, second, third;
    block_words mask;
    memcpy(&mask, key->secret->mask, sizeof(mask));
    memcpy(&first, nonce, sizeof(first));
    memcpy(&second, nonce + sizeof(first), sizeof(second));
    memcpy(&third, nonce + 2 * sizeof(first), sizeof(third));
    for (unsigned half = 0; half < 2; half++) {
        memcpy(&prefix, prefixes[half], sizeof(prefix));
        in[half] = (block_words){prefix, first, second, third} ^ mask;
    }
}

/* The key of one message, and what it was made of, to be wiped together. */
struct derived {
    message_blocks in;
    unsigned char key[XAES_KEY_LENGTH];
};

static bool derive(struct xaes_key *key, struct lane *lane, const unsigned char *nonce, struct derived *derived)
{
    make_blocks(key, nonce, derived->in);
    return key_blocks(key, lane, (const unsigned char *)derived->in, derived->key, sizeof(derived->in));
}

static kw_status fill_ahead(struct xaes_key *key, struct lane *lane, struct message_keys *ahead, kw_error *error)
{
    message_blocks in[AHEAD];
    for (unsigned i = 0; i < AHEAD; i++) {
        const kw_status status = lane_nonce(&key->xaes->lanes, lane, ahead->nonces[i], error);
        if (status != KW_OK)
            return status;
        make_blocks(key, ahead->nonces[i], in[i]);
    }
    const bool good = key_blocks(key, lane, (const unsigned char *)in, ahead->keys[0], sizeof(in));
    secret_wipe(in, sizeof(in));
    if (!good)
        return crypto_error(error, KW_FAILED, "a message key cannot be derived");
    ahead->left = AHEAD;
    return KW_OK;
}

/* A new nonce and its key. Whose last message here was of the same key gets one that was made ahead. */
static kw_status new_message_key(struct xaes_key *key, struct lane *lane, unsigned char nonce[XAES_NONCE_LENGTH],
                                 struct derived *derived, kw_error *error)
{
    const uint64_t number = key->secret->number;
    struct message_keys *ahead = lane_ahead(lane, number);
    kw_status status = KW_OK;
    if (ahead == NULL || ahead->number != number) {
        if (ahead != NULL) {
            ahead->number = number;
            ahead->left = 0;
        }
        status = lane_nonce(&key->xaes->lanes, lane, nonce, error);
        if (status == KW_OK && !derive(key, lane, nonce, derived))
            status = crypto_error(error, KW_FAILED, "a message key cannot be derived");
        return status;
    }
    if (ahead->left == 0)
        status = fill_ahead(key, lane, ahead, error);
    if (status != KW_OK)
        return status;
    const size_t at = AHEAD - ahead->left--;
    memcpy(nonce, ahead->nonces[at], XAES_NONCE_LENGTH);
    memcpy(derived->key, ahead->keys[at], XAES_KEY_LENGTH);
    secret_wipe(ahead->keys[at], XAES_KEY_LENGTH);
    return KW_OK;
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

/* The lane's context of AES-256-GCM with the message's key, which it wipes, after the associated data. `parameters` NULL: to encrypt. */
static bool begin(const struct xaes *xaes, struct lane *lane, struct derived *derived, const unsigned char *nonce,
                  const OSSL_PARAM *parameters, const struct xaes_message *message)
{
    const bool first = lane->gcm == NULL;
    if (first)
        lane->gcm = EVP_CIPHER_CTX_new();
    const bool good = lane->gcm != NULL &&
                      EVP_CipherInit_ex2(lane->gcm, first ? xaes->gcm : NULL, derived->key, nonce + HALF,
                                         parameters == NULL, parameters) == 1 &&
                      authenticate(lane->gcm, message->associated);
    secret_wipe(derived, sizeof(*derived));
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
    struct derived derived;
    int made = 0;
    kw_status status = check(message, error);
    if (status != KW_OK)
        return status;
    struct lane alone, *lane = lane_take(&key->xaes->lanes, &alone);
    OSSL_PARAM parameters[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, XAES_TAG_LENGTH),
                               OSSL_PARAM_END};
    if (nonce == NULL)
        status = new_message_key(key, lane, out_nonce, &derived, error);
    else if (derive(key, lane, memmove(out_nonce, nonce, XAES_NONCE_LENGTH), &derived))
        status = KW_OK;
    else
        status = crypto_error(error, KW_FAILED, "a message key cannot be derived");
    if (status != KW_OK)
        goto out;
    if (!begin(key->xaes, lane, &derived, out_nonce, NULL, message) || !update(lane->gcm, message->text, ciphertext) ||
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
    unsigned char expected[XAES_TAG_LENGTH]; /* libcrypto's tag is not const */
    unsigned char none[BLOCK];
    struct derived derived;
    int made = 0;
    kw_status status = check(message, error);
    if (status != KW_OK)
        return status;
    struct lane alone, *lane = lane_take(&key->xaes->lanes, &alone);
    memcpy(expected, tag, sizeof(expected));
    const OSSL_PARAM parameters[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, expected, sizeof(expected)),
                                     OSSL_PARAM_END};
    if (!derive(key, lane, nonce, &derived) || !begin(key->xaes, lane, &derived, nonce, parameters, message) ||
        !update(lane->gcm, message->text, plaintext))
        status = crypto_error(error, KW_FAILED, "AES-256-GCM failed");
    else if (EVP_DecryptFinal_ex(lane->gcm, none, &made) != 1)
        status = crypto_error(error, KW_CIPHERTEXT_INVALID,
                              "this seal was changed, or made by another key or for other associated data");
    if (status != KW_OK)
        secret_wipe(plaintext, message->text.length);
    lane_give_back(lane);
    return status;
}
