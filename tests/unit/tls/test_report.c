/* Reports on certificates of strangers, who choose how long those are. What they say of all others is test_client.c's and test_trust.sh's. */
#include "scene.h"

#include "base/buffer.h"
#include "tls/report.h"
#include "tls/shown.h"

#include <openssl/x509v3.h>
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

/* Self-signed; `length` bytes in each of `names` names. */
static X509 *strange(EVP_PKEY *key, int names, int length)
{
    X509 *made = scene_certificate(&scene, key, "strange", NULL, NULL, false);
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    char name[60001] = "";
    memset(name, 'a', (size_t)length);
    for (int i = 0; i < names; i++)
        assert_true(sk_GENERAL_NAME_push(all, a2i_GENERAL_NAME(NULL, NULL, NULL, GEN_DNS, name, 0)) > 0);
    assert_int_equal(X509_add1_ext_i2d(made, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT), 1);
    assert_true(X509_sign(made, key, EVP_sha256()) > 0);
    GENERAL_NAMES_free(all);
    return made;
}

static kw_trust_report *report_on(X509 *certificate)
{
    const struct seen seen = {
        .host = "other.example",
        .port = "443",
        .address = "192.0.2.1",
        .protocol = "TLSv1.3",
        .cipher = "TLS_AES_256_GCM_SHA384",
        .certificate = certificate,
    };
    X509_STORE *store = X509_STORE_new();
    kw_trust_report *report = NULL;
    assert_ok(&scene, report_make(scene.crypto, store, &seen, &report, &scene.error));
    X509_STORE_free(store);
    return report;
}

static size_t lines_of(const kw_trust_report *report, const char *text)
{
    size_t count = 0;
    for (size_t i = 0; i < report->line_count; i++)
        count += strcmp(report->lines[i].text, text) == 0;
    return count;
}

static void report_on_many_names_shows_the_first(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *few = strange(key, SHOWN_NAMES_MAXIMUM, 1), *many = strange(key, 30000, 1);
    kw_trust_report *report = report_on(few);
    (void)state;
    assert_int_equal(lines_of(report, "DNS:a"), SHOWN_NAMES_MAXIMUM);
    assert_null(strstr(report->text, "more"));
    kw_trust_report_free(report);
    report = report_on(many);
    assert_int_equal(lines_of(report, "DNS:a"), SHOWN_NAMES_MAXIMUM);
    assert_int_equal(lines_of(report, "and 29980 more"), 1);
    assert_true(strlen(report->text) < 4000);
    /* Programs have all of them. */
    assert_int_equal(report->certificate->san_count, 30000);
    kw_trust_report_free(report);
    X509_free(many);
    X509_free(few);
    EVP_PKEY_free(key);
}

static void report_on_a_long_name_shows_its_beginning(void **state)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *long_one = strange(key, 1, 60000);
    kw_trust_report *report = report_on(long_one);
    (void)state;
    assert_true(strlen(report->text) < 4000);
    assert_non_null(strstr(report->text, "aaa... (and 59604 bytes more)"));
    kw_trust_report_free(report);
    X509_free(long_one);
    EVP_PKEY_free(key);
}

static void shown_text_is_cut_between_characters(void **state)
{
    struct arena arena = {0};
    char text[SHOWN_TEXT_MAXIMUM + 8] = "";
    (void)state;
    memset(text, 'x', SHOWN_TEXT_MAXIMUM);
    assert_ptr_equal(shown_text(&arena, text), text);
    memcpy(text + SHOWN_TEXT_MAXIMUM - 1, "\xe2\x82\xac", sizeof("\xe2\x82\xac"));
    const char *shown = shown_text(&arena, text);
    assert_true(text_is_clean(shown, strlen(shown)));
    assert_non_null(strstr(shown, "x... (and 3 bytes more)"));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_on_many_names_shows_the_first),
        cmocka_unit_test(report_on_a_long_name_shows_its_beginning),
        cmocka_unit_test(shown_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
