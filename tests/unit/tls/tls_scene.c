#include "tls_scene.h"

#include "base/buffer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct tls_scene scene;

static const char configured[] = "  first:\n"
                                 "    id: a1111111\n"
                                 "    plugin: " MODULES "/keywright-frail.so\n"
                                 "    options: {passphrase: file:passphrase, scrypt_log2_n: 14, control: first.order}\n"
                                 "certificates:\n"
                                 "  ssl-connection: {key: ec-p256, hosts: [" HOST ", 192.0.2.7]}\n"
                                 "  server-encryption: {key: ec-p256}\n"
                                 "trust: {authorities: [root.der], system_roots: false}\n";

static void write_certificate(const char *name, X509 *certificate)
{
    unsigned char *der = NULL;
    const int length = i2d_X509(certificate, &der);
    assert_true(length > 0);
    server_write_file(&scene.server, name, der, (size_t)length, 0600);
    OPENSSL_free(der);
}

int tls_scene_open(void **state)
{
    struct server *server = &scene.server;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration};
    (void)state;
    server_write(server, configured);
    scene.root_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    scene.middle_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    scene.root = authority_issue(
        NULL, &(struct issue){.subject = "Root", .key = scene.root_key, .extensions = authority_extensions});
    scene.middle = authority_issue(NULL, &(struct issue){.subject = "Middle",
                                                         .key = scene.middle_key,
                                                         .issuer = scene.root,
                                                         .issuer_key = scene.root_key,
                                                         .extensions = authority_extensions});
    write_certificate("root.der", scene.root);
    assert_ok(server, kw_apply(&options, NULL, NULL, &server->error));
    server_reopen(server);
    kw_bytes own = {0};
    assert_ok(server, kw_trust_export(server->context, KW_TRUST_PEM, &own, &server->error));
    server_write_file(server, "own.pem", own.data, own.length, 0600);
    kw_bytes_free(&own);
    return 0;
}

int tls_scene_close(void **state)
{
    (void)state;
    X509_free(scene.root);
    X509_free(scene.middle);
    EVP_PKEY_free(scene.root_key);
    EVP_PKEY_free(scene.middle_key);
    server_stop(&scene.server);
    return 0;
}

void tls_scene_create(const char *address, const char *key, const char *store, const char *usage)
{
    const char *host = HOST;
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = address,
        .key = key,
        .store = store,
        .hosts = &host,
        .host_count = 1,
        .extended_key_usages = &usage,
        .extended_key_usage_count = usage != NULL ? 1 : 0,
    };
    assert_ok(&scene.server, kw_certificate_create(scene.server.context, &wanted, NULL, NULL, &scene.server.error));
}

static kw_bytes pem_of(X509 *const *certificates, size_t count, EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *data = NULL;
    kw_bytes bytes = {0};
    struct buffer copy = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(PEM_write_bio_X509(out, certificates[i]), 1);
    if (key != NULL)
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    const long length = BIO_get_mem_data(out, &data);
    buffer_append(&copy, data, (size_t)length);
    assert_int_equal(buffer_take(&copy, &bytes), KW_OK);
    BIO_free(out);
    return bytes;
}

void tls_scene_import(kw_context *context, const char *address, const char *name, const char *key)
{
    EVP_PKEY *made_key = strcmp(key, "rsa") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                                 : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    const struct extension names[] = {{NID_subject_alt_name, "DNS:" HOST ",IP:192.0.2.7"}, {0, NULL}};
    X509 *made = authority_issue(NULL, &(struct issue){.subject = name,
                                                       .key = made_key,
                                                       .issuer = scene.middle,
                                                       .issuer_key = scene.middle_key,
                                                       .extensions = server_extensions,
                                                       .more = names});
    kw_bytes pem = pem_of((X509 *const[]){made, scene.middle}, 2, made_key);
    const kw_import_options options = {
        .size = sizeof(options), .path = "the CA's", .address = address, .content = {pem.data, pem.length}};
    assert_ok(&scene.server, kw_import(context, &options, NULL, NULL, &scene.server.error));
    kw_bytes_free(&pem);
    X509_free(made);
    EVP_PKEY_free(made_key);
}

SSL_CTX *tls_scene_server(const char *address)
{
    const kw_tls_server_options options = {.size = sizeof(options), .address = address};
    SSL_CTX *made = NULL;
    assert_ok(&scene.server, kw_tls_server(scene.server.context, &options, &made, &scene.server.error));
    return made;
}

SSL_CTX *tls_scene_client(const char *file)
{
    const char *path = file != NULL ? server_path(&scene.server, file) : NULL;
    const kw_tls_client_options options = {
        .size = sizeof(options), .ca_files = &path, .ca_file_count = file != NULL ? 1 : 0, .no_system_roots = true};
    SSL_CTX *made = NULL;
    assert_ok(&scene.server, kw_tls_client(NULL, &options, &made, &scene.server.error));
    return made;
}

SSL_CTX *tls_scene_trusting(void)
{
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    assert_non_null(made);
    return made;
}

const char *tls_scene_shown(SSL_CTX *server)
{
    static char name[200];
    SSL_CTX *client = tls_scene_trusting();
    struct ends ends;
    ends_open(&ends, server, client, NULL);
    assert_true(ends_shake(&ends));
    ends_talk(&ends);
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ends.client)), NID_commonName,
                                          name, sizeof(name)) > 0);
    ends_close(&ends);
    SSL_CTX_free(client);
    return name;
}

void tls_scene_order(const char *order)
{
    if (order == NULL)
        (void)unlink(server_path(&scene.server, "first.order"));
    else
        server_write_file(&scene.server, "first.order", order, strlen(order), 0600);
}
