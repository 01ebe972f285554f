/* PostgreSQL's frontend/backend protocol 3.0: SSLRequest, StartupMessage, and the first message of the answer. */
#include "tls/prelude.h"

#include <string.h>

#define PROTOCOL         "PostgreSQL's protocol"
#define SSL_REQUEST_CODE 80877103u
#define PROTOCOL_VERSION 0x00030000u
#define ERROR_MAXIMUM    ((size_t)8192) /* bytes of an ErrorResponse */
#define DEFAULT_USER     "keywright"
#define DEFAULT_DATABASE "postgres"

enum { ANSWER_TLS = 'S', ANSWER_NO_TLS = 'N', ANSWER_ERROR = 'E', MESSAGE_AUTHENTICATION = 'R' };

static kw_status offer(struct conversation *conversation, bool *offered, kw_error *error)
{
    struct stream *stream = conversation->stream;
    struct buffer packet = {0};
    unsigned char answer = 0;
    buffer_append_u32(&packet, 8);
    buffer_append_u32(&packet, SSL_REQUEST_CODE);
    kw_status status = prelude_send(stream, &packet, error);
    buffer_free(&packet);
    if (status == KW_OK)
        status = stream_receive(stream, &answer, 1, error);
    if (status != KW_OK)
        return status;
    /* An error message here is from whoever is on the line, so its words are not shown. */
    if (answer == ANSWER_ERROR)
        return prelude_error(stream, PROTOCOL " any more",
                             "it answers the request for TLS with an error; its log has the reason", error);
    if (answer != ANSWER_TLS && answer != ANSWER_NO_TLS)
        return prelude_error(stream, PROTOCOL, "the answer to the request for TLS is neither yes nor no", error);
    *offered = answer == ANSWER_TLS;
    return KW_OK;
}

/* The value of a field of an ErrorResponse, or NULL. */
static const char *error_field(const unsigned char *body, size_t length, char wanted)
{
    while (length > 1 && body[0] != '\0') {
        const unsigned char *end = memchr(body + 1, '\0', length - 1);
        if (end == NULL)
            return NULL;
        if (body[0] == (unsigned char)wanted)
            return (const char *)body + 1;
        length -= (size_t)(end + 1 - body);
        body = end + 1;
    }
    return NULL;
}

/* Messages have no code of their own for it, and 28000 (invalid authorization) for all of them. */
static enum greeting judge(const char *code, const char *message)
{
    if (code == NULL || message == NULL || strcmp(code, "28000") != 0)
        return GREETING_REFUSED;
    if (strstr(message, "client certificate") != NULL)
        return GREETING_WANTS_CERTIFICATE;
    return strstr(message, "no encryption") != NULL || strstr(message, "SSL off") != NULL ? GREETING_WANTS_TLS
                                                                                          : GREETING_REFUSED;
}

static kw_status take_error(struct stream *stream, size_t length, enum greeting *greeting,
                            char words[PRELUDE_WORDS_MAXIMUM], kw_error *error)
{
    unsigned char body[ERROR_MAXIMUM];
    kw_status status = stream_receive(stream, body, length, error);
    if (status != KW_OK)
        return status;
    const char *message = error_field(body, length, 'M');
    if (message != NULL)
        prelude_words(words, (const unsigned char *)message, strlen(message));
    *greeting = judge(error_field(body, length, 'C'), message);
    return KW_OK;
}

static kw_status send_startup(struct conversation *conversation, kw_error *error)
{
    struct buffer pairs = {0}, packet = {0};
    const char *const texts[] = {
        "user",
        conversation->user != NULL ? conversation->user : DEFAULT_USER,
        "database",
        conversation->database != NULL ? conversation->database : DEFAULT_DATABASE,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        buffer_append(&pairs, texts[i], strlen(texts[i]) + 1);
    buffer_append_u8(&pairs, 0);
    buffer_append_u32(&packet, (uint32_t)(2 * sizeof(uint32_t) + pairs.length));
    buffer_append_u32(&packet, PROTOCOL_VERSION);
    buffer_append(&packet, pairs.data, pairs.length);
    packet.failed = packet.failed || pairs.failed;
    const kw_status status = prelude_send(conversation->stream, &packet, error);
    buffer_free(&pairs);
    buffer_free(&packet);
    return status;
}

static kw_status greet(struct conversation *conversation, enum greeting *greeting, char words[PRELUDE_WORDS_MAXIMUM],
                       kw_error *error)
{
    unsigned char header[5];
    kw_status status = send_startup(conversation, error);
    if (status == KW_OK)
        status = stream_receive(conversation->stream, header, sizeof(header), error);
    if (status != KW_OK)
        return status;
    const uint32_t length = prelude_u32_be(header + 1);
    if (length < 4 || length - 4 > ERROR_MAXIMUM)
        return prelude_error(conversation->stream, PROTOCOL, "a message of an impossible length", error);
    if (header[0] == MESSAGE_AUTHENTICATION) {
        *greeting = GREETING_TAKEN;
        return KW_OK;
    }
    if (header[0] != ANSWER_ERROR)
        return prelude_error(conversation->stream, PROTOCOL, "neither a demand to log in nor an error", error);
    return take_error(conversation->stream, length - 4, greeting, words, error);
}

const struct prelude prelude_postgresql = {
    .protocol = "postgresql",
    .offer = offer,
    .greet_plain = greet,
    .greet_tls = greet,
};
