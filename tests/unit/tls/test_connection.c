/*
 * The time that a check of a connection may take, and the SSL_CTX of one. What it says of servers is tests/integration/test_connections.sh's. The clock here is one that goes
 * forward when the test says so: no processor is as slow as it would have to be.
 */
#include "handshake.h"

#include "base/clock.h"
#include "tls/verdict.h"
#include "tls/wire.h"
#include "unit/certificate/authority.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- The clock ---- */

static atomic_uint_fast64_t ahead;
static unsigned judging_takes, connecting_takes; /* milliseconds */

uint64_t __real_clock_milliseconds(void);
uint64_t __wrap_clock_milliseconds(void);
kw_status __real_verdict_find(struct crypto *crypto, X509_STORE *store, const struct verdict_wanted *wanted,
                              struct arena *arena, struct verdict *verdict, kw_error *error);
kw_status __wrap_verdict_find(struct crypto *crypto, X509_STORE *store, const struct verdict_wanted *wanted,
                              struct arena *arena, struct verdict *verdict, kw_error *error);
kw_status __real_wire_connect(struct wire *wire, const char *host, const char *port, kw_error *error);
kw_status __wrap_wire_connect(struct wire *wire, const char *host, const char *port, kw_error *error);

uint64_t __wrap_clock_milliseconds(void)
{
    return __real_clock_milliseconds() + ahead;
}

kw_status __wrap_verdict_find(struct crypto *crypto, X509_STORE *store, const struct verdict_wanted *wanted,
                              struct arena *arena, struct verdict *verdict, kw_error *error)
{
    ahead += judging_takes;
    return __real_verdict_find(crypto, store, wanted, arena, verdict, error);
}

kw_status __wrap_wire_connect(struct wire *wire, const char *host, const char *port, kw_error *error)
{
    const kw_status status = __real_wire_connect(wire, host, port, error);
    ahead += connecting_takes;
    return status;
}

/* ---- A server, which serves two connections at most ---- */

struct peer {
    int listener;
    unsigned port;
    SSL_CTX *tls; /* NULL: PostgreSQL without TLS */
    pthread_t thread;
};

static void serve_tls(const struct peer *peer, int connection)
{
    SSL *ssl = SSL_new(peer->tls);
    SSL_set_fd(ssl, connection);
    if (SSL_accept(ssl) == 1)
        SSL_shutdown(ssl);
    SSL_free(ssl);
}

/* Whoever asks for TLS is told that there is none; whoever asks for a database, that it may log in. */
static void serve_plain(int connection)
{
    char message[256];
    const ssize_t length = recv(connection, message, sizeof(message), 0);
    const char *answer = length == 8 ? "N" : "R\0\0\0\x08\0\0\0\0";
    (void)!send(connection, answer, length == 8 ? 1 : 9, MSG_NOSIGNAL);
    while (recv(connection, message, sizeof(message), 0) > 0)
        ;
}

static void *serve(void *argument)
{
    const struct peer *peer = argument;
    int connection;
    while ((connection = accept(peer->listener, NULL, NULL)) >= 0) {
        if (peer->tls != NULL)
            serve_tls(peer, connection);
        else
            serve_plain(connection);
        close(connection);
    }
    return NULL;
}

static void peer_start(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(peer->listener, 4), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    peer->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

static void peer_stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

/* ---- Checks ---- */

static struct server server;
static struct peer with_tls, without;

static int open_scene(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    const struct extension names[] = {{NID_subject_alt_name, "IP:127.0.0.1"}, {0, NULL}};
    X509 *certificate = authority_issue(
        NULL, &(struct issue){.subject = "Peer", .key = key, .extensions = server_extensions, .more = names});
    char extra[512];
    (void)state;
    with_tls.tls = plain_server(certificate, NULL, key);
    peer_start(&with_tls);
    peer_start(&without);
    snprintf(extra, sizeof(extra),
             "connections:\n"
             "  tls: {protocol: tls, host: 127.0.0.1, port: %u, timeout: 20s}\n"
             "  users: {protocol: postgresql, host: 127.0.0.1, port: %u, timeout: 20s, mode: prefer}\n"
             "certificates: {ssl-connection: {key: ec-p256}, server-encryption: {key: ec-p256}}\n",
             with_tls.port, without.port);
    server_start(&server, extra);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    peer_stop(&with_tls);
    peer_stop(&without);
    SSL_CTX_free(with_tls.tls);
    server_stop(&server);
    return 0;
}

static kw_connection_report *check(const char *name)
{
    kw_connection_report *report = NULL;
    assert_ok(&server, kw_connection_check(server.context, name, &report, &server.error));
    return report;
}

static void check_ends_when_judging_takes_longer(void **state)
{
    (void)state;
    kw_connection_report *report = check("tls");
    assert_string_equal(report->cause, "self-signed");
    kw_connection_report_free(report);
    judging_takes = 20000;
    report = check("tls");
    judging_takes = 0;
    assert_false(report->connected);
    assert_string_equal(report->cause, "timeout");
    assert_int_equal(report->status, KW_TIMEOUT);
    assert_non_null(strstr(report->message, "before the server's certificate was judged"));
    assert_int_equal(report->problem_count, 0);
    kw_connection_report_free(report);
}

/* Not each attempt has the time, but all together. */
static void check_ends_when_its_attempts_take_longer(void **state)
{
    (void)state;
    kw_connection_report *report = check("users");
    assert_true(report->connected && !report->encrypted);
    kw_connection_report_free(report);
    connecting_takes = 11000;
    report = check("users");
    connecting_takes = 0;
    assert_string_equal(report->cause, "timeout");
    assert_non_null(strstr(report->message, "within 20.0 s"));
    assert_non_null(report->fallback);
    kw_connection_report_free(report);
}

static void context_of_a_profile_never_renegotiates(void **state)
{
    SSL_CTX *client = NULL;
    struct ends ends;
    (void)state;
    assert_ok(&server, kw_connection_tls(server.context, "tls", &client, &server.error));
    SSL_CTX_set_verify(client, SSL_VERIFY_NONE, NULL);
    assert_int_equal(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION), 1);
    ends_open(&ends, with_tls.tls, client, NULL);
    assert_true(ends_shake(&ends));
    assert_false(ends_renegotiate(&ends));
    ends_close(&ends);
    SSL_CTX_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_ends_when_judging_takes_longer),
        cmocka_unit_test(check_ends_when_its_attempts_take_longer),
        cmocka_unit_test(context_of_a_profile_never_renegotiates),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
