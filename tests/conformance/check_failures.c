/* The host fails at each call that an operation makes, one after another: the answer is clear, nothing is left, and all works again. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

#define CALLS 200u /* more than an operation should need */

/* An operation that is to be interrupted. */
struct attempt {
    const char *name;
    struct kit *kit;
    const struct key_variant *variant;
    kw_key_template wanted;
    struct bytes pkcs8;
    struct locator locator; /* of a key that is there */
    unsigned char id[KW_KEY_ID_LENGTH];
    kw_plugin_key *key;
};

static kw_status attempt_generate(struct attempt *attempt)
{
    struct locator locator;
    return generate(attempt->kit, attempt->kit->instance, &attempt->wanted, &locator);
}

static kw_status attempt_import(struct attempt *attempt)
{
    struct locator locator;
    return import(attempt->kit, attempt->kit->instance, &attempt->wanted, bytes_view(&attempt->pkcs8), &locator);
}

static kw_status attempt_open(struct attempt *attempt)
{
    struct kit *kit = attempt->kit;
    kw_plugin_key *key = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    kw_status status =
        kit->operations.key_open(kit->instance, &kit->call, locator_view(&attempt->locator), &key, &capabilities);
    if (status == KW_OK)
        kit->operations.key_close(key);
    return status;
}

static kw_status attempt_find(struct attempt *attempt)
{
    unsigned char room[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = room, .capacity = sizeof(room)};
    return attempt->kit->operations.key_find(attempt->kit->instance, &attempt->kit->call, attempt->id, &output);
}

static kw_status attempt_list(struct attempt *attempt)
{
    unsigned char room[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = room, .capacity = sizeof(room)};
    uint64_t cursor = 0;
    return attempt->kit->operations.key_list(attempt->kit->instance, &attempt->kit->call, &cursor, &output);
}

static kw_status attempt_health(struct attempt *attempt)
{
    return attempt->kit->operations.health(attempt->kit->instance, &attempt->kit->call);
}

static kw_status attempt_delete(struct attempt *attempt)
{
    struct kit *kit = attempt->kit;
    return kit->operations.key_delete(kit->instance, &kit->call, locator_view(&attempt->locator));
}

/* What an interrupted generate or import left must be found by its id, open, and can be deleted; or there is nothing. */
static void clean_up(struct attempt *attempt, const char *name, size_t records)
{
    struct kit *kit = attempt->kit;
    struct test_key left = {.wanted = attempt->wanted};
    kw_output output = {.data = left.locator.data, .capacity = KW_LOCATOR_MAXIMUM};
    kw_status status = kit->operations.key_find(kit->instance, &kit->call, attempt->wanted.id, &output);
    if (status == KW_OK) {
        left.locator.length = output.length;
        test_key_open(kit, kit->instance, &kit->host, RULE_5_NOTHING_LEFT, &left);
        test_key_free(kit, &left);
    } else {
        require(RULE_5_NOTHING_LEFT, status == KW_NOT_FOUND, "key_find after %s was interrupted: %s", name,
                status_name(status));
    }
    require(RULE_5_NOTHING_LEFT, records_count(kit->records) == records,
            "%s was interrupted and left a record that key_find does not find", name);
    atomic_store(&kit->host.reports, 0);
}

/* Interrupts until the operation needs no more calls. `makes`: it makes a key. */
static void interrupt(struct attempt *attempt, const char *name, kw_status (*operation)(struct attempt *),
                      enum failure failure, bool makes)
{
    struct kit *kit = attempt->kit;
    struct kit_host *host = &kit->host;
    enum requirement requirement = failure == FAILURE_MEMORY ? RULE_5_MEMORY_ENDS : RULE_5_HOST_FAILS;
    kw_status wanted = failure == FAILURE_MEMORY ? KW_OUT_OF_MEMORY : KW_UNAVAILABLE;
    for (unsigned call = 1; call < CALLS; call++) {
        size_t records = records_count(kit->records);
        long blocks = kit_host_blocks(host);
        kit_host_fail(host, failure, call);
        kw_status status = operation(attempt);
        bool failed = kit_host_failed(host);
        if (failed)
            expect_failure(host, requirement, status, wanted, name);
        else
            expect_ok(host, RULE_6_RECOVERY, status, name);
        require(RULE_2_SECRETS_FREED, kit_host_blocks(host) == blocks, "%s kept secret memory, interrupted at call %u",
                name, call);
        if (makes)
            clean_up(attempt, name, records);
        if (!failed)
            return;
    }
    require(requirement, false, "%s makes more than %u calls to the host", name, CALLS);
}

static void check_operations(struct kit *kit, enum failure failure)
{
    struct test_key key = {.key = NULL};
    size_t position = 0;
    const struct key_variant *variant = variant_next(kit, &position);
    if (variant == NULL || !test_key_new(kit, RULE_6_RECOVERY, variant, &key)) {
        test_key_free(kit, &key);
        return;
    }
    struct attempt attempt = {
        .kit = kit, .variant = variant, .wanted = template_new(kit, variant), .locator = key.locator};
    memcpy(attempt.id, key.wanted.id, sizeof(attempt.id));
    EVP_PKEY *pkey = judge_key(variant);
    if (pkey == NULL || !judge_private(pkey, &attempt.pkcs8))
        abort();
    interrupt(&attempt, "health", attempt_health, failure, false);
    interrupt(&attempt, "key_find", attempt_find, failure, false);
    interrupt(&attempt, "key_open", attempt_open, failure, false);
    if (kit_can(kit, KW_CAN_LIST))
        interrupt(&attempt, "key_list", attempt_list, failure, false);
    if (kit_can(kit, KW_CAN_GENERATE) && kit_can(kit, KW_CAN_DELETE))
        interrupt(&attempt, "key_generate", attempt_generate, failure, true);
    if (kit_can(kit, KW_CAN_IMPORT) && kit_can(kit, KW_CAN_DELETE))
        interrupt(&attempt, "key_import", attempt_import, failure, true);
    if (kit_can(kit, KW_CAN_DELETE) && failure != FAILURE_UNAVAILABLE_AFTER) {
        interrupt(&attempt, "key_delete", attempt_delete, failure, false);
        key.locator.length = 0; /* the last attempt deleted it */
    }
    bytes_free(&attempt.pkcs8);
    EVP_PKEY_free(pkey);
    test_key_free(kit, &key);
}

/* The first open of a store, which may write, and a later one. */
static void check_open(struct kit *kit, enum failure failure, bool empty)
{
    enum requirement requirement = failure == FAILURE_MEMORY ? RULE_5_MEMORY_ENDS : RULE_5_HOST_FAILS;
    for (unsigned call = 1; call < CALLS; call++) {
        struct kit_host host;
        kw_plugin_instance *instance = NULL;
        kw_capabilities capabilities;
        struct records *records = empty ? records_new() : records_copy(kit->records);
        kit_host_like(kit, &host, records);
        kit_host_fail(&host, failure, call);
        kw_status status = kit_open(kit, &host, &instance, &capabilities);
        bool failed = kit_host_failed(&host);
        if (failed)
            expect_failure(&host, requirement, status, failure == FAILURE_MEMORY ? KW_OUT_OF_MEMORY : KW_UNAVAILABLE,
                           "open");
        kit_close(kit, &host, status == KW_OK ? instance : NULL);
        if (failed) { /* and now the same store opens */
            instance = NULL;
            kit_host_like(kit, &host, records);
            status = kit_open(kit, &host, &instance, &capabilities);
            expect_ok(&host, RULE_6_RECOVERY, status, "open after one that was interrupted");
            kit_close(kit, &host, status == KW_OK ? instance : NULL);
        } else {
            expect_ok(&host, RULE_6_RECOVERY, status, "open");
        }
        records_free(records);
        if (!failed)
            return;
    }
}

void check_failures(struct kit *kit)
{
    static const enum failure failures[] = {FAILURE_UNAVAILABLE, FAILURE_UNAVAILABLE_AFTER, FAILURE_MEMORY};
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        check_operations(kit, failures[i]);
        check_open(kit, failures[i], false);
        check_open(kit, failures[i], true);
    }
}
