#include "subkey/xaes.h"

#include "base/buffer.h"
#include "base/secret.h"
#include "data/xaes_256_gcm.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct scene {
    struct crypto *crypto;
    struct xaes *xaes;
};

static int setup(void **state)
{
    static struct scene scene;
    *state = &scene;
    return crypto_open(&scene.crypto, NULL) == KW_OK && xaes_new(scene.crypto, &scene.xaes, NULL) == KW_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    xaes_free(scene->xaes);
    crypto_close(scene->crypto);
    return 0;
}

static void xaes_vectors_of_the_standard_come_out(void **state)
{
    const struct scene *scene = *state;
    for (size_t i = 0; i < sizeof(xaes_vectors) / sizeof(xaes_vectors[0]); i++) {
        unsigned char bytes[XAES_KEY_LENGTH], out[64], expected[64], nonce[XAES_NONCE_LENGTH], opened[64];
        const kw_input text = input_text(xaes_vectors[i].plaintext),
                       associated = input_text(xaes_vectors[i].associated);
        const size_t length = text.length;
        struct xaes_secret secret;
        struct xaes_key key;
        assert_true(hex_decode(xaes_vectors[i].key, bytes, sizeof(bytes)));
        assert_true(hex_decode(xaes_vectors[i].ciphertext, expected, length + XAES_TAG_LENGTH));
        assert_int_equal(xaes_prepare(scene->xaes, bytes, &secret, NULL), KW_OK);
        xaes_key_init(&key, scene->xaes, &secret);
        const unsigned char *given = (const unsigned char *)xaes_vectors[i].nonce;
        struct xaes_message message = {text, {associated, {0}}};
        assert_int_equal(xaes_encrypt(&key, given, &message, nonce, out, out + length, NULL), KW_OK);
        assert_memory_equal(nonce, given, sizeof(nonce));
        assert_memory_equal(out, expected, length + XAES_TAG_LENGTH);
        message.text.data = out;
        assert_int_equal(xaes_decrypt(&key, given, &message, out + length, opened, NULL), KW_OK);
        assert_memory_equal(opened, text.data, length);
        xaes_key_clear(&key);
    }
}

/* SHAKE-128 of nothing, so many bytes; to be freed. */
static unsigned char *shake(size_t length)
{
    unsigned char *bytes = malloc(length);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_non_null(bytes);
    assert_non_null(context);
    assert_int_equal(EVP_DigestInit_ex(context, EVP_shake128(), NULL), 1);
    assert_int_equal(EVP_DigestFinalXOF(context, bytes, length), 1);
    EVP_MD_CTX_free(context);
    return bytes;
}

static bool full(void)
{
    const char *value = getenv("KW_TEST_FULL");
    return value != NULL && strcmp(value, "yes") == 0;
}

static void accumulate(const struct scene *scene, unsigned iterations, const char *expected)
{
    const size_t most = (size_t)iterations * 330; /* at most 568 each, 313 in the mean */
    unsigned char *stream = shake(most), out[256 + XAES_TAG_LENGTH], nonce[XAES_NONCE_LENGTH], opened[256];
    kw_input rest = {stream, most};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    assert_non_null(hash);
    assert_int_equal(EVP_DigestInit_ex(hash, EVP_shake128(), NULL), 1);
    for (unsigned i = 0; i < iterations; i++) {
        kw_input bytes, given;
        struct xaes_message message = {0};
        struct xaes_secret secret;
        struct xaes_key key;
        uint8_t length;
        assert_true(input_bytes(&rest, XAES_KEY_LENGTH, &bytes) && input_bytes(&rest, XAES_NONCE_LENGTH, &given));
        assert_true(input_u8(&rest, &length) && input_bytes(&rest, length, &message.text));
        assert_true(input_u8(&rest, &length) && input_bytes(&rest, length, &message.associated[i % 2]));
        const kw_input text = message.text;
        assert_int_equal(xaes_prepare(scene->xaes, bytes.data, &secret, NULL), KW_OK);
        xaes_key_init(&key, scene->xaes, &secret);
        assert_int_equal(xaes_encrypt(&key, given.data, &message, nonce, out, out + text.length, NULL), KW_OK);
        assert_int_equal(EVP_DigestUpdate(hash, out, text.length + XAES_TAG_LENGTH), 1);
        message.text.data = out;
        assert_int_equal(xaes_decrypt(&key, nonce, &message, out + text.length, opened, NULL), KW_OK);
        assert_memory_equal(opened, text.data, text.length);
        xaes_key_clear(&key);
    }
    unsigned char digest[32];
    char digits[2 * sizeof(digest) + 1];
    assert_int_equal(EVP_DigestFinalXOF(hash, digest, sizeof(digest)), 1);
    hex_encode((kw_input){digest, sizeof(digest)}, digits);
    assert_string_equal(digits, expected);
    EVP_MD_CTX_free(hash);
    free(stream);
}

static void xaes_accumulated_vectors_of_the_standard_come_out(void **state)
{
    accumulate(*state, xaes_accumulated[0].iterations, xaes_accumulated[0].hash);
    if (full())
        accumulate(*state, xaes_accumulated[1].iterations, xaes_accumulated[1].hash);
}

/* ---- A key of its own for a test ---- */

static const unsigned char plain_key[XAES_KEY_LENGTH] = {1, 2, 3};

struct keyed {
    struct xaes_secret *secret;
    struct xaes_key key;
};

static struct keyed key_make(struct xaes *xaes)
{
    struct keyed keyed = {.secret = secret_allocate(sizeof(*keyed.secret))};
    assert_non_null(keyed.secret);
    assert_int_equal(xaes_prepare(xaes, plain_key, keyed.secret, NULL), KW_OK);
    xaes_key_init(&keyed.key, xaes, keyed.secret);
    return keyed;
}

static void key_drop(struct keyed *keyed)
{
    xaes_key_clear(&keyed->key);
    secret_free(keyed->secret, sizeof(*keyed->secret));
}

static const unsigned char record[40] = "forty bytes that are sealed again";

/* Encrypts the record, and decrypts it again with `twin`. */
static bool there_and_back(struct xaes_key *key, struct xaes_key *twin, unsigned char nonce[XAES_NONCE_LENGTH])
{
    unsigned char out[sizeof(record)], tag[XAES_TAG_LENGTH], opened[sizeof(record)];
    struct xaes_message message = {{record, sizeof(record)}, {{record, 5}, {0}}};
    if (xaes_encrypt(key, NULL, &message, nonce, out, tag, NULL) != KW_OK)
        return false;
    message.text.data = out;
    return xaes_decrypt(twin, nonce, &message, tag, opened, NULL) == KW_OK &&
           memcmp(opened, record, sizeof(record)) == 0;
}

static int compare_nonces(const void *left, const void *right)
{
    return memcmp(left, right, XAES_NONCE_LENGTH);
}

static void assert_all_differ(unsigned char (*nonces)[XAES_NONCE_LENGTH], size_t count)
{
    qsort(nonces, count, sizeof(*nonces), compare_nonces);
    for (size_t i = 1; i < count; i++)
        assert_memory_not_equal(nonces[i - 1], nonces[i], XAES_NONCE_LENGTH);
}

static void xaes_encrypt_too_long_is_refused_before_it_is_read(void **state)
{
    const struct scene *scene = *state;
    struct keyed keyed = key_make(scene->xaes);
    unsigned char nonce[XAES_NONCE_LENGTH], tag[XAES_TAG_LENGTH], out[1];
    const struct xaes_message text = {{record, (size_t)XAES_PLAINTEXT_MAXIMUM + 1}, {{0}, {0}}},
                              associated = {{0}, {{0}, {record, (size_t)XAES_PLAINTEXT_MAXIMUM + 1}}};
    kw_error error = {0};
    assert_int_equal(xaes_encrypt(&keyed.key, NULL, &text, nonce, out, tag, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "1073741824 bytes"));
    assert_int_equal(xaes_encrypt(&keyed.key, NULL, &associated, nonce, out, tag, NULL), KW_INVALID_ARGUMENT);
    assert_int_equal(xaes_decrypt(&keyed.key, nonce, &text, tag, out, NULL), KW_INVALID_ARGUMENT);
    key_drop(&keyed);
}

static void xaes_associated_data_of_any_length_is_one_piece(void **state)
{
    const struct scene *scene = *state;
    static unsigned char data[2000];
    static const size_t lengths[] = {0, 1, 15, 16, 17, 511, 512, 513, 1500};
    struct keyed keyed = key_make(scene->xaes);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t first = 0; first <= lengths[i]; first += lengths[i] / 2 + 1) {
            unsigned char nonce[XAES_NONCE_LENGTH], tag[XAES_TAG_LENGTH], out[1];
            struct xaes_message message = {{0}, {{data, first}, {data + first, lengths[i] - first}}};
            assert_int_equal(xaes_encrypt(&keyed.key, NULL, &message, nonce, out, tag, NULL), KW_OK);
            message.associated[0].length = lengths[i];
            message.associated[1].length = 0;
            assert_int_equal(xaes_decrypt(&keyed.key, nonce, &message, tag, out, NULL), KW_OK);
            message.associated[0].length = lengths[i] + 1;
            assert_int_equal(xaes_decrypt(&keyed.key, nonce, &message, tag, out, NULL), KW_CIPHERTEXT_INVALID);
        }
    }
    key_drop(&keyed);
}

/* ---- Message keys that were made ahead ---- */

static bool opens_under(struct xaes *xaes, const unsigned char bytes[XAES_KEY_LENGTH], struct xaes_key *key,
                        unsigned char nonce[XAES_NONCE_LENGTH])
{
    struct xaes_secret secret;
    struct xaes_key fresh;
    assert_int_equal(xaes_prepare(xaes, bytes, &secret, NULL), KW_OK);
    xaes_key_init(&fresh, xaes, &secret);
    const bool opens = there_and_back(key, &fresh, nonce);
    xaes_key_clear(&fresh);
    return opens;
}

/* More keys than a lane keeps message keys of, in turns of different lengths. */
static void xaes_message_keys_belong_to_one_key(void **state)
{
    enum { KEYS = 40, TURNS = 6 };
    const struct scene *scene = *state;
    static unsigned char nonces[KEYS * TURNS * TURNS][XAES_NONCE_LENGTH];
    unsigned char bytes[KEYS][XAES_KEY_LENGTH] = {{0}};
    struct xaes_secret secrets[KEYS];
    struct xaes_key keys[KEYS];
    size_t count = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        bytes[i][0] = (unsigned char)(i + 1);
        assert_int_equal(xaes_prepare(scene->xaes, bytes[i], &secrets[i], NULL), KW_OK);
        xaes_key_init(&keys[i], scene->xaes, &secrets[i]);
    }
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned i = 0; i < KEYS; i++)
            for (unsigned again = 0; again < (turn * i) % TURNS + 1; again++)
                assert_true(opens_under(scene->xaes, bytes[i], &keys[i], nonces[count++]));
    assert_all_differ(nonces, count);
    for (unsigned i = 0; i < KEYS; i++)
        xaes_key_clear(&keys[i]);
}

/* What is made for one that is gone is not used for its successor in the same place. */
static void xaes_message_keys_are_not_inherited_by_another_key(void **state)
{
    const struct scene *scene = *state;
    unsigned char bytes[XAES_KEY_LENGTH] = {7}, nonce[XAES_NONCE_LENGTH];
    struct xaes_secret secret;
    struct xaes_key key;
    for (unsigned i = 0; i < 4; i++) {
        bytes[1] = (unsigned char)i;
        assert_int_equal(xaes_prepare(scene->xaes, bytes, &secret, NULL), KW_OK);
        xaes_key_init(&key, scene->xaes, &secret);
        for (unsigned message = 0; message < 5; message++)
            assert_true(opens_under(scene->xaes, bytes, &key, nonce));
        xaes_key_clear(&key);
    }
}

/* ---- Many threads ---- */

enum { THREADS = 40, ROUNDS = 50 }; /* more threads than lanes */

struct crowd {
    struct xaes *xaes;
    struct xaes_key *key;
    pthread_barrier_t barrier;
    atomic_uint failures;
    unsigned char nonces[THREADS * ROUNDS][XAES_NONCE_LENGTH];
    atomic_uint count;
};

static void *seal_in_a_crowd(void *argument)
{
    struct crowd *crowd = argument;
    pthread_barrier_wait(&crowd->barrier);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct keyed own = {.secret = NULL};
        xaes_key_init(&own.key, crowd->xaes, crowd->key->secret);
        if (!there_and_back(i % 3 == 0 ? &own.key : crowd->key, i % 3 == 1 ? &own.key : crowd->key,
                            crowd->nonces[atomic_fetch_add(&crowd->count, 1)]))
            atomic_fetch_add(&crowd->failures, 1);
        xaes_key_clear(&own.key);
    }
    return NULL;
}

static void xaes_more_threads_than_lanes_share_a_key(void **state)
{
    const struct scene *scene = *state;
    static struct crowd crowd;
    struct keyed keyed = key_make(scene->xaes);
    pthread_t threads[THREADS];
    crowd.xaes = scene->xaes;
    crowd.key = &keyed.key;
    assert_int_equal(pthread_barrier_init(&crowd.barrier, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seal_in_a_crowd, &crowd), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&crowd.barrier);
    assert_int_equal(crowd.failures, 0);
    assert_all_differ(crowd.nonces, THREADS * ROUNDS);
    key_drop(&keyed);
}

/* ---- Forks ---- */

struct family {
    atomic_uint count, failures;
    unsigned each;
    unsigned char (*nonces)[XAES_NONCE_LENGTH];
};

static void seal_alone(struct xaes_key *key, struct family *family, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!there_and_back(key, key, family->nonces[atomic_fetch_add(&family->count, 1)]))
            atomic_fetch_add(&family->failures, 1);
}

/* Forks a child that seals, and has one of its own when `generations` is more than 1. Raw: without libc's handlers. */
static void have_child(struct xaes_key *key, struct family *family, unsigned generations, bool raw)
{
    const pid_t child = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    int status = 0;
    assert_true(child >= 0);
    if (child == 0) {
        seal_alone(key, family, family->each / 2);
        if (generations > 1)
            have_child(key, family, generations - 1, false);
        seal_alone(key, family, family->each / 2);
        /* Not by an exit: valgrind would tell of what the parent's other thread left in libcrypto. */
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

struct sealer {
    struct xaes_key *key;
    struct family *family;
    atomic_bool stop;
};

static void *seal_until_told(void *argument)
{
    struct sealer *sealer = argument;
    unsigned char nonce[XAES_NONCE_LENGTH];
    while (!atomic_load(&sealer->stop)) {
        for (unsigned i = 0; i < 8; i++)
            if (!there_and_back(sealer->key, sealer->key, nonce))
                atomic_fetch_add(&sealer->family->failures, 1);
        usleep(50); /* valgrind lets nobody else run otherwise */
    }
    return NULL;
}

/* Threads of the parent are in the middle of messages when it forks: lanes that they hold are the children's to use again. */
static void xaes_nonces_of_parents_and_children_all_differ(void **state)
{
    enum { CHILDREN = 5 };
    const struct scene *scene = *state;
    struct family *family = mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct keyed keyed = key_make(scene->xaes);
    struct sealer sealer = {.key = &keyed.key, .family = family};
    pthread_t thread;
    assert_ptr_not_equal(family, MAP_FAILED);
    family->each = full() ? 100000 : 200; /* times the parent, 5 children, and 4 grandchildren */
    const size_t most = (size_t)family->each * 2 * CHILDREN + family->each;
    family->nonces = mmap(NULL, most * XAES_NONCE_LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(family->nonces, MAP_FAILED);
    assert_int_equal(pthread_create(&thread, NULL, seal_until_told, &sealer), 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        seal_alone(&keyed.key, family, family->each / CHILDREN);
        have_child(&keyed.key, family, i == 0 ? 1 : 2, false);
    }
    atomic_store(&sealer.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(family->failures, 0);
    assert_int_equal(family->count, family->each * 2 * CHILDREN);
    assert_all_differ(family->nonces, family->count);
    munmap(family->nonces, most * XAES_NONCE_LENGTH);
    munmap(family, sizeof(*family));
    key_drop(&keyed);
}

/* A process that is made behind libc's back has the nonces of its parent, but for what the kernel does. */
static void xaes_nonces_of_a_child_without_fork_handlers_differ(void **state)
{
    const struct scene *scene = *state;
    struct family *family = mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct keyed keyed = key_make(scene->xaes);
    assert_ptr_not_equal(family, MAP_FAILED);
    family->each = 100;
    family->nonces = mmap(NULL, 1024 * XAES_NONCE_LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(family->nonces, MAP_FAILED);
    seal_alone(&keyed.key, family, 10);
    have_child(&keyed.key, family, 1, true);
    seal_alone(&keyed.key, family, 200);
    assert_int_equal(family->failures, 0);
    assert_all_differ(family->nonces, family->count);
    munmap(family->nonces, 1024 * XAES_NONCE_LENGTH);
    munmap(family, sizeof(*family));
    key_drop(&keyed);
}

/* ---- What stays in memory: not under sanitizers, which keep what is freed, and have terabytes of their own ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#ifndef SANITIZED

/* How often the bytes, whose complement is `inverse`, lie in what this process can write and does not share. */
static unsigned found_in_memory(const unsigned char *inverse, size_t length)
{
    static unsigned char window[1 << 18];
    FILE *maps = fopen("/proc/self/maps", "re");
    const int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[512];
    unsigned found = 0;
    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *rest = line; /* "START-END rw-p ..." */
        unsigned long start = strtoul(rest, &rest, 16);
        const unsigned long end = *rest == '-' ? strtoul(rest + 1, &rest, 16) : 0;
        /* What is larger, nobody has written to: valgrind's reserves. */
        if (strncmp(rest, " rw", 3) != 0 || strncmp(rest + 4, "p ", 2) != 0 || end - start > 1ul << 26)
            continue;
        for (; start < end; start += sizeof(window)) {
            const size_t wanted = end - start < sizeof(window) ? end - start : sizeof(window);
            const bool is_window = start < (uintptr_t)window + sizeof(window) && start + wanted > (uintptr_t)window;
            const ssize_t got = is_window ? 0 : pread(memory, window, wanted, (off_t)start);
            const unsigned char *at = window, *const stop = window + (got > 0 ? got : 0);
            while ((size_t)(stop - at) >= length &&
                   (at = memchr(at, inverse[0] ^ 0xff, (size_t)(stop - at) - length + 1)) != NULL) {
                size_t same = 1;
                while (same < length && (at[same] ^ inverse[same]) == 0xff)
                    same++;
                found += same == length;
                at++;
            }
        }
    }
    close(memory);
    fclose(maps);
    memset(window, 0, sizeof(window));
    return found;
}

static void xaes_key_leaves_nothing_in_memory(void **state)
{
    const struct scene *scene = *state;
    unsigned char inverse[XAES_KEY_LENGTH], bytes[XAES_KEY_LENGTH], nonce[XAES_NONCE_LENGTH];
    struct xaes_secret *secret = secret_allocate(sizeof(*secret));
    struct xaes_key key;
    assert_non_null(secret);
    assert_int_equal(crypto_random(scene->crypto, inverse, sizeof(inverse), NULL), KW_OK);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = inverse[i] ^ 0xff;
    assert_int_equal(xaes_prepare(scene->xaes, bytes, secret, NULL), KW_OK);
    secret_wipe(bytes, sizeof(bytes));
    assert_int_equal(found_in_memory(inverse, sizeof(inverse)), 1); /* in locked memory */

    xaes_key_init(&key, scene->xaes, secret);
    assert_true(there_and_back(&key, &key, nonce));
    assert_true(there_and_back(&key, &key, nonce));
    assert_true(found_in_memory(inverse, sizeof(inverse)) > 1); /* a schedule */
    xaes_key_clear(&key);
    assert_int_equal(found_in_memory(inverse, sizeof(inverse)), 1);

    struct keyed twin = {.secret = NULL};
    unsigned char out[sizeof(record)], tag[XAES_TAG_LENGTH];
    const struct xaes_message message = {{record, sizeof(record)}, {{0}, {0}}};
    xaes_key_init(&twin.key, scene->xaes, secret);
    assert_int_equal(xaes_encrypt(&twin.key, NULL, &message, nonce, out, tag, NULL), KW_OK);
    assert_int_equal(found_in_memory(inverse, sizeof(inverse)), 1); /* of one message alone no schedule is kept */
    xaes_key_clear(&twin.key);
    secret_free(secret, sizeof(*secret));
    assert_int_equal(found_in_memory(inverse, sizeof(inverse)), 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xaes_vectors_of_the_standard_come_out),
        cmocka_unit_test(xaes_accumulated_vectors_of_the_standard_come_out),
        cmocka_unit_test(xaes_encrypt_too_long_is_refused_before_it_is_read),
        cmocka_unit_test(xaes_associated_data_of_any_length_is_one_piece),
        cmocka_unit_test(xaes_message_keys_belong_to_one_key),
        cmocka_unit_test(xaes_message_keys_are_not_inherited_by_another_key),
        cmocka_unit_test(xaes_more_threads_than_lanes_share_a_key),
        cmocka_unit_test(xaes_nonces_of_parents_and_children_all_differ),
        cmocka_unit_test(xaes_nonces_of_a_child_without_fork_handlers_differ),
#ifndef SANITIZED
        cmocka_unit_test(xaes_key_leaves_nothing_in_memory),
#endif
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
