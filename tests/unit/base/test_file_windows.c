#include "base/file.h"

#include "base/acl.h"
#include "base/wide.h"
#include "folder.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

static void assert_content(const char *path, const char *expected)
{
    kw_bytes content = {0};
    assert_int_equal(file_read(path, 1000, &content, NULL), KW_OK);
    assert_string_equal((char *)content.data, expected);
    assert_int_equal(content.length, strlen(expected));
    kw_bytes_free(&content);
}

static size_t count_entries(const char *path)
{
    WIN32_FIND_DATAW found;
    size_t count = 0;
    char pattern[1024];
    snprintf(pattern, sizeof(pattern), "%s/*", path);
    wchar_t *wide = wide_from(pattern);
    const HANDLE search = FindFirstFileW(wide, &found);
    assert_true(search != INVALID_HANDLE_VALUE);
    do
        count++;
    while (FindNextFileW(search, &found));
    FindClose(search);
    free(wide);
    return count - 2;
}

/* Gives the file or directory exactly these rights. */
static void set_rights(const char *path, const wchar_t *text)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    PACL list = NULL;
    BOOL present, defaulted;
    wchar_t *wide = wide_path(path);
    assert_non_null(wide);
    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &descriptor, NULL));
    assert_true(GetSecurityDescriptorDacl(descriptor, &present, &list, &defaulted));
    assert_int_equal(SetNamedSecurityInfoW(wide, SE_FILE_OBJECT,
                                           DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, NULL, NULL,
                                           list, NULL),
                     ERROR_SUCCESS);
    LocalFree(descriptor);
    free(wide);
}

/* ---- Reading ---- */

static void file_read_at_the_limit_and_beyond(void **state)
{
    char *path = folder_write(state, "file \xe2\x82\xac", "12345", 5, 0600);
    kw_bytes content = {0};
    kw_error error;
    assert_int_equal(file_read(path, 5, &content, NULL), KW_OK);
    assert_int_equal(content.length, 5);
    assert_string_equal((char *)content.data, "12345");
    kw_bytes_free(&content);
    assert_int_equal(file_read(path, 4, &content, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "larger than 4 bytes"));
    assert_null(content.data);
    free(path);
}

static void file_read_absent_is_not_found(void **state)
{
    char *path = folder_path(state, "absent"), *below = folder_path(state, "absent/deeper");
    kw_bytes content = {0};
    struct secret secret = {0};
    kw_error error;
    assert_int_equal(file_read(path, 5, &content, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(file_read_secret(below, 5, &secret, &error), KW_NOT_FOUND);
    assert_int_equal(file_read("C:/\xc3", 5, &content, &error), KW_INVALID_ARGUMENT);
    free(path);
    free(below);
}

static void file_read_what_is_no_regular_file_is_refused(void **state)
{
    kw_bytes content = {0};
    kw_error error;
    assert_int_equal(file_read(*state, 5, &content, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "not a regular file"));
    assert_int_equal(file_read("NUL", 5, &content, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "not a regular file"));
}

static void file_read_secret_has_a_nul_behind(void **state)
{
    char *path = folder_write(state, "file", "12345", 5, 0600);
    struct secret secret = {0};
    assert_int_equal(file_read_secret(path, 5, &secret, NULL), KW_OK);
    assert_int_equal(secret.length, 5);
    assert_string_equal((char *)secret.data, "12345");
    secret_clear(&secret);
    assert_int_equal(file_read_secret(path, 4, &secret, NULL), KW_INVALID_ARGUMENT);
    assert_null(secret.data);
    free(path);
}

static void file_read_descriptor_is_not_of_windows(void **state)
{
    struct secret secret = {0};
    kw_error error = {0};
    (void)state;
    assert_int_equal(file_read_descriptor(0, 5, &secret, &error), KW_UNSUPPORTED);
    assert_string_not_equal(error.remedy, "");
}

/* ---- Writing ---- */

static void file_replace_new_and_existing_is_whole_and_alone(void **state)
{
    char *path = folder_path(state, "file \xe2\x82\xac");
    assert_int_equal(file_replace(path, input_text("one"), 0644, NULL), KW_OK);
    assert_content(path, "one");
    assert_int_equal(file_replace(path, input_text("another"), 0600, NULL), KW_OK);
    assert_content(path, "another");
    assert_int_equal(count_entries(*state), 1);
    free(path);
}

static void file_replace_impossible_leaves_nothing_behind(void **state)
{
    char *nowhere = folder_path(state, "absent/file");
    kw_error error;
    assert_int_equal(file_replace(nowhere, input_text("one"), 0644, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, nowhere));
    assert_int_equal(file_replace(*state, input_text("one"), 0644, &error), KW_INVALID_ARGUMENT);
    assert_int_equal(count_entries(*state), 0);
    free(nowhere);
}

static void file_replace_what_somebody_keeps_open_is_done_whole_or_not_at_all(void **state)
{
    char *path = folder_write(state, "file", "old", 3, 0600);
    wchar_t *wide = wide_path(path);
    kw_error error;
    const HANDLE held =
        CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    assert_true(held != INVALID_HANDLE_VALUE);
    /* Both are right: what has the file open decides, and how new Windows is. */
    const kw_status status = file_replace(path, input_text("newer"), 0600, &error);
    if (status != KW_OK)
        assert_non_null(strstr(error.message, "/file: "));
    CloseHandle(held);
    assert_content(path, status == KW_OK ? "newer" : "old");
    assert_int_equal(count_entries(*state), 1);
    assert_int_equal(file_replace(path, input_text("newer"), 0600, NULL), KW_OK);
    assert_content(path, "newer");
    free(wide);
    free(path);
}

static void file_create_existing_is_left_alone(void **state)
{
    char *path = folder_path(state, "file");
    kw_error error;
    assert_int_equal(file_create(path, input_text("one"), 0600, NULL), KW_OK);
    assert_int_equal(file_create(path, input_text("two"), 0600, &error), KW_EXISTS);
    assert_content(path, "one");
    assert_int_equal(count_entries(*state), 1);
    free(path);
}

static void file_publish_existing_is_left_alone(void **state)
{
    char *one = folder_write(state, "one", "1", 1, 0600), *two = folder_write(state, "two", "2", 1, 0600),
         *new = folder_path(state, "new");
    assert_int_equal(file_publish(one, two, NULL), KW_EXISTS);
    assert_content(two, "2");
    assert_int_equal(file_publish(one, new, NULL), KW_OK);
    assert_content(new, "1");
    assert_false(file_exists(one));
    free(one);
    free(two);
    free(new);
}

static void file_claim_directory_tells_who_made_it(void **state)
{
    char *path = folder_path(state, "directory \xc3\xa4"), *file = folder_write(state, "file", "", 0, 0600);
    bool made = false;
    kw_error error;
    assert_int_equal(file_claim_directory(path, 0700, &made, NULL), KW_OK);
    assert_true(made);
    assert_int_equal(file_claim_directory(path, 0700, &made, NULL), KW_OK);
    assert_false(made);
    assert_true(file_exists(path));
    assert_int_equal(file_make_directory(file, 0700, &error), KW_EXISTS);
    free(path);
    free(file);
}

/* ---- Who may touch it ---- */

static void file_private_in_an_open_directory_is_for_its_user_alone(void **state)
{
    char *folder = folder_path(state, "open"), *inner = folder_path(state, "open/private"),
         *private = folder_path(state, "open/file"), *public = folder_path(state, "open/public");
    assert_int_equal(file_make_directory(folder, 0755, NULL), KW_OK);
    set_rights(folder, L"D:P(A;OICI;FA;;;WD)");
    assert_int_equal(file_create(private, input_text("1"), 0600, NULL), KW_OK);
    assert_int_equal(file_create(public, input_text("1"), 0644, NULL), KW_OK);
    assert_int_equal(file_make_directory(inner, 0700, NULL), KW_OK);
    assert_false(file_others_read(private));
    assert_true(file_others_read(public));
    assert_false(file_others_read(inner));
    assert_content(private, "1");
    free(folder);
    free(inner);
    free(private);
    free(public);
}

static void file_check_trusted_changeable_by_others_is_refused(void **state)
{
    char *folder = folder_path(state, "folder"), *path = folder_path(state, "folder/file"),
         *absent = folder_path(state, "none");
    kw_error error = {0};
    assert_int_equal(file_make_directory(folder, 0700, NULL), KW_OK);
    assert_int_equal(file_create(path, input_text("1"), 0600, NULL), KW_OK);
    set_rights(folder, L"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)");
    set_rights(path, L"D:P(A;;FA;;;BA)(A;;FR;;;WD)");
    assert_int_equal(file_check_trusted(path, &error), KW_OK);
    set_rights(path, L"D:P(A;;FA;;;BA)(A;;FA;;;WD)");
    assert_int_equal(file_check_trusted(path, &error), KW_REFUSED);
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.remedy, "icacls"));
    set_rights(path, L"D:P(A;;FA;;;BA)(A;;FR;;;WD)");
    set_rights(folder, L"D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;WD)");
    assert_int_equal(file_check_trusted(path, &error), KW_REFUSED);
    assert_null(strstr(error.message, path));
    assert_int_equal(file_check_trusted(absent, &error), KW_NOT_FOUND);
    free(folder);
    free(path);
    free(absent);
}

int main(void)
{
#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(file_read_at_the_limit_and_beyond),
        IN_A_FOLDER(file_read_absent_is_not_found),
        IN_A_FOLDER(file_read_what_is_no_regular_file_is_refused),
        IN_A_FOLDER(file_read_secret_has_a_nul_behind),
        cmocka_unit_test(file_read_descriptor_is_not_of_windows),
        IN_A_FOLDER(file_replace_new_and_existing_is_whole_and_alone),
        IN_A_FOLDER(file_replace_impossible_leaves_nothing_behind),
        IN_A_FOLDER(file_replace_what_somebody_keeps_open_is_done_whole_or_not_at_all),
        IN_A_FOLDER(file_create_existing_is_left_alone),
        IN_A_FOLDER(file_publish_existing_is_left_alone),
        IN_A_FOLDER(file_claim_directory_tells_who_made_it),
        IN_A_FOLDER(file_private_in_an_open_directory_is_for_its_user_alone),
        IN_A_FOLDER(file_check_trusted_changeable_by_others_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
