#include "folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int folder_setup(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof(path), "%s/keywright-test.XXXXXX", temporary == NULL ? "/tmp" : temporary);
    if (mkdtemp(path) == NULL)
        return -1;
    *state = realpath(path, NULL);
    return *state == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *place)
{
    (void)facts;
    (void)type;
    (void)place;
    return remove(path);
}

int folder_teardown(void **state)
{
    int result = nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

char *folder_path(void **state, const char *name)
{
    size_t size = strlen(*state) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    snprintf(path, size, "%s/%s", (const char *)*state, name);
    return path;
}

char *folder_write(void **state, const char *name, const void *data, size_t length, unsigned mode)
{
    char *path = folder_path(state, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, length), length);
    assert_int_equal(close(file), 0);
    assert_int_equal(chmod(path, (mode_t)mode), 0);
    return path;
}
