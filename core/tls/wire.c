#include "tls/wire.h"

#include "base/clock.h"
#include "tls/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void wire_begin(struct wire *wire, unsigned timeout_ms)
{
    *wire = (struct wire){.socket = -1, .deadline = clock_milliseconds() + timeout_ms, .timeout_ms = timeout_ms};
}

void wire_close(struct wire *wire)
{
    if (wire->socket >= 0)
        close(wire->socket);
    wire->socket = -1;
}

static kw_status timed_out(const struct wire *wire, const char *what, kw_error *error)
{
    return error_set(error, KW_TIMEOUT, "%s within %u.%01u s", what, wire->timeout_ms / 1000,
                     wire->timeout_ms % 1000 / 100);
}

kw_status wire_wait(const struct wire *wire, short events, const char *what, kw_error *error)
{
    struct pollfd ready = {.fd = wire->socket, .events = events};
    for (;;) {
        const uint64_t now = clock_milliseconds();
        if (now >= wire->deadline)
            return timed_out(wire, what, error);
        const uint64_t left = wire->deadline - now;
        const int got = poll(&ready, 1, left > 60000 ? 60000 : (int)left);
        if (got > 0)
            return KW_OK;
        if (got < 0 && errno != EINTR)
            return error_set(error, KW_FAILED, "cannot wait for the server: %s", strerror(errno));
    }
}

/* ---- Connecting ---- */

static kw_status connect_one(struct wire *wire, const struct addrinfo *at, kw_error *error)
{
    int reason = 0;
    socklen_t length = sizeof(reason);
    wire->socket = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (wire->socket < 0)
        return error_set(error, KW_UNAVAILABLE, "%s", strerror(errno));
    if (connect(wire->socket, at->ai_addr, at->ai_addrlen) == 0)
        return KW_OK;
    if (errno != EINPROGRESS)
        return error_set(error, KW_UNAVAILABLE, "%s", strerror(errno));
    kw_status status = wire_wait(wire, POLLOUT, "the server does not take the connection", error);
    if (status != KW_OK)
        return status;
    if (getsockopt(wire->socket, SOL_SOCKET, SO_ERROR, &reason, &length) != 0)
        reason = errno;
    return reason == 0 ? KW_OK : error_set(error, KW_UNAVAILABLE, "%s", strerror(reason));
}

/* One that swallows what is sent to it must not use up the time of those behind it. */
static kw_status connect_in_turn(struct wire *wire, const struct addrinfo *at, kw_error *error)
{
    const uint64_t whole = wire->deadline, now = clock_milliseconds();
    uint64_t turns = 0;
    for (const struct addrinfo *each = at; each != NULL; each = each->ai_next)
        turns++;
    wire->deadline = whole > now ? now + (whole - now) / turns : whole;
    const kw_status status = connect_one(wire, at, error);
    wire->deadline = whole;
    return status;
}

kw_status wire_connect(struct wire *wire, const char *host, const char *port, kw_error *error)
{
    struct addrinfo *addresses = NULL;
    kw_error why = {0};
    kw_status status = resolve(host, port, wire->deadline, &addresses, error);
    if (status == KW_TIMEOUT)
        return timed_out(wire, "nobody says what the host's addresses are", error);
    if (status != KW_OK)
        return status;
    status = KW_UNAVAILABLE;
    for (const struct addrinfo *at = addresses; at != NULL && (status == KW_UNAVAILABLE || status == KW_TIMEOUT);
         at = at->ai_next) {
        wire_close(wire);
        if (at != addresses && clock_milliseconds() >= wire->deadline) {
            status = timed_out(wire, "no address answers", &why);
            break;
        }
        if (getnameinfo(at->ai_addr, at->ai_addrlen, wire->address, sizeof(wire->address), NULL, 0, NI_NUMERICHOST) !=
            0)
            snprintf(wire->address, sizeof(wire->address), "unknown");
        status = connect_in_turn(wire, at, &why);
    }
    freeaddrinfo(addresses);
    if (status == KW_OK)
        return KW_OK;
    status = error_set(error, status, "it cannot be reached at %s: %s", wire->address, why.message);
    if (status == KW_UNAVAILABLE)
        error_remedy(error, "check that the server runs, listens on this port, and is not behind a firewall");
    return status;
}

/* ---- Sending and receiving ---- */

static bool not_now(void)
{
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

static kw_status ended(struct wire *wire, int reason, kw_error *error)
{
    wire->ended = true;
    return error_set(error, KW_FAILED, "the server ended the connection%s%s", reason != 0 ? ": " : "",
                     reason != 0 ? strerror(reason) : "");
}

kw_status wire_send(struct wire *wire, kw_input bytes, const char *what, kw_error *error)
{
    for (size_t done = 0; done < bytes.length;) {
        const ssize_t sent = send(wire->socket, bytes.data + done, bytes.length - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            done += (size_t)sent;
            continue;
        }
        if (!not_now())
            return ended(wire, errno, error);
        kw_status status = wire_wait(wire, POLLOUT, what, error);
        if (status != KW_OK)
            return status;
    }
    return KW_OK;
}

kw_status wire_receive_some(struct wire *wire, void *bytes, size_t size, size_t *got, const char *what, kw_error *error)
{
    for (;;) {
        kw_status status = wire_wait(wire, POLLIN, what, error);
        if (status != KW_OK)
            return status;
        const ssize_t read = recv(wire->socket, bytes, size, MSG_DONTWAIT);
        if (read < 0 && not_now())
            continue;
        if (read < 0)
            return ended(wire, errno, error);
        wire->ended = wire->ended || read == 0;
        *got = (size_t)read;
        return KW_OK;
    }
}

kw_status wire_receive(struct wire *wire, void *bytes, size_t length, const char *what, kw_error *error)
{
    unsigned char *to = bytes;
    for (size_t done = 0; done < length;) {
        size_t got = 0;
        kw_status status = wire_receive_some(wire, to + done, length - done, &got, what, error);
        if (status == KW_OK && got == 0)
            status = ended(wire, 0, error);
        if (status != KW_OK)
            return status;
        done += got;
    }
    return KW_OK;
}

bool wire_has_more(const struct wire *wire)
{
    unsigned char byte;
    return recv(wire->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}
