/* What is said on a wire, in plaintext or in TLS. libssl works between memory and the wire, so that no endless read and no signal is its own. */
#ifndef KEYWRIGHT_TLS_STREAM_H
#define KEYWRIGHT_TLS_STREAM_H

#include "base/crypto.h"
#include "tls/wire.h"
#include <openssl/ssl.h>

/* Why it does not go on. */
enum stream_end {
    STREAM_GOES_ON,
    STREAM_TIMED_OUT,
    STREAM_ENDED,      /* the server closed the connection */
    STREAM_NO_TLS,     /* what came first is no TLS */
    STREAM_TLS_FAILED, /* libssl says why: `reason` */
    STREAM_MALFORMED   /* against the protocol that TLS is wrapped in */
};

struct stream;

/* How a protocol wraps the messages of the handshake. */
struct framing {
    kw_status (*send)(struct stream *stream, kw_input piece, kw_error *error);
    kw_status (*receive)(struct stream *stream, void *piece, size_t size, size_t *got, kw_error *error);
};

/* Zero-initialise, and set what the comments say is the caller's. */
struct stream {
    struct wire *wire;             /* the caller's */
    SSL *ssl;                      /* NULL: plaintext. With stream_begin_tls the stream's, freed by stream_clear */
    const struct framing *framing; /* the caller's; NULL: none */
    size_t frame_left;             /* of the frame that is being read */
    bool met;                      /* something of TLS has come */
    bool shaken;                   /* hands */
    enum stream_end end;
    int reason; /* SSL_R_... */
};

/* A client's side. KW_OUT_OF_MEMORY. */
KW_MUST_USE kw_status stream_begin_tls(struct stream *stream, SSL_CTX *context, kw_error *error);
/* The handshake. KW_TIMEOUT; KW_FAILED, and `end` says how. libssl's queue is as it left it. */
KW_MUST_USE kw_status stream_shake_hands(struct stream *stream, kw_error *error);

/* All of it, or so many bytes, encrypted where there is TLS. KW_TIMEOUT; KW_FAILED, and `end` says how. */
KW_MUST_USE kw_status stream_send(struct stream *stream, kw_input bytes, kw_error *error);
KW_MUST_USE kw_status stream_receive(struct stream *stream, void *bytes, size_t length, kw_error *error);
/*
 * Of TLS 1.3, where the server has asked for a certificate: waits at most so long for whether it takes what it got, which it says after the
 * handshake. An alert says no. A ticket says yes, since only a server that has verified the client's last flight may make one (RFC 8446 section
 * 4.6.1); so does close_notify, with which a server ends what has not failed. KW_OK: yes, or nothing came.
 */
KW_MUST_USE kw_status stream_listen(struct stream *stream, unsigned milliseconds, kw_error *error);
/* Says goodbye, where TLS has begun, and frees what is the stream's. */
void stream_clear(struct stream *stream);

#endif
