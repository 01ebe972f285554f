#include "base/path.h"

#include "folder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void assert_path(char *path, const char *expected)
{
    assert_string_equal(path, expected);
    free(path);
}

static void paths_are_joined_and_split(void **state)
{
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof(here)));
    assert_path(path_join("/a", "b"), "/a/b");
    assert_path(path_join("/a/", "b"), "/a/b");
    assert_path(path_join("/", "b"), "/b");
    assert_path(path_resolve("/a", "b/c"), "/a/b/c");
    assert_path(path_resolve("/a", "/b"), "/b");
    assert_path(path_directory("/a/b"), "/a");
    assert_path(path_directory("/a"), "/");
    assert_path(path_directory("a"), ".");
    assert_path(path_directory("a/b"), "a");
    assert_string_equal(path_name("/a/b"), "b");
    assert_string_equal(path_name("b"), "b");
    assert_path(path_absolute("/a"), "/a");
    char *absolute = path_absolute("a");
    assert_int_equal(strncmp(absolute, here, strlen(here)), 0);
    assert_string_equal(absolute + strlen(absolute) - 2, "/a");
    free(absolute);
    assert_true(path_is_absolute("/"));
    assert_false(path_is_absolute("./a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_joined_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
