/* Targets, and servers that are none. Real ones, and all that a certificate can be, are tests/integration/test_trust.sh's. */
#include "scene.h"

#include "base/clock.h"
#include "tls/probe.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void parse_host_and_port_are_told_apart(void **state)
{
    static const struct {
        const char *text, *host, *port;
        bool is_address;
    } rows[] = {
        {"server.example:443", "server.example", "443", false},
        {"server.example.:443", "server.example", "443", false},
        {"localhost:1", "localhost", "1", false},
        {"192.0.2.1:65535", "192.0.2.1", "65535", true},
        {"[::1]:443", "::1", "443", true},
        {"[2001:db8::1]:0443", "2001:db8::1", "0443", true},
        {"[fe80::1%eth0]:443", "fe80::1%eth0", "443", true},
        {"[192.0.2.1]:443", "192.0.2.1", "443", true},
        {"a_b-c.example:443", "a_b-c.example", "443", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct probe_target target = {0};
        assert_int_equal(probe_parse(rows[i].text, &target, NULL), KW_OK);
        assert_string_equal(target.host, rows[i].host);
        assert_string_equal(target.port, rows[i].port);
        assert_true(target.is_address == rows[i].is_address);
    }
}

static void parse_anything_else_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "localhost",
        "localhost:",
        ":443",
        ":",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost:+1",
        "localhost: 1",
        "localhost:1 ",
        "localhost:1x",
        "localhost:000001",
        "[::1]",
        "[::1:443",
        "[::1]443",
        "[localhost]:443",
        "[]:443",
        "::1:443",
        "a b:443",
        "a/b:443",
        "h\xc3\xb6st:443",
        "a%25b:443",
    };
    char longest[PROBE_HOST_MAXIMUM + 16] = "";
    struct probe_target target = {0};
    kw_error error = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (probe_parse(texts[i], &target, &error) != KW_INVALID_ARGUMENT)
            fail_msg("taken: %s", texts[i]);
    assert_non_null(strstr(error.remedy, "server.example:443"));
    memset(longest, 'a', PROBE_HOST_MAXIMUM + 1);
    snprintf(longest + PROBE_HOST_MAXIMUM + 1, sizeof(longest) - PROBE_HOST_MAXIMUM - 1, ":443");
    assert_int_equal(probe_parse(longest, &target, NULL), KW_INVALID_ARGUMENT);
    assert_int_equal(probe_parse(longest + 1, &target, NULL), KW_OK);
}

/* ---- A server of one connection, which says `answer` and then ends it, or waits for the other side to do that ---- */

struct server {
    int listener;
    char port[6];
    const char *answer;
    size_t length;
    bool stays;
    pthread_t thread;
};

static void *serve(void *argument)
{
    struct server *server = argument;
    char piece[4096];
    const int connection = accept(server->listener, NULL, NULL);
    (void)!recv(connection, piece, sizeof(piece), 0);
    if (server->length > 0)
        (void)!send(connection, server->answer, server->length, MSG_NOSIGNAL);
    while (server->stays && recv(connection, piece, sizeof(piece), 0) > 0)
        ;
    close(connection);
    return NULL;
}

static void server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(server->port, sizeof(server->port), "%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static kw_status probe(struct server *server, unsigned timeout_ms, kw_error *error)
{
    struct crypto *crypto = NULL;
    struct probe_target target = {.host = "127.0.0.1", .is_address = true};
    struct probe seen = {0};
    snprintf(target.port, sizeof(target.port), "%s", server->port);
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    server_start(server);
    snprintf(target.port, sizeof(target.port), "%s", server->port);
    const kw_status status = probe_run(crypto, &target, timeout_ms, &seen, error);
    pthread_join(server->thread, NULL);
    close(server->listener);
    crypto_close(crypto);
    assert_null(seen.certificate);
    assert_non_null(strstr(error->where, server->port));
    return status;
}

static void probe_of_a_silent_server_times_out(void **state)
{
    struct server server = {.stays = true};
    kw_error error = {0};
    (void)state;
    const uint64_t begin = clock_milliseconds();
    assert_int_equal(probe(&server, 300, &error), KW_TIMEOUT);
    const uint64_t took = clock_milliseconds() - begin;
    assert_true(took >= 300 && took < 5000);
    assert_non_null(strstr(error.message, "does not answer in TLS within 0.3 s"));
}

/* One that drips is not waited for longer. */
static void probe_of_a_server_that_never_ends_a_record_times_out(void **state)
{
    struct server server = {.answer = "\x16\x03\x03\x40\x00", .length = 5, .stays = true};
    kw_error error = {0};
    (void)state;
    assert_int_equal(probe(&server, 300, &error), KW_TIMEOUT);
}

static void probe_of_what_is_no_tls_says_so(void **state)
{
    static const struct {
        const char *answer, *message;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"},
        {"220 mail.example\r\n", "does not speak TLS"},
        {"\x16 no version", "does not speak TLS"},
        {"", "ended the connection"},
        {"\x16\x03\x03\x00\x04zzzz", "the TLS handshake failed"},
        {"\x15\x03\x03\x00\x02\x02\x28", "the TLS handshake failed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct server server = {.answer = rows[i].answer,
                                .length = rows[i].answer[0] == '\x16' || rows[i].answer[0] == '\x15'
                                              ? 5 + (size_t)(i == 5 ? 2 : 4)
                                              : strlen(rows[i].answer)};
        kw_error error = {0};
        if (probe(&server, 5000, &error) != KW_FAILED || strstr(error.message, rows[i].message) == NULL)
            fail_msg("row %zu: %s", i, error.message);
    }
}

static void probe_of_a_server_without_tls_1_2_is_refused(void **state)
{
    /* The alert protocol_version. */
    struct server server = {.answer = "\x15\x03\x01\x00\x02\x02\x46", .length = 7};
    kw_error error = {0};
    (void)state;
    assert_int_equal(probe(&server, 5000, &error), KW_REFUSED);
    assert_non_null(strstr(error.message, "no TLS 1.2"));
}

/* ---- A host of two addresses, the first of which swallows what is sent to it ---- */

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found);

/* As where no name server answers, until the test says so. */
static atomic_bool answers;
static atomic_int late_answers;

static int answer_late(const struct addrinfo *wanted)
{
    if ((wanted->ai_flags & AI_NUMERICHOST) != 0)
        return EAI_NONAME;
    while (!answers)
        usleep(10000);
    late_answers++;
    return EAI_AGAIN;
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found)
{
    if (strcmp(host, "slow.example") == 0)
        return answer_late(wanted);
    if (strcmp(host, "two.example") != 0)
        return __real_getaddrinfo(host, port, wanted, found);
    const int first = __real_getaddrinfo("127.0.0.2", port, wanted, found);
    return first != 0 ? first : __real_getaddrinfo("127.0.0.1", port, wanted, &(*found)->ai_next);
}

/* A listener that accepts nothing: once its queue is full, the kernel answers no more. */
static int listen_deaf(const char *port, int fillers[4])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10))};
    assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &address.sin_addr), 1);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fillers[i], (struct sockaddr *)&address, sizeof(address));
    }
    return listener;
}

static void probe_of_a_host_goes_on_to_the_address_that_answers(void **state)
{
    struct server server = {.answer = "no TLS", .length = 6};
    struct probe_target target = {.host = "two.example"};
    struct crypto *crypto = NULL;
    struct probe seen = {0};
    kw_error error = {0};
    int fillers[4];
    (void)state;
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    server_start(&server);
    snprintf(target.port, sizeof(target.port), "%s", server.port);
    const int deaf = listen_deaf(target.port, fillers);
    assert_int_equal(probe_run(crypto, &target, 2000, &seen, &error), KW_FAILED);
    assert_non_null(strstr(error.message, "does not speak TLS"));
    pthread_join(server.thread, NULL);
    close(server.listener);
    close(deaf);
    for (size_t i = 0; i < 4; i++)
        close(fillers[i]);
    crypto_close(crypto);
}

static void probe_of_a_name_that_nobody_resolves_times_out(void **state)
{
    const struct probe_target target = {.host = "slow.example", .port = "443"};
    struct crypto *crypto = NULL;
    struct probe seen = {0};
    kw_error error = {0};
    (void)state;
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    assert_int_equal(probe_run(crypto, &target, 200, &seen, &error), KW_TIMEOUT);
    assert_non_null(strstr(error.message, "nobody says what the host's addresses are within 0.2 s"));
    /* What nobody waits for any more ends by itself: with and without AI_ADDRCONFIG. */
    answers = true;
    while (late_answers < 2)
        usleep(10000);
    /* Nor is it unknown for another reason than that. */
    assert_int_equal(probe_run(crypto, &target, 60000, &seen, &error), KW_UNAVAILABLE);
    assert_non_null(strstr(error.message, "the host is not known"));
    crypto_close(crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_host_and_port_are_told_apart),
        cmocka_unit_test(parse_anything_else_is_refused),
        cmocka_unit_test(probe_of_a_silent_server_times_out),
        cmocka_unit_test(probe_of_a_server_that_never_ends_a_record_times_out),
        cmocka_unit_test(probe_of_what_is_no_tls_says_so),
        cmocka_unit_test(probe_of_a_server_without_tls_1_2_is_refused),
        cmocka_unit_test(probe_of_a_name_that_nobody_resolves_times_out),
        cmocka_unit_test(probe_of_a_host_goes_on_to_the_address_that_answers),
    };
    /* What would end the process does so here. */
    signal(SIGPIPE, SIG_DFL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
