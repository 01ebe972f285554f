#include "base/right.h"

#include "base/acl.h"
#include "folder.h"

#include <stdlib.h>
#include <string.h>
#include <windows.h>

static void right_error_names_the_user_the_reason_and_the_remedy(void **state)
{
    char *path = folder_write(state, "file", "", 0, 0600);
    char user[ACL_NAME_SIZE];
    kw_error error = {0};
    acl_user(user);
    assert_string_not_equal(user, "unknown");
    assert_int_equal(right_error(&error, ERROR_ACCESS_DENIED, RIGHT_WRITE, path, "cannot write %s", path),
                     KW_PERMISSION);
    assert_int_equal(strncmp(error.message, "cannot write ", strlen("cannot write ")), 0);
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.message, user));
    assert_non_null(strstr(error.message, "(5)"));
    assert_non_null(strstr(error.remedy, "icacls"));
    assert_non_null(strstr(error.remedy, path));
    free(path);
}

static void right_error_on_a_protected_volume_says_so(void **state)
{
    kw_error error = {0};
    (void)state;
    assert_int_equal(right_error(&error, ERROR_WRITE_PROTECT, RIGHT_WRITE, "C:/file", "cannot write it"),
                     KW_PERMISSION);
    assert_non_null(strstr(error.message, "write-protected"));
    assert_null(strstr(error.remedy, "icacls"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_error_names_the_user_the_reason_and_the_remedy, folder_setup,
                                        folder_teardown),
        cmocka_unit_test(right_error_on_a_protected_volume_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
