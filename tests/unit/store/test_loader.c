#include "store/loader.h"

#include "base/file.h"
#include "unit/store/fixture.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

static void loader_open_by_name_and_by_path_is_one_module(void **state)
{
    struct fixture fixture, link;
    const char *directories[2];
    const struct module *by_name = NULL, *by_path = NULL, *by_link = NULL;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_begin(&link);
    fixture_module(&fixture, "memory", 0644);
    directories[0] = "/nonexistent";
    directories[1] = fixture.directory;
    assert_int_equal(symlink(fixture.module, fixture_path(&link, "keywright-memory.so")), 0);
    expect_status(KW_OK, loader_open("memory", directories, 2, &by_name, &error), &error);
    expect_status(KW_OK, loader_open(fixture.module, NULL, 0, &by_path, &error), &error);
    expect_status(KW_OK, loader_open(fixture_path(&link, "keywright-memory.so"), NULL, 0, &by_link, &error), &error);
    assert_ptr_equal(by_name, by_path);
    assert_ptr_equal(by_name, by_link);
    assert_string_equal(by_name->path, fixture.module);
    assert_ptr_equal(by_name->plugin.operations, &by_name->operations);
    fixture_end(&fixture);
    fixture_end(&link);
}

/* Local: no module's symbols answer for another's. */
static void loader_open_keeps_symbols_to_the_module(void **state)
{
    struct fixture fixture;
    const struct module *module = NULL;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "memory", 0644);
    expect_status(KW_OK, loader_open(fixture.module, NULL, 0, &module, &error), &error);
    assert_null(dlsym(RTLD_DEFAULT, "kw_plugin_query"));
    fixture_end(&fixture);
}

static void loader_open_first_directory_wins(void **state)
{
    struct fixture first, second;
    const char *directories[2];
    const struct module *module = NULL;
    kw_error error = {0};

    (void)state;
    fixture_begin(&first);
    fixture_begin(&second);
    fixture_module(&first, "memory", 0644);
    fixture_module(&second, "memory", 0644);
    directories[0] = first.directory;
    directories[1] = second.directory;
    expect_status(KW_OK, loader_open("memory", directories, 2, &module, &error), &error);
    assert_string_equal(module->path, first.module);
    fixture_end(&first);
    fixture_end(&second);
}

static void loader_open_unknown_name_says_where_and_what_is_there(void **state)
{
    struct fixture fixture;
    const char *directories[1];
    const struct module *module = NULL;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    directories[0] = fixture.directory;
    expect_status(KW_NOT_FOUND, loader_open("memmory", directories, 1, &module, &error), &error);
    expect_text(error.message, fixture.directory);
    expect_text(error.message, "nothing is there");
    fixture_module(&fixture, "memory", 0644);
    expect_status(KW_NOT_FOUND, loader_open("memmory", directories, 1, &module, &error), &error);
    expect_text(error.message, "there is: memory");
    expect_text(error.remedy, "keywright-memmory.so");
    expect_status(KW_NOT_FOUND, loader_open(fixture_path(&fixture, "keywright-none.so"), NULL, 0, &module, &error),
                  &error);
    expect_status(KW_CONFIGURATION, loader_open(fixture_path(&fixture, "none.so"), NULL, 0, &module, &error), &error);
    expect_text(error.message, "is not named keywright-NAME.so");
    fixture_end(&fixture);
}

static void loader_list_two_directories_gives_sorted_names_once(void **state)
{
    struct fixture first, second;
    const char *directories[3];
    char **names = NULL, **paths = NULL;
    size_t count = 0;
    kw_error error = {0};

    (void)state;
    fixture_begin(&first);
    fixture_begin(&second);
    fixture_write(&first, "keywright-m.so", "", 0644);
    fixture_write(&first, "keywright-zz.so", "", 0644);
    fixture_write(&second, "keywright-m.so", "", 0644);
    fixture_write(&second, "keywright-a.so", "", 0644);
    fixture_write(&second, "keywright-mm.so", "", 0644);
    fixture_write(&second, "keywright-.so", "", 0644);
    fixture_write(&second, "keywright-b.so.1", "", 0644);
    fixture_write(&second, "keywright-b c.so", "", 0644);
    fixture_write(&second, "other.so", "", 0644);
    directories[0] = first.directory;
    directories[1] = "/nonexistent";
    directories[2] = second.directory;
    expect_status(KW_OK, loader_list(directories, 3, &names, &paths, &count, &error), &error);
    assert_int_equal(count, 4);
    assert_string_equal(names[0], "a");
    assert_string_equal(names[1], "m");
    assert_string_equal(paths[1], fixture_path(&first, "keywright-m.so"));
    assert_string_equal(names[2], "mm");
    assert_string_equal(names[3], "zz");
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
        free(paths[i]);
    }
    free(names);
    free(paths);
    fixture_end(&first);
    fixture_end(&second);
}

static void loader_list_more_names_than_fit_at_first_gives_all(void **state)
{
    struct fixture fixture;
    const char *directories[1];
    char **names = NULL, **paths = NULL;
    char name[64];
    size_t count = 0;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "keywright-n%02d.so", i);
        fixture_write(&fixture, name, "", 0644);
    }
    directories[0] = fixture.directory;
    expect_status(KW_OK, loader_list(directories, 1, &names, &paths, &count, &error), &error);
    assert_int_equal(count, 50);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "n%02zu", i);
        assert_string_equal(names[i], name);
        free(names[i]);
        free(paths[i]);
    }
    free(names);
    free(paths);
    directories[0] = "relative";
    expect_status(KW_CONFIGURATION, loader_list(directories, 1, &names, &paths, &count, &error), &error);
    fixture_end(&fixture);
}

static void loader_default_directory_is_beside_the_code(void **state)
{
    char self[512] = "";
    char *directory = loader_default_directory();

    (void)state;
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    *strrchr(self, '/') = '\0';
    assert_non_null(directory); /* the tests are started by an absolute path */
    assert_string_equal(path_name(directory), "keywright");
    assert_int_equal(strlen(directory), strlen(self) + strlen("/keywright"));
    assert_memory_equal(directory, self, strlen(self));
    free(directory);
}

struct opener {
    pthread_t thread;
    pthread_barrier_t *barrier;
    const char *path;
    const struct module *module;
};

static void *open_module(void *argument)
{
    struct opener *const opener = argument;

    pthread_barrier_wait(opener->barrier);
    if (loader_open(opener->path, NULL, 0, &opener->module, NULL) != KW_OK)
        opener->module = NULL;
    return NULL;
}

static void loader_open_from_many_threads_is_one_module(void **state)
{
    struct fixture fixture;
    struct opener openers[8];
    pthread_barrier_t barrier;

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "memory", 0644);
    pthread_barrier_init(&barrier, NULL, 8);
    for (size_t i = 0; i < 8; i++) {
        openers[i] = (struct opener){.barrier = &barrier, .path = fixture.module};
        assert_int_equal(pthread_create(&openers[i].thread, NULL, open_module, &openers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(openers[i].thread, NULL);
        assert_non_null(openers[i].module);
        assert_ptr_equal(openers[i].module, openers[0].module);
    }
    pthread_barrier_destroy(&barrier);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loader_open_by_name_and_by_path_is_one_module),
        cmocka_unit_test(loader_open_keeps_symbols_to_the_module),
        cmocka_unit_test(loader_open_first_directory_wins),
        cmocka_unit_test(loader_open_unknown_name_says_where_and_what_is_there),
        cmocka_unit_test(loader_list_two_directories_gives_sorted_names_once),
        cmocka_unit_test(loader_list_more_names_than_fit_at_first_gives_all),
        cmocka_unit_test(loader_default_directory_is_beside_the_code),
        cmocka_unit_test(loader_open_from_many_threads_is_one_module),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
