/* kw_tls_client: whom it trusts, what it says of those that it does not (S7), and the certificate that it shows. */
#include "tls_scene.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

/* A server's certificate of its own, or of the CA's intermediate. */
static SSL_CTX *shows(const char *name, long from, long to, bool issued, bool with_issuer)
{
    const struct extension names[] = {{NID_subject_alt_name, "DNS:" HOST ",IP:192.0.2.7"}, {0, NULL}};
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *made = authority_issue(NULL, &(struct issue){.subject = name,
                                                       .key = key,
                                                       .issuer = issued ? scene.middle : NULL,
                                                       .issuer_key = issued ? scene.middle_key : NULL,
                                                       .extensions = server_extensions,
                                                       .more = names,
                                                       .from = from,
                                                       .to = to});
    SSL_CTX *server = plain_server(made, with_issuer ? scene.middle : NULL, key);
    X509_free(made);
    EVP_PKEY_free(key);
    return server;
}

static void assert_says(const kw_trust_report *report, const char *part)
{
    if (strstr(report->text, part) == NULL)
        print_error("'%s' is not in: %s\n", part, report->text);
    assert_non_null(strstr(report->text, part));
}

/* Refused in the handshake, with these codes; `says` stands in the text too. Frees the server's SSL_CTX. */
static void refuses(SSL_CTX *server, const char *trusted, const char *host, const char *codes, const char *says)
{
    SSL_CTX *client = tls_scene_client(trusted);
    kw_trust_report *report = NULL;
    struct ends ends;
    char found[200] = "";
    ends_open(&ends, server, client, host);
    assert_status(&scene.server, KW_NOT_FOUND, kw_tls_report(ends.client, &report, &scene.server.error));
    assert_false(ends_shake(&ends));
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_CERTIFICATE_VERIFY_FAILED);
    assert_ok(&scene.server, kw_tls_report(ends.client, &report, &scene.server.error));
    assert_false(report->trusted);
    for (size_t i = 0; i < report->problem_count; i++)
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i > 0 ? " " : "",
                 report->problems[i].code);
    assert_string_equal(found, codes);
    assert_int_equal(strncmp(report->text,
                             "This connection is not trusted!\n"
                             "The connection to the server is not considered secure.\n\n"
                             "Reason        ",
                             strlen("This connection is not trusted!\n"
                                    "The connection to the server is not considered secure.\n\n"
                                    "Reason        ")),
                     0);
    assert_says(report, says);
    assert_says(report, "\nSubject       CN=");
    assert_says(report, "\nNames         DNS:" HOST "\n");
    assert_string_equal(report->host, host != NULL ? host : "");
    kw_trust_report_free(report);
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void client_refuses_whom_it_does_not_trust(void **state)
{
    (void)state;
    refuses(shows("Own", 0, 0, false, false), NULL, HOST, "self-signed",
            "here, as root: `keywright trust install server.pem`.");
    refuses(shows("Own", 0, 0, false, false), NULL, "other.example", "self-signed name-mismatch",
            "not for this name, but for " HOST ", 192.0.2.7");
    refuses(shows("Issued", 0, 0, true, false), "root.der", HOST, "unknown-issuer",
            "unable to get local issuer certificate: CN=Middle");
    refuses(shows("Issued", 0, 0, true, true), NULL, HOST, "unknown-issuer",
            "unable to get local issuer certificate: CN=Root");
    refuses(shows("Issued", 0, 0, true, true), "root.der", "www." HOST, "name-mismatch", "To mend it    Connect by");
    refuses(shows("Issued", 0, 0, true, true), "root.der", "192.0.2.8", "name-mismatch", "not for this address");
    refuses(shows("Past", -20 * DAY, -DAY, true, true), "root.der", HOST, "expired", "it was valid until");
    refuses(shows("Future", DAY, 20 * DAY, true, true), "root.der", HOST, "not-yet-valid", "is not valid before");
    /* Nobody was named: it could be anybody's. */
    refuses(shows("Issued", 0, 0, true, true), "root.der", NULL, "verification", "no host was named");
}

/* What libssl finds beyond our own words is a reason too. */
static void client_refuses_by_what_its_program_demands(void **state)
{
    SSL_CTX *client = tls_scene_client("root.der"), *server = shows("Issued", 0, 0, true, true);
    kw_trust_report *report = NULL;
    struct ends ends;
    (void)state;
    X509_STORE_set_flags(SSL_CTX_get_cert_store(client), X509_V_FLAG_CRL_CHECK);
    ends_open(&ends, server, client, HOST);
    X509_VERIFY_PARAM_set_flags(SSL_get0_param(ends.client), X509_V_FLAG_CRL_CHECK);
    assert_false(ends_shake(&ends));
    assert_ok(&scene.server, kw_tls_report(ends.client, &report, &scene.server.error));
    assert_false(report->trusted);
    assert_says(report, "unable to get certificate CRL");
    kw_trust_report_free(report);
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void takes(const char *trusted, const char *host, const char *named)
{
    SSL_CTX *client = tls_scene_client(trusted), *server = shows("Issued", 0, 0, true, true);
    kw_trust_report *report = NULL;
    struct ends ends;
    ends_open(&ends, server, client, host);
    assert_true(ends_shake(&ends));
    ends_talk(&ends);
    assert_ok(&scene.server, kw_tls_report(ends.client, &report, &scene.server.error));
    assert_true(report->trusted);
    assert_int_equal(report->problem_count, 0);
    assert_string_equal(report->protocol, "TLSv1.3");
    assert_string_equal(report->certificate->subject, "CN=Issued");
    assert_int_equal(report->certificate->chain_count, 2);
    assert_int_equal(strncmp(report->text, "This connection is trusted.\n", 28), 0);
    /* The name goes along, an address does not (RFC 6066 section 3). */
    const char *sent = SSL_get_servername(ends.server, TLSEXT_NAMETYPE_host_name);
    if (named != NULL)
        assert_string_equal(sent, named);
    else
        assert_null(sent);
    kw_trust_report_free(report);
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void client_takes_whom_it_trusts(void **state)
{
    (void)state;
    takes("root.der", HOST, HOST);
    takes("root.der", HOST ".", HOST);
    takes("root.der", "SERVER.example", "SERVER.example");
    takes("root.der", "192.0.2.7", NULL);
}

static void client_speaks_nothing_older_than_1_2(void **state)
{
    SSL_CTX *client = tls_scene_client("root.der"), *server = shows("Issued", 0, 0, true, true);
    struct ends ends;
    (void)state;
    SSL_CTX_set_security_level(server, 0);
    SSL_CTX_set_min_proto_version(server, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(server, TLS1_1_VERSION);
    ends_open(&ends, server, client, HOST);
    assert_false(ends_shake(&ends));
    ends_close(&ends);
    SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
    ends_open(&ends, server, client, HOST);
    assert_true(ends_shake(&ends));
    assert_string_equal(SSL_get_version(ends.client), "TLSv1.2");
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

/* ---- A client's certificate ---- */

static const char *shown_by(SSL_CTX *server, SSL_CTX *client)
{
    static char name[200];
    struct ends ends;
    ends_open(&ends, server, client, HOST);
    const bool done = ends_shake(&ends);
    X509 *certificate = done ? SSL_get0_peer_certificate(ends.server) : NULL;
    name[0] = '\0';
    if (certificate != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
    ends_close(&ends);
    return done ? name : NULL;
}

static int take_any(int ok, X509_STORE_CTX *context)
{
    (void)ok;
    (void)context;
    return 1;
}

static bool renegotiates(SSL_CTX *client)
{
    SSL_CTX *server = shows("Issued", 0, 0, true, true);
    struct ends ends;
    SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
    ends_open(&ends, server, client, HOST);
    assert_true(ends_shake(&ends));
    const bool did = ends_renegotiate(&ends);
    ends_close(&ends);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    return did;
}

static void client_never_renegotiates(void **state)
{
    (void)state;
    assert_true(renegotiates(tls_scene_trusting()));
    assert_false(renegotiates(tls_scene_client("root.der")));
}

static void client_shows_a_certificate_of_a_store(void **state)
{
    const char *root = server_path(&scene.server, "root.der");
    char path[160];
    snprintf(path, sizeof(path), "%s", root);
    const char *const files[] = {path};
    const kw_tls_client_options options = {.size = sizeof(options),
                                           .ca_files = files,
                                           .ca_file_count = 1,
                                           .no_system_roots = true,
                                           .certificate = "general/db-client"};
    const kw_rotate_options rotate = {.size = sizeof(rotate), .address = "general/db-client", .new_key = true};
    SSL_CTX *client = NULL, *server = shows("Issued", 0, 0, true, true), *none = tls_scene_client("root.der");
    (void)state;
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
    tls_scene_create("general/db-client", "rsa-2048", NULL, "clientAuth");
    assert_ok(&scene.server, kw_tls_client(scene.server.context, &options, &client, &scene.server.error));
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(server, version);
        assert_string_equal(shown_by(server, client), "db-client");
        assert_null(shown_by(server, none));
    }
    assert_ok(&scene.server, kw_rotate(scene.server.context, &rotate, NULL, NULL, &scene.server.error));
    assert_string_equal(shown_by(server, client), "db-client");
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    SSL_CTX_free(none);
}

static void client_that_cannot_be_says_why(void **state)
{
    struct server *server = &scene.server;
    const char *path = "/nowhere/ca.pem";
    kw_tls_client_options options = {.size = sizeof(options), .ca_files = &path, .ca_file_count = 1};
    kw_trust_report *report = NULL;
    SSL_CTX *untouched = NULL;
    (void)state;
    assert_status(server, KW_NOT_FOUND, kw_tls_client(NULL, &options, &untouched, &server->error));
    char empty[160];
    server_write_file(server, "empty.pem", "", 0, 0600);
    snprintf(empty, sizeof(empty), "%s", server_path(server, "empty.pem"));
    path = empty;
    assert_status(server, KW_CORRUPT, kw_tls_client(NULL, &options, &untouched, &server->error));
    options = (kw_tls_client_options){.size = sizeof(options), .certificate = "general/none"};
    assert_status(server, KW_INVALID_ARGUMENT, kw_tls_client(NULL, &options, &untouched, &server->error));
    assert_status(server, KW_NOT_FOUND, kw_tls_client(server->context, &options, &untouched, &server->error));
    tls_scene_create("general/serves", "ec-p256", NULL, "serverAuth");
    options.certificate = "general/serves";
    assert_status(server, KW_REFUSED, kw_tls_client(server->context, &options, &untouched, &server->error));
    assert_non_null(strstr(server->error.message, "clientAuth"));
    assert_null(untouched);

    static const char *const hosts[] = {"", "[::1]", "server.example:443", "a host", "https://server.example"};
    SSL_CTX *client = tls_scene_client(NULL), *plain = tls_scene_trusting();
    SSL *connection = SSL_new(client), *other = SSL_new(plain);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        assert_status(server, KW_INVALID_ARGUMENT, kw_tls_set_host(connection, hosts[i], &server->error));
    assert_ok(server, kw_tls_set_host(connection, "2001:db8::1", &server->error));
    assert_status(server, KW_INVALID_ARGUMENT, kw_tls_report(other, &report, &server->error));
    SSL_free(connection);
    SSL_free(other);
    SSL_CTX_free(client);
    SSL_CTX_free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_refuses_whom_it_does_not_trust),
        cmocka_unit_test(client_refuses_by_what_its_program_demands),
        cmocka_unit_test(client_takes_whom_it_trusts),
        cmocka_unit_test(client_speaks_nothing_older_than_1_2),
        cmocka_unit_test(client_never_renegotiates),
        cmocka_unit_test(client_shows_a_certificate_of_a_store),
        cmocka_unit_test(client_that_cannot_be_says_why),
    };
    return cmocka_run_group_tests(tests, tls_scene_open, tls_scene_close);
}
