/* The process forks: idle, and while threads sign. A child that hangs is ended by its alarm, and fails. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 60

/* What a child tells its parent. */
struct tale {
    kw_status sign, open, health, random;
    unsigned char signature[600];
    size_t signature_length;
    unsigned char bytes[32];
};

static const unsigned char digest[32] = {0x11, 0x22, 0x33};

static kw_algorithm algorithm_of(const struct test_key *key)
{
    kw_algorithm algorithm = {.size = sizeof(algorithm), .hash = KW_HASH_SHA256};
    if (key->capabilities.type == KW_KEY_EC) {
        algorithm.scheme = KW_SCHEME_ECDSA;
    } else if (key->capabilities.type == KW_KEY_RSA) {
        const bool pss = (key->capabilities.schemes & KW_BIT(KW_SCHEME_RSA_PSS)) != 0;
        algorithm.scheme = pss ? KW_SCHEME_RSA_PSS : KW_SCHEME_RSA_PKCS1;
        algorithm.salt_length = pss ? 32 : 0;
    } else {
        algorithm = (kw_algorithm){.size = sizeof(algorithm), .scheme = KW_SCHEME_EDDSA, .is_message = 1};
    }
    return algorithm;
}

static void use_all(struct kit *kit, const struct test_key *key, struct tale *tale)
{
    kw_algorithm algorithm = algorithm_of(key);
    kw_output output = {.data = tale->signature, .capacity = sizeof(tale->signature)};
    tale->sign = kit->operations.sign(key->key, &kit->call, &algorithm, (kw_input){digest, sizeof(digest)}, &output);
    tale->signature_length = output.length;
    kw_plugin_key *handle = NULL;
    kw_key_capabilities capabilities = {.size = sizeof(capabilities)};
    tale->open =
        kit->operations.key_open(kit->instance, &kit->call, locator_view(&key->locator), &handle, &capabilities);
    if (tale->open == KW_OK)
        kit->operations.key_close(handle);
    tale->health = kit->operations.health(kit->instance, &kit->call);
    output = (kw_output){.data = tale->bytes, .capacity = sizeof(tale->bytes)};
    tale->random = kit_can(kit, KW_CAN_RANDOM) ? kit->operations.random(kit->instance, &kit->call, &output) : KW_OK;
}

/* Forks as the core does. Returns the child's id in the parent, and 0 in the child. */
static pid_t fork_with(struct kit *kit)
{
    const kw_plugin_operations *operations = &kit->operations;
    if (operations->fork_prepare != NULL)
        operations->fork_prepare(kit->instance);
    kit_host_lock(&kit->host);
    pid_t child = fork();
    kit_host_unlock(&kit->host);
    if (child == 0 && operations->fork_child != NULL)
        operations->fork_child(kit->instance);
    if (child != 0 && operations->fork_parent != NULL)
        operations->fork_parent(kit->instance);
    return child;
}

/* False: the child said nothing, because it crashed or hung. */
static bool ask_child(struct kit *kit, const struct test_key *key, struct tale *tale)
{
    int ends[2], status = 0;
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork_with(kit);
    if (child < 0)
        abort();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        memset(tale, 0, sizeof(*tale));
        use_all(kit, key, tale);
        /* Not _exit: leak checkers would count what the parent's other threads had in their hands. */
        if (write(ends[1], tale, sizeof(*tale)) == (ssize_t)sizeof(*tale))
            execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t part = 1; part > 0 && got < sizeof(*tale); got += (size_t)part) {
        part = read(ends[0], (unsigned char *)tale + got, sizeof(*tale) - got);
        if (part < 0)
            part = 0;
    }
    close(ends[0]);
    waitpid(child, &status, 0);
    return got == sizeof(*tale) && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool check_tale(enum requirement requirement, const struct test_key *key, const struct tale *tale,
                       const char *who)
{
    kw_algorithm algorithm = algorithm_of(key);
    bool works = require(requirement, tale->sign == KW_OK, "%s: sign with an inherited handle: %s", who,
                         status_name(tale->sign)) &&
                 require(requirement,
                         judge_verify(key->pkey, &algorithm, (kw_input){digest, sizeof(digest)},
                                      (kw_input){tale->signature, tale->signature_length}),
                         "%s: the signature does not verify", who);
    works = require(requirement, tale->open == KW_OK, "%s: key_open: %s", who, status_name(tale->open)) && works;
    works = require(requirement, tale->health == KW_OK, "%s: health: %s", who, status_name(tale->health)) && works;
    return require(requirement, tale->random == KW_OK, "%s: random: %s", who, status_name(tale->random)) && works;
}

/* Two signatures with the same nonce begin alike: r of ECDSA lies in the first bytes of the signature. */
static void check_differ(const struct kit *kit, const struct test_key *key, const struct tale *one,
                         const struct tale *other)
{
    if (kit_can(kit, KW_CAN_RANDOM))
        require(RULE_7_FORK_RANDOM, memcmp(one->bytes, other->bytes, sizeof(one->bytes)) != 0,
                "two processes got the same random bytes");
    if (key->capabilities.type == KW_KEY_EC && one->signature_length > 24 && other->signature_length > 24)
        require(RULE_7_FORK_RANDOM, memcmp(one->signature + 6, other->signature + 6, 16) != 0,
                "two processes signed with the same nonce");
    if (algorithm_of(key).scheme == KW_SCHEME_RSA_PSS)
        require(RULE_7_FORK_RANDOM, memcmp(one->signature, other->signature, 16) != 0,
                "two processes signed with the same salt");
}

static void check_idle(struct kit *kit, const struct test_key *key)
{
    struct tale parent, first, second;
    use_all(kit, key, &parent); /* so that random state exists, and would be inherited */
    bool one = require(RULE_7_FORK, ask_child(kit, key, &first), "a child crashed or hung");
    bool two = require(RULE_7_FORK, ask_child(kit, key, &second), "a second child crashed or hung");
    use_all(kit, key, &parent);
    check_tale(RULE_7_FORK, key, &parent, "the parent");
    if (one && two && check_tale(RULE_7_FORK, key, &first, "the child") &&
        check_tale(RULE_7_FORK, key, &second, "the second child")) {
        check_differ(kit, key, &parent, &first);
        check_differ(kit, key, &parent, &second);
        check_differ(kit, key, &first, &second);
    }
}

struct signing {
    struct kit *kit;
    const struct test_key *key;
    atomic_bool stop;
};

static void *sign_on(void *argument)
{
    struct signing *signing = argument;
    while (!atomic_load(&signing->stop)) {
        struct tale tale;
        use_all(signing->kit, signing->key, &tale);
        require(RULE_7_FORK_THREADS, tale.sign == KW_OK && tale.open == KW_OK, "a thread beside a fork: %s, %s",
                status_name(tale.sign), status_name(tale.open));
    }
    return NULL;
}

static void check_busy(struct kit *kit, const struct test_key *key)
{
    enum { SIGNERS = 4 };
    struct signing signing = {.kit = kit, .key = key};
    pthread_t threads[SIGNERS];
    for (size_t i = 0; i < SIGNERS; i++)
        if (pthread_create(&threads[i], NULL, sign_on, &signing) != 0)
            abort();
    for (int i = 0; i < 12; i++) {
        struct tale tale;
        if (!require(RULE_7_FORK_THREADS, ask_child(kit, key, &tale), "a child crashed or hung"))
            break;
        check_tale(RULE_7_FORK_THREADS, key, &tale, "a child");
    }
    atomic_store(&signing.stop, true);
    for (size_t i = 0; i < SIGNERS; i++)
        pthread_join(threads[i], NULL);
}

void check_fork(struct kit *kit)
{
    static const kw_key_type types[] = {KW_KEY_EC, KW_KEY_RSA};
    if (requirement_skipped(RULE_7_FORK))
        return;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const struct key_variant *variant = variant_of(kit, types[i]);
        struct test_key key;
        if (variant == NULL || !kit_can(kit, KW_CAN_SIGN) || !signatures_hold())
            continue;
        if (test_key_new(kit, RULE_7_FORK, variant, &key)) {
            check_idle(kit, &key);
            if (requirement_verdict(RULE_7_FORK) == VERDICT_PASSED && !requirement_skipped(RULE_7_FORK_THREADS))
                check_busy(kit, &key);
        }
        test_key_free(kit, &key);
    }
    atomic_store(&kit->host.reports, 0);
}
