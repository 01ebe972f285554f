#include "stage.h"

#include "store/store.h"

#include <time.h>

struct stage_roots roots;
const struct id master_id = {.bytes = {1, 2, 3}};

kw_status __wrap_root_active(const struct root_place *place, const struct id *master, uint32_t *version,
                             kw_error *error);
kw_status __wrap_root_check(const struct root_place *place, const struct id *master, uint32_t version, kw_error *error);
kw_status __wrap_root_is_over(const struct root_place *place, const struct id *master, uint32_t version, bool *is_over,
                              kw_error *error);
kw_status __wrap_root_make(const struct root_place *place, const struct id *master, uint32_t after, uint32_t *version,
                           kw_error *error);
kw_status __wrap_root_load(const struct root_place *place, const struct id *master, uint32_t version,
                           struct secret *root, kw_error *error);
kw_status __wrap_root_store(const struct root_place *place, const struct id *master, struct store **store,
                            kw_error *error);
kw_status __wrap_store_health(struct store *store, kw_error *error);
const char *__wrap_store_id(const struct store *store);
const char *__wrap_store_name(const struct store *store);
kw_status __wrap_catalogue_entry_get_by_id(struct catalogue *catalogue, const struct id *id, struct entry_row *row,
                                           kw_error *error);
kw_status __wrap_catalogue_roots_read(struct catalogue *catalogue, const struct id *master, struct root_row **rows,
                                      size_t *count, kw_error *error);
uint64_t __real_clock_milliseconds(void);
uint64_t __wrap_clock_milliseconds(void);
int64_t __real_clock_wall(void);
int64_t __wrap_clock_wall(void);

static kw_status answer(atomic_int *status, const char *what, kw_error *error)
{
    const kw_status now = (kw_status)atomic_load(status);
    return now == KW_OK ? KW_OK : error_set(error, now, "%s", what);
}

static void wait_there(void)
{
    const struct timespec pause = {.tv_nsec = 200000};
    atomic_fetch_add(&roots.holding, 1);
    while (atomic_load(&roots.hold))
        nanosleep(&pause, NULL);
    atomic_fetch_sub(&roots.holding, 1);
}

kw_status __wrap_root_active(const struct root_place *place, const struct id *master, uint32_t *version,
                             kw_error *error)
{
    (void)place;
    (void)master;
    atomic_fetch_add(&roots.looks, 1);
    const kw_status status = answer(&roots.catalogue, "the catalogue cannot be read", error);
    if (status != KW_OK)
        return status;
    const uint32_t active = atomic_load(&roots.active);
    if (active == 0)
        return error_set(error, KW_NOT_FOUND, "the master key has no root yet");
    *version = active;
    return KW_OK;
}

kw_status __wrap_root_check(const struct root_place *place, const struct id *master, uint32_t version, kw_error *error)
{
    (void)place;
    (void)master;
    const kw_status status = answer(&roots.catalogue, "the catalogue cannot be read", error);
    if (status != KW_OK)
        return status;
    if (version <= atomic_load(&roots.retired) || version > atomic_load(&roots.active))
        return error_set(error, KW_NOT_FOUND, "version %u is retired, or there is none", version);
    return KW_OK;
}

kw_status __wrap_root_is_over(const struct root_place *place, const struct id *master, uint32_t version, bool *is_over,
                              kw_error *error)
{
    (void)place;
    (void)master;
    *is_over = version <= atomic_load(&roots.retired);
    return answer(&roots.catalogue, "the catalogue cannot be read", error);
}

kw_status __wrap_root_make(const struct root_place *place, const struct id *master, uint32_t after, uint32_t *version,
                           kw_error *error)
{
    (void)place;
    (void)master;
    assert_int_equal(after, 0);
    atomic_fetch_add(&roots.makes, 1);
    wait_there();
    const kw_status status = answer(&roots.load, "the store is away", error);
    if (status != KW_OK)
        return status;
    *version = atomic_load(&roots.retired) + 1;
    atomic_store(&roots.active, *version);
    return KW_OK;
}

kw_status __wrap_root_load(const struct root_place *place, const struct id *master, uint32_t version,
                           struct secret *root, kw_error *error)
{
    struct secret made = {0};
    (void)place;
    atomic_fetch_add(&roots.loads, 1);
    wait_there();
    kw_status status = answer(&roots.load, "the store is away", error);
    if (status == KW_OK && atomic_load(&roots.lacks_key) &&
        (atomic_load(&roots.lacks_of) == 0 || atomic_load(&roots.lacks_of) == master->bytes[0]))
        status = error_set(error, KW_NOT_FOUND, "the token has no private key");
    if (status == KW_OK)
        status = __wrap_root_check(place, master, version, error);
    if (status == KW_OK)
        status = secret_new(&made, ROOT_LENGTH, error);
    if (status != KW_OK)
        return status;
    memset(made.data, (int)(version + (atomic_load(&roots.is_other) ? 100 : 0)), ROOT_LENGTH);
    made.length = ROOT_LENGTH;
    *root = made;
    return KW_OK;
}

kw_status __wrap_root_store(const struct root_place *place, const struct id *master, struct store **store,
                            kw_error *error)
{
    (void)place;
    (void)master;
    *store = NULL;
    return answer(&roots.catalogue, "the catalogue cannot be read", error);
}

kw_status __wrap_store_health(struct store *store, kw_error *error)
{
    (void)store;
    atomic_fetch_add(&roots.probes, 1);
    wait_there();
    return answer(&roots.health, "the token is gone", error);
}

kw_status __wrap_catalogue_entry_get_by_id(struct catalogue *catalogue, const struct id *id, struct entry_row *row,
                                           kw_error *error)
{
    (void)catalogue;
    const kw_status status = answer(&roots.catalogue, "the catalogue cannot be read", error);
    if (status != KW_OK)
        return status;
    if (atomic_load(&roots.is_gone))
        return error_set(error, KW_NOT_FOUND, "there is no such entry");
    *row = (struct entry_row){.id = *id, .state = atomic_load(&roots.is_retired) ? ENTRY_RETIRED : ENTRY_IN_USE};
    return KW_OK;
}

kw_status __wrap_catalogue_roots_read(struct catalogue *catalogue, const struct id *master, struct root_row **rows,
                                      size_t *count, kw_error *error)
{
    (void)catalogue;
    (void)master;
    *rows = NULL;
    *count = 0;
    return answer(&roots.catalogue, "the catalogue cannot be read", error);
}

const char *__wrap_store_id(const struct store *store)
{
    (void)store;
    return atomic_load(&roots.has_moved) ? "7c9e6679" : "0b1d02aa";
}

const char *__wrap_store_name(const struct store *store)
{
    (void)store;
    return "hsm";
}

uint64_t __wrap_clock_milliseconds(void)
{
    return __real_clock_milliseconds() + atomic_load(&roots.ahead);
}

int64_t __wrap_clock_wall(void)
{
    return __real_clock_wall() + atomic_load(&roots.wall);
}

void stage_open(void **state, struct stage *stage, const struct subkey_settings *subkeys)
{
    memset(&roots, 0, sizeof(roots));
    *stage = (struct stage){0};
    stage->settings = calloc(1, sizeof(*stage->settings));
    assert_non_null(stage->settings);
    atomic_store(&stage->settings->references, 1);
    if (subkeys != NULL)
        stage->settings->subkeys = *subkeys;
    assert_int_equal(crypto_open(&stage->crypto, &stage->error), KW_OK);
    assert_int_equal(control_open(*state, NULL, &stage->control, &stage->error), KW_OK);
    const struct stores_options none = {.settings = stage->settings, .crypto = stage->crypto};
    assert_int_equal(stores_new(&none, &stage->stores, &stage->error), KW_OK);
    const struct keyring_options options = {.crypto = stage->crypto, .control = stage->control};
    assert_int_equal(keyring_new(&options, &stage->keyring, &stage->error), KW_OK);
    keyring_use(stage->keyring, stage->settings, stage->stores);
}

void stage_close(struct stage *stage)
{
    keyring_free(stage->keyring);
    stores_free(stage->stores);
    control_close(stage->control);
    crypto_close(stage->crypto);
    settings_free(stage->settings);
}

void stage_rotate(struct stage *stage)
{
    uint64_t generation;
    atomic_fetch_add(&roots.active, 1);
    assert_int_equal(control_raise(stage->control, &generation, &stage->error), KW_OK);
}

kw_subkey *stage_get(struct stage *stage, const char *purpose, const char *context)
{
    const struct handle_name name = {
        "master-key/m", purpose, {(const unsigned char *)context, context == NULL ? 0 : strlen(context)}};
    kw_subkey *subkey = NULL;
    uint32_t version;
    if (atomic_load(&roots.active) == 0 && keyring_active(stage->keyring, &master_id, &version, &stage->error) != KW_OK)
        fail_msg("%s", stage->error.message);
    if (!keyring_find(stage->keyring, &name, &subkey) &&
        keyring_open(stage->keyring, &name, &master_id, &subkey, &stage->error) != KW_OK)
        fail_msg("%s", stage->error.message);
    return subkey;
}

static const kw_input record = {(const unsigned char *)"record 7", 8};

kw_status stage_seal(kw_subkey *subkey, const char *text, unsigned char *sealed, size_t *length, kw_error *error)
{
    kw_output output = {.data = sealed, .capacity = SEALED_MAXIMUM};
    const kw_status status =
        kw_seal(subkey, (kw_input){(const unsigned char *)text, strlen(text)}, record, &output, error);
    *length = output.length;
    return status;
}

kw_status stage_unseal(kw_subkey *subkey, const char *text, const unsigned char *sealed, size_t length, kw_error *error)
{
    unsigned char bytes[SEALED_MAXIMUM];
    kw_output output = {.data = bytes, .length = 7, .capacity = sizeof(bytes)};
    const kw_status status = kw_unseal(subkey, (kw_input){sealed, length}, record, &output, error);
    if (status == KW_OK) {
        assert_int_equal(output.length, strlen(text));
        assert_memory_equal(bytes, text, output.length);
    } else {
        assert_int_equal(output.length, 0);
    }
    return status;
}

uint32_t stage_version(const unsigned char *sealed, size_t length)
{
    struct seal_header header;
    assert_int_equal(seal_read_header((kw_input){sealed, length}, &header, NULL), KW_OK);
    return header.version;
}

void stage_good(struct stage *stage, kw_subkey *subkey)
{
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    if (stage_seal(subkey, "text", sealed, &length, &stage->error) != KW_OK ||
        stage_unseal(subkey, "text", sealed, length, &stage->error) != KW_OK)
        fail_msg("%s", stage->error.message);
}
