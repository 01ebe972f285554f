#include "base/machine.h"

#include "folder.h"

#include <stdlib.h>
#include <string.h>

static kw_status id_of(void **state, const char *content, char text[MACHINE_ID_TEXT_SIZE], kw_error *error)
{
    struct crypto *crypto = NULL;
    char *path = folder_write(state, "machine-id", content, strlen(content), 0644);
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    const kw_status status = machine_id(crypto, path, text, error);
    crypto_close(crypto);
    free(path);
    return status;
}

/* By Python, whose answer for the id of a real machine was that of `systemd-id128 machine-id --app-specific=9f35c16e2b804ad7b41d06e973fa58c2`. */
static void machine_id_is_what_systemd_makes_of_it(void **state)
{
    char text[MACHINE_ID_TEXT_SIZE] = "", again[MACHINE_ID_TEXT_SIZE] = "";
    assert_int_equal(id_of(state, "0123456789abcdef0123456789abcde0\n", text, NULL), KW_OK);
    assert_string_equal(text, "64ffc0fdcba6415bb0ae592b06475a1c");
    assert_int_equal(id_of(state, "0123456789abcdef0123456789abcde0", again, NULL), KW_OK);
    assert_string_equal(text, again);
    assert_int_equal(id_of(state, "0123456789abcdef0123456789abcde1\n", again, NULL), KW_OK);
    assert_string_not_equal(text, again);
}

static void machine_id_not_there_yet_says_how_to_make_one(void **state)
{
    static const char *const contents[] = {"", "\n", "uninitialized\n"};
    char text[MACHINE_ID_TEXT_SIZE] = "";
    kw_error error = {0};
    struct crypto *crypto = NULL;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        assert_int_equal(id_of(state, contents[i], text, &error), KW_NOT_FOUND);
        assert_non_null(strstr(error.remedy, "systemd-machine-id-setup"));
    }
    char *path = folder_path(state, "none");
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    assert_int_equal(machine_id(crypto, path, text, &error), KW_NOT_FOUND);
    assert_string_equal(error.where, path);
    crypto_close(crypto);
    free(path);
}

static void machine_id_malformed_is_corrupt(void **state)
{
    static const char *const contents[] = {"01234567", "00000000000000000000000000000000\n",
                                           "0123456789abcdef0123456789abcdzz\n", "0123456789abcdef0123456789abcde0\n\n",
                                           "01234567-89ab-cdef-0123-456789abcde0\n"};
    char text[MACHINE_ID_TEXT_SIZE] = "";
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        assert_int_equal(id_of(state, contents[i], text, NULL), KW_CORRUPT);
        assert_string_equal(text, "");
    }
}

/* Where there is none, as in some containers, it is that which is said. */
static void machine_id_without_a_path_is_the_systems_own(void **state)
{
    char text[MACHINE_ID_TEXT_SIZE] = "", expected[MACHINE_ID_TEXT_SIZE] = "";
    kw_bytes content = {0};
    const char *where = NULL;
    kw_error error = {0};
    struct crypto *crypto = NULL;
    assert_int_equal(crypto_open(&crypto, NULL), KW_OK);
    const kw_status status = machine_system_id(&content, &where, NULL);
    assert_non_null(where);
    assert_int_equal(machine_id(crypto, NULL, text, &error), status);
    if (status == KW_OK) {
        char *path = folder_write(state, "machine-id", content.data, content.length, 0644);
        assert_int_equal(machine_id(crypto, path, expected, NULL), KW_OK);
        assert_string_equal(text, expected);
        free(path);
    } else {
        assert_string_equal(error.where, where);
    }
    kw_bytes_free(&content);
    crypto_close(crypto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(machine_id_is_what_systemd_makes_of_it, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(machine_id_not_there_yet_says_how_to_make_one, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(machine_id_malformed_is_corrupt, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(machine_id_without_a_path_is_the_systems_own, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
