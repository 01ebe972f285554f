/* Keys that other programs made, in a store that keeps a certificate beside each key. */
#include "certificate/manager.h"
#include "server.h"

#include "base/buffer.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store *memory(struct server *server)
{
    struct store *store = NULL;
    assert_ok(server, stores_get(server->context->stores, "memory", &store, &server->error));
    return store;
}

static int start(void **state)
{
    static struct server server;
    server_start(&server, "  memory: {id: 0b1d02aa, plugin: " MODULES "/keywright-memory.so}\n"
                          "certificates:\n"
                          "  ssl-connection: {key: ec-p256}\n"
                          "  server-encryption: {key: ec-p256}\n");
    *state = &server;
    return 0;
}

static int stop(void **state)
{
    server_stop(*state);
    return 0;
}

/* Another program makes a key; its locator, and as text. */
struct foreign {
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    kw_output locator;
    char text[2 * KW_LOCATOR_MAXIMUM + 1];
};

static void make_foreign(struct server *server, kw_key_type type, struct foreign *foreign)
{
    kw_key_template wanted = {.size = sizeof(wanted),
                              .type = type,
                              .curve = type == KW_KEY_EC ? KW_CURVE_P256 : KW_CURVE_NONE,
                              .operations = KW_CAN_SIGN | (type == KW_KEY_EC ? KW_CAN_DERIVE : 0),
                              .label = "theirs"};
    *foreign = (struct foreign){0};
    foreign->locator = (kw_output){.data = foreign->bytes, .capacity = sizeof(foreign->bytes)};
    assert_ok(server, crypto_random(server->context->crypto, wanted.id, sizeof(wanted.id), &server->error));
    assert_ok(server, store_key_generate(memory(server), &wanted, &foreign->locator, &server->error));
    hex_encode((kw_input){foreign->bytes, foreign->locator.length}, foreign->text);
}

/* Self-signed by the key where it is, and put beside it. */
static kw_bytes put_beside(struct server *server, const struct foreign *foreign, const char *kind_name,
                           const char *name, const char *unit)
{
    const kw_input locator = {foreign->bytes, foreign->locator.length};
    const struct kind *kind = NULL;
    struct address address = {0};
    kw_key *key = NULL;
    kw_bytes der = {0};
    assert_ok(server, address_parse(kind_name, &address, &server->error));
    assert_ok(server, kind_of(&address, &kind, &server->error));
    const struct x509_wanted wanted = {.kind = kind, .subject = {.common_name = name, .unit = unit}};
    assert_ok(server, key_open(memory(server), locator, &key, &server->error));
    assert_ok(server, x509_make(server->context->crypto, key, &wanted, &der, &server->error));
    assert_ok(server, store_certificate_put(memory(server), locator, (kw_input){der.data, der.length}, &server->error));
    kw_key_free(key);
    return der;
}

static kw_status adopt(struct server *server, const char *locator, const char *address)
{
    static const char *const databases[] = {"sales"};
    kw_adopt_options options = {.size = sizeof(options), .store = "memory", .locator = locator, .address = address};
    if (strncmp(address, "master-key/", 11) == 0) {
        options.databases = databases;
        options.database_count = 1;
    }
    return kw_adopt(server->context, &options, NULL, NULL, &server->error);
}

static size_t count_keys(struct server *server, kw_store_key *first)
{
    kw_store_key_list *list = NULL;
    assert_ok(server, kw_store_keys(server->context, "memory", &list, &server->error));
    const size_t count = list->count;
    if (first != NULL && count > 0) {
        *first = list->keys[0];
        first->locator = strdup(first->locator);
        first->subject = strdup(first->subject);
    }
    kw_store_key_list_free(list);
    return count;
}

/* What `show` tells of an entry's current certificate. */
static void assert_sha256(struct server *server, const char *address, const kw_bytes *der, bool same)
{
    unsigned char digest[SHA256_LENGTH];
    char hex[2 * SHA256_LENGTH + 1];
    const kw_certificate_filter filter = {.size = sizeof(filter), .address = address};
    kw_certificate_list *list = NULL;
    assert_ok(server,
              crypto_sha256(server->context->crypto, (kw_input){der->data, der->length}, digest, &server->error));
    hex_encode((kw_input){digest, sizeof(digest)}, hex);
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    assert_int_equal(strcmp(list->certificates[0].sha256, hex) == 0, same);
    kw_certificate_list_free(list);
}

static void assert_signs(struct server *server, const char *address)
{
    unsigned char bytes[256];
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_input message = input_text("an order");
    kw_key *key = NULL;
    assert_ok(server, kw_key_open(server->context, address, &key, &server->error));
    assert_ok(server, kw_key_sign(key, NULL, message, &signature, &server->error));
    assert_ok(server, kw_key_verify(key, NULL, message, (kw_input){bytes, signature.length}, &server->error));
    kw_key_free(key);
}

static void list_shows_keys_that_no_certificate_has(void **state)
{
    struct server *server = *state;
    struct foreign foreign;
    kw_store_key key = {0};
    const kw_certificate_template own = {
        .size = sizeof(own), .address = "database/own", .key = "ec-p256", .store = "memory"};
    assert_ok(server, kw_certificate_create(server->context, &own, NULL, NULL, &server->error));
    assert_int_equal(count_keys(server, NULL), 0);
    make_foreign(server, KW_KEY_EC, &foreign);
    kw_bytes der = put_beside(server, &foreign, "general/any", "theirs", NULL);
    assert_int_equal(count_keys(server, &key), 1);
    assert_string_equal(key.locator, foreign.text);
    assert_string_equal(key.key, "ec-p256");
    assert_string_equal(key.subject, "CN=theirs");
    assert_null(key.problem);
    free((char *)(uintptr_t)key.locator);
    free((char *)(uintptr_t)key.subject);
    kw_bytes_free(&der);
}

static void list_leaves_out_keys_that_are_under_way(void **state)
{
    struct server *server = *state;
    struct key_arrival arrival = {0};
    assert_ok(server, key_arrival_begin(server->context, "database/new", memory(server), "ec-p256", (kw_input){0},
                                        &arrival, &server->error));
    assert_int_equal(count_keys(server, NULL), 0);
    char text[2 * KW_LOCATOR_MAXIMUM + 1];
    hex_encode((kw_input){arrival.locator, arrival.locator_length}, text);
    assert_status(server, KW_EXISTS, adopt(server, text, "general/theirs"));
    key_arrival_abandon(server->context, &arrival);
}

/* Between the look at the journal and the transaction: it is looked at again. */
static void adopt_of_a_key_whose_deletion_began_meanwhile_is_refused(void **state)
{
    struct server *server = *state;
    struct foreign foreign;
    struct journal_row row = {.operation = JOURNAL_DELETE_KEY};
    const kw_certificate_template wanted = {
        .size = sizeof(wanted), .address = "general/theirs", .key = "ec-p256", .store = "memory"};
    make_foreign(server, KW_KEY_EC, &foreign);
    const struct making making = {.wanted = &wanted, .adopted = {foreign.bytes, foreign.locator.length}};
    assert_ok(server, id_make(server->context->crypto, &row.id, &server->error));
    assert_ok(server, id_make(server->context->crypto, &row.owner, &server->error));
    memcpy(row.locator, foreign.bytes, foreign.locator.length);
    row.locator_length = foreign.locator.length;
    row.address = strdup("general/before");
    row.store_id = strdup(store_id(memory(server)));
    assert_ok(server, catalogue_journal_insert(server->context->catalogue, &row, &server->error));
    assert_status(server, KW_EXISTS, certificate_make(server->context, &making, &server->error));
    assert_ok(server, catalogue_journal_delete(server->context->catalogue, &row.id, &server->error));
    assert_ok(server, certificate_make(server->context, &making, &server->error));
    journal_row_clear(&row);
}

static void adopt_without_a_certificate_makes_one(void **state)
{
    struct server *server = *state;
    struct foreign foreign;
    make_foreign(server, KW_KEY_EC, &foreign);
    assert_ok(server, adopt(server, foreign.text, "database/theirs"));
    assert_signs(server, "database/theirs");
    assert_int_equal(count_keys(server, NULL), 0);
    assert_status(server, KW_EXISTS, adopt(server, foreign.text, "general/again"));
    /* From now on it is as any other. */
    assert_ok(server, kw_certificate_delete(server->context, "database/theirs", true, &server->error));
    kw_key *key = NULL;
    assert_status(server, KW_NOT_FOUND,
                  key_open(memory(server), (kw_input){foreign.bytes, foreign.locator.length}, &key, &server->error));
}

static void adopt_takes_the_certificate_beside_where_it_fits(void **state)
{
    struct server *server = *state;
    struct foreign general, database, other;
    make_foreign(server, KW_KEY_EC, &general);
    kw_bytes der = put_beside(server, &general, "general/any", "theirs", NULL);
    assert_ok(server, adopt(server, general.text, "general/theirs"));
    assert_sha256(server, "general/theirs", &der, true);
    assert_signs(server, "general/theirs");
    kw_bytes_free(&der);

    make_foreign(server, KW_KEY_EC, &database);
    der = put_beside(server, &database, "database/sales", "psrDatabaseKey", "sales");
    assert_ok(server, adopt(server, database.text, "database/sales"));
    assert_sha256(server, "database/sales", &der, true);
    kw_bytes_free(&der);

    /* A name that this kind's never has (S13): the key is taken, that certificate is not, and it stays beside the key. */
    make_foreign(server, KW_KEY_EC, &other);
    der = put_beside(server, &other, "general/any", "theirs", NULL);
    assert_ok(server, adopt(server, other.text, "database/hr"));
    assert_sha256(server, "database/hr", &der, false);
    unsigned char kept[4096];
    kw_output beside = {.data = kept, .capacity = sizeof(kept)};
    assert_ok(server, store_certificate_get(memory(server), (kw_input){other.bytes, other.locator.length}, &beside,
                                            &server->error));
    assert_int_equal(beside.length, der.length);
    assert_memory_equal(kept, der.data, der.length);
    assert_signs(server, "database/hr");
    kw_bytes_free(&der);
}

static void adopt_what_cannot_be_is_refused_and_changes_nothing(void **state)
{
    struct server *server = *state;
    struct foreign signer;
    const kw_adopt_options nothing = {.size = sizeof(nothing), .store = "memory"};
    make_foreign(server, KW_KEY_ED25519, &signer);
    /* It can sign and not decrypt. */
    assert_status(server, KW_REFUSED, adopt(server, signer.text, "database/sales"));
    assert_status(server, KW_EXISTS, adopt(server, signer.text, "ssl-connection"));
    assert_status(server, KW_INVALID_ARGUMENT, adopt(server, signer.text, "general/x@2"));
    assert_status(server, KW_NOT_FOUND, adopt(server, "00ff", "general/x"));
    assert_non_null(strstr(server->error.remedy, "keywright adopt memory"));
    assert_status(server, KW_INVALID_ARGUMENT, kw_adopt(server->context, &nothing, NULL, NULL, &server->error));
    assert_int_equal(count_keys(server, NULL), 1);
    assert_ok(server, adopt(server, signer.text, "general/x"));
}

/* Two copies of one key under two locators: whose the first one is, the second one cannot be of the other sort. */
static void adopt_of_a_copy_of_a_master_keys_key_is_refused(void **state)
{
    static const char *const addresses[][2] = {{"master-key/theirs", "general/theirs"},
                                               {"general/mine", "master-key/mine"}};
    struct server *server = *state;
    assert_ok(server, server_create(server, "database/sales", NULL));
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
        unsigned char *der = NULL;
        const int length = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        assert_true(length > 0);
        for (size_t copy = 0; copy < 2; copy++) {
            kw_key_template wanted = {.size = sizeof(wanted),
                                      .type = KW_KEY_EC,
                                      .curve = KW_CURVE_P256,
                                      .operations = KW_CAN_SIGN | KW_CAN_DERIVE};
            struct foreign foreign = {0};
            foreign.locator = (kw_output){.data = foreign.bytes, .capacity = sizeof(foreign.bytes)};
            assert_ok(server, crypto_random(server->context->crypto, wanted.id, sizeof(wanted.id), &server->error));
            assert_ok(server, store_key_import(memory(server), &wanted, (kw_input){der, (size_t)length},
                                               &foreign.locator, &server->error));
            hex_encode((kw_input){foreign.bytes, foreign.locator.length}, foreign.text);
            assert_status(server, copy == 0 ? KW_OK : KW_REFUSED, adopt(server, foreign.text, addresses[i][copy]));
            if (copy == 1)
                assert_non_null(strstr(server->error.message, addresses[i][0]));
        }
        OPENSSL_clear_free(der, (size_t)length);
        PKCS8_PRIV_KEY_INFO_free(info);
        EVP_PKEY_free(pair);
    }
    assert_int_equal(count_keys(server, NULL), 2); /* and stays where it is */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(list_shows_keys_that_no_certificate_has),
        TEST(list_leaves_out_keys_that_are_under_way),
        TEST(adopt_of_a_key_whose_deletion_began_meanwhile_is_refused),
        TEST(adopt_without_a_certificate_makes_one),
        TEST(adopt_takes_the_certificate_beside_where_it_fits),
        TEST(adopt_what_cannot_be_is_refused_and_changes_nothing),
        TEST(adopt_of_a_copy_of_a_master_keys_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
