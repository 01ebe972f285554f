#include "config/source.h"

#include "base/error.h"

#include "base/buffer.h"
#include "unit/base/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct answers {
    const char *answer;
    kw_status status;
    size_t length; /* 0: the answer's */
    bool confirm;
    char what[100];
    unsigned asked;
};

static kw_status prompt(void *user, const char *what, bool confirm, kw_output *answer)
{
    struct answers *answers = user;
    answers->asked++;
    answers->confirm = confirm;
    snprintf(answers->what, sizeof(answers->what), "%s", what);
    assert_int_equal(answer->capacity, KW_SECRET_MAXIMUM);
    if (answers->status != KW_OK)
        return answers->status;
    kw_status status = output_copy(answer, input_text(answers->answer));
    if (answers->length > 0)
        answer->length = answers->length;
    return status;
}

struct warnings {
    unsigned count;
    char sentence[5000];
};

static void warn(void *user, const char *sentence)
{
    struct warnings *warnings = user;
    warnings->count++;
    snprintf(warnings->sentence, sizeof(warnings->sentence), "%s", sentence);
}

/* That a source gives this value. */
static void assert_value(const char *source, const struct source_reader *reader, const char *value)
{
    struct secret secret = {0};
    kw_error error = {0};
    if (source_read(source, reader, "the test's secret", false, &secret, &error) != KW_OK)
        fail_msg("%s: %s", source, error.message);
    assert_int_equal(secret.length, strlen(value));
    assert_string_equal((char *)secret.data, value);
    secret_clear(&secret);
}

static void assert_no_value(const char *source, const struct source_reader *reader, kw_status expected,
                            const char *message)
{
    struct secret secret = {0};
    kw_error error = {0};
    assert_int_equal(source_read(source, reader, "the test's secret", false, &secret, &error), expected);
    assert_null(secret.data);
    assert_int_equal(error.status, expected);
    assert_int_equal(strncmp(error.message, "the test's secret", 17), 0);
    if (strstr(error.message, message) == NULL)
        fail_msg("'%s' does not say '%s'", error.message, message);
}

/* ---- Form ---- */

static void source_check_well_formed_is_ok(void **state)
{
    (void)state;
    static const char *const good[] = {
        "file:/etc/x",    "file:relative", "file:with:colon", "env:PASSWORD", "env:_a1", "credential:hsm-pin",
        "credential:a.b", "fd:0",          "fd:65535",        "prompt"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(source_check(good[i], 0, NULL), KW_OK);
}

static void source_check_malformed_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "file",
        "file:",
        "env:",
        "env:1A",
        "env:A-B",
        "env:A=B",
        "credential:",
        "fd:",
        "credential:../x",
        "credential:a/b",
        "credential:.",
        "credential:..",
        "fd:-1",
        "fd:x",
        "fd:65536",
        "fd:1 ",
        "prompt:",
        "prompt me",
        "inline:",
        "FILE:/x",
        "subkey:master-key/x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        kw_error error = {0};
        if (source_check(bad[i], SOURCE_INLINE, &error) != KW_CONFIGURATION)
            fail_msg("'%s' is taken", bad[i]);
        assert_string_not_equal(error.message, "");
    }
}

static void source_check_what_may_be_a_secret_is_not_repeated(void **state)
{
    (void)state;
    static const char *const secrets[] = {"hunter2", "inline:hunter2", "hunter2:hunter2", "env:hunter2 x",
                                          "fd:hunter2"};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        kw_error error = {0};
        assert_int_equal(source_check(secrets[i], 0, &error), KW_CONFIGURATION);
        assert_null(strstr(error.message, "hunter2"));
        assert_null(strstr(error.remedy, "hunter2"));
    }
}

static void source_check_misspelt_scheme_is_told(void **state)
{
    (void)state;
    kw_error error = {0};
    assert_int_equal(source_check("flie:/etc/x", 0, &error), KW_CONFIGURATION);
    assert_non_null(strstr(error.message, "did you mean 'file:'?"));
    assert_null(strstr(error.message, "/etc/x"));
    assert_int_equal(source_check("promt", 0, &error), KW_CONFIGURATION);
    assert_non_null(strstr(error.message, "did you mean 'prompt'?"));
}

/* A store's secret alone may be one, and only of something that looks like a master key. */
static void source_check_subkey_only_where_it_is_allowed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"subkey:",
                                        "subkey:master-key/corp@1",
                                        "subkey:master-key/a/b",
                                        "subkey:master-key",
                                        "subkey:master-key/",
                                        "subkey:database/sales",
                                        "subkey:Master-key/corp"};
    kw_error error = {0};
    assert_int_equal(source_check("subkey:master-key/corp", SOURCE_SUBKEY, NULL), KW_OK);
    assert_int_equal(source_check("subkey:master-key/corp", SOURCE_INLINE, &error), KW_CONFIGURATION);
    assert_non_null(strstr(error.message, "of a store alone"));
    assert_non_null(strstr(error.remedy, "file:PATH"));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(source_check(wrong[i], SOURCE_SUBKEY, &error), KW_CONFIGURATION);
        assert_non_null(strstr(error.message, "behind 'subkey:' comes a master key"));
    }
    assert_string_equal(source_subkey("subkey:master-key/corp"), "master-key/corp");
    assert_null(source_subkey("file:subkey:master-key/corp"));
}

static kw_status give_subkey(void *user, const char *address, struct secret *secret, kw_error *error)
{
    (void)user;
    return strcmp(address, "master-key/corp") == 0 ? secret_copy(secret, input_text("derived"), error)
                                                   : error_set(error, KW_UNAVAILABLE, "the token is away");
}

static void source_read_subkey_asks_who_derives(void **state)
{
    (void)state;
    struct source_reader reader = {.subkey = give_subkey};
    struct secret secret = {0};
    kw_error error = {0};
    assert_int_equal(source_read("subkey:master-key/corp", &reader, "the PIN", false, &secret, &error), KW_OK);
    assert_string_equal((const char *)secret.data, "derived");
    secret_clear(&secret);
    assert_int_equal(source_read("subkey:master-key/other", &reader, "the PIN", false, &secret, &error),
                     KW_UNAVAILABLE);
    assert_non_null(strstr(error.message, "the token is away"));
    reader.subkey = NULL;
    assert_int_equal(source_read("subkey:master-key/corp", &reader, "the PIN", false, &secret, &error),
                     KW_CONFIGURATION);
}

static void source_check_inline_only_where_it_is_allowed(void **state)
{
    (void)state;
    kw_error error = {0};
    assert_int_equal(source_check("inline:hunter2", SOURCE_INLINE, NULL), KW_OK);
    assert_int_equal(source_check("inline:hunter2", 0, &error), KW_CONFIGURATION);
    assert_non_null(strstr(error.message, "inline"));
    assert_non_null(strstr(error.remedy, "allow_inline_secrets"));
}

static void source_resolve_makes_files_absolute_alone(void **state)
{
    (void)state;
    static const struct {
        const char *source, *resolved;
    } cases[] = {
        {"file:key", "file:/etc/keywright/key"},
        {"file:/key", "file:/key"},
        {"env:key", "env:key"},
        {"prompt", "prompt"},
        {"hunter2", "hunter2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *resolved = source_resolve(cases[i].source, "/etc/keywright");
        assert_string_equal(resolved, cases[i].resolved);
        free(resolved);
    }
    assert_string_equal(source_path("file:/a"), "/a");
    assert_null(source_path("env:a"));
    assert_null(source_path("hunter2"));
}

/* ---- Files ---- */

static void source_read_file_loses_one_newline(void **state)
{
    static const struct {
        const char *content, *value;
    } cases[] = {
        {"hunter2", "hunter2"},       {"hunter2\n", "hunter2"},   {"hunter2\r\n", "hunter2"},
        {"hunter2\n\n", "hunter2\n"}, {" hunter2 ", " hunter2 "}, {"hunter2\r", "hunter2\r"},
        {"\nhunter2", "\nhunter2"},
    };
    const struct source_reader reader = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = folder_write(state, "secret", cases[i].content, strlen(cases[i].content), 0600);
        char *source = text_format("file:%s", path);
        assert_value(source, &reader, cases[i].value);
        free(source);
        free(path);
    }
}

static void source_read_file_without_a_value_is_refused(void **state)
{
    const struct source_reader reader = {0};
    static const struct {
        const char *content;
        size_t length;
        const char *message;
    } cases[] = {{"", 0, "empty"}, {"\n", 1, "empty"}, {"\r\n", 2, "empty"}, {"hunter2\0x", 9, "NUL"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = folder_write(state, "secret", cases[i].content, cases[i].length, 0600);
        char *source = text_format("file:%s", path);
        assert_no_value(source, &reader, KW_CONFIGURATION, cases[i].message);
        assert_no_value(source, &reader, KW_CONFIGURATION, path);
        free(source);
        free(path);
    }
    char *absent = folder_path(state, "absent"), *source = text_format("file:%s", absent);
    assert_no_value(source, &reader, KW_CONFIGURATION, absent);
    free(source);
    source = text_format("file:%s", (const char *)*state);
    assert_no_value(source, &reader, KW_CONFIGURATION, "not a regular file");
    free(source);
    free(absent);
}

static void source_read_file_at_the_limit_and_beyond(void **state)
{
    const struct source_reader reader = {0};
    char content[KW_SECRET_MAXIMUM + 4];
    memset(content, 'a', sizeof(content));
    for (size_t extra = 0; extra < 4; extra++) {
        char *path = folder_write(state, "secret", content, KW_SECRET_MAXIMUM + extra, 0600);
        char *source = text_format("file:%s", path);
        char value[KW_SECRET_MAXIMUM + 1];
        memcpy(value, content, KW_SECRET_MAXIMUM);
        value[KW_SECRET_MAXIMUM] = '\0';
        if (extra == 0)
            assert_value(source, &reader, value);
        else
            assert_no_value(source, &reader, KW_CONFIGURATION, "");
        free(source);
        free(path);
    }
    content[KW_SECRET_MAXIMUM] = '\r';
    content[KW_SECRET_MAXIMUM + 1] = '\n';
    char *path = folder_write(state, "secret", content, KW_SECRET_MAXIMUM + 2, 0600);
    char *source = text_format("file:%s", path);
    content[KW_SECRET_MAXIMUM] = '\0';
    assert_value(source, &reader, content);
    free(source);
    free(path);
}

static void source_read_file_that_others_read_is_warned_about(void **state)
{
    struct warnings warnings = {0};
    const struct source_reader reader = {.warning = warn, .warning_user = &warnings}, silent = {0};
    char *path = folder_write(state, "secret", "hunter2", 7, 0640);
    char *source = text_format("file:%s", path);
    char *remedy = text_format("chmod 600 %s", path);
    assert_value(source, &reader, "hunter2");
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.sentence, remedy));
    assert_null(strstr(warnings.sentence, "hunter2"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_value(source, &reader, "hunter2");
    assert_int_equal(warnings.count, 1);
    assert_int_equal(chmod(path, 0604), 0);
    source_warn(path, warn, &warnings);
    assert_int_equal(warnings.count, 2);
    assert_value(source, &silent, "hunter2");
    free(remedy);
    free(source);
    free(path);
}

/* ---- The others ---- */

static void source_read_environment_is_its_value(void **state)
{
    (void)state;
    const struct source_reader reader = {0};
    char large[KW_SECRET_MAXIMUM + 2];
    memset(large, 'a', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(setenv("KW_TEST_SECRET", "hunter2\n", 1), 0);
    assert_value("env:KW_TEST_SECRET", &reader, "hunter2\n");
    assert_int_equal(setenv("KW_TEST_SECRET", "", 1), 0);
    assert_no_value("env:KW_TEST_SECRET", &reader, KW_CONFIGURATION, "empty");
    assert_int_equal(setenv("KW_TEST_SECRET", large, 1), 0);
    assert_no_value("env:KW_TEST_SECRET", &reader, KW_CONFIGURATION, "longer than 1024");
    assert_int_equal(unsetenv("KW_TEST_SECRET"), 0);
    assert_no_value("env:KW_TEST_SECRET", &reader, KW_CONFIGURATION, "KW_TEST_SECRET is not set");
}

static void source_read_credential_is_below_its_directory(void **state)
{
    struct warnings warnings = {0};
    const struct source_reader reader = {.warning = warn, .warning_user = &warnings};
    char *path = folder_write(state, "hsm-pin", "hunter2\n", 8, 0640);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_no_value("credential:hsm-pin", &reader, KW_CONFIGURATION, "CREDENTIALS_DIRECTORY");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "relative", 1), 0);
    assert_no_value("credential:hsm-pin", &reader, KW_CONFIGURATION, "CREDENTIALS_DIRECTORY");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", *state, 1), 0);
    assert_value("credential:hsm-pin", &reader, "hunter2");
    assert_no_value("credential:absent", &reader, KW_CONFIGURATION, "absent");
    assert_no_value("credential:../hsm-pin", &reader, KW_CONFIGURATION, "without a slash");
    /* its mode is systemd's matter */
    assert_int_equal(warnings.count, 0);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    free(path);
}

static void source_read_descriptor_gives_it_once(void **state)
{
    (void)state;
    const struct source_reader reader = {0};
    int ends[2];
    char source[20];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "hunter2\n", 8), 8);
    close(ends[1]);
    snprintf(source, sizeof(source), "fd:%d", ends[0]);
    assert_value(source, &reader, "hunter2");
    assert_no_value(source, &reader, KW_CONFIGURATION, "gives nothing");
    close(ends[0]);
    assert_no_value(source, &reader, KW_CONFIGURATION, "cannot read descriptor");
}

static void source_read_prompt_asks(void **state)
{
    (void)state;
    struct answers answers = {.answer = "hunter2"};
    const struct source_reader reader = {.prompt = prompt, .user = &answers}, nobody = {0};
    struct secret secret = {0};
    assert_int_equal(source_read("prompt", &reader, "the passphrase", true, &secret, NULL), KW_OK);
    assert_string_equal((char *)secret.data, "hunter2");
    assert_string_equal(answers.what, "the passphrase");
    assert_true(answers.confirm);
    secret_clear(&secret);
    assert_value("prompt", &reader, "hunter2");
    assert_false(answers.confirm);
    answers.answer = "";
    assert_no_value("prompt", &reader, KW_CONFIGURATION, "empty");
    answers.status = KW_CONFIGURATION;
    assert_no_value("prompt", &reader, KW_CONFIGURATION, "not answered");
    answers = (struct answers){.answer = "x", .length = KW_SECRET_MAXIMUM + 1};
    assert_no_value("prompt", &reader, KW_CONFIGURATION, "not answered");
    assert_no_value("prompt", &nobody, KW_CONFIGURATION, "nobody");
}

static void source_read_inline_is_not_told(void **state)
{
    (void)state;
    const struct source_reader allowed = {.allow_inline = true}, forbidden = {0};
    struct secret secret = {0};
    kw_error error = {0};
    char large[KW_SECRET_MAXIMUM + 20] = "inline:";
    assert_value("inline:hunter2", &allowed, "hunter2");
    assert_int_equal(source_read("inline:hunter2", &forbidden, "it", false, &secret, &error), KW_CONFIGURATION);
    assert_null(strstr(error.message, "hunter2"));
    memset(large + 7, 'q', sizeof(large) - 8);
    assert_int_equal(source_read(large, &allowed, "it", false, &secret, &error), KW_CONFIGURATION);
    assert_null(strstr(error.message, "qq"));
    assert_null(secret.data);
}

static void source_read_malformed_is_not_told(void **state)
{
    (void)state;
    const struct source_reader reader = {0};
    struct secret secret = {0};
    kw_error error = {0};
    assert_int_equal(source_read("hunter2", &reader, "the passphrase", false, &secret, &error), KW_CONFIGURATION);
    assert_int_equal(strncmp(error.message, "the passphrase: ", 16), 0);
    assert_null(strstr(error.message, "hunter2"));
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_check_well_formed_is_ok),
        cmocka_unit_test(source_check_malformed_is_refused),
        cmocka_unit_test(source_check_what_may_be_a_secret_is_not_repeated),
        cmocka_unit_test(source_check_misspelt_scheme_is_told),
        cmocka_unit_test(source_check_subkey_only_where_it_is_allowed),
        cmocka_unit_test(source_read_subkey_asks_who_derives),
        cmocka_unit_test(source_check_inline_only_where_it_is_allowed),
        cmocka_unit_test(source_resolve_makes_files_absolute_alone),
        FOLDER_TEST(source_read_file_loses_one_newline),
        FOLDER_TEST(source_read_file_without_a_value_is_refused),
        FOLDER_TEST(source_read_file_at_the_limit_and_beyond),
        FOLDER_TEST(source_read_file_that_others_read_is_warned_about),
        cmocka_unit_test(source_read_environment_is_its_value),
        FOLDER_TEST(source_read_credential_is_below_its_directory),
        cmocka_unit_test(source_read_descriptor_gives_it_once),
        cmocka_unit_test(source_read_prompt_asks),
        cmocka_unit_test(source_read_inline_is_not_told),
        cmocka_unit_test(source_read_malformed_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
