/* The rules of an import: what may come in, and where. */
#include "certificate/import.h"

#include "base/arena.h"
#include "certificate/chain.h"
#include "certificate/key_check.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static bool name_has(X509_NAME *name, int nid, const char *wanted)
{
    char actual[COMMON_NAME_SIZE] = "";
    return X509_NAME_get_text_by_NID(name, nid, actual, sizeof(actual)) >= 0 && strcmp(actual, wanted) == 0;
}

/* A stolen server key must not be able to issue certificates, since clients put its certificate among their roots. */
static kw_status check_is_no_ca(const struct arrival *arrival, kw_error *error)
{
    enum { CA_BY_CONSTRAINTS = 1, CA_BY_KEY_USAGE = 4 };
    crypto_enter();
    const int ca = X509_check_ca(arrival->item->certificate);
    crypto_leave();
    if (ca != CA_BY_CONSTRAINTS && ca != CA_BY_KEY_USAGE)
        return KW_OK;
    kw_status status =
        error_set(error, KW_REFUSED, "the certificate for %s is a CA's: it may issue others", arrival->address.text);
    error_remedy(error, "use one with basicConstraints CA:FALSE (openssl req -x509 makes one with -addext "
                        "basicConstraints=critical,CA:FALSE)");
    return status;
}

kw_status import_refuse_error(kw_context *context, const struct kind *kind, const struct address *address,
                              kw_error *error)
{
    char expected[COMMON_NAME_SIZE];
    manager_common_name(context, kind, address, expected);
    kw_status status = error_set(
        error, KW_REFUSED, "no certificate of one's own takes the place of %s: Keywright makes it", address->text);
    error_remedy(error, "run `keywright create %s`; only its own certificate, self-signed as '%s', can be imported",
                 address->text, expected);
    return status;
}

bool import_is_own(kw_context *context, const struct kind *kind, const struct address *address, X509 *certificate,
                   bool renamed)
{
    char expected[COMMON_NAME_SIZE];
    X509_NAME *name = X509_get_subject_name(certificate);
    const char *database = kind_database(kind, address);
    manager_common_name(context, kind, address, expected);
    const bool named = name_has(name, NID_commonName, expected) || (renamed && kind->common_name_configurable);
    const bool placed =
        !kind->database_is_unit || (database != NULL && name_has(name, NID_organizationalUnitName, database));
    return named && placed && x509_is_self_signed(certificate, true);
}

/* S13: what is not replaceable comes in only as what Keywright itself made under this very name. */
static kw_status check_is_own_kind(struct importing *importing, const struct arrival *arrival, kw_error *error)
{
    /* Another server may have made it under a name of its own, where names can be configured. */
    if (import_is_own(importing->context, arrival->kind, &arrival->address, arrival->item->certificate,
                      !arrival->fresh))
        return KW_OK;
    return import_refuse_error(importing->context, arrival->kind, &arrival->address, error);
}

/* ---- A CA's certificates ------------------------------------------------------------------------------ */

struct teller {
    const struct importing *importing;
    const struct arrival *arrival;
};

static void tell_warning(void *user, const char *sentence)
{
    const struct teller *teller = user;
    event_tell(teller->importing->event, teller->importing->user, true, teller->arrival->address.text, "%s", sentence);
}

/* The names that clients know this server by: as configured, else, for its connections, those of this machine. */
static kw_status tell_names(struct teller *teller, kw_error *error)
{
    const struct arrival *arrival = teller->arrival;
    const struct certificate_settings settings =
        settings_certificate(teller->importing->context->settings, arrival->address.text);
    X509 *certificate = arrival->item->certificate;
    char **own = NULL;
    size_t count = 0;
    if (settings.host_count > 0 || arrival->kind->usage != USAGE_TLS_SERVER) {
        leaf_tell_names(certificate, (const char *const *)settings.hosts, settings.host_count, tell_warning, teller);
        return KW_OK;
    }
    kw_status status = hosts_of_this_machine(settings.local_addresses == 1, &own, &count, error);
    if (status == KW_OK)
        leaf_tell_names(certificate, (const char *const *)own, count, tell_warning, teller);
    hosts_free(own, count);
    return status;
}

/* The path that was found takes the place of what the file had beside the certificate. */
static kw_status find_path(struct teller *teller, kw_error *error)
{
    kw_context *context = teller->importing->context;
    struct pfx_item *item = teller->arrival->item;
    struct trust trust = {0};
    STACK_OF(X509) *path = NULL;
    kw_status status = trust_read(context->crypto, context->settings, &trust, error);
    if (status != KW_OK)
        return status;
    const struct chain_wanted wanted = {
        .trust = &trust,
        .tls_server = teller->arrival->kind->usage == USAGE_TLS_SERVER,
        .warning = tell_warning,
        .user = teller,
    };
    status = chain_find(context->crypto, &wanted, item->certificate, item->chain, &path, error);
    if (status != KW_OK) {
        error_where(error, "%s", teller->importing->options->path);
        goto out;
    }
    crypto_x509_free(sk_X509_shift(path)); /* the certificate itself */
    sk_X509_pop_free(item->chain, crypto_x509_free);
    item->chain = path;
out:
    trust_clear(&trust);
    return status;
}

/* S5, S6. What is kept for old data alone need not hold today, and what is here and stays as it is was judged when it came. */
static kw_status judge(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    X509 *certificate = item->certificate;
    const bool server = arrival->kind->usage == USAGE_TLS_SERVER;
    /*
     * Out of an export of Keywright's: a restore must not fail for a CA that is away today. What is in no export (S21) did not come out
     * of one, whatever the file says.
     */
    const bool restored = !arrival->fresh && arrival->kind->exported;
    struct teller teller = {importing, arrival};
    if (!arrival->kind->expiry_checked || arrival->left_out || (arrival->here && !arrival->again) ||
        ((item->former || item->retired) && restored))
        return KW_OK;
    const bool judged = restored || (x509_is_self_signed(certificate, true) && (!server || arrival->here));
    kw_status status = leaf_check_validity(certificate, error);
    if (status == KW_OK && server)
        status = leaf_check_server(certificate, error);
    if (status != KW_OK) {
        error_prefix(error, "the certificate for %s", arrival->address.text);
        error_where(error, "%s", importing->options->path);
        return status;
    }
    if (judged)
        leaf_tell_expiry(certificate, "it", tell_warning, &teller);
    else
        status = find_path(&teller, error);
    return status == KW_OK ? tell_names(&teller, error) : status;
}

/* ---- Where it goes ------------------------------------------------------------------------------------- */

static kw_status choose_address(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const char *as = importing->options->address;
    const struct pfx_item *item = arrival->item;
    const char *address = as != NULL ? as : item->address;
    kw_status status = KW_OK;
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
    if (status == KW_OK) {
        crypto_enter();
        *same = X509_cmp(here, certificate) == 0;
        crypto_leave();
    }
    crypto_x509_free(here);
    return status;
}

/* Whether the entry holds this certificate under any of its numbers. */
static kw_status find_certificate(kw_context *context, const struct entry_row *entry, const X509 *certificate,
                                  bool *here, struct id *id, kw_error *error)
{
    struct certificate_row row = {0};
    unsigned last = 0;
    kw_status status = catalogue_certificate_get_last(context->catalogue, &entry->id, &row, error);
    *here = false;
    if (status == KW_NOT_FOUND)
        return error_tolerate(status, KW_NOT_FOUND, error);
    last = row.number;
    for (unsigned number = last; status == KW_OK && number > 0 && !*here; number--) {
        certificate_row_clear(&row);
        status = catalogue_certificate_get_number(context->catalogue, &entry->id, number, &row, error);
        if (status == KW_OK)
            status = certificate_matches(context, &row, certificate, here, error);
        if (status == KW_OK && *here)
            *id = row.id;
        status = error_tolerate(status, KW_NOT_FOUND, error);
    }
    certificate_row_clear(&row);
    return status;
}

kw_status import_find_replaced(kw_context *context, struct arrival *arrival, kw_error *error)
{
    struct certificate_row row = {0};
    struct entry_row entry = {0};
    kw_status status = catalogue_entry_get(context->catalogue, arrival->address.text, &entry, error);
    if (status == KW_OK)
        status = catalogue_certificate_get(context->catalogue, &entry.certificate, &row, error);
    if (status == KW_OK)
        arrival->replaced = row.number;
    certificate_row_clear(&row);
    entry_row_clear(&entry);
    return status;
}

static kw_status check_against_catalogue(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    struct entry_row entry = {0};
    const struct pfx_item *item = arrival->item;
    kw_status status = catalogue_entry_get(importing->context->catalogue, arrival->address.text, &entry, error);
    arrival->exists = status == KW_OK;
    if (status == KW_NOT_FOUND)
        return error_tolerate(status, KW_NOT_FOUND, error);
    if (status == KW_OK)
        status = find_certificate(importing->context, &entry, item->certificate, &arrival->here, &arrival->certificate,
                                  error);
    if (status != KW_OK)
        goto out;
    /* Somebody names the place, and its kind lets it be taken. */
    const bool may_replace = arrival->kind->replaceable && arrival->fresh && importing->options->address != NULL;
    if (arrival->here) {
        arrival->current = id_equal(&arrival->certificate, &entry.certificate);
        arrival->again = may_replace && (!arrival->current || entry.state == ENTRY_RETIRED);
        goto out;
    }
    if (arrival->kind->automatic && importing->count > 1) {
        arrival->left_out = true;
        goto out;
    }
    if (!arrival->fresh && !id_equal(&item->entry, &entry.id)) {
        status = error_set(error, KW_EXISTS, "%s exists already, and is another one", arrival->address.text);
        error_remedy(error, "look at `keywright show %s`; when this one is to go, retire and delete it first",
                     arrival->address.text);
    } else if (may_replace && entry.state == ENTRY_IN_USE) {
        arrival->replaces = true;
        status = import_find_replaced(importing->context, arrival, error);
    } else if ((arrival->fresh || !item->former) && entry.state == ENTRY_IN_USE) {
        status = error_set(error, KW_EXISTS, "%s exists already, with another certificate", arrival->address.text);
        error_remedy(error, "`keywright show %s` shows it", arrival->address.text);
    }
out:
    entry_row_clear(&entry);
    return status;
}

/* What goes in can be listed: a certificate with a date or a name that cannot be read would spoil every list that it is in. */
static kw_status check_can_be_shown(const struct importing *importing, X509 *certificate, kw_error *error)
{
    struct arena arena = {0};
    kw_certificate_info info = {0};
    const kw_status status = x509_describe(importing->context->crypto, certificate, &arena, &info, error);
    if (status != KW_OK) {
        error_where(error, "%s", importing->options->path);
        error_remedy(error, "have it made anew; `openssl x509 -noout -text` shows what is in this one");
    }
    arena_free(&arena);
    return status;
}

kw_status import_check(struct importing *importing, struct arrival *arrival, kw_error *error)
{
    const struct pfx_item *item = arrival->item;
    kw_status status = choose_address(importing, arrival, error);
    if (status == KW_OK)
        status = check_can_be_shown(importing, item->certificate, error);
    if (status != KW_OK)
        return status;
    if (item->pkcs8.length > 0)
        status =
            key_check(importing->context->crypto, secret_view(&item->pkcs8), item->certificate, &arrival->key, error);
    else
        status = key_check_certificate(item->certificate, &arrival->key, error);
    if (status != KW_OK) {
        error_where(error, "%s", importing->options->path);
        if (error != NULL && error->remedy[0] == '\0')
            error_remedy(error, "%s",
                         status == KW_CORRUPT
                             ? "get the file anew from where it was made"
                             : "give the key that belongs to this certificate; or make a new one, as `keywright "
                               "create` and `keywright request` do, and have a certificate issued for it");
        return status;
    }
    status = kind_check_certified(arrival->kind, arrival->key, error);
    if (status == KW_OK)
        status = check_against_catalogue(importing, arrival, error);
    if (status == KW_OK)
        status = judge(importing, arrival, error);
    return status;
}
