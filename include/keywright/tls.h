/*
 * tls.h: TLS for servers and clients, with keys that stay in their store. Part of keywright.h, whose conventions hold here.
 *
 * Each function makes an SSL_CTX of OpenSSL, which is the caller's: its options, ciphers, ALPN, session cache and SSL_set_fd are set and used as
 * with any other. It is freed by SSL_CTX_free. It uses libcrypto in a library context of its own, so nothing of the program's configuration
 * of OpenSSL, but the system's policy for TLS, bears on it.
 *
 * What both set: TLS 1.2 at least (more where the system's policy wants it), 1.3 where the other side has it; security level 2 at least (RSA of
 * 2048 bits, no SHA-1); of TLS 1.2 only what has forward secrecy and authenticated encryption; no renegotiation.
 *
 * Threads: one SSL_CTX serves any number of threads, as OpenSSL says; one SSL is one thread's at a time.
 * Life: an SSL_CTX that was given a kw_context, and every SSL of it, is freed before kw_close.
 * Forks: a child goes on with the SSL_CTX that it inherits. Where other threads may be within libssl when the process forks, the child makes
 * one of its own, since libssl's locks are as they were in that moment.
 */
#ifndef KEYWRIGHT_TLS_H
#define KEYWRIGHT_TLS_H

#include <keywright/trust.h>

#ifdef __cplusplus
extern "C" {
#endif

/* OpenSSL's, by their names in C: a program that calls SSL_... includes <openssl/ssl.h> and links with libssl. */
struct ssl_ctx_st; /* SSL_CTX */
struct ssl_st;     /* SSL */

typedef struct kw_tls_server_options {
    size_t size;
    const char *address; /* whose certificate and key; NULL: ssl-connection */
} kw_tls_server_options;

/*
 * An SSL_CTX for a server (SSL_set_accept_state): shows the certificate of the address with its chain, and signs with its key where that is: one
 * signature, and nothing else, is asked of the store in a full handshake.
 *
 * An import, a rotation or a transfer, of whatever process, is followed: connections that begin from then on have the new
 * certificate. Looking for one is one atomic load in each handshake. One that cannot be had (the log says why) leaves the former in use,
 * and is tried again at most once a second. The SSL_CTX itself has no certificate, each SSL is given one when its handshake begins; so
 * SSL_CTX_check_private_key fails, and SSL_get_certificate answers. A store that is away fails handshakes (SSL_ERROR_SSL, and the store's reason in
 * ERR_get_error's queue; the client gets an alert) until it is back; nothing needs to be made anew.
 *
 * Clients' certificates are the caller's to ask for (SSL_CTX_load_verify_file, SSL_CTX_set_verify); sessions that are resumed are marked by the address.
 *
 * Errors: KW_NOT_FOUND (no such certificate, or its key is not in its store), KW_INVALID_ARGUMENT (address), KW_REFUSED (not a TLS server's: its
 * extended key usage lacks serverAuth, or its key usage digitalSignature), KW_UNSUPPORTED (the key cannot sign), KW_CORRUPT, and whatever its store
 * answers: KW_UNAVAILABLE, KW_SECRET_REFUSED, ... `*tls` is untouched then.
 */
KW_MUST_USE KW_API kw_status kw_tls_server(kw_context *context, const kw_tls_server_options *options,
                                           struct ssl_ctx_st **tls, kw_error *error);

typedef struct kw_tls_client_options {
    size_t size;
    const char *const *ca_files; /* certificates that are trusted: PEM, DER or PKCS#7 */
    size_t ca_file_count;
    bool
        no_system_roots; /* trust those alone, and not what openssl trusts on this system ($SSL_CERT_FILE, $SSL_CERT_DIR) */
    const char *
        certificate; /* address whose certificate and key are shown to a server that asks; NULL: none. Needs a context */
} kw_tls_client_options;

/*
 * An SSL_CTX for a client (SSL_set_connect_state). It takes a server whose certificate has a path to one that is trusted, is valid now, is a TLS
 * server's, and is for the host that kw_tls_set_host (or SSL_set1_host) named. A connection for which none was named is refused: to be
 * trusted as somebody's is not to be trusted as anybody's. Refused is the handshake itself: SSL_connect fails, and kw_tls_report says why.
 *
 * `context` NULL: a program without configuration and keys. The certificate of `certificate` is renewed as a server's is.
 *
 * Errors: KW_INVALID_ARGUMENT (a certificate without a context), KW_NOT_FOUND (a file, or no such certificate), KW_CORRUPT (no certificate in a file),
 * KW_PERMISSION, KW_REFUSED (the certificate is not for TLS clients: an extended key usage without clientAuth, or a key usage without digitalSignature),
 * KW_UNSUPPORTED, and whatever its store answers.
 */
KW_MUST_USE KW_API kw_status kw_tls_client(kw_context *context, const kw_tls_client_options *options,
                                           struct ssl_ctx_st **tls, kw_error *error);

/*
 * Before the handshake: the server that is meant, a name or an IPv4 or IPv6 address without brackets. Its certificate must name it, and a name is sent
 * along (SNI, RFC 6066). Errors: KW_INVALID_ARGUMENT (can be in no certificate).
 */
KW_MUST_USE KW_API kw_status kw_tls_set_host(struct ssl_st *connection, const char *host, kw_error *error);

/*
 * What a client's handshake found, also one that was refused: the server's certificate and every reason why it is not trusted, judged anew; with
 * `text`, to be shown to a person (S7). Freed by kw_trust_report_free. `host` is what kw_tls_set_host named, else empty; `address` and `port` are the other end's
 * of a socket, else empty. Errors: KW_INVALID_ARGUMENT (not a connection of kw_tls_client's), KW_NOT_FOUND (no certificate has come yet: the
 * handshake failed before, or was not begun).
 */
KW_MUST_USE KW_API kw_status kw_tls_report(struct ssl_st *connection, kw_trust_report **report, kw_error *error);

#ifdef __cplusplus
}
#endif

#endif
