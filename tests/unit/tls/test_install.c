/* Installing into directories of the test's own, also for a program that ignores its children's ends. */
#include "scene.h"

#include "certificate/x509.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct scene scene;

struct places {
    char local[192], system[192];
    kw_trust_install_options options;
};

static void prepare(struct places *places, const char *name)
{
    EVP_PKEY *key = scene_key(&scene, "ec-p256");
    X509 *certificate = scene_certificate(&scene, key, name, NULL, NULL, false);
    static kw_bytes der;
    kw_bytes_free(&der);
    assert_ok(&scene, x509_to_der(certificate, &der, &scene.error));
    snprintf(places->local, sizeof(places->local), "%s/%s-local", scene.directory, name);
    snprintf(places->system, sizeof(places->system), "%s/%s-certs", scene.directory, name);
    assert_int_equal(mkdir(places->local, 0700), 0);
    assert_int_equal(mkdir(places->system, 0700), 0);
    places->options = (kw_trust_install_options){.size = sizeof(places->options),
                                                 .path = "a name",
                                                 .content = {der.data, der.length},
                                                 .local_directory = places->local,
                                                 .system_directory = places->system};
    X509_free(certificate);
    EVP_PKEY_free(key);
}

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

struct told {
    char text[1024];
};

static void note(void *user, const kw_event *event)
{
    struct told *told = user;
    const size_t length = strlen(told->text);
    snprintf(told->text + length, sizeof(told->text) - length, "%s\n", event->what);
}

static void install_tells_what_it_did_and_what_was_there(void **state)
{
    struct places places;
    struct told told = {""};
    (void)state;
    prepare(&places, "first");
    /* As in a program that does not want to know how its children end. */
    signal(SIGCHLD, SIG_IGN);
    const kw_status status = kw_trust_install(&places.options, note, &told, &scene.error);
    signal(SIGCHLD, SIG_DFL);
    assert_ok(&scene, status);
    assert_non_null(strstr(told.text, "now trusts"));
    assert_non_null(strstr(told.text, places.local));
    told.text[0] = '\0';
    assert_ok(&scene, kw_trust_install(&places.options, note, &told, &scene.error));
    assert_non_null(strstr(told.text, "already"));
}

static void install_of_no_certificate_names_where_it_came_from(void **state)
{
    struct places places;
    (void)state;
    prepare(&places, "none");
    places.options.content = (kw_input){(const unsigned char *)"x", 1};
    assert_status(&scene, KW_CORRUPT, kw_trust_install(&places.options, NULL, NULL, &scene.error));
    assert_string_equal(scene.error.where, "a name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(install_tells_what_it_did_and_what_was_there),
        cmocka_unit_test(install_of_no_certificate_names_where_it_came_from),
    };
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
