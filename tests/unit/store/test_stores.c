#include "unit/store/fixture.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8

static void stores_new_unknown_plugin_names_file_line_and_column(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_configure_store(&fixture, "/nowhere/keywright-none.so", "{}");
    expect_status(KW_CONFIGURATION, fixture_stores(&fixture, &error), &error);
    expect_text(error.message, "there is no module '/nowhere/keywright-none.so'");
    assert_string_equal(error.where, fixture_path(&fixture, "keywright.yaml"));
    assert_int_equal(error.line, 8);
    assert_int_equal(error.column, 13);
    assert_null(fixture.stores);
    expect_status(KW_CONFIGURATION, stores_check(fixture.settings, &error), &error);
    assert_int_equal(error.line, 8);
    fixture_end(&fixture);
}

static void stores_check_wrong_option_names_file_line_and_column(void **state)
{
    struct fixture fixture;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "memory", 0644);
    fixture_configure_store(&fixture, fixture.module, "{raw: true}");
    expect_status(KW_OK, stores_check(fixture.settings, &error), &error);
    fixture_configure_store(&fixture, fixture.module, "{raw: true, falt: none}");
    expect_status(KW_CONFIGURATION, stores_check(fixture.settings, &error), &error);
    expect_text(error.remedy, "did you mean 'fault'?");
    assert_int_equal(error.line, 9);
    assert_int_equal(error.column, 26);
    assert_int_equal(fixture_logged(&fixture, "opening"), 0);
    fixture_end(&fixture);
}

static void stores_get_opens_at_first_use_and_once(void **state)
{
    struct fixture fixture;
    struct store *store = NULL, *again = NULL, *by_id = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    assert_int_equal(fixture_logged(&fixture, "opening"), 0);
    expect_status(KW_OK, stores_get(fixture.stores, "test", &store, &error), &error);
    expect_status(KW_OK, stores_get(fixture.stores, "test", &again, &error), &error);
    expect_status(KW_OK, stores_get_by_id(fixture.stores, "0a0b0c0d", &by_id, &error), &error);
    assert_ptr_equal(store, again);
    assert_ptr_equal(store, by_id);
    assert_int_equal(fixture_logged(&fixture, "store test: opening"), 1);
    assert_string_equal(store_name(store), "test");
    assert_string_equal(store_id(store), "0a0b0c0d");
    assert_string_equal(store_plugin(store), "memory");
    assert_ptr_equal(store_crypto(store), fixture.crypto);
    assert_ptr_equal(store_catalogue(store), fixture.catalogue);
    assert_int_equal(store_capabilities(store)->rsa_bits_maximum, 4096);
    stores_free(fixture.stores);
    fixture.stores = NULL;
    assert_int_equal(fixture_logged(&fixture, "store test: closing"), 1);
    fixture_end(&fixture);
}

static void stores_get_unknown_name_tells_what_there_is(void **state)
{
    struct fixture fixture;
    struct store *store = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    expect_status(KW_NOT_FOUND, stores_get(fixture.stores, "tset", &store, &error), &error);
    expect_text(error.message, "no store named 'tset'");
    expect_text(error.remedy, "the stores are: test");
    expect_status(KW_NOT_FOUND, stores_get_by_id(fixture.stores, "ffffffff", &store, &error), &error);
    expect_text(error.message, "no store with the id 'ffffffff'");
    assert_null(store);
    fixture_end(&fixture);
}

static void stores_get_id_of_another_plugin_is_refused(void **state)
{
    struct fixture fixture;
    struct store *store = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    expect_status(KW_OK, catalogue_store_register(fixture.catalogue, "0a0b0c0d", "other", &error), &error);
    expect_status(KW_REFUSED, stores_get(fixture.stores, "test", &store, &error), &error);
    assert_int_equal(fixture_logged(&fixture, "opening"), 0);
    fixture_end(&fixture);
}

/* ---- Concurrency --------------------------------------------------------------------------------------- */

struct asked {
    atomic_int times;
    sem_t begun, go; /* the first answer waits for `go` when `waits` */
    atomic_bool waits;
};

static kw_status ask(void *user, const char *what, bool confirm, kw_output *answer)
{
    struct asked *const asked = user;

    atomic_fetch_add(&asked->times, 1);
    sem_post(&asked->begun);
    if (strstr(what, "pin of store test") == NULL || confirm)
        return KW_FAILED;
    if (atomic_load(&asked->waits))
        while (sem_wait(&asked->go) != 0)
            continue;
    memcpy(answer->data, "1234", 4);
    answer->length = 4;
    return KW_OK;
}

static void asked_begin(struct asked *asked, bool waits)
{
    atomic_init(&asked->times, 0);
    atomic_init(&asked->waits, waits);
    sem_init(&asked->begun, 0, 0);
    sem_init(&asked->go, 0, 0);
}

struct getter {
    pthread_t thread;
    struct stores *stores;
    struct store *store;
    kw_status status;
    kw_error error;
};

static void *get_store(void *argument)
{
    struct getter *const getter = argument;

    getter->status = stores_get(getter->stores, "test", &getter->store, &getter->error);
    return NULL;
}

static void getters_start(struct getter *getters, size_t count, struct stores *stores)
{
    for (size_t i = 0; i < count; i++) {
        getters[i] = (struct getter){.stores = stores};
        assert_int_equal(pthread_create(&getters[i].thread, NULL, get_store, &getters[i]), 0);
    }
}

static void open_asking(struct fixture *fixture, struct asked *asked)
{
    kw_error error = {0};

    fixture_begin(fixture);
    fixture_module(fixture, "memory", 0644);
    fixture_configure_store(fixture, fixture->module, "{expected_pin: '1234', pin: prompt}");
    fixture->prompt = ask;
    fixture->prompt_user = asked;
    expect_status(KW_OK, fixture_stores(fixture, &error), &error);
}

static void stores_get_from_many_threads_opens_once(void **state)
{
    struct fixture fixture;
    struct asked asked;
    struct getter getters[THREADS];

    (void)state;
    asked_begin(&asked, true);
    open_asking(&fixture, &asked);
    getters_start(getters, THREADS, fixture.stores);
    while (sem_wait(&asked.begun) != 0)
        continue;
    sem_post(&asked.go);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(getters[i].thread, NULL);
        expect_status(KW_OK, getters[i].status, &getters[i].error);
        assert_ptr_equal(getters[i].store, getters[0].store);
    }
    assert_int_equal(atomic_load(&asked.times), 1);
    assert_int_equal(fixture_calls(&fixture, "open"), 1);
    fixture_end(&fixture);
}

static void stores_get_wrong_pin_from_many_threads_reaches_the_backend_once(void **state)
{
    struct fixture fixture;
    struct getter getters[THREADS];

    (void)state;
    fixture_open(&fixture, "{expected_pin: '1234', pin: file:pin}");
    fixture_write(&fixture, "pin", "4321\n", 0600);
    getters_start(getters, THREADS, fixture.stores);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(getters[i].thread, NULL);
        expect_status(KW_SECRET_REFUSED, getters[i].status, &getters[i].error);
        assert_string_equal(getters[i].error.where, fixture_path(&fixture, "keywright.yaml"));
    }
    assert_int_equal(fixture_logged(&fixture, "the backend was given a PIN"), 1);
    fixture_end(&fixture);
}

/* ---- Forks ----------------------------------------------------------------------------------------------- */

/*
 * Runs `work` in a child; its answer, 0 for success. The child is killed when it has answered: what belongs to the parent's other threads is
 * not the child's to free, and is not to be reported as a leak.
 */
static int in_child(struct fixture *fixture, int (*work)(struct fixture *fixture))
{
    unsigned char answer = 255;
    int facts = 0, ends[2];
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    stores_fork_prepare(fixture->stores);
    catalogue_fork_prepare(fixture->catalogue);
    child = fork();
    if (child == 0) {
        alarm(120);
        catalogue_fork_child(fixture->catalogue);
        stores_fork_child(fixture->stores);
        answer = (unsigned char)work(fixture);
        if (write(ends[1], &answer, 1) == 1)
            raise(SIGKILL);
        _exit(255);
    }
    catalogue_fork_parent(fixture->catalogue);
    stores_fork_parent(fixture->stores);
    assert_true(child > 0);
    close(ends[1]);
    if (read(ends[0], &answer, 1) != 1)
        answer = 255;
    close(ends[0]);
    assert_int_equal(waitpid(child, &facts, 0), child);
    return answer;
}

static kw_key *inherited;

static int sign_in_child(struct fixture *fixture)
{
    static const unsigned char text[] = "signed by a child";
    const kw_input input = {text, sizeof(text)};
    unsigned char signature[128];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};

    if (fixture_logged(fixture, "in the child") != 1)
        return 1;
    if (kw_key_sign(inherited, NULL, input, &output, NULL) != KW_OK)
        return 2;
    if (kw_key_verify(inherited, NULL, input, (kw_input){signature, output.length}, NULL) != KW_OK)
        return 3;
    return fixture_calls(fixture, "open") == 1 ? 0 : 4;
}

static void stores_fork_child_signs_with_inherited_key(void **state)
{
    static const unsigned char text[] = "signed by the parent";
    const kw_input input = {text, sizeof(text)};
    struct fixture fixture;
    unsigned char signature[128];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    inherited = fixture_key(&fixture, "ec-p256");
    expect_status(KW_OK, kw_key_sign(inherited, NULL, input, &output, &error), &error);
    for (int i = 0; i < 3; i++)
        assert_int_equal(in_child(&fixture, sign_in_child), 0);
    assert_int_equal(fixture_logged(&fixture, "in the child"), 0);
    expect_status(KW_OK, kw_key_sign(inherited, NULL, input, &output, &error), &error);
    kw_key_free(inherited);
    fixture_end(&fixture);
}

static int open_in_child(struct fixture *fixture)
{
    struct asked *const asked = fixture->prompt_user;
    struct store *store = NULL;

    atomic_store(&asked->waits, false);
    return stores_get(fixture->stores, "test", &store, NULL) == KW_OK && store != NULL ? 0 : 1;
}

/* The thread that is opening in the parent is not in the child: the child must neither wait for it nor take it for done. */
static void stores_fork_while_opening_child_opens_itself(void **state)
{
    struct fixture fixture;
    struct asked asked;
    struct getter getters[2];

    (void)state;
    asked_begin(&asked, true);
    open_asking(&fixture, &asked);
    getters_start(getters, 2, fixture.stores);
    while (sem_wait(&asked.begun) != 0)
        continue;
    assert_int_equal(in_child(&fixture, open_in_child), 0);
    sem_post(&asked.go);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(getters[i].thread, NULL);
        expect_status(KW_OK, getters[i].status, &getters[i].error);
    }
    assert_int_equal(atomic_load(&asked.times), 1);
    fixture_end(&fixture);
}

/* ---- Facts ------------------------------------------------------------------------------------------------- */

static void stores_counts_counts_calls_errors_and_time(void **state)
{
    struct fixture fixture;
    kw_operation_count counts[STORE_OPERATION_COUNT];
    uint64_t calls = 99;
    unsigned char locator[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = locator, .capacity = sizeof(locator)};
    struct id id = {{1}};
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{}");
    assert_int_equal(stores_counts(fixture.stores, "test", counts, &calls), 0);
    assert_int_equal(calls, 0);
    assert_int_equal(stores_counts(fixture.stores, "none", counts, &calls), 0);
    kw_key_free(fixture_key(&fixture, "ec-p256"));
    expect_status(KW_NOT_FOUND, store_key_find(fixture_store(&fixture), &id, &output, &error), &error);
    expect_text(error.message, "no key has this id");
    assert_int_equal(stores_counts(fixture.stores, "test", counts, &calls), 5);
    assert_int_equal(calls, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(counts[i].calls, 1);
        assert_int_equal(counts[i].errors, strcmp(counts[i].operation, "key_find") == 0 ? 1 : 0);
        assert_true(counts[i].nanoseconds > 0);
    }
    assert_string_equal(counts[0].operation, "open");
    fixture_end(&fixture);
}

static void stores_secret_option_tells_where_it_is_configured(void **state)
{
    struct fixture fixture;
    const struct option_setting *setting = NULL;
    kw_error error = {0};

    (void)state;
    fixture_open(&fixture, "{expected_pin: '1234', pin: file:pin}");
    expect_status(KW_OK, stores_secret_option(fixture.stores, "test", &setting, &error), &error);
    assert_string_equal(setting->name, "pin");
    assert_int_equal(setting->text_place.line, 9);
    expect_status(KW_NOT_FOUND, stores_secret_option(fixture.stores, "none", &setting, &error), &error);
    fixture_configure_store(&fixture, fixture.module, "{}");
    stores_free(fixture.stores);
    fixture.stores = NULL;
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    expect_status(KW_UNSUPPORTED, stores_secret_option(fixture.stores, "test", &setting, &error), &error);
    expect_text(error.message, "its option 'pin' is not set");
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_new_unknown_plugin_names_file_line_and_column),
        cmocka_unit_test(stores_check_wrong_option_names_file_line_and_column),
        cmocka_unit_test(stores_get_opens_at_first_use_and_once),
        cmocka_unit_test(stores_get_unknown_name_tells_what_there_is),
        cmocka_unit_test(stores_get_id_of_another_plugin_is_refused),
        cmocka_unit_test(stores_get_from_many_threads_opens_once),
        cmocka_unit_test(stores_get_wrong_pin_from_many_threads_reaches_the_backend_once),
        cmocka_unit_test(stores_fork_child_signs_with_inherited_key),
        cmocka_unit_test(stores_fork_while_opening_child_opens_itself),
        cmocka_unit_test(stores_counts_counts_calls_errors_and_time),
        cmocka_unit_test(stores_secret_option_tells_where_it_is_configured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
