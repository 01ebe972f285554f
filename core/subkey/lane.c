#include "subkey/lane.h"

#include "base/secret.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

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

/* ---- All lanes ---- */

kw_status lanes_init(struct lanes *lanes, struct crypto *crypto, kw_error *error)
{
    pthread_once(&once, initialise);
    lanes->crypto = crypto;
    void *pages = mmap(NULL, (size_t)LANES * NONCES_LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return error_memory(error);
    /* Where the kernel does not have it, the generation does it alone, for forks that run handlers. */
    (void)madvise(pages, (size_t)LANES * NONCES_LENGTH, MADV_WIPEONFORK);
    lanes->nonces = pages;
    for (unsigned i = 0; i < LANES; i++) {
        void *part = lanes->nonces + (size_t)i * NONCES_LENGTH;
        lanes->lanes[i].index = i;
        lanes->lanes[i].nonces = part;
    }
    return KW_OK;
}

void lanes_clear(struct lanes *lanes)
{
    for (unsigned i = 0; i < LANES; i++) {
        EVP_CIPHER_CTX_free(lanes->lanes[i].gcm);
        EVP_CIPHER_CTX_free(lanes->lanes[i].guest);
        secret_free(lanes->lanes[i].ahead, sizeof(*lanes->lanes[i].ahead));
    }
    if (lanes->nonces != NULL)
        munmap(lanes->nonces, (size_t)LANES * NONCES_LENGTH);
}

/* ---- One ---- */

/* Where a thread looks first: threads that come one after the other begin at different lanes. */
static unsigned first_lane(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned number;
    if (number == 0)
        number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % LANES + 1;
    return number - 1;
}

struct lane *lane_take(struct lanes *lanes, struct lane *alone)
{
    const unsigned now = atomic_load_explicit(&generation, memory_order_relaxed), first = first_lane();
    for (unsigned i = 0; i < LANES; i++) {
        struct lane *lane = &lanes->lanes[(first + i) % LANES];
        unsigned holder = atomic_load_explicit(&lane->holder, memory_order_relaxed);
        if (holder != now && atomic_compare_exchange_strong_explicit(&lane->holder, &holder, now, memory_order_acquire,
                                                                     memory_order_relaxed)) {
            if (lane->generation != now) {
                /* In a child: what another thread of the parent may have been in the middle of. */
                EVP_CIPHER_CTX_free(lane->gcm);
                EVP_CIPHER_CTX_free(lane->guest);
                lane->gcm = lane->guest = NULL;
                lane->nonces->left = lane->nonces->ahead_is_ours = 0;
                lane->generation = now;
            }
            return lane;
        }
    }
    *alone = (struct lane){0};
    return alone;
}

void lane_give_back(struct lane *lane)
{
    if (lane->nonces == NULL) {
        EVP_CIPHER_CTX_free(lane->gcm);
        EVP_CIPHER_CTX_free(lane->guest);
    } else {
        atomic_store_explicit(&lane->holder, 0, memory_order_release);
    }
}

/* Of the public generator: nonces are for all to read. */
static kw_status random_bytes(const struct lanes *lanes, unsigned char *bytes, size_t length, kw_error *error)
{
    crypto_enter();
    const bool done = RAND_bytes_ex(lanes->crypto->library, bytes, length, 0) == 1;
    crypto_leave();
    return done ? KW_OK : crypto_error(error, KW_FAILED, "libcrypto gives no random bytes");
}

kw_status lane_nonce(struct lanes *lanes, struct lane *lane, unsigned char nonce[XAES_NONCE_LENGTH], kw_error *error)
{
    struct nonces *nonces = lane->nonces;
    if (nonces == NULL)
        return random_bytes(lanes, nonce, XAES_NONCE_LENGTH, error);
    if (nonces->left == 0) {
        const kw_status status = random_bytes(lanes, nonces->bytes, sizeof(nonces->bytes), error);
        if (status != KW_OK)
            return status;
        nonces->left = sizeof(nonces->bytes);
    }
    memcpy(nonce, nonces->bytes + sizeof(nonces->bytes) - nonces->left, XAES_NONCE_LENGTH);
    nonces->left -= XAES_NONCE_LENGTH;
    return KW_OK;
}

struct message_keys *lane_ahead(struct lane *lane, uint64_t number)
{
    if (lane->nonces == NULL)
        return NULL;
    if (lane->ahead == NULL)
        lane->ahead = secret_allocate(sizeof(*lane->ahead));
    if (lane->ahead == NULL)
        return NULL;
    if (lane->nonces->ahead_is_ours == 0) {
        /* In a child: the parent uses these nonces. */
        secret_wipe(lane->ahead, sizeof(*lane->ahead));
        lane->nonces->ahead_is_ours = 1;
    }
    return &lane->ahead->of[number % AHEAD_KEYS];
}
