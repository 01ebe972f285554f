/* Revocation lists from files and from a web server in a thread of this test. */
#include "authority.h"
#include "scene.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "certificate/crl.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct scene scene;
static X509 *root;
static EVP_PKEY *root_key;
static kw_bytes list; /* a fresh one, DER */
static const struct crl_limits limits = {.timeout = 5000, .maximum = 10000};

static kw_bytes encode(X509_CRL *crl)
{
    unsigned char *der = NULL;
    struct buffer copy = {0};
    kw_bytes bytes = {0};
    const int length = i2d_X509_CRL(crl, &der);
    assert_true(length > 0);
    buffer_append(&copy, der, (size_t)length);
    assert_int_equal(buffer_take(&copy, &bytes), KW_OK);
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return bytes;
}

static kw_input view(const kw_bytes *bytes)
{
    return (kw_input){bytes->data, bytes->length};
}

static kw_status fetch(const char *url)
{
    X509_CRL *crl = NULL;
    const kw_status status = crl_fetch(scene.crypto, input_text(url), &limits, &crl, &scene.error);
    assert_true((status == KW_OK) == (crl != NULL));
    X509_CRL_free(crl);
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

static kw_status fetch_content(kw_input content)
{
    char url[256], path[256];
    snprintf(path, sizeof(path), "%s/list", scene.directory);
    FILE *file = fopen(path, "wb"); /* scene_write would wait for the disk each time */
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.length, file), content.length);
    assert_int_equal(fclose(file), 0);
    snprintf(url, sizeof(url), "file://%s/list", scene.directory);
    return fetch(url);
}

/* ---- Files ---- */

static void fetch_file_in_der_and_pem_gives_the_list(void **state)
{
    const unsigned char *at = list.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)list.length);
    BIO *text = BIO_new(BIO_s_mem());
    char *pem = NULL;
    (void)state;
    assert_ok(&scene, fetch_content(view(&list)));
    assert_true(PEM_write_bio_X509_CRL(text, crl) == 1);
    const long length = BIO_get_mem_data(text, &pem);
    assert_ok(&scene, fetch_content((kw_input){(const unsigned char *)pem, (size_t)length}));
    BIO_free(text);
    X509_CRL_free(crl);
}

static void fetch_damaged_list_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length < list.length; length++)
        assert_status(&scene, KW_CORRUPT, fetch_content((kw_input){list.data, length}));
    for (size_t i = 0; i < list.length; i++) {
        list.data[i] ^= 0x55;
        const kw_status status = fetch_content(view(&list)); /* what is no longer signed may still be a list */
        assert_true(status == KW_OK || status == KW_CORRUPT);
        list.data[i] ^= 0x55;
    }
    assert_status(&scene, KW_CORRUPT,
                  fetch_content(input_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")));
    assert_status(&scene, KW_CORRUPT, fetch_content(input_text("nothing of the kind")));
}

static void fetch_what_is_no_place_is_refused(void **state)
{
    static const struct {
        const char *url;
        kw_status status;
        const char *message;
    } cases[] = {
        {"", KW_INVALID_ARGUMENT, "empty"},
        {"list.crl", KW_INVALID_ARGUMENT, "no URL"},
        {"http://", KW_UNAVAILABLE, "cannot be fetched"},
        {"http://[::1", KW_UNAVAILABLE, "cannot be fetched"},
        {"://", KW_INVALID_ARGUMENT, "no URL"},
        {"file:", KW_UNSUPPORTED, "not a file of this host"},
        {"file:///dev/zero", KW_REFUSED, "not a regular file"},
        {"file:///", KW_REFUSED, "not a regular file"},
        {"FILE:///dev/zero", KW_REFUSED, "not a regular file"},
        {"file://other.example/etc/hosts", KW_UNSUPPORTED, "not a file of this host"},
        {"file:///absent", KW_UNAVAILABLE, "No such file"},
        {"ftp://127.0.0.1/x", KW_UNSUPPORTED, "by ftp"},
        {"ldap:///cn=x", KW_UNSUPPORTED, "not supported"},
        {"dict://127.0.0.1:1/x", KW_UNSUPPORTED, "by dict"},
        {"scp://127.0.0.1/x", KW_UNSUPPORTED, "by scp"},
        {"http://127.0.0.1:1/x", KW_UNAVAILABLE, "cannot be fetched"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_status(&scene, cases[i].status, fetch(cases[i].url));
        assert_message(&scene, cases[i].message);
    }
    const kw_input hidden = {(const unsigned char *)"file:///etc/hosts\0.crl", 22};
    X509_CRL *crl = NULL;
    assert_status(&scene, KW_INVALID_ARGUMENT, crl_fetch(scene.crypto, hidden, &limits, &crl, &scene.error));
    char *lengthy = calloc(1, 3001);
    memset(lengthy, 'a', 3000);
    memcpy(lengthy, "http://", 7);
    assert_status(&scene, KW_INVALID_ARGUMENT, fetch(lengthy));
    free(lengthy);
    assert_int_equal(crl_fetch(scene.crypto, input_text("file:///dev/zero"), &limits, &crl, NULL), KW_REFUSED);
}

static void fetch_file_of_exactly_the_limit_is_let_in(void **state)
{
    X509_CRL *crl = NULL;
    char url[256];
    struct crl_limits tight = {.timeout = 1000, .maximum = list.length};
    (void)state;
    scene_write(&scene, "list", view(&list));
    snprintf(url, sizeof(url), "file://%s/list", scene.directory);
    assert_ok(&scene, crl_fetch(scene.crypto, input_text(url), &tight, &crl, &scene.error));
    X509_CRL_free(crl);
    tight.maximum--;
    assert_status(&scene, KW_REFUSED, crl_fetch(scene.crypto, input_text(url), &tight, &crl, &scene.error));
}

/* ---- By HTTP ---- */

struct web {
    int listener;
    char url[64];
    pthread_t thread;
    int connections; /* that it answers before it ends */
    bool silent;
    const char *elsewhere; /* sends clients there; an empty one back to itself */
};

static void *serve(void *user)
{
    struct web *web = user;
    for (int i = 0; i < web->connections; i++) {
        char request[2048], head[256];
        const int connection = accept(web->listener, NULL, NULL);
        assert_true(connection >= 0);
        const ssize_t got = recv(connection, request, sizeof(request), 0);
        const int length =
            web->elsewhere == NULL
                ? snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                : snprintf(head, sizeof(head), "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: %s\r\n\r\n",
                           *web->elsewhere != '\0' ? web->elsewhere : web->url);
        if (got > 0 && !web->silent && send(connection, head, (size_t)length, MSG_NOSIGNAL) == length)
            (void)!send(connection, list.data, list.length, MSG_NOSIGNAL);
        if (web->silent)
            (void)!recv(connection, request, sizeof(request), 0); /* until the other side gives up */
        close(connection);
    }
    return NULL;
}

static void web_start(struct web *web, int connections, bool silent, const char *elsewhere)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *web = (struct web){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                        .connections = connections,
                        .silent = silent,
                        .elsewhere = elsewhere};
    assert_true(web->listener >= 0);
    assert_int_equal(bind(web->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(web->listener, 16), 0);
    assert_int_equal(getsockname(web->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(web->url, sizeof(web->url), "http://127.0.0.1:%d/list.crl", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&web->thread, NULL, serve, web), 0);
}

static void web_stop(struct web *web)
{
    assert_int_equal(pthread_join(web->thread, NULL), 0);
    close(web->listener);
}

static void *fetch_one(void *user)
{
    const struct web *web = user;
    X509_CRL *crl = NULL;
    const kw_status status = crl_fetch(scene.crypto, input_text(web->url), &limits, &crl, NULL);
    X509_CRL_free(crl);
    return status == KW_OK ? user : NULL;
}

/* The first ones start libcurl together; and a child that was forked behind that needs nothing of its parent's. */
static void fetch_http_by_threads_and_a_forked_child_works(void **state)
{
    enum { THREADS = 4 };
    struct web web;
    pthread_t threads[THREADS];
    int result = 0;
    (void)state;
    web_start(&web, THREADS + 1, false, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_one, &web), 0);
    for (int i = 0; i < THREADS; i++) {
        void *answer = NULL;
        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_ptr_equal(answer, &web);
    }
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(fetch_one(&web) != NULL ? 0 : 1);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    web_stop(&web);
}

static void fetch_http_that_never_answers_ends_in_time(void **state)
{
    struct web web;
    X509_CRL *crl = NULL;
    const struct crl_limits hasty = {.timeout = 200, .maximum = 10000};
    const uint64_t before = clock_milliseconds();
    (void)state;
    web_start(&web, 1, true, NULL);
    assert_status(&scene, KW_UNAVAILABLE, crl_fetch(scene.crypto, input_text(web.url), &hasty, &crl, &scene.error));
    assert_message(&scene, "did not arrive within 200 ms");
    assert_true(clock_milliseconds() - before < 20000);
    web_stop(&web);
}

static void fetch_http_that_is_too_large_is_refused(void **state)
{
    struct web web;
    X509_CRL *crl = NULL;
    const struct crl_limits small = {.timeout = 5000, .maximum = list.length - 1};
    (void)state;
    web_start(&web, 1, false, NULL);
    assert_status(&scene, KW_REFUSED, crl_fetch(scene.crypto, input_text(web.url), &small, &crl, &scene.error));
    assert_message(&scene, "is larger than");
    web_stop(&web);
}

/* A list's URL is a stranger's word, and where its server sends us is another's. */
static void fetch_http_that_leads_elsewhere_is_refused(void **state)
{
    static const struct {
        const char *elsewhere;
        int connections;
        const char *message;
    } cases[] = {
        {"file:///etc/hosts", 1, "neither http nor https"},
        {"ftp://127.0.0.1:1/list.crl", 1, "neither http nor https"},
        {"gopher://127.0.0.1:1/list.crl", 1, "neither http nor https"},
        {"", 4, "more than 3 redirects"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct web web;
        web_start(&web, cases[i].connections, false, cases[i].elsewhere);
        assert_status(&scene, KW_REFUSED, fetch(web.url));
        assert_message(&scene, cases[i].message);
        web_stop(&web);
    }
}

/* ---- Freshness ---- */

static void check_fresh_tells_what_is_wrong(void **state)
{
    static const struct {
        long from, to;
        const char *digest;
        kw_status status;
        const char *message;
    } cases[] = {
        {-DAY, DAY, NULL, KW_OK, ""},
        {-2 * DAY, -DAY, NULL, KW_REFUSED, "has expired: it held until 20"},
        {DAY, 2 * DAY, NULL, KW_REFUSED, "holds only from 20"},
        {-DAY, 0, NULL, KW_REFUSED, "does not say until when it holds"},
        {-DAY, DAY, "SHA1", KW_REFUSED, "signed by means of SHA1"},
        {-DAY, DAY, "SHA512", KW_OK, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        X509_CRL *crl =
            authority_crl(scene.crypto->library, root, root_key, NULL, cases[i].from, cases[i].to, cases[i].digest);
        assert_status(&scene, cases[i].status, crl_check_fresh(crl, input_text("http://x/y"), &scene.error));
        if (cases[i].status != KW_OK) {
            assert_message(&scene, cases[i].message);
            assert_message(&scene, "http://x/y");
        }
        X509_CRL_free(crl);
    }
}

/* Rightly signed by the CA, fresh, and without the certificates that an older list has revoked. */
static void check_fresh_delta_list_is_refused(void **state)
{
    X509_CRL *crl = authority_crl(scene.crypto->library, root, root_key, NULL, -DAY, DAY, NULL);
    ASN1_INTEGER *base = ASN1_INTEGER_new();
    (void)state;
    ASN1_INTEGER_set(base, 1);
    assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_delta_crl, base, 1, 0), 1);
    assert_true(X509_CRL_sign(crl, root_key, EVP_sha256()) > 0);
    assert_status(&scene, KW_REFUSED, crl_check_fresh(crl, input_text("http://x/y"), &scene.error));
    assert_message(&scene, "is a delta list");
    ASN1_INTEGER_free(base);
    X509_CRL_free(crl);
}

static int open_all(void **state)
{
    (void)state;
    static const char *const proxies[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
        unsetenv(proxies[i]);
    scene_open(&scene);
    root_key = scene_key(&scene, "ec-p256");
    root = authority_issue(scene.crypto->library,
                           &(struct issue){.subject = "Root", .key = root_key, .extensions = authority_extensions});
    list = encode(authority_crl(scene.crypto->library, root, root_key, NULL, -DAY, DAY, NULL));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    kw_bytes_free(&list);
    X509_free(root);
    EVP_PKEY_free(root_key);
    scene_close(&scene);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch_http_by_threads_and_a_forked_child_works),
        cmocka_unit_test(fetch_http_that_never_answers_ends_in_time),
        cmocka_unit_test(fetch_http_that_is_too_large_is_refused),
        cmocka_unit_test(fetch_http_that_leads_elsewhere_is_refused),
        cmocka_unit_test(fetch_file_in_der_and_pem_gives_the_list),
        cmocka_unit_test(fetch_damaged_list_is_refused),
        cmocka_unit_test(fetch_what_is_no_place_is_refused),
        cmocka_unit_test(fetch_file_of_exactly_the_limit_is_let_in),
        cmocka_unit_test(check_fresh_tells_what_is_wrong),
        cmocka_unit_test(check_fresh_delta_list_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
