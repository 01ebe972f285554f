/* A server of the library with a CA beside it, for tests of TLS: `first` is a store that fails when it is told to. */
#ifndef TEST_TLS_SCENE_H
#define TEST_TLS_SCENE_H

#include "handshake.h"
#include "unit/certificate/authority.h"

#define HOST "server.example"

struct tls_scene {
    struct server server;
    EVP_PKEY *root_key, *middle_key;
    X509 *root, *middle;
};
extern struct tls_scene scene;

/* CMocka group fixtures. The CA's root is in root.der, and is trusted by the configuration. */
int tls_scene_open(void **state);
int tls_scene_close(void **state);

/* A certificate of one's own with the extended key usage, for HOST. */
void tls_scene_create(const char *address, const char *key, const char *store, const char *usage);
/* A certificate of the CA's (by way of its intermediate, which goes along) takes the place of the one at this address. Its common name is `name`. */
void tls_scene_import(kw_context *context, const char *address, const char *name, const char *key);
/* An SSL_CTX; must succeed. */
SSL_CTX *tls_scene_server(const char *address);
/* A client that trusts this file of the server's directory alone; NULL: nobody. */
SSL_CTX *tls_scene_client(const char *file);
/* A client that judges nobody. */
SSL_CTX *tls_scene_trusting(void);
/* The common name that the server shows, in a handshake that must work; good until the next call. */
const char *tls_scene_shown(SSL_CTX *server);
/* What `first` does from now on; NULL: what it should. */
void tls_scene_order(const char *order);

#endif
