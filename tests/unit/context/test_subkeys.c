/* subkeys.h, with a real softstore and a real catalogue. */
#include "server.h"

#include "certificate/manager.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MASTER "master-key/example.org"
#define QUICK                                                                                                          \
    "certificates:\n  ssl-connection: {key: ec-p256}\n  server-encryption: {key: ec-p256}\n"                           \
    "  master-key: {key: ec-p256}\n"

static int begin(void **state)
{
    struct server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    server_start(server, QUICK);
    assert_ok(server, server_create(server, "database/sales", NULL));
    assert_ok(server, server_create(server, MASTER, "sales"));
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

static kw_input text_input(const char *text)
{
    return (kw_input){(const unsigned char *)text, text == NULL ? 0 : strlen(text)};
}

/* A sealed text. */
struct sealed {
    unsigned char data[256];
    size_t length;
};

static kw_status seal(kw_subkey *subkey, const char *text, const char *associated, struct sealed *sealed,
                      kw_error *error)
{
    kw_output output = {.data = sealed->data, .capacity = sizeof(sealed->data)};
    const kw_status status = kw_seal(subkey, text_input(text), text_input(associated), &output, error);
    sealed->length = output.length;
    return status;
}

static kw_status unseal(kw_subkey *subkey, const char *text, const char *associated, const struct sealed *sealed,
                        kw_error *error)
{
    unsigned char bytes[256];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_status status =
        kw_unseal(subkey, (kw_input){sealed->data, sealed->length}, text_input(associated), &output, error);
    if (status == KW_OK) {
        assert_int_equal(output.length, strlen(text));
        assert_memory_equal(bytes, text, output.length);
    }
    return status;
}

static kw_subkey *get(struct server *server, const char *purpose, const char *context)
{
    kw_subkey *subkey = NULL;
    assert_ok(server, kw_subkey_get(server->context, MASTER, purpose, text_input(context), &subkey, &server->error));
    return subkey;
}

static unsigned version_of(const struct sealed *sealed)
{
    return (unsigned)sealed->data[20] << 24 | (unsigned)sealed->data[21] << 16 | (unsigned)sealed->data[22] << 8 |
           sealed->data[23];
}

/* A new version of the root, as kw_rotate makes it. */
static void new_root(struct server *server)
{
    struct found found = {0};
    const struct root_place place = {
        .crypto = server->context->crypto,
        .catalogue = server->context->catalogue,
        .control = server->context->control,
        .stores = server->context->stores,
        .settings = server->context->settings,
    };
    uint32_t version = 0;
    uint64_t generation;
    assert_ok(server, manager_find(server->context, MASTER, &found, &server->error));
    assert_ok(server, root_active(&place, &found.entry.id, &version, &server->error));
    assert_ok(server, root_make(&place, &found.entry.id, version, &version, &server->error));
    assert_ok(server, control_raise(server->context->control, &generation, &server->error));
    found_clear(&found);
}

/* ---- Seals ---- */

static void seal_outlives_a_restart_and_a_reload(void **state)
{
    struct server *server = *state;
    struct sealed sealed;
    kw_subkey *subkey = get(server, "password", "sales");
    assert_ok(server, seal(subkey, "secret", "record 7", &sealed, &server->error));
    assert_ok(server, kw_reload(server->context, false, NULL, &server->error));
    assert_ok(server, unseal(subkey, "secret", "record 7", &sealed, &server->error));
    assert_status(server, KW_CIPHERTEXT_INVALID, unseal(subkey, "secret", "record 8", &sealed, &server->error));
    kw_subkey_free(subkey);
    server_reopen(server);
    subkey = get(server, "password", "sales");
    assert_ok(server, unseal(subkey, "secret", "record 7", &sealed, &server->error));
    kw_subkey_free(subkey);
    subkey = get(server, "password", NULL);
    assert_status(server, KW_CIPHERTEXT_INVALID, unseal(subkey, "secret", "record 7", &sealed, &server->error));
    kw_subkey_free(subkey);
}

static void get_what_is_no_master_key_is_refused(void **state)
{
    static const struct {
        const char *address, *purpose;
        kw_status status;
    } cases[] = {
        {"database/sales", "p", KW_REFUSED},      {"server-encryption", "p", KW_REFUSED},
        {"master-key/nobody", "p", KW_NOT_FOUND}, {MASTER "@1", "p", KW_INVALID_ARGUMENT},
        {"master-key", "p", KW_INVALID_ARGUMENT}, {"", "p", KW_INVALID_ARGUMENT},
        {MASTER, "", KW_INVALID_ARGUMENT},        {MASTER, NULL, KW_INVALID_ARGUMENT},
        {NULL, "p", KW_INVALID_ARGUMENT},
    };
    struct server *server = *state;
    kw_subkey *subkey = NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_status(
            server, cases[i].status,
            kw_subkey_get(server->context, cases[i].address, cases[i].purpose, (kw_input){0}, &subkey, &server->error));
    assert_null(subkey);
}

static void get_counts_what_was_in_memory(void **state)
{
    struct server *server = *state;
    struct sealed sealed;
    kw_state *facts = NULL;
    kw_metrics *metrics = NULL;
    kw_subkey *subkey = get(server, "password", NULL);
    for (unsigned i = 0; i < 100; i++) {
        assert_ok(server, seal(subkey, "text", NULL, &sealed, &server->error));
        assert_ok(server, unseal(subkey, "text", NULL, &sealed, &server->error));
    }
    kw_subkey_free(subkey);
    assert_ok(server, kw_state_get(server->context, &facts, &server->error));
    assert_int_equal(facts->subkey_hits, 199); /* the first one is the miss */
    assert_int_equal(facts->subkey_misses, 1);
    assert_int_equal(facts->subkey_calls_saved, 199);
    assert_int_equal(facts->stores[0].outage_since, 0);
    assert_null(facts->stores[0].outage_since_text);
    kw_state_free(facts);
    assert_ok(server, kw_metrics_get(server->context, &metrics, &server->error));
    assert_non_null(strstr(metrics->text, "\nkeywright_subkey_hits_total 199\n"));
    assert_non_null(strstr(metrics->text, "\nkeywright_subkey_misses_total 1\n"));
    assert_non_null(strstr(metrics->text, "\nkeywright_subkey_calls_saved_total 199\n"));
    assert_non_null(
        strstr(metrics->text, "\nkeywright_store_outage_seconds{store=\"local\",store_id=\"7c9e6679\"} 0\n"));
    assert_null(strstr(metrics->text, "store=\"subkeys\""));
    kw_metrics_free(metrics);
}

static void fork_the_child_seals_with_what_it_has(void **state)
{
    struct server *server = *state;
    struct sealed sealed;
    int code = -1;
    kw_subkey *subkey = get(server, "password", NULL);
    assert_ok(server, seal(subkey, "text", NULL, &sealed, &server->error));
    const pid_t child = fork();
    if (child == 0) {
        struct sealed own;
        char command[200];
        snprintf(command, sizeof(command), "rm -rf %s/state", server->directory); /* nothing is left to read */
        server_run(command);
        _exit(unseal(subkey, "text", NULL, &sealed, NULL) == KW_OK &&
                      seal(subkey, "other", NULL, &own, NULL) == KW_OK &&
                      unseal(subkey, "other", NULL, &own, NULL) == KW_OK
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    kw_subkey_free(subkey);
}

/* Whose one use of the library is this handle: it must not miss what all others were told. */
static void handle_takes_a_new_configuration(void **state)
{
    struct server *server = *state;
    const kw_open_options options = {.size = sizeof(options), .configuration = server->configuration, .as_is = true};
    struct sealed sealed;
    kw_context *other = NULL;
    kw_subkey *subkey = get(server, "password", NULL);
    FILE *file = fopen(server->configuration, "ae");
    assert_non_null(file);
    assert_true(fputs("subkeys: {outage_limit: 90s}\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_ok(server, kw_open(&options, &other, &server->error));
    assert_ok(server, kw_reload(other, false, NULL, &server->error));
    assert_int_not_equal(server->context->settings->subkeys.outage_limit, 90000);
    assert_ok(server, seal(subkey, "text", NULL, &sealed, &server->error));
    assert_int_equal(server->context->settings->subkeys.outage_limit, 90000);
    assert_ok(server, unseal(subkey, "text", NULL, &sealed, &server->error));
    kw_subkey_free(subkey);
    kw_close(other);
}

static kw_status derive(struct server *server, const char *purpose, unsigned version, unsigned *used)
{
    unsigned char bytes[32];
    kw_output output = {.data = bytes, .capacity = sizeof(bytes)};
    const kw_derivation wanted = {.size = sizeof(wanted), .address = MASTER, .purpose = purpose, .version = version};
    return kw_subkey_derive(server->context, &wanted, used, &output, &server->error);
}

/* In a child that can read nothing any more. The step that fails; 0: none. */
static int go_on_without_rights(struct server *server, const char *purposes[3])
{
    struct sealed sealed;
    unsigned version = 0;
    kw_subkey *subkey = NULL;
    for (unsigned i = 0; i < 2; i++) { /* one that it had, and one that it has never asked for */
        if (kw_subkey_get(server->context, MASTER, purposes[i], (kw_input){0}, &subkey, &server->error) != KW_OK)
            return 10 + (int)i;
        if (seal(subkey, "text", NULL, &sealed, &server->error) != KW_OK || version_of(&sealed) != 1)
            return 20 + (int)i;
        kw_subkey_free(subkey);
    }
    if (derive(server, purposes[2], 0, &version) != KW_OK || version != 1)
        return 30;
    if (derive(server, purposes[2], 1, NULL) != KW_OK)
        return 31;
    if (derive(server, purposes[2], 2, NULL) == KW_OK)
        return 32;
    return kw_subkey_get(server->context, "master-key/nobody", "p", (kw_input){0}, &subkey, &server->error) == KW_OK
               ? 33
               : 0;
}

static void fork_a_child_without_rights_goes_on_with_what_is_in_memory(void **state)
{
    struct server *server = *state;
    int tell[2], answer[2], code = -1;
    char byte = 0;
    struct sealed sealed;
    kw_subkey *subkey = get(server, "password", NULL);
    assert_ok(server, seal(subkey, "text", NULL, &sealed, &server->error));
    kw_subkey_free(subkey);
    assert_int_equal(pipe(tell), 0);
    assert_int_equal(pipe(answer), 0);
    const pid_t child = fork();
    if (child == 0) {
        const bool is_root = geteuid() == 0;
        if (is_root && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(1);
        const int before = is_root ? go_on_without_rights(server, (const char *[]){"password", "new", "cookie"}) : 0;
        if (before != 0 || write(answer[1], "x", 1) != 1 || read(tell[0], &byte, 1) != 1)
            _exit(before != 0 ? before : 2);
        if (!is_root) {
            char command[200];
            snprintf(command, sizeof(command), "rm -rf %s/state", server->directory);
            server_run(command);
        }
        const int after = go_on_without_rights(server, (const char *[]){"password", "newer", "biscuit"});
        _exit(after == 0 ? 0 : 100 + after);
    }
    close(answer[1]);
    if (read(answer[0], &byte, 1) == 1) {
        new_root(server);
        assert_int_equal(write(tell[1], "x", 1), 1);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    close(answer[0]);
    close(tell[0]);
    close(tell[1]);
}

/* ---- Bytes ---- */

static void derive_bytes_are_of_name_and_version_alone(void **state)
{
    struct server *server = *state;
    unsigned char bytes[4][64];
    unsigned version = 0;
    kw_derivation wanted = {.size = sizeof(wanted), .address = MASTER, .purpose = "cookie"};
    for (unsigned i = 0; i < 4; i++) {
        kw_output output = {.data = bytes[i], .capacity = i == 3 ? 16 : 64};
        wanted.context = text_input(i == 2 ? "other" : "");
        if (i == 1) {
            new_root(server);
            server_reopen(server);
            wanted.version = 1;
        }
        assert_ok(server,
                  kw_subkey_derive(server->context, &wanted, i == 0 ? NULL : &version, &output, &server->error));
        assert_int_equal(output.length, output.capacity);
    }
    assert_int_equal(version, 1);
    assert_memory_equal(bytes[0], bytes[1], 64);
    assert_memory_not_equal(bytes[0], bytes[2], 64);
    assert_memory_equal(bytes[0], bytes[3], 16); /* fewer bytes are the first ones */
    wanted.version = 0;
    kw_output output = {.data = bytes[3], .capacity = 64};
    assert_ok(server, kw_subkey_derive(server->context, &wanted, &version, &output, &server->error));
    assert_int_equal(version, 2);
    assert_memory_not_equal(bytes[0], bytes[3], 64);
}

static void derive_what_is_out_of_its_limits_is_refused(void **state)
{
    struct server *server = *state;
    unsigned char bytes[65];
    kw_derivation wanted = {.size = sizeof(wanted), .address = MASTER, .purpose = "cookie"};
    kw_output output = {.data = bytes, .capacity = 65};
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
    output.capacity = 0;
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
    output.capacity = 32;
    wanted.version = 2;
    assert_status(server, KW_NOT_FOUND, kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
    wanted.version = 0;
    wanted.purpose = "";
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
    wanted.purpose = NULL;
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
    wanted = (kw_derivation){.size = sizeof(wanted), .address = "database/sales", .purpose = "p"};
    assert_status(server, KW_REFUSED, kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
    wanted.size = 0;
    assert_status(server, KW_INVALID_ARGUMENT,
                  kw_subkey_derive(server->context, &wanted, NULL, &output, &server->error));
}

/* ---- Sealing anew ---- */

#define RECORDS 20

struct table {
    struct server *server;
    struct sealed records[RECORDS];
    unsigned conflicts; /* that the next replacements answer */
    size_t fail_at;     /* the record that cannot be replaced; RECORDS: none */
    size_t told, replaced;
    char last[16];
    bool stands_still;
};

static kw_status next(void *user, kw_input after, kw_reseal_record *record)
{
    static char name[16], number[16];
    struct table *table = user;
    size_t index = 0;
    if (after.length > 0) {
        snprintf(name, sizeof(name), "%.*s", (int)after.length, (const char *)after.data);
        index = strtoul(name, NULL, 10) + (table->stands_still ? 0 : 1);
    }
    if (index >= RECORDS)
        return KW_NOT_FOUND;
    snprintf(name, sizeof(name), "%04zu", index);
    snprintf(number, sizeof(number), "number %zu", index);
    *record = (kw_reseal_record){
        .name = text_input(name),
        .sealed = {table->records[index].data, table->records[index].length},
        .context = text_input(index % 2 == 0 ? "sales" : "hr"),
        .associated = text_input(number),
    };
    return KW_OK;
}

static kw_status replace(void *user, const kw_reseal_record *record, kw_input sealed)
{
    struct table *table = user;
    char name[16];
    snprintf(name, sizeof(name), "%.*s", (int)record->name.length, (const char *)record->name.data);
    const size_t index = strtoul(name, NULL, 10);
    if (index == table->fail_at)
        return KW_UNAVAILABLE;
    if (table->conflicts > 0) {
        table->conflicts--;
        return KW_CONFLICT;
    }
    assert_true(sealed.length <= sizeof(table->records[index].data));
    memcpy(table->records[index].data, sealed.data, sealed.length);
    table->records[index].length = sealed.length;
    table->replaced++;
    return KW_OK;
}

static void progress(void *user, kw_input name, uint64_t done, uint64_t resealed)
{
    struct table *table = user;
    table->told++;
    assert_true(resealed <= done);
    snprintf(table->last, sizeof(table->last), "%.*s", (int)name.length, (const char *)name.data);
}

static void fill(struct table *table, struct server *server)
{
    char number[16];
    *table = (struct table){.server = server, .fail_at = RECORDS};
    for (size_t i = 0; i < RECORDS; i++) {
        kw_subkey *subkey = get(server, i % 3 == 0 ? "token" : "password", i % 2 == 0 ? "sales" : "hr");
        snprintf(number, sizeof(number), "number %zu", i);
        assert_ok(server, seal(subkey, i == 4 ? "" : number, number, &table->records[i], &server->error));
        kw_subkey_free(subkey);
    }
}

static void assert_all(struct table *table, unsigned version)
{
    struct server *server = table->server;
    char number[16];
    for (size_t i = 0; i < RECORDS; i++) {
        kw_subkey *subkey = get(server, i % 3 == 0 ? "token" : "password", i % 2 == 0 ? "sales" : "hr");
        snprintf(number, sizeof(number), "number %zu", i);
        assert_ok(server, unseal(subkey, i == 4 ? "" : number, number, &table->records[i], &server->error));
        if (version != 0)
            assert_int_equal(version_of(&table->records[i]), version);
        kw_subkey_free(subkey);
    }
}

static kw_reseal_options options_of(struct table *table)
{
    return (kw_reseal_options){
        .size = sizeof(kw_reseal_options),
        .address = MASTER,
        .next = next,
        .replace = replace,
        .progress = progress,
        .user = table,
        .everything = true,
    };
}

/* What the catalogue has noted about version 1. */
static unsigned resealed_under(struct server *server)
{
    struct found found = {0};
    struct root_row *rows = NULL;
    size_t count = 0;
    assert_ok(server, manager_find(server->context, MASTER, &found, &server->error));
    assert_ok(server, catalogue_roots_read(server->context->catalogue, &found.entry.id, &rows, &count, &server->error));
    assert_true(count > 0);
    const unsigned resealed = rows[0].resealed;
    catalogue_roots_free(rows, count);
    found_clear(&found);
    return resealed;
}

static void reseal_all_is_under_the_new_version_and_that_is_noted(void **state)
{
    struct server *server = *state;
    struct table table;
    kw_reseal_result result = {0};
    fill(&table, server);
    kw_reseal_options options = options_of(&table);
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(result.records, RECORDS);
    assert_int_equal(result.resealed, 0);
    assert_int_equal(result.version, 1);
    assert_int_equal(resealed_under(server), 0);
    new_root(server);
    table.conflicts = 3;
    options.everything = false;
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(resealed_under(server), 0);
    options.everything = true;
    fill(&table, server);
    new_root(server);
    table.told = 0;
    table.conflicts = 3;
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(result.records, RECORDS);
    assert_int_equal(result.resealed, RECORDS);
    assert_int_equal(result.version, 3);
    assert_int_equal(table.told, RECORDS);
    assert_string_equal(table.last, "0019");
    assert_all(&table, 3);
    assert_int_equal(resealed_under(server), 3);
}

static void reseal_a_walk_that_was_cut_goes_on_where_it_was(void **state)
{
    struct server *server = *state;
    struct table table;
    kw_reseal_result result = {0};
    fill(&table, server);
    new_root(server);
    table.fail_at = 7;
    kw_reseal_options options = options_of(&table);
    assert_status(server, KW_UNAVAILABLE, kw_reseal(server->context, &options, &result, &server->error));
    assert_non_null(strstr(server->error.message, "record 0007"));
    assert_int_equal(result.resealed, 7);
    assert_string_equal(table.last, "0006");
    assert_all(&table, 0);
    table.fail_at = RECORDS;
    char last[16];
    snprintf(last, sizeof(last), "%s", table.last);
    options.after = text_input(last);
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(result.records, RECORDS - 7);
    assert_int_equal(result.resealed, RECORDS - 7);
    assert_all(&table, 2);
    assert_int_equal(resealed_under(server), 0); /* nobody saw all of them in one walk */
    options.after = (kw_input){0};
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(result.resealed, 0);
    assert_int_equal(resealed_under(server), 2);
}

static void reseal_a_record_that_does_not_open_is_named_and_nothing_is_noted(void **state)
{
    struct server *server = *state;
    struct table table;
    kw_reseal_result result = {0};
    fill(&table, server);
    new_root(server);
    table.records[5].data[table.records[5].length - 1] ^= 1;
    kw_reseal_options options = options_of(&table);
    assert_status(server, KW_CIPHERTEXT_INVALID, kw_reseal(server->context, &options, &result, &server->error));
    assert_non_null(strstr(server->error.message, "record 0005"));
    assert_int_equal(result.resealed, 5);
    assert_int_equal(resealed_under(server), 0);
    table.records[5].data[4] ^= 1; /* of another master key */
    assert_status(server, KW_CIPHERTEXT_INVALID, kw_reseal(server->context, &options, &result, &server->error));
    assert_non_null(strstr(server->error.message, "another master key"));
    table.records[5].length = 3;
    assert_status(server, KW_CIPHERTEXT_INVALID, kw_reseal(server->context, &options, &result, &server->error));
    assert_non_null(strstr(server->error.message, "record 0005"));
}

/* A child that may be behind could seal under the old version when the walk has passed. */
static void reseal_waits_until_nobody_can_seal_under_an_older_version(void **state)
{
    struct server *server = *state;
    struct table table;
    kw_reseal_result result = {0};
    int ends[2], code = -1;
    char byte;
    fill(&table, server);
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ends[0]);
    new_root(server);
    kw_reseal_options options = options_of(&table);
    options.wait_ms = 100;
    assert_status(server, KW_TIMEOUT, kw_reseal(server->context, &options, &result, &server->error));
    char name[32];
    snprintf(name, sizeof(name), "process %ld", (long)child);
    assert_non_null(strstr(server->error.message, name));
    assert_int_equal(result.resealed, 0);
    /* what is not everything waits for nobody, and nothing is noted */
    options.everything = false;
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(resealed_under(server), 0);
    close(ends[1]);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    options.everything = true;
    assert_ok(server, kw_reseal(server->context, &options, &result, &server->error));
    assert_int_equal(resealed_under(server), 2);
}

static void reseal_callbacks_that_do_not_come_to_an_end_are_an_error(void **state)
{
    struct server *server = *state;
    struct table table;
    fill(&table, server);
    new_root(server);
    kw_reseal_options options = options_of(&table);
    table.stands_still = true;
    assert_status(server, KW_INVALID_ARGUMENT, kw_reseal(server->context, &options, NULL, &server->error));
    table.stands_still = false;
    table.conflicts = 1000000;
    assert_status(server, KW_CONFLICT, kw_reseal(server->context, &options, NULL, &server->error));
    assert_non_null(strstr(server->error.message, "record 0001"));
    options.replace = NULL;
    assert_status(server, KW_INVALID_ARGUMENT, kw_reseal(server->context, &options, NULL, &server->error));
    options = options_of(&table);
    options.address = "database/sales";
    assert_status(server, KW_REFUSED, kw_reseal(server->context, &options, NULL, &server->error));
    options.size = 0;
    assert_status(server, KW_INVALID_ARGUMENT, kw_reseal(server->context, &options, NULL, &server->error));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(seal_outlives_a_restart_and_a_reload),
        CASE(get_what_is_no_master_key_is_refused),
        CASE(get_counts_what_was_in_memory),
        CASE(fork_the_child_seals_with_what_it_has),
        CASE(handle_takes_a_new_configuration),
        CASE(fork_a_child_without_rights_goes_on_with_what_is_in_memory),
        CASE(derive_bytes_are_of_name_and_version_alone),
        CASE(derive_what_is_out_of_its_limits_is_refused),
        CASE(reseal_all_is_under_the_new_version_and_that_is_noted),
        CASE(reseal_a_walk_that_was_cut_goes_on_where_it_was),
        CASE(reseal_a_record_that_does_not_open_is_named_and_nothing_is_noted),
        CASE(reseal_waits_until_nobody_can_seal_under_an_older_version),
        CASE(reseal_callbacks_that_do_not_come_to_an_end_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
