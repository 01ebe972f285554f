#include "tls/prelude.h"

#include <string.h>

#undef prelude_error

/* TLS, and nothing that is said before or after it. */
static const struct prelude prelude_tls = {.protocol = "tls"};

static const struct prelude *const preludes[] = {
    &prelude_tls,       &prelude_postgresql,       &prelude_mysql, &prelude_mariadb, &prelude_mongodb,
    &prelude_sqlserver, &prelude_sqlserver_strict,
};

const struct prelude *prelude_find(const char *protocol)
{
    for (size_t i = 0; i < sizeof(preludes) / sizeof(preludes[0]); i++) {
        if (strcmp(preludes[i]->protocol, protocol) == 0)
            return preludes[i];
    }
    return NULL;
}

kw_status prelude_error(struct stream *stream, const char *protocol, const char *what, kw_error *error)
{
    stream->end = STREAM_MALFORMED;
    error_set(error, KW_FAILED, "what answers there does not speak %s: %s", protocol, what);
    error_remedy(error, "check host and port, and the protocol of the connection");
    return KW_FAILED;
}

void prelude_words(char words[PRELUDE_WORDS_MAXIMUM], const unsigned char *text, size_t length)
{
    const size_t kept = length < PRELUDE_WORDS_MAXIMUM - 1 ? length : PRELUDE_WORDS_MAXIMUM - 1;
    memcpy(words, text, kept);
    words[kept] = '\0';
    text_mask(words);
}

uint32_t prelude_u16_be(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint32_t prelude_u32_be(const unsigned char *at)
{
    return prelude_u16_be(at) << 16 | prelude_u16_be(at + 2);
}

uint32_t prelude_u16_le(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

uint32_t prelude_u24_le(const unsigned char *at)
{
    return prelude_u16_le(at) | (uint32_t)at[2] << 16;
}

uint32_t prelude_u32_le(const unsigned char *at)
{
    return prelude_u24_le(at) | (uint32_t)at[3] << 24;
}

void prelude_put_u16_be(struct buffer *packet, unsigned value)
{
    buffer_append_u8(packet, (uint8_t)(value >> 8));
    buffer_append_u8(packet, (uint8_t)value);
}

void prelude_put_u32_le(struct buffer *packet, uint32_t value)
{
    for (unsigned shift = 0; shift < 32; shift += 8)
        buffer_append_u8(packet, (uint8_t)(value >> shift));
}

kw_status prelude_send(struct stream *stream, const struct buffer *packet, kw_error *error)
{
    return packet->failed ? error_memory(error) : stream_send(stream, buffer_view(packet), error);
}
