#include "store/loader.h"

#include "base/file.h"
#include "base/right.h"
#include "store/description.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <ltdl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY_NAME "keywright"

typedef const kw_plugin *(*plugin_query)(void);

struct loaded {
    struct module module;
    struct loaded *next;
};

/* libltdl is not thread-safe: one mutex guards it and the list of what is loaded. Modules are never unloaded. */
static pthread_mutex_t loader_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t loader_fork_once = PTHREAD_ONCE_INIT;
static struct loaded *loader_modules;
static atomic_size_t loader_modules_count;
static bool loader_ready;

static void loader_fork_prepare(void)
{
    pthread_mutex_lock(&loader_lock);
}

static void loader_fork_done(void)
{
    pthread_mutex_unlock(&loader_lock);
}

/* The lock is a leaf, so that it may be taken at any place among other handlers. */
static void loader_fork_register(void)
{
    (void)pthread_atfork(loader_fork_prepare, loader_fork_done, loader_fork_done);
}

/* ---- Directories ---------------------------------------------------------------------------------- */

char *loader_default_directory(void)
{
    static const char here = 0; /* a datum of this library: its address tells which file that is */
    Dl_info info;
    char *library = NULL, *directory = NULL, *found = NULL;

    /* A relative name would be held against the working directory, which must not choose code. */
    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL || !path_is_absolute(info.dli_fname))
        goto out;
    library = realpath(info.dli_fname, NULL);
    if (library == NULL)
        goto out;
    directory = path_directory(library);
    if (directory != NULL)
        found = path_join(directory, DIRECTORY_NAME);
out:
    free(directory);
    free(library);
    return found;
}

/* The directories to look in: those given, or the default one in `*made`, which the caller frees. */
static kw_status directories_resolve(const char *const **directories, size_t count, char **made, kw_error *error)
{
    for (size_t i = 0; i < count; i++)
        if ((*directories)[i] == NULL || !path_is_absolute((*directories)[i])) {
            const kw_status status =
                error_set(error, KW_CONFIGURATION, "the plugin directory '%s' is not an absolute path",
                          (*directories)[i] == NULL ? "" : (*directories)[i]);
            error_remedy(error, "write it from the root, such as /usr/lib/keywright");
            return status;
        }
    if (count > 0)
        return KW_OK;
    *made = loader_default_directory();
    if (*made == NULL) {
        const kw_status status =
            error_set(error, KW_CONFIGURATION,
                      "no plugin directory is configured, and where the library lies cannot be told "
                      "without the working directory");
        error_remedy(error,
                     "set plugin_directories, or start the program so that it loads the library by an absolute path");
        return status;
    }
    return KW_OK;
}

struct listing {
    char **names, **paths;
    size_t count, capacity;
};

static void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->names[i]);
        free(listing->paths[i]);
    }
    free(listing->names);
    free(listing->paths);
}

static bool listing_reserve(struct listing *listing)
{
    const size_t capacity = listing->capacity == 0 ? 16 : 2 * listing->capacity;
    char **names, **paths;

    if (listing->count < listing->capacity)
        return true;
    names = calloc(capacity, sizeof(*names));
    paths = calloc(capacity, sizeof(*paths));
    if (names == NULL || paths == NULL) {
        free(names);
        free(paths);
        return false;
    }
    for (size_t i = 0; i < listing->count; i++) {
        names[i] = listing->names[i];
        paths[i] = listing->paths[i];
    }
    free(listing->names);
    free(listing->paths);
    listing->names = names;
    listing->paths = paths;
    listing->capacity = capacity;
    return true;
}

/* Inserts in order; a name that is there already stays with its first directory. */
static kw_status listing_add(struct listing *listing, const char *directory, const char *file, const char *name,
                             size_t length, kw_error *error)
{
    kw_status status = KW_OK;
    char *made_name = NULL, *made_path = NULL;
    size_t at = 0;

    for (; at < listing->count; at++) {
        const int order = strncmp(listing->names[at], name, length);
        if (order == 0 && listing->names[at][length] == '\0')
            goto out;
        if (order >= 0)
            break;
    }
    made_name = strndup(name, length);
    made_path = path_join(directory, file);
    if (made_name == NULL || made_path == NULL || !listing_reserve(listing)) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = listing->count; i > at; i--) {
        listing->names[i] = listing->names[i - 1];
        listing->paths[i] = listing->paths[i - 1];
    }
    listing->names[at] = made_name;
    listing->paths[at] = made_path;
    listing->count++;
    made_name = made_path = NULL;
out:
    free(made_name);
    free(made_path);
    return status;
}

/* A directory that does not exist holds nothing. */
static kw_status listing_read(struct listing *listing, const char *directory, kw_error *error)
{
    kw_status status = KW_OK;
    DIR *stream = opendir(directory);

    if (stream == NULL) {
        const int number = errno;
        if (number == EACCES)
            status = right_error(error, number, RIGHT_READ, directory, "the plugin directory '%s' cannot be read",
                                 directory);
        else if (number != ENOENT && number != ENOTDIR)
            status = error_set(error, KW_FAILED, "the plugin directory '%s' cannot be read: %s", directory,
                               strerror(number));
        return status;
    }
    for (const struct dirent *entry = readdir(stream); entry != NULL && status == KW_OK; entry = readdir(stream)) {
        const char *name;
        size_t length;
        if (module_file_name(entry->d_name, &name, &length))
            status = listing_add(listing, directory, entry->d_name, name, length, error);
    }
    closedir(stream);
    return status;
}

kw_status loader_list(const char *const *directories, size_t count, char ***names, char ***paths, size_t *found,
                      kw_error *error)
{
    struct listing listing = {0};
    char *made = NULL;
    const char *defaults[1];
    kw_status status = directories_resolve(&directories, count, &made, error);

    if (status != KW_OK)
        goto out;
    if (made != NULL) {
        defaults[0] = made;
        directories = defaults;
        count = 1;
    }
    for (size_t i = 0; i < count && status == KW_OK; i++)
        status = listing_read(&listing, directories[i], error);
    if (status != KW_OK)
        goto out;
    *names = listing.names;
    *paths = listing.paths;
    *found = listing.count;
    listing = (struct listing){0};
out:
    listing_free(&listing);
    free(made);
    return status;
}

/* ---- Loading -------------------------------------------------------------------------------------- */

/* libltdl answers "file not found" to all that dlopen refuses; dlopen itself tells why. */
static void refusal_explain(const char *path, char *text, size_t size)
{
    const char *reason;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (handle != NULL) {
        (void)dlclose(handle);
        snprintf(text, size, "unknown reason");
        return;
    }
    reason = dlerror();
    snprintf(text, size, "%s", reason == NULL ? "unknown reason" : reason);
}

static kw_status module_load(const char *path, struct module *module, kw_error *error)
{
    kw_status status = KW_OK;
    lt_dladvise advise = NULL;
    lt_dlhandle handle = NULL;
    plugin_query query = NULL;
    void *symbol;
    char reason[512];

    if (!loader_ready && lt_dlinit() != 0) {
        status = error_set(error, KW_FAILED, "libltdl cannot be started: %s", lt_dlerror());
        goto out;
    }
    loader_ready = true;
    if (lt_dladvise_init(&advise) != 0 || lt_dladvise_resident(&advise) != 0 || lt_dladvise_local(&advise) != 0) {
        status = error_set(error, KW_FAILED, "libltdl cannot load resident and local modules: %s", lt_dlerror());
        goto out;
    }
    handle = lt_dlopenadvise(path, advise);
    if (handle == NULL) {
        refusal_explain(path, reason, sizeof(reason));
        status = error_set(error, KW_FAILED, "the plugin '%s' cannot be loaded: %s", path, reason);
        goto out;
    }
    symbol = lt_dlsym(handle, "kw_plugin_query");
    if (symbol == NULL) {
        status = description_malformed(error, path, "it exports no kw_plugin_query");
        goto out;
    }
    memcpy(&query, &symbol, sizeof(query)); /* ISO C has no cast from an object's address to a function's */
    status = description_read(path, query(), module, error);
out:
    if (advise != NULL)
        (void)lt_dladvise_destroy(&advise);
    return status;
}

static kw_status module_open_path(const char *path, const struct module **module, kw_error *error)
{
    kw_status status;
    char *real = NULL;
    struct loaded *made = NULL;

    /* The name may be a link: the check follows it, and what is loaded is what it leads to. */
    status = file_check_trusted(path, error);
    if (status != KW_OK)
        goto out;
    real = realpath(path, NULL);
    if (real == NULL) {
        status = errno == ENOMEM
                     ? error_memory(error)
                     : error_set(error, KW_NOT_FOUND, "the plugin '%s' cannot be found: %s", path, strerror(errno));
        goto out;
    }
    for (const struct loaded *each = loader_modules; each != NULL; each = each->next)
        if (strcmp(each->module.path, real) == 0) {
            *module = &each->module;
            goto out;
        }
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        status = error_memory(error);
        goto out;
    }
    status = module_load(real, &made->module, error);
    if (status != KW_OK)
        goto out;
    made->module.path = real;
    made->next = loader_modules;
    loader_modules = made;
    atomic_fetch_add(&loader_modules_count, 1);
    *module = &made->module;
    real = NULL;
    made = NULL;
out:
    free(made);
    free(real);
    return status;
}

static kw_status not_found(const char *name, const char *const *directories, size_t count, kw_error *error)
{
    struct buffer looked = {0}, there = {0};
    char **names = NULL, **paths = NULL;
    size_t found = 0;
    kw_status status = loader_list(directories, count, &names, &paths, &found, error);

    if (status != KW_OK)
        goto out;
    for (size_t i = 0; i < count; i++)
        buffer_format(&looked, "%s%s", i == 0 ? "" : ", ", directories[i]);
    for (size_t i = 0; i < found; i++) {
        buffer_format(&there, "%s%s", i == 0 ? "" : ", ", names[i]);
        free(names[i]);
        free(paths[i]);
    }
    buffer_append_u8(&looked, 0);
    buffer_append_u8(&there, 0);
    if (looked.failed || there.failed) {
        status = error_memory(error);
        goto out;
    }
    status = error_set(error, KW_NOT_FOUND, "there is no plugin '%s' in %s; %s%s", name, (const char *)looked.data,
                       found == 0 ? "nothing is there" : "there is: ", (const char *)there.data);
    error_remedy(error, "install " MODULE_PREFIX "%s" MODULE_SUFFIX " there, or set plugin_directories", name);
out:
    free(names);
    free(paths);
    buffer_free(&looked);
    buffer_free(&there);
    return status;
}

static kw_status open_by_name(const char *name, const char *const *directories, size_t count,
                              const struct module **module, kw_error *error)
{
    kw_status status = KW_OK;
    char *file = NULL, *path = NULL;

    file = text_format(MODULE_PREFIX "%s" MODULE_SUFFIX, name);
    if (file == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        free(path);
        path = path_join(directories[i], file);
        if (path == NULL) {
            status = error_memory(error);
            goto out;
        }
        if (file_exists(path)) {
            status = module_open_path(path, module, error);
            goto out;
        }
    }
    status = not_found(name, directories, count, error);
out:
    free(file);
    free(path);
    return status;
}

kw_status loader_open(const char *name, const char *const *directories, size_t count, const struct module **module,
                      kw_error *error)
{
    kw_status status = KW_OK;
    char *made = NULL;
    const char *defaults[1];
    const char *view;
    size_t length;

    (void)pthread_once(&loader_fork_once, loader_fork_register);
    pthread_mutex_lock(&loader_lock);
    if (path_is_absolute(name)) {
        if (!module_file_name(path_name(name), &view, &length))
            status = error_set(error, KW_CONFIGURATION,
                               "the module '%s' is not named " MODULE_PREFIX "NAME" MODULE_SUFFIX
                               " with a NAME of letters, digits, - and _",
                               name);
        else if (!file_exists(name))
            status = error_set(error, KW_NOT_FOUND, "there is no module '%s'", name);
        else
            status = module_open_path(name, module, error);
        goto out;
    }
    if (!module_name_is_clean(name, strlen(name))) {
        status =
            error_set(error, KW_CONFIGURATION,
                      "'%s' is no name of a plugin: it has up to %u letters, digits, - and _, or is an absolute path",
                      name, MODULE_NAME_MAXIMUM);
        goto out;
    }
    status = directories_resolve(&directories, count, &made, error);
    if (status != KW_OK)
        goto out;
    if (made != NULL) {
        defaults[0] = made;
        directories = defaults;
        count = 1;
    }
    status = open_by_name(name, directories, count, module, error);
out:
    pthread_mutex_unlock(&loader_lock);
    free(made);
    return status;
}

size_t loader_count(void)
{
    return atomic_load(&loader_modules_count);
}
