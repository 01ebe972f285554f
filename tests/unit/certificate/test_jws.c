/* JSON Web Signatures by keys in a store. What outsiders make of them, and what they make, is tests/integration/test_licence.sh's. */
#include "scene.h"
#include "unit/openssl/keyring.h"

#include "base/buffer.h"
#include "certificate/jws.h"

#include <string.h>

static struct ring ring;
static struct scene scene;
static const char payload[] = "{\"format\":\"x\"}";

static int open_ring(void **state)
{
    (void)state;
    ring_open(&ring);
    scene_open(&scene);
    return 0;
}

static int close_ring(void **state)
{
    (void)state;
    scene_close(&scene);
    ring_close(&ring);
    return 0;
}

static kw_status verify(X509 *certificate, kw_input jws, kw_bytes *content)
{
    return jws_verify(ring.crypto, certificate, jws, content, &scene.error);
}

static void sign_with_each_key_verifies(void **state)
{
    static const char *const keys[] = {"rsa-2048", "ec-p256", "ec-p384", "ec-p521", "ed25519"};
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct pair pair = ring_add(&ring, keys[i]);
        X509 *certificate = scene_certificate(&scene, pair.plain, "signer", NULL, NULL, false);
        kw_bytes jws = {0}, content = {0};
        assert_ok(&scene,
                  jws_sign(ring.crypto, pair.key, certificate, "test+json", input_text(payload), &jws, &scene.error));
        assert_ok(&scene, verify(certificate, (kw_input){jws.data, jws.length}, &content));
        assert_string_equal((const char *)content.data, payload);
        kw_bytes_free(&content);
        kw_bytes_free(&jws);
        X509_free(certificate);
        pair_clear(&pair);
    }
}

/* Each byte of the text, and each way to be shorter: never the payload, never anything but an error. */
static void verify_changed_or_cut_is_refused(void **state)
{
    struct pair pair = ring_add(&ring, "ec-p256");
    X509 *certificate = scene_certificate(&scene, pair.plain, "signer", NULL, NULL, false);
    kw_bytes jws = {0}, content = {0};
    size_t taken = 0;
    (void)state;
    assert_ok(&scene,
              jws_sign(ring.crypto, pair.key, certificate, "test+json", input_text(payload), &jws, &scene.error));
    for (size_t i = 0; i < jws.length; i++) {
        const unsigned char before = jws.data[i];
        jws.data[i] ^= 1;
        /* White space between members may become other white space. */
        if (verify(certificate, (kw_input){jws.data, jws.length}, &content) == KW_OK) {
            assert_true(before == ' ' || before == '\n');
            kw_bytes_free(&content);
            taken++;
        }
        jws.data[i] = before;
        if (i + 2 < jws.length)
            assert_int_not_equal(verify(certificate, (kw_input){jws.data, i}, &content), KW_OK);
        assert_null(content.data);
    }
    assert_true(taken < 20);
    kw_bytes_free(&jws);
    X509_free(certificate);
    pair_clear(&pair);
}

static void verify_by_another_is_told_from_a_wrong_signature(void **state)
{
    struct pair pair = ring_add(&ring, "ec-p256"), other = ring_add(&ring, "ec-p256");
    X509 *certificate = scene_certificate(&scene, pair.plain, "signer", NULL, NULL, false);
    X509 *stranger = scene_certificate(&scene, other.plain, "signer", NULL, NULL, false);
    kw_bytes jws = {0}, content = {0};
    (void)state;
    assert_ok(&scene,
              jws_sign(ring.crypto, pair.key, certificate, "test+json", input_text(payload), &jws, &scene.error));
    assert_status(&scene, KW_REFUSED, verify(stranger, (kw_input){jws.data, jws.length}, &content));
    assert_message(&scene, "signed by another certificate");
    kw_bytes_free(&jws);
    /* Who names the right certificate and has not its key. */
    assert_ok(&scene,
              jws_sign(ring.crypto, other.key, certificate, "test+json", input_text(payload), &jws, &scene.error));
    assert_status(&scene, KW_SIGNATURE_INVALID, verify(certificate, (kw_input){jws.data, jws.length}, &content));
    kw_bytes_free(&jws);
    X509_free(stranger);
    X509_free(certificate);
    pair_clear(&other);
    pair_clear(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sign_with_each_key_verifies),
        cmocka_unit_test(verify_changed_or_cut_is_refused),
        cmocka_unit_test(verify_by_another_is_told_from_a_wrong_signature),
    };
    return cmocka_run_group_tests(tests, open_ring, close_ring);
}
