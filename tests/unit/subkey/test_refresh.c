/* Whether the store is away, and what that does to what is in memory. */
#include "stage.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINUTE UINT64_C(60000)

static kw_status seal(struct stage *stage, kw_subkey *subkey)
{
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    return stage_seal(subkey, "text", sealed, &length, &stage->error);
}

static void later(uint64_t milliseconds)
{
    atomic_fetch_add(&roots.ahead, milliseconds);
}

static bool lasts(struct stage *stage, uint64_t *milliseconds)
{
    return control_store_away(stage->control, "0b1d02aa", milliseconds, NULL);
}

static void refresh_asks_the_store_and_reads_each_root_anew(void **state)
{
    struct stage stage;
    stage_open(state, &stage, NULL);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK); /* nothing is in memory */
    assert_int_equal(roots.probes, 0);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    stage_rotate(&stage);
    stage_good(&stage, subkey);
    assert_int_equal(roots.loads, 2);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
    assert_int_equal(roots.probes, 1);
    assert_int_equal(roots.loads, 4);
    /* one that is retired leaves the memory */
    atomic_store(&roots.retired, 1);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
    assert_int_equal(roots.loads, 6);
    stage_good(&stage, subkey);
    /* of a master key whose roots all are, its store is not asked any more */
    atomic_store(&roots.retired, 2);
    atomic_store(&roots.health, KW_UNAVAILABLE);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
    assert_int_equal(roots.loads, 6);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* Whose control file was removed under it is told of nothing any more. */
static void refresh_learns_of_a_rotation_that_nobody_told(void **state)
{
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    stage_good(&stage, subkey);
    atomic_store(&roots.active, 2);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    assert_int_equal(stage_version(sealed, length), 2);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void refresh_another_root_is_told_and_not_taken(void **state)
{
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    atomic_store(&roots.is_other, true);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_CORRUPT);
    uint64_t milliseconds;
    assert_false(lasts(&stage, &milliseconds));
    kw_subkey *other = stage_get(&stage, "new", NULL);
    stage_good(&stage, other);
    kw_subkey_free(other);
    assert_int_equal(stage_unseal(subkey, "text", sealed, length, &stage.error), KW_OK);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void outage_begins_with_the_first_failure_and_serves_until_the_limit(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 10 * (int64_t)MINUTE};
    struct stage stage;
    uint64_t milliseconds = 0;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    atomic_store(&roots.health, KW_UNAVAILABLE);
    atomic_store(&roots.load, KW_UNAVAILABLE);
    later(60 * MINUTE); /* that it was away before somebody asked does not count */
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_UNAVAILABLE);
    assert_string_equal(stage.error.message, "the token is gone");
    assert_true(lasts(&stage, &milliseconds));
    later(9 * MINUTE);
    /* later failures do not begin it anew */
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_UNAVAILABLE);
    const unsigned probes = roots.probes;
    assert_int_equal(seal(&stage, subkey), KW_OK);
    kw_subkey *other = stage_get(&stage, "another", "name"); /* of the root that is in memory */
    stage_good(&stage, other);
    kw_subkey_free(other);
    assert_int_equal(roots.probes, probes);
    later(2 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
    assert_non_null(strstr(stage.error.message, "store 'hsm' of the master key has not been available since 20"));
    assert_non_null(strstr(stage.error.message, "the token is gone"));
    assert_non_null(strstr(stage.error.message, "(for 11 minutes)"));
    assert_non_null(strstr(stage.error.message, "outage_limit lets what is in memory serve for 10 minutes"));
    assert_non_null(strstr(stage.error.remedy, "keywright status"));
    char since[32];
    clock_text(clock_wall() - 11 * 60, since);
    since[15] = '\0'; /* up to the minutes' first digit */
    assert_non_null(strstr(stage.error.message, since));
    assert_int_equal(roots.probes, probes + 1);
    /* who comes right after is refused without a call */
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
        assert_non_null(strstr(stage.error.message, "the token is gone"));
    }
    uint32_t version = 1;
    unsigned char bytes[16];
    const struct subkey_name name = {SUBKEY_RAW, master_id, version, {(const unsigned char *)"p", 1}, {0}};
    assert_int_equal(keyring_subkey(stage.keyring, &name, bytes, sizeof(bytes), &stage.error), KW_UNAVAILABLE);
    assert_int_equal(roots.probes, probes + 1);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void outage_ends_by_itself_when_the_store_is_back(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 1000};
    struct stage stage;
    uint64_t milliseconds = 0;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    for (unsigned way = 0; way < 3; way++) {
        atomic_store(&roots.health, KW_TIMEOUT);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_TIMEOUT);
        later(2000);
        assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
        assert_true(lasts(&stage, &milliseconds));
        atomic_store(&roots.health, KW_OK);
        assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE); /* not asked again so soon */
        if (way == 0) {
            later(6000);
        } else if (way == 1) {
            assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
        } else {
            /* a root that somebody needs, and gets */
            keyring_forget(stage.keyring, &master_id);
            later(6000);
            kw_subkey_free(stage_get(&stage, "way", NULL));
        }
        assert_int_equal(seal(&stage, subkey), KW_OK);
        assert_false(lasts(&stage, &milliseconds));
    }
    kw_subkey_free(subkey);
    stage_close(&stage);
}

struct crowd {
    struct stage *stage;
    kw_subkey *subkey;
    atomic_uint good, refused;
};

static void *one_of_the_crowd(void *argument)
{
    struct crowd *crowd = argument;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    kw_error error = {0};
    const kw_status status = stage_seal(crowd->subkey, "text", sealed, &length, &error);
    if (status == KW_OK)
        atomic_fetch_add(&crowd->good, 1);
    else if (status == KW_UNAVAILABLE)
        atomic_fetch_add(&crowd->refused, 1);
    return NULL;
}

#define CROWD 16

/* The first who come after the limit wait for one probe, and none is refused when it succeeds. */
static void outage_one_probe_is_made_for_all_who_come_meanwhile(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 1000};
    pthread_t threads[CROWD];
    struct stage stage;
    for (int is_back = 0; is_back < 2; is_back++) {
        stage_open(state, &stage, &limit);
        struct crowd crowd = {.stage = &stage, .subkey = stage_get(&stage, "password", NULL)};
        atomic_store(&roots.health, KW_UNAVAILABLE);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_UNAVAILABLE);
        later(7000);
        if (is_back)
            atomic_store(&roots.health, KW_OK);
        const unsigned probes = roots.probes;
        atomic_store(&roots.hold, true);
        for (size_t i = 0; i < CROWD; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, one_of_the_crowd, &crowd), 0);
        while (atomic_load(&roots.holding) == 0)
            sched_yield();
        atomic_store(&roots.hold, false);
        for (size_t i = 0; i < CROWD; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(roots.probes, probes + 1);
        assert_int_equal(is_back ? crowd.good : crowd.refused, CROWD);
        kw_subkey_free(crowd.subkey);
        stage_close(&stage);
    }
}

/* What one process finds, another one acts upon. */
static void outage_is_known_to_other_processes(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 1000};
    struct stage stage;
    int code = -1;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    keyring_fork_prepare(stage.keyring);
    const pid_t child = fork();
    if (child == 0) {
        keyring_fork_child(stage.keyring);
        atomic_store(&roots.health, KW_UNAVAILABLE);
        _exit(keyring_refresh(stage.keyring, NULL) == KW_UNAVAILABLE ? 0 : 1);
    }
    keyring_fork_parent(stage.keyring);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    atomic_store(&roots.health, KW_UNAVAILABLE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    later(1300);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
    assert_int_equal(roots.probes, 0); /* the other's failure is not older than the pause */
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* Somebody sets the clock, forwards and back: neither an outage nor an age is longer or shorter for it. */
static void outage_a_wall_clock_that_is_moved_changes_nothing(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 10 * (int64_t)MINUTE, .max_age = 60 * (int64_t)MINUTE};
    static const long long years[] = {-40, 5, -5, 100};
    struct stage stage;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    for (size_t i = 0; i < sizeof(years) / sizeof(years[0]); i++) {
        atomic_store(&roots.wall, years[i] * 366 * 24 * 3600);
        assert_int_equal(seal(&stage, subkey), KW_OK);
        assert_int_equal(roots.loads, 1);
    }
    atomic_store(&roots.health, KW_UNAVAILABLE);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_UNAVAILABLE);
    for (size_t i = 0; i < sizeof(years) / sizeof(years[0]); i++) {
        atomic_store(&roots.wall, years[i] * 366 * 24 * 3600);
        later(2 * MINUTE);
        assert_int_equal(seal(&stage, subkey), KW_OK);
    }
    atomic_store(&roots.wall, -years[3] * 366 * 24 * 3600);
    later(3 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
    assert_non_null(strstr(stage.error.message, "(for 11 minutes)"));
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void outage_of_before_the_machine_began_anew_does_not_count(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 1000};
    struct stage stage;
    uint64_t milliseconds = 0;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    struct control_outage *outage = control_outage(stage.control, "0b1d02aa");
    assert_true(outage_fail(outage));
    assert_false(outage_fail(outage));
    later(2000);
    assert_true(lasts(&stage, &milliseconds));
    assert_true(milliseconds >= 2000 && milliseconds < 30000);
    atomic_fetch_add(&outage->boot, 1);
    assert_false(lasts(&stage, &milliseconds));
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_true(outage_fail(outage)); /* a new one */
    assert_true(lasts(&stage, &milliseconds));
    assert_true(outage_end(outage));
    assert_false(outage_end(outage));
    assert_ptr_not_equal(control_outage(stage.control, "0b1d02ab"), outage);
    assert_ptr_equal(control_outage(stage.control, "0b1d02aa"), outage);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void age_roots_are_read_anew_and_serve_on_while_that_fails(void **state)
{
    const struct subkey_settings aging = {.max_age = 5 * (int64_t)MINUTE, .outage_limit = 10 * (int64_t)MINUTE};
    struct stage stage;
    uint64_t milliseconds = 0;
    stage_open(state, &stage, &aging);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    later(4 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(roots.loads, 1);
    later(2 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(roots.loads, 2);
    assert_int_equal(roots.probes, 1);
    /* away at that time: it serves on, and an outage begins */
    later(6 * MINUTE);
    atomic_store(&roots.health, KW_UNAVAILABLE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_true(lasts(&stage, &milliseconds));
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(roots.probes, 2);
    later(MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(roots.probes, 3);
    later(10 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
    atomic_store(&roots.health, KW_OK);
    later(MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_false(lasts(&stage, &milliseconds));
    /* a new configuration without an age */
    stage.settings->subkeys.max_age = 0;
    keyring_use(stage.keyring, stage.settings, stage.stores);
    const unsigned loads = roots.loads;
    later(1000 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_int_equal(roots.loads, loads);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* Of a process that may not ask the store, or whose catalogue is damaged, others do not hear. */
static void refresh_failures_that_are_not_the_stores_begin_no_outage(void **state)
{
    static const kw_status others[] = {KW_PERMISSION, KW_CORRUPT, KW_OUT_OF_MEMORY, KW_CONFIGURATION};
    static const kw_status its[] = {KW_UNAVAILABLE, KW_TIMEOUT, KW_SECRET_REFUSED, KW_FAILED};
    struct stage stage;
    uint64_t milliseconds = 0;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        atomic_store(&roots.health, others[i]);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), others[i]);
        assert_false(lasts(&stage, &milliseconds));
    }
    for (size_t i = 0; i < sizeof(its) / sizeof(its[0]); i++) {
        atomic_store(&roots.catalogue, its[i]);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), its[i]);
        assert_false(lasts(&stage, &milliseconds));
        atomic_store(&roots.catalogue, KW_OK);
        atomic_store(&roots.health, its[i]);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), its[i]);
        assert_true(lasts(&stage, &milliseconds));
        atomic_store(&roots.health, KW_OK);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
        assert_false(lasts(&stage, &milliseconds));
        /* a store that is there and does not unwrap is away too */
        atomic_store(&roots.load, its[i]);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), its[i]);
        assert_true(lasts(&stage, &milliseconds));
        atomic_store(&roots.load, KW_OK);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
    }
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* Another token of the same name, or an empty one: what is in memory may be the last copy. */
static void refresh_a_token_without_the_key_takes_no_root_from_memory(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 10 * (int64_t)MINUTE};
    struct stage stage;
    uint64_t milliseconds = 0;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    atomic_store(&roots.lacks_key, true);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_NOT_FOUND);
        assert_string_equal(stage.error.message, "the token has no private key");
        assert_true(lasts(&stage, &milliseconds));
        kw_subkey *other = stage_get(&stage, i == 0 ? "new" : "newer", NULL); /* of the root */
        stage_good(&stage, other);
        kw_subkey_free(other);
        later(6 * MINUTE);
    }
    /* it has answered all the time: that alone ends nothing */
    assert_true(lasts(&stage, &milliseconds));
    assert_true(milliseconds >= 12 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
    assert_non_null(strstr(stage.error.message, "the token has no private key"));
    later(MINUTE);
    atomic_store(&roots.lacks_key, false);
    assert_int_equal(stage_unseal(subkey, "text", sealed, length, &stage.error), KW_OK);
    assert_false(lasts(&stage, &milliseconds));
    /* nor does a catalogue that cannot be read */
    atomic_store(&roots.lacks_key, true);
    atomic_store(&roots.catalogue, KW_NOT_FOUND);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_NOT_FOUND);
    assert_false(lasts(&stage, &milliseconds));
    atomic_store(&roots.catalogue, KW_OK);
    kw_subkey *last = stage_get(&stage, "last", NULL);
    stage_good(&stage, last);
    kw_subkey_free(last);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* The other one's success does not end the outage of the one, and the one's failure cuts nobody else off. */
static void refresh_one_of_two_keys_in_a_store_is_gone(void **state)
{
    static const struct id other_id = {.bytes = {9}};
    static const struct handle_name other_name = {"master-key/other", "password", {0}};
    const struct subkey_settings limit = {.outage_limit = 10 * (int64_t)MINUTE};
    struct stage stage;
    uint64_t milliseconds = 0;
    kw_subkey *other = NULL;
    for (unsigned is_first = 0; is_first < 2; is_first++) { /* whichever is asked first */
        stage_open(state, &stage, &limit);
        kw_subkey *subkey = stage_get(&stage, "password", NULL);
        assert_int_equal(keyring_open(stage.keyring, &other_name, &other_id, &other, &stage.error), KW_OK);
        atomic_store(&roots.lacks_key, true);
        atomic_store(&roots.lacks_of, is_first ? master_id.bytes[0] : other_id.bytes[0]);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_NOT_FOUND);
            assert_true(lasts(&stage, &milliseconds));
            stage_good(&stage, subkey);
            stage_good(&stage, other);
            later(6 * MINUTE);
        }
        assert_true(lasts(&stage, &milliseconds));
        assert_true(milliseconds >= 12 * MINUTE);
        assert_int_equal(seal(&stage, is_first ? subkey : other), KW_UNAVAILABLE);
        assert_non_null(strstr(stage.error.message, "the token has no private key"));
        stage_good(&stage, is_first ? other : subkey);
        atomic_store(&roots.lacks_key, false);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
        assert_false(lasts(&stage, &milliseconds));
        stage_good(&stage, is_first ? subkey : other);
        kw_subkey_free(subkey);
        kw_subkey_free(other);
        stage_close(&stage);
    }
}

/* Recovered into another one, or retired: nobody would ever ask the lost store again. */
static void outage_ends_with_the_last_key_of_the_store(void **state)
{
    struct stage stage;
    uint64_t milliseconds = 0;
    for (unsigned is_retired = 0; is_retired < 2; is_retired++) {
        stage_open(state, &stage, NULL);
        kw_subkey *subkey = stage_get(&stage, "password", NULL);
        atomic_store(&roots.health, KW_UNAVAILABLE);
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_UNAVAILABLE);
        assert_true(lasts(&stage, &milliseconds));
        if (is_retired) {
            atomic_store(&roots.retired, 1);
        } else {
            atomic_store(&roots.has_moved, true);
            atomic_store(&roots.health, KW_OK);
        }
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_OK);
        assert_false(lasts(&stage, &milliseconds));
        kw_subkey_free(subkey);
        stage_close(&stage);
    }
}

/* Whoever is refused is told why, also where the store was asked because the root had aged. */
static void outage_of_an_aged_root_is_told_with_its_cause(void **state)
{
    const struct subkey_settings aging = {.max_age = (int64_t)MINUTE, .outage_limit = (int64_t)MINUTE / 2};
    struct stage stage;
    stage_open(state, &stage, &aging);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    atomic_store(&roots.health, KW_UNAVAILABLE);
    later(2 * MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_OK); /* the outage begins */
    later(MINUTE);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE); /* was asked just now, as the root has aged */
    assert_non_null(strstr(stage.error.message, "the token is gone"));
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* That it answers neither ends the outage nor begins it anew. */
static void outage_a_store_that_answers_and_does_not_unwrap_is_away(void **state)
{
    const struct subkey_settings limit = {.outage_limit = 10 * (int64_t)MINUTE, .max_age = 3 * (int64_t)MINUTE};
    struct stage stage;
    uint64_t milliseconds = 0;
    stage_open(state, &stage, &limit);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    atomic_store(&roots.load, KW_FAILED);
    assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_FAILED);
    for (unsigned i = 0; i < 3; i++) {
        later(4 * MINUTE);
        assert_int_equal(seal(&stage, subkey), i < 2 ? KW_OK : KW_UNAVAILABLE); /* and asks, as the root has aged */
        assert_int_equal(keyring_refresh(stage.keyring, &stage.error), KW_FAILED);
        assert_true(lasts(&stage, &milliseconds));
        assert_true(milliseconds >= (i + 1) * 4 * MINUTE);
    }
    later(MINUTE);
    atomic_store(&roots.load, KW_OK);
    assert_int_equal(seal(&stage, subkey), KW_OK);
    assert_false(lasts(&stage, &milliseconds));
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static void root_that_is_not_in_memory_fails_at_once_and_begins_no_outage(void **state)
{
    struct stage stage;
    uint64_t milliseconds = 0;
    const struct handle_name name = {"master-key/m", "password", {0}};
    kw_subkey *subkey = NULL;
    stage_open(state, &stage, NULL);
    atomic_store(&roots.load, KW_UNAVAILABLE);
    assert_int_equal(keyring_open(stage.keyring, &name, &master_id, &subkey, &stage.error), KW_OK);
    assert_int_equal(seal(&stage, subkey), KW_UNAVAILABLE);
    assert_string_equal(stage.error.message, "the store is away");
    kw_subkey_free(subkey);
    atomic_store(&roots.active, 1);
    assert_int_equal(keyring_open(stage.keyring, &name, &master_id, &subkey, &stage.error), KW_UNAVAILABLE);
    assert_false(lasts(&stage, &milliseconds));
    stage_close(&stage);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        CASE(refresh_asks_the_store_and_reads_each_root_anew),
        CASE(refresh_another_root_is_told_and_not_taken),
        CASE(outage_begins_with_the_first_failure_and_serves_until_the_limit),
        CASE(outage_ends_by_itself_when_the_store_is_back),
        CASE(outage_one_probe_is_made_for_all_who_come_meanwhile),
        CASE(outage_is_known_to_other_processes),
        CASE(outage_a_wall_clock_that_is_moved_changes_nothing),
        CASE(refresh_learns_of_a_rotation_that_nobody_told),
        CASE(refresh_one_of_two_keys_in_a_store_is_gone),
        CASE(outage_ends_with_the_last_key_of_the_store),
        CASE(outage_of_an_aged_root_is_told_with_its_cause),
        CASE(outage_of_before_the_machine_began_anew_does_not_count),
        CASE(age_roots_are_read_anew_and_serve_on_while_that_fails),
        CASE(refresh_failures_that_are_not_the_stores_begin_no_outage),
        CASE(refresh_a_token_without_the_key_takes_no_root_from_memory),
        CASE(outage_a_store_that_answers_and_does_not_unwrap_is_away),
        CASE(root_that_is_not_in_memory_fails_at_once_and_begins_no_outage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
