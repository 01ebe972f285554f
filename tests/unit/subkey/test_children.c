/* Children of a fork, which may see what others do to the master keys, or may not. */
#include "stage.h"

#include <sys/wait.h>
#include <unistd.h>

/* Of one that is idle nobody could know otherwise whether it will come to a new version. */
static void refresh_proves_a_child_that_can_read_the_catalogue(void **state)
{
    struct stage stage;
    int code = -1;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    keyring_fork_prepare(stage.keyring);
    const pid_t child = fork();
    if (child == 0) {
        keyring_fork_child(stage.keyring);
        stage_good(&stage, subkey);
        atomic_store(&roots.catalogue, KW_PERMISSION);
        const bool refused = keyring_refresh(stage.keyring, &stage.error) != KW_OK && control_inherited(stage.control);
        atomic_store(&roots.catalogue, KW_OK);
        const bool proved = keyring_refresh(stage.keyring, &stage.error) == KW_OK && !control_inherited(stage.control);
        _exit(refused && proved ? 0 : 1);
    }
    keyring_fork_parent(stage.keyring);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* In a child of a fork; the exit status. */
static int in_child(struct stage *stage, bool (*does)(struct stage *stage, kw_subkey *subkey), kw_subkey *subkey)
{
    int code = -1;
    keyring_fork_prepare(stage->keyring);
    const pid_t child = fork();
    if (child == 0) {
        keyring_fork_child(stage->keyring);
        _exit(does(stage, subkey) ? 0 : 1);
    }
    keyring_fork_parent(stage->keyring);
    assert_int_equal(waitpid(child, &code, 0), child);
    return code;
}

static bool seals_no_more(struct stage *stage, kw_subkey *subkey)
{
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    uint64_t generation;
    if (!control_inherited(stage->control) || control_raise(stage->control, &generation, NULL) != KW_OK)
        return false;
    atomic_store(&roots.is_gone, true);
    return stage_seal(subkey, "text", sealed, &length, &stage->error) == KW_NOT_FOUND &&
           !control_inherited(stage->control);
}

/* A catalogue that answers that the master key is gone is no catalogue that cannot be read. */
static void deletion_is_seen_by_a_child_that_can_read_the_catalogue(void **state)
{
    struct stage stage;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    stage_good(&stage, subkey);
    assert_int_equal(in_child(&stage, seals_no_more, subkey), 0);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

/* Whoever waits for others has read the catalogue for what it waits for. */
static bool waits_for_others_alone(struct stage *stage, kw_subkey *subkey)
{
    char who[CONTROL_WHO_SIZE];
    uint64_t generation;
    (void)subkey;
    return control_inherited(stage->control) && control_raise(stage->control, &generation, NULL) == KW_OK &&
           control_wait(stage->control, generation, 50, who, &stage->error) == KW_OK;
}

static void wait_in_a_child_is_not_for_itself(void **state)
{
    struct stage stage;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    assert_int_equal(in_child(&stage, waits_for_others_alone, subkey), 0);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

static bool proves_without_anything(struct stage *stage, kw_subkey *subkey)
{
    (void)subkey;
    atomic_store(&roots.catalogue, KW_PERMISSION);
    if (keyring_refresh(stage->keyring, &stage->error) != KW_OK || !control_inherited(stage->control))
        return false;
    atomic_store(&roots.catalogue, KW_OK);
    return keyring_refresh(stage->keyring, &stage->error) == KW_OK && !control_inherited(stage->control);
}

static void refresh_proves_a_child_that_has_nothing_in_memory(void **state)
{
    struct stage stage;
    stage_open(state, &stage, NULL);
    assert_int_equal(in_child(&stage, proves_without_anything, NULL), 0);
    stage_close(&stage);
}

/* A catalogue that does not say which version is the active one: nothing is sealed, as it may have been rotated. */
static void rotation_without_a_catalogue_is_an_error_but_for_children_that_are_behind(void **state)
{
    struct stage stage;
    unsigned char sealed[SEALED_MAXIMUM];
    size_t length = 0;
    int code = -1;
    stage_open(state, &stage, NULL);
    kw_subkey *subkey = stage_get(&stage, "password", NULL);
    keyring_fork_prepare(stage.keyring);
    const pid_t child = fork();
    if (child == 0) {
        keyring_fork_child(stage.keyring);
        stage_rotate(&stage);
        atomic_store(&roots.catalogue, KW_PERMISSION);
        const bool goes_on = stage_seal(subkey, "text", sealed, &length, &stage.error) == KW_OK &&
                             stage_version(sealed, length) == 1 && control_inherited(stage.control);
        atomic_store(&roots.ahead, 10000);
        atomic_store(&roots.catalogue, KW_OK);
        const bool knows = stage_seal(subkey, "text", sealed, &length, &stage.error) == KW_OK &&
                           stage_version(sealed, length) == 2 && !control_inherited(stage.control);
        _exit(goes_on && knows ? 0 : 1);
    }
    keyring_fork_parent(stage.keyring);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    stage_rotate(&stage);
    atomic_store(&roots.catalogue, KW_PERMISSION);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_PERMISSION);
    atomic_store(&roots.catalogue, KW_OK);
    assert_int_equal(stage_seal(subkey, "text", sealed, &length, &stage.error), KW_OK);
    assert_int_equal(stage_version(sealed, length), 2);
    kw_subkey_free(subkey);
    stage_close(&stage);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        CASE(refresh_proves_a_child_that_can_read_the_catalogue),
        CASE(deletion_is_seen_by_a_child_that_can_read_the_catalogue),
        CASE(wait_in_a_child_is_not_for_itself),
        CASE(refresh_proves_a_child_that_has_nothing_in_memory),
        CASE(rotation_without_a_catalogue_is_an_error_but_for_children_that_are_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
