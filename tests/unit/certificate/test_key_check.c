#include "scene.h"

#include "certificate/key_check.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

static struct scene scene;

static int open_scene(void **state)
{
    (void)state;
    scene_open(&scene);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    scene_close(&scene);
    return 0;
}

static void assert_judged(EVP_PKEY *key, X509 *certificate, kw_status expected, const char *said)
{
    struct secret pkcs8 = scene_pkcs8(key);
    const char *name = NULL;
    assert_status(&scene, expected, key_check(scene.crypto, secret_view(&pkcs8), certificate, &name, &scene.error));
    if (expected == KW_OK)
        assert_string_equal(name, said);
    else
        assert_message(&scene, said);
    assert_int_equal(ERR_peek_error(), 0);
    secret_clear(&pkcs8);
}

static void key_check_every_kind_gives_its_name(void **state)
{
    static const char *const kinds_of_key[] = {"rsa-2048", "rsa-3072", "ec-p256", "ec-p384", "ec-p521", "ed25519"};
    (void)state;
    for (size_t i = 0; i < sizeof(kinds_of_key) / sizeof(kinds_of_key[0]); i++) {
        EVP_PKEY *key = scene_key(&scene, kinds_of_key[i]);
        X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
        const char *name = NULL;
        assert_judged(key, certificate, KW_OK, kinds_of_key[i]);
        assert_judged(key, NULL, KW_OK, kinds_of_key[i]);
        assert_ok(&scene, key_check_certificate(certificate, &name, &scene.error));
        assert_string_equal(name, kinds_of_key[i]);
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
}

static void key_check_short_rsa_is_refused(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "rsa-1024");
    X509 *certificate = scene_certificate(&scene, key, "x", NULL, NULL, false);
    const char *name = NULL;
    (void)state;
    assert_judged(key, certificate, KW_REFUSED, "1024 bits is too weak; it needs at least 2048");
    assert_status(&scene, KW_REFUSED, key_check_certificate(certificate, &name, &scene.error));
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void key_check_other_kinds_are_unsupported_by_name(void **state)
{
    EVP_PKEY *odd = scene_key(&scene, "rsa-2304"),
             *curve = EVP_PKEY_Q_keygen(scene.crypto->library, NULL, "EC", "secp256k1");
    EVP_PKEY *montgomery = EVP_PKEY_Q_keygen(scene.crypto->library, NULL, "X25519");
    (void)state;
    assert_judged(odd, NULL, KW_UNSUPPORTED, "2304");
    assert_judged(curve, NULL, KW_UNSUPPORTED, "secp256k1");
    assert_judged(montgomery, NULL, KW_UNSUPPORTED, "X25519");
    EVP_PKEY_free(odd);
    EVP_PKEY_free(curve);
    EVP_PKEY_free(montgomery);
}

/* The same numbers, for PSS alone; with a hash, its mask and a salt of 20 bytes, unless it is NULL. */
static EVP_PKEY *for_pss(const EVP_PKEY *key, const char *hash)
{
    char name[16] = "";
    int salt = 20;
    OSSL_PARAM *numbers = NULL;
    EVP_PKEY *made = NULL;
    OSSL_PARAM limits[] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end(),
                           OSSL_PARAM_construct_end()};
    if (hash != NULL) {
        OPENSSL_strlcpy(name, hash, sizeof(name));
        limits[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, name, 0);
        limits[1] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, name, 0);
        limits[2] = OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, &salt);
    }
    assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &numbers), 1);
    OSSL_PARAM *all = OSSL_PARAM_merge(numbers, limits);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(scene.crypto->library, "RSA-PSS", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, all), 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(all);
    OSSL_PARAM_free(numbers);
    return made;
}

/* A certificate counts from then on: it must say what its key is limited to, and may say more. */
static void key_check_for_pss_alone_goes_by_the_certificate(void **state)
{
    enum { PLAIN, ANY, WITH_256, WITH_384, WITH_1, FORMS };
    static const char *const hashes[FORMS] = {NULL, NULL, "SHA256", "SHA384", "SHA1"};
    static const struct {
        int key, certificate;
        kw_status expected;
        const char *said;
    } cases[] = {
        {ANY, ANY, KW_OK, "rsa-pss-2048"},
        {WITH_256, WITH_256, KW_OK, "rsa-pss-2048"},
        {ANY, WITH_384, KW_OK, "rsa-pss-2048"},
        {PLAIN, WITH_256, KW_OK, "rsa-pss-2048"},
        {PLAIN, PLAIN, KW_OK, "rsa-2048"},
        {ANY, PLAIN, KW_REFUSED, "which its certificate does not say"},
        {WITH_256, PLAIN, KW_REFUSED, "which its certificate does not say"},
        {WITH_256, ANY, KW_REFUSED, "another hash"},
        {WITH_256, WITH_384, KW_REFUSED, "another hash"},
        {PLAIN, WITH_1, KW_REFUSED, "SHA-1 alone"},
    };
    EVP_PKEY *keys[FORMS] = {scene_key(&scene, "rsa-2048")};
    X509 *certificates[FORMS];
    (void)state;
    for (size_t i = ANY; i < FORMS; i++)
        keys[i] = for_pss(keys[PLAIN], hashes[i]);
    for (size_t i = PLAIN; i < FORMS; i++) {
        certificates[i] = scene_certificate(&scene, keys[PLAIN], "x", NULL, NULL, false);
        X509_NAME *issuer = X509_NAME_new(); /* so that nobody holds its signature against its key */
        assert_int_equal(X509_NAME_add_entry_by_txt(issuer, "CN", MBSTRING_ASC, (const unsigned char *)"ca", -1, -1, 0),
                         1);
        assert_int_equal(X509_set_issuer_name(certificates[i], issuer), 1);
        assert_int_equal(X509_set_pubkey(certificates[i], keys[i]), 1);
        X509_NAME_free(issuer);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_judged(keys[cases[i].key], certificates[cases[i].certificate], cases[i].expected, cases[i].said);
    for (size_t i = 0; i < FORMS; i++) {
        X509_free(certificates[i]);
        EVP_PKEY_free(keys[i]);
    }
}

static void key_check_certificate_of_another_key_is_refused(void **state)
{
    static const char *const kinds_of_key[] = {"rsa-2048", "ec-p256", "ed25519"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = scene_key(&scene, kinds_of_key[i]), *other = scene_key(&scene, kinds_of_key[(i + 1) % 3]);
        EVP_PKEY *same_kind = scene_key(&scene, kinds_of_key[i]);
        X509 *of_other = scene_certificate(&scene, other, "x", NULL, NULL, false);
        X509 *of_same_kind = scene_certificate(&scene, same_kind, "x", NULL, NULL, false);
        assert_judged(key, of_other, KW_REFUSED, "does not belong to the private key");
        assert_judged(key, of_same_kind, KW_REFUSED, "does not belong to the private key");
        X509_free(of_other);
        X509_free(of_same_kind);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
        EVP_PKEY_free(same_kind);
    }
}

/* An RSA key of numbers that the test chooses. */
static EVP_PKEY *rsa_of(const BIGNUM *p, const BIGNUM *q, BN_ULONG exponent, const BIGNUM *d_error)
{
    BN_CTX *numbers = BN_CTX_new();
    BN_CTX_start(numbers);
    BIGNUM *n = BN_CTX_get(numbers), *e = BN_CTX_get(numbers), *d = BN_CTX_get(numbers), *phi = BN_CTX_get(numbers);
    BIGNUM *p1 = BN_CTX_get(numbers), *q1 = BN_CTX_get(numbers), *dp = BN_CTX_get(numbers), *dq = BN_CTX_get(numbers);
    BIGNUM *qinv = BN_CTX_get(numbers);
    BN_set_word(e, exponent);
    BN_mul(n, p, q, numbers);
    BN_sub(p1, p, BN_value_one());
    BN_sub(q1, q, BN_value_one());
    BN_mul(phi, p1, q1, numbers);
    assert_true(BN_mod_inverse(d, e, phi, numbers) != NULL || BN_copy(d, q) != NULL); /* an even e has none */
    if (d_error != NULL)
        BN_add(d, d, d_error);
    BN_mod(dp, d, p1, numbers);
    BN_mod(dq, d, q1, numbers);
    assert_true(BN_cmp(p, q) == 0 ? BN_one(qinv) : BN_mod_inverse(qinv, q, p, numbers) != NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    const struct {
        const char *name;
        const BIGNUM *value;
    } parts[] = {{OSSL_PKEY_PARAM_RSA_N, n},          {OSSL_PKEY_PARAM_RSA_E, e},
                 {OSSL_PKEY_PARAM_RSA_D, d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, p},
                 {OSSL_PKEY_PARAM_RSA_FACTOR2, q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, dp},
                 {OSSL_PKEY_PARAM_RSA_EXPONENT2, dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert_true(OSSL_PARAM_BLD_push_BN(builder, parts[i].name, parts[i].value));
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(scene.crypto->library, "RSA", NULL);
    EVP_PKEY *key = NULL;
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters), 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    BN_CTX_end(numbers);
    BN_CTX_free(numbers);
    return key;
}

/* A prime as the defective library makes them: k * M + (65537^a mod M), M the product of the first primes. */
static BIGNUM *roca_prime(void)
{
    BN_CTX *numbers = BN_CTX_new();
    BIGNUM *product = BN_new(), *generator = BN_new(), *exponent = BN_new(), *prime = BN_new();
    BN_one(product);
    for (BN_ULONG small = 2; small <= 701; small++) {
        bool is_prime = true;
        for (BN_ULONG divisor = 2; divisor * divisor <= small; divisor++)
            is_prime = is_prime && small % divisor != 0;
        if (is_prime)
            BN_mul_word(product, small);
    }
    BN_set_word(generator, 65537);
    do {
        BIGNUM *factor = BN_new();
        BN_rand(exponent, 200, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
        BN_mod_exp(prime, generator, exponent, product, numbers);
        BN_rand(factor, 1025 - BN_num_bits(product), BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY);
        BN_mul(factor, factor, product, numbers);
        BN_add(prime, prime, factor);
        BN_free(factor);
    } while (BN_num_bits(prime) != 1024 || !BN_is_bit_set(prime, 1022) || BN_check_prime(prime, numbers, NULL) != 1);
    BN_free(product);
    BN_free(generator);
    BN_free(exponent);
    BN_CTX_free(numbers);
    return prime;
}

static void key_check_roca_key_is_refused_with_the_reason(void **state)
{
    BIGNUM *p = roca_prime(), *q = roca_prime();
    EVP_PKEY *key = rsa_of(p, q, 65537, NULL);
    (void)state;
    if (EVP_PKEY_get_bits(key) == 2048)
        assert_judged(key, NULL, KW_REFUSED, "ROCA");
    else
        fail_msg("the test's key has %d bits", EVP_PKEY_get_bits(key));
    EVP_PKEY_free(key);
    BN_free(p);
    BN_free(q);
}

static void key_check_is_roca_random_moduli_are_not(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        EVP_PKEY *key = scene_key(&scene, "rsa-1024");
        BIGNUM *modulus = NULL;
        assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus));
        assert_false(key_check_is_roca(modulus));
        BN_free(modulus);
        EVP_PKEY_free(key);
    }
}

/* A private exponent that is not the public one's: it would sign, but nothing would verify. */
static void key_check_parts_that_do_not_fit_are_corrupt(void **state)
{
    BIGNUM *p = BN_new(), *q = BN_new();
    (void)state;
    assert_true(BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL) &&
                BN_generate_prime_ex(q, 1024, 0, NULL, NULL, NULL));
    EVP_PKEY *key = rsa_of(p, q, 65537, BN_value_one());
    assert_judged(key, NULL, KW_CORRUPT, "do not fit together");
    EVP_PKEY_free(key);
    BN_free(p);
    BN_free(q);
}

/* Its square root is the key. libcrypto's check wants an inverse that there is not, and says nothing of the reason. */
static void key_check_rsa_of_broken_numbers_is_refused_with_the_reason(void **state)
{
    BIGNUM *p = BN_new(), *q = BN_new(), *even = BN_new();
    (void)state;
    assert_true(BN_generate_prime_ex(p, 1024, 0, NULL, NULL, NULL) &&
                BN_generate_prime_ex(q, 1024, 0, NULL, NULL, NULL) && BN_lshift1(even, p) && BN_clear_bit(even, 1024) &&
                BN_set_bit(even, 1022));
    const struct {
        const BIGNUM *p, *q;
        BN_ULONG exponent;
        const char *said;
    } rows[] = {{p, p, 65537, "two primes are the same"},
                {p, q, 1, "exponent is 1"},
                {p, q, 65536, "exponent is even"},
                {even, q, 65537, "modulus is even"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EVP_PKEY *key = rsa_of(rows[i].p, rows[i].q, rows[i].exponent, NULL);
        ERR_clear_error(); /* of the inverses that there are not */
        assert_judged(key, NULL, KW_CORRUPT, rows[i].said);
        EVP_PKEY_free(key);
    }
    BN_free(p);
    BN_free(q);
    BN_free(even);
}

/* The last byte of the public point, which is the last of the file too. */
static void key_check_ec_point_not_on_the_curve_is_refused(void **state)
{
    static const char *const kinds_of_key[] = {"ec-p256", "ec-p384", "ec-p521"};
    (void)state;
    for (size_t i = 0; i < sizeof(kinds_of_key) / sizeof(kinds_of_key[0]); i++) {
        EVP_PKEY *key = scene_key(&scene, kinds_of_key[i]);
        struct secret pkcs8 = scene_pkcs8(key);
        const char *name = NULL;
        pkcs8.data[pkcs8.length - 1] ^= 1;
        assert_status(&scene, KW_CORRUPT, key_check(scene.crypto, secret_view(&pkcs8), NULL, &name, &scene.error));
        assert_message(&scene, "not on the curve");
        assert_null(name);
        secret_clear(&pkcs8);
        EVP_PKEY_free(key);
    }
}

/* A point of the curve, but another key's. */
static void key_check_ec_point_of_another_key_is_refused(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256"), *other = scene_key(&scene, "ec-p256");
    struct secret pkcs8 = scene_pkcs8(key), theirs = scene_pkcs8(other);
    const char *name = NULL;
    enum { POINT = 65 };
    (void)state;
    memcpy(pkcs8.data + pkcs8.length - POINT, theirs.data + theirs.length - POINT, POINT);
    assert_status(&scene, KW_CORRUPT, key_check(scene.crypto, secret_view(&pkcs8), NULL, &name, &scene.error));
    assert_message(&scene, "do not fit together");
    secret_clear(&pkcs8);
    secret_clear(&theirs);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void private_key_read_of_every_truncation_is_corrupt(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256"), *read = NULL;
    struct secret pkcs8 = scene_pkcs8(key);
    (void)state;
    for (size_t length = 0; length < pkcs8.length; length++)
        assert_status(&scene, KW_CORRUPT,
                      private_key_read(scene.crypto, (kw_input){pkcs8.data, length}, &read, &scene.error));
    assert_ok(&scene, private_key_read(scene.crypto, secret_view(&pkcs8), &read, &scene.error));
    assert_int_equal(EVP_PKEY_eq(read, key), 1);
    EVP_PKEY_free(read);
    EVP_PKEY_free(key);
    secret_clear(&pkcs8);
}

static void private_key_read_of_an_unknown_type_names_it(void **state)
{
    /* PrivateKeyInfo of the algorithm 1.2.3.4 with one byte of key */
    static const unsigned char strange[] = {0x30, 0x0d, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                            0x03, 0x2a, 0x03, 0x04, 0x04, 0x01, 0x00};
    EVP_PKEY *read = NULL;
    (void)state;
    assert_status(&scene, KW_UNSUPPORTED,
                  private_key_read(scene.crypto, (kw_input){strange, sizeof(strange)}, &read, &scene.error));
    assert_message(&scene, "1.2.3.4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_check_every_kind_gives_its_name),
        cmocka_unit_test(key_check_short_rsa_is_refused),
        cmocka_unit_test(key_check_other_kinds_are_unsupported_by_name),
        cmocka_unit_test(key_check_for_pss_alone_goes_by_the_certificate),
        cmocka_unit_test(key_check_certificate_of_another_key_is_refused),
        cmocka_unit_test(key_check_roca_key_is_refused_with_the_reason),
        cmocka_unit_test(key_check_is_roca_random_moduli_are_not),
        cmocka_unit_test(key_check_parts_that_do_not_fit_are_corrupt),
        cmocka_unit_test(key_check_rsa_of_broken_numbers_is_refused_with_the_reason),
        cmocka_unit_test(key_check_ec_point_not_on_the_curve_is_refused),
        cmocka_unit_test(key_check_ec_point_of_another_key_is_refused),
        cmocka_unit_test(private_key_read_of_every_truncation_is_corrupt),
        cmocka_unit_test(private_key_read_of_an_unknown_type_names_it),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
