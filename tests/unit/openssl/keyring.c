#include "keyring.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ring_check(kw_status status, const kw_error *error, const char *file, int line)
{
    if (status == KW_OK)
        return;
    print_error("'%s': %s%s%s\n", kw_status_text(status), error->where, error->where[0] != '\0' ? ": " : "",
                error->message);
    _fail(file, line);
}

void ring_check_libcrypto(int result, const char *expression, const char *file, int line)
{
    char text[256];
    if (result > 0)
        return;
    print_error("%s gave %d\n", expression, result);
    for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error()) {
        ERR_error_string_n(code, text, sizeof(text));
        print_error("  %s\n", text);
    }
    _fail(file, line);
}

static char *copied(const char *text)
{
    char *copy = text_copy(text);
    assert_non_null(copy);
    return copy;
}

static void write_file(const char *path, const char *text)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(file), 0);
}

/* Settings of one store, with the options of `names`, as a configuration file would give them. */
static void configure(struct ring *ring, const char *plugin, const char *plugin_directory, const char *const *names,
                      const char *const *values, size_t count)
{
    struct option_setting *options = calloc(count, sizeof(*options));
    struct store_settings *stores = calloc(1, sizeof(*stores));
    char **directories = calloc(1, sizeof(*directories));
    assert_non_null(options);
    assert_non_null(stores);
    assert_non_null(directories);
    for (size_t i = 0; i < count; i++)
        options[i] = (struct option_setting){.name = copied(names[i]), .text = copied(values[i])};
    stores[0] = (struct store_settings){.name = copied("local"),
                                        .id = copied("7c9e6679"),
                                        .plugin = copied(plugin),
                                        .options = options,
                                        .option_count = count};
    directories[0] = copied(plugin_directory);
    ring->settings = (struct settings){.references = 1,
                                       .path = copied("keywright.yaml"),
                                       .directory = copied(ring->directory),
                                       .state = copied(ring->directory),
                                       .catalogue_key = copied("env:UNUSED"),
                                       .default_store = copied("local"),
                                       .plugin_directories = directories,
                                       .plugin_directory_count = 1,
                                       .stores = stores,
                                       .store_count = 1};
}

static void settings_clear(struct settings *settings)
{
    for (size_t i = 0; i < settings->stores[0].option_count; i++) {
        free(settings->stores[0].options[i].name);
        free(settings->stores[0].options[i].text);
    }
    free(settings->stores[0].options);
    free(settings->stores[0].name);
    free(settings->stores[0].id);
    free(settings->stores[0].plugin);
    free(settings->stores);
    free(settings->plugin_directories[0]);
    free(settings->plugin_directories);
    free(settings->path);
    free(settings->directory);
    free(settings->state);
    free(settings->catalogue_key);
    free(settings->default_store);
}

static void make_directory(struct ring *ring)
{
    const char *temporary = getenv("TMPDIR");
    *ring = (struct ring){0};
    snprintf(ring->directory, sizeof(ring->directory), "%s/keywright-test-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(ring->directory));
}

static void open_store(struct ring *ring)
{
    static const unsigned char catalogue_key[] = "a key that guards nothing at all";
    kw_error error = {0};
    assert_works(crypto_open(&ring->crypto, &error), &error);
    assert_works(pkey_provider_attach(ring->crypto, &error), &error);
    assert_works(catalogue_open(ring->crypto, ring->directory, (kw_input){catalogue_key, sizeof(catalogue_key)}, true,
                                NULL, &ring->catalogue, &error),
                 &error);
    const struct stores_options options = {
        .crypto = ring->crypto, .settings = &ring->settings, .catalogue = ring->catalogue};
    assert_works(stores_new(&options, &ring->stores, &error), &error);
    assert_works(stores_get(ring->stores, "local", &ring->store, &error), &error);
}

void ring_open(struct ring *ring)
{
    char path[200], source[208];
    make_directory(ring);
    snprintf(path, sizeof(path), "%s/passphrase", ring->directory);
    snprintf(source, sizeof(source), "file:%s", path);
    write_file(path, "correct horse\n");
    const char *const names[] = {"passphrase", "scrypt_log2_n"}, *const values[] = {source, "14"};
    configure(ring, "softstore", KW_TEST_PLUGIN_DIRECTORY, names, values, 2);
    open_store(ring);
}

void ring_open_faulty(struct ring *ring, const char *modules, const char *fault)
{
    const char *const name = "fault";
    make_directory(ring);
    configure(ring, "memory", modules, &name, &fault, 1);
    open_store(ring);
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *walk)
{
    (void)about;
    (void)flag;
    (void)walk;
    return remove(path);
}

void ring_close(struct ring *ring)
{
    stores_free(ring->stores);
    catalogue_close(ring->catalogue);
    crypto_close(ring->crypto);
    settings_clear(&ring->settings);
    nftw(ring->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static EVP_PKEY *generate(struct crypto *crypto, const struct key_kind *kind)
{
    static const char *const curves[] = {
        [KW_CURVE_P256] = "P-256", [KW_CURVE_P384] = "P-384", [KW_CURVE_P521] = "P-521"};
    EVP_PKEY *made = NULL;
    if (kind->type == KW_KEY_RSA)
        made = EVP_PKEY_Q_keygen(crypto->library, NULL, "RSA", (size_t)kind->bits);
    else if (kind->type == KW_KEY_EC)
        made = EVP_PKEY_Q_keygen(crypto->library, NULL, "EC", curves[kind->curve]);
    else
        made = EVP_PKEY_Q_keygen(crypto->library, NULL, kind->type == KW_KEY_X25519 ? "X25519" : "ED25519");
    assert_non_null(made);
    return made;
}

struct pair ring_add(struct ring *ring, const char *kind_name)
{
    struct id id;
    unsigned char bytes[KW_LOCATOR_MAXIMUM];
    kw_output locator = {bytes, sizeof(bytes), 0};
    return ring_add_known(ring, kind_name, &id, &locator);
}

struct pair ring_add_known(struct ring *ring, const char *kind_name, struct id *id, kw_output *locator)
{
    /* Of no certificate, so that it has no name on the command line. */
    static const struct key_kind x25519 = {.name = "x25519", .type = KW_KEY_X25519};
    struct pair pair = {.kind = strcmp(kind_name, x25519.name) == 0 ? &x25519 : key_kind_find(kind_name)};
    kw_error error = {0};
    unsigned char *pkcs8 = NULL;
    static const uint32_t operations[] = {[KW_KEY_RSA] = KW_CAN_SIGN | KW_CAN_DECRYPT,
                                          [KW_KEY_EC] = KW_CAN_SIGN | KW_CAN_DERIVE,
                                          [KW_KEY_ED25519] = KW_CAN_SIGN,
                                          [KW_KEY_X25519] = KW_CAN_DERIVE};
    assert_non_null(pair.kind);
    pair.plain = generate(ring->crypto, pair.kind);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair.plain);
    assert_non_null(info);
    const int length = i2d_PKCS8_PRIV_KEY_INFO(info, &pkcs8);
    assert_true(length > 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    pair.spki_length = i2d_PUBKEY(pair.plain, &pair.spki);
    assert_true(pair.spki_length > 0);

    assert_works(id_make(ring->crypto, id, &error), &error);
    kw_key_template wanted = {.size = sizeof(wanted),
                              .type = pair.kind->type,
                              .bits = pair.kind->bits,
                              .curve = pair.kind->curve,
                              .operations = operations[pair.kind->type],
                              .exportable = 1,
                              .label = kind_name};
    memcpy(wanted.id, id->bytes, sizeof(wanted.id));
    assert_works(store_key_import(ring->store, &wanted, (kw_input){pkcs8, (size_t)length}, locator, &error), &error);
    OPENSSL_clear_free(pkcs8, (size_t)length);
    assert_works(key_open(ring->store, (kw_input){locator->data, locator->length}, &pair.key, &error), &error);
    assert_works(pkey_from_key(ring->crypto, pair.key, &pair.ours, &error), &error);
    return pair;
}

void pair_clear(struct pair *pair)
{
    EVP_PKEY_free(pair->ours);
    EVP_PKEY_free(pair->plain);
    OPENSSL_free(pair->spki);
    kw_key_free(pair->key);
    *pair = (struct pair){0};
}

uint64_t ring_calls(const struct ring *ring)
{
    kw_operation_count counts[STORE_OPERATION_COUNT];
    uint64_t calls = 0;
    store_counts(ring->store, counts, &calls);
    return calls;
}
