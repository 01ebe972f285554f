/* What a file may ask for: by name, and by cost. */
#include "scene.h"

#include "base/buffer.h"
#include "certificate/pbe.h"

#include <limits.h>
#include <openssl/err.h>
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

static void judge(X509_ALGOR *algorithm, kw_status expected, const char *said)
{
    struct pbe_limits limits = {.crypto = scene.crypto};
    assert_non_null(algorithm);
    assert_status(&scene, expected, pbe_check(&limits, algorithm, &scene.error));
    if (said != NULL)
        assert_message(&scene, said);
    assert_int_equal(ERR_peek_error(), 0);
    pbe_close(&limits);
    X509_ALGOR_free(algorithm);
}

static void pbe_check_iterations_have_a_limit(void **state)
{
    (void)state;
    judge(PKCS5_pbe_set_ex(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 5000000, NULL, 8, scene.crypto->library), KW_OK,
          NULL);
    judge(PKCS5_pbe_set_ex(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 5000001, NULL, 8, scene.crypto->library), KW_REFUSED,
          "5000001");
    judge(PKCS5_pbe2_set_iv_ex(EVP_aes_256_cbc(), 5000000, NULL, 16, NULL, -1, scene.crypto->library), KW_OK, NULL);
    judge(PKCS5_pbe2_set_iv_ex(EVP_aes_256_cbc(), 5000001, NULL, 16, NULL, -1, scene.crypto->library), KW_REFUSED,
          "5000001");
}

static void pbe_check_iterations_of_a_file_add_up(void **state)
{
    struct pbe_limits limits = {.crypto = scene.crypto, .iterations = PBE_TOTAL_MAXIMUM - 1};
    X509_ALGOR *algorithm = PKCS5_pbe_set_ex(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 1, NULL, 8, scene.crypto->library);
    (void)state;
    assert_ok(&scene, pbe_check(&limits, algorithm, &scene.error));
    assert_status(&scene, KW_REFUSED, pbe_check(&limits, algorithm, &scene.error));
    assert_message(&scene, "altogether");
    X509_ALGOR_free(algorithm);
}

/* The parameters that libcrypto itself would take: it limits memory and not time. */
static void pbe_check_scrypt_has_a_limit(void **state)
{
    static const struct {
        uint64_t n, r, p;
        kw_status status;
    } rows[] = {{16384, 8, 1, KW_OK},
                {131072, 8, 16, KW_OK},
                {131072, 1, 100000, KW_REFUSED},
                {131072, 8, 17, KW_REFUSED},
                {2, 1, 16777216, KW_REFUSED}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        X509_ALGOR *algorithm = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 16, NULL, 16384, 8, 1);
        const void *value = NULL;
        int type = 0;
        X509_ALGOR_get0(NULL, &type, &value, algorithm);
        PBE2PARAM *outer = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBE2PARAM));
        X509_ALGOR_get0(NULL, &type, &value, outer->keyfunc);
        SCRYPT_PARAMS *inner = ASN1_item_unpack(value, ASN1_ITEM_rptr(SCRYPT_PARAMS));
        ASN1_INTEGER_set_uint64(inner->costParameter, rows[i].n);
        ASN1_INTEGER_set_uint64(inner->blockSize, rows[i].r);
        ASN1_INTEGER_set_uint64(inner->parallelizationParameter, rows[i].p);
        X509_ALGOR_set0(outer->keyfunc, OBJ_nid2obj(NID_id_scrypt), V_ASN1_SEQUENCE,
                        ASN1_item_pack(inner, ASN1_ITEM_rptr(SCRYPT_PARAMS), NULL));
        X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_pbes2), V_ASN1_SEQUENCE,
                        ASN1_item_pack(outer, ASN1_ITEM_rptr(PBE2PARAM), NULL));
        SCRYPT_PARAMS_free(inner);
        PBE2PARAM_free(outer);
        judge(algorithm, rows[i].status, rows[i].status != KW_OK ? "N * r * p" : NULL);
    }
}

/* Many keys in a file, each within the limit of one. */
static void pbe_check_scrypt_counts_for_the_whole_file(void **state)
{
    const unsigned each = 8 * 16384 * 8, many = (unsigned)(PBE_TOTAL_MAXIMUM / each);
    struct pbe_limits limits = {.crypto = scene.crypto, .iterations = PBE_TOTAL_MAXIMUM - 2 * each};
    X509_ALGOR *algorithm = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 16, NULL, 16384, 8, 1);
    (void)state;
    assert_true(many > 100);
    assert_ok(&scene, pbe_check(&limits, algorithm, &scene.error));
    assert_ok(&scene, pbe_check(&limits, algorithm, &scene.error));
    assert_status(&scene, KW_REFUSED, pbe_check(&limits, algorithm, &scene.error));
    assert_message(&scene, "altogether");
    X509_ALGOR_free(algorithm);
}

static void pbe_check_unknown_algorithms_are_named(void **state)
{
    X509_ALGOR *strange = X509_ALGOR_new(), *no_parameters = X509_ALGOR_new(), *mac = X509_ALGOR_new();
    struct pbe_limits limits = {.crypto = scene.crypto};
    (void)state;
    X509_ALGOR_set0(strange, OBJ_txt2obj("1.2.3.4", 1), V_ASN1_UNDEF, NULL);
    judge(strange, KW_UNSUPPORTED, "1.2.3.4");
    X509_ALGOR_set0(no_parameters, OBJ_nid2obj(NID_pbes2), V_ASN1_NULL, NULL);
    judge(no_parameters, KW_CORRUPT, "PBES2");
    X509_ALGOR_set0(mac, OBJ_txt2obj("1.2.3.5", 1), V_ASN1_UNDEF, NULL);
    assert_status(&scene, KW_UNSUPPORTED, pbe_check_mac(&limits, mac, NULL, &scene.error));
    assert_message(&scene, "1.2.3.5");
    X509_ALGOR_free(mac);
}

static void pbe_check_mac_iterations_have_the_same_limit(void **state)
{
    struct pbe_limits limits = {.crypto = scene.crypto};
    X509_ALGOR *mac = X509_ALGOR_new();
    ASN1_INTEGER *iterations = ASN1_INTEGER_new();
    (void)state;
    X509_ALGOR_set0(mac, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, NULL);
    assert_ok(&scene, pbe_check_mac(&limits, mac, NULL, &scene.error));
    ASN1_INTEGER_set_int64(iterations, 5000000);
    assert_ok(&scene, pbe_check_mac(&limits, mac, iterations, &scene.error));
    ASN1_INTEGER_set_int64(iterations, 5000001);
    assert_status(&scene, KW_REFUSED, pbe_check_mac(&limits, mac, iterations, &scene.error));
    ASN1_INTEGER_set_int64(iterations, 0);
    assert_status(&scene, KW_CORRUPT, pbe_check_mac(&limits, mac, iterations, &scene.error));
    ASN1_INTEGER_set_int64(iterations, -1);
    assert_status(&scene, KW_CORRUPT, pbe_check_mac(&limits, mac, iterations, &scene.error));
    ASN1_INTEGER_free(iterations);
    X509_ALGOR_free(mac);
}

static X509_ALGOR *make_pbmac1(X509_ALGOR *function)
{
    static const unsigned char hmac[] = {0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0x86, 0xf7, 0x0d, 0x02, 0x09, 0x05, 0x00};
    X509_ALGOR *mac = X509_ALGOR_new();
    unsigned char *inner = NULL;
    struct buffer parameters = {0};
    assert_true(mac != NULL && function != NULL);
    const int length = i2d_X509_ALGOR(function, &inner);
    buffer_append_u8(&parameters, 0x30);
    buffer_append_u8(&parameters, (uint8_t)(length + (int)sizeof(hmac)));
    buffer_append(&parameters, inner, (size_t)length);
    buffer_append(&parameters, hmac, sizeof(hmac));
    ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    ASN1_STRING_set(value, parameters.data, (int)parameters.length);
    X509_ALGOR_set0(mac, OBJ_txt2obj("1.2.840.113549.1.5.14", 1), V_ASN1_SEQUENCE, value);
    buffer_free(&parameters);
    OPENSSL_free(inner);
    X509_ALGOR_free(function);
    return mac;
}

/* RFC 9579: verified by OpenSSL from 3.4 on, and told by name before that. */
static void pbe_check_mac_pbmac1_depends_on_libcrypto(void **state)
{
    struct pbe_limits limits = {.crypto = scene.crypto};
    X509_ALGOR *mac = make_pbmac1(PKCS5_pbkdf2_set_ex(2048, NULL, 8, NID_hmacWithSHA256, 32, scene.crypto->library));
    (void)state;
    const kw_status expected = OpenSSL_version_num() >= 0x30400000ul ? KW_OK : KW_UNSUPPORTED;
    assert_status(&scene, expected, pbe_check_mac(&limits, mac, NULL, &scene.error));
    if (expected == KW_UNSUPPORTED)
        assert_message(&scene, "unsupported MAC: PBMAC1");
    assert_int_equal(limits.iterations, 2048);
    X509_ALGOR_free(mac);
}

/* libcrypto of some versions writes as many bytes as the file says. */
static void pbe_check_mac_pbmac1_key_has_the_length_of_a_hash(void **state)
{
    static const int lengths[] = {-1, 1, 19, 65, 1000, INT_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct pbe_limits limits = {.crypto = scene.crypto};
        X509_ALGOR *mac =
            make_pbmac1(PKCS5_pbkdf2_set_ex(2048, NULL, 8, NID_hmacWithSHA256, lengths[i], scene.crypto->library));
        assert_status(&scene, KW_CORRUPT, pbe_check_mac(&limits, mac, NULL, &scene.error));
        assert_message(&scene, "PBKDF2");
        X509_ALGOR_free(mac);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pbe_check_iterations_have_a_limit),
        cmocka_unit_test(pbe_check_iterations_of_a_file_add_up),
        cmocka_unit_test(pbe_check_scrypt_has_a_limit),
        cmocka_unit_test(pbe_check_scrypt_counts_for_the_whole_file),
        cmocka_unit_test(pbe_check_unknown_algorithms_are_named),
        cmocka_unit_test(pbe_check_mac_iterations_have_the_same_limit),
        cmocka_unit_test(pbe_check_mac_pbmac1_depends_on_libcrypto),
        cmocka_unit_test(pbe_check_mac_pbmac1_key_has_the_length_of_a_hash),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
