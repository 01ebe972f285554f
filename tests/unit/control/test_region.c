#include "processes.h"

#include "base/file.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

struct lines {
    char last[512];
    size_t count;
};

static void keep_line(void *user, kw_log_level level, const char *line)
{
    struct lines *lines = user;
    assert_int_equal(level, KW_LOG_WARNING);
    snprintf(lines->last, sizeof(lines->last), "%s", line);
    lines->count++;
}

static kw_status try_open(void **state, struct lines *lines, kw_error *error)
{
    const struct log log = {.callback = keep_line, .user = lines};
    struct control *control = NULL;
    const kw_status status = control_open(*state, lines == NULL ? NULL : &log, &control, error);
    assert_true((control != NULL) == (status == KW_OK));
    control_close(control);
    return status;
}

static void make_run(void **state)
{
    char *run = folder_path(state, "run");
    assert_int_equal(mkdir(run, 0700), 0);
    free(run);
}

static void open_makes_a_whole_file_that_others_may_not_read(void **state)
{
    char *path = folder_path(state, "run/control"), *run = folder_path(state, "run");
    struct stat facts;
    struct control *control = control_new(state);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode, S_IFREG | 0600);
    assert_int_equal(facts.st_size, sizeof(struct control_file));
    assert_true((uintmax_t)facts.st_blocks * 512 >= sizeof(struct control_file)); /* no holes */
    assert_int_equal(stat(run, &facts), 0);
    assert_int_equal(facts.st_mode, S_IFDIR | 0700);
    control_close(control);
    free(path);
    free(run);
}

/* What is in the file is foreign, cut off, or of another version: made anew, told once, and the generation goes on growing. */
static void open_of_a_damaged_file_makes_it_anew(void **state)
{
    struct control *control = control_new(state);
    const uint64_t generation = control_generation(control);
    char *path = folder_path(state, "run/control");
    unsigned char *sound = malloc(sizeof(struct control_file));
    assert_non_null(sound);
    memcpy(sound, control->region->file, sizeof(struct control_file));
    control_close(control);

    const struct {
        size_t length, flipped;
    } cases[] = {
        {0, SIZE_MAX},
        {10, SIZE_MAX},
        {sizeof(struct control_file) - 1, SIZE_MAX},
        {4096, SIZE_MAX},
        {sizeof(struct control_file), 0},
        {sizeof(struct control_file), offsetof(struct control_identity, layout)},
        {sizeof(struct control_file), offsetof(struct control_identity, slot_count)},
        {sizeof(struct control_file), offsetof(struct control_identity, block_count)},
        {sizeof(struct control_file), offsetof(struct control_identity, operation_count)},
        {sizeof(struct control_file), offsetof(struct control_identity, size)},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lines lines = {0};
        if (cases[i].flipped != SIZE_MAX)
            sound[cases[i].flipped] ^= 0x40;
        free(folder_write(state, "run/control", sound, cases[i].length, 0600));
        if (cases[i].flipped != SIZE_MAX)
            sound[cases[i].flipped] ^= 0x40;
        assert_int_equal(try_open(state, &lines, NULL), KW_OK);
        assert_int_equal(lines.count, 1);
        assert_non_null(strstr(lines.last, "made anew"));
        assert_int_equal(try_open(state, &lines, NULL), KW_OK);
        assert_int_equal(lines.count, 1);
    }
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_size, sizeof(struct control_file));
    control = control_new(state);
    assert_true(control_generation(control) >= generation);
    control_close(control);
    free(sound);
    free(path);
}

static void hold(struct process *self, void *argument)
{
    struct control *control = NULL;
    if (control_open(argument, NULL, &control, NULL) != KW_OK)
        _exit(2);
    process_pause(self);
    control_close(control);
}

/* Somebody is at work with it: two files would not know of each other. */
static void open_of_a_damaged_file_in_use_is_refused(void **state)
{
    struct process other = process_start(hold, *state);
    char *path = folder_path(state, "run/control");
    kw_error error = {0};
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fputs("nonsense", file);
    fclose(file);
    assert_int_equal(try_open(state, NULL, &error), KW_CORRUPT);
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.message, "damaged"));
    assert_non_null(strstr(error.remedy, "stop"));
    process_kill(&other);
    assert_int_equal(try_open(state, NULL, NULL), KW_OK);
    free(path);
}

static void open_of_what_is_no_file_of_ours_is_refused(void **state)
{
    char *path = folder_path(state, "run/control"), *target = folder_write(state, "target", "x", 1, 0600);
    kw_error error = {0};
    make_run(state);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(try_open(state, NULL, &error), KW_REFUSED);
    assert_non_null(strstr(error.message, "symbolic link"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(try_open(state, NULL, &error), KW_REFUSED);
    assert_non_null(strstr(error.message, "not a regular file"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_not_equal(try_open(state, NULL, &error), KW_OK);
    assert_int_equal(rmdir(path), 0);
    struct control *control = control_new(state);
    control_close(control);
    assert_int_equal(chmod(path, 0660), 0);
    assert_int_equal(try_open(state, NULL, &error), KW_REFUSED);
    assert_non_null(strstr(error.message, "others may write"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(try_open(state, NULL, NULL), KW_OK);
    kw_bytes content = {0};
    assert_int_equal(file_read(target, 10, &content, NULL), KW_OK);
    assert_int_equal(content.length, 1);
    kw_bytes_free(&content);
    free(path);
    free(target);
}

/* In a child: with another user's rights where this is root, so that rights are withheld at all. */
static int as_somebody(void **state, kw_status (*body)(void **state, kw_error *error), kw_status expected)
{
    const pid_t child = fork();
    int code = -1;
    assert_true(child >= 0);
    if (child == 0) {
        kw_error error = {0};
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(100);
        const kw_status status = body(state, &error);
        if (status != expected)
            fprintf(stderr, "%s: %s\n", kw_status_text(status), error.message);
        _exit(status == expected ? 0 : 1);
    }
    waitpid(child, &code, 0);
    return code;
}

static kw_status opens(void **state, kw_error *error)
{
    return try_open(state, NULL, error);
}

static void open_without_the_right_to_write_says_so(void **state)
{
    char *path = folder_path(state, "run/control"), *run = folder_path(state, "run");
    control_close(control_new(state));
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(chmod(run, 0755), 0);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(as_somebody(state, opens, KW_PERMISSION), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(chmod(run, 0555), 0);
    assert_int_equal(as_somebody(state, opens, KW_PERMISSION), 0);
    assert_int_equal(chmod(run, 0700), 0);
    free(path);
    free(run);
}

/* root leaves nothing that the state's owner could not use. */
static void open_as_root_gives_the_file_to_the_states_owner(void **state)
{
    if (geteuid() != 0)
        return;
    char *path = folder_path(state, "run/control");
    struct stat facts;
    assert_int_equal(chown(*state, 65534, 65534), 0);
    control_close(control_new(state));
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_uid, 65534);
    assert_int_equal(as_somebody(state, opens, KW_OK), 0);
    free(path);
}

static kw_status opens_with_little_room(void **state, kw_error *error)
{
    const struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return KW_OK;
    return try_open(state, NULL, error);
}

/* Never a file with holes, which would kill whoever writes to one later. */
static void open_without_room_leaves_nothing(void **state)
{
    char *path = folder_path(state, "run/control");
    make_run(state);
    assert_int_equal(chmod(*state, 0777), 0);
    char *run = folder_path(state, "run");
    assert_int_equal(chmod(run, 0777), 0);
    assert_int_equal(as_somebody(state, opens_with_little_room, KW_UNAVAILABLE), 0);
    assert_int_equal(rmdir(run), 0);
    free(run);
    free(path);
}

/* All at once, while there is none: they end up with one. */
static void open_at_once_makes_one(void **state)
{
    int gate[2], code = -1;
    char byte;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < 20; i++) {
        if (fork() == 0) {
            struct control *control = NULL;
            uint64_t generation = 0;
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0 || control_open(*state, NULL, &control, NULL) != KW_OK ||
                control_raise(control, &generation, NULL) != KW_OK)
                _exit(1);
            control_close(control);
            _exit(0);
        }
    }
    close(gate[0]);
    const uint64_t before = (uint64_t)time(NULL) << 16;
    close(gate[1]);
    for (int i = 0; i < 20; i++) {
        assert_true(wait(&code) > 0);
        assert_int_equal(code, 0);
    }
    struct control *control = control_new(state);
    assert_int_equal((control_generation(control) - before) % 65536, 20);
    assert_int_equal(control_contexts(control), 1);
    control_close(control);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_makes_a_whole_file_that_others_may_not_read),
        TEST(open_of_a_damaged_file_makes_it_anew),
        TEST(open_of_a_damaged_file_in_use_is_refused),
        TEST(open_of_what_is_no_file_of_ours_is_refused),
        TEST(open_without_the_right_to_write_says_so),
        TEST(open_as_root_gives_the_file_to_the_states_owner),
        TEST(open_without_room_leaves_nothing),
        TEST(open_at_once_makes_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
