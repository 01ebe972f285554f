/* A server's side: kw_tls_server. */
#include "base/options.h"
#include "tls/side.h"

#include <string.h>

#define ADDRESS_DEFAULT "ssl-connection"

/* A session goes on where it began: not at another address of this process. */
static kw_status mark_sessions(struct crypto *crypto, SSL_CTX *context, const char *address, kw_error *error)
{
    unsigned char mark[SHA256_LENGTH];
    kw_status status = crypto_sha256(crypto, (kw_input){(const unsigned char *)address, strlen(address)}, mark, error);
    if (status == KW_OK && SSL_CTX_set_session_id_context(context, mark, sizeof(mark)) != 1)
        status = crypto_error(error, KW_FAILED, "libssl does not take the mark of sessions");
    return status;
}

kw_status tls_server(kw_context *view, const kw_tls_server_options *given, identity_reader read, SSL_CTX **tls,
                     kw_error *error)
{
    kw_tls_server_options options;
    SSL_CTX *made = NULL;
    struct side *side = NULL;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status != KW_OK)
        return status;
    const char *address = options.address != NULL ? options.address : ADDRESS_DEFAULT;
    status = side_new(view->crypto, TLS_server_method(), &made, &side, error);
    if (status == KW_OK)
        status = side_bear(made, side, view, address, read, error);
    if (status == KW_OK)
        status = mark_sessions(view->crypto, made, address, error);
    if (status == KW_OK) {
        *tls = made;
        made = NULL;
    }
    side_free_context(made);
    return status;
}
