/* An older catalogue, or an older row in it, is noticed by who has seen a newer one. */
#include "masters.h"

#include "base/file.h"
#include "base/run_lock.h"
#include "subkey/high_water.h"
#include "subkey/root_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct masters *masters;
static kw_error *error;
static struct id master;
static struct pair pair;
static char path[256];

/* With two roots. */
static int setup(void **state)
{
    uint32_t version = 0;
    (void)state;
    masters = calloc(1, sizeof(*masters));
    assert_non_null(masters);
    masters_open(masters);
    error = &masters->error;
    pair = masters_add(masters, "master-key/example", "ec-p256", &master);
    assert_fine(masters, root_make(&masters->place, &master, 0, &version, error));
    masters_execute(masters, "CREATE TABLE first AS SELECT * FROM root");
    assert_fine(masters, root_make(&masters->place, &master, 1, &version, error));
    masters_execute(masters, "CREATE TABLE newest AS SELECT * FROM root");
    snprintf(path, sizeof(path), "%s/%s", masters->ring.directory, HIGH_WATER_FILE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pair_clear(&pair);
    masters_close(masters);
    free(masters);
    return 0;
}

static void refuses(const char *why)
{
    struct secret root = {0};
    uint32_t version = 7;
    bool is_over = false;
    assert_answers(masters, KW_CORRUPT, root_active(&masters->place, &master, &version, error));
    assert_says(masters, why);
    assert_answers(masters, KW_CORRUPT, root_load(&masters->place, &master, 1, &root, error));
    assert_says(masters, why);
    assert_answers(masters, KW_CORRUPT, root_make(&masters->place, &master, 2, &version, error));
    assert_answers(masters, KW_CORRUPT, root_check(&masters->place, &master, 1, error));
    assert_answers(masters, KW_CORRUPT, root_is_over(&masters->place, &master, 1, &is_over, error));
    assert_false(is_over);
    assert_null(root.data);
    assert_int_equal(version, 7);
}

static void agrees(uint32_t expected)
{
    uint32_t version = 0;
    assert_fine(masters, root_active(&masters->place, &master, &version, error));
    assert_int_equal(version, expected);
}

static void older_catalogue_is_corrupt_until_the_file_is_removed(void **state)
{
    (void)state;
    masters_execute(masters, "DELETE FROM root; INSERT INTO root SELECT * FROM first");
    refuses("the catalogue has 1 root secrets of master-key/example, and this server has seen 2");
    assert_says(masters, "/root-marks: what was sealed");
    masters_execute(masters, "DELETE FROM root; INSERT INTO root SELECT * FROM newest");
    agrees(2);
    /* On purpose. */
    masters_execute(masters, "DELETE FROM root; INSERT INTO root SELECT * FROM first");
    assert_int_equal(unlink(path), 0);
    agrees(1);
    assert_true(file_exists(path));
}

static void older_row_is_corrupt(void **state)
{
    (void)state;
    masters_execute(masters, "DELETE FROM root WHERE version = 1; INSERT INTO root SELECT * FROM first");
    refuses("the root secrets of master-key/example are older than what this server has seen");
    masters_execute(masters, "DELETE FROM root");
    refuses("the catalogue has 0 root secrets of master-key/example");
}

static void changed_file_is_corrupt(void **state)
{
    static const char *const texts[] = {
        "", "keywright root marks 1\n",
        "keywright root marks 1\nmac 0000000000000000000000000000000000000000000000000000000000000000\n"};
    kw_bytes content = {0};
    (void)state;
    assert_fine(masters, file_read(path, 4096, &content, error));
    for (size_t i = 0; i < content.length; i += 17) {
        content.data[i] ^= 1;
        assert_fine(masters, file_replace(path, (kw_input){content.data, content.length}, 0600, error));
        content.data[i] ^= 1;
        refuses("is damaged, or was changed");
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_fine(masters, file_replace(path, input_text(texts[i]), 0600, error));
        refuses("is damaged, or was changed");
    }
    assert_fine(masters, file_replace(path, (kw_input){content.data, content.length}, 0600, error));
    agrees(2);
    kw_bytes_free(&content);
}

static void high_water_forget_leaves_the_others(void **state)
{
    struct id other;
    struct high_water mark = {0};
    uint32_t version = 0;
    struct pair second = masters_add(masters, "master-key/other", "ec-p256", &other);
    (void)state;
    assert_fine(masters, root_make(&masters->place, &other, 0, &version, error));
    assert_fine(masters, high_water_read(&masters->place, &master, &mark, error));
    assert_int_equal(mark.versions, 2);
    assert_int_equal(mark.generations, 3); /* the first was written twice */
    assert_fine(masters, high_water_forget(&masters->place, &master, error));
    assert_fine(masters, high_water_read(&masters->place, &master, &mark, error));
    assert_int_equal(mark.versions, 0);
    /* What was deleted on purpose opens nothing any more. */
    bool is_over = false;
    assert_fine(masters, root_is_over(&masters->place, &master, 2, &is_over, error));
    assert_false(is_over);
    masters_execute(masters, "DELETE FROM root WHERE version < 3 AND master = (SELECT id FROM entry WHERE address = "
                             "'master-key/example')");
    assert_fine(masters, high_water_forget(&masters->place, &master, error));
    assert_fine(masters, root_is_over(&masters->place, &master, 2, &is_over, error));
    assert_true(is_over);
    assert_fine(masters, high_water_read(&masters->place, &other, &mark, error));
    assert_int_equal(mark.versions, 1);
    /* What was seen last counts, however late it is told. */
    assert_fine(masters, high_water_raise(&masters->place, &other, &(struct high_water){5, 9}, error));
    assert_fine(masters, high_water_raise(&masters->place, &other, &(struct high_water){4, 10}, error));
    assert_fine(masters, high_water_read(&masters->place, &other, &mark, error));
    assert_int_equal(mark.versions, 5);
    assert_int_equal(mark.generations, 10);
    pair_clear(&second);
}

enum { PROCESSES = 3, STEPS = 6 };

static void high_water_raise_several_processes_keep_the_highest(void **state)
{
    struct high_water mark = {0};
    int status = 0;
    (void)state;
    run_lock_watch_forks();
    for (uint32_t process = 0; process < PROCESSES; process++) {
        catalogue_fork_prepare(masters->ring.catalogue);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child > 0) {
            catalogue_fork_parent(masters->ring.catalogue);
            continue;
        }
        catalogue_fork_child(masters->ring.catalogue);
        kw_status result = KW_OK;
        for (uint32_t step = 0; result == KW_OK && step < STEPS; step++) {
            struct id own = {{(unsigned char)(process + 1)}};
            result = high_water_raise(&masters->place, &master,
                                      &(struct high_water){100 + step * PROCESSES + process, 200}, error);
            if (result == KW_OK)
                result = high_water_raise(&masters->place, &own, &(struct high_water){step + 1, 1}, error);
        }
        _exit(result == KW_OK ? 0 : 1);
    }
    for (uint32_t process = 0; process < PROCESSES; process++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_fine(masters, high_water_read(&masters->place, &master, &mark, error));
    assert_int_equal(mark.versions, 100 + STEPS * PROCESSES - 1);
    for (uint32_t process = 0; process < PROCESSES; process++) {
        struct id own = {{(unsigned char)(process + 1)}};
        assert_fine(masters, high_water_read(&masters->place, &own, &mark, error));
        assert_int_equal(mark.versions, STEPS);
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(older_catalogue_is_corrupt_until_the_file_is_removed),
        test(older_row_is_corrupt),
        test(changed_file_is_corrupt),
        test(high_water_forget_leaves_the_others),
        test(high_water_raise_several_processes_keep_the_highest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
