/* Keys: generate, find, list, open, public, export, delete. */
#include "kit.h"

#include <openssl/core_names.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static kw_status find(struct kit *kit, const unsigned char *id, struct locator *locator)
{
    kw_output output = {.data = locator->data, .capacity = KW_LOCATOR_MAXIMUM};
    kw_status status = kit->operations.key_find(kit->instance, &kit->call, id, &output);
    locator->length = status == KW_OK ? output.length : 0;
    return status;
}

static bool same_locator(const struct locator *left, const struct locator *right)
{
    return left->length == right->length && memcmp(left->data, right->data, left->length) == 0;
}

static bool is_variant(EVP_PKEY *pkey, const struct key_variant *variant)
{
    static const char *const curves[] = {
        [KW_CURVE_P256] = "prime256v1", [KW_CURVE_P384] = "secp384r1", [KW_CURVE_P521] = "secp521r1"};
    char group[32] = "";
    switch (variant->type) {
    case KW_KEY_RSA:
        return EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) == (int)variant->bits;
    case KW_KEY_EC:
        return EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
               strcmp(group, curves[variant->curve]) == 0;
    case KW_KEY_ED25519:
        return EVP_PKEY_is_a(pkey, "ED25519");
    case KW_KEY_X25519:
        return EVP_PKEY_is_a(pkey, "X25519");
    case KW_KEY_NONE:
        break;
    }
    return false;
}

static void check_key_capabilities(const struct key_variant *variant, const struct test_key *key)
{
    const kw_key_capabilities *can = &key->capabilities;
    const char *name = variant->name;
    require(KEY_CAPABILITIES, can->size == sizeof(*can), "%s: the size was changed to %zu", name, can->size);
    require(KEY_CAPABILITIES, can->type == variant->type && can->curve == variant->curve, "%s: type %d, curve %d", name,
            (int)can->type, (int)can->curve);
    require(KEY_CAPABILITIES, can->bits == variant->bits || variant->type >= KW_KEY_ED25519, "%s: %u bits", name,
            can->bits);
    require(KEY_CAPABILITIES, (can->operations & key->wanted.operations) == key->wanted.operations,
            "%s: operations %#x lack some of those in the template, %#x", name, can->operations,
            key->wanted.operations);
    bool pss_or_pkcs1 = (can->schemes & (KW_BIT(KW_SCHEME_RSA_PKCS1) | KW_BIT(KW_SCHEME_RSA_PSS))) != 0;
    require(KEY_CAPABILITIES, !pss_or_pkcs1 || can->sign_hashes != 0, "%s: RSA signatures and no hash", name);
    require(KEY_CAPABILITIES, (can->schemes & KW_BIT(KW_SCHEME_RSA_OAEP)) == 0 || can->oaep_hashes != 0,
            "%s: OAEP and no hash", name);
    require(KEY_CAPABILITIES, can->schemes != 0, "%s: no schemes", name);
}

static void check_short_open(struct kit *kit, const struct test_key *key)
{
    kw_plugin_key *handle = NULL;
    kw_key_capabilities capabilities;
    unsigned char beyond[sizeof(capabilities)];
    memset(&capabilities, 0x5A, sizeof(capabilities));
    memset(beyond, 0x5A, sizeof(beyond));
    capabilities.size = offsetof(kw_key_capabilities, features);
    kw_status status =
        kit->operations.key_open(kit->instance, &kit->call, locator_view(&key->locator), &handle, &capabilities);
    if (!expect_ok(&kit->host, ABI_SHORT_STRUCTS, status, "key_open with short kw_key_capabilities"))
        return;
    require(ABI_SHORT_STRUCTS,
            memcmp((unsigned char *)&capabilities + capabilities.size, beyond, sizeof(beyond) - capabilities.size) == 0,
            "key_open wrote beyond the size of kw_key_capabilities");
    kit->operations.key_close(handle);
}

static void check_export(struct kit *kit, const struct key_variant *variant, const struct test_key *key)
{
    struct use use = {.kit = kit, .key = key->key};
    struct bytes pkcs8 = {NULL, 0};
    if ((key->capabilities.operations & KW_CAN_EXPORT) == 0)
        return;
    kw_status status = produce_asking(kit, produce_export, &use, "key_export", &pkcs8);
    if (expect_ok(&kit->host, EXPORT_SAME, status, "key_export")) {
        EVP_PKEY *pkey = judge_read_private(bytes_view(&pkcs8));
        if (require(RULE_1_PKCS8, pkey != NULL, "%s: libcrypto cannot read the exported key", variant->name))
            require(EXPORT_SAME, EVP_PKEY_eq(pkey, key->pkey) == 1, "%s: another key was exported", variant->name);
        EVP_PKEY_free(pkey);
    }
    bytes_free(&pkcs8);
}

static void check_found(struct kit *kit, const struct test_key *key)
{
    struct locator found;
    struct bytes listed = {NULL, 0};
    struct use use = {.kit = kit, .instance = kit->instance, .id = key->wanted.id};
    unsigned char other[KW_KEY_ID_LENGTH];
    expect_ok(&kit->host, FIND_ID, find(kit, key->wanted.id, &found), "key_find");
    require(FIND_ID, same_locator(&found, &key->locator), "key_find gave another locator than key_generate");
    produce_asking(kit, produce_found, &use, "key_find", &listed);
    bytes_free(&listed);
    memcpy(other, key->wanted.id, sizeof(other));
    other[KW_KEY_ID_LENGTH - 1] ^= 1;
    kw_status status = find(kit, other, &found);
    require(FIND_ID, status == KW_NOT_FOUND, "key_find of another id: %s", status_name(status));
}

static void check_deleted(struct kit *kit, struct test_key *key)
{
    struct locator found;
    kw_plugin_key *handle = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    if (!kit_can(kit, KW_CAN_DELETE))
        return;
    kit->operations.key_close(key->key);
    key->key = NULL;
    kw_input locator = locator_view(&key->locator);
    expect_ok(&kit->host, DELETE_GONE, kit->operations.key_delete(kit->instance, &kit->call, locator), "key_delete");
    kw_status status = find(kit, key->wanted.id, &found);
    require(DELETE_GONE, status == KW_NOT_FOUND, "key_find after key_delete: %s", status_name(status));
    atomic_store(&kit->host.reports, 0);
    status = kit->operations.key_open(kit->instance, &kit->call, locator, &handle, &capabilities);
    expect_failure(&kit->host, DELETE_GONE, status, KW_NOT_FOUND, "key_open after key_delete");
    status = kit->operations.key_delete(kit->instance, &kit->call, locator);
    expect_failure(&kit->host, DELETE_UNKNOWN, status, KW_NOT_FOUND, "key_delete of what is not there");
    key->locator.length = 0;
}

static void check_each(struct kit *kit)
{
    size_t position = 0;
    for (const struct key_variant *variant; (variant = variant_next(kit, &position)) != NULL;) {
        struct test_key key;
        struct bytes spki = {NULL, 0};
        if (test_key_new(kit, GENERATE_EACH, variant, &key)) {
            struct use use = {.kit = kit, .key = key.key};
            require(RULE_1_SPKI, is_variant(key.pkey, variant), "%s: the public key is of another type or size",
                    variant->name);
            expect_ok(&kit->host, RULE_1_SPKI, produce_asking(kit, produce_public, &use, "key_public", &spki),
                      "key_public");
            check_key_capabilities(variant, &key);
            check_short_open(kit, &key);
            check_export(kit, variant, &key);
            check_found(kit, &key);
            check_deleted(kit, &key);
        }
        bytes_free(&spki);
        test_key_free(kit, &key);
    }
}

static void check_refusals(struct kit *kit)
{
    size_t position = 0;
    const struct key_variant *variant = variant_next(kit, &position);
    struct locator locator, again;
    struct test_key key;
    if (variant == NULL || !kit_can(kit, KW_CAN_GENERATE))
        return;
    kw_key_template wanted = template_new(kit, variant);
    kw_output small = {.data = locator.data, .capacity = KW_LOCATOR_MAXIMUM - 1};
    kw_status status = kit->operations.key_generate(kit->instance, &kit->call, &wanted, &small);
    require(GENERATE_LOCATOR, status == KW_BUFFER_TOO_SMALL, "key_generate with a locator of %u bytes: %s",
            KW_LOCATOR_MAXIMUM - 1, status_name(status));
    if (!require(GENERATE_LOCATOR, find(kit, wanted.id, &locator) == KW_NOT_FOUND,
                 "key_generate without room for a locator left a key") &&
        kit_can(kit, KW_CAN_DELETE))
        require(DELETE_GONE, kit->operations.key_delete(kit->instance, &kit->call, locator_view(&locator)) == KW_OK,
                "a key without a locator cannot be deleted");
    atomic_store(&kit->host.reports, 0);

    const kw_key_template impossible[] = {
        {.size = sizeof(wanted), .id = {9}, .type = KW_KEY_RSA, .bits = 512},
        {.size = sizeof(wanted), .id = {9}, .type = KW_KEY_RSA, .bits = 0},
        {.size = sizeof(wanted), .id = {9}, .type = KW_KEY_EC, .curve = KW_CURVE_NONE},
        {.size = sizeof(wanted), .id = {9}, .type = KW_KEY_EC, .curve = unknown_curve()},
        {.size = sizeof(wanted), .id = {9}, .type = KW_KEY_NONE},
        {.size = sizeof(wanted), .id = {9}, .type = unknown_key_type()},
        /* bytes beyond the size count as zero, so this has no type */
        {.size = offsetof(kw_key_template, type),
         .id = {9},
         .type = variant->type,
         .bits = variant->bits,
         .curve = variant->curve},
    };
    for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        status = generate(kit, kit->instance, &impossible[i], &locator);
        expect_failure(&kit->host, impossible[i].size == sizeof(wanted) ? GENERATE_UNSUPPORTED : ABI_SHORT_STRUCTS,
                       status, KW_UNSUPPORTED, "key_generate of an impossible key");
        require(RULE_5_NOTHING_LEFT, find(kit, impossible[i].id, &again) == KW_NOT_FOUND,
                "key_generate of an impossible key left something");
        atomic_store(&kit->host.reports, 0);
    }

    if (test_key_new(kit, GENERATE_EXISTS, variant, &key)) {
        status = generate(kit, kit->instance, &key.wanted, &again);
        expect_failure(&kit->host, GENERATE_EXISTS, status, KW_EXISTS, "key_generate with an id that is taken");
        struct test_key same = {.wanted = key.wanted, .locator = key.locator};
        if (test_key_open(kit, kit->instance, &kit->host, GENERATE_EXISTS, &same))
            require(GENERATE_EXISTS, EVP_PKEY_eq(same.pkey, key.pkey) == 1, "the key was replaced");
        if (same.key != NULL)
            kit->operations.key_close(same.key);
        EVP_PKEY_free(same.pkey);
    }
    test_key_free(kit, &key);

    wanted = template_new(kit, variant);
    wanted.exportable = 0;
    key = (struct test_key){.wanted = wanted};
    if (expect_ok(&kit->host, GENERATE_EACH, generate(kit, kit->instance, &wanted, &key.locator), "key_generate") &&
        test_key_open(kit, kit->instance, &kit->host, GENERATE_EACH, &key) && kit->operations.key_export != NULL &&
        (key.capabilities.operations & KW_CAN_EXPORT) == 0) {
        struct use use = {.kit = kit, .key = key.key};
        struct bytes pkcs8 = {NULL, 0};
        status = produce(produce_export, &use, &pkcs8);
        expect_failure(&kit->host, EXPORT_REFUSED, status, KW_REFUSED, "key_export of a key made not to be exported");
        bytes_free(&pkcs8);
    }
    test_key_free(kit, &key);
}

#define LISTED 12

static void check_list(struct kit *kit)
{
    struct test_key keys[LISTED];
    unsigned seen[LISTED] = {0}, total = 0;
    size_t position = 0;
    uint64_t cursor = 0;
    const struct key_variant *variant = variant_next(kit, &position);
    struct locator listed;
    if (!kit_can(kit, KW_CAN_LIST) || variant == NULL)
        return;
    for (size_t i = 0; i < LISTED; i++)
        test_key_new(kit, LIST_COMPLETE, variant, &keys[i]);
    /* rule 2 on the first step: the cursor stays */
    struct use use = {.kit = kit, .instance = kit->instance, .cursor = &cursor};
    kw_output question = {.data = NULL, .capacity = 0};
    unsigned calls = atomic_load(&kit->host.record_calls);
    kw_status status = produce_listed(&use, &question);
    require(RULE_2_SIZE, status == KW_BUFFER_TOO_SMALL && question.length > 0 && cursor == 0,
            "key_list without data: %s, length %zu, cursor %llu", status_name(status), question.length,
            (unsigned long long)cursor);
    require(RULE_2_NO_BACKEND, atomic_load(&kit->host.record_calls) == calls,
            "key_list called the host when only its length was asked for");
    for (;;) {
        kw_output output = {.data = listed.data, .capacity = KW_LOCATOR_MAXIMUM};
        status = kit->operations.key_list(kit->instance, &kit->call, &cursor, &output);
        if (status != KW_OK || total++ == 100000)
            break;
        listed.length = output.length;
        for (size_t i = 0; i < LISTED; i++)
            seen[i] += same_locator(&listed, &keys[i].locator);
    }
    require(LIST_COMPLETE, status == KW_NOT_FOUND, "the list ends with %s after %u keys", status_name(status), total);
    for (size_t i = 0; i < LISTED; i++) {
        require(LIST_COMPLETE, seen[i] == 1, "a key is listed %u times", seen[i]);
        test_key_free(kit, &keys[i]);
    }
    atomic_store(&kit->host.reports, 0);
}

static void check_malformed_locators(struct kit *kit)
{
    static const char *const locators[] = {
        "", "x", "key/", "/etc/passwd", "../../key", "key/zz000000000000000000000000000000", "\xff\xfe"};
    for (size_t i = 0; i < sizeof(locators) / sizeof(locators[0]); i++) {
        kw_plugin_key *handle = NULL;
        kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
        kw_input locator = {(const unsigned char *)locators[i], strlen(locators[i])};
        kw_status status = kit->operations.key_open(kit->instance, &kit->call, locator, &handle, &capabilities);
        require(KEY_OPEN_MALFORMED, status == KW_INVALID_ARGUMENT || status == KW_NOT_FOUND, "key_open of '%s': %s",
                locators[i], status_name(status));
        if (status == KW_OK)
            kit->operations.key_close(handle);
    }
    unsigned char longest[KW_LOCATOR_MAXIMUM];
    kw_plugin_key *handle = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    memset(longest, 'k', sizeof(longest));
    kw_status status = kit->operations.key_open(kit->instance, &kit->call, (kw_input){longest, sizeof(longest)},
                                                &handle, &capabilities);
    require(KEY_OPEN_MALFORMED, status == KW_INVALID_ARGUMENT || status == KW_NOT_FOUND, "key_open of %zu bytes: %s",
            sizeof(longest), status_name(status));
    atomic_store(&kit->host.reports, 0);
}

void check_keys(struct kit *kit)
{
    check_each(kit);
    check_refusals(kit);
    check_list(kit);
    check_malformed_locators(kit);
}
