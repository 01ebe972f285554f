#include "tls/probe.h"

#include "tls/stream.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAXIMUM 65535

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

/* A name's dot at its end is no part of it for certificates and SNI. */
static void take_host(struct probe_target *target)
{
    const size_t length = strlen(target->host);
    target->is_address = is_address(target->host);
    if (length > 1 && target->host[length - 1] == '.' && !target->is_address)
        target->host[length - 1] = '\0';
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
    take_host(&read);
    if (bracketed ? !read.is_address : !is_name(read.host))
        return malformed(text, error);
    *target = read;
    return KW_OK;
}

kw_status probe_parse_host(const char *text, struct probe_target *target, kw_error *error)
{
    struct probe_target read = {0};
    if (strlen(text) <= PROBE_HOST_MAXIMUM) {
        memcpy(read.host, text, strlen(text) + 1);
        take_host(&read);
    }
    if (!read.is_address && !is_name(read.host)) {
        error_set(error, KW_INVALID_ARGUMENT, "'%s' is neither a host's name nor an address", text);
        error_remedy(error, "write it without brackets and port, such as server.example or 2001:db8::1");
        return KW_INVALID_ARGUMENT;
    }
    *target = read;
    return KW_OK;
}

/* ---- The handshake ---- */

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
static kw_status begin(struct crypto *crypto, const struct probe_target *target, struct probe *probe, bool *wants_ours,
                       struct stream *stream, kw_error *error)
{
    kw_status status = KW_OK;
    crypto_enter();
    SSL_CTX *context = SSL_CTX_new_ex(crypto->library, NULL, TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        status = crypto_error(error, KW_FAILED, "libssl cannot begin a TLS session");
        goto out;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_cert_verify_callback(context, keep_certificate, probe);
    SSL_CTX_set_client_cert_cb(context, no_certificate);
    SSL_CTX_set_security_level(context, 1);
    status = stream_begin_tls(stream, context, error);
    if (status == KW_OK && (SSL_set_app_data(stream->ssl, wants_ours) != 1 ||
                            (!target->is_address && SSL_set_tlsext_host_name(stream->ssl, target->host) != 1)))
        status = crypto_error(error, KW_FAILED, "libssl cannot begin a TLS session");
out:
    SSL_CTX_free(context);
    crypto_leave();
    return status;
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
    struct probe made = {0};
    struct wire wire;
    struct stream stream = {.wire = &wire};
    bool wants_ours = false;
    wire_begin(&wire, timeout_ms);
    kw_status status = wire_connect(&wire, target->host, target->port, error);
    if (status == KW_OK)
        status = begin(crypto, target, &made, &wants_ours, &stream, error);
    if (status != KW_OK)
        goto out;
    status = stream_shake_hands(&stream, error);
    if (stream.end == STREAM_TLS_FAILED)
        status = handshake_failed(error);
    /* Without a client's certificate some servers end it here; theirs has been seen, and its key has signed. */
    if (status == KW_FAILED && wants_ours && made.certificate != NULL && has_signed(stream.ssl))
        status = error_tolerate(status, KW_FAILED, error);
    if (status == KW_OK)
        status = look(stream.ssl, &made, error);
    if (status != KW_OK)
        goto out;
    memcpy(made.address, wire.address, sizeof(made.address));
    *probe = made;
    made = (struct probe){0};
out:
    if (status != KW_OK)
        error_where(error, "%s:%s", target->host, target->port);
    stream_clear(&stream);
    wire_close(&wire);
    probe_clear(&made);
    return status;
}

void probe_clear(struct probe *probe)
{
    probe_clear_certificate(probe);
    *probe = (struct probe){0};
}
