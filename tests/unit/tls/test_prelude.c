/* What comes before TLS, against a peer that says what the test wrote down: also what no server that means well would say. */
#include "scene.h"

#include "base/clock.h"
#include "config/connections.h"
#include "tls/prelude.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct bytes {
    const char *data;
    size_t length;
};
#define BYTES(text) ((struct bytes){(text), sizeof(text) - 1})

/* One end of a pair of sockets, the other of which has said all that it will. */
struct peer {
    struct wire wire;
    struct stream stream;
    struct conversation conversation;
    int other;
    char words[PRELUDE_WORDS_MAXIMUM];
    enum greeting greeting;
    kw_error error;
};

static void peer_open(struct peer *peer, struct bytes says, bool stays)
{
    int ends[2];
    memset(peer, 0, sizeof(*peer));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    wire_begin(&peer->wire, 300);
    peer->wire.socket = ends[0];
    peer->other = ends[1];
    peer->stream.wire = &peer->wire;
    peer->conversation.stream = &peer->stream;
    peer->greeting = GREETING_REFUSED;
    assert_int_equal(write(peer->other, says.data, says.length), (ssize_t)says.length);
    if (!stays)
        assert_int_equal(shutdown(peer->other, SHUT_WR), 0);
}

static void peer_close(struct peer *peer)
{
    wire_close(&peer->wire);
    close(peer->other);
    assert_int_equal(ERR_peek_error(), 0);
}

/* What the client has sent. */
static size_t peer_heard(const struct peer *peer, unsigned char *heard, size_t size)
{
    const ssize_t got = recv(peer->other, heard, size, MSG_DONTWAIT);
    assert_true(got >= 0);
    return (size_t)got;
}

#define assert_heard(peer, expected)                                                                                   \
    do {                                                                                                               \
        unsigned char heard[1024];                                                                                     \
        const struct bytes wanted = BYTES(expected);                                                                   \
        assert_int_equal(peer_heard((peer), heard, sizeof(heard)), wanted.length);                                     \
        assert_memory_equal(heard, wanted.data, wanted.length);                                                        \
    } while (0)

/* ---- Servers that are right ---- */

/* A greeting of MariaDB's, with or without CLIENT_SSL in the capabilities. */
#define GREETING(capabilities)                                                                                         \
    "\x46\0\0\0\x0a"                                                                                                   \
    "10.11.0\0\x01\0\0\0"                                                                                              \
    "12345678\0" capabilities "\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x0f\0\0\0"                                           \
    "123456789012\0mysql_native_pass"
#define WITH_TLS    "\xfe\xff"
#define WITHOUT_TLS "\xfe\xf7"

#define PRELOGIN(encryption)                                                                                           \
    "\x04\x01\0\x1a\0\0\0\0"                                                                                           \
    "\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\x10\0\0\0\0\0" encryption
#define MONGO(length, id, code) length "\x07\0\0\0" id code "\0\0\0\0"

static const struct {
    const char *protocol;
    struct bytes says;
    bool offered;
} offers[] = {
    {"postgresql", {"S", 1}, true},
    {"postgresql", {"N", 1}, false},
    {"mysql", {GREETING(WITH_TLS), sizeof(GREETING(WITH_TLS)) - 1}, true},
    {"mariadb", {GREETING(WITHOUT_TLS), sizeof(GREETING(WITHOUT_TLS)) - 1}, false},
    {"sqlserver", {PRELOGIN("\x01"), sizeof(PRELOGIN("\x01")) - 1}, true},
    {"sqlserver", {PRELOGIN("\x03"), sizeof(PRELOGIN("\x03")) - 1}, true},
    {"sqlserver", {PRELOGIN("\x02"), sizeof(PRELOGIN("\x02")) - 1}, false},
    {"sqlserver", {PRELOGIN("\0"), sizeof(PRELOGIN("\0")) - 1}, false}, /* the password alone */
};

static void offer_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        struct peer peer;
        bool offered = !offers[i].offered;
        peer_open(&peer, offers[i].says, true);
        const struct prelude *prelude = prelude_find(offers[i].protocol);
        if (prelude->offer(&peer.conversation, &offered, &peer.error) != KW_OK)
            fail_msg("%zu %s: %s", i, offers[i].protocol, peer.error.message);
        assert_int_equal(offered, offers[i].offered);
        assert_false(wire_has_more(&peer.wire));
        peer_close(&peer);
    }
}

static void requests_are_those_of_the_protocols(void **state)
{
    struct peer peer;
    bool offered = false;
    (void)state;
    peer_open(&peer, BYTES("S"), true);
    assert_int_equal(prelude_find("postgresql")->offer(&peer.conversation, &offered, NULL), KW_OK);
    assert_heard(&peer, "\0\0\0\x08\x04\xd2\x16\x2f");
    peer_close(&peer);

    peer_open(&peer, BYTES("R\0\0\0\x08\0\0\0\x05salt"), true);
    peer.conversation.user = "u";
    peer.conversation.database = "db";
    assert_int_equal(prelude_find("postgresql")->greet_plain(&peer.conversation, &peer.greeting, peer.words, NULL),
                     KW_OK);
    assert_heard(&peer, "\0\0\0\x1c\0\x03\0\0user\0u\0database\0db\0\0");
    assert_int_equal(peer.greeting, GREETING_TAKEN);
    peer_close(&peer);

    peer_open(&peer, BYTES(GREETING(WITH_TLS)), true);
    assert_int_equal(prelude_find("mysql")->offer(&peer.conversation, &offered, NULL), KW_OK);
    assert_heard(&peer, "\x20\0\0\x01\0\x8a\x08\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    peer_close(&peer);

    peer_open(&peer, BYTES(PRELOGIN("\x02")), true);
    assert_int_equal(prelude_find("sqlserver")->greet_plain(&peer.conversation, &peer.greeting, peer.words, NULL),
                     KW_OK);
    assert_heard(&peer, "\x12\x01\0\x1a\0\0\0\0\0\0\x0b\0\x06\x01\0\x11\0\x01\xff\0\0\0\0\0\0\x02");
    assert_int_equal(peer.greeting, GREETING_TAKEN);
    peer_close(&peer);
}

#define PG_ERROR(code, message)              "SFATAL\0C" code "\0M" message "\0\0"
#define ROW(protocol, greeting, words, text) {(protocol), (greeting), (words), {(text), sizeof(text) - 1}}

static void greeting_is_understood(void **state)
{
    static const struct {
        const char *protocol;
        enum greeting greeting;
        const char *words;
        struct bytes says;
    } rows[] = {
        ROW("postgresql", GREETING_TAKEN, "", "R\0\0\0\x08\0\0\0\0"),
        ROW("postgresql", GREETING_WANTS_CERTIFICATE, "connection requires a valid client certificate",
            "E\0\0\0\x43" PG_ERROR("28000", "connection requires a valid client certificate")),
        ROW("postgresql", GREETING_WANTS_TLS, "no pg_hba.conf entry, no encryption",
            "E\0\0\0\x38" PG_ERROR("28000", "no pg_hba.conf entry, no encryption")),
        ROW("postgresql", GREETING_REFUSED, "too many? clients",
            "E\0\0\0\x26" PG_ERROR("53300", "too many\x1b clients")),
        ROW("postgresql", GREETING_REFUSED, "", "E\0\0\0\x04"),
        ROW("postgresql", GREETING_REFUSED, "", "E\0\0\0\x08Mabc"), /* no end */
        ROW("mysql", GREETING_TAKEN, "", GREETING(WITH_TLS) "\x01\0\0\x02\xfe"),
        ROW("mysql", GREETING_TAKEN, "", GREETING(WITHOUT_TLS) "\x01\0\0\x02\0"),
        ROW("mysql", GREETING_WANTS_TLS, "secure", GREETING(WITH_TLS) "\x0f\0\0\x02\xff\x57\x0c#08004secure"),
        ROW("mysql", GREETING_TAKEN, "denied",
            GREETING(WITH_TLS) "\x09\0\0\x02\xff\x15\x04"
                               "denied"),
        ROW("mysql", GREETING_REFUSED, "full",
            GREETING(WITH_TLS) "\x07\0\0\x02\xff\x10\x04"
                               "full"),
        ROW("mysql", GREETING_REFUSED, "", GREETING(WITH_TLS) "\x01\0\0\x02\xff"),
        ROW("mongodb", GREETING_TAKEN, "", MONGO("\x20\0\0\0", "\x01\0\0\0", "\xdd\x07\0\0")),
        ROW("mongodb", GREETING_WANTS_TLS, "", ""),
        ROW("sqlserver", GREETING_TAKEN, "", PRELOGIN("\0")),
        ROW("sqlserver", GREETING_WANTS_TLS, "", PRELOGIN("\x03")),
        ROW("sqlserver", GREETING_WANTS_TLS, "", PRELOGIN("\x01")),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer peer;
        peer_open(&peer, rows[i].says, false);
        kw_status status =
            prelude_find(rows[i].protocol)->greet_plain(&peer.conversation, &peer.greeting, peer.words, &peer.error);
        if (status != KW_OK)
            fail_msg("%zu %s: %s", i, rows[i].protocol, peer.error.message);
        if (peer.greeting != rows[i].greeting || strcmp(peer.words, rows[i].words) != 0)
            fail_msg("%zu %s: %d '%s'", i, rows[i].protocol, (int)peer.greeting, peer.words);
        peer_close(&peer);
    }
}

/* ---- Servers that are not ---- */

static void what_is_of_no_protocol_is_refused(void **state)
{
    enum { OFFER, GREET };
    static const struct {
        const char *protocol;
        int step;
        const char *reason;
        struct bytes says;
    } rows[] = {
        ROW("postgresql", OFFER, "neither yes nor no", "H"),
        ROW("postgresql", OFFER, "with an error", "E\0\0\0\x20SFATAL"),
        ROW("postgresql", GREET, "impossible length", "R\0\0\0\x03"),
        ROW("postgresql", GREET, "impossible length", "E\0\0\0\0"),
        ROW("postgresql", GREET, "impossible length", "E\x7f\xff\xff\xff"),
        ROW("postgresql", GREET, "impossible length", "E\0\0\x20\x05"),
        ROW("postgresql", GREET, "neither a demand", "Z\0\0\0\x05I"),
        ROW("mysql", OFFER, "impossible length", "\0\0\0\0"),
        ROW("mysql", OFFER, "impossible length", "\xff\xff\xff\0"),
        ROW("mysql", OFFER, "out of sequence", "\x05\0\0\x01\x0a"),
        ROW("mysql", OFFER, "not version 10", "\x02\0\0\0\x09\0"),
        ROW("mysql", OFFER, "is cut", "\x02\0\0\0\x0a\0"),
        ROW("mysql", OFFER, "is cut",
            "\x03\0\0\0\x0a"
            "ab"),
        ROW("mysql", OFFER, "is cut", "\x01\0\0\0\x0a"),
        ROW("mysql", OFFER, "is cut",
            "\x11\0\0\0\x0a\0"
            "1234"
            "12345678\0\0\x08"), /* before 4.1 */
        ROW("mysql", OFFER, "error 1129: blocked",
            "\x0a\0\0\0\xff\x69\x04"
            "blocked"),
        ROW("mysql", OFFER, "error 0", "\x01\0\0\0\xff"),
        ROW("mysql", OFFER, "impossible length", "SSH-2.0-OpenSSH_9.2\r\n"),
        ROW("mysql", GREET, "unknown answer", GREETING(WITH_TLS) "\x01\0\0\x02\x42"),
        ROW("mysql", GREET, "out of sequence", GREETING(WITH_TLS) "\x01\0\0\x01\xfe"),
        ROW("mongodb", GREET, "impossible length", MONGO("\x10\0\0\0", "\x01\0\0\0", "\xdd\x07\0\0")),
        ROW("mongodb", GREET, "impossible length", MONGO("\xff\xff\xff\xff", "\x01\0\0\0", "\xdd\x07\0\0")),
        ROW("mongodb", GREET, "no answer", MONGO("\x20\0\0\0", "\x02\0\0\0", "\xdd\x07\0\0")),
        ROW("mongodb", GREET, "no answer", MONGO("\x20\0\0\0", "\x01\0\0\0", "\xd4\x07\0\0")),
        ROW("sqlserver", OFFER, "impossible kind", "\x16\x03\x01\0\x10\0\0\0"),
        ROW("sqlserver", OFFER, "impossible kind", "\x04\x01\0\x08\0\0\0\0"), /* nothing in it */
        ROW("sqlserver", OFFER, "impossible kind", "\x04\x01\0\x07\0\0\0\0"),
        ROW("sqlserver", OFFER, "impossible kind", "\x04\x01\xff\xff\0\0\0\0"),
        ROW("sqlserver", OFFER, "nothing of encryption", "\x04\x01\0\x09\0\0\0\0\xff"),
        ROW("sqlserver", OFFER, "nothing of encryption", "\x04\x01\0\x0d\0\0\0\0\x01\0\x05\0\x01"),   /* outside */
        ROW("sqlserver", OFFER, "nothing of encryption", "\x04\x01\0\x0e\0\0\0\0\x01\0\x05\0\0\xff"), /* empty */
        ROW("sqlserver", OFFER, "nothing of encryption", "\x04\x01\0\x0f\0\0\0\0\x01\0\x06\0\x01\xff\x04"),
        ROW("sqlserver", OFFER, "nothing of encryption", "\x04\x01\0\x0c\0\0\0\0\x01\0\x05\0"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer peer;
        bool offered = false;
        const struct prelude *prelude = prelude_find(rows[i].protocol);
        peer_open(&peer, rows[i].says, true);
        kw_status status = rows[i].step == OFFER
                               ? prelude->offer(&peer.conversation, &offered, &peer.error)
                               : prelude->greet_plain(&peer.conversation, &peer.greeting, peer.words, &peer.error);
        if (status != KW_FAILED || strstr(peer.error.message, rows[i].reason) == NULL)
            fail_msg("%zu %s: %d %s", i, rows[i].protocol, (int)status, peer.error.message);
        assert_int_equal(peer.stream.end, STREAM_MALFORMED);
        assert_false(offered);
        peer_close(&peer);
    }
}

/* Cut anywhere it ends with the connection, and never with a result. */
static void what_is_cut_is_no_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        for (size_t length = 0; length < offers[i].says.length; length++) {
            struct peer peer;
            bool offered = false;
            peer_open(&peer, (struct bytes){offers[i].says.data, length}, false);
            assert_int_equal(prelude_find(offers[i].protocol)->offer(&peer.conversation, &offered, &peer.error),
                             KW_FAILED);
            assert_int_equal(peer.stream.end, STREAM_ENDED);
            assert_true(peer.wire.ended);
            assert_false(offered);
            peer_close(&peer);
        }
    }
}

/* An answer that never has its last packet does not go on for ever. */
static void packets_without_an_end_are_refused(void **state)
{
    static const char packet[] = "\x04\0\0\x09\0\0\0\0\xff";
    char says[40 * (sizeof(packet) - 1)];
    struct peer peer;
    bool offered = false;
    (void)state;
    for (size_t i = 0; i < 40; i++)
        memcpy(says + i * (sizeof(packet) - 1), packet, sizeof(packet) - 1);
    peer_open(&peer, (struct bytes){says, sizeof(says)}, true);
    assert_int_equal(prelude_find("sqlserver")->offer(&peer.conversation, &offered, &peer.error), KW_FAILED);
    assert_int_equal(peer.stream.end, STREAM_MALFORMED);
    peer_close(&peer);
}

static void who_says_nothing_or_half_of_it_is_not_waited_for_longer(void **state)
{
    static const struct bytes says[] = {{"", 0}, {"\x04\x01\0\x1a", 4}, {"\x04\x01\0\x1a\0\0\0\0\0\0", 10}};
    (void)state;
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        struct peer peer;
        bool offered = false;
        peer_open(&peer, says[i], true);
        peer.wire.deadline = clock_milliseconds() + 50;
        const uint64_t begin = clock_milliseconds();
        assert_int_equal(prelude_find("sqlserver")->offer(&peer.conversation, &offered, &peer.error), KW_TIMEOUT);
        assert_true(clock_milliseconds() - begin < 5000);
        assert_int_equal(peer.stream.end, STREAM_TIMED_OUT);
        peer_close(&peer);
    }
}

/* ---- Where TLS goes within packets ---- */

static void frames_are_taken_off(void **state)
{
    const struct framing *framing = prelude_find("sqlserver")->framing;
    unsigned char piece[64];
    size_t got = 0;
    struct peer peer;
    (void)state;
    peer_open(&peer, BYTES("\x12\x01\0\x0b\0\0\0\0abc\x04\x01\0\x0a\0\0\0\0de"), false);
    assert_int_equal(framing->receive(&peer.stream, piece, 2, &got, &peer.error), KW_OK);
    assert_int_equal(got, 2);
    assert_memory_equal(piece, "ab", 2);
    assert_int_equal(framing->receive(&peer.stream, piece, sizeof(piece), &got, &peer.error), KW_OK);
    assert_int_equal(got, 1);
    assert_memory_equal(piece, "c", 1);
    assert_int_equal(framing->receive(&peer.stream, piece, sizeof(piece), &got, &peer.error), KW_OK);
    assert_memory_equal(piece, "de", 2);
    assert_int_equal(framing->receive(&peer.stream, piece, sizeof(piece), &got, &peer.error), KW_FAILED);
    peer_close(&peer);

    /* Bare TLS, and a packet of nothing. */
    static const struct bytes wrong[] = {{"\x16\x03\x03\0\x40\0\0\0", 8}, {"\x12\x01\0\x08\0\0\0\0", 8}};
    for (size_t i = 0; i < 2; i++) {
        peer_open(&peer, wrong[i], true);
        assert_int_equal(framing->receive(&peer.stream, piece, sizeof(piece), &got, &peer.error), KW_FAILED);
        assert_non_null(strstr(peer.error.message, "impossible kind"));
        peer_close(&peer);
    }
}

static void frames_are_put_on_and_none_is_too_long(void **state)
{
    const struct framing *framing = prelude_find("sqlserver")->framing;
    unsigned char piece[5000] = {1, 2, 3}, heard[8000];
    struct peer peer;
    (void)state;
    peer_open(&peer, BYTES(""), true);
    assert_int_equal(framing->send(&peer.stream, (kw_input){piece, sizeof(piece)}, &peer.error), KW_OK);
    assert_int_equal(peer_heard(&peer, heard, sizeof(heard)), sizeof(piece) + 16);
    assert_memory_equal(heard, "\x12\x01\x10\0\0\0\0\0\x01\x02\x03", 11);
    assert_memory_equal(heard + 4096, "\x12\x01\x03\x98\0\0\0\0", 8);
    peer_close(&peer);
}

/* ---- The table ---- */

static void every_protocol_of_the_configuration_has_a_prelude(void **state)
{
    static const char *const names[] = {"tls",     "postgresql", "mysql",           "mariadb",
                                        "mongodb", "sqlserver",  "sqlserver-strict"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct connection_protocol *protocol = connection_protocol_find(names[i]);
        const struct prelude *prelude = prelude_find(names[i]);
        assert_non_null(protocol);
        assert_non_null(prelude);
        /* One that has plaintext must be able to try it. */
        assert_int_equal(prelude->greet_plain != NULL, !protocol->tls_from_start);
    }
    assert_null(prelude_find("oracle"));
    assert_null(connection_protocol_find("oracle"));
    assert_int_equal(connection_mode_find("none"), CONNECTION_MODE_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offer_is_understood),
        cmocka_unit_test(requests_are_those_of_the_protocols),
        cmocka_unit_test(greeting_is_understood),
        cmocka_unit_test(what_is_of_no_protocol_is_refused),
        cmocka_unit_test(what_is_cut_is_no_answer),
        cmocka_unit_test(packets_without_an_end_are_refused),
        cmocka_unit_test(who_says_nothing_or_half_of_it_is_not_waited_for_longer),
        cmocka_unit_test(frames_are_taken_off),
        cmocka_unit_test(frames_are_put_on_and_none_is_too_long),
        cmocka_unit_test(every_protocol_of_the_configuration_has_a_prelude),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
