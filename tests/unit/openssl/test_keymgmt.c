/* What libcrypto learns of a key, and what it never gets. */
#include "keyring.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <string.h>

static const char *const kinds[] = {"rsa-2048", "ec-p256", "ec-p384", "ec-p521", "ed25519"};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct ring ring;
static struct pair pairs[KINDS];
static const char *const type_names[] = {[KW_KEY_RSA] = "RSA", [KW_KEY_EC] = "EC", [KW_KEY_ED25519] = "ED25519"};

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

static int count_parameters(const OSSL_PARAM parameters[], void *user)
{
    int *count = user;
    for (; parameters->key != NULL; parameters++) {
        assert_string_not_equal(parameters->key, OSSL_PKEY_PARAM_PRIV_KEY);
        assert_string_not_equal(parameters->key, OSSL_PKEY_PARAM_RSA_D);
        (*count)++;
    }
    return 1;
}

static void export_with_private_part_fails(void **state)
{
    (void)state;
    static const int selections[] = {EVP_PKEY_KEYPAIR, OSSL_KEYMGMT_SELECT_PRIVATE_KEY, OSSL_KEYMGMT_SELECT_ALL};
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t j = 0; j < sizeof(selections) / sizeof(selections[0]); j++) {
            int count = 0;
            assert_int_equal(EVP_PKEY_export(pairs[i].ours, selections[j], count_parameters, &count), 0);
            assert_int_equal(count, 0);
        }
        OSSL_PARAM *parameters = NULL;
        assert_int_equal(EVP_PKEY_todata(pairs[i].ours, EVP_PKEY_KEYPAIR, &parameters), 0);
        assert_null(parameters);
    }
}

static void export_of_public_part_succeeds(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        int count = 0;
        assert_libcrypto(EVP_PKEY_export(pairs[i].ours, EVP_PKEY_PUBLIC_KEY, count_parameters, &count));
        assert_true(count > 0);
        unsigned char *spki = NULL;
        const int length = i2d_PUBKEY(pairs[i].ours, &spki);
        assert_int_equal(length, pairs[i].spki_length);
        assert_memory_equal(spki, pairs[i].spki, (size_t)length);
        OPENSSL_free(spki);
    }
}

/* An RSA key has none alone: what we gave out for them libcrypto would print, and crash on. */
static void parameters_are_printed_as_of_a_key_in_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        BIO *ours = BIO_new(BIO_s_mem()), *plain = BIO_new(BIO_s_mem());
        char *one = NULL, *other = NULL;
        OSSL_PARAM *parameters = NULL;
        const int printed = EVP_PKEY_print_params(plain, pairs[i].plain, 0, NULL);
        const int ours_printed = EVP_PKEY_print_params(ours, pairs[i].ours, 0, NULL);
        const long length = BIO_get_mem_data(plain, &other), ours_length = BIO_get_mem_data(ours, &one);
        if (pairs[i].kind->type == KW_KEY_RSA) {
            assert_int_equal(EVP_PKEY_todata(pairs[i].ours, OSSL_KEYMGMT_SELECT_ALL_PARAMETERS, &parameters), 0);
            assert_int_equal(EVP_PKEY_todata(pairs[i].ours, OSSL_KEYMGMT_SELECT_OTHER_PARAMETERS, &parameters), 0);
        } else if (pairs[i].kind->type == KW_KEY_EC) { /* Ed25519 has none, and libcrypto says so in two ways */
            assert_int_equal(ours_printed, printed);
            assert_int_equal(ours_length, length);
            assert_memory_equal(one, other, (size_t)length);
        }
        BIO_free(ours);
        BIO_free(plain);
    }
    ERR_clear_error();
}

static void private_value_is_no_parameter(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        BIGNUM *number = NULL;
        unsigned char bytes[600];
        size_t length = sizeof(bytes);
        assert_int_equal(EVP_PKEY_get_bn_param(pairs[i].ours, OSSL_PKEY_PARAM_RSA_D, &number), 0);
        assert_int_equal(EVP_PKEY_get_bn_param(pairs[i].ours, OSSL_PKEY_PARAM_PRIV_KEY, &number), 0);
        assert_int_equal(EVP_PKEY_get_raw_private_key(pairs[i].ours, bytes, &length), 0);
        assert_null(number);
    }
    ERR_clear_error();
}

/* Everything a program would write a private key with: nothing comes out. */
static void write_private_key_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        BIO *out = BIO_new(BIO_s_mem());
        unsigned char *der = NULL;
        assert_true(PEM_write_bio_PrivateKey(out, pairs[i].ours, NULL, NULL, 0, NULL, NULL) <= 0);
        assert_true(PEM_write_bio_PKCS8PrivateKey(out, pairs[i].ours, NULL, NULL, 0, NULL, NULL) <= 0);
        assert_true(PEM_write_bio_PrivateKey_traditional(out, pairs[i].ours, NULL, NULL, 0, NULL, NULL) <= 0);
        assert_true(i2d_PrivateKey_bio(out, pairs[i].ours) <= 0);
        assert_true(i2d_PKCS8PrivateKey_bio(out, pairs[i].ours, NULL, NULL, 0, NULL, NULL) <= 0);
        assert_true(i2d_PrivateKey(pairs[i].ours, &der) <= 0);
        assert_null(der);
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pairs[i].ours);
        assert_null(info);
        assert_int_equal(BIO_ctrl_pending(out), 0);
        BIO_free(out);
    }
    ERR_clear_error();
}

static void eq_with_own_public_key_is_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        EVP_PKEY *public = EVP_PKEY_new();
        const unsigned char *at = pairs[i].spki;
        EVP_PKEY_free(public);
        public = d2i_PUBKEY_ex(NULL, &at, pairs[i].spki_length, ring.crypto->library, NULL);
        assert_non_null(public);
        assert_int_equal(EVP_PKEY_eq(pairs[i].ours, public), 1);
        assert_int_equal(EVP_PKEY_eq(public, pairs[i].ours), 1);
        assert_int_equal(EVP_PKEY_eq(pairs[i].ours, pairs[i].ours), 1);
        EVP_PKEY_free(public);
        /* In another library context, as an application's is. */
        at = pairs[i].spki;
        public = d2i_PUBKEY(NULL, &at, pairs[i].spki_length);
        assert_non_null(public);
        assert_int_equal(EVP_PKEY_eq(pairs[i].ours, public), 1);
        assert_int_equal(EVP_PKEY_eq(public, pairs[i].ours), 1);
        EVP_PKEY_free(public);
    }
    ERR_clear_error();
}

static void eq_with_another_key_is_not_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct pair other = ring_add(&ring, kinds[i]);
        EVP_PKEY *public = NULL;
        const unsigned char *at = other.spki;
        public = d2i_PUBKEY_ex(NULL, &at, other.spki_length, ring.crypto->library, NULL);
        assert_int_not_equal(EVP_PKEY_eq(pairs[i].ours, public), 1);
        assert_int_not_equal(EVP_PKEY_eq(public, pairs[i].ours), 1);
        assert_int_not_equal(EVP_PKEY_eq(pairs[i].ours, other.ours), 1);
        EVP_PKEY_free(public);
        pair_clear(&other);
    }
    for (size_t i = 1; i < KINDS; i++)
        assert_int_not_equal(EVP_PKEY_eq(pairs[i].ours, pairs[i - 1].ours), 1);
    ERR_clear_error();
}

static void check_private_key_tells_the_certificates_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        X509 *certificate = X509_new_ex(ring.crypto->library, NULL);
        assert_libcrypto(X509_set_pubkey(certificate, pairs[i].plain));
        assert_libcrypto(X509_check_private_key(certificate, pairs[i].ours));
        assert_libcrypto(X509_set_pubkey(certificate, pairs[(i + 1) % KINDS].plain));
        assert_int_not_equal(X509_check_private_key(certificate, pairs[i].ours), 1);
        assert_libcrypto(X509_set_pubkey(certificate, pairs[i].ours));
        assert_libcrypto(X509_check_private_key(certificate, pairs[i].ours));
        X509_free(certificate);
    }
    ERR_clear_error();
}

/* TLS 1.3 is lost without a group's name that OBJ_txt2nid knows. */
static void group_name_is_known_to_obj(void **state)
{
    (void)state;
    static const struct {
        size_t kind;
        const char *name;
        int nid;
    } groups[] = {
        {1, "prime256v1", NID_X9_62_prime256v1}, {2, "secp384r1", NID_secp384r1}, {3, "secp521r1", NID_secp521r1}};
    for (size_t i = 0; i < 3; i++) {
        char name[32];
        size_t length = 0;
        assert_libcrypto(EVP_PKEY_get_utf8_string_param(pairs[groups[i].kind].ours, OSSL_PKEY_PARAM_GROUP_NAME, name,
                                                        sizeof(name), &length));
        assert_string_equal(name, groups[i].name);
        assert_int_equal(OBJ_txt2nid(name), groups[i].nid);
        assert_libcrypto(EVP_PKEY_get_group_name(pairs[groups[i].kind].ours, name, sizeof(name), &length));
    }
}

static void sizes_are_those_of_the_plain_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        assert_int_equal(EVP_PKEY_get_bits(pairs[i].ours), EVP_PKEY_get_bits(pairs[i].plain));
        assert_int_equal(EVP_PKEY_get_size(pairs[i].ours), EVP_PKEY_get_size(pairs[i].plain));
        assert_int_equal(EVP_PKEY_get_security_bits(pairs[i].ours), EVP_PKEY_get_security_bits(pairs[i].plain));
        assert_int_equal(EVP_PKEY_get_base_id(pairs[i].ours), EVP_PKEY_get_base_id(pairs[i].plain));
        assert_true(EVP_PKEY_is_a(pairs[i].ours, type_names[pairs[i].kind->type]));
        char ours[32] = "", plain[32] = "";
        assert_int_equal(EVP_PKEY_get_default_digest_name(pairs[i].ours, ours, sizeof(ours)),
                         EVP_PKEY_get_default_digest_name(pairs[i].plain, plain, sizeof(plain)));
        assert_string_equal(ours, plain);
    }
}

static void check_of_the_public_part_succeeds(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(ring.crypto->library, pairs[i].ours, NULL);
        assert_libcrypto(EVP_PKEY_public_check(context));
        assert_libcrypto(EVP_PKEY_private_check(context));
        EVP_PKEY_CTX_free(context);
    }
}

/* Others' private keys that sign are not taken: libcrypto then goes on to their own provider. One that agrees may be a peer. */
static void import_of_a_private_key_that_signs_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        const bool agrees = pairs[i].kind->type == KW_KEY_EC || pairs[i].kind->type == KW_KEY_X25519;
        OSSL_PARAM *parameters = NULL;
        EVP_PKEY *made = NULL;
        assert_libcrypto(EVP_PKEY_todata(pairs[i].plain, EVP_PKEY_KEYPAIR, &parameters));
        EVP_PKEY_CTX *context =
            EVP_PKEY_CTX_new_from_name(ring.crypto->library, type_names[pairs[i].kind->type], "provider=keywright");
        assert_libcrypto(EVP_PKEY_fromdata_init(context));
        assert_int_equal(EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, parameters) > 0, agrees);
        assert_true(agrees ? EVP_PKEY_eq(made, pairs[i].plain) == 1 : made == NULL);
        EVP_PKEY_free(made);
        EVP_PKEY_CTX_free(context);
        OSSL_PARAM_free(parameters);
    }
    ERR_clear_error();
}

static void import_of_a_public_key_gives_one_that_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        OSSL_PARAM *parameters = NULL;
        EVP_PKEY *made = NULL;
        unsigned char signature[512];
        size_t length = sizeof(signature);
        assert_libcrypto(EVP_PKEY_todata(pairs[i].plain, EVP_PKEY_PUBLIC_KEY, &parameters));
        EVP_PKEY_CTX *context =
            EVP_PKEY_CTX_new_from_name(ring.crypto->library, type_names[pairs[i].kind->type], "provider=keywright");
        assert_libcrypto(EVP_PKEY_fromdata_init(context));
        assert_libcrypto(EVP_PKEY_fromdata(context, &made, EVP_PKEY_PUBLIC_KEY, parameters));
        EVP_PKEY_CTX_free(context);
        OSSL_PARAM_free(parameters);

        const char *digest = pairs[i].kind->type == KW_KEY_ED25519 ? NULL : "SHA256";
        EVP_MD_CTX *plain = EVP_MD_CTX_new(), *signing = EVP_MD_CTX_new(), *verifying = EVP_MD_CTX_new();
        assert_libcrypto(EVP_DigestSignInit_ex(plain, NULL, digest, ring.crypto->library, NULL, pairs[i].plain, NULL));
        assert_libcrypto(EVP_DigestSign(plain, signature, &length, (const unsigned char *)"text", 4));
        assert_libcrypto(EVP_DigestVerifyInit_ex(verifying, NULL, digest, ring.crypto->library, NULL, made, NULL));
        assert_libcrypto(EVP_DigestVerify(verifying, signature, length, (const unsigned char *)"text", 4));
        length = sizeof(signature);
        assert_true(EVP_DigestSignInit_ex(signing, NULL, digest, ring.crypto->library, NULL, made, NULL) <= 0 ||
                    EVP_DigestSign(signing, signature, &length, (const unsigned char *)"text", 4) <= 0);
        EVP_MD_CTX_reset(signing);
        assert_true(
            EVP_DigestSignInit_ex(signing, NULL, digest, ring.crypto->library, "provider=keywright", made, NULL) <= 0);
        EVP_MD_CTX_free(plain);
        EVP_MD_CTX_free(signing);
        EVP_MD_CTX_free(verifying);
        EVP_PKEY_free(made);
    }
    ERR_clear_error();
}

static void dup_is_the_same_key_and_outlives_it(void **state)
{
    (void)state;
    struct pair pair = ring_add(&ring, "ec-p256");
    EVP_PKEY *copy = EVP_PKEY_dup(pair.ours);
    assert_non_null(copy);
    assert_int_equal(EVP_PKEY_eq(copy, pair.ours), 1);
    EVP_PKEY_free(pair.ours);
    pair.ours = NULL;
    kw_key_free(pair.key);
    pair.key = NULL;
    unsigned char signature[128];
    size_t length = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestSignInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, copy, NULL));
    assert_libcrypto(EVP_DigestSign(context, signature, &length, (const unsigned char *)"text", 4));
    EVP_MD_CTX_free(context);
    context = EVP_MD_CTX_new();
    assert_libcrypto(EVP_DigestVerifyInit_ex(context, NULL, "SHA256", ring.crypto->library, NULL, pair.plain, NULL));
    assert_libcrypto(EVP_DigestVerify(context, signature, length, (const unsigned char *)"text", 4));
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(copy);
    pair_clear(&pair);
}

static void set_params_never_changes_a_key(void **state)
{
    (void)state;
    unsigned char *point = NULL;
    struct pair other = ring_add(&ring, "ec-p256");
    const size_t length = EVP_PKEY_get1_encoded_public_key(other.ours, &point);
    assert_true(length > 0);
    assert_int_not_equal(EVP_PKEY_set1_encoded_public_key(pairs[1].ours, point, length), 1);
    assert_int_not_equal(EVP_PKEY_eq(pairs[1].ours, other.ours), 1);
    OPENSSL_free(point);
    pair_clear(&other);
    ERR_clear_error();
}

/* Keys of the library's context that are not in a store are made and used by the default provider. */
static void keygen_without_a_provider_is_the_defaults(void **state)
{
    (void)state;
    EVP_PKEY *made = EVP_PKEY_Q_keygen(ring.crypto->library, NULL, "EC", "P-256");
    assert_non_null(made);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(made)), "default");
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pairs[1].ours)), "keywright");
    EVP_PKEY_free(made);
}

static void questions_call_no_backend(void **state)
{
    (void)state;
    const uint64_t before = ring_calls(&ring);
    assert_true(before > 0);
    group_name_is_known_to_obj(state);
    sizes_are_those_of_the_plain_key(state);
    eq_with_own_public_key_is_one(state);
    check_private_key_tells_the_certificates_key(state);
    export_of_public_part_succeeds(state);
    check_of_the_public_part_succeeds(state);
    assert_int_equal(ring_calls(&ring), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(export_with_private_part_fails),
        cmocka_unit_test(export_of_public_part_succeeds),
        cmocka_unit_test(parameters_are_printed_as_of_a_key_in_memory),
        cmocka_unit_test(private_value_is_no_parameter),
        cmocka_unit_test(write_private_key_is_refused),
        cmocka_unit_test(eq_with_own_public_key_is_one),
        cmocka_unit_test(eq_with_another_key_is_not_one),
        cmocka_unit_test(check_private_key_tells_the_certificates_key),
        cmocka_unit_test(group_name_is_known_to_obj),
        cmocka_unit_test(sizes_are_those_of_the_plain_key),
        cmocka_unit_test(check_of_the_public_part_succeeds),
        cmocka_unit_test(import_of_a_private_key_that_signs_is_refused),
        cmocka_unit_test(import_of_a_public_key_gives_one_that_verifies),
        cmocka_unit_test(dup_is_the_same_key_and_outlives_it),
        cmocka_unit_test(set_params_never_changes_a_key),
        cmocka_unit_test(keygen_without_a_provider_is_the_defaults),
        cmocka_unit_test(questions_call_no_backend),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
