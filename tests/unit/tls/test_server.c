/* kw_tls_server, by handshakes with clients of plain libssl. */
#include "tls_scene.h"

#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WEB "general/web"

static uint64_t count_of(const char *store, const char *operation)
{
    kw_state *state = NULL;
    uint64_t calls = 0;
    assert_ok(&scene.server, kw_state_get(scene.server.context, &state, &scene.server.error));
    for (size_t i = 0; i < state->store_count; i++)
        for (size_t k = 0; strcmp(state->stores[i].name, store) == 0 && k < state->stores[i].operation_count; k++)
            if (operation == NULL || strcmp(state->stores[i].operations[k].operation, operation) == 0)
                calls += state->stores[i].operations[k].calls;
    kw_state_free(state);
    return calls;
}

/* What a client of these versions and ciphers comes to: the protocol, or NULL. */
static const char *speak(SSL_CTX *server, int lowest, int highest, const char *ciphers)
{
    static char protocol[16];
    SSL_CTX *client = tls_scene_trusting();
    struct ends ends;
    SSL_CTX_set_security_level(client, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(client, lowest), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(client, highest), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(client, ciphers), 1);
    ends_open(&ends, server, client, NULL);
    const bool done = ends_shake(&ends);
    if (done)
        ends_talk(&ends);
    snprintf(protocol, sizeof(protocol), "%s", SSL_get_version(ends.client));
    ends_close(&ends);
    SSL_CTX_free(client);
    return done ? protocol : NULL;
}

static void server_speaks_tls_1_2_and_1_3_and_nothing_older(void **state)
{
    static const char *const keys[] = {"ec-p256", "ec-p384", "ed25519", "rsa-2048"};
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char address[64];
        snprintf(address, sizeof(address), "general/%s", keys[i]);
        tls_scene_create(address, keys[i], NULL, "serverAuth");
        SSL_CTX *server = tls_scene_server(address);
        assert_int_equal(SSL_CTX_get_min_proto_version(server), TLS1_2_VERSION);
        assert_string_equal(speak(server, TLS1_VERSION, TLS1_3_VERSION, "ALL"), "TLSv1.3");
        assert_string_equal(speak(server, TLS1_VERSION, TLS1_2_VERSION, "ALL"), "TLSv1.2");
        assert_null(speak(server, TLS1_VERSION, TLS1_1_VERSION, "ALL"));
        /* Without forward secrecy, and without AEAD. */
        assert_null(speak(server, TLS1_2_VERSION, TLS1_2_VERSION, "kRSA"));
        assert_null(speak(server, TLS1_2_VERSION, TLS1_2_VERSION,
                          "AES128-SHA:ECDHE-RSA-AES128-SHA256:"
                          "ECDHE-ECDSA-AES128-SHA256"));
        SSL_CTX_free(server);
    }
}

static void server_by_default_is_ssl_connection(void **state)
{
    SSL_CTX *server = NULL;
    struct ends ends;
    SSL_CTX *client = tls_scene_client("own.pem");
    (void)state;
    assert_ok(&scene.server, kw_tls_server(scene.server.context, NULL, &server, &scene.server.error));
    ends_open(&ends, server, client, HOST);
    assert_true(ends_shake(&ends));
    ends_talk(&ends);
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void server_sends_the_chain(void **state)
{
    SSL_CTX *client = tls_scene_client("root.der");
    struct ends ends;
    (void)state;
    tls_scene_create("general/chained", "ec-p256", NULL, "serverAuth");
    tls_scene_import(scene.server.context, "general/chained", "Chained", "ec");
    SSL_CTX *server = tls_scene_server("general/chained");
    ends_open(&ends, server, client, HOST);
    assert_true(ends_shake(&ends));
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(ends.client)), 2);
    assert_int_equal(X509_cmp(sk_X509_value(SSL_get_peer_cert_chain(ends.client), 1), scene.middle), 0);
    ends_close(&ends);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* A signature, and nothing else, is asked of the store. */
static void handshake_costs_one_signature(void **state)
{
    (void)state;
    tls_scene_create("general/counted", "ec-p256", "first", "serverAuth");
    SSL_CTX *server = tls_scene_server("general/counted");
    assert_string_equal(tls_scene_shown(server), "counted");
    const uint64_t all = count_of("first", NULL), signs = count_of("first", "sign");
    /* count_of opens every store and asks for its health. */
    const uint64_t asking = count_of("first", NULL) - all;
    for (int i = 0; i < 5; i++)
        tls_scene_shown(server);
    assert_int_equal(count_of("first", "sign"), signs + 5);
    assert_int_equal(count_of("first", NULL), all + 5 + 2 * asking);
    SSL_CTX_free(server);
}

static void wait_a_second(void)
{
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 50000000}, NULL);
}

/* One SSL_CTX through all that can become of a certificate. */
static void server_follows_its_certificate(void **state)
{
    const kw_open_options options = {.size = sizeof(options), .configuration = scene.server.configuration};
    const kw_rotate_options rotate = {.size = sizeof(rotate), .address = "general/kept", .new_key = true};
    kw_context *other = NULL;
    (void)state;
    tls_scene_create(WEB, "ec-p256", NULL, "serverAuth");
    SSL_CTX *server = tls_scene_server(WEB);
    assert_string_equal(tls_scene_shown(server), "web");
    /* Another algorithm: nothing of the former one is chosen any more. */
    tls_scene_import(scene.server.context, WEB, "From CA, RSA", "rsa");
    assert_string_equal(tls_scene_shown(server), "From CA, RSA");
    tls_scene_import(scene.server.context, WEB, "From CA", "ec");
    assert_string_equal(tls_scene_shown(server), "From CA");
    /* By another process, as it were. */
    assert_ok(&scene.server, kw_open(&options, &other, &scene.server.error));
    tls_scene_import(other, WEB, "Of the other", "ec");
    assert_string_equal(tls_scene_shown(server), "Of the other");
    kw_close(other);
    assert_ok(&scene.server, kw_reload(scene.server.context, false, NULL, &scene.server.error));
    assert_string_equal(tls_scene_shown(server), "Of the other");
    /* Deleted: the one before it is the current one again. */
    assert_ok(&scene.server, kw_certificate_delete(scene.server.context, WEB "@4", true, &scene.server.error));
    assert_string_equal(tls_scene_shown(server), "From CA");
    SSL_CTX_free(server);

    tls_scene_create("general/kept", "ec-p256", NULL, "serverAuth");
    server = tls_scene_server("general/kept");
    SSL_CTX *client = tls_scene_trusting();
    X509 *shown[2];
    for (size_t i = 0; i < 2; i++) {
        struct ends ends;
        ends_open(&ends, server, client, NULL);
        assert_true(ends_shake(&ends));
        shown[i] = SSL_get1_peer_certificate(ends.client);
        ends_close(&ends);
        if (i == 0)
            assert_ok(&scene.server, kw_rotate(scene.server.context, &rotate, NULL, NULL, &scene.server.error));
    }
    assert_int_not_equal(X509_cmp(shown[0], shown[1]), 0);
    X509_free(shown[0]);
    X509_free(shown[1]);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void server_follows_its_key_to_another_store(void **state)
{
    const char *address = "general/moved";
    const kw_transfer_options transfer = {
        .size = sizeof(transfer), .addresses = &address, .address_count = 1, .store = "first"};
    (void)state;
    tls_scene_create(address, "ec-p256", NULL, "serverAuth");
    SSL_CTX *server = tls_scene_server(address);
    tls_scene_shown(server);
    assert_ok(&scene.server, kw_transfer(scene.server.context, &transfer, NULL, NULL, &scene.server.error));
    const uint64_t before = count_of("first", "sign");
    tls_scene_shown(server);
    assert_int_equal(count_of("first", "sign"), before + 1);
    SSL_CTX_free(server);
}

/* Until a new one can be had the old one does; and no handshake waits for the store more than once a second. */
static void server_goes_on_with_the_former_certificate(void **state)
{
    const kw_rotate_options rotate = {
        .size = sizeof(rotate), .address = "general/slow", .new_key = true, .store = "first"};
    (void)state;
    tls_scene_create("general/slow", "ec-p256", NULL, "serverAuth");
    SSL_CTX *server = tls_scene_server("general/slow");
    assert_ok(&scene.server, kw_rotate(scene.server.context, &rotate, NULL, NULL, &scene.server.error));
    tls_scene_order("gone any 1\n");
    const uint64_t signs = count_of("local", "sign");
    assert_string_equal(tls_scene_shown(server), "slow");
    assert_int_equal(count_of("local", "sign"), signs + 1);
    tls_scene_order(NULL);
    assert_string_equal(tls_scene_shown(server), "slow");
    assert_int_equal(count_of("local", "sign"), signs + 2);
    wait_a_second();
    assert_string_equal(tls_scene_shown(server), "slow");
    assert_int_equal(count_of("local", "sign"), signs + 2);
    SSL_CTX_free(server);
}

/* Nothing is there any more, until it is made anew: under the same address, by whatever process. */
static void server_finds_what_comes_after_a_deletion(void **state)
{
    (void)state;
    tls_scene_create("general/again", "ec-p256", NULL, "serverAuth");
    SSL_CTX *server = tls_scene_server("general/again");
    assert_string_equal(tls_scene_shown(server), "again");
    assert_ok(&scene.server, kw_certificate_delete(scene.server.context, "general/again", true, &scene.server.error));
    const char *usage = "serverAuth";
    const kw_certificate_template wanted = {.size = sizeof(wanted),
                                            .address = "general/again",
                                            .key = "rsa-2048",
                                            .subject = "CN=new",
                                            .extended_key_usages = &usage,
                                            .extended_key_usage_count = 1};
    tls_scene_shown(server); /* finds none, and looks again a second later */
    assert_ok(&scene.server, kw_certificate_create(scene.server.context, &wanted, NULL, NULL, &scene.server.error));
    wait_a_second();
    assert_string_equal(tls_scene_shown(server), "new");
    SSL_CTX_free(server);
}

static void store_away_fails_handshakes_until_it_is_back(void **state)
{
    SSL_CTX *client = tls_scene_trusting();
    struct ends ends;
    bool told = false;
    const char *more = NULL;
    int flags = 0;
    (void)state;
    tls_scene_create("general/away", "ec-p256", "first", "serverAuth");
    SSL_CTX *server = tls_scene_server("general/away");
    assert_string_equal(tls_scene_shown(server), "away");
    tls_scene_order("gone any 1\n");
    ends_open(&ends, server, client, NULL);
    assert_false(ends_shake(&ends));
    while (ERR_get_error_all(NULL, NULL, NULL, &more, &flags) != 0)
        told = told || ((flags & ERR_TXT_STRING) != 0 && strstr(more, "the store has gone away") != NULL);
    assert_true(told);
    /* The client is told by an alert, not left alone. */
    assert_int_equal(SSL_do_handshake(ends.client), -1);
    assert_int_equal(SSL_get_error(ends.client, -1), SSL_ERROR_SSL);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_INTERNAL_ERROR);
    ends_close(&ends);
    tls_scene_order(NULL);
    assert_string_equal(tls_scene_shown(server), "away");
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static void sessions_are_resumed_without_a_signature(void **state)
{
    SSL_CTX *client = tls_scene_trusting();
    struct ends ends;
    (void)state;
    tls_scene_create("general/resumed", "ec-p256", NULL, "serverAuth");
    SSL_CTX *server = tls_scene_server("general/resumed");
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER, NULL);
    ends_open(&ends, server, client, NULL);
    assert_true(ends_shake(&ends));
    ends_talk(&ends);
    SSL_SESSION *session = SSL_get1_session(ends.client);
    /* Or libssl takes it for broken off. */
    SSL_shutdown(ends.client);
    ends_close(&ends);
    const uint64_t signs = count_of("local", "sign");
    ends_open(&ends, server, client, NULL);
    SSL_set_session(ends.client, session);
    assert_true(ends_shake(&ends));
    assert_int_equal(SSL_session_reused(ends.server), 1);
    assert_int_equal(count_of("local", "sign"), signs);
    ends_close(&ends);
    SSL_SESSION_free(session);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* Whether a session of one goes on at the other; both can open each other's tickets, as servers can that share the keys for these. */
static bool goes_on_at(SSL_CTX *first, SSL_CTX *second)
{
    unsigned char keys[80] = {1, 2, 3};
    SSL_CTX *client = tls_scene_trusting();
    struct ends ends;
    assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(first, keys, sizeof(keys)), 1);
    assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(second, keys, sizeof(keys)), 1);
    ends_open(&ends, first, client, NULL);
    assert_true(ends_shake(&ends));
    ends_talk(&ends);
    SSL_SESSION *session = SSL_get1_session(ends.client);
    SSL_shutdown(ends.client);
    ends_close(&ends);
    ends_open(&ends, second, client, NULL);
    SSL_set_session(ends.client, session);
    assert_true(ends_shake(&ends));
    const bool reused = SSL_session_reused(ends.server) == 1;
    ends_close(&ends);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    return reused;
}

static void sessions_go_on_at_their_own_address_alone(void **state)
{
    (void)state;
    tls_scene_create("general/here", "ec-p256", NULL, "serverAuth");
    tls_scene_create("general/there", "ec-p256", NULL, "serverAuth");
    SSL_CTX *here = tls_scene_server("general/here"), *again = tls_scene_server("general/here"),
            *there = tls_scene_server("general/there");
    assert_true(goes_on_at(here, again));
    assert_false(goes_on_at(here, there));
    SSL_CTX_free(there);
    SSL_CTX_free(again);
    SSL_CTX_free(here);
}

static void server_never_renegotiates(void **state)
{
    SSL_CTX *server = tls_scene_server(NULL), *client = tls_scene_trusting();
    struct ends ends;
    (void)state;
    assert_int_equal(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION), 1);
    ends_open(&ends, server, client, NULL);
    assert_true(ends_shake(&ends));
    assert_int_equal(SSL_renegotiate(ends.server), 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void server_refuses_what_serves_no_tls(void **state)
{
    kw_tls_server_options options = {.size = sizeof(options), .address = "general/none"};
    SSL_CTX *untouched = NULL;
    struct server *server = &scene.server;
    (void)state;
    assert_status(server, KW_NOT_FOUND, kw_tls_server(server->context, &options, &untouched, &server->error));
    options.address = "nonsense";
    assert_status(server, KW_INVALID_ARGUMENT, kw_tls_server(server->context, &options, &untouched, &server->error));
    tls_scene_create("general/client", "ec-p256", NULL, "clientAuth");
    options.address = "general/client";
    assert_status(server, KW_REFUSED, kw_tls_server(server->context, &options, &untouched, &server->error));
    assert_non_null(strstr(server->error.message, "serverAuth"));
    assert_string_equal(server->error.where, "general/client");
    options.address = "server-encryption";
    assert_status(server, KW_REFUSED, kw_tls_server(server->context, &options, &untouched, &server->error));
    options.size = 0;
    assert_status(server, KW_INVALID_ARGUMENT, kw_tls_server(server->context, &options, &untouched, &server->error));
    assert_null(untouched);
}

/* ---- Threads and forks ---- */

struct crowd {
    SSL_CTX *server;
    atomic_bool over;
    atomic_uint shaken, failed;
};

static void *shake_on(void *user)
{
    struct crowd *crowd = user;
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    while (!atomic_load(&crowd->over)) {
        struct ends ends;
        ends_open(&ends, crowd->server, client, NULL);
        atomic_fetch_add(ends_shake(&ends) ? &crowd->shaken : &crowd->failed, 1);
        ends_close(&ends);
    }
    SSL_CTX_free(client);
    return NULL;
}

static void threads_shake_while_the_certificate_changes(void **state)
{
    struct crowd crowd = {0};
    pthread_t threads[3];
    (void)state;
    tls_scene_create("general/crowd", "ec-p256", NULL, "serverAuth");
    crowd.server = tls_scene_server("general/crowd");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shake_on, &crowd), 0);
    for (unsigned i = 0; i < 6; i++) {
        const unsigned before = atomic_load(&crowd.shaken);
        tls_scene_import(scene.server.context, "general/crowd", "Crowd", "ec");
        while (atomic_load(&crowd.shaken) < before + 10 && atomic_load(&crowd.failed) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    atomic_store(&crowd.over, true);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_string_equal(tls_scene_shown(crowd.server), "Crowd");
    SSL_CTX_free(crowd.server);
}

static void child_goes_on_with_what_it_inherits(void **state)
{
    int result = 0;
    (void)state;
    tls_scene_create("general/forked", "ec-p256", NULL, "serverAuth");
    SSL_CTX *server = tls_scene_server("general/forked");
    assert_string_equal(tls_scene_shown(server), "forked");
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also while it is stopped */
        bool right = strcmp(tls_scene_shown(server), "forked") == 0;
        /* Another process' import reaches it. */
        (void)kill(getpid(), SIGSTOP);
        right = right && strcmp(tls_scene_shown(server), "Renewed") == 0;
        _exit(right ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &result, WUNTRACED), child);
    assert_true(WIFSTOPPED(result));
    tls_scene_import(scene.server.context, "general/forked", "Renewed", "ec");
    assert_string_equal(tls_scene_shown(server), "Renewed");
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
    SSL_CTX_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_speaks_tls_1_2_and_1_3_and_nothing_older),
        cmocka_unit_test(server_by_default_is_ssl_connection),
        cmocka_unit_test(server_sends_the_chain),
        cmocka_unit_test(handshake_costs_one_signature),
        cmocka_unit_test(server_follows_its_certificate),
        cmocka_unit_test(server_follows_its_key_to_another_store),
        cmocka_unit_test(server_goes_on_with_the_former_certificate),
        cmocka_unit_test(server_finds_what_comes_after_a_deletion),
        cmocka_unit_test(store_away_fails_handshakes_until_it_is_back),
        cmocka_unit_test(sessions_are_resumed_without_a_signature),
        cmocka_unit_test(sessions_go_on_at_their_own_address_alone),
        cmocka_unit_test(server_never_renegotiates),
        cmocka_unit_test(server_refuses_what_serves_no_tls),
        cmocka_unit_test(threads_shake_while_the_certificate_changes),
        cmocka_unit_test(child_goes_on_with_what_it_inherits),
    };
    return cmocka_run_group_tests(tests, tls_scene_open, tls_scene_close);
}
