/*
 * What a client of each protocol says before TLS begins, and first after it: one const row and one file a protocol. Servers are not trusted: every
 * length is bounded, and nothing that came before TLS counts after it.
 */
#ifndef KEYWRIGHT_TLS_PRELUDE_H
#define KEYWRIGHT_TLS_PRELUDE_H

#include "base/buffer.h"
#include "tls/stream.h"

#define PRELUDE_WORDS_MAXIMUM 256

/* One conversation. Zero-initialise, and set stream, user and database. */
struct conversation {
    struct stream *stream;
    const char *user, *database; /* who it says it is */
    uint32_t capabilities;       /* MySQL: the server's */
    unsigned char sequence;      /* MySQL: of the next packet */
    bool greeted;                /* MySQL: the server has begun */
};

/* What the server makes of the first message. */
enum greeting {
    GREETING_TAKEN,             /* it goes on */
    GREETING_WANTS_TLS,         /* it takes none in plaintext */
    GREETING_WANTS_CERTIFICATE, /* it takes none without a client's certificate */
    GREETING_REFUSED            /* it refuses for a reason that has nothing to do with TLS */
};

struct prelude {
    const char *protocol;
    const char *alpn;    /* NULL: none. RFC 7301 */
    int version_maximum; /* TLS1_2_VERSION; 0: any */
    const struct framing *framing;
    /*
     * Asks for TLS. NULL: TLS begins at once. *offered false: the server has none. KW_FAILED: what it says is not of this protocol; KW_TIMEOUT.
     */
    kw_status (*offer)(struct conversation *conversation, bool *offered, kw_error *error);
    /*
     * The first message, in TLS or in plaintext, and what comes of it; `words` are the server's own, masked. NULL in both: none is sent that
     * would tell. Nothing is logged in. Errors as above.
     */
    kw_status (*greet_plain)(struct conversation *conversation, enum greeting *greeting,
                             char words[PRELUDE_WORDS_MAXIMUM], kw_error *error);
    kw_status (*greet_tls)(struct conversation *conversation, enum greeting *greeting,
                           char words[PRELUDE_WORDS_MAXIMUM], kw_error *error);
};

/* One for every protocol of config/connections.h; NULL for any other name. */
const struct prelude *prelude_find(const char *protocol);

/* ---- For the files of the protocols ---- */

extern const struct prelude prelude_postgresql, prelude_mysql, prelude_mariadb, prelude_mongodb, prelude_sqlserver,
    prelude_sqlserver_strict;

/* KW_FAILED: "what answers there does not speak PROTOCOL", and what about it. */
kw_status prelude_error(struct stream *stream, const char *protocol, const char *what, kw_error *error);
#ifdef __clang_analyzer__
#define prelude_error(...) error_failure(prelude_error(__VA_ARGS__)) /* as in error.h */
#endif
/* The server's words into `words`: cut and masked. */
void prelude_words(char words[PRELUDE_WORDS_MAXIMUM], const unsigned char *text, size_t length);
/* Integers as they lie in packets. */
uint32_t prelude_u16_be(const unsigned char *at);
uint32_t prelude_u32_be(const unsigned char *at);
uint32_t prelude_u16_le(const unsigned char *at);
uint32_t prelude_u24_le(const unsigned char *at);
uint32_t prelude_u32_le(const unsigned char *at);
void prelude_put_u16_be(struct buffer *packet, unsigned value);
void prelude_put_u32_le(struct buffer *packet, uint32_t value);
/* Sends what is in the buffer. KW_OUT_OF_MEMORY, or as stream_send. */
KW_MUST_USE kw_status prelude_send(struct stream *stream, const struct buffer *packet, kw_error *error);

#endif
