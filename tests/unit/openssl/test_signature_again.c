/* One context asked for more than one signature: it gives right ones or none. */
#include "keyring.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

static const unsigned char first[] = "the first message", second[] = "another one";

static struct ring ring;
static struct pair rsa, p256, ed25519;

static int open_all(void **state)
{
    (void)state;
    ring_open(&ring);
    rsa = ring_add(&ring, "rsa-2048");
    p256 = ring_add(&ring, "ec-p256");
    ed25519 = ring_add(&ring, "ed25519");
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    pair_clear(&rsa);
    pair_clear(&p256);
    pair_clear(&ed25519);
    ring_close(&ring);
    return 0;
}

static EVP_MD_CTX *begin(const struct pair *pair, EVP_PKEY_CTX **parameters)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, parameters, pair == &ed25519 ? NULL : "SHA256",
                                           ring.crypto->library, NULL, pair->ours, NULL));
    return context;
}

static bool is_of(const struct pair *pair, const unsigned char *message, size_t message_length,
                  const unsigned char *signature, size_t length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestVerifyInit_ex(context, NULL, pair == &ed25519 ? NULL : "SHA256", ring.crypto->library,
                                             NULL, pair->plain, NULL));
    const bool valid = EVP_DigestVerify(context, signature, length, message, message_length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return valid;
}

static void message_in_one_piece_is_signed_with_more_room(void **state)
{
    (void)state;
    const struct pair *const pairs[] = {&rsa, &p256, &ed25519};
    for (size_t i = 0; i < 3; i++) {
        unsigned char signature[256];
        size_t length = 20;
        EVP_MD_CTX *context = begin(pairs[i], NULL);
        assert_true(EVP_DigestSign(context, signature, &length, first, sizeof(first)) <= 0);
        length = sizeof(signature);
        assert_libcrypto(EVP_DigestSign(context, signature, &length, first, sizeof(first)));
        assert_true(is_of(pairs[i], first, sizeof(first), signature, length));
        EVP_MD_CTX_free(context);
        ERR_clear_error();
    }
}

static void message_in_parts_is_signed_with_more_room(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = sizeof(signature) - 1;
    EVP_MD_CTX *context = begin(&rsa, NULL);
    EVP_MD_CTX_set_flags(context, EVP_MD_CTX_FLAG_FINALISE); /* libcrypto makes no copy */
    assert_libcrypto(EVP_DigestSignUpdate(context, first, sizeof(first)));
    assert_true(EVP_DigestSignFinal(context, signature, &length) <= 0);
    length = sizeof(signature);
    assert_libcrypto(EVP_DigestSignFinal(context, signature, &length));
    assert_true(is_of(&rsa, first, sizeof(first), signature, length));
    EVP_MD_CTX_free(context);
    ERR_clear_error();
}

static void messages_one_after_the_other_are_each_signed_alone(void **state)
{
    (void)state;
    const struct pair *const pairs[] = {&rsa, &p256, &ed25519};
    for (size_t i = 0; i < 3; i++) {
        unsigned char signature[256];
        size_t length = sizeof(signature);
        EVP_MD_CTX *context = begin(pairs[i], NULL);
        assert_libcrypto(EVP_DigestSign(context, signature, &length, first, sizeof(first)));
        assert_true(is_of(pairs[i], first, sizeof(first), signature, length));
        length = sizeof(signature);
        assert_libcrypto(EVP_DigestSign(context, signature, &length, second, sizeof(second)));
        assert_true(is_of(pairs[i], second, sizeof(second), signature, length));
        EVP_MD_CTX_free(context);
    }
}

/* What fails behind the hash, as a store that is away for a moment does. */
static void message_is_signed_after_a_failure(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    EVP_PKEY_CTX *parameters = NULL;
    EVP_MD_CTX *context = begin(&rsa, &parameters);
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING));
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, 250));
    assert_true(EVP_DigestSign(context, signature, &length, first, sizeof(first)) <= 0);
    assert_libcrypto(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PADDING));
    length = sizeof(signature);
    assert_libcrypto(EVP_DigestSign(context, signature, &length, first, sizeof(first)));
    assert_true(is_of(&rsa, first, sizeof(first), signature, length));
    EVP_MD_CTX_free(context);
    ERR_clear_error();
}

/* Its beginning is gone with the first signature. */
static void message_with_a_beginning_is_signed_once(void **state)
{
    (void)state;
    unsigned char signature[256];
    size_t length = sizeof(signature);
    kw_error error = {0};
    EVP_MD_CTX *context = begin(&rsa, NULL);
    assert_libcrypto(EVP_DigestSignUpdate(context, first, 5));
    assert_libcrypto(EVP_DigestSign(context, signature, &length, first + 5, sizeof(first) - 5));
    assert_true(is_of(&rsa, first, sizeof(first), signature, length));
    length = sizeof(signature);
    assert_true(EVP_DigestSign(context, signature, &length, first + 5, sizeof(first) - 5) <= 0);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_INVALID_ARGUMENT);
    assert_true(EVP_DigestSignFinal(context, signature, &length) <= 0);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
}

/* What a signature of PKCS#1 v1.5 is of comes out of it by the public key. */
static void digest_is_recovered_from_its_signature(void **state)
{
    (void)state;
    unsigned char digest[32], signature[256], recovered[256];
    size_t length = sizeof(signature), recovered_length = 0;
    EVP_MD_CTX *context = begin(&rsa, NULL);
    assert_libcrypto(EVP_DigestSign(context, signature, &length, first, sizeof(first)));
    EVP_MD_CTX_free(context);
    assert_libcrypto(EVP_Q_digest(ring.crypto->library, "SHA256", NULL, first, sizeof(first), digest, NULL));
    EVP_PKEY_CTX *verifier = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, rsa.ours, NULL);
    assert_libcrypto(EVP_PKEY_verify_recover_init(verifier));
    assert_libcrypto(EVP_PKEY_CTX_set_signature_md(verifier, EVP_sha256()));
    assert_libcrypto(EVP_PKEY_verify_recover(verifier, NULL, &recovered_length, signature, length));
    assert_true(recovered_length >= sizeof(digest) && recovered_length <= sizeof(recovered));
    recovered_length = sizeof(recovered);
    assert_libcrypto(EVP_PKEY_verify_recover(verifier, recovered, &recovered_length, signature, length));
    assert_int_equal(recovered_length, sizeof(digest));
    assert_memory_equal(recovered, digest, sizeof(digest));
    signature[0] ^= 1;
    recovered_length = sizeof(recovered);
    assert_true(EVP_PKEY_verify_recover(verifier, recovered, &recovered_length, signature, length) <= 0);
    EVP_PKEY_CTX_free(verifier);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_in_one_piece_is_signed_with_more_room),
        cmocka_unit_test(message_in_parts_is_signed_with_more_room),
        cmocka_unit_test(messages_one_after_the_other_are_each_signed_alone),
        cmocka_unit_test(message_is_signed_after_a_failure),
        cmocka_unit_test(message_with_a_beginning_is_signed_once),
        cmocka_unit_test(digest_is_recovered_from_its_signature),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
