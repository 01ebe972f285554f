/* Modules that are wrong on purpose: each is refused with one status and its reason, and one from the future is loaded. */
#include "base/file.h"
#include "unit/store/fixture.h"

#include <sys/stat.h>
#include <unistd.h>

static void refuse(const char *name, kw_status expected, const char *reason)
{
    struct fixture fixture;
    const char *directories[1];
    const struct module *module = NULL;
    kw_error error = {0};

    fixture_begin(&fixture);
    fixture_module(&fixture, name, 0644);
    directories[0] = fixture.directory;
    expect_status(expected, loader_open(name, directories, 1, &module, &error), &error);
    assert_null(module);
    expect_text(error.message, reason);
    expect_text(error.message, fixture.directory); /* says which file */
    /* by its path as well, and the second time as the first */
    expect_status(expected, loader_open(fixture.module, NULL, 0, &module, &error), &error);
    expect_text(error.message, reason);
    assert_null(module);
    fixture_end(&fixture);
}

static void loader_open_right_module_loads(void **state)
{
    struct fixture fixture;
    const char *directories[1];
    const struct module *module = NULL;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "bad-nothing", 0644);
    directories[0] = fixture.directory;
    expect_status(KW_OK, loader_open("bad-nothing", directories, 1, &module, &error), &error);
    assert_string_equal(module->plugin.name, "bad-nothing");
    assert_string_equal(module->path, fixture.module);
    assert_int_equal(error.status, KW_OK);
    fixture_end(&fixture);
}

static void loader_open_description_malformed_fails(void **state)
{
    static const struct {
        const char *name;
        kw_status status;
        const char *reason;
    } cases[] = {
        {"bad-no-symbol", KW_FAILED, "exports no kw_plugin_query"},
        {"bad-null", KW_FAILED, "returned no description"},
        {"bad-major", KW_UNSUPPORTED, "is for version 2 of the plugin interface, this is version 1"},
        {"bad-major-zero", KW_UNSUPPORTED, "is for version 0 of the plugin interface"},
        {"bad-short", KW_FAILED, "its description is too short"},
        {"bad-no-operations", KW_FAILED, "it has no operations"},
        {"bad-short-operations", KW_FAILED, "the mandatory operation 'open' is missing"},
        {"bad-described", KW_FAILED, "the name in its description is not the one of its file"},
        {"bad-unnamed", KW_FAILED, "the name in its description is not the one of its file"},
        {"bad-no-version", KW_FAILED, "no version or no summary"},
        {"bad-options-null", KW_FAILED, "its option table is missing or too long"},
        {"bad-options-1", KW_FAILED, "row 2 of its option table has no name"},
        {"bad-options-2", KW_FAILED, "row 2 of its option table has no name of lower-case letters"},
        {"bad-options-3", KW_FAILED, "its option 'same' is there twice"},
        {"bad-options-4", KW_FAILED, "its option 'odd' is of an unknown type"},
        {"bad-options-5", KW_FAILED, "its option 'mute' has no help"},
        {"bad-options-6", KW_FAILED, "its option 'turned' has a minimum above its maximum"},
        {"bad-options-7", KW_FAILED, "its option 'bounded' has bounds and is not a number"},
        {"bad-options-8", KW_FAILED, "its option 'choosy' has choices and is not a string"},
        {"bad-options-9", KW_FAILED, "its option 'known' is a secret with a default"},
        {"bad-options-10", KW_FAILED, "its option 'both' is required and has a default"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuse(cases[i].name, cases[i].status, cases[i].reason);
}

static void loader_open_mandatory_operation_missing_names_it(void **state)
{
    static const char *const operations[] = {"open",     "close",     "health",     "key_find",
                                             "key_open", "key_close", "key_public", "sign"};
    char name[64], reason[96];

    (void)state;
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        snprintf(name, sizeof(name), "bad-without-%s", operations[i]);
        snprintf(reason, sizeof(reason), "the mandatory operation '%s' is missing", operations[i]);
        refuse(name, KW_FAILED, reason);
    }
}

static void loader_open_no_shared_object_says_why(void **state)
{
    struct fixture fixture;
    const struct module *module = NULL;
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_write(&fixture, "keywright-text.so", "this is no module", 0644);
    expect_status(KW_FAILED, loader_open(fixture_path(&fixture, "keywright-text.so"), NULL, 0, &module, &error),
                  &error);
    expect_text(error.message, "cannot be loaded");
    expect_text(error.message, "file too short"); /* the dynamic linker's own words */
    fixture_end(&fixture);
}

static void expect_refused(const char *path, const char *culprit)
{
    const struct module *module = NULL;
    kw_error error = {0};

    expect_status(KW_REFUSED, loader_open(path, NULL, 0, &module, &error), &error);
    expect_text(error.message, culprit);
    expect_text(error.remedy, "ch"); /* chmod or chown */
    assert_null(module);
}

static void loader_open_module_writable_by_others_is_refused(void **state)
{
    struct fixture fixture;
    kw_error error = {0};
    const struct module *module = NULL;

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "bad-nothing", 0666);
    expect_refused(fixture.module, "keywright-bad-nothing.so may be changed by others");
    assert_int_equal(chmod(fixture.module, 0664), 0);
    expect_refused(fixture.module, "keywright-bad-nothing.so may be changed by others");
    assert_int_equal(chmod(fixture.module, 0755), 0);
    expect_status(KW_OK, loader_open(fixture.module, NULL, 0, &module, &error), &error);
    /* what was loaded once is looked at again */
    assert_int_equal(chmod(fixture.module, 0666), 0);
    expect_refused(fixture.module, "keywright-bad-nothing.so may be changed by others");
    fixture_end(&fixture);
}

static void loader_open_directory_writable_by_others_is_refused(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "bad-nothing", 0644);
    assert_int_equal(chmod(fixture.directory, 0777), 0);
    expect_refused(fixture.module, fixture.directory);
    assert_int_equal(chmod(fixture.directory, 01777),
                     0); /* others could not replace the file, but put one in its place */
    expect_refused(fixture.module, fixture.directory);
    fixture_end(&fixture);
}

static void loader_open_link_into_writable_directory_is_refused(void **state)
{
    struct fixture fixture, other;

    (void)state;
    fixture_begin(&fixture);
    fixture_begin(&other);
    fixture_module(&other, "bad-nothing", 0644);
    assert_int_equal(symlink(other.module, fixture_path(&fixture, "keywright-bad-nothing.so")), 0);
    assert_int_equal(chmod(other.directory, 0777), 0);
    expect_refused(fixture_path(&fixture, "keywright-bad-nothing.so"), other.directory);
    fixture_end(&fixture);
    fixture_end(&other);
}

static void loader_open_module_of_another_user_is_refused(void **state)
{
    struct fixture fixture;

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give files away; CI is root */
    fixture_begin(&fixture);
    fixture_module(&fixture, "bad-nothing", 0644);
    assert_int_equal(chown(fixture.module, 65534, 65534), 0);
    expect_refused(fixture.module, "belongs to the user with the number 65534");
    fixture_end(&fixture);
}

static void loader_open_name_with_slash_is_refused(void **state)
{
    static const char *const names[] = {"bad/nothing", "../bad-nothing", "./keywright-bad-nothing.so", "", ".", "a.b",
                                        "a b",         "keywright\n"};
    struct fixture fixture;
    const struct module *module = NULL;
    const char *directories[1];
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_module(&fixture, "bad-nothing", 0644);
    directories[0] = fixture.directory;
    assert_int_equal(chdir(fixture.directory), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_status(KW_CONFIGURATION, loader_open(names[i], directories, 1, &module, &error), &error);
        expect_text(error.message, "is no name of a plugin");
    }
    assert_int_equal(chdir("/"), 0);
    fixture_end(&fixture);
}

static void loader_open_module_in_working_directory_is_not_found(void **state)
{
    static const char *const relative[] = {"", ".", "modules"};
    struct fixture fixture, empty;
    const struct module *module = NULL;
    const char *directories[1];
    kw_error error = {0};

    (void)state;
    fixture_begin(&fixture);
    fixture_begin(&empty);
    fixture_module(&fixture, "bad-nothing", 0644);
    assert_int_equal(chdir(fixture.directory), 0);
    directories[0] = empty.directory;
    expect_status(KW_NOT_FOUND, loader_open("bad-nothing", directories, 1, &module, &error), &error);
    expect_text(error.message, empty.directory);
    /* nor does it come in as a configured directory */
    for (size_t i = 0; i < sizeof(relative) / sizeof(relative[0]); i++) {
        directories[0] = relative[i];
        expect_status(KW_CONFIGURATION, loader_open("bad-nothing", directories, 1, &module, &error), &error);
        expect_text(error.message, "is not an absolute path");
    }
    /* nor by the environment that libltdl and the dynamic linker read */
    assert_int_equal(setenv("LTDL_LIBRARY_PATH", fixture.directory, 1), 0);
    assert_int_equal(setenv("LD_LIBRARY_PATH", fixture.directory, 1), 0);
    directories[0] = empty.directory;
    expect_status(KW_NOT_FOUND, loader_open("bad-nothing", directories, 1, &module, &error), &error);
    unsetenv("LTDL_LIBRARY_PATH");
    unsetenv("LD_LIBRARY_PATH");
    assert_null(module);
    assert_int_equal(chdir("/"), 0);
    fixture_end(&fixture);
    fixture_end(&empty);
}

static void loader_open_newer_minor_and_larger_structs_load_and_work(void **state)
{
    static const unsigned char text[] = "signed by a plugin from the future";
    const kw_input input = {text, sizeof(text)};
    struct fixture fixture;
    const struct module *module = NULL;
    unsigned char signature[512];
    kw_output output = {.data = signature, .capacity = sizeof(signature)};
    kw_key *key;
    kw_error error = {0};

    (void)state;
    fixture_open_module(&fixture, "newer", "{}");
    expect_status(KW_OK, loader_open(fixture.module, NULL, 0, &module, &error), &error);
    assert_int_equal(module->plugin.abi_major, KW_ABI_MAJOR);
    assert_int_equal(module->plugin.abi_minor, KW_ABI_MINOR + 7);
    assert_true(module->plugin.size > sizeof(kw_plugin));
    assert_true(module->operations.size > sizeof(kw_plugin_operations));
    key = fixture_key(&fixture, "ec-p256");
    expect_status(KW_OK, kw_key_sign(key, NULL, input, &output, &error), &error);
    expect_status(KW_OK, kw_key_verify(key, NULL, input, (kw_input){signature, output.length}, &error), &error);
    kw_key_free(key);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loader_open_right_module_loads),
        cmocka_unit_test(loader_open_description_malformed_fails),
        cmocka_unit_test(loader_open_mandatory_operation_missing_names_it),
        cmocka_unit_test(loader_open_no_shared_object_says_why),
        cmocka_unit_test(loader_open_module_writable_by_others_is_refused),
        cmocka_unit_test(loader_open_directory_writable_by_others_is_refused),
        cmocka_unit_test(loader_open_link_into_writable_directory_is_refused),
        cmocka_unit_test(loader_open_module_of_another_user_is_refused),
        cmocka_unit_test(loader_open_name_with_slash_is_refused),
        cmocka_unit_test(loader_open_module_in_working_directory_is_not_found),
        cmocka_unit_test(loader_open_newer_minor_and_larger_structs_load_and_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
