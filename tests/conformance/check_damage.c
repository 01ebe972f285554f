/* Records that were changed. For plugins that keep their keys elsewhere there is nothing to check. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

enum change { CHANGE_FLIP, CHANGE_CUT, CHANGE_LONGER, CHANGE_EMPTY };

/* The value with one thing wrong. */
static void damage(struct records *records, kw_input name, const struct bytes *good, enum change change, size_t at)
{
    unsigned char *wrong = calloc(1, good->length + 1);
    size_t length = good->length;
    if (wrong == NULL)
        abort();
    memcpy(wrong, good->data, good->length);
    if (change == CHANGE_FLIP)
        wrong[at] ^= (unsigned char)(1u << (at % 8));
    else if (change == CHANGE_CUT)
        length = at;
    else if (change == CHANGE_LONGER)
        length++;
    else
        length = 0;
    records_set(records, name, (kw_input){wrong, length});
    free(wrong);
}

static struct bytes copy(kw_input from)
{
    struct bytes bytes = {malloc(from.length + 1), from.length};
    if (bytes.data == NULL)
        abort();
    memcpy(bytes.data, from.data, from.length);
    return bytes;
}

/* A key whose record was changed must not open, and must not be mistaken for one that is absent or for a wrong secret. */
static void must_not_open(struct kit *kit, const struct test_key *key, const char *what, size_t at)
{
    kw_plugin_key *handle = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    kw_status status =
        kit->operations.key_open(kit->instance, &kit->call, locator_view(&key->locator), &handle, &capabilities);
    require(KEY_DAMAGED, status == KW_CORRUPT, "key_open of a key whose record was %s (byte %zu): %s", what, at,
            status_name(status));
    if (status == KW_OK)
        kit->operations.key_close(handle);
    expect_failure(&kit->host, KEY_DAMAGED, status, KW_CORRUPT, "key_open of a damaged key");
}

static void must_open(struct kit *kit, const struct test_key *key)
{
    struct test_key again = {.wanted = key->wanted, .locator = key->locator};
    test_key_open(kit, kit->instance, &kit->host, KEY_DAMAGED, &again);
    if (again.key != NULL)
        kit->operations.key_close(again.key);
    EVP_PKEY_free(again.pkey);
}

/* A copy of a record's value; empty when there is none. */
static struct bytes value_of(const struct records *records, kw_input name)
{
    for (size_t i = 0; i < records_count(records); i++) {
        kw_input row = records_name(records, i);
        if (row.length == name.length && memcmp(row.data, name.data, name.length) == 0)
            return copy(records_value(records, i));
    }
    return (struct bytes){NULL, 0};
}

static void check_key_record(struct kit *kit, const struct test_key *key, const struct test_key *other, kw_input name,
                             kw_input other_name)
{
    struct bytes good = value_of(kit->records, name), another = value_of(kit->records, other_name);
    bool found = good.data != NULL && another.data != NULL;
    for (size_t at = 0; found && at < good.length; at++) {
        damage(kit->records, name, &good, CHANGE_FLIP, at);
        must_not_open(kit, key, "changed", at);
    }
    for (size_t at = 1; found && at < good.length; at += 13) {
        damage(kit->records, name, &good, CHANGE_CUT, at);
        must_not_open(kit, key, "cut", at);
    }
    if (found) {
        damage(kit->records, name, &good, CHANGE_LONGER, 0);
        must_not_open(kit, key, "made longer", good.length);
        damage(kit->records, name, &good, CHANGE_EMPTY, 0);
        must_not_open(kit, key, "emptied", 0);
        records_set(kit->records, name, bytes_view(&another));
        must_not_open(kit, key, "replaced by another key's", 0);
        must_open(kit, other);
        records_set(kit->records, name, bytes_view(&good));
        must_open(kit, key);
    }
    bytes_free(&good);
    bytes_free(&another);
}

/* The record that `now` has and `before` has not. */
static bool new_record(const struct records *before, const struct records *now, struct bytes *name)
{
    for (size_t i = 0; i < records_count(now); i++)
        if (!records_has(before, records_name(now, i))) {
            *name = copy(records_name(now, i));
            return true;
        }
    return false;
}

static void check_key_damage(struct kit *kit)
{
    struct test_key key = {.key = NULL}, other = {.key = NULL};
    struct bytes name = {NULL, 0}, other_name = {NULL, 0};
    size_t position = 0;
    const struct key_variant *variant = variant_next(kit, &position);
    struct records *before = records_copy(kit->records), *between = NULL;
    if (variant != NULL && test_key_new(kit, KEY_DAMAGED, variant, &key)) {
        between = records_copy(kit->records);
        if (test_key_new(kit, KEY_DAMAGED, variant, &other) && new_record(before, between, &name) &&
            new_record(between, kit->records, &other_name))
            check_key_record(kit, &key, &other, bytes_view(&name), bytes_view(&other_name));
    }
    test_key_free(kit, &key);
    test_key_free(kit, &other);
    bytes_free(&name);
    bytes_free(&other_name);
    records_free(before);
    records_free(between);
}

/* What the instance keeps beside its keys, changed anywhere: open says so, and does not blame the secret. */
static void check_store_damage(struct kit *kit)
{
    for (size_t row = 0; row < records_count(kit->records); row++) {
        struct records *damaged = records_copy(kit->records);
        struct bytes name = copy(records_name(kit->records, row)), good = copy(records_value(kit->records, row));
        for (size_t at = 0; at <= good.length; at++) {
            struct kit_host host;
            kw_plugin_instance *instance = NULL;
            kw_capabilities capabilities;
            damage(damaged, bytes_view(&name), &good, at < good.length ? CHANGE_FLIP : CHANGE_CUT,
                   at < good.length ? at : good.length / 2);
            kit_host_like(kit, &host, damaged);
            kw_status status = kit_open(kit, &host, &instance, &capabilities);
            require(STORE_DAMAGED, status == KW_CORRUPT, "open with a record that was changed at byte %zu: %s", at,
                    status_name(status));
            expect_failure(&host, STORE_DAMAGED, status, KW_CORRUPT, "open with a damaged record");
            require(STORE_DAMAGED, atomic_load(&host.secret_refusals) == 0,
                    "open with a damaged record (byte %zu) told the host that the secret is wrong", at);
            require(STORE_DAMAGED, atomic_load(&host.record_writes) == 0, "open wrote over a damaged record");
            kit_close(kit, &host, status == KW_OK ? instance : NULL);
        }
        bytes_free(&name);
        bytes_free(&good);
        records_free(damaged);
    }
}

void check_damage(struct kit *kit)
{
    /* all test keys are gone, so what is left is the store's */
    if (kit_can(kit, KW_CAN_DELETE))
        check_store_damage(kit);
    check_key_damage(kit);
}
