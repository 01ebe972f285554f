/* `plugins`: what is installed. */
#include "context.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/options.h"

#include <stdlib.h>

struct plugin_listing {
    kw_plugin_list list;
    struct arena arena;
};

static void describe(const char *name, const char *path, struct arena *arena, kw_plugin_info *info)
{
    const struct module *module = NULL;
    kw_error error = {0};
    *info = (kw_plugin_info){.name = arena_text(arena, name), .path = arena_text(arena, path)};
    if (loader_open(path, NULL, 0, &module, &error) != KW_OK) {
        info->problem = arena_text(arena, error.message);
        return;
    }
    info->version = module->plugin.version;
    info->summary = module->plugin.summary;
    info->abi_major = module->plugin.abi_major;
    info->abi_minor = module->plugin.abi_minor;
    info->options = module->plugin.options;
    info->option_count = module->plugin.option_count;
}

static kw_status list_plugins(const char *const *directories, size_t count, kw_plugin_list **list, kw_error *error)
{
    char **names = NULL;
    char **paths = NULL;
    size_t found = 0;
    kw_plugin_info *plugins = NULL;
    struct plugin_listing *listing = calloc(1, sizeof(*listing));
    kw_status status =
        listing != NULL ? loader_list(directories, count, &names, &paths, &found, error) : error_memory(error);
    if (status != KW_OK)
        goto out;
    plugins = arena_allocate(&listing->arena, (found + 1) * sizeof(*plugins));
    for (size_t i = 0; plugins != NULL && i < found; i++)
        describe(names[i], paths[i], &listing->arena, &plugins[i]);
    if (listing->arena.failed) {
        status = error_memory(error);
        goto out;
    }
    listing->list = (kw_plugin_list){.plugins = plugins, .count = found};
    *list = &listing->list;
    listing = NULL;
out:
    for (size_t i = 0; i < found; i++) {
        free(names[i]);
        free(paths[i]);
    }
    free(names);
    free(paths);
    if (listing != NULL)
        kw_plugin_list_free(&listing->list);
    return status;
}

kw_status kw_plugins(const kw_open_options *given, kw_plugin_list **list, kw_error *error)
{
    struct settings *settings = NULL;
    char *path = NULL, *fallback = NULL;
    kw_open_options options;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status != KW_OK)
        return status;
    path = configuration_path(&options);
    fallback = loader_default_directory();
    if (path == NULL || fallback == NULL)
        status = error_memory(error);
    if (status == KW_OK && (configuration_is_named(&options) || file_exists(path)))
        status = configuration_read(&options, NULL, NULL, &settings, error);
    if (status == KW_OK) {
        const char *const *directories = (const char *const *)&fallback;
        size_t count = 1;
        if (settings != NULL && settings->plugin_directory_count > 0) {
            directories = (const char *const *)settings->plugin_directories;
            count = settings->plugin_directory_count;
        }
        status = list_plugins(directories, count, list, error);
    }
    settings_free(settings);
    free(path);
    free(fallback);
    return status;
}

void kw_plugin_list_free(kw_plugin_list *list)
{
    struct plugin_listing *listing = (struct plugin_listing *)list;
    if (listing == NULL)
        return;
    arena_free(&listing->arena);
    free(listing);
}
