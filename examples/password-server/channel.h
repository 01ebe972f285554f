/*
 * Lines of JSON over TLS, each within a time and a length: what the server and its client both speak. A channel is one thread's. No function
 * raises SIGPIPE where the process ignores it.
 */
#ifndef PASSWORD_CHANNEL_H
#define PASSWORD_CHANNEL_H

#include <jansson.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#define CHANNEL_LINE_MAXIMUM 16384 /* bytes, with the newline */

enum channel_result {
    CHANNEL_OK,
    CHANNEL_CLOSED,    /* the other side has said goodbye */
    CHANNEL_TIMEOUT,   /* it has not done its part in time */
    CHANNEL_BROKEN,    /* no TLS any more: OpenSSL's queue of errors says why, where it was not the network */
    CHANNEL_MALFORMED, /* a line that is too long, or no JSON object */
};
const char *channel_result_text(enum channel_result result);

struct channel {
    SSL *ssl;
    int socket;
    size_t length; /* of what has come and is no line yet */
    char bytes[CHANNEL_LINE_MAXIMUM];
};

/* For either side: SSL_set_accept_state or SSL_set_connect_state is the caller's. The socket stays the caller's, and becomes non-blocking. */
bool channel_open(struct channel *channel, SSL_CTX *tls, int socket);
void channel_close(struct channel *channel);

/* The time is over all of it, so that nobody can hold a thread by a byte now and then. */
enum channel_result channel_handshake(struct channel *channel, unsigned milliseconds);
enum channel_result channel_send(struct channel *channel, const json_t *object, unsigned milliseconds);
/* json_decref frees `*object`. */
enum channel_result channel_receive(struct channel *channel, json_t **object, unsigned milliseconds);

#endif
