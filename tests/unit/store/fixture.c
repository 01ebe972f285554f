#include "unit/store/fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

static const char catalogue_key[] = "0123456789abcdef0123456789abcdef";

void expect_status_at(kw_status expected, kw_status actual, const kw_error *error, const char *file, int line)
{
    if (expected == actual)
        return;
    print_error("expected '%s', got '%s': %s: %s (%s)\n", kw_status_text(expected), kw_status_text(actual),
                error->where, error->message, error->remedy);
    _fail(file, line);
}

void expect_text_at(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part) != NULL)
        return;
    print_error("'%s' is not in '%s'\n", part, text);
    _fail(file, line);
}

static void capture(void *user, kw_log_level level, const char *line)
{
    struct fixture *const fixture = user;

    (void)level;
    pthread_mutex_lock(&fixture->lock);
    if (fixture->line_count < sizeof(fixture->lines) / sizeof(fixture->lines[0]))
        snprintf(fixture->lines[fixture->line_count++], sizeof(fixture->lines[0]), "%s", line);
    pthread_mutex_unlock(&fixture->lock);
}

void fixture_begin(struct fixture *fixture)
{
    const char *const temporary = getenv("TMPDIR");

    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->directory, sizeof(fixture->directory), "%s/keywright-store-XXXXXX",
             temporary == NULL ? "/tmp" : temporary);
    assert_non_null(mkdtemp(fixture->directory));
    pthread_mutex_init(&fixture->lock, NULL);
    fixture->log = (struct log){.callback = capture, .user = fixture};
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at)
{
    (void)facts;
    (void)kind;
    (void)at;
    return remove(path);
}

void fixture_end(struct fixture *fixture)
{
    stores_free(fixture->stores);
    catalogue_close(fixture->catalogue);
    crypto_close(fixture->crypto);
    settings_free(fixture->settings);
    pthread_mutex_destroy(&fixture->lock);
    assert_int_equal(nftw(fixture->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *fixture_path(const struct fixture *fixture, const char *name)
{
    static char paths[4][512];
    static size_t next;
    char *const path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", fixture->directory, name);
    return path;
}

void fixture_write(const struct fixture *fixture, const char *name, const char *text, unsigned mode)
{
    const char *const path = fixture_path(fixture, name);
    FILE *const file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, (mode_t)mode), 0);
}

void fixture_module(struct fixture *fixture, const char *name, unsigned mode)
{
    char from[512];
    char block[65536];
    FILE *source, *target;
    size_t length;

    snprintf(from, sizeof(from), "%s/keywright-%s.so", MODULES, name);
    snprintf(fixture->module, sizeof(fixture->module), "%s/keywright-%s.so", fixture->directory, name);
    source = fopen(from, "re");
    target = fopen(fixture->module, "we");
    assert_non_null(source);
    assert_non_null(target);
    while ((length = fread(block, 1, sizeof(block), source)) > 0)
        assert_int_equal(fwrite(block, 1, length, target), length);
    fclose(source);
    assert_int_equal(fclose(target), 0);
    assert_int_equal(chmod(fixture->module, (mode_t)mode), 0);
}

void fixture_configure(struct fixture *fixture, const char *text)
{
    kw_error error = {0};

    fixture_write(fixture, "catalogue-key", catalogue_key, 0600);
    fixture_write(fixture, "keywright.yaml", text, 0600);
    settings_free(fixture->settings);
    fixture->settings = NULL;
    expect_status(KW_OK, settings_read(fixture_path(fixture, "keywright.yaml"), NULL, NULL, &fixture->settings, &error),
                  &error);
}

void fixture_configure_store(struct fixture *fixture, const char *plugin, const char *options)
{
    char text[2048];

    snprintf(text, sizeof(text),
             "version: 1\n"
             "state: state\n"
             "catalogue_key: file:catalogue-key\n"
             "store: test\n"
             "stores:\n"
             "  test:\n"
             "    id: 0a0b0c0d\n"
             "    plugin: %s\n"
             "    options: %s\n",
             plugin, options);
    fixture_configure(fixture, text);
}

kw_status fixture_stores(struct fixture *fixture, kw_error *error)
{
    const kw_input key = {(const unsigned char *)catalogue_key, strlen(catalogue_key)};
    kw_error inner = {0};
    struct stores_options options = {
        .settings = fixture->settings,
        .log = &fixture->log,
        .prompt = fixture->prompt,
        .user = fixture->prompt_user,
        .builtins = fixture->builtins,
        .builtin_count = fixture->builtin_count,
        .secrets = fixture->secrets,
    };

    if (fixture->crypto == NULL)
        expect_status(KW_OK, crypto_open(&fixture->crypto, &inner), &inner);
    if (fixture->catalogue == NULL)
        expect_status(KW_OK,
                      catalogue_open(fixture->crypto, fixture_path(fixture, "state"), key, true, &fixture->log,
                                     &fixture->catalogue, &inner),
                      &inner);
    options.crypto = fixture->crypto;
    options.catalogue = fixture->catalogue;
    stores_free(fixture->stores);
    fixture->stores = NULL;
    return stores_new(&options, &fixture->stores, error);
}

void fixture_open_module(struct fixture *fixture, const char *name, const char *options)
{
    kw_error error = {0};

    fixture_begin(fixture);
    fixture_module(fixture, name, 0644);
    fixture_configure_store(fixture, fixture->module, options);
    expect_status(KW_OK, fixture_stores(fixture, &error), &error);
}

void fixture_open(struct fixture *fixture, const char *options)
{
    fixture_open_module(fixture, "memory", options);
}

struct store *fixture_store(struct fixture *fixture)
{
    struct store *store = NULL;
    kw_error error = {0};

    expect_status(KW_OK, stores_get(fixture->stores, "test", &store, &error), &error);
    return store;
}

kw_key_template fixture_template(struct fixture *fixture, const char *kind)
{
    const struct key_kind *const found = key_kind_find(kind);
    kw_key_template wanted = {.size = sizeof(wanted), .exportable = 1, .label = "for a test"};
    struct id id;
    kw_error error = {0};

    if (found != NULL) {
        wanted.type = found->type;
        wanted.bits = found->bits;
        wanted.curve = found->curve;
    } else {
        assert_string_equal(kind, "x25519"); /* no key of a certificate, and so without a name on the command line */
        wanted.type = KW_KEY_X25519;
    }
    expect_status(KW_OK, id_make(fixture->crypto, &id, &error), &error);
    memcpy(wanted.id, id.bytes, sizeof(wanted.id));
    return wanted;
}

/* Making an RSA key takes long: one is enough for all the stores of a program. */
static kw_input rsa_pkcs8(void)
{
    static unsigned char encoded[2048];
    static size_t length;

    if (length == 0) {
        EVP_PKEY *const pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
        PKCS8_PRIV_KEY_INFO *const info = pkey == NULL ? NULL : EVP_PKEY2PKCS8(pkey);
        unsigned char *at = encoded;

        assert_non_null(info);
        assert_in_range(i2d_PKCS8_PRIV_KEY_INFO(info, NULL), 1, sizeof(encoded));
        length = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &at);
        PKCS8_PRIV_KEY_INFO_free(info);
        EVP_PKEY_free(pkey);
    }
    return (kw_input){encoded, length};
}

kw_key *fixture_key(struct fixture *fixture, const char *kind)
{
    struct store *const store = fixture_store(fixture);
    const kw_key_template wanted = fixture_template(fixture, kind);
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = locator, .capacity = sizeof(locator)};
    kw_key *key = NULL;
    kw_error error = {0};

    if (wanted.type == KW_KEY_RSA && wanted.bits == 2048)
        expect_status(KW_OK, store_key_import(store, &wanted, rsa_pkcs8(), &output, &error), &error);
    else
        expect_status(KW_OK, store_key_generate(store, &wanted, &output, &error), &error);
    expect_status(KW_OK, key_open(store, (kw_input){locator, output.length}, &key, &error), &error);
    return key;
}

size_t fixture_logged(struct fixture *fixture, const char *text)
{
    size_t found = 0;

    pthread_mutex_lock(&fixture->lock);
    for (size_t i = 0; i < fixture->line_count; i++)
        if (strstr(fixture->lines[i], text) != NULL)
            found++;
    pthread_mutex_unlock(&fixture->lock);
    return found;
}

uint64_t fixture_calls(struct fixture *fixture, const char *operation)
{
    kw_operation_count counts[STORE_OPERATION_COUNT];
    uint64_t calls;
    const size_t count = stores_counts(fixture->stores, "test", counts, &calls);

    for (size_t i = 0; i < count; i++)
        if (strcmp(counts[i].operation, operation) == 0)
            return counts[i].calls;
    return 0;
}
