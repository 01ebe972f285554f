/* Secrets: wrong, absent, changed. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

/* The secret that open asks for first, found by asking. */
static const char *secret_of(const struct kit *kit)
{
    return kit->secret_count != 0 ? kit->secrets[0].option : NULL;
}

static void check_wrong(struct kit *kit, const char *option)
{
    struct kit_host host;
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;
    char wrong[KW_SECRET_MAXIMUM];
    if (requirement_skipped(OPEN_WRONG_SECRET))
        return;
    kit_host_like(kit, &host, kit->records);
    /* as long as the true one, so that its form is acceptable */
    snprintf(wrong, sizeof(wrong), "%s", kit_host_get_secret(&host, option));
    if (*wrong != '\0')
        wrong[strlen(wrong) - 1] = wrong[strlen(wrong) - 1] == '7' ? '8' : '7';
    kit_host_set_secret(&host, option, wrong);
    kw_status status = kit_open(kit, &host, &instance, &capabilities);
    expect_failure(&host, OPEN_WRONG_SECRET, status, KW_SECRET_REFUSED, "open with a wrong secret");
    require(OPEN_WRONG_SECRET, atomic_load(&host.secret_requests) == 1, "the secret was asked for %u times",
            atomic_load(&host.secret_requests));
    require(OPEN_WRONG_SECRET, atomic_load(&host.secret_refusals) == 1, "secret_refused was called %u times",
            atomic_load(&host.secret_refusals));
    require(OPEN_WRONG_SECRET, atomic_load(&host.record_writes) == 0, "a record was written with a wrong secret");
    kit_close(kit, &host, status == KW_OK ? instance : NULL);
}

static void check_absent(struct kit *kit)
{
    static const kw_status answers[] = {KW_CONFIGURATION, KW_SECRET_REFUSED, KW_PERMISSION};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct kit_host host;
        kw_plugin_instance *instance = NULL;
        kw_capabilities capabilities;
        kit_host_like(kit, &host, kit->records);
        host.secret_status = answers[i];
        kw_status status = kit_open(kit, &host, &instance, &capabilities);
        if (atomic_load(&host.secret_requests) != 0) {
            expect_failure(&host, OPEN_NO_SECRET, status, answers[i], "open with a host that gives no secret");
            require(OPEN_NO_SECRET, atomic_load(&host.secret_refusals) == 0,
                    "secret_refused was called for a secret that was never given");
        }
        kit_close(kit, &host, status == KW_OK ? instance : NULL);
    }
}

static kw_status open_with(const struct kit *kit, const char *option, const char *value, enum requirement requirement)
{
    struct kit_host host;
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;
    kit_host_like(kit, &host, kit->records);
    kit_host_set_secret(&host, option, value);
    kw_status status = kit_open(kit, &host, &instance, &capabilities);
    require(requirement, status == KW_OK || instance == NULL, "a failed open left an instance");
    kit_close(kit, &host, status == KW_OK ? instance : NULL);
    return status;
}

static bool still_signs(struct kit *kit, const struct test_key *key)
{
    struct test_key again = {.wanted = key->wanted, .locator = key->locator};
    bool works = test_key_open(kit, kit->instance, &kit->host, SET_SECRET_OTHERS, &again);
    if (again.key != NULL)
        kit->operations.key_close(again.key);
    EVP_PKEY_free(again.pkey);
    return works;
}

static void check_change(struct kit *kit, const char *option)
{
    struct kit_host host;
    kw_plugin_instance *changer = NULL;
    kw_capabilities capabilities;
    struct test_key key = {.key = NULL};
    const struct key_variant *variant = variant_signing(kit);
    const char *old = kit_host_get_secret(&kit->host, option);
    char changed[KW_SECRET_MAXIMUM];
    if (!kit_can(kit, KW_CAN_SET_SECRET) || variant == NULL || requirement_skipped(SET_SECRET_CHANGES))
        return;
    snprintf(changed, sizeof(changed), "%s", old);
    changed[0] = changed[0] == '4' ? '5' : '4';
    kw_input new_secret = {(const unsigned char *)changed, strlen(changed)};
    kw_input old_secret = {(const unsigned char *)old, strlen(old)};
    if (!test_key_new(kit, SET_SECRET_OTHERS, variant, &key))
        goto out;
    kit_host_like(kit, &host, kit->records);
    if (!expect_ok(&host, SET_SECRET_CHANGES, kit_open(kit, &host, &changer, &capabilities), "open"))
        goto out;

    /* each failure leaves the old secret in force */
    kw_status status = kit->operations.set_secret(changer, &kit->call, "no_such_option", new_secret);
    require(SET_SECRET_ALL_OR_NOTHING, status != KW_OK, "set_secret took an option that does not exist");
    for (unsigned call = 1; call < 20; call++) {
        kit_host_fail(&host, FAILURE_UNAVAILABLE, call);
        status = kit->operations.set_secret(changer, &kit->call, option, new_secret);
        if (!kit_host_failed(&host))
            break;
        require(SET_SECRET_ALL_OR_NOTHING, status == KW_UNAVAILABLE, "set_secret when records are unavailable: %s",
                status_name(status));
        status = open_with(kit, option, old, SET_SECRET_ALL_OR_NOTHING);
        require(SET_SECRET_ALL_OR_NOTHING, status == KW_OK, "after a set_secret that failed the old secret gives %s",
                status_name(status));
    }
    /* the last round had no failure */
    expect_ok(&host, SET_SECRET_CHANGES, status, "set_secret");
    status = open_with(kit, option, changed, SET_SECRET_CHANGES);
    require(SET_SECRET_CHANGES, status == KW_OK, "open with the new secret: %s", status_name(status));
    if (!requirement_skipped(OPEN_WRONG_SECRET)) {
        status = open_with(kit, option, old, SET_SECRET_CHANGES);
        require(SET_SECRET_CHANGES, status == KW_SECRET_REFUSED, "open with the old secret: %s", status_name(status));
    }
    require(SET_SECRET_OTHERS, still_signs(kit, &key), "an instance that was open cannot open a key any more");
    status = kit->operations.set_secret(kit->instance, &kit->call, option, old_secret);
    expect_ok(&kit->host, SET_SECRET_OTHERS, status, "set_secret by an instance that was open with the old secret");
    status = open_with(kit, option, old, SET_SECRET_CHANGES);
    require(SET_SECRET_CHANGES, status == KW_OK, "open after the secret was changed back: %s", status_name(status));
    status = kit->operations.set_secret(changer, &kit->call, option, (kw_input){NULL, 0});
    require(SET_SECRET_ALL_OR_NOTHING, status != KW_OK, "an empty secret was accepted");
out:
    if (changer != NULL)
        kit_close(kit, &host, changer);
    test_key_free(kit, &key);
    atomic_store(&kit->host.reports, 0);
}

/* While one thread is asked for its secret, another uses an instance that is open. */
struct meanwhile {
    struct kit *kit;
    pthread_t thread;
    kw_status status;
};

static void *use_meanwhile(void *argument)
{
    struct meanwhile *meanwhile = argument;
    struct kit *kit = meanwhile->kit;
    unsigned char id[KW_KEY_ID_LENGTH] = {2}, room[KW_LOCATOR_MAXIMUM];
    kw_output output = {.data = room, .capacity = sizeof(room)};
    kw_status status = kit->operations.key_find(kit->instance, &kit->call, id, &output);
    meanwhile->status = status == KW_NOT_FOUND ? kit->operations.health(kit->instance, &kit->call) : status;
    return NULL;
}

/* A plugin that holds a lock here never comes back; the test's own time limit ends that. */
static void ask_meanwhile(void *user)
{
    struct meanwhile *meanwhile = user;
    if (pthread_create(&meanwhile->thread, NULL, use_meanwhile, meanwhile) == 0)
        pthread_join(meanwhile->thread, NULL);
}

static void check_lock(struct kit *kit)
{
    struct kit_host host;
    kw_plugin_instance *instance = NULL;
    kw_capabilities capabilities;
    struct meanwhile meanwhile = {.kit = kit, .status = KW_FAILED};
    kit_host_like(kit, &host, kit->records);
    host.during_secret_request = ask_meanwhile;
    host.user = &meanwhile;
    kw_status status = kit_open(kit, &host, &instance, &capabilities);
    require(RULE_8_NO_LOCK, status == KW_OK && meanwhile.status == KW_OK,
            "open: %s; another thread's operations while the secret was asked for: %s", status_name(status),
            status_name(meanwhile.status));
    kit_close(kit, &host, status == KW_OK ? instance : NULL);
    atomic_store(&kit->host.reports, 0);
}

void check_secrets(struct kit *kit)
{
    const char *option = secret_of(kit);
    if (option == NULL)
        return;
    check_wrong(kit, option);
    check_absent(kit);
    check_change(kit, option);
    check_lock(kit);
}
