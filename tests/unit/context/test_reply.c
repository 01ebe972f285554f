/* The reply to a request (S5): two certificates with one key, in a store that keeps a certificate beside each key. */
#include "certificate/import.h"
#include "server.h"
#include "unit/certificate/authority.h"

#include "base/buffer.h"

#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WEB "general/web"

static EVP_PKEY *root_key;
static X509 *root;

static int start(void **state)
{
    static struct server server;
    unsigned char *der = NULL;
    server_write(&server, "  memory: {id: 0b1d02aa, plugin: " MODULES "/keywright-memory.so}\n"
                          "certificates:\n"
                          "  ssl-connection: {key: ec-p256}\n"
                          "  server-encryption: {key: ec-p256}\n"
                          "trust: {authorities: [root.der], system_roots: false}\n");
    const kw_open_options options = {.size = sizeof(options), .configuration = server.configuration};
    assert_ok(&server, kw_apply(&options, NULL, NULL, &server.error));
    server_reopen(&server);
    root_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    root =
        authority_issue(NULL, &(struct issue){.subject = "Root", .key = root_key, .extensions = authority_extensions});
    const int length = i2d_X509(root, &der);
    server_write_file(&server, "root.der", der, (size_t)length, 0600);
    OPENSSL_free(der);
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    X509_free(root);
    EVP_PKEY_free(root_key);
    server_stop(*state);
    return 0;
}

static void create(struct server *server, const char *store)
{
    const kw_certificate_template wanted = {.size = sizeof(wanted), .address = WEB, .key = "ec-p256", .store = store};
    assert_ok(server, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
}

/* What the CA answers to the request of the current certificate. */
static kw_bytes answer(struct server *server)
{
    struct found found = {0};
    X509 *own = NULL;
    kw_bytes der = {0};
    assert_ok(server, manager_find(server->context, WEB, &found, &server->error));
    kw_input chain = {found.certificate.chain.data, found.certificate.chain.length};
    assert_ok(server, x509_read(server->context->crypto, &chain, &own, &server->error));
    X509 *made = authority_issue(NULL, &(struct issue){.subject = "web",
                                                       .key = X509_get0_pubkey(own),
                                                       .issuer = root,
                                                       .issuer_key = root_key,
                                                       .extensions = server_extensions});
    assert_ok(server, x509_to_der(made, &der, &server->error));
    X509_free(made);
    X509_free(own);
    found_clear(&found);
    return der;
}

static kw_status import(struct server *server, const kw_bytes *der)
{
    const kw_import_options options = {
        .size = sizeof(options), .path = "the reply", .address = WEB, .content = {der->data, der->length}};
    return kw_import(server->context, &options, NULL, NULL, &server->error);
}

static kw_status use(struct server *server, const char *address)
{
    unsigned char bytes[512];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_key *key = NULL;
    kw_status status = kw_key_open(server->context, address, &key, &server->error);
    if (status == KW_OK)
        status = kw_key_sign(key, NULL, (kw_input){(const unsigned char *)"x", 1}, &signature, &server->error);
    kw_key_free(key);
    return status;
}

static void assert_store_has(struct server *server, const struct certificate_row *row, const kw_bytes *der)
{
    unsigned char bytes[4096];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    struct store *store = NULL;
    assert_ok(server, stores_get_by_id(server->context->stores, row->store_id, &store, &server->error));
    const kw_status status =
        store_certificate_get(store, (kw_input){row->locator, row->locator_length}, &output, &server->error);
    assert_int_equal(status, der != NULL ? KW_OK : KW_NOT_FOUND);
    if (der != NULL) {
        assert_int_equal(output.length, der->length);
        assert_memory_equal(bytes, der->data, der->length);
    }
}

static void reply_shares_the_key_and_each_goes_by_itself(void **state)
{
    struct server *server = *state;
    struct found former = {0}, current = {0};
    create(server, "memory");
    kw_bytes der = answer(server);
    assert_ok(server, manager_find(server->context, WEB, &former, &server->error));
    assert_ok(server, import(server, &der));
    assert_ok(server, manager_find(server->context, WEB, &current, &server->error));
    assert_int_equal(former.certificate.number, 1);
    assert_int_equal(current.certificate.number, 2);
    assert_true(id_equal(&former.certificate.key_id, &current.certificate.key_id));
    assert_int_equal(former.certificate.locator_length, current.certificate.locator_length);
    assert_memory_equal(former.certificate.locator, current.certificate.locator, current.certificate.locator_length);
    assert_store_has(server, &current.certificate, &der);
    assert_ok(server, use(server, WEB));
    assert_ok(server, use(server, WEB "@1"));
    /* What the first one's deletion leaves: the key, and the certificate beside it in the store. */
    assert_ok(server, kw_certificate_delete(server->context, WEB "@1", false, &server->error));
    assert_store_has(server, &current.certificate, &der);
    assert_ok(server, use(server, WEB));
    /* With the last certificate the key goes. */
    assert_ok(server, kw_certificate_delete(server->context, WEB, true, &server->error));
    assert_store_has(server, &current.certificate, NULL);
    assert_status(server, KW_NOT_FOUND, use(server, WEB));
    assert_status(server, KW_NOT_FOUND, import(server, &der));
    kw_bytes_free(&der);
    found_clear(&former);
    found_clear(&current);
}

/* Only the CA makes a certificate for another key. Both certificates of the key move with it. */
static void key_of_a_reply_is_not_rotated_and_moves_with_both_certificates(void **state)
{
    struct server *server = *state;
    const char *address = WEB;
    const kw_rotate_options rotation = {.size = sizeof(rotation), .address = WEB, .new_key = true};
    const kw_transfer_options transfer = {
        .size = sizeof(transfer), .addresses = &address, .address_count = 1, .store = "memory"};
    struct found former = {0}, current = {0};
    create(server, "local");
    kw_bytes der = answer(server);
    assert_ok(server, import(server, &der));
    assert_status(server, KW_REFUSED, kw_rotate(server->context, &rotation, NULL, NULL, &server->error));
    assert_ok(server, kw_transfer(server->context, &transfer, NULL, NULL, &server->error));
    assert_ok(server, manager_find(server->context, WEB "@1", &former, &server->error));
    assert_ok(server, manager_find(server->context, WEB, &current, &server->error));
    assert_string_equal(former.certificate.store_id, "0b1d02aa");
    assert_string_equal(current.certificate.store_id, "0b1d02aa");
    assert_memory_equal(former.certificate.locator, current.certificate.locator, current.certificate.locator_length);
    assert_store_has(server, &current.certificate, &der); /* the current one is beside the key */
    assert_ok(server, use(server, WEB));
    assert_ok(server, use(server, WEB "@1"));
    found_clear(&former);
    found_clear(&current);
    kw_bytes_free(&der);
}

static void reply_to_a_key_that_went_meanwhile_is_a_conflict(void **state)
{
    struct server *server = *state;
    create(server, "local");
    struct importing importing = {.context = server->context, .reply = {.number = 1, .locator_length = 4}};
    struct found found = {0};
    assert_ok(server, manager_find(server->context, WEB, &found, &server->error));
    importing.reply.store_id = found.certificate.store_id;
    memcpy(importing.reply.locator, "none", 4);
    assert_status(server, KW_CONFLICT, reply_check_key(&importing, &server->error));
    memcpy(importing.reply.locator, found.certificate.locator, found.certificate.locator_length);
    importing.reply.locator_length = found.certificate.locator_length;
    assert_ok(server, reply_check_key(&importing, &server->error));
    found_clear(&found);
}

/* A deletion of the former certificate that dies half-way: who finishes it sees that the key has another. */
static void die_in_the_middle_of_a_deletion(struct server *server)
{
    struct found found = {0};
    struct store *store = NULL;
    struct key_arrival departure = {0};
    kw_context *context = server->context;
    if (manager_find(context, WEB "@1", &found, NULL) != KW_OK ||
        stores_get_by_id(context->stores, found.certificate.store_id, &store, NULL) != KW_OK ||
        journal_own(context, NULL) != KW_OK || catalogue_begin(context->catalogue, NULL) != KW_OK ||
        key_departure_begin(context, &found, store, &departure, NULL) != KW_OK ||
        catalogue_certificate_delete(context->catalogue, &found.certificate.id, NULL) != KW_OK ||
        catalogue_commit(context->catalogue, NULL) != KW_OK)
        _exit(1);
    kill(getpid(), SIGKILL);
}

static void deletion_that_died_leaves_the_shared_key(void **state)
{
    struct server *server = *state;
    int result = 0;
    create(server, "local");
    kw_bytes der = answer(server);
    assert_ok(server, import(server, &der));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        die_in_the_middle_of_a_deletion(server);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
    server_reopen(server);
    assert_status(server, KW_NOT_FOUND, use(server, WEB "@1"));
    assert_ok(server, use(server, WEB));
    kw_bytes_free(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reply_shares_the_key_and_each_goes_by_itself, start, stop),
        cmocka_unit_test_setup_teardown(key_of_a_reply_is_not_rotated_and_moves_with_both_certificates, start, stop),
        cmocka_unit_test_setup_teardown(reply_to_a_key_that_went_meanwhile_is_a_conflict, start, stop),
        cmocka_unit_test_setup_teardown(deletion_that_died_leaves_the_shared_key, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
