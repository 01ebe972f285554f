/* What is the same on all systems; the rest is in file_posix.c and file_windows.c. */
#include "base/file_private.h"

#include <stdlib.h>

kw_status file_read(const char *path, size_t limit, kw_bytes *content, kw_error *error)
{
    intptr_t handle = FILE_NONE;
    size_t size = 0, length = 0;
    unsigned char *data = NULL;
    kw_status status = file_open(path, limit, &handle, &size, error);
    if (status != KW_OK)
        goto out;
    /* One byte more shows whether it grew; it is the NUL's otherwise. */
    data = malloc(size + 1);
    if (data == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = file_read_open(handle, path, data, size + 1, &length, error);
    if (status != KW_OK)
        goto out;
    if (length > size) {
        status = error_set(error, KW_CONFLICT, "%s grew while it was read", path);
        goto out;
    }
    data[length] = '\0';
    *content = (kw_bytes){data, length};
    data = NULL;
out:
    free(data);
    if (handle != FILE_NONE)
        file_close(handle);
    return status;
}

kw_status file_read_secret(const char *path, size_t limit, struct secret *content, kw_error *error)
{
    intptr_t handle = FILE_NONE;
    size_t size = 0, length = 0;
    struct secret secret = {0};
    kw_status status = file_open(path, limit, &handle, &size, error);
    if (status != KW_OK)
        goto out;
    status = secret_new(&secret, size, error);
    if (status != KW_OK)
        goto out;
    status = file_read_open(handle, path, secret.data, size + 1, &length, error);
    if (status != KW_OK)
        goto out;
    if (length > size) {
        status = error_set(error, KW_CONFLICT, "%s grew while it was read", path);
        goto out;
    }
    secret.data[length] = '\0';
    secret.length = length;
    *content = secret;
    secret = (struct secret){0};
out:
    secret_clear(&secret);
    if (handle != FILE_NONE)
        file_close(handle);
    return status;
}

kw_status file_create(const char *path, kw_input content, unsigned mode, kw_error *error)
{
    char *temporary = NULL;
    kw_status status = KW_OK;
    if (file_is_named(path))
        return error_set(error, KW_EXISTS, "there is a file %s already", path);
    status = file_write_beside(path, content, mode, &temporary, error);
    if (status != KW_OK)
        goto out;
    status = file_publish(temporary, path, error);
    if (status != KW_OK)
        file_unlink(temporary); /* which is not there when it has its name already */
out:
    free(temporary);
    return status;
}

kw_status file_make_directory(const char *path, unsigned mode, kw_error *error)
{
    bool made;
    return file_claim_directory(path, mode, &made, error);
}
