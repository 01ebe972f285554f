#include "store/refusal.h"

#include "base/buffer.h"
#include "base/file.h"
#include "store/host.h"
#include "unit/store/fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void configure(struct fixture *fixture, const char *options)
{
    char text[1024];

    snprintf(text, sizeof(text), "{expected_pin: '1234', pin: file:pin, logins: logins%s%s}",
             *options == '\0' ? "" : ", ", options);
    fixture_configure_store(fixture, fixture->module, text);
}

static void begin(struct fixture *fixture, const char *pin)
{
    fixture_begin(fixture);
    fixture_module(fixture, "locking", 0644);
    configure(fixture, "");
    fixture_write(fixture, "pin", pin, 0600);
}

static size_t logins(const struct fixture *fixture)
{
    struct stat facts;

    return stat(fixture_path(fixture, "logins"), &facts) == 0 ? (size_t)facts.st_size : 0;
}

/* In a child: what a process that starts, uses the store and ends sees. */
static int start(struct fixture *fixture, kw_status wanted, const char *message)
{
    const pid_t child = fork();
    int code = -1;

    assert_true(child >= 0);
    if (child == 0) {
        struct store *store = NULL;
        kw_error error = {0};
        kw_status status = fixture_stores(fixture, &error);
        if (status == KW_OK)
            status = stores_get(fixture->stores, "test", &store, &error);
        if (status != wanted || (message != NULL && strstr(error.message, message) == NULL)) {
            print_error("%s: %s (%s)\n", kw_status_text(status), error.message, error.remedy);
            _exit(1);
        }
        stores_free(fixture->stores);
        catalogue_close(fixture->catalogue);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    return code;
}

#define expect_start(fixture, status, message) assert_int_equal(start(fixture, status, message), 0)

/* W4, word for word: of 10 starts, one sends it. */
static void refused_secret_is_sent_once_in_ten_starts(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1111");
    expect_start(&fixture, KW_SECRET_REFUSED, "the backend refused the PIN");
    for (int i = 1; i < 10; i++)
        expect_start(&fixture, KW_SECRET_REFUSED, "was refused before and has not changed since");
    assert_int_equal(logins(&fixture), 1);
    fixture_end(&fixture);
}

static void refused_secret_is_sent_again_when_something_changed(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1111");
    for (int i = 0; i < 2; i++)
        expect_start(&fixture, KW_SECRET_REFUSED, NULL);
    assert_int_equal(logins(&fixture), 1);
    /* another value */
    fixture_write(&fixture, "pin", "2222", 0600);
    for (int i = 0; i < 2; i++)
        expect_start(&fixture, KW_SECRET_REFUSED, NULL);
    assert_int_equal(logins(&fixture), 2);
    /* the same, written anew */
    assert_int_equal(utimensat(AT_FDCWD, fixture_path(&fixture, "pin"), times, 0), 0);
    for (int i = 0; i < 2; i++)
        expect_start(&fixture, KW_SECRET_REFUSED, NULL);
    assert_int_equal(logins(&fixture), 3);
    /* a setting of the store */
    configure(&fixture, "raw: true");
    for (int i = 0; i < 2; i++)
        expect_start(&fixture, KW_SECRET_REFUSED, NULL);
    assert_int_equal(logins(&fixture), 4);
    /* the right one, as often as it is needed */
    fixture_write(&fixture, "pin", "1234", 0600);
    for (int i = 0; i < 3; i++)
        expect_start(&fixture, KW_OK, NULL);
    assert_int_equal(logins(&fixture), 7);
    fixture_end(&fixture);
}

/* In one process too, where the file is touched; and a plugin that does not say which secret it was. */
static void refused_secret_in_one_process_is_sent_again_when_touched(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct fixture fixture;
    struct store *store = NULL;
    kw_error error = {0};

    (void)state;
    begin(&fixture, "1111");
    configure(&fixture, "fault: login-silent");
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    for (int i = 0; i < 3; i++)
        expect_status(KW_SECRET_REFUSED, stores_get(fixture.stores, "test", &store, &error), &error);
    expect_text(error.message, "has not changed since");
    expect_text(error.remedy, "touch it");
    assert_string_equal(error.where, fixture_path(&fixture, "keywright.yaml"));
    assert_int_equal(logins(&fixture), 1);
    assert_int_equal(utimensat(AT_FDCWD, fixture_path(&fixture, "pin"), times, 0), 0);
    for (int i = 0; i < 3; i++)
        expect_status(KW_SECRET_REFUSED, stores_get(fixture.stores, "test", &store, &error), &error);
    assert_int_equal(logins(&fixture), 2);
    fixture_end(&fixture);
}

/* Whoever dies between the login and the note of what came of it has left word. */
static void secret_of_a_process_that_died_is_not_sent_again(void **state)
{
    struct fixture fixture;
    int code;

    (void)state;
    begin(&fixture, "1111");
    setenv("KEYWRIGHT_TEST_LOGIN", "killed", 1);
    code = start(&fixture, KW_OK, NULL);
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    assert_true(WIFSIGNALED(code));
    assert_int_equal(logins(&fixture), 1);
    for (int i = 0; i < 3; i++)
        expect_start(&fixture, KW_SECRET_REFUSED, "ended before the backend's answer was written down");
    assert_int_equal(logins(&fixture), 1);
    fixture_end(&fixture);
}

/* One that was accepted before is more likely right: a power cut must not keep a server from starting. But not for ever. */
static void accepted_secret_of_a_process_that_died_is_sent_again_once(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1234");
    expect_start(&fixture, KW_OK, NULL);
    setenv("KEYWRIGHT_TEST_LOGIN", "killed", 1);
    assert_true(WIFSIGNALED(start(&fixture, KW_OK, NULL)));
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    expect_start(&fixture, KW_OK, NULL);
    assert_int_equal(logins(&fixture), 3);
    setenv("KEYWRIGHT_TEST_LOGIN", "killed", 1);
    for (int i = 0; i < 2; i++)
        assert_true(WIFSIGNALED(start(&fixture, KW_OK, NULL)));
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    expect_start(&fixture, KW_SECRET_REFUSED, "ended before");
    assert_int_equal(logins(&fixture), 5);
    fixture_end(&fixture);
}

/* A device that is away has judged nothing. */
static void secret_that_was_not_judged_is_sent_again(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1111");
    setenv("KEYWRIGHT_TEST_LOGIN", "away", 1);
    for (int i = 0; i < 3; i++)
        expect_start(&fixture, KW_UNAVAILABLE, "went away");
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    assert_int_equal(logins(&fixture), 3);
    expect_start(&fixture, KW_SECRET_REFUSED, "the backend refused the PIN");
    setenv("KEYWRIGHT_TEST_LOGIN", "away", 1);
    expect_start(&fixture, KW_SECRET_REFUSED, "was refused before");
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    assert_int_equal(logins(&fixture), 4);
    fixture_end(&fixture);
}

/* From then on others may have it, while the operation goes on. */
static void settled_secret_is_free_for_others(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1234");
    setenv("KEYWRIGHT_TEST_LOGIN", "shared", 1);
    expect_start(&fixture, KW_OK, NULL);
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    assert_int_equal(logins(&fixture), 2);
    expect_start(&fixture, KW_OK, NULL);
    fixture_end(&fixture);
}

static void late_refusal_is_remembered(void **state)
{
    struct fixture fixture;
    struct store *store;
    kw_error error = {0};

    (void)state;
    begin(&fixture, "1234");
    configure(&fixture, "fault: late-refusal");
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    store = fixture_store(&fixture);
    expect_status(KW_SECRET_REFUSED, store_health(store, &error), &error);
    stores_free(fixture.stores);
    catalogue_close(fixture.catalogue);
    fixture.stores = NULL;
    fixture.catalogue = NULL;
    expect_start(&fixture, KW_SECRET_REFUSED, "was refused before");
    assert_int_equal(logins(&fixture), 1);
    fixture_end(&fixture);
}

/* All at once: the first one's answer holds for all. */
static void refused_secret_of_many_processes_is_sent_once(void **state)
{
    struct fixture fixture;
    pid_t children[8];

    (void)state;
    begin(&fixture, "1111");
    setenv("KEYWRIGHT_TEST_LOGIN", "slow", 1);
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            struct store *store = NULL;
            kw_error error = {0};
            kw_status status = fixture_stores(&fixture, &error);
            if (status == KW_OK)
                status = stores_get(fixture.stores, "test", &store, &error);
            _exit((int)status);
        }
    }
    for (int i = 0; i < 8; i++) {
        int code = -1;
        assert_int_equal(waitpid(children[i], &code, 0), children[i]);
        assert_true(WIFEXITED(code));
        assert_int_equal(WEXITSTATUS(code), KW_SECRET_REFUSED);
    }
    unsetenv("KEYWRIGHT_TEST_LOGIN");
    assert_int_equal(logins(&fixture), 1);
    fixture_end(&fixture);
}

static void changed_secret_is_forgotten(void **state)
{
    struct fixture fixture;
    kw_error error = {0};
    char record[600];

    (void)state;
    begin(&fixture, "1234");
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    snprintf(record, sizeof(record), "%s", fixture_path(&fixture, "state/secrets/0a0b0c0d.pin"));
    struct store *const store = fixture_store(&fixture);
    assert_true(file_exists(record));
    expect_status(KW_OK, store_set_secret(store, "pin", input_text("5678"), &error), &error);
    assert_false(file_exists(record));
    fixture_end(&fixture);
}

/* ---- What it says of the secret ---- */

static void record_does_not_give_the_secret_away(void **state)
{
    struct fixture fixture;
    kw_error error = {0};
    kw_bytes record = {0}, key = {0};
    struct stat facts;
    unsigned char mac[SHA256_LENGTH];

    (void)state;
    begin(&fixture, "1111");
    expect_start(&fixture, KW_SECRET_REFUSED, NULL);
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    assert_int_equal(stat(fixture_path(&fixture, "state/secrets"), &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
    assert_int_equal(stat(fixture_path(&fixture, "state/secrets/key"), &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(stat(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin"), &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    expect_status(KW_OK, file_read(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin"), 1000, &record, &error),
                  &error);
    expect_status(KW_OK, file_read(fixture_path(&fixture, "state/secrets/key"), 1000, &key, &error), &error);
    assert_null(memmem(record.data, record.length, "1111", 4));
    expect_status(KW_OK, crypto_sha256(fixture.crypto, input_text("1111"), mac, &error), &error);
    assert_null(memmem(record.data, record.length, mac, sizeof(mac)));
    expect_status(KW_OK,
                  crypto_hmac_sha256(fixture.crypto, (kw_input){key.data, key.length}, input_text("1111"), mac, &error),
                  &error);
    assert_null(memmem(record.data, record.length, mac, sizeof(mac)));
    kw_bytes_free(&record);
    kw_bytes_free(&key);
    fixture_end(&fixture);
}

/* ---- Where it cannot be remembered ---- */

static void secret_is_not_sent_where_its_refusal_cannot_be_remembered(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1234");
    expect_start(&fixture, KW_OK, NULL);
    assert_int_equal(logins(&fixture), 1);

    fixture_write(&fixture, "state/secrets/key", "short", 0600);
    expect_start(&fixture, KW_CORRUPT, "could not be remembered: the key");
    fixture_write(&fixture, "state/secrets/key", "0123456789abcdef0123456789abcdefg", 0600);
    expect_start(&fixture, KW_CORRUPT, "could not be remembered: the key");
    /* another key does not verify what was written under the right one */
    fixture_write(&fixture, "state/secrets/key", "0123456789abcdef0123456789abcdef", 0600);
    expect_start(&fixture, KW_CORRUPT, "0a0b0c0d.pin is damaged");
    assert_int_equal(unlink(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin")), 0);
    expect_start(&fixture, KW_OK, NULL);
    assert_int_equal(logins(&fixture), 2);

    const char *const damaged[] = {"", "nonsense", "keywright secret 1\n"};
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        fixture_write(&fixture, "state/secrets/0a0b0c0d.pin", damaged[i], 0600);
        expect_start(&fixture, KW_CORRUPT, "0a0b0c0d.pin is damaged");
    }
    assert_int_equal(unlink(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin")), 0);
    assert_int_equal(mkdir(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin"), 0700), 0);
    expect_start(&fixture, KW_REFUSED, "is not handed out");
    assert_int_equal(rmdir(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin")), 0);
    assert_int_equal(logins(&fixture), 2);
    fixture_end(&fixture);
}

/* Every byte of it counts. */
static void record_that_was_changed_is_noticed(void **state)
{
    struct fixture fixture;
    kw_error error = {0};
    kw_bytes record = {0};

    (void)state;
    begin(&fixture, "1111");
    expect_start(&fixture, KW_SECRET_REFUSED, NULL);
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    expect_status(KW_OK, file_read(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin"), 1000, &record, &error),
                  &error);
    for (size_t i = 0; i < record.length; i++) {
        struct store *store = NULL;
        record.data[i] ^= 1;
        expect_status(KW_OK,
                      file_replace(fixture_path(&fixture, "state/secrets/0a0b0c0d.pin"),
                                   (kw_input){record.data, record.length}, 0600, &error),
                      &error);
        record.data[i] ^= 1;
        expect_status(KW_CORRUPT, stores_get(fixture.stores, "test", &store, &error), &error);
    }
    assert_int_equal(logins(&fixture), 1);
    kw_bytes_free(&record);
    fixture_end(&fixture);
}

static int start_as_nobody(struct fixture *fixture, void (*limit)(void), kw_status wanted, const char *message)
{
    const pid_t child = fork();
    int code = -1;

    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(100);
        struct store *store = NULL;
        kw_error error = {0};
        kw_status status = fixture_stores(fixture, &error);
        if (limit != NULL)
            limit();
        if (status == KW_OK)
            status = stores_get(fixture->stores, "test", &store, &error);
        if (status != wanted || strstr(error.message, message) == NULL) {
            print_error("%s: %s\n", kw_status_text(status), error.message);
            _exit(1);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    return code;
}

static void no_room(void)
{
    const struct rlimit limit = {.rlim_cur = 10, .rlim_max = 10};

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void secret_is_not_sent_without_room_or_rights(void **state)
{
    struct fixture fixture;

    (void)state;
    begin(&fixture, "1234");
    expect_start(&fixture, KW_OK, NULL);
    /* so that who is root here can be somebody else */
    if (geteuid() == 0) {
        static const char *const names[] = {"",
                                            "state",
                                            "state/catalogue.db",
                                            "state/run",
                                            "pin",
                                            "keywright.yaml",
                                            "catalogue-key",
                                            "state/secrets",
                                            "state/secrets/key",
                                            "state/secrets/0a0b0c0d.pin",
                                            "logins",
                                            "keywright-locking.so"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (file_exists(fixture_path(&fixture, names[i])))
                assert_int_equal(chown(fixture_path(&fixture, names[i]), 65534, 65534), 0);
    }
    assert_int_equal(
        start_as_nobody(&fixture, no_room, KW_REFUSED, "is not handed out, since its refusal could not be"), 0);
    assert_int_equal(chmod(fixture_path(&fixture, "state/secrets"), 0500), 0);
    assert_int_equal(
        start_as_nobody(&fixture, NULL, KW_PERMISSION, "is not handed out, since its refusal could not be"), 0);
    assert_int_equal(chmod(fixture_path(&fixture, "state/secrets"), 0700), 0);
    assert_int_equal(logins(&fixture), 1);
    fixture_end(&fixture);
}

/* ---- Threads ---- */

static void *opens_often(void *argument)
{
    struct fixture *const fixture = argument;
    struct store *store = NULL;

    for (int i = 0; i < 5; i++)
        if (stores_get(fixture->stores, "test", &store, NULL) != KW_SECRET_REFUSED)
            return fixture;
    return NULL;
}

static void refused_secret_of_many_threads_is_sent_once(void **state)
{
    struct fixture fixture;
    pthread_t threads[6];
    kw_error error = {0};

    (void)state;
    begin(&fixture, "1111");
    expect_status(KW_OK, fixture_stores(&fixture, &error), &error);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, opens_often, &fixture), 0);
    for (int i = 0; i < 6; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(logins(&fixture), 1);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_secret_is_sent_once_in_ten_starts),
        cmocka_unit_test(refused_secret_is_sent_again_when_something_changed),
        cmocka_unit_test(refused_secret_in_one_process_is_sent_again_when_touched),
        cmocka_unit_test(secret_of_a_process_that_died_is_not_sent_again),
        cmocka_unit_test(accepted_secret_of_a_process_that_died_is_sent_again_once),
        cmocka_unit_test(secret_that_was_not_judged_is_sent_again),
        cmocka_unit_test(settled_secret_is_free_for_others),
        cmocka_unit_test(late_refusal_is_remembered),
        cmocka_unit_test(refused_secret_of_many_processes_is_sent_once),
        cmocka_unit_test(changed_secret_is_forgotten),
        cmocka_unit_test(record_does_not_give_the_secret_away),
        cmocka_unit_test(secret_is_not_sent_where_its_refusal_cannot_be_remembered),
        cmocka_unit_test(record_that_was_changed_is_noticed),
        cmocka_unit_test(secret_is_not_sent_without_room_or_rights),
        cmocka_unit_test(refused_secret_of_many_threads_is_sent_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
