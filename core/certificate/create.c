/* Creating certificates, and requests for them. */
#include "certificate/calls.h"
#include "certificate/derivation.h"
#include "certificate/roots.h"

#include "base/buffer.h"
#include "base/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a creation works on, put together from the caller's wishes, the settings and the kind. */
struct creation {
    struct address address;
    const struct kind *kind;
    struct certificate_settings settings;
    const char *key;
    const char *asked_key; /* by command or settings; NULL */
    struct derivation derivation;
    struct entry_row present; /* of a master key: the entry that is there already */
    const char **databases;
    size_t database_count;
    const char *const *hosts;
    size_t host_count;
    char **own_hosts; /* of this machine, where none were asked for */
    size_t own_host_count;
    char common_name[COMMON_NAME_SIZE];
    struct x509_wanted x509;
};

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The databases that a certificate belongs to or serves: sorted, each once. A master key that was there before serves what it did. */
static kw_status collect_databases(kw_context *context, const kw_certificate_template *wanted,
                                   struct creation *creation, kw_error *error)
{
    const char *own = kind_database(creation->kind, &creation->address);
    const char *const *named = wanted->databases;
    size_t count = wanted->database_count, unique = 0;
    if (!creation->kind->serves_databases && wanted->database_count > 0)
        return error_set(error, KW_INVALID_ARGUMENT, "--database goes with master keys alone, not with %s",
                         creation->address.text);
    if (creation->kind->serves_databases && count == 0) {
        kw_status status = catalogue_entry_get(context->catalogue, creation->address.text, &creation->present, error);
        status = error_tolerate(status, KW_NOT_FOUND, error);
        if (status != KW_OK)
            return status;
        named = (const char *const *)creation->present.databases;
        count = creation->present.database_count;
    }
    creation->databases = calloc(count + 1, sizeof(*creation->databases));
    if (creation->databases == NULL)
        return error_memory(error);
    if (own != NULL)
        creation->databases[creation->database_count++] = own;
    for (size_t i = 0; i < count; i++) {
        kw_status status = address_check_name(named[i], error);
        if (status != KW_OK)
            return status;
        creation->databases[creation->database_count++] = named[i];
    }
    qsort(creation->databases, creation->database_count, sizeof(*creation->databases), compare_names);
    for (size_t i = 0; i < creation->database_count; i++)
        if (i == 0 || strcmp(creation->databases[i], creation->databases[unique - 1]) != 0)
            creation->databases[unique++] = creation->databases[i];
    creation->database_count = unique;
    return KW_OK;
}

static kw_status collect_hosts(const kw_certificate_template *wanted, struct creation *creation, kw_error *error)
{
    if (!creation->kind->has_san) {
        if (wanted->host_count > 0)
            return error_set(error, KW_INVALID_ARGUMENT, "--host is not for %s: its certificate names no hosts",
                             creation->address.text);
        return KW_OK;
    }
    if (wanted->host_count > 0) {
        creation->hosts = wanted->hosts;
        creation->host_count = wanted->host_count;
        return KW_OK;
    }
    if (creation->settings.host_count > 0) {
        creation->hosts = (const char *const *)creation->settings.hosts;
        creation->host_count = creation->settings.host_count;
        return KW_OK;
    }
    if (creation->kind->usage != USAGE_TLS_SERVER)
        return KW_OK;
    kw_status status = hosts_of_this_machine(creation->settings.local_addresses == 1, &creation->own_hosts,
                                             &creation->own_host_count, error);
    if (status == KW_OK) {
        creation->hosts = (const char *const *)creation->own_hosts;
        creation->host_count = creation->own_host_count;
    }
    return status;
}

static kw_status creation_prepare(kw_context *context, const kw_certificate_template *wanted, struct creation *creation,
                                  kw_error *error)
{
    kw_status status = address_parse(wanted->address, &creation->address, error);
    if (status == KW_OK)
        status = kind_of(&creation->address, &creation->kind, error);
    if (status != KW_OK)
        return status;
    if (creation->address.number != 0)
        return error_set(error, KW_INVALID_ARGUMENT, "a new certificate gets its number by itself: leave out @%u",
                         creation->address.number);
    if (wanted->subject != NULL && creation->kind->usage != USAGE_GENERAL)
        return error_set(error, KW_INVALID_ARGUMENT, "--subject goes with general certificates alone, not with %s",
                         creation->address.text);
    if (wanted->extended_key_usage_count > 0 && creation->kind->usage != USAGE_GENERAL)
        return error_set(error, KW_INVALID_ARGUMENT,
                         "an extended key usage is chosen for general certificates alone, not for %s",
                         creation->address.text);
    creation->settings = settings_certificate(context->settings, creation->address.text);
    creation->asked_key = wanted->key != NULL ? wanted->key : creation->settings.key;
    creation->key = creation->asked_key != NULL ? creation->asked_key : creation->kind->default_key;
    status = kind_check_key(creation->kind, creation->key, error);
    if (status == KW_OK)
        status = collect_databases(context, wanted, creation, error);
    if (status == KW_OK)
        status = collect_hosts(wanted, creation, error);
    if (status != KW_OK)
        return status;
    if (creation->settings.usage_count > 0 && creation->kind->usage != USAGE_GENERAL) {
        status = settings_error(context->settings, creation->settings.usages_place, error,
                                "'extended_key_usage' goes with general certificates alone, not with %s",
                                creation->address.text);
        error_remedy(error, "take it out: what %s certificates are for is fixed", creation->kind->name);
        return status;
    }
    manager_common_name(context, creation->kind, &creation->address, creation->common_name);
    creation->x509 = (struct x509_wanted){
        .kind = creation->kind,
        .subject.common_name = creation->common_name,
        .subject.unit = creation->kind->database_is_unit ? creation->databases[0] : NULL,
        .subject.subject = wanted->subject != NULL                  ? wanted->subject
                           : creation->kind->usage == USAGE_GENERAL ? creation->settings.subject
                                                                    : NULL,
        .hosts = creation->hosts,
        .host_count = creation->host_count,
        .usages = wanted->extended_key_usages,
        .usage_count = wanted->extended_key_usage_count,
    };
    if (wanted->extended_key_usage_count == 0) {
        creation->x509.usages = (const char *const *)creation->settings.usages;
        creation->x509.usage_count = creation->settings.usage_count;
    }
    return KW_OK;
}

static void creation_clear(struct creation *creation)
{
    free(creation->databases);
    entry_row_clear(&creation->present);
    hosts_free(creation->own_hosts, creation->own_host_count);
}

/* Whether the entry is in use already; for a master key, the new databases are added then. */
static kw_status extend_existing(kw_context *context, const struct creation *creation, bool *in_use, size_t *added,
                                 kw_error *error)
{
    struct entry_row entry = {0};
    kw_status status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    status = catalogue_entry_get(context->catalogue, creation->address.text, &entry, error);
    *in_use = status == KW_OK && entry.state == ENTRY_IN_USE;
    status = error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK && *in_use && creation->kind->serves_databases)
        status = entry_add_databases(&entry, creation->databases, creation->database_count, added, error);
    if (status == KW_OK && *added > 0)
        status = catalogue_entry_update(context->catalogue, &entry, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    entry_row_clear(&entry);
    return status;
}

/* What is beside an adopted key is another program's, and stays. */
static kw_status make_certificate(kw_context *context, const struct creation *creation, const struct making *making,
                                  struct key_arrival *arrival, kw_bytes *der, kw_error *error)
{
    kw_key *key = NULL;
    kw_status status = key_open(arrival->store, (kw_input){arrival->locator, arrival->locator_length}, &key, error);
    if (status == KW_OK && making->like.length > 0)
        status = key_limit(key, making->like, error);
    if (status == KW_OK)
        status = x509_make(context->crypto, key, &creation->x509, der, error);
    if (status == KW_OK && !making->beside) {
        status = store_certificate_put(arrival->store, (kw_input){arrival->locator, arrival->locator_length},
                                       (kw_input){der->data, der->length}, error);
        status = error_tolerate(status, KW_UNSUPPORTED, error);
    }
    kw_key_free(key);
    return status;
}

/* Within the transaction: that what was looked at before it is still so. */
static kw_status check_unchanged(kw_context *context, const struct making *making, const struct key_arrival *arrival,
                                 const char *address, kw_error *error)
{
    struct entry_row entry = {0};
    bool in_use = false;
    kw_status status = KW_OK;
    if (making->replaces != NULL) {
        status = catalogue_entry_get(context->catalogue, address, &entry, error);
        if (status == KW_OK && (entry.state != ENTRY_IN_USE || !id_equal(&entry.certificate, making->replaces)))
            status = error_set(error, KW_CONFLICT, "somebody else changed %s meanwhile", address);
        entry_row_clear(&entry);
    }
    if (status == KW_OK)
        status = derivation_check(context, arrival, error);
    if (status == KW_OK && making->adopted.length > 0)
        status = catalogue_key_in_use(context->catalogue, store_id(arrival->store), making->adopted, &in_use, error);
    if (status == KW_OK && making->adopted.length > 0)
        status = key_check_not_leaving(context, arrival->store, making->adopted, error);
    return in_use ? error_set(error, KW_EXISTS, "a certificate has this key already") : status;
}

/* Of a key that was there before. */
static kw_status check_kind(kw_context *context, const struct creation *creation, kw_input chain, kw_error *error)
{
    struct key_claim claim = {.address = &creation->address, .kind = creation->kind};
    kw_status status = x509_read(context->crypto, &chain, &claim.certificate, error);
    if (status == KW_OK)
        status = key_check_kind(context, &claim, 1, error);
    crypto_x509_free(claim.certificate);
    return status;
}

static kw_status place_new(kw_context *context, const struct creation *creation, const struct making *making,
                           kw_input chain, struct root_set *roots, struct key_arrival *arrival, kw_error *error)
{
    const struct placement placement = {
        .address = &creation->address,
        .kind = creation->kind,
        .databases = creation->databases,
        .database_count = creation->database_count,
        .key = creation->key,
        .chain = chain,
        .replaces = making->replaces != NULL,
        .roots = roots,
    };
    kw_status status = catalogue_begin(context->catalogue, error);
    if (status != KW_OK)
        return status;
    status = check_unchanged(context, making, arrival, creation->address.text, error);
    if (status == KW_OK && making->adopted.length > 0)
        status = check_kind(context, creation, chain, error);
    if (status == KW_OK)
        status = manager_place(context, &placement, arrival, error);
    if (status == KW_OK)
        status = catalogue_commit(context->catalogue, error);
    catalogue_rollback(context->catalogue);
    return status;
}

/* A derived one is in no store; an adopted one is there already. */
static kw_status bring_key(kw_context *context, const struct creation *creation, const struct making *making,
                           struct key_arrival *arrival, kw_error *error)
{
    struct store *store = NULL;
    const char *name = NULL;
    kw_status status;
    if (creation->derivation.key != NULL)
        return derivation_begin(context, &creation->derivation, arrival, error);
    status = manager_choose_store(context, creation->kind, &creation->address, making->wanted->store,
                                  creation->databases, creation->database_count, &name, error);
    const struct store_settings *chosen = status == KW_OK ? settings_store(context->settings, name) : NULL;
    if (chosen != NULL) /* before it is opened, which a circle would fail at */
        status = manager_check_circle(context, creation->address.text, chosen->id, error);
    if (status == KW_OK)
        status = stores_get(context->stores, name, &store, error);
    if (status != KW_OK)
        return status;
    if (making->adopted.length == 0)
        return key_arrival_begin(context, creation->address.text, store, creation->key, (kw_input){0}, arrival, error);
    *arrival = (struct key_arrival){.store = store, .locator_length = making->adopted.length};
    memcpy(arrival->locator, making->adopted.data, making->adopted.length);
    return KW_OK;
}

/* A master key's roots come along to its new key: one that cannot have them is no good. */
static kw_status bring_roots(kw_context *context, struct root_set *roots, const struct key_arrival *arrival,
                             kw_input chain, kw_error *error)
{
    const struct root_place place = roots_place(context);
    kw_key *key = NULL;
    kw_status status = KW_OK;
    if (roots == NULL || root_set_count(roots) == 0)
        return KW_OK;
    status = key_open(arrival->store, (kw_input){arrival->locator, arrival->locator_length}, &key, error);
    if (status == KW_OK)
        status = root_set_rewrap(&place, roots, key, chain, error);
    kw_key_free(key);
    return status;
}

/* Handles, TLS servers and other processes find the new key by the generation. */
static void tell_placed(kw_context *context, const struct root_set *roots, bool supersedes)
{
    const struct root_place place = roots_place(context);
    if (roots != NULL)
        root_set_note(&place, roots);
    if (roots != NULL || supersedes)
        manager_tell_changed(context);
}

static kw_status create_new(kw_context *context, const struct creation *creation, const struct making *making,
                            kw_error *error)
{
    struct key_arrival arrival = {0};
    struct root_set *roots = NULL;
    kw_bytes der = {0};
    kw_input chain = making->certificate;
    /* Before a key is made: what cannot be opened cannot be wrapped to it. */
    kw_status status = roots_take(context, creation->kind, creation->address.text, making->recovery_key,
                                  making->recovery_password, &roots, error);
    if (status == KW_OK)
        status = bring_key(context, creation, making, &arrival, error);
    if (status == KW_OK && chain.length == 0) {
        status = make_certificate(context, creation, making, &arrival, &der, error);
        chain = (kw_input){der.data, der.length};
    }
    if (status == KW_OK)
        status = bring_roots(context, roots, &arrival, chain, error);
    if (status == KW_OK)
        status = place_new(context, creation, making, chain, roots, &arrival, error);
    if (status == KW_OK) {
        const bool supersedes = arrival.supersedes;
        key_arrival_clear(&arrival);
        tell_placed(context, roots, supersedes);
    } else {
        key_arrival_abandon(context, &arrival);
    }
    root_set_free(roots);
    kw_bytes_free(&der);
    return status;
}

/* What can be refused is refused before a key is made: an HSM's time and space are dear. */
static kw_status check_before_key(kw_context *context, const struct creation *creation, kw_error *error)
{
    kw_status status = KW_OK;
    if (creation->kind->serves_databases && creation->database_count == 0) {
        status =
            error_set(error, KW_INVALID_ARGUMENT, "%s needs to know which database it serves", creation->address.text);
        error_remedy(error, "add --database DB, once for each");
        return status;
    }
    status = x509_check_wanted(&creation->x509, error);
    if (!creation->kind->in_database && !creation->kind->serves_databases)
        return status;
    for (size_t i = 0; status == KW_OK && i < creation->database_count; i++)
        status = manager_require_database(context, creation->address.text, creation->databases[i], error);
    return status;
}

/* An RSA key that is certified for PSS alone has a name of its own. */
static kw_status name_like(const struct making *making, struct creation *creation, kw_error *error)
{
    if (making->like.length == 0)
        return KW_OK;
    creation->key = creation->asked_key = key_kind_name_pss(creation->key, true);
    return creation->key != NULL ? kind_check_certified(creation->kind, creation->key, error)
                                 : error_set(error, KW_INVALID_ARGUMENT, "RSA keys alone can be for PSS alone");
}

/* Whatever can be said without making a key. */
static kw_status look_ahead(kw_context *context, const struct making *making, struct creation *creation,
                            kw_error *error)
{
    const kw_certificate_template *wanted = making->wanted;
    kw_status status = creation_prepare(context, wanted, creation, error);
    if (status == KW_OK)
        status = name_like(making, creation, error);
    if (status == KW_OK)
        status = derivation_refuse_store(wanted->store, error);
    if (status == KW_OK && wanted->store != NULL && settings_store(context->settings, wanted->store) == NULL) {
        status = error_set(error, KW_NOT_FOUND, "there is no store '%s'", wanted->store);
        error_where(error, "%s", context->settings->path);
        error_remedy(error, "name one of those under 'stores:'");
    }
    if (status == KW_OK)
        status = making->replaces != NULL ? x509_check_wanted(&creation->x509, error)
                                          : check_before_key(context, creation, error);
    if (status == KW_OK && making->adopted.length == 0)
        status = derivation_choose(context, wanted, creation->kind, &creation->address, creation->asked_key,
                                   creation->settings.store, &creation->derivation, error);
    if (status == KW_OK && creation->derivation.key != NULL)
        creation->key = creation->derivation.key;
    return status;
}

kw_status certificate_make(kw_context *context, const struct making *making, kw_error *error)
{
    struct creation creation = {0};
    kw_status status = look_ahead(context, making, &creation, error);
    if (status == KW_OK)
        status = create_new(context, &creation, making, error);
    creation_clear(&creation);
    return status;
}

kw_status manager_create(kw_context *context, const kw_certificate_template *given, kw_event_callback event, void *user,
                         kw_error *error)
{
    return manager_create_like(context, given, (kw_input){0}, event, user, error);
}

kw_status manager_create_like(kw_context *context, const kw_certificate_template *given, kw_input like,
                              kw_event_callback event, void *user, kw_error *error)
{
    kw_certificate_template template;
    const struct making making = {.wanted = &template, .like = like};
    struct creation creation = {0};
    bool in_use = false;
    size_t added = 0;
    kw_status status = options_take(&template, sizeof(template), given, error);
    if (status == KW_OK)
        status = look_ahead(context, &making, &creation, error);
    if (status == KW_OK)
        status = extend_existing(context, &creation, &in_use, &added, error);
    if (status != KW_OK)
        goto out;
    if (in_use && added == 0) {
        status = error_set(error, KW_EXISTS, "%s exists already", creation.address.text);
        error_remedy(error, "`keywright show %s` shows it", creation.address.text);
        goto out;
    }
    if (in_use) {
        event_tell(event, user, false, creation.address.text, "serves %zu more database%s", added,
                   added == 1 ? "" : "s");
        goto out;
    }
    status = create_new(context, &creation, &making, error);
    if (status == KW_OK)
        event_tell(event, user, false, creation.address.text,
                   creation.derivation.key != NULL ? "created, with a key derived from %s" : "created",
                   creation.derivation.address);
out:
    creation_clear(&creation);
    return status;
}

kw_status manager_request(kw_context *context, const char *address, kw_bytes *request, kw_error *error)
{
    struct found found = {0};
    kw_key *key = NULL;
    X509 *certificate = NULL;
    kw_status status = manager_find(context, address, &found, error);
    if (status != KW_OK)
        return status;
    kw_input chain = {found.certificate.chain.data, found.certificate.chain.length};
    status = x509_read(context->crypto, &chain, &certificate, error);
    if (status == KW_OK)
        status = manager_open_key(context, &found, &key, error);
    if (status == KW_OK)
        status = x509_request(context->crypto, key, certificate, request, error);
    crypto_x509_free(certificate);
    kw_key_free(key);
    found_clear(&found);
    return status;
}
