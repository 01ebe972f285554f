#include "base/path.h"

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

bool path_is_absolute(const char *path)
{
    return path[0] == '/';
}

char *path_join(const char *directory, const char *name)
{
    size_t length = strlen(directory);
    return text_format("%s%s%s", directory, length > 0 && directory[length - 1] == '/' ? "" : "/", name);
}

char *path_resolve(const char *directory, const char *path)
{
    return path_is_absolute(path) ? text_copy(path) : path_join(directory, path);
}

char *path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return text_copy(".");
    if (slash == path)
        return text_copy("/");
    return text_format("%.*s", (int)(slash - path), path);
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

char *path_absolute(const char *path)
{
    if (path_is_absolute(path))
        return text_copy(path);
    char *here = realpath(".", NULL);
    if (here == NULL)
        return NULL;
    char *absolute = path_join(here, path);
    free(here);
    return absolute;
}
