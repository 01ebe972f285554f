/*
 * The client/server protocol of MySQL and MariaDB: initial handshake packet (protocol 10), SSLRequest, HandshakeResponse41. The response names
 * an authentication plugin that nobody has, so the server asks for another one before any password counts as wrong.
 */
#include "tls/prelude.h"

#include <string.h>

#define PROTOCOL       "the protocol of MySQL and MariaDB"
#define PACKET_MAXIMUM ((size_t)4096)
#define CLIENT_PACKET  0x01000000u /* the largest packet that the client would take */
#define CHARACTER_SET  45          /* utf8mb4_general_ci */
#define RESERVED       23
#define PROTOCOL_10    10
#define NO_PLUGIN      "keywright_check"
#define DEFAULT_USER   "keywright"

enum capability {
    CAPABILITY_PROTOCOL_41 = 0x00000200,
    CAPABILITY_TLS = 0x00000800,
    CAPABILITY_SECURE_CONNECTION = 0x00008000,
    CAPABILITY_PLUGIN_AUTH = 0x00080000,
};

enum answer { ANSWER_OK = 0x00, ANSWER_MORE = 0x01, ANSWER_SWITCH = 0xfe, ANSWER_ERROR = 0xff };

enum error_code { ERROR_ACCESS_DENIED = 1045, ERROR_TLS_REQUIRED = 3159 };

/* ---- Packets ---- */

static kw_status receive_packet(struct conversation *conversation, unsigned char packet[PACKET_MAXIMUM], size_t *length,
                                kw_error *error)
{
    unsigned char header[4];
    kw_status status = stream_receive(conversation->stream, header, sizeof(header), error);
    if (status != KW_OK)
        return status;
    *length = prelude_u24_le(header);
    if (*length == 0 || *length > PACKET_MAXIMUM)
        return prelude_error(conversation->stream, PROTOCOL, "a packet of an impossible length", error);
    if (header[3] != conversation->sequence)
        return prelude_error(conversation->stream, PROTOCOL, "a packet out of sequence", error);
    conversation->sequence++;
    return stream_receive(conversation->stream, packet, *length, error);
}

static kw_status send_packet(struct conversation *conversation, const struct buffer *payload, kw_error *error)
{
    struct buffer packet = {0};
    for (unsigned shift = 0; shift < 24; shift += 8)
        buffer_append_u8(&packet, (uint8_t)(payload->length >> shift));
    buffer_append_u8(&packet, conversation->sequence++);
    buffer_append(&packet, payload->data, payload->length);
    packet.failed = packet.failed || payload->failed;
    const kw_status status = prelude_send(conversation->stream, &packet, error);
    buffer_free(&packet);
    return status;
}

/* An ERR packet: its code, and its words without the state of five bytes behind '#'. */
static uint32_t error_code(const unsigned char *packet, size_t length, char words[PRELUDE_WORDS_MAXIMUM])
{
    if (length < 3)
        return 0;
    const size_t begin = length >= 9 && packet[3] == '#' ? 9 : 3;
    prelude_words(words, packet + begin, length - begin);
    return prelude_u16_le(packet + 1);
}

/* ---- The server's beginning ---- */

/* version NUL, thread id 4, scramble 8, filler 1, capabilities 2, character set 1, status 2, capabilities 2 */
static bool read_capabilities(const unsigned char *packet, size_t length, uint32_t *capabilities)
{
    const unsigned char *end = memchr(packet + 1, '\0', length - 1);
    const size_t at = end != NULL ? (size_t)(end - packet) + 1 + 4 + 8 + 1 : length;
    if (at + 2 > length)
        return false;
    *capabilities = prelude_u16_le(packet + at);
    if (at + 7 <= length)
        *capabilities |= prelude_u16_le(packet + at + 5) << 16;
    return true;
}

static kw_status take_greeting(struct conversation *conversation, kw_error *error)
{
    unsigned char packet[PACKET_MAXIMUM];
    char words[PRELUDE_WORDS_MAXIMUM] = "";
    size_t length = 0;
    kw_status status = receive_packet(conversation, packet, &length, error);
    if (status != KW_OK)
        return status;
    if (packet[0] == ANSWER_ERROR) {
        const uint32_t code = error_code(packet, length, words);
        conversation->stream->end = STREAM_MALFORMED;
        error_set(error, KW_FAILED, "the server refuses the connection before anything is said: error %u: %s",
                  (unsigned)code, words);
        error_remedy(error, "look into the server's log");
        return KW_FAILED;
    }
    if (packet[0] != PROTOCOL_10)
        return prelude_error(conversation->stream, PROTOCOL, "not version 10 of it", error);
    if (!read_capabilities(packet, length, &conversation->capabilities) ||
        (conversation->capabilities & CAPABILITY_PROTOCOL_41) == 0)
        return prelude_error(conversation->stream, PROTOCOL, "its first packet is cut, or of a server before 4.1",
                             error);
    conversation->greeted = true;
    return KW_OK;
}

/* ---- The client's answer ---- */

static void put_head(struct buffer *payload, uint32_t capabilities)
{
    static const unsigned char zeros[RESERVED];
    prelude_put_u32_le(payload, capabilities);
    prelude_put_u32_le(payload, CLIENT_PACKET);
    buffer_append_u8(payload, CHARACTER_SET);
    buffer_append(payload, zeros, sizeof(zeros));
}

static uint32_t own_capabilities(const struct conversation *conversation)
{
    return CAPABILITY_PROTOCOL_41 | CAPABILITY_SECURE_CONNECTION |
           (conversation->capabilities & CAPABILITY_PLUGIN_AUTH);
}

static kw_status offer(struct conversation *conversation, bool *offered, kw_error *error)
{
    struct buffer payload = {0};
    kw_status status = take_greeting(conversation, error);
    if (status != KW_OK)
        return status;
    *offered = (conversation->capabilities & CAPABILITY_TLS) != 0;
    if (!*offered)
        return KW_OK;
    put_head(&payload, own_capabilities(conversation) | CAPABILITY_TLS);
    status = send_packet(conversation, &payload, error);
    buffer_free(&payload);
    return status;
}

static kw_status send_response(struct conversation *conversation, kw_error *error)
{
    struct buffer payload = {0};
    const char *user = conversation->user != NULL ? conversation->user : DEFAULT_USER;
    put_head(&payload, own_capabilities(conversation) | (conversation->stream->ssl != NULL ? CAPABILITY_TLS : 0u));
    buffer_append(&payload, user, strlen(user) + 1);
    buffer_append_u8(&payload, 0); /* no password */
    if ((conversation->capabilities & CAPABILITY_PLUGIN_AUTH) != 0)
        buffer_append(&payload, NO_PLUGIN, sizeof(NO_PLUGIN));
    const kw_status status = send_packet(conversation, &payload, error);
    buffer_free(&payload);
    return status;
}

static kw_status greet(struct conversation *conversation, enum greeting *greeting, char words[PRELUDE_WORDS_MAXIMUM],
                       kw_error *error)
{
    unsigned char packet[PACKET_MAXIMUM];
    size_t length = 0;
    kw_status status = conversation->greeted ? KW_OK : take_greeting(conversation, error);
    if (status == KW_OK)
        status = send_response(conversation, error);
    if (status == KW_OK)
        status = receive_packet(conversation, packet, &length, error);
    if (status != KW_OK)
        return status;
    if (packet[0] == ANSWER_OK || packet[0] == ANSWER_MORE || packet[0] == ANSWER_SWITCH) {
        *greeting = GREETING_TAKEN;
        return KW_OK;
    }
    if (packet[0] != ANSWER_ERROR)
        return prelude_error(conversation->stream, PROTOCOL, "an unknown answer to the first packet", error);
    const uint32_t code = error_code(packet, length, words);
    *greeting = code == ERROR_TLS_REQUIRED    ? GREETING_WANTS_TLS
                : code == ERROR_ACCESS_DENIED ? GREETING_TAKEN
                                              : GREETING_REFUSED;
    return KW_OK;
}

const struct prelude prelude_mysql = {
    .protocol = "mysql",
    .offer = offer,
    .greet_plain = greet,
    .greet_tls = greet,
};
const struct prelude prelude_mariadb = {
    .protocol = "mariadb",
    .offer = offer,
    .greet_plain = greet,
    .greet_tls = greet,
};
