/* Import: keys and certificates from files, all of a file or nothing. */
#include "certificate/manager.h"

#include "base/buffer.h"
#include "base/file.h"
#include "certificate/key_check.h"
#include "certificate/password.h"
#include "certificate/pkcs12.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_FILE_MAXIMUM (16u * 1024u * 1024u)

/* One item of the file and what becomes of it. */
struct arrival {
    struct pfx_item *item;
    struct address address;
    const struct kind *kind;
    const char *key; /* rsa-3072, ... */
    bool
        fresh; /* comes in under another address than the file's, or the file has none: nothing of its old place holds */
    bool here;     /* the catalogue has this certificate already */
    bool current;  /* and it is its entry's current one */
    size_t added;  /* databases that the entry did not name yet */
    bool revived;  /* the entry was out of use */
    bool left_out; /* this server keeps its own */
    bool exists;   /* the entry */
    struct key_arrival arrival;
};

struct importing {
    kw_context *context;
    const kw_import_options *options;
    kw_event_callback event;
    void *user;
    struct pfx_item *items;
    size_t count;
    struct arrival *arrivals;
};

/* ---- Reading ------------------------------------------------------------------------------------ */

static kw_status read_password(struct importing *importing, const char *what, struct secret *password, kw_error *error)
{
    const char *source = importing->options->password_source != NULL ? importing->options->password_source : "prompt";
    return password_read(importing->context, source, what, false, password, error);
}

static kw_status ask_pem_password(void *user, struct secret *password, kw_error *error)
{
    return read_password(user, "the password of the private key", password, error);
}

static kw_status read_pfx(struct importing *importing, kw_input content, kw_error *error)
{
    struct secret password = {0};
    kw_status status = read_password(importing, "the password of the import", &password, error);
    if (status == KW_OK)
        status = pfx_read(importing->context->crypto, content, secret_view(&password), importing->options->allow_no_mac,
                          &importing->items, &importing->count, error);
    secret_clear(&password);
    return status;
}

static kw_status read_pem(struct importing *importing, kw_input content, kw_error *error)
{
    struct crypto *crypto = importing->context->crypto;
    const char *key_path = importing->options->key_path;
    struct secret key = {0};
    struct pfx_item from_key = {0};
    kw_status status = KW_OK;
    importing->items = calloc(1, sizeof(*importing->items));
    if (importing->items == NULL)
        return error_memory(error);
    importing->count = 1;
    status = pem_read(crypto, content, ask_pem_password, importing, &importing->items[0], error);
    if (status != KW_OK || key_path == NULL)
        return status;
    if (importing->items[0].pkcs8.length > 0)
        return error_set(error, KW_INVALID_ARGUMENT, "there is a private key in %s already: leave out --key",
                         importing->options->path);
    status = file_read_secret(key_path, IMPORT_FILE_MAXIMUM, &key, error);
    if (status == KW_OK) {
        status = pem_read(crypto, secret_view(&key), ask_pem_password, importing, &from_key, error);
        if (status != KW_OK)
            error_where(error, "%s", key_path);
    }
    if (status == KW_OK && from_key.pkcs8.length == 0) {
        status = error_set(error, KW_INVALID_ARGUMENT, "there is no private key in it");
        error_where(error, "%s", key_path);
    }
    if (status == KW_OK) {
        importing->items[0].pkcs8 = from_key.pkcs8;
        from_key.pkcs8 = (struct secret){0};
    }
    pfx_item_clear(&from_key);
    secret_clear(&key);
    return status;
}

static kw_status read_items(struct importing *importing, kw_error *error)
{
    const char *path = importing->options->path;
    struct secret content = {0};
    kw_status status = importing->options->content.data != NULL
                           ? secret_copy(&content, importing->options->content, error)
                           : file_read_secret(path, IMPORT_FILE_MAXIMUM, &content, error);
    if (status != KW_OK)
        return status;
    if (!pfx_is(secret_view(&content)))
        status = read_pem(importing, secret_view(&content), error);
    else if (importing->options->key_path != NULL)
        status =
            error_set(error, KW_INVALID_ARGUMENT, "--key goes with a certificate file, and this is a PKCS#12 file");
    else
        status = read_pfx(importing, secret_view(&content), error);
    if (status != KW_OK)
        error_where(error, "%s", path);
    secret_clear(&content);
    return status;
}

/* ---- Rules -------------------------------------------------------------------------------------- */

static bool has_key(const struct pfx_item *item)
{
    return item->pkcs8.length > 0 || item->reference.store_id != NULL;
}

/* Certificates without a key are issuers of the others at best; they have no place of their own. */
static kw_status drop_bare_certificates(struct importing *importing, kw_error *error)
{
    size_t kept = 0;
    for (size_t i = 0; i < importing->count; i++) {
        struct pfx_item *item = &importing->items[i];
        if (has_key(item) && item->certificate != NULL) {
            const struct pfx_item whole = *item;
            *item = (struct pfx_item){0};
            importing->items[kept++] = whole;
        } else {
            pfx_item_clear(item);
        }
    }
    importing->count = kept;
    if (kept > 0)
        return KW_OK;
    kw_status status = error_set(error, KW_INVALID_ARGUMENT, "it holds no certificate together with its private key");
    error_where(error, "%s", importing->options->path);
    error_remedy(error, "give the private key's file with --key");
    return status;
}

static bool name_has(X509_NAME *name, int nid, const char *wanted)
{
    char actual[COMMON_NAME_SIZE] = "";
    return X509_NAME_get_text_by_NID(name, nid, actual, sizeof(actual)) >= 0 && strcmp(actual, wanted) == 0;
}

/* A stolen server key must not be able to issue certificates, since clients put its certificate among their roots. */
static kw_status check_is_no_ca(const struct arrival *arrival, kw_error *error)
{
    enum { CA_BY_CONSTRAINTS = 1, CA_BY_KEY_USAGE = 4 };
    const int ca = X509_check_ca(arrival->item->certificate);
    if (ca != CA_BY_CONSTRAINTS && ca != CA_BY_KEY_USAGE)
        return KW_OK;
    kw_status status =
        error_set(error, KW_REFUSED, "the certificate for %s is a CA's: it may issue others", arrival->address.text);
    error_remedy(error,
                 "use one with basicConstraints CA:FALSE (openssl req -x509 makes a CA's unless told otherwise)");
    return status;
}

/* S13: what is not replaceable comes in only as what Keywright itself made under this very name. */
static kw_status check_is_own_kind(struct importing *importing, const struct arrival *arrival, kw_error *error)
{
    char expected[COMMON_NAME_SIZE];
    X509 *certificate = arrival->item->certificate;
    X509_NAME *name = X509_get_subject_name(certificate);
    const char *database = kind_database(arrival->kind, &arrival->address);
    manager_common_name(importing->context, arrival->kind, &arrival->address, expected);
    /* Another server may have made it under a name of its own, where names can be configured. */
    const bool named =
        name_has(name, NID_commonName, expected) || (!arrival->fresh && arrival->kind->common_name_configurable);
    const bool placed =
        !arrival->kind->database_is_unit || (database != NULL && name_has(name, NID_organizationalUnitName, database));
    if (named && placed && X509_self_signed(certificate, 1) == 1)
        return KW_OK;
    kw_status status =
        error_set(error, KW_REFUSED, "no certificate of one's own takes the place of %s: Keywright makes it",
                  arrival->address.text);
    error_remedy(error, "run `keywright create %s`; only its own certificate, self-signed as '%s', can be imported",
                 arrival->address.text, expected);
    return status;
}

static kw_status check_validity(const struct arrival *arrival, kw_error *error)
{
    const X509 *certificate = arrival->item->certificate;
    if (!arrival->kind->expiry_checked)
        return KW_OK;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        return error_set(error, KW_REFUSED, "the certificate for %s has expired", arrival->address.text);
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        return error_set(error, KW_REFUSED, "the certificate for %s is not valid yet", arrival->address.text);
    return KW_OK;
}

static kw_status choose_address(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const char *as = importing->options->address;
    const struct pfx_item *item = arrival->item;
    const char *address = as != NULL ? as : item->address;
    kw_status status = KW_OK;
    if (as != NULL && importing->count > 1)
        return error_set(error, KW_INVALID_ARGUMENT, "--as names one certificate, and the file holds %zu",
                         importing->count);
    if (address == NULL) {
        status = error_set(error, KW_INVALID_ARGUMENT, "the file does not say which certificate of Keywright this is");
        error_where(error, "%s", importing->options->path);
        error_remedy(error, "say it with --as CERT, for example --as general/web");
        return status;
    }
    status = address_parse(address, &arrival->address, error);
    if (status == KW_OK)
        status = kind_of(&arrival->address, &arrival->kind, error);
    if (status == KW_OK && arrival->address.number != 0)
        status = error_set(error, KW_INVALID_ARGUMENT, "a certificate gets its number by itself: leave out @%u",
                           arrival->address.number);
    if (status != KW_OK)
        return status;
    if (arrival->kind->usage == USAGE_TLS_SERVER)
        return error_set(error, KW_UNSUPPORTED,
                         "this version cannot check a CA's certificate for %s yet, so it takes none",
                         arrival->address.text);
    arrival->fresh = item->address == NULL || strcmp(item->address, address) != 0;
    status = check_is_no_ca(arrival, error);
    if (status == KW_OK && !arrival->kind->replaceable)
        status = check_is_own_kind(importing, arrival, error);
    return status;
}

static kw_status certificate_matches(kw_context *context, const struct certificate_row *row, const X509 *certificate,
                                     bool *same, kw_error *error)
{
    X509 *here = NULL;
    kw_input chain = {row->chain.data, row->chain.length};
    kw_status status = x509_read(context->crypto, &chain, &here, error);
    if (status == KW_OK)
        *same = X509_cmp(here, certificate) == 0;
    X509_free(here);
    return status;
}

/* Whether the entry holds this certificate under any of its numbers. */
static kw_status find_certificate(kw_context *context, const struct entry_row *entry, const X509 *certificate,
                                  bool *here, bool *current, kw_error *error)
{
    struct certificate_row row = {0};
    unsigned last = 0;
    kw_status status = catalogue_certificate_get_last(context->catalogue, &entry->id, &row, error);
    *here = *current = false;
    if (status == KW_NOT_FOUND)
        return KW_OK;
    last = row.number;
    for (unsigned number = last; status == KW_OK && number > 0 && !*here; number--) {
        certificate_row_clear(&row);
        status = catalogue_certificate_get_number(context->catalogue, &entry->id, number, &row, error);
        if (status == KW_OK)
            status = certificate_matches(context, &row, certificate, here, error);
        if (status == KW_OK && *here)
            *current = id_equal(&entry->certificate, &row.id);
        else if (status == KW_NOT_FOUND)
            status = KW_OK;
    }
    certificate_row_clear(&row);
    return status;
}

static kw_status check_against_catalogue(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    struct entry_row entry = {0};
    const struct pfx_item *item = arrival->item;
    kw_status status = catalogue_entry_get(importing->context->catalogue, arrival->address.text, &entry, error);
    arrival->exists = status == KW_OK;
    if (status == KW_NOT_FOUND)
        return KW_OK;
    if (status == KW_OK)
        status =
            find_certificate(importing->context, &entry, item->certificate, &arrival->here, &arrival->current, error);
    if (status != KW_OK || arrival->here)
        goto out;
    if (arrival->kind->automatic && importing->count > 1) {
        arrival->left_out = true;
        goto out;
    }
    if (!arrival->fresh && !id_equal(&item->entry, &entry.id)) {
        status = error_set(error, KW_EXISTS, "%s exists already, and is another one", arrival->address.text);
        error_remedy(error, "look at `keywright show %s`; when this one is to go, retire and delete it first",
                     arrival->address.text);
    } else if ((arrival->fresh || !item->former) && entry.state == ENTRY_IN_USE) {
        status = error_set(error, KW_EXISTS, "%s exists already, with another certificate", arrival->address.text);
        error_remedy(error, "`keywright show %s` shows it", arrival->address.text);
    }
out:
    entry_row_clear(&entry);
    return status;
}

static kw_status check_item(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    kw_status status = choose_address(importing, arrival, error);
    if (status != KW_OK)
        return status;
    if (item->pkcs8.length > 0)
        status =
            key_check(importing->context->crypto, secret_view(&item->pkcs8), item->certificate, &arrival->key, error);
    else
        status = key_check_certificate(item->certificate, &arrival->key, error);
    if (status != KW_OK) {
        error_where(error, "%s", importing->options->path);
        return status;
    }
    status = kind_check_key(arrival->kind, arrival->key, error);
    if (status == KW_OK)
        status = check_validity(arrival, error);
    if (status == KW_OK)
        status = check_against_catalogue(importing, arrival, error);
    return status;
}

/* ---- Arriving ----------------------------------------------------------------------------------- */

/* A key that stayed in its store counts only when that store, here, proves that it has it. */
static kw_status adopt_reference(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    kw_context *context = importing->context;
    const struct pfx_item *item = arrival->item;
    const kw_input locator = {item->reference.locator, item->reference.locator_length};
    kw_key *key = NULL;
    kw_status status = stores_get_by_id(context->stores, item->reference.store_id, &arrival->arrival.store, error);
    if (status == KW_NOT_FOUND) {
        status = error_set(error, KW_NOT_FOUND,
                           "the key of %s is not in the file: it stayed in the store with id %s, which is "
                           "not configured here",
                           arrival->address.text, item->reference.store_id);
        error_remedy(error, "configure that store under 'stores:' with this id, and import again");
    }
    if (status == KW_OK)
        status = key_open(arrival->arrival.store, locator, &key, error);
    if (status == KW_OK)
        status = key_prove(context, key, item->certificate, error);
    if (status == KW_OK)
        status = id_make(context->crypto, &arrival->arrival.key_id, error);
    if (status == KW_OK) {
        memcpy(arrival->arrival.locator, locator.data, locator.length);
        arrival->arrival.locator_length = locator.length;
    }
    kw_key_free(key);
    return status;
}

static kw_status bring_key(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    kw_context *context = importing->context;
    const struct pfx_item *item = arrival->item;
    const char *chosen = NULL;
    struct store *store = NULL;
    if (item->pkcs8.length == 0)
        return adopt_reference(importing, arrival, error);
    kw_status status = manager_choose_store(context, arrival->kind, &arrival->address, importing->options->store,
                                            (const char *const *)item->databases, item->database_count, &chosen, error);
    if (status == KW_OK)
        status = stores_get(context->stores, chosen, &store, error);
    if (status == KW_OK)
        status = key_arrival_begin(context, arrival->address.text, store, arrival->key, secret_view(&item->pkcs8),
                                   &arrival->arrival, error);
    return status;
}

static kw_status append_der(X509 *certificate, struct buffer *chain, kw_error *error)
{
    kw_bytes der = {0};
    kw_status status = x509_to_der(certificate, &der, error);
    buffer_append(chain, der.data, der.length);
    kw_bytes_free(&der);
    return status == KW_OK && chain->failed ? error_memory(error) : status;
}

static kw_status place(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    const char *own = kind_database(arrival->kind, &arrival->address);
    const bool by_file = item->database_count > 0 && (!arrival->fresh || arrival->kind->serves_databases);
    const struct id unplaced = {{0}};
    struct buffer chain = {0};
    kw_status status = append_der(item->certificate, &chain, error);
    for (int i = 0; status == KW_OK && item->chain != NULL && i < sk_X509_num(item->chain); i++)
        status = append_der(sk_X509_value(item->chain, i), &chain, error);
    if (status == KW_OK) {
        const struct placement placement = {
            .address = &arrival->address,
            .kind = arrival->kind,
            .entry = arrival->fresh ? unplaced : item->entry,
            .databases = by_file ? (const char *const *)item->databases : &own,
            .database_count = by_file       ? item->database_count
                              : own != NULL ? 1
                                            : 0,
            .key = arrival->key,
            .chain = buffer_view(&chain),
            .number = arrival->exists || arrival->fresh ? 0 : item->number,
            .former = item->former && !arrival->fresh,
            .retired = item->retired && !arrival->fresh,
        };
        status = manager_place(importing->context, &placement, &arrival->arrival, error);
    }
    buffer_free(&chain);
    return status;
}

/* A certificate that is here already: its entry learns what the file knows besides, and is in use again when it is in use there. */
static kw_status refresh(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    struct catalogue *catalogue = importing->context->catalogue;
    const struct pfx_item *item = arrival->item;
    struct entry_row entry = {0};
    kw_status status = KW_OK;
    if (arrival->fresh)
        return KW_OK;
    status = catalogue_entry_get(catalogue, arrival->address.text, &entry, error);
    if (status == KW_OK && arrival->kind->serves_databases)
        status = entry_add_databases(&entry, (const char *const *)item->databases, item->database_count,
                                     &arrival->added, error);
    arrival->revived = arrival->current && !item->former && !item->retired && entry.state == ENTRY_RETIRED;
    if (arrival->revived)
        entry.state = ENTRY_IN_USE;
    if (status == KW_OK && (arrival->added > 0 || arrival->revived))
        status = catalogue_entry_update(catalogue, &entry, error);
    entry_row_clear(&entry);
    return status;
}

static kw_status place_all(struct importing *importing, kw_error *error)
{
    struct catalogue *catalogue = importing->context->catalogue;
    kw_status status = catalogue_begin(catalogue, error);
    if (status != KW_OK)
        return status;
    for (size_t i = 0; status == KW_OK && i < importing->count; i++) {
        struct arrival *arrival = &importing->arrivals[i];
        if (arrival->here)
            status = refresh(importing, arrival, error);
        else if (!arrival->left_out)
            status = place(importing, arrival, error);
    }
    if (status == KW_OK)
        status = catalogue_commit(catalogue, error);
    catalogue_rollback(catalogue);
    return status;
}

/* Databases before what is in them, current certificates before former ones. */
static int by_dependence(const void *left_pointer, const void *right_pointer)
{
    const struct arrival *left = left_pointer;
    const struct arrival *right = right_pointer;
    if (left->kind->in_database != right->kind->in_database)
        return left->kind->in_database ? 1 : -1;
    if (left->item->former != right->item->former)
        return left->item->former ? 1 : -1;
    return strcmp(left->address.text, right->address.text);
}

static void tell_all(const struct importing *importing)
{
    for (size_t i = 0; i < importing->count; i++) {
        const struct arrival *arrival = &importing->arrivals[i];
        char address[ADDRESS_TEXT_MAXIMUM + 16];
        if (arrival->item->former && !arrival->fresh)
            snprintf(address, sizeof(address), "%s@%u", arrival->address.text, arrival->item->number);
        else
            snprintf(address, sizeof(address), "%s", arrival->address.text);
        if (arrival->left_out)
            event_tell(importing->event, importing->user, true, address,
                       "left out: this server has its own, and keeps it; to take the other's place, "
                       "`keywright delete %s --force` and import again",
                       arrival->address.text);
        else if (arrival->revived)
            event_tell(importing->event, importing->user, false, address, "is here already, and in use again");
        else if (arrival->added > 0)
            event_tell(importing->event, importing->user, false, address,
                       "is here already, and serves %zu more database%s", arrival->added,
                       arrival->added == 1 ? "" : "s");
        else
            event_tell(importing->event, importing->user, false, address,
                       arrival->here ? "is here already" : "imported");
    }
}

kw_status kw_import(kw_context *context, const kw_import_options *options, kw_event_callback event, void *user,
                    kw_error *error)
{
    struct importing importing = {.context = context, .options = options, .event = event, .user = user};
    kw_status status = read_items(&importing, error);
    if (status == KW_OK)
        status = drop_bare_certificates(&importing, error);
    if (status != KW_OK)
        goto out;
    importing.arrivals = calloc(importing.count, sizeof(*importing.arrivals));
    if (importing.arrivals == NULL) {
        status = error_memory(error);
        goto out;
    }
    for (size_t i = 0; status == KW_OK && i < importing.count; i++) {
        importing.arrivals[i].item = &importing.items[i];
        status = check_item(&importing, &importing.arrivals[i], error);
    }
    if (status != KW_OK)
        goto out;
    qsort(importing.arrivals, importing.count, sizeof(*importing.arrivals), by_dependence);
    for (size_t i = 0; status == KW_OK && i < importing.count; i++)
        if (!importing.arrivals[i].here && !importing.arrivals[i].left_out)
            status = bring_key(&importing, &importing.arrivals[i], error);
    if (status == KW_OK)
        status = place_all(&importing, error);
    if (status == KW_OK)
        tell_all(&importing);
out:
    for (size_t i = 0; importing.arrivals != NULL && i < importing.count; i++) {
        if (status == KW_OK)
            key_arrival_clear(&importing.arrivals[i].arrival);
        else
            key_arrival_abandon(context, &importing.arrivals[i].arrival);
    }
    free(importing.arrivals);
    for (size_t i = 0; importing.items != NULL && i < importing.count; i++)
        pfx_item_clear(&importing.items[i]);
    free(importing.items);
    return status;
}
