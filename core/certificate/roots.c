#include "certificate/roots.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "certificate/password.h"
#include "certificate/pkcs12.h"
#include "subkey/high_water.h"
#include "subkey/root_retire.h"
#include "subkey/root_wrap.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_MAXIMUM (1u << 20)

struct root_place roots_place(kw_context *context)
{
    return (struct root_place){.crypto = context->crypto,
                               .catalogue = context->catalogue,
                               .control = context->control,
                               .stores = context->stores,
                               .settings = context->settings,
                               .log = &context->log};
}

bool kind_has_roots(const struct kind *kind)
{
    return strcmp(kind->name, "master-key") == 0;
}

/* ---- Rotation -------------------------------------------------------------------------------------------- */

/* Those that are not wrapped to the recovery certificate, by the present key. */
static kw_status bring_recovery(kw_context *context, const struct found *found, kw_error *error)
{
    const struct root_place place = roots_place(context);
    const struct certificate_row *row = &found->certificate;
    struct root_set *set = NULL;
    kw_key *key = NULL;
    kw_status status = KW_OK;
    if (!roots_lack_recovery(context, found->kind, &found->entry))
        return KW_OK;
    status = root_set_load(&place, &found->entry.id, &set, error);
    if (status == KW_OK)
        status = manager_open_key_plain(context, found, &key, error);
    if (status == KW_OK)
        status = root_set_rewrap(&place, set, key, (kw_input){row->chain.data, row->chain.length}, error);
    if (status == KW_OK)
        status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        goto out;
    status = root_set_write(&place, set, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    if (status == KW_OK)
        root_set_note(&place, set);
out:
    kw_key_free(key);
    root_set_free(set);
    return status;
}

kw_status roots_rotate(kw_context *context, const struct found *found, kw_event_callback event, void *user,
                       kw_error *error)
{
    const struct root_place place = roots_place(context);
    uint32_t before = 0, version = 0;
    kw_status status = root_active(&place, &found->entry.id, &before, error);
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK)
        status = root_make(&place, &found->entry.id, before, &version, error);
    if (status == KW_OK)
        status = bring_recovery(context, found, error);
    if (status != KW_OK)
        return status;
    if (before == 0)
        event_tell(event, user, false, found->address.text, "has its first root secret");
    else
        event_tell(event, user, false, found->address.text,
                   "has root %u for new data; those before open what is sealed under them, until it is sealed anew",
                   (unsigned)version);
    return KW_OK;
}

kw_status roots_retire(kw_context *context, const struct found *found, unsigned version, bool force,
                       kw_event_callback event, void *user, kw_error *error)
{
    const struct root_place place = roots_place(context);
    const kw_status status = root_retire(&place, &found->entry.id, version, force, error);
    if (status == KW_OK)
        event_tell(event, user, false, found->address.text, "root %u is retired", version);
    return status;
}

/* ---- Another key ------------------------------------------------------------------------------------------- */

struct recovery_password {
    kw_context *context;
    const char *source;
};

static kw_status ask_password(void *user, struct secret *password, kw_error *error)
{
    const struct recovery_password *asked = user;
    return password_read(asked->context, asked->source != NULL ? asked->source : "prompt",
                         "password of the recovery key", false, password, error);
}

static kw_status read_recovery_key(kw_context *context, const char *path, const char *password_source, EVP_PKEY **key,
                                   kw_error *error)
{
    struct recovery_password asked = {context, password_source};
    struct secret content = {0};
    struct pfx_item item = {0};
    const unsigned char *at = NULL;
    PKCS8_PRIV_KEY_INFO *info = NULL;
    kw_status status = file_read_secret(path, KEY_FILE_MAXIMUM, &content, error);
    if (status == KW_OK)
        status = pem_read(context->crypto, secret_view(&content), ask_password, &asked, &item, error);
    if (status == KW_OK && item.pkcs8.length == 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "there is no private key in it");
    if (status == KW_OK) {
        at = item.pkcs8.data;
        info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)item.pkcs8.length);
        *key = info != NULL ? EVP_PKCS82PKEY_ex(info, context->crypto->library, "provider=default") : NULL;
        if (*key == NULL)
            status = crypto_error(error, KW_CORRUPT, "the private key cannot be read");
    }
    if (status != KW_OK)
        error_where(error, "%s", path);
    PKCS8_PRIV_KEY_INFO_free(info);
    pfx_item_clear(&item);
    secret_clear(&content);
    return status;
}

/* Of the recovery certificate people think too late: whoever has lost a store is told. */
static void tell_recovery(const struct root_place *place, const struct entry_row *entry, kw_status status,
                          kw_error *error)
{
    char before[sizeof(((kw_error *)0)->remedy)] = "";
    bool all = false;
    if (error == NULL || status == KW_CORRUPT || root_all_recoverable(place, &entry->id, &all, NULL) != KW_OK || !all)
        return;
    snprintf(before, sizeof(before), "%s", error->remedy);
    error_remedy(
        error,
        "%s%swhen its store is lost, `keywright rotate %s --new-key --store STORE --recovery-key FILE` does it "
        "by the recovery certificate's private key",
        before, before[0] != '\0' ? "; " : "", entry->address);
}

kw_status roots_take(kw_context *context, const struct kind *kind, const char *address, const char *recovery_key,
                     const char *password_source, struct root_set **set, kw_error *error)
{
    const struct root_place place = roots_place(context);
    struct entry_row entry = {0};
    EVP_PKEY *recovery = NULL;
    kw_status status = KW_OK;
    *set = NULL;
    if (!kind_has_roots(kind))
        return KW_OK;
    status = catalogue_entry_get(context->catalogue, address, &entry, error);
    if (status == KW_NOT_FOUND)
        return error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK && recovery_key != NULL)
        status = read_recovery_key(context, recovery_key, password_source, &recovery, error);
    if (status == KW_OK)
        status = recovery != NULL ? root_set_recover(&place, &entry.id, recovery, set, error)
                                  : root_set_load(&place, &entry.id, set, error);
    if (status != KW_OK && recovery_key == NULL)
        tell_recovery(&place, &entry, status, error);
    crypto_pkey_free(recovery);
    entry_row_clear(&entry);
    return status;
}

kw_status roots_check_store(kw_context *context, const struct found *found, const struct store *store, kw_key_type type,
                            kw_error *error)
{
    const struct root_place place = roots_place(context);
    const kw_capabilities *capabilities = store_capabilities(store);
    const kw_key_capabilities key = {.size = sizeof(key),
                                     .type = type,
                                     .operations = capabilities->operations,
                                     .schemes = capabilities->schemes,
                                     .sign_hashes = capabilities->sign_hashes,
                                     .oaep_hashes = capabilities->oaep_hashes};
    bool any = false;
    kw_status status = root_any_unretired(&place, &found->entry.id, &any, error);
    if (status == KW_OK && any && (wrap_choose(&key) == NULL || root_scheme_choose(&key) == NULL))
        status = error_set(error, KW_UNSUPPORTED, "the root secrets of %s could not be opened in store '%s'",
                           found->address.text, store_name(store));
    return status;
}

/* ---- Going --------------------------------------------------------------------------------------------------- */

kw_status roots_check_unneeded(kw_context *context, const struct found *found, kw_error *error)
{
    const struct root_place place = roots_place(context);
    const struct certificate_row *row = &found->certificate;
    if (!kind_has_roots(found->kind))
        return KW_OK;
    return root_check_unneeded(&place, &found->entry.id, (kw_input){row->chain.data, row->chain.length}, error);
}

kw_status roots_check_retired(kw_context *context, const struct entry_row *entry, kw_error *error)
{
    const struct root_place place = roots_place(context);
    bool any = false;
    kw_status status = root_any_unretired(&place, &entry->id, &any, error);
    if (status == KW_OK && any) {
        status = error_set(error, KW_REFUSED, "%s has root secrets that are not retired", entry->address);
        error_remedy(error,
                     "`keywright rotate %s --retire VERSION --force` retires one of a master key that is out of use",
                     entry->address);
    }
    return status;
}

static bool may_have_roots(const struct entry_row *entry)
{
    return entry->address != NULL && strncmp(entry->address, "master-key/", 11) == 0;
}

kw_status roots_drop(kw_context *context, const struct entry_row *entry, kw_error *error)
{
    if (!may_have_roots(entry))
        return KW_OK;
    const kw_status status = roots_check_retired(context, entry, error);
    return status == KW_OK ? catalogue_roots_drop(context->catalogue, &entry->id, error) : status;
}

void roots_forget(kw_context *context, const struct entry_row *entry)
{
    const struct root_place place = roots_place(context);
    struct entry_row there = {0};
    kw_error why = {0};
    if (!may_have_roots(entry))
        return;
    const bool is_gone = catalogue_entry_get_by_id(context->catalogue, &entry->id, &there, NULL) == KW_NOT_FOUND;
    entry_row_clear(&there);
    /* A mark that stays is in the way of nothing but the same master key, should a file bring it back: which forgets it then. */
    if (is_gone && high_water_forget(&place, &entry->id, &why) != KW_OK)
        log_write(&context->log, KW_LOG_WARNING, "what was seen of root secrets cannot be noted: %s", why.message);
}

bool roots_lack_recovery(kw_context *context, const struct kind *kind, const struct entry_row *entry)
{
    const struct root_place place = roots_place(context);
    bool lack = false;
    return kind_has_roots(kind) && context->settings->subkeys.recovery_certificate != NULL &&
           root_lacks_recovery(&place, &entry->id, &lack, NULL) == KW_OK && lack;
}

void roots_describe(kw_context *context, const struct entry_row *entry, struct arena *arena, kw_certificate_info *info)
{
    static const char *const states[] = {
        [ROOT_ACTIVE] = "active", [ROOT_DECRYPT_ONLY] = "decrypt-only", [ROOT_RETIRED] = "retired"};
    const struct root_place place = roots_place(context);
    struct root_fact *facts = NULL;
    size_t count = 0;
    kw_root_info *roots = NULL;
    kw_error why = {0};
    if (root_facts(&place, &entry->id, &facts, &count, &why) != KW_OK) {
        log_write(&context->log, KW_LOG_ERROR, "%s: %s", entry->address, why.message);
        return;
    }
    roots = arena_allocate(arena, (count + 1) * sizeof(*roots));
    for (size_t i = 0; roots != NULL && i < count; i++) {
        char created[32];
        clock_text(facts[i].created, created);
        roots[i] = (kw_root_info){.version = facts[i].version,
                                  .state = states[facts[i].state],
                                  .resealed = facts[i].resealed,
                                  .recoverable = facts[i].recoverable,
                                  .created = facts[i].created,
                                  .created_text = arena_text(arena, created)};
        if (roots[i].created_text == NULL)
            roots = NULL;
    }
    info->roots = roots;
    info->root_count = roots != NULL ? count : 0;
    free(facts);
}
