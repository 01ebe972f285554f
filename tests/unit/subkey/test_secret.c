/* Secrets of stores that are subkeys: pins, changes that are cut off, circles. The store is the plugin `memory`, which tells a wrong PIN. */
#include "subkey/secret.h"
#include "unit/store/fixture.h"

#include "base/buffer.h"
#include "base/clock.h"

#define STORE  "0a0b0c0d" /* of the fixture's store `test` */
#define MASTER "master-key/corp"

struct scene {
    struct fixture fixture;
    struct id master, other;
    uint32_t active;  /* version of every root */
    uint32_t retires; /* this one is retired as soon as somebody has read that it is the active one; 0: none is */
    kw_error failure;
    kw_error away; /* the master key serves no longer */
    struct derived_service roots;
    struct secret_keeper keeper;
    struct secret_service service;
};

static const unsigned char root[ROOT_LENGTH] = {7};

static kw_status get_active(void *user, const struct id *master, uint32_t *version, kw_error *error)
{
    const struct scene *const scene = user;

    (void)master;
    (void)error;
    *version = scene->active;
    return KW_OK;
}

static kw_status check_version(void *user, const struct id *master, uint32_t version, kw_error *error)
{
    struct scene *const scene = user;

    (void)master;
    if (scene->retires == 0 || version > scene->retires)
        return KW_OK;
    scene->active = scene->retires + 1;
    return error_set(error, KW_NOT_FOUND, "root %u is retired", (unsigned)version);
}

static kw_status get_subkey(void *user, const struct subkey_name *name, unsigned char *out, size_t length,
                            kw_error *error)
{
    const struct scene *const scene = user;

    assert_int_equal(name->class, SUBKEY_SECRET);
    if (scene->failure.status != KW_OK) {
        *error = scene->failure;
        return scene->failure.status;
    }
    return subkey_derive(scene->fixture.crypto, (kw_input){root, sizeof(root)}, name, out, length, error);
}

/* What the store's secret is under a version of the root. */
static const char *secret_of(struct scene *scene, const struct id *master, uint32_t version)
{
    static char text[4][65];
    static size_t next;
    unsigned char bytes[32];
    kw_error error = {0};
    const struct subkey_name name = {
        .class = SUBKEY_SECRET, .master = *master, .version = version, .purpose = input_text(STORE ":pin")};

    expect_status(
        KW_OK,
        subkey_derive(scene->fixture.crypto, (kw_input){root, sizeof(root)}, &name, bytes, sizeof(bytes), &error),
        &error);
    next = (next + 1) % 4;
    hex_encode((kw_input){bytes, sizeof(bytes)}, text[next]);
    return text[next];
}

static kw_status serves(void *user, const struct id *master, kw_error *error)
{
    const struct scene *const scene = user;

    if (scene->away.status != KW_OK && id_equal(master, &scene->master)) {
        *error = scene->away;
        return scene->away.status;
    }
    return KW_OK;
}

static void add_entry(struct scene *scene, const char *address, const char *store, struct id *id)
{
    struct catalogue *const catalogue = scene->fixture.catalogue;
    struct entry_row entry = {.address = text_copy(address), .state = ENTRY_IN_USE, .created = clock_wall()};
    struct certificate_row row = {.number = 1, .locator = {1}, .locator_length = 1, .created = clock_wall()};
    kw_error error = {0};

    expect_status(KW_OK, id_make(scene->fixture.crypto, &entry.id, &error), &error);
    expect_status(KW_OK, id_make(scene->fixture.crypto, &row.id, &error), &error);
    entry.certificate = row.id;
    row.entry = *id = entry.id;
    row.store_id = text_copy(store);
    row.key = text_copy("rsa-2048");
    row.chain = (kw_bytes){malloc(1), 1};
    row.chain.data[0] = 0;
    expect_status(KW_OK, catalogue_begin(catalogue, &error), &error);
    expect_status(KW_OK, catalogue_certificate_insert(catalogue, &row, &error), &error);
    expect_status(KW_OK, catalogue_entry_insert(catalogue, &entry, &error), &error);
    expect_status(KW_OK, catalogue_commit(catalogue, &error), &error);
    certificate_row_clear(&row);
    entry_row_clear(&entry);
}

/* The store `test` with a PIN from `source`, which must be `expected`. */
static void configure(struct scene *scene, const char *source, const char *expected)
{
    char options[256];
    kw_error error = {0};

    snprintf(options, sizeof(options), "{pin: '%s', expected_pin: '%s'}", source, expected);
    stores_free(scene->fixture.stores);
    scene->fixture.stores = NULL;
    fixture_configure_store(&scene->fixture, scene->fixture.module, options);
    expect_status(KW_OK, fixture_stores(&scene->fixture, &error), &error);
}

static void scene_open(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    scene->active = 1;
    fixture_begin(&scene->fixture);
    fixture_module(&scene->fixture, "memory", 0644);
    configure(scene, "subkey:" MASTER, "x");
    scene->roots = (struct derived_service){
        .crypto = scene->fixture.crypto,
        .active = get_active,
        .check = check_version,
        .subkey = get_subkey,
        .serves = serves,
        .user = scene,
    };
    scene->keeper = (struct secret_keeper){
        .catalogue = scene->fixture.catalogue, .roots = &scene->roots, .log = &scene->fixture.log};
    scene->service = (struct secret_service){
        .get = secret_get, .serves = secret_serves, .settled = secret_settled, .user = &scene->keeper};
    scene->fixture.secrets = &scene->service;
    add_entry(scene, MASTER, "beefbeef", &scene->master);
    add_entry(scene, "master-key/other", "beefbeef", &scene->other);
}

static void scene_close(struct scene *scene)
{
    fixture_end(&scene->fixture);
}

static kw_status open_store(struct scene *scene, kw_error *error)
{
    struct store *store = NULL;

    *error = (kw_error){0};
    return stores_get(scene->fixture.stores, "test", &store, error);
}

static void expect_opens(struct scene *scene, const char *secret)
{
    kw_error error;

    configure(scene, "subkey:" MASTER, secret);
    expect_status(KW_OK, open_store(scene, &error), &error);
}

/* "1 2": the versions that pins name, in the order of their names. */
static const char *pins(struct scene *scene)
{
    static char text[64];
    char name[SECRET_PIN_NAME_SIZE] = "";
    struct secret_pin pin;
    kw_error error = {0};
    kw_status status;

    text[0] = '\0';
    while ((status = secret_pins_next(scene->fixture.catalogue, name, &pin, &error)) == KW_OK) {
        assert_string_equal(pin.store_id, STORE);
        assert_string_equal(pin.option, "pin");
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", text[0] != '\0' ? " " : "",
                 (unsigned)pin.version);
    }
    expect_status(KW_NOT_FOUND, status, &error);
    return text;
}

static struct secret_place place_of(const struct scene *scene, const char *address)
{
    return (struct secret_place){.settings = scene->fixture.settings,
                                 .store_id = STORE,
                                 .store_name = "test",
                                 .option = "pin",
                                 .address = address};
}

/* ---- Pins ---- */

static void first_use_pins_the_active_root_for_good(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene);
    assert_string_equal(pins(&scene), "");
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    assert_string_equal(pins(&scene), "1");
    scene.active = 2;
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    assert_string_equal(pins(&scene), "1");
    scene_close(&scene);
}

/* A pin is never of a root that was retired while it was on its way. */
static void a_root_that_is_retired_meanwhile_is_not_pinned(void **state)
{
    struct scene scene;

    (void)state;
    scene_open(&scene);
    scene.retires = 1;
    expect_opens(&scene, secret_of(&scene, &scene.master, 2));
    assert_string_equal(pins(&scene), "2");
    scene_close(&scene);
}

static void a_refused_first_secret_leaves_no_pin(void **state)
{
    struct scene scene;
    kw_error error;

    (void)state;
    scene_open(&scene);
    configure(&scene, "subkey:" MASTER, "a PIN of before");
    expect_status(KW_SECRET_REFUSED, open_store(&scene, &error), &error);
    assert_string_equal(pins(&scene), "");
    /* One that was right once stays, whatever is refused later. */
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    configure(&scene, "subkey:" MASTER, "changed by another program");
    expect_status(KW_SECRET_REFUSED, open_store(&scene, &error), &error);
    assert_string_equal(pins(&scene), "1");
    scene_close(&scene);
}

static void failures_tell_what_is_missing(void **state)
{
    struct scene scene;
    kw_error error;

    (void)state;
    scene_open(&scene);
    configure(&scene, "subkey:master-key/none", "x");
    expect_status(KW_CONFIGURATION, open_store(&scene, &error), &error);
    expect_text(error.message, "master-key/none, which does not exist");
    expect_text(error.where, "keywright.yaml");
    assert_int_not_equal(error.line, 0);
    configure(&scene, "subkey:" MASTER, "x");
    error_set(&scene.failure, KW_UNAVAILABLE, "the token is away");
    expect_status(KW_UNAVAILABLE, open_store(&scene, &error), &error);
    expect_text(error.message, "the token is away");
    scene_close(&scene);
}

static void keys_serve_as_long_as_the_master_key_of_the_secret(void **state)
{
    const kw_input nothing = {(const unsigned char *)"?", 1};
    struct scene scene;
    struct store *store = NULL;
    kw_plugin_key *key = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    expect_status(KW_OK, stores_get(scene.fixture.stores, "test", &store, &error), &error);
    expect_status(KW_INVALID_ARGUMENT, store_key_open(store, nothing, &key, &capabilities, &error), &error);
    (void)error_set(&scene.away, KW_UNAVAILABLE, "away for too long");
    expect_status(KW_UNAVAILABLE, store_key_open(store, nothing, &key, &capabilities, &error), &error);
    assert_string_equal(error.message, "away for too long");
    scene.away = (kw_error){0};
    expect_status(KW_INVALID_ARGUMENT, store_key_open(store, nothing, &key, &capabilities, &error), &error);
    scene_close(&scene);
}

static void another_master_key_than_the_pinned_is_refused(void **state)
{
    struct scene scene;
    kw_error error;

    (void)state;
    scene_open(&scene);
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    configure(&scene, "subkey:master-key/other", "x");
    expect_status(KW_CONFIGURATION, open_store(&scene, &error), &error);
    expect_text(error.message, "of another master key");
    scene_close(&scene);
}

static void a_pin_that_was_changed_is_not_believed(void **state)
{
    struct scene scene;
    kw_error error;
    char name[SECRET_PIN_NAME_SIZE] = "";
    struct secret_pin pin;
    static const char *const values[] = {"", "\1\1", "\2\1................\0\0\0\1", "longer than a pin is, by far"};

    (void)state;
    scene_open(&scene);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        expect_status(KW_OK,
                      catalogue_record_put(scene.fixture.catalogue, DERIVED_STORE, input_text("secret/" STORE "/pin"),
                                           input_text(values[i]), &error),
                      &error);
        configure(&scene, "subkey:" MASTER, "x");
        expect_status(KW_CORRUPT, open_store(&scene, &error), &error);
        name[0] = '\0';
        expect_status(KW_CORRUPT, secret_pins_next(scene.fixture.catalogue, name, &pin, &error), &error);
    }
    scene_close(&scene);
}

/* ---- Changes ---- */

static void change_moves_the_pin(void **state)
{
    struct scene scene;
    struct secret value = {0};
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    const struct secret_place place = place_of(&scene, MASTER);
    scene.active = 2;
    expect_status(KW_OK, secret_prepare(&scene.keeper, &place, &value, &error), &error);
    assert_string_equal((const char *)value.data, secret_of(&scene, &scene.master, 2));
    assert_string_equal(pins(&scene), "1 2");
    secret_abandon(&scene.keeper, &place);
    assert_string_equal(pins(&scene), "1");
    secret_clear(&value);
    expect_status(KW_OK, secret_prepare(&scene.keeper, &place, &value, &error), &error);
    expect_status(KW_OK, secret_commit(&scene.keeper, &place, &error), &error);
    assert_string_equal(pins(&scene), "2");
    secret_clear(&value);
    expect_opens(&scene, secret_of(&scene, &scene.master, 2));
    expect_status(KW_OK, secret_forget(&scene.keeper, &place, &error), &error);
    assert_string_equal(pins(&scene), "");
    expect_status(KW_OK, secret_forget(&scene.keeper, &place, &error), &error);
    scene_close(&scene);
}

/* The process died between the pin of version 2 and what became of it. */
static void scene_of_a_cut_off_change(struct scene *scene)
{
    struct secret value = {0};
    kw_error error = {0};

    scene_open(scene);
    expect_opens(scene, secret_of(scene, &scene->master, 1));
    const struct secret_place place = place_of(scene, MASTER);
    scene->active = 2;
    expect_status(KW_OK, secret_prepare(&scene->keeper, &place, &value, &error), &error);
    secret_clear(&value);
}

static void change_cut_off_before_the_store_took_it_opens(void **state)
{
    struct scene scene;

    (void)state;
    scene_of_a_cut_off_change(&scene);
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    /* The other one stays on record: its change may still be under way in another process. */
    assert_string_equal(pins(&scene), "1 2");
    scene_close(&scene);
}

static void change_cut_off_after_the_store_took_it_opens(void **state)
{
    struct scene scene;

    (void)state;
    scene_of_a_cut_off_change(&scene);
    expect_opens(&scene, secret_of(&scene, &scene.master, 2));
    assert_string_equal(pins(&scene), "2");
    expect_opens(&scene, secret_of(&scene, &scene.master, 2));
    scene_close(&scene);
}

/* From a passphrase of one's own to a subkey: there is no present pin. */
static void first_change_cut_off_opens(void **state)
{
    struct scene scene;
    struct secret value = {0};
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    const struct secret_place place = place_of(&scene, MASTER);
    expect_status(KW_OK, secret_prepare(&scene.keeper, &place, &value, &error), &error);
    secret_clear(&value);
    assert_string_equal(pins(&scene), "1");
    scene.active = 2; /* which must not be taken instead */
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    assert_string_equal(pins(&scene), "1");
    scene_close(&scene);
}

static void neither_of_two_is_right_and_both_stay(void **state)
{
    struct scene scene;
    kw_error error = {0};

    (void)state;
    scene_of_a_cut_off_change(&scene);
    configure(&scene, "subkey:" MASTER, "neither");
    expect_status(KW_SECRET_REFUSED, open_store(&scene, &error), &error);
    expect_opens(&scene, secret_of(&scene, &scene.master, 1));
    scene_close(&scene);
}

/* ---- Circles ---- */

static const char three_stores[] = "version: 1\nstate: state\ncatalogue_key: file:catalogue-key\nstore: a\nstores:\n"
                                   "  a: {id: aaaaaaaa, plugin: m, options: {pin: 'subkey:master-key/b', x: y}}\n"
                                   "  b: {id: bbbbbbbb, plugin: m, options: {pin: 'subkey:master-key/c'}}\n"
                                   "  c: {id: cccccccc, plugin: m, options: {pin: 'file:pin'}}\n";

static void circle_check_walks_as_far_as_it_goes(void **state)
{
    struct scene scene;
    struct id id;
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    stores_free(scene.fixture.stores);
    scene.fixture.stores = NULL;
    fixture_configure(&scene.fixture, three_stores);
    struct circle circle = {.settings = scene.fixture.settings, .catalogue = scene.fixture.catalogue};
    /* master keys that are not there yet, and stores that are not configured, lead nowhere */
    expect_status(KW_OK, circle_check(&circle, "aaaaaaaa", &error), &error);
    expect_status(KW_OK, circle_check(&circle, "dddddddd", &error), &error);
    add_entry(&scene, "master-key/b", "bbbbbbbb", &id);
    add_entry(&scene, "master-key/c", "cccccccc", &id);
    expect_status(KW_OK, circle_check(&circle, "aaaaaaaa", &error), &error);
    /* a key that would come into a store that it opens, by way of one other, and of two */
    circle.moved_address = "master-key/c";
    circle.moved_store_id = "bbbbbbbb";
    expect_status(KW_REFUSED, circle_check(&circle, "bbbbbbbb", &error), &error);
    expect_text(error.message, "a circle: store 'b', opened by master-key/c, which would be in store 'b' itself");
    circle.moved_store_id = "aaaaaaaa";
    expect_status(KW_REFUSED, circle_check(&circle, "aaaaaaaa", &error), &error);
    expect_text(error.message,
                "a circle: store 'a', opened by master-key/b in store 'b', opened by master-key/c, which "
                "would be in store 'a' itself");
    circle.moved_address = circle.moved_store_id = NULL;
    /* a secret that would become a subkey */
    circle.secret_store_id = "cccccccc";
    circle.secret_option = "pin";
    circle.secret_address = "master-key/b";
    expect_status(KW_REFUSED, circle_check(&circle, "cccccccc", &error), &error);
    circle.secret_address = "master-key/corp";
    expect_status(KW_OK, circle_check(&circle, "cccccccc", &error), &error);
    /* and one that would leave a circle */
    circle.moved_address = "master-key/c";
    circle.moved_store_id = "aaaaaaaa";
    circle.secret_store_id = "aaaaaaaa";
    circle.secret_address = "master-key/corp";
    expect_status(KW_OK, circle_check(&circle, "aaaaaaaa", &error), &error);
    scene_close(&scene);
}

static void circle_by_the_way_is_named_alone(void **state)
{
    struct scene scene;
    struct id id;
    kw_error error = {0};

    (void)state;
    scene_open(&scene);
    stores_free(scene.fixture.stores);
    scene.fixture.stores = NULL;
    fixture_configure(&scene.fixture, three_stores);
    add_entry(&scene, "master-key/b", "bbbbbbbb", &id);
    add_entry(&scene, "master-key/c", "bbbbbbbb", &id);
    const struct circle circle = {.settings = scene.fixture.settings, .catalogue = scene.fixture.catalogue};
    expect_status(KW_REFUSED, circle_check(&circle, "aaaaaaaa", &error), &error);
    expect_text(error.message, "a circle: store 'b', opened by master-key/c, which would be in store 'b' itself");
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_use_pins_the_active_root_for_good),
        cmocka_unit_test(a_root_that_is_retired_meanwhile_is_not_pinned),
        cmocka_unit_test(a_refused_first_secret_leaves_no_pin),
        cmocka_unit_test(failures_tell_what_is_missing),
        cmocka_unit_test(keys_serve_as_long_as_the_master_key_of_the_secret),
        cmocka_unit_test(another_master_key_than_the_pinned_is_refused),
        cmocka_unit_test(a_pin_that_was_changed_is_not_believed),
        cmocka_unit_test(change_moves_the_pin),
        cmocka_unit_test(change_cut_off_before_the_store_took_it_opens),
        cmocka_unit_test(change_cut_off_after_the_store_took_it_opens),
        cmocka_unit_test(first_change_cut_off_opens),
        cmocka_unit_test(neither_of_two_is_right_and_both_stay),
        cmocka_unit_test(circle_check_walks_as_far_as_it_goes),
        cmocka_unit_test(circle_by_the_way_is_named_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
