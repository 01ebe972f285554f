/* Connections as a client, for a program that embeds the library: the SSL_CTX of a profile in handshakes with libssl's server, in memory. */
#include "server.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROFILES                                                                                                       \
    "connections:\n"                                                                                                   \
    "  full: {protocol: tls, host: localhost, port: 1, ca: [ca.pem], client_key: 'keywright:general/client'}\n"        \
    "  address: {protocol: tls, host: 127.0.0.1, port: 1, ca: [ca.pem]}\n"                                             \
    "  named: {protocol: tls, host: other.example, port: 1, ca: [ca.pem]}\n"                                           \
    "  path: {protocol: tls, host: other.example, port: 1, ca: [ca.pem], mode: verify-ca}\n"                           \
    "  stranger: {protocol: tls, host: localhost, port: 1, ca: [other.pem], mode: verify-ca}\n"                        \
    "  required: {protocol: tls, host: localhost, port: 1, ca: [other.pem], mode: require}\n"                          \
    "  any: {protocol: postgresql, host: localhost, mode: require}\n"                                                  \
    "  strict: {protocol: sqlserver-strict, host: localhost, ca: [ca.pem]}\n"                                          \
    "  tds: {protocol: sqlserver, host: localhost, ca: [ca.pem]}\n"                                                    \
    "  plain: {protocol: mysql, host: localhost, mode: disable}\n"                                                     \
    "  sealed: {protocol: tls, host: localhost, port: 1, ca: [ca.pem], client_certificate: ca.pem, client_key: "       \
    "sealed.key}\n"                                                                                                    \
    "  wrong: {protocol: tls, host: localhost, port: 1, ca: [ca.pem], client_certificate: ca.pem, client_key: "        \
    "sealed.key,\n"                                                                                                    \
    "    client_key_password: 'env:HOME'}\n"                                                                           \
    "  unfit: {protocol: tls, host: localhost, port: 1, ca: [ca.pem], client_certificate: ca.pem, client_key: "        \
    "other.key}\n"                                                                                                     \
    "  absent: {protocol: tls, host: localhost, port: 1, client_key: 'keywright:general/absent'}\n"

/* A store that can be told to fail, for the client's key. */
#define FRAIL                                                                                                          \
    "  frail:\n    id: a1111111\n    plugin: " MODULES "/keywright-frail.so\n"                                         \
    "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, control: frail.order}\n"                            \
    "certificates: {ssl-connection: {key: ec-p256}, server-encryption: {key: ec-p256}, general: {store: frail}}\n"

static int listener = -1;

static unsigned listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

#define CERTIFICATE                                                                                                    \
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 -addext "                           \
    "basicConstraints=critical,CA:FALSE -subj /CN=server -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "

static int start(void **state)
{
    static struct server server;
    char command[2000], settings[4000];
    snprintf(settings, sizeof(settings),
             FRAIL PROFILES "  local: {protocol: tls, host: localhost, port: %u, ca: [ca.pem], client_key: "
                            "'keywright:general/client'}\n",
             listen_anywhere());
    server_start(&server, settings);
    snprintf(command, sizeof(command),
             "cd %s && { " CERTIFICATE "-keyout ca.key -out ca.pem && " CERTIFICATE
             "-keyout other.key -out other.pem && "
             "openssl pkcs8 -topk8 -in ca.key -out sealed.key -passout pass:secret; } >/dev/null 2>&1",
             server.directory);
    server_run(command);
    assert_ok(&server, server_create(&server, "general/client", NULL));
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    close(listener);
    server_stop(*state);
    return 0;
}

/* ---- A server of libssl's, in memory ---- */

struct shaken {
    bool client, server; /* have finished */
    long verdict;        /* X509_V_... */
    char shown[64];      /* the common name of the client's certificate */
};

static int take_any(int ok, X509_STORE_CTX *context)
{
    (void)ok;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}

/* Which asks for a client's certificate, and takes any. */
static SSL_CTX *server_context(struct server *server)
{
    char path[256];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    assert_non_null(context);
    snprintf(path, sizeof(path), "%s", server_path(server, "ca.pem"));
    assert_int_equal(SSL_CTX_use_certificate_file(context, path, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, server_path(server, "ca.key"), SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, take_any);
    return context;
}

static struct shaken shake_hands(struct server *server, SSL_CTX *client_context)
{
    struct shaken shaken = {0};
    BIO *ours = NULL, *theirs = NULL;
    SSL_CTX *context = server_context(server);
    SSL *client = SSL_new(client_context), *peer = SSL_new(context);
    assert_true(client != NULL && peer != NULL && BIO_new_bio_pair(&ours, 0, &theirs, 0) == 1);
    SSL_set_bio(client, ours, ours);
    SSL_set_bio(peer, theirs, theirs);
    SSL_set_connect_state(client);
    SSL_set_accept_state(peer);
    for (unsigned i = 0; i < 20; i++) {
        shaken.client = SSL_do_handshake(client) == 1;
        shaken.server = SSL_do_handshake(peer) == 1;
    }
    shaken.verdict = SSL_get_verify_result(client);
    X509 *shown = SSL_get1_peer_certificate(peer);
    if (shown != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, shaken.shown, sizeof(shaken.shown));
    X509_free(shown);
    SSL_free(client);
    SSL_free(peer);
    SSL_CTX_free(context);
    return shaken;
}

static void tls_verifies_as_the_mode_says(void **state)
{
    static const struct {
        const char *name;
        long verdict;
        const char *shown;
    } rows[] = {
        {"full", X509_V_OK, "client"}, /* with a store's key */
        {"address", X509_V_OK, ""},
        {"named", X509_V_ERR_HOSTNAME_MISMATCH, ""},
        {"path", X509_V_OK, ""},
        {"stranger", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, ""},
        {"required", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, ""},
    };
    struct server *server = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SSL_CTX *tls = NULL;
        assert_ok(server, kw_connection_tls(server->context, rows[i].name, &tls, &server->error));
        const struct shaken shaken = shake_hands(server, tls);
        if (shaken.verdict != rows[i].verdict || shaken.client != (rows[i].verdict == X509_V_OK) ||
            shaken.server != shaken.client || strcmp(shaken.shown, rows[i].shown) != 0)
            fail_msg("%s: %ld, '%s'", rows[i].name, shaken.verdict, shaken.shown);
        SSL_CTX_free(tls);
    }
    /* `require` without authorities believes anybody. */
    SSL_CTX *tls = NULL;
    assert_ok(server, kw_connection_tls(server->context, "any", &tls, &server->error));
    assert_true(shake_hands(server, tls).client);
    SSL_CTX_free(tls);
}

static void tls_has_the_versions_and_names_of_the_protocol(void **state)
{
    struct server *server = *state;
    SSL_CTX *tls = NULL;
    assert_ok(server, kw_connection_tls(server->context, "strict", &tls, &server->error));
    assert_int_equal(SSL_CTX_get_min_proto_version(tls), TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_get_max_proto_version(tls), 0);
    SSL_CTX_free(tls);
    assert_ok(server, kw_connection_tls(server->context, "tds", &tls, &server->error));
    assert_int_equal(SSL_CTX_get_max_proto_version(tls), TLS1_2_VERSION);
    SSL_CTX_free(tls);
}

static void tls_of_what_is_wrong_says_what(void **state)
{
    static const struct {
        const char *name;
        kw_status status;
        const char *message;
    } rows[] = {
        {"fulll", KW_NOT_FOUND, "did you mean 'full'"},
        {"", KW_NOT_FOUND, "there is no connection"},
        {NULL, KW_NOT_FOUND, "there is no connection"},
        {"plain", KW_REFUSED, "without TLS"},
        {"sealed", KW_CONFIGURATION, "client_key_password is not set"},
        {"wrong", KW_SECRET_REFUSED, "password"},
        {"unfit", KW_REFUSED, "does not belong"},
        {"absent", KW_NOT_FOUND, "general/absent"},
    };
    struct server *server = *state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SSL_CTX *tls = NULL;
        kw_error error = {0};
        const kw_status status = kw_connection_tls(server->context, rows[i].name, &tls, &error);
        if (status != rows[i].status || strstr(error.message, rows[i].message) == NULL || tls != NULL)
            fail_msg("%zu: %d, %s", i, (int)status, error.message);
    }
}

static void list_has_all_in_their_order(void **state)
{
    struct server *server = *state;
    kw_connection_list *list = NULL;
    assert_ok(server, kw_connections(server->context, &list, &server->error));
    assert_int_equal(list->count, 15);
    assert_string_equal(list->connections[0].name, "full");
    assert_string_equal(list->connections[0].client_key, "keywright:general/client");
    assert_string_equal(list->connections[0].mode, "verify-full");
    assert_int_equal(list->connections[6].port, 5432);
    assert_int_equal(list->connections[6].authority_count, 0);
    kw_connection_list_free(list);
    kw_connection_list_free(NULL);
}

/* Nobody listens on port 1: that is a finding, and no error. */
static void check_of_nobody_is_a_report(void **state)
{
    struct server *server = *state;
    kw_connection_report *report = NULL;
    assert_ok(server, kw_connection_check(server->context, "full", &report, &server->error));
    assert_false(report->connected || report->encrypted || report->verified);
    assert_int_equal(report->status, KW_UNAVAILABLE);
    assert_string_equal(report->cause, "unreachable");
    assert_non_null(strstr(report->message, "Failed to connect - it cannot be reached"));
    assert_null(report->certificate);
    assert_int_equal(report->problem_count, 0);
    kw_connection_report_free(report);
    kw_connection_report_free(NULL);
    assert_int_equal(kw_connection_check(server->context, "absent", &report, &server->error), KW_NOT_FOUND);
    assert_int_equal(kw_connection_check(server->context, "none", &report, &server->error), KW_NOT_FOUND);
}

/* One connection. */
static void *serve(void *argument)
{
    SSL_CTX *context = server_context(argument);
    SSL *ssl = SSL_new(context);
    const int connection = accept(listener, NULL, NULL);
    char byte;
    SSL_set_fd(ssl, connection);
    if (SSL_accept(ssl) == 1)
        (void)SSL_read(ssl, &byte, 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(connection);
    return NULL;
}

static kw_status check_local(struct server *server, kw_connection_report **report)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
    const kw_status status = kw_connection_check(server->context, "local", report, &server->error);
    pthread_join(thread, NULL);
    return status;
}

/* The store of the client's key is asked within the handshake. What it says is the call's error, and no finding about the server. */
static void check_with_a_store_that_is_away_is_the_stores_error(void **state)
{
    static const char order[] = "gone sign 1\n";
    struct server *server = *state;
    kw_connection_report *report = NULL;
    assert_ok(server, check_local(server, &report));
    assert_true(report->connected && report->encrypted && report->verified);
    assert_true(report->client_certificate_wanted && report->client_certificate_sent);
    assert_string_equal(report->protocol, "TLSv1.3");
    kw_connection_report_free(report);
    server_write_file(server, "frail.order", order, strlen(order), 0600);
    assert_int_equal(check_local(server, &report), KW_UNAVAILABLE);
    assert_string_equal(server->error.where, "store frail");
    assert_int_equal(unlink(server_path(server, "frail.order")), 0);
    assert_ok(server, check_local(server, &report));
    assert_true(report->connected);
    kw_connection_report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_verifies_as_the_mode_says),
        cmocka_unit_test(tls_has_the_versions_and_names_of_the_protocol),
        cmocka_unit_test(tls_of_what_is_wrong_says_what),
        cmocka_unit_test(list_has_all_in_their_order),
        cmocka_unit_test(check_of_nobody_is_a_report),
        cmocka_unit_test(check_with_a_store_that_is_away_is_the_stores_error),
    };
    signal(SIGPIPE, SIG_IGN); /* of libssl's server here; the library raises none */
    return cmocka_run_group_tests(tests, start, stop);
}
