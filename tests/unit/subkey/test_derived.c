/* The store `derived`: against vectors that another program computed, and libcrypto on its own as the judge. */
#include "subkey/derived.h"
#include "unit/store/fixture.h"
#include "unit/store/judge.h"

#include "base/buffer.h"

#include <openssl/x509.h>
#include <sys/wait.h>
#include <unistd.h>

/* A root for every master key, as a keyring has it. */
struct roots {
    struct crypto *crypto;
    unsigned char root[ROOT_LENGTH];
    unsigned asked;
    enum subkey_class class; /* that was asked for last */
    kw_error failure;
    struct id of;          /* what is of this master key */
    kw_error away;         /* serves no longer */
    struct stores *stores; /* NULL: none is called meanwhile */
};

struct scene {
    struct fixture fixture;
    struct roots roots;
    struct derived_service service;
    struct builtin_store builtin;
    struct store *store;
};

static kw_status get_subkey(void *user, const struct subkey_name *name, unsigned char *out, size_t length,
                            kw_error *error)
{
    struct roots *const roots = user;
    struct store *other = NULL;

    roots->asked++;
    roots->class = name->class;
    if (roots->stores != NULL)
        expect_status(KW_OK, stores_get(roots->stores, "test", &other, error), error);
    if (roots->failure.status != KW_OK) {
        *error = roots->failure;
        return roots->failure.status;
    }
    return subkey_derive(roots->crypto, (kw_input){roots->root, sizeof(roots->root)}, name, out, length, error);
}

static kw_status serves(void *user, const struct id *master, kw_error *error)
{
    const struct roots *const roots = user;

    if (roots->away.status != KW_OK && id_equal(master, &roots->of)) {
        *error = roots->away;
        return roots->away.status;
    }
    return KW_OK;
}

static void scene_open(struct scene *scene)
{
    kw_error error = {0};

    memset(scene, 0, sizeof(*scene));
    fixture_begin(&scene->fixture);
    fixture_module(&scene->fixture, "memory", 0644);
    fixture_configure_store(&scene->fixture, scene->fixture.module, "{raw: true}");
    expect_status(KW_OK, crypto_open(&scene->fixture.crypto, &error), &error);
    scene->roots.crypto = scene->fixture.crypto;
    scene->service = (struct derived_service){
        .crypto = scene->fixture.crypto, .subkey = get_subkey, .serves = serves, .user = &scene->roots};
    static char name[] = DERIVED_STORE;
    scene->builtin = (struct builtin_store){.name = name, .module = &derived_module, .service = &scene->service};
    scene->fixture.builtins = &scene->builtin;
    scene->fixture.builtin_count = 1;
    expect_status(KW_OK, fixture_stores(&scene->fixture, &error), &error);
    expect_status(KW_OK, stores_get(scene->fixture.stores, DERIVED_STORE, &scene->store, &error), &error);
}

static void scene_close(struct scene *scene)
{
    fixture_end(&scene->fixture);
}

static struct derived_locator locator_of(const char *key)
{
    struct derived_locator locator = {.version = 1, .key = derived_key_name(key)};

    memset(locator.master.bytes, 0x11, sizeof(locator.master.bytes));
    memset(locator.key_id.bytes, 0x22, sizeof(locator.key_id.bytes));
    return locator;
}

static kw_key *open_key(struct scene *scene, const struct derived_locator *locator)
{
    char text[DERIVED_LOCATOR_SIZE];
    kw_key *key = NULL;
    kw_error error = {0};

    derived_locator_write(locator, text);
    expect_status(KW_OK, key_open(scene->store, input_text(text), &key, &error), &error);
    return key;
}

static kw_key *open_named(struct scene *scene, const char *key)
{
    const struct derived_locator locator = locator_of(key);

    return open_key(scene, &locator);
}

static const char *const all_keys[] = {"ec-p256", "ec-p384", "ed25519"};

/* ---- Vectors ---- */

static EVP_PKEY *private_of(kw_key *key)
{
    struct secret pkcs8 = {0};
    kw_error error = {0};

    expect_status(KW_OK, key_export(key, &pkcs8, &error), &error);
    EVP_PKEY *const pkey = judge_private(secret_view(&pkcs8));
    secret_clear(&pkcs8);
    return pkey;
}

static void private_bytes(EVP_PKEY *pkey, char *hex)
{
    unsigned char bytes[64];
    size_t length = sizeof(bytes);
    BIGNUM *number = NULL;

    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        assert_int_equal(EVP_PKEY_get_raw_private_key(pkey, bytes, &length), 1);
    } else {
        assert_int_equal(EVP_PKEY_get_bn_param(pkey, "priv", &number), 1);
        length = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
        assert_int_equal(BN_bn2binpad(number, bytes, (int)length), length);
        BN_free(number);
    }
    hex_encode((kw_input){bytes, length}, hex);
}

/* Of keyrings' bytes to PKCS#8 and SubjectPublicKeyInfo, through the store as everything else. */
static void key_open_vectors_give_their_keys(void **state)
{
    struct scene scene;
    char line[2048], private[160], spki[400];
    unsigned rows = 0;
    FILE *const file = fopen(KW_TEST_DATA "/derived_keys.tsv", "re");

    (void)state;
    scene_open(&scene);
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        struct derived_locator locator = {0};
        char *fields[7] = {line}, *rest = NULL;
        if (line[0] == '#')
            continue;
        for (size_t i = 0; i < 7; i++)
            fields[i] = strtok_r(i == 0 ? line : NULL, "\t\n", &rest);
        assert_non_null(fields[6]);
        assert_true(hex_decode(fields[0], scene.roots.root, ROOT_LENGTH));
        assert_true(id_parse(fields[1], &locator.master));
        locator.version = (uint32_t)strtoul(fields[2], NULL, 10);
        locator.key = derived_key_name(fields[3]);
        assert_true(id_parse(fields[4], &locator.key_id));
        kw_key *const key = open_key(&scene, &locator);
        assert_string_equal(key_name(key), fields[3]);
        hex_encode(kw_key_get_public(key), spki);
        assert_string_equal(spki, fields[6]);
        EVP_PKEY *const pkey = private_of(key);
        private_bytes(pkey, private);
        assert_string_equal(private, fields[5]);
        EVP_PKEY_free(pkey);
        kw_key_free(key);
        rows++;
    }
    fclose(file);
    assert_int_equal(rows, 9);
    assert_int_equal(scene.roots.class, SUBKEY_CERTIFICATE);
    scene_close(&scene);
}

static void derived_key_make_edges_are_in_range(void **state)
{
    struct scene scene;
    unsigned char zero[40] = {0}, ones[40], order[40] = {0}, scalar[40];
    EVP_PKEY *pkey = NULL;
    BIGNUM *number = NULL;
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    memset(ones, 0xff, sizeof(ones));
    /* n - 1, which is zero modulo itself: the scalar is 1. */
    assert_true(hex_decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", order + 8, 32));
    const struct {
        const unsigned char *bytes;
        const char *scalar;
    } cases[] = {
        {zero, "0000000000000000000000000000000000000000000000000000000000000001"},
        {order, "0000000000000000000000000000000000000000000000000000000000000001"},
        /* (2^320 - 1) mod (n - 1) + 1, computed by other means */
        {ones, "fffffffe00000001431905529c0166cd22159165b6faae71f756a572fc632550"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char hex[81];
        expect_status(KW_OK,
                      derived_key_make(scene.fixture.crypto, "ec-p256", (kw_input){cases[i].bytes, 40}, &pkey, &error),
                      &error);
        assert_int_equal(EVP_PKEY_get_bn_param(pkey, "priv", &number), 1);
        assert_int_equal(BN_bn2binpad(number, scalar, 32), 32);
        hex_encode((kw_input){scalar, 32}, hex);
        assert_string_equal(hex, cases[i].scalar);
        EVP_PKEY_CTX *const check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        assert_int_equal(EVP_PKEY_check(check), 1);
        EVP_PKEY_CTX_free(check);
        BN_free(number);
        number = NULL;
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    expect_status(KW_INVALID_ARGUMENT,
                  derived_key_make(scene.fixture.crypto, "ec-p256", (kw_input){zero, 39}, &pkey, &error), &error);
    expect_status(KW_INVALID_ARGUMENT,
                  derived_key_make(scene.fixture.crypto, "rsa-3072", (kw_input){zero, 40}, &pkey, &error), &error);
    scene_close(&scene);
}

/* ---- Locators ---- */

static void derived_locator_read_is_exact(void **state)
{
    static const char right[] = "1:11111111111111111111111111111111:7:ec-p384:22222222222222222222222222222222";
    static const char *const wrong[] = {
        "",
        "1",
        "2:11111111111111111111111111111111:7:ec-p384:22222222222222222222222222222222",
        " 1:11111111111111111111111111111111:7:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:07:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:+7:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:0:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:-1:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:4294967303:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:7:rsa-3072:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:7:ec-p384:2222222222222222222222222222222",
        "1:11111111111111111111111111111111:7:ec-p384:22222222222222222222222222222222 ",
        "1:1111111111111111111111111111111:7:ec-p384:22222222222222222222222222222222",
        "1:1111111111111111111111111111111A:7:ec-p384:22222222222222222222222222222222",
        "1:11111111111111111111111111111111:7:ec-p384:222222222222222222222222222222223",
        "1:11111111111111111111111111111111:7:ec-p384:22222222222222222222222222222222:and much more than any has",
    };
    struct derived_locator locator;
    char again[DERIVED_LOCATOR_SIZE];
    kw_error error = {0};

    (void)state;
    expect_status(KW_OK, derived_locator_read(input_text(right), &locator, &error), &error);
    assert_int_equal(locator.version, 7);
    assert_string_equal(locator.key, "ec-p384");
    derived_locator_write(&locator, again);
    assert_string_equal(again, right);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_status(KW_INVALID_ARGUMENT, derived_locator_read(input_text(wrong[i]), &locator, &error), &error);
    /* A NUL in it ends nothing. */
    expect_status(KW_INVALID_ARGUMENT,
                  derived_locator_read((kw_input){(const unsigned char *)right, sizeof(right)}, &locator, &error),
                  &error);
}

static void key_open_any_other_locator_is_another_key(void **state)
{
    struct scene scene;
    const struct derived_locator locator = locator_of("ec-p256");
    struct derived_locator other[3] = {locator, locator, locator};

    (void)state;
    scene_open(&scene);
    kw_key *const key = open_key(&scene, &locator), *const again = open_key(&scene, &locator);
    assert_true(input_equal(kw_key_get_public(key), kw_key_get_public(again)));
    other[0].master.bytes[0] ^= 1;
    other[1].version++;
    other[2].key_id.bytes[15] ^= 1;
    for (size_t i = 0; i < 3; i++) {
        kw_key *const one = open_key(&scene, &other[i]);
        assert_false(input_equal(kw_key_get_public(key), kw_key_get_public(one)));
        kw_key_free(one);
    }
    kw_key_free(again);
    kw_key_free(key);
    scene_close(&scene);
}

/* ---- What keys do ---- */

static const kw_algorithm ecdsa = {.size = sizeof(ecdsa), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256};
static const kw_algorithm eddsa = {.size = sizeof(eddsa), .scheme = KW_SCHEME_EDDSA};

static void sign_verifies(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < sizeof(all_keys) / sizeof(all_keys[0]); i++) {
        kw_key *const key = open_named(&scene, all_keys[i]);
        const unsigned asked = scene.roots.asked;
        for (unsigned hash = KW_HASH_SHA224; hash <= KW_HASH_SHA512; hash++) {
            const bool edwards = strcmp(all_keys[i], "ed25519") == 0;
            kw_algorithm algorithm = edwards ? eddsa : ecdsa;
            unsigned char bytes[128];
            kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
            kw_error error = {0};
            algorithm.hash = edwards ? KW_HASH_NONE : (kw_hash)hash;
            for (algorithm.is_message = edwards ? 1 : 0; algorithm.is_message < 2; algorithm.is_message++) {
                unsigned char digest[64];
                const kw_input message = input_text("what is signed");
                const size_t length = edwards ? 0 : judge_digest(algorithm.hash, message, digest);
                expect_status(KW_OK,
                              kw_key_sign(key, &algorithm,
                                          algorithm.is_message != 0 ? message : (kw_input){digest, length}, &signature,
                                          &error),
                              &error);
                assert_true(
                    judge_verify(kw_key_get_public(key), &algorithm, message, (kw_input){bytes, signature.length}));
                assert_false(judge_verify(kw_key_get_public(key), &algorithm, input_text("another"),
                                          (kw_input){bytes, signature.length}));
            }
        }
        assert_int_equal(scene.roots.asked, asked); /* the key itself is there as long as the handle */
        kw_key_free(key);
    }
    scene_close(&scene);
}

/* At the vtable, as the conformance kit does it: the core checks most of this before. */
static void sign_and_derive_refuse_what_is_not_theirs(void **state)
{
    const kw_plugin_operations *const plugin = &derived_module.operations;
    struct scene scene;
    unsigned char bytes[128], digest[64] = {1};
    kw_plugin_key *edwards = NULL, *elliptic = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    struct derived_locator locator = locator_of("ed25519");
    char text[DERIVED_LOCATOR_SIZE];
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    derived_locator_write(&locator, text);
    expect_status(KW_OK, store_key_open(scene.store, input_text(text), &edwards, &capabilities, &error), &error);
    assert_int_equal(capabilities.operations, KW_CAN_SIGN | KW_CAN_EXPORT | KW_CAN_DELETE);
    locator = locator_of("ec-p256");
    derived_locator_write(&locator, text);
    expect_status(KW_OK, store_key_open(scene.store, input_text(text), &elliptic, &capabilities, &error), &error);
    assert_int_equal(capabilities.operations, KW_CAN_SIGN | KW_CAN_DERIVE | KW_CAN_EXPORT | KW_CAN_DELETE);
    const struct {
        kw_plugin_key *key;
        kw_algorithm algorithm;
        size_t length, room;
        kw_status status;
    } cases[] = {
        {elliptic, ecdsa, 32, 0, KW_BUFFER_TOO_SMALL},
        {elliptic, ecdsa, 32, 71, KW_BUFFER_TOO_SMALL},
        {elliptic, ecdsa, 32, 72, KW_OK},
        {elliptic, ecdsa, 31, 72, KW_INVALID_ARGUMENT},
        {elliptic, eddsa, 32, 72, KW_UNSUPPORTED},
        {edwards, ecdsa, 32, 72, KW_UNSUPPORTED},
        {edwards, eddsa, 32, 63, KW_BUFFER_TOO_SMALL},
        {edwards, eddsa, 0, 64, KW_OK},
        {elliptic, {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA}, 20, 72, KW_OK},
        {elliptic, {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA}, 0, 72, KW_INVALID_ARGUMENT},
        {elliptic,
         {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA1},
         20,
         72,
         KW_UNSUPPORTED},
        {elliptic,
         {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA, .hash = (kw_hash)99},
         20,
         72,
         KW_UNSUPPORTED},
        {elliptic, {.size = sizeof(kw_algorithm), .scheme = (kw_scheme)40}, 20, 72, KW_UNSUPPORTED},
        {elliptic, {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDH}, 20, 72, KW_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kw_output signature = {.data = bytes, .capacity = cases[i].room};
        const kw_status status =
            plugin->sign(cases[i].key, NULL, &cases[i].algorithm, (kw_input){digest, cases[i].length}, &signature);
        if (status != cases[i].status)
            fail_msg("case %zu: %s", i, kw_status_text(status));
    }
    kw_output shared = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_algorithm ecdh = {.size = sizeof(ecdh), .scheme = KW_SCHEME_ECDH};
    assert_int_equal(plugin->derive(edwards, NULL, &ecdh, input_text("x"), &shared), KW_UNSUPPORTED);
    assert_int_equal(plugin->derive(elliptic, NULL, &ecdsa, input_text("x"), &shared), KW_UNSUPPORTED);
    assert_int_equal(plugin->derive(elliptic, NULL, &ecdh, input_text("x"), &shared), KW_INVALID_ARGUMENT);
    store_key_close(scene.store, edwards);
    store_key_close(scene.store, elliptic);
    scene_close(&scene);
}

static void derive_agrees_with_libcrypto(void **state)
{
    static const char *const curves[] = {"ec-p256", "ec-p384"}, *const groups[] = {"P-256", "P-384"};
    struct scene scene;

    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < 2; i++) {
        unsigned char ours[64], theirs[64], *spki = NULL;
        size_t length = sizeof(theirs);
        kw_output shared = {.data = ours, .capacity = sizeof(ours)};
        kw_error error = {0};
        kw_key *const key = open_named(&scene, curves[i]);
        EVP_PKEY *const peer = EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[i]);
        EVP_PKEY *const other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", groups[1 - i]);
        EVP_PKEY *const public = judge_public(kw_key_get_public(key));
        EVP_PKEY_CTX *const context = EVP_PKEY_CTX_new(peer, NULL);
        int spki_length = i2d_PUBKEY(peer, &spki);
        assert_true(spki_length > 0);
        expect_status(KW_OK, kw_key_derive(key, (kw_input){spki, (size_t)spki_length}, &shared, &error), &error);
        assert_true(EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, public) == 1);
        assert_int_equal(EVP_PKEY_derive(context, theirs, &length), 1);
        assert_int_equal(shared.length, length);
        assert_memory_equal(ours, theirs, length);
        OPENSSL_free(spki);
        spki = NULL;
        spki_length = i2d_PUBKEY(other, &spki);
        expect_status(KW_INVALID_ARGUMENT, kw_key_derive(key, (kw_input){spki, (size_t)spki_length}, &shared, &error),
                      &error);
        OPENSSL_free(spki);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(public);
        EVP_PKEY_free(other);
        EVP_PKEY_free(peer);
        kw_key_free(key);
    }
    scene_close(&scene);
}

/* ---- The store ---- */

static void store_makes_and_keeps_nothing(void **state)
{
    struct scene scene;
    const struct derived_locator locator = locator_of("ec-p256");
    char text[DERIVED_LOCATOR_SIZE];
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    kw_output found = {.data = bytes, .capacity = sizeof(bytes)};
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    const kw_key_template wanted = fixture_template(&scene.fixture, "ec-p256");
    const struct id id = {{1}};
    derived_locator_write(&locator, text);
    expect_status(KW_UNSUPPORTED, store_key_generate(scene.store, &wanted, &found, &error), &error);
    expect_status(KW_UNSUPPORTED, store_key_import(scene.store, &wanted, input_text("x"), &found, &error), &error);
    expect_status(KW_NOT_FOUND, store_key_find(scene.store, &id, &found, &error), &error);
    expect_status(KW_OK, store_health(scene.store, &error), &error);
    expect_status(KW_OK, store_key_delete(scene.store, input_text(text), &error), &error);
    expect_status(KW_INVALID_ARGUMENT, store_key_delete(scene.store, input_text("x"), &error), &error);
    assert_int_equal(scene.roots.asked, 0);
    kw_key_free(open_key(&scene, &locator)); /* nothing was stored, so that nothing is gone */
    scene_close(&scene);
}

static void key_open_failure_keeps_place_and_remedy(void **state)
{
    struct scene scene;
    const struct derived_locator locator = locator_of("ed25519");
    char text[DERIVED_LOCATOR_SIZE];
    kw_key *key = NULL;
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    derived_locator_write(&locator, text);
    error_set(&scene.roots.failure, KW_UNAVAILABLE, "the token is away");
    error_remedy(&scene.roots.failure, "put it back");
    expect_status(KW_UNAVAILABLE, key_open(scene.store, input_text(text), &key, &error), &error);
    expect_text(error.message, "the token is away");
    expect_text(error.remedy, "put it back");
    scene.roots.failure = (kw_error){0};
    expect_status(KW_INVALID_ARGUMENT, key_open(scene.store, input_text("1:x"), &key, &error), &error);
    expect_text(error.message, "no locator of a derived key");
    scene_close(&scene);
}

/* A root that is not in memory is unwrapped by another store, within this one's operation: its calls are its own. */
/* The key is in the handle's memory, and yet it stops with the root that it comes from. */
static void key_open_handles_serve_as_long_as_their_master_key(void **state)
{
    struct scene scene;
    unsigned char bytes[256];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    struct secret pkcs8 = {0};
    const kw_input message = input_text("what is signed");
    struct derived_locator locator = locator_of("ec-p256");
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    kw_key *const key = open_key(&scene, &locator);
    scene.roots.of = (struct id){{0xff}};
    (void)error_set(&scene.roots.away, KW_UNAVAILABLE, "away for too long");
    expect_status(KW_OK, kw_key_sign(key, NULL, message, &output, &error), &error); /* another one is away */
    scene.roots.of = locator.master;
    expect_status(KW_UNAVAILABLE, kw_key_sign(key, NULL, message, &output, &error), &error);
    assert_string_equal(error.message, "away for too long");
    expect_status(KW_UNAVAILABLE, kw_key_derive(key, kw_key_get_public(key), &output, &error), &error);
    expect_status(KW_UNAVAILABLE, key_export(key, &pkcs8, &error), &error);
    scene.roots.away = (kw_error){0};
    expect_status(KW_OK, kw_key_sign(key, NULL, message, &output, &error), &error);
    expect_status(KW_OK, kw_key_derive(key, kw_key_get_public(key), &output, &error), &error);
    expect_status(KW_OK, key_export(key, &pkcs8, &error), &error);
    secret_clear(&pkcs8);
    kw_key_free(key);
    scene_close(&scene);
}

static void key_open_counts_no_calls_of_other_stores(void **state)
{
    struct scene scene;
    kw_operation_count counts[STORE_OPERATION_COUNT];
    uint64_t calls = 1;

    (void)state;
    scene_open(&scene);
    scene.roots.stores = scene.fixture.stores;
    kw_key *const key = open_named(&scene, "ec-p256");
    assert_true(fixture_calls(&scene.fixture, "open") == 1);
    assert_true(stores_counts(scene.fixture.stores, DERIVED_STORE, counts, &calls) > 0);
    assert_int_equal(calls, 0);
    kw_key_free(key);
    scene_close(&scene);
}

static void fork_child_goes_on_with_its_keys(void **state)
{
    struct scene scene;
    unsigned char bytes[128];
    const kw_input message = input_text("in a child");
    kw_algorithm algorithm = ecdsa;
    kw_output signature = {.data = bytes, .capacity = sizeof(bytes)};
    kw_error error = {0};
    int ended = 0;

    (void)state;
    scene_open(&scene);
    kw_key *const key = open_named(&scene, "ec-p256");
    algorithm.is_message = 1;
    stores_fork_prepare(scene.fixture.stores);
    const pid_t child = fork();
    if (child == 0) {
        stores_fork_child(scene.fixture.stores);
        alarm(20);
        _exit(kw_key_sign(key, &algorithm, message, &signature, &error) == KW_OK &&
                      judge_verify(kw_key_get_public(key), &algorithm, message, (kw_input){bytes, signature.length})
                  ? 0
                  : 1);
    }
    stores_fork_parent(scene.fixture.stores);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_int_equal(ended, 0);
    expect_status(KW_OK, kw_key_sign(key, &algorithm, message, &signature, &error), &error);
    kw_key_free(key);
    scene_close(&scene);
}

/* The configuration's own stores are listed, and this one is not: nobody can choose it. */
static void stores_get_unknown_name_does_not_offer_it(void **state)
{
    struct scene scene;
    struct store *store = NULL;
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    expect_status(KW_NOT_FOUND, stores_get(scene.fixture.stores, "deirved", &store, &error), &error);
    assert_string_equal(error.remedy, "the stores are: test");
    scene_close(&scene);
}

/* As the YAML's plugins see it: a host without a service is none of the library's. */
static void open_without_service_is_refused(void **state)
{
    struct scene scene;
    kw_error error = {0};
    struct store *store = NULL;

    (void)state;
    scene_open(&scene);
    scene.builtin.service = NULL;
    expect_status(KW_OK, fixture_stores(&scene.fixture, &error), &error);
    expect_status(KW_CONFIGURATION, stores_get(scene.fixture.stores, DERIVED_STORE, &store, &error), &error);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_open_vectors_give_their_keys),
        cmocka_unit_test(derived_key_make_edges_are_in_range),
        cmocka_unit_test(derived_locator_read_is_exact),
        cmocka_unit_test(key_open_any_other_locator_is_another_key),
        cmocka_unit_test(sign_verifies),
        cmocka_unit_test(sign_and_derive_refuse_what_is_not_theirs),
        cmocka_unit_test(derive_agrees_with_libcrypto),
        cmocka_unit_test(store_makes_and_keeps_nothing),
        cmocka_unit_test(key_open_failure_keeps_place_and_remedy),
        cmocka_unit_test(key_open_handles_serve_as_long_as_their_master_key),
        cmocka_unit_test(key_open_counts_no_calls_of_other_stores),
        cmocka_unit_test(fork_child_goes_on_with_its_keys),
        cmocka_unit_test(stores_get_unknown_name_does_not_offer_it),
        cmocka_unit_test(open_without_service_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
