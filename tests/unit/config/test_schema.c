/* The JSON schema, judged by an independent validator: it takes what settings_read takes, and refuses what it refuses. */
#include "config/settings.h"

#include "base/buffer.h"
#include "cases.h"
#include "unit/base/folder.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *write_schema(void **state)
{
    kw_bytes json = {0};
    assert_int_equal(settings_schema(&json, NULL), KW_OK);
    assert_int_equal(json.data[json.length], 0);
    char *path = folder_write(state, "schema.json", json.data, json.length, 0600);
    kw_bytes_free(&json);
    return path;
}

/* validate.py SCHEMA FILE...: prints the names of the files that the schema takes, one a line. */
static char *validate(void **state, const char *schema)
{
    int ends[2];
    char *output = calloc(1, 100000);
    size_t length = 0;
    ssize_t got;
    int code = 0;
    assert_non_null(output);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (chdir(*state) != 0 || dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(99);
        execl("/usr/bin/python3", "python3", KW_VALIDATE, schema, KW_EXAMPLE, ".", (char *)NULL);
        _exit(98);
    }
    close(ends[1]);
    while ((got = read(ends[0], output + length, 99999 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
    return output;
}

static bool has_line(const char *lines, const char *line)
{
    char *wanted = text_format("\n%s\n", line);
    const bool found = strstr(lines, wanted) != NULL;
    free(wanted);
    return found;
}

static void settings_schema_validator_agrees_with_the_reader(void **state)
{
    char name[40];
    char *schema = write_schema(state);
    for (unsigned i = 0; i < right_case_count; i++) {
        snprintf(name, sizeof(name), "right-%u.yaml", i);
        free(folder_write(state, name, right_cases[i], strlen(right_cases[i]), 0600));
    }
    for (unsigned i = 0; i < wrong_case_count; i++) {
        snprintf(name, sizeof(name), "wrong-%u.yaml", i);
        if (wrong_cases[i].schema)
            free(folder_write(state, name, wrong_cases[i].text, strlen(wrong_cases[i].text), 0600));
    }
    char *taken = validate(state, schema);
    unsigned failures = 0;
    assert_true(has_line(taken, KW_EXAMPLE));
    for (unsigned i = 0; i < right_case_count; i++) {
        snprintf(name, sizeof(name), "right-%u.yaml", i);
        if (!has_line(taken, name)) {
            print_error("the schema refuses\n%s\n", right_cases[i]);
            failures++;
        }
    }
    for (unsigned i = 0; i < wrong_case_count; i++) {
        snprintf(name, sizeof(name), "wrong-%u.yaml", i);
        if (has_line(taken, name)) {
            print_error("the schema takes\n%s\n", wrong_cases[i].text);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
    free(taken);
    free(schema);
}

static void settings_schema_every_key_is_described(void **state)
{
    (void)state;
    static const char *const keys[] = {"version",
                                       "state",
                                       "catalogue_key",
                                       "store",
                                       "stores",
                                       "databases",
                                       "certificates",
                                       "plugin_directories",
                                       "allow_inline_secrets",
                                       "export",
                                       "licence",
                                       "trust",
                                       "subkeys",
                                       "connections"};
    kw_bytes json = {0};
    assert_int_equal(settings_schema(&json, NULL), KW_OK);
    json_t *schema = json_loads((const char *)json.data, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(schema);
    const json_t *properties = json_object_get(schema, "properties");
    assert_int_equal(json_object_size(properties), sizeof(keys) / sizeof(keys[0]));
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *description =
            json_string_value(json_object_get(json_object_get(properties, keys[i]), "description"));
        assert_non_null(description);
        assert_true(strlen(description) > 10);
    }
    assert_string_equal(json_string_value(json_object_get(schema, "$schema")),
                        "https://json-schema.org/draft/2020-12/schema");
    json_decref(schema);
    kw_bytes_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(settings_schema_validator_agrees_with_the_reader, folder_setup,
                                        folder_teardown),
        cmocka_unit_test(settings_schema_every_key_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
