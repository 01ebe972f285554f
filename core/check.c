/* `config check`: the configuration without changing anything. */
#include "context.h"

#include "base/options.h"
#include "certificate/trust.h"
#include "subkey/root.h"
#include "tls/profile.h"

struct warnings {
    kw_event_callback event;
    void *user;
};

static void tell_warning(void *user, const char *sentence)
{
    const struct warnings *warnings = user;
    event_tell(warnings->event, warnings->user, true, NULL, "%s", sentence);
}

/* A store under a new id opens well, and is empty: the keys that are missed are the sign that its id is wrong. */
static kw_status tell_misplaced(kw_context *context, const struct warnings *warnings, kw_error *error)
{
    kw_state *state = NULL;
    kw_status status = kw_state_get(context, &state, error);
    if (status != KW_OK)
        return status;
    for (size_t i = 0; i < state->misplaced_count; i++)
        event_tell(warnings->event, warnings->user, true, NULL, "%s", state->misplaced[i]);
    kw_state_free(state);
    return KW_OK;
}

/* A token that was set back, or another one of the same label, opens well too: each key must be there. */
static kw_status check_keys(kw_context *context, const struct warnings *warnings, kw_error *error)
{
    const kw_certificate_filter filter = {.size = sizeof(filter), .all = true};
    kw_certificate_list *list = NULL;
    size_t missing = 0;
    kw_status status = kw_certificates(context, &filter, &list, error);
    for (size_t i = 0; status == KW_OK && i < list->count; i++) {
        const kw_certificate_info *info = &list->certificates[i];
        kw_error why = {0};
        kw_key *key = NULL;
        if (kw_key_open(context, info->address, &key, &why) != KW_OK) {
            missing++;
            if (info->plugin[0] != '\0') /* else its store is not configured, which was said */
                event_tell(warnings->event, warnings->user, true, NULL, "the key of %s cannot be used: %s",
                           info->address, why.message);
        }
        kw_key_free(key);
    }
    kw_certificate_list_free(list);
    if (status == KW_OK && missing > 0) {
        status =
            error_set(error, KW_NOT_FOUND, "every store opens, but %zu key%s that certificates have cannot be used",
                      missing, missing == 1 ? "" : "s");
        error_remedy(error, "look whether each store is the one that it was, by its id, serial and label; a key that "
                            "is gone comes back "
                            "with a backup of its store, or `keywright import` of an export");
    }
    return status;
}

/* The CAs' files and the recovery certificate: who finds a mistake when one is needed finds it too late. */
static kw_status check_files(const struct settings *settings, kw_error *error)
{
    struct crypto *crypto = NULL;
    struct trust trust = {0};
    kw_status status = crypto_open(&crypto, error);
    if (status == KW_OK)
        status = trust_read(crypto, settings, &trust, error);
    if (status == KW_OK)
        status = root_check_recovery(crypto, settings, error);
    if (status == KW_OK)
        status = profile_check_files(crypto, settings, error);
    trust_clear(&trust);
    crypto_close(crypto);
    return status;
}

kw_status kw_configuration_check(const kw_open_options *given, bool connect, kw_event_callback event, void *user,
                                 kw_error *error)
{
    struct warnings warnings = {event, user};
    struct settings *settings = NULL;
    kw_context *context = NULL;
    kw_open_options options;
    kw_status status = options_take(&options, sizeof(options), given, error);
    if (status == KW_OK)
        status = configuration_read(&options, tell_warning, &warnings, &settings, error);
    if (status == KW_OK)
        status = stores_check(settings, error);
    if (status == KW_OK)
        status = check_files(settings, error);
    settings_free(settings);
    if (status != KW_OK || !connect)
        return status;
    options.open_stores = true;
    options.as_is = true;
    status = context_open(&options, false, &context, error); /* adds nothing */
    if (status == KW_OK)
        status = tell_misplaced(context, &warnings, error);
    if (status == KW_OK)
        status = check_keys(context, &warnings, error);
    kw_close(context);
    return status;
}

kw_status kw_configuration_schema(kw_bytes *json, kw_error *error)
{
    return settings_schema(json, error);
}
