#include "tls/probe.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_MAXIMUM 65535
#define PIECE        4096

/* Before any other message a TLS server sends a handshake or an alert, in a record of version 3.x. */
enum { RECORD_ALERT = 0x15, RECORD_HANDSHAKE = 0x16, RECORD_MAJOR = 0x03 };

static void probe_clear_certificate(struct probe *probe)
{
    crypto_x509_free(probe->certificate);
    sk_X509_pop_free(probe->chain, crypto_x509_free);
    probe->certificate = NULL;
    probe->chain = NULL;
}

/* ---- HOST:PORT ---- */

static kw_status malformed(const char *text, kw_error *error)
{
    error_set(error, KW_INVALID_ARGUMENT, "'%s' is not HOST:PORT", text);
    error_remedy(error, "write a name or an address and a port, such as server.example:443 or [2001:db8::1]:443");
    return KW_INVALID_ARGUMENT;
}

static bool is_port(const char *text)
{
    const size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 5 || text[length] != '\0')
        return false;
    const long port = strtol(text, NULL, 10);
    return port >= 1 && port <= PORT_MAXIMUM;
}

static bool is_name(const char *text)
{
    return text[0] != '\0' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == strlen(text);
}

/* An address may be followed by the name of an interface (%eth0), which is no part of a certificate. */
static bool is_address(const char *text)
{
    unsigned char bytes[16];
    char plain[PROBE_HOST_MAXIMUM + 1];
    snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, plain, bytes) == 1;
}

kw_status probe_parse(const char *text, struct probe_target *target, kw_error *error)
{
    struct probe_target read = {0};
    const bool bracketed = text[0] == '[';
    const char *host = bracketed ? text + 1 : text;
    const char *end = bracketed ? strchr(host, ']') : strchr(host, ':');
    if (end == NULL || (bracketed && end[1] != ':') || (size_t)(end - host) > PROBE_HOST_MAXIMUM ||
        !is_port(end + (bracketed ? 2 : 1)))
        return malformed(text, error);
    memcpy(read.host, host, (size_t)(end - host));
    snprintf(read.port, sizeof(read.port), "%.5s", end + (bracketed ? 2 : 1));
    read.is_address = is_address(read.host);
    const size_t length = strlen(read.host);
    if (length > 1 && read.host[length - 1] == '.' && !read.is_address)
        read.host[length - 1] = '\0';
    if (bracketed ? !read.is_address : !is_name(read.host))
        return malformed(text, error);
    *target = read;
    return KW_OK;
}

/* ---- Connecting ---- */

struct connection {
    const struct probe_target *target;
    uint64_t deadline; /* clock_milliseconds */
    unsigned timeout_ms;
    int socket;
    bool met; /* something of the server's has come */
};

static kw_status timed_out(const struct connection *connection, const char *what, kw_error *error)
{
    return error_set(error, KW_TIMEOUT, "%s within %u.%01u s", what, connection->timeout_ms / 1000,
                     connection->timeout_ms % 1000 / 100);
}

/* KW_TIMEOUT, or KW_OK when there is something to do. */
static kw_status wait_for(const struct connection *connection, short events, const char *what, kw_error *error)
{
    struct pollfd ready = {.fd = connection->socket, .events = events};
    for (;;) {
        const uint64_t now = clock_milliseconds();
        if (now >= connection->deadline)
            return timed_out(connection, what, error);
        const uint64_t left = connection->deadline - now;
        const int got = poll(&ready, 1, left > 60000 ? 60000 : (int)left);
        if (got > 0)
            return KW_OK;
        if (got < 0 && errno != EINTR)
            return error_set(error, KW_FAILED, "cannot wait for the server: %s", strerror(errno));
    }
}

static kw_status connect_one(struct connection *connection, const struct addrinfo *at, kw_error *error)
{
    int reason = 0;
    socklen_t length = sizeof(reason);
    connection->socket = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    if (connection->socket < 0)
        return error_set(error, KW_UNAVAILABLE, "%s", strerror(errno));
    if (connect(connection->socket, at->ai_addr, at->ai_addrlen) == 0)
        return KW_OK;
    if (errno != EINPROGRESS)
        return error_set(error, KW_UNAVAILABLE, "%s", strerror(errno));
    kw_status status = wait_for(connection, POLLOUT, "the server does not take the connection", error);
    if (status != KW_OK)
        return status;
    if (getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &reason, &length) != 0)
        reason = errno;
    return reason == 0 ? KW_OK : error_set(error, KW_UNAVAILABLE, "%s", strerror(reason));
}

/* One that swallows what is sent to it must not use up the time of those behind it. */
static kw_status connect_in_turn(struct connection *connection, const struct addrinfo *at, kw_error *error)
{
    const uint64_t whole = connection->deadline, now = clock_milliseconds();
    uint64_t turns = 0;
    for (const struct addrinfo *each = at; each != NULL; each = each->ai_next)
        turns++;
    connection->deadline = whole > now ? now + (whole - now) / turns : whole;
    const kw_status status = connect_one(connection, at, error);
    connection->deadline = whole;
    return status;
}

static kw_status connect_any(struct connection *connection, char address[PROBE_ADDRESS_MAXIMUM], kw_error *error)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    const struct addrinfo any = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *addresses = NULL;
    kw_error why = {0};
    kw_status status = KW_UNAVAILABLE;
    int answer = getaddrinfo(connection->target->host, connection->target->port, &wanted, &addresses);
    /* Where an interface has but a loopback address, AI_ADDRCONFIG hides that. */
    if (answer != 0)
        answer = getaddrinfo(connection->target->host, connection->target->port, &any, &addresses);
    if (answer != 0) {
        error_set(error, KW_UNAVAILABLE, "the host is not known: %s", gai_strerror(answer));
        error_remedy(error, "check how it is spelt, and the name servers");
        return KW_UNAVAILABLE;
    }
    for (const struct addrinfo *at = addresses; at != NULL && (status == KW_UNAVAILABLE || status == KW_TIMEOUT);
         at = at->ai_next) {
        if (connection->socket >= 0)
            close(connection->socket);
        if (getnameinfo(at->ai_addr, at->ai_addrlen, address, PROBE_ADDRESS_MAXIMUM, NULL, 0, NI_NUMERICHOST) != 0)
            snprintf(address, PROBE_ADDRESS_MAXIMUM, "unknown");
        status = connect_in_turn(connection, at, &why);
    }
    freeaddrinfo(addresses);
    if (status == KW_OK)
        return KW_OK;
    status = error_set(error, status, "it cannot be reached at %s: %s", address, why.message);
    if (status == KW_UNAVAILABLE)
        error_remedy(error, "check that the server runs, listens on this port, and is not behind a firewall");
    return status;
}

/* ---- The handshake: between memory and the socket, so that no SIGPIPE and no endless read is libcrypto's ---- */

static kw_status send_all(const struct connection *connection, SSL *ssl, kw_error *error)
{
    unsigned char piece[PIECE];
    int length;
    while ((length = BIO_read(SSL_get_wbio(ssl), piece, sizeof(piece))) > 0) {
        for (int done = 0; done < length;) {
            const ssize_t sent = send(connection->socket, piece + done, (size_t)(length - done), MSG_NOSIGNAL);
            if (sent >= 0) {
                done += (int)sent;
                continue;
            }
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                return error_set(error, KW_FAILED, "the server ended the connection in the TLS handshake: %s",
                                 strerror(errno));
            kw_status status = wait_for(connection, POLLOUT, "the server does not take the TLS handshake", error);
            if (status != KW_OK)
                return status;
        }
    }
    return KW_OK;
}

static kw_status no_tls(kw_error *error)
{
    error_set(error, KW_FAILED, "what answers there does not speak TLS");
    error_remedy(error, "check the port: it must be one where TLS begins at once");
    return KW_FAILED;
}

static kw_status receive(struct connection *connection, SSL *ssl, kw_error *error)
{
    unsigned char piece[PIECE];
    for (;;) {
        kw_status status =
            wait_for(connection, POLLIN, "the server takes connections, but does not answer in TLS", error);
        if (status != KW_OK)
            return status;
        const ssize_t got = recv(connection->socket, piece, sizeof(piece), 0);
        if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
            continue;
        if (got <= 0) {
            error_set(error, KW_FAILED, "the server ended the connection in the TLS handshake%s%s", got < 0 ? ": " : "",
                      got < 0 ? strerror(errno) : "");
            if (!connection->met)
                error_remedy(error, "check the port: what listens there may speak no TLS");
            return KW_FAILED;
        }
        if (!connection->met &&
            ((piece[0] != RECORD_HANDSHAKE && piece[0] != RECORD_ALERT) || (got > 1 && piece[1] != RECORD_MAJOR)))
            return no_tls(error);
        connection->met = true;
        return BIO_write(SSL_get_rbio(ssl), piece, (int)got) == (int)got ? KW_OK : error_memory(error);
    }
}

static kw_status handshake_failed(kw_error *error)
{
    const unsigned long code = ERR_peek_error();
    const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION) {
        ERR_clear_error();
        error_set(error, KW_REFUSED, "the server has no TLS 1.2 or newer");
        error_remedy(error, "let the server take TLS 1.2 at least; older versions are not secure");
        return KW_REFUSED;
    }
    return crypto_error(error, KW_FAILED, "the TLS handshake failed");
}

static kw_status shake_hands(struct connection *connection, SSL *ssl, kw_error *error)
{
    for (;;) {
        ERR_clear_error();
        const int done = SSL_do_handshake(ssl);
        const int wants = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, done);
        if (done != 1 && wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE)
            return handshake_failed(error);
        kw_status status = send_all(connection, ssl, error);
        if (status != KW_OK || done == 1)
            return status;
        if (wants == SSL_ERROR_WANT_READ)
            status = receive(connection, ssl, error);
        if (status != KW_OK)
            return status;
    }
}

/* The server's, as soon as it comes; judged later, and by more than libssl looks at. */
static int keep_certificate(X509_STORE_CTX *context, void *user)
{
    struct probe *probe = user;
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(context);
    probe_clear_certificate(probe);
    probe->certificate = X509_STORE_CTX_get0_cert(context);
    probe->chain = sent != NULL ? X509_chain_up_ref(sent) : sk_X509_new_null();
    if (probe->certificate == NULL || probe->chain == NULL || X509_up_ref(probe->certificate) != 1)
        probe->certificate = NULL;
    return 1;
}

/* Called when the server wants a client's certificate: there is none. */
static int no_certificate(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
    (void)certificate;
    (void)key;
    bool *wanted = SSL_get_app_data(ssl);
    *wanted = true;
    return 0;
}

/* Level 1: also a server with a weak key is shown, and then judged. */
static SSL *new_session(struct crypto *crypto, const struct probe_target *target, struct probe *probe, bool *wants_ours)
{
    SSL_CTX *context = SSL_CTX_new_ex(crypto->library, NULL, TLS_client_method());
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL *ssl = NULL;
    if (context == NULL || in == NULL || out == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        goto out;
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_cert_verify_callback(context, keep_certificate, probe);
    SSL_CTX_set_client_cert_cb(context, no_certificate);
    SSL_CTX_set_security_level(context, 1);
    ssl = SSL_new(context);
    if (ssl == NULL)
        goto out;
    SSL_set_bio(ssl, in, out);
    in = out = NULL;
    SSL_set_connect_state(ssl);
    if (SSL_set_app_data(ssl, wants_ours) != 1 ||
        (!target->is_address && SSL_set_tlsext_host_name(ssl, target->host) != 1)) {
        SSL_free(ssl);
        ssl = NULL;
    }
out:
    BIO_free(in);
    BIO_free(out);
    SSL_CTX_free(context);
    return ssl;
}

static kw_status look(const SSL *ssl, struct probe *probe, kw_error *error)
{
    if (probe->certificate == NULL)
        return error_set(error, KW_FAILED, "the server shows no certificate");
    snprintf(probe->protocol, sizeof(probe->protocol), "%s", SSL_get_version(ssl));
    snprintf(probe->cipher, sizeof(probe->cipher), "%s", SSL_get_cipher_name(ssl));
    return KW_OK;
}

/*
 * Whether the server has proved by now that it has the key: a server that wants a client's certificate has signed for an ephemeral key before
 * that (RFC 5246 section 7.4.3, RFC 8446 section 4.4.3). With RSA key exchange only the end of the handshake would prove it.
 */
static bool has_signed(const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    const int exchange = cipher != NULL ? SSL_CIPHER_get_kx_nid(cipher) : NID_undef;
    return exchange == NID_kx_ecdhe || exchange == NID_kx_dhe;
}

kw_status probe_run(struct crypto *crypto, const struct probe_target *target, unsigned timeout_ms, struct probe *probe,
                    kw_error *error)
{
    struct connection connection = {
        .target = target, .deadline = clock_milliseconds() + timeout_ms, .timeout_ms = timeout_ms, .socket = -1};
    struct probe made = {0};
    bool wants_ours = false;
    SSL *ssl = NULL;
    kw_status status = connect_any(&connection, made.address, error);
    if (status != KW_OK)
        goto out;
    ssl = new_session(crypto, target, &made, &wants_ours);
    status = ssl != NULL ? shake_hands(&connection, ssl, error)
                         : crypto_error(error, KW_FAILED, "libssl cannot begin a TLS session");
    /* Without a client's certificate some servers end it here; theirs has been seen, and its key has signed. */
    if (status == KW_FAILED && wants_ours && made.certificate != NULL && has_signed(ssl))
        status = error_tolerate(status, KW_FAILED, error);
    if (status == KW_OK)
        status = look(ssl, &made, error);
    if (status != KW_OK)
        goto out;
    if (SSL_is_init_finished(ssl)) {
        SSL_shutdown(ssl);
        (void)!send_all(&connection, ssl, NULL);
    }
    ERR_clear_error();
    *probe = made;
    made = (struct probe){0};
out:
    if (status != KW_OK)
        error_where(error, "%s:%s", target->host, target->port);
    if (connection.socket >= 0)
        close(connection.socket);
    SSL_free(ssl);
    probe_clear(&made);
    return status;
}

void probe_clear(struct probe *probe)
{
    probe_clear_certificate(probe);
    *probe = (struct probe){0};
}
