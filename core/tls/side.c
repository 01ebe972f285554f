#include "tls/side.h"

#include <pthread.h>
#include <stdlib.h>

#define SECURITY_LEVEL 2 /* RSA with 2048 bits, no SHA-1 */
/* Of TLS 1.2: forward secrecy, so that a key that is stolen later opens nothing, and no store ever decrypts for a handshake; and AEAD alone. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"

static int side_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void side_free(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *argument)
{
    struct side *side = pointer;
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    if (side != NULL)
        bearer_free(side->bearer);
    free(side);
}

static void make_index(void)
{
    crypto_enter();
    side_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, side_free);
    crypto_leave();
}

struct side *side_of(const SSL_CTX *context)
{
    pthread_once(&once, make_index);
    return side_index >= 0 ? SSL_CTX_get_ex_data(context, side_index) : NULL;
}

/* What the system's policy (openssl.cnf, system_default) wants beyond this stays. */
static bool set_floor(SSL_CTX *context)
{
    if (SSL_CTX_get_min_proto_version(context) < TLS1_2_VERSION &&
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        return false;
    if (SSL_CTX_get_security_level(context) < SECURITY_LEVEL)
        SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    return SSL_CTX_set_cipher_list(context, CIPHERS) == 1;
}

kw_status side_new(struct crypto *crypto, const SSL_METHOD *method, SSL_CTX **context, struct side **side,
                   kw_error *error)
{
    struct side *made = calloc(1, sizeof(*made));
    SSL_CTX *made_context = NULL;
    kw_status status = KW_OK;
    if (made == NULL)
        return error_memory(error);
    made->crypto = crypto;
    pthread_once(&once, make_index);
    crypto_enter();
    made_context = SSL_CTX_new_ex(crypto->library, NULL, method);
    if (made_context == NULL || !set_floor(made_context) || side_index < 0 ||
        SSL_CTX_set_ex_data(made_context, side_index, made) != 1) {
        status = crypto_error(error, KW_FAILED, "libssl cannot be set up for TLS 1.2 and newer");
        goto out;
    }
    *side = made;
    *context = made_context;
    made = NULL;
    made_context = NULL;
out:
    SSL_CTX_free(made_context);
    crypto_leave();
    free(made);
    return status;
}

void side_free_context(SSL_CTX *context)
{
    crypto_enter();
    SSL_CTX_free(context);
    crypto_leave();
}

kw_status side_bear(SSL_CTX *context, struct side *side, kw_context *view, const char *address, identity_reader read,
                    kw_error *error)
{
    const kw_status status = bearer_new(view, address, side->is_client ? IDENTITY_OF_CLIENT : IDENTITY_OF_SERVER, read,
                                        &side->bearer, error);
    if (status == KW_OK)
        SSL_CTX_set_cert_cb(context, bearer_present, side->bearer);
    return status;
}
