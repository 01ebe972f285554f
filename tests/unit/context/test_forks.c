/*
 * A process forks while its other threads are at work. What they do in libcrypto is done where no fork takes place, or the child would wait for ever
 * for one of libcrypto's locks. Those are pthread_rwlocks, and this program stands between: it sees who takes one, and can have it held for longer.
 */
#include "base/crypto.h"
#include "server.h"

#include <keywright/subkeys.h>

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MASTER "master-key/example.org"
#define QUICK                                                                                                          \
    "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"                           \
    "  master-key: {key: ec-p256}\n"

/* ---- Locks of libcrypto ---- */

static atomic_bool watched; /* are those that this process takes */
static atomic_uint taken, outside;
static atomic_long held; /* for so many nanoseconds, before they are used */

static bool is_of(const void *address, const char *library)
{
    Dl_info info;
    return dladdr(address, &info) != 0 && info.dli_fname != NULL && strstr(info.dli_fname, library) != NULL;
}

/* softstore has a libcrypto context and a gate of its own; so have others that the process loads. */
static void tell(void)
{
    void *frames[64];
    const int count = backtrace(frames, 64);
    for (int i = 0; i < count; i++)
        if (is_of(frames[i], "keywright-softstore"))
            return;
    if (atomic_fetch_add(&outside, 1) > 3)
        return;
    fprintf(stderr, "a lock of libcrypto is taken where the process may fork:\n");
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
}

__attribute__((visibility("default"))) int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    static int (*_Atomic real)(pthread_rwlock_t *);
    int (*found)(pthread_rwlock_t *) = atomic_load(&real);
    if (found == NULL) {
        void *const symbol = dlsym(RTLD_NEXT, "pthread_rwlock_wrlock");
        memcpy(&found, &symbol, sizeof(found));
        atomic_store(&real, found);
    }
    const bool counts = atomic_load(&watched) && is_of(__builtin_return_address(0), "libcrypto");
    if (counts && !crypto_is_entered())
        tell();
    const int result = found(lock);
    if (counts) {
        const struct timespec pause = {.tv_nsec = atomic_load(&held)};
        atomic_fetch_add(&taken, 1);
        if (pause.tv_nsec > 0)
            nanosleep(&pause, NULL);
    }
    return result;
}

/* ---- What servers do ---- */

static const struct wanted {
    const char *address, *key;
    kw_algorithm algorithm;
} keys[] = {
    {"general/rsa",
     "rsa-2048",
     {.size = sizeof(kw_algorithm),
      .scheme = KW_SCHEME_RSA_PSS,
      .hash = KW_HASH_SHA256,
      .mgf_hash = KW_HASH_SHA256,
      .salt_length = 32,
      .is_message = 1}},
    {"general/ec",
     "ec-p256",
     {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256, .is_message = 1}},
    {"general/ed", "ed25519", {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_EDDSA, .is_message = 1}},
    {"password-reset/sales/web",
     NULL,
     {.size = sizeof(kw_algorithm), .scheme = KW_SCHEME_ECDSA, .hash = KW_HASH_SHA256, .is_message = 1}},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static const kw_input message = {(const unsigned char *)"a message", 9};

/* A key is opened and signs; RSA also encrypts and decrypts, EC agrees. */
static kw_status use_key(kw_context *context, const struct wanted *wanted, kw_error *error)
{
    unsigned char bytes[1024], opened[1024];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    kw_output plaintext = {.data = opened, .capacity = sizeof(opened)};
    kw_key *key = NULL;
    kw_status status = kw_key_open(context, wanted->address, &key, error);
    if (status == KW_OK)
        status = kw_key_sign(key, &wanted->algorithm, message, &output, error);
    if (status == KW_OK)
        status = kw_key_verify(key, &wanted->algorithm, message, (kw_input){bytes, output.length}, error);
    if (status == KW_OK && wanted == &keys[0])
        status = kw_key_encrypt(key, NULL, message, &output, error);
    if (status == KW_OK && wanted == &keys[0])
        status = kw_key_decrypt(key, NULL, (kw_input){bytes, output.length}, &plaintext, error);
    if (status == KW_OK && wanted == &keys[1])
        status = kw_key_derive(key, kw_key_get_public(key), &plaintext, error);
    kw_key_free(key);
    return status;
}

static kw_status use_subkeys(kw_context *context, const char *purpose, kw_error *error)
{
    unsigned char bytes[256], own[64];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)}, derived = {.data = own, .capacity = sizeof(own)};
    const kw_derivation derivation = {.size = sizeof(derivation), .address = MASTER, .purpose = purpose};
    kw_subkey *subkey = NULL;
    kw_status status = kw_subkey_get(context, MASTER, purpose, (kw_input){0}, &subkey, error);
    if (status == KW_OK)
        status = kw_seal(subkey, message, (kw_input){0}, &output, error);
    if (status == KW_OK)
        status = kw_subkey_derive(context, &derivation, NULL, &derived, error);
    kw_subkey_free(subkey);
    return status;
}

static kw_status use_cms(kw_context *context, const char *address, kw_error *error)
{
    kw_bytes sealed = {0}, opened = {0};
    kw_status status = kw_cms_encrypt(context, address, message, &sealed, error);
    if (status == KW_OK)
        status = kw_cms_decrypt(context, address, (kw_input){sealed.data, sealed.length}, &opened, error);
    kw_bytes_free(&sealed);
    kw_bytes_free(&opened);
    return status;
}

/* What a server does all day. */
static kw_status use_all(kw_context *context, const char *purpose, kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < KEYS; i++)
        status = use_key(context, &keys[i], error);
    if (status == KW_OK)
        status = use_subkeys(context, purpose, error);
    if (status == KW_OK)
        status = use_cms(context, "general/rsa", error);
    return status;
}

/* Takes seconds, in derivations of keys from a password. */
static void export_and_import(struct server *server, const char *address)
{
    kw_bytes bytes = {0};
    const kw_export_options leaving = {.size = sizeof(leaving),
                                       .addresses = &address,
                                       .address_count = 1,
                                       .content = &bytes,
                                       .password_source = "env:PATH"};
    assert_ok(server, kw_export(server->context, &leaving, NULL, NULL, &server->error));
    assert_ok(server, kw_certificate_delete(server->context, address, true, &server->error));
    const kw_import_options arriving = {.size = sizeof(arriving),
                                        .path = "new.pfx",
                                        .content = {bytes.data, bytes.length},
                                        .password_source = leaving.password_source};
    assert_ok(server, kw_import(server->context, &arriving, NULL, NULL, &server->error));
    kw_bytes_free(&bytes);
}

/* And what its administrator does meanwhile. */
static void administer(struct server *server)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = true};
    const kw_certificate_template derived = {
        .size = sizeof(derived), .address = "password-reset/sales/other", .derived = true};
    const char *const address = "general/new";
    kw_certificate_list *list = NULL;
    kw_bytes bytes = {0};
    const char *const full = getenv("KW_TEST_FULL");
    assert_ok(server, kw_certificates(server->context, &filter, &list, &server->error));
    kw_certificate_list_free(list);
    assert_ok(server, kw_certificate_request(server->context, "general/ec", &bytes, &server->error));
    kw_bytes_free(&bytes);
    assert_ok(server, kw_certificate_text(server->context, "general/ec", &bytes, &server->error));
    kw_bytes_free(&bytes);
    assert_ok(server, server_create(server, address, NULL));
    assert_ok(server, kw_certificate_create(server->context, &derived, NULL, NULL, &server->error));
    if (full != NULL && strcmp(full, "yes") == 0)
        export_and_import(server, address);
    assert_ok(server, kw_certificate_delete(server->context, address, true, &server->error));
    assert_ok(server, kw_subkeys_refresh(server->context, &server->error));
    assert_ok(server, use_cms(server->context, "general/ec", &server->error));
}

static int begin(void **state)
{
    struct server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    server_start(server, QUICK);
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_ok(server, server_create(server, MASTER, "sales"));
    for (size_t i = 0; i < KEYS; i++) {
        const kw_certificate_template wanted = {
            .size = sizeof(wanted), .address = keys[i].address, .key = keys[i].key, .derived = keys[i].key == NULL};
        assert_ok(server, kw_certificate_create(server->context, &wanted, NULL, NULL, &server->error));
    }
    *state = server;
    return 0;
}

static int end(void **state)
{
    struct server *server = *state;
    server_stop(server);
    free(server);
    return 0;
}

/* ---- Cases ---- */

static void no_lock_of_libcrypto_is_taken_where_the_process_may_fork(void **state)
{
    struct server *server = *state;
    void *frame[1];
    assert_ok(server, use_all(server->context, "before", &server->error));
    assert_true(backtrace(frame, 1) == 1); /* the first time it loads a library */
    atomic_store(&taken, 0);
    atomic_store(&watched, true);
    const kw_status status = use_all(server->context, "while", &server->error);
    administer(server);
    atomic_store(&watched, false);
    assert_int_equal(status, KW_OK);
    assert_true(atomic_load(&taken) > 0);
    assert_int_equal(atomic_load(&outside), 0);
}

static atomic_bool enough;
static atomic_uint failures;

static void *work(void *context)
{
    kw_error error = {0};
    char purpose[32];
    for (unsigned i = 0; !atomic_load(&enough); i++) {
        snprintf(purpose, sizeof(purpose), "%lx %u", (unsigned long)pthread_self(), i);
        if (use_all(context, purpose, &error) != KW_OK && atomic_fetch_add(&failures, 1) == 0)
            fprintf(stderr, "%s: %s\n", error.where, error.message);
    }
    return NULL;
}

/* Each child does all of it; one that hangs is ended by its alarm. */
static int fork_and_use(kw_context *context)
{
    int result = -1;
    const pid_t child = fork();
    if (child == 0) {
        kw_error error = {0};
        alarm(20);
        atomic_store(&watched, false);
        const kw_status status = use_all(context, "of a child", &error);
        if (status != KW_OK)
            fprintf(stderr, "%s: %s\n", error.where, error.message);
        /* Not _exit: checkers would count what the parent's other threads had in their hands. */
        const char *verdict = status == KW_OK ? "true" : "false";
        execlp(verdict, verdict, (char *)NULL);
        _exit(1);
    }
    while (waitpid(child, &result, 0) < 0 && errno == EINTR)
        ;
    return result;
}

static void fork_while_threads_are_in_libcrypto_children_work(void **state)
{
    enum { THREADS = 3, FORKS = 8 };
    struct server *server = *state;
    const struct timespec pause = {.tv_nsec = 3000000};
    pthread_t threads[THREADS];
    int result = 0;
    atomic_store(&held, 100000);
    atomic_store(&watched, true);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, server->context), 0);
    for (unsigned i = 0; i < FORKS && result == 0; i++) {
        nanosleep(&pause, NULL);
        result = fork_and_use(server->context);
    }
    atomic_store(&watched, false); /* also of threads that end: what libcrypto does then is nobody's to guard */
    atomic_store(&enough, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(result, 0);
    assert_int_equal(atomic_load(&failures), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_lock_of_libcrypto_is_taken_where_the_process_may_fork, begin, end),
        cmocka_unit_test_setup_teardown(fork_while_threads_are_in_libcrypto_children_work, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
