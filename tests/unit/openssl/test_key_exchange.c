/* ECDH through the store: both sides get the same secret, with and without the X9.63 KDF. */
#include "keyring.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <string.h>

static const char *const kinds[] = {"ec-p256", "ec-p384", "ec-p521", "x25519"};
static const size_t fields[] = {32, 48, 66, 32};
enum { KINDS = 4, CURVES = 3 }; /* X25519 comes last: the default provider derives nothing from it */

static struct ring ring;
static struct pair pairs[KINDS];

static int open_all(void **state)
{
    (void)state;
    ring_open(&ring);
    for (size_t i = 0; i < KINDS; i++)
        pairs[i] = ring_add(&ring, kinds[i]);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++)
        pair_clear(&pairs[i]);
    ring_close(&ring);
    return 0;
}

struct kdf {
    const EVP_MD *digest; /* NULL: none */
    int length;
    const char *ukm;
};

static EVP_PKEY *public_of(const struct pair *pair)
{
    const unsigned char *at = pair->spki;
    EVP_PKEY *public = d2i_PUBKEY_ex(NULL, &at, pair->spki_length, ring.crypto->library, NULL);
    assert_non_null(public);
    return public;
}

static EVP_PKEY_CTX *begin(EVP_PKEY *key, const struct kdf *kdf)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, key, NULL);
    assert_libcrypto(EVP_PKEY_derive_init(context));
    if (kdf->digest != NULL) {
        assert_libcrypto(EVP_PKEY_CTX_set_ecdh_kdf_type(context, EVP_PKEY_ECDH_KDF_X9_63));
        assert_libcrypto(EVP_PKEY_CTX_set_ecdh_kdf_md(context, kdf->digest));
        assert_libcrypto(EVP_PKEY_CTX_set_ecdh_kdf_outlen(context, kdf->length));
    }
    if (kdf->ukm != NULL) {
        unsigned char *ukm = OPENSSL_memdup(kdf->ukm, strlen(kdf->ukm));
        assert_non_null(ukm);
        assert_libcrypto(EVP_PKEY_CTX_set0_ecdh_kdf_ukm(context, ukm, (int)strlen(kdf->ukm)));
    }
    return context;
}

static size_t derive(EVP_PKEY *key, EVP_PKEY *peer, const struct kdf *kdf, unsigned char *shared, size_t room)
{
    size_t length = room;
    EVP_PKEY_CTX *context = begin(key, kdf);
    assert_libcrypto(EVP_PKEY_derive_set_peer(context, peer));
    assert_libcrypto(EVP_PKEY_derive(context, shared, &length));
    EVP_PKEY_CTX_free(context);
    return length;
}

static void derive_is_the_same_on_both_sides(void **state)
{
    (void)state;
    const struct kdf forms[] = {
        {NULL, 0, NULL}, {EVP_sha256(), 32, NULL}, {EVP_sha1(), 24, "shared information"}, {EVP_sha512(), 100, "u"}};
    for (size_t i = 0; i < KINDS; i++) {
        struct pair other = ring_add(&ring, kinds[i]);
        EVP_PKEY *public = public_of(&pairs[i]), *other_public = public_of(&other);
        for (size_t j = 0; j < (i < CURVES ? sizeof(forms) / sizeof(forms[0]) : 1); j++) {
            unsigned char ours[128], theirs[128];
            const size_t length = derive(pairs[i].ours, other_public, &forms[j], ours, sizeof(ours));
            assert_int_equal(length, forms[j].digest != NULL ? (size_t)forms[j].length : fields[i]);
            assert_int_equal(derive(other.plain, public, &forms[j], theirs, sizeof(theirs)), length);
            assert_memory_equal(ours, theirs, length);
        }
        EVP_PKEY_free(public);
        EVP_PKEY_free(other_public);
        pair_clear(&other);
    }
}

/* Both ends in one program: libcrypto hands over all there is of the peer. */
static void peer_may_have_its_private_half(void **state)
{
    const struct kdf none = {NULL, 0, NULL};
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct pair other = ring_add(&ring, kinds[i]);
        EVP_PKEY *public = public_of(&pairs[i]);
        unsigned char ours[128], theirs[128];
        const size_t length = derive(pairs[i].ours, other.plain, &none, ours, sizeof(ours));
        assert_int_equal(length, fields[i]);
        assert_int_equal(derive(other.plain, public, &none, theirs, sizeof(theirs)), length);
        assert_memory_equal(ours, theirs, length);
        EVP_PKEY_free(public);
        pair_clear(&other);
    }
}

/* As CMS makes the sender's key: our parameters, then the point of the message. */
static void derive_with_a_peer_made_of_our_parameters_works(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        unsigned char *point = NULL, ours[66], theirs[66];
        struct pair other = ring_add(&ring, kinds[i]);
        const size_t point_length = EVP_PKEY_get1_encoded_public_key(other.plain, &point);
        EVP_PKEY *peer = EVP_PKEY_new();
        assert_libcrypto(EVP_PKEY_copy_parameters(peer, pairs[i].ours));
        assert_libcrypto(EVP_PKEY_set1_encoded_public_key(peer, point, point_length));
        assert_int_equal(derive(pairs[i].ours, peer, &(struct kdf){0}, ours, sizeof(ours)), fields[i]);
        EVP_PKEY *public = public_of(&pairs[i]);
        assert_int_equal(derive(other.plain, public, &(struct kdf){0}, theirs, sizeof(theirs)), fields[i]);
        assert_memory_equal(ours, theirs, fields[i]);
        EVP_PKEY_free(public);
        EVP_PKEY_free(peer);
        OPENSSL_free(point);
        pair_clear(&other);
    }
}

static void point_that_is_on_no_curve_is_refused(void **state)
{
    (void)state;
    unsigned char *point = NULL;
    const size_t length = EVP_PKEY_get1_encoded_public_key(pairs[0].plain, &point);
    EVP_PKEY *peer = EVP_PKEY_new();
    point[length - 1] ^= 1;
    assert_libcrypto(EVP_PKEY_copy_parameters(peer, pairs[0].ours));
    assert_int_not_equal(EVP_PKEY_set1_encoded_public_key(peer, point, length), 1);
    EVP_PKEY_CTX *context = begin(pairs[0].ours, &(struct kdf){0});
    assert_true(EVP_PKEY_derive_set_peer(context, peer) <= 0);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    OPENSSL_free(point);
    ERR_clear_error();
}

static void peer_of_another_curve_is_refused(void **state)
{
    (void)state;
    EVP_PKEY *peer = public_of(&pairs[1]);
    EVP_PKEY_CTX *context = begin(pairs[0].ours, &(struct kdf){0});
    assert_true(EVP_PKEY_derive_set_peer(context, peer) <= 0);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    ERR_clear_error();
}

static void derive_without_a_peer_is_refused(void **state)
{
    (void)state;
    unsigned char shared[32];
    size_t length = sizeof(shared);
    kw_error error = {0};
    EVP_PKEY_CTX *context = begin(pairs[0].ours, &(struct kdf){0});
    assert_true(EVP_PKEY_derive(context, shared, &length) <= 0);
    assert_true(pkey_take_error(&error));
    assert_int_equal(error.status, KW_INVALID_ARGUMENT);
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
}

static void null_buffer_asks_for_the_length_without_a_call(void **state)
{
    (void)state;
    unsigned char small[31];
    size_t length = 0;
    EVP_PKEY *peer = public_of(&pairs[0]);
    const uint64_t before = ring_calls(&ring);
    EVP_PKEY_CTX *context = begin(pairs[0].ours, &(struct kdf){0});
    assert_libcrypto(EVP_PKEY_derive_set_peer(context, peer));
    assert_libcrypto(EVP_PKEY_derive(context, NULL, &length));
    assert_int_equal(length, 32);
    length = sizeof(small);
    assert_true(EVP_PKEY_derive(context, small, &length) <= 0);
    EVP_PKEY_CTX_free(context);
    assert_int_equal(ring_calls(&ring), before);
    EVP_PKEY_free(peer);
    ERR_clear_error();
}

static void settings_are_told_back(void **state)
{
    (void)state;
    const EVP_MD *digest = NULL;
    int length = 0;
    void *ukm = NULL;
    OSSL_PARAM asked[] = {OSSL_PARAM_construct_octet_ptr(OSSL_EXCHANGE_PARAM_KDF_UKM, &ukm, 0),
                          OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *context = begin(pairs[0].ours, &(struct kdf){EVP_sha384(), 40, "ukm"});
    assert_int_equal(EVP_PKEY_CTX_get_ecdh_kdf_type(context), EVP_PKEY_ECDH_KDF_X9_63);
    assert_libcrypto(EVP_PKEY_CTX_get_ecdh_kdf_md(context, &digest));
    assert_int_equal(EVP_MD_get_type(digest), NID_sha384);
    assert_libcrypto(EVP_PKEY_CTX_get_ecdh_kdf_outlen(context, &length));
    assert_int_equal(length, 40);
    assert_libcrypto(EVP_PKEY_CTX_get_params(context, asked));
    assert_int_equal(asked[0].return_size, 3);
    assert_memory_equal(ukm, "ukm", 3);
    assert_int_equal(EVP_PKEY_CTX_get_ecdh_cofactor_mode(context), 0);
    assert_libcrypto(EVP_PKEY_CTX_set_ecdh_cofactor_mode(context, 1));
    assert_int_equal(EVP_PKEY_CTX_get_ecdh_cofactor_mode(context), 1);
    EVP_PKEY_CTX_free(context);
    context = begin(pairs[0].ours, &(struct kdf){0});
    assert_int_equal(EVP_PKEY_CTX_get_ecdh_kdf_type(context), EVP_PKEY_ECDH_KDF_NONE);
    EVP_PKEY_CTX_free(context);
}

static void context_copy_derives(void **state)
{
    (void)state;
    const struct kdf kdf = {EVP_sha256(), 32, "ukm"};
    unsigned char first[32], second[32];
    size_t length = sizeof(second);
    EVP_PKEY *peer = public_of(&pairs[0]);
    derive(pairs[0].ours, peer, &kdf, first, sizeof(first));
    EVP_PKEY_CTX *context = begin(pairs[0].ours, &kdf);
    assert_libcrypto(EVP_PKEY_derive_set_peer(context, peer));
    EVP_PKEY_CTX *copy = EVP_PKEY_CTX_dup(context);
    EVP_PKEY_CTX_free(context);
    assert_non_null(copy);
    assert_libcrypto(EVP_PKEY_derive(copy, second, &length));
    assert_memory_equal(first, second, sizeof(first));
    EVP_PKEY_CTX_free(copy);
    EVP_PKEY_free(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derive_is_the_same_on_both_sides),
        cmocka_unit_test(peer_may_have_its_private_half),
        cmocka_unit_test(derive_with_a_peer_made_of_our_parameters_works),
        cmocka_unit_test(point_that_is_on_no_curve_is_refused),
        cmocka_unit_test(peer_of_another_curve_is_refused),
        cmocka_unit_test(derive_without_a_peer_is_refused),
        cmocka_unit_test(null_buffer_asks_for_the_length_without_a_call),
        cmocka_unit_test(settings_are_told_back),
        cmocka_unit_test(context_copy_derives),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
