/* MongoDB's wire protocol: TLS from the first byte or not at all; OP_MSG with the command hello tells that a server speaks it. */
#include "tls/prelude.h"

#include <string.h>

#define PROTOCOL        "MongoDB's protocol"
#define HEADER_LENGTH   16
#define MESSAGE_MAXIMUM (48u * 1000 * 1000) /* as servers say that theirs are; of it only the header is read */
#define OPCODE_MESSAGE  2013u
#define REQUEST_ID      1u

/* BSON: {hello: 1, $db: "admin"} */
static const unsigned char hello[] = "\x1f\0\0\0"
                                     "\x10hello\0\x01\0\0\0"
                                     "\x02$db\0\x06\0\0\0admin\0";

static kw_status send_hello(struct stream *stream, kw_error *error)
{
    struct buffer packet = {0};
    prelude_put_u32_le(&packet, HEADER_LENGTH + 4 + 1 + sizeof(hello));
    prelude_put_u32_le(&packet, REQUEST_ID);
    prelude_put_u32_le(&packet, 0);
    prelude_put_u32_le(&packet, OPCODE_MESSAGE);
    prelude_put_u32_le(&packet, 0); /* flags */
    buffer_append_u8(&packet, 0);   /* a section with the document */
    buffer_append(&packet, hello, sizeof(hello));
    const kw_status status = prelude_send(stream, &packet, error);
    buffer_free(&packet);
    return status;
}

/* An old server knows no hello, and answers that; what it answers says that it takes the connection. */
static kw_status greet_tls(struct conversation *conversation, enum greeting *greeting,
                           char words[PRELUDE_WORDS_MAXIMUM], kw_error *error)
{
    unsigned char header[HEADER_LENGTH];
    kw_status status = send_hello(conversation->stream, error);
    words[0] = '\0';
    if (status == KW_OK)
        status = stream_receive(conversation->stream, header, sizeof(header), error);
    if (status != KW_OK)
        return status;
    const uint32_t length = prelude_u32_le(header);
    if (length <= HEADER_LENGTH || length > MESSAGE_MAXIMUM)
        return prelude_error(conversation->stream, PROTOCOL, "a message of an impossible length", error);
    if (prelude_u32_le(header + 8) != REQUEST_ID || prelude_u32_le(header + 12) != OPCODE_MESSAGE)
        return prelude_error(conversation->stream, PROTOCOL, "no answer to what was asked", error);
    *greeting = GREETING_TAKEN;
    return KW_OK;
}

/* One that has only TLS ends the connection. */
static kw_status greet_plain(struct conversation *conversation, enum greeting *greeting,
                             char words[PRELUDE_WORDS_MAXIMUM], kw_error *error)
{
    kw_status status = greet_tls(conversation, greeting, words, error);
    if (status != KW_FAILED || conversation->stream->end != STREAM_ENDED)
        return status;
    conversation->stream->end = STREAM_GOES_ON;
    *greeting = GREETING_WANTS_TLS;
    return error_tolerate(status, KW_FAILED, error);
}

const struct prelude prelude_mongodb = {
    .protocol = "mongodb",
    .greet_plain = greet_plain,
    .greet_tls = greet_tls,
};
