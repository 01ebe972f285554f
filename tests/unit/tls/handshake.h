/* Two ends of TLS in one thread, on a socketpair: what a handshake comes to. */
#ifndef TEST_HANDSHAKE_H
#define TEST_HANDSHAKE_H

#include "unit/context/server.h"

#include <openssl/ssl.h>

struct ends {
    SSL *server, *client;
    int sockets[2];
};

/* Not begun yet. `host` NULL: none is named. */
void ends_open(struct ends *ends, SSL_CTX *server, SSL_CTX *client, const char *host);
/* Both go on until both are done, or one fails. Whether both are done; the queue of errors is left as the failure left it. */
bool ends_shake(struct ends *ends);
/* A byte each way, which also brings TLS 1.3's tickets; asserts that it arrives. */
void ends_talk(struct ends *ends);
/* TLS 1.2: the server asks for another handshake; whether the client begins one. */
bool ends_renegotiate(struct ends *ends);
void ends_close(struct ends *ends);

/* An SSL_CTX of plain libssl with a certificate and a key. */
SSL_CTX *plain_server(X509 *certificate, X509 *issuer, EVP_PKEY *key);

#endif
