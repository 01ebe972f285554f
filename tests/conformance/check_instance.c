/* Instances: capabilities, health, random, sizes of structs, opening again and twice. */
#include "kit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void check_claims(const struct kit *kit)
{
    const kw_capabilities *can = &kit->capabilities;
    const kw_plugin_operations *has = &kit->operations;
    const struct {
        uint32_t operation;
        bool there;
        const char *name;
    } claims[] = {
        {KW_CAN_GENERATE, has->key_generate != NULL, "key_generate"},
        {KW_CAN_IMPORT, has->key_import != NULL, "key_import"},
        {KW_CAN_EXPORT, has->key_export != NULL, "key_export"},
        {KW_CAN_DELETE, has->key_delete != NULL, "key_delete"},
        {KW_CAN_LIST, has->key_list != NULL, "key_list"},
        {KW_CAN_ATTEST, has->key_attest != NULL, "key_attest"},
        {KW_CAN_STORE_CERTIFICATES, has->certificate_put != NULL && has->certificate_get != NULL, "certificate_put"},
        {KW_CAN_SET_SECRET, has->set_secret != NULL, "set_secret"},
        {KW_CAN_RANDOM, has->random != NULL, "random"},
        {KW_CAN_SIGN, has->sign != NULL, "sign"},
        {KW_CAN_DECRYPT, has->decrypt != NULL, "decrypt"},
        {KW_CAN_DERIVE, has->derive != NULL, "derive"},
    };
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
        require(ABI_MANDATORY, (can->operations & claims[i].operation) == 0 || claims[i].there,
                "the instance claims %s and has no such operation", claims[i].name);
    bool rsa = (can->key_types & KW_BIT(KW_KEY_RSA)) != 0, ec = (can->key_types & KW_BIT(KW_KEY_EC)) != 0;
    bool oaep = (can->schemes & KW_BIT(KW_SCHEME_RSA_OAEP)) != 0;
    uint32_t rsa_signatures = KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS);
    require(OPEN_CAPABILITIES, can->size == sizeof(*can), "the size was changed to %zu", can->size);
    require(OPEN_CAPABILITIES, can->key_types != 0 && can->schemes != 0, "no key types or no schemes are claimed");
    require(OPEN_CAPABILITIES, !rsa || (can->rsa_bits_minimum != 0 && can->rsa_bits_minimum <= can->rsa_bits_maximum),
            "RSA from %u to %u bits", can->rsa_bits_minimum, can->rsa_bits_maximum);
    require(OPEN_CAPABILITIES, ec == (can->curves != 0), "EC keys and curves do not fit");
    require(OPEN_CAPABILITIES, oaep == (can->oaep_hashes != 0), "OAEP and its hashes do not fit");
    require(OPEN_CAPABILITIES, (can->schemes & rsa_signatures) == 0 || can->sign_hashes != 0,
            "RSA signatures are claimed and no hash for them");
    const char *end = memchr(can->token, '\0', sizeof(can->token));
    bool plain = end != NULL;
    for (const char *at = can->token; plain && at < end; at++)
        plain = *at >= ' ' && *at <= '~';
    require(OPEN_CAPABILITIES, plain, "the serial number of the token is no text");
    require(OPEN_CAPABILITIES, (can->sign_hashes & KW_BIT(KW_HASH_SHA1)) == 0, "SHA-1 is claimed for signatures");
}

static void check_random(struct kit *kit)
{
    unsigned char room[64 + 16], other[64];
    if (!kit_can(kit, KW_CAN_RANDOM))
        return;
    for (size_t length = 1; length <= 64; length *= 8) {
        kw_output output = {.data = room, .capacity = length};
        memset(room, 0xA7, sizeof(room));
        kw_status status = kit->operations.random(kit->instance, &kit->call, &output);
        expect_ok(&kit->host, RANDOM_FILLS, status, "random");
        require(RANDOM_FILLS, output.length == length, "random gave %zu bytes instead of %zu", output.length, length);
        for (size_t i = length; i < length + 16; i++)
            require(RULE_2_NO_OVERFLOW, room[i] == 0xA7, "random wrote beyond its output of %zu bytes", length);
    }
    kw_output output = {.data = other, .capacity = sizeof(other)};
    expect_ok(&kit->host, RANDOM_FILLS, kit->operations.random(kit->instance, &kit->call, &output), "random");
    require(RANDOM_FILLS, memcmp(room, other, sizeof(other)) != 0, "random gave the same bytes twice");
    unsigned zeros = 0;
    for (size_t i = 0; i < sizeof(other); i++)
        zeros += other[i] == 0;
    require(RANDOM_FILLS, zeros < 16, "%u of %zu random bytes are zero", zeros, sizeof(other));
}

/* Structs as an older host would send them. */
static void check_short_structs(struct kit *kit)
{
    struct kit_host host;
    struct records *records = records_copy(kit->records);
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities, full = kit->capabilities;
    kw_call call = {.size = offsetof(kw_call, deadline), .deadline = 1};

    kit_host_like(kit, &host, records);
    memset(&capabilities, 0x5A, sizeof(capabilities));
    capabilities.size = offsetof(kw_capabilities, schemes);
    kw_status status =
        kit->operations.open(&call, &host.table, kit->options, kit->option_count, &instance, &capabilities);
    if (expect_ok(&host, ABI_SHORT_STRUCTS, status, "open with a short kw_capabilities")) {
        unsigned char beyond[sizeof(capabilities)];
        memset(beyond, 0x5A, sizeof(beyond));
        require(ABI_SHORT_STRUCTS,
                memcmp((unsigned char *)&capabilities + capabilities.size, beyond,
                       sizeof(capabilities) - capabilities.size) == 0,
                "open wrote beyond the size of kw_capabilities");
        require(ABI_SHORT_STRUCTS,
                capabilities.operations == full.operations && capabilities.key_types == full.key_types,
                "open did not fill what the host's kw_capabilities knows");
        expect_ok(&host, ABI_SHORT_STRUCTS, kit->operations.health(instance, &call),
                  "health with a kw_call that has no deadline");
    }
    kit_close(kit, &host, instance);
    records_free(records);
}

/* A host without the services that a plugin can do without. */
static void check_slots(struct kit *kit)
{
    struct kit_host host;
    struct records *records = records_copy(kit->records);
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;

    kit_host_like(kit, &host, records);
    host.table.log = NULL;
    host.table.report = NULL;
    kw_status status = kit_open(kit, &host, &instance, &capabilities);
    if (expect_ok(&host, ABI_SLOTS, status, "open with a host that has no log and no report")) {
        unsigned char id[KW_KEY_ID_LENGTH] = {1};
        unsigned char room[KW_LOCATOR_MAXIMUM];
        kw_output output = {.data = room, .capacity = sizeof(room)};
        require(ABI_SLOTS, kit->operations.key_find(instance, &kit->call, id, &output) == KW_NOT_FOUND,
                "key_find of a key that is not there");
    }
    kit_close(kit, &host, instance);

    kit_host_like(kit, &host, records);
    host.table.size = offsetof(kw_host, record_get);
    instance = NULL;
    status = kit_open(kit, &host, &instance, &capabilities);
    if (require(ABI_SLOTS,
                status == KW_OK || status == KW_UNSUPPORTED || status == KW_CONFIGURATION || status == KW_FAILED,
                "open with a host that ends before its records: %s", status_name(status)) &&
        status != KW_OK)
        require(ABI_SLOTS, atomic_load(&host.record_calls) == 0, "a slot beyond the host's size was called");
    kit_close(kit, &host, status == KW_OK ? instance : NULL);
    records_free(records);
}

static void check_again_and_twice(struct kit *kit)
{
    struct kit_host host;
    kw_plugin_instance *other = NULL;
    kw_capabilities capabilities;
    struct test_key key = {.key = NULL}, seen;
    const struct key_variant *variant = variant_signing(kit);
    if (variant == NULL || !test_key_new(kit, OPEN_TWICE, variant, &key)) {
        test_key_free(kit, &key);
        return;
    }
    for (int round = 0; round < 2; round++) { /* beside the first instance, and after one has been closed */
        enum requirement requirement = round == 0 ? OPEN_TWICE : OPEN_AGAIN;
        kit_host_like(kit, &host, kit->records);
        if (expect_ok(&host, requirement, kit_open(kit, &host, &other, &capabilities), "open")) {
            seen = (struct test_key){.wanted = key.wanted, .locator = key.locator};
            if (test_key_open(kit, other, &host, requirement, &seen))
                require(requirement, EVP_PKEY_eq(seen.pkey, key.pkey) == 1, "the key has another public key");
            if (seen.key != NULL)
                kit->operations.key_close(seen.key);
            EVP_PKEY_free(seen.pkey);
        }
        kit_close(kit, &host, other);
        other = NULL;
    }
    test_key_free(kit, &key);
}

static void check_deadlines(struct kit *kit)
{
    kw_call late = {.size = sizeof(late), .deadline = 1};
    struct test_key key = {.key = NULL};
    const struct key_variant *variant = variant_signing(kit);
    struct locator locator;
    memset(&locator, 0, sizeof(locator));
    kw_output output = {.data = locator.data, .capacity = KW_LOCATOR_MAXIMUM};
    if (variant == NULL || !test_key_new(kit, RULE_4_DEADLINE, variant, &key)) {
        test_key_free(kit, &key);
        return;
    }
    kw_status status = kit->operations.health(kit->instance, &late);
    require(RULE_4_DEADLINE, status == KW_OK || status == KW_TIMEOUT, "health: %s", status_name(status));
    status = kit->operations.key_find(kit->instance, &late, key.wanted.id, &output);
    require(RULE_4_DEADLINE, status == KW_OK || status == KW_TIMEOUT, "key_find: %s", status_name(status));
    if (kit_can(kit, KW_CAN_GENERATE)) {
        kw_key_template wanted = template_new(kit, variant);
        output.length = 0;
        status = kit->operations.key_generate(kit->instance, &late, &wanted, &output);
        require(RULE_4_DEADLINE, status == KW_OK || status == KW_TIMEOUT, "key_generate: %s", status_name(status));
        output.length = 0;
        if (kit->operations.key_find(kit->instance, &kit->call, wanted.id, &output) == KW_OK &&
            kit_can(kit, KW_CAN_DELETE))
            require(RULE_5_NOTHING_LEFT,
                    kit->operations.key_delete(kit->instance, &kit->call, (kw_input){output.data, output.length}) ==
                        KW_OK,
                    "a key that a late key_generate left cannot be deleted");
    }
    atomic_store(&kit->host.reports, 0);
    expect_ok(&kit->host, RULE_4_DEADLINE, kit->operations.health(kit->instance, &kit->call), "health afterwards");
    struct bytes spki = {NULL, 0};
    struct use use = {.kit = kit, .key = key.key};
    expect_ok(&kit->host, RULE_4_DEADLINE, produce(produce_public, &use, &spki), "key_public afterwards");
    bytes_free(&spki);
    test_key_free(kit, &key);
}

void check_instance(struct kit *kit)
{
    check_claims(kit);
    expect_ok(&kit->host, HEALTH_OK, kit->operations.health(kit->instance, &kit->call), "health");
    check_random(kit);
    check_short_structs(kit);
    check_slots(kit);
    check_again_and_twice(kit);
    check_deadlines(kit);
}
