/*
 * What a server derives for itself (kw_subkey_derive) is what docs/crypto.md says, and never what the library uses: no seal's, certificate's, secret's
 * or check's key. These are computed here from the root, by HMAC alone.
 */
#include "server.h"

#include "base/buffer.h"
#include "certificate/manager.h"

#include <keywright/subkeys.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASTER "master-key/example.org"

enum {
    SEALS = 1,
    OWN = 2, /* what kw_subkey_derive gives */
    CLASSES = 5,
    LONGEST = 64,
    PART = 16, /* less than any key is made of */
    NAMES_MAXIMUM = 400,
};

/* ---- By docs/crypto.md ---- */

struct derived_name {
    unsigned char purpose[255], context[64];
    size_t purpose_length, context_length;
};

static size_t put_number(unsigned char *at, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(number >> (24 - 8 * i));
    return 4;
}

/* HKDF-Expand of RFC 5869 with SHA-256, 64 bytes. */
static void expand(const unsigned char root[32], unsigned class, const struct id *master, uint32_t version,
                   const struct derived_name *name, unsigned char out[LONGEST])
{
    unsigned char info[512] = "keywright/1", block[32 + sizeof(info) + 1];
    size_t length = 11;
    unsigned made = 0;
    info[length++] = (unsigned char)class;
    memcpy(info + length, master->bytes, 16);
    length += 16;
    length += put_number(info + length, version);
    length += put_number(info + length, (uint32_t)name->purpose_length);
    memcpy(info + length, name->purpose, name->purpose_length);
    length += name->purpose_length;
    length += put_number(info + length, (uint32_t)name->context_length);
    memcpy(info + length, name->context, name->context_length);
    length += name->context_length;
    for (unsigned char i = 1; i <= 2; i++) {
        const size_t before = i == 1 ? 0 : 32;
        memcpy(block, out, before);
        memcpy(block + before, info, length);
        block[before + length] = i;
        assert_non_null(HMAC(EVP_sha256(), root, 32, block, before + length + 1, out + (size_t)32 * (i - 1), &made));
        assert_int_equal(made, 32);
    }
}

/* ---- Names ---- */

/* What the library uses as purposes, and what could be taken for it. */
static const char *const purposes[] = {
    "ec-p256", "ec-p384", "ed25519", "password", "7c9e6679:passphrase", "check",       "\1",        "\2", "\3",
    "\4",      "\5",      "x",       "xx",       "keywright root/1",    "keywright/1", "root-marks"};
static const char *const contexts[] = {"", "x", "ec-p256", "\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21\21"};
#define PURPOSES (sizeof(purposes) / sizeof(purposes[0]))
#define CONTEXTS (sizeof(contexts) / sizeof(contexts[0]))

static struct derived_name names[NAMES_MAXIMUM];
static size_t name_count;

static unsigned seed;

/* A purpose is text for the API, so without a NUL. */
static void add_random(void)
{
    struct derived_name *const name = &names[name_count++];
    name->purpose_length = 1 + (size_t)rand_r(&seed) % 40;
    name->context_length = (size_t)rand_r(&seed) % sizeof(name->context);
    for (size_t i = 0; i < name->purpose_length; i++)
        name->purpose[i] = (unsigned char)(1 + rand_r(&seed) % 255);
    for (size_t i = 0; i < name->context_length; i++)
        name->context[i] = (unsigned char)rand_r(&seed);
}

/* The key of a certificate in the store `derived`: its locator is "1:MASTER:VERSION:KEY:ID", and ID its context. */
static void add_certificate(struct server *server)
{
    struct found found = {0};
    struct derived_name *const name = &names[name_count++];
    struct id id;
    char text[33] = "";
    assert_ok(server, manager_find(server->context, "password-reset/sales/web", &found, &server->error));
    assert_true(found.certificate.locator_length > 32);
    memcpy(text, found.certificate.locator + found.certificate.locator_length - 32, 32);
    assert_true(id_parse(text, &id));
    name->purpose_length = strlen(found.certificate.key);
    memcpy(name->purpose, found.certificate.key, name->purpose_length);
    name->context_length = sizeof(id.bytes);
    memcpy(name->context, id.bytes, sizeof(id.bytes));
    found_clear(&found);
}

static void make_names(struct server *server)
{
    const char *given = getenv("KW_TEST_SEED");
    seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 1;
    for (size_t p = 0; p < PURPOSES; p++)
        for (size_t c = 0; c < CONTEXTS; c++) {
            struct derived_name *const name = &names[name_count++];
            name->purpose_length = strlen(purposes[p]);
            memcpy(name->purpose, purposes[p], name->purpose_length);
            name->context_length = strlen(contexts[c]);
            memcpy(name->context, contexts[c], name->context_length);
        }
    add_certificate(server);
    while (name_count < NAMES_MAXIMUM / 2)
        add_random();
}

/* ---- The case ---- */

struct part {
    unsigned char bytes[PART];
    bool is_own;
};
static struct part parts[NAMES_MAXIMUM * CLASSES * (LONGEST / PART)];
static size_t part_count;

static void add_parts(const unsigned char bytes[LONGEST], bool is_own)
{
    for (size_t at = 0; at < LONGEST; at += PART) {
        memcpy(parts[part_count].bytes, bytes + at, PART);
        parts[part_count++].is_own = is_own;
    }
}

static int compare(const void *left, const void *right)
{
    return memcmp(left, right, PART);
}

static void learn_root(struct server *server, struct id *master, unsigned char root[32])
{
    struct found found = {0};
    struct secret secret = {0};
    const struct root_place place = {
        .crypto = server->context->crypto,
        .catalogue = server->context->catalogue,
        .control = server->context->control,
        .stores = server->context->stores,
        .settings = server->context->settings,
    };
    assert_ok(server, manager_find(server->context, MASTER, &found, &server->error));
    *master = found.entry.id;
    assert_ok(server, root_load(&place, master, 1, &secret, &server->error));
    assert_int_equal(secret.length, 32);
    memcpy(root, secret.data, 32);
    secret_clear(&secret);
    found_clear(&found);
}

static void derive_gives_what_nothing_else_uses(void **state)
{
    struct server server;
    struct id master;
    unsigned char root[32], expected[LONGEST], own[LONGEST];
    (void)state;
    server_start(&server, "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"
                          "  master-key: {key: ec-p256}\n");
    const kw_certificate_template derived = {
        .size = sizeof(derived), .address = "password-reset/sales/web", .derived = true};
    assert_ok(&server, server_create(&server, "database/sales", NULL));
    assert_ok(&server, server_create(&server, MASTER, "sales"));
    assert_ok(&server, kw_certificate_create(server.context, &derived, NULL, NULL, &server.error));
    make_names(&server);
    learn_root(&server, &master, root);
    for (size_t i = 0; i < name_count; i++) {
        char purpose[256];
        kw_output output = {.data = own, .capacity = sizeof(own)};
        unsigned version = 0;
        memcpy(purpose, names[i].purpose, names[i].purpose_length);
        purpose[names[i].purpose_length] = '\0';
        const kw_derivation derivation = {.size = sizeof(derivation),
                                          .address = MASTER,
                                          .purpose = purpose,
                                          .context = {names[i].context, names[i].context_length}};
        assert_ok(&server, kw_subkey_derive(server.context, &derivation, &version, &output, &server.error));
        assert_int_equal(version, 1);
        assert_int_equal(output.length, LONGEST);
        add_parts(own, true);
        for (unsigned class = SEALS; class <= CLASSES; class ++) {
            expand(root, class, &master, 1, &names[i], expected);
            if (class == OWN)
                assert_memory_equal(own, expected, LONGEST);
            else
                add_parts(expected, false);
        }
    }
    qsort(parts, part_count, sizeof(parts[0]), compare);
    for (size_t i = 1; i < part_count; i++)
        if (parts[i].is_own != parts[i - 1].is_own)
            assert_memory_not_equal(parts[i].bytes, parts[i - 1].bytes, PART);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(derive_gives_what_nothing_else_uses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
