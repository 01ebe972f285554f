#include "stage.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_for(atomic_uint *number, unsigned value)
{
    while (atomic_load(number) < value)
        sched_yield();
}

/* ---- Handles ---- */

static void seal_what_was_sealed_comes_back_and_nothing_else(void **state)
{
    static const char *const others[][2] = {{"password", "hr"}, {"token", "sales"}, {"password", NULL}};
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM], again[SEALED_MAXIMUM], out[8];
    size_t length = 0, length_again = 0;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", "sales");
    assert_int_equal(stage_seal(subkey, "secret", sealed, &length, &stage.error), KW_OK);
    assert_int_equal(length, KW_SEAL_OVERHEAD + 8 + 6);
    assert_int_equal(stage_unseal(subkey, "secret", sealed, length, &stage.error), KW_OK);
    assert_int_equal(stage_seal(subkey, "secret", again, &length_again, &stage.error), KW_OK);
    assert_memory_not_equal(sealed, again, length);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        kw_subkey *other = stage_get(&stage, others[i][0], others[i][1]);
        assert_ptr_not_equal(other, subkey);
        assert_int_equal(stage_unseal(other, "secret", sealed, length, &stage.error), KW_CIPHERTEXT_INVALID);
        kw_subkey_free(other);
    }
    sealed[length - 20] ^= 1;
    assert_int_equal(stage_unseal(subkey, "secret", sealed, length, &stage.error), KW_CIPHERTEXT_INVALID);
    assert_int_equal(stage_unseal(subkey, "secret", sealed, 40, &stage.error), KW_CIPHERTEXT_INVALID);
    again[4] ^= 1; /* the master key's id */
    assert_int_equal(stage_unseal(subkey, "secret", again, length, &stage.error), KW_CIPHERTEXT_INVALID);
    again[4] ^= 1;
    kw_output small = {.data = out, .capacity = 5};
    assert_int_equal(kw_unseal(subkey, (kw_input){again, length}, (kw_input){0}, &small, NULL), KW_BUFFER_TOO_SMALL);
    assert_int_equal(small.length, 6);
    assert_int_equal(kw_seal(subkey, (kw_input){again, 6}, (kw_input){0}, &small, NULL), KW_BUFFER_TOO_SMALL);
    assert_int_equal(small.length, length);
    kw_subkey_free(subkey);
    kw_subkey_free(NULL);
    stage_close(&stage);
}

static void get_the_same_name_is_the_same_handle_without_a_call(void **state)
{
    struct stage stage;
    const struct handle_name name = {"master-key/m", "password", {0}};
    kw_subkey *subkey = NULL;
    stage_open(state, &stage, NULL);
    assert_false(keyring_find(stage.keyring, &name, &subkey));
    kw_subkey *first = stage_get(&stage, "password", NULL), *second = stage_get(&stage, "password", NULL);
    assert_ptr_equal(first, second);
    kw_subkey_free(first);
    stage_good(&stage, second);
    kw_subkey_free(second);
    assert_true(keyring_find(stage.keyring, &name, &subkey));
    assert_ptr_equal(subkey, second);
    stage_good(&stage, subkey);
    kw_subkey_free(subkey);
    assert_int_equal(roots.makes, 1);
    assert_int_equal(roots.loads, 1);
    stage_close(&stage);
}

static void get_a_name_out_of_its_limits_is_refused(void **state)
{
    static const unsigned char context[SUBKEY_CONTEXT_MAXIMUM + 1];
    char purpose[SUBKEY_PURPOSE_MAXIMUM + 2];
    struct stage stage;
    kw_subkey *subkey = NULL;
    stage_open(state, &stage, NULL);
    memset(purpose, 'p', sizeof(purpose));
    purpose[SUBKEY_PURPOSE_MAXIMUM + 1] = '\0';
    const struct handle_name names[] = {
        {"master-key/m", "", {0}}, {"master-key/m", purpose, {0}}, {"master-key/m", "p", {context, sizeof(context)}}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(keyring_open(stage.keyring, &names[i], &master_id, &subkey, &stage.error),
                         KW_INVALID_ARGUMENT);
    assert_int_equal(roots.makes, 0);
    purpose[SUBKEY_PURPOSE_MAXIMUM] = '\0';
    const struct handle_name longest = {"master-key/m", purpose, {context, SUBKEY_CONTEXT_MAXIMUM}};
    assert_int_equal(keyring_open(stage.keyring, &longest, &master_id, &subkey, &stage.error), KW_OK);
    stage_good(&stage, subkey);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void eviction_in_use_the_handle_goes_on(void **state)
{
    const struct subkey_settings two = {.max_entries = 2};
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    char purpose[16];
    stage_open(state, &stage, &two);
    kw_subkey *kept = stage_get(&stage, "kept", NULL);
    assert_int_equal(stage_seal(kept, "text", sealed, &length, &stage.error), KW_OK);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(purpose, sizeof(purpose), "p%u", i);
        kw_subkey *other = stage_get(&stage, purpose, NULL);
        stage_good(&stage, other);
        kw_subkey_free(other);
        assert_true(stage.keyring->handle_count <= 2);
    }
    stage_good(&stage, kept);
    kw_subkey *anew = stage_get(&stage, "kept", NULL);
    assert_ptr_not_equal(anew, kept);
    kw_subkey_free(kept);
    assert_int_equal(stage_unseal(anew, "text", sealed, length, &stage.error), KW_OK);
    /* the one used last stays, whichever came first */
    kw_subkey_free(stage_get(&stage, "a", NULL));
    kw_subkey_free(stage_get(&stage, "kept", NULL));
    kw_subkey_free(stage_get(&stage, "b", NULL));
    assert_ptr_equal(stage_get(&stage, "kept", NULL), anew);
    kw_subkey_free(anew);
    kw_subkey_free(anew);
    assert_int_equal(roots.loads, 1);
    stage_close(&stage);
}

struct crush {
    struct stage *stage;
    atomic_bool end;
    atomic_uint seals, wrong;
};

static void *use_many(void *argument)
{
    struct crush *crush = argument;
    unsigned char sealed[SEALED_MAXIMUM];
    char purpose[16];
    kw_error error = {0};
    for (unsigned i = 0; !atomic_load(&crush->end); i++) {
        size_t length = 0;
        snprintf(purpose, sizeof(purpose), "p%u", i % 7);
        kw_subkey *one = stage_get(crush->stage, purpose, NULL), *same = stage_get(crush->stage, purpose, NULL);
        if (stage_seal(one, "text", sealed, &length, &error) != KW_OK ||
            stage_unseal(same, "text", sealed, length, &error) != KW_OK)
            atomic_fetch_add(&crush->wrong, 1);
        kw_subkey_free(one);
        if (stage_unseal(same, "text", sealed, length, &error) != KW_OK)
            atomic_fetch_add(&crush->wrong, 1);
        kw_subkey_free(same);
        atomic_fetch_add(&crush->seals, 1);
    }
    return NULL;
}

/* With less room than names, and all that is in memory read anew or forgotten meanwhile. */
static void eviction_and_refresh_while_many_threads_seal_lose_nothing(void **state)
{
    const struct subkey_settings three = {.max_entries = 3};
    struct stage stage;
    struct crush crush = {.stage = &stage};
    pthread_t threads[4];
    stage_open(state, &stage, &three);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_many, &crush), 0);
    for (unsigned round = 0; round < 30; round++) {
        const unsigned before = atomic_load(&crush.seals);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
        keyring_forget(stage.keyring, round % 2 == 0 ? NULL : &master_id);
        wait_for(&crush.seals, before + 8);
    }
    atomic_store(&crush.end, true);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crush.wrong, 0);
    assert_true(stage.keyring->handle_count <= 3);
    stage_close(&stage);
}

/* ---- One flight ---- */

#define CROWD 64

struct crowd {
    struct stage *stage;
    atomic_uint good, bad;
};

static void *one_of_the_crowd(void *argument)
{
    struct crowd *crowd = argument;
    const struct handle_name name = {"master-key/m", "password", {0}};
    kw_error error = {0};
    kw_subkey *subkey = NULL;
    if (keyring_open(crowd->stage->keyring, &name, &master_id, &subkey, &error) == KW_OK) {
        unsigned char sealed[SEALED_MAXIMUM];
        size_t length = 0;
        if (stage_seal(subkey, "text", sealed, &length, &error) == KW_OK)
            atomic_fetch_add(&crowd->good, 1);
        kw_subkey_free(subkey);
    } else if (error.status == KW_UNAVAILABLE && strcmp(error.message, "the store is away") == 0) {
        atomic_fetch_add(&crowd->bad, 1);
    }
    return NULL;
}

static void stampede(struct stage *stage, struct crowd *crowd, atomic_uint *calls)
{
    pthread_t threads[CROWD];
    struct keyring_counts counts = {0};
    *crowd = (struct crowd){.stage = stage};
    atomic_store(&roots.hold, true);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_the_crowd, crowd), 0);
    /* until all of them have come to the one that is on its way */
    wait_for(calls, 1);
    for (unsigned users = 0; users < CROWD;) {
        users = 0;
        pthread_mutex_lock(&stage->keyring->mutex);
        for (struct root *root = stage->keyring->masters->roots; root != NULL; root = root->next)
            users += root->users;
        pthread_mutex_unlock(&stage->keyring->mutex);
        sched_yield();
    }
    atomic_store(&roots.hold, false);
    for (size_t i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    keyring_counts(stage->control, &counts);
}

static void stampede_many_threads_make_one_call(void **state)
{
    struct stage stage;
    struct crowd crowd;
    struct keyring_counts counts;
    stage_open(state, &stage, NULL);
    stampede(&stage, &crowd, &roots.makes);
    assert_int_equal(crowd.good, CROWD);
    assert_int_equal(roots.makes, 1);
    assert_int_equal(roots.loads, 1);
    /* the root is there, but in no memory */
    keyring_forget(stage.keyring, NULL);
    const struct id *id = &master_id;
    const struct subkey_settings two = {.max_entries = 1};
    stage.settings->subkeys = two;
    keyring_use(stage.keyring, stage.settings, stage.stores);
    kw_subkey_free(stage_get(&stage, "other", NULL)); /* takes the place of the one that was there */
    keyring_forget(stage.keyring, id);
    atomic_store(&roots.loads, 0);
    stampede(&stage, &crowd, &roots.loads);
    assert_int_equal(crowd.good, CROWD);
    assert_int_equal(roots.loads, 1);
    keyring_counts(stage.control, &counts);
    assert_true(counts.misses >= CROWD);
    assert_int_equal(counts.saved, counts.hits + counts.misses - 3);
    stage_close(&stage);
}

static void stampede_a_failure_is_told_to_all_and_the_next_try_is_made(void **state)
{
    struct stage stage;
    struct crowd crowd;
    stage_open(state, &stage, NULL);
    atomic_store(&roots.active, 1);
    atomic_store(&roots.load, KW_UNAVAILABLE);
    stampede(&stage, &crowd, &roots.loads);
    assert_int_equal(crowd.bad, CROWD);
    assert_int_equal(roots.loads, 1);
    atomic_store(&roots.load, KW_OK);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    stage_good(&stage, subkey);
    kw_subkey_free(subkey);
    assert_int_equal(roots.loads, 2);
    stage_close(&stage);
}

/* ---- Rotation ---- */

static void rotation_new_seals_are_under_the_new_version_and_old_ones_open(void **state)
{
    struct stage stage;
    unsigned char sealed[4][SEALED_MAXIMUM];
    size_t lengths[4];
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    for (uint32_t version = 1; version <= 3; version++) {
        if (version > 1)
            stage_rotate(&stage);
        assert_int_equal(stage_seal(subkey, "text", sealed[version], &lengths[version], &stage.error), KW_OK);
        assert_int_equal(stage_version(sealed[version], lengths[version]), version);
    }
    for (uint32_t version = 1; version <= 3; version++)
        assert_int_equal(stage_unseal(subkey, "text", sealed[version], lengths[version], &stage.error), KW_OK);
    assert_int_equal(roots.loads, 3);
    /* one catalogue read for each generation */
    const unsigned looks = roots.looks;
    stage_good(&stage, subkey);
    assert_int_equal(roots.looks, looks);
    /* retired: also for who has its key in memory */
    atomic_store(&roots.retired, 1);
    uint64_t generation;
    assert_int_equal(control_raise(stage.control, &generation, &stage.error), KW_OK);
    assert_int_equal(stage_unseal(subkey, "text", sealed[1], lengths[1], &stage.error), KW_NOT_FOUND);
    assert_non_null(strstr(stage.error.message, "retired"));
    assert_int_equal(stage_unseal(subkey, "text", sealed[2], lengths[2], &stage.error), KW_OK);
    kw_subkey_free(subkey);
    subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_unseal(subkey, "text", sealed[1], lengths[1], &stage.error), KW_NOT_FOUND);
    assert_int_equal(stage_unseal(subkey, "text", sealed[2], lengths[2], &stage.error), KW_OK);
    assert_int_equal(stage_unseal(subkey, "text", sealed[3], lengths[3], &stage.error), KW_OK);
    assert_int_equal(roots.loads, 3);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void unseal_versions_that_somebody_made_up_leave_nothing_behind(void **state)
{
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0, count = 0;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    for (unsigned i = 0; i < 100; i++) {
        sealed[21] = (unsigned char)(i + 1);
        assert_int_equal(stage_unseal(subkey, "text", sealed, length, &stage.error), KW_NOT_FOUND);
    }
    for (const struct root *root = stage.keyring->masters->roots; root != NULL; root = root->next)
        count++;
    assert_true(count <= 2);
    assert_int_equal(roots.loads, 1);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void retired_master_key_opens_and_seals_no_more(void **state)
{
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM], other[SEALED_MAXIMUM];
    size_t length = 0, other_length = 0;
    uint64_t generation;
    uint32_t version;
    stage_open(state, &stage, NULL);
    atomic_store(&roots.is_retired, true);
    assert_int_equal(keyring_active(stage.keyring, &master_id, &version, &stage.error), KW_REFUSED);
    assert_int_equal(roots.makes, 0);
    atomic_store(&roots.is_retired, false);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    atomic_store(&roots.is_retired, true);
    assert_int_equal(control_raise(stage.control, &generation, &stage.error), KW_OK);
    assert_int_equal(stage_seal(subkey, "text", other, &other_length, &stage.error), KW_REFUSED);
    assert_non_null(strstr(stage.error.message, "out of use"));
    assert_int_equal(stage_unseal(subkey, "text", sealed, length, &stage.error), KW_OK);
    /* in use again: nobody has to be told */
    atomic_store(&roots.is_retired, false);
    stage_good(&stage, subkey);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* Roots are made for what is sealed, and not for what somebody wants to open. */
static void unseal_makes_no_root(void **state)
{
    const struct handle_name name = {"master-key/m", "password", {0}};
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM], last[SEALED_MAXIMUM];
    size_t length = 0, last_length = 0;
    uint64_t generation;
    kw_subkey *subkey = NULL;
    stage_open(state, &stage, NULL);
    kw_subkey *first = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_seal(first, "text", sealed, &length, &stage.error), KW_OK);
    kw_subkey_free(first);
    /* All versions are retired, and the master key is out of use. */
    atomic_store(&roots.active, 0);
    atomic_store(&roots.retired, 1);
    atomic_store(&roots.is_retired, true);
    assert_int_equal(control_raise(stage.control, &generation, &stage.error), KW_OK);
    for (unsigned in_use = 0; in_use < 2; in_use++) {
        atomic_store(&roots.makes, 0);
        assert_int_equal(keyring_open(stage.keyring, &name, &master_id, &subkey, &stage.error), KW_OK);
        assert_int_equal(stage_unseal(subkey, "text", sealed, length, &stage.error), KW_NOT_FOUND);
        assert_string_equal(stage.error.message, "version 1 is retired, or there is none");
        assert_int_equal(roots.makes, 0);
        assert_int_equal(stage_seal(subkey, "text", last, &last_length, &stage.error), in_use ? KW_OK : KW_REFUSED);
        assert_int_equal(roots.makes, in_use);
        assert_true(!in_use || stage_version(last, last_length) == 2);
        kw_subkey_free(subkey);
        atomic_store(&roots.is_retired, false);
    }
    stage_close(&stage);
}

#define SEALERS 4

struct sealers {
    struct stage *stage;
    kw_subkey *subkey;
    atomic_bool end;
    atomic_uint settled; /* every seal that begins now must be of this version or a later one */
    atomic_uint seals, wrong;
};

static void *seal_and_judge(void *argument)
{
    struct sealers *sealers = argument;
    unsigned char sealed[SEALED_MAXIMUM];
    kw_error error = {0};
    while (!atomic_load(&sealers->end)) {
        const unsigned least = atomic_load(&sealers->settled);
        size_t length = 0;
        kw_subkey *own = stage_get(sealers->stage, "password", NULL);
        if (stage_seal(atomic_load(&sealers->seals) % 2 == 0 ? sealers->subkey : own, "text", sealed, &length,
                       &error) != KW_OK ||
            stage_version(sealed, length) < least ||
            stage_unseal(sealers->subkey, "text", sealed, length, &error) != KW_OK)
            atomic_fetch_add(&sealers->wrong, 1);
        kw_subkey_free(own);
        atomic_fetch_add(&sealers->seals, 1);
    }
    return NULL;
}

static void rotation_while_sealing_no_seal_is_lost_or_under_a_version_that_is_settled(void **state)
{
    struct stage stage;
    struct sealers sealers = {.stage = &stage};
    pthread_t threads[SEALERS];
    char who[CONTROL_WHO_SIZE];
    stage_open(state, &stage, NULL);
    sealers.subkey = stage_get(&stage, "password", NULL);
    for (size_t i = 0; i < SEALERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, seal_and_judge, &sealers), 0);
    for (unsigned round = 0; round < 20; round++) {
        const unsigned before = atomic_load(&sealers.seals);
        stage_rotate(&stage);
        /* as kw_reseal does before it says that all is sealed anew */
        assert_int_equal(control_wait(stage.control, control_generation(stage.control), 10000, who, &stage.error),
                         KW_OK);
        atomic_store(&sealers.settled, atomic_load(&roots.active));
        wait_for(&sealers.seals, before + 20);
    }
    atomic_store(&sealers.end, true);
    for (size_t i = 0; i < SEALERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sealers.wrong, 0);
    kw_subkey_free(sealers.subkey);
    stage_close(&stage);
}

static void *seal_one(void *argument)
{
    struct sealers *sealers = argument;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    kw_error error = {0};
    if (stage_seal(sealers->subkey, "text", sealed, &length, &error) != KW_OK || stage_version(sealed, length) < 2)
        atomic_fetch_add(&sealers->wrong, 1);
    return NULL;
}

/* Whoever wants to be sure that nobody seals under an older version any more waits for who is in the middle of it. */
static void rotation_a_seal_that_is_under_way_is_waited_for(void **state)
{
    struct stage stage;
    struct sealers sealers = {.stage = &stage};
    pthread_t thread;
    char who[CONTROL_WHO_SIZE];
    stage_open(state, &stage, NULL);
    sealers.subkey = stage_get(&stage, "password", NULL);
    stage_rotate(&stage);
    atomic_store(&roots.hold, true);
    assert_int_equal(pthread_create(&thread, NULL, seal_one, &sealers), 0);
    wait_for(&roots.holding, 1);
    stage_rotate(&stage);
    const uint64_t generation = control_generation(stage.control);
    assert_int_equal(control_wait(stage.control, generation, 20, who, &stage.error), KW_TIMEOUT);
    atomic_store(&roots.hold, false);
    pthread_join(thread, NULL);
    assert_int_equal(sealers.wrong, 0);
    assert_int_equal(control_wait(stage.control, generation, 20, who, &stage.error), KW_OK);
    kw_subkey_free(sealers.subkey);
    stage_close(&stage);
}

/* ---- Forks ---- */

static void *get_one(void *argument)
{
    struct stage *stage = argument;
    kw_subkey_free(stage_get(stage, "password", NULL));
    return NULL;
}

/* The child, too, while another thread of the parent was on its way to the store. */
static void fork_the_child_goes_on_without_a_call_and_does_not_wait_for_who_is_not_there(void **state)
{
    struct stage stage;
    pthread_t thread;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    int code = -1;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    for (int flying = 0; flying < 2; flying++) {
        if (flying == 1) {
            keyring_forget(stage.keyring, &master_id);
            stage.settings->subkeys.max_entries = 1;
            keyring_use(stage.keyring, stage.settings, stage.stores);
            kw_subkey_free(stage_get(&stage, "other", NULL));
            keyring_forget(stage.keyring, &master_id);
            atomic_store(&roots.loads, 0);
            atomic_store(&roots.hold, true);
            assert_int_equal(pthread_create(&thread, NULL, get_one, &stage), 0);
            wait_for(&roots.holding, 1);
        }
        keyring_fork_prepare(stage.keyring);
        const pid_t child = fork();
        if (child == 0) {
            keyring_fork_child(stage.keyring);
            atomic_store(&roots.hold, false);
            atomic_store(&roots.loads, 0);
            stage_good(&stage, subkey);
            const unsigned calls = roots.loads;
            kw_subkey *own = stage_get(&stage, "password", NULL);
            const bool good = stage_unseal(own, "text", sealed, length, &stage.error) == KW_OK;
            if (good && calls == 0 && roots.loads == (flying == 1 ? 1u : 0u))
                kill(getpid(), SIGKILL); /* and so without a word about what threads had that are not here */
            _exit(1);
        }
        keyring_fork_parent(stage.keyring);
        assert_int_equal(waitpid(child, &code, 0), child);
        assert_true(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
    }
    atomic_store(&roots.hold, false);
    pthread_join(thread, NULL);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* ---- Bytes ---- */

static void subkey_names_and_classes_are_told_apart(void **state)
{
    struct stage stage;
    unsigned char bytes[6][32];
    uint32_t version = 0;
    stage_open(state, &stage, NULL);
    assert_int_equal(keyring_active(stage.keyring, &master_id, &version, &stage.error), KW_OK);
    assert_int_equal(version, 1);
    for (unsigned i = 0; i < 6; i++) {
        const struct subkey_name name = {
            .class = i < 5 ? (enum subkey_class)(i + 1) : SUBKEY_RAW,
            .master = master_id,
            .version = 1,
            .purpose = {(const unsigned char *)"purpose", 7},
            .context = {(const unsigned char *)"c", i < 5 ? 0 : 1},
        };
        assert_int_equal(keyring_subkey(stage.keyring, &name, bytes[i], sizeof(bytes[i]), &stage.error), KW_OK);
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(bytes[i], bytes[k], sizeof(bytes[i]));
    }
    assert_int_equal(roots.loads, 1);
    stage_close(&stage);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        CASE(seal_what_was_sealed_comes_back_and_nothing_else),
        CASE(get_the_same_name_is_the_same_handle_without_a_call),
        CASE(get_a_name_out_of_its_limits_is_refused),
        CASE(eviction_in_use_the_handle_goes_on),
        CASE(eviction_and_refresh_while_many_threads_seal_lose_nothing),
        CASE(stampede_many_threads_make_one_call),
        CASE(stampede_a_failure_is_told_to_all_and_the_next_try_is_made),
        CASE(rotation_new_seals_are_under_the_new_version_and_old_ones_open),
        CASE(unseal_versions_that_somebody_made_up_leave_nothing_behind),
        CASE(unseal_makes_no_root),
        CASE(retired_master_key_opens_and_seals_no_more),
        CASE(rotation_while_sealing_no_seal_is_lost_or_under_a_version_that_is_settled),
        CASE(rotation_a_seal_that_is_under_way_is_waited_for),
        CASE(fork_the_child_goes_on_without_a_call_and_does_not_wait_for_who_is_not_there),
        CASE(subkey_names_and_classes_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
