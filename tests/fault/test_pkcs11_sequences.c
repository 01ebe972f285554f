/*
 * Whatever is done to master keys in whatever order: every seal that was ever made opens, unless it was announced that it does not, by a version that was
 * retired; or the token is away, and then it opens once that is back. KW_TEST_SEED gives another order, KW_TEST_FULL=yes more of them.
 */
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the headers that it needs */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MASTERS  3
#define RECORDS  60
#define VERSIONS 64

static struct server server;
static kw_error error;

struct record {
    bool is_used;
    unsigned master, number;
    unsigned char seal[160];
    size_t length;
};

static struct {
    bool exists[MASTERS];
    bool is_retired[MASTERS][VERSIONS]; /* announced */
    unsigned active[MASTERS];           /* 0: no root yet */
    struct record records[RECORDS];
    bool is_away;
    uint64_t random;
    char story[4096]; /* what was done, for whoever reads a failure */
} world;

static unsigned pick(unsigned below)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return (unsigned)(world.random >> 20) % below;
}

static void tell(const char *what, unsigned master, kw_status status)
{
    const size_t length = strlen(world.story);
    snprintf(world.story + length, sizeof(world.story) - length, "%s m%u: %s; ", what, master, kw_status_text(status));
}

static void fail_with(const char *what, kw_status status)
{
    fail_msg("seed %u: %s: %s (%s)\n%s", test_seed(), what, kw_status_text(status), error.message, world.story);
}

static const char *address_of(unsigned master)
{
    static char name[32];
    snprintf(name, sizeof(name), "master-key/m%u", master);
    return name;
}

static unsigned version_of(const struct record *record)
{
    return (unsigned)record->seal[22] << 8 | record->seal[23];
}

/* What may come of something that needs the token, while it is away. */
static bool is_of_outage(kw_status status)
{
    return world.is_away && (status == KW_UNAVAILABLE || status == KW_TIMEOUT);
}

static kw_status get(unsigned master, kw_subkey **subkey)
{
    return kw_subkey_get(server.context, address_of(master), "password", (kw_input){0}, subkey, &error);
}

/* ---- What is done ---- */

static kw_status do_create(unsigned master)
{
    const char *database = "db";
    const kw_certificate_template wanted = {
        .size = sizeof(wanted),
        .address = address_of(master),
        .key = "ec-p256",
        .store = pick(2) == 0 ? "hsm" : "local",
        .databases = &database,
        .database_count = 1,
    };
    const kw_status status = kw_certificate_create(server.context, &wanted, NULL, NULL, &error);
    if (status == KW_OK)
        world.exists[master] = true;
    else if (status != KW_EXISTS && !is_of_outage(status))
        fail_with("create", status);
    return status;
}

static kw_input number_of(const struct record *record)
{
    return (kw_input){(const unsigned char *)&record->number, sizeof(record->number)};
}

static kw_status do_seal(unsigned master)
{
    static unsigned last;
    struct record *record = &world.records[pick(RECORDS)];
    struct record made = {.is_used = true, .master = master, .number = ++last};
    kw_output output = {.data = made.seal, .capacity = sizeof(made.seal)};
    kw_subkey *subkey = NULL;
    kw_status status = get(master, &subkey);
    if (status == KW_OK)
        status = kw_seal(subkey, number_of(&made), number_of(&made), &output, &error);
    kw_subkey_free(subkey);
    made.length = output.length;
    if (status != KW_OK && !is_of_outage(status))
        fail_with("seal", status);
    if (status != KW_OK)
        return status;
    *record = made;
    if (world.active[master] == 0)
        world.active[master] = 1;
    if (version_of(&made) != world.active[master])
        fail_with("seal under another version than the active one", status);
    return status;
}

static kw_status do_rotate(unsigned master)
{
    const kw_rotate_options options = {.size = sizeof(options), .address = address_of(master)};
    const kw_status status = kw_rotate(server.context, &options, NULL, NULL, &error);
    if (status == KW_OK)
        world.active[master]++;
    else if (!is_of_outage(status))
        fail_with("rotate", status);
    return status;
}

static kw_status do_new_key(unsigned master)
{
    const kw_rotate_options options = {.size = sizeof(options),
                                       .address = address_of(master),
                                       .new_key = true,
                                       .store = pick(2) == 0 ? "hsm" : "local"};
    const kw_status status = kw_rotate(server.context, &options, NULL, NULL, &error);
    if (status != KW_OK && !is_of_outage(status))
        fail_with("rotate --new-key", status);
    return status;
}

static kw_status do_transfer(unsigned master)
{
    const char *const address = address_of(master);
    const kw_transfer_options options = {
        .size = sizeof(options), .addresses = &address, .address_count = 1, .store = "hsm"};
    const kw_status status = kw_transfer(server.context, &options, NULL, NULL, &error);
    if (status != KW_OK && !is_of_outage(status))
        fail_with("transfer", status);
    return status;
}

struct walk {
    unsigned master;
};

static kw_status next(void *user, kw_input after, kw_reseal_record *record)
{
    static unsigned char index;
    const struct walk *walk = user;
    for (unsigned at = after.length == 0 ? 0 : after.data[0] + 1u; at < RECORDS; at++) {
        const struct record *found = &world.records[at];
        if (!found->is_used || found->master != walk->master || world.is_retired[found->master][version_of(found)])
            continue;
        index = (unsigned char)at;
        *record = (kw_reseal_record){
            .name = {&index, 1}, .sealed = {found->seal, found->length}, .associated = number_of(found)};
        return KW_OK;
    }
    return KW_NOT_FOUND;
}

static kw_status replace(void *user, const kw_reseal_record *record, kw_input sealed)
{
    (void)user;
    assert_int_equal(sealed.length, world.records[record->name.data[0]].length);
    memcpy(world.records[record->name.data[0]].seal, sealed.data, sealed.length);
    return KW_OK;
}

static kw_status do_reseal(unsigned master)
{
    struct walk walk = {master};
    const kw_reseal_options options = {
        .size = sizeof(options),
        .address = address_of(master),
        .next = next,
        .replace = replace,
        .user = &walk,
        .everything = true,
    };
    const kw_status status = kw_reseal(server.context, &options, NULL, &error);
    if (status == KW_OK && world.active[master] == 0)
        world.active[master] = 1;
    if (status != KW_OK && !is_of_outage(status))
        fail_with("reseal", status);
    return status;
}

/* May be refused, which loses nothing. What it takes away must be under no record's seal, but for those that were given up. */
static kw_status do_retire(unsigned master)
{
    if (world.active[master] == 0)
        return KW_NOT_FOUND;
    const unsigned version = pick(world.active[master]) + 1;
    const kw_rotate_options options = {.size = sizeof(options), .address = address_of(master), .retire = version};
    const kw_status status = kw_rotate(server.context, &options, NULL, NULL, &error);
    if (status == KW_OK)
        world.is_retired[master][version] = true;
    else if (status != KW_REFUSED && !is_of_outage(status))
        fail_with("retire", status);
    for (unsigned i = 0; status == KW_OK && i < RECORDS; i++)
        if (world.records[i].is_used && world.records[i].master == master && version_of(&world.records[i]) == version)
            fail_with("a version was retired that a seal is under", status);
    return status;
}

static kw_status do_restart(unsigned master)
{
    (void)master;
    server_close(&server);
    const kw_status status = server_open(&server, &error);
    if (status != KW_OK)
        server_stop("open", &error);
    return status;
}

static kw_status do_outage(unsigned master)
{
    (void)master;
    world.is_away = !world.is_away;
    if (world.is_away)
        shim_drop(server.control);
    else
        shim_restore(server.control);
    const kw_status status = kw_subkeys_refresh(server.context, &error);
    if (status != KW_OK && !is_of_outage(status))
        fail_with("refresh", status);
    return status;
}

/* ---- What must hold ---- */

static void look_at_all(void)
{
    for (unsigned i = 0; i < RECORDS; i++) {
        const struct record *const record = &world.records[i];
        unsigned number = 0;
        kw_output output = {.data = (unsigned char *)&number, .capacity = sizeof(number)};
        kw_subkey *subkey = NULL;
        if (!record->is_used)
            continue;
        kw_status status = get(record->master, &subkey);
        if (status == KW_OK)
            status = kw_unseal(subkey, (kw_input){record->seal, record->length}, number_of(record), &output, &error);
        kw_subkey_free(subkey);
        if (status == KW_OK && number != record->number)
            fail_with("another record", status);
        if (status != KW_OK && !is_of_outage(status))
            fail_with("an old seal does not open", status);
    }
}

static const struct {
    const char *name;
    kw_status (*run)(unsigned master);
    unsigned weight;
    bool needs_master;
} deeds[] = {
    {"create", do_create, 4, false},  {"seal", do_seal, 24, true},        {"rotate", do_rotate, 6, true},
    {"new key", do_new_key, 3, true}, {"transfer", do_transfer, 4, true}, {"reseal", do_reseal, 4, true},
    {"retire", do_retire, 6, true},   {"restart", do_restart, 3, false},  {"outage", do_outage, 4, false},
};
#define DEEDS (sizeof(deeds) / sizeof(deeds[0]))

static void one_step(void)
{
    unsigned total = 0;
    for (size_t i = 0; i < DEEDS; i++)
        total += deeds[i].weight;
    unsigned at = pick(total);
    size_t deed = 0;
    while (at >= deeds[deed].weight)
        at -= deeds[deed++].weight;
    const unsigned master = pick(MASTERS);
    if (deeds[deed].needs_master && !world.exists[master])
        deed = 0;
    tell(deeds[deed].name, master, deeds[deed].run(master));
}

static void every_seal_opens_unless_its_version_was_retired(void **state)
{
    const unsigned rounds = test_is_full() ? 10 : 1, steps = test_is_full() ? 200 : 80;
    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        memset(&world, 0, sizeof(world));
        world.random = UINT64_C(0x9E3779B97F4A7C15) * (test_seed() + 1000u * round + 1);
        server_make(&server, "");
        if (server_open(&server, &error) != KW_OK || server_create(&server, "database/db", "ec-p256", &error) != KW_OK)
            server_stop("set-up", &error);
        for (unsigned step = 0; step < steps; step++) {
            one_step();
            if (step % 10 == 9)
                look_at_all();
        }
        if (world.is_away)
            do_outage(0);
        look_at_all();
        do_restart(0);
        look_at_all();
        server_remove(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_seal_opens_unless_its_version_was_retired)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
