/* Public keys and signatures, judged by libcrypto. */
#include "key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    kw_curve curve;
} curves[] = {{"P-256", KW_CURVE_P256}, {"P-384", KW_CURVE_P384}, {"P-521", KW_CURVE_P521}};

static void assert_same_spki(EVP_PKEY *pkey, const struct p11_public *public)
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(pkey, &der);
    assert_int_equal(public->spki_length, length);
    assert_memory_equal(public->spki, der, (size_t)length);
    OPENSSL_free(der);
}

/* A public key of any number: nothing is computed with it. */
static EVP_PKEY *rsa_of(const BIGNUM *modulus)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *exponent = BN_new();
    BN_set_word(exponent, 65537);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters), 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    BN_free(exponent);
    return pkey;
}

static void public_rsa_is_what_libcrypto_writes(void **state)
{
    static const int sizes[] = {1024, 2041, 2047, 2048, 4096};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct p11_public public, again;
        BIGNUM *modulus = BN_new();
        unsigned char bytes[P11_RSA_BYTES + 4], exponent[] = {0, 1, 0, 1};
        assert_int_equal(BN_rand(modulus, sizes[i], BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
        EVP_PKEY *pkey = rsa_of(modulus);
        /* also with leading zeros, as some modules give it */
        int length = BN_bn2binpad(modulus, bytes, sizeof(bytes));
        assert_true(p11_public_rsa((kw_input){bytes, (size_t)length}, (kw_input){exponent, 4}, &public));
        assert_int_equal(public.bits, sizes[i]);
        assert_int_equal(public.modulus_length, (sizes[i] + 7) / 8);
        assert_same_spki(pkey, &public);
        assert_true(p11_public_spki((kw_input){public.spki, public.spki_length}, &again));
        assert_same_spki(pkey, &again);
        BN_free(modulus);
        EVP_PKEY_free(pkey);
    }
}

static void public_ec_is_what_libcrypto_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        struct p11_public public, again;
        unsigned char *point = NULL, wrapped[P11_POINT_MAXIMUM];
        EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i].name);
        size_t length = EVP_PKEY_get1_encoded_public_key(pkey, &point);
        kw_input parameters = p11_curve_parameters(KW_KEY_EC, curves[i].curve, 0);
        assert_true(p11_public_ec(parameters, (kw_input){point, length}, &public));
        assert_int_equal(public.curve, curves[i].curve);
        assert_same_spki(pkey, &public);
        size_t used = p11_public_point(&public, wrapped);
        assert_int_equal(wrapped[0], 0x04);
        assert_memory_equal(wrapped + (used - length), point, length);
        assert_true(p11_public_ec(parameters, (kw_input){wrapped, used}, &again));
        assert_same_spki(pkey, &again);
        assert_false(p11_public_ec(parameters, (kw_input){point, length - 1}, &again));
        assert_false(p11_public_ec((kw_input){NULL, 0}, (kw_input){point, length}, &again));
        OPENSSL_free(point);
        EVP_PKEY_free(pkey);
    }
}

static void public_ed25519_is_what_libcrypto_writes(void **state)
{
    struct p11_public public, again;
    unsigned char key[32], wrapped[P11_POINT_MAXIMUM];
    size_t length = sizeof(key);
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key, &length), 1);
    for (unsigned form = 0; form < 2; form++) {
        kw_input parameters = p11_curve_parameters(KW_KEY_ED25519, KW_CURVE_NONE, form);
        assert_true(p11_public_ec(parameters, (kw_input){key, length}, &public));
        assert_int_equal(public.type, KW_KEY_ED25519);
        assert_same_spki(pkey, &public);
    }
    assert_int_equal(p11_public_point(&public, wrapped), 34);
    assert_true(p11_public_spki((kw_input){public.spki, public.spki_length}, &again));
    assert_same_spki(pkey, &again);
    EVP_PKEY_free(pkey);
}

static void public_spki_cut_or_changed_is_refused(void **state)
{
    struct p11_public public, again;
    unsigned char *point = NULL;
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    size_t length = EVP_PKEY_get1_encoded_public_key(pkey, &point);
    assert_true(p11_public_ec(p11_curve_parameters(KW_KEY_EC, KW_CURVE_P256, 0), (kw_input){point, length}, &public));
    for (size_t cut = 0; cut < public.spki_length; cut++)
        assert_false(p11_public_spki((kw_input){public.spki, cut}, &again));
    for (size_t at = 0; at < 27; at++) { /* all before the point */
        unsigned char byte = public.spki[at];
        for (int bit = 0; bit < 8; bit++) {
            public.spki[at] = byte ^ (unsigned char)(1 << bit);
            assert_false(p11_public_spki((kw_input){public.spki, public.spki_length}, &again));
        }
        public.spki[at] = byte;
    }
    OPENSSL_free(point);
    EVP_PKEY_free(pkey);
}

static void public_rsa_out_of_bounds_is_refused(void **state)
{
    static const unsigned char zeros[4], exponent[33] = {1}, modulus[P11_RSA_BYTES + 1] = {1};
    struct p11_public public;
    (void)state;
    assert_false(p11_public_rsa((kw_input){zeros, 4}, (kw_input){exponent, 1}, &public));
    assert_false(p11_public_rsa((kw_input){modulus, 128}, (kw_input){zeros, 4}, &public));
    assert_false(p11_public_rsa((kw_input){modulus, sizeof(modulus)}, (kw_input){exponent, 1}, &public));
    assert_false(p11_public_rsa((kw_input){modulus, 128}, (kw_input){exponent, 33}, &public));
    assert_true(p11_public_rsa((kw_input){modulus, P11_RSA_BYTES}, (kw_input){exponent, 32}, &public));
}

/* What the host reckons with, as libcrypto does. */
static void ecdsa_maximum_is_exact(void **state)
{
    (void)state;
    assert_int_equal(p11_ecdsa_maximum(256), 72);
    assert_int_equal(p11_ecdsa_maximum(384), 104);
    assert_int_equal(p11_ecdsa_maximum(521), 139);
}

static void ecdsa_encode_is_what_libcrypto_writes(void **state)
{
    static const unsigned char patterns[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        size_t half = (p11_curve_bits(curves[i].curve) + 7) / 8,
               longest = p11_ecdsa_maximum(p11_curve_bits(curves[i].curve));
        for (size_t one = 0; one < sizeof(patterns); one++)
            for (size_t other = 0; other < sizeof(patterns); other++) {
                unsigned char raw[132], der[160], *expected = NULL;
                memset(raw, patterns[one], half);
                memset(raw + half, 0, half);
                raw[2 * half - 1] = patterns[other];
                ECDSA_SIG *signature = ECDSA_SIG_new();
                ECDSA_SIG_set0(signature, BN_bin2bn(raw, (int)half, NULL), BN_bin2bn(raw + half, (int)half, NULL));
                int length = i2d_ECDSA_SIG(signature, &expected);
                assert_int_equal(p11_ecdsa_encode((kw_input){raw, 2 * half}, der), length);
                assert_memory_equal(der, expected, (size_t)length);
                /* A number of the order's length; a broken module's may be longer. */
                if (half * 8 == p11_curve_bits(curves[i].curve) || patterns[one] <= 1)
                    assert_true((size_t)length <= longest);
                OPENSSL_free(expected);
                ECDSA_SIG_free(signature);
            }
    }
}

static void peer_point_of_another_curve_is_refused(void **state)
{
    unsigned char point[P11_POINT_MAXIMUM], *der = NULL;
    size_t length = 0;
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    int spki = i2d_PUBKEY(pkey, &der);
    assert_true(p11_peer_point((kw_input){der, (size_t)spki}, KW_CURVE_P256, point, &length));
    assert_int_equal(length, 65);
    assert_memory_equal(point, der + spki - 65, 65);
    assert_false(p11_peer_point((kw_input){der, (size_t)spki}, KW_CURVE_P384, point, &length));
    der[spki - 1] ^= 1; /* off the curve */
    assert_false(p11_peer_point((kw_input){der, (size_t)spki}, KW_CURVE_P256, point, &length));
    assert_false(p11_peer_point((kw_input){NULL, 0}, KW_CURVE_P256, point, &length));
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_rsa_is_what_libcrypto_writes),
        cmocka_unit_test(public_ec_is_what_libcrypto_writes),
        cmocka_unit_test(public_ed25519_is_what_libcrypto_writes),
        cmocka_unit_test(public_spki_cut_or_changed_is_refused),
        cmocka_unit_test(public_rsa_out_of_bounds_is_refused),
        cmocka_unit_test(ecdsa_maximum_is_exact),
        cmocka_unit_test(ecdsa_encode_is_what_libcrypto_writes),
        cmocka_unit_test(peer_point_of_another_curve_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
