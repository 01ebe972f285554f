/* The stores of one configuration: which there are, and that each is opened once. */
#include "base/buffer.h"
#include "store/instance.h"

#include <stdlib.h>
#include <string.h>

struct stores {
    atomic_uint references;
    struct family *family;
    struct store **rows;                /* in the order of the configuration, then those of the library itself */
    size_t count, listed;               /* all, and those of the configuration */
    _Atomic(struct stores *) successor; /* that replaced these; a reference of it */
};

/* ---- Checking ----------------------------------------------------------------------------------------- */

/* A plugin that cannot be loaded is a mistake of the configuration that names it. */
static kw_status module_find(const struct settings *settings, const struct store_settings *store,
                             const struct module **module, kw_error *error)
{
    kw_error inner = {0};
    kw_status status = KW_OK;
    const char **directories = calloc(settings->plugin_directory_count + 1, sizeof(*directories));

    if (directories == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; i < settings->plugin_directory_count; i++)
        directories[i] = settings->plugin_directories[i];
    status = loader_open(store->plugin, directories, settings->plugin_directory_count, module, &inner);
    if (status == KW_OK)
        goto out;
    if (status == KW_OUT_OF_MEMORY) {
        status = error_memory(error);
        goto out;
    }
    status = settings_error(settings, store->plugin_place, error, "%s", inner.message);
    if (inner.remedy[0] != '\0')
        error_remedy(error, "%s", inner.remedy);
out:
    free(directories);
    return status;
}

static kw_status store_check(const struct settings *settings, const struct store_settings *store,
                             const struct module **module, struct options *options, kw_error *error)
{
    const kw_status status = module_find(settings, store, module, error);

    return status == KW_OK ? options_read(settings, store, *module, options, error) : status;
}

kw_status stores_check(const struct settings *settings, kw_error *error)
{
    kw_status status = KW_OK;

    for (size_t i = 0; i < settings->store_count && status == KW_OK; i++) {
        struct options options = {0};
        const struct module *module = NULL;
        status = store_check(settings, &settings->stores[i], &module, &options, error);
        options_clear(&options);
    }
    return status;
}

/* ---- Making -------------------------------------------------------------------------------------------- */

static void family_release(struct family *family)
{
    if (family == NULL || atomic_fetch_sub(&family->references, 1) > 1)
        return;
    pthread_mutex_destroy(&family->lock);
    free(family);
}

static struct family *family_reference(struct family *family)
{
    atomic_fetch_add(&family->references, 1);
    return family;
}

static struct family *family_new(void)
{
    struct family *const made = calloc(1, sizeof(*made));

    if (made == NULL)
        return NULL;
    atomic_init(&made->references, 1);
    if (pthread_mutex_init(&made->lock, NULL) == 0)
        return made;
    free(made);
    return NULL;
}

static void family_add(struct family *family, struct store *store)
{
    store->family = family_reference(family);
    pthread_mutex_lock(&family->lock);
    store->next = family->first;
    family->first = store;
    pthread_mutex_unlock(&family->lock);
}

/* No fork may come while its plugin closes it. */
static void family_close(struct store *store)
{
    pthread_mutex_lock(&store->family->lock);
    for (struct store **link = &store->family->first; *link != NULL; link = &(*link)->next) {
        if (*link == store) {
            *link = store->next;
            break;
        }
    }
    store_close(store);
    pthread_mutex_unlock(&store->family->lock);
    family_release(store->family);
}

static void store_release(struct store *store)
{
    if (store == NULL || atomic_fetch_sub(&store->references, 1) > 1)
        return;
    if (store->family != NULL)
        family_close(store);
    host_free(store->host);
    options_clear(&store->options);
    if (store->has_settled)
        pthread_cond_destroy(&store->settled);
    if (store->has_lock)
        pthread_mutex_destroy(&store->lock);
    settings_free(store->configuration);
    free(store);
}

/* Of the configuration, or (`settings` NULL) one of the library's own. */
static kw_status store_new(const struct stores_options *options, const struct store_settings *settings,
                           const struct builtin_store *builtin, struct store **store, kw_error *error)
{
    kw_status status = KW_OK;
    struct store *made = calloc(1, sizeof(*made));

    if (made == NULL)
        return error_memory(error);
    atomic_init(&made->references, 1);
    made->configuration = settings_reference(options->settings);
    made->settings = settings;
    made->crypto = options->crypto;
    made->catalogue = options->catalogue;
    made->control = options->control;
    made->counters = made->own_counters;
    made->capabilities.size = sizeof(made->capabilities);
    atomic_init(&made->state, STORE_STATE_CLOSED);
    made->has_lock = pthread_mutex_init(&made->lock, NULL) == 0;
    made->has_settled = pthread_cond_init(&made->settled, NULL) == 0;
    if (!made->has_lock || !made->has_settled) {
        status = error_memory(error);
        goto out;
    }
    if (settings != NULL) {
        status = store_check(options->settings, settings, &made->module, &made->options, error);
    } else if (builtin != NULL) {
        made->builtin = (struct store_settings){.name = builtin->name, .id = builtin->name, .plugin = builtin->name};
        made->settings = &made->builtin;
        made->module = builtin->module;
    }
    if (status != KW_OK)
        goto out;
    status = host_new(options, made->settings, made->module, builtin, &made->host, error);
    if (status != KW_OK)
        goto out;
    *store = made;
    made = NULL;
out:
    store_release(made);
    return status;
}

static bool same_text(const char *left, const char *right)
{
    return strcmp(left, right) == 0;
}

/* Whether a store that is there is what this one would become. */
static bool store_is_same(const struct store *left, const struct store *right)
{
    const struct store_settings *const a = left->settings, *const b = right->settings;
    bool same = left->module == right->module && same_text(a->name, b->name) && same_text(a->id, b->id) &&
                a->option_count == b->option_count &&
                same_text(left->configuration->directory, right->configuration->directory) &&
                left->configuration->allow_inline_secrets == right->configuration->allow_inline_secrets;

    for (size_t i = 0; same && i < a->option_count; i++) {
        const struct option_setting *const other = options_setting(b, a->options[i].name);
        same = other != NULL && same_text(a->options[i].text, other->text);
    }
    return same;
}

/* The new one, or in its place the one before that is the same. */
static struct store *store_keep(struct stores *before, struct store *store)
{
    for (size_t i = 0; before != NULL && i < before->count; i++) {
        if (!store_is_same(before->rows[i], store))
            continue;
        atomic_fetch_add(&before->rows[i]->references, 1);
        store_release(store);
        return before->rows[i];
    }
    return store;
}

static kw_status stores_add(const struct stores_options *options, const struct store_settings *settings,
                            const struct builtin_store *builtin, struct stores *stores, kw_error *error)
{
    struct store *store = NULL;
    const kw_status status = store_new(options, settings, builtin, &store, error);

    if (status != KW_OK)
        return status;
    store = store_keep(options->before, store);
    if (store->family == NULL)
        family_add(stores->family, store);
    stores->rows[stores->count++] = store;
    return KW_OK;
}

kw_status stores_new(const struct stores_options *options, struct stores **stores, kw_error *error)
{
    kw_status status = KW_OK;
    struct stores *made = calloc(1, sizeof(*made));

    if (made == NULL)
        return error_memory(error);
    atomic_init(&made->references, 1);
    atomic_init(&made->successor, NULL);
    made->family = options->before != NULL ? family_reference(options->before->family) : family_new();
    made->rows = calloc(options->settings->store_count + options->builtin_count + 1, sizeof(struct store *));
    if (made->rows == NULL || made->family == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; status == KW_OK && i < options->settings->store_count; i++)
        status = stores_add(options, &options->settings->stores[i], NULL, made, error);
    made->listed = made->count;
    for (size_t i = 0; status == KW_OK && i < options->builtin_count; i++)
        status = stores_add(options, NULL, &options->builtins[i], made, error);
    if (status != KW_OK)
        goto out;
    *stores = made;
    made = NULL;
out:
    stores_free(made);
    return status;
}

struct stores *stores_reference(struct stores *stores)
{
    atomic_fetch_add(&stores->references, 1);
    return stores;
}

void stores_free(struct stores *stores)
{
    while (stores != NULL && atomic_fetch_sub(&stores->references, 1) == 1) {
        struct stores *const successor = atomic_load(&stores->successor);
        for (size_t i = 0; i < stores->count; i++)
            store_release(stores->rows[i]);
        family_release(stores->family);
        free(stores->rows);
        free(stores);
        stores = successor;
    }
}

void stores_replace(struct stores *stores, struct stores *successor)
{
    atomic_store(&stores->successor, stores_reference(successor));
}

struct stores *stores_newest(struct stores *stores)
{
    for (struct stores *next = stores; next != NULL; next = atomic_load(&next->successor))
        stores = next;
    return stores;
}

/* ---- Opening -------------------------------------------------------------------------------------------- */

/* Waits for the attempt under way in another thread, and shares its outcome. The lock is held. */
static kw_status store_await(struct store *store, kw_error *error)
{
    const uint64_t seen = store->attempts;

    while (store->attempts == seen)
        pthread_cond_wait(&store->settled, &store->lock);
    if (store->failure.status == KW_OK)
        return KW_OK;
    if (error != NULL)
        *error = store->failure;
    return store->failure.status;
}

/* Opens it, in this thread alone. The lock is not held meanwhile: a person may be asked, and the process may fork. */
static kw_status store_attempt(struct store *store, kw_error *error)
{
    kw_error failure = {0};
    kw_status status;

    atomic_store(&store->state, STORE_STATE_OPENING);
    pthread_mutex_unlock(&store->lock);
    status = store_open(store, &failure);
    pthread_mutex_lock(&store->lock);
    if (status == KW_OK)
        failure = (kw_error){0};
    else if (error != NULL)
        *error = failure;
    store->failure = failure;
    store->attempts++;
    atomic_store(&store->state, status == KW_OK ? STORE_STATE_OPEN : STORE_STATE_CLOSED);
    pthread_cond_broadcast(&store->settled);
    return status;
}

static kw_status store_ensure_open(struct store *store, kw_error *error)
{
    kw_status status = KW_OK;

    if (atomic_load(&store->state) == STORE_STATE_OPEN)
        return KW_OK;
    pthread_mutex_lock(&store->lock);
    switch (atomic_load(&store->state)) {
    case STORE_STATE_OPENING:
        status = store_await(store, error);
        break;
    case STORE_STATE_CLOSED:
        /* A secret that was refused stops here too: the host does not hand it out again before its source changes. */
        status = store_attempt(store, error);
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

static struct store *row_find(const struct stores *stores, const char *name)
{
    for (size_t i = 0; i < stores->count; i++)
        if (strcmp(store_name(stores->rows[i]), name) == 0)
            return stores->rows[i];
    return NULL;
}

/* "a, b" of what is configured. */
static kw_status no_such_store(const struct stores *stores, const char *what, const char *name, kw_error *error)
{
    kw_status status;
    struct buffer known = {0};

    for (size_t i = 0; i < stores->listed; i++)
        buffer_format(&known, "%s%s", i == 0 ? "" : ", ", store_name(stores->rows[i]));
    buffer_append_u8(&known, 0);
    if (known.failed) {
        status = error_memory(error);
        goto out;
    }
    status = error_set(error, KW_NOT_FOUND, "the configuration has no store %s '%s'", what, name);
    if (stores->listed > 0)
        error_remedy(error, "the stores are: %s", (const char *)known.data);
out:
    buffer_free(&known);
    return status;
}

const kw_capabilities *stores_capabilities(const struct stores *stores, const char *name)
{
    const struct store *const store = row_find(stores, name);

    return store != NULL && atomic_load(&store->state) == STORE_STATE_OPEN ? &store->capabilities : NULL;
}

bool stores_share(const struct stores *left, const struct stores *right, const char *name)
{
    const struct store *const store = row_find(left, name);

    return store != NULL && store == row_find(right, name);
}

kw_status stores_get(struct stores *stores, const char *name, struct store **store, kw_error *error)
{
    struct store *const found = row_find(stores, name);
    kw_status status;

    if (found == NULL)
        return no_such_store(stores, "named", name, error);
    status = store_ensure_open(found, error);
    if (status == KW_OK)
        *store = found;
    return status;
}

static struct store *row_find_id(const struct stores *stores, const char *id)
{
    for (size_t i = 0; i < stores->count; i++)
        if (strcmp(store_id(stores->rows[i]), id) == 0)
            return stores->rows[i];
    return NULL;
}

uint32_t stores_traits(const struct stores *stores, const char *id)
{
    const struct store *const found = row_find_id(stores, id);

    return found != NULL ? found->module->plugin.traits : 0;
}

kw_status stores_get_by_id(struct stores *stores, const char *id, struct store **store, kw_error *error)
{
    struct store *const found = row_find_id(stores, id);
    kw_status status;

    if (found == NULL)
        return no_such_store(stores, "with the id", id, error);
    status = store_ensure_open(found, error);
    if (status == KW_OK)
        *store = found;
    return status;
}

/* ---- Forks ------------------------------------------------------------------------------------------------ */

/* First every store's lock, then the plugins, then the hosts' leaf locks. */
void stores_fork_prepare(struct stores *stores)
{
    pthread_mutex_lock(&stores->family->lock);
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        pthread_mutex_lock(&store->lock);
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        if (atomic_load(&store->state) == STORE_STATE_OPEN)
            store_fork_prepare(store);
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        host_fork_prepare(store->host);
}

void stores_fork_parent(struct stores *stores)
{
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        host_fork_done(store->host);
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        if (atomic_load(&store->state) == STORE_STATE_OPEN)
            store_fork_parent(store);
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        pthread_mutex_unlock(&store->lock);
    pthread_mutex_unlock(&stores->family->lock);
}

void stores_fork_child(struct stores *stores)
{
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        host_fork_done(store->host);
    for (struct store *store = stores->family->first; store != NULL; store = store->next)
        if (atomic_load(&store->state) == STORE_STATE_OPEN) {
            store_take_counters(store);
            store_fork_child(store);
        }
    for (struct store *store = stores->family->first; store != NULL; store = store->next) {
        /* Whoever was opening it, or waiting for that, is not in this process. */
        if (atomic_load(&store->state) == STORE_STATE_OPENING)
            atomic_store(&store->state, STORE_STATE_CLOSED);
        store->settled = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        pthread_mutex_unlock(&store->lock);
    }
    pthread_mutex_unlock(&stores->family->lock);
}

/* ---- Facts ------------------------------------------------------------------------------------------------- */

size_t stores_counts(const struct stores *stores, const char *name, kw_operation_count counts[STORE_OPERATION_COUNT],
                     uint64_t *calls)
{
    const struct store *const store = row_find(stores, name);

    *calls = 0;
    return store == NULL ? 0 : store_counts(store, counts, calls);
}

kw_status stores_secret_option(const struct stores *stores, const char *name, const struct option_setting **setting,
                               kw_error *error)
{
    const struct store *const store = row_find(stores, name);
    const kw_option *option = NULL;
    const struct option_setting *found = NULL;

    if (store == NULL)
        return no_such_store(stores, "named", name, error);
    for (size_t i = 0; i < store->module->plugin.option_count && found == NULL; i++)
        if (store->module->plugin.options[i].type == KW_OPTION_SECRET) {
            option = &store->module->plugin.options[i];
            found = options_setting(store->settings, option->name);
        }
    if (option == NULL)
        return error_set(error, KW_UNSUPPORTED, "the store '%s' has no secret: its plugin '%s' takes none", name,
                         store_plugin(store));
    if (found == NULL)
        return error_set(error, KW_UNSUPPORTED, "the store '%s' has no secret: its option '%s' is not set", name,
                         option->name);
    *setting = found;
    return KW_OK;
}
