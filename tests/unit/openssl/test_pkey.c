/* Errors on their way through libcrypto, threads, and the order in which things go away. */
#include "keyring.h"

#include "openssl/provider.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

static const unsigned char text[] = "text";

static int sign(struct ring *ring, EVP_PKEY *key, unsigned char *signature, size_t *length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int done = 0;
    if (EVP_DigestSignInit_ex(context, NULL, "SHA256", ring->crypto->library, NULL, key, NULL) == 1)
        done = EVP_DigestSign(context, signature, length, text, sizeof(text));
    EVP_MD_CTX_free(context);
    return done;
}

static int verify(struct ring *ring, EVP_PKEY *key, const unsigned char *signature, size_t length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int valid = 0;
    if (EVP_DigestVerifyInit_ex(context, NULL, "SHA256", ring->crypto->library, NULL, key, NULL) == 1)
        valid = EVP_DigestVerify(context, signature, length, text, sizeof(text));
    EVP_MD_CTX_free(context);
    return valid;
}

static void failing_store_tells_its_reason(void **state)
{
    (void)state;
    struct ring ring;
    unsigned char buffer[256];
    size_t length = sizeof(buffer);
    kw_error error = {0};
    ring_open_faulty(&ring, MODULES, "away");
    struct pair pair = ring_add(&ring, "ec-p256");

    assert_true(sign(&ring, pair.ours, buffer, &length) <= 0);
    assert_string_equal(ERR_lib_error_string(ERR_peek_last_error()), "Keywright");
    assert_string_equal(ERR_reason_error_string(ERR_peek_last_error()), "keywright: the store is not available");
    assert_int_equal(pkey_error(&error, KW_FAILED, "nothing was signed"), KW_UNAVAILABLE);
    assert_int_equal(error.status, KW_UNAVAILABLE);
    assert_non_null(strstr(error.message, "the device is not plugged in"));
    assert_int_equal(ERR_peek_error(), 0);

    EVP_PKEY *peer = EVP_PKEY_Q_keygen(ring.crypto->library, NULL, "EC", "P-256");
    unsigned char *spki = NULL;
    const int spki_length = i2d_PUBKEY(peer, &spki);
    const unsigned char *at = spki;
    EVP_PKEY *public = d2i_PUBKEY_ex(NULL, &at, spki_length, ring.crypto->library, NULL);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pair.ours, NULL);
    assert_libcrypto(EVP_PKEY_derive_init(context));
    assert_libcrypto(EVP_PKEY_derive_set_peer(context, public));
    length = sizeof(buffer);
    assert_true(EVP_PKEY_derive(context, buffer, &length) <= 0);
    assert_int_equal(pkey_error(&error, KW_FAILED, "nothing was derived"), KW_UNAVAILABLE);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(public);
    EVP_PKEY_free(peer);
    OPENSSL_free(spki);
    pair_clear(&pair);
    ring_close(&ring);
}

static void failing_decryption_tells_the_stores_reason(void **state)
{
    (void)state;
    static const int paddings[] = {RSA_PKCS1_PADDING, RSA_PKCS1_OAEP_PADDING};
    struct ring ring;
    unsigned char ciphertext[256] = {0}, plaintext[256];
    kw_error error = {0};
    ring_open_faulty(&ring, MODULES, "away");
    struct pair pair = ring_add(&ring, "rsa-2048");
    for (size_t i = 0; i < 2; i++) {
        size_t length = sizeof(plaintext);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pair.ours, NULL);
        assert_libcrypto(EVP_PKEY_decrypt_init(context));
        assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(context, paddings[i]));
        assert_true(EVP_PKEY_decrypt(context, plaintext, &length, ciphertext, sizeof(ciphertext)) <= 0);
        assert_int_equal(pkey_error(&error, KW_FAILED, "nothing was decrypted"), KW_UNAVAILABLE);
        assert_non_null(strstr(error.message, "the device is not plugged in"));
        EVP_PKEY_CTX_free(context);
    }
    pair_clear(&pair);
    ring_close(&ring);
}

static void error_is_taken_once_and_forgotten_by_the_next_operation(void **state)
{
    (void)state;
    struct ring away, works;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    kw_error error = {0};
    ring_open_faulty(&away, MODULES, "away");
    ring_open_faulty(&works, MODULES, "none");
    struct pair bad = ring_add(&away, "ec-p256"), good = ring_add(&works, "ec-p256");
    assert_true(sign(&away, bad.ours, signature, &length) <= 0);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_UNAVAILABLE);
    assert_false(pkey_take_error(&error));

    assert_true(sign(&away, bad.ours, signature, &length) <= 0);
    length = sizeof(signature);
    assert_libcrypto(sign(&works, good.ours, signature, &length));
    assert_false(pkey_take_error(&error));
    ERR_clear_error();
    pair_clear(&bad);
    pair_clear(&good);
    ring_close(&away);
    ring_close(&works);
}

/* What a program shows that prints the reason alone. */
static void every_status_has_a_reason_of_its_own(void **state)
{
    (void)state;
    static const char prefix[] = "keywright: ";
    const char *reasons[KW_FAILED + 1] = {NULL};
    struct ring ring;
    ring_open(&ring);
    ERR_clear_error();
    for (int status = KW_BUFFER_TOO_SMALL; status <= KW_FAILED; status++) {
        assert_int_equal(failure_set((kw_status)status, "this and that"), 0);
        const unsigned long code = ERR_peek_last_error();
        reasons[status] = ERR_reason_error_string(code);
        assert_non_null(reasons[status]);
        assert_int_equal(strncmp(reasons[status], prefix, strlen(prefix)), 0);
        assert_true(strlen(reasons[status]) > strlen(prefix));
        for (int other = KW_BUFFER_TOO_SMALL; other < status; other++)
            assert_string_not_equal(reasons[status], reasons[other]);
        assert_string_equal(ERR_lib_error_string(code), "Keywright");
        assert_int_equal(ERR_GET_REASON(code), 2000 + status);
        ERR_clear_error();
    }
    ring_close(&ring);
}

static void error_without_a_store_is_libcryptos(void **state)
{
    (void)state;
    kw_error error = {0};
    pkey_take_error(NULL);
    ERR_clear_error();
    ERR_raise_data(ERR_LIB_X509, ERR_R_PASSED_NULL_PARAMETER, "no certificate");
    assert_int_equal(pkey_error(&error, KW_CORRUPT, "the certificate cannot be read"), KW_CORRUPT);
    assert_int_equal(error.status, KW_CORRUPT);
    assert_non_null(strstr(error.message, "the certificate cannot be read"));
    assert_int_equal(ERR_peek_error(), 0);
}

static void attach_twice_is_refused(void **state)
{
    (void)state;
    struct ring ring;
    kw_error error = {0};
    ring_open(&ring);
    assert_int_equal(pkey_provider_attach(ring.crypto, &error), KW_EXISTS);
    ring_close(&ring);
}

static void pkey_outlives_its_handle(void **state)
{
    (void)state;
    struct ring ring;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    ring_open(&ring);
    struct pair pair = ring_add(&ring, "ec-p256");
    kw_key_free(pair.key);
    pair.key = NULL;
    assert_libcrypto(sign(&ring, pair.ours, signature, &length));
    assert_libcrypto(verify(&ring, pair.plain, signature, length));
    pair_clear(&pair);
    ring_close(&ring);
}

static void handle_outlives_its_pkey(void **state)
{
    (void)state;
    struct ring ring;
    unsigned char signature[256];
    kw_output output = {signature, sizeof(signature), 0};
    kw_error error = {0};
    ring_open(&ring);
    struct pair pair = ring_add(&ring, "ec-p256");
    EVP_PKEY_free(pair.ours);
    pair.ours = NULL;
    assert_works(kw_key_sign(pair.key, NULL, (kw_input){text, sizeof(text)}, &output, &error), &error);
    assert_libcrypto(verify(&ring, pair.plain, signature, output.length));
    pair_clear(&pair);
    ring_close(&ring);
}

/* A public EVP_PKEY that libcrypto keeps of ours, such as a certificate's, may live until the context goes. */
static void certificate_outlives_key_and_store(void **state)
{
    (void)state;
    struct ring ring;
    ring_open(&ring);
    struct pair pair = ring_add(&ring, "rsa-2048");
    X509 *certificate = X509_new_ex(ring.crypto->library, NULL);
    assert_libcrypto(X509_set_pubkey(certificate, pair.ours));
    assert_libcrypto(X509_sign(certificate, pair.ours, EVP_sha256()));
    pair_clear(&pair);
    assert_libcrypto(X509_verify(certificate, X509_get0_pubkey(certificate)));
    X509_free(certificate);
    ring_close(&ring);
}

static void two_libraries_do_not_meet(void **state)
{
    (void)state;
    struct ring first, second;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    ring_open(&first);
    ring_open(&second);
    struct pair one = ring_add(&first, "ec-p256"), other = ring_add(&second, "ec-p256");
    assert_libcrypto(sign(&first, one.ours, signature, &length));
    pair_clear(&one);
    ring_close(&first);
    length = sizeof(signature);
    assert_libcrypto(sign(&second, other.ours, signature, &length));
    assert_libcrypto(verify(&second, other.plain, signature, length));
    pair_clear(&other);
    ring_close(&second);
}

enum { THREADS = 8, ROUNDS = 20 };

struct worker {
    pthread_t thread;
    struct ring *ring;
    const struct pair *ec, *rsa;
    int good; /* rounds that were right in all */
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char signature[256], ciphertext[256], plaintext[256];
        size_t length = sizeof(signature), ciphertext_length = sizeof(ciphertext), plaintext_length = sizeof(plaintext);
        bool good = sign(worker->ring, worker->ec->ours, signature, &length) == 1 &&
                    verify(worker->ring, worker->ec->ours, signature, length) == 1;
        EVP_PKEY_CTX *encryption = EVP_PKEY_CTX_new_from_pkey(worker->ring->crypto->library, worker->rsa->ours, NULL);
        EVP_PKEY_CTX *decryption = EVP_PKEY_CTX_new_from_pkey(worker->ring->crypto->library, worker->rsa->ours, NULL);
        good = good && EVP_PKEY_encrypt_init(encryption) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(encryption, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_encrypt(encryption, ciphertext, &ciphertext_length, text, sizeof(text)) == 1 &&
               EVP_PKEY_decrypt_init(decryption) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(decryption, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_decrypt(decryption, plaintext, &plaintext_length, ciphertext, ciphertext_length) == 1 &&
               plaintext_length == sizeof(text) && memcmp(plaintext, text, sizeof(text)) == 0;
        EVP_PKEY_CTX_free(encryption);
        EVP_PKEY_CTX_free(decryption);
        worker->good += good ? 1 : 0;
    }
    return NULL;
}

static void eight_threads_share_one_key(void **state)
{
    (void)state;
    struct ring ring;
    struct worker workers[THREADS];
    ring_open(&ring);
    struct pair ec = ring_add(&ring, "ec-p256"), rsa = ring_add(&ring, "rsa-2048");
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.ring = &ring, .ec = &ec, .rsa = &rsa};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].good, ROUNDS);
    }
    pair_clear(&ec);
    pair_clear(&rsa);
    ring_close(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_store_tells_its_reason),
        cmocka_unit_test(failing_decryption_tells_the_stores_reason),
        cmocka_unit_test(error_is_taken_once_and_forgotten_by_the_next_operation),
        cmocka_unit_test(every_status_has_a_reason_of_its_own),
        cmocka_unit_test(error_without_a_store_is_libcryptos),
        cmocka_unit_test(attach_twice_is_refused),
        cmocka_unit_test(pkey_outlives_its_handle),
        cmocka_unit_test(handle_outlives_its_pkey),
        cmocka_unit_test(certificate_outlives_key_and_store),
        cmocka_unit_test(two_libraries_do_not_meet),
        cmocka_unit_test(eight_threads_share_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
