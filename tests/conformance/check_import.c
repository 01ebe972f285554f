/* Import: keys made by libcrypto; keys that are malformed, cut, inconsistent or not what was said. */
#include "kit.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* A refusal leaves nothing. */
static void refused(struct kit *kit, enum requirement requirement, const kw_key_template *wanted, kw_input pkcs8,
                    const char *what)
{
    struct locator locator;
    size_t records = records_count(kit->records);
    kw_status status = import(kit, kit->instance, wanted, pkcs8, &locator);
    expect_failure(&kit->host, requirement, status, KW_INVALID_ARGUMENT, what);
    kw_output output = {.data = locator.data, .capacity = KW_LOCATOR_MAXIMUM};
    kw_status found = kit->operations.key_find(kit->instance, &kit->call, wanted->id, &output);
    require(RULE_5_NOTHING_LEFT, found == KW_NOT_FOUND, "%s: key_find afterwards gives %s", what, status_name(found));
    require(RULE_5_NOTHING_LEFT, records_count(kit->records) == records, "%s left a record", what);
    if (found == KW_OK && kit_can(kit, KW_CAN_DELETE) &&
        kit->operations.key_delete(kit->instance, &kit->call, (kw_input){output.data, output.length}) != KW_OK)
        require(RULE_5_NOTHING_LEFT, false, "%s: what was left cannot be deleted", what);
    atomic_store(&kit->host.reports, 0);
}

/* The same key, once more through the plugin: what it signs or undoes is the judge's. */
static void check_one(struct kit *kit, const struct key_variant *variant)
{
    EVP_PKEY *pkey = judge_key(variant);
    struct bytes pkcs8 = {NULL, 0}, longer = {NULL, 0}, exported = {NULL, 0};
    struct test_key key = {.wanted = template_new(kit, variant)};
    if (pkey == NULL || !judge_private(pkey, &pkcs8))
        abort();
    kw_status status = import(kit, kit->instance, &key.wanted, bytes_view(&pkcs8), &key.locator);
    if (expect_ok(&kit->host, IMPORT_EACH, status, variant->name) &&
        test_key_open(kit, kit->instance, &kit->host, IMPORT_EACH, &key)) {
        require(IMPORT_EACH, EVP_PKEY_eq(key.pkey, pkey) == 1, "%s: the public key is another", variant->name);
        if ((key.capabilities.operations & KW_CAN_EXPORT) != 0) {
            struct use use = {.kit = kit, .key = key.key};
            expect_ok(&kit->host, EXPORT_SAME, produce(produce_export, &use, &exported), "key_export after key_import");
            EVP_PKEY *back = judge_read_private(bytes_view(&exported));
            if (require(RULE_1_PKCS8, back != NULL, "%s: libcrypto cannot read the exported key", variant->name))
                require(EXPORT_SAME, EVP_PKEY_eq(back, pkey) == 1, "%s: another key came back", variant->name);
            EVP_PKEY_free(back);
        }
        status = import(kit, kit->instance, &key.wanted, bytes_view(&pkcs8), &(struct locator){.length = 0});
        expect_failure(&kit->host, GENERATE_EXISTS, status, KW_EXISTS, "key_import with an id that is taken");
    }
    test_key_free(kit, &key);

    kw_key_template wanted = template_new(kit, variant);
    refused(kit, IMPORT_MALFORMED, &wanted, (kw_input){NULL, 0}, "key_import of nothing");
    for (size_t cut = 1; cut < pkcs8.length; cut += pkcs8.length > 200 ? pkcs8.length / 16 : 5)
        refused(kit, IMPORT_MALFORMED, &wanted, (kw_input){pkcs8.data, cut}, "key_import of a key that was cut");
    longer.data = calloc(1, pkcs8.length + 1);
    longer.length = pkcs8.length + 1;
    if (longer.data == NULL)
        abort();
    memcpy(longer.data, pkcs8.data, pkcs8.length);
    refused(kit, IMPORT_MALFORMED, &wanted, bytes_view(&longer), "key_import of a key with a trailing byte");
    longer.length--;
    longer.data[0] ^= 0x20;
    refused(kit, IMPORT_MALFORMED, &wanted, bytes_view(&longer), "key_import of what is no SEQUENCE");
    bytes_free(&longer);
    bytes_free(&exported);
    bytes_free(&pkcs8);
    EVP_PKEY_free(pkey);
}

static void check_mismatch(struct kit *kit)
{
    size_t position = 0;
    const struct key_variant *made = variant_next(kit, &position), *said;
    struct bytes pkcs8 = {NULL, 0};
    if (made == NULL)
        return;
    EVP_PKEY *pkey = judge_key(made);
    if (pkey == NULL || !judge_private(pkey, &pkcs8))
        abort();
    while ((said = variant_next(kit, &position)) != NULL) {
        kw_key_template wanted = template_new(kit, said);
        refused(kit, IMPORT_MISMATCH, &wanted, bytes_view(&pkcs8), "key_import of a key of another type");
    }
    bytes_free(&pkcs8);
    EVP_PKEY_free(pkey);
}

/* An RSA key whose prime was replaced by another number: the encoding is right, the key is not. */
static void check_inconsistent_rsa(struct kit *kit)
{
    static const char *const names[] = {OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    enum { NAMES = sizeof(names) / sizeof(names[0]) };
    const struct key_variant *variant = variant_of(kit, KW_KEY_RSA);
    BIGNUM *numbers[NAMES] = {NULL};
    EVP_PKEY *wrong = NULL;
    struct bytes pkcs8 = {NULL, 0};
    if (variant == NULL)
        return;
    EVP_PKEY *pkey = judge_key(variant);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    for (size_t i = 0; i < NAMES; i++) {
        if (EVP_PKEY_get_bn_param(pkey, names[i], &numbers[i]) != 1)
            abort();
        if (strcmp(names[i], OSSL_PKEY_PARAM_RSA_FACTOR1) == 0)
            BN_add_word(numbers[i], 2);
        OSSL_PARAM_BLD_push_BN(builder, names[i], numbers[i]);
    }
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (EVP_PKEY_fromdata_init(context) != 1 || EVP_PKEY_fromdata(context, &wrong, EVP_PKEY_KEYPAIR, parameters) != 1 ||
        !judge_private(wrong, &pkcs8))
        abort();
    kw_key_template wanted = template_new(kit, variant);
    refused(kit, IMPORT_MALFORMED, &wanted, bytes_view(&pkcs8), "key_import of an RSA key with a wrong prime");
    bytes_free(&pkcs8);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    for (size_t i = 0; i < NAMES; i++)
        BN_clear_free(numbers[i]);
    EVP_PKEY_free(wrong);
    EVP_PKEY_free(pkey);
}

/* An EC key whose public point, which ends the encoding, is not that of its private number. */
static void check_inconsistent_ec(struct kit *kit)
{
    const struct key_variant *variant = variant_of(kit, KW_KEY_EC);
    struct bytes pkcs8 = {NULL, 0}, other = {NULL, 0};
    if (variant == NULL)
        return;
    EVP_PKEY *pkey = judge_key(variant), *another = judge_key(variant);
    size_t point = 2 * ((variant->bits + 7) / 8);
    if (!judge_private(pkey, &pkcs8) || !judge_private(another, &other) || pkcs8.length != other.length)
        abort();
    memcpy(pkcs8.data + pkcs8.length - point, other.data + other.length - point, point);
    kw_key_template wanted = template_new(kit, variant);
    refused(kit, IMPORT_MALFORMED, &wanted, bytes_view(&pkcs8), "key_import of an EC key with another's public point");
    bytes_free(&pkcs8);
    bytes_free(&other);
    EVP_PKEY_free(pkey);
    EVP_PKEY_free(another);
}

void check_import(struct kit *kit)
{
    size_t position = 0;
    if (!kit_can(kit, KW_CAN_IMPORT))
        return;
    for (const struct key_variant *variant; (variant = variant_next(kit, &position)) != NULL;)
        check_one(kit, variant);
    check_mismatch(kit);
    check_inconsistent_rsa(kit);
    check_inconsistent_ec(kit);
}
