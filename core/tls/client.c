/* A client's side: kw_tls_client, and what its handshakes found. */
#include "base/options.h"
#include "tls/probe.h"
#include "tls/report.h"
#include "tls/side.h"
#include "tls/verdict.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- What a refused handshake leaves, on its SSL: libssl keeps a certificate only once it was taken ---- */

struct refused {
    X509 *certificate;
    STACK_OF(X509) *chain;
    const char *reason; /* of libcrypto: lives for ever */
};

static int refused_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void refused_free(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *argument)
{
    struct refused *refused = pointer;
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    if (refused == NULL)
        return;
    crypto_x509_free(refused->certificate);
    sk_X509_pop_free(refused->chain, crypto_x509_free);
    free(refused);
}

static void make_index(void)
{
    crypto_enter();
    refused_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, refused_free);
    crypto_leave();
}

static struct refused *refused_of(const SSL *connection)
{
    pthread_once(&once, make_index);
    return refused_index >= 0 ? SSL_get_ex_data(connection, refused_index) : NULL;
}

static void keep_refused(SSL *connection, X509_STORE_CTX *judging, const char *reason)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(judging);
    struct refused *made = calloc(1, sizeof(*made));
    if (made == NULL || refused_index < 0)
        goto out;
    made->certificate = X509_STORE_CTX_get0_cert(judging);
    if (made->certificate != NULL && X509_up_ref(made->certificate) != 1)
        made->certificate = NULL;
    made->chain = sent != NULL ? X509_chain_up_ref(sent) : NULL;
    made->reason = reason;
    refused_free(NULL, refused_of(connection), NULL, 0, 0, NULL);
    if (SSL_set_ex_data(connection, refused_index, made) == 1) {
        made = NULL;
        goto out;
    }
    (void)SSL_set_ex_data(connection, refused_index, NULL);
out:
    refused_free(NULL, made, NULL, 0, 0, NULL);
}

/* ---- Judging in the handshake ---- */

/* The address that the certificate must have; OPENSSL_free. That there is none libcrypto takes for an error. */
static char *address_wanted(X509_VERIFY_PARAM *parameters)
{
    ERR_set_mark();
    char *address = X509_VERIFY_PARAM_get1_ip_asc(parameters);
    ERR_pop_to_mark();
    return address;
}

static bool names_somebody(X509_VERIFY_PARAM *parameters)
{
    char *address = address_wanted(parameters);
    const bool named = address != NULL || X509_VERIFY_PARAM_get0_host(parameters, 0) != NULL;
    OPENSSL_free(address);
    return named;
}

/* libssl's own judgement, by all that the caller has set; but not for anybody, and what it refuses is kept to be shown. */
static int judge(X509_STORE_CTX *judging, void *user)
{
    SSL *connection = X509_STORE_CTX_get_ex_data(judging, SSL_get_ex_data_X509_STORE_CTX_idx());
    const char *reason = "no host was named that the certificate must be for, and so it could be anybody's";
    int trusted = 0;
    (void)user;
    if (names_somebody(X509_STORE_CTX_get0_param(judging))) {
        trusted = X509_verify_cert(judging);
        reason = X509_verify_cert_error_string(X509_STORE_CTX_get_error(judging));
    } else {
        X509_STORE_CTX_set_error(judging, X509_V_ERR_HOSTNAME_MISMATCH);
    }
    if (trusted != 1)
        keep_refused(connection, judging, reason);
    return trusted == 1;
}

/* ---- The SSL_CTX ---- */

/*
 * The library context of clients that have no kw_context. It stays for the life of the process, since libssl uses it until the very end of
 * SSL_CTX_free.
 */
static kw_status shared_crypto(struct crypto **crypto, kw_error *error)
{
    static _Atomic(struct crypto *) shared;
    struct crypto *present = atomic_load(&shared), *made = NULL;
    if (present == NULL) {
        kw_status status = crypto_open(&made, error);
        if (status != KW_OK)
            return status;
        if (atomic_compare_exchange_strong(&shared, &present, made))
            present = made;
        else
            crypto_close(made);
    }
    *crypto = present;
    return KW_OK;
}

static kw_status set_trust(struct crypto *crypto, const kw_tls_client_options *options, SSL_CTX *context,
                           kw_error *error)
{
    X509_STORE *store = NULL;
    kw_status status =
        verdict_store(crypto, options->ca_files, options->ca_file_count, !options->no_system_roots, &store, error);
    if (status != KW_OK)
        return status;
    SSL_CTX_set_cert_store(context, store);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(context, VERDICT_DEPTH_MAXIMUM);
    SSL_CTX_set_cert_verify_callback(context, judge, NULL);
    return KW_OK;
}

kw_status tls_client(kw_context *view, const kw_tls_client_options *given, identity_reader read, SSL_CTX **tls,
                     kw_error *error)
{
    kw_tls_client_options options;
    struct crypto *crypto = view != NULL ? view->crypto : NULL;
    SSL_CTX *made = NULL;
    struct side *side = NULL;
    kw_status status = options_take(&options, sizeof(options), given, error);
    pthread_once(&once, make_index);
    if (status == KW_OK && options.certificate != NULL && view == NULL)
        status = error_set(error, KW_INVALID_ARGUMENT, "a certificate of a store needs a context");
    if (status == KW_OK && crypto == NULL)
        status = shared_crypto(&crypto, error);
    if (status == KW_OK)
        status = side_new(crypto, TLS_client_method(), &made, &side, error);
    if (status != KW_OK)
        return status;
    side->is_client = true;
    status = set_trust(crypto, &options, made, error);
    if (status == KW_OK && options.certificate != NULL)
        status = side_bear(made, side, view, options.certificate, read, error);
    if (status == KW_OK) {
        *tls = made;
        made = NULL;
    }
    side_free_context(made);
    return status;
}

/* ---- A connection ---- */

kw_status kw_tls_set_host(SSL *connection, const char *host, kw_error *error)
{
    struct probe_target target;
    kw_status status = probe_parse_host(host != NULL ? host : "", &target, error);
    if (status != KW_OK)
        return status;
    if (!verdict_set_host(SSL_get0_param(connection), target.host, target.is_address))
        return crypto_error(error, KW_INVALID_ARGUMENT, "'%s' can be in no certificate", host);
    if (!target.is_address && SSL_set_tlsext_host_name(connection, target.host) != 1)
        return crypto_error(error, KW_INVALID_ARGUMENT, "'%s' cannot be sent to a server", host);
    return KW_OK;
}

/* The other end, when it is one of a socket with addresses. */
static void look_at_socket(const SSL *connection, char address[NI_MAXHOST], char port[NI_MAXSERV])
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(peer);
    const int descriptor = SSL_get_fd(connection);
    address[0] = port[0] = '\0';
    if (descriptor < 0 || getpeername(descriptor, (struct sockaddr *)&peer, &length) != 0 ||
        (peer.ss_family != AF_INET && peer.ss_family != AF_INET6) ||
        getnameinfo((const struct sockaddr *)&peer, length, address, NI_MAXHOST, port, NI_MAXSERV,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        address[0] = port[0] = '\0';
}

kw_status kw_tls_report(SSL *connection, kw_trust_report **report, kw_error *error)
{
    SSL_CTX *context = SSL_get_SSL_CTX(connection);
    const struct side *side = side_of(context);
    const struct refused *refused = refused_of(connection);
    char address[NI_MAXHOST], port[NI_MAXSERV];
    if (side == NULL || !side->is_client)
        return error_set(error, KW_INVALID_ARGUMENT, "it is not a connection of kw_tls_client");
    X509_VERIFY_PARAM *parameters = SSL_get0_param(connection);
    char *host_address = address_wanted(parameters);
    const char *name = host_address != NULL ? host_address : X509_VERIFY_PARAM_get0_host(parameters, 0);
    const char *cipher = SSL_get_cipher_name(connection);
    const struct seen seen = {
        .host = name != NULL ? name : "",
        .is_address = host_address != NULL,
        .port = port,
        .address = address,
        .protocol = SSL_get_version(connection),
        .cipher = cipher != NULL && strcmp(cipher, "(NONE)") != 0 ? cipher : "",
        .certificate = refused != NULL ? refused->certificate : SSL_get0_peer_certificate(connection),
        .chain = refused != NULL ? refused->chain : SSL_get_peer_cert_chain(connection),
        .refused = refused != NULL ? refused->reason : NULL,
    };
    kw_status status;
    look_at_socket(connection, address, port);
    if (seen.certificate == NULL)
        status = error_set(error, KW_NOT_FOUND, "the server has not shown a certificate yet");
    else
        status = report_make(side->crypto, SSL_CTX_get_cert_store(context), &seen, report, error);
    OPENSSL_free(host_address);
    return status;
}
