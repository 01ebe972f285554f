/*
 * Where secrets are not: a core dump (gcore) has no passphrase, no root and no subkey of a handle that was freed; the memory after kw_close has none
 * of them anywhere. What is looked for is kept masked here, so that the test does not find itself.
 */
#include "server.h"

#include "base/buffer.h"
#include "base/secret.h"
#include "certificate/manager.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define MASTER "master-key/example.org"
#define LENGTH 32
#define MASK   0xA5

enum { PASSPHRASE, ROOT, SUBKEY, CONTROL, PATTERNS };
static const char *const names[] = {"passphrase", "root", "subkey", "control"};
static unsigned char masked[PATTERNS][LENGTH];

static void remember(size_t pattern, const unsigned char *bytes)
{
    for (size_t i = 0; i < LENGTH; i++)
        masked[pattern][i] = bytes[i] ^ MASK;
}

/* ---- Looking ---- */

static bool is_at(const unsigned char *data, size_t pattern)
{
    for (size_t i = 0; i < LENGTH; i++)
        if ((data[i] ^ MASK) != masked[pattern][i])
            return false;
    return true;
}

static void look(const unsigned char *data, size_t length, unsigned found[PATTERNS])
{
    for (size_t i = 0; i + LENGTH <= length; i++)
        for (size_t pattern = 0; pattern < PATTERNS; pattern++)
            if ((data[i] ^ MASK) == masked[pattern][0] && is_at(data + i, pattern))
                found[pattern]++;
}

static unsigned char window[1 << 20]; /* wiped after each look: what was in it would be found in it */

/* From `start` to `end` of a file, in windows that overlap. */
static void look_through(int descriptor, off_t start, off_t end, unsigned found[PATTERNS])
{
    for (off_t at = start; at < end;) {
        const size_t wanted = (size_t)(end - at) < sizeof(window) ? (size_t)(end - at) : sizeof(window);
        const ssize_t length = pread(descriptor, window, wanted, at);
        if (length <= LENGTH)
            break;
        look(window, (size_t)length, found);
        secret_wipe(window, sizeof(window));
        at += length == (ssize_t)wanted && at + length < end ? length - LENGTH : length;
    }
}

static void look_in_core(struct server *server, unsigned found[PATTERNS])
{
    char command[256], path[256];
    int code = -1;
    snprintf(command, sizeof(command), "gcore -o %s/core %ld >/dev/null 2>&1", server->directory, (long)getpid());
    snprintf(path, sizeof(path), "%s/core.%ld", server->directory, (long)getpid());
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    const int core = open(path, O_RDONLY);
    assert_true(core >= 0);
    memset(found, 0, PATTERNS * sizeof(*found));
    look_through(core, 0, lseek(core, 0, SEEK_END), found);
    close(core);
    unlink(path);
}

/* All that this process can read of itself, secrets' own pages too. */
static void look_in_memory(unsigned found[PATTERNS])
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    const int memory = open("/proc/self/mem", O_RDONLY);
    assert_non_null(maps);
    assert_true(memory >= 0);
    memset(found, 0, PATTERNS * sizeof(*found));
    while (fgets(line, sizeof(line), maps) != NULL) {
        /* 7f12a000-7f12c000 rw-p ... */
        char *rest = line;
        const unsigned long start = strtoul(rest, &rest, 16), end = strtoul(rest + 1, &rest, 16);
        if (rest[0] == ' ' && rest[1] == 'r' && strstr(line, "[v") == NULL)
            look_through(memory, (off_t)start, (off_t)end, found);
    }
    close(memory);
    fclose(maps);
}

static void assert_absent(const unsigned found[PATTERNS], const char *where)
{
    for (size_t pattern = 0; pattern < CONTROL; pattern++)
        if (found[pattern] > 0)
            fail_msg("the %s is in %s, %u times", names[pattern], where, found[pattern]);
}

/* ---- What is looked for ---- */

static void make_passphrase(struct server *server)
{
    unsigned char random[LENGTH / 2];
    char *const text = secret_allocate(LENGTH + 1);
    assert_non_null(text);
    assert_int_equal(getrandom(random, sizeof(random), 0), sizeof(random));
    hex_encode((kw_input){random, sizeof(random)}, text);
    remember(PASSPHRASE, (const unsigned char *)text);
    server_write_file(server, "passphrase", text, LENGTH, 0600);
    secret_free(text, LENGTH + 1);
}

static void learn(struct server *server)
{
    struct found found = {0};
    struct secret root = {0}, bytes = {0};
    const struct root_place place = {
        .crypto = server->context->crypto,
        .catalogue = server->context->catalogue,
        .control = server->context->control,
        .stores = server->context->stores,
        .settings = server->context->settings,
    };
    assert_ok(server, manager_find(server->context, MASTER, &found, &server->error));
    assert_ok(server, root_load(&place, &found.entry.id, 1, &root, &server->error));
    const struct subkey_name name = {
        .class = SUBKEY_SEAL,
        .master = found.entry.id,
        .version = 1,
        .purpose = {(const unsigned char *)"password", 8},
    };
    assert_ok(server, secret_new(&bytes, LENGTH, &server->error));
    assert_ok(server,
              subkey_derive(server->context->crypto, secret_view(&root), &name, bytes.data, LENGTH, &server->error));
    remember(ROOT, root.data);
    remember(SUBKEY, bytes.data);
    secret_clear(&root);
    secret_clear(&bytes);
    found_clear(&found);
}

static void seal_some(struct server *server, unsigned count)
{
    unsigned char sealed[128];
    kw_output output = {.data = sealed, .capacity = sizeof(sealed)};
    kw_subkey *subkey = NULL;
    assert_ok(server, kw_subkey_get(server->context, MASTER, "password", (kw_input){0}, &subkey, &server->error));
    for (unsigned i = 0; i < count; i++)
        assert_ok(server,
                  kw_seal(subkey, (kw_input){(const unsigned char *)"x", 1}, (kw_input){0}, &output, &server->error));
    kw_subkey_free(subkey);
}

static void secrets_are_in_no_core_and_in_no_memory_afterwards(void **state)
{
    struct server server;
    unsigned found[PATTERNS];
    unsigned char *const control = malloc(LENGTH);
    (void)state;
    assert_non_null(control);
    assert_int_equal(getrandom(control, LENGTH, 0), LENGTH);
    remember(CONTROL, control);
    server_write(&server, "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"
                          "  master-key: {key: ec-p256}\n");
    make_passphrase(&server);
    const kw_open_options options = {.size = sizeof(options), .configuration = server.configuration};
    assert_ok(&server, kw_apply(&options, NULL, NULL, &server.error));
    server_reopen(&server);
    assert_ok(&server, server_create(&server, "database/sales", NULL));
    assert_ok(&server, server_create(&server, MASTER, "sales"));
    seal_some(&server, 1);
    seal_some(&server, 5);
    learn(&server);
    look_in_core(&server, found);
    assert_true(found[CONTROL] > 0);
    assert_absent(found, "a core dump");
    /* here, what is in memory is found: the look itself works */
    look_in_memory(found);
    assert_true(found[ROOT] > 0 && found[SUBKEY] > 0 && found[CONTROL] > 0);
    kw_close(server.context);
    server.context = NULL;
    look_in_memory(found);
    assert_true(found[CONTROL] > 0);
    assert_absent(found, "memory after kw_close");
    free(control);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(secrets_are_in_no_core_and_in_no_memory_afterwards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
