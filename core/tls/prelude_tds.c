/*
 * SQL Server's TDS (MS-TDS). Until version 7.x a PRELOGIN in plaintext agrees on encryption, and then the TLS handshake goes in PRELOGIN packets, one
 * or more TLS records in each; what follows is bare TLS, of 1.2 at most. In TDS 8.0 TLS comes first, with ALPN, and PRELOGIN is within it.
 */
#include "tls/prelude.h"

#include <string.h>

#define PROTOCOL       "TDS"
#define HEADER_LENGTH  8
#define PACKET_MAXIMUM ((size_t)4096) /* bytes that are sent in one */
#define ANSWER_MAXIMUM ((size_t)4096)
#define ANSWER_PACKETS 16

enum packet { PACKET_ANSWER = 0x04, PACKET_PRELOGIN = 0x12 };
enum { STATUS_END = 0x01 };
enum token { TOKEN_VERSION = 0x00, TOKEN_ENCRYPTION = 0x01, TOKEN_END = 0xff };
enum encryption { ENCRYPTION_OFF = 0, ENCRYPTION_ON = 1, ENCRYPTION_NONE = 2, ENCRYPTION_REQUIRED = 3 };

static void put_header(struct buffer *packet, enum packet type, size_t length)
{
    buffer_append_u8(packet, (uint8_t)type);
    buffer_append_u8(packet, STATUS_END);
    prelude_put_u16_be(packet, (unsigned)(HEADER_LENGTH + length));
    buffer_append_u32(packet, 0); /* process, number, window */
}

static kw_status bad_packet(struct stream *stream, kw_error *error)
{
    return prelude_error(stream, PROTOCOL, "a packet of an impossible kind or length", error);
}

/* The header of what comes next. A packet without content is none: a server could send them for ever. */
static kw_status read_header(struct stream *stream, const unsigned char header[HEADER_LENGTH], size_t *length,
                             kw_error *error)
{
    *length = prelude_u16_be(header + 2);
    if ((header[0] != PACKET_ANSWER && header[0] != PACKET_PRELOGIN) || *length <= HEADER_LENGTH)
        return bad_packet(stream, error);
    *length -= HEADER_LENGTH;
    return KW_OK;
}

/* ---- The TLS handshake within packets ---- */

static kw_status frame_send(struct stream *stream, kw_input piece, kw_error *error)
{
    kw_status status = KW_OK;
    while (status == KW_OK && piece.length > 0) {
        const size_t most = PACKET_MAXIMUM - HEADER_LENGTH, length = piece.length < most ? piece.length : most;
        struct buffer packet = {0};
        put_header(&packet, PACKET_PRELOGIN, length);
        buffer_append(&packet, piece.data, length);
        status = packet.failed ? error_memory(error)
                               : wire_send(stream->wire, buffer_view(&packet),
                                           "the server does not take the TLS handshake", error);
        buffer_free(&packet);
        piece.data += length;
        piece.length -= length;
    }
    return status;
}

static kw_status frame_receive(struct stream *stream, void *piece, size_t size, size_t *got, kw_error *error)
{
    static const char waits[] = "the server takes connections, but does not answer in TLS";
    unsigned char header[HEADER_LENGTH];
    if (stream->frame_left == 0) {
        kw_status status = wire_receive(stream->wire, header, sizeof(header), waits, error);
        if (status == KW_OK)
            status = read_header(stream, header, &stream->frame_left, error);
        if (status != KW_OK)
            return status;
    }
    kw_status status = wire_receive_some(stream->wire, piece, size < stream->frame_left ? size : stream->frame_left,
                                         got, waits, error);
    if (status == KW_OK)
        stream->frame_left -= *got;
    return status;
}

static const struct framing framing = {.send = frame_send, .receive = frame_receive};

/* ---- PRELOGIN ---- */

static kw_status send_prelogin(struct stream *stream, enum encryption encryption, kw_error *error)
{
    enum { OPTIONS = 2 * 5 + 1, VERSION_LENGTH = 6 };
    static const unsigned char version[VERSION_LENGTH] = {0};
    struct buffer packet = {0};
    put_header(&packet, PACKET_PRELOGIN, OPTIONS + VERSION_LENGTH + 1);
    buffer_append_u8(&packet, TOKEN_VERSION);
    prelude_put_u16_be(&packet, OPTIONS);
    prelude_put_u16_be(&packet, VERSION_LENGTH);
    buffer_append_u8(&packet, TOKEN_ENCRYPTION);
    prelude_put_u16_be(&packet, OPTIONS + VERSION_LENGTH);
    prelude_put_u16_be(&packet, 1);
    buffer_append_u8(&packet, TOKEN_END);
    buffer_append(&packet, version, sizeof(version));
    buffer_append_u8(&packet, (uint8_t)encryption);
    const kw_status status = prelude_send(stream, &packet, error);
    buffer_free(&packet);
    return status;
}

/* All packets of an answer, one behind the other. */
static kw_status receive_answer(struct stream *stream, unsigned char answer[ANSWER_MAXIMUM], size_t *length,
                                kw_error *error)
{
    *length = 0;
    for (unsigned i = 0; i < ANSWER_PACKETS; i++) {
        unsigned char header[HEADER_LENGTH];
        size_t more = 0;
        kw_status status = stream_receive(stream, header, sizeof(header), error);
        if (status == KW_OK)
            status = read_header(stream, header, &more, error);
        if (status == KW_OK && more > ANSWER_MAXIMUM - *length)
            status = bad_packet(stream, error);
        if (status == KW_OK)
            status = stream_receive(stream, answer + *length, more, error);
        if (status != KW_OK)
            return status;
        *length += more;
        if ((header[1] & STATUS_END) != 0)
            return KW_OK;
    }
    return bad_packet(stream, error);
}

/* Options of five bytes (token, offset, length), up to the end's; offsets count from the first. */
static bool find_encryption(const unsigned char *answer, size_t length, unsigned *encryption)
{
    for (size_t at = 0; at + 5 <= length && answer[at] != TOKEN_END; at += 5) {
        const size_t offset = prelude_u16_be(answer + at + 1), size = prelude_u16_be(answer + at + 3);
        if (answer[at] != TOKEN_ENCRYPTION)
            continue;
        if (size < 1 || offset >= length)
            return false;
        *encryption = answer[offset];
        return *encryption <= ENCRYPTION_REQUIRED;
    }
    return false;
}

static kw_status prelogin(struct stream *stream, enum encryption wanted, unsigned *encryption, kw_error *error)
{
    unsigned char answer[ANSWER_MAXIMUM];
    size_t length = 0;
    kw_status status = send_prelogin(stream, wanted, error);
    if (status == KW_OK)
        status = receive_answer(stream, answer, &length, error);
    if (status == KW_OK && !find_encryption(answer, length, encryption))
        status = prelude_error(stream, PROTOCOL, "its PRELOGIN says nothing of encryption", error);
    return status;
}

/* OFF would encrypt the password alone, which is not what was asked for. */
static kw_status offer(struct conversation *conversation, bool *offered, kw_error *error)
{
    unsigned encryption = ENCRYPTION_NONE;
    kw_status status = prelogin(conversation->stream, ENCRYPTION_ON, &encryption, error);
    if (status == KW_OK)
        *offered = encryption == ENCRYPTION_ON || encryption == ENCRYPTION_REQUIRED;
    return status;
}

static kw_status greet_plain(struct conversation *conversation, enum greeting *greeting,
                             char words[PRELUDE_WORDS_MAXIMUM], kw_error *error)
{
    unsigned encryption = ENCRYPTION_NONE;
    kw_status status = prelogin(conversation->stream, ENCRYPTION_NONE, &encryption, error);
    words[0] = '\0';
    if (status == KW_OK)
        *greeting =
            encryption == ENCRYPTION_ON || encryption == ENCRYPTION_REQUIRED ? GREETING_WANTS_TLS : GREETING_TAKEN;
    return status;
}

/* In TDS 8.0 the option means nothing: all is encrypted. */
static kw_status greet_strict(struct conversation *conversation, enum greeting *greeting,
                              char words[PRELUDE_WORDS_MAXIMUM], kw_error *error)
{
    unsigned encryption = ENCRYPTION_NONE;
    kw_status status = prelogin(conversation->stream, ENCRYPTION_ON, &encryption, error);
    words[0] = '\0';
    if (status == KW_OK)
        *greeting = GREETING_TAKEN;
    return status;
}

const struct prelude prelude_sqlserver = {
    .protocol = "sqlserver",
    .version_maximum = TLS1_2_VERSION,
    .framing = &framing,
    .offer = offer,
    .greet_plain = greet_plain,
};
const struct prelude prelude_sqlserver_strict = {
    .protocol = "sqlserver-strict",
    .alpn = "tds/8.0",
    .greet_tls = greet_strict,
};
