/* Who lacks which right to what. Root has every right, so its process becomes another user's for the call. */
#include "base/right.h"
#include "base/right_user.h"
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

static char folder[512];

static int start(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char path[600];
    (void)state;
    snprintf(folder, sizeof(folder), "%s/keywright-right-XXXXXX", temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chmod(folder, 0755), 0);
    snprintf(path, sizeof(path), "%s/inner", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/inner/file", folder);
    const int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(file >= 0);
    close(file);
    return 0;
}

static int stop(void **state)
{
    char path[600];
    (void)state;
    snprintf(path, sizeof(path), "%s/inner", folder);
    chmod(path, 0755);
    snprintf(path, sizeof(path), "%s/inner/file", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/inner", folder);
    rmdir(path);
    return rmdir(folder);
}

static void set_mode(const char *name, mode_t mode)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(chmod(path, mode), 0);
}

static kw_error asked(enum right right, const char *name, int number)
{
    char path[600];
    kw_error error = {0};
    const bool root = geteuid() == 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_true(!root || seteuid(NOBODY) == 0);
    const kw_status status = right_error(&error, number, right, path, "cannot try %s", name);
    assert_true(!root || seteuid(0) == 0);
    assert_int_equal(status, KW_PERMISSION);
    assert_int_equal(error.status, KW_PERMISSION);
    return error;
}

static void right_error_names_what_withholds_it(void **state)
{
    static const struct {
        mode_t inner, file; /* bits for all alike, since who asks owns them or does not */
        enum right right;
        const char *name, *part, *place;
    } rows[] = {
        {0755, 0222, RIGHT_READ, "inner/file", "right to read the file", "/inner/file,"},
        {0755, 0444, RIGHT_WRITE, "inner/file", "right to write to the file", "/inner/file,"},
        {0555, 0666, RIGHT_CREATE, "inner/new", "right to write to the directory", "/inner,"},
        {0555, 0444, RIGHT_CREATE, "inner/file", "right to write to the directory", "/inner,"},
        {0444, 0666, RIGHT_READ, "inner/file", "right to search the directory", "/inner,"},
        {0444, 0666, RIGHT_CREATE, "inner/new", "right to search the directory", "/inner,"},
        {0311, 0666, RIGHT_READ, "inner", "right to read the directory", "/inner,"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char user[RIGHT_USER_SIZE], text[RIGHT_USER_SIZE + 8];
        set_mode("inner/file", rows[i].file);
        set_mode("inner", geteuid() == 0 ? rows[i].inner : rows[i].inner & ~(mode_t)0200);
        const kw_error error = asked(rows[i].right, rows[i].name, EACCES);
        set_mode("inner", 0755);
        right_user(geteuid() == 0 ? NOBODY : geteuid(), user);
        snprintf(text, sizeof(text), "user %s ", user);
        if (strstr(error.message, rows[i].part) == NULL || strstr(error.message, rows[i].place) == NULL ||
            strstr(error.message, text) == NULL)
            fail_msg("row %zu: %s", i, error.message);
        assert_int_equal(strncmp(error.message, "cannot try ", 11), 0);
        assert_non_null(strstr(error.message, "belongs to user "));
        assert_true(error.remedy[0] != '\0');
    }
}

static void right_error_without_an_obstacle_gives_the_systems_reason(void **state)
{
    (void)state;
    set_mode("inner/file", 0666);
    set_mode("inner", 0777);
    assert_non_null(strstr(asked(RIGHT_WRITE, "inner/file", EPERM).message, "Operation not permitted"));
    assert_non_null(strstr(asked(RIGHT_READ, "nothing/there", EACCES).message, "Permission denied"));
    assert_non_null(strstr(asked(RIGHT_WRITE, "inner/file", EROFS).message, "read-only file system"));
}

static void right_user_without_a_name_is_a_number(void **state)
{
    char text[RIGHT_USER_SIZE];
    (void)state;
    right_user(0, text);
    assert_string_equal(text, "root");
    right_user((uid_t)4000000123u, text);
    assert_string_equal(text, "4000000123");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_error_names_what_withholds_it, start, stop),
        cmocka_unit_test_setup_teardown(right_error_without_an_obstacle_gives_the_systems_reason, start, stop),
        cmocka_unit_test(right_user_without_a_name_is_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
