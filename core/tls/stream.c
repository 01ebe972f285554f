#include "tls/stream.h"

#include "base/clock.h"

#include <openssl/err.h>
#include <string.h>

#define PIECE 4096

/* Before any other message a TLS server sends a handshake or an alert, in a record of version 3.x. */
enum { RECORD_ALERT = 0x15, RECORD_HANDSHAKE = 0x16, RECORD_MAJOR = 0x03 };

static const char waits_for_tls[] = "the server takes connections, but does not answer in TLS";
static const char waits[] = "the server takes connections, but does not answer";

static kw_status ends(struct stream *stream, kw_status status, enum stream_end end)
{
    if (status != KW_OK && stream->end == STREAM_GOES_ON)
        stream->end = status == KW_TIMEOUT ? STREAM_TIMED_OUT : end;
    return status;
}

kw_status stream_begin_tls(struct stream *stream, SSL_CTX *context, kw_error *error)
{
    crypto_enter();
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(context);
    if (in == NULL || out == NULL || ssl == NULL) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        crypto_leave();
        return crypto_error(error, KW_OUT_OF_MEMORY, "libssl cannot begin a TLS session");
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    crypto_leave();
    stream->ssl = ssl;
    return KW_OK;
}

/* ---- Between libssl's memory and the wire ---- */

/* One who has closed the connection may have said why before: that is read next. */
static kw_status flush(struct stream *stream, kw_error *error)
{
    unsigned char piece[PIECE];
    int length;
    while ((length = BIO_read(SSL_get_wbio(stream->ssl), piece, sizeof(piece))) > 0) {
        const kw_input bytes = {piece, (size_t)length};
        kw_status status = stream->framing != NULL && !stream->shaken
                               ? stream->framing->send(stream, bytes, error)
                               : wire_send(stream->wire, bytes, "the server does not take what is sent in TLS", error);
        if (status == KW_FAILED && stream->wire->ended)
            status = error_tolerate(status, KW_FAILED, error);
        if (status != KW_OK)
            return ends(stream, status, STREAM_ENDED);
    }
    return KW_OK;
}

static kw_status closed(struct stream *stream, kw_error *error)
{
    error_set(error, KW_FAILED, "the server ended the connection%s", stream->shaken ? "" : " in the TLS handshake");
    if (!stream->met)
        error_remedy(error, "check the port: what listens there may speak no TLS");
    return ends(stream, KW_FAILED, STREAM_ENDED);
}

static bool begins_as_tls(const unsigned char *piece, size_t length)
{
    return (piece[0] == RECORD_HANDSHAKE || piece[0] == RECORD_ALERT) && (length < 2 || piece[1] == RECORD_MAJOR);
}

/* At least one byte for libssl. */
static kw_status pull(struct stream *stream, kw_error *error)
{
    unsigned char piece[PIECE];
    size_t got = 0;
    kw_status status = stream->framing != NULL && !stream->shaken
                           ? stream->framing->receive(stream, piece, sizeof(piece), &got, error)
                           : wire_receive_some(stream->wire, piece, sizeof(piece), &got,
                                               stream->shaken ? waits : waits_for_tls, error);
    if (status == KW_OK && got == 0)
        return closed(stream, error);
    if (status == KW_FAILED && stream->wire->ended)
        return closed(stream, error);
    if (status != KW_OK)
        return ends(stream, status, STREAM_MALFORMED);
    if (!stream->met && !begins_as_tls(piece, got)) {
        error_set(error, KW_FAILED, "what answers there does not speak TLS");
        error_remedy(error, "check the port: it must be one where TLS begins at once");
        return ends(stream, KW_FAILED, STREAM_NO_TLS);
    }
    stream->met = true;
    return BIO_write(SSL_get_rbio(stream->ssl), piece, (int)got) == (int)got ? KW_OK : error_memory(error);
}

/* What libssl wants before it goes on; an error that is its own is left in its queue. */
static kw_status attend(struct stream *stream, int result, kw_error *error)
{
    const int wants = SSL_get_error(stream->ssl, result);
    kw_status status = KW_OK;
    if (wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE) {
        const unsigned long code = ERR_peek_error();
        stream->reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
        (void)flush(stream, NULL); /* the alert */
        if (wants == SSL_ERROR_ZERO_RETURN)
            return closed(stream, error);
        error_set(error, KW_FAILED, "TLS failed");
        return ends(stream, KW_FAILED, STREAM_TLS_FAILED);
    }
    status = flush(stream, error);
    return status == KW_OK && wants == SSL_ERROR_WANT_READ ? pull(stream, error) : status;
}

kw_status stream_shake_hands(struct stream *stream, kw_error *error)
{
    for (;;) {
        ERR_clear_error();
        crypto_enter();
        const int done = SSL_do_handshake(stream->ssl);
        crypto_leave();
        if (done == 1) {
            kw_status status = flush(stream, error);
            stream->shaken = status == KW_OK;
            return status;
        }
        kw_status status = attend(stream, done, error);
        if (status != KW_OK)
            return status;
    }
}

/* ---- Messages ---- */

kw_status stream_send(struct stream *stream, kw_input bytes, kw_error *error)
{
    if (stream->ssl == NULL)
        return ends(stream, wire_send(stream->wire, bytes, "the server does not take what is sent", error),
                    STREAM_ENDED);
    while (bytes.length > 0) {
        size_t done = 0;
        ERR_clear_error();
        crypto_enter();
        const int result = SSL_write_ex(stream->ssl, bytes.data, bytes.length, &done);
        crypto_leave();
        kw_status status = result == 1 ? flush(stream, error) : attend(stream, result, error);
        if (status != KW_OK)
            return status;
        bytes.data += done;
        bytes.length -= done;
    }
    return KW_OK;
}

kw_status stream_receive(struct stream *stream, void *bytes, size_t length, kw_error *error)
{
    unsigned char *to = bytes;
    if (stream->ssl == NULL)
        return ends(stream, wire_receive(stream->wire, bytes, length, waits, error), STREAM_ENDED);
    while (length > 0) {
        size_t got = 0;
        ERR_clear_error();
        crypto_enter();
        const int result = SSL_read_ex(stream->ssl, to, length, &got);
        crypto_leave();
        if (result != 1) {
            kw_status status = attend(stream, result, error);
            if (status != KW_OK)
                return status;
        }
        to += got;
        length -= got;
    }
    return KW_OK;
}

kw_status stream_listen(struct stream *stream, unsigned milliseconds, kw_error *error)
{
    const uint64_t whole = stream->wire->deadline, until = clock_milliseconds() + milliseconds;
    kw_status status = KW_OK;
    unsigned char byte;
    stream->wire->deadline = until < whole ? until : whole;
    while (status == KW_OK) {
        size_t got = 0;
        ERR_clear_error();
        crypto_enter();
        const int result = SSL_peek_ex(stream->ssl, &byte, 1, &got);
        const bool taken = SSL_SESSION_has_ticket(SSL_get0_session(stream->ssl)) == 1 ||
                           SSL_get_error(stream->ssl, result) == SSL_ERROR_ZERO_RETURN;
        crypto_leave();
        if (result == 1 || taken)
            break;
        status = attend(stream, result, error);
    }
    stream->wire->deadline = whole;
    if (status == KW_TIMEOUT)
        stream->end = STREAM_GOES_ON;
    return error_tolerate(status, KW_TIMEOUT, error);
}

void stream_clear(struct stream *stream)
{
    if (stream->ssl != NULL && stream->shaken && stream->end == STREAM_GOES_ON) {
        crypto_enter();
        SSL_shutdown(stream->ssl);
        crypto_leave();
        (void)flush(stream, NULL);
    }
    ERR_clear_error();
    crypto_enter();
    SSL_free(stream->ssl);
    crypto_leave();
    stream->ssl = NULL;
}
