#include "channel.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *channel_result_text(enum channel_result result)
{
    static const char *const texts[] = {
        [CHANNEL_OK] = "done",
        [CHANNEL_CLOSED] = "the connection was closed",
        [CHANNEL_TIMEOUT] = "the other side took too long",
        [CHANNEL_BROKEN] = "the connection is broken",
        [CHANNEL_MALFORMED] = "what came is not a line of JSON",
    };
    return texts[result];
}

bool channel_open(struct channel *channel, SSL_CTX *tls, int socket)
{
    const int flags = fcntl(socket, F_GETFL);
    *channel = (struct channel){.ssl = SSL_new(tls), .socket = socket};
    if (channel->ssl != NULL && flags >= 0 && fcntl(socket, F_SETFL, flags | O_NONBLOCK) == 0 &&
        SSL_set_fd(channel->ssl, socket) == 1)
        return true;
    SSL_free(channel->ssl);
    *channel = (struct channel){.socket = socket};
    return false;
}

void channel_close(struct channel *channel)
{
    /* A goodbye, if it can be said without waiting. */
    if (channel->ssl != NULL && SSL_is_init_finished(channel->ssl))
        SSL_shutdown(channel->ssl);
    ERR_clear_error();
    SSL_free(channel->ssl);
    *channel = (struct channel){.socket = -1};
}

/* ---- Time ---- */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* After a call of libssl that is not done: waits for what it waits for. CHANNEL_OK: call it again. */
static enum channel_result wait_for(const struct channel *channel, int result, uint64_t deadline)
{
    const int why = SSL_get_error(channel->ssl, result);
    const uint64_t time = now();
    struct pollfd ready = {.fd = channel->socket, .events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
    if (why == SSL_ERROR_ZERO_RETURN)
        return CHANNEL_CLOSED;
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return CHANNEL_BROKEN;
    if (time >= deadline)
        return CHANNEL_TIMEOUT;
    /* Interrupted or not: libssl finds out whether there is something. */
    (void)poll(&ready, 1, (int)(deadline - time));
    return CHANNEL_OK;
}

/* ---- Both ways ---- */

enum channel_result channel_handshake(struct channel *channel, unsigned milliseconds)
{
    const uint64_t deadline = now() + milliseconds;
    for (;;) {
        ERR_clear_error();
        const int done = SSL_do_handshake(channel->ssl);
        if (done == 1)
            return CHANNEL_OK;
        const enum channel_result result = wait_for(channel, done, deadline);
        if (result != CHANNEL_OK)
            return result;
    }
}

enum channel_result channel_send(struct channel *channel, const json_t *object, unsigned milliseconds)
{
    const uint64_t deadline = now() + milliseconds;
    char line[CHANNEL_LINE_MAXIMUM];
    enum channel_result result = CHANNEL_OK;
    const size_t length = json_dumpb(object, line, sizeof(line) - 1, JSON_COMPACT);
    if (length == 0 || length > sizeof(line) - 1)
        return CHANNEL_MALFORMED;
    line[length] = '\n';
    for (int done = 0; done <= 0 && result == CHANNEL_OK;) {
        ERR_clear_error();
        done = SSL_write(channel->ssl, line, (int)length + 1);
        if (done <= 0)
            result = wait_for(channel, done, deadline);
    }
    OPENSSL_cleanse(line, sizeof(line));
    return result;
}

/* The first line off the front of what has come. */
static enum channel_result take_line(struct channel *channel, const char *newline, json_t **object)
{
    const size_t length = (size_t)(newline - channel->bytes);
    json_t *read = json_loadb(channel->bytes, length, JSON_REJECT_DUPLICATES, NULL);
    channel->length -= length + 1;
    memmove(channel->bytes, newline + 1, channel->length);
    if (json_is_object(read)) {
        *object = read;
        return CHANNEL_OK;
    }
    json_decref(read);
    return CHANNEL_MALFORMED;
}

enum channel_result channel_receive(struct channel *channel, json_t **object, unsigned milliseconds)
{
    const uint64_t deadline = now() + milliseconds;
    for (;;) {
        const char *newline = memchr(channel->bytes, '\n', channel->length);
        if (newline != NULL)
            return take_line(channel, newline, object);
        if (channel->length == sizeof(channel->bytes))
            return CHANNEL_MALFORMED;
        ERR_clear_error();
        const int got =
            SSL_read(channel->ssl, channel->bytes + channel->length, (int)(sizeof(channel->bytes) - channel->length));
        if (got > 0) {
            channel->length += (size_t)got;
            /* Also of who sends byte by byte. */
            if (now() >= deadline)
                return CHANNEL_TIMEOUT;
            continue;
        }
        const enum channel_result result = wait_for(channel, got, deadline);
        if (result != CHANNEL_OK)
            return result;
    }
}
