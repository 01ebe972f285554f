/* Eight threads at once: on one key handle, on handles of their own, and making, listing and deleting keys. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

#define THREADS 8

struct work {
    struct kit *kit;
    const struct key_variant *variant;
    const struct test_key *shared;
    pthread_barrier_t *barrier;
    unsigned rounds;
};

/* What the key is for: a signature, which the judge verifies. */
static void sign_once(struct kit *kit, kw_plugin_key *handle, const struct test_key *key, unsigned char seed)
{
    static const kw_scheme schemes[] = {
        [KW_KEY_RSA] = KW_SCHEME_RSA_PSS, [KW_KEY_EC] = KW_SCHEME_ECDSA, [KW_KEY_ED25519] = KW_SCHEME_EDDSA};
    unsigned char digest[32] = {seed};
    kw_algorithm algorithm = {.size = sizeof(algorithm), .scheme = schemes[key->capabilities.type]};
    if (algorithm.scheme == KW_SCHEME_RSA_PSS && (key->capabilities.schemes & KW_BIT(KW_SCHEME_RSA_PSS)) == 0)
        algorithm.scheme = KW_SCHEME_RSA_PKCS1;
    if (algorithm.scheme == KW_SCHEME_EDDSA)
        algorithm.is_message = 1;
    else
        algorithm.hash = KW_HASH_SHA256;
    if (algorithm.scheme == KW_SCHEME_RSA_PSS)
        algorithm.salt_length = 32;
    struct bytes signature = {NULL, 0};
    struct use use = {.kit = kit, .key = handle, .algorithm = &algorithm, .input = {digest, sizeof(digest)}};
    kw_status status = produce(produce_signature, &use, &signature);
    if (require(RULE_3_THREADS, status == KW_OK, "sign: %s", status_name(status)))
        require(RULE_3_THREADS, judge_verify(key->pkey, &algorithm, use.input, bytes_view(&signature)),
                "a signature made while others were does not verify");
    bytes_free(&signature);
}

static void make_and_delete(struct work *work)
{
    struct kit *kit = work->kit;
    struct locator locator, found;
    kw_key_template wanted = template_new(kit, work->variant);
    kw_status status = generate(kit, kit->instance, &wanted, &locator);
    if (!require(RULE_3_THREADS, status == KW_OK, "key_generate: %s", status_name(status)))
        return;
    kw_output output = {.data = found.data, .capacity = KW_LOCATOR_MAXIMUM};
    status = kit->operations.key_find(kit->instance, &kit->call, wanted.id, &output);
    require(RULE_3_THREADS, status == KW_OK, "key_find: %s", status_name(status));
    uint64_t cursor = 0;
    unsigned seen = 0;
    bool lists = kit_can(kit, KW_CAN_LIST) && requirement_verdict(LIST_COMPLETE) == VERDICT_PASSED;
    while (lists) {
        output = (kw_output){.data = found.data, .capacity = KW_LOCATOR_MAXIMUM};
        status = kit->operations.key_list(kit->instance, &kit->call, &cursor, &output);
        if (status != KW_OK)
            break;
        seen += output.length == locator.length && memcmp(found.data, locator.data, locator.length) == 0;
    }
    if (lists)
        require(RULE_3_THREADS, status == KW_NOT_FOUND && seen == 1,
                "a list made while others made keys ends with %s and has an own key %u times", status_name(status),
                seen);
    status = kit->operations.key_delete(kit->instance, &kit->call, locator_view(&locator));
    require(RULE_3_THREADS, status == KW_OK, "key_delete: %s", status_name(status));
}

static void *run(void *argument)
{
    struct work *work = argument;
    struct kit *kit = work->kit;
    struct test_key own = {.wanted = work->shared->wanted, .locator = work->shared->locator};
    pthread_barrier_wait(work->barrier);
    bool opened = test_key_open(kit, kit->instance, &kit->host, RULE_3_THREADS, &own);
    for (unsigned round = 0; round < work->rounds; round++) {
        sign_once(kit, work->shared->key, work->shared, (unsigned char)round);
        if (opened)
            sign_once(kit, own.key, work->shared, (unsigned char)round);
    }
    if (own.key != NULL)
        kit->operations.key_close(own.key);
    EVP_PKEY_free(own.pkey);
    if (kit_can(kit, KW_CAN_GENERATE) && kit_can(kit, KW_CAN_DELETE) && work->variant->type != KW_KEY_RSA)
        make_and_delete(work);
    return NULL;
}

void check_threads(struct kit *kit)
{
    static const kw_key_type types[] = {KW_KEY_EC, KW_KEY_ED25519, KW_KEY_RSA};
    if (requirement_skipped(RULE_3_THREADS))
        return;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const struct key_variant *variant = variant_of(kit, types[i]);
        struct test_key key;
        pthread_t threads[THREADS];
        pthread_barrier_t barrier;
        if (variant == NULL || !kit_can(kit, KW_CAN_SIGN) || !signatures_hold())
            continue;
        if (test_key_new(kit, RULE_3_THREADS, variant, &key)) {
            struct work work = {.kit = kit, .variant = variant, .shared = &key, .barrier = &barrier, .rounds = 20};
            pthread_barrier_init(&barrier, NULL, THREADS);
            for (size_t j = 0; j < THREADS; j++)
                if (pthread_create(&threads[j], NULL, run, &work) != 0)
                    abort();
            for (size_t j = 0; j < THREADS; j++)
                pthread_join(threads[j], NULL);
            pthread_barrier_destroy(&barrier);
        }
        test_key_free(kit, &key);
    }
}
