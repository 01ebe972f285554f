/*
 * The loadable OpenSSL module in a program of many threads, which sees libcrypto alone: keys by URI, one EVP_PKEY that all threads sign with, and
 * forks while another thread signs. The library is here to make the keys.
 */
#include "server.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, SIGNATURES = 25, CHILDREN = 12 };

static const unsigned char text[] = "a message that is signed";
static const char *const uris[] = {"keywright:general/rsa", "keywright:general/ec", "keywright:general/edwards"};
enum { KEYS = sizeof(uris) / sizeof(uris[0]) };

static struct server server;
static OSSL_PROVIDER *providers[2];

static int start(void **state)
{
    static const char *const kinds[] = {"rsa-2048", "ec-p256", "ed25519"};
    (void)state;
    server_start(&server, NULL);
    for (size_t i = 0; i < KEYS; i++) {
        const kw_certificate_template wanted = {
            .size = sizeof(wanted), .address = uris[i] + strlen("keywright:"), .key = kinds[i]};
        assert_ok(&server, kw_certificate_create(server.context, &wanted, NULL, NULL, &server.error));
    }
    kw_close(server.context);
    server.context = NULL;
    setenv("KEYWRIGHT_CONFIG", server.configuration, 1);
    assert_int_equal(OSSL_PROVIDER_set_default_search_path(NULL, MODULE_DIRECTORY), 1);
    providers[0] = OSSL_PROVIDER_load(NULL, "default");
    providers[1] = OSSL_PROVIDER_load(NULL, "keywright");
    return providers[0] != NULL && providers[1] != NULL ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    OSSL_PROVIDER_unload(providers[1]);
    OSSL_PROVIDER_unload(providers[0]);
    server_stop(&server);
    return 0;
}

static EVP_PKEY *load(const char *uri)
{
    EVP_PKEY *key = NULL;
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    if (store != NULL)
        OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

/* The public half in the default provider. */
static EVP_PKEY *public_of(EVP_PKEY *key)
{
    unsigned char *spki = NULL;
    const int length = i2d_PUBKEY(key, &spki);
    const unsigned char *at = spki;
    EVP_PKEY *public = length > 0 ? d2i_PUBKEY(NULL, &at, length) : NULL;
    OPENSSL_free(spki);
    return public;
}

static bool sign_and_verify(EVP_PKEY *key, EVP_PKEY *public)
{
    const char *hash = EVP_PKEY_is_a(key, "ED25519") ? NULL : "SHA256";
    unsigned char signature[512];
    size_t length = sizeof(signature);
    EVP_MD_CTX *signer = EVP_MD_CTX_new(), *verifier = EVP_MD_CTX_new();
    const bool good = EVP_DigestSignInit_ex(signer, NULL, hash, NULL, NULL, key, NULL) == 1 &&
                      EVP_DigestSign(signer, signature, &length, text, sizeof(text)) == 1 &&
                      EVP_DigestVerifyInit_ex(verifier, NULL, hash, NULL, NULL, public, NULL) == 1 &&
                      EVP_DigestVerify(verifier, signature, length, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(signer);
    EVP_MD_CTX_free(verifier);
    return good;
}

struct worker {
    pthread_t thread;
    pthread_barrier_t *barrier;
    EVP_PKEY *key, *public; /* NULL: it loads one itself */
    const char *uri;
    const atomic_bool *enough; /* NULL: SIGNATURES are */
    unsigned done;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    EVP_PKEY *key = worker->key, *public = worker->public;
    if (worker->barrier != NULL)
        pthread_barrier_wait(worker->barrier);
    if (key == NULL) {
        key = load(worker->uri);
        public = key != NULL ? public_of(key) : NULL;
    }
    while (public != NULL && (worker->enough != NULL ? !atomic_load(worker->enough) : worker->done < SIGNATURES) &&
           sign_and_verify(key, public))
        worker->done++;
    if (worker->key == NULL) {
        EVP_PKEY_free(key);
        EVP_PKEY_free(public);
    }
    return NULL;
}

static void run(struct worker workers[THREADS])
{
    pthread_barrier_t barrier;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].barrier = &barrier;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    pthread_barrier_destroy(&barrier);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].done, SIGNATURES);
}

/* The first use of the module, by all at once. */
static void threads_load_keys_at_the_same_time(void **state)
{
    (void)state;
    struct worker workers[THREADS] = {0};
    for (size_t i = 0; i < THREADS; i++)
        workers[i].uri = uris[i % KEYS];
    run(workers);
}

static void threads_sign_with_one_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        EVP_PKEY *key = load(uris[i]), *public = public_of(key);
        struct worker workers[THREADS] = {0};
        for (size_t j = 0; j < THREADS; j++) {
            workers[j].key = key;
            workers[j].public = public;
        }
        run(workers);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
    }
}

/* Each child signs with the key that it inherited, and with one that it loads; the parent's thread signs on. */
static void fork_while_another_thread_signs_gives_children_that_sign(void **state)
{
    (void)state;
    atomic_bool enough = false;
    EVP_PKEY *key = load(uris[1]), *public = public_of(key);
    struct worker worker = {.key = key, .public = public, .enough = &enough};
    assert_int_equal(pthread_create(&worker.thread, NULL, work, &worker), 0);
    for (size_t i = 0; i < CHILDREN; i++) {
        int status = 0;
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(60);
            bool good = sign_and_verify(key, public);
            EVP_PKEY *own = i % 4 == 0 ? load(uris[0]) : NULL;
            if (i % 4 == 0) {
                EVP_PKEY *own_public = own != NULL ? public_of(own) : NULL;
                good = good && own_public != NULL && sign_and_verify(own, own_public);
            }
            _exit(good ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    atomic_store(&enough, true);
    assert_int_equal(pthread_join(worker.thread, NULL), 0);
    assert_true(worker.done >= CHILDREN); /* it did not wait for any */
    assert_true(sign_and_verify(key, public));
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_load_keys_at_the_same_time),
        cmocka_unit_test(threads_sign_with_one_key),
        cmocka_unit_test(fork_while_another_thread_signs_gives_children_that_sign),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
