#include "base/file.h"

#include "folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* Runs it in a process that has no rights of root. */
static kw_status as_nobody(kw_status (*run)(const char *path, kw_error *error), const char *path, kw_error *error)
{
    int ends[2];
    kw_error seen = {0};
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setegid(NOBODY) != 0 || seteuid(NOBODY) != 0))
            _exit(99);
        int status = (int)run(path, &seen);
        _exit(write(ends[1], &seen, sizeof(seen)) == (ssize_t)sizeof(seen) ? status : 98);
    }
    int code = 0;
    close(ends[1]);
    assert_int_equal(read(ends[0], error, sizeof(*error)), sizeof(*error));
    close(ends[0]);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    return (kw_status)WEXITSTATUS(code);
}

static void assert_content(const char *path, const char *expected, unsigned mode)
{
    kw_bytes content = {0};
    struct stat facts;
    assert_int_equal(file_read(path, 1000, &content, NULL), KW_OK);
    assert_string_equal((char *)content.data, expected);
    assert_int_equal(content.length, strlen(expected));
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, mode);
    kw_bytes_free(&content);
}

static size_t count_entries(const char *path)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return count - 2;
}

/* ---- Reading ---- */

static void file_read_at_the_limit_and_beyond(void **state)
{
    char *path = folder_write(state, "file", "12345", 5, 0600);
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

static void file_read_empty_gives_no_bytes(void **state)
{
    char *path = folder_write(state, "file", "", 0, 0600);
    assert_content(path, "", 0600);
    free(path);
}

static void file_read_absent_is_not_found(void **state)
{
    char *path = folder_path(state, "absent");
    char *below = folder_path(state, "absent/deeper");
    kw_bytes content = {0};
    struct secret secret = {0};
    kw_error error;
    assert_int_equal(file_read(path, 5, &content, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(file_read_secret(below, 5, &secret, &error), KW_NOT_FOUND);
    free(path);
    free(below);
}

static void file_read_what_is_no_regular_file_is_refused_at_once(void **state)
{
    char *fifo = folder_path(state, "fifo");
    kw_bytes content = {0};
    kw_error error;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(file_read(fifo, 5, &content, &error), KW_INVALID_ARGUMENT);
    assert_int_equal(file_read(*state, 5, &content, &error), KW_INVALID_ARGUMENT);
    assert_int_equal(file_read("/dev/zero", 5, &content, &error), KW_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "not a regular file"));
    free(fifo);
}

static kw_status read_it(const char *path, kw_error *error)
{
    kw_bytes content = {0};
    kw_status status = file_read(path, 5, &content, error);
    kw_bytes_free(&content);
    return status;
}

static void file_read_without_the_right_says_which(void **state)
{
    char *path = folder_write(state, "file", "12345", 5, 0000);
    kw_error error;
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(as_nobody(read_it, path, &error), KW_PERMISSION);
    assert_non_null(strstr(error.message, path));
    assert_string_not_equal(error.remedy, "");
    free(path);
}

static void file_read_secret_has_a_nul_behind(void **state)
{
    char *path = folder_write(state, "file", "12345", 5, 0600);
    struct secret secret = {0};
    kw_error error;
    assert_int_equal(file_read_secret(path, 5, &secret, NULL), KW_OK);
    assert_int_equal(secret.length, 5);
    assert_string_equal((char *)secret.data, "12345");
    secret_clear(&secret);
    assert_int_equal(file_read_secret(path, 4, &secret, &error), KW_INVALID_ARGUMENT);
    assert_null(secret.data);
    free(path);
}

static void file_read_descriptor_reads_a_pipe_up_to_the_limit(void **state)
{
    (void)state;
    struct secret secret = {0};
    kw_error error;
    for (size_t limit = 6; limit >= 4; limit--) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        assert_int_equal(write(ends[1], "12345", 5), 5);
        close(ends[1]);
        kw_status status = file_read_descriptor(ends[0], limit, &secret, &error);
        assert_int_equal(status, limit < 5 ? KW_INVALID_ARGUMENT : KW_OK);
        if (status == KW_OK)
            assert_string_equal((char *)secret.data, "12345");
        secret_clear(&secret);
        close(ends[0]);
    }
}

static void file_read_descriptor_not_open_is_not_found(void **state)
{
    (void)state;
    struct secret secret = {0};
    kw_error error;
    assert_int_equal(file_read_descriptor(987, 5, &secret, &error), KW_NOT_FOUND);
    assert_non_null(strstr(error.message, "987"));
}

/* ---- Writing ---- */

static void file_replace_new_and_existing_has_content_and_mode(void **state)
{
    char *path = folder_path(state, "file");
    mode_t before = umask(0077);
    assert_int_equal(file_replace(path, input_text("one"), 0644, NULL), KW_OK);
    assert_content(path, "one", 0644);
    assert_int_equal(file_replace(path, input_text("another"), 0600, NULL), KW_OK);
    assert_content(path, "another", 0600);
    assert_int_equal(count_entries(*state), 1);
    umask(before);
    free(path);
}

static void file_replace_open_reader_keeps_the_old_content(void **state)
{
    char *path = folder_write(state, "file", "old", 3, 0600);
    char content[8] = "";
    int reader = open(path, O_RDONLY);
    assert_int_equal(file_replace(path, input_text("newer"), 0600, NULL), KW_OK);
    assert_int_equal(read(reader, content, sizeof(content)), 3);
    assert_string_equal(content, "old");
    close(reader);
    free(path);
}

static void file_replace_impossible_leaves_nothing_behind(void **state)
{
    char *directory = folder_path(state, "directory"), *inside = folder_path(state, "directory/file");
    char *absent = folder_path(state, "absent/file");
    kw_error error;
    assert_int_equal(mkdir(directory, 0700), 0);
    char *kept = folder_write(state, "directory/kept", "", 0, 0600);
    assert_int_not_equal(file_replace(directory, input_text("text"), 0600, &error), KW_OK);
    assert_int_equal(count_entries(*state), 1);
    assert_int_equal(count_entries(directory), 1);
    assert_int_equal(file_replace(absent, input_text("text"), 0600, &error), KW_NOT_FOUND);
    free(directory);
    free(inside);
    free(absent);
    free(kept);
}

static void file_replace_link_is_followed_and_stays(void **state)
{
    char *real = folder_write(state, "real", "former", 6, 0644), *link = folder_path(state, "link");
    char *dangling = folder_path(state, "dangling");
    struct stat facts;
    kw_error error;
    assert_int_equal(symlink("real", link), 0);
    assert_int_equal(file_replace(link, input_text("newer"), 0600, NULL), KW_OK);
    assert_int_equal(lstat(link, &facts), 0);
    assert_true(S_ISLNK(facts.st_mode));
    assert_content(real, "newer", 0600);
    assert_int_equal(symlink("nowhere", dangling), 0);
    assert_int_equal(file_replace(dangling, input_text("text"), 0600, &error), KW_NOT_FOUND);
    assert_int_equal(lstat(dangling, &facts), 0);
    assert_true(S_ISLNK(facts.st_mode));
    assert_int_equal(count_entries(*state), 3);
    free(real);
    free(link);
    free(dangling);
}

static void file_replace_pipe_is_written_to_and_stays(void **state)
{
    char *path = folder_path(state, "pipe"), *link = folder_path(state, "link");
    char content[16] = "";
    struct stat facts;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(symlink("pipe", link), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(file_replace(path, input_text("first"), 0644, NULL), KW_OK);
    assert_int_equal(file_replace(link, input_text("last"), 0644, NULL), KW_OK);
    assert_int_equal(read(reader, content, sizeof(content)), 9);
    assert_string_equal(content, "firstlast");
    assert_int_equal(stat(path, &facts), 0);
    assert_true(S_ISFIFO(facts.st_mode));
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(count_entries(*state), 2);
    close(reader);
    free(path);
    free(link);
}

static kw_status create_it(const char *path, kw_error *error)
{
    return file_create(path, input_text("text"), 0600, error);
}

static void file_create_without_the_right_leaves_nothing_behind(void **state)
{
    char *path = folder_path(state, "file");
    kw_error error;
    assert_int_equal(chmod(*state, 0555), 0);
    assert_int_equal(as_nobody(create_it, path, &error), KW_PERMISSION);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(count_entries(*state), 0);
    free(path);
}

static void file_create_existing_is_left_alone(void **state)
{
    char *path = folder_path(state, "file"), *link = folder_path(state, "link");
    kw_error error;
    assert_int_equal(file_create(path, input_text("one"), 0600, NULL), KW_OK);
    assert_int_equal(file_create(path, input_text("another"), 0644, &error), KW_EXISTS);
    assert_non_null(strstr(error.message, path));
    assert_content(path, "one", 0600);
    /* a link that leads nowhere is a name that is taken */
    assert_int_equal(symlink("nowhere", link), 0);
    assert_int_equal(file_create(link, input_text("text"), 0600, &error), KW_EXISTS);
    assert_int_equal(count_entries(*state), 2);
    free(path);
    free(link);
}

static void file_create_many_processes_at_once_one_wins(void **state)
{
    char *path = folder_path(state, "file");
    unsigned won = 0;
    enum { PROCESSES = 8 };
    pid_t children[PROCESSES];
    for (size_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit((int)file_create(path, input_text("whole"), 0600, NULL));
    }
    for (size_t i = 0; i < PROCESSES; i++) {
        int code = 0;
        assert_int_equal(waitpid(children[i], &code, 0), children[i]);
        assert_true(WIFEXITED(code));
        if (WEXITSTATUS(code) == KW_OK)
            won++;
        else
            assert_int_equal(WEXITSTATUS(code), KW_EXISTS);
    }
    assert_int_equal(won, 1);
    assert_content(path, "whole", 0600);
    assert_int_equal(count_entries(*state), 1);
    free(path);
}

static void file_make_directory_existing_is_fine_and_a_file_is_not(void **state)
{
    char *path = folder_path(state, "directory"), *file = folder_write(state, "file", "", 0, 0600);
    struct stat facts;
    kw_error error;
    assert_int_equal(file_make_directory(path, 0700, NULL), KW_OK);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
    assert_int_equal(file_make_directory(path, 0755, NULL), KW_OK);
    assert_int_equal(file_make_directory(file, 0700, &error), KW_EXISTS);
    free(path);
    free(file);
}

static void file_claim_directory_tells_who_made_it(void **state)
{
    char *path = folder_path(state, "directory"), *file = folder_write(state, "file", "", 0, 0600);
    kw_error error;
    bool made = false;
    assert_int_equal(file_claim_directory(path, 0700, &made, NULL), KW_OK);
    assert_true(made);
    assert_int_equal(file_claim_directory(path, 0700, &made, NULL), KW_OK);
    assert_false(made);
    made = true;
    assert_int_equal(file_claim_directory(file, 0700, &made, &error), KW_EXISTS);
    assert_true(made);
    free(path);
    free(file);
}

/* ---- Who may touch it ---- */

static void file_others_read_by_mode(void **state)
{
    char *path = folder_write(state, "file", "", 0, 0600);
    assert_true(file_exists(path));
    assert_false(file_others_read(path));
    assert_int_equal(chmod(path, 0640), 0);
    assert_true(file_others_read(path));
    assert_int_equal(chmod(path, 0604), 0);
    assert_true(file_others_read(path));
    assert_int_equal(unlink(path), 0);
    assert_false(file_exists(path));
    assert_false(file_others_read(path));
    free(path);
}

static void file_check_trusted_writable_by_others_is_refused(void **state)
{
    char *path = folder_write(state, "file", "", 0, 0755);
    kw_error error;
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(file_check_trusted(path, NULL), KW_OK);
    assert_int_equal(chmod(path, 0775), 0);
    assert_int_equal(file_check_trusted(path, &error), KW_REFUSED);
    assert_non_null(strstr(error.remedy, path));
    assert_int_equal(chmod(path, 0757), 0);
    assert_int_equal(file_check_trusted(path, &error), KW_REFUSED);
    assert_int_equal(chmod(path, 0755), 0);
    /* and its directory */
    assert_int_equal(chmod(*state, 01777), 0);
    assert_int_equal(file_check_trusted(path, &error), KW_REFUSED);
    assert_non_null(strstr(error.remedy, "chmod go-w"));
    free(path);
}

static void file_check_trusted_link_leads_to_an_unsafe_place_is_refused(void **state)
{
    char *safe = folder_path(state, "safe"), *unsafe = folder_path(state, "unsafe"),
         *link = folder_path(state, "safe/link");
    kw_error error;
    assert_int_equal(mkdir(safe, 0700), 0);
    assert_int_equal(mkdir(unsafe, 0700), 0);
    char *file = folder_write(state, "unsafe/file", "", 0, 0600);
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(file_check_trusted(link, NULL), KW_OK);
    assert_int_equal(chmod(unsafe, 0777), 0);
    assert_int_equal(file_check_trusted(link, &error), KW_REFUSED);
    assert_non_null(strstr(error.message, unsafe));
    free(safe);
    free(unsafe);
    free(link);
    free(file);
}

static kw_status check_it(const char *path, kw_error *error)
{
    return file_check_trusted(path, error);
}

static void file_check_trusted_of_another_user_is_refused(void **state)
{
    char *path = folder_write(state, "file", "", 0, 0644);
    kw_error error;
    if (geteuid() == 0) {
        /* root's file is good for anybody, but that of another user for nobody else */
        assert_int_equal(chmod(*state, 0755), 0);
        assert_int_equal(as_nobody(check_it, path, &error), KW_OK);
        assert_int_equal(chown(path, NOBODY, (gid_t)-1), 0);
        assert_int_equal(as_nobody(check_it, path, &error), KW_OK);
        assert_int_equal(file_check_trusted(path, &error), KW_REFUSED);
        assert_non_null(strstr(error.message, "65534"));
    } else {
        assert_int_equal(file_check_trusted(path, &error), KW_OK);
        assert_int_equal(file_check_trusted("/etc/passwd", &error), KW_OK);
    }
    free(path);
}

static void file_check_trusted_absent_is_not_found(void **state)
{
    char *path = folder_path(state, "absent");
    kw_error error;
    assert_int_equal(file_check_trusted(path, &error), KW_NOT_FOUND);
    free(path);
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(file_read_at_the_limit_and_beyond),
        FOLDER_TEST(file_read_empty_gives_no_bytes),
        FOLDER_TEST(file_read_absent_is_not_found),
        FOLDER_TEST(file_read_what_is_no_regular_file_is_refused_at_once),
        FOLDER_TEST(file_read_without_the_right_says_which),
        FOLDER_TEST(file_read_secret_has_a_nul_behind),
        FOLDER_TEST(file_read_descriptor_reads_a_pipe_up_to_the_limit),
        FOLDER_TEST(file_read_descriptor_not_open_is_not_found),
        FOLDER_TEST(file_replace_new_and_existing_has_content_and_mode),
        FOLDER_TEST(file_replace_open_reader_keeps_the_old_content),
        FOLDER_TEST(file_replace_impossible_leaves_nothing_behind),
        FOLDER_TEST(file_replace_link_is_followed_and_stays),
        FOLDER_TEST(file_replace_pipe_is_written_to_and_stays),
        FOLDER_TEST(file_create_without_the_right_leaves_nothing_behind),
        FOLDER_TEST(file_create_existing_is_left_alone),
        FOLDER_TEST(file_create_many_processes_at_once_one_wins),
        FOLDER_TEST(file_make_directory_existing_is_fine_and_a_file_is_not),
        FOLDER_TEST(file_claim_directory_tells_who_made_it),
        FOLDER_TEST(file_others_read_by_mode),
        FOLDER_TEST(file_check_trusted_writable_by_others_is_refused),
        FOLDER_TEST(file_check_trusted_link_leads_to_an_unsafe_place_is_refused),
        FOLDER_TEST(file_check_trusted_of_another_user_is_refused),
        FOLDER_TEST(file_check_trusted_absent_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
