#include "handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

void ends_open(struct ends *ends, SSL_CTX *server, SSL_CTX *client, const char *host)
{
    kw_error error = {0};
    *ends = (struct ends){.server = SSL_new(server), .client = SSL_new(client)};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends->sockets), 0);
    assert_true(ends->server != NULL && ends->client != NULL);
    assert_int_equal(SSL_set_fd(ends->server, ends->sockets[0]), 1);
    assert_int_equal(SSL_set_fd(ends->client, ends->sockets[1]), 1);
    SSL_set_accept_state(ends->server);
    SSL_set_connect_state(ends->client);
    if (host != NULL)
        assert_int_equal(kw_tls_set_host(ends->client, host, &error), KW_OK);
}

/* Whether it goes on. */
static bool step(SSL *end, bool *done)
{
    if (*done)
        return true;
    ERR_clear_error();
    const int result = SSL_do_handshake(end);
    *done = result == 1;
    const int why = SSL_get_error(end, result);
    return *done || why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

bool ends_shake(struct ends *ends)
{
    bool server = false, client = false;
    for (int i = 0; i < 100 && !(server && client); i++)
        if (!step(ends->client, &client) || !step(ends->server, &server))
            return false;
    return server && client;
}

static void carry(SSL *from, SSL *to)
{
    char byte = 'x', got = 0;
    assert_int_equal(SSL_write(from, &byte, 1), 1);
    assert_int_equal(SSL_read(to, &got, 1), 1);
    assert_int_equal(got, byte);
}

void ends_talk(struct ends *ends)
{
    carry(ends->server, ends->client);
    carry(ends->client, ends->server);
}

bool ends_renegotiate(struct ends *ends)
{
    char byte;
    assert_int_equal(SSL_version(ends->client), TLS1_2_VERSION);
    assert_int_equal(SSL_renegotiate(ends->server), 1);
    for (int i = 0; i < 10; i++) {
        ERR_clear_error();
        (void)!SSL_do_handshake(ends->server);
        (void)!SSL_read(ends->client, &byte, 1);
        (void)!SSL_read(ends->server, &byte, 1);
    }
    return SSL_num_renegotiations(ends->client) > 0;
}

void ends_close(struct ends *ends)
{
    SSL_free(ends->server);
    SSL_free(ends->client);
    close(ends->sockets[0]);
    close(ends->sockets[1]);
    ERR_clear_error();
}

SSL_CTX *plain_server(X509 *certificate, X509 *issuer, EVP_PKEY *key)
{
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    assert_non_null(made);
    assert_int_equal(SSL_CTX_use_certificate(made, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(made, key), 1);
    if (issuer != NULL)
        assert_int_equal(SSL_CTX_add1_chain_cert(made, issuer), 1);
    return made;
}
