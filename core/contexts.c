/*
 * All open contexts of the process: what a fork needs of them, and who shares one. A program that embeds the library and loads the OpenSSL module
 * has one context of a configuration, whichever of the two opens it: one login at a token, one set of roots in memory.
 */
#include "context.h"

#include "store/loader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Forks ---- */

/* The mutex is held across a fork. */
static pthread_mutex_t contexts_mutex = PTHREAD_MUTEX_INITIALIZER;
static kw_context *contexts;

/*
 * Plugins may have fork handlers of their own, whose locks are below these: a store is closed, and so its plugin called, under a lock. Handlers that
 * are registered later run first, so these are registered again when plugins have been loaded, and only the first of them to run does something.
 */
static _Thread_local unsigned fork_depth;

/* Locks are taken from the top floor down, as operations take them; the keyring's is held for no other call, and taken within transactions too. */
static void before_fork(void)
{
    if (fork_depth++ > 0)
        return;
    pthread_mutex_lock(&contexts_mutex);
    for (kw_context *context = contexts; context != NULL; context = context->next) {
        pthread_mutex_lock(&context->owner->mutex);
        pthread_mutex_lock(&context->present);
        stores_fork_prepare(context->stores);
        catalogue_fork_prepare(context->catalogue);
        keyring_fork_prepare(context->keyring);
    }
}

static void after_fork_in_parent(void)
{
    if (--fork_depth > 0)
        return;
    for (kw_context *context = contexts; context != NULL; context = context->next) {
        keyring_fork_parent(context->keyring);
        catalogue_fork_parent(context->catalogue);
        stores_fork_parent(context->stores);
        pthread_mutex_unlock(&context->present);
        pthread_mutex_unlock(&context->owner->mutex);
    }
    pthread_mutex_unlock(&contexts_mutex);
}

static void after_fork_in_child(void)
{
    if (--fork_depth > 0)
        return;
    secret_forked();
    for (kw_context *context = contexts; context != NULL; context = context->next) {
        keyring_fork_child(context->keyring);
        catalogue_fork_child(context->catalogue);
        stores_fork_child(context->stores);
        atomic_store(&context->reloading, false); /* that thread is not in this process */
        pthread_mutex_unlock(&context->present);
        pthread_mutex_unlock(&context->owner->mutex);
    }
    pthread_mutex_unlock(&contexts_mutex);
}

/* Handlers registered earlier run later before a fork: the leaves register first, then plugins as they are loaded. */
void context_watch_forks(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool watched;
    static size_t modules;
    const size_t loaded = loader_count();
    pthread_mutex_lock(&lock);
    if (!watched || loaded > modules) {
        run_lock_watch_forks();
        control_watch_forks();
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        watched = true;
        modules = loaded;
    }
    pthread_mutex_unlock(&lock);
}

void contexts_add(kw_context *context)
{
    context_watch_forks();
    pthread_mutex_lock(&contexts_mutex);
    context->next = contexts;
    contexts = context;
    pthread_mutex_unlock(&contexts_mutex);
}

/* ---- Callbacks ---- */

/*
 * Of the program, which may come after the module and go before it. Exchanged as a whole, by one atomic pointer, since other threads may be in a
 * call; those before are kept as long as the context.
 */
struct callbacks {
    kw_log_callback log;
    kw_prompt_callback prompt, module; /* the module's is asked where the program has none */
    void *user;
    struct callbacks *before;
};

static void forward_log(void *user, kw_log_level level, const char *line)
{
    const kw_context *context = user;
    const struct callbacks *now = atomic_load(&context->callbacks);
    if (now->log != NULL)
        now->log(now->user, level, line);
}

static kw_status forward_prompt(void *user, const char *what, bool confirm, kw_output *answer)
{
    const kw_context *context = user;
    const struct callbacks *now = atomic_load(&context->callbacks);
    if (now->prompt != NULL)
        return now->prompt(now->user, what, confirm, answer);
    return now->module != NULL ? now->module(NULL, what, confirm, answer) : KW_CONFIGURATION;
}

/* With the list's mutex, once the context is in the list. */
static bool callbacks_set(kw_context *context, struct callbacks wanted)
{
    struct callbacks *made = malloc(sizeof(*made));
    if (made == NULL)
        return false;
    wanted.before = atomic_load(&context->callbacks);
    *made = wanted;
    atomic_store(&context->callbacks, made);
    return true;
}

kw_status callbacks_start(kw_context *context, const kw_open_options *options, bool program, kw_error *error)
{
    struct callbacks wanted = {0};
    if (options != NULL && program)
        wanted = (struct callbacks){.log = options->log, .prompt = options->prompt, .user = options->user};
    else if (options != NULL)
        wanted.module = options->prompt;
    context->users = 1;
    context->claimed = program;
    context->log = (struct log){.callback = forward_log, .user = context};
    context->prompt = forward_prompt;
    context->prompt_user = context;
    return callbacks_set(context, wanted) ? KW_OK : error_memory(error);
}

void callbacks_free(kw_context *context)
{
    struct callbacks *now = atomic_load(&context->callbacks);
    while (now != NULL) {
        struct callbacks *const before = now->before;
        free(now);
        now = before;
    }
}

/* ---- Sharing ---- */

/* By name, or by what the name leads to now: a file that was replaced has another inode. */
static bool is_configuration(const kw_context *context, const char *path, const struct stat *file)
{
    struct stat own;
    const char *const known = context->file;
    return strcmp(known, path) == 0 ||
           (file->st_ino != 0 && stat(known, &own) == 0 && own.st_dev == file->st_dev && own.st_ino == file->st_ino);
}

/* One that is not claimed, or any. */
static kw_context *find_context(const char *path, bool claimed)
{
    struct stat file = {0};
    if (stat(path, &file) != 0)
        file.st_ino = 0;
    for (kw_context *context = contexts; context != NULL; context = context->next)
        if ((claimed || !context->claimed) && is_configuration(context, path, &file))
            return context;
    return NULL;
}

/* Adds a user of it: the program, or the module, with what each is asked by. `*context` stays as it is when there is none. */
static kw_status share(const kw_open_options *options, bool program, kw_context **context, kw_error *error)
{
    kw_status status = KW_OK;
    char *path = configuration_path(options);
    if (path == NULL)
        return error_memory(error);
    pthread_mutex_lock(&contexts_mutex);
    kw_context *found = find_context(path, !program);
    if (found != NULL) {
        struct callbacks wanted = *atomic_load(&found->callbacks);
        if (program)
            wanted = (struct callbacks){
                .log = options->log, .prompt = options->prompt, .user = options->user, .module = wanted.module};
        else
            wanted.module = options->prompt;
        if (callbacks_set(found, wanted)) {
            found->users++;
            found->claimed = found->claimed || program;
            *context = found;
        } else {
            status = error_memory(error);
        }
    }
    pthread_mutex_unlock(&contexts_mutex);
    free(path);
    return status;
}

kw_status contexts_claim(const kw_open_options *options, kw_context **context, kw_error *error)
{
    return share(options, true, context, error);
}

kw_status context_join(const kw_open_options *options, kw_context **context, kw_error *error)
{
    kw_context *found = NULL;
    struct opening opening;
    kw_status status = opening_begin(&opening, options, false, error);
    if (status != KW_OK)
        return status;
    status = share(options, false, &found, error);
    if (status == KW_OK && found == NULL)
        status = context_open_for_module(options, &found, error); /* a program that uses a key adds no others */
    opening_end(&opening);
    if (status == KW_OK)
        *context = found;
    return status;
}

bool contexts_leave(kw_context *context, bool program)
{
    bool last;
    pthread_mutex_lock(&contexts_mutex);
    last = --context->users == 0;
    if (last) {
        for (kw_context **at = &contexts; *at != NULL; at = &(*at)->next) {
            if (*at == context) {
                *at = context->next;
                break;
            }
        }
    } else if (program) {
        /* The module goes on with it, and must not call who has gone. */
        struct callbacks *now = atomic_load(&context->callbacks);
        context->claimed = false;
        if (!callbacks_set(context, (struct callbacks){.module = now->module}))
            *now = (struct callbacks){.module = now->module, .before = now->before};
    }
    pthread_mutex_unlock(&contexts_mutex);
    return last;
}
