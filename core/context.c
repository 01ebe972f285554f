/* Opening and closing: the floors put together. */
#include "context.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/options.h"
#include "certificate/name.h"
#include "config/source.h"
#include "openssl/pkey.h"
#include "tls/profile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_CONFIGURATION "/etc/keywright/keywright.yaml"
#define CATALOGUE_KEY_MINIMUM 16

bool configuration_is_named(const kw_open_options *options)
{
    const char *environment = secure_getenv("KEYWRIGHT_CONFIG");
    return (options != NULL && options->configuration != NULL) || (environment != NULL && *environment != '\0');
}

char *configuration_path(const kw_open_options *options)
{
    const char *environment = secure_getenv("KEYWRIGHT_CONFIG");
    if (options != NULL && options->configuration != NULL)
        return path_absolute(options->configuration);
    if (environment != NULL && *environment != '\0')
        return path_absolute(environment);
    return text_copy(DEFAULT_CONFIGURATION);
}

/* ---- Settings that the config floor cannot judge ------------------------------------------------- */

/* `certificates:` has kinds and addresses as keys; what may be set depends on the kind. */
static kw_status check_subject(const struct certificate_settings *wanted, const struct kind *kind, kw_error *why)
{
    X509_NAME *name = NULL;
    if (kind->usage != USAGE_GENERAL)
        return error_set(why, KW_REFUSED, "subject can be set for general certificates alone");
    kw_status status = name_parse(wanted->subject, &name, why);
    X509_NAME_free(name);
    return status;
}

/* Of one kind, or of one entry. */
static kw_status kind_of_settings(const struct certificate_settings *wanted, const struct kind **kind, kw_error *why)
{
    struct address address = {0};
    for (size_t i = 0; i < kind_count; i++) {
        if (strcmp(kinds[i].name, wanted->address) == 0) {
            *kind = &kinds[i];
            return KW_OK;
        }
    }
    kw_status status = address_parse(wanted->address, &address, why);
    if (status == KW_OK)
        status = kind_of(&address, kind, why);
    if (status == KW_OK && address.number != 0)
        status = error_set(why, KW_INVALID_ARGUMENT, "settings are of an entry, not of one of its certificates");
    return status;
}

static kw_status check_certificate_settings(const struct settings *settings, const struct certificate_settings *wanted,
                                            kw_error *error)
{
    const struct kind *kind = NULL;
    struct place place = wanted->place;
    kw_error why = {0};
    kw_status status = kind_of_settings(wanted, &kind, &why);
    if (status == KW_OK && wanted->key != NULL) {
        status = kind_check_key(kind, wanted->key, &why);
        place = wanted->key_place;
    }
    if (status == KW_OK && wanted->common_name != NULL && !kind->common_name_configurable) {
        status = error_set(&why, KW_REFUSED, "common_name cannot be set for %s", kind->name);
        place = wanted->common_name_place;
    }
    if (status == KW_OK && wanted->subject != NULL) {
        status = check_subject(wanted, kind, &why);
        place = wanted->subject_place;
    }
    if (status == KW_OK && wanted->host_count > 0 && !kind->has_san) {
        status = error_set(&why, KW_REFUSED, "%s certificates name no hosts", kind->name);
        place = wanted->hosts_place;
    }
    if (status == KW_OK && wanted->local_addresses >= 0 && !kind->has_san) {
        status = error_set(&why, KW_REFUSED, "%s certificates name no hosts", kind->name);
        place = wanted->place;
    }
    if (status == KW_OK)
        return KW_OK;
    status = settings_error(settings, place, error, "certificates: %s: %s", wanted->address, why.message);
    if (why.remedy[0] != '\0')
        error_remedy(error, "%s", why.remedy);
    return status;
}

static kw_status check_settings(const struct settings *settings, kw_error *error)
{
    kw_status status = KW_OK;
    for (size_t i = 0; status == KW_OK && i < settings->certificate_count; i++)
        status = check_certificate_settings(settings, &settings->certificates[i], error);
    for (size_t i = 0; status == KW_OK && i < settings->database_count; i++) {
        const struct database_settings *database = &settings->databases[i];
        kw_error why = {0};
        if (strcmp(database->name, "*") != 0 && address_check_name(database->name, &why) != KW_OK)
            status = settings_error(settings, database->place, error, "databases: %s", why.message);
    }
    if (status == KW_OK)
        status = profile_check_addresses(settings, error);
    return status;
}

kw_status configuration_read(const kw_open_options *options, settings_warning warning, void *user,
                             struct settings **settings, kw_error *error)
{
    struct settings *read = NULL;
    char *path = configuration_path(options);
    kw_status status = path != NULL ? settings_read(path, warning, user, &read, error) : error_memory(error);
    if (status == KW_NOT_FOUND) {
        status = error_set(error, KW_CONFIGURATION, "there is no configuration file");
        error_where(error, "%s", path);
        error_remedy(error, "name one with -c FILE or $KEYWRIGHT_CONFIG, or make one with `keywright init DIR`");
    }
    if (status == KW_OK)
        status = check_settings(read, error);
    if (status == KW_OK) {
        *settings = read;
        read = NULL;
    }
    settings_free(read);
    free(path);
    return status;
}

/* ---- Opening --------------------------------------------------------------------------------------- */

static void log_warning(void *user, const char *sentence)
{
    const struct log *log = user;
    log_write(log, KW_LOG_WARNING, "%s", sentence);
}

static kw_status open_catalogue(kw_context *context, bool create, kw_error *error)
{
    const struct settings *settings = context->settings;
    /* A file that others may read was warned about with the settings. */
    const struct source_reader reader = {
        .prompt = context->prompt,
        .user = context->prompt_user,
        .allow_inline = settings->allow_inline_secrets,
    };
    struct secret key = {0};
    kw_status status = source_read(settings->catalogue_key, &reader, "the catalogue key", false, &key, error);
    if (status == KW_OK && key.length < CATALOGUE_KEY_MINIMUM) {
        status = error_set(error, KW_CONFIGURATION, "the catalogue key is too short: %zu bytes, and it must have %d",
                           key.length, CATALOGUE_KEY_MINIMUM);
        error_where(error, "%s", settings->path);
    } else if (status != KW_OK)
        error_where(error, "%s", settings->path);
    if (status == KW_OK)
        status = catalogue_open(context->crypto, settings->state, secret_view(&key), create, &context->log,
                                &context->catalogue, error);
    secret_clear(&key);
    return status;
}

static kw_status open_keyring(kw_context *context, kw_error *error)
{
    const struct keyring_options options = {
        .crypto = context->crypto,
        .catalogue = context->catalogue,
        .control = context->control,
        .log = &context->log,
        .renew = context->renew,
        .user = context,
    };
    const kw_status status = keyring_new(&options, &context->keyring, error);
    if (status == KW_OK)
        keyring_use(context->keyring, context->settings, context->stores);
    return status;
}

static kw_status make_state_directory(const struct settings *settings, kw_error *error)
{
    char *run = path_join(settings->state, "run");
    kw_status status = run != NULL ? file_make_directory(settings->state, 0700, error) : error_memory(error);
    if (status == KW_OK)
        status = file_make_directory(run, 0700, error);
    free(run);
    return status;
}

static kw_status root_version(void *user, const struct id *master, uint32_t *version, kw_error *error)
{
    const kw_context *const context = user;
    return keyring_active(context->keyring, master, version, error);
}

static kw_status root_may_open(void *user, const struct id *master, uint32_t version, kw_error *error)
{
    const kw_context *const context = user;
    return keyring_check(context->keyring, master, version, error);
}

static kw_status root_subkey(void *user, const struct subkey_name *name, unsigned char *out, size_t length,
                             kw_error *error)
{
    const kw_context *const context = user;
    return keyring_subkey(context->keyring, name, out, length, error);
}

static kw_status root_serves(void *user, const struct id *master, kw_error *error)
{
    const kw_context *const context = user;
    return keyring_serves(context->keyring, master, error);
}

kw_status context_make_stores(kw_context *context, struct settings *settings, struct stores *before,
                              struct stores **stores, kw_error *error)
{
    static char name[] = DERIVED_STORE;
    const struct builtin_store own = {.name = name, .module = &derived_module, .service = &context->derivation};
    const struct stores_options wanted = {
        .control = context->control,
        .before = before,
        .crypto = context->crypto,
        .settings = settings,
        .catalogue = context->catalogue,
        .log = &context->log,
        .prompt = context->prompt,
        .user = context->prompt_user,
        .builtins = &own,
        .builtin_count = 1,
        .secrets = &context->subkeys,
    };
    return stores_new(&wanted, stores, error);
}

static kw_status open_all_stores(kw_context *context, kw_error *error)
{
    struct kw_context view;
    kw_status status = KW_OK;
    context_take(context, &view);
    for (size_t i = 0; status == KW_OK && i < view.settings->store_count; i++) {
        struct store *store = NULL;
        status = stores_get(view.stores, view.settings->stores[i].name, &store, error);
    }
    context_give(&view);
    return status;
}

/* Whether it is as it was. */
static bool same_file(const struct stat *before, const char *path)
{
    struct stat now;
    return stat(path, &now) == 0 && now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
           now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* For a program, or for the module. */
static kw_status open_for(const kw_open_options *options, bool create, bool program, kw_context **context,
                          kw_error *error)
{
    kw_context *made = calloc(1, sizeof(*made));
    struct journal_owner *owner = calloc(1, sizeof(*owner));
    if (made == NULL || owner == NULL) {
        free(made);
        free(owner);
        return error_memory(error);
    }
    made->owner = owner;
    made->renew = context_renew;
    pthread_mutex_init(&made->owner->mutex, NULL);
    pthread_mutex_init(&made->present, NULL);
    kw_status status = callbacks_start(made, options, program, error);
    struct stat file = {0};
    uint64_t told = 0;
    char *path = configuration_path(options);
    if (path != NULL)
        (void)stat(path, &file);
    free(path);
    if (status == KW_OK)
        status = configuration_read(options, log_warning, &made->log, &made->settings, error);
    if (status == KW_OK) {
        made->file = text_copy(made->settings->path);
        status = made->file != NULL ? KW_OK : error_memory(error);
    }
    if (status == KW_OK)
        status = crypto_open(&made->crypto, error);
    if (status == KW_OK)
        status = pkey_provider_attach(made->crypto, error);
    if (status == KW_OK && create)
        status = make_state_directory(made->settings, error);
    if (status == KW_OK)
        status = open_catalogue(made, create, error);
    if (status == KW_OK)
        status = control_open(made->settings->state, &made->log, &made->control, error);
    if (status == KW_OK)
        told = control_configuration(made->control);
    if (status == KW_OK)
        status = context_tell_stores(made, error);
    if (status == KW_OK) {
        made->derivation = (struct derived_service){
            .crypto = made->crypto,
            .active = root_version,
            .check = root_may_open,
            .subkey = root_subkey,
            .serves = root_serves,
            .user = made,
        };
        made->derived = &made->derivation;
        made->keeper =
            (struct secret_keeper){.catalogue = made->catalogue, .roots = &made->derivation, .log = &made->log};
        made->secrets = &made->keeper;
        made->subkeys = (struct secret_service){
            .get = secret_get, .serves = secret_serves, .settled = secret_settled, .user = &made->keeper};
        status = context_make_stores(made, made->settings, NULL, &made->stores, error);
    }
    if (status == KW_OK)
        status = open_keyring(made, error);
    if (status != KW_OK) {
        kw_close(made);
        return status;
    }
    if (same_file(&file, made->settings->path)) {
        atomic_store(&made->configuration, told);
        control_answer(made->control, told, true);
    } else {
        atomic_store(&made->configuration, told - 1); /* read anew at the next call */
    }
    contexts_add(made);
    if (options == NULL || !options->as_is)
        context_note_configuration(made);
    status = options != NULL && options->looks ? KW_OK : journal_recover(made, error);
    if (status == KW_OK && options != NULL && options->open_stores)
        status = open_all_stores(made, error);
    if (status == KW_OK)
        *context = made;
    else
        kw_close(made);
    return status;
}

kw_status context_open(const kw_open_options *options, bool create, kw_context **context, kw_error *error)
{
    return open_for(options, create, true, context, error);
}

kw_status context_open_for_module(const kw_open_options *options, kw_context **context, kw_error *error)
{
    return open_for(options, false, false, context, error);
}

kw_status kw_open(const kw_open_options *given, kw_context **context, kw_error *error)
{
    kw_open_options options;
    kw_context *made = NULL;
    struct opening opening;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK)
        status = opening_begin(&opening, &options, true, error);
    if (status != KW_OK)
        return status;
    status = contexts_claim(&options, &made, error);
    const bool claimed = made != NULL;
    if (status == KW_OK && !claimed)
        status = context_open(&options, false, &made, error);
    opening_end(&opening);
    if (status == KW_OK && claimed && options.open_stores)
        status = open_all_stores(made, error);
    if (status == KW_OK && !options.as_is)
        context_add_missing(made);
    if (status == KW_OK)
        *context = made;
    else
        kw_close(made);
    return status;
}

void context_leave(kw_context *context, bool program)
{
    if (context == NULL || !contexts_leave(context, program))
        return;
    keyring_free(context->keyring);
    stores_free(context->stores);
    control_close(context->control);
    catalogue_close(context->catalogue);
    run_lock_release(context->owner->lock, context->owner->process == getpid());
    crypto_close(context->crypto);
    settings_free(context->settings);
    callbacks_free(context);
    free(context->file);
    pthread_mutex_destroy(&context->present);
    pthread_mutex_destroy(&context->owner->mutex);
    free(context->owner);
    free(context);
}

void kw_close(kw_context *context)
{
    context_leave(context, true);
}
